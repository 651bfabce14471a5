#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oplog-undo on a real server, one of each kind of thing that can happen besides changes of documents: collections and databases that end, what is
refused, transactions that began earlier, unique values that others have taken since, and what a shard writes.

Every state is the server's own, compared byte for byte.
"""

import argparse
import datetime
import json
import struct
import subprocess
import sys

import by_seed  # first: it skips what is not to be had

import bson
from bson.raw_bson import RawBSONDocument

import server
from cluster import Cluster
from compare import differences, portable, state_of
from history import History
from test_undo import BIN, RAW, documents, key, run_scripts, speaks_to, stamp
from tools import MongoTools


def chain_of(source, tools, directory):
    history = History(source, tools, directory)
    history.note()
    history.full_dump()
    return history


def undo(history, *options, out=None, code=0):
    """What it says."""
    history.note()
    history.cut()
    return undo_again(history, *options, out=out, code=code)


def undo_again(history, *options, out=None, code=0):
    command = [BIN / "oplog-undo", "--full", history.full, *history.increments, *options, *(["-o", out] if out else ["--check"])]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode != code:
        raise AssertionError(f"{command}: {done.returncode} {done.stderr}")
    return done.stderr


def require(said, *texts):
    for text in texts:
        if text not in said:
            raise AssertionError(f"{text!r} is not in {said}")


def same(expected, actual, what):
    wrong = differences(portable(expected), portable(actual))  # indexes of old servers name their collection
    if wrong:
        raise AssertionError(f"{what}: {wrong}")


def part(source, database, name="", since=""):
    """A state's namespaces that begin like this, with another database's name if one is given."""
    return {namespace.replace(f"{database}.", f"{since or database}.", 1): collection for namespace, collection in state_of(source).items()
            if namespace.startswith(f"{database}.{name}") and not namespace.endswith("system.views")}


def what_ended(source, tools, directory):
    """Collections that were dropped, replaced by a rename and by $out, and a whole database come back beside what is there now."""
    client = source.client
    shop, gone = client.kinds, client.gone
    shop.create_collection("a", collation={"locale": "de"}, validator={"n": {"$gte": 0}})
    shop.a.create_index("n", unique=True, name="odd name.$")
    gone.create_collection("x", validator={"n": {"$exists": True}}, validationAction="warn")
    gone.x.create_index([("n", 1), ("m", -1)], sparse=True)
    for collection in (shop.a, shop.b, shop.c, shop.out, gone.x, gone.y):
        collection.insert_many([{"_id": i, "n": i, "of": collection.name} for i in range(20)])
    gone.create_collection("v", viewOn="x", pipeline=[{"$match": {"n": 1}}])
    history = chain_of(source, tools, directory)
    for collection in (shop.a, shop.b, shop.c, shop.out, gone.x, gone.y):  # what the dump has not seen
        collection.update_many({"_id": {"$lt": 5}}, {"$set": {"later": 1}})
        collection.delete_one({"_id": 7})
        collection.insert_one({"_id": 70, "n": 70})
    with client.start_session() as session, session.start_transaction():
        for i in range(10, 18):
            gone.x.update_one({"_id": i}, {"$inc": {"m": 1}}, session=session)
    shop.fresh.create_index("n")
    shop.fresh.insert_many([{"_id": i, "n": i} for i in range(5)])
    before = {**part(source, "kinds"), **part(source, "gone")}
    first = history.now()
    shop.a.update_many({"_id": {"$gt": 10}}, {"$set": {"wrong": 1}})  # chosen, and taken back in what comes back
    gone.y.delete_many({"_id": {"$lt": 3}})
    shop.a.drop()
    shop.a.insert_one({"_id": 1, "new": 1})
    shop.fresh.drop()
    shop.brief.insert_one({"_id": 1})
    shop.brief.drop()
    shop.c.rename("b", dropTarget=True)
    shop.b.aggregate([{"$match": {"n": {"$lt": 4}}}, {"$out": "out"}])
    client.drop_database("gone")
    last = history.now()
    window = ["--after", stamp(first), "--to", stamp(last)]
    said = undo(history, *window, "--ns", "kinds.*", "--ns", "gone.*", "--rename", "gone.*=back.*", out=directory / "undo")
    require(said, "kinds.a (collection dropped) comes back as dropped/kinds/a", "kinds.b (collection replaced) comes back as dropped/kinds/b", "comes back as dropped/back/x", "comes back as dropped/back/y",
            "kinds.out (collection replaced) comes back as dropped/kinds/out", "kinds.c was renamed to kinds.b", "view gone.v was changed or dropped", "kinds.out was written anew", "kinds.a was created")
    dropped = directory / "undo" / "dropped"
    (dropped / "kinds").rename(dropped / "beside")
    tools.mongorestore(source, "--bypassDocumentValidation", str(dropped))
    found = {**part(source, "beside", since="kinds"), **part(source, "back", since="gone")}
    same({namespace: before[namespace] for namespace in ("kinds.a", "kinds.b", "kinds.out", "kinds.fresh", "gone.x", "gone.y")},
         {namespace: collection for namespace, collection in found.items() if namespace != "kinds.brief"}, "what ended")
    if found["kinds.brief"].documents:
        raise AssertionError("a collection of the window alone has documents")
    if speaks_to(source):
        run_scripts(directory, source, [directory / "undo"], APPLY="1")
        left = {name: len(documents(shop, name)) for name in shop.list_collection_names()}
        if left != {"a": 0, "b": 20, "out": 0}:
            raise AssertionError(f"after the script: {left}")
    require(undo_again(history, *window, "--ns", "kinds.*", "--op", "u"), "kinds.a: 0 restored, 0 deleted, 0 inserted, 0 unchanged, 10 conflict, 0 unapplicable")


def what_is_refused(source, tools, directory):
    """With its place, and nothing is made; what is left out then is not in the way."""
    client, kinds = source.client, source.client.kinds
    kinds.create_collection("log", capped=True, size=4096)
    kinds.log.insert_one({"_id": 1})
    kinds.a.insert_one({"_id": 1})
    kinds.create_collection("w", viewOn="a", pipeline=[])
    refused = [("log", "a capped collection")]
    if source.knows("5.0"):
        kinds.create_collection("ts", timeseries={"timeField": "t", "metaField": "m"})
        refused.append(("ts", "a time series"))
    history = chain_of(source, tools, directory)
    first = history.now()
    kinds.a.update_one({"_id": 1}, {"$set": {"n": 1}})
    kinds.log.insert_one({"_id": 2})
    if source.knows("5.0"):
        kinds.ts.insert_one({"t": datetime.datetime(2026, 1, 1), "m": 1})
    kinds.create_collection("v", viewOn="a", pipeline=[{"$match": {"n": 1}}])
    kinds.command("collMod", "w", viewOn="a", pipeline=[{"$limit": 1}])
    kinds.a.create_index("n")
    kinds.a.drop_index("n_1")
    kinds.command("collMod", "a", validator={"n": {"$gt": 0}})
    last = history.now()
    history.note()
    history.cut()
    window = ["--after", stamp(first), "--to", stamp(last), "--ns", "kinds.*"]
    for name, kind in refused:
        others = [part for other, _ in refused if other != name for part in ("--exclude-ns", f"kinds.{other}")]
        said = undo_again(history, *window, *others, out=directory / "undo", code=1)
        require(said, f"what is done to kinds.{name}, {kind}, cannot be taken back", "oplog.rs.bson: offset ", ": document ")
        if (directory / "undo").exists():
            raise AssertionError("a refused undo left something")
    said = undo_again(history, *window, *(part for name, _ in refused for part in ("--exclude-ns", f"kinds.{name}")))
    require(said, "kinds.a: 1 restored, ", "view kinds.v was made", "view kinds.w was changed or dropped; it was ", "index n_1 of kinds.a was made", "indexes of kinds.a were dropped", "kinds.a was modified")


def a_transaction_that_began_before(source, tools, directory):
    """It counts at its commit, wherever X lies among its entries."""
    client, kinds = source.client, source.client.kinds
    kinds.a.insert_many([{"_id": i, "n": 0} for i in range(10)])
    history = chain_of(source, tools, directory)
    before = documents(kinds)
    start = history.now()
    with client.start_session() as session, session.start_transaction():
        for i in range(10):
            kinds.a.update_one({"_id": i}, {"$set": {"n": 1}}, session=session)
    entries = [entry["ts"] for entry in history.entries({"ts": {"$gt": start}, "op": "c"})]
    if len(entries) < 3:
        raise AssertionError(f"{len(entries)} entries of one transaction")
    commit = entries[-1]
    history.note()
    history.cut()
    for ts in entries:
        require(undo_again(history, "--from", stamp(ts), "--to", stamp(commit)), "kinds.a: 10 restored,")
    require(undo_again(history, "--from", stamp(entries[0]), "--before", stamp(commit)), "0 operations chosen")
    require(undo_again(history, "--after", stamp(commit), "--to", stamp(history.last)), "0 operations chosen")
    said = undo_again(history, "--from", stamp(commit), "--to", stamp(commit), "--id", "3", out=directory / "undo")
    require(said, "1 of its 10 operations are chosen", "kinds.a: 1 restored,")
    line = json.loads((directory / "undo" / "report.jsonl").read_text())
    said = undo_again(history, "--txn", line["txn"][0], out=directory / "whole")
    require(said, "kinds.a: 10 restored,")
    if speaks_to(source):
        run_scripts(directory, source, [directory / "whole"], APPLY="1")
        if documents(kinds) != before:
            raise AssertionError("a transaction is not taken back")


def values_that_others_have_taken(source, tools, directory):
    """What cannot go back for a unique value that a new document has, or for another index, is told of, by itself, as is what cannot go back at all; the documents before load beside
    the others."""
    client, kinds = source.client, source.client.kinds
    kinds.a.create_index("u", unique=True)
    kinds.a.insert_many([{"_id": i, "u": i, **({"place": "nowhere"} if i == 20 else {})} for i in range(30)])
    kinds.z.insert_one({"_id": 1})
    history = chain_of(source, tools, directory)
    before, first = documents(kinds), history.now()
    kinds.z.delete_one({"_id": 1})
    kinds.a.update_many({}, {"$inc": {"u": 1000}, "$unset": {"place": 1}})
    kinds.a.delete_many({"_id": {"$lt": 3}})
    last = history.now()
    out = directory / "undo"
    undo(history, "--after", stamp(first), "--to", stamp(last), "--ns", "kinds.*", out=out)
    kinds.a.insert_many([{"_id": "new", "u": 5}, {"_id": "newer", "u": 1}])
    kinds.a.create_index([("place", "2dsphere")])  # which takes no such place
    kinds.z.drop()
    kinds.create_collection("z", viewOn="a", pipeline=[])
    now = documents(kinds)
    if speaks_to(source):
        said = run_scripts(directory, source, [out], APPLY="1")[out]
        stays = {key(5): now[key(5)], key(20): now[key(20)], key("new"): now[key("new")], key("newer"): now[key("newer")]}
        if documents(kinds) != {**{each: raw for each, raw in before.items() if each != key(1)}, **stays} or said.count("conflict: ") != 4 or said.count("E11000") != 2 or "geo" not in said or " is a view" not in said:
            raise AssertionError(f"unique values: {said}")
    if not tools.real:  # the stand-in gives no other names
        return
    tools.mongorestore(source, "--nsFrom", "kinds.*", "--nsTo", "kinds.*_before", str(out / "before"))
    if documents(kinds, "a_before") != before:
        raise AssertionError("before/ is not what there was")


def what_a_collection_demands(source, tools, directory):
    """A validator that came later does not keep a document from going back, nor does another spelling of its `_id` that a collation takes for the same."""
    kinds = source.client.kinds
    kinds.create_collection("a", collation={"locale": "en", "strength": 1})
    kinds.a.insert_many([{"_id": name, "n": -1} for name in ("Alice", "Bob", "Zoe")] + [{"_id": {"name": "Eve", "1": "x"}, "n": -1}] + [{"_id": i, "n": -1} for i in range(10)])
    history = chain_of(source, tools, directory)
    before, first = documents(kinds), history.now()
    for old, new in (("Alice", "ALICE"), ("Bob", "bob"), ({"name": "Eve", "1": "x"}, {"name": "EVE", "1": "X"})):
        kinds.a.delete_one({"_id": old})
        kinds.a.insert_one({"_id": new, "n": 1})
    kinds.a.delete_one({"_id": "Zoe"})
    kinds.a.update_many({}, {"$set": {"n": 1}})
    last = history.now()
    kinds.command("collMod", "a", validator={"n": {"$gt": 0}})
    out = directory / "undo"
    undo(history, "--after", stamp(first), "--to", stamp(last), "--ns", "kinds.*", out=out)
    now = documents(kinds)
    kinds.a.insert_one({"_id": "ZOE", "n": 1})
    if speaks_to(source):
        said = run_scripts(directory, source, [out], APPLY="1")[out]
        if documents(kinds) != {**{each: raw for each, raw in before.items() if each != key("Zoe")}, key("ZOE"): documents(kinds).get(key("ZOE"))} or said.count("conflict: ") != 1:
            raise AssertionError(f"by undo.js: {documents(kinds)} {said}")
        if run_scripts(directory, source, [out], APPLY="1")[out].count(" 0 restored, 0 deleted, 0 inserted") != 1:
            raise AssertionError("by undo.js, once more")
    kinds.a.delete_many({})
    kinds.a.insert_many([RawBSONDocument(raw) for raw in now.values()], bypass_document_validation=True)
    tools.mongorestore(source, "--oplogReplay", "--bypassDocumentValidation", str(out / "replay"))
    if documents(kinds) != before:
        raise AssertionError(f"by replay: {documents(kinds)}")


def element(kind, value):
    """Bytes of a field v; `_id` is what is left of them."""
    return bytes([kind]) + b"v\0" + value


def text(value):
    return struct.pack("<i", len(value) + 1) + value + b"\0"


def binary(subtype, value):
    return struct.pack("<i", len(value)) + bytes([subtype]) + value


HELD = [  # what mongosh can write as it was
    element(1, struct.pack("<d", -0.0)), element(1, struct.pack("<d", 2.0 ** 53 + 2)), element(2, text(b"a\0b")), element(2, text("\u2028\u2029\"'`${x}\\\n\ufeff".encode())), element(5, binary(2, struct.pack("<i", 2) + b"ab")),
    element(5, binary(4, bytes(16))), element(5, binary(9, b"\x03\0\x01\x02")), element(9, struct.pack("<q", 253402300800000)), element(11, b"a/b\n\0i\0"), element(13, text(b"f()")), element(14, text(b"symbol")), element(17, bytes(8)),
    element(18, struct.pack("<q", -2 ** 63)), element(255, b""), element(127, b""), element(3, bson.encode({"then": 1, "constructor": 1, "toString": 1, "length": 5})),
    element(3, bson.encode({"10": 1, "2": 2, "": 3, "a.b": 4, "__proto__": 5, "_bsontype": "ObjectId"}))]
NOT_HELD = [
    element(1, bytes.fromhex("010000000000f87f")), element(2, text(b"\xff\xfe")), element(2, text(b"\xed\xa0\x80")), element(5, binary(4, b"short")), element(5, binary(9, b"\x10\x09")), element(6, b""),
    element(9, struct.pack("<q", 2 ** 63 - 1)), element(11, b"a\0gz\0"), element(12, text(b"db.c") + bytes(12)), element(19, bytes(15) + b"\x7e"), element(3, b"\x13\0\0\0\x10a\0\1\0\0\0\x10a\0\2\0\0\0\0")]


def numbered(database):
    """Documents by their `_id`s, which are numbers; the others need not be decoded."""
    return {struct.unpack_from("<i", each.raw, 9)[0]: each.raw for each in database.get_collection("a", codec_options=RAW).find()}


def values_that_a_shell_does_not_hold(source, tools, directory):
    """Each such document stays as it is and is told of, and the others go back all the same; replay/ has them all."""
    kinds = source.client.kinds
    raws = [struct.pack("<i", len(each) + 14) + b"\x10_id\0" + struct.pack("<i", number) + each + b"\0" for number, each in enumerate(HELD + NOT_HELD)]
    kinds.a.insert_many([RawBSONDocument(raw) for raw in raws])
    history = chain_of(source, tools, directory)
    before, first = numbered(kinds), history.now()
    kinds.a.update_many({"_id": {"$mod": [2, 0]}}, {"$set": {"wrong": 1}})
    kinds.a.delete_many({"_id": {"$mod": [2, 1]}})
    last = history.now()
    out = directory / "undo"
    undo(history, "--after", stamp(first), "--to", stamp(last), "--ns", "kinds.*", out=out)
    now = numbered(kinds)
    if speaks_to(source):
        told = run_scripts(directory, source, [out], APPLY="1")[out]
        found = numbered(kinds)
        wrong = [number for number in before if found.get(number) != (before if number < len(HELD) else now).get(number)]
        if wrong or told.count("conflict: ") != len(NOT_HELD) or "done" not in told:
            raise AssertionError(f"{wrong}: {told}")
    if not tools.real:  # the stand-in holds no such values either
        return
    kinds.a.delete_many({})
    kinds.a.insert_many([RawBSONDocument(raw) for raw in now.values()])
    tools.mongorestore(source, "--oplogReplay", str(out / "replay"))
    if numbered(kinds) != before:
        raise AssertionError("what a shell does not hold, by replay")


def what_a_shard_writes(mongod, tools, directory):
    """Documents are named by their shard keys too; what moves between shards is nobody's change."""
    cluster = Cluster(directory / "cluster", mongod, 2)
    cluster.create_database("kinds")
    cluster.shard("kinds.a", {"region": 1, "n": 1})
    router, shard = cluster.router(), cluster.servers["sh0"]
    router.insert("kinds.a", *({"_id": i, "region": "eu", "n": i, "v": 0} for i in range(30)))
    router.insert("kinds.a", *({"_id": i, "region": "us", "n": i, "v": 0} for i in range(100, 120)))
    history = chain_of(shard, tools, directory)
    kinds = shard.client.kinds
    before, first = documents(kinds), history.now()
    for i in range(10):
        router.update("kinds.a", {"region": "eu", "n": i, "_id": i}, {"$set": {"v": 1}})
    for i in range(10, 15):
        router.delete("kinds.a", {"region": "eu", "n": i, "_id": i})
    router.insert("kinds.a", {"_id": 70, "region": "eu", "n": 70})
    moved = router.begin()
    for i in range(15, 20):
        moved.update("kinds.a", {"region": "eu", "n": i, "_id": i}, {"$set": {"v": 2}})
    moved.commit()
    last = history.now()
    entries = [entry for entry in history.entries({"op": {"$in": ["u", "d"]}, "ns": "kinds.a"})]
    if not entries or any(set((entry["o2"] if entry["op"] == "u" else entry["o"])) != {"_id", "region", "n"} for entry in entries):
        raise AssertionError(f"no shard keys in {entries}")
    out = directory / "undo"
    undo(history, "--after", stamp(first), "--to", stamp(last), "--ns", "kinds.*", out=out)
    now = documents(kinds)
    if speaks_to(shard):
        run_scripts(directory, shard, [out], APPLY="1")
        if documents(kinds) != before:
            raise AssertionError("on a shard, by undo.js")
    kinds.a.delete_many({})
    kinds.a.insert_many([RawBSONDocument(raw) for raw in now.values()])
    tools.mongorestore(shard, "--oplogReplay", str(out / "replay"))
    if documents(kinds) != before:
        raise AssertionError("on a shard, by replay")
    what_moves(cluster, router, tools, directory / "moves")
    cluster.stop()


def what_moves(cluster, router, tools, directory):
    """Chunks come and go in the window: the documents in them are where the cluster has them, and as they were."""
    cluster.shard("kinds.b", {"n": 1}, split=[{"n": 100}])
    router.insert("kinds.b", *({"_id": i, "n": i, "v": 0} for i in range(0, 200, 10)))
    for member in cluster.shards:
        directory.joinpath(member).mkdir(parents=True)
    histories = {member: chain_of(cluster.servers[member], tools, directory / member) for member in cluster.shards}
    firsts = {member: each.now() for member, each in histories.items()}
    router.update("kinds.b", {"n": 10, "_id": 10}, {"$set": {"v": 1}})
    both = router.begin()  # a transaction that both shards prepare
    for number in (40, 150):
        both.update("kinds.b", {"n": number, "_id": number}, {"$set": {"v": 2}})
    both.commit()
    chunk, other = cluster.chunks("kinds.b")
    there = next(member for member in cluster.shards if member != chunk["shard"])
    cluster.move("kinds.b", chunk["min"], there, wait=True)
    router.forget("kinds.b")
    router.update("kinds.b", {"n": 20, "_id": 20}, {"$set": {"v": 1}})
    for member, history in histories.items():
        last, out, now = history.now(), directory / member / "undo", documents(cluster.servers[member].client.kinds, "b")
        undo(history, "--after", stamp(firsts[member]), "--to", stamp(last), "--ns", "kinds.b", out=out)
        lines = {json.loads(line)["_id"]["$numberInt"]: json.loads(line)["verdict"] for line in (out / "report.jsonl").read_text().splitlines()}
        wanted = {"20": "restored"} if member == there else {"10": "conflict", "40": "conflict"}
        wanted |= {"150": "restored"} if member == other["shard"] else {}
        if lines != wanted:
            raise AssertionError(f"{member}, {'to' if member == there else 'from'} which a chunk moved: {lines}")
        if speaks_to(cluster.servers[member]):
            run_scripts(directory / member, cluster.servers[member], [out], APPLY="1")
            found = documents(cluster.servers[member].client.kinds, "b")
            changed = {bson.decode(each)["_id"] for each in set(found) | set(now) if found.get(each) != now.get(each)}
            if changed != {int(name) for name, verdict in wanted.items() if verdict == "restored"}:
                raise AssertionError(f"{member}: {changed} changed")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", metavar="VERSION")
    parser.add_argument("--shards", action="store_true", help="what shards write too; it takes a cluster")
    given = parser.parse_args()
    mongod = server.find_mongod(given.server)
    if not mongod:
        print("no server to be had: skipped")
        return 77
    directory, source = by_seed.start(mongod, {"maxNumberOfTransactionOperationsInSingleOplogEntry": 3})
    tools, failed = MongoTools(), 0
    kinds = [(kind, source) for kind in (what_ended, what_is_refused, a_transaction_that_began_before, values_that_others_have_taken, what_a_collection_demands, values_that_a_shell_does_not_hold)]
    if given.shards and source.knows("4.4"):  # the tests' cluster knows no older ones
        kinds.append((what_a_shard_writes, mongod))
    for kind, of in kinds:
        folder = directory / kind.__name__
        folder.mkdir()
        source.wipe()
        try:
            kind(of, tools, folder)
            print(f"{kind.__name__}: identical", flush=True)
        except (AssertionError, RuntimeError) as error:
            print(f"{kind.__name__}: {error}", flush=True)
            failed += 1
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())

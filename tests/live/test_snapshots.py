#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oplog-history and oplog-diff against what a server itself says of the past, and against servers that were restored to it.

Several clients write at once, transactions among them that stay open meanwhile. The server is then asked for every moment of its oplog, by reads with
atClusterTime: the versions that oplog-history tells up to a moment are what there was, and so are what oplog-diff says of two moments and what oplog-apply
writes of one. What a field finds is what the server's own query finds. And of a history with whatever else happens to collections, oplog-diff says of two moments what differs between two servers restored to them:
by a comparison that knows no dumps, and by oplog-diff of their dumps.
"""

import datetime
import json
import random
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path

import by_seed  # first: it skips what is not to be had

import bson
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteMany, ReplaceOne, UpdateMany
from pymongo.errors import PyMongoError

import random_history
import server
from cluster import Connection
from compare import INDEX_NUMBERS, differences, state_of
from history import History
from test_versions import BIN, CANONICAL, NAMES, RAW, act, change, collections, difference, encoded, key, run, stamp
from tools import MongoTools

ORDERED = CodecOptions(document_class=bson.SON)
WRITERS = 3


# ---- what a reader saw ----

def write(client, dice, count):
    """What fails for what others do is none."""
    for _ in range(count):
        collection = client.shop[dice.choice(NAMES)]
        with suppress(PyMongoError):
            kind = dice.random()
            if kind < 0.3:
                transaction(client, dice)
            elif kind < 0.4:
                collection.bulk_write([UpdateMany({"v": {"$type": "number"}}, {"$set": {"m": dice.randrange(9)}}), ReplaceOne({"_id": 1}, {"v": dice.randrange(9)}, upsert=True),
                                       DeleteMany({"n": dice.randrange(9)})], ordered=dice.random() < 0.5)
            elif kind < 0.5:
                collection.find_one_and_update({"_id": dice.randrange(8)}, change(dice))
            else:
                act(collection, dice)


def transaction(client, dice):
    with client.start_session() as session, session.start_transaction():
        for _ in range(dice.randrange(1, 9)):
            act(client.shop[dice.choice(NAMES)], dice, session)
            time.sleep(dice.random() * 0.01)
        if dice.random() < 0.1:
            session.abort_transaction()


def read_at(connection, name, ts, outside):
    """A collection's documents as they were, as bytes; `outside` is whether the server does it outside transactions."""
    concern = {"level": "snapshot", "atClusterTime": ts}
    session = {} if outside else {"lsid": {"id": uuid.uuid4()}, "txnNumber": Int64(1), "autocommit": False}
    answer = bson.decode(connection.send("shop", {"find": name, "batchSize": 100000, "readConcern": concern, **session, **({} if outside else {"startTransaction": True})}), RAW)
    if not answer["ok"]:
        raise AssertionError(f"a read at {ts}: {bson.decode(answer.raw)}")
    if session:
        connection.ask("admin", {"abortTransaction": 1, **session})
    return [each.raw for each in answer["cursor"]["firstBatch"]]


def at_once(seed, source, tools, directory):
    """Whatever moment one asks for, the tools say what a reader with atClusterTime is told."""
    dice, client = random.Random(seed), source.client
    client.drop_database("shop")
    for name in NAMES:
        client.shop.create_collection(name)
    for _ in range(15):
        act(client.shop[dice.choice(NAMES)], dice)
    chain = History(source, tools, directory)
    chain.note()
    chain.full_dump()
    writers = [threading.Thread(target=write, args=(client, random.Random(f"{seed}/{number}"), dice.randrange(10, 30))) for number in range(WRITERS)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    chain.note()
    end = chain.last_visible()
    names = collections(client)
    connection = Connection(source.port, {})
    moments = []
    for ts in [chain.last, *(entry["ts"] for entry in chain.entries({"ts": {"$lte": end, "$gt": chain.last}}))]:
        found = {name: read_at(connection, name, ts, source.knows("5.0")) for name in NAMES}
        moments.append((ts, {key(f"shop.{name}", bson.decode(each, ORDERED)["_id"]): each for name in NAMES for each in found[name]}, names))
    connection.close()
    chain.cut()
    inputs = ["--full", chain.full, *chain.increments]
    lines, complaints = run(BIN / "oplog-history", *inputs, "--ns", "shop.*", "--images")
    if complaints:
        raise AssertionError(complaints)
    now, at = dict(moments[0][1]), 0
    for moment, wanted, _ in moments:
        while at < len(lines) and (lines[at]["ts"].time, lines[at]["ts"].inc) <= (moment.time, moment.inc):
            place = key(lines[at]["ns"], lines[at]["_id"])
            if now.pop(place, None) != encoded(lines[at]["before"]):
                raise AssertionError(f"before {stamp(lines[at]['ts'])}, {place}: {lines[at]['before']}")
            if lines[at]["after"] is not None:
                now[place] = encoded(lines[at]["after"])
            at += 1
        if now != wanted:
            raise AssertionError(f"at {stamp(moment)}: {[place for place in set(now) | set(wanted) if now.get(place) != wanted.get(place)]}")
    if at < len(lines):
        raise AssertionError(f"{len(lines) - at} versions after the last entry")
    for _ in range(4):
        first, last = sorted(dice.sample(range(len(moments)), 2))
        bounds = ["--from", stamp(moments[first][0]), "--to", stamp(moments[last][0])]
        told = Counter((line["change"], *key(line["ns"], line["_id"])) for line in run(BIN / "oplog-diff", *inputs, *bounds, "--ns", "shop.*", "--documents")[0])
        if told != difference(moments[first], moments[last]):
            raise AssertionError(f"oplog-diff {bounds}: {told}, not {difference(moments[first], moments[last])}")
        name = dice.choice(NAMES)
        applied = subprocess.run([BIN / "oplog-apply", "-q", *inputs, "--to", stamp(moments[last][0]), "--ns", f"shop.{name}", "-o", "-"], stdout=subprocess.PIPE, check=True).stdout
        wanted = [each for (ns, _), each in moments[last][1].items() if ns == f"shop.{name}"]
        if sorted(bson.encode(each) for each in bson.decode_all(applied, ORDERED)) != sorted(wanted):
            raise AssertionError(f"oplog-apply --to {stamp(moments[last][0])} --ns shop.{name}")
    return f"{len(moments)} moments, {len(lines)} versions"


# ---- what was restored ----

def described(target):
    """What a server holds: by namespace (kind, UUID, options, indexes, documents in order), in the terms of dumps."""
    found = {}
    for database in set(target.client.list_database_names()) - {"config", "local"}:
        for info in target.client[database].list_collections():
            name = info["name"]
            if name.startswith("system.") and (database, name) not in {("admin", "system.users"), ("admin", "system.roles")}:
                continue
            stored = {"timeseries": f"system.buckets.{name}", "collection": name}.get(info["type"])
            documents = [each.raw for each in target.client[database].get_collection(stored, codec_options=RAW).find({}, hint=[("$natural", 1)])] if stored else []
            if database == "admin" and not documents:
                continue
            indexes = {each["name"]: specification(each) for each in (target.client[database][name].list_indexes() if stored else []) if not each.get("clustered")}
            options = {option: bson.encode({option: value}) for option, value in info["options"].items() if option != "temp"}
            found[f"{database}.{name}"] = (info["type"], info["info"].get("uuid"), options, indexes, documents)
    return found


def specification(index):
    """As bytes; old servers name the collection in it, and keep the types of numbers."""
    return bson.encode({name: float(value) if name in INDEX_NUMBERS else value for name, value in sorted(index.items()) if name != "ns"})


def by_id(documents):
    return {bson.encode({"_id": bson.decode(each, ORDERED)["_id"]}): each for each in documents}


def expected(old, new):
    """A row for each collection that differs, and each document."""
    uuids = {each[1]: ns for ns, each in new.items() if each[1]}
    pairs = [(ns, uuids[each[1]]) for ns, each in old.items() if each[1] in uuids]
    ours, theirs = ({pair[side] for pair in pairs} for side in (0, 1))
    pairs += [(ns, ns) for ns in set(old) - ours if ns in set(new) - theirs and old[ns][0] == new[ns][0]]
    ours, theirs = ({pair[side] for pair in pairs} for side in (0, 1))
    pairs += [(ns, None) for ns in set(old) - ours] + [(None, ns) for ns in set(new) - theirs]
    rows, documents = [], Counter()
    for a, b in pairs:
        before, after = (each.get(ns) for each, ns in ((old, a), (new, b)))
        older, newer = (by_id(each[4]) if each else {} for each in (before, after))
        told = [("removed", ns) for ns in older if ns not in newer] + [("added", ns) for ns in newer if ns not in older]
        told += [("changed", ns) for ns in older if ns in newer and older[ns] != newer[ns]]
        capped = all(each and "capped" in each[2] for each in (before, after))
        moved = capped and [each for each in older if each in newer] != [each for each in newer if each in older]
        names = [sorted(name for name in {**before[at], **after[at]} if before[at].get(name) != after[at].get(name)) if a and b else [] for at in (2, 3)]
        if a != b or told or moved or names != [[], []]:
            status = "users" if "admin.system." in (a or b) else "added" if not a else "removed" if not b else "renamed" if a != b else "changed"  # no users may be an empty collection
            counts = Counter(kind for kind, _ in told)
            rows.append((b or a, status, (after or before)[0], counts["added"], counts["removed"], counts["changed"], moved, *map(tuple, names)))
            documents.update((kind, b or a, identity) for kind, identity in told)
    return sorted(rows), documents


def by_oplog_diff(*inputs):
    done = subprocess.run([BIN / "oplog-diff", "-q", *map(str, inputs), "--json", "--documents"], capture_output=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"oplog-diff {inputs}: {done.stderr.decode()}")
    *lines, whole = done.stdout.splitlines()
    rows = [(each["ns"], "users" if each["ns"].startswith("admin.system.") else each["status"], each["kind"], each["added"], each["removed"], each["changed"], each["reordered"],
             *(tuple(sorted(part["name"] for part in each[what])) for what in ("options", "indexes"))) for each in json.loads(whole)["collections"]]
    told = Counter()
    for line in lines:
        line = json_util.loads(line, json_options=CANONICAL)
        told[line["change"], line["ns"], bson.encode({"_id": line["_id"]})] += 1
    return sorted(rows), told


def restored(seed, source, target, tools, directory):
    """What differs between two moments of a chain is what differs between two servers restored to them."""
    dice = random.Random(seed)
    source.wipe()
    chain = History(source, tools, directory)
    writer = random_history.Writer(chain, dice)
    ways = [way for way in writer.wild if way[1] != writer.convert_to_capped]  # oplog-apply does not follow it
    for _ in range(dice.randrange(10, 60)):
        writer.write(ways)
    chain.note()
    chain.full_dump()
    steps = dice.randrange(20, 90)
    wanted, moments = sorted(dice.sample(range(steps), 2)), []
    for step in range(steps):
        if step in wanted:
            moments.append((chain.now(), state_of(source)))
        writer.write(ways)
    chain.note()
    chain.cut()
    inputs = ["--full", chain.full, *chain.increments]
    servers, dumps = [], []
    for number, (ts, state) in enumerate(moments):
        out, redumped = directory / f"out{number}", directory / f"redumped{number}"
        done = subprocess.run([BIN / "oplog-apply", "-q", *map(str, inputs), "--to", stamp(ts), "-o", out], capture_output=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"oplog-apply: {done.stderr.decode()}")
        target.wipe()
        tools.mongorestore(target, "--drop", "--preserveUUID", "--bypassDocumentValidation", str(out))
        wrong = differences(state, state_of(target))
        if wrong:
            raise AssertionError(f"restored to {stamp(ts)}: {wrong}")
        servers.append(described(target))
        tools.mongodump(target, "-o", str(redumped))
        dumps.append(redumped)
    wanted = expected(*servers)
    bounds = ["--from", stamp(moments[0][0]), "--to", stamp(moments[1][0])]
    for how, found in (("the chain", by_oplog_diff(*inputs, *bounds)), ("the dumps", by_oplog_diff(*dumps))):
        if found != wanted:
            raise AssertionError(f"oplog-diff of {how}, {bounds}: {found[0]}, not {wanted[0]}; documents {(found[1] - wanted[1]) + (wanted[1] - found[1])}")
    return f"{len(wanted[0])} collections differ, {sum(wanted[1].values())} documents"


# ---- what a query finds ----

SCALARS = [0, 1, Int64(1), 1.0, -0.0, float("nan"), Decimal128("1"), Decimal128("NaN"), 2, None, None, "x", "", "é", True, False, Regex("x"), MinKey(), MaxKey(), ObjectId("0" * 24), Binary(b"a", 0),
           Binary(b"a", 5), Timestamp(1, 1), datetime.datetime(2020, 1, 1), Code("x"), float("inf")]
PATHS = ["a", "b", "a.b", "a.0", "a.1", "a.0.b", "a.b.c", "a.1.0", "a.0.0", "a.00", "a.c", "a.0.1.b", "a.b.0"]


def any_value(dice, depth):
    kind = dice.random()
    if depth == 0 or kind < 0.45:
        return dice.choice(SCALARS)
    if kind < 0.75:
        return [any_value(dice, depth - 1) for _ in range(dice.randrange(4))]
    return bson.SON((name, any_value(dice, depth - 1)) for name in dice.sample(["a", "b", "0", "1", "c"], dice.randrange(3)))


def value_at(value, path, dice):
    for part in path.split("."):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            value = value[part] if isinstance(value, dict) and part in value else dice.choice(SCALARS)
    return value


def by_field(seed, source, tools, directory):
    """--where finds what the server's own query finds."""
    del tools
    dice, collection = random.Random(seed), source.client.fields.a
    source.client.drop_database("fields")
    held = [bson.SON([("_id", number), ("a", any_value(dice, 3)), ("b", any_value(dice, 2))][:dice.randrange(1, 4)]) for number in range(200)]
    collection.insert_many(held)
    inserts = (bson.encode(bson.SON(op="i", ns="fields.a", ui=Binary(bytes(16), 4), o=each, ts=Timestamp(100, number + 1), v=Int64(2))) for number, each in enumerate(held))
    (directory / "inserts.bson").write_bytes(b"".join(inserts))
    count = 0
    for _ in range(50):
        path = dice.choice(PATHS)
        wanted = any_value(dice, 2) if dice.random() < 0.5 else value_at(dice.choice(held), path, dice)
        condition = f"{path}={json_util.dumps(wanted, json_options=CANONICAL)}"
        found = sorted(line["_id"] for line in run(BIN / "oplog-history", "-q", directory / "inserts.bson", "--ns", "fields.a", "--where", condition)[0])
        expected_ids = sorted(each["_id"] for each in collection.find({path: {"$eq": wanted}}, {"_id": 1}))
        if found != expected_ids:
            raise AssertionError(f"--where {condition}: {found}, not {expected_ids}")
        count += len(found)
    return f"{count} documents by 50 fields"


def main():
    wanted, mongod = by_seed.options(__doc__)
    if not mongod:
        print("no server to be had: skipped")
        return 77
    directory, source = by_seed.start(mongod, {"maxNumberOfTransactionOperationsInSingleOplogEntry": 3})
    target = server.Server(directory / "target", mongod=mongod)
    target.wait()
    tools = MongoTools()
    checks = [(at_once, (source, tools)), (by_field, (source, tools)), *([(restored, (source, target, tools))] if tools.real else [])]  # the stand-in keeps no UUIDs
    failed = 0
    for seed in wanted:
        for check, arguments in checks:
            folder = directory / f"{check.__name__}{seed}"
            folder.mkdir()
            try:
                print(f"seed {seed}, {check.__name__}: {check(seed, *arguments, folder)}, identical", flush=True)
            except (AssertionError, RuntimeError) as error:
                print(f"seed {seed}, {check.__name__}: {error}", flush=True)
                failed += 1
            shutil.rmtree(folder)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())

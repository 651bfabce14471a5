#!/usr/bin/env python3
"""What oplog-history and oplog-undo say of random histories, against a real server.

Every version of every document, by oplog-history, is what a reader found at that moment; renames, drops and transactions are among what happens. What
oplog-diff says of two moments is what differs between what a reader found at them. And what `oplog-undo --conflict replay` makes of each document is what the
other entries alone make of it when a server applies them to what was there before.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import by_seed  # first: it skips what is not to be had

import bson
from bson import Int64, json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure, PyMongoError

from history import History
from tools import MongoTools

BIN = Path(os.environ.get("OPLOG_BIN", Path(__file__).parents[2] / "build/release/tools"))
RAW = CodecOptions(document_class=RawBSONDocument)
CANONICAL = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, document_class=bson.SON, unicode_decode_error_handler="replace", tz_aware=False)
IDS = [*range(8), "text", 1.5, {"a": 1, "b": 2}]
NAMES = ["a", "b"]


def value(dice):
    return dice.choice([dice.randrange(5), Int64(dice.randrange(5)), 0.5, None, "text", [1, 2, {"k": dice.randrange(3)}], {"x": dice.randrange(3), "y": [0] * dice.randrange(4)}])


def change(dice):
    name = dice.choice("vwx")
    return dice.choice([{"$set": {name: value(dice)}}, {"$unset": {name: 1}}, {"$set": {f"{name}.x": value(dice)}}, {"$push": {name: value(dice)}}, {"$set": {f"{name}.1": value(dice)}},
                        {"$rename": {name: dice.choice("uyz")}}, [{"$set": {name: {"$ifNull": ["$v", 0]}}}]])


def act(collection, dice, session=None):
    """One operation on one document; what the server refuses is none."""
    identity = dice.choice(IDS)
    with suppress(OperationFailure) if session is None else suppress():
        kind = dice.random()
        if kind < 0.3:
            collection.replace_one({"_id": identity}, {"v": value(dice), "n": dice.randrange(9)}, upsert=True, session=session)
        elif kind < 0.45:
            collection.delete_one({"_id": identity}, session=session)
        elif session is None:
            collection.update_one({"_id": identity}, change(dice))
        else:
            collection.update_one({"_id": identity}, {"$set": {"t": dice.randrange(99)}}, upsert=True, session=session)


def transaction(client, dice):
    with client.start_session() as session, suppress(PyMongoError), session.start_transaction():
        for _ in range(dice.randrange(1, 9)):
            act(client.shop[dice.choice(NAMES)], dice, session)
        if dice.random() < 0.2:
            session.abort_transaction()


def step(client, dice):
    kind = dice.random()
    names = client.shop.list_collection_names()
    if kind < 0.15:
        transaction(client, dice)
    elif kind < 0.2 and names:
        client.shop[dice.choice(names)].drop()
    elif kind < 0.27 and names:
        with suppress(OperationFailure):
            client.shop[dice.choice(names)].rename(dice.choice(NAMES), dropTarget=dice.random() < 0.7)
    elif kind < 0.3:
        with suppress(OperationFailure):
            client.shop[dice.choice(NAMES)].aggregate([{"$match": {"n": {"$lt": 5}}}, {"$out": dice.choice(NAMES)}])
    else:
        act(client.shop[dice.choice(NAMES)], dice)


def key(ns, identity):
    return ns, bytes(bson.encode({"_id": identity}))


def state(client):
    """Bytes by namespace and `_id`."""
    return {key(f"shop.{name}", bson.decode(each.raw, CodecOptions(document_class=bson.SON))["_id"]): each.raw
            for name in client.shop.list_collection_names() for each in client.shop.get_collection(name, codec_options=RAW).find()}


def collections(client):
    """By their UUIDs."""
    return {bytes(each["info"]["uuid"]): each["name"] for each in client.shop.list_collections()}


def difference(before, after):
    """What there is to be told of two moments: (change, namespace, `_id`) of each document, in the names of the later one. Collections belong together by
    their UUIDs, and what is left of them by their names."""
    (_, old, old_names), (_, new, new_names) = before, after
    pairs = [(old_names[uuid], new_names[uuid]) for uuid in old_names if uuid in new_names]
    left = {name for uuid, name in new_names.items() if uuid not in old_names}
    pairs += [(name, name) for uuid, name in old_names.items() if uuid not in new_names and name in left]
    pairs += [(name, None) for name in old_names.values() if name not in [a for a, _ in pairs]]
    pairs += [(None, name) for name in new_names.values() if name not in [b for _, b in pairs]]
    told = Counter()  # a collection that is gone and one renamed to its name may both have lost an _id
    for a, b in pairs:
        ns = f"shop.{b or a}"
        older = {identity: each for (place, identity), each in old.items() if place == f"shop.{a}"}
        newer = {identity: each for (place, identity), each in new.items() if place == f"shop.{b}"}
        told.update(("removed", ns, identity) for identity in older if identity not in newer)
        told.update(("added", ns, identity) for identity in newer if identity not in older)
        told.update(("changed", ns, identity) for identity in older if identity in newer and older[identity] != newer[identity])
    return told


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.stderr.decode()}")
    return [json_util.loads(line, json_options=CANONICAL) for line in done.stdout.splitlines()], done.stderr.decode()


def stamp(ts):
    return f"{ts.time}:{ts.inc}"


def encoded(document):
    return None if document is None else bson.encode(document)


def history(seed, source, tools, directory):
    """Each version is what there was."""
    dice = random.Random(seed)
    client = source.client
    client.drop_database("shop")
    for _ in range(15):
        act(client.shop[dice.choice(NAMES)], dice)
    chain = History(source, tools, directory)
    chain.note()
    chain.full_dump()
    moments = [(chain.last, state(client), collections(client))]
    for _ in range(dice.randrange(20, 60)):
        step(client, dice)
        moments.append((chain.now(), state(client), collections(client)))
    chain.note()
    chain.cut()
    lines, complaints = run(BIN / "oplog-history", "--full", chain.full, *chain.increments, "--ns", "shop.*", "--images")
    if complaints:
        raise AssertionError(f"seed {seed}: {complaints}")
    now, at = dict(moments[0][1]), 0
    for moment, wanted, _ in moments[1:]:
        while at < len(lines) and (lines[at]["ts"].time, lines[at]["ts"].inc) <= (moment.time, moment.inc):
            line = lines[at]
            at += 1
            place = key(line["ns"], line["_id"])
            if now.pop(place, None) != encoded(line["before"]):
                raise AssertionError(f"seed {seed}: before {stamp(line['ts'])}, {place}: {line['before']}")
            if line["after"] is not None:
                now[key(line.get("to", line["ns"]), line["_id"])] = encoded(line["after"])
        found = {place: each for place, each in now.items() if ".tmp" not in place[0]}
        if found != wanted:
            raise AssertionError(f"seed {seed}: at {stamp(moment)}: {[place for place in set(found) | set(wanted) if found.get(place) != wanted.get(place)]}")
    for _ in range(3):
        first, last = sorted(dice.sample(range(len(moments)), 2))
        told, _ = run(BIN / "oplog-diff", "--full", chain.full, *chain.increments, "--from", stamp(moments[first][0]), "--to", stamp(moments[last][0]), "--ns", "shop.*", "--documents")
        found = Counter((line["change"], *key(line["ns"], line["_id"])) for line in told)
        expected = difference(moments[first], moments[last])
        if found != expected:
            raise AssertionError(f"seed {seed}: diff of {stamp(moments[first][0])} and {stamp(moments[last][0])}: {(found - expected) + (expected - found)}")
    for identity in IDS[:3] + IDS[-1:]:
        some, _ = run(BIN / "oplog-history", "--full", chain.full, *chain.increments, "--ns", "shop.*", "--images", "--id", json_util.dumps(identity, json_options=CANONICAL))
        if some != [line for line in lines if line["_id"] == identity]:
            raise AssertionError(f"seed {seed}: --id {identity} is not what is told of it among all")


def replay(seed, source, tools, directory):
    """What others alone make of a document, by the server itself."""
    dice = random.Random(seed)
    client = source.client
    client.drop_database("shop")
    collection = client.shop.a
    for _ in range(15):
        act(collection, dice)
    chain = History(source, tools, directory)
    chain.note()
    chain.full_dump()
    before = state(client)
    first = chain.now()
    for _ in range(dice.randrange(3, 20)):
        act(collection, dice)
    chain.note() # so that there is an entry at least
    last = chain.now()
    for _ in range(dice.randrange(0, 25)):
        act(collection, dice)
    now = state(client)
    others = chain._oplog().find({"ts": {"$gt": last}, "ns": "shop.a", "op": {"$in": ["i", "u", "d"]}}, sort=[("$natural", 1)])
    others = [bson.encode(each, codec_options=CodecOptions()) for each in others]
    chain.note()
    chain.cut()
    out = directory / "undo"
    run(BIN / "oplog-undo", "--full", chain.full, *chain.increments, "--after", stamp(first), "--to", stamp(last), "--ns", "shop.a", "--conflict", "replay", "-o", out)
    report = [json_util.loads(line, json_options=CANONICAL) for line in (out / "report.jsonl").read_text().splitlines()]
    listed = {key(line["ns"], line["_id"]) for line in report if line["verdict"] == "unapplicable"}
    target = dict(now)
    for line in report:
        place = key(line["ns"], line["_id"])
        if encoded(line["now"]) != now.get(place) or encoded(line["before"]) != before.get(place):
            raise AssertionError(f"seed {seed}: {line}")
        becomes = {"restored": line.get("target", line["before"]), "inserted": line.get("target", line["before"]), "deleted": None}.get(line["verdict"], line["now"])
        target.pop(place, None)
        if becomes is not None:
            target[place] = encoded(becomes)
    scratch = client.replay.a
    client.drop_database("replay")
    client.replay.create_collection("a")
    if before:
        client.replay.get_collection("a").insert_many([RawBSONDocument(each) for each in before.values()])
    for each in others:
        entry = RawBSONDocument(each)
        operation = {name: entry[name] for name in ("op", "o", "o2", "b") if name in entry and not (name == "o2" and entry["op"] != "u")}
        with suppress(OperationFailure):
            client.admin.command("applyOps", [{**operation, "ns": "replay.a"}], alwaysUpsert=False)
    alone = {("shop.a", bytes(bson.encode({"_id": bson.decode(each.raw, CodecOptions(document_class=bson.SON))["_id"]}))): each.raw
             for each in scratch.with_options(codec_options=RAW).find()}
    wrong = [place for place in (set(alone) | set(target)) - listed if alone.get(place) != target.get(place)]
    if wrong:
        raise AssertionError(f"seed {seed}: {wrong}: by itself {[alone.get(each) for each in wrong]}, undone {[target.get(each) for each in wrong]}")


def main():
    wanted, mongod = by_seed.options(__doc__)
    if not mongod:
        print("no server to be had: skipped")
        return 77
    directory, source = by_seed.start(mongod)
    tools = MongoTools()
    failed = 0
    for seed in wanted:
        for check in (history, replay):
            folder = directory / f"{check.__name__}{seed}"
            folder.mkdir()
            try:
                check(seed, source, tools, folder)
            except AssertionError as error:
                print(f"{check.__name__}: {error}", flush=True)
                failed += 1
            shutil.rmtree(folder)
        print(f"seed {seed}", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""oplog-undo on a real server: what its script for mongosh does to documents, byte for byte.

Random histories W1, W2, W3: W2 is taken back. Where W2 and W3 touch no common document, the server then equals one on which W2 never
ran; where they do, the document is left alone. Needs mongosh, as $MONGOSH or on PATH; without it there is nothing to do (exit 77).
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import bson
from bson import Decimal128, Int64, ObjectId, Regex, Timestamp
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

import server
from history import History
from tools import MongoTools

MONGOSH = os.environ.get("MONGOSH") or shutil.which("mongosh")
BIN = Path(os.environ.get("OPLOG_BIN", Path(__file__).parents[2] / "build/release/tools"))
VALUES = [1, Int64(1), 1.0, float("nan"), -0.0, "text", None, True, Decimal128("1.50"), Regex("a", "i"), Timestamp(5, 6), b"bytes", [1, {"x": Int64(2)}], {"b": 1, "a": 2}]
RAW = CodecOptions(document_class=RawBSONDocument)


def documents(client):
    return {bytes(bson.encode({"_id": each["_id"]})): each.raw for each in client.shop.get_collection("a", codec_options=RAW).find()}


def write(collection, dice, ids):
    """A few operations on those documents; yields the `_id`s that they changed: what changes nothing is not in the oplog."""
    touched = set()
    for _ in range(dice.randrange(5, 40)):
        identity = dice.choice(ids)
        there = collection.find_one({"_id": identity})
        changed = 1
        if there is None:
            collection.insert_one({"_id": identity, "v": dice.choice(VALUES)})
        elif dice.random() < 0.25:
            collection.delete_one({"_id": identity})
        elif dice.random() < 0.3:
            changed = collection.replace_one({"_id": identity}, {"w": dice.choice(VALUES), "v": dice.choice(VALUES)}).modified_count
        else:
            changed = collection.update_one({"_id": identity}, {"$set": {dice.choice("vwx"): dice.choice(VALUES)}, "$unset": {"y": 1}}).modified_count
        if changed:
            touched.add(repr(identity))
    return touched


def stamp(ts):
    return f"{ts.time}:{ts.inc}"


def run_script(script, source, **environment):
    done = subprocess.run([MONGOSH, "--quiet", f"mongodb://127.0.0.1:{source.port}/?directConnection=true", str(script)], capture_output=True, text=True,
                          env={**os.environ, "HOME": str(script.parent), **environment}, check=False)
    if done.returncode != 0:
        raise AssertionError(f"mongosh: {done.stdout}{done.stderr}")
    return done.stdout


def one(seed, source, tools, directory):
    dice = random.Random(seed)
    source.client.drop_database("shop")
    collection = source.client.shop.a
    ids = [*range(12), "text", ObjectId(f"{seed:024x}"), 1.5]
    source.client.shop.create_collection("a")
    write(collection, dice, ids)
    history = History(source, tools, directory)
    history.note()
    history.full_dump()
    write(collection, dice, ids)
    before = documents(source.client)
    first = history.now()
    chosen = write(collection, dice, ids)
    last = history.now()
    after = documents(source.client)
    later = write(collection, dice, [each for each in ids if dice.random() < 0.5] or ids)
    end = documents(source.client)
    history.note()
    history.cut()
    changed_since = dice.choice(ids)  # the guard leaves it alone
    collection.update_one({"_id": changed_since}, {"$set": {"since": 1}}, upsert=True)
    guarded = documents(source.client)
    out = directory / "undo"
    done = subprocess.run([BIN / "oplog-undo", "-q", "--full", history.full, *history.increments, "--after", stamp(first), "--to", stamp(last), "--ns", "shop.*", "-o", out], check=False)
    if done.returncode != 0:
        raise AssertionError(f"seed {seed}: oplog-undo: exit {done.returncode}")
    run_script(out / "undo.js", source)
    if documents(source.client) != guarded:
        raise AssertionError(f"seed {seed}: a dry run wrote")
    for _ in range(2):  # the second time there is nothing left to do
        run_script(out / "undo.js", source, APPLY="1")
        wanted = {}
        for identity in ids:
            key, name = bytes(bson.encode({"_id": identity})), repr(identity)
            taken = name in chosen and name not in later and identity != changed_since
            state = before if taken else guarded
            if key in state:
                wanted[key] = state[key]
        found = documents(source.client)
        if found != wanted:
            wrong = [bson.decode(key) for key in set(found) | set(wanted) if found.get(key) != wanted.get(key)]
            raise AssertionError(f"seed {seed}: {wrong} of {len(after)} and {len(end)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, metavar="N")
    parser.add_argument("--start", type=int, default=1, metavar="S")
    parser.add_argument("--server", metavar="VERSION")
    options = parser.parse_args()
    mongod = server.find_mongod(options.server)
    if not MONGOSH or not mongod:
        print("no mongosh, or no server, to be had: skipped")
        return 77
    directory = server.scratch_directory()
    source = server.Server(directory / "source", mongod=mongod)
    source.wait()
    tools = MongoTools()
    for seed in range(options.start, options.start + options.seeds):
        folder = directory / f"seed{seed}"
        folder.mkdir()
        one(seed, source, tools, folder)
        shutil.rmtree(folder)
        print(f"seed {seed}: identical", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""oplog-undo on a real server, by its script for mongosh and by its replay for mongorestore: every document, byte for byte.

Random histories W1, W2, W3 from a seed, of which W2, or what of it a filter chooses, is taken back. What is to become of each document, and which are
conflicts, is what a model says that knows the operations but no oplog; what the other operations alone make of a document is what the server itself makes of
them where W2 never ran. Needs mongosh, as $MONGOSH or on PATH; without it there is nothing to do (exit 77). A server that is too old for it is tried by replay alone.
"""

import functools
import json
import os
import random
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import by_seed  # first: it skips what is not to be had

import bson
from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp, json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure

from history import History
from tools import MongoTools, run

MONGOSH = os.environ.get("MONGOSH") or shutil.which("mongosh")
BIN = Path(os.environ.get("OPLOG_BIN", Path(__file__).parents[2] / "build/release/tools"))
RAW = CodecOptions(document_class=RawBSONDocument)
CANONICAL = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, document_class=bson.SON)
BATCH = 20  # seeds at a time: a mongosh takes longer to start than all else
VALUES = [1, Int64(1), 1.0, float("nan"), -0.0, "text", None, True, Decimal128("1.50"), Regex("a", "i"), Timestamp(5, 6), Binary(b"bytes", 128), [1, {"x": Int64(2)}],
          {"b": 1, "a": 2}, {"b": 1, "2": [{"1": 1, "0": 2}], "1": None}]
KINDS = ["window", "replay", "before", "id", "transaction", "where", "unique"]


@dataclass
class Operation:
    """One on a document, as the oplog has it; documents as bytes, None for none."""
    identity: object
    before: bytes | None
    after: bytes | None
    window: int  # 1, 2 or 3: W1, W2 or W3
    transaction: str | None = None

    @property
    def kind(self):
        return "i" if self.before is None else "d" if self.after is None else "u"


@dataclass
class Case:
    seed: int
    kind: str
    ids: list
    dice: random.Random
    options: list = field(default_factory=list)  # what oplog-undo is told
    operations: list = field(default_factory=list)
    start: Timestamp = None  # of the chain, its end, and between which W2 ran
    end: Timestamp = None
    first: Timestamp = None
    last: Timestamp = None
    transaction: str | None = None
    wanted: dict = field(default_factory=dict)  # by `_id`, what becomes of the documents
    guarded: dict = field(default_factory=dict)  # what there was before anything was taken back
    now: dict = field(default_factory=dict)  # and at the chain's end

    @property
    def database(self):
        return f"s{self.seed}"

    @property
    def conflict(self):
        return self.kind if self.kind in ("replay", "before") else "before" if self.kind == "unique" else "skip"


def key(identity):
    """The same for what the server takes for the same `_id`, as 1, 1.0 and NumberLong(1) are."""
    if isinstance(identity, (int, float)) and not isinstance(identity, bool) and identity == identity // 1:
        identity = int(identity)
    elif isinstance(identity, Decimal128) and identity.to_decimal() == identity.to_decimal().to_integral_value():
        identity = int(identity.to_decimal())
    return bytes(bson.encode({"_id": identity}))


def raw_id(document):
    return key(bson.decode(document, CodecOptions(document_class=bson.SON))["_id"])


def documents(database, name="a"):
    return {raw_id(each.raw): each.raw for each in database.get_collection(name, codec_options=RAW).find()}


def stamp(ts):
    return f"{ts.time}:{ts.inc}"


class Writer:
    """Writes to a case's collection, and notes what it does."""

    def __init__(self, client, case, window):
        self.client, self.case, self.window = client, case, window
        self.collection = client[case.database].a

    def write(self, count, ids, session=None, transaction=None):
        raw = self.collection.with_options(codec_options=RAW)
        for _ in range(count):
            identity = self.spelled(self.case.dice.choice(ids))
            before = raw.find_one({"_id": identity}, session=session)
            changed = self.change(identity, before, session)
            after = raw.find_one({"_id": identity}, session=session)
            if changed:  # what changes nothing is not in the oplog
                self.case.operations.append(Operation(identity, before and before.raw, after and after.raw, self.window, transaction))

    def spelled(self, identity):
        """A number in one of its types."""
        if not isinstance(identity, int):
            return identity
        return self.case.dice.choice([identity, identity, Int64(identity), float(identity), Decimal128(str(identity)), -0.0 if identity == 0 else identity])

    def change(self, identity, before, session):
        dice = self.case.dice
        if before is None:
            self.collection.insert_one({"_id": identity, "v": dice.choice(VALUES)}, session=session)
        elif dice.random() < 0.25:
            self.collection.delete_one({"_id": identity}, session=session)
        elif dice.random() < 0.3:
            return self.collection.replace_one({"_id": identity}, {"w": dice.choice(VALUES), "v": dice.choice(VALUES)}, session=session).modified_count
        else:
            name = dice.choice("vwx")
            ways = [{"$set": {name: dice.choice(VALUES)}, "$unset": {"y": 1}}]
            if not session:  # what the server refuses ends a transaction
                ways += [{"$set": {f"{name}.x": dice.choice(VALUES)}}, {"$set": {f"{name}.1": dice.choice(VALUES)}}, {"$push": {name: dice.choice(VALUES)}}, {"$set": {f"{name}.1.x": dice.choice(VALUES)}},
                         {"$pop": {name: -1}}, {"$unset": {f"{name}.b": 1}}, {"$rename": {name: "z"}}, [{"$set": {name: [f"${name}", {"x": f"${dice.choice('vwx')}"}]}}]] * 2
            with suppress(*([] if session else [OperationFailure])):
                return self.collection.update_one({"_id": identity}, dice.choice(ways), session=session).modified_count
            return 0
        return 1

    def write_transaction(self, count, ids):
        with self.client.start_session() as session:
            with session.start_transaction():
                lsid = session.session_id["id"].hex()
                self.collection.find_one({}, session=session)
                transaction = f"{lsid}/{session._server_session.transaction_id}"
                self.write(count, ids, session, transaction)
        return transaction

    def pass_round(self, ids):
        """Unique values go from document to document."""
        values = {each["_id"]: each["u"] for each in self.collection.find({"u": {"$exists": True}})}
        holders = [each for each in ids if each in values]
        for identity in holders:
            self.note(identity, {"$unset": {"u": 1}})
        for identity, source in zip(holders, holders[1:] + holders[:1]):
            self.note(identity, {"$set": {"u": values[source]}})

    def note(self, identity, update):
        raw = self.collection.with_options(codec_options=RAW)
        before = raw.find_one({"_id": identity}).raw
        self.collection.update_one({"_id": identity}, update)
        self.case.operations.append(Operation(identity, before, raw.find_one({"_id": identity}).raw, self.window))


def begin(case, source):
    client = source.client
    client.drop_database(case.database)
    clustered = {"clusteredIndex": {"key": {"_id": 1}, "unique": True}} if source.knows("6.0") else {}
    client[case.database].create_collection("a", **[{}, {"collation": {"locale": "en", "strength": 1}}, clustered][case.seed % 3])
    if case.kind == "unique":
        client[case.database].a.create_index("u", unique=True, sparse=True)
        client[case.database].a.insert_many([{"_id": each, "u": number} for number, each in enumerate(case.ids)])
    Writer(client, case, 1).write(20, case.ids)
    case.operations.clear()  # what the full dump has seen is no matter


def go_on(case, source, now):
    """W1 goes on; W2; W3."""
    client, dice = source.client, case.dice
    if case.kind != "unique":
        Writer(client, case, 1).write(dice.randrange(5, 30), case.ids)
    source.client.admin.command("appendOplogNote", 1, data={"note": "tests"})
    case.first = now()
    later_ids = [each for each in case.ids if dice.random() < 0.5] or case.ids
    window = Writer(client, case, 2)
    if case.kind == "unique":
        window.pass_round(case.ids)
    elif case.kind == "transaction":
        window.write(dice.randrange(0, 5), case.ids)
        case.transaction = window.write_transaction(dice.randrange(2, 12), case.ids)
        window.write(dice.randrange(0, 5), later_ids)
    else:
        window.write(dice.randrange(5, 40), case.ids)
        if dice.random() < 0.3:
            window.write_transaction(dice.randrange(1, 8), case.ids)
    source.client.admin.command("appendOplogNote", 1, data={"note": "tests"})
    case.last = now()
    if case.kind != "unique":
        Writer(client, case, 3).write(dice.randrange(0, 20), later_ids)
    case.now = documents(client[case.database])


def choose(case):
    """What oplog-undo is told, and which of the operations that means."""
    window = ["--after", stamp(case.first), "--to", stamp(case.last)]
    chosen = [each.window == 2 for each in case.operations]
    if case.kind == "id":
        ids = case.dice.sample(case.ids, 3)
        window += [part for each in ids for part in ("--id", json_util.dumps(each, json_options=CANONICAL))]
        chosen = [yes and any(key(each.identity) == key(identity) for identity in ids) for yes, each in zip(chosen, case.operations)]
    elif case.kind == "transaction":
        window = ["--txn", case.transaction]
        chosen = [each.transaction == case.transaction for each in case.operations]
    elif case.kind == "where":
        window += ["--where", 'v="text"']

        def fits(document):
            value = bson.decode(document).get("v") if document else None
            return "text" in value if isinstance(value, list) else value == "text"
        chosen = [yes and (fits(each.before) or fits(each.after)) for yes, each in zip(chosen, case.operations)]
    case.options = [*window, "--ns", f"{case.database}.*", "--conflict", case.conflict]
    return chosen


def entries_of(case, source):
    """The operations as the oplog has them, in order; as many as the model has."""
    found = []
    for entry in source.client.local["oplog.rs"].with_options(codec_options=CodecOptions(document_class=bson.SON)).find({"ts": {"$gt": case.start, "$lte": case.end}}, sort=[("$natural", 1)]):
        inner = entry["o"].get("applyOps", []) if entry["op"] == "c" else [entry]
        found += [each for each in inner if each["ns"] == f"{case.database}.a" and each["op"] in "iud"]
    return found


def update_fits(document, update):
    """Whether everything that an update leads through is there, and of the type that it takes it for."""
    if update.get("$v") == 2:
        return diff_fits(document, update["diff"])
    paths = [path for change in ("$set", "$unset") for path in update.get(change, {})]
    return all(path_fits(document, path.split(".")) for path in paths)


def diff_fits(value, diff):
    if "a" in diff:
        nested = [(int(name[1:]), each) for name, each in diff.items() if name[0] == "s"]
        return isinstance(value, list) and all(at < len(value) and diff_fits(value[at], each) for at, each in nested)
    nested = [(name[1:], each) for name, each in diff.items() if name[0] == "s"]
    return isinstance(value, dict) and all(name in value and diff_fits(value[name], each) for name, each in nested)


def path_fits(value, path):
    for name in path:
        if isinstance(value, list):
            if not name.isdigit():
                return False
            value = value[int(name)] if int(name) < len(value) else {}
        elif isinstance(value, dict):
            value = value.get(name, {})
        else:
            return False
    return True


def by_others(case, source, before, others):
    """What a server on which the chosen operations never ran would have of a document, and whether all that it would have been told applies."""
    client = source.client
    scratch = client[case.database].others
    scratch.delete_many({})
    if before is not None:
        scratch.insert_one(RawBSONDocument(before))
    for entry in others:
        operation = {name: entry[name] for name in ("op", "o", "o2") if name in entry and not (name == "o2" and entry["op"] != "u")}
        document = scratch.with_options(codec_options=CodecOptions(document_class=bson.SON)).find_one({})
        if entry["op"] == "u" and (document is None or not update_fits(document, entry["o"])):
            return None, False
        client.admin.command("applyOps", [{**operation, "ns": f"{case.database}.others"}], alwaysUpsert=False)
    found = list(documents(client[case.database], "others").values())
    return (found[0] if found else None), True


def check_report(case, chosen, source, out):
    """Holds the report against the model, and makes of both what is wanted."""
    report = {key(line["_id"]): line for line in (json_util.loads(text, json_options=CANONICAL) for text in (out / "report.jsonl").read_text().splitlines())}
    entries = entries_of(case, source)
    if len(entries) != len(case.operations):
        raise AssertionError(f"{len(entries)} operations in the oplog, {len(case.operations)} noted")
    case.wanted = dict(case.guarded)
    touched = {}
    for at, operation in enumerate(case.operations):
        touched.setdefault(key(operation.identity), []).append(at)
    expected = set()
    if case.conflict == "replay":
        source.client[case.database].create_collection("others")
    for identity, places in touched.items():
        mine = [at for at in places if chosen[at]]
        if not mine:
            continue
        expected.add(identity)
        before, after, now = case.operations[mine[0]].before, case.operations[mine[-1]].after, case.operations[places[-1]].after
        others = [at for at in places if at > mine[0] and not chosen[at]]
        line = report.get(identity)
        if line is None:
            raise AssertionError(f"{bson.decode(identity)} is not in the report")
        verdict, target = None, before
        if others and case.conflict == "skip":
            verdict, target = "conflict", now
        elif others and case.conflict == "replay":
            target, applies = by_others(case, source, before, [entries[at] for at in others])
            if not applies:
                verdict, target = "unapplicable", now
        if verdict is None:
            verdict = "unchanged" if target == now else "inserted" if now is None else "deleted" if target is None else "restored"
        told = {name: line[name] and bson.encode(line[name]) for name in ("before", "after", "now")}
        if (line["verdict"], told) != (verdict, {"before": before, "after": after, "now": now}):
            raise AssertionError(f"{bson.decode(identity)}: {verdict} {before} {after} {now} by the model, {line}")
        if case.guarded.get(identity) == now and target != now:
            case.wanted.pop(identity, None)
            if target is not None:
                case.wanted[identity] = target
    if set(report) != expected:
        raise AssertionError(f"{[bson.decode(each) for each in set(report) ^ expected]}: only in the report or the model")
    source.client[case.database].drop_collection("others")


def check_state(case, source, how, wanted):
    found = documents(source.client[case.database])
    if found != wanted:
        wrong = [(bson.decode(each), found.get(each), wanted.get(each)) for each in set(found) | set(wanted) if found.get(each) != wanted.get(each)]
        raise AssertionError(f"{how}: {wrong}")


def put(case, source, state):
    collection = source.client[case.database].a
    collection.delete_many({})
    if state:
        collection.insert_many([RawBSONDocument(each) for each in state.values()])


@functools.cache
def speaks_to(source):
    """Whether there is a mongosh, and one that this server is not too old for."""
    if not MONGOSH:
        return False
    said = subprocess.run([MONGOSH, "--quiet", source.uri, "--eval", "1"], capture_output=True, text=True, env={**os.environ, "HOME": str(source.directory)}, check=False)
    if said.returncode != 0 and "wire version" not in said.stderr + said.stdout:
        raise AssertionError(f"mongosh: {said.stdout}{said.stderr}")
    return said.returncode == 0


def run_scripts(directory, source, outs, **environment):
    """undo.js of each directory in one shell; what it prints, by directory."""
    driver = directory / "driver.js"
    driver.write_text("".join(f"print('--- ' + {json.dumps(str(out))}); load({json.dumps(str(out / 'undo.js'))});\n" for out in outs))
    done = subprocess.run([MONGOSH, "--quiet", f"mongodb://127.0.0.1:{source.port}/?directConnection=true", str(driver)], capture_output=True, text=True,
                          env={**os.environ, "HOME": str(directory), **environment}, check=False)
    if done.returncode != 0:
        raise AssertionError(f"mongosh: {done.stdout}{done.stderr}")
    return {Path(part.split("\n", 1)[0]): part.split("\n", 1)[1] for part in done.stdout.split("--- ")[1:]}


def batch(seeds, source, tools, directory):
    """The seeds that failed."""
    failures = {}

    def each_case(work):
        for case in cases:
            if case.seed in failures:
                continue
            try:
                work(case)
            except AssertionError as error:
                failures[case.seed] = error
                print(f"seed {case.seed}, {case.kind}: {error}", flush=True)

    cases = [Case(seed, KINDS[seed % len(KINDS)], [*range(12), "text", ObjectId(f"{seed:024x}"), 1.5], random.Random(seed)) for seed in seeds]
    for case in cases:
        begin(case, source)
    history = History(source, tools, directory)
    history.note()
    history.full_dump()
    for case in cases:
        case.start = history.now()
        go_on(case, source, history.now)
    history.note()
    history.cut()
    outs = {case.seed: directory / f"undo{case.seed}" for case in cases}
    for case in cases:  # the guard leaves it alone
        case.end = history.last
        if case.kind != "unique":
            source.client[case.database].a.update_one({"_id": case.dice.choice(case.ids)}, {"$set": {"since": 1}}, upsert=True)
        case.guarded = documents(source.client[case.database])

    def undo(case):
        chosen = choose(case)
        run([BIN / "oplog-undo", "-q", "--full", history.full, *history.increments, *case.options, "-o", outs[case.seed]])
        check_report(case, chosen, source, outs[case.seed])
        check_state(case, source, "before anything", case.guarded)

    def replay(case):
        """Has no guard, so that it begins with what the chain ends with."""
        put(case, source, case.now)
        tools.mongorestore(source, "--oplogReplay", str(outs[case.seed] / "replay"))
        wanted = {identity: case.wanted[identity] if case.guarded.get(identity) == case.now.get(identity) else None for identity in case.wanted}
        found = documents(source.client[case.database])
        since = {identity for identity in set(case.guarded) | set(case.now) if case.guarded.get(identity) != case.now.get(identity)}
        wrong = [bson.decode(each) for each in (set(found) | set(wanted)) - since if found.get(each) != wanted.get(each)]
        if wrong:
            raise AssertionError(f"replay: {wrong}")
        put(case, source, case.guarded)

    each_case(undo)
    each_case(replay)
    for how, environment in () if not speaks_to(source) else (("a dry run", {}), ("undo.js", {"APPLY": "1"}), ("undo.js once more", {"APPLY": "1"})):
        good = [outs[case.seed] for case in cases if case.seed not in failures]
        said = run_scripts(directory, source, good, **environment)
        each_case(lambda case: check_state(case, source, f"{how}, {said[outs[case.seed]]}", case.guarded if not environment else case.wanted))
    for case in cases:
        source.client.drop_database(case.database)
        if case.seed not in failures:
            print(f"seed {case.seed}, {case.kind}: identical", flush=True)
    return failures


def unique_values_across_batches(source, tools, directory):
    """Twelve hundred documents, of which each has the unique value of another one, far away: no batch can go back by itself. One document
    cannot be written by mongosh byte for byte; it stays, and is told of."""
    client, database = source.client, source.client.large
    client.drop_database("large")
    collection = database.a
    collection.create_index("u", unique=True)
    collection.insert_many([{"_id": i, "u": i, "much": "x" * 15000} for i in range(1200)])  # more than one command takes
    odd = bson.encode({"_id": "odd", "u": -1, "x": 1, "y": 2})
    collection.insert_one(RawBSONDocument(odd.replace(b"y\0", b"x\0")))  # the same name twice
    database.create_collection("log", capped=True, size=4096)
    database.create_collection("v", viewOn="a", pipeline=[])
    history = History(source, tools, directory)
    history.note()
    history.full_dump()
    before, first = documents(database), history.now()
    collection.update_many({"_id": {"$type": "int"}}, [{"$set": {"u": {"$add": ["$u", 10000]}}}])
    collection.update_many({"_id": {"$type": "int"}}, [{"$set": {"u": {"$mod": [{"$add": ["$_id", 777]}, 1200]}}}])
    collection.update_one({"_id": "odd"}, {"$set": {"n": 1}})
    last = history.now()
    database.log.insert_one({"_id": 1})
    capped = history.now()
    history.note()
    history.cut()
    window = ["--full", history.full, *history.increments, "--after", stamp(first)]
    refused = subprocess.run([BIN / "oplog-undo", *window, "--to", stamp(capped), "--ns", "large.*", "--check"], capture_output=True, text=True, check=False)
    if refused.returncode != 1 or "large.log, a capped collection, cannot be taken back" not in refused.stderr:
        raise AssertionError(f"a capped collection: {refused.returncode} {refused.stderr}")
    out = directory / "undo"
    run([BIN / "oplog-undo", "-q", *window, "--to", stamp(last), "--ns", "large.*", "-o", out])
    now = documents(database)
    if speaks_to(source):
        said = run_scripts(directory, source, [out], APPLY="1")[out]
        wanted = {**before, key("odd"): now[key("odd")]}
        if documents(database) != wanted or "mongosh cannot write it byte for byte" not in said or "1200 restored" not in said:
            raise AssertionError(f"unique values across batches: {said}")
    collection.delete_many({})
    collection.insert_many([RawBSONDocument(each) for each in now.values() if raw_id(each) != key("odd")])
    tools.mongorestore(source, "--oplogReplay", str(out / "replay"))
    if documents(database) != before:
        raise AssertionError("unique values across batches, by replay")
    client.drop_database("large")
    print("unique values across batches: identical", flush=True)


def main():
    wanted, mongod = by_seed.options(__doc__)
    if not MONGOSH or not mongod:
        print("no mongosh, or no server, to be had: skipped")
        return 77
    directory, source = by_seed.start(mongod, {"maxNumberOfTransactionOperationsInSingleOplogEntry": 3})
    tools = MongoTools()
    failed = 0
    folder = directory / "special"
    folder.mkdir()
    unique_values_across_batches(source, tools, folder)
    for first in range(0, len(wanted), BATCH):
        folder = directory / f"batch{wanted[first]}"
        folder.mkdir()
        failed += len(batch(wanted[first:first + BATCH], source, tools, folder))
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Random documents and updates, applied by a server's applyOps and by oplog-apply: every byte must be the same.

What the server refuses oplog-apply must refuse too. It refuses more: an update that is malformed where the server did not
look, since it checks whole entries before it has the documents.
"""

import argparse
import os
import random
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

try:
    from bson.codec_options import CodecOptions
    from bson.raw_bson import RawBSONDocument
    from bson.son import SON
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure
except ModuleNotFoundError:
    MongoClient = None
else:
    from server import Server, find_mongod, scratch_directory

BATCH = 500
# As new fields, numbers of which all servers say the same is the first.
NAMES = ["a", "b", "c", "d", "a-", "ab", "0", "1", "2", "01", "9", "90", "$x", "ü"]


class Document(list):
    """(name, value) pairs: names may come twice, and be empty."""


class Array(list):
    pass


class Raw(tuple):
    """A value's BSON type and bytes."""


def encode(document):
    return _document(document)


def _document(pairs):
    body = b"".join(_element(name, value) for name, value in pairs)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _element(name, value):
    kind, payload = _value(value)
    return bytes([kind]) + name.encode() + b"\0" + payload


def _value(value):
    if isinstance(value, Raw):
        return value
    if isinstance(value, Document):
        return 3, _document(value)
    if isinstance(value, Array):
        return 4, _document((str(index), each) for index, each in enumerate(value))
    if isinstance(value, bool):
        return 8, bytes([value])
    if isinstance(value, int):
        return 16, struct.pack("<i", value)
    if isinstance(value, float):
        return 1, struct.pack("<d", value)
    if isinstance(value, str):
        text = value.encode()
        return 2, struct.pack("<i", len(text) + 1) + text + b"\0"
    assert value is None
    return 10, b""


class Update:
    """A document (None: there is none), and an update's `o`."""

    def __init__(self, number, id_value, before, o, malformed, upsert):
        self.number, self.id_value, self.before, self.o = number, id_value, before, o
        self.malformed = malformed  # the server may not notice
        self.upsert = upsert
        self.after = self.ours = self.error = None

    def operation(self):
        fields = [("op", "u"), ("ns", "updates.c"), ("o2", Document([("_id", self.id_value)])), ("o", self.o)]
        return Document(fields + ([("b", True)] if self.upsert else []))


class Generator:
    def __init__(self, seed, version, kind):
        self.random = random.Random(seed)
        self.version, self.kind = version, kind
        self.malformed = self.keeps_id = False

    def update(self, number):
        self.malformed = False
        id_value = number if self.chance(0.9) else Document([("x", number)])
        fields = self.document(3)
        before = Document([("_id", id_value)] + fields)
        upsert = self.chance(0.1)
        if upsert and self.chance(0.5):
            before = None
        self.keeps_id = before is None  # servers make upserts with another _id than they were asked for
        if self.chance(0.05):
            o = self.replacement(id_value)
        elif self.kind == 2:
            o = self.envelope(2, [("diff", self.diff(before or Document(), 3, top=id_value))])
        else:
            o = self.envelope(1, self.modifiers(before or Document(), id_value))
        return Update(number, id_value, before, o, self.malformed, upsert)

    # ---- values ----

    def chance(self, probability):
        return self.random.random() < probability

    def broken(self, probability=0.01):
        """Whether to do something that a server never writes."""
        if self.chance(probability):
            self.malformed = True
            return True
        return False

    def name(self):
        return self.random.choice(NAMES)

    def value(self, depth):
        kind = self.random.randrange(14 if depth > 0 else 8)
        if kind == 0:
            return self.random.randrange(100)
        if kind == 1:
            return self.random.choice(["", "text", "a longer text", "ü"])
        if kind == 2:
            return self.random.choice([None, True, False, 0.0, -0.0, 1.5, float("inf")])
        if kind == 3:
            return Raw((18, struct.pack("<q", self.random.randrange(1 << 40))))
        if kind == 4:
            data = bytes(self.random.randrange(256) for _ in range(self.random.randrange(5)))
            return Raw((5, struct.pack("<i", len(data)) + bytes([self.random.choice([0, 5, 128])]) + data))
        if kind == 5:
            return Raw((11, b"^a\0i\0"))
        if kind == 6:
            return Raw(self.random.choice([(17, struct.pack("<q", 7 << 32)), (9, struct.pack("<q", -1)), (7, b"twelve bytes"), (255, b""), (19, b"\1" + 15 * b"\0")]))
        if kind == 7:
            return self.random.choice([Document(), Array()])
        if kind < 11:
            return Array(self.value(depth - 1) for _ in range(self.random.randrange(5)))
        return self.document(depth - 1)

    def document(self, depth):
        names = [self.name() for _ in range(self.random.randrange(6))]
        if not self.chance(0.05):
            names = list(dict.fromkeys(names))
        if self.kind == 2 and self.chance(0.05):
            names.append(self.random.choice(["", "a.b"]))
        return Document((name, self.value(depth)) for name in names)

    # ---- updates ----

    def replacement(self, id_value):
        names = ["a", "b", "$v", "diff", "$set", "c"] if self.version >= (5, 0) else ["a", "b", "c"]
        fields = [(name, self.value(2)) for name in self.random.sample(names, self.random.randrange(len(names)))]
        if self.version >= (5, 0) and self.chance(0.3):
            fields[:0] = [("$v", 2), ("diff", Document([("u", Document([("a", 1)]))]))]
        if self.version >= (5, 0) or not fields or not fields[0][0].startswith("$"):
            fields.insert(self.random.randrange(len(fields) + 1), ("_id", id_value))
        return Document(fields)

    def envelope(self, version, fields):
        if self.broken(0.02):
            version = self.random.choice([0, 3, "1", None, Raw((18, struct.pack("<q", 1 << 33)))])
        elif self.chance(0.1):
            version = Raw((18, struct.pack("<q", version)))
        fields = [("$v", version)] + fields
        if self.kind == 1 and self.chance(0.1):
            self.random.shuffle(fields)
        return Document(fields)

    def modifiers(self, before, id_value):
        paths, chosen = [], []
        for _ in range(1 + self.random.randrange(6)):
            path = self.path(before)
            taken = [other.split(".") for other in chosen]
            parts = path.split(".")
            clash = any(parts[:len(other)] == other or other[:len(parts)] == parts for other in taken)
            if clash and not self.broken(0.05):
                continue
            if any(alias(parts, other) for other in taken):  # servers since 5.0 crash on "a.1" beside "a.01"
                continue
            chosen.append(path)
            paths.append(path)
        if self.broken():
            paths.append(self.random.choice(["", "a.", ".a", "a..b", "a.$", "_id.y"]))
        if self.chance(0.03):
            paths.append("_id")
        sets, unsets = [], []
        for path in paths:
            if self.chance(0.3) and path != "_id":
                unsets.append((path, True))
            else:
                sets.append((path, id_value if path == "_id" and (self.keeps_id or not self.broken(0.1)) else self.value(2)))
        modifiers = []
        if sets:
            modifiers.append(("$set", Document(sets)))
        if unsets:
            modifiers.append(("$unset", Document(unsets)))
        if self.broken():
            modifiers.append(self.random.choice([("$sat", Document([("e", 1)])), ("e", 1), ("$set", 1), ("$unset", Array([1]))]))
        return modifiers

    def path(self, before):
        at, parts = before, []
        while True:
            names = [name for name, _ in at if name not in ("_id", "") and "." not in name] if isinstance(at, Document) else []
            if isinstance(at, Array) and self.chance(0.9):
                index = self.random.randrange(min(len(at) + 3, 10))
                name = str(index) if self.chance(0.8) else "0" + str(index)
                at = at[index] if index < len(at) else None
            elif names and self.chance(0.75):
                name = self.random.choice(names)
                at = next(value for key, value in at if key == name)
            else:
                name = self.name()
                at = None
            parts.append(name)
            if self.chance(0.3 if isinstance(at, (Document, Array)) and at else 0.6):
                return ".".join(parts)

    def diff(self, before, depth, top=None):
        known = {}
        for name, value in before:
            known.setdefault(name, value)
        names = [name for name in known if name != "_id"]
        self.random.shuffle(names)
        names = names[:self.random.randrange(4)] + [self.name() for _ in range(self.random.randrange(3))]
        names = list(dict.fromkeys(names))
        if top is not None and self.chance(0.02):
            names.append("_id")
        if names and self.broken():
            names.append(self.random.choice(names))
        sections = {"d": [], "u": [], "i": [], "s": []}
        for name in names:
            nested = depth > 0 and name != "_id" and self.chance(0.7 if isinstance(known.get(name), (Document, Array)) else 0.1)
            section = "s" if nested else self.random.choice("dui")
            if section == "d":
                sections["d"].append((name, False))
            elif section == "s":
                sections["s"].append(("s" + name, self.nested(known.get(name), depth - 1)))
            else:
                value = top if name == "_id" and (self.keeps_id or not self.broken(0.2)) else self.value(depth)
                sections[section].append((name, value))
        diff = [(name, Document(fields)) for name, fields in list(sections.items())[:3] if fields or self.chance(0.02)]
        if self.broken():
            diff.append(self.random.choice([("q", Document()), ("u", 1), ("d", Array()), ("", Document()), ("a", True), ("sz", 5), ("sz", Array())]))
        diff += sections["s"]
        if len(diff) > 1 and self.broken():
            self.random.shuffle(diff)
        if not diff and not self.broken(0.05):
            diff = [("u", Document([("a", self.value(1))]))]
        return Document(diff)

    def nested(self, before, depth):
        array = isinstance(before, Array)
        if self.chance(0.1):
            array = not array
        if not array:
            return self.diff(before if isinstance(before, Document) else Document(), depth)
        before = before if isinstance(before, Array) else Array()
        changes = [("a", True if not self.broken() else self.random.choice([False, 1, None]))]
        length = None
        if self.chance(0.3):
            length = self.random.randrange(len(before) + 4)
            changes.append(("l", length if not self.broken() else self.random.choice([float(length), Raw((18, struct.pack("<q", length))), "1"])))
        for index in range(len(before) + 4 if length is None else length):
            if not self.chance(0.3):
                continue
            digits = ("0" if self.chance(0.1) else "") + str(index)
            old = before[index] if index < len(before) else None
            if depth > 0 and self.chance(0.6 if isinstance(old, (Document, Array)) else 0.1):
                changes.append(("s" + digits, self.nested(old, depth - 1)))
            else:
                changes.append(("u" + digits, self.value(depth)))
        if self.broken():
            changes.append(self.random.choice([("l", 2), ("u", 1), ("u+1", 1), ("q1", 1), ("s9", 1), ("s9", Document()), ("u1x", 1)]))
        return Document(changes)


def alias(parts, other):
    """Whether two paths may name one position of an array in two ways."""
    for part, its in zip(parts, other):
        if part != its:
            return part.isdigit() and its.isdigit() and int(part) == int(its)
    return False


# ---- the server's side ----

def on_server(client, updates):
    """Sets `after` of each, or `error`."""
    database = client.get_database("updates", codec_options=CodecOptions(document_class=RawBSONDocument))
    database.drop_collection("c")
    database.create_collection("c")
    inserts = [Document([("op", "i"), ("ns", "updates.c"), ("o", each.before)]) for each in updates if each.before is not None]
    left = apply_ops(database, inserts)
    assert left is None, left
    rest = updates
    while rest:
        failed = apply_ops(database, [each.operation() for each in rest])
        if failed is None:
            break
        index, rest[failed[0]].error = failed[0], failed[1]
        rest = rest[index + 1:]
    after = {number_of(document.raw): document.raw for document in database.c.find()}
    for each in updates:
        if not each.error:
            each.after = after[each.number]


def apply_ops(database, operations):
    """The index of the first that failed, and why; None if all went well."""
    if not operations:
        return None
    command = SON([("applyOps", [RawBSONDocument(encode(each)) for each in operations]), ("allowAtomic", False), ("alwaysUpsert", False)])
    try:
        database.client.get_database("updates").command(command)
    except OperationFailure as failure:
        applied = failure.details.get("applied")
        if applied is None:
            raise
        return applied - 1, failure.details["errmsg"]
    return None


def number_of(document):
    """Ours to know documents by: in their _id, whose type an update may change."""
    _, kind, payload = next(elements(document))
    if kind == 3:
        _, kind, payload = next(elements(payload))
    return int(struct.unpack({1: "<d", 16: "<i", 18: "<q"}[kind], payload)[0])


def elements(document):
    """(name, type, bytes) of the fields that a document's beginning may have here."""
    at = 4
    while document[at]:
        kind = document[at]
        end = document.index(b"\0", at + 1)
        size = {1: 8, 16: 4, 18: 8}.get(kind) or struct.unpack_from("<i", document, end + 1)[0]
        yield document[at + 1:end], kind, document[end + 1:end + 1 + size]
        at = end + 1 + size


# ---- our side ----

class Ours:
    def __init__(self, tool, directory):
        self.tool, self.directory = tool, directory

    def apply(self, updates):
        """None and each one's `ours` set; or the first update that was refused, and why."""
        shutil.rmtree(self.directory, ignore_errors=True)
        full = self.directory / "full"
        (full / "updates").mkdir(parents=True)
        (full / "updates" / "c.metadata.json").write_text('{"indexes":[],"collectionName":"c","type":"collection"}')
        (full / "updates" / "c.bson").write_bytes(b"".join(encode(each.before) for each in updates if each.before is not None))
        first = self.entry(1, Document([("op", "n"), ("ns", ""), ("o", Document())]))
        (full / "oplog.bson").write_bytes(first)
        entries = [self.entry(index + 2, each.operation()) for index, each in enumerate(updates)]
        (self.directory / "inc.bson").write_bytes(first + b"".join(entries))
        out = self.directory / "out"
        done = subprocess.run([self.tool, "--full", full, self.directory / "inc.bson", "-o", out, "-q"], capture_output=True, text=True)
        if done.returncode == 1:
            place = re.search(r"inc\.bson: offset \d+: document (\d+): (.*)", done.stderr)
            assert place, done.stderr
            return updates[int(place[1]) - 2], place[2]
        assert done.returncode == 0, done.stderr
        data, at, after = (out / "updates" / "c.bson").read_bytes(), 0, {}
        while at < len(data):
            size = struct.unpack_from("<i", data, at)[0]
            document = data[at:at + size]
            assert number_of(document) not in after, document
            after[number_of(document)] = document
            at += size
        for each in updates:
            each.ours = after.get(each.number)
        return None

    @staticmethod
    def entry(number, operation):
        timestamp = Raw((17, struct.pack("<II", number, 1700000000)))
        return encode(Document(operation + [("ts", timestamp), ("t", Raw((18, struct.pack("<q", 1)))), ("v", Raw((18, struct.pack("<q", 2))))]))


def compare(client, ours, updates, report):
    on_server(client, updates)
    left = [each for each in updates if not each.error]
    while left:
        refused = ours.apply(left)
        if refused is None:
            break
        each, reason = refused
        if not each.malformed:
            report(each, f"the server applies it, oplog-apply refuses: {reason}")
        left.remove(each)
    for each in left:
        if each.after != each.ours:
            report(each, f"server {each.after}\n    ours   {each.ours}")
    refused = [each for each in updates if each.error]
    for each in refused:
        if ours.apply([each]) is None:
            report(each, f"oplog-apply applies it, the server refuses: {each.error}")
    return len(refused)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, required=True, metavar="DIR", help="where oplog-apply is")
    parser.add_argument("--server", metavar="VERSION", help="one that servers.py got, or a path (default: $MONGOD, PATH, 6.0.5)")
    parser.add_argument("--fcv", metavar="VERSION", help="the feature compatibility version (default: the server's own)")
    parser.add_argument("--uri", help="a server that runs, in place of one of its own: it is written to")
    parser.add_argument("--count", type=int, default=1000, help="updates of each kind that the server knows")
    parser.add_argument("--seed", type=int, help="of the first batch (default: a random one)")
    arguments = parser.parse_args()

    mongod = find_mongod(arguments.server) if MongoClient else None
    if not (mongod or (MongoClient and arguments.uri)):
        print("skipped: " + ("no such server" if MongoClient else "pymongo is not installed"))
        return 2 if os.environ.get("OPLOG_REQUIRE_LIVE") == "1" and not arguments.server else 77
    scratch = scratch_directory()
    if arguments.uri:
        client = MongoClient(arguments.uri, directConnection=True)
    else:
        client = Server(scratch / "server", mongod=mongod, fcv=arguments.fcv).wait().client
    version = tuple(client.server_info()["versionArray"][:2])
    ours = Ours(arguments.bin / "oplog-apply", scratch / "ours")
    seed = random.randrange(1_000_000) if arguments.seed is None else arguments.seed
    differences = []

    def report(update, text):
        differences.append(update)
        if len(differences) <= 10:
            print(f"  before {update.before}\n    o      {update.o}{' (upsert)' if update.upsert else ''}\n    {text}")

    knows_diffs = version >= (5, 0) and arguments.fcv != "4.4"
    for kind in (1, 2) if knows_diffs else (1,):
        refused = 0
        for first in range(0, arguments.count, BATCH):
            generator = Generator(seed * 1000 + first // BATCH, version, kind)
            updates = [generator.update(number) for number in range(min(BATCH, arguments.count - first))]
            refused += compare(client, ours, updates, report)
        print(f"{'.'.join(map(str, client.server_info()['versionArray'][:3]))}  $v: {kind}  seed {seed}: {arguments.count} updates, {refused} refused by both, {len(differences)} differences")
        sys.stdout.flush()
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())

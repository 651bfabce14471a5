"""What a sharded cluster held at a moment, by its members' whole oplogs alone: a model to compare oplog-gather with, which shares no code with it.

It plays each oplog from its first entry on, so no dump is part of it. Documents are values of pymongo, which is right for what the tests write."""

import bisect
import datetime
import hashlib
import struct

import bson
from bson import Decimal128, MaxKey, MinKey, ObjectId, Timestamp
from bson.binary import STANDARD
from bson.codec_options import CodecOptions

OPTIONS = CodecOptions(document_class=dict, uuid_representation=STANDARD, tz_aware=True)
DDL = "config.system.sharding_ddl_coordinators"
OF_SERVERS = {"admin", "config", "local"}
OF_CLUSTER = {"config.databases", "config.collections", "config.chunks", "config.shards", DDL, "config.transaction_coordinators", "admin.system.users", "admin.system.roles"}


def decode(raw):
    return bson.decode(raw, OPTIONS)


def encode(document):
    return bson.encode(document, codec_options=OPTIONS)


# ---- shard keys


def rank(value):
    """Sorts as the server sorts values of the types used here."""
    if isinstance(value, MinKey):
        return (-1,)
    if value is None:
        return (5,)
    if isinstance(value, bool):
        return 40, value
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    if isinstance(value, str):
        return 15, value.encode()
    if isinstance(value, dict):
        return 20, tuple((rank(each)[0], name.encode(), rank(each)) for name, each in value.items())
    if isinstance(value, bytes):
        return 30, len(value), getattr(value, "subtype", 0), bytes(value)
    if isinstance(value, ObjectId):
        return 35, value.binary
    if isinstance(value, datetime.datetime):
        return 45, value
    if isinstance(value, MaxKey):
        return (127,)
    return 10, value


def server_hash(value):
    """The hashed index's: of a seed of 0, the type's number, and the value."""

    def element(value):
        number = struct.pack("<i", rank(value)[0])
        if isinstance(value, dict):
            return number + b"".join(element(each)[:4] + name.encode() + b"\0" + element(each)[4:] for name, each in value.items()) + bytes(4)
        if rank(value)[0] == 10:
            return number + struct.pack("<q", int(rank(value)[1]))
        return number + encode({"": value})[6:-1]

    return struct.unpack("<q", hashlib.md5(bytes(4) + element(value)).digest()[:8])[0]


def key_of(pattern, document):
    ranks = []
    for path, kind in pattern.items():
        value = document
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        ranks.append(rank(server_hash(value) if kind == "hashed" else value))
    return tuple(ranks)


def bound_of(bound):
    return tuple(map(rank, bound.values()))


# ---- updates


def updated(document, change):
    if "$v" not in change and not any(name.startswith("$") for name in change):
        return change
    if change.get("$v") == 2:
        return patched(document, change["diff"])
    for path, value in change.get("$set", {}).items():
        document = replaced(document, path.split("."), value)
    for path in change.get("$unset", {}):
        document = replaced(document, path.split("."), None, remove=True)
    return document


def replaced(value, path, new, remove=False):
    if not path:
        return new
    name, *rest = path
    if isinstance(value, list):
        copy = list(value) + [None] * (int(name) + 1 - len(value))
        copy[int(name)] = None if remove and not rest else replaced(copy[int(name)], rest, new, remove)
        return copy
    copy = dict(value or {})
    if not remove or rest:
        copy[name] = replaced(copy.get(name), rest, new, remove)
    else:
        copy.pop(name, None)
    return copy


def patched(value, diff):
    if diff.get("a"):
        copy = list(value)
        if "l" in diff:
            copy = copy[:diff["l"]]
        for name, change in diff.items():
            if name[0] in "us" and name[1:].isdigit():
                at = int(name[1:])
                copy += [None] * (at + 1 - len(copy))
                copy[at] = change if name[0] == "u" else patched(copy[at], change)
        return copy
    copy = dict(value)
    for name in diff.get("d", {}):
        copy.pop(name, None)
    copy.update(diff.get("u", {}))
    for name, new in diff.get("i", {}).items():
        copy.pop(name, None)
        copy[name] = new
    for name, change in diff.items():
        if name[0] == "s" and len(name) > 1:
            copy[name[1:]] = patched(copy[name[1:]], change)
    return copy


# ---- a member


def transaction_of(lsid, number):
    return bytes(lsid["id"].bytes), bytes(lsid.get("uid", b"")), int(number)


class Member:
    """A server's state, played entry by entry."""

    def __init__(self, oplog):
        self.entries = [decode(raw) for raw in oplog]
        self.next = 0
        self.names = {}  # of collections, by their UUIDs
        self.documents = {}  # by UUID, then by the bytes of _id
        self.dropped = set()
        self.drops = {}  # of each database: when something of it was dropped last
        self.began = {}  # of coordinators' documents, by the bytes of _id: when they were inserted
        self.open = {}  # transactions: their operations
        self.prepared = set()

    def play(self, until):
        while self.next < len(self.entries) and self.entries[self.next]["ts"] <= until:
            self.entry(self.entries[self.next])
            self.next += 1

    def entry(self, entry):
        if entry["op"] == "n":
            return
        command = entry["o"] if entry["op"] == "c" else {}
        if "txnNumber" in entry and command.keys() & {"applyOps", "commitTransaction", "abortTransaction"} and entry["ns"] == "admin.$cmd":
            identity = transaction_of(entry["lsid"], entry["txnNumber"])
            self.open.setdefault(identity, []).extend(command.get("applyOps", []))
            if command.get("prepare"):
                self.prepared.add(identity)
            elif not command.get("partialTxn"):
                operations = self.open.pop(identity)
                self.prepared.discard(identity)
                if "abortTransaction" not in command:
                    self.operations(operations, entry["ts"])
            return
        self.operation(entry, entry["ts"])

    def operations(self, operations, ts):
        for operation in operations:
            self.operation(operation, ts)

    def operation(self, operation, ts):
        ns, o, ui = operation["ns"], operation["o"], operation.get("ui")
        database = ns.split(".", 1)[0]
        if operation["op"] == "c":
            return self.command(database, o, ui, ts)
        if operation["op"] == "n" or (database in OF_SERVERS and ns not in OF_CLUSTER):
            return None
        if ui not in self.names:
            raise AssertionError(f"{ns}: an entry of an unknown collection: {operation}")
        documents = self.documents[ui]
        identity = encode({"_id": operation["o2" if operation["op"] == "u" else "o"]["_id"]})
        if ns == DDL and operation["op"] == "i":
            self.began[identity] = ts
        if operation["op"] == "d":
            documents.pop(identity, None)
        elif operation["op"] == "i" or "_id" in o:
            documents[identity] = o
        else:
            documents[identity] = updated(documents[identity], o)
        return None

    def command(self, database, o, ui, ts):
        name = next(iter(o))
        if name == "applyOps":
            self.operations(o["applyOps"], ts)
        elif name == "create":
            self.names[ui] = f"{database}.{o['create']}"
            self.documents[ui] = {}
        elif name == "drop":
            self.forget(ui)
            self.drops[database] = ts
        elif name == "renameCollection":
            if o.get("dropTarget"):
                self.forget(o["dropTarget"])
            self.names[ui] = o["to"]
        elif name == "dropDatabase":
            self.drops[database] = ts

    def forget(self, ui):
        del self.names[ui], self.documents[ui]
        self.dropped.add(ui)

    def of(self, ns):
        """The documents of a collection by its name."""
        return [document for ui, name in self.names.items() if name == ns for document in self.documents[ui].values()]


class State:
    """Of a member, with prepared transactions that count."""

    def __init__(self, member, decisions, ts):
        self.member = member
        self.names = member.names
        counting = [identity for identity in member.prepared if identity in decisions and decisions[identity] <= ts]
        self.documents = member.documents
        if counting:
            copy = Member([])
            copy.names, copy.documents = dict(member.names), {ui: dict(each) for ui, each in member.documents.items()}
            for identity in counting:
                copy.operations(member.open[identity], ts)
            self.documents, self.names = copy.documents, copy.names
        self.counting = len(counting)
        self.undecided = {identity for identity in member.prepared if identity not in decisions}

    def of(self, ns):
        return [document for ui, name in self.names.items() if name == ns for document in self.documents[ui].values()]


# ---- the cluster


class Model:
    """at() takes moments in their order."""

    def __init__(self, oplogs):
        self.members = {name: Member(oplog) for name, oplog in oplogs.items()}
        self.decisions = {}  # the commit timestamps of what was committed anywhere at any time
        self.aborted = set()
        for member in self.members.values():
            for entry in member.entries:
                self._learn(entry)

    def _learn(self, entry):
        o = entry.get("o", {})
        if entry["op"] == "c" and "commitTransaction" in o and "commitTimestamp" in o:
            self.decisions[transaction_of(entry["lsid"], entry["txnNumber"])] = o["commitTimestamp"]
        elif entry["op"] == "c" and "abortTransaction" in o:
            self.aborted.add(transaction_of(entry["lsid"], entry["txnNumber"]))
        elif entry["ns"] == "config.transaction_coordinators" and "decision" in o:
            identity = transaction_of(o["_id"]["lsid"], o["_id"]["txnNumber"])
            if o["decision"]["decision"] == "commit":
                self.decisions[identity] = o["decision"]["commitTimestamp"]
            else:
                self.aborted.add(identity)

    def at(self, ts):
        """The documents of each collection, as sorted bytes, and the views."""
        for member in self.members.values():
            member.play(ts)
        states = {name: State(member, self.decisions, ts) for name, member in self.members.items()}
        config = states["config"]
        shards = {shard["_id"]: states[shard["_id"]] for shard in config.of("config.shards")}
        self.undecided = set().union(*(state.undecided for state in shards.values())) - self.aborted
        self.counting = sum(state.counting for state in shards.values())
        self.states, self.shards = states, shards
        primaries = {each["_id"]: each["primary"] for each in config.of("config.databases") if each["_id"] not in OF_SERVERS}
        catalog = {each["_id"]: each for each in config.of("config.collections")
                   if not each.get("dropped") and each["_id"].split(".")[0] not in OF_SERVERS and ".system.resharding." not in each["_id"]}
        gone = self._follow_operations(shards, primaries, catalog)
        sharded = {each["uuid"] for each in config.of("config.collections") if "uuid" in each} | {each["uuid"] for each in catalog.values()}
        result = {}
        for ns, each in catalog.items():
            if any(each["uuid"] in state.member.dropped and each["uuid"] not in state.names for state in shards.values()):
                continue  # a drop is under way that no coordinator's document tells of, as before 5.0
            chunks = sorted((chunk for chunk in config.of("config.chunks") if chunk.get("uuid", each["uuid"]) == each["uuid"] and chunk.get("ns", ns) == ns),
                            key=lambda chunk: bound_of(chunk["min"]))
            result[ns] = self._owned(shards, each, chunks)
        for database, primary in primaries.items():
            state = shards[primary]
            for ui, ns in state.names.items():
                kept = ".system." not in ns or ".system.buckets." in ns or ns.endswith(".system.js")
                if ns.split(".", 1)[0] == database and kept and ns not in catalog and ui not in sharded | gone:
                    result[ns] = sorted(map(encode, state.documents[ui].values()))
        for ns in ("admin.system.users", "admin.system.roles"):
            if ns in config.names.values():
                result[ns] = sorted(map(encode, config.of(ns)))
        views = {view["_id"] for database, primary in primaries.items() for view in shards[primary].of(f"{database}.system.views")}
        return result, views

    @staticmethod
    def _owned(shards, collection, chunks):
        bounds = [bound_of(chunk["min"]) for chunk in chunks]
        owned = []
        for shard, state in shards.items():
            for document in state.documents.get(collection["uuid"], {}).values():
                if chunks[bisect.bisect_right(bounds, key_of(collection["key"], document)) - 1]["shard"] == shard:
                    owned.append(encode(document))
        return sorted(owned)

    def _follow_operations(self, shards, primaries, catalog):
        """Changes the catalogue to what it is before or after an operation under way; the UUIDs of collections that are gone."""
        gone = set()
        known = {each.get("uuid") for each in catalog.values()}
        for state in shards.values():
            for operation in state.of(DDL):
                kind, ns = operation["_id"]["operationType"], operation["_id"]["namespace"]
                gone |= getattr(self, f"_{kind}", lambda *_: set())(shards, primaries, catalog, known, operation, ns)
        return gone

    @staticmethod
    def _dropCollection(_shards, _primaries, _catalog, known, operation, _ns):
        uuid = operation.get("collInfo", {}).get("uuid")
        return {uuid} if uuid and uuid not in known else set()

    def _dropDatabase(self, shards, primaries, catalog, known, operation, ns):
        database = ns.split(".", 1)[0]
        uuid = operation.get("collInfo", {}).get("uuid")
        identity = encode({"_id": operation["_id"]})
        began = min(state.member.began[identity] for state in shards.values() if identity in state.member.began)
        if (uuid and uuid not in known) or any(state.member.drops.get(database, Timestamp(0, 0)) > began for state in shards.values()):
            primaries.pop(database, None)
            for name in [name for name in catalog if name.split(".", 1)[0] == database]:
                del catalog[name]
        return set()

    @staticmethod
    def _renameCollection(shards, _primaries, catalog, _known, operation, ns):
        to = operation["to"]
        source = operation.get("sourceUUID") or operation.get("optShardedCollInfo", {}).get("uuid")
        target = operation.get("targetUUID") or (catalog[to]["uuid"] if to in catalog and catalog[to]["uuid"] != source else None)
        if not source or not any(state.names.get(source) == to or target in state.member.dropped for state in shards.values()):
            return set()
        if ns in catalog and catalog[ns]["uuid"] == source:
            del catalog[ns]
        if to in catalog and catalog[to]["uuid"] != source:
            del catalog[to]
        if "optShardedCollInfo" in operation:
            catalog.setdefault(to, operation["optShardedCollInfo"])
        return {target} if target else set()

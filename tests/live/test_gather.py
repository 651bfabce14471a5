#!/usr/bin/env python3
"""oplog-gather against a real sharded cluster: transfers over shards that leave a sum constant, chunks on the move, and operations on collections.

The members' chains are gathered at moments between the entries of one commit, at commit timestamps whose decision comes later, around the moments at which chunks
changed hands and while an operation on a collection was under way. Each result is to be what a model says that reads the whole oplogs, and what snapshot reads gave;
the sum is to hold. The last one is restored to a replica set. --moments 300 is the long form.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote_plus

import by_seed  # noqa: F401  first: it skips what is not to be had

import bson
import bson.json_util
from bson import Decimal128, Int64, ObjectId, Timestamp
from pymongo.errors import PyMongoError

import cluster_model
import server
from cluster import Cluster, CommandError, Transaction
from tools import MongoTools

BIN = Path(os.environ.get("OPLOG_BIN", Path(__file__).parents[2] / "build/release/tools"))
ACCOUNTS, BALANCE = 120, 100
MONEY = ("app.acct", "app.h", "app.plain")  # the sum of `n` over them is constant
RAW = bson.CodecOptions(document_class=bson.raw_bson.RawBSONDocument)


def just_before(ts):
    return Timestamp(ts.time, ts.inc - 1)


def stamp(ts):
    return f"{ts.time}:{ts.inc}"


# ---- what happens in the cluster


class Load:
    """Threads that write until they are stopped. What goes wrong in one is told at the end."""

    def __init__(self, cluster, seed):
        self.cluster, self.seed = cluster, seed
        self.stopped = threading.Event()
        self.counts = Counter()
        self.failures = []
        self.threads = []

    def run(self, count, step):
        for number in range(count):
            thread = threading.Thread(target=self._loop, args=(step, random.Random(f"{self.seed}/{step.__name__}/{number}")), daemon=True)
            thread.start()
            self.threads.append(thread)

    def _loop(self, step, dice):
        router = self.cluster.router()
        while not self.stopped.is_set():
            try:
                step(router, dice)
            except CommandError as error:  # conflicts, stale maps and the like, which users meet too
                self.counts[f"{step.__name__}: {error.code}"] += 1
            except Exception as error:  # noqa: BLE001
                self.failures.append(f"{step.__name__}: {error!r}")
                return

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(120)
        if self.failures:
            raise AssertionError(self.failures)

    # ---- the steps

    def transfer(self, router, dice):
        places = [(dice.choice(MONEY), dice.randrange(ACCOUNTS)) for _ in range(dice.choice([2, 2, 3]))]
        if len(set(places)) < len(places):
            return
        transaction = router.begin()
        amount = dice.randrange(1, 20)
        try:
            for number, (ns, account) in enumerate(places):
                change = -amount if number == 0 else amount // (len(places) - 1) + (amount % (len(places) - 1) if number == 1 else 0)
                transaction.update(ns, {"_id": account}, {"$inc": {"n": change}})
        except CommandError:
            transaction.abort()
            raise
        if dice.random() < 0.05:
            transaction.abort()
        else:
            transaction.commit()
            self.counts["transfer"] += 1

    def write(self, router, dice):
        """Single documents, with shard keys of all kinds."""
        number = dice.randrange(60)
        ns, document = dice.choice(KEYED)(number)
        if dice.random() < 0.3:
            router.delete(ns, document)
        elif dice.random() < 0.5:
            router.update(ns, document, {"$set": {"w": dice.randrange(9), "x.y": dice.randrange(9)}, "$push": {"l": {"$each": [dice.randrange(5)], "$slice": -4}}})
        else:
            with suppress(CommandError):  # it is there already
                router.insert(ns, document)
        self.counts["write"] += 1

    def move(self, _router, dice):
        ns = dice.choice(["app.acct", "app.acct", "app.h", "app.h", "keys.compound", "keys.zoned", "keys.hashed", "keys.collated"])
        chunks = self.cluster.chunks(ns)
        if chunks:
            chunk = dice.choice(chunks)
            self.cluster.move(ns, chunk["min"], dice.choice([shard for shard in self.cluster.shards if shard != chunk["shard"]]), wait=dice.random() < 0.3, tries=1)
            self.counts["move"] += 1
        time.sleep(0.2)  # a shard works on one at a time, and others want their turn


VALUES = [1, 2.5, Int64(7), "text", "Text", None, True, Decimal128("3.25"), ObjectId("0" * 24), {"a": 1}, {"b": "x"}]


def compound(number):
    value = VALUES[number % len(VALUES)]
    return "keys.compound", {"_id": number, **({} if number % 7 == 0 else {"a": {"b": value} if number % 5 else value}), **({"c": number % 4} if number % 3 else {})}


def collated(number):
    return "keys.collated", {"_id": number, "s": "aAbBcC"[number % 6] + str(number % 5)}


def hashed(number):
    return "keys.hashed", {"_id": number, **({} if number % 11 == 0 else {"k": VALUES[number % len(VALUES)]}), "r": number % 3}


def zoned(number):
    return "keys.zoned", {"_id": number, "z": number}


KEYED = [compound, collated, hashed, zoned]


def prepare(cluster):
    """Databases and collections, before the load."""
    cluster.create_database("app", "sh0")
    cluster.create_database("keys", cluster.shards[-1])
    cluster.create_database("own", cluster.shards[-1])
    middle = ACCOUNTS // len(cluster.shards)
    cluster.shard("app.acct", {"_id": 1}, split=[{"_id": middle * i} for i in range(1, len(cluster.shards))])
    cluster.shard("app.h", {"_id": "hashed"}, chunks=2 * len(cluster.shards))
    cluster.create("app.plain")
    cluster.create("app.capped", capped=True, size=1 << 16)
    cluster.create("app.empty")
    cluster.shard("keys.compound", {"a.b": 1, "c": 1}, split=[{"a.b": 2, "c": 1}, {"a.b": "text", "c": bson.MinKey()}])
    cluster.shard("keys.zoned", {"z": 1}, split=[{"z": 20}, {"z": 40}])
    cluster.create("keys.collated", collation={"locale": "en", "strength": 2})
    cluster.servers[cluster.primary("keys")].client.keys.collated.create_index("s", collation={"locale": "simple"})
    cluster.shard("keys.collated", {"s": 1}, split=[{"s": "a3"}, {"s": "b"}], collation={"locale": "simple"})
    if cluster.version >= (4, 4):
        cluster.shard("keys.hashed", {"k": "hashed", "r": 1}, **({"chunks": 4} if cluster.version >= (5, 0) else {}))
    if cluster.version >= (5, 0):
        series = {"timeField": "t", "metaField": "m"}
        cluster.create("own.series", timeseries=series)
        cluster.shard("keys.series", {"m": 1}, timeseries=series)
    cluster.create("own.other", validator={"n": {"$gt": -1}})
    cluster.create("own.odd names % é.x")
    cluster.create("own.seen", viewOn="other", pipeline=[{"$match": {"n": 1}}])
    router = cluster.router()
    for ns in MONEY:
        router.insert(ns, *({"_id": i, "n": BALANCE} for i in range(ACCOUNTS)))
    for number in range(60):
        for keyed in KEYED:
            router.insert(*keyed(number))
    router.insert("own.odd names % é.x", {"_id": 1})
    router.insert("own.other", *({"_id": i, "n": i % 3} for i in range(50)))
    primary = cluster.servers["sh0"].client
    primary.app.capped.insert_many([{"_id": i} for i in range(10)])
    config = cluster.servers["config"].client.admin
    config.command("createUser", "alice", pwd="secret", roles=["readWriteAnyDatabase"])
    config.command("createRole", "clerk", privileges=[], roles=["read"])
    cluster.zone("sh0", "low")
    cluster.zone("sh1", "high")
    cluster.zone_range("keys.zoned", {"z": bson.MinKey()}, {"z": 20}, "low")
    cluster.zone_range("keys.zoned", {"z": 40}, {"z": bson.MaxKey()}, "high")
    for database in ("own", "keys"):
        if cluster.version >= (5, 0):
            with suppress(PyMongoError):
                cluster.servers[cluster.primary(database)].client[database].series.insert_many(
                    [{"t": time_of(i), "m": i % 3, "v": i} for i in range(30)])


def time_of(number):
    return bson.datetime_ms.DatetimeMS(1700000000000 + number * 60000)


def operations(cluster):
    """Each a collection's or a database's, in a name of its own: (what, how)."""
    made = cluster.router()

    def new(ns, sharded, documents=12):
        database = ns.split(".", 1)[0]
        if not cluster.database(database):
            cluster.create_database(database, cluster.shards[0])
        if sharded:
            cluster.shard(ns, {"_id": 1}, split=[{"_id": documents // 2}])
        else:
            cluster.create(ns)
        made.forget(ns)
        made.insert(ns, *({"_id": i, "n": -i, "of": ns} for i in range(documents)))

    def drop_and_make_again():
        new("ddl.again", True)
        cluster.drop("ddl.again")
        new("ddl.again", False, 5)
        cluster.drop("ddl.again")
        new("ddl.again", True, 8)

    def rename():
        new("ddl.a", True)
        cluster.rename("ddl.a", "ddl.b")

    def rename_unsharded():
        new("ddl.u", False)
        cluster.rename("ddl.u", "ddl.v")

    def rename_over():
        new("ddl.c", True)
        new("ddl.d", True)
        cluster.rename("ddl.c", "ddl.d", drop_target=True)

    def rename_over_unsharded():
        new("ddl.e", True)
        new("ddl.f", False)
        cluster.rename("ddl.e", "ddl.f", drop_target=True)

    def rename_unsharded_over():
        new("ddl.g", False)
        new("ddl.i", True)
        cluster.rename("ddl.g", "ddl.i", drop_target=True)

    def rename_in_a_circle():
        new("ddl.x", True)
        new("ddl.y", True)
        cluster.rename("ddl.x", "ddl.z")
        cluster.rename("ddl.y", "ddl.x")
        cluster.rename("ddl.z", "ddl.y")

    def drop():
        new("ddl.gone", True)
        cluster.drop("ddl.gone")

    def drop_unsharded():
        new("ddl.left", False)
        cluster.drop("ddl.left")

    def shard_what_is_there():
        new("ddl.s", False)
        cluster.shard("ddl.s", {"_id": 1})
        cluster.move("ddl.s", {"_id": bson.MinKey()}, cluster.shards[1])

    def drop_database():
        new("brief.a", True)
        new("brief.b", True)
        new("brief.c", False)
        cluster.drop_database("brief")
        new("brief.b", False)
        cluster.drop_database("brief")
        new("brief.c", True)

    def move_primary():
        new("moving.a", False)
        new("moving.b", True)
        cluster.move_primary("moving", cluster.shards[1])
        made.forget("moving.a")
        made.insert("moving.a", {"_id": 100})
        cluster.move_primary("moving", cluster.shards[0])

    def reshard():
        new("ddl.r", True, 40)
        cluster.create_indexes("ddl.r", {"key": {"n": 1}, "name": "n_1"})
        cluster.reshard("ddl.r", {"n": 1})

    def refine():
        new("ddl.k", True)
        cluster.create_indexes("ddl.k", {"key": {"_id": 1, "n": 1}, "name": "both"})
        cluster.refine("ddl.k", {"_id": 1, "n": 1})

    def move_a_time_series():
        buckets = "keys.system.buckets.series"
        for shard in (*cluster.shards[:2], cluster.primary("keys")):
            if [chunk["shard"] for chunk in cluster.chunks(buckets)] not in ([], [shard]):
                cluster.move(buckets, {"meta": bson.MinKey()}, shard)

    if cluster.version < (5, 0):
        return [drop, drop_unsharded, shard_what_is_there, move_primary]
    return [rename, rename_unsharded, rename_over, rename_over_unsharded, rename_unsharded_over, rename_in_a_circle, drop, drop_unsharded, drop_and_make_again,
            shard_what_is_there, drop_database, move_primary, refine, reshard, move_a_time_series]


def leftovers(cluster):
    """What is on a shard that does not own it, as a migration that failed, or a server that was cut off, leaves it."""
    router = cluster.router()
    for ns, document in (("app.acct", {"_id": 5, "n": 7777}), ("keys.zoned", {"_id": 3, "z": 3, "left": True})):
        owner = router.owner(ns, document)
        shard = next(shard for shard in cluster.shards if shard != owner)
        database, name = ns.split(".")
        cluster.servers[shard].client[database][name].replace_one({"_id": document["_id"]}, document, upsert=True)
    away = next(shard for shard in cluster.shards if shard != cluster.primary("app"))
    cluster.servers[away].client.app.plain.insert_one({"_id": 1, "n": 5555})  # a collection of another UUID
    cluster.servers[away].client.app.nowhere.insert_one({"_id": 1})


def fail_point(cluster, shard, name, on):
    cluster.on(shard).command("admin", {"configureFailPoint": name, "mode": "alwaysOn" if on else "off"})


def migration_that_stops(cluster, step, end):
    """A migration is held at a step, and then ended in some way; documents are written meanwhile."""
    chunk = cluster.chunks("app.acct")[0]
    donor = chunk["shard"]
    recipient = next(shard for shard in cluster.shards if shard != donor)
    fail_point(cluster, donor, f"moveChunkHangAtStep{step}", True)
    moving = threading.Thread(target=lambda: suppressed(cluster.move, "app.acct", chunk["min"], recipient, tries=1))
    moving.start()
    time.sleep(1.5)
    if step < 5:
        router = cluster.router()
        router.update("app.acct", {"_id": 1}, {"$set": {"step": step}})
    end(donor)
    moving.join(60)


def suppressed(function, *arguments, **options):
    with suppress(CommandError, OSError):
        function(*arguments, **options)


def migration_that_fails(cluster):
    def end(donor):
        client = cluster.servers[donor].client
        for each in client.admin.aggregate([{"$currentOp": {"allUsers": True, "idleConnections": True, "localOps": True}}]):
            if "moveChunk" in str(each.get("command", {}).keys()) + each.get("desc", "") or "_shardsvrMoveRange" in each.get("command", {}):
                client.admin.command("killOp", op=each["opid"])
        fail_point(cluster, donor, "moveChunkHangAtStep4", False)

    migration_that_stops(cluster, 4, end)


def migration_that_is_resumed(cluster):
    """The donor's process ends in the middle, and is started again."""
    def end(donor):
        cluster.servers[donor].process.kill()
        cluster.servers[donor].process.wait()
        cluster.restart(donor)

    migration_that_stops(cluster, 5, end)
    time.sleep(3)


def hold(cluster, count):
    """Transactions that are prepared on two shards, with a time at which all were."""
    cluster.create_database("held")
    cluster.shard("held.a", {"_id": 1}, split=[{"_id": 0}])
    router = cluster.router()
    router.insert("held.a", {"_id": -count - 1}, {"_id": count + 1})  # now the shards know what they own
    held = []
    for number in range(count):
        transaction = Transaction(router, {"lsid": {"id": uuid.uuid4()}, "txnNumber": Int64(1), "autocommit": False})
        transaction.insert("held.a", {"_id": number + 1, "of": number})
        transaction.insert("held.a", {"_id": -number - 1, "of": number})
        held.append(transaction)
    stamps = [transaction.prepare() for transaction in held]  # of each, those of its shards
    cluster.note()
    return held, stamps, cluster.now()


def end_held(held, stamps):
    """Most are committed, some aborted, and some never end."""
    for number, (transaction, of_shards) in enumerate(zip(held, stamps)):
        if number % 10 < 7:
            transaction.commit_prepared(max(of_shards))
        elif number % 10 < 9:
            transaction.abort()


# ---- chains


class Chains:
    """A directory a member, called otherwise than the member: `full` by mongodump with a slice of its own, and increments."""

    def __init__(self, cluster, folder, tools):
        self.cluster, self.folder, self.tools = cluster, folder, tools
        self.paths = {member: folder / f"chain{number}" for number, member in enumerate(reversed(cluster.members))}
        self.last = {}
        self.rounds = 0

    def full(self):
        for member, path in self.paths.items():
            source = self.cluster.servers[member]
            config = source.client.config
            start = self._begin_of_open(member, self._last(member))
            self.tools.mongodump(source, "--out", str(path / "full"))
            for name in ("system.sharding_ddl_coordinators", "transaction_coordinators"):
                if name in config.list_collection_names():
                    self.tools.mongodump(source, "--db", "config", "--collection", name, "--out", str(path / "full"))
            self._slice(member, path / "full/oplog.bson", just_before(start))

    def increment(self):
        self.rounds += 1
        self.cluster.note()
        for member, path in self.paths.items():
            target = path / f"inc{self.rounds}" / ("oplog.bson" if self.rounds % 2 else "local/oplog.rs.bson")
            target.parent.mkdir(parents=True)
            self._slice(member, target, just_before(self.last[member]))

    def _begin_of_open(self, member, ts):
        """The time, or when the first of the transactions began that were open then. config.transactions may have forgotten one by the time that it is read."""
        open_ones = {}
        for raw in self.cluster.oplog(member):
            entry = cluster_model.decode(raw)
            if entry["ts"] > ts:
                break
            if entry["op"] == "c" and "lsid" in entry and "txnNumber" in entry:
                identity = cluster_model.transaction_of(entry["lsid"], entry["txnNumber"])
                begun = open_ones.pop(identity, entry["ts"])
                if entry["o"].get("partialTxn") or entry["o"].get("prepare"):
                    open_ones[identity] = begun
        return min([ts, *open_ones.values()])

    def _last(self, member):
        return self.cluster.on(member).find("local.oplog.rs", sort={"$natural": -1}, limit=1, readConcern={"level": "majority"})[0]["ts"]

    def _slice(self, member, target, after):
        end = self._last(member)
        entries = [raw for raw in self.cluster.oplog(member, after) if bson.decode(raw)["ts"] <= end]
        target.write_bytes(b"".join(entries))
        self.last[member] = end


class Comparison:
    """What the tool says of the chains, and what is to be said."""

    def __init__(self, cluster, chains, folder):
        self.cluster, self.chains, self.folder = cluster, chains, folder
        self.model = cluster_model.Model({member: cluster.oplog(member) for member in cluster.members})
        self.wrong = []
        self.counts = Counter()

    def gather(self, *options, out="out"):
        shutil.rmtree(self.folder / out, ignore_errors=True)
        return subprocess.run([BIN / "oplog-gather", *self.chains.paths.values(), "-o", self.folder / out, *options], capture_output=True, text=True)

    def gathered(self, out="out"):
        root = self.folder / out
        names = {path: f"{path.parent.name}.{unquote_plus(path.name.removesuffix('.bson'))}" for path in root.glob("*/*.bson")}
        documents = {ns: sorted(raw_documents(path)) for path, ns in names.items() if ns != "admin.system.version"}
        metadata = {f"{path.parent.name}.{unquote_plus(path.name.removesuffix('.metadata.json'))}": json.loads(path.read_text(encoding="utf-8"))
                    for path in root.glob("*/*.metadata.json")}
        views = {ns for ns, each in metadata.items() if {"viewOn", "timeseries"} & each.get("options", {}).keys()}
        return documents, views

    def check(self, ts, why):
        """One moment. The model takes them in their order."""
        expected, views = self.model.at(ts)
        done = self.gather("--to", stamp(ts))
        self.counts[why] += 1
        self.counts["moments"] += 1
        self.counts["with prepared transactions that count"] += self.model.counting > 0
        if done.returncode == 1 and "it began before the backup" in done.stderr:
            self.counts["refused: an operation began before the backup"] += 1
            return None
        if done.returncode:
            return self.tell(ts, why, f"exit {done.returncode}: {done.stderr}")
        said = done.stderr.count("and no chain tells how it ended")
        if said != len(self.model.undecided):
            self.tell(ts, why, f"{said} transactions said to be undecided of {len(self.model.undecided)}: {done.stderr}")
        documents, found_views = self.gathered()
        for ns in sorted(documents.keys() | expected.keys()):
            if documents.get(ns) != expected.get(ns):
                self.tell(ts, why, f"{ns}: {described(documents.get(ns))}, and the model has {described(expected.get(ns))}")
        if found_views != views:
            self.tell(ts, why, f"the views {found_views}, and the model has {views}")
        total = sum(bson.decode(raw)["n"] for ns in MONEY for raw in documents.get(ns, []))
        if total != len(MONEY) * ACCOUNTS * BALANCE:
            self.tell(ts, why, f"a sum of {total}")
        self.compare_reads(ts, why, documents)
        return documents

    def compare_reads(self, ts, why, documents):
        """What shards read at that time, the owned of it, by the chunks as the model has them."""
        for ns in ("app.acct", "app.h", "keys.compound", "keys.hashed"):
            config = self.model.states["config"]
            known = next((each for each in config.of("config.collections") if each["_id"] == ns), None)
            if not known:
                continue
            chunks = sorted((chunk for chunk in config.of("config.chunks") if chunk.get("uuid", known["uuid"]) == known["uuid"] and chunk.get("ns", ns) == ns),
                            key=lambda chunk: cluster_model.bound_of(chunk["min"]))
            shards = {shard: type("", (), {"documents": {known["uuid"]: {}}})() for shard in self.cluster.shards}
            try:
                for shard in self.cluster.shards:
                    read = self.cluster.read_at(shard, ns, ts)
                    shards[shard].documents[known["uuid"]] = dict(enumerate(read))
            except CommandError:
                self.counts["snapshot reads not to be had"] += 1
                return
            owned = self.model._owned(shards, known, chunks)
            self.counts["snapshot reads"] += 1
            if owned != documents.get(ns):
                self.tell(ts, why, f"{ns}: {described(documents.get(ns))}, and snapshot reads gave {described(owned)}")

    def check_latest(self, undecided):
        """Without a time it is right before the first transaction was prepared that never ends."""
        done = self.gather()
        if done.returncode or f"the cluster at {stamp(just_before(min(undecided)))} " not in done.stderr:
            self.tell(min(undecided), "without a time", done.stderr)

    def restore(self, ts, documents, target, tools):
        """To a replica set, with the options that the tool says: it is to hold the same documents."""
        done = self.gather("--to", stamp(ts), out="last")
        line = next(line for line in done.stderr.splitlines() if "to restore it to a replica set: mongorestore " in line)
        tools.mongorestore(target, *line.split("mongorestore ")[1].split())
        restored = {}
        for database in target.client.list_database_names():
            for name in target.client[database].list_collection_names(filter={"type": {"$in": ["collection", "timeseries"]}}):
                if database not in ("config", "local") and f"{database}.{name}" not in ("admin.system.version", "admin.system.keys"):
                    stored = f"system.buckets.{name}" if name == "series" else name
                    restored[f"{database}.{stored}"] = sorted(each.raw for each in target.client[database].get_collection(stored, codec_options=RAW).find())
        restored = {ns: each for ns, each in restored.items() if not ns.endswith(".system.views")}
        for ns in sorted(documents.keys() | restored.keys()):
            if documents.get(ns) != restored.get(ns):
                self.tell(ts, "restored", f"{ns}: {described(restored.get(ns))}, and the dump has {described(documents.get(ns))}")

    def restore_shard_by_shard(self, ts, documents, target, tools):
        """To a cluster that is sharded as the script says, each shard by itself: each document is to be where it is looked for."""
        done = self.gather("--to", stamp(ts), "--keep-shards", "--exclude-ns", "keys.series", out="shards")
        if done.returncode:
            return self.tell(ts, "--keep-shards", done.stderr)
        shard_like((self.folder / "shards/shard.js").read_text(encoding="utf-8"), target)
        for line in done.stderr.splitlines():
            found = re.search(r"to restore (.*): mongorestore (.*)--host (SHARD|MONGOS) (.*)", line)
            if found:
                member = found[1] if found[3] == "SHARD" else "config"
                tools.mongorestore(target.servers[member], *found[2].split(), found[4])
        return self.compare_cluster(ts, "--keep-shards", documents, target)

    def restore_to_another_size(self, ts, documents, target):
        """To a cluster of more shards, by a router in the mongos's place."""
        done = self.gather("--to", stamp(ts), "--exclude-ns", "keys.series", out="other")
        if done.returncode:
            return self.tell(ts, "another size", done.stderr)
        shard_like((self.folder / "other/shard.js").read_text(encoding="utf-8"), target)
        router = target.router()
        for path in sorted((self.folder / "other").glob("*/*.metadata.json")):
            metadata = bson.json_util.loads(path.read_text(encoding="utf-8"), json_options=bson.json_util.CANONICAL_JSON_OPTIONS)
            ns = f"{path.parent.name}.{metadata['collectionName']}"
            options = metadata.get("options", {})
            if path.parent.name == "admin" or "viewOn" in options:
                continue
            if not target.collection(ns):
                target.create(ns, **options)
            stored = ns.replace(".", ".system.buckets.", 1) if "timeseries" in options else ns
            some = [cluster_model.decode(raw) for raw in raw_documents(path.with_name(f"{'system.buckets.' if 'timeseries' in options else ''}{path.name.removesuffix('.metadata.json')}.bson"))]
            for at in range(0, len(some), 500):
                router.insert(stored, *some[at:at + 500])
        return self.compare_cluster(ts, "another size", {ns: each for ns, each in documents.items() if not ns.startswith("admin.")}, target)

    def compare_cluster(self, ts, why, documents, target):
        """Each document is to be there, on the shard where it is looked for."""
        router = target.router()
        for ns, expected in documents.items():
            if ns == "keys.system.buckets.series":
                continue
            database, name = ns.split(".", 1)
            members = ["config"] if database == "admin" else target.shards
            where = {member: [each.raw for each in target.servers[member].client[database].get_collection(name, codec_options=RAW).find()] for member in members}
            restored = sorted(raw for each in where.values() for raw in each)
            if restored != expected:
                self.tell(ts, why, f"{ns}: {described(restored)}, and the dump of all has {described(expected)}")
            elif database != "admin":
                lost = [raw for member, each in where.items() for raw in each if router.owner(ns, cluster_model.decode(raw)) != member]
                if lost:
                    self.tell(ts, why, f"{ns}: on shards that do not own them: {described(lost)}")

    def tell(self, ts, why, what):
        self.wrong.append(f"at {stamp(ts)} ({why}): {what}")
        print(self.wrong[-1][:2000], flush=True)

    def moments(self, count, dice, marked, spans):
        """Of each kind, as many as there are room for, and those that are marked: (time, kind), in their order. `spans` are those of operations."""
        kinds = {"between commit entries": set(), "at a commit timestamp": set(), "before a commit timestamp": set(), "at a chunk commit": set(),
                 "an operation under way": set(), "any": set()}
        spans = set(spans)
        first = max(member_window[0] for member_window in self.windows().values())
        last = min(member_window[1] for member_window in self.windows().values())
        commits = {}
        for name, member in self.model.members.items():
            begun = {}
            for entry in member.entries:
                ts, o = entry["ts"], entry["o"]
                kinds["any"].add(ts)
                if entry["op"] == "c" and "commitTimestamp" in o:
                    commits.setdefault(cluster_model.transaction_of(entry["lsid"], entry["txnNumber"]), []).append(ts)
                    kinds["at a commit timestamp"].add(o["commitTimestamp"])
                    kinds["before a commit timestamp"].add(just_before(o["commitTimestamp"]))
                if name == "config" and "config.chunks" in (entry["ns"], *(each.get("ns") for each in o.get("applyOps", []))):
                    kinds["at a chunk commit"] |= {ts, just_before(ts)}
                if entry["ns"] == cluster_model.DDL:
                    identity = cluster_model.encode({"_id": (o if entry["op"] != "u" else entry["o2"])["_id"]})
                    if entry["op"] == "i":
                        begun[identity] = ts
                    elif entry["op"] == "d" and identity in begun:
                        spans.add((begun.pop(identity), ts))
        for entries in commits.values():
            if len(entries) > 1 and min(entries) < max(entries):
                kinds["between commit entries"] |= {min(entries), just_before(max(entries))}
        every = sorted(kinds["any"])
        kinds["an operation under way"] = {ts for ts in every if any(begin <= ts <= end for begin, end in spans)}
        chosen = {ts: "marked" for ts in marked if first <= ts <= last}
        for kind, times in kinds.items():
            times = sorted(ts for ts in times if first <= ts <= last and ts not in chosen)
            share = max(1, count // len(kinds)) * (2 if kind == "an operation under way" else 1)
            for ts in dice.sample(times, min(share, len(times))):
                chosen[ts] = kind
        return sorted(chosen.items())

    def windows(self):
        done = subprocess.run([BIN / "oplog-gather", *self.chains.paths.values(), "--check"], capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(done.stderr)
        lines = [line.split() for line in done.stdout.splitlines()]
        times = {line[0]: [Timestamp(*map(int, each.split(":"))) for each in line[1:3]] for line in lines[:len(self.cluster.members)]}
        if set(times) != {"config", *self.cluster.shards}:
            raise AssertionError(done.stdout)
        return times


def shard_like(script, cluster):
    """Does what the script does on a mongos, with the commands that servers send to each other."""
    def parsed(text):
        return bson.json_util.loads(json.loads(text), json_options=bson.json_util.CANONICAL_JSON_OPTIONS)

    before = int(re.search(r"before = (\d+);", script)[1])
    chunks = {}
    for ns, rows in re.findall(r'^chunks\("(.*?)", \w+, \[\n(.*?)\]\);', script, re.MULTILINE | re.DOTALL):
        chunks[ns] = [(parsed(minimum), int(old)) for minimum, old in re.findall(r'^\[(".*?"), ".*", (\d+)\],$', rows, re.MULTILINE)]
    for name, arguments in re.findall(r"^(database|make|index|shard)\((.*)\);$", script, re.MULTILINE):
        ns, rest = re.fullmatch(r'"(.*?)", (.*)', arguments).groups()
        if name == "database":
            cluster.create_database(ns, cluster.shards[int(rest) % len(cluster.shards)])
        elif name == "make":
            cluster.create(ns, **parsed(rest))
        elif name == "index":
            cluster.create_indexes(ns, {**parsed(rest), "collation": {"locale": "simple"}})
        else:
            key = parsed(rest.rsplit(", ", 1)[0])
            rows = chunks.get(ns, [(None, 0)])  # one chunk stays where it is
            splits = {"chunks": len(rows)} if "hashed" in key.values() else {"split": [minimum for minimum, _ in rows[1:]]}
            cluster.shard(ns, key, collation={"locale": "simple"}, **splits)
            for number, (chunk, (minimum, old)) in enumerate(zip(cluster.chunks(ns), rows)):
                if minimum is None:
                    break
                if chunk["min"] != minimum:
                    raise AssertionError(f"{ns}: a chunk from {chunk['min']}, not from {minimum}")
                shard = cluster.shards[old if before == len(cluster.shards) else number * len(cluster.shards) // len(rows)]
                if chunk["shard"] != shard:
                    cluster.move(ns, minimum, shard)


def raw_documents(path):
    data = path.read_bytes()
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at:at + 4], "little")
        yield data[at:at + size]
        at += size


def described(documents):
    if documents is None:
        return "nothing of that name"
    return f"{len(documents)} documents, such as {[bson.decode(each) for each in documents[:2]]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="6.0.27", metavar="VERSION")
    parser.add_argument("--shards", type=int, default=2, metavar="N")
    parser.add_argument("--moments", type=int, default=24, metavar="N")
    parser.add_argument("--seconds", type=int, default=8, help="of load, at least")
    parser.add_argument("--held", type=int, default=60, metavar="N", help="transactions that are prepared at one time")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    mongod = server.find_mongod(given.server)
    if not mongod:
        print(f"no server {given.server} to be had: skipped")
        return 77
    directory = server.scratch_directory()
    tools = MongoTools()
    print(tools.describe())
    parameters = {"minSnapshotHistoryWindowInSeconds": 900} if not given.server.startswith("4.") else {}
    cluster = Cluster(directory, mongod, given.shards, parameters)
    prepare(cluster)
    load = Load(cluster, given.seed)
    chains = Chains(cluster, directory, tools)
    load.run(8, load.transfer)
    load.run(1, load.write)
    load.run(1, load.move)
    time.sleep(1)
    dice = random.Random(given.seed)
    todo, spans = operations(cluster), []
    dumping = threading.Thread(target=chains.full)
    # 0: before them all. Not at the last, for mongodump does not dump a time series where it is moved to.
    dump_at = dice.choice([0, dice.randrange(len(todo) - 2)]) if len(todo) > 9 else 0
    began = time.monotonic()
    for number, operation in enumerate(todo):
        if number == dump_at:
            dumping.start()
        if dump_at == 0 and dumping.is_alive():
            dumping.join()
        from_ts = cluster.now()
        operation()
        spans.append((from_ts, cluster.now()))
        print(f"{time.monotonic() - began:.1f} s: {operation.__name__}", flush=True)
    dumping.join()
    chains.increment()
    time.sleep(max(0, given.seconds - (time.monotonic() - began)))
    load.stop()
    print(dict(load.counts), flush=True)
    leftovers(cluster)
    migration_that_fails(cluster)
    migration_that_is_resumed(cluster)
    chains.increment()
    held, stamps, all_held = hold(cluster, given.held)
    marked = [*stamps[0], *stamps[len(stamps) // 2], max(stamps[-1]), just_before(max(stamps[-1])), all_held]
    end_held(held, stamps)
    chains.increment()
    comparison = Comparison(cluster, chains, directory)
    for ts, why in comparison.moments(given.moments, dice, marked, spans):
        documents = comparison.check(ts, why)
    print(dict(comparison.counts), flush=True)
    comparison.check_latest([min(of_shards) for of_shards, number in zip(stamps, range(given.held)) if number % 10 == 9])
    comparison.restore(ts, documents, server.Server(directory / "copy", mongod=mongod).wait(), tools)
    cluster.stop()
    if cluster.version >= (6, 0):
        target = Cluster(directory / "again", mongod, given.shards, parameters)
        comparison.restore_shard_by_shard(ts, documents, target, tools)
        target.stop()
        target = Cluster(directory / "larger", mongod, given.shards + 1, parameters)
        comparison.restore_to_another_size(ts, documents, target)
        target.stop()
    print(f"{len(comparison.wrong)} wrong")
    return min(len(comparison.wrong), 1)


if __name__ == "__main__":
    sys.exit(main())

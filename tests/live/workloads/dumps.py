"""The full dump itself: under load, with a write in flight, compressed; and many points in time."""

import random
import threading
import time
from contextlib import suppress
from datetime import datetime

from pymongo.errors import OperationFailure, PyMongoError

from tools import ToolError

from .registry import numbered, workload, workload_since
from .transactions import insert_in_transaction

POINTS_IN_TIME = 20
DUMP_ATTEMPTS = 10
LOWER = {"6.0": "5.0", "5.0": "4.4", "4.4": "4.2", "4.2": "4.0"}  # feature compatibility versions


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


class Writers:
    """Threads that write until told to stop, each its own way."""

    def __init__(self, *ways):
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(way,)) for way in ways]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _run(self, way):
        number = 0
        while not self.stopping.is_set():
            number += 1
            with suppress(PyMongoError):
                way(number)


@workload
def a_full_dump_under_write_load(h):
    for name in ("a", "b", "c"):
        h.db[name].insert_many(numbered(4000, list=[1, 2, 3], fill="x" * 200))
    chance = random.Random(1)

    def change(number):
        collection = h.db[chance.choice("abc")]
        some = {"_id": chance.randrange(4000)}
        collection.update_one(some, chance.choice([
            {"$inc": {"n": 1}}, {"$push": {"list": number}}, {"$pop": {"list": -1}}, {"$unset": {"n": ""}}, {"$set": {"sub.x": number}}]))

    def come_and_go(number):
        collection = h.db[chance.choice("abc")]
        collection.insert_one({"_id": f"w{number}", "n": number})
        collection.delete_one({"_id": chance.randrange(4000)})
        collection.delete_one({"_id": f"w{number - 20}"})
        collection.replace_one({"_id": chance.randrange(4000)}, {"list": [], "again": number})

    def transact(number):
        insert_in_transaction(h, 8, tag=f"t{number}.")

    def define(number):
        h.db.c.create_index("n", name=f"n{number}")
        h.db.c.drop_index(f"n{number}")
        h.db[f"new{number % 3}"].insert_one({"n": number})
        h.db[f"new{number % 3}"].create_index("n")
        h.db[f"new{(number + 1) % 3}"].drop()

    with Writers(change, come_and_go, transact, define):
        dump_while_written(h)
        h.db.a.insert_one({"_id": "dumped"})
    h.cut()
    h.db.a.delete_many({"n": {"$lt": 100}})


def dump_while_written(h):
    """mongodump gives up when a collection goes while it looks at it; then it is run again, as users do."""
    for _ in range(DUMP_ATTEMPTS):
        try:
            return h.full_dump(under_load=True)
        except ToolError:
            h.remove_full_dump()
    raise RuntimeError("mongodump never got through")


@workload_since("4.4")
def a_write_that_commits_during_the_dump(h):
    """mongodump --oplog starts from the newest entry, past the hole of a write still in flight, and so can lose that write.

    The careful way: before the dump, the last entry of a forward query of majority, which stops at the hole; increments
    from there.
    """
    h.db.a.insert_many(numbered(50))
    h.db.b.insert_many(numbered(10))
    failpoint = {"configureFailPoint": "hangAfterCollectionInserts", "data": {"collectionNS": "shop.a"}}
    times = h.client.admin.command({**failpoint, "mode": "alwaysOn"})["count"]
    writer = threading.Thread(target=h.db.a.insert_one, args=({"_id": "in flight"},), daemon=True)
    writer.start()
    h.client.admin.command("waitForFailPoint", failpoint["configureFailPoint"], timesEntered=times + 1, maxTimeMS=30000)
    h.unacknowledged().b.insert_one({"_id": "after the hole"})

    def reads_the_oplog_forward():
        running = h.client.admin.aggregate([{"$currentOp": {}}, {"$match": {"ns": "local.oplog.rs"}}])
        return any(operation["command"].get("sort") == {"$natural": 1} for operation in running)

    def release():
        wait_for(reads_the_oplog_forward)  # the collections are dumped by then, and it waits for the hole to close
        h.client.admin.command({**failpoint, "mode": "off"})

    releaser = threading.Thread(target=release, daemon=True)
    releaser.start()
    h.full_dump(under_load=True)
    releaser.join()
    writer.join()
    h.cut()
    h.db.a.insert_one({"_id": "later"})


def dump_within_increments(h, before):
    """A full dump, and an increment that begins with an entry from before it."""
    h.note()
    h.full_dump()
    h.last = before
    h.cut()


@workload_since("4.4")
def increments_that_begin_before_the_dump(h):
    """What the careful way gives when nothing is in flight: entries that the dump has seen already, or outlived."""
    h.db.a.insert_many(numbered(10))
    h.db.b.insert_many(numbered(10))
    before = h.last_visible()
    h.db.a.update_many({}, {"$inc": {"n": 1}})
    h.db.a.create_index("n")
    h.db.short.insert_one({"_id": "created, filled and dropped"})
    h.db.short.drop()
    h.db.b.insert_one({"_id": "dropped with its collection"})
    h.db.b.drop()
    insert_in_transaction(h, 7, tag="x", collections=("a", "c"))
    h.db.c.drop()
    dump_within_increments(h, before)
    h.db.a.insert_one({"_id": "after"})


@workload
def renames_before_the_dump_within_the_increments(h):
    h.db.a.insert_many(numbered(10))
    h.db.old.insert_many(numbered(3))
    before = h.last_visible()
    h.db.a.insert_one({"_id": "then renamed"})
    h.db.a.rename("b")
    h.db.old.rename("b", dropTarget=True)
    h.db.b.create_index("n")
    dump_within_increments(h, before)
    h.db.b.insert_one({"_id": "after"})


@workload
def a_name_used_again_before_the_dump_within_the_increments(h):
    h.db.a.insert_many(numbered(10))
    before = h.last_visible()
    h.db.a.insert_one({"_id": "in the first a"})
    h.db.a.rename("b")
    h.db.a.insert_one({"_id": "in the second a"})
    h.db.a.create_index("m")
    dump_within_increments(h, before)
    h.db.a.insert_one({"_id": "after"})


@workload_since("5.0")
def a_database_dropped_before_the_dump_within_the_increments(h):
    """dropDatabase has no UUID to tell what it is for."""
    h.db.a.insert_many(numbered(10))
    h.db.create_collection("v", viewOn="a", pipeline=[])
    h.db.create_collection("ts", timeseries={"timeField": "t"})
    before = h.last_visible()
    h.db.a.insert_one({"_id": "in the first a"})
    h.db.command("collMod", "v", viewOn="b", pipeline=[])
    h.client.drop_database("shop")
    h.db.a.insert_many(numbered(3))
    h.db.a.create_index("n")
    h.db.create_collection("ts", timeseries={"timeField": "t", "metaField": "m"})
    h.db.ts.insert_one({"t": datetime(2026, 1, 1), "m": 1})
    dump_within_increments(h, before)
    h.db.a.insert_one({"_id": "after"})


@workload_since("4.2", own_fcv=True)
def collections_made_renamed_and_gone_before_the_dump_within_the_increments(h):
    h.db.a.insert_many(numbered(10))
    h.db.c.insert_many(numbered(3))
    before = h.last_visible()
    h.db.a.aggregate([{"$out": "c"}])
    h.db.c.insert_one({"_id": "dropped with its collection"})
    h.db.c.drop()
    h.db.d.insert_one({"_id": "gone, and its name another's"})
    h.db.d.create_index("n")
    h.db.d.rename("e")
    h.db.e.drop()
    h.db.e.insert_one({"_id": "there"})
    dump_within_increments(h, before)
    h.db.e.insert_one({"_id": "after"})
    h.db.c.insert_one({"_id": "after"})


@workload_since("4.4")
def a_database_dropped_and_filled_by_out_before_the_dump_within_the_increments(h):
    h.db.a.insert_many(numbered(10))
    h.client["other"].a.insert_many(numbered(3))
    before = h.last_visible()
    h.client.drop_database("shop")
    h.client["other"].a.aggregate([{"$out": {"db": "shop", "coll": "b"}}])
    h.db.b.create_index("n")
    dump_within_increments(h, before)
    h.db.b.insert_one({"_id": "after"})
    h.db.command("collMod", "b", index={"name": "n_1", "hidden": True})


@workload
def views_gone_before_the_dump_within_the_increments(h):
    h.db.create_collection("v", viewOn="a", pipeline=[])
    h.db.a.insert_many(numbered(3))
    before = h.last_visible()
    h.db.command("collMod", "v", viewOn="a", pipeline=[{"$match": {"n": 1}}])
    h.db.v.drop()
    dump_within_increments(h, before)
    h.db.a.insert_one({"_id": "after"})


@workload
def chains_of_renames_before_the_dump_within_the_increments(h):
    h.db.a.insert_many(numbered(10))
    h.db.x.insert_many(numbered(3))
    h.db.x.create_index("n")
    before = h.last_visible()
    h.db.a.insert_one({"_id": "then renamed"})
    for source, target in ("ab", "bc", "xy", "yx"):
        h.db[source].rename(target)
    h.db.y.insert_one({"_id": "where x has been"})
    h.db.c.create_index("n")
    dump_within_increments(h, before)
    h.db.c.insert_one({"_id": "after"})


@workload
def a_compressed_dump(h):
    h.db.a.insert_many(numbered(50))
    h.db.a.create_index("n")
    h.db.create_collection("v", viewOn="a", pipeline=[])
    h.db.command("createUser", "ann", pwd="a", roles=["read"])
    h.note()
    h.full_dump("--gzip")
    h.gzipped = True
    h.db.a.rename("b")
    h.cut()
    h.db.b.create_index("m")
    h.db.b.drop_index("n_1")


@workload
def a_dump_that_starts_with_ddl(h):
    """The first entry of oplog.bson is what was written last before the dump, and is already in the dump."""
    h.db.b.insert_many(numbered(5))
    h.db.a.insert_many(numbered(5))
    h.db.a.create_index("n")
    h.db.a.drop_index("n_1")
    h.full_dump()
    h.db.a.create_index("n", name="other")


@workload_since("4.4")
def dumps_that_start_with_other_ddl(h):
    h.db.a.insert_many(numbered(5))
    h.db.a.create_index("n")
    h.db.command("collMod", "a", index={"name": "n_1", "hidden": True})
    h.full_dump()
    h.db.command("collMod", "a", index={"name": "n_1", "hidden": False})


@workload
def a_dump_that_starts_with_a_create(h):
    h.db.create_collection("a", capped=True, size=4096, max=9)
    h.full_dump()
    h.db.a.insert_many(numbered(12))


@workload
def a_dump_that_starts_with_a_chain(h):
    h.db.a.insert_many(numbered(5))
    h.db.b.insert_many(numbered(5))
    insert_in_transaction(h, 12, tag="x")
    h.full_dump()
    h.db.a.delete_many({"_id": {"$lt": 3}})


@workload
def an_empty_server(h):
    h.full_dump()
    h.note()
    h.cut()
    h.db.a.insert_one({"_id": 1})
    h.db.a.create_index("n")


@workload
def quiet_increments(h):
    h.db.a.insert_many(numbered(5))
    h.full_dump()
    for _ in range(3):
        h.note()
        h.cut()


@workload
def the_earliest_point_in_time(h):
    h.db.a.insert_many(numbered(5))
    before = h.now()
    h.db.a.insert_one({"_id": "dumped"})
    h.full_dump()
    h.remember()
    h.refuse_at(before)
    h.db.a.insert_one({"_id": "later"})


@workload_since("4.2", own_fcv=True)
def a_change_of_the_feature_version(h):
    h.db.a.insert_many(numbered(5))
    h.full_dump()
    h.db.a.insert_one({"_id": "before"})
    h.remember()
    version = h.client.admin.command("getParameter", 1, featureCompatibilityVersion=1)["featureCompatibilityVersion"]["version"]
    try:
        h.client.admin.command("setFeatureCompatibilityVersion", LOWER[version])
        h.finish(refused=True)
    finally:
        h.client.admin.command("setFeatureCompatibilityVersion", version)


@workload
def twenty_points_in_time(h):
    chance = random.Random(7)
    h.db.a.insert_many(numbered(30))
    h.db.b.insert_many(numbered(30))
    h.full_dump()
    moments = set(chance.sample(range(300), POINTS_IN_TIME))
    for number in range(300):
        collection = h.db[chance.choice(["a", "a", "b", "c"])]
        kind = chance.randrange(12)
        if kind < 4:
            collection.insert_one({"_id": f"i{number}", "n": number})
        elif kind < 8:
            collection.update_one({"n": {"$gte": chance.randrange(number + 1)}}, {"$set": {"n": number, "at": number}})
        elif kind < 10:
            collection.delete_one({"n": {"$lte": number}})
        elif kind == 10:
            insert_in_transaction(h, chance.choice([2, 7, 12]), tag=f"t{number}.")
        else:
            with suppress(OperationFailure):  # no such collection yet
                collection.create_index(f"k{number % 3}") if number % 4 else collection.drop_indexes()
        if number in moments:
            h.remember()
        if number % 90 == 60:
            h.cut()

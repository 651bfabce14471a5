"""Indexes of every kind, made, changed and dropped before and after the dump and the cuts."""

import threading
from contextlib import suppress

from bson import Int64
from bson.decimal128 import Decimal128
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError, PyMongoError

from .registry import numbered, workload, workload_since

KINDS = [
    ([("n", ASCENDING)], {}),
    ([("n", DESCENDING), ("m", ASCENDING)], {}),
    ([("when", ASCENDING)], {"expireAfterSeconds": 3600}),
    ([("u", ASCENDING)], {"unique": True, "partialFilterExpression": {"u": {"$exists": True}}}),
    ([("n", ASCENDING), ("p", ASCENDING)], {"partialFilterExpression": {"n": {"$gt": 5}, "p": {"$type": "string"}}}),
    ([("s", ASCENDING)], {"sparse": True}),
    ([("title", "text"), ("body", "text")], {"weights": {"title": 9, "body": 2}, "default_language": "french", "language_override": "tongue"}),
    ([("$**", ASCENDING)], {"wildcardProjection": {"n": 1, "sub.x": 1}}),
    ([("sub.$**", ASCENDING)], {}),
    ([("n", "hashed")], {}),
    ([("place", "2dsphere")], {"2dsphereIndexVersion": 3}),
    ([("flat", "2d")], {"bits": 20, "min": -50.5, "max": 50}),
    ([("c", ASCENDING)], {"collation": {"locale": "de", "strength": 2, "numericOrdering": True}}),
    ([("tree.a.b", ASCENDING), ("tree.c", DESCENDING)], {"unique": False}),
    ([("real", 1.0)], {}), ([("real", -2.5)], {}), ([("long", Int64(1))], {}), ([("decimal", Decimal128("-1"))], {}),
    ([("odd name", ASCENDING)], {"name": "an odd name, with $ and . and \u00e9"}),
    ([("stored", ASCENDING)], {"storageEngine": {"wiredTiger": {"configString": "prefix_compression=false"}}}),
]
NEWER_KINDS = {
    "4.4": [([("m", ASCENDING), ("h", "hashed")], {}), ([("hidden", ASCENDING)], {"hidden": True})],
    "5.0": [([("wait", ASCENDING)], {"expireAfterSeconds": 2147483647})],
}


def make_all(h, collection):
    kinds = KINDS + [kind for version, some in NEWER_KINDS.items() if h.knows(version) for kind in some]
    for number, (keys, options) in enumerate(kinds):  # as a command, since the driver refuses some keys
        collection.database.command("createIndexes", collection.name, indexes=[{"key": dict(keys), "name": f"kind {number}", **options}])


def indexed(h, name, *keys):
    h.db[name].insert_many(numbered(10))
    for key in keys:
        h.db[name].create_index(key)


@workload
def every_kind_of_index_after_the_dump(h):
    h.db.a.insert_many(numbered(20))
    h.full_dump()
    make_all(h, h.db.a)
    h.cut()
    make_all(h, h.db.empty)


@workload
def every_kind_of_index_in_the_dump(h):
    h.db.a.insert_many(numbered(20))
    make_all(h, h.db.a)
    h.full_dump()
    h.db.a.insert_many([{"_id": "u1", "u": 1}, {"_id": "u2", "u": 2}])
    h.cut()
    h.db.a.drop_index("kind 5")


@workload
def every_kind_of_index_on_a_renamed_collection(h):
    h.db.a.insert_many(numbered(20))
    make_all(h, h.db.a)
    h.db.b.insert_many(numbered(3))
    h.full_dump()
    make_all(h, h.db.b)
    h.db.b.rename("b2")
    h.cut()
    h.db.a.rename("a2")


@workload
def indexes_dropped_and_made_across_cuts(h):
    indexed(h, "a", "n", "m")
    h.full_dump()
    h.db.a.create_index("later")
    h.db.a.drop_index("n_1")
    h.cut()
    h.db.a.drop_index("later_1")
    h.db.a.create_index([("n", DESCENDING)], name="n_1")
    h.cut()
    h.db.a.drop_index("m_1")
    h.db.a.drop_index("n_1")
    h.db.a.create_index("x", unique=True, sparse=True)


@workload
def indexes_under_other_names(h):
    indexed(h, "a", "n", "m")
    h.full_dump()
    h.db.a.drop_indexes()
    h.db.a.create_index("n", name="other")
    h.cut()
    h.db.a.drop_indexes()
    h.db.a.create_index("n", name="again")
    h.db.a.create_index("k", name="m_1")
    h.cut()
    h.db.a.drop_index("again")
    h.db.a.create_index("n", name="other")


@workload_since("4.4")
def indexes_hidden_and_shown(h):
    indexed(h, "a", "n", "m")
    h.db.a.create_index("born hidden", hidden=True)
    h.full_dump()
    h.db.command("collMod", "a", index={"name": "n_1", "hidden": True})
    h.db.command("collMod", "a", index={"name": "born hidden_1", "hidden": False})
    h.cut()
    h.db.command("collMod", "a", index={"keyPattern": {"m": 1}, "hidden": True})
    h.db.a.create_index("new")
    h.cut()
    h.db.command("collMod", "a", index={"name": "new_1", "hidden": True})
    h.db.command("collMod", "a", index={"name": "n_1", "hidden": False})
    h.db.command("collMod", "a", index={"name": "n_1", "hidden": False})  # changes nothing, yet is written


@workload
def time_to_live_changed(h):
    indexed(h, "a")
    h.db.a.create_index("when", expireAfterSeconds=10000)
    h.full_dump()
    h.db.command("collMod", "a", index={"name": "when_1", "expireAfterSeconds": 20000})
    h.cut()
    h.db.a.create_index("late", expireAfterSeconds=100000)
    h.cut()
    h.db.command("collMod", "a", index={"name": "late_1", "expireAfterSeconds": 200000.5})


@workload_since("6.0")
def time_to_live_given(h):
    indexed(h, "a", "plain", "plainer")
    h.full_dump()
    h.db.command("collMod", "a", index={"name": "plain_1", "expireAfterSeconds": 5000})
    h.cut()
    h.db.command("collMod", "a", index={"name": "plainer_1", "expireAfterSeconds": 7, "hidden": True}, validationLevel="moderate")


@workload_since("6.0")
def an_index_made_unique(h):
    h.db.a.insert_many(numbered(10))
    h.db.a.create_index("n")
    h.db.a.create_index("m")
    h.full_dump()
    h.db.command("collMod", "a", index={"name": "n_1", "prepareUnique": True})
    h.db.command("collMod", "a", index={"name": "m_1", "prepareUnique": True})
    h.cut()
    h.db.command("collMod", "a", index={"name": "n_1", "unique": True})
    h.db.command("collMod", "a", index={"name": "m_1", "prepareUnique": False})


@workload
def a_failed_index_build(h):
    h.db.a.insert_many([{"_id": number, "same": 1} for number in range(10)])
    h.full_dump()
    with suppress(DuplicateKeyError):
        h.db.a.create_index("same", unique=True)
    h.cut()
    h.db.a.create_index("same")


class HeldIndexBuild:
    """An index build that stands still, in a thread of its own, until released."""

    FAILPOINT = "hangAfterStartingIndexBuild"

    def __init__(self, h, collection, keys, **options):
        self.h = h
        times = self._set("alwaysOn")["count"]
        self.thread = threading.Thread(target=self._build, args=(collection, keys, options), daemon=True)
        self.thread.start()
        h.client.admin.command("waitForFailPoint", self.FAILPOINT, timesEntered=times + 1, maxTimeMS=30000)

    def _build(self, collection, keys, options):
        with suppress(PyMongoError):  # dropped while it was being built
            collection.create_index(keys, **options)

    def release(self):
        self._set("off")
        self.thread.join()

    def _set(self, mode):
        return self.h.client.admin.command("configureFailPoint", self.FAILPOINT, mode=mode)


@workload_since("4.4")
def an_index_build_across_cuts(h):
    h.db.a.insert_many(numbered(10))
    h.full_dump()
    build = HeldIndexBuild(h, h.db.a, "n")
    h.cut()
    h.db.a.insert_many([{"_id": f"during{number}", "n": number} for number in range(5)])
    h.remember()
    h.cut()
    build.release()


@workload_since("4.4")
def an_index_build_open_at_the_end(h):
    h.db.a.insert_many(numbered(10))
    h.full_dump()
    build = HeldIndexBuild(h, h.db.a, "n")
    h.db.a.insert_one({"_id": "during"})
    h.finish()
    build.release()


@workload_since("4.4")
def a_full_dump_during_an_index_build(h):
    h.db.a.insert_many(numbered(10))
    h.db.b.insert_many(numbered(10))
    build = HeldIndexBuild(h, h.db.a, "n")
    h.db.b.insert_one({"_id": "during"})
    h.full_dump()
    h.db.b.insert_one({"_id": "more"})
    h.remember()
    h.cut()
    build.release()
    h.db.b.insert_one({"_id": "end"})


@workload_since("4.4")
def an_index_build_in_the_dump_given_up_after_the_wanted_time(h):
    h.db.a.insert_many(numbered(10))
    build = HeldIndexBuild(h, h.db.a, "n")
    h.db.b.insert_one({"_id": "between its start and the dump"})
    h.full_dump()
    h.db.a.insert_one({"_id": "during"})
    h.remember()
    dropper = threading.Thread(target=h.db.a.drop_index, args=("n_1",))
    dropper.start()
    build.release()
    dropper.join()
    h.db.a.insert_one({"_id": "after"})


@workload_since("4.4")
def an_index_build_dropped_after_the_dump(h):
    h.db.a.insert_many(numbered(10))
    build = HeldIndexBuild(h, h.db.a, "n")
    h.full_dump()
    dropper = threading.Thread(target=h.db.a.drop_index, args=("n_1",))
    dropper.start()
    build.release()
    dropper.join()
    h.db.a.insert_one({"_id": "after"})


@workload_since("4.4")
def an_index_build_ended_by_a_drop(h):
    for name in ("a", "b"):
        h.db[name].insert_many(numbered(10))
    h.full_dump()
    build = HeldIndexBuild(h, h.db.a, "n")
    h.cut()
    h.db.a.drop()
    build.release()
    h.db.a.insert_one({"_id": "new"})
    h.cut()
    build = HeldIndexBuild(h, h.db.b, "n")
    h.client.drop_database("shop")
    build.release()
    h.db.b.insert_one({"_id": "new"})


@workload_since("4.4")
def an_index_build_across_the_dump_then_a_rename(h):
    h.db.a.insert_many(numbered(10))
    build = HeldIndexBuild(h, h.db.a, "n")
    h.full_dump()
    h.db.b.insert_one({"_id": "during"})
    h.cut()
    build.release()
    h.db.a.rename("c")
    h.db.c.create_index("m")
    h.cut()
    h.db.c.drop_index("n_1")


@workload_since("6.0")
def an_index_left_half_way_to_unique(h):
    for name in ("a", "b"):
        h.db[name].insert_many(numbered(3))
        h.db[name].create_index("n")
    h.db.command("collMod", "a", index={"name": "n_1", "prepareUnique": True})
    h.full_dump()
    h.db.command("collMod", "b", index={"name": "n_1", "prepareUnique": True})
    h.cut()
    h.db.a.insert_one({"_id": "x", "n": 99})


@workload
def indexes_of_the_first_version(h):
    first_id = {"key": {"_id": 1}, "name": "_id_", "v": 1}
    indexes = [{"key": {"n": 1}, "name": "first", "v": 1}, {"key": {"m": 1}, "name": "background", "background": True},
               {"key": {"k": 1}, "name": "spelt out", "sparse": False, "unique": False, "v": 2}]
    h.db.command("create", "a", idIndex=first_id)
    h.db.a.insert_many(numbered(3))
    h.db.command("createIndexes", "a", indexes=indexes)
    h.full_dump()
    h.db.command("create", "b", idIndex=first_id)
    h.db.command("createIndexes", "b", indexes=indexes)
    h.cut()
    h.db.a.rename("c")
    h.db.command("createIndexes", "c", indexes=[{"key": {"x": 1}, "name": "later", "v": 1}])


@workload
def indexes_under_a_collation(h):
    french = {"locale": "fr", "strength": 1}
    h.db.create_collection("a", collation=french)
    h.db.a.insert_many(numbered(5))
    h.db.a.create_index("inherits")
    h.db.a.create_index("simple", collation={"locale": "simple"})
    h.full_dump()
    h.db.a.create_index("inherits2")
    h.db.a.create_index("simple2", collation={"locale": "simple"})
    h.db.a.create_index("german", collation={"locale": "de"})
    h.cut()
    h.db.create_collection("b", collation=french)
    h.db.b.create_index("simple", collation={"locale": "simple"})
    h.db.b.create_index("inherits")
    h.db.a.rename("c")
    h.cut()
    h.db.c.create_index("simple3", collation={"locale": "simple"})
    h.db.b.rename("d")


@workload
def a_name_passed_on_to_a_collection_with_a_collation(h):
    h.db.create_collection("a")
    h.db.create_collection("b", collation={"locale": "fr", "strength": 1})
    h.db.b.create_index("simple", collation={"locale": "simple"})
    h.db.b.create_index("inherits")
    h.full_dump()
    h.db.a.rename("c")
    h.db.b.rename("a")
    h.remember()
    h.cut()
    h.db.c.drop()
    h.db.a.create_index("late", collation={"locale": "simple"})
    h.db.a.rename("c")


@workload
def sixty_indexes(h):
    h.db.a.insert_many(numbered(3))
    for number in range(30):
        h.db.a.create_index(f"f{number}")
    h.full_dump()
    for number in range(30, 60):
        h.db.a.create_index(f"f{number}")
    h.cut()
    for number in range(0, 60, 7):
        h.db.a.drop_index(f"f{number}_1")

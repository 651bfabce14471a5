"""Collections with options: capped, clustered, views, validators, collations, time series; users and roles."""

import datetime
from contextlib import suppress

from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from .registry import numbered, workload, workload_since

FRENCH = {"locale": "fr", "strength": 2}


@workload
def capped_collections(h):
    h.db.create_collection("few", capped=True, size=65536, max=5)
    h.db.create_collection("small", capped=True, size=4096)
    h.db.few.insert_many(numbered(4))
    h.db.small.insert_many(numbered(10, fill="x" * 200))
    h.full_dump()
    h.db.few.insert_many([{"_id": f"more{number}", "n": number} for number in range(7)])
    h.db.few.update_one({"_id": "more5"}, {"$set": {"n": 7}})
    h.cut()
    h.db.small.insert_many([{"_id": f"more{number}", "fill": "y" * 300} for number in range(30)])
    h.remember()
    h.db.create_collection("born", capped=True, size=4096, max=3)
    h.db.born.insert_many(numbered(9))
    h.cut()
    h.db.born.create_index("n")
    h.db.few.insert_one({"_id": "end"})


@workload
def a_capped_document_that_comes_again(h):
    """Before 5.0 no entry tells that the collection gave it up."""
    h.db.create_collection("few", capped=True, size=65536, max=3)
    h.db.create_collection("small", capped=True, size=4096)
    h.db.few.insert_many(numbered(3))
    h.db.small.insert_many(numbered(10, fill="x" * 300))
    h.full_dump()
    for number in (3, 0, 4, 0, 3, 1):
        h.db.few.update_one({"_id": number}, {"$set": {"n": number + 10}}, upsert=True)
    h.cut()
    for number in range(50):
        with suppress(DuplicateKeyError):
            h.db.small.insert_one({"_id": number * 7 % 20, "fill": "y" * (number * 11 % 400)})
    h.db.few.insert_one({"_id": 2})


@workload_since("6.0")
def a_capped_document_that_grows(h):
    h.db.create_collection("few", capped=True, size=65536, max=5)
    h.db.few.insert_many(numbered(5))
    h.full_dump()
    h.db.few.update_one({"_id": 3}, {"$set": {"updated": True}})
    h.cut()
    h.db.few.insert_one({"_id": "end"})


@workload
def a_capped_collection_full_when_dumped(h):
    h.db.create_collection("log", capped=True, size=4096)
    for number in range(60):
        h.db.log.insert_one({"_id": 1000 - number, "fill": "x" * (number * 7 % 200)})
    h.full_dump()
    for number in range(60):
        h.db.log.insert_one({"_id": 5000 - number, "fill": "x" * (number * 11 % 200)})
        if number == 20:
            h.cut()


@workload_since("6.0")
def a_capped_collection_resized(h):
    h.db.create_collection("log", capped=True, size=65536, max=100)
    h.db.log.insert_many(numbered(20))
    h.full_dump()
    h.db.command("collMod", "log", cappedSize=8192, cappedMax=10)
    h.db.log.insert_many([{"_id": f"x{number}"} for number in range(3)])
    h.cut()
    h.db.command("collMod", "log", cappedMax=50)
    h.db.log.insert_many([{"_id": f"y{number}"} for number in range(20)])


@workload
def a_capped_collection_emptied(h):
    h.db.create_collection("log", capped=True, size=65536)
    h.db.log.insert_many(numbered(20))
    h.full_dump()
    h.db.log.insert_one({"_id": "goes"})
    h.db.command("emptycapped", "log")
    h.cut()
    h.db.log.insert_one({"_id": "stays"})


@workload
def convert_to_capped(h):
    h.db.a.insert_many(numbered(30, fill="x" * 100))
    h.db.a.create_index("n")
    h.db.b.insert_many(numbered(5))
    h.full_dump()
    h.db.command("convertToCapped", "a", size=4096)
    h.cut()
    h.db.a.insert_many([{"_id": f"after{number}", "fill": "y" * 150} for number in range(20)])
    h.db.a.create_index("m")
    h.db.b.create_index("k")
    h.remember()
    h.db.command("convertToCapped", "b", size=8192)
    h.db.command("cloneCollectionAsCapped", "a", toCollection="clone", size=100000)


@workload_since("6.0")
def clustered_collections(h):
    def clustered(name, **options):
        h.db.create_collection(name, clusteredIndex={"key": {"_id": 1}, "unique": True, "name": f"by {name}"}, **options)

    clustered("a")
    clustered("expiring", expireAfterSeconds=1 << 30)
    h.db.a.insert_many(numbered(10))
    h.db.a.create_index("n")
    h.full_dump()
    h.db.a.insert_many([{"_id": f"x{number}"} for number in range(3)])
    clustered("born")
    h.db.born.insert_many(numbered(3))
    h.cut()
    h.db.command("collMod", "expiring", expireAfterSeconds=1 << 29)
    h.db.born.create_index("m")
    h.db.a.delete_one({"_id": 2})
    h.cut()
    h.db.command("collMod", "expiring", expireAfterSeconds="off")


@workload
def views(h):
    h.db.a.insert_many(numbered(5))
    h.db.create_collection("v", viewOn="a", pipeline=[{"$match": {"n": {"$gt": 2}}}])
    h.db.create_collection("dropped", viewOn="a", pipeline=[])
    h.full_dump()
    h.db.create_collection("w", viewOn="a", pipeline=[{"$project": {"n": 1}}], collation=FRENCH)
    h.db.create_collection("on a view", viewOn="v", pipeline=[{"$limit": 1}])
    h.db.command("collMod", "v", viewOn="a", pipeline=[{"$match": {"n": 1}}])
    h.cut()
    h.db.dropped.drop()
    h.db.create_collection("of nothing", viewOn="missing", pipeline=[])
    h.client.other.create_collection("x", viewOn="y", pipeline=[{"$limit": 1}])
    h.cut()
    h.db.a.rename("b")
    h.db.w.drop()
    h.db.create_collection("w", viewOn="b", pipeline=[])


@workload
def databases_of_views_alone(h):
    h.client.other.create_collection("v", viewOn="x", pipeline=[])
    h.full_dump()
    h.client.other.create_collection("w", viewOn="x", pipeline=[])
    h.cut()
    h.client.drop_database("other")
    h.client.third.create_collection("v", viewOn="x", pipeline=[])


@workload
def views_dropped_to_the_last(h):
    h.db.a.insert_many(numbered(5))
    h.db.create_collection("v", viewOn="a", pipeline=[])
    h.full_dump()
    h.db.v.drop()
    h.cut()
    h.db.create_collection("v", viewOn="a", pipeline=[{"$limit": 1}])
    h.db.v.drop()
    h.db.v.insert_one({"_id": "a collection now"})


@workload
def the_first_view_after_others_are_gone(h):
    """The source keeps an empty system.views, of which the dump says nothing, and so writes no create for it."""
    h.db.a.insert_many(numbered(5))
    h.db.create_collection("v", viewOn="a", pipeline=[])
    h.db.v.drop()
    h.full_dump()
    h.db.create_collection("w", viewOn="a", pipeline=[])
    h.cut()
    h.client.other.create_collection("x", viewOn="a", pipeline=[])


@workload
def validators(h):
    schema = {"$jsonSchema": {"required": ["n"], "properties": {"n": {"bsonType": "int"}}}}
    h.db.create_collection("a", validator=schema, validationLevel="strict", validationAction="warn")
    h.db.a.insert_many(numbered(5))
    h.db.b.insert_many(numbered(5))
    h.full_dump()
    h.db.command("collMod", "b", validator={"n": {"$lt": 100}})
    h.db.create_collection("c", validator=schema)
    h.db.c.insert_many(numbered(3))
    h.cut()
    h.db.command("collMod", "a", validator={}, validationLevel="off")
    h.db.command("collMod", "b", validator={"n": {"$lt": 200}}, validationAction="warn", validationLevel="moderate")
    h.db.b.insert_one({"n": 500})
    h.cut()
    h.db.b.rename("d")
    h.db.command("collMod", "c", validator=schema, validationAction="error")


@workload
def documents_that_break_their_validator(h):
    unchecked = h.db.a.with_options(write_concern=WriteConcern("majority"))
    h.db.create_collection("a", validator={"n": {"$exists": True}})
    unchecked.insert_one({"_id": "dumped"}, bypass_document_validation=True)
    h.full_dump()
    unchecked.insert_one({"_id": "inserted"}, bypass_document_validation=True)
    h.cut()
    unchecked.update_one({"_id": "dumped"}, {"$set": {"x": 1}}, bypass_document_validation=True)
    h.db.b.insert_one({"_id": "earlier"})
    h.db.command("collMod", "b", validator={"must": {"$exists": True}})


@workload
def collations(h):
    h.db.create_collection("a", collation=FRENCH)
    h.db.a.insert_many([{"_id": word, "w": word} for word in ("cote", "C\u00f4te", "zebra")])
    h.full_dump()
    h.db.a.update_one({"_id": "COTE"}, {"$set": {"found": "by collation"}})
    h.db.create_collection("b", collation={"locale": "tr", "strength": 1})
    h.db.b.insert_many([{"_id": "i"}, {"_id": "x"}])
    h.cut()
    h.db.a.delete_one({"_id": "ZEBRA"})
    h.db.b.replace_one({"_id": "X"}, {"replaced": True})
    h.db.a.create_index("w")
    h.cut()
    h.db.a.rename("c")
    h.db.create_collection("simple", collation={"locale": "simple"})
    h.db.simple.create_index("w", collation=FRENCH)


@workload_since("6.0")
def clustered_collections_made_capped(h):
    def clustered(name, **options):
        h.db.create_collection(name, clusteredIndex={"key": {"_id": 1}, "unique": True, "name": f"by {name}"}, **options)
        h.db[name].insert_many(numbered(20, fill="x" * 300))

    clustered("a", validator={"n": {"$not": {"$gt": 100}}})
    clustered("b")
    clustered("c", expireAfterSeconds=1 << 30, collation={"locale": "fr", "strength": 1})
    clustered("late")
    for name in "abc":
        h.db.command("convertToCapped", name, size=8192)
        h.db[name].create_index("n")
    h.db.command("collMod", "b", cappedMax=30)
    h.db.b.insert_many([{"_id": f"before{number}", "fill": "y" * 500} for number in range(20)])  # more than either limit
    h.full_dump()
    h.db.a.insert_many([{"_id": f"after{number}", "fill": "y" * 500} for number in range(20)])
    h.db.a.insert_one({"_id": -1})
    h.db.b.delete_one({"_id": 7})
    h.db.command("convertToCapped", "late", size=4096)
    h.remember()
    h.cut()
    h.db.command("collMod", "a", cappedSize=4096, cappedMax=10)
    h.db.c.rename("moved")
    h.db.moved.insert_one({"_id": "moved"})
    h.remember()
    h.db.b.drop()
    h.db.b.insert_one({"_id": "another"})


@workload_since("6.0")
def clustered_and_capped_under_a_collation(h):
    kinds = {"clustered": {"clusteredIndex": {"key": {"_id": 1}, "unique": True}}, "capped": {"capped": True, "size": 5000}}
    for name, options in kinds.items():
        h.db.create_collection(name, collation={"locale": "fr", "strength": 1}, **options)
        h.db[name].insert_many([{"_id": "\u00e9", "w": 1}, {"_id": "z", "w": 2}])
        h.db[name].create_index("w")
    h.full_dump()
    for name in kinds:
        h.db[name].update_one({"_id": "E"}, {"$set": {"w": 7}})
        h.db[name].create_index("k")
        h.db[name].rename(f"{name}2")
        h.cut()
        h.db[f"{name}2"].insert_one({"_id": "q"})
        h.db[f"{name}2"].create_index("simple", collation={"locale": "simple"})


@workload_since("6.0")
def change_stream_images(h):
    h.db.create_collection("a", changeStreamPreAndPostImages={"enabled": True})
    h.db.a.insert_many(numbered(3))
    h.db.b.insert_many(numbered(3))
    h.full_dump()
    h.db.a.update_many({}, {"$inc": {"n": 1}})
    h.db.command("collMod", "b", changeStreamPreAndPostImages={"enabled": True})
    h.cut()
    h.db.b.delete_one({"_id": 1})
    h.db.command("collMod", "a", changeStreamPreAndPostImages={"enabled": False})


def measurements(start, count, meta="m"):
    first = datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=start)
    return [{"t": first + datetime.timedelta(seconds=number), "m": meta, "x": number, "s": str(number)} for number in range(count)]


@workload_since("6.0")
def places_in_time_series(h):
    h.may_refuse |= {"apply", "archive"}  # no dump can have such an index, mongodump's own neither: mongorestore cannot make it
    h.db.create_collection("ts", timeseries={"timeField": "t", "metaField": "m"})
    h.db.ts.insert_one({"t": datetime.datetime(2026, 1, 1), "m": {"home": [1, 2]}, "at": {"type": "Point", "coordinates": [3, 4]}})

    def make(name):
        h.db.ts.create_index([("at", "2dsphere"), (name, 1)], name=f"at {name}")
        h.db.ts.create_index([("m.home", "2dsphere"), (f"m.{name}", 1)], name=f"home {name}")
        h.db.ts.create_index([("m.home", "2dsphere"), (name, 1)], name=f"both {name}")
        h.db.ts.create_index([(name, -1)], name=f"some {name}", partialFilterExpression={"m.a": {"$gt": 3}})

    make("dumped")
    h.full_dump()
    make("later")
    for index in list(h.db.ts.list_indexes()):
        h.db.command("collMod", "ts", index={"name": index["name"], "hidden": True})
    h.remember()
    h.cut()
    h.db.command("collMod", "ts", index={"name": "some dumped", "hidden": False})
    h.db.ts.drop_index("both dumped")


@workload_since("5.0")
def time_series(h):
    h.db.create_collection("ts", timeseries={"timeField": "t", "metaField": "m", "granularity": "seconds"})
    h.db.ts.insert_many(measurements(0, 20))
    h.full_dump()
    h.db.ts.insert_many(measurements(1, 20))
    h.db.ts.insert_many(measurements(3000, 5, {"nested": 1}))
    h.cut()
    h.db.create_collection("born", timeseries={"timeField": "t"}, expireAfterSeconds=1 << 30)
    h.db.born.insert_many([{"t": datetime.datetime(2026, 5, 1), "x": number} for number in range(5)])
    h.remember()
    h.cut()
    h.db.ts.insert_many(measurements(2, 3))
    h.db.ts.delete_many({"m": {"nested": 1}})
    h.db.create_collection("dropped", timeseries={"timeField": "t"})
    h.db.dropped.insert_one({"t": datetime.datetime(2026, 5, 1)})
    h.db.dropped.drop()


@workload_since("6.0")
def time_series_modified(h):
    h.db.create_collection("ts", timeseries={"timeField": "t", "metaField": "m", "granularity": "seconds"}, expireAfterSeconds=1 << 30)
    h.db.ts.insert_many(measurements(0, 5))
    h.db.ts.create_index([("m", 1), ("x", 1)], name="dumped")
    h.full_dump()
    h.db.command("collMod", "ts", timeseries={"granularity": "minutes"})
    h.db.ts.insert_many(measurements(10, 5))
    h.db.ts.create_index([("m", 1), ("t", -1)], name="made")
    h.cut()
    h.db.command("collMod", "ts", index={"name": "made", "hidden": True})
    h.db.command("collMod", "ts", expireAfterSeconds=1 << 29)
    h.cut()
    h.db.command("collMod", "ts", index={"name": "dumped", "hidden": True})
    h.db.command("collMod", "ts", expireAfterSeconds="off")


@workload_since("6.0")
def time_series_under_a_collation(h):
    french = {"timeseries": {"timeField": "t", "metaField": "m"}, "collation": FRENCH}
    h.db.create_collection("ts", **french)
    h.db.ts.insert_many(measurements(0, 5))
    h.db.ts.create_index("m", name="dumped")
    h.db.ts.create_index([("m", 1), ("x", 1)], name="dumped simple", collation={"locale": "simple"})
    h.full_dump()
    h.db.ts.create_index([("m", 1), ("x", -1)], name="made")
    h.cut()
    h.db.ts.create_index([("m", 1), ("t", -1)], name="made simple", collation={"locale": "simple"})
    h.db.command("collMod", "ts", index={"name": "dumped", "hidden": True})
    h.db.create_collection("born", **french)
    h.db.born.create_index("m")


@workload_since("5.0")
def time_series_dropped_and_created_again(h):
    h.db.create_collection("ts", timeseries={"timeField": "t", "metaField": "m"})
    h.db.ts.insert_many(measurements(0, 5))
    h.full_dump()
    h.db.ts.drop()
    h.cut()
    h.db.create_collection("ts", timeseries={"timeField": "t", "granularity": "hours"})
    h.db.ts.insert_many(measurements(0, 3))
    h.cut()
    h.db.ts.drop()
    h.db.ts.insert_one({"_id": "plain now"})


@workload
def users_and_roles(h):
    h.db.command("createRole", "reader", privileges=[{"resource": {"db": "shop", "collection": "a"}, "actions": ["find"]}], roles=[])
    h.db.command("createUser", "ann", pwd="a", roles=["reader", {"role": "read", "db": "other"}], customData={"since": 1})
    h.db.command("createUser", "bob", pwd="b", roles=[])
    h.db.a.insert_one({"_id": 1})
    h.note()
    h.full_dump()
    h.db.command("updateUser", "ann", pwd="new", customData={"since": 2})
    h.client.admin.command("createUser", "root2", pwd="c", roles=["root"], mechanisms=["SCRAM-SHA-256"])
    h.cut()
    h.db.command("dropUser", "bob")
    h.client.admin.command("createRole", "writer", privileges=[], roles=[{"role": "reader", "db": "shop"}, "readWrite"])
    h.db.command("grantRolesToUser", "ann", roles=[{"role": "writer", "db": "admin"}])
    h.remember()
    h.cut()
    h.db.command("dropRole", "reader")
    h.db.command("createUser", "bob", pwd="again", roles=["dbAdmin"])


@workload
def the_first_user_after_the_dump(h):
    h.db.a.insert_one({"_id": 1})
    h.full_dump()
    h.db.command("createUser", "ann", pwd="a", roles=["read"])
    h.cut()
    h.db.command("createRole", "r", privileges=[], roles=["read"])


@workload
def unusual_collection_options(h):
    zlib = {"wiredTiger": {"configString": "block_compressor=zlib"}}
    h.db.create_collection("a", storageEngine=zlib)
    h.full_dump()
    h.db.create_collection("b", storageEngine=zlib, indexOptionDefaults={"storageEngine": {"wiredTiger": {}}})
    h.db.create_collection("empty")
    h.cut()
    h.db.a.insert_one({"_id": 1})
    h.db["system.js"].insert_one({"_id": "f", "value": 1})

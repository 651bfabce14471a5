"""Renames in every form, $out and $merge, drops: whatever moves a collection to another name or takes it away."""

from bson.code import Code

from .registry import numbered, workload, workload_since


def move(h, source, target, **options):
    h.client.admin.command("renameCollection", source, to=target, **options)


def filled(collection, *indexes, count=10):
    collection.insert_many(numbered(count))
    for index in indexes:
        collection.create_index(index)


@workload
def a_chain_of_renames_with_indexes_between(h):
    filled(h.db.a, "before")
    h.full_dump()
    h.db.a.create_index("first")
    h.db.a.rename("b")
    h.db.b.create_index("second")
    h.cut()
    h.db.b.rename("c")
    h.db.c.create_index("third")
    h.db.c.drop_index("before_1")
    h.remember()
    h.cut()
    h.db.c.rename("d")
    h.db.d.insert_one({"_id": "last"})
    h.db.d.create_index("fourth")


@workload
def names_swapped(h):
    filled(h.db.a, "from_a")
    filled(h.db.b, "from_b", count=4)
    h.full_dump()
    h.db.a.rename("t")
    h.db.b.rename("a")
    h.cut()
    h.db.t.rename("b")
    h.db.a.insert_one({"_id": "new a"})
    h.db.b.create_index("extra")


@workload
def a_rename_onto_an_existing_collection(h):
    filled(h.db.a, "n", "from_a")
    filled(h.db.b, "n", "from_b", count=4)
    filled(h.db.c, "from_c", count=3)
    h.full_dump()
    h.db.a.rename("b", dropTarget=True)
    h.db.b.insert_one({"_id": "after"})
    h.cut()
    h.db.b.create_index("more")
    h.db.c.rename("b", dropTarget=True)
    h.remember()
    h.cut()
    filled(h.db.d, "from_d")
    h.db.b.rename("d", dropTarget=True)


@workload
def a_rename_across_databases(h):
    filled(h.db.a, "n")
    h.db.create_collection("capped", capped=True, size=8192, max=50)
    filled(h.db.capped, "m")
    h.full_dump()
    move(h, "shop.a", "other.a")
    h.client.other.a.create_index("later")
    h.cut()
    move(h, "shop.capped", "other.capped")
    h.client.other.capped.insert_one({"_id": "late"})


@workload
def a_rename_across_databases_onto_an_existing_collection(h):
    filled(h.db.a, "n")
    filled(h.client.other.b, "n", "old", count=20)
    h.full_dump()
    move(h, "shop.a", "other.b", dropTarget=True)
    h.cut()
    filled(h.db.a, "anew", count=3)
    move(h, "other.b", "shop.a", dropTarget=True)


@workload
def an_old_name_used_again(h):
    filled(h.db.a, "n")
    h.full_dump()
    h.db.a.rename("b")
    filled(h.db.a, "m", count=4)
    h.cut()
    h.db.a.rename("c")
    filled(h.db.a, "n", "k", count=3)
    h.cut()
    h.db.b.drop()
    h.db.a.rename("b")
    h.db.b.drop_index("k_1")


@workload_since("4.4")
def indexes_changed_after_a_rename(h):
    filled(h.db.a, "n", "m")
    h.db.a.create_index("when", expireAfterSeconds=10000)
    h.full_dump()
    h.db.a.rename("b")
    h.cut()
    h.db.command("collMod", "b", index={"name": "n_1", "hidden": True})
    h.cut()
    h.db.b.drop_index("m_1")
    h.db.command("collMod", "b", index={"name": "when_1", "expireAfterSeconds": 99999})
    h.db.b.create_index("k")


@workload
def a_rename_then_a_drop(h):
    filled(h.db.a, "n")
    filled(h.db.b, "m")
    h.full_dump()
    h.db.a.rename("gone")
    h.db.gone.drop()
    h.cut()
    h.db.b.rename("a")
    h.db.a.create_index("k")
    h.cut()
    h.db.a.drop()


@workload
def a_rename_just_before_the_dump(h):
    filled(h.db.a, "n")
    h.db.a.rename("b")
    h.note()
    h.full_dump()
    h.db.b.insert_one({"_id": "after"})


@workload_since("6.0")
def special_collections_renamed(h):
    h.db.create_collection("capped", capped=True, size=4096, max=5)
    h.db.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
    h.db.create_collection("checked", validator={"n": {"$gte": 0}}, collation={"locale": "en", "strength": 2})
    for name in ("capped", "clustered", "checked"):
        filled(h.db[name], "n")
    h.full_dump()
    for name in ("capped", "clustered", "checked"):
        h.db[name].rename(f"{name}2")
        h.db[f"{name}2"].insert_one({"_id": "late", "n": 1000})
        h.cut()
        h.db[f"{name}2"].create_index("m")


@workload
def sixty_names_moved_round(h):
    for number in range(60):
        h.db[f"c{number}"].insert_one({"_id": number})
    h.full_dump()
    for number in range(60):
        h.db[f"c{number}"].rename(f"d{(number + 1) % 60}")
    h.cut()
    for number in range(60):
        h.db[f"d{number}"].rename(f"c{number}")


@workload_since("4.4")
def made_in_a_transaction_then_moved(h):
    h.db.a.insert_many(numbered(3))
    h.full_dump()
    with h.client.start_session() as session, session.start_transaction():
        h.db.create_collection("b", session=session)
        h.db.b.create_index("n", name="inside", unique=True, session=session)
        h.db.b.insert_many(numbered(9), session=session)
    h.db.b.drop_index("inside")
    h.db.b.create_index("n", name="inside")
    h.cut()
    h.db.b.rename("a", dropTarget=True)


@workload_since("4.4")
def out_to_new_and_existing_collections(h):
    filled(h.db.a, "n")
    filled(h.db.existing, "n", "x", count=3)
    h.full_dump()
    h.db.a.aggregate([{"$match": {"n": {"$lt": 5}}}, {"$out": "fresh"}])
    h.db.a.aggregate([{"$match": {"n": {"$gt": 5}}}, {"$out": "existing"}])
    h.cut()
    h.db.fresh.create_index("after")
    h.db.a.aggregate([{"$out": "fresh"}])
    h.db.a.aggregate([{"$match": {"none": 1}}, {"$out": "existing"}])
    h.remember()
    h.cut()
    h.db.a.aggregate([{"$out": {"db": "other", "coll": "elsewhere"}}])
    h.db.a.aggregate([{"$set": {"y": 1}}, {"$out": "a"}])
    h.db.a.create_index("y")


@workload_since("4.2", own_fcv=True)
def out_keeps_the_options_of_its_target(h):
    h.db.create_collection("target", validator={"n": {"$gte": 0}}, collation={"locale": "sv"})
    h.db.target.create_index("n", collation={"locale": "simple"})
    filled(h.db.a)
    h.full_dump()
    h.db.a.aggregate([{"$out": "target"}])
    h.cut()
    h.db.target.create_index("m")
    h.db.a.aggregate([{"$match": {"n": 1}}, {"$out": "target"}])


@workload_since("4.2", own_fcv=True)
def merge_into_collections(h):
    filled(h.db.a, "n")
    filled(h.db.existing, "x", count=5)
    h.full_dump()
    h.db.a.aggregate([{"$merge": "fresh"}])
    h.db.a.aggregate([{"$set": {"m": 1}}, {"$merge": {"into": "existing", "whenMatched": "merge"}}])
    h.cut()
    h.db.a.aggregate([{"$project": {"r": "$n"}}, {"$merge": {"into": "existing", "whenMatched": "replace", "whenNotMatched": "discard"}}])
    h.db.a.aggregate([{"$merge": {"into": "fresh", "whenMatched": [{"$set": {"n": {"$add": ["$n", "$$new.n"]}}}]}}])
    h.db.a.aggregate([{"$merge": {"into": {"db": "other", "coll": "m"}}}])


@workload
def map_reduce_output(h):
    filled(h.db.a, "n")
    filled(h.db.totals, "value", count=2)
    h.full_dump()
    emit, add = Code("function() { emit(this.n % 3, this.n) }"), Code("function(key, values) { return Array.sum(values) }")
    for out in ({"replace": "totals"}, {"merge": "merged"}, {"reduce": "merged"}):
        h.db.command("mapReduce", "a", map=emit, reduce=add, out=out)
        h.cut()


@workload
def drop_and_create_again(h):
    filled(h.db.a, "n", "m")
    filled(h.db.b, "n")
    h.full_dump()
    h.db.a.drop()
    h.db.create_collection("a", capped=True, size=4096)
    filled(h.db.a, "k", count=3)
    h.cut()
    h.db.a.drop()
    filled(h.db.a, "m", count=5)
    h.db.b.drop()
    h.cut()
    h.db.b.create_index("only")
    h.db.c.insert_one({"_id": 1})
    h.db.c.drop()


@workload
def drop_database(h):
    filled(h.db.a, "n")
    filled(h.client.other.b, "m")
    filled(h.client.third.c, "k")
    h.full_dump()
    h.client.drop_database("shop")
    h.cut()
    filled(h.db.a, "fresh", count=2)
    h.db.create_collection("v", viewOn="a", pipeline=[])
    h.client.drop_database("other")
    h.cut()
    h.client.drop_database("third")
    filled(h.client.third.d, "x", count=2)
    h.remember()
    h.client.drop_database("third")


@workload
def drop_database_cut_in_the_middle(h):
    for name in ("a", "b", "c", "d"):
        filled(h.db[name], "n")
    filled(h.client.other.keep)
    h.full_dump()
    h.client.drop_database("shop")
    h.cut(h.entries({"o.drop": {"$exists": True}})[1]["ts"])
    filled(h.db.b, "m", count=3)


@workload
def the_last_moment_before_a_drop(h):
    filled(h.db.orders, "n", count=50)
    h.full_dump()
    h.db.orders.update_many({}, {"$inc": {"n": 1}})
    h.remember()
    h.db.orders.drop()
    h.db.unrelated.insert_one({"_id": 1})
    h.cut()

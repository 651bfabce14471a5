"""Random histories: a seed decides every write, the dump's moment, the cuts and the points in time."""

import datetime
import random
from contextlib import suppress

import bson
from pymongo.errors import BulkWriteError, OperationFailure

from tools import ToolError
from workloads.dumps import Writers

COLLECTIONS = ["shop.a", "shop.b", "shop.c", "shop.d", "other.a", "other.b"]
FIELDS = ["n", "m", "list", "sub", "text"]
INDEXES = [
    ({"n": 1}, {}), ({"n": -1, "m": 1}, {}), ({"m": 1}, {"sparse": True}), ({"text": "text"}, {}), ({"n": "hashed"}, {}), ({"$**": 1}, {}),
    ({"when": 1}, {"expireAfterSeconds": 10**8}), ({"_id": 1, "n": 1}, {"unique": True}), ({"m": 1}, {"name": "another m"}),
    ({"n": 1}, {"name": "partial", "partialFilterExpression": {"n": {"$gt": 3}}}), ({"text": 1}, {"collation": {"locale": "de"}}),
    ({"sub.x": 1}, {"hidden": True}), ({"place": "2dsphere"}, {}),
]
OPTIONS = [
    {}, {}, {"capped": True, "size": 4096, "max": 20}, {"capped": True, "size": 65536}, {"collation": {"locale": "fr", "strength": 1}},
    {"validator": {"n": {"$not": {"$type": "bool"}}}}, {"clusteredIndex": {"key": {"_id": 1}, "unique": True}},
    {"changeStreamPreAndPostImages": {"enabled": True}},
]


MAY_EXPIRE = {"m_1", "when_1", "another m"}  # the server aborts when a wildcard index is told to


class Writer:
    """Random writes; what the server refuses is part of the history too."""

    def __init__(self, h, chance):
        self.h = h
        self.chance = chance
        self.serial = 0
        self.calm = [
            (20, self.insert), (40, self.update), (8, self.replace), (8, self.delete), (8, self.transaction), (3, self.find_and_modify),
            (20, self.create_index), (10, self.drop_index), (3, self.drop_indexes), (14, self.modify_index), (3, self.create), (2, self.drop),
            (2, self.view), (2, self.validator), (3, self.time_series), (1, self.merge), (1, self.user),
        ]
        self.wild = self.calm + [
            (8, self.rename), (4, self.rename_onto), (1, self.rename_across), (2, self.out), (1, self.convert_to_capped), (1, self.drop_database),
        ]

    def write(self, ways=None):
        weights, functions = zip(*(ways or self.wild))
        with suppress(OperationFailure, BulkWriteError):
            self.chance.choices(functions, weights)[0]()

    def database(self):
        return self.h.client[self.chance.choice(["shop", "shop", "other"])]

    def collection(self):
        database, name = self.chance.choice(COLLECTIONS).split(".")
        return self.h.client[database][name]

    def identity(self):
        return self.chance.randrange(40)

    def value(self):
        chance = self.chance
        return chance.choice([
            chance.randrange(10), chance.random(), "word " * chance.randrange(4), None, [], [1, 2, 3], {"x": chance.randrange(5)},
            {"x": {"y": [chance.randrange(9)] * 3}}, bson.Int64(chance.randrange(10)), [{"k": k} for k in range(chance.randrange(5))],
        ])

    def document(self):
        self.serial += 1
        names = self.chance.sample(FIELDS, self.chance.randrange(1, len(FIELDS)))
        return {**{name: self.value() for name in names}, "serial": self.serial}

    def insert(self):
        documents = [{"_id": self.identity(), **self.document()} for _ in range(self.chance.randrange(1, 8))]
        self.collection().insert_many(documents, ordered=False)

    def change(self):
        field, index = self.chance.choice(FIELDS), self.chance.randrange(5)
        return self.chance.choice([
            {"$set": {field: self.value()}}, {"$set": {f"sub.{field}": self.value()}}, {"$unset": {field: ""}}, {"$inc": {"n": 1}},
            {"$push": {"list": self.value()}}, {"$push": {"list": {"$each": [self.value(), 0], "$position": index}}}, {"$pop": {"list": 1}},
            {"$set": {f"list.{index}": self.value()}}, {"$pull": {"list": {"$gt": 1}}}, {"$rename": {"n": "m"}}, {"$max": {"m": index}},
            {"$push": {"list": {"$each": [], "$slice": -2}}}, [{"$set": {field: {"$ifNull": ["$sub", 0]}}}], [{"$unset": [field]}],
        ])

    def update(self):
        if self.chance.random() < 0.5:
            self.collection().update_one({"_id": self.identity()}, self.change(), upsert=self.chance.random() < 0.2)
        else:
            self.collection().update_many({"_id": {"$gt": self.identity()}}, self.change())

    def replace(self):
        self.collection().replace_one({"_id": self.identity()}, self.document(), upsert=self.chance.random() < 0.3)

    def delete(self):
        identity = self.identity()
        self.collection().delete_many({"_id": {"$gte": identity, "$lt": identity + self.chance.choice([1, 1, 5, 20])}})

    def find_and_modify(self):
        self.collection().find_one_and_update({"_id": self.identity()}, self.change())

    def transaction(self):
        with self.h.client.start_session() as session, session.start_transaction():
            if self.chance.random() < 0.15:
                self.collection().database.create_collection(self.chance.choice("abcd"), session=session)
            for _ in range(self.chance.choice([1, 3, 8, 14])):
                if self.chance.random() < 0.7:
                    self.collection().update_one({"_id": self.identity()}, {"$set": self.document()}, upsert=True, session=session)
                else:
                    self.collection().delete_one({"_id": self.identity()}, session=session)
            if self.chance.random() < 0.1:
                session.abort_transaction()

    def create_index(self):
        keys, options = self.chance.choice(INDEXES)
        name = "_".join(f"{key}_{kind}" for key, kind in keys.items())
        collection = self.collection()
        collection.database.command("createIndexes", collection.name, indexes=[{"key": keys, "name": name, **options}])

    def _index(self, collection):
        names = sorted(set(collection.index_information()) - {"_id_"})
        return self.chance.choice(names) if names else "none"

    def drop_index(self):
        collection = self.collection()
        collection.drop_index(self._index(collection))

    def drop_indexes(self):
        self.collection().drop_indexes()

    def modify_index(self):
        collection = self.collection()
        name = self._index(collection)
        changes = [{"hidden": True}, {"hidden": False}]
        if name in MAY_EXPIRE:
            changes += [{"expireAfterSeconds": 10**8 + self.identity()}] * 2
        collection.database.command("collMod", collection.name, index={"name": name, **self.chance.choice(changes)})

    def create(self):
        self.database().create_collection(self.chance.choice("abcd"), check_exists=False, **self.chance.choice(OPTIONS))

    def drop(self):
        self.collection().drop()

    def drop_database(self):
        self.h.client.drop_database("other")

    def view(self):
        if self.chance.random() < 0.6:
            self.database().create_collection(f"v{self.identity() % 2}", check_exists=False, viewOn="a", pipeline=[{"$limit": 1 + self.identity()}])
        else:
            self.database()[f"v{self.identity() % 2}"].drop()

    def validator(self):
        collection = self.collection()
        collection.database.command("collMod", collection.name, validator={"m": {"$ne": self.identity()}}, validationAction="warn")

    def time_series(self):
        database = self.database()
        kind = self.chance.random()
        if kind < 0.4:
            database.create_collection("ts", check_exists=False, timeseries={"timeField": "t", "metaField": "m"})
        elif "ts" in database.list_collection_names():
            if kind < 0.5:
                database.ts.drop()
            else:
                start = datetime.datetime(2026, 1, 1 + self.chance.randrange(3))
                database.ts.insert_many([{"t": start, "m": self.identity() % 3, "x": self.value()} for _ in range(5)])

    def user(self):
        name = f"u{self.identity() % 3}"
        if self.chance.random() < 0.5:
            self.h.db.command("createUser", name, pwd="p", roles=["read"])
        else:
            self.h.db.command("dropUser", name)

    def rename(self):
        self._move(self.collection(), self.collection(), dropTarget=False)

    def rename_onto(self):
        self._move(self.collection(), self.collection(), dropTarget=True)

    def rename_across(self):
        name = self.chance.choice("abcd")
        here, there = self.chance.sample(["shop", "other"], 2)
        self._move(self.h.client[here][name], self.h.client[there][self.chance.choice("abcd")], dropTarget=True)

    def _move(self, source, target, dropTarget):
        self.h.client.admin.command("renameCollection", source.full_name, to=target.full_name, dropTarget=dropTarget)

    def out(self):
        target = self.collection()
        self.collection().aggregate([
            {"$match": {"_id": {"$lt": self.identity()}}}, {"$out": {"db": target.database.name, "coll": target.name}}])

    def merge(self):
        target = self.collection()
        self.collection().aggregate([
            {"$limit": 10}, {"$merge": {"into": {"db": target.database.name, "coll": target.name}, "whenMatched": self.chance.choice(["merge", "replace"])}}])

    def convert_to_capped(self):
        collection = self.collection()
        collection.database.command("convertToCapped", collection.name, size=self.chance.choice([4096, 100000]))


def random_history(seed):
    """A workload made by that seed (but where the dump is taken under load, the server's timing has its say too)."""
    def write(h):
        chance = random.Random(seed)
        writer = Writer(h, chance)
        for _ in range(chance.randrange(60)):
            writer.write()
        before = h.last_visible()
        early = chance.random() < 0.3
        if early:  # increments that begin some writes before the dump
            for _ in range(chance.randrange(10)):
                writer.write()
            h.note()
        dump(h, chance, seed)
        moments = set(chance.sample(range(100), 3))
        for number in range(chance.randrange(30, 100)):
            writer.write()
            if number in moments:
                h.remember()
        if early:
            h.last = before
        times = [entry["ts"] for entry in h.entries()]
        for time in sorted(chance.sample(times, min(len(times), chance.randrange(5)))):
            h.cut(time)
    return write


def dump(h, chance, seed):
    """Now and then while somebody else writes; again when mongodump gives up because of what was going on."""
    busy = Writer(h, random.Random(-seed))
    for quiet in (chance.random() < 0.7, True):
        try:
            if quiet:
                return h.full_dump()
            with Writers(lambda _: busy.write(busy.calm)):
                return h.full_dump(under_load=True)
        except ToolError:
            h.remove_full_dump()
            h.note()
    h.full_dump()

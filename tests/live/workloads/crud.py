"""Inserts, updates of every kind, deletes."""

import datetime
import uuid
from contextlib import suppress

import bson
from bson.binary import Binary
from bson.codec_options import CodecOptions
from bson.decimal128 import Decimal128
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from pymongo import DeleteOne, InsertOne, ReplaceOne, ReturnDocument, UpdateMany, UpdateOne
from pymongo.errors import WriteError

from .registry import numbered, workload, workload_since

MEGABYTE = 1 << 20
LARGEST = 16 * MEGABYTE


@workload
def inserts_updates_and_deletes(h):
    h.db.a.insert_many(numbered(100))
    h.full_dump()
    h.db.a.update_many({"n": {"$lt": 50}}, {"$inc": {"n": 5}})
    h.cut()
    h.db.a.delete_many({"n": {"$lt": 20}})
    h.db.b.insert_many(numbered(10))
    h.remember()
    h.cut()
    h.db.a.insert_many([{"_id": number, "again": True} for number in range(10)])
    h.db.a.replace_one({"_id": 60}, {"replaced": True})
    h.db.a.update_one({"_id": "new"}, {"$set": {"upserted": 1}}, upsert=True)
    h.db.a.bulk_write([
        InsertOne({"_id": "bulk"}), UpdateOne({"_id": "bulk"}, {"$set": {"x": 1}}), ReplaceOne({"_id": 61}, {"y": 2}),
        UpdateMany({"n": {"$gt": 90}}, {"$set": {"high": True}}), DeleteOne({"_id": 62}),
    ])
    h.db.a.find_one_and_update({"_id": 63}, {"$inc": {"n": 1}}, return_document=ReturnDocument.AFTER)
    h.db.a.find_one_and_replace({"_id": 64}, {"z": 1})
    h.db.a.find_one_and_delete({"_id": 65})


@workload
def every_update_operator(h):
    before = {
        "n": 5, "big": bson.Int64(1) << 40, "real": 1.5, "decimal": Decimal128("2.50"), "text": "t", "gone": 1, "old": "name",
        "bits": 0b1100, "list": [5, 3, 8, 1], "docs": [{"k": k, "v": k * 10} for k in range(6)], "tags": ["x", "y", "x"],
        "sub": {"a": {"b": {"c": 1}}, "list": [[1, 2], [3, 4]]}, "last": True,
    }
    updates = [
        {"$set": {"n": 6, "new": 1}}, {"$set": {"sub.a.b.c": 2, "sub.a.b.d": 3}}, {"$set": {"sub.x.y.z": 1}},
        {"$set": {"list.1": "one"}}, {"$set": {"list.9": "far"}}, {"$set": {"docs.2.v": -1, "docs.4.w": 0}},
        {"$unset": {"gone": "", "sub.a.b": ""}}, {"$unset": {"list.0": ""}}, {"$inc": {"n": 1, "real": 0.25, "fresh": 2}},
        {"$inc": {"n": bson.Int64(1) << 33}}, {"$inc": {"decimal": Decimal128("0.01")}}, {"$mul": {"n": 2, "real": 3, "none": 4}},
        {"$min": {"n": 1, "real": 99}}, {"$max": {"n": 100, "lacking": 1}}, {"$rename": {"old": "name", "text": "sub.text"}},
        {"$currentDate": {"when": True, "stamp": {"$type": "timestamp"}}}, {"$bit": {"bits": {"and": 0b0110, "or": 1}}},
        {"$push": {"list": 7}}, {"$push": {"list": {"$each": [2, 9], "$position": 1}}}, {"$push": {"list": {"$each": [4], "$sort": 1}}},
        {"$push": {"list": {"$each": [6, 6], "$slice": -3}}}, {"$push": {"docs": {"$each": [{"k": 2, "v": 0}], "$sort": {"k": -1}, "$slice": 4}}},
        {"$push": {"created": {"$each": [1, 2]}}}, {"$pull": {"tags": "x"}}, {"$pull": {"docs": {"k": {"$gte": 3}}}},
        {"$pullAll": {"list": [5, 1]}}, {"$pop": {"list": 1}}, {"$pop": {"list": -1}}, {"$addToSet": {"tags": {"$each": ["y", "z"]}}},
        {"$set": {"docs.$[].seen": True}}, {"$set": {"list": []}}, {"$set": {"sub": 1}}, {"$set": {"n": {"now": {"a": "document"}}}},
        {"$unset": {"n": "", "big": "", "real": "", "last": ""}},
        [{"$set": {"sum": {"$add": ["$n", 1]}, "sub.a": "$$REMOVE"}}], [{"$unset": ["list", "docs"]}],
        [{"$replaceWith": {"_id": "$_id", "last": "$last", "n": "$n"}}], [{"$set": {"docs": {"$reverseArray": "$docs"}}}],
        [{"$set": {"list": {"$concatArrays": [[0], "$list"]}}}],
    ]
    if h.knows("5.0"):
        updates += [
            [{"$replaceWith": {"$setField": {"field": "a.b", "input": "$$ROOT", "value": 1}}}],
            [{"$replaceWith": {"$setField": {"field": {"$literal": "$c"}, "input": "$$ROOT", "value": {"$literal": {"0": 1}}}}}],
        ]
    h.db.a.insert_many([{"_id": number, **before} for number in range(len(updates))])
    h.full_dump()
    for number, update in enumerate(updates):
        h.db.a.update_one({"_id": number}, update)
        if number % 12 == 6:
            h.cut()
    h.remember()
    h.db.a.update_many({"docs.k": 3}, {"$set": {"docs.$.hit": True}})
    h.db.a.update_many({"docs": {"$exists": True}}, {"$set": {"docs.$[old].v": 0}}, array_filters=[{"old.v": {"$gt": 20}}])
    h.cut()
    h.db.a.update_one({"_id": "upsert"}, {"$setOnInsert": {"a": 1}, "$set": {"b": 2}}, upsert=True)
    for number, update in enumerate(updates):  # a second time, on what the first left
        with suppress(WriteError):  # an operator that no longer fits the field's type
            h.db.a.update_one({"_id": len(updates) - 1 - number}, update)


@workload
def array_differences(h):
    h.db.a.insert_many([{"_id": number, "list": [{"k": k, "deep": [{"x": [k, k + 1]}]} for k in range(20)]} for number in range(12)])
    h.full_dump()
    changes = [
        {"$set": {"list.3.deep.0.x.1": 99}}, {"$push": {"list": {"$each": [0], "$position": 0}}}, {"$push": {"list.5.deep": 1}},
        {"$pop": {"list": -1}}, {"$push": {"list": {"$each": [], "$slice": 3}}}, {"$set": {"list.30": "beyond"}},
        {"$unset": {"list.2.deep": ""}}, {"$set": {"list.0.deep.0.x": []}}, {"$set": {"list.1": "scalar", "list.2": [1, [2, [3]]]}},
        {"$pull": {"list": {"k": {"$mod": [2, 0]}}}}, {"$push": {"list": {"$each": [{"k": -1}], "$sort": {"k": 1}}}},
        [{"$set": {"list": {"$slice": ["$list", 5, 10]}}}],
    ]
    for number, change in enumerate(changes):
        h.db.a.update_one({"_id": number}, change)
    h.cut()
    h.remember()
    for number, change in enumerate(reversed(changes)):
        with suppress(WriteError):
            h.db.a.update_one({"_id": number}, change)
    h.db.a.update_many({}, {"$push": {"list": {"$each": [{"tail": True}] * 3}}})


@workload
def field_order(h):
    names = [f"f{number}" for number in range(30)]
    h.db.a.insert_many([{"_id": number, **dict.fromkeys(names, 0)} for number in range(5)])
    h.full_dump()
    for number in range(5):
        h.db.a.update_one({"_id": number}, {"$unset": dict.fromkeys(names[number::3], "")})
    h.cut()
    for number in range(5):
        h.db.a.update_one({"_id": number}, {"$set": SON((name, number) for name in names[::-2])})
        h.db.a.update_one({"_id": number}, {"$rename": {"f28": "f29", "f2": "z"}, "$set": {"0": 0, "10": 10, "9": 9}})
    h.cut()
    h.db.a.update_many({}, [{"$replaceWith": {"$arrayToObject": {"$reverseArray": {"$objectToArray": "$$ROOT"}}}}])
    h.db.a.insert_one(SON([("z", 1), ("_id", "late"), ("a", 2)]))  # the server moves _id to the front


@workload
def every_id_type(h):
    ids = [
        1, bson.Int64(2), 3.5, Decimal128("4.50"), "text", "", "\u00e9\u4e16\U0001f600", bson.ObjectId(), {"a": 1, "b": 2}, {"b": 2, "a": 1},
        {"nested": {"deep": [1, {"x": 2}]}}, {}, Binary(b"raw"), Binary(b"", 5), Binary(uuid.uuid4().bytes, 4), True, False, None,
        datetime.datetime(2020, 2, 29), datetime.datetime(1969, 7, 20), bson.Timestamp(5, 6), bson.MinKey(), bson.MaxKey(),
        bson.Code("f()"), float("nan"), float("inf"), float("-inf"), -0.5, 1 << 30,
        bson.Int64(-1) << 60,
    ]
    collection = h.db.a
    collection.insert_many([{"_id": identity, "at": number} for number, identity in enumerate(ids[::2])])
    h.full_dump()
    collection.insert_many([{"_id": identity, "at": number} for number, identity in enumerate(ids[1::2])])
    h.cut()
    for number, identity in enumerate(ids):
        collection.update_one({"_id": {"$eq": identity}}, {"$set": {"updated": number}})
    h.remember()
    # Equal as keys though other types: the document keeps the type it was inserted with.
    collection.update_one({"_id": 1.0}, {"$set": {"by": "double"}})
    collection.update_one({"_id": Decimal128("2")}, {"$set": {"by": "decimal"}})
    collection.replace_one({"_id": bson.Int64(1)}, {"by": "long"})
    h.cut()
    for identity in ids[::3]:
        collection.delete_one({"_id": {"$eq": identity}})
    collection.insert_one({"_id": 1.0})  # 1 was deleted just now
    collection.replace_one({"_id": Decimal128("4.5")}, {"by": "decimal of other digits"})


@workload
def every_value_type(h):
    values = {
        "double": 1.1, "negative zero": -0.0, "nan": float("nan"), "string": "nul\0inside", "document": {"": {"": ""}}, "array": [[], {}],
        "binary": Binary(bytes(range(256)), 0), "user binary": Binary(b"u", 128), "uuid": Binary(bytes(16), 4), "id": bson.ObjectId(),
        "bool": False, "date": datetime.datetime(9999, 12, 31), "null": None, "regex": bson.Regex("^a/b", "imsx"),
        "pointer": bson.DBRef("c", bson.ObjectId()), "code": bson.Code("f"), "scoped": bson.Code("f", {"x": 1}), "int": -1,
        "timestamp": bson.Timestamp(1, 2), "long": bson.Int64(5), "decimal": Decimal128("0E-6176"), "min": bson.MinKey(), "max": bson.MaxKey(),
    }
    h.db.a.insert_one({"_id": "dumped", **values})
    h.full_dump()
    h.db.a.insert_one({"_id": "inserted", **values})
    h.db.a.insert_one({"_id": "zero", "top": bson.Timestamp(0, 0), "sub": {"zero": bson.Timestamp(0, 0)}})
    h.cut()
    h.db.a.insert_one({"_id": "updated"})
    for name, value in values.items():
        h.db.a.update_one({"_id": "updated"}, {"$set": {name: value, f"{name} again": [value]}})
    h.db.a.update_one({"_id": "zero"}, {"$set": {"later": bson.Timestamp(0, 0)}})
    deep = 1
    for _ in range(90):
        deep = {"d": [deep]} if isinstance(deep, int) else {"d": deep}
    h.db.a.insert_one({"_id": "deep", "deep": deep})
    h.db.a.update_one({"_id": "deep"}, {"$set": {"deep." + "d." * 60 + "x": 1}})


def element(kind, name, value):
    return bytes([kind]) + name.encode() + b"\0" + value


def unusual_document(identity):
    """What the server stores though few drivers write it: old types, odd bits, keys twice, text that is not UTF-8."""
    elements = [
        element(0x10, "_id", identity.to_bytes(4, "little")), element(0x06, "undefined", b""), element(0x0E, "symbol", b"\x02\0\0\0s\0"),
        element(0x0C, "pointer", b"\x02\0\0\0c\0" + bytes(12)), element(0x05, "old binary", b"\x05\0\0\0\x02\x01\0\0\0b"),
        element(0x01, "nan", bytes.fromhex("010000000000f8ff")), element(0x13, "decimal", b"\xff" * 16),
        element(0x10, "twice", bytes(4)), element(0x10, "twice", b"\x01\0\0\0"), element(0x02, "text", b"\x04\0\0\0\xff\xfe\x80\0"),
    ]
    body = b"".join(elements) + b"\0"
    return RawBSONDocument((len(body) + 4).to_bytes(4, "little") + body)


@workload
def bytes_that_drivers_seldom_write(h):
    raw = h.db.get_collection("a", CodecOptions(document_class=RawBSONDocument))
    raw.insert_one(unusual_document(1))
    h.full_dump()
    raw.insert_one(unusual_document(2))
    h.cut()
    h.db.a.update_one({"_id": 1}, {"$set": {"new": 1}})
    raw.insert_one(unusual_document(3))


@workload_since("5.0")
def names_with_dollars_and_dots(h):
    def document(identity):
        return {"_id": identity, "$x": 1, "a.b": {"$c": 1, "d.e": [{"$f": {"g.": 2}}]}, "": {"": 0}}

    h.db.a.insert_one(document(1))
    h.full_dump()
    h.db.a.insert_one(document(2))
    h.cut()
    h.db.a.replace_one({"_id": 1}, {"y.z": 1, "q": {"$r": 2}})
    h.db.a.update_one({"_id": 2}, {"$set": {"w": {"$k": 1, "l.m": {"$n": [{"$o": 1}]}}}})


@workload
def an_empty_timestamp_in_the_dump(h):
    h.db.a.insert_one({"_id": 1})
    h.db.a.update_one({"_id": 1}, {"$set": {"zero": bson.Timestamp(0, 0)}})  # an insert would have filled it in
    h.full_dump()
    h.db.a.update_one({"_id": 1}, {"$set": {"after": 1}})


@workload
def documents_of_sixteen_megabytes(h):
    def largest(identity, fill):
        spare = LARGEST - len(bson.encode({"_id": identity, "fill": b""}))
        return {"_id": identity, "fill": fill * spare}

    h.db.a.insert_one(largest(1, b"a"))
    h.full_dump()
    h.db.a.insert_one(largest(2, b"b"))
    h.cut()
    h.db.a.replace_one({"_id": 1}, largest(1, b"c"))
    h.db.a.update_one({"_id": 2}, {"$set": {"fill": b"d" * (15 * MEGABYTE)}})
    h.cut()
    h.db.a.update_one({"_id": 2}, {"$set": {"small": 1}})
    h.db.a.insert_one({"_id": 3})
    h.db.a.update_one({"_id": 3}, {"$set": {"text": "x" * (LARGEST - 60)}})


@workload
def documents_without_an_id_order(h):
    """Documents as other drivers write them: raw bytes with _id in odd places, in collections with no other index."""
    raw = h.db.get_collection("a", CodecOptions(document_class=RawBSONDocument))
    raw.insert_many([RawBSONDocument(bson.encode(SON([("x", number), ("_id", number)]))) for number in range(5)])
    h.full_dump()
    raw.insert_many([RawBSONDocument(bson.encode(SON([("x", number), ("_id", number)]))) for number in range(5, 9)])
    h.cut()
    raw.replace_one({"_id": 3}, RawBSONDocument(bson.encode(SON([("y", 1), ("_id", 3), ("x", 2)]))))
    h.db.a.update_one({"_id": 4}, {"$set": {"y": 1}})

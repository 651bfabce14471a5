"""A chain made by hand: a dump directory and entries after it, documents as Python values."""
import json
import struct

from support import document, field, string, timestamp


def element(name, value):
    if isinstance(value, bool):
        return field(8, name, bytes([value]))
    if isinstance(value, int):
        return field(0x10, name, struct.pack("<i", value)) if -2**31 <= value < 2**31 else field(0x12, name, struct.pack("<q", value))
    if isinstance(value, float):
        return field(1, name, struct.pack("<d", value))
    if isinstance(value, str):
        return string(name, value)
    if isinstance(value, bytes):  # a UUID
        return field(5, name, struct.pack("<i", len(value)) + b"\x04" + value)
    if value is None:
        return field(10, name, b"")
    if isinstance(value, list):
        return field(4, name, document(*(element(str(i), each) for i, each in enumerate(value))))
    if isinstance(value, Long):
        return field(0x12, name, struct.pack("<q", value.number))
    if isinstance(value, Time):
        return timestamp(name, value.seconds, value.ordinal)
    return field(3, name, encode(value))


def encode(value):
    return document(*(element(name, each) for name, each in value.items()))


class Long:
    def __init__(self, number):
        self.number = number


class Time:
    def __init__(self, seconds, ordinal=1):
        self.seconds, self.ordinal = seconds, ordinal


def uuid(number):
    return number.to_bytes(16, "big")


class MadeChain:
    """`full/` is consistent at 100:1; entries follow at 100:2, 100:3 and so on, in inc.bson."""
    ID_INDEX = {"v": {"$numberInt": "2"}, "key": {"_id": {"$numberInt": "1"}}, "name": "_id_"}

    def __init__(self, test):
        self.test = test
        self.ordinal = 1
        self.noop = document(string("op", "n"), string("ns", ""), field(3, "o", document()), timestamp("ts", 100, 1))
        self.entries = [self.noop]
        self.collections = {}
        test.write("full/oplog.bson", self.noop)

    def dump(self, ns, number, documents=(), options=None, indexes=(), kind="collection"):
        database, name = ns.split(".", 1)
        file = ("system.buckets." if kind == "timeseries" else "") + name
        self.test.write(f"full/{database}/{file}.bson", b"".join(map(encode, documents)))
        metadata = {**({"options": options} if options else {}), "indexes": [self.ID_INDEX, *indexes], "uuid": uuid(number).hex(), "collectionName": name, "type": kind}
        if kind == "timeseries":
            del metadata["uuid"]
        self.test.write(f"full/{database}/{name}.metadata.json", json.dumps(metadata).encode())
        self.collections[ns] = number

    def next(self):
        self.ordinal += 1
        return Time(100, self.ordinal)

    def operation(self, op, ns, o, o2=None, number=None):
        number = self.collections.get(ns) if number is None else number
        return {"op": op, "ns": ns, **({"ui": uuid(number)} if number else {}), "o": o, **({"o2": o2} if o2 else {})}

    def add(self, operation, **more):
        ts = self.next()
        self.entries.append(encode({**more, **operation, "ts": ts, "v": Long(2)}))
        return ts

    def insert(self, ns, o, **more):
        return self.add(self.operation("i", ns, o), **more)

    def set(self, ns, identity, fields, **more):
        return self.add(self.set_operation(ns, identity, fields), **more)

    def set_operation(self, ns, identity, fields):
        return self.operation("u", ns, {"$v": 2, "diff": {"u": fields}}, {"_id": identity})

    def delete(self, ns, identity, **more):
        return self.add(self.operation("d", ns, {"_id": identity}), **more)

    def command(self, database, o, number=0):
        return self.add(self.operation("c", f"{database}.$cmd", o, number=number))

    def create(self, ns, number, **options):
        database, name = ns.split(".", 1)
        self.collections[ns] = number
        return self.command(database, {"create": name, **options, "idIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_"}}, number)

    def drop(self, ns):
        database, name = ns.split(".", 1)
        return self.command(database, {"drop": name}, self.collections.pop(ns))

    def rename(self, source, target, drop_target=None):
        number = self.collections.pop(source)
        o = {"renameCollection": source, "to": target, "stayTemp": False, **({"dropTarget": uuid(drop_target)} if drop_target else {})}
        ts = self.command(source.split(".")[0], o, number)
        self.collections[target] = number
        return ts

    def transaction(self, operations, session=b"\xaa" * 16, number=7):
        return self.add({"op": "c", "ns": "admin.$cmd", "o": {"applyOps": operations}}, lsid={"id": session}, txnNumber=Long(number),
                        prevOpTime={"ts": Time(0, 0), "t": Long(-1)})

    def write(self):
        self.test.write("inc.bson", b"".join(self.entries))
        return ["--full", "full", "inc.bson"]

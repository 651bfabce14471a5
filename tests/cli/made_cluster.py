"""The chains of a sharded cluster made by hand: each member a directory with a dump and entries, all with one clock."""
from made_chain import Long, MadeChain, Time, encode, uuid
from support import field


class Key:
    """MinKey or MaxKey, as chunks' bounds have them."""
    MIN, MAX = b"\xff", b"\x7f"


def bounds(name, minimum, maximum):
    """The fields `min` and `max` of a chunk; None is what is beyond all values."""
    def bound(field_name, value, beyond):
        inner = field(beyond[0], name, b"") if value is None else encode({name: value})[4:-1]
        return field(3, field_name, (len(inner) + 5).to_bytes(4, "little") + inner + b"\0")

    return bound("min", minimum, Key.MIN) + bound("max", maximum, Key.MAX)


class MadeMember(MadeChain):
    """In DIRECTORY/full and DIRECTORY/inc; its clock is the cluster's."""

    def __init__(self, cluster, directory, begins=1):
        self.cluster, self.directory = cluster, directory
        super().__init__(self)
        if begins > 1:
            self.entries = [encode({"op": "n", "ns": "", "o": {}, "ts": cluster.next(), "v": Long(2)})]
            self.write("full/oplog.bson", self.entries[0])

    def next(self):
        return self.cluster.next()

    def write(self, name=None, data=None):
        if name:
            return self.cluster.test.write(f"{self.directory}/{name}", data)
        self.cluster.test.write(f"{self.directory}/inc/oplog.bson", b"".join(self.entries))
        return self.directory

    def insert_raw(self, ns, raw, number=None):
        """A document given as bytes."""
        entry = self.operation("i", ns, {}, number=number)
        del entry["o"]
        inner = encode({**entry, "ts": self.next(), "v": Long(2)})[4:-1] + field(3, "o", raw)
        self.entries.append((len(inner) + 5).to_bytes(4, "little") + inner + b"\0")

    def noop_entry(self):
        return self.add({"op": "n", "ns": "", "o": {}})

    def prepare(self, operations, session, number=1):
        return self.add({"op": "c", "ns": "admin.$cmd", "o": {"applyOps": operations, "prepare": True}}, lsid={"id": uuid(session)}, txnNumber=Long(number),
                        prevOpTime={"ts": Time(0, 0), "t": Long(-1)})

    def end(self, prepared, session, commit=None, number=1):
        o = {"commitTransaction": 1, "commitTimestamp": commit} if commit else {"abortTransaction": 1}
        return self.add({"op": "c", "ns": "admin.$cmd", "o": o}, lsid={"id": uuid(session)}, txnNumber=Long(number), prevOpTime={"ts": prepared, "t": Long(1)})


class MadeCluster:
    """The config servers in `a`, the shards s0, s1, ... in `b`, `c`, ... Databases and collections are made in entries."""

    def __init__(self, test, shards=2, cluster_id=b"\0" * 12, directories="abcdefgh"):
        self.test = test
        self.ordinal = 1
        self.directories = iter(directories)
        self.cluster_id = cluster_id
        self.config = MadeMember(self, next(self.directories))
        config_collections = ("version", "shards", "databases", "collections", "chunks", "tags")
        for number, name in enumerate(config_collections):
            self.config.create(f"config.{name}", 100 + number)
        self.config.insert_raw("config.version", self.identified({"_id": 1}))
        self.shards = [self.member(f"s{number}") for number in range(shards)]
        for number in range(shards):
            self.config.insert("config.shards", {"_id": f"s{number}", "host": f"s{number}/h:1"})
        self.chunks = 0

    def identified(self, document):
        inner = encode(document)[4:-1] + field(7, "clusterId", self.cluster_id)
        return (len(inner) + 5).to_bytes(4, "little") + inner + b"\0"

    def member(self, name, begins=1):
        """A shard, whose dump is of the first moment or of one now."""
        shard = MadeMember(self, next(self.directories), begins)
        shard.insert_raw("admin.system.version", self.identified({"_id": "shardIdentity", "shardName": name}), number=99)
        shard.create("config.system.sharding_ddl_coordinators", 98)
        return shard

    @property
    def members(self):
        return [self.config, *self.shards]

    def next(self):
        self.ordinal += 1
        return Time(100, self.ordinal)

    def database(self, name, primary="s0"):
        self.config.insert("config.databases", {"_id": name, "primary": primary})

    def shard(self, ns, number, key=None, splits=(), by_ns=False, create=True, **more):
        """Sharded by `key`, of one field, split at values, the chunks on one shard after the other."""
        key = key or {"_id": 1}
        name = next(iter(key))
        self.config.insert("config.collections", {"_id": ns, "uuid": uuid(number), "key": key, "unique": False, **more})
        ends = [None, *splits, None]
        for at in range(len(ends) - 1):
            self.chunk(ns, number, name, ends[at], ends[at + 1], f"s{at % len(self.shards)}", by_ns)
        if create:
            for shard in self.shards[:len(ends) - 1]:
                shard.create(ns, number)

    def chunk(self, ns, number, name, minimum, maximum, shard, by_ns=False):
        self.chunks += 1
        owner = {"ns": ns} if by_ns else {"uuid": uuid(number)}
        inner = encode({"_id": self.chunks, **owner, "shard": shard})[4:-1] + bounds(name, minimum, maximum)
        self.config.insert_raw("config.chunks", (len(inner) + 5).to_bytes(4, "little") + inner + b"\0")

    def note(self):
        """An entry of every member, so that the chains reach what is before; the first one's time as text."""
        return [f"100:{member.noop_entry().ordinal}" for member in self.members][0]

    def write(self):
        self.note()
        return [member.write() for member in self.members]

"""A sharded cluster of real servers without a mongos: the config servers and some shards, of one node each, and a router that knows as much of a
mongos's work as the tests need. Its commands are those that servers send to each other."""

import base64
import bisect
import hashlib
import hmac
import itertools
import os
import socket
import struct
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import bson
from bson import Int64, ObjectId, Timestamp
from bson.binary import STANDARD
from bson.codec_options import CodecOptions

from cluster_model import bound_of, key_of
from server import Server

OPTIONS = CodecOptions(document_class=dict, uuid_representation=STANDARD)
MAJORITY = {"w": "majority", "wtimeout": 60000}
MANY = 100000
# What a shard answers to one whose map is old: StaleShardVersion, StaleDbVersion, StaleEpoch, StaleConfig and their like.
STALE = {13388, 63, 9996, 150, 249, 13297, 234}


class CommandError(RuntimeError):
    def __init__(self, answer, command):
        write_error = (answer.get("writeErrors") or [answer.get("writeConcernError") or {}])[0]
        self.code = answer.get("code") or write_error.get("code")
        super().__init__(f"{next(iter(command))}: {self.code}: {str(answer.get('errmsg') or write_error.get('errmsg'))[:400]}")


class Connection:
    """To one node, in its protocol: nothing is added to a command but the database and the cluster's time."""

    numbers = itertools.count(1)

    def __init__(self, port, clock):
        self.clock = clock
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _receive(self, size):
        parts = b""
        while len(parts) < size:
            part = self.socket.recv(size - len(parts))
            if not part:
                raise OSError("closed by the server")
            parts += part
        return parts

    def send(self, database, command):
        """The answer as bytes."""
        time_now = {"$clusterTime": self.clock["now"]} if "now" in self.clock else {}
        body = bytes(5) + bson.encode({**command, "$db": database, **time_now}, codec_options=OPTIONS)
        self.socket.sendall(struct.pack("<iiii", 16 + len(body), next(self.numbers), 0, 2013) + body)
        size = struct.unpack("<iiii", self._receive(16))[0]
        return self._receive(size - 16)[5:]

    def ask(self, database, command):
        answer = bson.decode(self.send(database, command), OPTIONS)
        told = answer.get("$clusterTime")
        if told and ("now" not in self.clock or told["clusterTime"] > self.clock["now"]["clusterTime"]):
            self.clock["now"] = told
        return answer

    def command(self, database, command):
        answer = self.ask(database, command)
        if not answer.get("ok") or answer.get("writeErrors") or answer.get("writeConcernError"):
            raise CommandError(answer, command)
        return answer

    def log_in(self, user, password):
        """By SCRAM, RFC 7677."""
        def keyed(key, text):
            return hmac.new(key, text, "sha256").digest()

        first = f"n={user},r={base64.b64encode(os.urandom(18)).decode()}"
        answer = self.command("admin", {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": f"n,,{first}".encode()})
        asked = answer["payload"].decode()
        known = dict(part.split("=", 1) for part in asked.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(known["s"]), int(known["i"]))
        last = f"c=biws,r={known['r']}"
        key = keyed(salted, b"Client Key")
        signature = keyed(hashlib.sha256(key).digest(), f"{first},{asked},{last}".encode())
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
        payload = f"{last},p={proof}".encode()
        while not answer["done"]:
            answer = self.command("admin", {"saslContinue": 1, "conversationId": answer["conversationId"], "payload": payload})
            payload = b""

    def find(self, ns, where=None, **options):
        database, collection = ns.split(".", 1)
        cursor = self.command(database, {"find": collection, "filter": where or {}, "batchSize": MANY, **options})["cursor"]
        found = list(cursor["firstBatch"])
        while cursor["id"]:
            cursor = self.command(database, {"getMore": Int64(cursor["id"]), "collection": collection})["cursor"]
            found += cursor["nextBatch"]
        return found

    def close(self):
        self.socket.close()


class Cluster:
    """Its members are "config", "sh0", "sh1", ...; config servers and shards alike are `servers[member]`. With `auth` each asks for a log-in."""

    def __init__(self, directory, mongod, shards=2, parameters=None, auth=False):
        self.shards = [f"sh{i}" for i in range(shards)]
        self.members = ["config", *self.shards]
        self.clock = {}
        self._local = threading.local()
        common = {"enableTestCommands": 1, **(parameters or {})}
        self.servers = {}
        for member in self.members:
            role = "configsvr" if member == "config" else "shardsvr"
            more = {} if member == "config" else {"orphanCleanupDelaySecs": 2}
            self.servers[member] = Server(directory / member, mongod=mongod, replica_set=member, role=role, parameters={**common, **more},
                                          auth=auth)
        for server in self.servers.values():
            server.wait()
        self.version = tuple(int(part) for part in self.servers["config"].version.split(".")[:2])
        self.on("config").command("config", {"update": "settings", "updates": [
            {"q": {"_id": "balancer"}, "u": {"$set": {"mode": "off", "stopped": True}}, "upsert": True},
            {"q": {"_id": "autosplit"}, "u": {"$set": {"enabled": False}}, "upsert": True}], "writeConcern": MAJORITY})
        for shard in self.shards:
            self.ask("config", "admin", {"_configsvrAddShard": f"{shard}/127.0.0.1:{self.servers[shard].port}"})

    def connect(self, member):
        server = self.servers[member]
        connection = Connection(server.port, self.clock)
        if server.auth:
            connection.log_in(server.user, server.password)
        return connection

    def on(self, member):
        """The calling thread's connection."""
        connections = self._local.__dict__.setdefault("connections", {})
        if member not in connections:
            connections[member] = self.connect(member)
        return connections[member]

    def ask(self, member, database, command, tries=20):
        """A command of one server to another. Right after a start, and while others are under way, it takes several tries."""
        for left in reversed(range(tries)):
            try:
                return self.on(member).command(database, {**command, "writeConcern": MAJORITY})
            except CommandError:
                if not left:
                    raise
                time.sleep(0.3)
        raise AssertionError

    def stop(self):
        for server in self.servers.values():
            server.stop()

    def restart(self, member):
        """After its process has ended."""
        server = self.servers[member]
        server.start()
        self._local = threading.local()
        while True:
            try:
                if self.on(member).ask("admin", {"isMaster": 1}).get("ismaster"):
                    return
            except OSError:
                self._local = threading.local()
            time.sleep(0.1)

    def now(self):
        return self.clock["now"]["clusterTime"]

    def note(self):
        """An entry in every member's oplog, each later than all that was before; the earliest one's time."""
        with ThreadPoolExecutor(len(self.members)) as pool:
            said = pool.map(lambda member: self.connect(member).command("admin", {"appendOplogNote": 1, "data": {"msg": "here"}, "writeConcern": MAJORITY}), self.members)
        return min(each["operationTime"] for each in said)

    # ---- what is where

    def database(self, name):
        return (self.on("config").find("config.databases", {"_id": name}) or [None])[0]

    def primary(self, database):
        return self.database(database)["primary"]

    def collection(self, ns):
        return (self.on("config").find("config.collections", {"_id": ns}) or [None])[0]

    def chunks(self, ns):
        if self.version < (5, 0):
            return self.on("config").find("config.chunks", {"ns": ns}, sort={"min": 1})
        collection = self.collection(ns)
        return self.on("config").find("config.chunks", {"uuid": collection["uuid"]}, sort={"min": 1}) if collection else []

    # ---- operations on databases and collections

    def create_database(self, name, primary="sh0"):
        if self.version >= (5, 0):
            self.ask("config", "admin", {"_configsvrCreateDatabase": name, "primaryShardId": primary})
        if self.version < (6, 0):
            self.ask("config", "admin", {"_configsvrEnableSharding": name, "primaryShardId": primary})

    def _of_primary(self, ns, command):
        """A command for the database's primary shard. What was left half done by an election, say, is not tried here."""
        database = ns.split(".", 1)[0]
        known = self.database(database)
        return self.ask(known["primary"], database, {**command, "databaseVersion": known["version"]})

    def create(self, ns, **options):
        database, collection = ns.split(".", 1)
        known = self.database(database)
        self.on(known["primary"]).command(database, {"create": collection, **options, "databaseVersion": known["version"]})

    def create_indexes(self, ns, *specs):
        """On every shard, as a mongos does it."""
        database, collection = ns.split(".", 1)
        known = self.collection(ns)
        where = {chunk["shard"] for chunk in self.chunks(ns)} if known else {self.primary(database)}
        for shard in where:
            self.servers[shard].client[database].command({"createIndexes": collection, "indexes": list(specs)})

    def shard(self, ns, key, split=None, chunks=None, **more):
        collection = ns.split(".", 1)[1]
        if self.version < (5, 0):
            command = {"_configsvrShardCollection": ns, "key": key, "unique": False, "numInitialChunks": chunks or 0, "getUUIDfromPrimaryShard": True}
            self.ask("config", "admin", {**command, **({"initialSplitPoints": split} if split else {}), **more})
            return
        command = {"_shardsvrCreateCollection": collection, "shardKey": key, "unique": False, **more}
        if split:
            command["initialSplitPoints"] = split
        if chunks:
            command["numInitialChunks"] = Int64(chunks)
        self._of_primary(ns, command)

    def move(self, ns, minimum, to, wait=False, tries=100):
        chunk = next(chunk for chunk in self.chunks(ns) if chunk["min"] == minimum)
        if self.version >= (6, 0):
            command = {"_configsvrMoveRange": ns, "toShard": to, "min": minimum, "waitForDelete": wait}
        else:
            known = self.collection(ns)
            command = {"_configsvrMoveChunk": 1, "ns": ns, "min": chunk["min"], "max": chunk["max"], "shard": chunk["shard"], "lastmod": chunk["lastmod"],
                       "lastmodEpoch": known["lastmodEpoch"], "toShard": to, "maxChunkSizeBytes": Int64(64 << 20),
                       "secondaryThrottle": {"secondaryThrottle": False}, "waitForDelete": wait}
            if self.version >= (5, 0):
                command.update(lastmodTimestamp=known["timestamp"], uuid=known["uuid"])
        self.ask("config", "admin", command, tries)

    def rename(self, ns, to, drop_target=False):
        self._of_primary(ns, {"_shardsvrRenameCollection": ns.split(".", 1)[1], "to": to, "dropTarget": drop_target, "stayTemp": False})

    def drop(self, ns):
        if self.version < (5, 0):
            self.ask("config", "admin", {"_configsvrDropCollection": ns})
        else:
            self._of_primary(ns, {"_shardsvrDropCollection": ns.split(".", 1)[1]})

    def drop_database(self, name):
        if self.version < (5, 0):
            self.ask("config", "admin", {"_configsvrDropDatabase": name})
        else:
            self._of_primary(name + ".", {"_shardsvrDropDatabase": 1})

    def move_primary(self, name, to):
        if self.version < (6, 0):
            self.ask("config", "admin", {"_configsvrMovePrimary": name, "to": to})
            return
        known = self.database(name)
        self.ask(known["primary"], "admin", {"_shardsvrMovePrimary": name, "to": to, "databaseVersion": known["version"]})

    def reshard(self, ns, key, chunks=4):
        for server in self.servers.values():
            server.client.admin.command("setParameter", 1, reshardingMinimumOperationDurationMillis=0)  # it is five minutes
        known = self.database(ns.split(".", 1)[0])
        self.ask(known["primary"], "admin", {"_shardsvrReshardCollection": ns, "key": key, "unique": False, "numInitialChunks": Int64(chunks),
                                             "databaseVersion": known["version"]})

    def refine(self, ns, key):
        self._of_primary(ns, {"_shardsvrRefineCollectionShardKey": ns.split(".", 1)[1], "newShardKey": key})

    def zone(self, shard, name):
        self.ask("config", "admin", {"_configsvrAddShardToZone": shard, "zone": name})

    def zone_range(self, ns, minimum, maximum, name):
        self.ask("config", "admin", {"_configsvrUpdateZoneKeyRange": ns, "min": minimum, "max": maximum, "zone": name})

    # ---- reading

    def read_at(self, shard, ns, ts):
        """What the shard itself has of a collection at a time, by a snapshot read; CommandError where it cannot be had."""
        connection = self.connect(shard)
        concern = {"level": "snapshot", "atClusterTime": ts}
        try:
            if self.version >= (5, 0):
                return connection.find(ns, readConcern=concern)
            database, collection = ns.split(".", 1)
            session = {"lsid": {"id": uuid.uuid4()}, "txnNumber": Int64(1), "autocommit": False}
            answer = connection.command(database, {"find": collection, "batchSize": MANY, "readConcern": concern, "startTransaction": True, **session})
            connection.ask("admin", {"abortTransaction": 1, **session})
            return answer["cursor"]["firstBatch"]
        finally:
            connection.close()

    def oplog(self, member, after=None):
        """The entries after a time, as bytes."""
        connection = self.connect(member)
        raw = {"find": "oplog.rs", "filter": {"ts": {"$gt": after}} if after else {}, "sort": {"$natural": 1}, "batchSize": MANY}
        found = []
        while True:
            answer = bson.decode(connection.send("local", raw), bson.codec_options.CodecOptions(document_class=bson.raw_bson.RawBSONDocument))
            cursor = bson.decode(answer.raw)["cursor"] if not answer["ok"] else answer["cursor"]
            found += [each.raw for each in cursor["firstBatch" if "firstBatch" in cursor else "nextBatch"]]
            if not cursor["id"]:
                connection.close()
                return found
            raw = {"getMore": Int64(cursor["id"]), "collection": "oplog.rs"}

    def router(self):
        return Router(self)


class Router:
    """What a mongos does for one thread: it sends each write to the shard that owns the document, with the versions by which a shard sees that it is so."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.connections = {member: cluster.connect(member) for member in cluster.members}
        self.session = {"id": uuid.uuid4()}
        self.transactions = 0
        self._maps = {}

    def map_of(self, ns):
        if ns not in self._maps:
            config, concern = self.connections["config"], {"level": "majority"}
            known = (config.find("config.collections", {"_id": ns, "dropped": {"$ne": True}}, readConcern=concern) or [None])[0]
            database = (config.find("config.databases", {"_id": ns.split(".", 1)[0]}, readConcern=concern) or [None])[0]
            chunks = []
            if known:
                where = {"ns": ns} if self.cluster.version < (5, 0) else {"uuid": known["uuid"]}
                chunks = sorted(config.find("config.chunks", where, readConcern=concern), key=lambda chunk: bound_of(chunk["min"]))
            self._maps[ns] = known, database, chunks
        return self._maps[ns]

    def forget(self, ns):
        self._maps.pop(ns, None)

    def owner(self, ns, document):
        known, database, chunks = self.map_of(ns)
        if not known:
            return database["primary"]
        return chunks[bisect.bisect_right([bound_of(chunk["min"]) for chunk in chunks], key_of(known["key"], document)) - 1]["shard"]

    def _versions(self, ns, shard):
        known, database, chunks = self.map_of(ns)
        epoch, stamp, version = ObjectId("0" * 24), Timestamp(0, 0), Timestamp(0, 0)
        if known:
            epoch, stamp = known["lastmodEpoch"], known.get("timestamp")
            version = max((chunk["lastmod"] for chunk in chunks if chunk["shard"] == shard), default=version)
        if self.cluster.version >= (6, 0):
            versions = {"shardVersion": {"e": epoch, "t": stamp, "v": version}}
        else:
            versions = {"shardVersion": [version, epoch] if self.cluster.version < (5, 0) or stamp is None else [version, epoch, stamp]}
        return versions if known else {**versions, "databaseVersion": database["version"]}

    def to(self, shard, ns, command, more):
        return self.connections[shard].command(ns.split(".", 1)[0], {**command, **self._versions(ns, shard), **more})

    def write(self, ns, document, command, tries=100):
        for left in reversed(range(tries)):
            try:
                return self.to(self.owner(ns, document), ns, command, {})
            except CommandError as error:
                if error.code not in STALE or not left:
                    raise
                self.forget(ns)
                time.sleep(0.02)
        raise AssertionError

    def insert(self, ns, *documents):
        by_owner = {}
        for document in documents:
            by_owner.setdefault(self.owner(ns, document), []).append(document)
        for some in by_owner.values():
            self.write(ns, some[0], {"insert": ns.split(".", 1)[1], "documents": some})

    def update(self, ns, where, change):
        return self.write(ns, where, {"update": ns.split(".", 1)[1], "updates": [{"q": where, "u": change}]})

    def delete(self, ns, where):
        return self.write(ns, where, {"delete": ns.split(".", 1)[1], "deletes": [{"q": where, "limit": 1}]})

    def begin(self):
        self.transactions += 1
        return Transaction(self, {"lsid": self.session, "txnNumber": Int64(self.transactions), "autocommit": False})


class Transaction:
    """Over several shards; the first one decides."""

    def __init__(self, router, session):
        self.router = router
        self.session = session
        self.shards = []

    def _send(self, ns, document, command):
        shard = self.router.owner(ns, document)
        more = dict(self.session)
        if shard not in self.shards:
            more.update(startTransaction=True, readConcern={"level": "snapshot"})
            if not self.shards:
                more["coordinator"] = True
            self.shards.append(shard)
        try:
            return self.router.to(shard, ns, command, more)
        except CommandError as error:
            if error.code in STALE:
                self.router.forget(ns)
            raise

    def insert(self, ns, document):
        return self._send(ns, document, {"insert": ns.split(".", 1)[1], "documents": [document]})

    def update(self, ns, where, change):
        return self._send(ns, where, {"update": ns.split(".", 1)[1], "updates": [{"q": where, "u": change}]})

    def delete(self, ns, where):
        return self._send(ns, where, {"delete": ns.split(".", 1)[1], "deletes": [{"q": where, "limit": 1}]})

    def _end(self, shard, command):
        return self.router.connections[shard].command("admin", {**command, **self.session, "writeConcern": MAJORITY})

    def commit(self):
        first = self.shards[0]
        if len(self.shards) == 1:
            return self._end(first, {"commitTransaction": 1})
        return self._end(first, {"coordinateCommitTransaction": 1, "participants": [{"shardId": shard} for shard in self.shards]})

    def abort(self):
        for shard in self.shards:
            self.router.connections[shard].ask("admin", {"abortTransaction": 1, **self.session})

    def prepare(self):
        """By hand; the times at which the shards were prepared. It may count from the last of them on."""
        return [self._end(shard, {"prepareTransaction": 1})["prepareTimestamp"] for shard in self.shards]

    def commit_prepared(self, ts):
        for shard in self.shards:
            self._end(shard, {"commitTransaction": 1, "commitTimestamp": ts})

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oplog-gather on clusters made by hand: what is rare on real ones, and what is wrong."""
import json
import os
import shutil
import subprocess
import unittest

from made_chain import Long, uuid
from made_cluster import MadeCluster
from support import ToolTest, split_documents


class Made(ToolTest):
    def setUp(self):
        super().setUp()
        self.cluster = MadeCluster(self)
        self.config, (self.s0, self.s1) = self.cluster.config, self.cluster.shards
        self.cluster.database("app")

    def gather(self, *args, members=None, warnings=""):
        members = members or self.cluster.write()
        code, out, err = self.run_tool("gather", *members, "-o", "out", "-f", *args)
        said = "".join(line for line in err.splitlines(keepends=True) if "warning: " in line)
        self.assertEqual((code, out, said), (0, b"", warnings), (args, err))
        return self.dumped()

    def dumped(self, directory="out"):
        """What documents each collection has, as values of JSON."""
        root = self.dir / directory
        found = {}
        for path in sorted(root.rglob("*.bson")):
            lines = self.good("cat", path).splitlines()
            found[".".join(path.relative_to(root).with_suffix("").parts)] = sorted(lines)
        return found

    def refused(self, message, *args, members=None, code=1):
        members = members or self.cluster.write()
        before = self.files()
        got, out, err = self.run_tool("gather", *members, "-o", "refused", *args)
        self.assertEqual((got, out), (code, b""), err)
        self.assertIn(message, err)
        self.assertEqual(self.files(), before)
        return err


def lines(*documents):
    """As oplog-cat prints documents of 32-bit integers and strings."""
    def value(each):
        return {"$numberInt": str(each)} if isinstance(each, int) else each

    return sorted(json.dumps({name: value(each) for name, each in document.items()}, separators=(",", ":")).encode() for document in documents)


class Drops(Made):
    def test_a_drop_before_5_0_takes_the_chunks_away_one_by_one(self):
        self.cluster.shard("app.a", 1, splits=[5], by_ns=True)
        self.cluster.shard("app.b", 2, by_ns=True)
        self.s0.insert("app.a", {"_id": 1})
        before = self.cluster.note()
        self.s0.drop("app.a")
        dropped_on_one = self.cluster.note()
        self.s1.drop("app.a")
        self.config.delete("config.chunks", 1)
        half = self.cluster.note()
        self.config.delete("config.chunks", 2)
        none = self.cluster.note()
        self.config.delete("config.collections", "app.a")
        self.assertEqual(self.gather("--to", before), {"app.a": lines({"_id": 1}), "app.b": []})
        for moment in (dropped_on_one, half, none):
            self.assertEqual(self.gather("--to", moment), {"app.b": []}, moment)

    def test_chunks_that_are_missing_of_a_collection_that_is_there_are_an_error(self):
        self.cluster.shard("app.a", 1, splits=[5])
        self.config.delete("config.chunks", 1)
        self.refused('collection app.a: no chunk has what is below {"_id":{"$numberInt":"5"}}')


class Renames(Made):
    DDL = "config.system.sharding_ddl_coordinators"

    def rename_on_one(self, **more):
        """A collection that one shard has under its new name."""
        self.cluster.shard("app.a", 1, splits=[5])
        self.s0.insert("app.a", {"_id": 1})
        self.s1.insert("app.a", {"_id": 6})
        identity = {"namespace": "app.a", "operationType": "renameCollection"}
        self.s0.insert(self.DDL, {"_id": identity, "to": "app.b", "sourceUUID": uuid(1), **more})
        self.s0.rename("app.a", "app.b")

    def test_how_a_collection_is_sharded_is_told_by_the_catalogue_or_the_operation(self):
        """Under the one name until 7.0, the other from 8.0 on, or not at all as long as the catalogue has the old name."""
        for name in ("optShardedCollInfo", "optTrackedCollInfo", None):
            with self.subTest(name):
                self.setUp()
                self.rename_on_one(**({name: {"_id": "app.a", "uuid": uuid(1), "key": {"_id": 1}, "unique": False}} if name else {}))
                both = {"app.b": lines({"_id": 1}, {"_id": 6})}
                self.assertEqual(self.gather(), both)
                self.config.delete("config.collections", "app.a")
                if name:
                    self.assertEqual(self.gather(), both)
                else:
                    self.refused("s0: renameCollection of app.a is under way, and its document does not tell how the collection is sharded")


class Coming(Made):
    """Shards that are added and removed."""

    def setUp(self):
        super().setUp()
        self.cluster.shard("app.a", 1)
        self.s0.insert("app.a", {"_id": 1})

    def added(self, at):
        """A third shard, whose dump is of a time when it was there already."""
        member = self.cluster.member(f"s{len(self.cluster.shards)}", at)
        self.cluster.shards.append(member)
        return member

    def test_a_shard_that_is_added_later_holds_nothing_back(self):
        before = self.cluster.note()
        self.config.insert("config.shards", {"_id": "s2", "host": "s2/h:1"})
        self.added(self.cluster.ordinal + 1)
        after = self.cluster.note()
        warning = f"oplog-gather: warning: s2: no shard of the cluster at {before} (1970-01-01T00:01:40Z): left out\n"
        self.assertEqual(self.gather("--to", before, warnings=warning), {"app.a": lines({"_id": 1})})
        self.assertEqual(self.gather("--to", after), {"app.a": lines({"_id": 1})})
        self.refused("s2: missing: a shard at ", "--to", after, members=self.cluster.write()[:3])

    def test_a_shard_that_was_removed_holds_nothing_back(self):
        s2 = self.added(1)
        self.config.insert("config.shards", {"_id": "s2", "host": "s2/h:1"})
        there = self.cluster.note()
        self.config.delete("config.shards", "s2")
        s2.write()  # its chain ends here
        self.cluster.shards.remove(s2)
        after = self.cluster.note()
        self.s0.insert("app.a", {"_id": 2})
        members = [*self.cluster.write(), s2.directory]
        self.assertEqual(self.gather("--to", there, members=members), {"app.a": lines({"_id": 1})})
        for bound, documents in ((("--to", after), [{"_id": 1}]), ((), [{"_id": 1}, {"_id": 2}])):
            code, _, err = self.run_tool("gather", *members, "-o", "out", "-f", *bound)
            self.assertEqual(code, 0, err)
            self.assertIn("warning: s2: no shard of the cluster at ", err)
            self.assertEqual(self.dumped()["app.a"], lines(*documents))
        self.assertIn("left out: s2, no shard of the cluster at the end\n", self.good("gather", *members, "--check").decode())


class Refused(Made):
    """A bad command or bad chains: exit code 1 or 2, and nothing is written."""

    def setUp(self):
        super().setUp()
        self.cluster.shard("app.a", 1, splits=[5])
        self.s1.insert("app.a", {"_id": 7})
        self.members = self.cluster.write()

    def test_usage(self):
        for args, message in (([], "name the directory to make: -o OUT"), (["-o", "out", "--check"], "--check makes nothing"),
                              (["-o", "out", "--jobs", "0"], "--jobs"), (["-o", "out", "--jobs", "many"], "--jobs"),
                              (["-o", "out", "--to", "yesterday"], "yesterday"), (["-o", "out", "--to=-2h"], "--to -2h: say a time"), (["-o", "out", "--rename", "a"], "--rename")):
            code, out, err = self.run_tool("gather", *self.members, *args)
            self.assertEqual((code, out), (2, b""), err)
            self.assertIn(message, err)
        self.assertEqual(self.run_tool("gather", "-o", "out")[0], 2)

    def test_what_is_there_is_replaced_only_if_it_is_such_a_dump(self):
        self.write("mine/notes.txt", b"mine")
        for args in ((), ("-f",)):
            self.assertEqual(self.run_tool("gather", *self.members, "-o", "mine", *args)[0], 2)
        self.assertEqual(self.read("mine/notes.txt"), b"mine")
        self.gather()
        self.assertEqual(self.run_tool("gather", *self.members, "-o", "out")[0], 2)
        for inside in ("a/out", "b/full/out", "b"):
            self.assertEqual(self.run_tool("gather", *self.members, "-o", inside, "-f")[0], 2, inside)

    def test_a_member_of_another_cluster(self):
        other = MadeCluster(self, cluster_id=b"x" * 12, directories="nopq")
        other.write()
        self.refused("s1: p is of another cluster", members=["a", "b", "p"])
        self.refused("config: given twice, as a and as n", members=["a", "b", "c", "n"])

    def test_damage_has_its_place(self):
        data = self.read("c/inc/oplog.bson")
        self.write("c/inc/oplog.bson", data[:-3])
        self.refused("c/inc/oplog.bson: offset ", members=self.members)
        self.write("c/inc/oplog.bson", b"".join(split_documents(data)[:3]))
        self.refused("s1: its chain c ends at ", "--to", "100:20", members=self.members)
        self.write("c/full/oplog.bson", b"")
        self.refused("c/full/oplog.bson: no entries", members=self.members)
        (self.dir / "c/full/oplog.bson").unlink()
        self.refused("c/full: no oplog.bson in it", members=self.members)

    def test_damage_in_a_document_has_its_place_too(self):
        for path in ("b/full/admin/system.version", "a/full/config/shards"):
            self.write(f"{path}.metadata.json", json.dumps({"indexes": [], "uuid": "0" * 31 + "9", "collectionName": path.split("/")[-1], "type": "collection"}).encode())
            self.write(f"{path}.bson", b"\x0b\0\0\0\x99_id\0\0\0"[:10] + b"\0")
            self.refused(f"{path}.bson: offset 0: ", members=self.members)
            for extension in (".bson", ".metadata.json"):
                (self.dir / (path + extension)).unlink()

    def test_what_is_no_file_is_refused_and_not_waited_for(self):
        for path in ("c/inc9", "c/slice"):
            os.mkfifo(self.dir / path)
            self.refused(f"{path}: neither a regular file nor a link to one", members=self.members)
            os.remove(self.dir / path)

    def test_a_time_in_the_window_can_be_checked(self):
        self.good("gather", *self.members, "--check", "--to", "100:20")
        code, _, err = self.run_tool("gather", *self.members, "--check", "--to", "100:900")
        self.assertEqual(code, 1)
        self.assertIn("config: its chain a ends at ", err)

    def test_a_document_with_an_array_in_its_shard_key(self):
        self.cluster.shard("app.k", 2, key={"n": 1}, splits=[5])
        self.s0.insert("app.k", {"_id": 1, "n": [1]})
        self.refused("collection app.k on s0: a document with an array in its shard key, 'n'")

    def test_a_chunk_on_a_shard_that_is_none(self):
        self.config.set("config.chunks", 1, {"shard": "s7"})
        self.refused("collection app.a: chunks are on shard s7, which is none of the cluster's")

    def test_one_collection_that_is_not_known_can_be_left_out(self):
        for number, (fault, act) in enumerate((
                ("no chunk has what is below", lambda: self.config.delete("config.chunks", 3)),
                ("shard s1 owns chunks of it, and has no collection with its UUID", lambda: self.s1.drop("app.b")))):
            with self.subTest(fault):
                if number == 0:
                    self.cluster.shard("app.b", 2, splits=[5])
                act()
                self.refused("collection app.b: " + fault)
                self.assertEqual(self.gather("--exclude-ns", "app.b"), {"app.a": lines({"_id": 7})})
                if number == 0:
                    self.cluster.chunk("app.b", 2, "_id", None, 5, "s0")

    def test_buckets_that_mongodump_did_not_dump(self):
        self.cluster.shard("app.system.buckets.t", 3, key={"meta": 1}, create=False, timeseriesFields={"timeField": "t", "metaField": "m"})
        hint = "hint: mongodump dumps the buckets of a time series on the database's primary shard alone; --exclude-ns leaves it out\n"
        missing = "collection app.t: shard s0 owns chunks of it, and its chain has no buckets"
        self.assertIn(hint, self.refused(missing))
        self.gather("--ns", "app.a")
        members = self.cluster.write()
        code, out, err = self.run_tool("gather", *members, "--check")
        self.assertEqual((code, err), (1, f"oplog-gather: {missing}\n{hint}"))
        self.assertIn(b"window: ", out)
        self.s0.create("app.system.buckets.t", 3, timeseries={"timeField": "t", "metaField": "m"}, clusteredIndex=True)
        self.good("gather", *self.cluster.write(), "--check")

    def test_a_database_that_the_config_servers_do_not_know(self):
        self.config.delete("config.databases", "app")
        self.refused("collection app.a: the config servers do not know its database")

    def test_a_primary_that_is_none(self):
        self.cluster.database("gone", "s7")
        self.refused("database gone is on shard s7, which is none of the cluster's")

    def test_what_is_not_known_of_two_operations_is_known_when_both_have_ended(self):
        ddl = "config.system.sharding_ddl_coordinators"
        ends = []
        moment = self.cluster.note()
        for shard, ns in ((self.s0, "app.x"), (self.s1, "app.y")):
            ends.append(shard.delete(ddl, {"namespace": ns, "operationType": "dropCollection"}))
        known = f"100:{ends[-1].ordinal}"
        self.refused("s0: dropCollection of app.x is under way, and how far it has come is not known: it began before the backup. No moment before this one in the "
                     f"backup is known; the nearest after is {known}\n", "--to", moment)
        self.refused(f"s1: dropCollection of app.y is under way, and how far it has come is not known: it began before the backup. No moment before this one in the "
                     f"backup is known; the nearest after is {known}\n", "--to", f"100:{ends[0].ordinal}")
        self.assertEqual(self.gather("--to", known), {"app.a": lines({"_id": 7})})


class Chains(Made):
    """How a member's chain lies in its directory."""

    def test_as_oplog_backup_keeps_it(self):
        self.cluster.shard("app.a", 1)
        for number in range(3):
            self.s0.insert("app.a", {"_id": number})
        self.cluster.write()
        whole = self.gather()
        entries = split_documents(self.read("b/inc/oplog.bson"))
        shutil.rmtree(self.dir / "b/inc")
        half = len(entries) // 2
        for names in (("slice", "inc/20210101T000000"), ("inc1", "inc2"), ("inc/1", "inc/2"), ("inc0001", "incremental-b")):
            for name, part in zip(names, (entries[:half], entries[half - 1:])):
                self.write(f"b/{name}/local/oplog.rs.bson", b"".join(part))
            self.assertEqual(self.gather(members=["a", "b", "c"]), whole, names)
            for name in names:
                shutil.rmtree(self.dir / "b" / name.split("/")[0], ignore_errors=True)

    def test_a_gap_in_a_chain_is_found(self):
        self.cluster.shard("app.a", 1)
        self.cluster.write()
        entries = split_documents(self.read("b/inc/oplog.bson"))
        shutil.rmtree(self.dir / "b/inc")
        for name, part in (("inc1", entries[:3]), ("inc2", entries[4:])):
            self.write(f"b/{name}/oplog.bson", b"".join(part))
        self.refused("b/inc2/oplog.bson", members=["a", "b", "c"])


class Contents(Made):
    def test_chunks_that_know_their_namespace_or_their_uuid(self):
        for number, by_ns in ((1, False), (2, True)):
            self.cluster.shard(f"app.c{number}", number, splits=[5], by_ns=by_ns)
            self.s0.insert(f"app.c{number}", {"_id": 1})
            self.s0.insert(f"app.c{number}", {"_id": 6, "orphan": 1})
            self.s1.insert(f"app.c{number}", {"_id": 6})
        expected = lines({"_id": 1}, {"_id": 6})
        self.assertEqual(self.gather(), {"app.c1": expected, "app.c2": expected})

    def test_chunks_that_are_given_their_uuids_one_by_one(self):
        """As at an upgrade to 5.0; and leftovers of a collection that had the same name."""
        first, second = {"$oid": 1}, {"$oid": 2}
        self.cluster.shard("app.a", 1, splits=[5], by_ns=True, lastmodEpoch=first)
        for number in (1, 2):
            self.config.set("config.chunks", number, {"lastmodEpoch": first})
        self.cluster.chunk("app.a", 1, "_id", None, 3, "s1", by_ns=True)
        self.config.set("config.chunks", 3, {"lastmodEpoch": second})
        self.s0.insert("app.a", {"_id": 1})
        self.s1.insert("app.a", {"_id": 6})
        for number in (1, 2):
            self.assertEqual(self.gather("--to", self.cluster.note()), {"app.a": lines({"_id": 1}, {"_id": 6})})
            self.config.set("config.chunks", number, {"uuid": uuid(1)})
        self.assertEqual(self.gather(), {"app.a": lines({"_id": 1}, {"_id": 6})})

    def test_one_that_is_not_sharded_and_that_the_catalogue_knows_counts_where_its_chunk_is(self):
        """As from 8.0 on, where it may be moved away from the primary shard."""
        self.cluster.shard("app.a", 1, create=False, unsplittable=True)
        self.config.set("config.chunks", 1, {"shard": "s1"})
        self.s1.create("app.a", 1)
        self.s1.insert("app.a", {"_id": 1})
        self.assertEqual(self.gather(), {"app.a": lines({"_id": 1})})
        self.assertNotIn("app.a", self.read("out/shard.js").decode())

    def test_a_leftover_of_another_uuid_or_on_another_shard_does_not_count(self):
        self.cluster.shard("app.a", 1, splits=[5])
        self.s1.create("app.b", 7)
        self.s1.insert("app.b", {"_id": 1})
        self.s0.create("app.b", 8)
        self.assertEqual(self.gather(), {"app.a": [], "app.b": []})
        self.assertEqual(json.loads(self.read("out/app/b.metadata.json"))["uuid"], uuid(8).hex())
        self.assertEqual(json.loads(self.read("out/app/a.metadata.json"))["uuid"], uuid(1).hex())

    def test_config_servers_may_be_a_shard_too(self):
        """As from 8.0 on."""
        self.config.insert_raw("admin.system.version", self.cluster.identified({"_id": "shardIdentity", "shardName": "config"}), number=99)
        self.config.insert("config.shards", {"_id": "config", "host": "config/h:1"})
        self.cluster.shard("app.a", 1, splits=[5])
        self.config.set("config.chunks", 2, {"shard": "config"})
        self.config.create("app.a", 1)
        self.config.insert("app.a", {"_id": 7})
        self.s0.insert("app.a", {"_id": 1})
        self.s0.insert("app.a", {"_id": 8, "orphan": 1})
        self.assertEqual(self.gather(), {"app.a": lines({"_id": 1}, {"_id": 7})})

    def test_indexes_that_differ_are_told_with_both(self):
        self.cluster.shard("app.a", 1, splits=[5])
        index = {"v": 2, "key": {"n": 1}, "name": "n_1"}
        self.s0.command("app", {"createIndexes": "a", **index}, 1)
        self.s1.command("app", {"createIndexes": "a", **index, "sparse": True}, 1)
        self.s1.command("app", {"createIndexes": "a", **index, "name": "m"}, 1)
        self.gather(warnings='oplog-gather: warning: app.a: shard s0 has the index {"v":{"$numberInt":"2"},"key":{"n":{"$numberInt":"1"}},"name":"n_1"}, '
                             'shard s1 {"v":{"$numberInt":"2"},"key":{"n":{"$numberInt":"1"}},"name":"n_1","sparse":true}: the first is taken\n'
                             'oplog-gather: warning: app.a: shard s1 has the index {"v":{"$numberInt":"2"},"key":{"n":{"$numberInt":"1"}},"name":"m"}, '
                             'shard s0 has not: it is left out\n')

    def test_a_transaction_counts_from_its_commit_timestamp_on(self):
        self.cluster.shard("app.a", 1, splits=[5])
        prepared = [shard.prepare([shard.operation("i", "app.a", {"_id": identity})], 9) for shard, identity in ((self.s0, 1), (self.s1, 6))]
        between = self.cluster.note()
        first = self.s0.end(prepared[0], 9, commit=prepared[1])
        self.s1.noop_entry()
        self.config.noop_entry()
        self.s1.end(prepared[1], 9, commit=prepared[1])
        both = {"app.a": lines({"_id": 1}, {"_id": 6})}
        self.assertEqual(self.gather("--before", f"100:{prepared[1].ordinal}"), {"app.a": []})
        for moment in (f"100:{prepared[1].ordinal}", between, f"100:{first.ordinal}"):
            self.assertEqual(self.gather("--to", moment), both, moment)
        self.assertEqual(self.gather(), both)

    def test_a_transaction_that_one_shard_commits_and_another_aborts_is_refused(self):
        self.cluster.shard("app.a", 1, splits=[5])
        prepared = [shard.prepare([shard.operation("i", "app.a", {"_id": identity})], 9) for shard, identity in ((self.s0, 1), (self.s1, 6))]
        moment = self.cluster.note()
        self.s0.end(prepared[0], 9, commit=prepared[1])
        self.s1.end(prepared[1], 9)
        self.refused("was committed on one member and aborted on another", "--to", moment)

    def test_names_of_all_kinds(self):
        for number, name in enumerate(("app.with space", "app.p%rcent", "app.a.b.c", "app." + "x" * 200), 1):
            self.cluster.shard(name, number)
            self.s0.insert(name, {"_id": number})
        self.gather()
        self.assertEqual(sum(1 for _ in (self.dir / "out/app").glob("*.bson")), 4)
        self.good("gather", *self.cluster.write(), "-q", "-o", "renamed", "--rename", "app.*=copy.*")
        self.assertEqual(sum(1 for _ in (self.dir / "renamed/copy").glob("*.bson")), 4)

    def test_a_shard_of_any_name_has_its_directory_in_the_dump(self):
        for name in ("../x", ".x", "a/b"):
            self.config.insert("config.shards", {"_id": name, "host": "h:1"})
            shard = self.cluster.member(name)
            self.cluster.shards.append(shard)
            number = len(self.cluster.shards)
            self.cluster.shard(f"app.c{number}", number, create=False)
            self.config.set("config.chunks", number - 2, {"shard": name})
            shard.create(f"app.c{number}", number)
            shard.insert(f"app.c{number}", {"_id": 1})
        members = self.cluster.write()
        before = self.files()
        _, _, err = self.run_tool("gather", *members, "-o", "out", "--keep-shards")
        made = {f"out/{name}" for name in ("%2E.%2Fx/app/c3.bson", "%2Ex/app/c4.bson", "a%2Fb/app/c5.bson")}
        self.assertEqual({path for path in set(self.files()) - set(before) if path.endswith(".bson")}, made)
        self.assertIn("to restore a/b: mongorestore --bypassDocumentValidation --host SHARD out/a%2Fb\n", err)

    def test_each_number_of_jobs_gives_the_same(self):
        for number in range(1, 9):
            self.cluster.shard(f"app.c{number}", number, splits=[5])
            for shard, identity in ((self.s0, 1), (self.s1, 6), (self.s1, 2)):
                shard.insert(f"app.c{number}", {"_id": identity, "n": number})
        whole = self.gather()
        for jobs in ("1", "2", "64"):
            self.assertEqual(self.gather("--jobs", jobs), whole)


STAND_IN = r"""
// What a mongos would do with the script's commands, as far as it shows: refused is what does not fit the chunks that there are.
const EJSON = { // as that of mongosh, which has 64-bit integers as doubles unless it is told otherwise
    parse: (text, options = {}) => JSON.parse(text, (_, value) => value?.$numberLong && options.relaxed !== false ? {$numberLong: String(Number(value.$numberLong))} : value),
    stringify: JSON.stringify,
};
const IDS = SHARDS;
const sh = {stopBalancer: () => {}};
const state = {primaries: {}, keys: {}, chunks: {}, zones: [], ranges: [], indexes: {}, options: {}};
const text = JSON.stringify, MIN = {$minKey: 1}, MAX = {$maxKey: 1};
const number = bound => // near enough
    { const value = Object.values(bound)[0]; return value.$minKey ? -Infinity : value.$maxKey ? Infinity : Number(value.$numberInt ?? value.$numberLong); };
const refuse = (codeName, errmsg) => ({ok: 0, codeName, errmsg});
const commands = {
    listShards: () => ({ok: 1, shards: [...IDS].reverse().map(_id => ({_id}))}),
    addShardToZone: c => { state.zones.push([c.addShardToZone, c.zone]); return {ok: 1}; },
    enableSharding: c => { state.primaries[c.enableSharding] ??= c.primaryShard; return {ok: 1}; },
    shardCollection: c => {
        const ns = c.shardCollection, field = Object.keys(c.key)[0], primary = state.primaries[ns.split(".")[0]];
        if (!primary || state.keys[ns]) return refuse("IllegalOperation", ns);
        state.keys[ns] = {key: c.key, unique: c.unique, collation: c.collation};
        const at = c.key[field] === "hashed" ? [MIN, {$numberLong: "-3000"}, {$numberLong: "0"}, {$numberLong: "3000"}, MAX] : [MIN, MAX];
        state.chunks[ns] = at.slice(1).map((max, i) => ({min: {[field]: at[i]}, max: {[field]: max}, shard: at.length > 2 ? IDS[i % IDS.length] : primary}));
        return {ok: 1};
    },
    updateZoneKeyRange: c => { state.ranges.push([c.updateZoneKeyRange, c.min, c.max, c.zone]); return {ok: 1}; },
    split: c => {
        const list = state.chunks[c.split], i = list.findIndex(each => number(each.min) <= number(c.middle) && number(c.middle) < number(each.max));
        if (number(list[i].min) === number(c.middle)) return refuse("InvalidOptions", "a bound already");
        list.splice(i, 1, {...list[i], max: c.middle}, {...list[i], min: c.middle});
        return {ok: 1};
    },
    moveChunk: c => {
        const found = (state.chunks[c.moveChunk] || []).find(each => text([each.min, each.max]) === text(c.bounds));
        if (!found || !IDS.includes(c.to)) return refuse("ChunkNotFound", "no chunk " + text(c.bounds));
        found.shard = c.to;
        return {ok: 1};
    },
};
const collections = {findOne: query => ({_id: query._id, uuid: query._id})};
const chunks_ = {find: query => ({sort: () => ({toArray: () => state.chunks[query.$or[0].ns]})})};
const db = {
    adminCommand: command => {
        const answer = (commands[Object.keys(command)[0]] || (() => refuse("CommandNotFound", text(command))))(command);
        if (!answer.ok) throw Object.assign(new Error(answer.errmsg), {codeName: answer.codeName}); // as mongosh does
        return answer;
    },
    getSiblingDB: name => ({
        collections, chunks: chunks_,
        createCollection: (collection, options) => { state.options[name + "." + collection] = options; },
        runCommand: command => { state.indexes[name + "." + command.createIndexes] = command.indexes; return {ok: 1}; },
    }),
};
"""


@unittest.skipUnless(shutil.which("node"), "no node")
class Script(Made):
    """What shard.js would do, with a stand-in for the mongos."""

    def run_script(self, shards, *args, fails=None):
        self.gather(*args)
        program = STAND_IN.replace("SHARDS", json.dumps(shards)) + "(() => {\n" + self.read("out/shard.js").decode() + "})();\nconsole.log(JSON.stringify(state));\n"
        self.write("run.js", program.encode())
        done = subprocess.run(["node", self.dir / "run.js"], capture_output=True, text=True)
        if fails:
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(fails, done.stderr)
            return None
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def placed(self, state, ns):
        """The lower bounds of chunks and their shards."""
        return [(*chunk["min"].values(), chunk["shard"]) for chunk in state["chunks"][ns]]

    def int(self, value):
        return {"$numberInt": str(value)}

    def test_on_as_many_shards_it_is_as_it_was_and_on_others_even(self):
        self.cluster.shard("app.a", 1, splits=[10, 20, 30])
        low = {"$minKey": 1}
        for shards, expected in ((["x", "y"], "xyxy"), (["x"], "xxxx"), (["x", "y", "z"], "xxyz"), (["v", "w", "x", "y"], "vwxy")):
            state = self.run_script(shards)
            self.assertEqual(self.placed(state, "app.a"), [(bound, shard) for bound, shard in zip([low, self.int(10), self.int(20), self.int(30)], expected)])

    def test_what_the_server_splits_by_itself_is_split_further_and_spread(self):
        self.cluster.shard("app.h", 1, key={"_id": "hashed"}, splits=[Long(-4611686018427387901), Long(0), Long(2000)])
        for shards, expected in ((["x", "y"], "xyyxyy"), (["x", "y", "z"], "xxxyzz")):
            state = self.run_script(shards)
            self.assertEqual("".join(shard for _, shard in self.placed(state, "app.h")), expected)
            self.assertEqual([list(chunk["min"].values())[0].get("$numberLong") for chunk in state["chunks"]["app.h"]], [None, "-4611686018427387901", "-3000", "0", "2000", "3000"])

    def test_a_database_has_its_primary_shard_again(self):
        self.cluster.database("other", "s1")
        self.s1.create("other.plain", 5)
        self.cluster.shard("app.a", 1)
        self.assertEqual(self.run_script(["x", "y"])["primaries"], {"app": "x", "other": "y"})
        self.assertEqual(self.run_script(["x", "y"], "--rename", "other.*=more.*", "--exclude-ns", "app.*")["primaries"], {"more": "y"})

    def test_keys_options_indexes_and_zones(self):
        self.cluster.shard("app.a", 1, key={"n": 1}, splits=[10], unique=True)
        index = {"v": 2, "key": {"n": 1, "m": 1}, "name": "mine"}
        for shard in (self.s0, self.s1):
            shard.command("app", {"createIndexes": "a", "v": 2, "key": {"m": 1}, "name": "m"}, 1)
            shard.command("app", {"createIndexes": "a", **index}, 1)
            shard.command("app", {"collMod": "a", "validationLevel": "moderate"}, 1)
        self.config.set("config.shards", "s1", {"tags": ["east"]})
        self.config.insert("config.tags", {"_id": 1, "ns": "app.a", "min": {"n": 10}, "max": {"n": 20}, "tag": "east"})
        state = self.run_script(["x", "y"])
        self.assertEqual(state["keys"]["app.a"], {"key": {"n": self.int(1)}, "unique": True, "collation": {"locale": "simple"}})
        self.assertEqual([(each["name"], each["collation"]) for each in state["indexes"]["app.a"]], [("mine", {"locale": "simple"})])
        self.assertEqual((state["zones"], state["ranges"]), ([["y", "east"]], [["app.a", {"n": self.int(10)}, {"n": self.int(20)}, "east"]]))

    def test_shards_that_are_loaded_one_by_one_need_all_to_be_where_it_was(self):
        self.cluster.shard("app.a", 1)
        self.config.set("config.chunks", 1, {"shard": "s1"})
        self.s1.create("app.a", 1)
        self.s1.insert("app.a", {"_id": 1})
        self.cluster.shard("app.moved", 2, create=False, unsplittable=True)
        self.config.set("config.chunks", 2, {"shard": "s1"})
        self.s1.create("app.moved", 2)
        self.s1.insert("app.moved", {"_id": 2})
        state = self.run_script(["x", "y"], "--keep-shards")
        self.assertEqual(self.placed(state, "app.a"), [({"$minKey": 1}, "y")])
        self.assertEqual(self.dumped(), {"s1.app.a": lines({"_id": 1}), "s0.app.moved": lines({"_id": 2})})
        self.run_script(["x", "y", "z"], "--keep-shards", fails="as many shards are needed as before: 2")
        self.cluster.database("other", "s1")
        self.s1.create("other.plain", 5)
        self.refused("--keep-shards: --rename makes one database of two, whose primary shards are s0 and s1: app", "--keep-shards", "--rename", "other.*=app.*", code=2)


if __name__ == "__main__":
    unittest.main()

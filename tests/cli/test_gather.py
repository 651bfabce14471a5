#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oplog-gather: what a sharded cluster held at one moment, of its members' chains. The data is of real clusters, with the documents that snapshot
reads gave at some moments, and the oplogs of one in which collections were renamed, dropped, sharded and moved."""
import gzip
import json
import pathlib
import shutil
import struct
import tarfile
import tempfile
import unittest

from support import DATA, ToolTest, split_documents

MEMBERS = ("cfg", "sh0", "sh1")
UNPACKED = pathlib.Path(tempfile.mkdtemp(prefix="oplog-gather-"))
MOVES, DDL = UNPACKED / "moves60", UNPACKED / "ddl60"


def setUpModule():
    for data in (MOVES, DDL):
        with tarfile.open(DATA / "sharded" / f"{data.name}.tar.gz") as archive:
            archive.extractall(UNPACKED)


def tearDownModule():
    shutil.rmtree(UNPACKED)


def entries(data):
    return split_documents(gzip.decompress((data / "inc/local/oplog.rs.bson.gz").read_bytes()))


def ts_of(entry):
    """Of an entry as a server writes it: the field `ts` is at its top level."""
    at = 4
    while entry[at]:
        end = entry.index(0, at + 1)
        kind, name, at = entry[at], entry[at + 1:end], end + 1
        if name == b"ts":
            ordinal, seconds = struct.unpack_from("<II", entry, at)
            return seconds, ordinal
        if kind in (2, 3, 4):
            size = struct.unpack_from("<i", entry, at)[0]
            at += size + (4 if kind == 2 else 0)
        elif kind == 5:
            at += struct.unpack_from("<i", entry, at)[0] + 5
        else:
            at += {1: 8, 7: 12, 8: 1, 9: 8, 10: 0, 0x10: 4, 0x11: 8, 0x12: 8}[kind]
    raise AssertionError("no ts")


def time(ts):
    return f"{ts[0]}:{ts[1]}"


def moment(document):
    stamp = document["$timestamp"]
    return stamp["t"], stamp["i"]


class Gathering(ToolTest):
    def members(self, data=MOVES):
        return [data / name for name in MEMBERS]

    def gather(self, *args, members=None, warnings=""):
        code, out, err = self.run_tool("gather", *(members or self.members()), "-o", "out", "-f", "-q", *args)
        self.assertEqual((code, out, err), (0, b"", warnings), args)
        return self.dumped()

    def dumped(self, directory="out"):
        """The documents of each collection, as sorted bytes."""
        root = self.dir / directory
        return {".".join(path.relative_to(root).with_suffix("").parts): sorted(split_documents(path.read_bytes())) for path in root.rglob("*.bson")}

    def json(self, documents):
        self.write("documents.bson", b"".join(documents))
        return [json.loads(line) for line in self.good("cat", "documents.bson").splitlines()]

    def refused(self, message, *args, members=None, code=1):
        before = self.files()
        got, out, err = self.run_tool("gather", *(members or self.members()), "-o", "refused", *args)
        self.assertEqual((got, out), (code, b""), err)
        self.assertIn(message, err)
        self.assertEqual(self.files(), before)


class Moves(Gathering):
    """Chunks on the move, and transactions over both shards."""

    def test_each_moment_is_what_a_snapshot_read_gave(self):
        for expected in json.loads(gzip.decompress((MOVES / "expected.json.gz").read_bytes())):
            at = time(moment(expected["T"]))
            got = self.gather("--to", at)
            self.assertEqual(set(got), {"app.acct", "app.h", "app.plain"})
            for ns, owned in expected["owned"].items():
                with self.subTest(at, ns=ns):
                    documents = [{name: value for name, value in document.items() if name != "pad"} for document in self.json(got[ns])]
                    if isinstance(owned, dict):  # of some only the count and the sum were kept
                        self.assertEqual((len({str(d["_id"]) for d in documents}), len(documents)), 2 * (int(owned["count"]["$numberInt"]),))
                        self.assertEqual(sum(int(d["n"]["$numberInt"]) for d in documents), int(owned["sum"]["$numberInt"]))
                    else:
                        self.assertCountEqual(documents, [document for _, document in owned])

    def test_at_a_commit_timestamp_and_right_before_it_the_sum_holds(self):
        """The commit entries, and mostly the decision too, come later."""
        window = max(ts_of(split_documents((MOVES / name / "full/oplog.bson").read_bytes())[-1]) for name in MEMBERS)
        latest = min(ts_of(entries(MOVES / name)[-1]) for name in MEMBERS)
        commits = set()
        for name in MEMBERS:
            for entry in entries(MOVES / name):
                at = entry.find(b"\x11commitTimestamp\0")
                if at >= 0:
                    ordinal, seconds = struct.unpack_from("<II", entry, at + 17)
                    commits.add((seconds, ordinal))
        commits = sorted(ts for ts in commits if window < ts <= latest)
        self.assertGreater(len(commits), 30)
        for ts in commits[::max(1, len(commits) // 30)]:
            for bound in ("--to", "--before"):
                documents = self.json(self.gather(bound, time(ts))["app.acct"])
                self.assertEqual(len({str(d["_id"]) for d in documents}), 100, ts)
                self.assertEqual((len(documents), sum(int(d["n"]["$numberInt"]) for d in documents)), (100, 10000), ts)

    def test_without_a_time_it_is_the_latest_common_moment(self):
        latest = min(ts_of(entries(MOVES / name)[-1]) for name in MEMBERS)
        self.assertEqual(self.gather(), self.gather("--to", time(latest)))
        code, _, err = self.run_tool("gather", *self.members(), "-o", "told")
        self.assertEqual(code, 0)
        self.assertIn(f"oplog-gather: the cluster at {time(latest)} ", err)
        self.assertIn("mongorestore --bypassDocumentValidation told\n", err)
        self.assertIn("mongosh MONGOS told/shard.js", err)

    def test_members_may_be_named_in_any_order_and_worked_on_one_by_one(self):
        self.assertEqual(self.gather(), self.gather("--jobs", "1", members=self.members()[::-1]))

    def test_a_dump_has_metadata_once_and_nothing_of_the_servers(self):
        self.gather()
        files = {str(path.relative_to(self.dir / "out")) for path in (self.dir / "out").rglob("*") if path.is_file()}
        self.assertEqual(files, {"shard.js"} | {f"app/{name}{end}" for name in ("acct", "h", "plain") for end in (".bson", ".metadata.json")})
        metadata = json.loads(self.read("out/app/h.metadata.json"))
        self.assertEqual(metadata["uuid"], "d38fd5369de64e45828cf8211a93d22d")
        self.assertEqual([index["name"] for index in metadata["indexes"]], ["_id_", "_id_hashed"])

    def test_collections_are_selected_and_renamed(self):
        whole = self.gather()
        self.assertEqual(self.gather("--ns", "app.h"), {"app.h": whole["app.h"]})
        self.assertEqual(set(self.gather("--exclude-ns", "*.h")), {"app.acct", "app.plain"})
        self.assertEqual(self.gather("--rename", "app.*=copy.*"), {ns.replace("app.", "copy."): documents for ns, documents in whole.items()})
        self.assertIn('shard("copy.h", "{\\"_id\\":\\"hashed\\"}", false);', self.read("out/shard.js").decode())
        self.refused("--rename makes two collections one: app.h", "--rename", "app.acct=app.h", code=2)
        code, _, err = self.run_tool("gather", *self.members(), "-o", "none", "--ns", "none.*")
        self.assertEqual(code, 0)
        self.assertIn("oplog-gather: warning: --ns none.*: no collection matches\n", err)

    def test_one_dump_a_shard_together_has_what_one_dump_has(self):
        whole = self.gather()
        self.gather("--keep-shards")
        shards = [self.dumped("out/sh0"), self.dumped("out/sh1")]
        for ns in whole:
            self.assertEqual(sorted(sum((shard.get(ns, []) for shard in shards), [])), whole[ns])
        self.assertTrue(all(shard["app.h"] for shard in shards))
        self.assertNotIn("app.plain", shards[1])

    def test_gzip(self):
        whole = self.gather()
        self.run_tool("gather", *self.members(), "-o", "packed", "--gzip")
        self.assertEqual(sorted(split_documents(gzip.decompress(self.read("packed/app/h.bson.gz")))), whole["app.h"])
        self.assertTrue(self.read("packed/shard.js").startswith(b"// Shards the collections of this dump as they were at "))

    def test_what_cannot_be_is_refused(self):
        cfg, sh0, sh1 = self.members()
        self.refused("sh1: missing: a shard at ", members=[cfg, sh0])
        self.refused("config: missing: none of the chains is that of the config servers", members=[sh0, sh1])
        shutil.copytree(sh0, self.dir / "copy")
        self.refused("sh0: given twice, as ", members=[cfg, sh0, "copy", sh1])
        self.refused("its chain ", "--to", "1795643900:1")
        self.refused(" is consistent from ", "--to", "1795643000:1")
        self.refused("--to and --before", "--to", "1795643040:1", "--before", "1795643041:1", code=2)
        self.refused("there is no directory 'full' in it", members=[cfg, sh0, sh1 / "full"], code=2)
        self.refused("No such file or directory", members=[cfg, sh0, "none"], code=2)
        self.refused("no member of a sharded cluster", members=[cfg, sh0, DATA / "crud"])

    def test_a_member_that_ends_early_holds_the_others_back(self):
        whole = entries(MOVES / "sh1")
        early = [entry for entry in whole if ts_of(entry) <= (1795643042, 0)]
        shutil.copytree(MOVES / "sh1/full", self.dir / "sh1/full")
        self.write("sh1/inc/local/oplog.rs.bson", b"".join(early))
        members = [MOVES / "cfg", MOVES / "sh0", "sh1"]
        last = ts_of(early[-1])
        self.refused(f"sh1: its chain sh1 ends at {time(last)} ", "--to", "1795643043:1", members=members)
        self.assertIn(f"held back by: sh1, which ends at {time(last)} ", self.good("gather", *members, "--check").decode())

    def test_chains_that_have_no_time_in_common(self):
        shutil.copytree(MOVES / "sh1/full", self.dir / "sh1/full")
        for time in ((), ("--to", "1795643040:1")):
            self.refused("no moment is in all chains: sh1 ends at 1795643035:267 (2026-11-25T21:43:55Z), and the full dump of config is consistent from "
                         "1795643037:1 (2026-11-25T21:43:57Z) on\n", *time, members=[MOVES / "cfg", MOVES / "sh0", "sh1"])

    def test_check_prints_who_is_who_and_the_window(self):
        lines = self.good("gather", *self.members(), "--check").decode().splitlines()
        self.assertEqual([line.split()[0] for line in lines[:3]], ["config", "sh0", "sh1"])
        self.assertRegex(lines[3], r"^window: \d+:\d+ \(\S+Z\) to \d+:\d+ \(\S+Z\)$")
        self.assertEqual(self.run_tool("gather", *self.members(), "--check", "-o", "out")[0], 2)

    def test_a_transaction_without_an_end_is_left_out_on_all_shards(self):
        """The chains are cut where one shard has prepared a transaction and nobody has decided it."""
        streams = {name: entries(MOVES / name) for name in MEMBERS}
        start = max(ts_of(split_documents((MOVES / name / "full/oplog.bson").read_bytes())[-1]) for name in MEMBERS)
        prepared = sorted(ts_of(entry) for name in MEMBERS for entry in streams[name] if b"\x08prepare\0\x01" in entry and ts_of(entry) > start)
        cut = prepared[len(prepared) // 2]
        for name in MEMBERS:
            shutil.copytree(MOVES / name / "full", self.dir / name / "full")
            kept = [entry for entry in streams[name] if ts_of(entry) <= cut]
            after = next(entry for entry in streams[name] if ts_of(entry) > cut)
            noop = bytearray(kept[0])  # "initiating set", at the time of the entry that is no longer there
            at = noop.index(b"\x11ts\0") + 4
            noop[at:at + 8] = struct.pack("<II", *reversed(ts_of(after)))
            self.write(f"{name}/inc/local/oplog.rs.bson", b"".join(kept) + noop)
        code, _, err = self.run_tool("gather", *MEMBERS, "--to", time(cut), "-o", "out")
        self.assertEqual(code, 0, err)
        self.assertRegex(err, r"warning: transaction [0-9a-f]{8}/\d+ is prepared on sh\d(, sh\d)? at \S+ \(\S+\), and no chain tells how it ended: left out on all shards")
        documents = self.json(self.dumped()["app.acct"])
        self.assertEqual(sum(int(d["n"]["$numberInt"]) for d in documents), 10000)
        code, _, err = self.run_tool("gather", *MEMBERS, "-o", "decided")  # without a time: the latest moment at which all are decided
        self.assertEqual(code, 0, err)
        self.assertNotIn("left out on all shards", err)
        self.assertIn("undecided: transaction ", self.good("gather", *MEMBERS, "--check").decode())

    def test_one_shard_by_itself_is_warned_of_a_transaction_that_another_may_have_committed(self):
        expected = json.loads(gzip.decompress((MOVES / "expected.json.gz").read_bytes()))
        at = time(moment(next(each for each in expected if int(each["prepared_and_open"]["sh1"]["$numberInt"]))["T"]))
        shard = ("--full", MOVES / "sh1/full", MOVES / "sh1/inc", "--to", at)
        for tool, more in (("stage", ("-o", "staged")), ("apply", ("-o", "applied"))):
            code, _, err = self.run_tool(tool, *shard, *more)
            self.assertEqual(code, 0, err)
            self.assertRegex(err, r"warning: .*transaction \S+ (.*)?is left out whole; it is prepared, .*: oplog-gather decides it by the chains of all\n", tool)


class Operations(Gathering):
    """Renames, drops and the like, each of which takes its steps on one server after the other."""

    def setUp(self):
        super().setUp()
        self.streams = {name: entries(DDL / name) for name in MEMBERS}
        for name in MEMBERS:
            self.store(name)

    def store(self, name):
        self.write(f"{name}/full/oplog.bson", self.streams[name][0])  # of an empty server
        self.write(f"{name}/inc/local/oplog.rs.bson", b"".join(self.streams[name]))

    def at(self, ts):
        return self.gather("--to", time(ts), members=MEMBERS)

    def test_at_every_moment_of_an_operation_it_is_not_begun_or_done(self):
        last = min(ts_of(stream[-1]) for stream in self.streams.values())
        moments = sorted({ts_of(entry) for stream in self.streams.values() for entry in stream})
        for step in json.loads((DDL / "steps.json").read_text(encoding="utf-8")):
            begin, end = moment(step["from"]), min(moment(step["to"]), last)
            before, after = self.at(begin), self.at(end)
            seen = []
            for ts in moments:
                if begin < ts < end:
                    state = self.at(ts)
                    self.assertIn(state, (before, after), (step["step"], ts))
                    seen.append(state == after)
            self.assertGreater(len(seen), 5)
            self.assertEqual(seen, sorted(seen), step["step"])  # once done, it stays so
        self.assertEqual(after, {})

    def test_an_operation_that_began_before_the_chain_is_refused_while_it_is_under_way(self):
        mark = b"config.system.sharding_ddl_coordinators\0"
        begin, _ = moment(json.loads((DDL / "steps.json").read_text(encoding="utf-8"))[0]["from"]), None
        of_rename = [entry for entry in self.streams["sh0"] if mark in entry and b"renameCollection\0" in entry and ts_of(entry) < (begin[0] + 1, 0)]
        ended = ts_of(of_rename[-1])
        self.streams["sh0"] = [entry for entry in self.streams["sh0"] if entry not in of_rename[:-1]]
        self.store("sh0")
        self.refused(f"sh0: renameCollection of app.h is under way, and how far it has come is not known: it began before the backup. "
                     f"No moment before this one in the backup is known; the nearest after is {time(ended)}", "--to", time((ended[0], ended[1] - 20)), members=MEMBERS)
        self.assertIn("app.h2", self.at(ended))

    def test_check_prints_the_operations(self):
        out = self.good("gather", *MEMBERS, "--check").decode()
        for operation in ("renameCollection of app.h (sh0)", "dropCollection of app.d (sh0)", "reshardCollection of app.acct (sh1)", "dropDatabase of app. (sh1)"):
            self.assertRegex(out, rf"under way: \d+:\d+ to \d+:\d+: {operation.replace('(', '[(]').replace(')', '[)]')}\n")

    def test_shards_that_disagree_about_indexes_are_named(self):
        """An index that one shard was given, and the other not yet."""
        end = moment(json.loads((DDL / "steps.json").read_text(encoding="utf-8"))[0]["from"])
        create = next(entry for entry in self.streams["sh0"] if b"createIndexes\0" in entry and b"_id_hashed\0" in entry and ts_of(entry) < end)
        self.streams["sh0"].remove(create)
        self.store("sh0")
        code, _, err = self.run_tool("gather", *MEMBERS, "--to", time(end), "-o", "out")
        self.assertEqual(code, 0, err)
        self.assertRegex(err, r'warning: app[.]h: shard sh1 has the index .*"_id_hashed".*, shard sh0 has not: it is left out\n')


if __name__ == "__main__":
    unittest.main()

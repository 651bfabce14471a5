#!/usr/bin/env python3
"""oplog-verify: what is found, where, and which times can be restored to; and oplogs that other people made."""
import json
import os
import pathlib
import struct
import unittest

from support import CHAINS, GAP_HINT, ToolTest, chain, document, entry, field, int32, string, timestamp
from test_slice_txn import PARTIAL, PREPARE, transaction
from test_stage import StageTest, build, command, create_index, fcv, insert, metadata, noop, one, uuid


class VerifyTest(StageTest):
    def verify(self, *args, code=None, stdin=b""):
        """What --json says; the text says the same, and the exit code follows from it."""
        plain, text, err = self.run_tool("verify", *args, stdin=stdin)
        self.assertEqual(err, GAP_HINT if b": gap: " in text else "")
        exit_code, out, err = self.run_tool("verify", "--json", *args, stdin=stdin)
        found = json.loads(out)
        self.assertEqual((exit_code, err, plain, found["good"]), (1 - found["good"], GAP_HINT if b": gap: " in text else "", exit_code, not any(f["severity"] == "error" for f in found["findings"])))
        lines = []
        for finding in found["findings"]:
            where = f"{finding['file']}: offset {finding['offset']}: document {finding['document']}: " if "file" in finding else ""
            ts = finding["ts"] + ": " if "ts" in finding else ""
            times = f" ({finding['times']} times)" if finding.get("times", 1) > 1 else ""
            lines.append(f"{finding['severity']}: {where}{ts}{finding['text']}{times}")
        window = found["window"]
        lines.append(f"restorable from {window['first']} ({window['firstTime']}) to {window['last']} ({window['lastTime']})" if window else "restorable to no time")
        self.assertEqual(text.decode().splitlines(), lines)
        if code is not None:
            self.assertEqual(exit_code, code, out)
        return found

    def finds(self, severity, file, number, ts, text, *args, window=None, **options):
        """Just one finding of that severity: at the file's document of that number, with that time."""
        found = self.verify(*args, code=severity == "error", **options)
        those = [f for f in found["findings"] if f["severity"] == severity]
        self.assertEqual([(f.get("file"), f.get("document"), f.get("ts"), f["text"]) for f in those], [(file, number, ts, text)])
        if window is not None:
            self.assertEqual(found["window"] and [found["window"]["first"], found["window"]["last"]], window)
        return those[0]


class Verify(VerifyTest):
    def test_good_chains(self):
        for name in CHAINS:
            full, *increments = chain(name)
            found = self.verify("--full", full.parent, *reversed(increments), code=0)
            self.assertEqual({f["severity"] for f in found["findings"]} - {"note"}, set(), name)
            last = self.good("range", "--last", full, increments[-1]).decode().split()
            self.assertEqual([found["window"]["first"], found["window"]["last"]], last)
        self.assertEqual(self.run_tool("verify", "--full", chain("crud")[0].parent, *chain("crud")[1:])[1].count(b"\n"), 1)

    def test_any_form(self):
        full, *increments = chain("drop")
        expected = self.verify("--full", full.parent, *increments)
        self.shell(f"gzip -c {increments[0]} >1.bson.gz; zstd -qc {increments[1]} >2.bson.zst")
        for args in (("1.bson.gz", "2.bson.zst", increments[2].parent.parent), (increments[2], "2.bson.zst", "1.bson.gz")):
            self.assertEqual(self.verify("--full", full.parent, *args)["window"], expected["window"])
        code, out, err = self.shell(f"oplog-verify --full {full.parent} <(cat {increments[0]}) - {increments[2]} < 2.bson.zst")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(self.good("verify", stdin=increments[0].read_bytes()).splitlines()[-1][:16], b"restorable from ")

    def test_gaps_and_divergence(self):
        self.dump(entry(100, 1), entry(100, 2))
        self.write("4.bson", entry(100, 4))
        self.finds("error", "4.bson", 1, "100:4", "gap: this slice begins with entry 100:4, and full/oplog.bson before it ends with 100:2", "--full", "full", "4.bson", window=["100:2", "100:2"])
        self.write("3.bson", entry(100, 2) + entry(100, 3))
        self.finds("error", "4.bson", 1, "100:4", "gap: this slice begins with entry 100:4, and 3.bson before it ends with 100:3", "4.bson", "3.bson", window=["100:2", "100:3"])
        self.write("d.bson", entry(100, 1) + entry(100, 2, value=1))
        self.finds("error", "d.bson", 2, "100:2", "divergence: another entry 100:2 than full/oplog.bson has", "d.bson", "--full", "full", window=None)
        self.assertIsNone(self.verify("d.bson", "--full", "full")["window"])
        self.write("hole.bson", entry(100, 2) + entry(100, 4))
        self.finds("error", "3.bson", 2, "100:3", "divergence: hole.bson spans entry 100:3 and has it not", "hole.bson", "3.bson", window=["100:2", "100:2"])

    def test_every_slice_that_is_broken_is_named(self):
        size = len(entry(100, 1))
        self.write("a.bson", (entry(100, 1) + entry(100, 2))[:-3])
        self.write("b.bson", entry(100, 2) + entry(100, 4) + entry(100, 3))
        found = self.verify("a.bson", "b.bson", code=1)
        self.assertEqual([(f["file"], f["offset"], f["ts"]) for f in found["findings"]], [("a.bson", size, "100:1"), ("b.bson", 2 * size, "100:4")])
        self.assertEqual(found["findings"][1]["text"], "after this entry: out of order: entry 100:3 after 100:4")
        self.assertEqual(found["window"]["last"], "100:1")

    def test_text_that_is_no_utf8_is_a_warning_since_servers_take_it(self):
        bad = document(string("op", "i"), string("ns", "shop.a"), field(3, "o", document(int32("_id", 1), field(2, "x", b"\2\0\0\0\xff\0"))), timestamp("ts", 100, 2))
        self.write("a.bson", entry(100, 1) + bad + entry(100, 3))
        found = self.verify("a.bson", code=0)["findings"]
        self.assertEqual([(f["severity"], f["file"], f["offset"], f["document"], f["ts"]) for f in found],
                         [("warning", "a.bson", len(entry(100, 1)), 2, "100:2")])
        self.assertIn("UTF-8", found[0]["text"])

    def test_flipped_bytes(self):
        """In what two slices share, or under a checksum, every one is found; elsewhere none makes the tool fail."""
        first = entry(100, 1) + entry(100, 2)
        self.dump(noop(1), noop(2))
        self.write("inc.bson", noop(2) + noop(3))
        self.write("good.bson", noop(2) + noop(3))
        for at in range(len(noop(2))):
            broken = bytearray(self.read("good.bson"))
            broken[at] ^= 1 << at % 8
            self.write("inc.bson", bytes(broken))
            code, out, err = self.run_tool("verify", "--full", "full", "inc.bson")
            self.assertEqual((code, err), (1, GAP_HINT if b": gap: " in out else ""), (at, out))
            self.assertIn(b"inc.bson", out, at)
        for at in range(len(noop(2)), len(noop(2) + noop(3))):
            broken = bytearray(self.read("good.bson"))
            broken[at] ^= 0x80
            self.write("inc.bson", bytes(broken))
            code, out, err = self.run_tool("verify", "--full", "full", "inc.bson")
            self.assertEqual((code in (0, 1), err), (True, ""), (at, out))
        self.write("plain.bson", first)
        for kind, tool in (("zst", "zstd -qf"), ("gz", "gzip -nf")):
            self.shell(f"{tool} -c plain.bson >whole.{kind}")
            whole = self.read(f"whole.{kind}")
            for at in range(len(whole)):
                broken = bytearray(whole)
                broken[at] ^= 0x10
                self.write("broken", bytes(broken))
                code, out, err = self.run_tool("verify", "broken")
                if code == 0:  # it was in a header, and said nothing about the contents
                    self.assertEqual(self.good("filter", "broken"), first, (kind, at))
                self.assertIn((code, err.partition(":")[0]), ((0, ""), (1, ""), (1, "hint")), (kind, at, out))

    def test_truncation_at_any_byte(self):
        data = noop(1) + noop(2)
        for size in range(len(data)):
            code, out, err = self.run_tool("verify", stdin=data[:size])
            self.assertEqual((code, err), (0 if size == len(noop(1)) else 1, ""), (size, out))

    def test_an_open_transaction_at_the_end_is_a_warning(self):
        self.write("a.bson", noop(1) + transaction(100, 2, more=PARTIAL) + noop(3))
        text = "transaction 61616161/7 is not committed by 100:3 and is left out whole"
        self.finds("warning", "a.bson", 2, "100:2", text, "a.bson", window=["100:1", "100:3"])
        self.write("b.bson", noop(1) + transaction(100, 2, more=PREPARE) + noop(3))
        on_shard = "; it is prepared, as is done on shards of a cluster, and may count on other shards: oplog-gather decides it by the chains of all"
        self.finds("warning", "b.bson", 2, "100:2", text + on_shard, "b.bson")
        self.assertEqual([f["severity"] for f in self.verify("a.bson")["findings"]], ["note", "warning"])

    def test_a_transaction_that_began_before_is_an_error_unless_the_dump_has_it(self):
        commit = transaction(100, 3, (100, 2))
        self.write("a.bson", commit + noop(4))
        self.finds("error", "a.bson", 1, "100:3", "transaction 61616161/7 commits here, and began before these slices", "a.bson", window=None)
        self.write("a.bson", noop(1) + transaction(100, 2, more=PARTIAL) + transaction(100, 4, (100, 3)))
        self.finds("error", "a.bson", 3, "100:4", "transaction 61616161/7 commits here, and entries of it are missing", "a.bson", window=["100:1", "100:2"])
        self.dump(commit, noop(4))
        found = self.verify("--full", "full", code=0)
        self.assertEqual([(f["severity"], f["text"]) for f in found["findings"]], [("note", "transaction 61616161/7 commits here, before the full dump, which has what it did")])

    def test_what_no_restore_gets_right(self):
        self.dump(noop(1), a=metadata("a", "old_1", letter="A"))
        self.write("inc.bson", noop(1) + noop(2) + fcv(3) + noop(4))
        found = self.verify("--full", "full", "inc.bson", code=1)
        self.assertEqual([(f["file"], f["document"], f["ts"]) for f in found["findings"]], [("inc.bson", 3, "100:3")])
        self.assertEqual(found["window"]["last"], "100:2")
        self.write("inc.bson", noop(1) + command(2, "frobnicate", "a"))
        self.finds("error", "inc.bson", 2, "100:2", "the command frobnicate is not known; stage up to before it (--before 100:2)", "--full", "full", "inc.bson")
        self.write("inc.bson", noop(1) + command(2, "dropIndexes", "a", string("index", "old_1")))
        self.verify("--full", "full", "inc.bson", code=0)
        self.finds("error", "inc.bson", 2, "100:2", "dropIndexes drops an index of shop.a that was made before these slices begin, "
                   "which mongorestore would not do; stage with the full dump (--full)", "inc.bson")

    def test_an_index_build_that_is_not_finished_is_a_warning(self):
        self.write("a.bson", noop(1) + build(2, "start", "a", "x_1") + noop(3))
        self.finds("warning", "a.bson", 2, "100:2", "the build of index x_1 on shop.a is not committed: the index is left out", "a.bson", window=["100:1", "100:3"])

    def test_notes_are_made_once(self):
        def rename(n, a, b):
            return command(n, "renameCollection", f"shop.{a}", string("to", f"shop.{b}"), uuid("dropTarget", "B"))
        self.write("a.bson", rename(1, "a", "b") + rename(2, "b", "c") + rename(3, "c", "a"))
        found = self.verify("a.bson", code=0)["findings"]
        self.assertEqual([(f["severity"], f["times"], f["document"]) for f in found], [("note", 3, 1)] * 2)

    def test_nothing_to_restore(self):
        self.write("empty.bson", b"")
        found = self.verify("empty.bson", code=1)
        self.assertEqual([(f["severity"], f.get("file")) for f in found["findings"]], [("warning", "empty.bson"), ("error", None)])
        self.assertIsNone(found["window"])
        self.write("a.bson", noop(1))
        self.assertEqual([f["severity"] for f in self.verify("a.bson", "empty.bson", code=0)["findings"]], ["warning"])
        self.dump()
        self.fails(1, "{}: full/oplog.bson: no entries: nothing tells what time the full dump is of\n", "verify", "--full", "full")
        self.fails(2, "{}: nowhere: No such file or directory\n", "verify", "nowhere")
        self.fails(2, "{}: nowhere: No such file or directory\n", "verify", "--full", "nowhere")

    def test_names_that_are_no_plain_text(self):
        name = "a\n\x1b[2J\"\\ü.bson"
        self.write(name, noop(2) + noop(1))
        code, out, err = self.run_tool("verify", name)
        self.assertEqual((code, out.count(b"\n"), b"\x1b" in out), (1, 2, False))
        self.assertEqual(json.loads(self.run_tool("verify", "--json", name)[1])["findings"][0]["file"], name)


# What oplogs of other people's tools are like, made by hand. Each with what is right of it: the exit code of verify and stage, and the
# time that it ends with (or what is wrong with it).
def old_style(seconds, ordinal, op, ns, *o):
    """As MongoDB 2.x and 3.x wrote them: `ts` first, a hash `h`, no `ui`."""
    return document(timestamp("ts", seconds, ordinal), field(0x12, "h", b"\1\2\3\4\5\6\7\x88"), int32("v", 2), string("op", op), string("ns", ns), field(3, "o", document(*o)))


def vectored(ordinal, previous=None):
    """One of several inserts that a server from 8.0 on writes like transactions, and that are none."""
    whole = transaction(100, ordinal, previous)
    return struct.pack("<i", len(whole) + len(int32("multiOpType", 1))) + whole[4:-1] + int32("multiOpType", 1) + b"\0"


MADE = {
    "empty": (b"", 1, "there are no entries"),
    "one no-op": (noop(1), 0, "100:1"),
    "old entries": (old_style(5, 1, "n", "", string("msg", "initiating set")) + old_style(9, 2, "i", "test.a", int32("_id", 1)) + old_style(9, 3, "d", "test.a", int32("_id", 1)), 0, "9:3"),
    "an index as an insert": (old_style(5, 1, "i", "test.system.indexes", int32("v", 1), field(3, "key", document(int32("a", 1))), string("ns", "test.a"), string("name", "a_1")), 0, "5:1"),
    "in the order of its namespaces": (b"".join(create_index(n, "a", "x_1") for n in (2, 5, 3)), 1, "out of order: entry 100:3 after 100:5"),
    "the same time twice": (noop(1) + insert(1, "test.a", 1), 1, "entry 100:1 occurs twice in a row"),
    "collMod alone": (command(1, "collMod", "foo", field(3, "index", document(string("name", "a_1"), field(8, "hidden", b"\1")))), 1, "stage with the full dump"),
    "a drop of an index alone": (command(1, "dropIndexes", "foo", string("index", "a_1")), 1, "stage with the full dump"),
    "a build committed": (build(1, "start", "foo", "a_1") + build(2, "commit", "foo", "a_1"), 0, "100:2"),
    "drops": (command(1, "drop", "foo") + one(2, "c", "test.$cmd", int32("dropDatabase", 1)), 0, "100:2"),
    "times far in the future": (entry(1416342265, 2) + entry(1500000000, 1) + entry(4000000000, 1), 0, "4000000000:1"),
    "begins at 0:1": (entry(0, 1) + entry(1450127227, 1), 0, "1450127227:1"),
    "container operations": (one(1, "ci", "shop.a", int32("_id", 1)) + one(2, "km", "shop.a", int32("_id", 1)), 0, "100:2"),
    "an operation nobody knows": (one(1, "xi", "shop.a", int32("_id", 1)), 1, "operation 'xi' on shop.a is not known"),
    "linked vectored inserts": (vectored(1) + vectored(2, (100, 1)), 0, "100:2"),
}


class OfOthers(VerifyTest):
    def judge(self, path):
        """(exit code of verify, what is said) of a file that goes through all tools; none may crash or contradict another."""
        code, out, err = self.run_tool("verify", path)
        self.assertEqual((code in (0, 1), err), (True, ""), path)
        staged, bson, said = self.run_tool("stage", path)
        self.assertEqual(staged, code, (path, out, said))
        if code == 0:
            if bson:  # there may be nothing in it but commands about indexes that came to nothing
                self.verifies(bson)
            whole = self.good("filter", path)
            self.assertEqual(self.good("merge", path), whole)
            self.assertEqual(self.run_tool("range", "--last", path)[0], 0)
        json.loads(self.good("stats", "--json", path))
        self.assertEqual(len(self.good("cat", path).splitlines()), len(self.good("cat", "--relaxed", path).splitlines()))
        self.good("filter", "--no-noops", path)
        return code, out.decode() + said

    def test_oplogs_made_by_hand(self):
        for name, (data, code, text) in MADE.items():
            with self.subTest(name):
                self.write("x.bson", data)
                got, said = self.judge("x.bson")
                self.assertEqual((got, text in said), (code, True), said)

    @unittest.skipUnless(os.environ.get("MONGO_TOOLS_TESTDATA"), "$MONGO_TOOLS_TESTDATA names no directory of mongo-tools' sources")
    def test_oplogs_of_mongo_tools(self):
        wrong = {  # the others are right
            "collMod_ttl_index/oplog.bson": "collMod changes an index of mongodump_test_db.coll1 that was made before",
            "commit_indexes_build/oplog.bson": "out of order: entry 1588114182:1 after 1588114270:1",
            "create_indexes/oplog.bson": "out of order: entry 1589174740:3 after 1589174850:1",
            "bson/collMod.bson": "collMod changes an index of test.foo that was made before",
            "bson/collMod_with_hidden.bson": "collMod changes an index of test.foo that was made before",
            "bson/drop_index.bson": "dropIndexes drops an index of test.foo that was made before",
            "oplog_ignore_index/oplog.bson": "abortIndexBuild gives up an index",
            "testdirs/oplog.bson": "there are no entries",
        }
        root = pathlib.Path(os.environ["MONGO_TOOLS_TESTDATA"])
        oplogs = [p for p in sorted(root.rglob("*.bson")) if p.is_file() and (p.name in ("oplog.bson", "oplog.rs.bson", "extra_oplog.bson") or p.parent.parent.name == "oplogs")]
        self.assertGreater(len(oplogs), 20)
        for path in oplogs:
            with self.subTest(str(path.relative_to(root))):
                code, said = self.judge(path)
                expected = wrong.get(f"{path.parent.name}/{path.name}")
                self.assertEqual((code, not expected or expected in said), (1 if expected else 0, True), said)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""oplog-filter: which operations stay, under which names."""
import json
import shutil
import subprocess
import unittest

from support import CHAINS, DATA, MARK, ToolTest, chain, document, entry, field, int32, split_documents, string, timestamp


def operation(op, ns, *o):
    return string("op", op), string("ns", ns), field(3, "o", document(*o))


def one(seconds, op, ns, *o):
    return document(*operation(op, ns, *o), timestamp("ts", seconds, 1))


def array(*documents):
    return document(*(field(3, str(i), d) for i, d in enumerate(documents)))


class Filter(ToolTest):
    def operations(self, bson):
        """[[op, ns, what it names]…] of a stream, inside applyOps too."""
        code, out, err = self.run_tool("cat", "--relaxed", stdin=bson)
        self.assertEqual((code, err), (0, ""))

        def walk(operation):
            o = operation.get("o", {})
            if operation["op"] == "c" and "applyOps" in o:
                for inner in o["applyOps"]:
                    yield from walk(inner)
            else:
                name = next(iter(o.values()), None) if operation["op"] == "c" else None
                yield [operation["op"], operation["ns"], name, *([o["to"]] if "to" in o else [])]
        return [found for line in out.splitlines() for found in walk(json.loads(line))]

    def setUp(self):
        super().setUp()
        self.entries = [one(1, "n", "", string("msg", "periodic noop")), one(2, "c", "shop.$cmd", string("create", "tmp.agg_out.1")),
                        one(3, "i", "shop.tmp.agg_out.1", int32("_id", 1)), one(4, "i", "shop.a", int32("_id", 1)),
                        one(5, "c", "shop.$cmd", string("renameCollection", "shop.tmp.agg_out.1"), string("to", "shop.agg")),
                        one(6, "c", "admin.$cmd", field(4, "applyOps", array(document(*operation("i", "shop.a", int32("_id", 2))),
                                                                              document(*operation("i", "shop.agg", int32("_id", 2)))))),
                        one(7, "d", "other.a", int32("_id", 1))]
        self.write("in.bson", b"".join(self.entries))

    def test_without_options_every_byte_stays(self):
        self.assertEqual(self.good("filter", "in.bson"), b"".join(self.entries))
        for name in CHAINS:
            for oplog in chain(name):
                self.assertEqual(self.good("filter", oplog), oplog.read_bytes())
                self.assertEqual(self.good("filter", "--ns", "*", oplog), oplog.read_bytes())
                self.assertEqual(self.good("filter", "--quiet", "--exclude-ns", "nothing.here", oplog), oplog.read_bytes())

    def test_a_collection_is_followed_from_its_temporary_name(self):
        agg = [["n", "", None], ["c", "shop.$cmd", "tmp.agg_out.1"], ["i", "shop.tmp.agg_out.1", None],
               ["c", "shop.$cmd", "shop.tmp.agg_out.1", "shop.agg"], ["i", "shop.agg", None]]
        self.assertEqual(self.operations(self.good("filter", "--ns", "shop.agg", "in.bson")), agg)
        rest = self.operations(self.good("filter", "--exclude-ns", "shop.agg", "in.bson"))
        self.assertEqual(rest, [["n", "", None], ["i", "shop.a", None], ["i", "shop.a", None], ["d", "other.a", None]])
        self.assertEqual(self.operations(self.good("filter", "--exclude-ns", "shop.agg", "--ns", "shop.*", "in.bson")), rest[:3])

    def test_a_pipe_gives_what_a_file_gives_and_several_inputs_are_one(self):
        args = ("--ns", "shop.agg", "--rename", "shop.agg=shop.sums")
        expected = self.good("filter", *args, "in.bson")
        self.assertEqual(self.operations(expected)[-1], ["i", "shop.sums", None])
        self.assertEqual(self.good("filter", *args, stdin=b"".join(self.entries)), expected)
        self.write("1.bson", b"".join(self.entries[:3]))
        self.assertEqual(self.good("filter", *args, "1.bson", "-", stdin=b"".join(self.entries[3:])), expected)
        code, out, err = self.shell("oplog-filter --ns shop.agg --rename shop.agg=shop.sums <(cat in.bson) | oplog-range")
        self.assertEqual((code, err, out.split()[2]), (0, "", b"5"))
        self.good("filter", *args, "in.bson", "-o", "out.bson.zst")
        self.assertEqual(self.good("filter", "out.bson.zst"), expected)

    def test_names_change_everywhere(self):
        self.assertEqual(self.operations(self.good("filter", "--rename", "shop.*=store.*", "--rename", "other.a=other.b", "in.bson")),
                         [["n", "", None], ["c", "store.$cmd", "tmp.agg_out.1"], ["i", "store.tmp.agg_out.1", None], ["i", "store.a", None],
                          ["c", "store.$cmd", "store.tmp.agg_out.1", "store.agg"], ["i", "store.a", None], ["i", "store.agg", None],
                          ["d", "other.b", None]])
        for name in CHAINS:
            for oplog in chain(name):
                there = self.good("filter", "--quiet", "--rename", "shop.*=a.*", oplog)
                self.assertEqual([n for n in self.operations(there) if "shop." in str(n)], [])
                self.assertEqual(self.good("filter", "--quiet", "--rename", "a.*=shop.*", stdin=there), oplog.read_bytes())

    def test_ops_are_selected(self):
        self.assertEqual(self.operations(self.good("filter", "--op", "d,n", "in.bson")), [["n", "", None], ["d", "other.a", None]])
        self.assertEqual(self.good("filter", "--no-noops", "in.bson"), b"".join(self.entries[1:]))
        self.usage("--op has an empty item: 'i,,d'", "filter", "--op", "i,,d", "in.bson", out=None)

    def test_a_transaction_that_loses_all_its_operations_keeps_its_chain(self):
        oplogs = chain("txn_cut")
        self.good("merge", *oplogs, "-o", "whole.bson")
        before = self.read("whole.bson")
        after = self.good("filter", "--quiet", "--ns", "nothing.*", "whole.bson")
        self.assertEqual(self.operations(after), [])
        self.write("after.bson", after)
        self.assertGreater(len(split_documents(after)), 2)
        self.assertEqual(self.run_tool("slice", "--txn=fail", "after.bson")[::2], (0, ""))
        self.assertEqual(self.run_tool("slice", "--txn=fail", "whole.bson")[:2], (0, before))

    def test_disorder_and_duplicates_are_taken(self):
        twice = b"".join(self.entries + self.entries[::-1])
        self.assertEqual(self.good("filter", stdin=twice), twice)
        self.assertEqual(len(self.operations(self.good("filter", "--ns", "shop.a", stdin=twice))), 2 + 4)

    def test_disorder_where_a_name_means_one_collection_or_another_is_refused(self):
        self.write("early.bson", b"".join(self.entries[:4]))
        self.write("late.bson", b"".join(self.entries[4:]))
        message = "{}: early.bson: offset 0: document 1: out of order: entry 1:1 after 7:1, and collections are renamed, so that a name means one or another\nhint: oplog-merge puts entries in order\n"
        self.fails(1, message, "filter", "--ns", "shop.agg", "late.bson", "early.bson", "-o", "out.bson")
        self.good("filter", "--quiet", "--ns", "shop.*", "late.bson", "early.bson")
        self.assertEqual([ns for _, ns, *_ in self.operations(self.good("filter", "--ns", "shop.agg", "early.bson", "late.bson"))],
                         ["", "shop.$cmd", "shop.tmp.agg_out.1", "shop.$cmd", "shop.agg"])

    def test_an_entry_that_its_new_name_makes_too_large_is_refused(self):
        many = one(2, "c", "admin.$cmd", field(4, "applyOps", array(*[document(*operation("i", "shop.a", int32("_id", i))) for i in range(60000)])))
        self.write("many.bson", one(1, "n", "", string("msg", "periodic noop")) + many)
        self.good("filter", "-q", "--rename", "shop.a=shop.b", "many.bson")
        shutil.copytree(DATA / "crud/full", self.dir / "full")
        for tool in (["filter"], ["stage"]):
            code, _, err = self.run_tool(*tool, "--rename", "shop.a=shop." + "b" * 250, "many.bson", "-o", "out.bson")
            self.assertEqual(code, 1, err)
            self.assertRegex(err, r"many.bson: offset \d+: document 2: .*under its new names it would have \d+ bytes, over the limit of 16793600")
            self.assertNotIn("out.bson", self.files())

    def test_what_cannot_be_followed_is_refused_and_leaves_no_file(self):
        for args, reason in ((("--rename", "shop.a=other.a"), "entry 7:1: other.a is there already: what is renamed to it would be mixed with it (exclude or rename it too)"),
                             (("--ns", "shop.x", "--rename", "shop.agg=other.a"), None)):
            if reason:
                self.fails(2, f"{{}}: in.bson: {reason}\n", "filter", *args, "in.bson", "-o", "out.bson")
            else:
                self.good("filter", "--quiet", *args, "in.bson")
        self.write("unknown.bson", one(1, "c", "shop.$cmd", string("frobnicate", "a")))
        self.fails(2, "{}: unknown.bson: entry 1:1: the command frobnicate on shop.$cmd is not known, so whether it belongs to what is selected cannot be told\n",
                   "filter", "--ns", "shop.a", "unknown.bson", "-o", "out.bson")
        self.assertEqual(self.good("filter", "--quiet", "--ns", "other.a", "unknown.bson"), b"")
        self.assertEqual(self.good("filter", "--op", "c", "unknown.bson"), self.read("unknown.bson"))
        self.assertEqual(self.files(), ["in.bson", "unknown.bson"])

    def test_arguments_that_make_no_sense(self):
        self.usage("'shop' matches no namespace: write <database>.<collection> or shop.*", "filter", "--ns", "shop", "in.bson", out=MARK)
        self.usage("--rename shop.a: write FROM=TO", "filter", "--rename", "shop.a", "in.bson", out=MARK)
        for to, why in (("shop.", "a name is <database>.<collection> or <database>.*"), ("a b.c", "a database's name has no / \\ . \" $, space or NUL in it"),
                        ("x" * 64 + ".c", "a database's name has at most 63 bytes"), ("shop." + "x" * 251, "<database>.<collection> has at most 255 bytes"),
                        ("shop.a$", "a collection's name has no $ or NUL in it"), ("shop..a", "a collection's name does not begin with a dot"), ("shop.a.", "a collection's name does not end with a dot"),
                        ("shop.system.a", "system collections keep their names"), ("shop.a.system.b", "system collections keep their names")):
            for tool in ("filter", "stage"):
                self.usage(f"cannot rename shop.a to {to}: {why}", tool, "--rename", f"shop.a={to}", "in.bson", out=MARK)
            self.usage(f"cannot rename shop.a to {to}: {why}", "apply", "--full", DATA / "crud/full", "--rename", f"shop.a={to}", "in.bson", "-o", "out")
        self.usage("cannot rename shop.* to admin.*: the server's own databases keep their names", "filter", "--rename", "shop.*=admin.*", "in.bson", out=MARK)

    def test_what_matches_no_collection_is_said(self):
        warn = "{}: warning: %s: no collection matches\n".replace("{}", "oplog-filter")
        for args, unmatched in ((("--ns", "shop.x"), ["--ns shop.x"]), (("--ns", "shop.a", "--ns", "*.y"), ["--ns *.y"]), (("--exclude-ns", "shop.a?"), ["--exclude-ns shop.a?"]),
                                (("--rename", "shop.b=shop.c", "--rename", "sop.*=sold.*"), ["--rename shop.b", "--rename sop.*"]), (("--ns", "*"), []),
                                (("--ns", "shop.tmp.agg_out.1", "--ns", "shop.agg", "--ns", "other.a"), [])):  # one of them has been renamed
            code, _, err = self.run_tool("filter", *args, "in.bson")
            self.assertEqual((code, err), (0, "".join(warn % one for one in unmatched)), args)
        self.write("gone.bson", one(1, "c", "old.$cmd", int32("dropDatabase", 1)))
        self.assertEqual(len(split_documents(self.good("filter", "--ns", "old.*", "gone.bson"))), 1)
        self.assertEqual(self.good("filter", "--quiet", "--ns", "old.x", "gone.bson"), b"")
        self.assertEqual(self.run_tool("filter", "--ns", "new.x", "gone.bson")[2], warn % "--ns new.x")
        code, out, err = self.run_tool("cat", "--ns", "shop.x", "--ns", "*.a", "in.bson")
        self.assertEqual((code, err), (0, "oplog-cat: warning: --ns shop.x: no collection matches\n"))
        self.assertGreater(len(out), 0)
        self.assertEqual(self.run_tool("cat", "--ns", "shop.a", "--op", "n", "in.bson"), (0, b"", ""))  # it is there

    def test_an_input_that_changes_between_its_two_readings_is_refused(self):
        with open(self.dir / "grows.bson", "wb") as file:
            file.write(b"".join(one(n, "i", "shop.a", int32("_id", n)) for n in range(1, 20000)))
        process = self.start("filter", "--ns", "shop.a", "grows.bson", "--verbose", stdout=subprocess.PIPE)
        self.assertTrue(process.stdout.read(1))  # it is in its second reading
        with open(self.dir / "grows.bson", "ab") as file:
            file.write(one(20000, "i", "shop.a", int32("_id", 20000)))
        out = process.stdout.read()
        process.stdout.close()
        self.assertEqual(process.wait(30), 1)
        self.assertTrue(out.endswith(MARK))
        self.assertRegex(process.stderr.read().decode(), "grows.bson: what is read has changed meanwhile: it ended with entry 19999:1, the last of 19999, and now with 20000:1")

    def test_bad_input_fails_with_its_place_in_either_pass(self):
        self.write("bad.bson", entry(100, 1) + one(2, "c", "shop.$cmd", int32("create", 1)))
        place = "{}: bad.bson: offset %d: document 2: field 'create' is an int32, not a string\n" % len(entry(100, 1))
        self.fails(1, place, "filter", "--ns", "shop.a", "bad.bson", "-o", "out.bson")
        code, out, _ = self.run_tool("filter", "--no-noops", stdin=self.read("bad.bson"))
        self.assertEqual((code, out), (1, entry(100, 1) + MARK))
        self.write("cut.bson", entry(100, 1)[:-3])
        self.fails(1, "{}: cut.bson: offset 0: document 1: the stream ends inside a document: %d of %d bytes\n" % (len(entry(100, 1)) - 3, len(entry(100, 1))),
                   "filter", "--ns", "shop.a", "cut.bson", "-o", "out.bson")
        self.write("bool.bson", one(1, "i", "shop.a", field(8, "x", b"\2")))
        self.fails(1, "{}: bool.bson: offset 0: document 1: boolean 'x' is neither true nor false\n", "filter", "bool.bson", "-o", "out.bson")
        self.assertNotIn("out.bson", self.files())

    def test_text_that_servers_take_is_passed_on_though_it_is_no_utf8(self):
        strange = one(1, "i", "shop.a", int32("_id", 1), field(2, "x", b"\2\0\0\0\xff\0"))
        self.write("utf8.bson", strange)
        self.assertEqual(self.good("filter", "--ns", "shop.a", "utf8.bson"), strange)

    def test_the_help_shows_an_example_that_works(self):
        help_text = self.good("filter", "--help").decode()
        self.assertIn("  oplog-filter --ns 'shop.*' --exclude-ns shop.sessions --rename 'shop.*=test.*' oplog.bson -o test.bson\n", help_text)
        self.write("oplog.bson", b"".join(self.entries) + one(9, "i", "shop.sessions", int32("_id", 1)))
        code, _, err = self.shell("oplog-filter --ns 'shop.*' --exclude-ns shop.sessions --rename 'shop.*=test.*' oplog.bson -o test.bson")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(len(self.operations(self.read("test.bson"))), 7)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""oplog-range."""
import gzip
import json
import struct
import unittest

from support import CHAINS, ToolTest, chain, document, entries, entry, field, split_documents, timestamp

SIZE = len(entry(100))


class Range(ToolTest):
    def test_a_line_an_input(self):
        self.write("a.bson", entries(1, 2, 7))
        self.write("b.bson", entry(4294967295, 4294967295))
        self.assertEqual(self.good("range", "a.bson", "b.bson").decode(),
                         f"100:1 100:7 3 {3 * SIZE} a.bson\n4294967295:4294967295 4294967295:4294967295 1 {SIZE} b.bson\n")
        self.assertEqual(self.good("range", stdin=entries(1)).decode(), f"100:1 100:1 1 {SIZE} -\n")
        self.assertEqual(self.good("range", "a.bson", "-", stdin=entries(1)).decode(), f"100:1 100:7 3 {3 * SIZE} a.bson\n100:1 100:1 1 {SIZE} -\n")

    def test_an_empty_input_is_a_line_of_its_own_and_fine(self):
        self.write("a.bson", b"")
        self.write("b.gz", gzip.compress(b""))
        self.assertEqual(self.good("range", "a.bson", "b.gz"), b"- - 0 0 a.bson\n- - 0 0 b.gz\n")
        self.assertEqual(self.good("range"), b"- - 0 0 -\n")

    def test_first_and_last_are_just_that(self):
        self.write("a.bson", entries(1, 2, 7))
        self.assertEqual(self.good("range", "--first", "a.bson"), b"100:1\n")
        self.assertEqual(self.good("range", "--last", "a.bson"), b"100:7\n")
        self.assertEqual(self.good("range", "--last", "a.bson", "-", stdin=entries(9)), b"100:7\n100:9\n")

    def test_an_empty_input_has_no_first_and_no_last_and_no_query(self):
        for option in ("--first", "--last"):
            self.fails(1, "{}: -: no entries\n", "range", option)
        self.fails(1, "{}: no entries: there is nothing to continue from\n", "range", "--query")

    def test_bytes_are_of_bson_uncompressed(self):
        self.write("a.bson", entries(1, 2))
        for name in ("a.bson.zst", "a.bson.gz"):
            self.good("slice", "a.bson", "-o", name)
            self.assertNotEqual(self.read(name), entries(1, 2))
            self.assertEqual(self.good("range", name).decode(), f"100:1 100:2 2 {2 * SIZE} {name}\n")

    def test_out_of_order_is_the_line_a_diagnostic_and_exit_1(self):
        self.write("a.bson", entries(5, 3, 9, 4))
        message = f"{{}}: a.bson: offset {SIZE}: document 2: out of order: entry 100:3 after 100:5\n"
        self.fails(1, message, "range", "a.bson", out=f"100:3 100:9 4 {4 * SIZE} a.bson\n".encode())
        self.fails(1, message, "range", "--first", "a.bson", out=b"100:3\n")
        self.fails(1, message, "range", "--last", "a.bson", out=b"100:9\n")
        self.fails(1, message, "range", "--query", "a.bson")
        self.write("b.bson", entries(1, 1))
        self.fails(1, f"{{}}: b.bson: offset {SIZE}: document 2: entry 100:1 occurs twice in a row\n", "range", "b.bson",
                   out=f"100:1 100:1 2 {2 * SIZE} b.bson\n".encode())

    def test_a_directory_stands_for_the_oplog_in_it(self):
        self.write("full/oplog.bson", entries(1))
        self.write("inc/local/oplog.rs.bson", entries(2))
        self.write("zipped/local/oplog.rs.bson.gz", gzip.compress(entries(3)))
        self.write("both/oplog.bson", entries(4))
        self.write("both/local/oplog.rs.bson", entries(5))
        self.good("slice", "full", "-o", "packed.zst")
        self.write("packed/oplog.bson.zst", self.read("packed.zst"))
        self.assertEqual(self.good("range", "--last", "full", "inc/", "zipped", "packed"), b"100:1\n100:2\n100:3\n100:1\n")
        self.fails(1, "{}: both/oplog.bson and both/local/oplog.rs.bson: two oplogs in one directory: name the file that is meant\n", "range", "both", out=None)

    def test_query_is_from_the_last_entry_of_all_inputs_on(self):
        self.write("a.bson", entries(1, 9))
        self.write("b.bson", entries(4))
        self.write("empty.bson", b"")
        self.assertEqual(self.good("range", "--query", "a.bson", "b.bson", "empty.bson"), b'{"ts":{"$gte":{"$timestamp":{"t":100,"i":9}}}}\n')
        self.assertEqual(self.good("range", "--query", "--until", "200:5", "a.bson"),
                         b'{"ts":{"$gte":{"$timestamp":{"t":100,"i":9}},"$lte":{"$timestamp":{"t":200,"i":5}}}}\n')
        self.assertEqual(self.good("range", "--query", "--until", "1970-01-01T00:03:20Z", "a.bson"),
                         b'{"ts":{"$gte":{"$timestamp":{"t":100,"i":9}},"$lte":{"$timestamp":{"t":200,"i":4294967295}}}}\n')

    def test_query_of_a_bad_input_prints_no_query(self):
        self.write("a.bson", entries(1, 9))
        self.fails(1, "{}: -: offset 0: document 1: the stream ends inside a document: 1 stray bytes\n", "range", "--query", "a.bson", "-", stdin=b"x")
        self.fails(2, "{}: none: No such file or directory\n", "range", "--query", "a.bson", "none")

    def test_options_that_make_no_sense_together_are_a_usage_error(self):
        self.write("a.bson", entries(1, 9))
        self.usage("--first, --last, --long, --json and --query exclude each other", "range", "--first", "--last", "a.bson")
        self.usage("--until goes with --query", "range", "--until", "5", "a.bson")
        self.usage("--until 99 is before the last entry, 100:9", "range", "--query", "--until", "99", "a.bson")

    def test_long_labels_times_terms_ops_and_order(self):
        self.write("a.bson", entry(1610422195, 1) + entry(1610422196, 2, op="u") + entry(1610422199, 3, op="i"))
        self.assertEqual(self.good("range", "--long", "a.bson").decode(),
                         "file:     a.bson\n"
                         "first:    1610422195:1  2021-01-12T03:29:55Z  wall 2021-01-12T03:29:55.000Z  term 1\n"
                         "last:     1610422199:3  2021-01-12T03:29:59Z  wall 2021-01-12T03:29:59.000Z  term 1\n"
                         "spans:    4 s\n"
                         "entries:  3\n"
                         f"bytes:    {3 * SIZE}\n"
                         "ops:      i 2, u 1\n"
                         "order:    ascending\n")
        self.write("b.bson", entries(2, 1))
        code, out, _ = self.run_tool("range", "--long", "b.bson")
        self.assertEqual(code, 1)
        self.assertIn(b"order:    out of order: entry 100:1 after 100:2\n", out)
        self.assertEqual(self.good("range", "--long"), b"file:     -\nentries:  0\nbytes:    0\nops:      -\norder:    ascending\n")

    def test_wall_and_term_are_those_of_the_entries_that_are_first_and_last(self):
        def one(seconds, wall=None, term=None):
            return document(timestamp("ts", seconds, 1), *([field(9, "wall", struct.pack("<q", wall))] if wall else []), *([field(0x12, "t", struct.pack("<q", term))] if term else []))

        def told(*given):
            code, out, _ = self.run_tool("range", "--json", stdin=b"".join(given))
            found = json.loads(out)
            return code, [found.get(key) for key in ("firstWallMillis", "firstTerm", "lastWallMillis", "lastTerm")]
        self.assertEqual(told(one(1, 11, 1), one(2, 12, 2)), (0, [11, 1, 12, 2]))
        self.assertEqual(told(one(1), one(2, 12, 2), one(3)), (0, [None] * 4))
        self.assertEqual(told(one(2, 12, 2), one(1, 11, 1), one(3, 13, 3), one(2, 9, 9)), (1, [11, 1, 13, 3]))

    def test_long_takes_entries_with_nothing_but_ts(self):
        self.assertIn(b"ops:      (none) 1\n", self.good("range", "--long", stdin=document(timestamp("ts", 5, 6))))

    def test_json_is_an_object_a_line_and_the_same_numbers(self):
        name = 'a"\\\n.bson'
        self.write(name, entries(1, 2))
        self.write("empty.bson", b"")
        lines = self.good("range", "--json", name, "empty.bson").decode().splitlines()
        self.assertEqual(len(lines), 2)
        first, second = map(json.loads, lines)
        self.assertEqual({k: first[k] for k in ("file", "first", "last", "entries", "bytes", "ordered", "ops")},
                         {"file": name, "first": "100:1", "last": "100:2", "entries": 2, "bytes": 2 * SIZE, "ordered": True, "ops": {"i": 2}})
        self.assertEqual({k: second[k] for k in ("file", "first", "last", "entries", "bytes")},
                         {"file": "empty.bson", "first": None, "last": None, "entries": 0, "bytes": 0})
        code, out, _ = self.run_tool("range", "--json", stdin=entries(2, 1))
        self.assertEqual((code, json.loads(out)["ordered"]), (1, False))

    def test_json_stays_json_whatever_an_entry_says_of_itself(self):
        out = self.good("range", "--json", stdin=entry(1, op='"\x1b\n'))
        self.assertEqual(json.loads(out)["ops"], {'"\x1b\n': 1})
        self.assertNotIn(b"\x1b", out)
        self.assertNotIn(b"\x1b", self.good("range", "--long", stdin=entry(1, op='"\x1b\n')))

    def test_real_chains_continue_each_other(self):
        for name in CHAINS:
            files = chain(name)
            lines = self.good("range", *files).decode().splitlines()
            for line, path in zip(lines, files):
                first, last, count, size, shown = line.split(" ", 4)
                data = path.read_bytes()
                self.assertEqual((int(count), int(size), shown), (len(split_documents(data)), len(data), str(path)))
            for before, after in zip(lines, lines[1:]):
                self.assertEqual(before.split()[1], after.split()[0], name)


if __name__ == "__main__":
    unittest.main()

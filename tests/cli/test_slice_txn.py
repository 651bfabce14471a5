#!/usr/bin/env python3
"""oplog-slice --txn: transactions that a slice's ends cut."""
import unittest

from support import DATA, MARK, ToolTest, document, entry, field, int32, split_documents, string, timestamp

import struct


def transaction(seconds, ordinal, previous=None, more=(), session=b"a", number=7, command="applyOps"):
    """An entry of a transaction, with one operation if it is an applyOps; `previous` is the entry before it."""
    inner = document(field(3, "0", document(string("op", "i"), string("ns", "shop.a"), field(3, "o", document(int32("_id", ordinal))))))
    o = document(field(4, "applyOps", inner) if command == "applyOps" else int32(command, 1), *more)
    lsid = document(field(5, "id", struct.pack("<i", 16) + b"\4" + session * 16))
    return document(field(3, "lsid", lsid), field(0x12, "txnNumber", struct.pack("<q", number)), string("op", "c"), string("ns", "admin.$cmd"),
                    field(3, "o", o), timestamp("ts", seconds, ordinal), field(3, "prevOpTime", document(timestamp("ts", *(previous or (0, 0))))))


PARTIAL = (field(8, "partialTxn", b"\1"),)
PREPARE = (field(8, "prepare", b"\1"),)


class SliceTransactions(ToolTest):
    def setUp(self):
        super().setUp()
        # A chain at 2, 3 and 5 and a prepared transaction at 7, decided at 9.
        self.entries = [entry(100, 1), transaction(100, 2, more=PARTIAL), transaction(100, 3, (100, 2), PARTIAL), entry(100, 4),
                        transaction(100, 5, (100, 3)), entry(100, 6), transaction(100, 7, more=PREPARE, session=b"b", number=8), entry(100, 8),
                        transaction(100, 9, (100, 7), session=b"b", number=8, command="commitTransaction"), entry(100, 10)]
        self.write("in.bson", b"".join(self.entries))

    def slice(self, *args, stdin=False):
        """(the numbers of the entries, the messages) of a run that must succeed."""
        code, out, err = self.run_tool("slice", *args, *([] if stdin else ["in.bson"]), stdin=b"".join(self.entries) if stdin else b"")
        self.assertEqual(code, 0, err)
        return [self.entries.index(one) + 1 for one in split_documents(out)], err

    def test_a_slice_between_transactions_says_nothing(self):
        for what in ("keep", "extend", "trim", "fail"):
            self.assertEqual(self.slice("--txn", what), (list(range(1, 11)), ""))
            self.assertEqual(self.slice("--txn", what, "--to", "100:1"), ([1], ""))
            self.assertEqual(self.slice("--txn", what, "--from", "100:6", "--to", "100:6"), ([6], ""))

    def test_keep_is_the_default_and_warns(self):
        cut = "oplog-slice: warning: cut where the slice ends: transaction 61616161/7, begun at 100:2\n"
        for args in ((), ("--txn", "keep")):
            self.assertEqual(self.slice(*args, "--to", "100:4"), ([1, 2, 3, 4], cut))
        self.assertEqual(self.slice("--to", "100:4", "-q"), ([1, 2, 3, 4], ""))
        self.assertEqual(self.slice("--to", "100:8"), (list(range(1, 9)), cut.replace("61616161/7", "62626262/8 (prepared)").replace("100:2", "100:7")))

    def test_extend_goes_on_to_the_commit(self):
        self.assertEqual(self.slice("--txn=extend", "--to", "100:2"), ([1, 2, 3, 4, 5], ""))
        self.assertEqual(self.slice("--txn=extend", "--to", "100:2", "-v"), ([1, 2, 3, 4, 5], "oplog-slice: extended to 100:5\n"))
        self.assertEqual(self.slice("--txn=extend", "--before", "100:8"), (list(range(1, 10)), ""))
        self.assertEqual(self.slice("--txn=extend", "--to", "100:6"), (list(range(1, 7)), ""))
        self.entries = self.entries[:8]
        self.write("in.bson", b"".join(self.entries))
        self.assertEqual(self.slice("--txn=extend", "--to", "100:7"),
                         (list(range(1, 9)), "oplog-slice: warning: cut where the slice ends: transaction 62626262/8 (prepared), begun at 100:7\n"))

    def test_trim_stops_before_the_first_entry_of_a_pipe_too(self):
        for stdin in (False, True):
            self.assertEqual(self.slice("--txn=trim", "--to", "100:4", stdin=stdin),
                             ([1], "oplog-slice: warning: left out: transaction 61616161/7, begun at 100:2\noplog-slice: warning: the slice ends at 100:1\n"))
            self.assertEqual(self.slice("--txn=trim", "--to", "100:8", stdin=stdin)[0], list(range(1, 7)))
            self.assertEqual(self.slice("--txn=trim", "--to", "100:9", stdin=stdin), (list(range(1, 10)), ""))
        self.entries = self.entries[1:]
        self.write("in.bson", b"".join(self.entries))
        self.assertEqual(self.slice("--txn=trim", "--to", "100:4"),
                         ([], "oplog-slice: warning: left out: transaction 61616161/7, begun at 100:2\n"
                              "oplog-slice: warning: nothing is left: no entry lies between transactions\n"))

    def test_trim_leaves_none_open_when_transactions_overlap(self):
        # b lies within a; stopping just before c would cut nothing, stopping before b would cut a.
        self.entries = [entry(100, 1), transaction(100, 2, more=PARTIAL), transaction(100, 3, more=PARTIAL, session=b"b"),
                        transaction(100, 4, (100, 2)), entry(100, 5)]
        self.write("in.bson", b"".join(self.entries))
        self.assertEqual(self.slice("--txn=trim")[0], [1])

    def test_fail_leaves_no_file_and_marks_a_pipe(self):
        message = "{}: cut where the slice ends: transaction 61616161/7, begun at 100:2\n"
        self.fails(1, message, "slice", "--txn=fail", "--to", "100:4", "-o", "out.bson", "in.bson")
        self.assertEqual(self.files(), ["in.bson"])
        code, out, _ = self.run_tool("slice", "--txn=fail", "--to", "100:4", "in.bson")
        self.assertEqual((code, out), (1, b"".join(self.entries[:4]) + MARK))

    def test_what_is_open_where_the_slice_begins_is_told(self):
        begins = "oplog-slice: warning: open where the slice begins: transaction "
        self.assertEqual(self.slice("--from", "100:4"), ([4, 5, 6, 7, 8, 9, 10], begins + "61616161/7, begun at 100:2\n"))
        self.assertEqual(self.slice("--after", "100:7"), ([8, 9, 10], begins + "62626262/8 (prepared), begun at 100:7\n"))
        self.entries = self.entries[3:]
        self.write("in.bson", b"".join(self.entries))
        self.assertEqual(self.slice(), (list(range(1, 8)), begins + "61616161/7, begun before the input and first seen at 100:5\n"))
        self.entries = self.entries[4:]
        self.write("in.bson", b"".join(self.entries))
        self.assertEqual(self.slice(), ([1, 2, 3], begins + "62626262/8 (prepared), begun before the input and first seen at 100:9\n"))

    def test_a_real_chain_cut_inside_a_transaction(self):
        inc1, inc2 = DATA / "txn_cut/inc1", DATA / "txn_cut/inc2"
        code, _, err = self.run_tool("slice", inc1)
        self.assertEqual(code, 0)
        self.assertRegex(err, r"^oplog-slice: warning: cut where the slice ends: transaction [0-9a-f]{8}/\d+, begun at \d+:\d+\n$")
        code, _, err = self.run_tool("slice", inc2, "-o", "inc2.bson")
        self.assertEqual(code, 0)
        self.assertRegex(err, r"^oplog-slice: warning: open where the slice begins: transaction [0-9a-f]{8}/\d+, begun before")
        self.good("merge", inc1, inc2, "-o", "both.bson")
        self.assertEqual(self.good("slice", "--txn=fail", "both.bson"), self.read("both.bson"))

    def test_disorder_is_found_by_both_passes(self):
        self.write("in.bson", entry(100, 2) + entry(100, 1))
        for what in ("keep", "trim"):
            self.fails(1, "{}: in.bson: offset %d: document 2: out of order: entry 100:1 after 100:2\n" % len(entry(100, 2)), "slice", "--txn", what,
                       "in.bson", "-o", "out.bson")

    def test_another_word_is_a_usage_error(self):
        self.usage("--txn drop: one of keep, extend, trim, fail", "slice", "--txn", "drop", "in.bson", out=None)


if __name__ == "__main__":
    unittest.main()

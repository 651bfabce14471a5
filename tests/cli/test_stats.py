#!/usr/bin/env python3
"""oplog-stats: what is in an oplog, for people, as JSON and as CSV."""
import csv
import io
import json
import unittest

from support import CHAINS, ToolTest, chain, document, entry, field, int32, string, timestamp

EXAMPLE = """\
  4 entries, 379 B, 5 operations
  1970-01-01T00:01:40Z (100:1) to 1970-01-01T00:02:10Z (130:1)

  namespace   operations      inserts      updates      deletes  commands    no-ops     bytes
  shop.a               3            2            0            1         0         0     178 B
  shop.b               2            1            0            0         1         0     126 B

  commands: create 1

  operations in 5 seconds each
  1970-01-01T00:01:40Z │████████████████████████████████████████ 3
  1970-01-01T00:01:45Z │
  1970-01-01T00:01:50Z │
  1970-01-01T00:01:55Z │
  1970-01-01T00:02:00Z │
  1970-01-01T00:02:05Z │
  1970-01-01T00:02:10Z │██████████████████████████▊ 2
"""


def one(seconds, op, ns, *o):
    return document(string("op", op), string("ns", ns), field(3, "o", document(*o)), timestamp("ts", seconds, 1))


def inner(op, ns):
    return field(3, "0" if op == "i" else "1", document(string("op", op), string("ns", ns), field(3, "o", document(int32("_id", 1)))))


class Stats(ToolTest):
    def setUp(self):
        super().setUp()
        self.write("in.bson", entry(100) + one(101, "c", "shop.$cmd", string("create", "b")) + one(102, "i", "shop.b", int32("_id", 1)) +
                   one(130, "c", "admin.$cmd", field(4, "applyOps", document(inner("i", "shop.a"), inner("d", "shop.a")))))

    def test_the_report(self):
        self.assertEqual(self.good("stats", "--top", "10", "in.bson").decode().split("\n  largest")[0], EXAMPLE.rstrip("\n") + "\n")

    def test_json_has_everything(self):
        found = json.loads(self.good("stats", "--json", "in.bson"))
        self.assertEqual((found["first"], found["last"], found["entries"], found["ordered"]), ("100:1", "130:1", 4, True))
        self.assertEqual(found["bytes"], len(self.read("in.bson")))
        self.assertEqual({n["ns"]: (n["operations"], n["inserts"], n["deletes"], n["commands"]) for n in found["namespaces"]},
                         {"shop.a": (3, 2, 1, 0), "shop.b": (2, 1, 0, 1)})
        self.assertEqual(found["commands"], {"create": 1})
        self.assertEqual([(p["time"][14:], p["operations"]) for p in found["periods"]], [("01:40Z", 1), ("01:41Z", 1), ("01:42Z", 1), ("02:10Z", 2)])
        self.assertEqual(found["largest"][0]["ts"], "130:1")
        self.assertEqual(found["largest"][0]["offset"], len(self.read("in.bson")) - found["largest"][0]["bytes"])
        self.assertEqual(found["transactions"], {"committed": 0, "aborted": 0, "open": [], "beganBefore": []})

    def test_csv_has_the_namespaces(self):
        self.write("odd.bson", one(1, "i", 'shop.a,"b"', int32("_id", 1)))
        rows = list(csv.DictReader(io.StringIO(self.good("stats", "--csv", "in.bson", "odd.bson").decode())))
        self.assertEqual([(r["namespace"], r["operations"]) for r in rows], [("shop.a", "3"), ("shop.b", "2"), ('shop.a,"b"', "1")])

    def test_bounds_and_top(self):
        self.assertEqual(json.loads(self.good("stats", "--json", "--to", "101", "in.bson"))["entries"], 2)
        text = self.good("stats", "--top", "1", "in.bson").decode()
        self.assertIn("  and 1 more (--top, --csv)\n", text)
        self.assertEqual(text.count("in.bson at"), 1)
        self.assertNotIn("largest", self.good("stats", "--top", "0", "in.bson").decode())

    def test_open_transactions_are_told(self):
        text = self.good("stats", chain("txn_cut")[1]).decode()
        self.assertRegex(text, r"\n  transactions: 0 committed, 0 aborted, 1 open at the end\n  open at the end: [0-9a-f]{8}/\d+: 4 entries, \d+:\d+ to \d+:\d+\n")
        text = self.good("stats", chain("txn_cut")[2]).decode()
        self.assertRegex(text, r"\n  transactions: 1 committed, .*\n  begun before the first entry: [0-9a-f]{8}/\d+: ")

    def test_disorder_is_told_and_no_error(self):
        self.write("out.bson", entry(100, 2) + entry(100, 1))
        self.assertIn("(100:1) to 1970-01-01T00:01:40Z (100:2), out of order\n", self.good("stats", "out.bson").decode())
        self.assertFalse(json.loads(self.good("stats", "--json", "out.bson"))["ordered"])

    def test_an_empty_oplog(self):
        self.assertEqual(self.good("stats").decode(), "  0 entries, 0 B, 0 operations\n")
        self.assertEqual(json.loads(self.good("stats", "--json"))["first"], None)

    def test_names_are_safe_for_a_terminal(self):
        self.write("odd.bson", one(1, "i", "shop.\x1b[31m", int32("_id", 1)))
        self.assertIn("  shop.\\x1b[31m ", self.good("stats", "odd.bson").decode())

    def test_every_real_chain_adds_up(self):
        for name in CHAINS:
            for oplog in chain(name):
                found = json.loads(self.good("stats", "--json", oplog))
                self.assertEqual(sum(n["operations"] for n in found["namespaces"]), found["total"]["operations"])
                self.assertEqual(sum(p["bytes"] for p in found["periods"]), found["bytes"])
                self.assertEqual(found["bytes"], oplog.stat().st_size)

    def test_bad_input_and_usage(self):
        self.write("bad.bson", one(1, "c", "admin.$cmd", int32("applyOps", 1)))
        self.fails(1, "{}: bad.bson: offset 0: document 1: field 'applyOps' is an int32, not an array\n", "stats", "bad.bson")
        self.usage("--json and --csv exclude each other", "stats", "--json", "--csv", "in.bson")


if __name__ == "__main__":
    unittest.main()

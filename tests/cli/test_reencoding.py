#!/usr/bin/env python3
"""What a stock mongorestore changes as it replays: oplog-verify notes it, oplog-stage warns, oplog-apply does not change it."""
import struct
import unittest

from support import ToolTest, document, field, int32, string
from test_stage import insert, noop, one

SORTED = field(0x0B, "r", b"x\0im\0")
REGEX = field(0x0B, "r", b"x\0mi\0")
ARRAY = field(4, "a", document(int32("1", 1)))
EMPTY = field(5, "b", struct.pack("<iBi", 4, 2, 0))
TWO_LENGTHS = field(5, "b", struct.pack("<iBi", 5, 2, 2) + b"x")
WHAT = {
    "o.r in shop.a is a regular expression whose options mongorestore sorts": REGEX,
    "o.a in shop.a is an array whose keys are not 0, 1, 2, ..., which mongorestore makes them": ARRAY,
    "o.b in shop.a is a binary of subtype 2 without bytes, or without its second length, which mongorestore makes four bytes longer": EMPTY,
    "o.t in shop.a is a timestamp of zero, in whose place servers before 5.0.29, 6.0.17, 7.0.13 and 8.0 put the time of the replay": field(0x11, "t", bytes(8)),
}
REMEDY = "; oplog-apply restores it as it was"
UNREADABLE = ("o.b in shop.a is a binary of subtype 2 with two lengths that differ: mongorestore would stop here, midway, or take it for something else; "
              "oplog-apply restores it as it is")


def odd(ordinal, value, ns="shop.a", op="i"):
    return one(ordinal, op, ns, int32("_id", ordinal), value, o2=[int32("_id", ordinal)] if op == "u" else ())


class Reencoding(ToolTest):
    def place(self, first, ordinal, document=2):
        return f"inc.bson: offset {len(first)}: document {document}: 100:{ordinal}: "

    def test_verify_notes_each_kind_with_its_place_and_stage_warns_of_it(self):
        first = insert(1, "shop.a", 1)
        for text, value in WHAT.items():
            data = first + odd(2, value, op="u")
            self.write("inc.bson", data)
            said = self.place(first, 2) + text + REMEDY
            out = self.good("verify", "inc.bson").decode()
            self.assertEqual(out.splitlines()[0], "note: " + said)
            self.assertIn("restorable from", out)
            code, out, err = self.run_tool("stage", "inc.bson")
            self.assertEqual((code, out), (0, data))
            self.assertIn(f"oplog-stage: warning: {said}\n", err)

    def test_many_are_one_line(self):
        first = insert(1, "shop.a", 1)
        self.write("inc.bson", first + b"".join(odd(n, REGEX, "shop.a" if n < 50 else "shop.b") for n in range(2, 100)))
        notes = [line for line in self.good("verify", "inc.bson").decode().splitlines() if line.startswith("note")]
        self.assertEqual(notes, ["note: " + self.place(first, 2) + "o.r in shop.a is a regular expression whose options mongorestore sorts "
                                 "(the first of 98 entries in 2 collections)" + REMEDY])

    def test_what_replay_keeps_or_passes_over_is_not_mentioned(self):
        self.write("inc.bson", insert(1, "shop.a", 1) + odd(2, SORTED) + odd(3, REGEX, op="n", ns="") + odd(4, REGEX, ns="config.transactions") +
                   odd(5, field(5, "b", struct.pack("<iBi", 5, 2, 1) + b"x")))
        self.assertNotIn(b"note", self.good("verify", "inc.bson"))

    def test_a_selection_warns_only_of_what_it_takes(self):
        first = insert(1, "shop.a", 1)
        self.write("inc.bson", first + odd(2, REGEX, "shop.b"))
        self.assertNotIn("warning", self.run_tool("stage", "--ns", "shop.a", "inc.bson")[2])
        self.assertIn("o.r in shop.c is", self.run_tool("stage", "--rename", "shop.b=shop.c", "inc.bson")[2])

    def test_what_mongorestore_cannot_read_is_an_error_and_apply_takes_it(self):
        first = insert(1, "shop.a", 1)
        self.write("inc.bson", first + odd(2, TWO_LENGTHS) + noop(3))
        said = self.place(first, 2) + UNREADABLE
        code, out, _ = self.run_tool("verify", "inc.bson")
        self.assertEqual((code, out.decode().splitlines()[0]), (1, "error: " + said))
        self.assertIn("to 100:1 ", out.decode())
        self.fails(1, f"{{}}: {said}\n", "stage", "inc.bson", "-o", "out.bson")
        self.assertEqual(self.files(), ["inc.bson"])

    def test_apply_keeps_every_byte(self):
        self.write("full/oplog.bson", noop(1))
        self.write("full/shop/a.bson", b"")
        self.write("full/shop/a.metadata.json", b'{"options":{},"indexes":[],"collectionName":"a","type":"collection"}')
        values = [REGEX, ARRAY, EMPTY, TWO_LENGTHS, field(0x11, "t", bytes(8))]
        self.write("inc.bson", noop(1) + b"".join(odd(n, value) for n, value in enumerate(values, 2)))
        code, _, err = self.run_tool("apply", "--full", "full", "inc.bson", "-o", "out")
        self.assertEqual((code, "warning" in err), (0, False), err)
        self.assertEqual(self.read("out/shop/a.bson"), b"".join(document(int32("_id", n), value) for n, value in enumerate(values, 2)))


if __name__ == "__main__":
    unittest.main()

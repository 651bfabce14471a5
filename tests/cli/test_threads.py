#!/usr/bin/env python3
"""The tools that use threads, with enough work for them; built with ThreadSanitizer, this is where races show."""
import json
import os
import struct
import unittest

from support import ENVIRONMENT, ToolTest, document, entry, field, int32, string, timestamp

FAULTS = os.environ.get("OPLOG_FAULTS", "")


def operation(ordinal, op, ns, o):
    return document(string("op", op), string("ns", ns), field(3, "o", o), timestamp("ts", 100, ordinal))


class Threads(ToolTest):
    def each(self):
        yield {}
        if FAULTS:
            for first in range(1, 4):
                yield {"env": {"LD_PRELOAD": FAULTS, "FAULT": f"thread:{first}"}}

    def good(self, name, *args, **options):
        code, out, err = self.run_tool(name, *args, **options)
        self.assertEqual(code, 0, err)
        self.assertNotIn("ThreadSanitizer", err)
        return out

    def setUp(self):
        super().setUp()
        self.addCleanup(ENVIRONMENT.update, {"TSAN_OPTIONS": ENVIRONMENT.get("TSAN_OPTIONS", "")})
        ENVIRONMENT["TSAN_OPTIONS"] = "exitcode=66"

    def test_cat_prints_in_order(self):
        data = b"".join(entry(100, n, size=1000) for n in range(1, 5001))
        self.write("a", data)
        for threads in self.each():
            lines = self.good("cat", "a", "a", **threads).decode().splitlines()
            self.assertEqual([json.loads(line)["ts"]["$timestamp"]["i"] for line in lines], [*range(1, 5001)] * 2)

    def test_cat_stops_at_what_is_bad(self):
        self.write("a", b"".join(entry(100, n, size=1000) for n in range(1, 3001)) + b"x" * 10)
        for threads in self.each():
            code, out, err = self.run_tool("cat", "a", **threads)
            self.assertEqual((code, out.count(b"\n")), (1, 3000), err)

    @unittest.skipUnless(FAULTS, "the library of faults is not there")
    def test_a_part_that_cannot_be_read_is_named(self):
        self.write("a", b"".join(entry(100, n, size=20_000) for n in range(1, 2500)))
        said = {self.run_tool("range", "a", env={"LD_PRELOAD": FAULTS, "FAULT": f"io:{n}"})[2] for n in range(1, 25)}
        self.assertLessEqual(said, {"", "oplog-range: a: Input/output error\n", "oplog-range: stdout: Input/output error\n"})

    def test_range_in_parts(self):
        self.write("a", b"".join(entry(100, n, size=20_000) for n in range(1, 2500)))
        for threads in self.each():
            self.assertEqual(self.good("range", "a", **threads), b"100:1 100:2499 2499 49980000 a\n")

    def test_slice_writes_on_a_thread(self):
        data = b"".join(entry(100, n, size=1000) for n in range(1, 5001))
        self.write("a", data)
        for number, threads in enumerate(self.each()):
            self.good("slice", "a", "-o", f"out{number}", **threads)
            self.assertEqual(self.read(f"out{number}"), data)

    def test_history_reads_parts(self):
        self.write("full/oplog.bson", operation(1, "n", "", document()))
        self.write("full/shop/a.bson", b"")
        self.write("full/shop/a.metadata.json", json.dumps({"indexes": [], "uuid": "00" * 16, "collectionName": "a"}).encode())
        pad = string("pad", "x" * 20_000)
        self.write("inc", operation(1, "n", "", document()) + b"".join(operation(n, "i", "shop.a", document(int32("_id", n), pad)) for n in range(2, 2500)))
        for threads in self.each():
            lines = self.good("history", "--full", "full", "inc", "--ns", "shop.a", "--id", "2400", "--json", **threads).splitlines()
            self.assertEqual([json.loads(line)["ts"]["$timestamp"]["i"] for line in lines], [2400])

    def test_what_is_checked_in_parts_is_what_it_was(self):
        pad = string("pad", "x" * 2000)
        entries = [operation(1, "n", "", document())] + [operation(n, "i", "shop.a", document(int32("_id", n), pad)) for n in range(2, 12_000)]
        self.write("a", b"".join(entries[:5000]))
        self.write("b", b"".join(entries[4999:]))
        for threads in self.each():
            self.assertEqual(self.good("verify", "a", "b", **threads).splitlines()[-1:],
                             [b"restorable from 100:1 (1970-01-01T00:01:40Z) to 100:11999 (1970-01-01T00:01:40Z)"])
            self.write("damaged", b"".join(entries[4999:9000]) + operation(9001, "i", "shop.a", field(0x20, "x", b"")) + b"".join(entries[9001:]))
            code, out, err = self.run_tool("verify", "a", "damaged", **threads)
            place = f"error: damaged: offset {sum(map(len, entries[4999:9000]))}: document 4002: 100:9000: after this entry: "
            self.assertEqual((code, out[:len(place)].decode()), (1, place), (out, err))

    def test_apply_writes_collections_at_a_time(self):
        os.makedirs(self.dir / "full" / "shop")
        for n in range(40):
            self.write(f"full/shop/c{n}.bson", b"".join(document(int32("_id", i), string("pad", "x" * 500)) for i in range(200 if n else 5000)))
            self.write(f"full/shop/c{n}.metadata.json", json.dumps({"indexes": [], "uuid": struct.pack(">4I", 1, 2, 3, n).hex(), "collectionName": f"c{n}"}).encode())
        self.write("full/oplog.bson", operation(1, "n", "", document()))
        self.write("inc", operation(1, "n", "", document()) + b"".join(operation(2 + n, "i", f"shop.c{n}", document(int32("_id", 9999))) for n in range(40)))
        for number, threads in enumerate(self.each()):
            out = f"out{number}"
            self.good("apply", "--jobs", 4, "--progress", "--full", "full", "inc", "-o", out, **threads)
            for n in range(40):
                self.assertEqual(self.read(f"{out}/shop/c{n}.bson"), self.read(f"full/shop/c{n}.bson") + document(int32("_id", 9999)))
            self.assertEqual([name for name in os.listdir(self.dir) if name.startswith(".")], [])


if __name__ == "__main__":
    unittest.main()

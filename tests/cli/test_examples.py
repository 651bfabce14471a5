#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The programs in examples/, run on the test data."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from support import BIN, DATA

EXAMPLES = BIN.parent / "examples"
CRUD = [str(DATA / "crud" / f"inc{i}") for i in (1, 2, 3)]
TRANSACTIONS = [str(DATA / "txn_cut" / f"inc{i}") for i in (1, 2)]


def run(example, *arguments):
    return subprocess.run([EXAMPLES / example, *arguments], capture_output=True, text=True)


class Examples(unittest.TestCase):
    def check(self, example, *arguments):
        done = run(example, *arguments)
        self.assertEqual(("", 0), (done.stderr, done.returncode))
        return done.stdout

    def test_range(self):
        self.assertEqual(f"{CRUD[0]}: 1795352338:203 to 1795352339:53, 129 entries\n", self.check("range", CRUD[0]))

    def test_slice_by_clock(self):
        with tempfile.TemporaryDirectory() as directory:
            everything, nothing = Path(directory, "a.bson"), Path(directory, "b.bson")
            self.assertEqual("129 entries\n", self.check("slice_by_clock", "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z", CRUD[0], everything))
            self.assertEqual(Path(CRUD[0], "local/oplog.rs.bson").read_bytes(), everything.read_bytes())
            self.assertEqual("0 entries\n", self.check("slice_by_clock", "2020-01-01T00:00:00.000Z", "2020-01-01T00:00:00.001Z", CRUD[0], nothing))
            self.assertEqual(b"", nothing.read_bytes())
            bad = run("slice_by_clock", "yesterday", "2099-01-01T00:00:00Z", CRUD[0], Path(directory, "c.bson"))
            self.assertEqual(1, bad.returncode)
            self.assertIn("is no date", bad.stderr)

    def test_change_data_capture(self):
        lines = self.check("change_data_capture", "shop.acct", *TRANSACTIONS).splitlines()
        self.assertTrue(lines)
        self.assertTrue(any("in transaction" in line for line in lines), lines)
        times = [tuple(map(int, line.split()[0].split(":"))) for line in lines]
        self.assertEqual(sorted(times), times)

    def test_without_no_ops(self):
        with tempfile.TemporaryDirectory() as directory:
            out = Path(directory, "out.bson")
            self.check("without_no_ops", CRUD[0], out)
            kinds = subprocess.run([BIN / "oplog-stats", "--json", out], capture_output=True, text=True, check=True).stdout
            self.assertNotIn('"n":', kinds)

    def test_custom_source(self):
        self.assertRegex(self.check("custom_source", str(Path(CRUD[0], "local/oplog.rs.bson"))), r"^129 entries in [1-9][0-9]* reads\n$")

    def test_updates_in_memory(self):
        self.assertEqual("200 documents in the dump\n190 documents in the end\n",
                         self.check("updates_in_memory", str(DATA / "crud/full/shop/a.bson"), "shop.a", *CRUD))


if __name__ == "__main__":
    if not EXAMPLES.is_dir() or not any(EXAMPLES.glob("range")):
        sys.exit(77)  # they are not built
    unittest.main()

#!/usr/bin/env python3
"""--json: every field is described, and is printed as it is described."""
import re
import unittest

from schema import DOCS, SCHEMA, checked, jsonschema
from support import DATA, ToolTest, document, int32


@unittest.skipUnless(jsonschema, "takes Python's jsonschema")
class Json(ToolTest):
    def test_what_tools_print_is_as_described(self):
        for name in ("crud", "txn_cut", "drop", "timeseries"):
            increments = sorted((DATA / name).glob("inc*"))
            chain = ["--full", DATA / name / "full", *increments]
            for line in self.good("range", "--json", *increments).splitlines():
                checked("range", line)
            stats = checked("stats", self.good("stats", "--json", *increments))
            self.assertGreater(stats["entries"], 0)
            self.assertTrue(checked("verify", self.good("verify", "--json", *chain))["good"])
            checked("diff", self.good("diff", *chain, "--json"))

    def test_what_is_not_there_and_what_is_wrong_is_described_too(self):
        self.write("empty.bson", b"")
        self.assertIsNone(checked("range", self.good("range", "--json", "empty.bson"))["first"])
        self.assertIsNone(checked("stats", self.good("stats", "--json", "empty.bson"))["last"])
        self.write("bad.bson", document(int32("ts", 1)))
        code, out, _ = self.run_tool("verify", "--json", DATA / "crud/inc1", DATA / "crud/inc3")
        self.assertEqual((code, checked("verify", out)["good"]), (1, False))

    def test_a_field_that_is_not_described_is_no_such_json(self):
        text = self.good("range", "--json", DATA / "crud/inc1").decode()
        for wrong in (text.replace('"format":1', '"format":2'), text.replace('"entries"', '"count"'), text.replace('"ordered":true', '"ordered":1')):
            with self.assertRaises(jsonschema.ValidationError):
                checked("range", wrong)


class Description(unittest.TestCase):
    def test_the_page_tells_of_every_field(self):
        page = (DOCS / "json.md").read_text(encoding="utf-8")
        told = set(re.findall(r"`([A-Za-z]+)`", page))

        def fields(part):
            if isinstance(part, dict):
                yield from part.get("properties", {})
                for value in part.values():
                    yield from fields(value)
            elif isinstance(part, list):
                for value in part:
                    yield from fields(value)
        self.assertEqual(set(fields(SCHEMA["$defs"])) - told, set())


if __name__ == "__main__":
    unittest.main()

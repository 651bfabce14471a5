#!/usr/bin/env python3
"""Dumps and oplogs with very many collections: what took their number squared would not end within a test's time."""
import json
import struct
import unittest

from support import ToolTest, document, field, int32, string, timestamp


def uuid(number):
    return struct.pack(">IIII", 1, 2, 3, number)


def operation(ordinal, op, ns, o, number=None):
    ui = () if number is None else (field(5, "ui", struct.pack("<iB", 16, 4) + uuid(number)),)
    return document(string("op", op), string("ns", ns), field(3, "o", o), timestamp("ts", 100, ordinal), *ui)


class ManyCollections(ToolTest):
    def test_namespaces_that_no_dump_has_are_counted_in_their_number(self):
        self.write("full/oplog.bson", operation(1, "n", "", document()))
        self.write("inc", operation(1, "n", "", document()) + b"".join(
            operation(2 + n, "i", f"shop.c{n}", document(int32("_id", 1)), n) for n in range(200_000)))
        message = (f"{{}}: inc: offset {len(operation(1, 'n', '', document()))}: document 2: 100:2: collection shop.c0 is not in the full dump, and "
                   "no entry creates it: what it holds is not known (--exclude-ns leaves it out)\n")
        self.fails(1, message, "apply", "--full", "full", "inc", "-o", "out")
        self.assertEqual(self.files(), ["full", "full/oplog.bson", "inc"])

    def test_every_collection_is_renamed_and_dropped(self):
        """Entries of old servers, which tell no UUIDs, so that each finds its collection by its name."""
        count, documents = 20_000, []
        for n in range(count):
            documents.append(operation(2 + 3 * n, "c", "shop.$cmd", document(string("create", f"a{n}"))))
            documents.append(operation(3 + 3 * n, "i", f"shop.a{n}", document(int32("_id", n))))
        documents += [operation(3 * count + 2 + n, "c", "shop.$cmd", document(string("renameCollection", f"shop.a{n}"), string("to", f"shop.b{n}"))) for n in range(count)]
        documents += [operation(4 * count + 2 + n, "c", "shop.$cmd", document(string("drop", f"b{n}"))) for n in range(1, count)]
        self.write("full/oplog.bson", operation(1, "n", "", document()))
        self.write("inc", operation(1, "n", "", document()) + b"".join(documents))
        code, _, err = self.run_tool("apply", "--full", "full", "inc", "-o", "out")
        self.assertEqual(code, 0, err)
        self.assertEqual(sorted(p.name for p in (self.dir / "out" / "shop").iterdir()), ["b0.bson", "b0.metadata.json"])
        self.assertEqual(self.read("out/shop/b0.bson"), document(int32("_id", 0)))
        self.assertEqual(json.loads(self.read("out/shop/b0.metadata.json"))["collectionName"], "b0")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""Entries whose name is of one collection and whose UUID is of another: every tool refuses them, with their place."""
import shutil
import unittest

from made_chain import MadeChain
from support import ToolTest

A, B, NOBODY = 1, 2, 9
INDEX = {"v": 2, "key": {"x": 1}, "name": "x_1"}


class OneCollection(ToolTest):
    def setUp(self):
        super().setUp()
        self.chain = MadeChain(self)
        for name, number in (("a", A), ("b", B)):
            self.chain.dump(f"shop.{name}", number, [{"_id": 1, "n": name}])
        self.chain.dump("admin.system.users", 7, [{"_id": "shop.u", "user": "u", "db": "shop"}])
        self.chain.insert("shop.a", {"_id": 2})  # the tools have seen what is right before

    def operations(self, ns, number):
        """Each kind of operation on a collection that has this name and this UUID."""
        database, name = ns.split(".", 1)
        yield "i", ns, {"_id": 9}, None
        yield "u", ns, {"$v": 2, "diff": {"i": {"m": 1}}}, {"_id": 1}
        yield "d", ns, {"_id": 1}, None
        for o in ({"createIndexes": name, **INDEX}, {"dropIndexes": name, "index": "x_1"}, {"collMod": name, "validationLevel": "off"}, {"drop": name},
                  {"startIndexBuild": name, "indexBuildUUID": b"i" * 16, "indexes": [INDEX]}, {"commitIndexBuild": name, "indexBuildUUID": b"i" * 16, "indexes": [INDEX]},
                  {"renameCollection": ns, "to": f"{database}.free", "stayTemp": False}, {"create": name, "idIndex": MadeChain.ID_INDEX}):
            yield "c", f"{database}.$cmd", o, None

    def all_of_them(self):
        chain = self.chain.write()
        return {"verify": self.run_tool("verify", *chain), "stage": self.run_tool("stage", *chain, "-o", "staged"), "apply": self.run_tool("apply", *chain, "-o", "applied"),
                "history": self.run_tool("history", "--ns", "shop.*", *chain), "undo": self.run_tool("undo", "--from", "100:2", "--to", "100:99", *chain, "-o", "undone")}

    def check(self, ns, number, refused):
        for op, of, o, o2 in self.operations(ns, number):
            before, ordinal = list(self.chain.entries), self.chain.ordinal
            for transaction in (False, True):
                if transaction and op == "c":
                    continue
                with self.subTest(ns=ns, number=number, op=op, o=o, transaction=transaction):
                    operation = self.chain.operation(op, of, o, o2, number=number)
                    if transaction:
                        self.chain.transaction([operation])
                    else:
                        self.chain.add(operation)
                    place = f"inc.bson: offset {sum(map(len, before))}: document {len(before) + 1}: "
                    for tool, (code, out, err) in self.all_of_them().items():
                        self.assertEqual(code, 1 if refused(op, o) else 0, (tool, out, err))
                        if code:
                            self.assertIn(place, out.decode() + err, tool)
                            self.assertRegex(out.decode() + err, "for another collection|is there already|is not in the full dump", tool)
                for output in ("staged", "applied", "undone"):
                    shutil.rmtree(self.dir / output, ignore_errors=True)
                self.chain.entries, self.chain.ordinal = list(before), ordinal

    def test_what_is_one_collections_is_taken(self):
        self.check("shop.a", A, lambda _, o: "create" in o)

    def test_another_that_is_there(self):
        self.check("shop.a", B, lambda *_: True)

    def test_the_users(self):
        for ns, number in (("admin.system.users", A), ("shop.a", 7)):
            operation = self.chain.operation("d", ns, {"_id": "shop.u"}, number=number)
            entries = list(self.chain.entries)
            self.chain.add(operation)
            for tool, (code, out, err) in self.all_of_them().items():
                if (ns, tool) == ("admin.system.users", "history"):  # which is not asked about it
                    continue
                with self.subTest(ns=ns, tool=tool):
                    self.assertEqual(code, 1, out.decode() + err)
                    self.assertIn("for another collection", out.decode() + err)
            self.chain.entries = entries

    def test_a_uuid_that_nothing_has(self):
        self.check("shop.a", NOBODY, lambda *_: True)

    def test_a_name_that_nothing_has(self):
        self.check("shop.none", B, lambda *_: True)

    def test_the_name_before_a_rename(self):
        self.chain.rename("shop.b", "shop.c")
        self.check("shop.b", B, lambda *_: True)
        self.check("shop.c", B, lambda _, o: "create" in o)


if __name__ == "__main__":
    unittest.main()

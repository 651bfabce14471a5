#!/usr/bin/env python3
"""oplog-history: every version of documents."""
import json
import unittest

from made_chain import Long, MadeChain, Time, encode
from support import ToolTest


class History(ToolTest):
    def setUp(self):
        super().setUp()
        self.chain = MadeChain(self)

    def history(self, *args, inputs=None, warning=None):
        code, out, err = self.run_tool("history", *(self.chain.write() if inputs is None else inputs), "--relaxed", *args)
        self.assertEqual((code, err), (0, f"oplog-history: warning: {warning}\n" if warning else ""))
        return [json.loads(line) for line in out.splitlines()]

    def test_each_change_tells_its_time_and_the_paths_with_their_values(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 5, "sub": {"x": 1}}, {"_id": 2}])
        self.chain.set("shop.a", 1, {"n": 6})
        self.chain.add(self.chain.operation("u", "shop.a", {"$v": 2, "diff": {"ssub": {"i": {"y": 2}}}}, {"_id": 1}))
        self.chain.delete("shop.a", 1)
        self.chain.insert("shop.a", {"_id": 1, "n": 7})
        self.chain.add(self.chain.operation("u", "shop.a", {"_id": 1, "m": 8}, {"_id": 1}))
        self.chain.set("shop.a", 2, {"n": 1})
        lines = self.history("--ns", "shop.a", "--id", "1")
        self.assertEqual([(line["ts"]["$timestamp"]["i"], line["op"], line["ns"], line["_id"]) for line in lines],
                         [(2, "u", "shop.a", 1), (3, "u", "shop.a", 1), (4, "d", "shop.a", 1), (5, "i", "shop.a", 1), (6, "u", "shop.a", 1)])
        self.assertEqual([line["changes"] for line in lines], [
            [{"path": "n", "before": 5, "after": 6}], [{"path": "sub.y", "after": 2}],
            [{"path": "_id", "before": 1}, {"path": "n", "before": 6}, {"path": "sub", "before": {"x": 1, "y": 2}}],
            [{"path": "_id", "after": 1}, {"path": "n", "after": 7}], [{"path": "n", "before": 7}, {"path": "m", "after": 8}]])

    def test_images_are_whole_documents(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 5}])
        self.chain.set("shop.a", 1, {"n": 6})
        self.chain.delete("shop.a", 1)
        self.chain.insert("shop.a", {"_id": 1})
        self.assertEqual([(line["before"], line["after"]) for line in self.history("--ns", "shop.a", "--images")],
                         [({"_id": 1, "n": 5}, {"_id": 1, "n": 6}), ({"_id": 1, "n": 6}, None), (None, {"_id": 1})])

    def test_a_directory_for_temporary_files_that_is_not_there_is_named(self):
        self.chain.dump("shop.a", 1, [{"_id": 1}])
        code, out, err = self.run_tool("history", *self.chain.write(), "--ns", "shop.a", env={"TMPDIR": "/nowhere"})
        self.assertEqual((code, out, err), (2, b"", "oplog-history: the directory for temporary files, /nowhere: No such file or directory\n"))

    def test_time_order_is_over_all_documents_and_collections(self):
        for number, name in enumerate("ab", 1):
            self.chain.dump(f"shop.{name}", number, [{"_id": identity} for identity in range(3)])
        for identity in (2, 0, 1):
            for name in "ba":
                self.chain.set(f"shop.{name}", identity, {"n": 1})
        lines = self.history("--ns", "shop.*")
        self.assertEqual([(line["ns"], line["_id"]) for line in lines], [(f"shop.{name}", identity) for identity in (2, 0, 1) for name in "ba"])

    def test_an_id_is_the_servers(self):
        self.chain.dump("shop.a", 1, [{"_id": 1}, {"_id": "1"}])
        self.chain.set("shop.a", 1.0, {"n": 1})
        self.chain.set("shop.a", "1", {"n": 2})
        for identity in ("1", "1.0", '{"$numberLong":"1"}', '{"$numberDecimal":"1.0"}'):
            self.assertEqual([line["changes"] for line in self.history("--ns", "shop.a", "--id", identity)], [[{"path": "n", "after": 1}]])
        self.assertEqual(len(self.history("--ns", "shop.a", "--id", '"1"', "--id", "1")), 2)

    def test_transactions_count_at_their_commit_and_name_the_entry(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 0}])
        lsid, first = {"id": b"\xab" * 16}, self.chain.next()
        head = {"lsid": lsid, "txnNumber": Long(9)}
        operations = [self.chain.set_operation("shop.a", 1, {"n": 1})]
        self.chain.entries.append(encode({**head, "op": "c", "ns": "admin.$cmd", "o": {"applyOps": operations, "partialTxn": True}, "ts": first,
                                          "prevOpTime": {"ts": Time(0, 0), "t": Long(-1)}}))
        self.chain.set("shop.a", 1, {"m": 1})
        self.chain.add({"op": "c", "ns": "admin.$cmd", "o": {"applyOps": [self.chain.set_operation("shop.a", 1, {"n": 2})], "count": 2}}, **head,
                       prevOpTime={"ts": first, "t": Long(1)})
        lines = self.history("--ns", "shop.a")
        self.assertEqual([(line["ts"]["$timestamp"]["i"], line.get("entry", {}).get("$timestamp", {}).get("i"), line.get("session")) for line in lines],
                         [(3, None, None), (4, 2, "abababab/9"), (4, 4, "abababab/9")])
        self.assertEqual([line["changes"][0]["path"] for line in lines], ["m", "n", "n"])
        self.assertEqual(lines[1]["txnNumber"], 9)
        self.assertEqual(list(lines[1]), ["ts", "op", "ns", "_id", "lsid", "txnNumber", "session", "entry", "changes"])
        self.assertEqual([line["ts"]["$timestamp"]["i"] for line in self.history("--ns", "shop.a", "--from", "100:4")], [4, 4])

    def test_what_happens_to_the_collection_is_a_version_of_each_document(self):
        self.chain.dump("shop.a", 1, [{"_id": 1}, {"_id": 2}])
        self.chain.delete("shop.a", 2)
        self.chain.rename("shop.a", "shop.b")
        self.chain.insert("shop.b", {"_id": 3})
        self.chain.drop("shop.b")
        for ns in ("shop.a", "shop.b"):
            lines = self.history("--ns", ns)
            self.assertEqual([(line["op"], line["ns"], line["_id"], line.get("event"), line.get("to")) for line in lines],
                             [("d", "shop.a", 2, None, None), ("c", "shop.a", 1, "collection renamed", "shop.b"), ("i", "shop.b", 3, None, None),
                              ("c", "shop.b", 1, "collection dropped", None), ("c", "shop.b", 3, "collection dropped", None)])
            self.assertEqual(lines[1]["changes"], [])
            self.assertEqual(lines[3]["changes"], [{"path": "_id", "before": 1}])

    def test_a_rename_onto_a_collection_ends_its_documents(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "from": "a"}])
        self.chain.dump("shop.b", 2, [{"_id": 1, "from": "b"}])
        self.chain.rename("shop.a", "shop.b", drop_target=2)
        self.chain.command("shop", {"dropDatabase": 1})
        lines = self.history("--ns", "shop.b", "--id", "1", "--images")
        self.assertEqual([(line["event"], line["before"]["from"], line["after"]) for line in lines],
                         [("collection replaced", "b", None), ("collection renamed", "a", {"_id": 1, "from": "a"}), ("database dropped", "a", None)])

    def test_where_finds_documents_by_what_any_version_held(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "s": "new"}, {"_id": 2, "s": "old"}, {"_id": 3, "s": "old"}])
        self.chain.set("shop.a", 1, {"s": "paid"})
        self.chain.set("shop.a", 1, {"s": "sent"})
        self.chain.set("shop.a", 2, {"s": "lost"})
        self.chain.set("shop.a", 3, {"tags": ["x", {"k": 1}]})
        ids = lambda *where: [line["_id"] for line in self.history("--ns", "shop.a", *(part for text in where for part in ("--where", text)))]
        self.assertEqual(ids('s="paid"'), [1, 1])
        self.assertEqual(ids('s="new"'), [1, 1])
        self.assertEqual(ids('s="old"'), [2, 3])
        self.assertEqual(ids('s="old"', 'tags="x"'), [3])
        self.assertEqual(ids("tags.k=1"), [3])
        self.assertEqual(ids("tags.1.k=1.0"), [3])
        self.assertEqual(ids('s="new"', 'tags="x"'), [])

    def test_without_a_full_dump_it_says_what_is_not_known(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 5}])
        self.chain.set("shop.a", 1, {"n": 6})
        self.chain.add(self.chain.operation("u", "shop.a", {"_id": 1, "n": 7}, {"_id": 1}))
        self.chain.set("shop.a", 1, {"n": 8})
        self.chain.delete("shop.a", 2)
        self.chain.write()
        warning = "some versions are not known: their documents were there before the first entry; --full DUMP knows them"
        first, second, third, fourth = self.history("--ns", "shop.a", inputs=["inc.bson"], warning=warning)
        self.assertEqual((first["unknown"], first["update"]), (["before", "after"], {"$v": 2, "diff": {"u": {"n": 6}}}))
        self.assertEqual((second["unknown"], second["after"]), (["before"], {"_id": 1, "n": 7}))
        self.assertEqual(third["changes"], [{"path": "n", "before": 7, "after": 8}])
        self.assertEqual((fourth["unknown"], fourth["after"]), (["before"], None))

    def test_a_transaction_that_began_before_the_first_entry_is_told_of(self):
        self.chain.collections["shop.a"] = 1
        self.chain.add({"op": "c", "ns": "admin.$cmd", "o": {"applyOps": [self.chain.operation("i", "shop.a", {"_id": 1})], "count": 2}}, lsid={"id": b"\xab" * 16}, txnNumber=Long(9),
                       prevOpTime={"ts": Time(90, 1), "t": Long(1)})
        self.chain.write()
        warning = f"inc.bson: offset {len(self.chain.noop)}: document 2: 100:2: transaction abababab/9 began before the first entry: its operations are not known"
        self.assertEqual(self.history("--ns", "shop.a", inputs=["inc.bson"], warning=warning), [])

    def test_command_lines(self):
        self.chain.dump("shop.a", 1, [{"_id": 1}])
        self.chain.set("shop.a", 1, {"n": 1})
        inputs = self.chain.write()
        self.usage("name the collection: --ns NS", "history", *inputs)
        self.usage("--changes and --images exclude each other", "history", *inputs, "--ns", "shop.a", "--changes", "--images")
        self.usage("--id: 'abc' is no Extended JSON value; a string needs its quotes: '\"abc\"'", "history", *inputs, "--ns", "shop.a", "--id", "abc")
        self.usage("--id: '1,\"b\":2' is more than one value", "history", *inputs, "--ns", "shop.a", "--id", '1,"b":2')
        self.usage("--where n: write FIELD=VALUE", "history", *inputs, "--ns", "shop.a", "--where", "n")
        canonical = self.good("history", *inputs, "--ns", "shop.a")
        self.assertEqual(canonical, b'{"ts":{"$timestamp":{"t":100,"i":2}},"op":"u","ns":"shop.a","_id":{"$numberInt":"1"},"changes":[{"path":"n","after":{"$numberInt":"1"}}]}\n')
        self.assertEqual(self.good("history", *inputs, "--ns", "shop.a", "--json"), canonical)
        self.assertEqual(self.good("history", *inputs, "--ns", "shop.a", "-o", "out.jsonl"), b"")
        self.assertEqual(self.read("out.jsonl"), canonical)
        self.assertIn(b'\n\t"op": "u",\n', self.good("history", *inputs, "--ns", "shop.a", "--pretty"))
        self.assertEqual(self.run_tool("history", *inputs, "--ns", "shop.b"), (0, b"", "oplog-history: warning: --ns shop.b: no collection matches\n"))

    def test_entries_of_the_document_are_checked_and_others_passed_by(self):
        self.chain.dump("shop.a", 1, [{"_id": 1}, {"_id": 2}])
        self.chain.set("shop.a", 2, {"n": "damaged"})
        self.chain.set("shop.a", 1, {"n": "damaged"})
        self.chain.entries[1:] = [entry.replace(b"damaged\0", b"damagedx") for entry in self.chain.entries[1:]]
        offset = sum(map(len, self.chain.entries[:2]))
        self.fails(1, f"{{}}: inc.bson: offset {offset}: document 3: string 'n' does not end with a zero byte\n", "history", *self.chain.write(), "--ns", "shop.a", "--id", "1")
        self.assertEqual(self.good("history", *self.chain.write(), "--ns", "shop.a", "--id", "3"), b"")
        self.assertEqual(self.run_tool("history", *self.chain.write(), "--ns", "shop.a")[0], 1)

    def test_documents_of_the_dump_are_checked_with_their_places(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 1}, {"_id": 2, "n": 2}])
        for identity in (1, 2):
            self.chain.set("shop.a", identity, {"n": 5})
        inputs = self.chain.write()
        documents = self.read("full/shop/a.bson")
        at = len(documents) // 2
        self.write("full/shop/a.bson", documents[:at] + documents[at:].replace(b"\x10n", b"\x77n"))
        damaged = f"full/shop/a.bson: offset {at}: document 2: unknown BSON type 0x77\n"
        self.fails(1, f"{{}}: {damaged}", "history", *inputs, "--ns", "shop.a")
        self.fails(1, f"{{}}: {damaged}", "history", *inputs, "--ns", "shop.a", "--id", "2")
        self.fails(1, f"{{}}: {damaged}", "undo", *inputs, "--from", "100:2", "--to", "100:3", "-o", "undo")
        self.assertEqual(len(self.good("history", *inputs, "--ns", "shop.a", "--id", "1").splitlines()), 1)

    def test_a_session_of_a_wrong_type_has_its_place(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 1}])
        offset = sum(map(len, self.chain.entries))
        self.chain.insert("shop.a", {"_id": 2}, lsid="x", txnNumber=Long(5))
        self.fails(1, f"{{}}: inc.bson: offset {offset}: document 2: 100:2: a session whose 'lsid' is no document, or whose 'txnNumber' is no number\n", "history", *self.chain.write(), "--ns", "shop.a")

    def test_a_failure_leaves_no_output(self):
        self.chain.dump("shop.a", 1, [{"_id": 1}])
        self.chain.command("shop", {"convertToCapped": "a", "size": 4096}, 1)
        code, out, err = self.run_tool("history", *self.chain.write(), "--ns", "shop.a", "-o", "out.jsonl")
        self.assertEqual((code, out), (1, b""))
        self.assertIn("inc.bson: offset ", err)
        self.assertIn("; cut the chain before it (oplog-slice --before 100:2)", err)  # bounds choose, and do not shorten what is read
        self.assertFalse((self.dir / "out.jsonl").exists())
        self.write("inc.bson", self.good("slice", "--before", "100:2", "inc.bson"))
        self.assertEqual(self.good("history", "--full", "full", "inc.bson", "--ns", "shop.a"), b"")


if __name__ == "__main__":
    unittest.main()

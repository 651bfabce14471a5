#!/usr/bin/env python3
"""oplog-diff: what differs between two dumps, or between two times of a chain."""
import gzip
import json
import os
import random
import shutil
import struct
import unittest

from schema import checked
from support import CHAINS, DATA, ToolTest, document, entry, field, int32, split_documents, string, timestamp

ID_INDEX = {"v": {"$numberInt": "2"}, "key": {"_id": {"$numberInt": "1"}}, "name": "_id_"}


def double(name, value):
    return field(1, name, struct.pack("<d", value))


def int64(name, value):
    return field(0x12, name, struct.pack("<q", value))


class Diff(ToolTest):
    def collection(self, path, documents=(), options=None, indexes=(ID_INDEX,), uuid=None, kind="collection"):
        """A collection of a dump: path is DUMP/DATABASE/FILE."""
        metadata = {**({"options": options} if options else {}), "indexes": list(indexes), **({"uuid": uuid} if uuid else {}), "type": kind}
        self.write(path + ".metadata.json", json.dumps(metadata).encode())
        if kind != "view":
            self.write(path + ".bson", b"".join(documents))

    def diff(self, *args, code=0):
        """What is printed as JSON."""
        got, out, err = self.run_tool("diff", *args, "--json")
        self.assertEqual((got, err), (code, ""), args)
        return checked("diff", out)

    def rows(self, *args):
        """(namespace, status, added, removed, changed) of each collection."""
        return [(c["ns"], c["status"], c["added"], c["removed"], c["changed"]) for c in self.diff(*args)["collections"]]

    def documents(self, *args):
        return [json.loads(line) for line in self.good("diff", *args, "--documents").splitlines()]

    def chain(self, name):
        return ["--full", DATA / name / "full", *sorted((DATA / name).glob("inc*"))]

    # ---- documents ----

    def test_documents_that_came_went_and_changed(self):
        self.collection("a/shop/a", [document(int32("_id", 1), int32("n", 1)), document(int32("_id", 2)), document(int32("_id", 3))])
        self.collection("b/shop/a", [document(int32("_id", 3)), document(int32("_id", 4), string("s", "x")), document(int32("_id", 1), int32("n", 2), int32("m", 1))])
        self.assertEqual(self.good("diff", "a", "b"), b"changed shop.a: 1 document added, 1 removed, 1 changed\n")
        self.assertEqual(self.good("diff", "a", "b", "--stat"), b" shop.a | 3 +-~\n 1 collection changed, 1 document added(+), 1 removed(-), 1 changed(~)\n")
        self.assertEqual(sorted(self.good("diff", "a", "b", "--documents").decode().splitlines()), [
            '{"ns":"shop.a","_id":{"$numberInt":"1"},"change":"changed","changes":[{"path":"n","before":{"$numberInt":"1"},"after":{"$numberInt":"2"}},'
            '{"path":"m","after":{"$numberInt":"1"}}]}',
            '{"ns":"shop.a","_id":{"$numberInt":"2"},"change":"removed","before":{"_id":{"$numberInt":"2"}}}',
            '{"ns":"shop.a","_id":{"$numberInt":"4"},"change":"added","after":{"_id":{"$numberInt":"4"},"s":"x"}}'])
        self.assertEqual(self.good("diff", "a", "b", "--json").decode(),
                         '{"format":1,"differ":true,"before":{"dump":"a","ts":null,"time":null},"after":{"dump":"b","ts":null,"time":null},"added":1,"removed":1,"changed":1,"collections":['
                         '{"ns":"shop.a","status":"changed","kind":"collection","added":1,"removed":1,"changed":1,"reordered":false,"options":[],"indexes":[]}]}\n')
        both = self.good("diff", "a", "b", "--documents", "--json").splitlines()
        self.assertEqual(([json.loads(line).get("change") for line in both[:3]].count("changed"), json.loads(both[3])["changed"], len(both)), (1, 1, 4))

    def test_damage_after_the_time_that_is_wanted_has_its_place(self):
        self.collection("full/shop/a", [document(int32("_id", 1))])
        first = document(string("op", "n"), string("ns", ""), field(3, "o", document()), timestamp("ts", 100, 1))
        self.write("full/oplog.bson", first)
        self.write("inc.bson", first + document(string("op", "c"), string("ns", "shop.$cmd"), field(3, "o", document(string("startIndexBuild", "a"))), timestamp("ts", 100, 2)))
        self.fails(1, f"{{}}: inc.bson: offset {len(first)}: document 2: startIndexBuild without 'indexes'\n", "diff", "--full", "full", "inc.bson")

    def test_nothing_is_printed_where_nothing_differs(self):
        self.collection("a/shop/a", [document(int32("_id", 1)), document(int32("_id", 2))], uuid="0" * 32)
        self.collection("b/shop/a", [document(int32("_id", 2)), document(int32("_id", 1))], uuid="1" * 32)
        for form in ([], ["--stat"], ["--documents"]):
            self.assertEqual(self.good("diff", "a", "b", "--exit-code", *form), b"")
        self.assertEqual(self.diff("a", "b", "--exit-code")["differ"], False)

    def test_the_exit_code_tells_of_differences_when_asked(self):
        self.collection("a/shop/a")
        self.collection("b/shop/b")
        self.assertEqual(self.run_tool("diff", "a", "b")[0], 0)
        for form in ([], ["--stat"], ["--documents"], ["--json"]):
            code, _, err = self.run_tool("diff", "--exit-code", *form, "a", "b")
            self.assertEqual((code, err), (1, ""))

    def test_ids_are_equal_as_the_server_takes_them_and_documents_by_their_bytes(self):
        self.collection("a/shop/a", [document(int32("_id", 1)), document(double("_id", -0.0)), document(double("_id", float("nan"))), document(int32("_id", 2), int32("n", 1))])
        self.collection("b/shop/a", [document(int64("_id", 1)), document(int32("_id", 0)), document(double("_id", float("nan"))), document(int32("_id", 2), double("n", 1))])
        self.assertEqual(self.rows("a", "b"), [("shop.a", "changed", 0, 0, 3)])
        self.assertEqual([c["path"] for d in self.documents("a", "b") for c in d["changes"]], ["_id", "_id", "n"])

    def test_the_order_of_documents_counts_in_capped_collections_alone(self):
        capped = {"capped": True, "size": 4096}
        order = [document(int32("_id", i)) for i in (1, 2, 3)]
        for name, documents in (("a", order), ("b", [order[2], order[0], order[1]]), ("c", [order[1], order[2], document(int32("_id", 4))])):
            self.collection(f"{name}/shop/a", documents)
            self.collection(f"{name}/shop/capped", documents, capped)
        self.assertEqual(self.good("diff", "a", "b"), b"changed shop.capped: documents in another order\n")
        self.assertEqual(self.good("diff", "a", "b", "--stat"), b" shop.capped (order) | 0\n 1 collection changed\n")
        self.assertEqual([(c["ns"], c["reordered"]) for c in self.diff("a", "c")["collections"]], [("shop.a", False), ("shop.capped", False)])

    def test_huge_documents_and_empty_collections(self):
        big = document(int32("_id", 1), string("s", "x" * (16 << 20)))
        self.collection("a/shop/big", [big])
        self.collection("b/shop/big", [big[:-10] + b"y" + big[-9:]])
        self.collection("a/shop/none")
        self.collection("b/shop/none")
        self.assertEqual(self.rows("a", "b"), [("shop.big", "changed", 0, 0, 1)])

    # ---- collections ----

    def test_collections_that_came_and_went_with_all_their_documents(self):
        self.collection("a/shop/old", [document(int32("_id", i)) for i in range(3)], uuid="0" * 32)
        self.collection("b/shop/new", [document(int32("_id", i)) for i in range(2)], uuid="1" * 32)
        self.collection("b/shop/empty", uuid="2" * 32)
        self.assertEqual(self.good("diff", "a", "b"), b"added shop.empty\nadded shop.new: 2 documents added\nremoved shop.old: 3 documents removed\n")
        self.assertEqual(self.good("diff", "a", "b", "--stat").decode(),
                         " shop.empty (new) | 0\n shop.new (new)   | 2 ++\n shop.old (gone)  | 3 ---\n 3 collections changed, 2 documents added(+), 3 removed(-)\n")
        self.assertEqual([(d["ns"], d["change"]) for d in self.documents("a", "b")], [("shop.new", "added")] * 2 + [("shop.old", "removed")] * 3)

    def test_renamed_collections_are_told_by_their_uuids(self):
        self.collection("a/shop/old", [document(int32("_id", 1)), document(int32("_id", 2))], uuid="a" * 32)
        self.collection("b/shop/new", [document(int32("_id", 1)), document(int32("_id", 3))], uuid="a" * 32)
        self.collection("b/shop/old", uuid="b" * 32)  # made again, and another one
        self.assertEqual(self.good("diff", "a", "b"), b"renamed shop.old => shop.new: 1 document added, 1 removed\nadded shop.old\n")
        found = self.diff("a", "b")["collections"]
        self.assertEqual([(c["ns"], c["status"], c.get("renamedFrom")) for c in found], [("shop.new", "renamed", "shop.old"), ("shop.old", "added", None)])
        self.assertIn(b" shop.old => shop.new | 2 +-\n", self.good("diff", "a", "b", "--stat"))

    def test_names_swapped(self):
        self.collection("a/shop/x", [document(int32("_id", 1))], uuid="a" * 32)
        self.collection("a/shop/y", [document(int32("_id", 2))], uuid="b" * 32)
        self.collection("b/shop/x", [document(int32("_id", 2))], uuid="b" * 32)
        self.collection("b/shop/y", [document(int32("_id", 1))], uuid="a" * 32)
        self.assertEqual(self.good("diff", "a", "b"), b"renamed shop.y => shop.x\nrenamed shop.x => shop.y\n")

    def test_a_collection_made_again_is_compared_by_its_name(self):
        self.collection("a/shop/a", [document(int32("_id", 1))], uuid="a" * 32)
        self.collection("b/shop/a", [document(int32("_id", 1)), document(int32("_id", 2))], uuid="b" * 32)
        self.assertEqual([(c["status"], c["added"], c["madeAgain"]) for c in self.diff("a", "b")["collections"]], [("changed", 1, True)])
        for path in self.dir.rglob("*.json"):  # as mongodump wrote it long ago
            path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "uuid"}))
        self.assertEqual(self.rows("a", "b"), [("shop.a", "changed", 1, 0, 0)])

    def test_names_that_files_cannot_have(self):
        self.collection("a/shop/a%2Fb%25", [document(int32("_id", 1))])
        self.collection("b/shop/a%2Fb%25", [document(int32("_id", 2))])
        self.assertEqual(self.good("diff", "a", "b"), b"changed shop.a/b%: 1 document added, 1 removed\n")
        self.collection("b/shop/%1B%5B2J")
        self.assertEqual(self.good("diff", "a", "b").splitlines()[0], b"added shop.\\x1b[2J")

    def test_options_and_validators(self):
        self.collection("a/shop/a", options={"validator": {"n": {"$gt": 0}}, "validationLevel": "strict", "temp": True})
        self.collection("b/shop/a", options={"capped": True, "validator": {"n": {"$gt": 1}}})
        self.assertEqual(self.good("diff", "a", "b").decode(), 'changed shop.a\n  option capped added: true\n  option validationLevel removed: "strict"\n'
                         '  option validator changed: {"n":{"$gt":{"$numberInt":"0"}}} => {"n":{"$gt":{"$numberInt":"1"}}}\n')
        found = self.diff("a", "b")["collections"][0]["options"]
        self.assertEqual(found[:2], [{"name": "capped", "before": None, "after": True}, {"name": "validationLevel", "before": "strict", "after": None}])
        self.assertEqual(self.good("diff", "a", "b", "--stat"), b" shop.a (3 options) | 0\n 1 collection changed\n")

    def test_the_order_of_options_and_indexes_says_nothing(self):
        n, m = ({"v": 2, "key": {name: 1}, "name": f"{name}_1", "expireAfterSeconds": 60} for name in "nm")
        self.collection("a/shop/a", options={"capped": True, "size": 4096}, indexes=[ID_INDEX, n, m])
        self.collection("b/shop/a", options={"size": 4096, "capped": True},
                        indexes=[m, {"name": "n_1", "ns": "shop.a", "key": {"n": 1}, "v": 2, "expireAfterSeconds": {"$numberDouble": "60"}}, ID_INDEX])
        self.assertEqual(self.good("diff", "a", "b"), b"")
        self.collection("c/shop/a", options={"size": 4096, "capped": True}, indexes=[ID_INDEX, m, {**n, "key": {"n": {"$numberDouble": "1.0"}}}])
        self.assertEqual([i["name"] for i in self.diff("a", "c")["collections"][0]["indexes"]], ["n_1"])

    def test_indexes(self):
        n = {"v": 2, "key": {"n": 1}, "name": "n_1"}
        collated = {**n, "collation": {"locale": "de"}}
        self.collection("a/shop/a", indexes=[ID_INDEX, n, {**n, "name": "other"}])
        self.collection("b/shop/a", indexes=[ID_INDEX, collated, {**n, "name": "new"}])
        self.assertEqual([(i["name"], i["before"] is None, i["after"] is None) for i in self.diff("a", "b")["collections"][0]["indexes"]],
                         [("n_1", False, False), ("new", True, False), ("other", False, True)])

    def test_the_index_of_a_clustered_collection_is_told_by_its_options(self):
        clustered = {"clusteredIndex": {"v": 2, "key": {"_id": 1}, "name": "c", "unique": True}}
        self.collection("a/shop/a", options=clustered, indexes=[{"v": 2, "key": {"_id": 1}, "name": "c", "unique": True, "clustered": True}])
        self.collection("b/shop/a", options=clustered, indexes=[])
        self.assertEqual(self.good("diff", "a", "b"), b"")

    def test_an_index_on_a_time_series_is_as_it_was_asked_for(self):
        asked = {"v": 2, "key": {"m": 1, "x": 1}, "name": "i"}
        for name, index in (("a", {**asked, "hidden": True, "originalSpec": asked}), ("b", asked), ("c", {**asked, "hidden": True})):
            self.collection(f"{name}/shop/ts", options={"timeseries": {"timeField": "t"}}, indexes=[index], kind="timeseries")
            self.write(f"{name}/shop/system.buckets.ts.bson", (self.dir / f"{name}/shop/ts.bson").read_bytes())
            os.remove(self.dir / f"{name}/shop/ts.bson")
        self.assertEqual(self.good("diff", "a", "b"), b"")
        self.assertEqual(self.good("diff", "a", "c").splitlines()[0], b"changed timeseries shop.ts")

    def test_views(self):
        view = {"viewOn": "a", "pipeline": [{"$match": {"n": 1}}]}
        for name in "ab":
            self.collection(f"{name}/shop/same", kind="view", options=view, indexes=())
        self.collection("a/shop/v", kind="view", options=view, indexes=())
        self.collection("b/shop/v", kind="view", options={**view, "pipeline": []}, indexes=())
        self.collection("b/shop/w", kind="view", options=view, indexes=())
        self.assertEqual(self.good("diff", "a", "b").decode().splitlines()[:1] + self.good("diff", "a", "b").decode().splitlines()[2:], ["changed view shop.v", "added view shop.w"])
        self.assertEqual(self.diff("a", "b")["collections"][0]["options"][0]["name"], "pipeline")

    def test_a_view_in_place_of_a_collection(self):
        self.collection("a/shop/a", [document(int32("_id", 1))])
        self.collection("b/shop/a", kind="view", options={"viewOn": "b", "pipeline": []}, indexes=())
        self.assertEqual(self.good("diff", "a", "b"), b"removed shop.a: 1 document removed\nadded view shop.a\n")

    def test_users_and_roles(self):
        self.collection("a/admin/system.users", [document(string("_id", "shop.ann"))])
        self.collection("b/admin/system.users", [document(string("_id", "shop.bob"))])
        self.collection("a/admin/system.roles")  # none at all, which is nothing to be restored
        self.collection("a/admin/system.version", [document(string("_id", "featureCompatibilityVersion"))])
        self.assertEqual(self.rows("a", "b"), [("admin.system.users", "changed", 1, 1, 0)])

    # ---- dumps ----

    def test_a_dump_is_taken_at_its_consistent_point(self):
        for name in CHAINS:
            with self.subTest(name):
                full = DATA / name / "full"
                self.assertEqual(self.run_tool("apply", "-q", "--full", full, "-o", name)[0], 0)
                self.assertEqual(self.good("diff", "-q", full, name, "--exit-code"), b"")
        # The fuzzy dump differs from itself without its oplog.
        shutil.copytree(DATA / "fuzzy/full", self.dir / "bare")
        (self.dir / "bare/oplog.bson").unlink()
        self.assertEqual(self.run_tool("diff", "-q", "bare", DATA / "fuzzy/full", "--exit-code")[0], 1)

    def test_compressed_dumps(self):
        shutil.copytree(DATA / "crud/full", self.dir / "gz")
        for file in list((self.dir / "gz").rglob("*.*")):
            if file.parent.name != "gz":
                file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes()))
                file.unlink()
        self.assertEqual(self.good("diff", "gz", DATA / "crud/full", "--exit-code"), b"")
        self.assertEqual(self.rows("gz", DATA / "crud/final"), self.rows(DATA / "crud/full", DATA / "crud/final"))

    def test_selected_collections(self):
        for name in ("a", "b", "c"):
            self.collection(f"one/shop/{name}")
            self.collection(f"two/shop/{name}", [document(int32("_id", 1))])
        self.collection("two/shop/new")
        self.assertEqual(self.rows("one", "two", "--ns", "shop.n*"), [("shop.new", "added", 0, 0, 0)])
        self.assertEqual(self.run_tool("diff", "one", "two", "--ns", "shop.none"), (0, b"", "oplog-diff: warning: --ns shop.none: no collection matches\n"))
        self.assertEqual(self.rows("one", "two", "--ns", "*.b"), [("shop.b", "changed", 1, 0, 0)])
        self.assertEqual(self.rows("one", "two", "--exclude-ns", "*.b", "--exclude-ns", "*.new"), [("shop.a", "changed", 1, 0, 0), ("shop.c", "changed", 1, 0, 0)])

    def test_a_collection_restored_under_another_name(self):
        self.collection("a/shop/a", [document(int32("_id", 1))])
        self.collection("b/drill/a", [document(int32("_id", 2))])
        self.assertEqual(self.rows("a", "b", "--rename", "shop.*=drill.*"), [("drill.a", "changed", 1, 1, 0)])

    def test_collections_larger_than_memory_in_any_order(self):
        one = [document(int32("_id", i), string("s", f"{i % 7}" * 2000)) for i in range(45000)]
        order = list(range(45000))
        random.Random(1).shuffle(order)
        self.collection("a/shop/a", one)
        self.collection("b/shop/a", [one[i] if i % 1000 else document(int32("_id", i)) for i in order if i % 1001])
        changed = sum(1 for i in range(45000) if i % 1000 == 0 and i % 1001)
        self.assertEqual(self.rows("a", "b"), [("shop.a", "changed", 0, 45, changed)])

    # ---- a chain at two times ----

    def test_two_times_of_a_chain_differ_as_the_dumps_of_them(self):
        for name in CHAINS:
            (self.dir / name).mkdir()
            last = [self.good("range", "--last", oplog).decode().strip() for oplog in (DATA / name / "full", *sorted((DATA / name).glob("inc*")))]
            middle = [json.loads(line)["ts"]["$timestamp"] for line in self.good("cat", sorted((DATA / name).glob("inc*"))[0]).splitlines()]
            times = [last[0], *(f"{ts['t']}:{ts['i']}" for ts in middle[1::max(1, len(middle) // 3)][:3]), *last[1:]]
            for number, time in enumerate(times):
                self.assertEqual(self.run_tool("apply", "-q", *self.chain(name), "--to", time, "-o", f"{name}/{number}")[0], 0)
            for older, newer in [(0, len(times) - 1)] + [(n, n + 1) for n in range(len(times) - 1)] + [(1, len(times) - 2)]:
                with self.subTest(name, older=times[older], newer=times[newer]):
                    between = ["-q", *self.chain(name), "--from", times[older], "--to", times[newer]]
                    dumps = ["-q", f"{name}/{older}", f"{name}/{newer}"]
                    self.assertEqual(self.diff(*between)["collections"], self.diff(*dumps)["collections"])
                    self.assertEqual(sorted(self.good("diff", *between, "--documents").splitlines()), sorted(self.good("diff", *dumps, "--documents").splitlines()))

    def test_the_full_dump_and_the_end_of_the_chain_are_the_default(self):
        times = [self.good("range", "--last", DATA / "crud" / part).decode().strip() for part in ("full", "inc3")]
        found = self.diff(*self.chain("crud"))
        self.assertEqual((found["before"]["ts"], found["after"]["ts"]), tuple(times))
        self.assertEqual(found, self.diff(*self.chain("crud"), "--from", times[0], "--to", times[1]))
        self.assertEqual(found["collections"], self.diff(DATA / "crud/full", DATA / "crud/final")["collections"])
        self.assertEqual(self.diff(*self.chain("crud"), "--from", times[1], "--to", times[1])["differ"], False)

    def test_times_that_there_are_not(self):
        first = self.good("range", "--last", DATA / "crud/full").decode().strip()
        self.fails(1, f"{{}}: {DATA}/crud/full: the full dump is consistent from {first} (2026-11-22T12:58:58Z) on: there is no earlier state to be made\n",
                   "diff", *self.chain("crud"), "--from", "2020-01-01T00:00:00Z")
        code, _, err = self.run_tool("diff", *self.chain("crud"), "--to", "2030-01-01T00:00:00Z")
        self.assertEqual(code, 0)
        self.assertIn("oplog-diff: warning: the chain ends before the time that is wanted, with ", err)
        self.usage("--from is later than --to", "diff", *self.chain("crud"), "--from", "2026-11-23T00:00:00Z", "--to", "2026-11-22T14:00:00Z")

    def test_one_collection_of_a_chain(self):
        self.assertEqual({c["ns"] for c in self.diff(*self.chain("out"), "--ns", "shop.agg")["collections"]}, {"shop.agg"})

    # ---- errors ----

    def test_bad_data_is_told_with_its_place(self):
        self.collection("a/shop/a", [document(int32("_id", 1))])
        self.collection("b/shop/a", [document(int32("_id", 1)), document(int32("_id", 2))[:-1]])
        self.fails(1, "{}: b/shop/a.bson: offset 14: document 2: the stream ends inside a document: 13 of 14 bytes\n", "diff", "a", "b")
        self.collection("b/shop/a", [document(string("_id", "x").replace(b"\x02\0\0\0", b"\xff\0\0\0"))])
        code, out, err = self.run_tool("diff", "a", "b")
        self.assertEqual((code, out), (1, b""))
        self.assertTrue(err.startswith("oplog-diff: b/shop/a.bson: offset 0: document 1: "), err)
        os.remove(self.dir / "b/shop/a.metadata.json")
        code, _, err = self.run_tool("diff", "a", "b")
        self.assertEqual(code, 1)
        self.assertIn("b/shop/a.metadata.json: missing", err)

    def test_usage(self):
        self.collection("a/shop/a")
        name_two = "name two dumps: A B; or a chain and two times of it: --full DUMP INC... --from T --to T"
        self.usage(name_two, "diff", "a")
        self.usage(name_two, "diff", "a", "a", "a")
        self.usage("--from is a time of a chain: --full DUMP INC... --from T --to T", "diff", "a", "a", "--from", "1")
        self.usage("--json and --stat are two forms of one thing", "diff", "a", "a", "--json", "--stat")
        self.write("inc/local/oplog.rs.bson", entry(100))
        self.write("inc/local/oplog.rs.metadata.json", b'{"indexes":[]}')
        self.fails(1, "{}: inc: an increment, which has no collections\nhint: oplog-diff --full DUMP INC... --from T --to T compares two times of a chain\n", "diff", "a", "inc")
        code, _, err = self.run_tool("diff", "a", "missing")
        self.assertEqual((code, err), (2, "oplog-diff: missing: No such file or directory\n"))


if __name__ == "__main__":
    unittest.main()

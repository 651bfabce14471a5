#!/usr/bin/env python3
"""oplog-stage: what is staged, what of it is rewritten, what is refused, and where it ends up."""
import fcntl
import gzip
import json
import os
import signal
import stat
import struct
import time
import unittest

from support import CHAINS, DATA, GAP_HINT, MARK, ToolTest, chain, document, entry, field, int32, split_documents, string, timestamp
from test_slice_txn import PARTIAL, transaction

RESTORE = "mongorestore --oplogReplay --bypassDocumentValidation "
UUID = {name: name.encode() * 16 for name in "ABCDEF"}


def array(*documents):
    return document(*(field(3, str(i), d) for i, d in enumerate(documents)))


def boolean(name, value):
    return field(8, name, bytes([value]))


def uuid(name, letter):
    return field(5, name, struct.pack("<i", 16) + b"\4" + UUID[letter])


def one(ordinal, op, ns, *o, ui=None, o2=()):
    """An entry at 100:ORDINAL."""
    return document(string("op", op), string("ns", ns), *([uuid("ui", ui)] if ui else []), field(3, "o", document(*o)),
                    *([field(3, "o2", document(*o2))] if o2 else []), timestamp("ts", 100, ordinal))


def insert(ordinal, ns, number, ui=None):
    return one(ordinal, "i", ns, int32("_id", number), ui=ui)


def command(ordinal, name, collection, *more, ui=None, database="shop"):
    return one(ordinal, "c", f"{database}.$cmd", string(name, collection), *more, ui=ui)


def noop(ordinal):
    return one(ordinal, "n", "", string("msg", "periodic noop"))


def spec(name, *more):
    return document(int32("v", 2), field(3, "key", document(int32(name[:-2], 1))), string("name", name), *more)


def create_index(ordinal, collection, name, *more, ui=None):
    return command(ordinal, "createIndexes", collection, int32("v", 2), field(3, "key", document(int32(name[:-2], 1))), string("name", name), *more, ui=ui)


def build(ordinal, what, collection, *names, ui=None):
    return command(ordinal, what + "IndexBuild", collection, field(4, "indexes", array(*map(spec, names))), ui=ui)


def fcv(ordinal):
    return one(ordinal, "u", "admin.system.version", string("version", "6.0"), o2=(string("_id", "featureCompatibilityVersion"),))


def metadata(collection, *indexes, letter=None, options=None):
    text = {"options": options} if options else {}
    text["indexes"] = [{"v": {"$numberInt": "2"}, "key": {name[:-2] or "_id": {"$numberInt": "1"}}, "name": name} for name in ("_id_", *indexes)]
    if letter:
        text["uuid"] = UUID[letter].hex()
    return json.dumps({**text, "collectionName": collection, "type": "collection"}).encode()


class StageTest(ToolTest):
    def dump(self, *entries, **collections):
        """A full dump `full` with that oplog; of collections of the database shop: their metadata. An "_id_" is all that a collection has in it."""
        self.write("full/oplog.bson", b"".join(entries))
        self.write("full/prelude.json", b'{"ServerVersion":"6.0.5"}')
        for name, text in (collections or {"a": metadata("a")}).items():
            self.write(f"full/shop/{name}.bson", document(int32("_id", 1)))
            self.write(f"full/shop/{name}.metadata.json", text)

    def stage(self, *args, message="", code=0, stdin=b""):
        """What is staged on stdout, entry by entry."""
        got, out, err = self.run_tool("stage", *args, stdin=stdin)
        self.assertEqual((got, message in err), (code, True), err)
        return split_documents(out)

    def staged(self, *args, out="out", message="", keep=False):
        """The oplog of the directory that is staged, entry by entry, in JSON; the directory is removed again unless kept."""
        code, _, err = self.run_tool("stage", *args, "-o", out)
        self.assertEqual((code, message in err), (0, True), err)
        bson = self.read(f"{out}/oplog.bson")
        self.verifies(bson)
        if not keep:
            self.shell(f"rm -r {out}")
        return self.json(bson)

    def json(self, bson):
        return [json.loads(line) for line in self.good("cat", "--relaxed", stdin=bson).splitlines()]

    def verifies(self, bson):
        """Staged entries strictly rise, and there is no error to be found in them."""
        code, out, err = self.run_tool("verify", stdin=bson)
        self.assertEqual((code, err), (0, ""), out)
        self.good("range", stdin=bson)

    def refused(self, message, *args, stdin=b""):
        """Exit code 1 with this message, and nothing is left."""
        for output in ([], ["-o", "out"], ["-o", "out.bson"]):
            if "--full" in args and output != ["-o", "out"]:
                continue
            before = self.files()
            code, out, err = self.run_tool("stage", *args, *output, stdin=stdin)
            self.assertEqual((code, err), (1, f"oplog-stage: {message}\n" + (GAP_HINT if ": gap: " in message else "")))
            self.assertEqual(out, b"" if output else MARK)
            self.assertEqual(self.files(), before)


class Chains(StageTest):
    def test_what_replay_gets_right_stays_byte_for_byte(self):
        for name in ("crud", "txn_cut", "fuzzy"):
            full, *increments = chain(name)
            merged = self.good("merge", "--chain", full, *increments)
            self.staged("--full", full.parent, *increments, keep=True, out=name)
            self.assertEqual(self.read(f"{name}/oplog.bson"), merged, name)

    def test_every_chain_is_staged_for_every_time(self):
        for name in CHAINS:
            full, *increments = chain(name)
            last = self.good("range", "--last", full).decode().strip()
            stamps = [last] + self.good("range", "--last", *increments).decode().split()
            for time_ in stamps:
                with self.subTest(name, to=time_):
                    self.staged("--full", full.parent, *increments, "--to", time_, message=f"the state of {time_} (")

    def test_any_order_any_form(self):
        full, *increments = chain("crud")
        self.staged("--full", full.parent, *increments, keep=True)
        expected = self.read("out/oplog.bson")
        self.shell(f"cp {increments[0]} 1.bson; gzip -c {increments[1]} >2.bson.gz; zstd -qc {increments[2]} >x; cp -r {full.parent} full")
        self.run_tool("slice", increments[2], "-o", "3.bson.zst")
        first, second, third = (i.parent.parent for i in increments)
        for n, args in enumerate([(third, first, second), (second, increments[0], "3.bson.zst"), ("3.bson.zst", "2.bson.gz", "1.bson"),
                                  ("2.bson.gz", "2.bson.gz", third, second, "1.bson", "full")]):
            self.staged("--full", "full", *args, keep=True, out=f"out{n}")
            self.assertEqual(self.read(f"out{n}/oplog.bson"), expected, args)
        for n, script in enumerate([f"oplog-stage --full full {first} - {second} -o p0 < {increments[2]}", f"gzip -c {increments[1]} | oplog-stage -o p1 --full full {first} - {third}",
                                    f"oplog-stage --full full <(cat {increments[1]}) {first} <(cat 3.bson.zst) -o p2"]):
            code, out, err = self.shell(script)
            self.assertEqual((code, out), (0, b""), err)
            self.assertEqual(self.read(f"p{n}/oplog.bson"), expected, script)

    def test_gaps_and_divergence_are_refused_with_both_edges(self):
        self.dump(entry(100, 1), entry(100, 2))
        self.write("2.bson", entry(100, 2) + entry(100, 3))
        self.write("4.bson", entry(100, 4) + entry(100, 5))
        self.refused("4.bson: offset 0: document 1: gap: this slice begins with entry 100:4, and 2.bson before it ends with 100:3", "--full", "full", "4.bson", "2.bson")
        self.refused("4.bson: offset 0: document 1: gap: this slice begins with entry 100:4, and full/oplog.bson before it ends with 100:2", "--full", "full", "4.bson")
        self.refused("4.bson: offset 0: document 1: gap: this slice begins with entry 100:4, and 2.bson before it ends with 100:3", "2.bson", "4.bson")
        self.write("other.bson", entry(100, 2, value=7) + entry(100, 3))
        self.refused("other.bson: offset 0: document 1: divergence: another entry 100:2 than full/oplog.bson has", "--full", "full", "other.bson")
        self.write("hole.bson", entry(100, 1) + entry(100, 3))
        self.refused(f"full/oplog.bson: offset {len(entry(100, 1))}: document 2: divergence: hole.bson spans entry 100:2 and has it not", "--full", "full", "hole.bson")

    def test_disorder_and_truncation_are_refused(self):
        size = len(entry(100, 1))
        self.write("disorder.bson", entry(100, 1) + entry(100, 3) + entry(100, 2))
        self.refused(f"disorder.bson: offset {2 * size}: document 3: out of order: entry 100:2 after 100:3", "disorder.bson")
        self.write("cut.bson", (entry(100, 1) + entry(100, 2))[:-1])
        code, out, err = self.run_tool("stage", "cut.bson", "-o", "out")
        self.assertEqual((code, err.startswith(f"oplog-stage: cut.bson: offset {size}: document 2: ")), (1, True), err)
        self.assertEqual(self.files(), ["cut.bson", "disorder.bson"])

    def test_allow_gap_goes_on_with_a_warning(self):
        self.dump(entry(100, 1))
        self.write("3.bson", entry(100, 3))
        self.assertEqual(len(self.staged("--allow-gap", "--full", "full", "3.bson", message="oplog-stage: warning: 3.bson: offset 0: document 1: gap: "
                                         "this slice begins with entry 100:3, and full/oplog.bson before it ends with 100:1\n")), 2)
        self.write("3.bson", entry(100, 1, value=5))
        self.refused("3.bson: offset 0: document 1: divergence: another entry 100:1 than full/oplog.bson has", "--allow-gap", "--full", "full", "3.bson")

    def test_there_must_be_something_to_stage(self):
        self.write("empty.bson", b"")
        self.refused("there are no entries to stage", "empty.bson")
        self.write("1.bson", entry(100, 1))
        self.refused("there are no entries to stage: the chain begins after the time that is wanted", "1.bson", "--to", "99")
        self.dump()
        self.refused("full/oplog.bson: no entries: nothing tells what time the full dump is of", "--full", "full", "1.bson")
        os.remove(self.dir / "full/oplog.bson")
        self.refused("full: no oplog.bson in it: it was not made with mongodump --oplog", "--full", "full", "1.bson")
        self.assertEqual(self.stage("1.bson", "empty.bson"), [entry(100, 1)])


class Time(StageTest):
    def setUp(self):
        super().setUp()
        self.dump(noop(1), noop(3), a=metadata("a", "old_1", letter="A"))

    def test_not_before_the_consistent_point(self):
        self.write("inc.bson", noop(3) + noop(5))
        message = "full: the full dump is consistent from 100:3 (1970-01-01T00:01:40Z) on and cannot be staged for an earlier time"
        for args in (("--to", "100:2"), ("--before", "100:3"), ("--before", "100"), ("--to", "99"), ("--to", "1970-01-01T00:01:39Z")):
            self.refused(message, "--full", "full", "inc.bson", *args)
        for args, last in ((("--to", "100:3"), 3), (("--before", "100:4"), 3), (("--before", "100:5"), 3), (("--to", "100:5"), 5), (("--to", "1970-01-01T00:01:40Z"), 5)):
            entries = self.staged("--full", "full", "inc.bson", *args, message=f"oplog-stage: the state of 100:{last} (1970-01-01T00:01:40Z); to restore it: {RESTORE}out\n")
            self.assertEqual(entries[-1]["ts"]["$timestamp"]["i"], last)

    def test_later_than_the_chain_is_a_warning(self):
        self.staged("--full", "full", "--to", "102", message="oplog-stage: warning: the chain ends before the time that is wanted, with 100:3 (1970-01-01T00:01:40Z)\n")
        code, _, err = self.run_tool("stage", "--full", "full", "--to", "100", "-o", "out")
        self.assertEqual((code, err), (0, f"oplog-stage: the state of 100:3 (1970-01-01T00:01:40Z); to restore it: {RESTORE}out\n"))

    def test_a_transaction_that_is_not_committed_is_left_out_whole(self):
        entries = [noop(3), transaction(100, 4, more=PARTIAL), insert(5, "shop.a", 1), transaction(100, 6, (100, 4), PARTIAL), transaction(100, 7, (100, 6)), noop(8)]
        self.write("inc.bson", b"".join(entries))
        code, _, err = self.run_tool("stage", "--full", "full", "inc.bson", "--to", "100:6", "-o", "out")
        self.assertEqual((code, err), (0, f"oplog-stage: warning: inc.bson: offset {len(entries[0])}: document 2: 100:4: transaction 61616161/7 is not committed by 100:6 and is left out whole\n"
                                          f"oplog-stage: the state of 100:6 (1970-01-01T00:01:40Z); to restore it: {RESTORE}out\n"))
        self.assertEqual(split_documents(self.read("out/oplog.bson")), [noop(1), noop(3), entries[2]])
        self.staged("--full", "full", "inc.bson", "--to", "100:7", keep=True, out="whole")
        self.assertEqual(split_documents(self.read("whole/oplog.bson")), [noop(1)] + entries[:5])

    def test_an_index_that_is_not_finished_is_left_out(self):
        """Whether the dump lists it or not, and wherever its build begins and ends."""
        self.write("full/shop/a.metadata.json", metadata("a", "old_1", "x_1", letter="A"))
        warning = "oplog-stage: warning: {}the build of index x_1 on shop.a is not committed: the index is left out\n"
        inside = [noop(3), build(4, "start", "a", "x_1"), insert(5, "shop.a", 2), build(6, "commit", "a", "x_1"), noop(7)]
        before = [noop(3), insert(5, "shop.a", 2), build(6, "commit", "a", "x_1"), noop(7)]
        given_up = [noop(3), insert(5, "shop.a", 2), build(6, "abort", "a", "x_1"), noop(7)]
        for entries, begun in ((inside, f"inc.bson: offset {len(noop(3))}: document 2: 100:4: "), (before, ""), (given_up, "")):
            self.write("inc.bson", b"".join(entries))
            staged = self.staged("--full", "full", "inc.bson", "--to", "100:5", message=warning.format(begun), keep=True)
            self.assertEqual([e["o"].get("createIndexes") and e["o"]["name"] for e in staged][-1], "old_1")
            names = [i["name"] for i in json.loads(self.read("out/shop/a.metadata.json"))["indexes"]]
            self.assertEqual(names, ["_id_"])
            self.shell("rm -r out")
            staged = self.staged("--full", "full", "inc.bson")
            self.assertEqual([e["o"]["name"] for e in staged if "createIndexes" in e["o"]], ["old_1"] + ["x_1"] * (entries is not given_up))

    def test_a_change_of_the_feature_version_is_refused_unless_it_comes_later(self):
        self.write("inc.bson", noop(3) + noop(4) + fcv(5) + noop(6))
        message = (f"inc.bson: offset {len(noop(3) + noop(4))}: document 3: 100:5: the source's featureCompatibilityVersion changes here, "
                   "and a replay would change the target's; stage up to before it (--before 100:5)")
        self.refused(message, "--full", "full", "inc.bson")
        self.refused(message, "inc.bson")
        self.refused(message, "inc.bson", "--to", "100:5")
        self.staged("--full", "full", "inc.bson", "--before", "100:5")
        # The first user of all writes to that collection too; and what is older than the dump is in it.
        self.write("inc.bson", noop(3) + one(4, "i", "admin.system.version", string("_id", "authSchema")))
        self.staged("--full", "full", "inc.bson")
        self.dump(noop(3), noop(4))
        self.write("inc.bson", fcv(2) + noop(3) + noop(4))
        self.assertEqual(len(self.staged("--full", "full", "inc.bson")), 2)

    def test_renames_after_the_wanted_time_change_nothing(self):
        self.write("inc.bson", noop(3) + insert(4, "shop.a", 2) + command(5, "renameCollection", "shop.a", string("to", "shop.z"), ui="A") + build(6, "start", "z", "q_1") + noop(7))
        for args in ((), ("--ns", "shop.a"), ("--ns", "shop.*", "--rename", "shop.a=shop.k")):
            entries = self.staged("--full", "full", "inc.bson", "--to", "100:4", *args)
            self.assertEqual(sum(e["op"] == "i" for e in entries), 1)

    def test_a_rename_onto_another_collection_of_the_dump_is_refused(self):
        self.dump(noop(3), noop(4), b=metadata("b", letter="B"))
        self.write("inc.bson", noop(4) + noop(5))
        self.fails(2, "{}: shop/b.bson: two collections would have this file\n", "stage", "--full", "full", "inc.bson", "--rename", "shop.a=shop.b", "-o", "out")
        self.assertFalse((self.dir / "out").exists())

    def test_a_renamed_collection_lacks_its_unfinished_index_too(self):
        self.write("full/shop/a.metadata.json", metadata("a", "old_1", "x_1", letter="A"))
        self.write("inc.bson", noop(3) + noop(4) + build(5, "commit", "a", "x_1"))
        entries = self.staged("--full", "full", "inc.bson", "--to", "100:4", "--rename", "shop.a=store.b", message="build of index x_1 on store.b is not committed")
        self.assertEqual([(e["ns"], e["o"]["createIndexes"], e["o"]["name"]) for e in entries if e["op"] == "c"], [("store.$cmd", "b", "old_1")])


class Rewriting(StageTest):
    def setUp(self):
        super().setUp()
        self.dump(noop(1), a=metadata("a", "old_1", letter="A"), b=metadata("b", "other_1", letter="B"), c=metadata("c", "quiet_1", letter="C"))

    def commands(self, *entries, args=()):
        """[[command, argument, …]…] of the staged entries, all that are no no-ops; those of an applyOps are told as a list."""
        self.write("inc.bson", noop(1) + b"".join(entries))

        def told(operation):
            o = operation["o"]
            if "applyOps" in o:
                return [told(inner) for inner in o["applyOps"]]
            if operation["op"] != "c":
                return [operation["op"], operation["ns"]]
            name = next(iter(o))
            more = {"renameCollection": "to", "createIndexes": "name"}.get(name)
            return [name, o[name]] + ([o[more]] if more else [])
        return [told(e) for e in self.staged("--full", "full", "inc.bson", *args, keep=True) if e["op"] != "n"]

    def indexes(self, name):
        return [i["name"] for i in json.loads(self.read(f"out/shop/{name}.metadata.json"))["indexes"]]

    def test_indexes_follow_a_rename_and_come_last(self):
        got = self.commands(create_index(2, "a", "new_1"), command(3, "renameCollection", "shop.a", string("to", "shop.z"), ui="A"), create_index(4, "z", "more_1"), insert(5, "shop.z", 2))
        self.assertEqual(got, [["renameCollection", "shop.a", "shop.z"], ["i", "shop.z"], ["createIndexes", "z", "old_1"], ["createIndexes", "z", "new_1"], ["createIndexes", "z", "more_1"]])
        self.assertEqual((self.indexes("a"), self.indexes("c")), (["_id_"], ["_id_", "quiet_1"]))
        self.assertEqual(self.read("out/shop/c.metadata.json"), self.read("full/shop/c.metadata.json"))

    def test_the_target_of_a_rename_is_dropped_first(self):
        got = self.commands(command(2, "renameCollection", "shop.a", string("to", "shop.b"), uuid("dropTarget", "B"), ui="A"))
        self.assertEqual(got, [[["drop", "b"], ["renameCollection", "shop.a", "shop.b"]], ["createIndexes", "b", "old_1"]])
        self.assertNotIn(b"dropTarget", self.read("out/oplog.bson"))
        self.assertEqual((self.indexes("a"), self.indexes("b")), (["_id_"], ["_id_"]))

    def test_names_swapped(self):
        def rename(n, a, b):
            return command(n, "renameCollection", f"shop.{a}", string("to", f"shop.{b}"))
        got = self.commands(rename(2, "a", "t"), rename(3, "b", "a"), rename(4, "t", "b"))
        self.assertEqual(got[3:], [["createIndexes", "a", "other_1"], ["createIndexes", "b", "old_1"]])

    def test_out(self):
        got = self.commands(command(2, "create", "tmp.agg_out.1", boolean("temp", 1), ui="D"), create_index(3, "tmp.agg_out.1", "other_1", ui="D"), insert(4, "shop.tmp.agg_out.1", 1, ui="D"),
                            command(5, "renameCollection", "shop.tmp.agg_out.1", string("to", "shop.b"), boolean("stayTemp", 0), uuid("dropTarget", "B"), ui="D"))
        self.assertEqual(got, [["create", "tmp.agg_out.1"], ["i", "shop.tmp.agg_out.1"], [["drop", "b"], ["renameCollection", "shop.tmp.agg_out.1", "shop.b"]], ["createIndexes", "b", "other_1"]])

    def test_changes_of_indexes_are_in_the_index_alone(self):
        hide = field(3, "index", document(string("name", "old_1"), boolean("hidden", 1)))
        show = field(3, "index", document(string("name", "old_1"), boolean("hidden", 0)))
        expire = field(3, "index", document(string("name", "old_1"), int32("expireAfterSeconds", 7)))
        validator = field(3, "validator", document())
        self.assertEqual(self.commands(command(2, "collMod", "a", hide), command(3, "collMod", "a", expire, validator)), [["collMod", "a"], ["createIndexes", "a", "old_1"]])
        changed, index = [e["o"] for e in self.json(self.read("out/oplog.bson")) if e["op"] == "c"]
        self.assertEqual(changed, {"collMod": "a", "validator": {}})
        self.assertEqual(index, {"createIndexes": "a", "v": 2, "key": {"old": 1}, "name": "old_1", "hidden": True, "expireAfterSeconds": 7, "collation": {"locale": "simple"}})
        self.shell("rm -r out")
        self.commands(command(2, "collMod", "a", hide), command(3, "collMod", "a", show))
        self.assertNotIn("hidden", self.json(self.read("out/oplog.bson"))[-1]["o"])

    def test_dropped_indexes_are_gone(self):
        got = self.commands(command(2, "dropIndexes", "a", string("index", "old_1")), command(3, "dropIndexes", "b", string("index", "*")), create_index(4, "b", "again_1"))
        self.assertEqual(got, [["createIndexes", "b", "again_1"]])
        self.assertEqual((self.indexes("a"), self.indexes("b")), (["_id_"], ["_id_"]))

    def test_a_dropped_database_takes_its_indexes_along(self):
        got = self.commands(*(command(n, "drop", name, ui=name.upper()) for n, name in enumerate("abc", 2)), one(5, "c", "shop.$cmd", int32("dropDatabase", 1)),
                            command(6, "create", "a", ui="D"), insert(7, "shop.a", 1, ui="D"), create_index(8, "a", "young_1", ui="D"))
        self.assertEqual(got, [["drop", "a"], ["drop", "b"], ["drop", "c"], ["create", "a"], ["i", "shop.a"], ["createIndexes", "a", "young_1"]])
        self.assertEqual(self.indexes("a"), ["_id_"])

    def test_a_part_of_a_database_is_staged_without_what_drops_all_of_it(self):
        entries = (command(2, "drop", "a", ui="A"), command(3, "drop", "b", ui="B"), one(4, "c", "shop.$cmd", int32("dropDatabase", 1)),
                   command(5, "create", "a", ui="D"), insert(6, "shop.a", 1, ui="D"))
        for args, name in ((("--ns", "shop.a", "--rename", "shop.a=rescue.a"), "rescue.a"), (("--ns", "shop.a"), "shop.a"), (("--exclude-ns", "shop.b", "--exclude-ns", "shop.c"), "shop.a")):
            self.assertEqual(self.commands(*entries, args=args), [["drop", "a"], ["create", "a"], ["i", name]])
            self.assertNotIn(b"dropDatabase", self.read("out/oplog.bson"))
            self.shell("rm -r out")
        self.assertEqual(self.commands(*entries), [["drop", "a"], ["drop", "b"], [["drop", "c"]], ["create", "a"], ["i", "shop.a"]])  # what the target has besides stays

    def test_temporary_collections_of_the_dump_can_be_restored(self):
        self.write("full/shop/a.metadata.json", metadata("a", "old_1", letter="A", options={"temp": True, "capped": True}))
        self.assertEqual(self.commands(insert(2, "shop.a", 3)), [["i", "shop.a"]])
        self.assertEqual(json.loads(self.read("out/shop/a.metadata.json"))["options"], {"capped": True})
        self.assertEqual(self.indexes("a"), ["_id_", "old_1"])

    def test_updates_in_capped_collections_while_the_dump_ran_are_staged(self):
        """Whether or not the server logs what such a collection drops, as servers from 5.0 on do."""
        update = one(2, "u", "shop.a", int32("$v", 2), field(3, "diff", document(field(3, "u", document(int32("n", 1))))), ui="A", o2=(int32("_id", 1),))
        dropped = one(3, "d", "shop.a", int32("_id", 9), ui="A")
        for entries in ([update], [update, dropped]):
            self.dump(noop(1), *entries, noop(4), a=metadata("a", letter="A", options={"capped": True, "size": 4096}))
            self.write("inc.bson", noop(4) + noop(5))
            self.assertIn(["u", {"_id": 1}], [[entry["op"], entry.get("o2")] for entry in self.staged("--full", "full", "inc.bson")])

    def test_what_the_dump_has_clustered_and_capped_is_made_by_entries(self):
        cap = {"capped": True, "size": 4096, "clusteredIndex": {"v": 2, "key": {"_id": 1}, "name": "by id", "unique": True}}
        self.write("full/shop/a.metadata.json", metadata("a", "old_1", letter="A", options=cap))
        self.write("full/shop/c.metadata.json", metadata("c", letter="C", options={**cap, "max": 9}))
        self.write("inc.bson", noop(1) + insert(2, "shop.a", 3, ui="A"))
        *made, first, last, index = self.staged("--full", "full", "inc.bson", keep=True)
        self.assertEqual([(e["op"], e["ns"], e["o"]) for e in made], [
            ("c", "shop.$cmd", {"create": "a", **cap}), ("i", "shop.a", {"_id": 1}),
            ("c", "shop.$cmd", {"create": "c", **cap, "max": 9}), ("i", "shop.c", {"_id": 1})])
        self.assertEqual((first["op"], last["o"], index["o"]["createIndexes"], index["o"]["name"]), ("n", {"_id": 3}, "a", "old_1"))
        self.assertEqual([f for f in self.files() if f.startswith("out/shop/")], ["out/shop/b.bson", "out/shop/b.metadata.json"])
        self.shell("rm -r out")
        self.assertEqual(self.staged("--full", "full", "inc.bson", "--rename", "shop.a=shop.z", "--ns", "shop.a")[0]["o"]["create"], "z")
        out = self.good("verify", "--full", "full", "inc.bson").decode()
        for name in "ac":
            self.assertIn(f"note: the full dump has shop.{name}, clustered and capped, which mongorestore cannot create\n", out)

    def test_what_capped_collections_give_up_is_left_out_where_the_server_refuses_it(self):
        self.write("full/shop/a.metadata.json", metadata("a", letter="A", options={"capped": True, "size": 4096}))
        entries = [insert(2, "shop.a", 3, ui="A"), one(3, "d", "shop.a", int32("_id", 1), ui="A"), command(4, "create", "y", boolean("capped", True), int32("size", 4096), ui="E"),
                   insert(5, "shop.y", 1, ui="E"), one(6, "d", "shop.y", int32("_id", 1), ui="E"), command(7, "create", "z", ui="F"), one(8, "d", "shop.z", int32("_id", 1), ui="F")]
        everything = [["i", "shop.a"], ["d", "shop.a"], ["create", "y"], ["i", "shop.y"], ["d", "shop.y"], ["create", "z"], ["d", "shop.z"]]
        for version, is_refused in (("5.0.0", 1), ("5.0.6", 1), ("5.2.1", 1), ("4.4.2", 0), ("5.0.7", 0), ("5.0.32", 0), ("5.3.0", 0), ("6.0.5", 0), ("unknown", 0)):
            self.write("full/prelude.json", json.dumps({"ServerVersion": version}).encode())
            self.assertEqual(self.commands(*entries), [each for each in everything if not is_refused or each[0] != "d" or each[1] == "shop.z"], version)
            self.shell("rm -r out")

    def test_commands_that_mongorestore_does_not_know(self):
        self.write("inc.bson", noop(1) + command(2, "frobnicate", "a"))
        message = f"inc.bson: offset {len(noop(1))}: document 2: 100:2: the command frobnicate is not known; stage up to before it (--before 100:2)"
        self.refused(message, "--full", "full", "inc.bson")
        self.refused(message, "inc.bson")
        self.assertEqual(self.commands(one(2, "c", "shop.a", string("dbCheck", "shop.a")), one(3, "c", "config.$cmd", string("frobnicate", "a"))), [["frobnicate", "a"]])

    def test_an_index_of_an_old_version_keeps_it(self):
        text = json.loads(metadata("a", "old_1", letter="A"))
        text["indexes"][1]["v"] = {"$numberInt": "1"}
        self.write("full/shop/a.metadata.json", json.dumps(text).encode())
        self.staged("--full", "full", message=f"to restore it: {RESTORE}--keepIndexVersion out\n")

    def test_without_the_full_dump_its_indexes_cannot_be_changed(self):
        def why(command_, does):
            return (f"inc.bson: offset 0: document 1: 100:2: {command_} {does} an index of shop.a that was made before these slices begin, "
                    "which mongorestore would not do; stage with the full dump (--full)")
        for what, message in ((command(2, "collMod", "a", field(3, "index", document(string("name", "old_1"), boolean("hidden", 1)))), why("collMod", "changes")),
                              (command(2, "dropIndexes", "a", string("index", "old_1")), why("dropIndexes", "drops")),
                              (command(2, "dropIndexes", "a", string("index", "*")), why("dropIndexes", "drops")),
                              (build(2, "abort", "a", "old_1"), why("abortIndexBuild", "gives up"))):
            self.write("inc.bson", what + noop(3))
            self.refused(message, "inc.bson")
        self.write("inc.bson", noop(2) + build(3, "commit", "a", "old_1"))
        self.refused("the build of index old_1 on shop.a is not committed and began before these slices, so a restored full dump has the index; stage with the full dump (--full)",
                     "inc.bson", "--to", "100:2")
        # What was made within them can be followed.
        self.write("inc.bson", noop(1) + create_index(2, "a", "x_1") + command(3, "dropIndexes", "a", string("index", "x_1")) + build(4, "start", "a", "y_1") + build(5, "abort", "a", "y_1") +
                   build(6, "start", "a", "z_1") + build(7, "commit", "a", "z_1") + command(8, "collMod", "a", field(3, "index", document(string("name", "z_1"), boolean("hidden", 1)))))
        staged = self.json(b"".join(self.stage("inc.bson")))
        self.assertEqual([(e["o"]["name"], e["o"].get("hidden")) for e in staged if "createIndexes" in e["o"]], [("z_1", True)])


class BeforeTheDump(StageTest):
    """Increments may begin earlier than the full dump: it lacks writes that were under way when it began."""

    def staged_after(self, *entries, **collections):
        self.dump(noop(20), noop(21), **collections)
        self.write("inc.bson", b"".join(entries) + noop(20) + noop(21) + noop(22))
        return [e for e in self.staged("--full", "full", "inc.bson") if e["op"] != "n"]

    def test_a_dropped_database_does_not_take_what_came_after_it(self):
        old = [insert(2, "shop.a", 1, ui="A"), command(3, "drop", "a", ui="A"), one(4, "c", "shop.$cmd", int32("dropDatabase", 1))]
        new = [command(5, "create", "a", ui="B"), insert(6, "shop.a", 2, ui="B")]
        self.assertEqual([next(iter(e["o"])) for e in self.staged_after(*old, *new, a=metadata("a", letter="B"))], ["applyOps", "create", "_id"])

    def test_a_chain_of_renames_is_past(self):
        def rename(n, a, b):
            return command(n, "renameCollection", f"shop.{a}", string("to", f"shop.{b}"), ui="A")
        got = self.staged_after(insert(1, "shop.a", 1, ui="A"), rename(2, "a", "b"), insert(3, "shop.b", 2, ui="A"), rename(4, "b", "c"), insert(5, "shop.c", 3, ui="A"), c=metadata("c", letter="A"))
        self.assertEqual([(e["op"], e["ns"]) for e in got], [("i", "shop.c")] * 3)
        os.remove(self.dir / "full/shop/c.metadata.json")
        os.remove(self.dir / "full/shop/c.bson")
        got = self.staged_after(rename(2, "a", "b"), rename(4, "b", "a"), insert(5, "shop.a", 3, ui="A"), a=metadata("a", letter="A"), b=metadata("b", letter="B"))
        self.assertEqual([(e["op"], e["ns"]) for e in got], [("i", "shop.a")])

    def test_a_name_that_is_used_again(self):
        got = self.staged_after(insert(2, "shop.a", 1, ui="A"), command(3, "drop", "a", ui="A"), command(4, "create", "a", ui="B"), insert(5, "shop.a", 2, ui="B"), a=metadata("a", letter="B"))
        self.assertEqual([e["o"]["_id"] for e in got], [2])

    def test_a_changed_view_of_which_there_is_none_any_more(self):
        got = self.staged_after(one(2, "u", "shop.system.views", string("_id", "shop.v"), string("viewOn", "a"), field(4, "pipeline", document()), o2=(string("_id", "shop.v"),), ui="E"),
                                one(3, "d", "shop.system.views", string("_id", "shop.v"), ui="E"), a=metadata("a", letter="A"))
        self.assertEqual([[inner["o"].get("create", inner["op"]) for inner in e["o"].get("applyOps", [])] or e["op"] for e in got], [["system.views", "u"], "d"])

    def test_commands_that_nobody_knows_are_past(self):
        self.assertEqual(self.staged_after(command(2, "frobnicate", "a"), a=metadata("a", letter="A")), [])


class Selecting(StageTest):
    def setUp(self):
        super().setUp()
        self.dump(noop(1), a=metadata("a", "old_1", letter="A"), b=metadata("b", "other_1", letter="B"))
        self.write("inc.bson", noop(1) + insert(2, "shop.a", 2) + insert(3, "shop.b", 2) + create_index(4, "b", "late_1") +
                   command(5, "create", "z", ui="C") + insert(6, "shop.z", 1))

    def files_of(self, *args):
        entries = self.staged("--full", "full", "inc.bson", *args, keep=True)
        files = sorted(str(p.relative_to(self.dir / "out")) for p in (self.dir / "out").rglob("*") if p.is_file())
        return files, [[e["op"], e["ns"]] for e in entries if e["op"] != "n"]

    def test_files_metadata_and_entries_are_selected_alike(self):
        files, operations = self.files_of("--ns", "shop.a")
        self.assertEqual(files, ["oplog.bson", "prelude.json", "shop/a.bson", "shop/a.metadata.json"])
        self.assertEqual(operations, [["i", "shop.a"]])
        self.shell("rm -r out")
        files, operations = self.files_of("--exclude-ns", "shop.a")
        self.assertEqual(files, ["oplog.bson", "prelude.json", "shop/b.bson", "shop/b.metadata.json"])
        self.assertEqual(operations, [["i", "shop.b"], ["c", "shop.$cmd"], ["i", "shop.z"], ["c", "shop.$cmd"], ["c", "shop.$cmd"]])

    def test_renaming_renames_files_and_metadata(self):
        files, operations = self.files_of("--rename", "shop.*=store.*")
        self.assertEqual(files, ["oplog.bson", "prelude.json", "store/a.bson", "store/a.metadata.json", "store/b.bson", "store/b.metadata.json"])
        self.assertEqual({ns for _, ns in operations}, {"store.a", "store.b", "store.z", "store.$cmd"})
        self.shell("rm -r out")
        files, operations = self.files_of("--rename", "shop.b=other.b b")
        self.assertEqual(files, ["oplog.bson", "other/b+b.bson", "other/b+b.metadata.json", "prelude.json", "shop/a.bson", "shop/a.metadata.json"])
        text = json.loads(self.read("out/other/b+b.metadata.json"))
        self.assertEqual((text["collectionName"], [i["name"] for i in text["indexes"]]), ("b b", ["_id_"]))
        indexes = [(e["ns"], e["o"]["createIndexes"], e["o"]["name"]) for e in self.json(self.read("out/oplog.bson")) if "createIndexes" in e["o"]]
        self.assertEqual(indexes, [("other.$cmd", "b b", "other_1"), ("other.$cmd", "b b", "late_1")])

    def test_a_collection_renamed_before_the_dump_is_selected_by_either_name(self):
        self.dump(noop(4), b=metadata("b", letter="A"))
        self.shell("rm full/shop/a.*")
        self.write("inc.bson", insert(1, "shop.a", 1, ui="A") + command(2, "renameCollection", "shop.a", string("to", "shop.b"), ui="A") + noop(4) + insert(5, "shop.b", 2, ui="A"))
        whole = (["oplog.bson", "prelude.json", "shop/b.bson", "shop/b.metadata.json"], [["i", "shop.b"], ["i", "shop.b"]])
        nothing = (["oplog.bson", "prelude.json"], [])
        for arguments, expected in ((("--ns", "shop.a"), whole), (("--ns", "shop.b"), whole), (("--exclude-ns", "shop.a"), nothing), (("--exclude-ns", "shop.b"), nothing)):
            with self.subTest(arguments):
                self.assertEqual(self.files_of(*arguments), expected)
                self.shell("rm -r out")

    def test_where_no_view_is_taken_over_one_of_later_finds_what_holds_it(self):
        self.write("full/shop/v.metadata.json", b'{"options":{"viewOn":"a","pipeline":[]},"indexes":[],"collectionName":"v","type":"view"}')
        self.write("inc.bson", noop(1) + one(2, "i", "shop.system.views", string("_id", "shop.w"), string("viewOn", "a"), field(4, "pipeline", document())))
        self.assertEqual(self.files_of("--exclude-ns", "shop.v")[1], [["c", "admin.$cmd"]])
        self.assertEqual(self.json(self.read("out/oplog.bson"))[-1]["o"]["applyOps"][0]["o"]["create"], "system.views")
        self.shell("rm -r out")
        self.assertEqual(self.files_of()[1], [["i", "shop.system.views"]])

    def test_a_collection_that_nothing_matches(self):
        self.assertEqual(self.files_of("--ns", "nothing.here"), (["oplog.bson", "prelude.json"], []))


class Output(StageTest):
    def setUp(self):
        super().setUp()
        self.dump(noop(1), a=metadata("a", letter="A"))
        self.write("inc.bson", noop(1) + insert(2, "shop.a", 2))
        self.said = "oplog-stage: the state of 100:2 (1970-01-01T00:01:40Z); to restore it: " + RESTORE

    def says(self, command_, *args, out=None, **options):
        code, got, err = self.run_tool("stage", *args, **options)
        self.assertEqual((code, err), (0, self.said + command_ + "\n"))
        if out is not None:
            self.assertEqual(got, out)

    def test_without_a_full_dump_to_stdout_a_file_or_a_directory(self):
        oplog = self.read("inc.bson")
        self.says("--oplogFile FILE EMPTY_DIRECTORY", "inc.bson", out=oplog)
        self.says("--oplogFile FILE EMPTY_DIRECTORY", "inc.bson", "-o", "-", out=oplog)
        self.says("--oplogFile x.bson EMPTY_DIRECTORY", "inc.bson", "-o", "x.bson", out=b"")
        self.says("'my out'", "-o", "my out", out=b"", stdin=oplog)
        self.says("2026.11.22", "inc.bson", "-o", "2026.11.22", out=b"")
        self.says("--oplogFile <(zstd -dc x.bson.zst) EMPTY_DIRECTORY", "inc.bson", "-o", "x.bson.zst", out=b"")
        self.says("--oplogFile <(gzip -dc 'it'\\''s.gz') EMPTY_DIRECTORY", "inc.bson", "-o", "it's.gz", out=b"")
        self.assertEqual([self.read(name) for name in ("x.bson", "my out/oplog.bson", "2026.11.22/oplog.bson")], [oplog] * 3)
        self.assertEqual([self.good("cat", name) for name in ("x.bson.zst", "it's.gz")], [self.good("cat", "inc.bson")] * 2)
        self.assertEqual(os.listdir(self.dir / "my out"), ["oplog.bson"])
        self.assertEqual(self.run_tool("stage", "-q", "inc.bson"), (0, oplog, ""))

    def test_with_a_full_dump_only_to_a_directory(self):
        self.usage("with --full, name the directory to make: -o OUT", "stage", "--full", "full", "inc.bson")
        self.usage("with --full, name the directory to make: -o OUT", "stage", "--full", "full", "inc.bson", "-o", "-")
        self.usage("--compress is for a file; mongorestore reads no compressed oplog in a directory", "stage", "--full", "full", "inc.bson", "-o", "out", "--compress", "zstd")

    def test_collections_are_linked_or_copied(self):
        def same(a, b):
            return os.stat(self.dir / a).st_ino == os.stat(self.dir / b).st_ino
        self.says("out", "--full", "full", "inc.bson", "-o", "out")
        self.says("copy", "--copy", "--full", "full", "inc.bson", "-o", "copy")
        for name in ("shop/a.bson", "shop/a.metadata.json", "prelude.json"):
            self.assertEqual(self.read(f"out/{name}"), self.read(f"full/{name}"))
            self.assertEqual(self.read(f"copy/{name}"), self.read(f"full/{name}"))
            self.assertFalse(same(f"copy/{name}", f"full/{name}"))
        self.assertTrue(same("out/shop/a.bson", "full/shop/a.bson") or os.stat(self.dir / "out/shop/a.bson").st_nlink == 1)  # a reflink has a number of its own
        self.assertEqual(self.read("out/oplog.bson"), self.read("inc.bson"))

    def test_a_compressed_dump_stays_one(self):
        for name in ("oplog.bson", "shop/a.bson", "shop/a.metadata.json", "prelude.json"):
            data = self.read(f"full/{name}")
            os.remove(self.dir / "full" / name)
            self.write(f"full/{name}" + ("" if name == "oplog.bson" else ".gz"), gzip.compress(data))
        self.write("inc.bson", self.read("inc.bson") + create_index(3, "a", "new_1", ui="A"))
        code, _, err = self.run_tool("stage", "--full", "full", "inc.bson", "-o", "out")
        self.assertEqual((code, err), (0, self.said.replace("100:2", "100:3") + "--gzip out\n"))
        self.assertEqual(self.read("out/shop/a.bson.gz"), self.read("full/shop/a.bson.gz"))
        self.assertEqual([i["name"] for i in json.loads(gzip.decompress(self.read("out/shop/a.metadata.json.gz")))["indexes"]], ["_id_"])
        self.assertEqual(len(split_documents(gzip.decompress(self.read("out/oplog.bson")))), 3)

    def test_of_a_drop_of_all_views_only_those_go_that_are_selected(self):
        view = {"options": {"viewOn": "a", "pipeline": []}, "indexes": [], "uuid": "", "type": "view"}
        for name in "vw":
            self.write(f"full/shop/{name}.metadata.json", json.dumps({**view, "collectionName": name}).encode())
        made = one(3, "i", "shop.system.views", string("_id", "shop.x"), string("viewOn", "a"), field(4, "pipeline", document()))
        self.write("inc.bson", self.read("inc.bson") + made + command(4, "drop", "system.views", ui="B"))
        deletions = lambda database, *names: [{"op": "d", "ns": f"{database}.system.views", "o": {"_id": f"{database}.{name}"}} for name in names]
        for args, commands in ((("--ns", "shop.v", "--ns", "shop.x"), [{"applyOps": deletions("shop", "v", "x")}]), (("--exclude-ns", "shop.v"), [{"applyOps": deletions("shop", "w", "x")}]),
                               (("--exclude-ns", "shop.v", "--rename", "shop.*=live.*"), [{"applyOps": deletions("live", "w", "x")}]),
                               (("--ns", "shop.a"), []), (("--ns", "shop.*"), [{"drop": "system.views"}]), ((), [{"drop": "system.views"}])):
            with self.subTest(args):
                code, _, err = self.run_tool("stage", "--force", "--full", "full", "inc.bson", *args, "-o", "out")
                self.assertEqual(code, 0, err)
                entries = [json.loads(line) for line in self.run_tool("cat", "out/oplog.bson")[1].splitlines()]
                self.assertEqual([each["o"] for each in entries if each["op"] == "c"], commands)
                self.assertEqual(self.run_tool("apply", "--force", "--full", "full", "inc.bson", *args, "-o", "later")[0], 0)
                self.assertEqual([name for name in "vwx" if list(self.dir.glob(f"later/*/{name}.metadata.json"))], [])

    def test_a_selection_of_which_nothing_is_there_at_the_time_is_said(self):
        self.write("inc.bson", self.read("inc.bson") + command(3, "drop", "a", ui="A"))
        said = "{}: warning: nothing of what is selected is there at 100:3 (1970-01-01T00:01:40Z)\n"
        for tool in ("stage", "apply"):
            for number, (args, nothing) in enumerate(((("--ns", "shop.a"), True), (("--ns", "shop.a", "--to", "100:2"), False), ((), False), (("--exclude-ns", "shop.b*"), True))):
                code, _, err = self.run_tool(tool, "--full", "full", "inc.bson", *args, "-o", f"{tool}{number}")
                self.assertEqual((code, said.format(f"oplog-{tool}") in err), (0, nothing), err)

    def test_what_exists_is_replaced_only_by_force(self):
        self.write("out/shop/old.bson", b"")
        self.write("out/shop/old.metadata.json", metadata("old"))
        exists = "{}: out: File exists\nhint: --force replaces it\n"
        self.fails(2, exists, "stage", "--full", "full", "-o", "out")
        self.fails(2, exists, "stage", "inc.bson", "-o", "out")
        self.says("out", "--force", "--full", "full", "inc.bson", "-o", "out")
        self.assertEqual(self.read("out/shop/a.bson"), self.read("full/shop/a.bson"))
        self.assertFalse((self.dir / "out/shop/old.bson").exists())
        self.write("precious/thesis.txt", b"x")
        code, _, err = self.run_tool("stage", "--force", "--full", "full", "inc.bson", "-o", "precious")
        self.assertEqual((code, err), (2, "oplog-stage: precious holds other things than a dump: not replaced\nhint: oplog-stage --help\n"))
        self.assertEqual(self.read("precious/thesis.txt"), b"x")
        self.write("x.bson", b"")
        self.fails(2, "{}: x.bson: File exists\nhint: --force replaces it\n", "stage", "inc.bson", "-o", "x.bson")
        self.says("--oplogFile x.bson EMPTY_DIRECTORY", "-f", "inc.bson", "-o", "x.bson")

    def test_the_output_is_no_input_and_holds_none(self):
        self.write("here/inc.bson", self.read("inc.bson"))
        before = self.files()
        for args, why in ((("inc.bson", "-o", "full"), "the output full is an input"), (("inc.bson", "-o", "full/new"), "the output full/new lies in the input full"),
                          (("here/inc.bson", "-o", "here"), "the output here holds the input here/inc.bson")):
            self.usage(why, "stage", "--force", "--full", "full", *args)
        self.usage("the output inc.bson is an input", "stage", "-f", "inc.bson", "-o", "inc.bson")
        self.assertEqual(self.files(), before)

    def test_no_device_or_full_disk_leaves_anything(self):
        self.usage("no FILE named", "stage") if os.isatty(0) else None
        with open("/dev/full", "wb") as full:
            code, _, err = self.run_tool("stage", "inc.bson", stdout=full)
        self.assertEqual((code, "No space left on device" in err), (2, True), err)
        before = self.files()
        self.fails(2, "{}: nowhere/out: No such file or directory\n", "stage", "--full", "full", "-o", "nowhere/out")
        self.assertEqual(self.files(), before)

    def test_a_signal_leaves_nothing(self):
        """Who opens a leased file waits until it is given back: that keeps the tool, with the directory half made."""
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        leased = os.open(self.dir / "full/shop/a.bson", os.O_RDWR)
        self.addCleanup(os.close, leased)
        try:
            fcntl.fcntl(leased, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            self.skipTest(f"no leases on files here: {error}")
        before = self.files()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process = self.start("stage", "--full", "full", "inc.bson", "-o", "out")
            deadline = time.monotonic() + 30
            while not any(name.startswith(".out.") for name in self.files()):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)
            process.send_signal(number)
            self.assertEqual(process.wait(30), -number)
            self.assertEqual(self.files(), before)

    def test_a_failure_midway_leaves_nothing(self):
        os.chmod(self.dir / "full/shop/a.bson", 0)
        if os.access(self.dir / "full/shop/a.bson", os.R_OK):  # root reads it nevertheless
            os.remove(self.dir / "full/shop/a.bson")
            os.symlink("nowhere", self.dir / "full/shop/a.bson")
        before = self.files()
        code, _, err = self.run_tool("stage", "--full", "full", "inc.bson", "-o", "out")
        self.assertEqual((code, "full/shop/a.bson" in err), (2, True), err)
        self.assertEqual(self.files(), before)

    def test_help_and_its_example(self):
        code, out, err = self.run_tool("stage", "--help")
        self.assertEqual((code, err, b"mongorestore --oplogReplay" in out), (0, "", True))


if __name__ == "__main__":
    unittest.main()

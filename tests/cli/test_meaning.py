#!/usr/bin/env python3
"""What entries of other servers mean, and damaged ones: verify, stage, apply and filter agree about them."""
import json
import shutil
import signal
import struct
import time
import unittest

from support import document, field, int32, split_documents, string, timestamp
from test_stage import StageTest, UUID, array, boolean, command, create_index, insert, metadata, noop, one, spec, uuid

OLD = (field(0x12, "h", struct.pack("<q", 77)),)


def old(ordinal, op, ns, *o):
    """As a server before 3.6 wrote it: `h`, and no UUID."""
    return document(timestamp("ts", 100, ordinal), *OLD, int32("v", 2), string("op", op), string("ns", ns), field(3, "o", document(*o)))


def transaction_entry(ordinal, *fields, o):
    return document(field(3, "lsid", document(string("id", "s"))), field(0x12, "txnNumber", struct.pack("<q", 7)), string("op", "c"),
                    string("ns", "admin.$cmd"), field(3, "o", document(*o)), timestamp("ts", 100, ordinal), *fields)


class MeaningTest(StageTest):
    def setUp(self):
        super().setUp()
        self.dump(noop(1), a=metadata("a", "x_1", letter="A"))

    def all_three(self, *entries, select=()):
        """What verify, stage and apply say (exit code, stderr or findings), and the names of what is in shop after apply."""
        self.write("inc.bson", b"".join((noop(1),) + entries))
        for old_one in ("staged", "applied"):
            shutil.rmtree(self.dir / old_one, ignore_errors=True)
        chain = ("--full", "full", "inc.bson")
        verified = self.run_tool("verify", *chain)
        staged = self.run_tool("stage", *chain, *select, "-o", "staged")
        applied = self.run_tool("apply", *chain, *select, "-o", "applied")
        return verified, staged, applied

    def passes(self, *entries):
        """All three take it; yields the operations that are staged, and apply's documents by their collections."""
        verified, staged, applied = self.all_three(*entries)
        self.assertEqual((verified[0], staged[0], applied[0]), (0, 0, 0), (verified, staged, applied))
        told = [json.loads(line) for line in self.good("cat", "--relaxed", "staged/oplog.bson").splitlines()]
        found = {path.stem: [json.loads(line) for line in self.good("cat", "--relaxed", path).splitlines()] for path in (self.dir / "applied/shop").glob("*.bson")}
        return told, found

    def refused(self, *entries, reason, at=2, filters=True):
        """All refuse it with its place, and leave nothing."""
        verified, staged, applied = self.all_three(*entries)
        offset = sum(map(len, ((noop(1),) + entries)[:at - 1]))
        place = f"inc.bson: offset {offset}: document {at}: "
        self.assertEqual((verified[0], staged[0], applied[0]), (1, 1, 1), (verified, staged, applied))
        for said in (verified[1].decode(), staged[2], applied[2]):
            self.assertIn(place, said)
            self.assertIn(reason, said)
        self.assertEqual([f for f in self.files() if f.startswith(("staged", "applied", "."))], [])
        if filters:
            code, out, err = self.run_tool("filter", "--ns", "shop.*", "inc.bson", "-o", "out.bson")
            self.assertEqual(code, 1, err)
            self.assertIn(place, err)
            self.assertNotIn("out.bson", self.files())


class OfOtherServers(MeaningTest):
    def test_what_has_no_effect_is_passed_over(self):
        for entry in (one(2, "ci", "admin.$container", int32("k", 1)), one(2, "km", "admin.$cmd", int32("k", 1)), old(2, "db", "shop", int32("x", 1)),
                      command(2, "invalidateCollectionMetadata", "a", boolean("forDroppedCollection", True), ui="A"), command(2, "updateCollectionMetadata", "a"),
                      command(2, "setAllowChunkOperations", "a"), one(2, "c", "shop.$cmd", int32("invalidateAllDatabaseMetadata", 1)),
                      one(2, "c", "shop.$cmd", string("createDatabaseMetadata", "shop")), one(2, "c", "shop.$cmd", string("dropIdent", "collection-1")),
                      one(2, "c", "admin.$cmd", field(4, "applyOps", array(one(2, "cd", "admin.$container", int32("k", 1)))))):
            told, found = self.passes(entry, insert(3, "shop.a", 99, ui="A"))
            self.assertEqual([d["_id"] for d in found["a"]], [1, 99])
            self.assertEqual(told[-1]["o"], {"_id": 99})
            self.assertEqual([t for t in told[:-1] if t["op"] not in "nc" or t["o"].get("applyOps") not in (None, [])], [])

    def test_a_collection_that_is_resharded_takes_the_place_of_the_old_one(self):
        told, found = self.passes(command(2, "create", "system.resharding.1", ui="B"), insert(3, "shop.system.resharding.1", 7, ui="B"),
                                  one(4, "c", "shop.$cmd", string("renameCollection", "shop.system.resharding.1"), string("to", "shop.a"), uuid("dropTarget", "A"), ui="B"))
        self.assertEqual(found, {"a": [{"_id": 7}]})
        self.good("apply", "-q", "--full", "full", "--ns", "shop.a", "inc.bson", "-o", "selected")
        self.assertEqual(self.good("cat", "--relaxed", "selected/shop/a.bson"), b'{"_id":7}\n')

    def test_one_that_is_not_finished_is_in_no_dump(self):
        self.assertEqual(set(self.passes(command(2, "create", "system.resharding.1", ui="B"), insert(3, "shop.system.resharding.1", 7, ui="B"))[1]), {"a"})

    def test_writes_packed_into_one_entry_are_no_transaction(self):
        for kind in (1, 2, 3):
            packed = transaction_entry(3, field(3, "prevOpTime", document(timestamp("ts", 100, 2), field(0x12, "t", struct.pack("<q", 1)))), int32("multiOpType", kind),
                                       o=(field(4, "applyOps", array(insert(3, "shop.a", 12, ui="A"))),))
            told, found = self.passes(insert(2, "shop.a", 11, ui="A"), packed)
            self.assertEqual([d["_id"] for d in found["a"]], [1, 11, 12])
            self.assertEqual("lsid" in told[-1], kind == 1)  # mongorestore knows that one

    def test_options_of_other_servers(self):
        told, found = self.passes(command(2, "collMod", "a", boolean("isTemp", True), boolean("usePowerOf2Sizes", True), ui="A"), insert(3, "shop.a", 99, ui="A"))
        self.assertEqual([t["op"] for t in told], ["n", "i"])
        told, found = self.passes(command(2, "collMod", "a", boolean("recordPreImages", True), boolean("dryRun", False), ui="A"))
        self.assertEqual(told[-1]["o"], {"collMod": "a", "recordPreImages": True})
        self.assertEqual(json.loads(self.read("applied/shop/a.metadata.json"))["options"], {"recordPreImages": True})
        create = one(2, "c", "shop.$cmd", string("create", "n"), boolean("recordIdsReplicated", True), boolean("capped", True), int32("size", 4096), ui="B", o2=(string("ident", "collection-7"),))
        told, found = self.passes(create)
        self.assertEqual((told[-1]["o"], "o2" in told[-1]), ({"create": "n", "capped": True, "size": 4096}, False))
        self.assertEqual(json.loads(self.read("applied/shop/n.metadata.json"))["options"], {"capped": True, "size": {"$numberInt": "4096"}})

    def test_what_makes_a_server_a_shard_is_left_out_with_a_word(self):
        entry = one(2, "u", "admin.system.version", string("_id", "shardIdentity"), string("shardName", "rs0"), ui="B", o2=(string("_id", "shardIdentity"),))
        told, found = self.passes(entry, insert(3, "shop.a", 99, ui="A"))
        self.assertEqual([t["op"] for t in told], ["n", "i"])
        for said in (part for result in self.all_three(entry) for part in (result[1].decode() if isinstance(result[1], bytes) else "", result[2])):
            if said:
                self.assertIn("shardIdentity", said)

    def test_shapes_of_old_servers(self):
        told, found = self.passes(old(2, "i", "shop.system.indexes", string("ns", "shop.a"), field(3, "key", document(int32("y", 1))), string("name", "y_1")))
        self.assertEqual(told[-1]["o"]["createIndexes"], "a")
        self.assertEqual([i["name"] for i in json.loads(self.read("applied/shop/a.metadata.json"))["indexes"]], ["_id_", "x_1", "y_1"])
        told, found = self.passes(old(2, "c", "shop.$cmd", string("create", "n"), boolean("autoIndexId", False)), old(3, "i", "shop.n", int32("_id", 1)))
        self.assertEqual((told[1]["o"], found["n"]), ({"create": "n"}, [{"_id": 1}]))
        told, found = self.passes(old(2, "i", "shop.new", int32("_id", 1)), old(3, "i", "shop.new", int32("_id", 2)))
        self.assertEqual([o["o"].get("create") for o in told[1]["o"]["applyOps"]], ["new", None])
        self.assertEqual([d["_id"] for d in found["new"]], [1, 2])

    def test_commands_on_the_database_config_do_not_hide_what_is_in_them(self):
        update = document(string("op", "u"), boolean("b", True), string("ns", "config.chunks"), field(3, "o", document(string("_id", "c2"), int32("n", 2))), field(3, "o2", document(string("_id", "c2"))))
        self.write("full/config/chunks.bson", document(string("_id", "c1")))
        self.write("full/config/chunks.metadata.json", metadata("chunks"))
        told, found = self.passes(one(2, "c", "config.$cmd", field(4, "applyOps", array(update)), boolean("alwaysUpsert", False)))
        self.assertEqual(told[-1]["ns"], "admin.$cmd")
        self.assertEqual(self.good("cat", "--relaxed", "applied/config/chunks.bson"), b'{"_id":"c1"}\n{"_id":"c2","n":2}\n')

    def test_a_setting_of_the_cluster_is_made_with_its_collection(self):
        made = command(2, "create", "settings", ui="B", database="config")
        setting = one(3, "i", "config.settings", string("_id", "ReadWriteConcernDefaults"), ui="B")
        told, found = self.passes(made, setting, insert(4, "shop.a", 99, ui="A"))
        self.assertEqual([t["ns"] for t in told], ["", "config.settings", "shop.a"])  # mongorestore would pass over the command
        self.assertEqual(self.read("staged/config/settings.bson"), b"")
        self.assertEqual(json.loads(self.read("staged/config/settings.metadata.json"))["collectionName"], "settings")
        self.assertEqual(self.good("cat", "--relaxed", "applied/config/settings.bson"), b'{"_id":"ReadWriteConcernDefaults"}\n')
        self.write("full/config/settings.bson", b"")
        self.write("full/config/settings.metadata.json", metadata("settings", letter="C"))
        self.refused(made, reason="create of config.settings", filters=False)

    def test_buckets_of_a_time_series_are_told_by_their_uuid_once_an_entry_has_it(self):
        self.write("full/shop/system.buckets.ts.bson", document(int32("_id", 1)))
        self.write("full/shop/ts.metadata.json", json.dumps({"options": {"timeseries": {"timeField": "t", "granularity": "seconds", "bucketMaxSpanSeconds": 3600}},
                                                             "indexes": [], "collectionName": "ts", "type": "timeseries"}).encode())
        first = one(2, "d", "shop.system.buckets.ts", int32("_id", 7), ui="B")
        self.passes(first, one(3, "d", "shop.system.buckets.ts", int32("_id", 1), ui="B"))
        self.refused(first, one(3, "d", "shop.system.buckets.ts", int32("_id", 1), ui="C"), reason="this is for another collection shop.system.buckets.ts", at=3, filters=False)

    def test_what_nobody_can_follow_is_refused_by_all(self):
        for entry, reason in ((command(2, "convertToCapped", "a", int32("size", 4096), ui="A"), "convertToCapped of shop.a cannot be followed"),
                              (one(2, "c", "shop.$cmd", string("importCollection", "shop.a")), "importCollection"), (one(2, "c", "shop.$cmd", string("truncateRange", "shop.a")), "truncateRange"),
                              (command(2, "create", "ts", field(3, "timeseries", document(string("timeField", "t"))), ui="B"), "no buckets of its own"),
                              (command(2, "collMod", "a", int32("frob", 1), ui="A"), "unknown option 'frob'")):
            self.refused(entry, reason=reason, filters=False)


class Damaged(MeaningTest):
    def test_changes_without_what_they_need(self):
        _id = int32("_id", 1)
        for entry, reason in ((document(string("op", "i"), field(3, "o", document(_id)), timestamp("ts", 100, 2)), "without 'ns'"),
                              (document(string("op", "i"), string("ns", "shop.a"), timestamp("ts", 100, 2)), "without 'o'"),
                              (one(2, "i", "shop.a", int32("^id", 1)), "without 'o._id'"), (one(2, "d", "shop.a", int32("^id", 1)), "without 'o._id'"),
                              (one(2, "u", "shop.a", _id), "without 'o2'"), (one(2, "u", "shop.a", _id, o2=(int32("^id", 1),)), "without 'o2._id'"),
                              (one(2, "u", "shop.a", int32("$v", 2), field(3, "diff", document(field(3, "q", document()))), o2=(_id,)), "section"),
                              (one(2, "u", "shop.a", int32("$v", 7), o2=(_id,)), "$v"), (one(2, "u", "shop.a", field(3, "$sft", document(_id)), o2=(_id,)), "inc.bson")):
            self.refused(entry, reason=reason)

    def test_commands_without_what_they_need(self):
        for o, reason in (((string("drop", ""),), "names no collection"), ((string("renameCollection", "shop.a"),), "without 'to'"),
                          ((string("dropIndexes", "a"),), "names no index"), ((string("createIndexes", "a"), int32("v", 2), string("name", "y_1")), "no key"),
                          ((string("createIndexes", "a"), int32("v", 2), field(3, "key", document(int32("y", 1)))), "without a name"),
                          ((string("createIndexes", "a"), field(3, "key", document(int32("y", 1))), string("name", "y_1"), boolean("uniquf", True)), "uniquf"),
                          ((string("commitIndexBuild", "a"),), "without 'indexes'"), ((string("collMod", "a"), field(3, "index", document(boolean("hidden", True)))), "without its name"),
                          ((), "without a name")):
            self.refused(one(2, "c", "shop.$cmd", *o), reason=reason)
        self.refused(one(2, "c", "admin.$cmd", field(4, "applyOps", array(insert(2, "shop.a", 5))), boolean("partialTxn", True)), reason="without its 'lsid'", filters=False)

    def test_names_that_no_server_gives(self):
        for entry, reason in ((command(2, "create", "a$b", ui="B"), "create of shop.a$b: a collection's name has no $ or NUL in it"),
                              (command(2, "create", ".b", ui="B"), "does not begin with a dot"), (command(2, "create", "b", ui="B", database="d" * 64), "has at most 63 bytes"),
                              (command(2, "create", "b", ui="B", database="a b"), "a database's name has no"), (command(2, "create", "b" * 251, ui="B"), "has at most 255 bytes"),
                              (one(2, "c", "shop.$cmd", string("renameCollection", "shop.a"), string("to", "shop/x.b"), ui="A"), "renameCollection to shop/x.b: a database's name has no"),
                              (one(2, "i", "shop.system.views", string("_id", "shop.$v"), string("viewOn", "a"), field(4, "pipeline", document())), "the view shop.$v")):
            self.refused(entry, reason=reason, filters=False)
        self.passes(command(2, "create", "b" * 250, ui="B"), command(3, "create", "system.buckets." + "c" * 250, field(3, "timeseries", document(string("timeField", "t"))), ui="C"))

    def test_a_document_that_grows_too_large_is_named(self):
        big = field(2, "s", struct.pack("<i", 9 << 20) + bytes([120]) * ((9 << 20) - 1) + b"\0")
        other = big.replace(b"\2s\0", b"\2t\0", 1)
        self.write("inc.bson", noop(1) + one(2, "i", "shop.a", int32("_id", 5), big, ui="A") +
                   one(3, "u", "shop.a", int32("$v", 2), field(3, "diff", document(field(3, "i", document(other)))), ui="A", o2=(int32("_id", 5),)))
        code, _, err = self.run_tool("apply", "--full", "full", "inc.bson", "-o", "applied")
        self.assertEqual((code, err), (1, 'oplog-apply: shop.a: the document of {"_id":{"$numberInt":"5"}}: an update makes a document of 18874396 bytes\n'))
        self.assertNotIn("applied", self.files())

    def test_no_verdict_depends_on_the_entry_before(self):
        self.write("inc.bson", noop(1) + insert(2, "other.b", 1) + noop(3) + noop(4) + insert(5, "shop.a", 2))
        kept = [json.loads(line)["ts"]["$timestamp"]["i"] for line in self.shell("oplog-filter --ns 'shop.*' inc.bson | oplog-cat")[1].splitlines()]
        self.assertEqual(kept, [1, 3, 4, 5])


class Collections(MeaningTest):
    MISSING = "collection shop.big is not in the full dump, and no entry creates it: what it holds is not known (--exclude-ns leaves it out)"

    def test_a_collection_that_the_dump_lacks(self):
        for entry in (insert(2, "shop.big", 1, ui="B"), one(2, "d", "shop.big", int32("_id", 1), ui="B"), one(2, "u", "shop.big", int32("_id", 1), ui="B", o2=(int32("_id", 1),)),
                      one(2, "c", "shop.$cmd", string("createIndexes", "big"), *(field(3, "key", document(int32("y", 1))), string("name", "y_1")), ui="B"),
                      command(2, "collMod", "big", string("validationLevel", "off"), ui="B")):
            self.refused(entry, insert(3, "shop.a", 99, ui="A"), reason=self.MISSING, filters=False)
            verified, staged, applied = self.all_three(entry, insert(3, "shop.a", 99, ui="A"), select=("--exclude-ns", "shop.big"))
            self.assertEqual((staged[0], applied[0]), (0, 0), (staged, applied))

    def test_its_drop_is_all_that_is_to_be_known_of_it(self):
        told, found = self.passes(command(2, "drop", "big", ui="B"), insert(3, "shop.a", 99, ui="A"))
        self.assertEqual([t["op"] for t in told], ["n", "i"])

    def test_a_name_that_is_made_again_after_a_gap(self):
        self.write("before.bson", noop(1) + insert(2, "shop.a", 5, ui="A"))
        for entries, reason in ((command(5, "create", "a", ui="B"), "create of shop.a, which is there already"),
                                (insert(5, "shop.a", 1, ui="B"), "shop.a"),
                                (command(5, "create", "b", ui="B") + one(6, "c", "shop.$cmd", string("renameCollection", "shop.b"), string("to", "shop.a"), ui="B"), "shop.a, which is there already")):
            self.write("after.bson", noop(4) + entries)
            for tool in ("stage", "apply"):
                for force in ((), ("-f",)):
                    code, out, err = self.run_tool(tool, "--allow-gap", "--full", "full", "before.bson", "after.bson", "-o", "out", *force)
                    self.assertEqual((code, "after.bson: offset" in err, reason in err), (1, True, True), err)
                    self.assertNotIn("out", self.files())


    def test_a_collection_and_a_view_of_one_name_after_a_gap(self):
        def view(ordinal, name, on="b"):
            return one(ordinal, "i", "shop.system.views", string("_id", f"shop.{name}"), string("viewOn", on), field(4, "pipeline", document()), ui="C")

        series = command(5, "create", "system.buckets.a", field(3, "timeseries", document(string("timeField", "t"))), ui="B")
        onto = one(6, "c", "shop.$cmd", string("renameCollection", "shop.a"), string("to", "shop.v"), ui="A")
        made = command(2, "create", "system.views", ui="C")
        for before, after, reason in ((made, view(5, "a"), "the view shop.a"), (made, series + view(6, "a", "system.buckets.a"), "the view shop.a"),
                                      (made, command(5, "create", "a", string("viewOn", "b"), field(4, "pipeline", document())), "create of shop.a"),
                                      (made + view(3, "v"), command(5, "create", "v", ui="B"), "create of shop.v"), (made + view(3, "v"), onto, "renameCollection to shop.v"),
                                      (command(3, "create", "v", string("viewOn", "b")), onto, "renameCollection to shop.v")):
            self.write("before.bson", noop(1) + before)
            for gap in (noop(4), one(4, "d", "shop.system.views", string("_id", "shop.v"), ui="C"), command(4, "drop", "system.views", ui="C")):
                if gap != noop(4) and "shop.a" in reason:
                    continue
                self.write("after.bson", gap + after)
                for tool in ("stage", "apply"):
                    code, out, err = self.run_tool(tool, "--allow-gap", "--full", "full", "before.bson", "after.bson", "-o", "out", "-f")
                    if gap == noop(4):
                        self.assertEqual((code, "after.bson: offset" in err, f"{reason}, which is there already" in err), (1, True, True), err)
                    else:
                        self.assertEqual(code, 0, err)

    def test_a_changed_index_that_is_not_there(self):
        change = command(3, "collMod", "a", field(3, "index", document(string("name", "y_1"), boolean("hidden", True))), ui="A")
        self.refused(noop(2), change, reason="collMod changes an index of shop.a that is not there: an entry is missing in which it came", at=3, filters=False)
        self.passes(create_index(2, "a", "y_1", ui="A"), change)
        self.dump(noop(1), change, noop(4), a=metadata("a", letter="A"))  # it may have been dropped while the dump ran
        self.write("inc.bson", noop(4) + insert(5, "shop.a", 5, ui="A"))
        for tool in ("stage", "apply"):
            self.good(tool, "-q", "--full", "full", "inc.bson", "-o", tool)


class Moving(MeaningTest):
    """An increment that is written to while it is read."""

    def test_what_is_made_is_of_one_reading(self):
        inc = self.dir / "inc.bson"
        first = [noop(1)] + [insert(n, "shop.a", n, ui="A") for n in range(2, 6000)]
        refused = 0
        for round_ in range(12):
            inc.write_bytes(b"".join(first))
            process = self.start("apply", "-q", "--full", "full", "inc.bson", "-f", "-o", "applied")
            time.sleep(0.002 * round_)
            process.send_signal(signal.SIGSTOP)
            with inc.open("ab") as more:
                more.write(insert(7000, "shop.a", 7000, ui="A"))
            process.send_signal(signal.SIGCONT)
            code, said = process.wait(), process.stderr.read().decode()
            if code == 0:
                last = split_documents(self.read("applied/oplog.bson"))[-1]
                self.assertIn(last[last.index(b"\3o\0") + 3:][:14], self.read("applied/shop/a.bson"))
            else:
                refused += 1
                self.assertEqual(code, 1, said)
                self.assertIn("inc.bson: what is read has changed meanwhile", said)


if __name__ == "__main__":
    unittest.main()

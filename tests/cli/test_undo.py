#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oplog-undo: chosen operations are taken back, and nothing else; compared with a model that knows nothing of oplogs."""
import json
import random
import shutil
import struct
import unittest

from made_chain import Long, MadeChain, Time, encode
from support import ToolTest, document, field, split_documents


def canonical(value):
    """As Extended JSON has it; the model has whole numbers only."""
    if isinstance(value, dict):
        return {key: canonical(each) for key, each in value.items()}
    return {"$numberInt": str(value)} if isinstance(value, int) else value


class Model:
    """What happened to each document of a collection: [(ordinal, document or None, the operation)], the first of them at 0."""

    def __init__(self, documents):
        self.versions = {each["_id"]: [(0, each, None)] for each in documents}

    def now(self, identity):
        return self.versions.get(identity, [(0, None, None)])[-1][1]

    def add(self, ordinal, identity, document, change):
        self.versions.setdefault(identity, [(0, None, None)]).append((ordinal, document, change))

    def taken_back(self, first, last, conflict):
        """{_id: (verdict, before, after, now, target)} of the documents that operations from first to last changed."""
        result = {}
        for identity, versions in self.versions.items():
            chosen = [i for i, (ordinal, *_) in enumerate(versions) if first <= ordinal <= last]
            if not chosen:
                continue
            before, after, now = versions[chosen[0] - 1][1], versions[chosen[-1]][1], versions[-1][1]
            others = [versions[i][2] for i in range(chosen[0], len(versions)) if i not in chosen]
            target, verdict = before, None
            if others and conflict == "skip":
                target, verdict = now, "conflict"
            elif others and conflict == "replay":
                for kind, value in others:
                    if kind == "u" and target is None:
                        target, verdict = now, "unapplicable"
                        break
                    target = {"i": value, "d": None, "u": {**(target or {}), **(value or {})}}[kind]
            if verdict is None:
                verdict = "unchanged" if target == now else "deleted" if target is None else "inserted" if now is None else "restored"
            result[identity] = (verdict, before, after, now, target)
        return result


class Undo(ToolTest):
    def setUp(self):
        super().setUp()
        self.chain = MadeChain(self)

    def undo(self, *args, said=(), out="undo"):
        code, _, err = self.run_tool("undo", *self.chain.write(), *args, *(("-o", out) if out else ()))
        self.assertEqual(code, 0, err)
        for text in said:
            self.assertIn(text, err)
        return [json.loads(line) for line in self.read(f"{out}/report.jsonl").splitlines()] if out else err

    def test_an_update_without_a_filter_is_taken_back(self):
        self.chain.dump("shop.orders", 1, [{"_id": 1, "paid": 0}, {"_id": 2, "paid": 1}, {"_id": 3, "paid": 0}])
        self.chain.set("shop.orders", 3, {"paid": 1})
        for identity in (1, 2, 3):
            self.chain.set("shop.orders", identity, {"paid": 9})
        self.chain.insert("shop.orders", {"_id": 4})
        lines = self.undo("--from", "100:3", "--to", "100:5", "--ns", "shop.orders", said=["shop.orders: 3 restored, 0 deleted, 0 inserted, 0 unchanged, 0 conflict, 0 unapplicable"])
        self.assertEqual([line["verdict"] for line in lines], ["restored"] * 3)
        self.assertEqual({line["_id"]["$numberInt"]: line["before"]["paid"] for line in lines}, {"1": {"$numberInt": "0"}, "2": {"$numberInt": "1"}, "3": {"$numberInt": "1"}})
        self.assertEqual(sorted(split_documents(self.read("undo/before/shop/orders.bson"))), sorted(encode({"_id": i, "paid": p}) for i, p in ((1, 0), (2, 1), (3, 1))))
        self.assertEqual(sorted(f[5:] for f in self.files() if f.startswith("undo/") and (self.dir / f).is_file()), sorted(["before/shop/orders.bson", "before/shop/orders.metadata.json", "replay/oplog.bson", "report.jsonl", "undo.js", "undo.jsonl"]))

    def test_what_is_taken_back_is_what_a_model_says(self):
        verdicts = set()
        for seed in range(25):
            dice = random.Random(seed)
            self.chain = MadeChain(self)
            documents = [{"_id": i, "n": i} for i in range(6)]
            self.chain.dump("shop.a", 1, documents)
            model = Model(documents)
            for _ in range(dice.randrange(10, 60)):
                identity = dice.randrange(10)
                document = model.now(identity)
                if document is None:
                    document = {"_id": identity, "n": dice.randrange(5)}
                    model.add(self.chain.insert("shop.a", document).ordinal, identity, document, ("i", document))
                elif dice.random() < 0.3:
                    model.add(self.chain.delete("shop.a", identity).ordinal, identity, None, ("d", None))
                else:
                    change = {"n": dice.randrange(5)}
                    model.add(self.chain.set("shop.a", identity, change).ordinal, identity, {**document, **change}, ("u", change))
            first = dice.randrange(2, self.chain.ordinal + 1)
            last = dice.randrange(first, self.chain.ordinal + 1)
            for conflict in ("skip", "before", "replay"):
                lines = self.undo("--from", f"100:{first}", "--to", f"100:{last}", "--conflict", conflict, "-f")
                expected = model.taken_back(first, last, conflict)
                self.assertEqual({int(line["_id"]["$numberInt"]): (line["verdict"], line["before"], line["after"], line["now"]) for line in lines},
                                 {identity: (verdict, *map(canonical, (before, after, now))) for identity, (verdict, before, after, now, _) in expected.items()}, (seed, conflict))
                verdicts |= {each[0] for each in expected.values()}
                self.assertEqual(self.replayed(model), {identity: each[4] for identity, each in expected.items() if each[4] != each[3]}, (seed, conflict))
        self.assertEqual(verdicts, {"restored", "deleted", "inserted", "unchanged", "conflict", "unapplicable"})

    def replayed(self, model):
        """What the entries of replay/ make of documents that they change."""
        del model
        result = {}
        for line in self.good("cat", "--relaxed", "undo/replay/oplog.bson").splitlines():
            entry = json.loads(line)
            result[entry["o"]["_id"]] = entry["o"] if entry["op"] == "i" else None
        return result

    def test_a_dropped_collection_comes_back_as_it_was(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 1}, {"_id": 2}])
        self.chain.set("shop.a", 1, {"n": 2})
        self.chain.insert("shop.a", {"_id": 3})
        self.chain.drop("shop.a")
        self.chain.create("shop.a", 2)
        self.chain.insert("shop.a", {"_id": 1, "new": 1})
        self.undo("--from", "100:4", "--to", "100:4", "--ns", "shop.a", said=["shop.a", "comes back as dropped/shop/a"])
        self.assertEqual(sorted(split_documents(self.read("undo/dropped/shop/a.bson"))), sorted(map(encode, ({"_id": 1, "n": 2}, {"_id": 2}, {"_id": 3}))))
        self.assertEqual(json.loads(self.read("undo/dropped/shop/a.metadata.json"))["collectionName"], "a")
        self.undo("--from", "100:4", "--to", "100:4", "--ns", "shop.a", "--rename", "shop.a=shop.b", "-f")
        self.assertEqual(json.loads(self.read("undo/dropped/shop/b.metadata.json"))["collectionName"], "b")

    def test_operations_are_chosen_by_id_by_field_and_by_kind(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 1}, {"_id": 2, "n": 2}])
        for identity in (1, 2):
            self.chain.set("shop.a", identity, {"n": 5})
        self.chain.insert("shop.a", {"_id": 3, "n": 5})
        everything = ("--from", "100:2", "--to", "100:9")
        chosen = lambda *options: [int(line["_id"]["$numberInt"]) for line in self.undo(*everything, *options, "-f")]
        self.assertEqual(sorted(chosen()), [1, 2, 3])
        self.assertEqual(chosen("--id", "2"), [2])
        self.assertEqual(chosen("--where", "n=1"), [1])
        self.assertEqual(sorted(chosen("--where", "n=5")), [1, 2, 3])
        self.assertEqual(chosen("--op", "i"), [3])
        self.assertEqual(chosen("--ns", "shop.a", "--exclude-ns", "shop.*"), [])

    def test_a_transaction_is_chosen_as_a_whole_and_parts_are_warned_of(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 1}, {"_id": 2, "n": 2}])
        self.chain.transaction([self.chain.set_operation("shop.a", 1, {"n": 7}), self.chain.set_operation("shop.a", 2, {"n": 7})])
        lines = self.undo("--txn", "aaaaaaaa/7")
        self.assertEqual([(line["verdict"], len(line["txn"])) for line in lines], [("restored", 1)] * 2)
        self.undo("--txn", "aaaaaaaa/7", "--id", "1", "-f", said=["1 of its 2 operations are chosen"])

    def test_what_cannot_be_taken_back_is_refused_with_its_place(self):
        self.chain.dump("shop.log", 1, [{"_id": 1, "n": 1}], options={"capped": True, "size": 4096})
        self.chain.insert("shop.log", {"_id": 2})
        offset = len(self.chain.noop)
        code, _, err = self.run_tool("undo", *self.chain.write(), "--from", "100:2", "--to", "100:2", "-o", "undo")
        self.assertEqual(code, 1)
        self.assertIn(f"inc.bson: offset {offset}: document 2: ", err)
        self.assertIn("shop.log, a capped collection, cannot be taken back", err)
        self.assertNotIn("undo", " ".join(self.files()))

    def test_a_server_that_was_upgraded_meanwhile_is_no_obstacle(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 1}])
        self.chain.set("shop.a", 1, {"n": 2})
        version = {"_id": "featureCompatibilityVersion"}
        self.chain.add(self.chain.operation("u", "admin.system.version", {**version, "version": "6.0"}, version, number=9))
        self.chain.set("shop.a", 1, {"n": 3})
        self.undo("--from", "100:2", "--to", "100:4", "--check", out=None,
                  said=["shop.a: 1 restored", "admin.system.version is the server's own: 1 of its operations are chosen, and not taken back", "2 operations chosen"])

    def test_emptying_a_capped_collection_is_refused(self):
        self.chain.dump("shop.log", 1, [{"_id": 1, "n": 1}], options={"capped": True, "size": 4096})
        self.chain.command("shop", {"emptycapped": "log"}, 1)
        code, _, err = self.run_tool("undo", *self.chain.write(), "--from", "100:2", "--to", "100:2", "--check")
        self.assertEqual(code, 1, err)
        self.assertIn("document 2: 100:2: what is done to shop.log, a capped collection, cannot be taken back", err)
        self.undo("--from", "100:2", "--to", "100:2", "--exclude-ns", "shop.log", "--check", out=None)

    def test_time_series_are_refused_and_views_and_indexes_are_told_of(self):
        self.chain.dump("shop.ts", 1, [{"_id": 1, "n": 1}], options={"timeseries": {"timeField": "t", "granularity": "seconds", "bucketMaxSpanSeconds": 3600}}, kind="timeseries")
        self.chain.dump("shop.a", 2, [{"_id": 1, "n": 1}])
        self.chain.add(self.chain.operation("d", "shop.system.buckets.ts", {"_id": 1}, number=0))
        code, _, err = self.run_tool("undo", *self.chain.write(), "--from", "100:2", "--to", "100:2", "--check")
        self.assertEqual(code, 1, err)
        self.assertIn("shop.ts, a time series, cannot be taken back", err)
        self.chain.command("shop", {"createIndexes": "a", "v": 2, "key": {"n": 1}, "name": "n_1"}, 2)
        self.chain.add({"op": "i", "ns": "shop.system.views", "ui": b"\x09" * 16, "o": {"_id": "shop.v", "viewOn": "a", "pipeline": []}})
        self.undo("--from", "100:3", "--to", "100:4", "--exclude-ns", "shop.ts", said=["by hand: ", "index n_1 of shop.a was made", "view shop.v was made", "0 operations chosen"])

    def test_documents_are_named_by_their_id_alone_where_o2_has_shard_keys_too(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "region": "eu", "n": 1}, {"_id": 2, "region": "us", "n": 2}])
        self.chain.add(self.chain.operation("u", "shop.a", {"$v": 2, "diff": {"u": {"n": 9}}}, {"region": "eu", "_id": 1}))
        self.chain.add(self.chain.operation("d", "shop.a", {"region": "us", "_id": 2}))
        for options in ((), ("--id", "1", "--id", "2")):
            lines = self.undo("--from", "100:2", "--to", "100:3", *options, "-f", said=["shop.a: 1 restored, 0 deleted, 1 inserted, 0 unchanged, 0 conflict, 0 unapplicable"])
            self.assertEqual(sorted(line["before"]["n"]["$numberInt"] for line in lines), ["1", "2"])
        replay = [json.loads(line)["o"] for line in self.good("cat", "--relaxed", "undo/replay/oplog.bson").splitlines()]
        self.assertEqual(replay, [{"_id": 1, "region": "eu", "n": 1}, {"_id": 2, "region": "us", "n": 2}])

    def test_what_an_index_was_before_it_was_modified_is_told(self):
        self.chain.dump("shop.a", 1, indexes=[{"v": {"$numberInt": "2"}, "key": {"t": {"$numberInt": "1"}}, "name": "t_1", "expireAfterSeconds": {"$numberInt": "3600"}}])
        self.chain.command("shop", {"collMod": "a", "index": {"name": "t_1", "expireAfterSeconds": Long(60)}}, 1)
        self.chain.command("shop", {"collMod": "a", "validator": {"n": 1}}, 1)
        said = self.undo("--from", "100:2", "--to", "100:3", "--check", out=None).splitlines()
        self.assertIn(' its indexes: {"v":2,"key":{"_id":1},"name":"_id_"} {"v":2,"key":{"t":1},"name":"t_1","expireAfterSeconds":3600}', said[0])
        self.assertNotIn("its indexes", said[1])

    def test_a_document_that_json_has_no_form_for_is_refused_with_its_place(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 1}])
        binary = field(5, "b", struct.pack("<iB", 1, 2) + b"a")  # of the old subtype, whose own length is not there
        for entry in (self.chain.operation("i", "shop.a", {"_id": 2, "b": "B"}), self.chain.operation("u", "shop.a", {"$v": 2, "diff": {"u": {"n": 1}}}, {"_id": 2})):
            offset = sum(map(len, self.chain.entries))
            self.chain.add(entry)
        marked = field(2, "b", struct.pack("<i", 2) + b"B\0")
        self.chain.entries = [each.replace(marked, binary) for each in self.chain.entries]
        inputs = self.chain.write()
        code, _, err = self.run_tool("undo", *inputs, "--from", "100:2", "--to", "100:3", "-o", "undo")
        self.assertEqual((code, err), (1, f"oplog-undo: inc.bson: offset {offset}: document 3: 100:3: a document of shop.a: a binary of subtype 2 has two lengths that differ\n"))
        self.assertNotIn("undo", " ".join(self.files()))
        code, _, err = self.run_tool("history", *inputs, "--ns", "shop.a")
        self.assertEqual((code, err), (1, "oplog-history: a version of shop.a at 100:2: a binary of subtype 2 has two lengths that differ\n"))

    def test_what_moves_between_shards_is_not_taken_back(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 1}, {"_id": 2, "n": 2}])
        moved = {"fromMigrate": True}
        self.chain.insert("shop.a", {"_id": 3, "n": 3}, **moved)  # from another shard
        self.chain.set("shop.a", 3, {"n": 30})
        self.chain.set("shop.a", 1, {"n": 10})
        self.chain.delete("shop.a", 1, **moved)  # to another one
        self.chain.delete("shop.a", 2, **moved)
        self.chain.create("shop.b", 2)
        self.chain.add({**self.chain.operation("c", "shop.$cmd", {"drop": "b"}, number=2), **moved})
        lines = self.undo("--from", "100:2", "--to", "100:8", said=["shop.a: 1 restored, 0 deleted, 0 inserted, 0 unchanged, 1 conflict", "2 operations chosen"])
        self.assertEqual({line["_id"]["$numberInt"]: (line["verdict"], line["before"]["n"]["$numberInt"], line["now"] and line["now"]["n"]["$numberInt"]) for line in lines},
                         {"1": ("conflict", "1", None), "3": ("restored", "3", "30")})
        self.assertFalse((self.dir / "undo/dropped").exists())

    def test_where_a_collation_has_several_spellings_for_an_id_all_documents_go_before_any_comes(self):
        names = [f"name{i}" for i in range(20)]
        self.chain.dump("shop.a", 1, [{"_id": name} for name in names], options={"collation": {"locale": "en", "strength": 1}})
        for name in names:
            self.chain.delete("shop.a", name)
            self.chain.insert("shop.a", {"_id": name.upper()})
        self.undo("--from", "100:2", "--to", "100:99", said=["shop.a: 0 restored, 20 deleted, 20 inserted"])
        replay = [json.loads(line) for line in self.good("cat", "--relaxed", "undo/replay/oplog.bson").splitlines()]
        self.assertEqual([(entry["op"], entry["o"]["_id"].isupper()) for entry in replay], [("d", True)] * 20 + [("i", False)] * 20)
        self.assertNotIn("collation", self.read("undo/before/shop/a.metadata.json").decode())  # where documents of several moments meet

    def test_names_that_a_shell_would_not_leave_as_they_are_reach_it_marked(self):
        odd = {"_id": {"b": 1, "7": 2}, "z": [{"2": 1, "$date": "x"}]}
        self.chain.dump("shop.a", 1, [odd, {"_id": 2, "plain": {"x1": [1, 2]}}, {"_id": 3, "__proto__": 1}])
        for identity in (odd["_id"], 2, 3):
            self.chain.delete("shop.a", identity)
        self.undo("--from", "100:2", "--to", "100:4")
        lines = {line.get("id") or json.dumps(line["_id"]): line for line in map(json.loads, self.read("undo/undo.jsonl").splitlines())}
        self.assertEqual(sorted(line.get("marked", False) for line in lines.values()), [False, True, True])
        marked = next(line for line in lines.values() if line.get("marked") and "z" in str(line["target"]))
        self.assertEqual(json.dumps(marked["_id"]), '{".b": {"$numberInt": "1"}, ".7": {"$numberInt": "2"}}')
        self.assertEqual(json.dumps(marked["target"][".z"]), '[{".2": {"$numberInt": "1"}, ".$date": "x"}]')
        self.assertEqual(marked["id"], '{"b":{"$numberInt":"1"},"7":{"$numberInt":"2"}}')

    def test_a_document_goes_into_no_other_collection_that_has_the_name_since(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 1}, {"_id": 2, "n": 2}])
        self.chain.dump("shop.b", 2, [{"_id": 1, "n": 5}])
        for ns in ("shop.a", "shop.b"):
            self.chain.set(ns, 1, {"n": 9})
        self.chain.drop("shop.a")
        self.chain.create("shop.a", 3)
        self.chain.insert("shop.a", {"_id": 1, "new": 1})
        self.chain.rename("shop.a", "shop.b", drop_target=2)
        self.chain.create("shop.a", 4)
        for conflict in ("before", "replay"):
            lines = self.undo("--from", "100:2", "--to", "100:3", "--conflict", conflict, "-f")
            self.assertEqual([(line["ns"], line["verdict"], line["now"], line["reason"]) for line in lines],
                             [(ns, "unapplicable", None, f"its collection went, and another one has the name {ns} since") for ns in ("shop.a", "shop.b")])
            self.assertEqual(self.read("undo/replay/oplog.bson"), b"")
        self.chain = MadeChain(self)  # where no other has the name, they come back
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 1}, {"_id": 2, "n": 2}])
        self.chain.set("shop.a", 1, {"n": 9})
        self.chain.drop("shop.a")
        self.assertEqual([line["verdict"] for line in self.undo("--from", "100:2", "--to", "100:2", "--conflict", "before", "-f")], ["inserted"])

    def test_a_rename_to_another_database_is_taken_back_whatever_its_copies_are_marked_as(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 1}, {"_id": 2, "n": 2}])
        self.chain.create("other.tmpabcde.renameCollection", 2)
        for identity in (1, 2):
            self.chain.insert("other.tmpabcde.renameCollection", {"_id": identity, "n": identity}, fromMigrate=True)
        self.chain.rename("other.tmpabcde.renameCollection", "other.a")
        self.chain.drop("shop.a")
        lines = self.undo("--from", "100:2", "--to", "100:6", said=["other.a was written anew", "other.a: 0 restored, 2 deleted", "comes back as dropped/shop/a"])
        self.assertEqual([(line["ns"], line["verdict"]) for line in lines], [("other.a", "deleted")] * 2)

    def test_what_a_replay_would_write_otherwise_is_warned_of(self):
        odd = field(4, "a", document(field(0x10, "5", b"\1\0\0\0")))
        self.chain.dump("shop.a", 1)
        self.write("full/shop/a.bson", document(field(0x10, "_id", b"\1\0\0\0"), odd) + encode({"_id": 2}))
        for identity in (1, 2):
            self.chain.delete("shop.a", identity)
        self.undo("--from", "100:2", "--to", "100:3", said=["documents that mongorestore writes otherwise when it replays them: 1, the first for a of shop.a {\"$numberInt\":\"1\"}; before/"])
        self.chain = MadeChain(self)
        self.chain.dump("shop.a", 1, [{"_id": 1, "t": Time(0, 0)}])
        self.chain.set("shop.a", 1, {"n": 1})
        self.undo("--from", "100:2", "--to", "100:2", "-f", said=["the first for t of shop.a"])

    def test_documents_left_alone_where_values_are_unique_are_warned_of(self):
        unique = {"v": {"$numberInt": "2"}, "key": {"k": {"$numberInt": "1"}}, "name": "k_1", "unique": True}
        self.chain.dump("shop.a", 1, [{"_id": 1, "k": 1}], indexes=[unique])
        self.chain.delete("shop.a", 1)
        self.chain.insert("shop.a", {"_id": 2, "k": 1})
        self.undo("--from", "100:2", "--to", "100:3")
        self.chain.set("shop.a", 2, {"n": 1})
        said = "shop.a has values that must be unique, and documents of it are left alone"
        self.undo("--from", "100:2", "--to", "100:3", "-f", said=[said])
        self.assertNotIn(said, self.undo("--from", "100:2", "--to", "100:3", "--check", out=None))

    def test_what_is_named_and_not_there_is_warned_of(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 1}])
        self.chain.transaction([self.chain.set_operation("shop.a", 1, {"n": 7})])
        self.chain.add({"op": "i", "ns": "shop.system.views", "ui": b"\x09" * 16, "o": {"_id": "shop.v", "viewOn": "a", "pipeline": []}})
        given = ("--from", "100:2", "--to", "100:3", "--ns", "shop.*", "--ns", "nope.*", "--exclude-ns", "shop.v", "--exclude-ns", "shop.b", "--rename", "shop.a=shop.c", "--check")
        said = self.undo(*given, out=None).splitlines()
        self.assertEqual([line for line in said if "warning" in line],
                         ["oplog-undo: warning: --ns nope.*: no collection matches", "oplog-undo: warning: --exclude-ns shop.b: no collection matches",
                          "oplog-undo: warning: --rename shop.a=shop.c: no collection that comes back has that name"])
        self.undo("--txn", "aaaaaaaa/7", "--txn", "aaaaaaaa/8", "--check", out=None, said=["--txn aaaaaaaa/8: no operation that is chosen belongs to it", "1 operation chosen"])
        code, _, err = self.run_tool("history", *self.chain.write(), "--ns", "shop.a", "--ns", "shop.q")
        self.assertEqual((code, err), (0, "oplog-history: warning: --ns shop.q: no collection matches\n"))

    def test_check_makes_nothing_and_an_undo_replaces_only_another(self):
        self.chain.dump("shop.a", 1, [{"_id": 1, "n": 1}])
        self.chain.delete("shop.a", 1)
        before = self.files()
        err = self.undo("--from", "100:2", "--to", "100:2", "--check", out=None)
        self.assertIn("1 inserted", err)
        self.assertEqual(set(self.files()), set(before) | {"inc.bson"})
        self.write("other/keep", b"x")
        code, _, err = self.run_tool("undo", *self.chain.write(), "--from", "100:2", "--to", "100:2", "-o", "other", "-f")
        self.assertEqual((code, self.read("other/keep")), (2, b"x"), err)
        shutil.copytree(self.dir / "full", self.dir / "dump")
        code, _, err = self.run_tool("undo", *self.chain.write(), "--from", "100:2", "--to", "100:2", "-o", "dump", "-f")
        self.assertEqual((code, err), (2, "oplog-undo: dump holds other things than what an earlier run made: not replaced\nhint: oplog-undo --help\n"))
        self.assertEqual(self.read("dump/shop/a.bson"), self.read("full/shop/a.bson"))
        (self.dir / "empty").mkdir()
        self.undo("--from", "100:2", "--to", "100:2", "-f", out="empty")

    def test_a_choice_must_be_made(self):
        self.chain.dump("shop.a", 1)
        for options in ((), ("--from", "100:1"), ("--to", "100:1"), ("--from", "100:1", "--to", "100:2", "--conflict", "x"), ("--txn", "x/1"), ("--txn", "aaaaaaaa/"), ("--txn", "aaaaaaaa/99999999999999999999"), ("--from", "100:1", "--to", "100:2", "--op", "n")):
            self.assertEqual(self.run_tool("undo", *self.chain.write(), *options, "-o", "undo")[0], 2, options)


if __name__ == "__main__":
    unittest.main()

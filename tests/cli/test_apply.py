#!/usr/bin/env python3
"""oplog-apply: a full dump and its increments as a new dump."""
import gzip
import json
import os
import shutil
import unittest

from made_chain import MadeChain
from support import CHAINS, DATA, MARK, ToolTest, chain, document, entry, field, int32, split_documents, string, timestamp


class Apply(ToolTest):
    def inputs(self, name):
        return ["--full", DATA / name / "full", *sorted((DATA / name).glob("inc*"))]

    def dump(self, path):
        """{relative path: documents or text} of a dump, its oplog left out."""
        files = {}
        for file in sorted(path.rglob("*")):
            relative = str(file.relative_to(path))
            if not file.is_file() or relative == "oplog.bson":
                continue
            data = gzip.decompress(file.read_bytes()) if relative.endswith(".gz") else file.read_bytes()
            relative = relative.removesuffix(".gz")
            files[relative] = sorted(split_documents(data)) if relative.endswith(".bson") else data.decode()
        return files

    def last(self, oplog):
        return self.good("range", "--last", oplog).decode().strip()

    def test_each_chain_becomes_the_dump_made_at_its_end(self):
        for name in CHAINS:
            if not (DATA / name / "final").is_dir():
                continue
            with self.subTest(name):
                self.assertEqual(self.run_tool("apply", "-q", *self.inputs(name), "-o", name), (0, b"", ""))
                self.assertEqual(self.dump(self.dir / name), self.dump(DATA / name / "final"))
                self.assertEqual(self.good("range", "--first", f"{name}/oplog.bson"), self.good("range", "--last", f"{name}/oplog.bson"))
                self.assertEqual(self.last(f"{name}/oplog.bson"), self.last(chain(name)[-1]))

    def test_it_says_what_time_it_is_of_and_how_to_restore_it(self):
        code, out, err = self.run_tool("apply", *self.inputs("crud"), "-o", "out")
        self.assertEqual((code, out), (0, b""))
        self.assertRegex(err, r"^oplog-apply: the state of 1795352339:\d+ \(2026-11-22T12:58:59Z\); to restore it: mongorestore --bypassDocumentValidation out\n$")
        code, out, err = self.run_tool("apply", "--gzip", *self.inputs("crud"), "-o", "gz")
        self.assertTrue(err.endswith("to restore it: mongorestore --bypassDocumentValidation --gzip gz\n"), err)

    def test_compressed_in_and_out(self):
        self.assertEqual(self.run_tool("apply", "-q", "--gzip", *self.inputs("index"), "-o", "gz")[0], 0)
        names = [str(p.relative_to(self.dir / "gz")) for p in (self.dir / "gz").rglob("*") if p.is_file()]
        self.assertEqual([n for n in names if not n.endswith(".gz")], ["oplog.bson"])
        self.assertEqual(self.read("gz/oplog.bson")[:2], b"\x1f\x8b")
        self.assertEqual(self.dump(self.dir / "gz"), self.dump(DATA / "index" / "final"))

        full = self.dir / "full"
        shutil.copytree(DATA / "crud" / "full", full)
        for file in list(full.rglob("*.bson")) + list(full.rglob("*.json")):
            if file.name != "oplog.bson":
                file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes()))
                file.unlink()
        self.assertEqual(self.run_tool("apply", "-q", "--full", "full", *sorted((DATA / "crud").glob("inc*")), "-o", "again")[0], 0)
        self.assertEqual(self.dump(self.dir / "again"), self.dump(DATA / "crud" / "final"))
        self.assertTrue((self.dir / "again/shop/a.bson.gz").exists())

    def test_the_new_dump_is_a_full_one_for_the_next_increments(self):
        increments = sorted((DATA / "crud").glob("inc*"))
        self.assertEqual(self.run_tool("apply", "-q", "--full", DATA / "crud/full", increments[0], "-o", "one")[0], 0)
        self.assertEqual(self.run_tool("apply", "-q", "--full", "one", *increments[1:], "-o", "two")[0], 0)
        self.assertEqual(self.dump(self.dir / "two"), self.dump(DATA / "crud" / "final"))
        code, out, err = self.run_tool("apply", "--full", "one", increments[2], "-o", "three")
        self.assertEqual((code, out), (1, b""))
        self.assertIn(": gap: this slice begins with entry ", err)
        self.assertFalse((self.dir / "three").exists())

    def test_increments_in_any_order_compressed_or_piped(self):
        one, two, three = chain("rename")[1:]
        self.write("two.bson.gz", gzip.compress(two.read_bytes()))
        with open(three, "rb") as pipe:
            self.assertEqual(self.run_tool("apply", "-q", "--full", DATA / "rename/full", "-", "two.bson.gz", one, "-o", "out", stdin=pipe)[0], 0)
        self.assertEqual(self.dump(self.dir / "out"), self.dump(DATA / "rename" / "final"))

    def test_a_point_in_time_is_what_the_increments_up_to_it_give(self):
        first, second = chain("crud")[1:3]
        self.assertEqual(self.run_tool("apply", "-q", "--full", DATA / "crud/full", first, second, "-o", "two")[0], 0)
        point = self.last(second)
        self.assertEqual(self.run_tool("apply", "-q", *self.inputs("crud"), "--to", point, "-o", "at")[0], 0)
        self.assertEqual(self.dump(self.dir / "at"), self.dump(self.dir / "two"))
        self.assertEqual(self.last("at/oplog.bson"), point)

    def test_no_earlier_state_than_the_full_dumps_own(self):
        full = chain("crud")[0]
        self.fails(1, f"{{}}: {DATA}/crud/full: the full dump is consistent from {self.last(full)} (2026-11-22T12:58:58Z) on: there is no earlier state to be made\n",
                   "apply", *self.inputs("crud"), "--to", "2020-01-01T00:00:00Z", "-o", "out")
        self.assertEqual(self.files(), [])

    def test_unchanged_collections_are_linked_or_copied(self):
        shutil.copytree(DATA / "out/full", self.dir / "full")
        for option in ([], ["--copy"]):
            shutil.rmtree(self.dir / "out", ignore_errors=True)
            self.assertEqual(self.run_tool("apply", "-q", *option, "--full", "full", *sorted((DATA / "out").glob("inc*")), "-o", "out")[0], 0)
            links = [p for p in (self.dir / "out").rglob("*") if p.is_file() and os.stat(p).st_nlink > 1]
            if option:
                self.assertEqual(links, [])
            self.assertEqual(self.dump(self.dir / "full"), self.dump(DATA / "out/full"))

    def test_selected_collections_only(self):
        self.assertEqual(self.run_tool("apply", "-q", *self.inputs("out"), "--ns", "shop.agg", "-o", "out")[0], 0)
        names = {n.split(".")[0] for n in self.dump(self.dir / "out")}
        self.assertEqual(names, {"prelude", "shop/agg"})
        self.assertEqual(self.dump(self.dir / "out")["shop/agg.bson"], self.dump(DATA / "out/final")["shop/agg.bson"])

    def test_what_is_refused_leaves_nothing(self):
        shutil.copytree(DATA / "crud/full", self.dir / "full")
        last = split_documents(self.read("full/oplog.bson"))[-1]
        command = document(string("op", "c"), string("ns", "shop.$cmd"), field(3, "o", document(string("convertToCapped", "a"), int32("size", 4096))),
                           timestamp("ts", 4000000000, 1))
        self.write("inc.bson", last + command)
        before = self.files()
        self.fails(1, f"{{}}: inc.bson: offset {len(last)}: document 2: the command convertToCapped of shop.a cannot be followed: which documents it keeps, the server "
                   "alone knows (MongoDB 4.0 and older log it); apply up to before it (--before 4000000000:1)\n",
                   "apply", "--full", "full", "inc.bson", "-o", "out")
        self.write("inc.bson", last + entry(4000000000)[:-3])
        code, out, err = self.run_tool("apply", "--full", "full", "inc.bson", "-o", "out")
        self.assertEqual(code, 1)
        self.assertIn("the stream ends inside a document", err)
        self.assertEqual(self.files(), before)

    def test_one_collection_to_a_pipe(self):
        for name, ns in (("crud", "shop.a"), ("out", "shop.*"), ("timeseries", "shop.ts*")):
            with self.subTest(name):
                self.assertEqual(self.run_tool("apply", "-q", *self.inputs(name), "--ns", ns, "-o", name)[0], 0)
                files = sorted(n for n in self.dump(self.dir / name) if n.endswith(".bson"))
                if len(files) > 1:
                    code, out, err = self.run_tool("apply", *self.inputs(name), "--ns", ns, "-o", "-")
                    self.assertEqual((code, out), (2, MARK))
                    self.assertRegex(err, rf"oplog-apply: -o - writes the documents of one collection, and here are {len(files)}: shop\..*; name one with --ns\n")
                    ns = "shop." + files[0].split("/")[1].removesuffix(".bson").removeprefix("system.buckets.")
                    files = files[:1]
                self.assertEqual(self.good("apply", *self.inputs(name), "--ns", ns, "-o", "-"), self.read(f"{name}/{files[0]}"))

    def test_one_collection_as_of_a_time(self):
        point = self.last(chain("crud")[1])
        self.assertEqual(self.run_tool("apply", "-q", *self.inputs("crud"), "--to", point, "-o", "at")[0], 0)
        code, out, err = self.shell(f"oplog-apply --full {DATA}/crud/full {DATA}/crud/inc* --to {point} --ns shop.a -o- | oplog-cat")
        self.assertEqual((code, out, err), (0, self.good("cat", "at/shop/a.bson"), ""))

    def test_no_empty_stream_for_what_is_not_there(self):
        last = self.last(chain("crud")[-1])
        for option in (["-o", "-"], ["-o-"], ["--output", "-"], ["--output=-"]):
            self.fails(1, f"{{}}: warning: --ns shop.none: no collection matches\n{{}}: no such collection at {last} (2026-11-22T12:58:59Z)\n", "apply", *self.inputs("crud"), "--ns", "shop.none", *option, out=MARK)
        self.usage("--gzip is for a directory, not for -o -", "apply", *self.inputs("crud"), "--gzip", "-o", "-", out=MARK)
        self.fails(1, f"{{}}: {DATA}/crud/full: the full dump is consistent from {self.last(chain('crud')[0])} (2026-11-22T12:58:58Z) on: there is no earlier state to be made\n",
                   "apply", *self.inputs("crud"), "--to", "2020-01-01T00:00:00Z", "--ns", "shop.a", "-o", "-", out=MARK)

    def test_a_damaged_collection_leaves_nothing(self):
        shutil.copytree(DATA / "crud/full", self.dir / "full")
        whole = self.read("full/shop/a.bson")
        self.write("full/shop/a.bson", whole[:-1])
        before = self.files()
        code, out, err = self.run_tool("apply", "--full", "full", *sorted((DATA / "crud").glob("inc*")), "-o", "out")
        self.assertEqual(code, 1)
        self.assertTrue(err.startswith("oplog-apply: full/shop/a.bson: offset "), err)
        self.assertEqual(self.files(), before)

    def test_usage(self):
        self.usage("name the full dump: --full DUMP", "apply", chain("crud")[1], "-o", "out")
        self.usage("name the directory to make: -o OUT", "apply", *self.inputs("crud"))
        self.usage("--jobs 0 is not a number from 1 to 999", "apply", *self.inputs("crud"), "-o", "out", "--jobs", "0")
        (self.dir / "out").mkdir()
        self.fails(2, "{}: out: File exists\nhint: --force replaces it\n", "apply", *self.inputs("crud"), "-o", "out")
        self.assertEqual(self.run_tool("apply", "-q", "--force", "--jobs", "1", *self.inputs("crud"), "-o", "out")[0], 0)
        shutil.copytree(DATA / "crud/full", self.dir / "full")
        self.usage("the output full/new lies in the input full", "apply", "--full", "full", "-o", "full/new")

    def test_what_is_read_is_never_replaced(self):
        shutil.copytree(DATA / "crud/full", self.dir / "full")
        increment = chain("crud")[1]
        shutil.copy(increment, self.dir / "inc.bson")
        self.good("apply", "-q", "--full", "full", "--archive", "-o", "full.archive", increment)
        before = {name: self.read(name) for name in self.files() if (self.dir / name).is_file()}
        for output in ("full.archive", "full/oplog.bson", "full/shop/a.bson", "full/new", "inc.bson"):
            full = "full.archive" if output == "full.archive" else "full"
            why = f"the output {output} " + ("is an input" if output in (full, "inc.bson", "full/oplog.bson") else "lies in the input full")
            for tool, more in (("apply", ("--archive",)), ("history", ("--ns", "shop.a"))):
                self.usage(why, tool, "-q", "--force", "--full", full, "inc.bson", *more, "-o", output)
            self.usage(why, "apply", "-q", "--force", "--full", full, "inc.bson", "--archive", "-o", "out", "--options-to", output)
        self.usage("--options-to is the output", "apply", "-q", "--full", "full", "--archive", "-o", "out", "--options-to", "./out")
        code, _, err = self.shell("cd full && oplog-apply -q --full . --archive -o new")
        self.assertEqual((code, err), (2, "oplog-apply: the output new lies in the input .\nhint: oplog-apply --help\n"))
        self.write("other", b"x")
        self.fails(2, "{}: other: File exists\nhint: --force replaces it\n", "apply", "-q", "--full", "full", "--archive", "-o", "out", "--options-to", "other")
        self.assertEqual({name: self.read(name) for name in before}, before)
        self.assertFalse((self.dir / "out").exists())

    def test_what_a_capped_collection_has_is_what_the_source_has(self):
        for version, kept in (("4.4", [3, 4]), ("5.0", [1, 2, 3, 4]), ("6.0", [1, 2, 3, 4])):
            made = MadeChain(self)
            made.dump("admin.system.version", 9, [{"_id": "featureCompatibilityVersion", "version": version}])
            made.dump("shop.a", 1, [{"_id": 1}, {"_id": 2}, {"_id": 3}], options={"capped": True, "size": 4096, "max": 2})
            made.insert("shop.a", {"_id": 4})
            for how in ((), ("--archive",)):
                code, _, err = self.run_tool("apply", *made.write(), *how, "-f", "-o", "out" + "".join(how))
                self.assertEqual(code, 0, err)
                self.assertEqual("warning: shop.a, a capped collection, has more than its size allows" in err, len(kept) == 4, err)
            self.assertEqual([json.loads(line)["_id"] for line in self.good("cat", "--relaxed", "out/shop/a.bson").splitlines()], kept)
        self.write("full/admin/system.version.bson", b"damaged")
        self.good("apply", "-q", *made.write(), "--exclude-ns", "admin.*", "-f", "-o", "out")

    def test_a_view_that_takes_the_name_of_a_collection_is_refused(self):
        """The entry in which the collection went is missing."""
        for taken in (True, False):
            made = MadeChain(self)
            made.dump("shop.a", 1, [{"_id": 1}])
            if not taken:
                made.drop("shop.a")
            made.insert("shop.system.views", {"_id": "shop.a", "viewOn": "b", "pipeline": []})
            inputs = made.write()
            for how in (("--archive",), ()):
                if taken:
                    code, _, err = self.run_tool("apply", "-q", *inputs, *how, "-o", "out")
                    self.assertEqual((code, "inc.bson: offset " in err, "the view shop.a, which is there already: entries are missing in which the other one went" in err), (1, True, True), err)
                else:
                    self.good("apply", "-q", *inputs, *how, "-o", "as" + "".join(how))
            code, _, err = self.run_tool("stage", *inputs, "-f", "-o", "staged")
            self.assertEqual((code, "the view shop.a, which is there already: entries are missing in which the other one went" in err), (int(taken), taken), err)
            self.assertEqual(self.run_tool("verify", *inputs)[0], int(taken))

    def test_a_new_name_that_another_collection_has_is_refused(self):
        made = MadeChain(self)
        made.dump("shop.a", 1, [{"_id": 1}])
        made.dump("shop.b", 2, [{"_id": 2}])
        made.dump("shop.c", 3)
        inputs = made.write()
        for to in ("shop.b", "shop.c"):
            for how in (("--archive",), ()):
                self.fails(2, f"{{}}: cannot rename: there would be two collections {to}\n", "apply", "-q", *inputs, "--rename", f"shop.a={to}", *how, "-o", "out")
        self.good("apply", "-q", *inputs, "--rename", "shop.a=shop.b", "--rename", "shop.b=shop.a", "--archive", "-o", "out")
        self.good("apply", "-q", *inputs, "--rename", "shop.a=shop.b", "--exclude-ns", "shop.b", "--archive", "-f", "-o", "out")


if __name__ == "__main__":
    unittest.main()

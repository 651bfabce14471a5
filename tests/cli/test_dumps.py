#!/usr/bin/env python3
"""Full dumps that are not whole, are ambiguous, or hold what no dump holds: verify, stage and apply say the same of them."""
import gzip
import hashlib
import base64
import json
import os
import shutil
import socket
import unittest
import urllib.parse

from support import ToolTest, document, entries, entry, int32

HINT = "(--exclude-ns leaves the collection out)"


def metadata(name, kind="collection", uuid=None, options=None, indexes=({"v": 2, "key": {"_id": 1}, "name": "_id_"},)):
    text = {**({"options": options} if options else {}), "indexes": list(indexes), **({"uuid": uuid} if uuid else {}), "collectionName": name, "type": kind}
    return json.dumps(text).encode()


class Dumps(ToolTest):
    def setUp(self):
        super().setUp()
        self.write("full/oplog.bson", entries(1))
        self.write("full/prelude.json", b'{"ServerVersion":"6.0.5"}')
        self.collection("shop/a")
        self.write("inc.bson", entries(1, 2))

    def collection(self, path, **options):
        self.write(f"full/{path}.bson", document(int32("_id", 1)))
        self.write(f"full/{path}.metadata.json", metadata(path.split("/")[1], **options))

    def remove(self, *paths):
        for path in paths:
            os.remove(self.dir / path)

    def each(self, *args, full="full"):
        """(tool, its run) of each of the tools that take a dump."""
        for tool in ("verify", "stage", "apply"):
            output = [] if tool == "verify" else ["-o", tool]
            yield tool, self.run_tool(tool, "--full", full, "inc.bson", *output, *(args if tool != "verify" else ()))
            shutil.rmtree(self.dir / tool, ignore_errors=True)

    def refused(self, message, *args, code=1):
        before = self.files()
        for tool, (got, out, err) in self.each(*args):
            self.assertEqual((got, out, err), (code, b"", f"oplog-{tool}: {message}\n"))
        self.assertEqual(self.files(), before)

    def accepted(self, *warnings):
        """All take it, with these warnings and no others."""
        for tool, (code, out, err) in self.each():
            self.assertEqual(code, 0, err)
            if tool != "verify":
                lines = [line for line in err.splitlines() if "to restore it: mongorestore" not in line]
                self.assertEqual(lines, [f"oplog-{tool}: warning: {text}" for text in warnings])
            else:
                self.assertEqual([line for line in out.decode().splitlines() if line.startswith("warning")], [f"warning: {text}" for text in warnings])

    # ---- not whole ----

    def test_a_whole_dump_is_taken_without_a_word(self):
        self.collection("shop/empty")
        self.write("full/shop/empty.bson", b"")
        self.write("full/shop/v.metadata.json", metadata("v", "view", options={"viewOn": "a", "pipeline": []}, indexes=[]))
        self.write("full/shop/old_view.metadata.json", b'{"options":{"viewOn":"a","pipeline":[]},"indexes":[]}')
        self.write("full/shop/ts.metadata.json", metadata("ts", "timeseries", options={"timeseries": {"timeField": "t"}}, indexes=[]))
        self.write("full/shop/system.buckets.ts.bson", b"")
        self.write("full/shop/prelude.json", b"{}")
        os.mkdir(self.dir / "full/empty_database")
        self.accepted()

    def test_metadata_is_empty_only_where_a_mongodump_without_a_prelude_wrote_it(self):
        self.write("full/shop/old.bson", document(int32("_id", 1)))
        self.write("full/shop/old.metadata.json", b"")
        self.refused("full/shop/old.metadata.json: empty")
        self.remove("full/prelude.json")
        self.accepted()

    def test_a_time_series_with_a_long_name_comes_out_as_mongorestore_finds_it(self):
        """It reads the name from the metadata beside the buckets, where mongodump leaves none."""
        def file_name(name):
            escaped = urllib.parse.quote(name, safe="-_.~")
            if len(escaped) <= 238:
                return escaped
            return escaped[:208] + "%24" + base64.urlsafe_b64encode(hashlib.sha1(name.encode()).digest()).decode().rstrip("=")
        series = ("t" * 235, "\u00e9" * 117)
        copies = []
        for name in series:
            text = metadata(name, "timeseries", options={"timeseries": {"timeField": "t"}}, indexes=[])
            self.write(f"full/shop/{file_name(name)}.metadata.json", text)
            self.write(f"full/shop/{file_name('system.buckets.' + name)}.bson", b"")
            copies.append((f"shop/{file_name('system.buckets.' + name)}.metadata.json", text))
        self.accepted()
        for tool, inputs in (("stage", "full"), ("apply", "full"), ("apply", "apply1")): # the last from a dump that has the copies
            self.assertEqual(self.run_tool(tool, "-q", "--full", inputs, "inc.bson", "-o", f"{tool}{len(inputs) - 3}"), (0, b"", ""))
            for path, text in copies:
                self.assertEqual(json.loads((self.dir / f"{tool}{len(inputs) - 3}" / path).read_bytes()), json.loads(text))
        self.assertEqual(self.run_tool("apply", "-q", "--gzip", "--full", "full", "inc.bson", "-o", "packed")[0], 0)
        self.assertEqual(json.loads(gzip.decompress((self.dir / "packed" / (copies[0][0] + ".gz")).read_bytes())), json.loads(copies[0][1]))

    def test_missing_documents_are_a_refusal_that_names_the_file(self):
        for name, kind, options, file in (("big", "collection", None, "big"), ("ts", "timeseries", {"timeseries": {"timeField": "t"}}, "system.buckets.ts"),
                                          ("a/b c", "collection", None, "a%2Fb+c"), ("old", None, None, "old")):
            path = "full/shop/" + name.replace("/", "%2F").replace(" ", "+") + ".metadata.json"
            self.write(path, metadata(name, kind, options=options) if kind else b"{}")
            message = f"full/shop/{file}.bson: missing, and with it the documents of shop.{name}: the dump is not whole {HINT}"
            self.refused(message)
            self.refused(message, "--exclude-ns", "shop.a")
            for tool in ("stage", "apply"):
                self.assertEqual(self.run_tool(tool, "-q", "--full", "full", "inc.bson", "--exclude-ns", f"shop.{name}", "-o", tool), (0, b"", ""))
                self.assertFalse((self.dir / tool / "shop" / os.path.basename(path)).exists())
                shutil.rmtree(self.dir / tool)
            self.remove(path)

    def test_a_missing_file_is_named_as_compressed_as_the_other(self):
        shutil.rmtree(self.dir / "full/shop")
        self.write("full/shop/b.metadata.json.gz", gzip.compress(metadata("b")))
        self.refused(f"full/shop/b.bson.gz: missing, and with it the documents of shop.b: the dump is not whole {HINT}")

    def test_missing_metadata_of_documents_is_a_refusal_that_names_the_file(self):
        for file, name, lacking in (("big", "big", "big"), ("system.buckets.ts", "system.buckets.ts", "ts"), ("%C3%A4", "ä", "%C3%A4")):
            self.write(f"full/shop/{file}.bson", document(int32("_id", 1)))
            self.refused(f"full/shop/{lacking}.metadata.json: missing, and with it the options and indexes of shop.{name}: the dump is not whole {HINT}")
            for tool in ("stage", "apply"):
                self.assertEqual(self.run_tool(tool, "-q", "--full", "full", "inc.bson", "--exclude-ns", f"shop.{name.removeprefix('system.buckets.')}", "-o", tool), (0, b"", ""))
                shutil.rmtree(self.dir / tool)
            self.remove(f"full/shop/{file}.bson")

    def test_missing_metadata_of_no_documents_is_that_of_a_collection_dropped_as_the_dump_began(self):
        self.write("full/shop/gone.bson", b"")
        warning = "full/shop/gone.metadata.json: missing, and full/shop/gone.bson has no documents: shop.gone is taken for dropped"
        self.accepted(warning)
        self.run_tool("stage", "--full", "full", "inc.bson", "-o", "staged")
        self.assertEqual(sorted(os.listdir(self.dir / "staged/shop")), ["a.bson", "a.metadata.json"])

    def test_documents_that_belong_to_none(self):
        self.write("full/shop/v.metadata.json", metadata("v", "view", options={"viewOn": "a", "pipeline": []}, indexes=[]))
        self.write("full/shop/system.buckets.v.bson", document(int32("_id", 1)))
        self.refused("full/shop/system.buckets.v.bson: documents of shop.v, which is a view by full/shop/v.metadata.json")
        self.write("full/shop/v.metadata.json", metadata("v"))
        self.refused(f"full/shop/v.bson: missing, and with it the documents of shop.v: the dump is not whole {HINT}")

    # ---- ambiguous ----

    def test_two_files_for_one_thing_are_refused_by_both_names(self):
        which = "which of them is of this dump?"
        for one, other, reason in (("shop/a.bson", "shop/a.bson.gz", which), ("shop/a.metadata.json", "shop/a.metadata.json.gz", which),
                                   ("oplog.bson", "oplog.bson.gz", which), ("prelude.json", "prelude.json.gz", which),
                                   ("shop/%61.bson", "shop/a.bson", "both are of shop.a"), ("shop/%61.metadata.json", "shop/a.bson", "both are of shop.a"),
                                   ("shop/a%20b.bson", "shop/a+b.bson", "both are of shop.a b")):
            made = [f"full/{path}" for path in (one, other) if not (self.dir / "full" / path).exists()]
            for path in made:
                self.write(path, gzip.compress(b"") if path.endswith(".gz") else b"")
            self.refused(f"full/{one} and full/{other}: {reason}")
            self.remove(*made)
        self.accepted()

    def test_a_hash_is_of_one_collection(self):
        name = "x" * 240
        file = "x" * 208 + "%24" + base64.urlsafe_b64encode(hashlib.sha1(name.encode()).digest()).decode().rstrip("=")
        other = "y" + file[1:]
        self.write(f"full/shop/{file}.bson", b"")
        self.write(f"full/shop/{file}.metadata.json", metadata(name))
        self.accepted()
        for end in (".bson", ".metadata.json"):
            shutil.copy(self.dir / f"full/shop/{file}{end}", self.dir / f"full/shop/{other}{end}")
        self.refused(f"full/shop/{file}.bson and full/shop/{other}.bson: both are of shop.{name}")
        self.write(f"full/shop/{other}.metadata.json", b"{}")
        self.refused(f"full/shop/{other}.metadata.json: no collectionName says which collection this is")
        self.remove(f"full/shop/{other}.metadata.json")
        self.refused(f"full/shop/{other}.bson: no metadata says which collection this is")

    def test_the_oplog_of_a_dump_and_one_that_was_dumped_are_two(self):
        self.collection("local/oplog.rs")
        self.refused("full/oplog.bson and full/local/oplog.rs.bson: two oplogs")
        self.fails(1, "{}: full/oplog.bson and full/local/oplog.rs.bson: two oplogs in one directory: name the file that is meant\n", "range", "full")

    def test_an_increment_with_two_oplogs_is_refused(self):
        for one, other in (("oplog.bson", "oplog.bson.zst"), ("local/oplog.rs.bson", "local/oplog.rs.bson.gz")):
            shutil.rmtree(self.dir / "inc", ignore_errors=True)
            self.write(f"inc/{one}", entries(1, 2))
            self.good("range", "inc")
            self.write(f"inc/{other}", entries(1, 2, 3))
            for args in (["range", "inc"], ["cat", "inc"], ["verify", "inc"], ["stage", "--full", "full", "inc", "-o", "out"], ["apply", "--full", "full", "inc", "-o", "out"]):
                self.fails(1, f"{{}}: inc/{one} and inc/{other}: two oplogs in one directory: name the file that is meant\n", *args)

    def test_plain_and_compressed_collections_in_one_dump_are_refused(self):
        self.write("full/shop/b.bson.gz", gzip.compress(b""))
        self.write("full/shop/b.metadata.json.gz", gzip.compress(metadata("b")))
        self.refused("full/shop/b.metadata.json.gz and full/shop/a.metadata.json: mongorestore reads either compressed files, with --gzip, or plain ones, and passes over the others")

    def test_a_name_that_is_no_escape_is_refused(self):
        self.collection("shop/a%zz")
        self.refused("full/shop/a%zz.bson: no collection's name, escaped as mongodump does it")

    def test_a_name_that_no_mongorestore_takes_is_refused(self):
        for file, why in (("a%24b", "a collection's name has no $ or NUL in it"), (".a", "a collection's name does not begin with a dot")):
            self.collection(f"shop/{file}")
            self.refused(f"full/shop/{file}.bson: {why}, and no mongorestore takes this one")
            self.remove(f"full/shop/{file}.bson", f"full/shop/{file}.metadata.json")

    # ---- what is no file ----

    def test_what_is_no_regular_file_is_refused_at_once(self):
        def bound(path):
            with socket.socket(socket.AF_UNIX) as made:
                directory = os.open(path.parent, os.O_PATH)
                made.bind(f"/proc/self/fd/{directory}/{path.name}")
                os.close(directory)
        makers = {"FIFO": os.mkfifo, "link to a device": lambda path: os.symlink("/dev/zero", path), "socket": bound,
                  "link to a FIFO": lambda path: (os.mkfifo(self.dir / "elsewhere"), os.symlink(self.dir / "elsewhere", path))}
        for what, make in makers.items():
            for path in ("oplog.bson", "prelude.json", "shop/a.bson", "shop/a.metadata.json", "shop/p.bson", "shop/p.metadata.json"):
                with self.subTest(what=what, path=path):
                    place = self.dir / "full" / path
                    old = place.read_bytes() if place.exists() else None
                    self.remove(place) if old is not None else None
                    make(place)
                    self.refused(f"full/{path}: neither a regular file nor a link to one")
                    self.remove(place, *(["elsewhere"] if (self.dir / "elsewhere").exists() else []))
                    self.write(place, old) if old is not None else None
        self.accepted()

    def test_an_increment_directory_whose_oplog_is_a_fifo_is_refused_at_once(self):
        os.makedirs(self.dir / "inc/local")
        os.mkfifo(self.dir / "inc/local/oplog.rs.bson")
        message = "{}: inc/local/oplog.rs.bson: neither a regular file nor a link to one\n"
        for args in (["range", "inc"], ["slice", "inc"], ["cat", "inc"], ["stats", "inc"], ["filter", "inc"], ["verify", "inc"], ["verify", "--full", "full", "inc"],
                     ["stage", "--full", "full", "inc", "-o", "out"], ["apply", "--full", "full", "inc", "-o", "out"]):
            self.fails(1, message, *args, out=None)

    def test_a_fifo_that_is_named_is_read(self):
        for tool in ("verify", "stage -o staged", "apply -o applied"):
            code, _, err = self.shell(f"oplog-{tool} -q --full full <(cat inc.bson)")
            self.assertEqual((code, err), (0, ""))

    def test_links_to_files_are_as_good_as_files(self):
        for path in ("oplog.bson", "prelude.json", "shop/a.bson", "shop/a.metadata.json"):
            os.makedirs(self.dir / "disk2/shop", exist_ok=True)
            os.rename(self.dir / "full" / path, self.dir / "disk2" / path)
            os.symlink(self.dir / "disk2" / path, self.dir / "full" / path)
        os.symlink("full", self.dir / "latest")
        self.accepted()
        self.assertEqual([run[0] for _, run in self.each(full="latest")], [0, 0, 0])

    def test_links_to_directories_and_to_nothing_are_refused(self):
        os.makedirs(self.dir / "elsewhere")
        for place in ("full/linked", "full/shop/linked", "full/shop/x.bson", "full/oplog.bson.gz"):
            os.symlink(self.dir / "elsewhere", self.dir / place)
            self.refused(f"{place}: a link to a directory, which no dump has")
            self.remove(place)
        os.symlink("..", self.dir / "full/round")
        self.refused("full/round: a link to a directory, which no dump has")
        self.remove("full/round")
        os.symlink("nowhere", self.dir / "full/shop/b.bson")
        self.refused("full/shop/b.bson: No such file or directory", code=2)

    def test_strays_are_named_and_passed_over(self):
        self.write("full/x.bson", document(int32("_id", 1)))
        self.write("full/y.bson/z.bson", document(int32("_id", 1)))
        self.write("full/shop/sub.bson/a.bson", document(int32("_id", 1)))
        self.write("full/shop/notes.txt", b"mine")
        self.write("full/shop/.bson", b"")
        self.write("full/shop/a.bson.tmp", b"")
        os.mkfifo(self.dir / "full/pipe")
        os.symlink("user@host", self.dir / "full/shop/.#a.bson.lock")
        strays = ["full/pipe", "full/shop/.#a.bson.lock", "full/shop/.bson", "full/shop/a.bson.tmp", "full/shop/notes.txt", "full/shop/sub.bson", "full/x.bson", "full/y.bson"]
        self.accepted(*(f"{path}: belongs to no dump, and is passed over" for path in strays))
        self.run_tool("stage", "--full", "full", "inc.bson", "-o", "staged")
        self.assertEqual([name for name in self.files() if name.startswith("staged/")],
                         ["staged/oplog.bson", "staged/prelude.json", "staged/shop", "staged/shop/a.bson", "staged/shop/a.metadata.json"])

    def test_the_record_of_a_backup_is_passed_over_without_a_word(self):
        self.write("full/step.json", b"{}")
        self.accepted()
        os.mkdir(self.dir / "kept")
        self.write("kept/step.json", b"{}")
        code, _, err = self.run_tool("stage", "-f", "--full", "full", "inc.bson", "-o", "kept")
        self.assertEqual((code, err.splitlines()[0]), (2, "oplog-stage: kept holds other things than a dump: not replaced"))

    # ---- metadata ----

    def test_bad_metadata_is_refused_by_file_and_reason(self):
        uuid = "0123456789abcdef0123456789abcdef"
        index = {"v": 2, "key": {"x": 1}, "name": "x_1"}
        for text, reason in (
                *((metadata("a", uuid=bad), f"uuid '{bad}' is not 32 hexadecimal digits") for bad in
                  ("z" * 32, "-1" * 16, "0x" * 16, " 1" * 16, uuid[1:], uuid + "0", uuid[:30], f"{uuid[:8]}-{uuid[8:]}", "+1" * 16)),
                (b'{"uuid":5}', None), (b'{"uuid":"","uuid":""}', "the metadata has the key 'uuid' twice"),
                (metadata("a", indexes=[{"v": 2, "key": {"x": 1}}]), 'an index has no name or no key: {"v":{"$numberInt":"2"},"key":{"x":{"$numberInt":"1"}}}'),
                (metadata("a", indexes=[{"v": 2, "name": "x_1"}]), 'an index has no name or no key: {"v":{"$numberInt":"2"},"name":"x_1"}'),
                (metadata("a", indexes=[{**index, "name": 1}]), None), (metadata("a", indexes=[5]), None), (b'{"indexes":{}}', None), (b'{"options":[]}', None),
                (b'{"options":{"capped":true,"capped":false}}', "the options have the key 'capped' twice"),
                (metadata("a", options={"timeseries": 1}), "the option timeseries has a wrong type"), (metadata("a", options={"viewOn": 1}), "the option viewOn has a wrong type"),
                (metadata("a", options={"timeseries": {"timeField": 1}}), "the option timeField has a wrong type"),
                (metadata("a", options={"collation": "de"}), "the option collation has a wrong type"),
                (metadata("a")[:-1], None), (metadata("a") + b"x", None), (b"\0", None), (b"BSON", None)):
            with self.subTest(text):
                self.write("full/shop/a.metadata.json", text)
                before = self.files()
                for tool, (code, out, err) in self.each():
                    self.assertEqual((code, out), (1, b""))
                    self.assertRegex(err, r"\Aoplog-%s: full/shop/a\.metadata\.json: [^\n]+\n\Z" % tool)
                    if reason is not None:
                        self.assertEqual(err, f"oplog-{tool}: full/shop/a.metadata.json: {reason}\n")
                self.assertEqual(self.files(), before)
        self.write("full/shop/a.metadata.json", metadata("a", uuid=uuid.upper()))
        self.accepted()

    def test_metadata_of_what_is_left_out_is_not_read(self):
        self.collection("shop/b", uuid="z" * 32)
        for tool in ("stage", "apply"):
            self.assertEqual(self.run_tool(tool, "-q", "--full", "full", "inc.bson", "--exclude-ns", "shop.b", "-o", tool), (0, b"", ""))

    def test_dates_that_are_none_are_refused(self):
        for date in ("2021-99-99T99:99:99Z", "2021-01-12T03:29:nanZ", "2021-01-12T03:29:infZ", "2021-01-12T03:29:0x10Z", "2021--1--2T-3:29:55Z", "2021-02-29T00:00:00Z",
                     "2021-01-12T24:00:00Z", "2021-01-12T03:60:00Z", "2021-01-12T03:29:60Z", "2021-01-12T03:29:55", "2021-01-12 03:29:55Z", "2021-01-12T03:29:55.Z",
                     "2021-01-12T03:29:55,5Z", "2021-01-12T03:29:55Zx", "2021-01-12T03:29:55+25:00", "2021-01-12T03:29:55+01:60", "2021-01-12T03:29:55+1", " 2021-01-12T03:29:55Z", ""):
            self.write("full/shop/a.metadata.json", metadata("a", options={"validator": {"d": {"$gt": {"$date": date}}}}))
            code, _, err = self.run_tool("verify", "--full", "full", "inc.bson")
            self.assertEqual((code, f": '{date}' is no date\n" in err), (1, True), err)
            self.assertRegex(err, r"\Aoplog-verify: full/shop/a\.metadata\.json: JSON: byte \d+: [^\n]+\n\Z")

    def test_a_bomb_ends_at_a_limit(self):
        for path, bomb in (("shop/a.metadata.json", b'{"options":{"x":"' + b"a" * (65 << 20)), ("shop/a.metadata.json", b" " * (65 << 20)),
                           ("shop/a.metadata.json", b'{"options":{"x":[' + b"0," * (20 << 20))):
            self.remove("full/shop/a.bson", "full/shop/a.metadata.json")
            self.write("full/shop/a.bson.gz", gzip.compress(b""))
            self.write(f"full/{path}.gz", gzip.compress(bomb, 1))
            for tool, (code, _, err) in self.each():
                self.assertEqual(code, 1)
                self.assertRegex(err, r"\Aoplog-%s: full/shop/a\.metadata\.json\.gz: (more than 64 MiB|JSON: byte \d+: more than 33554432 bytes as BSON)\n\Z" % tool)
            self.remove("full/shop/a.bson.gz", f"full/{path}.gz")
            self.collection("shop/a")
        self.remove("full/prelude.json")
        self.write("full/prelude.json.gz", gzip.compress(b" " * (65 << 20), 1))
        code, _, err = self.run_tool("apply", "--full", "full", "inc.bson", "-o", "out")
        self.assertEqual((code, err), (1, "oplog-apply: full/prelude.json.gz: more than 64 MiB\n"))


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""Bad input: an exact message and exit code each; no crash, no hang, no file under the final name, nothing left beside it."""
import concurrent.futures
import gzip
import os
import shutil
import struct
import time
import unittest

from support import BSON_TOOLS, LIMIT, MARK, TOOLS, ToolTest, chain, document, entries, entry, field, int32, nested, split_documents, string, timestamp

SIZE = len(entry(100))
ORDERED = ("range", "slice", "split", "merge")  # those that want an oplog, not any BSON


class BadInput(ToolTest):
    def bad(self, data, reason, tools=TOOLS, after=b""):
        """Every tool fails on `after` + `data` at the place where `data` begins, from a file and from stdin."""
        number = len(split_documents(after)) + 1
        for name in ("bad.bson", "-"):
            message = f"{{}}: {name}: offset {len(after)}: document {number}: {reason}\n"
            if name == "-":
                os.unlink(self.dir / "bad.bson")
            else:
                self.write(name, after + data)
            for tool in tools:
                self.fails_on(tool, 1, message, name, **({"stdin": after + data} if name == "-" else {}))
        # A file is not made, and a stream ends in the mark after what was good.
        self.write("bad.bson", after + data)
        for tool in set(BSON_TOOLS) & set(tools):
            message = f"{{}}: bad.bson: offset {len(after)}: document {number}: {reason}\n"
            self.fails(1, message, tool, "bad.bson", "-o", "out.bson")
            self.fails(1, message, tool, "bad.bson", out=after + MARK)
        if "cat" in tools:
            self.fails(1, f"{{}}: bad.bson: offset {len(after)}: document {number}: {reason}\n", "cat", "bad.bson", "-o", "out.json")
        self.assertEqual(self.files(), ["bad.bson"])

    def both(self, data, reason, tools=TOOLS):
        """As a first document and after good ones."""
        self.bad(data, reason, tools)
        self.bad(data, reason, tools, after=entries(1, 2))

    def test_an_empty_file_is_an_oplog_without_entries(self):
        self.write("empty.bson", b"")
        self.assertEqual(self.good("range", "empty.bson"), b"- - 0 0 empty.bson\n")
        for tool in ("slice", "merge", "cat"):
            self.assertEqual(self.good(tool, "empty.bson"), b"")
            self.good(tool, "empty.bson", "-o", f"{tool}.out")
            self.assertEqual(self.read(f"{tool}.out"), b"")
        self.assertEqual(self.good("split", "--entries", "1", "-o", "pieces", "empty.bson"), b"")

    def test_stray_bytes_are_an_error(self):
        for count in (1, 2, 3):
            self.both(b"\x20\0\0"[:count], f"the stream ends inside a document: {count} stray bytes")
        self.both(b"\x20\0\0\0", "the stream ends inside a document: 4 stray bytes")

    def test_impossible_lengths_are_an_error(self):
        for length in (0, 1, 4, -1, -(1 << 31)):
            for rest in (b"", b"\0", b"x" * 100):
                self.both(struct.pack("<i", length) + rest, f"impossible document length {length}")

    def test_a_length_over_the_limit_is_an_error_and_nothing_is_allocated_for_it(self):
        for length in ((1 << 31) - 1, LIMIT + 1):
            for rest in (b"", b"\x11ts\0" + b"x" * 100):
                self.both(struct.pack("<i", length) + rest, f"document length {length} is over the limit of {LIMIT}")

    def test_a_document_of_the_largest_size_works_and_one_byte_more_does_not(self):
        data = entry(50) + entry(100, size=LIMIT) + entry(200)
        self.write("large.bson", data)
        self.assertEqual(self.good("range", "large.bson"), f"50:1 200:1 3 {len(data)} large.bson\n".encode())
        self.assertEqual(self.good("slice", "large.bson"), data)
        self.assertEqual(self.good("merge", "--chain", "large.bson", "large.bson"), data)
        self.assertEqual(b"".join(self.read(p) for p in self.good("split", "--entries", "1", "-o", "pieces", "large.bson").decode().split()), data)
        self.assertEqual(len(self.good("cat", "large.bson").splitlines()), 3)
        shutil.rmtree(self.dir / "pieces")
        os.unlink(self.dir / "large.bson")
        self.bad(entry(100, size=LIMIT + 1), f"document length {LIMIT + 1} is over the limit of {LIMIT}")

    def test_truncation_at_any_byte_is_an_error_but_between_documents(self):
        real = b"".join(split_documents(chain("drop")[2].read_bytes())[:2])
        begins = [0]
        for one in split_documents(real):
            begins.append(begins[-1] + len(one))

        def check(cut):
            name = self.write(f"cut{cut}", real[:cut])
            begin = max(b for b in begins if b <= cut)
            for tool in TOOLS:
                args = (["--entries", "1", "-o", f"pieces{cut}"] if tool == "split" else []) + [name] + \
                       ([] if tool in ("range", "split") else ["-o", f"{tool}{cut}"])
                code, out, err = self.run_tool(tool, *args)
                if cut == begin:
                    self.assertEqual((code, err), (0, ""), (tool, cut))
                    continue
                rest = f"{cut - begin} stray bytes" if cut - begin < 5 else \
                    f"{cut - begin} of {begins[begins.index(begin) + 1] - begin} bytes"
                self.assertEqual((code, out, err), (1, b"", f"oplog-{tool}: {name}: offset {begin}: document {begins.index(begin) + 1}: "
                                                            f"the stream ends inside a document: {rest}\n"))
                self.assertFalse((self.dir / f"{tool}{cut}").exists() or (self.dir / f"pieces{cut}").exists())

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(check, range(len(real) + 1)))

    def test_garbage_after_a_good_document_is_an_error(self):
        self.bad(b"this is no BSON", f"document length {struct.unpack('<i', b'this')[0]} is over the limit of {LIMIT}", after=entries(1, 2))
        self.bad(b"\xff\xfe\xfd\xfc\xfb", "impossible document length -50462977", after=entries(1))

    def test_a_document_that_does_not_end_with_a_zero_byte_is_an_error(self):
        self.both(entry(100, 3)[:-1] + b"x", "the document does not end with a zero byte")

    def test_an_entry_without_ts_is_an_error_for_all_but_cat(self):
        for data in (document(), document(int32("_id", 1)), document(string("op", "i"), timestamp("tsx", 1, 1)),
                     document(field(3, "o", document(timestamp("ts", 1, 1))))):
            self.both(data, "no field 'ts': not an oplog entry", ORDERED)
            self.good("cat", stdin=data)

    def test_a_ts_of_another_type_is_an_error_for_all_but_cat(self):
        for article, kind, value in (("a date", 9, b"12345678"), ("an int64", 0x12, b"12345678"), ("a double", 1, b"\0" * 8), ("an int32", 0x10, b"1234"),
                                     ("a string", 2, b"\2\0\0\0x\0"), ("a document", 3, document()), ("a null", 0x0A, b""), ("an ObjectId", 7, b"1" * 12)):
            data = document(string("op", "i"), field(kind, "ts", value))
            self.both(data, f"field 'ts' is {article}, not a timestamp", ORDERED)
            self.good("cat", stdin=data)

    def test_values_that_run_past_their_document_are_an_error(self):
        self.both(document(field(2, "a", struct.pack("<i", 1000) + b"x\0"), timestamp("ts", 100, 3)), "string runs past the end of its document")
        self.both(document(field(2, "a", struct.pack("<i", -1) + b"x\0"), timestamp("ts", 100, 3)), "string runs past the end of its document", ORDERED)
        self.both(document(field(0x42, "a", b""), timestamp("ts", 100, 3)), "unknown BSON type 0x42")
        self.both(document(field(0x11, "ts", b"1234567")), "timestamp runs past the end of its document")

    def test_disorder_is_refused_but_by_range_and_cat(self):
        for after, data, reason in ((entries(5), entry(100, 3), "out of order: entry 100:3 after 100:5"), (entries(5), entry(100, 5), "entry 100:5 occurs twice in a row")):
            self.bad(data, reason, ("slice", "split", "merge"), after=after)
            code, out, err = self.run_tool("range", stdin=after + data)
            self.assertEqual((code, err), (1, f"oplog-range: -: offset {SIZE}: document 2: {reason}\n"))
            self.assertEqual(len(out.splitlines()), 1)
            self.assertEqual(len(self.good("cat", stdin=after + data).splitlines()), 2)

    def test_disorder_beyond_the_bounds_is_refused_too(self):
        self.fails(1, f"{{}}: -: offset {2 * SIZE}: document 3: out of order: entry 100:1 after 100:3\n", "slice", "--to", "100:2", stdin=entries(2, 3, 1), out=None)

    def test_disorder_from_file_to_file_is_refused_by_slice(self):
        self.write("a", entries(1, 2))
        self.write("b", entries(3))
        self.assertEqual(self.good("slice", "a", "b"), entries(1, 2, 3))
        self.fails(1, "{}: a: offset 0: document 1: out of order: entry 100:1 after 100:3\n", "slice", "b", "a", out=None)
        self.fails(1, "{}: a: offset 0: document 1: out of order: entry 100:1 after 100:2\n", "slice", "a", "a", "-o", "out")

    def test_nesting_of_250_levels_works(self):
        data = document(timestamp("ts", 100, 1), field(3, "o", nested(249)))
        self.assertEqual(self.good("cat", stdin=data).count(b'{"a":'), 248)
        self.assertEqual(self.good("slice", stdin=data), data)
        self.assertEqual(self.good("merge", stdin=data), data)
        self.assertEqual(self.good("range", "--last", stdin=data), b"100:1\n")
        self.assertEqual(self.good("range", "--last", stdin=document(field(3, "o", nested(249)), timestamp("ts", 100, 1))), b"100:1\n")

    def test_nesting_of_1000_levels_works_and_of_1001_and_100000_is_an_error(self):
        data = document(timestamp("ts", 100, 1), field(3, "o", nested(999)))
        self.assertEqual(self.good("slice", stdin=data), data)
        self.assertEqual(self.good("range", "--last", stdin=data), b"100:1\n")
        self.assertEqual(self.good("cat", stdin=data).count(b'{"a":'), 998)
        for levels in (1000, 100000):
            self.both(document(timestamp("ts", 100, 3), field(3, "o", nested(levels))), "nested more than 1000 levels deep")
            self.bad(document(field(3, "o", nested(levels)), timestamp("ts", 100, 3)), "nested more than 1000 levels deep")

    def test_cat_prints_what_comes_before_a_bad_document(self):
        self.fails(1, f"{{}}: -: offset {2 * SIZE}: document 3: the stream ends inside a document: 1 stray bytes\n", "cat", stdin=entries(1, 2) + b"x",
                   out=self.good("cat", stdin=entries(1, 2)))

    def test_cat_prints_what_comes_before_a_bad_value_once_however_much_follows(self):
        good, bad = entries(*range(30000)), document(timestamp("ts", 100, 30000), field(2, "s", struct.pack("<i", 2) + b"\xff\0"))
        bad = bad.replace(b"\xff\0", b"\xff\1")  # and no end
        self.fails(1, f"{{}}: -: offset {len(good)}: document 30001: string 's' does not end with a zero byte\n", "cat", stdin=good + bad + good * 8, out=self.good("cat", stdin=good))

    def test_arbitrary_bytes_never_crash_a_tool(self):
        import random
        seeded = random.Random(7)
        good = bytearray(entries(1, 2, 3))

        def check(data):
            for tool in TOOLS:
                args = ["--entries", "1", "-o", str(abs(hash(data)))] if tool == "split" else []
                code, _, err = self.run_tool(tool, *args, stdin=data)
                self.assertIn(code, (0, 1), (tool, err))
                said = [line for line in err.splitlines() if not line.startswith(("hint: ", "oplog-cat: warning: "))]
                self.assertEqual(len(said), code, err)

        cases = []
        for _ in range(100):
            data = bytearray(good)
            for _ in range(seeded.randrange(1, 5)):
                data[seeded.randrange(len(data))] = seeded.choice((0, 1, 2, 3, 4, 5, 0x7F, 0x80, 0xFF, seeded.randrange(256)))
            cases.append(bytes(data))
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(check, cases))


class DamagedEntries(ToolTest):
    """Documents whose frame is good and whose fields are not, after one that is good."""

    def each(self, tools, data, reason, **options):
        self.write("bad.bson", entries(1) + data + entries(3))
        for tool in tools:
            self.fails(1, f"{{}}: bad.bson: offset {SIZE}: document 2: {reason}\n", *tool.split(), "bad.bson", out=None, **options)
        self.assertEqual(self.files(), ["bad.bson"])

    def operation(self, *fields):
        return document(timestamp("ts", 100, 2), *fields)

    SESSION = field(3, "lsid", document(field(5, "id", struct.pack("<iB", 16, 4) + b"a" * 16)))
    EVERY_FIELD = ("stats", "filter --op i", "filter --ns shop.*", "filter --rename shop.*=test.*", "filter --no-noops", "stage")
    TRACKING = ("slice", "slice --txn keep", "slice --txn extend", "slice --txn trim", "slice --txn fail")

    def test_an_op_of_another_type_is_an_error_with_its_place(self):
        self.each((*self.TRACKING, *self.EVERY_FIELD, "range --long", "range --json"), self.operation(int32("op", 1)), "field 'op' is an int32, not a string")

    def test_other_fields_of_another_type_are_errors_with_their_place(self):
        o = field(3, "o", document())
        self.each(self.EVERY_FIELD, self.operation(string("op", "i"), int32("ns", 1), o), "field 'ns' is an int32, not a string")
        self.each(self.EVERY_FIELD, self.operation(string("op", "i"), string("ns", "shop.a"), int32("o", 1)), "field 'o' is an int32, not a document")
        self.each(("range --long", "range --json"), self.operation(string("op", "i"), int32("wall", 1)), "field 'wall' is an int32, not a date")
        self.each(("range --long", "range --json"), self.operation(string("op", "i"), string("t", "x")), "field 't' is a string, not a number")

    def test_session_fields_of_another_type_are_errors_with_their_place(self):
        o = field(3, "o", document(field(4, "applyOps", document())))
        for tools in (self.TRACKING, ("stats", "stage")):
            self.each(tools, self.operation(string("op", "c"), string("ns", "admin.$cmd"), o, int32("lsid", 1)), "field 'lsid' is an int32, not a document")
            self.each(tools, self.operation(string("op", "c"), string("ns", "admin.$cmd"), o, self.SESSION, string("txnNumber", "x")),
                      "field 'txnNumber' is a string, not a number")
            self.each(tools, self.operation(string("op", "c"), string("ns", "admin.$cmd"), o, int32("prevOpTime", 1)), "field 'prevOpTime' is an int32, not a document")

    def test_verify_finds_them_with_their_place(self):
        for data, reason in ((self.operation(int32("op", 1)), "field 'op' is an int32, not a string"),
                             (self.operation(string("op", "i"), int32("ns", 1)), "field 'ns' is an int32, not a string"),
                             (self.operation(string("op", "c"), string("ns", "shop.$cmd"), int32("lsid", 1)), "field 'lsid' is an int32, not a document")):
            self.write("bad.bson", entries(1) + data + entries(3))
            code, out, err = self.run_tool("verify", "bad.bson")
            self.assertEqual((code, err), (1, ""))
            self.assertEqual(out.decode().splitlines()[0], f"error: bad.bson: offset {SIZE}: document 2: 100:1: after this entry: {reason}")

    def test_apply_fails_with_their_place(self):
        last = self.good("slice", "--from", self.good("range", "--last", chain("crud")[0]).decode().strip(), chain("crud")[0])
        seconds = struct.unpack_from("<I", last, last.index(b"\x11ts\0") + 8)[0]
        for fields, reason in (((int32("op", 1),), "field 'op' is an int32, not a string"),
                               ((string("op", "i"), string("ns", "shop.a"), int32("o", 1)), "field 'o' is an int32, not a document")):
            self.write("bad.bson", last + document(timestamp("ts", seconds + 1, 1), *fields))
            self.fails(1, f"{{}}: bad.bson: offset {len(last)}: document 2: {reason}\n", "apply", "--full", chain("crud")[0].parent, "bad.bson", "-o", "later")
            self.assertEqual(self.files(), ["bad.bson"])

    def test_cat_passes_over_no_damaged_entry(self):
        lost = self.operation(field(2, "x", struct.pack("<i", 5000) + b"x\0"), string("op", "i"), string("ns", "shop.a"), field(3, "o", document()))
        first = self.good("cat", stdin=entries(1))
        for tool in ("cat --ns shop.a", "cat --ns other.*", "cat --op i", "cat --op d", "cat --ns shop.a --op i"):
            self.each((tool,), lost, "string runs past the end of its document")
            self.fails(1, f"{{}}: -: offset {SIZE}: document 2: string runs past the end of its document\n", *tool.split(), stdin=entries(1) + lost + entries(3),
                       out=first if "other" not in tool and "d" not in tool.split() else b"")

    def test_cat_passes_over_what_is_no_entry(self):
        for other in (document(), document(int32("op", 1)), self.operation(), self.operation(string("op", "i"), int32("ns", 1)), self.operation(int32("op", 1), int32("o", 1)),
                      document(string("ns", "shop.a")), self.operation(string("ns", "shop.a"))):
            for tool in ("cat --ns shop.a", "cat --ns *", "cat --op i", "cat --from 100 --ns shop.a"):
                self.assertEqual(self.good(*tool.split(), stdin=entries(1) + other + entries(3)), self.good("cat", stdin=entries(1, 3)))


class BadCompression(ToolTest):
    def setUp(self):
        super().setUp()
        self.data = split_documents(chain("drop")[2].read_bytes())[:2]
        self.data = b"".join(self.data)
        self.packed = {}
        for suffix in ("zst", "gz"):
            self.write("plain", self.data)
            self.good("slice", "plain", "-o", f"good.{suffix}")
            self.packed[suffix] = self.read(f"good.{suffix}")
        for name in self.files():
            os.unlink(self.dir / name)

    def test_a_cut_frame_or_member_is_an_error_at_every_byte(self):
        def check(case):
            suffix, cut = case
            name = self.write(f"{suffix}{cut}", self.packed[suffix][:cut])
            code, out, err = self.run_tool("slice", name, "-o", f"out.{suffix}{cut}")
            self.assertEqual((code, out), (1, b""), case)
            what = "zstd stream ends inside a frame" if suffix == "zst" else "gzip stream ends inside a member"
            self.assertRegex(err, rf"\Aoplog-slice: {name}: offset \d+: document \d+: the " + (what if cut > 3 else "(" + what + r"|stream ends inside a document: \d stray bytes)") + r"\n\Z")
            self.assertFalse((self.dir / f"out.{suffix}{cut}").exists())

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(check, [(s, c) for s in self.packed for c in range(1, len(self.packed[s]))]))

    def compressed(self, suffix, data):
        """What a tool makes of it: a frame with a checksum, or a member."""
        packed = self.good("slice", "--compress", "zstd" if suffix == "zst" else "gzip", stdin=data)
        self.assertEqual(packed[:2], b"\x28\xb5" if suffix == "zst" else b"\x1f\x8b")
        return packed

    def bad(self, data, place, reason, good):
        """Every tool fails on the compressed data at that place, from a file and from stdin, after the documents that are good."""
        number, offset = len(split_documents(good)) + 1, len(good)
        self.assertEqual(place, f"offset {offset}: document {number}")
        self.write("bad", data)
        for name in ("bad", "-"):
            for tool in TOOLS:
                self.fails_on(tool, 1, f"{{}}: {name}: {place}: {reason}\n", name, **({"stdin": data} if name == "-" else {}))
        for tool in (*BSON_TOOLS, "cat"):
            self.fails(1, f"{{}}: bad: {place}: {reason}\n", tool, "bad", "-o", "out")
            self.fails(1, f"{{}}: bad: {place}: {reason}\n", tool, "bad", out=self.good("cat", stdin=good) if tool == "cat" else good + MARK)
        self.assertEqual(self.files(), ["bad"])

    def test_a_cut_frame_is_an_error_for_every_tool_and_leaves_nothing(self):
        for suffix, what in (("zst", "the zstd stream ends inside a frame"), ("gz", "the gzip stream ends inside a member")):
            first, second = self.compressed(suffix, entries(1, 2)), self.compressed(suffix, entries(3, 4))
            self.bad(first[:len(first) // 2], "offset 0: document 1", what, b"")
            self.bad(first[:-1], f"offset {2 * SIZE}: document 3", what, entries(1, 2))  # only the checksum is cut
            self.bad(first + second[:len(second) // 2], f"offset {2 * SIZE}: document 3", what, entries(1, 2))
            self.bad(first + second[:-1], f"offset {4 * SIZE}: document 5", what, entries(1, 2, 3, 4))
            self.bad(first + second[:1], f"offset {2 * SIZE}: document 3", what, entries(1, 2))

    def test_a_wrong_checksum_is_an_error_for_every_tool_and_leaves_nothing(self):
        for suffix, from_end, reason in (("zst", 1, "corrupt zstd stream: Restored data doesn't match checksum"), ("zst", 4, "corrupt zstd stream: Restored data doesn't match checksum"),
                                         ("gz", 5, "corrupt gzip stream: incorrect data check"), ("gz", 8, "corrupt gzip stream: incorrect data check"),
                                         ("gz", 1, "corrupt gzip stream: incorrect length check")):
            first, second = self.compressed(suffix, entries(1, 2)), self.compressed(suffix, entries(3, 4))
            changed = [bytearray(first), bytearray(second)]
            for packed in changed:
                packed[-from_end] ^= 1
            self.bad(bytes(changed[0]), "offset 0: document 1", reason, b"")
            self.bad(first + bytes(changed[1]), f"offset {2 * SIZE}: document 3", reason, entries(1, 2))

    def test_garbage_after_the_last_frame_is_an_error_for_every_tool_and_leaves_nothing(self):
        for suffix, reason in (("zst", "corrupt zstd stream: Unknown frame descriptor"), ("gz", "corrupt gzip stream: incorrect header check")):
            for garbage in (b"garbage", MARK, entries(3)):
                self.bad(self.compressed(suffix, entries(1, 2)) + garbage, f"offset {2 * SIZE}: document 3", reason, entries(1, 2))

    def test_a_changed_byte_gives_the_same_output_or_an_error(self):
        def check(case):
            suffix, at = case
            bad = bytearray(self.packed[suffix])
            bad[at] ^= 1 << (at * 5 + 3) % 8
            name = self.write(f"{suffix}{at}", bytes(bad))
            code, out, err = self.run_tool("slice", name)
            if code == 0:
                self.assertEqual((out, err), (self.data, ""), case)
            else:
                self.assertEqual((code, out[-4:]), (1, MARK), case)
                self.assertEqual(err.count("\n") - err.count("\nhint: "), 1, err)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(check, [(s, at) for s in self.packed for at in range(len(self.packed[s]))]))

    def test_bytes_after_the_last_frame_are_an_error(self):
        for suffix, packed in self.packed.items():
            for garbage in (b"garbage", MARK, entries(1)):
                code, out, err = self.run_tool("slice", stdin=packed + garbage)
                self.assertEqual(code, 1)
                self.assertRegex(err, r"\Aoplog-slice: -: offset \d+: document 3: corrupt \w+ stream: .*\n\Z")

    def test_a_frame_that_ends_inside_a_document_is_an_error(self):
        self.fails(1, f"{{}}: -: offset {SIZE}: document 2: the stream ends inside a document: {SIZE - 1} of {SIZE} bytes\n", "slice",
                   stdin=gzip.compress(entries(1, 2)[:-1]), out=None)

    def test_documents_that_look_like_gzip_are_read(self):
        for size in (0x8b1f, 0x18b1f, 0x88b1f):
            data = entry(100, 1, size=size) + entry(100, 2)
            self.assertEqual(data[:2], b"\x1f\x8b")
            self.assertEqual(self.good("slice", stdin=data), data)


class ChangingFiles(ToolTest):
    """A merge has read a file's beginning and waits for another input while the file changes."""

    def change(self, change):
        data = [entry(n, 1, size=1000) for n in range(1, 3001)]
        (self.dir / "big.bson").write_bytes(b"".join(data))
        os.mkfifo(self.dir / "fifo")
        process = self.start("merge", "big.bson", "fifo", "-o", "out.bson")
        with open(self.dir / "fifo", "wb", buffering=0) as fifo:
            fifo.write(data[0])
            self.wait_until_read(process)
            with open(self.dir / "big.bson", "r+b") as f:
                change(f)
            fifo.write(entry(5000))
        code, err = process.wait(30), process.stderr.read().decode()
        return code, err, b"".join(data), self.read("out.bson") if (self.dir / "out.bson").exists() else None

    def wait_until_read(self, process):
        for _ in range(1000):
            for fd in os.listdir(f"/proc/{process.pid}/fd"):
                try:
                    if os.readlink(f"/proc/{process.pid}/fd/{fd}") != str(self.dir / "big.bson"):
                        continue
                    with open(f"/proc/{process.pid}/fdinfo/{fd}") as info:
                        if int(info.readline().split()[1]) >= 100000:
                            return
                except OSError:
                    pass
            time.sleep(0.01)
        self.fail("it does not read")

    def test_a_file_that_shrinks_to_part_of_a_document_is_an_error(self):
        code, err, _, out = self.change(lambda f: f.truncate(1000500))
        self.assertEqual((code, out), (1, None))
        self.assertEqual(err, "oplog-merge: big.bson: offset 1000000: document 1001: the stream ends inside a document: 500 of 1000 bytes\n")

    def test_a_file_that_shrinks_to_whole_documents_is_a_prefix(self):
        code, err, data, out = self.change(lambda f: f.truncate(1000000))
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out, data[:1000000] + entry(5000))

    def test_a_file_that_grows_by_whole_documents_is_longer(self):
        code, err, data, out = self.change(lambda f: (f.seek(0, 2), f.write(entry(4000))))
        self.assertEqual((code, err, out), (0, "", data + entry(4000) + entry(5000)))

    def test_a_file_that_grows_by_part_of_a_document_is_an_error(self):
        code, err, data, out = self.change(lambda f: (f.seek(0, 2), f.write(entry(4000)[:-1])))
        self.assertEqual((code, out), (1, None))
        self.assertEqual(err, f"oplog-merge: big.bson: offset {len(data)}: document 3001: the stream ends inside a document: {SIZE - 1} of {SIZE} bytes\n")


if __name__ == "__main__":
    unittest.main()

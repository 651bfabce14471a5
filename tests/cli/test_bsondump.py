#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oplog-cat against the real bsondump, byte for byte.

    OPLOG_BIN=build/release/tools test_bsondump.py [DIR...]

compares them on every .bson below the directories (default: tests/data) and on generated documents. With
$BSON_CORPUS, the directory source/bson-corpus/tests of mongodb/specifications, on the documents there too.
bsondump is looked for in $MONGO_TOOLS_BIN and on PATH; without it only what is known of it is checked.
"""

import glob
import json
import math
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
OPLOG_BIN = os.environ.get("OPLOG_BIN", os.path.join(HERE, "../../build/release/tools"))
OPLOG_CAT = os.path.join(OPLOG_BIN, "oplog-cat")
BSONDUMP = shutil.which("bsondump", path=os.pathsep.join(
    filter(None, [os.environ.get("MONGO_TOOLS_BIN"), os.environ.get("PATH", os.defpath)])))
BSON_CORPUS = os.environ.get("BSON_CORPUS")
DIRECTORIES = [os.path.join(HERE, "../data")]
SKIPPED = re.compile(rb"unable to dump document (\d+):")


class Printed:
    """What a program made of a file."""

    def __init__(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.out = done.stdout
        self.errors = done.stderr
        self.exit_code = done.returncode
        self.skipped = [int(number) - 1 for number in SKIPPED.findall(done.stderr)]


# BSON by hand: the name of each function is the type it makes an element's (type, value) of.

def cstring(text):
    return as_bytes(text) + b"\0"


def as_bytes(text):
    return text.encode() if isinstance(text, str) else text


def string_value(text):
    data = as_bytes(text)
    return struct.pack("<i", len(data) + 1) + data + b"\0"


def document(*elements):
    body = b"".join(bytes([kind]) + cstring(key) + value for key, (kind, value) in elements)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def double(value):
    return 0x01, struct.pack("<d", value)


def string(text):
    return 0x02, string_value(text)


def embedded(*elements):
    return 0x03, document(*elements)


def array(*values):
    return 0x04, document(*((str(index), value) for index, value in enumerate(values)))


def binary(data, subtype=0):
    if subtype == 2:
        data = struct.pack("<i", len(data)) + data
    return 0x05, struct.pack("<iB", len(data), subtype) + data


def undefined():
    return 0x06, b""


def object_id(data):
    return 0x07, data


def boolean(value):
    return 0x08, bytes([value])


def date(milliseconds):
    return 0x09, struct.pack("<q", milliseconds)


def null():
    return 0x0A, b""


def regex(pattern, options):
    return 0x0B, cstring(pattern) + cstring(options)


def db_pointer(namespace, oid):
    return 0x0C, string_value(namespace) + oid


def code(text):
    return 0x0D, string_value(text)


def symbol(text):
    return 0x0E, string_value(text)


def code_with_scope(text, *elements):
    value = string_value(text) + document(*elements)
    return 0x0F, struct.pack("<i", len(value) + 4) + value


def int32(value):
    return 0x10, struct.pack("<i", value)


def timestamp(seconds, ordinal):
    return 0x11, struct.pack("<II", ordinal, seconds)


def int64(value):
    return 0x12, struct.pack("<q", value)


def decimal128(significand, exponent, negative=False):
    return 0x13, (significand | (exponent + 6176) << 113 | negative << 127).to_bytes(16, "little")


def min_key():
    return 0xFF, b""


def max_key():
    return 0x7F, b""


class Random(random.Random):
    """Random values of every type, the awkward ones more often than chance would have it."""

    PIECES = ["a", "order", '"', "\\", "/", "\b\f\n\r\t", "\0", "\x01", "\x1f", "\x7f", "<&>", "é", "漢字", "😀", "\u2028",
              "\u2029", "\u2027", "\u202a", "\ud7ff", "\ue000", "\uffff", "\U0010ffff", "\x80", "\u07ff", "\u0800", "x" * 40]
    NUMBERS = [0, 1, -1, 9, 10, 99, 100, 999, 1000, 9999, 10000, 99999999, 100000000, 2**31 - 1, -2**31, 2**32, 10**15,
               10**16 - 1, 10**16, 2**63 - 1, -2**63]

    def text(self, zeros=True):
        text = "".join(self.choice(self.PIECES) for _ in range(self.choice([0, 1, 2, 3, 8, 30])))
        return text if zeros else text.replace("\0", "0")

    def key(self):  # bsondump cannot read some documents back whose fields begin with '$'
        return self.text(zeros=False)

    def whole(self, bits):
        number = self.choice(self.NUMBERS) if self.random() < 0.5 else self.getrandbits(bits) >> self.randrange(bits)
        number = -number if self.random() < 0.3 else number
        return max(-2**(bits - 1), min(2**(bits - 1) - 1, number))

    def real(self):
        shape = self.randrange(7)
        if shape == 0:
            return struct.unpack("<d", self.randbytes(8))[0]
        if shape == 1:
            return math.ldexp(self.getrandbits(52), -1074)  # subnormal
        if shape == 2:
            return float(f"{self.choice(['', '-'])}1e{self.randint(-323, 308)}")
        if shape == 3:
            return math.nextafter(float(f"1e{self.randint(-10, 25)}"), self.choice([0.0, math.inf]))
        if shape == 4:
            return self.randrange(-10**9, 10**9) / 10**self.randrange(12)
        if shape == 5:
            return math.ldexp(1.0, self.randint(-1074, 1023))
        return self.choice([0.0, -0.0, math.nan, math.inf, -math.inf, 1e5, 999999.0, 1e6, 999999.9999999999, 1e-4,
                            9.999999999999999e-5, 1e-5, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308])

    def decimal(self):
        significand = self.randrange(10**self.randint(1, 34)) * 10**self.choice([0, 0, 1, 5])
        exponent = self.randint(-45, 10) if self.random() < 0.6 else self.randint(-6176, 6111)
        return decimal128(min(significand, 10**34 - 1), exponent, self.random() < 0.5)

    def value(self, depth):
        oid = self.randbytes(12)
        simple = [
            lambda: double(self.real()), lambda: string(self.text()), lambda: self.old_or_new_binary(), undefined,
            lambda: object_id(oid), lambda: boolean(self.random() < 0.5), lambda: date(self.whole(64)), null,
            lambda: regex(self.text(zeros=False), "".join(self.choices("imsxlué漢😀", k=self.randrange(5)))),
            lambda: db_pointer("shop.orders", oid), lambda: code(self.text()), lambda: symbol(self.text()),
            lambda: int32(self.whole(32)), lambda: timestamp(self.getrandbits(32), self.getrandbits(32)),
            lambda: int64(self.whole(64)), self.decimal, min_key, max_key,
        ]
        nested = [
            lambda: embedded(*self.elements(depth + 1)), lambda: array(*(self.value(depth + 1) for _ in range(self.randrange(4)))),
            lambda: code_with_scope(self.text(), *self.elements(depth + 1)),
        ]
        return self.choice(simple + nested * 2 if depth < 6 else simple)()

    def old_or_new_binary(self):
        return binary(self.randbytes(self.choice([0, 1, 2, 3, 4, 15, 16, 17, 100])), self.choice([0, 1, 2, 3, 4, 5, 6, 8, 9, 128, 255]))

    def elements(self, depth=0):
        return [(self.key(), self.value(depth)) for _ in range(self.choice([0, 1, 2, 5]))]


class CompareWithBsondump(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def file(self, data):
        path = os.path.join(self.directory.name, "input.bson")
        with open(path, "wb") as output:
            output.write(data)
        return path

    def assert_same(self, path, count=None):
        """Both print the file alike, but for documents that bsondump skips, which oplog-cat prints."""
        for options in [], ["--pretty"]:
            ours = Printed(OPLOG_CAT, *options, path)
            theirs = Printed(BSONDUMP, *options, path)
            self.assertEqual((0, b""), (ours.exit_code, ours.errors))
            self.assertEqual(0, theirs.exit_code)
            if options:
                lines = re.split(rb"(?<=\n\})\n|(?<=^\{\})\n", ours.out, flags=re.MULTILINE)[:-1]
            else:
                lines = ours.out.split(b"\n")[:-1]
            if count is not None:
                self.assertEqual(count, len(lines))
            kept = [line for index, line in enumerate(lines) if index not in theirs.skipped]
            self.assert_same_bytes(theirs.out, b"".join(line + b"\n" for line in kept))
        return theirs.skipped

    def assert_same_bytes(self, theirs, ours):
        if theirs == ours:
            return
        at = next((i for i, pair in enumerate(zip(theirs, ours)) if pair[0] != pair[1]), min(len(theirs), len(ours)))
        around = slice(max(0, at - 100), at + 100)
        self.fail(f"differ at byte {at}:\nbsondump : {theirs[around]!r}\noplog-cat: {ours[around]!r}")


@unittest.skipUnless(BSONDUMP, "bsondump is not installed")
class Documents(CompareWithBsondump):
    def test_files(self):
        paths = sorted(path for directory in DIRECTORIES for path in glob.glob(f"{glob.escape(directory)}/**/*.bson", recursive=True))
        self.assertTrue(paths, f"no .bson in {DIRECTORIES}")
        for path in paths:
            with self.subTest(path):
                ours = Printed(OPLOG_CAT, path)
                if ours.exit_code == 0:
                    self.assert_same(path)
                    continue
                # Bad data: both say so, and oplog-cat, which stops there, has printed the same until then.
                theirs = Printed(BSONDUMP, path)
                self.assertEqual(1, ours.exit_code)
                self.assertTrue(theirs.skipped or theirs.exit_code != 0 or b"\\ufffd" in theirs.out, ours.errors)
                self.assert_same_bytes(theirs.out[:len(ours.out)], ours.out)

    def test_generated_documents(self):
        rng = Random(1)
        documents = [document(*rng.elements()) for _ in range(20000)]
        skipped = self.assert_same(self.file(b"".join(documents)), len(documents))
        self.assertLess(len(skipped), len(documents) // 100)

    def test_doubles(self):
        rng = Random(2)
        documents = [document(("x", double(rng.real()))) for _ in range(100000)]
        documents += [document(("x", double(float(f"{sign}1e{exponent}")))) for exponent in range(-323, 309) for sign in "+-"]
        self.assertEqual([], self.assert_same(self.file(b"".join(documents)), len(documents)))

    def test_decimals(self):
        rng = Random(3)
        documents = [document(("x", rng.decimal())) for _ in range(50000)]
        # Any bits at all, too many digits among them, of which bsondump skips most.
        documents += [document(("x", (0x13, rng.randbytes(16)))) for _ in range(50000)]
        skipped = self.assert_same(self.file(b"".join(documents)), len(documents))
        self.assertEqual([], [index for index in skipped if index < 50000])

    def test_characters(self):
        points = [point for point in range(1, 0x110000) if not 0xD800 <= point < 0xE000]
        documents = [document(*((chr(point), string("x" * (point % 20) + chr(point))) for point in points[start:start + 100]))
                     for start in range(0, len(points), 100)]
        self.assertEqual([], self.assert_same(self.file(b"".join(documents)), len(documents)))

    def test_nesting(self):
        levels = (2, 3, 50, 199, 200, 201, 250, 1000)
        documents = []
        for wrap in (lambda value: embedded(("a", value))), array:
            for count in levels:
                value = null()
                for _ in range(count - 1):
                    value = wrap(value)
                documents.append(document(("a", value)))
        skipped = self.assert_same(self.file(b"".join(documents)), len(documents))
        self.assertEqual([201, 250, 1000], [levels[index] for index in skipped])  # bsondump counts no arrays

    def test_large_values(self):
        documents = [document(("x", string("x" * (16 << 20)))), document(("x", binary(bytes(range(256)) * (60 << 10)))),
                     document(("x", string("\x01" * 100000 + "漢" * 100000 + '"' * 100000))),
                     document(("x", array(*(int32(i) for i in range(1000000)))))]
        self.assertEqual([], self.assert_same(self.file(b"".join(documents)), len(documents)))

    def test_fields_that_look_like_extended_json(self):
        documents = [document(("x", embedded((key, value)))) for key in (
            "$date", "$oid", "$binary", "$timestamp", "$numberInt", "$code", "$scope", "$regularExpression", "$regex", "$ref", "$type", "$uuid")
            for value in (string("x"), int32(1), null(), embedded())]
        self.assert_same(self.file(b"".join(documents)), len(documents))


class KnownDifferences(CompareWithBsondump):
    """Where oplog-cat does better on purpose: see include/oplog/bson/json.hpp."""

    def test_namespace_of_a_db_pointer_is_escaped(self):
        path = self.file(document(("x", db_pointer('a"b', bytes(12)))))
        self.assertEqual(b'{"x":{"$dbPointer":{"$ref":"a\\"b","$id":{"$oid":"000000000000000000000000"}}}}\n', Printed(OPLOG_CAT, path).out)

    def test_valid_documents_that_bsondump_skips_are_printed(self):
        path = self.file(document(("x", embedded(("$date", string("today"))))))
        self.assertEqual(b'{"x":{"$date":"today"}}\n', Printed(OPLOG_CAT, path).out)
        if BSONDUMP:
            self.assertEqual([0], Printed(BSONDUMP, path).skipped)

    def test_text_that_is_not_utf_8_is_printed_with_replacement_characters(self):
        for bad, printed in (
            (document(("x", string(b"a\xff"))), b'{"x":"a\\ufffd"}\n'),
            (document((b"\xc3", int32(1))), b'{"\\ufffd":{"$numberInt":"1"}}\n'),
            (document(("x", (4, document((b"\xff", int32(1)))))), b'{"x":[{"$numberInt":"1"}]}\n'),
        ):
            with self.subTest(printed):
                path = self.file(bad)
                self.assertEqual((0, printed), (Printed(OPLOG_CAT, path).exit_code, Printed(OPLOG_CAT, path).out))
                if BSONDUMP:
                    self.assertEqual(printed, Printed(BSONDUMP, path).out)

    def test_what_is_not_bson_is_an_error(self):
        good = document(("x", int32(1)))
        for name, bad in {
            "boolean": document(("x", boolean(2))),
            "no zero byte after a string": document(("x", (2, struct.pack("<i", 2) + b"xx"))),
            "lengths of an old binary": document(("x", (5, struct.pack("<iBi", 6, 2, 1) + b"xx"))),
            "unknown type": document(("x", (0x20, b""))),
        }.items():
            with self.subTest(name):
                done = Printed(OPLOG_CAT, self.file(good + bad + good))
                self.assertEqual((1, b'{"x":{"$numberInt":"1"}}\n'), (done.exit_code, done.out))
                self.assertIn(b"offset 12: document 2: ", done.errors)


@unittest.skipUnless(BSON_CORPUS, "$BSON_CORPUS is not set")
class Corpus(CompareWithBsondump):
    def cases(self, kind):
        for path in sorted(glob.glob(f"{glob.escape(BSON_CORPUS)}/*.json")):
            with open(path, encoding="utf-8") as file:
                corpus = json.load(file)
            for case in corpus.get(kind, []):
                yield f"{os.path.basename(path)}: {case['description']}", case

    def test_valid_documents(self):
        for name, case in self.cases("valid"):
            for key in "canonical_bson", "converted_bson", "degenerate_bson":
                if key not in case:
                    continue
                with self.subTest(name, key=key):
                    path = self.file(bytes.fromhex(case[key]))
                    done = Printed(OPLOG_CAT, path)
                    self.assertEqual((0, b""), (done.exit_code, done.errors))
                    expected = case["converted_extjson" if key == "converted_bson" else "canonical_extjson"]
                    self.assertEqual(self.normal(expected), self.normal(done.out.decode()))
                    if BSONDUMP:
                        self.assert_same(path, 1)

    def test_bad_documents(self):
        for name, case in self.cases("decodeErrors"):
            with self.subTest(name):
                done = Printed(OPLOG_CAT, self.file(bytes.fromhex(case["bson"])))
                self.assertEqual(1, done.exit_code)

    @staticmethod
    def normal(text):
        """The fields in their order; of doubles, only the value."""
        def pairs(items):
            if len(items) == 1 and items[0][0] == "$numberDouble":
                return "double", repr(float(items[0][1].replace("Infinity", "inf")))
            return items
        return json.loads(text, object_pairs_hook=pairs)


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if not argument.startswith("-") and os.path.isdir(argument)]
    DIRECTORIES = given or DIRECTORIES
    unittest.main(argv=[argument for argument in sys.argv if argument not in given])

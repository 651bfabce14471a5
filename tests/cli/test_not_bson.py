#!/usr/bin/env python3
"""What is given in place of BSON: other kinds of files by name, text that is not UTF-8, unknown operations, failures in pipes."""
import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
import unittest
import zipfile

from support import BIN, ENVIRONMENT, MARK, ToolTest, document, entries, field


def archived(make, mode):
    out = io.BytesIO()
    with make(out, mode) as archive:
        if isinstance(archive, zipfile.ZipFile):
            archive.writestr("a.bson", entries(1))
        else:
            info = tarfile.TarInfo("a")
            info.size = len(entries(1))
            archive.addfile(info, io.BytesIO(entries(1)))
    return out.getvalue()


KINDS = {
    "xz": lzma.compress(entries(1)),
    "lzma": lzma.compress(entries(1), lzma.FORMAT_ALONE),
    "bzip2": bz2.compress(entries(1)),
    "lz4": b"\x04\x22\x4d\x18\x64\x40\xa7" + b"x" * 20,
    "framed snappy": b"\xff\x06\0\0sNaPpY" + b"x" * 2000,
    "s2": b"\xff\x06\0\0S2sTwO" + b"x" * 2000,
    "a zip archive": archived(zipfile.ZipFile, "w"),
    "a tar archive": archived(lambda out, mode: tarfile.open(fileobj=out, mode=mode), "w"),
    "JSON": b'\n{"op": "i"}\n',
    "text": b"<html></html>\n",
    "UTF-16 text": "\ufeff{\"op\": 1}".encode("utf-16-le"),
    "nothing but zero bytes": bytes(4096),
}


class NotBson(ToolTest):
    def test_other_kinds_of_files_are_called_by_their_names_compressed_or_not(self):
        for kind, data in KINDS.items():
            for name, content in (("a", data), ("a.gz", gzip.compress(data))):
                self.write(name, content)
                code, out, err = self.run_tool("cat", name)
                self.assertEqual((code, out), (1, b""), kind)
                self.assertRegex(err, rf"\Aoplog-cat: {name}: offset 0: document 1: this is no BSON but {kind}\nhint: .+\n\Z")

    def test_padded_gzip_is_refused_as_padded(self):
        self.write("a.gz", gzip.compress(entries(1)) + bytes(1000))
        code, _, err = self.run_tool("cat", "a.gz")
        self.assertEqual(code, 1)
        self.assertIn("the file is padded\nhint: ", err)


class Text(ToolTest):
    def test_bytes_that_are_not_utf8_are_printed_as_bsondump_does_and_told_of(self):
        text = b"a\xe9\xe2\x82b\xed\xa0\x80\xef\xbf\xbd\xc3"
        shown = b"a" + rb"\ufffd" * 3 + b"b" + rb"\ufffd" * 3 + b"\xef\xbf\xbd" + rb"\ufffd"
        data = document(field(2, "v", (len(text) + 1).to_bytes(4, "little") + text + b"\0"))
        self.write("a.bson", document() + data)
        code, out, err = self.run_tool("cat", "a.bson")
        self.assertEqual((code, out), (0, b'{}\n{"v":"' + shown + b'"}\n'))
        self.assertEqual(err, "oplog-cat: warning: text that is not UTF-8 in 1 document, its bytes shown as U+FFFD; the first: a.bson: offset 5: document 2\n")


class Usage(ToolTest):
    def test_an_unknown_kind_of_operation_is_a_usage_error(self):
        self.write("a.bson", entries(1))
        for tool in ("cat", "filter"):
            code, _, err = self.run_tool(tool, "--op", "i,insert", "a.bson")
            self.assertEqual(code, 2)
            self.assertIn("unknown kind of operation: 'insert'", err)

    def test_a_usage_error_in_a_pipe_is_no_empty_stream(self):
        code, out, _ = self.run_tool("filter", "--nope")
        self.assertEqual((code, out), (2, MARK))
        with open(self.dir / "out", "wb") as out:
            subprocess.run([BIN / "oplog-filter", "--nope"], stdout=out, stderr=subprocess.DEVNULL, env=ENVIRONMENT, check=False)
        self.assertEqual(self.read("out"), b"")


if __name__ == "__main__":
    unittest.main()

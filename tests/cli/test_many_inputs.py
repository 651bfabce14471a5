#!/usr/bin/env python3
"""Many inputs, one after the other."""
import os
import resource
import unittest

from support import ToolTest, entries, entry


def few_files():
    """At most 40 open at a time, whatever a tool asks for."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))


class ManyInputs(ToolTest):
    IN_TURN = {"cat": (), "stats": ("--csv",), "split": ("--entries", "1000", "-o", "pieces"), "slice": (), "filter": (), "range": ()}

    def setUp(self):
        super().setUp()
        self.documents = [entry(100, n) for n in range(1, 101)]
        self.names = [self.write(f"{n:03}.bson", one) for n, one in enumerate(self.documents)]

    def run_all(self, tool, *inputs, **options):
        """What a tool makes of these inputs: its output, or the pieces."""
        out = self.good(tool, *self.IN_TURN[tool], *inputs, **options)
        if tool == "split":
            paths = out.decode().split()
            out = b"".join(map(self.read, paths))
            for path in paths:
                os.unlink(self.dir / path)
        return out

    def test_more_inputs_than_files_may_be_open_are_read_in_turn(self):
        together = b"".join(self.documents)
        for tool in self.IN_TURN:
            out = self.run_all(tool, *self.names, preexec_fn=few_files)
            expected = self.run_all(tool, stdin=together) if tool != "range" else self.run_all(tool, *self.names)
            self.assertEqual(out, expected, tool)

    def test_of_slices_in_the_order_of_time_few_are_open_at_once(self):
        together = b"".join(self.documents)
        for n in range(1, len(self.documents)):
            self.write(f"{n:03}.bson", b"".join(self.documents[n - 1:n + 1]))
        backwards = self.names[::-1]
        self.assertEqual(self.good("merge", "--chain", *backwards, preexec_fn=few_files), together)
        self.good("stage", "-q", *backwards, "-o", "staged.bson", preexec_fn=few_files)
        self.assertEqual(self.read("staged.bson"), self.good("stage", "-q", stdin=together))
        self.assertEqual(self.good("verify", "--json", *backwards, preexec_fn=few_files), self.good("verify", "--json", stdin=together))
        history = ("-q", "--ns", "*", "--images")
        self.assertEqual(self.good("history", *history, *backwards, preexec_fn=few_files), self.good("history", *history, stdin=together))

    def test_slices_of_the_same_time_are_open_together_and_may_be_too_many(self):
        for name in self.names:
            self.write(name, self.documents[0])
        code, _, err = self.run_tool("merge", *self.names, preexec_fn=few_files)
        self.assertEqual(code, 2)
        self.assertRegex(err, r"\Aoplog-merge: \d{3}\.bson: Too many open files\n\Z")

    def test_inputs_are_named_in_a_file_too(self):
        self.write("names", b"".join(name.encode() + b"\0" for name in self.names[1:]))
        expected = self.good("cat", *self.names)
        self.assertEqual(self.good("cat", self.names[0], "--files0-from", "names"), expected)
        self.assertEqual(self.good("cat", self.names[0], "--files0-from", "-", stdin=self.read("names")), expected)
        self.write("odd", b"a\nb,c.bson\0")
        self.write("a\nb,c.bson", self.documents[0])
        self.assertEqual(self.good("range", "--last", "--files0-from", "odd"), b"100:1\n")
        self.assertEqual(self.good("slice", "--from", "-1s", "--files0-from", "odd"), self.documents[0])
        self.write("names", b"")
        self.fails(2, "{}: names names no file\nhint: {} --help\n", "range", "--files0-from", "names")
        self.write("names", b"000.bson\n001.bson\n")
        self.fails(2, "{}: names does not end with a NUL, as each name in it must\nhint: {} --help\n", "range", "--files0-from", "names")
        self.write("names", b"000.bson\0\0001.bson\0")
        self.fails(2, "{}: names has an empty name\nhint: {} --help\n", "range", "--files0-from", "names")
        self.fails(2, "{}: nowhere: No such file or directory\n", "range", "--files0-from", "nowhere")
        self.write("own", b"000.bson\0")
        self.fails(2, "{}: the output 000.bson is an input\nhint: {} --help\n", "cat", "-f", "-o", "000.bson", "--files0-from", "own")
        self.assertEqual(self.read("000.bson"), self.documents[0])

    def test_an_input_that_is_missing_is_reported_before_anything_is_written(self):
        before = self.files()
        for tool in ("cat", "stats", "split"):
            self.fails(2, "{}: none: No such file or directory\n", tool, *self.IN_TURN[tool], *self.names, "none")
            os.makedirs(self.dir / "empty", exist_ok=True)
            self.fails(2, "{}: empty: neither oplog.bson nor local/oplog.rs.bson in this directory\n", tool, *self.IN_TURN[tool], *self.names, "empty")
            os.rmdir(self.dir / "empty")
            self.assertEqual(self.files(), before)

    def test_pipes_among_the_inputs_are_opened_once_and_read(self):
        expected = {tool: self.run_all(tool, stdin=entries(1, 2, 3, 4)) for tool in ("cat", "stats", "split", "slice", "filter")}
        self.write("a", entries(1))
        self.write("c", entries(3))
        for tool, want in expected.items():
            options = " ".join(self.IN_TURN[tool])
            for script in (f"oplog-{tool} {options} a <(cat 001.bson) c - <003.bson",
                           f"mkfifo f; cat 001.bson >f & oplog-{tool} {options} a f c 003.bson; wait; rm f",
                           f"oplog-{tool} {options} <(cat 000.bson) <(cat 001.bson) <(cat 002.bson) <(cat 003.bson)"):
                code, out, err = self.shell(script)
                self.assertEqual((code, err), (0, ""), script)
                if tool == "split":
                    paths = out.decode().split()
                    out = b"".join(map(self.read, paths))
                    for path in paths:
                        os.unlink(self.dir / path)
                self.assertEqual(out, want, script)

    def test_an_input_that_fails_amid_others_fails_after_what_comes_before(self):
        self.write("bad", entries(50) + b"x")
        for tail in ([], self.names[50:]):
            self.fails(1, f"{{}}: bad: offset {len(entries(50))}: document 2: the stream ends inside a document: 1 stray bytes\n", "cat", *self.names[:49], "bad", *tail,
                       out=self.good("cat", stdin=b"".join(self.documents[:50])))


if __name__ == "__main__":
    unittest.main()

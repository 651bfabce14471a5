#!/usr/bin/env python3
"""Outputs on file systems that can do less than others."""
import os
import signal
import unittest

from support import ToolTest, entries

LIBRARY = os.environ.get("OPLOG_POOR_FILE_SYSTEM")


@unittest.skipUnless(LIBRARY, "a preloaded library does not go with sanitizers")
class PoorFileSystems(ToolTest):
    """There are no files without a name, and besides no links or no renames that replace nothing."""

    def setUp(self):
        super().setUp()
        self.write("a.bson", entries(1, 2))

    def each(self):
        for lacking in ("", "links", "renames"):
            yield {"env": {"LD_PRELOAD": LIBRARY, "FILE_SYSTEM_LACKS": lacking}}
            for name in reversed(self.files()):
                path = self.dir / name
                if path.is_dir():
                    path.rmdir()
                elif name != "a.bson":
                    path.unlink()

    def test_an_output_has_a_hidden_name_until_it_is_whole(self):  # else what follows would show nothing
        for poor in self.each():
            os.mkfifo(self.dir / "fifo")
            process = self.start("slice", "fifo", "-o", "out", **poor)
            with open(self.dir / "fifo", "wb") as fifo:  # it has opened its output by then
                self.assertEqual(self.files(), [f".out.{process.pid}-0.tmp", "a.bson", "fifo"])
                fifo.write(entries(1))
            self.assertEqual(process.wait(10), 0)
            self.assertEqual(self.files(), ["a.bson", "fifo", "out"])

    def test_a_new_output_appears_and_nothing_beside_it(self):
        for poor in self.each():
            for tool in ("slice", "merge", "cat", "filter"):
                self.good(tool, "a.bson", "-o", tool, **poor)
                self.assertEqual(self.read(tool), self.good(tool, "a.bson"))
            self.assertEqual(self.files(), ["a.bson", "cat", "filter", "merge", "slice"])

    def test_an_output_that_exists_is_refused_and_force_replaces_it(self):
        for poor in self.each():
            self.write("out", b"old")
            self.fails(2, "{}: out: File exists\nhint: --force replaces it\n", "slice", "a.bson", "-o", "out", **poor)
            self.assertEqual(self.read("out"), b"old")
            self.good("slice", "--force", "a.bson", "-o", "out", **poor)
            self.assertEqual((self.read("out"), self.files()), (entries(1, 2), ["a.bson", "out"]))

    def test_what_comes_from_a_pipe_is_read_twice_and_leaves_nothing(self):
        (self.dir / "tmp").mkdir()
        for poor in self.each():
            (self.dir / "tmp").mkdir(exist_ok=True)
            poor["env"]["TMPDIR"] = str(self.dir / "tmp")
            self.assertEqual(self.good("stage", "-q", "-", stdin=entries(1, 2), **poor), entries(1, 2))
            self.assertEqual(self.files(), ["a.bson", "tmp"])

    def test_a_name_taken_while_the_output_was_written_is_not_overwritten(self):
        for poor in self.each():
            os.mkfifo(self.dir / "fifo")
            process = self.start("slice", "fifo", "-o", "out", **poor)
            with open(self.dir / "fifo", "wb") as fifo:
                fifo.write(entries(1))
                self.write("out", b"theirs")
            self.assertEqual((process.wait(10), process.stderr.read()), (2, b"oplog-slice: out: File exists\nhint: --force replaces it\n"))
            self.assertEqual((self.read("out"), self.files()), (b"theirs", ["a.bson", "fifo", "out"]))

    def test_a_failed_run_leaves_nothing(self):
        for poor in self.each():
            self.write("bad", entries(1) + b"x")
            message = f"{{}}: bad: offset {len(entries(1))}: document 2: the stream ends inside a document: 1 stray bytes\n"
            self.fails(1, message, "slice", "bad", "-o", "out", **poor)
            self.fails(1, message, "split", "--entries", "1", "-o", "pieces", "bad", **poor)
            self.assertEqual(self.files(), ["a.bson", "bad"])

    def test_a_signal_leaves_nothing(self):
        for poor in self.each():
            os.mkfifo(self.dir / "fifo")
            for tool in ("slice", "cat"):
                process = self.start(tool, "fifo", "-o", "out", **poor)
                with open(self.dir / "fifo", "wb") as fifo:
                    self.assertIn(f".out.{process.pid}-0.tmp", self.files())
                    process.terminate()
                    self.assertEqual(process.wait(10), -signal.SIGTERM)
                self.assertEqual(self.files(), ["a.bson", "fifo"])

    def test_a_hidden_name_that_a_killed_process_left_is_passed_over(self):
        for poor in self.each():
            code, out, err = self.shell(f'export LD_PRELOAD={LIBRARY} FILE_SYSTEM_LACKS={poor["env"]["FILE_SYSTEM_LACKS"]}; bash -c \'touch ".out.$$-0.tmp"; exec oplog-slice a.bson -o out\'')
            self.assertEqual((code, out, err), (0, b"", ""))
            self.assertEqual((self.read("out"), len(self.files())), (entries(1, 2), 3))

    def test_split_makes_its_pieces(self):
        for poor in self.each():
            paths = self.good("split", "--entries", "1", "-o", "pieces", "a.bson", **poor).decode().split()
            self.assertEqual(b"".join(map(self.read, paths)), entries(1, 2))
            self.assertEqual(self.files(), ["a.bson", "pieces", *paths])
            self.write(paths[0], b"old")
            self.fails(2, f"{{}}: {paths[0]}: File exists\nhint: --force replaces it\n", "split", "--entries", "1", "-o", "pieces", "a.bson", **poor)
            self.good("split", "--force", "--entries", "1", "-o", "pieces", "a.bson", **poor)
            self.assertEqual(b"".join(map(self.read, paths)), entries(1, 2))
            self.assertEqual(self.files(), ["a.bson", "pieces", *paths])

    def test_a_backup_directory_gets_its_steps(self):
        for poor in self.each():
            for record in ("full", "slice", "probe"):
                self.write(f"step/{record}/oplog.bson", entries(1))
            self.assertIn(b"chain='19700101_00_01_40'", self.run_tool("chain", "add-full", ".", "step", "--probe", "step/probe", "--started", "100", **poor)[1])
            for name in ("19700101_00_01_40", "19700101_00_01_40_2"):
                self.write("step/oplog.bson", entries(1))
                self.assertIn(f"inc/{name}'".encode(), self.run_tool("chain", "add-inc", ".", "step", "--started", "100", **poor)[1])
            self.assertEqual(self.good("chain", "verify", "."), b"19700101_00_01_40  ok\n")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""Tools joined by pipes: bytes in, bytes out."""
import gzip
import shutil
import subprocess
import unittest

from support import CHAINS, MARK, ToolTest, chain, entries, entry


class Pipelines(ToolTest):
    def setUp(self):
        super().setUp()
        self.big = b"".join(entry(1000 + n // 4, n % 4 + 1, value=n, size=300 + n % 900) for n in range(3000))
        self.write("big.bson", self.big)

    def pipe(self, script):
        code, out, err = self.shell(script)
        self.assertEqual((code, err), (0, ""), script)
        return out

    def test_stdin_is_read_as_mongodump_writes_it(self):
        # In pieces that end anywhere, as from `mongodump … -o -`.
        out = self.pipe("for size in 1 4 1000 200000; do dd bs=$size count=1 status=none; sleep 0.02; done <big.bson >/dev/null;"
                        "(head -c 3; sleep 0.05; head -c 70000; sleep 0.05; cat) <big.bson | oplog-slice --after 1000:2")
        self.assertEqual(out, self.good("slice", "--after", "1000:2", "big.bson"))
        self.assertTrue(self.big.endswith(out) and len(out) < len(self.big))
        self.assertEqual(self.pipe("cat big.bson | oplog-slice -o inc.bson.zst && zstd -dc inc.bson.zst" if shutil.which("zstd") else "cat big.bson"), self.big)

    def test_slice_into_range(self):
        self.assertEqual(self.pipe("oplog-slice --from 1001 --before 1003 big.bson | oplog-range").split()[:3], [b"1001:1", b"1002:4", b"8"])
        self.assertEqual(self.pipe("oplog-slice --before 1 big.bson | oplog-range"), b"- - 0 0 -\n")

    def test_the_main_job_from_end_to_end_on_real_chains(self):
        for name in CHAINS:
            files = " ".join(map(str, chain(name)))
            merged = self.pipe(f"oplog-merge --chain {files}")
            last = self.pipe(f"oplog-merge --chain {files} | oplog-range --last").decode().strip()
            first = self.pipe(f"oplog-merge --chain {files} | oplog-range --first").decode().strip()
            self.assertEqual(self.pipe(f"oplog-merge --chain {files} | oplog-slice --from {first} --to {last}"), merged)
            self.assertEqual(self.pipe(f"oplog-merge --chain {files} | oplog-slice --before {last} | cat - <(oplog-merge {files} | oplog-slice --from {last})"), merged)
            self.assertEqual(self.pipe(f"oplog-merge --chain {files} | oplog-split --entries 5 -o {name} | xargs oplog-merge"), merged)
            self.assertEqual(self.pipe(f"oplog-cat {name}/*.bson"), self.pipe(f"oplog-merge --chain {files} | oplog-cat"))

    def test_split_pieces_put_together_are_the_input(self):
        self.assertEqual(self.pipe("oplog-split --size 100k -o pieces <big.bson >names; cat $(cat names)"), self.big)
        self.assertEqual(self.pipe("oplog-merge $(shuf --random-source=big.bson names)"), self.big)
        self.assertEqual(self.pipe("oplog-split --size 100k -o packed --compress zstd:3 <big.bson | tac | xargs oplog-merge"), self.big)

    def test_compressed_in_and_out_in_every_mixture(self):
        self.pipe("oplog-slice big.bson -o a.zst; oplog-slice a.zst -o b.gz; oplog-slice b.gz -o c.bson; oplog-merge a.zst b.gz c.bson -o d.bson.zst --compress gzip:1")
        self.assertEqual(self.read("c.bson"), self.big)
        self.assertEqual(gzip.decompress(self.read("b.gz")), self.big)
        self.assertEqual(gzip.decompress(self.read("d.bson.zst")), self.big)
        self.assertTrue(self.read("a.zst").startswith(b"\x28\xb5\x2f\xfd"))
        self.assertEqual(self.pipe("oplog-slice --compress none big.bson -o e.zst; cat e.zst"), self.big)
        for method in ("zstd", "zstd:1", "gzip", "gzip:9", "none"):
            self.assertEqual(self.pipe(f"oplog-slice --compress {method} big.bson | oplog-slice"), self.big)

    def test_many_frames_and_members_are_one_stream(self):
        half = len(entry(1000, 1, size=300)) + len(entry(1000, 2, size=301))
        one, two = self.big[:half + 7], self.big[half + 7:]  # cut amid a document
        self.write("two.gz", gzip.compress(one) + gzip.compress(b"") + gzip.compress(two, mtime=0))
        self.assertEqual(self.good("slice", "two.gz"), self.big)
        self.assertEqual(self.pipe("cat two.gz | oplog-slice"), self.big)
        first, rest = entries(1, 2), entries(3)
        self.write("a", first)
        self.write("b", rest)
        self.assertEqual(self.pipe("oplog-slice a -o a.zst; oplog-slice b -o b.zst; cat a.zst b.zst | oplog-slice"), first + rest)
        if shutil.which("zstd"):
            self.write("one", one)
            self.write("two", two)
            self.assertEqual(self.pipe("(zstd -qc one; zstd -qc --no-check two) | oplog-slice"), self.big)
            self.assertEqual(self.pipe("oplog-slice --compress zstd big.bson | zstd -dqc"), self.big)

    def test_frames_of_different_kinds_are_not_mixed(self):
        code, _, err = self.shell("(oplog-slice --compress zstd --before 1500 big.bson; oplog-slice --compress gzip --from 1500 big.bson) | oplog-range")
        self.assertEqual(code, 1)
        self.assertRegex(err, r"\Aoplog-range: -: offset \d+: document \d+: corrupt zstd stream: .*\n\Z")

    def test_a_closed_pipe_ends_non_zero_and_quietly(self):
        for tool in ("slice", "merge", "cat", "slice --compress zstd", "slice --compress gzip"):
            self.write("huge.bson", b"".join(entry(n, 1, size=4000) for n in range(1, 3000)))
            code, out, err = self.shell(f"oplog-{tool} huge.bson | head -c 10 >/dev/null; echo ${{PIPESTATUS[@]}}")
            if "compress" not in tool:  # what compresses to less than a pipe holds may be done before head is
                self.assertEqual(out, b"141 0\n", tool)
            self.assertEqual((code, err), (0, ""), tool)
        code, out, err = self.shell("oplog-slice huge.bson | oplog-cat | oplog-cat - 2>/dev/null | head -c 10 >/dev/null; echo ${PIPESTATUS[@]}")
        self.assertEqual(err, "")
        many = " ".join(["big.bson"] * 3000)
        code, out, err = self.shell(f"oplog-range {many} | head -n 1; echo ${{PIPESTATUS[@]}}")
        self.assertEqual(err, "")
        self.assertEqual(out.split(b"\n")[1], b"141 0")

    def test_a_reader_that_is_gone_is_quiet_even_where_the_signal_is_ignored(self):
        process = self.start("slice", "big.bson", stdout=subprocess.PIPE, restore_signals=False)  # Python ignores SIGPIPE
        process.stdout.close()
        self.assertNotEqual(process.wait(10), 0)
        self.assertEqual(process.stderr.read(), b"")

    def test_a_tool_that_fails_amid_a_pipe_makes_the_next_fail(self):
        cases = {"cut": self.big[:-1], "length": self.big + b"\0\0\0\0", "disorder": self.big + entries(1)}
        for name, data in cases.items():
            self.write(name, data)
            for first in (f"oplog-slice {name}", f"oplog-merge big.bson {name}", f"oplog-slice --compress zstd {name}", f"oplog-slice --compress gzip {name}"):
                for following in ("oplog-range", "oplog-slice -o out.bson", "oplog-split --size 500k -o pieces", "oplog-merge -o out.bson", "oplog-cat -o out.json"):
                    code, out, err = self.shell(f"{first} | {following} >printed; echo ${{PIPESTATUS[@]}}")
                    self.assertEqual(out, b"1 1\n", (first, following, err))
                    self.assertEqual([f for f in self.files() if f not in cases], ["big.bson", "printed"], (first, following))

    def test_a_stream_that_fails_is_whole_documents_and_the_mark(self):
        self.write("cut", self.big[:-1])
        code, out, _ = self.run_tool("slice", "cut")
        self.assertEqual(code, 1)
        self.assertTrue(out.endswith(MARK))
        self.assertTrue(self.big.startswith(out[:-4]))
        self.assertEqual(len(self.big) - len(out[:-4]), 300 + 2999 % 900)  # all but the document that is cut

    def test_an_input_that_cannot_be_opened_makes_the_next_fail_too(self):
        for first in ("oplog-slice none", "oplog-merge big.bson none"):
            code, out, err = self.shell(f"{first} | oplog-slice -o out.bson; echo ${{PIPESTATUS[@]}}")
            self.assertEqual(out, b"2 1\n", err)
        self.assertEqual(self.files(), ["big.bson"])

    def test_a_wrong_option_value_makes_the_next_fail_too(self):
        for tool, error in (("slice --to bad", "time 'bad' is neither <seconds>[:<ordinal>] nor "), ("slice --txn bad", "--txn bad: one of keep, extend, trim, fail"), ("slice --from 5 --to 4", "the bounds exclude everything"),
                            ("filter --rename bad", "--rename bad: write FROM=TO"), ("filter --op i,,d", "--op has an empty item: 'i,,d'")):
            code, out, err = self.shell(f"oplog-{tool} big.bson | oplog-range; echo ${{PIPESTATUS[@]}}")
            name = "oplog-" + tool.split()[0]
            self.assertEqual((code, out), (0, b"2 1\n"), tool)
            self.assertIn(f"{name}: {error}", err)
            self.assertIn(f"hint: {name} --help\n", err)
            self.assertIn("oplog-range: -: offset 0: document 1: impossible document length -1\n", err)
        self.assertEqual(self.files(), ["big.bson"])

    def test_a_failed_text_is_not_marked(self):
        self.write("cut", entries(1, 2)[:-1])
        code, out, err = self.run_tool("cat", "cut")
        self.assertEqual(code, 1)
        self.assertEqual(out, self.good("cat", stdin=entries(1)))

    def test_a_fifo_is_an_output_and_an_input(self):
        out = self.pipe("mkfifo f; oplog-slice big.bson -o f & oplog-slice f; wait $!")
        self.assertEqual(out, self.big)
        self.write("cut", self.big[:-1])
        code, out, err = self.shell("oplog-slice cut -o f & oplog-slice f >/dev/null; echo $?; wait $!")
        self.assertEqual((code, out), (1, b"1\n"), err)

    def test_process_substitution_is_an_input(self):
        self.assertEqual(self.pipe("oplog-merge --chain <(oplog-slice --to 1500 big.bson) <(oplog-slice --from 1500:4 big.bson)"), self.big)


if __name__ == "__main__":
    unittest.main()

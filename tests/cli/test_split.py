#!/usr/bin/env python3
"""oplog-split."""
import gzip
import os
import unittest

from support import CHAINS, ToolTest, chain, entries, entry, split_documents

SIZE = len(entry(100))


def name(first, last, suffix=".bson"):
    return "%010d.%010d-%010d.%010d%s" % (*first, *last, suffix)


class Split(ToolTest):
    def split(self, *args, stdin=b""):
        """The paths printed, which must be all that there is in the directory; their bytes put together."""
        paths = self.good("split", *args, stdin=stdin).decode().splitlines()
        directory = os.path.dirname(paths[0]) if paths else "pieces"
        self.assertEqual(sorted(os.path.basename(p) for p in paths), sorted(os.listdir(self.dir / directory)))
        self.assertEqual(paths, sorted(paths))
        return paths, b"".join(self.read(p) for p in paths)

    def expect(self, pieces, *args, stdin):
        """Pieces as lists of (seconds, ordinal)."""
        paths, joined = self.split(*args, "-o", "pieces", stdin=stdin)
        self.assertEqual(paths, ["pieces/" + name(p[0], p[-1]) for p in pieces])
        self.assertEqual(joined, stdin)
        for path in paths:
            self.good("range", path)
            os.unlink(self.dir / path)

    def test_every_cuts_at_multiples_of_a_time(self):
        times = [(3599, 1), (3600, 1), (3600, 2), (7199, 9), (7200, 1), (36000, 1)]
        data = b"".join(entry(*t) for t in times)
        for hour in ("1h", "60m", "3600s"):
            self.expect([[times[0]], times[1:4], [times[4]], [times[5]]], "--every", hour, stdin=data)
        self.expect([times], "--every", "1d", stdin=data)

    def test_size_keeps_pieces_below_it(self):
        times = [(100, n) for n in (1, 2, 3, 4, 5)]
        self.expect([times[:2], times[2:4], times[4:]], "--size", 2 * SIZE, stdin=entries(1, 2, 3, 4, 5))
        self.expect([times[:2], times[2:4], times[4:]], "--size", 3 * SIZE - 1, stdin=entries(1, 2, 3, 4, 5))
        self.expect([[t] for t in times], "--size", 1, stdin=entries(1, 2, 3, 4, 5))
        for unit in ("1k", "1K", "1M", "1G"):
            self.expect([times], "--size", unit, stdin=entries(1, 2, 3, 4, 5))
        self.expect([[(1, 1)], [(2, 1), (3, 1)]], "--size", "1k", stdin=entry(1, size=2000) + entry(2) + entry(3))

    def test_entries_counts(self):
        times = [(100, n) for n in (1, 2, 3)]
        self.expect([times[:2], times[2:]], "--entries", 2, stdin=entries(1, 2, 3))
        self.expect([times], "--entries", 3, stdin=entries(1, 2, 3))

    def test_at_cuts_before_the_first_entry_at_each_time(self):
        times = [(100, 1), (100, 2), (101, 1), (200, 1)]
        data = b"".join(entry(*t) for t in times)
        self.expect([times[:2], times[2:]], "--at", "101", stdin=data)
        self.expect([times[:1], times[1:2], times[2:3], times[3:]], "--at", "150,100:2,1970-01-01T00:01:41Z", stdin=data)
        self.expect([times], "--at", "5,100:1,300", stdin=data)

    def test_policies_combine(self):
        self.expect([[(100, 1)], [(100, 2), (100, 3)], [(100, 4)]], "--entries", 2, "--at", "100:2", stdin=entries(1, 2, 3, 4))

    def test_no_policy_and_no_directory_are_usage_errors(self):
        self.usage("say where to cut: --every, --size, --entries or --at", "split", "-o", "pieces")
        self.usage("say where the pieces go: -o DIR", "split", "--entries", "1")
        for bad in ("0", "-1", "x", "1h2", "", "18446744073709551616"):
            code, out, err = self.run_tool("split", "--entries=" + bad, "-o", "pieces")
            self.assertEqual((code, out), (2, b""), bad)
            self.assertTrue(err.endswith("hint: oplog-split --help\n"), err)
        for option, bad in (("--every", "1w"), ("--every", "1"), ("--every", "0h"), ("--every", "99999999999d"), ("--size", "1T"), ("--size", "99999999999999G"),
                            ("--at", "x"), ("--at", "5,,6"), ("--at", "5,")):
            code, out, err = self.run_tool("split", option, bad, "-o", "pieces")
            self.assertEqual((code, out), (2, b""), (option, bad, err))
        self.assertEqual(self.files(), [])

    def test_the_directory_may_exist_and_keep_what_is_in_it(self):
        self.write("pieces/other", b"kept")
        paths = self.good("split", "--entries", "1", "-o", "pieces", stdin=entries(1)).decode().splitlines()
        self.assertEqual(self.files(), ["pieces", paths[0], "pieces/other"])

    def test_a_directory_whose_parent_is_missing_is_an_error(self):
        self.fails(2, "{}: none/pieces: No such file or directory\n", "split", "--entries", "1", "-o", "none/pieces", stdin=entries(1))
        self.write("file", b"")
        self.fails(2, "{}: file: Not a directory\n", "split", "--entries", "1", "-o", "file", stdin=entries(1))
        self.assertEqual(self.files(), ["file"])

    def test_a_piece_that_exists_is_refused_before_any_is_made_and_force_replaces_it(self):
        existing = "pieces/" + name((100, 2), (100, 2))
        self.write(existing, b"old")
        self.fails(2, f"{{}}: {existing}: File exists\nhint: --force replaces it\n", "split", "--entries", "1", "-o", "pieces", stdin=entries(1, 2))
        self.assertEqual(self.files(), ["pieces", existing])
        self.assertEqual(self.read(existing), b"old")
        _, joined = self.split("--entries", "1", "-o", "pieces", "--force", stdin=entries(1, 2))
        self.assertEqual(joined, entries(1, 2))

    def test_a_piece_never_replaces_an_input(self):
        source = "pieces/" + name((100, 1), (100, 1))
        self.write(source, entries(1))
        code, _, err = self.run_tool("split", "--force", "--entries", "1", "-o", "pieces", source)
        self.assertEqual((code, err), (2, f"oplog-split: the output {source} is an input\nhint: oplog-split --help\n"))
        self.assertEqual(self.files(), ["pieces", source])

    def test_a_piece_never_replaces_what_an_input_is_linked_to(self):
        source = "pieces/" + name((100, 1), (100, 1))
        for directory, oplog, link in (("full", "oplog.bson", os.symlink), ("inc", "local/oplog.rs.bson", os.symlink), ("hard", "oplog.bson", os.link)):
            self.write(source, entries(1))
            os.makedirs((self.dir / directory / oplog).parent)
            link(self.dir / source, self.dir / directory / oplog)
            before = self.files()
            self.usage(f"the output {source} is an input", "split", "--force", "--entries", "1", "-o", "pieces", directory)
            self.assertEqual((self.files(), self.read(source)), (before, entries(1)))

    def test_a_directory_where_a_piece_would_be_is_an_error_before_any_appears(self):
        for number in (1, 2):
            for option in ((), ("--force",)):
                taken = "pieces/" + name((100, number), (100, number))
                os.makedirs(self.dir / taken)
                self.fails(2, f"{{}}: {taken}: Is a directory\n", "split", *option, "--entries", "1", "-o", "pieces", stdin=entries(1, 2))
                self.assertEqual(self.files(), ["pieces", taken])
                os.rmdir(self.dir / taken)

    def test_at_may_be_repeated(self):
        times = [(100, 1), (100, 2), (101, 1), (200, 1)]
        data = b"".join(entry(*t) for t in times)
        self.expect([times[:1], times[1:2], times[2:3], times[3:]], "--at", "150", "--at", "100:2,1970-01-01T00:01:41Z", stdin=data)
        self.write("in.bson", data)
        self.expect([times[:1], times[1:2], times[2:3], times[3:]], "--at", "Timestamp(100, 2)", "--at", "-99s,-1s", "in.bson", stdin=data)
        self.usage("--at has an empty item: '5,'", "split", "--at", "100", "--at", "5,", "-o", "more")

    def test_entries_has_no_units(self):
        for bad in ("0", "-1", "x", "1k", "", "18446744073709551616"):
            self.usage(f"--entries '{bad}' is not a number above 0", "split", f"--entries={bad}", "-o", "more")
        self.usage("--size '1T' is not a number above 0 with one of the units G K M k", "split", "--size", "1T", "-o", "more")
        self.usage("--every '0h' is not a number above 0 with one of the units d h m s", "split", "--every", "0h", "-o", "more")

    def test_pieces_can_be_compressed_and_are_named_so(self):
        for method, suffix, magic in (("zstd", ".bson.zst", b"\x28\xb5\x2f\xfd"), ("zstd:19", ".bson.zst", b"\x28\xb5\x2f\xfd"),
                                      ("gzip:9", ".bson.gz", b"\x1f\x8b"), ("none", ".bson", entries(1)[:4])):
            paths = self.good("split", "--entries", "1", "--compress", method, "-o", method.replace(":", ""), stdin=entries(1, 2)).decode().splitlines()
            self.assertEqual([os.path.basename(p) for p in paths], [name((100, n), (100, n), suffix) for n in (1, 2)])
            self.assertTrue(self.read(paths[0]).startswith(magic))
            self.assertEqual(self.good("slice", *paths), entries(1, 2))

    def test_an_empty_input_gives_no_pieces(self):
        self.assertEqual(self.good("split", "--entries", "1", "-o", "pieces"), b"")
        self.assertIn(self.files(), ([], ["pieces"]))

    def test_disorder_is_refused_and_leaves_nothing(self):
        self.fails(1, f"{{}}: -: offset {2 * SIZE}: document 3: out of order: entry 100:1 after 100:3\n", "split", "--entries", "1", "-o", "pieces",
                   stdin=entries(2, 3, 1))
        self.assertEqual(self.files(), [])

    def test_several_inputs_are_one_after_the_other(self):
        self.write("a.bson", entries(1, 2))
        self.write("b.bson", entries(3))
        paths, joined = self.split("--entries", "3", "-o", "pieces", "a.bson", "b.bson")
        self.assertEqual((paths, joined), (["pieces/" + name((100, 1), (100, 3))], entries(1, 2, 3)))
        self.fails(1, "{}: a.bson: offset 0: document 1: out of order: entry 100:1 after 100:3\n", "split", "--entries", "3", "-o", "more", "b.bson", "a.bson")

    def test_real_oplogs_put_together_again_are_the_input(self):
        for chain_name in CHAINS:
            path = chain(chain_name)[1]
            data = path.read_bytes()
            for number, policy in enumerate((("--every", "1s"), ("--size", "3k"), ("--entries", "7"), ("--size", "1G"))):
                directory = f"{chain_name}{number}"
                _, joined = self.split(*policy, "-o", directory, path)
                self.assertEqual(joined, data)
                self.assertEqual(self.good("merge", *(self.dir / directory / f for f in reversed(os.listdir(self.dir / directory)))), data)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""oplog-merge."""
import itertools
import unittest

from support import CHAINS, GAP_HINT, ToolTest, chain, entries, entry, split_documents

SIZE = len(entry(100))


def place(name, n):
    """Where the n-th (from 0) of a file's equally large entries stands."""
    return f"{name}: offset {n * SIZE}: document {n + 1}: "


class Merge(ToolTest):
    def slices(self, **files):
        for name, data in files.items():
            self.write(name, data)
        return sorted(files)

    def expect(self, result, *options, **files):
        """The merge, in every order of the arguments."""
        for names in itertools.permutations(self.slices(**files)):
            self.assertEqual(self.good("merge", *options, *names), result, names)

    def refuses(self, message, *args, **files):
        names = self.slices(**files)
        message = "{}: " + message + "\n" + (GAP_HINT if ": gap: " in message else "")
        self.fails(1, message, "merge", *args, *names, out=None)
        self.fails(1, message, "merge", *args, *names, "-o", "out.bson")
        self.assertNotIn("out.bson", self.files())

    def test_slices_in_any_order_and_overlap_are_one_stream(self):
        files = dict(a=entries(1, 2, 3), b=entries(3, 4), c=entries(2, 3, 4, 5), d=b"")
        self.expect(entries(1, 2, 3, 4, 5), **files)
        self.expect(entries(1, 2, 3, 4, 5), "--chain", **files)

    def test_without_chain_a_gap_is_fine(self):
        self.expect(entries(1, 2, 7, 8), a=entries(1, 2), b=entries(7, 8))
        self.expect(entries(1, 2, 3, 4), a=entries(1, 3), b=entries(2, 4))

    def test_equal_contained_and_empty_slices_continue_a_chain(self):
        self.expect(entries(1, 2), "--chain", a=entries(1, 2), b=entries(1, 2))
        self.expect(entries(1, 2, 3), "--chain", a=entries(1, 2, 3), b=entries(2))
        self.expect(entries(1, 2, 3), "--chain", a=b"", b=entries(1, 2, 3), c=b"")
        self.expect(b"", "--chain", a=b"", b=b"")
        self.assertEqual(self.good("merge", "--chain"), b"")

    def test_a_gap_names_both_edges_whatever_the_order_of_the_arguments(self):
        self.slices(a=entries(1, 2), b=entries(3, 4))
        for names in (("a", "b"), ("b", "a")):
            self.fails(1, "{}: " + place("b", 0) + "gap: this slice begins with entry 100:3, and a before it ends with 100:2\n" + GAP_HINT,
                       "merge", "--chain", *names, out=None)
        self.refuses(place("c", 0) + "gap: this slice begins with entry 100:4, and a before it ends with 100:3", "--chain",
                     a=entries(1, 2, 3), b=entries(2), c=entries(4))

    def test_the_same_timestamp_with_other_bytes_is_a_divergence_chain_or_not(self):
        for options in ((), ("--chain",)):
            self.refuses(place("b", 0) + "divergence: another entry 100:2 than a has", *options, a=entries(1, 2), b=entry(100, 2, 7) + entries(3))

    def test_an_entry_missing_on_one_side_is_a_divergence_of_a_chain_only(self):
        self.refuses(place("a", 2) + "divergence: b spans entry 100:3 and has it not", "--chain", a=entries(1, 2, 3, 4), b=entries(2, 4, 5))
        self.refuses(place("b", 1) + "divergence: a spans entry 100:3 and has it not", "--chain", a=entries(1, 2, 4), b=entries(2, 3, 4))
        self.expect(entries(1, 2, 3, 4, 5), a=entries(1, 2, 3, 4), b=entries(2, 4, 5))

    def test_a_slice_out_of_order_is_refused(self):
        self.refuses(place("b", 2) + "out of order: entry 100:3 after 100:4", a=entries(1), b=entries(2, 4, 3))
        self.refuses(place("b", 1) + "entry 100:2 occurs twice in a row", a=entries(1), b=entries(2, 2))

    def test_a_file_twice_is_that_file(self):
        self.write("a", entries(1, 2))
        self.assertEqual(self.good("merge", "--chain", "a", "a", "-", stdin=entries(2, 3)), entries(1, 2, 3))

    def test_many_slices_merge(self):
        names = [self.write(f"{n:03}", entries(n, n + 1)) for n in range(1, 301)]
        self.assertEqual(self.good("merge", "--chain", *reversed(names)), entries(*range(1, 302)))

    def test_the_increments_of_real_chains_are_one_stream(self):
        self.assertGreaterEqual(len(CHAINS), 8)
        for name in CHAINS:
            files = chain(name)
            joined = {}
            for path in files:
                for one in split_documents(path.read_bytes()):
                    at = one.index(b"\x11ts\0") + 4
                    joined[one[at + 4:at + 8][::-1] + one[at:at + 4][::-1]] = one
            expected = b"".join(joined[ts] for ts in sorted(joined))
            self.assertEqual(self.good("merge", "--chain", *files), expected, name)
            self.assertEqual(self.good("merge", "--chain", *reversed(files)), expected, name)
            directories = [p.parent if p.name == "oplog.bson" else p.parent.parent for p in files]
            self.assertEqual(self.good("merge", "--chain", *directories), expected, name)

    def test_a_chain_without_one_of_its_increments_is_a_gap(self):
        for name in CHAINS:
            files = chain(name)
            if len(files) < 4:
                continue
            code, _, err = self.run_tool("merge", "--chain", *files[:2], *files[3:])
            self.assertEqual(code, 1, name)
            self.assertRegex(err, r"\Aoplog-merge: \S*/inc3/\S*: offset 0: document 1: gap: this slice begins with entry \d+:\d+, and \S*/inc1/\S* before it ends with \d+:\d+\nhint: [^\n]*\n\Z")

    def test_a_long_stream_cut_with_overlaps_comes_back_from_its_pieces(self):
        times = [(1000 + n // 5, n % 5 + 1) for n in range(4000)]
        data = b"".join(entry(*t, value=n, size=200 + n % 700) for n, t in enumerate(times))
        self.write("dump.bson", data)
        pieces = []
        for n, begin in enumerate(range(0, 4000, 450)):
            end = min(begin + 450 + n * 13, 3999)
            piece = f"piece{n}.bson" + ("", ".gz", ".zst")[n % 3]
            self.good("slice", "--from", "%d:%d" % times[begin], "--to", "%d:%d" % times[end], "dump.bson", "-o", piece)
            pieces.append(piece)
        self.good("merge", "--chain", *pieces[::2], *pieces[1::2], "-o", "merged.bson")
        self.assertEqual(self.read("merged.bson"), data)
        bounds = ("--after", "1200:3", "--to", "1500")
        self.assertEqual(self.good("slice", *bounds, "merged.bson"), self.good("slice", *bounds, "dump.bson"))


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""--from, --after, --to, --before: what times mean."""
import unittest

from support import MARK, ToolTest, entry, split_documents

import struct

BERLIN = {"TZ": "Europe/Berlin"}
BASE = 1610422195  # 2021-01-12T03:29:55Z, a Tuesday


class Bounds(ToolTest):
    def setUp(self):
        super().setUp()
        # Around a second, a minute and a day of UTC, with several ordinals a second.
        self.times = [(BASE - 90000, 1), (BASE - 60, 1), (BASE - 1, 9), (BASE, 1), (BASE, 2), (BASE, 4294967295), (BASE + 1, 1),
                      (BASE + 4, 9), (BASE + 5, 1), (BASE + 90000, 1)]
        self.write("in.bson", b"".join(entry(*t) for t in self.times))

    def selected(self, *bounds, env=None):
        out = self.good("slice", *bounds, "in.bson", env=env)
        found = []
        for one in split_documents(out):
            at = one.index(b"\x11ts\0") + 4
            ordinal, seconds = struct.unpack_from("<II", one, at)
            found.append((seconds, ordinal))
        return found

    def expect(self, condition, *bounds, env=None):
        self.assertEqual(self.selected(*bounds, env=env), [t for t in self.times if condition(t)], bounds)

    def test_a_timestamp_with_ordinal_is_that_entry_alone(self):
        t = (BASE, 2)
        self.expect(lambda e: e >= t, "--from", f"{BASE}:2")
        self.expect(lambda e: e > t, "--after", f"{BASE}:2")
        self.expect(lambda e: e <= t, "--to", f"{BASE}:2")
        self.expect(lambda e: e < t, "--before", f"{BASE}:2")

    def test_a_second_is_meant_whole_in_each_of_its_forms(self):
        for form in (str(BASE), "2021-01-12T03:29:55Z", "2021-01-12T04:29:55+01:00", "2021-01-11T18:29:55-09:00", "2021-01-12t03:29:55z",
                     "2021-01-12 03:29:55"):
            self.expect(lambda e: e[0] >= BASE, "--from", form)
            self.expect(lambda e: e[0] > BASE, "--after", form)
            self.expect(lambda e: e[0] <= BASE, "--to", form)
            self.expect(lambda e: e[0] < BASE, "--before", form)

    def test_a_minute_is_meant_whole(self):
        begin = BASE - 55
        for form, env in (("2021-01-12T03:29Z", None), ("2021-01-12 03:29", None), ("2021-01-12 04:29", BERLIN)):
            self.expect(lambda e: e[0] >= begin, "--from", form, env=env)
            self.expect(lambda e: e[0] >= begin + 60, "--after", form, env=env)
            self.expect(lambda e: e[0] < begin + 60, "--to", form, env=env)
            self.expect(lambda e: e[0] < begin, "--before", form, env=env)

    def test_a_day_is_meant_whole_in_local_time(self):
        for env, begin in ((None, 1610409600), (BERLIN, 1610406000)):
            self.expect(lambda e: e[0] >= begin, "--from", "2021-01-12", env=env)
            self.expect(lambda e: e[0] >= begin + 86400, "--after", "2021-01-12", env=env)
            self.expect(lambda e: e[0] < begin + 86400, "--to", "2021-01-12", env=env)
            self.expect(lambda e: e[0] < begin, "--before", "2021-01-12", env=env)

    def test_bounds_combine(self):
        self.expect(lambda e: (BASE, 1) < e < (BASE + 4, 9), "--after", f"{BASE}:1", "--before", f"{BASE + 4}:9")
        self.expect(lambda e: (BASE, 2) <= e and e[0] <= BASE, "--from", f"{BASE}:2", "--to", BASE)
        self.expect(lambda e: e[0] > BASE, "--from", BASE - 100, "--after", BASE)
        self.expect(lambda e: True)

    def test_before_seconds_is_what_mongorestore_takes_as_oplog_limit(self):
        # --oplogLimit S is S:0, exclusive: entries < S:0. --oplogLimit S:I: entries < S:I.
        self.expect(lambda e: e < (BASE, 0), "--before", BASE)
        self.expect(lambda e: e < (BASE, 2), "--before", f"{BASE}:2")

    def test_before_and_from_of_one_time_part_the_input(self):
        for form in (str(BASE), f"{BASE}:2", "2021-01-12", "2021-01-12T03:29Z"):
            self.assertEqual(self.selected("--before", form) + self.selected("--from", form), self.times)
            self.assertEqual(self.selected("--to", form) + self.selected("--after", form), self.times)

    def test_an_hour_that_occurs_twice_asks_for_an_offset(self):
        for option in ("--from", "--after", "--to", "--before"):
            self.usage("time '2026-10-25 02:30' occurs twice at a clock change; write it with an offset, as in 2026-10-25T02:30:00+01:00",
                       "slice", option, "2026-10-25 02:30", "in.bson", env=BERLIN, out=MARK)
        self.expect(lambda e: True, "--to", "2026-10-25 03:00", env=BERLIN)

    def test_an_hour_that_is_skipped_is_an_error(self):
        self.usage("time '2026-03-29 02:30' is skipped by a clock change", "slice", "--to", "2026-03-29 02:30", "in.bson", env=BERLIN, out=MARK)

    def test_a_time_that_is_none_is_a_usage_error(self):
        forms = "is neither <seconds>[:<ordinal>] nor 2026-11-22T14:06:59Z nor 2026-11-22[ 14:06[:59]]"
        for tool in ("slice", "cat"):
            self.usage(f"time 'yesterday' {forms}", tool, "--from", "yesterday", "in.bson", out=MARK if tool == "slice" else b"")
        self.usage("time '2026-02-30' is no date of the calendar", "slice", "--from", "2026-02-30", "in.bson", out=MARK)
        self.usage("time '2021-01-12T03:29:55' has no offset; end it with Z or +HH:MM, or put a space instead of the T for local time",
                   "slice", "--to", "2021-01-12T03:29:55", "in.bson", out=MARK)
        self.usage(f"time '\\x1b[2J\\x0a' {forms}", "slice", "--to", "\x1b[2J\n", "in.bson", out=MARK)

    def test_bounds_that_exclude_everything_are_a_usage_error(self):
        for bounds in (("--from", "10", "--to", "9"), ("--after", "10", "--to", "10"), ("--from", "10", "--before", "10"),
                       ("--after", "10", "--before", "10"), ("--before", "0"), ("--after", "4294967295")):
            self.usage("the bounds exclude everything", "slice", *bounds, "in.bson", out=MARK)

    def test_times_as_others_print_them_are_taken(self):
        for form in (f"Timestamp({BASE}, 2)", f"Timestamp({{ t: {BASE}, i: 2 }})", f"Timestamp({{ i: 2, t: {BASE} }})",
                     f'{{"$timestamp":{{"t":{BASE},"i":2}}}}', f'{{"$timestamp":{{"i":2,"t":{BASE}}}}}'):
            self.expect(lambda e: e >= (BASE, 2), "--from", form)
        for form in ("2021-01-12T03:29:55.248Z", 'ISODate("2021-01-12T03:29:55.248Z")', '{"$date":"2021-01-12T03:29:55.248Z"}',
                     f'{{"$date":{{"$numberLong":"{BASE}248"}}}}'):
            self.expect(lambda e: e[0] > BASE, "--after", form)

    def test_times_count_back_from_the_last_entry(self):
        end = self.times[-1][0]
        self.expect(lambda e: e[0] >= end - 5, "--from", "-5s")
        self.expect(lambda e: e[0] < end - 60, "--before", "-1m")
        self.expect(lambda e: e[0] >= end - 5, "--last", "5s")
        self.expect(lambda e: end - 93600 <= e[0] <= end - 90000, "--last", "26h", "--to", "-25h")
        self.expect(lambda e: True, "--last", "100w")
        for bad in ("5", "5x", "-5s", ""):
            self.usage(f"duration '{bad}' is not a number with s, m, h, d or w, as in 15m or 1.5h", "slice", "--last", bad, "in.bson", out=MARK)
        for options, part in ((("--last", "0.9s"), "0.9s"), (("--from", "-1.0001m"), "1.0001m")):
            self.usage(f"duration '{part}' is not whole seconds, which is what an oplog's clock counts", "slice", *options, "in.bson", out=MARK)
        self.fails(2, "{}: nosuch: No such file or directory\n", "slice", "--last", "5s", "nosuch", out=MARK)
        self.usage("--last, --from and --after exclude each other", "slice", "--last", "5s", "--from", "5", "in.bson", out=MARK)
        self.usage("what counts back from the last entry takes files, which can be read twice; - is none", "slice", "--last", "5s", out=MARK)

    def test_cat_takes_the_same_bounds(self):
        for bounds in (("--from", BASE), ("--after", BASE), ("--to", BASE), ("--before", BASE), ("--from", f"{BASE}:2", "--to", BASE)):
            sliced = self.good("cat", stdin=self.good("slice", *bounds, "in.bson"))
            self.assertEqual(self.good("cat", *bounds, "in.bson"), sliced)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""oplog-chain: records, windows, verification, pruning and selection, on chains made from oplogs by hand."""
import json
import os
import pathlib
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from hashlib import sha256

from schema import checked
from support import BIN, ENVIRONMENT, document, entry, field, int32, string, timestamp

NOTHING, DISCONTINUITY, UNVERIFIED, ASK_AGAIN, END_UNKNOWN, NOT_DUMPED = 10, 20, 21, 75, 77, 78
TIME = "1970-01-01T00:{:02}:{:02}Z"


def utc(seconds):
    return TIME.format(seconds // 60, seconds % 60)


class Chain(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name) / "dbbak"
        self.step = self.folder / ".step"
        self.folder.mkdir()

    def chain(self, command, *arguments, expected=0, stdin=None):
        done = subprocess.run([BIN / "oplog-chain", command, self.folder, *arguments], input=stdin, capture_output=True, check=False,
                              env=ENVIRONMENT, timeout=30)
        out, err = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, expected, out + err)
        return err if expected else out

    def shell(self, *arguments, **how):
        """The assignments printed, lists as lists."""
        words = shlex.split(self.chain(*arguments, **how).replace("=(", "=( ").replace(")\n", " )\n"), posix=True)
        values, key = {}, None
        for word in words:
            if key and word == ")":
                key = None
            elif key:
                values[key].append(word)
            elif word.endswith("=("):
                key = word[:-2]
                values[key] = []
            else:
                values.update([word.split("=", 1)])
        return values

    def write(self, path, data):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def full(self, *seconds, started=1000, probe=None, slice_=None, expected=0):
        """A full backup whose oplog has entries at these seconds, and the slice from two seconds before."""
        subprocess.run(["rm", "-rf", self.step], check=True)
        oplog = b"".join(entry(n) for n in seconds)
        before = entry(seconds[0] - 2)
        self.write(self.step / "full/oplog.bson", oplog)
        self.write(self.step / "full/shop/a.bson", document(int32("_id", 1)))
        self.write(self.step / "full/shop/a.metadata.json", b"{}")
        self.write(self.step / "full/prelude.json", b'{"ServerVersion":"6.0.5","ToolVersion":"x"}')
        self.write(self.step / "slice/local/oplog.rs.bson", before + oplog if slice_ is None else slice_)
        self.write(self.folder / ".work/probe/local/oplog.rs.bson", before if probe is None else probe)
        return self.shell_or_error("add-full", self.step, "--probe", self.folder / ".work/probe", "--started", started, "--mongodump", "v1", expected=expected)

    def inc(self, *seconds, started=1000, chain="latest", data=None, expected=0):
        subprocess.run(["rm", "-rf", self.step], check=True)
        self.write(self.step / "local/oplog.rs.bson", b"".join(entry(n) for n in seconds) if data is None else data)
        return self.shell_or_error("add-inc", self.step, "--chain", chain, "--started", started, expected=expected)

    def mongodump(self, data, code=0):
        """A command that writes that to its stdout, whatever it is asked for, and what it is asked for to stderr."""
        self.write(self.folder.parent / "dumped", data)
        return ["--", "sh", "-c", f'printf "%s\\n" "$@" >&2; cat {self.folder.parent}/dumped; exit {code}', "mongodump"]

    def received(self, data, *options, code=0, expected=0):
        """What an increment that such a command writes is added as, or what is said of it."""
        subprocess.run(["rm", "-rf", self.step], check=True)
        return self.shell_or_error("add-inc", self.step, "--started", 1000, *options, *self.mongodump(data, code), expected=expected)

    def shell_or_error(self, *arguments, expected):
        arguments = [str(argument) for argument in arguments]
        return self.chain(*arguments, expected=expected) if expected else self.shell(*arguments)

    def status(self):
        return checked("status", self.chain("status", "--json"))


class Steps(Chain):
    def test_a_chain_and_its_records(self):
        self.assertEqual(self.full(100, 103), {"chain": "19700101_00_16_40", "size": "227 B"})
        made = self.inc(103, 110)["increment"]
        self.assertEqual(made, str(self.folder / "19700101_00_16_40/inc/19700101_00_16_40"))
        self.inc(110, started=1005)
        self.assertFalse(self.step.exists())
        record = json.loads((pathlib.Path(made) / "step.json").read_text())
        finished = record.pop("finished")
        self.assertRegex(finished, r"^20\d\d-.*Z$")
        record.pop("seconds")
        text = (pathlib.Path(made) / "step.json").read_bytes()
        self.assertEqual(record.pop("sha256"), sha256(text[:text.rindex(b',\n"sha256"')]).hexdigest())
        self.assertEqual(record.pop("previous"), sha256((self.folder / "19700101_00_16_40/full/step.json").read_bytes()).hexdigest())
        hashes = {name: subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout.decode().split()[0]
                  for name, data in (("first", entry(103)), ("last", entry(110)), ("file", entry(103) + entry(110)))}
        version = subprocess.run([BIN / "oplog-chain", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
        self.assertEqual(record, {
            "format": 2, "type": "inc", "number": 1, "first": "103:1", "last": "110:1", "entries": 2, "bytes": len(entry(103)) * 2,
            "firstEntrySha256": hashes["first"], "lastEntrySha256": hashes["last"], "started": utc(1000), "versions": {"oplog": version},
            "files": [{"path": "local/oplog.rs.bson", "size": len(entry(103)) * 2, "sha256": hashes["file"]}]})
        full = json.loads((self.folder / "19700101_00_16_40/full/step.json").read_text())
        self.assertEqual(full["versions"], {"mongodump": "v1", "oplog": version, "server": "6.0.5"})
        self.assertEqual([file["path"] for file in full["files"]], ["oplog.bson", "prelude.json", "shop/a.bson", "shop/a.metadata.json"])
        self.assertEqual(self.chain("verify"), "19700101_00_16_40  ok\n")
        self.assertEqual(self.shell("next")["number"], "3")

    def test_two_steps_in_one_second_have_two_names(self):
        names = [self.full(100)["chain"], self.full(105)["chain"]]
        self.assertEqual(names, ["19700101_00_16_40", "19700101_00_16_40_2"])
        for _ in range(3):
            self.inc(105)
        self.assertEqual(sorted(path.name for path in (self.folder / names[1] / "inc").iterdir()), [names[0], names[0] + "_2", names[0] + "_3"])
        self.assertEqual([step["number"] for step in self.status()["chains"][1]["steps"]], [0, 0, 1, 2, 3])

    def test_a_long_chain_is_verified_with_few_files_open(self):
        self.full(100, 103)
        for second in range(103, 183):
            self.inc(second, second + 1)
        done = subprocess.run(["sh", "-c", 'ulimit -n 80; exec "$@"', "sh", BIN / "oplog-chain", "verify", self.folder], capture_output=True, text=True, env=ENVIRONMENT)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "19700101_00_16_40  ok\n", ""))

    def test_a_dump_without_all_files_of_a_collection_is_no_full_backup(self):
        def cut(name):
            self.full(100, 103, expected=ASK_AGAIN, slice_=b"")  # makes the step, and leaves it
            (self.step / "full" / name).unlink()
            self.write(self.step / "slice/local/oplog.rs.bson", b"".join(entry(n) for n in (98, 100, 103)))
            return self.chain("add-full", self.step, "--probe", self.folder / ".work/probe", "--started", "1000", expected=UNVERIFIED)
        self.assertRegex(cut("shop/a.bson"), "^oplog-chain: .*/full/shop/a.bson: missing, and with it the documents of shop.a: the dump is not whole")
        self.assertRegex(cut("shop/a.metadata.json"), "^oplog-chain: .*/full/shop/a.metadata.json: missing, and with it the options and indexes of shop.a")

    def test_verify_refuses_such_a_dump_that_was_filed(self):
        self.full(100, 103)
        full = next(self.folder.glob("1*/full"))
        (full / "shop/a.bson").unlink()
        record = json.loads((full / "step.json").read_text())
        record["files"] = [file for file in record["files"] if file["path"] != "shop/a.bson"]
        for path in self.folder.glob("1*/**/step.json"):  # as they were before each proved itself
            old = record if path.parent == full else json.loads(path.read_text())
            path.write_text(json.dumps({key: value for key, value in old.items() if key not in ("previous", "sha256")} | {"format": 1}, separators=(",", ":")))
        (full.parent / "chain.json").unlink()
        done = subprocess.run([BIN / "oplog-chain", "verify", self.folder], capture_output=True, text=True, check=False, env=ENVIRONMENT)
        self.assertEqual(done.returncode, UNVERIFIED)
        self.assertIn("full/shop/a.bson: missing, and with it the documents of shop.a", done.stdout)

    def test_a_chain_of_a_clock_that_was_ahead_is_not_the_newest(self):
        self.full(100, 101, started=int(time.time()) + 400 * 86400)  # and nothing was written since
        newest = self.full(100, 101, started=2000)["chain"]
        self.assertEqual(self.shell("next")["chain"], newest)
        self.chain("prune", "--keep", "1")
        self.assertEqual([chain["id"] for chain in self.status()["chains"]], [newest])

    def test_an_increment_that_does_not_continue_is_none(self):
        self.full(100, 103)
        error = self.inc(104, 110, expected=DISCONTINUITY)
        self.assertEqual(error, f"oplog-chain: the increment begins with entry 104:1 {utc(104)}, and not with the one that the chain ends with, 103:1 {utc(103)}\n")
        error = self.inc(expected=DISCONTINUITY, data=entry(103, value=7) + entry(104))
        self.assertIn("103:1 " + utc(103) + ": the same timestamp, other bytes\n", error)
        self.assertIn("no entries", self.inc(expected=ASK_AGAIN))
        for data in (entry(103) + entry(104)[:-1], entry(103) + entry(105) + entry(104), entry(103) + document(int32("x", 1)),
                     entry(103) + document(timestamp("ts", 104, 1), field(8, "neither true nor false", b"\2"))):
            self.inc(expected=UNVERIFIED, data=data)
        self.assertEqual(self.status()["chains"][0]["increments"], 0)
        self.inc(103, 104)

    def test_what_a_mongodump_writes_is_checked_and_added_to_the_chain(self):
        last = 101
        self.full(100, last)
        for number, method in enumerate(("none", "zstd", "gzip:1"), 1):
            data = b"".join(entry(last + n) for n in (0, 2, 4))
            made = self.received(data, "--compress", method)
            self.assertEqual((made["number"], made["last"], made["archived"]), (str(number), f"{last}:1", f"{last + 4}:1"))
            last += 4
            record = json.loads((pathlib.Path(made["increment"]) / "step.json").read_text())
            path = pathlib.Path(made["increment"]) / record["files"][0]["path"]
            self.assertEqual(path.name, "oplog.rs.bson" + {"none": "", "zstd": ".zst", "gzip:1": ".gz"}[method])
            self.assertEqual(record["files"][0]["sha256"], sha256(path.read_bytes()).hexdigest())
            self.assertEqual((record["entries"], record["bytes"]), (3, len(data)))
        self.chain("verify")

    def test_a_mongodump_is_asked_for_what_continues_the_chain(self):
        self.full(100, 101)
        words, complaints = self.folder.parent / "words", self.folder.parent / "complaints"
        bound = 4102444800
        self.received(entry(101), "--to", "300:7", "--until", bound)
        for options, end in (([], None), (["--until", bound], bound), (["--until", 200, "--to", "300:7"], 301), (["--until", 5], 102)):
            with self.subTest(options):
                with words.open("wb") as stderr:
                    subprocess.run([BIN / "oplog-chain", "add-inc", self.folder, self.step, "--started", "1000", "--complaints", complaints,
                                    *map(str, options), *self.mongodump(entry(101))], stdout=subprocess.DEVNULL, stderr=stderr, env=ENVIRONMENT, check=True)
                self.assertEqual(words.read_text().split(), ["--query", '{"ts":{"$gte":{"$timestamp":{"t":101,"i":1}}' + (f',"$lte":{{"$timestamp":{{"t":{end},"i":0}}}}' if end else "") + "}}", "--out", "-"])
                self.assertEqual(complaints.read_text(), "oplog-chain: warning: the newest entry, 101:1 1970-01-01T00:01:41Z, is 899 s old: the member lags behind, or clocks differ\n")

    def test_nothing_at_all_is_no_increment_and_a_clock_that_is_ahead_is_no_end(self):
        self.full(100, 101)
        ahead = int(time.time()) + 7200
        for options in ((), ("--until", ahead)):
            self.assertIn("the oplog has nothing from the chain's end on", self.received(b"", *options, expected=END_UNKNOWN))
        self.assertEqual(self.received(entry(101) + entry(ahead))["archived"], f"{ahead}:1")

    def test_an_oplog_that_is_written_as_fast_as_it_is_read_is_not_waited_for(self):
        fast = ["faketime", "-f", "+0 x300"]
        if not shutil.which(fast[0]) or subprocess.run([*fast, BIN / "oplog-chain", "--version"], capture_output=True, check=False).returncode:
            self.skipTest("faketime is not installed, or these tools are built with sanitizers, which want to come first")
        self.full(100, 101)
        endless = self.folder.parent / "endless.py"
        endless.write_text(f"""import sys, time
sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
from support import entry
sys.stdout.buffer.write(entry(101))
for n in range(1, 1 << 30):
    sys.stdout.buffer.write(entry(int(time.time()), n))
    sys.stdout.buffer.flush()
    time.sleep(0.1)
""")
        command = [*fast, BIN / "oplog-chain", "add-inc", self.folder, self.step, "--started", "1000", "--", sys.executable, endless]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False)
        self.assertEqual(done.returncode, END_UNKNOWN, done.stderr)
        self.assertIn("the oplog may go on for ever", done.stderr)
        self.assertEqual(os.listdir(self.step / "local"), [])
        self.assertEqual(self.status()["chains"][0]["increments"], 0)

    def test_what_is_bad_or_of_a_failure_is_kept_nowhere(self):
        self.full(100, 101)
        for data, words in ((entry(101) + b"\x07\0\0\0" + bytes(1 << 20), "offset "), (entry(103) + entry(101), "out of order"), (entry(101)[:-3], "the stream ends inside")):
            self.assertIn(words, self.received(data, expected=UNVERIFIED))
            self.assertEqual(os.listdir(self.step / "local"), [])
            self.assertIn("sh ended with exit code 3", self.received(data, code=3, expected=NOT_DUMPED))
        self.assertIn("sh ended with exit code 1", self.received(entry(101), code=1, expected=NOT_DUMPED))
        self.assertIn("begins with entry 103:1", self.received(entry(103), expected=DISCONTINUITY))
        self.assertEqual(self.status()["chains"][0]["increments"], 0)
        for command, said in ((self.mongodump(entry(101), "$(kill -9 $$)"), b"dumped=137"), (["--", "no-such-mongodump"], b"dumped=127")):
            subprocess.run(["rm", "-rf", self.step], check=True)
            done = subprocess.run([BIN / "oplog-chain", "add-inc", self.folder, self.step, "--started", "1000", *command], capture_output=True, env=ENVIRONMENT, timeout=30)
            self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (NOT_DUMPED, said), done.stderr)

    def test_a_full_backup_needs_the_oplog_of_its_time(self):
        self.assertIn("begins with entry 99:1, and the last one before the dump was 98:1",
                      self.full(100, 103, slice_=b"".join(map(entry, (99, 100, 103))), expected=DISCONTINUITY))
        self.assertIn("ends with entry 100:1, and the dump with 103:1", self.full(100, 103, slice_=entry(98) + entry(100), expected=ASK_AGAIN))
        self.assertIn("divergence", self.full(100, 102, 103, slice_=b"".join(map(entry, (98, 100, 103))), expected=DISCONTINUITY))
        self.full(100, 103, slice_=entry(98) + entry(100) + entry(103, value=1), expected=DISCONTINUITY)
        self.assertEqual(self.status()["chains"], [])

    def test_a_closed_chain_is_not_continued(self):
        self.chain("next", expected=NOTHING)
        self.full(100)
        self.chain("close", "--chain", "latest", "--reason", "whim", expected=2)
        self.chain("close", "--chain", "19700101_00_16_40", "--reason", "divergence")
        self.assertEqual(self.chain("next", expected=NOTHING),
                         "oplog-chain: chain 19700101_00_16_40 cannot be continued (closed: divergence): a new full backup is needed\n")
        self.inc(100, 101, expected=NOTHING)
        self.assertIn("(doubtful)", self.chain("status"))
        self.assertIn("doubtful end", self.chain("list"))
        self.assertIn("doubtful", subprocess.run([BIN / "oplog-chain", "select", self.folder], capture_output=True, text=True, check=True).stderr)


class OpenTransactions(Chain):
    def since(self, *starts):
        documents = [document(field(3, "startOpTime", document(timestamp("ts", seconds, 1)))) for seconds in starts]
        path = self.folder / "transactions"
        self.write(path, b"".join(documents))
        done = subprocess.run([BIN / "oplog-chain", "open-since", path, "--to", "100:2"], capture_output=True, text=True, env=ENVIRONMENT)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_the_oplog_begins_with_the_oldest_that_is_older_than_the_dump(self):
        self.assertEqual(self.since(90, 80, 200), "80:1\n")

    def test_those_that_begin_later_are_in_it_anyway(self):
        self.assertEqual(self.since(), "100:2\n")
        self.assertEqual(self.since(101, 200), "100:2\n")


class Windows(Chain):
    def setUp(self):
        super().setUp()
        self.old = self.full(100, 103, started=1000)["chain"]
        self.inc(103, 110)
        self.inc(110, 120)
        self.new = self.full(200, 203, started=2000)["chain"]
        self.inc(203, 210)

    def steps(self, chain, *increments):
        folder = self.folder / chain
        made = sorted(path for path in (folder / "inc").iterdir())
        return [str(folder / "slice"), *(str(made[number]) for number in increments)]

    def test_status_and_list(self):
        status = self.status()
        self.assertEqual([(one["first"], one["last"], one["state"], one["increments"]) for one in status["chains"]],
                         [("103:1", "120:1", "open", 2), ("203:1", "210:1", "open", 1)])
        self.assertEqual(status["windows"], [{"first": "103:1", "firstTime": utc(103), "last": "120:1", "lastTime": utc(120)},
                                             {"first": "203:1", "firstTime": utc(203), "last": "210:1", "lastTime": utc(210)}])
        self.assertEqual(checked("list", self.chain("list", "--json"))["windows"], status["windows"])
        self.assertEqual(self.chain("list").split(), ["CHAIN", "FROM", "TO", self.old, "103:1", utc(103), "120:1", utc(120),
                                                      self.new, "203:1", utc(203), "210:1", utc(210)])
        self.assertEqual(self.chain("status").splitlines()[0].split(), ["CHAIN", "STATE", "RESTORABLE", "FROM", "TO", "INCREMENTS", "SIZE"])

    def test_chains_that_meet_are_one_window(self):
        self.inc(120, 205, chain=self.old)
        self.assertEqual([(one["first"], one["last"]) for one in self.status()["windows"]], [("103:1", "210:1")])
        self.assertEqual(self.shell("select", "--to", "204:1")["chain"], self.new)  # the newest has the least to replay
        self.assertEqual(self.shell("select", "--to", "202:1")["chain"], self.old)

    def test_what_a_restore_needs(self):
        selected = self.shell("select")
        self.assertEqual(selected, {"chain": self.new, "full": str(self.folder / self.new / "full"), "steps": self.steps(self.new, 0), "gzip": [],
                                    "stands_at": "210:1", "stands_at_time": utc(210)})
        for arguments, chain, increments, stands_at in (
                (["--to", "120:1"], self.old, (0, 1), "120:1"), (["--to", "115"], self.old, (0, 1), "110:1"), (["--to", "109:5"], self.old, (0,), "103:1"),
                (["--to", "103:1"], self.old, (0,), "103:1"), (["--before", "120:1"], self.old, (0, 1), "110:1"), (["--before", "110"], self.old, (0,), "103:1"),
                (["--to", utc(205)], self.new, (0,), "203:1"), (["--chain", self.old], self.old, (0, 1), "120:1"), (["--to", utc(120)], self.old, (0, 1), "120:1")):
            selected = self.shell("select", *arguments)
            self.assertEqual((selected["chain"], selected["steps"], selected["stands_at"]), (chain, self.steps(chain, *increments), stands_at), arguments)

    def test_a_time_counts_back_from_the_end_of_the_newest_chain(self):
        for bound, chain, increments, stands_at, absolute in (("--to -5s", self.new, (0,), "203:1", "205"), ("--to -1.5m", self.old, (0, 1), "120:1", "120"),
                                                              ("--before -90s", self.old, (0, 1), "110:1", "120")):
            selected = self.shell("select", *bound.split())
            self.assertEqual((selected["chain"], selected["steps"], selected["stands_at"]), (chain, self.steps(chain, *increments), stands_at), bound)
            self.assertEqual(selected["bounds"], [bound.split()[0], absolute])
        self.chain("select", "--to", "-5y", expected=2)

    def test_a_time_outside_every_window_names_the_nearest(self):
        for time, nearest in (("102:9", f"103:1 {utc(103)}"), ("150:1", f"120:1 {utc(120)} and 203:1 {utc(203)}"), ("300", f"210:1 {utc(210)}")):
            error = self.chain("select", "--to", time, expected=NOTHING)
            self.assertTrue(error.endswith(f"the nearest restorable times are {nearest}\n"), error)
        self.chain("select", "--before", "103:1", expected=NOTHING)
        self.chain("select", "--to", "110:1", "--chain", self.new, expected=NOTHING)
        self.chain("select", "--chain", "other", expected=NOTHING)

    def test_pruning_drops_whole_old_chains_and_never_the_newest_good_one(self):
        third = self.full(300, started=3000)["chain"]
        self.chain("prune", expected=2)
        self.chain("prune", "--keep", "0", expected=2)
        self.assertEqual(self.chain("prune", "--keep", "2", "--dry-run").split()[0], self.old)
        self.assertTrue((self.folder / self.old).exists())
        self.assertEqual(self.chain("prune", "--keep", "2").split()[0], self.old)
        self.assertEqual([one["id"] for one in self.status()["chains"]], [self.new, third])
        (self.folder / third / "full/oplog.bson").unlink()  # damaged, so not good
        self.assertEqual(self.chain("prune", "--keep", "1"), "")
        self.assertEqual([(one["id"], one["good"]) for one in self.status()["chains"]], [(self.new, True), (third, False)])
        self.assertEqual(self.shell("select")["chain"], self.new)
        self.chain("next", expected=NOTHING)

    def test_what_is_not_ours_is_left_alone(self):
        self.write(self.folder / "20200101_00_00_00/full/oplog.bson", b"")
        self.write(self.folder / "dbbak.log", b"")
        self.chain("prune", "--keep", "1")
        self.assertTrue((self.folder / "20200101_00_00_00/full/oplog.bson").exists())
        self.assertEqual(len(self.status()["chains"]), 1)

    def test_damage_is_found_and_what_came_before_stays_restorable(self):
        folder = self.folder / self.old
        for path, change, message in (
                (folder / "full/shop/a.bson", lambda data: data[:-2] + b"\7" + data[-1:], "its SHA-256 is not the one of its record"),
                (folder / "full/shop/a.metadata.json", lambda data: b"[]", "its SHA-256 is not the one of its record"),
                (self.old_increment(1), lambda data: data[:-1], "bytes, and its record says"),
                (self.old_increment(1), lambda data: data.replace(b"shop.a", b"shop.b"), "its SHA-256 is not the one of its record")):
            good = path.read_bytes()
            path.write_bytes(change(good))
            out = subprocess.run([BIN / "oplog-chain", "verify", self.folder, "--json"], capture_output=True, text=True, check=False, env=ENVIRONMENT)
            self.assertEqual(out.returncode, UNVERIFIED)
            verdicts = checked("verdicts", out.stdout)["chains"]
            self.assertEqual([one["good"] for one in verdicts], [False, True])
            self.assertIn(str(path), verdicts[0]["damage"])
            self.assertIn(message, verdicts[0]["damage"])
            self.chain("verify", "--chain", self.new)
            path.write_bytes(good)
        self.write(folder / "full/extra", b"")
        self.assertIn("not in the step's record", subprocess.run([BIN / "oplog-chain", "verify", self.folder], capture_output=True, text=True, check=False).stdout)
        (folder / "full/extra").unlink()
        subprocess.run(["rm", "-r", self.old_increment(0).parents[1]], check=True)
        one = self.status()["chains"][0]
        self.assertEqual((one["state"], one["good"], one["last"]), ("damaged", True, "103:1"))
        self.assertIn("increment 1 is missing", one["damage"])
        (self.folder / self.new / "full/step.json").write_text("{")
        self.assertEqual(self.status()["chains"][1]["state"], "damaged")

    def old_increment(self, number):
        return sorted((self.folder / self.old / "inc").iterdir())[number] / "local/oplog.rs.bson"


class Archive(Chain):
    def archive(self, *namespaces):
        prelude = b"".join(document(string("db", name), string("collection", "c")) for name in namespaces)
        return struct.pack("<I", 0x8199E26D) + document(int32("concurrent_collections", 4)) + prelude + b"\xff\xff\xff\xff"

    def test_the_databases_of_an_archive(self):
        self.assertEqual(self.chain("user-databases", stdin=self.archive("admin", "shop", "config", "shop", "b\nc") + b"and more"), "b\\x0ac\nshop\n")
        self.assertEqual(self.chain("user-databases", stdin=self.archive("admin")), "")
        for data in (b"", b"abcd", self.archive("shop")[:-2], self.archive("shop")[:30], struct.pack("<II", 0x8199E26D, 3)):
            self.chain("user-databases", stdin=data, expected=1)


if __name__ == "__main__":
    unittest.main()

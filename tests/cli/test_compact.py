#!/usr/bin/env python3
"""Joining the increments of an hour: every byte stays proved, every moment restorable, and whatever a run that was ended leaves is whole."""
import json
import shutil
import subprocess
import time
import unittest

from support import BIN, ENVIRONMENT, entry
from test_chain import UNVERIFIED, Chain
from test_cluster_backup import Cluster

HOUR = 3600


class Compact(Chain):
    def setUp(self):
        super().setUp()
        self.one = self.full(HOUR - 10, started=HOUR)["chain"]
        self.last = HOUR - 10
        self.inc_dir = self.folder / self.one / "inc"

    def increments(self, *seconds, suffix="", **how):
        for second in seconds:
            self.inc(self.last, self.last + 1, second, started=second, **how)
            self.last = second

    def compact(self):
        before = {name: (self.inc_dir / name) for name in self.names()}
        keep = self.folder.parent / "before"
        shutil.rmtree(keep, ignore_errors=True)
        shutil.copytree(self.folder / self.one, keep)
        return self.chain("compact"), before

    def names(self):
        return sorted(path.name for path in self.inc_dir.iterdir())

    def entries(self):
        steps = self.shell("select")["steps"]
        return subprocess.run([BIN / "oplog-merge", "--chain", self.folder / self.one / "full", *steps], capture_output=True, check=True, env=ENVIRONMENT).stdout

    def moments(self, *seconds):
        return [self.shell("select", "--to", f"{second}:1")["stands_at"] for second in seconds]

    def test_increments_of_hours_that_are_over_become_one_each(self):
        self.increments(HOUR + 10, HOUR + 20, HOUR + 30, 2 * HOUR + 10, 2 * HOUR + 20, 3 * HOUR + 10, 3 * HOUR + 20)
        entries, moments = self.entries(), self.moments(*range(HOUR, 3 * HOUR + 20, 300))
        said, _ = self.compact()
        self.assertEqual(said, f"{self.one}  4 increments, were 7\n")
        self.assertEqual((self.entries(), self.moments(*range(HOUR, 3 * HOUR + 20, 300))), (entries, moments))
        one, = self.status()["chains"]
        self.assertEqual((one["state"], one["increments"], [step["number"] for step in one["steps"]]), ("open", 4, [0, 0, 3, 5, 6, 7]))
        self.assertEqual((len(self.names()), self.chain("verify")), (4, f"{self.one}  ok\n"))
        self.assertEqual(self.chain("compact"), "")
        self.assertEqual(self.shell("next")["number"], "8")
        self.increments(3 * HOUR + 30, 4 * HOUR)
        self.chain("compact")
        self.chain("verify")
        self.assertEqual([step["number"] for step in self.status()["chains"][0]["steps"]], [0, 0, 3, 5, 8, 9])
        self.assertIn(entries, self.entries())
        self.chain("close", "--reason", "gap")
        self.assertEqual((self.chain("compact"), self.chain("verify")), ("", f"{self.one}  ok\n"))

    def test_records_prove_what_is_joined(self):
        self.increments(HOUR + 10, HOUR + 20, 2 * HOUR)
        _, before = self.compact()
        joined = self.inc_dir / self.names()[0]
        record = json.loads((joined / "step.json").read_text())
        self.assertEqual((record["entries"], record["first"], record["last"]), (5, f"{HOUR - 10}:1", f"{HOUR + 20}:1"))
        self.assertEqual([each["name"] for each in record["joined"]], list(before)[:2])
        path = joined / "local/oplog.rs.bson"
        good = path.read_bytes()
        for bad in (good[:-1], good.replace(b"shop.a", b"shop.b", 1)):
            path.write_bytes(bad)
            self.assertIn("BAD", self.verified(UNVERIFIED))
        path.write_bytes(good)
        joined.rename(joined.with_name(".away"))
        self.assertIn("increment 1 is missing", self.verified(UNVERIFIED))

    def verified(self, code=0):
        done = subprocess.run([BIN / "oplog-chain", "verify", self.folder], capture_output=True, text=True, env=ENVIRONMENT)
        self.assertEqual(done.returncode, code, done.stdout)
        return done.stdout

    def test_what_a_run_that_was_ended_leaves_is_whole_and_the_next_one_ends_it(self):
        self.increments(HOUR + 10, HOUR + 20, HOUR + 30, 2 * HOUR)
        entries = self.entries()
        _, before = self.compact()
        keep = self.folder.parent / "before"
        after = self.folder.parent / "after"
        shutil.copytree(self.folder / self.one, after)
        old = list(before)[:3]
        for head in ("before", "after"):  # chain.json as it was, or with the new name
            for left in (old, old[1:], old[2:], []):
                if head == "before" and left != old:
                    continue  # it is written before any is removed
                with self.subTest(head=head, left=left):
                    shutil.rmtree(self.folder / self.one)
                    shutil.copytree(after, self.folder / self.one)
                    shutil.copy(self.folder.parent / head / "chain.json", self.folder / self.one / "chain.json")
                    for name in left:
                        shutil.copytree(keep / "inc" / name, self.inc_dir / name)
                    shutil.copytree(keep / "inc" / old[0], self.inc_dir / f".pruned-{old[0]}")
                    self.assertRegex(self.verified(), r"\A\S+  ok(; not proved: .* not named by .*)?\n\Z")
                    self.assertEqual(("not proved" in self.verified(), self.entries()), (head == "before", entries))
                    self.chain("compact")
                    self.assertEqual((self.verified(), len(list(self.inc_dir.iterdir())), self.entries()), (f"{self.one}  ok\n", 2, entries))

    def test_what_only_looks_like_one_that_is_joined_is_damage(self):
        self.increments(HOUR + 10, HOUR + 20, HOUR + 30, 2 * HOUR)
        _, before = self.compact()
        name = list(before)[1]
        shutil.copytree(self.folder.parent / "before/inc" / name, self.inc_dir / name)
        record = self.inc_dir / name / "step.json"
        record.write_text(json.dumps({key: value for key, value in json.loads(record.read_text()).items() if key != "sha256"} | {"format": 1}))
        self.assertIn("BAD", self.verified(UNVERIFIED))
        shutil.rmtree(self.inc_dir / name)
        shutil.copy(self.folder.parent / "before/chain.json", self.folder / self.one / "chain.json")
        text = (self.folder / self.one / "chain.json").read_text()
        self.assertNotIn("BAD", self.verified())
        self.write_head([step for step in json.loads(text)["steps"] if not step["path"].endswith(list(before)[2])])  # a part of what is joined
        self.assertIn("BAD", self.verified(UNVERIFIED))

    def write_head(self, steps):
        from hashlib import sha256
        text = '{"format":2,\n"steps":[' + ",".join(f'\n{{"path":"{step["path"]}","sha256":"{step["sha256"]}"}}' for step in steps) + "\n]"
        (self.folder / self.one / "chain.json").write_text(text + f',\n"sha256":"{sha256(text.encode()).hexdigest()}"}}\n')

    def test_compressed_ones_stay_compressed(self):
        for second in (HOUR + 10, HOUR + 20, 2 * HOUR):
            data = entry(self.last) + entry(second)
            subprocess.run(["rm", "-rf", self.step], check=True)
            self.step.joinpath("local").mkdir(parents=True)
            subprocess.run([BIN / "oplog-slice", "-", "-o", self.step / "local/oplog.rs.bson.zst"], input=data, check=True, env=ENVIRONMENT)
            self.chain("add-inc", str(self.step), "--started", str(second))
            self.last = second
        self.compact()
        self.assertEqual([path.name for path in sorted(self.inc_dir.glob("*/local/*"))], ["oplog.rs.bson.zst"] * 2)
        self.verified()

    def test_a_damaged_increment_is_not_joined(self):
        self.increments(HOUR + 10, HOUR + 20, 2 * HOUR)
        path = self.inc_dir / self.names()[0] / "local/oplog.rs.bson"
        path.write_bytes(path.read_bytes().replace(b"shop.a", b"shop.b", 1))
        before = self.names()
        self.assertIn("its SHA-256 is not the one", self.chain("compact", expected=UNVERIFIED))
        self.assertEqual([name for name in self.names() if not name.startswith(".")], before)


    def test_of_a_cluster_the_chain_of_every_member_is_joined(self):
        shutil.rmtree(self.folder / self.one)
        root = self.folder
        for member in ("config", "sh0"):
            self.folder, self.step = root / member, root / member / ".step"
            self.one = self.full(HOUR - 10, started=HOUR)["chain"]
            self.last = HOUR - 10
            self.increments(HOUR + 10, HOUR + 20, 2 * HOUR)
        self.folder = root
        self.chain("add-round", "config=", "sh0=s/h", "--to", f"{2 * HOUR}:1", "--started", str(HOUR))
        self.assertEqual(self.chain("compact"), f"{self.one}  2 increments, were 3\n" * 2)
        self.assertEqual([member["chain"]["increments"] for member in self.status()["clusters"][0]["members"]], [2, 2])
        self.verified()


class Backups(Cluster):
    def test_ten_seconds_apart_and_joined_after_each(self):
        self.second = int(time.time()) // HOUR * HOUR - 100
        self.write("a", "local.oplog.rs.bson", entry(self.second, op="n"))
        self.configure(cluster=None, db_host="a", full_method="slice", time_interval="10s", compact="yes")
        self.run_tool("full")
        for _ in range(3):
            self.second += 30
            self.write("a", "local.oplog.rs.bson", (self.servers / "a/local.oplog.rs.bson").read_bytes() + entry(self.second, op="n"))
            self.run_tool("inc")
        self.assertEqual(self.status()["chains"][0]["increments"], 3)  # the hour is not over
        self.second += 30
        self.write("a", "local.oplog.rs.bson", (self.servers / "a/local.oplog.rs.bson").read_bytes() + entry(self.second, op="n"))
        self.run_tool("inc")
        one, = self.status()["chains"]
        self.assertEqual([step["number"] for step in one["steps"]], [0, 0, 3, 4])
        self.assertIn("increments are joined: ", (self.directory / "dbbak.log").read_text())
        self.run_tool("verify")
        self.assertIn(", number 5, ", self.run_tool("inc", "--dry-run"))
        self.assertEqual(self.run_tool("compact"), "")


if __name__ == "__main__":
    unittest.main()

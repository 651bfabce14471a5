#!/usr/bin/env python3
"""The records of a backup directory prove themselves: whatever is changed, lost or put in their place is found."""
import itertools
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import unittest

from schema import checked
from support import BIN, ENVIRONMENT, document, entry, int32
from test_chain import NOTHING, UNVERIFIED, Chain

RECORDS = ("chain.json", "closed.json", "full/step.json", "slice/step.json", "inc/19700101_00_16_40/step.json", "inc/19700101_00_16_50/step.json")
BATCH = 1000  # damaged copies that one run looks at


class Records(Chain):
    def setUp(self):
        super().setUp()
        self.id = self.full(100, 103)["chain"]
        self.inc(103, 110)
        self.inc(110, 120, started=1010)
        self.directory = self.folder / self.id
        shutil.rmtree(self.folder / ".work")

    def run_chain(self, command, *arguments, folder=None):
        done = subprocess.run([BIN / "oplog-chain", command, folder or self.folder, *arguments], capture_output=True, text=True, check=False,
                              env=ENVIRONMENT, timeout=120)
        return done.returncode, done.stdout, done.stderr

    def copies(self, directory=None):
        """A directory for many damaged copies of a chain, and what makes one of them."""
        folder = self.folder.parent / "copies"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        number = itertools.count(1)

        def copy():
            return pathlib.Path(shutil.copytree(directory or self.directory, folder / f"20200101_00_00_00_{next(number)}", copy_function=os.link, symlinks=True))
        return folder, copy

    def overwrite(self, path, data):
        path.unlink()  # it is a link to the good one
        path.write_bytes(data)

    def check_all_found(self, folder, what):
        """Every chain of the directory is bad, and named as such by each command; `what` says how, by name."""
        code, out, _ = self.run_chain("verify", "--json", folder=folder)
        self.assertEqual(code, UNVERIFIED)
        verdicts = {one["id"]: one["good"] for one in checked("verdicts", out)["chains"]}
        self.assertEqual([what[name] for name in what if verdicts.get(name, True)], [])
        code, out, _ = self.run_chain("status", "--json", folder=folder)
        states = {one["id"]: one["state"] for one in checked("status", out)["chains"]}
        self.assertEqual([what[name] for name in what if states.get(name) != "damaged"], [])
        code, out, err = self.run_chain("list", folder=folder)
        listed = set(re.findall(r"chain (\S+) is damaged", err))
        self.assertEqual([what[name] for name in what if name not in listed], [])

    def check_each(self, damages):
        """Each damage, a name and what does it to a copy of the chain, is found."""
        damages = iter(damages)
        seen = 0
        while batch := list(itertools.islice(damages, BATCH)):
            folder, copy = self.copies()
            what = {}
            for name, damage in batch:
                directory = copy()
                damage(directory)
                what[directory.name] = name
            self.check_all_found(folder, what)
            seen += len(what)
        return seen

    def check_bad(self, message, command="verify"):
        code, out, _ = self.run_chain(command)
        self.assertEqual(code, UNVERIFIED, out)
        self.assertIn(message, out)

    def close(self):
        self.chain("close", "--chain", self.id, "--reason", "gap")

    def make_old(self):
        """As a version before records were sealed left it."""
        (self.directory / "chain.json").unlink()
        for path in [*self.directory.rglob("step.json"), *self.directory.glob("closed.json")]:
            record = json.loads(path.read_text())
            for key in ("previous", "sha256"):
                record.pop(key, None)
            record["format"] = 1
            if path.name == "closed.json":
                del record["format"]
            path.write_text(json.dumps(record))


class Damaged(Records):
    def test_a_flipped_bit_anywhere_in_a_record_is_found(self):
        self.close()

        def flip(record, at, bit):
            def damage(directory):
                data = bytearray((directory / record).read_bytes())
                data[at] ^= 1 << bit
                self.overwrite(directory / record, bytes(data))
            return damage
        # One bit of every second byte, so that each field has some; tests/torture.sh has them all.
        sizes = {record: (self.directory / record).stat().st_size for record in RECORDS}
        seen = self.check_each((f"{record}: byte {at}, bit {at % 8}", flip(record, at, at % 8)) for record in RECORDS for at in range(0, sizes[record], 2))
        self.assertEqual(seen, sum((size + 1) // 2 for size in sizes.values()))
        self.assertGreater(seen, 1500)

    def test_every_truncated_lengthened_or_changed_record_is_found(self):
        self.close()

        def put(record, data):
            return lambda directory: self.overwrite(directory / record, data)

        def grow(directory, record):
            self.overwrite(directory / record, (self.directory / record).read_bytes())
            os.truncate(directory / record, 1 << 40)
        damages = []
        for record in RECORDS:
            good = (self.directory / record).read_bytes()
            damages += [(f"{record}: {size} bytes", put(record, good[:size])) for size in range(0, len(good), 7)]
            damages += [(f"{record}: more", put(record, data)) for data in (good + b"\n", good + b"\0", good + good, b"{}\n", b"[]", b"null", b"\0" * len(good), b"{" * 10000)]
            damages += [(f"{record}: a terabyte", lambda directory, record=record: grow(directory, record))]
        self.assertEqual(self.check_each(damages), len(damages))

    def test_a_restore_from_an_older_chain_says_that_a_newer_one_is_damaged(self):
        newer = self.full(200, 203, started=5000)["chain"]
        self.assertEqual(self.run_chain("select")[2], "")
        (self.folder / newer / "full/step.json").write_text("{}")
        code, out, err = self.run_chain("select")
        self.assertEqual((code, f"chain='{self.id}'" in out), (0, True))
        self.assertRegex(err, rf"\Aoplog-chain: warning: chain {newer}, which is newer, is damaged and not taken: .*full/step.json.*\n\Z")

    def test_a_restore_to_before_a_damage_says_so(self):
        increment = sorted(self.directory.glob("inc/*/step.json"))[-1]
        increment.write_text("{}")
        code, out, err = self.run_chain("select")
        self.assertEqual((code, str(increment.parent) in out), (0, False))
        self.assertRegex(err, rf"\Aoplog-chain: warning: chain {self.id} is damaged: .*step.json.*\n\Z")

    def test_every_lost_file_is_found(self):
        self.close()
        files = [path.relative_to(self.directory) for path in self.directory.rglob("*") if path.is_file()]
        self.assertEqual(len(files), len(RECORDS) + 7)
        self.check_each((str(name), lambda directory, name=name: (directory / name).unlink()) for name in files)
        parts = [path.relative_to(self.directory) for path in self.directory.rglob("*") if path.is_dir()]
        self.check_each((str(name), lambda directory, name=name: shutil.rmtree(directory / name)) for name in parts)

    def test_every_two_files_swapped_are_found(self):
        files = [path.relative_to(self.directory) for path in self.directory.rglob("*") if path.is_file()]

        def swap(one, other):
            def damage(directory):
                (directory / one).rename(directory / "kept")
                (directory / other).rename(directory / one)
                (directory / "kept").rename(directory / other)
            return damage
        pairs = [pair for pair in itertools.combinations(files, 2) if len({(self.directory / name).read_bytes() for name in pair}) == 2]
        self.assertGreater(len(pairs), 50)
        verdicts = {}
        folder, copy = self.copies()
        for pair in pairs:
            directory = copy()
            swap(*pair)(directory)
            verdicts[directory.name] = pair
        found = {one["id"]: one["good"] for one in json.loads(self.run_chain("verify", "--json", folder=folder)[1])["chains"]}
        self.assertEqual([verdicts[name] for name in verdicts if found.get(name, True)], [])

    def test_the_newest_increment_lost_is_found(self):
        shutil.rmtree(self.directory / "inc/19700101_00_16_50")
        self.check_bad("inc/19700101_00_16_50: missing; ")
        status, = self.status()["chains"]
        self.assertEqual((status["state"], status["good"], status["last"]), ("damaged", True, "110:1"))
        self.chain("next", expected=NOTHING)
        self.inc(110, 130, expected=NOTHING)

    def test_a_damaged_chain_is_not_closed(self):
        record = self.directory / "inc/19700101_00_16_50/step.json"
        record.rename(record.parent / "kept")
        self.chain("close", "--chain", self.id, "--reason", "gap", expected=NOTHING)
        (record.parent / "kept").rename(record)
        self.assertEqual(self.chain("verify"), f"{self.id}  ok\n")

    def test_a_chain_without_chain_json_is_not_taken_for_an_old_one(self):
        (self.directory / "chain.json").unlink()
        self.check_bad("chain.json: missing, so whether all steps are there cannot be told")

    def test_what_is_left_of_a_chain_is_shown(self):
        for what in self.directory.iterdir():
            shutil.rmtree(what) if what.is_dir() else what.unlink()
        self.check_bad(f"{self.directory}/full: No such file or directory")
        self.assertEqual([(one["id"], one["state"]) for one in self.status()["chains"]], [(self.id, "damaged")])
        self.assertIn(f"chain {self.id} is damaged", self.run_chain("list")[2])
        self.assertEqual(self.run_chain("list")[1].splitlines()[1].split(), [self.id, "-", "-", "damaged"])
        (self.directory / "inc/19700101_00_16_40/local").mkdir(parents=True)
        self.check_bad("full: No such file or directory")
        new = self.full(2000, started=2000)["chain"]
        self.inc(2000, 2010)  # the newest chain is not the damaged one
        self.assertEqual(self.shell("next")["chain"], new)

    def test_a_chain_whose_full_record_is_lost_keeps_its_place(self):
        new = self.full(2000, started=2000)["chain"]
        (self.directory / "full/step.json").unlink()
        self.assertEqual([one["id"] for one in self.status()["chains"]], [self.id, new])
        self.assertEqual(self.shell("next")["chain"], new)


class Foreign(Records):
    def test_steps_of_other_chains_are_found(self):
        other = self.folder / self.full(100, 103, started=3000)["chain"]  # the same entries
        self.inc(103, 110, started=3000)
        self.inc(110, 120, started=3010)
        self.inc(120, 125, started=3020)
        shutil.copytree(self.directory, self.folder.parent / "good")

        def replace(name, source):
            def damage():
                shutil.rmtree(self.directory / name, ignore_errors=True)
                shutil.copytree(source, self.directory / name)
            return damage
        steps = sorted((other / "inc").iterdir())
        mine = sorted((self.directory / "inc").iterdir())
        for name, damage in {
                "full": replace("full", other / "full"), "slice": replace("slice", other / "slice"),
                "the first increment": replace(mine[0], steps[0]), "the second": replace(mine[1], steps[1]),
                "one more": replace(self.directory / "inc" / steps[2].name, steps[2]), "one twice": replace(self.directory / "inc/more", mine[1]),
                "swapped": lambda: [mine[0].rename(self.directory / "x"), mine[1].rename(mine[0]), (self.directory / "x").rename(mine[1])],
                "renamed": lambda: mine[1].rename(mine[1].parent / "renamed"),
                "hidden": lambda: mine[1].rename(mine[1].parent / ".renamed"),
                "chain.json": lambda: shutil.copy(other / "chain.json", self.directory / "chain.json")}.items():
            with self.subTest(name):
                damage()
                code, out, _ = self.run_chain("verify")
                self.assertEqual(code, UNVERIFIED)
                self.assertRegex(out, rf"(?m)^{self.id}  BAD: {self.directory}/\S+: ")
                self.assertIn(f"{other.name}  ok\n", out)
                self.assertEqual([one["state"] for one in self.status()["chains"] if one["id"] == self.id], ["damaged"])
                shutil.rmtree(self.directory)
                shutil.copytree(self.folder.parent / "good", self.directory)
        self.chain("close", "--chain", other.name, "--reason", "gap")
        shutil.copy(other / "closed.json", self.directory)
        self.check_bad("closed.json: of another chain, or of other steps than there are")

    def test_a_directory_renamed_as_a_whole_is_what_it_was(self):
        self.directory.rename(self.folder / "elsewhere")
        self.assertEqual(self.chain("verify"), "elsewhere  ok\n")

    def strange(self):
        """Makers of what is neither a file nor a directory, by what it is called."""
        def make_socket(path):
            with socket.socket(socket.AF_UNIX) as one:
                before = os.getcwd()
                os.chdir(path.parent)  # its name may not be long
                try:
                    one.bind(path.name)
                finally:
                    os.chdir(before)
        yield "a FIFO", os.mkfifo
        yield "a socket", make_socket
        yield "a link", lambda path: path.symlink_to(self.folder.parent)
        yield "a link", lambda path: path.symlink_to("/dev/zero")
        yield "a link", lambda path: path.symlink_to("nowhere")
        if os.getuid() == 0:
            yield "a device", lambda path: os.mknod(path, 0o20666, os.makedev(1, 5))

    def test_what_is_neither_a_file_nor_a_directory_is_named_and_never_waited_for(self):
        places = ["full/shop/p.bson", "full/shop/p.metadata.json", "full/linked", "slice/local/x", "inc/19700101_00_16_50/x"]
        for place in places:
            for name, make in self.strange():
                with self.subTest(place, what=name):
                    make(self.directory / place)
                    self.check_bad(f"{self.directory / place}: {name}, where a file must be")
                    (self.directory / place).unlink()
        self.chain("verify")

    def test_in_place_of_a_file_or_directory_too(self):
        places = [*(record for record in RECORDS if record != "closed.json"), "full/oplog.bson", "full/shop/a.bson", "full/shop/a.metadata.json",
                  "slice/local/oplog.rs.bson", "inc/19700101_00_16_50/local/oplog.rs.bson", "full", "slice", "inc", "inc/19700101_00_16_50"]
        for place in places:
            kept = self.folder.parent / "kept"
            path = self.directory / place
            for name, make in [*self.strange(), ("a link", lambda path: path.symlink_to(kept))]:
                with self.subTest(place, what=name):
                    path.rename(kept)
                    kind = "directory" if kept.is_dir() else "file"
                    make(path)
                    self.check_bad(f"{path}: {name}, where a {kind} must be")
                    self.assertEqual(self.status()["chains"][0]["state"], "damaged")
                    path.unlink()
                    kept.rename(path)
        self.chain("verify")

    def test_a_link_to_a_directory_in_a_step_is_found(self):
        elsewhere = self.folder.parent / "elsewhere"
        self.write(elsewhere / "z.bson", document(int32("_id", 1)))
        (self.directory / "full/linked").symlink_to(elsewhere)
        self.check_bad(f"{self.directory}/full/linked: a link, where a file must be")

    def test_what_lies_beside_chains_is_no_chain(self):
        for name, make in self.strange():
            make(self.folder / "20200101_00_00_00")
            self.assertEqual([one["id"] for one in self.status()["chains"]], [self.id], name)
            (self.folder / "20200101_00_00_00").unlink()
        (self.folder / "20200101_00_00_00").symlink_to("20200101_00_00_00")
        (self.folder / "notes").mkdir()
        self.assertEqual([one["id"] for one in self.status()["chains"]], [self.id])

    def test_foreign_files_in_a_step_are_found(self):
        for place in ("full/extra", "full/shop/b.bson", "slice/.hidden", "inc/19700101_00_16_40/local/step.json"):
            self.write(self.directory / place, b"")
            self.check_bad(f"{self.directory / place}: not in the step's record")
            (self.directory / place).unlink()

    def test_no_step_is_made_of_such(self):
        for name, make in self.strange():
            self.step.mkdir()
            self.write(self.step / "local/oplog.rs.bson", entry(120) + entry(130))
            make(self.step / "local/x")
            error = self.chain("add-inc", self.step, "--chain", "latest", "--started", "1020", expected=UNVERIFIED)
            self.assertIn(f"{self.step}/local/x: {name}, where a file must be", error)
            shutil.rmtree(self.step)
        self.assertEqual(self.status()["chains"][0]["increments"], 2)


class Interrupted(Records):
    """Killed between a step's publication and chain.json's."""

    def test_a_step_that_chain_json_does_not_name_yet_counts_and_is_named_by_the_next_run(self):
        before = (self.directory / "chain.json").read_bytes()
        self.inc(120, 130, started=1020)
        self.inc(130, 140, started=1030)
        whole = (self.directory / "chain.json").read_bytes()
        (self.directory / "chain.json").write_bytes(before)
        out = self.chain("verify")
        self.assertIn(f"{self.id}  ok; not proved: {self.directory}/inc/19700101_00_17_10: not named by ", out)
        self.assertIn("not named by", json.loads(self.chain("verify", "--json"))["chains"][0]["unproved"])
        self.assertIn("not named by", self.status()["chains"][0]["unproved"])
        self.assertIn(f"not proved: {self.id}: ", self.chain("status"))
        self.assertIn("is not proved", self.run_chain("list")[2])
        self.assertRegex(self.run_chain("list")[1], r"not proved\n\Z")
        self.assertEqual(self.shell("next")["number"], "5")
        self.step.mkdir()
        self.write(self.step / "local/oplog.rs.bson", entry(140) + entry(150))
        _, _, err = self.run_chain("add-inc", str(self.step), "--chain", "latest", "--started", "1040")
        self.assertIn(f"oplog-chain: warning: {self.directory}/inc/19700101_00_17_10: a run ended before chain.json named it, which it does now\n", err)
        self.assertEqual(self.chain("verify"), f"{self.id}  ok\n")
        self.assertEqual(json.loads((self.directory / "chain.json").read_text())["steps"][:-1], json.loads(whole)["steps"])

    def test_a_full_backup_names_what_is_not_named_in_an_old_chain(self):
        before = (self.directory / "chain.json").read_bytes()
        self.close()
        (self.directory / "chain.json").write_bytes(before)
        self.assertIn("closed.json: not named", self.chain("verify"))
        self.assertEqual(self.status()["chains"][0]["state"], "closed: gap")
        self.full(200, started=2000)
        self.assertNotIn("not proved", self.chain("verify"))
        (self.directory / "closed.json").unlink()
        self.check_bad("closed.json: missing; ")

    def test_a_damaged_step_that_is_not_named_is_found(self):
        before = (self.directory / "chain.json").read_bytes()
        self.inc(120, 130, started=1020)
        (self.directory / "chain.json").write_bytes(before)
        record = self.directory / "inc/19700101_00_17_00/step.json"
        good = record.read_bytes()
        for at in range(0, len(good), 5):
            data = bytearray(good)
            data[at] ^= 4
            record.write_bytes(data)
            self.assertEqual(self.run_chain("verify")[0], UNVERIFIED, at)

    def test_what_was_left_of_writing_chain_json_is_no_part_of_the_chain(self):
        (self.directory / ".chain.json.1-0.tmp").write_bytes(b"{")
        self.assertEqual(self.chain("verify"), f"{self.id}  ok\n")


class Older(Records):
    def test_a_backup_of_an_older_version_is_read_and_what_it_cannot_prove_is_said(self):
        self.make_old()
        unproved = "its records are of an older version: were one changed, or the newest increment lost, this would not be seen"
        self.assertEqual(self.chain("verify"), f"{self.id}  ok; not proved: {unproved}\n")
        self.assertEqual(json.loads(self.chain("verify", "--json")), {"format": 1, "chains": [{"id": self.id, "good": True, "unproved": unproved}]})
        self.assertEqual(self.status()["chains"][0]["unproved"], unproved)
        self.assertIn(f"not proved: {self.id}: {unproved}\n", self.chain("status"))
        self.assertEqual(self.shell("select")["stands_at"], "120:1")

    def test_the_next_increment_has_it_proved_from_then_on(self):
        self.make_old()
        self.inc(120, 130, started=1020)
        self.assertEqual(self.chain("verify"), f"{self.id}  ok\n")
        record = self.directory / "inc/19700101_00_16_40/step.json"
        good = record.read_text()
        record.write_text(good + "\n")
        self.check_bad("step.json: not the record that ")
        record.write_text(good)
        shutil.rmtree(self.directory / "inc/19700101_00_17_00")
        self.check_bad("inc/19700101_00_17_00: missing; ")

    def test_an_older_version_that_closed_its_chain(self):
        self.close()
        self.make_old()
        self.assertIn("ok; not proved", self.chain("verify"))
        self.assertEqual(self.status()["chains"][0]["state"], "closed: gap")
        closed = self.directory / "closed.json"
        closed.write_text(closed.read_text().replace("gap", "gaq"))
        self.check_bad("closed.json: no reason that there is")

    def test_old_and_damaged_records_are_told_apart(self):
        path = self.directory / "slice/step.json"
        record = json.loads(path.read_text())
        del record["sha256"]
        path.write_text(json.dumps(record))
        self.check_bad("slice/step.json: does not end with its SHA-256")


class Sealed(Records):
    def test_seal_proves_a_chain_and_takes_what_is_there_for_all_of_it(self):
        self.make_old()
        self.chain("seal", expected=2)
        self.assertEqual(self.chain("seal", "--chain", self.id), f"{self.id}  2 increments, to 120:1 1970-01-01T00:02:00Z\n")
        self.assertEqual(self.chain("verify"), f"{self.id}  ok\n")
        shutil.rmtree(self.directory / "inc/19700101_00_16_50")
        self.check_bad("missing")
        self.chain("seal", "--chain", self.id)
        self.assertEqual(self.chain("verify"), f"{self.id}  ok\n")
        self.inc(110, 120, started=1010)
        self.assertEqual(self.chain("verify"), f"{self.id}  ok\n")

    def test_what_is_damaged_is_not_sealed(self):
        (self.directory / "chain.json").unlink()
        data = self.directory / "full/shop/a.bson"
        good = data.read_bytes()
        data.write_bytes(good[:-2] + b"\1\0")
        self.chain("seal", "--chain", self.id, expected=UNVERIFIED)
        self.assertFalse((self.directory / "chain.json").exists())
        data.write_bytes(good)
        elsewhere = self.folder.parent / "elsewhere"
        elsewhere.write_bytes(b"mine")
        (self.directory / "chain.json").symlink_to(elsewhere)
        self.chain("seal", "--chain", self.id)
        self.assertEqual(elsewhere.read_bytes(), b"mine")
        self.assertEqual(self.chain("verify"), f"{self.id}  ok\n")


class Concurrent(Records):
    def test_readers_see_whole_chains_while_steps_are_added_and_chains_dropped(self):
        busy = subprocess.Popen(["bash", "-c", 'while [[ ! -e $2 ]]; do "$0" status "$1" --json || exit; done', BIN / "oplog-chain", self.folder, self.folder / ".done"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        try:
            for number in range(15):
                self.inc(*((120,) if number == 0 else (200 + number - 1,)), 200 + number, started=1100 + number) if number % 5 else self.full(
                    200 + number, started=1100 + number)
                self.chain("prune", "--keep", "2")
        finally:
            (self.folder / ".done").touch()
            out, err = busy.communicate(timeout=60)
        self.assertEqual(err, "")
        self.assertNotIn("damaged", out)
        self.assertGreater(out.count('"windows"'), 1)


if __name__ == "__main__":
    unittest.main()

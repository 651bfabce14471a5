#!/usr/bin/env python3
"""What copy_command of oplog-backup does, and that docs/operations.md's recipes copy backups and bring them back, with the real programs."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import unittest

from support import BIN, ENVIRONMENT, document, int32
from test_cluster_backup import Cluster

SOURCE = pathlib.Path(os.environ["OPLOG_SOURCE"])


class Copying(Cluster):
    """A single server, "a"."""

    def configure(self, **more):
        super().configure(**{"cluster": None, "db_host": "a", "full_method": "slice", "time_interval": "1s", **more})


class Command(Copying):
    def setUp(self):
        super().setUp()
        self.list = self.folder / "list"

    def listed(self):
        """What was to be copied since this was asked last, a list a call."""
        lists = self.list.read_text().split("--\n")[:-1] if self.list.exists() else []
        self.list.unlink(missing_ok=True)
        return [each.split() for each in lists]

    def copying(self, then="true"):
        return f'{{ cat "$OPLOG_UNCOPIED"; echo --; }} >>{self.list}; {then}'

    def test_what_is_new_is_copied_after_each_step_and_not_again(self):
        self.configure(copy_command=self.copying("flock --nonblock $OPLOG_DIRECTORY/.lock true"))  # others may make backups meanwhile
        self.run_tool("full")
        one = self.chains(".")[0]
        self.assertEqual(self.listed(), [[f"{one}/full", f"{one}/slice", f"{one}/chain.json"]])
        self.tick("a")
        self.run_tool("inc")
        name, = (path.name for path in (self.directory / one / "inc").iterdir())
        self.assertEqual(self.listed(), [[f"{one}/inc/{name}", f"{one}/chain.json"]])
        self.assertEqual((self.status()["uncopied"], self.listed()), ([], []))
        self.assertIn("copied: all\n", self.run_tool("status"))
        self.run_tool("copy")
        self.assertEqual(self.listed(), [])
        subprocess.run(["sha256sum", "--check", "--quiet", ".copied"], cwd=self.directory, check=True)
        self.write("a", "local.oplog.rs.bson", b"")
        self.tick("a")
        self.run_tool("inc", expected=20)  # what tells of it is new
        self.assertEqual(self.listed(), [[f"{one}/closed.json", f"{one}/chain.json"]])

    def test_it_is_tried_again_and_what_failed_is_not_copied_yet(self):
        metrics = self.folder / "oplog.prom"
        self.configure(copy_command=self.copying("echo no way >&2; exit 3"), metrics_file=metrics, on_event=f"echo $OPLOG_STEP $OPLOG_EVENT >>{self.folder}/events")
        self.assertIn("copy_command failed with exit code 3: no way\n", self.run_tool("full", expected=1))
        one = self.chains(".")[0]
        self.assertEqual(self.listed(), [[f"{one}/full", f"{one}/slice", f"{one}/chain.json"]] * 5)
        self.assertEqual((self.status()["uncopied"], self.status()["chains"][0]["state"]), ([f"{one}/full", f"{one}/slice", f"{one}/chain.json"], "open"))
        self.assertIn(f"not copied yet: {one}/slice\n", self.run_tool("status"))
        self.assertEqual((self.folder / "events").read_text(), "full success\ncopy failure\n")
        self.assertRegex(metrics.read_text(), r'\noplog_backup_exit_code\{.*step="copy"\} 1\n')
        self.assertRegex(metrics.read_text(), r"\noplog_backup_uncopied\{.*\} 3\n")
        self.configure(copy_command=self.copying(f"[ -e {self.folder}/tried ] || ! touch {self.folder}/tried"), metrics_file=metrics)
        self.run_tool("inc")  # the second attempt
        self.assertEqual([len(each) for each in self.listed()], [4, 4])
        self.assertRegex(metrics.read_text(), r"\noplog_backup_uncopied\{.*\} 0\n")
        self.configure()
        self.assertIn("copy: copy_command is not set", self.run_tool("copy", expected=2))

    def test_the_next_attempt_copies_what_is_there_then(self):
        self.run_tool("full")
        self.tick("a")
        self.run_tool("inc")
        self.run_tool("full")
        old, new = self.chains(".")
        prune = f"{BIN}/oplog-chain prune $OPLOG_DIRECTORY --keep 1"
        self.configure(copy_command=self.copying(f"[ -e {self.folder}/tried ] || {{ touch {self.folder}/tried; {prune}; exit 1; }}"))
        self.run_tool("copy")
        first, second = self.listed()
        self.assertIn(f"{old}/full", first)
        self.assertEqual((second, self.status()["uncopied"]), ([f"{new}/full", f"{new}/slice", f"{new}/chain.json"], []))
        self.run_tool("full")
        self.configure(copy_command=self.copying("rm -r $OPLOG_DIRECTORY/2*; exit 1"))
        self.run_tool("copy")  # nothing is left to be copied
        self.assertEqual(len(self.listed()), 1)

    def test_one_that_ends_what_runs_it_is_a_failure_like_others(self):
        metrics = self.folder / "oplog.prom"
        self.configure(copy_command="kill -9 $PPID", metrics_file=metrics, on_event=f"echo $OPLOG_STEP $OPLOG_EVENT >>{self.folder}/events")
        self.assertIn("oplog-backup: a process of this program was ended by signal 9\n", self.run_tool("full", expected=1))
        self.assertEqual((self.folder / "events").read_text(), "full success\ncopy failure\n")
        self.assertRegex(metrics.read_text(), r'\noplog_backup_exit_code\{.*step="copy"\} 1\n')

    def test_a_pause_that_is_no_number_is_said_at_once(self):
        self.configure()
        for name, value in (("RETRY", "0.5"), ("RETRY", "abc"), ("EVENT", "08"), ("EVENT", "-1")):
            name = f"OPLOG_BACKUP_{name}_SECONDS"
            self.assertIn(f"oplog-backup: {name}={value} is no number of seconds up to 99999\n", self.run_tool("status", expected=2, **{name: value}))

    def test_a_cycle_goes_on_meanwhile_and_all_is_copied_at_its_end(self):
        started = self.folder / "started"
        self.configure(increments=1, copy_command=self.copying(f"touch {started}; while [ ! -e {self.folder}/go ]; do sleep 0.1; done"))
        process = subprocess.Popen([BIN / "oplog-backup", "-c", self.config], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            if "incremental backup 1 succeeded" in line:  # while the full backup is being copied
                break
        self.assertTrue(started.exists())
        (self.folder / "go").touch()
        process.communicate(timeout=60)
        self.assertEqual((process.returncode, self.status()["uncopied"], [len(each) for each in self.listed()]), (0, [], [3, 2]))

    def test_a_signal_ends_a_copy_too(self):
        self.configure(copy_command=f"sleep 60 & echo $! >{self.folder}/pid; wait")  # what the shell starts, too
        for command in ("full", "run"):
            process = subprocess.Popen([BIN / "oplog-backup", "-c", self.config, command], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            while not (self.folder / "pid").exists() or not (self.folder / "pid").read_text():
                time.sleep(0.02)
            process.terminate()
            process.communicate(timeout=60)
            self.assertEqual(process.returncode, 128 + signal.SIGTERM)
            with self.assertRaises(ProcessLookupError):
                os.kill(int((self.folder / "pid").read_text()), 0)
            (self.folder / "pid").unlink()
        self.assertEqual(self.run_tool("verify").count("  ok"), 2)

    def test_of_a_cluster_records_come_after_what_they_name(self):
        super(Copying, self).configure(copy_command=self.copying())
        self.run_tool("full")
        (paths,) = self.listed()
        self.assertEqual([path.rpartition("/")[2] for path in paths[-4:-1]], ["chain.json"] * 3)
        self.assertRegex(paths[-1], r"\A\d+_\d\d_\d\d_\d\d\.cluster\.json\Z")
        self.assertEqual({path.split("/")[0] for path in paths[:-1]}, {"config", "sh0", "sh1"})


class Recipes(Copying):
    """Each: a full backup and two increments, copied after each step; then a restore of the copy alone."""

    def recipe(self, *programs):
        """The two blocks after the name of the first program, as scripts for this place."""
        for program in programs:
            if not shutil.which(program):
                self.skipTest(f"{program} is not here")
        section = (SOURCE / "docs/operations.md").read_text().split("## Copies elsewhere")[1].split("\n## ")[0]
        blocks = re.findall(r"```bash\n(.*?)```", section[section.index(f"With [{programs[0]}]"):], re.DOTALL)[:2]
        places = {"/srv/copy": self.copy, "sftp:backup@vault:/srv/rs0": self.folder / "vault", "/etc/oplog": self.folder}
        scripts = []
        for i, text in enumerate(blocks):
            for here, there in places.items():
                text = text.replace(here, str(there))
            scripts.append(self.folder / f"recipe{i}")
            scripts[-1].write_text("#!/bin/bash\n" + text)
            scripts[-1].chmod(0o755)
        return scripts

    def setUp(self):
        super().setUp()
        self.copy = self.folder / "copy"
        self.copy.mkdir()
        (self.folder / "remote").mkdir()
        self.settings = {"RCLONE_CONFIG_REMOTE_TYPE": "alias", "RCLONE_CONFIG_REMOTE_REMOTE": str(self.folder / "remote"), "RCLONE_CONFIG": str(self.folder / "rclone.conf"),
                         "HOME": str(self.folder)}
        (self.folder / "rclone.conf").touch()
        self.write("a", "dump/shop/a.bson", document(int32("_id", 1)) + document(int32("_id", 2)))
        self.write("a", "dump/shop/a.metadata.json", b'{"options":{},"indexes":[{"v":2,"key":{"_id":1},"name":"_id_"}],"collectionName":"a","type":"collection"}')

    def run_tool(self, *arguments, **how):
        return super().run_tool(*arguments, **how, **self.settings)

    def there_and_back(self, there, back):
        self.configure(copy_command=there)
        self.run_tool("full")
        for _ in range(2):
            self.tick("a")
            self.run_tool("inc")
        verified = self.run_tool("verify")
        self.assertEqual(self.status()["uncopied"], [])
        shutil.rmtree(self.directory)
        subprocess.run([back], env={**ENVIRONMENT, **self.settings}, check=True, stdout=subprocess.DEVNULL, timeout=60)
        done = subprocess.run([BIN / "oplog-chain", "verify", self.copy], env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, verified, ""))
        self.configure(dbbak_dir=self.copy)
        self.script("mongorestore", f'#!/bin/sh\nfor last; do :; done\ncp -R "$last" {self.folder}/restored\n')
        (self.servers / "t").mkdir()
        self.run_tool("--target", "t:1", "--prepare", tool="oplog-restore")
        self.assertEqual((self.folder / "restored/shop/a.bson").read_bytes(), (self.servers / "a/dump/shop/a.bson").read_bytes())

    def test_rclone(self):
        self.there_and_back(*self.recipe("rclone"))

    def test_restic(self):
        scripts = self.recipe("restic")
        (self.folder / "restic.password").write_text("secret\n")
        subprocess.run(["restic", "-r", self.folder / "vault", "--password-file", self.folder / "restic.password", "init"], env={**ENVIRONMENT, **self.settings},
                       check=True, stdout=subprocess.DEVNULL, timeout=60)
        self.there_and_back(*scripts)

    def test_age(self):
        scripts = self.recipe("age", "rclone")
        made = subprocess.run(["age-keygen", "-o", self.folder / "age.key"], check=True, capture_output=True, text=True).stderr
        (self.folder / "age.recipients").write_text(made.split(": ")[1])
        self.there_and_back(*scripts)
        self.assertNotIn(b"firstEntrySha256", b"".join(path.read_bytes() for path in (self.folder / "remote").rglob("*") if path.is_file()))


if __name__ == "__main__":
    unittest.main()

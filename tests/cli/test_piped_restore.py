#!/usr/bin/env python3
"""oplog-restore loads a dump while it is made: what mongorestore gets, and that whatever fails in between is said."""
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import time
import unittest

from support import BIN, ENVIRONMENT, document, entry, int32, string
from test_cluster_backup import Cluster

A_PART = "the target holds a part of the backup: drop that before the next try"


class Piped(Cluster):
    def setUp(self):
        super().setUp()
        self.configure()
        self.write("a", "dump/shop/a.bson", b"".join(document(int32("_id", number), string("text", "x" * 1000)) for number in range(5000)))
        self.write("a", "dump/shop/a.metadata.json", b'{"options":{},"indexes":[{"v":2,"key":{"_id":1},"name":"_id_"}],"collectionName":"a","type":"collection"}')
        self.script("mongorestore", f'#!/bin/sh\necho "$@" >{self.folder}/arguments\ncat >{self.folder}/archive\n')
        self.run_tool("full")
        self.insert(5000)
        self.run_tool("inc")

    def configure(self, **more):
        super().configure(**{"cluster": None, "db_host": "a", "full_method": "slice", **more})

    def insert(self, number):
        self.second += 1
        with open(self.servers / "a/local.oplog.rs.bson", "ab") as file:
            file.write(entry(self.second, 1, number))

    def restore(self, *arguments, bin=BIN, **how):
        return self.run_tool("--target", "t:1", "--force", *arguments, tool=bin / "oplog-restore", **how)

    def with_tool(self, name, text):
        """The tools, with another one in place of one."""
        tools = self.folder / "with"
        shutil.rmtree(tools, ignore_errors=True)
        tools.mkdir()
        for tool in BIN.glob("oplog-*"):
            if tool.name == "oplog-restore":
                shutil.copy(tool, tools)
            elif tool.name != name:
                (tools / tool.name).symlink_to(tool)
        (tools / name).write_text(f"#!/bin/bash\nPATH={BIN}:$PATH\n{text}\n")
        (tools / name).chmod(0o755)
        return tools

    def check_clean(self):
        self.assertEqual([path.name for path in self.directory.glob(".oplog-restore.*")], [])

    def calls(self, name):
        return (self.folder / name).read_text().split() if (self.folder / name).exists() else None

    def test_what_the_target_has_is_not_changed_by_a_replay_as_a_fallback(self):
        tools = self.with_tool("oplog-apply", "exit 1")
        (tools / "oplog-chain").unlink()
        (tools / "oplog-chain").write_text(f'#!/bin/sh\n[ "$1" != taken ] || {{ echo collection shop.a; echo "collection shop.b"; exit; }}\nexec {BIN}/oplog-chain "$@"\n')
        (tools / "oplog-chain").chmod(0o755)
        said = self.restore(bin=tools, expected=1)
        self.assertIn("a replay would change or drop what the target has already, shop.a, shop.b: that takes --method replay; the target is as it was", said)
        self.assertIn("the replay changes or drops them: shop.a, shop.b\n", self.restore("--method", "replay", bin=tools))
        self.check_clean()

    def test_what_a_killed_one_left_goes_and_nothing_else_does(self):
        for name in (".oplog-restore.killed/running", ".oplog-restore.alive/running", ".oplog-restore.notes/keep", ".restore.mine/keep", ".restore.conf"):
            (self.directory / name).parent.mkdir(exist_ok=True)
            (self.directory / name).touch()
        with (self.directory / ".oplog-restore.alive/running").open() as alive:
            fcntl.flock(alive, fcntl.LOCK_EX)
            self.restore()
        self.assertEqual(sorted(path.name for path in self.directory.glob(".*rest*re.*")), [".oplog-restore.alive", ".oplog-restore.notes", ".restore.conf", ".restore.mine"])

    def test_mongorestore_gets_the_state_as_an_archive(self):
        said = self.restore()
        self.assertIn(f"restored: the target stands at {self.second}:1 ", said)
        self.assertEqual(self.calls("arguments")[-4:], ["--bypassDocumentValidation", "--numInsertionWorkersPerCollection=4", "--gzip", "--archive"])
        self.check_clean()
        chain, = self.directory.glob("2*")
        made = self.folder / "made"
        subprocess.run([BIN / "oplog-apply", "-q", "--full", chain / "full", *sorted((chain / "inc").iterdir()), "-o", made], check=True, env=ENVIRONMENT)
        done = subprocess.run([BIN / "oplog-diff", "--exit-code", made, self.folder / "archive"], capture_output=True, text=True, check=False, env=ENVIRONMENT)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_a_pattern_that_matches_nothing_restores_nothing(self):
        for wrong in (("--ns", "shop.x"), ("--exclude-ns", "none.*"), ("--rename", "shopp.a=x.a"), ("--rename", "none.*=x.*")):
            said = self.restore(*wrong, expected=10)
            self.assertIn(f"oplog-restore: {wrong[0]} {wrong[1].partition('=')[0]}: no collection of the backup matches", said)
        self.assertIn("oplog-restore: --ns none.a, --rename none.b: no collection", self.restore("--ns", "none.a", "--ns", "shop.a", "--rename", "none.b=x.b", expected=10))
        self.assertIn("oplog-restore: --ns shop.a=b: no collection", self.restore("--ns", "shop.a=b", expected=10))
        self.restore("--ns", "", expected=2)
        self.assertIsNone(self.calls("arguments"))
        self.restore("--rename", "shop.*=store.*", "--exclude-ns", "shop.a")

    def test_no_copy_of_the_data_is_made(self):
        self.script("mongorestore", f"#!/bin/sh\ndu -s --apparent-size -B1 {self.directory}/.oplog-restore.* >{self.folder}/size\ncat >/dev/null\n")
        self.restore()
        self.assertLess(int(self.calls("size")[0]), 100_000)
        self.restore("--prepare")
        self.assertGreater(int(self.calls("size")[0]), 5_000_000)

    def test_where_the_whole_dump_is_made_first_that_is_said(self):
        self.restore("--prepare")
        self.assertRegex(self.calls("arguments")[-1], r"/restored$")
        dry = self.restore("--dry-run")
        self.assertRegex(dry, r"(?m)^oplog-apply .* --archive --compress gzip:0 -o - \| \S*mongorestore .* --gzip --archive $")
        self.assertIn("--prepare", self.restore("--help"))
        # Where documents are to be dropped users would go, too.
        odd = self.with_tool("oplog-apply", 'while (($#)); do [[ $1 != --options-to ]] || echo --bypassDocumentValidation --drop --preserveUUID >"$2"; shift; done; '
                             'head -c 10000000 /dev/zero')
        said = self.restore(bin=odd)
        self.assertIn("oplog-restore: not by oplog-apply then: the oplog is replayed, which takes longer\n", said)
        self.assertEqual(self.calls("arguments")[-3:-1], ["--oplogReplay", "--bypassDocumentValidation"])
        self.check_clean()

    def test_what_oplog_apply_refuses_leaves_the_target_as_it_is(self):
        refusing = self.with_tool("oplog-apply", 'echo "oplog-apply: no" >&2; exit 1')
        said = self.restore("--method", "apply", bin=refusing, expected=1)
        self.assertTrue(said.endswith("oplog-apply: no\noplog-restore: oplog-apply failed; the target is as it was\n"), said)
        self.assertIsNone(self.calls("arguments"))
        self.assertIn("the oplog is replayed", self.restore(bin=refusing))
        self.assertIn("--oplogReplay", self.calls("arguments"))
        killed = self.with_tool("oplog-apply", "kill -9 $$")
        self.assertIn("oplog-apply: ended by signal 9\noplog-restore: oplog-apply failed; the target is as it was\n", self.restore("--method", "apply", bin=killed, expected=1))
        self.check_clean()

    def test_an_oplog_apply_that_fails_in_the_middle_is_no_restore(self):
        part = '"$(dirname "$0")"/../whole "$@" | head -c 10000; '
        (self.folder / "whole").symlink_to(BIN / "oplog-apply")
        for how, told in (("echo 'oplog-apply: full/shop/a.bson: offset 4: gone' >&2; exit 1", "oplog-apply: full/shop/a.bson: offset 4: gone\n"), ("kill -9 $$", "oplog-apply: ended by signal 9\n"), ("exit 2", "")):
            for mongorestore in ("cat", "cat >/dev/null; exit 1", "exec sleep 100"):
                with self.subTest(how=how, mongorestore=mongorestore):
                    self.script("mongorestore", f"#!/bin/sh\n{mongorestore} >/dev/null\n")
                    said = self.restore(bin=self.with_tool("oplog-apply", part + how), expected=1)
                    self.assertIn(told, said)
                    self.assertTrue(said.endswith(f"oplog-restore: oplog-apply failed, and mongorestore had begun; {A_PART}\n"), said)
                    self.check_clean()

    def test_a_mongorestore_that_fails_ends_oplog_apply(self):
        for mongorestore, told in (("exit 1", ""), ("head -c 100000 >/dev/null; exit 1", ""), ("head -c 100000 >/dev/null; kill -9 $$", "mongorestore: ended by signal 9\n"),
                                   ("cat >/dev/null; exit 1", ""), ("exec <&-; sleep 0.3; exit 1", "")):
            with self.subTest(mongorestore):
                self.script("mongorestore", f"#!/bin/sh\n{mongorestore}\n")
                said = self.restore(expected=1)
                self.assertTrue(said.endswith(f"{told}oplog-restore: mongorestore failed; {A_PART}\n"), said)
                self.check_clean()
        self.script("mongorestore", "#!/bin/sh\ncat >/dev/null\necho '5000 document(s) restored successfully. 1 document(s) failed to restore.' >&2\n")
        self.assertIn("could not restore every document", self.restore(expected=1))
        # One that ends without having read all of it has not loaded all of it.
        self.script("mongorestore", "#!/bin/sh\nexit 0\n")
        self.assertIn(f"oplog-apply failed, and mongorestore had begun; {A_PART}", self.restore(expected=1))

    def test_where_it_cannot_be_told_whether_every_document_came_that_is_an_error(self):
        self.script("mongorestore", "#!/bin/sh\ncat >/dev/null\necho '5000 document(s) restored successfully. 1 document(s) failed to restore.' >&2\n")
        for method in ("auto", "replay"):
            for tool, text, why in (("tee", "cat\nexit 1", f"what is said cannot be kept; if the load had begun, {A_PART}"),  # as where the disk is full
                                    ("grep", "exit 2", "whether mongorestore restored every document is not known")):
                with self.subTest(method, tool=tool):
                    self.assertIn(f"oplog-restore: {why}\n", self.restore("--method", method, bin=self.with_tool(tool, text), expected=1))
                    self.check_clean()

    def test_a_log_in_that_fails_is_said(self):
        self.script("mongorestore", "#!/bin/sh\necho 'Failed: authentication failed' >&2; exit 1\n")
        self.assertIn("the log-in to the target failed", self.restore(expected=12))

    def processes(self):
        """Those that read or write something in the folder."""
        found = []
        for command in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if str(self.folder).encode() in command.read_bytes():
                    found.append(int(command.parent.name))
            except OSError:
                pass
        return found

    def test_a_signal_ends_all_of_it(self):
        for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)):
            with self.subTest(number):
                self.script("mongorestore", f"#!/bin/sh\nhead -c 1000 >{self.folder}/begun\nexec cat {self.folder}/never\n")
                for name in ("begun", "never"):
                    (self.folder / name).unlink(missing_ok=True)
                os.mkfifo(self.folder / "never")
                with subprocess.Popen([BIN / "oplog-restore", "-c", self.config, "--target", "t:1", "--force"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                                      env=ENVIRONMENT) as restore:
                    while not (self.folder / "begun").exists() or not (self.folder / "begun").stat().st_size:
                        self.assertIsNone(restore.poll())
                        time.sleep(0.01)
                    restore.send_signal(number)
                    said = restore.communicate(timeout=60)[1]
                self.assertEqual(restore.returncode, code)
                if number != signal.SIGKILL:
                    self.assertIn(f"if the load had begun, {A_PART}", said)
                    self.check_clean()
                while self.processes():
                    time.sleep(0.01)
        self.script("mongorestore", "#!/bin/sh\ncat >/dev/null\n")
        self.restore()
        self.check_clean()  # of what was killed, too


if __name__ == "__main__":
    unittest.main()

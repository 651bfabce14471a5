#!/usr/bin/env python3
"""What oplog-backup tells those who watch: metrics, commands on events, warnings; and what it keeps: retention, pins, the log."""
import fcntl
import json
import os
import pathlib
import pty
import re
import shutil
import subprocess
import time
import unittest

from support import BIN, ENVIRONMENT, document, entry, field, string, timestamp
from test_chain import Chain
from test_cluster_backup import Cluster

SOURCE = pathlib.Path(os.environ["OPLOG_SOURCE"])
DAY = 86400
SAMPLE = re.compile(r'oplog_backup_(\w+)\{directory="((?:[^"\\]|\\.)*)"(?:,(step|member)="([^"]+)")?\} (-?[\d.e+]+)')


def metrics(text):
    """The samples of a text for Prometheus, by name and label; each metric has its HELP and TYPE before it, once."""
    found, name = {}, None
    for line in text.splitlines():
        if described := re.fullmatch(r"# HELP oplog_backup_(\w+) (\w.*\.)", line):
            assert described[1] not in found, line
            name = described[1]
            found[name] = {}
        elif typed := re.fullmatch(r"# TYPE oplog_backup_(\w+) gauge", line):
            assert typed[1] == name, line
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample and sample[1] == name and sample[4] not in found[name], line
            found[name][sample[4]] = float(sample[5])
    return found


class Watching(Cluster):
    """A single server, "a"."""

    def setUp(self):
        super().setUp()
        self.metrics_file = self.folder / "oplog.prom"
        self.events = self.folder / "events"
        self.configure()

    def configure(self, **more):
        super().configure(**{"cluster": None, "db_host": "a", "full_method": "slice", "time_interval": "1s", **more})

    def metrics(self):
        return metrics(self.metrics_file.read_text())

    def on_event(self, more=""):
        """A command that appends its environment to a file."""
        return f"env -0 | grep -z ^OPLOG_ >{self.events}; {more}"

    def event(self):
        facts = dict(fact.split("=", 1) for fact in self.events.read_text().split("\0") if fact)
        self.events.unlink()
        return facts

    def forbid(self):
        """The next step fails."""
        self.replace_oplog(b"forbidden")

    def replace_oplog(self, *entries):
        self.write("a", "local.oplog.rs.bson", b"".join(entries))


class Metrics(Watching):
    def test_each_step_replaces_the_file_and_so_does_one_that_failed(self):
        self.configure(metrics_file=self.metrics_file)
        begun = int(time.time())
        self.run_tool("full")
        one = self.metrics()
        self.assertEqual((one["exit_code"], one["good_chains"][None], one["newest_entry_timestamp_seconds"][None]), ({"full": 0}, 1, self.second))
        self.assertEqual(self.metrics_file.stat().st_mode & 0o777, 0o644)
        inode = self.metrics_file.stat().st_ino
        self.tick("a")
        self.run_tool("inc")
        self.assertNotEqual(self.metrics_file.stat().st_ino, inode)
        one = self.metrics()
        self.assertEqual((one["exit_code"], one["newest_entry_timestamp_seconds"][None], one["lag_seconds"][None]), ({"full": 0, "inc": 0}, self.second, 0))
        self.assertEqual(one["oplog_window_seconds"], one["oplog_window_left_seconds"])
        self.assertGreaterEqual(one["last_success_timestamp_seconds"]["inc"], begun)
        self.assertEqual(one["step_size_bytes"][None], sum(path.stat().st_size for path in self.directory.glob("*/inc/*/**/*") if path.is_file() and path.name != "step.json"))
        self.forbid()
        self.run_tool("inc", expected=12)
        after = self.metrics()
        self.assertEqual((after["exit_code"], after["last_success_timestamp_seconds"]), ({"full": 0, "inc": 12}, one["last_success_timestamp_seconds"]))
        self.assertEqual(after["lag_seconds"], {})  # the server did not say
        self.assertEqual({path.name for path in self.folder.iterdir()} - {"config.ini", "dbbak", "oplog.prom", "servers", "tools"}, set())

    def test_copies_have_a_last_success_too_which_a_failure_leaves(self):
        begun = int(time.time())
        self.configure(metrics_file=self.metrics_file, copy_command="true")
        self.run_tool("full")
        success = self.metrics()["last_success_timestamp_seconds"]
        self.assertEqual(set(success), {"full", "copy"})
        self.assertGreaterEqual(success["copy"], begun)
        self.configure(metrics_file=self.metrics_file, copy_command="exit 3")
        self.tick("a")
        self.run_tool("inc", expected=1)
        after = self.metrics()
        self.assertEqual((after["exit_code"], after["last_success_timestamp_seconds"]["copy"]), ({"full": 0, "inc": 0, "copy": 1}, success["copy"]))

    def test_what_the_server_has_more_is_the_lag_by_its_clock(self):
        self.second -= 5 * DAY  # so much slow
        self.replace_oplog(entry(self.second))
        self.configure(metrics_file=self.metrics_file)
        self.run_tool("full")
        self.replace_oplog(entry(self.second + 50), entry(self.second + 90))
        self.run_tool("inc", expected=20)
        one = self.metrics()
        self.assertEqual([one[name][None] for name in ("lag_seconds", "oplog_window_seconds", "oplog_window_left_seconds")], [90, 40, -50])

    def test_a_file_that_cannot_be_written_harms_no_backup(self):
        self.configure(metrics_file=self.folder / "missing" / "oplog.prom")
        self.assertIn("missing/oplog.prom: No such file", self.run_tool("full"))
        self.run_tool("verify")

    def test_of_a_cluster_every_member_is_there(self):
        of_cluster = {"cluster": "yes", "db_host": "cfg", "full_method": None, "time_interval": "3"}
        self.configure(**of_cluster, metrics_file=self.metrics_file, on_event=self.on_event())
        self.run_tool("full")
        self.assertEqual((self.event()["OPLOG_EVENT"], self.metrics()["exit_code"]), ("success", {"full": 0}))
        self.tick("cfg")
        self.tick()
        self.assertIn("sh1: the oplog reaches back less than twice time_interval (3 hours)", self.run_tool("inc"))
        self.assertIn("sh0: the oplog reaches back less than twice time_interval (3 hours)", self.run_tool("status"))
        one = self.metrics()
        self.assertEqual(one["newest_entry_timestamp_seconds"], {name: self.second for name in ("config", "sh0", "sh1")})
        self.assertEqual((set(one["oplog_window_seconds"]), one["good_chains"][None]), ({"config", "sh0", "sh1"}, 1))
        (self.servers / "b/local.oplog.rs.bson").unlink()
        self.tick()
        self.run_tool("inc", expected=20)
        self.assertEqual(self.event()["OPLOG_EVENT"], "gap")


class Forecast(Chain):
    """The oplog reaches back over 1000 s in which 100 bytes were written a second, and then for 100 s more."""

    def report(self, *increments, oldest="1000:1", overwritten=True):
        config = self.folder.parent / "config.ini"
        config.write_text(f"[default]\ndbbak_dir = {self.folder}\nmetrics_file = {self.folder.parent}/oplog.prom\n")
        self.full(1000, 1010)
        self.inc(data=entry(1010) + b"".join(entry(second, size=1000) for second in range(1020, 2001, 10)))
        for data in increments:
            self.inc(data=entry(2000, size=1000) + data)
        self.write(self.folder / ".oplog.json", json.dumps({"oldest": oldest, "newest": oldest, "overwritten": overwritten}).encode())
        out = self.chain("report", "--config", str(config), "--step", "inc", "--code", "0", "--seconds", "3")
        return metrics((self.folder.parent / "oplog.prom").read_text())["overwritten_timestamp_seconds"], out

    def test_at_the_same_rate_the_chain_ends_are_overwritten_after_one_window(self):
        found, facts = self.report()
        self.assertAlmostEqual(found[None], 3000, delta=30)
        self.assertRegex(facts, r"(?m)^OPLOG_OVERWRITTEN_TIME=1970-01-01T00:(49|50):\d\dZ$")

    def test_at_ten_times_the_rate_it_takes_a_tenth(self):
        # 100 s at 1000 bytes a second: the window of 1100 s held 200,000 bytes, for which it takes 200 s now
        found, _ = self.report(b"".join(entry(second, size=1000) for second in range(2001, 2101)))
        self.assertAlmostEqual(found[None], 2300, delta=20)

    def test_of_an_oplog_that_lost_nothing_yet_there_is_none(self):
        self.assertEqual(self.report(overwritten=False)[0], {})

    def test_a_directory_that_is_not_utf8_is_shown_so_that_the_file_is_valid(self):
        self.report()
        self.folder = self.folder.rename(os.fsdecode(os.fsencode(self.folder) + b'"\xff'))
        self.chain("report", "--config", str(self.folder.parent / "config.ini"), "--step", "inc", "--code", "0", "--seconds", "3")
        self.assertIn(r'\"\\xff"', (self.folder.parent / "oplog.prom").read_text())


class Events(Watching):
    def test_the_directory_is_named_as_it_is(self):
        directory = self.folder / "tab\tdir"
        self.configure(on_event=self.on_event(), dbbak_dir=directory)
        self.run_tool("full")
        self.assertEqual(self.event()["OPLOG_DIRECTORY"], str(directory))

    def test_success_and_failure_and_their_facts(self):
        self.configure(on_event=self.on_event())
        self.run_tool("full")
        facts = self.event()
        self.assertEqual([facts[f"OPLOG_{name}"] for name in ("EVENT", "STEP", "EXIT_CODE", "ERRORS", "DIRECTORY", "CHAIN", "STATE", "NEWEST")],
                         ["success", "full", "0", "", str(self.directory), self.status()["chains"][0]["id"], "open", f"{self.second}:1"])
        self.forbid()
        self.run_tool("inc", expected=12)
        facts = self.event()
        self.assertEqual([facts[f"OPLOG_{name}"] for name in ("EVENT", "STEP", "EXIT_CODE")], ["failure", "inc", "12"])
        self.assertIn("the backup user needs the role backup", facts["OPLOG_ERRORS"])

    def test_a_gap_and_a_divergence(self):
        self.configure(on_event=self.on_event())
        old = (self.servers / "a/local.oplog.rs.bson").read_bytes()
        self.run_tool("full")
        self.tick("a")
        self.replace_oplog(entry(self.second))
        self.run_tool("inc", expected=20)
        facts = self.event()
        self.assertEqual([facts[f"OPLOG_{name}"] for name in ("EVENT", "EXIT_CODE", "STATE")], ["gap", "20", "closed: gap"])
        self.run_tool("full")
        self.assertEqual(self.event()["OPLOG_EVENT"], "success")
        self.tick("a")
        self.replace_oplog(old, entry(self.second, 2))
        self.run_tool("inc", expected=20)
        self.assertEqual(self.event()["OPLOG_EVENT"], "divergence")

    def test_a_gap_before_a_full_backup_is_told_with_it(self):
        self.configure(on_event=self.on_event())
        self.run_tool("full")
        self.run_tool("inc")
        self.tick("a")
        self.replace_oplog(entry(self.second))
        self.run_tool("full", expected=20)
        facts = self.event()
        self.assertEqual([facts[f"OPLOG_{name}"] for name in ("EVENT", "STEP", "EXIT_CODE", "STATE")], ["gap", "full", "20", "open"])

    def test_a_step_that_a_signal_ends_is_a_failure(self):
        self.script("mongodump", "#!/bin/sh\n[ $1 = --version ] || exec sleep 60\n")
        self.configure(on_event=self.on_event())
        process = subprocess.Popen([BIN / "oplog-backup", "-c", self.config, "full"], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        process.stdout.readline()  # it begins
        process.terminate()
        process.communicate(timeout=60)
        facts = self.event()
        self.assertEqual((process.returncode, facts["OPLOG_EVENT"], facts["OPLOG_EXIT_CODE"]), (143, "failure", "143"))

    def test_no_password_is_in_the_environment_or_a_command_line(self):
        look = f"for p in /proc/[0-9]*; do tr '\\0' '\\n' <$p/cmdline; tr '\\0' '\\n' <$p/environ; done >{self.folder}/seen 2>/dev/null; env >>{self.folder}/seen"
        oplog = (self.servers / "a/local.oplog.rs.bson").read_bytes()
        for how in ({"db_user": "u", "db_pwd": "hush%3Aword"}, {"db_host": None, "uri": "mongodb://u:hush%3Aword@a:27017/?authSource=admin"}):
            self.configure(on_event=look, **how)
            self.replace_oplog(oplog)
            self.run_tool("full")
            self.forbid()
            self.run_tool("inc", expected=12)
            seen = (self.folder / "seen").read_text(errors="replace")
            self.assertIn("OPLOG_EVENT=failure", seen)
            for secret in ("hush%3Aword", "hush:word", "hush%253Aword"):
                self.assertNotIn(secret, seen)

    def test_a_command_that_fails_or_hangs_harms_no_backup(self):
        self.run_tool("full")
        for command, said in (("exit 3", "failed with exit code 3"), ("echo 'no \033[1mway' >&2; false", "failed with exit code 1: no ?[1mway"), ("no-such-command", "exit code 127"),
                              ("sleep 100", "did not end within 1 s"), ("trap '' TERM; sleep 100 & exec sleep 100", "did not end within 1 s"),
                              ("exec 0<&- 1>&- 2>&-; sleep 9 & exit", "")):
            with self.subTest(command):
                self.configure(on_event=command)
                self.assertIn(said, self.run_tool("inc", OPLOG_BACKUP_EVENT_SECONDS="1" if "1 s" in said else "60"))
                subprocess.run(["flock", "--nonblock", self.directory / ".lock", "true"], check=True)  # nothing that it left has the lock
        self.assertEqual({one["state"] for one in self.status()["chains"]}, {"open"})
        self.run_tool("verify")


class Surroundings(Watching):
    """Of the environment and the descriptors that a step is begun with."""

    def shell(self, script, **environment):
        done = subprocess.run(["bash", "-c", script], env={**ENVIRONMENT, "OPLOG_BACKUP_RETRY_SECONDS": "0", **environment}, capture_output=True, text=True, timeout=20, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_closed_descriptors_are_none(self):
        for closed in ("<&- >&- 2>&-", ">&- 2>&-", "<&- 2>&-", "<&-", ">&-", "2>&-"):
            for method in ("mongodump", "slice"):
                with self.subTest(closed, method=method):
                    self.configure(full_method=method)
                    self.assertEqual(self.shell(f"exec {BIN}/oplog-backup -c {self.config} full {closed}")[0], 1 if method == "mongodump" else 0)
        self.run_tool("inc")
        self.run_tool("verify")

    def test_where_nobody_reads_it_is_done_logged_and_told_all_the_same(self):
        self.run_tool("full")
        self.configure(on_event=self.on_event())
        self.assertEqual(self.shell(f"set -o pipefail; {BIN}/oplog-backup -c {self.config} inc 2>/dev/null | true")[0], 0)
        self.assertEqual(self.event()["OPLOG_STEP"], "inc")
        self.assertIn("incremental backup 1 succeeded", (self.directory / "dbbak.log").read_text())

    def test_the_environment_is_no_part_of_it(self):
        self.configure(db_user="u", db_pwd="SECRET", on_event=f"env >>{self.folder}/env")
        names = {name: "/etc/passwd" for name in ("secret", "settings", "words", "said_in", "hush", "mongodump_version", "login", "config", "code", "last")}
        for more in (names, {"SHELLOPTS": "allexport"}, {"SHELLOPTS": "errexit"}, {"SHELLOPTS": "noclobber"}, {"POSIXLY_CORRECT": "1"}, {"SHELLOPTS": "posix"}):
            with self.subTest(more):
                for command in ("full", "inc"):
                    self.assertEqual(self.shell(f"exec {BIN}/oplog-backup -c {self.config} {command}", **more)[0], 0)
        self.assertEqual(self.shell(f"unset PATH; exec {BIN}/oplog-backup -c {self.config} inc")[0], 0)
        self.assertNotIn("SECRET", (self.folder / "env").read_text())
        self.assertNotIn("/etc/passwd", "".join(path.read_text() for path in self.directory.rglob("step.json")))

    def test_a_failure_leaves_no_question_behind(self):
        (self.tools / "mongodump").rename(self.tools / "real")
        (self.tools / "mongodump").write_text(f'#!/bin/sh\ncase " $* " in *" --query "*|*--version*) ;; *oplog.rs*) echo $$ >{self.folder}/asking; exec sleep 300 ;; esac\nexec {self.tools}/real "$@"\n')
        (self.tools / "mongodump").chmod(0o755)
        self.run_tool("inc", expected=10)
        asking = self.folder / "asking"
        time.sleep(0.5)
        if asking.exists() and (process := asking.read_text().strip()):
            self.assertFalse(pathlib.Path(f"/proc/{process}/exe").exists())


class Warnings(Watching):
    def test_a_window_shorter_than_two_intervals_is_said_by_inc_and_status(self):
        short = "the oplog reaches back less than twice time_interval"
        self.configure(time_interval="30s")
        self.replace_oplog(entry(self.second - 70), entry(self.second))
        self.run_tool("full")
        self.assertNotIn(short, self.run_tool("inc") + self.run_tool("status"))
        self.replace_oplog(entry(self.second - 50), entry(self.second))
        self.assertIn(f"{short} (30 seconds)", self.run_tool("status"))
        self.assertIn(f"{short} (30 seconds)", self.run_tool("inc"))
        self.configure(time_interval="30s", lang="zh")
        self.assertIn("小于time_interval(30秒)的两倍", self.run_tool("inc"))
        self.assertIn("小于time_interval(30秒)的两倍", self.run_tool("status"))

    def questions(self):
        """How often the server was asked for its oldest entry since the last time."""
        calls = self.servers / "calls"
        text = calls.read_text()
        calls.write_text("")
        return sum("oplog.rs" in call and "--query" not in call for call in text.splitlines())

    def test_the_oldest_entry_is_asked_for_at_most_once_a_minute_while_no_warning_is_near(self):
        known = self.directory / ".oplog.json"
        begun = document(string("op", "n"), string("ns", ""), field(3, "o", document(string("msg", "initiating set"))), timestamp("ts", self.second - 9, 1))
        for oldest in (entry(self.second - 600), begun):  # what may be overwritten, and what lost nothing yet
            self.replace_oplog(oldest, entry(self.second))
            known.unlink(missing_ok=True)
            self.run_tool("full")
            self.questions()
            self.run_tool("inc")
            self.assertEqual(self.questions(), 1)
            self.run_tool("inc")
            self.assertEqual(self.questions(), 0)
            found = json.loads(known.read_text())
            for asked in (found["asked"] - 60, found["asked"] + 60):
                known.write_text(json.dumps({**found, "asked": asked}, separators=(",", ":")) + "\n")
                self.run_tool("inc")
                self.assertEqual(self.questions(), 1)
            for damaged in ("", "{}\n", json.dumps(found)):
                known.write_text(damaged)
                self.run_tool("inc")
                self.assertEqual(self.questions(), 1)
        self.replace_oplog(entry(self.second - 50), entry(self.second))  # no longer than four intervals
        self.configure(time_interval="15s")
        known.unlink()
        for _ in range(2):
            self.run_tool("inc")
            self.assertEqual(self.questions(), 1)

    def test_after_a_failure_what_was_known_of_the_oplog_is_not_taken_for_true(self):
        self.configure(metrics_file=self.metrics_file)
        self.replace_oplog(entry(self.second - 600), entry(self.second))
        self.run_tool("full")
        self.run_tool("inc")
        self.assertEqual(self.metrics()["oplog_window_seconds"][None], 600)
        self.replace_oplog(entry(self.second + 5))
        self.run_tool("inc", expected=20)
        self.assertEqual(self.metrics()["oplog_window_seconds"][None], 0)

    def test_an_oplog_that_lost_nothing_yet_is_just_young(self):
        begun = document(string("op", "n"), string("ns", ""), field(3, "o", document(string("msg", "initiating set"))), timestamp("ts", self.second - 9, 1))
        self.configure(time_interval="3")
        self.replace_oplog(begun, entry(self.second))
        self.run_tool("full")
        self.assertNotIn("twice", self.run_tool("inc") + self.run_tool("status"))


class Retention(Chain):
    """Chains of these hours of a January that begins with a Monday (2024), the oldest first."""
    MONDAY = 1704067200

    def chains(self, *hours):
        return [self.full(self.MONDAY + hour * 3600, started=self.MONDAY + hour * 3600)["chain"] for hour in hours]

    def pruned(self, *arguments):
        return [line.split()[0] for line in self.chain("prune", *arguments).splitlines()]

    def left(self):
        return [one["id"] for one in self.status()["chains"]]

    def test_days_keep_what_reaches_into_them(self):
        made = self.chains(0, 30, 60, 90)
        self.inc(self.MONDAY + 30 * 3600, self.MONDAY + 42 * 3600, chain=made[1])
        self.assertEqual(self.pruned("--keep-days", "2", "--dry-run"), [made[0]])
        self.assertEqual(self.pruned("--keep-days", "1"), made[:3])
        self.assertEqual(self.pruned("--keep-days", "1"), [])

    def test_weeks_keep_their_last(self):
        made = self.chains(0, 24, 167, 168, 24 * 10, 24 * 14, 24 * 15)
        self.assertEqual(self.pruned("--keep-weekly", "2", "--dry-run"), [one for one in made if one not in (made[4], made[6])])
        self.assertEqual(self.pruned("--keep-weekly", "9"), [made[0], made[1], made[3], made[5]])
        self.assertEqual(self.left(), [made[2], made[4], made[6]])

    def test_what_any_rule_keeps_stays(self):
        made = self.chains(0, 167, 24 * 14, 24 * 14 + 1, 24 * 14 + 2)
        self.assertEqual(self.pruned("--keep", "1", "--keep-weekly", "2"), [made[0], made[2], made[3]])
        self.assertEqual(self.pruned("--keep", "2"), [])

    def test_the_only_good_chain_stays_whatever_its_age(self):
        made = self.chains(0, 24 * 50, 24 * 99)
        for one in made[1:]:
            (self.folder / one / "full/oplog.bson").unlink()
        for arguments in (("--keep", "1"), ("--keep-days", "1"), ("--keep-weekly", "1")):
            self.assertEqual(self.pruned(*arguments), [])
        self.chain("prune", "--keep-days", "0", expected=2)
        self.chain("prune", expected=2)
        self.assertEqual(self.left(), made)

    def test_pinned_chains_stay_until_unpinned(self):
        made = self.chains(0, 1, 2)
        self.chain("pin", "--chain", made[0])
        self.chain("pin", "--chain", "20240101", expected=10)
        self.chain("pin", expected=2)
        (self.folder / made[0] / "full/oplog.bson").unlink()  # even so
        self.assertEqual(self.pruned("--keep", "1"), [made[1]])
        self.assertEqual([one["pinned"] for one in self.status()["chains"]], [True, False])
        self.assertIn(f"pinned: {made[0]}\n", self.chain("status"))
        self.chain("verify", "--chain", made[2])
        self.chain("unpin", "--chain", made[0])
        self.assertEqual(self.pruned("--keep", "1"), [made[0]])


    def test_a_pinned_backup_of_a_cluster_keeps_its_members_chains(self):
        root, made = self.folder, []
        for hour in range(4):
            for member in ("config", "sh0"):
                self.folder, self.step = root / member, root / member / ".step"
                made += self.chains(hour)
            self.folder, self.step = root, root / ".step"
            self.chain("add-round", "config=", "sh0=s/h", "--to", f"{self.MONDAY + hour * 3600}:1", "--started", str(self.MONDAY + hour * 3600))
        self.chain("pin", "--chain", made[2])
        self.assertEqual(self.pruned("--keep", "1"), [made[0], made[4]])
        self.assertEqual([(one["id"], one["pinned"]) for one in self.status()["clusters"]], [(made[2], True), (made[6], False)])
        self.assertIn(f"pinned: {made[2]}\n", self.chain("status"))
        for member in ("config", "sh0"):
            self.assertEqual(sorted(path.name for path in (root / member).glob("2*")), [made[2], made[6]])
        record = root / f"{made[2]}.cluster.json"
        whole = record.read_bytes()
        record.write_bytes(whole[:-1])  # so that its members are not known
        self.assertEqual(self.pruned("--keep", "1"), [])
        self.assertEqual(len(list(root.glob("*/2*"))), 4)
        record.write_bytes(whole)
        self.chain("unpin", "--chain", made[2])
        self.assertEqual((self.pruned("--keep", "1"), list(root.glob("*.pinned"))), ([made[2]], []))
        self.assertEqual(len(list(root.glob("*/2*"))), 2)


class Keeping(Watching):
    def test_old_chains_that_cannot_be_dropped_are_a_failure(self):
        broken = self.folder / "broken"
        broken.mkdir()
        for tool in BIN.glob("oplog-*"):
            (broken / tool.name).symlink_to(tool)
        for script in ("oplog-backup", "oplog-chain"):
            (broken / script).unlink()
        shutil.copy(BIN / "oplog-backup", broken)
        (broken / "oplog-chain").write_text(f'#!/bin/sh\n[ "$1" != prune ] || {{ echo "oplog-chain: /d: Input/output error" >&2; exit 1; }}\nexec {BIN}/oplog-chain "$@"\n')
        (broken / "oplog-chain").chmod(0o755)
        self.configure(keep_chains=1)
        self.run_tool("full")
        for command in ("full", "prune"):
            self.tick("a")
            self.assertIn("oplog-chain: /d: Input/output error", self.run_tool(command, tool=broken / "oplog-backup", expected=1))
        self.assertEqual(len(self.status()["chains"]), 2)  # the backup was made all the same
        self.run_tool("prune")
        self.assertEqual(len(self.status()["chains"]), 1)

    def test_a_chain_is_pinned_while_a_backup_runs_and_not_while_old_ones_are_dropped(self):
        self.configure(keep_days=3, keep_weekly=1)
        self.run_tool("full")
        one, = (chain["id"] for chain in self.status()["chains"])
        with (self.directory / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.run_tool("pin", one)
        self.assertEqual([chain["pinned"] for chain in self.status()["chains"]], [True])
        self.run_tool("unpin", one)
        self.run_tool("pin", "20200101_00_00_00", expected=10)
        self.assertEqual(self.run_tool("prune", "--dry-run"), "")
        self.configure()
        self.assertIn("none of keep_chains, keep_days and keep_weekly is set", self.run_tool("prune", expected=2))

    def test_what_mongodump_says_is_passed_on_without_controls(self):
        self.run_tool("full")
        self.script("silent", (self.tools / "mongodump").read_text())
        self.script("mongodump", f"""#!/bin/sh
[ $1 = --version ] || printf 'dumping \\033[1m%s\\n' "$(date)" >&2
exec {self.tools}/silent "$@"
""")
        words = r"dumping \?\[1m\w"
        self.assertRegex(self.run_tool("inc"), words)
        terminal, stderr = pty.openpty()  # there it is passed on at once
        self.assertRegex(self.run_tool("inc", stderr=stderr) + os.read(terminal, 100000).decode(), words)
        os.close(stderr)
        os.close(terminal)

    def test_a_server_that_goes_away_during_the_log_in_is_asked_again(self):
        self.script("alive", (self.tools / "mongodump").read_text())
        lost = ('auth error: unable to authenticate using mechanism "SCRAM-SHA-256":  connection(a:27017[-6]) incomplete read of message header: '
                "read tcp a:51288->a:27017: read: connection reset by peer")
        refused = 'auth error: sasl conversation error: unable to authenticate using mechanism "SCRAM-SHA-256": ({0}) {1}'
        for words, expected in ((lost, 0), (refused.format("AuthenticationFailed", "Authentication failed."), 12),
                                (refused.format("MechanismUnavailable", "Received authentication for mechanism SCRAM-SHA-256 which is not enabled"), 12)):
            with self.subTest(words):
                self.script("mongodump", f"""#!/bin/sh
[ $1 = --version ] || ! {"test -e" if expected else "rm"} {self.folder}/fails 2>&- || {{ cat >&2 <<'END'
2026-11-28T02:04:03.033+0000\tFailed: can't create session: failed to connect to mongodb://a/: connection() error occurred during connection handshake: {words}
END
exit 1; }}
exec {self.tools}/alive "$@"
""")
                (self.folder / "fails").touch()
                self.assertEqual("log-in failed" in self.run_tool("full", expected=expected), expected == 12)

    def test_the_log_goes_on_under_its_name_after_it_was_moved(self):
        log = self.folder / "log"
        self.configure(log_file=log, increments=1, on_event=f"mv {log} {log}.$OPLOG_STEP")
        self.run_tool("run")
        self.assertFalse(log.exists())
        self.assertRegex((self.folder / "log.full").read_text(), r"\A\[INFO\].*full backup succeeded.*\n\Z")
        self.assertRegex((self.folder / "log.inc").read_text(), r"\A\[INFO\].*incremental backup 1 succeeded.*\n(\[WARN\].*\n)?\Z")

    @unittest.skipUnless(shutil.which("logrotate"), "logrotate is not here")
    def test_logrotate_moves_it_and_no_line_is_lost(self):
        log = self.folder / "log"
        self.configure(log_file=log, time_interval="3")
        rules = self.folder / "rules"
        packaged = (SOURCE / "packaging/logrotate/oplog").read_text()
        rules.write_text(packaged.replace("/var/log/oplog/*.log", str(log)).replace("    su oplog oplog\n", ""))
        self.run_tool("full")
        first = log.read_text()
        subprocess.run(["logrotate", "--force", "--state", self.folder / "state", rules], check=True)
        self.assertEqual((log.exists(), (self.folder / "log.1").read_text()), (False, first))
        self.run_tool("inc")
        self.assertIn("incremental backup 1", log.read_text())


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""oplog-backup and oplog-restore against real servers with authentication.

    OPLOG_BIN=build/release/tools MONGO_TOOLS_BIN=/usr/bin test_backup.py

With the real mongodump and mongorestore where they are found, else with the stand-ins. Exit 77 when there is no server
to test with (unless OPLOG_REQUIRE_LIVE=1, then 2).
"""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, quote_plus

try:
    import pymongo  # noqa: F401
except ModuleNotFoundError:
    pymongo = None

if pymongo:
    import bson
    from compare import differences, state_of
    from server import Server, find_mongod, scratch_directory

BIN = Path(os.environ.get("OPLOG_BIN", Path(__file__).resolve().parents[2] / "build/release/tools")).resolve()
STAND_IN = Path(__file__).resolve().parent / "standin"
LIMIT = 300  # seconds for any one command, however busy the machine
NARROW = ["find", "insert", "update", "remove", "dropDatabase", "dropIndex", "listIndexes"]  # docs/setup.md's restore user
NO_BACKUP, LOCKED, UNAUTHORISED, DISCONTINUITY, UNVERIFIED = 10, 11, 12, 20, 21


def tools_directory(folder):
    """Where mongodump and mongorestore are, and whether they are the real ones."""
    found = {name: shutil.which(name, path=os.environ.get("MONGO_TOOLS_BIN")) for name in ("mongodump", "mongorestore")}
    folder.mkdir()
    for name, path in found.items():
        command = f'"{path}"' if all(found.values()) else f'"{sys.executable}" "{STAND_IN / name}"'
        script(folder / name, f'exec {command} "$@"')
    return folder, all(found.values())


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def start_servers(password_of_real, password_of_stand_ins="password"):
    """A source with the user that backs it up, and a target."""
    global root, source, target, tools, real, password
    root = scratch_directory()
    source = Server(root / "source", auth=True, parameters={"enableTestCommands": 1})
    target = Server(root / "target", auth=True)
    tools, real = tools_directory(root / "tools")
    source.wait()
    target.wait()
    password = password_of_real if real else password_of_stand_ins
    source.client.admin.command("createUser", "backup", pwd=password, roles=["backup"])
    print("tools:", "the real ones" if real else "the stand-ins, so equality is NOT proved", flush=True)


def setUpModule():
    global small
    start_servers("p@ss:w/rd#;%'\"\\ x", "p@ss:w/rd#;% x")
    small = Small(root / "small")
    small.begin()


def processes_below(pid):
    """The ids of a process's descendants."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = list(children.get(pid, []))
    for one in found:
        found += children.get(one, [])
    return found


def empty(server):
    """Drops every user database, and every user and role but for the tests' own."""
    for name in server.client.list_database_names():
        if name not in ("admin", "config", "local"):
            server.client.drop_database(name)
    for user in list(server.client.admin["system.users"].find({"user": {"$nin": [server.user, "backup"]}})):
        server.client[user["db"]].command("dropUser", user["user"])
    for role in list(server.client.admin["system.roles"].find()):
        server.client[role["db"]].command("dropRole", role["role"])


def wait_for(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not in {seconds} s: {what}")
        time.sleep(0.01)


class Backup(unittest.TestCase):
    """Each test has an empty backup directory and a source and a target without databases."""

    def setUp(self):
        empty(source)
        self.empty_target()
        self.folder = root / self.id().rpartition(".")[2]
        self.directory = self.folder / "dbbak"
        self.folder.mkdir()
        self.config = None  # what the last configure() wrote
        self.tools = tools
        self.db = source.client.shop

    def empty_target(self):
        empty(target)
        target.client.admin.command("createRole", "oplogRestore", roles=["restore"],
                                    privileges=[{"resource": {"anyResource": True}, "actions": NARROW}])
        target.client.admin.command("createUser", "restorer", pwd="r", roles=["oplogRestore"])

    def configure(self, server=None, **settings):
        secret = self.folder / "restore.password"
        secret.write_text("r\n")
        secret.chmod(0o600)
        values = {"db_host": "127.0.0.1", "db_port": (server or source).port, "db_user": "backup", "db_pwd": password, "db_authdb": "admin",
                  "time_interval": "1s", "increments": 2, "mongo_home": self.tools, "dbbak_dir": f"{self.directory}/", "lang": "en",
                  "restore_user": "restorer", "restore_pwd_file": secret, **settings}
        path = self.folder / "config.ini"
        path.write_text("[default]\n" + "".join(f"{key} = {value}\n" for key, value in values.items() if value is not None))
        path.chmod(0o600)
        self.config = path
        return path

    def start(self, *arguments, config=None, tool="oplog-backup", retry=0):
        command = [BIN / tool, "-c", config or self.config or self.configure(), *map(str, arguments)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "OPLOG_BACKUP_RETRY_SECONDS": str(retry)},
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # a shell's `&` has it ignored

    def finish(self, process, expected=0):
        try:
            out, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        self.assertEqual(process.returncode, expected, f"{process.args}\n{out}\n{err}")
        return out, err

    def run_backup(self, *arguments, expected=0, **how):
        return self.finish(self.start(*arguments, **how), expected)

    def restore(self, *arguments, expected=0, to=None, tool="oplog-restore"):
        force = [] if real or "--dry-run" in arguments or expected else ["--force"]  # the stand-in writes no archives
        return self.run_backup("--target", to or f"127.0.0.1:{target.port}", *force, *arguments, tool=tool, expected=expected)

    def status(self):
        return json.loads(self.run_backup("status", "--json")[0])

    def log(self):
        return (self.directory / "dbbak.log").read_text()

    def check_restored(self, expected, *arguments):
        out, _ = self.restore(*arguments)
        self.assertEqual(differences(expected, self.without_test_users(state_of(target))), [])
        return out

    def source_state(self):
        return self.without_test_users(state_of(source))

    def without_test_users(self, state):
        """The users of the tests themselves and their role come and go with the servers."""
        for name, key in (("admin.system.users", "user"), ("admin.system.roles", "role")):
            if name in state:
                state[name].documents = [raw for raw in state[name].documents
                                         if bson.decode(raw)[key] not in ("backup", "restorer", "oplogRestore")]
                state[name].hash = ""
        return {name: one for name, one in state.items() if one.documents or not name.startswith("admin.")}

    def make_old(self):
        """Records as they were before each proved itself, so that a test can change them."""
        for path in self.directory.glob("2*/**/step.json"):
            record = json.loads(path.read_text())
            path.write_text(json.dumps({key: value for key, value in record.items() if key not in ("previous", "sha256")} | {"format": 1}, separators=(",", ":")))
        for path in self.directory.glob("2*/chain.json"):
            path.unlink()

    def check_clean(self):
        left = [path.name for path in self.directory.iterdir() if path.name.startswith(".")]
        self.assertLessEqual(set(left), {".lock", ".restoring", ".cycle", ".oplog.json", ".steps.json", ".copied", ".copying"})


class Cycle(Backup):
    def write(self, number):
        self.db.a.insert_many([{"n": number, "i": i, "text": "x" * 50} for i in range(50)])
        self.db.a.update_many({"i": {"$lt": 5}}, {"$inc": {"n": 100}})
        self.db.a.delete_many({"i": 49})
        self.db.a.create_index([("i", -1), (f"field{number}", 1)], sparse=bool(number % 2))
        self.db[f"made{number}"].insert_one({"_id": number})
        if number > 1:
            self.db[f"made{number - 1}"].rename(f"renamed{number - 1}", dropTarget=True)
        with source.client.start_session() as session, session.start_transaction():
            self.db.a.insert_one({"_id": f"in transaction {number}"}, session=session)
            self.db.b.insert_one({"_id": f"in transaction {number}"}, session=session)

    def test_full_and_increments_restore_identically_at_the_end_and_at_each_point(self):
        self.db.create_collection("b", validator={"_id": {"$exists": True}}, validationLevel="moderate")
        self.db.create_collection("capped", capped=True, size=4096)
        source.client.admin.command("createRole", "reader", privileges=[], roles=["readAnyDatabase"])
        self.write(0)
        self.run_backup("full")
        points = []
        for number in range(1, 4):
            self.write(number)
            source.client.shop.command("createUser", f"user{number}", pwd="x", roles=["read"])
            self.db.capped.insert_many([{"n": i} for i in range(100)])
            reply = source.client.admin.command("appendOplogNote", data={"point": number})
            points.append((reply["operationTime"], self.source_state()))
            self.run_backup("inc")
        self.assertIn("ok", self.run_backup("verify")[0])
        chain, = self.status()["chains"]
        self.assertEqual((chain["state"], chain["increments"]), ("open", 3))
        for method in ("auto", "apply", "replay"):
            with self.subTest(method):
                self.empty_target()
                out = self.check_restored(points[-1][1], "--method", method)
                self.assertRegex(out, r"stands at \d+:\d+ \(20..-..-..T..:..:..Z\)")
                for time_, expected in points[:-1]:
                    self.empty_target()
                    out = self.check_restored(expected, "--to", f"{time_.time}:{time_.inc}", "--method", method)
                    self.assertIn(f"stands at {time_.time}:{time_.inc} ", out)

    def test_what_cannot_be_applied_is_replayed(self):
        self.write(0)
        self.run_backup("full")
        self.write(1)
        self.run_backup("inc")
        refusing = self.folder / "tools"  # the scripts take the tools that lie beside them
        shutil.copytree(BIN, refusing, ignore=shutil.ignore_patterns("CMakeFiles"))
        (refusing / "oplog-apply").unlink()
        script(refusing / "oplog-apply", 'echo "oplog-apply: no" >&2; exit 1')
        force = [] if real else ["--force"]  # the stand-in writes no archives
        _, err = self.restore(*force, "--method", "apply", expected=1, tool=refusing / "oplog-restore")
        self.assertIn("the target is as it was", err)
        self.assertNotIn("shop", target.client.list_database_names())
        self.check_clean()
        self.restore(tool=refusing / "oplog-restore")
        self.assertEqual(differences(self.source_state(), self.without_test_users(state_of(target))), [])
        self.run_backup("synthesize", expected=1, tool=refusing / "oplog-backup")
        self.assertIn("oplog-apply: no", self.log())
        self.check_clean()
        self.assertEqual(len(self.status()["chains"]), 1)

    def test_a_synthesized_full_backup_begins_a_chain_of_its_own(self):
        for compress in ("none", "gzip", "zstd"):
            with self.subTest(compress):
                empty(source)
                self.directory = self.folder / compress
                self.configure(compress=compress)
                self.run_backup("synthesize", expected=NO_BACKUP)
                self.write(0)
                self.run_backup("full")
                _, err = self.run_backup("synthesize", expected=NO_BACKUP)
                self.assertIn("nothing to synthesize", err)
                self.write(1)
                self.run_backup("inc")
                state = self.source_state()
                out, _ = self.run_backup("synthesize")
                self.assertRegex(out, r"synthesis of a full backup is done\.\.\.\n\Z")
                old, new = self.status()["chains"]
                self.assertEqual((new["first"], new["state"], new["steps"][0]["madeOf"]), (old["last"], "open", old["id"]))
                self.assertEqual({path.stat().st_nlink for path in self.directory.glob(f"{new['id']}/**/*") if path.is_file()}, {1})
                self.run_backup("verify")
                self.empty_target()
                self.check_restored(state, "--chain", new["id"])
                for number in range(2, 4):
                    self.write(number)
                    self.run_backup("inc")
                shutil.rmtree(self.directory / old["id"])  # nothing of it is needed
                for method in ("apply", "replay"):
                    self.empty_target()
                    self.check_restored(self.source_state(), "--method", method)
                self.run_backup("synthesize")
                self.empty_target()
                self.check_restored(self.source_state())
                self.check_clean()

    def test_nothing_is_synthesized_of_a_damaged_chain(self):
        self.write(0)
        self.run_backup("full")
        self.write(1)
        self.run_backup("inc")
        path, = self.directory.glob("2*/full/shop/a.bson")
        good = path.read_bytes()
        path.write_bytes(good[:-8] + bytes([good[-8] ^ 1]) + good[-7:])
        self.run_backup("synthesize", expected=UNVERIFIED)
        self.assertIn(str(path), self.log())
        self.assertEqual(len(self.status()["chains"]), 1)
        self.check_clean()

    def test_a_cycle_says_what_it_does_in_both_languages(self):
        self.db.a.insert_one({})
        clock = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
        out, _ = self.run_backup(config=self.configure(lang="zh", time_interval="3s"))
        self.assertRegex(out, rf"\A{clock}全量备份开始\.\.\.\n{clock}全量备份结束\.\.\.\n"
                              r"Mongodb全量备份成功,备份目录大小为：[\d.]+ [kMG]?B,耗时：\d+秒\n"
                              r"等待3秒后增量备份开始\.\.\.\nMongodb 第1次增量备份成功,备份目录大小为：[\d.]+ [kMG]?B,耗时：\d+秒\n"
                              r"等待3秒后增量备份开始\.\.\.\nMongodb 第2次增量备份成功,备份目录大小为：[\d.]+ [kMG]?B,耗时：\d+秒\n"
                              rf"{clock}增量备份全部结束\.\.\.\n\Z")
        lines = self.log().splitlines()
        head = rf"\[INFO\]\[{clock},\d\d\d\]\[oplog-backup:\d+\]"
        self.assertRegex(lines[0], rf"\A{head}Mongodb全量备份成功,备份目录大小为：[\d.]+ [kMG]?B,耗时：\d+秒\Z")
        self.assertRegex(lines[1], rf"\A{head}Mongodb 第1次增量备份成功,备份目录大小为：[\d.]+ [kMG]?B,耗时：\d+秒\Z")
        out, err = self.run_backup("full", config=self.configure())
        self.assertRegex(out, rf"\A{clock} full backup begins\.\.\.\n{clock} full backup is done\.\.\.\n"
                              r"Mongodb full backup succeeded, size of the backup directory: [\d.]+ [kMG]?B, time taken: \d+ s\n"
                              r"Mongodb incremental backup 3 succeeded, size of the backup directory: [\d.]+ [kMG]?B, time taken: \d+ s\n\Z")
        self.assertIn("shop.a", err)  # mongodump's own progress
        for path in self.directory.glob("2*/inc/*"):
            self.assertEqual({one.name for one in path.iterdir()}, {"local", "step.json"})

    def test_cycles_follow_each_other_and_their_windows_meet(self):
        process = self.start("run", "--forever", config=self.configure(increments=1))
        wait_for(lambda: len(list(self.directory.glob("2*/inc/2*"))) == 2, "two cycles")
        process.terminate()
        self.finish(process, 128 + signal.SIGTERM)
        before = self.status()["chains"]
        self.run_backup("run", config=self.configure(increments=None, time_interval=24))  # a day is one cycle
        chains = self.status()["chains"]
        self.assertEqual([one["increments"] for one in chains], [one["increments"] for one in before[:-1]] + [before[-1]["increments"] + 1, 0])
        self.assertGreaterEqual(bson.timestamp.Timestamp(*map(int, chains[-2]["last"].split(":"))),
                                bson.timestamp.Timestamp(*map(int, chains[-1]["first"].split(":"))))
        self.assertEqual(self.run_backup("prune", "--dry-run", config=self.configure(keep_chains=1))[0].split()[::3], [one["id"] for one in chains[:-1]])
        self.run_backup("full")  # prunes
        self.assertEqual(len(self.status()["chains"]), 1)

    def test_compressed_chains_restore(self):
        for compress, suffix in (("gzip", ".gz"), ("zstd:3", ".zst")):
            with self.subTest(compress):
                self.directory = self.folder / suffix
                config = self.configure(compress=compress)
                self.db.a.insert_many([{"i": i} for i in range(100)])
                self.run_backup("full", config=config)
                self.db.a.delete_many({"i": 7})
                self.run_backup("inc", config=config)
                increment, = self.directory.glob("2*/inc/*/local/oplog.rs.bson*")
                self.assertEqual(increment.suffix, suffix)
                self.empty_target()
                force = [] if real else ["--force"]
                self.run_backup("--target", f"127.0.0.1:{target.port}", *force, config=config, tool="oplog-restore")
                self.assertEqual(differences(self.source_state(), self.without_test_users(state_of(target))), [])

    def test_a_drill_compares_what_came_back_and_is_on_record(self):
        if not real:
            self.skipTest("the stand-ins make no dumps that can be compared")
        self.write(0)
        self.run_backup("full")
        source.client.shop.command("createUser", "reader", pwd="x", roles=["read"])
        self.write(1)
        self.write(2)
        self.run_backup("inc")
        target.client.admin.command("updateUser", "restorer", roles=["restore"])
        _, err = self.restore("--drill", expected=UNAUTHORISED)
        self.assertIn("its user needs the role backup too", err)
        self.assertEqual(self.status()["drill"]["result"], "failed")
        for method in ("auto", "replay"):
            self.empty_target()
            target.client.admin.command("updateUser", "restorer", roles=["backup", "oplogRestore" if method == "replay" else "restore"])
            out, _ = self.restore("--drill", "--method", method)
            self.assertIn("drill: dumped again it is identical", out)
            status = self.status()
            self.assertEqual([status["drill"][key] for key in ("result", "ts")], ["identical", status["chains"][0]["last"]])
        self.check_clean()

    def test_by_hand_in_one_line_and_as_a_pipeline(self):
        self.db.a.insert_many([{"_id": i} for i in range(20)])
        self.run_backup("full")
        for number in range(2):
            self.db.a.insert_one({"_id": f"late {number}"})
            self.db.a.update_many({}, {"$inc": {"n": 1}})
            self.run_backup("inc")
        chain, = self.directory.glob("2*")
        secret = self.folder / "login"
        secret.write_text("password: r\n")
        login = f'--config {secret} --uri "mongodb://restorer@127.0.0.1:{target.port}/?authSource=admin&directConnection=true"'
        ways = {
            "by hand": f"""mongorestore {login} --oplogReplay full
                           for inc in inc/*; do
                             mkdir "$T/replay" && cp "$inc/local/oplog.rs.bson" "$T/replay/oplog.bson"
                             mongorestore {login} --oplogReplay "$T/replay"; rm -r "$T/replay"
                           done""",
            "one line": f'oplog-stage --full full slice inc/* -o "$T/staged" && mongorestore {login} --oplogReplay "$T/staged"',
            "pipeline": f"""mongorestore {login} full && mkdir "$T/empty"
                            mongorestore {login} --oplogReplay --oplogFile <(oplog-stage full slice inc/*) "$T/empty" """,
        }
        for name, text in ways.items():
            with self.subTest(name):
                self.empty_target()
                environment = {**os.environ, "PATH": f"{BIN}:{self.tools}:{os.environ['PATH']}", "T": str(self.folder)}
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=chain, env=environment, timeout=LIMIT,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertEqual(differences(self.source_state(), self.without_test_users(state_of(target))), [])

    def test_the_password_is_in_no_process_log_or_record(self):
        self.db.a.insert_many([{"i": i} for i in range(1000)])
        seen, samples, stop = [], 0, threading.Event()

        def sample():
            nonlocal samples
            while not stop.is_set():
                for pid in processes_below(os.getpid()):
                    for name in ("cmdline", "environ"):
                        try:
                            text = Path(f"/proc/{pid}/{name}").read_bytes()
                        except OSError:
                            continue
                        samples += 1
                        if any(secret in text for secret in secrets):
                            seen.append(text)
        secrets = {form.encode() for form in (password, quote(password, safe=""), quote_plus(password), json.dumps(password)[1:-1])}
        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            out, err = self.run_backup()
            self.run_backup("inc", expected=UNAUTHORISED, config=self.configure(db_user="nobody"))
        finally:
            stop.set()
            sampler.join()
        self.assertGreater(samples, 1000)
        self.assertEqual(seen, [])
        for secret in secrets:
            self.assertNotIn(secret, (out + err).encode())
            for path in self.directory.rglob("*"):
                if path.is_file():
                    self.assertNotIn(secret, path.read_bytes(), path)
        modes = {path.stat().st_mode & 0o077 for path in self.directory.rglob("*")}
        self.assertEqual(modes, {0})
        self.check_clean()


class Interrupted(Backup):
    def test_killed_at_random_moments_it_goes_on_with_the_chain(self):
        random_source = random.Random(os.urandom(8))
        self.db.a.insert_many([{"i": i} for i in range(200)])
        begin = time.monotonic()
        self.run_backup("full")
        duration = time.monotonic() - begin
        killed = 0
        for number in range(20):
            self.db.a.insert_one({"n": number})
            process = self.start(("inc", "inc", "synthesize", "full")[number % 4])
            time.sleep(random_source.uniform(0, duration))
            process.kill()
            killed += process.wait() == -signal.SIGKILL
            process.communicate(timeout=LIMIT)  # ends when the last of its children has
        self.assertGreater(killed, 5)
        self.db.a.insert_one({"n": "last"})
        self.run_backup("inc")
        self.check_clean()
        self.run_backup("verify")
        self.check_restored(self.source_state())

    def test_a_killed_cycle_is_resumed(self):
        process = self.start("run", config=self.configure(increments=3))
        wait_for(lambda: list(self.directory.glob("2*/inc/2*")), "the first increment")
        process.kill()
        process.communicate(timeout=LIMIT)
        self.run_backup("run", config=self.configure(increments=3))
        chain, = self.status()["chains"]
        self.assertEqual(chain["increments"], 3)

    def test_a_signal_stops_every_phase_and_leaves_nothing(self):
        self.run_backup("full")
        slow = self.folder / "slow"
        slow.mkdir()
        script(slow / "mongodump", f'case "$*" in --version) ;; *) sleep 0.5 ;; esac\nexec "{tools}/mongodump" "$@"')
        for command, config, number, seconds in (("full", {"mongo_home": slow}, signal.SIGTERM, 0.3), ("full", {"mongo_home": slow}, signal.SIGTERM, 0.9),
                                                 ("full", {"mongo_home": slow}, signal.SIGINT, 1.4), ("inc", {"mongo_home": slow}, signal.SIGTERM, 0.3),
                                                 ("run", {"time_interval": "1h"}, signal.SIGTERM, None)):  # while it waits for the increment
            with self.subTest(command, signal=number, after=seconds):
                before = len(list(self.directory.glob("2*")))
                process = self.start(command, config=self.configure(**config))
                if seconds is None:
                    wait_for(lambda: len(list(self.directory.glob("2*/full/step.json"))) > before, "the full backup")
                else:
                    time.sleep(seconds)
                children = processes_below(process.pid)
                process.send_signal(number)
                self.finish(process, 128 + number)
                self.assertFalse([pid for pid in children if Path(f"/proc/{pid}/exe").exists() and os.readlink(f"/proc/{pid}/exe").endswith("mongodump")])
                self.check_clean()
                self.assertEqual(len(list(self.directory.glob("2*"))), before + (command == "run"))  # its full backup was done

    def test_one_at_a_time(self):
        process = self.start("run", config=self.configure(time_interval="1h"))
        try:
            wait_for(lambda: list(self.directory.glob("2*/full/step.json")), "the full backup")
            for command in ("run", "full", "inc", "synthesize", "prune"):
                _, err = self.run_backup(command, expected=LOCKED, config=self.configure(keep_chains=1))
                self.assertIn("another backup", err)
            self.assertEqual(len(self.status()["chains"]), 1)
        finally:
            process.kill()
            process.communicate(timeout=LIMIT)
        self.run_backup("inc")  # a stale lock is none


class Discontinuous(Backup):
    def test_a_history_that_changed_is_a_divergence(self):
        self.run_backup("full")
        self.db.a.insert_one({"_id": "told otherwise"})
        self.run_backup("inc")
        oplog, = self.directory.glob("2*/inc/*/local/oplog.rs.bson")
        told = oplog.read_bytes()
        entries = bson.decode_all(told, bson.codec_options.CodecOptions(document_class=bson.raw_bson.RawBSONDocument))
        other = entries[-1].raw[:-9] + bytes([entries[-1].raw[-9] ^ 1]) + entries[-1].raw[-8:]
        oplog.write_bytes(told[:-len(other)] + other)
        self.make_old()
        record = oplog.parents[1] / "step.json"
        text = record.read_text().replace(sha256(entries[-1].raw).hexdigest(), sha256(other).hexdigest())
        record.write_text(text.replace(sha256(told).hexdigest(), sha256(oplog.read_bytes()).hexdigest()))
        self.run_backup("verify")
        _, err = self.run_backup("inc", expected=DISCONTINUITY)
        self.assertIn("divergence", err)
        self.assertIn("the same timestamp, other bytes", err)
        chain, = self.status()["chains"]
        self.assertEqual((chain["state"], chain["doubtfulEnd"]), ("closed: divergence", True))
        _, err = self.restore("--dry-run")
        self.assertIn("doubtful", err)
        self.run_backup("inc", expected=NO_BACKUP)

    def test_on_gap_full_begins_a_new_chain_and_still_says_so(self):
        self.run_backup("full")
        self.make_old()
        record, = self.directory.glob("2*/full/step.json")
        sealed = json.loads(record.read_text())["lastEntrySha256"]
        for path in self.directory.glob("2*/*/step.json"):  # as if the source had had another entry there
            path.write_text(path.read_text().replace(f'lastEntrySha256":"{sealed}', f'lastEntrySha256":"{"0" * 64}'))
        self.run_backup("inc", expected=DISCONTINUITY, config=self.configure(on_gap="full"))
        self.assertEqual([one["state"] for one in self.status()["chains"]], ["closed: divergence", "open"])
        self.run_backup("inc")

    def test_damage_is_found(self):
        self.db.a.insert_many([{"i": i} for i in range(100)])
        self.run_backup("full")
        self.run_backup("inc")
        for pattern in ("2*/full/shop/a.bson", "2*/inc/*/local/oplog.rs.bson", "2*/full/shop/a.metadata.json"):
            path, = self.directory.glob(pattern)
            good = path.read_bytes()
            path.write_bytes(good[:-8] + bytes([good[-8] ^ 1]) + good[-7:])
            out, _ = self.run_backup("verify", expected=UNVERIFIED)
            self.assertIn(str(path), out)
            self.restore(expected=UNVERIFIED, *([] if real else ["--force"]))
            path.write_bytes(good)
        self.run_backup("verify")

    @unittest.skipUnless(pymongo and shutil.which("mongodump", path=os.environ.get("MONGO_TOOLS_BIN")), "the real mongodump is needed")
    def test_a_write_in_flight_during_the_dump_is_not_lost(self):
        self.db.a.insert_one({"_id": "before"})
        self.db.b.insert_one({"_id": "before"})
        admin, name = source.client.admin, "hangAfterCollectionInserts"
        times = admin.command({"configureFailPoint": name, "mode": "alwaysOn", "data": {"collectionNS": "shop.a"}})["count"]
        writer = threading.Thread(target=self.db.a.insert_one, args=({"_id": "in flight"},), daemon=True)
        writer.start()
        admin.command("waitForFailPoint", name, timesEntered=times + 1, maxTimeMS=20000)
        unacknowledged = pymongo.WriteConcern(w=0)
        self.db.get_collection("b", write_concern=unacknowledged).insert_one({"_id": "after the hole"})
        try:
            self.run_backup("full")  # is not held up: it has what a majority has
        finally:
            admin.command({"configureFailPoint": name, "mode": "off"})
        writer.join()
        self.run_backup("inc")
        dumped, = self.directory.glob("2*/full/shop/a.bson")
        self.assertNotIn(b"in flight", dumped.read_bytes())
        self.check_restored(self.source_state())


class Failing(Backup):
    def test_renames_during_the_dump_are_tried_again_and_explained(self):
        self.db.a.insert_many([{"i": i} for i in range(10)])
        stop = threading.Event()

        def write_out(target):
            while not stop.is_set():
                self.db.a.aggregate([{"$out": target}])
        writers = [threading.Thread(target=write_out, args=(target,)) for target in "bcdef"]
        for writer in writers:
            writer.start()
        try:
            _, err = self.run_backup("full", expected=1, config=self.configure(full_method="mongodump"))
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        if real:
            self.assertEqual(self.log().count("while renames occur"), 5)
        else:  # the stand-in may stop at a collection that is renamed away under it, and say that instead
            self.assertIn("while renames occur", self.log())
        self.assertIn("$out", err)
        self.check_clean()
        self.assertEqual(self.status()["chains"], [])
        self.db.a.insert_one({})  # where the next dump's oplog begins
        self.run_backup("full")

    def test_an_unreachable_server_is_given_up_after_some_attempts(self):
        uri = f"mongodb://127.0.0.1:{source.port + 1 if source.port < 65535 else 1}/?directConnection=true&serverSelectionTimeoutMS=1000"
        if not real:
            self.skipTest("the stand-in waits for a server as long as it likes")
        _, err = self.run_backup("full", expected=1, config=self.configure(db_host=None, db_port=None, uri=uri))
        self.assertEqual(self.log().count("server selection error"), 5)
        self.assertIn("full backup failed", err)
        self.assertEqual(self.log().count("trying again"), 4)

    def test_a_wrong_password_and_missing_roles_are_said_at_once(self):
        self.run_backup("full", expected=UNAUTHORISED, config=self.configure(db_pwd="wrong"))
        self.assertNotIn("trying again", self.log())
        source.client.admin.command("createUser", "nobody", pwd="n", roles=[])
        _, err = self.run_backup("full", expected=UNAUTHORISED, config=self.configure(db_user="nobody", db_pwd="n"))
        self.assertIn('["backup"]', err)

    def test_a_full_disk_leaves_the_chain_intact(self):
        self.directory.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", self.directory], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest("no right to mount a small file system")
        self.addCleanup(subprocess.run, ["umount", "-l", self.directory], check=True)
        self.db.a.insert_one({})
        self.run_backup("full")
        self.run_backup("inc")
        self.db.a.insert_many([{"x": os.urandom(100_000)} for _ in range(60)])
        for command in ("inc", "full"):
            _, err = self.run_backup(command, expected=1)
            self.assertRegex(err, "(?i)no space left|disk is full")
            self.check_clean()
        filler = self.directory / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as full:
            while True:
                full.write(bytes(4096))
        _, err = self.run_backup("inc", expected=1)  # no room, not even for what is said
        self.assertRegex(err, "(?i)no space left|disk (is|may be) full")
        self.assertNotRegex(err, "(?m)^oplog-backup: $")
        filler.unlink()
        chain, = self.status()["chains"]
        self.assertEqual((chain["state"], chain["increments"]), ("open", 1))
        self.run_backup("verify")
        subprocess.run(["mount", "-o", "remount,size=50m", self.directory], check=True)
        self.run_backup("inc")
        self.check_restored(self.source_state())

    def test_what_a_load_would_drop_of_a_capped_collection_is_replayed_or_a_failure(self):
        if not real:
            self.skipTest("mongorestore is not the real one")
        self.db.create_collection("log", capped=True, size=4096)
        self.run_backup("full")
        self.db.log.insert_many([{"_id": n, "x": "x" * 170} for n in range(20)])
        self.db.log.update_one({"_id": 3}, {"$set": {"y": "y" * 600}})
        self.run_backup("inc")
        _, err = self.restore(expected=1)
        self.assertIn("the target lacks documents: shop.log, a capped collection, has more than its size allows, as the source has it", err)
        self.assertLess(target.client.shop.log.count_documents({}), self.db.log.count_documents({}))
        for way in (("--method", "replay"), ("--prepare",)):
            self.empty_target()
            self.restore(*way)
            self.assertEqual(differences(self.source_state(), self.without_test_users(state_of(target))), [])

    def refuses_what_the_target_has(self):
        """Under the names of the backup, with --force."""
        def drop():
            for name in ("shop", "mine"):
                target.client.drop_database(name)

        drop()
        self.db.old.insert_one({"_id": 1})
        self.db.capped.insert_one({"_id": 1})
        self.run_backup("full")
        self.db.command("create", "view", viewOn="a", pipeline=[])
        self.db.old.drop()
        self.run_backup("inc")
        _, err = self.restore("--force", "--ns", "shop.old", expected=NO_BACKUP)
        self.assertRegex(err, r"nothing of what is selected is there at \d+:\d+ \(\S+\); the target is as it was")
        there = target.client.shop
        if real:
            for make, why in ((lambda: there.view.insert_one({}), "has shop.view already, and there or in the backup that is a view"),
                              (lambda: there.command("create", "a", viewOn="b", pipeline=[]), "has shop.a already, and there or"),
                              (lambda: there.create_collection("capped", capped=True, size=4096), "has shop.capped already, and capped")):
                make()
                for method in ("apply", "replay"):
                    _, err = self.restore("--force", "--method", method, expected=1)
                    self.assertIn(why, err)
                drop()
            there.a.insert_one({"_id": 7})
            there.mine.insert_one({"_id": 7})
            target.client.live.a.insert_one({"_id": 7})
            _, err = self.restore("--force", "--ns", "shop.a", "--ns", "shop.capped", "--rename", "shop.capped=live.a")
            self.assertIn("warning: the target has these already, and what is restored is added to them: live.a, shop.a\n", err)
            self.assertEqual([there.a.count_documents({}), there.mine.count_documents({}), target.client.live.a.count_documents({})], [2, 1, 2])
            _, err = self.restore("--force", "--rename", "shop.*=other.*")
            self.assertNotIn("warning: the target has", err)
            self.db.create_collection("many", capped=True, size=4096)
            self.db.many.insert_many([{"_id": n, "x": "x" * 100} for n in range(100)])
            self.run_backup("inc")
            _, err = self.restore("--force", "--ns", "shop.a", "--method", "replay", expected=1)
            self.assertIn("warning: the target has these already, and the replay changes or drops them: shop.a\n", err)
            _, err = self.restore("--force", "--target", "127.0.0.1:1", expected=1)
            self.assertIn("the target cannot be reached; it is as it was", err)

    def test_restores_that_are_refused(self):
        self.restore(expected=1)  # no directory yet
        self.db.a.insert_one({"_id": 1})
        self.run_backup("full")
        self.restore(expected=2, to="http://nonsense")
        self.restore("--to", "-99999999w", expected=2)
        _, err = self.restore("--to", "2020-01-01", expected=NO_BACKUP)
        self.assertRegex(err, r"nearest restorable times are \d+:\d+ 20")
        self.restore("--chain", "none", expected=NO_BACKUP)
        for method, tool in (("auto", "oplog-apply"), ("apply", "oplog-apply"), ("replay", "oplog-stage")):
            out, _ = self.restore("--dry-run", "--method", method)
            commands = [re.split(r"[ /]", command)[0] or "mongorestore"
                        for line in out.splitlines() if not line.startswith("#") for command in line.split(" | ")]
            self.assertEqual(commands, ["oplog-chain", tool, "mongorestore"])
            self.assertEqual("--oplogReplay" in out, method == "replay")
        self.restore("--method", "magic", expected=2)
        self.assertNotIn("shop", target.client.list_database_names())
        target.client.mine.a.insert_one({})
        _, err = self.restore(expected=1)
        self.assertIn("--force", err)
        if real:
            self.assertIn("mine", err)
        self.restore("--force")
        _, err = self.restore("--force", expected=1)  # each document is there already
        self.assertIn("could not restore every document", err)
        self.refuses_what_the_target_has()
        empty(target)
        target.client.admin.command("createUser", "restorer", pwd="r", roles=["restore"])
        self.db.a.insert_one({"_id": 2})
        self.db.a.update_one({}, {"$set": {"x": 1}})
        self.run_backup("inc")
        _, err = self.restore("--force", "--method", "replay", expected=UNAUTHORISED)
        self.assertIn("anyAction", err)


class Watched(Backup):
    def test_metrics_and_events_of_steps_that_succeed_and_fail(self):
        metrics, events = self.folder / "oplog.prom", self.folder / "events"
        watched = {"metrics_file": metrics, "on_event": f'echo "$OPLOG_EVENT $OPLOG_STEP $OPLOG_NEWEST" >>{events}; env >{self.folder}/env'}
        self.configure(**watched)
        self.db.a.insert_many([{"n": n} for n in range(100)])
        self.run_backup("full")
        self.db.a.update_many({}, {"$inc": {"n": 1}})
        self.run_backup("inc")
        self.run_backup("inc", expected=UNAUTHORISED, config=self.configure(db_user="nobody", **watched))
        end = self.status()["chains"][0]["last"]
        lines = [line.split() for line in events.read_text().splitlines()]
        self.assertEqual([line[:2] for line in lines], [["success", "full"], ["success", "inc"], ["failure", "inc"]])
        self.assertEqual([line[2] for line in lines[1:]], [end, end])
        self.assertNotIn(password, (self.folder / "env").read_text())
        text = metrics.read_text()
        for sample in (',step="full"} 0', f',step="inc"}} {UNAUTHORISED}'):
            self.assertIn(f'\noplog_backup_exit_code{{directory="{self.directory}"{sample}\n', text)
        self.assertIn(f'\noplog_backup_newest_entry_timestamp_seconds{{directory="{self.directory}"}} {end.partition(":")[0]}\n', text)
        self.assertNotIn("oplog_window_seconds{", text)  # nobody could be asked
        self.run_backup("inc", config=self.configure(**watched))
        self.assertRegex(metrics.read_text(), r'\noplog_backup_oplog_window_left_seconds\{directory="[^"]*"\} \d+\n')
        self.assertNotIn("overwritten_timestamp_seconds{", metrics.read_text())  # the oplog has all that it ever had


class RolledOver(Backup):
    """The last by its name: a server takes a minute or so to overwrite its oplog."""

    def test_an_oplog_that_rolled_over_is_a_gap(self):
        self.directory = small.directory / "dbbak"
        config = self.configure(small.server)
        last = self.status()["chains"][0]["last"]
        boundary = bson.timestamp.Timestamp(*map(int, last.split(":")))
        wait_for(lambda: small.oldest() > boundary, "a roll-over", 2 * LIMIT)
        small.stop()
        config = self.configure(small.server, time_interval=3, metrics_file=self.folder / "oplog.prom", on_event=f"env >{self.folder}/env")
        self.assertIn("less than twice time_interval (3 hours)", self.run_backup("status", config=config)[1])
        _, err = self.run_backup("inc", expected=DISCONTINUITY, config=config, retry=1)
        self.assertIn("\nOPLOG_EVENT=gap\n", "\n" + (self.folder / "env").read_text())
        newest = small.server.client.local["oplog.rs"].find_one(sort=[("$natural", -1)])["ts"]
        values = dict(re.findall(r"\noplog_backup_(\w+)\{[^}]*\} (-?\d+)", (self.folder / "oplog.prom").read_text()))
        self.assertLessEqual(abs(newest.time - boundary.time - int(values["lag_seconds"])), 30)  # there is a no-op every ten seconds, or later where much else is done
        self.assertEqual(int(values["oplog_window_left_seconds"]), boundary.time - small.oldest().time)
        self.assertIn("(gap)", err)
        self.assertIn(last, self.log())  # one edge
        self.assertRegex(self.log(), r"begins with entry \d+:\d+")  # and the other
        chain, = self.status()["chains"]
        self.assertEqual((chain["state"], chain["doubtfulEnd"], chain["last"]), ("closed: gap", False, last))
        self.run_backup("inc", expected=NO_BACKUP)
        self.run_backup("verify")
        self.restore()  # what came before the gap
        self.assertEqual(target.client.shop.a.count_documents({}), 1)
        small.server.stop()


class Small:
    """A server with a tiny oplog, backed up once and then written to until stop()."""

    def __init__(self, folder):
        self.directory = folder
        self.server = Server(folder / "server", auth=True, oplog_size_mb=1)
        self._stopped = threading.Event()

    def begin(self):
        self.server.wait()
        self.server.client.admin.command("createUser", "backup", pwd=password, roles=["backup"])
        self.server.client.shop.a.insert_one({})
        self._writer = threading.Thread(target=self._flood, daemon=True)
        case = RolledOver()
        case.directory, case.folder, case.tools, case.config = self.directory / "dbbak", self.directory, tools, None
        config = case.configure(self.server)
        case.run_backup("full", config=config)
        case.run_backup("inc", config=config)
        self._writer.start()

    def _flood(self):
        while not self._stopped.wait(0.2):
            try:
                self.server.client.shop.flood.insert_many([{"x": "y" * 100_000} for _ in range(20)])
            except pymongo.errors.PyMongoError:  # the server is stopped when this test is left out
                return

    def oldest(self):
        return self.server.client.local["oplog.rs"].find_one(sort=[("$natural", 1)])["ts"]

    def stop(self):
        self._stopped.set()
        self._writer.join()


def main():
    reason = "pymongo is not installed" if not pymongo else "" if find_mongod() else "no mongod in $MONGOD or on PATH"
    if reason:
        print(f"skipped: {reason}")
        return 2 if os.environ.get("OPLOG_REQUIRE_LIVE") == "1" else 77
    return not unittest.main(exit=False, verbosity=2).result.wasSuccessful()


if __name__ == "__main__":
    sys.exit(main())

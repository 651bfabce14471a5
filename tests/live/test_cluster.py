#!/usr/bin/env python3
"""oplog-backup and oplog-restore of a real sharded cluster: the config servers and two shards, later three, with no mongos.

    OPLOG_BIN=build/release/tools MONGO_TOOLS_BIN=/usr/bin test_cluster.py

Each test begins with a cluster that has two shards, and an empty backup directory. What is restored, to a replica set, is compared with what the shards had that
own the documents. --kills N for more runs that are killed.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

import by_seed  # noqa: F401  first: it skips what is not to be had

import server
from cluster import Cluster, CommandError
from test_backup import tools_directory, wait_for

BIN = Path(os.environ.get("OPLOG_BIN", Path(__file__).parents[2] / "build/release/tools")).resolve()
mongod = server.find_mongod("6.0.27")
LIMIT = 300  # seconds for any one command, however busy the machine
MONGOSH = os.environ.get("MONGOSH") or shutil.which("mongosh")
ACCOUNTS, BALANCE = 60, 100
COLLECTIONS = ("app.acct", "app.plain")  # the sum of `n` over them is constant
LOCKED, UNVERIFIED = 11, 21
kills = 6


def setUpModule():
    begin()


def begin(auth=False):
    global root, cluster, target, tools
    root = server.scratch_directory()
    tools, real = tools_directory(root / "tools")
    if not mongod or not real:
        print("no server 6.0.27, or no mongodump, to be had: skipped")
        sys.exit(77)
    target = server.Server(root / "target", mongod=mongod, auth=auth)
    cluster = Cluster(root, mongod, auth=auth)
    target.wait()
    cluster.create_database("app")
    cluster.shard("app.acct", {"_id": 1}, split=[{"_id": ACCOUNTS // 2}])
    cluster.create("app.plain")
    router = cluster.router()
    router.insert("app.acct", *({"_id": i, "n": BALANCE} for i in range(ACCOUNTS)))
    router.insert("app.plain", {"_id": 0, "n": 0})


def stamp(ts):
    return f"{ts.time}:{ts.inc}"


class Load:
    """Transfers from shard to shard, until it is stopped."""

    def __init__(self):
        self._stopped = threading.Event()
        self.done = 0
        self.failure = None  # the last one; a stale map, say
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        dice = random.Random(1)
        router = cluster.router()
        while not self._stopped.wait(0.01):
            one, other = dice.randrange(ACCOUNTS // 2), dice.randrange(ACCOUNTS // 2, ACCOUNTS)
            transaction = router.begin()
            try:
                transaction.update("app.acct", {"_id": one}, {"$inc": {"n": -1}})
                transaction.update("app.acct", {"_id": other}, {"$inc": {"n": 1}})
                transaction.commit()
                self.done += 1
            except CommandError as error:
                self.failure = error
                transaction.abort()

    def stop(self):
        self._stopped.set()
        self._thread.join()


def transfer(count=10):
    """Some transfers, and where they end, with what there is then."""
    load = Load()
    try:
        wait_for(lambda: load.done >= count, f"{count} transfers; {load.failure}", 60)
    finally:
        load.stop()
    return cluster.note(), contents()


def contents():
    """Of each collection the documents, each from the shard that owns it."""
    router = cluster.router()  # whose connections are new ones
    found = {}
    for ns in COLLECTIONS:
        owned = [document for shard in cluster.shards for document in router.connections[shard].find(ns) if router.owner(ns, document) == shard]
        found[ns] = sorted(owned, key=lambda document: document["_id"])
    return found


def add_shard(name):
    cluster.servers[name] = server.Server(root / name, mongod=mongod, replica_set=name, role="shardsvr", parameters={"enableTestCommands": 1, "orphanCleanupDelaySecs": 2})
    cluster.servers[name].wait()
    cluster.ask("config", "admin", {"_configsvrAddShard": f"{name}/127.0.0.1:{cluster.servers[name].port}"})
    cluster.shards.append(name)
    cluster.members.append(name)


def remove_shard(name):
    """It is still running afterwards."""
    wait_for(lambda: cluster.ask("config", "admin", {"_configsvrRemoveShard": name})["state"] == "completed", "the shard's removal", 60)
    cluster.shards.remove(name)
    cluster.members.remove(name)


class Backup(unittest.TestCase):
    def setUp(self):
        self.folder = root / self.id().rpartition(".")[2][:60]
        self.folder.mkdir()
        self.directory = self.folder / "dbbak"
        self.config = self.folder / "config.ini"
        self.configure()
        self.load = None

    def tearDown(self):
        if self.load:
            self.load.stop()

    def configure(self, **more):
        values = {"db_host": "127.0.0.1", "db_port": cluster.servers["config"].port, "cluster": "yes", "time_interval": "1s", "increments": 2,
                  "mongo_home": tools, "dbbak_dir": self.directory, "lang": "en", **more}
        self.config.write_text("[default]\n" + "".join(f"{key} = {value}\n" for key, value in values.items() if value is not None))

    def start(self, *arguments, tool="oplog-backup"):
        return subprocess.Popen([BIN / tool, "-c", self.config, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, env={**os.environ, "OPLOG_BACKUP_RETRY_SECONDS": "0"})

    def finish(self, process, expected=0):
        out, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, expected, f"{process.args}\n{out}\n{err}")
        return out, err

    def backup(self, *arguments, expected=0):
        return self.finish(self.start(*arguments), expected)

    def status(self):
        return json.loads(self.backup("status", "--json")[0])

    def check_restored(self, expected, *arguments):
        target.client.drop_database("app")
        out, _ = self.finish(self.start("--target", f"127.0.0.1:{target.port}", *arguments, tool="oplog-restore"))
        found = {ns: list(target.client.app[ns.split(".")[1]].find().sort("_id")) for ns in COLLECTIONS}
        if expected:
            self.assertEqual(found, expected)
        self.assertEqual(sum(document["n"] for documents in found.values() for document in documents), ACCOUNTS * BALANCE)
        self.assertEqual(len(found["app.acct"]), ACCOUNTS)
        return out


class Cycle(Backup):
    def test_full_and_rounds_restore_what_the_cluster_held_at_one_time(self):
        self.load = Load()
        out, _ = self.backup("full")
        self.assertIn("full backup of the cluster succeeded", out)
        self.load.stop()
        points = []
        for _ in range(2):
            points.append(transfer())
            self.load = Load()
            out, _ = self.backup("inc")
            self.assertIn("all members reach", out)
            self.load.stop()
        one, = self.status()["clusters"]
        self.assertEqual((one["state"], one["increments"]), ("open", 2))
        self.assertEqual([member["name"] for member in one["members"]], ["config", "sh0", "sh1"])
        record = json.loads(next(self.directory.glob("*.cluster.json")).read_text())
        common = [tuple(map(int, each["common"].split(":"))) for each in record["rounds"]]
        self.assertEqual(len(common), 3)
        self.assertEqual(common, sorted(common))
        for member in one["members"]:
            self.assertGreaterEqual(tuple(map(int, member["chain"]["last"].split(":"))), common[-1])
        self.assertTrue(list(self.directory.glob("sh0/*/full/config/transaction_coordinators.bson")))
        self.assertIn("whole cluster", self.backup("verify")[0])
        for at, expected in points:
            out = self.check_restored(expected, "--to", stamp(at))
            self.assertIn(stamp(at).split(":")[0], out)
        self.check_restored(None, "--to", record["rounds"][1]["common"])
        self.check_restored(None)

        last = transfer()
        self.backup("inc")
        self.backup("synthesize")
        old, new = self.status()["clusters"]
        self.assertTrue(all(member["chain"]["steps"][0]["madeOf"] for member in new["members"]))
        self.assertEqual(len(self.status()["windows"]), 1)  # every moment is in one or the other
        later = transfer()
        self.backup("inc")
        self.configure(keep_chains=1)
        self.backup("prune")
        self.assertEqual([one["id"] for one in self.status()["clusters"]], [new["id"]])
        self.assertEqual(len(list(self.directory.glob("sh?/2*"))), 2)
        self.backup("verify")
        self.check_restored(later[1], "--to", stamp(later[0]))
        del old, last

    def test_a_cycle_with_an_idle_member_ends_at_a_common_time(self):
        self.configure(increments=1)
        at, expected = transfer()
        out, _ = self.backup("run")
        self.assertEqual(self.status()["clusters"][0]["increments"], 1)
        self.assertIn("all members reach", out)
        self.check_restored(expected)
        self.assertIn("sh1: ok: roles", self.backup("check")[0])
        dry, _ = self.backup("inc", "--dry-run")
        self.assertRegex(dry, r"(?m)^config: would take an increment of chain .*, number 3")
        self.assertRegex(dry, r"(?m)^sh1:   .*mongodump .*--out ")
        del at


    @unittest.skipUnless(MONGOSH, "no mongosh to be had")
    def test_mongosh_asks_an_idle_member_for_an_entry(self):
        shutil.copytree(tools, self.folder / "tools")
        (self.folder / "tools/mongosh").symlink_to(MONGOSH)
        self.configure(mongo_home=self.folder / "tools")
        self.backup("full")
        cluster.on("config").command("admin", {"appendOplogNote": 1, "data": {"msg": "later than those of the shards"}})
        self.backup("inc")
        self.assertTrue(any(b"oplog-backup" in entry for shard in cluster.shards for entry in cluster.oplog(shard)))


class Failing(Backup):
    def test_a_member_that_is_down_fails_the_round_by_name_and_loses_nothing(self):
        self.backup("full")
        stopped = cluster.servers["sh1"]
        stopped.process.send_signal(signal.SIGTERM)
        stopped.process.wait(60)
        self.configure(db_host=None, db_port=None, uri=f"mongodb://127.0.0.1:{cluster.servers['config'].port}/?directConnection=true&serverSelectionTimeoutMS=1000")
        try:
            _, err = self.backup("inc", expected=1)
            self.assertRegex(err, r"these members failed: sh1\n")
            one, = self.status()["clusters"]
            self.assertEqual({member["name"]: (member["holdsBack"], member["chain"]["increments"]) for member in one["members"]},
                             {"config": (False, 2), "sh0": (False, 2), "sh1": (True, 1)})
            self.assertIn("held back by: sh1, whose chain ends at ", self.backup("status")[0])
            self.check_restored(None)
            _, err = self.backup("full", expected=1)  # what the others have dumped stays
            self.assertRegex(err, r"these members failed: sh1\n")
        finally:
            stopped.start()
            wait_for(lambda: stopped.client.admin.command("isMaster")["ismaster"], "the shard's start", 60)
        at, expected = transfer()
        self.backup("inc")
        self.check_restored(expected, "--to", stamp(at))
        before = len(list(self.directory.glob("sh0/2*")))
        self.backup("full")
        self.assertEqual(len(list(self.directory.glob("sh0/2*"))), before)
        self.assertEqual(len(self.status()["clusters"]), 2)
        self.assertEqual(len(self.status()["windows"]), 1)
        self.backup("verify")
        shutil.rmtree(self.directory / "sh1")
        out, _ = self.backup("verify", expected=UNVERIFIED)
        self.assertIn("sh1", out)

    def test_a_killed_round_is_gone_on_from(self):
        seed = os.environ.get("OPLOG_SEED") or str(random.randrange(1 << 30))
        print("seed", seed, flush=True)
        dice = random.Random(seed)
        self.load = Load()
        durations = {}
        for command in ("full", "inc", "synthesize"):
            begin = time.monotonic()
            self.backup(command)
            durations[command] = time.monotonic() - begin
        killed = 0
        for number in range(kills):
            command = ("inc", "inc", "full", "synthesize")[number % 4]
            process = self.start(command)
            time.sleep(dice.uniform(0, 0.9 * durations[command]))
            process.kill()
            killed += process.wait() == -signal.SIGKILL
            process.communicate(timeout=LIMIT)  # ends when the last of its members has
        self.assertGreater(killed, 1)
        self.load.stop()
        at, expected = transfer()
        self.backup("inc")
        self.backup("verify")
        self.check_restored(expected, "--to", stamp(at))
        at, expected = transfer()
        self.backup("full")
        self.check_restored(expected)
        self.backup("verify")

    def test_one_at_a_time(self):
        self.configure(time_interval="1h")
        process = self.start("run")
        try:
            while not list(self.directory.glob("*.cluster.json")):
                self.assertIsNone(process.poll())
                time.sleep(0.05)
            self.assertIn("another backup", self.backup("inc", expected=LOCKED)[1])
        finally:
            process.terminate()
            self.finish(process, 128 + signal.SIGTERM)


class Shards(Backup):
    """The last by its name."""

    def test_shards_come_and_go(self):
        self.backup("full")
        add_shard("sh2")
        try:
            first = transfer()
            cluster.move("app.acct", {"_id": ACCOUNTS // 2}, "sh2")
            at, expected = transfer()
            _, err = self.backup("inc")
            self.assertIn("the shard sh2 is new", err)
            old, new = self.status()["clusters"]
            self.assertEqual([len(one["members"]) for one in (old, new)], [3, 4])
            self.check_restored(expected)
            within = transfer()
            self.backup("inc")
            self.check_restored(within[1], "--to", stamp(within[0]))
            del first, at
        finally:
            cluster.move("app.acct", {"_id": ACCOUNTS // 2}, "sh1", wait=True)
            remove_shard("sh2")
        after = transfer()
        _, err = self.backup("inc")
        self.assertIn("the shard sh2 is no member any more", err)
        new = self.status()["clusters"][-1]
        self.assertEqual([member["name"] for member in new["members"] if "removed" in member], ["sh2"])
        cluster.servers["sh2"].stop()
        self.backup("inc")
        self.backup("verify")
        for when, documents in (within, after):
            self.check_restored(documents, "--to", stamp(when))
        self.check_restored(None)


if __name__ == "__main__":
    if "--kills" in sys.argv:
        at = sys.argv.index("--kills")
        kills = int(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    unittest.main(warnings="ignore")

#!/usr/bin/env python3
"""oplog-backup on a replica set of three that has a bad day: killed primaries, elections, rollbacks, a delayed member.

    OPLOG_BIN=build/release/tools MONGO_TOOLS_BIN=/usr/bin test_replica_set.py [--rounds N]

--rounds: how often each accident happens, at moments of chance; 1 takes about a minute and a half. With the real mongodump
and mongorestore where they are found, else with the stand-ins. Exit 77 when there is no server to test with (unless
OPLOG_REQUIRE_LIVE=1, then 2).
"""

import argparse
import os
import random
import shutil
import sys
import threading
import time
import unittest

import test_backup
from test_backup import DISCONTINUITY, LOCKED, NO_BACKUP, pymongo, wait_for

if pymongo:
    from compare import state_of
    from pymongo import MongoClient, WriteConcern
    from pymongo.errors import PyMongoError
    from server import ANSWER_TIMEOUT_MS, Server, find_mongod, scratch_directory

SETTINGS = {"electionTimeoutMillis": 1500, "heartbeatIntervalMillis": 300, "heartbeatTimeoutSecs": 2, "catchUpTimeoutMillis": 2000}
rounds = 1


class ReplicaSet:
    """Three members, with authentication; any of them may be killed and started again."""

    def __init__(self, folder, **options):
        self.members = [Server(folder / f"member{number}", auth=True, parameters={"enableTestCommands": 1}, **options) for number in range(3)]

    def wait(self):
        nobody = [MongoClient(member.uri, serverSelectionTimeoutMS=60_000) for member in self.members]
        for client in nobody:
            client.admin.command("ping")
        members = [{"_id": number, "host": f"127.0.0.1:{member.port}"} for number, member in enumerate(self.members)]
        nobody[0].admin.command("replSetInitiate", {"_id": "rs0", "members": members, "settings": SETTINGS})
        found = []
        wait_for(lambda: found.extend(client for client in nobody if client.admin.command("hello")["isWritablePrimary"]) or found, "a primary", 60)
        found[0].admin.command("createUser", self.members[0].user, pwd=self.members[0].password, roles=["root", "__system"])
        for client in nobody:
            client.close()
        self.log_in()
        self.wait_until_whole()
        return self

    def reconfigure(self, change):
        admin = self.primary().client.admin
        current = admin.command("replSetGetConfig")["config"]
        change(current)
        current["version"] += 1
        admin.command("replSetReconfig", current)

    @property
    def uri(self):
        return f"mongodb://{','.join(f'127.0.0.1:{member.port}' for member in self.members)}/?replicaSet=rs0&serverSelectionTimeoutMS=10000"

    def connect(self, **options):
        return MongoClient(self.uri, username=self.members[0].user, password=self.members[0].password, **options)

    def primary(self):
        """The member that is, and that knows of no newer one."""
        found = []

        def look():
            for member in self.members:
                try:
                    hello = member.client.admin.command("hello", maxTimeMS=2000) if member.process.poll() is None else {}
                except PyMongoError:
                    continue
                if hello.get("isWritablePrimary"):
                    found.append((hello["electionId"], member))
            return found
        wait_for(look, "a primary", 60)
        return max(found, key=lambda one: one[0])[1]

    def secondaries(self):
        primary = self.primary()
        return [member for member in self.members if member is not primary]

    def wait_until_whole(self):
        """All members are up, and have all there is."""
        seen = []

        def look():
            try:
                states = self.primary().client.admin.command("replSetGetStatus")["members"]
            except PyMongoError:
                return False
            seen[:] = [(one["stateStr"], one.get("optime")) for one in states]
            return all(state in ("PRIMARY", "SECONDARY") and optime == seen[0][1] for state, optime in seen)
        try:
            wait_for(look, "a whole replica set", 60)
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen}") from error
        self.log_in()

    def log_in(self):
        """Anew, for a member that goes back to an older state logs everyone out."""
        for member in self.members:
            if member.client:
                member.client.close()
            member.client = MongoClient(member.uri, username=member.user, password=member.password, socketTimeoutMS=ANSWER_TIMEOUT_MS)

    def stop(self):
        for member in self.members:
            member.stop()

    def kill(self, member):
        member.process.kill()
        member.process.wait()


class Writer(threading.Thread):
    """Writes with write concern majority until it is stopped, through every election."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.collection = client.shop.written
        self.acknowledged = []
        self.stopped = threading.Event()

    def run(self):
        for number in range(1 << 40):
            if self.stopped.wait(0.002):
                return
            try:
                self.collection.insert_one({"_id": number, "text": "x" * 100})
                self.collection.update_one({"_id": number // 2}, {"$inc": {"n": 1}})
                self.acknowledged.append(number)
            except PyMongoError:  # it may have been written or not
                continue

    def stop(self):
        self.stopped.set()
        self.join()


def setUpModule():
    global replica_set
    root = scratch_directory()
    replica_set = ReplicaSet(root / "source")
    target = Server(root / "target", auth=True)
    tools, real = test_backup.tools_directory(root / "tools")
    replica_set.wait()
    target.wait()
    test_backup.root, test_backup.target, test_backup.tools, test_backup.real, test_backup.password = root, target, tools, real, "p@ss"
    replica_set.primary().client.admin.command("createUser", "backup", pwd="p@ss", roles=["backup"])
    print("tools:", "the real ones" if real else "the stand-ins, so equality is NOT proved", flush=True)


class Backup(test_backup.Backup):
    """Each test has an empty backup directory, a whole replica set without databases, and an empty target."""

    def setUp(self):
        for member in replica_set.members:
            if member.process.poll() is not None:
                member.start()
        replica_set.wait_until_whole()
        test_backup.empty(replica_set.primary())
        replica_set.wait_until_whole()
        self.empty_target()
        self.folder = test_backup.root / self.id().rpartition(".")[2]
        self.directory = self.folder / "dbbak"
        self.folder.mkdir()
        self.config = None
        self.tools = test_backup.tools
        self.db = self.connect().shop

    def connect(self, **options):
        client = replica_set.connect(w="majority", **options)
        self.addCleanup(client.close)
        return client

    def configure(self, uri=None, **settings):
        return super().configure(replica_set.members[0], db_host=None, db_port=None, uri=uri or replica_set.uri, **settings)

    def check_chain(self, chains=1):
        """The newest chain is whole, and restores to what the set has now."""
        self.check_clean()
        self.run_backup("verify")
        found = self.status()["chains"]
        self.assertEqual(len(found), chains)
        self.assertNotIn("damage", found[-1])
        self.empty_target()
        self.check_restored(self.without_test_users(state_of(replica_set.primary())), "--chain", found[-1]["id"])

    def restored(self):
        return test_backup.target.client.shop


def step_down(member):
    try:
        member.client.admin.command("replSetStepDown", 20, secondaryCatchUpPeriodSecs=5, force=True)
    except PyMongoError:  # connections may be closed
        pass


class Accidents(Backup):
    def during(self, accident, recover):
        """Each step, with the accident in the middle of it: what was acknowledged is there in the end."""
        self.db.large.insert_many([{"_id": i, "x": os.urandom(500)} for i in range(5000)])
        self.run_backup("full", retry=1)
        writer = Writer(self.connect(wtimeoutMS=5000, socketTimeoutMS=5000))
        writer.start()
        wait_for(lambda: writer.acknowledged, "the first write")
        chains, ended = 1, []
        try:
            for number in range(2 * rounds):
                command = ("full", "inc")[number % 2]
                time.sleep(0.5)
                process = self.start(command, retry=1)
                wait_for(lambda: (self.directory / ".step").exists() or process.poll() is not None, "the step")
                time.sleep(random.uniform(0, 0.1 if rounds == 1 else 0.6))
                victim = replica_set.primary()
                accident(victim)
                process.communicate(timeout=60)
                ended.append(process.returncode)
                self.assertIn(process.returncode, (0, 1), f"{command}: {self.log()}")
                self.check_clean()
                chains += command == "full" and process.returncode == 0
                self.assertEqual(len(self.status()["chains"]), chains)
                recover(victim)
                self.run_backup("inc", retry=1)
        finally:
            writer.stop()
        print("exit codes:", *ended, end=" ", flush=True)
        replica_set.wait_until_whole()
        self.run_backup("inc")
        self.check_chain(chains)
        found = {one["_id"] for one in self.restored().written.find({}, {"_id": 1})}
        self.assertEqual(set(writer.acknowledged) - found, set())
        self.assertEqual(self.restored().large.count_documents({}), 5000)

    def test_the_primary_is_killed(self):
        def recover(victim):
            replica_set.primary()  # a new one
            victim.start()
        self.during(replica_set.kill, recover)

    def test_the_primary_steps_down(self):
        self.during(step_down, lambda _: replica_set.primary())


class Rollback(Backup):
    def roll_back(self, archive):
        """A primary that replicates nothing any more writes, is killed, and comes back to a newer one."""
        old = replica_set.primary()
        for member in replica_set.secondaries():
            member.client.admin.command({"configureFailPoint": "stopReplProducer", "mode": "alwaysOn"})
        try:
            alone = self.db.a.with_options(write_concern=WriteConcern(w=1))
            alone.insert_one({"_id": "to be rolled back"})
            alone.update_one({"_id": 1}, {"$set": {"rolled back": True}})
            archive()
            replica_set.kill(old)
        finally:
            for member in replica_set.members:
                if member.process.poll() is None:
                    member.client.admin.command({"configureFailPoint": "stopReplProducer", "mode": "off"})
        self.assertIsNot(replica_set.primary(), old)
        self.db.a.insert_one({"_id": "instead"})
        old.start()
        replica_set.wait_until_whole()
        self.assertIsNone(old.client.shop.a.find_one({"_id": "to be rolled back"}))
        self.assertTrue(list((old.directory / "db/rollback").rglob("*.bson")))

    def check_divergence(self, archived):
        _, err = self.run_backup("inc", expected=DISCONTINUITY)
        self.assertIn("divergence", err)
        chain, = self.status()["chains"]
        self.assertEqual((chain["state"], chain["doubtfulEnd"], chain["last"]), ("closed: divergence", True, archived))
        self.run_backup("inc", expected=NO_BACKUP)
        self.run_backup("full")
        self.db.a.insert_one({"_id": "after"})
        self.run_backup("inc")
        self.check_chain(2)

    def test_what_only_the_primary_has_is_not_backed_up(self):
        self.db.a.insert_many([{"_id": i} for i in range(10)])
        self.run_backup("full")
        self.db.a.insert_one({"_id": "kept"})
        self.roll_back(lambda: [self.run_backup(command) for command in ("inc", "full")])
        self.assertEqual([chain["state"] for chain in self.status()["chains"]], ["open", "open"])
        self.run_backup("inc")
        self.check_chain(2)
        self.empty_target()
        self.restore("--chain", self.status()["chains"][0]["id"])
        self.assertEqual({one["_id"]: one for one in self.restored().a.find()}, {name: {"_id": name} for name in (*range(10), "kept")})

    def test_archived_entries_that_are_rolled_back_close_the_chain(self):
        self.db.a.insert_many([{"_id": i} for i in range(10)])
        self.run_backup("full")
        careless = self.folder / "careless"  # only so can they be archived at all
        careless.mkdir()
        test_backup.script(careless / "mongodump", 'for one; do shift; set -- "$@" "$(echo "$one" | sed s/readConcernLevel=majority/readConcernLevel=local/)"; done\n'
                           f'exec "{self.tools}/mongodump" "$@"')
        config = self.configure(mongo_home=careless)
        self.roll_back(lambda: self.run_backup("inc", config=config))
        oplog, = self.directory.glob("2*/inc/*/local/oplog.rs.bson")
        self.assertIn(b"to be rolled back", oplog.read_bytes())
        self.configure()
        self.check_divergence(self.status()["chains"][0]["last"])

    def test_a_majority_that_comes_back_with_older_disks_is_a_divergence(self):
        self.db.a.insert_many([{"_id": i} for i in range(10)])
        self.run_backup("full")
        survivor = replica_set.primary()
        others = replica_set.secondaries()
        replica_set.wait_until_whole()
        for member in others:
            replica_set.kill(member)
            shutil.copytree(member.directory / "db", member.directory / "older")
            member.start()
        replica_set.wait_until_whole()
        self.db.a.insert_one({"_id": "archived"})
        self.run_backup("inc")
        for member in replica_set.members:
            replica_set.kill(member)
            shutil.rmtree(member.directory / "db")
        for member in others:
            (member.directory / "older").rename(member.directory / "db")
            member.start()
        self.assertIsNot(replica_set.primary(), survivor)
        self.db.a.insert_one({"_id": "instead"})
        (survivor.directory / "db").mkdir()  # no server undoes what a majority had: it is synced anew
        survivor.start()
        replica_set.wait_until_whole()
        self.check_divergence(self.status()["chains"][0]["last"])


class Members(Backup):
    def test_a_delayed_secondary_as_the_source(self):
        delayed = replica_set.secondaries()[0]
        number = replica_set.members.index(delayed)

        def delay(seconds):
            def change(config):
                config["members"][number].update(priority=0 if seconds else 1, hidden=bool(seconds), secondaryDelaySecs=seconds)
            replica_set.reconfigure(change)
        self.db.a.insert_many([{"_id": i} for i in range(100)])
        replica_set.wait_until_whole()
        delay(3)
        self.addCleanup(delay, 0)
        self.configure(uri=f"mongodb://127.0.0.1:{delayed.port}/?directConnection=true")
        writer = Writer(self.connect(wtimeoutMS=5000, socketTimeoutMS=5000))
        writer.start()
        try:
            time.sleep(1)
            self.run_backup("full", retry=1)
            for _ in range(2):
                time.sleep(0.5)
                self.run_backup("inc", retry=1)
        finally:
            writer.stop()
        written = len(writer.acknowledged)
        chain, = self.status()["chains"]
        seconds, ordinal = map(int, chain["last"].split(":"))
        newest = replica_set.primary().client.local["oplog.rs"].find_one(sort=[("$natural", -1)])["ts"]
        self.assertLess((seconds, ordinal), (newest.time, newest.inc))
        self.empty_target()
        self.restore()
        self.assertLess(self.restored().written.count_documents({}), written)
        wait_for(lambda: delayed.client.shop.written.count_documents({}) == self.db.written.count_documents({}), "what is delayed", 30)
        wait_for(lambda: self.run_backup("inc", retry=1) and self.newest_is_archived(delayed), "the delayed member's end", 30)
        self.check_chain()

    def newest_is_archived(self, member):
        to = self.status()["chains"][0]["last"]
        shown = member.client.local["oplog.rs"].find_one({"ns": {"$regex": "^shop"}}, sort=[("$natural", -1)])["ts"]
        return (shown.time, shown.inc) <= tuple(map(int, to.split(":")))

    def test_twenty_runs_at_once_take_turns(self):
        self.db.a.insert_many([{"_id": i} for i in range(100)])
        self.run_backup("full")
        runs = [self.start("inc") for _ in range(20)]
        ended = {0: 0, LOCKED: 0}
        for run in runs:
            _, err = run.communicate(timeout=60)
            ended[run.returncode] = ended.get(run.returncode, 0) + 1
            self.assertEqual("another backup" in err, run.returncode == LOCKED, err)
        self.assertEqual(set(ended), {0, LOCKED})
        self.assertGreater(ended[0], 0)
        self.assertEqual(self.status()["chains"][0]["increments"], ended[0])
        self.check_chain()


class RolledOver(Backup):
    def test_an_oplog_that_rolled_over_before_a_new_primary_is_a_gap(self):
        if rounds == 1:
            self.skipTest("a server takes some minutes to overwrite its oplog: --rounds 2")
        small = ReplicaSet(self.folder / "small", oplog_size_mb=1).wait()
        self.addCleanup(small.stop)
        client = small.connect(w="majority")
        self.addCleanup(client.close)
        client.admin.command("createUser", "backup", pwd="p@ss", roles=["backup"])
        client.shop.a.insert_one({})
        self.configure(uri=small.uri)
        self.run_backup("full")
        self.run_backup("inc")
        archived = self.status()["chains"][0]["last"]

        def has_rolled_over():
            client.shop.flood.insert_many([{"x": "y" * 100_000} for _ in range(20)])
            time.sleep(0.2)
            oldest = [member.client.local["oplog.rs"].find_one(sort=[("$natural", 1)])["ts"] for member in small.members]
            return all((ts.time, ts.inc) > tuple(map(int, archived.split(":"))) for ts in oldest)
        wait_for(has_rolled_over, "a roll-over", 300)
        small.kill(small.primary())
        small.primary()
        _, err = self.run_backup("inc", retry=1, expected=DISCONTINUITY)
        self.assertIn("(gap)", err)
        chain, = self.status()["chains"]
        self.assertEqual((chain["state"], chain["doubtfulEnd"], chain["last"]), ("closed: gap", False, archived))
        self.run_backup("inc", expected=NO_BACKUP)
        self.run_backup("verify")
        self.restore()
        self.assertEqual(self.restored().a.count_documents({}), 1)


def main():
    global rounds
    arguments = argparse.ArgumentParser(description="oplog-backup on a replica set of three that has a bad day")
    arguments.add_argument("--rounds", type=int, default=1, help="how often each accident happens")
    options, rest = arguments.parse_known_args()
    rounds = options.rounds
    reason = "pymongo is not installed" if not pymongo else "" if find_mongod() else "no mongod in $MONGOD or on PATH"
    if reason:
        print(f"skipped: {reason}")
        return 2 if os.environ.get("OPLOG_REQUIRE_LIVE") == "1" else 77
    return not unittest.main(argv=[sys.argv[0], *rest], exit=False, verbosity=2).result.wasSuccessful()


if __name__ == "__main__":
    sys.exit(main())

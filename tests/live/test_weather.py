#!/usr/bin/env python3
"""oplog-backup and oplog-restore in bad weather: renames during a full backup, clocks that are off, what is refused and how it is said.

    OPLOG_BIN=build/release/tools MONGO_TOOLS_BIN=/usr/bin test_weather.py

As test_backup.py, whose servers and helpers it uses.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import unittest

import test_backup as base
from test_backup import NO_BACKUP, UNAUTHORISED, Backup, main, script

if base.pymongo:
    from compare import differences, state_of
    from pymongo.errors import PyMongoError
    from server import Server, scratch_directory

CHINESE = re.compile("[\u4e00-\u9fff]")


def setUpModule():
    base.root = scratch_directory()
    base.source = Server(base.root / "source", auth=True, parameters={"enableTestCommands": 1})
    base.target = Server(base.root / "target", auth=True)
    base.tools, base.real = base.tools_directory(base.root / "tools")
    base.source.wait()
    base.target.wait()
    base.password = "pässword" if base.real else "password"
    base.source.client.admin.command("createUser", "backup", pwd=base.password, roles=["backup"])
    print("tools:", "the real ones" if base.real else "the stand-ins, so equality is NOT proved", flush=True)


class Hammer:
    """Threads that do each of some things over and over, while a block runs."""

    def __init__(self, *actions):
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._repeat, args=(action,)) for action in actions]
        self.times = dict.fromkeys(actions, 0)
        self.failures = []

    def _repeat(self, action):
        while not self._stop.is_set():
            try:
                action(self.times[action])
            except PyMongoError as error:
                self.failures.append(error)
                return
            self.times[action] += 1

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        base.wait_for(lambda: min(self.times.values()) > 2, "the hammer's first strokes")
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


class Renamed(Backup):
    """A full backup while collections are renamed."""

    def fill(self):
        for name in ("a", "b", "still"):
            self.db[name].create_index([("i", 1), ("of", -1)])
            self.db[name].insert_many([{"of": name, "i": i, "text": "x" * 200} for i in range(500)])
        self.db.create_collection("capped", capped=True, size=100000)
        self.db.capped.insert_many([{"i": i} for i in range(50)])

    def there_and_back(self, name):
        def action(_):
            self.db[name].rename(f"{name} elsewhere")
            time.sleep(0.05)
            self.db[f"{name} elsewhere"].rename(name)
            time.sleep(0.05)
        return action

    def out(self, number):
        self.db.b.aggregate([{"$match": {"i": {"$lt": 150}}}, {"$set": {"round": number}}, {"$out": "out"}])
        time.sleep(0.02)

    def write(self, number):
        self.db.still.update_many({"i": {"$lt": 20}}, {"$inc": {"n": 1}})
        self.db.made.insert_one({"_id": number})
        self.db.capped.insert_one({"n": number})
        time.sleep(0.1)

    def check_whole(self, *methods):
        """Restores the end of the chain, by each method, and compares."""
        self.run_backup("inc")
        self.run_backup("verify")
        expected = self.source_state()
        for method in methods or ("apply", "replay"):
            with self.subTest(method):
                self.empty_target()
                self.check_restored(expected, "--method", method)
        self.check_clean()

    def test_where_mongodump_cannot_the_other_method_follows(self):
        self.fill()
        with Hammer(self.there_and_back("a"), self.out, self.write) as hammer:
            _, err = self.run_backup("full", config=self.configure())
            self.assertIn("full_method = slice", err)
            _, err = self.run_backup("full", config=self.configure(lang="zh"))
            self.assertRegex(err, "(?m)^oplog-backup: .*full_method = slice")
            self.assertRegex(err, CHINESE)
        self.assertEqual(hammer.failures, [])
        self.assertEqual([one["state"] for one in self.status()["chains"]], ["open", "open"])
        self.check_whole()
        self.db.a.insert_one({})  # the last entry is a rename else, and with it the next dump's oplog would begin
        _, err = self.run_backup("full", config=self.configure())
        self.assertNotIn("full_method = slice", err)

    def test_a_member_of_a_cluster_that_has_resharded_is_dumped(self):
        self.fill()
        source = base.source.client
        source.config.create_collection("reshardingOperations")
        try:
            self.run_backup("full", expected=1 if base.real else 0, config=self.configure(full_method="mongodump"))
            self.run_backup("full", config=self.configure())
        finally:
            source.config.drop_collection("reshardingOperations")
        self.check_whole()

    def test_renames_faster_than_any_dump_are_waited_out(self):
        """Each name is free or the collection's own at any time, so what was read under it is its own."""
        self.fill()

        def without_a_rest(_):
            self.db.a.rename("elsewhere")
            self.db.elsewhere.rename("a")
        with Hammer(without_a_rest) as hammer:
            self.run_backup("full", config=self.configure(full_method="slice"))
        self.assertEqual(hammer.failures, [])
        self.check_whole("apply")

    def test_a_collection_that_loses_its_name_while_it_is_read_is_dumped_alone(self):
        self.fill()
        self.db.large.insert_many([{"i": i, "text": "x" * 2000} for i in range(25000)])  # some batches
        self.db["large `with\" marks"].insert_one({})
        source = base.source.client
        source.other.c.insert_many([{"i": i} for i in range(100)])
        with Hammer(self.there_and_back("large"), lambda number: (source.other.c.update_one({"i": number % 100}, {"$inc": {"n": 1}}), time.sleep(0.1))) as hammer:
            self.run_backup("full", config=self.configure(full_method="slice"))
        self.assertEqual(hammer.failures, [])
        self.check_whole()

    def test_names_that_change_owners_are_told_apart_or_refused(self):
        """Two collections swap their names: what is read under one may be either."""
        self.fill()

        def swap(_):
            for source, target in (("a", "third"), ("b", "a"), ("third", "b")):
                self.db[source].rename(target)
                time.sleep(0.4)
        with Hammer(swap) as hammer:
            self.run_backup("full", config=self.configure(full_method="slice"))
        self.assertEqual(hammer.failures, [])
        self.check_whole()

    def test_transactions_open_while_the_dump_begins_are_whole(self):
        self.fill()
        admin = base.source.client.admin

        def prepared(number):
            with base.source.client.start_session() as session:
                session.start_transaction()
                self.db.a.update_one({"i": number % 100}, {"$inc": {"n": 1}}, session=session)
                self.db.b.insert_one({"of": "a transaction", "number": number}, session=session)
                when = admin.command("prepareTransaction", session=session)["prepareTimestamp"]
                time.sleep(0.1)
                admin.command("commitTransaction", commitTimestamp=when, session=session)
                session._transaction.state = 5  # the driver need not end it again
                time.sleep(0.02)
        with Hammer(prepared, self.there_and_back("still")) as hammer:
            for _ in range(3):
                self.run_backup("full", config=self.configure(full_method="slice"))
        self.assertEqual(hammer.failures, [])
        self.check_whole()

    def test_a_full_backup_under_renames_and_out_is_exact(self):
        for compress in ("none", "gzip", "zstd"):
            with self.subTest(compress):
                base.empty(base.source)
                self.directory = self.folder / compress
                self.configure(compress=compress, full_method="slice")
                self.fill()
                with Hammer(self.there_and_back("a"), self.out, self.write) as hammer:
                    self.run_backup("full")
                self.assertEqual(hammer.failures, [])
                self.check_whole()


def load_tests(loader, _tests, _pattern):
    """Not those of test_backup that were imported with the class."""
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in (Renamed,))


if __name__ == "__main__":
    sys.exit(main())

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

CHINESE = re.compile("[\u4e00-\u9fff]")


def setUpModule():
    base.start_servers("pässword")


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

    def there_and_back(self, name, rest=0.05):
        def action(_):
            self.db[name].rename(f"{name} elsewhere")
            time.sleep(0.05)
            self.db[f"{name} elsewhere"].rename(name)
            time.sleep(rest)
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
        with Hammer(self.there_and_back("large", rest=1), lambda number: (source.other.c.update_one({"i": number % 100}, {"$inc": {"n": 1}}), time.sleep(0.1))) as hammer:
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


    def test_an_oplog_that_is_overwritten_during_the_dump_is_copied_meanwhile(self):
        """A mongodump that takes its time for the collections, and behind which all but the newest of the oplog is gone by then."""
        self.fill()
        slow = self.folder / "slow"
        slow.mkdir()
        gone = self.folder / "gone"
        script(slow / "mongodump", f"""case "$*" in
          *--oplog*) echo 'Failed: oplog overflow: mongodump was unable to capture all new oplog entries during execution' >&2; exit 1 ;;
          *oplog.rs*) for each; do
              since=$(expr "$each" : '.*"$gte":.*"t":\\([0-9]*\\),"i":[0-9]*}}}},"$lte"') || since=9999999999
              [ ! -e {gone} ] || [ "$since" -ge $(cat {gone}) ] || each=$(echo "$each" | sed "s/$since/$(cat {gone})/")
              set -- "$@" "$each"; shift
            done ;;
          *transactions*|--version) ;;
          *) sleep 6; expr $(date +%s) - 4 >{gone} ;;
        esac
        exec "{base.tools}/mongodump" "$@" """)
        with Hammer(self.write) as hammer:
            _, err = self.run_backup("full", config=self.configure(mongo_home=slow))
        self.assertGreater(hammer.times[self.write], 10)
        self.assertTrue(gone.exists())
        self.assertIn("enlarge", err)
        self.configure()
        self.check_whole("apply")
        _, err = self.run_backup("full", expected=1, config=self.configure(mongo_home=slow, full_method="mongodump"))
        self.assertIn("enlarge", err)


class Chains(Backup):
    def window(self):
        return self.status()["windows"]

    def test_a_full_backup_takes_the_last_increment_of_the_chain_before_it(self):
        self.db.a.insert_one({"_id": 0})
        self.run_backup("full", config=self.configure(keep_chains=2))
        for number in range(1, 4):
            self.db.a.insert_one({"_id": number})
            out, _ = self.run_backup("full")
            self.assertIn("incremental backup 1 succeeded", out)
            self.assertEqual(len(self.window()), 1)
        self.assertEqual([one["increments"] for one in self.status()["chains"]], [1, 0])
        before = self.status()
        out, _ = self.run_backup("full", "--dry-run")
        self.assertRegex(out, r"(?s)full backup.*mongodump .*--oplog.*last increment of chain")
        out, _ = self.run_backup("inc", "--dry-run")
        self.assertRegex(out, r"(?s)increment of chain .*, number 1, from \d+:\d+ on\n +.*mongodump ")
        self.assertEqual(self.status(), before)
        self.check_clean()

    def test_a_rehearsal_makes_not_even_a_directory(self):
        self.run_backup("full", "--dry-run", config=self.configure(full_method="slice"))
        self.run_backup("inc", "--dry-run", expected=NO_BACKUP)
        self.assertFalse(self.directory.exists())

    def test_the_last_increment_need_not_succeed_where_there_were_none(self):
        self.run_backup("full")
        record, = self.directory.glob("2*/full/step.json")
        chain = record.parents[1]
        self.db.a.insert_one({})
        wrong = self.folder / "wrong"
        wrong.mkdir()
        script(wrong / "mongodump", f'case "$*" in *oplog.rs*"--out {self.directory}/.step") exit 1 ;; esac; exec "{base.tools}/mongodump" "$@"')
        self.run_backup("full", config=self.configure(mongo_home=wrong))
        self.assertTrue(chain.exists())


class Clocks(Backup):
    """This machine's clock is off, the server's is right."""

    def at(self, offset, *arguments, **how):
        faked = self.folder / f"oplog-backup{offset}"
        script(faked, f'DONT_FAKE_MONOTONIC=1 exec faketime -f {offset} "{base.BIN}/oplog-backup" "$@"')
        return self.run_backup(*arguments, tool=faked, **how)

    @unittest.skipUnless(shutil.which("faketime"), "faketime is not installed")
    def test_a_clock_that_is_off_makes_no_difference(self):
        self.configure()
        for number, offset in enumerate(("-11m", "+11m", "-13h", "+13h", "-42d", "+42d")):
            with self.subTest(offset):
                self.directory = self.folder / str(number)
                self.configure()
                self.db.a.insert_one({"before": offset})
                self.at(offset, "full")
                self.db.a.insert_one({"after": offset})
                newest = base.source.client.admin.command("appendOplogNote", data={})["operationTime"]
                self.at(offset, "inc")
                chain, = self.status()["chains"]
                seconds, ordinal = map(int, chain["last"].split(":"))
                self.assertGreaterEqual((seconds, ordinal), (newest.time, newest.inc))
        self.empty_target()
        self.check_restored(self.source_state())

    @unittest.skipUnless(shutil.which("faketime"), "faketime is not installed")
    def test_a_chain_goes_on_after_the_clock_was_set(self):
        self.at("+13h", "full")
        for offset in ("-13h", "+0h", "-42d"):
            self.db.a.insert_one({})
            self.at(offset, "inc")
        self.run_backup("verify")
        self.check_restored(self.source_state())

    def test_status_says_that_increments_are_overdue_by_the_servers_clock(self):
        self.run_backup("full")
        self.run_backup("inc")
        _, err = self.run_backup("status", config=self.configure(time_interval="1h"))
        self.assertEqual(err, "")
        time.sleep(3)
        base.source.client.admin.command("appendOplogNote", data={})
        for lang in ("en", "zh"):
            out, err = self.run_backup("status", "--json", config=self.configure(lang=lang))
            json.loads(out)
            self.assertRegex(err, r"\Aoplog-backup: .*20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ.*\n\Z")
            self.assertEqual(bool(CHINESE.search(err)), lang == "zh")


class Messages(Backup):
    def check_said(self, command, expected, en, zh, **settings):
        """What is said in each language, at once."""
        for lang, said in (("en", en), ("zh", zh)):
            with self.subTest(lang):
                _, err = self.run_backup(command, expected=expected, config=self.configure(lang=lang, **settings))
                self.assertEqual(err.count(said), 1, err)

    def test_what_is_wrong_with_the_log_in_is_told_apart(self):
        base.source.client.admin.command("createUser", "nobody", pwd="n", roles=[])
        self.check_said("full", UNAUTHORISED, "log-in failed: db_user", "登录失败", db_pwd="wrong")
        self.assertNotIn('["backup"]', self.log())
        self.check_said("full", UNAUTHORISED, "needs the role backup", "需要backup角色", db_user="nobody", db_pwd="n")
        self.check_said("full", UNAUTHORISED, "asks for a log-in", "服务器要求登录", db_user=None, db_pwd=None, db_authdb=None)

    def test_check_says_what_is_wrong_in_a_line_each(self):
        base.source.client.admin.command("createUser", "nobody", pwd="n", roles=[])
        self.db.a.insert_one({})
        base.source.client.admin.command("appendOplogNote", data={})
        out, _ = self.run_backup("check")
        self.assertEqual({line.partition(":")[0] for line in out.splitlines()}, {"ok"})
        self.assertGreaterEqual(len(out.splitlines()), 6)
        for expected, settings in ((UNAUTHORISED, {"db_pwd": "wrong"}), (UNAUTHORISED, {"db_user": "nobody", "db_pwd": "n"}), (1, {"time_interval": "30d"}),
                                   (1, {"dbbak_dir": "/dev/null/nothing"})):
            with self.subTest(settings):
                out, err = self.run_backup("check", expected=expected, config=self.configure(**settings))
                self.assertEqual([line.partition(":")[0] for line in out.splitlines()].count("bad"), 1, out)
                self.assertEqual(err, "")
        out, _ = self.run_backup("check", expected=1, config=self.configure(time_interval="30d", lang="zh"))
        self.assertRegex(out, "(?m)^有误: oplog的时间范围")
        self.assertFalse(self.directory.exists())

    def test_a_server_without_an_oplog_is_said_at_once(self):
        alone = Alone(self.folder / "alone")
        self.addCleanup(alone.stop)
        for command, expected in (("full", 1), ("check", 1)):
            out, err = self.run_backup(command, expected=expected, config=self.configure(db_port=alone.port, db_user=None, db_pwd=None, db_authdb=None))
            self.assertIn("not a member of a replica set", out + err)
            self.assertNotIn("trying again", err)

    def test_a_log_that_cannot_be_written_stops_nothing(self):
        for lang, said in (("en", "cannot be written"), ("zh", "无法写日志")):
            _, err = self.run_backup("full", config=self.configure(log_file="/dev/full", lang=lang))
            self.assertEqual(err.count(said), 1)
            self.assertRegex(err, "oplog-backup: (Mongodb full backup succeeded|Mongodb全量备份成功)")  # where else

    @unittest.skipUnless(shutil.which("mongodump", path=os.environ.get("MONGO_TOOLS_BIN")), "the real mongodump is needed")
    def test_names_that_do_not_resolve(self):
        nobody = {"db_host": None, "db_port": None, "db_user": None, "db_pwd": None, "db_authdb": None}
        self.check_said("full", 1, "SRV", "SRV", uri="mongodb+srv://nothing.invalid/", **nobody)
        self.check_said("inc", NO_BACKUP, "no backup", "no backup", uri="mongodb+srv://nothing.invalid/", **nobody)
        _, err = self.run_backup("full", expected=1, config=self.configure(uri="mongodb://nothing.invalid/?serverSelectionTimeoutMS=1000", **nobody))
        self.assertIn("does not resolve", err)

    def test_a_member_that_lags_behind_is_said_to(self):
        self.run_backup("full")
        lagging = self.folder / "lagging"
        lagging.mkdir()
        # One whose oplog ends before the chain does. What asks where it ends asks from a whole second on.
        script(lagging / "mongodump", f"""case "$*" in
          *'"$lte"'*) lags=yes ;;
          *'"$gte":{{"$timestamp":{{"t":'*',"i":0}}'*) lags= ;;
          *'"$gte"'*) lags=yes ;;
        esac
        for a; do shift; case $lags$a in yes*'"$gte"'*) a='{{"ts":{{"$lt":{{"$timestamp":{{"t":1,"i":0}}}}}}}}' ;; esac; set -- "$@" "$a"; done
        exec "{base.tools}/mongodump" "$@" """)
        for lang, said in (("en", "the member lags behind"), ("zh", "该成员落后")):
            _, err = self.run_backup("inc", expected=1, config=self.configure(mongo_home=lagging, lang=lang))
            self.assertIn(said, err)
            self.assertNotIn("no entries", err)


class Alone:
    """A server that is no member of a replica set."""

    def __init__(self, folder):
        from server import _die_with_parent, _free_port, find_mongod
        (folder / "db").mkdir(parents=True)
        self.port = _free_port()
        self.process = subprocess.Popen([find_mongod(), "--dbpath", folder / "db", "--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket",
                                         "--quiet", "--wiredTigerCacheSizeGB", "0.25", "--logpath", folder / "log"],
                                        stdout=subprocess.DEVNULL, preexec_fn=_die_with_parent)
        with base.pymongo.MongoClient("127.0.0.1", self.port, serverSelectionTimeoutMS=60000) as client:
            client.admin.command("ping")

    def stop(self):
        self.process.kill()
        self.process.wait()


class Restoring(Backup):
    def test_the_role_restore_suffices_where_nothing_is_replayed(self):
        self.db.a.insert_one({"_id": 1})
        self.run_backup("full")
        base.target.client.admin.command("updateUser", "restorer", roles=["restore"])
        expected = self.source_state()
        self.run_backup("--target", f"127.0.0.1:{base.target.port}", "--method", "apply", tool="oplog-restore")
        self.assertEqual(differences(expected, self.without_test_users(state_of(base.target))), [])
        _, err = self.run_backup("--target", f"127.0.0.1:{base.target.port}", tool="oplog-restore", expected=1)
        self.assertIn("the target holds databases already: shop; --force", err)

    def test_a_wrong_password_for_the_target_is_said_to_be_one(self):
        self.db.a.insert_one({"_id": 1})
        self.run_backup("full")
        _, err = self.run_backup("--target", f"mongodb://restorer:wrong@127.0.0.1:{base.target.port}/?authSource=admin", tool="oplog-restore", expected=UNAUTHORISED)
        self.assertIn("log-in to the target failed", err)
        self.assertNotIn("anyAction", err)

    def test_collections_are_renamed_on_the_way(self):
        self.db.a.insert_one({"_id": 1})
        self.db.b.insert_one({"_id": 1})
        self.run_backup("full")
        self.db.a.insert_one({"_id": 2})
        self.run_backup("inc")
        for method in ("apply", "replay"):
            self.empty_target()
            self.restore("--rename", "shop.*=copy.*", "--ns", "shop.a", "--method", method)
            self.assertEqual(base.target.client.copy.list_collection_names(), ["a"])
            self.assertEqual(base.target.client.copy.a.count_documents({}), 2)
            self.assertNotIn("shop", base.target.client.list_database_names())
        out, _ = self.restore("--dry-run", "--rename", "shop.a=shop.c")
        self.assertRegex(out, r"oplog-apply .*--rename shop\.a=shop\.c")
        for wrong in (["--rename", "shop.a"], ["--rename", "shop.a=sh op.a"], ["--rename", "shop.*=" + "x" * 64 + ".*"], ["--ns", "shop"], ["--to", "noon"], ["--to", "1", "--before", "1"]):
            self.restore(*wrong, expected=2)

    def test_a_pattern_that_matches_nothing_restores_nothing(self):
        self.db.a.insert_one({"_id": 1})
        self.run_backup("full")
        self.db.later.insert_one({"_id": 1})
        self.run_backup("inc")
        for globs, wrong in ((["shop.x"], "--ns shop.x"), (["shop.a", "shop.lter"], "--ns shop.lter"), (["x.*", "y.*"], "--ns x.*, --ns y.*")):
            for method in ("apply", "replay"):
                _, err = self.restore(*(part for glob in globs for part in ("--ns", glob)), "--method", method, expected=NO_BACKUP)
                self.assertIn(f"oplog-restore: {wrong}: no collection of the backup matches", err)
                self.assertNotIn("shop", base.target.client.list_database_names())
        begin = self.status()["chains"][0]["first"]
        self.restore("--ns", "shop.later", "--to", begin, expected=NO_BACKUP)  # not there yet
        self.restore("--ns", "shop.later", "--ns", "*.a")
        self.assertEqual(sorted(base.target.client.shop.list_collection_names()), ["a", "later"])


def load_tests(loader, _tests, _pattern):
    """Not those of test_backup that were imported with the class."""
    return unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in (Renamed, Chains, Clocks, Messages, Restoring))


if __name__ == "__main__":
    sys.exit(main())

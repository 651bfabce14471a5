#!/usr/bin/env python3
"""Archives of the real mongodump and for the real mongorestore, and oplog-restore through a pipe when something goes wrong.

    OPLOG_BIN=build/release/tools MONGO_TOOLS_BIN=/usr/bin test_archives.py

As test_backup.py, whose servers and helpers it uses. It needs the real tools: exit 77 without.
"""

import datetime
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

import test_backup as base
from test_backup import BIN, LIMIT, Backup, main, script

if base.pymongo:
    from bson import BSON
    from server import Server

A_PART = "the target holds a part of the backup: drop that before the next try"
COLLECTIONS = 12


def setUpModule():
    base.start_servers("password")


@unittest.skipUnless(shutil.which("mongorestore", path=os.environ.get("MONGO_TOOLS_BIN")), "no real mongorestore")
class Archives(Backup):
    def fill(self, count=3000):
        """Many collections, and one of each kind."""
        numbers = random.Random(1)
        for number in range(COLLECTIONS):
            self.db[f"c{number}"].insert_many([{"_id": i, "n": numbers.randrange(1000), "text": "x" * numbers.randrange(200)} for i in range(count // (number + 1))])
            self.db[f"c{number}"].create_index("n")
        self.db.large.insert_one({"_id": 1, "text": "x" * ((16 << 20) - len(BSON.encode({"_id": 1, "text": ""})))})
        self.db.create_collection("capped", capped=True, size=8192)
        self.db.capped.insert_many([{"_id": i} for i in range(500)])
        self.db.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
        self.db.create_collection("french", collation={"locale": "fr"})
        self.db.create_collection("empty")
        self.db.create_collection("view", viewOn="c1", pipeline=[{"$match": {"n": 1}}])
        self.db.create_collection("series", timeseries={"timeField": "t", "metaField": "m"})
        self.db.create_collection("checked", validator={"n": {"$exists": True}})
        for name in ("clustered", "french", "checked"):
            self.db[name].insert_many([{"_id": str(i), "n": i} for i in range(50)])
        self.db.french.create_index("n", unique=True)
        self.db.c2.create_index([("$**", 1)])
        self.db.c3.create_index([("text", "text")])
        self.db.c4.create_index([("text", "hashed")])
        self.db["strange %name/x"].insert_one({"_id": 1})
        base.source.client["A"].first.insert_one({"_id": 1})  # before admin, as names are sorted
        self.measure(0)

    def measure(self, number):
        self.db.series.insert_many([{"t": datetime.datetime(2026, 1, 1 + number, i), "m": i % 3, "v": i} for i in range(24)])

    def change(self, number=1):
        self.db.c0.update_many({"n": {"$lt": 500}}, {"$set": {"n": number}})
        self.db.c0.delete_many({"_id": {"$mod": [7, number]}})
        self.db.c1.insert_many([{"_id": f"{number}-{i}", "n": i} for i in range(1500)])
        self.db.capped.insert_many([{"_id": f"{number}-{i}"} for i in range(30)])
        self.db.c5.create_index([(f"made{number}", 1), ("n", -1)])
        self.db.c6.rename(f"renamed{number}")
        self.db.c6.insert_one({"_id": number})
        self.measure(number)
        base.source.client.shop.command("createUser", f"user{number}", pwd="x", roles=["read"])

    def shell(self, command, expected=0, **how):
        done = subprocess.run(["bash", "-c", "set -o pipefail; PATH=$BIN:$TOOLS:$PATH; " + command], capture_output=True, text=True, timeout=LIMIT, check=False, cwd=self.folder,
                              env={**os.environ, "BIN": str(BIN), "TOOLS": str(base.tools), "SOURCE": self.login(base.source), "TARGET": self.login(base.target), **how})
        if expected is not None:
            self.assertEqual(done.returncode, expected, f"{command}\n{done.stdout}{done.stderr}")
        return done

    @staticmethod
    def login(server):
        return server.uri.replace("://", "://root:secret@") + "&authSource=admin"

    def target_is(self, dump):
        """By dumping it again."""
        shutil.rmtree(self.folder / "again", ignore_errors=True)
        self.shell('mongodump --quiet --uri "$TARGET" -o again')
        return self.shell(f"oplog-diff --exit-code {dump} again --exclude-ns 'admin.system.*'", None).stdout

    def test_archives_of_the_real_mongodump_give_what_its_directories_give(self):
        self.fill()
        self.shell('mongodump --quiet --uri "$SOURCE" --oplog -o plain')
        self.change()
        self.shell('oplog-range --query plain >query; mongodump --quiet --uri "$SOURCE" -d local -c oplog.rs --query "$(cat query)" -o inc')
        self.shell("oplog-apply -q --full plain inc -o wanted")
        for compress in ("", "--gzip"):
            for jobs in (1, 4, 8):
                with self.subTest(compress=compress, jobs=jobs):
                    self.shell(f'mongodump --quiet --uri "$SOURCE" --oplog -j {jobs} {compress} --archive=a.archive')
                    self.assertEqual(self.shell("oplog-diff --exit-code wanted a.archive --exclude-ns 'admin.system.version'", None).stdout, "")
            self.shell(f'mongodump --quiet --uri "$SOURCE" --oplog {compress} --archive | oplog-apply -q --full - -o from-pipe')
            self.assertEqual(self.shell("oplog-diff --exit-code wanted from-pipe").stdout, "")
            self.shell("rm -r from-pipe")
            # an increment, from a file and from a pipe
            self.shell(f'mongodump --quiet --uri "$SOURCE" -d local -c oplog.rs --query "$(cat query)" {compress} --archive=inc.archive')
            for increment in ("inc.archive", "<(cat inc.archive)", "- <inc.archive"):
                for tool in ("oplog-slice --txn=keep", "oplog-merge", "oplog-cat", "oplog-filter --ns 'shop.*'", "oplog-stats --json | sed 's/\"file.*//'"):
                    tool, _, rest = tool.partition(" | ")
                    wanted = self.shell(f"{tool} <(oplog-slice -q --to $(oplog-range --last inc) {increment}) {'| ' + rest if rest else ''} | md5sum").stdout
                    self.assertEqual(self.shell(f"{tool} inc {'| ' + rest if rest else ''} | md5sum").stdout, wanted)
                self.shell(f"oplog-verify -q --full a.archive {increment}")

    def test_the_real_mongorestore_loads_what_oplog_apply_writes(self):
        self.fill()
        self.shell('mongodump --quiet --uri "$SOURCE" --oplog -o full')
        self.change()
        self.shell('oplog-range --query full >query; mongodump --quiet --uri "$SOURCE" -d local -c oplog.rs --query "$(cat query)" --gzip --archive=inc.archive')
        self.shell("oplog-apply -q --full full inc.archive -o wanted")
        for options in ("", "--numParallelCollections 1", "--numParallelCollections 16"):
            with self.subTest(options):
                self.empty_target()
                self.shell(f'oplog-apply -q --full full inc.archive --archive -o - | mongorestore --uri "$TARGET" {options} --bypassDocumentValidation --archive')
                self.assertEqual(self.target_is("wanted"), "")
        self.empty_target()
        self.shell('oplog-apply -q --full full inc.archive --archive -o - | gzip -1 | mongorestore --uri "$TARGET" --bypassDocumentValidation --gzip --archive')
        self.assertEqual(self.target_is("wanted"), "")
        packed = 'oplog-apply -q --full full inc.archive --archive --compress gzip:0 -o -'  # as oplog-restore does it
        restore = 'mongorestore --uri "$TARGET" --bypassDocumentValidation --numInsertionWorkersPerCollection=4 --gzip --archive'
        self.empty_target()
        self.shell(f"{packed} | {restore}")
        self.assertEqual(self.target_is("wanted"), "")
        size = int(self.shell(f"{packed} | wc -c").stdout)
        for cut in range(1, size, size // 20):
            for mark in ("", r"\xff\xff\xff\xff"):
                with self.subTest(cut=cut, mark=mark):
                    self.empty_target()
                    self.shell(f"{{ {packed} | head -c {cut}; printf '{mark}'; }} | {restore}", 1)

    def test_the_real_mongorestore_fails_where_the_archive_is_cut(self):
        self.db.a.insert_many([{"_id": i} for i in range(3)])
        self.db.b.insert_many([{"_id": i} for i in range(3)])
        self.shell("mongodump --quiet --uri \"$SOURCE\" --oplog -o full; oplog-apply -q --full full --ns 'shop.*' --archive -o whole")
        whole = (self.folder / "whole").read_bytes()
        marks = [at + 4 for at in range(len(whole)) if whole.startswith(b"\xff" * 4, at)]
        for mark in ("", r"\xff\xff\xff\xff"):  # with what a tool that fails adds to a pipe
            for size in sorted({*marks[:-1], *(at - 4 for at in marks), *range(0, len(whole), len(whole) // 10)}):
                if mark and size == marks[-1] - 4:
                    continue  # that is the whole archive
                with self.subTest(size=size, mark=mark):
                    self.shell(f"""{{ head -c {size} whole; printf '{mark}'; }} | timeout 60 mongorestore --uri "$TARGET" --archive""", 1)
                    base.target.client.drop_database("shop")
        self.shell("{ cat whole; printf '\\xff\\xff\\xff\\xff'; } | timeout 60 mongorestore --uri \"$TARGET\" --archive", 1)

    def chain(self):
        self.fill()
        self.run_backup("full")
        self.change()
        self.run_backup("inc")
        self.change(2)
        self.run_backup("inc")

    def made(self):
        """What oplog-apply makes of the chain, as a directory."""
        chain, = self.directory.glob("2*")
        self.shell(f"oplog-apply -q --full {chain}/full {chain}/inc/* -f -o made")
        return "made"

    def test_all_comes_back_through_the_pipe(self):
        self.chain()
        for arguments in ([], ["--method", "apply"], ["--prepare"]):
            with self.subTest(arguments):
                self.empty_target()
                self.check_restored(self.source_state(), *arguments)
                self.assertEqual(self.target_is(self.made()), "")
                self.check_clean()
        self.empty_target()
        self.restore("--ns", "shop.c*", "--exclude-ns", "shop.c1", "--rename", "shop.*=copy.*")
        self.shell("oplog-apply -q --full $(echo dbbak/2*/full) dbbak/2*/inc/* --ns 'shop.c*' --exclude-ns shop.c1 --rename 'shop.*=copy.*' -o some")
        self.assertEqual(self.target_is("some"), "")

    def test_users_of_the_target_stay_where_mongorestore_would_drop_them(self):
        if not base.source.knows("5.3"):
            self.skipTest("clustered collections came with MongoDB 5.3")
        self.run_backup("full")
        self.db.command("create", "k", clusteredIndex={"key": {"_id": 1}, "unique": True})
        self.db.command("convertToCapped", "k", size=100_000)
        self.run_backup("inc")
        self.empty_target()
        target = base.target.client.shop
        target.command("createUser", "lou", pwd="lou", roles=["read"])
        try:
            for arguments in ([], ["--prepare"]):
                _, err = self.restore("--method", "apply", *arguments, expected=1)
                self.assertIn("mongorestore would have to drop what it finds, the target's users and roles too", err)
                self.assertEqual([each["user"] for each in target.command("usersInfo")["users"]], ["lou"])
                self.assertNotIn("k", target.list_collection_names())
            self.restore()
            self.assertEqual([each["user"] for each in target.command("usersInfo")["users"]], ["lou"])
            self.assertIn("k", target.list_collection_names())
        finally:
            target.command("dropAllUsersFromDatabase")

    def processes(self, restore):
        found = {}
        for pid in base.processes_below(restore.pid):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    found[os.path.basename(file.read().split(b"\0")[0].decode())] = pid
            except OSError:
                pass
        return found

    def test_whatever_is_killed_is_no_restore(self):
        self.chain()
        self.db.much.insert_many([{"_id": i, "text": "x" * 1000} for i in range(40_000)])
        self.run_backup("inc")
        expected = self.source_state()
        begun = {"as oplog-apply begins": lambda restore: "oplog-apply" in self.processes(restore), "as mongorestore begins": lambda restore: "mongorestore" in self.processes(restore),
                 "in the middle": lambda _: base.target.client.shop.much.estimated_document_count() > 3000}
        for moment, has_come in begun.items():
            for name in ("oplog-apply", "mongorestore", "oplog-restore"):
                if name == "mongorestore" and moment == "as oplog-apply begins":
                    continue
                with self.subTest(moment=moment, name=name):
                    self.empty_target()
                    restore = self.start("--target", f"127.0.0.1:{base.target.port}", "--method", "apply", tool="oplog-restore")
                    while not has_come(restore):
                        self.assertIsNone(restore.poll())
                        time.sleep(0.001)
                    pid = restore.pid if name == "oplog-restore" else self.processes(restore).get(name)
                    below = base.processes_below(restore.pid)
                    os.kill(pid, signal.SIGKILL)
                    _, err = restore.communicate(timeout=LIMIT)
                    if name == "oplog-restore":
                        self.assertEqual(restore.returncode, -signal.SIGKILL)
                        base.wait_for(lambda: not any(os.path.exists(f"/proc/{one}") for one in below), "the end of all processes")
                        continue
                    self.assertEqual(restore.returncode, 1, err)
                    said = f"{name}: ended by signal 9\n"
                    self.assertIn(said, err)
                    self.assertRegex(err.splitlines()[-1], f"^oplog-restore: {name} failed(, and mongorestore had begun)?; (the target is as it was|{A_PART})$")
                    if "as it was" in err:
                        self.assertNotIn("shop", base.target.client.list_database_names())
                    self.check_clean()
        self.empty_target()
        self.check_restored(expected)
        self.check_clean()

    def test_damage_that_shows_in_the_middle_is_no_restore(self):
        self.chain()
        damaging = self.folder / "tools"
        shutil.copytree(BIN, damaging, ignore=shutil.ignore_patterns("CMakeFiles"))
        (damaging / "oplog-chain").rename(damaging / "chain")
        for what in ("full/shop/c1.bson", "full/shop/large.bson", "inc/*/local/oplog.rs.bson"):
            with self.subTest(what):
                script(damaging / "oplog-chain", f'"$(dirname "$0")"/chain "$@"; code=$?; if [ "$1" = verify ]; then for f in {self.directory}/2*/{what}; do cp $f {self.folder}/kept; '
                       f'truncate -s -10 $f; done; fi; exit $code')
                self.empty_target()
                _, err = self.restore("--method", "apply", expected=1, tool=damaging / "oplog-restore")
                self.assertRegex(err, r"(?m)^oplog-apply: \S*: offset \d+: document \d+: the stream ends inside a document")
                if what.startswith("inc"):
                    self.assertIn("the target is as it was", err)
                    self.assertNotIn("shop", base.target.client.list_database_names())
                else:
                    self.assertTrue(err.endswith(f"oplog-restore: oplog-apply failed, and mongorestore had begun; {A_PART}\n"), err)
                    for path in self.directory.glob(f"2*/{what}"):
                        shutil.copy(self.folder / "kept", path)
                self.check_clean()

    def test_a_target_that_goes_away_is_no_restore(self):
        self.chain()
        victim = Server(base.root / "victim", auth=True).wait()
        victim.client.admin.command("createUser", "restorer", pwd="r", roles=["restore"])
        restore = self.start("--target", f"127.0.0.1:{victim.port}", tool="oplog-restore")
        base.wait_for(lambda: "shop" in victim.client.list_database_names(), "the load", LIMIT)
        victim.process.kill()
        _, err = restore.communicate(timeout=LIMIT)
        self.assertEqual(restore.returncode, 1, err)
        self.assertTrue(err.endswith(f"oplog-restore: mongorestore failed; {A_PART}\n"), err)
        self.check_clean()

    def test_an_index_that_the_data_violates_is_no_restore(self):
        self.db.a.insert_many([{"_id": i, "n": i} for i in range(10)])
        self.db.a.create_index("n", unique=True)
        self.run_backup("full")
        self.db.a.drop_index("n_1")
        self.db.a.insert_one({"_id": 10, "n": 1})
        self.run_backup("inc")
        self.check_restored(self.source_state())
        metadata, = self.directory.glob("2*/full/shop/a.metadata.json")
        self.empty_target()
        self.shell(f"cp -r {metadata.parents[1]} full; oplog-apply -q --full full {next(iter(self.directory.glob('2*/inc/*')))} -o made")
        odd = self.folder / "made/shop/a.metadata.json"
        odd.write_text(odd.read_text().replace('"indexes":[', '"indexes":[{"v":{"$numberInt":"2"},"key":{"n":{"$numberInt":"1"}},"name":"n_1","unique":true},'))
        self.shell('oplog-apply -q --full made --archive -o - | mongorestore --uri "$TARGET" --archive', 1)


if __name__ == "__main__":
    sys.exit(main())

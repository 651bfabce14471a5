#!/usr/bin/env python3
"""oplog-restore --drill: what came back is compared with what was to be restored, and how it ended is on record."""
import json
import shutil
import unittest

from support import document, int32, string
from test_cluster_backup import Cluster

RESTORE = '#!/bin/sh\nfor last; do :; done\nmkdir -p {t}/dump && cp -R "$last/." {t}/dump && {then}\n'


class Drill(Cluster):
    def setUp(self):
        super().setUp()
        self.configure()
        self.t = self.servers / "t"
        (self.t / "dump").mkdir(parents=True)
        self.write("a", "dump/shop/a.bson", document(int32("_id", 1)) + document(int32("_id", 2)))
        self.write("a", "dump/shop/a.metadata.json", b'{"options":{},"indexes":[{"v":2,"key":{"_id":1},"name":"_id_"}],"collectionName":"a","type":"collection"}')
        self.write("a", "dump/admin/system.users.bson", document(string("_id", "admin.u")))
        self.write("a", "dump/admin/system.users.metadata.json", b'{"options":{},"indexes":[],"collectionName":"system.users","type":"collection"}')
        self.restores("true")
        self.run_tool("full")
        self.tick("a")
        self.run_tool("inc")

    def configure(self, **more):
        super().configure(**{"cluster": None, "db_host": "a", "full_method": "slice", **more})

    def restores(self, then):
        self.script("mongorestore", RESTORE.format(t=self.t, then=then))

    def drill(self, *arguments, **how):
        return self.run_tool("--drill", "--target", "t:1", *arguments, tool="oplog-restore", **how)

    def record(self):
        return json.loads((self.directory / "drills.jsonl").read_text().splitlines()[-1])

    def test_what_came_back_identical_is_on_record_and_in_status(self):
        self.assertNotIn("drill", self.run_tool("status"))
        said = self.drill()
        self.assertRegex(said, r"restored: the target stands at .*\ndrill: dumped again it is identical, byte for byte; the restore took \d+ s, all of it \d+ s\n")
        one = self.record()
        self.assertEqual((one["result"], one["chain"], one["ts"]), ("identical", self.status()["chains"][0]["id"], f"{self.second}:1"))
        self.assertEqual(self.status()["drill"], one)
        self.assertRegex(self.run_tool("status"), rf"(?m)^last drill: {one['startedTime']}: chain {one['chain']} at {self.second}:1 {one['time']}: identical after {one['seconds']} s$")
        self.assertEqual([path.name for path in self.directory.glob(".oplog-restore.*")], [])

    def test_what_the_target_has_of_its_own_users_is_no_difference_and_one_that_is_missing_is(self):
        users = self.t / "dump/admin/system.users.bson"
        self.script("own", f"#!/bin/sh\ncat {self.folder}/user >>{users}\n")
        (self.folder / "user").write_bytes(document(string("_id", "admin.restorer")))
        self.restores(f"{self.tools}/own")
        self.drill()
        self.restores(f"true >{users}")
        users.unlink()
        self.assertIn('what came back is not what was to be restored: "ns":"admin.system.users","_id":"admin.u"', self.drill("--force", expected=21))

    def test_a_user_whom_the_target_has_already_stays_as_he_is(self):
        self.write("t", "dump/admin/system.users.bson", document(string("_id", "admin.u"), string("db", "admin")))
        self.write("t", "dump/admin/system.users.metadata.json", b'{"options":{},"indexes":[],"collectionName":"system.users","type":"collection"}')
        users = self.t / "dump/admin/system.users.bson"
        shutil.copy(users, self.folder / "own")
        self.restores(f"cp {self.folder}/own {users}")
        self.drill()

    def test_differences_are_said_and_exit_with_21(self):
        self.restores(f"head -c 14 {self.t}/dump/shop/a.bson >{self.t}/half && mv {self.t}/half {self.t}/dump/shop/a.bson")
        self.assertIn("changed shop.a: 1 document removed", self.drill(expected=21))
        one = self.record()
        self.assertEqual((one["result"], one["reason"]), ("different", "what came back is not what was to be restored: changed shop.a: 1 document removed"))
        self.assertIn(": different after ", self.run_tool("status"))
        self.configure(metrics_file=self.folder / "oplog.prom")
        self.run_tool("inc")
        self.assertRegex((self.folder / "oplog.prom").read_text(), r'\noplog_backup_drill_ok\{directory="[^"]*"\} 0\n')

    def test_a_drill_that_failed_is_on_record(self):
        self.restores("exit 1")
        self.drill(expected=1)
        self.assertEqual((self.record()["result"], self.record()["reason"]), ("failed", "mongorestore failed; the target holds a part of the backup: drop that before the next try"))
        before = (self.directory / "drills.jsonl").read_text()
        self.drill("--method", "nonsense", expected=2)
        dry = self.drill("--dry-run")
        self.assertRegex(dry, r"(?m)^\S*mongodump .*--out \S*redumped \noplog-diff --exit-code ")
        self.assertEqual((self.directory / "drills.jsonl").read_text(), before)

    def test_a_line_that_was_cut_off_is_said_and_spoils_no_other(self):
        self.drill()
        whole = self.record()
        with (self.directory / "drills.jsonl").open("a") as file:
            file.write('{"started":"2021')
        drill = self.status()["drill"]
        self.assertEqual((drill["result"], drill["reason"]), ("unreadable", "line 2 of drills.jsonl is no record of a drill"))
        self.drill("--force")
        self.assertEqual(self.status()["drill"], self.record())
        self.assertEqual(len((self.directory / "drills.jsonl").read_text().splitlines()), 3)

    def test_what_is_replayed_is_compared_with_what_oplog_apply_makes(self):
        self.drill("--method", "replay")
        self.assertEqual(self.record()["result"], "identical")

    def test_a_part_is_no_drill(self):
        for part in (("--ns", "shop.a"), ("--exclude-ns", "shop.b"), ("--rename", "shop.a=shop.b")):
            self.assertIn("--drill compares all of a backup", self.drill(*part, expected=2))
        self.assertFalse((self.directory / "drills.jsonl").exists())

    def test_in_chinese(self):
        self.configure(lang="zh")
        self.assertRegex(self.drill(), r"演练成功: 重新导出的数据与备份逐字节一致,恢复耗时\d+秒,共\d+秒\n")


class OfACluster(Cluster):
    def test_all_members_come_back_as_one(self):
        self.write("a", "dump/shop/a.bson", document(int32("_id", 1)))
        self.write("a", "dump/shop/a.metadata.json", b'{"options":{},"indexes":[{"v":2,"key":{"_id":1},"name":"_id_"}],"collectionName":"a","type":"collection"}')
        (self.servers / "t/dump").mkdir(parents=True)
        self.script("mongorestore", RESTORE.format(t=self.servers / "t", then="true"))
        self.run_tool("full")
        self.run_tool("--drill", "--target", "t:1", tool="oplog-restore")
        status = self.status()
        self.assertEqual([status["drill"][key] for key in ("result", "chain", "ts")], ["identical", status["clusters"][0]["id"], f"{self.second}:1"])


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""oplog-backup and oplog-restore of a real sharded cluster whose members ask for a log-in, each with users of its own; and of time series in it.

    OPLOG_BIN=build/release/tools MONGO_TOOLS_BIN=/usr/bin test_guarded_cluster.py
"""

import shutil
import unittest

import test_cluster
from test_cluster import Backup, stamp

import bson

UNAUTHORISED = 12
PASSWORD = "p@ss:w/rd"
MORE = [{"resource": {"db": "config", "collection": "system.sharding_ddl_coordinators"}, "actions": ["find"]}]


def setUpModule():
    test_cluster.begin(auth=True)
    for server in test_cluster.cluster.servers.values():
        server.client.admin.command("createUser", "backup", pwd=PASSWORD, roles=["backup"])
    test_cluster.cluster.servers["config"].client.app.command("createUser", "clerk", pwd="secret", roles=["readWrite"])
    test_cluster.target.client.admin.command("createUser", "restorer", pwd=PASSWORD, roles=["restore"])


class Guarded(Backup):
    def configure(self, **more):
        (self.folder / "restore.password").write_text(PASSWORD + "\n")
        (self.folder / "restore.password").chmod(0o600)
        super().configure(**{"db_user": "backup", "db_pwd": PASSWORD, "restore_user": "restorer", "restore_pwd_file": self.folder / "restore.password", **more})
        self.config.chmod(0o600)

    def test_1_each_member_has_a_user_of_its_own(self):
        cluster = test_cluster.cluster
        self.assertRegex(self.backup("check", expected=UNAUTHORISED)[0], r"(?m)^sh0: bad: .*clusterBackup")  # where there has been such an operation
        self.grant()
        self.backup("check")
        shard = cluster.servers["sh1"].client.admin
        shard.command("updateUser", "backup", pwd="another")
        self.assertIn("these members failed: sh1\n", self.backup("full", expected=UNAUTHORISED)[1])
        shard.command("updateUser", "backup", pwd=PASSWORD)
        self.backup("full")
        at, expected = test_cluster.transfer()
        self.backup("inc")
        self.backup("verify")
        self.check_restored(expected, "--to", stamp(at))
        users = test_cluster.target.client.app.command("usersInfo")["users"]
        self.assertEqual([user["user"] for user in users], ["clerk"])

    def grant(self):
        for server in test_cluster.cluster.servers.values():
            if not server.client.admin.command("rolesInfo", "clusterBackup")["roles"]:
                server.client.admin.command("createRole", "clusterBackup", roles=["backup"], privileges=MORE)
                server.client.admin.command("grantRolesToUser", "backup", roles=["clusterBackup"])

    def test_2_a_time_series_with_chunks_away_from_the_primary_shard(self):
        self.grant()
        restore = ("--target", f"127.0.0.1:{test_cluster.target.port}")
        self.make_series("series")
        self.move("series", "sh1")
        lacking = "collection app.series: shard sh1 owns chunks of it, and its chain has no buckets"
        self.assertIn(lacking, self.backup("full", expected=1)[1])
        self.backup("inc")
        self.assertIn(lacking, self.backup("verify", expected=test_cluster.UNVERIFIED)[1])
        test_cluster.target.client.drop_database("app")
        self.assertIn(lacking, self.finish(self.start(*restore, tool="oplog-restore"), 1)[1])
        self.check_restored(None, "--exclude-ns", "app.series")

        self.move("series", "sh0")
        self.make_series("other")
        self.configure(dbbak_dir=self.folder / "whole")
        self.backup("full")
        self.move("other", "sh1")
        at, _ = test_cluster.transfer()
        self.backup("inc")
        self.backup("verify")
        self.check_restored(None)
        for name in ("series", "other"):
            self.assertEqual(test_cluster.target.client.app[name].count_documents({}), 9)
        self.move("series", "sh1")  # which had the collection when it was dumped, with whatever was left in it
        test_cluster.transfer()
        self.backup("inc")
        self.assertIn(lacking, self.backup("verify", expected=test_cluster.UNVERIFIED)[1])
        self.check_restored(None, "--to", stamp(at))
        test_cluster.target.client.drop_database("app")
        self.assertIn("series is not in the full dump", self.finish(self.start(*restore, tool="oplog-restore"), 1)[1])
        self.check_restored(None, "--exclude-ns", "app.series")
        self.assertEqual(test_cluster.target.client.app.other.count_documents({}), 9)

    @unittest.skipUnless(test_cluster.MONGOSH, "no mongosh to be had")
    def test_3_mongosh_logs_in_to_ask_for_an_entry(self):
        self.grant()
        shutil.copytree(test_cluster.tools, self.folder / "tools")
        (self.folder / "tools/mongosh").symlink_to(test_cluster.MONGOSH)
        self.configure(mongo_home=self.folder / "tools", dbbak_dir=self.folder / "other")
        cluster = test_cluster.cluster
        self.backup("full")
        cluster.on("config").command("admin", {"appendOplogNote": 1, "data": {"msg": "later than those of the shards"}})
        self.backup("inc")
        self.assertTrue(any(b"oplog-backup" in entry for shard in cluster.shards for entry in cluster.oplog(shard)))

    def make_series(self, name):
        """With nine buckets of one measurement each."""
        test_cluster.cluster.shard(f"app.{name}", {"m": 1}, timeseries={"timeField": "t", "metaField": "m"})
        begin = {"t": bson.datetime_ms.DatetimeMS(0)}
        bucket = {"control": {"version": 1, "min": begin, "max": begin}, "data": {"t": {"0": begin["t"]}}}
        test_cluster.cluster.router().insert(f"app.system.buckets.{name}", *({"_id": bson.ObjectId(), **bucket, "meta": number} for number in range(9)))

    def move(self, name, shard):
        test_cluster.cluster.move(f"app.system.buckets.{name}", {"meta": bson.MinKey()}, shard, wait=True)


if __name__ == "__main__":
    unittest.main(warnings="ignore")

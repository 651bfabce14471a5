#!/usr/bin/env python3
"""oplog-backup and oplog-restore of a sharded cluster, with a stand-in for mongodump that has an oplog and a dump for each member."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from schema import checked
from support import BIN, ENVIRONMENT, document, entry, field, string

MONGODUMP = r"""#!{python} -IS
import os, sys
root = {root!r}
options, rest = {{}}, sys.argv[1:]
while rest:
    one = rest.pop(0)
    if one in ("--config", "--uri", "--db", "--collection", "--query", "--out"): options[one] = rest.pop(0)
    elif one == "--version": sys.exit(print("mongodump version: 100.0.0"))
    else: assert one in ("--archive", "-vvv", "--gzip"), one
with open(root + "/calls", "a") as calls: print(*sys.argv[1:], file=calls)
member = root + "/" + options["--uri"].partition("://")[2].rpartition("@")[2].partition(":")[0]
if not os.path.exists(member): sys.exit("mongodump: server selection error")
if "--collection" not in options:
    if "--out" not in options: sys.exit(sys.stdout.buffer.write(b"\x6d\xe2\x99\x81\x05\0\0\0\0\xff\xff\xff\xff") and 0)  # an archive of nothing
    import shutil
    sys.exit(shutil.copytree(member + "/dump", options["--out"], dirs_exist_ok=True) and 0)
name = options["--db"] + "." + options["--collection"]
if not os.path.exists(member + "/" + name + ".bson"): sys.exit(print("namespace with DB", name, "does not exist", file=sys.stderr))
with open(member + "/" + name + ".bson", "rb") as file: data = file.read()
if data == b"forbidden": sys.exit("Failed: not authorized on config to execute command")
number = lambda text, key: int(text.split('"' + key + '":')[1].split(",")[0].split("}}")[0])
def fits(document):
    i = document.index(b"\x11ts\0") + 4
    ts = int.from_bytes(document[i:i + 8], "little")
    for op in ("gte", "lte", "lt"):
        _, found, value = options.get("--query", "").partition('"$' + op + '":')
        bound = found and (number(value, "t") << 32) + number(value, "i")
        if found and not (ts >= bound if op == "gte" else ts <= bound if op == "lte" else ts < bound): return False
    return True
if name == "local.oplog.rs":
    documents = []
    while data:
        size = int.from_bytes(data[:4], "little")
        documents.append(data[:size])
        data = data[size:]
    data = b"".join(filter(fits, documents))
if options["--out"] == "-": sys.exit(sys.stdout.buffer.write(data) and 0)
out = options["--out"] + "/" + options["--db"]
os.makedirs(out, exist_ok=True)
with open(out + "/" + options["--collection"] + ".bson", "wb") as file: file.write(data)
with open(out + "/" + options["--collection"] + ".metadata.json", "w") as file: file.write('{{"options":{{}},"indexes":[]}}')
with open(out + "/prelude.json", "w") as file: file.write("{{}}")
"""
CLUSTER_ID = field(7, "clusterId", b"c" * 12)


class Cluster(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.servers = self.folder / "servers"
        self.directory = self.folder / "dbbak"
        self.tools = self.folder / "tools"
        self.servers.mkdir()
        self.tools.mkdir()
        self.script("mongodump", MONGODUMP.format(python=sys.executable, root=str(self.servers)))
        self.script("mongorestore", f'#!/bin/sh\necho mongorestore "$@" >>"{self.servers}/calls"\n')
        self.second = int(time.time()) - 5
        self.shards = {}
        self.add_member("cfg", None)
        self.add_member("a", "sh0")
        self.add_member("b", "sh1")
        self.tick()
        self.configure()

    def script(self, name, text):
        (self.tools / name).write_text(text)
        (self.tools / name).chmod(0o755)

    def add_member(self, host, shard):
        """A server with one entry in its oplog."""
        self.write(host, "dump/admin/system.version.bson", document(string("_id", "shardIdentity"), string("shardName", shard), CLUSTER_ID) if shard else b"")
        self.write(host, "dump/admin/system.version.metadata.json", b'{"options":{},"indexes":[]}')
        if shard:
            self.shards[shard] = host
        self.list_shards()
        self.tick(host)

    def list_shards(self):
        shards = b"".join(document(string("_id", shard), string("host", f"{shard}/{host}:27018")) for shard, host in self.shards.items())
        self.write("cfg", "config.shards.bson", shards)
        self.write("cfg", "dump/config/shards.bson", shards)
        self.write("cfg", "dump/config/shards.metadata.json", b'{"options":{},"indexes":[]}')
        self.write("cfg", "dump/config/version.bson", document(string("_id", "1"), CLUSTER_ID))
        self.write("cfg", "dump/config/version.metadata.json", b'{"options":{},"indexes":[]}')

    def write(self, host, name, data):
        path = self.servers / host / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def tick(self, *hosts):
        """One more entry in the oplogs of these, or all."""
        self.second += 1
        for host in hosts or ("cfg", *self.shards.values()):
            path = self.servers / host / "local.oplog.rs.bson"
            old = path.read_bytes() if path.exists() else b""
            path.write_bytes(old + entry(self.second, 1, self.second, op="n"))

    def configure(self, **more):
        self.config = self.folder / "config.ini"
        values = {"db_host": "cfg", "cluster": "yes", "dbbak_dir": self.directory, "mongo_home": self.tools, "lang": "en", **more}
        self.config.write_text("[default]\n" + "".join(f"{key} = {value}\n" for key, value in values.items() if value is not None))
        self.config.chmod(0o600)

    def run_tool(self, *arguments, expected=0, tool="oplog-backup", path=None, stderr=subprocess.PIPE, **environment):
        done = subprocess.run([BIN / tool, "-c", self.config, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False, timeout=120,
                              env={**ENVIRONMENT, "OPLOG_BACKUP_RETRY_SECONDS": "0", **({"PATH": path} if path else {}), **environment})
        text = done.stdout + (done.stderr or "")
        self.assertEqual(done.returncode, expected, text)
        self.out = done.stdout
        return text

    def status(self):
        self.run_tool("status", "--json")
        return checked("status", self.out)

    def chains(self, member):
        return sorted(path.name for path in (self.directory / member).glob("2*"))


class Rounds(Cluster):
    def test_each_member_has_a_chain_and_all_reach_one_time(self):
        self.run_tool("inc", expected=10)
        self.run_tool("full")
        self.tick("cfg")
        self.tick("b")
        self.tick()
        self.run_tool("inc")
        one, = self.status()["clusters"]
        end = f"{self.second}:1"
        self.assertEqual((one["state"], one["last"], one["common"], one["increments"]), ("open", end, end, 1))
        self.assertEqual([(member["name"], member["server"], member["chain"]["increments"]) for member in one["members"]],
                         [("config", "", 2), ("sh0", "sh0/a:27018", 2), ("sh1", "sh1/b:27018", 2)])
        self.assertEqual(sorted(path.name for path in self.directory.iterdir() if not path.name.startswith(".")),
                         sorted([f"{one['id']}.cluster.json", "config", "dbbak.log", "sh0", "sh1"]))
        verified = self.run_tool("verify")
        self.assertRegex(verified, rf"(?m)^sh1/{self.chains('sh1')[0]}  ok$")
        self.assertIn("its members are a whole cluster", verified)
        self.assertIn("sh1: Mongodb incremental backup 2 succeeded", (self.directory / "dbbak.log").read_text())
        self.assertIn(f"restorable: {self.status()['windows'][0]['first']} ", self.run_tool("status"))
        listed = self.run_tool("--list", tool="oplog-restore")
        self.assertRegex(listed, rf"CLUSTER.*\n{one['id']} .*{end} ")

    def test_coordinators_are_in_the_full_backup(self):
        self.write("a", "config.transaction_coordinators.bson", document(string("_id", "t")))
        self.write("a", "config.system.sharding_ddl_coordinators.bson", document(string("_id", "d")))
        self.run_tool("full")
        found = {path.name for path in self.directory.glob("sh0/*/full/config/*.bson")}
        self.assertEqual(found, {"transaction_coordinators.bson", "system.sharding_ddl_coordinators.bson"})

    def test_buckets_that_mongodump_does_not_dump_are_named(self):
        """A sharded time series with chunks elsewhere than on its database's primary shard: the rest goes on, and does not pass for whole."""
        series = field(5, "uuid", struct.pack("<i", 16) + b"\x04" + b"s" * 16)
        for name, data in (("collections", document(string("_id", "app.system.buckets.t"), series)),
                           ("chunks", document(string("_id", "1"), series, string("shard", "sh1")))):
            self.write("cfg", f"dump/config/{name}.bson", data)
            self.write("cfg", f"dump/config/{name}.metadata.json", b'{"options":{},"indexes":[]}')
        lacking = "collection app.t: shard sh1 owns chunks of it, and its chain has no buckets"
        self.configure(keep_chains=1)
        said = self.run_tool("full", expected=1)
        self.assertIn(lacking, said)
        self.assertNotIn("succeeded", self.out.splitlines()[-1])
        self.tick()
        self.run_tool("inc")
        self.assertIn("is not whole", self.run_tool("synthesize", expected=1))
        self.assertIn(lacking, self.run_tool("verify", expected=21))
        self.assertEqual([one["increments"] for one in self.status()["clusters"]], [2, 0])  # none was dropped

    def test_the_cycle_is_of_the_cluster(self):
        self.configure(time_interval="1s", increments=1)
        self.run_tool("run")
        self.assertEqual(self.status()["clusters"][0]["increments"], 1)
        self.configure(time_interval="1s", increments=1, keep_chains=1)
        self.tick()
        self.run_tool("full")
        self.assertEqual([len(self.chains(member)) for member in ("config", "sh0", "sh1")], [1, 1, 1])
        self.assertEqual(len(self.status()["clusters"]), 1)

    def test_old_chains_go_on_until_new_ones_begin(self):
        self.run_tool("full")
        self.tick("b")
        self.tick()
        self.run_tool("full")
        old, new = self.status()["clusters"]
        self.assertLessEqual(new["first"], old["last"])
        self.assertEqual(len(self.status()["windows"]), 1)
        self.run_tool("verify")

    def test_check_and_what_would_be_done_name_the_member(self):
        self.configure(time_interval="1s")
        self.assertIn("sh1: ok: roles", self.run_tool("check"))
        self.assertRegex(self.run_tool("full", "--dry-run"), r"(?m)^sh0:   .*mongodump .*replicaSet=sh0.* --out .*/dbbak/sh0/.*/full'?$")
        self.assertFalse(self.directory.exists())

    def test_a_synthesized_backup_is_one_of_every_member(self):
        self.run_tool("synthesize", expected=10)
        self.run_tool("full")
        self.tick()
        self.run_tool("inc")
        self.tick()
        self.run_tool("synthesize")
        old, new = self.status()["clusters"]
        self.assertEqual([member["chain"]["steps"][0]["madeOf"] for member in new["members"]], [member["chain"]["id"] for member in old["members"]])
        self.assertLessEqual(new["first"], old["last"])
        self.run_tool("verify")


class Failures(Cluster):
    def test_a_member_that_cannot_be_reached_is_named_and_the_others_go_on(self):
        self.run_tool("full")
        self.tick()
        (self.servers / "b").rename(self.servers / "gone")
        said = self.run_tool("inc", expected=1)
        self.assertIn("these members failed: sh1\n", said)
        self.assertRegex(said, rf"not every member reaches {self.second}:1 .*: sh1 \(its chain ends at ")
        one, = self.status()["clusters"]
        self.assertEqual([(member["holdsBack"], member["chain"]["increments"]) for member in one["members"]], [(False, 2), (False, 2), (True, 1)])
        self.assertIn("held back by: sh1, whose chain ends at", self.run_tool("status"))
        (self.servers / "gone").rename(self.servers / "b")
        self.run_tool("inc")
        one, = self.status()["clusters"]
        self.assertEqual((one["last"], [member["holdsBack"] for member in one["members"]]), (f"{self.second}:1", [False] * 3))

    def test_config_servers_that_are_away_do_not_keep_shards_from_going_on(self):
        self.run_tool("full")
        self.tick()
        (self.servers / "cfg").rename(self.servers / "gone")
        self.assertIn("these members failed: config\n", self.run_tool("inc", expected=1))
        self.assertEqual([member["chain"]["increments"] for member in self.status()["clusters"][0]["members"]], [1, 2, 2])

    def test_a_full_backup_goes_on_from_what_a_failed_one_has(self):
        (self.servers / "b").rename(self.servers / "gone")
        self.run_tool("full", expected=1)
        first = self.chains("config")
        self.assertEqual((len(first), self.status().get("clusters")), (1, None))
        (self.servers / "gone").rename(self.servers / "b")
        self.run_tool("full")
        self.assertEqual((self.chains("config"), len(self.chains("sh1"))), (first, 1))
        self.tick()
        self.run_tool("full")  # those have been used
        self.assertEqual(len(self.chains("config")), 2)

    def test_a_role_that_one_member_lacks_is_named_with_what_it_takes(self):
        self.configure(time_interval="1s")
        self.write("b", "config.system.sharding_ddl_coordinators.bson", b"forbidden")
        for command in ("check", "full"):
            self.assertRegex(self.run_tool(command, expected=12), r'sh1: .*role.*createRole\(\{role: "clusterBackup".*grantRolesToUser\("USER", \["clusterBackup"\]\)')
        self.assertEqual((len(self.chains("sh0")), self.chains("sh1")), (1, []))

    def test_a_gap_in_one_chain_needs_a_new_full_backup_of_all(self):
        self.run_tool("full")
        (self.servers / "b/local.oplog.rs.bson").unlink()
        self.tick()
        self.assertIn("these members failed: sh1\n", self.run_tool("inc", expected=20))
        self.assertEqual(self.status()["clusters"][0]["state"], "closed: gap")
        self.assertIn("cannot be continued (closed: gap)", self.run_tool("inc", expected=10))
        self.run_tool("full")
        self.assertEqual([one["state"] for one in self.status()["clusters"]], ["closed: gap", "open"])
        (self.servers / "b/local.oplog.rs.bson").unlink()
        self.tick()
        self.configure(on_gap="full")
        self.run_tool("inc", expected=20)
        self.assertEqual([one["state"] for one in self.status()["clusters"]], ["closed: gap", "closed: gap", "open"])

    def test_what_a_failed_full_backup_has_left_is_redone_where_the_oplog_reaches_it_no_more(self):
        moved = self.servers / "away"
        (self.servers / "b").rename(moved)
        self.run_tool("full", expected=1)
        moved.rename(self.servers / "b")
        for host in ("cfg", "a"):
            (self.servers / host / "local.oplog.rs.bson").unlink()
        self.tick()
        self.assertRegex(self.run_tool("full"), "these members failed: (config, sh0|sh0, config)\n")
        self.assertEqual([one["state"] for one in self.status()["clusters"]], ["open"])
        self.run_tool("verify")

    def test_no_chain_is_dropped_whose_record_is_damaged_or_lost(self):
        """The records are the oldest, a pinned one and the newest."""
        for _ in range(3):
            self.tick()
            self.run_tool("full")
        records = sorted(self.directory.glob("*.cluster.json"))
        chains = {member: self.chains(member) for member in ("config", "sh0", "sh1")}
        self.run_tool("pin", records[1].name.removesuffix(".cluster.json"))
        self.configure(keep_chains=3)
        for record in records:
            text = record.read_bytes()
            for damage in (lambda: record.write_bytes(text[:-30]), lambda: record.write_bytes(b""), *([record.unlink] if record == records[1] else [])):
                with self.subTest(record=records.index(record)):
                    damage()
                    self.run_tool("prune")
                    self.assertEqual({member: self.chains(member) for member in chains}, chains)
                    record.write_bytes(text)
                    self.run_tool("verify")
        records[0].unlink()  # then its chains are as those that a failed run has left, which are named
        said = self.run_tool("prune", "--dry-run")
        for member in chains:
            self.assertIn(f"{member}/{chains[member][0]} ", said)
        self.assertEqual({member: self.chains(member) for member in chains}, chains)
        self.assertEqual(self.run_tool("prune").splitlines(), said.splitlines())
        self.assertEqual({member: self.chains(member) for member in chains}, {member: names[1:] for member, names in chains.items()})

    def test_what_is_lost_or_changed_is_found(self):
        self.run_tool("full")
        record, = self.directory.glob("*.cluster.json")
        text = record.read_text()
        record.write_text(text.replace("sh0/a", "sh0/b"))
        self.assertIn("its SHA-256 is not the one", self.run_tool("verify", expected=21))
        self.run_tool("inc", expected=10)
        self.assertIn("damaged", self.run_tool("status"))
        record.write_text(text)
        self.run_tool("verify")
        shutil.move(self.directory / "sh0", self.folder / "sh0")
        self.assertRegex(self.run_tool("verify", expected=21), r"(?m)^\S+  BAD: sh0: ")
        shutil.copytree(self.directory / "sh1", self.directory / "sh0")
        self.run_tool("verify", expected=21)
        shutil.rmtree(self.directory / "sh0")
        shutil.copytree(self.folder / "sh0", self.directory / "sh0")
        self.run_tool("verify")

    def test_chains_whose_record_is_lost_are_named(self):
        self.run_tool("full")
        for record in self.directory.glob("*.cluster.json"):
            record.unlink()
        unnamed = f"{self.directory}: no record of a cluster's backup, but chains in {self.directory}/config, {self.directory}/sh0, {self.directory}/sh1"
        for command, code in (("status", 0), ("list", 0), ("verify", 21)):
            done = subprocess.run([BIN / "oplog-chain", command, self.directory], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, unnamed in done.stderr), (code, True), done.stderr)

    def test_a_shard_under_the_name_of_another_is_no_whole_cluster(self):
        self.shards = {"sh0": "a", "sh1": "a"}
        self.list_shards()
        self.assertIn("given twice", self.run_tool("full", expected=1))
        self.assertIn("given twice", self.run_tool("verify", expected=21))

    def test_no_whole_backup_is_dropped_for_one_that_is_not(self):
        self.run_tool("full")
        self.shards = {"sh0": "a", "sh1": "a"}
        self.list_shards()
        self.configure(keep_chains=1)
        self.assertIn("is not whole", self.run_tool("full", expected=1))
        for options in ((), ("--dry-run",)):
            self.assertIn("is not whole", self.run_tool("prune", *options, expected=1))
        self.assertEqual([len(self.chains(member)) for member in ("config", "sh0", "sh1")], [2, 2, 2])
        self.shards = {"sh0": "a", "sh1": "b"}
        self.list_shards()
        self.run_tool("full")
        self.assertEqual([len(self.chains(member)) for member in ("config", "sh0", "sh1")], [1, 1, 1])
        self.run_tool("verify")

    def test_directories_of_a_cluster_and_of_one_source_are_not_mixed(self):
        self.run_tool("full")
        self.configure(cluster=None)
        self.assertIn("cluster = yes is missing", self.run_tool("inc", expected=2))
        self.assertIn("cluster = yes is missing", self.run_tool("--target", "t:1", "--dry-run", tool="oplog-restore", expected=2))
        self.configure(dbbak_dir=self.directory / "sh0")
        self.assertIn("a dbbak_dir of its own", self.run_tool("inc", expected=2))

    def test_a_server_without_shards_is_none_of_config_servers(self):
        self.shards = {}
        self.list_shards()
        self.assertIn("config.shards has no shards", self.run_tool("full", expected=1))


class Members(Cluster):
    def test_a_new_shard_begins_a_new_backup_of_the_cluster(self):
        self.run_tool("full")
        self.tick()
        self.add_member("c", "sh 2")
        self.tick()
        self.assertIn("the shard sh%202 is new", self.run_tool("inc"))
        old, new = self.status()["clusters"]
        self.assertEqual([member["name"] for member in new["members"]], ["config", "sh%202", "sh0", "sh1"])
        self.assertLessEqual(new["first"], old["last"])

    def test_a_new_shard_that_cannot_be_dumped_keeps_no_other_from_going_on(self):
        self.run_tool("full")
        self.tick()
        self.add_member("c", "sh2")
        (self.servers / "c").rename(self.servers / "gone")
        self.tick("cfg", "a", "b")
        self.assertIn("these members failed: sh2\n", self.run_tool("inc", expected=1))
        one, = self.status()["clusters"]
        self.assertEqual((one["last"], [member["chain"]["increments"] for member in one["members"]]), (f"{self.second}:1", [2, 2, 2]))
        (self.servers / "gone").rename(self.servers / "c")
        self.tick()
        self.run_tool("inc")
        self.assertEqual([len(one["members"]) for one in self.status()["clusters"]], [3, 4])
        self.assertEqual(len(self.chains("sh0")), 2)
        self.run_tool("verify")

    def test_a_removed_shard_has_a_last_increment(self):
        for reachable in (True, False):
            with self.subTest(reachable=reachable):
                self.configure(dbbak_dir=self.folder / f"dbbak{reachable}")
                self.directory = self.folder / f"dbbak{reachable}"
                self.shards["sh1"] = "b"
                self.list_shards()
                self.tick()
                self.run_tool("full")
                before = self.second
                del self.shards["sh1"]
                self.list_shards()
                self.tick("cfg", "a", "b")
                removed = self.second
                if not reachable:
                    (self.servers / "b").rename(self.servers / "gone")
                self.assertIn("the shard sh1 is no member any more", self.run_tool("inc"))
                self.tick("cfg", "a")
                self.run_tool("inc")
                one, = self.status()["clusters"]
                self.assertEqual({member["name"]: member["chain"]["increments"] for member in one["members"]}, {"config": 3, "sh0": 3, "sh1": 1 + reachable})
                self.assertEqual((one["state"], one["last"]), ("open", f"{self.second}:1"))
                windows = [(each["first"], each["last"]) for each in self.status()["windows"]]
                self.assertEqual(windows, [(one["first"], one["last"])] if reachable else
                                 [(one["first"], f"{before}:1"), (f"{removed}:1", one["last"])])
                if not reachable:
                    (self.servers / "gone").rename(self.servers / "b")

    def test_how_members_are_reached(self):
        self.configure(db_host=None, uri="mongodb://cfg:27019/?tls=true&directConnection=true", db_user="u", db_pwd="p")
        self.run_tool("full")
        calls = (self.servers / "calls").read_text()
        self.assertIn("--uri mongodb://u@a:27018/?tls=true&replicaSet=sh0&authSource=admin", calls.replace("&serverSelectionTimeoutMS=10000", ""))
        self.assertNotIn("u:p@", calls)
        (self.servers / "calls").unlink()
        (self.servers / "a").rename(self.servers / "sh0")
        (self.servers / "b").rename(self.servers / "sh1")
        self.configure(member_uri="mongodb://{member}:1/?directConnection=true&was={set}&at={hosts}")
        self.tick("cfg", "sh0", "sh1")
        self.run_tool("inc")
        self.assertIn("--uri mongodb://sh1:1/?directConnection=true&was=sh1&at=b:27018", (self.servers / "calls").read_text())


class Restores(Cluster):
    def setUp(self):
        super().setUp()
        (self.servers / "t").mkdir()
        self.run_tool("full")
        self.tick()
        self.run_tool("inc")

    def restore(self, *arguments, **how):
        (self.servers / "calls").unlink(missing_ok=True)
        said = self.run_tool("--target", "t:1", "--force", *arguments, tool="oplog-restore", **how)
        calls = (self.servers / "calls").read_text().splitlines() if (self.servers / "calls").exists() else []
        return said, [call.split(" ")[0] for call in calls if not call.startswith("--config")]

    def test_a_replica_set_gets_one_dump(self):
        said, calls = self.restore()
        self.assertEqual(calls, ["mongorestore"])
        self.assertRegex(said, rf"restored: the target stands at {self.second}:1 \(.*Z\), chain {self.status()['clusters'][0]['id']}\n")
        self.assertRegex(self.restore("--to", f"{self.second - 1}:1")[0], rf"stands at {self.second - 1}:1 ")
        self.restore("--to", f"{self.second + 60}:1", expected=10)
        self.assertIn("no collection of the backup matches", self.restore("--ns", "no.such", expected=10)[0])
        self.assertIn("not restored by a replay", self.restore("--method", "replay", expected=2)[0])
        self.assertEqual(self.restore("--dry-run")[1], [])

    def test_the_collections_of_a_mongos_are_sharded_before_the_load(self):
        self.write("t", "config.shards.bson", document(string("_id", "other")))
        nowhere = ":".join(str(path) for path in (BIN, "/usr/bin", "/bin"))
        said, calls = self.restore(path=nowhere)
        self.assertEqual(calls, ["mongorestore"])
        self.assertIn("mongosh is missing", said)
        self.assertIn("// Shards the collections of this dump", said)
        self.script("mongosh", f'#!/bin/sh\necho mongosh "$@" >>"{self.servers}/calls"\nfor last; do :; done; cp "$last" "{self.servers}/script"\n')
        said, calls = self.restore()
        self.assertEqual(calls, ["mongosh", "mongorestore"])
        self.assertIn("the target's balancer is off; in mongosh: sh.startBalancer()\n", said)
        self.assertRegex((self.servers / "script").read_text(), r'\Adb = connect\("mongodb://t:1/.*"\);\n// Shards the collections')
        self.script("mongosh", "#!/bin/sh\nexit 1\n")
        self.assertEqual(self.restore(expected=1)[1], [])
        self.write("t", "local.oplog.rs.bson", entry(1))
        self.assertIn("name its mongos", self.restore(expected=2)[0])

    def test_the_chain_of_a_shard_that_left_is_given_too(self):
        del self.shards["sh1"]
        self.list_shards()
        self.tick("cfg", "a")
        self.run_tool("inc")
        dry, _ = self.restore("--dry-run")
        self.assertRegex(dry, "(?m)^oplog-gather .*/config/.* .*/sh0/.* .*/sh1/")


if __name__ == "__main__":
    unittest.main()

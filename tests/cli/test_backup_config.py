#!/usr/bin/env python3
"""The configuration of oplog-backup and oplog-restore: what is accepted, and what an error says."""
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
import unittest

from support import BIN, ENVIRONMENT

SAMPLE = pathlib.Path(os.environ["OPLOG_SOURCE"]) / "tools" / "config.ini"
BASE = {"db_host": "127.0.0.1", "db_port": "28018", "db_user": "root", "db_pwd": "xxxxx", "db_authdb": "admin", "time_interval": "3",
        "mongo_home": "/mongodb/bin/", "dbbak_dir": "/mongodb/backup/dbbak/"}


class Config(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.path = self.folder / "config.ini"

    def write(self, text, mode=0o600):
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.path.chmod(mode)

    def settings_of(self, changes=(), **more):
        values = {**BASE, **dict(changes), **more}
        self.write("[default]\n" + "".join(f"{key} = {value}\n" for key, value in values.items() if value is not None))

    def run_chain(self, *arguments, stdin="", **environment):
        return subprocess.run([BIN / "oplog-chain", *arguments], input=stdin, capture_output=True, text=True, check=False,
                              env={**ENVIRONMENT, **environment}, timeout=20)

    def settings(self, *arguments, **how):
        done = self.run_chain("config", self.path, *arguments, **how)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return dict(part.split("=", 1) for part in shlex.split(done.stdout) if "=" in part)

    def login(self, *arguments, **how):
        done = self.run_chain("login", self.path, *arguments, **how)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def refused(self, message, *arguments, **how):
        done = self.run_chain("config", self.path, *arguments, **how)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(done.stderr, f"oplog-chain: {self.path}: {message}\n")

    def test_an_existing_file_works(self):
        self.settings_of()
        values = self.settings(LC_ALL="zh_CN.UTF-8")
        self.assertEqual(values["uri"], "mongodb://root@127.0.0.1:28018/?directConnection=true&authSource=admin&serverSelectionTimeoutMS=10000")
        self.assertEqual(values["oplog_uri"], values["uri"] + "&readConcernLevel=majority")
        self.assertEqual([values[key] for key in ("interval", "interval_text", "increments", "whole_day", "lang", "log_file", "dbbak_dir", "on_gap")],
                         ["10800", "3小时", "7", "1", "zh", "/mongodb/backup/dbbak/dbbak.log", "/mongodb/backup/dbbak", "stop"])
        self.assertEqual(self.login(), 'password: "xxxxx"\n')

    def test_the_login_is_among_the_settings_only_when_it_is_asked_for(self):
        self.settings_of(db_pwd="it's $(a) \"secret\"")
        self.assertNotIn("secret", "".join(self.settings().values()))
        self.assertEqual(self.settings("--with-login")["secret"] + "\n", self.login())

    def test_the_sample_is_valid_and_every_key_in_it_is_known(self):
        self.write(SAMPLE.read_text())
        self.settings()
        optional = [line[1:] for line in SAMPLE.read_text().splitlines() if line.startswith("#") and line[1:2] not in (" ", "")]
        keys = [line.split(" = ")[0] for line in optional]
        self.assertEqual(keys, ["uri", "db_pwd_file", "increments", "compact", "compress", "full_method", "keep_chains", "keep_days", "keep_weekly", "on_gap", "restore_user",
                                "restore_pwd_file", "log_file", "metrics_file", "copy_command", "on_event", "cluster", "member_uri", "lang", "extra_dump_args"])
        for line in optional:
            if not line.startswith(("uri", "db_pwd_file")):
                self.write(SAMPLE.read_text() + line + "\n" + ("cluster = yes\n" if line.startswith("member_uri") else ""))
                self.settings()

    def test_comments_are_whole_lines(self):
        self.write("# first\n; second\n[default]\r\n\r\n  db_user=root\ndb_pwd = a#b;c '\"$(x) \\ =:ä\ndbbak_dir: /b\n")
        self.assertEqual(self.login(), 'password: "a#b;c \'\\"$(x) \\\\ =:ä"\n')
        self.assertEqual(self.settings()["dbbak_dir"], "/b")

    def test_intervals(self):
        for text, seconds, said, zh in (("3", 10800, "3 hours", "3小时"), ("0.5", 1800, "0.5 hours", "0.5小时"), ("30m", 1800, "30 minutes", "30分钟"),
                                        ("2s", 2, "2 seconds", "2秒"), ("1.5h", 5400, "1.5 hours", "1.5小时"), ("1d", 86400, "1 day", "1天")):
            self.settings_of(time_interval=text)
            self.assertEqual([self.settings()[key] for key in ("interval", "interval_text")], [str(seconds), said])
            self.assertEqual(self.settings(LANG="zh_TW", LC_ALL="")["interval_text"], zh)
        for text in ("0", "-1", "x", "3x", "1..2", "40d", "0.0001", "1e3"):
            self.settings_of(time_interval=text)
            self.refused("line 7: time_interval is not a number of hours (3, 0.5) nor a time such as 30m, from a second to a month")

    def test_how_many_increments_fit_into_a_day(self):
        for interval, increments in (("3", "7"), ("5", "4"), ("24", "0"), ("30m", "47"), ("1", "23")):
            self.settings_of(time_interval=interval)
            self.assertEqual(self.settings()["increments"], increments)
        self.settings_of(increments=3)
        self.assertEqual([self.settings()[key] for key in ("increments", "whole_day")], ["3", "0"])

    def test_hosts(self):
        for host, uri in (("h", "h:28018/?directConnection=true"), ("h:1", "h:1/?directConnection=true"), ("rs0/a,b:2", "a:28018,b:2/?replicaSet=rs0"),
                          ("[::1]", "[::1]:28018/?directConnection=true"), ("::1", "[::1]:28018/?directConnection=true"),
                          ("[::1]:5", "[::1]:5/?directConnection=true"), ("rs0/fe80::1:2,b:2", "[fe80::1:2]:28018,b:2/?replicaSet=rs0")):
            self.settings_of(db_host=host, db_user=None, db_pwd=None)
            self.assertEqual(self.settings()["uri"], f"mongodb://{uri}&serverSelectionTimeoutMS=10000")

    def test_a_connection_string_keeps_its_password_out_of_sight(self):
        self.settings_of(db_host=None, db_port=None, db_user=None, db_pwd=None, uri="mongodb://me:p%40ss%3A@h1,h2:2/here?replicaSet=r&readConcernLevel=local")
        values = self.settings()
        self.assertEqual(values["uri"], "mongodb://me@h1,h2:2/?replicaSet=r&readConcernLevel=local&authSource=here&serverSelectionTimeoutMS=10000")
        self.assertEqual(values["oplog_uri"].count("readConcernLevel"), 1)
        self.assertTrue(values["oplog_uri"].endswith("readConcernLevel=majority"))
        self.assertEqual(self.login(), 'password: "p@ss:"\n')
        self.settings_of(db_host=None, db_port=None, uri="mongodb+srv://cluster.example.org/?tls=true")
        self.assertEqual(self.settings()["uri"], "mongodb+srv://root@cluster.example.org/?tls=true&authSource=admin&serverSelectionTimeoutMS=10000")

    def test_db_authdb_says_where_its_user_is_whatever_database_the_uri_has(self):
        for authdb, path, where in (("admin", "shop", "admin"), (None, "shop", "shop"), (None, "", "admin"), ("users", "", "users")):
            self.settings_of(db_host=None, db_port=None, db_authdb=authdb, uri=f"mongodb://h/{path}")
            self.assertEqual(self.settings()["uri"], f"mongodb://root@h/?authSource={where}&serverSelectionTimeoutMS=10000")
        self.settings_of(db_host=None, db_port=None, uri="mongodb://h/shop?authSource=other")
        self.assertEqual(self.settings()["uri"], "mongodb://root@h/?authSource=other&serverSelectionTimeoutMS=10000")

    def test_a_password_file(self):
        secret = self.folder / "secret"
        secret.write_text("first line \nsecond\n")
        secret.chmod(0o600)
        self.settings_of(db_pwd=None, db_pwd_file=secret)
        self.path.chmod(0o644)  # which holds no password
        self.assertEqual(self.login(), 'password: "first line "\n')
        secret.chmod(0o640)
        self.refused(f"line 9: db_pwd_file is a password, and others can read {secret}; chmod 600 it, or give --insecure-config")
        self.assertEqual(self.login("--insecure-config"), 'password: "first line "\n')

    def test_a_password_that_others_can_read_is_refused(self):
        for mode in (0o644, 0o640, 0o604):
            self.settings_of()
            self.path.chmod(mode)
            self.refused(f"line 5: db_pwd is a password, and others can read {self.path}; chmod 600 it, or give --insecure-config")
            self.settings("--insecure-config")
        self.settings_of(db_host=None, db_port=None, db_user=None, db_pwd=None, uri="mongodb://me:secret@h")
        self.path.chmod(0o644)
        self.refused(f"line 6: uri is a password, and others can read {self.path}; chmod 600 it, or give --insecure-config")

    def test_the_target(self):
        secret = self.folder / "secret"
        secret.write_text("r'\n")
        secret.chmod(0o600)
        self.settings_of(restore_user="restorer", restore_pwd_file=secret)
        self.assertEqual(self.settings("--target", stdin="h:1\n")["target_uri"],
                         "mongodb://restorer@h:1/?directConnection=true&authSource=admin&serverSelectionTimeoutMS=10000")
        self.assertEqual(self.login("--target", stdin="h:1"), 'password: "r\'"\n')
        self.assertEqual(self.settings("--target", stdin="mongodb://other:pw@h/")["target_uri"], "mongodb://other@h/?serverSelectionTimeoutMS=10000")
        self.assertEqual(self.login("--target", stdin="mongodb://other:pw@h/"), 'password: "pw"\n')
        self.settings_of()  # the source's own user is not the target's
        self.assertEqual(self.settings("--target", stdin="h:1")["target_uri"], "mongodb://h:1/?directConnection=true&serverSelectionTimeoutMS=10000")

    def test_members_of_a_cluster(self):
        member = ("--member", "sh0", "--server", "rs/a:1,b:2")
        self.settings_of(cluster="yes")
        values = self.settings(*member)
        self.assertEqual(values["uri"], "mongodb://root@a:1,b:2/?replicaSet=rs&authSource=admin&serverSelectionTimeoutMS=10000")
        self.assertEqual([values[key] for key in ("cluster", "full_method", "dbbak_dir", "log_file")],
                         ["yes", "slice", "/mongodb/backup/dbbak/sh0", "/mongodb/backup/dbbak/dbbak.log"])
        self.assertEqual(self.login(*member), 'password: "xxxxx"\n')
        self.assertEqual(self.settings("--member", "config", "--server", "")["uri"], self.settings()["uri"])
        srv = {"db_host": None, "db_port": None, "uri": "mongodb+srv://c.example.org/?replicaSet=cfg&readPreference=secondary&srvMaxHosts=1"}
        self.settings_of(srv, cluster="yes")
        self.assertEqual(self.settings(*member)["uri"],
                         "mongodb://root@a:1,b:2/?readPreference=secondary&tls=true&replicaSet=rs&authSource=admin&serverSelectionTimeoutMS=10000")
        self.settings_of(cluster="yes", member_uri="mongodb://me:p%2Fw@{member}.x,{hosts}/?replicaSet={set}&was={set}")
        self.assertEqual(self.settings(*member)["uri"], "mongodb://me@sh0.x,a:1,b:2/?replicaSet=rs&was=rs&serverSelectionTimeoutMS=10000")
        self.assertEqual(self.login(*member, "--mongosh"),
                         'db = connect("mongodb://me:p%2Fw@sh0.x,a:1,b:2/?replicaSet=rs&was=rs&serverSelectionTimeoutMS=10000");\n')
        self.settings_of(cluster="yes", db_user=None, db_pwd=None, member_uri="mongodb://me:pw@{hosts}/")
        self.path.chmod(0o644)
        self.refused(f"line 9: member_uri is a password, and others can read {self.path}; chmod 600 it, or give --insecure-config")
        self.settings_of(cluster="yes", member_uri="mongodb://h/")
        self.refused("line 11: member_uri has neither {hosts} nor {member}: it would be one server for all members")
        self.settings_of(cluster="yes", member_uri="{hosts}")
        self.refused("line 11: member_uri is wrong: a connection string begins with mongodb:// or mongodb+srv://")
        self.settings_of(cluster="yes", full_method="mongodump")
        self.refused("line 11: full_method is mongodump, which config servers and resharded shards do not allow: slice is what a cluster needs")

    def test_what_is_wrong_is_named_with_its_line(self):
        for text, message in (("[default]\nfoo = 1\n", "line 2: unknown key 'foo'"), ("dbbak_dir = /b\n", "line 1: before the section [default]"),
                              ("[other]\n", "line 1: section [other]: there is only [default]"), ("[default]\njust text\n", "line 2: neither a key with a value nor a comment"),
                              ("[default]\nlang = e\0n\n", "line 2: has a NUL, as no text has"),
                              ("[default]\nlang = en\nlang = zh\n", "line 3: lang again; it is on line 2 already")):
            self.write(text)
            self.refused(message)
        for key, value, why in (("db_port", "70000", "is no port"), ("lang", "fr", "is neither en nor zh"), ("on_gap", "go", "is neither stop nor full"),
                                ("keep_chains", "0", "is not a number of 1 or more"), ("increments", "x", "is not a number"),
                                ("keep_days", "0", "is not a number of 1 or more"), ("keep_weekly", "-1", "is not a number of 1 or more"),
                                ("metrics_file", "oplog.prom", "is not an absolute path"),
                                ("compress", "lz4", "is wrong: compression 'lz4' is none of zstd[:LEVEL], gzip[:LEVEL], none"),
                                ("dbbak_dir", "relative", "is not an absolute path"), ("uri", "mongodb://h", "says again what uri says"),
                                ("extra_dump_args", "-j 2 --out=x", "holds --out, which is not for it to say"),
                                ("extra_dump_args", "-ppw", "holds -p, which is not for it to say"),
                                ("extra_dump_args", "-j 2 --excludeCollection=x", "holds --excludeCollection=x, which cannot go with the oplog: a chain is of a whole server"),
                                ("extra_dump_args", "--viewsAsCollections", "holds --viewsAsCollections, which cannot go with the oplog: a chain is of a whole server"),
                                ("full_method", "dump", "is none of auto, mongodump and slice"), ("cluster", "maybe", "is neither yes nor no"), ("compact", "maybe", "is neither yes nor no"),
                                ("member_uri", "mongodb://{hosts}/", "goes with cluster = yes")):
            self.settings_of({key: value})
            line = 2 if key == "uri" else 2 + list({**BASE, key: value}).index(key)
            self.refused(f"line {line}: {'db_host' if key == 'uri' else key} {why}")
        self.settings_of(dbbak_dir=None)
        self.refused("dbbak_dir is missing: the directory for the backups")
        self.settings_of(db_pwd=None)
        self.refused("root has no password")

    def test_the_scripts_exit_with_2(self):
        self.write("[default]\nfoo = 1\n")
        for command in (["oplog-backup", "-c", self.path], ["oplog-backup"], ["oplog-backup", "-c", self.path, "nonsense"], ["oplog-backup", "-c"],
                        ["oplog-backup", "-c", self.folder / "missing"], ["oplog-restore", "-c", self.path, "--list"], ["oplog-restore"],
                        ["oplog-restore", "-c"], ["oplog-restore", "--nonsense"]):
            done = subprocess.run([BIN / command[0], *command[1:]], env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ""), command)
            self.assertRegex(done.stderr, r"\Aoplog-\w+: .*\n")
        self.settings_of()
        done = subprocess.run([BIN / "oplog-restore", "-c", self.path], env=ENVIRONMENT, capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual((done.returncode, done.stderr.splitlines()[0]), (2, "oplog-restore: say where to restore to: --target URI|HOST:PORT"))
        done = subprocess.run([BIN / "oplog-restore", "-c", self.path, "--to", "-5y"], env=ENVIRONMENT, capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual((done.returncode, done.stderr.splitlines()[0]), (2, "oplog-restore: --to -5y: so long before the backup's end is written -2h, -15m or -1.5d"))
        for tool in ("oplog-backup", "oplog-restore"):
            done = subprocess.run([BIN / tool, "--help"], env=ENVIRONMENT, capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("Example:", done.stdout)


    def test_options_that_do_not_go_together_are_refused(self):
        self.settings_of(mongo_home="/nowhere", dbbak_dir=self.folder / "dbbak")
        for arguments, why in ((["full", "inc"], "full and inc: one at a time"), (["full", "--json"], "--json goes with status and verify, not with full"),
                               (["status", "--dry-run"], "--dry-run goes with full, inc and prune, not with status"),
                               (["--dry-run"], "--dry-run goes with full, inc and prune, not with run"),
                               (["synthesize", "--dry-run"], "--dry-run goes with full, inc and prune, not with synthesize"),
                               (["inc", "--forever"], "--forever goes with run, not with inc"), (["pin"], "pin: say which chain; status lists them"),
                               (["unpin", "--json"], "unpin: say which chain; status lists them")):
            done = subprocess.run([BIN / "oplog-backup", "-c", self.path, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (2, "", f"oplog-backup: {why}\nhint: oplog-backup --help\n"))
        self.assertFalse((self.folder / "dbbak").exists())


class Shell(unittest.TestCase):
    @unittest.skipUnless(shutil.which("shellcheck"), "shellcheck is not installed")
    def test_shellcheck_has_nothing_to_say(self):
        done = subprocess.run(["shellcheck", *(SAMPLE.parent / name for name in ("oplog-backup", "oplog-restore"))], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))


if __name__ == "__main__":
    unittest.main()

"""Real mongod servers for the tests: replica sets of one on the loopback, killed at exit."""

import atexit
import ctypes
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

SERVERS = Path(__file__).resolve().parents[2] / "build/servers"  # where test.sh has servers.py put them
USUAL_VERSION = "6.0.5"
START_TIMEOUT = 60
ANSWER_TIMEOUT_MS = 120_000
KEPT_DATABASES = {"admin", "config", "local"}
ADMIN_COLLECTIONS = {"system.version", "system.keys", "system.users", "system.roles"}

_running = []


class ServerError(RuntimeError):
    pass


def find_mongod(server=None):
    """The binary of a server, named by its version or its path; without a name $MONGOD's, PATH's or 6.0.5's. Else None."""
    if not server:
        return os.environ.get("MONGOD") or shutil.which("mongod") or find_mongod(USUAL_VERSION)
    path = Path(server) if "/" in server else SERVERS / f"mongod-{server}"
    return str(path) if path.exists() else None


def scratch_directory():
    """A directory for this run's files, removed at exit; in memory where there is room, since mongod syncs often."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30
    path = Path(tempfile.mkdtemp(prefix="oplog-live-", dir=memory if roomy else None))
    atexit.register(_remove, path)
    return path


def _remove(path):
    stop_all()
    shutil.rmtree(path, ignore_errors=True)


class Server:
    """A mongod started at once and usable after wait(); start several before waiting for the first."""

    def __init__(self, directory, *, mongod=None, fcv=None, parameters=None, auth=False, oplog_size_mb=512, replica_set="rs0", role=None):
        self.directory = Path(directory)
        self.fcv = fcv
        self.auth = auth
        self.replica_set, self.role = replica_set, role  # the role in a sharded cluster: configsvr or shardsvr
        self.port = _free_port()
        self.user, self.password = ("root", "secret") if auth else (None, None)
        (self.directory / "db").mkdir(parents=True)
        settings = {"diagnosticDataCollectionEnabled": "false", "ttlMonitorEnabled": "false", **(parameters or {})}
        self._command = [
            mongod or find_mongod(), "--replSet", replica_set, "--dbpath", str(self.directory / "db"), "--port", str(self.port),
            "--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet", "--wiredTigerCacheSizeGB", "0.5",
            "--oplogSize", str(oplog_size_mb), "--logpath", str(self.directory / "mongod.log"),
        ]
        if role:
            self._command.append(f"--{role}")
        for name, value in settings.items():
            self._command += ["--setParameter", f"{name}={value}"]
        if auth:
            keyfile = self.directory / "keyfile"
            keyfile.write_text("oplogLiveTests\n")  # base64 digits only
            keyfile.chmod(0o600)
            self._command += ["--auth", "--keyFile", str(keyfile)]
        self.client = None
        self.start()
        _running.append(self)

    def start(self):
        """Once more after its process was killed: with what it has on disk."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, preexec_fn=_die_with_parent)

    @property
    def uri(self):
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def wait(self):
        """Returns once the server is a writable primary."""
        deadline = time.monotonic() + START_TIMEOUT
        # The localhost exception covers the set-up only, so the first client logs in as nobody.
        client = MongoClient(self.uri, serverSelectionTimeoutMS=START_TIMEOUT * 1000)
        self._until(deadline, lambda: client.admin.command("ping"))
        # Nothing here survives a crash anyway, so no write waits for the disk; config servers insist.
        kind = {"configsvr": True} if self.role == "configsvr" else {"writeConcernMajorityJournalDefault": False}
        client.admin.command("replSetInitiate", {"_id": self.replica_set, "members": [{"_id": 0, "host": f"127.0.0.1:{self.port}"}], **kind})
        self._until(deadline, lambda: client.admin.command("isMaster")["ismaster"])
        if self.auth:
            client.admin.command("createUser", self.user, pwd=self.password, roles=["root", "__system"])
        client.close()  # it met a server without sessions
        self._connect()
        if self.fcv:
            self.client.admin.command("setFeatureCompatibilityVersion", self.fcv)
        return self

    def _connect(self):
        login = {"username": self.user, "password": self.password} if self.auth else {}
        self.client = MongoClient(self.uri, socketTimeoutMS=ANSWER_TIMEOUT_MS, **login)
        self.__dict__.pop("version", None)

    def upgrade(self, mongod, fcv):
        """Ends it and starts a newer one with what it leaves, which is still at that feature compatibility version."""
        with suppress(PyMongoError):  # no answer comes
            self.client.admin.command("shutdown", force=True)
        self.process.wait(START_TIMEOUT)
        self.client.close()
        self._command[0] = mongod
        self.fcv = fcv
        self.start()
        with MongoClient(self.uri, serverSelectionTimeoutMS=START_TIMEOUT * 1000) as client:
            self._until(time.monotonic() + START_TIMEOUT, lambda: client.admin.command("isMaster")["ismaster"])
        self._connect()

    def raise_fcv(self, fcv):
        self.client.admin.command("setFeatureCompatibilityVersion", fcv)
        self.fcv = None

    @functools.cached_property
    def version(self):
        return self.client.server_info()["version"]

    def knows(self, version):
        """Whether it has what came with that feature compatibility version."""
        return _numbers(self.fcv or self.version) >= _numbers(version)

    def describe(self):
        return f"{self.version} at FCV {self.fcv}" if self.fcv else self.version

    def _until(self, deadline, condition):
        while True:
            if self.process.poll() is not None:
                raise ServerError(f"mongod ended with {self.process.returncode}: {self._last_log_lines()}")
            try:
                if condition():
                    return
            except PyMongoError:
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise ServerError(f"mongod not ready in {START_TIMEOUT} s: {self._last_log_lines()}")
            time.sleep(0.02)

    def _last_log_lines(self):
        log = self.directory / "mongod.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else "no log"

    def wipe(self):
        """Drops every user database, user and role: as good as a new server, in milliseconds."""
        for name in self.client.list_database_names():
            if name not in KEPT_DATABASES:
                self.client.drop_database(name)
        admin = self.client.admin
        for name in admin.list_collection_names():
            if name not in ADMIN_COLLECTIONS:
                admin.drop_collection(name)
        for collection in ("system.users", "system.roles"):
            admin[collection].delete_many({"db": {"$exists": False}})  # the usual way's, which has been seen to make half a one
        for name in {user["db"] for user in admin["system.users"].find({"user": {"$ne": self.user}})}:
            self.client[name].command("dropAllUsersFromDatabase")
        for name in {role["db"] for role in admin["system.roles"].find()}:
            self.client[name].command("dropAllRolesFromDatabase")

    def stop(self):
        if self.client:
            self.client.close()
        self.process.kill()
        self.process.wait()
        if self in _running:
            _running.remove(self)
        shutil.rmtree(self.directory, ignore_errors=True)


def _numbers(version):
    return [int(part) for part in version.split(".")[:2]]


def stop_all():
    for server in list(_running):
        server.stop()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _die_with_parent():
    """Asks Linux to kill the server when the thread that started it ends, however it ends; so start from the main one."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _exit_on_signal(number, _frame):
    for server in _running:
        server.process.kill()  # so that threads that wait for an answer do not keep the program alive
    raise SystemExit(128 + number)


atexit.register(stop_all)
signal.signal(signal.SIGTERM, _exit_on_signal)
signal.signal(signal.SIGHUP, _exit_on_signal)

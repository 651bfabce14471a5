"""The programs under test: MongoDB's own dump and restore tools, or the stand-in, and ours."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

STAND_IN = Path(__file__).parent / "standin"
TIMEOUT = 120
FAILED_DOCUMENTS = re.compile(r"(\d+) document\(s\) failed to restore")


class ToolError(RuntimeError):
    """A tool that failed; the message is the last thing it said, `lines` the command and all of it."""

    def __init__(self, command, output):
        self.lines = [f"$ {' '.join(map(str, command))}", *filter(str.strip, output.splitlines())]
        failures = [line for line in self.lines if "Failed:" in line] or self.lines
        super().__init__(failures[-1].split("Failed:")[-1].strip())


class Refusal(ToolError):
    """One of our tools judged its input bad, and said so with exit code 1."""


class MongoTools:
    """mongodump and mongorestore from $MONGO_TOOLS_BIN or PATH; where they are missing, the stand-in."""

    def __init__(self):
        folder = os.environ.get("MONGO_TOOLS_BIN")
        found = {name: shutil.which(name, path=folder) for name in ("mongodump", "mongorestore")}
        self.real = all(found.values())
        self._run = (lambda command: run([found[command[0]], *command[1:]])) if self.real else StandIn().run

    def mongodump(self, server, *arguments):
        return self._run(["mongodump", "--uri", server.uri, *_login(server), *arguments])

    def mongorestore(self, server, *arguments):
        output = self._run(["mongorestore", "--uri", server.uri, *_login(server), *arguments])
        count = FAILED_DOCUMENTS.search(output)
        if count and int(count[1]):  # its exit code is 0 all the same
            raise ToolError(["mongorestore", *arguments], f"Failed: {count[0]}")
        return output

    def describe(self):
        version = self._run(["mongorestore", "--version"]).splitlines()[0]
        if self.real:
            return f"real tools ({version})"
        return f"stand-in tools ({version}): they exercise a real server, but equality is NOT proved without the real ones"


class StandIn:
    """The stand-ins, which need pymongo: by a process that has it loaded, because that takes longer than most of what they do."""

    def __init__(self):
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen([sys.executable, STAND_IN / "serve.py"], stdin=theirs)

    def run(self, command):
        """As run() below."""
        mine, theirs = socket.socketpair()
        with mine, theirs, tempfile.TemporaryFile() as output:
            socket.send_fds(self._requests, [json.dumps(command, default=str).encode()], [output.fileno(), theirs.fileno()])
            theirs.close()
            mine.settimeout(TIMEOUT)
            try:
                code = mine.recv(16)
            except TimeoutError as expired:
                raise ToolError(command, f"Failed: nothing after {TIMEOUT} s") from expired
            output.seek(0)
            text = output.read().decode(errors="replace")
            if code != b"0":
                raise ToolError(command, text)
            return text


def _login(server):
    if not server.auth:
        return []
    return ["-u", server.user, "-p", server.password, "--authenticationDatabase", "admin"]


def run(command, may_refuse=False):
    """Everything the command printed; ToolError unless it ended with 0."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=TIMEOUT, errors="replace")
    except subprocess.TimeoutExpired as expired:
        raise ToolError(command, f"Failed: nothing after {TIMEOUT} s") from expired
    if done.returncode:
        raise (Refusal if may_refuse and done.returncode == 1 else ToolError)(command, done.stdout)
    return done.stdout

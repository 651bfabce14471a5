"""The programs under test: MongoDB's own dump and restore tools, or the stand-in, and ours."""

import os
import re
import shutil
import subprocess
import sys
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
        # The stand-in needs pymongo, so it runs in the interpreter that has it.
        self._commands = {
            name: [path] if self.real else [sys.executable, str(STAND_IN / name)] for name, path in found.items()
        }

    def mongodump(self, server, *arguments):
        return run([*self._commands["mongodump"], "--uri", server.uri, *_login(server), *arguments])

    def mongorestore(self, server, *arguments):
        output = run([*self._commands["mongorestore"], "--uri", server.uri, *_login(server), *arguments])
        count = FAILED_DOCUMENTS.search(output)
        if count and int(count[1]):  # its exit code is 0 all the same
            raise ToolError(["mongorestore", *arguments], f"Failed: {count[0]}")
        return output

    def describe(self):
        version = run([*self._commands["mongorestore"], "--version"]).splitlines()[0]
        if self.real:
            return f"real tools: {self._commands['mongorestore'][0]} ({version})"
        return f"stand-in tools ({version}): they exercise a real server, but equality is NOT proved without the real ones"


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

"""The ways to restore a chain, each a column of the report: every one comes down to some mongorestore commands."""

import re
import shlex
import shutil

from bson.timestamp import Timestamp

from history import timestamps
from tools import ToolError, run

PRINTED = re.compile(r"\bmongorestore (-.*)")


class Usual:
    """The full dump, then each increment on its own with --oplogReplay."""

    name = "usual"
    tool = None

    def __init__(self, _folder):
        pass

    def proof(self, _scratch, _redumped):
        """A command that says whether the dump of the restored server is as it should be, if there is one."""
        return None

    def commands(self, history, point, scratch):
        limit = ["--oplogLimit", _text(Timestamp(point.time.time, point.time.inc + 1))] if point.time else []
        compressed = ["--gzip"] if history.gzipped else []
        commands = [["--oplogReplay", *limit, *compressed, str(history.full)]]
        for number, increment in enumerate(history.increments):
            oplog = increment / "local" / "oplog.rs.bson"
            if point.time and timestamps(oplog)[0] > point.time:
                break
            folder = scratch / str(number)  # of its own, with the name that mongorestore looks for
            folder.mkdir()
            shutil.copy(oplog, folder / "oplog.bson")
            commands.append(["--oplogReplay", *limit, str(folder)])
        return commands


class _Ours:
    """A tool that makes one directory or archive of the chain, and prints the command that restores it."""

    options = []

    def __init__(self, folder):
        self.folder = folder
        self.command = folder / self.tool

    def proof(self, _scratch, _redumped):
        return None

    def commands(self, history, point, scratch):
        bound = ["--to", _text(point.time)] if point.time else []
        command = [self.command, "--full", history.full, *history.increments, *bound, *self.options, "-o", scratch / "out"]
        output = run(command, may_refuse=True)
        printed = PRINTED.search(output)
        if not printed:
            raise ToolError(command, f"{output}\nFailed: no mongorestore command printed")
        return [shlex.split(printed[1])]


class Stage(_Ours):
    name = "stage"
    tool = "oplog-stage"


class Apply(_Ours):
    name = "apply"
    tool = "oplog-apply"

    def proof(self, scratch, redumped):
        return [self.folder / "oplog-diff", "-q", "--exit-code", scratch / "out", redumped]


class Archive(Apply):
    """What oplog-restore sends through a pipe."""

    name = "archive"

    def commands(self, history, point, scratch):
        self.options = ["--archive", "--compress", "gzip:0", "--options-to", scratch / "options"]
        super().commands(history, point, scratch)
        return [[*(scratch / "options").read_text().split(), f"--archive={scratch / 'out'}"]]


METHODS = {method.name: method for method in (Usual, Stage, Apply, Archive)}


def _text(time):
    return f"{time.time}:{time.inc}"

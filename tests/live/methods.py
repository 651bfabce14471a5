"""The ways to restore a chain, each a column of the report."""

import shutil
from pathlib import Path

from bson.timestamp import Timestamp

from history import timestamps
from tools import run


# Documents may break a validator that came later or was bypassed; the source holds them all the same.
OURS = ["--bypassDocumentValidation"]


class Usual:
    """The full dump, then each increment on its own with --oplogReplay."""

    name = "usual"
    tool = None

    def __init__(self, tools, _folder):
        self.tools = tools

    def restore(self, history, point, target, scratch):
        limit = []
        if point.time:
            limit = ["--oplogLimit", _text(Timestamp(point.time.time, point.time.inc + 1))]
        self.tools.mongorestore(target, "--oplogReplay", *limit, *_gzip(history), str(history.full))
        for number, increment in enumerate(history.increments, 1):
            oplog = increment / "local" / "oplog.rs.bson"
            if point.time and timestamps(oplog)[0] > point.time:
                break
            folder = scratch / f"replay{number}"
            folder.mkdir()
            shutil.copy(oplog, folder / "oplog.bson")
            self.tools.mongorestore(target, "--oplogReplay", *limit, str(folder))


class Stage:
    """oplog-stage, then one mongorestore --oplogReplay."""

    name = "stage"
    tool = "oplog-stage"

    def __init__(self, tools, folder):
        self.tools = tools
        self.command = Path(folder) / self.tool

    def restore(self, history, point, target, scratch):
        run([self.command, *_chain(history, point), "-o", scratch / "out"])
        self.tools.mongorestore(target, *OURS, "--oplogReplay", *_gzip(history), str(scratch / "out"))


class Apply:
    """oplog-apply, then a plain mongorestore."""

    name = "apply"
    tool = "oplog-apply"

    def __init__(self, tools, folder):
        self.tools = tools
        self.command = Path(folder) / self.tool

    def restore(self, history, point, target, scratch):
        run([self.command, *_chain(history, point), "-o", scratch / "out"])
        self.tools.mongorestore(target, *OURS, *_gzip(history), str(scratch / "out"))


METHODS = {method.name: method for method in (Usual, Stage, Apply)}


def _chain(history, point):
    bound = ["--to", _text(point.time)] if point.time else []
    return ["--full", history.full, *history.increments, *bound]


def _gzip(history):
    return ["--gzip"] if history.gzipped else []


def _text(time):
    return f"{time.time}:{time.inc}"

"""The ways to restore a chain, each a column of the report."""

import shutil

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

    def prepare(self, history, point, scratch):
        """A directory for each increment, as mongorestore wants it."""
        for number, increment in enumerate(history.increments):
            (scratch / str(number)).mkdir()
            shutil.copy(increment / "local" / "oplog.rs.bson", scratch / str(number) / "oplog.bson")

    def restore(self, history, point, target, scratch):
        limit = ["--oplogLimit", _text(Timestamp(point.time.time, point.time.inc + 1))] if point.time else []
        self.tools.mongorestore(target, "--oplogReplay", *limit, *_gzip(history), str(history.full))
        for number in range(len(history.increments)):
            folder = scratch / str(number)
            if point.time and timestamps(folder / "oplog.bson")[0] > point.time:
                break
            self.tools.mongorestore(target, "--oplogReplay", *limit, str(folder))


class _Ours:
    """A tool that makes one directory of the chain, which a single mongorestore then restores."""

    replay = []

    def __init__(self, tools, folder):
        self.tools = tools
        self.command = folder / self.tool

    def prepare(self, history, point, scratch):
        bound = ["--to", _text(point.time)] if point.time else []
        run([self.command, "--full", history.full, *history.increments, *bound, "-o", scratch / "out"], may_refuse=True)

    def restore(self, history, point, target, scratch):
        self.tools.mongorestore(target, *OURS, *self.replay, *_gzip(history), str(scratch / "out"))


class Stage(_Ours):
    name = "stage"
    tool = "oplog-stage"
    replay = ["--oplogReplay"]


class Apply(_Ours):
    name = "apply"
    tool = "oplog-apply"


METHODS = {method.name: method for method in (Usual, Stage, Apply)}


def _gzip(history):
    return ["--gzip"] if history.gzipped else []


def _text(time):
    return f"{time.time}:{time.inc}"

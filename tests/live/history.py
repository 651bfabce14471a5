"""What a workload leaves behind: a full dump, increments, and the states that a restore must bring back."""

import gzip
import json
import shutil
import time
from dataclasses import dataclass

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from pymongo import WriteConcern
from pymongo.read_concern import ReadConcern

from compare import state_of

ATTEMPTS = 20
LOOK_BACK = 60  # seconds; an idle server writes a no-op every ten
ANY_TEXT = CodecOptions(unicode_decode_error_handler="replace")  # documents may hold what is no UTF-8
RAW = ANY_TEXT.with_options(document_class=RawBSONDocument)


@dataclass
class Point:
    """A state and its time; a time of None is the end of the chain. No state: our tools must refuse to go there."""
    time: Timestamp | None
    state: dict | None


class History:
    """A workload writes to `client`, and says when to dump, when to cut, and which states to remember."""

    def __init__(self, source, tools, directory):
        self.source = source
        self.client = source.client
        self.tools = tools
        self.directory = directory
        self.gzipped = False
        self.full = directory / "full"
        self.increments = []
        self.points = []
        self.may_refuse = set()  # methods, by name
        self.last = None  # the newest timestamp in the chain
        self.finished = False

    def knows(self, version):
        """Whether the source has what came with that version."""
        return self.source.knows(version)

    @property
    def db(self):
        return self.client.shop

    def now(self):
        """The timestamp of the newest oplog entry."""
        return self._oplog().find_one({}, sort=[("$natural", -1)])["ts"]

    def note(self):
        """A no-op in the oplog: mongodump --oplog refuses to start from a rename, such as the last thing written."""
        self.client.admin.command("appendOplogNote", 1, data={"note": "tests"})

    def full_dump(self, *options, under_load=False):
        """A dump, from whose last entry the chain goes on.

        Under load mongodump can lose a write that was in flight when it began, so then the chain goes on from what was
        visible before it.
        """
        before = self.last_visible()
        self.tools.mongodump(self.source, "--oplog", "-o", str(self.full), *options)
        self.last = before if under_load else timestamps(self.full / "oplog.bson")[-1]

    def remove_full_dump(self):
        shutil.rmtree(self.full, ignore_errors=True)

    def last_visible(self):
        """The last entry of a forward query: at or before every write that is still in flight."""
        oplog = self.client.local.get_collection("oplog.rs", read_concern=ReadConcern("majority"))
        recent = {"$match": {"ts": {"$gte": Timestamp(int(time.time()) - LOOK_BACK, 0)}}}
        return next(oplog.aggregate([recent, {"$group": {"_id": None, "last": {"$max": "$ts"}}}]))["last"]

    def cut(self, until=None):
        """An increment from the chain's last entry to now, or to an entry of that time."""
        until = until or self.now()
        folder = self.directory / f"inc{len(self.increments) + 1}"
        bounds = {"$gte": _extended(self.last), "$lte": _extended(until)}
        for _ in range(ATTEMPTS):  # the newest entries take a moment to become visible to a forward scan
            self.tools.mongodump(self.source, "-d", "local", "-c", "oplog.rs", "--query", json.dumps({"ts": bounds}),
                                 "-o", str(folder))
            if timestamps(folder / "local" / "oplog.rs.bson")[-1:] == [until]:
                break
        else:
            raise RuntimeError(f"the oplog never showed {until}")
        self.increments.append(folder)
        self.last = until

    def entries(self, query=None):
        """The oplog's entries since the chain's last one, decoded."""
        return list(self._oplog().find({"ts": {"$gt": self.last}, **(query or {})}))

    def remember(self):
        """This very moment is a point in time to restore to."""
        self.remember_at(self.now(), state_of(self.source))

    def remember_at(self, time, state):
        self.points.append(Point(time, state))

    def refuse_at(self, time):
        """A point that the chain cannot reach, so our tools must say so."""
        self.points.append(Point(time, None))

    def finish(self, *, state=None, refused=False):
        """Closes the chain; its end is the last point. A workload that must clean up afterwards calls this itself."""
        if self.finished:
            return
        self.finished = True
        if self.now() != self.last:
            self.cut()
        self.points.append(Point(None, None if refused else state or state_of(self.source)))

    def unacknowledged(self):
        """The database, written to without waiting for a majority."""
        return self.client.get_database("shop", write_concern=WriteConcern(1))

    def _oplog(self):
        return self.client.local.get_collection("oplog.rs", codec_options=ANY_TEXT)


def timestamps(file):
    """The times of a file's entries; mongodump --gzip compresses oplog.bson without renaming it."""
    with open(file, "rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    with gzip.open(file) if compressed else open(file, "rb") as stream:
        return [entry["ts"] for entry in bson.decode_file_iter(stream, RAW)]


def _extended(time):
    return {"$timestamp": {"t": time.time, "i": time.inc}}

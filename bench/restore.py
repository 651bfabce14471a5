#!/usr/bin/env python3
"""Times a restore on a live mongod in three ways, and rewrites its table of docs/performance.md.

The chain comes from a seeded workload: a full dump, then increments with inserts, updates of hot documents, deletes and
transactions. It is restored by the usual method (mongorestore --oplogReplay of the full dump and of each increment), by
oplog-stage and one mongorestore --oplogReplay, and by oplog-apply and a plain mongorestore; each on a new server, and the
states are compared with the source's. Needs a Release build, pymongo, a mongod (as the tests in tests/live) and the real
mongodump and mongorestore from $MONGO_TOOLS_BIN or PATH.
"""
import argparse
import importlib.util
import random
import shutil
import statistics
import sys
import time
from pathlib import Path

from run import MB, ROOT, Command, directory_size, is_release, machine, replace_table, tool_path

sys.path.append(str(ROOT / "tests" / "live"))
if not importlib.util.find_spec("pymongo"):
    sys.exit("pymongo is not installed")
from compare import differences, state_of  # noqa: E402
from history import History, Point, timestamps  # noqa: E402
from methods import METHODS  # noqa: E402
from pymongo import DeleteOne, InsertOne, UpdateOne  # noqa: E402
from server import Server, find_mongod, scratch_directory  # noqa: E402
import tools  # noqa: E402

COLLECTIONS = ["orders", "customers", "products", "visits"]
BATCH = 1000  # operations a bulk write
HOT = 250  # documents of each collection that the updates go to
INCREMENTS = 4
WANTED = 15


class Workload:
    """Writes in bulk: as many entries as operations, and one a transaction."""

    def __init__(self, history, seed):
        self.history = history
        self.random = random.Random(seed)
        self.next_id = 0
        self.cold = {name: [] for name in COLLECTIONS}  # neither hot nor deleted

    def load(self, documents):
        """What the full dump holds."""
        per_collection = documents // len(COLLECTIONS)
        for name in COLLECTIONS:
            made = [self._document(f"{name}-hot-{number}") for number in range(HOT)]
            made += [self._new(name) for _ in range(per_collection - HOT)]
            self.history.db[name].insert_many(made)
            self.history.db[name].create_index("customer")

    def write(self, entries):
        """About 35 % inserts, 50 % updates, 13 % deletes and 2 % transactions of four operations each."""
        transactions = entries // 50
        batches = max(1, (entries - transactions) // BATCH)
        for number in range(batches):
            name = COLLECTIONS[number % len(COLLECTIONS)]
            self.history.db[name].bulk_write([self._operation(name) for _ in range(BATCH)], ordered=True)
            for _ in range(transactions // batches + (number < transactions % batches)):
                self._transaction()

    def _operation(self, name):
        dice = self.random.random()
        if dice < 0.36:
            return InsertOne(self._new(name))
        if dice < 0.87 or not self.cold[name]:
            return UpdateOne({"_id": f"{name}-hot-{self.random.randrange(HOT)}"}, self._change())
        position = self.random.randrange(len(self.cold[name]))
        self.cold[name][position], self.cold[name][-1] = self.cold[name][-1], self.cold[name][position]
        return DeleteOne({"_id": self.cold[name].pop()})

    def _transaction(self):
        with self.history.client.start_session() as session, session.start_transaction():
            for name in COLLECTIONS[:2]:
                self.history.db[name].bulk_write([InsertOne(self._new(name)), UpdateOne(
                    {"_id": f"{name}-hot-{self.random.randrange(HOT)}"}, self._change())], session=session)

    def _change(self):
        """Always changes something, so that each update is an entry."""
        dice = self.random.randrange(3)
        if dice == 0:
            return {"$inc": {"version": 1}, "$set": {"status": self._text(2)}}
        if dice == 1:
            return {"$inc": {"version": 1}, "$set": {f"lines.{self.random.randrange(4)}.quantity": self.random.randrange(1 << 30)}}
        return {"$inc": {"version": 1, "total": self.random.randrange(1, 100)}, "$push": {"log": {"$each": [self._text(3)], "$slice": -8}}}

    def _new(self, name):
        self.next_id += 1
        identity = f"{name}-{self.next_id}"
        self.cold[name].append(identity)
        return self._document(identity)

    def _document(self, identity):
        lines = [{"product": self._text(1), "quantity": self.random.randrange(100), "price": self.random.random() * 100} for _ in range(4)]
        return {"_id": identity, "customer": self.random.randrange(100_000), "status": self._text(2), "version": 0, "total": 0, "lines": lines,
                "note": self._text(8), "log": []}

    def _text(self, words):
        return " ".join(self.random.choice(("shipped", "pending", "Zürich", "express", "refund", "invoice", "東京", "total")) for _ in range(words))


class Timing:
    """The seconds of one way to restore, each the median of the rounds."""

    def __init__(self, rounds):
        self.prepared, self.restored = (statistics.median(part) for part in zip(*rounds))
        self.total = statistics.median(map(sum, rounds))


def restore(method, history, mongo_tools, folder):
    """Seconds to prepare what mongorestore reads, and seconds of mongorestore."""
    folder.mkdir()
    target = Server(folder / "target").wait()
    scratch = folder / "scratch"
    scratch.mkdir()
    end = history.points[-1]
    start = time.perf_counter()
    commands = method.commands(history, Point(None, end.state), scratch)
    prepared = time.perf_counter() - start
    start = time.perf_counter()
    for arguments in commands:
        mongo_tools.mongorestore(target, *arguments)
    restored = time.perf_counter() - start
    wrong = differences(end.state, state_of(target))
    target.stop()
    shutil.rmtree(folder)
    if wrong:
        sys.exit(f"{method.name}: the restored server differs from the source:\n" + "\n".join(wrong[:10]))
    return prepared, restored


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release", help="the build directory (default: build/release)")
    parser.add_argument("--entries", type=int, default=208_000, help="about as many oplog entries (default: 208000)")
    parser.add_argument("--documents", type=int, default=50_000, help="of the full dump (default: 50000)")
    parser.add_argument("--rounds", type=int, default=2, help="restores in each way (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the workload (default: 1)")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md", help="the document to rewrite")
    options = parser.parse_args()
    if not is_release(options.build):
        sys.exit(f"{options.build} is no Release build: cmake --preset release && cmake --build --preset release")
    if not find_mongod():
        sys.exit("no mongod in $MONGOD, on PATH or in build/servers")
    mongo_tools = tools.MongoTools()
    if not mongo_tools.real:
        sys.exit("no mongodump and mongorestore in $MONGO_TOOLS_BIN or on PATH: the stand-in would prove nothing about speed")
    tools.TIMEOUT = 1800

    root = scratch_directory()
    source = Server(root / "source").wait()
    version = source.client.server_info()["version"]
    history = History(source, mongo_tools, root)
    workload = Workload(history, options.seed)
    workload.load(options.documents)
    history.note()
    history.full_dump()
    for _ in range(INCREMENTS):
        workload.write(options.entries // INCREMENTS)
        history.cut()
    history.finish()
    source.stop()
    oplogs = [folder / "local" / "oplog.rs.bson" for folder in history.increments]
    entries = len({stamp for file in oplogs for stamp in timestamps(file)})
    size = directory_size(history.full) + sum(file.stat().st_size for file in oplogs)
    oplog_size = sum(file.stat().st_size for file in oplogs)
    print(f"{entries:,} entries, {size / MB:.0f} MB of dump and oplog", flush=True)

    folder = tool_path(options.build, "oplog-apply").parent
    rounds = {"usual": [], "stage": [], "apply": []}
    for _ in range(options.rounds):  # in turns, so that whatever else the machine does happens to all
        for name, seconds in rounds.items():
            seconds.append(restore(METHODS[name](folder), history, mongo_tools, root / "restore"))
            print(f"{name}: {seconds[-1][0]:.2f} s + {seconds[-1][1]:.2f} s of mongorestore", flush=True)
    timings = {name: Timing(seconds) for name, seconds in rounds.items()}
    alone = Command([folder / "oplog-apply", "--full", history.full, *history.increments, "-o", root / "later"], size, written=root / "later")
    memory = alone.peak_memory()

    titles = {"usual": "`mongorestore --oplogReplay` of the full dump, then of each increment",
              "stage": "oplog-stage, `mongorestore --oplogReplay`", "apply": "oplog-apply, `mongorestore`"}
    lines = ["| restored by | our tool | mongorestore | in total | times as fast | wanted |", "|---|---|---|---|---|---|"]
    for name, title in titles.items():
        timing = timings[name]
        ratio = timings["usual"].total / timing.total
        prepared = "" if name == "usual" else f"{timing.prepared:.2f} s"
        wanted = f"at least {WANTED}{'' if ratio >= WANTED else ' (missed)'}" if name == "apply" else ""
        lines.append(f"| {title} | {prepared} | {timing.restored:.1f} s | {timing.total:.1f} s | {ratio:.1f} | {wanted} |")
    documents = sum(len(collection.documents) for collection in history.points[-1].state.values())
    notes = [f"On: {machine()}; mongod {version}. {entries:,} oplog entries in {INCREMENTS} increments ({oplog_size / MB:.0f} MB), a full dump of "
             f"{options.documents:,} documents ({(size - oplog_size) / MB:.0f} MB).",
             f"Each way brought back the source's {documents:,} documents byte for byte, its indexes and its dbHash. Rounds: {options.rounds}, in turns.",
             f"oplog-apply alone read {size / timings['apply'].prepared / MB:,.0f} MB/s of dump and oplog in "
             f"{memory / (1 << 20):.1f} MiB of anonymous memory, {memory / entries:.0f} bytes an oplog entry."]
    print(*notes, *lines, sep="\n")
    replace_table(options.page, "restore", "bench/restore.py", [*notes, "", *lines])


if __name__ == "__main__":
    main()

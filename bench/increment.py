#!/usr/bin/env python3
"""Times `oplog-backup inc` on a live mongod beside mongodump of the same entries to a file, each first in every other round, and rewrites its table of docs/performance.md.

Needs a Release build, pymongo, a mongod (as the tests in tests/live) and the real mongodump from $MONGO_TOOLS_BIN or PATH.
"""
import argparse
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from run import MB, ROOT, is_release, machine, replace_table, tool_path

sys.path.append(str(ROOT / "tests" / "live"))
if not importlib.util.find_spec("pymongo"):
    sys.exit("pymongo is not installed")
from server import Server, find_mongod, scratch_directory  # noqa: E402

WANTED = 1.1


class Source:
    def __init__(self, root, backup, mongodump):
        self.server = Server(root / "source", oplog_size_mb=4000)
        self.server.wait()
        self.collection = self.server.client.shop.orders
        self.root, self.backup, self.mongodump, self.next_id = root, backup, mongodump, 0
        (root / "config.ini").write_text(f"[default]\nmongo_home = {Path(mongodump).parent}\ndb_host = 127.0.0.1\ndb_port = {self.server.port}\ndbbak_dir = {root}/dbbak\nlang = en\n")

    def write(self, size):
        """Documents of about 800 bytes."""
        for _ in range(size // 800 // 1000):
            pad = os.urandom(380).hex()
            self.collection.insert_many([{"_id": self.next_id + n, "pad": pad} for n in range(1000)], ordered=False)
            self.next_id += 1000

    def settle(self):
        """Has the server write to disk what it would else write while it is read."""
        self.server.client.admin.command("fsync")

    def newest(self):
        ts = self.server.client.local["oplog.rs"].find().sort("$natural", -1).limit(1)[0]["ts"]
        return f'{{"$timestamp":{{"t":{ts.time},"i":{ts.inc}}}}}'

    def timed(self, *command):
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
        return time.perf_counter() - start

    def step(self, command):
        return self.timed(self.backup, "-c", self.root / "config.ini", command)

    def dump(self, first, last):
        """Seconds, and the size of the file."""
        out = self.root / "plain"
        took = self.timed(self.mongodump, "--port", str(self.server.port), "--db", "local", "--collection", "oplog.rs", "--out", out,
                          "--query", f'{{"ts":{{"$gte":{first},"$lte":{last}}}}}')
        size = (out / "local/oplog.rs.bson").stat().st_size
        shutil.rmtree(out)
        return took, size


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[25, 100, 400], help="of increments, in MB")
    parser.add_argument("--rounds", type=int, default=5, help="of an increment of 100 MB and more; smaller ones, which say less, get the more")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    options = parser.parse_args()
    if not is_release(options.build):
        sys.exit(f"{options.build} is no Release build")
    mongodump = shutil.which("mongodump", path=os.environ.get("MONGO_TOOLS_BIN"))
    if not find_mongod() or not mongodump:
        sys.exit("this takes a mongod and the real mongodump")
    source = Source(scratch_directory(), tool_path(options.build, "oplog-backup"), mongodump)
    source.write(5 * MB)
    source.step("full")
    lines = [f"On: {machine()}. Rounds: {options.rounds}, of small increments more; medians.", "", "| increment | oplog-backup inc | mongodump | times as long | wanted |", "|---|---|---|---|---|"]
    for megabytes in options.sizes:
        ours, theirs = [], []
        for number in range(max(options.rounds, options.rounds * 100 // megabytes)):
            first = source.newest()
            source.write(megabytes * MB)
            last = source.newest()
            source.settle()
            source.dump(first, last)  # for nothing: who reads first pays for what the others find in memory
            if number % 2:
                ours.append(source.step("inc"))
            took, size = source.dump(first, last)
            theirs.append(took)
            if not number % 2:
                ours.append(source.step("inc"))
        inc, dump = statistics.median(ours), statistics.median(theirs)
        ratio = statistics.median(one / other for one, other in zip(ours, theirs))
        lines.append(f"| {size / MB:.0f} MB | {inc:.2f} s | {dump:.2f} s | {ratio:.2f} | at most {WANTED} |")
        print(lines[-1], flush=True)
    replace_table(options.page, "increment", "bench/increment.py", lines)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Times oplog-gather on clusters made here, and rewrites its table of docs/performance.md.

A cluster of two shards, of which a third of the documents is orphaned; many members; many chunks; many transactions that are prepared at the wanted time and decided
later. Of the last three there is one of half the size too: its time says whether the work grows with the size alone. Needs a Release build.
"""
import argparse
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from run import MB, ROOT, Command, directory_size, is_release, machine, replace_table, tool_path

sys.path.append(str(ROOT / "tests" / "cli"))
os.environ.setdefault("OPLOG_BIN", "")  # the tests' modules want to know the tools; here nothing is run by them
os.environ.setdefault("OPLOG_SOURCE", str(ROOT))
from made_chain import Long, Time, encode, uuid  # noqa: E402
from made_cluster import MadeCluster  # noqa: E402

TEXT = "shipped pending Zuerich express refund invoice total " * 14


class Folder:
    """What MadeCluster takes for a test: a place for files."""

    def __init__(self, path):
        self.path = path

    def write(self, name, data):
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def patched(template, at, numbers):
    """Copies of a document, each with another number at a place."""
    copy = bytearray(template)
    for number in numbers:
        struct.pack_into("<i", copy, at, number)
        yield bytes(copy)


def documents(numbers):
    template = encode({"_id": 0x01020304, "n": 1, "text": TEXT})
    return patched(template, template.index(b"\x04\x03\x02\x01"), numbers)


def entries(first_ordinal, numbers):
    """Inserts into app.a, one a document."""
    template = encode({"op": "i", "ns": "app.a", "ui": uuid(1), "o": {"_id": 0x01020304, "n": 1, "text": TEXT}, "ts": Time(100, 0x05060708), "t": Long(1), "v": Long(2)})
    at, ts = template.index(b"\x04\x03\x02\x01"), template.index(b"\x08\x07\x06\x05")
    for ordinal, entry in enumerate(patched(template, at, numbers), first_ordinal):
        copy = bytearray(entry)
        struct.pack_into("<I", copy, ts, ordinal)
        yield bytes(copy)


def large(folder, size):
    """Half of it in dumps, half in oplogs."""
    cluster = MadeCluster(folder)
    cluster.database("app")
    count = size // 4 // 900
    cluster.shard("app.a", 1, splits=[0], create=False)
    for shard in cluster.shards:
        shard.dump("app.a", 1)
        folder.write(f"{shard.directory}/full/app/a.bson", b"".join(documents(range(-count // 3, count - count // 3) if shard is cluster.shards[1] else range(-count + count // 3, count // 3))))
    base = cluster.ordinal
    for shard, numbers in zip(cluster.shards, (range(-2 * count, -count), range(count, 2 * count))):
        shard.entries += entries(base + 1, numbers)
    cluster.ordinal = base + count + 1
    return cluster, None


def many_members(folder, count):
    cluster = MadeCluster(folder, shards=count - 1, directories=[f"m{number}" for number in range(count)])
    cluster.database("app")
    cluster.shard("app.a", 1, splits=range(100, 100 * (count - 1), 100))
    for number, shard in enumerate(cluster.shards):
        for identity in range(20):
            shard.insert("app.a", {"_id": number * 100 + identity})
    return cluster, None


def many_chunks(folder, count):
    cluster = MadeCluster(folder)
    cluster.database("app")
    cluster.shard("app.a", 1, splits=range(1, count))
    for number in range(2 * count):
        cluster.shards[number // 2 % 2].insert("app.a", {"_id": number // 2 + number % 2 * count})
    return cluster, None


def many_transactions(folder, count):
    cluster = MadeCluster(folder)
    cluster.database("app")
    cluster.shard("app.a", 1, splits=[0])
    prepared = []
    for number in range(count):
        parts = [(cluster.shards[0], -number - 1), (cluster.shards[1], number)]
        prepared.append([shard.prepare([shard.operation("i", "app.a", {"_id": identity})], 1000 + number) for shard, identity in parts])
    moment = cluster.note()
    for number, stamps in enumerate(prepared):
        for shard, ts in zip(cluster.shards, stamps):
            shard.end(ts, 1000 + number, commit=stamps[1])
    return cluster, moment


CASES = [("a cluster of two shards", large, None, False), ("100 members of small chains", many_members, 100, True), ("100,000 chunks", many_chunks, 100_000, True),
         ("10,000 transactions prepared at the time", many_transactions, 10_000, True)]


def measure(tool, folder, make, size, jobs, rounds):
    """Bytes of input, and the medians of seconds, of seconds of CPU, and of bytes of memory."""
    shutil.rmtree(folder, ignore_errors=True)
    cluster, moment = make(Folder(folder), size)
    command = [tool, *(folder / member for member in cluster.write()), "-q", "-f", "-o", folder / "out", "--jobs", str(jobs), *(["--to", moment] if moment else [])]
    read = directory_size(folder)
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        process = subprocess.Popen([str(each) for each in command], stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"exit code {status}: {command}")
        taken.append((time.perf_counter() - start, usage.ru_utime + usage.ru_stime))
    peak = Command(command, read, written=folder / "out").peak_memory()
    shutil.rmtree(folder)
    return read, *(statistics.median(each) for each in zip(*taken)), peak


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release", help="the build directory (default: build/release)")
    parser.add_argument("--size", type=int, default=1000, help="MB of the cluster of two shards (default: 1000)")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md", help="the document to rewrite")
    options = parser.parse_args()
    if not is_release(options.build):
        sys.exit(f"{options.build} is no Release build: cmake --preset release && cmake --build --preset release")
    tool = tool_path(options.build, "oplog-gather")
    lines = [f"{machine()}; {options.jobs} jobs. The seconds of CPU are those of all threads.", "",
             "| oplog-gather of | input | seconds | MB/s | seconds of CPU | memory | CPU of half of it |", "|---|---:|---:|---:|---:|---:|---:|"]
    memory = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="oplog-bench-", dir=memory) as place:
        for name, make, size, is_halved in CASES:
            read, seconds, cpu, peak = measure(tool, Path(place) / "case", make, size or options.size * MB, options.jobs, options.rounds)
            half = f"{measure(tool, Path(place) / 'case', make, size // 2, options.jobs, options.rounds)[2]:.2f}" if is_halved else ""
            lines.append(f"| {name} | {read / MB:.1f} MB | {seconds:.2f} | {read / MB / seconds:.0f} | {cpu:.2f} | {peak / MB:.1f} MB | {half} |")
            print(lines[-1], flush=True)
    replace_table(options.page, "gather", "bench/gather.py", lines)


if __name__ == "__main__":
    main()

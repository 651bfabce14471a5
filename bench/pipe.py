#!/usr/bin/env python3
"""Times restores to the end of a chain on a live mongod, and rewrites its table of docs/performance.md.

The chain is made here: a full dump, and an oplog of half its size that inserts, updates and deletes. It is restored through a pipe (oplog-apply --archive,
mongorestore --archive) and by way of a directory; beside them mongorestore loads the plain full dump. All take turns, each with a new server, and what the
two ways bring is compared by dbHash. Needs a Release build, pymongo, a mongod (as the tests in tests/live), and the real mongorestore from $MONGO_TOOLS_BIN
or PATH.
"""
import argparse
import importlib.util
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from run import MB, ROOT, is_release, machine, replace_table, tool_path

sys.path.append(str(ROOT / "tests" / "live"))
if not importlib.util.find_spec("pymongo"):
    sys.exit("pymongo is not installed")
from bson import BSON, Binary, Int64, Timestamp  # noqa: E402
from server import Server, find_mongod  # noqa: E402

SECONDS = 1_600_000_000
# A shape of data: the share that each collection has of it, and the size of a document.
SHAPES = {"eight collections alike": ([1] * 8, 700), "one collection": ([1], 700), "one large and seven small ones": ([93] + [1] * 7, 700),
          "eight collections of large documents": ([1] * 8, 40_000)}
WAYS = ("full dump", "pipe", "directory")


class Chain:
    """A full dump and an increment in a directory."""

    def __init__(self, folder, shares, document, size, seed=1):
        self.full, self.increment = folder / "full", folder / "inc.bson"
        self.random, self.document, self.ordinal = random.Random(seed), document, 0
        (self.full / "shop").mkdir(parents=True)
        (self.full / "prelude.json").write_text('{"ServerVersion":"6.0.5","ToolVersion":"100.18.0"}')
        self.collections = [(f"c{number}", uuid.UUID(int=number + 1), max(1, size * share // sum(shares) // document)) for number, share in enumerate(shares)]
        for name, identity, count in self.collections:
            (self.full / "shop" / f"{name}.metadata.json").write_text(
                '{"indexes":[{"v":2,"key":{"_id":1},"name":"_id_"},{"v":2,"key":{"customer":1},"name":"customer_1"}],'
                f'"uuid":"{identity.hex}","collectionName":"{name}","type":"collection"}}')
            with open(self.full / "shop" / f"{name}.bson", "wb") as out:
                out.writelines(BSON.encode(self.made(number)) for number in range(count))
        anchor = BSON.encode(self.entry({"op": "n", "ns": "", "o": {"msg": "periodic noop"}}))
        (self.full / "oplog.bson").write_bytes(anchor)
        with open(self.increment, "wb") as out:
            out.write(anchor)
            while out.tell() < size // 2:
                out.writelines(BSON.encode(self.entry(self.operation())) for _ in range(1000))

    def made(self, number):
        text = self.random.randbytes(self.document // 4).hex()
        return {"_id": number, "customer": self.random.randrange(100_000), "version": 0, "note": text + "shipped " * (self.document // 2 // 8 - 6)}

    def entry(self, fields):
        self.ordinal += 1
        return {**fields, "ts": Timestamp(SECONDS + self.ordinal // 1000, self.ordinal % 1000 + 1), "t": Int64(1), "v": Int64(2)}

    def operation(self):
        """Half are updates, of which half write a text anew; for each insert there is a delete, so that the data stays as large as it is."""
        at = self.random.choices(range(len(self.collections)), [count for _, _, count in self.collections])[0]
        name, identity, count = self.collections[at]
        fields = {"ns": f"shop.{name}", "ui": Binary(identity.bytes, 4)}
        dice = self.random.randrange(4)
        if dice == 0:
            self.collections[at] = name, identity, count + 1
            return {"op": "i", **fields, "o": self.made(count), "o2": {"_id": count}}
        old = {"_id": self.random.randrange(count)}
        if dice == 1:
            return {"op": "d", **fields, "o": old}
        changed = {"version": self.random.randrange(1 << 30), **({"note": self.made(0)["note"]} if dice == 2 else {})}
        return {"op": "u", **fields, "o": {"$v": 2, "diff": {"u": changed}}, "o2": old}


def restore(way, chain, folder, tool, mongorestore):
    """Seconds, and the dbHash of what came back."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    target = Server(folder / "target").wait()
    load = [mongorestore, "--quiet", "--port", str(target.port), "--numParallelCollections", "4"]
    apply = [tool, "-q", "--full", chain.full, chain.increment]
    start = time.perf_counter()
    if way == "pipe":
        # As oplog-restore does it.
        ours, its = os.pipe()
        with subprocess.Popen([*apply, "--archive", "--compress", "gzip:0", "-o", "-", "--options-to", f"/dev/fd/{its}"], stdout=subprocess.PIPE, pass_fds=[its],
                              env={**os.environ, "TMPDIR": str(folder)}) as made:
            os.close(its)
            with open(ours, encoding="utf-8") as options:
                load += options.readline().split()
            subprocess.run([*load, "--archive"], stdin=made.stdout, check=True)
        if made.returncode:
            sys.exit(f"oplog-apply: exit code {made.returncode}")
    else:
        if way == "directory":
            subprocess.run([*apply, "-o", folder / "restored"], check=True)
        subprocess.run([*load, "--bypassDocumentValidation", chain.full if way == "full dump" else folder / "restored"], check=True)
    seconds = time.perf_counter() - start
    state = target.client.shop.command("dbHash")["md5"]
    target.stop()
    shutil.rmtree(folder)
    return seconds, state


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release", help="the build directory (default: build/release)")
    parser.add_argument("--size", type=int, default=2000, help="MB of the full dump (default: 2000); the oplog has half of it")
    parser.add_argument("--rounds", type=int, default=3, help="restores in each way (default: 3)")
    parser.add_argument("--shape", nargs="+", choices=SHAPES, default=list(SHAPES), help="only these (default: all)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="only these (default: all)")
    parser.add_argument("--folder", type=Path, help="where to work: on a disk, with room for seven times --size (default: $TMPDIR)")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md", help="the document to rewrite")
    options = parser.parse_args()
    if not is_release(options.build):
        sys.exit(f"{options.build} is no Release build: cmake --preset release && cmake --build --preset release")
    if not find_mongod():
        sys.exit("no mongod in $MONGOD, on PATH or in build/servers")
    mongorestore = shutil.which("mongorestore", path=os.environ.get("MONGO_TOOLS_BIN")) or shutil.which("mongorestore")
    if not mongorestore:
        sys.exit("no mongorestore in $MONGO_TOOLS_BIN or on PATH")
    lines = [f"{machine()}. Each is a median, with the least in brackets; all with mongorestore's 4 collections at a time.", "",
             "| chain of " + f"{options.size / 1000:g} GB and {options.size / 2000:g} GB of oplog | mongorestore of the full dump | pipe | by the full dump's | by way of a directory |",
             "|---|---:|---:|---:|---:|"]
    with tempfile.TemporaryDirectory(prefix="oplog-bench-", dir=options.folder) as place:
        for shape in options.shape:
            chain = Chain(Path(place) / "chain", *SHAPES[shape], options.size * MB)
            taken, states = {way: [] for way in options.ways}, set()
            for _ in range(options.rounds):
                for way in options.ways:
                    seconds, state = restore(way, chain, Path(place) / "round", tool_path(options.build, "oplog-apply"), mongorestore)
                    taken[way].append(seconds)
                    print(f"{shape}: {way}: {seconds:.1f} s", flush=True)
                    if way != "full dump":
                        states.add(state)
            if len(states) > 1:
                sys.exit(f"{shape}: the pipe and the directory brought different data")
            shutil.rmtree(Path(place) / "chain")
            if set(options.ways) != set(WAYS):
                continue
            full, pipe, directory = ((statistics.median(taken[way]), min(taken[way])) for way in WAYS)
            lines.append(f"| {shape} | {full[0]:.1f} s ({full[1]:.1f}) | {pipe[0]:.1f} s ({pipe[1]:.1f}) | {pipe[0] / full[0]:.2f} ({pipe[1] / full[1]:.2f}) "
                         f"| {directory[0]:.1f} s ({directory[1]:.1f}) |")
    if len(lines) > 4:
        print(*lines, sep="\n")
        replace_table(options.page, "pipe", "bench/pipe.py", lines)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures the tools against what does the same work without them, and rewrites the table of docs/performance.md.

Every row's two commands take turns (A B A B ...) after a warm-up, on files that are in the page cache and on the disk; the ratio
is that of the medians. Inputs are made by bench-generate; what is written goes to a tmpfs. Needs a Release build. Beside each row
stands what the page has of it so far.
"""
import argparse
import os
import platform
import random
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MB = 1_000_000
BYTES_AN_ENTRY = 48  # at most, of oplog-apply's memory, its buffers included


class Command:
    """A command line, the file its stdout goes to, and how many bytes of input it works through."""

    def __init__(self, argv, size, stdout=os.devnull, written=None):
        self.argv = [str(a) for a in argv]
        self.size = size
        self.stdout = str(stdout)
        self.written = written  # a file or a directory, removed before each run: neither replaced nor freed on the clock

    def run(self, watch=None):
        """Seconds that it took; `watch` is called with the process while it runs."""
        if self.written and Path(self.written).is_dir():
            shutil.rmtree(self.written)
        elif self.written:
            Path(self.written).unlink(missing_ok=True)
        with open(self.stdout, "wb") as out:
            start = time.perf_counter()
            process = subprocess.Popen(self.argv, stdout=out, stderr=subprocess.DEVNULL)
            if watch:
                watch(process)
            code = process.wait()
            seconds = time.perf_counter() - start
        if code != 0:
            sys.exit(f"exit code {code}: {' '.join(self.argv)}")
        return seconds

    def peak_memory(self):
        """The largest anonymous memory seen, in bytes, in a run of its own."""
        peak = 0

        def sample(process):
            nonlocal peak
            try:
                while True:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    found = re.search(r"RssAnon:\s+(\d+) kB", status)
                    if not found:
                        return  # a zombie: it has ended
                    peak = max(peak, int(found[1]) * 1024)
                    time.sleep(0.001)
            except (FileNotFoundError, ProcessLookupError):
                pass

        def watch(process):
            threading.Thread(target=sample, args=(process,), daemon=True).start()

        self.run(watch)
        return peak


class Row:
    def __init__(self, work, ours, rival, rival_name, target, by_rate=False):
        self.work, self.ours, self.rival, self.rival_name, self.target = work, ours, rival, rival_name, target
        self.by_rate = by_rate  # "at least N times as fast", on inputs of different sizes

    def measure(self, rounds):
        self.ours.run()
        self.rival.run()
        ours, rival = [], []
        for _ in range(rounds):
            ours.append(self.ours.run())
            rival.append(self.rival.run())
        self.seconds = statistics.median(ours)
        self.rate = self.ours.size / self.seconds
        rival_seconds = statistics.median(rival)
        self.rival_rate = self.rival.size / rival_seconds
        self.ratio = self.rate / self.rival_rate if self.by_rate else self.seconds / rival_seconds
        self.memory = self.ours.peak_memory()
        met = self.target is None or (self.ratio >= self.target if self.by_rate else self.ratio <= self.target)
        self.verdict = "" if met else " (missed)"

    def markdown(self):
        if self.by_rate:
            ratio, target = f"{self.ratio:.1f} times as fast", f"at least {self.target}"
        else:
            ratio, target = f"{self.ratio:.2f} times as long", f"at most {self.target}"
        target = "" if self.target is None else target + self.verdict
        rates = f"{self.rate / MB:,.0f} MB/s | {self.rival_name}, {self.rival_rate / MB:,.{0 if self.rival_rate > 50 * MB else 1}f} MB/s"
        return f"| {self.work} | {rates} | {ratio} | {target} | {self.memory / (1 << 20):.1f} MiB |"


class RateRow(Row):
    """A row without a rival, whose rate alone is to be so many MB/s."""

    def __init__(self, work, ours, target, entries=None):
        super().__init__(work, ours, None, None, target)
        self.entries = entries  # where memory depends on their number

    def measure(self, rounds):
        self.ours.run()
        self.rate = self.ours.size / statistics.median(self.ours.run() for _ in range(rounds))
        self.memory = self.ours.peak_memory()
        met = self.rate >= (self.target or 0) * MB and (not self.entries or self.memory <= BYTES_AN_ENTRY * self.entries)
        self.verdict = "" if met else " (missed)"

    def markdown(self):
        memory = f"{self.memory / (1 << 20):.1f} MiB" + (f", {self.memory / self.entries:.0f} bytes an entry" if self.entries else "")
        wanted = [f"at least {self.target} MB/s"] if self.target else []
        target = ", ".join(wanted + ([f"at most {BYTES_AN_ENTRY} bytes an entry"] if self.entries else []))
        return f"| {self.work} | {self.rate / MB:,.0f} MB/s | | | {target}{self.verdict} | {memory} |"


def machine():
    cpu = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    return f"{cpu}, {os.cpu_count()} cores, {int(memory[1]) / (1 << 20):.0f} GiB of memory, Linux {platform.release().split('-')[0]}"


def is_release(build):
    cache = build / "CMakeCache.txt"
    return cache.exists() and "CMAKE_BUILD_TYPE:STRING=Release" in cache.read_text()


def directory_size(path):
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def replace_table(page, name, author, lines):
    """Puts the lines between the page's markers of that name."""
    table = "\n".join([f"<!-- {name}: written by {author} -->", *lines, f"<!-- end of {name} -->"])
    changed, count = re.subn(f"<!-- {name}:.*?<!-- end of {name} -->", lambda _: table, page.read_text(), flags=re.DOTALL)
    if count != 1:
        sys.exit(f"{page}: the markers of {name} are missing")
    page.write_text(changed)


def tool_path(build, name):
    found = sorted(p for p in build.rglob(name) if p.is_file() and os.access(p, os.X_OK))
    if not found:
        sys.exit(f"{name} is not in {build}: build it first")
    return found[0]


def rows(options, inputs, outputs):
    """Makes the inputs and yields what is to be measured."""
    def tool(name):
        return tool_path(options.build, name)

    seeds = sorted((ROOT / "tests" / "data").glob("*/*/**/oplog*.bson"))
    oplog = make(inputs / "oplog.bson", tool("bench-generate"), options.megabytes * MB, *seeds)
    line = subprocess.run([tool("oplog-range"), oplog], stdout=subprocess.PIPE, check=True, text=True).stdout.split()
    first, last = (int(field.split(":")[0]) for field in line[:2])
    size = oplog.stat().st_size

    def cut(path, start, end, *more):
        """The entries between two fractions of the time the oplog spans."""
        span = last - first + 1
        bounds = ["--from", f"{first + int(span * start)}:0", "--before", f"{first + int(span * end)}:0"]
        subprocess.run([tool("oplog-slice"), "-q", *bounds, "-f", "-o", path, *more, oplog], check=True)
        return path

    written = outputs / "written.bson"
    yield Row("oplog-range", Command([tool("oplog-range"), oplog], size),
              Command(["cat", oplog], size), "`cat FILE >/dev/null`", 1.3)

    half = cut(inputs / "half.bson", 0.25, 0.75)
    middle = ["--from", f"{first + int((last - first + 1) * 0.25)}:0", "--before", f"{first + int((last - first + 1) * 0.75)}:0"]
    yield Row("oplog-slice of the middle half", Command([tool("oplog-slice"), *middle, "-o", written, oplog], half.stat().st_size, written=written),
              Command(["cp", half, written], half.stat().st_size, written=written), "`cp` of the slice", 1.6)
    half.unlink()

    slices = [cut(inputs / f"slice{i}.bson", i / 8, (i + 1.1) / 8) for i in range(8)]
    total = sum(path.stat().st_size for path in slices)
    yield Row("oplog-merge of 8 slices, each a tenth into the next", Command([tool("oplog-merge"), "-o", written, *slices], total, written=written),
              Command(["cat", *slices], total, stdout=written), "`cat` of the slices to a file", 1.5)
    for i, path in enumerate(slices):
        cut(path, i / 11, (i + 4) / 11)
    total = sum(path.stat().st_size for path in slices)
    yield Row("oplog-merge of 8 slices, four over each moment", Command([tool("oplog-merge"), "-o", written, *slices], total, written=written),
              Command(["cat", *slices], total, stdout=written), "`cat` of the slices to a file", 1.5)
    for path in [*slices, written]:
        path.unlink(missing_ok=True)

    cat = Command([tool("oplog-cat"), oplog], size)
    small = cut(inputs / "small.bson", 0.4, 0.4 + 16 * MB / size)
    yield Row("oplog-cat", cat, Command([tool("bench-libbson-json"), small], small.stat().st_size),
              f"libbson's `bson_as_canonical_extended_json` and `fwrite` (on {small.stat().st_size / MB:.0f} MB)", 40, by_rate=True)
    bsondump = shutil.which("bsondump", path=os.environ.get("MONGO_TOOLS_BIN")) or shutil.which("bsondump")
    if bsondump:
        smaller = cut(inputs / "smaller.bson", 0.4, 0.4 + 6 * MB / size)
        yield Row("oplog-cat", cat, Command([bsondump, smaller], smaller.stat().st_size),
                  f"`bsondump` (on {smaller.stat().st_size / MB:.0f} MB, since it is slow)", 100, by_rate=True)

    for method, suffix, rival in (("zstd", "zst", ["zstd", "-dc"]), ("gzip:1", "gz", ["gzip", "-dc"])):
        if not shutil.which(rival[0]):
            continue
        packed = cut(inputs / f"packed.bson.{suffix}", 0.1, 0.1 + 200 * MB / size, "--compress", method)
        plain = int(subprocess.run([tool("oplog-range"), packed], stdout=subprocess.PIPE, check=True, text=True).stdout.split()[3])
        yield Row(f"oplog-range of .{suffix} (of {plain / MB:.0f} MB of BSON)", Command([tool("oplog-range"), packed], plain),
                  Command([*rival, packed], plain), f"`{' '.join(rival)} >/dev/null`", None)

    yield from chain_rows(tool, options.megabytes * MB, inputs, outputs)


def run(*argv):
    return subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, check=True, text=True).stdout


def make(path, *argv):
    """The file with what a command prints."""
    with open(path, "wb") as out:
        subprocess.run([str(a) for a in argv], stdout=out, check=True)
    return path


def make_chain(tool, size, inputs):
    """An oplog whose commands fit its collections, a full dump made out of its first two fifths, and the rest of it."""
    data = ROOT / "tests" / "data"
    increments = {name: sorted((data / name).glob("inc*/local/oplog.rs.bson")) for name in ("crud", "fuzzy", "txn_cut")}
    # Two of the chains have a shop.a. The first increment of txn_cut creates a collection, which can be done only once.
    other_name = ["--rename", "shop.a=shop.accounts"]
    moved, oplog, later = inputs / "moved.bson", inputs / "chain.bson", inputs / "later.bson"
    run(tool("oplog-filter"), "-q", *other_name, increments["txn_cut"][-1], "-o", moved)
    make(oplog, tool("bench-generate"), size, *increments["crud"], *increments["fuzzy"], moved)

    def apply(full, out, *more):
        run(tool("oplog-apply"), "-q", "--full", full, "-o", out, *more)
        return out

    first, last = (int(field.split(":")[0]) for field in run(tool("oplog-range"), oplog).split()[:2])
    middle = first + (last - first) * 2 // 5
    base = apply(data / "crud" / "full", inputs / "base", *increments["crud"])
    for name, rename in (("fuzzy", ["--ns", "shop.f"]), ("txn_cut", other_name)):
        more = apply(data / name / "full", inputs / name, *rename, *increments[name])
        for file in (more / "shop").iterdir():
            file.rename(base / "shop" / file.name)
    run(tool("oplog-slice"), "-q", "--before", f"{first}:2", "-f", "-o", base / "oplog.bson", oplog)
    full = apply(base, inputs / "full", oplog, "--to", f"{middle}:0")
    run(tool("oplog-slice"), "-q", "--from", f"{middle - 1}:0", "-o", later, oplog)
    return oplog, full, later


def chain_rows(tool, size, inputs, outputs):
    """The tools that follow collections."""
    oplog, full, later = make_chain(tool, size, inputs)
    size = oplog.stat().st_size
    yield RateRow("oplog-verify of a chain", Command([tool("oplog-verify"), "-q", oplog], size), 500)
    written = outputs / "staged.bson"
    yield RateRow("oplog-stage of a chain", Command([tool("oplog-stage"), "-q", "-o", written, oplog], size, written=written), 500)
    written.unlink(missing_ok=True)

    entries = int(run(tool("oplog-range"), later).split()[2])
    out = outputs / "later"
    yield RateRow("oplog-apply of a chain (dump and oplog)", Command([tool("oplog-apply"), "-q", "--full", full, "-o", out, later],
                                                                     directory_size(full) + later.stat().st_size, written=out), 200, entries)

    history = Command([tool("oplog-history"), "-q", "--ns", "shop.*", "--id", "77", oplog], size)
    yield Row("oplog-history of one document", history, Command([tool("oplog-range"), oplog], size), "`oplog-range`", 1.5)
    if shutil.which("jq"):
        few = inputs / "few.bson"
        first = int(run(tool("oplog-range"), oplog).split(":")[0])
        run(tool("oplog-slice"), "-q", "--before", f"{first + 20}:0", "-o", few, oplog)
        pipe = f"{tool('oplog-cat')} --relaxed --ns 'shop.*' {few} | jq -c 'select((.o2 // .o)._id == 77)'"
        yield Row("oplog-history of one document", history, Command(["sh", "-c", pipe], few.stat().st_size),
                  f"`oplog-cat` into `jq` (on {few.stat().st_size / MB:.0f} MB, since it is slow)", 20, by_rate=True)
    out = outputs / "undo"
    window = ["--after", run(tool("oplog-range"), "--last", full).strip(), "--to", run(tool("oplog-range"), "--last", later).strip()]
    yield RateRow("oplog-undo of all that a chain did (dump and oplog)", Command([tool("oplog-undo"), "-q", "--full", full, later, *window, "-o", out],
                                                                                directory_size(full) + later.stat().st_size, written=out), None, entries)
    other = inputs / "other"
    shutil.copytree(full, other)
    shuffle(max((other / "shop").glob("*.bson"), key=lambda file: file.stat().st_size))
    yield RateRow("oplog-diff of two dumps, one in another order", Command([tool("oplog-diff"), full, other], 2 * directory_size(full)), 300)
    shutil.rmtree(other)

    out, both = outputs / "later", directory_size(full) + later.stat().st_size
    plain = Command([tool("oplog-apply"), "-q", "--full", full, "-o", out, later], both, written=out)
    archive = inputs / "full.archive"
    run(tool("oplog-apply"), "-q", "--full", full, "--archive", "-o", archive)
    yield Row("oplog-apply of a full dump that is an archive", Command([tool("oplog-apply"), "-q", "--full", archive, "-o", out, later], both, written=out),
              plain, "`oplog-apply` of the directory", None)
    yield Row("oplog-apply as an archive, to a pipe", Command(["bash", "-c", f"exec {tool('oplog-apply')} -q --full {full} --archive -o - {later} > >(cat)"], both),
              plain, "`oplog-apply` to a directory", None)
    archive.unlink()

    few, one = in_slices(later, inputs / "slices", 10_000)
    yield Row("oplog-verify of 10,000 slices", Command([tool("oplog-verify"), "-q", *few], one.stat().st_size),
              Command([tool("oplog-verify"), "-q", one], one.stat().st_size), "`oplog-verify` of them as one", None)
    shutil.rmtree(inputs / "slices")

    commands = []
    for count in (20_000, 2_000):
        dump, increment = many_collections(inputs / f"collections{count}", count)
        commands.append(Command([tool("oplog-apply"), "-q", "--full", dump, "-o", outputs / "many", increment],
                                directory_size(dump) + increment.stat().st_size, written=outputs / "many"))
    yield Row("oplog-apply of 20,000 collections", *commands, "`oplog-apply` of 2,000", 12)


def documents_of(data):
    at = 0
    while at < len(data):
        end = at + int.from_bytes(data[at:at + 4], "little")
        yield data[at:end]
        at = end


def in_slices(oplog, folder, count):
    """So many slices of the beginning of an oplog, each with the last entry of the one before, and all of it as one."""
    folder.mkdir()
    with open(oplog, "rb") as file:
        entries = list(documents_of(cut_at_document(file.read(60 * MB))))
    size = len(entries) // count
    paths = [folder / f"{i:05}.bson" for i in range(count)]
    for i, path in enumerate(paths):
        path.write_bytes(b"".join(entries[max(i * size - 1, 0):(i + 1) * size]))
    one = folder / "one.bson"
    one.write_bytes(b"".join(entries[:size * count]))
    return paths, one


def cut_at_document(data):
    at = 0
    while at + 4 <= len(data) and at + int.from_bytes(data[at:at + 4], "little") <= len(data):
        at += int.from_bytes(data[at:at + 4], "little")
    return data[:at]


def many_collections(folder, count):
    """A full dump of so many collections with a document each, and an increment that inserts one more into each."""
    def document(*fields):
        return struct.pack("<i", sum(map(len, fields)) + 5) + b"".join(fields) + b"\0"

    def field(kind, name, value):
        return bytes([kind]) + name.encode() + b"\0" + value

    def text(name, value):
        return field(2, name, struct.pack("<i", len(value) + 1) + value.encode() + b"\0")

    def entry(ordinal, *fields):
        return document(*fields, field(0x11, "ts", struct.pack("<II", ordinal, 100)), field(0x12, "t", struct.pack("<q", 1)),
                        field(0x12, "v", struct.pack("<q", 2)), field(9, "wall", struct.pack("<q", 100_000)))

    noop = entry(1, text("op", "n"), text("ns", ""), field(3, "o", document()))
    entries = [noop]
    (folder / "full" / "shop").mkdir(parents=True)
    for i in range(count):
        uuid = i.to_bytes(16, "big")
        (folder / "full" / "shop" / f"c{i}.bson").write_bytes(document(field(0x10, "_id", struct.pack("<i", 1))))
        (folder / "full" / "shop" / f"c{i}.metadata.json").write_text(
            f'{{"indexes":[{{"v":{{"$numberInt":"2"}},"key":{{"_id":{{"$numberInt":"1"}}}},"name":"_id_"}}],"uuid":"{uuid.hex()}","collectionName":"c{i}","type":"collection"}}')
        entries.append(entry(i + 2, text("op", "i"), text("ns", f"shop.c{i}"), field(5, "ui", struct.pack("<iB", 16, 4) + uuid),
                             field(3, "o", document(field(0x10, "_id", struct.pack("<i", 2))))))
    (folder / "full" / "oplog.bson").write_bytes(noop)
    increment = folder / "inc.bson"
    increment.write_bytes(b"".join(entries))
    return folder / "full", increment


def shuffle(path):
    """Puts the documents of a file in another order."""
    documents = list(documents_of(path.read_bytes()))
    random.Random(1).shuffle(documents)
    path.write_bytes(b"".join(documents))


def validation(options, oplog):
    """Megabytes a second of bson::validate, which is `Check::full`."""
    output = subprocess.run([tool_path(options.build, "bench-validate"), oplog], stdout=subprocess.PIPE, check=True, text=True).stdout.split()
    return int(output[0]) / float(output[1]) / MB


def rates(page):
    """What the page has: the rate of each row, by the row's work and what it is compared with."""
    table = re.search("<!-- table:.*?<!-- end of table -->", page.read_text(), flags=re.DOTALL)
    return dict(map(rate_of, re.findall(r"^\| .* MB/s .*$", table[0] if table else "", flags=re.MULTILINE)))


def rate_of(line):
    cells = [cell.strip() for cell in line.split("|")]
    return (cells[1], cells[3].split(",")[0]), float(cells[2].split()[0].replace(",", ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release", help="the build directory (default: build/release)")
    parser.add_argument("--megabytes", type=int, default=1200, help="size of the oplog to make (default: 1200)")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each command (default: 7)")
    parser.add_argument("--only", default="", help="rows whose name holds this; the document is then left alone")
    parser.add_argument("--tmpfs", type=Path, default=Path("/dev/shm"), help="where outputs go (default: /dev/shm)")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md", help="the document to rewrite")
    options = parser.parse_args()
    if not is_release(options.build):
        sys.exit(f"{options.build} is no Release build: cmake --preset release && cmake --build --preset release")

    before = rates(options.page)
    lines = ["| work | rate | compared with | takes, or is | wanted | memory |", "|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as inputs, tempfile.TemporaryDirectory(dir=options.tmpfs) as outputs:
        for row in rows(options, Path(inputs), Path(outputs)):
            if options.only not in row.work:
                continue
            os.sync()  # what was made is not written to the disk on the clock
            row.measure(options.rounds)
            lines.append(row.markdown())
            name, rate = rate_of(lines[-1])
            print(lines[-1], f"was {before[name]:,.0f} MB/s, now {rate / before[name]:.2f} times that" if name in before else "new", flush=True)
        rate = validation(options, Path(inputs) / "oplog.bson")
    notes = [f"On: {machine()}. Oplog of {options.megabytes:,} MB, {options.rounds} rounds.",
             f"The full check of every byte (`Check::full`) runs at {rate:,.0f} MB/s in memory."]
    print(*notes, sep="\n")
    if options.only:
        return
    replace_table(options.page, "table", "bench/run.py", [*notes, "", *lines])


if __name__ == "__main__":
    main()

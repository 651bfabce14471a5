#!/usr/bin/env python3
"""Runs every tool on a small chain while something goes wrong, and holds what is left against what was promised:

the exit code is 0, 1 or 2; with 0 the output is that of an undisturbed run; with another there is one message, no output, what it was to replace is
as it was, and nothing is left beside it. After kill -9 there may be hidden names, and an output is whole or not there.

torture.py [--short] [--seed N]: a table of fault classes, cases and failures; exit code 1 if there are any. --short takes a sample of the cases.
"""
import argparse
import collections
import gzip
import json
import multiprocessing
import os
import pathlib
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).parent / "cli"))
from support import BIN, ENVIRONMENT, document, field, int32, nested, string, timestamp  # noqa: E402

import torture_scripts  # noqa: E402

FAULTS = os.environ["OPLOG_FAULTS"]
UUID = bytes(range(16))


def operation(ordinal, op, ns, o, *more):
    return document(string("op", op), string("ns", ns), field(5, "ui", struct.pack("<iB", 16, 4) + UUID), field(3, "o", o), timestamp("ts", 100, ordinal),
                    field(0x12, "t", struct.pack("<q", 1)), field(0x12, "v", struct.pack("<q", 2)), field(9, "wall", struct.pack("<q", 100_000)), *more)


def increment(count, ns="shop.a"):
    """The first entry is the full dump's last one."""
    entries = [operation(1, "n", "", document())]
    for n in range(2, count + 2):
        entries.append(operation(n, "i", ns, document(int32("_id", n), string("text", f"text {n}"))))
    entries.append(operation(count + 2, "c", "shop.$cmd", document(string("createIndexes", "a"), int32("v", 2), field(3, "key", document(int32("b", 1))), string("name", "b_1"))))
    entries.append(operation(count + 3, "d", ns, document(int32("_id", 2))))
    return b"".join(entries)


def metadata():
    index = {"v": {"$numberInt": "2"}, "key": {"_id": {"$numberInt": "1"}}, "name": "_id_"}
    return json.dumps({"indexes": [index], "uuid": UUID.hex(), "collectionName": "a", "type": "collection"}).encode()


CHAIN = {
    "full/shop/a.bson": document(int32("_id", 1)),
    "full/shop/a.metadata.json": metadata(),
    "full/oplog.bson": operation(1, "n", "", document()),
    "inc": increment(6),
}
OLD_DUMP = {"out/old/b.bson": document(int32("_id", 7)), "out/oplog.bson": operation(1, "n", "", document())}
PIECES = [f"out/0000000100.{n:010d}-0000000100.{n + 1:010d}.bson" for n in (1, 3, 5, 7)]
# What is run: the tool, its arguments, and what is at the output's place before.
COMMANDS = {
    "range": ("range", ["inc"], {}),
    "slice": ("slice", ["--from", "100:3", "inc", "-o", "out"], {}),
    "slice --force": ("slice", ["--force", "inc", "-o", "out"], {"out": b"old"}),
    "slice to zstd": ("slice", ["inc", "-o", "out.zst"], {}),
    "split": ("split", ["--entries", "2", "-o", "out", "inc"], {}),
    "split into": ("split", ["--entries", "2", "-o", "out", "inc"], {"out/mine": b"mine"}),
    "split --force": ("split", ["--force", "--entries", "2", "-o", "out", "inc"], {PIECES[1]: b"old", PIECES[2]: b"older"}),
    "merge": ("merge", ["full", "inc", "-o", "out"], {}),
    "cat": ("cat", ["inc", "-o", "out"], {}),
    "filter": ("filter", ["--rename", "shop.a=store.b", "inc", "-o", "out"], {}),
    "stats": ("stats", ["inc"], {}),
    "verify": ("verify", ["--full", "full", "inc"], {}),
    "stage": ("stage", ["--full", "full", "inc", "-o", "out"], {}),
    "stage --force": ("stage", ["--force", "--full", "full", "inc", "-o", "out"], OLD_DUMP),
    "apply": ("apply", ["--full", "full", "inc", "-o", "out"], {}),
    "apply --force": ("apply", ["--force", "--copy", "--full", "full", "inc", "-o", "out"], OLD_DUMP),
    "apply to stdout": ("apply", ["--full", "full", "inc", "--ns", "shop.a", "-o", "-"], {}),
    "history": ("history", ["--full", "full", "inc", "--ns", "shop.a", "-o", "out"], {}),
    "diff": ("diff", ["--full", "full", "inc", "--documents"], {}),
    "diff two": ("diff", ["full", "other", "--json"], {**{name.replace("full/", "other/"): data for name, data in CHAIN.items()}, "other/shop/a.bson": document(int32("_id", 2))}),
    "undo": ("undo", ["--full", "full", "inc", "--from", "100:2", "--to", "100:4", "--conflict", "replay", "-o", "out"], {}),
    "undo --check": ("undo", ["--full", "full", "inc", "--from", "100:2", "--to", "100:4", "--check"], {}),
}


def backup_directory():
    """Records of two chains, the newer one with two increments and another to come."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        n = [operation(ordinal, "i", "shop.a", document(int32("_id", ordinal))) for ordinal in range(9)]

        def chain(*arguments):
            subprocess.run([BIN / "oplog-chain", *arguments], cwd=directory, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
        (directory / "backup").mkdir()
        for started in ("1000", "2000"):
            write(directory, {"step/full/oplog.bson": n[2] + n[3], "step/full/shop/a.bson": document(int32("_id", 1)), "step/full/shop/a.metadata.json": metadata(),
                              "step/full/prelude.json": b'{"ServerVersion":"6.0.5"}', "step/slice/local/oplog.rs.bson": n[1] + n[2] + n[3], "probe/local/oplog.rs.bson": n[1]})
            chain("add-full", "backup", "step", "--quiet", "--probe", "probe", "--started", started)
        for number, started in ((3, "2010"), (4, "2020")):
            write(directory, {"step/local/oplog.rs.bson": n[number] + n[number + 1]})
            chain("add-inc", "backup", "step", "--quiet", "--chain", "latest", "--started", started)
        write(directory, {"step/local/oplog.rs.bson": n[5] + n[6], "probe/local/oplog.rs.bson": n[4],
                          "step/full/oplog.bson": n[5], "step/full/shop/a.bson": document(int32("_id", 1)), "step/full/shop/a.metadata.json": metadata(),
                          "step/slice/local/oplog.rs.bson": n[4] + n[5], "transactions": document(field(3, "startOpTime", document(timestamp("ts", 100, 3))))})
        return {name: data for name, data in tree(directory).items() if data is not None and name.startswith(("backup/", "step/", "probe/", "transactions"))}


def joinable_increments():
    """Records of a chain with increments of two hours that are over, and of a third."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        at = lambda second: document(string("op", "n"), string("ns", ""), field(3, "o", document()), timestamp("ts", second, 1))

        def chain(*arguments):
            subprocess.run([BIN / "oplog-chain", *arguments], cwd=directory, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
        (directory / "backup").mkdir()
        write(directory, {"step/full/oplog.bson": at(3500), "step/slice/local/oplog.rs.bson": at(3500), "probe/local/oplog.rs.bson": at(3500)})
        chain("add-full", "backup", "step", "--quiet", "--probe", "probe", "--started", "3600")
        seconds = (3500, 3700, 3800, 7300, 7400, 7500, 10900)
        for first, last in zip(seconds, seconds[1:]):
            write(directory, {"step/local/oplog.rs.bson": at(first) + at(last), "step/local/prelude.json": b"{}"})
            chain("add-inc", "backup", "step", "--quiet", "--chain", "latest", "--started", str(last))
        return {name: data for name, data in tree(directory).items() if data is not None and name.startswith("backup/")}


def cluster_directory():
    """Records of two backups of a cluster of two members."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        n = [operation(ordinal, "i", "shop.a", document(int32("_id", ordinal))) for ordinal in range(9)]

        def chain(*arguments):
            return subprocess.run([BIN / "oplog-chain", *arguments], cwd=directory, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout
        for started, first in (("1000", 2), ("2000", 4)):
            for member in ("config", "s0"):
                (directory / "backup" / member).mkdir(parents=True, exist_ok=True)
                write(directory, {"step/full/oplog.bson": n[first], "step/slice/local/oplog.rs.bson": n[1] + n[first], "probe/local/oplog.rs.bson": n[1]})
                chain("add-full", f"backup/{member}", "step", "--quiet", "--probe", "probe", "--started", started)
                write(directory, {"step/local/oplog.rs.bson": n[first] + n[first + 1] + n[first + 2]})
                chain("add-inc", f"backup/{member}", "step", "--quiet", "--chain", "latest", "--started", str(int(started) + 10))
            chain("add-round", "backup", "config=a:1", "s0=b:1", "--to", f"100:{first + 2}", "--started", started)
        return {name: data for name, data in tree(directory).items() if data is not None and name.startswith("backup/")}


CLUSTERS = {}
JOINABLE = {}
RECORDS = {}  # the directory's files, once the tools are known to be there
CONFIG = {"config.ini": b"[default]\ndb_user = u\ndb_pwd = p\ndbbak_dir = /backup\nrestore_user = r\n"}
RECORD_COMMANDS = {
    "chain status": ("chain", ["status", "--json", "backup"], RECORDS),
    "chain list": ("chain", ["list", "backup"], RECORDS),
    "chain verify": ("chain", ["verify", "backup"], RECORDS),
    "chain select": ("chain", ["select", "backup"], RECORDS),
    "chain select --to": ("chain", ["select", "backup", "--to", "100:3"], RECORDS),
    "chain select --to -0s": ("chain", ["select", "backup", "--to", "-0s"], RECORDS),
    "cluster list": ("chain", ["list", "backup"], CLUSTERS),
    "cluster verify": ("chain", ["verify", "backup"], CLUSTERS),
    "cluster select": ("chain", ["select", "backup"], CLUSTERS),
    "cluster select --to": ("chain", ["select", "backup", "--to", "100:4"], CLUSTERS),
    "cluster prune": ("chain", ["prune", "backup", "--keep", "1"], CLUSTERS),
    "cluster pin": ("chain", ["pin", "backup", "--chain", "latest"], CLUSTERS),
    "cluster next": ("chain", ["next", "backup"], CLUSTERS),
    "chain prune": ("chain", ["prune", "backup", "--keep", "1"], RECORDS),
    "chain prune by weeks": ("chain", ["prune", "backup", "--keep-weekly", "1"], RECORDS),
    "chain pin": ("chain", ["pin", "backup", "--chain", "latest"], RECORDS),
    "chain add-inc": ("chain", ["add-inc", "backup", "step", "--chain", "latest", "--started", "2030"], RECORDS),
    "chain add-full": ("chain", ["add-full", "backup", "step", "--probe", "probe", "--started", "2030"], RECORDS),
    "chain add-full, synthesized": ("chain", ["add-full", "backup", "step", "--chain", "latest", "--started", "2030"], RECORDS),
    "chain close": ("chain", ["close", "backup", "--chain", "latest", "--reason", "gap"], RECORDS),
    "chain seal": ("chain", ["seal", "backup", "--chain", "latest"], RECORDS),
    "chain compact": ("chain", ["compact", "backup"], JOINABLE),
    "chain next": ("chain", ["next", "backup"], RECORDS),
    "chain open-since": ("chain", ["open-since", "transactions", "--to", "100:4"], RECORDS),
    "chain unmatched": ("chain", ["unmatched", "full", "inc", "--ns", "shop.b", "--ns", "shop.a"], {}),
    "chain config": ("chain", ["config", "config.ini", "--insecure-config"], CONFIG),
    "chain login": ("chain", ["login", "config.ini", "--insecure-config"], CONFIG),
}


def without_times(files):
    """Records say when they were made."""
    return {name: re.sub(rb'"(finished|time|sha256|previous|closed)":"[^"]*"|"seconds":\d+', b"", data) if name.endswith(".json") and data else data for name, data in files.items()}


def write(directory, files):
    for name, data in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)


def tree(directory):
    return {str(path.relative_to(directory)): None if path.is_dir() else path.read_bytes() for path in directory.rglob("*")}


def is_hidden(name):
    return any(part.startswith(".") for part in pathlib.Path(name).parts)


class Run:
    """One run in a directory of its own."""

    def __init__(self, command, files=None, fault=None, also=None, env=None):
        self.command, self.fault = command, fault
        tool, arguments, old = COMMANDS.get(command) or RECORD_COMMANDS[command]
        self.tool = tool
        directory = pathlib.Path(tempfile.mkdtemp(prefix="oplog-torture-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        try:
            write(directory, {**CHAIN, **(files or {}), **old, **(also or {})})
            self.before = tree(directory)
            environment = {**ENVIRONMENT, "TMPDIR": str(directory), **(env or {})}
            if fault:
                environment.update(LD_PRELOAD=FAULTS, FAULT=fault, FAULT_COUNTS=str(directory / ".counts"))
            done = subprocess.run([BIN / f"oplog-{tool}", *arguments], cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
            self.code, self.out, self.err = done.returncode, done.stdout, done.stderr
            self.raw = tree(directory)
            self.after = without_times(self.raw)
            if self.code == 0 and b"could not be removed" in self.err:  # what was replaced, and the warning says where it is
                self.after = {name: data for name, data in self.after.items() if not is_hidden(name)}
            self.before = without_times(self.before)
            counts = self.after.pop(".counts", b"0 0 0")
            self.allocations, self.calls, self.threads = map(int, counts.split())
        finally:
            shutil.rmtree(directory)

    def is_like(self, good):
        # A chain whose beginning could not be read at first is verified in another place of the list.
        same_output = sorted(self.out.splitlines()) == sorted(good.out.splitlines()) if self.command.endswith(" verify") else self.out == good.out
        return same_output and (self.code, self.after) == (good.code, good.after)

    def message_is_wrong(self):
        lines = self.err.decode("utf-8", "replace").splitlines()
        said = [line for line in lines if not line.startswith("hint: ") and ": warning: " not in line and not line.startswith("oplog-undo: conflict: ")]
        return len(said) != 1 and f"it wrote {len(said)} messages: {lines}" or any(ord(c) < 32 and c != "\n" for c in self.err.decode("utf-8", "replace")) and "controls in its message"

    def wrong(self, good):
        """What is wrong with it, or nothing."""
        if self.code not in ((0, 1, 2, 10, 20, 21, 75) if self.tool == "chain" else (0, 1, 2)):
            return f"exit code {self.code}: {self.err[-200:]}"
        if self.code == 0 and self.command.endswith((" status", " list", " prune", " by weeks")) and b"Input/output error" in self.out + self.err and self.after == self.before:
            return None  # the chain is said to be damaged, and why
        if self.code == 0:
            return None if good is None or self.is_like(good) else f"exit code 0, and not the output of a good run: {self.difference(good.after)}"
        if b"stdout: " in self.err and good and self.after == good.after:
            return None  # split's list of its pieces, which are there
        if self.after != self.before:
            return f"exit code {self.code}, and {self.difference(self.before)}; {self.err}"
        return None if self.tool in ("verify", "range") or (self.tool == "chain" and self.out) else self.message_is_wrong()

    def wrong_after_signal(self, good):
        kept = {name: data for name, data in self.after.items() if not is_hidden(name)} if self.fault.startswith("kill") else self.after
        if self.code >= 0:
            return self.wrong(good)
        if self.command in RECORD_COMMANDS:
            return self.wrong_records(good)
        if kept in (self.before, good.after):
            return None
        if self.fault.startswith("kill") and self.command in ("split into", "split --force"):
            if all(name in kept or name in good.after for name in self.before) and all(data in (self.before.get(name), good.after.get(name)) for name, data in kept.items()):
                return None  # some of them, each whole
        return f"after the signal {self.difference(self.before)}"

    def wrong_records(self, good):
        """Each step is there or not, and whole; and what is there passes, or is what the next run mends."""
        kept = {name: data for name, data in self.after.items() if not is_hidden(name) and not name.startswith("step/")}  # which the next run makes anew
        allowed = {**self.before, **good.after}
        strange = [name for name, data in kept.items() if data not in (self.before.get(name, 0), good.after.get(name, 0))]
        if strange or set(kept) - set(allowed):
            return f"after the signal {self.difference(self.before)}"
        if "backup" not in self.raw:
            return None
        return self.next_run(["verify", "backup"])[1]

    def next_run(self, arguments):
        """What is there after another command on what there is, and what is wrong with that command's end."""
        with tempfile.TemporaryDirectory() as scratch:
            write(pathlib.Path(scratch), {name: data for name, data in self.raw.items() if data is not None})
            done = subprocess.run([BIN / "oplog-chain", *arguments], cwd=scratch, env=ENVIRONMENT, capture_output=True)
            return without_times(tree(pathlib.Path(scratch))), None if done.returncode == 0 else f"then {arguments[0]}: {done.stdout[-300:]}{done.stderr[-300:]}"

    def wrong_begun(self, good):
        """Of several hours some may be joined, of several backups some dropped: what is there passes, and the next run makes of it what a good one makes."""
        if self.code == 0 and b"damaged" not in self.err and not self.is_like(good):
            return f"exit code 0, and not the output of a good run: {self.difference(good.after)}"
        after, wrong = self.next_run(RECORD_COMMANDS[self.command][1])
        kept = {name: data for name, data in after.items() if not is_hidden(name)}
        return self.next_run(["verify", "backup"])[1] or wrong or (kept != good.after and f"the next run leaves {sorted(set(kept) ^ set(good.after))}") or None

    def difference(self, expected):
        return ", ".join(f"{name} is {'gone' if name not in self.after else 'there' if name not in expected else 'changed'}"
                         for name in sorted({*self.after, *expected}) if self.after.get(name, 1) != expected.get(name, 1)) or "stdout differs"


def sample(numbers, most, dice):
    numbers = list(numbers)
    return numbers if most is None or len(numbers) <= most else dice.sample(numbers, most)


def damaged_records(short, dice):
    """Whatever is changed, cut or lost in a backup directory, verify says so."""
    def check(changed):
        def run():
            done = Run("chain verify", also=changed)
            if done.code not in (2, 21):
                return f"exit code {done.code}: {done.out[-200:]}"
            return done.wrong(None)
        return run
    for name, data in RECORDS.items():
        if not name.startswith("backup/") or name.endswith("prelude.json"):
            continue
        for bit in sample(range(8 * len(data)), 8 if short else None, dice):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            yield "records", f"{name} bit {bit}", check({name: bytes(flipped)})
        for at in sample(range(len(data)), 4 if short else None, dice):
            yield "records", f"{name} cut at {at}", check({name: data[:at]})
        yield "records", f"{name} grown", check({name: data + b"\n"})
        if name.count("/") > 2:
            yield "records", f"a file beside {name}", check({name + ".copy": data})


def cases(short, dice):
    """Yields (fault class, what exactly, a function that says what is wrong)."""
    RECORDS.update(backup_directory())
    CLUSTERS.update(cluster_directory())
    JOINABLE.update(joinable_increments())
    yield from damaged_records(short, dice)
    for command in [*COMMANDS, *RECORD_COMMANDS]:
        good = Run(command)
        if good.code != 0:
            raise RuntimeError(f"{command} does not work at all: {good.err}")
        counted = Run(command, fault="none:0")
        for name, number, most in (("memory", counted.allocations, 10), ("io", counted.calls, 20), ("kill", counted.calls, 8), ("term", counted.calls, 12), ("thread", 3, 3)):
            for n in sample(range(1, number + 1), most if short and (name, command) != ("io", "chain select") else None, dice):
                def check(command=command, good=good, fault=f"{name}:{n}"):
                    run = Run(command, fault=fault)
                    if command in ("chain compact", "cluster prune"):
                        return run.wrong_begun(good)
                    return run.wrong_after_signal(good) if fault[:4] in ("kill", "term") else run.wrong(good)
                yield name, f"{command}, {name}:{n}", check
        if command in RECORD_COMMANDS:
            continue
        longer = Run(command, {"inc": increment(9)})
        for n in sample(range(1, counted.calls + 1), 15 if short else None, dice):
            def check(command=command, good=good, longer=longer, n=n):
                run = Run(command, fault=f"move:{n}", also={"next": increment(9)}, env={"FAULT_FROM": "next", "FAULT_TO": "inc"})
                for tree_ in (run.before, run.after):
                    tree_.pop("next", None)
                run.before["inc"] = run.after["inc"]
                for each in (good, longer):
                    if run.code == 0 and run.out == each.out and {**run.after, "inc": 0} == {**each.after, "inc": 0}:
                        return None
                return run.wrong(good)
            yield "moving inputs", f"{command}, move:{n}", check
            if n > counted.calls * 2 // 3:
                continue

            def cut(command=command, good=good, n=n):
                run = Run(command, fault=f"move:{n}", also={"next": increment(6)[:-9]}, env={"FAULT_FROM": "next", "FAULT_TO": "inc"})
                for tree_ in (run.before, run.after):
                    tree_.pop("next", None)
                run.before["inc"] = run.after["inc"]
                return None if run.code == 0 and run.out == good.out and {**run.after, "inc": 0} == {**good.after, "inc": 0} else run.wrong(good)
            yield "cut meanwhile", f"{command}, move:{n}", cut
    yield from torture_scripts.cases(short, dice, BIN, FAULTS, document(int32("_id", 1)), metadata(), lambda seconds, number: document(
        timestamp("ts", seconds, 1), string("op", "i"), string("ns", "shop.a"), field(5, "ui", struct.pack("<iB", 16, 4) + UUID), field(3, "o", document(int32("_id", number))),
        field(0x12, "t", struct.pack("<q", 1)), field(0x12, "v", struct.pack("<q", 2))))
    for name, data in CHAIN.items():
        readers = [c for c, (_, arguments, old) in COMMANDS.items() if not old and (name.split("/")[0] in arguments)]
        for at in sample(range(len(data)), 12 if short else None, dice):
            for command in sample(readers, 1 if short else None, dice):
                yield "truncation", f"{command}, {name} at {at}", lambda c=command, n=name, d=data[:at]: Run(c, {n: d}).wrong(None)
        for bit in sample(range(8 * len(data)), 25 if short else None, dice):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            for command in sample(readers, 1 if short else None, dice):
                yield "bit flip", f"{command}, {name} bit {bit}", lambda c=command, n=name, d=bytes(flipped): Run(c, {n: d}).wrong(None)
    for ns in ("../evil.a", "...a", "/etc.a", "shop.../../../evil", "shop.\x1b[31mred", "shop.a\nb", "shop." + "x" * 300, "shop.%2e%2e", "x" * 300 + ".a", ".a", "shop.", "",
               "shop.\u0085", "shop.$cmd", "shop.a\x7f", "-rf.a"):
        for command in sample(COMMANDS, 4 if short else None, dice):
            yield "hostile names", f"{command}, {ns!r}", lambda c=command, ns=ns: Run(c, {"inc": increment(3, ns).replace(UUID, UUID[::-1])}).wrong(None)
    deep = b"".join(b'{"a":' for _ in range(20_000)) + b"1" + b"}" * 20_000
    bombs = {"inc": [gzip.compress(bytes(64 << 20)), gzip.compress(CHAIN["inc"]) * 2000, operation(2, "i", "shop.a", nested(990)), operation(2, "i", "shop.a", nested(5000)),
                     struct.pack("<i", 0x7FFFFFFF) + bytes(100), b"\x28\xb5\x2f\xfd" + b"\xff" * 100],
             "full/shop/a.metadata.json": [deep, b"[" * 1_000_000, b'{"indexes":[' + b'{"a":1},' * 100_000 + b'{"name":"x"}]}', b'{"uuid":"' + b"f" * 1_000_000 + b'"}', b'{"uuid":"zz"}']}
    for name, contents in bombs.items():
        for number, data in enumerate(contents):
            for command, (_, arguments, _) in COMMANDS.items():
                if name.split("/")[0] in arguments:
                    yield "bombs", f"{command}, {name} number {number}", lambda c=command, n=name, d=data: Run(c, {n: d}).wrong(None)


def shard(options, number, of):
    """Runs one of every OF cases; how many of each class, and how many of them failed."""
    counts, failures = collections.Counter(), collections.Counter()
    for name, what, check in cases(options.short, random.Random(options.seed)):
        if options.only not in (None, name) or zlib.crc32(f"{name} {what}".encode()) % of != number:
            continue
        counts[name] += 1
        try:
            wrong = check()
        except subprocess.TimeoutExpired as error:
            wrong = str(error)
        if wrong:
            failures[name] += 1
            if failures[name] <= 20:
                print(f"{name}: {what}: {wrong}", flush=True)
    return counts, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="a sample of the cases")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--only", help="one fault class")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    of = os.cpu_count()
    with multiprocessing.get_context("fork").Pool(of) as pool:  # not threads: half of a case is Python's
        done = pool.starmap(shard, [(options, number, of) for number in range(of)], chunksize=1)
    counts, failures = (sum(each, collections.Counter()) for each in zip(*done))
    print(f"{'fault class':<16}{'cases':>10}{'failures':>10}")
    for name, count in counts.items():
        print(f"{name:<16}{count:>10}{failures[name]:>10}")
    print(f"{'all':<16}{counts.total():>10}{failures.total():>10}")
    return 1 if failures or not counts else 0


if __name__ == "__main__":
    sys.exit(main())

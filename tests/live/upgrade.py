#!/usr/bin/env python3
"""One data directory and one oplog from 4.2.6 over 4.4.2 and 5.0.32 to 6.0.27, restored at each step.

A chain begins on each server and goes on across the upgrade of the binary, which leaves the feature compatibility version as
it is, up to the entry that raises that: there our tools must refuse, and up to before it they restore. A line a step and
seed. Exit 0 when all is identical, 1 when not, 77 when a server is not to be had.
"""

import argparse
import random
import shutil
import sys
from itertools import pairwise
from pathlib import Path

from bench import SOURCE_PARAMETERS, Bench
from compare import differences, portable
from history import History
from methods import METHODS
from random_history import Writer
from server import Server, find_mongod, scratch_directory
from tools import MongoTools

STEPS = {"4.2.6": "4.2", "4.4.2": "4.4", "5.0.32": "5.0", "6.0.27": "6.0"}  # feature compatibility versions
WRITES = 40


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=Path("."), metavar="DIR", help="where oplog-stage and oplog-apply are")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--start", type=int, default=1, metavar="S", help="the first seed")
    arguments = parser.parse_args()
    missing = [version for version in STEPS if not find_mongod(version)]
    if missing:
        print(f"skipped: server {', '.join(missing)} not to be had (see tests/live/servers.py)")
        return 77
    methods = [METHODS[name](arguments.bin) for name in ("stage", "apply")]
    root = scratch_directory()
    targets = {version: Server(root / version, mongod=find_mongod(version)) for version in list(STEPS)[1:]}
    for target in targets.values():
        target.wait()
    failed = 0
    for seed in range(arguments.start, arguments.start + arguments.seeds):
        source = Server(root / f"seed{seed}", mongod=find_mongod("4.2.6"), parameters=SOURCE_PARAMETERS).wait()
        chance = random.Random(seed)
        for older, newer in pairwise(STEPS):
            upgraded = Upgraded(root, source, targets[newer])
            cells = upgraded.step(chance, newer, STEPS[newer], STEPS[older], methods)
            print("  ".join([f"{older} to {newer}".ljust(16), f"seed {seed}", *(f"{method.name}: {cell.text}" for method, cell in zip(methods, cells))]), flush=True)
            for cell in cells:
                if not cell.identical:
                    failed += 1
                    print(*(f"    {line}" for line in cell.details), sep="\n", flush=True)
        source.stop()
    return 1 if failed else 0


class Upgraded(Bench):
    """A source that a step of the upgrade is done on, and a target of the newer version."""

    def __init__(self, folder, source, target):
        self.folder = folder
        self.tools = MongoTools()
        self.source = source
        self.target = target

    def _differences(self, expected, actual):  # what is on the disk is of the older server still
        return differences(portable(expected), portable(actual))

    def step(self, chance, newer, fcv, fcv_before, methods):
        """A Cell a method."""
        scratch = self.folder / "case"
        scratch.mkdir()
        h = History(self.source, self.tools, scratch)
        writer = Writer(h, chance)
        write(writer)
        h.note()
        h.full_dump()
        write(writer)
        h.cut()
        write(writer)
        self.source.upgrade(find_mongod(newer), fcv_before)
        h.client = self.source.client
        write(writer)
        h.remember()
        h.cut()
        write(writer)
        h.remember()
        self.source.raise_fcv(fcv)
        h.finish(refused=True)
        try:
            return [self._cell(method, h, scratch) for method in methods]
        finally:
            shutil.rmtree(scratch)


def write(writer):
    for _ in range(WRITES):
        writer.write()


if __name__ == "__main__":
    sys.exit(main())

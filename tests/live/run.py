#!/usr/bin/env python3
"""Writes to a real server, dumps it, cuts its oplog, restores it in several ways, and compares every byte.

A line a workload, a column a way of restoring. Exit 0 when all of ours are identical, 1 when one is not, 77 when there
is no such server (with OPLOG_REQUIRE_LIVE=1, 2 where it is the usual one).
"""

import argparse
import os
import queue
import random
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

try:
    import pymongo  # noqa: F401
except ModuleNotFoundError:
    pymongo = None
else:
    from bench import Bench, Cell
    from methods import METHODS
    from random_history import random_history
    from server import find_mongod, scratch_directory
    from tools import MongoTools
    from workloads import SHORT, WORKLOADS

COLUMNS = ["usual", "stage", "apply"]
WIDTH = 60


def main():
    arguments = parse_arguments()
    reason = missing_parts(arguments)
    if reason:
        print(f"skipped: {reason}")
        return 2 if os.environ.get("OPLOG_REQUIRE_LIVE") == "1" and not arguments.server else 77

    tools = MongoTools()
    methods = [METHODS[name](arguments.bin) for name in arguments.columns if has_tool(name, arguments)]
    if not methods:
        print(f"none of {', '.join(arguments.columns)} can be tried: no tools in {arguments.bin}")
        return 2
    benches = start_benches(arguments, tools)
    cases = chosen_cases(arguments, benches[0].source)
    failed = report(benches[0], cases, measured(cases, benches, methods), methods, arguments.verbose)

    for name in arguments.columns:
        if not has_tool(name, arguments):
            print(f"no {METHODS[name].tool} in {arguments.bin}: column {name} skipped")
    print(tools.describe())
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=Path("."), metavar="DIR", help="where oplog-stage and oplog-apply are")
    parser.add_argument("--server", metavar="VERSION", help="one that servers.py got, or a path (default: $MONGOD, PATH, 6.0.5)")
    parser.add_argument("--target-server", metavar="VERSION", help="restore to this one (default: the same)")
    parser.add_argument("--fcv", metavar="VERSION", help="the feature compatibility version (default: the server's own)")
    parser.add_argument("--short", action="store_true", help="a few workloads that touch every kind")
    parser.add_argument("--workload", nargs="+", metavar="NAME", help="only these; a part of the name will do")
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="random histories after the workloads")
    parser.add_argument("--start", type=int, metavar="S", help="the first seed (default: a random one)")
    parser.add_argument("--only-seeds", action="store_true", help="no named workloads")
    parser.add_argument("--columns", type=lambda text: text.split(","), default=COLUMNS, metavar="NAME,...",
                        help=f"of {', '.join(COLUMNS)} (default: these), archive")
    parser.add_argument("--jobs", type=int, default=2, help="workloads at a time, each with two servers")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the dump and increments of what failed there")
    parser.add_argument("-v", "--verbose", action="store_true", help="details of the usual way too")
    arguments = parser.parse_args()
    if set(arguments.columns) - {*COLUMNS, "archive"}:
        parser.error(f"columns are {', '.join(COLUMNS)}, archive")
    return arguments


def missing_parts(arguments):
    if not pymongo:
        return "pymongo is not installed"
    for server in filter(None, (arguments.server, arguments.target_server)):
        if not find_mongod(server):
            return f"server {server} is not to be had (see tests/live/servers.py)"
    if not find_mongod(arguments.server):
        return "no mongod in $MONGOD, on PATH or in build/servers"
    return None


def has_tool(column, arguments):
    tool = METHODS[column].tool
    return tool is None or (arguments.bin / tool).exists()


def chosen_cases(arguments, source):
    """Names, and functions that write."""
    cases = [] if arguments.only_seeds else [
        (name, workload.write) for name, workload in WORKLOADS.items()
        if source.knows(workload.since) and not (workload.own_fcv and source.fcv) and (name in SHORT or not arguments.short)
        and (not arguments.workload or any(part in name for part in arguments.workload))]
    start = random.randrange(1_000_000) if arguments.start is None else arguments.start
    return cases + [(f"seed {seed}", random_history(seed)) for seed in range(start, start + arguments.seeds)]


def start_benches(arguments, tools):
    """From the main thread: a server ends with the thread that started it."""
    root = scratch_directory()
    mongod, target_mongod = (find_mongod(server) if server else None for server in (arguments.server, arguments.target_server))
    benches = [Bench(root / f"bench{number}", tools, arguments.keep, mongod=mongod, target_mongod=target_mongod, fcv=arguments.fcv)
               for number in range(arguments.jobs)]
    for bench in benches:
        bench.wait()
    return benches


def measured(cases, benches, methods):
    """Each case's name, cells and seconds, in order; as many at a time as there are benches."""
    free = queue.SimpleQueue()
    for bench in benches:
        free.put(bench)

    def measure(case):
        name, write = case
        bench = free.get()
        begin = time.monotonic()
        try:
            cells = bench.measure(name, write, methods)
        except Exception as error:  # in the workload itself, so that no way of restoring was tried
            cells = [Cell(f"no workload: {error}", broken=True) for _ in methods]
            cells[0].details = traceback.format_exc().splitlines()
        finally:
            free.put(bench)
        return name, cells, time.monotonic() - begin

    with ThreadPoolExecutor(len(benches)) as pool:
        yield from pool.map(measure, cases)


def report(bench, cases, results, methods, verbose):
    """Prints the table; the number of cases that failed, which the usual way alone cannot do."""
    width = max([len(name) for name, _ in cases] + [len("workload")])
    server = " to ".join(dict.fromkeys(server.describe() for server in (bench.source, bench.target)))
    print("  ".join(["server".ljust(len(server)), "workload".ljust(width), *(method.name.ljust(14) for method in methods), "seconds"]))
    failed = 0
    for name, cells, seconds in results:
        print("  ".join([server, name.ljust(width), *(shortened(cell.text).ljust(14) for cell in cells), f"{seconds:.1f}"]))
        wrong = [cell for cell, method in zip(cells, methods) if cell.broken or not (cell.identical or method.tool is None)]
        failed += bool(wrong)
        for cell in cells if verbose else wrong:
            for line in cell.details:
                print(f"    {line}")
        sys.stdout.flush()
    return failed


def shortened(text):
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else text[:WIDTH - 1] + "…"


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""mongodump and mongorestore for trying recipes without a server, and date at the time of the data.

Run as mongodump: hands out a chain of tests/data ($OPLOG_CHAIN) as if a server had it. Run as mongorestore: checks that
what it is given can be replayed. Options that the real ones do not have are errors.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

CHAIN = pathlib.Path(os.environ["OPLOG_CHAIN"])


def run(*command, **options):
    return subprocess.run(list(map(str, command)), check=True, close_fds=False, **options)  # a file may be /dev/fd/N


def parser():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--uri")
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    return parser


def mongodump():
    options = parser()
    options.add_argument("-d", "--db")
    options.add_argument("-c", "--collection")
    options.add_argument("--query", type=json.loads)
    options.add_argument("--oplog", action="store_true")
    options.add_argument("-o", "--out", default="dump")
    args = options.parse_args()
    if args.oplog:
        return shutil.copytree(CHAIN / "full", args.out, dirs_exist_ok=True)
    assert (args.db, args.collection) == ("local", "oplog.rs"), args
    timestamp = lambda value: f'{value["$timestamp"]["t"]}:{value["$timestamp"]["i"]}'
    names = {"$gte": "--from", "$gt": "--after", "$lte": "--to", "$lt": "--before"}
    bounds = [f"{names[op]}={timestamp(value)}" for op, value in args.query["ts"].items()]
    source = run("oplog-merge", "--chain", CHAIN / "full", *CHAIN.glob("inc*"), stdout=subprocess.PIPE).stdout
    if args.out == "-":
        return run("oplog-slice", *bounds, input=source)
    out = pathlib.Path(args.out) / "local" / "oplog.rs.bson"
    out.parent.mkdir(parents=True, exist_ok=True)
    run("oplog-slice", "-f", "-o", out, *bounds, input=source)


def mongorestore():
    options = parser()
    for flag in ("--oplogReplay", "--bypassDocumentValidation", "--drop", "--preserveUUID", "--dryRun"):
        options.add_argument(flag, action="store_true")
    for option in ("--oplogFile", "--oplogLimit", "--nsInclude", "--nsExclude", "--nsFrom", "--nsTo"):
        options.add_argument(option)
    options.add_argument("directory", type=pathlib.Path)
    args = options.parse_args()
    assert args.directory.is_dir(), args.directory
    oplog = args.directory / "oplog.bson"
    assert not (args.oplogFile and oplog.exists()), "an oplog.bson and --oplogFile"
    if args.oplogReplay:
        run("oplog-range", args.oplogFile or oplog, stdout=subprocess.DEVNULL)


def date():
    last = run("oplog-range", "--last", CHAIN / "inc2", stdout=subprocess.PIPE, text=True).stdout
    run("/bin/date", "-d", f"@{last.split(':')[0]}", *sys.argv[1:])


if __name__ == "__main__":
    try:
        {"mongodump": mongodump, "mongorestore": mongorestore, "date": date}[pathlib.Path(sys.argv[0]).name]()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)

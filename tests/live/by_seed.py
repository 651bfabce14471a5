# SPDX-License-Identifier: Apache-2.0
"""What the tests of random histories by seeds have in common. Import it first: without pymongo it ends them, as skipped."""

import argparse
import os
import sys

try:
    import pymongo  # noqa: F401
except ModuleNotFoundError:
    print("no pymongo to be had: skipped")
    sys.exit(2 if os.environ.get("OPLOG_REQUIRE_LIVE") == "1" else 77)

import server


def options(doc):
    """The seeds that are asked for, as a range, and the server to try them on; None where there is none."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, metavar="N")
    parser.add_argument("--start", type=int, default=1, metavar="S")
    parser.add_argument("--server", metavar="VERSION")
    given = parser.parse_args()
    return range(given.start, given.start + given.seeds), server.find_mongod(given.server)


def start(mongod, parameters=None):
    """A directory to work in, and a server with its data there."""
    directory = server.scratch_directory()
    source = server.Server(directory / "source", mongod=mongod, parameters=parameters)
    source.wait()
    return directory, source

#!/usr/bin/env python3
"""Two empty servers and a prompt, for the demonstration.

Prints their ports. Then every line of stdin is a Python expression, in which `source` and `target` are a database on each
server, and its value is printed on a line. With the end of stdin the servers are gone. With --check it only says, by its
exit code, whether there is a server to be had.
"""

import sys

from server import Server, find_mongod, scratch_directory


def main():
    if "--check" in sys.argv:
        return 0 if find_mongod() else 1
    root = scratch_directory()
    servers = [Server(root / name) for name in ("source", "target")]
    for server in servers:
        server.wait()
    print(*(server.port for server in servers), flush=True)
    names = dict(zip(("source", "target"), (server.client.shop for server in servers)))
    for line in sys.stdin:
        print(eval(line, names), flush=True)  # what a prompt is for
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs the stand-ins for whoever has the other end of standard input: each in a process that has loaded what takes longest."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import common  # noqa: F401


def main():
    requests = socket.socket(fileno=sys.stdin.fileno())
    programs = {name: compile((Path(__file__).parent / name).read_text(), name, "exec") for name in ("mongodump", "mongorestore")}
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that answer
    while True:
        request, descriptors, *_ = socket.recv_fds(requests, 1 << 20, 2)
        if not request:
            return
        if not os.fork():
            answer(programs, json.loads(request), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def answer(programs, command, output, ended):
    """Runs a command with that descriptor as its output, and writes its exit code to the other."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    worker = os.fork()
    if worker:
        _, status = os.waitpid(worker, 0)
        os.write(ended, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    os.close(ended)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = command
    exec(programs[command[0]], {"__name__": "__main__"})


main()

"""The workloads by name, in the order of their modules."""

from dataclasses import dataclass
from typing import Callable

OLDEST = "4.2"
WORKLOADS = {}


@dataclass
class Workload:
    write: Callable
    since: str  # the feature compatibility version that has what it uses
    own_fcv: bool = False  # whether it wants the server's own, such as $out, which 4.4 at FCV 4.2 refuses


def register(name, write, since=OLDEST, own_fcv=False):
    WORKLOADS[name] = Workload(write, since, own_fcv)


def workload(function):
    """A workload is named as its function reads."""
    return workload_since(OLDEST)(function)


def workload_since(version, own_fcv=False):
    """For what older servers do not know."""
    def decorate(function):
        register(function.__name__.replace("_", " "), function, version, own_fcv)
        return function
    return decorate


def numbered(count, **fields):
    return [{"_id": number, "n": number, **fields} for number in range(count)]

"""The workloads by name, in the order of their modules."""

from dataclasses import dataclass
from typing import Callable

OLDEST = "4.2"
WORKLOADS = {}


@dataclass
class Workload:
    write: Callable
    since: str  # the feature compatibility version that has what it uses


def register(name, write, since=OLDEST):
    WORKLOADS[name] = Workload(write, since)


def workload(function):
    """A workload is named as its function reads."""
    return workload_since(OLDEST)(function)


def workload_since(version):
    """For what older servers do not know."""
    def decorate(function):
        register(function.__name__.replace("_", " "), function, version)
        return function
    return decorate


def numbered(count, **fields):
    return [{"_id": number, "n": number, **fields} for number in range(count)]

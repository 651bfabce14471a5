"""The workloads by name, in the order of their modules."""

WORKLOADS = {}


def workload(function):
    """A workload is named as its function reads."""
    WORKLOADS[function.__name__.replace("_", " ")] = function
    return function


def numbered(count, **fields):
    return [{"_id": number, "n": number, **fields} for number in range(count)]

"""Named workloads: each writes to the source of a History, and dumps and cuts it at awkward moments."""

from . import collections, crud, dumps, indexes, names, renames, transactions  # noqa: F401  they register themselves
from .registry import WORKLOADS  # noqa: F401

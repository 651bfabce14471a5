"""Named workloads: each writes to the source of a History, and dumps and cuts it at awkward moments."""

from . import crud, transactions, indexes, renames, collections, names, dumps, fuzzy  # noqa: F401,I001  they register themselves
from .registry import WORKLOADS  # noqa: F401

"""Named workloads: each writes to the source of a History, and dumps and cuts it at awkward moments."""

from . import crud, transactions, indexes, renames, collections, names, dumps, fuzzy  # noqa: F401,I001  they register themselves
from .registry import WORKLOADS

# A few that touch every kind.
SHORT = {
    "every update operator", "every value type", "updates and deletes in chains", "prepared transactions interleaved", "ddl inside a transaction",
    "every kind of index on a renamed collection", "indexes hidden and shown", "a full dump during an index build",
    "a rename onto an existing collection", "out keeps the options of its target", "drop database", "convert to capped", "views", "validators",
    "collations", "clustered collections", "time series", "time series modified", "users and roles", "odd collection names after the dump",
    "increments that begin before the dump", "a capped document updated and evicted before the dump", "a capped document that comes again",
}
assert SHORT <= set(WORKLOADS)

"""Names that files, globs and parsers stumble over."""

from .registry import numbered, workload

NAMES = [
    "with space", "dotted.name", "caf\u00e9 \u4e16\u754c \U0001f600", "per%cent", "per%24cent", "slash/back\\slash",
    "~", "-o", "quote'\"`", "glob*?[x]", "semi;colon|pipe&amp", "new\nline", "tab\tbell\a", "a.bson", "a.metadata.json",
    "oplog", "oplog.bson", "local", "UPPER", "upper", "#hash", "colon:name", "plus+plus", "{brace}", "emoji.\u2603.index",
]
LONG_NAMES = ["x" * 120, "\u4e16" * 60]


def names(h):
    return NAMES + (LONG_NAMES if h.knows("4.4") else [])


@workload
def odd_collection_names_in_the_dump(h):
    for name in names(h):
        h.db[name].insert_one({"_id": 1})
        h.db[name].create_index("n")
    h.full_dump()
    for name in names(h):
        h.db[name].insert_one({"_id": 2})
    h.cut()
    for name in names(h)[::2]:
        h.db[name].drop_index("n_1")


@workload
def odd_collection_names_after_the_dump(h):
    h.db.a.insert_one({"_id": 1})
    h.full_dump()
    for name in names(h):
        h.db[name].insert_one({"_id": 2})
        h.db[name].create_index("n", name=f"index of {name}")
    h.cut()
    for number, name in enumerate(names(h)):
        h.db[name].rename(f"renamed {name}" if number % 2 else f"{name} renamed")
    h.cut()
    h.client.admin.command("renameCollection", f"shop.{NAMES[0]} renamed", to="other.plain")


@workload
def odd_database_names(h):
    databases = ["db-1", "\u4e16\u754c", "x!@#%^&()", "UPPER", "d" * 63, "1", "oplog", "dump", "config2"] + ["system"] * h.knows("5.0")
    for name in databases[::2]:
        h.client[name].a.insert_many(numbered(2))
        h.client[name].a.create_index("n")
    h.full_dump()
    for name in databases[1::2]:
        h.client[name].a.insert_many(numbered(2))
        h.client[name].a.create_index("n")
    h.cut()
    for name in databases[::3]:
        h.client[name].a.rename("b")
    h.client.drop_database(databases[2])


@workload
def user_collections_in_the_admin_database(h):
    h.client.admin.mine.insert_many(numbered(3))
    h.client.admin.mine.create_index("n")
    h.full_dump()
    h.client.admin.mine.insert_one({"_id": "later"})
    h.cut()
    h.client.admin.mine.rename("ours")
    h.client.admin.other.insert_one({"_id": 1})

"""What a server holds, and how two servers differ."""

import hashlib
from dataclasses import dataclass, replace

import bson
from bson.codec_options import CodecOptions

SKIPPED_DATABASES = {"config", "local"}
SKIPPED_NAMESPACES = {"admin.system.version", "admin.system.keys"}
# The server makes these when first needed and keeps them empty afterwards, where no dump shows them.
NOTHING_WHEN_EMPTY = ("system.users", "system.roles", "system.views")
# Before 5.0 a server keeps the numeric type that these were given with, which has no meaning; later ones have one for each.
INDEX_NUMBERS = {"expireAfterSeconds", "bits", "min", "max"}
LARGE = 4096
ANY_TEXT = CodecOptions(unicode_decode_error_handler="replace")


@dataclass
class Collection:
    kind: str  # collection, view or timeseries
    options: dict
    indexes: dict  # name to specification
    documents: list  # bytes each, or their digest when large
    in_order: bool  # whether the documents' natural order counts
    hash: str  # the server's own, from dbHash; empty where it says nothing


def state_of(server):
    """Everything that a restore must bring back: a dict of namespace to Collection, users and roles among them."""
    state = {}
    for name in server.client.list_database_names():
        if name in SKIPPED_DATABASES:
            continue
        database = server.client[name]
        hashes = database.command("dbHash")["collections"]
        for info in database.list_collections():
            namespace = f"{name}.{info['name']}"
            if namespace not in SKIPPED_NAMESPACES:
                state[namespace] = _collection(database, info, hashes.get(info["name"], ""), server.knows("5.0"))
    if server.auth:  # whom the tests log in as is no part of the data
        users = state["admin.system.users"]
        users.documents = [raw for raw in users.documents if bson.decode(raw)["user"] != server.user]
        users.hash = ""
    return {
        namespace: collection for namespace, collection in state.items()
        if collection.documents or namespace.split(".", 1)[1] not in NOTHING_WHEN_EMPTY}


def _collection(database, info, md5, exact_numbers):
    stored = info["type"] == "collection"
    indexes = {} if info["type"] == "view" else _indexes(database, info["name"], exact_numbers)
    in_order = bool(info["options"].get("capped"))
    documents = _documents(database[info["name"]]) if stored else []
    options = {**_by_key(info["options"]), "idIndex": _by_key(info.get("idIndex", {}))}
    return Collection(info["type"], options, indexes, documents if in_order else sorted(documents), in_order, md5)


def _indexes(database, name, exact_numbers):
    """The finished ones: a restore does not continue a build."""
    cursor = database.command("listIndexes", name, includeBuildUUIDs=True, cursor={"batchSize": 1000})["cursor"]
    specs = [spec for spec in cursor["firstBatch"] if "buildUUID" not in spec]
    for spec in specs:  # of a time series: what was asked for, and a dump of the series does not tell in which order
        if "originalSpec" in spec:
            spec["originalSpec"] = dict(sorted(spec["originalSpec"].items()))
    if not exact_numbers:
        specs = [{key: float(value) if key in INDEX_NUMBERS else value for key, value in spec.items()} for spec in specs]
    return {spec["name"]: _by_key(spec) for spec in specs}


def _by_key(document):
    """The outermost keys have no order of their own; everything below is compared as bytes, numeric types included."""
    return {key: bson.encode({key: value}) for key, value in document.items()}


def _documents(collection):
    documents = []
    for batch in collection.find_raw_batches({}, hint=[("$natural", 1)]):
        position = 0
        while position < len(batch):
            end = position + int.from_bytes(batch[position:position + 4], "little")
            raw = batch[position:end]
            documents.append(raw if len(raw) <= LARGE else b"large:" + hashlib.sha256(raw).digest())
            position = end
    return documents


def portable(state):
    """A state without what each version of the server has its own way of: what a time series is made of, and hashes."""
    return {namespace: _portable_collection(namespace, collection) for namespace, collection in state.items()}


def _portable_collection(namespace, collection):
    options = {**collection.options, "idIndex": _portable_index(collection.options["idIndex"])}
    documents = collection.documents
    if ".system.buckets." in namespace:
        options.pop("validator", None)
    if namespace.endswith(".system.views"):
        documents = [raw for raw in documents if not bson.decode(raw)["viewOn"].startswith("system.buckets.")]
    indexes = {name: _portable_index(spec) for name, spec in collection.indexes.items()}
    return replace(collection, options=options, indexes=indexes, documents=documents, hash="")


def _portable_index(spec):
    """Up to 4.2 it names its collection. That of a clustered one repeats the collection's expireAfterSeconds, on some servers."""
    repeated = {"ns", "expireAfterSeconds"} if "clustered" in spec else {"ns"}
    numbers = {key: float(bson.decode(spec[key])[key]) for key in INDEX_NUMBERS & spec.keys() - repeated}
    return {key: value for key, value in spec.items() if key not in repeated} | _by_key(numbers)


def differences(expected, actual):
    """A line each; none when the two states are equal."""
    lines = []
    for namespace in sorted(expected.keys() | actual.keys()):
        if namespace not in actual:
            lines.append(f"{namespace}: missing")
        elif namespace not in expected:
            lines.append(f"{namespace}: should not exist ({len(actual[namespace].documents)} documents)")
        else:
            lines += [f"{namespace}: {line}" for line in _differences(expected[namespace], actual[namespace])]
    return lines


def _differences(expected, actual):
    if expected.kind != actual.kind:
        yield f"is a {actual.kind}, not a {expected.kind}"
    yield from _keyed_differences("option", expected.options, actual.options)
    yield from _keyed_differences("index", expected.indexes, actual.indexes)
    if expected.documents != actual.documents:
        missing = _without(expected.documents, actual.documents)
        extra = _without(actual.documents, expected.documents)
        if missing:
            yield f"{len(missing)} documents missing, such as {_shown(missing[0])}"
        if extra:
            yield f"{len(extra)} documents too many, such as {_shown(extra[0])}"
        if not missing and not extra:
            yield "natural order differs"
    elif expected.hash and actual.hash and expected.hash != actual.hash:
        yield f"dbHash {actual.hash}, not {expected.hash}"


def _keyed_differences(what, expected, actual):
    for name in sorted(expected.keys() | actual.keys()):
        if expected.get(name) != actual.get(name):
            yield f"{what} {name!r} is {_shown(actual.get(name))}, not {_shown(expected.get(name))}"


def _without(documents, others):
    """The documents that are not among the others, each counted as often as it occurs."""
    left = {}
    for raw in others:
        left[raw] = left.get(raw, 0) + 1
    missing = []
    for raw in documents:
        if left.get(raw, 0):
            left[raw] -= 1
        else:
            missing.append(raw)
    return missing


def _shown(value):
    if value is None:
        return "absent"
    if isinstance(value, dict):
        return "{" + ", ".join(_shown(part)[1:-1] for part in value.values()) + "}"
    if value.startswith(b"large:"):
        return f"a large one of digest {value[6:14].hex()}"
    return repr(bson.decode(value, ANY_TEXT))

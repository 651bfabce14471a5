#!/usr/bin/env python3
"""oplog-gather at each entry by which a real sharded cluster of 4.4.2 becomes one of 5.0.32: its catalogue is changed document by document.

    OPLOG_BIN=build/release/tools MONGO_TOOLS_BIN=/usr/bin test_cluster_upgrade.py
"""

import subprocess
import sys
import threading

import by_seed  # noqa: F401  first: it skips what is not to be had

import bson

import server
from cluster import MAJORITY, Cluster
from test_gather import BIN, Chains, Comparison, raw_documents, stamp
from tools import MongoTools

CATALOGUE = {"config.chunks", "config.collections", "config.$cmd", "admin.system.version"}


def main():
    old, new = server.find_mongod("4.4.2"), server.find_mongod("5.0.32")
    if not old or not new:
        print("no servers 4.4.2 and 5.0.32 to be had: skipped")
        return 77
    directory = server.scratch_directory()
    cluster = Cluster(directory, old)
    cluster.create_database("app")
    router = cluster.router()
    for name in ("app.a", "app.b", "app.refined"):
        cluster.shard(name, {"_id": 1}, split=[{"_id": 10 * number} for number in range(1, 10)])
        router.insert(name, *({"_id": number} for number in range(100)))
    cluster.move("app.a", {"_id": 10}, "sh0")
    cluster.create_indexes("app.refined", {"key": {"_id": 1, "n": 1}, "name": "both"})
    cluster.ask("config", "admin", {"_configsvrRefineCollectionShardKey": "app.refined", "key": {"_id": 1, "n": 1},
                                    "epoch": cluster.collection("app.refined")["lastmodEpoch"]})
    chains = Chains(cluster, directory, MongoTools())
    chains.full()
    chains.increment()
    for each in cluster.servers.values():
        each.upgrade(new, "4.4")
    cluster._local = threading.local()
    cluster.on("config").command("admin", {"setFeatureCompatibilityVersion": "5.0", "writeConcern": MAJORITY})
    chains.increment()

    first = max(begin for begin, _ in Comparison(cluster, chains, directory).windows().values())
    entries = [bson.decode(raw) for raw in cluster.oplog("config", first)]
    moments = [entry["ts"] for entry in entries if entry["ns"] in CATALOGUE]
    wrong = 0
    for number, ts in enumerate(moments):
        done = subprocess.run([BIN / "oplog-gather", *chains.paths.values(), "-o", directory / f"out{number}", "--to", stamp(ts)], capture_output=True, text=True)
        found = {path.stem: sum(1 for _ in raw_documents(path)) for path in directory.glob(f"out{number}/app/*.bson")}
        if found != {"a": 100, "b": 100, "refined": 100}:
            wrong += 1
            print(f"at {stamp(ts)}: {found}, {done.stderr}", flush=True)
    print(f"{len(moments)} moments, {wrong} wrong")
    return 0 if len(moments) > 30 and not wrong else 1


if __name__ == "__main__":
    sys.exit(main())

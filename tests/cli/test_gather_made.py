#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""oplog-gather on clusters made by hand: what is rare on real ones, and what is wrong."""
import json
import shutil
import unittest

from made_chain import Long, Time, encode, uuid
from made_cluster import MadeCluster
from support import ToolTest, split_documents


class Made(ToolTest):
    def setUp(self):
        super().setUp()
        self.cluster = MadeCluster(self)
        self.config, (self.s0, self.s1) = self.cluster.config, self.cluster.shards
        self.cluster.database("app")

    def gather(self, *args, members=None, warnings=""):
        members = members or self.cluster.write()
        code, out, err = self.run_tool("gather", *members, "-o", "out", "-f", "-q", *args)
        self.assertEqual((code, out, err), (0, b"", warnings), args)
        return self.dumped()

    def dumped(self, directory="out"):
        """What documents each collection has, as values of JSON."""
        root = self.dir / directory
        found = {}
        for path in sorted(root.rglob("*.bson")):
            lines = self.good("cat", path).splitlines()
            found[".".join(path.relative_to(root).with_suffix("").parts)] = sorted(lines)
        return found

    def refused(self, message, *args, members=None, code=1):
        members = members or self.cluster.write()
        before = self.files()
        got, out, err = self.run_tool("gather", *members, "-o", "refused", *args)
        self.assertEqual((got, out), (code, b""), err)
        self.assertIn(message, err)
        self.assertEqual(self.files(), before)
        return err


def lines(*documents):
    """As oplog-cat prints documents of 32-bit integers and strings."""
    def value(each):
        return {"$numberInt": str(each)} if isinstance(each, int) else each

    return sorted(json.dumps({name: value(each) for name, each in document.items()}, separators=(",", ":")).encode() for document in documents)


class Drops(Made):
    def test_a_drop_before_5_0_takes_the_chunks_away_one_by_one(self):
        self.cluster.shard("app.a", 1, splits=[5], by_ns=True)
        self.cluster.shard("app.b", 2, by_ns=True)
        self.s0.insert("app.a", {"_id": 1})
        before = self.cluster.note()
        self.s0.drop("app.a")
        dropped_on_one = self.cluster.note()
        self.s1.drop("app.a")
        self.config.delete("config.chunks", 1)
        half = self.cluster.note()
        self.config.delete("config.chunks", 2)
        none = self.cluster.note()
        self.config.delete("config.collections", "app.a")
        self.assertEqual(self.gather("--to", before), {"app.a": lines({"_id": 1}), "app.b": []})
        for moment in (dropped_on_one, half, none):
            self.assertEqual(self.gather("--to", moment), {"app.b": []}, moment)

    def test_chunks_that_are_missing_of_a_collection_that_is_there_are_an_error(self):
        self.cluster.shard("app.a", 1, splits=[5])
        self.config.delete("config.chunks", 1)
        self.refused('collection app.a: no chunk has what is below {"_id":{"$numberInt":"5"}}')


if __name__ == "__main__":
    unittest.main()

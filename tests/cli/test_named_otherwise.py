#!/usr/bin/env python3
"""Files whose names do not say what they are: read right, or refused by name."""
import gzip
import json
import shutil
import subprocess
import unittest

from support import ToolTest, document, field, int32, string, timestamp

UUID = bytes(range(16))


def entry(ordinal, op="n", ns="", o=document(), *more):
    return document(string("op", op), string("ns", ns), *more, field(3, "o", o), timestamp("ts", 100, ordinal))


def insert(ordinal, ns="shop.a"):
    return entry(ordinal, "i", ns, document(int32("_id", ordinal)))


def metadata(name, uuid=UUID):
    return json.dumps({"options": {}, "indexes": [], "uuid": uuid.hex(), "collectionName": name, "type": "collection"}).encode()


def zstd(data):
    return subprocess.run(["zstd", "-c"], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout


@unittest.skipUnless(shutil.which("zstd"), "zstd is not installed")
class NamedOtherwise(ToolTest):
    def setUp(self):
        super().setUp()
        self.inc = entry(1) + insert(2) + insert(3)
        self.write("inc.bson", self.inc)

    def dump(self, files, oplog="oplog.bson"):
        shutil.rmtree(self.dir / "full", ignore_errors=True)
        whole = {oplog: entry(1), "shop/a.bson": document(int32("_id", 1)), "shop/a.metadata.json": metadata("a")}
        whole.update(files)
        for name, data in whole.items():
            if data is not None:
                self.write(f"full/{name}", data)

    def refused(self, *words):
        """By all that work on chains, before anything is written."""
        for command in (("verify", "--full", "full", "inc.bson"), ("stage", "--full", "full", "inc.bson", "-o", "out"), ("apply", "--full", "full", "inc.bson", "-o", "out")):
            code, out, err = self.run_tool(*command)
            self.assertEqual(code, 1, (command, out, err))
            for word in words:
                self.assertIn(word, err + out.decode(), command)
            self.assertFalse((self.dir / "out").exists())

    def test_a_compressed_oplog_under_any_name_is_read(self):
        for pack in (gzip.compress, zstd, bytes):
            for name in ("x.bson", "x.bson.gz", "x.bson.zst", "x"):
                self.write(name, pack(self.inc))
                self.assertEqual(self.good("slice", name), self.inc)
                self.assertEqual(self.good("merge", "--chain", name, "inc.bson"), self.inc)
            for name in ("d1/oplog.bson", "d2/oplog.bson.gz", "d3/oplog.bson.zst", "d4/local/oplog.rs.bson", "d5/local/oplog.rs.bson.gz", "d6/local/oplog.rs.bson.zst"):
                self.write(name, pack(self.inc))
                self.assertEqual(self.good("slice", name.split("/")[0]), self.inc)
        for name in ("oplog.bson", "oplog.bson.gz", "oplog.bson.zst"):
            for pack in (gzip.compress, zstd, bytes):
                self.dump({}, oplog=name)
                self.write(f"full/{name}", pack(entry(1)))
                out = f"out-{name}-{pack.__name__}"
                self.assertEqual(self.run_tool("apply", "--quiet", "--full", "full", "inc.bson", "-o", out), (0, b"", ""))
                self.assertEqual(self.read(f"{out}/shop/a.bson"), b"".join(document(int32("_id", n)) for n in (1, 2, 3)))

    def test_a_collection_that_is_compressed_otherwise_than_its_name_says_is_refused(self):
        one = document(int32("_id", 1))
        for plain, pack, how in (("shop/a.bson", gzip.compress, "compressed by gzip"), ("shop/a.bson", zstd, "compressed by zstd"),
                                 ("shop/a.metadata.json", gzip.compress, "compressed by gzip"), ("prelude.json", gzip.compress, "compressed by gzip")):
            self.dump({plain: pack(one if plain.endswith(".bson") else metadata("a"))})
            self.refused(f"full/{plain}: {how}, which is not what its name says")
        for other, data, how in (("shop/a.bson.gz", one, "not compressed"), ("shop/a.bson.gz", b"", "not compressed"), ("shop/a.bson.gz", zstd(one), "compressed by zstd"),
                                 ("shop/a.metadata.json.gz", metadata("a"), "not compressed")):
            self.dump({"shop/a.bson": None, "shop/a.metadata.json": None, "shop/a.bson.gz": gzip.compress(one), "shop/a.metadata.json.gz": gzip.compress(metadata("a")), other: data})
            self.refused(f"full/{other}: {how}, which is not what its name says")
        self.dump({"shop/b.bson": gzip.compress(one), "shop/b.metadata.json": metadata("b", UUID[::-1])})
        self.assertEqual(self.run_tool("stage", "--quiet", "--exclude-ns", "shop.b", "--full", "full", "inc.bson", "-o", "out"), (0, b"", ""))

    def test_zstd_in_a_dump_is_refused(self):
        for name in ("shop/a.bson.zst", "shop/b.bson.zst", "shop/b.metadata.json.zst"):
            self.dump({name: zstd(document(int32("_id", 9)))})
            self.refused(f"full/{name}: compressed by zstd, which mongorestore does not read: unpack it first")
        self.dump({"oplog.bson.zst": zstd(entry(1))})
        self.refused("full/oplog.bson", "full/oplog.bson.zst", "which of them is of this dump?")

    def test_two_collections_with_one_uuid_are_refused(self):
        self.dump({"shop/b.bson": document(int32("_id", 2)), "shop/b.metadata.json": metadata("b")})
        self.refused("full/shop/b.metadata.json: has the UUID of shop.a, and no two collections have one")
        self.dump({"other/b.bson": document(int32("_id", 2)), "other/b.metadata.json": metadata("b")})
        self.refused("full/shop/a.metadata.json: has the UUID of other.b, and no two collections have one")
        self.dump({"shop/b.bson": document(int32("_id", 2)), "shop/b.metadata.json": metadata("b", b"")})  # of old servers
        self.dump({"shop/c.bson": document(int32("_id", 2)), "shop/c.metadata.json": metadata("c", b"")})
        self.assertEqual(self.run_tool("verify", "--full", "full", "inc.bson")[0], 0)


class StrangeText(ToolTest):
    """Text that servers took though it is no UTF-8 goes through every tool as it is."""

    def test_its_bytes_stay(self):
        strange = [b"\xff", b"\xc3", b"a\x80b", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xfe" * 40]
        ops = []
        for n, text in enumerate(strange, 2):
            value = field(2, "text", len(text + b"\0").to_bytes(4, "little") + text + b"\0")
            name = b"\x10" + text.replace(b"\0", b"") + b"\0" + b"\1\0\0\0"
            ops.append(entry(n, "i", "shop.a", document(int32("_id", n), value, name)))
        data = b"".join(ops)
        self.write("in.bson", data)
        for command in (("slice", "in.bson"), ("slice", "--txn=trim", "in.bson"), ("merge", "in.bson", "in.bson"), ("merge", "--chain", "in.bson"), ("filter", "in.bson"),
                        ("filter", "--ns", "shop.a", "in.bson"), ("filter", "--op", "i", "in.bson")):
            self.assertEqual(self.good(*command), data, command)
        self.assertEqual(self.good("range", "in.bson").decode(), f"100:2 100:{len(strange) + 1} {len(strange)} {len(data)} in.bson\n")
        pieces = self.good("split", "--entries", "2", "-o", "pieces", "in.bson").decode().split()
        self.assertEqual(b"".join(self.read(piece) for piece in pieces), data)
        self.assertEqual(self.good("filter", "--rename", "shop.a=shop.b", "in.bson"), b"".join(op.replace(b"shop.a\0", b"shop.b\0") for op in ops))
        inner = document(*(b"\x03" + str(i).encode() + b"\0" + op for i, op in enumerate(ops)))
        packed = entry(50, "c", "admin.$cmd", document(field(4, "applyOps", inner)))
        self.write("packed.bson", packed)
        self.assertEqual(self.good("filter", "--ns", "shop.a", "packed.bson"), packed)
        kept = self.good("filter", "--rename", "shop.a=shop.b", "packed.bson")
        self.assertEqual(kept.replace(b"shop.b\0", b"shop.a\0"), packed)


if __name__ == "__main__":
    unittest.main()

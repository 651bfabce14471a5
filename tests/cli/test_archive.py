#!/usr/bin/env python3
"""Archives of mongodump where a dump or an increment is wanted: the result is that of the same data as files."""
import gzip
import json
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest
from urllib.parse import unquote_plus

from made_chain import Time, encode
from support import BIN, DATA, ENVIRONMENT, split_documents

CHAIN = DATA / "timeseries"
MAGIC, MARK = struct.pack("<I", 0x8199E26D), b"\xff\xff\xff\xff"


def crc64(data):
    crc = 2**64 - 1
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xC96C5795D7870F42 if crc & 1 else 0)
    return crc ^ (2**64 - 1)


def end(database, collection, data):
    crc = crc64(data)
    return encode({"db": database, "collection": collection, "EOF": True}) [:-1] + b"\x12CRC\0" + struct.pack("<Q", crc) + b"\0"


def with_length(document):
    return struct.pack("<i", len(document)) + document[4:]


def archive(dump):
    """Of a dump's directory; the documents of its collections alternate."""
    collections, streams = [], {}
    for path in sorted(dump.glob("*/*.metadata.json")):
        name = unquote_plus(path.name.removesuffix(".metadata.json"))
        metadata = json.loads(path.read_text())
        kind = metadata.get("type", "collection")
        collections.append({"db": path.parent.name, "collection": name, "metadata": path.read_text(), "size": 0, "type": kind})
        if "viewOn" in metadata.get("options", {}):
            collections[-1]["type"] = kind = "view"
            streams[path.parent.name, name] = b""
        data = path.parent / (("system.buckets." if kind == "timeseries" else "") + path.name.replace(".metadata.json", ".bson"))
        if data.exists():
            streams[path.parent.name, ("system.buckets." if kind == "timeseries" else "") + name] = data.read_bytes()
    if (dump / "oplog.bson").exists():
        collections.append({"db": "", "collection": "oplog", "metadata": "", "size": 0, "type": ""})
        streams["", "oplog"] = (dump / "oplog.bson").read_bytes()
    out = MAGIC + encode({"concurrent_collections": 4, "version": "0.1", "server_version": "6.0.5", "tool_version": "100"})
    out += b"".join(encode(each) for each in collections) + MARK
    queues = {name: split_documents(data) for name, data in streams.items()}
    while queues:
        for (database, collection), documents in list(queues.items()):
            if documents:
                out += encode({"db": database, "collection": collection, "EOF": False, "CRC": 0}) + b"".join(documents[:2]) + MARK
                del documents[:2]
            else:
                out += with_length(end(database, collection, streams[database, collection])) + MARK
                del queues[database, collection]
    return out


class Archives(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        (self.folder / "tmp").mkdir()
        self.dump = self.folder / "full"
        shutil.copytree(CHAIN / "full", self.dump)
        (self.dump / "shop/v.metadata.json").write_text('{"options":{"viewOn":"ts","pipeline":[]},"indexes":[],"collectionName":"v","type":"view"}')
        self.full = archive(self.dump)
        self.increments = sorted(CHAIN.glob("inc*"))
        self.apply(self.dump, *self.increments, out="wanted")

    def apply(self, full, *increments, out, expected=0, stdin=b"", tool="oplog-apply"):
        done = subprocess.run([BIN / tool, "--full", full, *increments, "-o", self.folder / out], input=stdin, capture_output=True, check=False, timeout=60,
                              env={**ENVIRONMENT, "TMPDIR": str(self.folder / "tmp")})
        self.assertEqual(done.returncode, expected, done.stderr.decode())
        self.assertEqual(list((self.folder / "tmp").iterdir()), [])
        return done.stderr.decode()

    def files(self, name):
        root = self.folder / name
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "prelude.json"}

    def test_a_full_dump_as_an_archive_gives_the_same(self):
        path = self.folder / "full.archive"
        path.write_bytes(self.full)
        self.apply(path, *self.increments, out="plain")
        path.write_bytes(gzip.compress(self.full))
        self.apply(path, *self.increments, out="gzip")
        self.apply("-", *self.increments, out="pipe", stdin=self.full)
        self.apply(path, *self.increments, out="staged", tool="oplog-stage")
        self.apply(self.dump, *self.increments, out="staged as wanted", tool="oplog-stage")
        self.assertTrue(self.files("wanted"))
        for name in ("plain", "gzip", "pipe"):
            self.assertEqual(self.files(name), self.files("wanted"), name)
        self.assertEqual(self.files("staged"), self.files("staged as wanted"))

    def test_increments_as_archives_give_the_same(self):
        archives = []
        for number, increment in enumerate(self.increments):
            oplog = (increment / "local/oplog.rs.bson").read_bytes()
            dump = self.folder / f"dump{number}" / "local"
            dump.mkdir(parents=True)
            (dump / "oplog.rs.bson").write_bytes(oplog)
            (dump / "oplog.rs.metadata.json").write_text('{"indexes":[],"collectionName":"oplog.rs","type":"collection"}')
            archives.append(self.folder / f"inc{number}.archive")
            archives[-1].write_bytes(gzip.compress(archive(dump.parent)) if number % 2 else archive(dump.parent))
        self.apply(self.dump, *archives, out="out")
        self.assertEqual(self.files("out"), self.files("wanted"))
        archives[0].write_bytes(self.full.replace(b"oplog\0", b"other\0"))
        self.assertIn("an archive without an oplog", self.apply(self.dump, archives[0], out="none", expected=1))

    def test_what_is_written_as_an_archive_is_what_would_be_written_as_files(self):
        for increments in ((), self.increments):
            with self.subTest(len(increments)):
                done = subprocess.run([BIN / "oplog-apply", "--full", self.dump, *increments, "--archive", "-o", "-"], capture_output=True, check=True,
                                      timeout=60, env=ENVIRONMENT)
                self.assertRegex(done.stderr.decode(), r"to restore it: mongorestore .*--archive\n\Z")
                (self.folder / "a.archive").write_bytes(done.stdout)
                self.apply(self.folder / "a.archive", out=f"again{len(increments)}")
                self.apply(self.dump, *increments, out=f"once{len(increments)}")
                self.apply(self.folder / f"once{len(increments)}", out=f"twice{len(increments)}")
                self.assertEqual(self.files(f"again{len(increments)}"), self.files(f"twice{len(increments)}"))
        subprocess.run([BIN / "oplog-apply", "--full", self.dump, *self.increments, "--archive", "-o", self.folder / "b.archive"], check=True, env=ENVIRONMENT,
                       stderr=subprocess.DEVNULL)
        self.assertEqual((self.folder / "b.archive").read_bytes(), done.stdout)

    def made(self, *arguments):
        """The header of an archive, what the prelude describes, and the blocks: a name, and documents or the end."""
        done = subprocess.run([BIN / "oplog-apply", *arguments, "--archive", "-o", "-"], capture_output=True, check=True, timeout=60, env=ENVIRONMENT)
        blocks, rest = [], done.stdout[4:]
        while rest:
            documents = []
            while not rest.startswith(MARK):
                documents.append(rest[:int.from_bytes(rest[:4], "little")])
                self.assertGreater(len(documents[-1]), 4)
                rest = rest[len(documents[-1]):]
            rest = rest[4:]
            blocks.append(documents)
        return *blocks[0], [(self.text(header, "db"), self.text(header, "collection"), None if b"\x08EOF\0\x01" in header else len(documents))
                            for header, *documents in blocks[1:]], done.stderr.decode()

    def text(self, document, name):
        at = document.index(b"\x02" + name.encode() + b"\0") + len(name) + 6
        return document[at:document.index(b"\0", at)].decode()

    def test_collections_alternate_and_users_and_roles_come_first(self):
        shutil.rmtree(self.dump / "shop")
        files = {"A/x": 2500, "A/y": 1500, "A/none": 0, "admin/system.users": 3, "admin/system.version": 1, "admin/small": 1}
        for name, count in files.items():
            path = self.dump / name
            path.parent.mkdir(exist_ok=True)
            path.with_name(path.name + ".bson").write_bytes(b"".join(encode({"_id": number}) for number in range(count)))
            path.with_name(path.name + ".metadata.json").write_text(f'{{"options":{{}},"indexes":[],"collectionName":"{path.name}","type":"collection"}}')
        (self.dump / "prelude.json").unlink(missing_ok=True)
        header, *described, blocks, _ = self.made("--full", self.dump)
        self.assertIn(b"\x10concurrent_collections\0\x04\0\0\0", header)
        self.assertEqual(self.text(header, "server_version"), "0.0.0")  # or mongorestore would refuse it
        self.assertEqual({self.text(one, "collection") for one in described}, {name.split("/")[1] for name in files} | {"oplog"})
        users = {("admin", "system.users", 3), ("admin", "system.users", None), ("admin", "system.version", 1), ("admin", "system.version", None)}
        self.assertEqual({block for block in blocks if block[1].startswith("system.")}, users)
        self.assertEqual(set(blocks[:4]), users)
        self.assertEqual(blocks[4:], [("A", "x", 1000), ("A", "y", 1000), ("admin", "small", 1), ("admin", "small", None), ("A", "none", None),
                                      ("A", "x", 1000), ("A", "y", 500), ("A", "y", None), ("A", "x", 500), ("A", "x", None), ("", "oplog", 1), ("", "oplog", None)])

    def test_an_oplog_that_mongorestore_would_not_read_in_an_archive_is_left_out(self):
        last = split_documents((self.increments[-1] / "local/oplog.rs.bson").read_bytes())[-1]
        at = last.index(b"\x11ts\0") + 4
        ordinal, seconds = struct.unpack_from("<II", last, at)
        for size, has_oplog in ((16 << 20, True), ((16 << 20) + 1, False)):
            path = self.folder / f"{size}.bson"
            one = {"op": "n", "ns": "", "ts": Time(seconds, ordinal + 1), "o": {"msg": ""}}
            path.write_bytes(last + encode({**one, "o": {"msg": "x" * (size - len(encode(one)))}}))
            *described, blocks, said = self.made("--full", self.dump, *self.increments, path)
            self.assertEqual(any(name == "oplog" for _, name, _ in blocks), has_oplog)
            self.assertEqual(self.text(described[-1], "collection") == "oplog", has_oplog)
            self.assertEqual("warning: the archive has no oplog" in said, not has_oplog)

    def test_options_for_mongorestore_are_known_before_the_archive_begins(self):
        options = self.folder / "options"
        metadata = json.loads((self.dump / "shop/ts.metadata.json").read_text())
        metadata["indexes"] = [{"v": 1, "key": {"a": 1}, "name": "a_1"}]
        (self.dump / "shop/ts.metadata.json").write_text(json.dumps(metadata))
        with open("/dev/full", "wb") as full:
            done = subprocess.run([BIN / "oplog-apply", "--full", self.dump, "--archive", "-o", "-", "--options-to", options], stdout=full, capture_output=False,
                                  stderr=subprocess.DEVNULL, check=False, timeout=60, env=ENVIRONMENT)
        self.assertEqual((done.returncode, options.read_text()), (2, "--bypassDocumentValidation --keepIndexVersion \n"))
        self.assertIn("--options-to is for --archive", subprocess.run([BIN / "oplog-apply", "--full", self.dump, "-o", self.folder / "out", "--options-to", options],
                                                                      capture_output=True, text=True, check=False, env=ENVIRONMENT).stderr)

    def test_dumps_that_are_archives_are_compared(self):
        for number in (1, 2):
            (self.folder / f"{number}.archive").write_bytes(self.full)
        first, second = self.folder / "1.archive", self.folder / "2.archive"

        def compare(*arguments, expected=0, **how):
            done = subprocess.run([BIN / "oplog-diff", "--exit-code", *arguments], capture_output=True, check=False, timeout=60,
                                  env={**ENVIRONMENT, "TMPDIR": str(self.folder / "tmp")}, **how)
            self.assertEqual(done.returncode, expected, done.stderr.decode())
            self.assertEqual(list((self.folder / "tmp").iterdir()), [])
            return done.stdout.decode() + done.stderr.decode()

        self.assertEqual(compare(first, second), "")
        self.assertEqual(compare(self.dump, second), "")
        self.assertEqual(compare("-", second, input=gzip.compress(self.full)), "")
        second.write_bytes(archive(self.folder / "wanted"))
        self.assertIn("shop.ts: ", compare(first, second, expected=1))
        self.assertIn(f'"dump":"{first}"', compare(first, second, "--json", expected=1))
        second.write_bytes(self.full[:-1])
        self.assertIn(f"{second}: offset ", compare(first, second, expected=1))

    def test_a_signal_leaves_nothing_of_an_archive(self):
        with subprocess.Popen([BIN / "oplog-apply", "--full", "-", "-o", self.folder / "out"], stdin=subprocess.PIPE,
                              env={**ENVIRONMENT, "TMPDIR": str(self.folder / "tmp")}) as tool:
            tool.stdin.write(self.full[:-4])
            tool.stdin.flush()
            while not list((self.folder / "tmp").iterdir()):
                self.assertIsNone(tool.poll())
                time.sleep(0.01)
            tool.terminate()
            self.assertEqual(tool.wait(), -signal.SIGTERM)
        self.assertEqual(list((self.folder / "tmp").iterdir()), [])

    def test_a_cut_or_changed_archive_is_refused_and_nothing_is_left(self):
        path = self.folder / "full.archive"
        for size in [*range(4, len(self.full), max(1, len(self.full) // 40)), len(self.full) - 1, len(self.full) - 4]:
            path.write_bytes(self.full[:size])
            said = self.apply(path, *self.increments, out="cut", expected=1)
            self.assertTrue(said.startswith(f"oplog-apply: {path}: offset "), said)
        documents = split_documents((CHAIN / "full/oplog.bson").read_bytes())
        at = self.full.index(documents[0]) + len(documents[0]) - 2
        path.write_bytes(self.full[:at] + bytes([self.full[at] ^ 1]) + self.full[at + 1:])
        self.assertIn("the checksum of .oplog is not that of its documents", self.apply(path, *self.increments, out="cut", expected=1))
        path.write_bytes(self.full.replace(b"db\0\x05\0\0\0shop\0", b"db\0\x05\0\0\0../x\0"))
        self.assertIn("'../x' is no database's name", self.apply(path, *self.increments, out="cut", expected=1))
        path.write_bytes(b"no dump")
        self.assertIn("no archive of mongodump", self.apply(path, *self.increments, out="cut", expected=1))
        self.assertFalse((self.folder / "cut").exists())


if __name__ == "__main__":
    unittest.main()

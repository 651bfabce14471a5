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
from test_gather_made import Made

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

    def test_an_archive_is_compressed_as_it_is_called_or_as_one_says(self):
        plain = self.folder / "plain"
        self.apply(self.dump, "--archive", out="plain")
        for name, option, unpack, command in (("a.gz", (), ["gzip", "-dc"], "mongorestore --bypassDocumentValidation --gzip --archive={}"),
                                              ("b.zst", (), ["zstd", "-dc"], "zstd -dc {} | mongorestore --bypassDocumentValidation --archive"),
                                              ("c", ("--compress", "gzip:0"), ["gzip", "-dc"], "mongorestore --bypassDocumentValidation --gzip --archive={}"),
                                              ("d.gz", ("--compress", "none"), ["cat"], "mongorestore --bypassDocumentValidation --archive={}")):
            with self.subTest(name):
                path = self.folder / name
                said = self.apply(self.dump, "--archive", *option, out=name)
                self.assertIn("to restore it: " + command.format(path) + "\n", said)
                self.assertEqual(subprocess.run([*unpack], input=path.read_bytes(), capture_output=True, check=True).stdout, plain.read_bytes())
                self.apply(path, out=name + " again")
                self.assertTrue(self.files(name + " again"))
        self.assertGreater((self.folder / "c").stat().st_size, plain.stat().st_size)

    def test_options_for_mongorestore_are_known_before_the_archive_begins(self):
        options = self.folder / "options"
        metadata = json.loads((self.dump / "shop/ts.metadata.json").read_text())
        metadata["indexes"] = [{"v": 1, "key": {"a": 1}, "name": "a_1"}]
        (self.dump / "shop/ts.metadata.json").write_text(json.dumps(metadata))
        with open("/dev/full", "wb") as full:
            done = subprocess.run([BIN / "oplog-apply", "--full", self.dump, "--archive", "-o", "-", "--options-to", options], stdout=full, capture_output=False,
                                  stderr=subprocess.DEVNULL, check=False, timeout=60, env=ENVIRONMENT)
        self.assertEqual((done.returncode, options.read_text()), (2, "--bypassDocumentValidation --keepIndexVersion --numInsertionWorkersPerCollection=4 \n"))

        def written():
            subprocess.run([BIN / "oplog-apply", "-q", "--full", self.dump, "--archive", "--compress", "gzip:0", "-f", "-o", "-", "--options-to", options], check=True,
                           stdout=subprocess.DEVNULL, timeout=60, env=ENVIRONMENT)
            return options.read_text()

        # In a capped collection documents must keep their order; where several collections are large, they are loaded side by side.
        metadata["options"] = {"capped": True, "size": 1 << 20}
        (self.dump / "shop/ts.metadata.json").write_text(json.dumps(metadata))
        self.assertEqual(written(), "--bypassDocumentValidation --keepIndexVersion --gzip \n")
        metadata["options"] = {}
        (self.dump / "shop/ts.metadata.json").write_text(json.dumps(metadata))
        self.assertEqual(written(), "--bypassDocumentValidation --keepIndexVersion --numInsertionWorkersPerCollection=4 --gzip \n")
        for number, name in enumerate(("one", "two")):
            (self.dump / f"shop/{name}.bson").write_bytes(b"".join(encode({"_id": n}) for n in range(100)))
            described = {**metadata, "collectionName": name, "type": "collection", "uuid": f"{number:032x}"}
            (self.dump / f"shop/{name}.metadata.json").write_text(json.dumps(described))
        self.assertEqual(written(), "--bypassDocumentValidation --keepIndexVersion --gzip \n")
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
        self.assertIn("offset 0: no archive of mongodump", self.apply(path, *self.increments, out="cut", expected=1))
        at = self.full.index(b"\x02collection\0")
        path.write_bytes(self.full[:at] + b"\x10" + self.full[at + 1:])
        self.assertTrue(self.apply(path, *self.increments, out="cut", expected=1).startswith(f"oplog-apply: {path}: offset "))
        self.assertFalse((self.folder / "cut").exists())

    def test_an_archive_with_two_collections_of_one_name_is_refused(self):
        header = int.from_bytes(self.full[4:8], "little")
        prelude = split_documents(self.full[4:self.full.index(b"\xff\xff\xff\xff")])
        at = 4 + header + sum(map(len, prelude[1:]))
        path = self.folder / "full.archive"
        for twice in prelude[1:]:
            path.write_bytes(self.full[:at] + twice + self.full[at:])
            said = self.apply(path, *self.increments, out="cut", expected=1)
            self.assertRegex(said, f"^oplog-apply: {path}: offset {at + len(twice)}: the archive has two collections ")
        self.assertFalse((self.folder / "cut").exists())

    def test_messages_name_the_archive_and_not_where_it_is_unpacked(self):
        path = self.folder / "full.archive"
        path.write_bytes(self.full.replace(b'"indexes":[', b'"indexes":x'))
        for tool, *arguments in (["apply", *self.increments, "-o", self.folder / "cut", "--full", path], ["diff", path, self.dump]):
            done = subprocess.run([BIN / f"oplog-{tool}", *arguments], capture_output=True, check=False, text=True, timeout=60)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, f"^oplog-{tool}: {path}: [a-z]*/[a-z.]*metadata.json: ")


class EveryTool(unittest.TestCase):
    """Takes an archive where it takes an oplog, and says what it says of the oplog."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.oplogs = [(increment / "local/oplog.rs.bson").read_bytes() for increment in sorted(CHAIN.glob("inc*"))]
        self.archives = [increment(oplog) for oplog in self.oplogs]

    def run_tool(self, tool, *arguments, expected=0, stdin=b""):
        done = subprocess.run([BIN / f"oplog-{tool}", *arguments], input=stdin, capture_output=True, check=False, timeout=60, cwd=self.folder,
                              env={**ENVIRONMENT, "TMPDIR": str(self.folder)})
        self.assertEqual(done.returncode, expected, done.stderr.decode())
        return done

    COMMANDS = {"range": ([], ["--long"], ["--json"]), "slice": ([], ["--txn=trim"]), "merge": ([], ["--chain"]), "filter": (["--ns", "shop.*"],), "cat": ([], ["--relaxed"]),
                "stats": ([], ["--json"]), "verify": ([], ["--json"]), "stage": (["-o", "-"],), "history": (["--ns", "shop.*"],)}

    def test_each_says_of_an_archive_what_it_says_of_its_oplog(self):
        oplog, packed = self.oplogs[0], self.archives[0]
        for tool, ways in self.COMMANDS.items():
            for options in ways:
                with self.subTest(tool=tool, options=options):
                    (self.folder / "in").write_bytes(oplog)
                    wanted = self.run_tool(tool, *options, "in")
                    self.assertTrue(wanted.stdout)
                    for one in (packed, gzip.compress(packed)):
                        (self.folder / "in").write_bytes(one)
                        done = self.run_tool(tool, *options, "in")
                        self.assertEqual((done.stdout, done.stderr), (wanted.stdout, wanted.stderr))
                        (self.folder / "in").write_bytes(oplog)
                        of_pipe = self.run_tool(tool, *options, "-", stdin=oplog)
                        done = self.run_tool(tool, *options, "-", stdin=one)
                        self.assertEqual((done.stdout, done.stderr), (of_pipe.stdout, of_pipe.stderr))
                        fifo = subprocess.run(["bash", "-c", f'"$0" "$@" <(cat packed)', BIN / f"oplog-{tool}", *options], capture_output=True, check=False, timeout=60,
                                              cwd=self.folder, env={**ENVIRONMENT, "TMPDIR": str(self.folder)}) if (self.folder / "packed").write_bytes(one) else None
                        self.assertEqual((fifo.returncode, fifo.stdout.replace(b"/dev/fd/63", b"-")), (0, of_pipe.stdout), fifo.stderr)

    def test_a_split_archive_is_the_split_oplog(self):
        parts = []
        for data in (self.oplogs[0], self.archives[0]):
            (self.folder / "in").write_bytes(data)
            self.run_tool("split", "--entries", "3", "-f", "-o", "parts", "in")
            parts.append({path.name: path.read_bytes() for path in (self.folder / "parts").iterdir()})
        self.assertEqual(*parts)
        self.assertEqual(b"".join(data for _, data in sorted(parts[0].items())), self.oplogs[0])

    def test_a_chain_of_archives_is_one_of_their_oplogs(self):
        names = []
        for number, (oplog, packed) in enumerate(zip(self.oplogs, self.archives)):
            (self.folder / f"{number}.bson").write_bytes(oplog)
            (self.folder / f"{number}.archive").write_bytes(gzip.compress(packed))
            names.append(str(number))
        full = CHAIN / "full"
        (self.folder / "full.archive").write_bytes(archive(full))
        self.assertEqual(self.run_tool("merge", "--chain", *(f"{name}.bson" for name in names)).stdout, self.run_tool("merge", "--chain", *(f"{name}.archive" for name in names)).stdout)
        for tool, *options in (("verify",), ("diff", "--stat"), ("history", "--ns", "shop.*")):
            with self.subTest(tool):
                wanted = self.run_tool(tool, *options, "--full", full, *(f"{name}.bson" for name in names))
                for dump, of in ((full, "archive"), ("full.archive", "bson"), ("full.archive", "archive")):
                    done = self.run_tool(tool, *options, "--full", dump, *(f"{name}.{of}" for name in names))
                    plain = lambda said: said.replace(str(full).encode(), b"full").replace(b"full.archive", b"full").replace(b".archive", b".bson")
                    self.assertEqual(plain(done.stdout), plain(wanted.stdout))
        # times that count back from the end
        for options in (["--last", "1s"], ["--from", "-1s"], ["--to", "-1s"]):
            self.assertEqual(self.run_tool("slice", *options, "2.bson" if (self.folder / "2.bson").exists() else "0.bson").stdout,
                             self.run_tool("slice", *options, "2.archive" if (self.folder / "2.bson").exists() else "0.archive").stdout)
        for dump, of in ((full, "bson"), ("full.archive", "archive")):
            self.run_tool("apply", "--full", dump, *(f"{name}.{of}" for name in names), "--to", "-0s", "-o", of)
        self.assertEqual(self.run_tool("diff", "bson", "archive").stdout, b"")
        self.assertIn(b"takes files, which can be read twice; - is none", self.run_tool("slice", "--last", "1s", "-", stdin=self.archives[0], expected=2).stderr)

    def test_operations_of_archives_are_taken_back(self):
        chain = DATA / "crud"
        (self.folder / "full.archive").write_bytes(archive(chain / "full"))
        oplog = (sorted(chain.glob("inc*"))[0] / "local/oplog.rs.bson").read_bytes()
        (self.folder / "inc.archive").write_bytes(increment(oplog))
        (self.folder / "inc.bson").write_bytes(oplog)
        made = []
        for dump, one in ((chain / "full", "inc.bson"), ("full.archive", "inc.archive")):
            first = self.run_tool("range", "--first", one).stdout.decode().strip()
            self.run_tool("undo", "--full", dump, one, "--after", first, "--to", "-0s", "--ns", "shop.*", "-f", "-o", "undo")
            made.append({path.relative_to(self.folder): path.read_bytes() for path in (self.folder / "undo").rglob("*.bson")})
        self.assertTrue(made[0])
        self.assertEqual(*made)

    def test_what_is_no_whole_archive_with_one_oplog_is_refused_by_each(self):
        packed = self.archives[0]
        second = packed[packed.index(MARK, packed.index(b"metadata")) + 4:]
        bad = {"cut in the prelude": packed[:40], "cut in a block": packed[:-100], "cut in the last block": packed[:-8], "cut before the last mark": packed[:-4], "another": packed + packed,
               "extra": packed + b"x", "its blocks again": packed + second, "no oplog": packed.replace(b"oplog.rs\0", b"oplog.xx\0"),
               "checksum": packed[:-13] + bytes([packed[-13] ^ 1]) + packed[-12:], "version": packed.replace(b"0.1\0", b"0.2\0"),
               "two oplogs": two_oplogs(self.oplogs[0])}
        for tool in (*self.COMMANDS, "apply"):
            for what, data in bad.items():
                with self.subTest(tool=tool, what=what):
                    (self.folder / "in").write_bytes(data)
                    options = ["--full", CHAIN / "full", "-o", "out"] if tool == "apply" else self.COMMANDS[tool][0]
                    done = self.run_tool(tool, *options, "in", expected=1)
                    self.assertRegex(done.stderr.decode(), rf"(?m)^(oplog-{tool}: |error: )?in: ")

    def test_an_archive_that_is_cut_anywhere_is_refused(self):
        packed = increment(b"".join(split_documents(self.oplogs[0])[:2]))
        for size in sorted({*range(1, len(packed), 17), *range(len(packed) - 100, len(packed))}):  # the unit tests cut it at every byte
            (self.folder / "in").write_bytes(packed[:size])
            self.run_tool("range", "in", expected=1)
        (self.folder / "in").write_bytes(packed)
        self.run_tool("range", "in")


class OfACluster(Made):
    def test_members_may_be_archives(self):
        self.cluster.shard("app.a", 1, splits=[10])
        self.s0.insert("app.a", {"_id": 1})
        self.s1.insert("app.a", {"_id": 20})
        members = self.cluster.write()
        wanted = self.gather(members=members)
        self.assertEqual(len(wanted["app.a"]), 2)
        for member in members:
            directory = self.dir / member
            (directory / "full.archive.gz").write_bytes(gzip.compress(archive(directory / "full")))
            (directory / "inc.archive").write_bytes(increment((directory / "inc/oplog.bson").read_bytes()))
            shutil.rmtree(directory / "full")
            shutil.rmtree(directory / "inc")
        self.assertEqual(self.gather(members=members), wanted)
        shutil.copy(directory / "full.archive.gz", directory / "full.copy")
        self.refused("two full dumps of one member", members=members)
        (directory / "full.copy").unlink()
        (directory / "full.archive.gz").unlink()
        self.refused("there is no directory 'full' in it, and no archive full.*", members=members, code=2)


def increment(oplog):
    """As of mongodump --db local --collection oplog.rs --archive."""
    described = {"db": "local", "collection": "oplog.rs", "metadata": '{"indexes":[],"collectionName":"oplog.rs","type":"collection"}', "size": 0, "type": "collection"}
    documents, out = split_documents(oplog), MAGIC + encode({"concurrent_collections": 1, "version": "0.1", "server_version": "6.0.5", "tool_version": "100"}) + encode(described) + MARK
    for at in range(0, len(documents), 7):
        out += encode({"db": "local", "collection": "oplog.rs", "EOF": False, "CRC": 0}) + b"".join(documents[at:at + 7]) + MARK
    return out + with_length(end("local", "oplog.rs", oplog)) + MARK


def two_oplogs(oplog):
    one = increment(oplog)
    other = encode({"db": "", "collection": "oplog", "EOF": False, "CRC": 0}) + oplog + MARK + with_length(end("", "oplog", oplog)) + MARK
    return one + other


if __name__ == "__main__":
    unittest.main()

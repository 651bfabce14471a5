"""What the tests of the tools have in common: running them, and entries made by hand."""
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import unittest

BIN = pathlib.Path(os.environ["OPLOG_BIN"]).resolve()
DATA = pathlib.Path(os.environ["OPLOG_SOURCE"]).resolve() / "tests" / "data"
MARK = b"\xff\xff\xff\xff"  # what a stream ends with when its writer gave up
GAP_HINT = "hint: increments queried with $gt share no entry and look like this: query with $gte of the last entry, as oplog-range --query does\n"
LIMIT = (16 << 20) + (16 << 10)  # bytes of the largest document
TOOLS = ("range", "slice", "split", "merge", "cat")
BSON_TOOLS = ("slice", "merge")  # those that write BSON to stdout
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "TZ": "UTC", "LC_ALL": "C"}

# A shell ignores SIGINT for what it runs in the background, as nohup does SIGHUP, and the tools leave it so: here they are to hear them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def field(kind, name, value):
    return bytes([kind]) + name.encode() + b"\0" + value


def document(*fields):
    body = b"".join(fields)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def string(name, value):
    text = value.encode()
    return field(2, name, struct.pack("<i", len(text) + 1) + text + b"\0")


def int32(name, value):
    return field(0x10, name, struct.pack("<i", value))


def timestamp(name, seconds, ordinal):
    return field(0x11, name, struct.pack("<II", ordinal, seconds))


def entry(seconds, ordinal=1, value=0, op="i", size=None):
    """An insert on shop.a as servers write it, `ts` in the middle; `size` pads it to so many bytes."""
    fields = [string("op", op), string("ns", "shop.a"), field(3, "o", document(int32("_id", value))),
              timestamp("ts", seconds, ordinal), field(0x12, "t", struct.pack("<q", 1)),
              field(9, "wall", struct.pack("<q", seconds * 1000))]
    if size is not None:
        fields.append(string("pad", "x" * (size - len(document(*fields)) - 10)))
    return document(*fields)


def entries(*ordinals):
    """Entries at 100:N for each N."""
    return b"".join(entry(100, n) for n in ordinals)


def nested(levels):
    """A document of so many levels, {"a": {"a": ...}}."""
    front = b"".join(struct.pack("<i", 8 * n - 3) + (b"\3a\0" if n > 1 else b"") for n in range(levels, 0, -1))
    return front + b"\0" * levels


def split_documents(data):
    documents, at = [], 0
    while at < len(data):
        size = struct.unpack_from("<i", data, at)[0]
        documents.append(data[at:at + size])
        at += size
    assert at == len(data)
    return documents


def chain(name):
    """A chain of tests/data: the oplog files of its full dump and of its increments."""
    base = DATA / name
    return [base / "full/oplog.bson"] + sorted(base.glob("inc*/local/oplog.rs.bson"))


CHAINS = sorted(p.parent.parent.name for p in DATA.glob("*/full/oplog.bson"))


class ToolTest(unittest.TestCase):
    """Runs tools in a directory of its own, where nothing unexpected may be left behind."""
    maxDiff = 2000

    def setUp(self):
        # In memory where possible: every published file is synced to disk otherwise.
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="oplog-cli-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def write(self, name, data):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return name

    def read(self, name):
        return (self.dir / name).read_bytes()

    def files(self):
        """Every file and directory there is, hidden ones too."""
        return sorted(str(p.relative_to(self.dir)) for p in self.dir.rglob("*"))

    def run_tool(self, name, *args, stdin=b"", env=None, **options):
        """(exit code, stdout, stderr) of oplog-NAME."""
        if not hasattr(stdin, "fileno"):
            options["input"] = stdin
        else:
            options["stdin"] = stdin
        options.setdefault("stdout", subprocess.PIPE)
        done = subprocess.run([BIN / f"oplog-{name}", *map(str, args)], cwd=self.dir, env={**ENVIRONMENT, **(env or {})},
                              stderr=subprocess.PIPE, timeout=60, **options)
        return done.returncode, done.stdout, done.stderr.decode("utf-8", "backslashreplace")

    def start(self, name, *args, env=None, **options):
        process = subprocess.Popen([BIN / f"oplog-{name}", *map(str, args)], cwd=self.dir, env={**ENVIRONMENT, **(env or {})}, stderr=subprocess.PIPE, **options)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def good(self, name, *args, **options):
        """stdout of a run that must succeed and say nothing."""
        code, out, err = self.run_tool(name, *args, **options)
        self.assertEqual((code, err), (0, ""), args)
        return out

    def fails(self, expected_code, message, name, *args, out=b"", **options):
        """A run that must fail with exactly this message; {} stands for the tool's name."""
        code, got, err = self.run_tool(name, *args, **options)
        self.assertEqual((code, err), (expected_code, message.replace("{}", f"oplog-{name}")), args)
        if out is not None:
            self.assertEqual(got, out)

    def usage(self, message, name, *args, **options):
        to_file = any(str(a).startswith(("-o", "--output")) and (a, after) != ("-o", "-") for a, after in zip(args, (*args[1:], None)))
        if name in ("slice", "merge", "filter", "stage") and not to_file:
            options.setdefault("out", MARK)  # the reader of the pipe must not take it for an empty stream
        self.fails(2, f"{{}}: {message}\nhint: oplog-{name} --help\n", name, *args, **options)

    def shell(self, script, **options):
        """(exit code, stdout, stderr) of a bash script with the tools on its PATH."""
        done = subprocess.run(["bash", "-c", "set -o pipefail\n" + script], cwd=self.dir, env=ENVIRONMENT,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, **options)
        return done.returncode, done.stdout, done.stderr.decode("utf-8", "backslashreplace")

    def command(self, name, *inputs):
        """Arguments for a run of the tool over these inputs, whatever else it needs."""
        return (["--entries", "1", "-o", "pieces"] if name == "split" else []) + [str(i) for i in inputs]

    def fails_on(self, name, code, message, *inputs, **options):
        """The tool fails on these inputs; what it had begun to write bears the mark."""
        before = self.files()
        self.fails(code, message, name, *self.command(name, *inputs), out=None, **options)
        self.assertEqual(self.files(), before)

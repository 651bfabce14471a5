"""oplog-backup and oplog-restore while a call on files fails in, or kills, the processes of one name that they run: see torture.py.

No server: what stands for mongodump answers from a file of entries, and what stands for mongorestore notes what it was given.
"""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

MONGODUMP = '''#!/usr/bin/env python3
import json, pathlib, struct, sys
place = pathlib.Path(__file__).parent
arguments = sys.argv[1:]
def value(name):
    return arguments[arguments.index(name) + 1] if name in arguments else None
def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
def chosen():
    bounds = [(op, (at["$timestamp"]["t"], at["$timestamp"]["i"])) for op, at in json.loads(value("--query") or "{}").get("ts", {}).items()]
    data = (place / "entries").read_bytes()
    while data:
        size, = struct.unpack_from("<i", data)
        ordinal, seconds = struct.unpack_from("<II", data, 8)  # ts stands first
        if all({"$gte": (seconds, ordinal) >= at, "$lte": (seconds, ordinal) <= at, "$lt": (seconds, ordinal) < at}[op] for op, at in bounds):
            yield data[:size]
        data = data[size:]
out = value("--out")
if "--version" in arguments:
    print("mongodump version: none")
elif value("--collection") == "oplog.rs":
    if out == "-":
        sys.stdout.buffer.write(b"".join(chosen()))
    else:
        write(pathlib.Path(out) / "local/oplog.rs.bson", b"".join(chosen()))
elif value("--collection") is None:
    for name in ("a.bson", "a.metadata.json"):
        write(pathlib.Path(out) / "shop" / name, (place / name).read_bytes())
    if "--oplog" in arguments:
        write(pathlib.Path(out) / "oplog.bson", list(chosen())[-1])
'''
MONGORESTORE = '''#!/usr/bin/env python3
import hashlib, pathlib, sys
place, given = pathlib.Path(__file__).parent, pathlib.Path(sys.argv[-1])
if "--archive" in sys.argv:
    loaded = hashlib.sha256(sys.stdin.buffer.read()).hexdigest()
else:
    loaded = "".join(f"{path.relative_to(given)} {hashlib.sha256(path.read_bytes()).hexdigest()}\\n" for path in sorted(given.rglob("*")) if path.is_file())
(place / "target").write_text(loaded)
'''


class System:
    """A directory with a configuration, a source, and a chain of a full backup and an increment."""

    def __init__(self, tools, data, metadata, entry, template=None):
        self.tools, self.entry, self.expected = tools, entry, template and template.expected
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="oplog-torture-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        if template:
            shutil.rmtree(self.place)
            shutil.copytree(template.place, self.place)
        self.backup = self.place / "backup"
        (self.place / "config.ini").write_text(f"[default]\nmongo_home = {self.place}\ndbbak_dir = {self.backup}\nlang = en\n")
        if template:
            return
        for name, text in (("mongodump", MONGODUMP), ("mongorestore", MONGORESTORE)):
            (self.place / name).write_text(text)
            (self.place / name).chmod(0o755)
        (self.place / "a.bson").write_bytes(data)
        (self.place / "a.metadata.json").write_bytes(metadata)
        self.began = int(time.time()) - 10
        (self.place / "entries").write_bytes(b"")
        for number, command in enumerate(("full", "inc"), 2):
            self.write(number)
            done = self.run("oplog-backup", command)
            assert done.returncode == 0, done.stderr
        self.write(4)
        self.expected = []
        for method in ("auto", "replay"):  # where oplog-apply fails its work is done by a replay
            done = self.run(*COMMANDS["restore"], "--method", method)
            assert done.returncode == 0, done.stderr
            self.expected.append((self.place / "target").read_text())
        (self.place / "target").write_text("nothing")

    def write(self, number):
        with open(self.place / "entries", "ab") as entries:
            entries.write(self.entry(self.began + number, number))

    def run(self, tool, *arguments, fault=None, program="", shim=""):
        environment = {**os.environ, "TMPDIR": str(self.place), "LC_ALL": "C.UTF-8", "OPLOG_BACKUP_RETRY_SECONDS": "0"}
        if fault:
            environment.update(LD_PRELOAD=shim, FAULT=fault, FAULT_IN=program)
        return subprocess.run([self.tools / tool, "-c", self.place / "config.ini", *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)

    def chains(self):
        return json.loads(subprocess.run([self.tools / "oplog-chain", "status", self.backup, "--json"], capture_output=True, check=True).stdout)["chains"]

    def files(self):
        return {path.relative_to(self.backup): path.read_bytes() for path in self.backup.glob("2*/**/*") if path.is_file() and path.name != "chain.json"}

    def remove(self):
        shutil.rmtree(self.place)


COMMANDS = {"full": ("oplog-backup", "full"), "inc": ("oplog-backup", "inc"), "full by slice": ("oplog-backup", "full"),
            "restore": ("oplog-restore", "--target", "nowhere:1", "--force")}
PROGRAMS = ("oplog-chain", "bash", "oplog-slice", "oplog-range", "oplog-apply", "oplog-merge", "mkdir", "mv", "rm", "mktemp", "mkfifo", "tail", "tee", "sed", "grep")


def wrong(system, command, fault, program, shim):
    """What is wrong after a run with that fault, or nothing."""
    if command == "full by slice":
        with open(system.place / "config.ini", "a") as config:
            config.write("full_method = slice\n")
    before, chains = system.files(), system.chains()
    done = system.run(*COMMANDS[command], fault=fault, program=program, shim=shim)
    # A shell that is disturbed before it has read a line has codes of its own; where it cannot read the first, it ends with 0.
    disturbed = program == "bash"
    codes = {0, 1, 2, 10, 21}
    if disturbed:
        codes |= {-9} if fault.startswith("kill") else {126, 127}
    unread = disturbed and (done.returncode, done.stdout, done.stderr) == (0, "", "")
    said = f"exit code {done.returncode}: {done.stderr[-300:]}"
    if done.returncode not in codes:
        return said
    if done.returncode != 0 and not done.stderr and not disturbed:
        return f"exit code {done.returncode}, and no word why"
    after = system.files()
    if any(after.get(name) != data for name, data in before.items()):
        return f"what was there is changed; {said}"
    now = system.chains()
    if any(chain["state"] != "open" for chain in now):
        return f"a chain is {[chain['state'] for chain in now]}; {said}"
    steps = sum(chain["increments"] + 1 for chain in now) - sum(chain["increments"] + 1 for chain in chains)
    if steps > 2 or (done.returncode == 0 and command != "restore" and not steps and not unread) or (command == "restore" and (steps or after != before)):
        return f"{steps} steps more; {said}"
    if done.returncode == 0 and command == "restore" and (system.place / "target").read_text() not in (["nothing"] if unread else system.expected):
        return f"something else was restored; {said}"
    if subprocess.run([system.tools / "oplog-chain", "verify", system.backup], capture_output=True).returncode:
        return f"what is there does not pass; {said}"
    system.write(5)
    again = system.run("oplog-backup", "inc")
    return f"the next run fails: {again.stderr}" if again.returncode else None


def cases(short, dice, tools, shim, data, metadata, entry):
    """Yields (fault class, what exactly, a function that says what is wrong)."""
    template = System(tools, data, metadata, entry)
    try:
        for command in COMMANDS:
            for program in PROGRAMS[:2] if short else PROGRAMS:
                numbers = range(1, 400) if program in PROGRAMS[:6] else range(1, 12)
                for kind in ("io", "kill"):
                    for n in dice.sample(numbers, 1 if short else min(40, len(numbers))):
                        def check(command=command, program=program, fault=f"{kind}:{n}"):
                            system = System(tools, data, metadata, entry, template)
                            system.began = template.began
                            try:
                                return wrong(system, command, fault, program, shim)
                            finally:
                                system.remove()
                        yield "scripts", f"{command}, {kind}:{n} in {program}", check
    finally:
        template.remove()

#!/usr/bin/env python3
"""Counts what the tools execute for a byte of input, and in which functions, and rewrites the table of it in docs/performance.md.

Instructions are those of callgrind, which does not see the kernel. Cycles are the seconds of CPU of a run by itself, all threads and the
kernel's, times the processor's clock as /proc/cpuinfo has it. Needs valgrind.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from run import MB, ROOT, directory_size, is_release, machine, make_chain, replace_table, run, tool_path

# A function belongs to the first that its name matches.
PARTS = {
    "every byte's check": r"validate|is_utf8",
    "JSON": r"JsonBuffer|put_base64|put_unsigned|put_text|put_finite_double",
    "an entry's fields": r"Operation::Operation|UsualFields|Iterator::read|Document::(field|find)|EntryView",
    "copying": r"mem(move|cpy)",
    "merging": r"Merge<",
}


def clock():
    """Cycles a second."""
    return float(re.search(r"cpu MHz\s*: ([\d.]+)", Path("/proc/cpuinfo").read_text())[1]) * 1e6


def counted(argv):
    """The instructions of a run, in all and by part."""
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile"
        subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", *argv], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True)
        text = run("callgrind_annotate", "--threshold=100", profile)
    total = int(re.search(r"^([\d,]+) .*PROGRAM TOTALS", text, re.MULTILINE)[1].replace(",", ""))
    parts = dict.fromkeys(PARTS, 0)
    for count, function in re.findall(r"^ *([\d,]+) \( ?[\d.]+%\)  \S*?:(.*)$", text, re.MULTILINE):
        part = next((name for name, pattern in PARTS.items() if re.search(pattern, re.sub(r"[(<].*", "", function) or function)), None)
        if part:
            parts[part] += int(count.replace(",", ""))
    return total, parts


def timed(argv):
    """Seconds of CPU of a run, of the program and of the kernel for it: the run with the least of both out of five."""
    def once():
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"exit code {process.returncode}: {' '.join(argv)}")
        return usage.ru_utime, usage.ru_stime
    return min((once() for _ in range(5)), key=sum)


def check_rates(program, oplog):
    """Megabytes a second that are checked in memory: by one process, and by two side by side."""
    def rates(count):
        running = [subprocess.Popen([program, oplog], stdout=subprocess.PIPE, text=True) for _ in range(count)]
        figures = [process.communicate()[0].split() for process in running]
        return sum(int(size) / float(seconds) / MB for size, seconds in figures)
    return rates(1), rates(2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "release", help="the build directory (default: build/release)")
    parser.add_argument("--megabytes", type=int, default=200, help="size of the oplog to make (default: 200)")
    parser.add_argument("--tmpfs", type=Path, default=Path("/dev/shm"), help="where inputs and outputs are (default: /dev/shm)")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md", help="the document to rewrite")
    options = parser.parse_args()
    if not is_release(options.build):
        sys.exit(f"{options.build} is no Release build: cmake --preset release && cmake --build --preset release")

    def tool(name):
        return str(tool_path(options.build, name))

    lines = ["| work | instructions a byte | of them | cycles a byte | of them in the kernel |", "|---|---:|---|---:|---:|"]
    with tempfile.TemporaryDirectory(dir=options.tmpfs) as name:
        folder = Path(name)
        oplog, full, later = make_chain(tool, options.megabytes * MB, folder)
        first, last = (int(field.split(":")[0]) for field in run(tool("oplog-range"), oplog).split()[:2])
        halves = [folder / "half1.bson", folder / "half2.bson"]
        run(tool("oplog-slice"), "-q", "--to", f"{(first + last) // 2}:0", "-o", halves[0], oplog)
        run(tool("oplog-slice"), "-q", "--from", f"{(first + last) // 2 - 1}:0", "-o", halves[1], oplog)
        both = [str(half) for half in halves]
        size, sizes = oplog.stat().st_size, sum(half.stat().st_size for half in halves)
        out = ["-f", "-o", str(folder / "out")]
        for work, argv, bytes_read in (
                ("oplog-slice of all", ["oplog-slice", "-q", *out, str(oplog)], size),
                ("oplog-merge of two halves", ["oplog-merge", "-q", *out, *both], sizes),
                ("oplog-cat", ["oplog-cat", str(oplog)], size),
                ("oplog-verify of a chain", ["oplog-verify", "-q", str(oplog)], size),
                ("oplog-stage of a chain", ["oplog-stage", "-q", *out, str(oplog)], size),
                ("oplog-apply of a chain (dump and oplog)", ["oplog-apply", "-q", "--full", str(full), "-f", "-o", str(folder / "applied"), str(later)],
                 directory_size(full) + later.stat().st_size)):
            argv = [tool(argv[0]), *argv[1:]]
            total, parts = counted(argv)
            user, kernel = timed(argv)
            of_them = ", ".join(f"{name} {count / bytes_read:.1f}" for name, count in parts.items() if count >= total / 20)
            cycles = clock() / bytes_read
            lines.append(f"| {work} | {total / bytes_read:.1f} | {of_them} | {(user + kernel) * cycles:.1f} | {kernel * cycles:.1f} |")
            print(lines[-1], flush=True)
        one, two = check_rates(tool("bench-validate"), str(oplog))
    notes = [f"On: {machine()}. Oplog of {options.megabytes:,} MB.",
             f"The full check in memory runs at {one:,.0f} MB/s in one process, and at {two:,.0f} MB/s in two side by side."]
    print(*notes, sep="\n")
    replace_table(options.page, "instructions", "bench/instructions.py", [*notes, "", *lines])


if __name__ == "__main__":
    main()

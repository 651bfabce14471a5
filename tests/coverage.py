#!/usr/bin/env python3
"""From gcov's JSON, an object a line on stdin: the lines of each header and tool, how many of them ran, and with $MISSED which did not."""
import collections
import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
ran = collections.defaultdict(lambda: collections.defaultdict(int))
for text in sys.stdin:
    unit = json.loads(text)
    for file in unit["files"]:
        path = pathlib.Path(unit["current_working_directory"], file["file"]).resolve()
        if path.is_relative_to(ROOT / "include") or path.is_relative_to(ROOT / "tools"):
            for line in file["lines"]:
                ran[str(path.relative_to(ROOT))][line["line_number"]] += line["count"]
all_lines = all_ran = 0
for name, lines in sorted(ran.items()):
    hit = sum(count > 0 for count in lines.values())
    all_lines, all_ran = all_lines + len(lines), all_ran + hit
    print(f"{name:<48}{hit:>7} of {len(lines):>6}{100 * hit / len(lines):>7.1f} %")
    if os.environ.get("MISSED"):
        text = (ROOT / name).read_text().splitlines()
        for number in sorted(number for number, count in lines.items() if not count):
            print(f"    {number}: {text[number - 1].strip()}")
if not all_lines:
    sys.exit("no line ran")
print(f"{'all':<48}{all_ran:>7} of {all_lines:>6}{100 * all_ran / all_lines:>7.1f} %")

#!/usr/bin/env python3
"""Manual pages are made of docs/tools.md, completion knows the options of the help (test_docs.py: docs/tools.md as well),
and the help is easy to read."""
import os
import pathlib
import re
import shutil
import subprocess
import unittest

from support import BIN, ENVIRONMENT, ToolTest

SOURCE = pathlib.Path(os.environ["OPLOG_SOURCE"]).resolve()
PACKAGING = SOURCE / "packaging"
TOOLS = sorted({p.stem for p in SOURCE.glob("tools/oplog-*") if p.suffix in ("", ".cpp")})
SCRIPTS = ("oplog-backup", "oplog-restore")


def run(*command, **environment):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", env={**ENVIRONMENT, **environment})


def help_of(tool, **environment):
    return run(str(BIN / tool), "--help", **environment).stdout


def options_of(tool):
    """The long options in a tool's help: in the first column, in usages, and behind the descriptions of commands."""
    text = help_of(tool, COLUMNS="1000")
    columns = [line.strip().split("  ")[0] for line in text.splitlines() if re.match(r" +-", line)]
    usages = [line for line in text.splitlines() if re.match(r"Usage: |       ", line) and tool in SCRIPTS]
    behind = re.findall(r"; --[a-z-]+", text)
    return set(re.findall(r"--[a-z][a-z-]*", " ".join(columns + usages + behind)))


class Manuals(ToolTest):
    def test_every_option_of_the_help_is_completed_by_bash(self):
        script = ('source "$0"; COMP_WORDS=("$1" "$2"); COMP_CWORD=1; _oplog "$1"; printf "%s\\n" "${COMPREPLY[@]}"')
        for tool in TOOLS:
            got = run("bash", "-c", script, str(PACKAGING / "completion" / "oplog.bash"), tool, "--").stdout.split()
            self.assertEqual(options_of(tool) - set(got), set(), tool)
            self.assertIn(f"{tool[6:]}", (PACKAGING / "completion" / "oplog.bash").read_text(encoding="utf-8").split("{")[-1])
        for tool, word, command in (("oplog-chain", "ver", "verify"), ("oplog-backup", "sy", "synthesize")):
            self.assertEqual(run("bash", "-c", script, str(PACKAGING / "completion" / "oplog.bash"), tool, word).stdout.split(), [command])

    @unittest.skipUnless(shutil.which("fish"), "fish is not here")
    def test_every_option_of_the_help_is_completed_by_fish(self):
        for tool in TOOLS:
            got = run("fish", "-c", f"source {PACKAGING}/completion/oplog.fish; complete -C '{tool} --'").stdout
            completed = {line.split("\t")[0] for line in got.splitlines()}
            self.assertEqual(options_of(tool) - completed, set(), tool)

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not here")
    def test_zsh_takes_its_completion(self):
        script = PACKAGING / "completion" / "_oplog"
        self.assertEqual(run("zsh", "-n", str(script)).returncode, 0)
        self.assertEqual(script.read_text(encoding="utf-8").split("\n")[0].split()[1:], TOOLS)

    @unittest.skipUnless(shutil.which("lowdown") and shutil.which("man"), "lowdown or man is not here")
    def test_a_manual_page_is_made_of_each_page_and_read_at_80_columns(self):
        for tool in [*TOOLS, "oplog"]:
            page = self.dir / f"{tool}.gz"
            made = run("sh", str(PACKAGING / "man_page.sh"), "0.1.0", tool, str(page))
            self.assertEqual((made.returncode, made.stderr), (0, ""), tool)
            shown = run("man", "-l", str(page), MANWIDTH="80", MANPAGER="cat").stdout
            self.assertRegex(shown, rf"(?s)^{tool.upper()}\([17]\).*\nNAME\n +{tool} +- .*\nSEE ALSO\n", tool)
            plain = re.sub(".\b", "", shown)
            prose = [line for line in plain.splitlines() if not line.startswith(" " * 11) and len(line) > 80]
            self.assertLess(len(prose), len(plain.splitlines()) / 10, (tool, prose[:3]))

    def test_help_is_as_wide_as_the_terminal_and_lists_exit_codes(self):
        for tool in TOOLS:
            self.assertIn("Exit codes: ", help_of(tool), tool)
        wide, narrow = help_of("oplog-slice", COLUMNS="150"), help_of("oplog-slice", COLUMNS="60")
        self.assertIn("zstd[:LEVEL], gzip[:LEVEL] or none, whatever FILE is called\n", wide)
        self.assertNotIn("zstd[:LEVEL], gzip[:LEVEL] or none, whatever FILE is called\n", narrow)
        for tool in TOOLS:
            unbroken = help_of(tool, COLUMNS="1000").split()
            self.assertIn(tool, unbroken)
            for width in (60, 80, 100):
                text = help_of(tool, COLUMNS=str(width))
                self.assertEqual(text.split(), unbroken, tool)
                long = [line for line in text.split("Example:")[0].splitlines() if len(line) > width and " " in line.strip()]
                self.assertEqual(long, [], tool)

    def test_a_mistyped_option_is_told_the_nearest(self):
        for typed, meant in (("--form", "--from"), ("--befor", "--before"), ("--outptu", "--output"), ("--comp", "--compress")):
            done = run(str(BIN / "oplog-slice"), typed, "1")
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"hint: did you mean {meant}?\n", done.stderr)
        for tool in TOOLS:
            self.assertNotIn("did you mean", run(str(BIN / tool), "--nothing-like-it").stderr, tool)
        for tool, typed, meant in (("oplog-backup", "--dryrun", "--dry-run"), ("oplog-backup", "fulll", "full"), ("oplog-backup", "statsu", "status"),
                                   ("oplog-restore", "--tagret", "--target"), ("oplog-restore", "--exclud-ns", "--exclude-ns")):
            done = run(str(BIN / tool), typed, "1")
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"hint: did you mean {meant}?\n", done.stderr)
        self.assertIn("did you mean status?", run(str(BIN / "oplog-chain"), "statsu", ".").stderr)

    def test_every_command_of_oplog_chain_is_in_its_help_and_its_page(self):
        commands = re.findall(r'{"([a-z-]+)", &Commands::', (SOURCE / "tools/oplog-chain.cpp").read_text())
        self.assertGreater(len(commands), 20)
        text, page = help_of("oplog-chain"), (SOURCE / "docs/tools.md").read_text().split("\n## oplog-chain")[1].split("\n## ")[0]
        for command in commands:
            self.assertRegex(text, rf"(?<![\w-]){command}(?![\w-])")
            self.assertIn(f"`{command}`", page)


if __name__ == "__main__":
    unittest.main()

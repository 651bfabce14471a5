#!/usr/bin/env python3
"""The documentation does what it says.

In the Markdown files, a ```console block is a session: lines that begin with `$ ` are commands, and what follows is what
they print; `…` stands for any text, and `# exit code N` ends a command that fails. A ```sh block is a recipe and must
succeed. Both run in a directory with a chain of tests/data in it, the one named last by <!-- chain: NAME -->. A ```cpp
block is compiled and run, and prints the ```text block after it. A ```bash block needs more than there is here.
"""
import os
import re
import shutil
import subprocess
import sys
import tarfile
import unittest

from support import BIN, DATA, ENVIRONMENT, ToolTest

SOURCE = DATA.parent.parent
sys.path.insert(0, str(SOURCE / "tests"))
from snippets import FENCE, cpp_blocks  # noqa: E402

DOCUMENTS = sorted([*SOURCE.glob("README*.md"), *SOURCE.glob("docs/*.md")])
TOOLS = sorted({p.stem for p in SOURCE.glob("tools/oplog-*") if p.suffix in ("", ".cpp")})
CHAIN = re.compile(r"<!-- chain: (\w+) -->\n")


def blocks(document, kind):
    """Line, chain and text of each block of a kind."""
    text = document.read_text(encoding="utf-8")
    for block in FENCE.finditer(text):
        if block[1] == kind:
            chains = CHAIN.findall(text[:block.start()])
            yield text.count("\n", 0, block.start()) + 1, chains[-1] if chains else "crud", block[2]


def matches(expected, got):
    return re.fullmatch(".*".join(map(re.escape, expected.split("…"))), got, re.DOTALL) is not None


class Documentation(ToolTest):
    def place(self, chain):
        """A new directory with the chain in it, and an environment in which it is what the server has."""
        folder = self.dir / "place"
        shutil.rmtree(folder, ignore_errors=True)
        packed = DATA / f"sharded/{chain}.tar.gz"
        if packed.exists():
            with tarfile.open(packed) as archive:
                archive.extractall(self.dir / "unpacked")
            (self.dir / "unpacked" / chain).rename(folder)
        else:
            shutil.copytree(DATA / chain, folder)
        for extra in ("final", "final.json", "golden"):
            path = folder / extra
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        commands = self.dir / "bin"
        commands.mkdir(exist_ok=True)
        for name in ("mongodump", "mongorestore", "date"):
            if not (commands / name).exists():
                os.symlink(SOURCE / "tests/cli/fake_mongo.py", commands / name)
        return folder, {**ENVIRONMENT, "PATH": f"{commands}:{ENVIRONMENT['PATH']}", "OPLOG_CHAIN": str(DATA / chain), "LC_ALL": "C.UTF-8"}

    def bash(self, script, place):
        folder, environment = place
        return subprocess.run(["bash", "-c", script], cwd=folder, env=environment, timeout=60, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def test_sessions_print_what_is_shown(self):
        seen = 0
        for document in DOCUMENTS:
            for line, chain, text in blocks(document, "console"):
                place = self.place(chain)
                for step in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                    command, _, expected = step.partition("\n")
                    while command.endswith("\\"):
                        more, _, expected = expected.partition("\n")
                        command += "\n" + more.removeprefix("> ")
                    code = re.search(r"# exit code (\d)$", command)
                    done = self.bash("set -o pipefail\n" + command, place)
                    with self.subTest(document=document.name, line=line, command=command):
                        self.assertEqual(done.returncode, int(code[1]) if code else 0, done.stdout)
                        self.assertTrue(matches(expected.rstrip("\n"), done.stdout.rstrip("\n")), f"expected:\n{expected}\ngot:\n{done.stdout}")
                        seen += 1
        self.assertGreater(seen, 0)

    def test_recipes_succeed(self):
        seen = 0
        for document in DOCUMENTS:
            for line, chain, text in blocks(document, "sh"):
                with self.subTest(document=document.name, line=line):
                    done = self.bash("set -e\n" + text, self.place(chain))
                    self.assertEqual(done.returncode, 0, done.stdout)
                    seen += 1
        self.assertGreater(seen, 0)

    def test_recipes_with_a_pipe_notice_its_failure(self):
        for document in DOCUMENTS:
            for kind in ("sh", "bash"):
                for line, _, text in blocks(document, kind):
                    if re.search(r"[^|]\|[^|]", text):
                        self.assertTrue(text.startswith("set -o pipefail\n"), f"{document.name}:{line}")

    def test_programs_print_what_is_shown(self):
        program = BIN.parent / "tests" / "oplog_docs"
        seen = 0
        for document in DOCUMENTS:
            if document.name == "README.zh-CN.md":  # has the README's
                continue
            for (name, _, line, _, prints), (_, chain, _) in zip(cpp_blocks([document]), blocks(document, "cpp")):
                folder, environment = self.place(chain)
                done = subprocess.run([program, name], cwd=folder, env=environment, timeout=60, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                with self.subTest(document=document.name, line=line):
                    self.assertEqual(done.returncode, 0, done.stdout)
                    self.assertEqual(done.stdout, prints or "")
                    seen += 1
        self.assertGreater(seen, 0)

    def test_every_tool_has_a_section_with_its_options(self):
        text = (SOURCE / "docs/tools.md").read_text(encoding="utf-8")
        sections = dict(re.findall(r"^## (oplog-\w+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
        self.assertEqual(sorted(sections), TOOLS)
        common = set(re.findall(r"`(?:-\w, )?(--[\w-]+)", text.split("## Common")[1].split("\n## ")[0]))
        for tool, section in sections.items():
            for part in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "MEMORY", "EXAMPLES", "SEE ALSO"):
                self.assertIn(f"\n### {part}\n", section, tool)
            _, out, _ = self.run_tool(tool.removeprefix("oplog-"), "--help")
            options = set(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", out.decode(), re.MULTILINE))
            documented = set(re.findall(r"^- `(?:-\w, )?(--[\w-]+)", section, re.MULTILINE))
            self.assertEqual(documented - set(re.findall(r"--[\w-]+", out.decode())), set(), f"{tool} has no such option")
            self.assertEqual(options - documented - common, set(), f"the section of {tool} lacks options")

    def test_the_readmes_show_the_same(self):
        english, chinese = ([m[2] for m in FENCE.finditer((SOURCE / name).read_text(encoding="utf-8"))] for name in ("README.md", "README.zh-CN.md"))
        self.assertEqual(english, chinese)

    def test_links_lead_somewhere(self):
        for document in [*DOCUMENTS, SOURCE / "CONTRIBUTING.md"]:
            for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", FENCE.sub("", document.read_text(encoding="utf-8"))):
                if not target.startswith("http"):
                    self.assertTrue((document.parent / target).exists(), f"{document.name}: {target}")


if __name__ == "__main__":
    unittest.main()

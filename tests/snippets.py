"""Makes one program of the C++ in Markdown files: run as `docs NAME`, it does what the block NAME does (as in library-3).

A block with a main() is a program; any other is what stands inside a function, after the includes that it names.

snippets.py OUT.cpp FILE.md...
"""

import re
import sys
from pathlib import Path

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def cpp_blocks(documents):
    """Name, document, line and text of each ```cpp block, and what a ```text block right after it says it prints."""
    for document in map(Path, documents):
        text = document.read_text(encoding="utf-8")
        for number, block in enumerate([m for m in FENCE.finditer(text) if m[1] == "cpp"], 1):
            after = FENCE.match(text, block.end() + 2)
            prints = after[2] if after and after[1] == "text" else None
            yield f"{document.stem}-{number}", document, text.count("\n", 0, block.start(2)) + 1, block[2], prints


def program(documents):
    includes, functions, calls = set(), [], []
    for name, document, line, text, _ in cpp_blocks(documents):
        includes.update(re.findall(r"^#include .*$", text, re.MULTILINE))
        body = re.sub(r"^#include .*$", "", text, flags=re.MULTILINE)  # the line stays, so that the numbers fit
        space = name.replace("-", "_").replace(".", "_")
        source = f'#line {line} "{document}"\n'
        if "int main(" in body:
            source += body.replace("int main(", "int run(")
        else:
            source += "int run(int, char**) {\n" + f'#line {line} "{document}"\n' + body + "return 0;\n}\n"
        functions.append(f"namespace {space} {{\n{source}}}\n")
        calls.append(f'    if (name == "{name}") return {space}::run(argc - 1, argv + 1);\n')
    return ("\n".join(sorted(includes | {"#include <string_view>"})) + "\n" + "".join(functions) +
            "int main(int argc, char** argv) {\n    const std::string_view name = argc > 1 ? argv[1] : \"\";\n" + "".join(calls) + "    return 2;\n}\n")


if __name__ == "__main__":
    out, source = Path(sys.argv[1]), program(sys.argv[2:])
    if not out.exists() or out.read_text(encoding="utf-8") != source:  # else it need not be compiled again
        out.write_text(source, encoding="utf-8")

"""Writes each ```cpp block of Markdown files to a file of its own, and prints their paths as a CMake list.

snippets.py DIRECTORY FILE.md...
"""

import re
import sys
from pathlib import Path

directory = Path(sys.argv[1])
directory.mkdir(parents=True, exist_ok=True)
paths = []
for document in map(Path, sys.argv[2:]):
    text = document.read_text(encoding="utf-8")
    for number, block in enumerate(re.finditer(r"^```cpp\n(.*?)^```$", text, re.DOTALL | re.MULTILINE), 1):
        line = text.count("\n", 0, block.start(1)) + 1
        path = directory / f"snippet_{document.stem}_{number}.cpp"
        source = f'#line {line} "{document}"\n{block[1]}'
        if not path.exists() or path.read_text(encoding="utf-8") != source:  # else it need not be compiled again
            path.write_text(source, encoding="utf-8")
        paths.append(str(path))
print(";".join(paths), end="")

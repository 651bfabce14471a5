#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What may include what. The headers' folders are layers, lowest first; a header includes those of its own folder and of folders below."""

import os
import re
import unittest
from pathlib import Path

SOURCE = Path(os.environ.get("OPLOG_SOURCE", Path(__file__).parents[2]))
HEADERS = SOURCE / "include/oplog"
LAYERS = [".", "bson", "entry", "io", "stream", "restore"]
WHOLE = {"oplog.hpp", "core.hpp"} # these gather the others
ENTRY_FROM_IO = {"entry/entry.hpp"} # what a reader reads; files know nothing of what entries mean
TOOLS = {"tools": {"lib", "chain"}, "tools/lib": {"lib"}, "tools/chain": {"chain", "lib"}}
LIBBSON = {"bson/json_parser.hpp", "bson/libbson.hpp"}


def includes(path, pattern):
    return re.findall(r"^#include " + pattern, path.read_text(encoding="utf-8"), re.M)


class Layers(unittest.TestCase):
    def setUp(self):
        paths = {path.relative_to(HEADERS).as_posix(): path for path in HEADERS.rglob("*.hpp")}
        self.headers = {name: includes(path, "<oplog/([^>]+)>") for name, path in paths.items()
                        if name in WHOLE or "this path goes with" not in path.read_text(encoding="utf-8")}
        self.texts = {name: paths[name].read_text(encoding="utf-8") for name in self.headers}

    def test_every_folder_is_a_layer(self):
        self.assertEqual(set(LAYERS), {os.path.dirname(name) or "." for name in self.headers})

    def test_headers_include_their_own_layer_and_those_below(self):
        for name, used in self.headers.items():
            if name in WHOLE:
                continue
            layer = LAYERS.index(os.path.dirname(name) or ".")
            for other in used:
                with self.subTest(f"{name} includes {other}"):
                    self.assertLessEqual(LAYERS.index(os.path.dirname(other) or "."), layer)
                    self.assertNotIn(other, WHOLE)
                    if LAYERS[layer] == "io" and other.startswith("entry/"):
                        self.assertIn(other, ENTRY_FROM_IO)

    def test_no_header_includes_itself_through_others(self):
        done = set()

        def visit(name, above):
            self.assertNotIn(name, above, " -> ".join([*above, name]))
            if name not in done:
                for other in self.headers[name]:
                    visit(other, [*above, name])
                done.add(name)

        for name in self.headers:
            visit(name, [])

    def test_headers_are_included_by_their_whole_paths(self):
        for name, text in self.texts.items():
            with self.subTest(name):
                self.assertEqual([], re.findall(r'^#include ".*', text, re.M))

    def test_only_the_parser_and_the_bridge_need_libbson(self):
        using = {name for name, text in self.texts.items() if re.search(r"#include <bson/", text)}
        self.assertLessEqual(using, LIBBSON)
        self.assertTrue(using)

    def test_tools_share_what_is_in_their_library(self):
        for folder, allowed in TOOLS.items():
            files = list((SOURCE / folder).glob("*.[ch]pp"))
            self.assertTrue(files, folder)
            for path in files:
                for other in includes(path, '"([^"]+)"'):
                    with self.subTest(f"{path.name} includes {other}"):
                        target = (path.parent / other).resolve()
                        self.assertTrue(target.is_file())
                        self.assertIn(target.parent.name, allowed)


if __name__ == "__main__":
    unittest.main()

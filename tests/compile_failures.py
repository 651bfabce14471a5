#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What must not compile: views of what is gone. Each piece is compiled as it is, which fails, and with its remedy, which does not."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

# What it is about, what is wrong, what is right, and a word that the compiler must say of the wrong one.
PIECES = [
    ("a Document of a std::string that is gone", "bson::Document d(text());", "const std::string s = text(); bson::Document d(s);", "deleted"),
    ("a Document of a Value that is gone", "bson::Document d(made());", "const bson::Value v = made(); bson::Document d(v);", "deleted"),
    ("a Document of a constant std::string that is gone", "const std::string a; const bson::Value b; bson::Document d(a.empty() ? a : b);",
     "const std::string a; const bson::Value b; bson::Document d(a.empty() ? bson::Document(a) : b.view());", "deleted"),
    ("a view of a Value that is gone", "bson::Document d = made().view();", "const bson::Value v = made(); bson::Document d = v.view();", "deleted"),
    ("a Document of what a Builder finishes", "bson::Document d(bson::Builder().int32(\"a\", 1).finish());",
     "const bson::Value v = bson::Builder().int32(\"a\", 1).finish(); bson::Document d(v);", "deleted"),
    ("what a Builder finishes is dropped", "bson::Builder b; b.finish();", "bson::Builder b; auto v = b.finish();", "nodiscard"),
    ("a view of an Entry that is gone", "EntryView e = Entry(text()).view();", "const Entry owner(text()); EntryView e = owner.view();", "deleted"),
    ("an EntryView made of an Entry that is gone", "EntryView e = Entry(text());", "const Entry owner(text()); EntryView e = owner;", "deleted"),
    ("the bytes of an Entry that is gone", "std::string_view b = Entry(text()).bytes();", "const Entry owner(text()); std::string_view b = owner.bytes();", "deleted"),
    ("the largest entry of a reader as a view", "auto e = std::ranges::max(reader(), {}, &EntryView::size);",
     "std::optional<Entry> most; for (EntryView e : reader()) if (!most || e.size() > most->view().size()) most.emplace(e);", ""),
    ("entries of a reader, sorted in place", "std::vector<EntryView> v; auto in = reader(); std::ranges::sort(in);",
     "std::vector<Entry> v; auto in = reader(); for (EntryView e : in) v.emplace_back(e);", ""),
    ("a callback for operations that takes something else", "for_each_operation(bson::Document(), [](int) {});", "for_each_operation(bson::Document(), [](const Operation&) {});", ""),
    ("a merge of what yields no entries", "Merge<std::vector<int>> m(std::vector<std::vector<int>>{});", "Merge<std::vector<Entry>> m(std::vector<std::vector<Entry>>{});", ""),
]
BEGIN = """#include <oplog/bson/builder.hpp>
#include <oplog/entry/operation.hpp>
#include <oplog/io/reader.hpp>
#include <oplog/stream/merge.hpp>
#include <algorithm>
#include <optional>
#include <vector>
using namespace oplog;
std::string text();
bson::Value made();
PlainReader reader();
"""


def compiles(compiler, include, *bodies):
    functions = "".join(f"void f{i}() {{ {body} }}\n" for i, body in enumerate(bodies))
    done = subprocess.run([*compiler, "-std=c++20", "-Werror=unused-result", "-I", include, "-fsyntax-only", "-x", "c++", "-"],
                          input=BEGIN + functions, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stderr


def main():
    compiler, include = sys.argv[1:], os.path.join(os.environ["OPLOG_SOURCE"], "include")
    failed = 0
    fine, said = compiles(compiler, include, *(right for _, _, right, _ in PIECES))
    if not fine:
        sys.exit(f"the right ways do not compile:\n{said}")

    def check(piece):
        name, wrong, _, word = piece
        fine, said = compiles(compiler, include, wrong)
        if fine:
            return f"{name}: compiles"
        return None if word in said else f"{name}: is refused without a word of '{word}':\n{said}"

    with ThreadPoolExecutor(2) as pool:
        for (name, *_), wrong in zip(PIECES, pool.map(check, PIECES)):
            print(f"{'FAILED' if wrong else 'ok':8}{name}")
            if wrong:
                failed += 1
                print(wrong)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

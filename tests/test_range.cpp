// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

TEST_CASE("a range has first, last, entries and bytes") {
    const std::string bytes = entries({1, 2, 7});
    const Range r = range(reader(bytes));
    CHECK(!r.empty());
    CHECK(r.first == Timestamp{100, 1});
    CHECK(r.last == Timestamp{100, 7});
    CHECK(r.entries == 3);
    CHECK(r.bytes == bytes.size());
    CHECK(!r.disorder);
}

TEST_CASE("a range of nothing is empty") {
    const Range r = range(reader(""));
    CHECK(r.empty());
    CHECK(r.entries == 0);
    CHECK(r.bytes == 0);
}

TEST_CASE("disorder is a finding with its first place, and first and last are smallest and largest") {
    const Range r = range(reader(entries({5, 3, 9, 4})));
    CHECK(r.first == Timestamp{100, 3});
    CHECK(r.last == Timestamp{100, 9});
    CHECK(r.entries == 4);
    REQUIRE(r.disorder);
    CHECK(r.disorder->before == Timestamp{100, 5});
    CHECK(r.disorder->ts == Timestamp{100, 3});
    CHECK(r.disorder->where->document == 2);
    CHECK(range(reader(entries({5, 5}))).disorder);
}

TEST_CASE("a range needs no files") {
    const std::vector<Entry> in{Entry(entry({1, 1})), Entry(entry({2, 1}))};
    CHECK(range(in).last == Timestamp{2, 1});
    const std::vector<Entry> disordered{Entry(entry({2, 1})), Entry(entry({1, 1}))};
    CHECK(!range(disordered).disorder->where);
}

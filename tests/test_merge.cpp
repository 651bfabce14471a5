// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <random>

using namespace oplog;
using namespace oplog::test;

namespace {

/// Readers over slices named a, b, c, …
std::vector<MemoryReader> readers(const std::vector<std::string>& slices) {
    std::vector<MemoryReader> in;
    for (std::size_t i = 0; i < slices.size(); ++i) in.emplace_back(MemorySource(slices[i]), std::string(1, static_cast<char>('a' + i)));
    return in;
}

std::string merged(const std::vector<std::string>& slices, Continuity continuity = Continuity::any) {
    return all_bytes(Merge(readers(slices), continuity));
}

std::string refusal(const std::vector<std::string>& slices, Continuity continuity, std::optional<ContinuityError::Kind> kind = {}) {
    try {
        merged(slices, continuity);
    } catch (const ContinuityError& error) {
        CHECK(kind == error.kind());
        return error.what();
    } catch (const DataError& error) {
        CHECK(!kind);
        return error.what();
    }
    return "";
}

constexpr auto chain = Continuity::chain;
constexpr auto gap = ContinuityError::Kind::gap;
constexpr auto divergence = ContinuityError::Kind::divergence;

/// "in: offset …" of the n-th (from 0) of equally large entries.
std::string place(char slice, std::size_t n) {
    return std::string(1, slice) + ": offset " + std::to_string(n * entry({100, 1}).size()) + ": document " + std::to_string(n + 1) + ": ";
}

} // namespace

TEST_CASE("slices in any order and overlap are one ordered stream, in every order of the arguments") {
    std::vector<std::string> slices{entries({1, 2, 3, 4}), entries({3, 4, 5}), entries({4, 5, 6, 7}), entries({7}), entries({2, 3}), ""};
    std::sort(slices.begin(), slices.end());
    do {
        CHECK(merged(slices) == entries({1, 2, 3, 4, 5, 6, 7}));
        CHECK(merged(slices, chain) == entries({1, 2, 3, 4, 5, 6, 7}));
    } while (std::next_permutation(slices.begin(), slices.end()));
}

TEST_CASE("thousands of slices in any order are the one history that they were cut from") {
    constexpr std::uint32_t count = 3000;
    std::vector<std::string> slices;
    std::string all;
    for (std::uint32_t i = 0; i < count; ++i) {
        all += entry({100 + i, 1});
        slices.push_back(entry({100 + i, 1}) + entry({101 + i, 1}) + (i % 7 == 0 ? entry({102 + i, 1}) : ""));
    }
    all += entry({100 + count, 1});
    slices.back() = entry({99 + count, 1}) + entry({100 + count, 1});
    std::ranges::shuffle(slices, std::mt19937(1));
    CHECK(merged(slices, chain) == all);
    CHECK(merged(slices) == all);
    slices.erase(std::ranges::find(slices, entry({1100, 1}) + entry({1101, 1})));
    CHECK(refusal(slices, chain, gap).find("gap: this slice begins with entry 1101:1") != std::string::npos);
}

TEST_CASE("without a chain gaps and interleaved slices are fine") {
    CHECK(merged({entries({1, 3, 5}), entries({2, 4, 6})}) == entries({1, 2, 3, 4, 5, 6}));
    CHECK(merged({entries({7, 8}), entries({1, 2})}) == entries({1, 2, 7, 8}));
    CHECK(merged({}) == "");
    CHECK(merged({"", ""}) == "");
    CHECK(merged({entries({1})}) == entries({1}));
}

TEST_CASE("the same timestamp with other bytes is a divergence, chain or not") {
    for (const Continuity continuity : {Continuity::any, chain})
        CHECK(refusal({entries({1, 2}), entry({100, 2}, 7) + entries({3})}, continuity, divergence) ==
              place('b', 0) + "divergence: another entry 100:2 than a has");
}

TEST_CASE("a merge can go on after an error, and finds the next one") {
    Merge merge(readers({entries({1, 4}), entries({2}), entries({3})}), chain);
    CHECK(merge.next());
    CHECK_THROWS_AS(merge.next(), ContinuityError); // the first slice spans 2
    CHECK_THROWS_AS(merge.next(), ContinuityError); // and 3
    CHECK(merge.next());
    CHECK(!merge.next());
}

TEST_CASE("a chain without a shared entry is a gap with both edges named") {
    const std::string why = place('b', 0) + "gap: this slice begins with entry 100:3, and a before it ends with 100:2";
    CHECK(refusal({entries({1, 2}), entries({3, 4})}, chain, gap) == why);
    CHECK(refusal({entries({3, 4}), entries({1, 2})}, chain, gap) ==
          place('a', 0) + "gap: this slice begins with entry 100:3, and b before it ends with 100:2");
    // A slice inside another does not bridge what the larger one does not.
    CHECK(refusal({entries({1, 2, 3}), entries({2}), entries({4})}, chain, gap) ==
          place('c', 0) + "gap: this slice begins with entry 100:4, and a before it ends with 100:3");
}

TEST_CASE("gaps that are allowed are noted, divergence is not allowed") {
    Merge merge(readers({entries({1, 2}), entries({4, 5}), entries({7})}), Continuity::gaps);
    CHECK(timestamps(merge) == "100:1 100:2 100:4 100:5 100:7");
    REQUIRE(merge.gaps().size() == 2);
    CHECK(merge.gaps()[0].what() == place('b', 0) + "gap: this slice begins with entry 100:4, and a before it ends with 100:2");
    CHECK(merge.gaps()[1].what() == place('c', 0) + "gap: this slice begins with entry 100:7, and b before it ends with 100:5");
    CHECK(refusal({entries({1, 2, 3}), entries({2, 4})}, Continuity::gaps, divergence) != "");
}

TEST_CASE("an entry missing on one side of a common span is a divergence") {
    CHECK(refusal({entries({1, 2, 3, 4}), entries({2, 4, 5})}, chain, divergence) ==
          place('a', 2) + "divergence: b spans entry 100:3 and has it not");
    CHECK(refusal({entries({1, 2, 4}), entries({2, 3, 4, 5})}, chain, divergence) ==
          place('b', 1) + "divergence: a spans entry 100:3 and has it not");
    CHECK(refusal({entries({1, 2, 3}), entries({3, 4}), entries({3, 5})}, chain, divergence) ==
          place('b', 1) + "divergence: c spans entry 100:4 and has it not");
    // It begins inside the span of another with an entry that this has not.
    CHECK(refusal({entries({1, 3}), entries({2, 3})}, chain, divergence) ==
          place('b', 0) + "divergence: a spans entry 100:2 and has it not");
}

TEST_CASE("equal, contained and empty slices continue a chain") {
    CHECK(merged({entries({1, 2}), entries({1, 2})}, chain) == entries({1, 2}));
    CHECK(merged({entries({1, 2, 3, 4}), entries({2, 3})}, chain) == entries({1, 2, 3, 4}));
    CHECK(merged({entries({1, 2, 3, 4}), entries({1}), entries({4})}, chain) == entries({1, 2, 3, 4}));
    CHECK(merged({"", entries({1, 2}), "", entries({2, 3})}, chain) == entries({1, 2, 3}));
    CHECK(merged({"", ""}, chain) == "");
}

TEST_CASE("a slice out of order is refused, not sorted") {
    CHECK(refusal({entries({1, 2}), entries({2, 4, 3})}, Continuity::any) == place('b', 2) + "out of order: entry 100:3 after 100:4");
    CHECK(refusal({entries({1, 1})}, Continuity::any) == place('a', 1) + "entry 100:1 occurs twice in a row");
}

TEST_CASE("bad data in any slice is an error with its place") {
    CHECK(refusal({entries({1, 2}), entries({1, 2, 3}) + "x"}, Continuity::any) ==
          place('b', 3) + "the stream ends inside a document: 1 stray bytes");
    CHECK(refusal({"x", entries({1})}, Continuity::any) == place('a', 0) + "the stream ends inside a document: 1 stray bytes");
}

TEST_CASE("the largest timestamp there is merges as any other") {
    const std::string last = entry(Timestamp::max());
    CHECK(merged({entries({1}) + last, last}) == entries({1}) + last);
    CHECK(merged({entries({1}) + last, last}, chain) == entries({1}) + last);
}

TEST_CASE("slices in memory merge, too") {
    const std::vector<Entry> a{Entry(entry({1, 1})), Entry(entry({2, 1}))}, b{Entry(entry({2, 1})), Entry(entry({3, 1}))};
    CHECK(timestamps(Merge(std::vector<std::vector<Entry>>{a, b}, chain)) == "1:1 2:1 3:1");
    const std::vector<Entry> c{Entry(entry({4, 1}))};
    CHECK_THROWS_WITH_AS(all_bytes(Merge(std::vector<std::vector<Entry>>{a, c}, chain)),
                         "entry 4:1: gap: this slice begins with entry 4:1, and another slice before it ends with 2:1", ContinuityError);
}

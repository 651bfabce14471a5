// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

/// The pieces as "1 2|3", of seconds or, for entries within one second, of ordinals.
std::string pieces(const std::vector<Timestamp>& in, SplitPoints points) {
    Splitter splitter(std::move(points));
    std::string text;
    for (const Timestamp ts : in) {
        const Entry next(entry(ts));
        const bool begins = splitter.begins_piece(next);
        text += (begins ? "|" : " ") + std::to_string(ts.seconds == 100 ? ts.ordinal : ts.seconds);
    }
    return text;
}

const std::vector<Timestamp> five{{100, 1}, {100, 2}, {100, 3}, {100, 4}, {100, 5}};

} // namespace

TEST_CASE("pieces of so many entries") {
    CHECK(pieces(five, {.entries = 2}) == "|1 2|3 4|5");
    CHECK(pieces(five, {.entries = 1}) == "|1|2|3|4|5");
    CHECK(pieces(five, {.entries = 5}) == "|1 2 3 4 5");
    CHECK(pieces(five, {.entries = 6}) == "|1 2 3 4 5");
}

TEST_CASE("pieces no larger than a size, unless one entry is") {
    const std::uint64_t size = entry({100, 1}).size();
    CHECK(pieces(five, {.size = 2 * size}) == "|1 2|3 4|5");
    CHECK(pieces(five, {.size = 2 * size - 1}) == "|1|2|3|4|5");
    CHECK(pieces(five, {.size = 3 * size - 1}) == "|1 2|3 4|5");
    CHECK(pieces(five, {.size = 1}) == "|1|2|3|4|5");
}

TEST_CASE("pieces begin at multiples of a time, and times without entries give none") {
    CHECK(pieces({{0, 1}, {59, 1}, {60, 1}, {119, 9}, {120, 1}, {600, 1}}, {.every = 60}) == "|0 59|60 119|120|600");
    CHECK(pieces({{59, 1}, {60, 1}}, {.every = 3600}) == "|59 60");
    CHECK(pieces({{10, 1}, {10, 2}, {11, 1}}, {.every = 1}) == "|10 10|11");
}

TEST_CASE("a piece begins with the first entry at or after each given time") {
    CHECK(pieces(five, {.at = {{100, 3}}}) == "|1 2|3 4 5");
    CHECK(pieces(five, {.at = {{100, 5}, {100, 2}}}) == "|1|2 3 4|5");
    CHECK(pieces(five, {.at = {{100, 1}}}) == "|1 2 3 4 5");
    CHECK(pieces(five, {.at = {{50, 0}, {60, 0}, {200, 0}}}) == "|1 2 3 4 5");
    CHECK(pieces({{10, 1}, {20, 1}}, {.at = {{12, 0}, {13, 0}}}) == "|10|20");
}

TEST_CASE("where several cuts are asked for, each begins its count anew") {
    CHECK(pieces(five, {.entries = 2, .at = {{100, 2}}}) == "|1|2 3|4 5");
}

TEST_CASE("disorder is an error") {
    CHECK_THROWS_AS(pieces({{100, 2}, {100, 1}}, {.entries = 2}), DataError);
    CHECK_THROWS_AS(pieces({{100, 2}, {100, 2}}, {.entries = 2}), DataError);
}

TEST_CASE("names of pieces sort in time order") {
    CHECK(piece_name({1610422195, 1}, {1610422795, 4}) == "1610422195.0000000001-1610422795.0000000004");
    CHECK(piece_name({9, 1}, {9, 1}) < piece_name({10, 1}, {10, 1}));
    CHECK(piece_name({9, 2}, {9, 2}) < piece_name({9, 10}, {9, 10}));
    CHECK(piece_name(Timestamp::max(), Timestamp::max()) == "4294967295.4294967295-4294967295.4294967295");
}

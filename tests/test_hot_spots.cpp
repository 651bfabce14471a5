// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <oplog/bson/json_parser.hpp>
#include <oplog/stream/hot_spots.hpp>

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

std::string update(std::string_view ns, std::string_view o, std::string_view o2 = R"({"_id":1})") {
    return operation("u", ns, parse_json(o), parse_json(o2));
}

/// Adds operations, one a second.
struct Filled {
    HotSpots spots;
    Stats stats;
    std::uint32_t second = 99;
    void add(const std::string& operation) {
        const std::string entry = as_entry({++second, 1}, operation);
        stats.add(view(entry), [&](const Operation& one, std::string_view ns) { spots.add(one, ns, second); });
    }
};

} // namespace

TEST_CASE("operations on one document are counted together, whatever number type its _id has") {
    Filled filled;
    filled.add(insert("shop.a", 1));
    filled.add(update("shop.a", R"({"$v":2,"diff":{"u":{"x":1}}})", R"({"_id":1.0})"));
    filled.add(operation("d", "shop.a", parse_json(R"({"_id":{"$numberLong":"1"}})")));
    filled.add(insert("shop.a", 2));
    filled.add(insert("shop.b", 1));
    filled.add(operation("n", "shop.a", parse_json(R"({"_id":1})")));
    filled.add(operation("c", "shop.$cmd", command("create", "a")));
    const auto found = filled.spots.documents(2);
    REQUIRE(found.size() == 2);
    CHECK(found[0].ns == "shop.a");
    CHECK(json(found[0].id.view().bytes()) == R"({"_id":1})");
    CHECK(found[0].at_least == 3);
    CHECK(found[0].at_most == 3);
    CHECK(found[0].bytes > 100);
    CHECK(found[1].at_least == 1);
}

TEST_CASE("an update touches each field once, and a replacement the whole document") {
    Filled filled;
    filled.add(update("shop.a", R"({"$v":1,"$set":{"items.0.price":1,"items.1.price":2,"n":1}})"));
    filled.add(update("shop.a", R"({"$v":2,"diff":{"u":{"n":2}}})"));
    filled.add(update("shop.a", R"({"$v":2,"diff":{"u":{"":2}}})"));
    filled.add(update("shop.a", R"({"_id":1,"n":3})"));
    filled.add(update("shop.a", R"({"$v":9})"));
    filled.add(insert("shop.a", 5));
    const auto found = filled.spots.fields(10);
    REQUIRE(found.size() == 4);
    CHECK(found[0].path == "n");
    CHECK(found[0].at_least == 2);
    CHECK(!found[0].is_whole);
    CHECK(found[1].is_whole);
    CHECK(found[1].at_least == 1);
    CHECK(found[2].path == ""); // a name like others
    CHECK(!found[2].is_whole);
    CHECK(found[3].path == "items.*.price");
    CHECK(found[3].at_least == 1);
    CHECK(filled.spots.updates().of_fields == 3);
    CHECK(filled.spots.updates().replacements == 1);
    CHECK(filled.spots.updates().not_understood == 1);
}

TEST_CASE("namespaces and names may have any bytes, and what is too long takes no memory") {
    using namespace std::string_literals;
    Filled filled;
    const std::string odd = "shop.\0x"s, wide = std::string(300, 'a') + "\xC3\xA9", id(2000, 'i');
    filled.add(operation("u", odd, bson::Builder().begin_document("$set").int32(wide, 1).end().finish(), parse_json(R"({"_id":1})")));
    filled.add(operation("i", odd, bson::Builder().string("_id", id).finish()));
    CHECK(filled.spots.fields(9)[0].ns == odd);
    CHECK(filled.spots.fields(9)[0].path == std::string(255, 'a') + "…");
    CHECK(filled.spots.documents(9).size() == 1);
    CHECK(filled.spots.long_ids() == 1);
}

TEST_CASE("a cut path has whole characters") {
    Filled filled;
    std::string path(254, 'a');
    for (int i = 0; i < 3; ++i) path += "\xC3\xA9";
    filled.add(operation("u", "shop.a", bson::Builder().begin_document("$set").int32(path, 1).end().finish(), parse_json(R"({"_id":1})")));
    CHECK(filled.spots.fields(9)[0].path == std::string(254, 'a') + "…");
}

TEST_CASE("what is not among the largest namespaces is of all others, and nothing is lost") {
    Filled filled;
    for (int i = 0; i < 5000; ++i) {
        filled.add(insert("shop.c" + std::to_string(i), i));
        if (i % 5 == 0) filled.add(insert("shop.large", i));
    }
    const auto series = filled.spots.series(3, filled.stats.timeline().length());
    REQUIRE(series.size() == 4);
    CHECK(series[0].ns == "shop.large");
    CHECK(series.back().is_rest);
    std::uint64_t operations = 0, bytes = 0, large = 0;
    for (const auto& one : series) {
        CHECK(one.timeline.length() == filled.stats.timeline().length());
        for (const auto& [start, period] : one.timeline.periods()) {
            CHECK(filled.stats.timeline().periods().contains(start));
            operations += period.operations;
            bytes += period.bytes;
            large += &one == series.data() ? period.operations : 0;
        }
    }
    CHECK(operations == 6000);
    CHECK(bytes == filled.stats.total().bytes);
    CHECK(large == 1000);
    CHECK(filled.spots.series(100, 1).size() <= 33);
}

TEST_CASE("of a thousand namespaces that are written in turn the largest have all that is theirs") {
    Filled filled;
    for (int round = 0; round < 3; ++round)
        for (int i = 0; i < 1000; ++i)
            for (int times = i / 500; times >= 0; --times) filled.add(insert("shop.c" + std::to_string(i), round));
    for (const auto& one : filled.spots.series(40, 1)) {
        std::uint64_t operations = 0;
        for (const auto& [start, period] : one.timeline.periods()) operations += period.operations;
        CHECK(operations == (one.is_rest ? 4500 - 32 * 6 : 6));
        CHECK(one.missed == 0);
    }
}

TEST_CASE("a few namespaces have no others") {
    Filled filled;
    filled.add(insert("shop.a", 1));
    REQUIRE(filled.spots.series(3, 1).size() == 1);
    CHECK(filled.spots.series(3, 1)[0].timeline.periods().at(100).operations == 1);
}

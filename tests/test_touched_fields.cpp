// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <oplog/bson/json_parser.hpp>
#include <oplog/bson/touched_fields.hpp>

#include <doctest/doctest.h>

using namespace oplog;

namespace {

/// The paths of an update, in JSON.
std::vector<std::string> touched(std::string_view update, UpdateKind kind) {
    const std::string o = parse_json(update);
    std::vector<std::string> paths;
    CHECK(for_each_touched_field(bson::Document(o), [&](std::string_view path) { paths.emplace_back(path); }) == kind);
    return paths;
}
using Paths = std::vector<std::string>;

} // namespace

TEST_CASE("modifiers touch their paths, and positions are one") {
    CHECK(touched(R"({"$v":1,"$set":{"a":1,"items.3.price":2,"items.04":2,"7.8.x":1},"$unset":{"b.c":true}})", UpdateKind::modifiers) ==
          Paths{"a", "items.*.price", "items.*", "7.*.x", "b.c"});
    CHECK(touched(R"({"$set":{"a":1}})", UpdateKind::modifiers) == Paths{"a"});
}

TEST_CASE("a diff touches what it removes, updates, inserts and goes into") {
    CHECK(touched(R"({"$v":2,"diff":{"d":{"gone":false},"u":{"a":1},"i":{"new":2},"sinner":{"u":{"x":1},"sdeeper":{"d":{"y":false}}}}})",
                  UpdateKind::diff) == Paths{"gone", "a", "new", "inner.x", "inner.deeper.y"});
}

TEST_CASE("a diff of an array touches its positions, and itself if its length changes") {
    CHECK(touched(R"({"$v":2,"diff":{"sitems":{"a":true,"u0":1,"s2":{"u":{"price":3}},"s3":{"a":true,"u1":5}}}})", UpdateKind::diff) ==
          Paths{"items.*", "items.*.price", "items.*.*"});
    CHECK(touched(R"({"$v":2,"diff":{"sitems":{"a":true,"l":4}}})", UpdateKind::diff) == Paths{"items"});
}

TEST_CASE("a field may have the empty name") {
    CHECK(touched(R"({"$v":2,"diff":{"u":{"":1},"s":{"u":{"":1,"x":1}}}})", UpdateKind::diff) == Paths{"", ".", ".x"});
}

TEST_CASE("a replacement names no field") {
    CHECK(touched(R"({"_id":1,"$set":{"a":1}})", UpdateKind::replacement).empty());
    CHECK(touched(R"({"a":1})", UpdateKind::replacement).empty());
}

TEST_CASE("what is no update of any known server throws") {
    for (const char* update : {R"({"$v":3})", R"({"$v":2})", R"({"$v":2,"diff":{}})", R"({"$v":2,"diff":{"q":{"a":1}}})",
                               R"({"$inc":{"a":1}})", R"({"$v":2,"diff":{"sa":{"a":true,"z1":1}}})"}) {
        const std::string o = parse_json(update);
        CHECK_THROWS_AS(for_each_touched_field(bson::Document(o), [](std::string_view) {}), DataError);
    }
}

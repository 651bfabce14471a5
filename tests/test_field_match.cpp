// SPDX-License-Identifier: Apache-2.0
#include <oplog/bson/field_match.hpp>

#include <oplog/bson/json_parser.hpp>

#include <doctest/doctest.h>

using namespace oplog;

namespace {

bool matches(const std::string& path, const std::string& value, const std::string& document) {
    const std::string wanted = parse_json("{\"v\":" + value + "}"), bytes = parse_json(document);
    return FieldMatch(path, *bson::Document(wanted).begin()).matches(bson::Document(bytes));
}

} // namespace

TEST_CASE("a field matches the values that the server takes for equal") {
    CHECK(matches("a", "1", R"({"a":1})"));
    CHECK(matches("a", "1", R"({"a":{"$numberDouble":"1.0"}})"));
    CHECK(matches("a", R"({"x":1})", R"({"a":{"x":{"$numberLong":"1"}}})"));
    CHECK_FALSE(matches("a", "1", R"({"a":2})"));
    CHECK_FALSE(matches("a", "1", R"({"a":"1"})"));
    CHECK_FALSE(matches("a", "1", R"({"b":1})"));
    CHECK_FALSE(matches("a", R"({"x":1,"y":2})", R"({"a":{"y":2,"x":1}})"));
}

TEST_CASE("a path leads into documents and arrays") {
    CHECK(matches("a.b", "1", R"({"a":{"b":1}})"));
    CHECK(matches("a.b", "1", R"({"a":[{"b":0},{"b":1}]})"));
    CHECK(matches("a.1.b", "1", R"({"a":[{"b":0},{"b":1}]})"));
    CHECK_FALSE(matches("a.0.b", "1", R"({"a":[{"b":0},{"b":1}]})"));
    CHECK(matches("a", "1", R"({"a":[0,1]})"));
    CHECK(matches("a", "[0,1]", R"({"a":[0,1]})"));
    CHECK_FALSE(matches("a", "1", R"({"a":[[1]]})"));
    CHECK_FALSE(matches("a.b.c", "1", R"({"a":{"b":1}})"));
}

TEST_CASE("null is also what is not there") {
    CHECK(matches("a", "null", R"({"a":null})"));
    CHECK(matches("a", "null", R"({"b":1})"));
    CHECK(matches("a.b", "null", R"({"a":1})"));
    CHECK_FALSE(matches("a", "null", R"({"a":1})"));
    CHECK_FALSE(matches("a.b", "null", R"({"a":[{"b":1}]})"));
    CHECK(matches("a.b", "null", R"({"a":[{"b":1},{}]})"));
}

TEST_CASE("a position of an array names the value there alone") {
    CHECK(matches("a.0", "1", R"({"a":[1,2]})"));
    CHECK(matches("a.0", "[1]", R"({"a":[[1],2]})"));
    CHECK_FALSE(matches("a.0", "1", R"({"a":[[1],2]})"));
    CHECK_FALSE(matches("a.0.0", "1", R"({"a":{"0":[[1]]}})"));
    CHECK(matches("a.0", "1", R"({"a":{"0":[1]}})"));
    CHECK(matches("a.0", "1", R"({"a":[{"0":[1]}]})"));
    CHECK_FALSE(matches("a.0.b", "null", R"({"a":[1]})"));
    CHECK_FALSE(matches("a.0.1", "null", R"({"a":[1,[]]})"));
    CHECK(matches("a.0.b", "null", R"({"a":[{}]})"));
}

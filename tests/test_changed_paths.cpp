// SPDX-License-Identifier: Apache-2.0
#include <oplog/restore/changed_paths.hpp>

#include <oplog/bson/json.hpp>
#include <oplog/bson/json_parser.hpp>

#include <doctest/doctest.h>

using namespace oplog;

namespace {

/// As JSON: {"0":{"path":…,"before":…,"after":…}, …}.
std::string changes(const std::string& before, const std::string& after) {
    const std::string a = parse_json(before), b = parse_json(after), paths = changed_paths(bson::Document(a), bson::Document(b));
    return to_json(bson::Document(paths), JsonMode::relaxed);
}

} // namespace

TEST_CASE("equal documents have no changed paths") {
    CHECK(changes(R"({"_id":1,"a":{"b":[1,2]}})", R"({"_id":1,"a":{"b":[1,2]}})") == "{}");
    CHECK(changes("{}", "{}") == "{}");
}

TEST_CASE("fields that change, go and come are told with their values") {
    CHECK(changes(R"({"_id":1,"a":1,"b":2})", R"({"_id":1,"a":5,"c":3})") ==
          R"({"0":{"path":"a","before":1,"after":5},"1":{"path":"b","before":2},"2":{"path":"c","after":3}})");
    CHECK(changes("{}", R"({"a":{"b":1}})") == R"({"0":{"path":"a","after":{"b":1}}})");
}

TEST_CASE("embedded documents are compared field by field, and arrays position by position") {
    CHECK(changes(R"({"a":{"b":{"c":1,"d":2}}})", R"({"a":{"b":{"c":1,"d":null}}})") ==
          R"({"0":{"path":"a.b.d","before":2,"after":null}})");
    CHECK(changes(R"({"a":[{"x":1},2,3]})", R"({"a":[{"x":2},2]})") ==
          R"({"0":{"path":"a.0.x","before":1,"after":2},"1":{"path":"a.2","before":3}})");
    CHECK(changes(R"({"a":[]})", R"({"a":[1]})") == R"({"0":{"path":"a.0","after":1}})");
}

TEST_CASE("values of different types differ, even where a server takes them for equal") {
    CHECK(changes(R"({"a":{"$numberInt":"1"}})", R"({"a":{"$numberDouble":"1"}})") == R"({"0":{"path":"a","before":1,"after":1.0}})");
    CHECK(changes(R"({"a":[]})", R"({"a":{}})") == R"({"0":{"path":"a","before":[],"after":{}}})");
    CHECK(changes(R"({"a":{"$numberDouble":"0"}})", R"({"a":{"$numberDouble":"-0"}})") ==
          R"({"0":{"path":"a","before":0.0,"after":-0.0}})");
}

TEST_CASE("a document whose fields stand in another order is one value") {
    CHECK(changes(R"({"a":{"x":1,"y":2},"b":1})", R"({"a":{"y":2,"x":1},"b":2})") ==
          R"({"0":{"path":"a","before":{"x":1,"y":2},"after":{"y":2,"x":1}},"1":{"path":"b","before":1,"after":2}})");
    CHECK(changes(R"({"x":1,"y":2})", R"({"y":2,"x":1})") == R"({"0":{"path":"","before":{"x":1,"y":2},"after":{"y":2,"x":1}}})");
    CHECK(changes(R"({"x":1,"y":2,"z":3})", R"({"w":0,"x":1,"v":0,"z":3})") ==
          R"({"0":{"path":"y","before":2},"1":{"path":"w","after":0},"2":{"path":"v","after":0}})");
}

TEST_CASE("a document that has a name twice is one value") {
    bson::Builder twice;
    const std::string a = twice.int32("x", 1).int32("x", 2).finish(), b = twice.int32("x", 1).int32("y", 2).finish(),
                      c = twice.int32("x", 1).int32("x", 3).finish();
    const auto paths = [](const std::string& before, const std::string& after) {
        const bson::Value found{changed_paths(bson::Document(before), bson::Document(after))};
        return to_json(found.view(), JsonMode::relaxed);
    };
    CHECK(paths(a, b) == R"({"0":{"path":"","before":{"x":1,"x":2},"after":{"x":1,"y":2}}})");
    CHECK(paths(b, a) == R"({"0":{"path":"","before":{"x":1,"y":2},"after":{"x":1,"x":2}}})");
    CHECK(paths(a, c) == R"({"0":{"path":"x","before":2,"after":3}})"); // the second of them, as both stand where they stood
}

TEST_CASE("a field without a name is told from the whole document by what is in it") {
    CHECK(changes(R"({"":{"a":1}})", R"({"":{"a":2}})") == R"({"0":{"path":".a","before":1,"after":2}})");
}

TEST_CASE("documents that are nested too deeply are refused") {
    std::string a = bson::Builder().int32("x", 1).finish(), b = bson::Builder().int32("x", 2).finish();
    for (int i = 0; i < 1100; ++i) {
        a = bson::Builder().document("x", bson::Document(a)).finish();
        b = bson::Builder().document("x", bson::Document(b)).finish();
    }
    CHECK_THROWS_AS(changed_paths(bson::Document(a), bson::Document(b)), DataError);
}

// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <oplog/bson/json_parser.hpp>
#include <oplog/restore/sharding.hpp>

#include <string>
#include <vector>

using namespace oplog;

namespace {

ShardKey key(const std::string& json) {
    const std::string bytes = parse_json(json);
    return ShardKey(bson::Document(bytes));
}
std::string values(const std::string& pattern, const std::string& document) {
    const std::string bytes = parse_json(document);
    const bson::Value values = key(pattern).of(bson::Document(bytes));
    return to_json(values.view(), JsonMode::relaxed);
}
/// Chunks at these bounds, each on the shard named after it.
ChunkMap chunks(const std::string& pattern, const std::vector<std::pair<std::string, std::string>>& starts) {
    std::vector<bson::Value> documents;
    std::string least, most;
    const ShardKey shard_key = key(pattern);
    for (const bson::Element& field : shard_key.pattern()) {
        least += (least.empty() ? "\"" : ",\"") + std::string(field.key()) + "\":{\"$minKey\":1}";
        most += (most.empty() ? "\"" : ",\"") + std::string(field.key()) + "\":{\"$maxKey\":1}";
    }
    for (std::size_t i = 0; i < starts.size(); ++i) {
        const std::string min = i == 0 ? "{" + least + "}" : starts[i].first,
                          max = i + 1 < starts.size() ? starts[i + 1].first : "{" + most + "}";
        documents.emplace_back(parse_json("{\"min\":" + min + ",\"max\":" + max + ",\"shard\":\"" + starts[i].second + "\"}"));
    }
    std::swap(documents.front(), documents.back()); // in any order
    return ChunkMap(key(pattern), documents);
}
std::string owner(const ChunkMap& map, const std::string& document) {
    const std::string bytes = parse_json(document);
    return map.owner(bson::Document(bytes));
}
std::string refusal(const std::string& pattern, const std::vector<std::string>& documents) {
    std::vector<bson::Value> chunks;
    chunks.reserve(documents.size());
    for (const std::string& document : documents) chunks.emplace_back(parse_json(document));
    try {
        ChunkMap(key(pattern), chunks);
    } catch (const DataError& error) {
        return error.what();
    }
    return {};
}

} // namespace

TEST_CASE("a shard key has a document's values in its own order, and null for what is missing") {
    CHECK(values(R"({"a":1,"b":1})", R"({"b":2,"x":0,"a":1})") == R"({"a":1,"b":2})");
    CHECK(values(R"({"a":1,"b":1})", R"({"b":2})") == R"({"a":null,"b":2})");
    CHECK(values(R"({"a.b":1})", R"({"a":{"b":{"c":1}}})") == R"({"a.b":{"c":1}})");
    CHECK(values(R"({"a.b":1})", R"({"a":5})") == R"({"a.b":null})");
    CHECK(values(R"({"a.b":1})", R"({"a.b":5})") == R"({"a.b":null})");
    CHECK(values(R"({"a":"hashed"})", R"({"a":1})") == R"({"a":5902408780260971510})");
    CHECK(values(R"({"a":1,"b":"hashed"})", R"({"a":1})") == R"({"a":1,"b":2338878944348059895})");
}

TEST_CASE("a document with an array in its shard key, and keys of unknown kinds, are refused") {
    CHECK_THROWS_AS(values(R"({"a":1})", R"({"a":[1]})"), DataError);
    CHECK_THROWS_AS(values(R"({"a.b":1})", R"({"a":[{"b":1}]})"), DataError);
    CHECK_THROWS_AS(key(R"({"a":"2d"})"), DataError);
    CHECK_THROWS_AS(key(R"({"a":-1})"), DataError);
    CHECK_THROWS_AS(key("{}"), DataError);
}

TEST_CASE("a chunk owns from its lower bound to before its upper bound") {
    const ChunkMap map = chunks(R"({"a":1})", {{"", "A"}, {R"({"a":0})", "B"}, {R"({"a":10})", "C"}, {R"({"a":"m"})", "A"}});
    CHECK(owner(map, R"({"a":-1})") == "A");
    CHECK(owner(map, R"({"a":0})") == "B");
    CHECK(owner(map, R"({"a":0.0})") == "B");
    CHECK(owner(map, R"({"a":9.99})") == "B");
    CHECK(owner(map, R"({"a":10})") == "C");
    CHECK(owner(map, R"({"a":"l"})") == "C");
    CHECK(owner(map, R"({"a":"m"})") == "A");
    CHECK(owner(map, R"({})") == "A");
    CHECK(owner(map, R"({"a":{"$minKey":1}})") == "A");
    CHECK(owner(map, R"({"a":{"$maxKey":1}})") == "A");
    CHECK(map.owns_any("B"));
    CHECK_FALSE(map.owns_any("D"));
}

TEST_CASE("bounds of compound and refined keys are compared field by field") {
    const ChunkMap map = chunks(R"({"a":1,"b":1})", {{"", "A"}, {R"({"a":5,"b":{"$minKey":1}})", "B"}, {R"({"a":5,"b":7})", "C"}});
    CHECK(owner(map, R"({"a":4,"b":9})") == "A");
    CHECK(owner(map, R"({"a":5})") == "B");
    CHECK(owner(map, R"({"a":5,"b":6})") == "B");
    CHECK(owner(map, R"({"a":5,"b":7})") == "C");
    CHECK(owner(map, R"({"a":6})") == "C");
}

TEST_CASE("chunks that leave a part to nobody, overlap, or are of another key are refused") {
    const std::string low = R"({"min":{"a":{"$minKey":1}},"max":{"a":1},"shard":"A"})",
                      high = R"({"min":{"a":1},"max":{"a":{"$maxKey":1}},"shard":"B"})";
    CHECK(refusal(R"({"a":1})", {high, low}).empty());
    CHECK(refusal(R"({"a":1})", {}) == "no chunks");
    CHECK(refusal(R"({"a":1})", {low}).starts_with("no chunk has what is at or above"));
    CHECK(refusal(R"({"a":1})", {high}).starts_with("no chunk has what is below"));
    CHECK(refusal(R"({"a":1})", {low, R"({"min":{"a":2},"max":{"a":{"$maxKey":1}},"shard":"B"})"}).find("is followed by one from") !=
          std::string::npos);
    CHECK(refusal(R"({"a":1})", {low, low, high}).find("is followed by one from") != std::string::npos);
    CHECK(refusal(R"({"a":1,"b":1})", {low, high}).find("is not of the shard key") != std::string::npos);
    CHECK(refusal(R"({"a":1})", {R"({"min":{"a":{"$minKey":1}},"max":{"a":1}})"}).starts_with("a chunk without 'shard'"));
}

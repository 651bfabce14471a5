// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <oplog/restore/collection_metadata.hpp>

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

/// Does what a command tells, as JSON, to a collection's metadata.
void act(void (*what)(CollectionMetadata&, const bson::Document&), CollectionMetadata& collection, const std::string& json) {
    const std::string bytes = parse_json(json);
    what(collection, bson::Document(bytes));
}

/// A collection made by a create.
CollectionMetadata created(const std::string& create, const std::string& name = "a") {
    CollectionMetadata made{.database = "shop", .name = name, .metadata = {}};
    act(set_created, made, create);
    return made;
}

std::string options_of(const CollectionMetadata& collection) { return json(collection.metadata.options.bytes()); }

std::string indexes_of(const CollectionMetadata& collection) {
    std::string text;
    for (const bson::Value& index : collection.metadata.indexes) text += json(index.bytes());
    return text;
}

std::string modified(CollectionMetadata collection, const std::string& change) {
    act(modify_collection, collection, change);
    return options_of(collection);
}

} // namespace

TEST_CASE("a create gives the options that a server lists, and the index on _id") {
    const CollectionMetadata made = created(R"({"create":"a","capped":true,"size":4096,"idIndex":{"v":2,"key":{"_id":1},"name":"_id_"}})");
    CHECK(options_of(made) == R"({"capped":true,"size":4096})");
    CHECK(indexes_of(made) == R"({"v":2,"key":{"_id":1},"name":"_id_"})");
    CHECK(indexes_of(created(R"({"create":"a"})")) == R"({"v":1,"key":{"_id":1},"name":"_id_"})"); // of an old server
    CHECK(indexes_of(created(R"({"create":"a","autoIndexId":false})")).empty());
    CHECK(indexes_of(created(R"({"create":"a","clusteredIndex":{"v":2,"key":{"_id":1},"name":"_id_","unique":true}})")).empty());
}

TEST_CASE("an index is listed with its fields in the server's order and types") {
    CollectionMetadata made = created(R"({"create":"a","autoIndexId":false})");
    act(add_index, made, R"({"name":"x","sparse":1,"unique":true,"key":{"x":1},"v":2.0,"expireAfterSeconds":5.7,"ns":"shop.a"})");
    CHECK(indexes_of(made) == R"({"v":2,"key":{"x":1},"name":"x","unique":true,"sparse":true,"expireAfterSeconds":5})");
    CHECK(made.metadata_changed);
    made.keeps_fractions = true; // as before 5.0
    act(add_index, made, R"({"v":2.0,"key":{"x":1},"name":"x","expireAfterSeconds":2.5})");
    CHECK(indexes_of(made) == R"({"v":2,"key":{"x":1},"name":"x","expireAfterSeconds":2.5})");
    act(add_index, made, R"({"v":2,"key":{"y":1},"name":"x"})");
    CHECK(indexes_of(made) == R"({"v":2,"key":{"y":1},"name":"x"})");
}

TEST_CASE("indexes are dropped by name, by key, or all but that on _id") {
    CollectionMetadata made = created(R"({"create":"a"})");
    for (const char* name : {"x", "y", "z"})
        act(add_index, made, R"({"v":2,"key":{")" + std::string(name) + R"(":1},"name":")" + name + "\"}");
    act(drop_indexes, made, R"({"dropIndexes":"a","index":"x"})");
    act(drop_indexes, made, R"({"dropIndexes":"a","index":{"y":1}})");
    CHECK(indexes_of(made) == R"({"v":1,"key":{"_id":1},"name":"_id_"}{"v":2,"key":{"z":1},"name":"z"})");
    act(drop_indexes, made, R"({"dropIndexes":"a","index":"*"})");
    CHECK(indexes_of(made) == R"({"v":1,"key":{"_id":1},"name":"_id_"})");
}

TEST_CASE("a collMod sets options in the server's order, and removes them") {
    const CollectionMetadata made = created(R"({"create":"a","capped":true,"size":256,"collation":{"locale":"de"}})");
    CHECK(
        modified(made, R"({"collMod":"a","validator":{"x":1}})") ==
        R"({"capped":true,"size":256,"validator":{"x":1},"validationLevel":"strict","validationAction":"error","collation":{"locale":"de"}})");
    CHECK(modified(made, R"({"collMod":"a","cappedSize":1000,"cappedMax":7})") ==
          R"({"capped":true,"size":1024,"max":7,"collation":{"locale":"de"}})");
    CHECK(modified(created(R"({"create":"a","expireAfterSeconds":5})"), R"({"collMod":"a","expireAfterSeconds":"off"})") == "{}");
    CHECK(modified(made, R"({"collMod":"a","noPadding":true})") == options_of(made));
}

TEST_CASE("a collMod hides an index, and passes over one that is gone") {
    CollectionMetadata made = created(R"({"create":"a"})");
    act(add_index, made, R"({"v":2,"key":{"x":1},"name":"x"})");
    made.metadata_changed = false;
    act(modify_collection, made, R"({"collMod":"a","index":{"name":"gone","hidden":true}})");
    CHECK_FALSE(made.metadata_changed);
    act(modify_collection, made, R"({"collMod":"a","index":{"keyPattern":{"x":1},"hidden":true}})");
    CHECK(indexes_of(made) == R"({"v":1,"key":{"_id":1},"name":"_id_"}{"v":2,"key":{"x":1},"name":"x","hidden":true})");
}

TEST_CASE("an index on buckets becomes one on the series") {
    CollectionMetadata made = created(
        R"({"create":"system.buckets.ts","timeseries":{"timeField":"t","metaField":"m"},"clusteredIndex":true})", "system.buckets.ts");
    CHECK(made.logical_ns() == "shop.ts");
    act(add_index, made, R"({"v":2,"key":{"meta.a":1,"control.min.t":1,"control.max.t":1},"name":"x"})");
    CHECK(indexes_of(made) == R"({"v":2,"key":{"m.a":1,"t":1},"name":"x"})");
    CHECK(message_of<DataError>([&] { act(add_index, made, R"({"v":2,"key":{"data.t":1},"name":"y"})"); }) ==
          "index y of time series shop.system.buckets.ts has the unknown key data.t");
}

TEST_CASE("a coarser granularity lets buckets span more time") {
    const CollectionMetadata made = created(
        R"({"create":"system.buckets.ts","timeseries":{"timeField":"t","granularity":"seconds","bucketMaxSpanSeconds":3600},"clusteredIndex":true})",
        "system.buckets.ts");
    CHECK(modified(made, R"({"collMod":"system.buckets.ts","timeseries":{"granularity":"hours"}})") ==
          R"({"timeseries":{"timeField":"t","granularity":"hours","bucketMaxSpanSeconds":2592000}})");
    CHECK(message_of<DataError>([&] {
              modified(created(R"({"create":"a"})"), R"({"collMod":"a","timeseries":{"granularity":"hours"}})");
          }) == "collMod of shop.a, which is no time series");
}

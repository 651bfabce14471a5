// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <oplog/bson/json_parser.hpp>
#include <oplog/restore/catalog.hpp>

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

std::string spec(std::string_view name, std::string_view field = "n") {
    bson::Builder builder;
    builder.int32("v", 2).begin_document("key").int32(field, 1).end().string("name", name);
    return builder.finish();
}

void add(Catalog& catalog, std::string_view ns, std::string_view name) { catalog.add_index(ns, of_bytes(spec(name))); }

/// The names of a collection's indexes, or "none" without the collection.
std::string names(Catalog& catalog, std::string_view ns) {
    const Collection* const collection = catalog.find(ns);
    if (!collection) return "none";
    std::string text;
    for (const Index& index : collection->indexes) text += (text.empty() ? "" : " ") + index.name;
    return text;
}

std::string modified(const std::string& spec, const bson::Builder& change) {
    bson::Builder copy = change;
    return json(modified_index(bson::Document(spec), of_bytes(copy.finish())));
}

} // namespace

TEST_CASE("A renamed collection takes its indexes and its UUID along, and replaces another") {
    Catalog catalog;
    catalog.create("shop.a", "uuid of a");
    add(catalog, "shop.a", "x");
    catalog.create("shop.b", "uuid of b");
    add(catalog, "shop.b", "y");
    catalog.rename("shop.a", "shop.b");
    CHECK(names(catalog, "shop.a") == "none");
    CHECK(names(catalog, "shop.b") == "x");
    CHECK(catalog.find("shop.b")->indexes.front().collection == "b");
    CHECK(catalog.find("shop.b")->indexes_changed);
    CHECK(*catalog.find_uuid("uuid of a") == "shop.b");
    CHECK(catalog.find_uuid("uuid of b") == nullptr);
}

TEST_CASE("Names can be swapped") {
    Catalog catalog;
    for (const std::string name : {"a", "b"}) {
        catalog.create("shop." + name, "uuid of " + name);
        add(catalog, "shop." + name, "from_" + name);
    }
    catalog.rename("shop.a", "shop.t");
    catalog.rename("shop.b", "shop.a");
    catalog.rename("shop.t", "shop.b");
    CHECK(names(catalog, "shop.a") == "from_b");
    CHECK(names(catalog, "shop.b") == "from_a");
    CHECK(*catalog.find_uuid("uuid of a") == "shop.b");
    CHECK(*catalog.find_uuid("uuid of b") == "shop.a");
    CHECK(names(catalog, "shop.t") == "none");
}

TEST_CASE("A rename of what is not known takes the target away") {
    Catalog catalog;
    add(catalog, "shop.b", "y");
    catalog.rename("shop.a", "shop.b");
    CHECK(names(catalog, "shop.b") == "none");
}

TEST_CASE("A dropped database takes its own collections, and no others whose names begin alike") {
    Catalog catalog;
    for (const char* ns : {"shop.a", "shop.b.c", "shop2.a", "sho.a", "shop-x.a"}) catalog.create(ns, ns);
    catalog.drop_database("shop");
    CHECK(names(catalog, "shop.a") == "none");
    CHECK(names(catalog, "shop.b.c") == "none");
    CHECK(catalog.collections().size() == 3);
    CHECK(catalog.find_uuid("shop.a") == nullptr);
    CHECK(catalog.find_uuid("shop2.a") != nullptr);
}

TEST_CASE("A collection made anew has nothing of the older one") {
    Catalog catalog;
    catalog.create("shop.a", "1");
    add(catalog, "shop.a", "x");
    catalog.create("shop.a", "2");
    CHECK(names(catalog, "shop.a") == "");
    CHECK(catalog.find_uuid("1") == nullptr);
    catalog.drop("shop.a");
    catalog.drop("shop.a");
    CHECK(catalog.find_uuid("2") == nullptr);
}

TEST_CASE("An index is replaced by one of its name, and dropped by it") {
    Catalog catalog;
    catalog.add_index("shop.a", of_bytes(spec("x", "n")));
    catalog.add_index("shop.a", of_bytes(spec("y", "m")));
    catalog.add_index("shop.a", of_bytes(spec("x", "k")));
    CHECK(names(catalog, "shop.a") == "y x");
    CHECK(json(catalog.find("shop.a")->index("x")->spec) == R"({"v":2,"key":{"k":1},"name":"x"})");
    CHECK(catalog.drop_index("shop.a", "x"));
    CHECK_FALSE(catalog.drop_index("shop.a", "x"));
    CHECK_FALSE(catalog.drop_index("shop.b", "x"));
    CHECK(names(catalog, "shop.a") == "y");
    CHECK_THROWS_WITH_AS(catalog.add_index("shop.a", of_bytes(bson::Builder().int32("v", 2).finish())), "an index without a name",
                         DataError);
}

TEST_CASE("collMod changes options in their place, adds others at the end, and what is switched off is gone") {
    const std::string plain = spec("x");
    CHECK(modified(plain, bson::Builder().string("name", "x").boolean("hidden", true)) ==
          R"({"v":2,"key":{"n":1},"name":"x","hidden":true})");
    const std::string hidden = modified_index(bson::Document(plain), of_bytes(bson::Builder().boolean("hidden", true).finish()));
    CHECK(modified(hidden, bson::Builder().string("name", "x").boolean("hidden", false)) == json(plain));
    CHECK(modified(plain, bson::Builder().boolean("hidden", false)) == json(plain));
    const std::string expiring = modified_index(bson::Document(plain), of_bytes(bson::Builder().int32("expireAfterSeconds", 5).finish()));
    CHECK(modified(expiring, bson::Builder().int64("expireAfterSeconds", 7)) ==
          R"({"v":2,"key":{"n":1},"name":"x","expireAfterSeconds":7})");
    CHECK(modified(expiring, bson::Builder().int32("expireAfterSeconds", 0)) ==
          R"({"v":2,"key":{"n":1},"name":"x","expireAfterSeconds":0})");
    const std::string prepared = modified_index(bson::Document(plain), of_bytes(bson::Builder().boolean("prepareUnique", true).finish()));
    CHECK(json(prepared) == R"({"v":2,"key":{"n":1},"name":"x","prepareUnique":true})");
    CHECK(modified(prepared, bson::Builder().boolean("unique", true)) == R"({"v":2,"key":{"n":1},"name":"x","unique":true})");
    CHECK(modified(prepared, bson::Builder().boolean("prepareUnique", false)) == json(plain));
}

TEST_CASE("An index to be changed is found by its name or its key") {
    Catalog catalog;
    add(catalog, "shop.a", "x");
    const auto change = [&](bson::Builder builder) {
        return catalog.modify_index("shop.a", of_bytes(builder.boolean("hidden", true).finish()));
    };
    CHECK_FALSE(change(bson::Builder().string("name", "y")));
    bson::Builder by_key, by_other;
    CHECK(change(by_key.begin_document("keyPattern").int32("n", 1).end()));
    CHECK_FALSE(change(by_other.begin_document("keyPattern").int32("n", -1).end()));
    CHECK(json(catalog.find("shop.a")->index("x")->spec) == R"({"v":2,"key":{"n":1},"name":"x","hidden":true})");
    CHECK_FALSE(catalog.modify_index("shop.b", of_bytes(bson::Builder().string("name", "x").finish())));
}

TEST_CASE("A changed index of a time series is told in terms of its buckets") {
    Catalog catalog;
    Collection& series = catalog.create("shop.system.buckets.ts", {});
    series.time_field = "t";
    series.meta_field = "m";
    series.indexes.push_back({"x", bson::Value(spec("x", "temp")), "ts"});
    CHECK(catalog.modify_index("shop.system.buckets.ts", of_bytes(bson::Builder().string("name", "x").boolean("hidden", true).finish())));
    const Index& index = catalog.find("shop.system.buckets.ts")->indexes.front();
    CHECK(index.collection == "system.buckets.ts");
    CHECK(json(index.spec) == R"({"v":2,"key":{"control.min.temp":1,"control.max.temp":1},"name":"x",)"
                              R"("originalSpec":{"v":2,"key":{"temp":1},"name":"x"},"hidden":true})");
}

TEST_CASE("An index on a time series has another form on its buckets") {
    const auto on_buckets = [](bson::Builder key, const std::optional<std::string>& filter = {}) {
        bson::Builder builder;
        const std::string keys = key.finish();
        builder.document("key", bson::Document(keys));
        if (filter) builder.document("partialFilterExpression", bson::Document(*filter));
        const auto found = index_on_buckets(of_bytes(builder.finish()), "t", "m");
        return found ? json(*found) : "none";
    };
    CHECK(on_buckets(bson::Builder().int32("m", 1).int32("t", -1)) == R"({"key":{"meta":1,"control.max.t":-1,"control.min.t":-1}})");
    CHECK(on_buckets(bson::Builder().int32("m.city", -1)) == R"({"key":{"meta.city":-1}})");
    CHECK(on_buckets(bson::Builder().int32("mm", 1)) ==
          R"({"key":{"control.min.mm":1,"control.max.mm":1},"originalSpec":{"key":{"mm":1}}})");
    CHECK(on_buckets(bson::Builder().string("m", "2dsphere")) == R"({"key":{"meta":"2dsphere"},"2dsphereIndexVersion":3})");
    CHECK(on_buckets(bson::Builder().string("place", "2dsphere")) ==
          R"({"key":{"data.place":"2dsphere_bucket"},"originalSpec":{"key":{"place":"2dsphere"}},"2dsphereIndexVersion":3})");
    CHECK(on_buckets(bson::Builder().string("place", "hashed")) == "none");
    CHECK(
        on_buckets(bson::Builder().int32("m", 1), parse_json(R"({"m.a":1,"$and":[{"m":2}]})")) ==
        R"({"key":{"meta":1},"partialFilterExpression":{"meta.a":1,"$and":[{"meta":2}]},"originalSpec":{"key":{"m":1},"partialFilterExpression":{"m.a":1,"$and":[{"m":2}]}}})");
    for (const char* filter : {R"({"x":1})", R"({"$and":[{"m":1},{"x":1}]})", R"({"mm":1})"})
        CHECK(on_buckets(bson::Builder().int32("m", 1), parse_json(filter)) == "none");
}

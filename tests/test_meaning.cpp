// SPDX-License-Identifier: Apache-2.0
#include <oplog/bson/json_parser.hpp>
#include <oplog/entry/meaning.hpp>
#include <oplog/entry/transaction.hpp>

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

using namespace oplog;

namespace {

Verdict judge(std::string_view json) {
    const std::string bytes = parse_json(json);
    return meaning_of(Operation(bson::Document(bytes)));
}
Meaning meaning(std::string_view json) { return judge(json).meaning; }

Meaning command(std::string_view ns, std::string_view o) {
    return meaning(R"({"op":"c","ns":")" + std::string(ns) + R"(.$cmd","o":)" + std::string(o) + "}");
}
void check_damaged(std::string_view json, std::string_view reason) {
    CAPTURE(json);
    CHECK_THROWS_WITH_AS(static_cast<void>(judge(json)), doctest::Contains(std::string(reason).c_str()), DataError);
}
void check_damaged_command(std::string_view o, std::string_view reason) {
    check_damaged(R"({"op":"c","ns":"shop.$cmd","o":)" + std::string(o) + "}", reason);
}

/// Whether somebody would take the entry for one that can be followed.
bool passes(const std::string& bytes) {
    try {
        const EntryView entry{bson::Document(bytes)};
        static_cast<void>(transaction_info(entry));
        bool followed = true;
        for_each_operation(entry.document(),
                           [&](const Operation& operation) { followed &= meaning_of(operation).meaning != Meaning::refused; });
        return followed;
    } catch (const DataError&) {
        return false;
    }
}

/// Calls use(offset, name) for the name of each field, of those inside too.
template <class Use>
void for_each_name(const bson::Document& document, const char* origin, Use& use) {
    for (const bson::Element& field : document) {
        use(static_cast<std::size_t>(field.key().data() - origin), field.key());
        if (field.is(bson::Type::document)) for_each_name(field.document(), origin, use);
        if (field.is(bson::Type::array)) for_each_name(field.array(), origin, use);
    }
}

} // namespace

TEST_CASE("changes of documents are followed where a dump has the collection, and nothing elsewhere") {
    CHECK(meaning(R"({"op":"i","ns":"shop.a","o":{"_id":1}})") == Meaning::followed);
    CHECK(meaning(R"({"op":"d","ns":"shop.a","o":{"_id":1}})") == Meaning::followed);
    CHECK(meaning(R"({"op":"u","ns":"shop.a","o":{"$v":2,"diff":{"u":{"x":1}}},"o2":{"_id":1}})") == Meaning::followed);
    CHECK(meaning(R"({"op":"i","ns":"config.chunks","o":{"_id":1}})") == Meaning::followed);
    for (const char* const ns :
         {"config.transactions", "config.system.sessions", "local.x", "__mdb_internal_search.x", "admin.system.keys"})
        CHECK(meaning(R"({"op":"i","ns":")" + std::string(ns) + R"(","o":{"x":1}})") == Meaning::nothing);
}

TEST_CASE("what has no effect on a dump is nothing, whatever else it says") {
    for (const char* const op : {"n", "ci", "cu", "cd", "km", "db"})
        CHECK(meaning(R"({"op":")" + std::string(op) + R"(","ns":"","o":{}})") == Meaning::nothing);
    for (const char* const name : {"dbCheck", "setMultikeyMetadata", "dropIdent", "createDatabaseMetadata", "dropDatabaseMetadata",
                                   "invalidateAllDatabaseMetadata", "invalidateAllCollectionMetadata", "invalidateCollectionMetadata",
                                   "updateCollectionMetadata", "setAllowChunkOperations", "modifyCollectionShardingIndexCatalog"})
        for (const char* const value : {"\"a\"", "\"\"", "1", "{}"})
            CHECK(command("shop", "{\"" + std::string(name) + "\":" + value + "}") == Meaning::nothing);
    CHECK(command("config", R"({"drop":"cache.chunks.shop.a"})") == Meaning::nothing);
    CHECK(command("config", R"({"frobnicate":"a"})") == Meaning::nothing);
    CHECK(command("config", R"({"truncateRange":"config.system.preimages"})") == Meaning::nothing);
}

TEST_CASE("what nobody can follow is refused with a reason") {
    CHECK(meaning(R"({"op":"xi","ns":"shop.a","o":{"_id":1}})") == Meaning::refused);
    for (const char* const o :
         {R"({"frobnicate":"a"})", R"({"convertToCapped":"a","size":1})", R"({"importCollection":"shop.a"})",
          R"({"truncateRange":"shop.a"})", R"({"upgradeDowngradeViewlessTimeseries":"a"})", R"({"create":"a","frob":1})",
          R"({"collMod":"a","frob":1})", R"({"collMod":"v","viewOn":"b"})", R"({"create":"ts","timeseries":{"timeField":"t"}})"}) {
        CAPTURE(o);
        CHECK(command("shop", o) == Meaning::refused);
    }
    CHECK_FALSE(judge(R"({"op":"c","ns":"shop.$cmd","o":{"frobnicate":"a"}})").reason.empty());
}

TEST_CASE("options of other servers are nothing, or an option that a dump has") {
    for (const char* const o :
         {"noPadding", "usePowerOf2Sizes", "recordPreImages", "isTemp", "dryRun", "isTimeseriesNamespace",
          "timeseriesBucketingParametersHaveChanged", "_removeLegacyTimeseriesBucketingParametersHaveChanged", "recordIdsReplicated"})
        CHECK(command("shop", R"({"collMod":"a",")" + std::string(o) + R"(":true})") == Meaning::followed);
    CHECK(is_followed_change("recordPreImages"));
    CHECK_FALSE(is_followed_change("isTemp"));
    CHECK(is_kept_option("recordPreImages"));
    CHECK_FALSE(is_kept_option("recordIdsReplicated"));
    CHECK_FALSE(is_kept_option("idIndex"));
}

TEST_CASE("what the source's admin.system.version says of itself is left out, but not what users are") {
    const auto of = [](const char* id) {
        return judge(R"({"op":"u","ns":"admin.system.version","o":{"$v":1,"$set":{"x":1}},"o2":{"_id":")" + std::string(id) + R"("}})");
    };
    CHECK(of("authSchema").meaning == Meaning::followed);
    CHECK(of("featureCompatibilityVersion").meaning == Meaning::refused);
    for (const char* const id : {"shardIdentity", "minOpTimeRecovery", "anything"}) {
        CHECK(of(id).meaning == Meaning::nothing);
        CHECK(of(id).reason.find(id) != std::string::npos);
    }
}

TEST_CASE("a change that lacks what it needs is damaged") {
    check_damaged(R"({"ns":"shop.a","o":{"_id":1}})", "without 'op'");
    check_damaged(R"({"op":"i","o":{"_id":1}})", "without 'ns'");
    check_damaged(R"({"op":"i","ns":"shop","o":{"_id":1}})", "names no collection");
    check_damaged(R"({"op":"i","ns":"shop.a"})", "an insert without 'o'");
    check_damaged(R"({"op":"i","ns":"shop.a","o":{"id":1}})", "an insert without 'o._id'");
    check_damaged(R"({"op":"d","ns":"shop.a","o":{"^id":1}})", "a delete without 'o._id'");
    check_damaged(R"({"op":"i","ns":"shop.a","o":{"_id":[1]}})", "an insert with an _id of the type array, which no server stores");
    for (const char* ui : {R"("abc")", R"({"$binary":{"base64":"AAAA","subType":"04"}})", "null"})
        check_damaged(R"({"op":"i","ns":"shop.a","ui":)" + std::string(ui) + R"(,"o":{"_id":1}})", "an operation whose 'ui' is no UUID");
    check_damaged(R"({"op":"u","ns":"shop.a","o":{"_id":1,"x":1}})", "an update without 'o2'");
    check_damaged(R"({"op":"u","ns":"shop.a","o":{"_id":1,"x":1},"o2":{"id":1}})", "an update without 'o2._id'");
    check_damaged(R"({"op":"u","ns":"shop.a","n":{"$v":2,"diff":{"u":{"x":1}}},"o2":{"_id":1}})", "unknown field 'n'");
    check_damaged(R"({"op":"u","ns":"shop.a","o":{"$v":3,"diff":{"u":{"x":1}}},"o2":{"_id":1}})", "$v");
    check_damaged(R"({"op":"i","ns":"shop.system.views","o":{"_id":"other.v"}})", "another database");
    check_damaged(R"({"op":"i","ns":"shop.system.views","o":{"_id":1}})", "without a name");
    for (const char* op : {R"("op":"i")", R"("op":"u","o2":{"_id":"shop.v"})"}) {
        const auto view = [&](std::string_view rest) {
            return std::string("{") + op + R"(,"ns":"shop.system.views","o":{"_id":"shop.v",)" + std::string(rest) + "}}";
        };
        CHECK(meaning(view(R"("viewOn":"a","pipeline":[],"collation":{"locale":"fr"})")) == Meaning::followed);
        check_damaged(view(R"("viewIn":"a","pipeline":[])"), "a view's definition with the unknown field 'viewIn'");
        check_damaged(view(R"("pipeline":[])"), "a view's definition without 'viewOn'");
        check_damaged(view(R"("viewOn":"a")"), "a view's definition without 'pipeline'");
        check_damaged(view(R"("viewOn":1,"pipeline":[])"), "viewOn");
        check_damaged(view(R"("viewOn":"a","pipeline":{})"), "pipeline");
        check_damaged(view(R"("viewOn":"a","pipeline":[],"collation":{"local":"fr"})"), "a collation with the unknown field");
    }
    check_damaged(R"({"op":"i","ns":"shop.system.indexes","o":{"key":{"x":1},"name":"x_1"}})", "without a namespace");
}

TEST_CASE("an update that would spoil any view is refused, whatever its form") {
    const auto update = [](std::string_view o) {
        return R"({"op":"u","ns":"shop.system.views","o2":{"_id":"shop.v"},"o":)" + std::string(o) + "}";
    };
    for (const char* o :
         {R"({"$v":2,"diff":{"u":{"viewOn":"b"}}})", R"({"$v":2,"diff":{"spipeline":{"a":true,"u1":{}}}})",
          R"({"$v":2,"diff":{"d":{"collation":false}}})", R"({"$v":1,"$set":{"pipeline":[]}})", R"({"$v":1,"$set":{"pipeline.0":{}}})"})
        CHECK_MESSAGE(meaning(update(o)) == Meaning::followed, o);
    check_damaged(update(R"({"$v":2,"diff":{"u":{"viewOn":1}}})"), "viewOn");
    check_damaged(update(R"({"$v":2,"diff":{"i":{"viewIn":"b"}}})"), "a view's definition with the unknown field 'viewIn'");
    check_damaged(update(R"({"$v":2,"diff":{"d":{"pipeline":false}}})"), "a view's definition without 'pipeline'");
    check_damaged(update(R"({"$v":1,"$unset":{"viewOn":true}})"), "a view's definition without 'viewOn'");
    check_damaged(update(R"({"$v":2,"diff":{"scollation":{"i":{"local":"fr"}}}})"), "a collation with the unknown field");
}

TEST_CASE("a command that lacks what it needs is damaged") {
    check_damaged_command("{}", "without a name");
    check_damaged_command(R"({"drop":""})", "names no collection");
    check_damaged_command(R"({"drop":1})", "'drop'");
    check_damaged_command(R"({"renameCollection":"shop.a"})", "without 'to'");
    check_damaged_command(R"({"renameCollection":"shop.a","to":"b"})", "names no collection");
    check_damaged_command(R"({"renameCollection":"shop.a","to":"shop.b","dropUarget":true})", "dropUarget");
    check_damaged_command(R"({"renameCollection":"shop.a","to":"shop.b","dropTarget":"x"})", "dropTarget");
    check_damaged_command(R"({"dropIndexes":"a"})", "names no index");
    check_damaged_command(R"({"createIndexes":"a","v":2,"name":"x_1"})", "no key");
    check_damaged_command(R"({"createIndexes":"a","v":2,"key":{"x":1}})", "without a name");
    check_damaged_command(R"({"createIndexes":"a","v":2,"key":{"x":1},"name":"x_1","uniquf":true})", "uniquf");
    check_damaged_command(R"({"createIndexes":"a","v":2,"key":{"x":1},"name":"x_1","collation":{"locald":"fr"}})", "locald");
    for (const char* const name : {"startIndexBuild", "commitIndexBuild", "abortIndexBuild"}) {
        check_damaged_command("{\"" + std::string(name) + "\":\"a\"}", "without 'indexes'");
        check_damaged_command("{\"" + std::string(name) + R"(":"a","indexes":[]})", "of no index");
        check_damaged_command("{\"" + std::string(name) + R"(":"a","indexes":[{"key":{"x":1}}]})", "without a name");
    }
    check_damaged_command(R"({"create":"a","idIndex":{"v":2,"key":{"_id":1}}})", "without a name");
    check_damaged_command(R"({"create":"a","collation":{"strength":1}})", "without 'locale'");
    check_damaged_command(R"({"create":"a","validator":1})", "wrong type");
    check_damaged_command(R"({"create":"system.buckets.a","timeseries":{"timeFiele":"t"}})", "timeFiele");
    check_damaged_command(R"({"collMod":"a","index":{"expireAfterSeconds":1}})", "without its name");
    check_damaged_command(R"({"collMod":"a","index":{"name":"x_1","hiddeo":true}})", "hiddeo");
}

TEST_CASE("no flipped bit in a name that matters passes") {
    const std::string insert =
        R"({"op":"i","ns":"shop.a","ui":{"$binary":{"base64":"EAAAAAAAQACAAAAAAAAAAQ==","subType":"04"}},"o":{"_id":1},"ts":{"$timestamp":{"t":1,"i":1}}})";
    const std::vector<std::string> kinds = {
        insert,
        R"({"op":"u","ns":"shop.a","o":{"$v":2,"diff":{"d":{"z":false},"u":{"x":2},"i":{"y":1}}},"o2":{"_id":1},"ts":{"$timestamp":{"t":1,"i":1}}})",
        R"({"op":"u","b":true,"ns":"shop.a","o":{"$v":1,"$set":{"x":2},"$unset":{"y":true}},"o2":{"_id":1},"ts":{"$timestamp":{"t":1,"i":1}}})",
        R"({"op":"d","ns":"shop.a","o":{"_id":1},"ts":{"$timestamp":{"t":1,"i":1}}})",
        R"({"op":"c","ns":"shop.$cmd","o":{"create":"n","capped":true,"size":100,"max":5,"validator":{},"collation":{"locale":"fr"},"idIndex":{"v":2,"key":{"_id":1},"name":"_id_"}},"ts":{"$timestamp":{"t":1,"i":1}}})",
        R"({"op":"c","ns":"shop.$cmd","o":{"createIndexes":"a","v":2,"key":{"x":1},"name":"x_1","unique":true,"expireAfterSeconds":5},"ts":{"$timestamp":{"t":1,"i":1}}})",
        R"({"op":"c","ns":"shop.$cmd","o":{"commitIndexBuild":"a","indexes":[{"v":2,"key":{"x":1},"name":"x_1","hidden":true}]},"ts":{"$timestamp":{"t":1,"i":1}}})",
        R"({"op":"c","ns":"shop.$cmd","o":{"collMod":"a","index":{"name":"x_1","hidden":true},"validationLevel":"strict"},"ts":{"$timestamp":{"t":1,"i":1}}})",
        R"({"op":"c","ns":"shop.$cmd","o":{"renameCollection":"shop.a","to":"shop.b","stayTemp":false,"dropTarget":true},"ts":{"$timestamp":{"t":1,"i":1}}})",
        R"({"op":"c","ns":"shop.$cmd","o":{"dropIndexes":"a","index":"x_1"},"ts":{"$timestamp":{"t":1,"i":1}}})",
        R"({"op":"c","ns":"shop.$cmd","o":{"dropDatabase":1},"ts":{"$timestamp":{"t":1,"i":1}}})",
        R"({"op":"c","ns":"admin.$cmd","lsid":{"id":1},"txnNumber":5,"o":{"applyOps":[{"op":"i","ns":"shop.a","o":{"_id":5}}],"partialTxn":true},"ts":{"$timestamp":{"t":1,"i":1}}})",
        R"({"op":"c","ns":"admin.$cmd","lsid":{"id":1},"txnNumber":5,"o":{"applyOps":[{"op":"d","ns":"shop.a","o":{"_id":5}}],"prepare":true},"ts":{"$timestamp":{"t":1,"i":1}}})",
    };
    // Names of the user's own, of an index' fields and of a session, and the numbers of array elements.
    const std::set<std::string_view> free = {"x", "y", "z", "id", "0"};
    for (const std::string& kind : kinds) {
        const std::string bytes = parse_json(kind);
        REQUIRE(passes(bytes));
        int flips = 0;
        const auto flip = [&](std::size_t offset, std::string_view name) {
            const bool in_key = name == "_id" && kind.find("\"idIndex\"") != std::string::npos; // what is indexed is the user's
            if (free.contains(name) || in_key) return;
            for (std::size_t bit = 0; bit < 8 * name.size(); ++bit) {
                std::string flipped = bytes;
                flipped[offset + bit / 8] = static_cast<char>(flipped[offset + bit / 8] ^ 1 << bit % 8);
                if (flipped[offset + bit / 8] == 0) continue;
                ++flips;
                CAPTURE(kind);
                CAPTURE(std::string(flipped.substr(offset, name.size())));
                CHECK_FALSE(passes(flipped));
            }
        };
        for_each_name(bson::Document(bytes), bytes.data(), flip);
        CHECK(flips > 50);
    }
}

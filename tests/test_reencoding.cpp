// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <oplog/entry/reencoding.hpp>
#include <oplog/restore/stage.hpp>

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

/// "HOW PATH; …" of all that replay changes. What is ordinary must have nothing of it.
std::string changes(const Bson& fields) {
    constexpr std::string_view names[] = {"keys", "binary", "options", "zero", "unreadable"};
    const std::string bytes = fields.bytes();
    std::string all;
    for_each_reencoded(bson::Document(bytes), "o", [&](Reencoding how, const std::string& path) {
        all += (all.empty() ? "" : "; ") + std::string(names[static_cast<std::size_t>(how)]) + " " + path;
    });
    if (!all.empty()) CHECK_FALSE(bson::validate<bson::Text::any>(bson::Document(bytes)));
    return all;
}
std::string of_binary(int subtype, std::string_view data) {
    return changes(Bson().raw(0x05, "b", little_endian(data.size(), 4) + static_cast<char>(subtype) + std::string(data)));
}
std::string of_options(std::string_view options) {
    return changes(Bson().raw(0x0B, "r", std::string("x\0", 2) + std::string(options) + '\0'));
}
Bson numbered(const std::vector<std::string>& keys) {
    Bson array;
    for (const std::string& key : keys) array.int32(key, 1);
    return array;
}
std::string of_keys(const std::vector<std::string>& keys) { return changes(Bson().array("a", numbered(keys))); }

std::vector<Finding> findings(const std::vector<std::string>& entries) {
    std::vector<Finding> found;
    Stager stager({}, [&](Finding finding) { found.push_back(std::move(finding)); });
    const auto write = [](std::string_view) {};
    for (const std::string& each : entries) stager.add(view(each), write);
    stager.finish(write);
    return found;
}
std::string with_regex(int id) { return Bson().int32("_id", id).raw(0x0B, "r", std::string("x\0mi\0", 5)).bytes(); }

} // namespace

TEST_CASE("an array keeps its keys only if they count from 0") {
    CHECK(of_keys({}) == "");
    std::vector<std::string> many;
    many.reserve(1234);
    for (int i = 0; i < 1234; ++i) many.push_back(std::to_string(i));
    CHECK(of_keys(many) == "");
    for (const std::vector<std::string>& keys : std::vector<std::vector<std::string>>{
             {"1"}, {""}, {"00"}, {"a"}, {"0", "0"}, {"0", "2"}, {"1", "0"}, {"0", "01"}, {"0", "1 "}, {"0", "11"}, {"-0"}, {"4294967296"}})
        CHECK(of_keys(keys) == "keys o.a");
    many[1000] = "1001";
    CHECK(of_keys(many) == "keys o.a");
    CHECK(changes(Bson().document("d", numbered({"1", "0"}))) == ""); // it is no array
}

TEST_CASE("a binary of the old subtype keeps its bytes if its second length is right and there is something after it") {
    CHECK(of_binary(0, "") == "");
    CHECK(of_binary(3, "abcd") == "");
    CHECK(of_binary(2, little_endian(1, 4) + "x") == "");
    for (const std::string& data : {std::string(), std::string("x"), std::string("abcd"), little_endian(0, 4)})
        CHECK(of_binary(2, data) == "binary o.b");
    for (const std::string& data : {little_endian(0, 4) + "x", little_endian(2, 4) + "x", little_endian(0xFFFFFFFF, 4) + "x"})
        CHECK(of_binary(2, data) == "unreadable o.b");
}

TEST_CASE("a regular expression keeps options that are sorted UTF-8") {
    for (const char* sorted : {"", "i", "im", "ii", "imsx", "\xC3\xA9", "i\xC3\xA9", "\xEF\xBF\xBD\xF0\x9F\x98\x80"})
        CHECK(of_options(sorted) == "");
    for (const char* other : {"mi", "xsmi", "\xC3\xA9i", "\xE9", "i\xFF", "\xF0\x9F\x98\x80\xEF\xBF\xBD"})
        CHECK(of_options(other) == "options o.r");
}

TEST_CASE("everything is found, however deep, and a code's scope is looked into") {
    const Bson scope = Bson().array("a", numbered({"7"}));
    const std::string code =
        little_endian(4 + 4 + 2 + scope.bytes().size(), 4) + little_endian(2, 4) + std::string("f\0", 2) + scope.bytes();
    CHECK(changes(Bson().raw(0x0F, "c", code)) == "keys o.c.a");
    CHECK(changes(Bson()
                      .array("a", Bson().document("0", Bson().raw(0x0B, "r", std::string("x\0mi\0", 5)).array("z", numbered({"1"}))))
                      .int32("n", 1)) == "options o.a.0.r; keys o.a.0.z");
}

TEST_CASE("an ordinary document needs no closer look") {
    const auto ordinary = [](const Bson& fields) {
        const std::string bytes = fields.bytes();
        return bson::validate(bson::Document(bytes));
    };
    CHECK(ordinary(Bson().array("a", numbered({"0", "1"})).string("s", "x").timestamp("t", {1, 0})));
    CHECK_FALSE(ordinary(Bson().timestamp("t", {0, 0})));
    CHECK_FALSE(ordinary(Bson().document("d", Bson().timestamp("ts", {0, 0}).int64("t", 1))));
    const std::string first_of_a_transaction = transaction_entry({100, 1}, apply_ops({insert("shop.a", 1)}));
    CHECK(bson::validate(bson::Document(first_of_a_transaction)));
}

TEST_CASE("what replay changes is told once, with the first place and how often") {
    const auto found = findings({as_entry({100, 1}, operation("i", "shop.a", with_regex(1))),
                                 as_entry({100, 2}, operation("u", "shop.b", with_regex(2), with_regex(2))),
                                 as_entry({100, 3}, operation("i", "shop.a", with_regex(3)))});
    REQUIRE(found.size() == 1);
    CHECK(found[0].severity == Finding::Severity::note);
    CHECK(found[0].of_replay);
    CHECK(to_string(found[0]) ==
          "100:1: o.r in shop.a is a regular expression whose options mongorestore sorts (the first of 3 entries in 2 collections); "
          "oplog-apply restores it as it was");
}

TEST_CASE("operations inside applyOps and transactions are looked at") {
    const auto found = findings({transaction_entry({100, 1}, apply_ops({insert("shop.a", 1), operation("i", "shop.b", with_regex(1))}))});
    REQUIRE(found.size() == 1);
    CHECK(found[0].text.starts_with("o.r in shop.b is"));
}

TEST_CASE("what is not replayed is not told of, but must be readable") {
    CHECK(findings({as_entry({100, 1}, operation("n", "", with_regex(1))),
                    as_entry({100, 2}, operation("i", "config.transactions", with_regex(1)))})
              .empty());
    const std::string unreadable = Bson().int32("_id", 1).raw(0x05, "b", little_endian(5, 4) + "\2" + little_endian(2, 4) + "x").bytes();
    for (const char* op : {"n", "i"}) {
        const auto found =
            findings({as_entry({100, 1}, operation(op, "shop.a", unreadable)), as_entry({100, 2}, operation(op, "shop.a", unreadable))});
        REQUIRE(found.size() == 1);
        CHECK(found[0].severity == Finding::Severity::error);
        CHECK(found[0].text.starts_with("o.b in shop.a is a binary of subtype 2 with two lengths that differ"));
    }
}

TEST_CASE("a timestamp of zero matters at the top of a document that replaces another") {
    const std::string zero = Bson().int32("_id", 1).timestamp("when", {0, 0}).bytes(), id = Bson().int32("_id", 1).bytes();
    CHECK(findings({as_entry({100, 1}, operation("i", "shop.a", zero))}).empty());
    CHECK(findings({as_entry({100, 1}, operation("u", "shop.a", zero, id))}).size() == 1);
    CHECK(findings({as_entry({100, 1},
                             operation("u", "shop.a", Bson().timestamp("_id", {0, 0}).bytes(), Bson().timestamp("_id", {0, 0}).bytes()))})
              .empty());
    CHECK(findings({as_entry({100, 1},
                             operation("u", "shop.a", Bson().int32("_id", 1).document("d", Bson().timestamp("when", {0, 0})).bytes(), id))})
              .empty());
    const std::string delta = Bson().int32("$v", 2).document("diff", Bson().document("i", Bson().timestamp("when", {0, 0}))).bytes();
    CHECK(findings({as_entry({100, 1}, operation("u", "shop.a", delta, id))}).empty());
}

TEST_CASE("an index that is written at the end is looked at, too") {
    const std::string filter = Bson().raw(0x0B, "s", std::string("x\0mi\0", 5)).bytes();
    bson::Builder spec;
    spec.string("createIndexes", "a").int32("v", 2).begin_document("key").int32("x", 1).end().string("name", "x_1");
    const std::string o = spec.document("partialFilterExpression", bson::Document(filter)).finish();
    const auto found = findings({as_entry({100, 1}, operation("c", "shop.$cmd", o))});
    REQUIRE(found.size() == 1);
    CHECK(to_string(found[0]).starts_with("o.partialFilterExpression.s in shop.a is a regular expression"));
}

// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

std::string joined(const std::vector<std::string>& items) {
    std::string text;
    for (const std::string& item : items) text += (text.empty() ? "" : " ") + item;
    return text;
}

std::string names(const std::string& bytes) { return joined(namespaces(Operation(bson::Document(bytes)))); }

/// The operation renamed, as JSON; "same" if it stays.
std::string renamed_json(const std::string& bytes, const Renaming& renaming) {
    const auto result = renamed(Operation(bson::Document(bytes)), renaming);
    if (result) bson::validate(bson::Document(*result));
    return result ? json(*result) : "same";
}

Renaming renaming(std::initializer_list<std::pair<const char*, const char*>> rules) {
    Renaming renaming;
    for (const auto& [from, to] : rules) renaming.add(from, to);
    return renaming;
}

std::string with(std::string_view key, std::string_view value) { return bson::Builder().string(key, value).finish(); }

} // namespace

TEST_CASE("a namespace is split at its first dot") {
    CHECK(split_namespace("shop.a.b").database == "shop");
    CHECK(split_namespace("shop.a.b").collection == "a.b");
    CHECK(split_namespace("shop").collection == "");
    CHECK(logical_namespace("shop.system.buckets.ts") == "shop.ts");
    CHECK(logical_namespace("shop.system.views") == "shop.system.views");
}

TEST_CASE("an operation knows its fields in whatever order they come") {
    const std::string bytes = bson::Builder()
                                  .timestamp("ts", {1, 1})
                                  .begin_document("o2")
                                  .int32("_id", 2)
                                  .end()
                                  .begin_document("o")
                                  .int32("_id", 1)
                                  .end()
                                  .string("unknown", "x")
                                  .binary("ui", 4, std::string(16, 'u'))
                                  .string("ns", "shop.a")
                                  .string("op", "u")
                                  .finish();
    const Operation operation{bson::Document(bytes)};
    CHECK(operation.op == "u");
    CHECK(operation.ns == "shop.a");
    CHECK(operation.ui == std::string(16, 'u'));
    CHECK(json(operation.o.bytes()) == R"({"_id":1})");
    CHECK(json(operation.o2->bytes()) == R"({"_id":2})");
    CHECK(operation.command() == "");
    const std::string bare = bson::Builder().timestamp("ts", {1, 1}).finish();
    CHECK(Operation(bson::Document(bare)).op == "");
    CHECK(Operation(bson::Document(bare)).o.empty());
    CHECK(message_of<DataError>([] { Operation(of_bytes(bson::Builder().int32("op", 1).finish())); }) ==
          "field 'op' is an int32, not a string");
}

TEST_CASE("every command that names a collection is told from the others") {
    for (const char* name : {"create", "drop", "createIndexes", "startIndexBuild", "commitIndexBuild", "abortIndexBuild", "dropIndexes",
                             "deleteIndexes", "dropIndex", "deleteIndex", "collMod", "convertToCapped", "emptycapped"}) {
        CAPTURE(name);
        const std::string bytes = operation("c", "shop.$cmd", command(name, "a.b"));
        const Command parsed = parse_command(Operation(bson::Document(bytes)));
        CHECK(parsed.kind != CommandKind::unknown);
        CHECK(parsed.name == name);
        CHECK(parsed.database == "shop");
        CHECK(parsed.ns == "shop.a.b");
        CHECK(parsed.target == "");
        CHECK(names(bytes) == "shop.a.b");
        CHECK(renamed_json(bytes, renaming({{"shop.a.b", "shop.c"}})) ==
              std::string(R"({"op":"c","ns":"shop.$cmd","o":{")") + name + R"(":"c"}})");
        CHECK(renamed_json(bytes, renaming({{"shop.*", "store.*"}})) ==
              std::string(R"({"op":"c","ns":"store.$cmd","o":{")") + name + R"(":"a.b"}})");
        CHECK(renamed_json(bytes, renaming({{"shop.a", "shop.c"}})) == "same");
    }
    for (const char* name : {"dbCheck", "truncateRange", "setMultikeyMetadata"}) {
        CAPTURE(name);
        const std::string bytes = operation("c", name == std::string("dbCheck") ? "shop.a" : "shop.$cmd", command(name, "shop.a"));
        CHECK(names(bytes) == "shop.a");
        CHECK(renamed_json(bytes, renaming({{"shop.a", "store.b"}})) == std::string(R"({"op":"c","ns":"store.)") +
                                                                            (name == std::string("dbCheck") ? "b" : "$cmd") +
                                                                            R"(","o":{")" + name + R"(":"store.b"}})");
    }
}

TEST_CASE("renameCollection names two, by their full names") {
    const std::string bytes = operation("c", "shop.$cmd", command("renameCollection", "shop.a", with("to", "shop.b")));
    CHECK(names(bytes) == "shop.a shop.b");
    CHECK(renamed_json(bytes, renaming({{"shop.a", "shop.x"}})) ==
          R"({"op":"c","ns":"shop.$cmd","o":{"renameCollection":"shop.x","to":"shop.b"}})");
    CHECK(renamed_json(bytes, renaming({{"shop.b", "shop.x"}})) ==
          R"({"op":"c","ns":"shop.$cmd","o":{"renameCollection":"shop.a","to":"shop.x"}})");
    CHECK(renamed_json(bytes, renaming({{"shop.*", "store.*"}})) ==
          R"({"op":"c","ns":"store.$cmd","o":{"renameCollection":"store.a","to":"store.b"}})");
    CHECK(message_of<Error>([&] {
              renamed_json(bytes, renaming({{"shop.a", "store.a"}}));
          }) == "renameCollection shop.a to shop.b would cross databases, as store.a to shop.b: rename both");
    CHECK(message_of<Error>([&] {
              renamed_json(bytes, renaming({{"shop.a", "shop.b"}}));
          }) == "renameCollection shop.a to shop.b would become nothing: both would be shop.b");
    CHECK(message_of<DataError>([&] { names(operation("c", "shop.$cmd", command("renameCollection", "shop.a"))); }) ==
          "renameCollection without 'to'");
}

TEST_CASE("what names a database or nothing, and what is not known") {
    const std::string drop_database = operation("c", "shop.$cmd", bson::Builder().int32("dropDatabase", 1).finish());
    CHECK(names(drop_database) == "");
    CHECK(parse_command(Operation(bson::Document(drop_database))).kind == CommandKind::drop_database);
    CHECK(renamed_json(drop_database, renaming({{"shop.a", "shop.b"}})) == "same");
    CHECK(renamed_json(drop_database, renaming({{"shop.*", "store.*"}})) == R"({"op":"c","ns":"store.$cmd","o":{"dropDatabase":1}})");
    CHECK(renamed_json(operation("c", "admin.$cmd", commit_it()), renaming({{"shop.*", "store.*"}})) == "same");
    const std::string unknown = operation("c", "shop.$cmd", command("frobnicate", "a"));
    CHECK(names(unknown) == "");
    CHECK(parse_command(Operation(bson::Document(unknown))).kind == CommandKind::unknown);
    CHECK(message_of<Error>([&] {
              renamed_json(unknown, renaming({{"shop.a", "shop.b"}}));
          }) == "the command frobnicate on shop.$cmd is not known, so what it names cannot be renamed");
    const std::string import = operation("c", "shop.$cmd", command("importCollection", "shop.a"));
    CHECK(message_of<Error>([&] {
              renamed_json(import, renaming({{"shop.a", "shop.b"}}));
          }) == "importCollection of shop.a cannot be renamed: it holds the storage engine's own metadata");
    CHECK(renamed_json(import, renaming({{"shop.b", "shop.c"}})) == "same");
}

TEST_CASE("documents follow their collection; a database's rule is for what has none of its own") {
    const auto rules = renaming({{"shop.*", "store.*"}, {"shop.a", "other.b"}});
    CHECK(renamed_json(insert("shop.a", 1), rules) == R"({"op":"i","ns":"other.b","o":{"_id":1}})");
    CHECK(renamed_json(insert("shop.c", 1), rules) == R"({"op":"i","ns":"store.c","o":{"_id":1}})");
    CHECK(renamed_json(insert("shopping.a", 1), rules) == "same");
    CHECK(renamed_json(operation("n", "", bson::Builder().string("msg", "periodic noop").finish()), rules) == "same");
}

TEST_CASE("a time series takes its buckets and its view along") {
    const auto rules = renaming({{"shop.ts", "shop.series"}});
    CHECK(names(insert("shop.system.buckets.ts", 1)) == "shop.ts");
    CHECK(renamed_json(insert("shop.system.buckets.ts", 1), rules) == R"({"op":"i","ns":"shop.system.buckets.series","o":{"_id":1}})");
    CHECK(renamed_json(operation("c", "shop.$cmd", command("create", "system.buckets.ts")), rules) ==
          R"({"op":"c","ns":"shop.$cmd","o":{"create":"system.buckets.series"}})");
    const std::string view =
        operation("i", "shop.system.views", command("_id", "shop.ts", with("viewOn", "system.buckets.ts")), with("_id", "shop.ts"));
    CHECK(names(view) == "shop.ts");
    CHECK(renamed_json(view, rules) ==
          R"({"op":"i","ns":"shop.system.views","o":{"_id":"shop.series","viewOn":"system.buckets.series"},"o2":{"_id":"shop.series"}})");
    CHECK(renamed_json(view, renaming({{"shop.*", "store.*"}})) ==
          R"({"op":"i","ns":"store.system.views","o":{"_id":"store.ts","viewOn":"system.buckets.ts"},"o2":{"_id":"store.ts"}})");
}

TEST_CASE("a view follows what it reads, as far as that can be") {
    const std::string pipeline = bson::Builder()
                                     .string("_id", "shop.v")
                                     .string("viewOn", "a")
                                     .begin_array("pipeline")
                                     .begin_document("0")
                                     .begin_document("$lookup")
                                     .string("from", "b")
                                     .end()
                                     .end()
                                     .end()
                                     .finish();
    const std::string view = operation("i", "shop.system.views", pipeline);
    CHECK(renamed_json(view, renaming({{"shop.a", "shop.x"}})) ==
          R"({"op":"i","ns":"shop.system.views","o":{"_id":"shop.v","viewOn":"x","pipeline":[{"$lookup":{"from":"b"}}]}})");
    CHECK(renamed_json(view, renaming({{"shop.c", "shop.x"}})) == "same");
    CHECK(renamed_json(view, renaming({{"shop.*", "store.*"}}))
              .starts_with(R"({"op":"i","ns":"store.system.views","o":{"_id":"store.v","viewOn":"a")"));
    CHECK(message_of<Error>([&] {
              renamed_json(view, renaming({{"shop.b", "shop.x"}}));
          }) == "the view shop.v cannot follow a renamed collection: its pipeline names that collection");
    CHECK(
        message_of<Error>([&] {
            renamed_json(view, renaming({{"shop.a", "store.a"}}));
        }) ==
        "the view shop.v cannot follow a renamed collection: a view and what it reads stay in one database; rename the whole database (db.*=other.*)");
}

TEST_CASE("index specifications of old servers name their collection once more") {
    const auto spec = [](const char* ns) {
        return bson::Builder().begin_document("key").int32("x", 1).end().string("name", "x_1").string("ns", ns).finish();
    };
    const auto rules = renaming({{"shop.a", "store.b"}});
    CHECK(renamed_json(operation("c", "shop.$cmd", command("createIndexes", "a", spec("shop.a"))), rules) ==
          R"({"op":"c","ns":"store.$cmd","o":{"createIndexes":"b","key":{"x":1},"name":"x_1","ns":"store.b"}})");
    const std::string id_index = bson::Builder().document("idIndex", of_bytes(spec("shop.a"))).finish();
    CHECK(renamed_json(operation("c", "shop.$cmd", command("create", "a", id_index)), rules) ==
          R"({"op":"c","ns":"store.$cmd","o":{"create":"b","idIndex":{"key":{"x":1},"name":"x_1","ns":"store.b"}}})");
    CHECK(renamed_json(operation("c", "shop.$cmd", command("dropIndexes", "a", with("index", "x_1")), spec("shop.a")), rules) ==
          R"({"op":"c","ns":"store.$cmd","o":{"dropIndexes":"b","index":"x_1"},"o2":{"key":{"x":1},"name":"x_1","ns":"store.b"}})");
    CHECK(names(operation("i", "shop.system.indexes", spec("shop.a"))) == "shop.a");
    CHECK(renamed_json(operation("i", "shop.system.indexes", spec("shop.a")), rules) ==
          R"({"op":"i","ns":"store.system.indexes","o":{"key":{"x":1},"name":"x_1","ns":"store.b"}})");
}

TEST_CASE("rules that make no sense are refused") {
    const auto refused = [](const char* from, const char* to) { return message_of<ArgumentError>([&] { renaming({{from, to}}); }); };
    CHECK(refused("shop", "store") == "cannot rename shop to store: a name is <database>.<collection> or <database>.*");
    CHECK(refused("shop.a", "store.*") ==
          "cannot rename shop.a to store.*: a database (<database>.*) becomes a database, a collection a collection");
    CHECK(refused("shop.a*", "shop.b*") == "cannot rename shop.a* to shop.b*: only <database>.* stands for more than one name");
    CHECK(refused("shop.system.views", "shop.v") == "cannot rename shop.system.views to shop.v: system collections keep their names");
    CHECK(refused("shop.*", "admin.*") == "cannot rename shop.* to admin.*: the server's own databases keep their names");
    CHECK(message_of<ArgumentError>([] {
              renaming({{"a.a", "a.c"}, {"a.a", "a.d"}});
          }) == "cannot rename a.a to a.d: it has another new name already");
    CHECK(message_of<ArgumentError>([] {
              renaming({{"a.a", "a.c"}, {"a.b", "a.c"}});
          }) == "cannot rename a.b to a.c: another one has that new name already");
    CHECK(renaming({{"a.a", "a.b"}}).collides("a.b"));
    CHECK(renaming({{"a.*", "b.*"}}).collides("b.x"));
    CHECK_FALSE(renaming({{"a.a", "a.b"}, {"a.b", "a.a"}}).collides("a.b"));
    CHECK(renaming({{"a.a", "b.a"}}).gains("b"));
    CHECK_FALSE(renaming({{"a.a", "a.b"}}).gains("a"));
}

TEST_CASE("the operations of an applyOps are seen one by one, however nested") {
    const std::string inner = operation("c", "admin.$cmd", apply_ops({insert("shop.b", 2), insert("shop.c", 3)}));
    const std::string entry = as_entry({1, 1}, operation("c", "admin.$cmd", apply_ops({insert("shop.a", 1), inner, insert("shop.d", 4)})));
    std::string seen;
    for_each_operation(bson::Document(entry), [&](const Operation& operation) { seen += std::string(operation.ns) + " "; });
    CHECK(seen == "shop.a shop.b shop.c shop.d ");

    std::string deep = insert("shop.a", 1);
    for (int level = 0; level < 100; ++level) deep = operation("c", "admin.$cmd", apply_ops({deep}));
    std::size_t found = 0;
    for_each_operation(bson::Document(deep), [&](const Operation&) { ++found; });
    CHECK(found == 1);
    deep = operation("c", "admin.$cmd", apply_ops({deep}));
    CHECK(message_of<DataError>([&] { for_each_operation(bson::Document(deep), [](const Operation&) {}); }) ==
          "applyOps nested more than 100 levels deep");
    CHECK(message_of<DataError>([&] { edit_operations(bson::Document(deep), [](const Operation&) { return Edit::keep(); }); }) ==
          "applyOps nested more than 100 levels deep");
}

TEST_CASE("an edit copies nothing as long as nothing changes, and only what changes then") {
    const std::string nested = operation("c", "admin.$cmd", apply_ops({insert("shop.b", 2), insert("shop.c", 3)}));
    const std::string entry = transaction_entry({1, 1}, apply_ops({insert("shop.a", 1), nested, insert("shop.d", 4)}, "partialTxn"));
    const auto edited = [&](auto decide) {
        const Edit edit = edit_operations(bson::Document(entry), decide);
        if (edit.kind != Edit::Kind::replace) return std::string(edit.kind == Edit::Kind::keep ? "keep" : "drop");
        REQUIRE(edit.with.size() == 1);
        bson::validate(bson::Document(edit.with.front()));
        const Operation outer{bson::Document(edit.with.front())};
        CHECK(json(outer.document.find("lsid")->document().bytes()) == json(bson::Document(entry).find("lsid")->document().bytes()));
        return json(outer.o.bytes());
    };
    CHECK(edited([](const Operation&) { return Edit::keep(); }) == "keep");
    const auto without = [&](std::string_view ns) {
        return edited([=](const Operation& o) { return o.ns == ns ? Edit::drop() : Edit::keep(); });
    };
    const std::string a = json(insert("shop.a", 1)), b = json(insert("shop.b", 2)), c = json(insert("shop.c", 3)),
                      d = json(insert("shop.d", 4));
    const std::string outer = R"({"op":"c","ns":"admin.$cmd","o":{"applyOps":[)";
    CHECK(without("shop.a") == R"({"applyOps":[)" + outer + b + "," + c + "]}}," + d + R"(],"partialTxn":true})");
    CHECK(without("shop.b") == R"({"applyOps":[)" + a + "," + outer + c + "]}}," + d + R"(],"partialTxn":true})");
    CHECK(without("shop.d") == R"({"applyOps":[)" + a + "," + outer + b + "," + c + R"(]}}],"partialTxn":true})");
    CHECK(edited([](const Operation&) { return Edit::drop(); }) == R"({"applyOps":[],"partialTxn":true})");
    CHECK(edited([](const Operation& o) { return o.ns < "shop.d" ? Edit::drop() : Edit::keep(); }) ==
          R"({"applyOps":[)" + d + R"(],"partialTxn":true})");
    CHECK(edited([&](const Operation& o) {
              return o.ns == "shop.a" ? Edit{Edit::Kind::replace, {bson::Value(insert("x.y", 1)), bson::Value(insert("x.z", 2))}}
                                      : Edit::keep();
          }).starts_with(R"({"applyOps":[)" + json(insert("x.y", 1)) + "," + json(insert("x.z", 2)) + "," + outer));
    CHECK(edit_operations(of_bytes(insert("shop.a", 1)), [](const Operation&) { return Edit::drop(); }).kind == Edit::Kind::drop);
}

TEST_CASE("on real oplogs: a renaming there and back gives the bytes that were") {
    Renaming there, back;
    there.add("shop.*", "elsewhere.*");
    back.add("elsewhere.*", "shop.*");
    const auto apply = [](const EntryView& entry, const Renaming& rules) {
        Edit edit = edit_operations(entry.document(), [&](const Operation& operation) {
            auto bytes = renamed(operation, rules);
            return bytes ? Edit::replace(std::move(*bytes)) : Edit::keep();
        });
        return edit.kind == Edit::Kind::keep ? std::string(entry.bytes()) : std::move(edit.with.front());
    };
    std::size_t changes = 0;
    for (const std::string& path : test_oplogs())
        for (const EntryView entry : Reader(path, Check::full)) {
            const std::string renamed = apply(entry, there);
            bson::validate(bson::Document(renamed));
            for_each_operation(bson::Document(renamed), [](const Operation& operation) {
                for (const std::string& ns : namespaces(operation)) CHECK(split_namespace(ns).database != "shop");
            });
            changes += renamed != entry.bytes();
            CHECK(apply(view(renamed), back) == entry.bytes());
        }
    CHECK(changes > 100);
}

TEST_CASE("names that no server takes are refused, by the rule") {
    using namespace std::string_literals;
    const auto refused = [](const std::string& to) {
        return message_of<ArgumentError>([&] {
            Renaming renaming;
            renaming.add(to.ends_with(".*") ? "shop.*" : "shop.a", to);
        });
    };
    const std::string db(63, 'd'), rest(255 - 5, 'c');
    const std::string characters = ": a database's name has no / \\ . \" $, space or NUL in it";
    for (const char* bad : {"a/b", "a\\b", "a\"b", "a$b", "a b", " "}) {
        CHECK(refused(bad + ".*"s) == "cannot rename shop.* to "s + bad + ".*" + characters);
        CHECK(refused(bad + ".c"s) == "cannot rename shop.a to "s + bad + ".c" + characters);
    }
    CHECK_THROWS_AS(Renaming().add("shop.a", "a\0b.c"s), ArgumentError);
    CHECK_THROWS_AS(Renaming().add("shop.a", "shop.a\0b"s), ArgumentError);
    CHECK(refused("x" + db + ".*").ends_with(": a database's name has at most 63 bytes"));
    CHECK(refused("\xC3\xA9" + db.substr(1) + ".c").ends_with(": a database's name has at most 63 bytes"));
    CHECK(refused("shop." + rest + "x").ends_with(": <database>.<collection> has at most 255 bytes"));
    for (const char* bad : {"shop..c", "shop.."}) CHECK(refused(bad).ends_with(": a collection's name does not begin with a dot"));
    CHECK(refused("shop.c.").ends_with(": a collection's name does not end with a dot"));
    for (const char* bad : {"shop.a$b", "shop.$cmd"}) CHECK(refused(bad).ends_with(": a collection's name has no $ or NUL in it"));
    for (const char* bad : {"shop.system.x", "shop.a.system.b"}) CHECK(refused(bad).ends_with(": system collections keep their names"));
    for (const char* bad : {"shop.\xFF", "s\xC3.c"}) CHECK(refused(bad).ends_with(": a name is UTF-8"));
    for (const char* bad : {".c", "shop.", "."}) CHECK(refused(bad).ends_with(": a name is <database>.<collection> or <database>.*"));

    Renaming good; // what servers take
    good.add("a.*", db + ".*");
    good.add("b.b", "shop." + rest);
    good.add("b.c", "shop.a/\\\" b..c\n");
    good.add("b.d", "a\x01:|<>.c");
    CHECK(good.collection("a." + std::string(191, 'c')) == db + "." + std::string(191, 'c'));
    CHECK(message_of<Error>([&] {
              static_cast<void>(good.collection("a." + std::string(192, 'c')));
          }).ends_with(": <database>.<collection> has at most 255 bytes"));
    CHECK(good.collection("a.system.buckets." + std::string(191, 'c')));
}

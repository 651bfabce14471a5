// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <oplog/restore/stage.hpp>

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

std::string uuid(char letter) { return std::string(16, letter); }

/// An operation on the collection with that UUID.
std::string of(char letter, const std::string& operation) {
    bson::Builder builder;
    for (const bson::Element& element : bson::Document(operation)) builder.append(element);
    return builder.binary("ui", 4, uuid(letter)).finish();
}

std::string command_on(std::string_view database, std::string_view name, std::string_view collection, const bson::Builder& more = {}) {
    bson::Builder copy = more;
    return operation("c", join_namespace(database, "$cmd"), command(name, collection, copy.finish()));
}
std::string shop(std::string_view name, std::string_view collection, const bson::Builder& more = {}) {
    return command_on("shop", name, collection, more);
}
std::string moved(std::string_view from, std::string_view to, char drop_target = 0) {
    bson::Builder more;
    more.string("to", to);
    if (drop_target) more.binary("dropTarget", 4, uuid(drop_target));
    return shop("renameCollection", from, more);
}

bson::Builder index(std::string_view name) {
    return bson::Builder().int32("v", 2).begin_document("key").int32("n", 1).end().string("name", name);
}
std::string build(std::string_view command, std::string_view collection, std::string_view name) {
    bson::Builder more;
    bson::Builder spec = index(name);
    const std::string bytes = spec.finish();
    return shop(command, collection, more.begin_array("indexes").document("0", bson::Document(bytes)).end());
}

/// A collection as a full dump has it.
void dumped(Catalog& catalog, std::string_view ns, char letter, const std::vector<std::string>& indexes = {}) {
    Collection& collection = catalog.create(ns, letter ? uuid(letter) : "");
    collection.dumped_as = ns;
    for (const std::string& name : indexes)
        collection.indexes.push_back({name, index(name).finish(), std::string(split_namespace(ns).collection)});
}

/// "i shop.a 1", "create shop.a", "[drop shop.b, renameCollection shop.a shop.b]".
std::string told(const Operation& operation) {
    if (operation.is_apply_ops()) {
        std::string text;
        for (const bson::Element& inner : operation.apply_ops()) text += (text.empty() ? "" : ", ") + told(Operation(inner.document()));
        return "[" + text + "]";
    }
    if (!operation.is_command()) {
        const auto id = operation.o.find("_id");
        return std::string(operation.op) + " " + std::string(operation.ns) +
               (id && id->is_number() ? " " + std::to_string(id->integer()) : "");
    }
    const Command command = parse_command(operation);
    const auto name = command.kind == CommandKind::create_indexes ? operation.o.find("name") : std::nullopt;
    return std::string(command.name) + (command.ns.empty() ? "" : " " + command.ns) + (command.target.empty() ? "" : " " + command.target) +
           (name ? " " + std::string(name->string()) : "");
}

/// Stages entries at 100:1, 100:2, … and finishes.
struct Staged {
    std::vector<std::string> documents;
    std::vector<Finding> findings;
    Removed removed;
    Catalog catalog;

    Staged(Stager::Start start, const std::vector<std::string>& operations) {
        std::vector<std::string> entries;
        for (std::size_t i = 0; i < operations.size(); ++i) {
            const bool whole = bson::Document(operations[i]).find("ts").has_value();
            entries.push_back(whole ? operations[i] : as_entry({100, static_cast<std::uint32_t>(i + 1)}, operations[i]));
        }
        Stager stager(std::move(start), [&](Finding finding) { findings.push_back(std::move(finding)); });
        const auto write = [&](std::string_view document) { documents.emplace_back(document); };
        for (const std::string& each : entries) stager.add(view(each), write);
        stager.finish(write);
        removed = stager.removed();
        catalog = std::move(stager.catalog());
        Timestamp last;
        for (const std::string& document : documents) {
            CHECK(view(document).ts() > last);
            last = view(document).ts();
        }
    }
    std::string text() const {
        std::string all;
        for (const std::string& document : documents) all += (all.empty() ? "" : "; ") + told(Operation(bson::Document(document)));
        return all;
    }
    std::string errors() const {
        std::string all;
        for (const Finding& finding : findings)
            if (finding.severity != Finding::Severity::note) all += (all.empty() ? "" : "; ") + to_string(finding);
        return all;
    }
};

/// From a full dump that knows these and is consistent from the N-th entry on; its oplog begins with the first.
Stager::Start from(Catalog catalog, std::uint32_t consistent = 0, std::uint32_t begins = 1) {
    Stager::Start start;
    start.catalog = std::move(catalog);
    start.dump_start = Timestamp{100, begins};
    start.consistent_point = Timestamp{100, consistent};
    return start;
}

/// Stages knowing what is gone by the consistent point, which another look has found out before.
Staged staged_knowing(Stager::Start start, const std::vector<std::string>& operations) {
    start.removed = Staged(start, operations).removed;
    return Staged(std::move(start), operations);
}

Catalog one(char letter = 'A', const std::vector<std::string>& indexes = {"old"}) {
    Catalog catalog;
    dumped(catalog, "shop.a", letter, indexes);
    return catalog;
}

} // namespace

TEST_CASE("Entries that replay gets right pass byte for byte") {
    for (const std::string& path : test_oplogs()) {
        bool concerns_indexes = false;
        std::string bytes;
        Stager stager({}, {});
        for (const EntryView e : Reader(path)) {
            for_each_operation(e.document(), [&](const Operation& operation) {
                const CommandKind kind = operation.is_command() ? parse_command(operation).kind : CommandKind::create;
                concerns_indexes |= kind != CommandKind::create && kind != CommandKind::drop && kind != CommandKind::drop_database;
                concerns_indexes |= operation.ns.ends_with(views_collection);
            });
            stager.add(e, [&](std::string_view document) { bytes += document; });
        }
        if (!concerns_indexes) CHECK(bytes == all_bytes(Reader(path)));
    }
}

TEST_CASE("Of a rename with dropTarget the drop and the rename are left, at one time and with nothing else of the entry changed") {
    Catalog catalog = one();
    dumped(catalog, "shop.b", 'B', {"gone"});
    const Staged staged(from(std::move(catalog)), {of('A', moved("shop.a", "shop.b", 'B')), insert("shop.b", 1)});
    CHECK(staged.text() == "[drop shop.b, renameCollection shop.a shop.b]; i shop.b 1; createIndexes shop.b old");
    CHECK(json(staged.documents[0]) ==
          R"({"op":"c","ns":"admin.$cmd","o":{"applyOps":[{"op":"c","ns":"shop.$cmd","o":{"drop":"b"}},)"
          R"({"op":"c","ns":"shop.$cmd","o":{"renameCollection":"shop.a","to":"shop.b"}}]},"ts":{"$timestamp":{"t":100,"i":1}}})");
}

TEST_CASE("A rename without dropTarget passes byte for byte") {
    const std::string entry = as_entry({100, 1}, of('A', moved("shop.a", "shop.b")));
    CHECK(Staged(from(one()), {entry}).documents.front() == entry);
    bson::Builder no;
    no.string("to", "shop.b").boolean("dropTarget", false);
    const std::string old = as_entry({100, 1}, shop("renameCollection", "shop.a", no));
    CHECK(Staged(from(one()), {old}).documents.front() == old);
}

TEST_CASE("$out onto a collection leaves its documents and indexes, and no temporary collection") {
    const Staged staged(from(one()), {of('T', shop("create", "tmp.agg_out.1", bson::Builder().boolean("temp", true))),
                                      of('T', shop("createIndexes", "tmp.agg_out.1", index("old"))),
                                      of('T', insert("shop.tmp.agg_out.1", 1)), of('T', moved("shop.tmp.agg_out.1", "shop.a", 'A'))});
    CHECK(
        staged.text() ==
        "create shop.tmp.agg_out.1; i shop.tmp.agg_out.1 1; [drop shop.a, renameCollection shop.tmp.agg_out.1 shop.a]; createIndexes shop.a old");
    CHECK(staged.errors().empty());
}

TEST_CASE("A collection that was converted to a capped one has lost its indexes") {
    const Staged staged(from(one()), {of('T', shop("create", "tmp1.convertToCapped.a", bson::Builder().boolean("capped", true))),
                                      of('T', moved("shop.tmp1.convertToCapped.a", "shop.a", 'A'))});
    CHECK(staged.text() == "create shop.tmp1.convertToCapped.a; [drop shop.a, renameCollection shop.tmp1.convertToCapped.a shop.a]");
}

TEST_CASE("A rename across databases drops in the target's") {
    Catalog both = one();
    dumped(both, "other.b", 'B');
    const Staged staged(
        from(std::move(both)),
        {operation("c", "shop.$cmd",
                   command("renameCollection", "shop.a", bson::Builder().string("to", "other.b").boolean("dropTarget", true).finish()))});
    const Operation applied(bson::Document(staged.documents.front()));
    CHECK(Operation(applied.apply_ops().begin()->document()).ns == "other.$cmd");
    CHECK(staged.text() == "[drop other.b, renameCollection shop.a other.b]; createIndexes other.b old");
    CHECK(Staged(from(one()), {of('A', moved("shop.a", "shop.b", 'B'))}).text() ==
          "renameCollection shop.a shop.b; createIndexes shop.b old"); // there was none
}

TEST_CASE("Indexes come at the end, as they are then, for those collections alone whose indexes or names have changed") {
    Catalog catalog = one();
    dumped(catalog, "shop.quiet", 'Q', {"_id_", "untouched"});
    const Staged staged(from(std::move(catalog)),
                        {of('A', shop("createIndexes", "a", index("x"))), of('A', shop("createIndexes", "a", index("y"))),
                         of('A', shop("dropIndexes", "a", bson::Builder().string("index", "x"))), insert("shop.quiet", 1)});
    CHECK(staged.text() == "i shop.quiet 1; createIndexes shop.a old; createIndexes shop.a y");
    CHECK(
        json(staged.documents.back()) ==
        R"({"op":"c","ns":"shop.$cmd","o":{"createIndexes":"a","v":2,"key":{"n":1},"name":"y","collation":{"locale":"simple"}},"ts":{"$timestamp":{"t":100,"i":6}},"v":2})");
}

TEST_CASE("What old servers said of an index's namespace is left out") {
    const Staged staged({}, {shop("createIndexes", "a", index("x").string("ns", "shop.a"))});
    CHECK(staged.documents.back().find("shop.a") == std::string::npos);
}

TEST_CASE("The time of the indexes goes on after the last ordinal of a second") {
    Stager stager({}, {});
    const std::string entry = as_entry({100, 0xFFFFFFFF}, shop("createIndexes", "a", index("x")));
    stager.add(view(entry), [](std::string_view) {});
    std::string last;
    stager.finish([&](std::string_view document) { last = document; });
    CHECK(view(last).ts() == Timestamp{101, 0});
}

TEST_CASE("A change of an index alone is left out; what else a collMod changes stays") {
    const auto change = [](const bson::Builder& more) { return of('A', shop("collMod", "a", more)); };
    bson::Builder alone, both;
    alone.begin_document("index").string("name", "old").boolean("hidden", true).end();
    both.int32("cappedMax", 5).begin_document("index").string("name", "old").int32("expireAfterSeconds", 1).end();
    const Staged staged(from(one()), {change(alone), change(both), change(bson::Builder().int32("cappedMax", 6))});
    CHECK(staged.text() == "collMod shop.a; collMod shop.a; createIndexes shop.a old");
    CHECK(json(Operation(bson::Document(staged.documents[0])).o.bytes()) == R"({"collMod":"a","cappedMax":5})");
    CHECK(json(Operation(bson::Document(staged.documents[2])).o.bytes()) ==
          R"({"createIndexes":"a","v":2,"key":{"n":1},"name":"old","hidden":true,"expireAfterSeconds":1,"collation":{"locale":"simple"}})");
}

TEST_CASE("A transaction's indexes count when it commits, and never when it aborts") {
    const std::vector<std::string> operations = {of('N', shop("create", "n")), of('N', shop("createIndexes", "n", index("x"))),
                                                 of('N', insert("shop.n", 1))};
    const std::string whole = transaction_entry({100, 1}, apply_ops(operations));
    CHECK(Staged(from({}), {whole}).text() == "[create shop.n, i shop.n 1]; createIndexes shop.n x");

    const std::string part = transaction_entry({100, 1}, apply_ops({operations[0], operations[1]}, "partialTxn"));
    const std::string last = transaction_entry({100, 3}, apply_ops({operations[2]}, {}, 3), {100, 1});
    const Staged chained(from({}, 2), {part, shop("drop", "other"), last});
    CHECK(chained.text() == "[create shop.n]; drop shop.other; [i shop.n 1]; createIndexes shop.n x");

    const std::string prepared = transaction_entry({100, 1}, apply_ops(operations, "prepare"));
    CHECK(Staged({}, {prepared, transaction_entry({100, 2}, commit_it(), {100, 1})}).text() ==
          "[create shop.n, i shop.n 1]; commitTransaction; createIndexes shop.n x");
    CHECK(Staged({}, {prepared, transaction_entry({100, 2}, abort_it(), {100, 1})}).text() ==
          "[create shop.n, i shop.n 1]; abortTransaction");
}

TEST_CASE("Transactions to be left out are left out whole, their commits too") {
    const std::string part = transaction_entry({100, 1}, apply_ops({of('N', shop("createIndexes", "n", index("x")))}, "partialTxn"));
    const std::string last = transaction_entry({100, 3}, apply_ops({insert("shop.n", 1)}), {100, 1});
    Stager::Start start;
    start.left_out.insert(transaction_info(view(part)).id());
    CHECK(Staged(std::move(start), {part, insert("shop.a", 2), last}).text() == "i shop.a 2");
}

TEST_CASE("applyOps may be nested and empty") {
    const std::string inner = operation("c", "admin.$cmd", apply_ops({of('A', moved("shop.a", "shop.b", 'B')), insert("shop.b", 1)}));
    Catalog both = one();
    dumped(both, "shop.b", 'B');
    CHECK(Staged(from(std::move(both)), {operation("c", "admin.$cmd", apply_ops({inner}))}).text() ==
          "[[[drop shop.b, renameCollection shop.a shop.b], i shop.b 1]]; createIndexes shop.b old");
    CHECK(Staged({}, {operation("c", "admin.$cmd", apply_ops({}))}).text() == "[]");
    CHECK(Staged({}, {operation("c", "admin.$cmd", apply_ops({shop("createIndexes", "a", index("x"))}))}).text() ==
          "[]; createIndexes shop.a x");
}

TEST_CASE("Up to the consistent point an entry is for the collection with its UUID") {
    SUBCASE("under the name that the dump has it by") {
        const Staged staged(from(one(), 9), {of('A', insert("shop.before", 1)),
                                             of('A', operation("d", "shop.a", bson::Builder().int32("_id", 2).finish()))});
        CHECK(staged.text() == "i shop.a 1; d shop.a 2");
    }
    SUBCASE("and for none that has its name by now") {
        const Staged staged(from(one('B', {}), 9),
                            {of('A', insert("shop.a", 1)), of('A', shop("createIndexes", "a", index("x"))), of('A', shop("drop", "a")),
                             of('B', shop("create", "a")), of('B', insert("shop.a", 2))});
        CHECK(staged.text() == "i shop.a 2");
        CHECK(staged.errors().empty());
    }
    SUBCASE("not afterwards: then names are right") {
        CHECK(Staged(from(one(), 1), {of('A', insert("shop.a", 1)), insert("shop.a", 2)}).text() == "i shop.a 1; i shop.a 2");
    }
    SUBCASE("one that is made, filled and dropped in between is made and dropped") {
        const Staged staged(from(one(), 9), {of('C', shop("create", "c")), of('C', insert("shop.c", 1)), of('C', shop("drop", "c")),
                                             of('C', insert("shop.c", 2))});
        CHECK(staged.text().starts_with("create shop.c; i shop.c 1; drop shop.c"));
        CHECK(staged.text().find("i shop.c 2") == std::string::npos);
    }
    SUBCASE("inside transactions too") {
        const std::string whole = transaction_entry({100, 1}, apply_ops({of('A', insert("shop.before", 1)), of('A', insert("shop.a", 2))}));
        CHECK(Staged(from(one(), 9), {whole}).text() == "[i shop.a 1, i shop.a 2]");
    }
    SUBCASE("dumps and entries without UUIDs are taken at their names") {
        Catalog both = one(0);
        dumped(both, "shop.b", 0);
        CHECK(Staged(from(std::move(both), 9), {of('A', insert("shop.a", 1)), insert("shop.b", 2)}).text() == "i shop.a 1; i shop.b 2");
    }
}

TEST_CASE("A collection that is written to while the dump runs, and is neither in it nor dropped, was lost") {
    const std::string lost =
        "100:1: the full dump lacks shop.z, which was being made as it began: mongodump can miss that. Give it an increment that begins before the dump";
    const std::string write = of('Z', insert("shop.z", 1));
    CHECK(Staged(from(one(), 2), {write, insert("shop.a", 2)}).errors() == lost);
    CHECK(Staged(from(one(), 2), {write, of('Z', insert("shop.z", 2)), insert("shop.a", 3)}).errors() == lost);
    CHECK(Staged(from(one(), 3), {write, of('Z', shop("drop", "z")), insert("shop.a", 2)}).errors().empty());
    CHECK(Staged(from(one(), 3), {write, of('A', moved("shop.a", "shop.z", 'Z')), insert("shop.z", 2)}).errors().empty());
    CHECK(Staged(from(one(), 3), {of('Z', shop("create", "z")), of('Z', insert("shop.z", 1))}).errors().empty());
    CHECK(Staged(from(one(), 3, 3), {write, insert("shop.a", 2)}).errors().empty());
}

TEST_CASE("What comes before the dump's own oplog is in the dump, but for documents") {
    SUBCASE("renames, also back and forth, onto names that others have now") {
        Catalog catalog = one('A', {});
        dumped(catalog, "shop.b", 'B');
        const Staged staged(from(std::move(catalog), 9, 9),
                            {of('A', moved("shop.a", "shop.b")), of('A', insert("shop.b", 1)), of('A', moved("shop.b", "shop.a"))});
        CHECK(staged.text() == "i shop.a 1");
    }
    SUBCASE("a chain of renames") {
        Catalog catalog;
        dumped(catalog, "shop.c", 'A');
        CHECK(Staged(from(std::move(catalog), 9, 9),
                     {of('A', moved("shop.a", "shop.b")), of('A', moved("shop.b", "shop.c", 'X')), of('A', insert("shop.c", 1))})
                  .text() == "i shop.c 1");
    }
    SUBCASE("a database that was dropped and filled again") {
        const Staged staged(from(one('B', {}), 9, 9), {of('A', insert("shop.a", 1)), of('A', shop("drop", "a")),
                                                       operation("c", "shop.$cmd", bson::Builder().int32("dropDatabase", 1).finish()),
                                                       of('B', shop("create", "a")), of('B', insert("shop.a", 2))});
        CHECK(staged.text() == "[drop shop.a]; create shop.a; i shop.a 2"); // all that it holds was written after that
    }
    SUBCASE("what was made and renamed, and is gone") {
        const std::vector<std::string> out{of('T', shop("create", "tmp")), of('T', insert("shop.tmp", 1)),
                                           of('T', moved("shop.tmp", "shop.c", 'X')), of('T', insert("shop.c", 2)),
                                           of('T', shop("drop", "c"))};
        CHECK(Staged(from(one(), 9, 9), out).text() ==
              "create shop.tmp; i shop.tmp 1; [drop shop.c, renameCollection shop.tmp shop.c]; i shop.c 2; drop shop.c");
        Catalog another = one(); // of the name that it got
        dumped(another, "shop.c", 'C');
        CHECK(Staged(from(another, 9, 9), out).text() == "create shop.tmp; i shop.tmp 1; drop shop.tmp");
        const std::vector<std::string> onto{out[0], of('T', moved("shop.tmp", "shop.c")), of('T', build("commitIndexBuild", "c", "x"))};
        CHECK(Staged(from(another, 9, 9), onto).text() == "create shop.tmp; drop shop.tmp");
    }
    SUBCASE("what was made and renamed, and the dump missed") {
        const std::vector<std::string> out{of('T', shop("create", "tmp")), of('T', build("commitIndexBuild", "tmp", "x")),
                                           of('T', insert("shop.tmp", 1)), of('T', moved("shop.tmp", "shop.a", 'A')),
                                           of('T', insert("shop.a", 2))};
        const Staged staged(from(one(), 9, 9), out);
        CHECK(staged.text() ==
              "create shop.tmp; i shop.tmp 1; [drop shop.a, renameCollection shop.tmp shop.a]; i shop.a 2; createIndexes shop.a x");
        CHECK(staged.errors().empty());
    }
    SUBCASE("what nobody could replay") {
        bson::Builder version;
        const std::string id = bson::Builder().string("_id", "featureCompatibilityVersion").finish();
        const Staged staged(from(one(), 9, 9), {operation("u", "admin.system.version", version.string("version", "6.0").finish(), id),
                                                shop("frobnicate", "a"), insert("shop.a", 1)});
        CHECK(staged.text() == "i shop.a 1");
        CHECK(staged.errors().empty());
    }
}

TEST_CASE("system.views is made before its first entry, where nothing else makes it") {
    const auto change = [](std::string_view op) {
        const std::string id = bson::Builder().string("_id", "shop.v").finish();
        const std::string definition = bson::Builder().string("_id", "shop.v").string("viewOn", "a").begin_array("pipeline").end().finish();
        return operation(op, "shop.system.views", op == "d" ? id : definition, op == "u" ? std::string_view(id) : std::string_view());
    };
    const Staged staged({}, {change("i"), change("u"), change("d"), change("i")});
    CHECK(staged.text() ==
          "[create shop.system.views, i shop.system.views]; u shop.system.views; d shop.system.views; i shop.system.views");
    CHECK(json(Operation(bson::Document(staged.documents[0])).apply_ops().begin()->document().bytes()) ==
          R"({"op":"c","ns":"shop.$cmd","o":{"create":"system.views","idIndex":{"v":2,"key":{"_id":1},"name":"_id_"}}})");
    CHECK(Staged({}, {change("u")}).text() == "[create shop.system.views, u shop.system.views]");
    CHECK(Staged({}, {change("d")}).text() == "d shop.system.views");
    CHECK(Staged({}, {shop("create", "system.views"), change("i")}).text() == "create shop.system.views; i shop.system.views");
    CHECK(Staged({}, {change("i"), operation("c", "shop.$cmd", bson::Builder().int32("dropDatabase", 1).finish()), change("i")}).text() ==
          "[create shop.system.views, i shop.system.views]; dropDatabase; [create shop.system.views, i shop.system.views]");
}

TEST_CASE("Views of a server up to 4.2 come as commands") {
    const std::string definition = bson::Builder().string("_id", "shop.v").string("viewOn", "a").begin_array("pipeline").end().finish();
    const std::string id = bson::Builder().string("_id", "shop.v").finish();
    const auto change = [&](std::string_view op, std::string_view o) {
        const std::string document = operation(op, "shop.system.views", o, op == "u" ? std::string_view(id) : std::string_view());
        return changed(bson::Document(document), [](const bson::Element& element, bson::Builder& builder) {
            if (element.key() == "op") builder.int64("h", 0);
            return false;
        });
    };
    const Staged staged({}, {change("i", definition), change("u", definition), change("d", id)});
    CHECK(staged.text() == "create shop.v; [drop shop.v, create shop.v]; drop shop.v");
    CHECK(json(Operation(bson::Document(staged.documents[0])).o.bytes()) == R"({"create":"v","viewOn":"a","pipeline":[]})");
    CHECK_FALSE(Operation(bson::Document(staged.documents[0])).document.find("ui"));
}

TEST_CASE("Index builds count when they are committed, and the others are reported") {
    CHECK(Staged({}, {build("startIndexBuild", "a", "x"), build("commitIndexBuild", "a", "x")}).text() == "createIndexes shop.a x");
    CHECK(Staged({}, {build("startIndexBuild", "a", "x"), build("abortIndexBuild", "a", "x")}).documents.empty());
    const Staged open(from(one('A', {"x"})), {build("startIndexBuild", "a", "x"), insert("shop.a", 1)});
    CHECK(open.text() == "i shop.a 1");
    CHECK(open.errors() == "100:1: the build of index x on shop.a is not committed: the index is left out");
    CHECK(Staged(from(one('A', {"x"})), {build("abortIndexBuild", "a", "x")}).documents.empty()); // the dump listed it all the same
    Stager::Start start = from(one('A', {"x", "y"}));
    start.unfinished.emplace("shop.a", "x");
    start.unfinished.emplace("shop.other", "x");
    const Staged unfinished(std::move(start), {insert("shop.a", 1)});
    CHECK(unfinished.text() == "i shop.a 1; createIndexes shop.a y");
    CHECK(unfinished.errors() == "the build of index x on shop.a is not committed: the index is left out");
}

TEST_CASE("Looking ahead finds the builds that were under way all the time") {
    std::set<std::pair<std::string, std::string>> started, unfinished;
    Renaming renaming;
    renaming.add("shop.c", "shop.k");
    for (const std::string& operation :
         {build("startIndexBuild", "a", "later"), build("commitIndexBuild", "a", "later"), build("commitIndexBuild", "a", "x"),
          build("abortIndexBuild", "b", "y"), build("commitIndexBuild", "c", "z"), shop("createIndexes", "a", index("no")),
          insert("shop.a", 1)}) {
        const std::string entry = as_entry({100, 1}, operation);
        Stager::look_ahead(view(entry), renaming, started, unfinished);
    }
    CHECK(unfinished == std::set<std::pair<std::string, std::string>>{{"shop.a", "x"}, {"shop.b", "y"}, {"shop.k", "z"}});
}

TEST_CASE("What is deleted while the dump runs is not inserted and updated before, where that would do harm") {
    const auto update = [](std::string_view ns, int id) {
        return operation("u", ns, bson::Builder().int32("$v", 1).begin_document("$set").int32("x", 1).end().finish(),
                         bson::Builder().int32("_id", id).finish());
    };
    const auto removal = [](std::string_view ns, int id) { return operation("d", ns, bson::Builder().int32("_id", id).finish()); };
    const auto changes = [&](std::string_view ns) {
        return std::vector{of('A', update(ns, 1)),  of('A', insert(ns, 2)), of('A', removal(ns, 1)), of('A', insert(ns, 1)),
                           of('A', removal(ns, 2)), of('A', update(ns, 1)), of('A', removal(ns, 1)), of('A', update(ns, 3)),
                           of('A', insert(ns, 1)),  of('A', update(ns, 2)), of('A', removal(ns, 2))};
    };
    for (const std::string ns : {"shop.system.buckets.ts", "shop.a", "admin.system.users"}) {
        Catalog catalog;
        dumped(catalog, ns, 'A', {"_id_"});
        catalog.find_or_create(ns).is_capped = ns == "shop.a";
        const std::string text = "d " + ns + " 1; d " + ns + " 2; d " + ns + " 1; u " + ns + "; i " + ns + " 1";
        // By then all is over but for the last two.
        CHECK(staged_knowing(from(catalog, 9), changes(ns)).text() == text + "; u " + ns + "; d " + ns + " 2");
        // A second deletion takes what came between the two as well.
        CHECK(staged_knowing(from(catalog, 11), changes(ns)).text() == text + "; d " + ns + " 2");
        CHECK(staged_knowing(from(catalog), changes(ns)).documents.size() == changes(ns).size());
    }
    CHECK(staged_knowing(from(one('A', {"_id_"}), 11), changes("shop.a")).documents.size() == changes("shop.a").size());
}

TEST_CASE("A transaction of several entries that may not commit deletes nothing beforehand") {
    Catalog catalog;
    dumped(catalog, "shop.a", 'A', {"_id_"});
    catalog.find_or_create("shop.a").is_capped = true;
    const std::string removal = of('A', operation("d", "shop.a", bson::Builder().int32("_id", 1).finish()));
    const std::vector<std::string> entries{of('A', insert("shop.a", 1)), transaction_entry({100, 2}, apply_ops({removal}, "partialTxn")),
                                           transaction_entry({100, 3}, abort_it(), {100, 2})};
    CHECK(staged_knowing(from(std::move(catalog), 9), entries).text().starts_with("i shop.a 1; "));
}

TEST_CASE("A collection that is dropped while the dump runs is dropped, and nothing else is done with it") {
    const std::vector<std::string> entries{of('N', shop("create", "a")), of('N', insert("shop.a", 1)),
                                           of('N', shop("createIndexes", "a", index("x"))), of('N', shop("drop", "a")),
                                           of('A', insert("shop.a", 2))};
    CHECK(staged_knowing(from({}, 9), {entries.begin(), entries.end() - 1}).text().empty());
    CHECK(staged_knowing(from(one('A', {"_id_"}), 9), entries).text() == "i shop.a 2");
    CHECK(staged_knowing(from(one('N', {"_id_"}), 9), {entries.begin(), entries.end() - 1}).text() == "drop shop.a");
    // Of a time series a dump does not tell the UUID: this one, or one that follows and is made again here.
    Catalog series;
    dumped(series, "shop.a", 0);
    std::vector<std::string> again(entries.begin(), entries.end() - 1);
    again.push_back(of('A', shop("create", "a")));
    CHECK(staged_knowing(from(std::move(series), 9), again).text() == "drop shop.a; create shop.a");
}

TEST_CASE("What a rename replaces while the dump runs goes, where the dump lacks what is renamed or has it under another name") {
    const std::string rename = of('X', moved("shop.x", "shop.a", 'A')), drop = of('X', shop("drop", "a"));
    const std::vector<std::string> again{rename, of('X', insert("shop.a", 3)), drop, of('C', shop("create", "a")),
                                         of('C', insert("shop.a", 4))};
    SUBCASE("and comes back under no name") { CHECK(staged_knowing(from(one('A', {}), 9), {rename, drop}).text() == "[drop shop.a]"); }
    SUBCASE("and makes room for the next one") {
        const Staged staged = staged_knowing(from(one('A', {}), 9), again);
        CHECK(staged.text() == "[drop shop.a]; create shop.a; i shop.a 4");
        CHECK(staged.errors().empty());
    }
    SUBCASE("with what is renamed, if that is gone later") {
        Catalog both = one('A', {});
        dumped(both, "shop.x", 'X');
        CHECK(staged_knowing(from(both, 9), again).text() == "[drop shop.x, drop shop.a]; create shop.a; i shop.a 4");
        CHECK(staged_knowing(from(both, 9), {of('X', moved("shop.x", "shop.y")), of('X', shop("drop", "y"))}).text() == "[drop shop.x]");
    }
    SUBCASE("but not what the dump has by the new name") {
        CHECK(staged_knowing(from(one('X', {}), 9), {rename, insert("shop.a", 3)}).text() == "i shop.a 3");
    }
}

TEST_CASE("Of a database that is dropped the collections go one by one, and nothing that only the target has") {
    const std::string drop = operation("c", "shop.$cmd", bson::Builder().int32("dropDatabase", 1).finish());
    CHECK(Staged(from({}, 9), {drop}).text().empty());
    CHECK(Staged(from(one(), 9), {drop}).text() == "[drop shop.a]");
    CHECK(Staged(from({}), {drop}).text().empty());
    CHECK(Staged(from(one()), {of('A', shop("drop", "a")), drop}).text() == "drop shop.a");
    CHECK(Staged(from(one()), {of('B', shop("create", "b")), drop, of('C', shop("create", "b"))}).text() ==
          "create shop.b; [drop shop.a, drop shop.b]; create shop.b");
    CHECK(Staged({}, {drop}).text() == "dropDatabase"); // without the full dump not all collections are known
}

TEST_CASE("A time series is made coarser once") {
    const auto coarser = [](const char* granularity, int seconds = 0) {
        bson::Builder more;
        more.begin_document("timeseries").string("granularity", granularity).end();
        if (seconds > 0) more.int32("expireAfterSeconds", seconds);
        return of('A', shop("collMod", "system.buckets.a", more));
    };
    const std::vector<std::string> entries{coarser("minutes"), coarser("hours", 5)};
    for (const int dumped_at : {0, 1, 2}) {
        Catalog catalog;
        dumped(catalog, "shop.system.buckets.a", 'A');
        catalog.find_or_create("shop.system.buckets.a").granularity = dumped_at;
        const Staged staged(from(std::move(catalog), 9), entries);
        CHECK(staged.documents.size() == (dumped_at == 0 ? 2 : 1));
        CHECK((staged.documents.back().find("timeseries") == std::string::npos) == (dumped_at == 2));
        CHECK(staged.documents.back().find("expireAfterSeconds") != std::string::npos);
    }
}

TEST_CASE("What holds users and roles is made before the first one, where the dump has none") {
    const std::string user = insert("admin.system.users", 1);
    CHECK(Staged(from({}), {user, user}).text() == "[create admin.system.users, i admin.system.users 1]; i admin.system.users 1");
    Catalog catalog;
    dumped(catalog, "admin.system.users", 'U');
    CHECK(Staged(from(std::move(catalog)), {user}).text() == "i admin.system.users 1");
}

TEST_CASE("Of an index that may be older than the first entry, nothing but its making can be followed without the full dump") {
    const std::string drop = shop("dropIndexes", "a", bson::Builder().string("index", "x"));
    const std::string what_to_do =
        " an index of shop.a that was made before these slices begin, which mongorestore would not do; stage with the full dump (--full)";
    for (const std::vector<std::string>& begin : {std::vector{shop("createIndexes", "a", index("x"))},
                                                  std::vector{build("startIndexBuild", "a", "x"), build("commitIndexBuild", "a", "x")},
                                                  std::vector{build("commitIndexBuild", "a", "x")}}) {
        std::vector<std::string> entries = begin;
        CHECK(Staged({}, entries).text() == "createIndexes shop.a x");
        entries.push_back(drop);
        CHECK(Staged({}, entries).errors() == "100:" + std::to_string(entries.size()) + ": dropIndexes drops" + what_to_do);
        CHECK(Staged(from(one('A', {})), entries).errors().empty());
    }
    CHECK(Staged({}, {build("startIndexBuild", "a", "x"), build("abortIndexBuild", "a", "x")}).errors() ==
          "100:2: abortIndexBuild gives up" + what_to_do);
    CHECK(Staged({}, {insert("shop.a", 1), build("startIndexBuild", "a", "x"), build("abortIndexBuild", "a", "x")}).errors().empty());
    CHECK(Staged({}, {insert("shop.a", 1), shop("createIndexes", "a", index("x")), drop}).errors().empty());
}

TEST_CASE("What cannot be followed without the full dump is an error that says so") {
    bson::Builder hide;
    hide.begin_document("index").string("name", "old").boolean("hidden", true).end();
    const std::string what_to_do =
        " an index of shop.a that was made before these slices begin, which mongorestore would not do; stage with the full dump (--full)";
    CHECK(Staged({}, {shop("collMod", "a", hide)}).errors() == "100:1: collMod changes" + what_to_do);
    CHECK(Staged({}, {shop("dropIndexes", "a", bson::Builder().string("index", "old"))}).errors() ==
          "100:1: dropIndexes drops" + what_to_do);
    CHECK(Staged({}, {shop("deleteIndexes", "a", bson::Builder().string("index", "*"))}).errors() ==
          "100:1: deleteIndexes drops" + what_to_do);
    CHECK(Staged({}, {build("abortIndexBuild", "a", "old")}).errors() == "100:1: abortIndexBuild gives up" + what_to_do);
    CHECK(Staged(from(one()), {shop("collMod", "a", hide)}).errors().empty());
    CHECK_THROWS_WITH(Staged({}, {shop("dropIndexes", "a")}), "entry 100:1: dropIndexes of shop.a names no index");
}

TEST_CASE("What mongorestore does not replay is no error where it passes it over") {
    for (const char* op : {"n", "ci", "cd", "cu", "km"})
        CHECK(Staged({}, {operation(op, "shop.a", bson::Document().bytes())}).errors().empty());
    const auto refused = [](const std::string& why) { return "100:1: " + why + "; stage up to before it (--before 100:1)"; };
    CHECK(Staged({}, {operation("xi", "shop.a", bson::Document().bytes())}).errors() == refused("operation 'xi' on shop.a is not known"));
    for (const char* name : {"dropIdent", "setMultikeyMetadata", "emptycapped", "invalidateCollectionMetadata"})
        CHECK(Staged({}, {shop(name, "a")}).errors().empty());
    for (const char* name : {"upgradeDowngradeViewlessTimeseries", "frobnicate"})
        CHECK(Staged({}, {shop(name, "shop.a")}).errors() == refused("the command " + std::string(name) + " is not known"));
    for (const char* name : {"importCollection", "truncateRange", "convertToCapped"})
        CHECK(Staged({}, {shop(name, "shop.a")}).errors().starts_with("100:1: the command " + std::string(name) + " of shop."));
    CHECK(Staged({}, {command_on("config", "frobnicate", "a")}).errors().empty());
    CHECK(Staged({}, {operation("c", "shop.a", command("dbCheck", "shop.a"))}).documents.empty());
    CHECK(Staged(from(one(), 9), {of('Z', operation("d", "config.transactions", bson::Builder().int32("_id", 1).finish()))})
              .errors()
              .empty());
}

TEST_CASE("Only the feature version among what admin.system.version holds is an error") {
    const auto version = [](const char* id) { return operation("i", "admin.system.version", bson::Builder().string("_id", id).finish()); };
    CHECK(Staged({}, {version("authSchema")}).errors().empty());
    CHECK(
        Staged({}, {version("featureCompatibilityVersion")}).errors() ==
        "100:1: the source's featureCompatibilityVersion changes here, and a replay would change the target's; stage up to before it (--before 100:1)");
}

TEST_CASE("Malformed operations are errors with a place") {
    const auto fails = [](const std::string& operation) { return message_of<DataError>([&] { Staged({}, {operation}); }); };
    CHECK(fails(operation("c", "shop.$cmd", bson::Builder().int32("create", 1).finish())).starts_with("entry 100:1: "));
    CHECK(fails(shop("renameCollection", "shop.a")) == "entry 100:1: renameCollection without 'to'");
    CHECK(fails(operation("c", "admin.$cmd", bson::Builder().int32("applyOps", 1).finish())).starts_with("entry 100:1: "));
}

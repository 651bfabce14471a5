// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <oplog/entry/filter.hpp>

#include <doctest/doctest.h>

#include <functional>

using namespace oplog;
using namespace oplog::test;

namespace {

using Setup = std::function<void(Selection&)>;

/// Entries after selection: both passes over them.
std::vector<std::string> filtered(const std::vector<std::string>& entries, const Setup& setup) {
    Selection selection;
    setup(selection);
    if (selection.looks_ahead())
        for (const std::string& entry : entries) selection.learn(view(entry));
    std::vector<std::string> result;
    for (const std::string& entry : entries) {
        Edit edit = selection.apply(view(entry));
        if (edit.kind == Edit::Kind::keep) result.push_back(entry);
        for (bson::Value& made : edit.with) {
            std::string document = std::move(made).bytes();
            bson::validate(bson::Document(document));
            CHECK(view(document).ts() == view(entry).ts());
            result.push_back(std::move(document));
        }
    }
    return result;
}

/// What entries do, in short: "i shop.a, c shop.$cmd create b".
std::string gist(const std::vector<std::string>& entries) {
    std::string text;
    for (const std::string& entry : entries) {
        const Operation operation{view(entry)};
        text += (text.empty() ? "" : ", ") + std::string(operation.op) + " " + std::string(operation.ns);
        if (!operation.is_command()) continue;
        text += " " + std::string(operation.command());
        if (operation.is_apply_ops()) {
            text += "[";
            for_each_operation(operation.document,
                               [&](const Operation& inner) { text += (text.back() == '[' ? "" : " ") + std::string(inner.ns); });
            text += "]";
        } else if (operation.o.begin()->is(bson::Type::string)) {
            text += " " + std::string(operation.o.begin()->string());
            if (const auto to = operation.o.find("to")) text += " " + std::string(to->string());
        }
    }
    return text;
}

/// Entries at 1:1, 1:2 …
std::vector<std::string> numbered(const std::vector<std::string>& operations) {
    std::vector<std::string> entries;
    entries.reserve(operations.size());
    for (const std::string& operation : operations)
        entries.push_back(as_entry({1, static_cast<std::uint32_t>(entries.size() + 1)}, operation));
    return entries;
}

Setup only(const std::vector<std::string>& globs) {
    return [=](Selection& selection) {
        for (const std::string& glob : globs) selection.include(glob);
    };
}
Setup without(const std::vector<std::string>& globs) {
    return [=](Selection& selection) {
        for (const std::string& glob : globs) selection.exclude(glob);
    };
}
Setup renaming(const char* from, const char* to) {
    return [=](Selection& selection) { selection.rename(from, to); };
}

std::string create(std::string_view collection, std::string_view database = "shop") {
    return operation("c", std::string(database) + ".$cmd", command("create", collection));
}
std::string drop(std::string_view collection) { return operation("c", "shop.$cmd", command("drop", collection)); }
std::string moved(std::string_view from, std::string_view to, bool drop_target = false) {
    bson::Builder builder;
    builder.string("renameCollection", from).string("to", to).boolean("stayTemp", false);
    if (drop_target)
        builder.binary("dropTarget", 4, std::string(16, 't'));
    else
        builder.boolean("dropTarget", false); // as older servers have it
    return operation("c", std::string(split_namespace(from).database) + ".$cmd", builder.finish());
}
std::string noop() { return operation("n", "", bson::Builder().string("msg", "periodic noop").finish()); }
std::string drop_database(std::string_view database) {
    return operation("c", std::string(database) + ".$cmd", bson::Builder().int32("dropDatabase", 1).finish());
}
std::string view_entry(std::string_view op, std::string_view database, std::string_view name, std::string_view on) {
    const std::string ns = join_namespace(database, name);
    return operation(op, join_namespace(database, "system.views"),
                     command("_id", ns, bson::Builder().string("viewOn", on).begin_array("pipeline").end().finish()),
                     bson::Builder().string("_id", ns).finish());
}

} // namespace

TEST_CASE("globs match whole namespaces, and say which databases they may match in") {
    CHECK(Glob("shop.*").matches("shop.a.b"));
    CHECK_FALSE(Glob("shop.*").matches("shopping.a"));
    CHECK(Glob("*.a").matches("shop.a"));
    CHECK(Glob("shop.?").matches("shop.a"));
    CHECK_FALSE(Glob("shop.?").matches("shop.ab"));
    CHECK(Glob("shop.?").matches("shop.\u00e9"));
    CHECK(Glob("shop.*?b").matches("shop.\u6771b"));
    CHECK(Glob("shop.??").matches("shop.\u6771\U0001F600"));
    CHECK_FALSE(Glob("shop.??").matches("shop.\u00e9"));
    CHECK_FALSE(Glob("shop.*??").matches("shop.\u6771"));
    CHECK(Glob("shop.a").may_match_in("shop"));
    CHECK_FALSE(Glob("shop.a").may_match_in("store"));
    CHECK(Glob("s*.a").may_match_in("shop"));
    CHECK(Glob("s*").may_match_in("shop"));
    CHECK_FALSE(Glob("x*").may_match_in("shop"));
    CHECK(Glob("*").may_match_in("shop"));
    CHECK(Glob("s??p.a").may_match_in("shop"));
    CHECK(Glob("shop.*").matches_all_of("shop"));
    CHECK(Glob("*").matches_all_of("shop"));
    CHECK(Glob("s*").matches_all_of("shop"));
    CHECK_FALSE(Glob("shop.a*").matches_all_of("shop"));
    CHECK_FALSE(Glob("shop.a").matches_all_of("shop"));
    CHECK(message_of<ArgumentError>([] { Glob("shop"); }) == "'shop' matches no namespace: write <database>.<collection> or shop.*");
}

TEST_CASE("a selection of nothing in particular keeps every byte") {
    const auto entries = numbered({noop(), insert("shop.a", 1), create("b"), operation("c", "shop.$cmd", command("frobnicate", "a"))});
    Selection selection;
    CHECK(selection.everything());
    CHECK_FALSE(selection.looks_ahead());
    CHECK(filtered(entries, [](Selection&) {}) == entries);
}

TEST_CASE("documents and commands are selected by the collection they name") {
    const auto entries = numbered({noop(), create("a"), insert("shop.a", 1), insert("shop.b", 2), drop("b"), insert("other.a", 3),
                                   create("a", "other"), drop_database("shop"), drop_database("other")});
    CHECK(gist(filtered(entries, only({"shop.a"}))) == "n , c shop.$cmd create a, i shop.a");
    CHECK(gist(filtered(entries, only({"*.a"}))) == "n , c shop.$cmd create a, i shop.a, i other.a, c other.$cmd create a");
    CHECK(gist(filtered(entries, only({"shop.b", "other.*"}))) ==
          "n , i shop.b, c shop.$cmd drop b, i other.a, c other.$cmd create a, c other.$cmd dropDatabase");
    CHECK(gist(filtered(entries, without({"shop.*"}))) == "n , i other.a, c other.$cmd create a, c other.$cmd dropDatabase");
    CHECK(gist(filtered(entries, without({"shop.b"}))) ==
          "n , c shop.$cmd create a, i shop.a, i other.a, c other.$cmd create a, c other.$cmd dropDatabase");
    CHECK(gist(filtered(entries, [](Selection& s) {
              s.include("shop.*");
              s.exclude("*.b");
          })) == "n , c shop.$cmd create a, i shop.a");
}

TEST_CASE("a dropDatabase drops nothing that is not selected") {
    const auto entries = numbered({insert("shop.a", 1), drop("a"), drop("b"), drop_database("shop")});
    for (const Setup& some : {only({"shop.a"}), without({"shop.b"}), without({"*b"})})
        CHECK(gist(filtered(entries, some)) == "i shop.a, c shop.$cmd drop a");
    for (const Setup& all : {only({"shop.a", "sho*"}), only({"*"}), without({"other.*"}), renaming("shop.x", "other.x")})
        CHECK(gist(filtered(entries, all)) == "i shop.a, c shop.$cmd drop a, c shop.$cmd drop b, c shop.$cmd dropDatabase");
    CHECK(gist(filtered(entries, [](Selection& s) {
              s.include("shop.a");
              s.rename("shop.a", "rescue.a");
          })) == "i rescue.a, c rescue.$cmd drop a");

    // A server before 3.6 drops the collections by this entry alone.
    const std::string young = drop_database("shop");
    const bson::Value older = changed(bson::Document(young), [](const bson::Element& element, bson::Builder& out) {
        if (element.key() == "op") out.int64("h", 7);
        return false;
    });
    const auto old = numbered({std::string(older.view().bytes())});
    CHECK(gist(filtered(old, only({"shop.*"}))) == "c shop.$cmd dropDatabase");
    CHECK(gist(filtered(old, only({"other.*"}))) == "");
    CHECK(message_of<RenameError>([&] { filtered(old, only({"shop.a"})); }) ==
          "entry 1:1: dropDatabase of shop, by a server before 3.6, drops what is selected together with what is not: select all of it "
          "(shop.*)");
}

TEST_CASE("entries are selected by op, inside applyOps too, and no-ops by themselves") {
    const std::string removal = operation("d", "shop.a", bson::Builder().int32("_id", 1).finish());
    const auto entries = numbered(
        {noop(), insert("shop.a", 1), removal, create("b"), operation("c", "admin.$cmd", apply_ops({insert("shop.c", 1), removal}))});
    CHECK(gist(filtered(entries, [](Selection& s) { s.only("i"); })) == "i shop.a, c admin.$cmd applyOps[shop.c]");
    CHECK(gist(filtered(entries, [](Selection& s) {
              s.only("c");
              s.only("n");
          })) == "n , c shop.$cmd create b");
    CHECK(gist(filtered(entries, [](Selection& s) { s.without_noops(); })) ==
          "i shop.a, d shop.a, c shop.$cmd create b, c admin.$cmd applyOps[shop.c shop.a]");
}

TEST_CASE("$out is followed from its temporary collection to its target") {
    const std::string tmp = "tmp.agg_out.992d70b8-f214-41cf-ac99-b35ecc3416bd";
    const auto out = [&](int id, const std::string& target) {
        return std::vector<std::string>{create(tmp), insert("shop." + tmp, id), moved("shop." + tmp, "shop." + target, true)};
    };
    std::vector<std::string> operations{insert("shop.src", 1)};
    for (const auto& part : {out(1, "agg"), out(2, "other")}) operations.insert(operations.end(), part.begin(), part.end());
    operations.push_back(insert("shop.agg", 3));
    const auto entries = numbered(operations);
    const std::string created = "c shop.$cmd create " + tmp + ", i shop." + tmp + ", c shop.$cmd renameCollection shop." + tmp;
    CHECK(gist(filtered(entries, only({"shop.agg"}))) == created + " shop.agg, i shop.agg");
    CHECK(gist(filtered(entries, only({"shop.other"}))) == created + " shop.other");
    CHECK(gist(filtered(entries, without({"shop.agg"}))) == "i shop.src, " + created + " shop.other");
    // The server's names are not what a pattern is about.
    CHECK(gist(filtered(entries, without({"shop.tmp*"}))) == gist(entries));
    CHECK(gist(filtered(entries, only({"shop.tmp*"}))) == "");
}

TEST_CASE("a collection keeps being selected under the names it had and gets") {
    const auto entries = numbered({insert("shop.a", 1), moved("shop.a", "shop.b"), insert("shop.b", 2), moved("shop.b", "shop.c"),
                                   insert("shop.c", 3), insert("shop.a", 4), insert("shop.d", 5)});
    const std::string followed =
        "i shop.a, c shop.$cmd renameCollection shop.a shop.b, i shop.b, c shop.$cmd renameCollection shop.b shop.c, i shop.c";
    CHECK(gist(filtered(entries, only({"shop.c"}))) == followed);
    CHECK(gist(filtered(entries, only({"shop.b"}))) == followed);
    CHECK(gist(filtered(entries, only({"shop.a"}))) == followed + ", i shop.a"); // another a, later
    CHECK(gist(filtered(entries, without({"shop.b"}))) == "i shop.a, i shop.d");

    Selection selection;
    selection.include("shop.c");
    for (const std::string& entry : entries) selection.learn(view(entry));
    CHECK(selection.selects("shop.a")); // the one of a full dump becomes c
    CHECK_FALSE(selection.selects("shop.b"));
    CHECK(selection.selects("shop.c"));
}

TEST_CASE("a name that was dropped is another collection afterwards") {
    const auto entries =
        numbered({insert("shop.a", 1), drop("a"), create("a"), insert("shop.a", 2), moved("shop.a", "shop.b"), insert("shop.b", 3)});
    CHECK(gist(filtered(entries, only({"shop.b"}))) ==
          "c shop.$cmd create a, i shop.a, c shop.$cmd renameCollection shop.a shop.b, i shop.b");
    const auto dropped = numbered({insert("shop.a", 1), drop_database("shop"), insert("shop.a", 2), moved("shop.a", "shop.b")});
    CHECK(gist(filtered(dropped, only({"shop.b"}))) == "i shop.a, c shop.$cmd renameCollection shop.a shop.b");
}

TEST_CASE("a full dump's collections are selected by the names that they have there") {
    const auto selects = [](std::optional<Timestamp> dumped_at, const char* name) {
        Selection selection;
        selection.include("shop.a");
        if (dumped_at) selection.dumped_at(*dumped_at);
        const std::string rename = as_entry(
            {100, 2}, operation("c", "shop.$cmd", command("renameCollection", "shop.a", bson::Builder().string("to", "shop.b").finish())));
        for (const std::string& entry : {as_entry({100, 1}, insert("shop.a", 1)), rename, as_entry({100, 3}, insert("shop.b", 2))})
            selection.learn(view(entry));
        return selection.selects(name);
    };
    for (const auto& before : {std::optional<Timestamp>(), std::optional(Timestamp{100, 1})}) {
        CHECK(selects(before, "shop.a"));
        CHECK_FALSE(selects(before, "shop.b")); // the one before it
    }
    for (const Timestamp after : {Timestamp{100, 2}, Timestamp{100, 3}}) {
        CHECK(selects(after, "shop.b"));
        CHECK(selects(after, "shop.a")); // one that came later
    }
}

TEST_CASE("what an unselected collection puts itself in place of is dropped") {
    const auto entries = numbered({insert("shop.b", 1), insert("shop.a", 2), moved("shop.a", "shop.b", true), insert("shop.b", 3)});
    const auto result = filtered(entries, without({"shop.a"}));
    CHECK(gist(result) == "i shop.b, c shop.$cmd drop b");
    CHECK(gist(filtered(entries, only({"shop.b"}))) == gist(entries));
    const auto onto_nothing = numbered({insert("shop.a", 2), moved("shop.a", "shop.b"), insert("shop.b", 3)});
    CHECK(gist(filtered(onto_nothing, without({"shop.a"}))) == "");
    CHECK(gist(filtered(entries, [](Selection& s) {
              s.exclude("shop.a");
              s.rename("shop.*", "store.*");
          })) == "i store.b, c store.$cmd drop b");
}

TEST_CASE("a view is selected by its name, a time series with its buckets") {
    const auto entries = numbered({create("system.views"), view_entry("i", "shop", "v", "a"), create("system.buckets.ts"),
                                   view_entry("i", "shop", "ts", "system.buckets.ts"), insert("shop.system.buckets.ts", 1),
                                   insert("shop.a", 2), view_entry("d", "shop", "v", "a"), drop("system.buckets.ts")});
    CHECK(gist(filtered(entries, only({"shop.ts"}))) ==
          "c shop.$cmd create system.views, c shop.$cmd create system.buckets.ts, i shop.system.views, i shop.system.buckets.ts, "
          "c shop.$cmd drop system.buckets.ts");
    CHECK(gist(filtered(entries, only({"shop.v"}))) == "c shop.$cmd create system.views, i shop.system.views, d shop.system.views");
    CHECK(gist(filtered(entries, only({"shop.a"}))) == "i shop.a");
    CHECK(gist(filtered(entries, without({"shop.ts", "shop.a"}))) ==
          "c shop.$cmd create system.views, i shop.system.views, d shop.system.views");
}

TEST_CASE("a transaction keeps its chain, its end and its count when its operations go") {
    const std::string a = insert("shop.a", 1), b = insert("shop.b", 2);
    const std::vector<std::string> entries{
        transaction_entry({1, 1}, apply_ops({a, b}, "partialTxn")),  transaction_entry({1, 2}, apply_ops({b}, "partialTxn"), {1, 1}),
        transaction_entry({1, 3}, apply_ops({a}, "", 4), {1, 2}),    transaction_entry({1, 4}, apply_ops({b, b}), {}, 8),
        transaction_entry({1, 5}, apply_ops({b}, "prepare"), {}, 9), transaction_entry({1, 6}, commit_it(), {1, 5}, 9)};
    const auto result = filtered(entries, only({"shop.a"}));
    CHECK(gist(result) == "c admin.$cmd applyOps[shop.a], c admin.$cmd applyOps[], c admin.$cmd applyOps[shop.a], c admin.$cmd applyOps[], "
                          "c admin.$cmd commitTransaction");
    TransactionTracker tracker;
    for (const std::string& entry : result) {
        const auto step = tracker.add(view(entry));
        if (step.closed) CHECK_FALSE(step.closed->broken);
    }
    CHECK(tracker.open().empty());
    CHECK(tracker.began_before().empty());
    CHECK(json(Operation(view(result[2])).o.bytes()) == R"({"applyOps":[)" + json(a) + R"(],"count":2})");
    CHECK(result[4] == entries[5]); // a commit, byte for byte
    CHECK(
        gist(filtered(entries, [](Selection& s) { s.only("u"); })) ==
        "c admin.$cmd applyOps[], c admin.$cmd applyOps[], c admin.$cmd applyOps[], c admin.$cmd applyOps[], c admin.$cmd commitTransaction");
}

TEST_CASE("collections and databases get other names everywhere") {
    const auto entries =
        numbered({create("a"), insert("shop.a", 1), operation("c", "admin.$cmd", apply_ops({insert("shop.a", 2), insert("shop.b", 3)})),
                  moved("shop.a", "shop.c"), insert("shop.c", 4), drop_database("shop")});
    CHECK(
        gist(filtered(entries, renaming("shop.a", "shop.x"))) ==
        "c shop.$cmd create x, i shop.x, c admin.$cmd applyOps[shop.x shop.b], c shop.$cmd renameCollection shop.x shop.c, i shop.c, c shop.$cmd dropDatabase");
    CHECK(
        gist(filtered(entries, renaming("shop.*", "store.*"))) ==
        "c store.$cmd create a, i store.a, c admin.$cmd applyOps[store.a store.b], c store.$cmd renameCollection store.a store.c, i store.c, "
        "c store.$cmd dropDatabase");
    // Patterns are about the old names.
    CHECK(gist(filtered(entries, [](Selection& s) {
              s.include("shop.b");
              s.rename("shop.*", "store.*");
          })) == "c admin.$cmd applyOps[store.b]");
}

TEST_CASE("the temporary collection of $out goes with its target to another database") {
    const std::string tmp = "tmp.agg_out.992d70b8-f214-41cf-ac99-b35ecc3416bd";
    const auto entries = numbered(
        {create(tmp), insert("shop." + tmp, 1), moved("shop." + tmp, "shop.agg", true), insert("shop.agg", 2), insert("shop.a", 3)});
    CHECK(gist(filtered(entries, renaming("shop.agg", "store.sums"))) == "c store.$cmd create " + tmp + ", i store." + tmp +
                                                                             ", c store.$cmd renameCollection store." + tmp +
                                                                             " store.sums, i store.sums, i shop.a");
}

TEST_CASE("what cannot be followed is refused, with the entry") {
    const auto refused = [](const std::vector<std::string>& operations, const Setup& setup) {
        return message_of<Error>([&] { filtered(numbered(operations), setup); });
    };
    const std::string unknown = operation("c", "shop.$cmd", command("frobnicate", "a"));
    CHECK(refused({unknown}, only({"shop.a"})) ==
          "entry 1:1: the command frobnicate on shop.$cmd is not known, so whether it belongs to what is selected cannot be told");
    CHECK(refused({unknown}, only({"store.a"})) == "");
    CHECK(refused({insert("shop.a", 1), insert("shop.b", 2)}, renaming("shop.a", "shop.b")) ==
          "entry 1:2: shop.b is there already: what is renamed to it would be mixed with it (exclude or rename it too)");
    CHECK(refused({insert("store.b", 2)}, renaming("shop.*", "store.*")).starts_with("entry 1:1: store.b is there already"));
    CHECK(refused({insert("shop.a", 1), insert("shop.b", 2)}, [](Selection& s) {
              s.rename("shop.a", "shop.b");
              s.rename("shop.b", "shop.a");
          }) == "");
    CHECK(refused({insert("shop.b", 2)}, [](Selection& s) {
              s.exclude("shop.b");
              s.rename("shop.a", "shop.b");
          }) == "");
    CHECK(refused({moved("shop.a", "shop.b")}, renaming("shop.a", "store.a")) ==
          "entry 1:1: renameCollection shop.a to shop.b would cross databases, as store.a to shop.b: rename both");
    CHECK(refused({drop_database("store")}, renaming("shop.a", "store.a")) ==
          "entry 1:1: dropDatabase of store would also drop what is renamed into it");
    CHECK(refused({drop_database("store")}, renaming("shop.*", "store.*")).starts_with("entry 1:1: store is there already"));
    Selection unlearned;
    unlearned.include("shop.a");
    CHECK(message_of<Error>([&] {
              unlearned.apply(view(as_entry({1, 1}, moved("shop.a", "shop.b"))));
          }) == "entry 1:1: a renameCollection that was not there when the entries were learned");
}

TEST_CASE("errors in the data have the entry's place") {
    const std::string bad = as_entry({1, 1}, operation("c", "shop.$cmd", bson::Builder().int32("create", 1).finish()));
    Selection selection;
    selection.include("shop.a");
    for (const EntryView entry : reader(bad)) {
        CHECK(message_of<FormatError>([&] { selection.learn(entry); }) ==
              "in: offset 0: document 1: field 'create' is an int32, not a string");
        CHECK(message_of<FormatError>([&] { selection.apply(entry); }) ==
              "in: offset 0: document 1: field 'create' is an int32, not a string");
    }
}

TEST_CASE("on real oplogs: what is selected and what is excluded are together what was there") {
    for (const std::string& path : test_oplogs()) {
        CAPTURE(path);
        std::vector<std::string> entries;
        for (const EntryView entry : Reader(path)) entries.emplace_back(entry.bytes());
        const auto operations = [](const std::vector<std::string>& in) {
            std::multiset<std::string> all;
            for (const std::string& entry : in)
                for_each_operation(bson::Document(entry), [&](const Operation& operation) {
                    if (operation.op != "n") all.insert(std::string(operation.document.bytes()));
                });
            return all;
        };
        const auto whole = operations(entries);
        for (const char* glob : {"shop.*", "shop.a", "other.*", "*"}) {
            CAPTURE(glob);
            auto both = operations(filtered(entries, only({glob})));
            const auto rest = operations(filtered(entries, without({glob})));
            // A dropDatabase is where all of its database is; everything else is on one side, whole.
            both.insert(rest.begin(), rest.end());
            for (const std::string& one : whole)
                if (Operation(bson::Document(one)).command() != "dropDatabase") CHECK(both.count(one) == whole.count(one));
            CHECK(both.size() <= whole.size());
        }
    }
}

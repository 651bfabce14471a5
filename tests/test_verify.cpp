// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <oplog/restore/chain.hpp>
#include <oplog/restore/verify.hpp>

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

std::string build(const char* command, const char* name) {
    bson::Builder o;
    o.string(command, "a")
        .begin_array("indexes")
        .begin_document("0")
        .begin_document("key")
        .int32("n", 1)
        .end()
        .string("name", name)
        .end()
        .end();
    return operation("c", "shop.$cmd", o.finish());
}
std::string part(std::uint32_t ordinal, Timestamp previous = {}) {
    return transaction_entry({100, ordinal}, apply_ops({insert("shop.a", 1)}, "partialTxn"), previous);
}
std::string last(std::uint32_t ordinal, Timestamp previous) {
    return transaction_entry({100, ordinal}, apply_ops({insert("shop.a", 2)}), previous);
}

struct Examined {
    std::vector<Finding> findings;
    Stager::Start start;
    Range range;

    explicit Examined(const std::string& bytes, const Bounds& bounds = {}, Stager::Start given = {}) {
        Examiner examiner(std::move(given), bounds, [&](Finding finding) { findings.push_back(std::move(finding)); });
        for (const EntryView e : reader(bytes)) examiner.add(e);
        examiner.finish();
        start = examiner.start();
        range = examiner.range();
    }
    /// "warning in 2: TEXT": severity, document, what it says with its time.
    std::string text() const {
        constexpr const char* severities[] = {"note", "warning", "error"};
        std::string all;
        for (const Finding& finding : findings)
            all += (all.empty() ? "" : "; ") + std::string(severities[static_cast<int>(finding.severity)]) +
                   (finding.where ? " in " + std::to_string(finding.where->document) : "") +
                   (finding.ts ? " at " + to_string(*finding.ts) : "") + ": " + finding.text;
        return all;
    }
};

Stager::Start dump(std::uint32_t begins, std::uint32_t ends) {
    Stager::Start start;
    start.dump_start = Timestamp{100, begins};
    start.consistent_point = Timestamp{100, ends};
    start.catalog.create("shop.a", {});
    return start;
}

} // namespace

TEST_CASE("Nothing is found in good entries") {
    const Examined examined(entries({1, 2}) + part(3) + last(4, {100, 3}) + entry({100, 5}));
    CHECK(examined.text().empty());
    CHECK(examined.range.entries == 5);
    CHECK(examined.start.left_out.empty());
}

TEST_CASE("A transaction that is not committed by the end is left out, and shown where it began") {
    const std::string entries_ = entries({1}) + part(2) + entry({100, 3}) + part(4, {100, 2}) + last(5, {100, 4});
    const Examined examined(entries_, {.to = Timestamp{100, 4}});
    CHECK(examined.text() == "warning in 2 at 100:2: transaction 61616161/7 is not committed by 100:4 and is left out whole");
    CHECK(examined.start.left_out.size() == 1);
    CHECK(examined.range.last == Timestamp{100, 4});
    CHECK(Examined(entries_).text().empty());
}

TEST_CASE("A prepared transaction is open until it is decided") {
    const std::string prepared = transaction_entry({100, 1}, apply_ops({insert("shop.a", 1)}, "prepare"));
    CHECK(
        Examined(prepared + entry({100, 2})).text() ==
        "warning in 1 at 100:1: transaction 61616161/7 is not committed by 100:2 and is left out whole; it is prepared, as is done on shards of a "
        "cluster, and may count on other shards: oplog-gather decides it by the chains of all");
    for (const std::string& end : {commit_it(), abort_it()}) {
        const Examined examined(prepared + transaction_entry({100, 2}, end, {100, 1}));
        CHECK(examined.text().empty());
        CHECK(examined.start.left_out.empty());
    }
}

TEST_CASE("A transaction without its beginning is an error, unless the dump has what it did") {
    const std::string tail = last(3, {100, 2}) + entry({100, 4});
    CHECK(Examined(tail).text() == "error in 1 at 100:3: transaction 61616161/7 commits here, and began before these slices");
    CHECK(Examined(tail, {}, dump(1, 4)).text() ==
          "error in 1 at 100:3: transaction 61616161/7 commits here, and began before these slices");
    const Examined known(tail, {}, dump(3, 4));
    CHECK(known.text() == "note in 1 at 100:3: transaction 61616161/7 commits here, before the full dump, which has what it did");
    CHECK(known.start.left_out.size() == 1);
    CHECK(Examined(part(1) + last(4, {100, 3})).text() ==
          "error in 2 at 100:4: transaction 61616161/7 commits here, and entries of it are missing");
    CHECK(Examined(transaction_entry({100, 2}, abort_it(), {100, 1})).text().empty());
}

TEST_CASE("A transaction that its session gave up is nothing to be reported") {
    const std::string next = transaction_entry({100, 2}, apply_ops({insert("shop.a", 1)}), {}, 8);
    CHECK(Examined(part(1) + next).text().empty());
}

TEST_CASE("A build that commits or is given up after the wanted time was under way, and is left out") {
    Stager::Start start = dump(1, 1);
    Collection& collection = start.catalog.find_or_create("shop.a");
    const bson::Value spec = bson::Builder().string("name", "x").finish();
    collection.indexes.push_back({"x", spec, "a"});
    for (const char* end : {"commitIndexBuild", "abortIndexBuild"}) {
        const std::string bytes = entries({1, 2}) + as_entry({100, 3}, build(end, "x"));
        const Examined examined(bytes, {.to = Timestamp{100, 2}}, start);
        CHECK(examined.text() == "warning: the build of index x on shop.a is not committed: the index is left out");
        CHECK(examined.start.unfinished.size() == 1);
        CHECK(Examined(bytes, {}, start).text().empty());
        CHECK(
            Examined(bytes, {.to = Timestamp{100, 2}}).text() ==
            "error: the build of index x on shop.a is not committed and began before these slices, so a restored full dump has the index; stage with the full dump (--full)");
    }
    const std::string whole =
        entries({1, 2}) + as_entry({100, 3}, build("startIndexBuild", "y")) + as_entry({100, 4}, build("commitIndexBuild", "y"));
    CHECK(Examined(whole, {.to = Timestamp{100, 2}}, start).text().empty());
    CHECK(Examined(whole, {.to = Timestamp{100, 3}}, start).text() ==
          "warning in 3 at 100:3: the build of index y on shop.a is not committed: the index is left out");
}

TEST_CASE("Only what counts is looked at") {
    const std::string unknown = as_entry({100, 2}, operation("c", "shop.$cmd", command("frobnicate", "a")));
    CHECK(Examined(entries({1}) + unknown).text() ==
          "error in 2 at 100:2: the command frobnicate is not known; stage up to before it (--before 100:2)");
    CHECK(Examined(entries({1}) + unknown, {.before = Timestamp{100, 2}}).text().empty());
}

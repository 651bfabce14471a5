// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <oplog/stream/stats.hpp>

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

TEST_CASE("operations are counted a namespace, inside transactions too") {
    const std::string change = operation("u", "shop.b", bson::Builder().int32("$v", 2).finish(), bson::Builder().int32("_id", 1).finish());
    const std::string removal = operation("d", "shop.a", bson::Builder().int32("_id", 1).finish());
    const std::vector<std::string> entries{as_entry({100, 1}, insert("shop.a", 1)),
                                           as_entry({100, 2}, operation("n", "", bson::Builder().string("msg", "noop").finish())),
                                           transaction_entry({100, 3}, apply_ops({insert("shop.a", 2), change, removal})),
                                           as_entry({100, 4}, operation("c", "shop.$cmd", command("create", "b"))),
                                           as_entry({100, 5}, operation("xi", "shop.a", bson::Document().bytes()))};
    Stats stats;
    std::uint64_t bytes = 0;
    for (const std::string& entry : entries) {
        stats.add(view(entry));
        bytes += entry.size();
    }
    CHECK(stats.range().entries == 5);
    CHECK(stats.range().bytes == bytes);
    CHECK(stats.total().operations() == 7);
    CHECK(stats.namespaces().size() == 3);
    const OperationCounts& a = stats.namespaces().at("shop.a");
    CHECK(a.inserts == 2);
    CHECK(a.deletes == 1);
    CHECK(a.others == 1);
    CHECK(a.operations() == 4);
    CHECK(a.bytes == entries[0].size() + insert("shop.a", 2).size() + removal.size() + entries[4].size());
    CHECK(stats.namespaces().at("shop.b").updates == 1);
    CHECK(stats.namespaces().at("shop.b").commands == 1);
    CHECK(stats.namespaces().at("").noops == 1);
    CHECK(stats.commands().at("create") == 1);
    CHECK(stats.committed() == 1);
    CHECK(stats.timeline().periods().at(100).operations == 7);
}

TEST_CASE("periods become longer as the time grows, and nothing is lost") {
    Timeline timeline;
    for (std::uint32_t second = 0; second < 100000; second += 10) timeline.add(1000000000 + second, 2, 3);
    CHECK(timeline.periods().size() <= 512);
    CHECK(timeline.length() == 300);
    const auto sum = [](const Timeline& of) {
        std::uint64_t operations = 0, bytes = 0;
        for (const auto& [start, period] : of.periods()) {
            CHECK(start % of.length() == 0);
            operations += period.operations;
            bytes += period.bytes;
        }
        return std::pair(operations, bytes);
    };
    CHECK(sum(timeline) == std::pair<std::uint64_t, std::uint64_t>(20000, 30000));
    const Timeline coarse = timeline.coarsened(24);
    CHECK(coarse.length() == 14400);
    CHECK(sum(coarse) == sum(timeline));
    // From one end of time to the other there are not too many either.
    Timeline all;
    for (const std::uint32_t second : {0u, 4294967295u, 1u}) all.add(second, 1, 1);
    CHECK(all.coarsened(500).periods().size() == 2);
    CHECK(all.coarsened(1).length() == 31449600);
    CHECK(Timeline().coarsened(10).periods().empty());
}

TEST_CASE("the largest entries are remembered, the first of equals") {
    Stats stats(2);
    for (const auto& [ordinal, size] : {std::pair(1u, 10), {2u, 500}, {3u, 20}, {4u, 500}, {5u, 300}, {6u, 500}}) {
        const std::string o = bson::Builder().string("x", std::string(static_cast<std::size_t>(size), 'x')).finish();
        stats.add(view(as_entry({100, ordinal}, operation("i", "shop.a", o))));
    }
    const auto largest = stats.largest();
    REQUIRE(largest.size() == 2);
    CHECK(largest[0].ts == Timestamp{100, 2});
    CHECK(largest[1].ts == Timestamp{100, 4});
    CHECK(largest[0].ns == "shop.a");
    Stats none(0);
    none.add(view(as_entry({100, 1}, insert("shop.a", 1))));
    CHECK(none.largest().empty());
}

TEST_CASE("transactions are counted, and those that are open are told") {
    Stats stats;
    stats.add(view(transaction_entry({100, 1}, apply_ops({insert("shop.a", 1)}, "prepare"), {}, 1)));
    stats.add(view(transaction_entry({100, 2}, abort_it(), {100, 1}, 1)));
    stats.add(view(transaction_entry({100, 3}, commit_it(), {99, 1}, 2)));
    stats.add(view(transaction_entry({100, 4}, apply_ops({insert("shop.a", 1)}, "partialTxn"), {}, 3)));
    CHECK(stats.committed() == 1);
    CHECK(stats.aborted() == 1);
    CHECK(stats.transactions().open().size() == 1);
    CHECK(stats.transactions().began_before().size() == 1);
}

TEST_CASE("disorder is taken as it is, what is malformed is an error with its place") {
    Stats stats;
    const std::string disordered = entries({3, 1, 2, 2});
    for (const EntryView entry : reader(disordered)) stats.add(entry);
    CHECK(stats.range().entries == 4);
    CHECK(stats.range().disorder);
    const std::string bad = as_entry({1, 1}, operation("c", "shop.$cmd", bson::Builder().int32("applyOps", 1).finish()));
    for (const EntryView entry : reader(bad))
        CHECK(message_of<FormatError>([&] { stats.add(entry); }) == "in: offset 0: document 1: field 'applyOps' is an int32, not an array");
}

TEST_CASE("on real oplogs: the namespaces add up to the total") {
    for (const std::string& path : test_oplogs()) {
        Stats stats;
        for (const EntryView entry : Reader(path, Check::full)) stats.add(entry);
        OperationCounts sum;
        std::uint64_t over_time = 0;
        for (const auto& [ns, counts] : stats.namespaces()) {
            sum.inserts += counts.operations();
            sum.bytes += counts.bytes;
        }
        for (const auto& [start, period] : stats.timeline().periods()) over_time += period.operations;
        CHECK(sum.inserts == stats.total().operations());
        CHECK(sum.bytes == stats.total().bytes);
        CHECK(over_time == stats.total().operations());
        CHECK(stats.total().bytes <= stats.range().bytes);
    }
}

// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <oplog/stream/committed_operations.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <ranges>

using namespace oplog;
using namespace oplog::test;

namespace {

std::vector<Entry> entries_of(const std::vector<std::string>& documents) {
    std::vector<Entry> entries;
    entries.reserve(documents.size());
    for (const std::string& document : documents) entries.emplace_back(document);
    return entries;
}

/// "1@100:5 2@100:6*": the _id of each operation and when it took effect; a star marks one of a transaction.
template <class Changes>
std::string text_of(Changes& changes) {
    std::string text;
    for (const CommittedOperation& change : changes)
        text += (text.empty() ? "" : " ") + std::to_string(change.operation.id()->integer()) + "@" + to_string(change.ts) +
                (change.transaction ? "*" : "");
    return text;
}

std::string plain(std::uint32_t ordinal, int id) { return as_entry({100, ordinal}, insert("shop.a", id)); }
std::string part(std::uint32_t ordinal, int id, std::uint32_t previous = 0, int number = 7, char session = 'a') {
    return transaction_entry({100, ordinal}, apply_ops({insert("shop.a", id)}, "partialTxn"),
                             previous ? Timestamp{100, previous} : Timestamp(), number, session);
}
std::string end(std::uint32_t ordinal, int id, std::uint32_t previous, char session = 'a') {
    return transaction_entry({100, ordinal}, apply_ops({insert("shop.a", id)}, "", 2), {100, previous}, 7, session);
}

} // namespace

TEST_CASE("operations come in the order in which they took effect") {
    const auto entries =
        entries_of({plain(1, 1), part(2, 2), plain(3, 3), part(4, 4, 0, 7, 'b'), end(5, 5, 4, 'b'), end(6, 6, 2), plain(7, 7)});
    auto changes = committed_operations(entries);
    const char* const all = "1@100:1 3@100:3 4@100:5* 5@100:5* 2@100:6* 6@100:6* 7@100:7";
    CHECK(text_of(changes) == all);
    CHECK(changes.abandoned().empty());
    for (auto at = changes.begin(); at != changes.end() && at->ts < Timestamp{100, 3};) ++at; // broken off inside of transactions
    CHECK(text_of(changes) == all);
    CHECK(changes.abandoned().empty());
}

TEST_CASE("a prepared transaction counts at its commit, a whole one at once, and no-ops not at all") {
    const auto entries = entries_of({transaction_entry({100, 1}, apply_ops({insert("shop.a", 1)}, "prepare")),
                                     as_entry({100, 2}, operation("n", "", bson::Document().bytes())),
                                     transaction_entry({100, 3}, apply_ops({insert("shop.a", 3), insert("shop.a", 4)}), {}, 1, 'b'),
                                     transaction_entry({100, 4}, commit_it(), {100, 1})});
    auto changes = committed_operations(entries);
    CHECK(text_of(changes) == "3@100:3* 4@100:3* 1@100:4*");
    CHECK(changes.abandoned().empty());
}

TEST_CASE("transactions that are left out are said, and why") {
    using Why = AbandonedTransaction::Why;
    const auto entries = entries_of({
        end(1, 1, 0xFF, 'z'), // its beginning is not there
        part(2, 2, 0, 7, 'a'),
        part(3, 3, 0, 8, 'a'), // the session goes on without it
        part(4, 4, 0, 7, 'b'),
        transaction_entry({100, 5}, abort_it(), {100, 4}, 7, 'b'),
        part(6, 6, 0, 7, 'c'),
        end(7, 7, 5, 'c'), // an entry between them is lost
        plain(8, 8),
    });
    auto changes = committed_operations(entries);
    CHECK(text_of(changes) == "8@100:8");
    std::vector<std::pair<std::string, Why>> left_out;
    for (const AbandonedTransaction& each : changes.abandoned()) left_out.emplace_back(to_string(each.state.id), each.why);
    CHECK(left_out == std::vector<std::pair<std::string, Why>>{{"7a7a7a7a/7", Why::incomplete},
                                                               {"61616161/7", Why::given_up},
                                                               {"62626262/7", Why::aborted},
                                                               {"63636363/7", Why::incomplete},
                                                               {"61616161/8", Why::undecided}});
}

#if !defined __clang__ || __clang_major__ >= 16 // before, clang cannot compile libstdc++'s view of this
TEST_CASE("committed operations compose with views, and hold what was a temporary") {
    auto changes = committed_operations(entries_of({plain(1, 1), plain(2, 2), plain(3, 3)}));
    std::vector<std::int64_t> ids;
    for (const CommittedOperation& change : changes | std::views::drop(1)) ids.push_back(change.operation.id()->integer());
    CHECK(ids == std::vector<std::int64_t>{2, 3});
    auto none = committed_operations(std::vector<Entry>{});
    CHECK(none.begin() == none.end());
}
#endif

TEST_CASE("what is malformed in a transaction is an error where it stands") {
    const Position where{"f.bson", 9, 2};
    const std::string bytes = transaction_entry({100, 1}, parse_json(R"({"applyOps":[1]})"));
    const std::vector<EntryView> entries{EntryView(bson::Document(bytes), &where)};
    auto changes = committed_operations(entries);
    CHECK(message_of<FormatError>([&] { changes.begin(); }) == "f.bson: offset 9: document 2: field '0' is an int32, not a document");
}

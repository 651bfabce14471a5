// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <oplog/entry/transaction.hpp>

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

const std::string one = insert("shop.a", 1);

TransactionRole role(const std::string& bytes) { return transaction_info(view(bytes)).role; }

/// Feeds entries and says after each how many transactions are open, as in "0 1 1 0".
std::string open_counts(TransactionTracker& tracker, const std::vector<std::string>& entries) {
    std::string text;
    for (const std::string& entry : entries) {
        tracker.add(view(entry));
        text += (text.empty() ? "" : " ") + std::to_string(tracker.open().size());
    }
    return text;
}

std::string chain_part(std::uint32_t ordinal, std::uint32_t previous) {
    return transaction_entry({100, ordinal}, apply_ops({one}, "partialTxn"), previous ? Timestamp{100, previous} : Timestamp());
}
std::string chain_end(std::uint32_t ordinal, std::uint32_t previous) {
    return transaction_entry({100, ordinal}, apply_ops({one}, "", 3), {100, previous});
}
std::string prepared(std::uint32_t ordinal, std::uint32_t previous) {
    return transaction_entry({100, ordinal}, apply_ops({one}, "prepare"), previous ? Timestamp{100, previous} : Timestamp());
}

} // namespace

TEST_CASE("an entry's role in a transaction") {
    CHECK(role(transaction_entry({1, 1}, apply_ops({one}))) == TransactionRole::whole);
    CHECK(role(chain_part(1, 0)) == TransactionRole::part);
    CHECK(role(chain_part(2, 1)) == TransactionRole::part);
    CHECK(role(chain_end(3, 2)) == TransactionRole::last);
    CHECK(role(prepared(1, 0)) == TransactionRole::prepare);
    CHECK(role(prepared(3, 2)) == TransactionRole::prepare);
    CHECK(role(transaction_entry({1, 4}, commit_it(), {1, 3})) == TransactionRole::commit);
    CHECK(role(transaction_entry({1, 4}, abort_it(), {1, 3})) == TransactionRole::abort);
    CHECK(transaction_info(view(chain_part(1, 0))).has_operations());
    CHECK_FALSE(transaction_info(view(transaction_entry({1, 4}, commit_it()))).has_operations());
    CHECK(transaction_info(view(chain_end(3, 2))).commits());
    CHECK_FALSE(transaction_info(view(prepared(3, 2))).ends());
    CHECK_FALSE(transaction_info(view(transaction_entry({1, 4}, abort_it()))).commits());
    CHECK(to_string(transaction_info(view(chain_part(1, 0))).id()) == "61616161/7");
}

TEST_CASE("what looks like a transaction and is none") {
    const std::string lsid = bson::Builder().binary("id", 4, std::string(16, 'a')).finish();
    const auto with = [&](bson::Builder& builder, std::string_view op, std::string_view o) {
        builder.document("lsid", bson::Document(lsid)).string("op", op).document("o", bson::Document(o)).timestamp("ts", {1, 1});
        return builder;
    };
    const auto previous = [](bson::Builder builder) {
        return builder.begin_document("prevOpTime").timestamp("ts", {}).int64("t", -1).end().finish();
    };
    bson::Builder vectored, retryable, user, index;
    CHECK(role(previous(with(vectored.int64("txnNumber", 1).int32("multiOpType", 1), "c", apply_ops({one, one})))) ==
          TransactionRole::none);
    CHECK(role(previous(with(retryable.int64("txnNumber", 1), "i", bson::Builder().int32("_id", 1).finish()))) == TransactionRole::none);
    CHECK(role(with(user, "c", apply_ops({one})).finish()) == TransactionRole::none);
    CHECK(role(previous(with(index.int64("txnNumber", 1), "c", command("createIndexes", "a")))) == TransactionRole::none);
    // lsid and the rest inside o: an applyOps that somebody ran
    const std::string inside =
        bson::Builder().begin_array("applyOps").document("0", bson::Document(one)).end().document("lsid", bson::Document(lsid)).finish();
    CHECK(role(as_entry({1, 1}, operation("c", "admin.$cmd", inside))) == TransactionRole::none);
    CHECK(role(entry({1, 1})) == TransactionRole::none);
}

TEST_CASE("session fields of other types fail with the entry's place") {
    const Position where{"f.bson", 10, 2};
    const auto failure = [&](bson::Builder builder) {
        const std::string bytes = builder.string("op", "c").timestamp("ts", {1, 1}).finish();
        CHECK(message_of<DataError>([&] { transaction_info(view(bytes)); }).substr(0, 11) == "entry 1:1: ");
        return message_of<FormatError>([&] { transaction_info(EntryView(bson::Document(bytes), &where)); });
    };
    const std::string place = "f.bson: offset 10: document 2: ";
    const std::string lsid = bson::Builder().binary("id", 4, std::string(16, 'a')).finish();
    CHECK(failure(bson::Builder().string("lsid", "x")) == place + "field 'lsid' is a string, not a document");
    CHECK(failure(bson::Builder().string("prevOpTime", "x")) == place + "field 'prevOpTime' is a string, not a document");
    CHECK(failure(bson::Builder().document("lsid", bson::Document(lsid)).string("txnNumber", "x").int32("o", 1)) ==
          place + "field 'txnNumber' is a string, not a number");
    CHECK(failure(bson::Builder().document("lsid", bson::Document(lsid)).int64("txnNumber", 1).int32("o", 1)) ==
          place + "field 'o' is an int32, not a document");
}

TEST_CASE("what tracks transactions fails with the entry's place") {
    const Position where{"f.bson", 10, 2};
    const std::string bytes = bson::Builder().timestamp("ts", {1, 1}).int32("op", 1).finish();
    TransactionTracker tracker;
    CHECK(message_of<FormatError>([&] { tracker.add(EntryView(bson::Document(bytes), &where)); }) ==
          "f.bson: offset 10: document 2: field 'op' is an int32, not a string");
}

TEST_CASE("a retryable write's internal transaction is one, of a session of its own") {
    const std::string lsid = bson::Builder()
                                 .binary("id", 4, std::string(16, 'a'))
                                 .binary("uid", 0, std::string(32, 'u'))
                                 .int64("txnNumber", 5)
                                 .binary("txnUUID", 4, std::string(16, 't'))
                                 .finish();
    const std::string bytes = bson::Builder()
                                  .document("lsid", bson::Document(lsid))
                                  .int64("txnNumber", 0)
                                  .string("op", "c")
                                  .document("o", of_bytes(apply_ops({one}, "partialTxn")))
                                  .timestamp("ts", {100, 1})
                                  .begin_document("prevOpTime")
                                  .timestamp("ts", {})
                                  .int64("t", -1)
                                  .end()
                                  .finish();
    CHECK(role(bytes) == TransactionRole::part);
    TransactionTracker tracker;
    CHECK(open_counts(tracker, {bytes, transaction_entry({100, 2}, apply_ops({one}), {}, 6)}) == "1 1");
}

TEST_CASE("chained, prepared and aborted transactions are open until they are decided") {
    TransactionTracker chained;
    CHECK(open_counts(chained, {entry({100, 1}), chain_part(2, 0), entry({100, 3}), chain_part(4, 2), chain_end(5, 4), entry({100, 6})}) ==
          "0 1 1 1 0 0");
    CHECK(chained.clean_cut() == Timestamp{100, 6});
    CHECK(chained.began_before().empty());

    TransactionTracker decided;
    CHECK(open_counts(decided, {chain_part(1, 0), prepared(2, 1), entry({100, 3}), transaction_entry({100, 4}, commit_it(), {100, 2})}) ==
          "1 1 1 0");
    CHECK(open_counts(decided, {transaction_entry({100, 5}, apply_ops({one}, "prepare"), {}, 8),
                                transaction_entry({100, 6}, abort_it(), {100, 5}, 8)}) == "1 0");
    CHECK(decided.began_before().empty());

    TransactionTracker whole;
    const auto step = whole.add(view(transaction_entry({100, 1}, apply_ops({one, one}))));
    REQUIRE(step.closed);
    CHECK(step.closed->entries == 1);
    CHECK(whole.open().empty());
}

TEST_CASE("what a decided transaction was is told at its end") {
    TransactionTracker tracker;
    tracker.add(view(chain_part(1, 0)));
    CHECK(tracker.oldest_open() == Timestamp{100, 1});
    CHECK_FALSE(tracker.clean_cut());
    tracker.add(view(prepared(2, 1)));
    const auto step = tracker.add(view(transaction_entry({100, 9}, commit_it(), {100, 2})));
    REQUIRE(step.closed);
    CHECK(step.closed->first == Timestamp{100, 1});
    CHECK(step.closed->last == Timestamp{100, 9});
    CHECK(step.closed->entries == 3);
    CHECK(step.closed->bytes ==
          chain_part(1, 0).size() + prepared(2, 1).size() + transaction_entry({100, 9}, commit_it(), {100, 2}).size());
    CHECK(step.closed->prepared);
    CHECK_FALSE(step.closed->began_before);
    CHECK_FALSE(step.closed->broken);
}

TEST_CASE("what was open before the first entry is known by its links") {
    TransactionTracker chained;
    CHECK(open_counts(chained, {chain_part(5, 4), chain_end(6, 5)}) == "1 0");
    REQUIRE(chained.began_before().size() == 1);
    CHECK(chained.began_before()[0].first == Timestamp{100, 5});
    CHECK(chained.began_before()[0].began_before);

    TransactionTracker tail;
    CHECK(open_counts(tail, {chain_end(6, 5)}) == "0");
    CHECK(tail.began_before().size() == 1);

    TransactionTracker decided;
    CHECK(open_counts(decided, {entry({100, 1}), transaction_entry({100, 9}, commit_it(), {100, 0})}) == "0 0");
    REQUIRE(decided.began_before().size() == 1);
    CHECK(decided.began_before()[0].prepared);
}

TEST_CASE("a missing link and a chain that begins twice are noticed") {
    TransactionTracker missing;
    open_counts(missing, {chain_part(1, 0), chain_part(3, 2)});
    CHECK(missing.open().begin()->second.broken);
    TransactionTracker again;
    open_counts(again, {chain_part(1, 0), chain_part(2, 0)});
    CHECK(again.open().begin()->second.broken);
}

TEST_CASE("a session's new transaction ends its undecided old one, but no prepared one") {
    TransactionTracker tracker;
    CHECK(open_counts(tracker, {chain_part(1, 0), transaction_entry({100, 2}, apply_ops({one}, "partialTxn"), {}, 8)}) == "1 1");
    CHECK(tracker.open().begin()->first.number == 8);
    TransactionTracker other;
    CHECK(open_counts(other, {chain_part(1, 0), transaction_entry({100, 2}, apply_ops({one}, "partialTxn"), {}, 8, 'b')}) == "1 2");
    TransactionTracker kept;
    CHECK(open_counts(kept, {prepared(1, 0), transaction_entry({100, 2}, apply_ops({one}, "partialTxn"), {}, 8)}) == "1 2");
}

TEST_CASE("the cut comes before all that is open together") {
    // a: 2..5, b: 3..4 within it, c: from 6 on
    const auto part = [](std::uint32_t ordinal, char session, std::uint32_t previous = 0) {
        return transaction_entry({100, ordinal}, apply_ops({one}, "partialTxn"), previous ? Timestamp{100, previous} : Timestamp(), 7,
                                 session);
    };
    const auto end = [](std::uint32_t ordinal, char session, std::uint32_t previous) {
        return transaction_entry({100, ordinal}, apply_ops({one}), {100, previous}, 7, session);
    };
    const std::vector<std::string> entries{entry({100, 1}), part(2, 'a'), part(3, 'b'), end(4, 'b', 3), end(5, 'a', 2), part(6, 'c')};
    const std::uint32_t cuts[] = {1, 1, 1, 1, 5, 5};
    TransactionTracker tracker;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        tracker.add(view(entries[i]));
        CHECK(tracker.clean_cut() == Timestamp{100, cuts[i]});
    }
    CHECK(tracker.oldest_open() == Timestamp{100, 6});
}

TEST_CASE("a real chain that was cut inside a transaction") {
    const auto tracked = [](const char* name) {
        TransactionTracker tracker;
        for (const EntryView entry : Reader(std::string(OPLOG_TEST_DATA) + "/txn_cut/" + name)) tracker.add(entry);
        return tracker;
    };
    const auto first = tracked("inc1"), second = tracked("inc2");
    REQUIRE(first.open().size() == 1);
    CHECK(first.began_before().empty());
    CHECK(second.open().empty());
    REQUIRE(second.began_before().size() == 1);
    CHECK(second.began_before()[0].id == first.open().begin()->first);
    CHECK(first.clean_cut() < first.oldest_open());
}

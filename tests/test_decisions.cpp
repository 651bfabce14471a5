// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <oplog/bson/json_parser.hpp>
#include <oplog/restore/decisions.hpp>

using namespace oplog;

namespace {

constexpr const char* session = R"({"id":{"$binary":{"base64":"AAECAwQFBgcICQoLDA0ODw==","subType":"04"}}})";

TransactionId transaction(std::int64_t number) { return {parse_json(session), number}; }
std::string in_session(std::int64_t number, const std::string& rest) {
    return parse_json(std::string(R"({"lsid":)") + session + R"(,"txnNumber":{"$numberLong":")" + std::to_string(number) +
                      R"("},"op":"c","ns":"admin.$cmd",)" + rest + "}");
}
std::string commit(std::int64_t number, int ts, int commit_ts) {
    return in_session(number, R"("o":{"commitTransaction":1,"commitTimestamp":{"$timestamp":{"t":100,"i":)" + std::to_string(commit_ts) +
                                  R"(}}},"ts":{"$timestamp":{"t":100,"i":)" + std::to_string(ts) +
                                  R"(}},"prevOpTime":{"ts":{"$timestamp":{"t":100,"i":1}}})");
}
std::string abort_of(std::int64_t number) {
    return in_session(
        number, R"("o":{"abortTransaction":1},"ts":{"$timestamp":{"t":100,"i":9}},"prevOpTime":{"ts":{"$timestamp":{"t":100,"i":1}}})");
}
std::string coordinator(std::int64_t number, const std::string& decision) {
    return parse_json(std::string(R"({"op":"u","ns":"config.transaction_coordinators","o":{"_id":{"lsid":)") + session +
                      R"(,"txnNumber":{"$numberLong":")" + std::to_string(number) + R"("}},"participants":["a","b"])" + decision +
                      R"(},"o2":{},"ts":{"$timestamp":{"t":100,"i":8}}})");
}
const std::string committed_at_5 = R"(,"decision":{"decision":"commit","commitTimestamp":{"$timestamp":{"t":100,"i":5}}})";

struct Known : Decisions {
    Known() : Decisions({transaction(1), transaction(2)}) {}
    Known& see(const std::string& bytes) {
        add(EntryView(bson::Document(bytes)));
        return *this;
    }
};

} // namespace

TEST_CASE("how a transaction ended is told by commit and abort entries, and by its coordinator") {
    using End = Decisions::End;
    CHECK(Known().of(transaction(1)).end == End::unknown);
    CHECK(Known().see(commit(1, 7, 5)).of(transaction(1)).end == End::committed);
    CHECK(Known().see(commit(1, 7, 5)).of(transaction(1)).commit_timestamp == Timestamp{100, 5});
    CHECK(Known().see(commit(1, 7, 5)).of(transaction(2)).end == End::unknown);
    CHECK(Known().see(commit(3, 7, 5)).of(transaction(3)).end == End::unknown); // it was not asked for
    CHECK(Known().see(abort_of(2)).of(transaction(2)).end == End::aborted);
    CHECK(Known().see(coordinator(1, committed_at_5)).of(transaction(1)).commit_timestamp == Timestamp{100, 5});
    CHECK(Known().see(coordinator(1, R"(,"decision":{"decision":"abort","abortStatus":{}})")).of(transaction(1)).end == End::aborted);
    CHECK(Known().see(coordinator(1, "")).of(transaction(1)).end == End::unknown);
}

TEST_CASE("what two members say is put together, and must not contradict") {
    Known one, other;
    one.see(commit(1, 7, 5));
    other.see(abort_of(2)).see(coordinator(1, committed_at_5));
    one.add(other);
    CHECK(one.of(transaction(1)).end == Decisions::End::committed);
    CHECK(one.of(transaction(2)).end == Decisions::End::aborted);
    CHECK_THROWS_AS(Known().see(commit(1, 7, 5)).see(commit(1, 8, 6)), DataError);
    CHECK_THROWS_AS(Known().see(commit(1, 7, 6)).see(coordinator(1, committed_at_5)), DataError);
    CHECK_THROWS_AS((void)Known().see(commit(1, 7, 5)).see(abort_of(1)).of(transaction(1)), DataError);
    CHECK_THROWS_AS(Known().see(coordinator(1, R"(,"decision":{"decision":"perhaps"})")), DataError);
}

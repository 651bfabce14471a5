// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Operations, commands and transactions made by hand, and documents as text.

#include "support.hpp"

#include <oplog/bson/builder.hpp>
#include <oplog/bson/json.hpp>
#include <oplog/entry/operation.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace oplog::test {

inline std::string json(std::string_view bytes) {
    JsonBuffer buffer(JsonMode::relaxed);
    buffer.append(bson::Document(bytes));
    return std::string(buffer.text());
}

/// {"<first>": "<value>", …more}
inline std::string command(std::string_view first, std::string_view value, std::string_view more = bson::Document().bytes()) {
    bson::Builder builder;
    builder.string(first, value);
    for (const bson::Element& element : bson::Document(more)) builder.append(element);
    return builder.finish();
}

/// An operation without ts, as it stands in an applyOps.
inline std::string operation(std::string_view op, std::string_view ns, std::string_view o, std::string_view o2 = {}) {
    bson::Builder builder;
    builder.string("op", op).string("ns", ns).document("o", bson::Document(o));
    if (!o2.empty()) builder.document("o2", bson::Document(o2));
    return builder.finish();
}

inline std::string insert(std::string_view ns, int id) { return operation("i", ns, bson::Builder().int32("_id", id).finish()); }

/// Makes an entry of an operation.
inline std::string as_entry(Timestamp ts, std::string_view operation) {
    bson::Builder builder;
    for (const bson::Element& element : bson::Document(operation)) builder.append(element);
    return builder.timestamp("ts", ts).finish();
}

/// The `o` of an applyOps.
inline std::string apply_ops(const std::vector<std::string>& operations, std::string_view flag = {}, int count = 0) {
    bson::Builder builder;
    builder.begin_array("applyOps");
    for (std::size_t i = 0; i < operations.size(); ++i) builder.document(std::to_string(i), bson::Document(operations[i]));
    builder.end();
    if (!flag.empty()) builder.boolean(flag, true);
    if (count > 0) builder.int64("count", count);
    return builder.finish();
}

/// An entry of a transaction. `o` is an applyOps, a commit or an abort, and `previous` is the entry before it.
inline std::string transaction_entry(Timestamp ts, std::string_view o, Timestamp previous = {}, int number = 7, char session = 'a') {
    const std::string lsid = bson::Builder().binary("id", 4, std::string(16, session)).finish();
    bson::Builder builder;
    builder.document("lsid", bson::Document(lsid)).int64("txnNumber", number).string("op", "c").string("ns", "admin.$cmd");
    builder.document("o", bson::Document(o)).timestamp("ts", ts);
    builder.begin_document("prevOpTime").timestamp("ts", previous).int64("t", previous == Timestamp() ? -1 : 1).end();
    return builder.finish();
}

inline std::string commit_it() { return bson::Builder().int32("commitTransaction", 1).timestamp("commitTimestamp", {100, 1}).finish(); }
inline std::string abort_it() { return bson::Builder().int32("abortTransaction", 1).finish(); }

inline EntryView view(const std::string& bytes) { return EntryView(bson::Document(bytes)); }

/// Every oplog in the test data.
inline std::vector<std::string> test_oplogs() {
    std::vector<std::string> paths;
    for (const auto& file : std::filesystem::recursive_directory_iterator(OPLOG_TEST_DATA))
        if (const std::string name = file.path().filename().string(); name == "oplog.bson" || name == "oplog.rs.bson")
            paths.push_back(file.path().string());
    return paths;
}

} // namespace oplog::test

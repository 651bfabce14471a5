// SPDX-License-Identifier: Apache-2.0
#include "lib/spool.hpp"

#include <oplog/entry/transaction.hpp>
#include <oplog/stream/slice.hpp>

using namespace oplog;
using namespace oplog::tools;

namespace {

/// What to do about a transaction that the end of the slice would cut.
enum class AtCut { keep, extend, trim, fail };

AtCut parse_at_cut(const std::string& text) {
    if (text == "keep") return AtCut::keep;
    if (text == "extend") return AtCut::extend;
    if (text == "trim") return AtCut::trim;
    if (text == "fail") return AtCut::fail;
    throw ArgumentError("--txn " + text + ": one of keep, extend, trim, fail");
}

std::string describe(const TransactionState& transaction) {
    return fmt::format("transaction {}{}, {} at {}", to_string(transaction.id), transaction.prepared ? " (prepared)" : "",
                       transaction.began_before ? "begun before the input and first seen" : "begun", to_string(transaction.first));
}

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-slice", "[BOUNDS] [FILE...]",
              "The entries within bounds, bytes untouched. Several FILEs are read one after the other, as if they were one.\n"
              "A transaction may have several entries; --txn says what to do about one that the slice's end would cut:\n"
              "keep the cut (and warn), extend the slice to where none is open, trim it to where none is open, or fail.\n"
              "trim takes two passes, so what comes from a pipe goes through a temporary file.",
              "  oplog-slice --after 1610422195:1 --to 2021-01-12T04:00:00Z oplog.bson -o slice.bson\n");
    tool.add_bounds();
    tool.add_options()("txn", "keep, extend, trim or fail", takes("keep"), "WHAT");
    tool.add_output();
    tool.streams_bson();
    return tool.run(argc, argv, [&] {
        Output out = tool.open_output(); // opened first, so that a pipe learns of every failure
        Bounds bounds = tool.bounds();
        const AtCut at_cut = parse_at_cut(tool.value("txn"));
        TwoPasses inputs(tool.inputs());
        if (at_cut == AtCut::trim) {
            TransactionTracker tracker;
            OrderCheck check;
            inputs.first([&](const EntryView& entry) {
                check(entry);
                if (!bounds.too_late(entry.ts())) tracker.add(entry);
            });
            if (!tracker.open().empty()) {
                const auto cut = tracker.clean_cut();
                for (const auto& [id, transaction] : tracker.open()) tool.warn("left out: " + describe(transaction));
                tool.warn(cut ? "the slice ends at " + to_string(*cut) : "nothing is left: no entry lies between transactions");
                (cut ? bounds.to : bounds.before) = cut.value_or(Timestamp::min());
            }
        }

        tool.show_progress();
        TransactionTracker tracker;
        TransactionTracker::Open at_start;
        std::optional<Timestamp> first, last;
        bool past = false; // past the upper bound
        OrderCheck check;
        inputs.second([&](const EntryView& entry) {
            const Timestamp ts = entry.ts();
            check(entry);
            past = past || (bounds.too_late(ts) && (at_cut != AtCut::extend || tracker.open().empty()));
            if (past) return;
            if (!first && !bounds.too_early(ts)) {
                first = ts;
                at_start = tracker.open();
            }
            tracker.add(entry);
            if (!first) return;
            out.write(entry);
            last = ts;
        });

        for (const auto& [id, transaction] : at_start) tool.warn("open where the slice begins: " + describe(transaction));
        for (const TransactionState& transaction : tracker.began_before())
            if (first && transaction.first >= *first) tool.warn("open where the slice begins: " + describe(transaction));
        if (last && bounds.too_late(*last)) tool.note("extended to " + to_string(*last));
        if (first)
            for (const auto& [id, transaction] : tracker.open()) {
                if (at_cut == AtCut::fail) throw DataError(Fault::incomplete, "cut where the slice ends: " + describe(transaction));
                tool.warn("cut where the slice ends: " + describe(transaction));
            }
        tool.finish(out);
    });
}

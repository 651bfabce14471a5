// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "entry.hpp"
#include "range.hpp"
#include "stage.hpp"
#include "transaction.hpp"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace oplog {

/// Reads a chain's entries once, in order, and finds out what staging them needs to know and what would go
/// wrong. Errors in the data itself (framing, continuity, order) are thrown by whoever yields the entries; all else
/// goes to `report`. Memory: the open transactions and the catalog.
class Examiner {
  public:
    /// `dump_start` is the first entry of the full dump's oplog: what has committed by then is in the dump.
    /// Only entries up to the upper one of `bounds` count.
    Examiner(Stager::Start start, const Bounds& bounds, std::optional<Timestamp> dump_start, Stager::Report report)
        : start_(std::move(start)), bounds_(bounds), dump_start_(dump_start), report_(std::move(report)), stager_(start_, report_) {}

    void add(const EntryView& entry) {
        if (bounds_.too_late(entry.ts())) return Stager::look_ahead(entry, started_later_, start_.unfinished);
        range_.add(entry);
        const TransactionTracker::Step step = tracker_.add(entry);
        if (step.closed && step.info.commits() && (step.closed->began_before || step.closed->broken)) incomplete(entry, *step.closed);
        stager_.add(entry, [](std::string_view) {});
    }

    /// After the last entry: reports transactions that are not committed, to be left out.
    void finish() {
        for (const auto& [id, state] : tracker_.open()) {
            start_.left_out.insert(id);
            report_({Finding::Severity::warning, std::nullopt, state.first,
                     "transaction " + to_string(id) + " is not committed by " + to_string(range_.last) + " and is left out whole"});
        }
        stager_.finish([](std::string_view) {});
    }

    /// Of the entries that count.
    const Range& range() const noexcept { return range_; }
    /// For staging the same entries: what was given, and what finish() found to leave out.
    const Stager::Start& start() const noexcept { return start_; }

  private:
    void incomplete(const EntryView& entry, const TransactionState& transaction) {
        const auto where = entry.where() ? std::optional(*entry.where()) : std::nullopt;
        const std::string commits = "transaction " + to_string(transaction.id) + " commits here, ";
        if (dump_start_ && entry.ts() <= *dump_start_) {
            start_.left_out.insert(transaction.id);
            report_({Finding::Severity::note, where, entry.ts(), commits + "before the full dump, which has what it did"});
        } else {
            report_({Finding::Severity::error, where, entry.ts(),
                     commits + (transaction.began_before ? "and began before these slices" : "and entries of it are missing")});
        }
    }

    Stager::Start start_;
    Bounds bounds_;
    std::optional<Timestamp> dump_start_;
    Stager::Report report_;
    Stager stager_;
    TransactionTracker tracker_;
    Range range_;
    std::set<std::pair<std::string, std::string>> started_later_;
};

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/entry.hpp>
#include <oplog/entry/transaction.hpp>
#include <oplog/restore/stage.hpp>
#include <oplog/stream/range.hpp>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// Reads the entries of a chain once, in order, and finds out what staging them needs to know and what would go wrong.
/// Faults in the data itself (framing, continuity, order) are thrown by the range that yields the entries. Everything
/// else goes to `report`. Takes memory for the open transactions and the catalog.
class Examiner {
  public:
    /// Only entries up to the upper limit in `bounds` count. Pass the entries beyond it unchanged; `renaming` is what
    /// was applied to the others.
    Examiner(Stager::Start start, const Bounds& bounds, Stager::Report report, Renaming renaming = {})
        : start_(std::move(start)), bounds_(bounds), report_(std::move(report)), renaming_(std::move(renaming)), stager_(start_, report_) {}

    /// Takes the next entry. Throws FormatError for malformed operations.
    void add(const EntryView& entry) {
        if (bounds_.too_late(entry.ts())) return Stager::look_ahead(entry, renaming_, started_later_, start_.unfinished);
        range_.add(entry);
        const TransactionTracker::Step step = tracker_.add(entry);
        if (step.info && !step.closed && entry.where()) began_.try_emplace(step.info.id(), *entry.where());
        if (step.closed && step.info.commits() && (step.closed->began_before || step.closed->broken)) incomplete(entry, *step.closed);
        if (step.closed) began_.erase(step.closed->id);
        stager_.add(entry, [](std::string_view) {});
    }

    /// Call this after the last entry. Reports transactions that are not committed; they will be left out.
    void finish() {
        for (const auto& [id, state] : tracker_.open()) {
            start_.left_out.insert(id);
            const auto began = began_.find(id);
            report_({Finding::Severity::warning, began == began_.end() ? std::nullopt : std::optional(began->second), state.first,
                     "transaction " + to_string(id) + " is not committed by " + to_string(range_.last) + " and is left out whole" +
                         std::string(state.prepared ? prepared_on_shard : "")});
        }
        start_.removed = std::move(stager_.removed());
        start_.is_checked = true;
        stager_.leave_out(start_.unfinished);
        stager_.finish([](std::string_view) {});
    }

    /// The range of the entries that count.
    const Range& range() const noexcept { return range_; }
    /// The initial state for staging the same entries: the given one, and what finish() found to leave out.
    const Stager::Start& start() const noexcept { return start_; }

  private:
    void incomplete(const EntryView& entry, const TransactionState& transaction) {
        const auto where = entry.where() ? std::optional(*entry.where()) : std::nullopt;
        const std::string commits = "transaction " + to_string(transaction.id) + " commits here, ";
        if (start_.dump_start && entry.ts() <= *start_.dump_start) { // the dump has what had committed by then
            start_.left_out.insert(transaction.id);
            report_({Finding::Severity::note, where, entry.ts(), commits + "before the full dump, which has what it did"});
        } else {
            report_({Finding::Severity::error, where, entry.ts(),
                     commits + (transaction.began_before ? "and began before these slices" : "and entries of it are missing")});
        }
    }

    Stager::Start start_;
    Bounds bounds_;
    Stager::Report report_;
    Renaming renaming_;
    Stager stager_;
    TransactionTracker tracker_;
    std::map<TransactionId, Position> began_; ///< The first entry seen of each open transaction.
    Range range_;
    std::set<std::pair<std::string, std::string>> started_later_;
};

} // namespace oplog

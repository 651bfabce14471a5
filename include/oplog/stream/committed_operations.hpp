// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/operation.hpp>
#include <oplog/entry/transaction.hpp>
#include <oplog/stream/slice.hpp>

#include <cstddef>
#include <iterator>
#include <map>
#include <optional>
#include <ranges>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// An operation that took effect: an entry by itself, or one operation of a transaction that has committed. A view, valid until the
/// iterator moves on.
struct CommittedOperation {
    Operation operation;
    Timestamp ts;                             ///< when it took effect: of the entry, or of the one that commits its transaction
    std::optional<TransactionId> transaction; ///< which it belongs to; none for an entry by itself
};

/// A transaction whose operations are not passed on.
struct AbandonedTransaction {
    enum class Why {
        aborted,    ///< an entry aborts it
        given_up,   ///< its session began a newer transaction without deciding this one
        undecided,  ///< the entries end before it is decided
        incomplete, ///< it commits, and entries of it are missing: they are older than the first one, or lost
    };
    TransactionState state;
    Why why;
};

/// The operations of a range of entries in the order in which they took effect, as an input range: see committed_operations().
/// Memory: the entries of the open transactions.
template <EntryRange In>
class CommittedOperations {
  public:
    explicit CommittedOperations(In&& entries) : entries_(std::forward<In>(entries)) {}

    class iterator {
      public:
        using value_type = CommittedOperation;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;

        iterator() = default; ///< an end
        explicit iterator(CommittedOperations& view) : view_(&view), at_(std::ranges::begin(view.entries_.get())) { find(); }
        const CommittedOperation& operator*() const noexcept { return view_->ready_[next_]; }
        const CommittedOperation* operator->() const noexcept { return &view_->ready_[next_]; }
        iterator& operator++() {
            if (++next_ == view_->ready_.size()) {
                ++at_;
                find();
            }
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& it, std::default_sentinel_t) { return !it.view_; }

      private:
        void find() {
            for (next_ = 0; at_ != std::ranges::end(view_->entries_.get()); ++at_)
                if (view_->take(*at_)) return;
            view_->end_of_entries();
            view_ = nullptr;
        }

        CommittedOperations* view_ = nullptr;
        std::ranges::iterator_t<In> at_{};
        std::size_t next_ = 0; ///< in ready_
    };

    /// The entries are read as it goes: a second time if they can be, else it throws, as a Reader does.
    iterator begin() { return iterator(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

    /// The transactions that have been left out so far; after the last operation also those that are undecided.
    const std::vector<AbandonedTransaction>& abandoned() const noexcept { return abandoned_; }

  private:
    /// Takes in the next entry, and says whether operations are ready.
    bool take(const EntryView& entry) {
        ready_.clear();
        held_.clear();
        const TransactionTracker::Step step = tracker_.add(entry);
        for (const TransactionState& state : step.given_up) abandon(state, AbandonedTransaction::Why::given_up);
        if (!step.info) {
            add(entry, entry.ts(), std::nullopt);
            return !ready_.empty();
        }
        const TransactionId id = step.info.id();
        if (!step.closed) {
            waiting_[id].emplace_back(entry);
            return false;
        }
        if (auto waited = waiting_.extract(id); !waited.empty()) held_ = std::move(waited.mapped());
        if (!step.info.commits()) {
            abandon(*step.closed, AbandonedTransaction::Why::aborted);
        } else if (step.closed->began_before || step.closed->broken) {
            abandon(*step.closed, AbandonedTransaction::Why::incomplete);
        } else {
            for (const Entry& earlier : held_) add(earlier.view(), entry.ts(), id);
            if (step.info.has_operations()) add(entry, entry.ts(), id);
        }
        return !ready_.empty();
    }

    void add(const EntryView& entry, Timestamp ts, const std::optional<TransactionId>& id) {
        for_each_operation(entry, [&](const Operation& operation) {
            if (operation.op != "n") ready_.push_back({operation, ts, id});
        });
    }

    void abandon(const TransactionState& state, AbandonedTransaction::Why why) {
        waiting_.erase(state.id);
        abandoned_.push_back({state, why});
    }

    void end_of_entries() {
        for (const auto& [id, state] : tracker_.open()) abandon(state, AbandonedTransaction::Why::undecided);
    }

    detail::Held<In> entries_;
    TransactionTracker tracker_;
    std::map<TransactionId, std::vector<Entry>> waiting_; ///< of the open ones
    std::vector<Entry> held_;                             ///< what ready_ points into, but for the current entry
    std::vector<CommittedOperation> ready_;
    std::vector<AbandonedTransaction> abandoned_;
};

/// Change data capture: every operation of `entries` that took effect, whole transactions alone, at the moment of their commit and in the
/// order of commits. No-ops, and what begins, prepares and decides transactions, are not passed on.
///     auto changes = oplog::committed_operations(oplog::Reader{"inc1"});
///     for (const oplog::CommittedOperation& change : changes) std::cout << change.operation.ns << '\n';
///     for (const oplog::AbandonedTransaction& left_out : changes.abandoned()) ...
/// Holds an rvalue, refers to an lvalue. Throws FormatError for what is malformed.
template <EntryRange In>
CommittedOperations<In> committed_operations(In&& entries) {
    return CommittedOperations<In>(std::forward<In>(entries));
}

} // namespace oplog

template <class In>
inline constexpr bool std::ranges::enable_view<oplog::CommittedOperations<In>> = true;

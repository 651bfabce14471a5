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

/// An operation that took effect: an entry by itself, or one operation of a committed transaction. A view, valid until
/// the iterator moves on.
struct CommittedOperation {
    Operation operation;
    /// The time at which it took effect: the ts of the entry, or of the entry that commits its transaction.
    Timestamp ts;
    std::optional<TransactionId> transaction; ///< The transaction that it belongs to; none for an entry by itself.
};

/// A transaction whose operations are not passed on.
struct AbandonedTransaction {
    enum class Why {
        aborted,    ///< An entry aborts it.
        given_up,   ///< Its session began a newer transaction without deciding this one.
        undecided,  ///< The entries end before it is decided.
        incomplete, ///< It commits, but entries of it are missing: they are older than the first one, or lost.
    };
    TransactionState state;
    Why why;
};

/// The operations of a range of entries in the order in which they took effect, as an input range: see
/// committed_operations(). Takes memory for the entries of the open transactions.
template <EntryRange In>
class CommittedOperations {
  public:
    explicit CommittedOperations(In&& entries) : entries_(std::forward<In>(entries)) {}

    class iterator {
      public:
        using value_type = CommittedOperation;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;

        iterator() = default; ///< The end.
        explicit iterator(CommittedOperations& view) : view_(&view), at_(std::ranges::begin(view.entries_.get())) { skip_unready(); }
        const CommittedOperation& operator*() const noexcept { return view_->ready_[next_]; }
        const CommittedOperation* operator->() const noexcept { return &view_->ready_[next_]; }
        iterator& operator++() {
            if (++next_ == view_->ready_.size()) {
                ++at_;
                skip_unready();
            }
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& it, std::default_sentinel_t) { return !it.view_; }

      private:
        void skip_unready() {
            for (next_ = 0; at_ != std::ranges::end(view_->entries_.get()); ++at_)
                if (view_->take(*at_)) return;
            view_->end_of_entries();
            view_ = nullptr;
        }

        CommittedOperations* view_ = nullptr;
        std::ranges::iterator_t<In> at_{};
        std::size_t next_ = 0; ///< The index in ready_.
    };

    /// Reads the entries as it goes. A second call reads them again if the input allows that, else it throws, as a
    /// Reader does.
    iterator begin() {
        tracker_ = {};
        waiting_.clear();
        abandoned_.clear();
        return iterator(*this);
    }
    std::default_sentinel_t end() const noexcept { return {}; }

    /// The transactions that have been left out so far. After the last operation it includes the undecided ones.
    const std::vector<AbandonedTransaction>& abandoned() const noexcept { return abandoned_; }

  private:
    /// Takes the next entry, and returns whether operations are ready.
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
            if (!operation.is_no_op()) ready_.push_back({operation, ts, id});
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
    std::map<TransactionId, std::vector<Entry>> waiting_; ///< The entries of the open transactions.
    std::vector<Entry> held_;                             ///< The entries that ready_ points into, except for the current one.
    std::vector<CommittedOperation> ready_;
    std::vector<AbandonedTransaction> abandoned_;
};

/// Yields changes for change data capture: every operation of `entries` that took effect. The operations of a
/// transaction come together, when it commits, and transactions come in the order of their commits. No-ops are not
/// passed on, and neither are the entries that begin, prepare and decide transactions.
///     auto changes = oplog::committed_operations(oplog::Reader{"inc1"});
///     for (const oplog::CommittedOperation& change : changes) std::cout << change.operation.ns << '\n';
///     for (const oplog::AbandonedTransaction& left_out : changes.abandoned()) ...
/// The range holds `entries` if it is an rvalue, and refers to it if it is an lvalue. Throws FormatError for a
/// malformed entry.
template <EntryRange In>
CommittedOperations<In> committed_operations(In&& entries) {
    return CommittedOperations<In>(std::forward<In>(entries));
}

} // namespace oplog

template <class In>
inline constexpr bool std::ranges::enable_view<oplog::CommittedOperations<In>> = true;

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/entry.hpp>
#include <oplog/stream/slice.hpp>

#include <algorithm>
#include <compare>
#include <concepts>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <queue>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// Two slices that do not continue each other. what() names both edges.
class ContinuityError : public DataError {
  public:
    /// The two ways in which slices may not continue each other.
    enum class Kind {
        gap,       ///< Entries between them are missing.
        divergence ///< They tell different histories.
    };
    static constexpr std::string_view gap_hint =
        "increments queried with $gt share no entry and look like this: query with $gte of the last entry, as oplog-range --query does";

    /// `entry` is the first entry at which the second slice does not continue the first.
    ContinuityError(Kind kind, const EntryView& entry, const std::string& reason)
        : DataError(kind == Kind::gap ? Fault::gap : Fault::divergence,
                    (entry.where() ? to_string(*entry.where()) : "entry " + to_string(entry.ts())) + ": " + reason,
                    kind == Kind::gap ? gap_hint : std::string_view()),
          kind_(kind), where_(entry.where() ? std::optional(*entry.where()) : std::nullopt), ts_(entry.ts()), reason_(reason) {}

    /// Whether this is a gap or a divergence.
    Kind kind() const noexcept { return kind_; }
    /// Where the entry was read; none if unknown.
    const std::optional<Position>& where() const noexcept { return where_; }
    /// The timestamp of the entry.
    Timestamp ts() const noexcept { return ts_; }
    /// The message without the place.
    const std::string& reason() const noexcept { return reason_; }

  private:
    Kind kind_;
    std::optional<Position> where_;
    Timestamp ts_;
    std::string reason_;
};

/// What a merge requires of its slices.
enum class Continuity {
    any,  ///< Only that entries with the same ts have the same bytes.
    gaps, ///< Over their common span all slices agree. Gaps are allowed, and recorded.
    chain ///< Over their common span all slices agree, and each shares an entry with those before it.
};

/// Merges slices, in any order and overlap, to one input range of strictly rising entries. An entry that several slices
/// have is passed on once. Throws ContinuityError where slices disagree (same ts, other bytes) and, for
/// Continuity::chain, where they do not continue each other. Throws DataError for a slice that is out of order. The
/// merge owns the slices and frees each at its end. Slices that can pass over entries (SiftedReader) may do so while they
/// alone have entries, and those that can tell their first timestamp (LateReader) are first read from when it is their turn.
template <EntryRange Slice>
class Merge {
  public:
    /// Takes over the slices. Throws what reading their first entries throws.
    explicit Merge(std::vector<Slice> slices, Continuity continuity = Continuity::any) : continuity_(continuity) {
        for (Slice& slice : slices) {
            auto head = std::make_unique<Head>(std::move(slice), heads_.size());
            const std::optional<Timestamp> first = head->first();
            if (!first) continue;
            waiting_.push({*first, head->index});
            heads_.push_back(std::move(head));
        }
    }

    /// Moves on to the next entry. Returns false at the end.
    bool next() {
        for (Head* head : at_current_) head->advance();
        // Most steps end here: one slice alone has the entry, and its next entry still comes before all others.
        if (at_current_.size() == 1 && at_current_[0]->entry && at_current_[0]->entry->ts() < runner_up_) return true;
        for (Head* head : at_current_) line_up(*head);
        at_current_.clear();
        if (waiting_.empty()) return false;
        choose();
        return true;
    }
    /// The entry that next() moved to. A view, valid until the merge moves on.
    const EntryView& current() const noexcept { return *at_current_[0]->entry; }
    /// With Continuity::gaps: the errors that Continuity::chain would have thrown for the gaps so far.
    const std::vector<ContinuityError>& gaps() const noexcept { return gaps_; }

    using iterator = detail::SourceIterator<Merge, Entry>;
    /// Throws ArgumentError when called a second time, because an entry would be lost.
    iterator begin() {
        if (std::exchange(begun_, true)) throw ArgumentError("the entries of a merge are read once: make another one to read them again");
        return iterator(*this);
    }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    struct Head {
        Head(Slice from, std::size_t place) : slice(std::move(from)), index(place) {}

        /// The timestamp of its first entry; none if it is empty.
        std::optional<Timestamp> first() {
            if constexpr (requires {
                              { slice.first() } -> std::same_as<std::optional<Timestamp>>;
                          }) {
                return slice.first();
            } else {
                begin();
                return entry ? std::optional(entry->ts()) : std::nullopt;
            }
        }
        void begin() {
            at.emplace(std::ranges::begin(slice));
            read();
        }

        void advance() {
            last = entry->ts();
            ++*at;
            read();
        }
        void read() {
            entry.reset();
            if (*at == std::ranges::end(slice)) return;
            entry.emplace(**at);
            if (entry->where()) file = &entry->where()->file;
            check_order(*entry);
        }

        Slice slice;
        std::size_t index;                                ///< In heads_.
        std::optional<std::ranges::iterator_t<Slice>> at; ///< None before its turn.
        std::optional<EntryView> entry;                   ///< None before its turn, and at the end.
        Timestamp last;
        const std::string* file = nullptr;
        OrderCheck check_order;
        bool started = false; ///< Whether one of its entries has been the current one.
    };
    struct End {
        Timestamp ts;
        std::string file;
    };
    /// The next entry of a slice. Of equal ones the slice that was given first comes first.
    struct Next {
        Timestamp ts;
        std::size_t head; ///< In heads_.
        friend auto operator<=>(const Next&, const Next&) = default;
    };
    static std::string name(const Head& head) { return head.file ? *head.file : "another slice"; }

    /// Puts a slice in line with its next entry, or frees it at its end.
    void line_up(Head& head) {
        if (head.entry) return waiting_.push({head.entry->ts(), head.index});
        if (!ended_ || ended_->ts <= head.last) ended_ = End{head.last, name(head)};
        if (head.started) --started_; // one at which a caller goes on after an error is not
        heads_[head.index].reset();
    }

    /// Chooses the slices that have the smallest entry, and compares their copies of it.
    void choose() {
        const Timestamp smallest = waiting_.top().ts;
        for (; !waiting_.empty() && waiting_.top().ts == smallest; waiting_.pop()) {
            at_current_.push_back(heads_[waiting_.top().head].get());
            if (Head& head = *at_current_.back(); !head.at) head.begin();
        }
        runner_up_ = waiting_.empty() ? Timestamp::max() : waiting_.top().ts;
        const Head& one = *at_current_.front();
        for (const Head* other : at_current_)
            if (other->entry->bytes() != one.entry->bytes())
                diverged(*other, "another entry " + to_string(smallest) + " than " + name(one) + " has");
        if constexpr (requires(Slice slice) { slice.pass_over(runner_up_); })
            for (Head* head : at_current_) head->slice.pass_over(at_current_.size() == 1 ? runner_up_ : Timestamp());
        const auto started_here = static_cast<std::size_t>(std::ranges::count_if(at_current_, &Head::started));
        if (continuity_ != Continuity::any) {
            if (started_here < started_)
                diverged(one, name(absent_from(smallest)) + " spans entry " + to_string(smallest) + " and has it not");
            if (ended_ && started_here == 0)
                gap(one, "this slice begins with entry " + to_string(smallest) + ", and " + ended_->file + " before it ends with " +
                             to_string(ended_->ts));
        }
        started_ += at_current_.size() - started_here;
        for (Head* head : at_current_) head->started = true;
    }
    /// A slice that spans an entry but lacks it. There must be one.
    const Head& absent_from(Timestamp entry) const {
        return **std::ranges::find_if(heads_.rbegin(), heads_.rend(),
                                      [&](const auto& head) { return head && head->started && head->entry->ts() != entry; });
    }

    [[noreturn]] static void diverged(const Head& head, const std::string& how) {
        throw ContinuityError(ContinuityError::Kind::divergence, *head.entry, "divergence: " + how);
    }
    void gap(const Head& head, const std::string& how) {
        ContinuityError gap(ContinuityError::Kind::gap, *head.entry, "gap: " + how);
        if (continuity_ == Continuity::chain) throw gap;
        gaps_.push_back(std::move(gap));
    }

    std::vector<std::unique_ptr<Head>> heads_;                             ///< The slices, in the order given; none where one has ended.
    std::vector<Head*> at_current_;                                        ///< Those that have the current entry, in that order.
    std::priority_queue<Next, std::vector<Next>, std::greater<>> waiting_; ///< All others, so that many cost little.
    Timestamp runner_up_;                                                  ///< The first entry of all others.
    std::size_t started_ = 0;                                              ///< How many of heads_ have started.
    std::optional<End> ended_;                                             ///< The latest end of a slice so far.
    std::vector<ContinuityError> gaps_;
    Continuity continuity_;
    bool begun_ = false;
};

/// The entries of all slices as one range:
///     for (oplog::EntryView e : oplog::merge(std::move(readers), oplog::Continuity::chain)) out.write(e);
/// Takes over the slices, and throws what Merge throws.
template <EntryRange In>
Merge<In> merge(std::vector<In> slices, Continuity continuity = Continuity::any) {
    return Merge<In>(std::move(slices), continuity);
}

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/entry.hpp>

#include <iterator>
#include <optional>
#include <ranges>
#include <utility>

namespace oplog::inline v0_1 {

namespace detail {

/// Throws the error about an entry that does not come after the one before it.
[[noreturn]] inline void fail_out_of_order(const EntryView& entry, Timestamp before) {
    entry.fail(Fault::out_of_order,
               (entry.ts() == before ? "entry " + to_string(entry.ts()) + " occurs twice in a row"
                                     : "out of order: entry " + to_string(entry.ts()) + " after " + to_string(before)));
}

/// Holds the range under a view: an rvalue itself, an lvalue by its address. std::views::all is not used because clang
/// 14 cannot compile its owning_view with libstdc++.
template <class In>
class Held {
  public:
    explicit Held(In&& range) : range_(std::move(range)) {}
    In& get() noexcept { return range_; }

  private:
    In range_;
};
template <class In>
class Held<In&> {
  public:
    explicit Held(In& range) : range_(&range) {}
    In& get() noexcept { return *range_; }

  private:
    In* range_;
};

} // namespace detail

/// Checks that entries are in order. Throws DataError at the first entry whose ts does not rise.
class OrderCheck {
  public:
    void operator()(const EntryView& entry) {
        if (last_ && entry.ts() <= *last_) detail::fail_out_of_order(entry, *last_);
        last_ = entry.ts();
    }

  private:
    std::optional<Timestamp> last_;
};

/// The entries within bounds, as an input range over another range. The whole input is read, also the entries past the
/// upper bound, so that disorder anywhere in it is found and no entry that belongs to the slice can hide behind it. It
/// is a view: `slice(in, bounds) | std::views::take(2)`. It holds a range that was given as an rvalue, and refers to an
/// lvalue (then In is a reference).
template <EntryRange In>
class Slice {
  public:
    Slice(In&& entries, const Bounds& bounds) : entries_(std::forward<In>(entries)), bounds_(bounds) {}

    class iterator {
      public:
        using value_type = Entry;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;

        iterator() = default; ///< The end.
        explicit iterator(Slice& slice) : slice_(&slice), at_(std::ranges::begin(slice.entries_.get())) { skip_unwanted(); }
        const EntryView& operator*() const noexcept { return *entry_; }
        const EntryView* operator->() const noexcept { return &*entry_; }
        iterator& operator++() {
            ++at_;
            skip_unwanted();
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& it, std::default_sentinel_t) { return !it.entry_; }

      private:
        void skip_unwanted() {
            for (entry_.reset(); at_ != std::ranges::end(slice_->entries_.get()); ++at_) {
                const EntryView entry = *at_;
                check_(entry);
                if (!slice_->bounds_.contains(entry.ts())) continue;
                entry_ = entry;
                return;
            }
        }

        Slice* slice_ = nullptr;
        std::ranges::iterator_t<In> at_{};
        OrderCheck check_;
        std::optional<EntryView> entry_;
    };

    /// Reads the input as it goes. A second call reads it again if the input allows that, else it throws, as a Reader
    /// does.
    iterator begin() { return iterator(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    detail::Held<In> entries_;
    Bounds bounds_;
};

/// The entries of `in` within `bounds`, with their bytes unchanged:
///     for (oplog::EntryView e : oplog::slice(in, {.after = a, .to = b})) out.write(e);
/// Throws DataError if `in` is out of order.
template <EntryRange In>
Slice<In> slice(In&& in, const Bounds& bounds) {
    return {std::forward<In>(in), bounds};
}

} // namespace oplog

template <class In>
inline constexpr bool std::ranges::enable_view<oplog::Slice<In>> = true;

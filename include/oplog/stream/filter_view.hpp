// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/entry.hpp>
#include <oplog/entry/filter.hpp>
#include <oplog/stream/slice.hpp>

#include <cstddef>
#include <iterator>
#include <optional>
#include <ranges>
#include <utility>

namespace oplog::inline v0_1 {

/// The entries that a Selection makes of others, as an input range over them. The selection must have learned already
/// what it needs. The view holds a range that was given as an rvalue, and refers to an lvalue (then In is a reference).
template <EntryRange In>
class FilterView {
  public:
    /// `selection` must outlive the view.
    FilterView(In&& entries, Selection& selection) : entries_(std::forward<In>(entries)), selection_(&selection) {}

    class iterator {
      public:
        using value_type = Entry;
        using difference_type = std::ptrdiff_t;
        using iterator_concept = std::input_iterator_tag;

        iterator() = default; ///< The end.
        explicit iterator(FilterView& view) : view_(&view), at_(std::ranges::begin(view.entries_.get())) { skip_unwanted(); }
        const EntryView& operator*() const noexcept { return *entry_; }
        const EntryView* operator->() const noexcept { return &*entry_; }
        iterator& operator++() {
            if (next_ < view_->edit_.with.size()) {
                take_next_made();
            } else {
                ++at_;
                skip_unwanted();
            }
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& it, std::default_sentinel_t) { return !it.entry_; }

      private:
        void skip_unwanted() {
            for (entry_.reset(); at_ != std::ranges::end(view_->entries_.get()); ++at_) {
                const EntryView entry = *at_;
                where_ = entry.where();
                view_->edit_ = view_->selection_->apply(entry);
                next_ = 0;
                if (view_->edit_.kind == Edit::Kind::keep)
                    entry_ = entry;
                else if (!view_->edit_.with.empty())
                    take_next_made();
                if (entry_) return;
            }
        }
        void take_next_made() { entry_.emplace(view_->edit_.with[next_++].view(), where_); }

        FilterView* view_ = nullptr;
        std::ranges::iterator_t<In> at_{};
        std::optional<EntryView> entry_;
        const Position* where_ = nullptr;
        std::size_t next_ = 0; ///< The next of the documents that the edit puts in the entry's place.
    };

    /// Reads the input as it goes. A second call reads it again if the input allows that, else it throws, as a Reader
    /// does.
    iterator begin() { return iterator(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    detail::Held<In> entries_;
    Selection* selection_;
    Edit edit_; ///< What becomes of the current entry.
};

/// The entries that `selection` makes of those of `in`:
///     for (oplog::EntryView e : oplog::filter(in, selection)) out.write(e);
/// Throws what Selection::apply() throws. `selection` must outlive the view.
template <EntryRange In>
FilterView<In> filter(In&& in, Selection& selection) {
    return {std::forward<In>(in), selection};
}

} // namespace oplog

template <class In>
inline constexpr bool std::ranges::enable_view<oplog::FilterView<In>> = true;

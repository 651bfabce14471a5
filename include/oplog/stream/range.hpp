// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/entry.hpp>

#include <cstdint>
#include <optional>

namespace oplog::inline v0_1 {

/// The span of a sequence of entries, and its size.
struct Range {
    Timestamp first; ///< The smallest ts; meaningless if there are no entries.
    Timestamp last;  ///< The largest ts.
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0; ///< Bytes of BSON.
    /// The first place where ts did not rise: the ts of the entry, and the ts before it.
    struct Disorder {
        Timestamp before;
        Timestamp ts;
        std::optional<Position> where;
    };
    /// None if the entries are in order.
    std::optional<Disorder> disorder;

    /// Whether there are no entries.
    bool empty() const noexcept { return entries == 0; }

    /// Adds the next entry.
    void add(const EntryView& entry) {
        const Timestamp ts = entry.ts();
        bytes += entry.size();
        if (entries++ == 0) {
            first = last = ts;
        } else if (ts > last) {
            last = ts;
        } else {
            if (!disorder) disorder = {last, ts, entry.where() ? std::optional(*entry.where()) : std::nullopt};
            if (ts < first) first = ts;
        }
    }
};

/// Reads entries to their end and returns their span. Disorder is a finding here, not an error.
template <EntryRange In>
Range range(In&& entries) {
    Range result;
    for (const EntryView entry : entries) result.add(entry);
    return result;
}

} // namespace oplog

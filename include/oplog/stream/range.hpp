// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/entry.hpp>

#include <cstdint>
#include <optional>

namespace oplog::inline v0_1 {

/// What a stretch of oplog spans.
struct Range {
    Timestamp first; ///< the smallest ts; meaningless when there are no entries
    Timestamp last;  ///< the largest
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0; ///< of BSON
    /// The first place where ts did not rise, if there is one: the entry's ts and the one before it.
    struct Disorder {
        Timestamp before;
        Timestamp ts;
        std::optional<Position> where;
    };
    std::optional<Disorder> disorder;

    bool empty() const noexcept { return entries == 0; }

    /// Takes in the next entry.
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

/// Reads entries to their end and says what they span. Out of order is a finding, not an error.
template <EntryRange In>
Range range(In&& entries) {
    Range result;
    for (const EntryView entry : entries) result.add(entry);
    return result;
}

} // namespace oplog

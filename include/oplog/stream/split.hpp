// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/entry.hpp>
#include <oplog/stream/slice.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// Where to cut. A piece ends as soon as any of the limits that are set is reached.
struct SplitPoints {
    std::uint32_t every = 0;        ///< Seconds: pieces begin at multiples of this since 1970.
    std::uint64_t size = 0;         ///< Bytes: no piece is larger, except for a single larger entry.
    std::uint64_t entries = 0;      ///< The number of entries in a piece.
    std::vector<Timestamp> at = {}; ///< A piece begins with the first entry >= each of these.
};

/// Decides for one entry after the other whether it begins a new piece. The pieces, concatenated, are the input.
class Splitter {
  public:
    explicit Splitter(SplitPoints points) : points_(std::move(points)) { std::sort(points_.at.begin(), points_.at.end()); }

    /// Whether `entry` begins a piece; the first entry always does. Throws DataError if ts does not rise.
    bool begins_piece(const EntryView& entry) {
        const Timestamp ts = entry.ts();
        order_(entry);
        bool cut = !previous_;
        if (previous_) {
            cut = (points_.every && ts.seconds / points_.every != previous_->seconds / points_.every) ||
                  (points_.size && bytes_ + entry.size() > points_.size) || (points_.entries && entries_ == points_.entries);
        }
        while (next_at_ < points_.at.size() && points_.at[next_at_] <= ts) {
            ++next_at_;
            cut = true;
        }
        if (cut) bytes_ = entries_ = 0;
        bytes_ += entry.size();
        ++entries_;
        previous_ = ts;
        return cut;
    }

  private:
    SplitPoints points_;
    OrderCheck order_;
    std::optional<Timestamp> previous_;
    std::uint64_t bytes_ = 0;
    std::uint64_t entries_ = 0;
    std::size_t next_at_ = 0;
};

/// The name of a piece, "1610422195.0000000001-1610422795.0000000004". Such names sort in time order.
inline std::string piece_name(Timestamp first, Timestamp last) {
    char text[48];
    const int size = std::snprintf(text, sizeof text, "%010u.%010u-%010u.%010u", first.seconds, first.ordinal, last.seconds, last.ordinal);
    return {text, static_cast<std::size_t>(size)};
}

} // namespace oplog

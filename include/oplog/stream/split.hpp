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

/// Where to cut; a piece ends when any of what is set is reached.
struct SplitPoints {
    std::uint32_t every = 0;    ///< seconds: pieces begin at multiples of it since 1970
    std::uint64_t size = 0;     ///< bytes: a piece is no larger, unless it is one larger entry
    std::uint64_t entries = 0;  ///< entries a piece
    std::vector<Timestamp> at = {}; ///< a piece begins with the first entry >= each of these
};

/// Says for entry after entry whether a new piece begins with it. Put together, the pieces are the input.
class Splitter {
  public:
    explicit Splitter(SplitPoints points) : points_(std::move(points)) { std::sort(points_.at.begin(), points_.at.end()); }

    /// True if `entry` begins a piece, as the first one does. Throws DataError when ts does not rise.
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

/// "1610422195.0000000001-1610422795.0000000004": names that sort in time order.
inline std::string piece_name(Timestamp first, Timestamp last) {
    char text[48];
    const int size = std::snprintf(text, sizeof text, "%010u.%010u-%010u.%010u", first.seconds, first.ordinal, last.seconds, last.ordinal);
    return {text, static_cast<std::size_t>(size)};
}

} // namespace oplog

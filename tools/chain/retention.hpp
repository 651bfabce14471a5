// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Which backups stay when old ones are dropped.

#include <oplog/timestamp.hpp>

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

namespace oplog::tools {

struct Retention {
    struct Backup {
        Timestamp begin, end; ///< Of what can be restored, if it is good.
        bool good = false, pinned = false;
    };

    unsigned newest = 1; ///< So many of the newest good ones stay.
    unsigned days = 0;   ///< So do those that reach into the last so many days before the end of all,
    unsigned weeks = 0;  ///< and of each of the last so many weeks that have any, the last good one.

    /// Of backups, the oldest first: from which on all stay, good or not, by their number or their days.
    std::size_t first_kept(const std::vector<Backup>& all) const {
        std::size_t first = all.size();
        for (unsigned good = 0; first > 0 && good < newest;) good += all[--first].good;
        std::uint64_t end = 0;
        for (const Backup& one : all)
            if (one.good) end = std::max<std::uint64_t>(end, one.end.seconds);
        const auto reaches = [&](const Backup& one) {
            return one.good && days > 0 && one.end.seconds + days * std::uint64_t{86400} >= end;
        };
        return std::min(first, static_cast<std::size_t>(std::ranges::find_if(all, reaches) - all.begin()));
    }

    /// Whether each of them stays.
    std::vector<bool> kept(const std::vector<Backup>& all) const {
        std::vector<bool> stays(all.size());
        std::set<std::uint32_t> seen;
        const std::size_t first = first_kept(all);
        for (std::size_t i = all.size(); i-- > 0;) {
            const std::uint32_t week = (all[i].begin.seconds / 86400 + 3) / 7; // from Monday on, UTC; 1970 began with a Thursday
            const bool is_last_of_week = all[i].good && seen.size() < weeks && seen.insert(week).second;
            stays[i] = i >= first || all[i].pinned || is_last_of_week;
        }
        return stays;
    }
};

} // namespace oplog::tools

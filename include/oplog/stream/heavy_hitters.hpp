// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// Finds the most frequent of arbitrarily many keys in memory for 2 * `most` of them, each with what `Payload` adds.
///
/// What was counted of a key is exact since it was last taken up, and a bound says what may have been missed before. That is at
/// most 1 / (most + 1) of everything that was added, so a key with more than that is always there. As long as there were
/// no more than 2 * `most` keys, nothing was missed of any.
template <class Payload>
class HeavyHitters {
  public:
    struct Counter {
        std::uint64_t count = 0;  ///< What was added since it was taken up: at least so much.
        std::uint64_t missed = 0; ///< At most so much was added before.
        Payload payload{};

        std::uint64_t at_most() const noexcept { return count + missed; }
    };

    explicit HeavyHitters(std::size_t most) : most_(std::max<std::size_t>(most, 1)) {}

    /// Adds to a key, and returns its counter, which is valid until the next call. Calls drop(key, counter) for each key that
    /// has to make room.
    template <class Drop>
    Counter& add(std::string_view key, std::uint64_t weight, Drop drop) {
        auto found = counters_.find(key);
        if (found == counters_.end()) {
            if (counters_.size() >= 2 * most_) make_room(drop);
            found = counters_.try_emplace(std::string(key)).first;
            found->second.missed = floor_;
        }
        found->second.count += weight;
        return found->second;
    }
    Counter& add(std::string_view key, std::uint64_t weight = 1) {
        return add(key, weight, [](const std::string&, const Counter&) {});
    }

    /// How much may have been added to a key that is not there.
    std::uint64_t missed() const noexcept { return floor_; }

    /// The keys with the highest counts, at most `n`, the highest first.
    std::vector<std::pair<std::string_view, const Counter*>> top(std::size_t n) const {
        std::vector<std::pair<std::string_view, const Counter*>> all;
        for (const auto& [key, counter] : counters_) all.emplace_back(key, &counter);
        const auto first = [](const auto& a, const auto& b) {
            return a.second->count != b.second->count ? a.second->count > b.second->count : a.first < b.first;
        };
        n = std::min(n, all.size());
        std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n), all.end(), first);
        all.resize(n);
        return all;
    }

  private:
    struct Hash : std::hash<std::string_view> {
        using is_transparent = void;
    };

    /// Keeps those that may have the highest counts. Each unit by which the floor rises takes a unit that was added to each of
    /// the keys kept and of one more, and no unit is taken twice: hence the bound.
    template <class Drop>
    void make_room(Drop& drop) {
        std::vector<decltype(counters_.begin())> all;
        for (auto at = counters_.begin(); at != counters_.end(); ++at) all.push_back(at);
        const auto higher = [](const auto& a, const auto& b) {
            return a->second.at_most() != b->second.at_most() ? a->second.at_most() > b->second.at_most() : a->first < b->first;
        };
        const auto cut = all.begin() + static_cast<std::ptrdiff_t>(most_);
        std::nth_element(all.begin(), cut, all.end(), higher);
        floor_ = std::max(floor_, (*cut)->second.at_most()); // the highest of those that go
        for (auto at = cut; at != all.end(); ++at) {
            drop((*at)->first, std::as_const((*at)->second));
            counters_.erase(*at);
        }
    }

    std::size_t most_;
    std::uint64_t floor_ = 0;
    std::unordered_map<std::string, Counter, Hash, std::equal_to<>> counters_;
};

} // namespace oplog

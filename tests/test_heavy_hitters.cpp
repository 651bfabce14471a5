// SPDX-License-Identifier: Apache-2.0
#include <oplog/stream/heavy_hitters.hpp>

#include <doctest/doctest.h>

#include <map>

using namespace oplog;

namespace {
struct Nothing {};
} // namespace

TEST_CASE("a few keys are counted exactly") {
    HeavyHitters<Nothing> hitters(3);
    for (int i = 0; i < 10; ++i) {
        for (const char* key : {"a", "b", "c", "d", "e", "f"}) hitters.add(key);
        hitters.add("b", 5);
    }
    CHECK(hitters.missed() == 0);
    const auto top = hitters.top(2);
    REQUIRE(top.size() == 2);
    CHECK(top[0].first == "b");
    CHECK(top[0].second->count == 60);
    CHECK(top[0].second->at_most() == 60);
    CHECK(top[1].first == "a"); // of equals, by name
    CHECK(hitters.top(100).size() == 6);
}

TEST_CASE("the counts of arbitrary keys lie within their bounds, and the bounds within theirs") {
    for (const std::uint32_t seed : {1u, 2u, 3u, 4u}) {
        constexpr std::size_t most = 10;
        HeavyHitters<Nothing> hitters(most);
        std::map<std::string, std::uint64_t, std::less<>> truth;
        std::uint64_t all = 0, dropped = 0;
        std::uint32_t state = seed;
        for (int i = 0; i < 20000; ++i) {
            state = state * 1664525 + 1013904223;
            const std::uint32_t random = state >> 8;
            // One stream has favourites, the next one changes them, another has bursts, and the last has every key once.
            const std::uint32_t key = seed == 4         ? static_cast<std::uint32_t>(i)
                                      : random % 3 == 0 ? random % (seed == 2 && i > 10000 ? 9 : 5) + (seed == 2 && i > 10000 ? 100 : 0)
                                      : seed == 3       ? static_cast<std::uint32_t>(i / 50) + 1000
                                                        : random % 5000;
            const std::uint64_t weight = seed == 1 ? 1 : random % 7;
            hitters.add(std::to_string(key), weight, [&](const std::string& name, const auto& counter) {
                ++dropped;
                CHECK(counter.at_most() >= truth[name]);
            });
            truth[std::to_string(key)] += weight;
            all += weight;
        }
        CHECK(dropped > 0);
        CHECK(hitters.missed() <= all / (most + 1));
        std::map<std::string, bool, std::less<>> there;
        for (const auto& [key, counter] : hitters.top(1000)) {
            const std::uint64_t count = truth.find(key)->second;
            CHECK(counter->count <= count);
            CHECK(counter->at_most() >= count);
            CHECK(counter->missed <= hitters.missed());
            there[std::string(key)] = true;
        }
        CHECK(there.size() <= 2 * most);
        for (const auto& [key, count] : truth)
            if (!there.contains(key)) CHECK(count <= hitters.missed());
    }
}

TEST_CASE("what makes room hands over what it had") {
    HeavyHitters<std::uint64_t> hitters(1);
    std::uint64_t others = 0;
    const auto drop = [&](const std::string&, const auto& counter) { others += counter.payload; };
    for (const char* key : {"a", "a", "b", "c", "d", "a"}) ++hitters.add(key, 1, drop).payload;
    std::uint64_t kept = 0;
    for (const auto& [key, counter] : hitters.top(9)) kept += counter->payload;
    CHECK(kept + others == 6);
    CHECK(hitters.top(1)[0].first == "a");
}

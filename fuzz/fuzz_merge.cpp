// SPDX-License-Identifier: Apache-2.0
// Uses bytes as recipes for a few slices, and compares their merge with its simple definition.
#include "fuzz.hpp"

#include <oplog/core.hpp>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace {

using Slice = std::vector<oplog::Entry>;
using History = std::map<oplog::Timestamp, std::string>;

oplog::Entry entry(std::uint32_t ordinal, std::uint8_t content) {
    std::string bytes("\x18\0\0\0"
                      "\x11ts\0"
                      "........"
                      "\x10t\0"
                      "\0\0\0\0"
                      "\0",
                      24);
    const std::uint64_t ts = oplog::Timestamp{7, ordinal}.packed();
    std::memcpy(&bytes[8], &ts, sizeof ts);
    bytes[19] = static_cast<char>(content);
    return oplog::Entry(bytes);
}

/// The result of a merge by its definition; none if it must refuse.
std::optional<std::string> expected(std::vector<Slice> slices, oplog::Continuity continuity) {
    std::erase_if(slices, [](const Slice& slice) { return slice.empty(); });
    std::stable_sort(slices.begin(), slices.end(), [](const Slice& a, const Slice& b) { return a[0].view().ts() < b[0].view().ts(); });
    History all;
    for (const Slice& slice : slices) {
        History own;
        for (const oplog::Entry& e : slice)
            if (!own.empty() && own.rbegin()->first >= e.view().ts())
                return std::nullopt; // out of order
            else
                own[e.view().ts()] = e.bytes();
        const bool first = all.empty();
        bool shared = false;
        if (!first) {
            const auto end = std::min(own.rbegin()->first, all.rbegin()->first);
            for (auto it = all.lower_bound(own.begin()->first); it != all.end() && it->first <= end; ++it) {
                const auto twin = own.find(it->first);
                shared = shared || twin != own.end();
                if (twin != own.end() && twin->second != it->second) return std::nullopt;
                if (twin == own.end() && continuity == oplog::Continuity::chain) return std::nullopt;
            }
            for (auto it = own.begin(); it != own.end() && it->first <= end; ++it)
                if (!all.contains(it->first) && continuity == oplog::Continuity::chain) return std::nullopt;
        }
        if (!first && !shared && continuity == oplog::Continuity::chain) return std::nullopt;
        all.merge(own);
    }
    std::string bytes;
    for (const auto& [ts, entry_bytes] : all) bytes += entry_bytes;
    return bytes;
}

std::optional<std::string> merged(const std::vector<Slice>& slices, oplog::Continuity continuity) {
    try {
        std::string bytes;
        for (const oplog::EntryView& e : oplog::Merge(slices, continuity)) bytes += e.bytes();
        return bytes;
    } catch (const oplog::DataError&) {
        return std::nullopt;
    }
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    size = std::min<std::size_t>(size, 48);
    // Each byte is an entry: which slices have it, whether the ordinal rises and, seldom, that one slice has other
    // bytes.
    std::vector<Slice> slices(4);
    std::uint32_t ordinal = 1;
    for (std::size_t i = 0; i < size; ++i) {
        ordinal += data[i] % 16 == 15 ? 0 : 1 + data[i] % 3;
        for (std::size_t s = 0; s < slices.size(); ++s)
            if (data[i] >> 4 >> s & 1) slices[s].push_back(entry(ordinal, data[i] % 32 == 7 && s == 2 ? 1 : 0));
    }
    // And real chains: consecutive stretches of the same entries, which overlap or almost do.
    Slice all;
    for (std::uint32_t i = 0; i < 20; ++i) all.push_back(entry(i + 1, 0));
    std::vector<Slice> chain;
    for (std::size_t i = 0; i + 1 < std::min<std::size_t>(size, 12); i += 2) {
        const std::size_t first = data[i] % all.size();
        const std::size_t count = std::min<std::size_t>(all.size() - first, data[i + 1] % 12);
        const auto at = all.begin() + static_cast<std::ptrdiff_t>(first);
        chain.emplace_back(at, at + static_cast<std::ptrdiff_t>(count));
    }
    for (const oplog::Continuity continuity : {oplog::Continuity::any, oplog::Continuity::chain})
        for (const std::vector<Slice>& some : {slices, chain}) REQUIRE(merged(some, continuity) == expected(some, continuity));
    return 0;
}

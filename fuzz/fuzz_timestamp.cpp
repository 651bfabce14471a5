// SPDX-License-Identifier: Apache-2.0
// Reads any text as a time, as it is and after it was made more likely to be one.
#include "fuzz.hpp"

#include <oplog/timestamp.hpp>

#include <cstdlib>
#include <string>
#include <string_view>

namespace {

void check(std::string_view text) {
    try {
        const oplog::TimeSpan span = oplog::parse_time(text);
        REQUIRE(span.first <= span.last);
        REQUIRE(text.find('\0') == std::string_view::npos);
        for (const oplog::Timestamp ts : {span.first, span.last}) {
            REQUIRE(oplog::parse_timestamp(oplog::to_string(ts)) == ts);
            const oplog::TimeSpan second = oplog::parse_time(oplog::to_utc_string(ts));
            REQUIRE(second.first.seconds == ts.seconds && second.first.ordinal == 0);
            REQUIRE(second.last.seconds == ts.seconds && second.last.ordinal == 0xFFFFFFFF);
        }
    } catch (const oplog::ArgumentError&) {
    }
    try {
        const oplog::Timestamp ts = oplog::parse_timestamp(text);
        REQUIRE(oplog::parse_time(text).first == ts && oplog::parse_time(text).last == ts);
    } catch (const oplog::ArgumentError&) {
    }
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const int once = ::setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1); // clocks change in this time zone
    static_cast<void>(once);
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    check(text.substr(0, 64));
    // Bytes pick from the characters that times consist of, after the beginning of a template.
    static constexpr std::string_view alphabet = "0123456789012345:-T Z+.z";
    static constexpr std::string_view starts[] = {"", "2026-", "2026-03-29 0", "2026-10-25 0", "2106-02-07T06:28:1", "16104221"};
    for (const std::string_view start : starts) {
        std::string made(start);
        for (const char byte : text.substr(0, 16)) made += alphabet[static_cast<unsigned char>(byte) % alphabet.size()];
        for (std::size_t length = start.size(); length <= made.size(); ++length) check(std::string_view(made).substr(0, length));
    }
    return 0;
}

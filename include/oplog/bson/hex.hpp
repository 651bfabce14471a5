// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace oplog::inline v0_1::bson {

/// Writes two lower-case hexadecimal digits for each byte.
inline std::string to_hex(std::string_view bytes) {
    std::string digits;
    for (const char byte : bytes)
        for (const int nibble : {(byte >> 4) & 15, byte & 15}) digits += "0123456789abcdef"[nibble];
    return digits;
}

/// The bytes that pairs of hexadecimal digits stand for; empty if `digits` is anything else.
inline std::string from_hex(std::string_view digits) {
    std::string bytes;
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        std::uint8_t byte = 0;
        const std::string_view pair = digits.substr(i, 2);
        if (pair.size() != 2 || std::from_chars(pair.data(), pair.data() + 2, byte, 16).ptr != pair.data() + 2) return {};
        bytes += static_cast<char>(byte);
    }
    return bytes;
}

} // namespace oplog::bson

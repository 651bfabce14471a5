// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace oplog {

/// Whether all of `text` matches a shell-like pattern: `*` is any run of characters, dots too, `?` any one character of UTF-8.
inline bool glob_matches(std::string_view pattern, std::string_view text) noexcept {
    std::size_t p = 0, t = 0;
    const auto follows = [&] { return t < text.size() && (static_cast<unsigned char>(text[t]) & 0xC0) == 0x80; };
    std::size_t star = std::string_view::npos, star_text = 0; // where to take up again when a guess of `*` was too short
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            star_text = t;
        } else if (p < pattern.size() && pattern[p] == '?') {
            ++p;
            do ++t;
            while (follows());
        } else if (p < pattern.size() && pattern[p] == text[t]) {
            ++p;
            ++t;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

} // namespace oplog

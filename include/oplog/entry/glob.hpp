// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/error.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace oplog::inline v0_1 {

/// Whether all of `text` matches a shell-like pattern: `*` matches any sequence of characters, also with dots, and `?`
/// matches any one character of UTF-8.
inline bool glob_matches(std::string_view pattern, std::string_view text) noexcept {
    std::size_t p = 0, t = 0;
    const auto follows = [&] { return t < text.size() && (static_cast<unsigned char>(text[t]) & 0xC0) == 0x80; };
    std::size_t star = std::string_view::npos, star_text = 0; // where to resume when a guess for `*` was too short
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

/// A pattern for namespaces; see glob_matches().
class Glob {
  public:
    /// Throws ArgumentError for a pattern without a dot, which no namespace can match.
    explicit Glob(std::string pattern) : pattern_(std::move(pattern)) {
        if (pattern_.find_first_of(".*") == pattern_.npos)
            throw ArgumentError("'" + pattern_ + "' matches no namespace: write <database>.<collection> or " + pattern_ + ".*");
    }

    /// Whether the pattern matches a whole namespace.
    bool matches(std::string_view ns) const { return glob_matches(pattern_, ns); }
    /// Whether some collection of the database might match.
    bool may_match_in(std::string_view database) const {
        // A star before the first dot may stand for that dot.
        const std::string_view head = std::string_view(pattern_).substr(0, std::min(pattern_.find('.'), pattern_.find('*')));
        if (head.size() < pattern_.size() && pattern_[head.size()] == '*') {
            for (std::size_t size = 0; size <= database.size(); ++size)
                if (glob_matches(head, database.substr(0, size))) return true;
            return false;
        }
        return glob_matches(head, database);
    }
    /// Whether every collection of the database matches.
    bool matches_all_of(std::string_view database) const {
        return pattern_.back() == '*' && glob_matches(pattern_, std::string(database) + ".");
    }

  private:
    std::string pattern_;
};

} // namespace oplog

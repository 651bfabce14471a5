// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace oplog::tools {

namespace detail {

inline std::string percent_encoded(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

} // namespace detail

/// What a member of a cluster is called: its id, as a name for a directory.
inline std::string member_name(std::string_view id) {
    std::string name = detail::percent_encoded(id);
    if (name.starts_with('.')) name.replace(0, 1, "%2E"); // hidden
    if (name.starts_with('-')) name.replace(0, 1, "%2D"); // an option
    return name;
}

} // namespace oplog::tools

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/validate.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace oplog::inline v0_1 {

/// What becomes of a value when a stock mongorestore replays it: that decodes every entry and encodes it again.
enum class Reencoding {
    array_keys,     ///< an array's keys become 0, 1, 2, ...
    binary,         ///< one of the old subtype with four bytes or less is not asked for the length inside, and gets one
    regex_options,  ///< they are sorted, and what is no UTF-8 in them becomes U+FFFD
    zero_timestamp, ///< many servers put the time in its place, in a document that replaces another
    unreadable,     ///< a binary of the old subtype whose length inside is wrong: replay stops, or goes astray
};
constexpr std::size_t reencodings = 5;

namespace detail {

/// Whether encoding a regular expression anew leaves its options as they are: sorted characters of UTF-8, whose order is that
/// of their bytes.
inline bool are_sorted_options(std::string_view options) {
    if (!bson::is_utf8(options)) return false;
    std::vector<std::string_view> characters;
    for (std::size_t at = 0, next; at < options.size(); at = next) {
        for (next = at + 1; next < options.size() && (options[next] & 0xC0) == 0x80;) ++next;
        characters.push_back(options.substr(at, next - at));
    }
    return std::ranges::is_sorted(characters);
}

template <class Visit>
void visit_reencoded(const bson::Document& document, bool is_array, std::string& path, Visit& visit) {
    const std::size_t above = path.size();
    std::uint32_t index = 0;
    bool counts = true;
    for (const bson::Element& element : document) {
        counts = counts && (!is_array || bson::is_index(element.key(), index++));
        path += '.';
        path += element.key();
        const std::string_view value = element.value();
        switch (element.type()) {
        case bson::Type::document: visit_reencoded(element.document(), false, path, visit); break;
        case bson::Type::array: visit_reencoded(element.array(), true, path, visit); break;
        case bson::Type::code_with_scope: {
            const std::size_t code = bson::load<std::uint32_t>(value.data() + 4);
            if (code < value.size() - 8) visit_reencoded(bson::Document(value.substr(8 + code)), false, path, visit);
            break;
        }
        case bson::Type::binary:
            if (value[4] != 2) break;
            if (value.size() <= 5 + 4)
                visit(Reencoding::binary, path);
            else if (bson::load<std::uint32_t>(value.data() + 5) != value.size() - 9)
                visit(Reencoding::unreadable, path);
            break;
        case bson::Type::regex:
            if (!are_sorted_options(value.substr(value.find('\0') + 1, value.size() - value.find('\0') - 2))) visit(Reencoding::regex_options, path);
            break;
        default: break;
        }
        path.resize(above);
    }
    if (!counts) visit(Reencoding::array_keys, path);
}

} // namespace detail

/// Calls visit(Reencoding, const std::string& path) for each value in a document that replay changes; the path begins with
/// `name`, the document's own. Throws DataError for what is no BSON.
template <class Visit>
void for_each_reencoded(const bson::Document& document, std::string name, Visit visit) {
    detail::visit_reencoded(document, false, name, visit);
}

} // namespace oplog

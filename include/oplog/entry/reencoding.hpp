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

/// A change that a stock mongorestore makes to a value when it replays it, because it decodes every entry and encodes
/// it again.
enum class Reencoding {
    array_keys,     ///< The keys of an array become 0, 1, 2, …
    binary,         ///< A binary of the old subtype with at most four bytes gets an inner length, which it lacked.
    regex_options,  ///< The options of a regular expression are sorted, and bytes that are not UTF-8 become U+FFFD.
    zero_timestamp, ///< Many servers put the current time in place of a zero timestamp in a document that replaces another.
    unreadable,     ///< A binary of the old subtype has a wrong inner length: the replay stops, or goes astray.
};
/// The number of these changes.
constexpr std::size_t reencodings = 5;

namespace detail {

/// Whether re-encoding a regular expression keeps its options: they must be characters of UTF-8, sorted by their bytes.
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
            if (!are_sorted_options(value.substr(value.find('\0') + 1, value.size() - value.find('\0') - 2)))
                visit(Reencoding::regex_options, path);
            break;
        default: break;
        }
        path.resize(above);
    }
    if (!counts) visit(Reencoding::array_keys, path);
}

} // namespace detail

/// Calls visit(Reencoding, const std::string& path) for each value in a document that replaying would change. The path
/// begins with `name`, the name of the document itself. Throws DataError for malformed BSON.
template <class Visit>
void for_each_reencoded(const bson::Document& document, std::string name, Visit visit) {
    detail::visit_reencoded(document, false, name, visit);
}

} // namespace oplog

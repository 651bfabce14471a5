// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace oplog::inline v0_1::bson {

namespace detail {

/// Whether no byte has its high bit set. It does not branch on each byte, because most strings are short and their
/// lengths vary.
inline bool is_ascii(std::string_view text) noexcept {
    const char* const end = text.data() + text.size();
    std::uint64_t seen = 0;
    if (text.size() >= 8) {
        for (const char* at = text.data(); at < end - 8; at += 8) seen |= load<std::uint64_t>(at);
        seen |= load<std::uint64_t>(end - 8); // overlaps the word before it
    } else if (text.size() >= 4) {
        seen = load<std::uint32_t>(text.data()) | load<std::uint32_t>(end - 4);
    } else {
        for (const char byte : text) seen |= static_cast<unsigned char>(byte);
    }
    return (seen & high_bits) == 0;
}

} // namespace detail

/// Whether the bytes are well-formed UTF-8 by RFC 3629: without overlong forms and surrogates, up to U+10FFFF.
inline bool is_utf8(std::string_view text) noexcept {
    if (detail::is_ascii(text)) return true;
    const auto* at = reinterpret_cast<const unsigned char*>(text.data());
    const auto* const end = at + text.size();
    while (at != end) {
        if (end - at >= 8 && (load<std::uint64_t>(reinterpret_cast<const char*>(at)) & detail::high_bits) == 0) {
            at += 8;
            continue;
        }
        const unsigned char lead = *at++;
        if (lead < 0x80) continue;
        int more = 0;
        unsigned char low = 0x80, high = 0xBF; // the range of the second byte
        if (lead >= 0xC2 && lead <= 0xDF) {
            more = 1;
        } else if ((lead & 0xF0) == 0xE0) {
            more = 2;
            if (lead == 0xE0) low = 0xA0;
            if (lead == 0xED) high = 0x9F;
        } else if (lead >= 0xF0 && lead <= 0xF4) {
            more = 3;
            if (lead == 0xF0) low = 0x90;
            if (lead == 0xF4) high = 0x8F;
        } else {
            return false;
        }
        if (end - at < more || *at < low || *at > high) return false;
        for (int i = 1; i < more; ++i)
            if ((at[i] & 0xC0) != 0x80) return false;
        at += more;
    }
    return true;
}

/// Which bytes strings and names may hold. Servers accept what drivers send, and dumps and restores pass it on, so data
/// that is `any` but not `utf8` occurs.
enum class Text { utf8, any };

namespace detail {

[[noreturn, gnu::cold, gnu::noinline]] inline void fail_value(const Element& element, const char* why, Fault fault) {
    throw DataError(fault, std::string(name(element.type())) + " '" + std::string(element.key()) + "' " + why);
}

/// Checks the content of a value beyond its length: strings end with a zero byte and are UTF-8, and inner lengths agree
/// with outer ones. The caller checks nested documents.
template <Text text>
void validate_value(const Element& element) {
    const std::string_view value = element.value();
    const auto fail = [&](const char* why, Fault fault = Fault::malformed) { fail_value(element, why, fault); };
    const auto check_text = [&](std::string_view bytes) {
        if (text == Text::utf8 && !is_utf8(bytes)) fail("is not valid UTF-8", Fault::not_utf8);
    };
    const auto check_string = [&](std::string_view bytes) { // with its terminator
        if (bytes.back() != 0) fail("does not end with a zero byte");
        check_text(bytes);
    };
    switch (element.type()) {
    case Type::string:
    case Type::code:
    case Type::symbol: check_string(value.substr(4)); break;
    case Type::db_pointer: check_string(value.substr(4, value.size() - 16)); break;
    case Type::regex: check_text(value); break;
    case Type::boolean:
        if (value[0] != 0 && value[0] != 1) fail("is neither true nor false", Fault::bad_value);
        break;
    case Type::binary:
        // The old generic subtype repeats the length inside. Servers do not look at that.
        if (text == Text::utf8 && value[4] == 2 && (value.size() < 9 || load<std::uint32_t>(value.data() + 5) != value.size() - 9))
            fail("has two lengths that differ");
        break;
    case Type::code_with_scope: {
        const std::size_t code = load<std::uint32_t>(value.data() + 4);
        if (code < 1 || code > value.size() - 8 - min_document_size) fail("runs past its own end");
        check_string(value.substr(8, code));
        if (load<std::uint32_t>(value.data() + 8 + code) != value.size() - 8 - code) fail("has a scope of another length than its own");
        break;
    }
    default: break;
    }
}

/// The types whose values may hold any bytes, all of them ordinary (see validate()).
constexpr auto takes_any_bytes = [] {
    std::array<bool, 256> types{};
    for (std::size_t type = 0; type < types.size(); ++type) types[type] = measures[type].by == Measure::By::type;
    types[static_cast<std::size_t>(Type::boolean)] = types[static_cast<std::size_t>(Type::timestamp)] = false;
    return types;
}();

/// Whether an element is the first one of `{ts: Timestamp(0, 0), t: -1}`, which the first entry of a transaction has as
/// its prevOpTime.
[[gnu::noinline]] inline bool is_no_optime(const Document& document, const Element& element) {
    constexpr std::string_view none("\x1c\0\0\0\x11ts\0\0\0\0\0\0\0\0\0\x12t\0\xff\xff\xff\xff\xff\xff\xff\xff\0", 28);
    const auto at = static_cast<std::size_t>(element.bytes().data() - document.data());
    return at > 4 && document.bytes().substr(at - 4).starts_with(none);
}

} // namespace detail

/// The smallest size of a document with so many levels: each level but the innermost adds a length, a type, an empty
/// name and a terminator.
constexpr std::size_t least_size_of_levels(std::size_t levels) noexcept { return min_document_size + 7 * (levels - 1); }

/// Whether a document is nested more than max_depth levels deep. It looks only into values that are large enough for
/// that, and nearly all documents are too small to be looked into at all. It stops where the bytes make no sense; that
/// is for validate() to report.
inline bool is_nested_too_deeply(const Document& document) noexcept {
    if (document.size() < least_size_of_levels(max_depth + 1)) [[likely]]
        return false;
    std::array<std::pair<const char*, const char*>, max_depth> levels; // where to go on, and the terminator
    std::size_t depth = 0;
    levels[depth++] = {document.data() + 4, document.data() + document.size() - 1};
    try {
        while (depth > 0) {
            auto& [at, end] = levels[depth - 1];
            if (at == end) {
                --depth;
                continue;
            }
            const auto type = static_cast<Type>(*at);
            const char* value = detail::find_zero(at + 1, end) + 1;
            if (value > end) return false;
            std::size_t size = value_size(type, value, static_cast<std::size_t>(end - value));
            at = value + size;
            if (type == Type::code_with_scope) {
                const std::size_t scope = std::size_t{8} + load<std::uint32_t>(value + 4);
                if (scope + min_document_size > size) return false;
                value += scope;
                size -= scope;
            } else if (type != Type::document && type != Type::array) {
                continue;
            }
            if (size < least_size_of_levels(max_depth + 1 - depth)) continue;
            if (depth == max_depth) return true;
            levels[depth++] = {value + 4, value + size - 1};
        }
    } catch (const DataError&) {
    }
    return false;
}

/// The message about a document that is_nested_too_deeply().
inline std::string nested_too_deeply() { return "nested more than " + std::to_string(max_depth) + " levels deep"; }

/// Whether `key` is the name of the array element number `index`.
[[gnu::noinline]] inline bool is_index(std::string_view key, std::uint32_t index) noexcept {
    for (std::size_t at = key.size(); at > 1; index /= 10)
        if (key[--at] != static_cast<char>('0' + index % 10)) return false;
    return !key.empty() && index < 10 && key[0] == static_cast<char>('0' + index) && (index > 0 || key.size() == 1);
}

/// Checks every byte of a document. Throws DataError for the first fault. Returns whether the document is ordinary,
/// that is, holds nothing at which for_each_reencoded() would have to look more closely.
template <Text text = Text::utf8>
bool validate(const Document& document) {
    struct Level {
        const char* at;
        const char* end;    // The document's terminator.
        std::int64_t index; // The index of an array's next element; negative in a document.
    };
    std::array<Level, max_depth> outer;
    std::size_t depth = 0;
    Level level{}; // the innermost, outside of the array because most documents have no other
    bool ordinary = true;
    const auto descend = [&](const char* data, std::size_t size, bool is_array = false) {
        if (depth == max_depth) detail::fail(Fault::too_deep, nested_too_deeply().c_str());
        if (data[size - 1] != 0) detail::fail(Fault::malformed, "a nested document does not end with a zero byte");
        outer[depth++] = level;
        level = {data + 4, data + size - 1, is_array ? 0 : -1};
    };
    descend(document.data(), document.size());
    while (depth > 0) {
        if (level.at == level.end) {
            level = outer[--depth];
            continue;
        }
        const char* const key = level.at + 1;
        std::uint64_t seen = 0;
        const char* const key_end = detail::find_zero(key, level.end, text == Text::utf8 ? &seen : nullptr);
        if (key_end == level.end) detail::fail(Fault::truncated, "a field name runs past the end of its document");
        const char* const value = key_end + 1;
        const auto type = static_cast<Type>(*level.at);
        const std::string_view name(key, static_cast<std::size_t>(key_end - key));
        if ((seen & detail::high_bits) != 0 && !is_utf8(name)) detail::fail(Fault::not_utf8, "a field name is not valid UTF-8");
        const std::size_t size = value_size(type, value, static_cast<std::size_t>(level.end - value));
        level.at = value + size;
        if (level.index >= 0) ordinary &= is_index(name, static_cast<std::uint32_t>(level.index++));
        if (detail::takes_any_bytes[static_cast<std::uint8_t>(type)]) continue;
        const Element element(type, name, {value, size});
        if (type == Type::timestamp) {
            ordinary &= load<std::uint64_t>(value) != 0 || detail::is_no_optime(document, element);
            continue;
        }
        if (type == Type::document || type == Type::array) {
            descend(value, size, type == Type::array);
            continue;
        }
        detail::validate_value<text>(element);
        if (type == Type::code_with_scope) {
            const std::size_t scope = 8 + load<std::uint32_t>(value + 4);
            descend(value + scope, size - scope);
        } else if (type == Type::binary || type == Type::regex) {
            ordinary &= type == Type::binary ? value[4] != 2 : value[size - 2] == 0; // a regular expression without options
        }
    }
    return ordinary;
}

} // namespace oplog::bson

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

/// The hash that the server uses for hashed indexes and hashed shard keys.
namespace oplog::inline v0_1 {

namespace detail {

/// MD5 (RFC 1321).
class Md5 {
  public:
    void add(std::string_view bytes) { message_ += bytes; }
    template <class T>
    void add_number(T number) {
        message_.append(reinterpret_cast<const char*>(&number), sizeof number);
    }
    /// Returns the digest's first eight bytes as a little-endian number.
    std::int64_t finish() {
        const std::uint64_t bits = std::uint64_t{message_.size()} * 8;
        message_ += static_cast<char>(0x80);
        message_.resize((message_.size() + 8 + 63) / 64 * 64 - 8);
        add_number(bits);
        std::array<std::uint32_t, 4> state{0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476};
        for (std::size_t block = 0; block < message_.size(); block += 64) mix(state, message_.data() + block);
        return static_cast<std::int64_t>(std::uint64_t{state[1]} << 32 | state[0]);
    }

  private:
    static void mix(std::array<std::uint32_t, 4>& state, const char* block) {
        static const std::array<std::uint32_t, 64> sines = [] {
            std::array<std::uint32_t, 64> table{};
            for (std::size_t i = 0; i < 64; ++i)
                table[i] = static_cast<std::uint32_t>(std::abs(std::sin(static_cast<double>(i + 1))) * 4294967296.0);
            return table;
        }();
        constexpr std::array<std::array<int, 4>, 4> shifts{{{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}}};
        auto [a, b, c, d] = state;
        for (std::size_t i = 0; i < 64; ++i) {
            const std::size_t round = i / 16;
            const std::uint32_t f = round == 0   ? (b & c) | (~b & d)
                                    : round == 1 ? (d & b) | (~d & c)
                                    : round == 2 ? b ^ c ^ d
                                                 : c ^ (b | ~d);
            const std::size_t word = (round == 0 ? i : round == 1 ? 5 * i + 1 : round == 2 ? 3 * i + 5 : 7 * i) % 16;
            const std::uint32_t sum = a + f + sines[i] + bson::load<std::uint32_t>(block + word * 4);
            a = d;
            d = c;
            c = b;
            b += std::rotl(sum, shifts[round][i % 4]);
        }
        state = {state[0] + a, state[1] + b, state[2] + c, state[3] + d};
    }

    std::string message_;
};

/// A decimal as a whole number, rounded half to even, and clamped to 64 bits.
inline std::int64_t to_int64(bson::Decimal128 decimal) {
    constexpr auto most = std::numeric_limits<std::int64_t>::max(), least = std::numeric_limits<std::int64_t>::min();
    const bool negative = decimal.high >> 63 != 0;
    const std::uint64_t top = decimal.high >> 58 & 0x1F;
    if (top == 0x1F) return 0; // NaN
    if (top == 0x1E) return negative ? least : most;
    if ((decimal.high >> 61 & 3) == 3) return 0; // a significand beyond 34 digits counts as zero
    __extension__ using Wide = unsigned __int128;
    Wide number = Wide{decimal.high & ((std::uint64_t{1} << 49) - 1)} << 64 | decimal.low;
    int exponent = static_cast<int>(decimal.high >> 49 & 0x3FFF) - 6176;
    for (; exponent > 0 && number != 0 && number <= Wide{1} << 64; --exponent) number *= 10;
    bool inexact = false; // whether digits below the one that decides the rounding are not zero
    unsigned digit = 0;
    for (; exponent < 0 && (number != 0 || digit != 0); ++exponent) {
        inexact |= digit != 0;
        digit = static_cast<unsigned>(number % 10);
        number /= 10;
    }
    if (exponent < 0) digit = 0; // less than a tenth remains
    if (digit > 5 || (digit == 5 && (inexact || number % 2 == 1))) ++number;
    if (number > static_cast<Wide>(most)) return negative ? least : most;
    return negative ? -static_cast<std::int64_t>(number) : static_cast<std::int64_t>(number);
}

/// A number as the server turns it into an integer before it hashes it. 2^63 becomes the least number, for historical reasons.
inline std::int64_t number_to_hash(const bson::Element& element) {
    if (element.is(bson::Type::decimal128)) return to_int64(element.decimal128());
    if (!element.is(bson::Type::double_)) return element.integer();
    const double number = element.real();
    constexpr double limit = 9223372036854775808.0;
    if (std::isnan(number)) return 0;
    if (number == limit || number < -limit) return std::numeric_limits<std::int64_t>::min();
    if (number > limit) return std::numeric_limits<std::int64_t>::max();
    return static_cast<std::int64_t>(number);
}

} // namespace detail

namespace bson {

/// The place of a type in the order of all values. Types with the same place are compared by their values.
inline std::int32_t canonical_type(Type type) {
    switch (type) {
    case Type::min_key: return -1;
    case Type::max_key: return 127;
    case Type::undefined: return 0;
    case Type::null: return 5;
    case Type::int32:
    case Type::int64:
    case Type::double_:
    case Type::decimal128: return 10;
    case Type::string:
    case Type::symbol: return 15;
    case Type::document: return 20;
    case Type::array: return 25;
    case Type::binary: return 30;
    case Type::object_id: return 35;
    case Type::boolean: return 40;
    case Type::date: return 45;
    case Type::timestamp: return 47;
    case Type::regex: return 50;
    case Type::db_pointer: return 55;
    case Type::code: return 60;
    case Type::code_with_scope: return 65;
    }
    throw DataError(Fault::bad_type, "a value of an unknown type");
}

/// The parts of code with scope. Throws DataError.
inline std::pair<std::string_view, Document> code_and_scope(const Element& element) {
    const std::string_view value = element.value();
    const auto size = value.size() < 8 ? 0 : load<std::uint32_t>(value.data() + 4);
    if (size == 0 || size > value.size() - 8)
        throw DataError(Fault::malformed, "code with scope has the impossible length " + std::to_string(size));
    return {value.substr(8, size - 1), Document(value.substr(8 + size))};
}

} // namespace bson

namespace detail {

inline void add_value(Md5& hash, const bson::Element& element, bool with_name, std::size_t depth) {
    using bson::Type;
    if (depth > bson::max_depth) throw DataError(Fault::too_deep, "a hashed value is nested too deeply");
    hash.add_number(bson::canonical_type(element.type()));
    if (with_name) hash.add({element.key().data(), element.key().size() + 1});
    const auto add_fields = [&](const bson::Document& document) {
        for (const bson::Element& field : document) add_value(hash, field, true, depth + 1);
        hash.add_number(std::int32_t{0}); // the end is hashed as a value without a type
    };
    switch (element.type()) {
    case Type::int32:
    case Type::int64:
    case Type::double_:
    case Type::decimal128: hash.add_number(number_to_hash(element)); return;
    case Type::document: add_fields(element.document()); return;
    case Type::array: add_fields(element.array()); return;
    case Type::code_with_scope: {
        const auto [code, scope] = bson::code_and_scope(element);
        hash.add({code.data(), code.size() + 1});
        add_fields(scope);
        return;
    }
    default: hash.add(element.value());
    }
}

} // namespace detail

/// Returns what a hashed index has for a value: numbers that differ only after the point are one. Throws DataError.
inline std::int64_t server_hash(const bson::Element& element) {
    detail::Md5 hash;
    hash.add_number(std::int32_t{0}); // the seed
    detail::add_value(hash, element, false, 1);
    return hash.finish();
}

} // namespace oplog

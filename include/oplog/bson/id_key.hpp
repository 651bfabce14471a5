// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace oplog::inline v0_1 {

namespace detail {

__extension__ using uint128 = unsigned __int128;

/// Writes the same bytes for values that the server considers equal.
class KeyWriter {
  public:
    explicit KeyWriter(std::string& out) noexcept : out_(&out) {}

    void value(const bson::Element& element, std::size_t depth = 1) {
        using bson::Type;
        const std::string_view bytes = element.value();
        switch (element.type()) {
        case Type::int32: return integer(bson::load<std::int32_t>(bytes.data()));
        case Type::int64: return integer(bson::load<std::int64_t>(bytes.data()));
        case Type::double_: return real(bson::load<double>(bytes.data()));
        case Type::decimal128: return decimal(bson::load<std::uint64_t>(bytes.data()), bson::load<std::uint64_t>(bytes.data() + 8));
        case Type::symbol: return plain(Type::string, bytes);
        case Type::document:
        case Type::array: {
            if (depth > bson::max_depth) throw DataError(Fault::too_deep, "an _id is nested too deeply");
            *out_ += static_cast<char>(element.type());
            const bson::Document inner = element.is(Type::array) ? element.array() : element.document();
            for (const bson::Element& field : inner) {
                *out_ += '\1';
                if (element.is(Type::document)) {
                    *out_ += field.key();
                    *out_ += '\0';
                }
                value(field, depth + 1);
            }
            *out_ += '\0';
            return;
        }
        default: return plain(element.type(), bytes);
        }
    }

    static std::optional<std::int64_t> whole_number(std::string_view key) noexcept {
        if (key.size() != 2 + sizeof(uint128) + 2 * sizeof(int) || key[0] != finite) return std::nullopt;
        auto m = bson::load<uint128>(key.data() + 2);
        const auto twos = bson::load<int>(key.data() + 2 + sizeof m), fives = bson::load<int>(key.data() + 2 + sizeof m + sizeof twos);
        constexpr uint128 limit = uint128{1} << 63;
        if (twos < 0 || fives < 0 || m > limit) return std::nullopt;
        for (int i = 0; i < twos && m != 0; ++i)
            if ((m *= 2) > limit) return std::nullopt;
        for (int i = 0; i < fives && m != 0; ++i)
            if ((m *= 5) > limit) return std::nullopt;
        const bool negative = key[1] != '\0';
        if (m == limit && !negative) return std::nullopt;
        const auto bits = static_cast<std::uint64_t>(m);
        return static_cast<std::int64_t>(negative ? ~bits + 1 : bits);
    }

  private:
    /// Numbers of all types share one canonical form: a sign, and m · 2^a · 5^b where neither 2 nor 5 divides m.
    enum Number : char { finite = 'n', nan = 'N', positive_infinity = 'P', negative_infinity = 'M' };

    void plain(bson::Type type, std::string_view bytes) {
        *out_ += static_cast<char>(type);
        *out_ += bytes;
    }
    void integer(std::int64_t value) {
        const auto bits = static_cast<std::uint64_t>(value);
        number(value < 0, value < 0 ? ~bits + 1 : bits, 0, 0);
    }
    void real(double value) {
        const auto bits = std::bit_cast<std::uint64_t>(value);
        const int exponent = static_cast<int>(bits >> 52 & 0x7FF);
        const std::uint64_t fraction = bits & ((std::uint64_t{1} << 52) - 1);
        const bool negative = bits >> 63 != 0;
        if (exponent == 0x7FF) return special(fraction != 0, negative);
        number(negative, exponent == 0 ? fraction : fraction | std::uint64_t{1} << 52, (exponent == 0 ? 1 : exponent) - 1075, 0);
    }
    void decimal(std::uint64_t low, std::uint64_t high) {
        const bool negative = high >> 63 != 0;
        const std::uint64_t top = high >> 58 & 0x1F;
        if (top >= 0x1E) return special(top == 0x1F, negative);
        const bool large = (high >> 61 & 3) == 3; // a significand of more than 34 digits, which counts as zero
        const int exponent = static_cast<int>((large ? high >> 47 : high >> 49) & 0x3FFF) - 6176;
        uint128 significand = large ? 0 : (uint128{high & ((std::uint64_t{1} << 49) - 1)} << 64 | low);
        uint128 limit = 1;
        for (int i = 0; i < 34; ++i) limit *= 10;
        if (significand >= limit) significand = 0;
        number(negative, significand, exponent, exponent);
    }
    void special(bool is_nan, bool negative) {
        *out_ += static_cast<char>(is_nan ? nan : negative ? negative_infinity : positive_infinity);
    }
    /// `Whole` is uint128 or, because dividing that takes long, an integer of 64 bits.
    template <class Whole>
    void number(bool negative, Whole m, int twos, int fives) {
        struct [[gnu::packed]] {
            char kind = finite, sign = 0;
            uint128 m = 0;
            int twos = 0, fives = 0;
        } key;
        if (m != 0) {
            for (; m % 2 == 0; m /= 2) ++twos;
            for (; m % 5 == 0; m /= 5) ++fives;
            key.sign = negative;
            key.m = m;
            key.twos = twos;
            key.fives = fives;
        }
        out_->append(reinterpret_cast<const char*>(&key), sizeof key);
    }

    std::string* out_;
};

} // namespace detail

/// Appends a canonical key: the bytes are equal for two values if and only if the server considers them the same `_id`.
/// Numbers of all types are compared by value, and embedded documents field by field in their order. Strings are
/// compared by their bytes whatever the collection's collation, because an oplog names documents by their stored `_id`.
/// Throws DataError.
inline void append_key(std::string& out, const bson::Element& value) { detail::KeyWriter(out).value(value); }

/// Appends the key of a document's `_id`. A document without `_id` has the key of null.
inline void append_id_key(std::string& out, const bson::Document& document) {
    const auto id = document.find("_id");
    append_key(out, id ? *id : bson::Element(bson::Type::null, "_id", {}));
}
/// The key of a document's `_id`; see append_id_key().
inline std::string id_key(const bson::Document& document) {
    std::string key;
    append_id_key(key, document);
    return key;
}

/// Returns the whole number that such bytes stand for; none if it is another value or does not fit into 64 bits.
inline std::optional<std::int64_t> whole_number(std::string_view key) noexcept { return detail::KeyWriter::whole_number(key); }

/// Whether the server considers two values the same `_id`.
inline bool same_id(const bson::Element& a, const bson::Element& b) {
    if (a.type() == b.type() && a.value() == b.value()) return true;
    std::string x, y;
    append_key(x, a);
    append_key(y, b);
    return x == y;
}

} // namespace oplog

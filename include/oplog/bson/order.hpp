// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/hashed.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <compare>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

/// The order that the server has for values of all types, without a collation: the one of indexes and of chunk bounds.
namespace oplog::inline v0_1::bson {

inline std::weak_ordering compare(const Element& a, const Element& b, std::size_t depth = 1);

namespace detail {

__extension__ using Wide = unsigned __int128;

/// A finite number that is not zero, as m * 2^twos * 5^fives, and its sign.
struct Number {
    enum class Kind { nan, negative_infinity, finite, positive_infinity } kind = Kind::finite;
    bool negative = false;
    Wide m = 0;
    int twos = 0, fives = 0;
};

inline Number number_of(const Element& element) {
    using Kind = Number::Kind;
    if (element.is(Type::double_)) {
        const double value = element.real();
        if (std::isnan(value)) return {Kind::nan};
        if (std::isinf(value)) return {value < 0 ? Kind::negative_infinity : Kind::positive_infinity};
        int exponent = 0;
        const double fraction = std::frexp(std::fabs(value), &exponent);
        return {Kind::finite, value < 0, static_cast<Wide>(std::ldexp(fraction, 53)), exponent - 53, 0};
    }
    if (element.is(Type::decimal128)) {
        const Decimal128 value = element.decimal128();
        const bool negative = value.high >> 63 != 0;
        const std::uint64_t top = value.high >> 58 & 0x1F;
        if (top == 0x1F) return {Kind::nan};
        if (top == 0x1E) return {negative ? Kind::negative_infinity : Kind::positive_infinity};
        if ((value.high >> 61 & 3) == 3) return {}; // a significand beyond 34 digits counts as zero
        const int exponent = static_cast<int>(value.high >> 49 & 0x3FFF) - 6176;
        return {Kind::finite, negative, Wide{value.high & ((std::uint64_t{1} << 49) - 1)} << 64 | value.low, exponent, exponent};
    }
    const std::int64_t value = element.integer();
    const auto bits = static_cast<std::uint64_t>(value);
    return {Kind::finite, value < 0, value < 0 ? ~bits + 1 : bits, 0, 0};
}

/// A natural number of any size, in digits of 32 bits, the lowest first.
class Natural {
  public:
    explicit Natural(Wide value) {
        for (; value != 0; value >>= 32) digits_.push_back(static_cast<std::uint32_t>(value));
    }
    Natural& multiply(std::uint32_t factor, int times) {
        for (int i = 0; i < times; ++i) {
            std::uint64_t carry = 0;
            for (std::uint32_t& digit : digits_) {
                carry += std::uint64_t{digit} * factor;
                digit = static_cast<std::uint32_t>(carry);
                carry >>= 32;
            }
            if (carry != 0) digits_.push_back(static_cast<std::uint32_t>(carry));
        }
        return *this;
    }
    friend std::strong_ordering operator<=>(const Natural& a, const Natural& b) {
        if (a.digits_.size() != b.digits_.size()) return a.digits_.size() <=> b.digits_.size();
        return std::lexicographical_compare_three_way(a.digits_.rbegin(), a.digits_.rend(), b.digits_.rbegin(), b.digits_.rend());
    }

  private:
    std::vector<std::uint32_t> digits_;
};

inline std::weak_ordering compare_magnitudes(const Number& a, const Number& b) {
    const auto size = [](const Number& number) {
        return std::log2(static_cast<long double>(number.m)) + static_cast<long double>(number.twos) +
               static_cast<long double>(number.fives) * std::log2(5.0L);
    };
    if (const long double x = size(a), y = size(b); std::fabs(x - y) > 0.01L)
        return x < y ? std::weak_ordering::less : std::weak_ordering::greater;
    const int twos = std::min(a.twos, b.twos), fives = std::min(a.fives, b.fives);
    const auto whole = [&](const Number& number) {
        return Natural(number.m).multiply(2, number.twos - twos).multiply(5, number.fives - fives);
    };
    return whole(a) <=> whole(b);
}

inline std::weak_ordering compare_numbers(const Element& a, const Element& b) {
    const auto is_integer = [](const Element& element) { return element.is(Type::int32) || element.is(Type::int64); };
    if (is_integer(a) && is_integer(b)) return a.integer() <=> b.integer();
    const Number x = number_of(a), y = number_of(b);
    if (x.kind != y.kind || x.kind != Number::Kind::finite) return x.kind <=> y.kind;
    const auto sign = [](const Number& number) { return number.m == 0 ? 0 : number.negative ? -1 : 1; };
    if (sign(x) != sign(y)) return sign(x) <=> sign(y);
    if (sign(x) == 0) return std::weak_ordering::equivalent;
    return sign(x) > 0 ? compare_magnitudes(x, y) : compare_magnitudes(y, x);
}

inline std::weak_ordering compare_documents(const Document& a, const Document& b, bool names_count, std::size_t depth) {
    Iterator x = a.begin(), y = b.begin();
    for (; x != std::default_sentinel && y != std::default_sentinel; ++x, ++y) {
        if (const auto types = canonical_type(x->type()) <=> canonical_type(y->type()); std::is_neq(types)) return types;
        if (const auto names = x->key() <=> y->key(); names_count && std::is_neq(names)) return names;
        if (const auto values = compare(*x, *y, depth + 1); std::is_neq(values)) return values;
    }
    return (x != std::default_sentinel) <=> (y != std::default_sentinel);
}

} // namespace detail

/// Compares two values as the server does; their names do not count. Throws DataError for malformed values.
inline std::weak_ordering compare(const Element& a, const Element& b, std::size_t depth) {
    if (depth > max_depth) throw DataError(Fault::too_deep, "a value is nested too deeply");
    if (const auto types = canonical_type(a.type()) <=> canonical_type(b.type()); std::is_neq(types)) return types;
    const std::string_view x = a.value(), y = b.value();
    switch (a.type()) {
    case Type::min_key:
    case Type::max_key:
    case Type::undefined:
    case Type::null: return std::weak_ordering::equivalent;
    case Type::int32:
    case Type::int64:
    case Type::double_:
    case Type::decimal128: return detail::compare_numbers(a, b);
    case Type::string:
    case Type::symbol:
    case Type::code: return x.substr(4, x.size() - 5) <=> y.substr(4, y.size() - 5);
    case Type::document: return detail::compare_documents(a.document(), b.document(), true, depth);
    case Type::array: return detail::compare_documents(a.array(), b.array(), false, depth);
    case Type::binary: // by size, subtype and data
        if (x.size() != y.size()) return x.size() <=> y.size();
        return x.substr(4) <=> y.substr(4);
    case Type::date: return load<std::int64_t>(x.data()) <=> load<std::int64_t>(y.data());
    case Type::timestamp: return load<std::uint64_t>(x.data()) <=> load<std::uint64_t>(y.data());
    case Type::db_pointer:
        if (x.size() != y.size()) return x.size() <=> y.size();
        return x <=> y;
    case Type::code_with_scope: {
        const auto [code, scope] = code_and_scope(a);
        const auto [other_code, other_scope] = code_and_scope(b);
        if (const auto codes = code <=> other_code; std::is_neq(codes)) return codes;
        return detail::compare_documents(scope, other_scope, true, depth);
    }
    default: return x <=> y; // ObjectIds, booleans, regular expressions: by their bytes
    }
}

} // namespace oplog::bson

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cmath>
#include <locale.h>
#include <optional>
#include <stdlib.h>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace oplog::inline v0_1::detail {

/// The number that all of `text` is, as std::from_chars reads it, whatever the locale; none if it is anything else or out of the type's
/// range.
template <class T>
std::optional<T> parse_number(std::string_view text) {
    const char* const end = text.data() + text.size();
#ifndef __cpp_lib_to_chars // libc++ before 20 has std::from_chars for integers alone
    if constexpr (std::is_same_v<T, double>) {
        if (text.starts_with('+') || text.find_first_not_of("0123456789+-.eE") != text.npos) return std::nullopt;
        static const ::locale_t classic = ::newlocale(LC_ALL_MASK, "C", nullptr);
        const std::string terminated(text);
        char* rest = nullptr;
        const double number = ::strtod_l(terminated.c_str(), &rest, classic);
        const bool is_zero = text.substr(0, text.find_first_of("eE")).find_first_of("123456789") == text.npos;
        if (text.empty() || *rest != '\0' || !std::isfinite(number) || (number == 0) != is_zero) return std::nullopt;
        return number;
    } else
#endif
    {
        T number{};
        const auto [rest, error] = std::from_chars(text.data(), end, number);
        if (error != std::errc{} || rest != end) return std::nullopt;
        return number;
    }
}

} // namespace oplog::detail

// SPDX-License-Identifier: Apache-2.0
#include <oplog/bson/parse_number.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>

using oplog::detail::parse_number;

TEST_CASE("a number is read whole or not at all") {
    CHECK(parse_number<std::int32_t>("-2147483648") == std::numeric_limits<std::int32_t>::min());
    CHECK(parse_number<std::uint8_t>("255") == 255);
    for (const char* text : {"", "-", "+1", " 1", "1 ", "1.5", "0x10", "2147483648"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_number<std::int32_t>(text));
    }
}

TEST_CASE("a real number is read to its last bit, and none beyond its range") {
    CHECK(parse_number<double>("0.1") == 0.1);
    CHECK(parse_number<double>("-1.7976931348623157e308") == std::numeric_limits<double>::lowest());
    CHECK(parse_number<double>("5e-324") == std::numeric_limits<double>::denorm_min());
    CHECK(parse_number<double>("0e-400") == 0);
    const auto zero = parse_number<double>("-0.0");
    REQUIRE(zero);
    CHECK(std::signbit(*zero));
    for (const char* text : {"", "-", "+1", " 1", "1 ", "1,5", "0x10", "1e400", "1e-400", "1e", "one"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_number<double>(text));
    }
}

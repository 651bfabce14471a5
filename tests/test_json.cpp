// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <oplog/bson/json.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <random>
#include <utility>
#include <vector>

using namespace oplog;
using namespace oplog::test;
using namespace std::string_literals;

namespace {

/// The JSON of a document in memory of just its size, so that the sanitizer sees every byte read beyond it.
std::string json(const std::string& bytes, JsonMode mode = JsonMode::canonical, JsonLayout layout = JsonLayout::line) {
    const std::vector<char> exact(bytes.begin(), bytes.end());
    return to_json(bson::Document(std::string_view(exact.data(), exact.size())), mode, layout);
}
std::string refusal(const std::string& bytes) {
    return message_of<DataError>([&] { json(bytes); });
}

const std::string two_lengths = "a binary of subtype 2 has two lengths that differ";

/// Why a document cannot be printed, but for binaries with two lengths.
std::string reason_of(const bson::Document& document) {
    return message_of<DataError>([&] { bson::validate<bson::Text::any>(document); });
}

/// Whether something is printed in place of what is no text.
bool is_replaced(const std::string& bytes) {
    const std::string text = json(bytes);
    return text.find("\\ufffd") != text.npos || text.find("\xEF\xBF\xBD") != text.npos;
}

/// What is printed for {"x": VALUE}, without {"x": and }.
std::string printed(int type, const std::string& value, JsonMode mode = JsonMode::canonical) {
    const std::string text = json(Bson().raw(type, "x", value).bytes(), mode);
    REQUIRE(text.starts_with(R"({"x":)"));
    return text.substr(5, text.size() - 6);
}
std::string relaxed(int type, const std::string& value) { return printed(type, value, JsonMode::relaxed); }

std::string string_value(std::string_view text) { return little_endian(text.size() + 1, 4) + std::string(text) + '\0'; }
std::string printed_string(std::string_view text) { return printed(0x02, string_value(text)); }
std::string double_value(double value) { return little_endian(std::bit_cast<std::uint64_t>(value), 8); }
std::string int64_value(std::int64_t value) { return little_endian(static_cast<std::uint64_t>(value), 8); }
std::string binary_value(int subtype, const std::string& data) { return little_endian(data.size(), 4) + static_cast<char>(subtype) + data; }
std::string scoped(std::string_view code, const Bson& scope) {
    const std::string value = string_value(code) + scope.bytes();
    return little_endian(value.size() + 4, 4) + value;
}

const std::string oid = "\x01\x23\x45\x67\x89\xAB\xCD\xEF\x01\x23\x45\x67";

/// Characters, and what stands for them in JSON.
const std::pair<std::string, std::string> characters[] = {
    {"\0"s, "\\u0000"},
    {"\x01", "\\u0001"},
    {"\a", "\\u0007"},
    {"\b", "\\b"},
    {"\t", "\\t"},
    {"\n", "\\n"},
    {"\v", "\\u000b"},
    {"\f", "\\f"},
    {"\r", "\\r"},
    {"\x1F", "\\u001f"},
    {"\"", "\\\""},
    {"\\", "\\\\"},
    {"/", "/"},
    {"<>&'", "<>&'"},
    {" ", " "},
    {"\x7F", "\x7F"},
    {"\xC2\x80", "\xC2\x80"},
    {"\xC3\xA9", "\xC3\xA9"},
    {"\xDF\xBF", "\xDF\xBF"},
    {"\xE0\xA0\x80", "\xE0\xA0\x80"},
    {"\xE2\x80\xA7", "\xE2\x80\xA7"},
    {"\xE2\x80\xA8", "\\u2028"},
    {"\xE2\x80\xA9", "\\u2029"},
    {"\xE2\x80\xAA", "\xE2\x80\xAA"},
    {"\xE2\x81\xA8", "\xE2\x81\xA8"},
    {"\xED\x9F\xBF", "\xED\x9F\xBF"},
    {"\xEE\x80\x80", "\xEE\x80\x80"},
    {"\xEF\xBF\xBD", "\xEF\xBF\xBD"},
    {"\xEF\xBF\xBF", "\xEF\xBF\xBF"},
    {"\xF0\x90\x80\x80", "\xF0\x90\x80\x80"},
    {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
    {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
};

/// Every type there is, nested and not.
Bson all_types() {
    const std::string decimal = little_endian(150, 8) + little_endian(0x303C000000000000, 8);
    Bson all;
    all.raw(0x01, "double", double_value(0.1)).string("string", "\xC3\xA9\xE6\xBC\xA2\xF0\x9F\x98\x80 and 16 bytes of text");
    all.document("document", Bson().int32("a", 1).document("b", Bson())).array("array", Bson().int32("0", 1).array("1", Bson()));
    all.raw(0x05, "binary", binary_value(0, "abcd")).raw(0x05, "old", binary_value(2, little_endian(3, 4) + "abc"));
    all.raw(0x06, "undefined", "").raw(0x07, "oid", oid).raw(0x08, "true", "\1").raw(0x09, "date", int64_value(1610422195248));
    all.raw(0x0A, "null", "").raw(0x0B, "regex", "a\0imx\0"s).raw(0x0C, "pointer", string_value("a.b") + oid);
    all.raw(0x0D, "code", string_value("f")).raw(0x0E, "symbol", string_value("s"));
    all.raw(0x0F, "scoped", scoped("f", Bson().int32("a", 1).array("b", Bson().int32("0", 2))));
    all.int32("int32", -1).timestamp("timestamp", {1, 2}).int64("int64", 1).raw(0x13, "decimal", decimal);
    return all.raw(0xFF, "min", "").raw(0x7F, "max", "");
}

} // namespace

TEST_CASE("every type is printed in its canonical form") {
    CHECK(printed(0x01, double_value(1)) == R"({"$numberDouble":"1.0"})");
    CHECK(printed(0x02, string_value("")) == R"("")");
    CHECK(printed(0x03, Bson().bytes()) == "{}");
    CHECK(printed(0x03, Bson().int32("", 1).int32("a.b", 2).int32("$c", 3).bytes()) ==
          R"({"":{"$numberInt":"1"},"a.b":{"$numberInt":"2"},"$c":{"$numberInt":"3"}})");
    CHECK(printed(0x04, Bson().bytes()) == "[]");
    CHECK(printed(0x04, Bson().int32("0", 1).document("1", Bson()).array("2", Bson().int32("0", 2)).bytes()) ==
          R"([{"$numberInt":"1"},{},[{"$numberInt":"2"}]])");
    CHECK(printed(0x06, "") == R"({"$undefined":true})");
    CHECK(printed(0x07, oid) == R"({"$oid":"0123456789abcdef01234567"})");
    CHECK(printed(0x07, std::string(12, '\xFF')) == R"({"$oid":"ffffffffffffffffffffffff"})");
    CHECK(printed(0x08, "\1") == "true");
    CHECK(printed(0x08, "\0"s) == "false");
    CHECK(printed(0x0A, "") == "null");
    CHECK(printed(0x0B, "\0\0"s) == R"({"$regularExpression":{"pattern":"","options":""}})");
    CHECK(printed(0x0B, "ab/\\d\"\0im\0"s) == R"({"$regularExpression":{"pattern":"ab/\\d\"","options":"im"}})");
    CHECK(printed(0x0C, string_value("a.b") + oid) == R"({"$dbPointer":{"$ref":"a.b","$id":{"$oid":"0123456789abcdef01234567"}}})");
    CHECK(printed(0x0D, string_value("a\"\0\xC3\xA9"s)) == "{\"$code\":\"a\\\"\\u0000\xC3\xA9\"}");
    CHECK(printed(0x0E, string_value("\xC3\xA9\0\n"s)) == "{\"$symbol\":\"\xC3\xA9\\u0000\\n\"}");
    CHECK(printed(0x0F, scoped("", Bson())) == R"({"$code":"","$scope":{}})");
    CHECK(printed(0x0F, scoped("f\n", Bson().int64("x", 1))) == R"({"$code":"f\n","$scope":{"x":{"$numberLong":"1"}}})");
    CHECK(printed(0x11, little_endian(0xFFFFFFFF00000000, 8)) == R"({"$timestamp":{"t":4294967295,"i":0}})");
    CHECK(printed(0x11, little_endian(0x000000010FFFFFFF, 8)) == R"({"$timestamp":{"t":1,"i":268435455}})");
    CHECK(printed(0xFF, "") == R"({"$minKey":1})");
    CHECK(printed(0x7F, "") == R"({"$maxKey":1})");
    CHECK(json(Bson().bytes()) == "{}");
    CHECK(json(all_types().bytes()) ==
          R"({"double":{"$numberDouble":"0.1"},"string":")"
          "\xC3\xA9\xE6\xBC\xA2\xF0\x9F\x98\x80 and 16 bytes of text"
          R"(","document":{"a":{"$numberInt":"1"},"b":{}},"array":[{"$numberInt":"1"},[]],)"
          R"("binary":{"$binary":{"base64":"YWJjZA==","subType":"00"}},"old":{"$binary":{"base64":"YWJj","subType":"02"}},)"
          R"("undefined":{"$undefined":true},"oid":{"$oid":"0123456789abcdef01234567"},"true":true,)"
          R"("date":{"$date":{"$numberLong":"1610422195248"}},"null":null,"regex":{"$regularExpression":{"pattern":"a","options":"imx"}},)"
          R"("pointer":{"$dbPointer":{"$ref":"a.b","$id":{"$oid":"0123456789abcdef01234567"}}},"code":{"$code":"f"},)"
          R"("symbol":{"$symbol":"s"},"scoped":{"$code":"f","$scope":{"a":{"$numberInt":"1"},"b":[{"$numberInt":"2"}]}},)"
          R"("int32":{"$numberInt":"-1"},"timestamp":{"$timestamp":{"t":1,"i":2}},"int64":{"$numberLong":"1"},)"
          R"("decimal":{"$numberDecimal":"1.50"},"min":{"$minKey":1},"max":{"$maxKey":1}})");
}

TEST_CASE("integers are printed in full") {
    for (const std::int32_t value :
         {0, 1, -1, 9, 10, 99, 100, 1234567890, std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::min()}) {
        CHECK(json(Bson().int32("x", value).bytes()) == R"({"x":{"$numberInt":")" + std::to_string(value) + R"("}})");
        CHECK(json(Bson().int32("x", value).bytes(), JsonMode::relaxed) == R"({"x":)" + std::to_string(value) + "}");
    }
    for (const std::int64_t value :
         {std::int64_t{0}, std::int64_t{-1}, std::int64_t{99999999}, std::int64_t{100000000}, std::int64_t{1} << 53,
          std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()}) {
        CHECK(json(Bson().int64("x", value).bytes()) == R"({"x":{"$numberLong":")" + std::to_string(value) + R"("}})");
        CHECK(json(Bson().int64("x", value).bytes(), JsonMode::relaxed) == R"({"x":)" + std::to_string(value) + "}");
    }
}

TEST_CASE("doubles have the shape that Go gives them") {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    // clang-format off
    const std::pair<double, const char*> shapes[] = {
        {0.0, "0.0"}, {-0.0, "-0.0"}, {1, "1.0"}, {-1, "-1.0"}, {10, "10.0"}, {100, "100.0"}, {99999, "99999.0"}, {100000, "100000.0"},
        {123456, "123456.0"}, {999999, "999999.0"}, {1e6, "1E+06"}, {1000001, "1.000001E+06"}, {1234567, "1.234567E+06"},
        {12345678.9, "1.23456789E+07"}, {123456.789, "123456.789"}, {999999.9, "999999.9"}, {999999.9999999999, "999999.9999999999"},
        {1e9, "1E+09"}, {1e10, "1E+10"}, {1e15, "1E+15"}, {1e16, "1E+16"}, {1e20, "1E+20"}, {1e21, "1E+21"}, {1e22, "1E+22"}, {1e23, "1E+23"},
        {1e99, "1E+99"}, {1e100, "1E+100"}, {-1e100, "-1E+100"}, {1e308, "1E+308"}, {1.7976931348623157e308, "1.7976931348623157E+308"},
        {0.1, "0.1"}, {0.01, "0.01"}, {0.001, "0.001"}, {0.0001, "0.0001"}, {0.00012345, "0.00012345"}, {0.0123, "0.0123"},
        {9.999999999999999e-5, "9.999999999999999E-05"}, {1e-5, "1E-05"}, {1.5e-5, "1.5E-05"}, {1e-6, "1E-06"}, {1e-10, "1E-10"},
        {1.5e-300, "1.5E-300"}, {5e-324, "5E-324"}, {-5e-324, "-5E-324"}, {2.2250738585072014e-308, "2.2250738585072014E-308"},
        {2.225073858507201e-308, "2.225073858507201E-308"}, {0.5, "0.5"}, {1.5, "1.5"}, {-1.5, "-1.5"}, {0.125, "0.125"}, {0.0625, "0.0625"},
        {19.99, "19.99"}, {1.001, "1.001"}, {1.0001, "1.0001"}, {4.35, "4.35"}, {0.3, "0.3"}, {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"}, {2.0 / 3, "0.6666666666666666"}, {100.0 / 3, "33.333333333333336"}, {3.141592653589793, "3.141592653589793"},
        {9007199254740991.0, "9.007199254740991E+15"}, {9007199254740993.0, "9.007199254740992E+15"}, {18446744073709551616.0, "1.8446744073709552E+19"},
        {std::nextafter(1.0, 2.0), "1.0000000000000002"}, {std::nextafter(1.0, 0.0), "0.9999999999999999"}, {std::nextafter(0.001, 1.0), "0.0010000000000000002"},
        {123456789012345680.0, "1.2345678901234568E+17"}, {infinity, "Infinity"}, {-infinity, "-Infinity"},
    };
    // clang-format on
    for (const auto& [value, text] : shapes) {
        CHECK(printed(0x01, double_value(value)) == R"({"$numberDouble":")"s + text + R"("})");
        if (std::isfinite(value)) CHECK(relaxed(0x01, double_value(value)) == text);
    }
    for (const std::uint64_t nan : {0x7FF8000000000000u, 0xFFF8000000000000u, 0x7FF0000000000001u, 0x7FF8DEADBEEF0000u}) {
        CHECK(printed(0x01, little_endian(nan, 8)) == R"({"$numberDouble":"NaN"})");
        CHECK(relaxed(0x01, little_endian(nan, 8)) == R"({"$numberDouble":"NaN"})");
    }
    CHECK(relaxed(0x01, double_value(infinity)) == R"({"$numberDouble":"Infinity"})");
    CHECK(relaxed(0x01, double_value(-infinity)) == R"({"$numberDouble":"-Infinity"})");
}

TEST_CASE("doubles read back as they were, in as few digits as that takes") {
    std::mt19937_64 random(1);
    for (int i = 0; i < 200'000; ++i) {
        double value = std::bit_cast<double>(random());
        if (i % 2) value = static_cast<double>(random() % 2'000'000'000) / std::pow(10.0, static_cast<double>(random() % 10));
        if (!std::isfinite(value)) continue;
        const std::string text = relaxed(0x01, double_value(value));
        REQUIRE(std::strtod(text.c_str(), nullptr) == value);
        char shortest[32];
        const char* const end = std::to_chars(shortest, shortest + sizeof shortest, value, std::chars_format::scientific).ptr;
        const auto digits = [](std::string_view number) { // the significant ones
            std::string found;
            for (const char c : number.substr(0, number.find_first_of("eE")))
                if (c >= '0' && c <= '9' && !(found.empty() && c == '0')) found += c;
            while (!found.empty() && found.back() == '0') found.pop_back();
            return found;
        };
        REQUIRE(digits(text) == digits(std::string_view(shortest, static_cast<std::size_t>(end - shortest))));
    }
}

TEST_CASE("dates are milliseconds, however far out") {
    for (const std::int64_t value :
         {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1610422195248}, std::int64_t{-62135596800000}, std::int64_t{253402300800000},
          std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()})
        CHECK(printed(0x09, int64_value(value)) == R"({"$date":{"$numberLong":")" + std::to_string(value) + R"("}})");
}

TEST_CASE("relaxed dates are ISO dates from 1970 to 9999") {
    const std::pair<std::int64_t, const char*> dates[] = {
        {0, "1970-01-01T00:00:00Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {10, "1970-01-01T00:00:00.01Z"},
        {100, "1970-01-01T00:00:00.1Z"},
        {999, "1970-01-01T00:00:00.999Z"},
        {1356351330500, "2012-12-24T12:15:30.5Z"},
        {1356351330501, "2012-12-24T12:15:30.501Z"},
        {1610422195248, "2021-01-12T03:29:55.248Z"},
        {951782400000, "2000-02-29T00:00:00Z"},
        {4107542400000, "2100-03-01T00:00:00Z"},
        {4107542399999, "2100-02-28T23:59:59.999Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
    };
    for (const auto& [value, text] : dates) CHECK(relaxed(0x09, int64_value(value)) == R"({"$date":")"s + text + R"("})");
    for (const std::int64_t value : {std::int64_t{-1}, std::int64_t{253402300800000}, std::numeric_limits<std::int64_t>::max(),
                                     std::numeric_limits<std::int64_t>::min()})
        CHECK(relaxed(0x09, int64_value(value)) == R"({"$date":{"$numberLong":")" + std::to_string(value) + R"("}})");
}

TEST_CASE("decimals have the specification's form") {
    struct Case {
        std::uint64_t high, low;
        const char* text;
    };
    constexpr std::uint64_t negative = 0x8000000000000000, unit = 0x3040000000000000, step = 0x0002000000000000; // exponents 0 and 1
    const Case cases[] = {
        {0x7C00000000000000, 0, "NaN"},
        {0xFC00000000000000, 0, "NaN"},
        {0x7E00000000000000, 18, "NaN"},
        {0x7800000000000000, 0, "Infinity"},
        {0xF800000000000000, 0, "-Infinity"},
        {unit, 0, "0"},
        {unit | negative, 0, "-0"},
        {unit, 1, "1"},
        {unit | negative, 1, "-1"},
        {unit, 1234567890, "1234567890"},
        {unit + step, 0, "0E+1"},
        {unit + 3 * step, 1, "1E+3"},
        {unit + 3 * step, 1050, "1.050E+6"},
        {unit + 3 * step, 10, "1.0E+4"},
        {unit - step, 0, "0.0"},
        {unit - 6 * step, 0, "0.000000"},
        {unit - 7 * step, 0, "0E-7"},
        {unit - 2 * step, 150, "1.50"},
        {unit - step, 1, "0.1"},
        {unit - 6 * step, 1, "0.000001"},
        {unit - 7 * step, 1, "1E-7"},
        {unit - 7 * step, 12, "0.0000012"},
        {unit - 8 * step, 12, "1.2E-7"},
        {unit - 4 * step, 1234, "0.1234"},
        {unit - 3 * step, 1234, "1.234"},
        {unit - 10 * step, 1234, "1.234E-7"},
        {0, 1, "1E-6176"},
        {0, 0, "0E-6176"},
        {0x5FFE000000000000, 0, "0E+6111"},
        {0x5FFFED09BEAD87C0, 0x378D8E63FFFFFFFF, "9.999999999999999999999999999999999E+6144"},
        {0x3041ED09BEAD87C0, 0x378D8E63FFFFFFFF, "9999999999999999999999999999999999"},
        {0x302FED09BEAD87C0, 0x378D8E63FFFFFFFF, "9999999999999999999999999.999999999"},
        // 35 digits, which no decimal should have, are printed all the same; the other form's are all zero.
        {0x3041ED09BEAD87C0, 0x378D8E6400000000, "10000000000000000000000000000000000"},
        {0xB041FFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, "-10384593717069655257060992658440191"},
        {0xB03FFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, "-1038459371706965525706099265844019.1"},
        {0x6C10000000000000, 0, "0"},
        {0xEC107FFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, "-0"},
        {0x6000000000000000, 1, "0E-6176"},
    };
    for (const Case& c : cases) {
        CHECK(printed(0x13, little_endian(c.low, 8) + little_endian(c.high, 8)) == R"({"$numberDecimal":")"s + c.text + R"("})");
        CHECK(relaxed(0x13, little_endian(c.low, 8) + little_endian(c.high, 8)) == R"({"$numberDecimal":")"s + c.text + R"("})");
    }
}

TEST_CASE("binary data is base64") {
    const std::pair<const char*, const char*> forms[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"},
                                                         {"\xFF\xEF\xBE\xFB", "/+++\x2Bw=="}};
    for (const auto& [data, text] : forms)
        CHECK(printed(0x05, binary_value(0, data)) == R"({"$binary":{"base64":")"s + text + R"(","subType":"00"}})");
    for (const auto& [subtype, text] : {std::pair{3, "03"}, {4, "04"}, {5, "05"}, {9, "09"}, {0x80, "80"}, {0xFF, "ff"}})
        CHECK(printed(0x05, binary_value(subtype, "\xFF\xFF")) == R"({"$binary":{"base64":"//8=","subType":")"s + text + R"("}})");
    CHECK(printed(0x05, binary_value(2, little_endian(3, 4) + "abc")) == R"({"$binary":{"base64":"YWJj","subType":"02"}})");
    // As bsondump has it: the length inside.
    CHECK(printed(0x05, binary_value(2, little_endian(0, 4))) == R"({"$binary":{"base64":"AAAAAA==","subType":"02"}})");
}

TEST_CASE("a regular expression's options are sorted") {
    CHECK(printed(0x0B, "a\0xmi\0"s) == R"({"$regularExpression":{"pattern":"a","options":"imx"}})");
    CHECK(printed(0x0B, "a\0i\xF0\x9F\x98\x80\xC3\xA9"
                        "\"ai\0"s) == "{\"$regularExpression\":{\"pattern\":\"a\",\"options\":\"\\\"aii\xC3\xA9\xF0\x9F\x98\x80\"}}");
}

TEST_CASE("a DBPointer's namespace is escaped") {
    CHECK(printed(0x0C, string_value("a\"b\\") + oid) == R"({"$dbPointer":{"$ref":"a\"b\\","$id":{"$oid":"0123456789abcdef01234567"}}})");
}

TEST_CASE("fields that look like Extended JSON are fields like any other") {
    CHECK(json(Bson().document("x", Bson().string("$date", "today")).bytes()) == R"({"x":{"$date":"today"}})");
    CHECK(json(Bson().document("x", Bson().int32("$type", 1).string("$ref", "")).bytes()) ==
          R"({"x":{"$type":{"$numberInt":"1"},"$ref":""}})");
}

TEST_CASE("strings are escaped as bsondump does it, wherever in a string a character is") {
    for (const auto& [raw, escaped] : characters) {
        for (std::size_t before = 0; before < 35; ++before) {
            for (const std::size_t after : {0, 1, 3, 7, 15, 40, 80}) {
                const std::string front(before, 'a'), back(after, 'z');
                const std::string bytes = front + raw + back, expected = "\"" + front + escaped + back + "\"";
                REQUIRE(printed_string(bytes) == expected);
                REQUIRE(printed_string(raw + bytes + raw) == "\"" + escaped + front + escaped + back + escaped + "\"");
                if (raw[0] == 0) continue;
                REQUIRE(json(Bson().raw(0x0A, bytes, "").bytes()) == "{" + expected + ":null}");
                REQUIRE(printed(0x0B, bytes + '\0' + '\0') == R"({"$regularExpression":{"pattern":)" + expected + R"(,"options":""}})");
            }
        }
    }
}

TEST_CASE("text that is a mixture is printed whole, and an error is found anywhere in it") {
    std::mt19937 random(1);
    for (int i = 0; i < 20'000; ++i) {
        const std::size_t pieces = random() % 60;
        const auto plain = 1 + random() % 20; // in so many of them, one is not
        std::string raw, escaped;
        for (std::size_t piece = 0; piece < pieces; ++piece) {
            const auto& [from, to] =
                random() % plain == 0 ? characters[random() % std::size(characters)] : std::pair<std::string, std::string>("a", "a");
            raw += from;
            escaped += to;
        }
        const std::string after(random() % 90, 'z');
        const auto document = [&](const std::string& text) { return Bson().string("x", text).string("y", after).bytes(); };
        REQUIRE(json(document(raw)) == "{\"x\":\"" + escaped + "\",\"y\":\"" + after + "\"}");
        if (raw.empty()) continue;
        raw[random() % raw.size()] = static_cast<char>(random());
        if (bson::is_utf8(raw))
            REQUIRE(json(document(raw)).ends_with(",\"y\":\"" + after + "\"}"));
        else
            REQUIRE(json(document(raw)).find("\\ufffd") != raw.npos);
        if (raw.find('\0') == raw.npos) CHECK(refusal(Bson().int32(raw, 1).string("y", after).bytes()).empty());
    }
}

TEST_CASE("long runs of characters that need escapes fit") {
    for (const std::size_t size : {1000, 100'000}) {
        std::string controls, separators;
        for (std::size_t i = 0; i < size; ++i) {
            controls += "\\u0001";
            separators += "\\u2028";
        }
        std::string raw;
        for (std::size_t i = 0; i < size; ++i) raw += "\xE2\x80\xA8";
        CHECK(printed_string(std::string(size, '\x01')) == "\"" + controls + "\"");
        CHECK(printed_string(raw) == "\"" + separators + "\"");
        CHECK(json(Bson().raw(0x0A, std::string(size, '\x01'), "").bytes()) == "{\"" + controls + "\":null}");
        CHECK(json(Bson().raw(0x0A, raw, "").bytes()) == "{\"" + separators + "\":null}");
        CHECK(printed_string(std::string(size, 'x')) == "\"" + std::string(size, 'x') + "\"");
        CHECK(printed(0x05, binary_value(0, std::string(size * 3, '\0'))) ==
              R"({"$binary":{"base64":")" + std::string(size * 4, 'A') + R"(","subType":"00"}})");
        CHECK(printed(0x0B, "\0"s + std::string(size, 'i') + '\0') ==
              R"({"$regularExpression":{"pattern":"","options":")" + std::string(size, 'i') + R"("}})");
    }
}

TEST_CASE("escapes fit wherever the buffer's memory ends") {
    const std::string quotes(31, '"'), more(100, '"'), escaped = "\\" + std::string("\"");
    const auto printed_quotes = [&](std::size_t count) {
        std::string text;
        while (count-- > 0) text += escaped;
        return text;
    };
    for (std::size_t size = 0; size < 4200; ++size) { // the buffer grows from 2 KiB to 8
        Bson document;
        document.string("a", std::string(size, 'x'))
            .raw(0x0B, std::string(32, 'k') + quotes, quotes + '\0' + more + '\0')
            .raw(0x0C, quotes, string_value(more) + oid);
        document.raw(0x0F, quotes, scoped(more, Bson().string(quotes, more))).string(more, more).string("after", std::string(100, 'z'));
        const std::string q31 = printed_quotes(31), q100 = printed_quotes(100);
        REQUIRE(json(document.bytes()) ==
                R"({"a":")" + std::string(size, 'x') + "\",\"" + std::string(32, 'k') + q31 + R"(":{"$regularExpression":{"pattern":")" +
                    q31 + R"(","options":")" + q100 + "\"}},\"" + q31 + R"(":{"$dbPointer":{"$ref":")" + q100 +
                    R"(","$id":{"$oid":"0123456789abcdef01234567"}}},")" + q31 + R"(":{"$code":")" + q100 + R"(","$scope":{")" + q31 +
                    "\":\"" + q100 + "\"}},\"" + q100 + "\":\"" + q100 + R"(","after":")" + std::string(100, 'z') + "\"}");
    }
}

TEST_CASE("the index of an array's element does not show") {
    CHECK(json(Bson().array("a", Bson().int32("7", 1).int32("", 2).int32("\xC3\xA9", 3)).bytes(), JsonMode::relaxed) == R"({"a":[1,2,3]})");
}

TEST_CASE("each byte that is not UTF-8 is printed as U+FFFD everywhere") {
    // clang-format off
    const std::string cases[] = {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2x", "\xE0\x9F\xBF", "\xE0\xA0", "\xE0\xA0x", "\xED\xA0\x80", "\xED\xBF\xBF",
                                 "\xEF\xBF", "\xF0\x8F\xBF\xBF", "\xF0\x90\x80", "\xF0\x90\x80x", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF"};
    // clang-format on
    for (const std::string& bad : cases) {
        for (const std::size_t before : {0, 7, 8, 15, 16, 30, 31, 33}) {
            for (const std::size_t after : {0, 20, 70}) {
                const std::string text = std::string(before, 'a') + bad + std::string(after, 'z');
                CAPTURE(text);
                CHECK(is_replaced(Bson().string("x", text).bytes()));
                CHECK(is_replaced(Bson().int32(text, 1).bytes()));
                CHECK(is_replaced(Bson().raw(0x0B, "x", text + '\0' + '\0').bytes()));
                CHECK(is_replaced(Bson().raw(0x0B, "x", '\0' + text + '\0').bytes()));
                CHECK(is_replaced(Bson().raw(0x0C, "x", string_value(text) + oid).bytes()));
                CHECK(is_replaced(Bson().raw(0x0D, "x", string_value(text)).bytes()));
                CHECK(is_replaced(Bson().raw(0x0E, "x", string_value(text)).bytes()));
                CHECK(is_replaced(Bson().raw(0x0F, "x", scoped(text, Bson())).bytes()));
            }
        }
    }
}

TEST_CASE("values that contradict themselves are errors") {
    CHECK(refusal(Bson().raw(0x08, "x", "\2").bytes()) == "boolean 'x' is neither true nor false");
    CHECK(refusal(Bson().raw(0x02, "x", little_endian(1, 4) + "x").bytes()) == "string 'x' does not end with a zero byte");
    CHECK(refusal(Bson().raw(0x02, "x", little_endian(0, 4)).bytes()) == "string has the impossible length 0");
    CHECK(refusal(Bson().raw(0x05, "x", binary_value(2, little_endian(2, 4) + "abc")).bytes()) == two_lengths);
    CHECK(refusal(Bson().raw(0x05, "x", binary_value(2, "abc")).bytes()) == two_lengths);
    CHECK(refusal(Bson().raw(0x20, "x", "").bytes()) == "unknown BSON type 0x20");
    std::string scope_too_long = scoped("f", Bson());
    ++scope_too_long[10];
    CHECK(refusal(Bson().raw(0x0F, "x", scope_too_long).bytes()) == "code with scope 'x' has a scope of another length than its own");
}

TEST_CASE("a document that is cut or changed anywhere is an error or still a document, as validate() says") {
    JsonBuffer buffer;
    std::size_t good = 0, bad = 0;
    const auto compare = [&](const std::string& bytes) {
        const std::vector<char> exact(bytes.begin(), bytes.end());
        const auto document = bson::Document::trusted(exact.data());
        const std::string reason = reason_of(document);
        buffer.clear();
        buffer.append("before");
        const std::string refused = message_of<DataError>([&] { buffer.append(document); });
        REQUIRE((refused == reason || (reason.empty() && refused == two_lengths)));
        REQUIRE((buffer.text() == "before") == !refused.empty());
        ++(refused.empty() ? good : bad);
    };
    for (const Bson& document :
         {all_types(), Bson().document("d", all_types()).array("a", all_types()).raw(0x0F, "c", scoped("x", all_types()))}) {
        const std::string whole = document.bytes();
        for (std::size_t at = 4; at < whole.size(); ++at) {
            for (const int change : {0x00, 0x01, 0x22, 0x7F, 0x80, 0xFF, whole[at] + 1, whole[at] - 1, whole[at] ^ 0x10}) {
                std::string changed = whole;
                changed[at] = static_cast<char>(change);
                compare(changed);
            }
            std::string cut = whole.substr(0, at) + '\0'; // its own length and terminator are right
            cut.replace(0, 4, little_endian(cut.size(), 4));
            compare(cut);
        }
    }
    CHECK(good > 1000);
    CHECK(bad > 1000);
}

TEST_CASE("random damage is found or harmless") {
    std::mt19937_64 random(2);
    const std::string whole = all_types().bytes();
    for (int i = 0; i < 30'000; ++i) {
        std::vector<char> bytes(whole.begin(), whole.end());
        for (int n = static_cast<int>(random() % 4); n >= 0; --n) bytes[4 + random() % (bytes.size() - 4)] = static_cast<char>(random());
        const auto document = bson::Document::trusted(bytes.data());
        const std::string reason = reason_of(document);
        for (const auto mode : {JsonMode::canonical, JsonMode::relaxed}) {
            const std::string refused = message_of<DataError>([&] { to_json(document, mode, JsonLayout::pretty); });
            REQUIRE((refused == reason || (reason.empty() && refused == two_lengths)));
        }
    }
}

TEST_CASE("nesting of 250 levels prints and of 100,000 is an error") {
    const auto expected = [](std::size_t levels) {
        std::string text;
        for (std::size_t i = 1; i < levels; ++i) text += R"({"a":)";
        return text + "{}" + std::string(levels - 1, '}');
    };
    CHECK(json(nested(250)) == expected(250));
    CHECK(json(nested(bson::max_depth)) == expected(bson::max_depth));
    CHECK(refusal(nested(bson::max_depth + 1)) == "nested more than 1000 levels deep");
    CHECK(refusal(nested(100'000)) == "nested more than 1000 levels deep");

    Bson arrays, scopes;
    for (std::size_t i = 0; i < bson::max_depth - 1; ++i) arrays = Bson().array("0", arrays);
    CHECK(json(arrays.bytes()) == R"({"0":)" + std::string(bson::max_depth - 1, '[') + std::string(bson::max_depth - 1, ']') + "}");
    CHECK(refusal(Bson().array("0", arrays).bytes()) == "nested more than 1000 levels deep");
    for (std::size_t i = 0; i < bson::max_depth - 1; ++i) scopes = Bson().raw(0x0F, "c", scoped("", scopes));
    CHECK(refusal(scopes.bytes()) == "");
    CHECK(refusal(Bson().raw(0x0F, "c", scoped("", scopes)).bytes()) == "nested more than 1000 levels deep");
}

TEST_CASE("the pretty layout is bsondump's") {
    const auto pretty = [](const Bson& document) { return json(document.bytes(), JsonMode::canonical, JsonLayout::pretty); };
    CHECK(pretty(Bson()) == "{}");
    CHECK(pretty(Bson().int32("a", 1).document("b", Bson()).array("c", Bson())) ==
          "{\n\t\"a\": {\n\t\t\"$numberInt\": \"1\"\n\t},\n\t\"b\": {},\n\t\"c\": []\n}");
    CHECK(pretty(Bson().array("a", Bson().raw(0x0A, "0", "").document("1", Bson().raw(0x08, "x", "\1")))) ==
          "{\n\t\"a\": [\n\t\tnull,\n\t\t{\n\t\t\t\"x\": true\n\t\t}\n\t]\n}");
    // What is in a string is left alone.
    CHECK(pretty(Bson().string("{,:[\"\\", "]}\\\"{ ,:\\")) == "{\n\t\"{,:[\\\"\\\\\": \"]}\\\\\\\"{ ,:\\\\\"\n}");
    CHECK(json(Bson().int32("a", 1).bytes(), JsonMode::relaxed, JsonLayout::pretty) == "{\n\t\"a\": 1\n}");
}

TEST_CASE("relaxed JSON keeps to the canonical form where there is no plain one") {
    CHECK(
        json(all_types().bytes(), JsonMode::relaxed) ==
        R"({"double":0.1,"string":")"
        "\xC3\xA9\xE6\xBC\xA2\xF0\x9F\x98\x80 and 16 bytes of text"
        R"(","document":{"a":1,"b":{}},"array":[1,[]],)"
        R"("binary":{"$binary":{"base64":"YWJjZA==","subType":"00"}},"old":{"$binary":{"base64":"YWJj","subType":"02"}},)"
        R"("undefined":{"$undefined":true},"oid":{"$oid":"0123456789abcdef01234567"},"true":true,)"
        R"("date":{"$date":"2021-01-12T03:29:55.248Z"},"null":null,"regex":{"$regularExpression":{"pattern":"a","options":"imx"}},)"
        R"("pointer":{"$dbPointer":{"$ref":"a.b","$id":{"$oid":"0123456789abcdef01234567"}}},"code":{"$code":"f"},)"
        R"("symbol":{"$symbol":"s"},"scoped":{"$code":"f","$scope":{"a":1,"b":[2]}},)"
        R"("int32":-1,"timestamp":{"$timestamp":{"t":1,"i":2}},"int64":1,"decimal":{"$numberDecimal":"1.50"},"min":{"$minKey":1},"max":{"$maxKey":1}})");
}

TEST_CASE("a buffer collects documents and is used again") {
    const std::string one = Bson().int32("a", 1).bytes(), large = Bson().string("s", std::string(100'000, 's')).bytes();
    JsonBuffer buffer(JsonMode::relaxed);
    CHECK(buffer.text() == "");
    buffer.append("");
    buffer.append(bson::Document(one));
    buffer.append("\n");
    buffer.append(bson::Document(one));
    CHECK(buffer.text() == "{\"a\":1}\n{\"a\":1}");
    CHECK(buffer.size() == 15);
    buffer.append(bson::Document(large));
    CHECK(buffer.text() == "{\"a\":1}\n{\"a\":1}{\"s\":\"" + std::string(100'000, 's') + "\"}");
    buffer.clear();
    CHECK(buffer.text() == "");
    buffer.append(std::string(10'000, ','));
    CHECK(buffer.text() == std::string(10'000, ','));

    JsonBuffer other(std::move(buffer));
    CHECK(other.size() == 10'000);
    buffer = JsonBuffer(JsonMode::canonical, JsonLayout::pretty);
    buffer.append(of_bytes(Bson().bytes()));
    CHECK(buffer.text() == "{}");
    other = std::move(buffer);
    CHECK(other.text() == "{}");
}

TEST_CASE("append_json() adds to a string or leaves it as it was") {
    std::string out = "[";
    append_json(out, of_bytes(Bson().int32("a", 1).bytes()), JsonMode::relaxed);
    CHECK(out == "[{\"a\":1}");
    CHECK_THROWS_AS(append_json(out, of_bytes(Bson().int32("a", 1).raw(0x08, "b", "\2").bytes())), DataError);
    CHECK(out == "[{\"a\":1}");
}

TEST_CASE("every oplog of every chain is printed as the real bsondump printed it") {
    namespace fs = std::filesystem;
    const auto printed_file = [](const fs::path& path) {
        const std::string bytes = read_file(path.string());
        JsonBuffer buffer;
        for (const bson::Document document : BasicReader<MemorySource, bson::Document>(MemorySource(bytes), path.string())) {
            buffer.append(document);
            buffer.append("\n");
        }
        return std::string(buffer.text());
    };
    const fs::path data = OPLOG_TEST_DATA;
    CHECK(printed_file(data / "types/types.bson") == read_file((data / "types/types.bson.json").string()));

    std::size_t compared = 0;
    for (const fs::directory_entry& golden : fs::recursive_directory_iterator(data)) {
        if (golden.path().parent_path().filename() != "golden" || golden.path().extension() != ".json") continue;
        const fs::path chain = golden.path().parent_path().parent_path();
        for (const fs::directory_entry& input :
             fs::recursive_directory_iterator(chain)) { // inc1-local-oplog.rs.bson.json: inc1/local/oplog.rs.bson
            std::string name = input.path().lexically_relative(chain).generic_string() + ".json";
            std::replace(name.begin(), name.end(), '/', '-');
            if (name != golden.path().filename()) continue;
            CAPTURE(input.path().string());
            CHECK((printed_file(input.path()) == read_file(golden.path().string())));
            ++compared;
        }
    }
    CHECK(compared >= 20);
}

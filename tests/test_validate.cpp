// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

std::string refusal(const std::string& bytes) {
    return message_of<DataError>([&] { bson::validate(bson::Document(bytes)); });
}
std::string with_string(std::string_view value) { return Bson().string("s", value).bytes(); }

} // namespace

TEST_CASE("UTF-8 is told from what is not") {
    for (const char* good :
         {"", "ascii only, and long enough for a word at a time", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
          "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "1234567\xC3\xA9", "12345678\xC3\xA9"}) {
        CAPTURE(good);
        CHECK(bson::is_utf8(good));
    }
    for (const char* bad :
         {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2x", "\xE0\x9F\xBF", "\xE0\xA0", "\xED\xA0\x80", "\xED\xBF\xBF",
          "\xF0\x8F\xBF\xBF", "\xF0\x90\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF", "12345678\xFF", "1234567\xC3"}) {
        CAPTURE(bad);
        CHECK(!bson::is_utf8(bad));
    }
    CHECK(bson::is_utf8(std::string_view("a\0b", 3)));
}

TEST_CASE("one bad byte is found at any place in text of any length") {
    for (std::size_t size = 0; size < 40; ++size) {
        std::string text(size, 'x');
        CHECK(bson::is_utf8(text));
        for (std::size_t i = 0; i < size; ++i) {
            text[i] = '\xFF';
            CHECK(!bson::is_utf8(text));
            text[i] = 'x';
        }
    }
}

TEST_CASE("a good document passes") {
    CHECK(refusal(Bson().bytes()) == "");
    CHECK(refusal(entry({1, 1})) == "");
    CHECK(refusal(with_string("\xC3\xA9")) == "");
}

TEST_CASE("the content of values is checked") {
    CHECK(refusal(with_string("\xFF")) == "string 's' is not valid UTF-8");
    CHECK(refusal(Bson().raw(0x02, "s", little_endian(1, 4) + "x").bytes()) == "string 's' does not end with a zero byte");
    CHECK(refusal(Bson().raw(0x0D, "c", little_endian(2, 4) + std::string("\xFF\0", 2)).bytes()) == "code 'c' is not valid UTF-8");
    CHECK(refusal(Bson().raw(0x0E, "c", little_endian(2, 4) + std::string("\xFF\0", 2)).bytes()) == "symbol 'c' is not valid UTF-8");
    CHECK(refusal(Bson().raw(0x0B, "r", std::string("\xFF\0\0", 3)).bytes()) == "regular expression 'r' is not valid UTF-8");
    CHECK(refusal(Bson().raw(0x0C, "p", little_endian(2, 4) + std::string("\xFF\0", 2) + "abcdefghijkl").bytes()) ==
          "DBPointer 'p' is not valid UTF-8");
    CHECK(refusal(Bson().raw(0x08, "b", "\2").bytes()) == "boolean 'b' is neither true nor false");
    CHECK(refusal(Bson().int32("\xFF", 1).bytes()) == "a field name is not valid UTF-8");
    CHECK(refusal(Bson().raw(0x05, "b", little_endian(5, 4) + "\2" + little_endian(1, 4) + "x").bytes()) == "");
    CHECK(refusal(Bson().raw(0x05, "b", little_endian(5, 4) + "\2" + little_endian(2, 4) + "x").bytes()) ==
          "binary 'b' has two lengths that differ");
    CHECK(refusal(Bson().raw(0x05, "b", little_endian(1, 4) + "\2x").bytes()) == "binary 'b' has two lengths that differ");
}

TEST_CASE("what is nested is checked as well") {
    CHECK(refusal(Bson().document("d", Bson().array("a", Bson().raw(0x08, "0", "\7"))).bytes()) == "boolean '0' is neither true nor false");
    std::string unterminated = Bson().document("d", Bson()).bytes();
    unterminated[unterminated.size() - 2] = 1;
    CHECK(refusal(unterminated) == "a nested document does not end with a zero byte");
    CHECK(refusal(Bson().document("d", Bson().raw(0x10, "x", "")).bytes()) == "int32 runs past the end of its document");
}

TEST_CASE("code with scope agrees with its own lengths") {
    const auto scoped = [](std::uint64_t total, std::uint64_t code, const Bson& scope) {
        return Bson().raw(0x0F, "c", little_endian(total, 4) + little_endian(code, 4) + std::string("f\0", 2) + scope.bytes()).bytes();
    };
    CHECK(refusal(scoped(15, 2, {})) == "");
    CHECK(refusal(scoped(22, 2, Bson().int32("x", 1))) == "");
    CHECK(refusal(scoped(15, 3, {})) == "code with scope 'c' runs past its own end");
    CHECK(refusal(scoped(15, 0, {})) == "code with scope 'c' runs past its own end");
    CHECK(refusal(scoped(15, 0xFFFFFFFF, {})) == "code with scope 'c' runs past its own end");
    CHECK(refusal(scoped(15, 1, {})) != "");
    CHECK(refusal(scoped(22, 2, Bson().raw(0x08, "xyz", "\3").raw(0x08, "", "\1"))) != "");
}

TEST_CASE("nesting of 250 levels works and of 100,000 is an error") {
    CHECK(refusal(nested(1)) == "");
    CHECK(refusal(nested(250)) == "");
    CHECK(refusal(nested(bson::max_depth)) == "");
    CHECK(refusal(nested(bson::max_depth + 1)) == "nested more than 1000 levels deep");
    CHECK(refusal(nested(100'000)) == "nested more than 1000 levels deep");
}

TEST_CASE("nesting that is too deep is found among whatever surrounds it, and nothing else is looked for") {
    const auto too_deep = [](const Bson& fields) {
        const std::string bytes = fields.bytes();
        return bson::is_nested_too_deeply(bson::Document(bytes));
    };
    const std::string deep = nested(bson::max_depth), deepest = nested(bson::max_depth - 1), large(10'000, 'x');
    CHECK(nested(bson::max_depth + 1).size() > bson::least_size_of_levels(bson::max_depth + 1));
    CHECK_FALSE(bson::is_nested_too_deeply(bson::Document(deep)));
    CHECK_FALSE(too_deep(Bson().raw(0x03, "o", deepest).string("s", large)));
    CHECK(too_deep(Bson().raw(0x03, "o", deep).string("s", large)));
    CHECK(too_deep(Bson().string("s", large).int32("n", 1).raw(0x03, "b", deepest).raw(0x04, "o", deep)));
    CHECK(too_deep(Bson().raw(0x03, "a", Bson().string("s", large).raw(0x03, "o", deepest).bytes())));
    CHECK_FALSE(too_deep(Bson().raw(0x03, "a", Bson().string("s", large).raw(0x03, "o", nested(bson::max_depth - 2)).bytes())));

    const auto size_of = [](std::uint32_t size) { return std::string(reinterpret_cast<const char*>(&size), 4); };
    const auto code_with_scope = [&](const std::string& scope) {
        return size_of(static_cast<std::uint32_t>(4 + 4 + 2 + scope.size())) + size_of(2) + std::string("c\0", 2) + scope;
    };
    CHECK(too_deep(Bson().raw(0x0F, "c", code_with_scope(deep))));
    CHECK_FALSE(too_deep(Bson().raw(0x0F, "c", code_with_scope(deepest))));

    std::string malformed = Bson().raw(0x03, "o", deep).string("s", large).bytes();
    malformed[4] = 0x55; // no type
    CHECK_FALSE(bson::is_nested_too_deeply(bson::Document(malformed)));
    CHECK_FALSE(too_deep(Bson().raw(0x0F, "c", size_of(20) + size_of(0xFFFFFFFF) + std::string(12, '\0')).string("s", large)));
}

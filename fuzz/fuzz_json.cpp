// SPDX-License-Identifier: Apache-2.0
// Uses bytes as recipes for documents of awkward text, printed all over a buffer, and compares the output with a simple
// way to escape it.
#include "fuzz.hpp"

#include <oplog/bson/builder.hpp>
#include <oplog/bson/json.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::string_view_literals;

/// Yields numbers made of the bytes, and zeros when they are used up.
class Recipe {
  public:
    explicit Recipe(std::string_view bytes) : rest_(bytes) {}
    bool more() const { return !rest_.empty(); }
    std::size_t next() {
        if (rest_.empty()) return 0;
        const auto byte = static_cast<unsigned char>(rest_[0]);
        rest_.remove_prefix(1);
        return byte;
    }

  private:
    std::string_view rest_;
};

struct Text {
    std::string raw, json;
};

Text text(Recipe& recipe, bool c_string) {
    static constexpr std::pair<std::string_view, std::string_view> pieces[] = {
        {"a", "a"},
        {"\"", "\\\""},
        {"\"", "\\\""},
        {"\"", "\\\""},
        {"\\", "\\\\"},
        {"\n", "\\n"},
        {"\x01", "\\u0001"},
        {"\xC3\xA9", "\xC3\xA9"},
        {"\xE6\x9D\xB1", "\xE6\x9D\xB1"},
        {"\xE0\xB8\x81", "\xE0\xB8\x81"},
        {"\xE2\x82\xAC", "\xE2\x82\xAC"},
        {"\xE2\x80\xA8", "\\u2028"},
        {"\xED\x95\x9C", "\xED\x95\x9C"},
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
        {"\x7F", "\x7F"},
        {"0123456789", "0123456789"},
        {"\0"sv, "\\u0000"},
    };
    static constexpr std::string_view broken[] = {"\x80",         "\xC3",         "\xE6\x9D",         "\xC0\x80",
                                                  "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF"};
    static constexpr std::size_t repeats[] = {1, 2, 3, 7, 15, 16, 30, 31, 32, 33, 64}; // the printer takes 32 bytes at a time
    Text result;
    for (std::size_t left = recipe.next() % 4; left > 0; --left) {
        const std::size_t choice = recipe.next();
        if (choice >= 0xFC) {
            const std::string_view bytes = broken[recipe.next() % std::size(broken)];
            result.raw += bytes;
            result.raw += 'a'; // so that what follows does not make a character of it
            for (std::size_t i = 0; i < bytes.size(); ++i) result.json += "\\ufffd";
            result.json += 'a';
            continue;
        }
        const auto& [raw, json] = pieces[choice % (std::size(pieces) - (c_string ? 1 : 0))];
        for (std::size_t times = repeats[recipe.next() % std::size(repeats)]; times > 0; --times) {
            result.raw += raw;
            result.json += json;
        }
    }
    return result;
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Recipe recipe({reinterpret_cast<const char*>(data), size});
    oplog::bson::Builder builder;
    std::string expected = "{";
    const auto use = [](const Text& text) { return "\"" + text.json + "\""; };
    while (recipe.more()) {
        const std::size_t kind = recipe.next() % 6;
        const Text key = text(recipe, true), value = text(recipe, kind == 4), inner = text(recipe, true);
        const auto name = [&](char type) { return type + key.raw + '\0'; };
        const auto counted = [](const std::string& raw) {
            const auto length = static_cast<std::uint32_t>(raw.size() + 1);
            return std::string(reinterpret_cast<const char*>(&length), 4) + raw + '\0';
        };
        expected += (expected.size() > 1 ? "," : "") + use(key) + ":";
        switch (kind) {
        case 0: // in an array
            builder.begin_array(key.raw).string("0", value.raw).end();
            expected += "[" + use(value) + "]";
            break;
        case 1: // as a name inside
            builder.begin_document(key.raw).null(inner.raw).end();
            expected += "{" + use(inner) + ":null}";
            break;
        case 2: // code
            builder.raw(name('\x0D') + counted(value.raw));
            expected += "{\"$code\":" + use(value) + "}";
            break;
        case 3:
            builder.raw(name('\x0C') + counted(value.raw) + std::string(12, '\x11'));
            expected += "{\"$dbPointer\":{\"$ref\":" + use(value) + ",\"$id\":{\"$oid\":\"111111111111111111111111\"}}}";
            break;
        case 4: { // options are printed in sorted order, so here they are all the same
            const std::size_t count = recipe.next() % 128;
            builder.raw(name('\x0B') + value.raw + '\0' + std::string(count, '"') + '\0');
            expected += "{\"$regularExpression\":{\"pattern\":" + use(value) + ",\"options\":\"";
            for (std::size_t i = 0; i < count; ++i) expected += "\\\"";
            expected += "\"}}";
            break;
        }
        default: builder.string(key.raw, value.raw); expected += use(value);
        }
    }
    expected += "}";

    const std::string bytes = builder.finish();
    const std::vector<char> exact(bytes.begin(), bytes.end()); // so that a sanitizer sees reads beyond it
    const auto try_after = [&](const std::string& before) {
        oplog::JsonBuffer buffer;
        buffer.append("");
        buffer.append(before);
        buffer.append(oplog::bson::Document(std::string_view(exact.data(), exact.size())));
        REQUIRE(buffer.text() == before + expected);
    };
    try_after("");
    constexpr std::size_t first_room = 7 * oplog::detail::json_slack; // so that the buffer grows somewhere in the document
    for (std::size_t place = 0; place < 16; ++place)
        if (const std::size_t reach = expected.size() * place / 16; reach < first_room) try_after(std::string(first_room - reach, '.'));
    return 0;
}

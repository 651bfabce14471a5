// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/bson/document.hpp>
#include <oplog/bson/hex.hpp>
#include <oplog/bson/parse_number.hpp>
#include <oplog/bson/validate.hpp>
#include <oplog/error.hpp>
#include <oplog/timestamp.hpp>

#include <algorithm>
#include <array>
#include <bson/bson.h>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace oplog::inline v0_1 {

namespace detail {

/// Reads Extended JSON, version 2, as MongoDB's Go driver and therefore mongorestore reads it. libbson's parser takes
/// more objects for types: it would make a regular expression of `{"$regex": "a", "$options": "i"}`, which is a
/// document in the pipeline of a view.
class JsonParser {
  public:
    JsonParser(std::string_view text, std::size_t most) noexcept : text_(text), most_(most) {}

    std::string parse() {
        skip_space();
        bson::Builder out;
        expect('{');
        members(out, 1);
        skip_space();
        if (at_ != text_.size()) fail("something follows the document");
        return out.finish();
    }

  private:
    [[noreturn]] void fail(const std::string& reason, Fault fault = Fault::bad_json) const {
        throw DataError(fault, "JSON: byte " + std::to_string(at_) + ": " + reason);
    }

    char peek() const noexcept { return at_ < text_.size() ? text_[at_] : '\0'; }
    void skip_space() noexcept {
        while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
    }
    bool take(char c) noexcept {
        skip_space();
        if (peek() != c) return false;
        ++at_;
        return true;
    }
    void expect(char c) {
        if (!take(c)) fail(std::string("'") + c + "' expected");
    }

    std::uint32_t hex4() {
        std::uint32_t value = 0;
        const char* first = text_.data() + at_;
        if (text_.size() - at_ < 4 || std::from_chars(first, first + 4, value, 16).ptr != first + 4)
            fail("\\u without four hexadecimal digits");
        at_ += 4;
        return value;
    }
    static void append_utf8(std::string& out, std::uint32_t c) {
        const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (c >> shift & 0x3F)); };
        if (c < 0x80) {
            out += static_cast<char>(c);
        } else if (c < 0x800) {
            out += static_cast<char>(0xC0 | c >> 6);
            tail(0);
        } else if (c < 0x10000) {
            out += static_cast<char>(0xE0 | c >> 12);
            tail(6);
            tail(0);
        } else {
            out += static_cast<char>(0xF0 | c >> 18);
            tail(12);
            tail(6);
            tail(0);
        }
    }
    std::string string() {
        expect('"');
        std::string out;
        for (;;) {
            if (at_ == text_.size()) fail("a string does not end");
            const char c = text_[at_++];
            if (c == '"') break;
            if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
            if (c != '\\') {
                out += c;
                continue;
            }
            const char escape = at_ < text_.size() ? text_[at_++] : '\0';
            static constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
            if (escape == 'u') {
                std::uint32_t unit = hex4();
                if (unit >= 0xD800 && unit < 0xDC00 && text_.substr(at_, 2) == "\\u") {
                    at_ += 2;
                    const std::uint32_t low = hex4();
                    if (low < 0xDC00 || low > 0xDFFF) fail("half of a surrogate pair");
                    unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                }
                append_utf8(out, unit);
            } else if (const std::size_t which = letters.find(escape); which != letters.npos) {
                out += meanings[which];
            } else {
                fail("unknown escape");
            }
        }
        if (!bson::is_utf8(out)) fail("a string is not UTF-8");
        return out;
    }
    std::string key() {
        std::string name = string();
        if (name.find('\0') != name.npos) fail("a field name holds a zero byte");
        skip_space();
        expect(':');
        skip_space();
        return name;
    }

    /// Reads the members of an object whose '{' has been read, including the closing '}'.
    void members(bson::Builder& out, std::size_t depth) {
        check_depth(depth);
        if (take('}')) return;
        do {
            skip_space();
            const std::string name = key();
            value(out, name, depth);
        } while (take(','));
        expect('}');
    }

    void check_depth(std::size_t depth) const {
        if (depth > bson::max_depth) fail("nested too deeply", Fault::too_deep);
    }
    void value(bson::Builder& out, const std::string& name, std::size_t depth) {
        skip_space();
        switch (peek()) {
        case '{': object(out, name, depth); break;
        case '[': {
            ++at_;
            check_depth(depth + 1);
            out.begin_array(name);
            if (!take(']')) {
                std::size_t index = 0;
                do value(out, std::to_string(index++), depth + 1);
                while (take(','));
                expect(']');
            }
            out.end();
            break;
        }
        case '"': out.string(name, string()); break;
        case 't': word("true"), out.boolean(name, true); break;
        case 'f': word("false"), out.boolean(name, false); break;
        case 'n': word("null"), out.null(name); break;
        default: number(out, name);
        }
        if (out.size() > most_) fail("more than " + std::to_string(most_) + " bytes as BSON", Fault::too_large);
    }
    void word(std::string_view expected) {
        if (text_.substr(at_, expected.size()) != expected) fail("no JSON value");
        at_ += expected.size();
    }
    void number(bson::Builder& out, const std::string& name) {
        const std::string_view rest = text_.substr(at_);
        const std::string_view digits = rest.substr(0, std::min(rest.size(), rest.find_first_not_of("+-.0123456789eE")));
        if (digits.empty()) fail("no JSON value");
        if (!is_number(digits)) fail("no number");
        at_ += digits.size();
        std::int64_t whole = 0;
        if (digits.find_first_of(".eE") == digits.npos && parse_into(digits, whole)) {
            if (whole >= std::numeric_limits<std::int32_t>::min() && whole <= std::numeric_limits<std::int32_t>::max())
                out.int32(name, static_cast<std::int32_t>(whole));
            else
                out.int64(name, whole);
        } else {
            double real = 0;
            if (!parse_into(digits, real)) fail("no number");
            out.real(name, real);
        }
    }
    /// Follows JSON's grammar: accepts 1, -0.5, 1E+20; rejects 01, +1, .5, 1., inf.
    static bool is_number(std::string_view text) noexcept {
        const auto digits = [&] {
            const std::size_t count = std::min(text.size(), text.find_first_not_of("0123456789"));
            text.remove_prefix(count);
            return count;
        };
        take_char(text, "-");
        const bool zero = text.starts_with('0');
        if (const std::size_t count = digits(); count == 0 || (zero && count > 1)) return false;
        if (take_char(text, ".") && digits() == 0) return false;
        if (take_char(text, "eE")) {
            take_char(text, "+-");
            if (digits() == 0) return false;
        }
        return text.empty();
    }
    template <class T>
    static bool parse_into(std::string_view digits, T& number) {
        const auto parsed = parse_number<T>(digits);
        number = parsed.value_or(T{});
        return parsed.has_value();
    }

    /// Reads an object. It is a document unless its first name stands for a type.
    void object(bson::Builder& out, const std::string& name, std::size_t depth) {
        const std::size_t start = at_;
        ++at_;
        if (take('"')) {
            --at_;
            const std::string type = key();
            if (type.starts_with('$') && typed(out, name, type, depth)) return;
        }
        at_ = start + 1;
        out.begin_document(name);
        members(out, depth + 1);
        out.end();
    }

    template <class T>
    T number_text() {
        const std::string digits = string();
        T value{};
        if (!is_number(digits) || !parse_into(std::string_view(digits), value)) fail("'" + digits + "' is not a number of its type");
        return value;
    }
    /// Reads a name that must come next.
    void field(std::string_view name) {
        if (key() != name) fail("\"" + std::string(name) + "\" expected");
    }
    template <class T>
    T plain_number(T most) {
        const std::string_view rest = text_.substr(at_);
        const std::string_view digits = rest.substr(0, std::min(rest.size(), rest.find_first_not_of("-0123456789")));
        T value{};
        if (!is_number(digits) || !parse_into(digits, value) || value > most) fail("no number of its type");
        at_ += digits.size();
        return value;
    }
    std::string object_id() {
        std::string bytes = bson::from_hex(string());
        if (bytes.size() != 12) fail("an ObjectId is not 24 hexadecimal digits");
        return bytes;
    }
    /// Reads "01234567-89ab-cdef-0123-456789abcdef".
    std::string uuid() {
        std::string text = string(), bytes;
        if (text.size() == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-') {
            std::erase(text, '-');
            bytes = bson::from_hex(text);
        }
        if (bytes.size() != 16) fail("a UUID is not 32 hexadecimal digits and four hyphens");
        return bytes;
    }
    static bool parse_hex(std::string_view digits, std::uint8_t& byte) {
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
        return error == std::errc{} && end == digits.data() + digits.size();
    }
    std::string base64(const std::string& text) {
        static constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        std::string bytes;
        std::uint32_t bits = 0;
        int have = 0;
        const std::size_t end = std::min(text.size(), text.find('='));
        for (const char c : std::string_view(text).substr(0, end)) {
            const std::size_t value = alphabet.find(c);
            if (value == alphabet.npos) fail("binary data is not base64");
            bits = bits << 6 | static_cast<std::uint32_t>(value);
            have += 6;
            if (have >= 8) {
                have -= 8;
                bytes += static_cast<char>(bits >> have);
            }
        }
        if (text.size() % 4 != 0 || text.size() - end > 2 || text.find_first_not_of('=', end) != text.npos)
            fail("binary data is not base64");
        return bytes;
    }

    /// Reads a value of a type that JSON lacks; the first name has been read. Returns false if the name stands for no
    /// type.
    bool typed(bson::Builder& out, const std::string& name, const std::string& type, std::size_t depth) {
        if (type == "$numberInt") {
            out.int32(name, number_text<std::int32_t>());
        } else if (type == "$numberLong") {
            out.int64(name, number_text<std::int64_t>());
        } else if (type == "$numberDouble") {
            const std::string text = string();
            double value = text == "NaN"         ? std::numeric_limits<double>::quiet_NaN()
                           : text == "Infinity"  ? std::numeric_limits<double>::infinity()
                           : text == "-Infinity" ? -std::numeric_limits<double>::infinity()
                                                 : 0;
            if (std::isfinite(value) && (!is_number(text) || !parse_into(std::string_view(text), value)))
                fail("'" + text + "' is not a number of its type");
            out.real(name, value);
        } else if (type == "$numberDecimal") {
            const std::string text = string();
            ::bson_decimal128_t decimal;
            if (text.find('\0') != text.npos || !::bson_decimal128_from_string(text.c_str(), &decimal))
                fail("'" + text + "' is not a number of its type");
            std::array<std::uint64_t, 2> words{decimal.low, decimal.high};
            raw(out, bson::Type::decimal128, name, {reinterpret_cast<const char*>(words.data()), sizeof words});
        } else if (type == "$oid") {
            raw(out, bson::Type::object_id, name, object_id());
        } else if (type == "$uuid") {
            out.binary(name, 4, uuid());
        } else if (type == "$symbol") {
            text_value(out, bson::Type::symbol, name, string());
        } else if (type == "$date") {
            if (take('{')) {
                skip_space();
                field("$numberLong");
                out.date(name, number_text<std::int64_t>());
                expect('}');
            } else if (peek() == '"') {
                out.date(name, iso_date(string()));
            } else {
                out.date(name, plain_number(std::numeric_limits<std::int64_t>::max()));
            }
        } else if (type == "$timestamp") {
            std::uint32_t t = 0, i = 0;
            two_fields(
                "t", [&] { t = plain_number(std::numeric_limits<std::uint32_t>::max()); }, "i",
                [&] { i = plain_number(std::numeric_limits<std::uint32_t>::max()); });
            out.timestamp(name, {t, i});
        } else if (type == "$regularExpression") {
            std::string pattern, options;
            two_fields(
                "pattern", [&] { pattern = string(); }, "options", [&] { options = string(); });
            if ((pattern + options).find('\0') != std::string::npos) fail("a regular expression holds a zero byte");
            raw(out, bson::Type::regex, name, pattern + '\0' + options + '\0');
        } else if (type == "$binary" && peek() == '{') {
            std::string data, subtype;
            two_fields(
                "base64", [&] { data = base64(string()); }, "subType", [&] { subtype = string(); });
            std::uint8_t number = 0;
            if (!parse_hex(subtype, number)) fail("a binary subtype is not hexadecimal");
            if (number == 2) { // the old generic subtype holds its length a second time
                const auto size = static_cast<std::uint32_t>(data.size());
                data.insert(0, reinterpret_cast<const char*>(&size), sizeof size);
            }
            out.binary(name, number, data);
        } else if (type == "$dbPointer") {
            std::string ns, id;
            two_fields(
                "$ref", [&] { ns = string(); }, "$id",
                [&] {
                    expect('{');
                    skip_space();
                    field("$oid");
                    id = object_id();
                    expect('}');
                });
            const auto size = static_cast<std::uint32_t>(ns.size() + 1);
            raw(out, bson::Type::db_pointer, name, std::string(reinterpret_cast<const char*>(&size), sizeof size) + ns + '\0' + id);
        } else if (type == "$code") {
            const std::string code = string();
            if (take(',')) {
                skip_space();
                field("$scope");
                bson::Builder scope;
                expect('{');
                members(scope, depth + 1);
                const std::string document = scope.finish();
                std::string body;
                const auto add = [&](std::size_t size) {
                    const auto number = static_cast<std::uint32_t>(size);
                    body.append(reinterpret_cast<const char*>(&number), sizeof number);
                };
                add(4 + 4 + code.size() + 1 + document.size());
                add(code.size() + 1);
                body += code + '\0' + document;
                raw(out, bson::Type::code_with_scope, name, body);
            } else {
                text_value(out, bson::Type::code, name, code);
            }
        } else if (type == "$minKey" || type == "$maxKey") {
            if (plain_number(1) != 1) fail(type + " is not 1");
            raw(out, type == "$minKey" ? bson::Type::min_key : bson::Type::max_key, name, {});
        } else if (type == "$undefined") {
            word("true");
            raw(out, bson::Type::undefined, name, {});
        } else {
            return false;
        }
        skip_space();
        if (!take('}')) fail("more than its type in a " + type);
        return true;
    }

    static void raw(bson::Builder& out, bson::Type type, std::string_view name, std::string_view value) {
        std::string element(1, static_cast<char>(type));
        element += name;
        element += '\0';
        element += value;
        out.raw(element);
    }
    static void text_value(bson::Builder& out, bson::Type type, std::string_view name, const std::string& text) {
        const auto size = static_cast<std::uint32_t>(text.size() + 1);
        raw(out, type, name, std::string(reinterpret_cast<const char*>(&size), sizeof size) + text + '\0');
    }

    /// Reads an object of two fields, in either order.
    template <class First, class Second>
    void two_fields(std::string_view first, First read_first, std::string_view second, Second read_second) {
        expect('{');
        skip_space();
        const std::string name = key();
        if (name == first) {
            read_first();
            expect(',');
            skip_space();
            field(second);
            read_second();
        } else if (name == second) {
            read_second();
            expect(',');
            skip_space();
            field(first);
            read_first();
        } else {
            fail("\"" + std::string(first) + "\" expected");
        }
        expect('}');
    }

    /// Reads "2021-01-12T03:29:55.248Z". The fraction may be missing, and an offset may stand for the Z. Anything finer
    /// than a millisecond is cut off.
    std::int64_t iso_date(const std::string& text) {
        std::string_view rest = text;
        const auto next = [&](std::size_t width, std::string_view before = {}) {
            const auto number = before.empty() || take_char(rest, before) ? take_number(rest, width) : std::nullopt;
            if (!number) fail("'" + text + "' is no date");
            return static_cast<int>(*number);
        };
        const int year = next(4), month = next(2, "-"), day = next(2, "-"), hour = next(2, "T"), minute = next(2, ":"),
                  second = next(2, ":");
        std::string fraction;
        if (take_char(rest, ".")) {
            fraction = rest.substr(0, std::min(rest.size(), rest.find_first_not_of("0123456789")));
            rest.remove_prefix(fraction.size());
            if (fraction.empty()) fail("'" + text + "' is no date");
            fraction.resize(3, '0');
        }
        int offset = 0; // in minutes
        if (!take_char(rest, "Z")) {
            const bool west = rest.starts_with('-');
            const int hours = next(2, "+-");
            take_char(rest, ":");
            const int minutes = next(2);
            if (hours > 23 || minutes > 59) fail("'" + text + "' is no date");
            offset = (hours * 60 + minutes) * (west ? -1 : 1);
        }
        const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                               std::chrono::day(static_cast<unsigned>(day))};
        if (!date.ok() || hour > 23 || minute > 59 || second > 59 || !rest.empty()) fail("'" + text + "' is no date");
        const std::int64_t minutes =
            std::int64_t{std::chrono::sys_days(date).time_since_epoch().count()} * 24 * 60 + std::int64_t{hour} * 60 + minute - offset;
        return (minutes * 60 + second) * 1000 + (fraction.empty() ? 0 : std::stoi(fraction));
    }

    std::string_view text_;
    std::size_t most_; ///< The largest number of BSON bytes to produce.
    std::size_t at_ = 0;
};

} // namespace detail

/// Converts one document of Extended JSON (version 2, canonical or relaxed) to BSON, as mongorestore reads it: the
/// canonical output of to_json() comes back byte for byte, but for what it has no form for (payloads of NaNs, options
/// of a regular expression that are not sorted, decimals that are not normal, text that is not UTF-8). A plain number becomes the smallest of int32, int64 and double that
/// holds it. Throws DataError, also for a document of more than `most` bytes of BSON.
inline std::string parse_json(std::string_view text, std::size_t most = std::numeric_limits<std::int32_t>::max()) {
    return detail::JsonParser(text, most).parse();
}

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/bson/document.hpp>
#include <oplog/bson/validate.hpp>
#include <oplog/error.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/// Writes Extended JSON, version 2. Every byte that is not UTF-8 becomes `\ufffd`. Canonical output equals that of
/// bsondump byte for byte, and relaxed output that of MongoDB's Go driver, with these deliberate differences:
/// - Bytes that are not valid BSON are an error. bsondump skips or misreads some of them (a boolean of 2, a binary of
///   the old subtype whose two lengths differ, a string without its zero byte).
/// - Valid documents are always printed. bsondump skips those that it could not read back: documents nested more than
///   200 levels deep, decimals out of range, and fields that look like Extended JSON but are not (`{"$date":
///   "today"}`).
/// - The namespace of a DBPointer is escaped. bsondump prints it raw, which need not be JSON.
namespace oplog::inline v0_1 {

/// How much of the BSON types the JSON keeps.
enum class JsonMode : std::uint8_t {
    canonical, ///< Every type survives: {"$numberInt":"1"}.
    relaxed,   ///< Plain numbers, and ISO dates from 1970 to 9999.
};
/// How the JSON is spread over lines.
enum class JsonLayout : std::uint8_t {
    line,   ///< One line without any white space.
    pretty, ///< One line for each field, indented by tabs, as `bsondump --pretty` prints it.
};

namespace detail {

/// Free bytes that the buffer always has at its end, so that anything short is written without a check.
constexpr std::size_t json_slack = 256;

// copy_ascii() copies a chunk to `out` and returns how many of its bytes come before the first one that needs attention
// in a JSON string: a control character, '"', '\\' or a byte of a multi-byte character, which must be checked first.
// copy_key() does the same for a C string that ends within the chunk, and returns the chunk's size or more for any
// other string.
#ifdef __SSE2__
constexpr std::size_t json_chunk = 16;

inline __m128i load_chunk(const char* from) noexcept { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
inline void store_chunk(char* out, __m128i bytes) noexcept { _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes); }
inline __m128i bytes_of(int byte) noexcept { return _mm_set1_epi8(static_cast<char>(byte)); }
inline unsigned bits_of(__m128i found) noexcept { return static_cast<unsigned>(_mm_movemask_epi8(found)); }

inline unsigned not_ascii_or_escaped(__m128i bytes) noexcept {
    // The comparison is signed, so it also finds bytes above 0x7F.
    const __m128i control = _mm_cmplt_epi8(bytes, bytes_of(0x20));
    return bits_of(_mm_or_si128(control, _mm_or_si128(_mm_cmpeq_epi8(bytes, bytes_of('"')), _mm_cmpeq_epi8(bytes, bytes_of('\\')))));
}

inline std::size_t copy_ascii(const char* from, char* out) noexcept {
    const __m128i bytes = load_chunk(from);
    store_chunk(out, bytes);
    const unsigned special = not_ascii_or_escaped(bytes);
    // A branch instead of arithmetic: it is predicted, so that the next chunk need not wait for this one.
    return special == 0 ? json_chunk : static_cast<std::size_t>(std::countr_zero(special));
}

inline std::size_t copy_key(const char* from, char* out) noexcept {
    const __m128i bytes = load_chunk(from);
    store_chunk(out, bytes);
    const unsigned zeros = bits_of(_mm_cmpeq_epi8(bytes, bytes_of(0)));
    const unsigned before_zero = (zeros ^ (zeros - 1)) >> 1;
    // The length depends on the position of the zero byte alone. What comes next waits for that, but not for the search
    // for special bytes.
    return (not_ascii_or_escaped(bytes) & before_zero) == 0 ? static_cast<std::size_t>(std::countr_zero(zeros)) : json_chunk;
}
#else
constexpr std::size_t json_chunk = 8;

inline std::size_t copy_ascii(const char* from, char* out) noexcept {
    constexpr std::uint64_t ones = 0x0101010101010101u;
    constexpr std::uint64_t highs = 0x8080808080808080u;
    const auto bytes = bson::load<std::uint64_t>(from);
    std::memcpy(out, &bytes, sizeof bytes);
    // A borrow can mark only bytes above a true match, and only the lowest match counts.
    const auto below = [&](std::uint64_t word, std::uint64_t limit) { return (word - ones * limit) & ~word & highs; };
    const std::uint64_t special = (bytes & highs) | below(bytes, 0x20) | below(bytes ^ (ones * '"'), 1) | below(bytes ^ (ones * '\\'), 1);
    return special == 0 ? json_chunk : static_cast<std::size_t>(std::countr_zero(special)) / 8;
}

inline std::size_t copy_key(const char* from, char* out) noexcept {
    const std::size_t plain = copy_ascii(from, out);
    return plain < json_chunk && from[plain] == 0 ? plain : json_chunk;
}
#endif

/// The length of the UTF-8 character at `at`, which is not ASCII; 0 if the character is malformed. Requires a zero byte
/// after the text.
inline std::size_t utf8_length(const char* at) noexcept {
    const auto byte = [&](int i) { return static_cast<unsigned char>(at[i]); };
    const auto follows = [&](int i) { return (byte(i) & 0xC0) == 0x80; };
    const unsigned char lead = byte(0);
    if (lead < 0xC2) return 0;
    if (lead < 0xE0) return follows(1) ? 2 : 0;
    if (lead < 0xF0) {
        if (!follows(1) || !follows(2)) return 0;
        const bool overlong = lead == 0xE0 && byte(1) < 0xA0;
        const bool surrogate = lead == 0xED && byte(1) > 0x9F;
        return overlong || surrogate ? 0 : 3;
    }
    if (lead > 0xF4 || !follows(1) || !follows(2) || !follows(3)) return 0;
    const bool overlong = lead == 0xF0 && byte(1) < 0x90;
    const bool too_large = lead == 0xF4 && byte(1) > 0x8F;
    return overlong || too_large ? 0 : 4;
}

template <std::size_t N>
char* put(char* out, const char (&text)[N]) noexcept {
    std::memcpy(out, text, N - 1);
    return out + N - 1;
}
inline char* put(char* out, std::string_view text) noexcept { return out + text.copy(out, text.size()); }

constexpr auto hex_pairs = [] {
    std::array<char, 512> pairs{};
    for (std::size_t i = 0; i < 256; ++i) {
        pairs[2 * i] = "0123456789abcdef"[i >> 4];
        pairs[2 * i + 1] = "0123456789abcdef"[i & 15];
    }
    return pairs;
}();

/// The character to write after a backslash; 0 for a character that needs no escape.
constexpr auto escapes = [] {
    std::array<char, 256> letters{};
    std::fill_n(letters.begin(), 0x20, 'u');
    letters['"'] = '"';
    letters['\\'] = '\\';
    letters['\b'] = 'b';
    letters['\f'] = 'f';
    letters['\n'] = 'n';
    letters['\r'] = 'r';
    letters['\t'] = 't';
    return letters;
}();

// copy_block() copies a block, escapes its quotes, backslashes and line ends, and advances both pointers. It may stop a
// little before the end of the block, where that would split a character. It returns false if it stopped before
// something else: the terminator, another control character, or a character that must be examined more closely. It
// reads two blocks and writes up to three.
#ifdef __SSE2__
constexpr std::size_t json_block = 2 * json_chunk;

inline bool copy_block(const char*& at, char*& out) noexcept {
    // One comparison finds everything to escape, and one more finds all multi-byte characters. Text in most languages
    // changes between ASCII and the rest every few bytes. Stopping at each change would cost more, because nobody can
    // predict it.
    const __m128i low = load_chunk(at), high = load_chunk(at + json_chunk);
    const auto find = [&](auto&& in_chunk) { return std::uint64_t{in_chunk(low)} | std::uint64_t{in_chunk(high)} << json_chunk; };
    std::uint64_t left = find(not_ascii_or_escaped); // the positions that are still to be escaped
    std::size_t length = json_block;
    if (const std::uint64_t multi_byte = find(bits_of); multi_byte != 0) {
        const auto at_least = [](__m128i bytes, int least) { return _mm_cmpeq_epi8(_mm_max_epu8(bytes, bytes_of(least)), bytes); };
        // Bytes that are well-formed only before certain others or never, and E2, which might begin a line separator.
        const std::uint64_t rare = find([&](__m128i bytes) {
            const auto is = [&](int byte) { return _mm_cmpeq_epi8(bytes, bytes_of(byte)); };
            const __m128i c0_or_c1 = _mm_cmpeq_epi8(_mm_and_si128(bytes, bytes_of(0xFE)), bytes_of(0xC0));
            return bits_of(
                _mm_or_si128(_mm_or_si128(c0_or_c1, at_least(bytes, 0xF0)), _mm_or_si128(_mm_or_si128(is(0xE0), is(0xE2)), is(0xED))));
        });
        // Signed: 0x80 to 0xBF.
        const std::uint64_t follows = find([](__m128i bytes) { return bits_of(_mm_cmplt_epi8(bytes, bytes_of(0xC0))); });
        const std::uint64_t of_three = find([&](__m128i bytes) { return bits_of(at_least(bytes, 0xE0)); });
        const std::uint64_t expected = (multi_byte & ~follows) << 1 | of_three << 2;
        length = static_cast<std::size_t>(std::countr_zero(rare | (follows ^ expected) | std::uint64_t{1} << json_block));
        // Step back to the first byte of a character that is cut short.
        length -= expected >> length & 1;
        length -= expected >> length & 1;
        left &= ~multi_byte & ((std::uint64_t{1} << length) - 1);
    }
    store_chunk(out, low);
    store_chunk(out + json_chunk, high);
    std::size_t copied = 0;
    for (; left != 0; left &= left - 1) {
        const auto next = static_cast<std::size_t>(std::countr_zero(left));
        const char escape = escapes[static_cast<unsigned char>(at[next])];
        out += next - copied;
        if (escape == 'u') { // nearly always the terminator
            at += next;
            return false;
        }
        out[0] = '\\';
        out[1] = escape;
        out += 2;
        copied = next + 1;
        std::memcpy(out, at + copied, json_block);
    }
    at += length;
    out += length - copied;
    return length + 2 >= json_block;
}
#else
constexpr std::size_t json_block = json_chunk;

inline bool copy_block(const char*&, char*&) noexcept { return false; }
#endif

constexpr auto base64_pairs = [] {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::array<char, 8192> pairs{};
    for (std::size_t i = 0; i < 4096; ++i) {
        pairs[2 * i] = digits[i >> 6];
        pairs[2 * i + 1] = digits[i & 63];
    }
    return pairs;
}();

/// The eight decimal digits of a value below 10^8, as the bytes of a word with the first digit lowest. It divides all
/// pairs, and then all digits, side by side.
inline std::uint64_t eight_digits(std::uint32_t value) noexcept {
    const std::uint64_t fours = value / 10'000 | std::uint64_t{value % 10'000} << 32;
    const std::uint64_t hundreds = fours * 10'486 >> 20 & 0x0000007F'0000007F;
    const std::uint64_t twos = hundreds | (fours - 100 * hundreds) << 16;
    const std::uint64_t tens = twos * 103 >> 10 & 0x000F000F'000F000F;
    return tens | (twos - 10 * tens) << 8;
}
constexpr std::uint64_t ascii_zeros = 0x3030303030303030u;

/// May write up to 8 bytes beyond the digits. Unlike std::to_chars() it does not branch on the number of digits, which
/// nobody can predict.
inline char* put_unsigned(char* out, std::uint64_t value) noexcept {
    constexpr std::uint64_t limit = 100'000'000;
    if (value < 10) { // versions, counts, terms: by far the most common numbers
        *out = static_cast<char>('0' + value);
        return out + 1;
    }
    const auto put_first = [&](std::uint64_t first) {
        const std::uint64_t digits = eight_digits(static_cast<std::uint32_t>(first));
        const int zeros = std::countr_zero(digits | std::uint64_t{1} << 56) / 8; // the last digit stays
        const std::uint64_t text = (digits | ascii_zeros) >> 8 * zeros;
        std::memcpy(out, &text, sizeof text);
        out += 8 - zeros;
    };
    const auto put_eight = [&](std::uint64_t eight) {
        const std::uint64_t text = eight_digits(static_cast<std::uint32_t>(eight)) | ascii_zeros;
        std::memcpy(out, &text, sizeof text);
        out += 8;
    };
    if (value < limit) {
        put_first(value);
    } else if (value < limit * limit) {
        put_first(value / limit);
        put_eight(value % limit);
    } else {
        put_first(value / limit / limit);
        put_eight(value / limit % limit);
        put_eight(value % limit);
    }
    return out;
}
template <class T>
char* put_integer(char* out, T value) noexcept {
    const auto size = static_cast<std::uint64_t>(value);
    *out = '-'; // no branch here either
    out += value < 0;
    return put_unsigned(out, value < 0 ? -size : size);
}
inline char* put_2_digits(char* out, std::uint32_t value) noexcept {
    *out++ = static_cast<char>('0' + value / 10);
    *out++ = static_cast<char>('0' + value % 10);
    return out;
}
/// Writes thousandths as up to three digits. It omits trailing zeros, but always writes the first digit.
inline char* put_fraction(char* out, std::uint32_t thousandths) noexcept {
    *out++ = static_cast<char>('0' + thousandths / 100);
    if (thousandths % 100 == 0) return out;
    out = put_2_digits(out, thousandths % 100);
    return thousandths % 10 == 0 ? out - 1 : out;
}
/// Writes 1234 as 1.234.
inline char* put_mantissa(char* out, std::string_view digits) noexcept {
    *out++ = digits[0];
    if (digits.size() == 1) return out;
    *out++ = '.';
    return put(out, digits.substr(1));
}
/// Writes the digits with a point after the first `whole` of them: 1234 becomes 12.34 for 2, and 0.001234 for -2.
inline char* put_with_point(char* out, std::string_view digits, int whole) noexcept {
    if (whole > 0) {
        out = put(out, digits.substr(0, static_cast<std::size_t>(whole)));
        *out++ = '.';
        return put(out, digits.substr(static_cast<std::size_t>(whole)));
    }
    out = put(out, "0.");
    for (; whole < 0; ++whole) *out++ = '0';
    return put(out, digits);
}

inline char* put_hex(char* out, const char* bytes, std::size_t size) noexcept {
    for (std::size_t i = 0; i < size; ++i) std::memcpy(out + 2 * i, &hex_pairs[std::size_t{2} * static_cast<unsigned char>(bytes[i])], 2);
    return out + 2 * size;
}

/// Writes three bytes as four base64 digits.
inline char* put_base64_group(char* out, std::uint32_t bits) noexcept {
    std::memcpy(out, &base64_pairs[std::size_t{2} * (bits >> 12)], 2);
    std::memcpy(out + 2, &base64_pairs[std::size_t{2} * (bits & 4095)], 2);
    return out + 4;
}
inline char* put_base64(char* out, const char* bytes, std::size_t size) noexcept {
    const auto byte = [&](std::size_t i) { return std::uint32_t{static_cast<unsigned char>(bytes[i])}; };
    std::size_t i = 0;
    for (; i + 3 <= size; i += 3) out = put_base64_group(out, byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2));
    if (i == size) return out;
    const bool two = i + 2 == size;
    out = put_base64_group(out, byte(i) << 16 | (two ? byte(i + 1) << 8 : 0));
    out[-1] = '=';
    if (!two) out[-2] = '=';
    return out;
}

/// Equals Go's strconv.FormatFloat(value, 'G', -1, 64): the shortest digits that read back as the same number, with an
/// exponent of at least two digits below 1E-04 and from 1E+06 on. What looks like an integer gets ".0" at its end.
inline char* put_finite_double(char* out, double value) noexcept {
    if (std::signbit(value)) {
        *out++ = '-';
        value = -value;
    }
    if (value < 1e6) {
        // A number with few decimals needs no search, which makes this five times as fast. No other number of up to 15
        // digits rounds to `value`, so this is the shortest form.
        const auto thousandths = static_cast<std::uint32_t>(value * 1e3 + 0.5); // NOLINT(bugprone-incorrect-roundings): compared next
        if (thousandths / 1e3 == value) {
            out = put_integer(out, thousandths / 1000);
            *out++ = '.';
            return put_fraction(out, thousandths % 1000);
        }
    }
    char text[32]; // D[.DDDD]e±XX[X]
    const char* const end = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr;
    const char* const mark = std::find<const char*>(text, end, 'e');
    int exponent = 0;
    std::from_chars(mark + 2, end, exponent);
    const char sign = mark[1];
    if (sign == '-') exponent = -exponent;
    const char* first = text;
    if (text[1] == '.') {
        text[1] = text[0];
        ++first;
    }
    const std::string_view digits(first, static_cast<std::size_t>(mark - first));
    if (exponent < -4 || exponent >= 6) {
        out = put_mantissa(out, digits);
        *out++ = 'E';
        *out++ = sign;
        const auto size = static_cast<std::uint32_t>(std::abs(exponent));
        return size < 100 ? put_2_digits(out, size) : put_integer(out, size);
    }
    // Integers below a million were printed above.
    return put_with_point(out, digits, exponent + 1);
}

/// Writes a decimal in the form of the BSON specification. All 113 bits of the significand count, which can be 35
/// digits, one more than a decimal may have. libbson's function drops that digit when there is a sign.
inline char* put_decimal128(char* out, std::uint64_t low, std::uint64_t high) noexcept {
    __extension__ typedef unsigned __int128 Wide;
    const auto special = high >> 58 & 31;
    if (special == 31) return put(out, "NaN");
    if (high >> 63) *out++ = '-';
    if (special == 30) return put(out, "Infinity");
    // All significands of the other form are out of range and count as zero.
    const bool large = (high >> 61 & 3) == 3;
    const auto biased = static_cast<int>((large ? high >> 47 : high >> 49) & 0x3FFF);
    Wide significand = large ? 0 : Wide{high & ((std::uint64_t{1} << 49) - 1)} << 64 | low;

    char digits[40];
    char* first = digits + sizeof digits;
    do {
        *--first = static_cast<char>('0' + static_cast<int>(significand % 10));
        significand /= 10;
    } while (significand != 0);
    const std::string_view all(first, static_cast<std::size_t>(digits + sizeof digits - first));
    const int exponent = biased - 6176;
    const int scientific = exponent + static_cast<int>(all.size()) - 1;
    if (exponent > 0 || scientific < -6) {
        out = put_mantissa(out, all);
        *out++ = 'E';
        if (scientific >= 0) *out++ = '+';
        return put_integer(out, scientific);
    }
    return exponent == 0 ? put(out, all) : put_with_point(out, all, scientific + 1);
}

/// Writes "2021-01-12T03:29:55.248Z", without trailing zeros in the fraction. For the years 1970 to 9999.
inline char* put_iso_date(char* out, std::int64_t milliseconds) noexcept {
    const std::chrono::sys_time<std::chrono::milliseconds> time{std::chrono::milliseconds(milliseconds)};
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const auto in_day = static_cast<std::uint32_t>((time - day).count());
    out = put_integer(out, static_cast<int>(date.year()));
    *out++ = '-';
    out = put_2_digits(out, static_cast<unsigned>(date.month()));
    *out++ = '-';
    out = put_2_digits(out, static_cast<unsigned>(date.day()));
    *out++ = 'T';
    out = put_2_digits(out, in_day / 3'600'000);
    *out++ = ':';
    out = put_2_digits(out, in_day / 60'000 % 60);
    *out++ = ':';
    out = put_2_digits(out, in_day / 1000 % 60);
    if (in_day % 1000 != 0) {
        *out++ = '.';
        out = put_fraction(out, in_day % 1000);
    }
    *out++ = 'Z';
    return out;
}

} // namespace detail

/// Prints documents one after the other into a buffer that is reused, which is the fastest way to print many. It takes
/// as much memory as the text needs, and clear() keeps that memory.
class JsonBuffer {
  public:
    /// An empty buffer.
    explicit JsonBuffer(JsonMode mode = JsonMode::canonical, JsonLayout layout = JsonLayout::line) noexcept
        : mode_(mode), layout_(layout) {}
    JsonBuffer(JsonBuffer&& other) noexcept
        : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)), replaced_(other.replaced_),
          soft_end_(std::exchange(other.soft_end_, nullptr)), mode_(other.mode_), layout_(other.layout_) {}
    JsonBuffer& operator=(JsonBuffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(replaced_, other.replaced_);
        std::swap(soft_end_, other.soft_end_);
        mode_ = other.mode_;
        layout_ = other.layout_;
        return *this;
    }
    ~JsonBuffer() = default;

    /// Appends a document, without a newline after it. Throws a DataError with the message of bson::validate() if the
    /// bytes are not valid BSON, and then appends nothing.
    void append(const bson::Document& document) {
        char* out = room(end());
        out = mode_ == JsonMode::canonical ? print<JsonMode::canonical>(document, out) : print<JsonMode::relaxed>(document, out);
        if (out == nullptr) {
            bson::validate<bson::Text::any>(document);
            throw DataError(Fault::malformed, "a binary of subtype 2 has two lengths that differ"); // which servers accept
        }
        if (layout_ == JsonLayout::pretty) out = indent(out);
        size_ = static_cast<std::size_t>(out - data_.get());
    }
    /// Appends text unchanged, for example a newline or a comma.
    void append(std::string_view text) {
        char* const out = room(end(), text.size());
        size_ = static_cast<std::size_t>(detail::put(out, text) - data_.get());
    }

    /// The text that was appended since the last clear(). It is valid until the buffer changes.
    std::string_view text() const noexcept { return {data_.get(), size_}; }
    /// The number of bytes of text.
    std::size_t size() const noexcept { return size_; }
    /// How many bytes were not UTF-8 and were printed as `\ufffd`, since the buffer was made.
    std::uint64_t replaced() const noexcept { return replaced_; }
    /// Removes the text and keeps the memory.
    void clear() noexcept { size_ = 0; }

  private:
    struct Free {
        void operator()(char* memory) const noexcept { std::free(memory); }
    };
    enum class Kind : std::uint8_t { document, array, scope };
    struct Level {
        const char* end; ///< The terminator.
        Kind kind;
    };
    struct Text {
        const char* at; ///< How far the document was read; null if the bytes are not valid BSON.
        char* out;
    };

    char* end() const noexcept { return data_.get() + size_; }

    /// Ensures that there is room for `size` bytes and the slack. Returns the place to write on: `out`, or the same
    /// place in a larger buffer.
    char* room(char* out) {
        if (out < soft_end_) return out;
        return grow(out, 0);
    }
    char* room(char* out, std::size_t size) {
        if (out<soft_end_&& static_cast<std::size_t>(soft_end_ - out)> size) return out;
        return grow(out, size);
    }
    [[gnu::noinline]] char* grow(char* out, std::size_t size) {
        const auto used = static_cast<std::size_t>(out - data_.get());
        const std::size_t capacity = std::max(2 * used, used + size) + 8 * detail::json_slack;
        // realloc moves the pages of a large buffer instead of copying them.
        auto* const larger = static_cast<char*>(std::realloc(data_.get(), capacity));
        if (larger == nullptr) throw std::bad_alloc();
        static_cast<void>(data_.release());
        data_.reset(larger);
        soft_end_ = larger + capacity - detail::json_slack;
        return larger + used;
    }

    /// Prints what stands between the quotes of a string: from `at` up to the zero byte at `stop`, or for a C string up
    /// to its first zero byte. That byte also ends a character that is cut short. May read up to `limit`. There is
    /// room() at the returned place.
    template <bool c_string>
    [[gnu::noinline]] Text put_text(char* out, const char* at, const char* stop, const char* limit) {
        const auto left = [&] { return static_cast<std::size_t>(limit - at); };
        const auto ended = [&] { return *at == 0 && (c_string || at == stop); };
        for (;;) {
            for (bool more = true; more && left() >= 2 * detail::json_block; out = room(out)) more = detail::copy_block(at, out);
            if (ended()) return {at, out};
            if (left() >= detail::json_chunk) {
                const std::size_t plain = detail::copy_ascii(at, out);
                at += plain;
                out += plain;
                if (plain == detail::json_chunk) {
                    out = room(out);
                    continue;
                }
            } else {
                for (; static_cast<signed char>(*at) >= 0x20 && *at != '"' && *at != '\\'; ++at) *out++ = *at;
            }
            const char escape = detail::escapes[static_cast<unsigned char>(*at)];
            if (escape == 0) {
                const Text more = put_characters(out, at);
                at = more.at;
                out = more.out;
            } else if (escape != 'u') {
                *out++ = '\\';
                *out++ = escape;
                ++at;
            } else if (!ended()) {
                out = detail::put_hex(detail::put(out, "\\u00"), at++, 1);
            }
            out = room(out);
        }
    }

    /// Prints the non-ASCII characters from `at` on.
    [[gnu::noinline]] Text put_characters(char* out, const char* at) {
        do {
            const std::size_t length = detail::utf8_length(at);
            if (length == 0) {
                ++replaced_;
                out = room(detail::put(out, "\\ufffd"));
                ++at;
                continue;
            }
            // The line and paragraph separators, which old JavaScript does not allow in a string.
            if (length == 3 && (std::memcmp(at, "\xE2\x80\xA8", 3) == 0 || std::memcmp(at, "\xE2\x80\xA9", 3) == 0)) {
                out = detail::put(out, at[2] == '\xA8' ? "\\u2028" : "\\u2029");
            } else {
                for (std::size_t i = 0; i < length; ++i) out[i] = at[i];
                out += length;
            }
            at += length;
            out = room(out);
        } while (static_cast<unsigned char>(*at) >= 0x80);
        return {at, out};
    }

    /// Prints the seconds of a timestamp. An oplog repeats the same seconds again and again.
    char* put_seconds(char* out, std::uint32_t seconds) {
        if (seconds == seconds_) return detail::put(out, seconds_text_);
        char* const end = detail::put_integer(out, seconds);
        if (end - out == sizeof seconds_text_ - 1) {
            seconds_ = seconds;
            std::memcpy(seconds_text_, out, sizeof seconds_text_ - 1);
        }
        return end;
    }
    /// Prints a date. The `wall` of an entry follows its `ts` and is mostly of the same second.
    char* put_milliseconds(char* out, std::int64_t milliseconds) {
        if (milliseconds / 1000 != seconds_) return detail::put_integer(out, milliseconds);
        const auto fraction = static_cast<std::uint32_t>(milliseconds % 1000);
        out = detail::put(out, seconds_text_);
        *out++ = static_cast<char>('0' + fraction / 100);
        return detail::put_2_digits(out, fraction % 100);
    }

    /// Prints the string at `value` (length, bytes, zero byte) with quotes. `left` is the number of bytes left in its
    /// document.
    [[gnu::always_inline]] inline Text put_string(char* out, const char* value, std::size_t left, const char* limit) {
        if (left < 5) return {nullptr, nullptr};
        const std::size_t length = bson::load<std::uint32_t>(value);
        if (length < 1 || length > left - 4) return {nullptr, nullptr};
        const char* const stop = value + 3 + length;
        if (*stop != 0) return {nullptr, nullptr};
        *out++ = '"';
        value += 4;
        if (static_cast<std::size_t>(limit - value) >= detail::json_chunk) { // most strings are short and plain
            const std::size_t plain = detail::copy_ascii(value, out);
            if (plain == length - 1) {
                out[plain] = '"';
                return {stop + 1, out + length};
            }
            value += plain;
            out += plain;
        }
        const Text text = put_text<false>(out, value, stop, limit);
        *text.out = '"';
        return {stop + 1, text.out + 1};
    }

    /// Prints a value of a rare type.
    [[gnu::noinline]] Text put_rare(char* out, bson::Type type, const char* value, const char* end, const char* limit) {
        constexpr Text bad{nullptr, nullptr};
        const auto left = static_cast<std::size_t>(end - value);
        switch (type) {
        case bson::Type::undefined: return {value, detail::put(out, R"({"$undefined":true})")};
        case bson::Type::min_key: return {value, detail::put(out, R"({"$minKey":1})")};
        case bson::Type::max_key: return {value, detail::put(out, R"({"$maxKey":1})")};
        case bson::Type::decimal128: {
            if (left < 16) return bad;
            out = detail::put(out, R"({"$numberDecimal":")");
            out = detail::put_decimal128(out, bson::load<std::uint64_t>(value), bson::load<std::uint64_t>(value + 8));
            return {value + 16, detail::put(out, R"("})")};
        }
        case bson::Type::code:
        case bson::Type::symbol: {
            out = type == bson::Type::code ? detail::put(out, R"({"$code":)") : detail::put(out, R"({"$symbol":)");
            Text text = put_string(out, value, left, limit);
            if (text.at == nullptr) return bad;
            *text.out++ = '}';
            return text;
        }
        case bson::Type::db_pointer: {
            if (left < 12) return bad;
            out = detail::put(out, R"({"$dbPointer":{"$ref":)");
            const Text text = put_string(out, value, left - 12, limit);
            if (text.at == nullptr) return bad;
            out = detail::put(text.out, R"(,"$id":{"$oid":")");
            out = detail::put_hex(out, text.at, 12);
            return {text.at + 12, detail::put(out, R"("}}})")};
        }
        case bson::Type::regex: {
            out = detail::put(out, R"({"$regularExpression":{"pattern":")");
            const Text pattern = put_text<true>(out, value, nullptr, limit);
            if (pattern.at >= end) return bad;
            const std::string_view options(pattern.at + 1); // it ends at the document's terminator at the latest
            const char* const after = options.data() + options.size();
            if (after >= end) return bad;
            out = detail::put(pattern.out, R"(","options":")");
            const std::string in_order = sorted(options);
            const char* const stop = in_order.data() + in_order.size();
            out = put_text<false>(out, in_order.data(), stop, stop + 1).out;
            return {after + 1, detail::put(out, R"("}})")};
        }
        default: return bad;
        }
    }

    /// Returns the characters in sorted order. Bytes that are no character become U+FFFD itself, at their place in that
    /// order, as bsondump prints them.
    std::string sorted(const std::string_view text) {
        std::vector<std::string_view> characters;
        for (std::size_t at = 0; at < text.size();) {
            const std::size_t length = static_cast<unsigned char>(text[at]) < 0x80 ? 1 : detail::utf8_length(&text[at]);
            replaced_ += length == 0;
            characters.push_back(length == 0 ? std::string_view("\xEF\xBF\xBD") : text.substr(at, length));
            at += std::max<std::size_t>(length, 1);
        }
        std::sort(characters.begin(), characters.end());
        std::string result;
        for (const std::string_view character : characters) result += character;
        return result;
    }

    /// Prints on one line. Returns where the text ends, or null for bytes that are not valid BSON; validate() then
    /// knows why.
    template <JsonMode mode>
    char* print(const bson::Document& document, char* out) {
        using bson::load;
        using bson::Type;
        using detail::put;
        constexpr bool canonical = mode == JsonMode::canonical;

        std::array<Level, bson::max_depth> outer;
        std::size_t depth = 0;
        const char* at = document.data() + 4;
        Level level{document.data() + document.size() - 1, Kind::document};
        const char* const limit = level.end + 1;
        if (*level.end != 0) return nullptr;
        *out++ = '{';

        for (;;) {
            out = room(out);
            if (at == level.end) {
                if (out[-1] == ',') --out;
                *out++ = level.kind == Kind::array ? ']' : '}';
                if (level.kind == Kind::scope) *out++ = '}';
                if (depth == 0) return out;
                *out++ = ',';
                ++at;
                level = outer[--depth];
                continue;
            }
            const auto type = static_cast<Type>(*at++);
            if (level.kind == Kind::array) {
                while (static_cast<signed char>(*at) > 0) ++at;
                if (*at != 0) {
                    at += std::strlen(at);
                }
            } else {
                *out++ = '"';
                const bool far = static_cast<std::size_t>(limit - at) >= detail::json_chunk;
                const std::size_t plain = far ? detail::copy_key(at, out) : detail::json_chunk;
                if (plain < detail::json_chunk) [[likely]] { // nearly all names are short and plain
                    at += plain;
                    out += plain;
                } else {
                    const Text key = put_text<true>(out, at, nullptr, limit);
                    at = key.at;
                    out = key.out;
                }
                out = put(out, "\":");
            }
            if (at >= level.end) return nullptr;
            ++at;

            const auto left = static_cast<std::size_t>(level.end - at);
            switch (type) {
            case Type::string: {
                const Text text = put_string(out, at, left, limit);
                if (text.at == nullptr) return nullptr;
                at = text.at;
                out = text.out;
                break;
            }
            case Type::int32: {
                if (left < 4) return nullptr;
                if constexpr (canonical) out = put(out, R"({"$numberInt":")");
                out = detail::put_integer(out, load<std::int32_t>(at));
                if constexpr (canonical) out = put(out, R"("})");
                at += 4;
                break;
            }
            case Type::int64: {
                if (left < 8) return nullptr;
                if constexpr (canonical) out = put(out, R"({"$numberLong":")");
                out = detail::put_integer(out, load<std::int64_t>(at));
                if constexpr (canonical) out = put(out, R"("})");
                at += 8;
                break;
            }
            case Type::double_: {
                if (left < 8) return nullptr;
                const auto value = load<double>(at);
                const bool finite = std::isfinite(value);
                if (canonical || !finite) out = put(out, R"({"$numberDouble":")");
                if (finite)
                    out = detail::put_finite_double(out, value);
                else
                    out = put(out, std::string_view(std::isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity"));
                if (canonical || !finite) out = put(out, R"("})");
                at += 8;
                break;
            }
            case Type::object_id: {
                if (left < 12) return nullptr;
                out = detail::put_hex(put(out, R"({"$oid":")"), at, 12);
                out = put(out, R"("})");
                at += 12;
                break;
            }
            case Type::boolean: {
                if (left < 1 || static_cast<unsigned char>(*at) > 1) return nullptr;
                out = *at != 0 ? put(out, "true") : put(out, "false");
                ++at;
                break;
            }
            case Type::null: out = put(out, "null"); break;
            case Type::date: {
                if (left < 8) return nullptr;
                const auto value = load<std::int64_t>(at);
                constexpr std::int64_t year_10000 = 253'402'300'800'000;
                if (canonical || value < 0 || value >= year_10000) {
                    out = put_milliseconds(put(out, R"({"$date":{"$numberLong":")"), value);
                    out = put(out, R"("}})");
                } else {
                    out = detail::put_iso_date(put(out, R"({"$date":")"), value);
                    out = put(out, R"("})");
                }
                at += 8;
                break;
            }
            case Type::timestamp: {
                if (left < 8) return nullptr;
                out = put_seconds(put(out, R"({"$timestamp":{"t":)"), load<std::uint32_t>(at + 4));
                out = detail::put_integer(put(out, R"(,"i":)"), load<std::uint32_t>(at));
                out = put(out, "}}");
                at += 8;
                break;
            }
            case Type::binary: {
                if (left < 5) return nullptr;
                std::size_t size = load<std::uint32_t>(at);
                if (size > left - 5) return nullptr;
                const char* const subtype = at + 4;
                at += 5;
                if (*subtype == 2) { // the old generic subtype repeats the length inside
                    if (size < 4 || load<std::uint32_t>(at) != size - 4) return nullptr;
                    if (size > 4) { // bsondump prints the inner length of an empty one as its bytes
                        at += 4;
                        size -= 4;
                    }
                }
                out = room(out, size / 3 * 4 + 4);
                out = detail::put_base64(put(out, R"({"$binary":{"base64":")"), at, size);
                out = detail::put_hex(put(out, R"(","subType":")"), subtype, 1);
                out = put(out, R"("}})");
                at += size;
                break;
            }
            case Type::document:
            case Type::array: {
                if (left < 4) return nullptr;
                const std::size_t size = load<std::uint32_t>(at);
                if (size < bson::min_document_size || size > left || depth + 1 == bson::max_depth) return nullptr;
                outer[depth++] = level;
                level = {at + size - 1, type == Type::array ? Kind::array : Kind::document};
                if (*level.end != 0) return nullptr;
                *out++ = type == Type::array ? '[' : '{';
                at += 4;
                continue;
            }
            case Type::code_with_scope: {
                constexpr std::size_t around = 4 + 4 + bson::min_document_size; // everything but the code
                if (left < 4) return nullptr;
                const std::size_t size = load<std::uint32_t>(at);
                if (size < around + 1 || size > left || depth + 1 == bson::max_depth) return nullptr;
                const Text code = put_string(put(out, R"({"$code":)"), at + 4, size - 4 - bson::min_document_size, limit);
                if (code.at == nullptr) return nullptr;
                outer[depth++] = level;
                level = {at + size - 1, Kind::scope};
                if (load<std::uint32_t>(code.at) != static_cast<std::size_t>(at + size - code.at) || *level.end != 0) return nullptr;
                out = put(code.out, R"(,"$scope":{)");
                at = code.at + 4;
                continue;
            }
            default: {
                const Text rare = put_rare(out, type, at, level.end, limit);
                if (rare.at == nullptr) return nullptr;
                at = rare.at;
                out = rare.out;
            }
            }
            *out++ = ',';
        }
    }

    /// Spreads the document that was printed last, from end() to `out`, over lines, as Go's json.Indent does.
    char* indent(char* out) {
        const std::string line(end(), out);
        out = end();
        std::size_t depth = 0;
        const auto new_line = [&] {
            out = room(out, depth + 1);
            *out++ = '\n';
            std::memset(out, '\t', depth);
            out += depth;
        };
        for (auto at = line.begin(); at != line.end(); ++at) {
            out = room(out);
            *out++ = *at;
            switch (*at) {
            case '{':
            case '[':
                if (at[1] == '}' || at[1] == ']') {
                    *out++ = *++at;
                } else {
                    ++depth;
                    new_line();
                }
                break;
            case '}':
            case ']':
                --out;
                --depth;
                new_line();
                *out++ = *at;
                break;
            case ',': new_line(); break;
            case ':': *out++ = ' '; break;
            case '"':
                while (*++at != '"') {
                    out = room(out);
                    *out++ = *at;
                    if (*at == '\\') *out++ = *++at;
                }
                *out++ = '"';
                break;
            default: break;
            }
        }
        return out;
    }

    std::unique_ptr<char, Free> data_;
    std::size_t size_ = 0;
    std::uint64_t replaced_ = 0;
    char* soft_end_ = nullptr;              ///< json_slack bytes before the end of the memory.
    std::uint32_t seconds_ = 1'000'000'000; ///< A second of ten digits.
    char seconds_text_[11] = "1000000000";
    JsonMode mode_;
    JsonLayout layout_;
};

/// Appends a document as JSON, without a newline after it. Throws DataError for bytes that are not valid BSON, and then
/// appends nothing. A JsonBuffer is faster for many documents.
inline void append_json(std::string& out, const bson::Document& document, JsonMode mode = JsonMode::canonical,
                        JsonLayout layout = JsonLayout::line) {
    JsonBuffer buffer(mode, layout);
    buffer.append(document);
    out += buffer.text();
}

/// A document as JSON. Throws as append_json() does.
inline std::string to_json(const bson::Document& document, JsonMode mode = JsonMode::canonical, JsonLayout layout = JsonLayout::line) {
    std::string out;
    append_json(out, document, mode, layout);
    return out;
}
/// A value as JSON, without its name.
inline std::string to_json(const bson::Element& value, JsonMode mode = JsonMode::canonical) {
    const bson::Value document = bson::Builder().append("", value).finish();
    const std::string json = to_json(document.view(), mode);
    return json.substr(4, json.size() - 5); // {"":VALUE}
}

} // namespace oplog

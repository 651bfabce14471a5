// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/error.hpp>
#include <oplog/timestamp.hpp>

#include <array>
#include <bit>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

/// Tells clang that the returned value points into this object or into an argument.
#if defined __has_cpp_attribute
#if __has_cpp_attribute(clang::lifetimebound)
#define OPLOG_LIFETIMEBOUND [[clang::lifetimebound]]
#endif
#endif
#ifndef OPLOG_LIFETIMEBOUND
#define OPLOG_LIFETIMEBOUND
#endif

static_assert(std::endian::native == std::endian::little, "BSON is read in place, so this library needs a little-endian machine");

/// Views over raw BSON. Nothing is copied and nothing is trusted: every step is checked against the bytes at hand, and
/// bytes that do not fit throw a DataError.
namespace oplog::inline v0_1::bson {

/// The largest document that a server writes: 16 MiB, and the 16 KiB that an oplog entry may add around it.
constexpr std::uint32_t max_document_size = (16u << 20) + (16u << 10);
/// The smallest document: a length and a terminator.
constexpr std::uint32_t min_document_size = 5;
/// The deepest nesting that is accepted. A server allows users 200 levels and adds only a few around them.
constexpr std::size_t max_depth = 1000;

/// The types of BSON values, by their bytes.
enum class Type : std::uint8_t {
    double_ = 0x01,
    string = 0x02,
    document = 0x03,
    array = 0x04,
    binary = 0x05,
    undefined = 0x06,
    object_id = 0x07,
    boolean = 0x08,
    date = 0x09,
    null = 0x0A,
    regex = 0x0B,
    db_pointer = 0x0C,
    code = 0x0D,
    symbol = 0x0E,
    code_with_scope = 0x0F,
    int32 = 0x10,
    timestamp = 0x11,
    int64 = 0x12,
    decimal128 = 0x13,
    min_key = 0xFF,
    max_key = 0x7F,
};

/// The name of a type, as messages use it: "double", "ObjectId", "code with scope".
constexpr std::string_view name(Type type) {
    switch (type) {
    case Type::double_: return "double";
    case Type::string: return "string";
    case Type::document: return "document";
    case Type::array: return "array";
    case Type::binary: return "binary";
    case Type::undefined: return "undefined";
    case Type::object_id: return "ObjectId";
    case Type::boolean: return "boolean";
    case Type::date: return "date";
    case Type::null: return "null";
    case Type::regex: return "regular expression";
    case Type::db_pointer: return "DBPointer";
    case Type::code: return "code";
    case Type::symbol: return "symbol";
    case Type::code_with_scope: return "code with scope";
    case Type::int32: return "int32";
    case Type::timestamp: return "timestamp";
    case Type::int64: return "int64";
    case Type::decimal128: return "decimal128";
    case Type::min_key: return "minKey";
    case Type::max_key: return "maxKey";
    }
    return "unknown type";
}

/// Reads a little-endian T, which need not be aligned.
template <class T>
T load(const char* bytes) noexcept {
    T value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

class Element;
class Iterator;
class Value;

/// A point in time as BSON stores it: milliseconds since 1970 UTC, without leap seconds.
using Date = std::chrono::sys_time<std::chrono::milliseconds>;

/// The subtype and the data of a binary value.
struct Binary {
    std::uint8_t subtype = 0;
    std::string_view data;
};
/// A regular expression. Its options are letters, such as "i".
struct Regex {
    std::string_view pattern, options;
};
/// A decimal in IEEE 754-2008's binary integer decimal encoding.
struct Decimal128 {
    std::uint64_t low = 0, high = 0;
    friend bool operator==(const Decimal128&, const Decimal128&) = default;
};

/// A view of one BSON document or array, as std::string_view is of a string: it is valid as long as the bytes are. The
/// frame (length prefix and terminator) has been checked, the content has not.
class Document {
  public:
    /// The empty document.
    Document() noexcept : data_("\5\0\0\0") {}

    /// Views exactly these bytes as a document. Throws DataError if the length or the terminator is wrong.
    explicit Document(std::string_view bytes OPLOG_LIFETIMEBOUND) : data_(bytes.data()) {
        if (bytes.size() < min_document_size || load<std::uint32_t>(data_) != bytes.size())
            throw DataError(Fault::bad_length, "a document's length does not match its " + std::to_string(bytes.size()) + " bytes");
        if (bytes.back() != 0) throw DataError(Fault::malformed, "a document does not end with a zero byte");
    }

    /// Does not compile: the bytes of a temporary are gone at the end of the statement. Keep them in a std::string or a
    /// Value.
    template <class Owner>
        requires std::same_as<std::remove_const_t<Owner>, std::string> || std::same_as<std::remove_const_t<Owner>, Value>
    explicit Document(Owner&&) = delete; // NOLINT(bugprone-forwarding-reference-overload): never a Document

    /// For a reader that has checked the frame already.
    static Document trusted(const char* data) noexcept {
        Document document;
        document.data_ = data;
        return document;
    }

    /// The first byte.
    const char* data() const noexcept { return data_; }
    /// The number of bytes, with length prefix and terminator.
    std::uint32_t size() const noexcept { return load<std::uint32_t>(data_); }
    /// All bytes.
    std::string_view bytes() const noexcept { return {data_, size()}; }
    /// Whether there are no elements.
    bool empty() const noexcept { return size() == min_document_size; }

    /// The elements in their order. Throws DataError where the bytes make no sense.
    inline Iterator begin() const;
    std::default_sentinel_t end() const noexcept { return {}; }

    /// The first element with exactly this name, or none. Use it for names that come from data, which may contain dots.
    inline std::optional<Element> field(std::string_view name) const;
    /// The first element with this name, or none. If no element has the name and it contains dots, it is taken as a
    /// path: find("o._id") is the `_id` in the document `o`, and find("items.0") is the first item of the array
    /// `items`.
    inline std::optional<Element> find(std::string_view key) const;

    friend bool operator==(const Document& a, const Document& b) noexcept { return a.bytes() == b.bytes(); }

  private:
    const char* data_;
};

/// One element of a document: a type, a name and a value. It is a view, valid as long as the document's bytes.
class Element {
  public:
    Element(Type type, std::string_view key, std::string_view value) noexcept : key_(key), value_(value), type_(type) {}

    /// The type of the value.
    Type type() const noexcept { return type_; }
    /// The name.
    std::string_view key() const noexcept { return key_; }
    /// The bytes of the value, as they stand in the document.
    std::string_view value() const noexcept { return value_; }
    /// The bytes of the element (type, name, value), ready to be copied into another document.
    std::string_view bytes() const noexcept {
        return {key_.data() - 1, static_cast<std::size_t>(value_.data() + value_.size() - key_.data() + 1)};
    }

    /// Whether the value has this type.
    bool is(Type type) const noexcept { return type_ == type; }
    /// Whether the value is an int32, an int64 or a double.
    bool is_number() const noexcept { return is(Type::int32) || is(Type::int64) || is(Type::double_); }

    /// The value as the type that it must have. Throws a DataError that names the field if it has another type.
    /// @{
    Document document() const { return checked_document(Type::document); }
    Document array() const { return checked_document(Type::array); }
    std::string_view string() const {
        expect(Type::string);
        if (value_.back() != 0) fail_end("the string");
        return value_.substr(4, value_.size() - 5);
    }
    Timestamp timestamp() const {
        expect(Type::timestamp);
        return Timestamp::from_packed(load<std::uint64_t>(value_.data()));
    }
    bool boolean() const {
        expect(Type::boolean);
        return value_[0] != 0;
    }
    Date date() const {
        expect(Type::date);
        return Date(std::chrono::milliseconds(load<std::int64_t>(value_.data())));
    }
    double real() const {
        expect(Type::double_);
        return load<double>(value_.data());
    }
    Binary binary() const {
        expect(Type::binary);
        return {static_cast<std::uint8_t>(value_[4]), value_.substr(5)};
    }
    /// The 12 bytes of an ObjectId.
    std::string_view object_id() const {
        expect(Type::object_id);
        return value_;
    }
    Decimal128 decimal128() const {
        expect(Type::decimal128);
        return {load<std::uint64_t>(value_.data()), load<std::uint64_t>(value_.data() + 8)};
    }
    Regex regex() const {
        expect(Type::regex);
        const std::string_view pattern = value_.substr(0, value_.find('\0'));
        return {pattern, value_.substr(pattern.size() + 1, value_.size() - pattern.size() - 2)};
    }
    /// @}
    /// The data of a binary value; empty for any other type.
    std::string_view binary_data() const noexcept { return is(Type::binary) ? value_.substr(5) : std::string_view(); }
    /// The whole number that an int32, an int64 or a double holds; the fraction of a double is cut off. Throws
    /// DataError for other types and for a double out of range.
    std::int64_t integer() const {
        switch (type_) {
        case Type::int32: return load<std::int32_t>(value_.data());
        case Type::int64: return load<std::int64_t>(value_.data());
        case Type::double_: {
            const auto number = load<double>(value_.data());
            if (!(number >= -9.2e18 && number <= 9.2e18)) throw DataError(Fault::wrong_type, field() + " is no whole number");
            return static_cast<std::int64_t>(number);
        }
        default: throw DataError(Fault::wrong_type, field() + " is " + article(type_) + ", not a number");
        }
    }
    /// Whether the server would take the value of a flag in a command as set: true, or a number other than zero.
    bool truthy() const {
        if (is(Type::double_)) return load<double>(value_.data()) != 0;
        return is(Type::boolean) ? boolean() : is_number() && integer() != 0;
    }

  private:
    std::string field() const { return "field '" + std::string(key_) + "'"; }
    static std::string article(Type type) {
        const std::string_view text = name(type);
        const bool vowel = text.starts_with('a') || text.starts_with('i') || text.starts_with('u') || text.starts_with('O');
        return (vowel ? "an " : "a ") + std::string(text);
    }
    void expect(Type type) const {
        if (type_ != type) fail_type(type);
    }
    [[noreturn, gnu::cold, gnu::noinline]] void fail_type(Type type) const {
        throw DataError(Fault::wrong_type, field() + " is " + article(type_) + ", not " + article(type));
    }
    [[noreturn, gnu::cold, gnu::noinline]] void fail_end(const char* what) const {
        throw DataError(Fault::malformed, field() + ": " + what + " does not end with a zero byte");
    }
    Document checked_document(Type type) const {
        expect(type);
        if (value_.back() != 0) fail_end("its document");
        return Document::trusted(value_.data());
    }

    std::string_view key_;
    std::string_view value_;
    Type type_;
};

namespace detail {

constexpr std::uint64_t high_bits = 0x8080808080808080u;

// Out of line, so that what calls them in a loop stays small.
[[noreturn, gnu::cold, gnu::noinline]] inline void fail(Fault fault, const char* why) { throw DataError(fault, why); }
[[noreturn, gnu::cold]] inline void fail_past_end(Type type) {
    throw DataError(Fault::truncated, std::string(name(type)) + " runs past the end of its document");
}
[[noreturn, gnu::cold]] inline void fail_length(Type type, std::uint32_t length) {
    throw DataError(Fault::bad_length,
                    std::string(name(type)) + " has the impossible length " + std::to_string(static_cast<std::int32_t>(length)));
}
[[noreturn, gnu::cold]] inline void fail_type(Type type) {
    char hex[3];
    std::snprintf(hex, sizeof hex, "%02x", static_cast<unsigned>(type));
    throw DataError(Fault::bad_type, "unknown BSON type 0x" + std::string(hex));
}

/// Finds the first zero byte from `at` on; there must be one at `end` at the latest. Field names are short, so that a
/// call of memchr would take longer than this whole search. Afterwards the high bit of a byte of `seen` is set if any
/// byte before the zero has its high bit set.
inline const char* find_zero(const char* at, const char* end, std::uint64_t* seen = nullptr) noexcept {
    for (; end - at >= 8; at += 8) {
        const auto word = load<std::uint64_t>(at);
        const std::uint64_t zeros = (word - 0x0101010101010101u) & ~word & high_bits;
        if (seen) *seen |= zeros == 0 ? word : word & (zeros ^ (zeros - 1)); // the bytes up to the lowest bit that is set
        if (zeros != 0) return at + std::countr_zero(zeros) / 8;
    }
    for (; *at != 0; ++at)
        if (seen) *seen |= static_cast<unsigned char>(*at);
    return at;
}

/// How to find the size of a value of some type. This is a table because no branch predictor can know the next type.
struct Measure {
    enum class By : std::uint8_t {
        nothing, ///< BSON defines no such type.
        type,    ///< All values of the type have `size` bytes.
        prefix,  ///< The value begins with a length, which is `size` bytes less than the value and at least `least`.
        text,    ///< The value is two C strings.
    };
    By by = By::nothing;
    std::uint8_t size = 0, least = 0;
};
constexpr auto measures = [] {
    std::array<Measure, 256> all{};
    const auto set = [&](Type type, Measure measure) { all[static_cast<std::uint8_t>(type)] = measure; };
    for (const Type type : {Type::undefined, Type::null, Type::min_key, Type::max_key}) set(type, {Measure::By::type, 0});
    for (const Type type : {Type::double_, Type::date, Type::timestamp, Type::int64}) set(type, {Measure::By::type, 8});
    set(Type::boolean, {Measure::By::type, 1});
    set(Type::int32, {Measure::By::type, 4});
    set(Type::object_id, {Measure::By::type, 12});
    set(Type::decimal128, {Measure::By::type, 16});
    for (const Type type : {Type::string, Type::code, Type::symbol}) set(type, {Measure::By::prefix, 4, 1});
    for (const Type type : {Type::document, Type::array}) set(type, {Measure::By::prefix, 0, min_document_size});
    set(Type::code_with_scope, {Measure::By::prefix, 0, 4 + 5 + min_document_size});
    set(Type::binary, {Measure::By::prefix, 5, 0});
    set(Type::db_pointer, {Measure::By::prefix, 4 + 12, 1});
    set(Type::regex, {Measure::By::text});
    return all;
}();

/// The size of two C strings, terminators included.
[[gnu::noinline]] inline std::size_t text_size(Type type, const char* value, std::size_t left) {
    std::size_t size = 0;
    for (int i = 0; i < 2; ++i) {
        const void* end = size < left ? std::memchr(value + size, 0, left - size) : nullptr;
        if (!end) fail_past_end(type);
        size = static_cast<std::size_t>(static_cast<const char*>(end) - value) + 1;
    }
    return size;
}

} // namespace detail

/// The size in bytes of a value of `type` that begins at `value`; its document has `left` bytes from there on. Strings
/// and documents are measured by their length prefix, and their content is not looked at. Throws DataError if the value
/// does not fit.
inline std::size_t value_size(Type type, const char* value, std::size_t left) {
    const detail::Measure measure = detail::measures[static_cast<std::uint8_t>(type)];
    std::size_t size = measure.size;
    if (measure.by == detail::Measure::By::prefix) {
        if (left < 4) detail::fail_past_end(type);
        const auto length = load<std::uint32_t>(value);
        if (length < measure.least) detail::fail_length(type, length);
        size += length;
    } else if (measure.by != detail::Measure::By::type) [[unlikely]] {
        if (measure.by == detail::Measure::By::nothing) detail::fail_type(type);
        size = detail::text_size(type, value, left);
    }
    if (size > left) detail::fail_past_end(type);
    return size;
}

/// Steps through the elements of a document in their order. Throws DataError where the bytes make no sense.
class Iterator {
  public:
    using value_type = Element;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    /// Begins at the field that starts `offset` bytes into the document. The first field comes right after the 4-byte
    /// length.
    explicit Iterator(const Document& document, std::uint32_t offset = 4)
        : at_(document.data() + offset), end_(document.data() + document.size() - 1) {
        read();
    }

    const Element& operator*() const noexcept { return element_; }
    const Element* operator->() const noexcept { return &element_; }
    Iterator& operator++() {
        at_ = element_.value().data() + element_.value().size();
        read();
        return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& it, std::default_sentinel_t) noexcept { return it.at_ == it.end_; }

  private:
    void read() {
        if (at_ == end_) return;
        const auto type = static_cast<Type>(*at_);
        const char* key = at_ + 1;
        const char* value = detail::find_zero(key, end_) + 1;
        if (value > end_) detail::fail(Fault::truncated, "a field name runs past the end of its document");
        const std::size_t size = value_size(type, value, static_cast<std::size_t>(end_ - value));
        element_ = {type, {key, static_cast<std::size_t>(value - 1 - key)}, {value, size}};
    }

    const char* at_;
    const char* end_; ///< The document's terminator.
    Element element_{Type::null, {}, {}};
};

inline Iterator Document::begin() const { return Iterator(*this); }

// Flattened, because each operation's _id is looked up a few times: applying executes 2 % fewer instructions.
[[gnu::flatten]] inline std::optional<Element> Document::field(std::string_view name) const {
    for (const Element& element : *this)
        if (element.key() == name) return element;
    return std::nullopt;
}

inline std::optional<Element> Document::find(std::string_view key) const {
    if (auto found = field(key)) return found;
    // A name may contain dots of its own, so the rest of the path may begin after any of them.
    for (std::size_t dot = key.find('.'); dot != key.npos; dot = key.find('.', dot + 1))
        for (const Element& element : *this)
            if (element.key() == key.substr(0, dot) && (element.is(Type::document) || element.is(Type::array)))
                if (const auto found = (element.is(Type::document) ? element.document() : element.array()).find(key.substr(dot + 1)))
                    return found;
    return std::nullopt;
}

} // namespace oplog::bson

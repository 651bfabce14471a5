// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>
#include <oplog/bson/value.hpp>
#include <oplog/error.hpp>
#include <oplog/timestamp.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace oplog::inline v0_1::bson {

/// Writes one document, element by element.
///
/// This is not libbson's bson_t, because that cannot take over the bytes of an element unchanged, which is nearly all
/// that this library does. It also keeps code that rewrites entries free of any dependency but the standard library.
class Builder {
  public:
    Builder() { open(); }

    /// Copies an element of another document.
    Builder& append(const Element& element) { return raw(element.bytes()); }
    /// Copies the value of an element, under another name.
    Builder& append(std::string_view key, const Element& element) {
        head(element.type(), key);
        bytes_ += element.value();
        return *this;
    }
    /// Copies whole elements of another document. `elements` must be the bytes of zero or more elements; they are not
    /// checked.
    Builder& raw(std::string_view elements) {
        bytes_ += elements;
        return *this;
    }

    /// Appends an element. Throws ArgumentError if `key` contains a zero byte. Dates in milliseconds count from 1970 UTC.
    /// @{
    Builder& string(std::string_view key, std::string_view text) {
        head(Type::string, key);
        number(static_cast<std::int32_t>(text.size() + 1));
        bytes_ += text;
        bytes_ += '\0';
        return *this;
    }
    Builder& document(std::string_view key, const Document& document) { return value(Type::document, key, document.bytes()); }
    Builder& document(std::string_view key, const Value& document) { return value(Type::document, key, document.bytes()); }
    Builder& array(std::string_view key, const Value& array) { return value(Type::array, key, array.bytes()); }
    Builder& array(std::string_view key, const Document& array) { return value(Type::array, key, array.bytes()); }
    Builder& binary(std::string_view key, std::uint8_t subtype, std::string_view data) {
        head(Type::binary, key);
        number(static_cast<std::int32_t>(data.size()));
        bytes_ += static_cast<char>(subtype);
        bytes_ += data;
        return *this;
    }
    Builder& timestamp(std::string_view key, Timestamp ts) { return fixed(Type::timestamp, key, ts.packed()); }
    Builder& date(std::string_view key, std::int64_t milliseconds) { return fixed(Type::date, key, milliseconds); }
    Builder& date(std::string_view key, Date date) { return fixed(Type::date, key, std::int64_t{date.time_since_epoch().count()}); }
    Builder& int32(std::string_view key, std::int32_t number) { return fixed(Type::int32, key, number); }
    Builder& int64(std::string_view key, std::int64_t number) { return fixed(Type::int64, key, number); }
    Builder& real(std::string_view key, double number) { return fixed(Type::double_, key, number); }
    Builder& boolean(std::string_view key, bool truth) { return fixed(Type::boolean, key, static_cast<char>(truth)); }
    Builder& null(std::string_view key) { return value(Type::null, key, {}); }
    Builder& binary(std::string_view key, const Binary& binary) { return this->binary(key, binary.subtype, binary.data); }
    /// Throws ArgumentError unless `bytes` are 12 bytes.
    Builder& object_id(std::string_view key, std::string_view bytes) {
        if (bytes.size() != 12) throw ArgumentError("an ObjectId has 12 bytes, not " + std::to_string(bytes.size()));
        return value(Type::object_id, key, bytes);
    }
    Builder& decimal128(std::string_view key, const Decimal128& decimal) {
        fixed(Type::decimal128, key, decimal.low);
        number(decimal.high);
        return *this;
    }
    /// Throws ArgumentError if the pattern or the options contain a zero byte.
    Builder& regex(std::string_view key, const Regex& regex) {
        if (regex.pattern.find('\0') != std::string_view::npos || regex.options.find('\0') != std::string_view::npos)
            throw ArgumentError("a regular expression cannot hold a zero byte");
        head(Type::regex, key);
        for (const std::string_view text : {regex.pattern, regex.options}) {
            bytes_ += text;
            bytes_ += '\0';
        }
        return *this;
    }
    /// @}

    /// Opens a nested document or array of that name: what is appended from here on goes into it, until end(). The
    /// caller chooses the keys of an array.
    Builder& begin_document(std::string_view key) { return begin(Type::document, key); }
    Builder& begin_array(std::string_view key) { return begin(Type::array, key); }
    /// Closes the innermost open document or array. Throws ArgumentError if none is open.
    Builder& end() {
        if (open_.size() < 2) throw ArgumentError("Builder::end() without a begin");
        close();
        return *this;
    }

    /// The number of bytes written so far.
    std::size_t size() const noexcept { return bytes_.size(); }

    /// Returns the finished document and empties the builder. Throws ArgumentError if a nested document is still open,
    /// and DataError if the document exceeds BSON's 2 GiB.
    [[nodiscard]] Value finish() {
        if (open_.size() != 1) throw ArgumentError("Builder::finish() inside a nested document");
        close();
        Value done(std::move(bytes_));
        bytes_.clear();
        open();
        return done;
    }

  private:
    void open() {
        open_.push_back(bytes_.size());
        bytes_.append(4, '\0');
    }
    void close() {
        bytes_ += '\0';
        const std::size_t start = open_.back(), size = bytes_.size() - start;
        open_.pop_back();
        if (size > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
            throw DataError(Fault::too_large, "a document grew beyond 2 GiB");
        const auto length = static_cast<std::int32_t>(size);
        std::memcpy(&bytes_[start], &length, sizeof length);
    }
    Builder& begin(Type type, std::string_view key) {
        head(type, key);
        open();
        return *this;
    }
    void head(Type type, std::string_view key) {
        if (key.find('\0') != key.npos) throw ArgumentError("a field name cannot hold a zero byte");
        bytes_ += static_cast<char>(type);
        bytes_ += key;
        bytes_ += '\0';
    }
    template <class T>
    void number(T value) {
        static_assert(std::is_trivially_copyable_v<T>);
        bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    template <class T>
    Builder& fixed(Type type, std::string_view key, T value) {
        head(type, key);
        number(value);
        return *this;
    }
    Builder& value(Type type, std::string_view key, std::string_view bytes) {
        head(type, key);
        bytes_ += bytes;
        return *this;
    }

    std::string bytes_;
    std::vector<std::size_t> open_; ///< The offsets at which the open documents begin, the outermost first.
};

} // namespace oplog::bson

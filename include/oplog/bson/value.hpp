// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace oplog::inline v0_1::bson {

/// A document that owns its bytes: Value is to Document as std::string is to std::string_view.
class Value {
  public:
    /// The empty document.
    Value() : bytes_(Document().bytes()) {}
    /// Copies the bytes of a view.
    explicit Value(const Document& document) : bytes_(document.bytes()) {}
    /// Takes over the bytes. Throws DataError if their length or terminator is not that of a document.
    explicit Value(std::string bytes) : bytes_(std::move(bytes)) { static_cast<void>(Document(bytes_)); }

    /// A view, valid until this object is destroyed or assigned to. A view of a temporary does not compile.
    Document view() const& noexcept OPLOG_LIFETIMEBOUND { return Document::trusted(bytes_.data()); }
    Document view() const&& = delete;
    /// The bytes, valid as long as view() is.
    const std::string& bytes() const& noexcept OPLOG_LIFETIMEBOUND { return bytes_; }
    /// The bytes, moved out.
    std::string bytes() && noexcept { return std::move(bytes_); }

    /// The bytes, for everything that takes bytes: a writer, another builder.
    operator std::string() const& { return bytes_; }
    operator std::string() && noexcept { return std::move(bytes_); }
    operator std::string_view() const noexcept OPLOG_LIFETIMEBOUND { return bytes_; }

    /// The number of bytes.
    std::size_t size() const noexcept { return bytes_.size(); }

    friend bool operator==(const Value& a, const Value& b) noexcept { return a.bytes_ == b.bytes_; }
    friend bool operator==(const Value& a, std::string_view b) noexcept { return a.bytes_ == b; }

  private:
    std::string bytes_;
};

} // namespace oplog::bson

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace oplog::inline v0_1::bson {

/// A document that owns its bytes, as std::string does beside std::string_view.
class Value {
  public:
    /// The empty document.
    Value() : bytes_(Document().bytes()) {}
    /// A copy of the bytes that a view is of.
    explicit Value(const Document& document) : bytes_(document.bytes()) {}
    /// Takes bytes over. Throws DataError when they are no document by their length or terminator.
    explicit Value(std::string bytes) : bytes_(std::move(bytes)) { static_cast<void>(Document(bytes_)); }

    /// Valid as long as this value is there and not assigned to; that of a temporary does not compile.
    Document view() const& noexcept OPLOG_LIFETIMEBOUND { return Document::trusted(bytes_.data()); }
    Document view() const&& = delete;
    const std::string& bytes() const& noexcept OPLOG_LIFETIMEBOUND { return bytes_; }
    std::string bytes() && noexcept { return std::move(bytes_); }

    /// As the bytes, for what takes those: a writer, another builder.
    operator std::string() const& { return bytes_; }
    operator std::string() && noexcept { return std::move(bytes_); }
    operator std::string_view() const noexcept OPLOG_LIFETIMEBOUND { return bytes_; }

    std::size_t size() const noexcept { return bytes_.size(); }

    friend bool operator==(const Value& a, const Value& b) noexcept { return a.bytes_ == b.bytes_; }
    friend bool operator==(const Value& a, std::string_view b) noexcept { return a.bytes_ == b; }

  private:
    std::string bytes_;
};

} // namespace oplog::bson

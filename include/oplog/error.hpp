// SPDX-License-Identifier: Apache-2.0
#pragma once

#if __cplusplus < 202002L
#error "oplog needs C++20: compile with -std=c++20 or later"
#endif

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace oplog::inline v0_1 {

/// The base of every error of this library but one kind: what the operating system
/// refuses (a missing file, a full disk) is a std::system_error.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// An argument that the caller got wrong: a time that does not parse, bounds that exclude each other.
class ArgumentError : public Error {
  public:
    using Error::Error;
};

/// The data is bad: corrupt, truncated, out of order, diverged.
class DataError : public Error {
  public:
    explicit DataError(const std::string& what, std::string_view hint = {}) : Error(what), hint_(hint) {}

    /// What to do about it, where that is known; else empty.
    const std::string& hint() const noexcept { return hint_; }

  private:
    std::string hint_;
};

/// Where a document stands in its input.
struct Position {
    std::string file;           ///< as opened; "-" is stdin
    std::uint64_t offset = 0;   ///< of the document's first byte, in uncompressed bytes from the start
    std::uint64_t document = 0; ///< its number, from 1
};

/// Bad data with a place: "FILE: offset N: document K: REASON".
class FormatError : public DataError {
  public:
    FormatError(const Position& where, std::string_view reason, std::string_view hint = {})
        : DataError(where.file + ": offset " + std::to_string(where.offset) + ": document " +
                    std::to_string(where.document) + ": " + std::string(reason), hint),
          where_(where), reason_(reason) {}

    const Position& where() const noexcept { return where_; }
    const std::string& reason() const noexcept { return reason_; }

  private:
    Position where_;
    std::string reason_;
};

} // namespace oplog

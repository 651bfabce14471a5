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

/// The base of every error that this library throws, except for what the operating system refuses (a missing file, a
/// full disk): that is a std::system_error. Every error thrown has one of the derived types below.
class Error : public std::runtime_error {
  protected:
    using std::runtime_error::runtime_error;
};

/// The caller made a mistake: a time that does not parse, bounds that exclude each other, a second pass over an input
/// that can be read only once.
class ArgumentError : public Error {
  public:
    using Error::Error;
};

/// A renaming that the data does not allow: it would make one collection of two, or let a command cross databases.
class RenameError : public Error {
  public:
    using Error::Error;
};

/// A file that cannot serve its purpose: a directory without an oplog, or an output that might not survive a power
/// failure.
class FileError : public Error {
  public:
    using Error::Error;
};

/// The kinds of fault that data can have, so that a program can tell errors apart.
enum class Fault {
    truncated,           ///< The input, or a document in it, ends too early.
    bad_length,          ///< A length that is impossible.
    bad_type,            ///< A type byte that BSON does not define.
    malformed,           ///< Bytes that contradict each other: a string without its terminator, two lengths that differ.
    not_utf8,            ///< A name or a string that is not UTF-8.
    too_deep,            ///< Nested beyond every limit.
    too_large,           ///< Larger than anything a server accepts.
    bad_json,            ///< Text that is not JSON.
    missing_field,       ///< A required field is missing.
    wrong_type,          ///< A field has another type than it must have.
    bad_value,           ///< A field, an option or a value that no server writes.
    not_oplog,           ///< Another kind of data altogether: not BSON, or not an oplog entry.
    corrupt_compression, ///< gzip or zstd rejects the compressed stream.
    out_of_order,        ///< An entry stands before one that it must follow, or occurs twice.
    gap,                 ///< Entries are missing between two slices.
    divergence,          ///< Two slices tell different histories.
    incomplete,          ///< A dump or a chain lacks a part of itself.
    ambiguous,           ///< There are two of something that must be unique.
    inconsistent,        ///< Parts that belong together disagree.
    changed,             ///< The input was written to while it was read.
    empty,               ///< There is nothing in the input to work on.
    not_supported,       ///< The data may be right, but this library does not support it.
};

/// The data is bad.
class DataError : public Error {
  public:
    DataError(Fault fault, const std::string& what, std::string_view hint = {}) : Error(what), fault_(fault), hint_(hint) {}

    /// The kind of fault.
    Fault fault() const noexcept { return fault_; }
    /// Advice on what to do about it; empty if there is none.
    const std::string& hint() const noexcept { return hint_; }
    /// The same error, with `name` (the thing that contains the fault) in front of its message.
    DataError within(std::string_view name) const { return {fault_, std::string(name) + ": " + what(), hint_}; }

  private:
    Fault fault_;
    std::string hint_;
};

/// Where a document stands in its input.
struct Position {
    std::string file;           ///< The name as it was opened; "-" is stdin.
    std::uint64_t offset = 0;   ///< The offset of the document's first byte: uncompressed bytes from the start of the input.
    std::uint64_t document = 0; ///< The number of the document, counted from 1.
};

/// "FILE: offset N: document K"
inline std::string to_string(const Position& where) {
    return where.file + ": offset " + std::to_string(where.offset) + ": document " + std::to_string(where.document);
}

/// A DataError with a place. Its message is "FILE: offset N: document K: REASON".
class FormatError : public DataError {
  public:
    FormatError(const Position& where, Fault fault, std::string_view reason, std::string_view hint = {})
        : DataError(fault, to_string(where) + ": " + std::string(reason), hint), where_(where), reason_(reason) {}
    /// Puts a place in front of an error's message.
    FormatError(const Position& where, const DataError& error) : FormatError(where, error.fault(), error.what(), error.hint()) {}

    /// The place of the document.
    const Position& where() const noexcept { return where_; }
    /// The message without the place.
    const std::string& reason() const noexcept { return reason_; }

  private:
    Position where_;
    std::string reason_;
};

} // namespace oplog

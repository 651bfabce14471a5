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
/// refuses (a missing file, a full disk) is a std::system_error. Each that is thrown is one of those below.
class Error : public std::runtime_error {
  protected:
    using std::runtime_error::runtime_error;
};

/// What the caller got wrong: a time that does not parse, bounds that exclude each other, a second pass over what is read once.
class ArgumentError : public Error {
  public:
    using Error::Error;
};

/// A renaming that the data does not allow: two collections would become one, a command would cross databases.
class RenameError : public Error {
  public:
    using Error::Error;
};

/// A file that is not what it is wanted for: a directory without an oplog, an output that may not outlast a power failure.
class FileError : public Error {
  public:
    using Error::Error;
};

/// What is wrong with data.
enum class Fault {
    truncated,           ///< it ends, or its document ends, before it is whole
    bad_length,          ///< a length that cannot be
    bad_type,            ///< a BSON type that there is not
    malformed,           ///< bytes that contradict each other: a string without its end, two lengths
    not_utf8,            ///< a name or a text in another encoding
    too_deep,            ///< nested beyond any limit
    too_large,           ///< larger than anything a server takes
    bad_json,            ///< text that is no JSON
    missing_field,       ///< a field that must be there is not
    wrong_type,          ///< a field of another type than it must have
    bad_value,           ///< a field, an option or a value that no server writes
    not_oplog,           ///< something else altogether: no BSON, no oplog entry
    corrupt_compression, ///< what gzip or zstd do not take
    out_of_order,        ///< an entry before one that it comes after, or twice
    gap,                 ///< entries are missing between two slices
    divergence,          ///< slices tell two histories
    incomplete,          ///< a dump or a chain lacks what belongs to it
    ambiguous,           ///< two of what there must be one of
    inconsistent,        ///< what belongs together does not agree
    changed,             ///< it was written to while it was read
    empty,               ///< there is nothing in it to work on
    not_supported,       ///< it may be right, and this library does not follow it
};

/// The data is bad.
class DataError : public Error {
  public:
    DataError(Fault fault, const std::string& what, std::string_view hint = {}) : Error(what), fault_(fault), hint_(hint) {}

    Fault fault() const noexcept { return fault_; }
    /// What to do about it, where that is known; else empty.
    const std::string& hint() const noexcept { return hint_; }
    /// The same error, of something that has a name.
    DataError within(std::string_view name) const { return {fault_, std::string(name) + ": " + what(), hint_}; }

  private:
    Fault fault_;
    std::string hint_;
};

/// Where a document stands in its input.
struct Position {
    std::string file;           ///< as opened; "-" is stdin
    std::uint64_t offset = 0;   ///< of the document's first byte, in uncompressed bytes from the start
    std::uint64_t document = 0; ///< its number, from 1
};

/// "FILE: offset N: document K"
inline std::string to_string(const Position& where) {
    return where.file + ": offset " + std::to_string(where.offset) + ": document " + std::to_string(where.document);
}

/// Bad data with a place: "FILE: offset N: document K: REASON".
class FormatError : public DataError {
  public:
    FormatError(const Position& where, Fault fault, std::string_view reason, std::string_view hint = {})
        : DataError(fault, to_string(where) + ": " + std::string(reason), hint), where_(where), reason_(reason) {}
    FormatError(const Position& where, const DataError& error) : FormatError(where, error.fault(), error.what(), error.hint()) {}

    const Position& where() const noexcept { return where_; }
    const std::string& reason() const noexcept { return reason_; }

  private:
    Position where_;
    std::string reason_;
};

} // namespace oplog

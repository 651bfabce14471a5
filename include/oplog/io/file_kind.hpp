// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>

#include <algorithm>
#include <string_view>

namespace oplog::inline v0_1 {

/// A kind of file that users give in place of BSON, and a hint on what to do about it.
struct FileKind {
    std::string_view name;
    std::string_view hint;
};

namespace detail {

struct FileSignature {
    std::size_t offset;
    std::string_view bytes;
    FileKind kind;
};

template <std::size_t N>
constexpr std::string_view signature(const char (&bytes)[N]) {
    return {bytes, N - 1};
} // the bytes may contain zeros

constexpr std::string_view unpack_hint = "unpack it first; what is read compressed is gzip and zstd";
constexpr std::string_view encrypted_hint = "decrypt it first";

constexpr FileSignature file_signatures[] = {
    {0,
     signature("\x6d\xe2\x99\x81"),
     {"an archive of mongodump", "dump without --archive, to a directory; mongorestore --archive unpacks one into a server"}},
    {0,
     signature("\xfd"
               "7zXZ"),
     {"xz", unpack_hint}},
    {0, signature("BZh"), {"bzip2", unpack_hint}},
    {0, signature("\x04\x22\x4d\x18"), {"lz4", unpack_hint}},
    {0, signature("\x02\x21\x4c\x18"), {"lz4 of the old format", unpack_hint}},
    {0, signature("\xff\x06\0\0sNaPpY"), {"framed snappy", unpack_hint}},
    {0, signature("\xff\x06\0\0S2sTwO"), {"s2", unpack_hint}},
    {0, signature("PK\x03\x04"), {"a zip archive", unpack_hint}},
    {0, signature("PK\x05\x06"), {"an empty zip archive", unpack_hint}},
    {0, signature("7z\xbc\xaf\x27\x1c"), {"a 7z archive", unpack_hint}},
    {0, signature("Rar!\x1a\x07"), {"a rar archive", unpack_hint}},
    {0, signature("LZIP"), {"lzip", unpack_hint}},
    {0, signature("\x5d\0\0"), {"lzma", unpack_hint}},
    {0, signature("\x1f\x9d"), {"the output of compress", unpack_hint}},
    {0, signature("\x1f\x8b\x08"), {"gzip inside compressed data", "it was compressed twice: unpack it once"}},
    {0, signature("\x28\xb5\x2f\xfd"), {"zstd inside compressed data", "it was compressed twice: unpack it once"}},
    {257, signature("ustar"), {"a tar archive", "unpack it first: tar -xf"}},
    {0, signature("Salted__"), {"encrypted by openssl", encrypted_hint}},
    {0, signature("age-encryption.org/"), {"encrypted by age", encrypted_hint}},
    {0, signature("-----BEGIN PGP MESSAGE"), {"encrypted by PGP", encrypted_hint}},
    {0, signature("PGDMP"), {"a dump of PostgreSQL", "the oplog of MongoDB is what is wanted"}},
    {0, signature("SQLite format 3"), {"an SQLite database", "the oplog of MongoDB is what is wanted"}},
    {0, signature("\xff\xfe"), {"UTF-16 text", "BSON is wanted, as mongodump writes it"}},
    {0, signature("\xfe\xff"), {"UTF-16 text", "BSON is wanted, as mongodump writes it"}},
};

/// Whether BSON can begin with these bytes: not every length and not every type of a first element is possible.
inline bool may_be_bson(std::string_view start) noexcept {
    if (start.size() < 4) return true;
    const auto length = bson::load<std::uint32_t>(start.data());
    if (length < bson::min_document_size || length > bson::max_document_size) return false;
    if (start.size() == 4) return true;
    const auto type = static_cast<unsigned char>(start[4]);
    return length == bson::min_document_size ? type == 0 : (type >= 0x01 && type <= 0x13) || type == 0x7F || type == 0xFF;
}

} // namespace detail

/// Recognises what a file is by its first bytes; 512 are enough. Returns null for an unknown file and for anything that
/// might be BSON.
inline const FileKind* recognise_file(std::string_view start) {
    static constexpr FileKind json{"JSON", "BSON is wanted, as mongodump writes it; JSON does not become an oplog again"},
        text{"text", "BSON is wanted, as mongodump writes it"},
        zeros{"nothing but zero bytes", "a crash or a full disk leaves such files: take another copy"};
    if (start.size() < 4 || detail::may_be_bson(start)) return nullptr;
    for (const detail::FileSignature& known : detail::file_signatures)
        if (known.offset < start.size() && start.substr(known.offset).starts_with(known.bytes)) return &known.kind;
    start = start.substr(0, 512);
    if (start.size() >= 64 && start.find_first_not_of('\0') == start.npos) return &zeros;
    if (start.starts_with("\xEF\xBB\xBF")) start.remove_prefix(3);
    const auto is_text = [](char c) {
        return static_cast<signed char>(c) < 0 || (c >= ' ' && c != 0x7F) || c == '\t' || c == '\n' || c == '\r';
    };
    if (start.empty() || static_cast<signed char>(start[0]) < 0 || !std::ranges::all_of(start, is_text)) return nullptr;
    const std::size_t first = start.find_first_not_of(" \t\r\n");
    return first != start.npos && (start[first] == '{' || start[first] == '[') ? &json : &text;
}

} // namespace oplog

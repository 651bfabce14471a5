// SPDX-License-Identifier: Apache-2.0
#pragma once

/// BSON and entries made by hand, byte by byte, and directories that clean up after themselves.

#include <oplog/oplog.hpp>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace oplog::test {

inline std::string little_endian(std::uint64_t value, std::size_t size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
    return bytes;
}

/// Builds a document: Bson().int32("a", 1).string("b", "x").bytes().
class Bson {
  public:
    /// Adds an element whose value is these bytes, whether they make sense or not.
    Bson& raw(int type, std::string_view key, std::string_view value) {
        body_ += static_cast<char>(type);
        body_ += key;
        body_ += '\0';
        body_ += value;
        return *this;
    }
    Bson& int32(std::string_view key, std::int32_t value) { return raw(0x10, key, little_endian(static_cast<std::uint32_t>(value), 4)); }
    Bson& int64(std::string_view key, std::int64_t value) { return raw(0x12, key, little_endian(static_cast<std::uint64_t>(value), 8)); }
    Bson& date(std::string_view key, std::int64_t value) { return raw(0x09, key, little_endian(static_cast<std::uint64_t>(value), 8)); }
    Bson& timestamp(std::string_view key, Timestamp value) { return raw(0x11, key, little_endian(value.packed(), 8)); }
    Bson& string(std::string_view key, std::string_view value) {
        return raw(0x02, key, little_endian(value.size() + 1, 4) + std::string(value) + '\0');
    }
    Bson& document(std::string_view key, const Bson& value) { return raw(0x03, key, value.bytes()); }
    Bson& array(std::string_view key, const Bson& value) { return raw(0x04, key, value.bytes()); }

    std::string bytes() const { return little_endian(body_.size() + 5, 4) + body_ + '\0'; }

  private:
    std::string body_;
};

/// A document that is used within one statement.
inline bson::Document of_bytes(std::string_view bytes) { return bson::Document(bytes); }

/// An insert into shop.a as a server of version 5 or later writes it, with `ts` in the middle. `value` distinguishes
/// entries.
inline std::string entry(Timestamp ts, int value = 0) {
    return Bson()
        .string("op", "i")
        .string("ns", "shop.a")
        .document("o", Bson().int32("_id", value))
        .timestamp("ts", ts)
        .int64("t", 1)
        .int64("v", 2)
        .date("wall", std::int64_t{ts.seconds} * 1000)
        .bytes();
}

/// Entries at 100:N for each N.
inline std::string entries(const std::vector<std::uint32_t>& ordinals) {
    std::string bytes;
    for (const std::uint32_t ordinal : ordinals) bytes += entry({100, ordinal});
    return bytes;
}

/// A document with this many levels: {"a": {"a": … }}.
inline std::string nested(std::size_t levels) {
    std::string front, back;
    for (std::size_t level = levels; level > 0; --level) {
        // Each level has length and terminator; each but the last also type and name.
        front += little_endian(level * 5 + (level - 1) * 3, 4);
        if (level > 1)
            front += std::string("\x03"
                                 "a\0",
                                 3);
        back += '\0';
    }
    return front + back;
}

using MemoryReader = BasicReader<MemorySource>;

inline MemoryReader reader(std::string_view bytes, Check check = Check::frame) { return {MemorySource(bytes), "in", check}; }

/// The timestamps of a range of entries, as in "100:1 100:2".
template <EntryRange In>
std::string timestamps(In&& in) {
    std::string text;
    for (const EntryView e : in) text += (text.empty() ? "" : " ") + to_string(e.ts());
    return text;
}

/// The bytes of a range of entries.
template <EntryRange In>
std::string all_bytes(In&& in) {
    std::string bytes;
    for (const EntryView e : in) bytes += e.bytes();
    return bytes;
}

/// The message of what `work` throws; "" if it throws nothing. An exception other than E passes.
template <class E, class Work>
std::string message_of(Work work) {
    try {
        work();
    } catch (const E& error) {
        return error.what();
    }
    return "";
}

class TempDirectory {
  public:
    TempDirectory() {
        std::string name = (std::filesystem::temp_directory_path() / "oplog-test-XXXXXX").string();
        if (!::mkdtemp(name.data())) throw std::system_error(errno, std::generic_category(), name);
        path_ = name;
    }
    TempDirectory(const TempDirectory&) = delete;
    ~TempDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::string path() const { return path_.string(); }
    std::string operator/(std::string_view name) const { return (path_ / name).string(); }
    std::size_t files() const {
        return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), std::filesystem::directory_iterator()));
    }

  private:
    std::filesystem::path path_;
};

inline void write_file(const std::string& path, std::string_view bytes) {
    std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

inline std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

} // namespace oplog::test

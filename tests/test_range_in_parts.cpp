// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <thread>

using namespace oplog;
using namespace oplog::test;

namespace {

constexpr std::size_t enough = 40 << 20; // for two parts

/// Entries of rising ts, up to `size` bytes. `body` makes them longer.
std::string many_entries(std::size_t size, const std::string& body, std::uint32_t seconds = 100) {
    std::string bytes;
    for (std::uint32_t i = 1; bytes.size() < size; ++i)
        bytes += Bson()
                     .string("op", "i")
                     .string("ns", "shop.a")
                     .document("o", Bson().raw(0x05, "b", body))
                     .timestamp("ts", {seconds, i})
                     .bytes();
    return bytes;
}

std::string binary(const std::string& content) { return little_endian(content.size(), 4) + '\0' + content; }

std::string in_file(const TempDirectory& directory, const std::string& bytes) {
    write_file(directory / "oplog.bson", bytes);
    return directory / "oplog.bson";
}

void check_same(const std::string& path) {
    const auto parts = range_in_parts(path);
    const Range whole = range(Reader{path});
    if (!parts) return; // one core, or no guess: allowed at any time
    CHECK(parts->first == whole.first);
    CHECK(parts->last == whole.last);
    CHECK(parts->entries == whole.entries);
    CHECK(parts->bytes == whole.bytes);
    CHECK(!whole.disorder);
}

} // namespace

TEST_CASE("a file read in parts spans what it spans read as one") {
    const TempDirectory directory;
    const std::string path = in_file(directory, many_entries(enough, binary(std::string(700, 'x'))));
    if (std::thread::hardware_concurrency() > 1) CHECK(range_in_parts(path));
    check_same(path);
}

TEST_CASE("entries inside of entries, which look as good, lead no part astray") {
    const TempDirectory directory;
    // Most of the file lies inside of binary values.
    check_same(in_file(directory, many_entries(enough, binary(many_entries(100'000, binary("x"), 7)))));
}

TEST_CASE("what is wrong in a file is left to reading it as one") {
    const TempDirectory directory;
    const std::string good = many_entries(enough, binary(std::string(700, 'x')));
    CHECK(!range_in_parts(directory / "missing"));
    CHECK(!range_in_parts(in_file(directory, good.substr(0, 1000))));
    CHECK(!range_in_parts(in_file(directory, good.substr(0, good.size() - 1))));
    CHECK(!range_in_parts(in_file(directory, good + good)));
    std::string bad = good;
    bad.replace(0, 4, 4, '\xff');
    CHECK(!range_in_parts(in_file(directory, bad)));
}

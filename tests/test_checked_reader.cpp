// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <oplog/stream/checked_reader.hpp>
#include <oplog/stream/merge.hpp>

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

std::string one(std::uint32_t ordinal, const Bson& body) {
    return Bson().string("op", "i").string("ns", "shop.a").document("o", body).timestamp("ts", {100, ordinal}).bytes();
}
const Bson ordinary = Bson().string("s", std::string(700, 'x'));

std::string many(std::uint32_t first, std::size_t size) {
    std::string bytes;
    for (std::uint32_t i = first; bytes.size() < size; ++i) bytes += one(i, ordinary);
    return bytes;
}

/// All that a reader tells of a file.
template <class In>
std::string told_by(In&& in) {
    std::uint64_t digest = 0, strange = 0;
    std::string complaint;
    try {
        for (const EntryView& entry : in) {
            digest = digest * 31 + std::hash<std::string_view>{}(entry.bytes()) + entry.where()->offset * 7 + entry.where()->document;
            strange += !entry.is_ordinary();
        }
    } catch (const FormatError& error) {
        complaint = error.what();
    }
    return std::to_string(digest) + ' ' + std::to_string(strange) + ' ' + complaint;
}

/// Returns what both readers tell of a file with these bytes.
std::string check_same(const std::string& bytes) {
    const TempDirectory directory;
    const std::string path = directory / "oplog.bson";
    write_file(path, bytes);
    std::string told = told_by(CheckedReader(Reader(path), path));
    CHECK(told == told_by(Reader(path, Check::structure)));
    return told;
}

} // namespace

TEST_CASE("a checked reader yields what a reader with Check::structure does") {
    check_same("");
    check_same(many(1, 1000));
    CHECK(check_same(many(1, 12 << 20)).ends_with(" 0 "));
    const Bson strange = Bson().raw(0x05, "old", little_endian(7, 4) + '\2' + little_endian(3, 4) + "abc");
    CHECK(check_same(many(1, 6 << 20) + one(1'000'000, strange) + many(1'000'001, 6 << 20)).ends_with(" 1 "));
    CHECK(check_same(many(1, 6 << 20) + one(1'000'000, Bson().string("s", "\xff")) + many(1'000'001, 6 << 20)).ends_with(" 0 "));
    CHECK(check_same(many(1, 6 << 20) + one(1'000'000, Bson().string("s", std::string(3 << 20, 'x'))) + many(1'000'001, 6 << 20))
              .ends_with(" 0 "));
}

TEST_CASE("a checked reader finds each fault where it is, before and after threads are at work") {
    const std::string good = many(1, 12 << 20);
    const std::size_t size = one(1, ordinary).size();
    for (const std::size_t at : {std::size_t{0}, size, (256 << 10) / size * size, (7 << 20) / size * size, good.size() - size}) {
        for (const std::size_t inside : {0, 3, 4, 40, 50, 300}) {
            std::string bad = good;
            bad[at + inside] = '\x7f';
            check_same(bad);
        }
        const std::string told = check_same(good.substr(0, at) + one(0, Bson().raw(0x20, "unknown", "")) + good.substr(at));
        CHECK(told.find("offset " + std::to_string(at) + ": document " + std::to_string(at / size + 1)) != told.npos);
        check_same(good.substr(0, at + 100));
    }
}

TEST_CASE("checked readers merge as others do") {
    const TempDirectory directory;
    const std::string whole = many(1, 20 << 20);
    const std::size_t size = one(1, ordinary).size();
    const std::size_t middle = whole.size() / size / 2 * size;
    write_file(directory / "a", whole.substr(0, middle));
    write_file(directory / "b", whole.substr(middle - size));
    std::vector<CheckedReader<Reader>> slices;
    for (const char* const name : {"b", "a"}) slices.emplace_back(Reader(directory / name), directory / name);
    std::uint32_t next = 1;
    for (Merge entries(std::move(slices), Continuity::chain); const EntryView& entry : entries) {
        REQUIRE(entry.ts() == Timestamp{100, next++});
        REQUIRE(entry.is_ordinary());
    }
    CHECK(next == whole.size() / size + 1);
}

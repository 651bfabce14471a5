// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <sys/resource.h>

using namespace oplog;
using namespace oplog::test;

namespace {

std::string written(const std::string& path, std::string_view bytes) {
    write_file(path, bytes);
    return path;
}

} // namespace

TEST_CASE("A file is not open before it is read from") {
    const TempDirectory directory;
    const std::string path = written(directory / "a", entries({1, 2, 3}));
    LateReader late(path, path);
    CHECK(late.first() == Timestamp{100, 1});
    std::filesystem::remove(path);
    CHECK_THROWS_AS(late.next(), std::system_error);
    CHECK(LateReader(written(path, ""), path).first() == std::nullopt);
    CHECK_THROWS_AS(LateReader(written(path, "no BSON at all"), path).first(), DataError);
}

TEST_CASE("What can be opened but once is read from its beginning all the same") {
    const std::string bytes = entries({1, 2});
    LateReader late(MemoryReader(MemorySource(bytes), "a"));
    CHECK(late.first() == Timestamp{100, 1});
    CHECK(timestamps(late) == "100:1 100:2");
    LateReader empty(MemoryReader(MemorySource(""), "a"));
    CHECK(empty.first() == std::nullopt);
    CHECK(timestamps(empty) == "");
}

TEST_CASE("A file that begins with something else when its turn comes is refused") {
    const TempDirectory directory;
    const std::string path = directory / "a";
    for (const std::string& now : {entries({2, 3}), std::string()}) {
        std::vector<LateReader<>> slices;
        slices.emplace_back(written(path, entries({1, 2})), path);
        Merge merge(std::move(slices));
        write_file(path, now);
        CHECK(message_of<DataError>([&] { merge.next(); }) == path + ": has changed meanwhile; start again when nothing writes there");
    }
}

TEST_CASE("A chain may have more slices than files may be open") {
    const TempDirectory directory;
    std::vector<Chain::Slice> slices;
    std::string all = entry({100, 1});
    for (std::uint32_t i = 0; i < 500; ++i) {
        const std::string next = entry({101 + i, 1});
        const std::string path = written(directory / std::to_string(i), entry({100 + i, 1}) + next);
        slices.insert(i % 3 == 0 ? slices.begin() : slices.end(), {path, path});
        all += next;
    }
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit few = before;
    few.rlim_cur = 64;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
    CHECK(all_bytes(Chain({}, std::move(slices)).merged()) == all);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

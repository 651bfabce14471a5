// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

using MemoryWriter = BasicWriter<MemorySink>;

/// Takes so many bytes, then no more.
struct Full {
    std::size_t room;
    void write(const char*, std::size_t size) {
        if (size > room) throw std::system_error(ENOSPC, std::generic_category(), "disk");
        room -= size;
    }
    void close() {}
};

/// Notes whether it was closed.
struct Noting {
    std::string* log;
    void write(const char*, std::size_t size) { *log += "write " + std::to_string(size) + ";"; }
    void close() { *log += "close;"; }
};

std::string many(std::size_t bytes) {
    std::string all;
    for (std::uint32_t i = 1; all.size() < bytes; ++i) all += entry({1, i}, static_cast<int>(i));
    return all;
}

} // namespace

TEST_CASE("what is written comes out in order, whatever its size") {
    for (const std::size_t size : {0u, 1u, 300'000u, 1'100'000u, 3'000'000u}) {
        const std::string bytes = many(size);
        std::string one_by_one, at_once;
        MemoryWriter a(MemorySink{one_by_one}), b(MemorySink{at_once});
        for (const EntryView e : reader(bytes)) a.write(e);
        b.write(bytes);
        CHECK(a.bytes() == bytes.size());
        a.close();
        b.close();
        CHECK(one_by_one == bytes);
        CHECK(at_once == bytes);
    }
}

TEST_CASE("entries, documents and runs of them can be written") {
    std::string bytes;
    MemoryWriter out{MemorySink(bytes)};
    const std::string one = entry({1, 1}), two = Bson().int32("a", 1).bytes();
    out.write(EntryView(bson::Document(one)));
    out.write(bson::Document(two));
    out.write(one + two);
    out.write(std::string_view{});
    out.close();
    CHECK(bytes == one + two + one + two);
}

TEST_CASE("a writer destroyed without close does not close its sink") {
    std::string log;
    {
        BasicWriter<Noting> out{Noting{&log}};
        out.write(entry({1, 1}));
    }
    CHECK(log.find("close") == std::string::npos);
    log.clear();
    BasicWriter<Noting> out{Noting{&log}};
    out.write(entry({1, 1}));
    out.close();
    CHECK(log == "write " + std::to_string(entry({1, 1}).size()) + ";close;");
}

TEST_CASE("a full sink is an error, at the latest at close") {
    const std::string bytes = many(3'000'000);
    for (const std::size_t room : {std::size_t{0}, std::size_t{100'000}, std::size_t{1'000'000}, bytes.size() - 1}) {
        CAPTURE(room);
        BasicWriter<Full> out{Full{room}};
        CHECK_THROWS_AS(
            [&] {
                for (const EntryView e : reader(bytes)) out.write(e);
                out.close();
            }(),
            std::system_error);
    }
    BasicWriter<Full> out{Full{bytes.size()}};
    out.write(bytes);
    CHECK_NOTHROW(out.close());
}

TEST_CASE("what failed once is never completed") {
    /// Fails once, and would take everything else.
    struct Once {
        int* left; ///< So many calls until the one that fails.
        bool* closed;
        void write(const char*, std::size_t) {
            if ((*left)-- == 0) throw std::system_error(ENOSPC, std::generic_category(), "disk");
        }
        void close() {
            if ((*left)-- == 0) throw std::system_error(ENOSPC, std::generic_category(), "disk");
            *closed = true;
        }
    };
    for (const std::size_t size : {1u, 300'000u, 3'000'000u})
        for (int calls = 0; calls < 2; ++calls) {
            CAPTURE(size);
            CAPTURE(calls);
            int left = calls;
            bool closed = false;
            BasicWriter<Once> out{Once{&left, &closed}};
            const std::string bytes = many(size);
            const auto all = [&] {
                out.write(bytes); // at once where it is large
                out.write(entry({1, 1}));
                out.close();
            };
            CHECK_THROWS_AS(all(), std::system_error);
            CHECK_THROWS_AS(out.close(), std::system_error);
            CHECK_FALSE(closed);
        }
}

TEST_CASE("nothing is written after close") {
    std::string bytes;
    MemoryWriter out{MemorySink(bytes)};
    out.close();
    CHECK_THROWS_AS(out.write(entry({1, 1})), std::logic_error);
}

TEST_CASE("a writer can be moved while its thread runs") {
    const std::string bytes = many(2'000'000);
    std::string got;
    MemoryWriter first(MemorySink{got});
    first.write(bytes);
    MemoryWriter second = std::move(first);
    second.write(bytes);
    second.close();
    CHECK(got == bytes + bytes);
}

TEST_CASE("a file is written through an unfinished writer to nothing") {
    const TempDirectory directory;
    {
        PlainWriter out{directory / "a"};
        out.write(many(2'000'000));
    }
    CHECK(directory.files() == 0);
    CHECK_THROWS_AS(PlainWriter{directory / "none/a"}, std::system_error);
}

// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

#include <array>

using namespace oplog;
using namespace oplog::test;

namespace {

using DocumentsInMemory = BasicReader<MemorySource, bson::Document>;

std::string refusal(const std::string& bytes, Check check = Check::frame) {
    return message_of<FormatError>([&] { timestamps(reader(bytes, check)); });
}

std::string document_of(std::size_t size) {
    Bson bson;
    bson.timestamp("ts", {1, 1});
    const std::size_t rest = size - bson.bytes().size() - 1 - 2 - 4 - 1;
    return bson.string("p", std::string(rest, 'x')).bytes();
}

/// Fails after a few bytes as a device does.
struct Failing {
    MemorySource bytes;
    std::size_t read(char* buffer, std::size_t size) {
        if (const std::size_t got = bytes.read(buffer, size)) return got;
        throw std::system_error(EIO, std::generic_category(), "disk");
    }
};

} // namespace

TEST_CASE("entries come one after the other with their places") {
    const std::string bytes = entries({1, 2, 3});
    auto in = reader(bytes);
    std::string places;
    for (const EntryView e : in)
        places += to_string(e.ts()) + "@" + std::to_string(e.where()->offset) + "#" + std::to_string(e.where()->document) + " ";
    const std::string size = std::to_string(bytes.size() / 3), twice = std::to_string(bytes.size() / 3 * 2);
    CHECK(places == "100:1@0#1 100:2@" + size + "#2 100:3@" + twice + "#3 ");
    CHECK(in.bytes() == bytes.size());
    CHECK(all_bytes(reader(bytes)) == bytes);
    CHECK(timestamps(reader("")) == "");
}

TEST_CASE("a reader cannot be gone through twice") {
    const std::string bytes = entries({1, 2, 3});
    auto in = reader(bytes);
    for (const EntryView e : in)
        if (e.ts().ordinal == 1) break;
    CHECK(message_of<Error>([&] { in.begin(); }) == "in: a reader's documents are read once: make another reader to read them again");
    CHECK(in.next()); // none was lost
    CHECK(in.current().ts() == Timestamp{100, 2});
    auto ended = reader(bytes);
    CHECK(timestamps(ended) == "100:1 100:2 100:3");
    CHECK_THROWS_AS(ended.begin(), Error);
}

TEST_CASE("a reader can be moved while its entries refer to it") {
    const std::string bytes = entries({1, 2});
    auto first = reader(bytes);
    REQUIRE(first.next());
    const EntryView e = first.current();
    auto second = std::move(first);
    CHECK(e.where()->file == "in");
    CHECK(e.ts() == Timestamp{100, 1});
    CHECK(second.next());
    CHECK(second.current().ts() == Timestamp{100, 2});
    CHECK(!second.next());
}

TEST_CASE("a stream cut anywhere but between documents is an error with the place of the document") {
    const std::string bytes = entries({1, 2, 3});
    const std::size_t size = bytes.size() / 3;
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
        CAPTURE(cut);
        const std::size_t whole = cut / size, rest = cut % size;
        const std::string place = "in: offset " + std::to_string(whole * size) + ": document " + std::to_string(whole + 1) +
                                  ": the stream ends inside a document: ";
        const std::string why = refusal(bytes.substr(0, cut));
        if (rest == 0)
            CHECK(why == "");
        else if (rest < 5)
            CHECK(why == place + std::to_string(rest) + " stray bytes");
        else
            CHECK(why == place + std::to_string(rest) + " of " + std::to_string(size) + " bytes");
    }
}

TEST_CASE("impossible lengths are refused before anything is read for them") {
    for (const std::int32_t length : {0, 1, 4, -1, -5, std::numeric_limits<std::int32_t>::min()}) {
        const std::string why = "impossible document length " + std::to_string(length);
        const std::string head = little_endian(static_cast<std::uint32_t>(length), 4);
        CHECK(refusal(head) == "in: offset 0: document 1: " + why);
        CHECK(refusal(entry({1, 1}) + head + std::string(100, 'x')) ==
              "in: offset " + std::to_string(entry({1, 1}).size()) + ": document 2: " + why);
    }
    CHECK(refusal(little_endian(0x7FFFFFFF, 4)) == "in: offset 0: document 1: document length 2147483647 is over the limit of 16793600");
    CHECK(refusal(little_endian(0x7FFFFFFF, 4) + "\x11ts") ==
          "in: offset 0: document 1: document length 2147483647 is over the limit of 16793600");
    CHECK(refusal(std::string(failure_mark)) == "in: offset 0: document 1: impossible document length -1");
}

TEST_CASE("a document of 16 MiB + 16 KiB is read, a larger one refused") {
    const std::string largest = document_of(bson::max_document_size);
    CHECK(all_bytes(reader(entry({0, 1}) + largest + entry({2, 1}))) == entry({0, 1}) + largest + entry({2, 1}));
    CHECK(refusal(document_of(bson::max_document_size + 1)) ==
          "in: offset 0: document 1: document length 16793601 is over the limit of 16793600");
}

TEST_CASE("documents around the size of the buffer come out whole") {
    for (const std::size_t size : {262139u, 262143u, 262144u, 262145u, 262149u, 524288u}) {
        const std::string bytes = entry({0, 1}) + document_of(size) + entry({2, 1}) + document_of(size - 1) + entry({2, 2});
        CHECK(all_bytes(reader(bytes)) == bytes);
    }
}

TEST_CASE("a document that is not terminated or not an entry is an error") {
    std::string bytes = entries({1, 2});
    bytes.back() = 'x';
    CHECK(refusal(bytes) == "in: offset " + std::to_string(bytes.size() / 2) + ": document 2: the document does not end with a zero byte");
    CHECK(refusal(entry({1, 1}) + Bson().int32("a", 1).bytes()) ==
          "in: offset " + std::to_string(entry({1, 1}).size()) + ": document 2: no field 'ts': not an oplog entry");
    CHECK(refusal(Bson().date("ts", 1).bytes()) == "in: offset 0: document 1: field 'ts' is a date, not a timestamp");
}

TEST_CASE("a full check walks every byte, a check of frames only up to ts") {
    const std::string bytes = Bson().timestamp("ts", {1, 1}).string("s", "\xFF").bytes();
    CHECK(refusal(bytes) == "");
    CHECK(refusal(bytes, Check::full) == "in: offset 0: document 1: string 's' is not valid UTF-8");
    for (const Check check : {Check::frame, Check::structure, Check::full}) {
        CHECK(refusal(Bson().timestamp("ts", {1, 1}).raw(0x03, "o", nested(249)).bytes(), check) == "");
        CHECK(refusal(Bson().timestamp("ts", {1, 1}).raw(0x03, "o", nested(100'000)).bytes(), check) ==
              "in: offset 0: document 1: nested more than 1000 levels deep");
    }
}

TEST_CASE("any documents can be read") {
    const std::string bytes = Bson().bytes() + Bson().int32("a", 1).bytes();
    std::string got;
    DocumentsInMemory in(MemorySource(bytes), "in");
    for (const bson::Document document : in) got += document.bytes();
    CHECK(got == bytes);
}

TEST_CASE("an error of the system passes through") {
    const std::string bytes = entry({1, 1}) + "\x20";
    BasicReader<Failing> in(Failing{MemorySource(bytes)}, "in");
    CHECK(in.next());
    CHECK_THROWS_AS(in.next(), std::system_error);
}

TEST_CASE("an error inside compressed data has the place in what it stands for") {
    const TempDirectory directory;
    const std::string path = directory / "a.zst";
    Writer out{path};
    out.write(entries({1, 2}));
    out.close();
    const std::string packed = read_file(path);
    write_file(path, packed.substr(0, packed.size() - 1));
    CHECK(message_of<FormatError>([&] { timestamps(Reader{path}); }).starts_with(path + ": offset "));
    CHECK(message_of<FormatError>([&] { timestamps(Reader{path}); }).ends_with("the zstd stream ends inside a frame"));
}

TEST_CASE("documents are read a block at a time, and the block stays as it is while more is read") {
    std::string bytes;
    for (std::uint32_t i = 1; i <= 3000; ++i) bytes += Bson().string("s", std::string(i % 900 == 0 ? 400000 : i % 700, 'x')).bytes();
    const std::string damaged = bytes + entry({3001, 1}) + std::string("\3\0\0\0", 4);
    DocumentsInMemory in(MemorySource(damaged), "x");
    std::string got;
    std::uint64_t blocks = 0;
    std::array<DocumentsInMemory::Block, 2> turns;
    std::string_view last;
    const auto read_on = [&] {
        for (;; ++blocks) {
            auto& block = turns[blocks % 2];
            const bool more = in.next(block);
            CHECK(got.ends_with(last));
            if (!more) break;
            last = block.documents();
            CHECK(block.where().offset == got.size());
            CHECK(block.where().file == "x");
            CHECK(!last.empty());
            got += last;
        }
    };
    CHECK(message_of<FormatError>(read_on) ==
          "x: offset " + std::to_string(damaged.size() - 4) + ": document 3002: impossible document length 3");
    CHECK(got == damaged.substr(0, damaged.size() - 4));
    CHECK(blocks > 5);
    CHECK(blocks < 100);
}

TEST_CASE("blocks and single documents may be read by turns") {
    std::string bytes;
    for (std::uint32_t i = 1; i <= 3000; ++i) bytes += Bson().string("s", std::string(i % 700, 'x')).bytes();
    DocumentsInMemory in(MemorySource(bytes), "x");
    DocumentsInMemory::Block block;
    std::string got;
    std::uint64_t count = 0;
    while (in.next()) {
        CHECK(in.where().offset == got.size());
        CHECK(in.where().document == ++count);
        got += in.current().bytes();
        if (!in.next(block)) break;
        CHECK(block.where().offset == got.size());
        CHECK(block.where().document == count + 1);
        got += block.documents();
        for (std::string_view rest = block.documents(); !rest.empty(); ++count) rest.remove_prefix(bson::load<std::uint32_t>(rest.data()));
        CHECK(in.bytes() == got.size());
    }
    CHECK(got == bytes);
    CHECK(count == 3000);
    CHECK(!in.next(block));
    CHECK(block.documents().empty());
}

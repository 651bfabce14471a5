// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

/// Yields a few bytes a call, as a pipe does.
class Dripping {
  public:
    Dripping(std::string_view bytes, std::size_t step) : source_(bytes), step_(step) {}
    std::size_t read(char* buffer, std::size_t size) { return source_.read(buffer, std::min(size, step_)); }

  private:
    MemorySource source_;
    std::size_t step_;
};

std::string compressed(std::string_view bytes, Compression method, std::optional<int> level = {}) {
    std::string out;
    CompressingSink<MemorySink> sink(MemorySink(out), {method, level});
    sink.write(bytes.data(), bytes.size());
    sink.close();
    return out;
}

std::string decompressed(std::string_view bytes, std::size_t in_step = 1 << 20, std::size_t out_step = 1 << 16) {
    DecompressingSource source(Dripping(bytes, in_step));
    std::string out;
    std::vector<char> buffer(out_step);
    while (const std::size_t got = source.read(buffer.data(), buffer.size())) out.append(buffer.data(), got);
    return out;
}

std::string refusal(std::string_view bytes) {
    return message_of<DataError>([&] { decompressed(bytes); });
}

std::string sample() {
    std::string bytes;
    for (std::uint32_t i = 1; i <= 3000; ++i) bytes += entry({1000 + i / 7, i}, static_cast<int>(i * 2654435761u));
    return bytes;
}

} // namespace

TEST_CASE("what was compressed comes back, however it is chopped") {
    const std::string bytes = sample();
    for (const Compression method : {Compression::none, Compression::gzip, Compression::zstd}) {
        const std::string packed = compressed(bytes, method);
        CHECK((packed.size() < bytes.size()) == (method != Compression::none));
        CHECK(decompressed(packed) == bytes);
        CHECK(decompressed(packed, 1) == bytes);
        CHECK(decompressed(packed, 7, 5) == bytes);
        CHECK(decompressed(compressed("", method)) == "");
        CHECK(decompressed(compressed("a", method), 1, 1) == "a");
    }
    CHECK(decompressed(compressed(bytes, Compression::zstd, 19)) == bytes);
    CHECK(decompressed(compressed(bytes, Compression::gzip, 9)) == bytes);
}

TEST_CASE("many frames and members are one stream") {
    for (const Compression method : {Compression::gzip, Compression::zstd}) {
        const std::string packed =
            compressed("one", method) + compressed("", method) + compressed(" two", method) + compressed(" three", method);
        CHECK(decompressed(packed) == "one two three");
        CHECK(decompressed(packed, 1, 1) == "one two three");
    }
    const std::string skippable = std::string("\x50\x2a\x4d\x18\3\0\0\0", 8) + "abc";
    CHECK(decompressed(skippable + compressed("one", Compression::zstd) + skippable + compressed(" two", Compression::zstd)) == "one two");
}

TEST_CASE("a stream cut anywhere is an error") {
    const std::string bytes = entries({1, 2, 3, 4, 5});
    for (const Compression method : {Compression::gzip, Compression::zstd}) {
        const std::string packed = compressed(bytes, method);
        for (std::size_t size = 4; size < packed.size(); ++size) {
            CAPTURE(size);
            const std::string why = refusal(packed.substr(0, size));
            CHECK(why == (method == Compression::zstd ? "the zstd stream ends inside a frame" : "the gzip stream ends inside a member"));
            CHECK(refusal(packed + packed.substr(0, size)) == why);
        }
    }
}

TEST_CASE("a flipped bit gives the same bytes or an error, never others") {
    const std::string bytes = entries({1, 2, 3, 4, 5, 6, 7, 8});
    for (const Compression method : {Compression::gzip, Compression::zstd}) {
        const std::string packed = compressed(bytes, method);
        for (std::size_t i = 4; i < packed.size(); ++i) // the first four say what it is; beyond lies the reader's check of lengths
            for (int bit = 0; bit < 8; ++bit) {
                CAPTURE(i);
                CAPTURE(bit);
                std::string bad = packed;
                bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
                std::string got;
                const bool failed = !message_of<DataError>([&] { got = decompressed(bad); }).empty();
                // Read through a reader, what is no gzip after all is no document either.
                CHECK((failed || got == bytes || !message_of<DataError>([&] { timestamps(reader(got)); }).empty()));
            }
    }
}

TEST_CASE("bytes after the last frame or member that begin none are an error") {
    CHECK(refusal(compressed("one", Compression::gzip) + "garbage").starts_with("corrupt gzip stream: "));
    CHECK(refusal(compressed("one", Compression::zstd) + "garbage").starts_with("corrupt zstd stream: "));
    CHECK(refusal(compressed("one", Compression::gzip) + std::string(failure_mark)) != "");
    CHECK(refusal(compressed("one", Compression::zstd) + std::string(failure_mark)) != "");
}

TEST_CASE("documents whose length looks like gzip are no gzip") {
    const auto document_of = [](std::size_t size, bool ts_first) {
        Bson bson;
        if (ts_first) bson.timestamp("ts", {1, 2});
        bson.string("lsid", "x");
        const std::size_t rest = size - bson.bytes().size() - 1 - 4 - 4 - 1;
        return bson.string("pad", std::string(rest, 'x')).bytes();
    };
    for (const std::size_t size : {0x8b1f, 0x18b1f, 0x78b1f, 0x88b1f, 0x98b1f})
        for (const bool ts_first : {true, false}) {
            const std::string document = document_of(size, ts_first);
            REQUIRE(document.size() == size);
            REQUIRE(document.starts_with("\x1f\x8b"));
            CHECK(decompressed(document) == document);
            CHECK(decompressed(document, 1) == document);
        }
}

TEST_CASE("a document's last bytes are not waited for beyond its end") {
    CHECK(decompressed("") == "");
    CHECK(decompressed("abc", 1, 1) == "abc");
    CHECK(decompressed(Bson().bytes(), 1) == Bson().bytes());
}

TEST_CASE("a compressed file is published whole, and told by its content") {
    const TempDirectory directory;
    const std::string bytes = sample();
    for (const char* name : {"a.bson", "a.bson.gz", "a.bson.zst"}) {
        Writer out{directory / name};
        out.write(bytes);
        CHECK(!std::filesystem::exists(directory / name));
        out.close();
        CHECK(all_bytes(Reader{directory / name}) == bytes);
    }
    CHECK(read_file(directory / "a.bson") == bytes);
    CHECK(read_file(directory / "a.bson.gz").starts_with("\x1f\x8b\x08"));
    CHECK(read_file(directory / "a.bson.zst").starts_with("\x28\xb5\x2f\xfd"));
    std::filesystem::rename(directory / "a.bson.zst", directory / "b.gz");
    CHECK(all_bytes(Reader{directory / "b.gz"}) == bytes);
    Writer plain{directory / "c.zst", IfExists::refuse, CompressionOptions{}};
    plain.write(bytes);
    plain.close();
    CHECK(read_file(directory / "c.zst") == bytes);
    { Writer given_up{directory / "d.zst"}; }
    CHECK(!std::filesystem::exists(directory / "d.zst"));
}

TEST_CASE("zstd frames carry a checksum") {
    std::string packed = compressed(sample(), Compression::zstd);
    packed.back() = static_cast<char>(packed.back() ^ 1);
    CHECK(refusal(packed) == "corrupt zstd stream: Restored data doesn't match checksum");
}

TEST_CASE("a zstd frame with a window that is too large says what to do") {
    const std::string head("\x28\xb5\x2f\xfd\0", 5), block("\x09\0\0x", 4); // the last block, one byte as it is
    CHECK(decompressed(head + static_cast<char>((27 - 10) << 3) + block) == "x");
    CHECK(refusal(head + static_cast<char>((28 - 10) << 3) + block) ==
          "the zstd stream needs a window of over 128 MiB: decompress it with zstd -dc --long=31");
}

TEST_CASE("ways to compress parse, or are refused with the reason") {
    CHECK(parse_compression("none").method == Compression::none);
    CHECK(parse_compression("zstd").method == Compression::zstd);
    CHECK(!parse_compression("zstd").level);
    CHECK(parse_compression("zstd:19").level == 19);
    CHECK(parse_compression("gzip:1").level == 1);
    CHECK(parse_compression("gzip:0").level == 0);
    const auto refused = [](const char* text) { return message_of<ArgumentError>([&] { parse_compression(text); }); };
    for (const char* text : {"", "lz4", "none:1", "ZSTD", "zst", "gzipped"})
        CHECK(refused(text) == "compression '" + std::string(text) + "' is none of zstd[:LEVEL], gzip[:LEVEL], none");
    for (const char* text : {"gzip:", "gzip:10", "gzip:-1", "gzip:1x", "gzip: 1", "gzip:99999999999"})
        CHECK(refused(text) == "compression '" + std::string(text) + "' has a level that is not between 0 and 9");
    CHECK(refused("zstd:0") == "compression 'zstd:0' has a level that is not between 1 and 22");
    CHECK(refused("zstd:23") == "compression 'zstd:23' has a level that is not between 1 and 22");
}

// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <oplog/io/archive.hpp>
#include <oplog/io/files.hpp>

using namespace oplog;
using namespace oplog::test;

namespace {

/// A sink into memory.
struct MemorySink {
    std::string* bytes;
    void write(const char* data, std::size_t size) { bytes->append(data, size); }
    void close() {}
};

const ArchivePrelude shop{"6.0.27",
                          "100.0.0",
                          {{"shop", "a", R"({"indexes":[],"collectionName":"a","type":"collection"})", "collection"},
                           {"shop", "seen", R"({"options":{"viewOn":"a","pipeline":[]},"indexes":[],"collectionName":"seen"})", ""},
                           {"shop", "t", R"({"indexes":[],"type":"timeseries"})", "timeseries"},
                           {"", "oplog", "", ""}}};

/// An archive with two collections that alternate, a time series without documents, a view, and an oplog.
std::string archive() {
    std::string bytes;
    BasicWriter out(MemorySink{&bytes});
    BasicArchiveWriter writer(out, shop);
    const auto write = [&](const char* database, const char* collection, std::string_view document) {
        writer.write(database, collection, bson::Document(document));
    };
    write("shop", "a", Bson().int32("_id", 1).bytes());
    write("", "oplog", entry({100, 1}));
    write("shop", "a", Bson().int32("_id", 2).string("text", std::string(100, 'x')).bytes());
    writer.end("shop", "a");
    writer.end("shop", "system.buckets.t");
    write("", "oplog", entry({100, 2}));
    writer.end("", "oplog");
    writer.end("shop", "seen");
    out.close();
    return bytes;
}

/// What a reader tells of it, a line an item.
std::string told(std::string_view bytes) {
    BasicArchiveReader reader(MemorySource(bytes), "an archive");
    std::string text;
    while (reader.next()) {
        const auto& item = reader.current();
        text += item.database + "." + item.collection + " " + (item.document ? std::to_string(item.document->size()) : "end") + "\n";
    }
    return text;
}

Fault fault_of(std::string_view bytes) {
    try {
        told(bytes);
    } catch (const DataError& error) {
        CHECK(std::string(error.what()).starts_with("an archive: "));
        return error.fault();
    }
    FAIL("nothing is said of it");
    return {};
}

} // namespace

TEST_CASE("the checksum of archives is that of xz") {
    Crc64 crc;
    CHECK(crc.value() == 0);
    crc.add("123456789");
    CHECK(crc.value() == 0x995DC9BBDF1939FA);
    Crc64 in_parts;
    const std::string text(1000, 'x');
    for (std::size_t at = 0, size = 1; at < text.size(); at += size++) in_parts.add(std::string_view(text).substr(at, size));
    Crc64 whole;
    whole.add(text);
    CHECK(in_parts.value() == whole.value());
}

TEST_CASE("an archive has a prelude, blocks that alternate, and an end for each collection") {
    const std::string bytes = archive();
    CHECK(told(bytes) == "shop.a 14\n.oplog " + std::to_string(entry({100, 1}).size()) +
                             "\nshop.a 125\nshop.a end\nshop.system.buckets.t end\n.oplog " + std::to_string(entry({100, 2}).size()) +
                             "\n.oplog end\nshop.seen end\n");
    BasicArchiveReader reader(MemorySource(bytes), "an archive");
    CHECK(reader.prelude().server_version == "6.0.27");
    REQUIRE(reader.prelude().collections.size() == 4);
    CHECK(reader.prelude().collections[1].is_view());
    CHECK(!reader.prelude().collections[0].is_view());
    CHECK(reader.prelude().collections[2].data_name() == "system.buckets.t");
}

TEST_CASE("an archive that ends too early is refused wherever it ends") {
    const std::string bytes = archive();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        const Fault fault = fault_of(std::string_view(bytes).substr(0, size));
        CHECK((fault == Fault::truncated || (fault == Fault::not_oplog && size == 0)));
    }
}

TEST_CASE("a changed byte in an archive's documents is found by the checksum") {
    std::string bytes = archive();
    bytes[bytes.find("xxx") + 1] = 'y';
    CHECK(fault_of(bytes) == Fault::inconsistent);
}

/// What a source yields that is asked for so many bytes at a time.
std::string oplog_of(std::string_view bytes, std::size_t at_a_time) {
    OplogSource source{MemorySource(bytes)};
    std::string oplog, buffer(at_a_time, '\0');
    while (const std::size_t got = source.read(buffer.data(), buffer.size())) oplog.append(buffer, 0, got);
    CHECK(source.read(buffer.data(), buffer.size()) == 0);
    return oplog;
}

TEST_CASE("an archive is read as the oplog in it, and anything else as it is") {
    const std::string oplog = entry({100, 1}) + entry({100, 2});
    for (const std::size_t size : {4, 5, 100, 1 << 20}) {
        CHECK(oplog_of(archive(), size) == oplog);
        CHECK(oplog_of(oplog, size) == oplog);
        CHECK(oplog_of("", size) == "");
        CHECK(oplog_of("abc", size) == "abc");
    }
    std::string none = archive();
    for (std::size_t at; (at = none.find("oplog", 0, 6)) != none.npos;) none[at] = 'n';
    CHECK_THROWS_AS(oplog_of(none, 100), DataError);
    const std::string whole = archive();
    for (std::size_t size = 4; size < whole.size(); ++size)
        CHECK_THROWS_AS(oplog_of(std::string_view(whole).substr(0, size), 100), DataError);
}

TEST_CASE("an archive of another version is refused") {
    std::string bytes = archive();
    bytes[bytes.find("0.1") + 2] = '2';
    CHECK(fault_of(bytes) == Fault::not_supported);
}

TEST_CASE("what is no archive is refused") {
    const std::string bytes = archive(), mark(4, '\xff');
    CHECK(fault_of(entry({100, 1})) == Fault::not_oplog);
    CHECK(fault_of(bytes + mark) == Fault::malformed);
    CHECK(fault_of(bytes + little_endian(3, 4)) == Fault::bad_length);
    CHECK(fault_of(bytes + Bson().int32("x", 1).bytes() + mark) == Fault::missing_field);
    const std::string again = Bson().string("db", "shop").string("collection", "a").bytes();
    CHECK(fault_of(bytes + again + mark) == Fault::inconsistent);
    CHECK(fault_of(bytes + Bson().string("db", "shop").string("collection", "new").bytes() + mark) == Fault::truncated);
}

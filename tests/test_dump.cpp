// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <oplog/restore/dump.hpp>

using namespace oplog;
using namespace oplog::test;
namespace fs = std::filesystem;

namespace {

const std::string data = OPLOG_TEST_DATA;

/// All files below a directory and what is in them.
std::map<std::string, std::string> tree(const std::string& directory) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::recursive_directory_iterator(directory))
        if (entry.is_regular_file()) files[entry.path().lexically_relative(directory).string()] = read_file(entry.path().string());
    return files;
}

std::string names(const Dump& dump) {
    std::string text;
    for (const DumpCollection& collection : dump.collections()) text += (text.empty() ? "" : " ") + collection.ns();
    return text;
}

void put(const std::string& path, std::string_view bytes) {
    fs::create_directories(fs::path(path).parent_path());
    write_file(path, bytes);
}

/// A small dump at DIR/name.
std::string make_dump(const TempDirectory& directory, const std::string& name) {
    std::string path = directory / name;
    put(path + "/shop/a.bson", Bson().int32("_id", 1).bytes());
    put(path + "/shop/a.metadata.json", R"({"indexes":[],"collectionName":"a","type":"collection"})");
    put(path + "/oplog.bson", entry({1, 1}));
    put(path + "/prelude.json", R"({"ServerVersion":"6.0.5","ToolVersion":"1"})");
    return path;
}

} // namespace

TEST_CASE("collections' names are escaped in their files' names as mongodump does it") {
    CHECK(dump_file_name("plain-name_1.x~") == "plain-name_1.x~");
    CHECK(dump_file_name("a$b/c d%e+f") == "a%24b%2Fc+d%25e%2Bf");
    CHECK(dump_file_name("\xc3\xa4") == "%C3%A4");
    for (const std::string name : {"a", "a$b/c d%e+f", "\xe4\xb8\xad\xe6\x96\x87", "system.buckets.ts", ".", ".."})
        CHECK(dump_collection_name(dump_file_name(name)) == name);
    CHECK_FALSE(dump_collection_name("a%2"));
    CHECK_FALSE(dump_collection_name("a%zz"));
}

TEST_CASE("a long name's file is its beginning and a hash") {
    const std::string name(245, 'x');
    CHECK(dump_file_name(std::string(238, 'x')) == std::string(238, 'x'));
    CHECK(dump_file_name(name) == std::string(208, 'x') + "%24" + "KUsojI9a6_1Zb9tZar0t3-JWmb4");
    CHECK_FALSE(dump_collection_name(dump_file_name(name)));
}

TEST_CASE("every metadata file of real dumps comes back byte for byte") {
    int files = 0;
    for (const auto& chain : fs::directory_iterator(data))
        for (const char* part : {"full", "final"}) {
            if (!fs::exists(chain.path() / part)) continue;
            const Dump dump((chain.path() / part).string());
            for (const DumpCollection& collection : dump.collections()) {
                CHECK(collection.read_metadata().json() == read_file(collection.metadata));
                ++files;
            }
        }
    CHECK(files > 20);
}

TEST_CASE("metadata keeps every type, and operators that look like types") {
    const std::string json =
        R"({"options":{"viewOn":"a","pipeline":[{"$match":{"s":{"$regex":"^x","$options":"i"},"t":{"$type":"string"},"r":{"$regularExpression":)"
        R"({"pattern":"a/b","options":"im"}},"d":{"$date":{"$numberLong":"-1"}},"n":{"$numberLong":"5"},"f":{"$numberDouble":"-0.0"},"z":{"$numberDecimal":"1.50"},)"
        R"("b":{"$binary":{"base64":"AAEC","subType":"80"}},"o":{"$oid":"0123456789abcdef01234567"},"m":{"$minKey":1},"u":{"$undefined":true},"c":{"$code":"x","$scope":{"y":{"$numberInt":"1"}}},)"
        R"("p":{"$dbPointer":{"$ref":"d.c","$id":{"$oid":"0123456789abcdef01234567"}}},"y":{"$symbol":"s"},"ts":{"$timestamp":{"t":1,"i":2}},"e":"\u0001\"\\é"}}]},)"
        R"("indexes":[],"collectionName":"v","type":"view"})";
    const Metadata metadata = Metadata::parse(json);
    CHECK(metadata.is_view());
    CHECK(metadata.json() == json);
}

TEST_CASE("metadata of old dumps is read: plain numbers, missing fields, empty files") {
    const Metadata old =
        Metadata::parse(R"({"options":{"capped":true,"size":4096},"indexes":[{"v":1,"key":{"_id":1},"ns":"shop.a","name":"_id_"}]})");
    CHECK(old.type.empty());
    CHECK(to_json(bson::Document(old.options)) == R"({"capped":true,"size":{"$numberInt":"4096"}})");
    REQUIRE(old.indexes.size() == 1);
    CHECK(Metadata::parse("").indexes.empty());
    CHECK(Metadata::parse(R"({"indexes":null})").indexes.empty());
    CHECK(message_of<DataError>([] { Metadata::parse(R"({"indexes":[)"); }) == "JSON: byte 12: no JSON value");
    CHECK(message_of<DataError>([] { Metadata::parse(R"({"a":{"$numberInt":"x"}})"); }) ==
          "JSON: byte 22: 'x' is not a number of its type");
}

TEST_CASE("metadata that says two things, or none of what it must, is refused") {
    const auto error = [](const std::string& json) { return message_of<DataError>([&] { Metadata::parse(json); }); };
    const std::string uuid = "0123456789abcdefABCDEF0123456789";
    CHECK(Metadata::parse(R"({"uuid":")" + uuid + "\"}").uuid_bytes() ==
          "\x01\x23\x45\x67\x89\xab\xcd\xef\xab\xcd\xef\x01\x23\x45\x67\x89");
    CHECK(Metadata::parse(R"({"uuid":""})").uuid_bytes().empty());
    for (const std::string& bad : {uuid.substr(1), uuid.substr(2), uuid + "00", "zz" + uuid.substr(2), "-1" + uuid.substr(2),
                                   "0x" + uuid.substr(2), " 1" + uuid.substr(2)})
        CHECK(error(R"({"uuid":")" + bad + "\"}") == "uuid '" + bad + "' is not 32 hexadecimal digits");
    CHECK(error(R"({"options":{},"options":{}})") == "the metadata has the key 'options' twice");
    CHECK(error(R"({"optionr":{}})") == "the metadata has the unknown key 'optionr'");
    CHECK(error(R"({"type":"viev"})") == "type 'viev' is none of collection, view and timeseries");
    CHECK(error(R"({"options":{"capped":true,"capped":false}})") == "the options have the key 'capped' twice");
    CHECK(error(R"({"indexes":[{"name":"x","key":{},"name":"y"}]})") == "an index has the key 'name' twice");
    CHECK(error(R"({"indexes":[{"name":"x"}]})") == R"(an index has no name or no key: {"name":"x"})");
    CHECK(error(R"({"options":{"timeseries":{"timeField":1}}})") == "the option timeField has a wrong type");
    CHECK(error(R"({"options":{"x":[)" + std::string(std::size_t{4} << 20, ' ') + "0" +
                [] {
                    std::string zeros;
                    for (int i = 0; i < 4'000'000; ++i) zeros += ",0";
                    return zeros;
                }())
              .ends_with("more than 33554432 bytes as BSON"));
}

TEST_CASE("a view is told by what it is on, whatever type its metadata has") {
    CHECK(Metadata::parse(R"({"options":{"viewOn":"a","pipeline":[]}})").is_view());
    CHECK_FALSE(Metadata::parse(R"({"type":"view"})").is_view()); // dumped as a collection
}

TEST_CASE("no file is read whole that is larger than metadata can be") {
    const TempDirectory directory;
    OutputSink sink(directory / "bomb.gz");
    const std::string blank(1 << 20, ' ');
    for (int i = 0; i < 65; ++i) sink.write(blank.data(), blank.size());
    sink.close();
    CHECK(message_of<DataError>([&] { read_whole(directory / "bomb.gz"); }) == directory / "bomb.gz: more than 64 MiB");
    CHECK(message_of<DataError>([&] { read_metadata_file(directory / "bomb.gz"); }) == directory / "bomb.gz: more than 64 MiB");
}

TEST_CASE("a dump's collections are listed, time series with their buckets") {
    const Dump dump(data + "/timeseries/final");
    CHECK(names(dump) == "admin.system.version shop.ts shop.ts2");
    CHECK(dump.find("shop.ts")->data == data + "/timeseries/final/shop/system.buckets.ts.bson");
    CHECK(dump.find("shop.ts")->metadata == data + "/timeseries/final/shop/ts.metadata.json");
    CHECK(dump.find("shop.ts")->read_metadata().is_timeseries());
    CHECK(dump.find("shop.system.buckets.ts") == nullptr);
    CHECK_FALSE(dump.oplog());
    CHECK(*dump.prelude() == data + "/timeseries/final/prelude.json");
    CHECK_FALSE(dump.gzip());
    CHECK(dump.others().empty());
    CHECK(Dump(data + "/crud/full").oplog().has_value());
}

TEST_CASE("views have metadata only, and long and escaped names are found out") {
    const TempDirectory directory;
    const std::string name(245, 'x'), series(235, 'y'), path = directory.path();
    put(path + "/d/v.metadata.json", R"({"indexes":[],"collectionName":"v","type":"view"})");
    put(path + "/d/a%2Fb.bson", "");
    put(path + "/d/a%2Fb.metadata.json", "");
    put(path + "/d/" + dump_file_name(name) + ".bson", "");
    put(path + "/d/" + dump_file_name(name) + ".metadata.json", R"({"indexes":[],"collectionName":")" + name + "\"}");
    put(path + "/d/" + dump_file_name("system.buckets." + series) + ".bson", "");
    put(path + "/d/" + dump_file_name(series) + ".metadata.json",
        R"({"indexes":[],"collectionName":")" + series + R"(","type":"timeseries"})");
    put(path + "/d/notes.txt", "mine");
    const Dump dump(path);
    CHECK(names(dump) == "d.a/b d.v d." + name + " d." + series);
    CHECK(dump.find("d.v")->data.empty());
    CHECK(dump.find("d." + series)->data.ends_with(".bson"));
    CHECK(dump.others() == std::vector<std::string>{path + "/d/notes.txt"});
    fs::remove(path + "/d/" + dump_file_name(name) + ".metadata.json");
    CHECK(message_of<DataError>([&] { Dump{path}; }).ends_with("no metadata says which collection this is"));
}

TEST_CASE("the metadata of a series with a long name lies beside its buckets too, also in dumps below each other") {
    const TempDirectory directory;
    const std::string series(235, 'y'), buckets = "system.buckets." + series;
    Metadata metadata;
    metadata.collection = series;
    metadata.type = "timeseries";
    DumpWriter out(directory / "out", {});
    for (const std::string above : {"", "one/", "one/two/"}) {
        out.open(above + out.data_name("d", buckets)).close();
        out.write_text(above + out.metadata_name("d", series), metadata.json());
    }
    out.close();
    for (const std::string above : {"/", "/one/", "/one/two/"}) {
        const Dump dump(directory / "out" + above); // which takes the copy for what it is
        CHECK(names(dump).find("d." + series) != std::string::npos);
        CHECK(read_whole(directory / "out" + above + out.metadata_name("d", buckets)) == metadata.json());
    }
}

TEST_CASE("a written dump reads as it was, plain and compressed") {
    for (const bool gzip : {false, true}) {
        const TempDirectory directory;
        const Dump source(data + "/index/full");
        DumpWriter out(directory / "out", {.gzip = gzip});
        for (const DumpCollection& collection : source.collections()) {
            Writer file = out.open_data(collection.database, collection.name);
            DocumentReader documents(collection.data);
            for (const bson::Document& document : documents) file.write(document);
            file.close();
            out.write_metadata(collection.database, collection.read_metadata());
        }
        Writer oplog = out.open_oplog();
        oplog.write(read_whole(*source.oplog()));
        oplog.close();
        CHECK_FALSE(fs::exists(directory / "out"));
        out.close();
        const Dump copy(directory / "out");
        CHECK(names(copy) == names(source));
        CHECK(copy.gzip() == gzip);
        for (const DumpCollection& collection : source.collections()) {
            CHECK(read_whole(copy.find(collection.ns())->data) == read_file(collection.data));
            CHECK(read_whole(copy.find(collection.ns())->metadata) == read_file(collection.metadata));
        }
        CHECK(copy.oplog()->ends_with("/oplog.bson"));
        CHECK(read_whole(*copy.oplog()) == read_file(*source.oplog()));
        CHECK(read_file(*copy.oplog()).starts_with("\x1f\x8b") == gzip);
        CHECK(directory.files() == 1);
    }
}

TEST_CASE("a dump is taken over whole but for its oplog, by links or as a copy of its own") {
    for (const TakeOver how : {TakeOver::link, TakeOver::copy}) {
        const TempDirectory directory;
        const std::string full = make_dump(directory, "full");
        DumpWriter out(directory / "out", {.take_over = how, .inputs = {full}});
        out.take(Dump(full));
        out.close();
        auto expected = tree(full);
        expected.erase("oplog.bson");
        CHECK(tree(directory / "out") == expected);
        if (how == TakeOver::copy) CHECK_FALSE(fs::equivalent(directory / "out/shop/a.bson", full + "/shop/a.bson"));
    }
}

TEST_CASE("a dump that is not closed leaves nothing, and nothing is written over") {
    const TempDirectory directory;
    const std::string full = make_dump(directory, "full");
    {
        DumpWriter out(directory / "out", {});
        out.write_text("shop/x", "y");
        CHECK(message_of<RenameError>([&] { out.write_text("shop/x", "z"); }) == "shop/x: two collections would have this file");
    }
    CHECK(directory.files() == 1);
    const auto before = tree(full);
    CHECK_THROWS_AS(DumpWriter(full, {}), std::system_error);
    {
        DumpWriter out(full, {.if_exists = IfExists::replace});
        out.write_text("prelude.json", "new");
    }
    CHECK(tree(full) == before);
    DumpWriter late(directory / "late", {});
    fs::create_directory(directory / "late");
    CHECK_THROWS_AS(late.close(), std::system_error);
}

TEST_CASE("only a dump is replaced, and then as a whole") {
    const TempDirectory directory;
    const std::string full = make_dump(directory, "full");
    DumpWriter out(full, {.if_exists = IfExists::replace});
    out.write_text("prelude.json", "new");
    out.close();
    CHECK(tree(full) == std::map<std::string, std::string>{{"prelude.json", "new"}});
    CHECK(directory.files() == 1);

    const auto refused = [&](const std::string& path) {
        return message_of<ArgumentError>([&] { DumpWriter(path, {.if_exists = IfExists::replace}); });
    };
    put(directory / "home/letters/a.txt", "dear");
    CHECK(refused(directory / "home") == directory / "home" + " holds other things than a dump: not replaced");
    put(directory / "file", "x");
    CHECK(refused(directory / "file") == directory / "file" + " is no directory: not replaced");
    fs::create_directory(directory / "empty");
    DumpWriter(directory / "empty", {.if_exists = IfExists::replace}).close();
}

TEST_CASE("a dump must not be, hold, or lie in what it is made from") {
    const TempDirectory directory;
    const std::string full = make_dump(directory, "full");
    const auto refused = [&](const std::string& path, const std::string& input) {
        return message_of<ArgumentError>([&] { DumpWriter(path, {.if_exists = IfExists::replace, .inputs = {input}}); });
    };
    fs::create_directory_symlink("full", directory / "alias");
    CHECK(refused(full, full) == "the output " + full + " is an input");
    CHECK(refused(full + "/", full) == "the output " + full + "/ is an input");
    CHECK(refused(directory / "alias", full) == "the output " + directory / "alias" + " is an input");
    CHECK(refused(full + "/new", full) == "the output " + full + "/new lies in the input " + full);
    CHECK(refused(directory.path(), full + "/oplog.bson") == "the output " + directory.path() + " holds the input " + full + "/oplog.bson");
    CHECK(refused(directory / "full2", full).empty());
}

TEST_CASE("names out of an oplog do not lead out of the directory") {
    const TempDirectory directory;
    DumpWriter out(directory / "out", {});
    for (const char* database : {"", ".", "..", "../x", "a/b"}) CHECK_THROWS_AS(out.open_data(database, "c"), DataError);
    out.open_data("d", "../c").close();
    out.close();
    CHECK(fs::exists(directory / "out/d/..%2Fc.bson"));
}

// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <oplog/restore/chain.hpp>
#include <oplog/restore/verify.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <functional>

using namespace oplog;
using namespace oplog::test;

namespace {

const std::string data = OPLOG_TEST_DATA;

Chain crud() {
    std::vector<Chain::Slice> slices;
    for (const char* name : {"inc3", "inc1", "inc2"}) slices.push_back({data + "/crud/" + name + "/local/oplog.rs.bson", name});
    return Chain(data + "/crud/full", std::move(slices));
}

} // namespace

TEST_CASE("A chain is the full dump's oplog and its increments in any order") {
    const Chain chain = crud();
    CHECK(chain.slices().size() == 4);
    CHECK(chain.slices().front().path == data + "/crud/full/oplog.bson");
    std::vector<Reader> readers;
    for (const Chain::Slice& slice : chain.slices()) readers.emplace_back(slice.path);
    CHECK(all_bytes(chain.merged()) == all_bytes(Merge<Reader>(std::move(readers), Continuity::any)));
    const Range full = range(Reader(data + "/crud/full/oplog.bson"));
    CHECK(chain.dump_start() == full.first);
    CHECK(chain.consistent_point() == full.last);
    CHECK(chain.start().dump_start == full.first);
    CHECK(chain.start().consistent_point == full.last);
}

TEST_CASE("Without a full dump nothing is known before the first entry") {
    const Chain chain(std::nullopt, {{data + "/crud/inc1/local/oplog.rs.bson", "inc1"}});
    CHECK_FALSE(chain.full());
    CHECK_FALSE(chain.consistent_point());
    CHECK_FALSE(chain.dump_start());
    CHECK(chain.start().catalog.collections().empty());
}

TEST_CASE("A full dump needs an oplog with entries") {
    TempDirectory directory;
    CHECK(message_of<DataError>([&] { Chain(directory.path(), {}); }) ==
          directory.path() + ": no oplog.bson in it: it was not made with mongodump --oplog");
    write_file(directory / "oplog.bson", "");
    CHECK(message_of<DataError>([&] { Chain(directory.path(), {}); }) ==
          directory.path() + "/oplog.bson: no entries: nothing tells what time the full dump is of");
    CHECK_THROWS_AS(Chain(directory / "nowhere", {}), std::system_error);
}

TEST_CASE("A dump was started after what is older than its oplog's first transaction, and had committed before that ended") {
    TempDirectory directory;
    const auto started = [&](const std::string& oplog) {
        write_file(directory / "oplog.bson", oplog);
        return Chain(directory.path(), {}).dump_start();
    };
    const auto prepared = [](std::uint32_t at, int number) {
        return transaction_entry({100, at}, apply_ops({insert("shop.a", number)}, "prepare"), {}, number, static_cast<char>('a' + number));
    };
    const auto ended = [](std::uint32_t at, int number, const std::string& how, std::uint32_t before) {
        return transaction_entry({100, at}, how, {100, before}, number, static_cast<char>('a' + number));
    };
    const std::string first = prepared(5, 1), older = ended(6, 2, commit_it(), 4), of_first = ended(8, 1, commit_it(), 5);
    CHECK(started(first + older + entry({100, 7}) + of_first) == Timestamp{100, 6});
    CHECK(started(first + older + ended(7, 3, commit_it(), 3)) == Timestamp{100, 7});
    CHECK(started(first + older + of_first + ended(9, 3, commit_it(), 3)) == Timestamp{100, 6}); // that one is a gap
    CHECK(started(first + ended(6, 2, abort_it(), 4) + of_first) == Timestamp{100, 5});
    CHECK(started(first + prepared(6, 2) + ended(7, 2, commit_it(), 6)) == Timestamp{100, 5}); // known whole
    CHECK(started(entry({100, 5}) + older) == Timestamp{100, 5});
    CHECK(started(older + prepared(7, 1) + ended(8, 3, commit_it(), 3)) == Timestamp{100, 6});
}

TEST_CASE("A catalog has the dump's collections as an oplog calls them") {
    Catalog catalog = catalog_of(Dump(data + "/index/full"));
    const Collection* const a = catalog.find("shop.a");
    REQUIRE(a);
    CHECK(a->uuid.size() == 16);
    CHECK(*catalog.find_uuid(a->uuid) == "shop.a");
    CHECK(a->dumped_as == "shop.a");
    CHECK_FALSE(a->indexes_changed);
    CHECK(a->indexes.front().name == "_id_");

    Catalog series = catalog_of(Dump(data + "/timeseries/final"));
    bool found = false;
    for (const auto& [ns, collection] : series.collections()) {
        if (!split_namespace(ns).collection.starts_with(buckets_prefix)) continue;
        found = true;
        CHECK(collection.dumped_as == logical_namespace(ns));
        CHECK_FALSE(collection.time_field.empty());
        CHECK(series.find(join_namespace(split_namespace(ns).database, "system.views")) != nullptr);
    }
    CHECK(found);
}

TEST_CASE("A view brings system.views along, and is no collection") {
    TempDirectory directory;
    std::filesystem::create_directory(directory / "shop");
    write_file(directory / "shop/v.metadata.json",
               R"({"options":{"viewOn":"a","pipeline":[]},"indexes":[],"collectionName":"v","type":"view"})");
    const Catalog catalog = catalog_of(Dump(directory.path()));
    REQUIRE(catalog.collections().size() == 1);
    CHECK(catalog.collections().begin()->first == "shop.system.views");
}

TEST_CASE("Collections for users and roles count where there are any") {
    TempDirectory directory;
    std::filesystem::create_directory(directory / "admin");
    write_file(directory / "admin/system.users.bson", "");
    write_file(directory / "admin/system.roles.bson", bson::Builder().int32("_id", 1).finish());
    for (const char* name : {"users", "roles"}) write_file(directory / "admin/system." + name + ".metadata.json", "");
    Catalog catalog = catalog_of(Dump(directory.path()));
    CHECK(catalog.find("admin.system.users") == nullptr);
    CHECK(catalog.find("admin.system.roles") != nullptr);
}

TEST_CASE("A 2dsphere index of a time series that a dump tells no version of is followed as the server keeps it") {
    TempDirectory directory;
    std::filesystem::create_directory(directory / "shop");
    write_file(directory / "shop/system.buckets.ts.bson", "");
    const auto indexes_of = [&](const std::string& indexes) {
        write_file(directory / "shop/ts.metadata.json", R"({"options":{"timeseries":{"timeField":"t","metaField":"m"}},"indexes":[)" +
                                                            indexes + R"(],"collectionName":"ts","type":"timeseries"})");
        Catalog catalog = catalog_of(Dump(directory.path()));
        const Collection& series = *catalog.find("shop.system.buckets.ts");
        std::string text = series.indexes_changed ? "changed" : "";
        for (const Index& index : series.indexes) text += " " + index.collection + json(index.spec);
        return text;
    };
    CHECK(indexes_of(R"({"v":{"$numberInt":"2"},"key":{"m.at":"2dsphere"},"name":"x","2dsphereIndexVersion":{"$numberInt":"3"}})") ==
          R"( ts{"v":2,"key":{"m.at":"2dsphere"},"name":"x","2dsphereIndexVersion":3})");
    CHECK(indexes_of(R"({"v":{"$numberInt":"2"},"key":{"at":"2dsphere","n":{"$numberInt":"-1"}},"name":"x"})") ==
          R"(changed system.buckets.ts{"v":2,"key":{"data.at":"2dsphere_bucket","control.max.n":-1,"control.min.n":-1},"name":"x",)"
          R"("originalSpec":{"v":2,"key":{"at":"2dsphere","n":-1},"name":"x"},"2dsphereIndexVersion":3})");
}

TEST_CASE("A collection as entries is its creation and its documents") {
    TempDirectory directory;
    std::filesystem::create_directory(directory / "shop");
    write_file(directory / "shop/a.bson",
               bson::Builder().int32("_id", 1).finish().bytes() + bson::Builder().int32("_id", 2).finish().bytes());
    write_file(directory / "shop/a.metadata.json", R"({"options":{"capped":true},"indexes":[],"collectionName":"a"})");
    std::string text;
    const Timestamp next = write_as_entries(*Dump(directory.path()).find("shop.a"), "shop.b", {100, 1},
                                            [&](std::string_view entry) { text += json(entry) + "\n"; });
    CHECK(next == Timestamp{100, 4});
    CHECK(text == R"({"op":"c","ns":"shop.$cmd","o":{"create":"b","capped":true},"ts":{"$timestamp":{"t":100,"i":1}},"v":2}
{"op":"i","ns":"shop.b","o":{"_id":1},"ts":{"$timestamp":{"t":100,"i":2}},"v":2}
{"op":"i","ns":"shop.b","o":{"_id":2},"ts":{"$timestamp":{"t":100,"i":3}},"v":2}
)");
}

TEST_CASE("What a dump has seen of a capped collection that does not tell what it gives up is not done again") {
    TempDirectory directory;
    std::filesystem::create_directory(directory / "shop");
    const auto of_a = [](const std::string& operation) {
        bson::Builder builder;
        for (const bson::Element& element : bson::Document(operation)) builder.append(element);
        return builder.binary("ui", 4, std::string(16, 'A')).finish();
    };
    const auto id = [](int number) { return bson::Builder().int32("_id", number).finish(); };
    const auto update = [&](int number) {
        return of_a(
            operation("u", "shop.a", bson::Builder().int32("$v", 1).begin_document("$set").int32("x", 1).end().finish(), id(number)));
    };
    const auto inserted = [&](int number) { return of_a(insert("shop.a", number)); };
    // The dump came when 4 was the last, and 2 and what was before it had gone.
    const std::vector<std::string> operations{update(1), inserted(2), inserted(3), update(2), inserted(4),
                                              update(3), inserted(5), update(5),   update(1)};
    const auto staged = [&](bool capped, const std::vector<int>& dumped, const std::vector<std::string>& more) {
        std::string oplog, documents;
        std::vector<std::string> all = operations;
        all.insert(all.end(), more.begin(), more.end());
        for (std::uint32_t i = 0; i < all.size(); ++i) oplog += as_entry({100, i + 1}, all[i]);
        for (const int number : dumped) documents += id(number);
        write_file(directory / "oplog.bson", oplog);
        write_file(directory / "shop/a.bson", documents);
        write_file(directory / "shop/a.metadata.json",
                   R"({"options":{"capped":)" + std::string(capped ? "true" : "false") +
                       R"(},"indexes":[],"uuid":"41414141414141414141414141414141","collectionName":"a"})");
        const Chain chain(directory.path(), {});
        Examiner examiner(chain.start(), {}, [](const Finding&) {});
        for (auto entries = chain.merged(); const EntryView& entry : entries) examiner.add(entry);
        examiner.finish();
        Stager::Start start = examiner.start();
        chain.examine_capped(start);
        Stager stager(std::move(start), {});
        std::string text;
        for (auto entries = chain.merged(); const EntryView& entry : entries)
            stager.add(entry, [&](std::string_view document) {
                const Operation operation{bson::Document(document)};
                const auto told = (operation.o2 ? *operation.o2 : operation.o).find("_id");
                text += std::string(operation.op) + (told ? std::to_string(told->integer()) : "") + " ";
            });
        return text;
    };
    CHECK(staged(true, {3, 4}, {}) == "u3 i5 u5 ");
    CHECK(staged(true, {0, 1}, {}) == "u1 i2 i3 u2 i4 u3 i5 u5 u1 ");
    CHECK(staged(true, {}, {}) == "i2 i3 u2 i4 u3 i5 u5 ");
    CHECK(staged(true, {5, 4}, {inserted(4), update(4)}) == "u5 u4 ");             // it came again
    CHECK(staged(true, {3, 5, 4}, {inserted(3), inserted(5), inserted(4)}) == ""); // all three are others than those updated
    CHECK(staged(true, {3, 5, 4}, {inserted(3), update(3), inserted(5), inserted(4)}) == "u3 ");
    CHECK(staged(true, {2, 3, 4}, {inserted(4)}) == "u2 u3 i5 u5 i4 "); // and not yet
    CHECK(message_of<DataError>([&] { staged(true, {4}, {inserted(4)}); }).find("was given its last document twice") != std::string::npos);
    CHECK(staged(false, {3, 4}, {}) == "u1 i2 i3 u2 i4 u3 i5 u5 u1 ");
    // What tells what it gives up, or is emptied, is played once more.
    CHECK(staged(true, {3, 4}, {of_a(operation("d", "shop.a", id(3)))}) == "i2 u2 i4 i5 u5 d3 ");
    CHECK(staged(true, {3, 4}, {of_a(operation("c", "shop.$cmd", command("emptycapped", "a")))}) == "i2 i3 u2 i4 u3 i5 u5 c ");
}

TEST_CASE("A dump of which a file changes while it is read is found out") {
    TempDirectory directory;
    std::filesystem::create_directory(directory / "shop");
    const std::string a = directory / "shop/a.bson", metadata = directory / "shop/a.metadata.json";
    const auto make = [&] {
        write_file(directory / "oplog.bson", as_entry({100, 1}, insert("shop.a", 1)));
        write_file(a, bson::Builder().int32("_id", 3).finish());
        write_file(metadata, R"({"indexes":[],"uuid":"","collectionName":"a"})");
    };
    const std::string other = bson::Builder().int32("_id", 4).finish();
    const std::vector<std::function<void()>> changes{
        [&] { write_file(a, read_file(a) + other); },
        [&] {
            write_file(a, other);
            std::filesystem::last_write_time(a, std::filesystem::last_write_time(a) + std::chrono::seconds(1));
        },
        [&] { write_file(metadata, read_file(metadata) + " "); },
        [&] { write_file(directory / "oplog.bson", ""); },
        [&] {
            write_file(directory / "new", read_file(a));
            std::filesystem::rename(directory / "new", a);
        },
    };
    for (const auto& change : changes) {
        make();
        const Dump dump(directory.path());
        CHECK_NOTHROW(dump.require_unchanged());
        CHECK(read_file(a) == bson::Builder().int32("_id", 3).finish().bytes());
        std::filesystem::create_hard_link(a, directory / "link"); // as one that is made of it has
        CHECK_NOTHROW(dump.require_unchanged());
        std::filesystem::remove(directory / "link");
        change();
        CHECK_THROWS_AS(dump.require_unchanged(), DataError);
    }
    const Dump dump(directory.path());
    std::filesystem::remove(a);
    CHECK_THROWS_AS(dump.require_unchanged(), std::system_error);
}

TEST_CASE("Metadata of old and of broken dumps") {
    TempDirectory directory;
    std::filesystem::create_directory(directory / "shop");
    write_file(directory / "shop/a.bson", "");
    write_file(directory / "shop/a.metadata.json", "");
    Catalog none = catalog_of(Dump(directory.path()));
    CHECK(none.find("shop.a")->uuid.empty());
    write_file(directory / "shop/a.metadata.json", R"({"options":{},"indexes":[{"v":1,"key":{"_id":1},"name":"_id_","ns":"shop.a"}]})");
    Catalog old = catalog_of(Dump(directory.path()));
    CHECK(old.find("shop.a")->uuid.empty());
    CHECK(old.find("shop.a")->indexes.size() == 1);
    write_file(directory / "shop/a.metadata.json", R"({"options":{},"indexes":[],"uuid":"0011zz"})");
    CHECK(message_of<DataError>([&] { catalog_of(Dump(directory.path())); }) ==
          directory.path() + "/shop/a.metadata.json: uuid '0011zz' is not 32 hexadecimal digits");
    CHECK(catalog_of(Dump(directory.path()), [](const std::string& ns) { return ns != "shop.a"; }).collections().empty());
}

TEST_CASE("each reading of a chain must yield what the first one did") {
    const auto read = [](Readings& readings, std::initializer_list<std::uint32_t> ordinals) {
        for (const std::uint32_t ordinal : ordinals) {
            const std::string bytes = as_entry({100, ordinal}, insert("shop.a", 1));
            readings.add(view(bytes));
        }
        readings.end();
    };
    Readings readings;
    read(readings, {1, 2, 3});
    CHECK_NOTHROW(read(readings, {1, 2, 3}));
    CHECK_THROWS_AS(read(readings, {1, 2, 3, 4}), DataError);
    CHECK_THROWS_AS(read(readings, {1, 2}), DataError);
    CHECK_THROWS_AS(read(readings, {1, 3}), DataError);
    CHECK_THROWS_AS(read(readings, {2, 2, 3}), DataError);
    CHECK_NOTHROW(read(readings, {1, 2, 3}));
}

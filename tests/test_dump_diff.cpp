// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <oplog/bson/json.hpp>
#include <oplog/bson/json_parser.hpp>
#include <oplog/restore/dump_diff.hpp>

using namespace oplog;
using namespace oplog::test;
namespace fs = std::filesystem;

namespace {

const std::string id_index = R"({"v":{"$numberInt":"2"},"key":{"_id":{"$numberInt":"1"}},"name":"_id_"})";

/// A dump, and entries after it.
class Recorded {
  public:
    std::string folder(const std::string& name) const { return directory_ / name; }
    void dump(const std::string& folder, const std::string& name, const std::vector<std::string>& json, const std::string& options = "",
              const std::string& uuid = "") {
        std::string bytes;
        for (const std::string& document : json) bytes += parse_json(document);
        fs::create_directories(directory_ / (folder + "/shop"));
        write_file(directory_ / (folder + "/shop/" + name + ".bson"), bytes);
        write_file(directory_ / (folder + "/shop/" + name + ".metadata.json"),
                   "{" + (options.empty() ? "" : R"("options":{)" + options + "},") + R"("indexes":[)" + id_index + R"(],"uuid":")" + uuid +
                       R"(","collectionName":")" + name + R"("})");
    }
    void add(const std::string& op, const std::string& ns, const std::string& o, int uuid = 0) {
        std::string id(16, 'A');
        const std::string ui = uuid > 0 ? R"(,"ui":{"$binary":{"base64":")" + std::string(20, 'A') + static_cast<char>('A' + uuid) +
                                              "A==" + R"(","subType":"04"}})"
                                        : "";
        entries_ += parse_json(R"({"op":")" + op + R"(","ns":")" + ns + R"(","ts":{"$timestamp":{"t":2,"i":)" + std::to_string(++ordinal_) +
                               "}}" + ui + R"(,"o":)" + o + "}");
    }
    int now() const { return ordinal_; }

    /// A line for each difference between the states after entry `from` and after all entries: "NS: COUNTS", documents as JSON.
    std::string between(int from, bool one_chain = true) const {
        fs::create_directories(directory_ / "full/shop");
        const Dump full(directory_ / "full"), again(directory_ / "full");
        Applier before(full, {.scratch = directory_.path()}), after(again, {.scratch = directory_.path()});
        MemoryReader in = reader(entries_);
        for (const EntryView e : in) {
            if (e.ts() <= Timestamp{2, static_cast<std::uint32_t>(from)}) before.add(e);
            after.add(e);
        }
        before.finish();
        after.finish();
        return difference(before, after, one_chain);
    }
    std::string between_dumps(const std::string& a, const std::string& b) const {
        const Dump older(folder(a)), newer(folder(b));
        Applier before(older, {.scratch = directory_.path()}), after(newer, {.scratch = directory_.path()});
        before.finish();
        after.finish();
        return difference(before, after, false);
    }

  private:
    std::string difference(Applier& before, Applier& after, bool one_chain) const {
        std::vector<std::string> documents;
        std::string text;
        DumpDiff diff(before, after, {.scratch = directory_.path(), .one_chain = one_chain});
        diff.run(
            [&](const CollectionDiff& each) {
                text += each.before + (each.is_renamed()   ? " => " + each.after
                                       : each.is_added()   ? "new " + each.after
                                       : each.is_removed() ? " gone"
                                                           : "");
                if (each.documents.reordered) text += " reordered";
                for (const auto& option : each.options) text += " option " + option.name;
                for (const auto& index : each.indexes) text += " index " + index.name;
                std::ranges::sort(documents);
                for (const std::string& document : documents) text += ' ' + document;
                documents.clear();
                text += '\n';
            },
            [&](const CollectionDiff&, const bson::Document* a, const bson::Document* b) {
                documents.push_back((a ? to_json(*a, JsonMode::relaxed) : "") + ">" + (b ? to_json(*b, JsonMode::relaxed) : ""));
            });
        CHECK(documents.empty());
        return text;
    }

    TempDirectory directory_;
    std::string entries_;
    int ordinal_ = 0;
};

} // namespace

TEST_CASE("a collection that was emptied and filled again differs, whatever the number of its changes") {
    Recorded history;
    history.add("c", "shop.$cmd", R"({"create":"a","capped":true,"size":4096,"idIndex":)" + id_index + "}", 1);
    history.add("i", "shop.a", R"({"_id":1})", 1);
    history.add("i", "shop.a", R"({"_id":2})", 1);
    const int then = history.now();
    history.add("c", "shop.$cmd", R"({"emptycapped":"a"})", 1);
    history.add("i", "shop.a", R"({"_id":1})", 1);
    history.add("i", "shop.a", R"({"_id":3})", 1);
    CHECK(history.between(then) == "shop.a >{\"_id\":3} {\"_id\":2}>\n");
    CHECK(history.between(then, false) == history.between(then));
    CHECK(history.between(history.now()).empty());
}

TEST_CASE("what a capped collection drops depends on its size then") {
    Recorded history;
    history.add("c", "shop.$cmd", R"({"create":"a","capped":true,"size":4096,"max":3,"idIndex":)" + id_index + "}", 1);
    for (int i = 0; i < 3; ++i) history.add("i", "shop.a", R"({"_id":)" + std::to_string(i) + "}", 1);
    const int then = history.now();
    history.add("c", "shop.$cmd", R"({"collMod":"a","cappedMax":2})", 1);
    CHECK(history.between(then) == "shop.a option max {\"_id\":0}>\n");
}

TEST_CASE("of one chain a collection is followed through renames without a UUID") {
    Recorded history;
    history.dump("full", "a", {R"({"_id":1})"});
    history.add("i", "shop.a", R"({"_id":2})");
    const int then = history.now();
    history.add("c", "shop.$cmd", R"({"renameCollection":"shop.a","to":"shop.b","stayTemp":false,"dropTarget":false})");
    history.add("d", "shop.b", R"({"_id":1})");
    history.add("c", "shop.$cmd", R"({"create":"a","idIndex":)" + id_index + "}");
    CHECK(history.between(then) == "new shop.a\nshop.a => shop.b {\"_id\":1}>\n");
    CHECK(history.between(0) == "new shop.a\nshop.a => shop.b >{\"_id\":2} {\"_id\":1}>\n");
}

TEST_CASE("a collection dropped and made again is compared by its name") {
    Recorded history;
    history.dump("full", "a", {R"({"_id":1})", R"({"_id":2})"}, "", "00000000000000000000000000000004");
    const int then = history.now();
    history.add("c", "shop.$cmd", R"({"drop":"a"})", 1);
    history.add("c", "shop.$cmd", R"({"create":"a","idIndex":)" + id_index + "}", 2);
    history.add("i", "shop.a", R"({"_id":2})", 2);
    history.add("i", "shop.a", R"({"_id":3})", 2);
    CHECK(history.between(then) == "shop.a >{\"_id\":3} {\"_id\":1}>\n");
}

TEST_CASE("what both dumps have in one file is not read") {
    Recorded history;
    history.dump("one", "a", {R"({"_id":1})"});
    history.dump("two", "a", {});
    for (const char* const dump : {"one", "two"}) history.dump(dump, "b", {R"({"_id":1})"});
    write_file(history.folder("one/shop/a.bson"), "no BSON");
    fs::remove(history.folder("two/shop/a.bson"));
    fs::create_hard_link(history.folder("one/shop/a.bson"), history.folder("two/shop/a.bson"));
    CHECK(history.between_dumps("one", "two").empty());
}

TEST_CASE("documents that break off are an error with their place") {
    Recorded history;
    history.dump("one", "a", {R"({"_id":1})"});
    history.dump("two", "a", {R"({"_id":1})"});
    write_file(history.folder("two/shop/a.bson"), parse_json(R"({"_id":1})").substr(0, 10));
    CHECK(message_of<FormatError>([&] { history.between_dumps("one", "two"); }).find("two/shop/a.bson: offset 0: document 1: ") !=
          std::string::npos);
}

TEST_CASE("options are equal in any order, and indexes but for what has no meaning") {
    Recorded history;
    history.dump("one", "a", {}, R"("capped":true,"size":4096,"validator":{"a":1,"b":1},"temp":true)");
    history.dump("two", "a", {}, R"("size":4096,"capped":true,"validator":{"a":1,"b":1})");
    CHECK(history.between_dumps("one", "two").empty());
    history.dump("two", "a", {}, R"("size":4096,"capped":true,"validator":{"b":1,"a":1})");
    CHECK(history.between_dumps("one", "two") == "shop.a option validator\n");
}

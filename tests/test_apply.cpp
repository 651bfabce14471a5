// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <oplog/restore/apply.hpp>
#include <oplog/restore/chain.hpp>

using namespace oplog;
using namespace oplog::test;
namespace fs = std::filesystem;

namespace {

const std::string data = OPLOG_TEST_DATA;

/// A file's documents, decompressed, in no order.
std::vector<std::string> documents(const std::string& path) {
    std::vector<std::string> all;
    DocumentReader in(path);
    for (const bson::Document& document : in) all.emplace_back(document.bytes());
    std::ranges::sort(all);
    return all;
}

/// A server's history made by hand: a dump, entries after it, and what the dump becomes.
class Recorded {
  public:
    Recorded() {
        fs::create_directories(directory_ / "full/shop");
        put("full/oplog.bson", entry_bytes("n", "", Bson()));
    }

    void dump(const std::string& name, const std::string& metadata, const std::vector<std::string>& json = {}) {
        std::string bytes;
        for (const std::string& document : json) bytes += parse_json(document);
        if (!metadata.ends_with(R"("type":"view"})")) put("full/shop/" + name + ".bson", bytes);
        put("full/shop/" + name + ".metadata.json", metadata);
    }
    /// An entry: op, namespace, o as JSON, the collection's number for a UUID, o2, more fields.
    void add(const std::string& op, const std::string& ns, const std::string& o, int uuid, const std::string& o2 = "",
             const std::string& more = "") {
        const std::string head =
            R"({"op":")" + op + R"(","ns":")" + ns + R"(","ts":{"$timestamp":{"t":2,"i":)" + std::to_string(++ordinal_) + "}}";
        const std::string ui = uuid > 0 ? R"(,"ui":{"$binary":{"base64":")" + base64(uuid) + R"(","subType":"04"}})" : "";
        entries_ += parse_json(head + ui + R"(,"o":)" + o + (o2.empty() ? "" : R"(,"o2":)" + o2) + more + "}");
    }
    void command(const std::string& o, int uuid) { add("c", "shop.$cmd", o, uuid); }

    /// Applies all, and reads what has been written.
    void apply(bool gzip = false, Selection selection = {}) {
        fs::remove_all(directory_ / "out");
        const Dump full(directory_ / "full");
        MemoryReader in = reader(entries_);
        if (selection.looks_ahead()) {
            MemoryReader first = reader(entries_);
            for (const EntryView e : first) selection.learn(e);
        }
        Applier applier(full, {.scratch = directory_.path(), .selection = selection});
        for (const EntryView e : in) applier.add(e);
        applier.finish();
        DumpWriter out(directory_ / "out", {.gzip = gzip});
        applier.write(out, 2);
        out.close();
        resume_ = applier.resume_from();
    }
    std::string refused() {
        return message_of<DataError>([&] { apply(); });
    }
    /// "shop.a shop.b"
    std::string collections() const {
        std::string names;
        const Dump dump(directory_ / "out");
        for (const DumpCollection& collection : dump.collections()) names += (names.empty() ? "" : " ") + collection.ns();
        return names;
    }
    /// A collection's documents as JSON, in their order.
    std::string documents_of(const std::string& ns) const {
        std::string text;
        const Dump dump(directory_ / "out");
        DocumentReader in(dump.find(ns)->data);
        for (const bson::Document& document : in) text += (text.empty() ? "" : " ") + to_json(document, JsonMode::relaxed);
        return text;
    }
    std::string metadata_of(const std::string& ns) const { return read_whole(Dump(directory_ / "out").find(ns)->metadata); }
    std::string operator/(std::string_view name) const { return directory_ / name; }
    Timestamp resume() const { return resume_; }

    static std::string uuid(int number) {
        char text[33];
        std::snprintf(text, sizeof text, "%032x", static_cast<unsigned>(number));
        return text;
    }

  private:
    static std::string base64(int number) { // of 16 bytes, the last of them the number
        static constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        return std::string(20, 'A') + alphabet[static_cast<std::size_t>(number) >> 2] +
               alphabet[static_cast<std::size_t>(number) % 4 << 4] + "==";
    }
    static std::string entry_bytes(const std::string& op, const std::string& ns, const Bson& o) {
        return Bson().string("op", op).string("ns", ns).document("o", o).timestamp("ts", {1, 1}).bytes();
    }
    void put(const std::string& name, std::string_view bytes) { write_file(directory_ / name, bytes); }

    TempDirectory directory_;
    std::string entries_;
    int ordinal_ = 0;
    Timestamp resume_;
};

/// The metadata of a collection with number `uuid` and an _id index, and more indexes.
std::string metadata(const std::string& name, int uuid, const std::string& indexes = "", const std::string& options = "") {
    return "{" + options + R"("indexes":[{"v":{"$numberInt":"2"},"key":{"_id":{"$numberInt":"1"}},"name":"_id_"})" + indexes +
           R"(],"uuid":")" + Recorded::uuid(uuid) + R"(","collectionName":")" + name + R"(","type":"collection"})";
}
const std::string id_index = R"(,"idIndex":{"v":2,"key":{"_id":1},"name":"_id_"})";

} // namespace

TEST_CASE("each real chain, applied, is the dump that was made at its end, document for document") {
    for (const char* name : {"crud", "drop", "fuzzy", "index", "out", "rename", "timeseries", "txn_cut"})
        for (const bool gzip : {false, true}) {
            CAPTURE(name);
            const TempDirectory directory;
            const std::string path = data + "/" + name;
            std::vector<Chain::Slice> slices;
            for (int i = 1; fs::exists(path + "/inc" + std::to_string(i)); ++i) {
                const std::string file = resolve_input(path + "/inc" + std::to_string(i));
                slices.push_back({file, file});
            }
            const Chain chain(path + "/full", slices);
            Applier applier(*chain.full(), {.scratch = directory.path(), .dump_start = chain.dump_start()});
            auto entries = chain.merged();
            for (const EntryView& e : entries) applier.add(e);
            applier.finish();
            DumpWriter out(directory / "out", {.gzip = gzip});
            applier.write(out, 3);
            out.close();

            const Dump expected(path + "/final"), made(directory / "out");
            REQUIRE(made.collections().size() == expected.collections().size());
            for (const DumpCollection& collection : expected.collections()) {
                CAPTURE(collection.ns());
                const DumpCollection* const same = made.find(collection.ns());
                REQUIRE(same);
                CHECK(documents(same->data) == documents(collection.data));
                CHECK(read_whole(same->metadata) == read_file(collection.metadata));
            }
        }
}

TEST_CASE("collections are followed by their UUIDs through renames, drops and new ones of the same name") {
    Recorded h;
    h.dump("a", metadata("a", 1), {R"({"_id":1})"});
    h.command(R"({"renameCollection":"shop.a","to":"shop.b","stayTemp":false})", 1);
    h.command(R"({"create":"a")" + id_index + "}", 2);
    h.add("i", "shop.a", R"({"_id":"new"})", 2);
    h.add("i", "shop.b", R"({"_id":2})", 1);
    h.apply();
    CHECK(h.collections() == "shop.a shop.b");
    CHECK(h.documents_of("shop.a") == R"({"_id":"new"})");
    CHECK(h.documents_of("shop.b") == R"({"_id":1} {"_id":2})");
    CHECK(h.metadata_of("shop.b") == metadata("b", 1));
    CHECK(h.metadata_of("shop.a") == metadata("a", 2));

    h.command(
        R"({"renameCollection":"shop.a","to":"shop.b","stayTemp":false,"dropTarget":{"$binary":{"base64":"AAAAAAAAAAAAAAAAAAAAAQ==","subType":"04"}}})",
        2);
    h.apply();
    CHECK(h.collections() == "shop.b");
    CHECK(h.documents_of("shop.b") == R"({"_id":"new"})");
    h.command(R"({"drop":"b"})", 2);
    h.apply();
    CHECK(h.collections().empty());
}

TEST_CASE("a fuzzy dump may know a collection under a later name, or its successor") {
    Recorded h;
    h.dump("b", metadata("b", 1), {R"({"_id":1})", R"({"_id":2})"});
    h.dump("c", metadata("c", 5), {R"({"_id":"c"})"});
    h.add("i", "shop.a", R"({"_id":1})", 1);
    h.add("i", "shop.c", R"({"_id":"older"})", 4); // one that was dropped before the dump came to it
    h.command(R"({"drop":"c"})", 4);
    h.command(R"({"create":"c")" + id_index + "}", 5);
    h.command(R"({"renameCollection":"shop.a","to":"shop.b","stayTemp":false})", 1);
    h.add("i", "shop.b", R"({"_id":2})", 1);
    h.apply();
    CHECK(h.collections() == "shop.b shop.c");
    CHECK(h.documents_of("shop.b") == R"({"_id":1} {"_id":2})");
    CHECK(h.documents_of("shop.c") == R"({"_id":"c"})");
}

TEST_CASE("indexes change as listIndexes would tell it") {
    const std::string by_a = R"(,{"v":{"$numberInt":"2"},"key":{"a":{"$numberInt":"1"}},"name":"a_1"})";
    Recorded h;
    h.dump("a", metadata("a", 1, by_a));
    h.command(R"({"createIndexes":"a","unique":true,"v":2,"key":{"b":1},"name":"b_1","expireAfterSeconds":60.0})", 1);
    h.command(R"({"collMod":"a","index":{"name":"a_1","hidden":true}})", 1);
    h.apply();
    CHECK(
        h.metadata_of("shop.a") ==
        metadata(
            "a", 1,
            R"(,{"v":{"$numberInt":"2"},"key":{"a":{"$numberInt":"1"}},"name":"a_1","hidden":true},)"
            R"({"v":{"$numberInt":"2"},"key":{"b":{"$numberInt":"1"}},"name":"b_1","unique":true,"expireAfterSeconds":{"$numberInt":"60"}})"));
    h.command(R"({"collMod":"a","index":{"name":"a_1","hidden":false}})", 1);
    h.command(R"({"dropIndexes":"a","index":"b_1"})", 1);
    h.apply();
    CHECK(h.metadata_of("shop.a") == metadata("a", 1, by_a));
    h.command(R"({"dropIndexes":"a","index":"*"})", 1);
    h.apply();
    CHECK(h.metadata_of("shop.a") == metadata("a", 1));
}

TEST_CASE("an index counts when its build commits, and the dump's own when it was not being built") {
    const std::string by_a = R"(,{"v":{"$numberInt":"2"},"key":{"a":{"$numberInt":"1"}},"name":"a_1"})",
                      specs = R"("indexes":[{"v":2,"key":{"a":1},"name":"a_1"}]})";
    Recorded h;
    h.dump("a", metadata("a", 1, by_a));
    h.command(R"({"startIndexBuild":"a",)" + specs, 1);
    h.apply();
    CHECK(h.metadata_of("shop.a") == metadata("a", 1));
    h.command(R"({"commitIndexBuild":"a",)" + specs, 1);
    h.apply();
    CHECK(h.metadata_of("shop.a") == metadata("a", 1, by_a));
    h.command(R"({"startIndexBuild":"a","indexes":[{"v":2,"key":{"b":1},"name":"b_1"}]})", 1);
    h.command(R"({"abortIndexBuild":"a","indexes":[{"v":2,"key":{"b":1},"name":"b_1"}]})", 1);
    h.apply();
    CHECK(h.metadata_of("shop.a") == metadata("a", 1, by_a));
}

TEST_CASE("collMod changes options to what the server lists") {
    const auto after = [](const std::string& options, const std::string& change) {
        Recorded h;
        h.dump("a", metadata("a", 1, "", options));
        h.command(R"({"collMod":"a",)" + change + "}", 1);
        h.apply();
        const std::string text = h.metadata_of("shop.a");
        return text.substr(0, text.find(R"("indexes")"));
    };
    CHECK(after("", R"("validator":{"n":1})") ==
          R"({"options":{"validator":{"n":{"$numberInt":"1"}},"validationLevel":"strict","validationAction":"error"},)");
    CHECK(after("", R"("validationLevel":"off")") == R"({"options":{"validationLevel":"off","validationAction":"error"},)");
    CHECK(after(R"("options":{"validator":{"n":1},"validationLevel":"moderate","validationAction":"warn"},)", R"("validator":{})") ==
          R"({"options":{"validationLevel":"moderate","validationAction":"warn"},)");
    CHECK(after(R"("options":{"capped":true,"size":4096,"max":3},)", R"("cappedSize":5000,"cappedMax":5)") ==
          R"({"options":{"capped":true,"size":{"$numberInt":"5120"},"max":{"$numberInt":"5"}},)");
    CHECK(after("", R"("changeStreamPreAndPostImages":{"enabled":true})") ==
          R"({"options":{"changeStreamPreAndPostImages":{"enabled":true}},)");
    CHECK(after(R"("options":{"changeStreamPreAndPostImages":{"enabled":true}},)", R"("changeStreamPreAndPostImages":{"enabled":false})") ==
          "{");
    CHECK(after("", R"("expireAfterSeconds":60)") == R"({"options":{"expireAfterSeconds":{"$numberLong":"60"}},)");
}

TEST_CASE("a capped collection drops what is too much at its front") {
    Recorded h;
    h.dump("a", metadata("a", 1, "", R"("options":{"capped":true,"size":4096,"max":2},)"), {R"({"_id":1})", R"({"_id":2})"});
    h.add("i", "shop.a", R"({"_id":3})", 1);
    h.apply();
    CHECK(h.documents_of("shop.a") == R"({"_id":2} {"_id":3})");
    h.command(R"({"emptycapped":"a"})", 1);
    h.add("i", "shop.a", R"({"_id":4})", 1);
    h.apply();
    CHECK(h.documents_of("shop.a") == R"({"_id":4})");
    h.add("i", "shop.a", R"({"_id":5,"s":")" + std::string(5000, 'x') + R"("})", 1);
    h.apply();
    CHECK(h.documents_of("shop.a").starts_with(R"({"_id":5,"s":"xx)")); // what was just inserted stays, however large it is
}

TEST_CASE("what a capped collection drops is not guessed where entries tell it") {
    Recorded h;
    h.dump("a", metadata("a", 1, "", R"("options":{"capped":true,"size":4096,"max":2},)"), {R"({"_id":1})", R"({"_id":2})"});
    h.add("d", "shop.a", R"({"_id":1})", 1);
    h.add("i", "shop.a", R"({"_id":1})", 1);
    h.add("i", "shop.a", R"({"_id":4})", 1);
    h.apply();
    CHECK(h.documents_of("shop.a") == R"({"_id":2} {"_id":1} {"_id":4})"); // in the order of the insertions
}

TEST_CASE("a capped collection that is clustered drops nothing") {
    Recorded h;
    h.dump("a", metadata("a", 1, "", R"("options":{"capped":true,"size":4096,"max":2,"clusteredIndex":{"key":{"_id":1},"unique":true}},)"),
           {R"({"_id":1})", R"({"_id":2})"});
    h.add("i", "shop.a", R"({"_id":3})", 1);
    h.apply();
    CHECK(h.documents_of("shop.a") == R"({"_id":1} {"_id":2} {"_id":3})");
}

TEST_CASE("views are metadata alone") {
    const std::string view =
        R"({"options":{"viewOn":"a","pipeline":[{"$match":{"n":{"$numberInt":"1"}}}]},"indexes":[],"collectionName":"v","type":"view"})";
    Recorded h;
    h.dump("v", view);
    h.apply();
    CHECK(h.metadata_of("shop.v") == view);
    h.add("u", "shop.system.views", R"({"_id":"shop.v","viewOn":"b","pipeline":[]})", 9, R"({"_id":"shop.v"})");
    h.add("i", "shop.system.views", R"({"_id":"shop.w","viewOn":"v","pipeline":[],"collation":{"locale":"fr"}})", 9);
    h.apply();
    CHECK(h.collections() == "shop.v shop.w");
    CHECK(h.metadata_of("shop.v") == R"({"options":{"viewOn":"b","pipeline":[]},"indexes":[],"collectionName":"v","type":"view"})");
    CHECK(h.metadata_of("shop.w") ==
          R"({"options":{"viewOn":"v","pipeline":[],"collation":{"locale":"fr"}},"indexes":[],"collectionName":"w","type":"view"})");
    h.add("d", "shop.system.views", R"({"_id":"shop.v"})", 9);
    h.apply();
    CHECK(h.collections() == "shop.w");
}

TEST_CASE("a time series' indexes are told in terms of the series") {
    Recorded h;
    h.command(
        R"({"create":"system.buckets.ts","validator":{},"clusteredIndex":true,"timeseries":{"timeField":"t","metaField":"m","granularity":"seconds","bucketMaxSpanSeconds":3600}})",
        3);
    h.add("i", "shop.system.views", R"({"_id":"shop.ts","viewOn":"system.buckets.ts","pipeline":[]})", 9);
    h.command(R"({"createIndexes":"system.buckets.ts","v":2,"key":{"meta.a":1,"control.max.t":-1,"control.min.t":-1},"name":"x"})", 3);
    h.command(R"({"collMod":"system.buckets.ts","timeseries":{"granularity":"hours"}})", 3);
    h.add("i", "shop.system.buckets.ts", R"({"_id":1})", 3);
    h.apply();
    CHECK(h.collections() == "shop.ts");
    CHECK(h.documents_of("shop.ts") == R"({"_id":1})");
    CHECK(
        h.metadata_of("shop.ts") ==
        R"({"options":{"timeseries":{"timeField":"t","metaField":"m","granularity":"hours","bucketMaxSpanSeconds":{"$numberInt":"2592000"}}},)"
        R"("indexes":[{"v":{"$numberInt":"2"},"key":{"m.a":{"$numberInt":"1"},"t":{"$numberInt":"-1"}},"name":"x"}],"collectionName":"ts","type":"timeseries"})");
}

TEST_CASE("a transaction counts when it commits") {
    const auto part = [](const std::string& id, const std::string& flags) {
        return R"({"applyOps":[{"op":"i","ns":"shop.a","ui":{"$binary":{"base64":"AAAAAAAAAAAAAAAAAAAAAQ==","subType":"04"}},"o":{"_id":)" +
               id + "}}]" + flags + "}";
    };
    const auto session = [](int number, int previous) {
        return R"(,"lsid":{"id":1},"txnNumber":{"$numberLong":")" + std::to_string(number) +
               R"("},"prevOpTime":{"ts":{"$timestamp":{"t":)" + (previous ? "2" : "0") + R"(,"i":)" + std::to_string(previous) +
               R"(}},"t":{"$numberLong":"1"}})";
    };
    Recorded h;
    h.dump("a", metadata("a", 1));
    h.add("c", "admin.$cmd", part("1", R"(,"partialTxn":true)"), 0, "", session(1, 0));
    h.add("i", "shop.a", R"({"_id":"between"})", 1);
    h.apply();
    CHECK(h.documents_of("shop.a") == R"({"_id":"between"})");
    CHECK(h.resume() == Timestamp{2, 1}); // the open transaction's first entry
    h.add("c", "admin.$cmd", part("2", ""), 0, "", session(1, 1));
    h.apply();
    CHECK(h.documents_of("shop.a") == R"({"_id":"between"} {"_id":1} {"_id":2})");
    CHECK(h.resume() == Timestamp{2, 3});
    h.add("c", "admin.$cmd", part("3", R"(,"prepare":true)"), 0, "", session(2, 0));
    h.add("c", "admin.$cmd", R"({"abortTransaction":1})", 0, "", session(2, 4));
    h.apply();
    CHECK(h.documents_of("shop.a") == R"({"_id":"between"} {"_id":1} {"_id":2})");
    h.add("c", "admin.$cmd", part("4", ""), 0, "", session(3, 77));
    CHECK(h.refused().ends_with("commits here, and began before the first entry"));
}

TEST_CASE("upserts make the documents that are not there, alone and in what a client put into an applyOps") {
    Recorded h;
    h.dump("a", metadata("a", 1), {R"({"_id":1,"x":1})"});
    h.add("u", "shop.a", R"({"$v":1,"$set":{"x":2}})", 1, R"({"_id":1})", R"(,"b":true)");
    h.add("u", "shop.a", R"({"w":1,"_id":2})", 1, R"({"_id":2})", R"(,"b":true)");
    h.add("u", "shop.a", R"({"_id":3})", 1, R"({"_id":3})");
    h.command(R"({"applyOps":[{"op":"u","ns":"shop.a","o2":{"_id":4},"o":{"$set":{"y":1}}}]})", 0);
    h.command(R"({"applyOps":[{"op":"u","ns":"shop.a","o2":{"_id":5},"o":{"$set":{"y":1}}}],"alwaysUpsert":false})", 0);
    h.apply();
    CHECK(h.documents_of("shop.a") == R"({"_id":1,"x":2} {"_id":2,"w":1} {"_id":4,"y":1})");
}

TEST_CASE("what a client's applyOps may name by the collation is refused, and nothing else") {
    const auto refusal = [](const std::string& id, const std::string& request, const std::string& options) {
        Recorded h;
        h.dump("a", metadata("a", 1, "", options), {R"({"_id":"abc"})", R"({"_id":1})"});
        h.command(R"({"applyOps":[{"op":"d","ns":"shop.a","o":{"_id":)" + id + "}}]" + request + "}", 0);
        try {
            h.apply();
            return std::string();
        } catch (const DataError& error) {
            return std::string(error.what());
        }
    };
    const std::string collated = R"("options":{"collation":{"locale":"en","strength":2}},)", request = R"(,"$db":"admin")";
    for (const char* const id : {R"("ABC")", R"({"k":"ABC"})", R"(["ABC"])"})
        CHECK(refusal(id, request, collated).find("the collection's collation says which document that is") != std::string::npos);
    CHECK(refusal("1", request, collated).empty());
    CHECK(refusal(R"("abc")", "", collated).empty()); // of many deletions at a time, which a server logs so
    CHECK(refusal(R"("abc")", request, "").empty());
    Recorded h; // a document that has the field itself
    h.dump("a", metadata("a", 1, "", collated), {R"({"_id":"abc"})"});
    h.add("u", "shop.a", R"({"_id":"abc","$db":"x"})", 1, R"({"_id":"abc"})");
    h.apply();
    CHECK(h.documents_of("shop.a") == R"({"_id":"abc","$db":"x"})");
}

TEST_CASE("what cannot be done exactly is refused, with its place") {
    {
        Recorded h;
        h.dump("a", metadata("a", 1));
        h.add("u", "shop.a", R"({"_id":1})", 1, R"({"_id":1})", R"(,"b":1)");
        CHECK(h.refused() == "in: offset 0: document 1: field 'b' is an int32, not a boolean");
    }
    {
        Recorded h;
        h.dump("a", metadata("a", 1));
        h.add("u", "shop.a", R"({"$v":2,"diff":{"u":{"_id":2}}})", 1, R"({"_id":1})");
        CHECK(h.refused() == "in: offset 0: document 1: an update that changes the _id of its document");
    }
    {
        Recorded h;
        h.add("i", "shop.unknown", R"({"_id":1})", 7);
        CHECK(
            h.refused() ==
            "in: offset 0: document 1: 2:1: collection shop.unknown is not in the full dump, and no entry creates it: what it holds is not known (--exclude-ns leaves it out)");
    }
    {
        Recorded h;
        h.add("u", "admin.system.version", R"({"$v":1,"$set":{"version":"7.0"}})", 7, R"({"_id":"featureCompatibilityVersion"})");
        CHECK(
            h.refused() ==
            "in: offset 0: document 1: the source's featureCompatibilityVersion changes here, and a replay would change the target's; apply up to before it (--before 2:1)");
    }
    {
        Recorded h;
        h.dump("a", metadata("a", 1));
        h.command(R"({"convertToCapped":"a","size":4096})", 1);
        CHECK(
            h.refused() ==
            "in: offset 0: document 1: the command convertToCapped of shop.a cannot be followed: which documents it keeps, the server alone knows (MongoDB 4.0 and older log it); apply up to before it (--before 2:1)");
        CHECK_FALSE(fs::exists(h / "out"));
    }
    {
        Recorded h;
        h.dump("a", metadata("a", 1));
        h.command(R"({"collMod":"a","novelty":1})", 1);
        CHECK(h.refused() ==
              "in: offset 0: document 1: collMod of shop.a has the unknown option 'novelty'; apply up to before it (--before 2:1)");
    }
    {
        Recorded h;
        h.dump("a", metadata("a", 1));
        h.add("u", "shop.a", R"({"$v":9})", 1, R"({"_id":1})");
        CHECK(h.refused() == "in: offset 0: document 1: an update of the unknown version $v: 9");
    }
    {
        Recorded h;
        h.command(R"({"create":"ts","timeseries":{"timeField":"t"}})", 1);
        CHECK(
            h.refused() ==
            "in: offset 0: document 1: time series shop.ts has no buckets of its own, as of MongoDB 8.3: no tool here can follow it yet; apply up to before it (--before 2:1)");
    }
}

TEST_CASE("what mongodump leaves out is left out") {
    Recorded h;
    h.add("i", "config.transactions", R"({"_id":1})", 11);
    h.add("i", "shop.system.profile", R"({"_id":1})", 12);
    h.add("i", "local.x", R"({"_id":1})", 13);
    h.command(R"({"create":"system.views")" + id_index + "}", 14);
    h.apply();
    CHECK(h.collections().empty());
}

TEST_CASE("without UUIDs, as old servers write it, names decide") {
    Recorded h;
    h.dump("a", R"({"options":{},"indexes":[{"v":1,"key":{"_id":1},"name":"_id_","ns":"shop.a"}]})", {R"({"_id":1})"});
    h.add("u", "shop.a", R"({"$set":{"x.y":1}})", 0, R"({"_id":1})");
    h.add("i", "shop.system.indexes", R"({"v":1,"key":{"x":1},"name":"x_1","ns":"shop.a"})", 0);
    h.command(R"({"create":"b","capped":true,"size":4096})", 0);
    h.add("i", "shop.b", R"({"_id":2})", 0);
    h.command(R"({"renameCollection":"shop.a","to":"shop.c","dropTarget":true})", 0);
    h.apply();
    CHECK(h.collections() == "shop.b shop.c");
    CHECK(h.documents_of("shop.c") == R"({"_id":1,"x":{"y":1}})");
    CHECK(h.metadata_of("shop.c") == R"({"indexes":[{"v":{"$numberInt":"1"},"key":{"_id":{"$numberInt":"1"}},"name":"_id_","ns":"shop.a"},)"
                                     R"({"v":{"$numberInt":"1"},"key":{"x":{"$numberInt":"1"}},"name":"x_1"}],"collectionName":"c"})");
    h.add("c", "shop.$cmd", R"({"dropDatabase":1})", 0);
    h.apply();
    CHECK(h.collections().empty());
}

TEST_CASE("collections are selected and renamed") {
    Recorded h;
    h.dump("a", metadata("a", 1), {R"({"_id":1})"});
    h.dump("b", metadata("b", 2), {R"({"_id":1})"});
    h.add("i", "shop.a", R"({"_id":2})", 1);
    h.add("i", "shop.b", R"({"_id":2})", 2);
    Selection selection;
    selection.include("shop.a");
    h.apply(false, selection);
    CHECK(h.collections() == "shop.a");
    CHECK(h.documents_of("shop.a") == R"({"_id":1} {"_id":2})");

    h.dump("v", R"({"options":{"viewOn":"a","pipeline":[]},"indexes":[],"collectionName":"v","type":"view"})");
    Selection renaming;
    renaming.exclude("shop.b");
    renaming.rename("shop.a", "shop.z");
    h.apply(false, renaming);
    CHECK(h.collections() == "shop.v shop.z");
    CHECK(h.documents_of("shop.z") == R"({"_id":1} {"_id":2})");
    CHECK(h.metadata_of("shop.z") == metadata("z", 1));
    CHECK(h.metadata_of("shop.v") == R"({"options":{"viewOn":"z","pipeline":[]},"indexes":[],"collectionName":"v","type":"view"})");
}

// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <doctest/doctest.h>
#include <oplog/restore/history.hpp>

using namespace oplog;
using namespace oplog::test;
namespace fs = std::filesystem;

namespace {

const std::string data = OPLOG_TEST_DATA;

/// The last version of each document by its history, with the collection's name, and how many versions there were.
struct Last {
    std::map<std::string, std::string> documents; ///< by namespace and `_id`
    std::uint64_t versions = 0, unknown = 0;
};

Last play(const std::string& chain_directory, const std::string& full_name) {
    std::vector<Chain::Slice> slices;
    std::vector<std::string> names;
    for (const auto& each : fs::directory_iterator(chain_directory))
        if (each.path().filename().string().starts_with("inc")) names.push_back((each.path() / "local/oplog.rs.bson").string());
    std::ranges::sort(names);
    slices.reserve(names.size());
    for (const std::string& name : names) slices.push_back({name, name});
    const Chain chain(chain_directory + "/" + full_name, slices);
    TempDirectory scratch;
    History history(&*chain.full(), chain.dump_start(), chain.consistent_point(),
                    {.scratch = scratch.path(), .form = History::Form::images});
    auto entries = chain.merged();
    for (const EntryView& entry : entries) history.add(entry);
    Last last;
    Timestamp before;
    history.write([&](const bson::Document& version) {
        ++last.versions;
        CHECK(version.find("ts")->timestamp() >= before);
        before = version.find("ts")->timestamp();
        if (version.find("unknown")) ++last.unknown;
        std::string ns(version.find("ns")->string());
        const std::string id = to_json(of_bytes(bson::Builder().append(*version.find("_id")).finish()));
        const auto after = version.find("after");
        if (const auto to = version.find("to")) {
            last.documents.erase(ns + id);
            ns = to->string();
        }
        if (after && after->is(bson::Type::document))
            last.documents[ns + id] = after->document().bytes();
        else
            last.documents.erase(ns + id);
    });
    return last;
}

} // namespace

TEST_CASE("the last version of each document is what a dump has that was made at the chain's end") {
    std::uint64_t versions = 0;
    for (const char* name : {"crud", "drop", "fuzzy", "index", "out", "rename", "timeseries", "txn_cut"}) {
        CAPTURE(name);
        const std::string directory = data + "/" + name;
        if (!fs::exists(directory + "/final")) continue;
        const Last last = play(directory, "full");
        versions += last.versions;
        std::map<std::string, std::string> dumped;
        const Dump final(directory + "/final");
        for (const DumpCollection& collection : final.collections()) {
            if (collection.data.empty()) continue;
            const bool buckets = fs::path(collection.data).filename().string().starts_with(buckets_prefix);
            DocumentReader documents(collection.data);
            for (const bson::Document& document : documents)
                dumped[collection.database + "." + (buckets ? std::string(buckets_prefix) : "") + collection.name +
                       to_json(of_bytes(bson::Builder().append(*document.find("_id")).finish()))] = document.bytes();
        }
        std::size_t wrong = 0;
        for (const auto& [id, document] : last.documents) {
            const auto found = dumped.find(id);
            if (found == dumped.end() || found->second != document) ++wrong;
        }
        CHECK(wrong == 0);
    }
    CHECK(versions > 1000);
}

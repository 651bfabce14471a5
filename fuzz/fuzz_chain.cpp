// SPDX-License-Identifier: Apache-2.0
// Uses bytes as the increment after a small full dump, which is examined, staged, applied, and filtered under other
// names. What is staged passes a check of every byte, what is applied can be read, what is renamed has no old name, and
// a failure leaves nothing behind.
#include "fuzz.hpp"

#include <oplog/restore/apply.hpp>
#include <oplog/restore/chain.hpp>
#include <oplog/restore/verify.hpp>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <unistd.h>
#include <vector>

namespace fs = std::filesystem;
using namespace oplog;

namespace {

/// A directory with the full dump, removed at the end.
struct Place {
    Place() {
        const fs::path memory = "/dev/shm";
        std::string name = ((fs::exists(memory) ? memory : fs::temp_directory_path()) / "oplog-fuzz-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()));
        path = name;
        fs::create_directories(path / "full/shop");
        write("full/shop/a.bson", bson::Builder().int32("_id", 1).finish());
        write("full/shop/a.metadata.json",
              R"({"indexes":[],"uuid":"000102030405060708090a0b0c0d0e0f","collectionName":"a","type":"collection"})");
        const std::string nothing = bson::Builder().finish();
        write("full/oplog.bson",
              bson::Builder().string("op", "n").string("ns", "").document("o", bson::Document(nothing)).timestamp("ts", {1, 1}).finish());
    }
    Place(const Place&) = delete;
    ~Place() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    void write(const std::string& name, std::string_view bytes) const { std::ofstream(path / name, std::ios::binary) << bytes; }
    std::string operator/(const char* name) const { return (path / name).string(); }
    fs::path path;
};

std::string stage(const Chain& chain) {
    Examiner examiner(chain.start(), {}, [](const Finding& finding) {
        if (finding.severity == Finding::Severity::error) throw DataError(finding.fault, to_string(finding));
    });
    auto entries = chain.merged(Continuity::gaps, Check::structure);
    for (const EntryView& entry : entries) examiner.add(entry);
    examiner.finish();
    Stager stager(examiner.start(), {});
    std::string staged;
    const auto write = [&](std::string_view document) { staged += document; };
    auto again = chain.merged(Continuity::gaps);
    for (const EntryView& entry : again) stager.add(entry, write);
    stager.finish(write);
    return staged;
}

void apply(const Chain& chain, const Place& place) {
    DumpWriter out(place / "out", {.inputs = {place / "full"}});
    Applier applier(*chain.full(), {.scratch = place.path.string(), .dump_start = chain.dump_start()});
    auto entries = chain.merged(Continuity::gaps, Check::structure);
    for (const EntryView& entry : entries) applier.add(entry);
    applier.finish();
    applier.write(out);
    out.close();
}

std::string renamed_away(std::string_view bytes) {
    Selection selection;
    selection.rename("shop.*", "store.*");
    BasicReader<MemorySource> first{MemorySource(bytes), "memory"};
    for (const EntryView& entry : first) selection.learn(entry);
    std::string out;
    BasicReader<MemorySource> second{MemorySource(bytes), "memory", Check::structure};
    for (const EntryView& entry : second) {
        const Edit edit = selection.apply(entry);
        if (edit.kind == Edit::Kind::keep) out += entry.bytes();
        for (const bson::Value& document : edit.with) out += document.bytes();
    }
    return out;
}

template <class Refusal = DataError, class Work>
bool succeeds(Work work) {
    try {
        work();
        return true;
    } catch (const Refusal&) {
        return false;
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Place place;
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    place.write("inc", bytes);
    const Chain chain(place / "full", {{place / "inc", "inc"}});

    std::string staged;
    if (succeeds([&] { staged = stage(chain); })) {
        BasicReader<MemorySource> entries{MemorySource(staged), "memory"};
        for (const EntryView& entry : entries) bson::validate<bson::Text::any>(entry.document());
    }
    if (succeeds([&] { apply(chain, place); })) {
        const Dump out(place / "out");
        for (const DumpCollection& collection : out.collections()) {
            static_cast<void>(collection.read_metadata());
            if (collection.data.empty()) continue;
            DocumentReader documents(collection.data);
            for (const bson::Document& document : documents) bson::validate<bson::Text::any>(document);
        }
        fs::remove_all(out.path());
    }
    std::string renamed;
    if (succeeds<Error>([&] { renamed = renamed_away(bytes); })) { // not everything can get another name
        BasicReader<MemorySource> entries{MemorySource(renamed), "memory"};
        for (const EntryView& entry : entries)
            for_each_operation(entry.document(), [](const Operation& operation) {
                for (const std::string& ns : namespaces(operation)) REQUIRE(!ns.starts_with("shop."));
            });
    }
    for (const auto& left : fs::directory_iterator(place.path))
        REQUIRE(left.path().filename() == "full" || left.path().filename() == "inc");
    return 0;
}

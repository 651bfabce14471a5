// SPDX-License-Identifier: Apache-2.0
#include "lib/chain_tool.hpp"
#include "lib/undo.hpp"

#include <filesystem>
#include <set>

using namespace oplog;
using namespace oplog::tools;

namespace {

/// The readings of a chain that staging takes. Nothing is written before everything is known to be right.
class Staging {
  public:
    Staging(const Tool& tool, const Chain& chain)
        : tool_(tool), chain_(chain), bounds_(tool.bounds()), selection_(selection(tool)),
          continuity_(tool.has("allow-gap") ? Continuity::gaps : Continuity::chain) {
        if (const auto start = chain.dump_start()) selection_.dumped_at(*start);
        if (selection_.looks_ahead())
            read_chain(chain_, readings_, [&](const EntryView& entry) { selection_.learn(entry); },
                       {.bounds = bounds_, .continuity = continuity_});
        if (chain.full()) see(selection_, *chain.full());
        warn_of_unmatched(tool, selection_.unmatched());
        examine();
    }

    /// The last staged entry.
    Timestamp time() const noexcept { return time_; }
    const Selection& selected() const noexcept { return selection_; }
    /// The collections that write() found to be missing in the dump; see Stager.
    const std::vector<std::string>& made_in_config() const noexcept { return made_in_config_; }

    /// Writes the oplog. Returns the final state of the collections.
    template <class Writer>
    Catalog write(Writer& out) {
        Stager stager(start_, {});
        Selection wanted = selection_;
        const auto write = [&](std::string_view document) { out.write(document); };
        write_capped_clusters(write);
        read_chain(chain_, readings_,
                   [&](const EntryView& entry) { select(wanted, entry, [&](const EntryView& selected) { stager.add(selected, write); }); },
                   {.bounds = bounds_, .continuity = continuity_});
        stager.finish(write);
        made_in_config_ = stager.made_in_config();
        return std::move(stager.catalog());
    }

  private:
    /// Writes these collections as entries, because they are not taken over into the directory: see take_collections().
    template <class Write>
    void write_capped_clusters(Write& write) const {
        std::vector<std::pair<const DumpCollection*, std::string>> clusters; // with the names that they get
        std::uint64_t entries = 0;
        for (const auto& [ns, collection] : start_.catalog.collections()) {
            if (!collection.is_capped_cluster) continue;
            clusters.emplace_back(chain_.full()->find(*collection.dumped_as), ns);
            write_as_entries(*clusters.back().first, ns, {}, [&](std::string_view) { ++entries; });
        }
        Timestamp ts = Timestamp::from_packed(first_.packed() - entries);
        for (const auto& [dumped, ns] : clusters) ts = write_as_entries(*dumped, ns, ts, write);
    }

    void examine() {
        Stager::Start start = chain_.start([&](const std::string& ns) { return selection_.selects(ns); });
        start.catalog = selected(start.catalog);
        const auto report = [&](const Finding& finding) {
            if (finding.severity == Finding::Severity::warning || finding.of_replay) tool_.warn(to_string(finding));
            if (finding.severity != Finding::Severity::error) return;
            if (!finding.where) throw DataError(finding.fault, to_string(finding));
            throw FormatError(*finding.where, finding.fault, (finding.ts ? to_string(*finding.ts) + ": " : "") + finding.text);
        };
        Examiner examiner(std::move(start), bounds_, report, selection_.renaming());
        Selection wanted = selection_;
        auto entries = checked_entries(chain_, continuity_);
        std::optional<Timestamp> last, last_wanted;
        for (const EntryView& entry : entries) {
            last = entry.ts();
            if (bounds_.too_late(entry.ts())) {
                examiner.add(entry);
                continue;
            }
            last_wanted = last;
            readings_.add(entry);
            select(wanted, entry, [&](const EntryView& selected) { examiner.add(selected); });
        }
        readings_.end();
        for (const ContinuityError& gap : entries.gaps()) tool_.warn(gap.what());
        if (!last) throw DataError(Fault::empty, "there are no entries to stage");
        if (const auto consistent = chain_.consistent_point(); consistent && (!last_wanted || *last_wanted < *consistent))
            throw DataError(Fault::incomplete,
                            fmt::format("{}: the full dump is consistent from {} ({}) on and cannot be staged for an earlier time",
                                        chain_.full()->path(), to_string(*consistent), to_utc_string(*consistent)));
        if (!last_wanted) throw DataError(Fault::empty, "there are no entries to stage: the chain begins after the time that is wanted");
        if ((bounds_.to && last->seconds < bounds_.to->seconds) || (bounds_.before && last->seconds + 1 < bounds_.before->seconds))
            tool_.warn("the chain ends before the time that is wanted, with " + to_string(*last) + " (" + to_utc_string(*last) + ")");
        examiner.finish();
        start_ = examiner.start();
        chain_.examine_capped(start_);
        first_ = examiner.range().first;
        time_ = *last_wanted;
    }

    /// The wanted collections, under their wanted names.
    Catalog selected(const Catalog& dumped) const {
        Catalog catalog;
        if (chain_.full())
            for (const DumpCollection& each : chain_.full()->collections()) {
                if (!selection_.selects(each.ns())) continue;
                const Metadata metadata = each.read_metadata();
                if (!metadata.is_view() && !metadata.is_timeseries()) continue;
                const std::string ns = selection_.renaming().collection(each.ns()).value_or(each.ns());
                catalog.find_or_create(join_namespace(split_namespace(ns).database, views_collection));
                catalog.add_view(ns);
            }
        for (const auto& [ns, collection] : dumped.collections()) {
            if (split_namespace(ns).collection == views_collection || !selection_.selects(ns)) continue; // it comes with views
            const std::string name = selection_.renaming().collection(ns).value_or(ns);
            Collection& taken = catalog.create(name, collection.uuid);
            taken = collection;
            for (Index& index : taken.indexes)
                index.collection =
                    split_namespace(index.collection.starts_with(buckets_prefix) ? name : logical_namespace(name)).collection;
        }
        return catalog;
    }

    const Tool& tool_;
    const Chain& chain_;
    Bounds bounds_;
    Selection selection_;
    Continuity continuity_;
    Readings readings_;
    Stager::Start start_;
    Timestamp first_, time_;
    std::vector<std::string> made_in_config_;
};

/// The metadata that the staged dump must have for a collection; none if it can stay as it is. mongorestore builds the
/// indexes from here unless the collection was renamed or dropped, or its indexes changed. In those cases they follow
/// in the oplog.
std::optional<Metadata> staged_metadata(const DumpCollection& dumped, Metadata metadata, std::string_view name, bool indexes_follow) {
    const bool temporary = bson::Document(metadata.options).find("temp").has_value(); // mongorestore fails with this option
    if (!indexes_follow && !temporary && name == dumped.name) return std::nullopt;
    if (indexes_follow)
        std::erase_if(metadata.indexes, [](const std::string& spec) {
            const auto index = bson::Document(spec).find("name");
            return !index || index->string() != "_id_";
        });
    metadata.options =
        changed(bson::Document(metadata.options), [](const bson::Element& option, bson::Builder&) { return option.key() == "temp"; });
    metadata.collection = name;
    return metadata;
}

/// Takes over the collections of the full dump.
void take_collections(const Dump& full, const Selection& selection, const Catalog& catalog, DumpWriter& out) {
    std::set<std::string> unchanged; // under their names in the dump
    for (const auto& [ns, collection] : catalog.collections())
        if (collection.dumped_as && !collection.indexes_changed) unchanged.insert(*collection.dumped_as);
    for (const DumpCollection& dumped : full.collections()) {
        if (!selection.selects(dumped.ns())) continue;
        const std::string ns = selection.renaming().collection(dumped.ns()).value_or(dumped.ns());
        const auto [database, name] = split_namespace(ns);
        const Metadata as_dumped = dumped.read_metadata();
        if (is_capped_cluster(bson::Document(as_dumped.options))) continue; // it is in the oplog
        const auto metadata =
            dumped.metadata.empty() ? std::nullopt : staged_metadata(dumped, as_dumped, name, !unchanged.contains(dumped.ns()));
        const bool renamed = ns != dumped.ns();
        if (!dumped.data.empty()) {
            out.take(dumped.data,
                     renamed ? out.data_name(database, (as_dumped.is_timeseries() ? std::string(buckets_prefix) : "") + std::string(name))
                             : full.relative(dumped.data));
        }
        if (metadata)
            out.write_metadata(database, *metadata);
        else if (!dumped.metadata.empty())
            out.take(dumped.metadata, renamed ? out.metadata_name(database, name) : full.relative(dumped.metadata));
    }
    if (full.prelude()) out.take(*full.prelude(), full.relative(*full.prelude()));
}

void make_empty(DumpWriter& out, const std::string& ns) {
    const auto [database, name] = split_namespace(ns);
    Metadata metadata;
    metadata.collection = name;
    metadata.type = "collection";
    out.open_data(database, name).close();
    out.write_metadata(database, metadata);
}

/// Whether the output of a run without a full dump is meant to be a file.
bool names_file(const std::string& output) {
    std::error_code error;
    return output.ends_with(".bson") || output.ends_with(".zst") || output.ends_with(".gz") ||
           (std::filesystem::exists(output, error) && !std::filesystem::is_directory(output, error));
}

/// Returns the path of an oplog that mongorestore can read: plain, in a file of its own.
std::string oplog_file(const Tool& tool) {
    const std::string output = tool.optional("output").value_or("-");
    if (output == "-") return "FILE";
    const Compression compression = tool.compression().value_or(compression_for(output)).method;
    if (compression == Compression::none) return shell_word(output);
    return fmt::format("<({} -dc {})", compression == Compression::zstd ? "zstd" : "gzip", shell_word(output));
}

/// Whether there are indexes of a version that mongorestore would replace with the current one.
bool has_old_index(const Catalog& catalog) {
    for (const auto& [ns, collection] : catalog.collections())
        for (const Index& index : collection.indexes)
            if (is_old_index(index.spec.view())) return true;
    return false;
}

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-stage", "[--full DUMP] INC... [-o OUT]",
              "A chain - a full dump and its increments, in any order - as one dump directory that a stock\n"
              "mongorestore --oplogReplay restores to exactly the source's state at the chain's end, or at an earlier time.\n"
              "Without --full: the oplog alone, for a server that the full dump has been restored to already.",
              "  oplog-stage --full full inc1 inc2 inc3 --to 2021-01-12T03:39:59Z -o staged\n"
              "  mongorestore --oplogReplay --bypassDocumentValidation staged\n");
    // clang-format off
    tool.add_options()
        ("full", "the full dump, made with mongodump --oplog", takes(), "DUMP")
        ("to", "the state at T, entries at T included", takes(), "T")
        ("before", "the state before T", takes(), "T")
        ("allow-gap", "stage even where entries are missing between slices")
        ("copy", "copy the full dump's files instead of linking them");
    // clang-format on
    add_selection(tool);
    tool.add_output();
    tool.streams_bson();
    return tool.run(argc, argv, [&] {
        const std::optional<std::string> output = tool.optional("output");
        if (tool.has("full") && (!output || *output == "-")) throw ArgumentError("with --full, name the directory to make: -o OUT");
        const bool directory = output && *output != "-" && (tool.has("full") || !names_file(*output));
        if (directory && tool.has("compress"))
            throw ArgumentError("--compress is for a file; mongorestore reads no compressed oplog in a directory");

        std::optional<Output> file;
        if (!directory) file.emplace(tool.open_output());
        const ChainInputs inputs(tool);
        const auto& full = inputs.chain().full();
        inputs.warn_of_dump(tool);
        std::optional<DumpOutput> dump;
        if (directory) {
            dump.emplace(*output, DumpWriter::Options{.if_exists = tool.if_exists(),
                                                      .take_over = tool.has("copy") ? TakeOver::copy : TakeOver::link,
                                                      .gzip = full && full->gzip(),
                                                      .inputs = inputs.named()});
        }
        tool.show_progress(0); // the chain is read two or three times
        Staging staging(tool, inputs.chain());
        Catalog catalog;
        if (file) {
            catalog = staging.write(*file);
            tool.finish(*file);
        } else {
            Writer oplog = dump->open_oplog();
            catalog = staging.write(oplog);
            oplog.close();
            if (full) take_collections(*full, staging.selected(), catalog, *dump);
            for (const std::string& ns : staging.made_in_config()) make_empty(*dump, ns);
            if (full) full->require_unchanged();
            dump->close();
            warn_of_old(tool, *dump);
        }
        progress.stop();
        if (full) warn_of_nothing(tool, catalog.empty(), staging.time());
        const std::string where = directory ? shell_word(*output) : "--oplogFile " + oplog_file(tool) + " EMPTY_DIRECTORY";
        tool.say(fmt::format("the state of {} ({}); to restore it: mongorestore --oplogReplay --bypassDocumentValidation {}{}{}",
                             to_string(staging.time()), to_utc_string(staging.time()), has_old_index(catalog) ? "--keepIndexVersion " : "",
                             full && full->gzip() ? "--gzip " : "", where));
    });
}

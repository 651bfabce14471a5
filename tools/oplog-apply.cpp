// SPDX-License-Identifier: Apache-2.0
#include "lib/played_chain.hpp"
#include "lib/undo.hpp"

#include <fcntl.h>
#include <filesystem>
#include <list>

using namespace oplog;
using namespace oplog::tools;

namespace {

RestoreOptions options_of_restore(const Applier& applier) {
    RestoreOptions options;
    for (const AppliedCollection& collection : applier.collections()) options.add(collection.metadata);
    return options;
}

/// What loads an archive fast, besides. mongorestore loads four collections at a time. Where one has most of the documents, it and the
/// server wait for each other unless several workers insert into it; where several are large, more workers only cost.
std::string options_for_speed(const Applier& applier, const RestoreOptions& options, Compression compression) {
    std::uint64_t all = 0, largest = 0;
    for (const AppliedCollection& collection : applier.collections()) {
        all += Applier::work_of(collection);
        largest = std::max(largest, Applier::work_of(collection));
    }
    const bool has_workers = largest > all / 2 && !options.has_order();
    return std::string(has_workers ? "--numInsertionWorkersPerCollection=4 " : "") + (compression == Compression::gzip ? "--gzip " : "");
}

/// The command that loads an archive which was written to `output` as `compression` says.
std::string command_for_archive(const RestoreOptions& options, const std::string& output, Compression compression) {
    const std::string file = output == "-" ? "" : shell_word(output);
    const bool unpacked = compression == Compression::zstd; // which mongorestore does not know
    return (unpacked ? "zstd -dc " + file + (file.empty() ? "" : " ") + "| " : "") + "mongorestore " + options.text() +
           (compression == Compression::gzip ? "--gzip " : "") + "--archive" + (unpacked || file.empty() ? "" : "=" + file);
}

/// The one collection that -o - writes. Throws DataError if there is none, and ArgumentError if there are several.
AppliedCollection& only_collection(Applier& applier, Timestamp last) {
    std::vector<AppliedCollection*> found;
    for (AppliedCollection& collection : applier.collections())
        if (!is_hidden_in_dumps(collection.ns())) found.push_back(&collection);
    if (found.size() == 1) return *found.front();
    if (found.empty())
        throw DataError(Fault::empty, fmt::format("no such collection at {} ({}){}", to_string(last), to_utc_string(last),
                                                  applier.views().empty() ? "" : ": a view has no documents"));
    std::string names;
    for (std::size_t i = 0; i < std::min<std::size_t>(found.size(), 3); ++i) names += (i > 0 ? ", " : "") + found[i]->logical_ns();
    throw ArgumentError(fmt::format("-o - writes the documents of one collection, and here are {}: {}{}; name one with --ns", found.size(),
                                    names, found.size() > 3 ? ", ..." : ""));
}

/// Whether mongorestore must have a collection whole before it meets others: those of users, roles and their version.
bool is_early(const AppliedCollection& collection) { return collection.database == "admin" && collection.name.starts_with("system."); }

/// As many as mongorestore inserts at once: while it does, and takes no more of a collection, it goes on with the next one.
constexpr std::size_t documents_in_turn = 1000;

/// A collection that is being written.
struct Stream {
    Stream(const Applier& applier, AppliedCollection& of)
        : collection(&of), documents(applier.documents(of, Check::frame, [](std::uint64_t bytes) { progress.add(bytes); })) {}

    const AppliedCollection* collection;
    AppliedDocuments documents;
};

/// Writes everything as one archive, which mongorestore loads while it is made. Calls write_oplog(write) for the entries with which it
/// ends, if it is to have an oplog.
template <class WriteOplog>
void write_archive(Applier& applier, const Dump& full, Output& out, bool has_oplog, WriteOplog write_oplog) {
    ArchivePrelude prelude;
    prelude.concurrent = 4; // as many as mongorestore loads at a time by itself
    if (full.prelude()) {
        const std::string versions = parse_json(read_whole(*full.prelude()));
        if (const auto server = bson::Document(versions).find("ServerVersion")) prelude.server_version = server->string();
        if (const auto tool = bson::Document(versions).find("ToolVersion")) prelude.tool_version = tool->string();
    }
    // Without a version mongorestore reads no archive; one like that of old dumps, which tell none, changes nothing.
    if (prelude.server_version.find_first_of("0123456789") != 0) prelude.server_version = "0.0.0";
    std::vector<AppliedCollection*> collections;
    for (AppliedCollection& collection : applier.collections())
        if (!is_hidden_in_dumps(collection.ns())) collections.push_back(&collection);
    // mongorestore wants to know what is of users before anything else. Of the others the largest takes the longest.
    std::ranges::stable_sort(collections, std::greater{},
                             [](const AppliedCollection* each) { return std::pair(is_early(*each), Applier::work_of(*each)); });
    for (const AppliedCollection* const collection : collections) {
        const Metadata metadata = collection->dumped_metadata();
        prelude.collections.push_back(
            {collection->database, metadata.collection, metadata.json(), metadata.is_timeseries() ? "timeseries" : "collection"});
    }
    const std::map<std::string, Metadata> views = applier.views();
    for (const auto& [ns, view] : views) {
        const auto [database, name] = split_namespace(ns);
        prelude.collections.push_back({std::string(database), std::string(name), view.json(), "view"});
    }
    if (has_oplog) prelude.collections.push_back({"", "oplog", "", ""});
    ArchiveWriter archive(out, prelude);
    std::list<Stream> streams;
    for (auto next = collections.begin(); next != collections.end() || !streams.empty();) {
        while (next != collections.end() && streams.size() < static_cast<std::size_t>(prelude.concurrent) &&
               (streams.empty() || !is_early(*streams.front().collection)))
            streams.emplace_back(applier, **next++);
        for (auto stream = streams.begin(); stream != streams.end();) {
            const std::string &database = stream->collection->database, &name = stream->collection->name;
            std::size_t left = documents_in_turn;
            while (left > 0) {
                const auto document = stream->documents.next();
                if (!document) break;
                archive.write(database, name, bson::Document(*document));
                --left;
            }
            if (left == 0) {
                ++stream;
                continue;
            }
            archive.end(database, name);
            stream = streams.erase(stream);
        }
    }
    for (const auto& [ns, view] : views) {
        const auto [database, name] = split_namespace(ns);
        archive.end(std::string(database), std::string(name));
    }
    if (!has_oplog) return;
    write_oplog([&](const EntryView& entry) { archive.write("", "oplog", bson::Document(entry.bytes())); });
    archive.end("", "oplog");
}

void warn_of_overfilled(const Tool& tool, const Applier& applier) {
    for (const AppliedCollection& collection : applier.collections())
        if (collection.overfills)
            tool.warn(
                collection.logical_ns() +
                ", a capped collection, has more than its size allows, as the source has it: the server that loads it drops documents at "
                "its front, and a replay (oplog-stage) does not");
}

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-apply", "--full DUMP INC... -o OUT",
              "A chain - a full dump and its increments, in any order - as a new dump of a later time, made without a server:\n"
              "the one that mongodump would have written then. A plain mongorestore loads it, with no oplog to replay.\n"
              "OUT/oplog.bson is where the next increments go on from. With -o - the documents of one collection go to stdout.",
              "  oplog-apply --full full inc1 inc2 inc3 --to 2021-01-12T03:39:59Z -o later\n"
              "  mongorestore --bypassDocumentValidation later\n"
              "  oplog-apply --full full inc1 inc2 inc3 --to 2021-01-12T03:39:59Z --ns shop.orders -o - | oplog-cat\n");
    tool.streams_bson(false);
    // clang-format off
    tool.add_options()
        ("full", "the full dump, made with mongodump --oplog", takes(), "DUMP")
        ("o,output", "the directory to make; -: the documents of one collection, named with --ns, to stdout", takes(), "OUT")
        ("archive", "write one archive, for mongorestore --archive: to stdout, or OUT is a file")
        ("options-to", "before the first byte of the archive, write the options that mongorestore needs to FILE, a line", takes(), "FILE")
        ("f,force", "replace OUT if it is a dump or an archive, and the FILE of --options-to")
        ("to", "the state at T, entries at T included", takes(), "T")
        ("before", "the state before T", takes(), "T")
        ("allow-gap", "go on even where entries are missing between slices")
        ("copy", "copy the full dump's unchanged files instead of linking them")
        ("gzip", "write a dump as of mongodump --gzip, even if the full one is not")
        ("compress", "an archive: zstd[:LEVEL] or gzip[:LEVEL]; gzip:0 packs nothing, and mongorestore reads it faster than none", takes(), "METHOD")
        ("jobs", "collections to work on at a time (default: one a processor)", takes(), "N");
    // clang-format on
    add_selection(tool);
    return tool.run(argc, argv, [&] {
        const auto output = tool.optional("output");
        if (!tool.has("full")) throw ArgumentError("name the full dump: --full DUMP");
        if (!output) throw ArgumentError("name the directory to make: -o OUT");
        const bool archive = tool.has("archive"), streams = *output == "-" || archive;
        for (const char* const option : {"copy", "gzip", "jobs", "force"})
            if (streams && tool.has(option) && (option != std::string_view("force") || (*output == "-" && !tool.has("options-to"))))
                throw ArgumentError(fmt::format("--{} is for a directory, not for {}", option, archive ? "--archive" : "-o -"));
        for (const char* const option : {"options-to", "compress"})
            if (tool.has(option) && !archive) throw ArgumentError(fmt::format("--{} is for --archive", option));
        const std::size_t threads = wanted_jobs(tool);
        const Bounds bounds = tool.bounds();
        const Continuity continuity = tool.has("allow-gap") ? Continuity::gaps : Continuity::chain;
        const ChainInputs inputs(tool);
        const Chain& chain = inputs.chain();
        const Dump& full = *chain.full();
        inputs.warn_of_dump(tool);
        if (const auto file = tool.optional("options-to")) {
            namespace fs = std::filesystem;
            if (fs::weakly_canonical(fs::absolute(*file)) == fs::weakly_canonical(fs::absolute(*output)))
                throw ArgumentError("--options-to is the output");
            tool.refuse_overlap(*file);
        }
        std::optional<DumpOutput> directory;
        if (!streams)
            directory.emplace(*output, DumpWriter::Options{.if_exists = tool.if_exists(),
                                                           .take_over = tool.has("copy") ? TakeOver::copy : TakeOver::link,
                                                           .gzip = tool.has("gzip") || full.gzip(),
                                                           .inputs = inputs.named()});
        Readings readings;
        const Selection selection = learned_selection(tool, chain, bounds, continuity, readings);
        warn_of_unmatched(tool, selection.unmatched());
        Applier applier(
            full, applier_options(tool, chain, scratch_directory(directory ? std::optional(directory->path()) : std::nullopt), selection));
        tool.show_progress(size_of(chain));
        WantedState state{&applier, bounds};
        play(tool, chain, continuity, readings, {&state, 1});
        progress.stop();
        const auto write_oplog = [&](auto write) {
            const Timestamp resume = applier.resume_from();
            Timestamp last;
            auto entries = chain.merged<Input>(continuity);
            for (const EntryView& entry : entries) {
                if (bounds.too_late(entry.ts())) break;
                last = entry.ts();
                readings.add(entry);
                if (entry.ts() >= resume) write(entry);
            }
            readings.end();
            return last;
        };
        const auto say_how = [&](Timestamp last, const std::string& command) {
            tool.say(fmt::format("the state of {} ({}); to restore it: {}", to_string(last), to_utc_string(last), command));
        };
        if (archive || !streams) {
            const bool is_empty =
                std::ranges::all_of(applier.collections(), [](const auto& each) { return is_hidden_in_dumps(each.ns()); });
            warn_of_nothing(tool, is_empty && applier.views().empty(), *state.last);
        }
        if (archive) {
            const Compression compression = tool.compression().value_or(compression_for(*output)).method;
            Output stream = tool.open_output();
            ::fcntl(STDOUT_FILENO, F_SETPIPE_SZ, 1 << 20); // so that there is something to read whenever mongorestore reads
            const RestoreOptions options = options_of_restore(applier);
            if (const auto file = tool.optional("options-to")) {
                FileSink sink(*file, tool.if_exists(), Content::text);
                const std::string line = options.text() + options_for_speed(applier, options, compression) + "\n";
                sink.write(line.data(), line.size());
                sink.close();
            }
            const bool has_oplog = !state.last_large || *state.last_large < applier.resume_from();
            if (!has_oplog)
                tool.warn(fmt::format(
                    "the archive has no oplog, so that no increment goes on from it: mongorestore takes no archive with an entry as large as {}",
                    to_string(*state.last_large)));
            write_archive(applier, full, stream, has_oplog, write_oplog);
            full.require_unchanged();
            tool.finish(stream);
            warn_of_overfilled(tool, applier);
            return say_how(*state.last, command_for_archive(options, *output, compression));
        }
        if (streams) {
            AppliedDocuments documents =
                applier.documents(only_collection(applier, *state.last), Check::frame, [](std::uint64_t bytes) { progress.add(bytes); });
            Output stream = tool.open_output();
            while (const auto document = documents.next()) stream.write(*document);
            full.require_unchanged();
            return tool.finish(stream);
        }
        DumpOutput& out = *directory;
        tool.show_progress(full.gzip() ? 0 : applier.bytes_to_read()); // the size of a compressed dump's data is unknown
        applier.write(out, threads, [](std::uint64_t bytes) { progress.add(bytes); });
        progress.stop();

        Writer oplog = out.open_oplog();
        const Timestamp last = write_oplog([&](const EntryView& entry) { oplog.write(entry); });
        oplog.close();
        full.require_unchanged();
        out.close();
        warn_of_old(tool, out);
        warn_of_overfilled(tool, applier);
        say_how(last, "mongorestore " + options_of_restore(applier).text() + (out.gzip() ? "--gzip " : "") + shell_word(*output));
    });
}

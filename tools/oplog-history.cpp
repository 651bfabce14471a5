// SPDX-License-Identifier: Apache-2.0
#include "lib/chain_tool.hpp"
#include "lib/documents.hpp"

#include <oplog/bson/json.hpp>
#include <oplog/restore/history.hpp>
#include <oplog/stream/sifted_reader.hpp>

using namespace oplog;
using namespace oplog::tools;

namespace {

/// Learns which collections are renamed to which, so that the changes of others need not be stored.
Selection learned(const Tool& tool, const Chain& chain, Readings& readings) {
    Selection selection;
    for (const std::string& glob : tool.value<std::vector<std::string>>("ns")) selection.include(glob);
    if (chain.full()) selection.dumped_at(*chain.dump_start());
    read_chain(chain, readings, [&](const EntryView& entry) { selection.learn(entry); });
    return selection;
}

/// Most entries of a chain are of other documents.
void add_sifted(const Chain& chain, History& history) {
    const auto open = [&](const Chain::Slice& slice) {
        return SiftedReader(Input(Input::source_type(slice.path), slice.name), slice.path, history.sieve(),
                            [](std::size_t bytes) { progress.add(bytes); });
    };
    for (auto entries = chain.merged_by(open); const EntryView& entry : entries) history.add(entry);
}

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-history", "[--full DUMP] INC... --ns NS [--id EJSON]... [--where FIELD=EJSON]... [BOUNDS]",
              "Every version of a document, or of many, in the order of time: what changed it, when, in which session or transaction,\n"
              "with the values before and after. One JSON document a line. Without --full, versions are known from the first entry on\n"
              "that carries a document whole.",
              "  oplog-history --full full inc1 inc2 --ns shop.orders --id 4711 --relaxed\n");
    // clang-format off
    tool.add_options()
        ("full", "the full dump, made with mongodump --oplog", takes(), "DUMP")
        ("ns", "the collection, under any name it has had; GLOB matches many; may be repeated", takes<std::vector<std::string>>(), "GLOB");
    // clang-format on
    add_documents(tool);
    // clang-format off
    tool.add_options()
        ("changes", "the paths that changed, with their values before and after (default)")
        ("images", "whole documents, before and after")
        ("json", "canonical Extended JSON (default)")
        ("relaxed", "relaxed Extended JSON: plain numbers, ISO dates")
        ("pretty", "a line a field, indented");
    // clang-format on
    tool.add_bounds();
    tool.add_output();
    return tool.run(argc, argv, [&] {
        if (!tool.has("ns")) throw ArgumentError("name the collection: --ns NS");
        if (tool.has("changes") && tool.has("images")) throw ArgumentError("--changes and --images exclude each other");
        if (tool.has("json") && tool.has("relaxed")) throw ArgumentError("--json and --relaxed exclude each other");
        History::Options options{.scratch = scratch_directory(tool.optional("output")),
                                 .namespaces = wanted_namespaces(tool),
                                 .ids = wanted_ids(tool),
                                 .where = wanted_fields(tool),
                                 .bounds = tool.bounds(),
                                 .form = tool.has("images") ? History::Form::images : History::Form::changes,
                                 .report = [&](const Finding& finding) { tool.warn(to_string(finding)); }};
        const ChainInputs inputs(tool);
        const Chain& chain = inputs.chain();
        inputs.warn_of_dump(tool);
        Output out = tool.open_output(Content::text);
        Readings readings;
        if (options.ids.empty()) options.selection = learned(tool, chain, readings);
        const bool has_ids = !options.ids.empty();
        History history(chain.full() ? &*chain.full() : nullptr, chain.dump_start(), chain.consistent_point(), std::move(options));
        tool.show_progress();
        if (has_ids)
            add_sifted(chain, history);
        else
            read_chain(chain, readings, [&](const EntryView& entry) { history.add(entry); }, {.checked = true});
        progress.stop();
        JsonBuffer text(tool.has("relaxed") ? JsonMode::relaxed : JsonMode::canonical,
                        tool.has("pretty") ? JsonLayout::pretty : JsonLayout::line);
        bool unknown = false;
        history.write([&](const bson::Document& version) {
            text.clear();
            try {
                text.append(version);
            } catch (const DataError& error) {
                throw error.within("a version of " + std::string(version.find("ns")->string()) + " at " +
                                   to_string(version.find("ts")->timestamp()));
            }
            text.append("\n");
            out.sink().write(text.text().data(), text.text().size());
            unknown = unknown || version.find("unknown");
        });
        if (chain.full()) chain.full()->require_unchanged();
        tool.finish(out);
        if (chain.full()) warn_of_unmatched(tool, history, {"ns"});
        if (unknown)
            tool.warn(
                chain.full()
                    ? "some versions are not known: what the full dump has seen of its own oplog cannot be told, up to its consistent point, " +
                          to_string(*chain.consistent_point())
                    : "some versions are not known: their documents were there before the first entry; --full DUMP knows them");
    });
}

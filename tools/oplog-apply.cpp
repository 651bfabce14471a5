// SPDX-License-Identifier: Apache-2.0
#include "lib/chain_tool.hpp"
#include "lib/undo.hpp"

#include <oplog/restore/apply.hpp>

#include <thread>

using namespace oplog;
using namespace oplog::tools;

namespace {

/// Plays the entries up to the wanted time, and says what it must of them. Nothing is written yet.
void play(const Tool& tool, const Chain& chain, const Bounds& bounds, Continuity continuity, Readings& readings, Applier& applier) {
    Merge<Input> entries = chain.merged<Input>(continuity, Check::structure);
    std::optional<Timestamp> last, last_wanted;
    for (const EntryView& entry : entries) {
        last = entry.ts();
        if (bounds.too_late(entry.ts())) {
            applier.look_ahead(entry);
        } else {
            last_wanted = last;
            readings.add(entry);
            applier.add(entry);
        }
    }
    readings.end();
    for (const ContinuityError& gap : entries.gaps()) tool.warn(gap.what());
    const Timestamp consistent = *chain.consistent_point();
    if (!last_wanted || *last_wanted < consistent)
        throw DataError(fmt::format("{}: the full dump is consistent from {} ({}) on: there is no earlier state to be made", chain.full()->path(),
                                    to_string(consistent), to_utc_string(consistent)));
    if ((bounds.to && last->seconds < bounds.to->seconds) || (bounds.before && last->seconds + 1 < bounds.before->seconds))
        tool.warn("the chain ends before the time that is wanted, with " + to_string(*last) + " (" + to_utc_string(*last) + ")");
    for (const auto& [id, state] : applier.open_transactions())
        tool.warn(fmt::format("transaction {}, begun at {}, is not committed by {} and is left out whole", to_string(id), to_string(state.first), to_string(*last_wanted)));
    applier.finish();
}

std::uint64_t size_of(const Chain& chain) {
    std::uint64_t size = 0;
    std::error_code unknown;
    for (const Chain::Slice& slice : chain.slices()) size += std::filesystem::file_size(slice.path, unknown);
    return size;
}

/// What mongorestore must be told lest it restores something else. Documents may break a validator that came later.
std::string options_of_restore(const Applier& applier) {
    bool has_old_index = false, is_odd = false;
    for (const AppliedCollection& collection : applier.collections()) {
        is_odd |= is_capped_cluster(bson::Document(collection.metadata.options)); // mongorestore creates it in another way then
        for (const bson::Value& spec : collection.metadata.indexes) {
            const auto version = spec.view().find("v");
            has_old_index |= version && version->is_number() && version->integer() == 1;
        }
    }
    return std::string("--bypassDocumentValidation ") + (has_old_index ? "--keepIndexVersion " : "") + (is_odd ? "--drop --preserveUUID " : "");
}

std::size_t jobs(const Tool& tool) {
    const auto wanted = tool.optional<std::string>("jobs");
    if (!wanted) return std::max(1u, std::thread::hardware_concurrency());
    const auto number = wanted->find_first_not_of("0123456789") == std::string::npos && wanted->size() < 4 ? std::stoul("0" + *wanted) : 0;
    if (number == 0) throw ArgumentError("--jobs " + *wanted + " is not a number from 1 to 999");
    return number;
}

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-apply", "--full DUMP INC... -o OUT",
              "A chain - a full dump and its increments, in any order - as a new dump of a later time, made without a server:\n"
              "the one that mongodump would have written then. A plain mongorestore loads it, with no oplog to replay.\n"
              "OUT/oplog.bson is where the next increments go on from.",
              "  oplog-apply --full full inc1 inc2 inc3 --to 2021-01-12T03:39:59Z -o later\n"
              "  mongorestore --bypassDocumentValidation later\n");
    tool.add_options()("full", "the full dump, made with mongodump --oplog", cxxopts::value<std::string>(), "DUMP")(
        "o,output", "the directory to make", cxxopts::value<std::string>(), "OUT")("f,force", "replace OUT if it is a dump")(
        "to", "the state at T, entries at T included", cxxopts::value<std::string>(), "T")("before", "the state before T", cxxopts::value<std::string>(), "T")(
        "allow-gap", "go on even where entries are missing between slices")("copy", "copy the full dump's unchanged files instead of linking them")(
        "gzip", "write a dump as of mongodump --gzip, even if the full one is not")("jobs", "collections to work on at a time (default: one a processor)", cxxopts::value<std::string>(), "N");
    add_selection(tool);
    return tool.run(argc, argv, [&] {
        const auto output = tool.optional("output");
        if (!tool.has("full")) throw ArgumentError("name the full dump: --full DUMP");
        if (!output || *output == "-") throw ArgumentError("name the directory to make: -o OUT");
        const std::size_t threads = jobs(tool);
        const Bounds bounds = tool.bounds();
        const Continuity continuity = tool.has("allow-gap") ? Continuity::gaps : Continuity::chain;
        const ChainInputs inputs(tool);
        const Chain& chain = inputs.chain();
        const Dump& full = *chain.full();
        inputs.warn_of_dump(tool);
        DumpOutput out(*output, {.if_exists = tool.if_exists(), .take_over = tool.has("copy") ? TakeOver::copy : TakeOver::link,
                                 .gzip = tool.has("gzip") || full.gzip(), .inputs = inputs.named()});

        Applier::Options options{.scratch = oplog::detail::parent_directory(out.path()), .dump_start = chain.dump_start(),
                                 .consistent_point = chain.consistent_point(), .report = [&](const Finding& finding) { tool.warn(to_string(finding)); },
                                 .selection = selection(tool)};
        options.selection.dumped_at(*chain.dump_start());
        Readings readings;
        if (options.selection.looks_ahead()) {
            Merge<Input> entries = chain.merged<Input>(continuity);
            for (const EntryView& entry : entries) {
                if (bounds.too_late(entry.ts())) continue;
                readings.add(entry);
                options.selection.learn(entry);
            }
            readings.end();
        }
        for (const DumpCollection& dumped : full.collections()) options.selection.see(dumped.ns());
        warn_of_unmatched(tool, options.selection);
        Applier applier(full, std::move(options));
        tool.show_progress(size_of(chain));
        play(tool, chain, bounds, continuity, readings, applier);
        progress.stop();
        tool.show_progress(full.gzip() ? 0 : applier.bytes_to_read()); // of a compressed dump it is not known
        applier.write(out, threads, [](std::uint64_t bytes) { progress.add(bytes); });
        progress.stop();

        const Timestamp resume = applier.resume_from();
        Timestamp last;
        Writer oplog = out.open_oplog();
        Merge<Input> entries = chain.merged<Input>(continuity);
        for (const EntryView& entry : entries) {
            if (bounds.too_late(entry.ts())) break;
            last = entry.ts();
            readings.add(entry);
            if (entry.ts() >= resume) oplog.write(entry);
        }
        readings.end();
        oplog.close();
        full.require_unchanged();
        out.close();
        warn_of_old(tool, out);
        tool.say(fmt::format("the state of {} ({}); to restore it: mongorestore {}{}{}", to_string(last), to_utc_string(last), options_of_restore(applier),
                             out.gzip() ? "--gzip " : "", shell_word(*output)));
    });
}

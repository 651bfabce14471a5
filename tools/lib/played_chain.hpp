// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chain_tool.hpp"

#include <oplog/restore/apply.hpp>

#include <filesystem>
#include <optional>
#include <span>
#include <sys/stat.h>
#include <system_error>
#include <thread>

/// What the tools that reconstruct states of a chain share.
namespace oplog::tools {

/// The options of an Applier for the chain. `scratch` is a directory for temporary files.
inline Applier::Options applier_options(const Tool& tool, const Chain& chain, std::string scratch, Selection selection) {
    return {.scratch = std::move(scratch),
            .dump_start = chain.dump_start(),
            .consistent_point = chain.consistent_point(),
            .report = [&tool](const Finding& finding) { tool.warn(to_string(finding)); },
            .selection = std::move(selection)};
}

/// The selection that the options ask for, after it has learned the chain's entries up to the bounds.
inline Selection learned_selection(const Tool& tool, const Chain& chain, const Bounds& bounds, Continuity continuity, Readings& readings) {
    Selection learned = selection(tool);
    learned.dumped_at(*chain.dump_start());
    if (!learned.looks_ahead()) return learned;
    see(learned, *chain.full());
    read_chain(chain, readings, [&](const EntryView& entry) { learned.learn(entry); }, {.bounds = bounds, .continuity = continuity});
    return learned;
}

/// A wanted state of a chain, and the applier that plays the entries up to it.
struct WantedState {
    Applier* applier;
    Bounds bounds{};
    std::optional<Timestamp> last{};       ///< The last entry of the state, once it has been played.
    std::optional<Timestamp> last_large{}; ///< The last that is larger than a document of a collection can be.
};

/// Plays a chain's entries up to each wanted state; the state with the latest time must come last. Prints what the user
/// must know. Writes nothing yet.
inline void play(const Tool& tool, const Chain& chain, Continuity continuity, Readings& readings, std::span<WantedState> states) {
    auto entries = checked_entries(chain, continuity);
    std::optional<Timestamp> last;
    for (const EntryView& entry : entries) {
        last = entry.ts();
        if (!states.back().bounds.too_late(entry.ts())) readings.add(entry);
        for (WantedState& state : states) {
            if (state.bounds.too_late(entry.ts())) {
                state.applier->look_ahead(entry);
            } else {
                state.last = last;
                if (entry.bytes().size() > 16 << 20) state.last_large = last;
                state.applier->add(entry);
            }
        }
    }
    readings.end();
    for (const ContinuityError& gap : entries.gaps()) tool.warn(gap.what());
    const Timestamp consistent = *chain.consistent_point();
    for (const WantedState& state : states)
        if (!state.last || *state.last < consistent)
            throw DataError(Fault::incomplete,
                            fmt::format("{}: the full dump is consistent from {} ({}) on: there is no earlier state to be made",
                                        chain.full()->path(), to_string(consistent), to_utc_string(consistent)));
    const Bounds& bounds = states.back().bounds;
    if ((bounds.to && last->seconds < bounds.to->seconds) || (bounds.before && last->seconds + 1 < bounds.before->seconds))
        tool.warn("the chain ends before the time that is wanted, with " + to_string(*last) + " (" + to_utc_string(*last) + ")");
    for (const WantedState& state : states) {
        for (const auto& [id, transaction] : state.applier->open_transactions())
            tool.warn(fmt::format("transaction {}, begun at {}, is not committed by {} and is left out whole{}", to_string(id),
                                  to_string(transaction.first), to_string(*state.last), transaction.prepared ? prepared_on_shard : ""));
        state.applier->finish();
    }
}

/// How many things --jobs says to work on at a time.
inline std::size_t wanted_jobs(const Tool& tool) {
    const auto wanted = tool.optional<std::string>("jobs");
    if (!wanted) return std::max(1u, std::thread::hardware_concurrency());
    const auto number = wanted->find_first_not_of("0123456789") == std::string::npos && wanted->size() < 4 ? std::stoul("0" + *wanted) : 0;
    if (number == 0) throw ArgumentError("--jobs " + *wanted + " is not a number from 1 to 999");
    return number;
}

inline std::uint64_t size_of(const Chain& chain) {
    std::uint64_t size = 0;
    std::error_code unknown;
    for (const Chain::Slice& slice : chain.slices()) size += std::filesystem::file_size(slice.path, unknown);
    return size;
}

} // namespace oplog::tools

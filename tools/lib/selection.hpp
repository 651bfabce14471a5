// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tool.hpp"

#include <oplog/entry/filter.hpp>
#include <oplog/restore/dump.hpp>

/// The options that select and rename collections, for the tools that have them.
namespace oplog::tools {

inline void add_selection(Tool& tool) {
    // clang-format off
    tool.add_options()
        ("ns", "only collections that match GLOB, as in shop.* or *.orders; may be repeated", takes<std::vector<std::string>>(), "GLOB")
        ("exclude-ns", "not the collections that match GLOB; may be repeated", takes<std::vector<std::string>>(), "GLOB")
        ("rename", "give a collection or a whole database (db.*=other.*) another name; may be repeated", takes<std::vector<std::string>>(), "FROM=TO");
    // clang-format on
}

/// The selection that these options ask for. Throws ArgumentError.
inline Selection selection(const Tool& tool) {
    Selection selection;
    const auto each = [&](const char* option, auto use) {
        if (!tool.has(option)) return;
        for (const std::string& text : tool.value<std::vector<std::string>>(option)) use(text);
    };
    each("ns", [&](const std::string& glob) { selection.include(glob); });
    each("exclude-ns", [&](const std::string& glob) { selection.exclude(glob); });
    each("rename", [&](const std::string& text) {
        const std::size_t equals = text.find('=');
        if (equals == text.npos) throw ArgumentError("--rename " + text + ": write FROM=TO");
        selection.rename(text.substr(0, equals), text.substr(equals + 1));
    });
    return selection;
}

/// Tells a selection of what a full dump has.
inline void see(Selection& selection, const Dump& dump) {
    for (const DumpCollection& dumped : dump.collections()) {
        selection.see(dumped.ns());
        if (dumped.data.empty() && selection.selects(dumped.ns()) && dumped.read_metadata().is_view()) selection.see_view(dumped.ns());
    }
}

/// Call this after learning: warns of patterns that matched nothing, because they were probably meant otherwise.
inline void warn_of_unmatched(const Tool& tool, const std::vector<Selection::Rule>& unmatched) {
    static constexpr const char* options[] = {"--ns", "--exclude-ns", "--rename"};
    for (const Selection::Rule& rule : unmatched)
        tool.warn(fmt::format("{} {}: no collection matches", options[static_cast<int>(rule.kind)], rule.pattern));
}

/// Warns where of what is selected nothing is there at a time, although it may have been earlier.
inline void warn_of_nothing(const Tool& tool, bool is_empty, Timestamp at) {
    if (is_empty && (tool.has("ns") || tool.has("exclude-ns")))
        tool.warn(fmt::format("nothing of what is selected is there at {} ({})", to_string(at), to_utc_string(at)));
}

} // namespace oplog::tools

// SPDX-License-Identifier: Apache-2.0
#include "lib/selection.hpp"
#include "lib/spool.hpp"

using namespace oplog;
using namespace oplog::tools;

int main(int argc, char** argv) {
    Tool tool("oplog-filter", "[OPTIONS] [FILE...]",
              "The wanted operations, inside applyOps and transactions too, under the wanted names. A collection is followed\n"
              "through its renames. That takes two passes, so what comes from a pipe goes through a temporary file.",
              "  oplog-filter --ns 'shop.*' --exclude-ns shop.sessions --rename 'shop.*=test.*' oplog.bson -o test.bson\n");
    add_selection(tool);
    // clang-format off
    tool.add_options()
        ("op", "only these operations, as in i,u,d,c", takes(), "LIST")
        ("no-noops", "no periodic and other no-ops");
    // clang-format on
    tool.add_output();
    tool.streams_bson();
    return tool.run(argc, argv, [&] {
        Output out = tool.open_output(); // opened first, so that a pipe learns of every failure
        Selection wanted = selection(tool);
        if (tool.has("no-noops")) wanted.without_noops();
        for (const std::string& op : tool.operations()) wanted.only(op);

        TwoPasses inputs(tool.inputs());
        Timestamp last;
        std::optional<FormatError> disorder;
        if (wanted.looks_ahead())
            inputs.first([&](const EntryView& entry) {
                wanted.learn(entry);
                if (entry.ts() < last && !disorder)
                    disorder.emplace(
                        *entry.where(), Fault::out_of_order,
                        fmt::format("out of order: entry {} after {}, and collections are renamed, so that a name means one or another",
                                    to_string(entry.ts()), to_string(last)),
                        "oplog-merge puts entries in order");
                last = std::max(last, entry.ts());
            });
        if (disorder && wanted.needs_order()) throw *disorder;
        warn_of_unmatched(tool, wanted.unmatched());
        tool.show_progress();
        std::uint64_t entries = 0, kept = 0, altered = 0;
        inputs.second(
            [&](const EntryView& entry) {
                ++entries;
                const Edit edit = wanted.apply(entry);
                if (edit.kind == Edit::Kind::drop) return;
                ++kept;
                if (edit.kind == Edit::Kind::keep) return out.write(entry);
                ++altered;
                for (const bson::Value& document : edit.with) out.write(document.view());
            },
            Check::structure);
        tool.finish(out);
        tool.note(fmt::format("{} of {} entries, {} of them changed", kept, entries, altered));
    });
}

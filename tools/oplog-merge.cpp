// SPDX-License-Identifier: Apache-2.0
#include "lib/spool.hpp"

#include <oplog/stream/late_reader.hpp>
#include <oplog/stream/merge.hpp>

using namespace oplog;
using namespace oplog::tools;

int main(int argc, char** argv) {
    Tool tool("oplog-merge", "[--chain] FILE...",
              "Slices in any order and overlap as one strictly ordered oplog. An entry that several have is written once;\n"
              "entries with the same timestamp and other bytes are a divergence.",
              "  oplog-merge --chain full/ inc1/ inc2/ -o oplog.bson\n");
    tool.add_options()("chain", "the slices must continue each other: each shares an entry with those before it, and they agree");
    tool.add_output();
    tool.streams_bson();
    return tool.run(argc, argv, [&] {
        Output out = tool.open_output(); // opened first, so that a pipe learns of every failure
        std::vector<LateReader<Input>> inputs;
        for (const std::string& file : tool.inputs()) {
            if (const std::string path = resolve_input(file); is_regular(file))
                inputs.emplace_back(path, path);
            else
                inputs.emplace_back(Input(file));
        }
        tool.show_progress();
        Merge merge(std::move(inputs), tool.has("chain") ? Continuity::chain : Continuity::any);
        for (const EntryView& entry : merge) out.write(entry);
        tool.finish(out);
    });
}

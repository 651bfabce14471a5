// SPDX-License-Identifier: Apache-2.0
#include "tool.hpp"

using namespace oplog;
using namespace oplog::tools;

int main(int argc, char** argv) {
    Tool tool("oplog-slice", "[BOUNDS] [FILE...]",
              "The entries within bounds, bytes untouched. Several FILEs are read one after the other, as if they were one.",
              "  oplog-slice --after 1610422195:1 --to 2021-01-12T04:00:00Z oplog.bson -o slice.bson\n");
    tool.add_bounds();
    tool.add_output();
    return tool.run(argc, argv, [&] {
        const Bounds bounds = tool.bounds();
        std::vector<Input> inputs = tool.open_inputs();
        Output out = tool.open_output();
        OrderCheck check;
        for (Input& in : inputs)
            for (const EntryView entry : in) {
                check(entry);
                if (bounds.contains(entry.ts())) out.write(entry);
            }
        tool.finish(out);
    });
}

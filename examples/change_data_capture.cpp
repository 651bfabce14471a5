// SPDX-License-Identifier: Apache-2.0
// change_data_capture NS FILE...: prints every change of one collection as a line of JSON. Transactions come as a
// whole, in the order in which they committed. The files are increments, in any order and overlap.
#include <oplog/bson/json.hpp>
#include <oplog/io/files.hpp>
#include <oplog/stream/committed_operations.hpp>
#include <oplog/stream/merge.hpp>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: change_data_capture NS FILE...\n");
        return 2;
    }
    try {
        std::vector<oplog::Reader> files;
        for (int i = 2; i < argc; ++i) files.emplace_back(std::string(argv[i]));
        auto changes = oplog::committed_operations(oplog::merge(std::move(files), oplog::Continuity::chain));
        for (const oplog::CommittedOperation& change : changes) {
            if (change.operation.ns != argv[1]) continue;
            std::printf("%s %s %s%s\n", to_string(change.ts).c_str(), std::string(change.operation.op).c_str(),
                        oplog::to_json(change.operation.o, oplog::JsonMode::relaxed).c_str(),
                        change.transaction ? (" in transaction " + to_string(*change.transaction)).c_str() : "");
        }
        for (const oplog::AbandonedTransaction& left_out : changes.abandoned())
            std::fprintf(stderr, "left out: transaction %s\n", to_string(left_out.state.id).c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "change_data_capture: %s\n", error.what());
        return 1;
    }
}

// SPDX-License-Identifier: Apache-2.0
// Joins plain slices of an oplog to one file: consumer OUT SLICE...
#include <oplog/core.hpp>

#include <cstdio>
#include <exception>
#include <vector>

int main(int argc, char** argv) try {
    std::vector<oplog::PlainReader> slices;
    for (int i = 2; i < argc; ++i) slices.emplace_back(argv[i]);
    oplog::PlainWriter out{argv[1]};
    oplog::Range range;
    for (const oplog::EntryView& entry : oplog::Merge(std::move(slices), oplog::Continuity::chain)) {
        range.add(entry);
        out.write(entry);
    }
    out.close();
    std::printf("%s %s %llu\n", oplog::to_string(range.first).c_str(), oplog::to_string(range.last).c_str(),
                static_cast<unsigned long long>(range.entries));
} catch (const std::exception& error) {
    std::fprintf(stderr, "consumer: %s\n", error.what());
    return 1;
}

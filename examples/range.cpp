// SPDX-License-Identifier: Apache-2.0
// range FILE...: prints the span of each oplog, as oplog-range does.
#include <oplog/io/files.hpp>
#include <oplog/stream/range.hpp>

#include <cstdio>
#include <exception>
#include <string>

int main(int argc, char** argv) {
    try {
        for (int i = 1; i < argc; ++i) {
            const oplog::Range span = oplog::range(oplog::Reader{std::string(argv[i])});
            if (span.empty())
                std::printf("%s: no entries\n", argv[i]);
            else
                std::printf("%s: %s to %s, %llu entries\n", argv[i], to_string(span.first).c_str(), to_string(span.last).c_str(),
                            static_cast<unsigned long long>(span.entries));
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "range: %s\n", error.what());
        return 1;
    }
}

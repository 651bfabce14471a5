// SPDX-License-Identifier: Apache-2.0
// Compresses an oplog and prints what it reads back as JSON lines: consumer OUT.zst FILE
#include <oplog/bson/json.hpp>
#include <oplog/io/files.hpp>

#include <cstdio>
#include <exception>
#include <string>

int main(int, char** argv) try {
    oplog::Reader in{argv[2]};
    oplog::Writer out{argv[1]};
    for (const oplog::EntryView& entry : in) out.write(entry);
    out.close();

    for (const oplog::EntryView& entry : oplog::Reader{argv[1], oplog::Check::full}) std::puts(oplog::to_json(entry.document()).c_str());
} catch (const std::exception& error) {
    std::fprintf(stderr, "consumer: %s\n", error.what());
    return 1;
}

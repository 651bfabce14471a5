// SPDX-License-Identifier: Apache-2.0
// without_no_ops IN OUT: writes an oplog that replays to the same state and has no no-ops. The last entry stays even if
// it is one, because whatever continues this oplog begins with it.
#include <oplog/io/files.hpp>

#include <cstdio>
#include <exception>
#include <optional>
#include <string>

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: without_no_ops IN OUT\n");
        return 2;
    }
    try {
        oplog::Reader in{std::string(argv[1])};
        oplog::Writer out{std::string(argv[2])};
        std::optional<oplog::Entry> no_op; // the last entry, if it is a no-op
        unsigned long long dropped = 0;
        for (const oplog::EntryView entry : in) {
            if (no_op) ++dropped;
            no_op.reset();
            if (entry.op() == "n")
                no_op.emplace(entry); // the reader is about to move on, so keep a copy
            else
                out.write(entry);
        }
        if (no_op) out.write(*no_op);
        out.close();
        std::printf("%llu no-ops left out\n", dropped);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "without_no_ops: %s\n", error.what());
        return 1;
    }
}

// SPDX-License-Identifier: Apache-2.0
// updates_in_memory DUMP.bson NS OPLOG...: brings the documents of a collection, in memory, to their state at the end
// of an oplog.
#include <oplog/bson/id_key.hpp>
#include <oplog/bson/update.hpp>
#include <oplog/io/files.hpp>
#include <oplog/stream/committed_operations.hpp>
#include <oplog/stream/merge.hpp>

#include <cstdio>
#include <exception>
#include <map>
#include <string>
#include <vector>

int main(int argc, char** argv) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: updates_in_memory DUMP.bson NS OPLOG...\n");
        return 2;
    }
    try {
        std::map<std::string, std::string> documents; // by the key of the _id, as the server compares it
        for (const oplog::bson::Document& document : oplog::DocumentReader{std::string(argv[1])})
            documents[oplog::id_key(document)] = document.bytes();
        std::printf("%zu documents in the dump\n", documents.size());

        std::vector<oplog::Reader> oplogs;
        for (int i = 3; i < argc; ++i) oplogs.emplace_back(std::string(argv[i]));
        for (const auto& change : oplog::committed_operations(oplog::merge(std::move(oplogs), oplog::Continuity::chain))) {
            const oplog::Operation& operation = change.operation;
            if (operation.ns != argv[2]) continue;
            if (operation.is_insert()) {
                documents[oplog::id_key(operation.o)] = operation.o.bytes();
            } else if (operation.is_delete()) {
                documents.erase(oplog::id_key(operation.o));
            } else if (operation.is_update() && operation.o2) {
                const auto found = documents.find(oplog::id_key(*operation.o2));
                if (found == documents.end()) continue; // a later delete, which the dump has already seen
                found->second = oplog::apply_update(oplog::bson::Document(found->second), operation.o);
            }
        }
        std::printf("%zu documents in the end\n", documents.size());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "updates_in_memory: %s\n", error.what());
        return 1;
    }
}

// SPDX-License-Identifier: Apache-2.0

// bench-validate FILE: measures how fast bson::validate checks documents that are in memory already, and prints "BYTES
// SECONDS", the best of five.

#include <oplog/core.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <string>

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: bench-validate FILE\n", stderr);
        return 2;
    }
    try {
        constexpr std::size_t enough = 32 << 20; // more than the caches hold
        std::string documents;
        for (const oplog::EntryView entry : oplog::PlainReader(argv[1])) {
            documents += entry.bytes();
            if (documents.size() >= enough) break;
        }
        double best = 1e9;
        for (int round = 0; round < 5; ++round) {
            const auto start = std::chrono::steady_clock::now();
            for (std::size_t at = 0; at < documents.size();) {
                const auto document = oplog::bson::Document::trusted(&documents[at]);
                oplog::bson::validate(document);
                at += document.size();
            }
            best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
        }
        std::printf("%zu %.6f\n", documents.size(), best);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench-validate: %s\n", error.what());
        return 1;
    }
}

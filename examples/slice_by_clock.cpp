// SPDX-License-Identifier: Apache-2.0
// slice_by_clock FROM TO IN OUT: copies the entries that the server's clock puts between two times, both included. The
// `ts` of an entry has whole seconds, its `wall` has milliseconds. FROM and TO may have fractions, as in
// 2026-11-22T12:58:59.250Z.
#include <oplog/bson/json_parser.hpp>
#include <oplog/io/files.hpp>
#include <oplog/stream/slice.hpp>

#include <cstdio>
#include <exception>
#include <string>

namespace {

oplog::bson::Date parse_date(const std::string& text) {
    const std::string bytes = oplog::parse_json(R"({"at":{"$date":")" + text + R"("}})");
    return oplog::bson::Document(bytes).find("at")->date();
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: slice_by_clock FROM TO IN OUT\n");
        return 2;
    }
    try {
        const oplog::bson::Date from = parse_date(argv[1]), to = parse_date(argv[2]);
        oplog::Reader in{std::string(argv[3])};
        oplog::Writer out{std::string(argv[4])};
        unsigned long long written = 0;
        for (const oplog::EntryView entry : oplog::slice(in, {})) { // checks that they are in order
            const auto wall = entry.wall();
            if (!wall || *wall < from || *wall > to) continue;
            out.write(entry);
            ++written;
        }
        out.close();
        std::printf("%llu entries\n", written);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "slice_by_clock: %s\n", error.what());
        return 1;
    }
}

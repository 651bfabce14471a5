// SPDX-License-Identifier: Apache-2.0
// custom_source FILE: reads an oplog from a source of the program's own, here one that counts its reads. A source has
// read(buffer, size), which returns how many bytes it put into the buffer, and 0 at the end.
#include <oplog/io/file.hpp>
#include <oplog/io/reader.hpp>
#include <oplog/stream/range.hpp>

#include <cstddef>
#include <cstdio>
#include <exception>
#include <string>

namespace {

class CountingSource {
  public:
    CountingSource(const std::string& path, unsigned& reads) : file_(path), reads_(&reads) {}
    std::size_t read(char* buffer, std::size_t size) {
        ++*reads_;
        return file_.read(buffer, size);
    }

  private:
    oplog::FileSource file_;
    unsigned* reads_;
};

} // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: custom_source FILE\n");
        return 2;
    }
    try {
        unsigned reads = 0;
        oplog::BasicReader<CountingSource> in(CountingSource(argv[1], reads), argv[1]);
        const oplog::Range span = oplog::range(in);
        std::printf("%llu entries in %u reads\n", static_cast<unsigned long long>(span.entries), reads);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "custom_source: %s\n", error.what());
        return 1;
    }
}

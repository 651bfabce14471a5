// SPDX-License-Identifier: Apache-2.0
// Reads any bytes as a compressed stream. Also checks that any bytes, compressed in one frame or two, come out again.
#include "fuzz.hpp"

#include <oplog/io/files.hpp>

#include <string>
#include <string_view>

namespace {

constexpr std::size_t enough = 8 << 20; // a few bytes can stand for very many

std::string decompressed(std::string_view bytes, std::size_t step) {
    oplog::DecompressingSource<oplog::MemorySource> source{oplog::MemorySource(bytes)};
    std::string out;
    std::string buffer(step, '\0');
    while (const std::size_t got = source.read(buffer.data(), buffer.size())) {
        REQUIRE(got <= buffer.size());
        out.append(buffer, 0, got);
        if (out.size() > enough) break;
    }
    return out;
}

/// The decompressed bytes, or the text of the error.
std::string outcome(std::string_view bytes, std::size_t step) {
    try {
        return decompressed(bytes, step);
    } catch (const oplog::DataError& error) {
        return error.what();
    }
}

std::string compressed(std::string_view bytes, oplog::Compression method) {
    std::string out;
    oplog::CompressingSink<oplog::MemorySink> sink(oplog::MemorySink(out), {method, {}});
    sink.write(bytes.data(), bytes.size());
    sink.close();
    return out;
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    if (size == 0) return 0;
    const std::string whole = outcome(bytes, 1 << 16);
    if (whole.size() < enough) REQUIRE(outcome(bytes, 1000) == whole);

    const std::string_view head = bytes.substr(0, size / 2), tail = bytes.substr(size / 2);
    for (const oplog::Compression method : {oplog::Compression::zstd, oplog::Compression::gzip}) {
        const std::string twice = compressed(head, method) + compressed(tail, method);
        REQUIRE(decompressed(twice, 1 << 16) == bytes);
        // Cut anywhere but between the two, the stream is an error.
        const std::size_t cut = (size + data[0]) % twice.size();
        if (cut == 0 || cut == compressed(head, method).size()) continue;
        try {
            decompressed(std::string_view(twice).substr(0, cut), 1 << 16);
            REQUIRE(cut < 4); // too few bytes to recognise the compression
        } catch (const oplog::DataError&) {
        }
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Uses bytes as a collection's .metadata.json. It is refused as bad data, or read; then what is written of it reads the
// same.
#include "fuzz.hpp"

#include <oplog/restore/dump.hpp>

#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    oplog::Metadata metadata;
    try {
        metadata = oplog::Metadata::parse({reinterpret_cast<const char*>(data), size});
    } catch (const oplog::DataError&) {
        return 0;
    }
    const oplog::Metadata again = oplog::Metadata::parse(metadata.json());
    REQUIRE(again.options == metadata.options);
    REQUIRE(again.indexes == metadata.indexes);
    REQUIRE(again.uuid == metadata.uuid);
    REQUIRE(again.collection == metadata.collection);
    REQUIRE(again.type == metadata.type);
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// Reads any bytes as a BSON stream: reader, entry view, validation, JSON.
#include "fuzz.hpp"

#include <oplog/oplog.hpp>

#include <algorithm>
#include <string>
#include <string_view>

namespace {

/// Yields a few bytes at a time, as pipes may.
class TricklingSource {
  public:
    explicit TricklingSource(std::string_view bytes) : rest_(bytes) {}
    std::size_t read(char* buffer, std::size_t size) {
        step_ = step_ % 7 + 1;
        const std::size_t count = rest_.copy(buffer, std::min(size, step_));
        rest_.remove_prefix(count);
        return count;
    }

  private:
    std::string_view rest_;
    std::size_t step_ = 0;
};

/// Reads everything there is to learn about a document.
void inspect(const oplog::bson::Document& document) {
    bool valid = true;
    try {
        oplog::bson::validate<oplog::bson::Text::any>(document);
    } catch (const oplog::DataError&) {
        valid = false;
    }
    try {
        const std::string json = oplog::to_json(document);
        REQUIRE(oplog::bson::is_utf8(json));
        REQUIRE(json.find('\n') == std::string::npos);
        REQUIRE(valid);
    } catch (const oplog::DataError& error) {
        REQUIRE(!valid || std::string_view(error.what()).ends_with("two lengths that differ"));
    }
    try {
        const oplog::EntryView entry(document);
        static_cast<void>(entry.op().size() + entry.ns().size() + entry.ui().size());
        static_cast<void>(entry.wall());
        static_cast<void>(entry.o2());
        for (const oplog::bson::Element& element : entry.o()) static_cast<void>(element.value().size());
        const oplog::Entry copy(entry);
        REQUIRE(copy.view().ts() == entry.ts());
    } catch (const oplog::DataError&) {
    }
}

/// The outcome of a stream: the bytes of its documents, then the error, if there is one.
template <class Source, class Item>
std::string outcome(std::string_view bytes, oplog::Check check) {
    std::string documents;
    oplog::BasicReader<Source, Item> reader(Source(bytes), "input", check);
    try {
        for (const auto& item : reader) documents += item.bytes();
        REQUIRE(documents == bytes);
    } catch (const oplog::FormatError& error) {
        REQUIRE(error.where().offset <= bytes.size());
        REQUIRE(bytes.starts_with(documents));
        documents += error.what();
    }
    return documents;
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    using oplog::Check;
    using oplog::MemorySource;
    REQUIRE((outcome<MemorySource, oplog::bson::Document>(bytes, Check::full) ==
             outcome<TricklingSource, oplog::bson::Document>(bytes, Check::full)));
    REQUIRE(
        (outcome<MemorySource, oplog::EntryView>(bytes, Check::frame) == outcome<TricklingSource, oplog::EntryView>(bytes, Check::frame)));
    try {
        for (const auto& document : oplog::BasicReader<MemorySource, oplog::bson::Document>(MemorySource(bytes), "input"))
            inspect(document);
    } catch (const oplog::FormatError&) {
    }
    return 0;
}

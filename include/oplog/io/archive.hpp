// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/bson/value.hpp>
#include <oplog/error.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What mongodump --archive writes: a dump as one stream. A magic number; then, each with an end mark, the prelude - a header and
/// the metadata of every collection - and blocks: a document that names a collection, and some of the collection's documents. The blocks of
/// several collections alternate. A collection's last block has no documents and the checksum of all of them.
namespace oplog::inline v0_1 {

/// The checksum of archives, which is also that of the xz format.
class Crc64 {
  public:
    void add(std::string_view bytes) noexcept {
        std::uint64_t crc = ~value_;
        const char* at = bytes.data();
        std::size_t left = bytes.size();
        for (; left >= 8; left -= 8, at += 8) {
            std::uint64_t word;
            std::memcpy(&word, at, 8);
            crc ^= word;
            std::uint64_t next = 0;
            for (std::size_t i = 0; i < 8; ++i) next ^= tables[7 - i][crc >> (8 * i) & 0xff];
            crc = next;
        }
        for (; left > 0; --left) crc = tables[0][(crc ^ static_cast<std::uint8_t>(*at++)) & 0xff] ^ crc >> 8;
        value_ = ~crc;
    }
    std::uint64_t value() const noexcept { return value_; }

  private:
    using Tables = std::array<std::array<std::uint64_t, 256>, 8>; ///< for the byte that is so many bytes before the last
    static constexpr Tables tables = [] {
        Tables made{};
        for (std::uint64_t i = 0; i < 256; ++i) {
            std::uint64_t crc = i;
            for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xC96C5795D7870F42 : 0);
            made[0][i] = crc;
        }
        for (std::size_t before = 1; before < 8; ++before)
            for (std::size_t i = 0; i < 256; ++i) made[before][i] = made[0][made[before - 1][i] & 0xff] ^ made[before - 1][i] >> 8;
        return made;
    }();

    std::uint64_t value_ = 0;
};

/// A collection in an archive, by its prelude. The oplog has no database, and the name "oplog".
struct ArchiveCollection {
    std::string database, name;
    std::string metadata; ///< The text of a metadata file; empty for the oplog.
    std::string type;     ///< "collection", "view" or "timeseries"; empty in old archives.

    /// The collection that the documents are in: for a time series its buckets.
    std::string data_name() const { return (type == "timeseries" ? "system.buckets." : "") + name; }
    /// Whether it has no documents of its own, as far as the prelude tells.
    bool is_view() const { return type.empty() ? metadata.find("\"viewOn\"") != metadata.npos : type == "view"; }
};

/// The prelude of an archive.
struct ArchivePrelude {
    std::string server_version, tool_version;
    std::vector<ArchiveCollection> collections;
    std::int32_t concurrent = 1; ///< So many collections alternate at most; mongorestore must load as many at a time.
};

namespace detail {

constexpr std::string_view archive_version = "0.1"; ///< of the format
constexpr std::uint32_t archive_magic = 0x8199e26d, archive_end_mark = 0xffffffff;

/// The beginning of a block.
struct ArchiveHeader {
    std::string database, collection;
    bool is_end = false;
    std::uint64_t crc = 0;
};

} // namespace detail

/// Reads an archive. Throws DataError, with the offset, for bytes that no archive has, for a wrong checksum, and for one that ends before
/// every collection of its prelude has ended. Memory: a buffer, the prelude, and a checksum a collection.
template <class Source>
class BasicArchiveReader {
  public:
    /// A document of a collection, or the collection's end.
    struct Item {
        std::string database, collection;
        std::optional<bson::Document> document{};
    };

    /// Reads the prelude. `name` is for messages.
    BasicArchiveReader(Source source, std::string name) : source_(std::move(source)), name_(std::move(name)) {
        guarded([&] {
            if (!fill(4) || word() != detail::archive_magic) fail(Fault::not_oplog, "no archive of mongodump");
            at_ += 4;
            const auto header = next_document();
            if (!header) fail(Fault::malformed, "an archive without a header");
            each_field(*header, [&](const bson::Element& field) {
                if (field.key() == "version" && field.string() != detail::archive_version)
                    throw DataError(Fault::not_supported, "an archive of version " + std::string(field.string()) + ", and known is " +
                                                              std::string(detail::archive_version));
                if (field.key() == "server_version") prelude_.server_version = field.string();
                if (field.key() == "tool_version") prelude_.tool_version = field.string();
            });
            std::set<std::pair<std::string, std::string>> names;
            while (const auto document = next_document()) {
                ArchiveCollection& one = prelude_.collections.emplace_back();
                each_field(*document, [&](const bson::Element& field) {
                    for (const auto& [key, text] : {std::pair("db", &one.database), std::pair("collection", &one.name),
                                                    std::pair("metadata", &one.metadata), std::pair("type", &one.type)})
                        if (field.key() == key) *text = field.string();
                });
                if (!names.emplace(one.database, one.name).second)
                    fail(Fault::ambiguous, "the archive has two collections " + one.database + "." + one.name);
            }
        });
    }

    const ArchivePrelude& prelude() const noexcept { return prelude_; }

    /// Goes on to the next item. False at the end. What the item before refers to is gone then.
    bool next() {
        return guarded([&] {
            for (;;) {
                item_.document.reset();
                if (!in_block_) {
                    if (!fill(1)) return require_whole();
                    const detail::ArchiveHeader header = next_header();
                    if (item_.database != header.database || item_.collection != header.collection)
                        item_ = {header.database, header.collection};
                    Stream& stream = streams_[{header.database, header.collection}];
                    if (stream.has_ended) fail(Fault::inconsistent, "a collection goes on after its end: " + ns());
                    current_ = &stream;
                    if (header.is_end) {
                        if (next_document()) fail(Fault::malformed, "documents after the end of a collection: " + ns());
                        if (header.crc != stream.crc.value())
                            fail(Fault::inconsistent, "the checksum of " + ns() + " is not that of its documents");
                        stream.has_ended = true;
                        return true;
                    }
                    in_block_ = true;
                }
                const auto document = next_document();
                if (document) {
                    current_->crc.add(document->bytes());
                    item_.document = document;
                    return true;
                }
                in_block_ = false;
            }
        });
    }
    const Item& current() const noexcept { return item_; }

  private:
    struct Stream {
        Crc64 crc;
        bool has_ended = false;
    };
    static constexpr std::size_t piece = 1 << 20;

    template <class Work>
    decltype(auto) guarded(Work work) {
        try {
            return work();
        } catch (const DataError& error) {
            throw error.within(name_);
        }
    }
    [[noreturn]] void fail(Fault fault, const std::string& why) const {
        throw DataError(fault, "offset " + std::to_string(offset_ + at_) + ": " + why);
    }
    /// Does work on the document there, so that errors have its place.
    template <class Work>
    static decltype(auto) placed(std::uint64_t offset, Work work) {
        try {
            return work();
        } catch (const DataError& error) {
            throw error.within("offset " + std::to_string(offset));
        }
    }
    /// Of a document that was just read.
    template <class Work>
    void each_field(const bson::Document& document, Work work) const {
        placed(offset_ + at_ - document.bytes().size(), [&] {
            for (const bson::Element& field : document) work(field);
        });
    }
    std::string ns() const { return item_.database + "." + item_.collection; }

    /// Has so many bytes in the buffer; false if there are none at all.
    bool fill(std::size_t wanted) {
        if (buffer_.size() - at_ >= wanted) return true;
        offset_ += at_;
        buffer_.erase(0, at_);
        at_ = 0;
        while (buffer_.size() < wanted) {
            const std::size_t had = buffer_.size();
            buffer_.resize(std::max(wanted, had + piece));
            const std::size_t got = source_.read(buffer_.data() + had, buffer_.size() - had);
            buffer_.resize(had + got);
            if (got > 0) continue;
            if (had == 0) return false;
            fail(Fault::truncated, "the archive ends within a block");
        }
        return true;
    }
    std::uint32_t word() const {
        std::uint32_t word;
        std::memcpy(&word, buffer_.data() + at_, sizeof word);
        return word;
    }
    /// The next document; none for an end mark.
    std::optional<bson::Document> next_document() {
        if (!fill(4)) fail(Fault::truncated, "the archive ends within a block");
        const std::uint32_t size = word();
        if (size == detail::archive_end_mark) {
            at_ += 4;
            return std::nullopt;
        }
        if (size < bson::min_document_size || size > bson::max_document_size)
            fail(Fault::bad_length, std::to_string(size) + " is no document's length");
        fill(size);
        const auto document = placed(offset_ + at_, [&] { return bson::Document(std::string_view(buffer_).substr(at_, size)); });
        at_ += size;
        return document;
    }
    detail::ArchiveHeader next_header() {
        const auto document = next_document();
        if (!document) fail(Fault::malformed, "a block without a header");
        detail::ArchiveHeader header;
        bool has_name = false;
        each_field(*document, [&](const bson::Element& field) {
            const std::string_view key = field.key();
            if (key == "db") header.database = field.string();
            if (key == "collection") header.collection = field.string();
            if (key == "EOF") header.is_end = field.boolean();
            if (key == "CRC") header.crc = static_cast<std::uint64_t>(field.integer());
            has_name = has_name || key == "collection";
        });
        if (!has_name) fail(Fault::missing_field, "a block that names no collection");
        return header;
    }
    bool require_whole() const {
        const auto require = [&](const std::string& database, const std::string& collection) {
            const auto found = streams_.find({database, collection});
            if (found == streams_.end() || !found->second.has_ended)
                fail(Fault::truncated, "the archive ends before " + database + "." + collection + " does");
        };
        for (const ArchiveCollection& collection : prelude_.collections) require(collection.database, collection.data_name());
        for (const auto& [name, stream] : streams_) require(name.first, name.second);
        return false;
    }

    Source source_;
    std::string name_;
    std::string buffer_;
    std::size_t at_ = 0;
    std::uint64_t offset_ = 0; ///< of the buffer
    ArchivePrelude prelude_;
    std::map<std::pair<std::string, std::string>, Stream> streams_;
    Stream* current_ = nullptr;
    Item item_;
    bool in_block_ = false;
};

/// A source that passes on another one, or of an archive the oplog in it: what `mongodump --oplog --archive` has, or an increment, a dump of
/// local.oplog.rs. Throws DataError for an archive that has none or two, and for all that BasicArchiveReader refuses.
template <class Source>
class OplogSource {
  public:
    explicit OplogSource(Source source) : source_(std::move(source)) {}
    /// Opens a file.
    explicit OplogSource(const std::string& path) requires std::constructible_from<Source, const std::string&> : source_(path) {}

    /// Fills up to `size` bytes, which are at least four, and returns how many; 0 is the end. Throws DataError.
    std::size_t read(char* buffer, std::size_t size) {
        if (archive_) return read_oplog(buffer, size);
        std::size_t got = source_.read(buffer, size);
        if (std::exchange(begun_, true)) return got;
        constexpr std::size_t wanted = sizeof detail::archive_magic;
        for (std::size_t more = got; more > 0 && got < wanted; got += more) more = source_.read(buffer + got, size - got);
        if (got < wanted || std::memcmp(buffer, &detail::archive_magic, wanted) != 0) return got;
        archive_ = std::make_unique<BasicArchiveReader<Begun>>(Begun{std::string(buffer, got), std::move(source_)}, "the archive");
        return read_oplog(buffer, size);
    }

  private:
    /// A source of which the beginning has been read.
    struct Begun {
        std::string beginning;
        Source source;

        std::size_t read(char* buffer, std::size_t size) {
            if (beginning.empty()) return source.read(buffer, size);
            const std::size_t count = beginning.copy(buffer, size);
            beginning.erase(0, count);
            return count;
        }
    };

    std::size_t read_oplog(char* buffer, std::size_t size) {
        while (rest_.empty()) {
            if (has_ended_ || !archive_->next()) {
                if (!has_oplog_) throw DataError(Fault::not_oplog, "an archive without an oplog");
                has_ended_ = true;
                return 0;
            }
            const auto& item = archive_->current();
            const bool is_oplog =
                item.database.empty() ? item.collection == "oplog" : item.database == "local" && item.collection == "oplog.rs";
            if (!is_oplog) continue;
            if (item.document) rest_ = item.document->bytes();
            if (!item.document && std::exchange(has_oplog_, true)) throw DataError(Fault::ambiguous, "an archive with two oplogs");
        }
        const std::size_t count = rest_.copy(buffer, size);
        rest_.remove_prefix(count);
        return count;
    }

    Source source_;
    bool begun_ = false, has_oplog_ = false, has_ended_ = false;
    std::unique_ptr<BasicArchiveReader<Begun>> archive_; ///< Allocated, so that a source can be moved.
    std::string_view rest_;                              ///< Of the current document.
};

/// Writes an archive to a writer. Documents of several collections may alternate; that costs a header each time. When every collection of
/// the prelude has ended, close the writer.
template <class Out>
class BasicArchiveWriter {
  public:
    /// The writer must outlive this.
    BasicArchiveWriter(Out& out, const ArchivePrelude& prelude) : out_(&out) {
        put(detail::archive_magic);
        bson::Builder header;
        header.int32("concurrent_collections", prelude.concurrent).string("version", detail::archive_version);
        header.string("server_version", prelude.server_version).string("tool_version", prelude.tool_version);
        put(header);
        for (const ArchiveCollection& collection : prelude.collections) {
            bson::Builder document;
            document.string("db", collection.database).string("collection", collection.name).string("metadata", collection.metadata);
            put(document.int32("size", 0).string("type", collection.type));
        }
        put(detail::archive_end_mark);
    }

    /// Writes a document of a collection, which for a time series is that of its buckets.
    void write(const std::string& database, const std::string& collection, const bson::Document& document) {
        if (!in_block_ || block_.first != database || block_.second != collection) {
            end_block();
            block_ = {database, collection};
            put_header(block_, false, 0);
            crc_ = &crcs_[block_];
            in_block_ = true;
        }
        crc_->add(document.bytes());
        out_->write(document);
    }
    /// No document of the collection follows. Call this also for one that has none, and for a view.
    void end(const std::string& database, const std::string& collection) {
        end_block();
        const std::pair name(database, collection);
        put_header(name, true, crcs_[name].value());
        crcs_.erase(name);
        put(detail::archive_end_mark);
    }

  private:
    void put(std::uint32_t word) {
        char bytes[sizeof word];
        std::memcpy(bytes, &word, sizeof word);
        out_->write(std::string_view(bytes, sizeof word));
    }
    void put(bson::Builder& document) {
        const bson::Value done = document.finish();
        out_->write(done.view());
    }
    void put_header(const std::pair<std::string, std::string>& name, bool is_end, std::uint64_t crc) {
        bson::Builder header;
        header.string("db", name.first).string("collection", name.second).boolean("EOF", is_end);
        put(header.int64("CRC", static_cast<std::int64_t>(crc)));
    }
    void end_block() {
        if (in_block_) put(detail::archive_end_mark);
        in_block_ = false;
    }

    Out* out_;
    std::map<std::pair<std::string, std::string>, Crc64> crcs_;
    std::pair<std::string, std::string> block_;
    Crc64* crc_ = nullptr; ///< Of the block's collection.
    bool in_block_ = false;
};

} // namespace oplog

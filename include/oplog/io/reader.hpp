// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>
#include <oplog/bson/validate.hpp>
#include <oplog/bson/value.hpp>
#include <oplog/entry/entry.hpp>
#include <oplog/error.hpp>
#include <oplog/io/file.hpp>
#include <oplog/io/file_kind.hpp>

#include <algorithm>
#include <concepts>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace oplog::inline v0_1 {

/// How closely a reader examines each document before it yields it.
enum class Check {
    frame,     ///< Length prefix, terminator, depth of nesting and, for entries, the top-level fields up to `ts`.
    structure, ///< As `full`, without what servers do not require: UTF-8, and the second length of an old binary.
    full,      ///< Every byte: types, lengths, nesting, UTF-8.
};

/// Reads a stream of BSON documents as an input range, in constant memory: a buffer of 256 KiB that grows to the
/// largest document. Item is EntryView or bson::Document. Each item is a view that is valid until the reader moves on.
/// Every fault in the data throws a FormatError with file, offset and document number; a stream that ends inside a
/// document is such a fault.
template <ByteSource Source, class Item = EntryView>
class BasicReader {
  public:
    using source_type = Source;

    /// Reads from `source`. Messages call the input `name`.
    BasicReader(Source source, std::string name, Check check = Check::frame)
        : BasicReader(std::move(source), Position{std::move(name), 0, 0}, check) {}
    /// Reads from a source whose first byte is at the position `from`, after `from.document` documents.
    BasicReader(Source source, Position from, Check check = Check::frame)
        : source_(std::move(source)), check_(check), where_(std::make_unique<Position>(std::move(from))) {}
    /// Opens a file, stdin ("-"), or the oplog in a directory (see resolve_input()). Throws what that and the source
    /// throw.
    explicit BasicReader(const std::string& path, Check check = Check::frame) requires std::constructible_from<Source, const std::string&>
        : BasicReader(Source(resolve_input(path)), resolve_input(path), check) {}

    /// Moves on to the next document. Returns false at the end of the stream. Throws FormatError.
    bool next() {
        step();
        if (filled_ - at_ < bson::min_document_size && !fill(bson::min_document_size)) {
            if (filled_ == at_) return false;
            if (filled_ - at_ >= 4) check_length(bson::load<std::int32_t>(&buffer_[at_]));
            fail(Fault::truncated, "the stream ends inside a document: " + std::to_string(filled_ - at_) + " stray bytes");
        }
        if (where_->document == 1) [[unlikely]]
            refuse_other_kinds();
        const auto length = bson::load<std::int32_t>(&buffer_[at_]);
        check_length(length);
        const auto size = static_cast<std::uint32_t>(length);
        if (filled_ - at_ < size && !fill(size))
            fail(Fault::truncated,
                 "the stream ends inside a document: " + std::to_string(filled_ - at_) + " of " + std::to_string(size) + " bytes");
        if (buffer_[at_ + size - 1] != 0) fail(Fault::malformed, "the document does not end with a zero byte");
        if (bson::is_nested_too_deeply(bson::Document::trusted(&buffer_[at_]))) fail(Fault::too_deep, bson::nested_too_deeply());
        size_ = size;
        return true;
    }

    /// The document that next() moved to. Valid until the reader moves on. Throws FormatError if the document fails the
    /// check.
    Item current() const {
        const auto document = bson::Document::trusted(&buffer_[at_]);
        try {
            bool ordinary = false;
            if (check_ == Check::structure) ordinary = bson::validate<bson::Text::any>(document);
            if (check_ == Check::full) ordinary = bson::validate(document);
            if constexpr (std::is_constructible_v<Item, const bson::Document&, const Position*>) {
                Item item(document, where_.get());
                item.set_ordinary(ordinary);
                return item;
            } else
                return Item(document);
        } catch (const DataError& error) {
            fail(error);
        }
    }

  private:
    static constexpr std::size_t page_size = 4096;
    struct alignas(page_size) Page {
        char bytes[page_size];
    };

  public:
    /// Consecutive documents and the buffer that holds them.
    class Block {
      public:
        /// The bytes of the documents, one after the other. A view, valid until the block is filled again.
        std::string_view documents() const noexcept { return documents_; }
        /// The place of the first document.
        const Position& where() const noexcept { return where_; }

      private:
        friend BasicReader;
        std::unique_ptr<Page[]> pages_;
        std::size_t capacity_ = 0;
        std::string_view documents_;
        Position where_;
    };

    /// Replaces the content of `block` with the next documents: at least one, and whatever else one read brought.
    /// Returns false at the end of the stream. This is for threads that read in turns: no document is copied, and what
    /// a thread has read is in the cache of its core. The block ends before the first fault, and the next call reports
    /// that fault. The documents have been examined as with Check::frame, and none of them becomes the current
    /// document.
    bool next(Block& block) {
        block.documents_ = {};
        pass();
        exchange_buffers(block); // the rest of what was read moves to the other buffer; it is less than a document
        if (!next()) return false;
        block.where_ = *where_;
        const std::size_t first = at_;
        while (is_next_whole()) {
            step();
            size_ = bson::load<std::uint32_t>(&buffer_[at_]);
        }
        pass();
        block.documents_ = {&buffer_[first], at_ - first};
        exchange_buffers(block);
        return true;
    }

    /// The place of the current document.
    const Position& where() const noexcept { return *where_; }
    /// The name of the input, as messages use it.
    const std::string& name() const noexcept { return where_->file; }
    /// The number of uncompressed bytes read so far, including the current document.
    std::uint64_t bytes() const noexcept { return where_->offset + size_; }

    /// The input iterator of a reader.
    using iterator = detail::SourceIterator<BasicReader, std::conditional_t<std::same_as<Item, EntryView>, Entry, bson::Value>>;

    /// Reads the first document. Throws ArgumentError when called a second time, because a document would be lost.
    iterator begin() {
        if (std::exchange(begun_, true))
            throw ArgumentError(where_->file + ": a reader's documents are read once: make another reader to read them again");
        return iterator(*this);
    }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    static constexpr std::size_t buffer_size = 256 << 10; // measured: sizes from 192 to 512 KiB are equal, others are slower

    /// Whether a valid document follows the current one and is completely in the buffer.
    bool is_next_whole() const {
        const std::size_t left = filled_ - at_ - size_;
        if (left < bson::min_document_size) return false;
        const char* const next = &buffer_[at_ + size_];
        const auto size = bson::load<std::uint32_t>(next);
        return size >= bson::min_document_size && size <= std::min<std::size_t>(left, bson::max_document_size) && next[size - 1] == 0 &&
               !bson::is_nested_too_deeply(bson::Document::trusted(next));
    }
    void pass() noexcept {
        where_->offset += size_;
        at_ += std::exchange(size_, 0);
    }
    void step() noexcept {
        pass();
        ++where_->document;
    }
    [[noreturn]] void fail(Fault fault, std::string_view reason, std::string_view hint = {}) const {
        throw FormatError(*where_, fault, reason, hint);
    }
    [[noreturn]] void fail(const DataError& error) const { throw FormatError(*where_, error); }

    /// Names the kind of file in the error if the input is something else altogether.
    void refuse_other_kinds() {
        if (detail::may_be_bson({&buffer_[at_], filled_ - at_})) return;
        fill(512);
        if (const FileKind* kind = recognise_file({&buffer_[at_], filled_ - at_}))
            fail(Fault::not_oplog, "this is no BSON but " + std::string(kind->name), kind->hint);
    }

    void check_length(std::int32_t length) const {
        constexpr auto least = static_cast<std::int32_t>(bson::min_document_size),
                       most = static_cast<std::int32_t>(bson::max_document_size);
        if (length >= least && length <= most) return;
        fail_length(length);
    }
    [[noreturn]] void fail_length(std::int32_t length) const {
        if (length < static_cast<std::int32_t>(bson::min_document_size))
            fail(Fault::bad_length, "impossible document length " + std::to_string(length));
        fail(Fault::bad_length,
             "document length " + std::to_string(length) + " is over the limit of " + std::to_string(bson::max_document_size));
    }

    static constexpr std::size_t round_up(std::size_t size) { return (size + page_size - 1) / page_size * page_size; }

    /// Continues in the buffer of the block.
    void exchange_buffers(Block& block) {
        const std::size_t left = filled_ - at_, end = round_up(left);
        if (block.capacity_ < end + page_size) {
            block.capacity_ = page_size + std::max(end, buffer_size);
            block.pages_ = std::make_unique_for_overwrite<Page[]>(block.capacity_ / page_size);
        }
        std::memcpy(block.pages_[0].bytes + (end - left), &buffer_[at_], left);
        std::swap(pages_, block.pages_);
        std::swap(capacity_, block.capacity_);
        buffer_ = pages_[0].bytes;
        at_ = end - left;
        filled_ = end;
    }

    /// Reads until `wanted` bytes from at_ on are in the buffer. Returns false if the stream ends before that.
    bool fill(std::size_t wanted) {
        // The rest is moved to end right before a page, so that reading fills whole pages. The kernel copies pages to
        // pages in four fifths of the time of any other copy.
        const std::size_t left = filled_ - at_;
        const std::size_t end = round_up(left);
        if (end - left + wanted > capacity_) {
            capacity_ = page_size + round_up(wanted);
            auto larger = std::make_unique_for_overwrite<Page[]>(capacity_ / page_size);
            std::memcpy(larger[0].bytes + (end - left), &buffer_[at_], left);
            pages_ = std::move(larger);
            buffer_ = pages_[0].bytes;
        } else {
            std::memmove(&buffer_[end - left], &buffer_[at_], left);
        }
        at_ = end - left;
        filled_ = end;
        while (filled_ - at_ < wanted) {
            std::size_t got = 0;
            try {
                // Never read more at once: a large document must not make later reads leave the cache.
                got = source_.read(&buffer_[filled_], std::min(capacity_ - filled_, read_size_));
            } catch (const DataError& error) {
                fail(error);
            }
            if (got == 0) return false;
            filled_ += got;
            read_size_ = std::min(2 * read_size_, buffer_size);
        }
        return true;
    }

    Source source_;
    Check check_;
    bool begun_ = false;
    std::unique_ptr<Position> where_; // allocated apart, because entries point to it and a reader can be moved
    std::size_t capacity_ = page_size + buffer_size;
    std::unique_ptr<Page[]> pages_ = std::make_unique_for_overwrite<Page[]>(capacity_ / page_size);
    char* buffer_ = pages_[0].bytes;
    std::size_t read_size_ = 16 << 10; ///< Small at first, because a long chain is many slices that wait for their turn.
    std::size_t at_ = 0;               ///< The first byte of the current document.
    std::size_t filled_ = 0;           ///< The end of what has been read.
    std::uint32_t size_ = 0;           ///< The size of the current document.
};

/// Reads the entries of a plain, uncompressed oplog.
using PlainReader = BasicReader<FileSource>;

} // namespace oplog

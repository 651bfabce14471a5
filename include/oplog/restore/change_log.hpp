// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/id_key.hpp>
#include <oplog/io/file.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// The kinds of changes of a document.
enum class ChangeKind : std::uint8_t {
    insertion,
    update,
    upsert, ///< An update that creates the document if there is none.
    removal
};

/// A change of one document: a hash of the document's `_id`, and the place of the rest in a ChangeLog. A later change
/// has a larger place.
struct Change {
    std::uint64_t hash;
    std::uint64_t place;

    /// The kind of change, which is a part of `place`.
    ChangeKind kind() const noexcept { return static_cast<ChangeKind>(place & 3); }
    /// Whether this is an update or an upsert.
    bool updates() const noexcept { return kind() == ChangeKind::update || kind() == ChangeKind::upsert; }
    /// The offset in the log.
    std::uint64_t offset() const noexcept { return place >> 2; }
    friend bool operator==(const Change&, const Change&) noexcept = default;
};
/// The changes of one collection.
using ChangeList = std::vector<Change>;

/// Stores changes of documents in an unnamed temporary file, so that memory holds only 16 bytes for each. It is first
/// written and then, after seal(), read by any number of threads.
class ChangeLog {
  public:
    /// Makes the file in `directory`. With fewer bits in a hash there are more hash collisions, which is slower but
    /// still right. Throws std::system_error.
    explicit ChangeLog(const std::string& directory, unsigned hash_bits = 64)
        : name_(directory + "/temporary file"), hash_shift_(64 - hash_bits), file_(detail::unnamed_file(directory)),
          buffer_(std::make_unique_for_overwrite<char[]>(buffer_size)) {}
    ChangeLog(const ChangeLog&) = delete;
    ~ChangeLog() {
        if (map_) ::munmap(const_cast<char*>(map_), size_);
    }

    /// Stores a word with the change that is appended next; see tag().
    void append_tag(std::uint64_t tag) { put({reinterpret_cast<const char*>(&tag), sizeof tag}); }
    /// Stores a change. `document` has the `_id`: it is what is inserted or removed or, for an update or upsert, its
    /// o2. `update` is the o of an update or upsert. Throws DataError for a malformed `_id`.
    void append(ChangeList& list, ChangeKind kind, const bson::Document& document, const bson::Document& update) {
        key_.clear();
        append_id_key(key_, document);
        list.push_back({hash(key_), size_ << 2 | static_cast<std::uint64_t>(kind)});
        put(document.bytes());
        if (list.back().updates()) put(update.bytes());
    }
    /// Stores a whole entry to be read again. Returns its offset.
    std::uint64_t append_entry(std::string_view bytes) {
        const std::uint64_t offset = size_;
        put(bytes);
        return offset;
    }
    /// Reads an entry that append_entry() stored. Works before seal().
    std::string read_entry(std::uint64_t offset) {
        flush();
        std::uint32_t size = 0;
        read_at(offset, reinterpret_cast<char*>(&size), sizeof size);
        std::string bytes(size, '\0');
        read_at(offset, bytes.data(), size);
        return bytes;
    }

    /// Ends writing. From here on, everything that was stored can be read. Throws std::system_error.
    void seal() {
        flush();
        buffer_.reset();
        if (size_ == 0) return;
        void* const map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file_.get(), 0);
        if (map == MAP_FAILED) detail::throw_errno(name_);
        map_ = static_cast<const char*>(map);
    }
    /// The word that append_tag() stored with a change.
    std::uint64_t tag(const Change& change) const noexcept {
        return bson::load<std::uint64_t>(map_ + change.offset() - sizeof(std::uint64_t));
    }
    /// The entry that append_entry() stored. Call this after seal().
    bson::Document entry(std::uint64_t offset) const noexcept { return bson::Document::trusted(map_ + offset); }
    /// The place of the next change. It is larger than the place of every change before, and not larger than that of
    /// any change after.
    std::uint64_t next_place() const noexcept { return size_ << 2; }
    /// The document with the `_id` of a change; see append().
    bson::Document document(const Change& change) const noexcept { return bson::Document::trusted(map_ + change.offset()); }
    /// The `o` of an update or upsert.
    bson::Document update(const Change& change) const noexcept {
        return bson::Document::trusted(map_ + change.offset() + document(change).size());
    }

    /// The hash of a key that id_key() made.
    std::uint64_t hash(std::string_view key) const noexcept { return std::hash<std::string_view>{}(key) >> hash_shift_; }

  private:
    static constexpr std::size_t buffer_size = 1 << 20;

    void put(std::string_view bytes) {
        if (filled_ + bytes.size() > buffer_size) flush();
        if (bytes.size() > buffer_size)
            detail::write_all(file_.get(), bytes.data(), bytes.size(), name_);
        else
            filled_ += bytes.copy(&buffer_[filled_], bytes.size());
        size_ += bytes.size();
    }
    void flush() { detail::write_all(file_.get(), buffer_.get(), std::exchange(filled_, 0), name_); }
    void read_at(std::uint64_t offset, char* data, std::size_t size) const {
        while (size > 0) {
            const ::ssize_t got = ::pread(file_.get(), data, size, static_cast<::off_t>(offset));
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) detail::throw_errno(name_, got < 0 ? errno : EIO);
            data += got;
            offset += static_cast<std::uint64_t>(got);
            size -= static_cast<std::size_t>(got);
        }
    }

    std::string name_;
    unsigned hash_shift_;
    detail::Descriptor file_;
    std::unique_ptr<char[]> buffer_;
    std::size_t filled_ = 0;
    std::uint64_t size_ = 0; ///< The bytes stored so far.
    const char* map_ = nullptr;
    std::string key_;
};

} // namespace oplog

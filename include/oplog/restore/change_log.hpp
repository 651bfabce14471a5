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

enum class ChangeKind : std::uint8_t {
    insertion,
    update,
    upsert, ///< an update that makes the document when there is none
    removal
};

/// A change of one document: which (a hash of its `_id`), and where the rest of it is. Later changes have larger places.
struct Change {
    std::uint64_t hash;
    std::uint64_t place;

    ChangeKind kind() const noexcept { return static_cast<ChangeKind>(place & 3); }
    bool updates() const noexcept { return kind() == ChangeKind::update || kind() == ChangeKind::upsert; }
    std::uint64_t offset() const noexcept { return place >> 2; }
    friend bool operator==(const Change&, const Change&) noexcept = default;
};
using ChangeList = std::vector<Change>;

/// Document changes put aside in a nameless temporary file, so that memory holds 16 bytes for each. Written first, then,
/// after seal(), read by any number of threads.
class ChangeLog {
  public:
    /// `directory` is where the file is made. With fewer bits more `_id`s share a hash, which is slow, and right. Throws std::system_error.
    explicit ChangeLog(const std::string& directory, unsigned hash_bits = 64)
        : name_(directory + "/temporary file"), hash_shift_(64 - hash_bits), file_(detail::unnamed_file(directory)), buffer_(std::make_unique_for_overwrite<char[]>(buffer_size)) {
    }
    ChangeLog(const ChangeLog&) = delete;
    ~ChangeLog() {
        if (map_) ::munmap(const_cast<char*>(map_), size_);
    }

    /// Puts a word aside, to be asked of the change that is appended next.
    void append_tag(std::uint64_t tag) { put({reinterpret_cast<const char*>(&tag), sizeof tag}); }
    /// Puts a change aside. `document` has the `_id`: what is inserted or removed, or, of an update or upsert, its o2;
    /// `update` is then its o. Throws DataError for an `_id` that is malformed.
    void append(ChangeList& list, ChangeKind kind, const bson::Document& document, const bson::Document& update) {
        key_.clear();
        append_id_key(key_, document);
        list.push_back({hash(key_), size_ << 2 | static_cast<std::uint64_t>(kind)});
        put(document.bytes());
        if (list.back().updates()) put(update.bytes());
    }
    /// Puts a whole entry aside, to be read again. Yields where it is.
    std::uint64_t append_entry(std::string_view bytes) {
        const std::uint64_t offset = size_;
        put(bytes);
        return offset;
    }
    std::string read_entry(std::uint64_t offset) {
        flush();
        std::uint32_t size = 0;
        read_at(offset, reinterpret_cast<char*>(&size), sizeof size);
        std::string bytes(size, '\0');
        read_at(offset, bytes.data(), size);
        return bytes;
    }

    /// No more will be written.
    void seal() {
        flush();
        buffer_.reset();
        if (size_ == 0) return;
        void* const map = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file_.get(), 0);
        if (map == MAP_FAILED) detail::throw_errno(name_);
        map_ = static_cast<const char*>(map);
    }
    /// What append_tag() was told before the change.
    std::uint64_t tag(const Change& change) const noexcept { return bson::load<std::uint64_t>(map_ + change.offset() - sizeof(std::uint64_t)); }
    /// What append_entry() was told, after seal().
    bson::Document entry(std::uint64_t offset) const noexcept { return bson::Document::trusted(map_ + offset); }
    /// Where the next change will be: larger than any place of a change before, and no larger than any after.
    std::uint64_t next_place() const noexcept { return size_ << 2; }
    /// What has the `_id`.
    bson::Document document(const Change& change) const noexcept { return bson::Document::trusted(map_ + change.offset()); }
    /// The `o` of an update or upsert.
    bson::Document update(const Change& change) const noexcept {
        return bson::Document::trusted(map_ + change.offset() + document(change).size());
    }

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
    void flush() {
        detail::write_all(file_.get(), buffer_.get(), std::exchange(filled_, 0), name_);
    }
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
    std::uint64_t size_ = 0; ///< of what was put aside
    const char* map_ = nullptr;
    std::string key_;
};

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/entry.hpp>
#include <oplog/io/file.hpp>
#include <oplog/io/reader.hpp>
#include <oplog/stream/range_in_parts.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

namespace detail {

/// Reads a file in parts with several threads, which split them into entries while earlier parts are used.
///
/// A part begins where guess_entry() guesses an entry, and has the entries that begin in it. The guess is proved if the part before
/// it ends there with a whole entry; otherwise the part is split once more.
template <class Sieve>
class SiftedParts {
  public:
    struct Part {
        std::vector<EntryView> entries;
        std::uint64_t from = 0, to = 0;   ///< The entries begin within these offsets.
        std::uint64_t first = 0, end = 0; ///< Where the first entry begins and the last one ends.
        const char* bytes = nullptr;      ///< The bytes at `from`.
        bool is_broken = false;           ///< There is no entry at `end`.
    };

    /// The entries point to `where`. `sieve` and `where` outlive this object.
    SiftedParts(const std::string& path, std::uint64_t from, const Sieve& sieve, const Position& where)
        : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), start_(from), sieve_(&sieve), where_(&where) {
        struct stat info {};
        if (!file_.is_open() || ::fstat(file_.get(), &info) != 0 || !S_ISREG(info.st_mode)) throw_errno(path);
        size_ = std::max(static_cast<std::uint64_t>(info.st_size), from);
        count_ = (size_ - start_ + part_size - 1) / part_size;
        const std::size_t threads = std::clamp(std::thread::hardware_concurrency(), 1u, 4u);
        slots_.resize(threads + 2);
        for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
    }

    int file() const noexcept { return file_.get(); }
    /// Returns the next part, valid until the next call, with the entries from the offset `from` on; it has none if an earlier
    /// entry reaches beyond it. Returns null at the end.
    const Part* next(std::uint64_t from) {
        std::unique_lock lock(mutex_);
        if (current_ < count_ && is_taken_) {
            slots_[current_++ % slots_.size()].is_ready = false;
            changed_.notify_all();
        }
        is_taken_ = true;
        if (current_ == count_) return nullptr;
        Slot& slot = slots_[current_ % slots_.size()];
        changed_.wait(lock, [&] { return slot.is_ready; });
        lock.unlock();
        if (slot.part.first != from) take_apart(slot, from);
        return &slot.part;
    }

  private:
    static constexpr std::size_t part_size = 512 << 10, more = 16 << 10; ///< `more` is usually enough for the last entry.

    struct Slot {
        Part part;
        std::unique_ptr<char[]> bytes;
        std::size_t capacity = 0, filled = 0;
        bool is_ready = false;
    };

    void work(const std::stop_token& stop) {
        for (;;) {
            std::unique_lock lock(mutex_);
            if (!changed_.wait(lock, stop, [&] { return begun_ == count_ || begun_ < current_ + slots_.size(); }) || begun_ == count_)
                return;
            const std::uint64_t number = begun_++;
            lock.unlock();
            Slot& slot = slots_[number % slots_.size()];
            read(slot, number);
            lock.lock();
            slot.is_ready = true;
            changed_.notify_all();
        }
    }
    void read(Slot& slot, std::uint64_t number) noexcept {
        Part& part = slot.part;
        part.from = start_ + number * part_size;
        part.to = std::min(part.from + part_size, size_);
        part.entries.clear();
        part.first = part.end = std::numeric_limits<std::uint64_t>::max(); // nowhere
        slot.filled = 0;
        try {
            fill(slot, part_size + more);
            const auto guess = number == 0 ? 0 : guess_entry({slot.bytes.get(), slot.filled});
            if (guess) take_apart(slot, part.from + *guess);
        } catch (const std::exception&) { // splitting it once more will report it
        }
    }
    /// Reads up to `wanted` bytes of the part, or to the end of the file.
    void fill(Slot& slot, std::size_t wanted) {
        if (slot.capacity < wanted) {
            auto larger = std::make_unique_for_overwrite<char[]>(wanted);
            std::copy_n(slot.bytes.get(), slot.filled, larger.get());
            slot.bytes = std::move(larger);
            slot.capacity = wanted;
            slot.part.bytes = slot.bytes.get();
        }
        PartSource source(file_.get(), slot.part.from + slot.filled, size_);
        while (slot.filled < wanted) {
            const std::size_t got = source.read(&slot.bytes[slot.filled], wanted - slot.filled);
            if (got == 0) return;
            slot.filled += got;
        }
    }
    void take_apart(Slot& slot, std::uint64_t first) {
        Part& part = slot.part;
        part.entries.clear();
        part.first = part.end = first;
        part.is_broken = false;
        while (part.end < part.to) {
            const std::size_t at = part.end - part.from;
            const char* const before = slot.bytes.get();
            if (slot.filled < at + bson::min_document_size) fill(slot, at + bson::min_document_size);
            const std::uint32_t size = slot.filled < at + bson::min_document_size ? 0 : bson::load<std::uint32_t>(&slot.bytes[at]);
            if (size >= bson::min_document_size && size <= bson::max_document_size && slot.filled - at < size) fill(slot, at + size);
            if (slot.bytes.get() != before) return take_apart(slot, first); // entries are views
            const auto document = bson::Document::trusted(&slot.bytes[at]);
            part.is_broken = size < bson::min_document_size || size > slot.filled - at || size > bson::max_document_size ||
                             slot.bytes[at + size - 1] != 0 || bson::is_nested_too_deeply(document);
            if (part.is_broken) return;
            try {
                const UsualFields usual(document); // the walk for both
                EntryView entry(document, where_, usual);
                entry.set_passed_by((*sieve_)(entry, usual));
                part.entries.push_back(entry);
            } catch (const DataError&) {
                part.is_broken = true;
                return;
            }
            part.end += size;
        }
    }

    Descriptor file_;
    std::uint64_t start_, size_ = 0;
    const Sieve* sieve_;
    const Position* where_;
    std::uint64_t count_ = 0; ///< The number of parts.

    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::vector<Slot> slots_;
    std::uint64_t begun_ = 0, current_ = 0; ///< Parts that threads have begun, and the one in use.
    bool is_taken_ = false;                 ///< next() has returned the current part.
    std::vector<std::jthread> threads_;     ///< The last member, so that it goes first.
};

} // namespace detail

/// Reads a slice and asks `sieve(entry)` of each entry whether it does not matter; EntryView::is_passed_by() has the answer. Several
/// threads read a large plain file and ask, about as fast as range_in_parts() reads. Entries and errors are otherwise those of the reader
/// `In` with Check::frame.
///
///     oplog::SiftedReader in(oplog::Reader{path}, path, history.sieve());
///     for (const oplog::EntryView& entry : in)
///         if (!entry.is_passed_by()) history.add(entry);
template <class In, class Sieve>
class SiftedReader {
  public:
    /// `in` reads the file `path` and has read nothing yet. The sieve outlives this object. `on_read` is called on the calling thread
    /// with the number of bytes that were read by others than `in`.
    SiftedReader(In in, std::string path, const Sieve& sieve, std::function<void(std::size_t)> on_read = {})
        : in_(std::move(in)), path_(std::move(path)), sieve_(&sieve), on_read_(std::move(on_read)) {}

    /// Moves to the next entry. Returns false at the end.
    bool next() {
        switch (reads_) {
        case Reads::beginning:
            if (in_.bytes() >= beginning && !tried_ && go_parallel()) break;
            return next_of(in_);
        case Reads::parts: break;
        case Reads::rest: return next_of(*rest_);
        }
        if (at_ < entries_end_) {
            where_->offset = part_from_ + static_cast<std::uint64_t>(at_->document().data() -
                                                                     part_bytes_); // the entry's bytes are in another core's cache
            ++where_->document;
            current_.emplace(*at_++);
            return true;
        }
        return next_part();
    }
    /// The entry that next() moved to, valid until the next call.
    const EntryView& current() const noexcept { return *current_; }

    using iterator = detail::SourceIterator<SiftedReader, Entry>;
    /// Reads the first entry. Throws ArgumentError when called a second time, because an entry would be lost.
    iterator begin() {
        if (in_.bytes() > 0) throw ArgumentError(path_ + ": a reader's documents are read once: make another reader to read them again");
        return iterator(*this);
    }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    using Rest = BasicReader<detail::PartSource>;
    using Parts = detail::SiftedParts<Sieve>;
    enum class Reads { beginning, parts, rest };
    static constexpr std::uint64_t beginning = 1 << 20,
                                   least = 16 << 20; ///< A long chain has many slices, most of which wait for their turn.

    /// Lets threads read what follows the current entry, if the file is plain and large.
    bool go_parallel() {
        tried_ = true;
        const std::string_view entry = current_->bytes();
        const detail::Descriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
        struct stat info {};
        if (!file.is_open() || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode) || std::thread::hardware_concurrency() < 2 ||
            static_cast<std::uint64_t>(info.st_size) < in_.bytes() + least)
            return false;
        std::string there(entry.size(), '\0'); // in a compressed file the entry is not there
        if (detail::PartSource(file.get(), in_.where().offset, in_.bytes()).read(there.data(), there.size()) != there.size() ||
            there != entry)
            return false;
        where_ = std::make_unique<Position>(in_.where());
        from_ = in_.bytes();
        try {
            parts_ = std::make_unique<Parts>(path_, in_.bytes(), *sieve_, *where_);
        } catch (const std::exception&) { // no thread can be started
            return false;
        }
        reads_ = Reads::parts;
        return true;
    }
    bool next_part() {
        while (!is_last_) {
            const auto* const part = parts_->next(from_);
            if (!part) break;
            if (on_read_) on_read_(part->to - part->from);
            is_last_ = part->is_broken;
            from_ = part->end;
            part_from_ = part->from;
            part_bytes_ = part->bytes;
            at_ = part->entries.data();
            entries_end_ = at_ + part->entries.size();
            if (at_ < entries_end_) return next();
        }
        // an ordinary reader reports what is wrong, and reads what was appended to the file meanwhile
        const int copy = ::fcntl(parts_->file(), F_DUPFD_CLOEXEC, 0);
        if (copy < 0) detail::throw_errno(path_);
        rest_file_ = detail::Descriptor(copy);
        rest_.emplace(detail::PartSource(rest_file_.get(), from_, std::numeric_limits<std::uint64_t>::max()),
                      Position{where_->file, from_, where_->document});
        parts_.reset();
        reads_ = Reads::rest;
        return next_of(*rest_);
    }
    template <class Reader>
    bool next_of(Reader& reader) {
        if (!reader.next()) return false;
        current_.emplace(reader.current());
        current_->set_passed_by((*sieve_)(*current_));
        return true;
    }

    In in_;
    std::string path_;
    const Sieve* sieve_;
    std::function<void(std::size_t)> on_read_;
    Reads reads_ = Reads::beginning;
    bool tried_ = false; ///< Whether go_parallel() was called.
    bool is_last_ = false;
    std::unique_ptr<Position> where_; ///< Allocated, because entries point to it and a reader can be moved.
    std::uint64_t from_ = 0;          ///< Where the entries of the next part begin.
    std::unique_ptr<Parts> parts_;
    const EntryView *at_ = nullptr, *entries_end_ = nullptr; ///< Of the current part.
    std::uint64_t part_from_ = 0;
    const char* part_bytes_ = nullptr;
    detail::Descriptor rest_file_;
    std::optional<Rest> rest_;
    std::optional<EntryView> current_;
};

} // namespace oplog

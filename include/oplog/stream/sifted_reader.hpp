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

/// Whether a SiftedReader yields the entries too that pass the sieve by.
template <class Sieve>
constexpr bool keeps_all = requires {
    requires Sieve::keeps_all;
};

/// Has several threads read the parts of a file, and keep of each the entries that matter.
///
/// A part begins where guess_entry() guesses an entry, and has the entries that begin in it. The guess is proved if the part before
/// it ends there with a whole entry; otherwise the part is read once more.
template <class Sieve>
class SiftedParts {
  public:
    /// Where an entry is.
    struct Place {
        std::uint64_t offset = 0;   ///< In the file.
        std::uint64_t document = 0; ///< How many entries the part has before it.
        std::size_t at = 0;         ///< In Part::bytes.
        bool is_passed_by = false;
    };
    struct Part {
        std::uint64_t from = 0, to = 0;   ///< The entries begin within these offsets.
        std::uint64_t begin = 0, end = 0; ///< Where the first one begins and the last one ends.
        std::uint64_t entries = 0;        ///< How many there are.
        Timestamp first{}, last{};        ///< Of the first and the last one.
        bool is_good = false;             ///< All could be read, and their ts rise.
        std::vector<Place> kept{};        ///< The entries that matter, and the last one.
        std::string bytes{};              ///< Of these, one after the other.
    };

    /// Begins to read the file at the offset `from`. `sieve` outlives this object.
    SiftedParts(const std::string& path, std::uint64_t from, const Sieve& sieve)
        : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), sieve_(&sieve), start_(from) {
        struct stat info {};
        if (!file_.is_open() || ::fstat(file_.get(), &info) != 0 || !S_ISREG(info.st_mode)) throw_errno(path);
        size_ = std::max(static_cast<std::uint64_t>(info.st_size), from);
        count_ = (size_ - start_ + part_size - 1) / part_size;
        const std::size_t threads = std::clamp(std::thread::hardware_concurrency(), 1u, 4u);
        slots_.resize(threads + 2);
        for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
    }

    int file() const noexcept { return file_.get(); }
    /// Returns the next part, valid until the next call, with the entries from the offset `begin` on; it has none if an earlier
    /// entry reaches beyond it. Returns null at the end.
    const Part* next(std::uint64_t begin) {
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
        if (slot.part.begin != begin) read(slot.part, begin);
        return &slot.part;
    }

  private:
    static constexpr std::uint64_t part_size = keeps_all<Sieve> ? 512 << 10 : 8 << 20; // which memory has, or some of it

    struct Slot {
        Part part;
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
            slot.part.from = start_ + number * part_size;
            slot.part.to = std::min(slot.part.from + part_size, size_);
            guess_and_read(slot.part);
            lock.lock();
            slot.is_ready = true;
            changed_.notify_all();
        }
    }
    void guess_and_read(Part& part) noexcept {
        part.begin = std::numeric_limits<std::uint64_t>::max(); // nowhere, until something is guessed
        try {
            if (const auto guess = part.from == start_ ? start_ : guess_entry(file_.get(), path_, part.from, 64 << 10)) read(part, *guess);
        } catch (const std::exception&) { // reading it once more will report it
        }
    }
    void read(Part& part, std::uint64_t begin) {
        part = {
            .from = part.from, .to = part.to, .begin = begin, .end = begin, .kept = std::move(part.kept), .bytes = std::move(part.bytes)};
        part.kept.clear();
        part.bytes.clear();
        BasicReader<PartSource, bson::Document> in(PartSource(file_.get(), path_, begin, size_), std::string());
        const auto keep = [&](const bson::Document& document, bool is_passed_by) {
            part.kept.push_back({part.end - document.size(), part.entries - 1, part.bytes.size(), is_passed_by});
            part.bytes += document.bytes();
        };
        try {
            while (part.end < part.to) {
                if (!in.next()) return;
                const bson::Document document = in.current();
                const UsualFields usual(document); // the walk for both
                const EntryView entry(document, nullptr, usual);
                if (part.entries++ == 0)
                    part.first = entry.ts();
                else if (entry.ts() <= part.last)
                    return;
                part.last = entry.ts();
                part.end += document.size();
                const bool is_passed_by = (*sieve_)(entry, usual);
                if (keeps_all<Sieve> || !is_passed_by || part.end >= part.to) keep(document, is_passed_by);
            }
            part.is_good = true;
        } catch (const DataError&) {
        }
    }

    std::string path_;
    Descriptor file_;
    const Sieve* sieve_;
    std::uint64_t start_, size_ = 0;
    std::uint64_t count_ = 0; ///< The number of parts.

    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::vector<Slot> slots_;
    std::uint64_t begun_ = 0, current_ = 0; ///< Parts that threads have begun, and the one in use.
    bool is_taken_ = false;                 ///< next() has returned the current part.
    std::vector<std::jthread> threads_;     ///< The last member, so that it goes first.
};

} // namespace detail

/// Reads a slice and asks `sieve(entry)` of each entry whether it does not matter; EntryView::is_passed_by() has the answer. After
/// pass_over() it leaves most of those out, and several threads read a large plain file, about as fast as range_in_parts() reads.
/// Entries and errors are otherwise those of the reader `In` with Check::frame.
///
///     oplog::SiftedReader in(oplog::Reader{path}, path, history.sieve());
///     in.pass_over(oplog::Timestamp::max());
///     for (const oplog::EntryView& entry : in)
///         if (!entry.is_passed_by()) history.add(entry);
///
/// A sieve with `static constexpr bool keeps_all = true` says instead which entries need no closer look, as OrdinarySieve does. Then the
/// reader leaves out none, and threads are at work on any large plain file.
template <class In, class Sieve>
class SiftedReader {
  public:
    /// `in` reads the file `path` and has read nothing yet. The sieve outlives this object. `on_read` is called on the calling thread
    /// with the number of bytes that were read by others than `in`.
    SiftedReader(In in, std::string path, const Sieve& sieve, std::function<void(std::size_t)> on_read = {})
        : in_(std::move(in)), path_(std::move(path)), sieve_(&sieve), on_read_(std::move(on_read)) {}

    /// Lets next() leave out entries that do not matter and come before `horizon`. Merge calls this for the slice that alone has the
    /// entries up to there. The entries left out have been read: they are whole, and in order.
    void pass_over(Timestamp horizon) noexcept { horizon_ = horizon; }

    /// Moves to the next entry. Returns false at the end.
    bool next() {
        switch (reads_) {
        case Reads::beginning:
            if (in_.bytes() >= beginning && !tried_ && current_->ts() < horizon_ && go_parallel()) break;
            return next_of(in_);
        case Reads::parts: break;
        case Reads::rest: return next_of(*rest_);
        }
        if (part_ && ++at_ < part_->kept.size()) return show();
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
    // A long chain has many slices, most of which wait for their turn.
    static constexpr std::uint64_t beginning = detail::keeps_all<Sieve> ? 256 << 10 : 1 << 20, least = 16 * beginning;

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
        if (detail::PartSource(file.get(), path_, in_.where().offset, in_.bytes()).read(there.data(), there.size()) != there.size() ||
            there != entry)
            return false;
        where_ = std::make_unique<Position>(in_.where());
        documents_ = where_->document;
        from_ = in_.bytes();
        last_ = current_->ts();
        try {
            parts_ = std::make_unique<Parts>(path_, from_, *sieve_);
        } catch (const std::exception&) { // no thread can be started
            return false;
        }
        reads_ = Reads::parts;
        return true;
    }
    bool next_part() {
        for (;;) {
            if (part_) documents_ += part_->entries;
            part_ = parts_->next(from_);
            if (!part_ || !part_->is_good) break;
            if (part_->entries > 0 && (part_->first <= last_ || part_->last >= horizon_)) break;
            if (on_read_) on_read_(part_->to - part_->from);
            if (part_->entries == 0) continue;
            from_ = part_->end;
            last_ = part_->last;
            at_ = 0;
            return show();
        }
        // an ordinary reader reports what is wrong, and reads what was appended to the file meanwhile
        const int copy = ::fcntl(parts_->file(), F_DUPFD_CLOEXEC, 0);
        if (copy < 0) detail::throw_errno(path_);
        rest_file_ = detail::Descriptor(copy);
        rest_.emplace(detail::PartSource(rest_file_.get(), path_, from_, std::numeric_limits<std::uint64_t>::max(), on_read_),
                      Position{where_->file, from_, documents_});
        parts_.reset();
        reads_ = Reads::rest;
        return next_of(*rest_);
    }
    /// Makes the kept entry at `at_` the current one.
    bool show() {
        const auto& place = part_->kept[at_];
        where_->offset = place.offset;
        where_->document = documents_ + place.document + 1;
        current_.emplace(bson::Document::trusted(part_->bytes.data() + place.at), where_.get());
        current_->set_passed_by(place.is_passed_by);
        return true;
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
    Timestamp horizon_ = detail::keeps_all<Sieve> ? Timestamp::max() : Timestamp();
    Reads reads_ = Reads::beginning;
    bool tried_ = false;              ///< Whether go_parallel() was called.
    std::unique_ptr<Position> where_; ///< Allocated, because entries point to it and a reader can be moved.
    std::unique_ptr<Parts> parts_;
    const typename Parts::Part* part_ = nullptr; ///< The current part.
    std::size_t at_ = 0;                         ///< Which of its kept entries is the current one.
    std::uint64_t documents_ = 0;                ///< How many entries come before the part.
    std::uint64_t from_ = 0;                     ///< Where the entries of the next part begin.
    Timestamp last_;                             ///< The last entry before those.
    detail::Descriptor rest_file_;
    std::optional<Rest> rest_;
    std::optional<EntryView> current_;
};

} // namespace oplog

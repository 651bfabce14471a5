// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/bson/id_key.hpp>
#include <oplog/io/files.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// The result of comparing the documents of a collection at two times, or in two places.
struct DocumentCounts {
    std::uint64_t added = 0, removed = 0, changed = 0, same = 0;
    bool reordered = false; ///< Whether the documents that both sides have stand in another order; see DocumentComparison::Options.

    /// Whether there is any difference.
    bool differ() const noexcept { return added > 0 || removed > 0 || changed > 0 || reordered; }
};

/// Compares two sequences of documents, each of which is read once, in any order. Documents with the same `_id`, as the
/// server compares it, belong together. They are equal if their bytes are. An `_id` that occurs twice in a sequence
/// counts twice.
///
/// Documents wait for their partners in 64 MiB of memory. If that is not enough, documents go into temporary files by the
/// hashes of their `_id`s, and each file is then compared by itself, in as much memory. Sequences in about the same order
/// need little of either. Writing the files takes another 4 MiB.
class DocumentComparison {
  public:
    /// The options of a comparison.
    struct Options {
        std::string scratch = ".";     ///< A directory for temporary files, which together are at most as large as the two sequences.
        std::size_t memory = 64 << 20; ///< Bytes of waiting documents.
        bool ordered = false;          ///< Whether the order counts. A temporary file then takes 8 bytes for each document.
    };
    /// Called with each document that differs; null stands for a missing document.
    using Report = std::function<void(const bson::Document* before, const bson::Document* after)>;

    /// `report` may be empty.
    DocumentComparison(Options options, Report report) : options_(std::move(options)), report_(std::move(report)) {}

    /// Compares the sequences. `before.next()` and `after.next()` return std::optional<std::string_view>, valid until
    /// the next call. Call this once. Throws DataError for a malformed `_id`, and std::system_error.
    template <class Before, class After>
    DocumentCounts compare(Before& before, After& after) {
        Join join(*this, 0);
        std::uint64_t a_place = 0, b_place = 0;
        auto a = before.next(), b = after.next();
        const auto pass_a = [&] { a = before.next(), ++a_place; };
        const auto pass_b = [&] { b = after.next(), ++b_place; };
        while (a && b) { // a document whose partner passed before advances alone, so that the sequences get back into step
            if (*a == *b) {
                pair(*a, *b, a_place, b_place);
                pass_a(), pass_b();
                continue;
            }
            id_key(*a, keys_[0]), id_key(*b, keys_[1]);
            if (keys_[0] == keys_[1]) {
                pair(*a, *b, a_place, b_place);
                pass_a(), pass_b();
            } else if (join.meet(first, keys_[0], *a, a_place)) {
                pass_a();
            } else if (join.meet(second, keys_[1], *b, b_place)) {
                pass_b();
            } else {
                join.wait(first, keys_[0], *a, a_place);
                join.wait(second, keys_[1], *b, b_place);
                pass_a(), pass_b();
            }
        }
        for (; a; pass_a()) join.add_last(first, *a, a_place);
        for (; b; pass_b()) join.add_last(second, *b, b_place);
        join.finish();
        if (order_) counts_.reordered = order_->differs();
        return counts_;
    }

  private:
    enum Side : std::uint8_t { first, second };

    /// A temporary file for documents. Before each document stands its origin.
    class Partition {
      public:
        explicit Partition(const std::string& directory) : name_(directory + "/temporary file"), file_(detail::unnamed_file(directory)) {}
        void write(Side side, std::uint64_t place, std::uint64_t hash, std::string_view document) {
            std::string head("\x19\0\0\0\x12\0"
                             "--------"
                             "\x12\0"
                             "--------",
                             head_size); // a document of two numbers
            const std::uint64_t from = place << 1 | side;
            std::memcpy(&head[6], &from, sizeof from);
            std::memcpy(&head[16], &hash, sizeof hash);
            buffer_ += head;
            buffer_ += document;
            ++documents_;
            if (buffer_.size() >= 64 << 10) flush();
        }
        /// How much memory load() takes.
        std::size_t cost() const noexcept { return written_ + buffer_.size() + documents_ * sizeof(Record); }
        /// Calls use(side, place, document) for everything that was written.
        template <class Use>
        void read(Use use) {
            flush();
            buffer_ = {};
            DocumentReader documents(InputSource("/proc/self/fd/" + std::to_string(file_.get())), name_);
            while (documents.next()) {
                const auto from = static_cast<std::uint64_t>(documents.current().begin()->integer());
                documents.next();
                use(static_cast<Side>(from & 1), from >> 1, documents.current().bytes());
            }
        }
        struct Record {
            std::uint64_t hash, from;
            const char* document;

            Side side() const noexcept { return static_cast<Side>(from & 1); }
            std::uint64_t place() const noexcept { return from >> 1; }
        };
        /// All that was written, as views of `bytes`.
        void load(std::string& bytes, std::vector<Record>& records) {
            flush();
            buffer_ = {};
            bytes.resize(written_);
            FileSource in("/proc/self/fd/" + std::to_string(file_.get()));
            for (std::size_t done = 0; done < bytes.size();) {
                const std::size_t got = in.read(&bytes[done], bytes.size() - done);
                if (got == 0) detail::throw_errno(name_, EIO);
                done += got;
            }
            records.clear();
            records.reserve(documents_);
            for (std::size_t at = 0; at < bytes.size();) {
                records.push_back(
                    {bson::load<std::uint64_t>(&bytes[at + 16]), bson::load<std::uint64_t>(&bytes[at + 6]), &bytes[at + head_size]});
                at += head_size + bson::load<std::uint32_t>(&bytes[at + head_size]);
            }
        }

      private:
        static constexpr std::size_t head_size = 25;

        void flush() {
            detail::write_all(file_.get(), buffer_.data(), buffer_.size(), name_);
            written_ += buffer_.size();
            buffer_.clear();
        }

        std::string name_;
        detail::Descriptor file_;
        std::string buffer_;
        std::size_t written_ = 0, documents_ = 0;
    };

    /// Pairs documents with the same `_id`. `level` is how many times these documents were already divided by hashes.
    class Join {
      public:
        Join(DocumentComparison& comparison, unsigned level) : comparison_(&comparison), level_(level) {}

        /// Whether the partner was waiting. If so, the two are paired.
        bool meet(Side side, const std::string& key, std::string_view document, std::uint64_t place) {
            Waiting& others = waiting_[1 - side];
            if (others.empty()) return false;
            const auto found = others.find(key);
            if (found == others.end()) return false;
            const Document& other = found->second;
            if (side == first)
                comparison_->pair(document, other.bytes, place, other.place);
            else
                comparison_->pair(other.bytes, document, other.place, place);
            waiting_bytes_ -= cost(*found);
            others.erase(found);
            return true;
        }
        void wait(Side side, const std::string& key, std::string_view document, std::uint64_t place) {
            if (!partitions_.empty()) return put(side, key, document, place);
            waiting_bytes_ += cost(*waiting_[side].emplace(key, Document{std::string(document), place}));
            if (waiting_bytes_ > comparison_->options_.memory && level_ < levels) divide();
        }
        /// Adds a document after the other side has ended.
        void add_last(Side side, std::string_view document, std::uint64_t place) {
            if (waiting_[1 - side].empty() && partitions_.empty()) return comparison_->alone(side, document);
            std::string& key = comparison_->keys_[side];
            id_key(document, key);
            if (meet(side, key, document, place)) return;
            if (partitions_.empty())
                comparison_->alone(side, document);
            else
                put(side, key, document, place);
        }
        void finish() {
            if (partitions_.empty()) return finish_here();
            for (auto& partition : partitions_) {
                if (!partition) continue;
                if (partition->cost() <= comparison_->options_.memory) {
                    join_in_memory(*partition);
                    partition.reset();
                    continue;
                }
                Join join(*comparison_, level_ + 1);
                partition->read([&](Side side, std::uint64_t place, std::string_view document) {
                    std::string& key = comparison_->keys_[side];
                    id_key(document, key);
                    if (!join.meet(side, key, document, place)) join.wait(side, key, document, place);
                });
                partition.reset();
                join.finish();
            }
        }

      private:
        struct Document {
            std::string bytes;
            std::uint64_t place;
        };
        using Record = typename Partition::Record;
        using Waiting = std::unordered_multimap<std::string, Document>;
        static constexpr unsigned bits = 6, levels = 64 / bits; // on the last level only an `_id` that occurs very often is left

        static std::size_t cost(const Waiting::value_type& waiting) { return waiting.first.size() + waiting.second.bytes.size() + 160; }

        void put(Side side, const std::string& key, std::string_view document, std::uint64_t place) {
            const std::uint64_t hash = std::hash<std::string>{}(key);
            auto& partition = partitions_[hash >> (level_ * bits) & ((1 << bits) - 1)];
            if (!partition) partition = std::make_unique<Partition>(comparison_->options_.scratch);
            partition->write(side, place, hash, document);
        }
        /// From here on nothing waits in memory.
        void divide() {
            partitions_.resize(1 << bits);
            for (const Side side : {first, second}) {
                for (const auto& [key, document] : waiting_[side]) put(side, key, document.bytes, document.place);
                waiting_[side] = {};
            }
            waiting_bytes_ = 0;
        }
        /// Sorts what a partition holds by hashes, and then what has the same hash by its keys.
        void join_in_memory(Partition& partition) {
            partition.load(bytes_, records_);
            std::ranges::sort(records_, {}, [](const Record& record) { return std::pair(record.hash, record.from); });
            std::array<std::vector<const Record*>, 2> alone;
            const auto add_alone = [&](const Record& record) { alone[record.side()].push_back(&record); };
            for (auto at = records_.begin(); at != records_.end();) {
                const auto end = std::find_if(at, records_.end(), [&](const Record& record) { return record.hash != at->hash; });
                if (end - at == 1)
                    add_alone(*at);
                else if (end - at == 2 && at[0].side() != at[1].side() && view(at[0]) == view(at[1]))
                    pair(at[0], at[1]);
                else
                    join_same_hash({at, end}, add_alone);
                at = end;
            }
            for (const Side side : {first, second}) {
                std::ranges::sort(alone[side], {}, &Record::from);
                for (const Record* const record : alone[side]) comparison_->alone(side, view(*record));
            }
        }
        template <class Alone>
        void join_same_hash(std::span<const Record> records, Alone alone) {
            std::map<std::string, std::array<std::vector<const Record*>, 2>> by_key;
            for (const Record& record : records) {
                std::string& key = comparison_->keys_[first];
                id_key(view(record), key);
                by_key[key][record.side()].push_back(&record);
            }
            for (const auto& [key, sides] : by_key) {
                const std::size_t pairs = std::min(sides[first].size(), sides[second].size());
                for (std::size_t i = 0; i < pairs; ++i) pair(*sides[first][i], *sides[second][i]);
                for (const auto& side : sides)
                    for (std::size_t i = pairs; i < side.size(); ++i) alone(*side[i]);
            }
        }
        void pair(const Record& one, const Record& other) {
            const Record &a = one.side() == first ? one : other, &b = one.side() == first ? other : one;
            comparison_->pair(view(a), view(b), a.place(), b.place());
        }
        static std::string_view view(const Record& record) { return bson::Document::trusted(record.document).bytes(); }
        void finish_here() {
            for (const Side side : {first, second}) {
                std::vector<const Document*> left;
                for (const auto& [key, document] : waiting_[side]) left.push_back(&document);
                std::ranges::sort(left, {}, &Document::place);
                for (const Document* const document : left) comparison_->alone(side, document->bytes);
                waiting_[side] = {};
            }
        }

        DocumentComparison* comparison_;
        unsigned level_;
        std::array<Waiting, 2> waiting_;
        std::size_t waiting_bytes_ = 0;
        std::vector<std::unique_ptr<Partition>> partitions_; ///< Empty as long as memory suffices.
        std::string bytes_;                                  ///< Of the partition that is in memory.
        std::vector<Record> records_;                        ///< What it holds.
    };

    /// Determines whether the documents that both sides have stand in the same order. It stores for each document of
    /// the first sequence its place in the second one; pairs are found in any order.
    class Order {
      public:
        explicit Order(const std::string& directory) : name_(directory + "/temporary file"), file_(detail::unnamed_file(directory)) {}
        void add(std::uint64_t a_place, std::uint64_t b_place) {
            if (a_place != begin_ + places_.size() || places_.size() == most) flush(a_place);
            places_.push_back(b_place + 1);
        }
        bool differs() {
            flush(0);
            std::uint64_t last = 0;
            std::vector<std::uint64_t> places(most);
            FileSource in("/proc/self/fd/" + std::to_string(file_.get()));
            for (std::size_t rest = 0;;) { // bytes of a number that was read in part
                const std::size_t got = in.read(reinterpret_cast<char*>(places.data()) + rest, most * sizeof last - rest);
                if (got == 0) return false;
                const std::size_t size = rest + got;
                for (std::size_t i = 0; i < size / sizeof last; ++i) {
                    if (places[i] == 0) continue; // it is on one side only
                    if (places[i] < last) return true;
                    last = places[i];
                }
                rest = size % sizeof last;
                if (rest > 0) places[0] = places[size / sizeof last];
            }
        }

      private:
        static constexpr std::size_t most = 8192;

        void flush(std::uint64_t next) {
            const auto* data = reinterpret_cast<const char*>(places_.data());
            for (std::size_t done = 0, size = places_.size() * sizeof(std::uint64_t); done < size;) {
                const ::ssize_t wrote =
                    ::pwrite(file_.get(), data + done, size - done, static_cast<::off_t>(begin_ * sizeof(std::uint64_t) + done));
                if (wrote < 0 && errno == EINTR) continue;
                if (wrote <= 0) detail::throw_errno(name_, wrote < 0 ? errno : EIO);
                done += static_cast<std::size_t>(wrote);
            }
            places_.clear();
            begin_ = next;
        }

        std::string name_;
        detail::Descriptor file_;
        std::uint64_t begin_ = 0;           ///< The place in the first sequence at which `places_` begins.
        std::vector<std::uint64_t> places_; ///< Places in the second sequence, plus one.
    };

    static void id_key(std::string_view document, std::string& key) {
        key.clear();
        append_id_key(key, bson::Document::trusted(document.data()));
    }
    void pair(std::string_view a, std::string_view b, std::uint64_t a_place, std::uint64_t b_place) {
        if (options_.ordered) {
            if (!order_) order_.emplace(options_.scratch);
            order_->add(a_place, b_place);
        }
        if (a == b) {
            ++counts_.same;
            return;
        }
        ++counts_.changed;
        const auto before = bson::Document::trusted(a.data()), after = bson::Document::trusted(b.data());
        if (report_) report_(&before, &after);
    }
    void alone(Side side, std::string_view bytes) {
        const auto document = bson::Document::trusted(bytes.data());
        ++(side == first ? counts_.removed : counts_.added);
        if (report_) report_(side == first ? &document : nullptr, side == first ? nullptr : &document);
    }

    Options options_;
    Report report_;
    DocumentCounts counts_;
    std::optional<Order> order_;
    std::array<std::string, 2> keys_; ///< The keys of the documents that are being compared.
};

} // namespace oplog

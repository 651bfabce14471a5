// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/bson/id_key.hpp>
#include <oplog/io/files.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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
/// Documents wait for their partners in 64 MiB of memory. Any more go into temporary files by the hashes of their
/// `_id`s, and each file is then compared by itself. Sequences in about the same order need little of either. Writing
/// the files takes another 4 MiB.
class DocumentComparison {
  public:
    /// The options of a comparison.
    struct Options {
        std::string scratch = ".";         ///< A directory for temporary files, which together are at most as large as the two sequences.
        std::size_t memory = 64 << 20;     ///< Bytes of waiting documents.
        bool ordered = false;              ///< Whether the order counts. A temporary file then takes 8 bytes for each document.
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
        void write(Side side, std::uint64_t place, std::string_view document) {
            buffer_ += bson::Builder().int64("", static_cast<std::int64_t>(place << 1 | side)).finish();
            buffer_ += document;
            if (buffer_.size() >= 64 << 10) flush();
        }
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

      private:
        void flush() {
            detail::write_all(file_.get(), buffer_.data(), buffer_.size(), name_);
            buffer_.clear();
        }

        std::string name_;
        detail::Descriptor file_;
        std::string buffer_;
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
                wait(side, key, document, place);
        }
        void finish() {
            if (partitions_.empty()) return finish_here();
            divide();
            for (auto& partition : partitions_) {
                if (!partition) continue;
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
        using Waiting = std::unordered_multimap<std::string, Document>;
        static constexpr unsigned bits = 6, levels = 64 / bits; // on the last level only an `_id` that occurs very often is left

        static std::size_t cost(const Waiting::value_type& waiting) { return waiting.first.size() + waiting.second.bytes.size() + 160; }

        void divide() {
            partitions_.resize(1 << bits);
            for (const Side side : {first, second}) {
                for (const auto& [key, document] : waiting_[side]) {
                    auto& partition = partitions_[std::hash<std::string>{}(key) >> (level_ * bits) & ((1 << bits) - 1)];
                    if (!partition) partition = std::make_unique<Partition>(comparison_->options_.scratch);
                    partition->write(side, document.place, document.bytes);
                }
                waiting_[side] = {};
            }
            waiting_bytes_ = 0;
        }
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
                const ::ssize_t wrote = ::pwrite(file_.get(), data + done, size - done, static_cast<::off_t>(begin_ * sizeof(std::uint64_t) + done));
                if (wrote < 0 && errno == EINTR) continue;
                if (wrote <= 0) detail::throw_errno(name_, wrote < 0 ? errno : EIO);
                done += static_cast<std::size_t>(wrote);
            }
            places_.clear();
            begin_ = next;
        }

        std::string name_;
        detail::Descriptor file_;
        std::uint64_t begin_ = 0;            ///< The place in the first sequence at which `places_` begins.
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

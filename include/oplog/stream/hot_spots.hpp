// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/id_key.hpp>
#include <oplog/bson/touched_fields.hpp>
#include <oplog/stream/heavy_hitters.hpp>
#include <oplog/stream/stats.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// What is written most: documents, the fields that updates touch, and how much of it falls on which namespace over time. Takes
/// some tens of MB at most, however many of them there are; counts that memory makes uncertain come with a bound.
class HotSpots {
  public:
    struct Document {
        std::string ns;
        bson::Value id;             ///< A document that has the `_id` alone, as it was first seen.
        std::uint64_t at_least = 0; ///< Operations on it.
        std::uint64_t at_most = 0;
        std::uint64_t bytes = 0; ///< Of those that were counted.
    };
    struct Field {
        std::string ns;
        bool is_whole = false;      ///< Whether these are replacements of whole documents; then there is no path.
        std::string path;           ///< As for_each_touched_field() has it.
        std::uint64_t at_least = 0; ///< Updates that touch it.
        std::uint64_t at_most = 0;
    };
    struct Series {
        bool is_rest = false; ///< Whether it is of all namespaces that have none of their own; then there is no name.
        std::string ns;
        Timeline timeline;
        std::uint64_t missed = 0; ///< At most so many of its bytes are in the rest.
    };
    /// How many updates there are of each form.
    struct Updates {
        std::uint64_t of_fields = 0;
        std::uint64_t replacements = 0;
        std::uint64_t not_understood = 0; ///< Of other servers, or damaged.
    };

    /// Documents with an `_id` of more bytes are not told apart. A path of more bytes is cut, and ends with "…".
    static constexpr std::size_t longest_id = 1024, longest_path = 255;
    /// Of up to so many namespaces the series of each is whole.
    static constexpr std::size_t most_followed = 1024;

    HotSpots() = default;
    HotSpots(HotSpots&&) = default; // it cannot be copied, because it points into itself
    HotSpots& operator=(HotSpots&&) = default;

    /// Adds an operation that an entry of the given second has or is, on a namespace.
    void add(const Operation& operation, std::string_view ns, std::uint32_t second) {
        const std::uint64_t bytes = operation.document.size();
        if (!series_last_ || ns != last_ns_) {
            // The counter of the namespace before is found without a search as long as no other one comes.
            series_last_ = &series_.add(ns, 0, [&](const std::string&, const auto& counter) { others_.add(counter.payload); });
            last_ns_ = ns;
        }
        series_last_->count += bytes;
        series_last_->payload.add(second, 1, bytes);
        if (operation.op.size() != 1) return;
        const bool is_update = operation.op[0] == 'u';
        if (!is_update && operation.op[0] != 'i' && operation.op[0] != 'd') return;
        if (is_update ? operation.o2.has_value() : operation.has_o) document(is_update ? *operation.o2 : operation.o, ns, bytes);
        if (is_update) fields(operation.o, ns);
    }

    /// The documents with the most operations.
    std::vector<Document> documents(std::size_t n) const {
        std::vector<Document> found;
        for (const auto& [key, counter] : documents_.top(n))
            found.push_back(
                {std::string(split(key).first), counter->payload.id, counter->count, counter->at_most(), counter->payload.bytes});
        return found;
    }
    /// Operations on documents whose `_id` is too long to be told apart.
    std::uint64_t long_ids() const noexcept { return long_ids_; }

    /// The fields that the most updates touch.
    std::vector<Field> fields(std::size_t n) const {
        std::vector<Field> found;
        for (const auto& [key, counter] : fields_.top(n)) {
            const auto [ns, path] = split(key);
            found.push_back(
                {std::string(ns), path.empty(), std::string(path.substr(path.empty() ? 0 : 1)), counter->count, counter->at_most()});
        }
        return found;
    }
    const Updates& updates() const noexcept { return updates_; }

    /// The namespaces with the most bytes, at most `n` and 32, the largest first, and after them one for all others.
    /// Their periods have at least the given length.
    std::vector<Series> series(std::size_t n, std::uint32_t length) const {
        std::vector<Series> found;
        Timeline others = others_;
        const auto all = series_.top(most_followed);
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (i < std::min(n, most_series))
                found.push_back({false, std::string(all[i].first), all[i].second->payload.coarsened_to(length), all[i].second->missed});
            else
                others.add(all[i].second->payload);
        }
        if (!others.periods().empty()) found.push_back({true, "", others.coarsened_to(length), 0});
        return found;
    }

  private:
    static constexpr std::size_t most_documents = 2000, most_fields = 1000, most_series = 32;

    struct DocumentFacts {
        bson::Value id;
        std::uint64_t bytes = 0;
    };
    struct FieldFacts {
        std::uint64_t last_update = 0; ///< The number of the last update that touched it, so that each counts once.
    };

    /// A key is a namespace and what is in it, and ends with the length of the first: either may have any bytes.
    template <class Append>
    std::string_view key(std::string_view ns, Append append) {
        key_ = ns;
        append(key_);
        const auto size = static_cast<std::uint32_t>(ns.size());
        key_.append(reinterpret_cast<const char*>(&size), sizeof size);
        return key_;
    }
    static std::pair<std::string_view, std::string_view> split(std::string_view key) {
        key.remove_suffix(sizeof(std::uint32_t));
        const auto size = bson::load<std::uint32_t>(key.data() + key.size());
        return {key.substr(0, size), key.substr(size)};
    }

    void document(const bson::Document& with_id, std::string_view ns, std::uint64_t bytes) {
        const auto id = with_id.find("_id");
        if (!id) return;
        if (id->value().size() > longest_id) {
            ++long_ids_;
            return;
        }
        auto& facts = documents_.add(key(ns, [&](std::string& to) { append_key(to, *id); })).payload;
        if (facts.bytes == 0) facts.id = bson::Builder().append(*id).finish();
        facts.bytes += bytes;
    }

    void fields(const bson::Document& o, std::string_view ns) {
        const std::uint64_t number = ++update_;
        const auto count = [&](const auto& append) {
            auto& counter = fields_.add(key(ns, append), 0);
            counter.count += std::exchange(counter.payload.last_update, number) != number;
        };
        const auto touch = [&](std::string_view path) {
            count([&](std::string& to) {
                std::size_t size = std::min(path.size(), longest_path);
                while (size < path.size() && (path[size] & 0xC0) == 0x80) --size;
                to += '.'; // so that no path is that of a whole document
                to += path.substr(0, size);
                if (size < path.size()) to += "…";
            });
        };
        try {
            const UpdateKind kind = for_each_touched_field(o, touch);
            if (kind == UpdateKind::replacement) count([](std::string&) {});
            ++(kind == UpdateKind::replacement ? updates_.replacements : updates_.of_fields);
        } catch (const DataError&) { // to say what is wrong with it is for others
            ++updates_.not_understood;
        }
    }

    HeavyHitters<DocumentFacts> documents_{most_documents};
    HeavyHitters<FieldFacts> fields_{most_fields};
    HeavyHitters<Timeline> series_{most_followed / 2};
    Timeline others_; ///< Of the namespaces that had to make room.
    Updates updates_;
    std::uint64_t long_ids_ = 0;
    std::uint64_t update_ = 0;
    std::string key_;
    HeavyHitters<Timeline>::Counter* series_last_ = nullptr;
    std::string last_ns_;
};

} // namespace oplog

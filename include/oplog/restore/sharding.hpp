// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/bson/json.hpp>
#include <oplog/bson/order.hpp>

#include <algorithm>
#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// The key by which a collection is sharded.
class ShardKey {
  public:
    /// `pattern` is as config.collections has it: {a: 1, "b.c": "hashed"}. Throws DataError.
    explicit ShardKey(const bson::Document& pattern) : pattern_(pattern) {
        for (const bson::Element& field : pattern) {
            const bool hashed = field.is(bson::Type::string) && field.string() == "hashed";
            if (!hashed && !(field.is_number() && field.integer() == 1))
                throw DataError(Fault::not_supported, "the shard key " + to_json(pattern) + " is of an unknown kind");
            fields_.push_back({std::string(field.key()), hashed});
        }
        if (fields_.empty()) throw DataError(Fault::bad_value, "a shard key without fields");
    }

    bson::Document pattern() const& noexcept OPLOG_LIFETIMEBOUND { return pattern_.view(); }
    bson::Document pattern() const&& = delete;
    /// A document's values, in the order of the key's fields and under their names; null for a field that is missing.
    /// Throws DataError for a document that no shard takes: one with an array there.
    bson::Value of(const bson::Document& document) const {
        bson::Builder values;
        for (const auto& [path, hashed] : fields_) {
            const bson::Element value = find(document, path).value_or(bson::Element(bson::Type::null, "", {}));
            if (hashed)
                values.int64(path, server_hash(value));
            else
                values.append(path, value);
        }
        return values.finish();
    }
    std::size_t size() const noexcept { return fields_.size(); }

  private:
    struct Field {
        std::string path;
        bool hashed;
    };

    static std::optional<bson::Element> find(const bson::Document& document, std::string_view path) {
        const std::size_t dot = path.find('.');
        const auto field = document.field(path.substr(0, dot));
        if (!field) return std::nullopt;
        if (field->is(bson::Type::array))
            throw DataError(Fault::not_supported, "a document with an array in its shard key, '" + std::string(path) + "'");
        if (dot == path.npos) return field;
        return field->is(bson::Type::document) ? find(field->document(), path.substr(dot + 1)) : std::nullopt;
    }

    bson::Value pattern_;
    std::vector<Field> fields_;
};

/// Which shard owns which part of a collection, by its chunks.
class ChunkMap {
  public:
    struct Chunk {
        bson::Value min, max;
        std::string shard;
    };

    /// Takes documents of config.chunks. Throws DataError where chunks overlap, or leave a part to nobody.
    ChunkMap(ShardKey key, const std::vector<bson::Value>& documents) : key_(std::move(key)) {
        for (const bson::Value& document : documents) {
            const auto field = [&](std::string_view name) {
                const auto found = document.view().field(name);
                if (!found)
                    throw DataError(Fault::missing_field, "a chunk without '" + std::string(name) + "': " + to_json(document.view()));
                return *found;
            };
            chunks_.push_back({bound(field("min")), bound(field("max")), std::string(field("shard").string())});
        }
        std::ranges::sort(chunks_, [](const Chunk& a, const Chunk& b) { return std::is_lt(order(a.min.view(), b.min.view())); });
        const auto all_are = [](const bson::Value& bound, bson::Type type) {
            return std::ranges::all_of(bound.view(), [&](const bson::Element& value) { return value.is(type); });
        };
        if (chunks_.empty()) throw DataError(Fault::incomplete, "no chunks");
        if (!all_are(chunks_.front().min, bson::Type::min_key))
            throw DataError(Fault::incomplete, "no chunk has what is below " + to_json(chunks_.front().min.view()));
        if (!all_are(chunks_.back().max, bson::Type::max_key))
            throw DataError(Fault::incomplete, "no chunk has what is at or above " + to_json(chunks_.back().max.view()));
        for (std::size_t i = 1; i < chunks_.size(); ++i)
            if (std::is_neq(order(chunks_[i - 1].max.view(), chunks_[i].min.view())))
                throw DataError(Fault::inconsistent, "the chunk up to " + to_json(chunks_[i - 1].max.view()) + " is followed by one from " +
                                                         to_json(chunks_[i].min.view()));
    }

    /// The shard that owns a document. Throws DataError for one with an array in its shard key.
    const std::string& owner(const bson::Document& document) const {
        const bson::Value key = key_.of(document);
        const auto after = std::ranges::upper_bound(
            chunks_, key, [](const bson::Value& a, const bson::Value& b) { return std::is_lt(order(a.view(), b.view())); }, &Chunk::min);
        return std::prev(after == chunks_.begin() ? chunks_.begin() + 1 : after)->shard;
    }
    /// In the order of their bounds.
    const std::vector<Chunk>& chunks() const noexcept { return chunks_; }
    const ShardKey& key() const noexcept { return key_; }
    bool owns_any(std::string_view shard) const {
        return std::ranges::any_of(chunks_, [&](const Chunk& chunk) { return chunk.shard == shard; });
    }

  private:
    bson::Value bound(const bson::Element& element) const {
        const bson::Document bound = element.document();
        std::size_t fields = 0;
        for (const bson::Element& field : bound) {
            (void)field;
            ++fields;
        }
        if (fields != key_.size())
            throw DataError(Fault::inconsistent,
                            "the chunk bound " + to_json(bound) + " is not of the shard key " + to_json(key_.pattern()));
        return bson::Value(bound);
    }
    static std::weak_ordering order(const bson::Document& a, const bson::Document& b) {
        return bson::detail::compare_documents(a, b, false, 1);
    }

    ShardKey key_;
    std::vector<Chunk> chunks_;
};

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/entry/meaning.hpp>
#include <oplog/entry/operation.hpp>
#include <oplog/restore/catalog.hpp>
#include <oplog/restore/dump.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What commands do to the metadata of a collection. Options and indexes get the form in which a server's
/// listCollections and listIndexes show them, which is the form that mongodump writes.
namespace oplog::inline v0_1 {

/// A collection's name, its options and its indexes.
struct CollectionMetadata {
    std::string database;
    std::string name;              ///< The name; a time series has that of its buckets: "system.buckets.ts".
    Metadata metadata;             ///< The metadata of a time series describes the series, not its buckets.
    bool metadata_changed = false; ///< Whether it differs from that in the full dump.
    bool keeps_fractions = false;  ///< Whether its server, as those before 5.0, lists an expireAfterSeconds of 2.5 as that, and not as 2.

    /// The namespace in entries; for a time series that of its buckets.
    std::string ns() const { return join_namespace(database, name); }
    /// Whether `ns` is the namespace of this collection.
    bool is_named(std::string_view ns) const {
        return ns.size() == database.size() + 1 + name.size() && ns.starts_with(database) && ns[database.size()] == '.' &&
               ns.ends_with(name);
    }
    /// Whether these are the buckets of a time series.
    bool is_buckets() const { return std::string_view(name).starts_with(buckets_prefix); }
    /// The name that users know.
    std::string logical_name() const { return is_buckets() ? name.substr(buckets_prefix.size()) : name; }
    /// The namespace that users know.
    std::string logical_ns() const { return join_namespace(database, logical_name()); }
    /// The metadata that mongodump would write.
    Metadata dumped_metadata() const {
        Metadata dumped = metadata;
        dumped.collection = logical_name();
        dumped.options = changed(bson::Document(metadata.options), [](const bson::Element& option, bson::Builder&) {
            return option.key() == "temp"; // mongorestore fails with this option
        });
        return dumped;
    }
};

namespace detail {

/// The options that a time series' buckets share with the series.
inline bool is_series_option(std::string_view name) {
    return name == "storageEngine" || name == "indexOptionDefaults" || name == "collation" || name == "expireAfterSeconds" ||
           name == "timeseries";
}

inline std::string_view index_name(const bson::Document& spec) {
    const auto name = spec.find("name");
    return name ? name->string() : std::string_view{};
}

inline std::vector<bson::Value>::iterator find_index(CollectionMetadata& collection, std::string_view name) {
    return std::ranges::find_if(collection.metadata.indexes, [&](const bson::Value& spec) { return index_name(spec.view()) == name; });
}

/// Returns a specification as listIndexes does: fields in its order, and each number and flag of one type.
inline bson::Value listed_index(const CollectionMetadata& collection, const bson::Document& spec) {
    enum Form { as_is, integer, flag, real };
    // clang-format off
    static constexpr std::pair<std::string_view, Form> fields[] = {
        {"v", integer}, {"key", as_is}, {"name", as_is}, {"background", flag}, {"unique", flag}, {"hidden", flag},
        {"partialFilterExpression", as_is}, {"sparse", flag}, {"expireAfterSeconds", integer}, {"storageEngine", as_is},
        {"weights", as_is}, {"default_language", as_is}, {"language_override", as_is}, {"textIndexVersion", integer},
        {"2dsphereIndexVersion", integer}, {"bits", integer}, {"min", real}, {"max", real}, {"bucketSize", real},
        {"collation", as_is}, {"wildcardProjection", as_is}, {"columnstoreProjection", as_is}, {"coarsestIndexedLevel", integer},
        {"finestIndexedLevel", integer}, {"dropDups", flag}, {"originalSpec", as_is}, {"clustered", flag}, {"prepareUnique", flag}};
    // clang-format on
    bson::Builder out;
    for (const auto& [name, form] : fields) {
        const auto field = spec.find(name);
        if (!field) continue;
        const bool is_kept = collection.keeps_fractions && field->is(bson::Type::double_) && std::trunc(field->real()) != field->real();
        if (form == integer && field->is_number() && !is_kept)
            out.int32(name, static_cast<std::int32_t>(field->integer()));
        else if (form == flag)
            out.boolean(name, field->truthy());
        else if (form == real && field->is_number() && !field->is(bson::Type::double_))
            out.real(name, static_cast<double>(field->integer()));
        else
            out.append(*field);
    }
    for (const bson::Element& field : spec)
        if (field.key() != "ns" &&
            std::ranges::find(fields, field.key(), [](const auto& known) { return known.first; }) == std::end(fields))
            out.append(field);
    return out.finish();
}

/// The timeField and the metaField of a time series.
inline std::pair<std::string, std::string> series_fields(const CollectionMetadata& collection) {
    std::pair<std::string, std::string> fields;
    if (const auto series = bson::Document(collection.metadata.options).find("timeseries")) {
        if (const auto field = series->document().find("timeField")) fields.first = field->string();
        if (const auto field = series->document().find("metaField")) fields.second = field->string();
    }
    return fields;
}

/// Converts an index on buckets to the index on the series that listIndexes shows: `meta` is the metaField, and
/// control.min and control.max of a field are that field.
inline bson::Value series_index(const CollectionMetadata& collection, const bson::Document& spec) {
    if (const auto original = spec.find("originalSpec")) return bson::Value(original->document()); // the index as it was requested
    const std::string meta = series_fields(collection).second;
    const auto unknown = [&](std::string_view field) {
        return DataError(Fault::not_supported, "index " + std::string(index_name(spec)) + " of time series " + collection.ns() +
                                                   " has the unknown key " + std::string(field));
    };
    return changed(spec, [&](const bson::Element& field, bson::Builder& out) {
        if (field.key() != "key") return field.key() == "ns";
        out.begin_document("key");
        std::string pending; // the field whose second half must follow
        for (const bson::Element& key : field.document()) {
            const std::string_view name = key.key();
            constexpr std::string_view least = "control.min.", most = "control.max.";
            if (name == "meta" || name.starts_with("meta.")) {
                if (meta.empty()) throw unknown(name);
                out.append(meta + std::string(name.substr(4)), key);
            } else if (name.starts_with(least) || name.starts_with(most)) {
                const std::string inner(name.substr(least.size()));
                if (pending.empty()) {
                    pending = inner;
                    out.append(inner, key);
                } else if (std::exchange(pending, {}) != inner) {
                    throw unknown(name);
                }
            } else {
                throw unknown(name);
            }
        }
        if (!pending.empty()) throw unknown(pending);
        out.end();
        return true;
    });
}

/// The position of an option in the server's order.
inline std::size_t option_rank(std::string_view name) {
    // clang-format off
    static constexpr std::string_view order[] = {"capped", "size", "max", "autoIndexId", "temp", "recordPreImages", "changeStreamPreAndPostImages",
                                                 "storageEngine", "indexOptionDefaults", "validator", "validationLevel", "validationAction", "collation",
                                                 "viewOn", "pipeline", "clusteredIndex", "expireAfterSeconds", "timeseries", "encryptedFields"};
    // clang-format on
    return static_cast<std::size_t>(std::ranges::find(order, name) - std::begin(order));
}

/// Sets an option, or removes it if `value` is null.
inline void set_option(CollectionMetadata& collection, std::string_view name, const bson::Element* value) {
    const bson::Document old(collection.metadata.options);
    const auto before = old.find(name);
    if (!before && !value) return;
    bson::Builder out;
    bool written = value == nullptr;
    for (const bson::Element& option : old) {
        if (!written && (option.key() == name || (!before && option_rank(option.key()) > option_rank(name)))) {
            out.append(name, *value);
            written = true;
        }
        if (option.key() != name) out.append(option);
    }
    if (!written) out.append(name, *value);
    bson::Value options = out.finish();
    collection.metadata_changed |= options != collection.metadata.options;
    collection.metadata.options = std::move(options);
}

inline void set_text_option(CollectionMetadata& collection, std::string_view name, std::string_view text) {
    const std::string document = bson::Builder().string(name, text).finish();
    const bson::Element value = *bson::Document(document).begin();
    set_option(collection, name, &value);
}

/// Sets a number as the server lists sizes: an int32 if that is large enough.
inline void set_number_option(CollectionMetadata& collection, std::string_view name, std::int64_t number) {
    const bool narrow = number >= INT32_MIN && number <= INT32_MAX;
    const std::string document =
        narrow ? bson::Builder().int32(name, static_cast<std::int32_t>(number)).finish() : bson::Builder().int64(name, number).finish();
    const bson::Element value = *bson::Document(document).begin();
    set_option(collection, name, &value);
}

/// Whether the server remembers how an index on a time series was requested. It does if the request includes more
/// than time and meta. A collMod does not change that memory, and mongorestore passes it on.
inline bool keeps_original(const CollectionMetadata& collection, const bson::Document& spec) {
    if (spec.find("originalSpec")) return false; // the specification has it already
    if (spec.find("partialFilterExpression")) return true;
    const auto fields = series_fields(collection);
    const std::string &time = fields.first, &meta = fields.second;
    for (const bson::Element& part : spec.find("key")->document())
        if (part.key() != time && (meta.empty() || (part.key() != meta && !part.key().starts_with(meta + '.')))) return true;
    return false;
}

/// The index that the `index` of a collMod means; indexes.end() if there is none.
inline std::vector<bson::Value>::iterator changed_index(CollectionMetadata& collection, const bson::Document& change) {
    const auto name = change.find("name"), key = change.find("keyPattern");
    if (name) return find_index(collection, name->string());
    return std::ranges::find_if(collection.metadata.indexes,
                                [&](const bson::Value& spec) { return key && spec.view().find("key")->value() == key->value(); });
}
/// Changes an index as a collMod says.
inline void modify_index(CollectionMetadata& collection, const bson::Document& change) {
    const auto index = changed_index(collection, change);
    if (index == collection.metadata.indexes.end()) return; // it was dropped before the dump
    bson::Value modified = modified_index(index->view(), change);
    if (modified == *index) return;
    if (collection.is_buckets() && keeps_original(collection, index->view())) {
        bson::Builder out;
        for (const bson::Element& field : modified.view()) out.append(field);
        modified = out.document("originalSpec", index->view()).finish();
    }
    *index = listed_index(collection, modified.view());
    collection.metadata_changed = true;
}

/// Changes the options of a series. A coarser granularity lets buckets span more time.
inline void modify_series(CollectionMetadata& collection, const bson::Document& change) {
    const auto series = bson::Document(collection.metadata.options).find("timeseries");
    if (!series) throw DataError(Fault::inconsistent, "collMod of " + collection.ns() + ", which is no time series");
    bson::Builder out;
    out.begin_document("timeseries");
    const auto granularity = change.find("granularity");
    for (const bson::Element& field : series->document()) {
        if (const auto changed = change.field(field.key()))
            out.append(*changed);
        else if (granularity && field.key() == "bucketMaxSpanSeconds" && !change.find("bucketMaxSpanSeconds"))
            out.int32("bucketMaxSpanSeconds", granularity->string() == "hours"     ? 2592000
                                              : granularity->string() == "minutes" ? 86400
                                                                                   : 3600);
        else if (!(granularity && field.key() == "bucketRoundingSeconds"))
            out.append(field);
    }
    for (const bson::Element& field : change)
        if (!series->document().field(field.key())) out.append(field);
    const std::string wrapped = out.end().finish();
    const bson::Element value = *bson::Document(wrapped).begin();
    set_option(collection, "timeseries", &value);
}

} // namespace detail

/// Adds the old form of the _id index. Entries of old servers do not mention it.
inline void add_old_id_index(CollectionMetadata& made) {
    bson::Builder index;
    index.int32("v", 1).begin_document("key").int32("_id", 1).end().string("name", "_id_");
    made.metadata.indexes.push_back(index.finish());
}

/// Sets options and indexes from `o`, the command of a create.
inline void set_created(CollectionMetadata& made, const bson::Document& o) {
    bson::Builder options;
    bool has_id_index = true;
    for (const bson::Element& option : o) {
        const std::string_view name = option.key();
        if (name == "idIndex")
            made.metadata.indexes.emplace_back(option.document());
        else if (name == "clusteredIndex" || (name == "autoIndexId" && !option.truthy()))
            has_id_index = false;
        const bool shown = is_kept_option(name) && (!made.is_buckets() || detail::is_series_option(name));
        if (shown) options.append(option);
    }
    made.metadata.options = options.finish();
    if (has_id_index && made.metadata.indexes.empty()) add_old_id_index(made);
}

/// Adds an index that a command creates, or replaces the one with its name. Throws DataError.
inline void add_index(CollectionMetadata& collection, const bson::Document& spec) {
    const bson::Value of_series = collection.is_buckets() ? detail::series_index(collection, spec) : bson::Value(spec);
    const bson::Value shown = detail::listed_index(collection, of_series.view());
    collection.metadata_changed = true;
    if (const auto old = detail::find_index(collection, detail::index_name(spec)); old != collection.metadata.indexes.end())
        *old = shown;
    else
        collection.metadata.indexes.push_back(shown);
}

inline void drop_index(CollectionMetadata& collection, std::string_view name) {
    const auto found = detail::find_index(collection, name);
    if (found == collection.metadata.indexes.end()) return;
    collection.metadata.indexes.erase(found);
    collection.metadata_changed = true;
}

/// Removes the indexes that `o` of a dropIndexes names by name or key. "*" means all but that on _id.
inline void drop_indexes(CollectionMetadata& collection, const bson::Document& o) {
    const auto index = o.find("index");
    if (index->is(bson::Type::string) && index->string() != "*") return drop_index(collection, index->string());
    collection.metadata_changed = true;
    std::erase_if(collection.metadata.indexes, [&](const bson::Value& spec) {
        return index->is(bson::Type::string) ? detail::index_name(spec.view()) != "_id_"
                                             : spec.view().find("key")->value() == index->value();
    });
}

/// Changes options or an index as `o` of a collMod says. Throws DataError.
inline void modify_collection(CollectionMetadata& collection, const bson::Document& o) {
    bool validates = false;
    for (const bson::Element& field : o) {
        const std::string_view name = field.key();
        if (name == "collMod" || !is_followed_change(name)) {
            continue;
        } else if (name == "index") {
            detail::modify_index(collection, field.document());
        } else if (name == "validator" || name == "validationLevel" || name == "validationAction") {
            const bool none = name == "validator" && field.document().empty();
            detail::set_option(collection, name, none ? nullptr : &field);
            validates = true;
        } else if (name == "recordPreImages") {
            detail::set_option(collection, name, field.truthy() ? &field : nullptr);
        } else if (name == "changeStreamPreAndPostImages") {
            const auto enabled = field.document().find("enabled");
            detail::set_option(collection, name, enabled && enabled->truthy() ? &field : nullptr);
        } else if (name == "cappedSize") {
            detail::set_number_option(collection, "size", (field.integer() + 255) / 256 * 256);
        } else if (name == "cappedMax") {
            detail::set_number_option(collection, "max", field.integer());
        } else if (name == "expireAfterSeconds") {
            const std::string wide = field.is_number() ? bson::Builder().int64(name, field.integer()).finish() : std::string();
            const auto value = wide.empty() ? std::nullopt : bson::Document(wide).find(name);
            detail::set_option(collection, name, value ? &*value : nullptr); // none for "off"
        } else if (name == "timeseries") {
            detail::modify_series(collection, field.document());
        }
    }
    if (!validates) return;
    const bson::Document options(collection.metadata.options);
    const bool has_level = options.find("validationLevel").has_value(), has_action = options.find("validationAction").has_value();
    if (!has_level) detail::set_text_option(collection, "validationLevel", "strict");
    if (!has_action) detail::set_text_option(collection, "validationAction", "error");
}
} // namespace oplog

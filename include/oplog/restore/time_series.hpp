// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/bson/document.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace oplog::inline v0_1 {

/// Whether an index of a time series is a 2dsphere index on more than the metaField. What a dump says about it lacks
/// the version. mongorestore then requests version 1, which no server makes there.
inline bool is_unrestorable_geo_index(const bson::Document& spec) {
    const auto key = spec.find("key");
    if (!key || spec.find("2dsphereIndexVersion")) return false;
    for (const bson::Element& part : key->document())
        if (part.is(bson::Type::string) && part.string() == "2dsphere") return true;
    return false;
}

namespace detail {

/// The name of a field in buckets; none if it is neither the metaField nor inside it.
inline std::optional<std::string> meta_name(std::string_view name, std::string_view meta_field) {
    const bool is_meta =
        !meta_field.empty() && name.starts_with(meta_field) && (name.size() == meta_field.size() || name[meta_field.size()] == '.');
    return is_meta ? std::optional("meta" + std::string(name.substr(meta_field.size()))) : std::nullopt;
}

/// Converts a filter on the metaField to a filter on buckets; none if it filters anything else.
inline std::optional<bson::Value> filter_on_buckets(const bson::Document& filter, std::string_view meta_field) {
    bson::Builder builder;
    for (const bson::Element& part : filter) {
        if (part.key() == "$and" && part.is(bson::Type::array)) {
            builder.begin_array("$and");
            for (const bson::Element& each : part.array()) {
                const auto inner = filter_on_buckets(each.document(), meta_field);
                if (!inner) return std::nullopt;
                builder.document(each.key(), bson::Document(*inner));
            }
            builder.end();
        } else if (const auto name = meta_name(part.key(), meta_field)) {
            builder.append(*name, part);
        } else {
            return std::nullopt;
        }
    }
    return builder.finish();
}

} // namespace detail

/// Returns the index on buckets that stands for an index on a time series, as the server stores it. The metaField
/// becomes `meta`, and every other field becomes control.min and control.max (for a 2dsphere index, the field in
/// `data`). The requested form is kept as `originalSpec` if the keys do not tell it. Returns none for an index that has
/// another form on buckets (a partial index that filters by measurements).
inline std::optional<bson::Value> index_on_buckets(const bson::Document& spec, std::string_view time_field, std::string_view meta_field) {
    const auto key = spec.find("key");
    if (!key) return std::nullopt;
    std::optional<std::string> filter;
    if (const auto partial = spec.find("partialFilterExpression"))
        if (filter = detail::filter_on_buckets(partial->document(), meta_field); !filter) return std::nullopt;
    bson::Builder keys;
    bool measurements = false;
    for (const bson::Element& part : key->document()) {
        const std::string name(part.key());
        if (const auto meta = detail::meta_name(name, meta_field)) {
            keys.append(*meta, part);
            continue;
        }
        if (part.is(bson::Type::string) && part.string() == "2dsphere") {
            keys.string("data." + name, "2dsphere_bucket");
            measurements = true;
            continue;
        }
        if (!part.is_number()) return std::nullopt;
        measurements = measurements || name != time_field;
        const bool ascending = part.integer() >= 0;
        keys.append((ascending ? "control.min." : "control.max.") + name, part);
        keys.append((ascending ? "control.max." : "control.min.") + name, part);
    }
    const std::string bucket_keys = keys.finish();
    bson::Builder builder;
    for (const bson::Element& option : spec)
        if (option.key() == "key")
            builder.document("key", bson::Document(bucket_keys));
        else if (option.key() == "partialFilterExpression")
            builder.document(option.key(), bson::Document(*filter));
        else
            builder.append(option);
    if (measurements || filter) builder.document("originalSpec", spec);
    if (is_unrestorable_geo_index(spec)) builder.int32("2dsphereIndexVersion", 3);
    return builder.finish();
}

} // namespace oplog

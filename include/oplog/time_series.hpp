// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bson.hpp"
#include "builder.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace oplog {

/// The index on buckets that stands for an index on a time series, as the server keeps it: `meta` for the
/// series' metaField, control.min and control.max of every other field, and what was asked for as `originalSpec`
/// where that could not be told from the keys. None for an index that has another form there (2dsphere, partial).
inline std::optional<std::string> index_on_buckets(const bson::Document& spec, std::string_view time_field, std::string_view meta_field) {
    const auto key = spec.find("key");
    if (!key || spec.find("partialFilterExpression")) return std::nullopt;
    bson::Builder keys;
    bool measurements = false;
    for (const bson::Element& part : key->document()) {
        const std::string name(part.key());
        if (!meta_field.empty() && (name == meta_field || name.starts_with(std::string(meta_field) + '.'))) {
            keys.append("meta" + name.substr(meta_field.size()), part);
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
        else
            builder.append(option);
    if (measurements) builder.document("originalSpec", spec);
    return builder.finish();
}

} // namespace oplog

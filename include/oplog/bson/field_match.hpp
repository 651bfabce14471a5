// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>
#include <oplog/bson/id_key.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace oplog::inline v0_1 {

/// Whether a field of a document has a certain value, by the rules of the query `{path: value}`. A path may have dots
/// and then leads into documents, to positions of arrays and into the documents of arrays. Two values are equal if
/// append_key() writes the same bytes for them; the value may also be an item of an array. Null also matches a field
/// that is missing. Strings are compared by their bytes, and no value is an operator.
class FieldMatch {
  public:
    /// Copies `value`, which may go out of scope.
    FieldMatch(std::string path, const bson::Element& value) : path_(std::move(path)), is_null_(value.is(bson::Type::null)) {
        append_key(key_, value);
    }

    /// Throws DataError for a malformed document.
    bool matches(const bson::Document& document) const { return in_document(document, path_, 1); }

  private:
    bool in_document(const bson::Document& document, std::string_view path, std::size_t depth) const {
        if (depth > bson::max_depth) throw DataError(Fault::too_deep, "a document is nested too deeply");
        const std::size_t dot = path.find('.');
        const auto field = document.field(path.substr(0, dot));
        if (!field) return is_null_;
        return dot == path.npos ? is(*field) : in_value(*field, path.substr(dot + 1), depth);
    }
    /// Follows the rest of the path into a value.
    bool in_value(const bson::Element& value, std::string_view path, std::size_t depth) const {
        if (value.is(bson::Type::document)) return in_document(value.document(), path, depth + 1);
        if (!value.is(bson::Type::array)) return is_null_;
        const std::size_t dot = path.find('.');
        // A position names its value alone: the items of an array that stands there do not count, and what has no fields lacks none.
        if (const auto position = value.array().field(path.substr(0, dot))) {
            if (dot == path.npos) {
                if (same(*position)) return true;
            } else if ((position->is(bson::Type::document) || position->is(bson::Type::array)) &&
                       in_value(*position, path.substr(dot + 1), depth + 1)) {
                return true;
            }
        }
        for (const bson::Element& each : value.array())
            if (each.is(bson::Type::document) && in_document(each.document(), path, depth + 1)) return true;
        return false;
    }
    bool is(const bson::Element& value) const {
        if (same(value)) return true;
        if (value.is(bson::Type::array))
            for (const bson::Element& each : value.array())
                if (same(each)) return true;
        return false;
    }
    bool same(const bson::Element& value) const {
        std::string key;
        append_key(key, value);
        return key == key_;
    }

    std::string path_;
    std::string key_;
    bool is_null_;
};

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/bson/document.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace oplog::inline v0_1 {

namespace detail {

template <class Visit>
class ChangedPaths {
  public:
    explicit ChangedPaths(Visit& visit) : visit_(&visit) {}

    void compare(const bson::Element& before, const bson::Element& after, std::size_t depth) {
        if (before.type() == after.type() && before.value() == after.value()) return;
        if (before.is(bson::Type::document) && after.is(bson::Type::document) && fields(before.document(), after.document(), depth)) return;
        if (before.is(bson::Type::array) && after.is(bson::Type::array)) return positions(before.array(), after.array(), depth);
        (*visit_)(std::string_view(path_), std::optional(before), std::optional(after));
    }

  private:
    using Fields = std::vector<bson::Element>;

    static Fields list(const bson::Document& document) {
        Fields fields;
        for (const bson::Element& field : document) fields.push_back(field);
        return fields;
    }
    static void check(std::size_t depth) {
        if (depth > bson::max_depth) throw DataError(Fault::too_deep, "a document is nested too deeply");
    }

    /// Compares two documents field by field. Returns false, without having visited anything, if a list of fields
    /// cannot describe the change: fields that are in both stand in another order, or a name occurs twice.
    bool fields(const bson::Document& before, const bson::Document& after, std::size_t depth) {
        check(depth);
        const Fields old = list(before), now = list(after);
        std::vector<const bson::Element*> partner(old.size()); // in `now`
        std::vector<bool> is_new(now.size(), true);
        const auto same_key = [](const bson::Element& a, const bson::Element& b) { return a.key() == b.key(); };
        if (old.size() == now.size() && std::ranges::equal(old, now, same_key)) {
            for (std::size_t i = 0; i < old.size(); ++i) partner[i] = &now[i];
            is_new.assign(now.size(), false);
        } else {
            std::vector<std::size_t> by_key(now.size());
            for (std::size_t i = 0; i < by_key.size(); ++i) by_key[i] = i;
            const auto key_at = [&](std::size_t i) { return now[i].key(); };
            std::ranges::sort(by_key, {}, key_at);
            if (std::ranges::adjacent_find(by_key, {}, key_at) != by_key.end()) return false;
            std::size_t next = 0;
            for (std::size_t i = 0; i < old.size(); ++i) {
                const auto found = std::ranges::lower_bound(by_key, old[i].key(), {}, key_at);
                if (found == by_key.end() || key_at(*found) != old[i].key()) continue;
                if (*found < next) return false; // this includes the second of two fields with the same name
                next = *found + 1;
                partner[i] = &now[*found];
                is_new[*found] = false;
            }
        }
        for (std::size_t i = 0; i < old.size(); ++i)
            at(old[i].key(), [&] {
                if (partner[i])
                    compare(old[i], *partner[i], depth + 1);
                else
                    (*visit_)(std::string_view(path_), std::optional(old[i]), std::optional<bson::Element>());
            });
        for (std::size_t i = 0; i < now.size(); ++i)
            if (is_new[i])
                at(now[i].key(), [&] { (*visit_)(std::string_view(path_), std::optional<bson::Element>(), std::optional(now[i])); });
        return true;
    }

    void positions(const bson::Document& before, const bson::Document& after, std::size_t depth) {
        check(depth);
        const Fields old = list(before), now = list(after);
        for (std::size_t i = 0; i < std::max(old.size(), now.size()); ++i)
            at(std::to_string(i), [&] {
                if (i < old.size() && i < now.size())
                    compare(old[i], now[i], depth + 1);
                else if (i < old.size())
                    (*visit_)(std::string_view(path_), std::optional(old[i]), std::optional<bson::Element>());
                else
                    (*visit_)(std::string_view(path_), std::optional<bson::Element>(), std::optional(now[i]));
            });
    }

    template <class Use>
    void at(std::string_view key, Use use) {
        const std::size_t above = path_.size();
        if (!is_root_) path_ += '.';
        const bool was_root = is_root_;
        is_root_ = false;
        path_ += key;
        use();
        path_.resize(above);
        is_root_ = was_root;
    }

    Visit* visit_;
    std::string path_;
    bool is_root_ = true;
};

} // namespace detail

/// Calls visit(std::string_view path, const std::optional<bson::Element>& before, const std::optional<bson::Element>&
/// after) for each value that differs between two versions of a document; none stands for a missing value.
///
/// Values are equal if their types and bytes are: 1 and 1.0 differ. Paths have dots, as in `items.3.price`. Embedded
/// documents are compared field by field, and arrays position by position: a value pushed onto the end of an array is
/// one path, but one put at its front changes all the following positions. A document whose fields stand in another
/// order, or that has a name twice, is one value; the path of the whole document is empty. The paths have the order of
/// the older version, with the new fields of each document after the others. Throws DataError.
template <class Visit>
void for_each_changed_path(const bson::Document& before, const bson::Document& after, Visit visit) {
    constexpr std::string_view root;
    detail::ChangedPaths<Visit>(visit).compare({bson::Type::document, root, before.bytes()}, {bson::Type::document, root, after.bytes()},
                                               1);
}

/// The changes as a BSON array of {path, before, after}; a missing value has no `before` or no `after`. Throws
/// DataError.
inline std::string changed_paths(const bson::Document& before, const bson::Document& after) {
    bson::Builder out;
    std::size_t count = 0;
    for_each_changed_path(before, after,
                          [&](std::string_view path, const std::optional<bson::Element>& old, const std::optional<bson::Element>& now) {
                              out.begin_document(std::to_string(count++)).string("path", path);
                              if (old) out.append("before", *old);
                              if (now) out.append("after", *now);
                              out.end();
                          });
    return out.finish();
}

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/entry/meaning.hpp>
#include <oplog/entry/operation.hpp>
#include <oplog/restore/time_series.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// One index of a collection.
struct Index {
    std::string name;
    bson::Value spec; ///< The key, the name and all options.
    /// The name that `spec` is for. A dump describes the indexes of a time series in terms of the series, an oplog in terms
    /// of its buckets, and the two do not mix.
    std::string collection;
    /// Whether it may be older than everything known: then the server to restore to may have it already.
    bool may_be_older = false;
};

/// The granularity of a time series' buckets, by the options of its creation or of a collMod: 0 for seconds, 1 for
/// minutes, 2 for hours, -1 if they do not mention it.
inline int granularity(const bson::Document& options) {
    const auto series = options.find("timeseries");
    const auto found = series ? series->document().find("granularity") : std::nullopt;
    if (!found) return -1;
    constexpr std::string_view from_fine[] = {"seconds", "minutes", "hours"};
    return static_cast<int>(std::ranges::find(from_fine, found->string()) - from_fine);
}

/// Whether a collection with these options is capped. Servers accept any true value.
inline bool is_capped(const bson::Document& options) {
    const auto capped = options.find("capped");
    return capped && capped->truthy();
}

/// Whether a collection with these options is both clustered and capped. convertToCapped makes such a collection of a
/// clustered one, but a server does not create one on request (Location6127800). It drops nothing at its front, and its
/// order is that of `_id`.
inline bool is_capped_cluster(const bson::Document& options) { return is_capped(options) && options.find("clusteredIndex"); }

/// Whether a view with this definition is a time series.
inline bool is_timeseries_view(const bson::Document& definition) {
    const auto on = definition.find("viewOn");
    return on && on->is(bson::Type::string) && on->string().starts_with(buckets_prefix);
}

/// The message about an operation whose name and UUID mean two different collections.
inline std::string of_another(std::string_view what, std::string_view ns) {
    return std::string(what) + " is for another collection " + std::string(ns) +
           " than the one there is, as their UUIDs tell: entries are missing in which the one went and the other came";
}

/// The message about a collection or view that gets a name which another one has.
inline std::string there_already(std::string_view what, std::string_view ns) {
    return std::string(what) + " " + std::string(ns) + ", which is there already: entries are missing in which the other one went";
}
/// The message about a collMod of an index that does not exist.
inline std::string no_such_index(const Command& command) {
    return std::string(command.name) + " changes an index of " + command.ns + " that is not there: an entry is missing in which it came";
}

/// What is known about a collection at a point of an oplog.
struct Collection {
    std::string uuid;                     ///< 16 bytes; empty if unknown.
    std::optional<std::string> dumped_as; ///< Its namespace in the full dump; none if it was created later.
    std::vector<Index> indexes;           ///< All known indexes, including `_id_` if there is one.
    std::string time_field, meta_field;   ///< The fields of a time series that the full dump has.
    int granularity = -1;                 ///< The granularity of a time series; see granularity().
    bool is_capped = false;               ///< Whether it is capped in the full dump.
    bool is_made_capped = false;          ///< Whether it is capped by the entry that creates it.
    bool is_capped_cluster = false;       ///< Whether it is both clustered and capped in the full dump.
    bool indexes_changed = false;         ///< Whether the indexes, or the name that they belong to, changed since the dump.

    /// The index with that name; indexes.end() if there is none.
    std::vector<Index>::iterator index(std::string_view name) { return std::ranges::find(indexes, name, &Index::name); }
};

/// Returns an index specification after a collMod; `change` is the `index` of the collMod. An option that is switched
/// off is removed, as the server does.
inline bson::Value modified_index(const bson::Document& spec, const bson::Document& change) {
    const auto wanted = [&](std::string_view option) -> std::optional<bson::Element> {
        return option == "name" || option == "keyPattern" || option == "key" || option == "forceNonUnique" ? std::nullopt
                                                                                                           : change.field(option);
    };
    const auto non_unique = change.find("forceNonUnique");
    const auto off = [](const bson::Element& value) { return value.is(bson::Type::boolean) && !value.boolean(); };
    const auto unique = wanted("unique");
    bson::Builder builder;
    for (const bson::Element& option : spec) {
        const auto changed = wanted(option.key());
        if (option.key() == "prepareUnique" && unique && unique->truthy()) continue; // it was the preparation for this
        if (option.key() == "unique" && non_unique && non_unique->truthy()) continue;
        if (!changed)
            builder.append(option);
        else if (!off(*changed))
            builder.append(*changed);
    }
    for (const bson::Element& option : change)
        if (wanted(option.key()) && !off(option) && !spec.field(option.key())) builder.append(option);
    return builder.finish();
}

/// Follows the collections of a server and their indexes through the commands that change them. The names are those in
/// oplog entries: a time series stands under the name of its buckets.
class Catalog {
  public:
    using Collections = std::map<std::string, Collection, std::less<>>;

    /// All collections, by namespace.
    const Collections& collections() const noexcept { return collections_; }

    /// The collection with that name, or null.
    Collection* find(std::string_view ns) {
        const auto found = collections_.find(ns);
        return found == collections_.end() ? nullptr : &found->second;
    }
    /// Whether a view has that name. A time series is a view, too.
    bool has_view(std::string_view ns) const { return views_.contains(ns); }
    /// Whether a dump would have nothing of it: no view, and no collection but a server's own.
    bool empty() const {
        return views_.empty() && std::ranges::all_of(collections_, [](const auto& each) { return is_hidden_in_dumps(each.first); });
    }
    void add_view(std::string_view ns) { views_.emplace(ns); }
    void drop_view(std::string_view ns) {
        if (const auto found = views_.find(ns); found != views_.end()) views_.erase(found);
    }
    /// Whether a database has any collection.
    bool has_database(std::string_view database) const {
        const std::string prefix = std::string(database) + '.';
        const auto first = collections_.lower_bound(prefix);
        return first != collections_.end() && first->first.starts_with(prefix);
    }
    /// The namespace of the collection with that UUID, or null.
    const std::string* find_uuid(std::string_view uuid) const {
        const auto found = by_uuid_.find(uuid);
        return found == by_uuid_.end() ? nullptr : &found->second;
    }

    /// Creates a collection. It replaces any other one of that name.
    Collection& create(std::string_view ns, std::string_view uuid) {
        drop(ns);
        Collection& made = collections_[std::string(ns)];
        made.uuid = uuid;
        if (!uuid.empty()) by_uuid_[made.uuid] = ns;
        return made;
    }
    /// Gives a collection the UUID by which entries tell it from others. The metadata of a time series has none.
    void identify(std::string_view ns, std::string_view uuid) {
        collections_.find(ns)->second.uuid = uuid;
        by_uuid_[std::string(uuid)] = ns;
    }
    /// The collection with that name. If there is none, creates one about which nothing is known.
    Collection& find_or_create(std::string_view ns) {
        Collection* const found = find(ns);
        return found ? *found : create(ns, {});
    }
    /// Drops a collection, if it exists. The views of a database go with the collection that defines them.
    void drop(std::string_view ns) {
        if (const auto [database, name] = split_namespace(ns); name == views_collection) drop_views(database);
        const auto found = collections_.find(ns);
        if (found == collections_.end()) return;
        by_uuid_.erase(found->second.uuid);
        collections_.erase(found);
    }
    /// Drops every collection and view of a database.
    void drop_database(std::string_view database) {
        drop_views(database);
        const std::string prefix = std::string(database) + '.';
        for (auto at = collections_.lower_bound(prefix); at != collections_.end() && at->first.starts_with(prefix);) {
            by_uuid_.erase(at->second.uuid);
            at = collections_.erase(at);
        }
    }
    /// Renames a collection with its indexes. It replaces any other one of the new name.
    void rename(std::string_view from, std::string_view to) {
        drop(to);
        const auto found = collections_.find(from);
        if (found == collections_.end()) return;
        auto node = collections_.extract(found);
        node.key() = to;
        Collection& moved = node.mapped();
        moved.indexes_changed = true;
        for (Index& index : moved.indexes) index.collection = split_namespace(to).collection;
        if (!moved.uuid.empty()) by_uuid_[moved.uuid] = to;
        collections_.insert(std::move(node));
    }

    /// Adds an index, or replaces the index of that name. `spec` is the specification in a createIndexes or
    /// commitIndexBuild. Throws DataError for a specification without a name.
    void add_index(std::string_view ns, const bson::Document& spec, bool may_be_older = false) {
        Collection& collection = find_or_create(ns);
        const auto name = spec.find("name");
        if (!name) throw DataError(Fault::missing_field, "an index without a name");
        if (const auto old = collection.index(name->string()); old != collection.indexes.end()) collection.indexes.erase(old);
        collection.indexes.push_back(
            {std::string(name->string()), bson::Value(spec), std::string(split_namespace(ns).collection), may_be_older});
        collection.indexes_changed = true;
    }
    /// Drops an index. Returns false if there is no such index, or if it may be older than what is known.
    bool drop_index(std::string_view ns, std::string_view name) {
        Collection* const collection = find(ns);
        if (!collection) return false;
        const auto index = collection->index(name);
        if (index == collection->indexes.end() || index->may_be_older) return false;
        collection->indexes.erase(index);
        collection->indexes_changed = true;
        return true;
    }
    /// Changes an index as the `index` of a collMod says. Returns false if there is no such index, or if it may be
    /// older than what is known.
    bool modify_index(std::string_view ns, const bson::Document& change) {
        Collection* const collection = find(ns);
        if (!collection) return false;
        const auto name = change.find("name"), key = change.find("keyPattern");
        const auto index = std::ranges::find_if(collection->indexes, [&](const Index& each) {
            return name ? each.name == name->string() : key && each.spec.view().find("key")->value() == key->value();
        });
        if (index == collection->indexes.end() || index->may_be_older) return false;
        // A change applies only to the index on the buckets; the form that the series shows may stay as it was.
        if (const auto buckets = split_namespace(ns).collection; !collection->time_field.empty() && index->collection != buckets)
            if (auto spec = index_on_buckets(index->spec.view(), collection->time_field, collection->meta_field)) {
                index->spec = std::move(*spec);
                index->collection = buckets;
            }
        index->spec = modified_index(index->spec.view(), change);
        collection->indexes_changed = true;
        return true;
    }

  private:
    void drop_views(std::string_view database) {
        const std::string prefix = std::string(database) + '.';
        for (auto at = views_.lower_bound(prefix); at != views_.end() && at->starts_with(prefix);) at = views_.erase(at);
    }

    Collections collections_;
    std::set<std::string, std::less<>> views_;
    std::map<std::string, std::string, std::less<>> by_uuid_;
};

} // namespace oplog

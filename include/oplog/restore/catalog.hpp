// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/entry/operation.hpp>
#include <oplog/restore/time_series.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// One index of a collection.
struct Index {
    std::string name;
    bson::Value spec;       ///< key, name, and all its options
    std::string collection; ///< the name that `spec` is for: a time series' indexes are told in terms of the
                            ///< series by a dump and of its buckets by an oplog, and the two do not mix
    bool may_be_older = false; ///< than what is known: a server to be restored to may have it already
};

/// How coarse the buckets of a time series are, by the options of its creation or by a collMod; -1 if they do not say.
inline int granularity(const bson::Document& options) {
    const auto series = options.find("timeseries");
    const auto found = series ? series->document().find("granularity") : std::nullopt;
    if (!found) return -1;
    constexpr std::string_view from_fine[] = {"seconds", "minutes", "hours"};
    return static_cast<int>(std::ranges::find(from_fine, found->string()) - from_fine);
}

/// Whether a collection with these options is capped. Servers take any true value.
inline bool is_capped(const bson::Document& options) {
    const auto capped = options.find("capped");
    return capped && capped->truthy();
}

/// Whether a collection with these options is clustered and capped: what convertToCapped makes of a clustered one, and what
/// a server creates for nobody who asks (Location6127800). It drops nothing at its front, and its order is that of `_id`.
inline bool is_capped_cluster(const bson::Document& options) {
    return is_capped(options) && options.find("clusteredIndex");
}

/// What is known of a collection at a point of an oplog.
struct Collection {
    std::string uuid;                     ///< 16 bytes; empty if unknown
    std::optional<std::string> dumped_as; ///< its namespace in the full dump; none if it was made since
    std::vector<Index> indexes;           ///< all that are known, `_id_` too where there is one
    std::string time_field, meta_field;   ///< of a time series that the full dump has
    int granularity = -1;                 ///< of a time series, see granularity()
    bool is_capped = false;               ///< in the full dump
    bool is_capped_cluster = false;       ///< in the full dump
    bool indexes_changed = false;         ///< since the dump: they, or the name that they are under

    std::vector<Index>::iterator index(std::string_view name) {
        return std::ranges::find(indexes, name, &Index::name);
    }
};

/// An index's specification after a collMod, told by its `index`. An option that is switched off is not there at all,
/// as the server has it.
inline bson::Value modified_index(const bson::Document& spec, const bson::Document& change) {
    const auto wanted = [&](std::string_view option) -> std::optional<bson::Element> {
        return option == "name" || option == "keyPattern" || option == "key" || option == "forceNonUnique" ? std::nullopt : change.field(option);
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

/// The collections of a server and their indexes, by the names that oplog entries use: a time series is its buckets.
/// Follows the commands that change them.
class Catalog {
  public:
    using Collections = std::map<std::string, Collection, std::less<>>;

    const Collections& collections() const noexcept { return collections_; }

    Collection* find(std::string_view ns) {
        const auto found = collections_.find(ns);
        return found == collections_.end() ? nullptr : &found->second;
    }
    /// Whether there is anything in a database.
    bool has_database(std::string_view database) const {
        const std::string prefix = std::string(database) + '.';
        const auto first = collections_.lower_bound(prefix);
        return first != collections_.end() && first->first.starts_with(prefix);
    }
    /// The namespace of the collection with that UUID; null if there is none.
    const std::string* find_uuid(std::string_view uuid) const {
        const auto found = by_uuid_.find(uuid);
        return found == by_uuid_.end() ? nullptr : &found->second;
    }

    /// A new collection, instead of any other of that name.
    Collection& create(std::string_view ns, std::string_view uuid) {
        drop(ns);
        Collection& made = collections_[std::string(ns)];
        made.uuid = uuid;
        if (!uuid.empty()) by_uuid_[made.uuid] = ns;
        return made;
    }
    /// The collection of that name; one about which nothing is known if there is none.
    Collection& get(std::string_view ns) {
        Collection* const found = find(ns);
        return found ? *found : create(ns, {});
    }
    void drop(std::string_view ns) {
        const auto found = collections_.find(ns);
        if (found == collections_.end()) return;
        by_uuid_.erase(found->second.uuid);
        collections_.erase(found);
    }
    void drop_database(std::string_view database) {
        const std::string prefix = std::string(database) + '.';
        for (auto at = collections_.lower_bound(prefix); at != collections_.end() && at->first.starts_with(prefix);) {
            by_uuid_.erase(at->second.uuid);
            at = collections_.erase(at);
        }
    }
    /// The collection takes its indexes along, and replaces any of the new name.
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

    /// Adds an index, or replaces the one of its name. `spec` is as a createIndexes or commitIndexBuild tells it.
    void add_index(std::string_view ns, const bson::Document& spec, bool may_be_older = false) {
        Collection& collection = get(ns);
        const auto name = spec.find("name");
        if (!name) throw DataError(Fault::missing_field, "an index without a name");
        if (const auto old = collection.index(name->string()); old != collection.indexes.end()) collection.indexes.erase(old);
        collection.indexes.push_back({std::string(name->string()), bson::Value(spec), std::string(split_namespace(ns).collection), may_be_older});
        collection.indexes_changed = true;
    }
    /// False if there is no such index, or if it may be older than what is known.
    bool drop_index(std::string_view ns, std::string_view name) {
        Collection* const collection = find(ns);
        if (!collection) return false;
        const auto index = collection->index(name);
        if (index == collection->indexes.end() || index->may_be_older) return false;
        collection->indexes.erase(index);
        collection->indexes_changed = true;
        return true;
    }
    /// Changes an index as the `index` of a collMod says. False if there is no such index, or if it may be older than what is known.
    bool modify_index(std::string_view ns, const bson::Document& change) {
        Collection* const collection = find(ns);
        if (!collection) return false;
        const auto name = change.find("name"), key = change.find("keyPattern");
        const auto index = std::ranges::find_if(collection->indexes, [&](const Index& each) {
            return name ? each.name == name->string() : key && each.spec.view().find("key")->value() == key->value();
        });
        if (index == collection->indexes.end() || index->may_be_older) return false;
        // A change comes to the index on the buckets alone; what the series tells of it may stay as it was.
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
    Collections collections_;
    std::map<std::string, std::string, std::less<>> by_uuid_;
};

} // namespace oplog

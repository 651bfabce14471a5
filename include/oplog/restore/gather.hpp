// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/restore/apply.hpp>
#include <oplog/restore/coordinators.hpp>
#include <oplog/restore/sharding.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// One shard of a cluster at the wanted time.
struct ShardState {
    std::string id;
    Applier* applier;
    const Coordinators* coordinators;
};

/// A collection of a cluster, and where its documents are.
struct GatheredCollection {
    struct Part {
        std::size_t shard; ///< which of the cluster's
        AppliedCollection* collection;
    };

    std::string ns;                   ///< "db.system.buckets.ts" for a time series
    std::string uuid;                 ///< 16 bytes, or empty
    std::optional<ChunkMap> chunks{}; ///< none for one that counts on one shard alone
    bool sharded = false;             ///< false also for one that the catalogue knows and that is not sharded
    bool unique = false;
    std::vector<Part> parts{};
    Metadata metadata{};
    std::optional<DataError> fault{}; ///< why what it holds is not known; none of the above counts then

    std::string logical_ns() const { return logical_namespace(ns); }
    /// Whether a document counts that is on a shard. Throws DataError.
    bool owns(const std::string& shard, const bson::Document& document) const { return !chunks || chunks->owner(document) == shard; }
};

/// A range of a collection that is for shards of one zone.
struct ZoneRange {
    std::string ns;
    bson::Value min, max;
    std::string zone;
};

/// What a sharded cluster holds at one moment, out of the states of its config servers and its shards then: which collections there are, and
/// which document on which shard counts. Collections are told by their UUIDs, for while an operation on a collection is under
/// way its name is another on each shard; such an operation is taken for done as soon as one shard has begun it, and else for not begun.
class Cluster {
  public:
    /// The states are finished up to Applier::seal(), and outlive this. Throws DataError for what cannot be told.
    Cluster(Applier& config, std::vector<ShardState> shards) : config_(&config), shards_(std::move(shards)) {
        for (const ShardState& shard : shards_) {
            auto& index = by_uuid_.emplace_back();
            for (AppliedCollection& collection : shard.applier->collections())
                index.emplace(collection.uuid.empty() ? collection.ns() : collection.uuid, &collection);
        }
        read_catalog();
        follow_operations();
        for (const auto& [ns, entry] : catalog_) gone_.insert(entry.uuid); // these are no unsharded ones
        add_sharded();
        add_unsharded();
        add_views();
        std::ranges::sort(collections_, {}, &GatheredCollection::ns);
    }

    const std::vector<ShardState>& shards() const noexcept { return shards_; }
    std::vector<GatheredCollection>& collections() noexcept { return collections_; }
    const std::map<std::string, Metadata>& views() const noexcept { return views_; }
    const std::vector<ZoneRange>& zone_ranges() const noexcept { return zone_ranges_; }
    /// The zones of each shard.
    const std::map<std::string, std::vector<std::string>>& zones() const noexcept { return zones_; }
    /// The shard that has what is not sharded of a database.
    const std::string& primary(const std::string& database) const { return primaries_.at(database); }
    /// Where shards disagree about a collection's options and indexes: a sentence each.
    const std::vector<std::string>& differences() const noexcept { return differences_; }

    /// The ids of the shards, by the config servers.
    static std::set<std::string> shard_ids(Applier& config) {
        std::set<std::string> ids;
        for_each_document(config, "config.shards", [&](const bson::Document& shard) { ids.emplace(string_of(shard, "_id")); });
        return ids;
    }
    /// The cluster's own id, which each shard has too; empty if it is not known.
    static std::string cluster_id(Applier& config) {
        std::string id;
        for_each_document(config, "config.version", [&](const bson::Document& version) {
            if (const auto found = version.field("clusterId")) id = found->value();
        });
        return id;
    }

    /// The shards that own chunks of each sharded time series, by the namespaces of the buckets. mongodump dumps buckets on the
    /// database's primary shard alone.
    static std::map<std::string, std::set<std::string>> owners_of_buckets(Applier& config) {
        std::map<std::string, std::string> names; // by UUIDs
        for_each_document(config, "config.collections", [&](const bson::Document& collection) {
            const std::string_view ns = string_of(collection, "_id");
            if (const auto uuid = collection.field("uuid"); uuid && split_namespace(ns).collection.starts_with(buckets_prefix))
                names.emplace(uuid->binary_data(), ns);
        });
        std::map<std::string, std::set<std::string>> owners;
        for_each_document(config, "config.chunks", [&](const bson::Document& chunk) {
            const auto uuid = chunk.field("uuid");
            const auto found = uuid ? names.find(std::string(uuid->binary_data())) : names.end();
            if (found != names.end()) owners[found->second].emplace(string_of(chunk, "shard"));
        });
        return owners;
    }
    static DataError buckets_missing(const std::string& ns, const std::string& shard) {
        return DataError(Fault::incomplete,
                         "collection " + logical_namespace(ns) + ": shard " + shard + " owns chunks of it, and its chain has no buckets",
                         "mongodump dumps the buckets of a time series on the database's primary shard alone; --exclude-ns leaves it out");
    }

    /// Calls use(const bson::Document&) for each document of a collection, if there is one of that name.
    template <class Use>
    static void for_each_document(Applier& applier, std::string_view ns, Use use) {
        for (AppliedCollection& collection : applier.collections()) {
            if (collection.ns() != ns) continue;
            Applier::require_whole(collection);
            AppliedDocuments documents = applier.documents(collection, Check::structure);
            while (const auto document = documents.next()) use(bson::Document(*document));
        }
    }

  private:
    struct Entry { ///< of config.collections
        std::string uuid;
        bson::Value document;
    };

    static std::string_view string_of(const bson::Document& document, std::string_view field) {
        const auto found = document.field(field);
        if (!found)
            throw DataError(Fault::missing_field,
                            "the config servers have a document without '" + std::string(field) + "': " + to_json(document));
        return found->string();
    }
    static bool is_true(const bson::Document& document, std::string_view field) {
        const auto found = document.field(field);
        return found && found->truthy();
    }
    static bool is_own(std::string_view database) { return database == "admin" || database == "config" || database == "local"; }
    static bool is_resharding(std::string_view ns) { return split_namespace(ns).collection.starts_with("system.resharding."); }

    void read_catalog() {
        for_each_document(*config_, "config.databases", [&](const bson::Document& database) {
            const std::string name(string_of(database, "_id"));
            if (!is_own(name)) primaries_[name] = string_of(database, "primary");
        });
        for_each_document(*config_, "config.collections", [&](const bson::Document& collection) {
            const std::string_view ns = string_of(collection, "_id");
            if (is_true(collection, "dropped") || is_resharding(ns) || is_own(split_namespace(ns).database)) return;
            const auto uuid = collection.field("uuid");
            catalog_[std::string(ns)] = {uuid ? std::string(uuid->binary_data()) : std::string(), bson::Value(collection)};
        });
        for_each_document(*config_, "config.chunks", [&](const bson::Document& chunk) {
            const auto uuid = chunk.field("uuid"), ns = chunk.field("ns");
            if (uuid)
                chunks_by_uuid_[std::string(uuid->binary_data())].emplace_back(chunk);
            else if (ns)
                chunks_by_ns_[std::string(ns->string())].emplace_back(chunk);
        });
        for_each_document(*config_, "config.tags", [&](const bson::Document& range) {
            const auto min = range.field("min"), max = range.field("max");
            if (min && max)
                zone_ranges_.push_back({std::string(string_of(range, "ns")), bson::Value(min->document()), bson::Value(max->document()),
                                        std::string(string_of(range, "tag"))});
        });
        for_each_document(*config_, "config.shards", [&](const bson::Document& shard) {
            if (const auto tags = shard.field("tags"))
                for (const bson::Element& tag : tags->array()) zones_[std::string(string_of(shard, "_id"))].emplace_back(tag.string());
        });
    }

    // ---- operations under way ----

    void follow_operations() {
        for (const ShardState& shard : shards_)
            for (const Coordinators::Operation& operation : shard.coordinators->under_way()) {
                const std::string_view type = operation.type;
                if (type.starts_with("renameCollection"))
                    follow_rename(shard, operation);
                else if (type.starts_with("dropCollection"))
                    follow_drop(shard, operation);
                else if (type.starts_with("dropDatabase"))
                    follow_drop_database(shard, operation);
            }
    }
    const bson::Value& require_known(const ShardState& shard, const Coordinators::Operation& operation) const {
        if (operation.document) return *operation.document;
        throw DataError(
            Fault::incomplete,
            shard.id + ": " + operation.type + " of " + operation.ns +
                " is under way, and how far it has come is not known: it began before the backup. No moment before this one in the backup is known; " +
                first_known());
    }
    /// What is not known began before the backup: when the last of that has ended, all is known.
    std::string first_known() const {
        Timestamp first{};
        for (const ShardState& shard : shards_)
            for (const Coordinators::Operation& operation : shard.coordinators->under_way()) {
                if (operation.document || !is_followed(operation.type)) continue;
                if (!operation.ended) return "the backup ends before one is";
                first = std::max(first, *operation.ended);
            }
        return "the nearest after is " + to_string(first);
    }
    static bool is_followed(std::string_view type) {
        return type.starts_with("renameCollection") || type.starts_with("dropCollection") || type.starts_with("dropDatabase");
    }
    static std::string uuid_in(const bson::Document& document, std::string_view path) {
        const auto found = document.find(path);
        return found ? std::string(found->binary_data()) : std::string();
    }
    bool is_dropped_somewhere(std::string_view uuid) const {
        return !uuid.empty() && std::ranges::any_of(shards_, [&](const ShardState& shard) { return shard.coordinators->dropped(uuid); });
    }
    /// By its UUID, or if none is known of it (dumps do not tell that of a time series) by its namespace.
    AppliedCollection* find(std::size_t shard, const std::string& key) const {
        const auto found = by_uuid_[shard].find(key);
        return found == by_uuid_[shard].end() ? nullptr : found->second;
    }
    bool has_uuid(std::string_view uuid) const {
        return std::ranges::any_of(catalog_, [&](const auto& each) { return each.second.uuid == uuid; });
    }

    void follow_rename(const ShardState& shard, const Coordinators::Operation& operation) {
        const bson::Document document = require_known(shard, operation).view();
        const std::string from = operation.ns, to(string_of(document, "to"));
        auto sharded = document.field("optShardedCollInfo");
        if (!sharded) sharded = document.field("optTrackedCollInfo"); // so from 8.0 on
        std::string source = uuid_in(document, "sourceUUID");
        if (source.empty() && sharded) source = uuid_in(sharded->document(), "uuid");
        if (source.empty()) return; // nothing has been done yet
        std::string target = uuid_in(document, "targetUUID");
        if (const auto old = catalog_.find(to); target.empty() && old != catalog_.end() && old->second.uuid != source)
            target = old->second.uuid;
        const bool is_done = is_dropped_somewhere(target) || [&] {
            for (std::size_t i = 0; i < shards_.size(); ++i)
                if (const AppliedCollection* const found = find(i, source); found && found->ns() == to) return true;
            return false;
        }();
        if (!is_done) return;
        if (!target.empty()) gone_.insert(target);
        std::optional<Entry> entry; // between the removal of the old one and the insertion of the new, the catalogue has none
        if (sharded) entry = Entry{source, bson::Value(sharded->document())};
        if (const auto old = catalog_.find(from); old != catalog_.end() && old->second.uuid == source) {
            if (!entry) entry = std::move(old->second);
            catalog_.erase(old);
        }
        if (const auto old = catalog_.find(to); old != catalog_.end() && old->second.uuid != source) catalog_.erase(old);
        if (entry && !catalog_.contains(to)) catalog_[to] = std::move(*entry);
        if (!catalog_.contains(to) && chunks_by_uuid_.contains(source))
            throw DataError(Fault::incomplete, shard.id + ": " + operation.type + " of " + from +
                                                   " is under way, and its document does not tell how the collection is sharded");
        for (ZoneRange& range : zone_ranges_)
            if (range.ns == from) range.ns = to;
    }
    void follow_drop(const ShardState& shard, const Coordinators::Operation& operation) {
        const std::string uuid = uuid_in(require_known(shard, operation).view(), "collInfo.uuid");
        if (!uuid.empty() && !has_uuid(uuid)) gone_.insert(uuid);
    }
    void follow_drop_database(const ShardState& shard, const Coordinators::Operation& operation) {
        const std::string database(split_namespace(operation.ns).database);
        const std::string uuid = uuid_in(require_known(shard, operation).view(), "collInfo.uuid");
        const bool has_begun =
            !operation.began || (!uuid.empty() && !has_uuid(uuid)) || std::ranges::any_of(shards_, [&](const ShardState& each) {
                const auto last = each.coordinators->last_drop(database);
                return last && *last > *operation.began;
            });
        if (!has_begun) return;
        primaries_.erase(database);
        std::erase_if(catalog_, [&](const auto& each) { return split_namespace(each.first).database == database; });
    }

    // ---- collections ----

    /// By the UUID and by the namespace: while the feature compatibility version becomes 5.0, chunk after chunk is given its UUID. Of
    /// one name there may be leftovers, of another epoch.
    std::vector<bson::Value> chunks_of(const std::string& ns, const Entry& entry) {
        std::vector<bson::Value> chunks;
        if (const auto found = chunks_by_uuid_.find(entry.uuid); found != chunks_by_uuid_.end()) chunks = std::move(found->second);
        const auto epoch = entry.document.view().field("lastmodEpoch");
        if (const auto found = chunks_by_ns_.find(ns); found != chunks_by_ns_.end())
            for (bson::Value& chunk : found->second)
                if (const auto its = chunk.view().field("lastmodEpoch"); !its || !epoch || its->value() == epoch->value())
                    chunks.push_back(std::move(chunk));
        return chunks;
    }

    void add_sharded() {
        for (const auto& [ns, entry] : catalog_) {
            GatheredCollection made{ns, entry.uuid};
            made.sharded = !is_true(entry.document.view(), "unsplittable");
            made.unique = is_true(entry.document.view(), "unique");
            const bool is_of_5_0 = chunks_by_uuid_.contains(entry.uuid);
            try {
                locate(made, entry);
                collect_metadata(made);
            } catch (const DataError& error) {
                if (!is_of_5_0 && is_being_dropped(entry.uuid)) continue;
                made.fault = error;
            }
            collections_.push_back(std::move(made));
        }
    }
    /// Before 5.0 no coordinator's document tells of a drop: the shards drop the collection, then its chunks go one by one, and the catalogue
    /// knows it up to the end.
    bool is_being_dropped(const std::string& uuid) const {
        for (std::size_t i = 0; i < shards_.size(); ++i)
            if (shards_[i].coordinators->dropped(uuid) && !find(i, uuid)) return true;
        return false;
    }
    /// Finds the collection's chunks, and itself on the shards that own some.
    void locate(GatheredCollection& made, const Entry& entry) {
        const auto fault = [&](Fault kind, const std::string& text) {
            return DataError(kind, "collection " + made.logical_ns() + ": " + text, "--exclude-ns leaves it out");
        };
        if (!primaries_.contains(split_namespace(made.ns).database))
            throw fault(Fault::inconsistent, "the config servers do not know its database");
        const auto key = entry.document.view().field("key");
        if (!key) throw fault(Fault::missing_field, "the config servers do not know its shard key");
        try {
            made.chunks.emplace(ShardKey(key->document()), chunks_of(made.ns, entry));
        } catch (const DataError& error) {
            throw fault(error.fault(), error.what());
        }
        for (const ChunkMap::Chunk& chunk : made.chunks->chunks())
            if (std::ranges::find(shards_, chunk.shard, &ShardState::id) == shards_.end())
                throw fault(Fault::inconsistent, "chunks are on shard " + chunk.shard + ", which is none of the cluster's");
        for (std::size_t i = 0; i < shards_.size(); ++i) {
            if (!made.chunks->owns_any(shards_[i].id)) continue;
            AppliedCollection* found = made.uuid.empty() ? nullptr : find(i, made.uuid);
            if (!found) found = find(i, made.ns);
            if (found) {
                made.parts.push_back({i, found});
                continue;
            }
            if (split_namespace(made.ns).collection.starts_with(buckets_prefix)) throw buckets_missing(made.ns, shards_[i].id);
            throw fault(Fault::incomplete,
                        "shard " + shards_[i].id + " owns chunks of it, and has no collection with its UUID " + bson::to_hex(made.uuid));
        }
    }

    void add_unsharded() {
        for (std::size_t i = 0; i < shards_.size(); ++i)
            for (AppliedCollection& collection : shards_[i].applier->collections()) {
                const auto primary = primaries_.find(collection.database);
                if (primary == primaries_.end() || primary->second != shards_[i].id || is_hidden_in_dumps(collection.ns())) continue;
                if (catalog_.contains(collection.ns())) continue; // sharded, or a leftover of that name
                if (!collection.uuid.empty() && gone_.contains(collection.uuid)) continue;
                add_whole(i, collection);
            }
        for (const auto& [database, primary] : primaries_)
            if (std::ranges::find(shards_, primary, &ShardState::id) == shards_.end())
                throw DataError(Fault::inconsistent,
                                "database " + database + " is on shard " + primary + ", which is none of the cluster's");
    }
    void add_whole(std::size_t shard, AppliedCollection& collection) {
        GatheredCollection made{collection.ns(), collection.uuid};
        made.parts.push_back({shard, &collection});
        made.metadata = collection.dumped_metadata();
        collections_.push_back(std::move(made));
    }

    void add_views() {
        for (const ShardState& shard : shards_)
            for (auto& [ns, view] : shard.applier->views()) {
                const auto primary = primaries_.find(split_namespace(ns).database);
                if (primary != primaries_.end() && primary->second == shard.id) views_.emplace(ns, view);
            }
    }

    /// Those of the primary shard if it has a part, else of the first that has; of indexes only those that all have.
    void collect_metadata(GatheredCollection& made) {
        const auto [database, collection] = split_namespace(made.ns);
        const auto primary = primaries_.find(database);
        const auto is_primary = [&](const GatheredCollection::Part& part) {
            return primary != primaries_.end() && shards_[part.shard].id == primary->second;
        };
        const auto at = std::ranges::find_if(made.parts, is_primary);
        const GatheredCollection::Part& first = at == made.parts.end() ? made.parts.front() : *at;
        made.metadata = first.collection->dumped_metadata();
        made.metadata.collection = made.logical_ns().substr(database.size() + 1);
        if (!made.uuid.empty() && !made.metadata.uuid.empty()) made.metadata.uuid = bson::to_hex(made.uuid);
        const auto named = [](const Metadata& metadata, std::string_view name) -> const bson::Value* {
            const auto found =
                std::ranges::find_if(metadata.indexes, [&](const bson::Value& spec) { return spec.view().find("name")->string() == name; });
            return found == metadata.indexes.end() ? nullptr : &*found;
        };
        const auto differ = [&](const GatheredCollection::Part& a, const std::string& has, const GatheredCollection::Part& b,
                                const std::string& has_too) {
            differences_.push_back(made.logical_ns() + ": shard " + shards_[a.shard].id + " has " + has + ", shard " + shards_[b.shard].id +
                                   " " + has_too);
        };
        for (const GatheredCollection::Part& part : made.parts) {
            if (&part == &first) continue;
            const Metadata other = part.collection->dumped_metadata();
            if (other.options != made.metadata.options)
                differ(first, "the options " + to_json(made.metadata.options.view()), part,
                       to_json(other.options.view()) + ": the first are taken");
            std::erase_if(made.metadata.indexes, [&](const bson::Value& spec) {
                const bson::Value* const theirs = named(other, spec.view().find("name")->string());
                if (!theirs)
                    differ(first, "the index " + to_json(spec.view()), part, "has not: it is left out");
                else if (*theirs != spec)
                    differ(first, "the index " + to_json(spec.view()), part, to_json(theirs->view()) + ": the first is taken");
                return !theirs;
            });
            for (const bson::Value& spec : other.indexes)
                if (!named(first.collection->metadata, spec.view().find("name")->string()))
                    differ(part, "the index " + to_json(spec.view()), first, "has not: it is left out");
        }
    }

    Applier* config_;
    std::vector<ShardState> shards_;
    std::map<std::string, std::string, std::less<>> primaries_; ///< databases, and the shards that have what of them is not sharded
    std::map<std::string, Entry> catalog_;                      ///< of collections, by their namespaces
    std::map<std::string, std::vector<bson::Value>> chunks_by_uuid_, chunks_by_ns_; ///< by ns without UUIDs, as before 5.0
    std::vector<std::map<std::string, AppliedCollection*>> by_uuid_;                ///< of each shard
    std::set<std::string> gone_; ///< UUIDs of what is no unsharded collection, though its shard has it: it is sharded, or gone
    std::vector<GatheredCollection> collections_;
    std::map<std::string, Metadata> views_;
    std::vector<ZoneRange> zone_ranges_;
    std::map<std::string, std::vector<std::string>> zones_;
    std::vector<std::string> differences_;
};

} // namespace oplog

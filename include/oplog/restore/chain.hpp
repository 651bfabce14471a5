// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/io/files.hpp>
#include <oplog/restore/catalog.hpp>
#include <oplog/restore/dump.hpp>
#include <oplog/restore/stage.hpp>
#include <oplog/stream/late_reader.hpp>
#include <oplog/stream/merge.hpp>
#include <oplog/stream/range.hpp>
#include <oplog/stream/readings.hpp>

#include <array>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

namespace detail {

/// Whether a collection is one for users or roles, but has none. mongorestore does not create such a collection.
inline bool is_nothing(const DumpCollection& dumped) {
    return is_of_users(dumped.ns()) && (dumped.data.empty() || !DocumentReader(dumped.data).next());
}

} // namespace detail

/// Builds a catalog of the collections and indexes that a dump's metadata describes, under the names that its oplog
/// uses. Includes only those for which `selects(ns)` is true. Throws DataError.
template <class Selects>
Catalog catalog_of(const Dump& dump, Selects selects) {
    Catalog catalog;
    for (const DumpCollection& dumped : dump.collections()) {
        if (!selects(dumped.ns())) continue;
        const Metadata metadata = dumped.read_metadata();
        if (const std::string* other = metadata.uuid.empty() ? nullptr : catalog.find_uuid(metadata.uuid_bytes()))
            dumped.fail_same_uuid(*other);
        // A restored view or time series brings along the collection that defines it, which is in no dump.
        if (metadata.is_view() || metadata.is_timeseries()) {
            catalog.find_or_create(join_namespace(dumped.database, views_collection));
            catalog.add_view(dumped.ns());
        }
        if (metadata.is_view() || detail::is_nothing(dumped)) continue;
        const std::string name = (metadata.is_timeseries() ? std::string(buckets_prefix) : "") + dumped.name;
        Collection& collection = catalog.create(join_namespace(dumped.database, name), metadata.uuid_bytes());
        collection.dumped_as = dumped.ns();
        const bson::Document options(metadata.options);
        if (const auto series = options.find("timeseries")) {
            const auto field = [&](std::string_view which) {
                const auto found = series->document().find(which);
                return found ? std::string(found->string()) : std::string();
            };
            collection.time_field = field("timeField");
            collection.meta_field = field("metaField");
        }
        collection.is_capped = is_capped(options);
        collection.is_capped_cluster = is_capped_cluster(options);
        collection.granularity = granularity(options);
        for (const bson::Value& dumped_spec : metadata.indexes) {
            const bson::Document spec = dumped_spec.view();
            const auto on_buckets = metadata.is_timeseries() && is_unrestorable_geo_index(spec)
                                        ? index_on_buckets(spec, collection.time_field, collection.meta_field)
                                        : std::nullopt;
            collection.indexes.push_back(
                {std::string(spec.find("name")->string()), on_buckets.value_or(dumped_spec), on_buckets ? name : dumped.name});
            collection.indexes_changed |= on_buckets.has_value();
        }
    }
    return catalog;
}
/// The same for all collections.
inline Catalog catalog_of(const Dump& dump) {
    return catalog_of(dump, [](const std::string&) { return true; });
}

/// Writes a collection of a dump as entries: its creation under the name `ns`, and the insertion of each document. Its
/// indexes are not included. The entries have consecutive timestamps from `ts` on. Returns the next timestamp.
template <class Write>
Timestamp write_as_entries(const DumpCollection& dumped, std::string_view ns, Timestamp ts, Write&& write) {
    const auto [database, name] = split_namespace(ns);
    const auto write_entry = [&](std::string_view op, std::string_view entry_ns, const bson::Document& o) {
        write(bson::Builder().string("op", op).string("ns", entry_ns).document("o", o).timestamp("ts", ts).int64("v", 2).finish());
        ts = Timestamp::from_packed(ts.packed() + 1);
    };
    const Metadata metadata = dumped.read_metadata();
    bson::Builder creation;
    creation.string("create", name);
    for (const bson::Element& option : bson::Document(metadata.options)) creation.append(option);
    const std::string o = creation.finish();
    write_entry("c", join_namespace(database, "$cmd"), bson::Document(o));
    if (dumped.data.empty()) return ts;
    DocumentReader documents(dumped.data);
    for (const bson::Document& document : documents) write_entry("i", ns, document);
    return ts;
}

/// A full dump, if there is one, and its increments in any order: the input of stage, verify and apply.
class Chain {
  public:
    /// A file, and its name in messages.
    struct Slice {
        std::string path;
        std::string name;
    };

    /// The paths of the slices must be regular files, because they are read more than once. Throws std::system_error
    /// and DataError; the latter also for a full dump without an oplog or with an empty one, because then nothing says
    /// at what time it was made or what continues it.
    Chain(std::optional<std::string> full, std::vector<Slice> slices) : slices_(std::move(slices)) {
        if (!full) return;
        std::error_code unknown;
        if (std::filesystem::is_regular_file(*full, unknown)) DocumentReader(*full).next(); // names the kind of file, such as an archive
        full_.emplace(*full);
        if (!full_->oplog()) throw DataError(Fault::incomplete, *full + ": no oplog.bson in it: it was not made with mongodump --oplog");
        slices_.insert(slices_.begin(), {*full_->oplog(), *full_->oplog()});
        span_ = range(Reader(*full_->oplog()));
        if (span_.empty()) throw DataError(Fault::empty, *full_->oplog() + ": no entries: nothing tells what time the full dump is of");
        dump_start_ = start_of(*full_->oplog());
    }

    /// The full dump, or none.
    const std::optional<Dump>& full() const noexcept { return full_; }
    /// All slices; the first is the full dump's oplog.
    const std::vector<Slice>& slices() const noexcept { return slices_; }
    /// The last entry of the full dump's oplog. The dump with its oplog is the server's state at that time. None
    /// without a full dump.
    std::optional<Timestamp> consistent_point() const { return full_ ? std::optional(span_.last) : std::nullopt; }
    /// When the full dump was started, at the earliest: the dump has everything that had committed by then. That is the first
    /// entry of its oplog, or if that entry begins a transaction, the last commit of an older one before it ends. None
    /// without a full dump.
    std::optional<Timestamp> dump_start() const { return dump_start_; }

    /// Merges all slices, to be read once.
    template <class In = Reader>
    Merge<LateReader<In>> merged(Continuity continuity = Continuity::chain, Check check = Check::frame) const {
        return merged_by([check](const Slice& slice) { return In(typename In::source_type(slice.path), slice.name, check); }, continuity);
    }
    /// The same by the readers that `open(slice)` returns, each when its turn comes.
    template <class Open>
    auto merged_by(Open open, Continuity continuity = Continuity::chain) const {
        std::vector<LateReader<std::invoke_result_t<Open, const Slice&>>> readers;
        readers.reserve(slices_.size());
        for (const Slice& slice : slices_) readers.emplace_back(slice.path, slice.name, [slice, open] { return open(slice); });
        return Merge(std::move(readers), continuity);
    }

    /// The initial state for staging, with those of the dump's collections for which `selects(ns)` is true.
    template <class Selects>
    Stager::Start start(Selects selects) const {
        Stager::Start start;
        if (full_) start.catalog = catalog_of(*full_, selects);
        start.dump_start = dump_start();
        start.consistent_point = consistent_point();
        // SERVER-63201 lets deletes be replayed there.
        if (const auto version = full_ ? full_->server_version() : std::nullopt)
            start.gives_up_by_itself =
                *version >= std::array{5, 0, 0} && *version < std::array{5, 3, 0} && !((*version)[1] == 0 && (*version)[2] >= 7);
        return start;
    }
    /// The same for all collections.
    Stager::Start start() const {
        return start([](const std::string&) { return true; });
    }

    /// Finds out what the full dump has of capped collections with entries up to its consistent point. It reads those
    /// collections and, where one of them does not log what it drops, those entries. Throws DataError where that cannot be told.
    void examine_capped(Stager::Start& start) const {
        Removed& removed = start.removed;
        removed.absent = std::move(removed.updated);
        std::map<std::string, std::vector<Insertion>, std::less<>> inserted; // by UUID, where drops are not logged
        std::map<std::string, const DumpCollection*> dumped;
        for (const auto& [ns, collection] : start.catalog.collections()) {
            const auto capped = removed.capped.find(collection.uuid);
            const DumpCollection* const of_it = full_ && collection.dumped_as ? full_->find(*collection.dumped_as) : nullptr;
            if (!of_it || of_it->data.empty() || capped == removed.capped.end()) continue;
            dumped[collection.uuid] = of_it;
            if (!capped->second.tells) inserted[collection.uuid];
        }
        if (!inserted.empty())
            for (auto entries = merged(Continuity::gaps); const EntryView& entry : entries) {
                if (entry.ts() > span_.last) break;
                for_each_operation(entry, [&](const Operation& operation) {
                    const auto found = operation.is_insert() ? inserted.find(operation.ui) : inserted.end();
                    const auto id = found == inserted.end() ? std::nullopt : operation.o.find("_id");
                    if (id) found->second.push_back({std::string(id->bytes()), entry.ts()});
                });
            }
        for (const auto& [uuid, of_it] : dumped) {
            const std::vector<Insertion>& insertions = inserted[uuid];
            std::deque<std::string> newest; // `_id`s, the last of which was inserted last
            DocumentReader documents(of_it->data);
            for (const bson::Document& document : documents) {
                const auto id = document.find("_id");
                const std::string bytes(id ? id->bytes() : "");
                removed.absent.erase(uuid + bytes);
                newest.push_back(bytes);
                if (newest.size() > insertions.size()) newest.pop_front();
            }
            auto& capped = removed.capped.find(uuid)->second;
            capped.seen = last_seen(insertions, newest, of_it->ns());
            for (const auto& [inserted_id, ts] : insertions)
                if (capped.seen && ts <= *capped.seen) capped.inserted[inserted_id] = ts;
        }
    }

  private:
    struct Insertion {
        std::string id;
        Timestamp ts;
    };
    /// Which insertion is the last that a collection has which drops its oldest documents: what it ends with are those up to it, as
    /// far as it has them still.
    static std::optional<Timestamp> last_seen(const std::vector<Insertion>& insertions, const std::deque<std::string>& newest,
                                              const std::string& ns) {
        std::optional<Timestamp> found;
        for (std::size_t i = 0; i < insertions.size(); ++i) {
            const std::size_t both = std::min(i + 1, newest.size());
            std::size_t same = 0;
            while (same < both && insertions[i - same].id == newest[newest.size() - 1 - same]) ++same;
            if (same < both || both == 0) continue;
            if (std::exchange(found, insertions[i].ts))
                throw DataError(Fault::not_supported, ns + ", a capped collection, was given its last document twice while it was dumped, "
                                                           "and which of these the dump has cannot be told: oplog-apply restores it");
        }
        return found;
    }

    /// A dump's oplog begins where the oldest transaction began that was open when the dump was started, if there was one. What
    /// had begun before that was not open then: it had committed.
    static Timestamp start_of(const std::string& oplog) {
        TransactionTracker transactions;
        std::optional<TransactionId> oldest;
        Timestamp start{};
        for (Reader entries(oplog); const EntryView& entry : entries) {
            const TransactionTracker::Step step = transactions.add(entry);
            if (!oldest) {
                start = entry.ts();
                if (transactions.open().empty() || transactions.open().begin()->second.began_before) break;
                oldest = transactions.open().begin()->first;
            } else if (!transactions.open().contains(*oldest)) {
                break;
            } else if (step.closed && step.closed->began_before && step.info.commits()) {
                start = entry.ts();
            }
        }
        return start;
    }

    std::optional<Dump> full_;
    std::vector<Slice> slices_;
    Range span_;
    std::optional<Timestamp> dump_start_;
};

} // namespace oplog

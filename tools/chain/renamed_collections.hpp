// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What mongodump, which reads collections by name, gets wrong about collections that are renamed while it runs, and
/// how that is repaired. The oplog over the time of the dump tells by UUID which collections are affected.

#include "../lib/tool.hpp"

#include <oplog/entry/operation.hpp>
#include <oplog/entry/transaction.hpp>
#include <oplog/restore/dump.hpp>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace oplog::tools {

/// A later dump of one collection, and the entries of the oplog between which it was made.
struct DumpAgain {
    Timestamp after, to;
    std::string path;

    /// The directory is named after these two entries, as in "1795352339:981-1795352340:2".
    explicit DumpAgain(const std::filesystem::path& directory) : path(directory.string()) {
        const std::string name = directory.filename().string();
        const std::size_t dash = name.find('-');
        after = parse_timestamp(name.substr(0, dash));
        to = parse_timestamp(dash == name.npos ? "" : name.substr(dash + 1));
    }
    bool spans(Timestamp ts) const { return after < ts && ts <= to; }
};

/// Repairs a dump that was made without --oplog.
///
/// A collection that was renamed meanwhile may be in the dump with the documents of another one, with none, or twice.
/// So all such collections are removed. One that was created meanwhile is whole in the oplog, and one that was dropped
/// is not wanted. Each of the others is taken from a later dump of it alone, during which its name meant no other
/// collection. It gets the name that it had when the oplog begins, so that the renames continue from there.
class DumpMending {
  public:
    /// `dump` contains its oplog; `again` are later dumps. Throws DataError.
    DumpMending(const std::string& dump, std::vector<DumpAgain> again) : dump_(dump), again_(std::move(again)) {
        if (!dump_.oplog()) throw DataError(Fault::incomplete, dump + ": no oplog");
        held_.resize(again_.size());
        Timestamp first = Timestamp::min();
        for (const EntryView entry : Reader(*dump_.oplog())) {
            if (first == Timestamp::min()) {
                first = entry.ts();
                continue; // the dump has it
            }
            if (const TransactionInfo info = transaction_info(entry); info && info.previous != Timestamp::min() && info.previous < first)
                needed_ = std::min(needed_.value_or(info.previous), info.previous);
            if (entry.is_command())
                for_each_operation(entry, [&](const Operation& operation) {
                    if (operation.is_command()) add(operation, entry.ts());
                });
        }
    }

    /// Where the oplog must begin; otherwise a transaction in it has no beginning.
    const std::optional<Timestamp>& needed() const noexcept { return needed_; }

    struct Renamed {
        std::string database, first_name, last_name, name_before;
        bool made = false, dropped = false;
    };

    /// Repairs the dump as far as the later dumps suffice. Returns the collections that are still missing.
    std::vector<Renamed> mend() const {
        remove_renamed();
        std::vector<Renamed> missed;
        for (const auto& [uuid, collection] : renamed_)
            if (!collection.made && !collection.dropped && !take(uuid, collection)) missed.push_back(collection);
        return missed;
    }

  private:
    void add(const Operation& operation, Timestamp ts) {
        const Command command = parse_command(operation);
        const std::string uuid = bson::to_hex(operation.ui);
        switch (command.kind) {
        case CommandKind::create:
            made_.insert(uuid);
            if (const auto known = renamed_.find(uuid); known != renamed_.end()) known->second.made = true;
            return held(command.ns, uuid, ts);
        case CommandKind::drop:
            if (const auto known = renamed_.find(uuid); known != renamed_.end()) known->second.dropped = true;
            dropped_.insert(uuid);
            return held(command.ns, uuid, ts);
        case CommandKind::rename_collection: {
            const auto [database, name] = split_namespace(command.ns);
            Renamed& collection = renamed_[uuid];
            if (collection.first_name.empty()) {
                collection.database = database;
                collection.first_name = name;
                collection.made = made_.contains(uuid);
            }
            collection.name_before = name;
            collection.last_name = split_namespace(command.target).collection;
            renamed_names_.insert(command.ns);
            renamed_names_.insert(command.target);
            held(command.ns, uuid, ts);
            held(command.target, uuid, ts);
            if (const auto replaced = operation.o.find("dropTarget"); replaced && replaced->is(bson::Type::binary)) {
                const std::string other = bson::to_hex(replaced->binary_data());
                dropped_.insert(other);
                if (const auto known = renamed_.find(other); known != renamed_.end()) known->second.dropped = true;
                held(command.target, other, ts);
            }
            return;
        }
        default: return;
        }
    }

    /// Notes that a name meant a certain collection during a later dump.
    void held(const std::string& ns, const std::string& uuid, Timestamp ts) {
        for (std::size_t i = 0; i < again_.size(); ++i)
            if (again_[i].spans(ts)) held_[i][ns].insert(uuid);
    }

    void remove_renamed() const {
        for (const DumpCollection& one : dump_.dropped()) remove(one);
        for (const DumpCollection& one : dump_.collections()) {
            // The later dump may still be incomplete.
            const Metadata metadata = one.metadata.empty() ? Metadata() : read_metadata_file(one.metadata);
            // Lost before mongodump asked for its indexes.
            const bool lost_its_name = one.metadata.empty() && !one.name.starts_with("system.");
            const bool buckets_renamed =
                metadata.is_timeseries() && renamed_names_.contains(join_namespace(one.database, std::string(buckets_prefix) + one.name));
            if (lost_its_name || buckets_renamed || (!metadata.uuid.empty() && renamed_.contains(metadata.uuid))) remove(one);
        }
    }
    static void remove(const DumpCollection& one) {
        for (const std::string& file : {one.data, one.metadata})
            if (!file.empty()) std::filesystem::remove(file);
    }

    bool take(const std::string& uuid, const Renamed& collection) const {
        for (std::size_t i = again_.size(); i-- > 0;) {
            const Dump later(again_[i].path);
            for (const DumpCollection& one : later.collections()) {
                if (one.database != collection.database || one.metadata.empty() || one.data.empty()) continue;
                Metadata metadata = one.read_metadata();
                if (metadata.uuid != uuid || !is_its_own(i, one, metadata)) continue;
                put(one, std::move(metadata), collection);
                return true;
            }
        }
        return false;
    }

    /// Whether what was read under the name is that collection, and all of it. A name that no collection has for a
    /// moment reads as an empty collection without indexes.
    bool is_its_own(std::size_t i, const DumpCollection& one, const Metadata& metadata) const {
        const auto found = held_[i].find(one.ns());
        if (found == held_[i].end()) return true;
        char byte = 0;
        return found->second == std::set{metadata.uuid} &&
               (!metadata.indexes.empty() || bson::Document(metadata.options).find("clusteredIndex")) &&
               InputSource(one.data).read(&byte, 1) > 0;
    }

    void put(const DumpCollection& one, Metadata metadata, const Renamed& collection) const {
        namespace fs = std::filesystem;
        const std::string gz = one.data.ends_with(".gz") ? ".gz" : "";
        const fs::path directory = fs::path(dump_.path()) / collection.database;
        // The collection that has the name now was created meanwhile, so it is whole in the oplog, too.
        if (const DumpCollection* const other = dump_.find(join_namespace(collection.database, collection.first_name));
            other && fs::exists(other->metadata)) {
            const Metadata theirs = other->read_metadata();
            if (theirs.uuid != metadata.uuid && !renamed_.contains(theirs.uuid) && !made_.contains(theirs.uuid) &&
                !dropped_.contains(theirs.uuid))
                throw DataError(Fault::ambiguous, other->ns() + ": two collections of this name, and no entry tells why");
            remove(*other);
        }
        metadata.collection = collection.first_name;
        fs::create_directories(directory);
        const std::string file = (directory / dump_file_name(collection.first_name)).string();
        fs::copy_file(one.data, file + ".bson" + gz, fs::copy_options::overwrite_existing);
        OutputSink sink(file + ".metadata.json" + gz, IfExists::replace,
                        CompressionOptions{gz.empty() ? Compression::none : Compression::gzip, {}}, Content::text);
        const std::string text = metadata.json();
        sink.write(text.data(), text.size());
        sink.close();
    }

    Dump dump_;
    std::vector<DumpAgain> again_;
    std::vector<std::map<std::string, std::set<std::string>>> held_; ///< UUIDs, by later dump and name.
    std::map<std::string, Renamed> renamed_;                         ///< The collections, by UUID in the form that metadata has.
    std::set<std::string> made_, dropped_, renamed_names_;
    std::optional<Timestamp> needed_;
};

} // namespace oplog::tools

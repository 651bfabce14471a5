// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "builder.hpp"
#include "catalog.hpp"
#include "entry.hpp"
#include "operation.hpp"
#include "reencoding.hpp"
#include "transaction.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog {

/// Something that was found out about a chain.
struct Finding {
    enum class Severity {
        note,    ///< worth knowing: staging sees to it
        warning, ///< something is left out, or cannot be known
        error,   ///< a restore cannot be right
    };
    Severity severity = Severity::note;
    std::optional<Position> where;
    std::optional<Timestamp> ts;
    std::string text; ///< a sentence
    bool of_replay = false; ///< a note that staging does not see to: replay changes something, and oplog-apply does not
};

/// "FILE: offset N: document K: TIMESTAMP: TEXT", as far as it is known.
inline std::string to_string(const Finding& finding) {
    const std::string text = (finding.ts ? to_string(*finding.ts) + ": " : "") + finding.text;
    return finding.where ? FormatError(*finding.where, text).what() : text;
}

/// Whether it holds users or roles.
inline bool is_of_users(std::string_view ns) { return ns == "admin.system.users" || ns == "admin.system.roles"; }

/// What is gone at a full dump's consistent point, by the entries up to there. The dump may have it or not.
struct Removed {
    std::set<std::string, std::less<>> collections;   ///< UUIDs
    std::map<std::string, std::uint64_t> documents;   ///< how often each was deleted: the collection's UUID and the element `_id`
};

/// Turns the entries of a chain into a stream that a stock `mongorestore --oplogReplay` replays to
/// exactly the source's state. Fed entry by entry, in order; an entry that replay gets right is passed on
/// byte for byte. The rest, and why:
///
/// - Replay keeps a catalog of indexes that does not follow renames, and knows nothing of indexes that an
///   earlier run built. So indexes are followed here, commands about them are left out, and finish()
///   writes those of every collection concerned as they are at the end, under its last name. In the
///   full dump's metadata such collections must keep `_id_` alone: see catalog().
/// - renameCollection with dropTarget names the target by a UUID that the restored server does not have;
///   the target would stay. It becomes one applyOps that drops the target and then renames.
/// - A full dump is fuzzy: it may have seen what the first entries after its start tell. Up to its
///   consistent point an entry counts for the collection with its UUID, whatever that was called, and for
///   no later one that has taken over its name.
///   What is gone by then need not come and go once more: replay takes an update of a missing document for one to be
///   inserted, which a capped collection gives up another document for, and which is no bucket of a time series, nor a user.
/// - Up to 4.2, what is written to system.views becomes commands that make and drop views.
/// - A dump does not have system.views, and a restored server has it only with a view, as it has those of users and roles only
///   with a user or role. They are made before the first entry on them.
/// - Replay knows whether a collection has a collation by a name that it had, so indexes without one say so.
/// - A server creates a collection that is clustered and capped for an oplog entry alone. Those of the full dump must be left
///   out of it and go before the first entry: see write_as_entries().
/// - dbCheck concerns the source's health alone.
///
/// A transaction's operations count when it commits. Transactions in `left_out` are left out whole.
class Stager {
  public:
    /// What is known before the first entry.
    struct Start {
        Catalog catalog;                           ///< as the full dump tells it; empty without one
        std::optional<Timestamp> dump_start;       ///< the first entry of the full dump's oplog; none without one
        std::optional<Timestamp> consistent_point; ///< the last entry of it
        Removed removed;                           ///< by the consistent point; Examiner finds it
        std::set<TransactionId> left_out;          ///< those that do not commit in time
        std::set<std::pair<std::string, std::string>> unfinished; ///< indexes (namespace, name) that the dump has and that
                                                                  ///< were still being built at the wanted time
    };
    using Report = std::function<void(Finding)>;

    /// `report` is told of errors and notes; an error's entry is treated as stock replay would.
    Stager(Start start, Report report)
        : catalog_(std::move(start.catalog)), dump_start_(start.dump_start), consistent_point_(start.consistent_point),
          removed_(std::move(start.removed)), left_out_(std::move(start.left_out)), report_(std::move(report)) {
        leave_out(start.unfinished);
        for (const auto& [ns, collection] : catalog_.collections())
            if (collection.is_capped_cluster) {
                this->report({Finding::Severity::note, std::nullopt, std::nullopt, "the full dump has " + ns + ", clustered and capped, which mongorestore cannot create"});
                catalog_.get(ns).indexes_changed = true;
            }
    }

    /// Takes in the next entry, and calls write(std::string_view document) with what becomes of it, if anything.
    /// Throws FormatError for operations that are malformed.
    template <class Write>
    void add(const EntryView& entry, Write&& write) {
        try {
            take(entry, write);
        } catch (const FormatError&) {
            throw;
        } catch (const DataError& error) {
            entry.fail(error.what());
        }
    }

    /// Indexes that turn out to be unfinished: see look_ahead().
    void leave_out(const std::set<std::pair<std::string, std::string>>& unfinished) {
        for (const auto& index : unfinished) building_.try_emplace(index);
    }

    /// Writes the indexes, as entries that follow the last one. To be called once, after the last entry.
    template <class Write>
    void finish(Write&& write) {
        report_missing();
        for (const auto& [index, start] : building_) {
            const std::string build = "the build of index " + index.second + " on " + index.first + " is not committed";
            const bool known = catalog_.drop_index(index.first, index.second);
            if (known || start.ts)
                report({Finding::Severity::warning, start.where, start.ts, build + ": the index is left out"});
            else if (!consistent_point_)
                report({Finding::Severity::error, std::nullopt, std::nullopt, build + " and began before these slices, so a restored full dump has the index; stage with the full dump (--full)"});
        }
        Timestamp ts = last_;
        for (const auto& [ns, collection] : catalog_.collections()) {
            if (!collection.indexes_changed) continue;
            for (const Index& index : collection.indexes) {
                if (index.name == "_id_") continue;
                ts = Timestamp::from_packed(ts.packed() + 1);
                bson::Builder entry;
                entry.string("op", "c").string("ns", join_namespace(split_namespace(ns).database, "$cmd"));
                entry.begin_document("o").string("createIndexes", index.collection);
                const bson::Document spec(index.spec);
                for (const bson::Element& option : spec)
                    if (option.key() != "ns") entry.append(option); // of old servers: a name it may no longer have
                if (!spec.find("collation") && takes_collation(collection, index)) entry.begin_document("collation").string("locale", "simple").end();
                entry.end().timestamp("ts", ts).int64("v", 2);
                const std::string document = entry.finish();
                check_replay(bson::Document(document), nullptr);
                write(document);
            }
        }
        report_changes();
    }

    /// Takes in an entry after the last that is wanted. An index build that commits only there, having begun before
    /// the first entry of all, was under way all the time, and so was one that is given up there; the full dump lists it
    /// among the indexes nevertheless. `started` and `unfinished` are the caller's to keep: namespaces, renamed, and names.
    static void look_ahead(const EntryView& entry, const Renaming& renaming, std::set<std::pair<std::string, std::string>>& started,
                           std::set<std::pair<std::string, std::string>>& unfinished) {
        if (entry.op() != "c") return;
        const Operation operation(entry);
        const Command command = parse_command(operation);
        const bool starts = command.kind == CommandKind::start_index_build;
        if (!starts && command.kind != CommandKind::commit_index_build && command.kind != CommandKind::abort_index_build) return;
        for (const std::string& name : index_names(operation)) {
            std::pair index(renaming.collection(command.ns).value_or(command.ns), name);
            if (starts)
                started.insert(std::move(index));
            else if (!started.contains(index))
                unfinished.insert(std::move(index));
        }
    }

    /// What the entries so far have removed, up to the consistent point.
    Removed& removed() noexcept { return found_removed_; }
    /// Collections and indexes as they are after the entries so far.
    Catalog& catalog() noexcept { return catalog_; }

  private:
    template <class Write>
    void take(const EntryView& entry, Write&& write) {
        entry_ = &entry;
        last_ = entry.ts();
        if (!first_) first_ = last_;
        if (!missing_.empty() && !fuzzy()) report_missing();
        in_chain_ = false;
        if (!entry.is_command()) { // nearly all
            const Edit edit = place(Operation(entry));
            put(edit, write);
            return;
        }
        const TransactionInfo transaction = transaction_info(entry);
        in_chain_ = transaction && transaction.role != TransactionRole::whole;
        if (transaction && left_out_.contains(transaction.id())) return;
        std::vector<std::string>* const waiting = transaction && transaction.has_operations() && !transaction.commits() ? &waiting_[transaction.id()] : nullptr;
        if (transaction.ends())
            if (auto node = waiting_.extract(transaction.id()); !node.empty() && transaction.commits())
                for (const std::string& command : node.mapped()) follow(Operation(bson::Document(command)));
        const Edit edit = edit_operations(entry.document(), [&](const Operation& inner) {
            if (!inner.is_command()) return place(inner);
            return decide(inner, waiting);
        });
        put(edit, write);
    }

    /// Writes what has become of the current entry.
    template <class Write>
    void put(const Edit& edit, Write& write) {
        if (edit.kind == Edit::Kind::drop) return;
        const std::string_view document = edit.kind == Edit::Kind::keep ? entry_->bytes() : edit.with.front();
        if (report_ && !entry_->is_ordinary()) check_replay(bson::Document(document), entry_);
        write(document);
    }

    /// Finds out which values of a document that is written replay changes, or cannot read. Without an entry it is an index.
    void check_replay(const bson::Document& document, const EntryView* entry) {
        std::array<bool, reencodings> found{};
        for_each_operation(document, [&](const Operation& operation) {
            const bool is_replayed = operation.op != "n" && !is_skipped(operation.ns);
            const auto ns = [&] {
                const std::vector<std::string> names = namespaces(operation);
                return names.empty() ? std::string(operation.ns) : names.front();
            };
            const auto find = [&](Reencoding how, const std::string& path) {
                const auto number = static_cast<std::size_t>(how);
                if (how == Reencoding::unreadable && changes_[number].entries == 0)
                    report({Finding::Severity::error, entry ? place_of(*entry) : std::nullopt, entry ? std::optional(entry->ts()) : std::nullopt,
                            path + " in " + ns() + " is a binary of subtype 2 with two lengths that differ: mongorestore would stop here, midway, or take it for something else; "
                            "oplog-apply restores it as it is"});
                if (!is_replayed && how != Reencoding::unreadable) return;
                Change& change = changes_[number];
                change.collections.insert(ns());
                if (change.entries == 0) change.first = {Finding::Severity::note, entry ? place_of(*entry) : std::nullopt, entry ? std::optional(entry->ts()) : std::nullopt, path + " in " + ns(), true};
                if (!std::exchange(found[number], true)) ++change.entries;
            };
            for_each_reencoded(operation.o, "o", find);
            if (operation.o2) for_each_reencoded(*operation.o2, "o2", find);
            // Of an insertion only where the document is there already.
            if ((operation.op == "i" && fuzzy()) || (operation.op == "u" && operation.o.find("_id")))
                for (const bson::Element& field : operation.o)
                    if (field.is(bson::Type::timestamp) && field.timestamp() == Timestamp() && field.key() != "_id")
                        find(Reencoding::zero_timestamp, "o." + std::string(field.key()));
        });
    }

    void report_changes() {
        constexpr std::string_view how[] = {
            "an array whose keys are not 0, 1, 2, ..., which mongorestore makes them",
            "a binary of subtype 2 without bytes, or without its second length, which mongorestore makes four bytes longer",
            "a regular expression whose options mongorestore sorts",
            "a timestamp of zero, in whose place servers before 5.0.29, 6.0.17, 7.0.13 and 8.0 put the time of the replay",
        };
        for (std::size_t i = 0; i < std::size(how); ++i) {
            Change& change = changes_[i];
            if (change.entries == 0) continue;
            change.first.text += " is " + std::string(how[i]);
            if (change.entries > 1)
                change.first.text += " (the first of " + std::to_string(change.entries) + " entries" +
                                     (change.collections.size() > 1 ? " in " + std::to_string(change.collections.size()) + " collections" : "") + ")";
            change.first.text += "; oplog-apply restores it as it was";
            report(std::move(change.first));
        }
    }

    /// A collection that the dump does not have, and that nobody dropped while it ran, was lost.
    void report_missing() {
        for (auto& [uuid, finding] : std::exchange(missing_, {})) report(std::move(finding));
    }
    /// A collection is dropped.
    void forget(std::string_view uuid) {
        if (const auto found = missing_.find(uuid); found != missing_.end()) missing_.erase(found);
        if (fuzzy() && !uuid.empty()) found_removed_.collections.emplace(uuid);
    }
    static std::optional<Position> place_of(const EntryView& entry) { return entry.where() ? std::optional(*entry.where()) : std::nullopt; }

    /// Whether the entry is one that the full dump may have seen the effects of.
    bool fuzzy() const { return consistent_point_ && last_ <= *consistent_point_; }
    /// Whether the full dump has all that the entry tells, but for documents: its metadata was read later.
    bool before_dump() const { return dump_start_ && last_ < *dump_start_; }

    void report(Finding finding) const {
        if (report_) report_(std::move(finding));
    }
    void report(Finding::Severity severity, std::string text) const {
        report({severity, place_of(*entry_), entry_->ts(), std::move(text)});
    }
    void note(std::string text) const { report(Finding::Severity::note, std::move(text)); }
    void error(std::string text) const { report(Finding::Severity::error, std::move(text)); }

    /// What mongorestore does not replay, whatever it is.
    static bool is_skipped(std::string_view ns) {
        const auto [database, collection] = split_namespace(ns);
        if (database.starts_with("__mdb_internal")) return true;
        if (database != "config") return false;
        for (const std::string_view kept : {"chunks", "collections", "databases", "settings", "shards", "tags", "version"})
            if (collection == kept) return false;
        return true;
    }

    /// An insert, update or delete, or what else is no command.
    Edit place(const Operation& operation) {
        const std::string_view op = operation.op;
        if (op == "n") return Edit::keep();
        if (op != "i" && op != "u" && op != "d") {
            constexpr std::string_view passed_over[] = {"cd", "ci", "cu", "km"};
            if (std::ranges::find(passed_over, op) == std::end(passed_over) && !is_skipped(operation.ns))
                error("operation '" + std::string(op) + "' on " + std::string(operation.ns) + " is not known to mongorestore");
            return Edit::keep();
        }
        if (operation.ns == "admin.system.version") {
            const auto id = (operation.op == "u" && operation.o2 ? *operation.o2 : operation.o).find("_id");
            if (id && id->is(bson::Type::string) && id->string() == "featureCompatibilityVersion") {
                if (before_dump()) return Edit::drop();
                error("the source's featureCompatibilityVersion changes here, and a replay would change the target's; stage up to before it (--before " +
                      to_string(entry_->ts()) + ")");
            }
        }
        if (split_namespace(operation.ns).collection == views_collection && entry_->document().find("h")) return place_view(operation);
        const bool is_unmade = op != "d" && (split_namespace(operation.ns).collection == views_collection || is_of_users(operation.ns));
        if (is_unmade && !catalog_.find(operation.ns)) {
            catalog_.get(operation.ns);
            const std::string id_key = bson::Builder().int32("_id", 1).finish();
            const std::string id_index = bson::Builder().int32("v", 2).document("key", bson::Document(id_key)).string("name", "_id_").finish();
            const std::string options = bson::Builder().document("idIndex", bson::Document(id_index)).finish();
            return Edit::replace(after(operation, "create", operation.ns, bson::Document(options), operation.o));
        }
        if (!fuzzy() || operation.ui.empty()) return Edit::keep();
        const std::string* const ns = catalog_.find_uuid(operation.ui);
        if (removed_.collections.contains(operation.ui) || is_removed_later(operation, ns)) return Edit::drop();

        if (ns) {
            if (*ns == operation.ns) return Edit::keep();
            note("the full dump has the collection under a later name, which mongorestore would not know");
            return Edit::replace(with_namespace(operation, *ns));
        }
        // Not in the dump and not made since: dropped before the dump came to it. Its name may be another's by now.
        if (is_skipped(operation.ns) || is_internal(operation.ns) || made_.contains(operation.ui) || holder_is_unknown(operation.ns)) return Edit::keep();
        if (!before_dump())
            missing_.try_emplace(std::string(operation.ui), Finding{Finding::Severity::error, place_of(*entry_), entry_->ts(),
                "the full dump lacks " + std::string(operation.ns) + ", which was being made as it began: mongodump can miss that. "
                "Give it an increment that begins before the dump"});
        note("the full dump has no longer the collection that this is for; mongorestore would take another, or stop");
        return Edit::drop();
    }

    /// A change of a view up to 4.2, whose servers give each entry an `h`, tell views whole, and take no replay of
    /// an entry on system.views: as commands, which every server takes. None of a name that is a collection's in the dump.
    Edit place_view(const Operation& operation) {
        const auto view = view_of(operation);
        if (!view) {
            error("a change of a view without its name");
            return Edit::keep();
        }
        const auto [database, name] = split_namespace(*view);
        if (fuzzy() && catalog_.find(*view)) return Edit::drop();
        const std::string drop = bson::Builder().string("drop", name).finish();
        if (operation.op == "d") return Edit::replace(as_command(operation, database, bson::Document(drop)));
        bson::Builder create;
        create.string("create", name);
        for (const bson::Element& field : operation.o)
            if (field.key() != "_id") create.append(field);
        const std::string created = create.finish();
        const std::string command = as_command(operation, database, bson::Document(created));
        return Edit::replace(operation.op == "i" ? command : after(Operation(bson::Document(command)), "drop", *view, {}, bson::Document(created)));
    }

    static std::string as_command(const Operation& operation, std::string_view database, const bson::Document& command) {
        return changed(operation.document, [&](const bson::Element& element, bson::Builder& builder) {
            const std::string_view key = element.key();
            if (key == "op")
                builder.string("op", "c");
            else if (key == "ns")
                builder.string("ns", join_namespace(database, "$cmd"));
            else if (key == "o")
                builder.document("o", command);
            else
                return key == "o2" || key == "ui" || key == "b";
            return true;
        });
    }

    /// Whether an insertion or update, up to the consistent point, is of a document that is deleted by then, in a collection that
    /// would not get over it; `ns` is what the catalog calls that, null if it does not know it. Counts deletions. What several
    /// entries of a transaction do counts later, and none of these collections takes part in one.
    bool is_removed_later(const Operation& operation, const std::string* ns) {
        if (in_chain_) return false;
        const bool delicate = split_namespace(operation.ns).collection.starts_with(buckets_prefix) || is_of_users(operation.ns) || (ns && catalog_.find(*ns)->is_capped);
        if (!delicate) return false;
        const auto id = (operation.op == "u" && operation.o2 ? *operation.o2 : operation.o).find("_id");
        if (!id) return false;
        const std::string key = std::string(operation.ui) + std::string(id->bytes());
        if (operation.op == "d") {
            ++found_removed_.documents[key];
            if (const auto found = removed_.documents.find(key); found != removed_.documents.end() && --found->second == 0) removed_.documents.erase(found);
            return false;
        }
        return removed_.documents.contains(key);
    }

    /// Collections that a restored server has by other ways than a dump's file of their own.
    static bool is_internal(std::string_view ns) {
        const auto [database, collection] = split_namespace(ns);
        return collection == views_collection || (database == "admin" && collection.starts_with("system."));
    }

    /// Whether a simple collation can be asked for: not on a time series, which has none, and in no index of the first version.
    static bool takes_collation(const Collection& collection, const Index& index) {
        if (!collection.time_field.empty() || index.collection.starts_with(buckets_prefix)) return false;
        const auto version = bson::Document(index.spec).find("v");
        return !version || !version->is_number() || version->integer() > 1;
    }

    /// Dumps by old mongodumps do not tell UUIDs.
    bool holder_is_unknown(std::string_view ns) {
        const Collection* const holder = catalog_.find(ns);
        return holder && holder->uuid.empty();
    }

    static std::string with_namespace(const Operation& operation, std::string_view ns) {
        return changed(operation.document, [&](const bson::Element& element, bson::Builder& builder) {
            if (element.key() != "ns") return false;
            builder.string("ns", ns);
            return true;
        });
    }

    /// What becomes of a command. What it does to the catalog waits for its transaction to commit, if it is in one.
    Edit decide(const Operation& operation, std::vector<std::string>* waiting) {
        if (is_skipped(operation.ns)) return Edit::keep();
        const Command command = parse_command(operation);
        if (command.kind == CommandKind::drop) forget(operation.ui);
        if (const auto target = operation.o.find("dropTarget"); target && target->is(bson::Type::binary)) forget(target->value().substr(5));
        if (fuzzy() && is_past(operation, command)) return Edit::drop();
        if (command.kind == CommandKind::rename_collection && is_taken(operation, command)) {
            catalog_.drop(command.ns);
            const std::string o = bson::Builder().string("drop", split_namespace(command.ns).collection).finish();
            return Edit::replace(with_o(operation, bson::Document(o)));
        }
        const Edit edit = rewrite(operation, command);
        if (waiting)
            waiting->emplace_back(operation.document.bytes());
        else
            follow(operation);
        if (waiting && command.kind == CommandKind::create && !operation.ui.empty()) made_.emplace(operation.ui);
        return edit;
    }

    /// Whether the full dump has seen all that a command about collections does, or something later.
    bool is_past(const Operation& operation, const Command& command) {
        if (command.kind == CommandKind::unknown && before_dump()) return true;
        if (command.kind == CommandKind::drop_database) return !catalog_.has_database(command.database);
        if (command.kind != CommandKind::drop && removed_.collections.contains(operation.ui)) return true;
        if (operation.ui.empty() || command.ns.empty() || is_internal(command.ns) || made_.contains(operation.ui) || holder_is_unknown(command.ns)) return false;
        const std::string* const now = catalog_.find_uuid(operation.ui);
        switch (command.kind) {
        case CommandKind::create: {
            if (now) return true;
            const Collection* const holder = catalog_.find(command.ns);
            return holder && holder->dumped_as; // another has the name: this one was dropped before the dump
        }
        case CommandKind::rename_collection:
            // Of what the dump has, the last of its names; what was made since takes them one after the other.
            return !now || *now != command.ns || (before_dump() && catalog_.find(*now)->dumped_as);
        default: return !now || *now != command.ns;
        }
    }

    /// Whether the dump has another collection than the one that is replaced under a rename's new name: what took the name
    /// was gone by then.
    bool is_taken(const Operation& operation, const Command& command) {
        const Collection* const holder = catalog_.find(command.target);
        if (!before_dump() || !holder || !holder->dumped_as) return false;
        const auto replaced = operation.o.find("dropTarget");
        return !replaced || !replaced->is(bson::Type::binary) || replaced->value().substr(5) != holder->uuid;
    }

    /// What stock replay is given in a command's place.
    Edit rewrite(const Operation& operation, const Command& command) {
        switch (command.kind) {
        case CommandKind::create_indexes:
        case CommandKind::start_index_build:
        case CommandKind::commit_index_build:
        case CommandKind::abort_index_build:
        case CommandKind::db_check: return Edit::drop();
        case CommandKind::drop_indexes:
            note("dropIndexes: mongorestore, restoring slice by slice, would keep an index that an earlier slice made");
            return Edit::drop();
        case CommandKind::coll_mod: {
            const Collection* const collection = catalog_.find(command.ns);
            // It can only be made coarser, and the full dump may have seen a later change.
            const bool is_coarse = fuzzy() && collection && granularity(operation.o) >= 0 && granularity(operation.o) <= collection->granularity;
            const bool of_index = operation.o.find("index").has_value();
            if (!of_index && !is_coarse) return Edit::keep();
            if (of_index) note("collMod of an index: mongorestore, restoring slice by slice, would fail when an earlier slice made it");
            bson::Builder rest;
            int fields = 0;
            for (const bson::Element& field : operation.o)
                if (field.key() != "index" && !(is_coarse && field.key() == "timeseries")) {
                    rest.append(field);
                    ++fields;
                }
            const std::string o = rest.finish();
            return fields == 1 ? Edit::drop() : Edit::replace(with_o(operation, bson::Document(o)));
        }
        case CommandKind::rename_collection: {
            const auto drop_target = operation.o.find("dropTarget");
            note("renameCollection: mongorestore would build the collection's indexes under the old name");
            if (!drop_target || (drop_target->is(bson::Type::boolean) && !drop_target->boolean())) return Edit::keep();
            note("renameCollection with dropTarget: mongorestore would leave the old target behind, as tmpXXXXX.rename");
            const std::string o = changed(operation.o, [](const bson::Element& field, bson::Builder&) { return field.key() == "dropTarget"; });
            return Edit::replace(after(operation, "drop", command.target, {}, bson::Document(o)));
        }
        case CommandKind::import_collection:
        case CommandKind::truncate_range:
        case CommandKind::create_database_metadata:
        case CommandKind::drop_database_metadata:
        case CommandKind::unknown:
            if (command.name != "dropIdent") error("mongorestore does not know the command " + std::string(command.name) + " and would stop here, midway");
            return Edit::keep();
        default: return Edit::keep();
        }
    }

    static std::string with_o(const Operation& operation, const bson::Document& o) {
        return changed(operation.document, [&](const bson::Element& element, bson::Builder& builder) {
            if (element.key() != "o") return false;
            builder.document("o", o);
            return true;
        });
    }

    /// An operation with that `o`, and a command on a collection before it, as one applyOps: both at one time.
    static std::string after(const Operation& operation, std::string_view command, std::string_view ns, const bson::Document& options,
                             const bson::Document& o) {
        const auto [database, collection] = split_namespace(ns);
        bson::Builder both;
        both.begin_array("applyOps");
        both.begin_document("0").string("op", "c").string("ns", join_namespace(database, "$cmd"));
        both.begin_document("o").string(command, collection);
        for (const bson::Element& option : options) both.append(option);
        both.end().end();
        both.begin_document("1").string("op", operation.op).string("ns", operation.ns).document("o", o);
        if (operation.o2) both.document("o2", *operation.o2);
        if (const auto upsert = operation.document.find("b")) both.append(*upsert);
        const std::string apply_ops = both.end().end().finish();
        return changed(operation.document, [&](const bson::Element& element, bson::Builder& builder) {
            const std::string_view key = element.key();
            if (key == "op")
                builder.string("op", "c");
            else if (key == "ns")
                builder.string("ns", "admin.$cmd");
            else if (key == "o")
                builder.document("o", bson::Document(apply_ops));
            else
                return key == "o2" || key == "ui";
            return true;
        });
    }

    /// Takes a command's effect into the catalog.
    void follow(const Operation& operation) {
        const Command command = parse_command(operation);
        switch (command.kind) {
        case CommandKind::create: catalog_.create(command.ns, operation.ui).granularity = granularity(operation.o); break;
        case CommandKind::drop: catalog_.drop(command.ns); break;
        case CommandKind::drop_database: catalog_.drop_database(command.database); break;
        case CommandKind::rename_collection: catalog_.rename(command.ns, command.target); break;
        case CommandKind::create_indexes: {
            const std::string spec = changed(operation.o, [](const bson::Element& field, bson::Builder&) { return field.key() == "createIndexes"; });
            catalog_.add_index(command.ns, bson::Document(spec), is_older(entry_->ts()));
            break;
        }
        case CommandKind::start_index_build:
            if (is_older(entry_->ts())) break;
            for (const std::string& name : index_names(operation))
                building_.insert_or_assign({command.ns, name}, Build{entry_->where() ? std::optional(*entry_->where()) : std::nullopt, entry_->ts()});
            break;
        case CommandKind::commit_index_build:
        case CommandKind::abort_index_build: {
            std::set<std::string_view> older; // than the first entry
            const std::vector<std::string> names = index_names(operation);
            for (const std::string& name : names) {
                const bool known = building_.erase({command.ns, name}) + catalog_.drop_index(command.ns, name) > 0;
                if (known) continue;
                if (command.kind == CommandKind::abort_index_build) unknown_index(command, "gives up", consistent_point_.has_value());
                older.insert(name);
            }
            if (command.kind == CommandKind::commit_index_build)
                for (const bson::Element& spec : indexes(operation)) {
                    const auto name = spec.document().find("name");
                    catalog_.add_index(command.ns, spec.document(), !consistent_point_ && name && older.contains(name->string()));
                }
            break;
        }
        case CommandKind::drop_indexes: drop_indexes(operation, command); break;
        case CommandKind::coll_mod:
            if (Collection* const collection = catalog_.find(command.ns)) collection->granularity = std::max(collection->granularity, granularity(operation.o));
            if (const auto change = operation.o.find("index"); change && !catalog_.modify_index(command.ns, change->document()))
                unknown_index(command, "changes", fuzzy());
            break;
        case CommandKind::convert_to_capped: drop_all_indexes(command.ns); break;
        default: break;
        }
    }

    void drop_indexes(const Operation& operation, const Command& command) {
        const auto index = operation.o.find("index");
        if (!index || !index->is(bson::Type::string)) {
            error("dropIndexes on " + command.ns + " names no index");
        } else if (index->string() == "*") {
            if (!consistent_point_) return unknown_index(command, "drops", false);
            drop_all_indexes(command.ns);
        } else if (!catalog_.drop_index(command.ns, index->string())) {
            unknown_index(command, "drops", consistent_point_.has_value());
        }
    }
    void drop_all_indexes(std::string_view ns) {
        Collection& collection = catalog_.get(ns);
        std::erase_if(collection.indexes, [](const Index& each) { return each.name != "_id_"; });
        collection.indexes_changed = true;
    }

    /// Whether, without a full dump, what began at that time may have been seen by one that has been restored: it ends with the
    /// first entry.
    bool is_older(Timestamp ts) const { return !consistent_point_ && ts == first_; }

    /// The commands about an index that was made before the first entry can be followed only from the full dump on.
    void unknown_index(const Command& command, const char* does, bool done_already) const {
        if (done_already) return; // before the dump came to it, or it was never there
        error(std::string(command.name) + " " + does + " an index of " + command.ns +
              " that was made before these slices begin, which mongorestore would not do; stage with the full dump (--full)");
    }

    static bson::Document indexes(const Operation& operation) {
        const auto indexes = operation.o.find("indexes");
        return indexes ? indexes->array() : bson::Document();
    }
    static std::vector<std::string> index_names(const Operation& operation) {
        std::vector<std::string> names;
        for (const bson::Element& spec : indexes(operation))
            if (const auto name = spec.document().find("name")) names.emplace_back(name->string());
        return names;
    }

    Catalog catalog_;
    std::optional<Timestamp> dump_start_, consistent_point_;
    Removed removed_;       ///< in what is still to come
    Removed found_removed_; ///< in what has come
    std::set<TransactionId> left_out_;
    struct Build {
        std::optional<Position> where; ///< of its start; none if that is older than all entries
        std::optional<Timestamp> ts;
    };
    std::map<std::pair<std::string, std::string>, Build> building_; ///< indexes that are being built: namespace, name
    Report report_;

    const EntryView* entry_ = nullptr; ///< the current one
    std::optional<Timestamp> first_;
    Timestamp last_;
    bool in_chain_ = false; ///< whether it is one of a transaction's several entries
    std::map<TransactionId, std::vector<std::string>> waiting_; ///< commands of open transactions
    std::map<std::string, Finding, std::less<>> missing_; ///< by UUID: collections with entries and no beginning
    std::set<std::string, std::less<>> made_; ///< UUIDs of collections that open transactions make
    struct Change {
        Finding first;
        std::uint64_t entries = 0;
        std::set<std::string> collections;
    };
    std::array<Change, reencodings> changes_; ///< that replay makes, by their kind
};

} // namespace oplog

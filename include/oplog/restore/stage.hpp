// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/entry/entry.hpp>
#include <oplog/entry/meaning.hpp>
#include <oplog/entry/operation.hpp>
#include <oplog/entry/reencoding.hpp>
#include <oplog/entry/transaction.hpp>
#include <oplog/restore/catalog.hpp>
#include <oplog/restore/finding.hpp>

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

namespace oplog::inline v0_1 {

/// Whether the collection holds users or roles.
inline bool is_of_users(std::string_view ns) { return ns == "admin.system.users" || ns == "admin.system.roles"; }

/// What is gone at the full dump's consistent point, by the entries up to there. The dump may have it or not.
struct Removed {
    std::set<std::string, std::less<>> collections; ///< UUIDs.
    /// How often each document was deleted, by the collection's UUID and the element `_id`.
    std::map<std::string, std::uint64_t> documents;
    /// A capped collection. Before 5.0 no entry tells which documents it drops, and an insertion of a document that
    /// exists makes it drop another one. Chain::examine_capped() finds out what the dump has.
    struct Capped {
        bool tells = false;            ///< Whether it logs what it drops as deletions.
        std::optional<Timestamp> seen; ///< The last insertion that the dump has seen; it has seen all before that one, too.
        std::map<std::string, Timestamp, std::less<>> inserted; ///< The last of those that it has seen of each `_id`.
    };
    std::map<std::string, Capped, std::less<>> capped; ///< Those that have entries, by UUID.
    std::set<std::string> updated;                     ///< Updated documents in them, in the form of `documents`.
    std::set<std::string> absent;                      ///< The updated documents that the dump does not have.
};

/// Turns the entries of a chain into a stream that a stock `mongorestore --oplogReplay` replays to exactly the source's
/// state. Feed it entry by entry, in order. An entry that replay handles correctly is passed on byte for byte. The
/// others, and the reasons:
///
/// - Replay keeps a catalog of indexes that does not follow renames, and does not know indexes that an earlier run
///   built. Therefore this class follows indexes, leaves out commands about them, and finish() writes those of every
///   affected collection in their final state under its last name. In the full dump's metadata such collections must
///   keep `_id_` alone: see catalog().
/// - A renameCollection with dropTarget names the target by a UUID that the restored server does not have, so that the
///   target would stay. It becomes one applyOps that drops the target and then renames.
/// - A dropDatabase would drop what the target has of its own in that database. The collections go one by one: since
///   MongoDB 3.6 the entries say so, and those that are left become one applyOps. Without a full dump it stays.
/// - A full dump is fuzzy: it may have seen the effects of the first entries after its start. Up to its consistent
///   point an entry counts for the collection with its UUID, whatever the name of that collection was, and never for a
///   later one that took over the name. A document that is gone by then must not come and go once more: replay turns an
///   update of a missing document into an insertion. A capped collection would drop another document for it, and it
///   would be no valid bucket of a time series, nor a valid user.
/// - Up to 4.2, changes of system.views become commands that create and drop views.
/// - A dump does not have system.views, and a restored server has it only if there is a view. In the same way it has
///   the collections of users and roles only if there is a user or a role. They are created before the first entry on
///   them.
/// - mongorestore passes over commands on the database config, where setDefaultRWConcern creates config.settings.
///   Collections that are created there must be in the restored dump, empty: see made_in_config().
/// - Replay remembers by a former name whether a collection has a collation, so indexes without a collation say so
///   explicitly.
/// - A server creates a collection that is both clustered and capped only for an oplog entry. Those of the full dump
///   must be left out of it and written before the first entry: see write_as_entries().
/// - MongoDB 5.0.0 to 5.0.6, 5.1 and 5.2 log what capped collections give up as deletes, and refuse to replay those.
/// - Entries without any effect on the content of a dump are left out, except for no-ops: see meaning_of(). The same
///   goes for options that mean nothing to another server, and for what a command tells about the source's files (o2).
/// - An applyOps on config.$cmd would be ignored as a whole, so it is moved to admin.$cmd. Retryable writes that were
///   packed into one applyOps (multiOpType 2) would be taken for a transaction, so they lose their session.
/// - Servers before 3.6 created a collection by an insert into it, and an index by an insert into system.indexes.
///
/// The operations of a transaction take effect when it commits. Transactions in `left_out` are left out as a whole.
class Stager {
  public:
    /// What is known before the first entry.
    struct Start {
        Catalog catalog;                           ///< The collections that the full dump describes; empty without a full dump.
        std::optional<Timestamp> dump_start;       ///< The first entry of the full dump's oplog; none without a full dump.
        std::optional<Timestamp> consistent_point; ///< The last entry of the full dump's oplog.
        Removed removed;                           ///< What is gone at the consistent point; an Examiner finds it.
        std::set<TransactionId> left_out;          ///< Those that do not commit in time.
        bool is_checked = false;                   ///< Whether the entries have passed through an Examiner.
        /// Indexes (namespace, name) that the dump has, but that were still being built at the wanted time.
        std::set<std::pair<std::string, std::string>> unfinished;
        /// Whether the source deletes in capped collections only to make room, and refuses a replay of that: MongoDB 5.0.0
        /// to 5.0.6, 5.1 and 5.2. Every server makes the same room by itself.
        bool gives_up_by_itself = false;
    };
    using Report = oplog::Report;

    /// `report` is told of errors and notes. After an error, the entry is treated as a stock replay would treat it.
    Stager(Start start, Report report)
        : catalog_(std::move(start.catalog)), dump_start_(start.dump_start), consistent_point_(start.consistent_point),
          removed_(std::move(start.removed)), left_out_(std::move(start.left_out)), is_checked_(start.is_checked),
          gives_up_by_itself_(start.gives_up_by_itself), report_(std::move(report)) {
        leave_out(start.unfinished);
        for (const auto& [ns, collection] : catalog_.collections())
            if (collection.is_capped_cluster) {
                this->report({Finding::Severity::note, std::nullopt, std::nullopt,
                              "the full dump has " + ns + ", clustered and capped, which mongorestore cannot create"});
                catalog_.find_or_create(ns).indexes_changed = true;
            }
    }

    /// Takes the next entry, and calls write(std::string_view document) with what becomes of it, if anything. Throws
    /// FormatError for malformed operations.
    template <class Write>
    void add(const EntryView& entry, Write&& write) {
        entry.with_place([&] { take(entry, write); });
    }

    /// Leaves out indexes that turned out to be unfinished: see look_ahead().
    void leave_out(const std::set<std::pair<std::string, std::string>>& unfinished) {
        for (const auto& index : unfinished) building_.try_emplace(index);
    }

    /// Writes the indexes as entries that follow the last one. Call this once, after the last entry.
    template <class Write>
    void finish(Write&& write) {
        report_missing();
        for (const auto& [index, start] : building_) {
            const std::string build = "the build of index " + index.second + " on " + index.first + " is not committed";
            const bool known = catalog_.drop_index(index.first, index.second);
            if (known || start.ts)
                report({Finding::Severity::warning, start.where, start.ts, build + ": the index is left out"});
            else if (!consistent_point_)
                report(
                    {Finding::Severity::error, std::nullopt, std::nullopt,
                     build + " and began before these slices, so a restored full dump has the index; stage with the full dump (--full)"});
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
                const bson::Document spec = index.spec.view();
                for (const bson::Element& option : spec)
                    if (option.key() != "ns") entry.append(option); // old servers put a name here that the collection may no longer have
                if (!spec.find("collation") && takes_collation(collection, index))
                    entry.begin_document("collation").string("locale", "simple").end();
                entry.end().timestamp("ts", ts).int64("v", 2);
                const std::string document = entry.finish();
                check_replay(bson::Document(document), nullptr);
                write(document);
            }
        }
        report_changes();
    }

    /// Takes an entry after the last wanted one. If an index build commits or aborts only there, and began before the
    /// very first entry, then it was under way all the time, although the full dump lists the index. The caller keeps
    /// `started` and `unfinished`, which hold namespaces (renamed) and names of indexes.
    static void look_ahead(const EntryView& entry, const Renaming& renaming, std::set<std::pair<std::string, std::string>>& started,
                           std::set<std::pair<std::string, std::string>>& unfinished) {
        entry.with_place([&] {
            if (!is_of_index_build(entry)) return;
            const Operation operation(entry);
            const Command command = parse_command(operation);
            const bool starts = command.kind == CommandKind::start_index_build;
            for (const std::string& name : index_names(operation)) {
                std::pair index(renaming.collection(command.ns).value_or(command.ns), name);
                if (starts)
                    started.insert(std::move(index));
                else if (!started.contains(index))
                    unfinished.insert(std::move(index));
            }
        });
    }

    /// What the entries so far have removed, up to the consistent point.
    Removed& removed() noexcept { return found_removed_; }
    /// The namespaces of the collections that the restored dump must have in addition, without documents. Call this after
    /// the last entry.
    std::vector<std::string> made_in_config() const {
        std::vector<std::string> made;
        for (const auto& [ns, collection] : catalog_.collections())
            if (ns.starts_with("config.") && !collection.dumped_as && !is_internal(ns)) made.push_back(ns);
        return made;
    }
    /// Collections and indexes in their state after the entries so far.
    Catalog& catalog() noexcept { return catalog_; }

  private:
    template <class Write>
    void take(const EntryView& entry, Write&& write) {
        entry_ = &entry;
        last_ = entry.ts();
        if (!first_) first_ = last_;
        if (!missing_.empty() && !fuzzy()) report_missing();
        in_chain_ = false;
        if (!entry.is_command()) { // nearly all entries
            const Edit edit = place(Operation(entry));
            put(edit, write);
            return;
        }
        const TransactionInfo transaction = transaction_info(entry);
        in_chain_ = transaction && transaction.role != TransactionRole::whole;
        if (transaction && left_out_.contains(transaction.id())) return;
        std::vector<std::string>* const waiting =
            transaction && transaction.has_operations() && !transaction.commits() ? &waiting_[transaction.id()] : nullptr;
        if (transaction.ends())
            if (auto node = waiting_.extract(transaction.id()); !node.empty() && transaction.commits())
                for (const std::string& command : node.mapped()) follow(Operation(bson::Document(command)));
        const Edit edit = edit_operations(entry.document(), [&](const Operation& inner) {
            if (!inner.is_command()) return place(inner);
            return decide(inner, waiting);
        });
        put(edit, write);
    }

    /// Writes what becomes of the current entry.
    template <class Write>
    void put(const Edit& edit, Write& write) {
        if (edit.kind == Edit::Kind::drop) return;
        const std::string_view document = edit.kind == Edit::Kind::keep ? entry_->bytes() : std::string_view(edit.with.front());
        require_size(document);
        if (report_ && !entry_->is_ordinary()) check_replay(bson::Document(document), entry_);
        if (entry_->is_command())
            pass_on(bson::Document(document), write);
        else
            write(document);
    }

    /// Finds out which values of a written document a replay would change, or could not read. Without an entry the
    /// document is an index.
    void check_replay(const bson::Document& document, const EntryView* entry) {
        std::array<bool, reencodings> found{};
        for_each_operation(document, [&](const Operation& operation) {
            const bool is_replayed = !operation.is_no_op() && is_in_dumps(operation.ns);
            const auto ns = [&] {
                const std::vector<std::string> names = namespaces(operation);
                return names.empty() ? std::string(operation.ns) : names.front();
            };
            const auto find = [&](Reencoding how, const std::string& path) {
                const auto number = static_cast<std::size_t>(how);
                if (how == Reencoding::unreadable && changes_[number].entries == 0)
                    report(
                        {Finding::Severity::error, entry ? place_of(*entry) : std::nullopt,
                         entry ? std::optional(entry->ts()) : std::nullopt,
                         path + " in " + ns() +
                             " is a binary of subtype 2 with two lengths that differ: mongorestore would stop here, midway, or take it for something else; "
                             "oplog-apply restores it as it is"});
                if (!is_replayed && how != Reencoding::unreadable) return;
                Change& change = changes_[number];
                change.collections.insert(ns());
                if (change.entries == 0)
                    change.first = {Finding::Severity::note,
                                    entry ? place_of(*entry) : std::nullopt,
                                    entry ? std::optional(entry->ts()) : std::nullopt,
                                    path + " in " + ns(),
                                    Fault::malformed,
                                    true};
                if (!std::exchange(found[number], true)) ++change.entries;
            };
            for_each_reencoded(operation.o, "o", find);
            if (operation.o2) for_each_reencoded(*operation.o2, "o2", find);
            // For an insertion this matters only if the document exists already.
            if ((operation.is_insert() && fuzzy()) || (operation.is_update() && operation.o.find("_id")))
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
                change.first.text +=
                    " (the first of " + std::to_string(change.entries) + " entries" +
                    (change.collections.size() > 1 ? " in " + std::to_string(change.collections.size()) + " collections" : "") + ")";
            change.first.text += "; oplog-apply restores it as it was";
            report(std::move(change.first));
        }
    }

    /// Reports lost collections: those that the dump does not have, although nobody dropped them while it ran.
    void report_missing() {
        for (auto& [uuid, finding] : std::exchange(missing_, {})) report(std::move(finding));
    }
    /// Notes that a collection was dropped.
    void forget(std::string_view uuid, std::string_view ns = {}) {
        for (const std::string_view key : {uuid, ns})
            if (const auto found = missing_.find(key); found != missing_.end()) missing_.erase(found);
        if (fuzzy() && !uuid.empty()) found_removed_.collections.emplace(uuid);
    }
    static std::optional<Position> place_of(const EntryView& entry) { return entry.where() ? std::optional(*entry.where()) : std::nullopt; }

    /// Whether the full dump may have seen the effects of this entry.
    bool fuzzy() const { return consistent_point_ && last_ <= *consistent_point_; }
    /// Whether the full dump has all effects of this entry except those on documents, because its metadata was read
    /// later.
    bool before_dump() const { return dump_start_ && last_ < *dump_start_; }

    void report(Finding finding) const {
        if (report_) report_(std::move(finding));
    }
    void report(Finding::Severity severity, std::string text, Fault fault = Fault::incomplete) const {
        report({severity, place_of(*entry_), entry_->ts(), std::move(text), fault});
    }
    void note(std::string text) const { report(Finding::Severity::note, std::move(text)); }
    void error(std::string text) const { report(Finding::Severity::error, std::move(text)); }

    /// What becomes of an operation that is not followed; none if it is followed.
    std::optional<Edit> judge(const Operation& operation) {
        const Verdict verdict = meaning_of(operation, is_checked_);
        if (verdict.meaning == Meaning::followed) return std::nullopt;
        if (verdict.meaning == Meaning::nothing) {
            if (!verdict.reason.empty()) report(Finding::Severity::warning, verdict.reason);
            const std::string_view database = operation.database(); // mongorestore ignores operations on these by itself
            return database == "config" || database.starts_with("__mdb_internal") ? Edit::keep() : Edit::drop();
        }
        // The dump has seen what it did. It has not seen the FCV, and no restore takes it from there.
        if (before_dump() || (fuzzy() && operation.ns == "admin.system.version")) return Edit::drop();
        refuse(verdict.reason, Fault::not_supported);
        return Edit::keep();
    }

    /// Reports an error at this entry. The state before it can still be staged.
    void refuse(const std::string& reason, Fault fault = Fault::incomplete) const {
        report(Finding::Severity::error, reason + "; stage up to before it (--before " + to_string(entry_->ts()) + ")", fault);
    }

    /// Handles an insert, update or delete, or another operation that is not a command.
    Edit place(const Operation& operation) {
        Edit edit = place_change(operation);
        if (gives_up_by_itself_ && operation.is_delete()) {
            const std::string* const ns = catalog_.find_uuid(operation.ui);
            const Collection* const collection = catalog_.find(ns ? *ns : operation.ns);
            if (collection && (collection->is_capped || collection->is_made_capped)) return Edit::drop();
        }
        return edit;
    }
    Edit place_change(const Operation& operation) {
        if (operation.is_no_op()) return Edit::keep();
        if (const auto edit = judge(operation)) return *edit;
        if (operation.collection() == "system.indexes") return take_index(operation);
        if (operation.collection() == views_collection) {
            const std::string_view view = *view_of(operation);
            if (operation.is_insert() && consistent_point_ && !fuzzy() && catalog_.find(view)) refuse(there_already("the view", view));
            if (operation.is_insert()) catalog_.add_view(view);
            if (operation.is_delete()) catalog_.drop_view(view);
            if (entry_->document().find("h")) return place_view(operation);
        }
        const bool is_unmade = !operation.is_delete() && (operation.collection() == views_collection || is_of_users(operation.ns));
        if (is_unmade && !catalog_.find(operation.ns)) {
            catalog_.find_or_create(operation.ns);
            return Edit::replace(after_creation(operation));
        }
        if (!fuzzy() || operation.ui.empty()) return place_by_name(operation);
        const std::string* const ns = catalog_.find_uuid(operation.ui);
        if (removed_.collections.contains(operation.ui) || is_removed_later(operation, ns)) return Edit::drop();

        if (ns) {
            if (*ns == operation.ns) return Edit::keep();
            note("the full dump has the collection under a later name, which mongorestore would not know");
            return Edit::replace(with_namespace(operation, *ns));
        }
        // It is not in the dump and was not created since, so it was dropped before the dump came to it. By now another
        // collection may have its name.
        if (is_internal(operation.ns) || made_.contains(operation.ui) || holder_is_unknown(operation.ns)) return Edit::keep();
        if (!before_dump())
            missing_.try_emplace(std::string(operation.ui), Finding{Finding::Severity::error, place_of(*entry_), entry_->ts(),
                                                                    "the full dump lacks " + std::string(operation.ns) +
                                                                        ", which was being made as it began: mongodump can miss that. "
                                                                        "Give it an increment that begins before the dump"});
        note("the full dump has no longer the collection that this is for; mongorestore would take another, or stop");
        return Edit::drop();
    }

    /// Handles a change of a view up to 4.2. Those servers give each entry an `h`, log views as a whole, and accept no
    /// replay of an entry on system.views. So views become commands, which every server accepts. A view whose name
    /// belongs to a collection in the dump is left out.
    Edit place_view(const Operation& operation) {
        const std::string_view view = *view_of(operation);
        const auto [database, name] = split_namespace(view);
        if (fuzzy() && catalog_.find(view)) return Edit::drop();
        const std::string drop = bson::Builder().string("drop", name).finish();
        if (operation.is_delete())
            return Edit::replace(replaced_entry(operation, "c", join_namespace(database, "$cmd"), bson::Document(drop)));
        bson::Builder create;
        create.string("create", name);
        for (const bson::Element& field : operation.o)
            if (field.key() != "_id") create.append(field);
        const std::string created = create.finish();
        const bson::Value command = replaced_entry(operation, "c", join_namespace(database, "$cmd"), bson::Document(created));
        return Edit::replace(operation.is_insert() ? command : after(Operation(command.view()), "drop", view, {}, bson::Document(created)));
    }

    /// Handles a change of the collection that has that name now. With a full dump all collections are known.
    Edit place_by_name(const Operation& operation) {
        if (operation.ns == known_ns_ && operation.ui == known_uuid_) return Edit::keep();
        if (is_of_another(operation, operation.ns)) {
            refuse(of_another("this", operation.ns));
            return Edit::keep();
        }
        if (!consistent_point_ || is_internal(operation.ns) || made_.contains(operation.ui)) return Edit::keep();
        const Collection* const holder = catalog_.find(operation.ns);
        if (!holder) {
            if (operation.is_insert() && is_old(operation)) {
                catalog_.create(operation.ns, {});
                report(Finding::Severity::warning,
                       std::string(operation.ns) + " is not in the full dump: taken as made by this insert, as by servers before 3.6");
                return Edit::replace(after_creation(operation));
            }
            Finding finding{Finding::Severity::error, place_of(*entry_), entry_->ts(), unknown_collection(operation.ns)};
            if (!fuzzy())
                report(std::move(finding));
            else
                missing_.try_emplace(std::string(operation.ns), std::move(finding)); // unless it is dropped while the dump runs
            return Edit::drop();
        }
        if (holder->uuid.empty() && !operation.ui.empty()) catalog_.identify(operation.ns, operation.ui);
        known_ns_ = operation.ns;
        known_uuid_ = operation.ui;
        return Edit::keep();
    }

    /// Whether the name means one collection and the UUID another, once all collections are known.
    bool is_of_another(const Operation& operation, std::string_view ns) {
        if (!consistent_point_ || fuzzy() || operation.ui.empty()) return false;
        if (const std::string* const meant = catalog_.find_uuid(operation.ui)) return *meant != ns;
        const Collection* const holder = catalog_.find(ns);
        return holder && !holder->uuid.empty();
    }

    static std::string unknown_collection(std::string_view ns) {
        return "collection " + std::string(ns) +
               " is not in the full dump, and no entry creates it: what it holds is not known (--exclude-ns leaves it out)";
    }
    /// Whether a server before 3.6 wrote this. Those servers created collections without logging it.
    bool is_old(const Operation& operation) const { return operation.ui.empty() && entry_->document().find("h"); }

    /// Handles an insert into system.indexes.
    Edit take_index(const Operation& operation) {
        const std::string ns(operation.o.find("ns")->string());
        const bool known = catalog_.find(ns) != nullptr;
        if (!known && fuzzy()) return Edit::drop(); // it was dropped before the dump came to it
        if (!known && consistent_point_ && !is_old(operation)) error(unknown_collection(ns));
        const std::string spec =
            changed(operation.o, [](const bson::Element& field, bson::Builder&) { return field.key() == "ns" || field.key() == "_id"; });
        catalog_.add_index(ns, bson::Document(spec), is_older(entry_->ts()));
        if (known || !consistent_point_) return Edit::drop();
        const std::string o = bson::Builder().string("create", split_namespace(ns).collection).finish();
        return Edit::replace(replaced_entry(operation, "c", join_namespace(split_namespace(ns).database, "$cmd"), bson::Document(o)));
    }

    /// The operation, with the creation of its collection before it.
    static bson::Value after_creation(const Operation& operation) {
        const std::string id_key = bson::Builder().int32("_id", 1).finish();
        const std::string id_index = bson::Builder().int32("v", 2).document("key", bson::Document(id_key)).string("name", "_id_").finish();
        const std::string options = bson::Builder().document("idIndex", bson::Document(id_index)).finish();
        return after(operation, "create", operation.ns, bson::Document(options), operation.o);
    }

    /// Whether an insertion or update up to the consistent point concerns a document that is gone by then, in a
    /// collection that would not tolerate its return. `ns` is the catalog's name of the collection; null if unknown.
    /// Counts deletions. What several entries of one transaction do counts later; none of these collections can take
    /// part in such a transaction.
    bool is_removed_later(const Operation& operation, const std::string* ns) {
        if (in_chain_) return false;
        const bool capped = ns && catalog_.find(*ns)->is_capped;
        if (!capped && !operation.collection().starts_with(buckets_prefix) && !is_of_users(operation.ns)) return false;
        const auto id = operation.id();
        if (!id) return false;
        const std::string key = std::string(operation.ui) + std::string(id->bytes());
        if (operation.is_delete()) {
            if (capped) found_removed_.capped[std::string(operation.ui)].tells = true;
            ++found_removed_.documents[key];
            if (const auto found = removed_.documents.find(key); found != removed_.documents.end() && --found->second == 0)
                removed_.documents.erase(found);
            return false;
        }
        return (capped && is_seen(operation, key)) || removed_.documents.contains(key);
    }

    /// Whether the dump has seen an insertion or update in a capped collection, or its later effects.
    bool is_seen(const Operation& operation, const std::string& key) {
        found_removed_.capped[std::string(operation.ui)];
        const auto known = removed_.capped.find(operation.ui);
        if (operation.is_update()) {
            found_removed_.updated.insert(key);
            if (removed_.absent.contains(key)) return true;
            if (known == removed_.capped.end()) return false;
            const auto later = known->second.inserted.find(operation.id()->bytes()); // another document with this `_id`
            return later != known->second.inserted.end() && last_ < later->second;
        }
        if (known != removed_.capped.end() && known->second.seen && last_ <= *known->second.seen) return true;
        removed_.absent.erase(key); // from here on there is one
        return false;
    }

    /// Whether a restored server has the collection by other means than a file of the dump.
    static bool is_internal(std::string_view ns) {
        const auto [database, collection] = split_namespace(ns);
        return collection == views_collection || (database == "admin" && collection.starts_with("system."));
    }

    /// Whether a simple collation can be requested: not on a time series, which has none, and not in an index of
    /// version 1.
    static bool takes_collation(const Collection& collection, const Index& index) {
        if (!collection.time_field.empty() || index.collection.starts_with(buckets_prefix)) return false;
        const auto version = bson::Document(index.spec).find("v");
        return !version || !version->is_number() || version->integer() > 1;
    }

    /// Whether the collection with that name has no UUID. Dumps by old mongodumps do not record UUIDs.
    bool holder_is_unknown(std::string_view ns) {
        const Collection* const holder = catalog_.find(ns);
        return holder && holder->uuid.empty();
    }

    static bson::Value with_namespace(const Operation& operation, std::string_view ns) {
        return changed(operation.document, [&](const bson::Element& element, bson::Builder& builder) {
            if (element.key() != "ns") return false;
            builder.string("ns", ns);
            return true;
        });
    }

    /// What becomes of a command. If it is part of a transaction, its effect on the catalog waits for the commit.
    Edit decide(const Operation& operation, std::vector<std::string>* waiting) {
        if (const auto edit = judge(operation)) return *edit;
        known_ns_.clear(); // from here on a name may mean another collection
        const Command command = parse_command(operation);
        if (command.kind == CommandKind::drop) forget(operation.ui, command.ns);
        if (command.kind == CommandKind::empty_capped && fuzzy()) found_removed_.capped[std::string(operation.ui)].tells = true;
        if (command.kind == CommandKind::drop_database)
            std::erase_if(missing_, [&](const auto& each) { return each.first.starts_with(std::string(command.database) + '.'); });
        if (const auto target = operation.o.find("dropTarget"); target && target->is(bson::Type::binary)) forget(target->binary_data());
        if (fuzzy() && is_past(operation, command)) return drop_dumped(operation, command);
        if (command.kind == CommandKind::rename_collection && is_taken(operation, command)) {
            catalog_.drop(command.ns);
            const std::string o = bson::Builder().string("drop", split_namespace(command.ns).collection).finish();
            return Edit::replace(with_o(operation, bson::Document(o)));
        }
        if (command.kind == CommandKind::create && command.database == "config" && consistent_point_ && !catalog_.find(command.ns)) {
            follow(operation);
            return Edit::drop();
        }
        if (is_done(operation, command)) return Edit::drop();
        Edit edit = rewrite(operation, command);
        if (waiting)
            waiting->emplace_back(operation.document.bytes());
        else
            follow(operation);
        if (waiting && command.kind == CommandKind::create && !operation.ui.empty()) made_.emplace(operation.ui);
        return edit;
    }

    /// Whether the full dump has seen everything that a command about collections does, or something later.
    bool is_past(const Operation& operation, const Command& command) {
        if (command.kind == CommandKind::drop_database) return !catalog_.has_database(command.database);
        if (command.kind != CommandKind::drop && removed_.collections.contains(operation.ui)) return true;
        if (operation.ui.empty() || command.ns.empty() || is_internal(command.ns) || made_.contains(operation.ui) ||
            holder_is_unknown(command.ns))
            return false;
        const std::string* const now = catalog_.find_uuid(operation.ui);
        switch (command.kind) {
        case CommandKind::create: {
            if (now) return true;
            const Collection* const holder = catalog_.find(command.ns);
            return holder && holder->dumped_as; // another collection has the name: this one was dropped before the dump
        }
        case CommandKind::rename_collection:
            // A collection in the dump has the last of its names there. One created since takes its names one after the
            // other.
            return !now || *now != command.ns || (before_dump() && catalog_.find(*now)->dumped_as);
        default: return !now || *now != command.ns;
        }
    }

    /// What is left to do of a command that is past. The dump may have what it drops under an older name, and what a rename replaces;
    /// and a collection that is gone at the consistent point goes with its first rename, so that it has no name that another one gets.
    Edit drop_dumped(const Operation& operation, const Command& command) {
        std::vector<std::string> names;
        const auto take = [&](std::string_view uuid) {
            if (const std::string* const ns = catalog_.find_uuid(uuid)) names.push_back(*ns);
        };
        const bool is_rename = command.kind == CommandKind::rename_collection;
        if (command.kind == CommandKind::drop || (is_rename && removed_.collections.contains(operation.ui))) take(operation.ui);
        if (const auto target = operation.o.find("dropTarget"); is_rename && target && target->is(bson::Type::binary))
            take(target->binary_data());
        for (const std::string& ns : names) catalog_.drop(ns);
        return drops(operation, names);
    }
    /// The drops of collections, in place of an operation.
    static Edit drops(const Operation& operation, const std::vector<std::string>& names) {
        if (names.empty()) return Edit::drop();
        bson::Builder all;
        all.begin_array("applyOps");
        for (std::size_t i = 0; i < names.size(); ++i) {
            const auto [database, collection] = split_namespace(names[i]);
            all.begin_document(std::to_string(i)).string("op", "c").string("ns", join_namespace(database, "$cmd"));
            all.begin_document("o").string("drop", collection).end().end();
        }
        const std::string o = all.end().finish();
        return Edit::replace(replaced_entry(operation, "c", "admin.$cmd", bson::Document(o)));
    }

    /// Whether the dump has, under the new name of a rename, another collection than the one that the rename replaces.
    /// Then the renamed collection was gone by the time of the dump.
    bool is_taken(const Operation& operation, const Command& command) {
        const Collection* const holder = catalog_.find(command.target);
        if (!before_dump() || !holder || !holder->dumped_as) return false;
        const auto replaced = operation.o.find("dropTarget");
        return !replaced || replaced->binary_data() != holder->uuid;
    }

    /// Once all collections are known: whether a command has nothing to do because its collection does not exist.
    /// Reports commands that contradict what exists.
    bool is_done(const Operation& operation, const Command& command) {
        if (command.database == "config" && command.scope == CommandScope::collection)
            refuse("mongorestore passes over commands on the database config, as " + std::string(command.name) + " of " + command.ns +
                       " (--exclude-ns 'config.*' leaves it out)",
                   Fault::not_supported);
        const bool is_create = command.kind == CommandKind::create;
        if (!is_create && !command.ns.empty() && is_of_another(operation, command.ns)) {
            refuse(of_another(std::string(command.name), command.ns));
            return false;
        }
        if (fuzzy() || command.ns.empty() || is_internal(command.ns)) return false;
        const auto is_other = [&](const Collection* holder, std::string_view uuid) {
            return holder && !holder->uuid.empty() && !uuid.empty() && holder->uuid != uuid;
        };
        const Collection* const holder = catalog_.find(command.ns);
        if (is_create) {
            if (is_of_another(operation, command.ns) || (holder && (consistent_point_ || is_other(holder, operation.ui))) ||
                (consistent_point_ && catalog_.has_view(command.ns)))
                refuse(there_already("create of", command.ns));
            return false;
        }
        if (!consistent_point_) return false;
        if (command.kind == CommandKind::drop || command.kind == CommandKind::empty_capped) return !holder;
        if (!holder && made_.contains(operation.ui)) return false;
        if (!holder && !is_old(operation)) error(unknown_collection(command.ns));
        if (command.kind != CommandKind::rename_collection) return false;
        const auto dropped = operation.o.find("dropTarget");
        const bool drops = dropped && (dropped->is(bson::Type::binary) || dropped->truthy());
        const Collection* const target = catalog_.find(command.target);
        if ((target && (!drops || (dropped->is(bson::Type::binary) && is_other(target, dropped->binary_data())))) ||
            catalog_.has_view(command.target))
            refuse(there_already("renameCollection to", command.target));
        return false;
    }

    /// What a stock replay gets in place of a command.
    Edit rewrite(const Operation& operation, const Command& command) {
        switch (command.kind) {
        case CommandKind::create_indexes:
        case CommandKind::start_index_build:
        case CommandKind::commit_index_build:
        case CommandKind::abort_index_build: return Edit::drop();
        case CommandKind::create: {
            const auto is_taken = [](const bson::Element& option) {
                return option.key() == "create" || option.key() == "idIndex" ||
                       (is_kept_option(option.key()) && (option.key() != "autoIndexId" || option.truthy()));
            };
            const bool whole = std::ranges::all_of(operation.o, is_taken);
            if (whole && !operation.o2) return Edit::keep();
            const std::string o = changed(operation.o, [&](const bson::Element& option, bson::Builder&) { return !is_taken(option); });
            return Edit::replace(replaced_entry(operation, "c", operation.ns, bson::Document(o)));
        }
        case CommandKind::drop_indexes:
            note("dropIndexes: mongorestore, restoring slice by slice, would keep an index that an earlier slice made");
            return Edit::drop();
        case CommandKind::coll_mod: {
            const Collection* const collection = catalog_.find(command.ns);
            // It can only become coarser, and the full dump may have seen a later change.
            const bool is_coarse =
                fuzzy() && collection && granularity(operation.o) >= 0 && granularity(operation.o) <= collection->granularity;
            const bool of_index = operation.o.find("index").has_value();
            const auto is_taken = [&](const bson::Element& field) {
                return is_followed_change(field.key()) && field.key() != "index" && !(is_coarse && field.key() == "timeseries");
            };
            if (std::ranges::all_of(operation.o, is_taken)) return Edit::keep();
            if (of_index) note("collMod of an index: mongorestore, restoring slice by slice, would fail when an earlier slice made it");
            bson::Builder rest;
            int fields = 0;
            for (const bson::Element& field : operation.o)
                if (is_taken(field)) {
                    rest.append(field);
                    ++fields;
                }
            const std::string o = rest.finish();
            return fields == 1 ? Edit::drop() : Edit::replace(with_o(operation, bson::Document(o)));
        }
        case CommandKind::drop_database: {
            if (!consistent_point_) return Edit::keep();
            std::vector<std::string> names;
            for (const auto& [name, collection] : catalog_.collections())
                if (name.starts_with(std::string(command.database) + '.')) names.push_back(name);
            return drops(operation, names);
        }
        case CommandKind::rename_collection: {
            const auto drop_target = operation.o.find("dropTarget");
            note("renameCollection: mongorestore would build the collection's indexes under the old name");
            if (!drop_target || (drop_target->is(bson::Type::boolean) && !drop_target->boolean())) return Edit::keep();
            note("renameCollection with dropTarget: mongorestore would leave the old target behind, as tmpXXXXX.rename");
            const std::string o =
                changed(operation.o, [](const bson::Element& field, bson::Builder&) { return field.key() == "dropTarget"; });
            // It was not in the dump.
            if (consistent_point_ && !fuzzy() && !catalog_.find(command.target)) return Edit::replace(with_o(operation, bson::Document(o)));
            return Edit::replace(after(operation, "drop", command.target, {}, bson::Document(o)));
        }
        default: return Edit::keep();
        }
    }

    static bson::Value with_o(const Operation& operation, const bson::Document& o) {
        return changed(operation.document, [&](const bson::Element& element, bson::Builder& builder) {
            if (element.key() != "o") return false;
            builder.document("o", o);
            return true;
        });
    }

    /// Calls write() with the entry in a form that mongorestore recognises correctly.
    template <class Write>
    static void pass_on(const bson::Document& entry, Write&& write) {
        const Operation operation(entry);
        const auto packed = entry.find("multiOpType");
        const bool loses_session = packed && packed->integer() > 1;
        const bool is_passed_over = operation.is_apply_ops() && !is_in_dumps(operation.ns);
        if (!loses_session && !is_passed_over) return write(entry.bytes());
        write(changed(entry, [&](const bson::Element& field, bson::Builder& builder) {
            const std::string_view key = field.key();
            if (loses_session && (key == "lsid" || key == "txnNumber" || key == "prevOpTime" || key == "multiOpType")) return true;
            if (!is_passed_over || key != "ns") return false;
            builder.string("ns", "admin.$cmd");
            return true;
        }));
    }

    /// Combines a command on a collection and then an operation with that `o` into one applyOps, so that both take
    /// effect at the same time.
    static bson::Value after(const Operation& operation, std::string_view command, std::string_view ns, const bson::Document& options,
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

    /// Applies the effect of a command to the catalog.
    void follow(const Operation& operation) {
        const Command command = parse_command(operation);
        switch (command.kind) {
        case CommandKind::create:
            if (operation.o.find("viewOn")) // some servers log views like this
                catalog_.add_view(command.ns);
            else {
                Collection& made = catalog_.create(command.ns, operation.ui);
                made.granularity = granularity(operation.o);
                made.is_made_capped = is_capped(operation.o);
            }
            break;
        case CommandKind::drop: catalog_.drop(command.ns); break;
        case CommandKind::drop_database: catalog_.drop_database(command.database); break;
        case CommandKind::rename_collection: catalog_.rename(command.ns, command.target); break;
        case CommandKind::create_indexes:
            for_each_index(operation, [&](const bson::Document& spec) { catalog_.add_index(command.ns, spec, is_older(entry_->ts())); });
            break;
        case CommandKind::start_index_build:
            if (is_older(entry_->ts())) break;
            for (const std::string& name : index_names(operation))
                building_.insert_or_assign({command.ns, name},
                                           Build{entry_->where() ? std::optional(*entry_->where()) : std::nullopt, entry_->ts()});
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
                for_each_index(operation, [&](const bson::Document& spec) {
                    catalog_.add_index(command.ns, spec, !consistent_point_ && older.contains(spec.find("name")->string()));
                });
            break;
        }
        case CommandKind::drop_indexes: drop_indexes(operation, command); break;
        case CommandKind::coll_mod:
            if (Collection* const collection = catalog_.find(command.ns))
                collection->granularity = std::max(collection->granularity, granularity(operation.o));
            if (const auto change = operation.o.find("index"); change && !catalog_.modify_index(command.ns, change->document()))
                unknown_index(command, "changes", fuzzy()); // no server logs such a change
            break;
        default: break;
        }
    }

    void drop_indexes(const Operation& operation, const Command& command) {
        const bson::Element index = *operation.o.find("index");
        if (!index.is(bson::Type::string)) {
            const Collection* const collection = catalog_.find(command.ns);
            const auto is_meant = [&](const Index& each) { return each.spec.view().find("key")->value() == index.value(); };
            const auto found = collection ? std::ranges::find_if(collection->indexes, is_meant) : std::vector<Index>::const_iterator{};
            if (!collection || found == collection->indexes.end() || !catalog_.drop_index(command.ns, std::string(found->name)))
                unknown_index(command, "drops", consistent_point_.has_value());
        } else if (index.string() == "*") {
            if (!consistent_point_) return unknown_index(command, "drops", false);
            drop_all_indexes(command.ns);
        } else if (!catalog_.drop_index(command.ns, index.string())) {
            unknown_index(command, "drops", consistent_point_.has_value());
        }
    }
    void drop_all_indexes(std::string_view ns) {
        Collection& collection = catalog_.find_or_create(ns);
        std::erase_if(collection.indexes, [](const Index& each) { return each.name != "_id_"; });
        collection.indexes_changed = true;
    }

    /// Whether, without a full dump, something that began at that time may be part of an already restored dump, which
    /// ends with the first entry.
    bool is_older(Timestamp ts) const { return !consistent_point_ && ts == first_; }

    /// Reports a command about an index that was made before the first entry. It can be followed only from the full
    /// dump on.
    void unknown_index(const Command& command, const char* does, bool done_already) const {
        if (done_already) return; // it happened before the dump came to it, or the index never existed
        if (consistent_point_) return refuse(no_such_index(command));
        error(std::string(command.name) + " " + does + " an index of " + command.ns +
              " that was made before these slices begin, which mongorestore would not do; stage with the full dump (--full)");
    }

    static std::vector<std::string> index_names(const Operation& operation) {
        std::vector<std::string> names;
        for_each_index(operation, [&](const bson::Document& spec) { names.emplace_back(spec.find("name")->string()); });
        return names;
    }

    Catalog catalog_;
    std::optional<Timestamp> dump_start_, consistent_point_;
    Removed removed_;       ///< What the entries still to come will remove.
    Removed found_removed_; ///< What the entries so far have removed.
    std::set<TransactionId> left_out_;
    bool is_checked_;
    bool gives_up_by_itself_;
    struct Build {
        std::optional<Position> where; ///< The place of its start; none if that is older than all entries.
        std::optional<Timestamp> ts;
    };
    std::map<std::pair<std::string, std::string>, Build> building_; ///< Indexes that are being built: namespace, name.
    Report report_;

    const EntryView* entry_ = nullptr;  ///< The current entry.
    std::string known_ns_, known_uuid_; ///< The collection of the last change, which is the one that the entry is for.
    std::optional<Timestamp> first_;
    Timestamp last_;
    bool in_chain_ = false;                                     ///< Whether the current entry is one of a transaction's several entries.
    std::map<TransactionId, std::vector<std::string>> waiting_; ///< The commands of open transactions.
    std::map<std::string, Finding, std::less<>> missing_; ///< Collections with entries but without a beginning, by UUID, else by name.
    std::set<std::string, std::less<>> made_;             ///< The UUIDs of collections that open transactions create.
    struct Change {
        Finding first;
        std::uint64_t entries = 0;
        std::set<std::string> collections;
    };
    std::array<Change, reencodings> changes_; ///< The changes that replay makes, by their kind.
};

} // namespace oplog

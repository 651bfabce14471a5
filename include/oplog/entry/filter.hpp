// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/entry.hpp>
#include <oplog/entry/glob.hpp>
#include <oplog/entry/meaning.hpp>
#include <oplog/entry/operation.hpp>
#include <oplog/entry/transaction.hpp>

#include <algorithm>
#include <cstddef>
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

/// Whether the server invented this name for a collection that it will rename soon: $out, mapReduce, convertToCapped,
/// renames across databases and resharding do so.
inline bool is_temporary(std::string_view ns) {
    const std::string_view name = split_namespace(ns).collection;
    if (name.starts_with("tmp.agg_out.") || name.starts_with("tmp.mr.") || name.starts_with("system.resharding.")) return true;
    constexpr std::string_view of_buckets = "resharding.";
    if (name.starts_with(of_buckets) && name.size() == of_buckets.size() + 36) return true; // followed by a UUID
    const std::string_view rest = name.starts_with("tmp") && name.size() > 9 ? name.substr(8) : std::string_view{};
    return rest == ".renameCollection" || rest == ".rename" || rest.starts_with(".convertToCapped.");
}

/// Selects operations by namespace and kind, and renames collections.
///
/// A collection is followed through its renames. It is selected as a whole, under all its names, if one of them is
/// included and none is excluded. Names invented by the server (see is_temporary()) count only if there are no others.
/// This takes two passes over the entries: first learn() all of them, then apply() to each in the same order. A time
/// series is selected by its own name, together with its buckets and its view. Operations that name no collection (the
/// server's no-ops, commits and aborts of transactions) are kept, and a dropDatabase where all of the database is
/// selected: the collections go by entries of their own. Names are matched as they are before any renaming.
/// Unless needs_order(), order and duplicates do not matter.
///
/// Takes a few hundred bytes of memory for each collection that is dropped or renamed.
class Selection {
  public:
    /// Keeps only collections that match one of the patterns given here.
    void include(std::string glob) {
        includes_.emplace_back(glob);
        unmatched_.push_back({Rule::Kind::include, std::move(glob)});
    }
    /// Leaves out collections that match one of the patterns given here.
    void exclude(std::string glob) {
        excludes_.emplace_back(glob);
        unmatched_.push_back({Rule::Kind::exclude, std::move(glob)});
    }
    /// Renames a collection or a database; see Renaming::add().
    void rename(std::string_view from, std::string_view to) {
        renaming_.add(from, to);
        unmatched_.push_back({Rule::Kind::rename, std::string(from)});
    }
    /// Keeps only operations with one of the kinds given here ("i", "u", "c"), inside applyOps too.
    void only(std::string op) { ops_.insert(std::move(op)); }
    /// Leaves out no-ops.
    void without_noops() { no_noops_ = true; }

    /// Whether nothing is filtered or renamed.
    bool everything() const noexcept { return !by_name() && renaming_.empty() && ops_.empty() && !no_noops_; }
    /// Whether the order of the entries matters: of a renamed collection one name by itself is wanted, and another is not.
    /// Call this after learning.
    bool needs_order() const noexcept {
        return std::ranges::any_of(collections_, [](const Renamed& each) { return each.has_wanted_name && each.has_other_name; });
    }
    /// Whether the entries must be learned first.
    bool looks_ahead() const noexcept { return by_name() || !renaming_.empty(); }

    /// Takes one entry of the first pass. Throws DataError for a malformed entry.
    void learn(const EntryView& entry) {
        if (dumped_at_ && entry.ts() > *dumped_at_) {
            dumped_ = learned_;
            dumped_at_.reset();
        }
        guarded(entry, [&] {
            bool plain = false; // most entries are plain, and two of their first fields tell
            for (const bson::Element& element : entry.document()) {
                if (element.key() == "op") {
                    if (element.string() == "c") break;
                    plain = true;
                } else if (plain && element.key() == "ns") {
                    if (!element.string().ends_with(views_collection)) return see_again(element.string());
                    break;
                }
            }
            for_each_operation(entry, [&](const Operation& operation) {
                if (const auto view = view_of(operation)) see_view(*view);
                if (!unmatched_.empty())
                    for (const std::string& ns : namespaces(operation)) see(ns);
                if (!operation.is_command()) return;
                const Command command = parse_command(operation);
                if (command.scope == CommandScope::database || command.scope == CommandScope::unknown) see_database(command.database);
                if (command.kind == CommandKind::rename_collection) link(logical_namespace(command.ns), logical_namespace(command.target));
                learned_.follow(command);
            });
        });
    }

    /// Tells of a collection that exists, in addition to those that learn() finds.
    void see(std::string_view ns) {
        if (unmatched_.empty()) return;
        const std::string name = logical_namespace(ns);
        std::erase_if(unmatched_, [&](const Rule& rule) { return glob_matches(rule.pattern, name); });
    }
    /// Tells of a view of the full dump, which goes when all of its database's views are dropped. Call this before apply().
    void see_view(std::string_view ns) {
        if (looks_ahead() && chosen(ns)) views_[std::string(split_namespace(ns).database)].emplace(ns);
    }
    /// A pattern or name that was given to include(), exclude() or rename().
    struct Rule {
        enum class Kind { include, exclude, rename } kind;
        std::string pattern; ///< A pattern, or a name for `rename`.
    };
    /// The rules that match no collection. Call this after learning.
    const std::vector<Rule>& unmatched() const noexcept { return unmatched_; }

    /// Decides one entry of the second pass. An applyOps without any operations left is dropped, unless it belongs to a
    /// transaction of several entries. Throws DataError for a malformed entry and RenameError for an operation that
    /// cannot be followed.
    Edit apply(const EntryView& entry) {
        Edit edit;
        guarded(entry, [&] {
            kept_ = dropped_ = 0;
            edit = edit_operations(entry.document(), [&](const Operation& operation) { return decide(operation); });
            if (edit.kind == Edit::Kind::replace || !dropped_of_.empty()) finish_apply_ops(entry, edit);
            for (const bson::Value& document : edit.with) require_size(document.view().bytes());
        });
        return edit;
    }

    /// Whether the collection is selected that has this name at the first entry or, if dumped_at() was called, in the
    /// full dump. Call this after learning.
    bool selects(std::string_view ns) const { return selected(logical_namespace(ns), dumped_at_ ? learned_ : dumped_); }
    /// Tells that the full dump has the collections under the names that they had after this entry. Call this before
    /// learning.
    void dumped_at(Timestamp ts) { dumped_at_ = ts; }
    /// The new names that rename() was given.
    const Renaming& renaming() const noexcept { return renaming_; }

  private:
    /// Counts how often each name was given up so far, because the same name at two times may mean two collections.
    struct Names {
        std::map<std::string, std::uint64_t, std::less<>> given_up;
        std::map<std::string, std::uint64_t, std::less<>> databases; ///< databases that were dropped as a whole

        /// Identifies a collection: by its name and by which bearer of the name it is, the present one or the one that
        /// comes `later` bearers after it.
        std::string key(std::string_view ns, std::uint64_t later = 0) const {
            const auto count = [](const auto& of, std::string_view name) {
                const auto found = of.find(name);
                return found == of.end() ? 0 : found->second;
            };
            return std::string(ns) + '\0' + std::to_string(count(given_up, ns) + count(databases, split_namespace(ns).database) + later);
        }
        /// Whether the command gave up any name.
        bool follow(const Command& command) {
            switch (command.kind) {
            case CommandKind::rename_collection: ++given_up[logical_namespace(command.target)]; [[fallthrough]];
            case CommandKind::drop: ++given_up[logical_namespace(command.ns)]; return true;
            case CommandKind::drop_database: ++databases[std::string(command.database)]; return true;
            default: return false;
            }
        }
    };
    /// A renamed collection, and what its names together say.
    struct Renamed {
        bool included = false;
        bool excluded = false;
        bool named = false; ///< Whether a user gave it one of its names, and not only the server.
        bool has_wanted_name = false, has_other_name = false;
    };
    struct Verdict {
        bool keep = false;
        bool rename = false;
        bool collides = false;
    };

    bool by_name() const noexcept { return !includes_.empty() || !excludes_.empty(); }

    /// Whether a name by itself is wanted.
    bool chosen(std::string_view ns) const {
        const auto matches = [&](const Glob& glob) { return glob.matches(ns); };
        return (includes_.empty() || std::ranges::any_of(includes_, matches)) && std::ranges::none_of(excludes_, matches);
    }
    /// Whether anything in a database might be wanted.
    bool chosen_database(std::string_view database) const {
        return (includes_.empty() || std::ranges::any_of(includes_, [&](const Glob& glob) { return glob.may_match_in(database); })) &&
               std::ranges::none_of(excludes_, [&](const Glob& glob) { return glob.matches_all_of(database); });
    }
    /// Whether the collection is wanted that bears a (logical) name at some time.
    bool selected(std::string_view ns, const Names& names) const {
        if (!renamed_.empty())
            if (const auto found = renamed_.find(names.key(ns)); found != renamed_.end()) {
                const Renamed& all = collections_[found->second];
                if (all.named) return !all.excluded && (includes_.empty() || all.included);
            }
        if (split_namespace(ns).collection == views_collection && views_.contains(split_namespace(ns).database)) return true;
        return chosen(ns);
    }

    /// As see(). Consecutive entries mostly belong to the same collection.
    void see_again(std::string_view ns) {
        if (unmatched_.empty() || ns == seen_) return;
        seen_ = ns;
        see(ns);
    }
    void see_database(std::string_view database) {
        std::erase_if(unmatched_, [&](const Rule& rule) { return Glob(rule.pattern).may_match_in(database); });
    }

    /// Notes that a renamed collection continues under its new name.
    void link(const std::string& from, const std::string& to) {
        const auto [source, is_new] = renamed_.emplace(learned_.key(from), collections_.size());
        if (is_new) collections_.emplace_back();
        Renamed& collection = collections_[source->second];
        for (const std::string& name : {from, to}) {
            (chosen(name) ? collection.has_wanted_name : collection.has_other_name) = true;
            if (is_temporary(name)) continue;
            const auto matches = [&](const Glob& glob) { return glob.matches(name); };
            collection.named = true;
            collection.included |= std::ranges::any_of(includes_, matches);
            collection.excluded |= std::ranges::any_of(excludes_, matches);
        }
        renamed_.insert_or_assign(learned_.key(to, 1), source->second);
        follow_across(from, to);
    }
    /// Lets a collection that is built under a temporary name follow its target to another database.
    void follow_across(const std::string& from, const std::string& to) {
        if (!is_temporary(from) || renaming_.collection(from)) return;
        const auto target = renaming_.collection(to);
        if (!target || split_namespace(from).database != split_namespace(to).database) return;
        const std::string_view database = split_namespace(*target).database;
        if (database != split_namespace(from).database) renaming_.add(from, join_namespace(database, split_namespace(from).collection));
    }

    Edit drop() {
        ++dropped_;
        return Edit::drop();
    }

    Edit decide(const Operation& operation) {
        static_cast<void>(meaning_of(operation)); // a damaged operation can be neither wanted nor unwanted
        if (operation.is_command()) return decide_command(operation, parse_command(operation));
        if ((no_noops_ && operation.is_no_op()) || (!ops_.empty() && !ops_.contains(operation.op))) return drop();
        const std::string_view collection = operation.collection();
        const bool of_server = operation.is_no_op() && (collection.empty() || collection == "$cmd"); // or of a database
        if (looks_ahead() && !of_server) {
            if (operation.ns != last_ns_ || special_) look_up(operation);
            if (!verdict_.keep) return drop();
            if (verdict_.collides) fail_collision(operation.ns);
            if (verdict_.rename) return rename_or_keep(operation);
        }
        ++kept_;
        return Edit::keep();
    }

    /// Decides about an operation that is not a command. The verdict also holds for the next operation on the same
    /// namespace, unless that namespace is special.
    void look_up(const Operation& operation) {
        last_ns_ = operation.ns;
        const std::string_view collection = operation.collection();
        special_ = collection == views_collection || collection == "system.indexes";
        verdict_ = {};
        for (const std::string& ns : namespaces(operation)) {
            verdict_.keep |= selected(ns, now_);
            verdict_.collides |= renaming_.collides(ns);
        }
        verdict_.rename = special_ || renaming_.collection(operation.ns).has_value();
    }

    Edit decide_command(const Operation& operation, const Command& command) {
        if (command.scope == CommandScope::none) { // the end of a transaction
            ++kept_;
            return Edit::keep();
        }
        const bool wanted_op = ops_.empty() || ops_.contains(operation.op);
        if (!looks_ahead()) {
            if (!wanted_op) return drop();
            ++kept_;
            return Edit::keep();
        }
        if (wanted_op && command.kind == CommandKind::drop && split_namespace(command.ns).collection == views_collection &&
            !takes_all(command.database))
            return drop_views(operation, command.database);
        const std::string ns = logical_namespace(command.ns);
        bool keep = true;
        bool replaces_other = false;
        switch (command.scope) {
        case CommandScope::rename:
            if (!renamed_.contains(now_.key(ns))) throw RenameError("a renameCollection that was not there when the entries were learned");
            keep = selected(ns, now_);
            replaces_other = !keep && drops_target(operation) && selected(logical_namespace(command.target), now_);
            break;
        case CommandScope::database: keep = keeps_drop_database(operation, command.database); break;
        case CommandScope::unknown:
            keep = chosen_database(command.database);
            if (keep && wanted_op)
                throw RenameError("the command " + std::string(command.name) + " on " + std::string(operation.ns) +
                                  " is not known, so whether it belongs to what is selected cannot be told");
            break;
        default: keep = selected(ns, now_); break;
        }
        if (now_.follow(command)) special_ = true; // a name may mean another collection from now on
        if (!wanted_op || !(keep || replaces_other)) return drop();
        if (command.kind == CommandKind::drop_database && renaming_.gains(command.database) && !renaming_.database(command.database))
            throw RenameError("dropDatabase of " + std::string(command.database) + " would also drop what is renamed into it");
        if (replaces_other) { // the collection whose place it takes is gone
            const bson::Value dropped = drop_target(operation, command);
            const auto other = renamed(Operation(dropped.view()), renaming_);
            ++kept_;
            return Edit::replace(other.value_or(dropped));
        }
        if (command.scope == CommandScope::database && renaming_.collides(join_namespace(command.database, "*")))
            fail_collision(command.database);
        for (const std::string& name : {command.ns, command.target})
            if (!name.empty() && renaming_.collides(name)) fail_collision(name);
        return rename_or_keep(operation);
    }

    /// A dropDatabase must not drop what is not selected. Since MongoDB 3.6, which added `wall`, each collection has gone
    /// before it by an entry of its own.
    bool keeps_drop_database(const Operation& operation, std::string_view database) const {
        const bool all = takes_all(database);
        const bool is_old = operation.document.find("h") && !operation.document.find("wall");
        if (!all && is_old && chosen_database(database))
            throw RenameError("dropDatabase of " + std::string(database) +
                              ", by a server before 3.6, drops what is selected together with what is not: select all of it (" +
                              std::string(database) + ".*)");
        return all;
    }
    bool takes_all(std::string_view database) const {
        return (includes_.empty() || std::ranges::any_of(includes_, [&](const Glob& glob) { return glob.matches_all_of(database); })) &&
               std::ranges::none_of(excludes_, [&](const Glob& glob) { return glob.may_match_in(database); });
    }

    /// Of a drop of system.views, and so of all views, the deletions of those that are selected.
    Edit drop_views(const Operation& operation, std::string_view database) {
        const auto views = views_.find(database);
        if (views == views_.end()) return drop();
        bson::Builder deletions;
        std::size_t count = 0;
        deletions.begin_array("applyOps");
        for (const std::string& view : views->second) {
            const std::string id = bson::Builder().string("_id", view).finish();
            const std::string deletion = bson::Builder()
                                             .string("op", "d")
                                             .string("ns", join_namespace(database, views_collection))
                                             .document("o", bson::Document(id))
                                             .finish();
            const auto other = renamed(Operation(bson::Document(deletion)), renaming_);
            deletions.document(std::to_string(count++), other ? other->view() : bson::Document(deletion));
        }
        const std::string o = deletions.end().finish();
        ++kept_;
        return Edit::replace(replaced_entry(operation, "c", "admin.$cmd", bson::Document(o)));
    }

    /// dropTarget is the UUID of the target; older servers wrote just true.
    static bool drops_target(const Operation& operation) {
        const auto target = operation.o.find("dropTarget");
        return target && (target->is(bson::Type::binary) || target->truthy());
    }
    static bson::Value drop_target(const Operation& operation, const Command& command) {
        const Namespace target = split_namespace(command.target);
        const auto uuid = operation.o.find("dropTarget");
        return changed(operation.document, [&](const bson::Element& element, bson::Builder& builder) {
            const std::string_view key = element.key();
            if (key == "ns")
                builder.string("ns", join_namespace(target.database, "$cmd"));
            else if (key == "o")
                builder.begin_document("o").string("drop", target.collection).end();
            else if (key == "ui" && uuid->is(bson::Type::binary))
                builder.append("ui", *uuid);
            else
                return key == "o2";
            return true;
        });
    }

    Edit rename_or_keep(const Operation& operation) {
        ++kept_;
        if (renaming_.empty()) return Edit::keep();
        auto bytes = renamed(operation, renaming_);
        return bytes ? Edit::replace(std::move(*bytes)) : Edit::keep();
    }

    [[noreturn]] static void fail_collision(std::string_view ns) {
        throw RenameError(std::string(ns) + " is there already: what is renamed to it would be mixed with it (exclude or rename it too)");
    }

    /// Completes an applyOps that changed, or that belongs to a transaction which lost operations before.
    void finish_apply_ops(const EntryView& entry, Edit& edit) {
        if (!Operation(entry).is_apply_ops()) {
            if (const TransactionInfo info = transaction_info(entry); info.ends()) dropped_of_.erase(info.id());
            return;
        }
        const TransactionInfo info = transaction_info(entry);
        const bool chained = info && info.role != TransactionRole::whole;
        if (!chained) {
            if (kept_ == 0 && dropped_ > 0) edit = Edit::drop();
            return;
        }
        std::int64_t& dropped = dropped_of_[info.id()];
        dropped += dropped_;
        // The last entry of a chain says how many operations the whole chain has.
        if (const std::int64_t gone = std::exchange(dropped, info.role == TransactionRole::part ? dropped : 0);
            info.role != TransactionRole::part) {
            dropped_of_.erase(info.id());
            if (gone > 0) correct_count(entry, edit, gone);
        }
    }

    static void correct_count(const EntryView& entry, Edit& edit, std::int64_t gone) {
        const bson::Document document = edit.kind == Edit::Kind::replace ? bson::Document(edit.with.front()) : entry.document();
        const bson::Document o = Operation(document).o;
        const auto count = o.find("count");
        if (!count || !count->is_number()) return;
        const std::int64_t left = count->integer() - gone;
        const std::string command = changed(o, [&](const bson::Element& element, bson::Builder& builder) {
            if (element.key() != "count") return false;
            if (element.is(bson::Type::int32))
                builder.int32("count", static_cast<std::int32_t>(left));
            else
                builder.int64("count", left);
            return true;
        });
        edit = Edit::replace(changed(document, [&](const bson::Element& element, bson::Builder& builder) {
            if (element.key() != "o") return false;
            builder.document("o", bson::Document(command));
            return true;
        }));
    }

    /// Adds the entry's place to errors.
    template <class Work>
    static void guarded(const EntryView& entry, Work work) {
        try {
            entry.with_place(work);
        } catch (const RenameError& error) {
            throw RenameError((entry.where() ? entry.where()->file + ": " : "") + "entry " + to_string(entry.ts()) + ": " + error.what());
        }
    }

    std::vector<Glob> includes_;
    std::vector<Glob> excludes_;
    Renaming renaming_;
    std::set<std::string, std::less<>> ops_;
    bool no_noops_ = false;

    // What was learned.
    std::vector<Rule> unmatched_;
    std::string seen_;
    Names learned_;
    Names dumped_;                                            ///< The state of the names in the full dump.
    std::optional<Timestamp> dumped_at_;                      ///< Set until that entry is learned.
    std::map<std::string, std::size_t, std::less<>> renamed_; ///< The index in collections_, by key.
    std::vector<Renamed> collections_;
    std::map<std::string, std::set<std::string>, std::less<>> views_; ///< The wanted views, by their databases.

    // The state of apply().
    Names now_;
    std::string last_ns_; ///< The namespace that verdict_ is about.
    Verdict verdict_;
    bool special_ = true; ///< The verdict does not hold for the next operation.
    std::int64_t kept_ = 0;
    std::int64_t dropped_ = 0;
    std::map<TransactionId, std::int64_t> dropped_of_; ///< The number of dropped operations, of each transaction that is under way.
};

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/field_match.hpp>
#include <oplog/bson/hex.hpp>
#include <oplog/restore/history.hpp>
#include <oplog/restore/versions.hpp>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// What to do about a document that operations outside the choice changed after the first chosen one.
enum class OnConflict {
    skip,   ///< Leave it unchanged.
    before, ///< Give it the version before the first chosen operation all the same.
    replay, ///< Apply the other operations alone to that version.
};

/// What taking operations back does to a document.
enum class Outcome { restored, deleted, inserted, unchanged, conflict, unapplicable };
/// The number of outcomes.
constexpr std::size_t outcomes = 6;

/// The outcome's name, as in "restored".
constexpr std::string_view to_string(Outcome outcome) {
    constexpr std::string_view names[] = {"restored", "deleted", "inserted", "unchanged", "conflict", "unapplicable"};
    return names[static_cast<std::size_t>(outcome)];
}

/// A document that chosen operations changed. The views are valid during the call that passes it.
struct TakenBack {
    const CollectionLife* life;
    std::string_view ns; ///< The collection's last name.
    std::string_view id; ///< {_id} as BSON.
    Outcome outcome;
    /// The versions before the first chosen operation, after the last one, and in the end; none for no document.
    std::optional<std::string_view> before, after, now;
    std::optional<std::string_view> target; ///< What it becomes; equals `now` if it stays unchanged.
    std::set<TransactionId> transactions;   ///< The transactions of the chosen operations.
    /// The first operation outside the choice after the first chosen one, or the one that does not apply.
    std::optional<Timestamp> other;
    std::string reason;           ///< Why that operation does not apply.
    std::uint64_t operations = 0; ///< The number of chosen operations.
    /// Whether the collection is restored separately. Then `now` is the version before its end.
    bool of_dropped = false;
};

/// Receives the results of taking operations back.
class TakeBackOutput {
  public:
    virtual ~TakeBackOutput() = default;
    /// Receives a document that chosen operations changed.
    virtual void document(const TakenBack&) = 0;
    /// Begins a collection that a chosen command ended. Its documents follow, and then end_dropped(). `ns` is a free
    /// name among the dropped ones.
    virtual void begin_dropped(const CollectionLife&, const std::string& ns, const CollectionEvent& end) = 0;
    /// Receives a document of the collection that begin_dropped() began.
    virtual void dropped_document(std::string_view document) = 0;
    /// Ends the collection that begin_dropped() began.
    virtual void end_dropped() = 0;
};

/// Takes chosen operations of a chain back. It determines for each document that they changed what it was before them
/// and what it is now.
///
/// Feed it all entries of the chain in order, then call write(). The operations of a transaction count when it commits.
/// Operations that cannot be taken back are refused with the entry's place: chosen operations that the full dump may
/// have seen, or that are on a capped collection or a time series.
///
/// Takes 16 to 32 bytes of memory for each operation on a document, 16 for each transaction, and the memory of an
/// Applier.
class TakeBack : VersionLog {
  public:
    /// A transaction as people name it: the first digits of the session's UUID, and its number.
    struct TransactionName {
        std::string session; ///< Hexadecimal, lower case.
        std::int64_t number = 0;
    };
    /// Selects operations. All conditions must hold.
    struct Choice {
        Bounds bounds{};
        std::vector<Glob> namespaces{}; ///< Patterns for the collections, under any of their names; empty: all.
        std::vector<Glob> excluded{};
        std::set<std::string> ops{};                 ///< i, u, d, c; empty: all.
        std::set<std::string> ids{};                 ///< The documents' keys, as id_key() writes them; empty: all.
        std::vector<FieldMatch> where{};             ///< The document before or after the operation matches all of these.
        std::vector<TransactionName> transactions{}; ///< One of these; empty: all.

        /// Whether commands can be chosen. They have no document and belong to no transaction.
        bool commands() const { return (ops.empty() || ops.contains("c")) && ids.empty() && where.empty() && transactions.empty(); }
    };
    /// The options of a TakeBack.
    struct Options {
        std::string scratch = "."; ///< A directory for temporary files as large as the oplog.
        Choice choice{};
        OnConflict on_conflict = OnConflict::skip;
        Renaming renaming{}; ///< The names under which dropped collections are restored.
        Report report{};
    };

    /// `full` is the chain's full dump and must outlive this object. The timestamps are those of the full dump; see
    /// Chain.
    TakeBack(const Dump& full, Timestamp dump_start, Timestamp consistent_point, Options options)
        : VersionLog(consistent_point, [this](const EntryView& entry, const Operation& operation) { return wanted(entry, operation); }),
          options_(std::move(options)), consistent_point_(consistent_point), applier_(full, {.scratch = options_.scratch,
                                                                                             .dump_start = dump_start,
                                                                                             .consistent_point = consistent_point,
                                                                                             .report = options_.report,
                                                                                             .watcher = this}) {}
    TakeBack(const TakeBack&) = delete;

    /// Takes the next entry. Throws FormatError for a malformed entry, and for one that cannot be followed.
    void add(const EntryView& entry) {
        last_ = entry.ts();
        transaction_ = transaction_info(entry);
        counts_ = false;
        begin(entry);
        applier_.add(entry);
    }

    /// Call this once, after the last entry. Throws FormatError and DataError for operations that cannot be taken back.
    void write(TakeBackOutput& out) {
        applier_.seal();
        end(applier_);
        for (const auto& [ns, metadata] : applier_.views()) views_.insert(ns);
        for (const CollectionLife& life : lives()) owners_[life.collection.ns()] = &life; // those that ended come first
        for (CollectionLife& life : lives())
            if (is_selected(life)) write(life, out);
        tell_commands();
        tell_parts();
    }

    /// Whether any collection or view matches, under any of its names. Call this after write().
    bool has_collection(const Glob& glob) const {
        return VersionLog::has_collection(glob) || std::ranges::any_of(views_, [&](const std::string& ns) { return glob.matches(ns); });
    }
    /// Whether a chosen operation belongs to the transaction. Call this after write().
    bool has_transaction(const TransactionName& name) const { return found_.contains({name.session, name.number}); }
    /// What remains to be done by hand, in the order of time. Call this after write().
    const std::vector<Finding>& by_hand() const noexcept { return by_hand_; }
    /// Transactions of which some operations are chosen and others are not. Call this after write().
    const std::vector<std::string>& parts() const noexcept { return parts_; }
    /// The timestamp of the last entry, which is the time of `now`.
    Timestamp last() const noexcept { return last_; }
    /// The number of chosen operations on documents.
    std::uint64_t operations() const noexcept { return operations_; }

  private:
    struct Counts {
        std::uint64_t source = 0; ///< The source of one of its operations.
        std::uint32_t all = 0, chosen = 0;
    };
    struct Told {
        std::vector<std::string> names;      ///< The collections that it concerns.
        std::optional<std::uint64_t> number; ///< The number of the collection, which may have other names.
        Finding finding;
    };

    // ---- while entries come ----

    std::optional<bool> wanted(const EntryView& entry, const Operation& operation) {
        if (transaction_) {
            if (!std::exchange(counts_, true)) transactions_.emplace_back();
            ++transactions_.back().all;
        }
        const Choice& choice = options_.choice;
        if (!choice.ids.empty()) {
            key_.clear();
            append_id_key(key_, operation.is_update() ? *operation.o2 : operation.o);
            if (!choice.ids.contains(key_)) return std::nullopt;
        }
        return is_within(entry) && (choice.ops.empty() || choice.ops.contains(std::string(operation.op))) && is_of_transaction(entry);
    }
    /// Whether an entry is one to choose. What moves between the shards of a cluster is nobody's change: it must stay where it went.
    /// Servers before 6.0 mark in the same way what a rename to another database copies.
    bool is_within(const EntryView& entry) const {
        if (!options_.choice.bounds.contains(entry.ts())) return false;
        const auto moves = entry.document().find("fromMigrate");
        return !moves || !moves->truthy() || (is_temporary(entry.ns()) && split_namespace(entry.ns()).collection.starts_with("tmp"));
    }
    /// Whether the current entry is a command to choose.
    bool chooses_command() const { return options_.choice.commands() && is_within(current()); }
    bool is_of_transaction(const EntryView& entry) {
        const std::vector<TransactionName>& names = options_.choice.transactions;
        if (names.empty()) return true;
        const auto lsid = entry.document().find("lsid"), number = entry.document().find("txnNumber");
        if (!lsid || !number) return false;
        const auto uuid = lsid->document().find("id");
        const std::string digits = uuid ? bson::to_hex(uuid->binary_data()) : std::string();
        bool found = false;
        for (const TransactionName& name : names) {
            if (name.number != number->integer() || !digits.starts_with(name.session)) continue;
            found = true;
            found_.emplace(name.session, name.number);
            const auto [other, is_new] = sessions_.emplace(name.session, digits);
            if (!is_new && other->second != digits)
                entry.fail(Fault::ambiguous,
                           "two sessions begin with " + name.session + ": " + other->second + " and " + digits + "; name more digits");
        }
        return found;
    }
    bool chooses(const CollectionEvent&) override { return chooses_command(); }
    void describe(bson::Builder& out) override {
        if (transaction_ && counts_) out.int64("transaction", static_cast<std::int64_t>(transactions_.size() - 1));
    }

    void command(const Operation& operation, const Command& command, const AppliedCollection* collection, ChangeLog&) override {
        if (!chooses_command()) return;
        const std::string ns = command.ns.empty() ? "" : logical_namespace(command.ns);
        const std::string shell =
            "db.getSiblingDB(" + quoted(split_namespace(ns).database) + ").getCollection(" + quoted(split_namespace(ns).collection) + ")";
        const auto tell_of = [&](std::string text) { tell({ns}, collection, std::move(text)); };
        if (split_namespace(ns).collection == views_collection) return; // view() reports it
        switch (command.kind) {
        case CommandKind::create:
            if (!is_temporary(ns)) tell_of(ns + " was created; if it is not wanted: " + shell + ".drop()");
            return;
        case CommandKind::rename_collection:
            if (is_temporary(ns))
                tell({ns, logical_namespace(command.target)}, collection,
                     logical_namespace(command.target) + " was written anew, as by $out: its new documents are taken back one by one");
            else
                tell({ns, logical_namespace(command.target)}, collection,
                     ns + " was renamed to " + command.target + "; to rename it back: db.adminCommand({renameCollection: " +
                         quoted(command.target) + ", to: " + quoted(ns) + "})");
            return;
        case CommandKind::create_indexes:
        case CommandKind::commit_index_build:
            for_each_index(operation, [&](const bson::Document& spec) {
                const std::string name(spec.find("name")->string());
                if (!is_temporary(ns))
                    tell_of("index " + name + " of " + ns + " was made; if it is not wanted: " + shell + ".dropIndex(" + quoted(name) +
                            ")");
            });
            return;
        case CommandKind::drop_indexes: {
            if (operation.o.find("index"))
                tell_of("indexes of " + ns + " were dropped: " + to_json(operation.o, JsonMode::relaxed) +
                        "; before, there were:" + indexes_of(collection));
            return;
        }
        case CommandKind::coll_mod:
            tell_of(ns + " was modified: " + to_json(operation.o, JsonMode::relaxed) +
                    (collection ? "; its options were " + to_json(bson::Document(collection->metadata.options), JsonMode::relaxed)
                                : std::string()) +
                    (operation.o.find("index") ? ", its indexes:" + indexes_of(collection) : std::string()));
            return;
        default: return;
        }
    }
    void view(const std::string& ns, const std::string& before, ChangeLog&) override {
        views_.insert(ns);
        if (!chooses_command()) return;
        tell({ns}, nullptr,
             "view " + ns +
                 (before.empty() ? " was made" : " was changed or dropped; it was " + to_json(bson::Document(before), JsonMode::relaxed)));
    }
    static std::string indexes_of(const AppliedCollection* collection) {
        std::string text;
        if (collection)
            for (const bson::Value& spec : collection->metadata.indexes) text += " " + to_json(bson::Document(spec), JsonMode::relaxed);
        return text;
    }
    static std::string quoted(std::string_view text) {
        const bson::Value document = bson::Builder().string("", text).finish();
        return to_json(*document.view().begin());
    }
    void tell(std::vector<std::string> names, const AppliedCollection* collection, std::string text) {
        const Position* const where = current().where();
        told_.push_back({std::move(names),
                         collection ? std::optional(collection->number) : std::nullopt,
                         {Finding::Severity::note, where ? std::optional(*where) : std::nullopt, current().ts(), std::move(text)}});
    }

    // ---- afterwards ----

    bool matches(const std::string& name) const {
        const auto fits = [&](const Glob& glob) { return glob.matches(name); };
        return (options_.choice.namespaces.empty() || std::ranges::any_of(options_.choice.namespaces, fits)) &&
               std::ranges::none_of(options_.choice.excluded, fits);
    }
    bool is_selected(const CollectionLife& life) const {
        const auto any = [&](const std::vector<Glob>& globs) {
            return std::ranges::any_of(globs, [&](const Glob& glob) {
                return std::ranges::any_of(life.names, [&](const std::string& name) { return glob.matches(name); });
            });
        };
        return (options_.choice.namespaces.empty() || any(options_.choice.namespaces)) && !any(options_.choice.excluded);
    }
    Timestamp ts_of(std::uint64_t source_of) const { return source(source_of).find("ts")->timestamp(); }

    void write(CollectionLife& life, TakeBackOutput& out) {
        AppliedCollection& collection = life.collection;
        const CollectionEvent* const end = life.ended && life.events.back().chosen ? &life.events.back() : nullptr;
        if (end && !only_temporary(life)) return write_dropped(life, *end, out);
        for (const CollectionEvent& event : life.events)
            if (event.chosen && event.kind == CollectionEvent::Kind::emptied) refuse_kinds(life, event.source);
        if (collection.changes.empty()) return;
        CollectionChanges changes(log(), collection.changes);
        std::uint64_t by_hand = 0, last_source = 0;
        for_each_document(life, changes, false, [&](std::span<const Change> group, const bson::Document* dumped) {
            Document document(*this, life, nullptr);
            document.play(group, dumped);
            if (document.taken.operations == 0 || only_temporary(life)) return;
            if (is_of_server(life)) {
                by_hand += document.taken.operations;
                last_source = document.last_source;
                return;
            }
            pass(document, out);
        });
        if (by_hand > 0)
            told_.push_back({{},
                             {},
                             {Finding::Severity::note, std::nullopt, ts_of(last_source),
                              collection.ns() + " is the server's own: " + std::to_string(by_hand) +
                                  " of its operations are chosen, and not taken back"}});
    }

    void write_dropped(CollectionLife& life, const CollectionEvent& end, TakeBackOutput& out) {
        AppliedCollection& collection = life.collection;
        refuse_kinds(life, end.source);
        const std::string ns = collection.ns();
        if (!collection.whole)
            fail(end.source, Fault::incomplete,
                 ns + " goes here, and what it held is not known: it is not in the full dump, and no entry creates it");
        if (collection.base && !is_exact(end.place)) fail(end.source, Fault::incomplete, not_known(ns));
        std::string name = options_.renaming.collection(ns).value_or(ns);
        if (!dropped_.insert(name).second) // the first of several with the same name is what existed before everything
            for (std::string base =
                     name + "-" + std::to_string(ts_of(end.source).seconds) + "-" + std::to_string(ts_of(end.source).ordinal);
                 !dropped_.insert(name = base).second;)
                base += "-";
        out.begin_dropped(life, name, end);
        CollectionChanges changes(log(), collection.changes);
        for_each_document(life, changes, true, [&](std::span<const Change> group, const bson::Document* dumped) {
            Document document(*this, life, &end);
            document.play(group, dumped);
            if (document.taken.operations > 0) {
                pass(document, out);
            } else {
                document.taken.target = document.taken.now;
            }
            if (document.taken.target) out.dropped_document(*document.taken.target);
        });
        out.end_dropped();
    }

    /// Whether a later collection got the name, so that a document of this one would go there.
    bool is_replaced(const CollectionLife& life) const { return owners_.at(life.collection.ns()) != &life; }
    static bool only_temporary(const CollectionLife& life) { return std::ranges::all_of(life.names, is_temporary); }
    static bool is_of_server(const CollectionLife& life) {
        const std::string& database = life.collection.database;
        return database == "admin" || database == "config";
    }
    std::string not_known(const std::string& ns) const {
        return "what " + ns + " held before this cannot be told: the full dump is consistent from " + oplog::to_string(consistent_point_) +
               " on; choose later operations";
    }
    void refuse_kinds(const CollectionLife& life, std::uint64_t source_of) const {
        const std::string ns = life.collection.database + "." + life.collection.logical_name();
        const char* const what = life.collection.is_buckets()                                  ? "a time series"
                                 : is_capped(bson::Document(life.collection.metadata.options)) ? "a capped collection"
                                                                                               : nullptr;
        if (what)
            fail(source_of, Fault::not_supported,
                 "what is done to " + ns + ", " + what + ", cannot be taken back (--exclude-ns " + ns +
                     " leaves it out; oplog-apply --before " + oplog::to_string(ts_of(source_of)) + " --ns " + ns + " has it as it was)");
    }

    /// Calls use(changes, dumped) for each document that has changes or, with `all`, for each that exists.
    template <class Use>
    void for_each_document(CollectionLife& life, CollectionChanges& changes, bool all, Use use) const {
        const auto& base = life.collection.base;
        if (base && !base->data.empty()) {
            DocumentReader documents(base->data, Check::structure);
            for (const bson::Document& document : documents) {
                const auto group = changes.take(document);
                if (group && (all || !group->empty())) use(*group, &document);
            }
        }
        changes.take_others([&](std::span<const Change> group) { use(group, nullptr); });
    }

    /// A document of a collection: what happened to it, and what becomes of it.
    struct Document {
        Document(const TakeBack& owner, const CollectionLife& of, const CollectionEvent* ends) : log(owner), life(of), end(ends) {
            taken.life = &life;
            taken.of_dropped = end != nullptr;
        }

        void play(std::span<const Change> group, const bson::Document* dumped) {
            if (const auto found = (dumped ? *dumped : log.log().document(group.front())).find("_id"))
                id = bson::Builder().append(*found).finish();
            if (group.empty()) { // it is in a collection that is restored
                now = dumped->bytes();
                has_now = true;
                return finish();
            }
            log.for_each_version(life, group, dumped, [&](const VersionStep& step) {
                const bool ends = step.event && step.event == end;
                has_now = (ends ? step.before : step.after).has_value();
                now.assign((ends ? step.before : step.after).value_or(""));
                if (ends) return;
                if (step.event && step.event->kind == CollectionEvent::Kind::renamed) return;
                const bool is_chosen = step.chosen && (step.event || fits(step));
                if (is_chosen) return chosen(step);
                if (taken.operations == 0) return;
                others.push_back(step.change);
                if (!taken.other) taken.other = log.ts_of(step.source);
            });
            finish();
        }

        /// Decides what becomes of the document.
        void judge() {
            has_target = has_before;
            target = before;
            taken.outcome = Outcome::unchanged;
            if (!others.empty() && log.options_.on_conflict == OnConflict::skip)
                taken.outcome = Outcome::conflict;
            else if (!end && log.is_replaced(life))
                replaced();
            else if (!others.empty() && log.options_.on_conflict == OnConflict::replay && !replay())
                taken.outcome = Outcome::unapplicable;
            if (taken.outcome != Outcome::unchanged) {
                has_target = has_now;
                target = now;
            } else if (has_target != has_now) {
                taken.outcome = has_target ? Outcome::inserted : Outcome::deleted;
            } else if (has_target && target != now) {
                taken.outcome = Outcome::restored;
            }
            finish();
        }

        const TakeBack& log;
        const CollectionLife& life;
        const CollectionEvent* end; ///< The end of the collection that is taken back.
        TakenBack taken{};
        std::vector<std::uint64_t> parts; ///< The numbers of the transactions of chosen operations.
        std::uint64_t last_source = 0;

      private:
        bool fits(const VersionStep& step) const {
            const std::vector<FieldMatch>& where = log.options_.choice.where;
            const auto all = [&](std::optional<std::string_view> version) {
                return version &&
                       std::ranges::all_of(where, [&](const FieldMatch& match) { return match.matches(bson::Document(*version)); });
            };
            return where.empty() || all(step.before) || all(step.after);
        }
        void chosen(const VersionStep& step) {
            last_source = step.source;
            if (is_of_server(life)) {
                ++taken.operations;
                return;
            }
            if (!only_temporary(life)) log.refuse_kinds(life, step.source);
            if (taken.operations++ == 0) {
                if (!step.before_known) log.fail(step.source, Fault::incomplete, log.not_known(life.collection.ns()));
                has_before = step.before.has_value();
                before.assign(step.before.value_or(""));
            }
            has_after = has_now;
            after = now;
            const bson::Document source = log.source(step.source);
            if (const auto number = source.find("transaction")) {
                parts.push_back(static_cast<std::uint64_t>(number->integer()));
                taken.transactions.insert({std::string(source.find("lsid")->document().bytes()), source.find("txnNumber")->integer()});
            }
        }
        /// Applies the other operations alone. Returns false if one does not apply.
        bool replay() {
            for (const Change* const change : others) {
                if (!change) { // the collection ended
                    has_target = false;
                    continue;
                }
                try {
                    if (change->kind() == ChangeKind::update && !has_target)
                        return unapplicable(*change, "an update of a document that would not exist");
                    if (change->updates() && has_target && !update_fits(bson::Document(target), log.log().update(*change)))
                        return unapplicable(*change, "an update of a field that would not be there, or be of another type");
                    const auto next = log.changed(has_target ? std::optional<std::string_view>(target) : std::nullopt, *change);
                    has_target = next.has_value();
                    target = next.value_or("");
                } catch (const DataError& error) {
                    return unapplicable(*change, error.what());
                }
            }
            return true;
        }
        void replaced() {
            taken.outcome = Outcome::unapplicable;
            taken.other = log.ts_of(life.events.back().source);
            taken.reason = "its collection went, and another one has the name " + life.collection.logical_ns() + " since";
        }
        bool unapplicable(const Change& change, std::string reason) {
            taken.other = log.ts_of(log.log().tag(change) >> 1);
            taken.reason = std::move(reason);
            return false;
        }
        void finish() {
            const auto version = [](bool has, const std::string& document) {
                return has ? std::optional<std::string_view>(document) : std::nullopt;
            };
            name = life.collection.ns();
            taken.ns = name;
            taken.id = id;
            taken.before = version(has_before, before);
            taken.after = version(has_after, after);
            taken.now = version(has_now, now);
            taken.target = version(has_target, target);
        }

        std::string id, before, after, now, target, name;
        bool has_before = false, has_after = false, has_now = false, has_target = false;
        /// Operations outside the choice after the first chosen one; null stands for the collection's end.
        std::vector<const Change*> others;
    };

    /// Passes a document on. What the output cannot take is told of with the place of the last chosen operation on it.
    void pass(Document& document, TakeBackOutput& out) {
        document.judge();
        count(document);
        try {
            out.document(document.taken);
        } catch (const FormatError&) {
            throw;
        } catch (const DataError& error) {
            fail(document.last_source, error.fault(), "a document of " + document.life.collection.ns() + ": " + error.what());
        }
    }
    void count(const Document& document) {
        operations_ += document.taken.operations;
        for (const std::uint64_t part : document.parts) {
            ++transactions_[part].chosen;
            transactions_[part].source = document.last_source;
        }
    }

    void tell_commands() {
        std::map<std::uint64_t, const CollectionLife*> by_number;
        for (const CollectionLife& life : lives()) by_number[life.collection.number] = &life;
        std::ranges::stable_sort(told_, {}, [](const Told& told) { return told.finding.ts; });
        for (Told& told : told_) {
            const auto life = told.number ? by_number.find(*told.number) : by_number.end();
            if (life != by_number.end()
                    ? is_selected(*life->second) || std::ranges::any_of(told.names, [&](const std::string& name) { return matches(name); })
                    : told.names.empty() || std::ranges::any_of(told.names, [&](const std::string& name) { return matches(name); }))
                by_hand_.push_back(std::move(told.finding));
        }
    }
    void tell_parts() {
        for (const Counts& counts : transactions_) {
            if (counts.chosen == 0 || counts.chosen == counts.all) continue;
            const bson::Document entry = source(counts.source);
            parts_.push_back(
                "transaction " +
                oplog::to_string(TransactionId{std::string(entry.find("lsid")->document().bytes()), entry.find("txnNumber")->integer()}) +
                ", committed at " + oplog::to_string(entry.find("ts")->timestamp()) + ": " + std::to_string(counts.chosen) + " of its " +
                std::to_string(counts.all) + " operations are chosen");
        }
    }

    Options options_;
    Timestamp consistent_point_, last_;
    Applier applier_;
    TransactionInfo transaction_; ///< The role of the current entry.
    bool counts_ = false;         ///< Whether the transaction of the current entry already has operations.
    std::vector<Counts> transactions_;
    std::set<std::string> views_;
    std::set<std::pair<std::string, std::int64_t>> found_; ///< The named transactions that there are.
    std::map<std::string, std::string> sessions_;          ///< The sessions, by the digits that name them.
    std::vector<Told> told_;
    std::set<std::string> dropped_;
    std::map<std::string, const CollectionLife*> owners_; ///< The last collection of each name.
    std::vector<Finding> by_hand_;
    std::vector<std::string> parts_;
    std::uint64_t operations_ = 0;
    std::string key_;
};

} // namespace oplog

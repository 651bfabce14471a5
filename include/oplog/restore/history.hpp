// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/field_match.hpp>
#include <oplog/bson/validate.hpp>
#include <oplog/entry/id_sieve.hpp>
#include <oplog/restore/changed_paths.hpp>
#include <oplog/restore/versions.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// What an event means for the documents of the collection: "collection dropped" and the like.
inline std::string_view to_string(const CollectionEvent& event) {
    switch (event.kind) {
    case CollectionEvent::Kind::renamed: return "collection renamed";
    case CollectionEvent::Kind::emptied: return "collection emptied";
    case CollectionEvent::Kind::ended: break;
    }
    switch (event.ending) {
    case Ending::dropped: return "collection dropped";
    case Ending::database_dropped: return "database dropped";
    case Ending::replaced: return "collection replaced";
    }
    return "";
}

/// All versions of documents that a chain knows, with or without its full dump.
///
/// Feed it entry by entry, in order. A reader must have checked the bytes (Check::structure). If `ids` are given, a
/// framed document is enough, because of entries about other documents only the fields up to the `_id` are examined.
/// write() then returns the versions as documents in the order of time: {ts, wall, op, ns, _id}. Operations in sessions
/// also have {lsid, txnNumber, session}. Those in transactions have {entry}, the ts of the entry that holds the
/// operation. What happens to the collection has `event`, and `to`, its new name. Then follow {before, after}, null for
/// a missing document, or `changes`, see changed_paths(). If a version is not known, `unknown` says which one, and
/// `update` is what the entry contains.
///
/// Takes 48 to 64 bytes of memory for each operation on the wanted documents, and the memory of an Applier.
class History {
  public:
    /// Whether write() shows what changed, or whole documents.
    enum class Form { changes, images };
    /// The options of a history.
    struct Options {
        std::string scratch = ".";       ///< A directory for temporary files as large as the wanted operations and all versions together.
        std::vector<Glob> namespaces{};  ///< Patterns for the collections, under any of their names; empty: all.
        std::set<std::string> ids{};     ///< The documents' keys, as id_key() writes them; empty: all.
        std::vector<FieldMatch> where{}; ///< Documents of which one version matches all of these.
        Bounds bounds{};                 ///< The times of the versions to show.
        Form form = Form::changes;
        Report report{};
        Selection selection{}; ///< Saves time: the changes of other collections are not stored. It has learned the entries.
    };

    /// `full` is the chain's full dump, which outlives this object, or null. The timestamps are those of the full dump;
    /// see Chain.
    History(const Dump* full, std::optional<Timestamp> dump_start, std::optional<Timestamp> consistent_point, Options options)
        : options_(std::move(options)), sieve_(options_.ids),
          versions_(consistent_point, [this](const EntryView&, const Operation& operation) { return wanted(operation); }) {
        Applier::Options applier{.scratch = options_.scratch,
                                 .dump_start = dump_start,
                                 .consistent_point = consistent_point,
                                 .report = options_.report,
                                 .selection = std::move(options_.selection),
                                 .watcher = &versions_,
                                 .partial = full == nullptr};
        full ? applier_.emplace(*full, std::move(applier)) : applier_.emplace(std::move(applier));
    }
    History(const History&) = delete;

    /// Takes the next entry. Throws FormatError for a malformed entry, and for one that cannot be followed.
    void add(const EntryView& entry) {
        if (!options_.ids.empty()) {
            if (entry.is_passed_by() || sieve_(entry)) return;
            entry.with_place([&] { bson::validate<bson::Text::any>(entry.document()); });
        }
        versions_.begin(entry);
        applier_->add(entry);
    }

    /// Says of which entries add() takes no notice: if `ids` are given, of those about other documents.
    const IdSieve& sieve() const noexcept { return sieve_; }

    /// Call this once, after the last entry: calls use(const bson::Document&) for each version. Throws DataError.
    template <class Use>
    void write(Use use) {
        applier_->seal();
        versions_.end(*applier_);
        ChangeLog lines(options_.scratch);
        std::vector<std::pair<std::uint64_t, std::uint64_t>> order; // the place, and the offset of the line
        for (CollectionLife& life : versions_.lives())
            if (is_selected(life))
                for_each_document(life, [&](std::span<const Change> changes, const bson::Document* dumped) {
                    if (!matches(life, changes, dumped)) return;
                    versions_.for_each_version(life, changes, dumped, [&](const VersionStep& step) {
                        if (const auto id = id_of(step, changes, dumped); id && options_.bounds.contains(ts_of(step)) && exists(step))
                            order.emplace_back(step.place, lines.append_entry(line(life, step, *id)));
                    });
                });
        lines.seal();
        std::ranges::sort(order);
        for (const auto& [place, offset] : order) use(lines.entry(offset));
    }

    /// Whether any collection matches, under any of its names. Call this after write(). Without a full dump not all are
    /// known.
    bool has_collection(const Glob& glob) const { return versions_.has_collection(glob); }

  private:
    bool has_wanted_id(const Operation& operation) {
        const auto id = (operation.is_update() && operation.o2 ? *operation.o2 : operation.o).find("_id");
        if (!id) return true; // a closer look will report what is wrong
        key_.clear();
        append_key(key_, *id);
        return options_.ids.contains(key_);
    }
    std::optional<bool> wanted(const Operation& operation) {
        return options_.ids.empty() || has_wanted_id(operation) ? std::optional(true) : std::nullopt;
    }
    bool is_selected(const CollectionLife& life) const {
        if (is_hidden_in_dumps(life.collection.ns()) && options_.namespaces.empty()) return false;
        return options_.namespaces.empty() || std::ranges::any_of(options_.namespaces, [&](const Glob& glob) {
                   return std::ranges::any_of(life.names, [&](const std::string& name) { return glob.matches(name); });
               });
    }

    /// Whether a document of the dump has one of the ids; checks it then. Throws FormatError.
    bool is_wanted(const bson::Document& document, const Position& where) const {
        try {
            if (!options_.ids.contains(id_key(document))) return false;
            bson::validate<bson::Text::any>(document);
            return true;
        } catch (const DataError& error) {
            throw FormatError(where, error);
        }
    }

    /// Calls use(changes, dumped) for each document that has a version to show.
    template <class Use>
    void for_each_document(CollectionLife& life, Use use) {
        AppliedCollection& collection = life.collection;
        if (collection.changes.empty() && life.events.empty()) return;
        CollectionChanges changes(versions_.log(), collection.changes);
        if (collection.base && !collection.base->data.empty()) {
            std::size_t left = options_.ids.size();
            // Of one document among many it matters only that this one is whole.
            DocumentReader documents(collection.base->data, left > 0 ? Check::frame : Check::structure);
            Position where{collection.base->data};
            for (const bson::Document& document : documents) {
                ++where.document;
                if (left == 0 || is_wanted(document, where)) {
                    const auto group = changes.take(document);
                    if (group && (!group->empty() || !life.events.empty())) use(*group, &document);
                    if (left > 0 && --left == 0) break;
                }
                where.offset += document.size();
            }
        }
        changes.take_others([&](std::span<const Change> group) { use(group, nullptr); });
    }

    bool matches(const CollectionLife& life, std::span<const Change> changes, const bson::Document* dumped) const {
        if (options_.where.empty()) return true;
        const auto fits = [&](std::optional<std::string_view> version) {
            return version &&
                   std::ranges::all_of(options_.where, [&](const FieldMatch& match) { return match.matches(bson::Document(*version)); });
        };
        if (life.collection.base)
            if (const auto version = versions_.dumped_version(changes, dumped); fits(version)) return true;
        bool any = false;
        versions_.for_each_version(life, changes, dumped,
                                   [&](const VersionStep& step) { any = any || fits(step.before) || fits(step.after); });
        return any;
    }

    /// Whether there is a document. What happens to a collection concerns only documents that exist.
    static bool exists(const VersionStep& step) { return step.change || !step.before_known || step.before; }
    Timestamp ts_of(const VersionStep& step) const { return versions_.source(step.source).find("ts")->timestamp(); }
    std::optional<bson::Element> id_of(const VersionStep& step, std::span<const Change> changes, const bson::Document* dumped) const {
        if (step.change) return versions_.log().document(*step.change).find("_id");
        return dumped ? dumped->find("_id") : versions_.log().document(changes.front()).find("_id");
    }

    std::string line(const CollectionLife& life, const VersionStep& step, const bson::Element& id) const {
        const bson::Document source = versions_.source(step.source);
        bson::Builder out;
        for (const char* const name : {"ts", "wall"})
            if (const auto field = source.find(name)) out.append(*field);
        if (step.event)
            out.string("op", "c").string("ns", step.event->from).append("_id", id);
        else
            out.string("op", step.change->kind() == ChangeKind::insertion ? "i"
                             : step.change->updates()                     ? "u"
                                                                          : "d")
                .string("ns", life.name_at(step.place))
                .append("_id", id);
        const auto lsid = source.find("lsid"), number = source.find("txnNumber");
        if (lsid) out.append(*lsid);
        if (number) out.append(*number);
        if (lsid && number) {
            if (!lsid->is(bson::Type::document) || !number->is_number())
                versions_.fail(step.source, Fault::wrong_type, "a session whose 'lsid' is no document, or whose 'txnNumber' is no number");
            out.string("session", oplog::to_string(TransactionId{std::string(lsid->document().bytes()), number->integer()}));
        }
        if (const auto entry = source.find("entry")) out.append(*entry);
        if (step.event) {
            out.string("event", oplog::to_string(*step.event));
            if (!step.event->to.empty()) out.string("to", step.event->to);
        }
        const auto version = [&](const char* name, bool known, const std::optional<std::string_view>& document) {
            if (!known) return;
            if (document)
                out.document(name, bson::Document(*document));
            else
                out.null(name);
        };
        const bool known = step.before_known && step.after_known;
        if (known && options_.form == Form::changes) {
            const bson::Document none;
            const std::string changes =
                changed_paths(step.before ? bson::Document(*step.before) : none, step.after ? bson::Document(*step.after) : none);
            out.array("changes", bson::Document(changes));
        } else {
            version("before", step.before_known, step.before);
            version("after", step.after_known, step.after);
        }
        if (!known) {
            out.begin_array("unknown");
            if (!step.before_known) out.string("0", "before");
            if (!step.after_known) out.string(step.before_known ? "0" : "1", "after");
            out.end();
            if (step.change && step.change->updates() && !step.after_known) out.document("update", versions_.log().update(*step.change));
        }
        return out.finish();
    }

    Options options_;
    IdSieve sieve_;
    VersionLog versions_;
    std::optional<Applier> applier_;
    std::string key_;
};

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/glob.hpp>
#include <oplog/restore/apply.hpp>
#include <oplog/restore/apply_collection.hpp>
#include <oplog/restore/change_log.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// Something that happened to a collection, and therefore to each document in it.
struct CollectionEvent {
    /// The kind of event; `ended` has an Ending.
    enum class Kind { renamed, emptied, ended };
    Kind kind;
    Ending ending = Ending::dropped; ///< How it ended; only for `ended`.
    std::string from, to;            ///< Its name before and, if it was renamed, after. Buckets have their own names here.
    std::uint64_t place;             ///< Comparable with the places of changes.
    std::uint64_t source;            ///< See VersionLog::source().
    bool chosen = false;             ///< See VersionLog::Wanted.
};

/// A collection from its creation, or from the first that is known about it, to its end or to the last entry.
struct CollectionLife {
    AppliedCollection collection; ///< Its last state. The changes are all that are wanted of its documents.
    std::vector<CollectionEvent> events;
    std::set<std::string> names; ///< All names that it had, as users know them.
    bool ended = false;          ///< Whether it no longer exists.

    /// The name that it had before the first of its events at or after `place`.
    std::string name_at(std::uint64_t place) const {
        for (const CollectionEvent& event : events)
            if (event.place >= place) return event.from;
        return collection.ns();
    }
};

/// A version of a document, and what made it from the version before. Valid during the call that passes it.
struct VersionStep {
    const Change* change;         ///< The change of the document, or null.
    const CollectionEvent* event; ///< What happened to its collection, or null. One of the two is set.
    std::uint64_t place;
    std::uint64_t source; ///< See VersionLog::source().
    bool chosen;
    bool before_known, after_known;
    std::optional<std::string_view> before, after; ///< None if there is no document.
};

/// Records everything that an Applier does to the documents of collections, and reconstructs the versions of each
/// document.
///
/// This is the watcher of the Applier, which has `partial` set if there is no full dump. Feed both entry by entry:
/// first begin(), then Applier::add(). Up to the full dump's consistent point nobody can tell what the dump has seen of
/// a document. Until then its versions are known only from the first entry on that has the whole document or removes
/// it.
///
/// Takes 16 to 32 bytes of memory for each wanted operation, and a few hundred for each collection.
class VersionLog : public ApplyWatcher {
  public:
    /// Decides about an operation on a document by itself: none if it is not wanted, else whether it is chosen.
    using Wanted = std::function<std::optional<bool>(const EntryView& entry, const Operation& operation)>;

    /// `consistent_point` is that of the full dump; none without one.
    VersionLog(std::optional<Timestamp> consistent_point, Wanted wanted)
        : consistent_point_(consistent_point), wanted_(std::move(wanted)) {}

    /// Call this before each entry is added to the Applier.
    void begin(const EntryView& entry) {
        current_ = &entry;
        source_.reset();
    }
    /// Call this after the last entry: takes the collections from the Applier, which must be sealed or finished.
    void end(Applier& applier) {
        log_ = &applier.log();
        for (AppliedCollection& collection : applier.collections()) keep(collection, false);
        applier.collections().clear();
        if (!exact_from_) exact_from_ = consistent_point_ ? ~std::uint64_t{0} : 0;
    }

    /// All collections that existed, those that ended first in front. Call this after end(). Their order and the
    /// changes in them may be modified.
    std::vector<CollectionLife>& lives() noexcept { return lives_; }
    /// Whether any collection matches, under any of its names. Call this after end().
    bool has_collection(const Glob& glob) const {
        return std::ranges::any_of(lives_, [&](const CollectionLife& life) {
            return std::ranges::any_of(life.names, [&](const std::string& name) { return glob.matches(name); });
        });
    }
    /// The log with the changes. Call this after end().
    const ChangeLog& log() const noexcept { return *log_; }
    /// What is known about the entry that a step comes from; for an operation of a transaction that is the commit. The
    /// document has those of {ts, wall, lsid, txnNumber, entry, file, offset, document} that exist. `entry` is the ts
    /// of the entry that holds a transaction's operation.
    bson::Document source(std::uint64_t source) const noexcept { return log_->entry(source); }
    /// Whether everything is known, from this place on, about a collection that the full dump has.
    bool is_exact(std::uint64_t place) const noexcept { return place >= *exact_from_; }

    /// Calls use(const VersionStep&) for each version of a document. `changes` are those that CollectionChanges returns
    /// for it, and `dumped` is its form in the full dump, or null. Throws FormatError with the entry's place if an
    /// update cannot be applied.
    template <class Use>
    void for_each_version(const CollectionLife& life, std::span<const Change> changes, const bson::Document* dumped, Use&& use) const {
        State state;
        state.known = life.collection.whole && !life.collection.base;
        bool exact = !life.collection.base;
        std::size_t next = 0, next_event = 0;
        const auto enter = [&](std::uint64_t place) {
            if (exact || !is_exact(place)) return;
            exact = true;
            state.known = true;
            state.document = dumped_version(changes, dumped);
        };
        std::string before;
        while (next < changes.size() || next_event < life.events.size()) {
            const bool is_event =
                next == changes.size() || (next_event < life.events.size() && life.events[next_event].place < changes[next].place);
            const CollectionEvent* const event = is_event ? &life.events[next_event++] : nullptr;
            const Change* const change = is_event ? nullptr : &changes[next++];
            const std::uint64_t tag = change ? log_->tag(*change) : 0;
            VersionStep step{change,
                             event,
                             event ? event->place : change->place,
                             event ? event->source : tag >> 1,
                             event ? event->chosen : (tag & 1) != 0,
                             false,
                             false,
                             {},
                             {}};
            enter(step.place);
            step.before_known = state.known;
            before.assign(state.document.value_or(""));
            if (state.known && state.document) step.before = before;
            if (change)
                apply(state, *change);
            else if (event->kind != CollectionEvent::Kind::renamed)
                state = {true, std::nullopt};
            step.after_known = state.known;
            if (state.known && state.document) step.after = *state.document;
            use(static_cast<const VersionStep&>(step));
        }
    }

    /// The document at the full dump's consistent point, from its form in the dump and its changes until then.
    std::optional<std::string> dumped_version(std::span<const Change> changes, const bson::Document* dumped) const {
        std::size_t end = 0;
        while (end < changes.size() && !is_exact(changes[end].place)) ++end;
        std::size_t at = end;
        while (at > 0 && changes[at - 1].updates()) --at; // everything before an insertion or removal no longer matters
        State state{true, std::nullopt};
        if (at > 0 && changes[at - 1].kind() == ChangeKind::insertion)
            state.document = log_->document(changes[at - 1]).bytes();
        else if (at == 0 && dumped)
            state.document = dumped->bytes();
        for (; at < end; ++at) apply(state, changes[at]);
        return state.document;
    }

    /// The result of applying a change to a document, or to none. Throws FormatError with the entry's place.
    std::optional<std::string> changed(const std::optional<std::string_view>& before, const Change& change) const {
        State state{true, before ? std::optional<std::string>(*before) : std::nullopt};
        apply(state, change);
        return state.document;
    }
    /// Throws a FormatError with the place of the entry that is that source or, if that is unknown, a DataError.
    [[noreturn]] void fail(std::uint64_t source_of, Fault fault, const std::string& reason) const {
        const bson::Document entry = source(source_of);
        const std::string text = to_string(entry.find("ts")->timestamp()) + ": " + reason;
        if (const auto file = entry.find("file"))
            throw FormatError(Position{std::string(file->string()), static_cast<std::uint64_t>(entry.find("offset")->integer()),
                                       static_cast<std::uint64_t>(entry.find("document")->integer())},
                              fault, text);
        throw DataError(fault, text);
    }

    // What the Applier reports.
    void entry(const bson::Document& holder) override {
        holder_ = holder;
        source_.reset();
    }
    std::optional<std::uint64_t> change(const AppliedCollection& collection, const Operation& operation, ChangeLog& log) override {
        const auto chosen = wanted_(*current_, operation);
        if (!chosen) return std::nullopt;
        note_name(collection);
        return source(log) << 1 | static_cast<std::uint64_t>(*chosen);
    }
    void command(const Operation&, const Command&, const AppliedCollection*, ChangeLog&) override {}
    void view(const std::string&, const std::string&, ChangeLog&) override {}
    void rename(AppliedCollection& collection, const std::string& to, ChangeLog& log) override {
        add_event(collection, {CollectionEvent::Kind::renamed, {}, collection.ns(), to, 0, 0}, log);
    }
    void emptied(AppliedCollection& collection, ChangeLog& log) override {
        add_event(collection, {CollectionEvent::Kind::emptied, {}, collection.ns(), {}, 0, 0}, log);
    }
    void ends(AppliedCollection& collection, Ending ending, ChangeLog& log) override {
        add_event(collection, {CollectionEvent::Kind::ended, ending, collection.ns(), {}, 0, 0}, log);
        keep(collection, true);
    }

  protected:
    /// The current entry.
    const EntryView& current() const noexcept { return *current_; }
    /// Whether an event of a collection is chosen.
    virtual bool chooses(const CollectionEvent&) { return false; }
    /// Adds more facts about the entry to its source().
    virtual void describe(bson::Builder&) {}
    /// Records what is known about the current entry, and returns the number for source().
    std::uint64_t source(ChangeLog& log) {
        if (source_) return *source_;
        if (!exact_from_ && (!consistent_point_ || current_->ts() > *consistent_point_)) exact_from_ = log.next_place();
        bson::Builder out;
        out.timestamp("ts", current_->ts());
        for (const char* const name : {"wall", "lsid", "txnNumber"})
            if (const auto field = current_->document().find(name)) out.append(*field);
        if (transaction_info(*current_))
            if (const auto ts = holder_.find("ts")) out.append("entry", *ts);
        if (const Position* const where = current_->where())
            out.string("file", where->file)
                .int64("offset", static_cast<std::int64_t>(where->offset))
                .int64("document", static_cast<std::int64_t>(where->document));
        describe(out);
        return *(source_ = log.append_entry(out.finish()));
    }

  private:
    struct State {
        bool known = false;
        std::optional<std::string> document = std::nullopt;
    };
    struct Noted {
        std::vector<CollectionEvent> events;
        std::set<std::string> names;
    };

    void apply(State& state, const Change& change) const {
        const bson::Document document = log_->document(change);
        switch (change.kind()) {
        case ChangeKind::insertion: state = {true, std::string(document.bytes())}; return;
        case ChangeKind::removal: state = {true, std::nullopt}; return;
        case ChangeKind::update:
        case ChangeKind::upsert: break;
        }
        const bson::Document update = log_->update(change);
        try {
            if (state.known && state.document)
                state.document = apply_update(bson::Document(*state.document), update);
            else if (state.known && change.kind() == ChangeKind::upsert)
                state.document = apply_upsert(document, update);
            else if (!state.known && update_kind(update) == UpdateKind::replacement)
                state = {true, std::string(update.bytes())};
        } catch (const DataError& error) {
            fail(log_->tag(change) >> 1, error.fault(), "the document of " + to_json(document) + ": " + error.what());
        }
    }

    void note_name(const AppliedCollection& collection) {
        if (last_noted_ == collection.number) return; // a new name is noted when the collection gets it
        noted_[collection.number].names.insert(logical_namespace(collection.ns()));
        last_noted_ = collection.number;
    }
    void add_event(const AppliedCollection& collection, CollectionEvent event, ChangeLog& log) {
        event.source = source(log);
        event.place = log.next_place();
        event.chosen = chooses(event);
        Noted& noted = noted_[collection.number];
        noted.names.insert(logical_namespace(event.from));
        if (!event.to.empty()) noted.names.insert(logical_namespace(event.to));
        noted.events.push_back(std::move(event));
    }
    void keep(AppliedCollection& collection, bool ended) {
        Noted noted;
        if (auto node = noted_.extract(collection.number)) noted = std::move(node.mapped());
        noted.names.insert(logical_namespace(collection.ns()));
        lives_.push_back({std::move(collection), std::move(noted.events), std::move(noted.names), ended});
        last_noted_.reset();
    }

    std::optional<Timestamp> consistent_point_;
    Wanted wanted_;
    const EntryView* current_ = nullptr;
    bson::Document holder_;
    std::optional<std::uint64_t> source_;     ///< The source of the current entry, once it is recorded.
    std::optional<std::uint64_t> exact_from_; ///< The first place after the consistent point.
    std::map<std::uint64_t, Noted> noted_;    ///< What was noted, by the numbers of the collections.
    std::optional<std::uint64_t> last_noted_;
    std::vector<CollectionLife> lives_;
    const ChangeLog* log_ = nullptr;
};

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/hex.hpp>
#include <oplog/entry/filter.hpp>
#include <oplog/entry/meaning.hpp>
#include <oplog/entry/operation.hpp>
#include <oplog/entry/transaction.hpp>
#include <oplog/restore/apply_collection.hpp>
#include <oplog/restore/catalog.hpp>
#include <oplog/restore/change_log.hpp>
#include <oplog/restore/collection_metadata.hpp>
#include <oplog/restore/dump.hpp>
#include <oplog/restore/finding.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// The state of a collection after the entries so far.
struct AppliedCollection : CollectionMetadata {
    std::uint64_t number = 0;           ///< The order in which collections became known.
    std::string uuid;                   ///< 16 bytes; empty if unknown.
    std::optional<DumpCollection> base; ///< Its files in the full dump.
    bool has_data = true;               ///< Whether the documents of `base` still count.
    bool whole = false;                 ///< Whether nothing of it is missing: it is in the dump, or its creation was seen.
    std::string first_seen;             ///< If it is not whole: where it was seen first.
    bool logs_what_it_drops = false;    ///< Whether entries tell what a capped collection drops at its front.
    bool overfills = false;             ///< Whether a server that loads what was read of it drops some, because it is capped.
    ChangeList changes;                 ///< Its documents' changes since the full dump.

    /// Whether its documents are exactly those of the full dump.
    bool is_as_dumped() const { return base && has_data && changes.empty(); }
};

/// Called with numbers of bytes read.
using ReadProgress = std::function<void(std::uint64_t)>;

/// Reads the documents that a collection has after the entries, one after the other.
class AppliedDocuments {
  public:
    /// Call this after Applier::finish(). Only one object at a time may read the changes of a collection. The documents
    /// of the full dump are checked as `check` says.
    AppliedDocuments(const ChangeLog& log, AppliedCollection& collection, Check check = Check::frame, ReadProgress progress = {})
        : log_(&log), collection_(&collection), check_(check), progress_(std::move(progress)) {
        // Before feature compatibility version 5.0 servers do not log which documents a capped collection drops at its
        // front, and let nobody delete others.
        const bson::Document options(collection.metadata.options);
        const auto removes = [](const Change& change) { return change.kind() == ChangeKind::removal; };
        const bool drops = is_capped(options) && !is_capped_cluster(options);
        drops_oldest_ =
            drops && !collection.is_as_dumped() && !collection.logs_what_it_drops && std::ranges::none_of(collection.changes, removes);
        if (drops) {
            order_ = DocumentOrder::insertion;
            const auto size = options.find("size"), max = options.find("max");
            if (size && size->integer() > 0) most_bytes_ = static_cast<std::uint64_t>(size->integer());
            if (max && max->integer() > 0) most_documents_ = static_cast<std::uint64_t>(max->integer());
        }
        open();
        if (!drops_oldest_) return;
        while (const auto document = read()) bytes_ += document->size(), ++documents_;
        open();
    }

    /// The next document, or none at the end. The view is valid until the next call. Throws DataError.
    std::optional<std::string_view> next() {
        if (!drops_oldest_) {
            const auto document = read();
            if (document)
                bytes_ += document->size(), ++documents_;
            else
                collection_->overfills = are_too_many();
            return document;
        }
        while (const auto document = read()) {
            const bool too_many = are_too_many();
            bytes_ -= document->size(), --documents_;
            if (!too_many) return document;
        }
        return std::nullopt;
    }

  private:
    /// Whether a server would drop the first of these. The last one stays, however large it is.
    bool are_too_many() const {
        return documents_ > 1 && ((most_bytes_ > 0 && bytes_ > most_bytes_) || (most_documents_ > 0 && documents_ > most_documents_));
    }
    void open() {
        changes_.reset(); // the list is restored before it is taken again
        changes_.emplace(*log_, collection_->changes, order_);
        reported_ = 0;
        if (collection_->base && collection_->has_data && !collection_->base->data.empty())
            reader_.emplace(collection_->base->data, check_);
    }
    std::optional<std::string_view> read() {
        while (reader_) {
            const bool more = reader_->next();
            if (progress_ && (!more || reader_->bytes() - reported_ >= 1 << 20))
                progress_(reader_->bytes() - std::exchange(reported_, reader_->bytes()));
            if (!more) {
                reader_.reset();
                break;
            }
            std::optional<std::string_view> document;
            changes_->apply(reader_->current(), [&](std::string_view bytes) { document = bytes; });
            if (document) return document;
        }
        return changes_->next_inserted();
    }

    const ChangeLog* log_;
    AppliedCollection* collection_;
    Check check_;
    ReadProgress progress_;
    std::optional<CollectionChanges> changes_;
    std::optional<DocumentReader> reader_;
    std::uint64_t reported_ = 0;
    DocumentOrder order_ = DocumentOrder::any;
    bool drops_oldest_ = false;
    /// What is still to come, else what has come; and the limits of the collection.
    std::uint64_t bytes_ = 0, documents_ = 0, most_bytes_ = 0, most_documents_ = 0;
};

/// Why a collection no longer exists.
enum class Ending {
    dropped,
    database_dropped,
    replaced, ///< Another one was renamed onto it.
};

/// Observes what an Applier does while it does it, for programs that need more than the final state. Transactions are
/// reported when they commit.
class ApplyWatcher {
  public:
    virtual ~ApplyWatcher() = default;
    /// The operations that follow belong to this document: an entry, or an earlier entry of a transaction that waited
    /// for its commit.
    virtual void entry(const bson::Document& holder) = 0;
    /// A document changes. The result is stored with the change (see ChangeLog::tag()). If it is none, the change is
    /// not stored.
    virtual std::optional<std::uint64_t> change(const AppliedCollection&, const Operation&, ChangeLog&) = 0;
    /// A command is about to be applied. The collection is null if it is not known.
    virtual void command(const Operation&, const Command&, const AppliedCollection*, ChangeLog&) = 0;
    /// The definition of a view changes. `before` is the old definition; empty if there was none.
    virtual void view(const std::string& ns, const std::string& before, ChangeLog&) = 0;
    /// A collection is about to get the new namespace `to`.
    virtual void rename(AppliedCollection&, const std::string& to, ChangeLog&) = 0;
    /// A capped collection loses all its documents.
    virtual void emptied(AppliedCollection&, ChangeLog&) = 0;
    /// The collection ceases to exist after this call, so parts of it may be moved out.
    virtual void ends(AppliedCollection&, Ending, ChangeLog&) = 0;
};

/// Plays entries onto a dump, without a server.
///
/// Feed it entries in order, up to the wanted time. Collections are followed by their UUIDs, so that a fuzzy dump (one
/// that has already seen some of the entries) becomes consistent. Changes of documents are kept in a temporary file
/// until write() reads each collection once. An entry that cannot be applied exactly is refused with its place, before
/// anything is written. The operations of a transaction take effect when it commits.
///
/// Takes 16 to 32 bytes of memory for each insert, update and delete, and 2 more while its collection is written. It
/// also holds metadata, views and open transactions in memory.
class Applier {
  public:
    /// What an Applier is given besides the dump.
    struct Options {
        std::string scratch = ".";                   ///< A directory for temporary files as large as the oplog.
        std::optional<Timestamp> dump_start{};       ///< The dump has everything that had committed by then.
        std::optional<Timestamp> consistent_point{}; ///< At that time the dump has every collection whole.
        Report report{};                             ///< Is told of what is left out, and of assumptions.
        Selection selection{};                       ///< The wanted collections and their names. It has learned the entries.
        ApplyWatcher* watcher = nullptr;             ///< Outlives the applier. With it, a collection that is emptied keeps its changes.
        bool partial = false;                        ///< The entries do not begin with a dump: transactions that began before are left out.
    };

    /// Applies to a dump, which must outlive the applier.
    Applier(const Dump& dump, Options options) : dump_(&dump), options_(std::move(options)), log_(options_.scratch) {
        logs_what_capped_drop_ = dump.compatibility_version() >= std::array{5, 0};
        const auto version = dump.server_version();
        keeps_fractions_ = version ? *version < std::array{5, 0, 0} : !logs_what_capped_drop_;
        for (const DumpCollection& dumped : dump.collections()) add_dumped(dumped);
    }
    /// Applies to nothing; useful only with a watcher.
    explicit Applier(Options options) : options_(std::move(options)), log_(options_.scratch) {}

    /// Takes the next entry. Throws FormatError for a malformed entry and for one that cannot be applied.
    void add(const EntryView& entry) {
        entry.with_place([&] {
            last_ = entry.ts();
            if (options_.selection.everything()) return take(entry);
            const Edit edit = options_.selection.apply(entry);
            if (edit.kind == Edit::Kind::keep) take(entry);
            for (const bson::Value& document : edit.with) take(EntryView(document.view(), entry.where()));
        });
    }

    /// Takes an entry after the last wanted one; see Stager::look_ahead() for the reason.
    void look_ahead(const EntryView& entry) {
        entry.with_place([&] {
            if (!is_of_index_build(entry)) return;
            const Operation operation(entry);
            const Command command = parse_command(operation);
            const bool starts = command.kind == CommandKind::start_index_build;
            for_each_index(operation, [&](const bson::Document& spec) {
                const std::string key = build_key(operation, command, detail::index_name(spec));
                if (starts)
                    started_later_.insert(key);
                else if (!started_later_.contains(key))
                    building_.insert(key);
            });
        });
    }

    /// Makes a transaction count that is prepared and still open after the last entry. This is for callers that know from
    /// elsewhere that it commits.
    /// Throws DataError if not all of its operations are known.
    void commit(const TransactionId& id) {
        const auto open = tracker_.open().find(id);
        if (open == tracker_.open().end() || !open->second.prepared)
            throw DataError(Fault::incomplete, "transaction " + to_string(id) + " is not prepared");
        if (open->second.began_before || open->second.broken)
            throw DataError(Fault::incomplete, "transaction " + to_string(id) + " commits, and " +
                                                   (open->second.broken ? "entries of it are missing" : "began before the first entry"));
        for (const std::uint64_t offset : waiting_.at(id)) {
            const std::string waiting = log_.read_entry(offset);
            const EntryView entry{bson::Document(waiting)};
            entry_ = &entry;
            apply_entry(entry.document());
        }
        entry_ = nullptr;
    }

    /// Call this after the last entry. Throws DataError if a collection is not completely known.
    void finish() {
        seal();
        for (const AppliedCollection& collection : collections_) require_whole(collection);
        require_one_name_each();
    }
    /// Call this instead of finish() if collections need not be completely known.
    void seal() {
        for (AppliedCollection& collection : collections_)
            std::erase_if(collection.metadata.indexes, [&](const std::string& spec) {
                const std::string name(detail::index_name(bson::Document(spec)));
                const bool unfinished =
                    building_.contains(collection.uuid + '\0' + name) || building_.contains(collection.ns() + '\0' + name);
                collection.metadata_changed |= unfinished;
                return unfinished;
            });
        log_.seal();
    }
    /// Throws DataError for a collection that cannot be put into a dump: it is not completely known, or mongorestore could
    /// not make it.
    static void require_whole(const AppliedCollection& collection) {
        if (collection.is_buckets() && std::ranges::any_of(collection.metadata.indexes, [](const std::string& spec) {
                return is_unrestorable_geo_index(bson::Document(spec));
            }))
            throw DataError(
                Fault::incomplete,
                "collection " + join_namespace(collection.database, collection.logical_name()) +
                    " has a 2dsphere index on more than its metaField, which mongorestore cannot make from a dump; use oplog-stage (--exclude-ns leaves the collection out)");
        if (!collection.whole && !is_hidden_in_dumps(collection.ns()))
            throw DataError(
                Fault::incomplete,
                collection.first_seen + ": collection " + collection.ns() +
                    " is not in the full dump, and no entry creates it: what it holds is not known (--exclude-ns leaves it out)");
    }
    /// The log with the changes of the collections.
    const ChangeLog& log() const noexcept { return log_; }

    /// Writes the result into a new dump: collections, views and the prelude. Call this once, after finish(). Works on
    /// `jobs` collections at a time. `progress`, if given, is called with numbers of bytes read, by one thread at a
    /// time.
    void write(DumpWriter& out, std::size_t jobs = 1, const ReadProgress& progress = {}) {
        for (const auto& [ns, view] : views_)
            if (!is_timeseries_view(bson::Document(view.definition))) write_view(ns, view, out);
        if (const auto& prelude = dump_->prelude()) {
            if (prelude->ends_with(".gz") == out.gzip())
                out.take(*prelude, dump_->relative(*prelude));
            else
                out.write_text(std::string("prelude.json") + (out.gzip() ? ".gz" : ""), read_whole(*prelude));
        }
        std::vector<std::pair<std::uint64_t, AppliedCollection*>> left; // sorted with the largest last, which is taken first
        for (AppliedCollection& collection : collections_)
            if (!is_hidden_in_dumps(collection.ns())) left.emplace_back(work_of(collection), &collection);
        std::ranges::stable_sort(left, {}, [](const auto& each) { return each.first; });
        std::mutex mutex;
        std::exception_ptr failure;
        const ReadProgress report = [&](std::uint64_t bytes) {
            const std::lock_guard lock(mutex);
            if (progress) progress(bytes);
        };
        const auto work = [&] {
            for (;;) {
                AppliedCollection* next = nullptr;
                {
                    const std::lock_guard lock(mutex);
                    if (left.empty() || failure) return;
                    next = left.back().second;
                    left.pop_back();
                }
                try {
                    write_collection(*next, out, report);
                } catch (...) {
                    const std::lock_guard lock(mutex);
                    if (!failure) failure = std::current_exception();
                }
            }
        };
        std::vector<std::jthread> threads;
        try {
            // From here on the threads share `left`.
            for (std::size_t more = std::min(jobs, left.size()); more > 1; --more) threads.emplace_back(work);
        } catch (const std::exception&) { // fewer threads can do it too
        }
        work();
        threads.clear();
        if (failure) std::rethrow_exception(failure);
    }
    /// About how much there is to read of a collection: the size of its file in the dump.
    static std::uint64_t work_of(const AppliedCollection& collection) {
        if (!collection.base || collection.base->data.empty()) return 0;
        std::error_code unknown; // opening the file will report it
        const std::uint64_t size = std::filesystem::file_size(collection.base->data, unknown);
        return unknown ? 0 : size;
    }
    /// How many bytes write() will read.
    std::uint64_t bytes_to_read() const {
        std::uint64_t bytes = 0;
        for (const AppliedCollection& collection : collections_)
            if (!collection.changes.empty()) bytes += work_of(collection);
        return bytes;
    }

    /// All collections. Call this after finish(). Those for which is_hidden_in_dumps(ns()) is true are not written.
    const std::list<AppliedCollection>& collections() const noexcept { return collections_; }
    std::list<AppliedCollection>& collections() noexcept { return collections_; }
    /// Reads the documents of one of the collections.
    AppliedDocuments documents(AppliedCollection& collection, Check check = Check::frame, ReadProgress progress = {}) const {
        return AppliedDocuments(log_, collection, check, std::move(progress));
    }
    /// The views by their namespaces, with the metadata that mongodump would write. Call this after finish().
    std::map<std::string, Metadata> views() const {
        std::map<std::string, Metadata> views;
        for (const auto& [ns, view] : views_)
            if (!is_timeseries_view(bson::Document(view.definition))) views.emplace(ns, view_metadata(ns, view));
        return views;
    }
    /// Transactions that were not committed, and are left out.
    const TransactionTracker::Open& open_transactions() const noexcept { return tracker_.open(); }
    /// From where on the oplog is needed to continue from here: the first entry of the oldest open transaction, else
    /// the last entry.
    Timestamp resume_from() const { return std::min(tracker_.oldest_open().value_or(last_), last_); }

  private:
    /// Throws RenameError where a new name is that of another collection or view, and DataError where two have one name
    /// already.
    void require_one_name_each() const {
        std::string_view last;
        for (const auto& [key, collection] : by_name_) {
            const auto view = views_.find(key.first);
            const bool again = key.first == last || (view != views_.end() && !is_timeseries_view(bson::Document(view->second.definition)));
            last = key.first;
            if (!again || is_hidden_in_dumps(key.first)) continue;
            if (!options_.selection.renaming().empty()) throw RenameError("cannot rename: there would be two collections " + key.first);
            throw DataError(Fault::incomplete,
                            "there would be two collections " + key.first +
                                ", or it and a view: an entry is missing in which the one went (--exclude-ns leaves them out)");
        }
    }

    struct StoredView {
        std::string definition;             ///< Its document in system.views.
        std::optional<DumpCollection> base; ///< Set until the view changes.
    };
    using NameKey = std::pair<std::string, std::uint64_t>; ///< The namespace and AppliedCollection::number.
    using NameIndex = std::map<NameKey, std::list<AppliedCollection>::iterator>;

    // ---- the dump ----

    void add_dumped(const DumpCollection& dumped) {
        if (!options_.selection.selects(dumped.ns())) return;
        const std::string ns = options_.selection.renaming().collection(dumped.ns()).value_or(dumped.ns());
        const auto [database, name] = split_namespace(ns);
        Metadata metadata = dumped.read_metadata();
        const bool renamed = ns != dumped.ns();
        metadata.collection = name;
        if (metadata.is_view()) return add_dumped_view(dumped, metadata);
        const std::string data = std::filesystem::path(dumped.data).filename().string();
        const bool is_buckets = metadata.is_timeseries() && data.starts_with(dump_file_name(buckets_prefix));
        AppliedCollection& collection =
            add_collection(database, is_buckets ? std::string(buckets_prefix) + std::string(name) : std::string(name));
        collection.uuid = metadata.uuid_bytes();
        if (!collection.uuid.empty())
            if (const auto [at, is_new] = by_uuid_.emplace(collection.uuid, &collection); !is_new) dumped.fail_same_uuid(at->second->ns());
        collection.metadata_changed = renamed;
        collection.metadata = std::move(metadata);
        collection.base = dumped;
        collection.whole = true;
    }

    /// Turns a view of the dump into an entry that inserts its document into system.views, so that it is renamed in the
    /// same way as views in entries.
    void add_dumped_view(const DumpCollection& dumped, const Metadata& metadata) {
        bson::Builder insertion;
        insertion.string("op", "i")
            .string("ns", join_namespace(dumped.database, views_collection))
            .begin_document("o")
            .string("_id", dumped.ns());
        for (const bson::Element& option : bson::Document(metadata.options)) insertion.append(option);
        const bson::Value inserted = insertion.end().finish();
        const auto other =
            options_.selection.renaming().empty() ? std::nullopt : renamed(Operation(inserted.view()), options_.selection.renaming());
        const Operation operation(other ? other->view() : inserted.view());
        views_[std::string(*view_of(operation))] = {std::string(operation.o.bytes()), other ? std::nullopt : std::optional(dumped)};
    }

    // ---- entries ----

    void take(const EntryView& entry) {
        entry_ = &entry;
        const TransactionTracker::Step step = tracker_.add(entry);
        const TransactionInfo& info = step.info;
        if (!info || info.role == TransactionRole::whole) return apply_entry(entry.document());
        const TransactionId id = info.id();
        if (info.has_operations() && info.previous == Timestamp::min()) waiting_[id].clear();
        if (!info.ends()) {
            waiting_[id].push_back(log_.append_entry(entry.bytes()));
            return;
        }
        const auto node = waiting_.extract(id);
        if (!info.commits()) return;
        if (step.closed->began_before || step.closed->broken) {
            if (options_.dump_start && entry.ts() <= *options_.dump_start) return; // the dump has it
            if (options_.partial)
                return warn("transaction " + to_string(id) + " began before the first entry: its operations are not known");
            throw DataError(Fault::incomplete, "transaction " + to_string(id) + " commits here, and " +
                                                   (step.closed->broken ? "entries of it are missing" : "began before the first entry"));
        }
        if (!node.empty())
            for (const std::uint64_t offset : node.mapped()) {
                const std::string waiting = log_.read_entry(offset);
                apply_entry(bson::Document(waiting));
            }
        if (info.has_operations()) apply_entry(entry.document());
    }

    void apply_entry(const bson::Document& document) {
        if (options_.watcher) options_.watcher->entry(document);
        for_each_operation(document, [&](const Operation& operation) {
            if (operation.is_command())
                apply_command(operation);
            else
                apply_change(operation, document);
        });
    }

    /// Whether an operation must be applied. Throws DataError for an operation that cannot be.
    bool is_followed(const Operation& operation) {
        const Verdict verdict = meaning_of(operation);
        const bool seen = is_before(options_.dump_start) || (operation.ns == "admin.system.version" && !is_after_dump());
        // Only a restore would change the version of a server.
        const bool just_seen = options_.watcher && operation.ns == "admin.system.version";
        if (verdict.meaning == Meaning::refused && !seen && !just_seen) refuse(verdict.reason);
        if (verdict.meaning == Meaning::nothing && !verdict.reason.empty()) warn(verdict.reason);
        return verdict.meaning == Meaning::followed || (verdict.meaning == Meaning::refused && !seen);
    }
    bool is_before(const std::optional<Timestamp>& ts) const { return ts && entry_->ts() < *ts; }
    /// Whether every existing collection is known.
    bool is_after_dump() const { return !options_.consistent_point || entry_->ts() > *options_.consistent_point; }
    [[noreturn]] void refuse(const std::string& reason) const {
        // Who watches reads the whole chain, whatever its bounds choose.
        throw DataError(Fault::not_supported,
                        reason +
                            (options_.watcher ? "; cut the chain before it (oplog-slice --before " : "; apply up to before it (--before ") +
                            to_string(entry_->ts()) + ")");
    }
    void warn(std::string text) const {
        if (options_.report)
            options_.report({Finding::Severity::warning, entry_->where() ? std::optional(*entry_->where()) : std::nullopt, entry_->ts(),
                             std::move(text)});
    }
    /// Whether a server before 3.6 wrote this. Those servers created collections without logging it.
    bool is_old(const Operation& operation) const { return operation.ui.empty() && entry_->document().find("h"); }

    /// Requires that a name and a UUID mean the same collection, once all collections are known. Throws DataError.
    void require_one_collection(const Operation& operation, const std::string& what, std::string_view ns) {
        if (operation.ui.empty() || !options_.consistent_point || !is_after_dump()) return;
        const AppliedCollection* const meant = by_uuid(operation.ui);
        const AppliedCollection* const named = meant ? nullptr : by_name(ns);
        if (meant ? !meant->is_named(ns) : named && !named->uuid.empty()) refuse(of_another(what, ns));
    }

    /// `holder` is the operation's entry, or what holds it in a transaction.
    void apply_change(const Operation& operation, const bson::Document& holder) {
        if (!is_followed(operation)) return;
        const bool upsert = operation.is_update() && is_upsert(operation, holder);
        const std::string_view name = operation.collection();
        if (name == views_collection) return apply_view(operation, upsert);
        const bool is_index = name == "system.indexes"; // servers before 4.2 create an index this way
        const std::string_view ns = is_index ? operation.o.find("ns")->string() : operation.ns;
        if (operation.is_insert() && is_old(operation) && !known({}, ns)) {
            warn(std::string(ns) + " is not in the full dump: taken as made by this insert, as by servers before 3.6");
            make_whole({}, ns);
        }
        if (is_index) {
            const std::string spec = changed(
                operation.o, [](const bson::Element& field, bson::Builder&) { return field.key() == "ns" || field.key() == "_id"; });
            return add_index(find_or_make({}, ns), bson::Document(spec));
        }
        require_one_collection(operation, "this", operation.ns);
        AppliedCollection& collection = find_or_make(operation.ui, operation.ns);
        if (!operation.is_insert()) require_exact_id(collection, operation, holder);
        if (options_.watcher) {
            const auto tag = options_.watcher->change(collection, operation, log_);
            if (!tag) return;
            log_.append_tag(*tag);
        }
        if (operation.is_update())
            log_.append(collection.changes, upsert ? ChangeKind::upsert : ChangeKind::update, *operation.o2, operation.o);
        else
            log_.append(collection.changes, operation.is_insert() ? ChangeKind::insertion : ChangeKind::removal, operation.o, {});
    }

    /// What a server logs itself names a document by the very `_id` that it has. A client's applyOps may name it by another one that
    /// the collection's collation takes for the same, as "ABC" for "abc". Throws DataError where that may be.
    void require_exact_id(const AppliedCollection& collection, const Operation& operation, const bson::Document& holder) const {
        if (!is_sent_by_client(operation, holder) || !bson::Document(collection.metadata.options).find("collation")) return;
        if (const auto id = operation.id(); id && has_text(*id))
            refuse("an applyOps of a client names a document of " + collection.logical_ns() +
                   " by an _id with text, and the collection's collation says which document that is: a replay (oplog-stage) finds it");
    }
    static bool has_text(const bson::Element& value) {
        if (value.is(bson::Type::string) || value.is(bson::Type::symbol)) return true;
        if (!value.is(bson::Type::document) && !value.is(bson::Type::array)) return false;
        return std::ranges::any_of(value.is(bson::Type::document) ? value.document() : value.array(), has_text);
    }

    // ---- views ----

    void apply_view(const Operation& operation, bool upsert) {
        const std::string ns(*view_of(operation));
        if (options_.watcher) {
            const auto old = views_.find(ns);
            options_.watcher->view(ns, old == views_.end() ? "" : old->second.definition, log_);
        }
        if (operation.is_insert() && is_after_dump() && by_name(ns)) refuse(there_already("the view", ns));
        if (operation.is_delete()) {
            views_.erase(ns);
        } else if (operation.is_insert()) {
            views_[ns] = {std::string(operation.o.bytes()), std::nullopt};
        } else if (const auto found = views_.find(ns); found != views_.end()) {
            found->second = {apply_update(bson::Document(found->second.definition), operation.o), std::nullopt};
            detail::check_view(bson::Document(found->second.definition));
        } else if (upsert) {
            views_[ns] = {apply_upsert(*operation.o2, operation.o), std::nullopt};
            detail::check_view(bson::Document(views_[ns].definition));
        }
    }
    static Metadata view_metadata(const std::string& ns, const StoredView& view) {
        Metadata metadata;
        bson::Builder options;
        for (const std::string_view option : {"viewOn", "pipeline", "collation"})
            if (const auto field = bson::Document(view.definition).find(option)) options.append(*field);
        metadata.options = options.finish();
        metadata.collection = split_namespace(ns).collection;
        metadata.type = "view";
        return metadata;
    }
    static void write_view(const std::string& ns, const StoredView& view, DumpWriter& out) {
        const auto [database, name] = split_namespace(ns);
        const Metadata metadata = view_metadata(ns, view);
        if (view.base && view.base->metadata.ends_with(".gz") == out.gzip())
            out.take(view.base->metadata, out.metadata_name(database, name));
        else
            out.write_metadata(database, metadata);
    }

    // ---- collections ----

    AppliedCollection* by_uuid(std::string_view uuid) {
        if (uuid.empty()) return nullptr;
        if (last_found_ && last_found_->uuid == uuid) return last_found_; // most entries concern the same collection as the one before
        const auto found = by_uuid_.find(uuid);
        return last_found_ = found == by_uuid_.end() ? nullptr : found->second;
    }
    /// The oldest collection with that name; while the dump is fuzzy, there may be several.
    AppliedCollection* by_name(std::string_view ns) {
        const auto [database, name] = split_namespace(ns);
        const auto found = by_name_.lower_bound({join_namespace(database, name), 0});
        return found != by_name_.end() && found->second->name == name && found->second->database == database ? &*found->second : nullptr;
    }
    AppliedCollection& add_collection(std::string_view database, std::string name) {
        AppliedCollection& added = collections_.emplace_back();
        added.number = added_++;
        added.database = database;
        added.name = std::move(name);
        added.logs_what_it_drops = logs_what_capped_drop_;
        added.keeps_fractions = keeps_fractions_;
        by_name_.emplace(name_key(added), std::prev(collections_.end()));
        return added;
    }
    static NameKey name_key(const AppliedCollection& collection) { return {collection.ns(), collection.number}; }
    void move(AppliedCollection& collection, std::string_view database, std::string_view name) {
        auto node = by_name_.extract(name_key(collection));
        collection.database = database;
        collection.name = name;
        node.key() = name_key(collection);
        by_name_.insert(std::move(node));
    }
    /// The collection that an operation applies to, or null. Without UUIDs (old servers, old dumps) the name decides.
    AppliedCollection* known(std::string_view uuid, std::string_view ns) {
        if (AppliedCollection* const found = by_uuid(uuid)) return found;
        AppliedCollection* const found = by_name(ns);
        if (!found || (!uuid.empty() && !found->uuid.empty())) return nullptr; // another collection has the name
        if (found->uuid.empty() && !uuid.empty()) {                            // this includes time series, whose metadata has no UUID
            found->uuid = uuid;
            by_uuid_[found->uuid] = found;
        }
        return found;
    }
    /// The same, but adds a collection that is not known as one that is not whole.
    AppliedCollection& find_or_make(std::string_view uuid, std::string_view ns) {
        AppliedCollection* const found = known(uuid, ns);
        return found ? *found : make(uuid, ns);
    }
    AppliedCollection& make(std::string_view uuid, std::string_view ns) {
        const auto [database, name] = split_namespace(ns);
        AppliedCollection& made = add_collection(database, std::string(name));
        made.uuid = uuid;
        if (!uuid.empty()) by_uuid_[made.uuid] = &made;
        made.first_seen = entry_->where() ? to_string(*entry_->where()) + ": " + to_string(entry_->ts()) : to_string(entry_->ts());
        made.metadata_changed = true;
        made.metadata.type = made.is_buckets() ? "timeseries" : "collection";
        if (!made.is_buckets()) made.metadata.uuid = bson::to_hex(uuid);
        return made;
    }
    void erase(const AppliedCollection& collection, Ending ending) { erase(by_name_.find(name_key(collection)), ending); }
    NameIndex::iterator erase(NameIndex::iterator named, Ending ending) {
        last_found_ = nullptr;
        const std::string uuid = named->second->uuid;
        if (options_.watcher) options_.watcher->ends(*named->second, ending, log_);
        by_uuid_.erase(uuid);
        collections_.erase(named->second);
        return by_name_.erase(named);
    }
    void erase_database(std::string_view database) {
        const std::string prefix = std::string(database) + '.';
        for (auto at = by_name_.lower_bound({prefix, 0}); at != by_name_.end() && at->first.first.starts_with(prefix);)
            at = erase(at, Ending::database_dropped);
    }

    // ---- commands ----

    void apply_command(const Operation& operation) {
        if (!is_followed(operation)) return;
        const Command command = parse_command(operation);
        if (!command.ns.empty() && command.kind != CommandKind::create)
            require_one_collection(operation, std::string(command.name), command.ns);
        if (options_.watcher)
            options_.watcher->command(operation, command, command.ns.empty() ? nullptr : known(operation.ui, command.ns), log_);
        switch (command.kind) {
        case CommandKind::create: return apply_create(operation, command);
        case CommandKind::drop:
            if (split_namespace(command.ns).collection == views_collection) drop_views(command.database);
            if (AppliedCollection* const gone = known(operation.ui, command.ns)) erase(*gone, Ending::dropped);
            return;
        case CommandKind::drop_database:
            drop_views(command.database);
            erase_database(command.database);
            return;
        case CommandKind::rename_collection: return apply_rename(operation, command);
        case CommandKind::create_indexes:
        case CommandKind::commit_index_build:
            for_each_index(operation, [&](const bson::Document& spec) {
                add_index(find_or_make(operation.ui, command.ns), spec);
                building_.erase(build_key(operation, command, detail::index_name(spec)));
            });
            return;
        case CommandKind::start_index_build:
            for_each_index(operation,
                           [&](const bson::Document& spec) { building_.insert(build_key(operation, command, detail::index_name(spec))); });
            return;
        case CommandKind::abort_index_build:
            for_each_index(operation, [&](const bson::Document& spec) {
                building_.erase(build_key(operation, command, detail::index_name(spec)));
                if (AppliedCollection* const collection = known(operation.ui, command.ns))
                    drop_index(*collection, detail::index_name(spec));
            });
            return;
        case CommandKind::drop_indexes: return drop_indexes(find_or_make(operation.ui, command.ns), operation.o);
        case CommandKind::coll_mod: {
            AppliedCollection& collection = find_or_make(operation.ui, command.ns);
            const auto index = operation.o.find("index");
            if (index && collection.whole && is_after_dump() &&
                detail::changed_index(collection, index->document()) == collection.metadata.indexes.end())
                refuse(no_such_index(command));
            return modify_collection(collection, operation.o);
        }
        case CommandKind::empty_capped:
            if (AppliedCollection* const collection = known(operation.ui, command.ns)) {
                if (options_.watcher) return options_.watcher->emptied(*collection, log_);
                collection->has_data = false;
                collection->changes.clear();
            }
            return;
        default: return;
        }
    }

    void drop_views(std::string_view database) {
        const std::string prefix = std::string(database) + '.';
        for (auto at = views_.lower_bound(prefix); at != views_.end() && at->first.starts_with(prefix);) {
            if (options_.watcher) options_.watcher->view(at->first, at->second.definition, log_);
            at = views_.erase(at);
        }
    }

    void apply_create(const Operation& operation, const Command& command) {
        if (split_namespace(command.ns).collection == views_collection) return;
        const bool is_view = operation.o.find("viewOn").has_value(); // some servers log views like this
        // The dump may have been made after this.
        if (!is_view && !(options_.consistent_point && is_after_dump()) && known(operation.ui, command.ns)) return;
        if (is_after_dump() && (by_uuid(operation.ui) || by_name(command.ns) || views_.contains(command.ns)))
            refuse(there_already("create of", command.ns));
        if (is_view) {
            bson::Builder definition;
            definition.string("_id", command.ns);
            for (const bson::Element& option : operation.o)
                if (option.key() != "create") definition.append(option);
            views_[command.ns] = {definition.finish(), std::nullopt};
            return;
        }
        AppliedCollection& made = make(operation.ui, command.ns);
        made.whole = true;
        set_created(made, operation.o);
    }
    void make_whole(std::string_view uuid, std::string_view ns) {
        AppliedCollection& made = make(uuid, ns);
        made.whole = true;
        add_old_id_index(made);
    }

    void apply_rename(const Operation& operation, const Command& command) {
        AppliedCollection* const collection = &find_or_make(operation.ui, command.ns);
        const auto drop_target = operation.o.find("dropTarget");
        if (drop_target && drop_target->is(bson::Type::binary)) {
            if (AppliedCollection* const target = known(drop_target->binary_data(), command.target); target && target != collection)
                erase(*target, Ending::replaced);
        } else if (drop_target && drop_target->truthy()) {
            if (AppliedCollection* const target = by_name(command.target); target && target != collection) erase(*target, Ending::replaced);
        }
        const AppliedCollection* const other = by_name(command.target);
        if (is_after_dump() && ((other && other != collection) || views_.contains(command.target)))
            refuse(there_already("renameCollection to", command.target));
        const auto [database, name] = split_namespace(command.target);
        collection->metadata_changed |= collection->database != database || collection->name != name;
        if (options_.watcher) options_.watcher->rename(*collection, command.target, log_);
        move(*collection, database, name);
        const auto stay_temporary = operation.o.find("stayTemp");
        if (!stay_temporary || !stay_temporary->truthy()) detail::set_option(*collection, "temp", nullptr);
    }

    // ---- indexes ----

    static std::string build_key(const Operation& operation, const Command& command, std::string_view index) {
        return (operation.ui.empty() ? command.ns : std::string(operation.ui)) + '\0' + std::string(index);
    }
    // ---- the new dump ----

    void write_collection(AppliedCollection& collection, DumpWriter& out, const ReadProgress& report) const {
        const std::string database = collection.database;
        const auto fits = [&](const std::string& file) { return !file.empty() && file.ends_with(".gz") == out.gzip(); };
        const auto& base = collection.base;
        if (collection.is_as_dumped() && fits(base->data)) {
            out.take(base->data, out.data_name(database, collection.name));
        } else {
            Writer file = out.open_data(database, collection.name);
            AppliedDocuments documents(log_, collection, Check::frame, report);
            try {
                while (const auto document = documents.next()) file.write(*document);
            } catch (const FormatError&) {
                throw; // with its place
            } catch (const DataError& error) {
                throw error.within(collection.logical_ns());
            }
            file.close();
        }

        const Metadata metadata = collection.dumped_metadata();
        if (base && !collection.metadata_changed && metadata.options.size() == collection.metadata.options.size() && fits(base->metadata))
            out.take(base->metadata, out.metadata_name(database, metadata.collection));
        else
            out.write_metadata(database, metadata);
    }

    const Dump* dump_ = nullptr;
    Options options_;
    ChangeLog log_;
    std::list<AppliedCollection> collections_; ///< a list, because others point into it
    NameIndex by_name_;
    bool logs_what_capped_drop_ = false;
    bool keeps_fractions_ = false;
    std::uint64_t added_ = 0; ///< The number of collections added.
    std::map<std::string, AppliedCollection*, std::less<>> by_uuid_;
    std::map<std::string, StoredView> views_;
    TransactionTracker tracker_;
    std::map<TransactionId, std::vector<std::uint64_t>> waiting_; ///< Where the log has the entries of open transactions.
    std::set<std::string> building_;                              ///< Indexes that are being built: UUID or namespace, and name.
    std::set<std::string> started_later_;
    AppliedCollection* last_found_ = nullptr;
    const EntryView* entry_ = nullptr;
    Timestamp last_;
};

} // namespace oplog

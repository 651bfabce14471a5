// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/bson/validate.hpp>
#include <oplog/entry/entry.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What an entry does: the operations in it, the commands among them and the namespaces that they name. Also how to
/// change parts of an entry while every other byte stays as it is.
namespace oplog::inline v0_1 {

/// A namespace, split into its two parts. The collection may contain dots; a database has none.
struct Namespace {
    std::string_view database;
    std::string_view collection; ///< Empty if there is no dot.
};

/// Splits `<database>.<collection>` at its first dot. Returns views of `ns`.
inline Namespace split_namespace(std::string_view ns) noexcept {
    const std::size_t dot = ns.find('.');
    return dot == ns.npos ? Namespace{ns, {}} : Namespace{ns.substr(0, dot), ns.substr(dot + 1)};
}

/// The namespace `<database>.<collection>`.
inline std::string join_namespace(std::string_view database, std::string_view collection) {
    std::string ns(database);
    ns += '.';
    ns += collection;
    return ns;
}

/// The collection in which a database keeps the definitions of its views, including those of its time series.
constexpr std::string_view views_collection = "system.views";
/// A time series "ts" keeps its data in "system.buckets.ts".
constexpr std::string_view buckets_prefix = "system.buckets.";

/// The namespace that users know: for buckets that of their time series, else the same namespace.
inline std::string logical_namespace(std::string_view ns) {
    const auto [database, collection] = split_namespace(ns);
    return collection.starts_with(buckets_prefix) ? join_namespace(database, collection.substr(buckets_prefix.size())) : std::string(ns);
}

/// The longest namespace in bytes; until 4.2 it was 120. That of a time series' buckets may be longer.
constexpr std::size_t max_namespace_size = 255;
/// The message about a longer namespace.
constexpr std::string_view namespace_too_long = "<database>.<collection> has at most 255 bytes";

/// Why no server has a collection, a view or a time series of this name; empty if one may.
inline std::string_view why_on_no_server(const Namespace& name) {
    using namespace std::string_view_literals;
    if (name.database.size() > 63) return "a database's name has at most 63 bytes";
    if (name.database.find_first_of("/\\. \"$\0"sv) != name.database.npos)
        return "a database's name has no / \\ . \" $, space or NUL in it";
    if (name.collection.starts_with('.')) return "a collection's name does not begin with a dot";
    if (name.collection.find_first_of("$\0"sv) != name.collection.npos) return "a collection's name has no $ or NUL in it";
    const std::size_t prefix = name.collection.starts_with(buckets_prefix) ? buckets_prefix.size() : 0;
    if (name.database.size() + 1 + name.collection.size() - prefix > max_namespace_size) return namespace_too_long;
    return {};
}
/// Why no server or no driver accepts this name for a collection; empty if they do. "*" as the collection stands for
/// every collection of the database.
inline std::string_view why_no_name(const Namespace& name) {
    if (const std::string_view why = why_on_no_server(name); !why.empty()) return why;
    if (name.collection.ends_with('.')) return "a collection's name does not end with a dot";
    if (name.collection.starts_with("system.") || name.collection.find(".system.") != name.collection.npos)
        return "system collections keep their names";
    if (!bson::is_utf8(name.database) || !bson::is_utf8(name.collection)) return "a name is UTF-8";
    return {};
}

/// The commands that occur in an oplog.
enum class CommandKind {
    create,
    drop,
    drop_database,
    rename_collection,
    create_indexes,
    start_index_build,
    commit_index_build,
    abort_index_build,
    drop_indexes, ///< Also as deleteIndexes, dropIndex, deleteIndex.
    coll_mod,
    convert_to_capped,
    empty_capped,
    import_collection,
    truncate_range,
    no_effect, ///< One of several commands that change nothing in a dump: about a server's health, its sharding catalog, its files.
    apply_ops,
    commit_transaction,
    abort_transaction,
    unknown,
};

/// How a command names what it applies to.
enum class CommandScope {
    collection, ///< By a collection's name; the database is that of the entry's ns.
    full_name,  ///< By `<database>.<collection>`.
    rename,     ///< By two full names, from the first field and `to`.
    database,   ///< The whole database of the entry's ns.
    none,       ///< Not at all: applyOps, commitTransaction, abortTransaction.
    unknown,
};

namespace detail {

struct CommandName {
    std::string_view name;
    CommandKind kind;
    CommandScope scope;
};

inline constexpr CommandName command_names[] = {
    {"create", CommandKind::create, CommandScope::collection},
    {"drop", CommandKind::drop, CommandScope::collection},
    {"dropDatabase", CommandKind::drop_database, CommandScope::database},
    {"renameCollection", CommandKind::rename_collection, CommandScope::rename},
    {"createIndexes", CommandKind::create_indexes, CommandScope::collection},
    {"startIndexBuild", CommandKind::start_index_build, CommandScope::collection},
    {"commitIndexBuild", CommandKind::commit_index_build, CommandScope::collection},
    {"abortIndexBuild", CommandKind::abort_index_build, CommandScope::collection},
    {"dropIndexes", CommandKind::drop_indexes, CommandScope::collection},
    {"deleteIndexes", CommandKind::drop_indexes, CommandScope::collection},
    {"dropIndex", CommandKind::drop_indexes, CommandScope::collection},
    {"deleteIndex", CommandKind::drop_indexes, CommandScope::collection},
    {"collMod", CommandKind::coll_mod, CommandScope::collection},
    {"convertToCapped", CommandKind::convert_to_capped, CommandScope::collection},
    {"emptycapped", CommandKind::empty_capped, CommandScope::collection},
    {"dbCheck", CommandKind::no_effect, CommandScope::full_name},
    {"importCollection", CommandKind::import_collection, CommandScope::full_name},
    {"truncateRange", CommandKind::truncate_range, CommandScope::full_name},
    {"setMultikeyMetadata", CommandKind::no_effect, CommandScope::full_name},
    {"dropIdent", CommandKind::no_effect, CommandScope::database},
    {"modifyCollectionShardingIndexCatalog", CommandKind::no_effect, CommandScope::database},
    {"createDatabaseMetadata", CommandKind::no_effect, CommandScope::database},
    {"dropDatabaseMetadata", CommandKind::no_effect, CommandScope::database},
    {"invalidateAllDatabaseMetadata", CommandKind::no_effect, CommandScope::database},
    {"invalidateAllCollectionMetadata", CommandKind::no_effect, CommandScope::database},
    {"invalidateCollectionMetadata", CommandKind::no_effect, CommandScope::collection},
    {"updateCollectionMetadata", CommandKind::no_effect, CommandScope::collection},
    {"setAllowChunkOperations", CommandKind::no_effect, CommandScope::collection},
    {"applyOps", CommandKind::apply_ops, CommandScope::none},
    {"commitTransaction", CommandKind::commit_transaction, CommandScope::none},
    {"abortTransaction", CommandKind::abort_transaction, CommandScope::none},
};

inline CommandName command_name(std::string_view name) {
    for (const CommandName& known : command_names)
        if (known.name == name) return known;
    return {name, CommandKind::unknown, CommandScope::unknown};
}

} // namespace detail

/// Kinds of operations that change nothing in a dump: no-ops, the containers of a storage engine (9.0), key material,
/// and the entries that old servers wrote when they created a database.
inline constexpr std::string_view operations_without_effect[] = {"n", "ci", "cu", "cd", "km", "db"};

/// Whether servers write entries of this kind: documents, commands, documents of global indexes, and those without
/// effect.
inline bool is_operation_kind(std::string_view op) noexcept {
    constexpr std::string_view kinds[] = {"i", "u", "d", "c", "xi", "xd"};
    return std::ranges::find(kinds, op) != std::end(kinds) ||
           std::ranges::find(operations_without_effect, op) != std::end(operations_without_effect);
}

/// One operation: an entry, or an element of an applyOps. A view, valid as long as the bytes.
struct Operation {
    bson::Document document;          ///< The whole operation.
    std::string_view op;              ///< Empty if missing.
    std::string_view ns;              ///< Empty if missing.
    bson::Document o;                 ///< Empty if missing.
    std::optional<bson::Document> o2; ///< Which document an update changes; none if missing.
    std::string_view ui;              ///< The 16 bytes of the UUID; empty if missing.
    std::string_view stray;           ///< A field that no server writes, with a name as short as those above; empty if there is none.
    bool has_o = false;               ///< Whether `o` is there.
    bool b = false;                   ///< Whether an update is an upsert.

    /// Throws DataError for fields of wrong types.
    // Flattened, because every entry passes here: with a call for each field, staging executes 11 % more instructions and
    // applying 5 % (callgrind on the chain of bench/run.py).
    [[gnu::flatten]] explicit Operation(const bson::Document& doc) : document(doc) {
        for (const bson::Element& element : doc) {
            const std::string_view key = element.key();
            if (key.empty() || key.size() > 2) continue;
            switch (key[0] << 8 | (key.size() == 2 ? key[1] : 0)) { // compared as integers, because every field of every entry passes here
            case 'o' << 8 | 'p': op = element.string(); break;
            case 'n' << 8 | 's':
                ns = element.string();
                name_ = split_namespace(ns);
                break;
            case 'o' << 8:
                o = element.document();
                has_o = true;
                break;
            case 'o' << 8 | '2': o2 = element.document(); break;
            case 'u' << 8 | 'i':
                ui = element.binary_data();
                if (ui.size() != 16) throw DataError(Fault::bad_value, "an operation whose 'ui' is no UUID");
                break;
            case 't' << 8 | 's':
            case 't' << 8:
            case 'v' << 8:
            case 'h' << 8: break;
            case 'b' << 8: b = element.boolean(); break;
            default: stray = key;
            }
        }
    }
    /// The entry itself as an operation. Throws DataError for fields of wrong types.
    explicit Operation(const EntryView& entry) : Operation(entry.document()) {}

    /// The namespace in its two parts.
    const Namespace& name() const noexcept { return name_; }
    /// The database of the namespace.
    std::string_view database() const noexcept { return name_.database; }
    /// The part of the namespace after the database.
    std::string_view collection() const noexcept { return name_.collection; }
    /// The `_id` of the document that is inserted, updated or deleted; none for other operations or if it is missing.
    std::optional<bson::Element> id() const {
        if (is_update()) return o2 ? o2->find("_id") : std::nullopt;
        return is_change() ? o.find("_id") : std::nullopt;
    }

    /// The kind, as `op` says it. Compared as characters, because every operation passes here a dozen times.
    /// @{
    bool is_insert() const noexcept { return is('i'); }
    bool is_update() const noexcept { return is('u'); }
    bool is_delete() const noexcept { return is('d'); }
    bool is_command() const noexcept { return is('c'); }
    bool is_no_op() const noexcept { return is('n'); }
    /// @}
    /// Whether this inserts, updates or deletes a document.
    bool is_change() const noexcept { return is_insert() || is_update() || is_delete(); }
    /// The command's name, which is its first field; empty if this is not a command.
    std::string_view command() const { return is_command() && !o.empty() ? o.begin()->key() : std::string_view{}; }
    /// Whether this is an applyOps.
    bool is_apply_ops() const { return command() == "applyOps"; }
    /// The operations of an applyOps, as an array. Throws DataError if this is not an applyOps with an array.
    bson::Document apply_ops() const { return o.begin()->array(); }

  private:
    bool is(char kind) const noexcept { return op.size() == 1 && op[0] == kind; }

    Namespace name_;
};

/// Whether an update creates its document if there is none. `entry` holds the update: it is the update itself, or an
/// applyOps. In an applyOps outside a transaction all updates are upserts unless it says alwaysUpsert: false, because
/// that is how a server logs the applyOps of a client. Throws DataError.
inline bool is_upsert(const Operation& update, const bson::Document& entry) {
    if (update.b) return true;
    if (update.document.data() == entry.data() || entry.find("txnNumber")) return false;
    const auto o = entry.find("o");
    const auto always = o ? o->document().find("alwaysUpsert") : std::nullopt;
    return !always || always->truthy();
}

/// Whether an operation is one of an applyOps that a client has sent, which the server logs with the fields of the request: such a one
/// names its document as that client did. `entry` holds it, as for is_upsert(). Throws DataError.
inline bool is_sent_by_client(const Operation& operation, const bson::Document& entry) {
    if (operation.document.data() == entry.data()) return false;
    const auto o = entry.find("o");
    return o && o->document().find("$db");
}

/// A command and what it names. A view in part, valid as long as the operation's bytes.
struct Command {
    CommandKind kind = CommandKind::unknown;
    CommandScope scope = CommandScope::unknown;
    std::string_view name;     ///< The name as it is written.
    std::string_view database; ///< The database of the entry's ns.
    std::string ns;            ///< The collection that it applies to, `<database>.<collection>`; empty if there is none.
    std::string target;        ///< The `to` of a renameCollection.
};

/// Parses a command. Throws DataError if it lacks a name or if a name is not a string; the names of a command without
/// effect do not matter.
inline Command parse_command(const Operation& operation) {
    const auto known = detail::command_name(operation.command());
    Command command{known.kind, known.scope, operation.command(), operation.database(), {}, {}};
    const auto collection_named_by = [&](const bson::Element& field) {
        const std::string_view name = field.string();
        std::string ns = command.scope == CommandScope::collection ? join_namespace(command.database, name) : std::string(name);
        const Namespace parts = split_namespace(ns);
        if (parts.database.empty() || parts.collection.empty())
            throw DataError(Fault::missing_field, std::string(command.name) + " on " + std::string(operation.ns) + " names no collection");
        return ns;
    };
    if (known.kind == CommandKind::no_effect) {
        if (const bson::Element name = *operation.o.begin(); name.is(bson::Type::string) && command.scope != CommandScope::database)
            command.ns =
                command.scope == CommandScope::full_name ? std::string(name.string()) : join_namespace(command.database, name.string());
        return command;
    }
    switch (command.scope) {
    case CommandScope::collection:
    case CommandScope::full_name: command.ns = collection_named_by(*operation.o.begin()); break;
    case CommandScope::rename: {
        command.ns = collection_named_by(*operation.o.begin());
        const auto to = operation.o.find("to");
        if (!to) throw DataError(Fault::missing_field, "renameCollection without 'to'");
        command.target = collection_named_by(*to);
        break;
    }
    case CommandScope::database:
    case CommandScope::none:
    case CommandScope::unknown: break;
    }
    return command;
}

/// The view that an insert, update or delete in `<database>.system.views` defines or removes; none for any other
/// operation.
inline std::optional<std::string_view> view_of(const Operation& operation) {
    if (operation.is_command() || operation.collection() != views_collection) return std::nullopt;
    const auto id = operation.id();
    return id && id->is(bson::Type::string) ? std::optional(id->string()) : std::nullopt;
}

/// The collections that an operation concerns, as users know them: both of a rename, the view for a change of
/// system.views, the time series for its buckets, and the indexed collection for a change of the system.indexes of old
/// servers. The list is empty for a whole database and for an operation that names nothing. Throws DataError for an
/// applyOps; use for_each_operation() for that.
inline std::vector<std::string> namespaces(const Operation& operation) {
    if (operation.is_command()) {
        const Command command = parse_command(operation);
        if (command.kind == CommandKind::apply_ops) throw DataError(Fault::not_supported, "applyOps names what its operations name");
        std::vector<std::string> names;
        for (const std::string& ns : {command.ns, command.target})
            if (!ns.empty()) names.push_back(logical_namespace(ns));
        return names;
    }
    if (const auto view = view_of(operation)) return {std::string(*view)};
    if (operation.collection() == "system.indexes")
        if (const auto indexed = operation.o.find("ns"); indexed && indexed->is(bson::Type::string))
            return {std::string(indexed->string())};
    if (operation.ns.empty()) return {};
    return {logical_namespace(operation.ns)};
}

namespace detail {

/// The deepest nesting of applyOps that is accepted. The server allows 10.
constexpr int max_apply_ops_depth = 100;

inline void check_apply_ops(const Operation& operation, int depth) {
    if (operation.ns.empty()) throw DataError(Fault::missing_field, "an applyOps without 'ns'");
    if (!operation.stray.empty())
        throw DataError(Fault::bad_value, "an applyOps with the unknown field '" + std::string(operation.stray) + "'");
    if (depth > max_apply_ops_depth)
        throw DataError(Fault::too_deep, "applyOps nested more than " + std::to_string(max_apply_ops_depth) + " levels deep");
}

template <class Visit>
void visit_operations(const Operation& operation, Visit& visit, int depth) {
    if (!operation.is_apply_ops()) return visit(operation);
    check_apply_ops(operation, depth);
    for (const bson::Element& element : operation.apply_ops()) visit_operations(Operation(element.document()), visit, depth + 1);
}

} // namespace detail

/// Calls visit(const Operation&) for each operation of an entry, in their order: for the entry itself, or for those of
/// an applyOps, however deeply nested. Throws DataError for a malformed operation.
template <std::invocable<const Operation&> Visit>
void for_each_operation(const bson::Document& entry, Visit visit) {
    detail::visit_operations(Operation(entry), visit, 1);
}
/// As above. What this and visit() throw gets the entry's place.
template <std::invocable<const Operation&> Visit>
void for_each_operation(const EntryView& entry, Visit visit) {
    entry.with_place([&] { detail::visit_operations(Operation(entry), visit, 1); });
}

/// The fate of an operation: it stays as it is, is dropped, or is replaced by others.
struct Edit {
    /// What happens to the operation.
    enum class Kind { keep, drop, replace };
    Kind kind = Kind::keep;
    std::vector<bson::Value> with = {}; ///< The documents in its place, for `replace`.

    /// The operation stays as it is.
    static Edit keep() { return {}; }
    /// The operation is dropped.
    static Edit drop() { return {Kind::drop}; }
    /// Another operation takes its place.
    static Edit replace(bson::Value document) {
        Edit edit{Kind::replace};
        edit.with.push_back(std::move(document));
        return edit;
    }
};

/// Returns a copy of a document with some elements changed. change(element, builder) returns whether it took care of
/// the element, by writing something in its place or nothing. If not, the element is copied.
template <class Change>
bson::Value changed(const bson::Document& document, Change change) {
    bson::Builder builder;
    for (const bson::Element& element : document)
        if (!change(element, builder)) builder.append(element);
    return builder.finish();
}

/// The entry with another operation, which has no o2, in place of its own. The collection's UUID goes with the kind or the namespace.
inline bson::Value replaced_entry(const Operation& operation, std::string_view op, std::string_view ns, const bson::Document& o) {
    return changed(operation.document, [&](const bson::Element& element, bson::Builder& builder) {
        const std::string_view key = element.key();
        if (key == "op")
            builder.string("op", op);
        else if (key == "ns")
            builder.string("ns", ns);
        else if (key == "o")
            builder.document("o", o);
        else
            return key == "o2" || ((op != operation.op || ns != operation.ns) && (key == "ui" || key == "b"));
        return true;
    });
}

namespace detail {

template <class Decide>
Edit edit(const Operation& operation, Decide& decide, int depth) {
    if (!operation.is_apply_ops()) return decide(operation);
    check_apply_ops(operation, depth);
    std::optional<bson::Builder> array; // set from the first change on
    std::size_t index = 0;              // the index of the next operation to write
    const auto add = [&](bson::Document kept) { array->document(std::to_string(index++), kept); };
    const bson::Document operations = operation.apply_ops();
    for (const bson::Element& element : operations) {
        const Operation inner(element.document());
        const Edit outcome = edit(inner, decide, depth + 1);
        if (outcome.kind == Edit::Kind::keep && !array) {
            ++index;
            continue;
        }
        if (!array) {
            array.emplace();
            const char* first = operations.data() + 4; // the operations before, all of them kept
            array->raw({first, static_cast<std::size_t>(element.bytes().data() - first)});
        }
        if (outcome.kind == Edit::Kind::keep) add(inner.document);
        if (outcome.kind == Edit::Kind::replace)
            for (const bson::Value& document : outcome.with) add(document.view());
    }
    if (!array) return Edit::keep();
    if (depth > 1 && index == 0) return Edit::drop(); // the entry itself stays, because its transaction needs it
    const bson::Value kept = array->finish();
    return Edit::replace(changed(operation.document, [&](const bson::Element& element, bson::Builder& entry) {
        if (element.key() != "o") return false;
        entry.document("o", changed(operation.o, [&](const bson::Element& field, bson::Builder& o) {
                           if (field.key() != "applyOps") return false;
                           o.array("applyOps", kept);
                           return true;
                       }));
        return true;
    }));
}

} // namespace detail

/// Edits the operations of an entry: asks decide(const Operation&) -> Edit about each, and returns what becomes of the
/// entry. An applyOps keeps everything around its operations. It stays, empty, if all of them are dropped: a
/// transaction needs its entries, and replaying an empty applyOps does nothing. Nothing is copied as long as nothing
/// changes.
template <class Decide>
Edit edit_operations(const bson::Document& entry, Decide decide) {
    return detail::edit(Operation(entry), decide, 1);
}

/// Throws DataError for an edited entry that is larger than any that a server, or a tool, reads.
inline void require_size(std::string_view entry) {
    if (entry.size() > bson::max_document_size)
        throw DataError(Fault::too_large, "under its new names it would have " + std::to_string(entry.size()) +
                                              " bytes, over the limit of " + std::to_string(bson::max_document_size));
}

/// New names for collections and databases.
class Renaming {
  public:
    /// Renames a collection, add("shop.a", "shop.b"), or all of a database, add("shop.*", "store.*"). The buckets of a
    /// time series go with it. Throws ArgumentError for anything else and for rules that contradict each other.
    void add(std::string_view from, std::string_view to) {
        const Namespace a = split_namespace(from), b = split_namespace(to);
        const auto fail = [&](std::string_view why) {
            throw ArgumentError("cannot rename " + std::string(from) + " to " + std::string(to) + ": " + std::string(why));
        };
        if (a.database.empty() || b.database.empty() || a.collection.empty() || b.collection.empty())
            fail("a name is <database>.<collection> or <database>.*");
        const bool whole = a.collection == "*";
        if (whole != (b.collection == "*")) fail("a database (<database>.*) becomes a database, a collection a collection");
        const std::string_view wild = "*?";
        if (a.database.find_first_of(wild) != from.npos || b.database.find_first_of(wild) != to.npos ||
            (!whole && (a.collection.find_first_of(wild) != from.npos || b.collection.find_first_of(wild) != to.npos)))
            fail("only <database>.* stands for more than one name");
        if (!whole && a.collection.starts_with("system.")) fail("system collections keep their names");
        if (const std::string_view why = why_no_name(b); !why.empty()) fail(why);
        for (const std::string_view database : {a.database, b.database})
            if (database == "admin" || database == "config" || database == "local") fail("the server's own databases keep their names");
        if (!(whole ? databases_ : collections_).emplace(whole ? a.database : from, whole ? b.database : to).second)
            fail("it has another new name already");
        if (!targets_.emplace(to).second) fail("another one has that new name already");
    }
    /// Whether there are no new names.
    bool empty() const noexcept { return targets_.empty(); }

    /// The new name of a collection or of the buckets of a time series; none if it keeps its name. Throws RenameError
    /// if the new name is too long.
    std::optional<std::string> collection(std::string_view ns) const {
        if (empty()) return std::nullopt;
        if (const auto found = collections_.find(logical_namespace(ns)); found != collections_.end()) {
            if (!split_namespace(ns).collection.starts_with(buckets_prefix)) return found->second;
            const Namespace to = split_namespace(found->second);
            return join_namespace(to.database, std::string(buckets_prefix) + std::string(to.collection));
        }
        const Namespace name = split_namespace(ns);
        const auto renamed = database(name.database);
        if (!renamed) return std::nullopt;
        if (renamed->size() + 1 + name.collection.size() > max_namespace_size && !name.collection.starts_with(buckets_prefix))
            throw RenameError("cannot rename " + std::string(ns) + " to " + join_namespace(*renamed, name.collection) + ": " +
                              std::string(namespace_too_long));
        return join_namespace(*renamed, name.collection);
    }
    /// The new name of a whole database; none if it keeps its name.
    std::optional<std::string> database(std::string_view name) const {
        const auto found = databases_.find(name);
        return found == databases_.end() ? std::nullopt : std::optional(found->second);
    }
    /// Whether a collection that keeps its name bears the name that another one is to get.
    bool collides(std::string_view ns) const {
        if (empty() || collection(ns)) return false;
        return targets_.contains(logical_namespace(ns)) || targets_.contains(join_namespace(split_namespace(ns).database, "*"));
    }
    /// Whether a collection of another database is to get a name in this database.
    bool gains(std::string_view database) const {
        return std::ranges::any_of(collections_, [&](const auto& rule) {
            return split_namespace(rule.second).database == database && split_namespace(rule.first).database != database;
        });
    }

  private:
    std::map<std::string, std::string, std::less<>> collections_;
    std::map<std::string, std::string, std::less<>> databases_;
    std::set<std::string, std::less<>> targets_; ///< The new names, as they were given.
};

namespace detail {

/// Whether anything in a view's pipeline names a collection that gets a new name ($lookup, $graphLookup, $unionWith).
/// Such a name may hide in any stage, so all of the pipeline is searched.
inline bool pipeline_names_renamed(const bson::Document& pipeline, std::string_view database, const Renaming& renaming, int depth = 1) {
    if (depth > static_cast<int>(bson::max_depth)) throw DataError(Fault::too_deep, "a view's pipeline is nested too deeply");
    for (const bson::Element& element : pipeline) {
        const std::string_view key = element.key();
        if (element.is(bson::Type::string) && (key == "from" || key == "coll" || key == "$unionWith") &&
            renaming.collection(join_namespace(database, element.string())) && !renaming.database(database))
            return true;
        if ((element.is(bson::Type::document) && pipeline_names_renamed(element.document(), database, renaming, depth + 1)) ||
            (element.is(bson::Type::array) && pipeline_names_renamed(element.array(), database, renaming, depth + 1)))
            return true;
    }
    return false;
}

/// Renames a view (`_id`) and what it reads (`viewOn`), which is in the same database. Throws RenameError for a view
/// that cannot follow.
inline std::optional<std::string> rename_view(const bson::Document& view, std::string_view database, const Renaming& renaming) {
    bool any = false;
    std::string_view new_database = database;
    const auto whole = renaming.database(database);
    if (whole) new_database = *whole;
    const auto fail = [&](std::string_view name, const char* why) {
        throw RenameError("the view " + std::string(name) + " cannot follow a renamed collection: " + why);
    };
    const auto id = view.find("_id");
    const std::string_view name = id && id->is(bson::Type::string) ? id->string() : std::string_view("?");
    std::string result = changed(view, [&](const bson::Element& element, bson::Builder& builder) {
        if (element.key() == "pipeline" && element.is(bson::Type::array) && pipeline_names_renamed(element.array(), database, renaming))
            fail(name, "its pipeline names that collection");
        const bool is_id = element.key() == "_id";
        if (!element.is(bson::Type::string) || !(is_id || element.key() == "viewOn")) return false;
        const auto renamed = renaming.collection(is_id ? std::string(element.string()) : join_namespace(database, element.string()));
        if (!renamed) return false;
        const Namespace to = split_namespace(*renamed);
        if (to.database != new_database)
            fail(name, "a view and what it reads stay in one database; rename the whole database (db.*=other.*)");
        builder.string(element.key(), is_id ? std::string_view(*renamed) : to.collection);
        return any = true;
    });
    return any ? std::optional(std::move(result)) : std::nullopt;
}

/// Renames the `ns` that index specifications of servers before 4.4 carry: in the spec itself, in `idIndex` or in each
/// of `indexes`.
inline bson::Value rename_index_namespaces(const bson::Document& spec, const std::string& from, const std::string& to) {
    return changed(spec, [&](const bson::Element& element, bson::Builder& builder) {
        const std::string_view key = element.key();
        if (key == "ns" && element.is(bson::Type::string) && element.string() == from) {
            builder.string(key, to);
        } else if (key == "idIndex" && element.is(bson::Type::document)) {
            builder.document(key, rename_index_namespaces(element.document(), from, to));
        } else if (key == "indexes" && element.is(bson::Type::array)) {
            builder.begin_array(key);
            for (const bson::Element& index : element.array())
                builder.document(index.key(), rename_index_namespaces(index.document(), from, to));
            builder.end();
        } else {
            return false;
        }
        return true;
    });
}

/// Returns the operation with new values for ns, o and o2, where they are given.
inline bson::Value replaced(const Operation& operation, std::optional<std::string_view> ns, std::optional<std::string_view> o,
                            std::optional<std::string_view> o2 = std::nullopt) {
    return changed(operation.document, [&](const bson::Element& element, bson::Builder& builder) {
        const std::string_view key = element.key();
        if (key == "ns" && ns)
            builder.string(key, *ns);
        else if (key == "o" && o)
            builder.document(key, bson::Document(*o));
        else if (key == "o2" && o2)
            builder.document(key, bson::Document(*o2));
        else
            return false;
        return true;
    });
}

inline std::optional<bson::Value> rename_command(const Operation& operation, const Renaming& renaming) {
    const Command command = parse_command(operation);
    const auto whole = renaming.database(command.database);
    const auto command_ns = [](std::string_view database) { return join_namespace(database, "$cmd"); };
    const auto with_first = [&](std::string_view value, const std::optional<std::string>& to = std::nullopt) {
        bool first = true;
        return changed(operation.o, [&](const bson::Element& element, bson::Builder& builder) {
            const bool is_first = std::exchange(first, false);
            if (is_first)
                builder.string(element.key(), value);
            else if (to && element.key() == "to")
                builder.string("to", *to);
            else
                return false;
            return true;
        });
    };
    switch (command.scope) {
    case CommandScope::collection: {
        const auto renamed = renaming.collection(command.ns);
        // The `create` of a view names what the view reads.
        const auto view = command.kind == CommandKind::create ? rename_view(operation.o, command.database, renaming) : std::nullopt;
        if (!renamed && !view) return std::nullopt;
        const std::string to = renamed.value_or(command.ns);
        const Namespace parts = split_namespace(to);
        std::string o = with_first(parts.collection);
        if (view)
            o = changed(bson::Document(o), [&](const bson::Element& element, bson::Builder& builder) {
                if (element.key() != "viewOn") return false;
                builder.append(*bson::Document(*view).find("viewOn"));
                return true;
            });
        o = rename_index_namespaces(bson::Document(o), command.ns, to);
        std::optional<std::string> o2;
        if (operation.o2) o2 = rename_index_namespaces(*operation.o2, command.ns, to);
        return replaced(operation, command_ns(parts.database), o, o2);
    }
    case CommandScope::full_name: {
        const auto renamed = renaming.collection(command.ns);
        if (!renamed) return std::nullopt;
        if (command.kind == CommandKind::import_collection)
            throw RenameError("importCollection of " + command.ns + " cannot be renamed: it holds the storage engine's own metadata");
        // The ns of dbCheck is the collection; the ns of the others is the database's $cmd.
        const bool same = operation.ns == command.ns;
        return replaced(operation, same ? *renamed : command_ns(split_namespace(*renamed).database), with_first(*renamed));
    }
    case CommandScope::rename: {
        const auto from = renaming.collection(command.ns), to = renaming.collection(command.target);
        if (!from && !to) return std::nullopt;
        const std::string source = from.value_or(command.ns), target = to.value_or(command.target);
        const auto database_of = [](const std::string& ns) { return split_namespace(ns).database; };
        if ((database_of(command.ns) == database_of(command.target)) != (database_of(source) == database_of(target)))
            throw RenameError("renameCollection " + command.ns + " to " + command.target + " would cross databases, as " + source + " to " +
                              target + ": rename both");
        if (source == target)
            throw RenameError("renameCollection " + command.ns + " to " + command.target + " would become nothing: both would be " +
                              source);
        return replaced(operation, command_ns(database_of(source)), with_first(source, target));
    }
    case CommandScope::database:
        if (!whole) return std::nullopt;
        return replaced(operation, command_ns(*whole), std::nullopt);
    case CommandScope::none: return std::nullopt;
    case CommandScope::unknown: break;
    }
    throw RenameError("the command " + std::string(command.name) + " on " + std::string(operation.ns) +
                      " is not known, so what it names cannot be renamed");
}

} // namespace detail

/// Returns an operation with its namespaces renamed; none if nothing in it changes. Use edit_operations() for an
/// applyOps. A UUID (`ui`, dropTarget) stays, and so does what the server's own collections (config, users and roles)
/// say about the namespace. Throws RenameError for an operation that cannot be followed: an unknown command, a view
/// that would leave the database of what it reads, or a renameCollection that would cross databases.
inline std::optional<bson::Value> renamed(const Operation& operation, const Renaming& renaming) {
    if (operation.is_command()) return detail::rename_command(operation, renaming);
    const auto [database, collection] = operation.name();
    const auto whole = renaming.database(database);
    if (collection == views_collection) {
        const auto o = detail::rename_view(operation.o, database, renaming);
        const auto o2 = operation.o2 ? detail::rename_view(*operation.o2, database, renaming) : std::nullopt;
        if (!o && !o2 && !whole) return std::nullopt;
        return detail::replaced(operation, join_namespace(whole.value_or(std::string(database)), collection), o, o2);
    }
    if (collection == "system.indexes") { // of the database, on servers before 4.2
        const auto indexed = operation.o.find("ns");
        const auto to = indexed ? renaming.collection(indexed->string()) : std::nullopt;
        if (!to) return std::nullopt;
        return detail::replaced(operation, join_namespace(split_namespace(*to).database, collection),
                                detail::rename_index_namespaces(operation.o, std::string(indexed->string()), *to));
    }
    const auto to = renaming.collection(operation.ns);
    return to ? std::optional(detail::replaced(operation, *to, std::nullopt)) : std::nullopt;
}

} // namespace oplog

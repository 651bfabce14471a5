// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/update.hpp>
#include <oplog/entry/operation.hpp>

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// What the operations of servers 3.6 to 9.0 mean to a dump. Only this header knows that: verifying, staging, applying
/// and filtering ask it, so that they cannot disagree. The tables follow the servers' oplog_entry.idl,
/// collection_options.cpp, coll_mod.idl and index_key_validate.h.
namespace oplog::inline v0_1 {

/// What an operation does to the content of a dump.
enum class Meaning {
    nothing,  ///< Nothing: it is passed over.
    followed, ///< Something that is supported.
    refused,  ///< Something that is not supported, or that nobody can reproduce.
};

/// The meaning of an operation, and an explanation.
struct Verdict {
    Meaning meaning = Meaning::nothing;
    std::string reason = {}; ///< Why it is refused. For `nothing`, what a user may want to know about it; mostly empty.
};

/// Whether a dump holds the collection of that namespace and a replay writes to it. mongodump leaves out the other
/// collections, and mongorestore does not replay operations on them: see ConfigCollectionsToKeep in mongo-tools.
inline bool is_in_dumps(const Namespace& name) {
    const auto [database, collection] = name;
    if (database == "local" || database.starts_with("__mdb_internal")) return false;
    if (database == "admin") return collection != "system.keys";
    if (database != "config") return true;
    constexpr std::string_view kept[] = {"chunks", "collections", "databases", "settings", "shards", "tags", "version"};
    return std::ranges::find(kept, collection) != std::end(kept);
}
/// As above, for a namespace in one string.
inline bool is_in_dumps(std::string_view ns) { return is_in_dumps(split_namespace(ns)); }

/// Whether mongodump leaves a collection out because of its name, in any database. A rename may give the collection
/// another name.
inline bool is_hidden_in_dumps(std::string_view ns) {
    const auto [database, collection] = split_namespace(ns);
    return database != "admin" && collection.starts_with("system.") && collection != "system.js" && !collection.starts_with(buckets_prefix);
}

namespace detail {

using Names = std::initializer_list<std::string_view>;

inline bool is_one_of(std::string_view name, Names names) { return std::ranges::find(names, name) != names.end(); }

/// Whether any command may carry this argument. Old servers logged a command just as the user had sent it.
inline bool is_generic_argument(std::string_view name) {
    // clang-format off
    return is_one_of(name, {"$db", "$clusterTime", "$readPreference", "$configServerState", "$configTime", "$topologyTime", "$client", "$audit",
                            "writeConcern", "readConcern", "maxTimeMS", "comment", "lsid", "txnNumber", "apiVersion", "apiStrict",
                            "apiDeprecationErrors", "bypassDocumentValidation", "databaseVersion", "shardVersion"});
    // clang-format on
}

struct Option {
    std::string_view name;
    Meaning meaning;
    bson::Type type = bson::Type::null; ///< The type that the option must have; null: any type.
};

/// The options of `create`, which are also those in a dump's metadata.
inline constexpr Option create_options[] = {
    {"create", Meaning::followed, bson::Type::string},
    {"capped", Meaning::followed},
    {"size", Meaning::followed},
    {"max", Meaning::followed},
    {"autoIndexId", Meaning::followed},
    {"temp", Meaning::followed},
    {"recordPreImages", Meaning::followed}, // MongoDB 4.4 to 6.0
    {"changeStreamPreAndPostImages", Meaning::followed, bson::Type::document},
    {"storageEngine", Meaning::followed, bson::Type::document},
    {"indexOptionDefaults", Meaning::followed, bson::Type::document},
    {"validator", Meaning::followed, bson::Type::document},
    {"validationLevel", Meaning::followed, bson::Type::string},
    {"validationAction", Meaning::followed, bson::Type::string},
    {"collation", Meaning::followed, bson::Type::document},
    {"viewOn", Meaning::followed, bson::Type::string},
    {"pipeline", Meaning::followed, bson::Type::array},
    {"clusteredIndex", Meaning::followed},
    {"expireAfterSeconds", Meaning::followed},
    {"timeseries", Meaning::followed, bson::Type::document},
    {"encryptedFields", Meaning::followed, bson::Type::document},
    {"idIndex", Meaning::followed, bson::Type::document},
    {"flags", Meaning::nothing}, // of the storage engine MMAPv1
    {"recordIdsReplicated", Meaning::nothing},
    {"timeseriesBucketsMayHaveMixedSchemaData", Meaning::nothing},
    {"timeseriesBucketingParametersHaveChanged", Meaning::nothing},
    {"fixedBucketing", Meaning::nothing},
};

/// The options of collMod. The definition of a view does not change by collMod but in system.views.
inline constexpr Option coll_mod_options[] = {
    {"collMod", Meaning::followed, bson::Type::string},
    {"index", Meaning::followed, bson::Type::document},
    {"validator", Meaning::followed, bson::Type::document},
    {"validationLevel", Meaning::followed, bson::Type::string},
    {"validationAction", Meaning::followed, bson::Type::string},
    {"recordPreImages", Meaning::followed}, // MongoDB 4.4 to 6.0
    {"changeStreamPreAndPostImages", Meaning::followed, bson::Type::document},
    {"cappedSize", Meaning::followed},
    {"cappedMax", Meaning::followed},
    {"expireAfterSeconds", Meaning::followed},
    {"timeseries", Meaning::followed, bson::Type::document},
    {"noPadding", Meaning::nothing}, // of the storage engine MMAPv1
    {"usePowerOf2Sizes", Meaning::nothing},
    {"fixedBucketing", Meaning::nothing},
    {"timeseriesBucketsMayHaveMixedSchemaData", Meaning::nothing},
    {"timeseriesBucketingParametersHaveChanged", Meaning::nothing},
    {"_timeseriesBucketingParametersHaveChanged", Meaning::nothing},
    {"_removeLegacyTimeseriesBucketingParametersHaveChanged", Meaning::nothing},
    {"isTimeseriesNamespace", Meaning::nothing},
    {"dryRun", Meaning::nothing},
    {"isTemp", Meaning::nothing},
    {"recordIdsReplicated", Meaning::nothing},
};

template <std::size_t N>
const Option* find_option(const Option (&options)[N], std::string_view name) {
    const auto found = std::ranges::find(options, name, &Option::name);
    return found == std::end(options) ? nullptr : found;
}

/// Throws DataError if a document has fields other than `known`, or lacks one of `needed`.
inline void check_fields(std::string_view what, const bson::Document& document, Names known, Names needed) {
    for (const bson::Element& field : document)
        if (!is_one_of(field.key(), known))
            throw DataError(Fault::bad_value, std::string(what) + " with the unknown field '" + std::string(field.key()) + "'");
    for (const std::string_view name : needed)
        if (!document.find(name)) throw DataError(Fault::missing_field, std::string(what) + " without '" + std::string(name) + "'");
}

inline void check_collation(const bson::Document& collation) {
    check_fields("a collation", collation,
                 {"locale", "caseLevel", "caseFirst", "strength", "numericOrdering", "alternate", "maxVariable", "normalization",
                  "backwards", "version"},
                 {"locale"});
}

/// Checks the options that are documents with fields of their own.
inline void check_option(const bson::Element& option) {
    const std::string_view name = option.key();
    if (name == "collation")
        check_collation(option.document());
    else if (name == "changeStreamPreAndPostImages")
        check_fields("changeStreamPreAndPostImages", option.document(), {"enabled"}, {"enabled"});
    else if (name == "clusteredIndex" && option.is(bson::Type::document))
        check_fields("a clusteredIndex", option.document(), {"v", "key", "name", "unique"}, {"key", "unique"});
}

} // namespace detail

/// Checks the specification of an index, as it stands in a createIndexes or in a dump's metadata. `about` names fields
/// of the command that may be mixed with it. Throws DataError for a specification without key or name, and for options
/// that no server knows.
inline void check_index(const bson::Document& spec, detail::Names about = {}) {
    using bson::Type;
    std::optional<bson::Element> key, name;
    for (const bson::Element& field : spec) {
        const std::string_view option = field.key();
        if (option == "key") {
            key = field;
        } else if (option == "name") {
            name = field;
        } else if (option == "collation") {
            detail::check_collation(field.document());
        } else if (!detail::is_one_of(option, about) && !detail::is_generic_argument(option) &&
                   // clang-format off
                   !detail::is_one_of(option, {"v", "ns", "_id", "background", "unique", "hidden", "partialFilterExpression", "sparse", "expireAfterSeconds",
                                               "storageEngine", "weights", "default_language", "language_override", "textIndexVersion", "2dsphereIndexVersion",
                                               "bits", "min", "max", "bucketSize", "wildcardProjection", "columnstoreProjection", "coarsestIndexedLevel",
                                               "finestIndexedLevel", "dropDups", "originalSpec", "clustered", "prepareUnique", "disallowNewDuplicateKeys"})) {
            // clang-format on
            throw DataError(Fault::bad_value, "an index with the unknown option '" + std::string(option) + "'");
        }
    }
    if (!name) throw DataError(Fault::missing_field, "an index without a name");
    if (name->string().empty()) throw DataError(Fault::missing_field, "an index with an empty name");
    if (!key) throw DataError(Fault::missing_field, "index " + std::string(name->string()) + " has no key");
    if (key->document().empty()) throw DataError(Fault::missing_field, "index " + std::string(name->string()) + " has an empty key");
}

/// Calls use(const bson::Document&) for each index specification in a command: those in its list, or the command itself
/// without its first field. Throws DataError for a specification that check_index() refuses, and for an empty list.
template <class Use>
void for_each_index(const Operation& operation, Use use) {
    if (const auto list = operation.o.find("indexes")) {
        const bson::Document specs = list->array();
        if (specs.empty()) throw DataError(Fault::missing_field, std::string(operation.command()) + " of no index");
        for (const bson::Element& spec : specs) {
            check_index(spec.document());
            use(spec.document());
        }
        return;
    }
    if (operation.command() != "createIndexes")
        throw DataError(Fault::missing_field, std::string(operation.command()) + " without 'indexes'");
    check_index(operation.o, {"createIndexes"});
    bool first = true;
    const std::string spec = changed(operation.o, [&](const bson::Element& field, bson::Builder&) {
        return std::exchange(first, false) || field.key() == "ns" || detail::is_generic_argument(field.key());
    });
    use(bson::Document(spec));
}

/// Whether an entry itself belongs to an index build. Operations inside an applyOps do not count.
inline bool is_of_index_build(const EntryView& entry) {
    if (!entry.is_command()) return false;
    const CommandKind kind = detail::command_name(Operation(entry).command()).kind;
    return kind == CommandKind::start_index_build || kind == CommandKind::commit_index_build || kind == CommandKind::abort_index_build;
}

/// Whether an option of `create` is one that a dump's metadata keeps.
inline bool is_kept_option(std::string_view name) {
    const detail::Option* const option = detail::find_option(detail::create_options, name);
    return option && option->meaning == Meaning::followed && name != "create" && name != "idIndex";
}

/// Whether an option of collMod changes anything.
inline bool is_followed_change(std::string_view name) {
    const detail::Option* const option = detail::find_option(detail::coll_mod_options, name);
    return option && option->meaning == Meaning::followed;
}

namespace detail {

inline std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

template <std::size_t N>
Verdict judge_options(const Command& command, const bson::Document& o, const Option (&options)[N]) {
    for (const bson::Element& field : o) {
        const Option* const known = find_option(options, field.key());
        if (!known && is_generic_argument(field.key())) continue;
        if (!known)
            return {Meaning::refused, std::string(command.name) + " of " + command.ns + " has the unknown option " + quoted(field.key())};
        if (known->type != bson::Type::null && !field.is(known->type))
            throw DataError(Fault::wrong_type, std::string(command.name) + ": option " + quoted(field.key()) + " is of a wrong type");
        check_option(field);
    }
    return {Meaning::followed};
}

/// Throws DataError for a new name that no server gives.
inline void check_new_name(std::string_view what, std::string_view ns) {
    if (const std::string_view why = why_on_no_server(split_namespace(ns)); !why.empty())
        throw DataError(Fault::bad_value, std::string(what) + " " + std::string(ns) + ": " + std::string(why));
}

inline Verdict judge_create(const Operation& operation, const Command& command) {
    check_new_name("create of", command.ns);
    if (const auto id_index = operation.o.find("idIndex")) check_index(id_index->document());
    if (const auto series = operation.o.find("timeseries")) {
        const std::string_view name = split_namespace(command.ns).collection;
        check_fields("a time series", series->document(),
                     {"timeField", "metaField", "granularity", "bucketMaxSpanSeconds", "bucketRoundingSeconds"}, {"timeField"});
        if (!name.starts_with(buckets_prefix))
            return {Meaning::refused,
                    "time series " + command.ns + " has no buckets of its own, as of MongoDB 8.3: no tool here can follow it yet"};
    }
    if (operation.o.find("pipeline") && !operation.o.find("viewOn"))
        throw DataError(Fault::missing_field, "create of a view without 'viewOn'");
    return judge_options(command, operation.o, create_options);
}

/// Checks the definition of a view, as it stands in system.views. Throws DataError.
inline void check_view(const bson::Document& definition) {
    check_fields("a view's definition", definition, {"_id", "viewOn", "pipeline", "collation", "timeseries"}, {"viewOn", "pipeline"});
    static_cast<void>(definition.find("viewOn")->string());
    static_cast<void>(definition.find("pipeline")->array());
    if (const auto collation = definition.find("collation")) check_collation(collation->document());
}

/// Checks an update of a view's definition, by what it makes of a sound one: which one it will meet is not known here.
/// Throws DataError.
inline void check_view_update(const bson::Element& id, const bson::Document& o) {
    bson::Builder sound;
    sound.append(id).string("viewOn", "collection").begin_array("pipeline").end();
    sound.begin_document("collation").string("locale", "en").end();
    const bson::Value definition = sound.finish();
    const std::string changed = apply_update(definition.view(), o);
    check_view(bson::Document(changed));
}

inline Verdict judge_coll_mod(const Operation& operation, const Command& command) {
    if (const auto index = operation.o.find("index")) {
        const bson::Document change = index->document();
        check_fields("collMod of an index", change,
                     {"name", "keyPattern", "key", "expireAfterSeconds", "hidden", "unique", "prepareUnique", "forceNonUnique"}, {});
        if (!change.find("name") && !change.find("keyPattern"))
            throw DataError(Fault::missing_field, "collMod of an index without its name");
    }
    if (const auto series = operation.o.find("timeseries")) {
        check_fields("collMod of a time series", series->document(), {"granularity", "bucketMaxSpanSeconds", "bucketRoundingSeconds"}, {});
        if (!split_namespace(command.ns).collection.starts_with(buckets_prefix))
            throw DataError(Fault::inconsistent, "collMod of " + command.ns + ", which is no time series");
    }
    return judge_options(command, operation.o, coll_mod_options);
}

inline Verdict judge_command(const Operation& operation) {
    if (operation.o.empty()) throw DataError(Fault::missing_field, "a command without a name");
    const CommandName known = command_name(operation.command());
    const auto refuse = [&](std::string why) {
        return Verdict{Meaning::refused, "the command " + std::string(known.name) + " " + std::move(why)};
    };
    if (known.kind == CommandKind::no_effect) return {};
    const Command command = parse_command(operation);
    if (!is_in_dumps(command.ns.empty() ? operation.ns : command.ns)) {
        const bool moves_in = command.kind == CommandKind::rename_collection && is_in_dumps(command.target);
        const bool is_transaction = command.scope == CommandScope::none;
        if (!moves_in && !is_transaction) return {};
    }
    switch (command.kind) {
    case CommandKind::create: return judge_create(operation, command);
    case CommandKind::coll_mod: return judge_coll_mod(operation, command);
    case CommandKind::rename_collection: {
        for (const bson::Element& field : operation.o)
            if (!is_one_of(field.key(), {"renameCollection", "to", "stayTemp", "dropTarget"}) && !is_generic_argument(field.key()))
                throw DataError(Fault::bad_value, "renameCollection with the unknown field " + quoted(field.key()));
        const auto target = operation.o.find("dropTarget");
        if (target && !target->is(bson::Type::boolean) && !target->is_number() &&
            !(target->is(bson::Type::binary) && target->value().size() == 21))
            throw DataError(Fault::bad_value, "renameCollection with a 'dropTarget' that is neither a UUID nor a flag");
        check_new_name("renameCollection to", command.target);
        return {Meaning::followed};
    }
    case CommandKind::create_indexes:
    case CommandKind::start_index_build:
    case CommandKind::commit_index_build:
    case CommandKind::abort_index_build: for_each_index(operation, [](const bson::Document&) {}); return {Meaning::followed};
    case CommandKind::drop_indexes: {
        const auto index = operation.o.find("index");
        if (!index || (!index->is(bson::Type::string) && !index->is(bson::Type::document)))
            throw DataError(Fault::wrong_type, std::string(known.name) + " of " + command.ns + " names no index");
        return {Meaning::followed};
    }
    case CommandKind::convert_to_capped:
        return refuse("of " + command.ns +
                      " cannot be followed: which documents it keeps, the server alone knows (MongoDB 4.0 and older log it)");
    case CommandKind::import_collection:
        return refuse("of " + command.ns + " cannot be followed: it brings in files of the storage engine");
    case CommandKind::truncate_range:
        return refuse("of " + command.ns + " cannot be followed: it names documents by their places in the storage engine");
    case CommandKind::unknown: return refuse("is not known");
    default: return {Meaning::followed};
    }
}

inline Verdict judge_version(const Operation& operation, const bson::Element& id) {
    const std::string_view name = id.is(bson::Type::string) ? id.string() : std::string_view{};
    if (name == "authSchema") return {Meaning::followed};
    if (name == "featureCompatibilityVersion")
        return {Meaning::refused, "the source's featureCompatibilityVersion changes here, and a replay would change the target's"};
    return {Meaning::nothing, "'" + std::string(name) + "' in " + std::string(operation.ns) +
                                  " is the source's own (what makes it a shard, and the like): left out"};
}

inline Verdict judge_change(const Operation& operation) {
    const auto missing = [&](const char* field) {
        const char* const what = operation.is_insert() ? "an insert" : operation.is_update() ? "an update" : "a delete";
        return DataError(Fault::missing_field, std::string(what) + " without '" + field + "'");
    };
    if (!operation.has_o) throw missing("o");
    const std::string_view collection = operation.collection();
    if (collection.empty())
        throw DataError(Fault::missing_field, "a change of " + std::string(operation.ns) + ", which names no collection");
    if (collection == "system.indexes") { // servers before 4.2 logged an index this way
        if (!operation.is_insert())
            return {Meaning::refused, "a change of " + std::string(operation.ns) + " other than an insert cannot be followed"};
        const auto indexed = operation.o.find("ns");
        if (!indexed || split_namespace(indexed->string()).collection.empty())
            throw DataError(Fault::missing_field, "an index without a namespace");
        check_index(operation.o);
        return {Meaning::followed};
    }
    if (collection == "system.namespaces") return {}; // the list of collections of the storage engine MMAPv1
    if (operation.is_update() && !operation.o2) throw missing("o2");
    const auto id = operation.id();
    if (!id) throw missing(operation.is_update() ? "o2._id" : "o._id");
    if (operation.is_insert() && (id->is(bson::Type::array) || id->is(bson::Type::regex) || id->is(bson::Type::undefined)))
        throw DataError(Fault::bad_value,
                        "an insert with an _id of the type " + std::string(name(id->type())) + ", which no server stores");
    if (operation.ns == "admin.system.version")
        if (Verdict verdict = judge_version(operation, *id); verdict.meaning != Meaning::followed) return verdict;
    if (operation.is_update()) check_update(operation.o, *operation.o2);
    if (collection == views_collection) {
        const std::string_view database = operation.database();
        if (!id->is(bson::Type::string)) throw DataError(Fault::missing_field, "a view's definition without a name");
        if (!id->string().starts_with(std::string(database) + '.'))
            throw DataError(Fault::inconsistent, "a view of another database: " + std::string(id->string()));
        if (operation.is_insert()) {
            check_new_name("the view", id->string());
            check_view(operation.o);
        }
        if (operation.is_update()) check_view_update(*id, operation.o);
    }
    return {Meaning::followed};
}

} // namespace detail

/// Determines what an operation means to a dump. An applyOps must not be passed here; it means what its operations
/// mean. Throws DataError for a damaged operation: one that lacks something it needs, or has something that no server
/// writes. With `is_checked` the operation was passed here before, and it is not checked for damage again.
inline Verdict meaning_of(const Operation& operation, bool is_checked = false) {
    const std::string_view op = operation.op;
    if (op.empty()) throw DataError(Fault::missing_field, "an operation without 'op'");
    if (operation.is_no_op()) return {};
    if (!operation.is_change() && !operation.is_command()) {
        if (std::ranges::find(operations_without_effect, op) != std::end(operations_without_effect)) return {};
        if (!operation.ns.empty() && !is_in_dumps(operation.name())) return {};
        return {Meaning::refused, "operation '" + std::string(op) + "' on " + std::string(operation.ns) + " is not known"};
    }
    if (operation.ns.empty()) throw DataError(Fault::missing_field, "an operation without 'ns'");
    if (!operation.stray.empty())
        throw DataError(Fault::bad_value, "an operation with the unknown field '" + std::string(operation.stray) + "'");
    if (operation.is_command()) return detail::judge_command(operation);
    if (!is_in_dumps(operation.name())) return {};
    if (is_checked && operation.database() != "admin" && !operation.collection().starts_with("system.")) return {Meaning::followed};
    return detail::judge_change(operation);
}

} // namespace oplog

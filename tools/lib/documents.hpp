// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tool.hpp"

#include <oplog/bson/field_match.hpp>
#include <oplog/bson/json_parser.hpp>
#include <oplog/entry/glob.hpp>

#include <initializer_list>
#include <iterator>
#include <set>
#include <string>
#include <vector>

/// The options that select documents, for the tools that have them.
namespace oplog::tools {

inline void add_documents(Tool& tool) {
    // clang-format off
    tool.add_options()
        ("id", "only the document with this _id, as Extended JSON: 7, '\"a\"', '{\"$oid\":\"...\"}'; may be repeated", takes<std::vector<std::string>>(), "EJSON")
        ("where", "only documents with this value in a field, as status='\"paid\"'; may be repeated, and all must hold", takes<std::vector<std::string>>(), "FIELD=EJSON");
    // clang-format on
}

/// Returns {"value": EJSON} as BSON. Throws ArgumentError.
inline std::string parse_value(const std::string& option, const std::string& text) {
    std::string bytes;
    try {
        bytes = parse_json("{\"value\":" + text + "}");
    } catch (const DataError&) {
        throw ArgumentError("--" + option + ": '" + text + "' is no Extended JSON value; a string needs its quotes: '\"" + text + "\"'");
    }
    if (++bson::Document(bytes).begin() != std::default_sentinel)
        throw ArgumentError("--" + option + ": '" + text + "' is more than one value");
    return bytes;
}

/// The keys of the wanted documents, as append_key() writes them; empty: all.
inline std::set<std::string> wanted_ids(const Tool& tool) {
    std::set<std::string> ids;
    if (tool.has("id"))
        for (const std::string& text : tool.value<std::vector<std::string>>("id")) {
            const std::string bytes = parse_value("id", text);
            std::string key;
            append_key(key, *bson::Document(bytes).begin());
            ids.insert(std::move(key));
        }
    return ids;
}

inline std::vector<FieldMatch> wanted_fields(const Tool& tool) {
    std::vector<FieldMatch> fields;
    if (tool.has("where"))
        for (const std::string& text : tool.value<std::vector<std::string>>("where")) {
            const std::size_t equals = text.find('=');
            if (equals == text.npos || equals == 0) throw ArgumentError("--where " + text + ": write FIELD=VALUE");
            const std::string bytes = parse_value("where", text.substr(equals + 1));
            fields.emplace_back(text.substr(0, equals), *bson::Document(bytes).begin());
        }
    return fields;
}

inline std::vector<Glob> wanted_namespaces(const Tool& tool) {
    std::vector<Glob> globs;
    if (tool.has("ns"))
        for (const std::string& glob : tool.value<std::vector<std::string>>("ns")) globs.emplace_back(glob);
    return globs;
}

/// Warns of patterns that match no collection of `log`, which is a History or a TakeBack.
template <class Log>
void warn_of_unmatched(Tool& tool, const Log& log, std::initializer_list<const char*> options) {
    for (const char* const option : options)
        if (tool.has(option))
            for (const std::string& glob : tool.value<std::vector<std::string>>(option))
                if (!log.has_collection(Glob(glob))) tool.warn(fmt::format("--{} {}: no collection matches", option, glob));
}

} // namespace oplog::tools

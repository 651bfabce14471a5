// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/json.hpp>
#include <oplog/restore/gather.hpp>

#include <compare>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tool.hpp"

namespace oplog::tools {

/// The script for mongosh that shards a cluster's collections as they were, on a cluster of any size, before they are loaded.
class ShardScript {
  public:
    static constexpr std::string_view first_line = "// Shards the collections of this dump";

    /// `exact`: for shards that are loaded one by one, so that all must be where it was.
    ShardScript(std::string moment, bool exact) : moment_(std::move(moment)), exact_(exact) {}

    /// `name` is what a collection is called in the dump; none if it is not in it.
    std::string text(Cluster& cluster, const std::function<std::optional<std::string>(const std::string&)>& name) const {
        std::map<std::string, std::size_t> numbers;
        for (const ShardState& shard : cluster.shards()) numbers.emplace(shard.id, numbers.size());
        std::string out = std::string(first_line) + " as they were at " + moment_ +
                          (exact_ ? fmt::format(", on {} shards.\n", numbers.size()) : ", on any number of shards.\n") +
                          "// Run it before mongorestore: mongosh \"mongodb://MONGOS\" shard.js\n"
                          "// The balancer is off afterwards; when the load is done: sh.startBalancer()\n" +
                          fmt::format("const exact = {}, before = {}; // shards before\n", exact_, numbers.size()) + beginning;
        std::set<std::string> databases;
        const auto add_database = [&](const std::string& old, const std::string& ns) {
            const std::string database(split_namespace(ns).database);
            if (!databases.insert(database).second) return;
            out += fmt::format("database({}, {});\n", json_quoted(database),
                               numbers.at(cluster.primary(std::string(split_namespace(old).database))));
        };
        for (const auto& [shard, zones] : cluster.zones())
            if (const auto number = numbers.find(shard); number != numbers.end())
                for (const std::string& zone : zones) out += fmt::format("zone({}, {});\n", number->second, json_quoted(zone));
        for (const GatheredCollection& collection : cluster.collections()) {
            const auto ns = name(collection.ns);
            if (!ns) continue;
            add_database(collection.ns, *ns);
            if (!collection.sharded) continue;
            const bool series = collection.metadata.is_timeseries();
            const std::string logical = logical_namespace(*ns);
            const bson::Value key = series ? series_key(collection) : bson::Value(collection.chunks->key().pattern());
            out += fmt::format("make({}, {});\n", json_quoted(logical), quoted_json(collection.metadata.options.view()));
            if (const auto* const index = supporting_index(collection); index && !series)
                out += fmt::format("index({}, {});\n", json_quoted(logical), quoted_json(index->view()));
            out += fmt::format("shard({}, {}, {});\n", json_quoted(logical), quoted_json(key.view()), collection.unique);
            for (const ZoneRange& range : cluster.zone_ranges())
                if (range.ns == collection.ns)
                    out += fmt::format("range({}, {}, {}, {});\n", json_quoted(*ns), quoted_json(range.min.view()),
                                       quoted_json(range.max.view()), json_quoted(range.zone));
            if (series || (!exact_ && collection.chunks->chunks().size() < 2)) continue;
            out += fmt::format("chunks({}, {}, [\n", json_quoted(*ns), is_hashed(key.view()));
            for (const ChunkMap::Chunk& chunk : collection.chunks->chunks())
                out +=
                    fmt::format("[{}, {}, {}],\n", quoted_json(chunk.min.view()), quoted_json(chunk.max.view()), numbers.at(chunk.shard));
            out += "]);\n";
        }
        for (const auto& [view, metadata] : cluster.views())
            if (const auto ns = name(view)) add_database(view, *ns);
        return out;
    }
    static bool is_hashed(const bson::Document& key) {
        return std::ranges::any_of(key, [](const bson::Element& field) { return field.is(bson::Type::string); });
    }

  private:
    static constexpr const char* beginning = R"js(const shards = db.adminCommand({listShards: 1}).shards.map(shard => shard._id).sort();
if (shards.length === 0) throw new Error("no shards: is this a mongos?");
if (exact && shards.length !== before) throw new Error("as many shards are needed as before: " + before);
const run = (command, fine = []) => {
    let answer;
    try {
        answer = db.adminCommand(command);
    } catch (error) { // so the shell tells of a command that failed
        answer = {ok: 0, codeName: error.codeName, errmsg: error.message};
    }
    if (!answer.ok && !fine.includes(answer.codeName)) throw new Error(JSON.stringify(command) + ": " + answer.errmsg);
};
const parsed = text => EJSON.parse(text, {relaxed: false}); // with 64-bit integers as they are
const part = ns => [ns.slice(0, ns.indexOf(".")), ns.slice(ns.indexOf(".") + 1)];
const zone = (old, name) => run({addShardToZone: shards[old % shards.length], zone: name});
const database = (name, old) => run({enableSharding: name, primaryShard: shards[old % shards.length]}, exact ? [] : ["NamespaceExists"]);
const make = (ns, options) => db.getSiblingDB(part(ns)[0]).createCollection(part(ns)[1], parsed(options));
const index = (ns, spec) => { // else the server makes one for the shard key, and gives it another name
    const whole = {...parsed(spec), collation: {locale: "simple"}}; // it would have the collection's
    db.getSiblingDB(part(ns)[0]).runCommand({createIndexes: part(ns)[1], indexes: [whole]});
};
const shard = (ns, key, unique) => run({shardCollection: ns, key: parsed(key), unique, collation: {locale: "simple"}});
const range = (ns, min, max, name) => run({updateZoneKeyRange: ns, min: parsed(min), max: parsed(max), zone: name});
const made = ns => { // the server splits by itself what is sharded by a hash
    const config = db.getSiblingDB("config"), known = config.collections.findOne({_id: ns});
    return config.chunks.find({$or: [{ns}, {uuid: known.uuid}]}).sort({min: 1}).toArray().map(chunk => [chunk.min, chunk.max]);
};
const told = value => EJSON.stringify(value, {relaxed: false}).replace(/"\$number(?:Int|Long|Double)":"(-?\d+)(?:\.0)?"/g, '"$number":"$1"');
const same = (a, b) => told(a) === told(b); // the shell has whole doubles as integers
const chunks = (ns, hashed, list) => { // as many shards as before: as it was; else evenly, neighbours together
    list = list.map(([min, max, old]) => [parsed(min), parsed(max), old]);
    list.forEach(([min], i) => { if (i > 0) run({split: ns, middle: min}, ["InvalidOptions", "CannotSplit"]); });
    let i = 0;
    for (const [min, max] of hashed ? made(ns) : list) {
        if (i + 1 < list.length && same(min, list[i + 1][0])) ++i;
        const to = shards[before === shards.length ? list[i][2] : Math.floor(i * shards.length / list.length)];
        run({moveChunk: ns, bounds: [min, max], to}, exact ? [] : ["IllegalOperation"]);
    }
};
sh.stopBalancer();
)js";

    /// JSON inside a script: a string, to be parsed there, since numbers of a script are not those of BSON.
    static std::string quoted_json(const bson::Document& document) { return json_quoted(to_json(document)); }

    /// An index that begins with the shard key, other than that of `_id`; null if there is none.
    static const bson::Value* supporting_index(const GatheredCollection& collection) {
        const bson::Document key = collection.chunks->key().pattern();
        for (const bson::Value& spec : collection.metadata.indexes) {
            const auto name = spec.view().field("name"), fields = spec.view().field("key");
            if (!fields || (name && name->string() == "_id_") || spec.view().field("sparse") ||
                spec.view().field("partialFilterExpression") || spec.view().field("collation"))
                continue;
            const bson::Document indexed = fields->document();
            auto field = indexed.begin();
            const bool begins = std::ranges::all_of(key, [&](const bson::Element& wanted) {
                const bool is_there =
                    field != std::default_sentinel && field->key() == wanted.key() && std::is_eq(bson::compare(*field, wanted));
                if (is_there) ++field;
                return is_there;
            });
            if (begins) return &spec;
        }
        return nullptr;
    }

    /// The shard key of buckets, in terms of the series.
    static bson::Value series_key(const GatheredCollection& collection) {
        const auto series = collection.metadata.options.view().find("timeseries");
        const auto field = [&](std::string_view which) {
            const auto found = series ? series->document().find(which) : std::nullopt;
            return found ? std::string(found->string()) : std::string();
        };
        const std::string meta = field("metaField"), time = field("timeField");
        bson::Builder key;
        for (const bson::Element& part : collection.chunks->key().pattern()) {
            const std::string_view name = part.key();
            if (name == "meta" || name.starts_with("meta."))
                key.append(meta + std::string(name.substr(4)), part);
            else if (name == "control.min." + time)
                key.append(time, part);
            else
                throw DataError(Fault::not_supported,
                                "collection " + collection.logical_ns() + " is sharded by the unknown key " + std::string(name));
        }
        return key.finish();
    }

    std::string moment_;
    bool exact_;
};

} // namespace oplog::tools

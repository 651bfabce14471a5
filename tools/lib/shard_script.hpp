// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/json.hpp>
#include <oplog/restore/gather.hpp>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tool.hpp"

namespace oplog::tools {

/// The script for mongosh that shards a cluster's collections as they were, on a cluster of any size, before they are loaded.
class ShardScript {
  public:
    static constexpr std::string_view first_line = "// Shards the collections of this dump";

    explicit ShardScript(std::string moment) : moment_(std::move(moment)) {}

    /// `name` is what a collection is called in the dump; none if it is not in it.
    std::string text(Cluster& cluster, const std::function<std::optional<std::string>(const std::string&)>& name) const {
        std::map<std::string, std::size_t> numbers;
        for (const ShardState& shard : cluster.shards()) numbers.emplace(shard.id, numbers.size());
        std::string out = std::string(first_line) + " as they were at " + moment_ +
                          ", on any number of shards.\n"
                          "// Run it before mongorestore: mongosh \"mongodb://MONGOS\" shard.js\n"
                          "// The balancer is off afterwards; when the load is done: sh.startBalancer()\n" +
                          std::string(beginning);
        for (const auto& [shard, zones] : cluster.zones())
            if (const auto number = numbers.find(shard); number != numbers.end())
                for (const std::string& zone : zones) out += fmt::format("zone({}, {});\n", number->second, json_quoted(zone));
        for (const GatheredCollection& collection : cluster.collections()) {
            const auto ns = name(collection.ns);
            if (!ns || !collection.sharded) continue;
            const bool series = collection.metadata.is_timeseries();
            const std::string logical = logical_namespace(*ns);
            const bson::Value key = series ? series_key(collection) : bson::Value(collection.chunks->key().pattern());
            out += fmt::format("make({}, {});\n", json_quoted(logical), quoted_json(collection.metadata.options.view()));
            out += fmt::format("shard({}, {}, {});\n", json_quoted(logical), quoted_json(key.view()), collection.unique);
            for (const ZoneRange& range : cluster.zone_ranges())
                if (range.ns == collection.ns)
                    out += fmt::format("range({}, {}, {}, {});\n", json_quoted(*ns), quoted_json(range.min.view()),
                                       quoted_json(range.max.view()), json_quoted(range.zone));
            if (series || collection.chunks->chunks().size() < 2) continue;
            out += fmt::format("chunks({}, {}, [\n", json_quoted(*ns), numbers.size());
            for (const ChunkMap::Chunk& chunk : collection.chunks->chunks())
                out +=
                    fmt::format("[{}, {}, {}],\n", quoted_json(chunk.min.view()), quoted_json(chunk.max.view()), numbers.at(chunk.shard));
            out += "]);\n";
        }
        return out;
    }

  private:
    static constexpr const char* beginning = R"(const shards = db.adminCommand({listShards: 1}).shards.map(shard => shard._id).sort();
if (shards.length === 0) throw new Error("no shards: is this a mongos?");
const run = (command, fine = []) => {
    const answer = db.adminCommand(command);
    if (!answer.ok && !fine.includes(answer.codeName)) throw new Error(JSON.stringify(command) + ": " + answer.errmsg);
};
const part = ns => [ns.slice(0, ns.indexOf(".")), ns.slice(ns.indexOf(".") + 1)];
const zone = (old, name) => run({addShardToZone: shards[old % shards.length], zone: name});
const make = (ns, options) => db.getSiblingDB(part(ns)[0]).createCollection(part(ns)[1], EJSON.parse(options));
const shard = (ns, key, unique) => {
    run({enableSharding: part(ns)[0]});
    run({shardCollection: ns, key: EJSON.parse(key), unique, collation: {locale: "simple"}});
};
const range = (ns, min, max, name) => run({updateZoneKeyRange: ns, min: EJSON.parse(min), max: EJSON.parse(max), zone: name});
const chunks = (ns, of, list) => { // as many shards as before: as it was; else evenly, neighbours together
    list.forEach(([min], i) => { if (i > 0) run({split: ns, middle: EJSON.parse(min)}, ["InvalidOptions", "CannotSplit"]); });
    list.forEach(([min, max, old], i) => {
        const to = shards[of === shards.length ? old : Math.floor(i * shards.length / list.length)];
        run({moveChunk: ns, bounds: [EJSON.parse(min), EJSON.parse(max)], to}, ["IllegalOperation"]);
    });
};
sh.stopBalancer();
)";

    /// JSON inside a script: a string, to be parsed there, since numbers of a script are not those of BSON.
    static std::string quoted_json(const bson::Document& document) { return json_quoted(to_json(document)); }

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
};

} // namespace oplog::tools

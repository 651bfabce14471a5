// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The records of a backup directory that holds a sharded cluster: a directory of chains for each member, and which of
/// these chains belong together.
///
///     <dir>/<member>/<chain>/           as in backup_records.hpp; the config servers are the member "config"
///     <dir>/<cluster>.cluster.json      a chain of each member, and the times that all of them reach
///     <dir>/<cluster>.pinned            empty: it is never pruned

#include "backup_config.hpp"
#include "backup_records.hpp"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::tools {

/// A period to any moment of which a restore is possible.
struct Window {
    Timestamp from, to;
};

/// The chains of a cluster's members that belong together.
struct ClusterBackup {
    struct Member {
        std::string name;   ///< Of its directory, and by the config servers.
        std::string server; ///< "set/host:port,host:port", as the config servers know it; empty for themselves.
        std::string chain_id;
        std::optional<Timestamp> removed; ///< The first round for which it was no member any more.
        Chain chain;
    };
    struct Round {
        Timestamp common;   ///< What every member's chain reached.
        Timestamp finished; ///< Wall clock.
    };

    static constexpr std::string_view extension = ".cluster.json";

    std::string id;
    fs::path record;
    Timestamp started; ///< Wall clock.
    Timestamp wanted;  ///< What every chain was to reach in the newest round.
    std::vector<Member> members;
    std::vector<Round> rounds;
    std::optional<Timestamp> whole_until; ///< Later a shard was added of which it has no chain.
    std::string record_damage;
    bool record_is_unread = false; ///< Whether the record could not be read, so that its damage may be temporary.
    bool pinned = false;           ///< Whether it is never to be pruned.

    static bool is_record(const fs::path& path) {
        const std::string name = path.filename().string();
        return name.ends_with(extension) && !name.starts_with('.');
    }

    static ClusterBackup load(const fs::path& path) {
        ClusterBackup one;
        const std::string name = path.filename().string();
        one.id = name.substr(0, name.size() - extension.size());
        one.record = path;
        one.pinned = is_there(one.pin());
        one.started.seconds = time_of_name(one.id).value_or(0);
        try {
            one.read(JsonFile(path));
        } catch (const std::bad_alloc&) {
            throw; // this error says nothing about the record
        } catch (const std::system_error& error) {
            one.record_damage = reason_of(error);
            one.record_is_unread = !is_of_absence(error.code());
        } catch (const std::exception& error) {
            one.record_damage = reason_of(error);
        }
        for (Member& member : one.members) member.chain = Chain::load(path.parent_path() / member.name / member.chain_id);
        return one;
    }

    /// The file by which it is pinned.
    fs::path pin() const { return record.parent_path() / (id + ".pinned"); }

    std::string to_json() const {
        std::string text = fmt::format("{{\"format\":2,\n\"type\":\"cluster\",\"started\":\"{}\",\"wanted\":\"{}\",\n\"members\":[",
                                       to_utc_string(started), to_string(wanted));
        const char* comma = "\n";
        for (const Member& member : members) {
            text += fmt::format("{}{{\"name\":{},\"server\":{},\"chain\":{}", comma, json_quoted(member.name), json_quoted(member.server),
                                json_quoted(member.chain_id));
            if (member.removed) text += fmt::format(",\"removed\":\"{}\"", to_string(*member.removed));
            text += "}";
            comma = ",\n";
        }
        text += "\n],\n\"rounds\":[";
        comma = "\n";
        for (const Round& round : rounds) {
            text +=
                fmt::format("{}{{\"common\":\"{}\",\"finished\":\"{}\"}}", comma, to_string(round.common), to_utc_string(round.finished));
            comma = ",\n";
        }
        text += "\n]";
        if (whole_until) text += fmt::format(",\n\"wholeUntil\":\"{}\"", to_string(*whole_until));
        return sealed(text);
    }

    /// What is wrong with its records or files, if anything.
    std::string damage() const {
        if (!record_damage.empty()) return record_damage;
        for (const Member& member : members)
            if (!member.chain.damage.empty()) return member.name + ": " + member.chain.damage;
        const auto reach = rounds.empty() ? std::nullopt : std::optional(rounds.back().common);
        for (const Member& member : members)
            if (reach && !member.removed && member.chain.end() < *reach)
                return fmt::format("{}: its chain ends at {}, and {} says that all reach {}", member.name, to_string(member.chain.end()),
                                   record.string(), to_string(*reach));
        return "";
    }
    /// Whether something could not be read, so that the damage may be temporary.
    bool is_unread() const {
        return record_is_unread || std::ranges::any_of(members, [](const Member& member) { return member.chain.is_unread; });
    }
    std::string state() const {
        if (!damage().empty()) return "damaged";
        for (const Member& member : members)
            if (!member.removed && !member.chain.open()) return member.chain.state();
        return "open";
    }
    bool open() const { return state() == "open" && good(); }
    /// Whether every member's full backup is whole, and there is a moment that all chains have.
    bool good() const {
        return record_damage.empty() && !members.empty() &&
               std::ranges::all_of(members, [](const Member& member) { return member.chain.good; }) && begin() <= end();
    }
    bool doubtful() const {
        return std::ranges::any_of(members, [](const Member& member) { return member.chain.doubtful(); });
    }

    /// From where to where the chains of all members reach, if each is good.
    Timestamp begin() const {
        Timestamp latest = Timestamp::min();
        for (const Member& member : members) latest = std::max(latest, member.chain.begin());
        return latest;
    }
    Timestamp end() const {
        Timestamp earliest = Timestamp::max();
        for (const Member& member : members)
            if (!member.removed) earliest = std::min(earliest, member.chain.end());
        return earliest;
    }
    /// The end of the chain that reaches furthest.
    Timestamp reached() const {
        Timestamp latest = Timestamp::min();
        for (const Member& member : members) latest = std::max(latest, member.chain.end());
        return latest;
    }
    /// Without the time after a shard was added, as far as that is known, and without the time before a member's removal that
    /// its own chain does not have.
    std::vector<Window> windows() const {
        std::vector<Window> found{{begin(), whole_until ? std::min(*whole_until, end()) : end()}};
        for (const Member& member : members) {
            if (!member.removed || member.chain.end() >= *member.removed) continue;
            std::vector<Window> left;
            for (const Window& window : found) {
                if (window.from <= member.chain.end()) left.push_back({window.from, std::min(window.to, member.chain.end())});
                if (window.to >= *member.removed) left.push_back({std::max(window.from, *member.removed), window.to});
            }
            found = std::move(left);
        }
        return found;
    }
    /// Whether a member kept the newest round from ending.
    bool holds_back(const Member& member) const { return !member.removed && member.chain.good && member.chain.end() < wanted; }

    std::uint64_t size() const {
        std::uint64_t sum = 0;
        for (const Member& member : members) sum += member.chain.size();
        return sum;
    }
    Timestamp finished() const { return rounds.empty() ? started : rounds.back().finished; }
    std::size_t increments() const { return rounds.empty() ? 0 : rounds.size() - 1; }

  private:
    void read(const JsonFile& json) {
        json.check_format();
        started = parse_time(std::string(json.field("started").string())).first;
        wanted = parse_timestamp(json.field("wanted").string());
        for (const bson::Element& element : json.field("members").array()) {
            const auto text = [&](const char* key) { return std::string(JsonFile::field(element.document(), key).string()); };
            Member member{text("name"), text("server"), text("chain"), {}, {}};
            if (const auto removed = element.document().find("removed")) member.removed = parse_timestamp(removed->string());
            members.push_back(std::move(member));
        }
        for (const bson::Element& element : json.field("rounds").array()) {
            const auto text = [&](const char* key) { return JsonFile::field(element.document(), key).string(); };
            rounds.push_back({parse_timestamp(text("common")), parse_time(std::string(text("finished"))).first});
        }
        if (const auto until = json.document().find("wholeUntil")) whole_until = parse_timestamp(until->string());
    }
};

/// All cluster backups of a directory, the oldest first.
inline std::vector<ClusterBackup> load_clusters(const fs::path& directory) {
    if (!fs::is_directory(directory)) oplog::detail::throw_errno(directory.string(), ENOENT);
    std::vector<ClusterBackup> clusters;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory))
        if (ClusterBackup::is_record(entry.path())) clusters.push_back(ClusterBackup::load(entry.path()));
    std::ranges::sort(clusters, {}, [](const ClusterBackup& one) { return std::pair(one.started, one.id); });
    return clusters;
}

/// The members that have chains in a cluster's backup directory, sorted.
inline std::vector<std::string> members_in(const fs::path& directory) {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with('.') && entry.is_directory() && !load_chains(entry.path()).empty()) names.push_back(name);
    }
    std::ranges::sort(names);
    return names;
}

} // namespace oplog::tools

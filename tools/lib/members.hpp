// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tool.hpp"

#include "archive_input.hpp"

#include <oplog/restore/chain.hpp>
#include <oplog/restore/coordinators.hpp>
#include <oplog/restore/decisions.hpp>
#include <oplog/restore/gather.hpp>
#include <oplog/stream/readings.hpp>

#include <cerrno>
#include <deque>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

/// The members of a sharded cluster, each a chain in a directory.
namespace oplog::tools {

/// Calls work(item) for all items, several at a time, and throws what the first of them throws.
template <class Items, class Work>
void in_parallel(Items& items, std::size_t jobs, Work work) {
    std::mutex mutex;
    std::vector<std::exception_ptr> failures(items.size());
    std::size_t next = 0;
    bool failed = false;
    const auto run = [&] {
        for (;;) {
            std::size_t mine = 0;
            {
                const std::lock_guard lock(mutex);
                if (failed || next == items.size()) return;
                mine = next++;
            }
            try {
                work(items[mine]);
            } catch (...) {
                const std::lock_guard lock(mutex);
                failures[mine] = std::current_exception();
                failed = true;
            }
        }
    };
    std::vector<std::jthread> threads;
    try {
        for (std::size_t more = std::min(jobs, items.size()); more > 1; --more) threads.emplace_back(run);
    } catch (const std::exception&) { // it can be done with fewer
    }
    run();
    threads.clear();
    for (const std::exception_ptr& failure : failures)
        if (failure) std::rethrow_exception(failure);
}

/// The directory of a member's chain: where its full dump is, and its slices.
struct MemberFiles {
    std::string full;
    std::vector<std::string> slices;

    /// As oplog-backup keeps a chain, or `full` and `inc*` in a directory; an archive `full` or `full.*` is unpacked. Throws DataError and
    /// std::system_error.
    MemberFiles(const std::string& directory, UnpackedArchives& archives) {
        namespace fs = std::filesystem;
        std::error_code unknown;
        if (!fs::exists(directory)) oplog::detail::throw_errno(directory, ENOENT);
        const auto list = [](const std::string& path) {
            std::vector<fs::path> entries;
            for (const auto& entry : fs::directory_iterator(path)) entries.push_back(entry.path());
            std::ranges::sort(entries);
            return entries;
        };
        full = directory + "/full";
        std::vector<std::string> found;
        if (fs::is_directory(full, unknown)) found.push_back(full);
        for (const fs::path& entry : list(directory)) {
            const std::string name = entry.filename().string();
            if (fs::is_regular_file(entry, unknown) && (name == "full" || name.starts_with("full."))) found.push_back(entry.string());
        }
        if (found.empty()) throw FileError(directory + ": no chain of a member: there is no directory 'full' in it, and no archive full.*");
        if (found.size() > 1) throw DataError(Fault::ambiguous, found[0] + " and " + found[1] + ": two full dumps of one member");
        full = archives.directory(found[0]);
        for (const fs::path& entry : list(directory)) {
            const std::string name = entry.filename().string();
            if (name != "slice" && !name.starts_with("inc")) continue;
            if (name == "inc" && fs::is_directory(entry, unknown) && !has_oplog(entry)) {
                for (const fs::path& step : list(entry.string())) add(step);
            } else {
                add(entry);
            }
        }
    }

  private:
    static bool has_oplog(const std::filesystem::path& path) {
        std::error_code unknown;
        for (const char* const name : {"oplog.bson", "local/oplog.rs.bson"})
            for (const char* const extension : {"", ".gz", ".zst"})
                if (std::filesystem::is_regular_file(path / (std::string(name) + extension), unknown)) return true;
        return false;
    }
    void add(const std::filesystem::path& path) {
        if (path.filename().string().starts_with('.')) return;
        slices.push_back(resolve_input(path.string()));
        require_regular_file(slices.back());
    }
};

/// A member of a cluster, and what is found out about it.
class Member {
  public:
    struct Open { ///< a prepared transaction that the member has not decided
        TransactionId id;
        Timestamp prepared;
    };
    struct Unseen { ///< a commit of a transaction that the member prepared before its chain begins
        TransactionId id;
        Timestamp commit_timestamp, committed;
    };
    struct Span { ///< an operation on a collection
        std::string what;
        std::optional<Timestamp> from, to;
    };

    Member(const std::string& directory, UnpackedArchives& archives)
        : directory_(directory), files_(directory, archives), chain_(files_.full, slices()) {}

    const std::string& directory() const noexcept { return directory_; }
    const MemberFiles& files() const noexcept { return files_; }
    const Chain& chain() const noexcept { return chain_; }
    /// The shard's id; "config" for the config servers.
    const std::string& id() const noexcept { return id_; }
    bool is_config() const noexcept { return is_config_; }
    bool is_shard() const noexcept { return is_shard_; }
    /// Of the cluster, by the shard itself; empty if it does not say.
    const std::string& cluster_id() const noexcept { return cluster_id_; }
    Timestamp first() const noexcept { return first_; }
    Timestamp last() const noexcept { return last_; }
    /// The last entry that survey() was asked for; 0:0 for none.
    Timestamp last_until() const noexcept { return last_until_; }
    Timestamp consistent() const noexcept { return *chain_.consistent_point(); }
    const std::vector<Open>& open() const noexcept { return open_; }
    const std::vector<Unseen>& unseen() const noexcept { return unseen_; }
    const std::vector<Span>& spans() const noexcept { return spans_; }
    /// Whether the dump or an entry has the buckets of a time series.
    bool has_buckets(const std::string& ns) const { return buckets_created_.contains(ns) || chain_.full()->find(logical_namespace(ns)); }
    Applier& applier() { return *applier_; }
    const Coordinators& coordinators() const noexcept { return coordinators_; }

    /// Reads the chain once: who it is, what times it covers, which transactions are open at its end.
    void survey(Timestamp until) {
        identify_by_dump();
        TransactionTracker tracker;
        std::map<std::string, std::size_t> under_way;
        read([&](const EntryView& entry) {
            if (last_ == Timestamp::min()) first_ = entry.ts();
            last_ = entry.ts();
            if (entry.ts() <= until) last_until_ = entry.ts();
            const TransactionTracker::Step step = tracker.add(entry);
            if (step.info.role == TransactionRole::commit && step.closed && step.closed->began_before)
                if (const auto ts = entry.o().find("commitTimestamp")) unseen_.push_back({step.info.id(), ts->timestamp(), entry.ts()});
            if (entry.is_command()) {
                if (const Operation command(entry); command.command() == "create") {
                    const std::string ns = join_namespace(command.database(), command.o.begin()->string());
                    if (logical_namespace(ns) != ns) buckets_created_.insert(ns);
                }
                return;
            }
            const std::string_view ns = entry.ns();
            if (ns == "admin.system.version" && entry.op() == "i") identify(entry.o());
            if (ns == "config.shards" && entry.op() == "i") is_config_ = true;
            if (ns == Coordinators::ns) follow(Operation(entry), entry.ts(), under_way);
        });
        for (const auto& [id, state] : tracker.open())
            if (state.prepared) open_.push_back({id, state.last});
        if (is_config_ && !is_shard_) id_ = "config";
        if (is_shard_ || is_config_) return;
        throw DataError(Fault::incomplete,
                        directory_ +
                            ": no member of a sharded cluster: admin.system.version has no shardIdentity, and config.shards nothing");
    }

    /// Plays the entries up to a time onto the dump, and looks at those after it.
    void play(Timestamp to, const std::string& scratch) {
        applier_.emplace(
            *chain_.full(),
            Applier::Options{.scratch = scratch, .dump_start = chain_.dump_start(), .consistent_point = chain_.consistent_point()});
        coordinators_ = {};
        for_each_dumped(Coordinators::ns, [&](const bson::Document& document) { coordinators_.add_dumped(document); });
        read(
            [&](const EntryView& entry) {
                if (entry.ts() > to) {
                    applier_->look_ahead(entry);
                    coordinators_.look_ahead(entry);
                    return;
                }
                if (!is_of_this_member(entry)) applier_->add(entry);
                coordinators_.add(entry);
            },
            Check::structure);
        open_.clear();
        for (const auto& [id, state] : applier_->open_transactions())
            if (state.prepared) open_.push_back({id, state.last});
        for (const Unseen& unseen : unseen_)
            if (unseen.commit_timestamp <= to && unseen.committed > to)
                throw DataError(
                    Fault::incomplete,
                    fmt::format(
                        "{}: transaction {} counts from {} on, and was prepared before the chain begins: its operations are not known; the nearest moment before is {}, the nearest after {}",
                        id_, to_string(unseen.id), to_string(unseen.commit_timestamp),
                        to_string(Timestamp::from_packed(unseen.commit_timestamp.packed() - 1)), to_string(unseen.committed)));
    }

    /// Reads the chain once more: for how transactions ended.
    void look_up(Decisions& decisions) {
        for_each_dumped("config.transaction_coordinators", [&](const bson::Document& document) { decisions.add_coordinator(document); });
        read([&](const EntryView& entry) { decisions.add(entry); });
    }

  private:
    /// What makes a server a shard, its version and the like, which no dump of the cluster has.
    static bool is_of_this_member(const EntryView& entry) {
        if (entry.is_command() || entry.ns() != "admin.system.version") return false;
        const auto id = Operation(entry).id();
        return !id || !id->is(bson::Type::string) || id->string() != "authSchema";
    }

    std::vector<Chain::Slice> slices() const {
        std::vector<Chain::Slice> slices;
        for (const std::string& path : files_.slices) slices.push_back({path, path});
        return slices;
    }

    template <class Use>
    void read(Use use, Check check = Check::frame) {
        for (auto entries = chain_.merged(Continuity::chain, check); const EntryView& entry : entries) {
            readings_.add(entry);
            use(entry);
        }
        readings_.end();
    }

    /// Calls use(const bson::Document&) for each document that the full dump has of a collection.
    template <class Use>
    void for_each_dumped(std::string_view ns, Use use) const {
        const DumpCollection* const dumped = chain_.full()->find(ns);
        if (!dumped || dumped->data.empty()) return;
        for (DocumentReader documents(dumped->data, Check::structure); documents.next();) use(documents.current());
    }
    void identify_by_dump() {
        for_each_dumped("admin.system.version", [&](const bson::Document& document) { identify(document); });
        for_each_dumped("config.shards", [&](const bson::Document&) { is_config_ = true; });
    }
    void identify(const bson::Document& document) {
        const auto id = document.field("_id"), name = document.field("shardName"), cluster = document.field("clusterId");
        if (!id || !id->is(bson::Type::string) || id->string() != "shardIdentity" || !name) return;
        id_ = name->string();
        is_shard_ = true;
        if (cluster) cluster_id_ = cluster->value();
    }
    void follow(const Operation& operation, Timestamp ts, std::map<std::string, std::size_t>& under_way) {
        const auto id = operation.id();
        if (!id || !id->is(bson::Type::document)) return;
        const std::string key(id->value());
        const auto text = [&](std::string_view field) {
            const auto found = id->document().field(field);
            return found && found->is(bson::Type::string) ? std::string(found->string()) : std::string("?");
        };
        auto at = under_way.find(key);
        if (at == under_way.end()) {
            at = under_way.emplace(key, spans_.size()).first;
            spans_.push_back(
                {text("operationType") + " of " + text("namespace"), operation.is_insert() ? std::optional(ts) : std::nullopt, {}});
        }
        if (!operation.is_delete()) return;
        spans_[at->second].to = ts;
        under_way.erase(at);
    }

    std::string directory_;
    MemberFiles files_;
    Chain chain_;
    Readings readings_;
    std::string id_, cluster_id_;
    bool is_config_ = false, is_shard_ = false;
    Timestamp first_, last_, last_until_;
    std::vector<Open> open_;
    std::vector<Unseen> unseen_;
    std::vector<Span> spans_;
    std::set<std::string> buckets_created_; ///< namespaces
    Coordinators coordinators_;
    std::optional<Applier> applier_;
};

} // namespace oplog::tools

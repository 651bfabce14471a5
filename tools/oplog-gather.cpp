// SPDX-License-Identifier: Apache-2.0
#include "lib/member_name.hpp"
#include "lib/members.hpp"
#include "lib/played_chain.hpp"
#include "lib/shard_script.hpp"
#include "lib/undo.hpp"

#include <filesystem>
#include <set>

using namespace oplog;
using namespace oplog::tools;

namespace {

constexpr const char* script_name = "shard.js";

std::string moment(Timestamp ts) { return fmt::format("{} ({})", to_string(ts), to_utc_string(ts)); }

/// The chains of a cluster's members.
class Members {
  public:
    Members(const std::vector<std::string>& directories, std::size_t jobs) : jobs_(jobs) {
        for (const std::string& directory : directories) members_.emplace_back(directory, archives_);
    }

    std::deque<Member>& all() noexcept { return members_; }
    Member& config() { return *std::ranges::find_if(members_, &Member::is_config); }
    std::uint64_t size() const {
        std::uint64_t bytes = 0;
        for (const Member& member : members_) bytes += size_of(member.chain());
        return bytes;
    }

    /// Finds out who is who. Throws DataError for a member that is given twice, and without the config servers.
    void survey(Timestamp until) {
        in_parallel(members_, jobs_, [&](Member& member) { member.survey(until); });
        std::map<std::string, std::string> directories;
        const Member* config = nullptr;
        for (const Member& member : members_) {
            const auto [at, is_new] = directories.emplace(member.id(), member.directory());
            if (!is_new)
                throw DataError(Fault::ambiguous,
                                fmt::format("{}: given twice, as {} and as {}", member.id(), at->second, member.directory()));
            if (!member.is_config()) continue;
            if (config)
                throw DataError(Fault::ambiguous,
                                fmt::format("config: given twice, as {} and as {}", config->directory(), member.directory()));
            config = &member;
        }
        if (!config) throw DataError(Fault::incomplete, "config: missing: none of the chains is that of the config servers");
        for (Member& member : members_) counting_.push_back(&member);
    }
    /// Lets only those count from now on that the config servers know at a time: a shard that was added later, or removed before,
    /// holds nothing back. What its chain tells of transactions counts all the same.
    void count_those_at(Timestamp at, const std::string& scratch) {
        config().play(at, scratch);
        config().applier().seal();
        const std::set<std::string> ids = Cluster::shard_ids(config().applier());
        counting_.clear();
        for (Member& member : members_)
            if (member.is_config() || ids.contains(member.id())) counting_.push_back(&member);
    }
    const std::vector<Member*>& counting() const noexcept { return counting_; }

    /// From where to where all chains reach.
    Timestamp window_from() const { return (*std::ranges::max_element(counting_, {}, &Member::consistent))->consistent(); }
    Timestamp window_to() const { return (*std::ranges::min_element(counting_, {}, &Member::last))->last(); }
    /// The latest entry of all chains that survey() was asked for.
    Timestamp last_until() const { return (*std::ranges::max_element(counting_, {}, &Member::last_until))->last_until(); }

    /// What is known of the ends of transactions, from all chains.
    Decisions decisions(const std::set<TransactionId>& wanted) {
        Decisions all(wanted);
        if (wanted.empty()) return all;
        std::mutex mutex;
        in_parallel(members_, jobs_, [&](Member& member) {
            Decisions found(wanted);
            member.look_up(found);
            const std::lock_guard lock(mutex);
            all.add(found);
        });
        return all;
    }
    Decisions decisions_of_open() {
        std::set<TransactionId> open;
        for (const Member* member : counting_)
            for (const Member::Open& transaction : member->open()) open.insert(transaction.id);
        return decisions(open);
    }

    /// Throws DataError unless a time is in all chains' common window.
    void require_in_window(Timestamp to) const {
        if (window_to() < window_from()) {
            const Member& early = **std::ranges::min_element(counting_, {}, &Member::last);
            const Member& late = **std::ranges::max_element(counting_, {}, &Member::consistent);
            throw DataError(Fault::incomplete,
                            fmt::format("no moment is in all chains: {} ends at {}, and the full dump of {} is consistent from {} on",
                                        early.id(), moment(early.last()), late.id(), moment(late.consistent())));
        }
        for (const Member* member : counting_) require_in_window(*member, to);
    }
    void require_in_window(const Member& member, Timestamp to) const {
        if (member.last() < to)
            throw DataError(Fault::incomplete,
                            fmt::format("{}: its chain {} ends at {}, before {}; the latest moment of all chains is {}", member.id(),
                                        member.directory(), moment(member.last()), moment(to), to_string(window_to())));
        if (to < member.consistent())
            throw DataError(Fault::incomplete,
                            fmt::format("{}: its full dump {} is consistent from {} on, after {}; the earliest moment of all chains is {}",
                                        member.id(), member.files().full, moment(member.consistent()), moment(to),
                                        to_string(window_from())));
    }

    /// Throws DataError unless the chains are those of the cluster's members.
    void require_whole(Timestamp at) {
        const std::string id = Cluster::cluster_id(config().applier());
        const std::set<std::string> ids = Cluster::shard_ids(config().applier());
        for (const std::string& shard : ids)
            if (std::ranges::none_of(members_, [&](const Member& member) { return member.is_shard() && member.id() == shard; }))
                throw DataError(
                    Fault::incomplete,
                    fmt::format("{}: missing: a shard at {} by the config servers, and none of the chains is its own", shard, moment(at)));
        for (const Member& member : members_)
            if (!id.empty() && !member.cluster_id().empty() && member.cluster_id() != id)
                throw DataError(Fault::inconsistent, fmt::format("{}: {} is of another cluster", member.id(), member.directory()));
    }

    std::vector<ShardState> shards(const Tool& tool, Timestamp at) {
        const std::set<std::string> ids = Cluster::shard_ids(config().applier());
        std::vector<ShardState> shards;
        for (Member& member : members_) {
            if (!member.is_shard()) continue;
            if (ids.contains(member.id()))
                shards.push_back({member.id(), &member.applier(), &member.coordinators()});
            else
                tool.warn(fmt::format("{}: no shard of the cluster at {}: left out", member.id(), moment(at)));
        }
        std::ranges::sort(shards, {}, &ShardState::id);
        return shards;
    }

    void play(Timestamp to, const std::string& scratch) {
        in_parallel(counting_, jobs_, [&](Member* member) { member->play(to, scratch); });
    }
    /// After play(): transactions that are prepared and open on a shard count or do not, as on all shards.
    void decide(const Tool& tool, Timestamp to) {
        const Decisions decisions = decisions_of_open();
        std::map<TransactionId, std::vector<std::string>> unknown;
        for (Member* member : counting_)
            for (const Member::Open& open : member->open()) {
                const Decisions::Decision decision = decisions.of(open.id);
                if (decision.end == Decisions::End::unknown) unknown[open.id].push_back(member->id());
                if (decision.end == Decisions::End::committed && decision.commit_timestamp <= to) member->applier().commit(open.id);
            }
        for (const auto& [id, shards] : unknown)
            tool.warn(fmt::format("transaction {} is prepared on {} at {}, and no chain tells how it ended: left out on all shards",
                                  to_string(id), fmt::join(shards, ", "), moment(to)));
        for (Member* member : counting_) member->applier().seal();
    }

  private:
    UnpackedArchives archives_;
    std::deque<Member> members_;
    std::vector<Member*> counting_; ///< those that are the cluster's
    std::size_t jobs_;
};

/// Whether a directory may be replaced: it is a dump, or what --keep-shards makes.
bool is_gathered(const std::string& path) {
    const std::string script = path + "/" + script_name;
    std::error_code unknown;
    return std::filesystem::is_regular_file(script, unknown) ? read_whole(script).starts_with(ShardScript::first_line)
                                                             : DumpWriter::is_dump(path);
}

/// The time that the options name; none if they do not.
std::optional<Timestamp> wanted(const Tool& tool) {
    for (const std::string option : {"to", "before"})
        if (tool.has(option) && tool.value(option).starts_with('-'))
            throw ArgumentError("--" + option + " " + tool.value(option) + ": say a time; --check prints which there are");
    const Bounds bounds = tool.bounds();
    if (bounds.to && bounds.before) throw ArgumentError("--to and --before: one of them");
    if (bounds.before) return Timestamp::from_packed(bounds.before->packed() - 1);
    return bounds.to;
}

/// The latest moment of all chains at which every prepared transaction is decided. Throws DataError if there is none.
Timestamp latest_decided(Members& members) {
    Timestamp latest = members.window_to();
    const Decisions decisions = members.decisions_of_open();
    const Member::Open* undecided = nullptr;
    for (const Member* member : members.counting())
        for (const Member::Open& open : member->open())
            if (decisions.of(open.id).end == Decisions::End::unknown && open.prepared <= latest) {
                latest = Timestamp::from_packed(open.prepared.packed() - 1);
                undecided = &open;
            }
    if (undecided && latest < members.window_from())
        throw DataError(
            Fault::incomplete,
            fmt::format("transaction {} was prepared at {}, and no chain tells how it ended: there is no moment at which all are decided",
                        to_string(undecided->id), moment(undecided->prepared)),
            "--to T gives the state without it; the latest common moment is " + to_string(members.window_to()));
    return latest;
}

/// Prints what there is, and complains of what is missing.
void check(Tool& tool, Members& members, const std::string& scratch) {
    members.count_those_at(Timestamp::max(), scratch);
    const Timestamp from = members.window_from(), to = members.window_to();
    for (const Member& member : members.all())
        print(fmt::format("{} {} {} {}\n", escaped(member.id()), to_string(member.consistent()), to_string(member.last()),
                          escaped(member.directory())));
    if (to < from) {
        print("window: none\n");
    } else {
        print(fmt::format("window: {} to {}\n", moment(from), moment(to)));
        members.require_whole(to);
    }
    for (const Member& member : members.all())
        if (std::ranges::find(members.counting(), &member) == members.counting().end())
            print(fmt::format("left out: {}, no shard of the cluster at the end\n", escaped(member.id())));
    for (const Member* member : members.counting()) {
        if (member->last() == to) print(fmt::format("held back by: {}, which ends at {}\n", escaped(member->id()), moment(member->last())));
        if (to < from && member->consistent() == from)
            print(fmt::format("held back by: {}, whose full dump is consistent from {} on\n", escaped(member->id()), moment(from)));
    }
    for (const Member& member : members.all())
        for (const Member::Span& span : member.spans())
            print(fmt::format("under way: {} to {}: {} ({})\n", span.from ? to_string(*span.from) : "?",
                              span.to ? to_string(*span.to) : "?", escaped(span.what), escaped(member.id())));
    const Decisions decisions = members.decisions_of_open();
    for (const Member& member : members.all())
        for (const Member::Open& open : member.open())
            if (decisions.of(open.id).end == Decisions::End::unknown)
                print(fmt::format("undecided: transaction {}, prepared on {} at {}\n", to_string(open.id), escaped(member.id()),
                                  moment(open.prepared)));
    if (to < from) return tool.fail(bad_data);
    members.count_those_at(to, scratch);
    for (const auto& [ns, owners] : Cluster::owners_of_buckets(members.config().applier()))
        for (const Member* member : members.counting())
            if (owners.contains(member->id()) && !member->has_buckets(ns)) tool.complain(Cluster::buckets_missing(ns, member->id()));
}

/// Writes a cluster's collections into a dump, or into one for each shard.
class Gatherer {
  public:
    Gatherer(Cluster& cluster, Selection& selection, DumpOutput& out, bool keep_shards)
        : cluster_(&cluster), selection_(&selection), out_(&out), keep_shards_(keep_shards) {}

    /// Chooses and names what is wanted. Throws DataError for what is not known whole, RenameError for two of one name.
    void choose(Applier& config) {
        for (GatheredCollection& collection : cluster_->collections()) choose(collection);
        admin_.reserve(config.collections().size()); // the tasks point into it
        for (AppliedCollection& collection : config.collections()) {
            const bool left_out = collection.name == "system.version" || collection.name == "system.keys";
            if (collection.database != "admin" || left_out) continue;
            GatheredCollection& made = admin_.emplace_back();
            made.ns = collection.ns();
            made.parts.push_back({no_shard, &collection});
            made.metadata = collection.dumped_metadata();
            has_users_ |= choose(made) && is_of_users(made.ns);
        }
        config_ = &config;
        for (const auto& [ns, view] : cluster_->views()) {
            selection_->see(ns);
            if (selection_->selects(ns)) views_.emplace_back(ns, view);
        }
    }

    void write(std::size_t jobs) {
        for (const auto& [ns, view] : views_) write_view(ns, view);
        if (has_users_) write_auth_schema();
        std::ranges::stable_sort(tasks_, std::greater{}, &Task::size);
        in_parallel(tasks_, jobs, [&](Task& task) { write(task); });
    }

    /// What a collection is called in the dump; none if it is not in it.
    std::optional<std::string> name(const std::string& ns) const {
        if (!selection_->selects(ns)) return std::nullopt;
        return selection_->renaming().collection(ns).value_or(ns);
    }
    bool has_users() const noexcept { return has_users_; }
    std::size_t collections() const noexcept { return tasks_.size(); }
    std::uint64_t documents() const noexcept { return documents_; }
    std::string restore_options() const {
        RestoreOptions options;
        for (const Task& task : tasks_) options.add(task.collection->metadata);
        return options.text() + (out_->gzip() ? "--gzip " : "");
    }

  private:
    static constexpr std::size_t no_shard = ~std::size_t{0};
    struct Task {
        GatheredCollection* collection;
        std::string ns; ///< in the dump
        std::uint64_t size;
    };

    bool choose(GatheredCollection& collection) {
        selection_->see(collection.ns);
        const auto ns = name(collection.ns);
        if (!ns) return false;
        if (collection.fault) throw *collection.fault;
        if (!names_.insert(*ns).second) {
            if (!selection_->renaming().empty()) throw RenameError("--rename makes two collections one: " + logical_namespace(*ns));
            throw DataError(Fault::inconsistent, "there are two collections " + logical_namespace(*ns) + ", as their UUIDs tell");
        }
        if (keep_shards_ && collection.parts.front().shard != no_shard) {
            const std::string& primary = cluster_->primary(std::string(split_namespace(collection.ns).database));
            const auto [at, is_new] = primaries_.emplace(split_namespace(*ns).database, primary);
            if (at->second != primary)
                throw RenameError("--keep-shards: --rename makes one database of two, whose primary shards are " + at->second + " and " +
                                  primary + ": " + at->first);
        }
        std::uint64_t size = 0;
        for (const GatheredCollection::Part& part : collection.parts) {
            Applier::require_whole(*part.collection);
            if (keep_shards_ && collection.sharded && collection.metadata.is_timeseries() &&
                ShardScript::is_hashed(collection.chunks->key().pattern()))
                throw DataError(Fault::not_supported,
                                "collection " + collection.logical_ns() +
                                    " is a time series that is sharded by a hash: no command puts it where it was",
                                "without --keep-shards it can be had; --exclude-ns leaves it out");
            if (!part.collection->whole)
                throw DataError(Fault::incomplete,
                                part.collection->first_seen + ": collection " + part.collection->ns() + ", which is " +
                                    collection.logical_ns() +
                                    " now, is not in the full dump, and no entry creates it (--exclude-ns leaves it out)");
            std::error_code unknown;
            const std::uint64_t bytes = part.collection->base ? std::filesystem::file_size(part.collection->base->data, unknown) : 0;
            if (!unknown) size += bytes;
        }
        tasks_.push_back({&collection, *ns, size});
        return true;
    }

    /// Whether all parts come where the database's primary shard is: shard.js leaves there what is not sharded, wherever it was, and
    /// the buckets of a time series, which no command moves.
    bool is_on_primary(const GatheredCollection& collection) const {
        return collection.chunks && (!collection.sharded || collection.metadata.is_timeseries());
    }
    std::string directory(const GatheredCollection& collection, std::size_t shard) const {
        return is_on_primary(collection) ? directory_of_primary(split_namespace(collection.ns).database) : directory(shard);
    }
    std::string directory(std::size_t shard) const {
        return !keep_shards_ ? "" : shard == no_shard ? "config/" : member_name(cluster_->shards()[shard].id) + "/";
    }
    std::string directory_of_primary(std::string_view database) const {
        return !keep_shards_ ? "" : member_name(cluster_->primary(std::string(database))) + "/";
    }

    void write(const Task& task) {
        const Namespace to = split_namespace(task.ns);
        GatheredCollection& collection = *task.collection;
        collection.metadata.collection = split_namespace(logical_namespace(task.ns)).collection;
        const auto write_metadata = [&](const std::string& where) {
            out_->write_text(where + out_->metadata_name(to.database, collection.metadata.collection), collection.metadata.json());
        };
        if (const GatheredCollection::Part& part = collection.parts.front();
            !collection.chunks && part.collection->is_as_dumped() && part.collection->base->data.ends_with(".gz") == out_->gzip()) {
            const std::string where = directory(collection, part.shard);
            out_->take(part.collection->base->data, where + out_->data_name(to.database, to.collection));
            return write_metadata(where);
        }
        std::optional<Writer> file;
        for (const GatheredCollection::Part& part : collection.parts) {
            const std::string where = directory(collection, part.shard);
            if (!file) {
                file.emplace(out_->open(where + out_->data_name(to.database, to.collection)));
                write_metadata(where);
            }
            const Applier& applier = part.shard == no_shard ? *config_ : *cluster_->shards()[part.shard].applier;
            AppliedDocuments documents = applier.documents(*part.collection, collection.chunks ? Check::structure : Check::frame);
            std::uint64_t written = 0;
            try {
                while (const auto document = documents.next()) {
                    if (collection.chunks && !collection.owns(cluster_->shards()[part.shard].id, bson::Document(*document))) continue;
                    file->write(*document);
                    ++written;
                }
            } catch (const DataError& error) {
                throw error.within("collection " + collection.logical_ns() +
                                   (part.shard == no_shard ? "" : " on " + cluster_->shards()[part.shard].id));
            }
            documents_ += written;
            if ((!keep_shards_ || is_on_primary(collection)) && &part != &collection.parts.back()) continue;
            file->close();
            file.reset();
        }
    }

    void write_view(const std::string& ns, const Metadata& view) {
        const auto [database, name] = split_namespace(ns);
        const std::string where = directory_of_primary(database);
        bson::Builder insertion; // as an entry would tell of the view, so that it is renamed in the same way
        insertion.string("op", "i").string("ns", join_namespace(database, views_collection)).begin_document("o").string("_id", ns);
        for (const bson::Element& option : view.options.view()) insertion.append(option);
        const bson::Value inserted = insertion.end().finish();
        const auto other = selection_->renaming().empty() ? std::nullopt : renamed(Operation(inserted.view()), selection_->renaming());
        const Operation operation(other ? other->view() : inserted.view());
        const auto [to_database, to_name] = split_namespace(*view_of(operation));
        Metadata made = view;
        made.collection = to_name;
        made.options = changed(operation.o, [](const bson::Element& field, bson::Builder&) { return field.key() == "_id"; });
        out_->write_text(where + out_->metadata_name(to_database, to_name), made.json());
    }

    /// mongorestore loads users only where this document tells their form.
    void write_auth_schema() {
        for (const AppliedCollection& collection : config_->collections()) {
            if (collection.ns() != "admin.system.version") continue;
            out_->write_text(directory(no_shard) + out_->metadata_name("admin", "system.version"), collection.dumped_metadata().json());
        }
        Writer file = out_->open(directory(no_shard) + out_->data_name("admin", "system.version"));
        Cluster::for_each_document(*config_, "admin.system.version", [&](const bson::Document& document) {
            const auto id = document.field("_id");
            if (id && id->is(bson::Type::string) && id->string() == "authSchema") file.write(document.bytes());
        });
        file.close();
    }

    Cluster* cluster_;
    Selection* selection_;
    DumpOutput* out_;
    bool keep_shards_;
    Applier* config_ = nullptr;
    std::vector<GatheredCollection> admin_; ///< of the config servers
    std::vector<std::pair<std::string, Metadata>> views_;
    std::vector<Task> tasks_;
    std::set<std::string> names_;
    std::map<std::string, std::string> primaries_; ///< of the databases of the dump, where each shard has its own
    std::atomic<std::uint64_t> documents_ = 0;
    bool has_users_ = false;
};

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-gather", "[--to T|--before T] CHAIN... -o OUT",
              "The chains of a sharded cluster's members - a full dump and increments, one member a directory - as one dump of\n"
              "what the cluster held at one moment: each document once, wherever chunks were on the move. A CHAIN is a directory\n"
              "with a dump in 'full' and oplogs in 'slice' and 'inc*'; the config servers' is among them. mongorestore loads OUT\n"
              "into a replica set, or, after OUT/shard.js, into a cluster of any size. Without a time: the latest moment at which\n"
              "every transaction is decided.",
              "  oplog-gather config shard0 shard1 --check\n"
              "  oplog-gather config shard0 shard1 --to 2021-01-12T03:39:59Z -o later\n"
              "  mongorestore --bypassDocumentValidation later\n");
    // clang-format off
    tool.add_options()
        ("o,output", "the directory to make", takes(), "OUT")
        ("f,force", "replace OUT if it is such a dump")
        ("to", "the state at T, entries at T included", takes(), "T")
        ("before", "the state before T", takes(), "T")
        ("check", "print who is who, the common window, operations under way, and transactions without an end; make nothing")
        ("keep-shards", "one dump a shard, in OUT/SHARD, instead of one of all")
        ("gzip", "write a dump as of mongodump --gzip")
        ("jobs", "members and collections to work on at a time (default: one a processor)", takes(), "N");
    // clang-format on
    add_selection(tool);
    return tool.run(argc, argv, [&] {
        const auto output = tool.optional("output");
        if (!tool.has_inputs()) throw ArgumentError("name the members' chains");
        if (!output && !tool.has("check")) throw ArgumentError("name the directory to make: -o OUT");
        if (output && tool.has("check")) throw ArgumentError("--check makes nothing: no -o");
        const std::size_t jobs = wanted_jobs(tool);
        const std::optional<Timestamp> bound = wanted(tool);
        Selection chosen = selection(tool);
        const std::vector<std::string> directories = tool.inputs();
        std::optional<DumpOutput> out;
        if (output)
            out.emplace(*output,
                        DumpWriter::Options{
                            .if_exists = tool.if_exists(), .gzip = tool.has("gzip"), .inputs = directories, .may_replace = is_gathered});
        const std::string scratch = scratch_directory(out ? std::optional(out->path()) : std::nullopt);
        Members members(directories, jobs);
        members.survey(bound.value_or(Timestamp::max()));
        if (!out) check(tool, members, scratch);
        if (!out && !bound) return;
        Timestamp at = bound.value_or(Timestamp::max());
        if (bound) {
            members.require_in_window(members.config(), at);
        } else {
            members.count_those_at(at, scratch);
            at = latest_decided(members);
        }
        members.count_those_at(at, scratch);
        if (tool.has("before")) at = members.last_until();
        members.require_in_window(at);
        if (!out) return;
        if (bound) at = members.last_until();
        members.play(at, scratch);
        members.decide(tool, at);
        members.require_whole(at);
        Applier& config = members.config().applier();
        Cluster cluster(config, members.shards(tool, at));
        for (const std::string& difference : cluster.differences()) tool.warn(difference);
        Gatherer gatherer(cluster, chosen, *out, tool.has("keep-shards"));
        gatherer.choose(config);
        warn_of_unmatched(tool, chosen.unmatched());
        gatherer.write(jobs);
        const std::string script =
            ShardScript(moment(at), tool.has("keep-shards")).text(cluster, [&](const std::string& ns) { return gatherer.name(ns); });
        FileSink script_file(out->temporary() + "/" + script_name, IfExists::refuse, Content::text);
        script_file.write(script.data(), script.size());
        script_file.close();
        for (const Member& member : members.all()) member.chain().full()->require_unchanged();
        out->close();
        warn_of_old(tool, *out);
        const std::string load = "mongorestore " + gatherer.restore_options();
        tool.say(fmt::format("the cluster at {}: {} collections of {} shards, {} documents read one by one", moment(at),
                             gatherer.collections(), cluster.shards().size(), gatherer.documents()));
        const std::string shard_it = "mongosh MONGOS " + shell_word(*output + "/" + script_name);
        if (tool.has("keep-shards")) {
            tool.say(fmt::format("to restore it to a cluster of {} shards, in the order of their ids: {}, and then",
                                 cluster.shards().size(), shard_it));
            for (const ShardState& shard : cluster.shards())
                tool.say(
                    fmt::format("to restore {}: {}--host SHARD {}", shard.id, load, shell_word(*output + "/" + member_name(shard.id))));
            if (gatherer.has_users() &&
                std::ranges::none_of(cluster.shards(), [](const ShardState& shard) { return shard.id == "config"; }))
                tool.say(fmt::format("to restore users and roles: {}--host MONGOS {}", load, shell_word(*output + "/config")));
            return;
        }
        tool.say(fmt::format("to restore it to a replica set: {}{}", load, shell_word(*output)));
        tool.say(fmt::format("to restore it to a sharded cluster: {}, then {}--host MONGOS {}", shard_it, load, shell_word(*output)));
    });
}

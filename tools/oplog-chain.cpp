// SPDX-License-Identifier: Apache-2.0
#include "chain/backup_cluster.hpp"
#include "chain/backup_config.hpp"
#include "chain/backup_metrics.hpp"
#include "chain/copies.hpp"
#include "chain/drills.hpp"
#include "chain/piped_command.hpp"
#include "chain/backup_records.hpp"
#include "chain/renamed_collections.hpp"
#include "chain/retention.hpp"
#include "chain/status_page.hpp"
#include "lib/selection.hpp"

#include <oplog/entry/glob.hpp>
#include <oplog/stream/late_reader.hpp>
#include <oplog/stream/merge.hpp>
#include <oplog/stream/range.hpp>
#include <oplog/stream/slice.hpp>
#include <oplog/version.hpp>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <fcntl.h>
#include <ftw.h>
#include <functional>
#include <iostream>
#include <set>
#include <sys/file.h>
#include <sys/prctl.h>
#include <thread>
#include <utility>

using namespace oplog;
using namespace oplog::tools;

namespace {

/// The exit codes that oplog-backup and oplog-restore share.
enum BackupExit {
    not_restorable = 2,
    nothing_there = 10,
    discontinuity = 20,
    unverified = 21,
    ask_again = 75,
    end_unknown = 77,
    not_dumped = 78
};

/// An error that ends a command with its own exit code.
class Failure : public Error {
  public:
    Failure(BackupExit exit_code, const std::string& what) : Error(what), code(exit_code) {}
    BackupExit code;
};

std::string shell_quoted(std::string_view text) {
    std::string out = "'";
    for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
    return out + "'";
}

Timestamp now() { return {static_cast<std::uint32_t>(std::time(nullptr)), 0}; }

std::string with_time(Timestamp ts) { return to_string(ts) + " " + to_utc_string(ts); }

/// A file whose bytes are hashed as they are read, and count as progress.
class HashedSource : public CountedSource {
  public:
    HashedSource(const std::string& path, Sha256& hash) : CountedSource(path), hash_(&hash) {}
    std::size_t read(char* buffer, std::size_t size) {
        const std::size_t got = CountedSource::read(buffer, size);
        hash_->add({buffer, got});
        return got;
    }

  private:
    Sha256* hash_;
};
/// A source that others read on.
struct SharedSource {
    PipeSource* source;
    std::size_t read(char* buffer, std::size_t size) { return source->read(buffer, size); }
};
using HashedDocuments = BasicReader<DecompressingSource<HashedSource>, bson::Document>;
using HashedEntries = BasicReader<DecompressingSource<HashedSource>>;

/// A file whose bytes are hashed as they are written.
class HashedSink : public FileSink {
  public:
    HashedSink(const std::string& path, Sha256& hash) : FileSink(path), hash_(&hash) {}
    void write(const char* data, std::size_t size) {
        FileSink::write(data, size);
        hash_->add({data, size});
        size_ += size;
    }
    std::uint64_t size() const noexcept { return size_; }

  private:
    Sha256* hash_;
    std::uint64_t size_ = 0;
};

/// What reading an oplog file to its end shows.
struct OplogFacts {
    Range range{};
    std::string first_sha256{}, last_sha256{};
    std::uint64_t file_size = 0;
    std::string file_sha256{};
};

/// Reads the entries of an oplog to their end, and calls use(entry) for each. Throws DataError for bad BSON and for disorder.
template <class Entries, class Use>
OplogFacts facts_of(Entries&& entries, Use use) {
    OplogFacts facts;
    OrderCheck check_order;
    std::string last;
    for (const EntryView entry : entries) {
        check_order(entry);
        if (facts.range.empty()) facts.first_sha256 = sha256(entry.bytes());
        facts.range.add(entry);
        last = entry.bytes();
        use(entry);
    }
    facts.last_sha256 = sha256(last);
    return facts;
}

/// Reads every byte of an oplog. Throws what facts_of() throws.
OplogFacts read_oplog(const std::string& path) {
    Sha256 hash;
    OplogFacts facts = facts_of(HashedEntries(DecompressingSource<HashedSource>(HashedSource(path, hash)), path, Check::structure),
                                [](const EntryView&) {});
    facts.file_sha256 = hash.hex();
    return facts;
}

/// The hash of any other file. A file that is BSON by its name is checked at the same time.
std::string read_file(const std::string& path) {
    Sha256 hash;
    HashedSource source(path, hash);
    const std::string name = path.ends_with(".gz") ? path.substr(0, path.size() - 3) : path;
    if (name.ends_with(".bson")) {
        HashedDocuments documents(DecompressingSource<HashedSource>(std::move(source)), path, Check::structure);
        for (const bson::Document& document : documents) static_cast<void>(document);
    } else {
        std::vector<char> buffer(256 << 10);
        while (source.read(buffer.data(), buffer.size()) > 0) {
        }
    }
    return hash.hex();
}

void sync_file(const fs::path& path) {
    const oplog::detail::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.is_open() || ::fsync(file.get()) != 0) oplog::detail::throw_errno(path.string());
}

void write_text(const fs::path& path, const std::string& text) {
    FileSink file(path.string(), IfExists::refuse, Content::text);
    file.write(text.data(), text.size());
    file.close();
}

/// Reads and syncs everything in a step's directory, and fills in its record. What was `received` as the oplog was written is not read again.
void examine(Step& step, const std::optional<OplogFacts>& received = {}) {
    const std::vector<fs::path> files = files_below(step.directory);
    const std::string oplog = step.oplog();
    for (const fs::path& path : files) {
        Step::File file{path.lexically_relative(step.directory).string(), fs::file_size(path), {}};
        if (path == oplog) {
            const OplogFacts facts = received && received->file_size == file.size ? *received : read_oplog(oplog);
            step.first = facts.range.first;
            step.last = facts.range.last;
            step.entries = facts.range.entries;
            step.bytes = facts.range.bytes;
            step.first_sha256 = facts.first_sha256;
            step.last_sha256 = facts.last_sha256;
            file.sha256 = facts.file_sha256;
        } else {
            file.sha256 = read_file(path.string());
        }
        sync_file(path);
        step.files.push_back(std::move(file));
    }
    if (step.entries == 0) throw Failure(ask_again, oplog + ": no entries"); // nor was it read if its directory could not be searched
}

/// Writes the record of a step and syncs all its directories. `before` is the step that it follows, if any.
void seal(Step& step, const Step* before) {
    if (before) step.previous = before->link();
    const std::string text = step.to_json();
    step.sha256 = sha256(text);
    write_text(step.directory / "step.json", text);
    std::set<fs::path> directories{step.directory};
    for (const Step::File& file : step.files)
        for (fs::path path = (step.directory / file.path).parent_path(); directories.insert(path).second;) path = path.parent_path();
    for (const fs::path& directory : directories) oplog::detail::sync_directory(directory.string());
}

/// Writes a chain.json that names everything that is there.
void write_head(const Chain& chain) {
    const fs::path path = chain.directory / "chain.json";
    if (is_there(path) && !fs::is_regular_file(fs::symlink_status(path))) fs::remove(path); // never write through a link
    FileSink file(path.string(), IfExists::replace, Content::text);
    const std::string text = chain.head();
    file.write(text.data(), text.size());
    file.close();
}

/// "2021-01-12 17:41:16", as directories are named.
std::string directory_name(Timestamp at) {
    const std::time_t time = at.seconds;
    std::tm tm{};
    ::localtime_r(&time, &tm);
    char text[32];
    return {text, std::strftime(text, sizeof text, "%Y%m%d_%H_%M_%S", &tm)};
}

/// Moves a finished directory into `parent`, under a free name made from `at`, and calls `then` for the remaining work.
/// If that fails, the directory is moved back.
template <class Then>
void publish(const fs::path& made, const fs::path& parent, Timestamp at, Then then) {
    const std::string name = directory_name(at);
    for (int more = 1;; ++more) {
        const fs::path target = parent / (more == 1 ? name : name + "_" + std::to_string(more));
        if (!oplog::detail::rename_as(made, target, RENAME_NOREPLACE) &&
            !(oplog::detail::flags_are_unknown() && ::rename(made.c_str(), target.c_str()) == 0)) {
            if (errno == EEXIST || errno == ENOTEMPTY) continue;
            oplog::detail::throw_errno(target.string());
        }
        try {
            oplog::detail::sync_directory(parent.string());
            oplog::detail::sync_directory(oplog::detail::parent_directory(made.string())); // writes to disk that the old name is gone
            return then(target);
        } catch (const std::exception& error) {
            if (::rename(target.c_str(), made.c_str()) == 0) throw;
            throw FileError(target.string() + " is there all the same: " + error.what());
        }
    }
}

/// The files that this tool adds to a new step. Removes them if the step does not become one.
class Records {
  public:
    explicit Records(const fs::path& made) {
        for (const char* added : {"step.json", "full/step.json", "slice/step.json", "chain.json", "inc"})
            names_.push_back((made / added).string());
    }
    Records(const Records&) = delete;
    ~Records() {
        for (const std::string& name : names_) std::remove(name.c_str()); // if all went well, the step has been moved away by now
    }

  private:
    std::vector<std::string> names_;
};

/// Proves that these oplogs continue each other, byte for byte. Throws ContinuityError.
void prove_continuity(const std::vector<const Step*>& steps) {
    std::vector<LateReader<Input>> inputs;
    for (const Step* step : steps) inputs.emplace_back(step->oplog(), step->oplog());
    Merge merge(std::move(inputs), Continuity::chain);
    while (merge.next()) {
    }
}

/// Throws DataError for a full dump that lacks a file of a collection, as a restore would.
void require_whole_dump(const fs::path& full) {
    const Dump dump(full.string());
    for (const DumpCollection& collection : dump.collections()) static_cast<void>(collection.read_metadata());
}

/// Reads a step to its last byte and compares it with its record.
void verify(const Step& step) {
    std::map<fs::path, const Step::File*> recorded;
    for (const Step::File& file : step.files) recorded.emplace(step.directory / file.path, &file);
    const std::string oplog = step.oplog();
    for (const fs::path& path : files_below(step.directory)) {
        if (path == step.directory / "step.json") continue;
        const auto file = recorded.find(path);
        if (file == recorded.end()) throw DataError(Fault::inconsistent, path.string() + ": not in the step's record");
        const OplogFacts facts = path == oplog ? read_oplog(path) : OplogFacts{.file_sha256 = read_file(path)};
        if (facts.file_sha256 != file->second->sha256)
            throw DataError(Fault::inconsistent, path.string() + ": its SHA-256 is not the one of its record");
        if (path == oplog &&
            (facts.first_sha256 != step.first_sha256 || facts.last_sha256 != step.last_sha256 || facts.range.first != step.first ||
             facts.range.last != step.last || facts.range.entries != step.entries || facts.range.bytes != step.bytes))
            throw DataError(Fault::inconsistent, path.string() + ": not the entries of its record");
        recorded.erase(file);
    }
    if (!recorded.empty()) throw DataError(Fault::incomplete, recorded.begin()->first.string() + ": missing");
    if (step.type == "full") require_whole_dump(step.directory);
}

/// The same of a chain, and that its steps continue each other.
void verify(const Chain& chain) {
    if (!chain.damage.empty()) throw DataError(Fault::inconsistent, chain.damage);
    for (const Step* step : chain.steps()) verify(*step);
    prove_continuity(chain.steps());
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows)
        for (std::size_t i = 0; i < row.size(); ++i) {
            widths.resize(std::max(widths.size(), i + 1));
            widths[i] = std::max(widths[i], row[i].size());
        }
    std::string text;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("{:{}}  ", row[i], widths[i]);
        text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
    return text;
}

/// Those that meet, made one.
std::vector<Window> joined(const std::vector<Window>& windows) {
    std::vector<Window> found;
    for (const Window& window : windows) {
        if (!found.empty() && window.from <= found.back().to)
            found.back().to = std::max(found.back().to, window.to);
        else
            found.push_back(window);
    }
    return found;
}
std::vector<Window> windows(const std::vector<Chain>& chains) {
    std::vector<Window> found;
    for (const Chain& chain : chains)
        if (chain.good) found.push_back({chain.begin(), chain.end()});
    return found;
}
std::vector<Window> windows(const std::vector<ClusterBackup>& clusters) {
    std::vector<Window> found;
    for (const ClusterBackup& one : clusters)
        if (one.good()) std::ranges::copy(one.windows(), std::back_inserter(found));
    return found;
}

std::string step_json(const Step& step) {
    const std::string made_of = step.made_of.empty() ? "" : "\"madeOf\":" + json_quoted(step.made_of) + ",";
    return fmt::format(
        R"({{"type":"{}","number":{},"directory":{},{}{},"entries":{},"oplogBytes":{},"bytes":{},"startedTime":"{}","seconds":{}}})",
        step.type, step.number, json_quoted(step.directory.string()), made_of, json_span(step.first, step.last), step.entries, step.bytes,
        step.size(), to_utc_string(step.started), step.type == "slice" ? 0 : step.seconds()); // that was made within the full backup
}

std::string chain_json(const Chain& chain) {
    std::string text = fmt::format(R"({{"id":{},"state":{},"good":{},"pinned":{},"doubtfulEnd":{},)", json_quoted(chain.id),
                                   json_quoted(chain.state()), chain.good, chain.pinned, chain.doubtful());
    if (chain.good) text += json_span(chain.begin(), chain.end()) + ",";
    if (!chain.damage.empty()) text += fmt::format(R"("damage":{},)", json_quoted(chain.damage));
    if (!chain.unproved.empty()) text += fmt::format(R"("unproved":{},)", json_quoted(chain.unproved));
    text += fmt::format(R"("increments":{},"bytes":{},"steps":[)", chain.increments.size(), chain.size());
    const char* comma = "";
    for (const Step* step : chain.steps()) {
        text += comma + step_json(*step);
        comma = ",";
    }
    return text + "]}";
}

/// The next step, and its time.
struct Due {
    const char* step;
    std::uint64_t number;
    Timestamp at;
};
Due due(Timestamp started, Timestamp finished, std::size_t increments, const BackupConfig& config) {
    const std::uint32_t next = finished.seconds + config.interval;
    const std::uint32_t over = started.seconds + BackupConfig::day;
    if (increments < config.increments && (!config.whole_day || next < over)) return {"inc", increments + 1, {next, 0}};
    return {"full", 0, {config.whole_day ? over : next, 0}};
}
Due due(const std::vector<Chain>& chains, const BackupConfig& config) {
    if (chains.empty() || !chains.back().open()) return {"full", 0, now()};
    const Chain& chain = chains.back();
    return due(chain.full->started, chain.newest().finished, chain.taken(), config);
}
Due due(const std::vector<ClusterBackup>& clusters, const BackupConfig& config) {
    if (clusters.empty() || !clusters.back().open()) return {"full", 0, now()};
    const ClusterBackup& one = clusters.back();
    return due(one.started, one.finished(), one.increments(), config);
}

class Commands {
  public:
    explicit Commands(Tool& tool) : tool_(tool), arguments_(tool.inputs()) {
        if (!tool.has_inputs())
            throw ArgumentError("say what to do: status, list, verify, prune, select or seal, and the backup directory");
        command_ = arguments_[0];
    }

    void run() {
        static const std::map<std::string, void (Commands::*)()> commands = {{"status", &Commands::status},
                                                                             {"compact", &Commands::compact},
                                                                             {"pin", &Commands::pin},
                                                                             {"unpin", &Commands::unpin},
                                                                             {"oldest", &Commands::oldest},
                                                                             {"report", &Commands::report},
                                                                             {"add-drill", &Commands::add_drill},
                                                                             {"uncopied", &Commands::uncopied},
                                                                             {"add-copied", &Commands::add_copied},
                                                                             {"list", &Commands::list},
                                                                             {"verify", &Commands::verify_all},
                                                                             {"prune", &Commands::prune},
                                                                             {"select", &Commands::select},
                                                                             {"config", &Commands::config},
                                                                             {"login", &Commands::login},
                                                                             {"next", &Commands::next},
                                                                             {"seal", &Commands::seal_chain},
                                                                             {"add-full", &Commands::add_full},
                                                                             {"receive", &Commands::receive_oplog},
                                                                             {"add-inc", &Commands::add_increment},
                                                                             {"close", &Commands::close},
                                                                             {"user-databases", &Commands::user_databases},
                                                                             {"open-since", &Commands::open_since},
                                                                             {"members", &Commands::members},
                                                                             {"fresh", &Commands::fresh},
                                                                             {"add-round", &Commands::add_round},
                                                                             {"mend", &Commands::mend},
                                                                             {"unmatched", &Commands::unmatched},
                                                                             {"taken", &Commands::taken},
                                                                             {"fill", &Commands::fill},
                                                                             {"nearest", &Commands::nearest}};
        const auto found = commands.find(command_);
        if (found == commands.end()) {
            std::vector<std::string> names;
            for (const auto& [name, command] : commands) names.push_back(name);
            const std::string meant = tools::nearest(command_, names);
            throw ArgumentError("unknown command '" + command_ + (meant.empty() ? "'" : "': did you mean " + meant + "?"));
        }
        if (tool_.has("html") && command_ != "status") throw ArgumentError("--html goes with status, not with " + command_);
        if (tool_.has("json") && command_ != "status" && command_ != "list" && command_ != "verify")
            throw ArgumentError("--json goes with status, list and verify, not with " + command_);
        if (tool_.has("html") && tool_.has("json")) throw ArgumentError("--html and --json exclude each other");
        (this->*found->second)();
    }

  private:
    std::string argument(std::size_t index, const char* what) const {
        if (arguments_.size() <= index) throw ArgumentError(command_ + ": say the " + what);
        return arguments_[index];
    }
    fs::path directory() const { return argument(1, "backup directory"); }
    std::vector<Chain> chains() const { return load_chains(directory()); }
    std::vector<ClusterBackup> clusters() const { return load_clusters(directory()); }
    bool is_cluster() const {
        return fs::is_directory(directory()) && std::ranges::any_of(fs::directory_iterator(directory()), [](const auto& entry) {
                   return ClusterBackup::is_record(entry.path());
               });
    }

    /// The newest backup that is so, if any. Throws Failure if that or a newer one could not be read: the next moment it may be
    /// whole, and then it is the one that is wanted, or there is more of it.
    template <class Backup, class Wanted>
    static const Backup* newest(const std::vector<Backup>& all, Wanted is_wanted) {
        for (auto one = all.rbegin(); one != all.rend(); ++one) {
            if (std::invoke(&Backup::is_unread, *one)) throw Failure(unverified, std::invoke(&Backup::damage, *one));
            if (std::invoke(is_wanted, *one)) return &*one;
        }
        return nullptr;
    }
    /// The backup that --chain names. "latest", or no name, means the newest good one.
    template <class Backup>
    Backup named(const std::vector<Backup>& all, const char* what) const {
        const std::string id = tool_.optional("chain").value_or("latest");
        if (id == "latest") {
            if (const Backup* const found = newest(all, &Backup::good)) return *found;
            throw Failure(nothing_there, directory().string() + ": no backup");
        }
        const auto found = std::ranges::find(all, id, &Backup::id);
        if (found == all.end()) throw Failure(nothing_there, fmt::format("{}: no {} '{}'", directory().string(), what, id));
        return *found;
    }
    Chain chain(const std::vector<Chain>& all) const { return named(all, "chain"); }
    ClusterBackup cluster(const std::vector<ClusterBackup>& all) const { return named(all, "cluster backup"); }

    BackupConfig config_file(const std::string& path) const {
        return {path, tool_.has("insecure-config") ? BackupConfig::Readable::allow : BackupConfig::Readable::refuse};
    }

    // Commands for people.

    /// What is due after what there is, if the configuration is given.
    template <class Backups>
    std::optional<Due> next_step(const Backups& all) const {
        if (!tool_.has("config")) return std::nullopt;
        return due(all, BackupConfig(tool_.value("config"), BackupConfig::Readable::allow));
    }
    static std::string due_json(const std::optional<Due>& next) {
        if (!next) return "";
        return fmt::format(",\n\"due\":{{\"step\":\"{}\",\"number\":{},\"time\":\"{}\"}}", next->step, next->number,
                           to_utc_string(next->at));
    }
    /// How the last drill ended.
    std::string drill_json() const {
        const auto drill = Drill::last(directory());
        return drill ? ",\n\"drill\":" + drill->to_json() : "";
    }
    /// What is to be copied, if copies are made.
    std::optional<std::vector<Copies::Record>> to_copy() const {
        const Copies copies(directory());
        const bool wanted = tool_.has("config") && !BackupConfig(tool_.value("config"), BackupConfig::Readable::allow).copy_command.empty();
        return copies.any() || wanted ? std::optional(copies.missing()) : std::nullopt;
    }
    std::string uncopied_json() const {
        const auto records = to_copy();
        std::string text;
        if (records)
            for (const auto& [record, hash] : *records) text += (text.empty() ? "" : ",") + json_quoted(Copies::subject(record));
        return records ? ",\n\"uncopied\":[" + text + "]" : "";
    }
    void print_uncopied() const {
        constexpr std::size_t most = 10;
        const auto records = to_copy();
        if (!records) return;
        if (records->empty()) return print("copied: all\n");
        for (std::size_t i = 0; i < std::min(most, records->size()); ++i)
            print("not copied yet: " + escaped(Copies::subject((*records)[i].first)) + "\n");
        if (records->size() > most) print(fmt::format("not copied yet: {} more\n", records->size() - most));
    }
    void print_drill() const {
        const auto drill = Drill::last(directory());
        if (!drill) return;
        if (drill->chain.empty()) return print("last drill: " + drill->result + ": " + drill->reason + "\n");
        print(fmt::format("last drill: {}: chain {}{}: {} after {} s{}{}\n", to_utc_string(drill->started), escaped(drill->chain),
                          drill->to ? " at " + with_time(*drill->to) : "", escaped(drill->result), drill->seconds,
                          drill->reason.empty() ? "" : ": ", escaped(drill->reason)));
    }
    static void print_windows(const std::vector<Window>& found, const std::optional<Due>& next) {
        for (const Window& window : joined(found))
            print(fmt::format("restorable: {} to {}\n", with_time(window.from), with_time(window.to)));
        if (next) print(fmt::format("next: {} {}\n", step_name(*next), next->at > now() ? "at " + to_utc_string(next->at) : "is due"));
    }
    static void print_pin(const std::string& id, bool pinned) {
        if (pinned) print("pinned: " + escaped(id) + "\n");
    }
    static void print_faults(const std::string& of, const Chain& chain) {
        if (!chain.damage.empty())
            print("damaged: " + escaped(chain.damage) + "\n");
        else if (!chain.unproved.empty())
            print(fmt::format("not proved: {}: {}\n", escaped(of + chain.id), escaped(chain.unproved)));
    }
    /// A row of a table, of a chain or what has chains.
    template <class Backup>
    static std::vector<std::string> row(const std::string& name, const Backup& one, bool good, std::size_t increments) {
        return {escaped(name),
                one.state(),
                good ? to_utc_string(one.begin()) : "-",
                good ? to_utc_string(one.end()) + (one.doubtful() ? " (doubtful)" : "") : "-",
                std::to_string(increments),
                human_size(static_cast<double>(one.size()))};
    }

    /// The status as JSON; `name` is the field of the chains or clusters.
    template <class Backup>
    std::string status_json(const char* name, const std::vector<Backup>& all, std::string (*as_json)(const Backup&),
                            const std::optional<Due>& next) const {
        std::string text = fmt::format("{{{},\"directory\":{},\n\"{}\":[", json_format, json_quoted(directory().string()), name);
        const char* comma = "\n";
        for (const Backup& one : all) {
            text += comma + as_json(one);
            comma = ",\n";
        }
        return text + "],\n\"windows\":" + windows_json(windows(all)) + due_json(next) + oplogs_json(Overview(all, directory())) +
               drill_json() + uncopied_json() + "}\n";
    }
    static std::string oplogs_json(const Overview& overview) {
        std::string text;
        for (const Watched& one : overview.sources)
            if (one.oplog) text += (text.empty() ? "" : ",") + one.to_json();
        return text.empty() ? "" : ",\n\"oplogs\":[" + text + "]";
    }

    /// The status as a page.
    template <class Backup>
    void write_page(Output page, const char* name, std::vector<Backup> all, std::string (*as_json)(const Backup&),
                    const std::optional<Due>& next) {
        Status status;
        status.directory = directory();
        status.json = status_json(name, all, as_json, next);
        status.windows = joined(windows(all));
        if (next) status.next = {step_name(*next), next->at};
        status.uncopied = to_copy();
        if (tool_.has("config")) status.interval = BackupConfig(tool_.value("config"), BackupConfig::Readable::allow).interval;
        status.now = now();
        if constexpr (std::is_same_v<Backup, Chain>)
            status.chains = std::move(all);
        else
            status.clusters = std::move(all);
        page.write(StatusPage(std::move(status)).text());
        tool_.finish(page);
    }
    static std::string step_name(const Due& next) {
        return next.step == std::string_view("inc") ? fmt::format("increment {}", next.number) : "full backup";
    }
    /// The output for a page, if one is wanted.
    std::optional<Output> page() {
        return tool_.has("html") ? std::optional(tool_.open_output(Content::text, "html", {directory().string()})) : std::nullopt;
    }

    /// Says where chains lie that only the lost record of a cluster has named; empty if there are none.
    std::string unnamed_chains() const {
        std::string found;
        for (const std::string& member : members_in(directory())) found += (found.empty() ? "" : ", ") + (directory() / member).string();
        return found.empty() ? "" : directory().string() + ": no record of a cluster's backup, but chains in " + found;
    }
    void warn_of_unnamed(const std::vector<Chain>& all) const {
        if (!all.empty()) return;
        if (const std::string unnamed = unnamed_chains(); !unnamed.empty()) tool_.warn(unnamed);
    }

    void status() {
        if (is_cluster()) return cluster_status();
        auto page = this->page();
        const std::vector<Chain> all = chains();
        warn_of_unnamed(all);
        const std::optional<Due> next = next_step(all);
        if (page) return write_page(std::move(*page), "chains", all, chain_json, next);
        if (tool_.has("json")) return print(status_json("chains", all, chain_json, next));
        std::vector<std::vector<std::string>> rows = {{"CHAIN", "STATE", "RESTORABLE FROM", "TO", "INCREMENTS", "SIZE"}};
        for (const Chain& chain : all) rows.push_back(row(chain.id, chain, chain.good, chain.increments.size()));
        print(table(rows));
        for (const Chain& chain : all) print_faults("", chain);
        for (const Chain& chain : all) print_pin(chain.id, chain.pinned);
        print_windows(windows(all), next);
        print_drill();
        print_uncopied();
    }

    void cluster_status() {
        auto page = this->page();
        const std::vector<ClusterBackup> all = clusters();
        const std::optional<Due> next = next_step(all);
        if (page) return write_page(std::move(*page), "clusters", all, cluster_json, next);
        if (tool_.has("json")) return print(status_json("clusters", all, cluster_json, next));
        std::vector<std::vector<std::string>> rows = {{"CLUSTER, MEMBER", "STATE", "RESTORABLE FROM", "TO", "INCREMENTS", "SIZE"}};
        for (const ClusterBackup& one : all) {
            rows.push_back(row(one.id, one, one.good(), one.increments()));
            for (const ClusterBackup::Member& member : one.members)
                rows.push_back(
                    row("  " + member.name + "/" + member.chain_id, member.chain, member.chain.good, member.chain.increments.size()));
        }
        print(table(rows));
        for (const ClusterBackup& one : all) {
            if (!one.record_damage.empty()) print("damaged: " + escaped(one.record_damage) + "\n");
            for (const ClusterBackup::Member& member : one.members) {
                print_faults(member.name + "/", member.chain);
                if (member.removed)
                    print(fmt::format("removed: {} is no member from {} on\n", escaped(member.name), with_time(*member.removed)));
            }
        }
        for (const ClusterBackup& one : all) print_pin(one.id, one.pinned);
        if (!all.empty())
            for (const ClusterBackup::Member& member : all.back().members)
                if (all.back().holds_back(member))
                    print(fmt::format("held back by: {}, whose chain ends at {}, before {}\n", escaped(member.name),
                                      with_time(member.chain.end()), with_time(all.back().wanted)));
        print_windows(windows(all), next);
        print_drill();
        print_uncopied();
    }

    static std::string cluster_json(const ClusterBackup& one) {
        std::string text = fmt::format(R"({{"id":{},"state":{},"good":{},"pinned":{},"doubtfulEnd":{},)", json_quoted(one.id),
                                       json_quoted(one.state()), one.good(), one.pinned, one.doubtful());
        if (one.good()) text += json_span(one.begin(), one.end()) + ",";
        if (!one.rounds.empty())
            text += fmt::format(R"("common":"{}","commonTime":"{}",)", to_string(one.rounds.back().common),
                                to_utc_string(one.rounds.back().common));
        if (const std::string damage = one.damage(); !damage.empty()) text += fmt::format(R"("damage":{},)", json_quoted(damage));
        text += fmt::format(R"("increments":{},"bytes":{},"members":[)", one.increments(), one.size());
        const char* comma = "\n";
        for (const ClusterBackup::Member& member : one.members) {
            text += fmt::format(R"({}{{"name":{},"server":{},"holdsBack":{},)", comma, json_quoted(member.name), json_quoted(member.server),
                                one.holds_back(member));
            if (member.removed) text += fmt::format(R"("removed":"{}",)", to_string(*member.removed));
            text += "\"chain\":" + chain_json(member.chain) + "}";
            comma = ",\n";
        }
        return text + "]}";
    }

    static std::string windows_json(const std::vector<Window>& found) {
        std::string text = "[";
        for (const Window& window : joined(found)) text += (text.size() > 1 ? ",{" : "{") + json_span(window.from, window.to) + "}";
        return text + "]";
    }

    static void print_windows_json(const std::vector<Window>& found) {
        print(fmt::format("{{{},\"windows\":{}}}\n", json_format, windows_json(found)));
    }

    void list() {
        if (is_cluster()) return cluster_list();
        const std::vector<Chain> all = chains();
        warn_of_unnamed(all);
        for (const Chain& chain : all) // on stderr, because the JSON consists of windows
            if (!chain.damage.empty() || !chain.unproved.empty())
                tool_.warn(fmt::format("chain {} is {}: {}", chain.id, chain.damage.empty() ? "not proved" : "damaged",
                                       chain.damage.empty() ? chain.unproved : chain.damage));
        if (tool_.has("json")) return print_windows_json(windows(all));
        std::vector<std::vector<std::string>> rows = {{"CHAIN", "FROM", "", "TO", "", ""}};
        for (const Chain& chain : all) {
            const char* const note = !chain.damage.empty()     ? "damaged"
                                     : chain.doubtful()        ? "doubtful end"
                                     : !chain.unproved.empty() ? "not proved"
                                                               : "";
            rows.push_back(chain.good ? std::vector<std::string>{escaped(chain.id), to_string(chain.begin()), to_utc_string(chain.begin()),
                                                                 to_string(chain.end()), to_utc_string(chain.end()), note}
                                      : std::vector<std::string>{escaped(chain.id), "-", "", "-", "", note});
        }
        print(rows.size() > 1 ? table(rows) : "nothing to restore\n");
    }

    void cluster_list() {
        const std::vector<ClusterBackup> all = clusters();
        if (tool_.has("json")) return print_windows_json(windows(all));
        std::vector<std::vector<std::string>> rows = {{"CLUSTER", "FROM", "", "TO", "", ""}};
        for (const ClusterBackup& one : all) {
            const std::string damage = one.damage();
            if (!damage.empty()) tool_.warn("cluster backup " + one.id + " is damaged: " + damage);
            if (!one.good()) rows.push_back({escaped(one.id), "-", "", "-", "", "damaged"});
            if (!one.good()) continue;
            for (const Window& window : one.windows())
                rows.push_back({escaped(one.id), to_string(window.from), to_utc_string(window.from), to_string(window.to),
                                to_utc_string(window.to),
                                !damage.empty()  ? "damaged"
                                : one.doubtful() ? "doubtful end"
                                                 : ""});
        }
        print(table(rows));
    }

    /// What verification finds out, a line or an element each.
    struct Verdicts {
        const Tool& tool;
        bool bad = false;
        std::string json{};

        void add(const std::string& id, const std::string& problem, const std::string& note) {
            const std::string unproved = problem.empty() ? note : "";
            bad = bad || !problem.empty();
            json += fmt::format("{}{{\"id\":{},\"good\":{}{}{}}}", json.empty() ? "" : ",\n", json_quoted(id), problem.empty(),
                                problem.empty() ? "" : ",\"damage\":" + json_quoted(problem),
                                unproved.empty() ? "" : ",\"unproved\":" + json_quoted(unproved));
            if (!tool.has("json"))
                print(fmt::format("{}  {}{}\n", escaped(id), problem.empty() ? "ok" : "BAD: " + escaped(problem),
                                  unproved.empty() ? "" : "; not proved: " + escaped(unproved)));
        }
        void add(const std::string& id, const Chain& chain) {
            std::string problem;
            try {
                verify(chain);
            } catch (const std::bad_alloc&) {
                throw; // this error says nothing about the chain
            } catch (const std::exception& error) {
                if (!fs::exists(chain.directory)) return; // pruned meanwhile
                if (const Chain now = Chain::load(chain.directory); now.damage.empty() && now.head() != chain.head())
                    return add(id, now); // it goes on, or was joined
                problem = reason_of(error);
            }
            add(id, problem, chain.unproved);
        }
    };

    void verify_all() {
        if (is_cluster()) return verify_clusters();
        std::vector<Chain> all = chains();
        if (tool_.has("chain")) all = {chain(all)};
        if (all.empty()) {
            if (const std::string unnamed = unnamed_chains(); !unnamed.empty()) throw Failure(unverified, unnamed);
            throw Failure(nothing_there, directory().string() + ": no backup");
        }
        Verdicts verdicts{tool_};
        for (const Chain& chain : all) verdicts.add(chain.id, chain);
        if (tool_.has("json")) print(fmt::format("{{{},\"chains\":[{}]}}\n", json_format, verdicts.json));
        if (verdicts.bad) throw Failure(unverified, "verification failed");
    }

    /// Every chain of every member, and of each cluster backup, that all that it names is there and has a time in common.
    void verify_clusters() {
        std::vector<ClusterBackup> all = clusters();
        if (tool_.has("chain")) all = {cluster(all)};
        Verdicts chains{tool_};
        if (tool_.has("chain")) {
            for (const ClusterBackup::Member& member : all.front().members)
                if (is_there(member.chain.directory)) chains.add(member.name + "/" + member.chain_id, member.chain);
        } else {
            for (const std::string& member : members_in(directory()))
                for (const Chain& chain : load_chains(directory() / member)) chains.add(member + "/" + chain.id, chain);
        }
        Verdicts windows{tool_};
        for (const ClusterBackup& one : all) {
            std::string problem = one.damage();
            if (problem.empty() && !one.good()) problem = "its chains have no moment in common";
            if (!problem.empty() && !fs::exists(one.record)) continue; // pruned meanwhile
            windows.add(one.id, problem, "");
            if (problem.empty() && !tool_.has("json"))
                for (const Window& window : one.windows())
                    print(fmt::format("{}  all members: {} to {}\n", escaped(one.id), with_time(window.from), with_time(window.to)));
        }
        if (tool_.has("json")) print(fmt::format("{{{},\"chains\":[{}],\n\"clusters\":[{}]}}\n", json_format, chains.json, windows.json));
        if (chains.bad || windows.bad) throw Failure(unverified, "verification failed");
    }

    /// Renames a chain or a step first, so that what an interrupted removal leaves is none.
    void remove(const Chain& chain) const { remove(chain.directory); }
    void remove(const fs::path& directory) const {
        const fs::path gone = directory.parent_path() / (".pruned-" + directory.filename().string());
        fs::rename(directory, gone);
        oplog::detail::sync_name(gone.string(), [&] { return ::rename(gone.c_str(), directory.c_str()) == 0; });
        const auto remove = [](const char* path, const struct ::stat*, int, ::FTW*) { return ::remove(path); };
        if (::nftw(gone.c_str(), remove, 16, FTW_DEPTH | FTW_PHYS) != 0)
            tool_.warn(fmt::format("{}: could not be removed: {}", gone.string(), std::strerror(errno)));
    }

    /// Joins the increments of each hour that is over into one, in the chains that can be continued or are closed.
    void compact() {
        std::vector<Chain> all;
        if (is_cluster())
            for (const std::string& member : members_in(directory()))
                std::ranges::move(load_chains(directory() / member), std::back_inserter(all));
        else
            all = chains();
        mend(all);
        for (const Chain& found : all) {
            Chain one = found;
            if (!one.damage.empty()) tool_.warn("chain " + one.id + " is damaged: " + one.damage);
            if (!one.damage.empty() || !one.has_head) continue;
            clear_joined(one);
            const std::size_t before = one.increments.size();
            for (std::size_t first = 0, end = 0; first < one.increments.size(); first = end) {
                const auto hour = [&](std::size_t i) { return one.increments[i].last.seconds / 3600; };
                for (end = first + 1; end < one.increments.size() && hour(end) == hour(first) && one.increments[end].joined.empty();) ++end;
                if (end == one.increments.size()) break; // its hour may go on, and the next increment follows the newest
                if (end - first == 1 || !one.increments[first].joined.empty()) continue;
                try {
                    join(one, first, end);
                } catch (...) {
                    clear_joined(one); // where the disk is full it needs the room
                    throw;
                }
                end = first + 1;
            }
            if (one.increments.size() < before)
                print(fmt::format("{}  {} increments, were {}\n", escaped(one.id), one.increments.size(), before));
        }
    }

    /// Removes what a run that was ended has left of joining.
    void clear_joined(const Chain& chain) const {
        if (!is_there(chain.directory / "inc")) return;
        std::vector<fs::path> left;
        for (const fs::directory_entry& entry : fs::directory_iterator(chain.directory / "inc"))
            if (entry.path().filename().string().starts_with('.')) left.push_back(entry.path());
        for (const fs::path& path : left) fs::remove_all(path);
        for (const fs::path& path : chain.replaced) remove(path);
    }

    /// Makes one increment of those of a chain from `first` to before `end`.
    void join(Chain& one, std::size_t first, std::size_t end) const {
        const std::vector<Step> old(one.increments.begin() + static_cast<std::ptrdiff_t>(first),
                                    one.increments.begin() + static_cast<std::ptrdiff_t>(end));
        const fs::path made = one.directory / "inc" / ".joined";
        std::vector<LateReader<Input>> inputs;
        std::uint64_t entries = 1;
        Step step;
        verified([&] {
            for (const Step& each : old) {
                verify(each);
                inputs.emplace_back(each.oplog(), each.oplog());
                entries += each.entries - 1;
                step.joined.push_back({each.directory.filename().string(), each.sha256});
            }
        });
        for (const Step::File& file : old.back().files) {
            fs::create_directories((made / file.path).parent_path());
            if (old.back().directory / file.path != old.back().oplog()) fs::copy_file(old.back().directory / file.path, made / file.path);
        }
        Writer writer((made / fs::path(old.back().oplog()).lexically_relative(old.back().directory)).string());
        Merge merge(std::move(inputs), Continuity::chain);
        for (const EntryView& entry : merge) writer.write(entry);
        writer.close();
        step.directory = made;
        step.type = "inc";
        step.number = old.back().number;
        step.started = old.front().started;
        step.finished = old.back().finished;
        step.versions = old.back().versions;
        examine(step);
        if (step.entries != entries || step.first_sha256 != old.front().first_sha256 || step.last_sha256 != old.back().last_sha256)
            throw DataError(Fault::inconsistent, made.string() + ": not what the increments have that are joined in it");
        step.previous = old.front().previous;
        seal(step, nullptr);
        publish(made, one.directory / "inc", step.started, [&](const fs::path& published) {
            step.directory = published;
            one.increments.erase(one.increments.begin() + static_cast<std::ptrdiff_t>(first),
                                 one.increments.begin() + static_cast<std::ptrdiff_t>(end));
            one.increments.insert(one.increments.begin() + static_cast<std::ptrdiff_t>(first), step);
            write_head(one);
        });
        for (const Step& each : old) remove(each.directory);
    }

    /// What --keep, --keep-days and --keep-weekly say.
    Retention retention() const {
        if (!tool_.has("keep") && !tool_.has("keep-days") && !tool_.has("keep-weekly"))
            throw ArgumentError("prune: say how many chains to keep: --keep N, --keep-days N or --keep-weekly N");
        Retention what;
        for (const auto& [option, number] :
             {std::pair("keep", &what.newest), std::pair("keep-days", &what.days), std::pair("keep-weekly", &what.weeks)})
            if (tool_.has(option) && (*number = tool_.value<unsigned>(option)) == 0)
                throw ArgumentError(fmt::format("prune: the newest good chain is always kept, so --{} is 1 or more", option));
        return what;
    }

    void prune() {
        const Retention what = retention();
        if (is_cluster()) return prune_clusters(what);
        const std::vector<Chain> all = chains();
        std::vector<Retention::Backup> backups;
        for (const Chain& one : all) {
            if (!one.damage.empty()) tool_.warn("chain " + one.id + " is damaged: " + one.damage);
            backups.push_back({one.good ? one.begin() : Timestamp{}, one.good ? one.end() : Timestamp{}, one.good, one.pinned});
        }
        const std::vector<bool> kept = what.kept(backups);
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (kept[i] || all[i].is_unread) continue; // what is unread may be a good chain, and a newer one
            print(fmt::format("{}  {}\n", escaped(all[i].id), human_size(static_cast<double>(all[i].size()))));
            if (!tool_.has("dry-run")) remove(all[i]);
        }
    }

    /// As of chains; and with them the members' chains that none names of those that stay, and that are older than those that
    /// stay by their number or their days.
    void prune_clusters(const Retention& what) {
        const std::vector<ClusterBackup> all = clusters();
        std::vector<Retention::Backup> backups;
        for (const ClusterBackup& one : all) {
            if (const std::string damage = one.damage(); !damage.empty()) tool_.warn("cluster backup " + one.id + " is damaged: " + damage);
            const bool good = one.good();
            backups.push_back({good ? one.begin() : Timestamp{}, good ? one.end() : Timestamp{}, good, one.pinned});
        }
        const std::vector<bool> stays = what.kept(backups);
        const std::size_t first = what.first_kept(backups);
        std::set<fs::path> kept, dropped;
        std::optional<Timestamp> since;
        bool are_all_known = true; // the chains that a record names, or did before it was lost
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (!all[i].record_damage.empty()) {
                are_all_known = false;
                continue;
            }
            const bool goes = !stays[i] && !all[i].is_unread();
            if (goes) {
                print(fmt::format("{}  {}\n", escaped(all[i].id), human_size(static_cast<double>(all[i].size()))));
                if (!tool_.has("dry-run")) fs::remove(all[i].record); // before its chains: what is named must be there
            }
            for (const ClusterBackup::Member& member : all[i].members) {
                (goes ? dropped : kept).insert(member.chain.directory);
                if (!goes && i >= first && member.chain.good) since = std::min(since.value_or(member.chain.begin()), member.chain.begin());
            }
        }
        for (const fs::directory_entry& entry : fs::directory_iterator(directory()))
            if (entry.path().extension() == ".pinned" &&
                std::ranges::none_of(all, [&](const ClusterBackup& one) { return one.pin() == entry.path(); }))
                are_all_known = false;
        if (!tool_.has("dry-run")) oplog::detail::sync_directory(directory().string());
        for (const std::string& member : members_in(directory())) {
            for (const Chain& chain : load_chains(directory() / member)) {
                if (kept.contains(chain.directory) || chain.pinned) continue;
                const bool is_left_over = !dropped.contains(chain.directory); // by a run that failed, and older than what stays
                if (is_left_over && (!are_all_known || !since || (chain.full && chain.begin() >= *since))) continue;
                if (chain.is_unread) {
                    tool_.warn("chain " + member + "/" + chain.id + " is damaged: " + chain.damage);
                    continue;
                }
                if (is_left_over)
                    print(fmt::format("{}  {}\n", escaped(member + "/" + chain.id), human_size(static_cast<double>(chain.size()))));
                if (!tool_.has("dry-run")) remove(chain);
            }
            if (tool_.has("dry-run")) continue;
            std::error_code is_used;
            fs::remove(directory() / member, is_used); // of a shard that is gone
        }
    }

    /// The file that pins what --chain names.
    fs::path pin_of_chain() const {
        if (!tool_.has("chain")) throw ArgumentError(command_ + ": say which chain: --chain ID");
        return is_cluster() ? cluster(clusters()).pin() : chain(chains()).pin();
    }
    void pin() {
        FileSink file(pin_of_chain().string(), IfExists::replace, Content::text);
        file.close();
    }
    void unpin() {
        const fs::path path = pin_of_chain();
        fs::remove(path);
        oplog::detail::sync_directory(path.parent_path().string());
    }

    /// Writes a chain.json that names what is there, after proving all of it. For a chain of an older version, or when
    /// it is known what is missing.
    void seal_chain() {
        if (!tool_.has("chain")) throw ArgumentError("seal: say which chain: --chain ID");
        const Chain found = chain_or_newest(chains());
        if (found.is_unread) throw Failure(unverified, found.damage); // it may not be the newest
        const Chain one = Chain::load(found.directory, Chain::Head::ignore);
        verified([&] { verify(one); });
        write_head(one);
        print(fmt::format("{}  {} increments, to {}\n", escaped(one.id), one.increments.size(), with_time(one.end())));
    }

    /// Writes into each chain.json what a killed run did not add, and what an older version made.
    void mend(const std::vector<Chain>& all) const {
        for (const Chain& one : all) {
            if (!one.is_behind || !one.damage.empty()) continue;
            write_head(one);
            tool_.warn(one.unproved.substr(0, one.unproved.find(": ")) + ": a run ended before chain.json named it, which it does now");
        }
    }

    /// Selects the steps that a restore needs, and says what it gives.
    void select() {
        if (tool_.has("to") && tool_.has("before")) throw ArgumentError("--to and --before exclude each other");
        if (is_cluster()) return select_cluster();
        const std::vector<Chain> all = chains();
        const std::optional<TimeSpan> time = wanted(all);
        const auto covers = [&](const Chain& one) {
            return one.good && (!time || (one.begin() <= time->last && time->first <= one.end()));
        };
        std::vector<Chain> candidates = all;
        if (tool_.has("chain")) candidates = {chain(all)};
        const Chain& one = newest_of(candidates, covers, time); // it has the least to replay
        // What follows the damage is not among the steps.
        if (!one.damage.empty()) tool_.warn("chain " + one.id + " is damaged: " + one.damage);
        for (const Chain* newer = &candidates.back(); newer != &one; --newer)
            if (!newer->good) tool_.warn("chain " + newer->id + ", which is newer, is damaged and not taken: " + newer->damage);
        const Timestamp limit = time ? time->last : one.end();
        if (time && time->last > one.end() && time->first != time->last)
            tool_.warn("the chain ends within " + tool_.value("to") + ", at " + to_string(one.end()));
        if (one.doubtful() && limit >= one.newest().first)
            tool_.warn("the end of chain " + one.id +
                       " is doubtful: after it the source's history changed, so its last entries may have been rolled back");

        std::string text = fmt::format("chain={}\nfull={}\nsteps=({}", shell_quoted(one.id), shell_quoted(one.full->directory.string()),
                                       shell_quoted(one.slice->directory.string()));
        const Step* last = &*one.full;
        for (const Step& step : one.increments) {
            if (step.first > limit) break;
            text += " " + shell_quoted(step.directory.string());
            last = &step;
        }
        Timestamp stands_at = last->first;
        for (const EntryView entry : Input(last->oplog()))
            if (entry.ts() <= limit) stands_at = entry.ts();
        const bool gzip = std::ranges::any_of(
            one.full->files, [](const Step::File& file) { return file.path.ends_with(".json.gz") || file.path.ends_with(".bson.gz"); });
        text += fmt::format(")\ngzip=({}", gzip ? "--gzip" : "");
        print(text + fmt::format(")\nstands_at={}\nstands_at_time={}\n", shell_quoted(to_string(stands_at)),
                                 shell_quoted(to_utc_string(stands_at))));
    }

    /// The chains that a restore of a cluster needs.
    void select_cluster() {
        std::vector<ClusterBackup> candidates = clusters();
        const std::optional<TimeSpan> time = wanted(candidates);
        if (tool_.has("chain")) candidates = {cluster(candidates)};
        const auto covers = [&](const ClusterBackup& one) {
            return one.good() && (!time || (one.begin() <= time->last && time->first <= one.end()));
        };
        const ClusterBackup& one = newest_of(candidates, covers, time);
        if (const std::string damage = one.damage(); !damage.empty()) tool_.warn("cluster backup " + one.id + " is damaged: " + damage);
        for (const ClusterBackup* newer = &candidates.back(); newer != &one; --newer)
            if (!newer->good())
                tool_.warn("cluster backup " + newer->id + ", which is newer, is damaged and not taken: " + newer->damage());
        if (one.doubtful())
            tool_.warn("the end of cluster backup " + one.id +
                       " is doubtful: after it a member's history changed, so its last entries may have been rolled back");
        std::string text = fmt::format("chain={}\nmembers=(", shell_quoted(one.id));
        for (const ClusterBackup::Member& member : one.members) text += " " + shell_quoted(member.chain.directory.string());
        print(text + fmt::format(" )\nwhole_until={}\n", one.whole_until ? to_string(*one.whole_until) : ""));
    }

    /// The newest backup that covers the requested moment, or any. Throws Failure if there is none.
    template <class Backup, class Covers>
    const Backup& newest_of(const std::vector<Backup>& candidates, Covers covers, const std::optional<TimeSpan>& time) const {
        if (const Backup* const found = newest(candidates, covers)) return *found;
        if (std::ranges::none_of(candidates, &Backup::good)) throw Failure(nothing_there, directory().string() + ": no backup to restore");
        throw Failure(nothing_there, outside(windows(candidates), time->first));
    }

    /// The requested moment, if any: all entries up to its last. A chain may begin at any time up to that.
    template <class Backup>
    std::optional<TimeSpan> wanted(const std::vector<Backup>& all) const {
        const char* const bound = tool_.has("to") ? "to" : "before";
        if (!tool_.has(bound)) return std::nullopt;
        Timestamp end;
        for (const Window& one : windows(all)) end = std::max(end, one.to);
        const TimeSpan time = tool_.time(bound, end);
        if (tool_.value(bound).starts_with('-')) {
            newest(all, &Backup::good); // what is unread may end later
            // It would mean another time to tools that see less.
            print(fmt::format("bounds=(--{} {})\n", bound, time.first.seconds));
        }
        if (tool_.has("to")) return time;
        if (time.first == Timestamp::min()) throw ArgumentError("there is nothing before " + tool_.value("before"));
        const Timestamp last = Timestamp::from_packed(time.first.packed() - 1);
        return TimeSpan{last, last};
    }

    static std::string outside(const std::vector<Window>& candidates, Timestamp wanted) {
        std::optional<Timestamp> before, after;
        for (const Window& one : candidates) {
            if (one.to < wanted && (!before || one.to > *before)) before = one.to;
            if (one.from > wanted && (!after || one.from < *after)) after = one.from;
        }
        std::string text = "nothing restores to " + with_time(wanted) + "; the nearest restorable times are ";
        if (before) text += with_time(*before);
        if (before && after) text += " and ";
        if (after) text += with_time(*after);
        return text;
    }

    // Commands for the scripts, which print shell assignments on stdout.

    std::string target_from_stdin() const {
        std::string text;
        char c = 0;
        FileSource in("-"); // to its end, in whatever pieces it is delivered
        while (in.read(&c, 1) == 1) text += c;
        return std::string(tools::detail::trimmed(text));
    }

    static Login source(const BackupConfig& config, const Tool& tool) {
        return tool.has("member") ? config.member(tool.value("member"), tool.optional("server").value_or("")) : config.source();
    }

    void config() {
        const BackupConfig config = config_file(argument(1, "configuration file"));
        if (tool_.has("target")) {
            print("target_uri=" + shell_quoted(config.target(target_from_stdin()).uri) + "\n");
            return;
        }
        const Login login = source(config, tool_);
        const std::string& uri = login.uri;
        ConnectionString majority(uri);
        majority.set("readConcernLevel", "majority");
        std::string text;
        const auto set = [&](const char* name, const auto& value) {
            text += fmt::format("{}={}\n", name, shell_quoted(fmt::format("{}", value)));
        };
        set("uri", uri);
        set("oplog_uri", majority.without_password());
        if (tool_.has("with-login")) set("secret", mongodump_config(login));
        set("mongo_home", config.mongo_home);
        set("dbbak_dir", config.dbbak_dir + (tool_.has("member") ? "/" + tool_.value("member") : ""));
        set("cluster", config.cluster ? "yes" : "");
        set("log_file", config.log_file);
        set("lang", config.lang);
        set("on_gap", config.on_gap);
        set("compress", config.compress);
        set("full_method", config.full_method);
        set("suffix", suffix(config.compress));
        set("metrics_file", config.metrics_file);
        set("on_event", config.on_event);
        set("copy_command", config.copy_command);
        set("compact", config.compact ? "yes" : "");
        set("interval", config.interval);
        set("interval_text", config.interval_text);
        set("increments", config.increments);
        set("whole_day", config.whole_day ? 1 : 0);
        text += "keep=(";
        for (const auto& [option, number] : {std::pair("--keep", config.keep_chains), std::pair("--keep-days", config.keep_days),
                                             std::pair("--keep-weekly", config.keep_weekly)})
            if (number) text += fmt::format(" {} {}", option, *number);
        text += " )\nextra_dump_args=(";
        for (const std::string& argument : config.extra_dump_args) text += " " + shell_quoted(argument);
        print(text + " )\n");
    }

    /// Prints the password in the form of mongodump's --config file.
    void login() {
        const BackupConfig config = config_file(argument(1, "configuration file"));
        const Login login = tool_.has("target") ? config.target(target_from_stdin()) : source(config, tool_);
        if (tool_.has("mongosh")) {
            ConnectionString uri(login.uri);
            uri.password = login.password;
            print("db = connect(" + json_quoted(uri.with_password()) + ");\n"); // a JSON string is one of JavaScript
            return;
        }
        print(mongodump_config(login) + "\n");
    }
    /// The password in the form of mongodump's --config file: a JSON string is a YAML string.
    static std::string mongodump_config(const Login& login) { return "password: " + json_quoted(login.password); }

    /// Records how a drill ended, which restored --chain to the moment --to.
    void add_drill() {
        const std::uint32_t started = tool_.value<std::uint32_t>("started");
        const Drill drill{{started, 0},
                          tool_.value("chain"),
                          tool_.has("to") ? std::optional(parse_timestamp(tool_.value("to"))) : std::nullopt,
                          tool_.value("result"),
                          tool_.optional("reason").value_or(""),
                          std::int64_t{now().seconds} - started,
                          tool_.value<std::uint32_t>("seconds")};
        drill.add(directory());
    }

    /// Prints the help on stdin as wide as it may be.
    void fill() { print(filled(std::string(std::istreambuf_iterator<char>(std::cin), {}))); }
    /// Prints which option or command of the help on stdin may be meant by a word.
    void nearest() {
        std::vector<std::string> words;
        for (std::string line; std::getline(std::cin, line);) {
            const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
            if (indent == 2) words.push_back(line.substr(2, line.find(' ', 2) - 2));
            for (std::size_t at = 0; (at = line.find("--", at)) != line.npos; at = line.find_first_not_of('-', at))
                words.push_back(line.substr(at, line.find_first_not_of("-abcdefghijklmnopqrstuvwxyz", at) - at));
        }
        const std::string meant = tools::nearest(argument(1, "word that was typed, after --"), words);
        if (!meant.empty()) print("hint: did you mean " + meant + "?\n");
    }

    /// Prints what is to be copied: of each record the SHA-256 and the path.
    void uncopied() {
        for (const auto& [record, hash] : Copies(directory()).missing()) print(hash + "  " + record + "\n");
    }
    /// Records that what is listed on stdin in that way has been.
    void add_copied() { Copies(directory()).add(Copies::read(std::cin)); }

    /// Reads the beginning of an oplog that a mongodump writes, and prints its first entry's time, and whether there were entries before.
    void oldest() {
        argument(1, "mongodump and its arguments, after --");
        const PipedCommand writer({arguments_.begin() + 1, arguments_.end()}, STDERR_FILENO);
        for (const EntryView entry : Input("-")) {
            const auto message = entry.o().find("msg"); // a set's first entry
            const bool is_first = entry.op() == "n" && message && message->is(bson::Type::string) && message->string() == "initiating set";
            return print(fmt::format("oldest={}\noverwritten={}\n", to_string(entry.ts()), !is_first));
        }
        throw Failure(nothing_there, "stdin: no entries");
    }

    /// Writes the metrics_file of --config after a --step that ended, and prints what a command should know of it.
    void report() {
        const BackupConfig config(tool_.value("config"), BackupConfig::Readable::allow);
        const StepEnds::End end{tool_.value("step"), tool_.value<int>("code"), now().seconds, tool_.value<std::uint32_t>("seconds")};
        std::vector<Chain> chains;
        std::vector<ClusterBackup> clusters;
        if (config.cluster)
            clusters = this->clusters();
        else
            chains = this->chains();
        Overview overview = config.cluster ? Overview(clusters, directory()) : Overview(chains, directory());
        if (const Copies copies(directory()); copies.any() || !config.copy_command.empty()) overview.uncopied = copies.missing().size();
        const oplog::detail::Descriptor lock(::open(directory().c_str(), O_RDONLY | O_CLOEXEC)); // a copy may end while a step does
        if (!lock.is_open() || ::flock(lock.get(), LOCK_EX) != 0) oplog::detail::throw_errno(directory().string());
        StepEnds ends = StepEnds::load(directory());
        ends.add(end);
        const auto try_to = [&](const auto& write) { // where the disk is full there is the more to tell
            try {
                write();
            } catch (const std::exception& error) {
                tool_.warn(error.what());
            }
        };
        try_to([&] { ends.save(directory()); });
        if (!config.metrics_file.empty())
            try_to([&] {
                ::umask(022); // it is for others, who find no secrets in it
                FileSink file(config.metrics_file, IfExists::replace, Content::text);
                const std::string text = Metrics(overview, ends, config.interval, Drill::last(directory()), directory()).text();
                file.write(text.data(), text.size());
                file.close();
            });
        const bool is_closed = overview.state.starts_with("closed: ");
        const std::string reason = tool_.optional("reason").value_or(config.cluster && is_closed ? overview.state.substr(8) : "failure");
        std::string text = fmt::format("OPLOG_EVENT={}\nOPLOG_STEP={}\nOPLOG_EXIT_CODE={}\nOPLOG_SECONDS={}\n",
                                       end.code == 0               ? "success"
                                       : end.code == discontinuity ? reason
                                                                   : "failure",
                                       end.step, end.code, end.seconds);
        for (const std::string& fact : facts(overview)) text += escaped(fact) + "\n";
        print(text);
    }

    void next() {
        if (is_cluster()) return next_round();
        const std::vector<Chain> all = chains();
        if (all.empty()) throw Failure(nothing_there, directory().string() + ": no backup to continue");
        const Chain one = tool_.has("chain") ? chain(all) : all.back();
        require_open(one);
        print(fmt::format("chain={}\nnumber={}\nlast={}\nbegun={}\nfinished={}\n", shell_quoted(one.id), one.taken() + 1,
                          to_string(one.end()), one.full->started.seconds, one.newest().finished.seconds));
    }

    /// As of a chain; and the members with their chains and servers, and how far the furthest of these chains reaches.
    void next_round() {
        const std::vector<ClusterBackup> all = clusters();
        const ClusterBackup& one = all.back();
        if (!one.open())
            throw Failure(nothing_there, "cluster backup " + one.id + " cannot be continued (" +
                                             (one.damage().empty() ? one.state() : one.damage()) + "): a new full backup is needed");
        print(fmt::format("chain={}\nnumber={}\nlast={}\nbegun={}\nfinished={}\nreached={}\n", shell_quoted(one.id), one.increments() + 1,
                          to_string(one.end()), one.started.seconds, one.finished().seconds, to_string(one.reached())));
        std::string chains = "chains=(", servers = "servers=(";
        for (const ClusterBackup::Member& member : one.members) {
            if (member.removed) continue;
            chains += fmt::format(" [{}]={}", member.name, shell_quoted(member.chain_id));
            servers += fmt::format(" [{}]={}", member.name, shell_quoted(member.server));
        }
        print(chains + " )\n" + servers + " )\n");
    }

    /// Reads the documents of config.shards, and prints the cluster's members and where they are.
    void members() {
        std::map<std::string, std::string> servers{{"config", ""}};
        bool any = false;
        for (const bson::Document& shard : DocumentInput(argument(1, "documents of config.shards"), Check::structure)) {
            const auto id = shard.find("_id"), host = shard.find("host");
            if (!id || !host) throw DataError(Fault::missing_field, "config.shards: a document without _id or host");
            any = true;
            // A shard of that name is the config servers themselves, which may have data too.
            if (id->string() != "config") servers[member_name(id->string())] = host->string();
        }
        if (!any) throw Failure(not_restorable, "config.shards has no shards: this server is none of a cluster's config servers");
        std::string text = "listed=(";
        for (const auto& [name, server] : servers) text += fmt::format(" [{}]={}", name, shell_quoted(server));
        print(text + " )\n");
    }

    /// The newest chain of a member, if nothing is wrong with it and no cluster backup has it yet.
    std::optional<Chain> unused_chain(const std::string& member, const std::vector<ClusterBackup>& clusters) const {
        if (!fs::is_directory(directory() / member)) return std::nullopt;
        const std::vector<Chain> all = load_chains(directory() / member);
        if (all.empty() || !all.back().open()) return std::nullopt;
        for (const ClusterBackup& one : clusters)
            for (const ClusterBackup::Member& each : one.members)
                if (each.name == member && each.chain_id == all.back().id) return std::nullopt;
        return all.back();
    }

    /// Which of the members have a chain for the next cluster backup already, as after a run that was ended, and which
    /// have not. With --dumped a chain counts only if its full backup came from the server.
    void fresh() {
        const std::vector<ClusterBackup> all = clusters();
        std::string lacking = "lacking=(", chains = "new=(";
        Timestamp reached = Timestamp::min();
        for (std::size_t i = 2; i < arguments_.size(); ++i) {
            const auto chain = unused_chain(arguments_[i], all);
            if (!chain || (tool_.has("dumped") && !chain->full->made_of.empty())) {
                lacking += " " + shell_quoted(arguments_[i]);
                continue;
            }
            chains += fmt::format(" [{}]={}", arguments_[i], shell_quoted(chain->id));
            reached = std::max(reached, chain->end());
        }
        print(fmt::format("{} )\n{} )\nfurthest={}\n", lacking, chains, to_string(reached)));
    }

    /// Records that the chains of all MEMBER=SERVER... reach --to: those of the cluster backup --chain, which are its
    /// members now, or without it a new one's; with --grown there are others. If some do not, that is recorded and a failure.
    void add_round() {
        if (!tool_.has("to")) throw ArgumentError("add-round: say what all chains are to reach: --to T");
        const Timestamp wanted = parse_timestamp(tool_.value("to"));
        const std::vector<ClusterBackup> all = clusters();
        const bool is_new = !tool_.has("chain");
        ClusterBackup one;
        if (!is_new) one = cluster(all);
        if (is_new) one.started = {tool_.value<std::uint32_t>("started"), 0};
        std::set<std::string> present;
        for (std::size_t i = 2; i < arguments_.size(); ++i) {
            const std::size_t equals = arguments_[i].find('='); // percent-encoded in names
            if (equals == std::string::npos) throw ArgumentError("add-round: name each member as MEMBER=SERVER");
            const std::string name = arguments_[i].substr(0, equals), server = arguments_[i].substr(equals + 1);
            present.insert(name);
            if (is_new) {
                const auto chain = unused_chain(name, all);
                if (!chain) throw Failure(nothing_there, name + ": no new chain");
                one.members.push_back({name, server, chain->id, {}, *chain});
                continue;
            }
            const auto known = std::ranges::find(one.members, name, &ClusterBackup::Member::name);
            if (known == one.members.end()) throw Failure(nothing_there, name + ": no member of cluster backup " + one.id);
            known->server = server;
        }
        if (is_new) std::ranges::sort(one.members, {}, &ClusterBackup::Member::name);
        if (tool_.has("grown") && !one.whole_until && !one.rounds.empty()) one.whole_until = one.rounds.back().common;
        one.wanted = wanted;
        std::string behind;
        for (ClusterBackup::Member& member : one.members) {
            if (!member.removed && !present.contains(member.name)) member.removed = wanted;
            if (!member.removed && !member.chain.open())
                behind += fmt::format("{}{} ({})", behind.empty() ? "" : ", ", member.name,
                                      member.chain.damage.empty() ? member.chain.state() : member.chain.damage);
            else if (!member.removed && member.chain.end() < wanted)
                behind +=
                    fmt::format("{}{} (its chain ends at {})", behind.empty() ? "" : ", ", member.name, with_time(member.chain.end()));
        }
        if (behind.empty()) one.rounds.push_back({wanted, now()});
        if (is_new && behind.empty()) {
            const std::string name = directory_name(one.started);
            for (int more = 1; is_new && one.record.empty(); ++more) {
                one.id = more == 1 ? name : name + "_" + std::to_string(more);
                const fs::path path = directory() / (one.id + std::string(ClusterBackup::extension));
                if (!is_there(path)) one.record = path;
            }
        }
        if (!one.record.empty()) {
            FileSink file(one.record.string(), IfExists::replace, Content::text);
            const std::string text = one.to_json();
            file.write(text.data(), text.size());
            file.close();
        }
        if (!behind.empty()) throw Failure(not_restorable, "not every member reaches " + with_time(wanted) + ": " + behind);
        std::uint64_t size = 0;
        for (const ClusterBackup::Member& member : one.members) size += member.chain.full->size();
        print(fmt::format("chain={}\nfrom={}\nto={}\n{}", shell_quoted(one.id), shell_quoted(with_time(one.begin())),
                          shell_quoted(with_time(one.end())), size_text(size)));
    }
    static std::string size_text(std::uint64_t bytes) { return "size=" + shell_quoted(human_size(static_cast<double>(bytes))) + "\n"; }

    Step new_step(const fs::path& made, const char* type) const {
        Step step;
        step.directory = made;
        step.type = type;
        step.started = {tool_.value<std::uint32_t>("started"), 0};
        step.versions["oplog"] = OPLOG_VERSION;
        if (tool_.has("mongodump")) step.versions["mongodump"] = tool_.value("mongodump");
        for (const char* name : {"prelude.json", "local/prelude.json"}) {
            if (!fs::exists(made / name)) continue;
            const JsonFile prelude(made / name);
            if (const auto server = prelude.document().find("ServerVersion")) step.versions["server"] = server->string();
        }
        return step;
    }

    /// STEP has full/, which mongodump wrote, and slice/, the oplog from the last entry of --probe to the dump's end.
    /// With --chain instead of --probe, full/ was made of that chain and ends with its last entry.
    void add_full() {
        const fs::path made = argument(2, "new step");
        const std::vector<Chain> all = chains();
        mend(all);
        std::optional<OplogFacts> probe;
        if (tool_.has("probe")) probe = read_oplog(resolve_input(tool_.value("probe")));
        Step full = new_step(made / "full", "full"), slice = new_step(made / "slice", "slice");
        verified([&] {
            examine(full);
            examine(slice);
            require_whole_dump(full.directory);
        });
        if (probe && slice.first_sha256 != probe->last_sha256)
            throw Failure(discontinuity, "the oplog of the dump's time begins with entry " + to_string(slice.first) +
                                             ", and the last one before the dump was " + to_string(probe->range.last));
        if (!probe) {
            const Chain source = chain(all);
            if (full.last_sha256 != source.newest().last_sha256)
                throw Failure(discontinuity, "the dump ends with entry " + with_time(full.last) + ", and chain " + source.id + " with " +
                                                 with_time(source.end()));
            full.made_of = source.id;
        }
        if (slice.last_sha256 != full.last_sha256) // not committed by a majority yet, or never to be
            throw Failure(slice.last < full.last ? ask_again : discontinuity, "the oplog of the dump's time ends with entry " +
                                                                                  to_string(slice.last) + ", and the dump with " +
                                                                                  to_string(full.last));
        continuous([&] { prove_continuity({&full, &slice}); });
        full.finished = slice.finished = now();
        const Records records(made);
        seal(full, nullptr);
        seal(slice, &full);
        Chain made_chain;
        made_chain.directory = made;
        made_chain.full = full;
        made_chain.slice = slice;
        write_head(made_chain);
        fs::create_directory(made / "inc");
        oplog::detail::sync_directory(made.string());
        std::string text;
        publish(made, directory(), full.started, [&](const fs::path& published) {
            text = "chain=" + shell_quoted(published.filename().string()) + "\n" + size_text(full.size());
        });
        print(text);
    }

    /// As chain(), but "latest" is the newest chain even if it is not good: one that cannot be read at a moment must not
    /// be passed over.
    Chain chain_or_newest(const std::vector<Chain>& all) const {
        return tool_.optional("chain").value_or("latest") == "latest" && !all.empty() ? all.back() : chain(all);
    }

    /// The same, with a chain.json that names everything that is there.
    Chain chain_to_change() const {
        const std::vector<Chain> all = chains();
        mend(all);
        Chain one = chain_or_newest(all);
        // The chain is of an older version; done before anything is added that needs it.
        if (one.damage.empty() && !one.has_head) write_head(one);
        return one;
    }

    static void require_open(const Chain& one) {
        if (!one.open())
            throw Failure(nothing_there, "chain " + one.id + " cannot be continued (" + (one.damage.empty() ? one.state() : one.damage) +
                                             "): a new full backup is needed");
    }

    /// Has a mongodump, the arguments from `index` on, write an oplog, and checks and writes it to a file whose directory it makes, as
    /// --compress says. After a fault it reads on, because a mongodump that fails is the reason of it.
    /// Calls use(entry) for each. Without `to` it asks for all there is.
    template <class Use>
    OplogFacts receive(const std::string& path, std::size_t index, Timestamp from, std::optional<Timestamp> to, Use use) {
        if (arguments_.size() <= index) throw ArgumentError(command_ + ": say -- mongodump and its arguments");
        std::vector<std::string> command(arguments_.begin() + static_cast<std::ptrdiff_t>(index), arguments_.end());
        for (std::string argument :
             {std::string("--query"),
              fmt::format(R"({{"ts":{{"$gte":{}{}}}}})", extended_json(from), to ? R"(,"$lte":)" + extended_json(*to) : ""),
              std::string("--out"), std::string("-")})
            command.push_back(std::move(argument));
        PipedCommand writer(command, words_.is_open() ? words_.get() : STDERR_FILENO);
        fs::create_directories(oplog::detail::parent_directory(path));
        Sha256 hash;
        BasicWriter<CompressingSink<HashedSink>> out(
            CompressingSink<HashedSink>(HashedSink(path, hash), parse_compression(tool_.optional("compress").value_or("none"))));
        PipeSource in;
        OplogFacts facts;
        std::string fault;
        try {
            facts = facts_of(BasicReader<SharedSource>(SharedSource{&in}, path, Check::structure), [&](const EntryView& entry) {
                use(entry);
                out.write(entry);
            });
        } catch (const DataError& error) {
            fault = error.what();
            std::vector<char> rest(256 << 10);
            while (in.read(rest.data(), rest.size()) > 0) {
            }
        }
        if (const int code = writer.wait(); code != 0) { // what came of it need not be whole
            print(fmt::format("dumped={}\n", code));
            throw Failure(not_dumped, fmt::format("{} ended with exit code {}", command.front(), code));
        }
        if (!fault.empty()) throw Failure(unverified, fault);
        out.close();
        facts.file_size = out.sink().inner().size();
        facts.file_sha256 = hash.hex();
        return facts;
    }
    static std::string extended_json(Timestamp ts) { return fmt::format(R"({{"$timestamp":{{"t":{},"i":{}}}}})", ts.seconds, ts.ordinal); }
    /// From here on complaints go to the file of --complaints, and stderr is for a mongodump's. That is for a script, with which this ends.
    void complain_apart() {
        const auto path = tool_.optional("complaints");
        if (!path) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        words_ = oplog::detail::Descriptor(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
        const oplog::detail::Descriptor file(::open(path->c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
        if (!words_.is_open() || !file.is_open() || ::dup2(file.get(), STDERR_FILENO) < 0) oplog::detail::throw_errno(*path);
    }

    void receive_oplog() {
        complain_apart();
        receive(argument(1, "file"), 2, parse_timestamp(tool_.value("from")), parse_timestamp(tool_.value("to")), [](const EntryView&) {});
    }

    /// Has a mongodump write what continues the chain into a new step, and prints what is known before that.
    OplogFacts receive_increment(const Chain& one, const fs::path& made) {
        // All there is, which ends by itself but where the server writes as fast as it is read. Such a one is asked for up to --until, the
        // end by its own clock, which may be far from this machine's; to ask first where the oplog ends would cost a small increment a
        // tenth of its time.
        constexpr std::uint32_t patience = 90; // seconds
        const std::uint32_t begun = now().seconds;
        const Timestamp last = one.end(), reach = tool_.has("to") ? parse_timestamp(tool_.value("to")) : last;
        std::optional<Timestamp> bound;
        if (tool_.has("until")) bound = {std::max({tool_.value<std::uint32_t>("until"), last.seconds + 1, reach.seconds + 1}), 0};
        print(fmt::format("chain={}\nnumber={}\nlast={}\n", shell_quoted(one.id), one.taken() + 1, to_string(last)));
        OplogFacts facts = receive(made / ("local/oplog.rs.bson" + suffix(tool_.optional("compress").value_or("none"))), 3, last, bound,
                                   [&](const EntryView& entry) {
                                       if (!bound && entry.ts().seconds > begun + patience && now().seconds > begun + patience)
                                           throw Failure(end_unknown, "the oplog may go on for ever");
                                   });
        if (facts.range.empty()) throw Failure(end_unknown, "the oplog has nothing from the chain's end on");
        return facts;
    }
    static std::string suffix(std::string_view compress) {
        const Compression method = parse_compression(compress).method;
        return method == Compression::zstd ? ".zst" : method == Compression::gzip ? ".gz" : "";
    }

    /// Adds STEP to a chain: what is there, or with the arguments of a mongodump what that writes.
    void add_increment() {
        complain_apart();
        const fs::path made = argument(2, "new step");
        Chain one = chain_to_change();
        require_open(one);
        std::optional<OplogFacts> received;
        if (arguments_.size() > 3) received = receive_increment(one, made);
        Step step = new_step(made, "inc");
        verified([&] { examine(step, received); });
        const Step& before = one.newest();
        if (step.first_sha256 != before.last_sha256)
            throw Failure(discontinuity,
                          fmt::format("the increment begins with entry {}, and not with the one that the chain ends with, {}{}",
                                      with_time(step.first), with_time(before.last),
                                      step.first == before.last ? ": the same timestamp, other bytes" : ""));
        if (step.last.seconds + 60 < step.started.seconds)
            tool_.warn(fmt::format("the newest entry, {}, is {} s old: the member lags behind, or clocks differ", with_time(step.last),
                                   step.started.seconds - step.last.seconds));
        step.number = one.taken() + 1;
        step.finished = now();
        const Records records(made);
        seal(step, &before);
        const fs::path all = one.directory / "inc";
        fs::create_directories(all);
        std::string text;
        publish(made, all, step.started, [&](const fs::path& published) {
            text = fmt::format("increment={}\narchived={}\n{}", shell_quoted(published.string()), to_string(step.last),
                               size_text(step.size()));
            step.directory = published;
            one.increments.push_back(std::move(step));
            write_head(one);
        });
        print(text);
    }

    /// Records that nothing can continue the chain any more.
    void close() {
        Chain one = chain_to_change();
        const std::string reason = tool_.optional("reason").value_or("");
        if (reason != "gap" && reason != "divergence") throw ArgumentError("close: --reason is gap or divergence");
        require_open(one); // otherwise what it says about the chain's end could be wrong
        const std::string text =
            sealed(fmt::format("{{\"format\":2,\"reason\":\"{}\",\"time\":\"{}\",\"last\":\"{}\",\n\"previous\":\"{}\"", reason,
                               to_utc_string(now()), to_string(one.end()), one.newest().sha256));
        const fs::path record = one.directory / "closed.json";
        write_text(record, text);
        try {
            one.closed_sha256 = sha256(text);
            write_head(one);
        } catch (...) {
            ::unlink(record.c_str());
            throw;
        }
    }

    static bool is_users(std::string_view database) {
        return database != "admin" && database != "config" && database != "local" && !database.empty();
    }
    /// Reads the beginning of an archive on stdin: a document for each collection, after that of the versions.
    static std::vector<std::string> prelude_of_archive() {
        FileSource in("-");
        const auto read = [&](char* to, std::size_t size) {
            for (std::size_t got = 0; got < size;) {
                const std::size_t more = in.read(to + got, size - got);
                if (more == 0) throw DataError(Fault::truncated, "stdin: the archive ends before its collections are named");
                got += more;
            }
        };
        std::uint32_t word = 0;
        const auto next_word = [&] { read(reinterpret_cast<char*>(&word), sizeof word); };
        next_word();
        if (word != 0x8199e26d) throw DataError(Fault::not_oplog, "stdin: no mongodump archive");
        std::vector<std::string> documents;
        for (next_word(); word != 0xFFFFFFFF; next_word()) { // this ends the prelude
            if (word < bson::min_document_size || word > bson::max_document_size)
                throw DataError(Fault::bad_length, "stdin: corrupt archive");
            std::string& document = documents.emplace_back(word, '\0');
            std::memcpy(document.data(), &word, sizeof word);
            read(document.data() + sizeof word, word - sizeof word);
        }
        return documents;
    }

    /// Reads the same, and prints the databases that are no server's own.
    void user_databases() {
        std::set<std::string> databases;
        for (const std::string& document : prelude_of_archive())
            if (const auto database = bson::Document(document).find("db"); database && is_users(database->string()))
                databases.emplace(database->string());
        for (const std::string& database : databases) print(escaped(database) + "\n");
    }

    /// Reads a file of documents of config.transactions, and prints where the oldest transaction begins if that is
    /// before --to, else --to.
    void open_since() {
        if (!tool_.has("to")) throw ArgumentError("open-since: say up to when: --to T");
        Timestamp oldest = parse_timestamp(tool_.value("to"));
        for (const bson::Document& document : DocumentInput(argument(1, "documents of config.transactions"), Check::structure)) {
            const auto start = document.find("startOpTime");
            const auto ts = start ? start->document().find("ts") : std::nullopt;
            if (ts) oldest = std::min(oldest, ts->timestamp());
        }
        print(to_string(oldest) + "\n");
    }

    /// STEP has full/, a dump made without --oplog with its oplog, and again/, dumps of single collections made since.
    void mend() {
        const fs::path step = argument(1, "new step");
        std::vector<DumpAgain> again;
        for (const fs::directory_entry& entry : fs::directory_iterator(step / "again")) again.emplace_back(entry.path());
        verified([&] {
            const DumpMending mending((step / "full").string(), std::move(again));
            std::string text = "needed=" + (mending.needed() ? to_string(*mending.needed()) : "") + "\nmissed=(";
            if (!mending.needed())
                for (const DumpMending::Renamed& one : mending.mend())
                    for (const std::string& name : {one.database, one.last_name, one.name_before}) text += " " + shell_quoted(name);
            print(text + " )\n");
        });
    }

    /// Calls see(ns, whether it is a view) for the collections of the dump FULL and for those in the oplogs STEP... up to --to, as long
    /// as it returns true; often more than once.
    template <class See>
    void each_name(See see) const {
        const Dump dump(argument(1, "full backup"));
        const Selection selected = selection(tool_);
        for (const DumpCollection& one : dump.collections())
            if (!see(one.ns(), one.data.empty() && selected.selects(one.ns()) && one.read_metadata().is_view())) return;
        const Timestamp limit = tool_.has("to") ? tool_.time("to").last : Timestamp::max();
        for (std::size_t i = 2; i < arguments_.size(); ++i)
            for (const EntryView entry : Input(arguments_[i])) {
                if (entry.ts() > limit) break;
                bool more = true;
                for_each_operation(entry, [&](const Operation& operation) {
                    if (operation.is_no_op()) return;
                    for (const std::string& ns : namespaces(operation)) more = more && see(ns, view_of(operation).has_value());
                });
                if (!more) return;
            }
    }

    /// Prints the patterns of --ns, --exclude-ns and --rename that match no collection of FULL and STEP...
    void unmatched() {
        std::vector<std::pair<std::string, std::string>> patterns; // each after its option
        for (const std::string option : {"ns", "exclude-ns", "rename"})
            if (tool_.has(option))
                for (const std::string& text : tool_.value<std::vector<std::string>>(option))
                    patterns.emplace_back("--" + option, option == "rename" ? text.substr(0, text.find('=')) : text);
        std::set<std::string, std::less<>> seen;
        each_name([&](const std::string& ns, bool) {
            if (seen.insert(ns).second) std::erase_if(patterns, [&](const auto& pattern) { return glob_matches(pattern.second, ns); });
            return !patterns.empty();
        });
        for (const auto& [option, pattern] : patterns) print(option + ' ' + escaped(pattern) + '\n');
    }

    /// Reads the beginning of an archive of a server on stdin, and prints what the server has under the names that the collections of
    /// FULL and STEP... get: a line each of what kind it is, "view" if it is one there or here, and the name.
    void taken() {
        std::map<std::string, std::string> there; // kinds by names
        for (const std::string& text : prelude_of_archive()) {
            const bson::Document document(text);
            const auto value = [&](const char* key) {
                const auto found = document.find(key);
                return found && found->is(bson::Type::string) ? std::string(found->string()) : std::string();
            };
            if (const std::string database = value("db"); is_users(database)) {
                const std::string metadata = value("metadata"), kind = value("type");
                const std::string parsed = metadata.empty() ? std::string() : parse_json(metadata);
                const auto options = parsed.empty() ? std::nullopt : bson::Document(parsed).find("options");
                const bool is_capped = options && options->is(bson::Type::document) && options->document().find("capped").has_value();
                there.emplace(join_namespace(database, value("collection")), is_capped ? "capped" : kind == "view" ? kind : "collection");
            }
        }
        const Selection selected = selection(tool_); // that learns nothing, so that each name stands for itself
        std::map<std::string, std::string> taken;
        std::set<std::pair<std::string, bool>> seen;
        each_name([&](const std::string& ns, bool is_view) {
            if (!seen.emplace(ns, is_view).second || !selected.selects(ns)) return true;
            const auto found = there.find(selected.renaming().collection(ns).value_or(ns));
            if (found != there.end() && is_view) found->second = "view";
            if (found != there.end()) taken[found->first] = found->second;
            return true;
        });
        for (const auto& [name, kind] : taken) print(kind + ' ' + escaped(name) + '\n');
    }

    template <class Work>
    static void verified(Work work) {
        try {
            work();
        } catch (const DataError& error) {
            throw Failure(unverified, error.what());
        }
    }
    template <class Work>
    static void continuous(Work work) {
        try {
            work();
        } catch (const ContinuityError& error) {
            throw Failure(discontinuity, error.what());
        }
    }

    Tool& tool_;
    std::vector<std::string> arguments_;
    std::string command_;
    oplog::detail::Descriptor words_; ///< Where complaints went before complain_apart().
};

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-chain", "COMMAND DIR [options]",
              "The records of a backup directory: chains of a full backup and its increments.\n\n"
              "  status DIR   chains, restorable windows, sizes, and with --config what is due next\n"
              "  list DIR     what can be restored, a line a chain\n"
              "  verify DIR   reads every byte: checksums, BSON, order, continuity\n"
              "  prune DIR    drops whole old chains, but for those that --keep, --keep-days or --keep-weekly name and pinned ones\n"
              "  compact DIR  joins the increments of each hour that is over into one\n"
              "  pin DIR      has prune never drop --chain; unpin takes that back\n"
              "  select DIR   the steps that a restore needs, as shell assignments\n"
              "  seal DIR     proves --chain and takes what is there for all of it\n"
              "Those that oplog-backup and oplog-restore are made of: config, login, next, add-full, receive, add-inc, close,\n"
              "user-databases, taken, open-since, mend, unmatched, members, fresh, add-round, oldest, report, add-drill,\n"
              "uncopied, add-copied, fill, nearest.\n\n"
              "Exit codes: 0, 1 failed, 2 usage, 10 nothing there, 20 gap or divergence, 21 verification failed.",
              "  oplog-chain status /mongodb/backup/dbbak --json\n");
    // clang-format off
    tool.add_options()
        ("json", "status, list, verify: as JSON")
        ("html", "status: write a page to FILE, with charts; nothing else is needed to look at it", takes(), "FILE")
        ("f,force", "status: replace FILE if it exists")
        ("chain", "only this chain; latest is the newest good one", takes(), "ID")
        ("keep", "prune: how many of the newest good chains stay", takes<std::uint32_t>(), "N")
        ("keep-days", "prune: chains stay that reach into the last N days", takes<std::uint32_t>(), "N")
        ("keep-weekly", "prune: of each of the last N weeks with chains the last good one stays", takes<std::uint32_t>(), "N")
        ("dry-run", "prune: only say which would go")
        ("to", "select, unmatched, taken, open-since: the state with every entry up to T; add-round: what all chains reach; add-inc: at least; receive: the last timestamp; add-drill: what was restored", takes(), "T")
        ("before", "select: the state just before T", takes(), "T")
        ("ns", "unmatched, taken: a pattern of collections", takes<std::vector<std::string>>(), "GLOB")
        ("exclude-ns", "unmatched, taken: another such", takes<std::vector<std::string>>(), "GLOB")
        ("rename", "unmatched, taken: another such, before the =", takes<std::vector<std::string>>(), "FROM=TO")
        ("config", "status, report: config.ini", takes(), "FILE")
        ("insecure-config", "config, login: others may read the password")
        ("target", "config, login: of the server to be restored, named on stdin")
        ("member", "config, login: of this member of a cluster", takes(), "NAME")
        ("server", "config, login: SET/HOSTS of that member, if it is no config server", takes(), "SERVER")
        ("with-login", "config: what login prints too")
        ("mongosh", "login: as a script for mongosh")
        ("dumped", "fresh: no chain counts that was made without the server")
        ("grown", "add-round: the cluster has members that are not in the backup")
        ("result", "add-drill: identical, different or failed", takes(), "HOW")
        ("started", "add-full, add-inc, add-round, add-drill: when, in seconds since 1970", takes<std::uint32_t>(), "S")
        ("mongodump", "add-full: its version", takes(), "TEXT")
        ("from", "receive: the first timestamp", takes(), "T")
        ("until", "add-inc: the second by which the oplog ends", takes<std::uint32_t>(), "S")
        ("compress", "receive, add-inc: zstd[:LEVEL], gzip[:LEVEL] or none", takes(), "METHOD")
        ("complaints", "receive, add-inc: a file for oplog-chain's own, while stderr is for mongodump's", takes(), "FILE")
        ("probe", "add-full: an oplog that ends with the last entry before the dump; without it, the dump was made of --chain", takes(), "FILE")
        ("reason", "close, report: gap or divergence; add-drill: why it is not identical", takes(), "WHY")
        ("step", "report: what ended", takes(), "KIND")
        ("code", "report: with what", takes<int>(), "CODE")
        ("seconds", "report, add-drill: how long it, or the restore, took", takes<std::uint32_t>(), "N");
    // clang-format on
    int code = fine;
    const int common = tool.run(argc, argv, [&] {
        try {
            Commands(tool).run();
        } catch (const Failure& failure) {
            code = failure.code;
            tool.complain(failure);
        }
    });
    return code != fine ? code : common;
}

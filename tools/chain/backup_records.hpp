// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The records of a backup directory, which hold chains of a full backup and its increments.
///
///     <dir>/<chain>/full/              what mongodump --oplog or oplog-apply wrote, and its step.json
///     <dir>/<chain>/slice/             the oplog over the time of that dump
///     <dir>/<chain>/inc/<name>/        an increment
///     <dir>/<chain>/closed.json        why nothing can continue the chain, if so
///     <dir>/<chain>/chain.json         which of these exist, each with the SHA-256 of its record
///     <dir>/<chain>/pinned             empty: the chain is never pruned
///
/// An increment may be joined of several, whose records it names: it stands for them, and they are passed over where they are
/// still there.
///
/// Each record ends with the SHA-256 of its content, and names the record before it. So only chain.json can show that a
/// step is lost. It is written last, and a step that it does not name yet is good if it continues the chain.

#include "sha256.hpp"
#include "../lib/tool.hpp"

#include <oplog/bson/json_parser.hpp>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <tuple>
#include <utility>
#include <vector>

namespace oplog::tools {

namespace fs = std::filesystem;

/// Throws DataError unless the path is a directory, or a regular file. So no link is followed, and nothing is waited
/// for.
inline void require(fs::file_type wanted, const fs::path& path) {
    const fs::file_type type = fs::symlink_status(path).type();
    if (type == fs::file_type::not_found) oplog::detail::throw_errno(path.string(), ENOENT);
    const char* const is = type == fs::file_type::symlink     ? "a link"
                           : type == fs::file_type::directory ? "a directory"
                           : type == fs::file_type::fifo      ? "a FIFO"
                           : type == fs::file_type::socket    ? "a socket"
                           : type == fs::file_type::regular   ? "a file"
                                                              : "a device";
    if (type != wanted)
        throw DataError(Fault::inconsistent, fmt::format("{}: {}, where a {} must be", path.string(), is,
                                                         wanted == fs::file_type::directory ? "directory" : "file"));
}

/// The files in a directory and below it, sorted. Throws DataError for anything that is neither a file nor a directory.
inline std::vector<fs::path> files_below(const fs::path& directory) {
    require(fs::file_type::directory, directory);
    std::vector<fs::path> files;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory)) {
        if (entry.symlink_status().type() == fs::file_type::directory) continue;
        require(fs::file_type::regular, entry.path());
        files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
}

/// Whether an error means that nothing has that name. Any other error says nothing about what is there.
inline bool is_of_absence(const std::error_code& error) {
    return error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory ||
           error == std::errc::too_many_symbolic_link_levels;
}
inline bool is_there(const fs::path& path) { return fs::exists(fs::symlink_status(path)); }
/// A text file to read; nothing, where there is none, or a FIFO that would be waited for.
inline std::ifstream text_file(const fs::path& path) { return fs::is_regular_file(path) ? std::ifstream(path) : std::ifstream(); }

/// The end of a record: the SHA-256 of everything before it.
inline constexpr std::string_view seal_begin = ",\n\"sha256\":\"", seal_end = "\"}\n";
inline std::string sealed(std::string_view text) { return fmt::format("{}{}{}{}", text, seal_begin, sha256(text), seal_end); }

/// A JSON object from a file: a record, or a file of mongodump. Throws std::system_error, and DataError for anything
/// else.
class JsonFile {
  public:
    static constexpr std::size_t limit = 256 << 20; // each file of a backup takes about 150 bytes

    explicit JsonFile(const fs::path& path) : path_(path.string()) {
        const std::string text = read();
        sha256_ = tools::sha256(text);
        constexpr std::size_t seal_size = seal_begin.size() + 64 + seal_end.size();
        const std::string_view body = std::string_view(text).substr(0, text.size() - std::min(text.size(), seal_size));
        is_sealed_ = std::string_view(text).substr(body.size()).starts_with(seal_begin) && text.ends_with(seal_end);
        if (is_sealed_ && text != sealed(body))
            throw DataError(Fault::inconsistent, path_ + ": its SHA-256 is not the one that it ends with");
        try {
            bytes_ = parse_json(text);
        } catch (const DataError& error) {
            throw error.within(path_);
        }
    }
    bson::Document document() const& { return bson::Document(bytes_); }
    bson::Document document() && = delete; // the result is a view

    bool is_sealed() const { return is_sealed_; }
    /// The SHA-256 of the whole file.
    const std::string& sha256() const { return sha256_; }

    static bson::Element field(const bson::Document& document, std::string_view key) {
        const auto found = document.find(key);
        if (!found) throw DataError(Fault::missing_field, "no field '" + std::string(key) + "'");
        return *found;
    }
    /// A field of a record. A DataError names the file.
    bson::Element field(std::string_view key) const {
        const auto found = document().find(key);
        if (!found) throw DataError(Fault::missing_field, path_ + ": no field '" + std::string(key) + "'");
        return *found;
    }
    /// Throws DataError for an unknown format. Format 1 is from a version before records were sealed.
    void check_format() const {
        const auto format = field("format").integer();
        if (format != 1 && format != 2)
            throw DataError(Fault::inconsistent, path_ + ": of another format than 1 and 2: made by another version of this tool");
        if ((format == 2) != is_sealed_) throw DataError(Fault::inconsistent, path_ + ": does not end with its SHA-256");
    }

  private:
    std::string read() const {
        require(fs::file_type::regular, path_);
        const oplog::detail::Descriptor file(::open(path_.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        struct stat info {};
        if (!file.is_open() || ::fstat(file.get(), &info) != 0) oplog::detail::throw_errno(path_);
        if (static_cast<std::uint64_t>(info.st_size) > limit)
            throw DataError(Fault::inconsistent, fmt::format("{}: {} bytes, which no record has", path_, info.st_size));
        std::string text(static_cast<std::size_t>(info.st_size), '\0');
        std::size_t size = 0;
        for (::ssize_t got = 1; got > 0 && size < text.size(); size += static_cast<std::size_t>(got)) {
            got = ::read(file.get(), &text[size], text.size() - size);
            if (got < 0) oplog::detail::throw_errno(path_);
        }
        text.resize(size);
        return text;
    }

    std::string path_;
    std::string bytes_;
    std::string sha256_;
    bool is_sealed_ = false;
};

/// One step of a chain, as its step.json describes it.
struct Step {
    struct Joined {
        std::string name;   ///< Of the directory of an increment that this one stands for.
        std::string sha256; ///< Of its record.
    };
    struct File {
        std::string path; ///< Relative to the step's directory.
        std::uint64_t size = 0;
        std::string sha256;
    };

    fs::path directory;
    std::string type;                      ///< full, slice, inc
    std::uint64_t number = 0;              ///< The number of an increment, from 1; the last of those that are joined in it.
    Timestamp first, last;                 ///< The first and the last entry of its oplog.
    std::string first_sha256, last_sha256; ///< The SHA-256 of the bytes of those entries.
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0;     ///< The size of its oplog before compression.
    Timestamp started, finished; ///< Wall clock, whole seconds.
    std::vector<File> files;
    std::map<std::string, std::string> versions;
    std::vector<Joined> joined; ///< The increments that it was made of, if it was.
    std::string made_of;        ///< The chain that a full backup was made of without asking a server.
    std::string previous;       ///< The SHA-256 of the previous record of the chain, if any.
    std::string sha256;         ///< The SHA-256 of its own record.
    bool is_sealed = false;

    /// The path of the oplog, in the directory or in one that will become it.
    std::string oplog() const { return resolve_input(directory.string()); }
    std::uint64_t size() const {
        std::uint64_t sum = 0;
        for (const File& file : files) sum += file.size;
        return sum;
    }
    /// The number of the first increment that it is or stands for.
    std::uint64_t first_number() const { return number + 1 - std::max<std::size_t>(joined.size(), 1); }
    /// The SHA-256 of a record by which the next one names it.
    const std::string& link() const { return joined.empty() ? sha256 : joined.back().sha256; }
    std::uint32_t seconds() const { return finished.seconds - started.seconds; }

    std::string to_json() const {
        std::string text = fmt::format("{{\"format\":2,\n\"type\":{},\"number\":{},\n", json_quoted(type), number);
        if (!previous.empty()) text += fmt::format("\"previous\":\"{}\",\n", previous);
        if (!made_of.empty()) text += fmt::format("\"madeOf\":{},\n", json_quoted(made_of));
        if (!joined.empty()) {
            text += "\"joined\":[";
            const char* between = "\n";
            for (const Joined& one : joined) {
                text += fmt::format("{}{{\"name\":{},\"sha256\":\"{}\"}}", between, json_quoted(one.name), one.sha256);
                between = ",\n";
            }
            text += "\n],\n";
        }
        text += fmt::format("\"first\":\"{}\",\"last\":\"{}\",\"entries\":{},\"bytes\":{},\n", to_string(first), to_string(last), entries,
                            bytes);
        text += fmt::format("\"firstEntrySha256\":\"{}\",\n\"lastEntrySha256\":\"{}\",\n", first_sha256, last_sha256);
        text += fmt::format("\"started\":\"{}\",\"finished\":\"{}\",\"seconds\":{},\n\"versions\":{{", to_utc_string(started),
                            to_utc_string(finished), seconds());
        const char* comma = "";
        for (const auto& [name, version] : versions) {
            text += fmt::format("{}{}:{}", comma, json_quoted(name), json_quoted(version));
            comma = ",";
        }
        text += "},\n\"files\":[";
        comma = "\n";
        for (const File& file : files) {
            text += fmt::format("{}{{\"path\":{},\"size\":{},\"sha256\":\"{}\"}}", comma, json_quoted(file.path), file.size, file.sha256);
            comma = ",\n";
        }
        return sealed(text + "\n]");
    }

    /// Reads DIRECTORY/step.json. Throws DataError and std::system_error.
    static Step load(const fs::path& directory) {
        require(fs::file_type::directory, directory);
        const fs::path path = directory / "step.json";
        const JsonFile json(path);
        json.check_format();
        try {
            const auto field = [document = json.document()](const char* key) { return JsonFile::field(document, key); };
            const auto text = [&](const char* key) { return std::string(field(key).string()); };
            Step step;
            step.directory = directory;
            step.sha256 = json.sha256();
            step.is_sealed = json.is_sealed();
            if (const auto previous = json.document().find("previous")) step.previous = previous->string();
            step.type = text("type");
            step.number = static_cast<std::uint64_t>(field("number").integer());
            step.first = parse_timestamp(text("first"));
            step.last = parse_timestamp(text("last"));
            step.entries = static_cast<std::uint64_t>(field("entries").integer());
            step.bytes = static_cast<std::uint64_t>(field("bytes").integer());
            step.first_sha256 = text("firstEntrySha256");
            step.last_sha256 = text("lastEntrySha256");
            step.started = parse_time(text("started")).first;
            step.finished = parse_time(text("finished")).first;
            if (const auto made_of = json.document().find("madeOf")) step.made_of = made_of->string();
            if (const auto joined = json.document().find("joined"))
                for (const bson::Element& one : joined->array())
                    step.joined.push_back({std::string(JsonFile::field(one.document(), "name").string()),
                                           std::string(JsonFile::field(one.document(), "sha256").string())});
            for (const bson::Element& version : field("versions").document()) step.versions.emplace(version.key(), version.string());
            for (const bson::Element& file : field("files").array()) {
                const auto of = [&](const char* key) { return JsonFile::field(file.document(), key); };
                step.files.push_back({std::string(of("path").string()), static_cast<std::uint64_t>(of("size").integer()),
                                      std::string(of("sha256").string())});
            }
            return step;
        } catch (const Error& error) {
            throw DataError(Fault::inconsistent, path.string() + ": " + error.what());
        }
    }

    /// Checks that every file is there with its size. Throws DataError and std::system_error.
    void check_files() const {
        for (const File& file : files) {
            const fs::path path = directory / file.path;
            require(fs::file_type::regular, path);
            if (const auto size = fs::file_size(path); size != file.size)
                throw DataError(Fault::inconsistent, fmt::format("{}: {} bytes, and its record says {}", path.string(), size, file.size));
        }
    }

    /// Checks that the record was made right after `before`. Throws DataError.
    void check_follows(const Step& before) const {
        if (is_sealed && previous != before.link())
            throw DataError(Fault::inconsistent, fmt::format("{}: does not follow {}, but a step that is not there", directory.string(),
                                                             before.directory.string()));
    }
};

/// A full backup and everything that continues it.
struct Chain {
    std::string id; ///< The name of its directory.
    fs::path directory;
    std::optional<Step> full, slice; ///< None if damaged.
    std::vector<Step> increments;    ///< The increments in order, as far as each continues the one before.
    std::vector<fs::path> replaced;  ///< Those that are joined in one of them, and that are still there.
    std::string closed;              ///< "gap" or "divergence" if nothing can continue the chain.
    std::string closed_sha256;       ///< The SHA-256 of the record that says so.
    std::string closed_after;        ///< The SHA-256 of the newest step's record at that time.
    bool closed_is_sealed = false;
    std::string damage;     ///< What is wrong with its records or files, if anything.
    std::string unproved;   ///< What its records cannot prove, if anything.
    bool is_unread = false; ///< Whether something could not be read, so that the damage may be temporary.
    bool has_head = false;  ///< Whether chain.json is there.
    bool is_behind = false; ///< Whether chain.json lacks steps that exist.
    bool good = false;      ///< Whether its full backup is whole, so that there is something to restore.
    bool pinned = false;    ///< Whether it is never to be pruned.

    bool open() const { return good && closed.empty() && damage.empty(); }
    /// Whether the newest entries may belong to a history that the source has given up.
    bool doubtful() const { return closed == "divergence"; }
    const char* state() const {
        return !damage.empty() ? "damaged" : closed == "gap" ? "closed: gap" : closed == "divergence" ? "closed: divergence" : "open";
    }

    /// The file by which it is pinned.
    fs::path pin() const { return directory / "pinned"; }

    /// How many increments were taken, joined or not.
    std::uint64_t taken() const { return increments.empty() ? 0 : increments.back().number; }
    const Step& newest() const { return increments.empty() ? *full : increments.back(); }
    /// The restorable window, both ends included.
    Timestamp begin() const { return full->last; }
    Timestamp end() const { return newest().last; }

    std::vector<const Step*> steps() const {
        std::vector<const Step*> all;
        if (full) all.push_back(&*full);
        if (slice) all.push_back(&*slice);
        for (const Step& step : increments) all.push_back(&step);
        return all;
    }
    std::uint64_t size() const {
        std::uint64_t sum = 0;
        for (const Step* step : steps()) sum += step->size();
        return sum;
    }

    /// The text that chain.json must have.
    std::string head() const {
        std::string text = "{\"format\":2,\n\"steps\":[";
        const char* comma = "\n";
        for (const Step* step : steps()) {
            text += fmt::format("{}{{\"path\":{},\"sha256\":\"{}\"}}", comma,
                                json_quoted(step->directory.lexically_relative(directory).string()), step->sha256);
            comma = ",\n";
        }
        text += "\n]";
        if (!closed_sha256.empty()) text += fmt::format(",\n\"closed\":\"{}\"", closed_sha256);
        return sealed(text);
    }

    /// Whether to check chain.json for the steps that there must be.
    enum class Head { check, ignore };

    static Chain load(const fs::path& directory, Head use = Head::check) {
        Chain chain;
        chain.id = directory.filename().string();
        chain.directory = directory;
        chain.pinned = is_there(chain.pin());
        try {
            // It is read before the steps, because a step may be added meanwhile. A fault in the steps tells more than
            // a fault in it, and is reported first.
            std::optional<JsonFile> head;
            std::exception_ptr bad_head;
            try {
                if (is_there(directory / "chain.json")) head.emplace(directory / "chain.json");
            } catch (const std::exception&) {
                bad_head = std::current_exception();
            }
            chain.full = Step::load(directory / "full");
            chain.slice = Step::load(directory / "slice");
            chain.full->check_files();
            chain.slice->check_files();
            if (chain.slice->last_sha256 != chain.full->last_sha256)
                throw DataError(Fault::inconsistent, (directory / "slice").string() + ": does not end as full does");
            chain.slice->check_follows(*chain.full);
            chain.good = true;
            chain.load_closed();
            chain.load_increments();
            if (use == Head::ignore) return chain;
            if (bad_head) std::rethrow_exception(bad_head);
            chain.has_head = head.has_value();
            if (head)
                chain.check(*head);
            else
                chain.require_old();
        } catch (const std::bad_alloc&) {
            throw; // this error says nothing about the chain
        } catch (const std::system_error& error) {
            chain.damage = reason_of(error);
            chain.is_unread = !is_of_absence(error.code());
        } catch (const std::exception& error) {
            chain.damage = reason_of(error);
        }
        return chain;
    }

  private:
    void load_closed() {
        const fs::path path = directory / "closed.json";
        if (!is_there(path)) return;
        const JsonFile json(path);
        if (json.document().find("format")) json.check_format();
        closed_is_sealed = json.is_sealed();
        closed_sha256 = json.sha256();
        closed = json.field("reason").string();
        if (closed != "gap" && closed != "divergence") throw DataError(Fault::inconsistent, path.string() + ": no reason that there is");
        if (closed_is_sealed) closed_after = json.field("previous").string();
    }

    /// Throws DataError unless all steps that chain.json names are there and unchanged.
    void check(const JsonFile& head) {
        head.check_format();
        const std::string name = (directory / "chain.json").string();
        const std::vector<const Step*> all = steps();
        std::size_t named = 0, joined = 0;
        const Step* unnamed = nullptr; // of what it was made of chain.json still has the names
        for (const bson::Element& element : head.field("steps").array()) {
            const fs::path path = directory / std::string(JsonFile::field(element.document(), "path").string());
            if (named < all.size() && joined < all[named]->joined.size() && all[named]->directory != path) {
                const Step& step = *all[named];
                if (path != step.directory.parent_path() / step.joined[joined].name ||
                    JsonFile::field(element.document(), "sha256").string() != step.joined[joined].sha256)
                    throw DataError(Fault::inconsistent, step.directory.string() + ": " + name + " has " + path.string() + " in its place");
                unnamed = &step;
                if (++joined < step.joined.size()) continue;
                joined = 0;
                ++named;
                continue;
            }
            if (named == all.size()) throw DataError(Fault::incomplete, path.string() + ": missing; " + name + " names it");
            const Step& step = *all[named++];
            if (step.directory != path)
                throw DataError(Fault::inconsistent, step.directory.string() + ": " + name + " has " + path.string() + " in its place");
            if (JsonFile::field(element.document(), "sha256").string() != step.sha256)
                throw DataError(Fault::inconsistent, (path / "step.json").string() + ": not the record that " + name + " names");
        }
        const auto behind = [&](const fs::path& path, bool is_sealed) {
            if (!is_sealed) throw DataError(Fault::incomplete, path.string() + ": not named by " + name);
            unproved =
                path.string() + ": not named by " + name + " yet, as after a run that was killed; were it lost, this would not be seen";
            is_behind = true;
        };
        if (joined > 0)
            throw DataError(Fault::incomplete, unnamed->directory.string() + ": " + name + " names only a part of what is joined in it");
        if (unnamed) behind(unnamed->directory, unnamed->is_sealed);
        for (; named < all.size(); ++named) behind(all[named]->directory, all[named]->is_sealed);
        if (const auto wanted = head.document().find("closed")) {
            if (closed.empty())
                throw DataError(Fault::incomplete, (directory / "closed.json").string() + ": missing; " + name + " names it");
            if (wanted->string() != closed_sha256)
                throw DataError(Fault::inconsistent, (directory / "closed.json").string() + ": not the record that " + name + " names");
        } else if (!closed.empty()) {
            behind(directory / "closed.json", closed_is_sealed);
        }
        if (closed_is_sealed && closed_after != newest().link())
            throw DataError(Fault::inconsistent,
                            (directory / "closed.json").string() + ": of another chain, or of other steps than there are");
    }

    /// For a chain without chain.json: throws DataError unless no record requires one.
    void require_old() {
        const std::vector<const Step*> all = steps();
        if (closed_is_sealed || std::ranges::any_of(all, &Step::is_sealed))
            throw DataError(Fault::incomplete,
                            (directory / "chain.json").string() + ": missing, so whether all steps are there cannot be told");
        unproved = "its records are of an older version: were one changed, or the newest increment lost, this would not be seen";
    }

    void load_increments() {
        if (!is_there(directory / "inc")) return;
        require(fs::file_type::directory, directory / "inc");
        std::vector<Step> all;
        std::map<std::string, std::string> joined; // by the names of directories
        for (const fs::directory_entry& entry : fs::directory_iterator(directory / "inc")) {
            if (entry.path().filename().string().starts_with('.')) continue;
            try {
                all.push_back(Step::load(entry.path()));
            } catch (const std::exception&) {
                if (!is_there(entry.path())) continue; // joined with others meanwhile
                throw;
            }
            for (const Step::Joined& one : all.back().joined) joined[one.name] = one.sha256;
        }
        std::map<std::uint64_t, Step> found;
        for (Step& step : all) {
            const auto stands_for = joined.find(step.directory.filename().string());
            if (stands_for != joined.end() && stands_for->second == step.sha256) {
                replaced.push_back(step.directory);
                continue;
            }
            const auto number = step.number;
            const std::string name = step.directory.string();
            if (!found.emplace(number, std::move(step)).second)
                throw DataError(Fault::inconsistent, name + ": another increment has the number " + std::to_string(number));
        }
        for (auto& [number, step] : found) {
            const Step& before = newest();
            if (step.first_number() != taken() + 1)
                throw DataError(Fault::incomplete, fmt::format("{}: increment {} is missing", directory.string(), taken() + 1));
            if (step.first != before.last || step.first_sha256 != before.last_sha256)
                throw DataError(Fault::inconsistent,
                                fmt::format("{}: does not begin with the entry {} that {} ends with", step.directory.string(),
                                            to_string(before.last), before.directory.string()));
            step.check_follows(before);
            step.check_files();
            increments.push_back(std::move(step));
        }
    }
};

/// The time after which a step's directory is named.
inline std::optional<std::uint32_t> time_of_name(const std::string& name) {
    std::tm tm{};
    tm.tm_isdst = -1;
    const char* const rest = ::strptime(name.c_str(), "%Y%m%d_%H_%M_%S", &tm);
    if (!rest || (*rest != '\0' && *rest != '_')) return std::nullopt;
    return static_cast<std::uint32_t>(std::mktime(&tm));
}

/// Whether this is a chain or the rest of one: a record, or a directory with such a name and without any file.
inline bool is_chain(const fs::path& directory) {
    const bool is_named_so = time_of_name(directory.filename().string()).has_value();
    // A chain that cannot be examined counts as damaged; otherwise the one before it would pass for the newest.
    const auto is_hidden = [&](const std::error_code& error) {
        return error && !is_of_absence(error) && (is_named_so || error != std::errc::permission_denied);
    };
    std::error_code error;
    if (!fs::is_directory(directory, error)) return is_hidden(error);
    const auto has = [&](const fs::path& record) { return fs::exists(fs::symlink_status(record, error)) || is_hidden(error); };
    for (const char* record : {"chain.json", "closed.json", "full/step.json", "slice/step.json"})
        if (has(directory / record)) return true;
    if (fs::is_directory(directory / "inc", error))
        for (const fs::directory_entry& increment : fs::directory_iterator(directory / "inc"))
            if (has(increment.path() / "step.json")) return true;
    return is_named_so && std::ranges::all_of(fs::recursive_directory_iterator(directory), [](const fs::directory_entry& entry) {
               return entry.symlink_status().type() == fs::file_type::directory;
           });
}

/// All chains of a backup directory, the oldest first. Directories without records of this system are ignored.
inline std::vector<Chain> load_chains(const fs::path& directory) {
    if (!fs::is_directory(directory)) oplog::detail::throw_errno(directory.string(), ENOENT);
    std::vector<Chain> chains;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
        if (entry.path().filename().string().starts_with('.') || !is_chain(entry.path())) continue;
        Chain chain = Chain::load(entry.path());
        if (fs::exists(chain.directory)) chains.push_back(std::move(chain)); // otherwise it was pruned meanwhile
    }
    // Where nothing was written from one to the next, the machine's clock tells; but not where it was ahead, nor by a name as long as
    // there is anything else, because that is in local time, and each autumn repeats an hour.
    const std::uint32_t now = static_cast<std::uint32_t>(std::time(nullptr));
    const auto age = [now](const Chain& chain) {
        if (chain.full) return std::tuple(chain.begin(), chain.full->started.seconds > now ? 0 : chain.full->started.seconds, chain.id);
        struct stat info {};
        ::stat(chain.directory.c_str(), &info);
        return std::tuple(Timestamp{time_of_name(chain.id).value_or(static_cast<std::uint32_t>(info.st_mtime)), 0}, 0U, chain.id);
    };
    std::ranges::sort(chains, {}, age);
    return chains;
}

} // namespace oplog::tools

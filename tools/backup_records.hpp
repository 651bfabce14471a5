// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a backup directory's records say: chains of a full backup and its increments.
///
///     <dir>/<chain>/full/              what mongodump --oplog wrote, or oplog-apply, and its step.json
///     <dir>/<chain>/slice/             the oplog over the time of that dump
///     <dir>/<chain>/inc/<name>/        an increment
///     <dir>/<chain>/closed.json        why nothing can continue the chain, if so

#include "sha256.hpp"
#include "tool.hpp"

#include <bson/bson.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace oplog::tools {

namespace fs = std::filesystem;

/// A JSON object from a file. Throws std::system_error, and DataError for what is none.
class JsonFile {
  public:
    explicit JsonFile(const std::string& path) {
        std::ifstream file(path, std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        if (!file) oplog::detail::throw_errno(path);
        bson_error_t error;
        bson_t* const parsed = ::bson_new_from_json(reinterpret_cast<const std::uint8_t*>(text.data()), static_cast<::ssize_t>(text.size()), &error);
        if (!parsed) throw DataError(path + ": " + escaped(error.message));
        bytes_.assign(reinterpret_cast<const char*>(::bson_get_data(parsed)), parsed->len);
        ::bson_destroy(parsed);
    }
    bson::Document document() const& { return bson::Document(bytes_); }
    bson::Document document() && = delete; // it is a view

    static bson::Element field(const bson::Document& document, std::string_view key) {
        const auto found = document.find(key);
        if (!found) throw DataError("no field '" + std::string(key) + "'");
        return *found;
    }

  private:
    std::string bytes_;
};

/// One step of a chain, as its step.json tells it.
struct Step {
    struct File {
        std::string path; ///< below the step's directory
        std::uint64_t size = 0;
        std::string sha256;
    };

    fs::path directory;
    std::string type;              ///< full, slice, inc
    std::uint64_t number = 0;      ///< of an increment, from 1
    Timestamp first, last;         ///< of its oplog
    std::string first_sha256, last_sha256; ///< of those entries' bytes
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0;       ///< of oplog, before compression
    Timestamp started, finished;   ///< wall clock, whole seconds
    std::vector<File> files;
    std::map<std::string, std::string> versions;
    std::string made_of; ///< the chain, if it is a full backup that no server was asked for

    /// The oplog's path, in the directory or in one that is to become it.
    std::string oplog() const { return resolve_input(directory.string()); }
    std::uint64_t size() const {
        std::uint64_t sum = 0;
        for (const File& file : files) sum += file.size;
        return sum;
    }
    std::uint32_t seconds() const { return finished.seconds - started.seconds; }

    std::string to_json() const {
        std::string text = fmt::format("{{\"format\":1,\n\"type\":{},\"number\":{},\n", json_quoted(type), number);
        if (!made_of.empty()) text += fmt::format("\"madeOf\":{},\n", json_quoted(made_of));
        text += fmt::format("\"first\":\"{}\",\"last\":\"{}\",\"entries\":{},\"bytes\":{},\n", to_string(first), to_string(last), entries, bytes);
        text += fmt::format("\"firstEntrySha256\":\"{}\",\n\"lastEntrySha256\":\"{}\",\n", first_sha256, last_sha256);
        text += fmt::format("\"started\":\"{}\",\"finished\":\"{}\",\"seconds\":{},\n\"versions\":{{", to_utc_string(started), to_utc_string(finished), seconds());
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
        return text + "\n]}\n";
    }

    /// Reads DIRECTORY/step.json. Throws DataError and std::system_error.
    static Step load(const fs::path& directory) {
        const fs::path path = directory / "step.json";
        const JsonFile json(path);
        try {
            const auto field = [document = json.document()](const char* key) { return JsonFile::field(document, key); };
            const auto text = [&](const char* key) { return std::string(field(key).string()); };
            if (field("format").integer() != 1) throw DataError("of another format than 1: made by another version of this tool");
            Step step;
            step.directory = directory;
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
            for (const bson::Element& version : field("versions").document()) step.versions.emplace(version.key(), version.string());
            for (const bson::Element& file : field("files").array()) {
                const auto of = [&](const char* key) { return JsonFile::field(file.document(), key); };
                step.files.push_back({std::string(of("path").string()), static_cast<std::uint64_t>(of("size").integer()), std::string(of("sha256").string())});
            }
            return step;
        } catch (const Error& error) {
            throw DataError(path.string() + ": " + error.what());
        }
    }

    /// Whether every file is there with its size. Throws DataError.
    void check_files() const {
        for (const File& file : files) {
            std::error_code missing;
            const auto size = fs::file_size(directory / file.path, missing);
            if (missing) throw DataError((directory / file.path).string() + ": " + missing.message());
            if (size != file.size)
                throw DataError(fmt::format("{}: {} bytes, and its record says {}", (directory / file.path).string(), size, file.size));
        }
    }
};

/// A full backup and what continues it.
struct Chain {
    std::string id; ///< the name of its directory
    fs::path directory;
    std::optional<Step> full, slice; ///< none if damaged
    std::vector<Step> increments;    ///< in order, as far as each continues the one before
    std::string closed;              ///< "gap" or "divergence": nothing can continue it
    std::string damage;              ///< what is wrong with its records or files, if anything is
    bool good = false;               ///< its full backup is whole, so that there is something to restore

    bool open() const { return good && closed.empty() && damage.empty(); }
    /// The newest entries may be of a history that the source has given up.
    bool doubtful() const { return closed == "divergence"; }
    const char* state() const { return !damage.empty() ? "damaged" : closed == "gap" ? "closed: gap" : closed == "divergence" ? "closed: divergence" : "open"; }

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

    static Chain load(const fs::path& directory) {
        Chain chain;
        chain.id = directory.filename().string();
        chain.directory = directory;
        try {
            chain.full = Step::load(directory / "full");
            chain.slice = Step::load(directory / "slice");
            chain.full->check_files();
            chain.slice->check_files();
            if (chain.slice->last_sha256 != chain.full->last_sha256) throw DataError((directory / "slice").string() + ": does not end as full does");
            chain.good = true;
            if (fs::exists(directory / "closed.json")) {
                const JsonFile json(directory / "closed.json");
                chain.closed = JsonFile::field(json.document(), "reason").string();
            }
            chain.load_increments();
        } catch (const std::exception& error) {
            chain.damage = error.what();
        }
        return chain;
    }

  private:
    void load_increments() {
        if (!fs::exists(directory / "inc")) return;
        std::map<std::uint64_t, Step> found;
        for (const fs::directory_entry& entry : fs::directory_iterator(directory / "inc")) {
            if (entry.path().filename().string().starts_with('.')) continue;
            Step step = Step::load(entry.path());
            const auto number = step.number;
            if (!found.emplace(number, std::move(step)).second) throw DataError(entry.path().string() + ": another increment has the number " + std::to_string(number));
        }
        for (auto& [number, step] : found) {
            const Step& before = newest();
            if (number != increments.size() + 1) throw DataError(fmt::format("{}: increment {} is missing", directory.string(), increments.size() + 1));
            if (step.first != before.last || step.first_sha256 != before.last_sha256)
                throw DataError(fmt::format("{}: does not begin with the entry {} that {} ends with", step.directory.string(), to_string(before.last), before.directory.string()));
            step.check_files();
            increments.push_back(std::move(step));
        }
    }
};

/// Every chain of a backup directory, the oldest first. What has no records of this system is not one.
inline std::vector<Chain> load_chains(const fs::path& directory) {
    if (!fs::is_directory(directory)) oplog::detail::throw_errno(directory.string(), ENOENT);
    std::vector<Chain> chains;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
        if (entry.path().filename().string().starts_with('.') || !fs::exists(entry.path() / "full" / "step.json")) continue;
        chains.push_back(Chain::load(entry.path()));
    }
    // Not by name: that is in local time, which has an hour of each autumn twice.
    const auto age = [](const Chain& chain) {
        struct stat info {};
        if (!chain.full) ::stat((chain.directory / "full" / "step.json").c_str(), &info); // all that is left to go by
        return std::pair(chain.full ? chain.begin() : Timestamp{static_cast<std::uint32_t>(info.st_mtime), 0}, chain.id);
    };
    std::ranges::sort(chains, {}, age);
    return chains;
}

} // namespace oplog::tools

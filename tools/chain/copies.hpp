// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Which records of a backup directory have been copied elsewhere, with what they are of: DIR/.copied names them as sha256sum does.

#include "backup_cluster.hpp"
#include "backup_records.hpp"

#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::tools {

class Copies {
  public:
    using Record = std::pair<std::string, std::string>; ///< A path in the directory, and the SHA-256 of the file.

    explicit Copies(const fs::path& directory) : directory_(directory) {
        std::ifstream file = text_file(path());
        copied_ = read(file);
    }

    /// Reads lines of a SHA-256, two spaces and a path. A line that is not whole is none.
    static std::map<std::string, std::string> read(std::istream& lines) {
        std::map<std::string, std::string> found;
        for (std::string line; std::getline(lines, line) && !lines.eof();)
            if (line.size() > 66 && line.substr(64, 2) == "  ") found[line.substr(66)] = line.substr(0, 64);
        return found;
    }

    /// Whether copies are made at all.
    bool any() const { return is_there(path()); }

    /// What is there and not copied, records of chains and clusters after those that they name.
    std::vector<Record> missing() const {
        std::vector<Record> all;
        add_chains(all, directory_);
        for (const std::string& member : members_in(directory_)) add_chains(all, directory_ / member);
        for (const fs::directory_entry& entry : fs::directory_iterator(directory_))
            if (ClusterBackup::is_record(entry.path())) add_file(all, entry.path());
        std::ranges::stable_sort(all, {}, [](const Record& record) { return rank(record.first); });
        std::erase_if(all, [&](const Record& record) {
            const auto found = copied_.find(record.first);
            return found != copied_.end() && found->second == record.second;
        });
        return all;
    }

    /// What a record is of: a step's directory, or it is itself what there is to copy.
    static std::string subject(const std::string& record) {
        constexpr std::string_view step = "/step.json";
        return record.ends_with(step) ? record.substr(0, record.size() - step.size()) : record;
    }

    /// Records that these are copied, and forgets what is not there any more.
    void add(const std::map<std::string, std::string>& records) {
        for (const auto& [record, hash] : records) copied_[record] = hash;
        FileSink file(path().string(), IfExists::replace, Content::text);
        for (const auto& [record, hash] : copied_) {
            if (!is_there(directory_ / record)) continue;
            const std::string line = hash + "  " + record + "\n";
            file.write(line.data(), line.size());
        }
        file.close();
    }

  private:
    fs::path path() const { return directory_ / ".copied"; }
    static int rank(const std::string& record) { return record.ends_with(ClusterBackup::extension) ? 2 : record.ends_with("/chain.json"); }

    void add_chains(std::vector<Record>& all, const fs::path& directory) const {
        for (const Chain& chain : load_chains(directory)) {
            for (const Step* step : chain.steps())
                all.emplace_back((step->directory / "step.json").lexically_relative(directory_).string(), step->sha256);
            for (const char* name : {"closed.json", "chain.json"}) add_file(all, chain.directory / name);
        }
    }
    void add_file(std::vector<Record>& all, const fs::path& file) const {
        std::ifstream in(file, std::ios::binary);
        if (in) all.emplace_back(file.lexically_relative(directory_).string(), sha256(std::string(std::istreambuf_iterator<char>(in), {})));
    }

    fs::path directory_;
    std::map<std::string, std::string> copied_;
};

} // namespace oplog::tools

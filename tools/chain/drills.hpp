// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The restores that were tried, a JSON line each in DIR/drills.jsonl, the newest last.

#include "backup_records.hpp"

#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <fstream>
#include <optional>
#include <string>
#include <unistd.h>
#include <vector>

namespace oplog::tools {

struct Drill {
    Timestamp started; ///< Wall clock.
    std::string chain;
    std::optional<Timestamp> to;                   ///< The moment that was restored, if it is known.
    std::string result;                            ///< identical, different or failed; unreadable, if all but the reason is unknown
    std::string reason;                            ///< Why it is not identical.
    std::int64_t seconds = 0, restore_seconds = 0; ///< All that it took, and the restore alone.

    std::string to_json() const {
        const std::string why = reason.empty() ? "" : ",\"reason\":" + json_quoted(reason);
        const std::string at = to ? json_moment(*to) + "," : "";
        return fmt::format(R"({{"startedTime":"{}","chain":{},{}"result":{},"seconds":{},"restoreSeconds":{}{}}})", to_utc_string(started),
                           json_quoted(chain), at, json_quoted(result), seconds, restore_seconds, why);
    }

    /// Those that were recorded.
    static std::vector<Drill> all(const fs::path& directory) {
        std::vector<Drill> found;
        std::ifstream file = text_file(directory / "drills.jsonl");
        for (std::string line; std::getline(file, line);) {
            try {
                const std::string bytes = parse_json(line);
                const bson::Document json(bytes);
                const auto text = [&](const char* key) { return std::string(JsonFile::field(json, key).string()); };
                const auto reason = json.find("reason"), to = json.find("ts");
                found.push_back({parse_time(text("startedTime")).first, text("chain"),
                                 to ? std::optional(parse_timestamp(to->string())) : std::nullopt, text("result"),
                                 std::string(reason ? reason->string() : ""), JsonFile::field(json, "seconds").integer(),
                                 JsonFile::field(json, "restoreSeconds").integer()});
            } catch (const Error&) { // as one that was cut off by a full disk
                Drill drill;
                drill.result = "unreadable";
                drill.reason = fmt::format("line {} of drills.jsonl is no record of a drill", found.size() + 1);
                found.push_back(std::move(drill));
            }
        }
        return found;
    }
    static std::optional<Drill> last(const fs::path& directory) {
        const std::vector<Drill> found = all(directory);
        return found.empty() ? std::nullopt : std::optional(found.back());
    }

    /// Records it. Other drills may end at the same time.
    void add(const fs::path& directory) const {
        const fs::path path = directory / "drills.jsonl";
        oplog::detail::Descriptor file(::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
        if (!file.is_open()) oplog::detail::throw_errno(path.string());
        char end = '\n';
        if (const ::off_t size = ::lseek(file.get(), 0, SEEK_END); size > 0 && ::pread(file.get(), &end, 1, size - 1) != 1)
            oplog::detail::throw_errno(path.string());
        const std::string line = (end == '\n' ? "" : "\n") + to_json() + "\n";
        oplog::detail::write_all(file.get(), line.data(), line.size(), path.string());
        if (::fsync(file.get()) != 0) oplog::detail::throw_errno(path.string());
    }
};

} // namespace oplog::tools

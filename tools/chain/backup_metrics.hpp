// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What is worth watching of a backup, as Prometheus reads it from a file and as facts for a command.

#include "backup_cluster.hpp"
#include "backup_records.hpp"
#include "drills.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::tools {

/// What was last seen of a source's oplog.
struct SourceOplog {
    Timestamp oldest, newest;
    bool is_overwritten = true; ///< Whether it lost entries already, and so has the length that it can have.

    /// Reads what oplog-backup has written into a directory of chains. None if it has not, or was ended as it did.
    static std::optional<SourceOplog> load(const fs::path& directory) {
        const fs::path path = directory / ".oplog.json";
        if (!is_there(path)) return std::nullopt;
        try {
            const JsonFile json(path);
            const auto text = [&](const char* key) { return json.field(key).string(); };
            return SourceOplog{parse_timestamp(text("oldest")), parse_timestamp(text("newest")), json.field("overwritten").boolean()};
        } catch (const Error&) {
            return std::nullopt;
        }
    }
};

/// The newest chain of a source, and its oplog.
struct Watched {
    std::string member; ///< Of a cluster, or empty.
    const Chain* chain;
    std::optional<SourceOplog> oplog;

    /// Seconds from one moment to another, which may be before it.
    static std::int64_t between(Timestamp from, Timestamp to) { return std::int64_t{to.seconds} - from.seconds; }
    Timestamp end() const { return chain->end(); }
    Timestamp newest() const { return std::max(oplog->newest, end()); }
    std::int64_t lag() const { return between(end(), newest()); }
    /// How long the oplog reaches back, and how long before the chain's end.
    std::int64_t window() const { return between(oplog->oldest, newest()); }
    std::int64_t left() const { return between(oplog->oldest, end()); }

    std::string to_json() const {
        const auto overwritten = forecast();
        return fmt::format(R"({{{}{},"windowSeconds":{},"leftSeconds":{},"lagSeconds":{}{}}})",
                           member.empty() ? "" : "\"member\":" + json_quoted(member) + ",", json_span(oplog->oldest, newest()), window(),
                           left(), lag(),
                           overwritten ? fmt::format(R"(,"overwrittenTime":"{}")", to_utc_string(moment(*overwritten))) : "");
    }
    static Timestamp moment(std::int64_t seconds) {
        return {static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 0, UINT32_MAX)), 0};
    }

    /// When the chain's last entry is overwritten if the source goes on writing as it did lately: the oplog has room for what was
    /// written while its window lasted. None if it has lost nothing yet.
    std::optional<std::int64_t> forecast() const {
        if (!oplog || !oplog->is_overwritten) return std::nullopt;
        return end().seconds + static_cast<std::int64_t>(static_cast<double>(window()) * rate(window()) / rate(60));
    }

  private:
    /// The bytes a second of the newest steps that last so long together.
    double rate(std::int64_t seconds) const {
        std::int64_t span = 0;
        double bytes = 0;
        const std::vector<const Step*> steps = chain->steps();
        for (auto at = steps.rbegin(); at != steps.rend() && (*at)->type != "full" && (at == steps.rbegin() || span < seconds); ++at) {
            span += between((*at)->first, (*at)->last);
            bytes += static_cast<double>((*at)->bytes);
        }
        return bytes / static_cast<double>(std::max<std::int64_t>(span, 1));
    }
};

/// How the last step of each kind ended. It is kept in the directory of backups.
struct StepEnds {
    struct End {
        std::string step;
        std::int64_t code, at, seconds;
        std::int64_t succeeded = 0; ///< When one last did; 0 if that is not known.
    };
    std::vector<End> all;

    static StepEnds load(const fs::path& directory) {
        StepEnds ends;
        const fs::path path = directory / ".steps.json";
        if (!is_there(path)) return ends;
        try {
            const JsonFile json(path);
            for (const bson::Element& element : json.field("steps").array()) {
                const auto field = [&](const char* key) { return JsonFile::field(element.document(), key); };
                const auto succeeded = element.document().find("succeeded");
                ends.all.push_back({std::string(field("step").string()), field("code").integer(), field("at").integer(),
                                    field("seconds").integer(), succeeded ? succeeded->integer() : 0});
            }
        } catch (const Error&) {
            ends.all.clear(); // of a run that was ended as it wrote: there will be others
        }
        return ends;
    }
    void add(End end) {
        const auto before = std::ranges::find(all, end.step, &End::step);
        end.succeeded = end.code == 0 ? end.at : before != all.end() ? before->succeeded : 0;
        if (before != all.end()) all.erase(before);
        all.push_back(std::move(end));
    }
    void save(const fs::path& directory) const {
        std::string text = "{\"steps\":[";
        for (const End& one : all)
            text += fmt::format("{}{{\"step\":{},\"code\":{},\"at\":{},\"seconds\":{},\"succeeded\":{}}}", text.ends_with('[') ? "" : ",",
                                json_quoted(one.step), one.code, one.at, one.seconds, one.succeeded);
        text += "]}\n";
        FileSink file((directory / ".steps.json").string(), IfExists::replace, Content::text);
        file.write(text.data(), text.size());
        file.close();
    }
};

/// What there is to watch of a directory of backups.
struct Overview {
    std::string id, state; ///< Of the newest backup, if there is any.
    std::vector<Watched> sources;
    std::size_t backups = 0, good = 0;
    std::uint64_t size = 0;
    std::optional<std::size_t> uncopied;           ///< How many records, with what they are of, are to be copied, if any ever are.
    std::map<std::string, std::int64_t> successes; ///< When a step of each kind last succeeded.

    void succeeded(const std::string& step, Timestamp at) { successes[step] = std::max<std::int64_t>(successes[step], at.seconds); }
    static const char* kind(const Step& full) { return full.made_of.empty() ? "full" : "synthesize"; }

    Overview(const std::vector<Chain>& all, const fs::path& directory) : backups(all.size()) {
        const Chain* newest = nullptr;
        for (const Chain& chain : all) {
            id = chain.id;
            state = chain.state();
            size += chain.size();
            if (!chain.good) continue;
            ++good;
            newest = &chain;
            succeeded(kind(*chain.full), chain.full->finished);
            for (const Step& step : chain.increments) succeeded("inc", step.finished);
        }
        if (newest) sources.push_back({"", newest, SourceOplog::load(directory)});
    }
    Overview(const std::vector<ClusterBackup>& all, const fs::path& directory) : backups(all.size()) {
        for (const ClusterBackup& one : all) {
            id = one.id;
            state = one.state();
            size += one.size();
            if (!one.good() || one.rounds.empty()) continue;
            ++good;
            succeeded(kind(*one.members.front().chain.full), one.rounds.front().finished);
            if (one.rounds.size() > 1) succeeded("inc", one.finished());
        }
        if (all.empty()) return;
        for (const ClusterBackup::Member& member : all.back().members)
            if (!member.removed && member.chain.good)
                sources.push_back({member.name, &member.chain, SourceOplog::load(directory / member.name)});
    }
};

/// Text for Prometheus. Every sample has the backup's directory as a label, since one machine may have several.
class Metrics {
  public:
    Metrics(const Overview& of, const StepEnds& ends, std::uint32_t interval, const std::optional<Drill>& drill, const fs::path& directory)
        : labels_("directory=" + quoted(directory.string())) {
        describe("last_success_timestamp_seconds", "When a step last succeeded, by the clock of the machine that backs up.");
        for (const auto& [step, at] : of.successes) sample(at, "step", step);
        for (const StepEnds::End& end : ends.all) // of what no chain tells, as of copies
            if (end.succeeded > 0 && !of.successes.contains(end.step)) sample(end.succeeded, "step", end.step);
        describe("last_end_timestamp_seconds", "When a step last ended, whether or not it succeeded.");
        for (const StepEnds::End& end : ends.all) sample(end.at, "step", end.step);
        describe("exit_code", "With what a step last ended: 0 is success.");
        for (const StepEnds::End& end : ends.all) sample(end.code, "step", end.step);
        describe("duration_seconds", "How long a step last took.");
        for (const StepEnds::End& end : ends.all) sample(end.seconds, "step", end.step);
        describe("interval_seconds", "time_interval of the configuration.");
        sample(interval);
        describe("newest_entry_timestamp_seconds", "The newest entry of the oplog that is archived, by the server's clock.");
        for (const Watched& one : of.sources) sample(one.end().seconds, "member", one.member);
        describe("step_size_bytes", "The size of the newest step.");
        for (const Watched& one : of.sources) sample(one.chain->newest().size(), "member", one.member);
        describe("lag_seconds", "How much newer the server's newest entry was than the newest archived one when a step last ended.");
        of_oplogs(of, &Watched::lag);
        describe("oplog_window_seconds", "How long the server's oplog reached back when a step last ended.");
        of_oplogs(of, &Watched::window);
        describe("oplog_window_left_seconds", "How much of that lay before the newest archived entry: at 0 comes the gap.");
        of_oplogs(of, &Watched::left);
        describe("overwritten_timestamp_seconds", "When the newest archived entry will be overwritten at the present rate.");
        for (const Watched& one : of.sources)
            if (const auto at = one.forecast()) sample(*at, "member", one.member);
        describe("chains", "How many chains there are.");
        sample(of.backups);
        describe("good_chains", "How many of them can be restored.");
        sample(of.good);
        describe("size_bytes", "The size of all of them.");
        sample(of.size);
        if (of.uncopied) {
            describe("uncopied", "How many steps and records have not been copied elsewhere yet.");
            sample(*of.uncopied);
        }
        if (!drill) return;
        describe("drill_timestamp_seconds", "When the last restore that was tried was begun.");
        sample(drill->started.seconds);
        describe("drill_ok", "Whether all came back identical.");
        sample(drill->result == "identical" ? 1 : 0);
        describe("drill_restore_seconds", "How long that restore took.");
        sample(drill->restore_seconds);
    }
    const std::string& text() const { return text_; }

  private:
    /// Begins a metric, whose samples follow.
    void describe(std::string_view name, std::string_view help) {
        name_ = "oplog_backup_" + std::string(name);
        text_ += fmt::format("# HELP {} {}\n# TYPE {} gauge\n", name_, help, name_);
    }
    template <class Number>
    void sample(Number value, std::string_view label = {}, std::string_view is = {}) {
        text_ += fmt::format("{}{{{}{}}} {}\n", name_, labels_, is.empty() ? "" : fmt::format(",{}={}", label, quoted(is)), value);
    }
    void of_oplogs(const Overview& of, std::int64_t (Watched::*value)() const) {
        for (const Watched& one : of.sources)
            if (one.oplog) sample((one.*value)(), "member", one.member);
    }
    /// Prometheus takes UTF-8 alone. What else a name has is shown as \xNN.
    static std::string quoted(std::string_view text) {
        std::string out = "\"";
        for (const char c : bson::is_utf8(text) ? std::string(text) : escaped(text))
            out += c == '\n' ? "\\n" : c == '"' || c == '\\' ? std::string{'\\', c} : std::string(1, c);
        return out + '"';
    }

    std::string labels_, name_, text_;
};

/// The same for a command's environment, NAME=VALUE each; of a cluster's members that which is worst.
inline std::vector<std::string> facts(const Overview& of) {
    std::vector<std::string> all;
    const auto add = [&](const char* name, const auto& value) { all.push_back(fmt::format("OPLOG_{}={}", name, value)); };
    if (of.backups == 0) return all;
    add("CHAIN", of.id);
    add("STATE", of.state);
    add("SIZE", of.size);
    if (of.sources.empty()) return all;
    const Timestamp end = std::ranges::min(of.sources, {}, &Watched::end).end();
    add("NEWEST", to_string(end));
    add("NEWEST_TIME", to_utc_string(end));
    std::optional<std::int64_t> lag, window, left, overwritten;
    const auto least = [](std::optional<std::int64_t>& of_all, std::int64_t value) { of_all = std::min(of_all.value_or(value), value); };
    for (const Watched& one : of.sources) {
        if (!one.oplog) continue;
        lag = std::max(lag.value_or(0), one.lag());
        least(window, one.window());
        least(left, one.left());
        if (const auto at = one.forecast()) least(overwritten, *at);
    }
    if (lag) add("LAG_SECONDS", *lag);
    if (window) add("WINDOW_SECONDS", *window);
    if (left) add("WINDOW_LEFT_SECONDS", *left);
    if (overwritten) add("OVERWRITTEN_TIME", to_utc_string(Watched::moment(*overwritten)));
    return all;
}

} // namespace oplog::tools

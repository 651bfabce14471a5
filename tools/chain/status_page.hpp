// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The status of a backup directory as a page of HTML.

#include "backup_cluster.hpp"
#include "backup_metrics.hpp"
#include "copies.hpp"
#include "drills.hpp"

#include "../lib/html_page.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::tools {

/// What the page is of, and the parts of it that are found out elsewhere.
struct Status {
    fs::path directory;
    std::vector<Chain> chains;           ///< Or clusters.
    std::vector<ClusterBackup> clusters; ///< Of a sharded cluster.
    std::vector<Window> windows;         ///< That can be restored: none meets another.
    std::optional<std::pair<std::string, Timestamp>> next;
    std::optional<std::vector<Copies::Record>> uncopied;
    std::optional<std::uint32_t> interval; ///< Of the configuration, if it is known.
    std::string json;
    Timestamp now;
};

class StatusPage {
  public:
    explicit StatusPage(Status status)
        : status_(std::move(status)),
          overview_(status_.clusters.empty() ? Overview(status_.chains, status_.directory) : Overview(status_.clusters, status_.directory)),
          drills_(Drill::all(status_.directory)) {
        for (const Chain& chain : status_.chains) lanes_.push_back({chain.id, &chain});
        for (const ClusterBackup& one : status_.clusters)
            for (const ClusterBackup::Member& member : one.members) lanes_.push_back({one.id + " " + member.name, &member.chain});
    }

    std::string text() const {
        const bool has_steps = std::ranges::any_of(lanes_, [](const Lane& lane) { return !lane.chain->steps().empty(); });
        std::string body = html::header("Backups in " + status_.directory.string(), "As of " + to_utc_string(status_.now) + ".");
        body += warnings() + summary();
        if (!lanes_.empty())
            body += html::contents({{"chains", "Chains"},
                                    {"windows", "Windows and gaps"},
                                    {"steps", "Steps"},
                                    {"lasts", "How long the oplog lasts"},
                                    {"drills", "Drills"},
                                    {"copies", "Copies"},
                                    {"left-out", "What this page leaves out"}});
        if (!lanes_.empty()) body += chains(has_steps) + windows();
        if (has_steps) body += steps() + lasts();
        if (!lanes_.empty()) body += drills() + copies();
        return html::page("Backups in " + status_.directory.string(), body + left_out() + html::footer("oplog-chain"), status_.json);
    }

  private:
    using Table = html::Table;
    using Kind = html::Table::Kind;
    struct Lane {
        std::string name;
        const Chain* chain;
    };

    static std::string size(std::uint64_t bytes) { return human_size(static_cast<double>(bytes)); }
    static std::string between(Timestamp from, Timestamp to) { return about(to.seconds > from.seconds ? to.seconds - from.seconds : 0); }
    static std::string moment(Timestamp ts) { return fmt::format("{} ({})", to_utc_string(ts), to_string(ts)); }
    static std::string of(const Watched& one) { return one.member.empty() ? "" : one.member + ": "; }

    std::string warnings() const {
        std::vector<std::string> all;
        if (lanes_.empty()) all.push_back("There is no backup.");
        for (const ClusterBackup& one : status_.clusters) {
            if (const std::string damage = one.damage(); !damage.empty()) all.push_back(fmt::format("{} is damaged: {}", one.id, damage));
            if (&one == &status_.clusters.back())
                for (const ClusterBackup::Member& member : one.members)
                    if (one.holds_back(member))
                        all.push_back(fmt::format("Held back by {}, whose chain ends at {}, before {}.", member.name,
                                                  to_utc_string(member.chain.end()), to_utc_string(one.wanted)));
        }
        for (const auto& [name, chain] : lanes_) {
            if (!chain->damage.empty())
                all.push_back(fmt::format("{} is damaged: {}", name, chain->damage));
            else if (!chain->unproved.empty())
                all.push_back(fmt::format("{} is not proved: {}", name, chain->unproved));
            if (chain->doubtful())
                all.push_back(fmt::format("The end of {} is doubtful: the source has rolled back what it ends with.", name));
        }
        if (overview_.backups > 0 && overview_.state.starts_with("closed"))
            all.push_back(fmt::format("Nothing can continue {} ({}): a new full backup is needed.", overview_.id, overview_.state));
        // A step takes its time, and by this machine's clock.
        if (status_.next && status_.interval && status_.now.seconds > status_.next->second.seconds + *status_.interval / 10 + 60)
            all.push_back(
                fmt::format("The next step, {}, is overdue: it was due at {}.", status_.next->first, to_utc_string(status_.next->second)));
        for (const Watched& one : overview_.sources) {
            if (!one.oplog || !one.oplog->is_overwritten) continue;
            if (one.left() <= 0)
                all.push_back(of(one) +
                              "The server had overwritten the newest archived entry when a step last ended: there will be a gap.");
            else if (status_.interval && one.window() < 2 * std::int64_t{*status_.interval})
                all.push_back(
                    fmt::format("{}The server's oplog lasted {}, less than two intervals of {}: one increment that is late meets a gap.",
                                of(one), about(static_cast<double>(one.window())), about(*status_.interval)));
        }
        if (status_.windows.size() > 1)
            all.push_back(
                fmt::format("{} between what can be restored.",
                            status_.windows.size() == 2 ? "There is a gap" : fmt::format("There are {} gaps", status_.windows.size() - 1)));
        if (status_.uncopied && !status_.uncopied->empty()) all.push_back(fmt::format("Not copied yet: {}.", status_.uncopied->size()));
        if (!drills_.empty() && drills_.back().result != "identical")
            all.push_back(fmt::format("The last drill: {}{}{}.", drills_.back().result, drills_.back().reason.empty() ? "" : ": ",
                                      drills_.back().reason));
        if (all.empty()) return "";
        std::string text = "<ul class=\"warnings\">";
        for (const std::string& one : all) text += "<li>" + html::with_times(one) + "</li>";
        return text + "</ul>\n";
    }

    std::string summary() const {
        std::vector<std::array<std::string, 3>> facts;
        if (!status_.windows.empty()) {
            const Window& newest = status_.windows.back();
            facts.push_back({"Restorable", between(newest.from, newest.to),
                             fmt::format("{} to {}{}", to_utc_string(newest.from), to_utc_string(newest.to),
                                         status_.windows.size() > 1 ? ", after a gap" : "")});
            facts.push_back({"Newest archived entry", between(newest.to, status_.now) + " ago", "at " + to_utc_string(newest.to)});
        }
        if (status_.next)
            facts.push_back({"Next", status_.next->first,
                             status_.next->second > status_.now ? "at " + to_utc_string(status_.next->second)
                                                                : "is due since " + to_utc_string(status_.next->second)});
        const auto known = std::ranges::find_if(overview_.sources, [](const Watched& one) { return one.oplog.has_value(); });
        if (known != overview_.sources.end()) {
            const Watched* shortest = &*known;
            for (const Watched& one : overview_.sources)
                if (one.oplog && one.window() < shortest->window()) shortest = &one;
            facts.push_back(
                {"The oplog lasts", about(static_cast<double>(shortest->window())),
                 of(*shortest) + (shortest->oplog->is_overwritten ? "when a step last ended" : "so far: it has overwritten nothing yet")});
        }
        facts.push_back({status_.clusters.empty() ? "Chains" : "Backups of the cluster", grouped(overview_.backups),
                         grouped(overview_.good) + " can be restored"});
        facts.push_back({"Size", size(overview_.size), ""});
        facts.push_back(
            {"Last drill", drills_.empty() ? "none" : drills_.back().result, drills_.empty() ? "" : to_utc_string(drills_.back().started)});
        if (status_.uncopied)
            facts.push_back({"Copied", status_.uncopied->empty() ? "all" : fmt::format("all but {}", status_.uncopied->size()), ""});
        return html::tiles(facts);
    }

    std::string chains(bool has_steps) const {
        Table table("Chains, the oldest first", {{status_.clusters.empty() ? "Chain" : "Cluster and member", Kind::code},
                                                 {"State"},
                                                 {"Restorable from", Kind::time},
                                                 {"To", Kind::time},
                                                 {"Lasts", Kind::number},
                                                 {"Increments", Kind::number},
                                                 {"Size", Kind::number}});
        for (const ClusterBackup& one : status_.clusters) {
            row(table, one.id, one, one.good(), one.increments());
            for (const ClusterBackup::Member& member : one.members)
                row(table, "· " + member.name + (member.removed ? " (removed)" : ""), member.chain, member.chain.good,
                    member.chain.increments.size());
        }
        for (const Chain& chain : status_.chains) row(table, chain.id, chain, chain.good, chain.increments.size());
        return html::section("chains", "Chains", (has_steps ? html::charts({"chains"}) : "") + table.text());
    }
    template <class Backup>
    static void row(Table& table, const std::string& name, const Backup& one, bool good, std::size_t increments) {
        table.row({name, std::string(one.state()) + (one.pinned ? ", pinned" : "") + (one.doubtful() ? ", doubtful end" : ""),
                   good ? to_utc_string(one.begin()) : "-", good ? to_utc_string(one.end()) : "-",
                   good ? between(one.begin(), one.end()) : "-", grouped(increments), size(one.size())});
    }

    std::string windows() const {
        Table table("What can be restored, and what cannot", {{"What"}, {"From"}, {"To"}, {"Lasts", Kind::number}});
        const Window* before = nullptr;
        for (const Window& window : status_.windows) {
            if (before)
                table.row({"gap", "after " + moment(before->to), "before " + moment(window.from), between(before->to, window.from)});
            table.row({"restorable", moment(window.from), moment(window.to), between(window.from, window.to)});
            before = &window;
        }
        return html::section("windows", "Windows and gaps",
                             table.rows() == 0
                                 ? html::paragraph("Nothing can be restored.")
                                 : table.text() + html::paragraph("Every moment of a window can be restored, and none of a gap.", "note"));
    }

    std::string steps() const {
        std::string tables;
        for (const auto& [name, chain] : lanes_) {
            Table table("Steps of " + name, {{"Step"},
                                             {"First entry", Kind::time},
                                             {"Last entry", Kind::time},
                                             {"Entries", Kind::number},
                                             {"Oplog", Kind::number},
                                             {"Size", Kind::number},
                                             {"Began", Kind::time},
                                             {"Took", Kind::number}});
            for (const Step* step : chain->steps())
                table.row({step->type == "inc"    ? fmt::format("increment {}", step->number)
                           : step->type == "full" ? step->made_of.empty() ? "full backup" : "full backup, made of " + step->made_of
                                                  : "oplog of the full backup",
                           to_utc_string(step->first), to_utc_string(step->last), grouped(step->entries), size(step->bytes),
                           size(step->size()), to_utc_string(step->started), step->type == "slice" ? "" : about(step->seconds())});
            if (table.rows() > 0)
                tables +=
                    html::details(fmt::format("{}: {} step{}", name, grouped(table.rows()), table.rows() == 1 ? "" : "s"), table.text());
        }
        return html::section("steps", "Steps", html::charts({"step-bytes", "step-seconds"}) + tables);
    }

    std::string lasts() const {
        std::string text;
        Table oplogs("What each server's oplog held when a step last ended", {{"Server", Kind::code},
                                                                              {"Oldest entry", Kind::time},
                                                                              {"Newest entry", Kind::time},
                                                                              {"Lasts", Kind::number},
                                                                              {"Before the newest archived entry", Kind::number},
                                                                              {"That entry is overwritten"}});
        Table rates("How long an oplog lasts, by its size", {{"Server", Kind::code},
                                                             {"Written in an hour", Kind::number},
                                                             {"990 MB", Kind::number},
                                                             {"10 GB", Kind::number},
                                                             {"50 GB", Kind::number},
                                                             {"100 GB", Kind::number}});
        for (const Watched& one : overview_.sources) {
            const std::string name = one.member.empty() ? "the source" : one.member;
            if (one.oplog) {
                const auto at = one.forecast();
                oplogs.row({name, to_utc_string(one.oplog->oldest), to_utc_string(one.newest()), about(static_cast<double>(one.window())),
                            about(static_cast<double>(std::max<std::int64_t>(one.left(), 0))),
                            !one.oplog->is_overwritten ? "nothing has been yet"
                            : at                       ? "at " + to_utc_string(Watched::moment(*at)) + " at the present rate"
                                                       : ""});
            }
            std::uint64_t bytes = 0;
            std::int64_t seconds = 0;
            for (const Step* step : one.chain->steps()) {
                if (step->type == "full") continue; // its oplog is that of the dump, which the next step has as well
                bytes += step->bytes;
                seconds += Watched::between(step->first, step->last);
            }
            if (bytes == 0 || seconds == 0) continue;
            const double rate = static_cast<double>(bytes) / static_cast<double>(seconds);
            rates.row({name, human_size(rate * 3600), about(0.99e9 / rate), about(1e10 / rate), about(5e10 / rate), about(1e11 / rate)});
        }
        if (oplogs.rows() > 0) text += oplogs.text();
        if (rates.rows() > 0)
            text +=
                "<h3>By size</h3>\n" + rates.text() +
                html::paragraph(
                    "At the average rate of the newest chain. An oplog holds so many bytes before compression; replSetResizeOplog changes the size.",
                    "note");
        return html::section("lasts", "How long the oplog lasts", text.empty() ? html::paragraph("No step has recorded it.") : text);
    }

    std::string drills() const {
        Table table("Drills, the newest first", {{"Began", Kind::time},
                                                 {"Chain", Kind::code},
                                                 {"Restored to"},
                                                 {"Result"},
                                                 {"Took", Kind::number},
                                                 {"The restore alone", Kind::number}});
        for (auto one = drills_.rbegin(); one != drills_.rend(); ++one)
            table.row({one->chain.empty() ? "" : to_utc_string(one->started), one->chain, one->to ? moment(*one->to) : "",
                       one->result + (one->reason.empty() ? "" : ": " + one->reason), about(static_cast<double>(one->seconds)),
                       about(static_cast<double>(one->restore_seconds))});
        return html::section(
            "drills", "Drills",
            table.rows() == 0
                ? html::paragraph("None yet. oplog-restore --drill restores a chain to another server and compares what comes back.")
                : table.text());
    }

    std::string copies() const {
        if (!status_.uncopied) return html::section("copies", "Copies", html::paragraph("No copies are made: copy_command is not set."));
        if (status_.uncopied->empty()) return html::section("copies", "Copies", html::paragraph("Everything is copied."));
        std::string text = html::paragraph("Not copied yet:") + "<ul>";
        for (const auto& [record, hash] : *status_.uncopied) text += "<li>" + html::encoded(Copies::subject(record)) + "</li>";
        return html::section("copies", "Copies", text + "</ul>\n");
    }

    std::string left_out() const {
        const bool is_known = std::ranges::any_of(overview_.sources, [](const Watched& one) { return one.oplog.has_value(); });
        std::string text = "<ul>";
        const auto add = [&](std::string_view item) { text += "<li>" + html::encoded(item) + "</li>"; };
        add(is_known
                ? "No server was asked: what its oplog holds is from when a step last ended."
                : "No server was asked, and no step has recorded what its oplog holds: that takes metrics_file or on_event in the configuration.");
        add("No backup was read, only its records: oplog-backup verify proves that the files are what these say.");
        if (!status_.interval) add("When the next step is due: no configuration was named.");
        return html::section("left-out", "What this page leaves out", text + "</ul>\n");
    }

    Status status_;
    Overview overview_;
    std::vector<Drill> drills_;
    std::vector<Lane> lanes_;
};

} // namespace oplog::tools

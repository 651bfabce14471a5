// SPDX-License-Identifier: Apache-2.0
#include "lib/tool.hpp"

#include <oplog/stream/stats.hpp>

#include <cmath>

using namespace oplog;
using namespace oplog::tools;

namespace {

using Named = std::pair<std::string, OperationCounts>;

/// The namespaces, the one with the most bytes first.
std::vector<Named> by_size(const Stats& stats) {
    std::vector<Named> sorted(stats.namespaces().begin(), stats.namespaces().end());
    std::ranges::stable_sort(sorted, std::greater<>(), [](const Named& item) { return item.second.bytes; });
    return sorted;
}

/// "1,234,567"
std::string grouped(std::uint64_t number) {
    std::string text = std::to_string(number);
    for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
    return text;
}

std::string name_of(std::string_view ns) { return ns.empty() ? "(none)" : escaped(ns); }

/// The number of columns that a text takes, assuming one for each character.
std::size_t width_of(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(std::string text, std::size_t width) {
    const std::size_t have = width_of(text);
    return text.append(have < width ? width - have : 0, ' ');
}

std::string duration(std::uint32_t seconds) {
    struct Unit {
        std::uint32_t seconds;
        const char* name;
    };
    for (const Unit unit : {Unit{604800, "week"}, Unit{86400, "day"}, Unit{3600, "hour"}, Unit{60, "minute"}})
        if (seconds >= unit.seconds && seconds % unit.seconds == 0)
            return fmt::format("{} {}{}", seconds / unit.seconds, unit.name, seconds == unit.seconds ? "" : "s");
    return fmt::format("{} second{}", seconds, seconds == 1 ? "" : "s");
}

/// A bar made of eighths of a column.
std::string bar(double share, std::size_t columns) {
    static constexpr const char* parts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const auto eighths = static_cast<std::size_t>(std::ceil(share * static_cast<double>(columns * 8)));
    std::string text;
    for (std::size_t full = 0; full < eighths / 8; ++full) text += "█";
    return text + parts[eighths % 8];
}

std::string namespaces_text(const Stats& stats, std::size_t top) {
    const std::vector<Named> all = by_size(stats);
    const std::size_t shown = std::min(all.size(), top);
    std::size_t width = 9;
    for (std::size_t i = 0; i < shown; ++i) width = std::max(width, width_of(name_of(all[i].first)));
    const auto row = [&](std::string name, auto operations, auto i, auto u, auto d, auto c, auto n, auto bytes) {
        return fmt::format("  {} {:>12} {:>12} {:>12} {:>12} {:>9} {:>9} {:>9}\n", padded(std::move(name), width), operations, i, u, d, c,
                           n, bytes);
    };
    std::string text = "\n" + row("namespace", "operations", "inserts", "updates", "deletes", "commands", "no-ops", "bytes");
    for (std::size_t i = 0; i < shown; ++i) {
        const auto& [ns, counts] = all[i];
        text += row(name_of(ns), grouped(counts.operations()), grouped(counts.inserts), grouped(counts.updates), grouped(counts.deletes),
                    grouped(counts.commands), grouped(counts.noops), human_size(static_cast<double>(counts.bytes)));
    }
    if (shown < all.size()) text += fmt::format("  and {} more (--top, --csv)\n", grouped(all.size() - shown));
    return text;
}

std::string timeline_text(const Stats& stats) {
    const Timeline timeline = stats.timeline().coarsened(24);
    std::uint64_t most = 1;
    for (const auto& [start, period] : timeline.periods()) most = std::max(most, period.operations);
    std::string text = fmt::format("\n  operations in {} each\n", duration(timeline.length()));
    std::optional<std::uint64_t> next;
    for (const auto& [start, period] : timeline.periods()) {
        for (; next && *next < start; *next += timeline.length())
            text += fmt::format("  {} │\n", to_utc_string({static_cast<std::uint32_t>(*next), 0}));
        next = std::uint64_t{start} + timeline.length();
        text += fmt::format("  {} │{} {}\n", to_utc_string({start, 0}),
                            bar(static_cast<double>(period.operations) / static_cast<double>(most), 40), grouped(period.operations));
    }
    return text;
}

std::string largest_text(const Stats& stats) {
    std::string text = "\n  largest entries\n";
    for (const LargeEntry& entry : stats.largest())
        text += fmt::format("  {:>9}  {:<21} {} {}{}{}\n", human_size(entry.bytes), to_string(entry.ts), escaped(entry.op),
                            name_of(entry.ns), entry.operations == 1 ? "" : fmt::format(", {} operations", grouped(entry.operations)),
                            entry.where ? fmt::format("  {} at {}", escaped(entry.where->file), entry.where->offset) : "");
    return text;
}

std::string transaction_text(const TransactionState& transaction) {
    return fmt::format("{}{}: {} {}, {} to {}", to_string(transaction.id), transaction.prepared ? " (prepared)" : "", transaction.entries,
                       transaction.entries == 1 ? "entry" : "entries", to_string(transaction.first), to_string(transaction.last));
}

std::string as_text(const Stats& stats, std::size_t top) {
    const Range& range = stats.range();
    std::string text = fmt::format("  {} entries, {}, {} operations\n", grouped(range.entries),
                                   human_size(static_cast<double>(range.bytes)), grouped(stats.total().operations()));
    if (range.empty()) return text;
    text += fmt::format("  {} ({}) to {} ({}){}\n", to_utc_string(range.first), to_string(range.first), to_utc_string(range.last),
                        to_string(range.last), range.disorder ? ", out of order" : "");
    text += namespaces_text(stats, top);
    if (!stats.commands().empty()) {
        text += "\n  commands:";
        const char* separator = " ";
        for (const auto& [name, count] : stats.commands()) {
            text += fmt::format("{}{} {}", separator, escaped(name), grouped(count));
            separator = ", ";
        }
        text += "\n";
    }
    text += timeline_text(stats);
    if (top > 0) text += largest_text(stats);
    const TransactionTracker& transactions = stats.transactions();
    if (stats.committed() + stats.aborted() + transactions.open().size() > 0) {
        text += fmt::format("\n  transactions: {} committed, {} aborted, {} open at the end\n", grouped(stats.committed()),
                            grouped(stats.aborted()), transactions.open().size());
        for (const TransactionState& transaction : transactions.began_before())
            text += "  begun before the first entry: " + transaction_text(transaction) + "\n";
        for (const auto& [id, transaction] : transactions.open()) text += "  open at the end: " + transaction_text(transaction) + "\n";
    }
    return text;
}

std::string counts_json(const OperationCounts& counts) {
    return fmt::format(R"("operations":{},"inserts":{},"updates":{},"deletes":{},"commands":{},"noops":{},"others":{},"bytes":{})",
                       counts.operations(), counts.inserts, counts.updates, counts.deletes, counts.commands, counts.noops, counts.others,
                       counts.bytes);
}

/// A JSON array: "[a,b]" of what `one` makes of each item.
template <class Items, class One>
std::string list_json(const Items& items, One one) {
    std::string text = "[";
    for (const auto& item : items) text += (text.size() > 1 ? "," : "") + one(item);
    return text + "]";
}

std::string transaction_json(const TransactionState& transaction) {
    return fmt::format(R"({{"id":"{}",{},"entries":{},"bytes":{},"prepared":{}}})", to_string(transaction.id),
                       json_span(transaction.first, transaction.last), transaction.entries, transaction.bytes, transaction.prepared);
}

std::string as_json(const Stats& stats) {
    const Range& range = stats.range();
    std::string text = fmt::format(R"({{{},{},"entries":{},"bytes":{},"ordered":{},"total":{{{}}},)", json_format, json_span(range),
                                   range.entries, range.bytes, !range.disorder, counts_json(stats.total()));
    text += "\"namespaces\":" + list_json(by_size(stats), [](const Named& item) {
                return fmt::format(R"({{"ns":{},{}}})", json_quoted(item.first), counts_json(item.second));
            });
    text += ",\"commands\":{";
    const char* separator = "";
    for (const auto& [name, count] : stats.commands()) {
        text += fmt::format("{}{}:{}", separator, json_quoted(name), count);
        separator = ",";
    }
    text += fmt::format("}},\"periodSeconds\":{},\"periods\":", stats.timeline().length());
    text += list_json(stats.timeline().periods(), [](const auto& period) {
        return fmt::format(R"({{"time":"{}","operations":{},"bytes":{}}})", to_utc_string(Timestamp{period.first, 0}),
                           period.second.operations, period.second.bytes);
    });
    text += ",\"largest\":" + list_json(stats.largest(), [](const LargeEntry& entry) {
                return fmt::format(
                    R"({{{},"op":{},"ns":{},"bytes":{},"operations":{}{}}})", json_moment(entry.ts), json_quoted(entry.op),
                    json_quoted(entry.ns), entry.bytes, entry.operations,
                    entry.where ? fmt::format(R"(,"file":{},"offset":{})", json_quoted(entry.where->file), entry.where->offset) : "");
            });
    text += fmt::format(",\"transactions\":{{\"committed\":{},\"aborted\":{},\"open\":", stats.committed(), stats.aborted());
    text += list_json(stats.transactions().open(), [](const auto& item) { return transaction_json(item.second); });
    text += ",\"beganBefore\":" + list_json(stats.transactions().began_before(), transaction_json);
    return text + "}}\n";
}

std::string as_csv(const Stats& stats) {
    std::string text = "namespace,operations,inserts,updates,deletes,commands,noops,others,bytes\n";
    for (const auto& [ns, counts] : by_size(stats)) {
        std::string name = escaped(ns);
        if (name.find_first_of(",\"\r\n") != name.npos) {
            for (std::size_t quote = 0; (quote = name.find('"', quote)) != name.npos; quote += 2) name.insert(quote, 1, '"');
            name = '"' + name + '"';
        }
        text += fmt::format("{},{},{},{},{},{},{},{},{}\n", name, counts.operations(), counts.inserts, counts.updates, counts.deletes,
                            counts.commands, counts.noops, counts.others, counts.bytes);
    }
    return text;
}

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-stats", "[BOUNDS] [FILE...]",
              "What is in an oplog: operations and bytes a namespace (in transactions too), operations over time, the largest\n"
              "entries, open transactions. Several FILEs are one oplog; order does not matter.",
              "  oplog-stats --from 2021-01-12T03:29:00Z oplog.bson\n");
    // clang-format off
    tool.add_options()
        ("top", "show N namespaces and N large entries", cxxopts::value<std::size_t>()->default_value("10"), "N")
        ("json", "everything, as a JSON object")
        ("csv", "the namespaces, as CSV");
    // clang-format on
    tool.add_bounds();
    return tool.run(argc, argv, [&] {
        if (tool.has("json") && tool.has("csv")) throw ArgumentError("--json and --csv exclude each other");
        const Bounds bounds = tool.bounds();
        const auto top = tool.value<std::size_t>("top");
        Stats stats(top);
        for (const std::string& file : tool.inputs_in_turn())
            for (const EntryView entry : Input(file, Check::structure))
                if (bounds.contains(entry.ts())) stats.add(entry);
        print(tool.has("json") ? as_json(stats) : tool.has("csv") ? as_csv(stats) : as_text(stats, top));
    });
}

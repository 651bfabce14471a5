// SPDX-License-Identifier: Apache-2.0
#include "lib/html_page.hpp"
#include "lib/tool.hpp"

#include <oplog/bson/json.hpp>
#include <oplog/stream/hot_spots.hpp>

#include <cmath>

using namespace oplog;
using namespace oplog::tools;

namespace {

using Named = std::pair<std::string, OperationCounts>;

/// What is only found out when it is asked for.
struct Hot {
    struct File {
        std::string name;
        Range range;
    };
    HotSpots spots;
    std::vector<File> files;
};

/// The namespaces, the one with the most bytes first.
std::vector<Named> by_size(const Stats& stats) {
    std::vector<Named> sorted(stats.namespaces().begin(), stats.namespaces().end());
    std::ranges::stable_sort(sorted, std::greater<>(), [](const Named& item) { return item.second.bytes; });
    return sorted;
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

/// The _id alone, as oplog-history takes it.
std::string id_json(const HotSpots::Document& document) {
    std::string text;
    append_json(text, document.id.view(), JsonMode::relaxed);
    return text.substr(7, text.size() - 8); // {"_id":...}
}
/// "1,234", or "1,200 to 1,234".
std::string at_least(std::uint64_t least, std::uint64_t most) { return grouped(least) + (most == least ? "" : " to " + grouped(most)); }
std::string field_of(const HotSpots::Field& field) { return field.is_whole ? "(replaced as a whole)" : escaped(field.path); }

std::string hot_text(const HotSpots& spots, std::size_t top) {
    std::string text = "\n  hot documents, by operations\n";
    for (const HotSpots::Document& document : spots.documents(top))
        text += fmt::format("  {:>12}  {} {}\n", at_least(document.at_least, document.at_most), name_of(document.ns),
                            escaped(id_json(document)));
    text += "\n  hot fields, by updates\n";
    for (const HotSpots::Field& field : spots.fields(top))
        text += fmt::format("  {:>12}  {} {}\n", at_least(field.at_least, field.at_most), name_of(field.ns), field_of(field));
    return text;
}

std::string as_text(const Stats& stats, const Hot* hot, std::size_t top) {
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
    if (hot && top > 0) text += hot_text(hot->spots, top);
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

/// The namespaces with the most bytes, and the rest: with what entries have around the operations in them, so that the sum is what all
/// entries have in each period of `all`.
std::vector<HotSpots::Series> series_of(const Hot& hot, std::size_t top, const Timeline& all) {
    std::vector<HotSpots::Series> found = hot.spots.series(top, all.length());
    Timeline around;
    for (const auto& [start, period] : all.periods()) {
        std::uint64_t bytes = period.bytes;
        for (const HotSpots::Series& one : found)
            if (const auto of_it = one.timeline.periods().find(start); of_it != one.timeline.periods().end())
                bytes -= std::min(bytes, of_it->second.bytes);
        if (bytes > 0) around.add(start, 0, bytes);
    }
    if (around.periods().empty()) return found;
    if (found.empty() || !found.back().is_rest) found.push_back({true, "", {}, 0});
    found.back().timeline.add(around);
    return found;
}

/// The operations and bytes of each period that the timeline of all has, 0 where a namespace has none.
std::string series_json(const HotSpots::Series& series, const Timeline& all) {
    std::string operations, bytes;
    for (const auto& [start, period] : all.periods()) {
        const auto found = series.timeline.periods().find(start);
        const Timeline::Period of_it = found == series.timeline.periods().end() ? Timeline::Period{} : found->second;
        operations += fmt::format("{}{}", operations.empty() ? "" : ",", of_it.operations);
        bytes += fmt::format("{}{}", bytes.empty() ? "" : ",", of_it.bytes);
    }
    return fmt::format(R"({{"ns":{},"operations":[{}],"bytes":[{}]}})", series.is_rest ? "null" : json_quoted(series.ns), operations,
                       bytes);
}

std::string hot_json(const Stats& stats, const Hot& hot, std::size_t top) {
    std::string text = ",\"files\":" + list_json(hot.files, [](const Hot::File& file) {
                           return fmt::format(R"({{"file":{},{},"entries":{},"bytes":{},"ordered":{}}})", json_quoted(file.name),
                                              json_span(file.range), file.range.entries, file.range.bytes, !file.range.disorder);
                       });
    text += ",\"series\":" + list_json(series_of(hot, top, stats.timeline()),
                                       [&](const HotSpots::Series& series) { return series_json(series, stats.timeline()); });
    text += ",\"hotDocuments\":" + list_json(hot.spots.documents(top), [](const HotSpots::Document& document) {
                return fmt::format(R"({{"ns":{},"id":{},"atLeast":{},"atMost":{},"bytes":{}}})", json_quoted(document.ns),
                                   json_quoted(id_json(document)), document.at_least, document.at_most, document.bytes);
            });
    text += ",\"hotFields\":" + list_json(hot.spots.fields(top), [](const HotSpots::Field& field) {
                return fmt::format(R"({{"ns":{},"field":{},"atLeast":{},"atMost":{}}})", json_quoted(field.ns),
                                   field.is_whole ? "null" : json_quoted(field.path), field.at_least, field.at_most);
            });
    const HotSpots::Updates& updates = hot.spots.updates();
    return text + fmt::format(R"(,"updates":{{"ofFields":{},"replacements":{},"notUnderstood":{}}},"longIds":{})", updates.of_fields,
                              updates.replacements, updates.not_understood, hot.spots.long_ids());
}

std::string as_json(const Stats& stats, const Hot* hot, std::size_t top) {
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
    text += ",\"beganBefore\":" + list_json(stats.transactions().began_before(), transaction_json) + "}";
    if (hot) text += hot_json(stats, *hot, top);
    return text + "}\n";
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

/// The page of --html.
class Page {
  public:
    Page(const Stats& stats, const Hot& hot, std::size_t top) : stats_(stats), hot_(hot), top_(top) {}

    std::string text() const {
        const Range& range = stats_.range();
        const std::string title = "What is in this oplog";
        std::string body =
            html::header(title, range.empty() ? "No entries."
                                              : fmt::format("{} to {}{}", to_utc_string(range.first), to_utc_string(range.last),
                                                            range.disorder ? ", out of order" : ""));
        body += summary();
        if (!range.empty()) {
            std::vector<std::pair<std::string_view, std::string_view>> sections{{"time", "Over time"}, {"namespaces", "Namespaces"}};
            if (top_ > 0)
                sections.insert(sections.end(), {{"documents", "Hot documents"}, {"fields", "Hot fields"}, {"largest", "Largest entries"}});
            sections.insert(sections.end(), {{"transactions", "Transactions"}, {"lasts", "How long the oplog lasts"}, {"files", "Files"}});
            body += html::contents(sections);
            body += over_time();
            body += namespaces();
            if (top_ > 0) body += documents() + fields() + largest();
            body += transactions() + lasts() + files();
        }
        return html::page(fmt::format("{}: {}", title, range.empty() ? "no entries" : to_utc_string(range.last)),
                          body + html::footer("oplog-stats"), as_json(stats_, &hot_, top_));
    }

  private:
    using Table = html::Table;
    using Kind = html::Table::Kind;

    static std::string size(std::uint64_t bytes) { return human_size(static_cast<double>(bytes)); }
    std::uint32_t seconds() const { return std::max<std::uint32_t>(stats_.range().last.seconds - stats_.range().first.seconds, 1); }
    double bytes_a_second() const { return static_cast<double>(stats_.range().bytes) / seconds(); }

    std::string summary() const {
        const Range& range = stats_.range();
        std::vector<std::array<std::string, 3>> facts{
            {"Entries", grouped(range.entries), size(range.bytes)},
            {"Operations", grouped(stats_.total().operations()), "those in transactions one by one"}};
        if (range.empty()) return html::tiles(facts);
        facts.push_back({"Span", about(range.last.seconds - range.first.seconds),
                         fmt::format("{} to {}", to_string(range.first), to_string(range.last))});
        facts.push_back(
            {"Written in an hour", human_size(bytes_a_second() * 3600), "on average; " + human_size(bytes_a_second()) + " a second"});
        facts.push_back({"Namespaces", grouped(stats_.namespaces().size()),
                         fmt::format("{} read", hot_.files.size() == 1 ? "1 file" : grouped(hot_.files.size()) + " files")});
        return html::tiles(facts);
    }

    std::string over_time() const {
        const Timeline timeline = stats_.timeline().coarsened(48);
        const auto all = series_of(hot_, std::min<std::size_t>(top_, 7), timeline);
        std::string tables;
        for (const bool bytes : {false, true}) {
            std::vector<Table::Column> columns{{"Time", Kind::time}};
            for (const auto& one : all) columns.push_back({one.is_rest ? "all others" : name_of(one.ns), Kind::number});
            columns.push_back({"all", Kind::number});
            Table table(fmt::format("{} in {} each", bytes ? "Bytes" : "Operations", duration(timeline.length())), columns);
            for (const auto& [start, period] : timeline.periods()) {
                std::vector<std::string> row{to_utc_string(Timestamp{start, 0})};
                std::uint64_t sum = 0;
                for (const auto& one : all) {
                    const auto found = one.timeline.periods().find(start);
                    const std::uint64_t value = found == one.timeline.periods().end() ? 0
                                                : bytes                               ? found->second.bytes
                                                                                      : found->second.operations;
                    sum += value;
                    row.push_back(bytes ? size(value) : grouped(value));
                }
                row.push_back(bytes ? size(sum) : grouped(sum));
                table.row(row);
            }
            tables += table.text();
        }
        std::string text = html::charts({"operations", "bytes"});
        if (std::ranges::any_of(all, [](const HotSpots::Series& one) { return one.missed > 0; }))
            text += html::paragraph(fmt::format("There are more than {} namespaces: what one had while others had more is in all others.",
                                                grouped(HotSpots::most_followed)),
                                    "note");
        return html::section("time", "Over time", text + html::details("The same as tables", tables));
    }

    std::string namespaces() const {
        const std::uint64_t all = stats_.total().bytes;
        Table table("Namespaces, the one with the most bytes first", {{"Namespace", Kind::code},
                                                                      {"Bytes", Kind::number},
                                                                      {"Share of all bytes", Kind::share},
                                                                      {"Operations", Kind::number},
                                                                      {"Inserts", Kind::number},
                                                                      {"Updates", Kind::number},
                                                                      {"Deletes", Kind::number},
                                                                      {"Commands", Kind::number},
                                                                      {"No-ops", Kind::number}});
        Table rest = table;
        std::size_t number = 0;
        for (const auto& [ns, counts] : by_size(stats_))
            (number++ < std::max<std::size_t>(top_, 10) ? table : rest)
                .row({name_of(ns), size(counts.bytes), Table::share(counts.bytes, all), grouped(counts.operations()),
                      grouped(counts.inserts), grouped(counts.updates), grouped(counts.deletes), grouped(counts.commands),
                      grouped(counts.noops)});
        std::string text = table.text();
        if (rest.rows() > 0) text += html::details(grouped(rest.rows()) + " more", rest.text());
        if (!stats_.commands().empty()) {
            std::string commands;
            for (const auto& [name, count] : stats_.commands())
                commands += fmt::format("{} {} {}", commands.empty() ? "" : ",", escaped(name), grouped(count));
            text += html::paragraph("Commands:" + commands, "note");
        }
        return html::section("namespaces", "Namespaces", text);
    }

    std::string documents() const {
        const std::uint64_t all = stats_.total().operations();
        Table table("Documents with the most operations", {{"Document", Kind::code},
                                                           {"Namespace", Kind::code},
                                                           {"Operations", Kind::number},
                                                           {"Share of all operations", Kind::share},
                                                           {"Bytes", Kind::number}});
        for (const auto& one : hot_.spots.documents(top_))
            table.row(
                {id_json(one), name_of(one.ns), at_least(one.at_least, one.at_most), Table::share(one.at_least, all), size(one.bytes)});
        std::string text = table.rows() == 0 ? html::paragraph("No operation is on a document.") : table.text();
        if (table.rows() > 0)
            text += html::paragraph(
                "Inserts, updates and deletes, by _id. A range of numbers is a bound: there were too many documents to count each. "
                "Every version of one: oplog-history --ns NAMESPACE --id DOCUMENT.",
                "note");
        if (hot_.spots.long_ids() > 0)
            text += html::paragraph(fmt::format("Left out: {} operations on documents with an _id of more than {} bytes.",
                                                grouped(hot_.spots.long_ids()), HotSpots::longest_id),
                                    "note");
        return html::section("documents", "Hot documents", text);
    }

    std::string fields() const {
        const HotSpots::Updates& updates = hot_.spots.updates();
        Table table("Fields that the most updates touch",
                    {{"Field", Kind::code}, {"Namespace", Kind::code}, {"Updates", Kind::number}, {"Share of all updates", Kind::share}});
        for (const auto& one : hot_.spots.fields(top_))
            table.row(
                {field_of(one), name_of(one.ns), at_least(one.at_least, one.at_most), Table::share(one.at_least, stats_.total().updates)});
        std::string text = table.rows() == 0 ? html::paragraph("There are no updates.") : table.text();
        if (table.rows() > 0)
            text += html::paragraph(
                fmt::format("{} updates name their fields, and {} replace a document as a whole. Inserts are not among them. "
                            "A * is any position of an array, or any name of digits.",
                            grouped(updates.of_fields), grouped(updates.replacements)),
                "note");
        if (updates.not_understood > 0)
            text += html::paragraph(grouped(updates.not_understood) + " updates are not understood; oplog-verify says where and why.",
                                    "warning");
        return html::section("fields", "Hot fields", text);
    }

    std::string largest() const {
        Table table("The largest entries", {{"Time", Kind::time},
                                            {"ts", Kind::time},
                                            {"Bytes", Kind::number},
                                            {"op"},
                                            {"Namespace", Kind::code},
                                            {"Operations", Kind::number},
                                            {"Where", Kind::code}});
        for (const LargeEntry& one : stats_.largest())
            table.row({to_utc_string(one.ts), to_string(one.ts), size(one.bytes), one.op, name_of(one.ns), grouped(one.operations),
                       one.where ? fmt::format("{} at {}", escaped(one.where->file), one.where->offset) : ""});
        return html::section("largest", "Largest entries", table.text());
    }

    std::string transactions() const {
        const TransactionTracker& all = stats_.transactions();
        std::string text = html::tiles({{"Committed", grouped(stats_.committed()), ""},
                                        {"Aborted", grouped(stats_.aborted()), ""},
                                        {"Open at the end", grouped(all.open().size()), ""},
                                        {"Begun before the first entry", grouped(all.began_before().size()), ""}});
        Table table("Transactions at the edges", {{"Transaction", Kind::code},
                                                  {"State"},
                                                  {"First entry", Kind::time},
                                                  {"Last entry", Kind::time},
                                                  {"Entries", Kind::number},
                                                  {"Bytes", Kind::number}});
        const auto row = [&](const TransactionState& one, const char* where) {
            table.row({to_string(one.id), std::string(where) + (one.prepared ? ", prepared" : ""), to_utc_string(one.first),
                       to_utc_string(one.last), grouped(one.entries), size(one.bytes)});
        };
        for (const auto& one : all.began_before()) row(one, "begun before the first entry");
        for (const auto& [id, one] : all.open()) row(one, "open at the end");
        return html::section("transactions", "Transactions", text + (table.rows() > 0 ? table.text() : ""));
    }

    std::string lasts() const {
        const Timeline timeline = stats_.timeline().coarsened(24);
        std::uint64_t most = 0;
        for (const auto& [start, period] : timeline.periods()) most = std::max(most, period.bytes);
        const double busiest = std::max(static_cast<double>(most) / timeline.length(), bytes_a_second());
        Table table("How long an oplog lasts, by its size", {{"Size of the oplog"},
                                                             {"At the average rate", Kind::number},
                                                             {"At the rate of the busiest " + duration(timeline.length()), Kind::number}});
        for (const double gigabytes : {0.99, 5.0, 10.0, 25.0, 50.0, 100.0, 500.0})
            table.row({human_size(gigabytes * 1e9), about(gigabytes * 1e9 / bytes_a_second()), about(gigabytes * 1e9 / busiest)});
        return html::section(
            "lasts", "How long the oplog lasts",
            table.text() +
                html::paragraph(
                    "An oplog holds so many bytes before compression: what was written before that is overwritten, and a backup must have it by then. "
                    "replSetResizeOplog changes the size.",
                    "note"));
    }

    /// What the timestamps show of how the files follow each other.
    std::string files() const {
        std::vector<const Hot::File*> sorted;
        for (const Hot::File& file : hot_.files) sorted.push_back(&file);
        std::ranges::stable_sort(sorted, {}, [](const Hot::File* file) { return std::pair(file->range.empty(), file->range.first); });
        std::vector<Table::Column> columns{
            {"File", Kind::code}, {"First entry"}, {"Last entry"}, {"Entries", Kind::number}, {"Bytes", Kind::number}};
        if (sorted.size() > 1) columns.push_back({"Follows the one before"});
        Table table("Files in the order of their first entries", columns);
        const Range* before = nullptr;
        Timestamp reached;
        for (const Hot::File* file : sorted) {
            const Range& range = file->range;
            if (range.empty()) {
                table.row({escaped(file->name), "none", "", "0", "0 B"});
                continue;
            }
            table.row({escaped(file->name), fmt::format("{} ({})", to_utc_string(range.first), to_string(range.first)),
                       fmt::format("{} ({})", to_utc_string(range.last), to_string(range.last)), grouped(range.entries), size(range.bytes),
                       !before                  ? "it is the first"
                       : range.first == reached ? "yes, begins with its last entry"
                       : range.first < reached
                           ? "overlaps it"
                           : fmt::format("perhaps not: no entry in common, {} between", about(range.first.seconds - reached.seconds))});
            before = &range;
            reached = std::max(reached, range.last);
        }
        return html::section(
            "files", "Files",
            (sorted.size() > 1 ? html::charts({"files"}) : "") + table.text() +
                (sorted.size() > 1
                     ? html::paragraph("oplog-verify proves that a chain is whole; here only the timestamps are compared.", "note")
                     : ""));
    }

    const Stats& stats_;
    const Hot& hot_;
    std::size_t top_;
};

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-stats", "[--html PAGE] [BOUNDS] [FILE...]",
              "What is in an oplog: operations and bytes a namespace (in transactions too), operations over time, the largest\n"
              "entries, open transactions. Several FILEs are one oplog; order does not matter.",
              "  oplog-stats --from 2021-01-12T03:29:00Z oplog.bson\n"
              "  oplog-stats --html report.html oplog.bson\n");
    // clang-format off
    tool.add_options()
        ("top", "show N namespaces and N large entries", takes<std::size_t>("10"), "N")
        ("hot", "hot documents and hot fields, too; with --json also the files, and namespaces over time")
        ("json", "everything, as a JSON object")
        ("csv", "the namespaces, as CSV")
        ("html", "write all of that as a page to FILE, with charts; nothing else is needed to look at it", takes(), "FILE")
        ("f,force", "replace FILE if it exists");
    // clang-format on
    tool.add_bounds();
    return tool.run(argc, argv, [&] {
        if (tool.has("json") && tool.has("csv")) throw ArgumentError("--json and --csv exclude each other");
        if (tool.has("html") && (tool.has("json") || tool.has("csv"))) throw ArgumentError("--html goes with neither --json nor --csv");
        if (tool.has("hot") && tool.has("csv")) throw ArgumentError("--hot does not go with --csv");
        const Bounds bounds = tool.bounds();
        const auto top = tool.value<std::size_t>("top");
        const std::vector<std::string> files = tool.inputs_in_turn();
        auto page = tool.has("html") ? std::optional(tool.open_output(Content::text, "html")) : std::nullopt;
        Stats stats(top);
        auto hot = page || tool.has("hot") ? std::optional<Hot>(std::in_place) : std::nullopt;
        for (const std::string& file : files) {
            Range range;
            for (const EntryView entry : Input(file, Check::structure)) {
                if (!bounds.contains(entry.ts())) continue;
                stats.add(entry, [&](const Operation& operation, std::string_view ns) {
                    if (hot) hot->spots.add(operation, ns, entry.ts().seconds);
                });
                if (hot) range.add(entry);
            }
            if (hot) hot->files.push_back({file == "-" ? "stdin" : file, range});
        }
        const Hot* const more = hot ? &*hot : nullptr;
        if (!page) return print(tool.has("json") ? as_json(stats, more, top) : tool.has("csv") ? as_csv(stats) : as_text(stats, more, top));
        page->write(Page(stats, *hot, top).text());
        tool.finish(*page);
    });
}

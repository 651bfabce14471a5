// SPDX-License-Identifier: Apache-2.0
#include "lib/tool.hpp"

#include <oplog/stream/range_in_parts.hpp>

#include <map>

using namespace oplog;
using namespace oplog::tools;

namespace {

/// What --long and --json show in addition to the range.
struct Details {
    std::map<std::string, std::uint64_t, std::less<>> ops;
    /// The first or the last entry by its timestamp.
    struct Edge {
        Timestamp ts{};
        std::optional<std::int64_t> wall{}, term{}; ///< Milliseconds since 1970; none if the entry has none.
    };
    std::optional<Edge> first, last;

    void add(const EntryView& entry) {
        const std::string_view op = entry.op();
        if (const auto found = ops.find(op); found != ops.end())
            ++found->second;
        else
            ops.emplace(op, 1);
        const Timestamp ts = entry.ts();
        const bool is_first = !first || ts < first->ts, is_last = !last || ts >= last->ts;
        if (!is_first && !is_last) return;
        Edge edge{ts};
        if (const auto wall = entry.wall()) edge.wall = wall->time_since_epoch().count();
        if (const std::int64_t term = entry.optime().term; term != -1) edge.term = term;
        if (is_first) first = edge;
        if (is_last) last = edge;
    }
};

/// Milliseconds since 1970 as "2021-01-12T03:29:55.248Z", or just the number if no calendar reaches so far.
std::string wall_text(std::int64_t milliseconds) {
    if (milliseconds < 0 || milliseconds / 1000 > Timestamp::max().seconds) return fmt::format("{} ms", milliseconds);
    std::string text = to_utc_string({static_cast<std::uint32_t>(milliseconds / 1000), 0});
    text.insert(text.size() - 1, fmt::format(".{:03}", milliseconds % 1000));
    return text;
}

std::string describe(const Range::Disorder& disorder) {
    return disorder.ts == disorder.before ? "entry " + to_string(disorder.ts) + " occurs twice in a row"
                                          : "out of order: entry " + to_string(disorder.ts) + " after " + to_string(disorder.before);
}

std::string as_line(const Range& range, const std::string& file) {
    if (range.empty()) return fmt::format("- - 0 0 {}\n", escaped(file));
    return fmt::format("{} {} {} {} {}\n", to_string(range.first), to_string(range.last), range.entries, range.bytes, escaped(file));
}

std::string as_long(const Range& range, const Details& details, const std::string& file) {
    std::string text = fmt::format("file:     {}\n", escaped(file));
    if (!range.empty()) {
        const auto describe_edge = [](const Details::Edge& edge) {
            std::string line = to_string(edge.ts) + "  " + to_utc_string(edge.ts);
            if (edge.wall) line += "  wall " + wall_text(*edge.wall);
            if (edge.term) line += fmt::format("  term {}", *edge.term);
            return line;
        };
        text += fmt::format("first:    {}\nlast:     {}\n", describe_edge(*details.first), describe_edge(*details.last));
        text += fmt::format("spans:    {} s\n", range.last.seconds - range.first.seconds);
    }
    text += fmt::format("entries:  {}\nbytes:    {}\n", range.entries, range.bytes);
    std::string ops;
    for (const auto& [op, count] : details.ops)
        ops += fmt::format("{}{} {}", ops.empty() ? "" : ", ", op.empty() ? "(none)" : escaped(op), count);
    text += fmt::format("ops:      {}\n", ops.empty() ? "-" : ops);
    text += fmt::format("order:    {}\n", range.disorder ? describe(*range.disorder) : "ascending");
    return text;
}

std::string as_json(const Range& range, const Details& details, const std::string& file) {
    std::string text = fmt::format("{{{},\"file\":{},{}", json_format, json_quoted(file), json_span(range));
    const auto number = [&](const char* key, std::optional<std::int64_t> value) {
        if (value) text += fmt::format(",\"{}\":{}", key, *value);
    };
    const Details::Edge begin = details.first.value_or(Details::Edge{}), end = details.last.value_or(Details::Edge{});
    number("firstWallMillis", begin.wall);
    number("lastWallMillis", end.wall);
    number("firstTerm", begin.term);
    number("lastTerm", end.term);
    text += fmt::format(",\"entries\":{},\"bytes\":{},\"ordered\":{},\"ops\":{{", range.entries, range.bytes, !range.disorder);
    bool first = true;
    for (const auto& [op, count] : details.ops) {
        text += fmt::format("{}{}:{}", first ? "" : ",", json_quoted(op), count);
        first = false;
    }
    return text + "}}\n";
}

/// The Extended JSON that selects what follows. It begins with the last entry, which proves that nothing in between is
/// missing.
std::string as_query(Timestamp last, std::optional<Timestamp> until) {
    const auto bound = [](const char* op, Timestamp ts) {
        return fmt::format(R"("{}":{{"$timestamp":{{"t":{},"i":{}}}}})", op, ts.seconds, ts.ordinal);
    };
    return fmt::format(R"({{"ts":{{{}{}}}}})"
                       "\n",
                       bound("$gte", last), until ? "," + bound("$lte", *until) : "");
}

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-range", "[FILE...]",
              "What oplog files span, a line each: FIRST LAST ENTRIES BYTES FILE. BYTES are of BSON, uncompressed.",
              "  mongodump -d local -c oplog.rs --query \"$(oplog-range --query oplog.bson)\" -o inc1\n"
              "  oplog-range oplog.bson\n");
    // clang-format off
    tool.add_options()
        ("first", "just the first timestamp")
        ("last", "just the last timestamp")
        ("long", "labelled, with wall-clock times, terms, operations and order")
        ("json", "a JSON object a line")
        ("query", "the query for the next increment: from the last entry of all FILEs on")
        ("until", "with --query: up to T", takes(), "T");
    // clang-format on
    return tool.run(argc, argv, [&] {
        int forms = 0;
        for (const char* form : {"first", "last", "long", "json", "query"}) forms += tool.has(form);
        if (forms > 1) throw ArgumentError("--first, --last, --long, --json and --query exclude each other");
        if (tool.has("until") && !tool.has("query")) throw ArgumentError("--until goes with --query");
        std::optional<Timestamp> until;
        if (tool.has("until")) until = tool.time("until").last;
        const bool detailed = tool.has("long") || tool.has("json");

        Range all;
        tool.show_progress();
        for (const std::string& file : tool.inputs()) {
            std::string text;
            try {
                Input in(file);
                Range range;
                Details details;
                const auto in_parts = detailed ? std::nullopt : range_in_parts(in.name(), [](std::size_t bytes) { progress.add(bytes); });
                if (in_parts) {
                    range = *in_parts;
                } else {
                    for (const EntryView entry : in) {
                        range.add(entry);
                        if (detailed) details.add(entry);
                    }
                }
                if (tool.has("first") || tool.has("last")) {
                    if (range.empty()) throw DataError(Fault::empty, in.name() + ": no entries");
                    text = to_string(tool.has("first") ? range.first : range.last) + "\n";
                } else if (tool.has("long")) {
                    text = as_long(range, details, in.name());
                } else if (tool.has("json")) {
                    text = as_json(range, details, in.name());
                } else if (!tool.has("query")) {
                    text = as_line(range, in.name());
                }
                if (range.disorder)
                    throw range.disorder->where ? FormatError(*range.disorder->where, Fault::out_of_order, describe(*range.disorder))
                                                : DataError(Fault::out_of_order, describe(*range.disorder));
                if (!range.empty()) {
                    if (all.empty() || range.last > all.last) all.last = range.last;
                    all.entries += range.entries;
                }
            } catch (const std::exception& error) {
                print(std::exchange(text, {}));
                tool.complain(error); // continues with the next file
            }
            print(text);
        }
        if (!tool.has("query") || tool.failed()) return;
        if (all.empty()) throw DataError(Fault::empty, "no entries: there is nothing to continue from");
        if (until && *until < all.last)
            throw ArgumentError("--until " + tool.value("until") + " is before the last entry, " + to_string(all.last));
        print(as_query(all.last, until));
    });
}

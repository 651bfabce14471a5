// SPDX-License-Identifier: Apache-2.0
#include "lib/played_chain.hpp"

#include <oplog/restore/changed_paths.hpp>
#include <oplog/restore/dump_diff.hpp>

#include <vector>

using namespace oplog;
using namespace oplog::tools;

namespace {

/// A state to compare, and its name in the output.
struct Side {
    std::string dump;
    std::optional<Timestamp> last; ///< The last entry of its oplog; none for a dump without an oplog.
};

/// A dump at its consistent point.
class DumpState {
  public:
    /// The dump is in `path`, and called `name`.
    DumpState(const Tool& tool, const std::string& path, const std::string& name, const std::string& scratch) : dump_(path), name_(name) {
        if (dump_.find("local.oplog.rs"))
            throw DataError(Fault::not_supported, name + ": an increment, which has no collections",
                            "oplog-diff --full DUMP INC... --from T --to T compares two times of a chain");
        for (const std::string& warning : dump_.warnings()) tool.warn(warning);
        const bool has_entries = dump_.oplog() && !range(Reader(*dump_.oplog())).empty();
        if (!has_entries) {
            Selection wanted = selection(tool);
            for (const DumpCollection& collection : dump_.collections()) wanted.see(collection.ns());
            unmatched_ = wanted.unmatched();
            applier_.emplace(dump_, Applier::Options{.scratch = scratch, .selection = std::move(wanted)});
            applier_->finish();
            return;
        }
        chain_.emplace(path, std::vector<Chain::Slice>{});
        Readings readings;
        Selection wanted = learned_selection(tool, *chain_, {}, Continuity::chain, readings);
        unmatched_ = wanted.unmatched();
        applier_.emplace(dump_, applier_options(tool, *chain_, scratch, std::move(wanted)));
        WantedState state{&*applier_};
        play(tool, *chain_, Continuity::chain, readings, {&state, 1});
        last_ = state.last;
    }

    Applier& applier() { return *applier_; }
    const Dump& dump() const { return dump_; }
    Side side() const { return {name_, last_}; }
    /// The patterns that match no existing collection.
    const std::vector<Selection::Rule>& unmatched() const { return unmatched_; }

  private:
    Dump dump_;
    std::string name_;
    std::optional<Chain> chain_;
    std::optional<Applier> applier_;
    std::optional<Timestamp> last_;
    std::vector<Selection::Rule> unmatched_;
};

std::string counted(std::uint64_t number, std::string_view what) { return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s"); }

/// "3 documents added, 1 removed", or nothing.
std::string counts_text(const DocumentCounts& counts) {
    std::string text;
    const auto add = [&](std::uint64_t number, std::string_view what) {
        if (number == 0) return;
        text += text.empty() ? counted(number, "document") : fmt::format(", {}", number);
        text += fmt::format(" {}", what);
    };
    add(counts.added, "added");
    add(counts.removed, "removed");
    add(counts.changed, "changed");
    if (counts.reordered) text += text.empty() ? "documents in another order" : ", the others in another order";
    return text;
}

/// "shop.a", or "shop.a => shop.b".
std::string name_of(const CollectionDiff& diff) { return escaped(diff.is_renamed() ? diff.before + " => " + diff.after : diff.ns()); }

std::string_view status_of(const CollectionDiff& diff) {
    return diff.is_added() ? "added" : diff.is_removed() ? "removed" : diff.is_renamed() ? "renamed" : "changed";
}

/// Prints the result in one of its forms.
class Printer {
  public:
    explicit Printer(const Tool& tool) : documents_(tool.has("documents")), json_(tool.has("json")), stat_(tool.has("stat")) {
        if (json_ && stat_) throw ArgumentError("--json and --stat are two forms of one thing");
    }

    bool wants_documents() const { return documents_; }
    void document(const CollectionDiff& diff, const bson::Document* before, const bson::Document* after) {
        const bson::Document& any = after ? *after : *before;
        const auto id = any.find("_id");
        out_ += fmt::format("{{\"ns\":{},\"_id\":{},\"change\":\"{}\"", json_quoted(diff.ns()), id ? to_json(*id) : "null",
                            !before  ? "added"
                            : !after ? "removed"
                                     : "changed");
        if (before && after) {
            out_ += ",\"changes\":[";
            const std::size_t none = out_.size();
            for_each_changed_path(
                *before, *after,
                [&](std::string_view path, const std::optional<bson::Element>& old, const std::optional<bson::Element>& now) {
                    out_ += fmt::format("{}{{\"path\":{}", out_.size() > none ? "," : "", json_quoted(path));
                    if (old) out_ += ",\"before\":" + to_json(*old);
                    if (now) out_ += ",\"after\":" + to_json(*now);
                    out_ += '}';
                });
            if (out_.size() == none) // only the numbering of an array's elements differs, which JSON does not show
                out_ += fmt::format("{{\"path\":\"\",\"before\":{},\"after\":{}}}", to_json(*before), to_json(*after));
            out_ += ']';
        } else {
            out_ += before ? ",\"before\":" : ",\"after\":";
            append_json(out_, any);
        }
        out_ += "}\n";
        if (out_.size() > 1 << 16) flush();
    }
    void collection(const CollectionDiff& diff) {
        ++collections_;
        total_.added += diff.documents.added;
        total_.removed += diff.documents.removed;
        total_.changed += diff.documents.changed;
        if (json_)
            objects_ += (objects_.empty() ? "" : ",") + as_json(diff);
        else if (stat_)
            stats_.push_back({name_of(diff) + remark(diff), diff.documents});
        else if (!documents_)
            out_ += as_text(diff);
    }
    bool differs() const { return collections_ > 0; }
    void finish(const Side& before, const Side& after) {
        if (json_)
            out_ += fmt::format("{{{},\"differ\":{},\"before\":{},\"after\":{},{},\"collections\":[{}]}}\n", json_format, differs(),
                                as_json(before), as_json(after), counts_json(total_), objects_);
        if (stat_ && differs()) out_ += as_stat();
        flush();
    }

  private:
    struct Stat {
        std::string name;
        DocumentCounts counts;
        std::uint64_t all() const { return counts.added + counts.removed + counts.changed; }
    };

    void flush() {
        print(out_);
        out_.clear();
    }

    static std::string counts_json(const DocumentCounts& counts) {
        return fmt::format("\"added\":{},\"removed\":{},\"changed\":{}", counts.added, counts.removed, counts.changed);
    }
    static std::string as_json(const Side& side) {
        std::string text = fmt::format("{{\"dump\":{},", json_quoted(side.dump));
        return text + (side.last ? json_moment(*side.last) : R"("ts":null,"time":null)") + "}";
    }
    /// The value of an option, or the specification of an index; "null" if there is none.
    static std::string side_json(const std::optional<std::string>& document, bool is_option) {
        if (!document) return "null";
        const bson::Document value(*document);
        return is_option ? to_json(*value.begin()) : to_json(value);
    }
    static std::string as_json(const std::vector<MetadataDifference>& differences, bool are_options) {
        std::string text;
        for (const MetadataDifference& each : differences)
            text += fmt::format("{}{{\"name\":{},\"before\":{},\"after\":{}}}", text.empty() ? "" : ",", json_quoted(each.name),
                                side_json(each.before, are_options), side_json(each.after, are_options));
        return "[" + text + "]";
    }
    static std::string as_json(const CollectionDiff& diff) {
        std::string text = fmt::format("{{\"ns\":{},\"status\":\"{}\",\"kind\":\"{}\"", json_quoted(diff.ns()), status_of(diff), diff.kind);
        if (diff.is_renamed()) text += fmt::format(",\"renamedFrom\":{}", json_quoted(diff.before));
        if (diff.made_again) text += ",\"madeAgain\":true";
        return text + fmt::format(",{},\"reordered\":{},\"options\":{},\"indexes\":{}}}", counts_json(diff.documents),
                                  diff.documents.reordered, as_json(diff.options, true), as_json(diff.indexes, false));
    }

    static std::string as_text(const CollectionDiff& diff) {
        const std::string counts = counts_text(diff.documents);
        std::string text = fmt::format("{} {}{}", status_of(diff), diff.kind == "collection" ? "" : diff.kind + " ", name_of(diff));
        text += counts.empty() ? "\n" : ": " + counts + "\n";
        append_text(text, "option", diff.options, true);
        append_text(text, "index", diff.indexes, false);
        return text;
    }
    static void append_text(std::string& text, std::string_view what, const std::vector<MetadataDifference>& differences,
                            bool are_options) {
        for (const MetadataDifference& each : differences) {
            text += fmt::format("  {} {} ", what, escaped(each.name));
            if (!each.before)
                text += "added: ";
            else if (!each.after)
                text += "removed: ";
            else
                text += "changed: " + side_json(each.before, are_options) + " => ";
            text += side_json(each.after ? each.after : each.before, are_options) + '\n';
        }
    }

    /// What else is different, as in " (gone)".
    static std::string remark(const CollectionDiff& diff) {
        std::string text;
        const auto add = [&](bool is_so, const std::string& what) {
            if (is_so) text += (text.empty() ? "" : ", ") + what;
        };
        add(diff.is_added(), "new");
        add(diff.is_removed(), "gone");
        add(diff.kind != "collection", diff.kind);
        add(!diff.options.empty(), counted(diff.options.size(), "option"));
        add(!diff.indexes.empty(), fmt::format("{} index{}", diff.indexes.size(), diff.indexes.size() == 1 ? "" : "es"));
        add(diff.documents.reordered, "order");
        return text.empty() ? "" : " (" + text + ")";
    }
    static std::size_t width_of(std::string_view text) {
        return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
    }
    /// One line for each collection, as git prints it, with a proportional bar, in 80 columns if the names allow it.
    std::string as_stat() const {
        std::uint64_t most = 0;
        std::size_t names = 0;
        for (const Stat& stat : stats_) {
            most = std::max(most, stat.all());
            names = std::max(names, width_of(stat.name));
        }
        const std::size_t digits = std::to_string(most).size(), used = names + digits + 5, room = used + 10 < 80 ? 80 - used : 10;
        std::string text;
        for (const Stat& stat : stats_) {
            const auto bar = [&](std::uint64_t count, char sign) {
                if (count == 0) return std::string();
                const bool fits = most <= room;
                return std::string(fits ? count
                                        : 1 + static_cast<std::size_t>(static_cast<double>(count) * static_cast<double>(room - 3) /
                                                                       static_cast<double>(most)),
                                   sign);
            };
            std::string line =
                " " + stat.name + std::string(names - width_of(stat.name), ' ') + fmt::format(" | {:>{}}", stat.all(), digits);
            if (stat.all() > 0) line += ' ' + bar(stat.counts.added, '+') + bar(stat.counts.removed, '-') + bar(stat.counts.changed, '~');
            text += line + '\n';
        }
        text += ' ' + counted(stats_.size(), "collection") + " changed";
        bool first = true;
        const auto add = [&](std::uint64_t number, std::string_view what) {
            if (number == 0) return;
            text += std::exchange(first, false) ? ", " + counted(number, "document") : fmt::format(", {}", number);
            text += fmt::format(" {}", what);
        };
        add(total_.added, "added(+)");
        add(total_.removed, "removed(-)");
        add(total_.changed, "changed(~)");
        return text + '\n';
    }

    bool documents_, json_, stat_;
    std::uint64_t collections_ = 0;
    DocumentCounts total_;
    std::string objects_; ///< The collections as JSON.
    std::vector<Stat> stats_;
    std::string out_;
};

void compare(Tool& tool, Printer& printer, Applier& before, Applier& after, const std::string& scratch, bool one_chain, bool compressed) {
    DumpDiff diff(before, after,
                  {.scratch = scratch, .one_chain = one_chain, .progress = [](std::uint64_t bytes) { progress.add(bytes); }});
    progress.stop();
    tool.show_progress(compressed ? 0 : diff.bytes_to_read()); // the size of compressed dumps' data is unknown
    const auto document = [&](const CollectionDiff& collection, const bson::Document* older, const bson::Document* newer) {
        printer.document(collection, older, newer);
    };
    diff.run([&](const CollectionDiff& collection) { printer.collection(collection); },
             printer.wants_documents() ? DumpDiff::Report(document) : DumpDiff::Report());
    progress.stop();
}

void compare_dumps(Tool& tool, Printer& printer, const std::string& scratch) {
    const std::vector<std::string> inputs = tool.inputs();
    if (inputs.size() != 2) throw ArgumentError("name two dumps: A B; or a chain and two times of it: --full DUMP INC... --from T --to T");
    for (const char* const option : {"from", "to"})
        if (tool.has(option)) throw ArgumentError(fmt::format("--{} is a time of a chain: --full DUMP INC... --from T --to T", option));
    UnpackedArchives archives;
    const std::string paths[] = {archives.directory(inputs[0]), archives.directory(inputs[1])};
    DumpState before(tool, paths[0], inputs[0], scratch), after(tool, paths[1], inputs[1], scratch);
    std::vector<Selection::Rule> unmatched = before.unmatched();
    std::erase_if(unmatched, [&](const Selection::Rule& rule) {
        return std::ranges::none_of(after.unmatched(),
                                    [&](const Selection::Rule& other) { return other.kind == rule.kind && other.pattern == rule.pattern; });
    });
    warn_of_unmatched(tool, unmatched);
    compare(tool, printer, before.applier(), after.applier(), scratch, false, before.dump().gzip() || after.dump().gzip());
    for (const DumpState* const state : {&before, &after}) state->dump().require_unchanged();
    printer.finish(before.side(), after.side());
}

void compare_times(Tool& tool, Printer& printer, const std::string& scratch) {
    const ChainInputs inputs(tool);
    const Chain& chain = inputs.chain();
    const Dump& full = *chain.full();
    inputs.warn_of_dump(tool);
    const auto time = [&](const char* option) -> std::optional<Timestamp> {
        if (!tool.has(option)) return std::nullopt;
        return tool.time(option).last;
    };
    const Bounds from{.to = tool.has("from") ? time("from") : chain.consistent_point()}, to{.to = time("to")};
    if (to.to && *from.to > *to.to)
        throw ArgumentError(tool.has("from") ? "--from is later than --to"
                                             : "--to is before " + to_string(*from.to) + ", from which on the full dump is consistent");
    Readings readings;
    const Selection wanted = learned_selection(tool, chain, to, Continuity::chain, readings);
    warn_of_unmatched(tool, wanted.unmatched());
    Applier before(full, applier_options(tool, chain, scratch, wanted)), after(full, applier_options(tool, chain, scratch, wanted));
    WantedState states[] = {{&before, from}, {&after, to}};
    tool.show_progress(size_of(chain));
    play(tool, chain, Continuity::chain, readings, states);
    compare(tool, printer, before, after, scratch, true, full.gzip());
    full.require_unchanged();
    printer.finish({tool.value("full"), states[0].last}, {tool.value("full"), states[1].last});
}

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-diff", "A B | --full DUMP INC... [--from T] [--to T]",
              "What differs between two dumps, or between two times of one chain: collections that came, went or were renamed,\n"
              "their options and indexes, views, users and roles, and documents, byte for byte. A dump is taken as of its\n"
              "consistent point, with the entries of its own oplog. No output means no difference.",
              "  oplog-diff yesterday today --stat\n"
              "  oplog-diff --full full inc1 inc2 inc3 --from 2021-01-12T03:00:00Z --to 2021-01-12T03:39:59Z --documents\n");
    // clang-format off
    tool.add_options()
        ("full", "the full dump of a chain", takes(), "DUMP")
        ("from", "compare the state at T, entries at T included (default: the full dump's)", takes(), "T")
        ("to", "with the state at T, entries at T included (default: the chain's end)", takes(), "T")
        ("documents", "a JSON line for each document that differs, with what changed in it")
        ("json", "all but the documents as a JSON object")
        ("stat", "a line a collection with a bar, and a sum")
        ("exit-code", "exit with 1 if there are differences");
    // clang-format on
    add_selection(tool);
    return tool.run(argc, argv, [&] {
        Printer printer(tool);
        const std::string scratch = scratch_directory();
        if (tool.has("full"))
            compare_times(tool, printer, scratch);
        else
            compare_dumps(tool, printer, scratch);
        if (printer.differs() && tool.has("exit-code")) tool.fail(bad_data);
    });
}

// SPDX-License-Identifier: Apache-2.0
#include "lib/chain_tool.hpp"
#include "lib/documents.hpp"
#include "lib/undo.hpp"
#include "lib/undo_script.hpp"

#include <oplog/entry/reencoding.hpp>
#include <oplog/restore/take_back.hpp>

#include <array>
#include <ctime>
#include <filesystem>
#include <set>

using namespace oplog;
using namespace oplog::tools;

namespace {

constexpr std::size_t shown_conflicts = 20;

std::string base64(std::string_view bytes) {
    std::string text((bytes.size() + 2) / 3 * 4, '\0');
    oplog::detail::put_base64(text.data(), bytes.data(), bytes.size());
    return text;
}

std::string json(std::optional<std::string_view> document) { return document ? to_json(bson::Document(*document)) : "null"; }
std::string value_json(std::string_view id) { return to_json(*bson::Document(id).begin()); }

/// Whether a shell would change the document when it holds it as an object: it puts names that are numbers first, and
/// some names have a meaning.
bool misleads_a_shell(const bson::Document& document, bool is_array = false) {
    for (const bson::Element& field : document) {
        const std::string_view key = field.key();
        if (!is_array && (key.starts_with('$') || key == "__proto__" || key == "_bsontype" || key == "toBSON" ||
                          (!key.empty() && key.find_first_not_of("0123456789") == key.npos)))
            return true;
        if (field.is(bson::Type::document) ? misleads_a_shell(field.document())
                                           : field.is(bson::Type::array) && misleads_a_shell(field.array(), true))
            return true;
    }
    return false;
}
/// Copies a document with a dot before each name.
void mark(bson::Builder& out, const bson::Document& document, bool is_array = false) {
    std::string key;
    for (const bson::Element& field : document) {
        key.assign(is_array ? "" : ".").append(field.key());
        if (field.is(bson::Type::document)) {
            mark(out.begin_document(key), field.document());
            out.end();
        } else if (field.is(bson::Type::array)) {
            mark(out.begin_array(key), field.array(), true);
            out.end();
        } else {
            out.append(key, field);
        }
    }
}
bson::Value marked(const bson::Document& document) {
    bson::Builder out;
    mark(out, document);
    return out.finish();
}

/// Seconds for people to read: "2 h 5 min".
std::string duration(std::int64_t seconds) {
    if (seconds < 60) return fmt::format("{} s", seconds);
    if (seconds < 3600) return fmt::format("{} min", seconds / 60);
    if (seconds < std::int64_t{2} * 86400) return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
    return fmt::format("{} days", seconds / 86400);
}

using Counts = std::array<std::uint64_t, outcomes>;

/// Whether values of the collection must be unique, beyond `_id`s that are spelled the same.
bool has_unique_values(const CollectionLife& life) {
    const auto is_unique = [](const bson::Value& index) {
        const auto unique = bson::Document(index).find("unique");
        return unique && unique->truthy();
    };
    return bson::Document(life.collection.metadata.options).find("collation") ||
           std::ranges::any_of(life.collection.metadata.indexes, is_unique);
}

/// The findings, for people.
struct Summary {
    std::map<std::string, Counts> namespaces;
    std::vector<std::string> conflicts; ///< The first few.
    std::vector<std::string> dropped;
    std::set<std::string> gone; ///< Their names when they were dropped.
    std::uint64_t left_alone = 0;
    std::set<std::string> unique; ///< Collections of which a document is left alone, and whose values must be unique.
    std::uint64_t otherwise = 0;  ///< Documents that a replay writes otherwise.
    std::string first_otherwise;

    void add(const TakenBack& taken) {
        ++namespaces[std::string(taken.ns)][static_cast<std::size_t>(taken.outcome)];
        if (taken.outcome != Outcome::conflict && taken.outcome != Outcome::unapplicable) return;
        if (has_unique_values(*taken.life)) unique.emplace(taken.ns);
        if (++left_alone > shown_conflicts) return;
        conflicts.push_back(fmt::format("{}: {} {}: {}", to_string(taken.outcome), taken.ns, value_json(taken.id),
                                        taken.outcome == Outcome::conflict ? "changed by another operation at " + to_string(*taken.other)
                                                                           : to_string(*taken.other) + ": " + taken.reason));
    }
};

/// Writes OUT or, for a dry run, only the summary.
class UndoOutput : public TakeBackOutput {
  public:
    UndoOutput(DumpWriter* out, std::string scratch, Timestamp last, Summary& summary)
        : out_(out), scratch_(std::move(scratch)), next_(last), summary_(summary) {
        if (!out_) return;
        std::filesystem::create_directories(out_->temporary() + "/before");
        report_.emplace(out_->open("report.jsonl"));
        changes_.emplace(out_->open("undo.jsonl"));
        replay_.emplace(out_->open("replay/oplog.bson"));
    }

    void document(const TakenBack& taken) override {
        summary_.add(taken);
        if (!out_) return;
        write_report(taken);
        if (taken.of_dropped) return;
        if (taken.before) before(*taken.life).write(*taken.before);
        if (taken.outcome != Outcome::restored && taken.outcome != Outcome::deleted && taken.outcome != Outcome::inserted) return;
        const auto bytes = [](std::optional<std::string_view> document) { return document ? '"' + base64(*document) + '"' : "null"; };
        const bool is_marked =
            misleads_a_shell(bson::Document(taken.id)) || (taken.target && misleads_a_shell(bson::Document(*taken.target)));
        std::string line = fmt::format(R"({{"ns":{},)", json_quoted(taken.ns));
        if (is_marked) {
            const bson::Value id = marked(bson::Document(taken.id));
            const auto target = taken.target ? std::optional(marked(bson::Document(*taken.target))) : std::nullopt;
            line += fmt::format(R"("marked":true,"id":{},"_id":{},"target":{})", json_quoted(value_json(taken.id)),
                                to_json(*id.view().begin()), target ? to_json(target->view()) : "null");
        } else {
            line += fmt::format(R"("_id":{},"target":{})", value_json(taken.id), json(taken.target));
        }
        put(*changes_, line + fmt::format(R"(,"now":{},"bytes":{}}})"
                                          "\n",
                                          bytes(taken.now), bytes(taken.target)));
        replay(taken);
    }
    void begin_dropped(const CollectionLife& life, const std::string& ns, const CollectionEvent& end) override {
        const auto [database, name] = split_namespace(ns);
        summary_.gone.insert(life.collection.ns());
        summary_.dropped.push_back(
            fmt::format("{} ({}) comes back as dropped/{}/{}", life.collection.ns(), to_string(end), database, dump_file_name(name)));
        if (!out_) return;
        Metadata metadata = life.collection.metadata;
        metadata.options =
            changed(bson::Document(metadata.options), [](const bson::Element& option, bson::Builder&) { return option.key() == "temp"; });
        metadata.collection = name;
        out_->write_text("dropped/" + out_->metadata_name(database, name), metadata.json());
        dropped_.emplace(out_->open("dropped/" + out_->data_name(database, name)));
    }
    void dropped_document(std::string_view document) override {
        if (dropped_) dropped_->write(document);
    }
    void end_dropped() override {
        if (dropped_) dropped_->close();
        dropped_.reset();
    }

    void close() {
        if (!out_) return;
        finish_replay();
        for (auto& [ns, writer] : before_) writer.close();
        report_->close();
        changes_->close();
        replay_->close();
        out_->write_text("undo.js", undo_script);
    }

  private:
    static void put(Writer& writer, std::string_view text) { writer.sink().write(text.data(), text.size()); }

    void write_report(const TakenBack& taken) {
        std::string line =
            fmt::format(R"({{"ns":{},"_id":{},"verdict":"{}","before":{},"after":{},"now":{})", json_quoted(taken.ns), value_json(taken.id),
                        to_string(taken.outcome), json(taken.before), json(taken.after), json(taken.now));
        if (taken.target != taken.before && taken.target != taken.now) line += ",\"target\":" + json(taken.target);
        if (!taken.transactions.empty()) {
            line += ",\"txn\":[";
            for (const TransactionId& id : taken.transactions) line += (line.back() == '[' ? "" : ",") + json_quoted(to_string(id));
            line += ']';
        }
        if (taken.other) line += fmt::format(R"(,"other":{{"$timestamp":{{"t":{},"i":{}}}}})", taken.other->seconds, taken.other->ordinal);
        if (!taken.reason.empty()) line += ",\"reason\":" + json_quoted(taken.reason);
        if (taken.of_dropped) line += ",\"dropped\":true";
        put(*report_, line + "}\n");
    }

    /// The file for the images of a collection. If two collections have the same name, one of them has ended.
    Writer& before(const CollectionLife& life) {
        const std::string ns =
            life.ended ? life.collection.ns() + "-ended-" + std::to_string(life.collection.number) : life.collection.ns();
        if (const auto found = before_.find(ns); found != before_.end()) return found->second;
        const auto [database, name] = split_namespace(ns);
        Metadata metadata;
        metadata.collection = name;
        metadata.type = "collection";
        bson::Builder options; // it is for looking at documents of several moments, so nothing may refuse one
        for (const bson::Element& option : bson::Document(life.collection.metadata.options))
            if (option.key() == "clusteredIndex") options.append(option);
        metadata.options = options.finish();
        for (const bson::Value& index : life.collection.metadata.indexes)
            if (bson::Document(index).find("name")->string() == "_id_")
                metadata.indexes.push_back(changed(
                    bson::Document(index), [](const bson::Element& option, bson::Builder&) { return option.key() == "collation"; }));
        out_->write_text("before/" + out_->metadata_name(database, name), metadata.json());
        return before_.emplace(ns, out_->open("before/" + out_->data_name(database, name))).first->second;
    }

    /// Writes replayable entries. An insert replaces an existing document. Where values must be unique, all changing
    /// documents are removed before any is inserted.
    void replay(const TakenBack& taken) {
        if (&*taken.life != life_) finish_replay();
        if (!life_) {
            life_ = taken.life;
            has_unique_ = has_unique_values(*life_);
        }
        count_otherwise(taken);
        if (!taken.target || (has_unique_ && taken.now)) entry("d", taken.ns, taken.id);
        if (!taken.target) return;
        if (!has_unique_) return entry("i", taken.ns, *taken.target);
        if (!later_) later_ = std::make_unique<ChangeLog>(scratch_);
        later_offsets_.push_back(later_->append_entry(*taken.target));
    }
    /// Counts a document that mongorestore, which decodes and encodes what it replays, would write otherwise.
    void count_otherwise(const TakenBack& taken) {
        std::optional<std::string> otherwise; // the path of the first such value
        const auto look = [&](const bson::Document& document) {
            for_each_reencoded(document, "", [&](Reencoding, const std::string& path) {
                if (!otherwise) otherwise = path.substr(1);
            });
        };
        look(bson::Document(taken.id));
        if (taken.target) look(bson::Document(*taken.target));
        if (taken.target && taken.now && !has_unique_) // it replaces a document
            for (const bson::Element& field : bson::Document(*taken.target))
                if (field.is(bson::Type::timestamp) && field.timestamp() == Timestamp() && field.key() != "_id" && !otherwise)
                    otherwise = field.key();
        if (otherwise && summary_.otherwise++ == 0)
            summary_.first_otherwise = fmt::format("{} of {} {}", *otherwise, taken.ns, value_json(taken.id));
    }
    void finish_replay() {
        if (later_) later_->seal();
        for (const std::uint64_t offset : later_offsets_) entry("i", life_->collection.ns(), later_->entry(offset).bytes());
        later_offsets_.clear();
        later_.reset();
        life_ = nullptr;
    }
    void entry(std::string_view op, std::string_view ns, std::string_view o) {
        next_ = Timestamp::from_packed(next_.packed() + 1);
        bson::Builder out;
        replay_->write(out.string("op", op)
                           .string("ns", ns)
                           .document("o", bson::Document(o))
                           .timestamp("ts", next_)
                           .int64("t", 1)
                           .int64("v", 2)
                           .date("wall", std::int64_t{next_.seconds} * 1000)
                           .finish());
    }

    DumpWriter* out_; ///< Null: only the summary.
    std::string scratch_;
    Timestamp next_;
    Summary& summary_;
    std::optional<Writer> report_, changes_, replay_, dropped_;
    std::map<std::string, Writer> before_;
    const CollectionLife* life_ = nullptr; ///< The collection of the entries so far.
    bool has_unique_ = false;
    std::unique_ptr<ChangeLog> later_;
    std::vector<std::uint64_t> later_offsets_;
};

bool is_undo(const std::string& path) {
    return std::filesystem::exists(path + "/undo.js") && std::filesystem::exists(path + "/report.jsonl");
}

TakeBack::Choice choice(const Tool& tool) {
    TakeBack::Choice choice{
        .bounds = tool.bounds(), .namespaces = wanted_namespaces(tool), .ids = wanted_ids(tool), .where = wanted_fields(tool)};
    if (tool.has("exclude-ns"))
        for (const std::string& glob : tool.value<std::vector<std::string>>("exclude-ns")) choice.excluded.emplace_back(glob);
    for (const std::string& op : tool.operations()) {
        if (op != "i" && op != "u" && op != "d" && op != "c") throw ArgumentError("--op " + op + ": only i, u, d and c can be taken back");
        choice.ops.insert(op);
    }
    if (tool.has("txn"))
        for (const std::string& text : tool.value<std::vector<std::string>>("txn")) {
            const std::size_t slash = text.rfind('/');
            TakeBack::TransactionName name;
            const char* const end = text.data() + text.size();
            bool has_number = false;
            if (slash != text.npos) {
                const auto [rest, error] = std::from_chars(text.data() + slash + 1, end, name.number);
                has_number = rest == end && error == std::errc{};
            }
            for (const char c : text.substr(0, has_number ? slash : 0))
                if (c != '-') name.session += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
            if (!has_number || name.session.size() < 8 || name.session.size() > 32 ||
                name.session.find_first_not_of("0123456789abcdef") != name.session.npos)
                throw ArgumentError(
                    "--txn " + text +
                    ": write LSID/N, the first digits, 8 or more, of the session's UUID and the transaction's number, as oplog-history's `session` has them");
            choice.transactions.push_back(std::move(name));
        }
    if (choice.transactions.empty() && !tool.has("last") &&
        !((tool.has("from") || tool.has("after")) && (tool.has("to") || tool.has("before"))))
        throw ArgumentError("say which operations: --from X --to Y, or --txn LSID/N");
    return choice;
}

OnConflict on_conflict(const Tool& tool) {
    const std::string word = tool.optional("conflict").value_or("skip");
    if (word == "skip") return OnConflict::skip;
    if (word == "before") return OnConflict::before;
    if (word == "replay") return OnConflict::replay;
    throw ArgumentError("--conflict " + word + ": known are skip, before and replay");
}

void tell(const Tool& tool, const Summary& summary, const TakeBack& undo, const std::optional<std::string>& output) {
    for (const std::string& part : undo.parts()) tool.warn(part);
    for (const std::string& conflict : summary.conflicts) tool.say(conflict);
    if (summary.left_alone > shown_conflicts)
        tool.say(fmt::format("and {} more that are left alone{}", summary.left_alone - shown_conflicts,
                             output ? ": report.jsonl has them all" : ""));
    for (const std::string& ns : output ? summary.unique : std::set<std::string>{})
        tool.warn(fmt::format("{} has values that must be unique, and documents of it are left alone: where one has a value that another "
                              "gets back, mongorestore stops midway in replay/; undo.js leaves out just that one",
                              ns));
    if (output && summary.otherwise > 0)
        tool.warn(fmt::format(
            "documents that mongorestore writes otherwise when it replays them: {}, the first for {}; before/ has each as it was",
            summary.otherwise, summary.first_otherwise));
    for (const Finding& finding : undo.by_hand()) tool.say("by hand: " + to_string(finding));
    for (const std::string& dropped : summary.dropped) tool.say(dropped);
    Counts total{};
    for (const auto& [ns, counts] : summary.namespaces) {
        std::string line = ns + ":";
        for (std::size_t i = 0; i < outcomes; ++i) {
            total[i] += counts[i];
            line += fmt::format("{} {} {}", i == 0 ? "" : ",", counts[i], to_string(static_cast<Outcome>(i)));
        }
        tool.say(line);
    }
    const std::int64_t age = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::time(nullptr)) - undo.last().seconds);
    tool.say(fmt::format("{} operation{} chosen; now is {} ({}), {} ago", undo.operations(), undo.operations() == 1 ? "" : "s",
                         to_string(undo.last()), to_utc_string(undo.last()), duration(age)));
    if (!output) return;
    if (!summary.namespaces.empty())
        tool.say(fmt::format("to see what it would do: mongosh URI {0}/undo.js; to do it: APPLY=1 mongosh URI {0}/undo.js",
                             shell_word(*output)));
    if (!summary.dropped.empty())
        tool.say(
            fmt::format("to bring the dropped collections back: mongorestore --bypassDocumentValidation {}/dropped", shell_word(*output)));
}

} // namespace

int main(int argc, char** argv) {
    Tool tool(
        "oplog-undo",
        "--full DUMP INC... --from X --to Y [--ns GLOB]... [--op LIST] [--id EJSON]... [--where FIELD=EJSON]... [--txn LSID/N]... -o OUT",
        "Takes chosen operations of a chain back, on the live server: OUT/undo.js for mongosh sets each document that they changed\n"
        "to what it was before, if the server still has what the chain ended with. What else changed a document meanwhile is a\n"
        "conflict. All filters must hold.",
        "  oplog-undo --full full inc1 inc2 --from 2021-01-12T03:29:00Z --to 2021-01-12T03:29:59Z --ns shop.orders --op u -o undo\n"
        "  mongosh \"$URI\" undo/undo.js\n"
        "  APPLY=1 mongosh \"$URI\" undo/undo.js\n");
    // clang-format off
    tool.add_options()
        ("full", "the full dump, made with mongodump --oplog", takes(), "DUMP")
        ("o,output", "the directory to make", takes(), "OUT")
        ("f,force", "replace OUT if an earlier run made it")
        ("ns", "only operations on collections that match GLOB, under any name they have had; may be repeated", takes<std::vector<std::string>>(), "GLOB")
        ("exclude-ns", "not those on collections that match GLOB; may be repeated", takes<std::vector<std::string>>(), "GLOB")
        ("op", "only these operations, as in i,u,d,c", takes(), "LIST");
    // clang-format on
    add_documents(tool);
    // clang-format off
    tool.add_options()
        ("txn", "only operations of this transaction: the first digits of its session's UUID, and its number; may be repeated", takes<std::vector<std::string>>(), "LSID/N")
        ("conflict", "what other operations changed later: skip it (default), set it to what was before, or replay the others alone", takes(), "skip|before|replay")
        ("rename", "give a dropped collection or database (db.*=other.*) that comes back another name; may be repeated", takes<std::vector<std::string>>(), "FROM=TO")
        ("check", "just say what it would be; no OUT");
    // clang-format on
    tool.add_bounds();
    return tool.run(argc, argv, [&] {
        const auto output = tool.optional("output");
        if (!tool.has("full")) throw ArgumentError("name the full dump: --full DUMP");
        if (tool.has("check") ? output.has_value() : !output || *output == "-")
            throw ArgumentError(tool.has("check") ? "--check makes no OUT: leave -o out"
                                                  : "name the directory to make: -o OUT, or say --check");
        TakeBack::Options options{.scratch = scratch_directory(output),
                                  .choice = choice(tool),
                                  .on_conflict = on_conflict(tool),
                                  .report = [&](const Finding& finding) { tool.warn(to_string(finding)); }};
        std::vector<std::pair<std::string, std::string>> renames;
        if (tool.has("rename"))
            for (const std::string& text : tool.value<std::vector<std::string>>("rename")) {
                const std::size_t equals = text.find('=');
                if (equals == text.npos) throw ArgumentError("--rename " + text + ": write FROM=TO");
                renames.emplace_back(text.substr(0, equals), text.substr(equals + 1));
                options.renaming.add(renames.back().first, renames.back().second);
            }
        const std::vector<TakeBack::TransactionName> transactions = options.choice.transactions;
        const ChainInputs inputs(tool);
        const Chain& chain = inputs.chain();
        inputs.warn_of_dump(tool);
        std::optional<DumpOutput> out;
        if (output)
            out.emplace(*output, DumpWriter::Options{.if_exists = tool.if_exists(),
                                                     .inputs = inputs.named(),
                                                     .may_replace = is_undo,
                                                     .replaces = "what an earlier run made"});
        const std::string scratch = options.scratch;
        TakeBack undo(*chain.full(), *chain.dump_start(), *chain.consistent_point(), std::move(options));
        Readings readings;
        tool.show_progress();
        read_chain(chain, readings, [&](const EntryView& entry) { undo.add(entry); }, {.checked = true});
        progress.stop();
        Summary summary;
        UndoOutput files(out ? &*out : nullptr, scratch, undo.last(), summary);
        undo.write(files);
        files.close();
        chain.full()->require_unchanged();
        if (out) {
            out->close();
            warn_of_old(tool, *out);
        }
        warn_of_unmatched(tool, undo, {"ns", "exclude-ns"});
        for (const auto& [from, to] : renames)
            if (std::ranges::none_of(summary.gone, [&](const std::string& ns) { return glob_matches(from, ns); }))
                tool.warn("--rename " + from + "=" + to + ": no collection that comes back has that name");
        for (std::size_t i = 0; i < transactions.size(); ++i)
            if (!undo.has_transaction(transactions[i]))
                tool.warn("--txn " + tool.value<std::vector<std::string>>("txn")[i] + ": no operation that is chosen belongs to it");
        tell(tool, summary, undo, output);
    });
}

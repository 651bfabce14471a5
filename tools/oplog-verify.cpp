// SPDX-License-Identifier: Apache-2.0
#include "lib/chain_tool.hpp"

#include <map>
#include <set>

using namespace oplog;
using namespace oplog::tools;

namespace {

/// Finds out what is wrong with a chain, and to which times it can be restored.
class Verification {
  public:
    Verification(const Chain& chain, Continuity continuity) : chain_(chain), continuity_(continuity) {
        if (chain.full())
            for (const std::string& warning : chain.full()->warnings())
                find({Finding::Severity::warning, std::nullopt, std::nullopt, warning});
        for (const Chain::Slice& slice : chain.slices()) verify_slice(slice);
        verify_chain();
    }

    const std::vector<Finding>& findings() const noexcept { return findings_; }
    /// How many times a note occurred. The findings have its first occurrence.
    std::uint64_t times(const Finding& note) const { return notes_.at(note.text); }
    bool good() const {
        return std::ranges::none_of(findings_, [](const Finding& f) { return f.severity == Finding::Severity::error; });
    }
    /// What to do about some of the findings.
    const std::set<std::string>& hints() const noexcept { return hints_; }
    /// The first and the last time to which the chain can be restored; none if there is none.
    const std::optional<std::pair<Timestamp, Timestamp>>& window() const noexcept { return window_; }

  private:
    void find(Finding finding) {
        if (finding.severity == Finding::Severity::note && ++notes_[finding.text] > 1) return;
        findings_.push_back(std::move(finding));
    }

    /// Servers accept text that is not UTF-8 from drivers that send it, and a restore must return it.
    void check_bytes(const EntryView& entry) {
        bool is_text = false;
        try {
            if (!bson::validate(entry.document())) is_ordinary_ = false;
            return;
        } catch (const DataError& error) { // the text, what a replay changes, or worse
            is_text = error.fault() == Fault::not_utf8;
        }
        entry.with_place([&] {
            if (!bson::validate<bson::Text::any>(entry.document())) is_ordinary_ = false;
        });
        if (is_text && std::exchange(strange_text_in_, entry.where()->file) != entry.where()->file) // once for each slice
            find({Finding::Severity::warning, *entry.where(), entry.ts(),
                  "text that is not valid UTF-8: damage, or what a driver wrote; it is restored as it is"});
    }

    /// What cannot be read has no timestamp. That of the entry before it shows how far a restore can go.
    void find_broken(const FormatError& error, const std::optional<Timestamp>& last) {
        if (!error.hint().empty()) hints_.insert(error.hint());
        find({Finding::Severity::error, error.where(), last, (last ? "after this entry: " : "") + error.reason()});
    }

    void find_discontinuity(const ContinuityError& error) {
        if (!error.hint().empty()) hints_.insert(error.hint());
        find({Finding::Severity::error, error.where(), error.ts(), error.reason()});
    }

    /// Checks every byte of one file by itself, so that a fault cannot hide behind an earlier one in another file.
    void verify_slice(const Chain::Slice& slice) {
        Input in(Input::source_type(slice.path), slice.name);
        OrderCheck check_order;
        std::optional<Timestamp> last;
        TransactionTracker transactions;
        try {
            for (const EntryView entry : in) {
                check_bytes(entry);
                check_order(entry);
                transactions.add(entry);
                last = entry.ts();
            }
            if (!last)
                find(
                    {Finding::Severity::warning, in.where(), std::nullopt, "the slice is empty: the server that was asked may lag behind"});
        } catch (const FormatError& error) {
            is_ordinary_ = false; // as far as is known
            find_broken(error, last);
        }
        for (const auto& [id, state] : transactions.open())
            find({Finding::Severity::note, in.where(), state.last,
                  "the slice ends inside a transaction, which restoring slice by slice would lose"});
    }

    /// Checks the slices together, up to the first fault that keeps them from being one history.
    void verify_chain() {
        std::optional<Timestamp> last, broken_at;
        Examiner examiner(chain_.start(), {}, [&](Finding finding) {
            if (finding.severity == Finding::Severity::error && !broken_at) broken_at = finding.ts;
            find(std::move(finding));
        });
        try {
            Merge<Reader> entries = chain_.merged(continuity_);
            std::size_t gaps = 0;
            for (EntryView entry : entries) {
                entry.set_ordinary(is_ordinary_);
                for (; gaps < entries.gaps().size(); ++gaps) {
                    find_discontinuity(entries.gaps()[gaps]);
                    if (!broken_at) broken_at = entry.ts();
                }
                examiner.add(entry);
                if (!broken_at) last = entry.ts();
            }
        } catch (const ContinuityError& error) {
            find_discontinuity(error);
        } catch (const FormatError& error) {
            if (good()) find_broken(error, last); // otherwise the fault belongs to its slice
        }
        examiner.finish();
        if (chain_.full()) chain_.full()->require_unchanged();
        if (!last) {
            if (good()) find({Finding::Severity::error, std::nullopt, std::nullopt, "there are no entries: nothing can be restored"});
            return;
        }
        const Timestamp first = chain_.consistent_point().value_or(examiner.range().first);
        if (first <= *last) window_ = {first, *last};
    }

    const Chain& chain_;
    Continuity continuity_;
    std::vector<Finding> findings_;
    std::set<std::string> hints_;
    std::map<std::string, std::uint64_t> notes_;
    bool is_ordinary_ = true;     ///< Whether every entry is ordinary; see bson::validate().
    std::string strange_text_in_; ///< The last slice that had such text.
    std::optional<std::pair<Timestamp, Timestamp>> window_;
};

constexpr std::string_view severities[] = {"note", "warning", "error"};

std::string as_text(const Verification& verification) {
    std::string text;
    for (const Finding& finding : verification.findings()) {
        text += fmt::format("{}: {}", severities[static_cast<int>(finding.severity)], escaped(to_string(finding)));
        if (finding.severity == Finding::Severity::note && verification.times(finding) > 1)
            text += fmt::format(" ({} times)", verification.times(finding));
        text += '\n';
    }
    if (const auto& window = verification.window())
        text += fmt::format("restorable from {} ({}) to {} ({})\n", to_string(window->first), to_utc_string(window->first),
                            to_string(window->second), to_utc_string(window->second));
    else
        text += "restorable to no time\n";
    return text;
}

std::string as_json(const Verification& verification) {
    std::string text = fmt::format("{{{},\"good\":{},\"window\":", json_format, verification.good());
    if (const auto& window = verification.window())
        text += "{" + json_span(window->first, window->second) + "}";
    else
        text += "null";
    text += ",\"findings\":[";
    for (const Finding& finding : verification.findings()) {
        if (text.back() == '}') text += ',';
        text += fmt::format("{{\"severity\":\"{}\"", severities[static_cast<int>(finding.severity)]);
        if (finding.where)
            text += fmt::format(",\"file\":{},\"offset\":{},\"document\":{}", json_quoted(finding.where->file), finding.where->offset,
                                finding.where->document);
        if (finding.ts) text += "," + json_moment(*finding.ts);
        if (finding.severity == Finding::Severity::note) text += fmt::format(",\"times\":{}", verification.times(finding));
        text += fmt::format(",\"text\":{}}}", json_quoted(finding.text));
    }
    return text + "]}\n";
}

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-verify", "[--full DUMP] INC...",
              "Proves that a chain - a full dump and its increments, in any order - can be restored: every byte of BSON, order,\n"
              "continuity, transactions, and all that a restore would have to get right. Ends with the times that it can be\n"
              "restored to. Notes are what mongorestore alone would do wrong, and oplog-stage sees to.",
              "  oplog-verify --full full inc1 inc2 inc3\n");
    // clang-format off
    tool.add_options()
        ("full", "the full dump, made with mongodump --oplog", cxxopts::value<std::string>(), "DUMP")
        ("allow-gap", "report each gap and look at the rest of the chain too; it is an error all the same")
        ("json", "all of it as a JSON object");
    // clang-format on
    return tool.run(argc, argv, [&] {
        const ChainInputs inputs(tool);
        tool.show_progress();
        const Verification verification(inputs.chain(), tool.has("allow-gap") ? Continuity::gaps : Continuity::chain);
        print(tool.has("json") ? as_json(verification) : as_text(verification));
        for (const std::string& hint : verification.hints()) tool.hint(hint);
        if (!verification.good()) tool.fail(bad_data);
    });
}

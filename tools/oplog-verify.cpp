// SPDX-License-Identifier: Apache-2.0
#include "lib/chain_tool.hpp"

#include <oplog/stream/checked_reader.hpp>

#include <map>
#include <set>

using namespace oplog;
using namespace oplog::tools;

namespace {

/// What was found, in order. Of notes with the same text there may be millions: only the first is kept.
class Findings {
  public:
    void add(Finding finding) { add(std::move(finding), 1); }
    /// Adds what others found, after what is here.
    void add(Findings others) {
        for (Finding& finding : others.list_) {
            const std::uint64_t times = finding.severity == Finding::Severity::note ? others.times(finding) : 1;
            add(std::move(finding), times);
        }
        hints_.merge(others.hints_);
    }
    /// What cannot be read has no timestamp. That of the entry before it shows how far a restore can go.
    void add_broken(const FormatError& error, const std::optional<Timestamp>& last) {
        add_hint(error.hint());
        add({Finding::Severity::error, error.where(), last, (last ? "after this entry: " : "") + error.reason()});
    }
    void add_hint(const std::string& hint) {
        if (!hint.empty()) hints_.insert(hint);
    }

    const std::vector<Finding>& list() const noexcept { return list_; }
    /// How many times a note occurred.
    std::uint64_t times(const Finding& note) const { return notes_.at(note.text); }
    /// What to do about some of the findings.
    const std::set<std::string>& hints() const noexcept { return hints_; }
    bool good() const {
        return std::ranges::none_of(list_, [](const Finding& f) { return f.severity == Finding::Severity::error; });
    }

  private:
    void add(Finding finding, std::uint64_t times) {
        if (finding.severity == Finding::Severity::note) {
            std::uint64_t& sum = notes_[finding.text];
            sum += times;
            if (sum > times) return;
        }
        list_.push_back(std::move(finding));
    }

    std::vector<Finding> list_;
    std::map<std::string, std::uint64_t> notes_;
    std::set<std::string> hints_;
};

/// What was found in a slice by itself.
struct SliceResult {
    Findings findings{};
    bool is_whole = false; ///< Whether all of it has been read.
    bool is_broken = false;
};

/// A slice that is checked by itself while its entries are read: every byte, their order, and transactions.
class CheckedSlice {
  public:
    CheckedSlice(const Chain::Slice& slice, SliceResult& result)
        : in_(Input(Input::source_type(slice.path), slice.name), slice.path, sieve, [](std::size_t bytes) { progress.add(bytes); }),
          end_{slice.name, 0, 1}, result_(&result) {}

    /// Moves to the next entry. Returns false at the end. Throws FormatError.
    bool next() {
        try {
            if (in_.next()) {
                check();
                return true;
            }
            if (!last_)
                find({Finding::Severity::warning, end_, std::nullopt, "the slice is empty: the server that was asked may lag behind"});
        } catch (const FormatError& error) {
            result_->is_broken = true;
            result_->findings.add_broken(error, last_);
            end_transactions();
            throw;
        }
        end_transactions();
        result_->is_whole = true;
        return false;
    }
    /// The entry that next() moved to, valid until the next call. It tells whether it is ordinary.
    const EntryView& current() const noexcept { return *current_; }

    oplog::detail::SourceIterator<CheckedSlice, Entry> begin() { return oplog::detail::SourceIterator<CheckedSlice, Entry>(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    using Sieve = OrdinarySieve<bson::Text::utf8>;
    static constexpr Sieve sieve{};

    void find(Finding finding) { result_->findings.add(std::move(finding)); }

    void check() {
        const EntryView& entry = current_.emplace(in_.current());
        current_->set_ordinary(entry.is_passed_by() || check_bytes(entry));
        check_order_(entry);
        transactions_.add(entry);
        last_ = entry.ts();
        end_.offset = entry.where()->offset + entry.size();
        end_.document = entry.where()->document + 1;
    }
    /// Servers accept text that is not UTF-8 from drivers that send it, and a restore must return it. Returns whether the entry is
    /// ordinary.
    bool check_bytes(const EntryView& entry) {
        bool is_text = false;
        try {
            return bson::validate(entry.document());
        } catch (const DataError& error) { // the text, what a replay changes, or worse
            is_text = error.fault() == Fault::not_utf8;
        }
        const bool ordinary = entry.with_place([&] { return bson::validate<bson::Text::any>(entry.document()); });
        if (is_text && !std::exchange(has_strange_text_, true)) // once for each slice
            find({Finding::Severity::warning, *entry.where(), entry.ts(),
                  "text that is not valid UTF-8: damage, or what a driver wrote; it is restored as it is"});
        return ordinary;
    }
    void end_transactions() {
        for (const auto& [id, state] : transactions_.open())
            find({Finding::Severity::note, end_, state.last,
                  "the slice ends inside a transaction, which restoring slice by slice would lose"});
    }

    SiftedReader<Input, Sieve> in_;
    std::optional<EntryView> current_;
    OrderCheck check_order_;
    TransactionTracker transactions_;
    std::optional<Timestamp> last_;
    Position end_; ///< What follows the current entry.
    bool has_strange_text_ = false;
    SliceResult* result_;
};

/// Finds out what is wrong with a chain, and to which times it can be restored.
class Verification {
  public:
    Verification(const Chain& chain, Continuity continuity) : chain_(chain), continuity_(continuity) {
        if (chain.full())
            for (const std::string& warning : chain.full()->warnings())
                findings_.add({Finding::Severity::warning, std::nullopt, std::nullopt, warning});
        std::vector<SliceResult> results(chain.slices().size());
        Findings found = verify_chain([&] {
            using Slice = LateReader<CheckedSlice>;
            std::vector<Slice> slices;
            for (std::size_t i = 0; i < results.size(); ++i) {
                const Chain::Slice& slice = chain.slices()[i];
                slices.push_back(Slice(slice.path, slice.name, [&slice, &result = results[i]] { return CheckedSlice(slice, result); }));
            }
            return Merge(std::move(slices), continuity_);
        });
        bool all_are_good = true;
        for (std::size_t i = 0; i < results.size(); ++i) {
            if (!results[i].is_whole) verify_slice(chain.slices()[i], results[i]); // a fault must not hide behind one in another file
            all_are_good &= !results[i].is_broken;
            findings_.add(std::move(results[i].findings));
        }
        // Behind a byte that is wrong there may be more that is, as far as the entries can be told apart.
        if (!all_are_good) found = verify_chain([&] { return chain_.merged(continuity_); });
        findings_.add(std::move(found));
    }

    const Findings& findings() const noexcept { return findings_; }
    /// The first and the last time to which the chain can be restored; none if there is none.
    const std::optional<std::pair<Timestamp, Timestamp>>& window() const noexcept { return window_; }

  private:
    static void verify_slice(const Chain::Slice& slice, SliceResult& result) {
        result = {};
        CheckedSlice again(slice, result);
        try {
            while (again.next()) {
            }
        } catch (const FormatError&) { // it is among the findings
        }
    }

    /// Checks the slices together, up to the first fault that keeps them from being one history.
    template <class MakeMerge>
    Findings verify_chain(MakeMerge make_merge) {
        Findings found;
        std::optional<Timestamp> last, broken_at;
        const auto find_discontinuity = [&](const ContinuityError& error) {
            found.add_hint(error.hint());
            found.add({Finding::Severity::error, error.where(), error.ts(), error.reason()});
        };
        Examiner examiner(chain_.start(), {}, [&](Finding finding) {
            if (finding.severity == Finding::Severity::error && !broken_at) broken_at = finding.ts;
            found.add(std::move(finding));
        });
        try {
            auto entries = make_merge();
            std::size_t gaps = 0;
            for (const EntryView& entry : entries) {
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
            if (findings_.good() && found.good()) found.add_broken(error, last); // otherwise the fault belongs to its slice
        }
        examiner.finish();
        if (chain_.full()) chain_.full()->require_unchanged();
        window_.reset();
        if (!last) {
            if (findings_.good() && found.good())
                found.add({Finding::Severity::error, std::nullopt, std::nullopt, "there are no entries: nothing can be restored"});
            return found;
        }
        const Timestamp first = chain_.consistent_point().value_or(examiner.range().first);
        if (first <= *last) window_ = {first, *last};
        return found;
    }

    const Chain& chain_;
    Continuity continuity_;
    Findings findings_;
    std::optional<std::pair<Timestamp, Timestamp>> window_;
};

constexpr std::string_view severities[] = {"note", "warning", "error"};

std::string as_text(const Verification& verification) {
    std::string text;
    for (const Finding& finding : verification.findings().list()) {
        text += fmt::format("{}: {}", severities[static_cast<int>(finding.severity)], escaped(to_string(finding)));
        if (finding.severity == Finding::Severity::note && verification.findings().times(finding) > 1)
            text += fmt::format(" ({} times)", verification.findings().times(finding));
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
    std::string text = fmt::format("{{{},\"good\":{},\"window\":", json_format, verification.findings().good());
    if (const auto& window = verification.window())
        text += "{" + json_span(window->first, window->second) + "}";
    else
        text += "null";
    text += ",\"findings\":[";
    for (const Finding& finding : verification.findings().list()) {
        if (text.back() == '}') text += ',';
        text += fmt::format("{{\"severity\":\"{}\"", severities[static_cast<int>(finding.severity)]);
        if (finding.where)
            text += fmt::format(",\"file\":{},\"offset\":{},\"document\":{}", json_quoted(finding.where->file), finding.where->offset,
                                finding.where->document);
        if (finding.ts) text += "," + json_moment(*finding.ts);
        if (finding.severity == Finding::Severity::note) text += fmt::format(",\"times\":{}", verification.findings().times(finding));
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
        ("full", "the full dump, made with mongodump --oplog", takes(), "DUMP")
        ("allow-gap", "report each gap and look at the rest of the chain too; it is an error all the same")
        ("json", "all of it as a JSON object");
    // clang-format on
    return tool.run(argc, argv, [&] {
        const ChainInputs inputs(tool);
        tool.show_progress();
        const Verification verification(inputs.chain(), tool.has("allow-gap") ? Continuity::gaps : Continuity::chain);
        print(tool.has("json") ? as_json(verification) : as_text(verification));
        for (const std::string& hint : verification.findings().hints()) tool.hint(hint);
        if (!verification.findings().good()) tool.fail(bad_data);
    });
}

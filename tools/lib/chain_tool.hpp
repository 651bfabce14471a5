// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "archive_input.hpp"
#include "selection.hpp"
#include "spool.hpp"

#include <oplog/restore/chain.hpp>
#include <oplog/restore/verify.hpp>
#include <oplog/stream/checked_reader.hpp>

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What the tools that work on a chain share.
namespace oplog::tools {

/// A chain given on a command line by --full DUMP and slices. Slices that come from pipes are copied to temporary
/// files, and archives are unpacked into such.
class ChainInputs {
  public:
    explicit ChainInputs(const Tool& tool)
        : named_(tool.has_inputs() || !tool.has("full") ? tool.inputs() : std::vector<std::string>{}), chain_(full(tool), slices()) {
        if (tool.has("full") && tool.value("full") != "-") named_.push_back(tool.value("full"));
        if (chain_.full()) named_.push_back(chain_.full()->path());
        for (const Chain::Slice& slice : chain_.slices()) // the oplog of a directory may be a link
            if (is_regular(slice.name)) named_.push_back(slice.path);
    }

    const Chain& chain() const noexcept { return chain_; }
    /// The files and directories as they were named, and the oplogs in those directories.
    const std::vector<std::string>& named() const noexcept { return named_; }
    /// Warns of everything in the full dump that is ignored.
    void warn_of_dump(const Tool& tool) const {
        if (!chain_.full()) return;
        for (const std::string& warning : chain_.full()->warnings()) tool.warn(warning);
    }

  private:
    std::optional<std::string> full(const Tool& tool) {
        const auto path = tool.optional("full");
        return path ? std::optional(archives_.directory(*path)) : std::nullopt;
    }
    std::vector<Chain::Slice> slices() {
        std::vector<Chain::Slice> slices;
        for (const std::string& file : named_) {
            const bool regular = is_regular(file);
            const std::string path = regular ? resolve_input(file) : spooled(file), name = regular ? path : file;
            slices.push_back({is_archive(path) ? unpacked(path, name) : path, name});
        }
        return slices;
    }
    std::string spooled(const std::string& file) {
        FileSource in(resolve_input(file));
        Spool& spool = spools_.emplace_back();
        const auto buffer = std::make_unique_for_overwrite<char[]>(1 << 20);
        while (const std::size_t got = in.read(buffer.get(), 1 << 20)) spool.write(buffer.get(), got);
        return spool.path();
    }
    std::string unpacked(const std::string& archive, const std::string& name) {
        Spool& spool = spools_.emplace_back();
        unpack_oplog(archive, name, spool);
        return spool.path();
    }

    std::deque<Spool> spools_;
    UnpackedArchives archives_;
    std::vector<std::string> named_;
    Chain chain_;
};

/// The entries of a chain in order, every byte of them checked, on several cores if a slice is large.
inline auto checked_entries(const Chain& chain, Continuity continuity) {
    return chain.merged_by(
        [](const Chain::Slice& slice) {
            return CheckedReader(Input(Input::source_type(slice.path), slice.name), slice.path,
                                 [](std::size_t bytes) { progress.add(bytes); });
        },
        continuity);
}

struct ChainReading {
    Bounds bounds{}; ///< Entries beyond the bounds do not count.
    Continuity continuity = Continuity::chain;
    bool checked = false; ///< Whether every byte is checked.
};
/// Calls use(const EntryView&) for each entry of one reading of the chain.
template <class Use>
void read_chain(const Chain& chain, Readings& readings, Use use, const ChainReading& reading = {}) {
    const auto read = [&](auto entries) {
        for (const EntryView& entry : entries) {
            if (reading.bounds.too_late(entry.ts())) continue;
            readings.add(entry);
            use(entry);
        }
    };
    if (reading.checked)
        read(checked_entries(chain, reading.continuity));
    else
        read(chain.merged<Input>(reading.continuity));
    readings.end();
}

/// Quotes text as one word for a shell.
inline std::string shell_word(const std::string& text) {
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:+=,@%";
    if (!text.empty() && text.find_first_not_of(plain) == text.npos) return text;
    std::string word = "'";
    for (const char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
    return word + "'";
}

/// Whether an index is of a version that mongorestore would replace with the current one.
inline bool is_old_index(const bson::Document& spec) {
    const auto version = spec.find("v");
    return version && version->is_number() && version->integer() == 1;
}

/// The options that mongorestore needs so that it does not restore something else. Documents may violate a validator
/// that was added later.
class RestoreOptions {
  public:
    /// Takes in the metadata of a collection that is to be restored.
    void add(const Metadata& metadata) {
        is_odd_ |= is_capped_cluster(metadata.options.view()); // mongorestore creates such a collection differently
        has_order_ |= is_capped(metadata.options.view());
        for (const bson::Value& spec : metadata.indexes) has_old_index_ |= is_old_index(spec.view());
    }
    std::string text() const {
        return std::string("--bypassDocumentValidation ") + (has_old_index_ ? "--keepIndexVersion " : "") +
               (is_odd_ ? "--drop --preserveUUID " : "");
    }
    /// Whether documents must keep their order, so that only one worker may insert them.
    bool has_order() const noexcept { return has_order_; }

  private:
    bool has_old_index_ = false, is_odd_ = false, has_order_ = false;
};

/// Calls use(EntryView) with what a selection makes of an entry, if anything.
template <class Use>
void select(Selection& selection, const EntryView& entry, Use use) {
    if (selection.everything()) return use(entry);
    const Edit edit = selection.apply(entry);
    if (edit.kind == Edit::Kind::keep) use(entry);
    for (const bson::Value& document : edit.with) {
        EntryView edited(document.view(), entry.where());
        edited.set_ordinary(entry.is_ordinary()); // only names have changed
        use(edited);
    }
}

} // namespace oplog::tools

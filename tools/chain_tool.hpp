// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "selection.hpp"
#include "spool.hpp"

#include <oplog/chain.hpp>
#include <oplog/verify.hpp>

#include <climits>
#include <deque>
#include <dirent.h>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What the tools that take a chain have in common.
namespace oplog::tools {

/// A chain as a command line names it: --full DUMP and slices. What comes from pipes is spooled.
class ChainInputs {
  public:
    explicit ChainInputs(const Tool& tool)
        : named_(tool.has("inputs") || !tool.has("full") ? tool.inputs() : std::vector<std::string>{}), chain_(tool.optional("full"), slices()) {
        if (chain_.full()) named_.push_back(chain_.full()->path());
        for (const Chain::Slice& slice : chain_.slices()) // what a directory stands for may be a link
            if (is_regular(slice.name)) named_.push_back(slice.path);
    }

    const Chain& chain() const noexcept { return chain_; }
    /// Files and directories, as named, and the oplogs in those.
    const std::vector<std::string>& named() const noexcept { return named_; }

  private:
    std::vector<Chain::Slice> slices() {
        std::vector<Chain::Slice> slices;
        for (const std::string& file : named_) {
            if (is_regular(file)) {
                slices.push_back({resolve_input(file), resolve_input(file)});
                continue;
            }
            FileSource in(resolve_input(file));
            Spool& spool = spools_.emplace_back();
            const auto buffer = std::make_unique_for_overwrite<char[]>(1 << 20);
            while (const std::size_t got = in.read(buffer.get(), 1 << 20)) spool.write(buffer.get(), got);
            slices.push_back({spool.path(), file});
        }
        return slices;
    }

    std::deque<Spool> spools_;
    std::vector<std::string> named_;
    Chain chain_;
};

/// Removes a dump in the making when a signal ends the tool. For one at a time.
class UndoOnSignal {
  public:
    explicit UndoOnSignal(const DumpWriter& dump) {
        const std::string aside = dump.temporary() + ".old";
        if (aside.size() >= sizeof aside_) return;
        dump.temporary().copy(directory_, sizeof directory_ - 1);
        aside.copy(aside_, sizeof aside_ - 1);
        undo_on_signal = undo;
    }
    UndoOnSignal(const UndoOnSignal&) = delete;
    ~UndoOnSignal() { undo_on_signal = nullptr; }

  private:
    /// Other threads may still be writing: the directory is moved out of their way first.
    static void undo() {
        if (::rename(directory_, aside_) == 0) remove(AT_FDCWD, aside_);
    }
    /// Not std::filesystem::remove_all: a signal may come while memory is being allocated.
    static void remove(int directory, const char* name) {
        if (::unlinkat(directory, name, 0) == 0) return;
        const int inner = ::openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (inner < 0) return;
        alignas(dirent64) char entries[2048];
        for (ssize_t size; (size = ::getdents64(inner, entries, sizeof entries)) > 0;)
            for (ssize_t at = 0; at < size;) {
                const auto* entry = reinterpret_cast<const dirent64*>(entries + at);
                const std::string_view file = entry->d_name;
                if (file != "." && file != "..") remove(inner, entry->d_name);
                at += entry->d_reclen;
            }
        ::close(inner);
        ::unlinkat(directory, name, AT_REMOVEDIR);
    }

    static inline char directory_[PATH_MAX], aside_[PATH_MAX];
};

/// A word as a shell takes it.
inline std::string shell_word(const std::string& text) {
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:+=,@%";
    if (!text.empty() && text.find_first_not_of(plain) == text.npos) return text;
    std::string word = "'";
    for (const char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
    return word + "'";
}

/// Calls use(EntryView) with what a selection makes of an entry, if anything.
template <class Use>
void select(Selection& selection, const EntryView& entry, Use use) {
    if (selection.everything()) return use(entry);
    const Edit edit = selection.apply(entry);
    if (edit.kind == Edit::Kind::keep) use(entry);
    for (const std::string& document : edit.with) {
        EntryView edited(bson::Document(document), entry.where());
        edited.set_ordinary(entry.is_ordinary()); // names alone have changed
        use(edited);
    }
}

} // namespace oplog::tools

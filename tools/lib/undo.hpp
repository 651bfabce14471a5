// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tool.hpp"

#include <oplog/restore/dump.hpp>

#include <climits>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace oplog::tools {

/// Removes a directory under construction when a signal ends the tool. There must be only one at a time for each of the two
/// functions that a signal calls, and it must outlive the directory.
template <std::atomic<void (*)()>& slot>
class UndoOnSignal {
  public:
    UndoOnSignal() noexcept = default;
    UndoOnSignal(const UndoOnSignal&) = delete;
    ~UndoOnSignal() { slot = nullptr; }

    /// Tells that `directory` exists from now on.
    void watch(std::string_view directory) {
        constexpr std::string_view suffix = ".old";
        if (directory.size() + suffix.size() >= sizeof aside_) return;
        directory_[directory.copy(directory_, sizeof directory_)] = '\0';
        directory.copy(aside_, sizeof aside_);
        aside_[directory.size() + suffix.copy(aside_ + directory.size(), suffix.size())] = '\0';
        slot = undo;
    }

  private:
    /// Other threads may still be writing, so the directory is first moved out of their way.
    static void undo() {
        if (::rename(directory_, aside_) == 0) remove(AT_FDCWD, aside_);
    }
    /// std::filesystem::remove_all is not used, because a signal may come while memory is being allocated.
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

/// A DumpWriter that leaves nothing behind after a signal, either.
class DumpOutput : UndoOnSignal<undo_on_signal>, public DumpWriter {
  public:
    DumpOutput(const std::string& path, Options options, [[maybe_unused]] const oplog::detail::SignalsHeld& until_watched = {})
        : DumpWriter(path, std::move(options)) {
        watch(temporary());
    }
};

/// Call this after close(): reports what --force could not remove.
inline void warn_of_old(Tool& tool, const DumpWriter& out) {
    tool.done();
    if (!out.left_behind().empty()) tool.warn("the dump that was replaced could not be removed: " + out.left_behind());
}

} // namespace oplog::tools

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tool.hpp"

#include <deque>
#include <filesystem>

namespace oplog::tools {

/// A nameless temporary file for documents.
class Spool {
  public:
    Spool() : file_(oplog::detail::unnamed_file(std::filesystem::temp_directory_path().string())) {}
    void write(const char* data, std::size_t size) { oplog::detail::write_all(file_.get(), data, size, "temporary file"); }
    void close() {}
    std::string path() const { return "/proc/self/fd/" + std::to_string(file_.get()); }

  private:
    oplog::detail::Descriptor file_;
};

/// Whether an input can be read again.
inline bool is_regular(const std::string& file) {
    std::error_code error;
    return file != "-" && std::filesystem::is_regular_file(resolve_input(file), error);
}

/// Inputs that are read twice: files from their beginning again, anything else through a temporary file.
class TwoPasses {
  public:
    explicit TwoPasses(std::vector<std::string> files) : files_(std::move(files)), spools_(files_.size()) {}

    /// Calls use(entry) for each entry of all inputs.
    template <class Use>
    void first(Use use) {
        for (std::size_t i = 0; i < files_.size(); ++i) {
            Reader in{files_[i]};
            if (is_regular(files_[i])) {
                for (const EntryView entry : in) use(entry);
                continue;
            }
            BasicWriter<Spool> spool{Spool()};
            for (const EntryView entry : in) {
                use(entry);
                spool.write(entry);
            }
            spool.close();
            spools_[i].emplace(std::move(spool.sink()));
        }
    }
    /// The same again, counted as progress.
    template <class Use>
    void second(Use use, Check check = Check::frame) {
        for (std::size_t i = 0; i < files_.size(); ++i) {
            if (spools_[i])
                for (const EntryView entry : Input{DecompressingSource<CountedSource>(spools_[i]->path()), files_[i], check}) use(entry);
            else
                for (const EntryView entry : Input{files_[i], check}) use(entry);
        }
    }

  private:

    std::vector<std::string> files_;
    std::deque<std::optional<Spool>> spools_;
};

} // namespace oplog::tools

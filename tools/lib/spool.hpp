// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tool.hpp"

#include <oplog/stream/readings.hpp>

#include <deque>
#include <filesystem>

namespace oplog::tools {

/// An unnamed temporary file for documents.
class Spool {
  public:
    Spool() : file_(oplog::detail::unnamed_file(scratch_directory())) {}
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

/// Inputs that are read twice: files are read again from their beginning, and anything else is copied to a temporary
/// file. Throws DataError if an input changed in between.
class TwoPasses {
  public:
    explicit TwoPasses(std::vector<std::string> files) : files_(std::move(files)), spools_(files_.size()) {}

    /// Calls use(entry) for each entry of all inputs.
    template <class Use>
    void first(Use use) {
        for (std::size_t i = 0; i < files_.size(); ++i) {
            Reader in{files_[i]};
            std::optional<BasicWriter<Spool>> spool;
            if (!is_regular(files_[i])) spool.emplace(Spool());
            for (const EntryView entry : in) {
                readings_.add(entry);
                use(entry);
                if (spool) spool->write(entry);
            }
            if (!spool) continue;
            spool->close();
            spools_[i].emplace(std::move(spool->sink()));
        }
        readings_.end();
    }
    /// The same again, counted as progress. Also works for the first pass.
    template <class Use>
    void second(Use use, Check check = Check::frame) {
        for (std::size_t i = 0; i < files_.size(); ++i) {
            const auto each = [&](Input in) {
                for (const EntryView entry : in) {
                    readings_.add(entry);
                    use(entry);
                }
            };
            if (spools_[i])
                each(Input{Input::source_type(spools_[i]->path()), files_[i], check});
            else
                each(Input{files_[i], check});
        }
        readings_.end();
    }

  private:
    std::vector<std::string> files_;
    std::deque<std::optional<Spool>> spools_;
    Readings readings_;
};

} // namespace oplog::tools

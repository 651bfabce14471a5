// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/entry.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace oplog::inline v0_1 {

/// Checks that an input that is read several times yields the same entries each time: an increment may still be written
/// to, and a new dump may be started in the same directory. Feed it the entries that matter, one reading after the
/// other.
class Readings {
  public:
    /// Adds the next entry of a reading.
    void add(const EntryView& entry) {
        const std::string_view bytes = entry.bytes();
        now_.digest = (now_.digest ^ entry.ts().packed()) * 0x9E3779B97F4A7C15 + bytes.size() +
                      bson::load<std::uint64_t>(bytes.data() + bytes.size() - 9);
        now_.last = entry.ts();
        ++now_.entries;
        if (entry.where() == where_) return;
        where_ = entry.where();
        if (where_) file_ = where_->file; // the reader may be gone at the end
    }
    /// Call this after the last entry of a reading. Throws DataError if the reading differs from the first one.
    void end() {
        const Reading now = std::exchange(now_, {});
        if (!first_) first_ = now;
        if (now == *first_) return;
        throw DataError(Fault::changed, (file_.empty() ? "" : file_ + ": ") + "what is read has changed meanwhile: it ended with entry " +
                                            to_string(first_->last) + ", the last of " + std::to_string(first_->entries) +
                                            ", and now with " + to_string(now.last) + ", the last of " + std::to_string(now.entries) +
                                            "; start again when nothing writes there");
    }

  private:
    struct Reading {
        std::uint64_t digest = 0, entries = 0;
        Timestamp last;
        friend bool operator==(const Reading&, const Reading&) = default;
    };
    Reading now_;
    std::optional<Reading> first_;
    const Position* where_ = nullptr; ///< The place of the last entry; only its address is compared.
    std::string file_;
};

} // namespace oplog

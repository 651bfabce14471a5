// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/validate.hpp>
#include <oplog/entry/entry.hpp>
#include <oplog/stream/sifted_reader.hpp>

#include <cstddef>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

namespace oplog::inline v0_1 {

/// For a SiftedReader that yields every entry: passes by those that are valid to the last byte, and ordinary; see bson::validate().
template <bson::Text text = bson::Text::utf8>
struct OrdinarySieve {
    static constexpr bool keeps_all = true;

    bool operator()(const EntryView& entry) const noexcept {
        try {
            return bson::validate<text>(entry.document());
        } catch (const DataError&) { // a closer look will tell
            return false;
        }
    }
    bool operator()(const EntryView& entry, const detail::UsualFields&) const noexcept { return (*this)(entry); }
};

/// Reads a slice like the reader `In` with Check::structure, but has several cores check a large plain file: what has been checked lies
/// ready when it is asked for. Takes 7 MB more for each core in use, four at most.
template <class In>
class CheckedReader {
  public:
    /// `in` reads the file `path` and has read nothing yet. `on_read` is called on the calling thread with the number of bytes that
    /// were read by others than `in`.
    CheckedReader(In in, std::string path, std::function<void(std::size_t)> on_read = {})
        : in_(std::move(in), std::move(path), sieve, std::move(on_read)) {}

    /// Moves to the next entry. Returns false at the end. Throws FormatError.
    bool next() {
        if (!in_.next()) return false;
        const EntryView& entry = current_.emplace(in_.current());
        current_->set_ordinary(entry.is_passed_by() || entry.with_place([&] { return bson::validate<bson::Text::any>(entry.document()); }));
        return true;
    }
    /// The entry that next() moved to, valid until the next call. It tells whether it is ordinary.
    const EntryView& current() const noexcept { return *current_; }

    using iterator = detail::SourceIterator<CheckedReader, Entry>;
    /// Reads the first entry.
    iterator begin() { return iterator(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    using Sieve = OrdinarySieve<bson::Text::any>;
    static constexpr Sieve sieve{};

    SiftedReader<In, Sieve> in_;
    std::optional<EntryView> current_;
};

} // namespace oplog

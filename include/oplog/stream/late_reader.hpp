// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/entry.hpp>
#include <oplog/io/files.hpp>

#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

namespace oplog::inline v0_1 {

/// Reads a file like the reader `In`, and opens it when it is first read from. A merge of such asks each for its first timestamp
/// instead, and so has only those open that have entries at the time: of a chain, a few of any number.
template <class In = Reader>
class LateReader {
  public:
    /// Reads the file `path`, which messages call `name`.
    LateReader(const std::string& path, const std::string& name, Check check = Check::frame) requires requires {
        In(typename In::source_type(path), name, check);
    } : LateReader(path, name, [path, name, check] { return In(typename In::source_type(path), name, check); }) {
    }
    /// The same by the reader that `open` returns, which is called once.
    LateReader(std::string path, std::string name, std::function<In()> open)
        : path_(std::move(path)), name_(std::move(name)), open_(std::move(open)) {}
    /// Reads what can be opened but once, as a pipe, by a reader that has read nothing yet.
    explicit LateReader(In in) : in_(std::move(in)) {}

    /// The timestamp of the first entry; none in an empty file. Call it before all else. Opens a file, and closes it again. Throws
    /// what that and reading an entry throws.
    std::optional<Timestamp> first() {
        const auto look = [](auto& in) { return in.next() ? std::optional(in.current().ts()) : std::nullopt; };
        if (in_) {
            looked_ = true;
            return first_ = look(*in_);
        }
        Reader in(Reader::source_type(path_), name_);
        return first_ = look(in);
    }

    /// Moves to the next entry. Returns false at the end. Throws what `In` throws, and DataError for a file that does not begin with
    /// its first() any more.
    bool next() {
        if (std::exchange(looked_, false)) return first_.has_value();
        if (in_) return in_->next();
        in_.emplace(open_());
        const bool more = in_->next();
        if (first_ && (!more || in_->current().ts() != *first_))
            throw DataError(Fault::changed, name_ + ": has changed meanwhile; start again when nothing writes there");
        return more;
    }
    /// The entry that next() moved to, valid until the next call. Throws what `In` throws.
    decltype(auto) current() const { return in_->current(); }
    /// As SiftedReader's.
    void pass_over(Timestamp before) requires requires(In& in) { in.pass_over(before); }
    { in_->pass_over(before); }

    using iterator = detail::SourceIterator<LateReader, Entry>;
    /// Reads the first entry.
    iterator begin() { return iterator(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

  private:
    std::string path_;
    std::string name_;
    std::function<In()> open_;
    std::optional<In> in_;
    std::optional<Timestamp> first_;
    bool looked_ = false; ///< Whether first() has moved `in_` to the first entry, and next() has not.
};

} // namespace oplog

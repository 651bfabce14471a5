// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>
#include <oplog/error.hpp>
#include <oplog/timestamp.hpp>

#include <cassert>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <functional>
#include <iterator>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace oplog::inline v0_1 {

namespace detail {

constexpr std::uint32_t usual_field_room = 16; ///< How many bytes are compared at once.

/// The offsets of the values of an entry whose fields are in the order in which servers usually write them; 0 for a field that is
/// missing or stands elsewhere. Comparing known names as single integers makes this walk 10 times as fast as iterating.
struct UsualFields {
    explicit UsualFields(const bson::Document& document) {
        const char* const data = document.data();
        const std::uint64_t size = document.size();
        std::uint64_t at = 4;
        if (size < at + usual_field_room) return;
        // Skips the field if it is there, and returns where its value is. The value has `fixed` bytes plus, unless `least` is 0, as many
        // as the length prefix says. A prefix below `least` is left to the iterator to report.
        const auto skip = [&]<std::size_t N>(const char(&type_and_name)[N], std::uint64_t fixed, std::uint32_t least) -> std::uint32_t {
            static_assert(N + 4 <= usual_field_room);
            if (std::memcmp(data + at, type_and_name, N) != 0) return 0;
            const std::uint32_t length = least > 0 ? bson::load<std::uint32_t>(data + at + N) : 0;
            const std::uint64_t next = at + N + fixed + length;
            if (length < least || next + usual_field_room > size) return 0;
            return static_cast<std::uint32_t>(std::exchange(at, next) + N);
        };
        skip("\3lsid", 0, bson::min_document_size);
        skip("\x12txnNumber", 8, 0);
        if (std::memcmp(data + at, "\2op\0\2\0\0", 8) == 0) op = data[at + 8];
        skip("\2op", 4, 1);
        ns = skip("\2ns", 4, 1);
        ui = skip("\5ui", 5, 1);
        o = skip("\3o", 0, bson::min_document_size);
        o2 = skip("\3o2", 0, bson::min_document_size);
        skip("\x10stmtId", 4, 0);
        end = static_cast<std::uint32_t>(at);
    }

    char op = 0; ///< The one letter of `op`; 0 if it is not one letter.
    std::uint32_t ns = 0, ui = 0, o = 0, o2 = 0;
    std::uint32_t end = 4; ///< The offset of the first other field.
};

} // namespace detail

/// A view of one oplog entry, valid until the reader that yielded it moves on. Fields may come in any order, with any
/// other fields between them. The accessors have the names of the fields, look their field up at each call, and fail()
/// if it has another type.
class EntryView {
  public:
    /// Throws DataError for a document without a timestamp `ts`. `where`, if given, must outlive the view.
    explicit EntryView(const bson::Document& document, const Position* where = nullptr)
        : EntryView(document, where, detail::UsualFields(document)) {}
    /// The same, for a caller that has the fields' places.
    EntryView(const bson::Document& document, const Position* where, const detail::UsualFields& usual)
        : document_(document), where_(where), op_(usual.op), ts_(find_ts(usual.end)) {}

    /// The entry as a document.
    const bson::Document& document() const noexcept { return document_; }
    /// The bytes of the entry.
    std::string_view bytes() const noexcept { return document_.bytes(); }
    /// The number of bytes.
    std::uint32_t size() const noexcept { return document_.size(); }

    /// The timestamp `ts`, which every entry has.
    Timestamp ts() const noexcept { return ts_; }
    /// `ts` and the term `t`; the term is -1 if there is none.
    OpTime optime() const { return {ts_, get("t", std::int64_t{-1}, &bson::Element::integer)}; }
    /// The kind of operation: i(nsert), u(pdate), d(elete), c(ommand), n(o-op), or another kind that a server wrote
    /// ("xi", "km"); empty if missing.
    std::string_view op() const { return get("op", std::string_view{}, &bson::Element::string); }
    /// Whether `op` is "c". This is cheaper than op().
    bool is_command() const { return op_ != 0 ? op_ == 'c' : op() == "c"; }
    /// `<database>.<collection>`, or `<database>.$cmd` for a command; empty if missing.
    std::string_view ns() const { return get("ns", std::string_view{}, &bson::Element::string); }
    /// What was done: the inserted document, the update or the command. Fails if missing.
    bson::Document o() const {
        const auto found = get("o", std::optional<bson::Document>{}, &bson::Element::document);
        if (!found) fail(Fault::missing_field, "the entry has no 'o'");
        return *found;
    }
    /// Which document an update changes. Some commands have further details here.
    std::optional<bson::Document> o2() const { return get("o2", std::optional<bson::Document>{}, &bson::Element::document); }
    /// The 16 bytes of the collection's UUID; empty if missing.
    std::string_view ui() const {
        return get("ui", std::string_view{}, [](const bson::Element& found) { return found.binary_data(); });
    }
    /// The time of the server's clock.
    std::optional<bson::Date> wall() const { return get("wall", std::optional<bson::Date>{}, &bson::Element::date); }

    /// Where the entry was read; null if unknown.
    const Position* where() const noexcept { return where_; }
    /// Whether the entry is known to be ordinary; see bson::validate().
    bool is_ordinary() const noexcept { return is_ordinary_; }
    /// Tells what bson::validate() returned for the entry.
    void set_ordinary(bool ordinary) noexcept { is_ordinary_ = ordinary; }
    /// Whether a SiftedReader found that the entry does not matter.
    bool is_passed_by() const noexcept { return is_passed_by_; }
    /// Sets is_passed_by().
    void set_passed_by(bool passed_by) noexcept { is_passed_by_ = passed_by; }
    /// Throws a FormatError with the entry's place or, if that is unknown, a DataError with its timestamp.
    [[noreturn]] void fail(const DataError& error) const {
        if (where_) throw FormatError(*where_, error);
        throw error.within("entry " + to_string(ts_));
    }
    /// Throws an error of this kind with the entry's place.
    [[noreturn]] void fail(Fault fault, const std::string& reason) const { fail(DataError(fault, reason)); }
    /// Returns what work() returns, which examines the entry. A DataError that it throws without a place gets the
    /// entry's place.
    template <std::invocable Work>
    decltype(auto) with_place(Work&& work) const {
        try {
            return work();
        } catch (const FormatError&) {
            throw;
        } catch (const DataError& error) {
            fail(error);
        }
    }

  private:
    /// Returns what `read` makes of a field, or `missing`.
    template <class T, class Read>
    T get(std::string_view key, T missing, Read read) const {
        return with_place([&] {
            const auto found = document_.field(key);
            return found ? T(std::invoke(read, *found)) : missing;
        });
    }
    Timestamp find_ts(std::uint32_t at) const {
        const char* const field = document_.data() + at;
        if (document_.size() - at >= detail::usual_field_room && std::memcmp(field, "\x11ts", 4) == 0)
            return Timestamp::from_packed(bson::load<std::uint64_t>(field + 4));
        for (bson::Iterator it(document_, at); it != std::default_sentinel; ++it)
            if (it->key() == "ts") return it->timestamp();
        throw DataError(Fault::not_oplog, "no field 'ts': not an oplog entry");
    }

    bson::Document document_;
    const Position* where_;
    bool is_ordinary_ = false;
    bool is_passed_by_ = false;
    char op_; ///< The one letter of `op`, if servers' usual order of fields was found; else 0.
    Timestamp ts_;
};

/// An entry that owns its bytes.
class Entry {
  public:
    /// Copies the bytes of an entry.
    explicit Entry(const EntryView& view) : bytes_(view.bytes()) {}
    /// Throws DataError for bytes that are not an entry.
    explicit Entry(std::string bytes) : bytes_(std::move(bytes)) { static_cast<void>(EntryView(bson::Document(bytes_))); }

    /// A view, valid until this entry is destroyed or assigned to. A view of a temporary does not compile.
    EntryView view() const& OPLOG_LIFETIMEBOUND { return EntryView(bson::Document::trusted(bytes_.data())); }
    EntryView view() const&& = delete;
    operator EntryView() const& OPLOG_LIFETIMEBOUND { return view(); }
    operator EntryView() const&& = delete;
    /// The bytes, valid as long as view() would be.
    std::string_view bytes() const& noexcept OPLOG_LIFETIMEBOUND { return bytes_; }
    std::string_view bytes() const&& = delete;

  private:
    std::string bytes_;
};

namespace detail {

/// What operator-> returns for iterators that make their items.
template <class T>
struct Arrow {
    T item;
    const T* operator->() const noexcept { return &item; }
};

/// An input iterator over a source that has next(), which moves to the next item and returns false at the end, and current(), which
/// returns the item or a reference to it. Value is the type that owns an item, so that algorithms that keep what they read do not keep
/// views of a buffer that will be overwritten.
template <class Source, class Value>
class SourceIterator {
  public:
    using value_type = Value;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    SourceIterator() = default; ///< The end.
    explicit SourceIterator(Source& source) : source_(&source) { ++*this; }
    decltype(auto) operator*() const {
        assert(source_);
        return source_->current();
    }
    auto operator->() const {
        if constexpr (std::is_reference_v<decltype(**this)>)
            return &**this;
        else
            return Arrow<std::remove_cvref_t<decltype(**this)>>{**this};
    }
    SourceIterator& operator++() {
        if (!source_->next()) source_ = nullptr;
        return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const SourceIterator& it, std::default_sentinel_t) noexcept { return it.source_ == nullptr; }

  private:
    Source* source_ = nullptr;
};

} // namespace detail

/// Anything that yields entries one after the other: a Reader, a std::vector of Entry, or a view of either.
template <class R>
concept EntryRange = std::ranges::input_range<R> && std::convertible_to<std::ranges::range_reference_t<R>, EntryView>;

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/id_key.hpp>
#include <oplog/entry/entry.hpp>
#include <oplog/entry/operation.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace oplog::inline v0_1 {

/// Tells which entries of a chain do not matter to the documents with some `_id`s: changes of other documents, as nearly all entries
/// are. Any number of threads can use one.
///
/// An entry passes by only if it is certain that it changes one document with another `_id`. Entries whose fields are not in servers'
/// usual order never pass by, nor do those that create collections or views.
///
///     const std::set<std::string> ids{oplog::id_key(document)};
///     const oplog::IdSieve passes_by(ids);
///     for (oplog::EntryView entry : oplog::Reader{"inc1"})
///         if (!passes_by(entry)) history.add(entry);
class IdSieve {
  public:
    /// `ids` are as id_key() writes them, and outlive this object.
    explicit IdSieve(const std::set<std::string>& ids)
        : ids_(&ids), marks_(std::bit_ceil(std::max<std::size_t>(ids.size() * 16, 4096)) / 64) {
        for (const std::string& id : ids) {
            if (const auto number = whole_number(id)) mark(mark_of(*number));
            mark(mark_of(static_cast<std::uint8_t>(id[0]), std::string_view(id).substr(1)));
        }
    }

    /// Whether an entry does not matter. Examines only the fields up to the `_id`.
    bool operator()(const EntryView& entry) const { return (*this)(entry, detail::UsualFields(entry.document())); }
    /// The same, for a caller that has the fields' places.
    bool operator()(const EntryView& entry, const detail::UsualFields& usual) const {
        const bson::Document& document = entry.document();
        if (usual.op != 'i' && usual.op != 'u' && usual.op != 'd') return false;
        const std::uint32_t target = usual.op == 'u' ? usual.o2 : usual.o;
        if (usual.ns == 0 || usual.ui == 0 || target == 0)
            return false; // old servers, whose entries have no UUID, create collections by inserts
        const char* const ns = document.data() + usual.ns;
        const std::uint32_t length = bson::load<std::uint32_t>(ns);
        if (length > views_end.size() && std::memcmp(ns + 4 + length - views_end.size(), views_end.data(), views_end.size()) == 0)
            return false;
        return !may_be_wanted(bson::Document::trusted(document.data() + target));
    }

  private:
    static constexpr std::string_view views_end{".system.views\0", 14};

    bool may_be_wanted(const bson::Document& target) const {
        try {
            for (const bson::Element& field : target)
                if (field.key() == "_id") return may_be_wanted(field);
        } catch (const DataError&) {
        }
        return true; // a closer look will report what is wrong
    }
    bool may_be_wanted(const bson::Element& id) const {
        using bson::Type;
        const std::string_view value = id.value();
        switch (id.type()) {
        case Type::int32: return is_marked(mark_of(bson::load<std::int32_t>(value.data()))) && is_wanted(id);
        case Type::int64: return is_marked(mark_of(bson::load<std::int64_t>(value.data()))) && is_wanted(id);
        case Type::double_:
        case Type::decimal128:
        case Type::document:
        case Type::array: return is_wanted(id);
        default:
            return is_marked(mark_of(static_cast<std::uint8_t>(id.is(Type::symbol) ? Type::string : id.type()), value)) && is_wanted(id);
        }
    }
    bool is_wanted(const bson::Element& id) const {
        std::string key;
        append_key(key, id);
        return ids_->contains(key);
    }

    // Equal `_id`s have equal marks. Most other `_id`s have a mark that is not set.
    static std::uint64_t mixed(std::uint64_t value) noexcept {
        value *= 0x9E3779B97F4A7C15u;
        return value ^ value >> 32;
    }
    static std::uint64_t mark_of(std::int64_t number) noexcept { return mixed(static_cast<std::uint64_t>(number)); }
    static std::uint64_t mark_of(std::uint8_t type, std::string_view value) noexcept {
        std::uint64_t first = 0, last = 0;
        const std::size_t size = std::min(value.size(), sizeof first);
        std::memcpy(&first, value.data(), size);
        std::memcpy(&last, value.data() + value.size() - size, size);
        return mixed(first ^ mixed(last ^ value.size() << 8 ^ type));
    }
    void mark(std::uint64_t of) noexcept { marks_[of / 64 % marks_.size()] |= std::uint64_t{1} << of % 64; }
    bool is_marked(std::uint64_t of) const noexcept { return marks_[of / 64 % marks_.size()] >> of % 64 & 1; }

    const std::set<std::string>* ids_;
    std::vector<std::uint64_t> marks_;
};

} // namespace oplog

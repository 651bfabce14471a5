// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/bson/id_key.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What the updates in an oplog do to documents, byte for byte as the server does it.
namespace oplog::inline v0_1 {

/// The form in which an oplog entry describes an update.
enum class UpdateKind {
    diff,       ///< {$v: 2, diff: {…}}
    modifiers,  ///< {$v: 1, $set: {…}, $unset: {…}}, with or without the $v
    replacement ///< the whole new document
};

namespace detail {

constexpr std::uint64_t max_array_padding = 1'500'000; // the server's limit

/// Reads a position of an array as the server does: digits alone, perhaps with leading zeros, and at most 32 bits.
inline std::optional<std::uint64_t> array_index(std::string_view text) {
    std::uint32_t index = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional<std::uint64_t>(index) : std::nullopt;
}

[[noreturn, gnu::cold]] inline void fail_update(std::string_view before, std::string_view name, std::string_view after = {}) {
    throw DataError(Fault::bad_value, std::string(before) + " '" + std::string(name) + "'" + std::string(after));
}

/// Collects names to see whether one occurs twice. A few names need no memory.
template <class Conflict>
class NameList {
  public:
    void add(std::string_view name) {
        if (count_ < few_.size())
            few_[count_] = name;
        else
            many_.push_back(name);
        ++count_;
    }
    /// The second of two names that conflict, or none.
    std::optional<std::string_view> conflict() {
        if (many_.empty()) {
            for (std::size_t i = 1; i < count_; ++i)
                for (std::size_t j = 0; j < i; ++j)
                    if (Conflict::conflict(few_[j], few_[i])) return few_[i];
            return std::nullopt;
        }
        many_.insert(many_.end(), few_.begin(), few_.end());
        std::ranges::sort(many_, Conflict::less);
        const auto found = std::ranges::adjacent_find(many_, Conflict::conflict);
        return found == many_.end() ? std::nullopt : std::optional(found[1]);
    }

  private:
    std::array<std::string_view, 12> few_;
    std::vector<std::string_view> many_; ///< The names that `few_` has no room for.
    std::size_t count_ = 0;
};

template <class Visit>
class TouchedFields;

/// Applies and checks one level of a `$v: 2` diff.
class Diff {
    template <class Visit>
    friend class TouchedFields;

  public:
    static void apply_to_document(const bson::Document& document, const bson::Document& diff, bson::Builder& out, std::size_t depth) {
        check_depth(depth);
        std::vector<Change> changes;
        for_each_change(diff, [&](Kind kind, std::string_view name, const bson::Element& with) { changes.push_back({name, kind, with}); });
        std::ranges::sort(changes, {}, &Change::name);
        if (const auto twice = std::ranges::adjacent_find(changes, {}, &Change::name); twice != changes.end()) fail_twice(twice->name);
        const auto find = [&](std::string_view name) {
            const auto found = std::ranges::lower_bound(changes, name, {}, &Change::name);
            return found != changes.end() && found->name == name ? &*found : nullptr;
        };
        for (const bson::Element& field : document) {
            Change* const change = find(field.key());
            if (!change) {
                out.append(field);
                continue;
            }
            switch (change->kind) {
            case Kind::removal:
            case Kind::insertion: break;
            case Kind::update:
                out.append(change->with);
                change->done = true;
                break;
            case Kind::binary: overwrite(field, change->with, out); break;
            case Kind::nested: nest(field.key(), &field, change->with.document(), out, depth); break;
            }
        }
        // New fields come last: first the fields to update that are missing, then the inserted fields.
        for (const char* name : {"u", "i"})
            if (const auto section = diff.find(name))
                for (const bson::Element& field : section->document())
                    if (!find(field.key())->done) out.append(field);
    }

    /// Throws DataError unless apply_to_document() can apply the diff to any document. Returns whether the diff changes
    /// a field `_id` on its outermost level.
    static bool check(const bson::Document& diff, std::size_t depth = 1) {
        check_depth(depth);
        NameList<Equal> names;
        bool changes_id = false;
        for_each_change(diff, [&](Kind kind, std::string_view name, const bson::Element& with) {
            names.add(name);
            changes_id |= name == "_id";
            if (kind == Kind::nested) check_nested(with.document(), depth + 1);
            if (kind == Kind::binary) binary_change(with);
        });
        if (const auto twice = names.conflict()) fail_twice(*twice);
        return changes_id;
    }
    /// Whether every field that a nested diff applies to is there, with the type that the diff expects.
    static bool fits(const bson::Document& document, const bson::Document& diff, std::size_t depth = 1) {
        check_depth(depth);
        std::map<std::string_view, std::pair<Kind, bson::Element>> needed;
        for_each_change(diff, [&](Kind kind, std::string_view name, const bson::Element& with) {
            if (kind == Kind::nested || kind == Kind::binary) needed.try_emplace(name, kind, with);
        });
        for (const bson::Element& field : document) {
            if (needed.empty()) break;
            const auto change = needed.extract(field.key());
            if (change.empty()) continue;
            const auto& [kind, with] = change.mapped();
            if (kind == Kind::binary ? !field.is(bson::Type::binary) || binary_change(with).offset > field.value().size() - 5
                                     : !nested_fits(field, with.document(), depth))
                return false;
        }
        return needed.empty();
    }

  private:
    enum class Kind { removal, update, insertion, binary, nested }; // in the order of the sections
    struct Change {
        std::string_view name;
        Kind kind;
        bson::Element with;
        bool done = false;
    };
    struct Equal {
        static bool less(std::string_view a, std::string_view b) { return a < b; }
        static bool conflict(std::string_view a, std::string_view b) { return a == b; }
    };

    static void check_depth(std::size_t depth) {
        if (depth > bson::max_depth) throw DataError(Fault::too_deep, "a diff is nested too deeply");
    }
    [[noreturn]] static void fail_twice(std::string_view name) { fail_update("a diff names field", name, " twice"); }

    static std::optional<Kind> kind_of(std::string_view section) {
        if (section.starts_with('s')) return Kind::nested;
        if (section.size() == 1) switch (section.front()) {
            case 'd': return Kind::removal;
            case 'u': return Kind::update;
            case 'i': return Kind::insertion;
            case 'b': return Kind::binary;
            }
        return std::nullopt;
    }

    /// Calls visit(Kind, name, element) for each field that changes. The element is the new value, or describes the
    /// change.
    template <class Visit>
    static void for_each_change(const bson::Document& diff, Visit&& visit) {
        if (diff.empty()) throw DataError(Fault::bad_value, "a diff is empty");
        std::optional<Kind> last;
        for (const bson::Element& section : diff) {
            const std::string_view name = section.key();
            const auto kind = kind_of(name);
            if (!kind) fail_update("a diff has the unknown section", name);
            if (last && (*kind < *last || (*kind == *last && *kind != Kind::nested)))
                fail_update("a diff has the section", name, " out of its place");
            last = kind;
            if (*kind == Kind::nested)
                visit(*kind, name.substr(1), section);
            else
                for (const bson::Element& field : section.document()) visit(*kind, field.key(), field);
        }
    }

    /// Calls visit(index, element) for each element of an array that changes, in their order. The name of an element
    /// that has a nested diff begins with 's'. Returns the array's new length if the diff gives one.
    template <class Visit>
    static std::optional<std::uint64_t> for_each_array_change(const bson::Document& diff, Visit&& visit) {
        auto change = diff.begin();
        if (!change->is(bson::Type::boolean) || !change->boolean())
            throw DataError(Fault::bad_value, "an array's diff does not begin with 'a: true'");
        ++change;
        std::optional<std::uint64_t> size;
        if (change != diff.end() && change->key() == "l") {
            if (!change->is(bson::Type::int32)) throw DataError(Fault::wrong_type, "a diff gives an array a length that is no int32");
            if (change->integer() < 0) throw DataError(Fault::bad_value, "a diff gives an array a negative length");
            size = static_cast<std::uint64_t>(change->integer());
            ++change;
        }
        std::uint64_t next = 0;
        for (; change != diff.end(); ++change) {
            const std::string_view name = change->key();
            const auto index = name.empty() ? std::nullopt : array_index(name.substr(1));
            if (!index || (name.front() != 'u' && name.front() != 's')) fail_update("a diff has the unknown array change", name);
            if (*index < next) fail_update("a diff has the array change", name, " out of its place");
            if (size && *index >= *size) fail_update("a diff has the array change", name, " beyond the array's new length");
            next = *index + 1;
            visit(*index, *change);
        }
        if (std::max(size.value_or(0), next) > bson::max_document_size / 5)
            throw DataError(Fault::too_large, "a diff makes an array impossibly long");
        return size;
    }

    static bool is_for_array(const bson::Document& diff) { return !diff.empty() && diff.begin()->key() == "a"; }

    static void check_nested(const bson::Document& diff, std::size_t depth) {
        if (!is_for_array(diff)) {
            check(diff, depth);
            return;
        }
        check_depth(depth);
        for_each_array_change(diff, [&](std::uint64_t, const bson::Element& change) {
            if (change.key().front() == 's') check_nested(change.document(), depth + 1);
        });
    }

    static bool nested_fits(const bson::Element& field, const bson::Document& diff, std::size_t depth) {
        if (!is_for_array(diff)) return field.is(bson::Type::document) && fits(field.document(), diff, depth + 1);
        if (!field.is(bson::Type::array)) return false;
        check_depth(depth + 1);
        const bson::Document array = field.array();
        auto at = array.begin();
        std::uint64_t position = 0;
        bool all = true;
        for_each_array_change(diff, [&](std::uint64_t index, const bson::Element& change) {
            if (!all || change.key().front() != 's') return;
            for (; position < index && at != std::default_sentinel; ++position) ++at;
            all = at != std::default_sentinel && nested_fits(*at, change.document(), depth + 1);
        });
        return all;
    }

    /// Applies a nested diff to a field. If the field is missing or is not what the diff expects, then the document has
    /// seen this entry already, and a later entry rewrites the field.
    static void nest(std::string_view name, const bson::Element* field, const bson::Document& diff, bson::Builder& out, std::size_t depth) {
        const bool array = is_for_array(diff);
        if (!field || !field->is(array ? bson::Type::array : bson::Type::document)) {
            out.null(name);
        } else if (array) {
            out.begin_array(name);
            apply_to_array(field->array(), diff, out, depth + 1);
            out.end();
        } else {
            out.begin_document(name);
            apply_to_document(field->document(), diff, out, depth + 1);
            out.end();
        }
    }

    static void apply_to_array(const bson::Document& array, const bson::Document& diff, bson::Builder& out, std::size_t depth) {
        check_depth(depth);
        std::vector<std::pair<std::uint64_t, bson::Element>> changes;
        const auto size =
            for_each_array_change(diff, [&](std::uint64_t index, const bson::Element& change) { changes.emplace_back(index, change); });
        const std::uint64_t least = size ? *size : changes.empty() ? 0 : changes.back().first + 1;
        auto at = array.begin();
        auto change = changes.begin();
        for (std::uint64_t i = 0; size ? i < *size : (at != array.end() || i < least); ++i) {
            const std::string name = std::to_string(i);
            const bool has = at != array.end();
            if (change == changes.end() || change->first != i) {
                if (has)
                    out.append(name, *at);
                else
                    out.null(name);
            } else {
                if (change->second.key().front() == 'u')
                    out.append(name, change->second);
                else
                    nest(name, has ? &*at : nullptr, change->second.document(), out, depth);
                ++change;
            }
            if (has) ++at;
        }
    }

    struct BinaryChange {
        std::uint64_t offset;
        std::string_view bytes;
    };
    /// Reads {o: OFFSET, d: BYTES}.
    static BinaryChange binary_change(const bson::Element& change) {
        const auto offset = change.document().find("o"), data = change.document().find("d");
        if (!offset || !offset->is_number() || offset->integer() < 0 || !data || !data->is(bson::Type::binary))
            throw DataError(Fault::bad_value, "a diff has a malformed binary change");
        return {static_cast<std::uint64_t>(offset->integer()), data->binary_data()};
    }
    /// Replaces the bytes of a binary value from the offset on. A value that is too short has seen a later change and
    /// stays.
    static void overwrite(const bson::Element& field, const bson::Element& with, bson::Builder& out) {
        const BinaryChange change = binary_change(with);
        if (!field.is(bson::Type::binary) || change.offset > field.value().size() - 5) {
            out.append(field);
            return;
        }
        std::string bytes(field.value().substr(5, static_cast<std::size_t>(change.offset)));
        bytes += change.bytes;
        out.binary(field.key(), static_cast<std::uint8_t>(field.value()[4]), bytes);
    }
};

/// Applies $set or $unset of dotted paths, all of them in one pass over the document.
class PathUpdate {
  public:
    struct Path {
        std::string_view path;
        bson::Element value;
    };

    /// Compares paths in the server's order, part by part. Two paths conflict when one leads into the other.
    struct Order {
        static bool less(std::string_view a, std::string_view b) {
            const auto rank = [](char c) { return c == '.' ? 0 : static_cast<unsigned char>(c) + 1; };
            return std::ranges::lexicographical_compare(a, b, {}, rank, rank);
        }
        static bool conflict(std::string_view a, std::string_view b) {
            if (a.size() > b.size()) std::swap(a, b);
            return b.starts_with(a) && (b.size() == a.size() || b[a.size()] == '.');
        }
    };

    /// Throws DataError for a path that the server refuses, and for a path that names positions by conditions.
    static void check(std::string_view path) {
        std::size_t parts = 0;
        for (std::string_view rest = path;;) {
            const std::string_view part = first_part(rest);
            if (part.empty()) fail_update("an update's path has an empty part:", path);
            if (part == "$" || (part.starts_with("$[") && part.ends_with(']')))
                fail_update("an update's path has no fixed position:", path);
            if (++parts > bson::max_depth) fail_length();
            if (part.size() == rest.size()) return;
            rest.remove_prefix(part.size() + 1);
        }
    }
    [[noreturn]] static void fail_length() { throw DataError(Fault::too_deep, "an update's path is too long"); }
    static std::string_view first_part(std::string_view path) { return path.substr(0, path.find('.')); }
    /// Whether nothing stands in the way of the paths: everything that they lead through has fields or positions, or is
    /// missing.
    static bool fits(const bson::Document& document, bool is_array, const std::vector<std::string_view>& paths) {
        std::map<std::string_view, std::vector<std::string_view>> below; // what follows each field
        for (const std::string_view path : paths) {
            const std::string_view part = first_part(path);
            if (is_array && !array_index(part)) return false;
            if (part.size() < path.size()) below[part].push_back(path.substr(part.size() + 1));
        }
        for (const bson::Element& field : document) {
            if (below.empty()) break;
            const auto rest = below.extract(field.key());
            if (rest.empty()) continue;
            if (!field.is(bson::Type::document) && !field.is(bson::Type::array)) return false;
            const bool array = field.is(bson::Type::array);
            if (!fits(array ? field.array() : field.document(), array, rest.mapped())) return false;
        }
        return true;
    }

    /// `sets` distinguishes $set from $unset. Does nothing where a path leads through a value that has no fields.
    /// Throws DataError for a path that is too long.
    static std::string apply(const bson::Document& document, std::vector<Path> paths, bool sets) {
        for (const Path& path : paths)
            if (static_cast<std::size_t>(std::ranges::count(path.path, '.')) >= bson::max_depth) fail_length();
        // A server logs new fields in the order in which it added them; since 5.0 that order puts 9 before 10.
        // Operations that a client composed may have any order, and a server applies them in its own.
        if (!std::ranges::is_sorted(paths, Order::less, &Path::path) && !std::ranges::is_sorted(paths, numeric_less, &Path::path))
            std::ranges::sort(paths, Order::less, &Path::path);
        PathUpdate update(sets);
        bson::Builder out;
        update.rewrite(document, paths, 0, out);
        return out.finish();
    }

  private:
    using Paths = std::span<const Path>;
    /// Paths that share their next part after the first `offset` bytes.
    struct Group {
        std::string_view name;
        Paths paths;
        std::size_t offset; ///< The offset of what follows the name.
        bool done = false;

        bool ends() const { return paths.front().path.size() < offset; }
    };

    explicit PathUpdate(bool sets) : sets_(sets) {}

    /// The order of servers since 5.0: of two parts that begin like numbers, the shorter one comes first.
    static bool numeric_less(std::string_view a, std::string_view b) {
        for (;;) {
            const std::string_view x = first_part(a), y = first_part(b);
            if (x != y) return counts(x) && counts(y) && x.size() != y.size() ? x.size() < y.size() : x < y;
            if (x.size() == a.size() || y.size() == b.size()) return a.size() < b.size();
            a.remove_prefix(x.size() + 1);
            b.remove_prefix(y.size() + 1);
        }
    }
    static bool counts(std::string_view part) {
        return !part.empty() && part.front() >= '0' && part.front() <= '9' && (part.front() != '0' || part.size() == 1);
    }

    static std::vector<Group> grouped(Paths paths, std::size_t offset) {
        std::vector<Group> groups;
        for (std::size_t first = 0, end = 0; first < paths.size(); first = end) {
            const std::string_view name = first_part(paths[first].path.substr(offset));
            const std::size_t after = offset + name.size() + 1;
            const auto belongs = [&](std::string_view path) {
                return path.substr(offset).starts_with(name) && (path.size() < after || path[after - 1] == '.');
            };
            for (end = first + 1; end < paths.size() && belongs(paths[end].path);) ++end;
            groups.push_back({name, paths.subspan(first, end - first), after});
        }
        return groups;
    }

    /// Writes the fields of a document with the changes applied.
    void rewrite(const bson::Document& document, Paths paths, std::size_t offset, bson::Builder& out) const {
        std::vector<Group> groups = grouped(paths, offset);
        std::vector<Group*> by_name;
        by_name.reserve(groups.size());
        for (Group& group : groups) by_name.push_back(&group);
        std::ranges::sort(by_name, {}, [](const Group* group) { return group->name; });
        for (const bson::Element& field : document) {
            const auto found = std::ranges::lower_bound(by_name, field.key(), {}, [](const Group* group) { return group->name; });
            // If two fields share a name, the first one is meant.
            if (found == by_name.end() || (*found)->name != field.key() || std::exchange((*found)->done, true))
                out.append(field);
            else if (sets_ || !(*found)->ends())
                change(field.key(), field, **found, out);
        }
        if (!sets_) return;
        for (const Group& group : groups)
            if (!group.done) create(group.name, group, out);
    }

    void rewrite_array(const bson::Document& array, Paths paths, std::size_t offset, bson::Builder& out) const {
        std::uint64_t size = 0;
        for (auto at = array.begin(); at != array.end(); ++at) ++size;
        const std::uint64_t old_size = size;
        const std::vector<Group> groups = grouped(paths, offset);
        std::vector<std::pair<std::uint64_t, const Group*>> changes;
        for (const Group& group : groups) {
            const auto index = array_index(group.name);
            if (!index || (!sets_ && *index >= size)) continue; // it leads nowhere
            if (*index >= size) {
                if (*index - size > max_array_padding) throw DataError(Fault::too_large, "an update makes an array impossibly long");
                size = *index + 1;
            } else if (*index >= old_size && !group.ends()) {
                continue; // it leads into a null that a later position has just put there
            }
            changes.emplace_back(*index, &group);
        }
        if (changes.empty()) {
            for (const bson::Element& element : array) out.append(element);
            return;
        }
        std::ranges::sort(changes);
        const auto same = std::ranges::adjacent_find(changes, {}, [](const auto& change) { return change.first; });
        if (same != changes.end()) fail_update("an update names one position of an array twice, also as", same[1].second->name);
        auto at = array.begin();
        auto next = changes.begin();
        for (std::uint64_t i = 0; i < size; ++i) {
            const std::string name = std::to_string(i);
            const Group* const group = next != changes.end() && next->first == i ? next++->second : nullptr;
            if (i >= old_size) {
                if (group)
                    create(name, *group, out);
                else
                    out.null(name);
                continue;
            }
            if (!group)
                out.append(name, *at);
            else if (sets_ || !group->ends())
                change(name, *at, *group, out);
            else
                out.null(name); // the other items keep their places
            ++at;
        }
    }

    /// Changes a value that exists: the value itself, or something inside it.
    void change(std::string_view name, const bson::Element& old, const Group& group, bson::Builder& out) const {
        if (group.ends()) {
            out.append(name, group.paths.front().value);
        } else if (old.is(bson::Type::array)) {
            out.begin_array(name);
            rewrite_array(old.array(), group.paths, group.offset, out);
            out.end();
        } else if (old.is(bson::Type::document)) {
            out.begin_document(name);
            rewrite(old.document(), group.paths, group.offset, out);
            out.end();
        } else {
            out.append(name, old);
        }
    }
    void create(std::string_view name, const Group& group, bson::Builder& out) const {
        if (group.ends()) {
            out.append(name, group.paths.front().value);
            return;
        }
        out.begin_document(name);
        rewrite({}, group.paths, group.offset, out);
        out.end();
    }

    bool sets_;
};

/// Calls visit(path, value, is_set) for each path of an update by modifiers.
template <class Visit>
void for_each_path(const bson::Document& o, Visit&& visit) {
    for (const bson::Element& modifier : o) {
        const std::string_view name = modifier.key();
        if (name == "$v") continue;
        if (name != "$set" && name != "$unset")
            throw DataError(Fault::not_supported, "an update with the unknown operator " + std::string(name));
        for (const bson::Element& path : modifier.document()) visit(path.key(), path, name == "$set");
    }
}

/// Returns a changed document as the server stores it: with its _id, and with the _id first.
inline std::string stored(const bson::Document& before, std::string after) {
    if (after == before.bytes()) return after;
    const bson::Document changed(after);
    const auto old = before.find("_id"), id = changed.find("_id");
    if (old && id && !same_id(*old, *id)) throw DataError(Fault::inconsistent, "an update that changes the _id of its document");
    if (changed.size() > bson::max_document_size)
        throw DataError(Fault::too_large, "an update makes a document of " + std::to_string(changed.size()) + " bytes");
    const auto first = id ? id : old;
    if (!first || (id && id->bytes().data() == changed.data() + 4)) return after;
    bson::Builder out;
    out.append(*first);
    for (const bson::Element& field : changed)
        if (!id || field.bytes().data() != id->bytes().data()) out.append(field);
    return out.finish();
}

} // namespace detail

namespace detail {

/// The parsed `o` of an update entry.
struct Update {
    UpdateKind kind;
    std::optional<bson::Element> id; ///< The _id of a replacement; none in an old replacement, whose _id is in o2.
    bson::Document diff = {};
};

inline Update parse_update(const bson::Document& o) {
    std::optional<bson::Element> version, diff;
    for (const bson::Element& field : o) {
        if (field.key() == "_id") return {UpdateKind::replacement, field};
        if (field.key() == "$v" && !version) version = field;
        if (field.key() == "diff" && !diff) diff = field;
    }
    if (!version) return {o.empty() || !o.begin()->key().starts_with('$') ? UpdateKind::replacement : UpdateKind::modifiers, {}};
    if (version->integer() == 1) return {UpdateKind::modifiers, {}};
    if (version->integer() != 2 || !diff)
        throw DataError(Fault::not_supported, "an update of the unknown version $v: " + std::to_string(version->integer()));
    return {UpdateKind::diff, {}, diff->document()};
}

} // namespace detail

/// Determines the form of an update from the `o` of its entry. An _id, wherever it stands, makes it a replacement,
/// whose fields may have any names. Throws DataError for an unknown $v.
inline UpdateKind update_kind(const bson::Document& o) { return detail::parse_update(o).kind; }

/// Returns the document after a `$v: 2` diff; `diff` is the value of the field `diff` alone.
inline std::string apply_diff(const bson::Document& document, const bson::Document& diff) {
    bson::Builder out;
    detail::Diff::apply_to_document(document, diff, out, 1);
    return out.finish();
}

/// Returns the document after an update, which is given by the `o` of its entry. Applying is idempotent in the sense
/// that an oplog needs: a document that has already seen later entries is right again once those have been applied too.
/// Throws DataError.
inline std::string apply_update(const bson::Document& document, const bson::Document& o) {
    const detail::Update update = detail::parse_update(o);
    switch (update.kind) {
    case UpdateKind::diff: return detail::stored(document, apply_diff(document, update.diff));
    case UpdateKind::replacement: return detail::stored(document, std::string(o.bytes()));
    case UpdateKind::modifiers: break;
    }
    std::vector<detail::PathUpdate::Path> set, unset;
    detail::for_each_path(o, [&](std::string_view path, const bson::Element& value, bool sets) {
        (sets ? set : unset).push_back({path, value});
    });
    std::string result(document.bytes());
    if (!set.empty()) result = detail::PathUpdate::apply(bson::Document(result), std::move(set), true);
    if (!unset.empty()) result = detail::PathUpdate::apply(bson::Document(result), std::move(unset), false);
    return detail::stored(document, std::move(result));
}

/// Whether an update, given by the `o` of its entry, finds what it was made for: every value that it goes into is there
/// and has the expected type. If not, apply_update() still returns what the oplog's replay needs, but nobody intended
/// that result. Throws DataError.
inline bool update_fits(const bson::Document& document, const bson::Document& o) {
    const detail::Update update = detail::parse_update(o);
    switch (update.kind) {
    case UpdateKind::diff: return detail::Diff::fits(document, update.diff);
    case UpdateKind::replacement: return true;
    case UpdateKind::modifiers: break;
    }
    std::vector<std::string_view> paths;
    detail::for_each_path(o, [&](std::string_view path, const bson::Element&, bool) { paths.push_back(path); });
    return detail::PathUpdate::fits(document, false, paths);
}

/// Returns the document that an upsert creates where there is none, from the `o2` and `o` of its entry. Throws
/// DataError.
inline std::string apply_upsert(const bson::Document& o2, const bson::Document& o) {
    const auto id = o2.find("_id");
    if (!id) throw DataError(Fault::missing_field, "an update without the _id of its document");
    const bson::Value empty = bson::Builder().append(*id).finish();
    return apply_update(empty.view(), o);
}

/// Checks an update by its entry alone, that is, by its `o` and `o2`. If it passes, neither apply_update() nor a server
/// fails on any document with that _id, except for what only the document can show: a document that grows beyond the
/// largest size, an array that must be padded with more than 1,500,000 elements, or an array position that is named in
/// two ways ("1" and "01"). Throws DataError. Takes no memory for an update of few fields.
inline void check_update(const bson::Document& o, const bson::Document& o2) {
    const auto id = o2.find("_id");
    if (!id) throw DataError(Fault::missing_field, "an update without the _id of its document");
    bool changes_id = false;
    const detail::Update update = detail::parse_update(o);
    switch (update.kind) {
    case UpdateKind::replacement:
        if (!update.id) throw DataError(Fault::missing_field, "an update with neither the _id of a whole document nor a $v");
        if (!same_id(*id, *update.id)) throw DataError(Fault::inconsistent, "an update that changes the _id of its document");
        return;
    case UpdateKind::diff: changes_id = detail::Diff::check(update.diff); break;
    case UpdateKind::modifiers: {
        detail::NameList<detail::PathUpdate::Order> paths;
        detail::for_each_path(o, [&](std::string_view path, const bson::Element&, bool) {
            detail::PathUpdate::check(path);
            paths.add(path);
            changes_id |= detail::PathUpdate::first_part(path) == "_id";
        });
        if (const auto conflict = paths.conflict()) detail::fail_update("an update changes a field twice:", *conflict);
        break;
    }
    }
    if (changes_id) apply_upsert(o2, o); // which throws if the _id becomes another one
}

} // namespace oplog

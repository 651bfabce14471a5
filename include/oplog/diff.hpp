// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "builder.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// What updates in an oplog do to documents, byte for byte as the server does it.
namespace oplog {

/// How an oplog entry tells an update.
enum class UpdateKind {
    diff,       ///< {$v: 2, diff: {…}}
    modifiers,  ///< {$v: 1, $set: {…}, $unset: {…}}, with or without the $v
    replacement ///< the whole new document
};

namespace detail {

constexpr std::uint64_t max_array_padding = 1'500'000; // the server's limit

inline std::optional<std::uint64_t> array_index(std::string_view text) {
    std::uint64_t index = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    return whole && (text.size() == 1 || text.front() != '0') ? std::optional(index) : std::nullopt;
}

/// One level of a $v: 2 diff.
class Diff {
  public:
    static void apply_to_document(const bson::Document& document, const bson::Document& diff, bson::Builder& out, std::size_t depth) {
        if (depth > bson::max_depth) throw DataError("a diff is nested too deeply");
        std::map<std::string_view, Change> changes;
        const auto add = [&](std::string_view field, Change change) {
            if (!changes.emplace(field, change).second) throw DataError("a diff names field '" + std::string(field) + "' twice");
        };
        for (const bson::Element& section : diff) {
            const std::string_view name = section.key();
            if (name.starts_with('s')) {
                add(name.substr(1), {Change::nested, section});
                continue;
            }
            const auto kind = name == "d" ? Change::removal : name == "u" ? Change::update : name == "i" ? Change::insertion : name == "b" ? Change::binary : Change::none;
            if (kind == Change::none) throw DataError("a diff has the unknown section '" + std::string(name) + "'");
            for (const bson::Element& field : section.document()) add(field.key(), {kind, field});
        }
        for (const bson::Element& field : document) {
            const auto found = changes.find(field.key());
            if (found == changes.end()) {
                out.append(field);
                continue;
            }
            auto& [kind, with, done] = found->second;
            if (kind == Change::update) {
                out.append(with);
                done = true;
            } else if (kind == Change::binary) {
                overwrite(field, with.document(), out);
            } else if (kind == Change::nested) {
                nest(field.key(), &field, with.document(), out, depth);
            }
        }
        // New fields come last: those that were to be updated and are not there, then the inserted ones.
        for (const char* name : {"u", "i"})
            if (const auto section = diff.find(name))
                for (const bson::Element& field : section->document())
                    if (!changes.find(field.key())->second.done) out.append(field);
    }

  private:
    struct Change {
        enum Kind { none, removal, update, insertion, binary, nested };
        Kind kind;
        bson::Element with;
        bool done = false;
    };

    static bool is_for_array(const bson::Document& diff) { return !diff.empty() && diff.begin()->key() == "a"; }

    /// A field that a diff of its own goes into. Where the field is not what the diff expects (or missing), a later
    /// entry rewrites it: this one has been seen by the document already.
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
        if (depth > bson::max_depth) throw DataError("a diff is nested too deeply");
        std::optional<std::uint64_t> size;
        std::map<std::uint64_t, bson::Element> changes;
        for (const bson::Element& change : diff) {
            const std::string_view name = change.key();
            if (name == "a") continue;
            if (name == "l") {
                const std::int64_t length = change.integer();
                if (length < 0) throw DataError("a diff gives an array a negative length");
                size = static_cast<std::uint64_t>(length);
                continue;
            }
            const auto index = name.empty() ? std::nullopt : array_index(name.substr(1));
            if (!index || (name.front() != 'u' && name.front() != 's')) throw DataError("a diff has the unknown array change '" + std::string(name) + "'");
            changes.emplace(*index, change);
        }
        const std::uint64_t least = changes.empty() ? 0 : changes.rbegin()->first + 1;
        if (std::max(size.value_or(0), least) > bson::max_document_size / 5) throw DataError("a diff makes an array impossibly long");
        auto at = array.begin();
        for (std::uint64_t i = 0; size ? i < std::max(*size, least) : (at != array.end() || i < least); ++i) {
            const std::string name = std::to_string(i);
            const bool has = at != array.end() && (!size || i < *size);
            const auto change = changes.find(i);
            if (change == changes.end()) {
                if (has)
                    out.append(name, *at);
                else
                    out.null(name);
            } else if (change->second.key().front() == 'u') {
                out.append(name, change->second);
            } else {
                nest(name, has ? &*at : nullptr, change->second.document(), out, depth);
            }
            if (at != array.end()) ++at;
        }
    }

    /// {o: OFFSET, d: BYTES}: the binary value's bytes from the offset on. One that is too short has seen a later change.
    static void overwrite(const bson::Element& field, const bson::Document& change, bson::Builder& out) {
        const auto offset = change.find("o"), data = change.find("d");
        if (!offset || !data || !data->is(bson::Type::binary)) throw DataError("a diff has a malformed binary change");
        if (!field.is(bson::Type::binary) || offset->integer() < 0 || static_cast<std::uint64_t>(offset->integer()) > field.value().size() - 5) {
            out.append(field);
            return;
        }
        std::string bytes(field.value().substr(5, static_cast<std::size_t>(offset->integer())));
        bytes += data->value().substr(5);
        out.binary(field.key(), static_cast<std::uint8_t>(field.value()[4]), bytes);
    }
};

/// $set and $unset of one dotted path.
class PathUpdate {
  public:
    /// `value`: null to unset. Nothing happens where the path leads through what has no fields.
    static std::string apply(const bson::Document& document, std::string_view path, const bson::Element* value) {
        PathUpdate update{value};
        bson::Builder out;
        return update.rewrite(document, path, out, 1) ? out.finish() : std::string(document.bytes());
    }

  private:
    explicit PathUpdate(const bson::Element* value) : value_(value) {}

    static std::pair<std::string_view, std::string_view> split(std::string_view path) {
        const std::size_t dot = path.find('.');
        return dot == path.npos ? std::pair(path, std::string_view{}) : std::pair(path.substr(0, dot), path.substr(dot + 1));
    }

    /// Writes the fields of a document with the path in it changed. False: nothing changes.
    bool rewrite(const bson::Document& document, std::string_view path, bson::Builder& out, std::size_t depth) {
        if (depth > bson::max_depth) throw DataError("an update's path is too long");
        const auto [name, rest] = split(path);
        const auto old = document.find(name);
        if (!old && !value_) return false;
        for (const bson::Element& field : document) {
            if (!old || field.bytes().data() != old->bytes().data())
                out.append(field);
            else if (!change(name, &field, rest, out, depth, false))
                return false;
        }
        return old || change(name, nullptr, rest, out, depth, false);
    }
    bool rewrite_array(const bson::Document& array, std::string_view path, bson::Builder& out, std::size_t depth) {
        if (depth > bson::max_depth) throw DataError("an update's path is too long");
        const auto [name, rest] = split(path);
        const auto index = array_index(name);
        if (!index) return false;
        std::uint64_t i = 0;
        for (const bson::Element& element : array) {
            if (i != *index)
                out.append(element);
            else if (!change(name, &element, rest, out, depth, true))
                return false;
            ++i;
        }
        if (i > *index) return true;
        if (!value_ || *index - i > max_array_padding) return false;
        for (; i < *index; ++i) out.null(std::to_string(i));
        return change(name, nullptr, rest, out, depth, true);
    }
    /// The field itself (`rest` empty), or what is inside.
    bool change(std::string_view name, const bson::Element* old, std::string_view rest, bson::Builder& out, std::size_t depth, bool in_array) {
        if (rest.empty()) {
            if (value_)
                out.append(name, *value_);
            else if (in_array)
                out.null(name); // the others keep their places
            return true;
        }
        const bool array = old && old->is(bson::Type::array);
        if (old && !array && !old->is(bson::Type::document)) return false;
        if (array)
            out.begin_array(name);
        else
            out.begin_document(name);
        const bool changed = array ? rewrite_array(old->array(), rest, out, depth + 1) : rewrite(old ? old->document() : bson::Document(), rest, out, depth + 1);
        out.end();
        return changed;
    }

    const bson::Element* value_;
};

} // namespace detail

/// Looks at the `o` of an update entry. Throws DataError for a $v that nobody knows.
inline UpdateKind update_kind(const bson::Document& o) {
    if (o.empty() || !o.begin()->key().starts_with('$')) return UpdateKind::replacement;
    const auto version = o.find("$v");
    if (!version || version->integer() == 1) return UpdateKind::modifiers;
    if (version->integer() != 2 || !o.find("diff")) throw DataError("an update of the unknown version $v: " + std::to_string(version->integer()));
    return UpdateKind::diff;
}

/// The document with a $v: 2 diff applied (the `diff` alone).
inline std::string apply_diff(const bson::Document& document, const bson::Document& diff) {
    bson::Builder out;
    detail::Diff::apply_to_document(document, diff, out, 1);
    return out.finish();
}

/// The document after an update, told by the `o` of its entry. Applying is idempotent in the way the oplog needs it: a
/// document that has seen later entries comes right once they have been applied too. Throws DataError.
inline std::string apply_update(const bson::Document& document, const bson::Document& o) {
    switch (update_kind(o)) {
    case UpdateKind::diff: return apply_diff(document, o.find("diff")->document());
    case UpdateKind::replacement: {
        if (o.find("_id")) return std::string(o.bytes());
        const auto id = document.find("_id");
        bson::Builder out;
        if (id) out.append(*id);
        for (const bson::Element& field : o) out.append(field);
        return out.finish();
    }
    case UpdateKind::modifiers: break;
    }
    std::string result(document.bytes());
    for (const bson::Element& modifier : o) {
        const std::string_view name = modifier.key();
        if (name == "$v") continue;
        if (name != "$set" && name != "$unset") throw DataError("an update with the unknown operator " + std::string(name));
        for (const bson::Element& path : modifier.document())
            result = detail::PathUpdate::apply(bson::Document(result), path.key(), name == "$set" ? &path : nullptr);
    }
    return result;
}

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/update.hpp>

#include <string>
#include <string_view>

namespace oplog::inline v0_1 {

namespace detail {

template <class Visit>
class TouchedFields {
  public:
    explicit TouchedFields(Visit& visit) : visit_(&visit) {}

    void path(std::string_view dotted) {
        for (bool is_first = true;; is_first = false) {
            const std::string_view part = PathUpdate::first_part(dotted);
            push(part, is_first);
            if (part.size() == dotted.size()) break;
            dotted.remove_prefix(part.size() + 1);
        }
        (*visit_)(std::string_view(path_));
        path_.clear();
    }

    void document(const bson::Document& diff, std::size_t depth = 1) {
        Diff::check_depth(depth);
        Diff::for_each_change(diff, [&](Diff::Kind kind, std::string_view name, const bson::Element& with) {
            inside(name, with, kind == Diff::Kind::nested, depth);
        });
    }

  private:
    void array(const bson::Document& diff, std::size_t depth) {
        Diff::check_depth(depth);
        const auto size = Diff::for_each_array_change(
            diff, [&](std::uint64_t, const bson::Element& change) { inside("0", change, change.key().front() == 's', depth); });
        if (size) (*visit_)(std::string_view(path_));
    }
    void inside(std::string_view name, const bson::Element& with, bool is_nested, std::size_t depth) {
        const std::size_t above = path_.size();
        push(name, depth == 1);
        if (!is_nested)
            (*visit_)(std::string_view(path_));
        else if (Diff::is_for_array(with.document()))
            array(with.document(), depth + 1);
        else
            document(with.document(), depth + 1);
        path_.resize(above);
    }
    void push(std::string_view part, bool is_first) {
        if (!is_first) path_ += '.';
        path_ += !is_first && !part.empty() && part.find_first_not_of("0123456789") == part.npos ? std::string_view("*") : part;
    }

    Visit* visit_;
    std::string path_;
};

} // namespace detail

/// Calls visit(std::string_view path) for each field that an update writes or removes, given by the `o` of its entry, and
/// returns the form of the update; a replacement names no field. A path has dots, and a part that consists of digits, other than
/// the first, is `*`: `items.*.price` stands for all positions of the array, each of which is visited. Throws DataError for
/// an update that is not understood, perhaps after some visits.
template <class Visit>
UpdateKind for_each_touched_field(const bson::Document& o, Visit visit) {
    const detail::Update update = detail::parse_update(o);
    detail::TouchedFields<Visit> fields(visit);
    if (update.kind == UpdateKind::diff) fields.document(update.diff);
    if (update.kind == UpdateKind::modifiers)
        detail::for_each_path(o, [&](std::string_view path, const bson::Element&, bool) { fields.path(path); });
    return update.kind;
}

} // namespace oplog

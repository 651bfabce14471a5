// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/json.hpp>
#include <oplog/bson/update.hpp>
#include <oplog/restore/change_log.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// The order of a collection's documents.
enum class DocumentOrder {
    any,      ///< A document that an insertion replaces keeps its place: it was inserted there, and the dump has seen that.
    insertion ///< All documents stand in the order of their insertions, also those of a fuzzy dump. For capped collections.
};

/// The changes of one collection, prepared to be applied to its documents. The documents pass once, in the dump's
/// order, and the inserted documents follow them.
///
/// Takes 2 to 4 bytes of memory for each change in addition to the list itself, which is sorted in place.
class CollectionChanges {
  public:
    /// Sorts `changes`, which must outlive this object, as the sealed `log` must.
    CollectionChanges(const ChangeLog& log, ChangeList& changes, DocumentOrder order = DocumentOrder::any)
        : log_(&log), changes_(&changes), order_(order) {
        std::ranges::sort(changes,
                          [](const Change& a, const Change& b) { return std::pair(a.hash, a.place) < std::pair(b.hash, b.place); });
        separate_collisions();
        if (changes.empty()) return;
        touched_.resize(std::bit_ceil(changes.size() * 16) / 64 + 1);
        for (const Change& change : changes) touched_[bit(change.hash) / 64] |= std::uint64_t{1} << bit(change.hash) % 64;
        done_.resize(changes.size());
    }
    CollectionChanges(const CollectionChanges&) = delete;
    /// Puts all changes back into the list, so that the documents can be read again.
    ~CollectionChanges() {
        // There is room, because they came from the list.
        for (auto& [key, group] : collided_) changes_->insert(changes_->end(), group.changes.begin(), group.changes.end());
    }

    /// Applies the changes to a document of the collection. Calls write(std::string_view) with the result, unless the
    /// document is removed.
    template <class Write>
    void apply(const bson::Document& document, Write&& write) {
        key_.clear();
        append_id_key(key_, document);
        const std::span<const Change> group = find(key_);
        if (group.empty()) return write(document.bytes());
        // In the order of insertions, all documents after one that the changes inserted were inserted by the changes,
        // too. If an upsert inserted one, it had found no document.
        const bool ordered = order_ == DocumentOrder::insertion;
        if (creation(group, !inserted_) && (ordered || is_removed(group))) { // it comes with the inserted documents
            inserted_ |= ordered && group.front().kind() == ChangeKind::insertion;
            return;
        }
        if (mark_done(group)) return; // a dump may see a document twice
        play(group, &document, write);
    }

    /// Calls write(std::string_view) with each inserted document, in the order of the insertions.
    template <class Write>
    void finish(Write&& write) {
        while (const auto document = next_inserted()) write(*document);
    }
    /// Call this after all documents: returns the next inserted document, or none at the end. The view is valid until
    /// the next call.
    std::optional<std::string_view> next_inserted() {
        if (!insertions_) find_insertions();
        if (next_ == insertions_->size()) return std::nullopt;
        play((*insertions_)[next_++].second, nullptr, [](std::string_view) {});
        return document_;
    }

    /// Takes the changes of one document of the collection, in their order; there may be none. Returns std::nullopt if
    /// they were taken before, because a dump may see a document twice.
    std::optional<std::span<const Change>> take(const bson::Document& document) {
        key_.clear();
        append_id_key(key_, document);
        const std::span<const Change> group = find(key_);
        return !group.empty() && mark_done(group) ? std::nullopt : std::optional(group);
    }
    /// Calls use(std::span<const Change>) for each document whose changes have not been taken.
    template <class Use>
    void take_others(Use&& use) const {
        const std::span<const Change> all(*changes_);
        for (std::size_t first = 0, end = 0; first < all.size(); first = end) {
            end = end_of_group(first);
            if (!done_[first]) use(all.subspan(first, end - first));
        }
        for (const auto& [key, group] : collided_)
            if (!group.done) use(std::span<const Change>(group.changes));
    }

  private:
    struct Collided {
        ChangeList changes;
        bool done = false;
    };

    void find_insertions() {
        auto& inserted = insertions_.emplace();
        take_others([&](std::span<const Change> group) {
            if (const Change* const created = creation(group, false)) inserted.emplace_back(created->place, group);
        });
        std::ranges::sort(inserted, {}, [](const auto& each) { return each.first; });
    }

    std::size_t bit(std::uint64_t hash) const noexcept { return hash & (std::bit_floor(touched_.size() * 64) - 1); }
    std::size_t end_of_group(std::size_t first) const {
        std::size_t end = first + 1;
        while (end < changes_->size() && (*changes_)[end].hash == (*changes_)[first].hash) ++end;
        return end;
    }

    /// Moves changes whose `_id`s have the same hash but differ (hash collisions) out of the list. The remaining ones
    /// are identified by their hashes.
    void separate_collisions() {
        ChangeList kept;
        bool any = false;
        for (std::size_t first = 0, end = 0; first < changes_->size(); first = end) {
            end = end_of_group(first);
            if (end - first == 1) continue;
            const std::string key = id_key(log_->document((*changes_)[first]));
            for (std::size_t i = first + 1; i < end; ++i) {
                std::string other = id_key(log_->document((*changes_)[i]));
                if (other == key) continue;
                collided_[std::move(other)].changes.push_back((*changes_)[i]);
                (*changes_)[i].place = moved;
                any = true;
            }
        }
        if (any) std::erase_if(*changes_, [](const Change& change) { return change.place == moved; });
    }

    /// The changes of one document in their order; empty if there are none.
    std::span<const Change> find(const std::string& key) {
        const std::uint64_t hash = log_->hash(key);
        if (touched_.empty() || !(touched_[bit(hash) / 64] >> bit(hash) % 64 & 1)) return {};
        const auto found = std::ranges::lower_bound(*changes_, hash, {}, &Change::hash);
        if (found == changes_->end() || found->hash != hash) return {};
        other_key_.clear();
        append_id_key(other_key_, log_->document(*found));
        if (other_key_ != key) {
            const auto collided = collided_.find(key);
            return collided == collided_.end() ? std::span<const Change>{} : std::span<const Change>(collided->second.changes);
        }
        const auto first = static_cast<std::size_t>(found - changes_->begin());
        return std::span<const Change>(*changes_).subspan(first, end_of_group(first) - first);
    }

    /// Marks a group as done and returns whether it was done already.
    bool mark_done(std::span<const Change> group) {
        const Change* const begin = changes_->data();
        if (group.data() < begin || group.data() >= begin + changes_->size()) return std::exchange(collided_.find(key_)->second.done, true);
        const auto index = static_cast<std::size_t>(group.data() - begin);
        const bool done = done_[index];
        done_[index] = true;
        return done;
    }

    /// The insertion or upsert that created the document that exists in the end. Null if there is no document, or if it
    /// existed before the changes. `exists` is whether it existed before all changes.
    const Change* creation(std::span<const Change> group, bool exists) const {
        const Change* created = nullptr;
        for (const Change& change : group) {
            const ChangeKind kind = change.kind();
            if (kind == ChangeKind::removal) {
                created = nullptr;
                exists = false;
            } else if (kind == ChangeKind::insertion && order_ == DocumentOrder::insertion) {
                created = &change; // again, where a capped collection had given the document up and nobody logged that
            } else if (!created && (kind == ChangeKind::insertion || (kind == ChangeKind::upsert && !exists))) {
                created = &change;
            }
        }
        return created;
    }

    static bool is_removed(std::span<const Change> group) {
        return std::ranges::any_of(group, [](const Change& change) { return change.kind() == ChangeKind::removal; });
    }

    /// Applies changes to a document, or to none.
    template <class Write>
    void play(std::span<const Change> group, const bson::Document* document, Write&& write) {
        std::size_t at = group.size();
        while (at > 0 && group[at - 1].updates()) --at; // everything before an insertion or removal no longer matters
        const bool inserted = at > 0 && group[at - 1].kind() == ChangeKind::insertion;
        bool exists = inserted || (at == 0 && document);
        if (exists) document_ = inserted ? log_->document(group[at - 1]).bytes() : document->bytes();
        for (; at < group.size(); ++at) {
            if (!exists && group[at].kind() == ChangeKind::update) continue;
            update(group[at], exists);
            exists = true;
        }
        if (exists) write(std::string_view(document_));
    }
    void update(const Change& change, bool exists) {
        const bson::Document o2 = log_->document(change), o = log_->update(change);
        try {
            document_ = exists ? apply_update(bson::Document(document_), o) : apply_upsert(o2, o);
        } catch (const DataError& error) {
            throw error.within("the document of " + to_json(o2));
        }
    }

    static constexpr std::uint64_t moved = ~std::uint64_t{0};

    const ChangeLog* log_;
    ChangeList* changes_;
    DocumentOrder order_;
    bool inserted_ = false;              ///< Whether the documents that pass now are those that the changes inserted.
    std::vector<std::uint64_t> touched_; ///< A Bloom filter with one bit for each hash, because most documents have no changes.
    std::vector<bool> done_;             ///< One flag for the first change of each group.
    std::map<std::string, Collided> collided_;
    /// The insertions in the order of their places.
    std::optional<std::vector<std::pair<std::uint64_t, std::span<const Change>>>> insertions_;
    std::size_t next_ = 0; ///< The index of the next insertion.
    std::string key_, other_key_, document_;
};

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/restore/apply.hpp>
#include <oplog/restore/document_comparison.hpp>
#include <oplog/restore/stage.hpp>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

/// What differs between two dumps, or between two times of one chain.
namespace oplog::inline v0_1 {

/// An option or an index of a collection that differs between both sides.
struct MetadataDifference {
    std::string name;
    std::optional<std::string> before, after; ///< {NAME: VALUE} of an option, the specification of an index; none where it is missing.
};

/// The differences of a collection or view, or the fact that it is on one side only.
struct CollectionDiff {
    std::string before, after; ///< Its namespace; empty where it is missing. For a time series its own, not that of its buckets.
    std::string kind;          ///< "collection", "view" or "timeseries"; the documents of the last are buckets.
    std::vector<MetadataDifference> options{}, indexes{};
    DocumentCounts documents{};
    bool made_again = false; ///< Whether its UUID is another one than before: it was dropped and created again, or restored.

    /// The namespace, the newer one if they differ.
    const std::string& ns() const noexcept { return after.empty() ? before : after; }
    /// Whether the collection is only on the second side.
    bool is_added() const noexcept { return before.empty(); }
    /// Whether the collection is only on the first side.
    bool is_removed() const noexcept { return after.empty(); }
    /// Whether the collection has two names.
    bool is_renamed() const noexcept { return !before.empty() && !after.empty() && before != after; }
    /// Whether there is any difference.
    bool differs() const noexcept { return before != after || !options.empty() || !indexes.empty() || documents.differ(); }
};

/// The options that differ. Their order does not count, and neither does `temp`, which is never restored.
inline std::vector<MetadataDifference> compare_options(const Metadata& before, const Metadata& after) {
    std::map<std::string, MetadataDifference> options;
    const auto put = [&](const Metadata& metadata, std::optional<std::string> MetadataDifference::*side) {
        for (const bson::Element& option : bson::Document(metadata.options))
            if (option.key() != "temp") options[std::string(option.key())].*side = bson::Builder().append(option).finish();
    };
    put(before, &MetadataDifference::before);
    put(after, &MetadataDifference::after);
    std::vector<MetadataDifference> differences;
    for (auto& [name, option] : options)
        if (option.before != option.after) differences.push_back({name, std::move(option.before), std::move(option.after)});
    return differences;
}

namespace detail {

/// The parts of an index specification that count: everything but the order of its options, the types of plain numbers,
/// and the namespace that servers before 4.4 put into it.
inline std::map<std::string, std::string> index_options(const bson::Document& spec) {
    std::map<std::string, std::string> options;
    for (const bson::Element& option : spec) {
        std::string& value = options[std::string(option.key())];
        if (option.is_number())
            append_key(value, option);
        else
            value = std::string(1, static_cast<char>(option.type())) + std::string(option.value());
    }
    options.erase("ns");
    return options;
}

/// Whether two indexes are the same. With `as_dumped`: if an index on a time series says how it was requested, then
/// servers list it in that form alone, whatever was done to it since, and so does mongodump.
inline bool same_index(const std::optional<std::string>& before, const std::optional<std::string>& after, bool as_dumped) {
    if (!before || !after) return false;
    const bson::Document a(*before), b(*after);
    const auto a_asked = a.find("originalSpec"), b_asked = b.find("originalSpec");
    const auto shown = [&](const bson::Document& spec, const auto& asked, const auto& other) {
        return index_options(as_dumped && asked && !other ? asked->document() : spec);
    };
    return shown(a, a_asked, b_asked) == shown(b, b_asked, a_asked);
}

} // namespace detail

/// The indexes that differ, by their names. Their order does not count. The index of a clustered collection is not
/// included, because it is one of the options. `as_dumped` is whether one of the two may come from mongodump and not
/// from an Applier.
inline std::vector<MetadataDifference> compare_indexes(const Metadata& before, const Metadata& after, bool as_dumped = true) {
    std::map<std::string, MetadataDifference> indexes;
    const auto put = [&](const Metadata& metadata, std::optional<std::string> MetadataDifference::*side) {
        for (const bson::Value& spec : metadata.indexes) {
            const bson::Document index(spec);
            if (const auto clustered = index.find("clustered"); !clustered || !clustered->truthy())
                indexes[std::string(index.find("name")->string())].*side = spec;
        }
    };
    put(before, &MetadataDifference::before);
    put(after, &MetadataDifference::after);
    std::vector<MetadataDifference> differences;
    for (auto& [name, index] : indexes)
        if (!detail::same_index(index.before, index.after, as_dumped))
            differences.push_back({name, std::move(index.before), std::move(index.after)});
    return differences;
}

/// Compares the states that two appliers have reached: those of two dumps, each with the entries of its own oplog,
/// which bring it to its consistent point; or those of one dump with the entries up to two different times.
///
/// Collections belong together by their UUIDs, whatever their names are. If no UUID is on both sides, those with the
/// same name and kind belong together. For one chain, only what changed between the two times is read. Two things are
/// ignored: admin.system.version, which describes a server and is not restored, and a collection that is empty on one
/// side and missing on the other.
///
/// Takes the memory of the appliers, and that of a DocumentComparison for one collection at a time.
class DumpDiff {
  public:
    /// The options of a DumpDiff.
    struct Options {
        std::string scratch = "."; ///< A directory for temporary files; see DocumentComparison.
        std::size_t memory = DocumentComparison::Options{}.memory;
        bool one_chain = false; ///< Both appliers got the same entries, the second one more of them.
        ReadProgress progress{};
    };
    /// Called with each document that differs, collection by collection, in no particular order; null stands for a
    /// missing document.
    using Report = std::function<void(const CollectionDiff&, const bson::Document* before, const bson::Document* after)>;

    /// Both appliers are finished and outlive this object. They must be two different ones.
    DumpDiff(Applier& before, Applier& after, Options options) : before_(&before), after_(&after), options_(std::move(options)) {
        States older = states_of(before), newer = states_of(after);
        pair(older, newer, [&](const State& state) { return std::pair(identity(state), std::string()); });
        pair(older, newer, [](const State& state) { return std::pair(state.ns, kind_of(state.metadata)); });
        for (State& state : older) pairs_.push_back({std::move(state), std::nullopt});
        for (State& state : newer) pairs_.push_back({std::nullopt, std::move(state)});
        std::ranges::sort(pairs_, {}, [](const Pair& each) { return std::pair(each.any().ns, !each.before); });
    }

    /// Calls each(CollectionDiff) for each difference, in the order of the namespaces. Before that, `report` gets the
    /// documents of that collection.
    template <class Each>
    void run(Each each, const Report& report = {}) {
        for (Pair& pair : pairs_) {
            CollectionDiff diff = compare_metadata(pair);
            compare_documents(pair, diff, report);
            const bool is_no_user = is_of_users(diff.ns()) && !(pair.before && pair.after) && !diff.documents.differ();
            if (diff.differs() && !is_no_user) each(std::as_const(diff));
        }
    }

    /// How many bytes of dump files run() will read at most.
    std::uint64_t bytes_to_read() const {
        std::uint64_t bytes = 0;
        for (const Pair& pair : pairs_)
            if (!are_same_documents(pair))
                for (const auto& side : {pair.before, pair.after})
                    if (side && side->collection && side->collection->has_data) bytes += size_of(*side->collection);
        return bytes;
    }

  private:
    /// A collection or view of one side.
    struct State {
        std::string ns;
        Metadata metadata;
        AppliedCollection* collection = nullptr; ///< Null for a view.
    };
    using States = std::vector<State>;
    struct Pair {
        std::optional<State> before, after;
        const State& any() const { return after ? *after : *before; }
    };
    struct NoDocuments {
        static std::optional<std::string_view> next() { return std::nullopt; }
    };

    static std::string kind_of(const Metadata& metadata) {
        return metadata.is_view() ? "view" : metadata.is_timeseries() ? "timeseries" : "collection";
    }

    static States states_of(Applier& applier) {
        States states;
        for (AppliedCollection& collection : applier.collections())
            if (!is_hidden_in_dumps(collection.ns()) && collection.ns() != "admin.system.version")
                states.push_back({collection.logical_ns(), collection.dumped_metadata(), &collection});
        for (auto& [ns, metadata] : applier.views()) states.push_back({ns, std::move(metadata)});
        return states;
    }
    /// The identity of a collection, the same at any time; empty if unknown.
    std::string identity(const State& state) const {
        return options_.one_chain && state.collection ? std::to_string(state.collection->number) : state.metadata.uuid;
    }
    /// Pairs those that agree in `key`. The first half of a key must not be empty.
    template <class Key>
    void pair(States& older, States& newer, Key key) {
        std::map<std::pair<std::string, std::string>, State*> found;
        for (State& state : newer)
            if (auto each = key(state); !each.first.empty()) found.emplace(std::move(each), &state);
        std::set<const State*> paired;
        for (State& state : older) {
            const auto partner = found.find(key(state));
            if (partner == found.end() || paired.contains(partner->second)) continue;
            paired.insert({&state, partner->second});
            pairs_.push_back({state, *partner->second});
        }
        for (States* const states : {&older, &newer}) {
            States left;
            for (State& state : *states)
                if (!paired.contains(&state)) left.push_back(std::move(state));
            *states = std::move(left);
        }
    }

    CollectionDiff compare_metadata(const Pair& pair) const {
        CollectionDiff diff{
            .before = pair.before ? pair.before->ns : "", .after = pair.after ? pair.after->ns : "", .kind = kind_of(pair.any().metadata)};
        if (!pair.before || !pair.after) return diff;
        const Metadata &before = pair.before->metadata, &after = pair.after->metadata;
        diff.options = compare_options(before, after);
        diff.indexes = compare_indexes(before, after, !options_.one_chain);
        diff.made_again = !before.uuid.empty() && !after.uuid.empty() && before.uuid != after.uuid;
        return diff;
    }

    void compare_documents(const Pair& pair, CollectionDiff& diff, const Report& report) {
        if (diff.kind == "view" || are_same_documents(pair)) return;
        const auto order_counts = [](const std::optional<State>& state) {
            const bson::Document options(state ? state->metadata.options : bson::Document().bytes());
            return is_capped(options) && !is_capped_cluster(options);
        };
        DocumentComparison comparison(
            {.scratch = options_.scratch, .memory = options_.memory, .ordered = order_counts(pair.before) && order_counts(pair.after)},
            report ? [&](const bson::Document* before, const bson::Document* after) { report(diff, before, after); }
                   : DocumentComparison::Report());
        const auto read = [&](const Applier* applier, const State& state) {
            return applier->documents(*state.collection, Check::structure, options_.progress);
        };
        NoDocuments none;
        try {
            if (!pair.before) {
                auto after = read(after_, *pair.after);
                diff.documents = comparison.compare(none, after);
            } else if (!pair.after) {
                auto before = read(before_, *pair.before);
                diff.documents = comparison.compare(before, none);
            } else {
                auto before = read(before_, *pair.before);
                auto after = read(after_, *pair.after);
                diff.documents = comparison.compare(before, after);
            }
        } catch (const FormatError&) {
            throw;
        } catch (const DataError& error) {
            throw error.within(diff.ns());
        }
    }

    /// Whether both sides are known to be equal without reading: they have the documents of one file, with the same
    /// changes or with none.
    bool are_same_documents(const Pair& pair) const {
        if (!pair.before || !pair.after || !pair.before->collection || !pair.after->collection) return false;
        const AppliedCollection &before = *pair.before->collection, &after = *pair.after->collection;
        const auto made_of = [](const AppliedCollection& collection) {
            return collection.has_data && collection.base ? collection.base->data : std::string();
        };
        const std::string older = made_of(before), newer = made_of(after);
        std::error_code unknown;
        if (before.is_as_dumped() && after.is_as_dumped()) return older == newer || std::filesystem::equivalent(older, newer, unknown);
        // Changes of the same entries are stored alike. What a capped collection drops depends on its options, too.
        return options_.one_chain && older == newer && before.changes == after.changes && before.metadata.options == after.metadata.options;
    }
    static std::uint64_t size_of(const AppliedCollection& collection) {
        std::error_code unknown;
        const std::uint64_t size = collection.base ? std::filesystem::file_size(collection.base->data, unknown) : 0;
        return unknown ? 0 : size;
    }

    Applier* before_;
    Applier* after_;
    Options options_;
    std::vector<Pair> pairs_;
};

} // namespace oplog

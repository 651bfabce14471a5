// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/entry.hpp>
#include <oplog/entry/operation.hpp>
#include <oplog/entry/transaction.hpp>
#include <oplog/stream/range.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// Numbers of operations by kind, and their bytes.
struct OperationCounts {
    std::uint64_t inserts = 0;
    std::uint64_t updates = 0;
    std::uint64_t deletes = 0;
    std::uint64_t commands = 0;
    std::uint64_t noops = 0;
    std::uint64_t others = 0; ///< Kinds that only other servers know.
    std::uint64_t bytes = 0;  ///< The bytes of the entries or, inside applyOps, of the operations alone.

    /// All operations of all kinds.
    std::uint64_t operations() const noexcept { return inserts + updates + deletes + commands + noops + others; }

    /// Counts one operation.
    void add(const Operation& operation) {
        bytes += operation.document.size();
        switch (operation.op.size() == 1 ? operation.op[0] : '\0') {
        case 'i': ++inserts; break;
        case 'u': ++updates; break;
        case 'd': ++deletes; break;
        case 'c': ++commands; break;
        case 'n': ++noops; break;
        default: ++others;
        }
    }
};

/// Operations over time, in a bounded number of periods. The periods become longer as the span grows.
class Timeline {
  public:
    /// What happened in one period.
    struct Period {
        std::uint64_t operations = 0;
        std::uint64_t bytes = 0;
    };

    /// Adds operations that happened in one second.
    void add(std::uint32_t second, std::uint64_t operations, std::uint64_t bytes) {
        const std::uint32_t start = second - second % length();
        // Most entries fall into the latest period.
        Period& period = !periods_.empty() && periods_.rbegin()->first == start ? periods_.rbegin()->second : periods_[start];
        period.operations += operations;
        period.bytes += bytes;
        while (periods_.size() > max_periods) coarsen();
    }

    /// The length of each period in seconds.
    std::uint32_t length() const noexcept { return lengths[level_]; }
    /// The periods by the second at which they begin. Periods without operations are left out.
    const std::map<std::uint32_t, Period>& periods() const noexcept { return periods_; }

    /// Adds what happened in another timeline.
    void add(const Timeline& other) {
        while (level_ < other.level_) coarsen();
        for (const auto& [start, period] : other.periods_) add(start, period.operations, period.bytes);
    }

    /// The same timeline in periods at least as long.
    Timeline coarsened_to(std::uint32_t length) const {
        Timeline result = *this;
        while (result.length() < length && result.level_ + 1 < std::size(lengths)) result.coarsen();
        return result;
    }
    /// The same timeline in at most so many periods from the first to the last, empty ones included.
    Timeline coarsened(std::size_t most) const {
        Timeline result = *this;
        while (!result.periods_.empty() && result.level_ + 1 < std::size(lengths) &&
               (std::size_t{result.periods_.rbegin()->first} - result.periods_.begin()->first) / result.length() + 1 > most)
            result.coarsen();
        return result;
    }

  private:
    static constexpr std::size_t max_periods = 512;
    // From one second to 52 weeks. Each length divides the next one.
    static constexpr std::uint32_t lengths[] = {1, 5, 15, 60, 300, 900, 3600, 14400, 43200, 86400, 604800, 2419200, 31449600};

    void coarsen() {
        const auto fine = std::exchange(periods_, {});
        ++level_;
        for (const auto& [start, period] : fine) {
            Period& sum = periods_[start - start % length()];
            sum.operations += period.operations;
            sum.bytes += period.bytes;
        }
    }

    std::size_t level_ = 0;
    std::map<std::uint32_t, Period> periods_;
};

/// One of the largest entries.
struct LargeEntry {
    std::uint32_t bytes = 0;
    Timestamp ts;
    std::string op;
    std::string ns;
    std::uint64_t operations = 0; ///< The number of operations in it.
    std::optional<Position> where;
};

/// Counts what is in a stretch of oplog, which may be in any order. Takes memory for a record for each namespace and
/// each open transaction, and a constant.
class Stats {
  public:
    /// `largest` is how many of the largest entries to remember.
    explicit Stats(std::size_t largest = 10) : most_large_(largest) {}
    Stats(Stats&&) = default; // it cannot be copied, because it points into itself
    Stats& operator=(Stats&&) = default;

    /// Adds the next entry. Throws DataError for a malformed entry.
    void add(const EntryView& entry) {
        add(entry, [](const Operation&, std::string_view) {});
    }
    /// The same. Calls each(const Operation&, std::string_view ns) for every operation, with the namespace for which it counts.
    template <class Each>
    void add(const EntryView& entry, Each each) {
        entry.with_place([&] { count(entry, each); });
    }

    /// The span of all entries.
    const Range& range() const noexcept { return range_; }
    /// All operations. An applyOps counts as the operations in it.
    const OperationCounts& total() const noexcept { return total_; }
    /// The operations of each namespace. A command counts for the collection that it names.
    const std::map<std::string, OperationCounts, std::less<>>& namespaces() const noexcept { return namespaces_; }
    /// How often each command occurs.
    const std::map<std::string, std::uint64_t, std::less<>>& commands() const noexcept { return commands_; }
    /// The operations over time.
    const Timeline& timeline() const noexcept { return timeline_; }
    /// The largest entries, the largest first.
    std::vector<LargeEntry> largest() const {
        std::vector<LargeEntry> sorted = large_;
        std::sort_heap(sorted.begin(), sorted.end(), larger);
        return sorted;
    }
    /// The transactions that are open or began before the first entry.
    const TransactionTracker& transactions() const noexcept { return transactions_; }
    /// How many transactions committed.
    std::uint64_t committed() const noexcept { return committed_; }
    /// How many transactions aborted.
    std::uint64_t aborted() const noexcept { return aborted_; }

  private:
    template <class Each>
    void count(const EntryView& entry, Each& each) {
        range_.add(entry);
        std::uint64_t operations = 0;
        const Operation whole(entry);
        const auto visit = [&](const Operation& operation) {
            ++operations;
            total_.add(operation);
            counts_of(operation).add(operation);
            each(operation, last_ns_);
        };
        if (whole.is_apply_ops())
            for_each_operation(entry, visit);
        else
            visit(whole);
        timeline_.add(entry.ts().seconds, operations, entry.size());
        if (whole.is_command()) { // only commands take part in transactions
            const auto step = transactions_.add(entry);
            if (step.info.commits()) ++committed_;
            if (step.info.role == TransactionRole::abort) ++aborted_;
        }
        if (large_.size() < most_large_ || (most_large_ > 0 && entry.size() > large_.front().bytes)) remember(entry, whole, operations);
    }

    OperationCounts& counts_of(const Operation& operation) {
        if (!operation.is_command()) {
            if (!last_ || operation.ns != last_ns_) select(operation.ns); // most operations are on the same namespace as the one before
            return *last_;
        }
        const Command command = parse_command(operation);
        if (const auto found = commands_.find(command.name); found != commands_.end())
            ++found->second;
        else
            commands_.emplace(command.name, 1);
        select(command.ns.empty() ? operation.ns : std::string_view(command.ns));
        return *last_;
    }
    void select(std::string_view ns) {
        auto found = namespaces_.find(ns);
        if (found == namespaces_.end()) found = namespaces_.emplace(ns, OperationCounts{}).first;
        last_ns_ = found->first;
        last_ = &found->second;
    }

    static bool larger(const LargeEntry& a, const LargeEntry& b) { return a.bytes != b.bytes ? a.bytes > b.bytes : a.ts < b.ts; }
    void remember(const EntryView& entry, const Operation& whole, std::uint64_t operations) {
        if (large_.size() == most_large_) {
            std::pop_heap(large_.begin(), large_.end(), larger);
            large_.pop_back();
        }
        large_.push_back({entry.size(), entry.ts(), std::string(whole.op), std::string(whole.ns), operations,
                          entry.where() ? std::optional(*entry.where()) : std::nullopt});
        std::push_heap(large_.begin(), large_.end(), larger);
    }

    Range range_;
    OperationCounts total_;
    std::map<std::string, OperationCounts, std::less<>> namespaces_;
    std::map<std::string, std::uint64_t, std::less<>> commands_;
    Timeline timeline_;
    std::size_t most_large_;
    std::vector<LargeEntry> large_; ///< A heap with the smallest entry in front.
    TransactionTracker transactions_;
    std::uint64_t committed_ = 0;
    std::uint64_t aborted_ = 0;
    OperationCounts* last_ = nullptr; ///< The counts for the namespace of the last operation.
    std::string_view last_ns_;
};

} // namespace oplog

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

/// Operations by kind, and their bytes.
struct OperationCounts {
    std::uint64_t inserts = 0;
    std::uint64_t updates = 0;
    std::uint64_t deletes = 0;
    std::uint64_t commands = 0;
    std::uint64_t noops = 0;
    std::uint64_t others = 0; ///< what else a server has come up with
    std::uint64_t bytes = 0;  ///< of the entries or, inside applyOps, of the operations alone

    std::uint64_t operations() const noexcept { return inserts + updates + deletes + commands + noops + others; }

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

/// Operations over time, in a bounded number of periods: they become longer as there are more of them.
class Timeline {
  public:
    struct Period {
        std::uint64_t operations = 0;
        std::uint64_t bytes = 0;
    };

    void add(std::uint32_t second, std::uint64_t operations, std::uint64_t bytes) {
        const std::uint32_t start = second - second % length();
        // Most entries fall into the latest period.
        Period& period = !periods_.empty() && periods_.rbegin()->first == start ? periods_.rbegin()->second : periods_[start];
        period.operations += operations;
        period.bytes += bytes;
        while (periods_.size() > max_periods) coarsen();
    }

    /// Of each period, in seconds.
    std::uint32_t length() const noexcept { return lengths[level_]; }
    /// By the second they begin at; periods without operations are left out.
    const std::map<std::uint32_t, Period>& periods() const noexcept { return periods_; }

    /// The same in no more than so many periods from the first to the last, empty ones counted.
    Timeline coarsened(std::size_t most) const {
        Timeline result = *this;
        while (!result.periods_.empty() && result.level_ + 1 < std::size(lengths) &&
               (std::size_t{result.periods_.rbegin()->first} - result.periods_.begin()->first) / result.length() + 1 > most)
            result.coarsen();
        return result;
    }

  private:
    static constexpr std::size_t max_periods = 512;
    // From a second to 52 weeks; each divides the next.
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
    std::uint64_t operations = 0; ///< in it
    std::optional<Position> where;
};

/// What is in a stretch of oplog, in any order. Memory: a record for each namespace and open transaction, and a constant.
class Stats {
  public:
    /// `largest`: how many of the largest entries to remember.
    explicit Stats(std::size_t largest = 10) : most_large_(largest) {}
    Stats(Stats&&) = default; // no copy: it points into itself
    Stats& operator=(Stats&&) = default;

    /// Takes in the next entry. Throws DataError for one that is malformed.
    void add(const EntryView& entry) {
        entry.with_place([&] { count(entry); });
    }

    const Range& range() const noexcept { return range_; }
    /// All operations, those inside applyOps and not the applyOps.
    const OperationCounts& total() const noexcept { return total_; }
    /// The same a namespace; a command's is the collection that it names.
    const std::map<std::string, OperationCounts, std::less<>>& namespaces() const noexcept { return namespaces_; }
    /// How often each command occurs.
    const std::map<std::string, std::uint64_t, std::less<>>& commands() const noexcept { return commands_; }
    const Timeline& timeline() const noexcept { return timeline_; }
    /// The largest first.
    std::vector<LargeEntry> largest() const {
        std::vector<LargeEntry> sorted = large_;
        std::sort_heap(sorted.begin(), sorted.end(), larger);
        return sorted;
    }
    const TransactionTracker& transactions() const noexcept { return transactions_; }
    std::uint64_t committed() const noexcept { return committed_; }
    std::uint64_t aborted() const noexcept { return aborted_; }

  private:
    void count(const EntryView& entry) {
        range_.add(entry);
        std::uint64_t operations = 0;
        const Operation whole(entry);
        const auto visit = [&](const Operation& operation) {
            ++operations;
            total_.add(operation);
            counts_of(operation).add(operation);
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
            if (!last_ || operation.ns != last_ns_) select(operation.ns); // most operations are on the namespace of the one before
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
    std::vector<LargeEntry> large_; ///< a heap, the smallest in front
    TransactionTracker transactions_;
    std::uint64_t committed_ = 0;
    std::uint64_t aborted_ = 0;
    OperationCounts* last_ = nullptr; ///< the last operation's
    std::string_view last_ns_;
};

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/json.hpp>
#include <oplog/entry/operation.hpp>
#include <oplog/entry/transaction.hpp>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace oplog::inline v0_1 {

/// How transactions over several shards ended. Each shard prepares its part, and the commit entries follow one after the
/// other: at a moment between them the transaction counts on all shards or on none, by its commit timestamp.
///
/// Fed all entries of all members, in any order, it remembers how the transactions that it was asked about ended. Memory:
/// a record for each of those.
class Decisions {
  public:
    /// `wanted` are the transactions whose ends are of interest.
    explicit Decisions(const std::set<TransactionId>& wanted) {
        for (const TransactionId& id : wanted) known_[id];
    }

    /// Takes in an entry of any member. Throws DataError, with the entry's place, for one that contradicts another.
    void add(const EntryView& entry) {
        if (known_.empty()) return;
        entry.with_place([&] {
            if (!entry.is_command()) {
                if (entry.ns() == "config.transaction_coordinators") add_coordinator(Operation(entry).o);
                return;
            }
            const TransactionInfo info = transaction_info(entry);
            if (info.role != TransactionRole::commit && info.role != TransactionRole::abort) return;
            const auto known = known_.find(info.id());
            if (known == known_.end()) return;
            if (info.role == TransactionRole::abort)
                known->second.aborted = true;
            else if (const auto ts = entry.o().find("commitTimestamp"))
                commit(*known, ts->timestamp());
        });
    }
    /// Takes in a document of config.transaction_coordinators: out of a dump, or what an entry made it.
    void add_coordinator(const bson::Document& document) {
        const auto id = document.field("_id"), decision = document.field("decision");
        if (!decision || !id || !id->is(bson::Type::document)) return; // not decided yet, or its removal
        const auto lsid = id->document().field("lsid"), number = id->document().field("txnNumber");
        if (!lsid || !number) return;
        const auto known = known_.find({std::string(lsid->document().bytes()), number->integer()});
        if (known == known_.end()) return;
        const auto what = decision->document().field("decision"), ts = decision->document().field("commitTimestamp");
        const std::string_view kind = what && what->is(bson::Type::string) ? what->string() : std::string_view{};
        if (kind == "abort")
            known->second.aborted = true;
        else if (kind == "commit" && ts)
            commit(*known, ts->timestamp());
        else
            throw DataError(Fault::bad_value, "an unknown decision of a transaction: " + to_json(decision->document()));
    }

    /// Takes in what another reading has found. Throws DataError for contradictions.
    void add(const Decisions& other) {
        for (const auto& [id, found] : other.known_) {
            const auto known = known_.find(id);
            if (known == known_.end()) continue;
            known->second.aborted |= found.aborted;
            if (found.committed) commit(*known, *found.committed);
        }
    }

    enum class End { unknown, aborted, committed };
    struct Decision {
        End end = End::unknown;
        Timestamp commit_timestamp{}; ///< Of a committed one.
    };
    /// Throws DataError for a transaction that one shard committed and another aborted.
    Decision of(const TransactionId& id) const {
        const auto found = known_.find(id);
        if (found == known_.end()) return {};
        const auto& [committed, aborted] = found->second;
        if (committed && aborted)
            throw DataError(Fault::inconsistent, "transaction " + to_string(id) + " was committed on one member and aborted on another");
        if (committed) return {End::committed, *committed};
        return {aborted ? End::aborted : End::unknown};
    }

  private:
    struct Known {
        std::optional<Timestamp> committed;
        bool aborted = false;
    };
    using Entry = std::pair<const TransactionId, Known>;

    static void commit(Entry& known, Timestamp ts) {
        auto& committed = known.second.committed;
        if (committed && *committed != ts)
            throw DataError(Fault::inconsistent, "transaction " + to_string(known.first) + " commits at " + to_string(ts) +
                                                     " here, and at " + to_string(*committed) + " elsewhere");
        committed = ts;
    }

    std::map<TransactionId, Known> known_;
};

} // namespace oplog

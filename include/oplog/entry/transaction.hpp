// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/hex.hpp>
#include <oplog/entry/entry.hpp>

#include <compare>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// Identifies a transaction: the lsid of its session (the bytes of that document) and its number in the session.
struct TransactionId {
    std::string lsid; ///< The bytes of the document.
    std::int64_t number = 0;

    friend bool operator==(const TransactionId&, const TransactionId&) = default;
    friend bool operator<(const TransactionId& a, const TransactionId& b) {
        return std::tie(a.lsid, a.number) < std::tie(b.lsid, b.number);
    }
};

/// "3f2a90c1/7": the first bytes of the session's UUID and the number, for people to read.
inline std::string to_string(const TransactionId& id) {
    std::string text;
    try {
        const auto uuid = bson::Document(id.lsid).find("id");
        if (uuid) text = bson::to_hex(uuid->binary_data().substr(0, 4));
    } catch (const DataError&) { // there is no UUID to show
    }
    return (text.empty() ? "?" : text) + "/" + std::to_string(id.number);
}

/// The role of an entry in a transaction.
enum class TransactionRole {
    /// No role. This includes retryable writes, also those packed into an applyOps (any multiOpType but 0), and
    /// applyOps run by a user.
    none,
    whole,   ///< A whole transaction, applied and committed at once.
    part,    ///< The beginning or middle of a chain; more entries follow.
    last,    ///< The end of an unprepared chain, which it commits.
    prepare, ///< The end of a prepared chain, which may be a single entry. A commit or abort decides it.
    commit,  ///< Commits a prepared transaction.
    abort,   ///< Aborts a prepared transaction, or a chain that a failover interrupted.
};

/// The role of an entry in a transaction. A view, valid as long as the entry's bytes.
struct TransactionInfo {
    TransactionRole role = TransactionRole::none;
    std::string_view lsid; ///< The bytes of the lsid document; empty if there is no role.
    std::int64_t number = 0;
    Timestamp previous; ///< The ts of prevOpTime; 0:0 for the first entry of a chain.

    explicit operator bool() const noexcept { return role != TransactionRole::none; }
    /// An owning identification of the transaction.
    TransactionId id() const { return {std::string(lsid), number}; }
    /// Whether the entry carries operations of the transaction.
    bool has_operations() const noexcept { return *this && role != TransactionRole::commit && role != TransactionRole::abort; }
    /// Whether the entry decides the transaction.
    bool ends() const noexcept {
        return role == TransactionRole::whole || role == TransactionRole::last || role == TransactionRole::commit ||
               role == TransactionRole::abort;
    }
    /// Whether the transaction's operations take effect here: those of all earlier entries with the same id, and those
    /// of this entry.
    bool commits() const noexcept { return ends() && role != TransactionRole::abort; }
};

namespace detail {

/// The fields that servers write, and those that users may have sent to older servers.
inline bool is_apply_ops_field(std::string_view name) {
    for (const std::string_view known :
         {"applyOps", "partialTxn", "prepare", "count", "allowAtomic", "alwaysUpsert", "preCondition", "oplogApplicationMode",
          "writeConcern", "maxTimeMS", "comment", "lsid", "txnNumber", "bypassDocumentValidation"})
        if (name == known) return true;
    return name.starts_with('$');
}

inline TransactionInfo transaction_info(const EntryView& entry) {
    TransactionInfo info;
    std::optional<bson::Element> o, number;
    bool separate = false;
    for (const bson::Element& element : entry.document()) {
        const std::string_view key = element.key();
        if (key == "o") {
            o = element;
        } else if (key == "lsid") {
            info.lsid = element.document().bytes();
        } else if (key == "txnNumber") {
            number = element;
        } else if (key == "prevOpTime") {
            const auto ts = element.document().find("ts");
            if (ts) info.previous = ts->timestamp();
        } else if (key == "multiOpType") {
            separate = element.integer() != 0;
        }
    }
    if (!o) return {};
    if (number) info.number = number->integer();
    const bson::Document command = o->document();
    if (command.empty()) return {};
    const bool has_id = !info.lsid.empty() && number;
    if (command.begin()->key() == "applyOps")
        for (const bson::Element& field : command) {
            const std::string_view key = field.key();
            if ((key == "partialTxn" || key == "prepare") && field.truthy() && !has_id)
                throw DataError(Fault::missing_field, "a part of a transaction without its 'lsid' and 'txnNumber'");
            if (!is_apply_ops_field(key)) throw DataError(Fault::bad_value, "applyOps with the unknown field '" + std::string(key) + "'");
        }
    if (!has_id || separate) return {};
    const std::string_view name = command.begin()->key();
    if (name == "commitTransaction") {
        info.role = TransactionRole::commit;
    } else if (name == "abortTransaction") {
        info.role = TransactionRole::abort;
    } else if (name == "applyOps") {
        const auto flag = [&](std::string_view key) {
            const auto found = command.find(key);
            return found && found->truthy();
        };
        const bool first = info.previous == Timestamp::min();
        info.role = flag("partialTxn") ? TransactionRole::part
                    : flag("prepare")  ? TransactionRole::prepare
                    : first            ? TransactionRole::whole
                                       : TransactionRole::last;
    } else {
        return {};
    }
    return info;
}

} // namespace detail

/// Determines the role of an entry from its session fields and its command. Fails (see EntryView::fail()) for fields of
/// wrong types.
inline TransactionInfo transaction_info(const EntryView& entry) {
    if (!entry.is_command()) return {};
    return entry.with_place([&] { return detail::transaction_info(entry); });
}

/// A transaction of which at least one entry has been seen.
struct TransactionState {
    TransactionId id;
    Timestamp first;           ///< The ts of the first entry seen.
    Timestamp last;            ///< The ts of the last entry seen.
    std::uint64_t entries = 0; ///< How many entries were seen.
    std::uint64_t bytes = 0;   ///< The bytes of the entries seen.
    bool prepared = false;
    bool began_before = false; ///< Its first entries are missing because they are older than everything seen.
    bool broken = false;       ///< An entry in the middle is missing: a prevOpTime does not lead to the entry before.
};

/// What to add to a message about a transaction that is prepared and not decided.
constexpr std::string_view prepared_on_shard =
    "; it is prepared, as is done on shards of a cluster, and may count on other shards: oplog-gather decides it by the chains of all";

/// Follows transactions through entries in order. It tells which transactions are open, which began before the first
/// entry, and where the oplog can be cut without cutting a transaction. Takes memory for a record for each transaction
/// that is open or began before.
class TransactionTracker {
  public:
    using Open = std::map<TransactionId, TransactionState>;

    /// What one entry did.
    struct Step {
        TransactionInfo info;                   ///< A view of the entry.
        std::optional<TransactionState> closed; ///< The transaction that this entry decided, including this entry.
        std::vector<TransactionState> given_up; ///< Older undecided transactions of its session, which never commit now.
    };

    /// Takes the next entry. A session that begins a new transaction has abandoned its older undecided one.
    Step add(const EntryView& entry) {
        Step step{transaction_info(entry), std::nullopt, {}};
        if (step.info) follow(entry, step);
        if (open_.empty()) clean_cut_ = entry.ts();
        return step;
    }

    /// The transactions that are undecided after the entries so far.
    const Open& open() const noexcept { return open_; }
    /// The transactions that were already open at the first entry, in the order in which that became known and as they
    /// were then.
    const std::vector<TransactionState>& began_before() const noexcept { return began_before_; }
    /// The last entry after which no transaction was open; none if there was no such entry. It cannot take into account
    /// transactions that began before and have not been seen yet.
    std::optional<Timestamp> clean_cut() const noexcept { return clean_cut_; }
    /// The first entry of the oldest open transaction.
    std::optional<Timestamp> oldest_open() const {
        std::optional<Timestamp> oldest;
        for (const auto& [id, state] : open_)
            if (!oldest || state.first < *oldest) oldest = state.first;
        return oldest;
    }

  private:
    void follow(const EntryView& entry, Step& step) {
        const TransactionInfo& info = step.info;
        const bool begins = info.has_operations() && info.previous == Timestamp::min();
        if (begins) give_up_older(info, step);
        auto at = open_.find(info.id());
        if (at == open_.end()) {
            at = open_.emplace(info.id(), TransactionState{}).first;
            at->second.id = at->first;
            at->second.first = entry.ts();
            at->second.began_before = !begins;
        } else if (info.has_operations() && info.previous != at->second.last) {
            at->second.broken = true; // or the chain begins a second time
        }
        TransactionState& state = at->second;
        state.last = entry.ts();
        state.bytes += entry.size();
        state.prepared |= info.role == TransactionRole::prepare || info.role == TransactionRole::commit;
        if (state.entries++ == 0 && state.began_before) began_before_.push_back(state);
        if (!info.ends()) return;
        step.closed = std::move(state);
        open_.erase(at);
    }

    /// The server ends a session's transaction when a newer one begins, unless the old one is prepared.
    void give_up_older(const TransactionInfo& info, Step& step) {
        auto at = open_.lower_bound({std::string(info.lsid), std::numeric_limits<std::int64_t>::min()});
        while (at != open_.end() && at->first.lsid == info.lsid && at->first.number < info.number) {
            if (at->second.prepared) {
                ++at;
                continue;
            }
            step.given_up.push_back(std::move(at->second));
            at = open_.erase(at);
        }
    }

    Open open_;
    std::vector<TransactionState> began_before_;
    std::optional<Timestamp> clean_cut_;
};

} // namespace oplog

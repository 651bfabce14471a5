// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/update.hpp>
#include <oplog/bson/value.hpp>
#include <oplog/entry/operation.hpp>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

/// What a shard's oplog tells of drops and renames of collections that concern several shards: its documents in
/// config.system.sharding_ddl_coordinators, which are there for as long as the operation takes, and what was dropped.
///
/// Fed the shard's entries, first those up to the wanted time, then those after it: an operation whose document is only removed
/// there began before the chain, and how far it had come is not known. Memory: a record for each operation under way, and for
/// each collection that was dropped.
class Coordinators {
  public:
    static constexpr std::string_view ns = "config.system.sharding_ddl_coordinators";

    struct Operation {
        std::string type, ns;
        std::optional<bson::Value> document{}; ///< none if it is not known
        std::optional<Timestamp> began{};      ///< none if that was before the first entry
        std::optional<Timestamp> ended{};      ///< after the wanted time, as far as that is known
    };

    /// A document that the dump has. From the first on, it is taken to have all that there were.
    void add_dumped(const bson::Document& document) {
        if (const auto id = document.field("_id")) under_way_[std::string(id->value())] = {type_of(*id), ns_of(*id), bson::Value(document)};
    }
    /// Takes in an entry up to the wanted time.
    void add(const EntryView& entry) {
        if (!concerns(entry)) return;
        for_each_operation(entry, [&](const oplog::Operation& operation) {
            if (operation.is_command()) return follow(operation, entry.ts());
            if (operation.ns != ns) return;
            const auto id = operation.id();
            if (!id) return;
            const std::string key(id->value());
            if (operation.is_delete()) {
                under_way_.erase(key);
                return;
            }
            auto [at, is_new] = under_way_.try_emplace(key, Operation{type_of(*id), ns_of(*id)});
            Operation& known = at->second;
            if (operation.is_insert()) {
                known.began = entry.ts();
                known.document.emplace(operation.o);
            } else if (operation.o.field("_id")) {
                known.document.emplace(operation.o);
            } else if (known.document) {
                known.document.emplace(apply_update(known.document->view(), operation.o));
            }
        });
    }
    /// Takes in an entry after the wanted time.
    void look_ahead(const EntryView& entry) {
        if (!concerns(entry)) return;
        for_each_operation(entry, [&](const oplog::Operation& operation) {
            if (operation.ns != ns || operation.is_command()) return;
            const auto id = operation.id();
            if (!id) return;
            const std::string key(id->value());
            if (operation.is_insert()) later_.insert(key);
            if (operation.is_insert() || later_.contains(key)) return;
            auto [at, is_new] = under_way_.try_emplace(key, Operation{type_of(*id), ns_of(*id)});
            if (operation.is_delete()) {
                at->second.ended = entry.ts();
                later_.insert(key);
            }
        });
    }

    /// Those under way at the wanted time.
    std::vector<Operation> under_way() const {
        std::vector<Operation> operations;
        for (const auto& [key, operation] : under_way_) operations.push_back(operation);
        return operations;
    }
    /// Whether a collection with that UUID was dropped, or gave way to one that was renamed.
    bool dropped(std::string_view uuid) const { return dropped_.contains(uuid); }
    /// When something was last dropped of a database.
    std::optional<Timestamp> last_drop(std::string_view database) const {
        const auto found = last_drops_.find(database);
        return found == last_drops_.end() ? std::nullopt : std::optional(found->second);
    }

  private:
    static bool concerns(const EntryView& entry) { return entry.is_command() || entry.ns() == ns; }
    static std::string text(const bson::Element& id, std::string_view field) {
        const auto found = id.is(bson::Type::document) ? id.document().field(field) : std::nullopt;
        return found && found->is(bson::Type::string) ? std::string(found->string()) : std::string();
    }
    static std::string type_of(const bson::Element& id) { return text(id, "operationType"); }
    static std::string ns_of(const bson::Element& id) { return text(id, "namespace"); }

    void follow(const oplog::Operation& operation, Timestamp ts) {
        const std::string_view name = operation.command();
        if (name == "drop") {
            dropped_.emplace(operation.ui);
        } else if (name == "renameCollection") {
            const auto target = operation.o.find("dropTarget");
            if (target && target->is(bson::Type::binary)) dropped_.emplace(target->binary_data());
            return;
        } else if (name != "dropDatabase") {
            return;
        }
        last_drops_[std::string(operation.database())] = ts;
    }

    std::map<std::string, Operation> under_way_;
    std::set<std::string> later_; ///< those that began after the wanted time, or ended
    std::set<std::string, std::less<>> dropped_;
    std::map<std::string, Timestamp, std::less<>> last_drops_;
};

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <oplog/bson/builder.hpp>
#include <oplog/entry/id_sieve.hpp>

#include <doctest/doctest.h>
#include <limits>
#include <set>
#include <string>
#include <vector>

using namespace oplog;
using namespace oplog::test;

namespace {

/// {_id: VALUE} of every kind, many of them the same to a server.
std::vector<bson::Value> ids() {
    std::vector<bson::Value> ids;
    const auto add = [&](auto put) {
        bson::Builder out;
        put(out);
        ids.push_back(out.finish());
    };
    for (const std::int64_t number : {0l, 1l, -1l, 5l, 10l, 1000000l, -40l, 1l << 40, (1l << 53) + 1, std::numeric_limits<long>::max(),
                                      std::numeric_limits<long>::min()}) {
        if (number == static_cast<std::int32_t>(number))
            add([&](bson::Builder& out) { out.int32("_id", static_cast<std::int32_t>(number)); });
        add([&](bson::Builder& out) { out.int64("_id", number); });
        add([&](bson::Builder& out) { out.real("_id", static_cast<double>(number)); });
        if (number >= 0) add([&](bson::Builder& out) { out.decimal128("_id", {static_cast<std::uint64_t>(number), 0x3040000000000000}); });
    }
    for (const double number :
         {0.5, -0.0, 1e300, 1e-300, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
        add([&](bson::Builder& out) { out.real("_id", number); });
    for (const char* const text : {"", "a", "b", "longer than eight bytes", "longer than eight bytez", "longer, and as long, byt"}) {
        add([&](bson::Builder& out) { out.string("_id", text); });
        bson::Value symbol = bson::Builder().string("_id", text).finish();
        std::string bytes = symbol;
        bytes[4] = 0x0E;
        ids.emplace_back(std::move(bytes));
        add([&](bson::Builder& out) { out.binary("_id", 0, text); });
    }
    add([](bson::Builder& out) { out.object_id("_id", "0123456789ab"); });
    add([](bson::Builder& out) { out.object_id("_id", "0123456789ac"); });
    add([](bson::Builder& out) { out.begin_document("_id").int32("a", 1).int64("b", 2).end(); });
    add([](bson::Builder& out) { out.begin_document("_id").real("a", 1).int32("b", 2).end(); });
    add([](bson::Builder& out) { out.begin_document("_id").int32("b", 2).int32("a", 1).end(); });
    add([](bson::Builder& out) { out.null("_id"); });
    add([](bson::Builder& out) { out.boolean("_id", true); });
    add([](bson::Builder& out) { out.boolean("_id", false); });
    add([](bson::Builder& out) { out.date("_id", 5); });
    add([](bson::Builder& out) { out.timestamp("_id", {0, 5}); });
    return ids;
}

bson::Value change(const std::string& op, const bson::Value& id, const std::string& ns = "shop.a") {
    bson::Builder out;
    out.string("op", op).string("ns", ns).binary("ui", 4, "0123456789abcdef");
    if (op == "u")
        out.begin_document("o").int32("$v", 2).end().document("o2", id);
    else
        out.document("o", id);
    return out.timestamp("ts", {100, 1}).int64("t", 1).int64("v", 2).finish();
}

std::string one_key() {
    const bson::Value one = bson::Builder().int32("_id", 1).finish();
    return id_key(one.view());
}

bool passes(const IdSieve& sieve, const bson::Value& entry) { return sieve(EntryView(entry.view())); }

} // namespace

TEST_CASE("what a sieve lets pass are the changes of all documents but those with the ids") {
    const std::vector<bson::Value> all = ids();
    for (const bson::Value& wanted : all) {
        const std::set<std::string> keys{id_key(wanted.view())};
        const IdSieve sieve(keys);
        for (const bson::Value& id : all)
            for (const char* const op : {"i", "u", "d"}) CHECK(passes(sieve, change(op, id)) == (id_key(id.view()) != *keys.begin()));
    }
}

TEST_CASE("what makes collections, views or anything unusual does not pass a sieve") {
    const std::set<std::string> keys{one_key()};
    const IdSieve sieve(keys);
    const bson::Value other = bson::Builder().int32("_id", 2).finish();
    CHECK(passes(sieve, change("d", other)));
    CHECK(!passes(sieve, change("d", other, "shop.system.views")));
    CHECK(!passes(sieve, change("c", other)));
    CHECK(!passes(sieve, change("n", other)));
    CHECK(!passes(sieve, change("d", bson::Builder().int32("no", 2).finish())));
    // Without a UUID, in another order, and without a document.
    CHECK(!passes(
        sieve,
        bson::Builder().string("op", "i").string("ns", "shop.a").document("o", other).timestamp("ts", {1, 1}).int64("t", 1).finish()));
    CHECK(!passes(sieve, bson::Builder()
                             .timestamp("ts", {1, 1})
                             .string("op", "d")
                             .binary("ui", 4, "0123456789abcdef")
                             .document("o", other)
                             .string("ns", "shop.system.views")
                             .finish()));
    CHECK(!passes(sieve, bson::Builder()
                             .string("op", "u")
                             .string("ns", "shop.a")
                             .binary("ui", 4, "0123456789abcdef")
                             .document("o", other)
                             .timestamp("ts", {1, 1})
                             .int64("t", 1)
                             .finish()));
}

TEST_CASE("the whole number of a key is the one that made it") {
    const auto number = [](const bson::Value& id) { return whole_number(id_key(id.view())); };
    for (const std::int64_t each : {0l, 1l, -1l, 10l, -40l, std::numeric_limits<long>::max(), std::numeric_limits<long>::min()})
        CHECK(number(bson::Builder().int64("_id", each).finish()) == each);
    CHECK(number(bson::Builder().real("_id", 40).finish()) == 40);
    CHECK(!number(bson::Builder().real("_id", 0.5).finish()));
    CHECK(!number(bson::Builder().real("_id", 1e19).finish()));
    CHECK(!number(bson::Builder().string("_id", "40").finish()));
}

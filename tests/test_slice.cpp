// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

TEST_CASE("a slice has the entries within its bounds, bytes untouched") {
    const std::string bytes = entries({1, 2, 3, 4, 5});
    const auto sliced = [&](const Bounds& bounds) { return timestamps(slice(reader(bytes), bounds)); };
    CHECK(sliced({.from = Timestamp{100, 2}, .to = Timestamp{100, 4}}) == "100:2 100:3 100:4");
    CHECK(sliced({.after = Timestamp{100, 2}, .before = Timestamp{100, 4}}) == "100:3");
    CHECK(sliced({.to = Timestamp{100, 2}}) == "100:1 100:2");
    CHECK(sliced({.from = Timestamp{100, 5}}) == "100:5");
    CHECK(sliced({.after = Timestamp{100, 5}}) == "");
    CHECK(sliced({.before = Timestamp{100, 1}}) == "");
    CHECK(all_bytes(slice(reader(bytes), {})) == bytes);
    CHECK(all_bytes(slice(reader(bytes), {.from = Timestamp{100, 3}})) == entries({3, 4, 5}));
    CHECK(timestamps(slice(reader(""), {.from = Timestamp{100, 3}})) == "");
}

TEST_CASE("disorder is an error wherever it is, outside the bounds too") {
    const std::string place = "in: offset " + std::to_string(entries({1, 2}).size()) + ": document 3: ";
    const auto refused = [](const std::string& bytes, const Bounds& bounds) {
        return message_of<DataError>([&] { timestamps(slice(reader(bytes), bounds)); });
    };
    for (const Bounds& bounds : {Bounds{}, Bounds{.from = Timestamp{200, 0}}, Bounds{.before = Timestamp{100, 2}}}) {
        CHECK(refused(entries({2, 3, 1}), bounds) == place + "out of order: entry 100:1 after 100:3");
        CHECK(refused(entries({2, 3, 3}), bounds) == place + "entry 100:3 occurs twice in a row");
    }
}

TEST_CASE("a slice can be gone through again if what it is of can be") {
    const std::vector<Entry> in{Entry(entry({1, 1})), Entry(entry({2, 1})), Entry(entry({3, 1}))};
    auto again = slice(in, {.after = Timestamp{1, 1}});
    for (int times = 0; times < 3; ++times) CHECK(timestamps(again) == "2:1 3:1");
    const std::string bytes = entries({1, 2, 3});
    auto once = slice(reader(bytes), {.from = Timestamp{100, 2}});
    CHECK(timestamps(once) == "100:2 100:3");
    CHECK(message_of<Error>([&] { once.begin(); }).ends_with("read once: make another reader to read them again"));
    auto begun = slice(reader(bytes), {});
    static_cast<void>(*begun.begin());
    CHECK_THROWS_AS(begun.begin(), Error);
}

TEST_CASE("a slice is a range over what it was given, owned or not") {
    const std::vector<Entry> in{Entry(entry({1, 1})), Entry(entry({2, 1})), Entry(entry({3, 1}))};
    CHECK(timestamps(slice(in, {.after = Timestamp{1, 1}})) == "2:1 3:1");
    CHECK(timestamps(slice(slice(in, {.after = Timestamp{1, 1}}), {.before = Timestamp{3, 1}})) == "2:1");
    CHECK(range(slice(in, {.to = Timestamp{2, 1}})).entries == 2);
    static_assert(EntryRange<Slice<MemoryReader>>);
}

// clang before 16 cannot compile the adaptors of libstdc++.
#if !defined __clang__ || __clang_major__ >= 16
TEST_CASE("slices, merges, filters and readers compose as views") {
    const auto in_memory = [](const std::string& bytes) { return BasicReader<MemorySource>(MemorySource(bytes), "memory"); };
    const std::string some = entries({1, 2, 3, 4, 5}), more = entries({4, 5, 6});
    const auto ordinals = [](auto&& range) {
        std::string text;
        for (const EntryView& each : range) text += std::to_string(each.ts().ordinal);
        return text;
    };
    auto first = in_memory(some), second = in_memory(some);
    CHECK(ordinals(slice(first, {.after = Timestamp{100, 1}}) | std::views::take(2)) == "23");
    CHECK(ordinals(slice(in_memory(some), {.to = Timestamp{100, 3}}) | std::views::drop(1)) == "23");
    CHECK(ordinals(second | std::views::filter([](const EntryView& each) { return each.ts().ordinal % 2 == 1; })) == "135");
    std::vector<BasicReader<MemorySource>> readers;
    readers.push_back(in_memory(some));
    readers.push_back(in_memory(more));
    CHECK(ordinals(readers | std::views::join) == "12345456");
    readers.clear();
    readers.push_back(in_memory(more));
    readers.push_back(in_memory(some));
    CHECK(ordinals(merge(std::move(readers), Continuity::chain) | std::views::take(4)) == "1234");
    Selection selection;
    selection.include("shop.*");
    CHECK(ordinals(filter(slice(in_memory(some), {.from = Timestamp{100, 2}}), selection) | std::views::take(3)) == "234");
    Selection renaming;
    renaming.rename("shop.a", "shop.b");
    for (auto learned = in_memory(some); const EntryView& each : learned) renaming.learn(each);
    auto renamed_entries = filter(in_memory(some), renaming);
    for (const EntryView& each : renamed_entries) CHECK(each.ns() == "shop.b");
    auto third = in_memory(some);
    CHECK(third.begin()->ts() == Timestamp{100, 1});
    static_assert(std::ranges::view<decltype(slice(third, {}))>);
    static_assert(std::same_as<std::ranges::range_value_t<decltype(third)>, Entry>);
    static_assert(std::same_as<std::ranges::range_value_t<DocumentReader>, bson::Value>);
}
#endif

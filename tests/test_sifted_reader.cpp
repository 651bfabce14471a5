// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <oplog/stream/merge.hpp>
#include <oplog/stream/sifted_reader.hpp>

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

struct OddOrdinals {
    bool operator()(const EntryView& entry) const { return entry.ts().ordinal % 2 == 1; }
    bool operator()(const EntryView& entry, const oplog::detail::UsualFields&) const { return (*this)(entry); }
};

std::string binary(const std::string& content) { return little_endian(content.size(), 4) + '\0' + content; }

std::string one(std::uint32_t ordinal, const std::string& body) {
    return Bson()
        .string("op", "i")
        .string("ns", "shop.a")
        .document("o", Bson().raw(0x05, "b", body))
        .timestamp("ts", {100, ordinal})
        .bytes();
}
/// Entries of rising ts, up to `size` bytes.
std::string many(std::size_t size, const std::string& body) {
    std::string bytes;
    for (std::uint32_t i = 1; bytes.size() < size; ++i) bytes += one(i, body);
    return bytes;
}

/// The entries that a reader yields and that matter, or come at `all_from` or later, and what it complains of at the end.
template <class In>
std::string what_matters(In& in, Timestamp all_from, std::uint64_t* yielded = nullptr) {
    std::uint64_t digest = 0, wrong = 0;
    std::string complaint;
    try {
        for (const EntryView& entry : in) {
            const bool passes_by = OddOrdinals()(entry);
            if (yielded) {
                ++*yielded;
                wrong += entry.is_passed_by() != passes_by;
            }
            if (passes_by && entry.ts() < all_from) continue;
            digest = digest * 31 + std::hash<std::string_view>{}(entry.bytes()) + entry.where()->offset * 7 + entry.where()->document;
        }
    } catch (const DataError& error) {
        complaint = error.what();
    }
    return std::to_string(digest) + ' ' + std::to_string(wrong) + ' ' + complaint;
}

/// Returns how many entries a sifted reader yields that may pass over those before `horizon`.
std::uint64_t check_same(const std::string& bytes, Timestamp horizon = Timestamp::max()) {
    const TempDirectory directory;
    const std::string path = directory / "oplog.bson";
    write_file(path, bytes);
    const OddOrdinals sieve;
    std::uint64_t all = 0, some = 0;
    {
        Reader plain(path);
        SiftedReader sifted(Reader(path), path, sieve);
        CHECK(what_matters(sifted, {}, &all) == what_matters(plain, {}));
    }
    Reader plain(path);
    SiftedReader sifted(Reader(path), path, sieve);
    sifted.pass_over(horizon);
    CHECK(what_matters(sifted, horizon, &some) == what_matters(plain, horizon));
    CHECK(some <= all);
    return all - some;
}

} // namespace

TEST_CASE("a sifted reader yields what a reader does, and what the sieve said of each entry") {
    CHECK(check_same(many(1000, binary("x"))) == 0);
    const std::string long_one = many(40 << 20, binary(std::string(700, 'x')));
    CHECK(check_same(long_one) > 20'000);
    CHECK(check_same(long_one, {100, 40'000}) > 10'000);
    CHECK(check_same(long_one, {100, 40'000}) < 20'000);
}

TEST_CASE("entries that are out of order between the parts of a file are found") {
    const std::string half = many(21 << 20, binary(std::string(700, 'x')));
    check_same(half + half);
    check_same(half + one(1, binary("x")));
    check_same(one(9'000'000, binary("x")) + half);
}

TEST_CASE("entries inside of entries, and such as are longer than any part, lead a sifted reader nowhere else") {
    check_same(many(40 << 20, binary(many(100'000, binary("x")))));
    check_same(many(60 << 20, binary(std::string(9 << 20, '\0'))));
    const std::string little(400, 'x');
    std::string mixed = many(20 << 20, binary(little));
    mixed += one(9'000'000, binary(many(5 << 20, binary("y"))));
    for (std::uint32_t i = 9'000'001; mixed.size() < 45 << 20; ++i) mixed += one(i, binary(little));
    check_same(mixed);
}

TEST_CASE("what is wrong in a file a sifted reader says with the same words") {
    const std::string good = many(40 << 20, binary(std::string(700, 'x')));
    check_same(good.substr(0, good.size() - 1));
    check_same(good.substr(0, 30'000'000));
    std::string bad = good;
    bad.replace(30'000'000, 2000, 2000, '\xff');
    check_same(bad);
    bad = good.substr(0, good.size() / 2 / one(1, binary(std::string(700, 'x'))).size() * one(1, binary(std::string(700, 'x'))).size());
    check_same(bad + Bson().string("op", "i").bytes() + good);
}

TEST_CASE("sifted readers merge as others do") {
    const TempDirectory directory;
    const std::string whole = many(50 << 20, binary(std::string(700, 'x')));
    const std::size_t size = one(1, binary(std::string(700, 'x'))).size();
    write_file(directory / "a", whole.substr(0, 30'000 * size));
    write_file(directory / "b", whole.substr(29'999 * size));
    const OddOrdinals sieve;
    std::vector<SiftedReader<Reader, OddOrdinals>> slices;
    for (const char* const name : {"b", "a"}) slices.emplace_back(Reader(directory / name), directory / name, sieve);
    std::uint32_t next = 2, passed_by = 0;
    for (Merge entries(std::move(slices), Continuity::chain); const EntryView& entry : entries) {
        REQUIRE(entry.is_passed_by() == OddOrdinals()(entry));
        passed_by += entry.is_passed_by();
        if (entry.is_passed_by()) continue;
        REQUIRE(entry.ts() == Timestamp{100, next});
        next += 2;
    }
    CHECK(next == (whole.size() / size + 2) / 2 * 2);
    CHECK(passed_by < whole.size() / size / 4);
}

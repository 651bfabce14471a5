// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <map>
#include <numeric>
#include <oplog/bson/json.hpp>
#include <oplog/bson/json_parser.hpp>
#include <oplog/restore/document_comparison.hpp>
#include <random>

using namespace oplog;
using namespace oplog::test;

namespace {

class Documents {
  public:
    explicit Documents(const std::vector<std::string>& documents) : documents_(&documents) {}
    std::optional<std::string_view> next() {
        return next_ == documents_->size() ? std::nullopt : std::optional<std::string_view>((*documents_)[next_++]);
    }

  private:
    const std::vector<std::string>* documents_;
    std::size_t next_ = 0;
};

struct Result {
    DocumentCounts counts;
    std::vector<std::string> reports; ///< sorted: "BEFORE > AFTER" as JSON

    std::string text() const {
        std::string text = std::to_string(counts.added) + " added, " + std::to_string(counts.removed) + " removed, " +
                           std::to_string(counts.changed) + " changed, " + std::to_string(counts.same) + " the same" +
                           (counts.reordered ? ", reordered" : "");
        for (const std::string& report : reports) text += '\n' + report;
        return text;
    }
};

Result compare(const std::vector<std::string>& before, const std::vector<std::string>& after, std::size_t memory = 1 << 20,
               bool ordered = false) {
    const TempDirectory directory;
    Result result;
    DocumentComparison comparison(
        {.scratch = directory.path(), .memory = memory, .ordered = ordered}, [&](const bson::Document* a, const bson::Document* b) {
            result.reports.push_back((a ? to_json(*a, JsonMode::relaxed) : "") + " > " + (b ? to_json(*b, JsonMode::relaxed) : ""));
        });
    Documents a(before), b(after);
    result.counts = comparison.compare(a, b);
    std::ranges::sort(result.reports);
    return result;
}
Result compare_json(std::vector<std::string> before, std::vector<std::string> after, bool ordered = false) {
    for (auto* side : {&before, &after})
        for (std::string& document : *side) document = parse_json(document);
    return compare(before, after, 1 << 20, ordered);
}

std::string document(int id, int value) {
    return Bson().int32("_id", id).int32("v", value).string("pad", std::string(static_cast<std::size_t>(id % 90), 'x')).bytes();
}

} // namespace

TEST_CASE("documents belong together by their _ids, wherever they stand") {
    CHECK(compare_json({R"({"_id":1})", R"({"_id":2,"a":1})", R"({"_id":3})"}, {R"({"_id":4})", R"({"_id":3})", R"({"_id":2,"a":2})"})
              .text() ==
          R"(1 added, 1 removed, 1 changed, 1 the same
 > {"_id":4}
{"_id":1} > 
{"_id":2,"a":1} > {"_id":2,"a":2})");
    CHECK(compare_json({}, {}).text() == "0 added, 0 removed, 0 changed, 0 the same");
    CHECK(compare_json({}, {R"({"_id":1})"}).text() == "1 added, 0 removed, 0 changed, 0 the same\n > {\"_id\":1}");
    CHECK(compare_json({R"({"_id":1})"}, {}).text() == "0 added, 1 removed, 0 changed, 0 the same\n{\"_id\":1} > ");
}

TEST_CASE("an _id is what the server takes for the same, and a document its bytes") {
    CHECK(compare_json({R"({"_id":1})"}, {R"({"_id":{"$numberLong":"1"}})"}).counts.changed == 1);
    CHECK(compare_json({R"({"_id":{"$numberDouble":"-0.0"}})"}, {R"({"_id":0})"}).counts.changed == 1);
    CHECK(compare_json({R"({"_id":{"$numberDouble":"NaN"}})"}, {R"({"_id":{"$numberDecimal":"NaN"}})"}).counts.changed == 1);
    CHECK(compare_json({R"({"_id":{"a":1,"b":2}})"}, {R"({"_id":{"b":2,"a":1}})"}).counts.changed == 0);
    CHECK(compare_json({R"({"_id":1,"a":1,"b":1})"}, {R"({"_id":1,"b":1,"a":1})"}).counts.changed == 1);
    CHECK(compare_json({R"({"a":1})"}, {R"({"_id":null,"a":1})"}).counts.changed == 1); // none at all is null's
}

TEST_CASE("the order counts only where that is wanted, and among what both sides have") {
    const std::vector<std::string> abc{R"({"_id":1})", R"({"_id":2})", R"({"_id":3})"}, cab{R"({"_id":3})", R"({"_id":1})", R"({"_id":2})"};
    CHECK_FALSE(compare_json(abc, cab).counts.differ());
    CHECK(compare_json(abc, cab, true).text() == "0 added, 0 removed, 0 changed, 3 the same, reordered");
    CHECK_FALSE(compare_json(abc, abc, true).counts.differ());
    // What a full capped collection does: it loses at its front and gains at its end.
    CHECK(compare_json(abc, {R"({"_id":3})", R"({"_id":4})", R"({"_id":5})"}, true).text() ==
          "2 added, 2 removed, 0 changed, 1 the same\n > {\"_id\":4}\n > {\"_id\":5}\n{\"_id\":1} > \n{\"_id\":2} > ");
    CHECK(compare_json(abc, {R"({"_id":2})", R"({"_id":1,"a":1})"}, true).counts.reordered);
}

TEST_CASE("an _id that comes twice counts twice") {
    CHECK(compare_json({R"({"_id":1})", R"({"_id":1})"}, {R"({"_id":1})"}).text() ==
          "0 added, 1 removed, 0 changed, 1 the same\n{\"_id\":1} > ");
    CHECK(compare_json({R"({"_id":1})", R"({"_id":1})"}, {R"({"_id":1})", R"({"_id":1})"}).counts.same == 2);
}

TEST_CASE("an _id that comes many times, among others that wait on disk, is paired as often as both sides have it") {
    std::vector<std::string> before, after;
    for (int i = 0; i < 200; ++i) {
        before.push_back(document(i, 1));
        after.push_back(document(199 - i, 1));
        if (i % 2 == 0) before.push_back(document(7, i));
        if (i % 5 == 0) after.push_back(document(7, i + 1000));
    }
    for (const std::size_t memory : {std::size_t{1} << 20, std::size_t{6000}, std::size_t{600}}) {
        const DocumentCounts counts = compare(before, after, memory).counts;
        CHECK(counts.added == 0);
        CHECK(counts.removed == 60); // 101 and 41 of that _id
        CHECK(counts.changed + counts.same == 240);
        CHECK(counts.changed >= 40);
    }
}

TEST_CASE("whatever the order and however little memory there is, the differences are the same") {
    std::mt19937 random(15); // NOLINT(cert-msc51-cpp): failures must come again
    for (int round = 0; round < 30; ++round) {
        CAPTURE(round);
        const int size = static_cast<int>(random() % 400);
        std::map<int, std::string> older, newer;
        for (int id = 0; id < size; ++id) {
            const auto fate = random() % 10;
            if (fate != 0) older[id] = document(id, 0);
            if (fate != 1) newer[id] = document(id, fate == 2 ? 1 : 0);
        }
        Result expected;
        const auto shown = [](const std::string* bytes) { return bytes ? to_json(bson::Document(*bytes), JsonMode::relaxed) : ""; };
        for (int id = 0; id < size; ++id) {
            const auto a = older.find(id), b = newer.find(id);
            const std::string* const before = a == older.end() ? nullptr : &a->second;
            const std::string* const after = b == newer.end() ? nullptr : &b->second;
            if (before && after && *before == *after) {
                ++expected.counts.same;
                continue;
            }
            if (!before && !after) continue;
            ++(!before ? expected.counts.added : !after ? expected.counts.removed : expected.counts.changed);
            expected.reports.push_back(shown(before) + " > " + shown(after));
        }
        std::ranges::sort(expected.reports);
        std::vector<std::string> before, after;
        for (const auto& [id, bytes] : older) before.push_back(bytes);
        for (const auto& [id, bytes] : newer) after.push_back(bytes);
        const bool in_order = round % 3 == 0;
        if (!in_order) {
            std::ranges::shuffle(before, random);
            std::ranges::shuffle(after, random);
        }
        for (const std::size_t memory : {std::size_t{1} << 20, std::size_t{3000}, std::size_t{600}}) {
            Result got = compare(before, after, memory);
            CHECK(got.text() == expected.text());
            got = compare(before, after, memory, true);
            std::map<std::string_view, std::size_t> places; // of the _ids on the other side
            const auto key = [](const std::string& bytes) { return std::string_view(bytes).substr(4, 9); };
            for (std::size_t i = 0; i < after.size(); ++i) places[key(after[i])] = i;
            std::vector<std::size_t> common;
            for (const std::string& bytes : before)
                if (const auto found = places.find(key(bytes)); found != places.end()) common.push_back(found->second);
            CHECK(got.counts.reordered == !std::ranges::is_sorted(common));
        }
    }
}

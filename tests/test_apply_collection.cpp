// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <map>
#include <oplog/apply_collection.hpp>
#include <oplog/json.hpp>
#include <oplog/json_parser.hpp>
#include <random>
#include <set>

using namespace oplog;
using namespace oplog::test;

namespace {

/// A collection's documents and changes, all as JSON. A change begins with its kind: "i", "u" (o2, o) or "d".
struct Case {
    std::vector<std::string> documents;
    std::vector<std::vector<std::string>> changes;
    DocumentOrder order = DocumentOrder::any;
    unsigned hash_bits = 64;

    std::string result() const {
        const TempDirectory directory;
        ChangeLog log(directory.path(), hash_bits);
        ChangeList list;
        for (const auto& change : changes) {
            const std::string first = parse_json(change[1]), second = change.size() > 2 ? parse_json(change[2]) : "";
            const auto kind = change[0] == "i" ? ChangeKind::insertion : change[0] == "u" ? ChangeKind::update : ChangeKind::removal;
            log.append(list, kind, bson::Document(first), second.empty() ? bson::Document() : bson::Document(second));
        }
        log.seal();
        std::string text;
        const auto write = [&](std::string_view bytes) { text += (text.empty() ? "" : " ") + to_json(bson::Document(bytes), JsonMode::relaxed); };
        CollectionChanges collection(log, list, order);
        for (const std::string& document : documents) {
            const std::string bytes = parse_json(document);
            collection.apply(bson::Document(bytes), write);
        }
        collection.finish(write);
        return text;
    }
};

} // namespace

TEST_CASE("changes are applied to their documents, and what is inserted comes last") {
    CHECK(Case{{R"({"_id":1})", R"({"_id":2})", R"({"_id":3})"},
               {{"i", R"({"_id":9})"}, {"u", R"({"_id":2})", R"({"$v":2,"diff":{"i":{"a":1}}})"}, {"d", R"({"_id":3})"}, {"i", R"({"_id":4})"}}}
              .result() == R"({"_id":1} {"_id":2,"a":1} {"_id":9} {"_id":4})");
}

TEST_CASE("what the dump has seen already changes nothing") {
    CHECK(Case{{R"({"_id":1,"a":2})"}, {{"i", R"({"_id":1})"}, {"u", R"({"_id":1})", R"({"_id":1,"a":1})"}, {"u", R"({"_id":1})", R"({"$v":2,"diff":{"u":{"a":2}}})"}}}.result() ==
          R"({"_id":1,"a":2})");
    CHECK(Case{{R"({"_id":2})"}, {{"d", R"({"_id":1})"}, {"u", R"({"_id":3})", R"({"_id":3,"a":1})"}}}.result() == R"({"_id":2})");
}

TEST_CASE("a document that was removed and came again stands where it came again, and once") {
    CHECK(Case{{R"({"_id":1})", R"({"_id":2})", R"({"_id":1,"a":1})"}, {{"d", R"({"_id":1})"}, {"i", R"({"_id":3})"}, {"i", R"({"_id":1,"a":1})"}}}.result() ==
          R"({"_id":2} {"_id":3} {"_id":1,"a":1})");
    CHECK(Case{{R"({"_id":1})"}, {{"i", R"({"_id":1})"}, {"d", R"({"_id":1})"}}}.result().empty());
}

TEST_CASE("a capped collection keeps the order of insertions, the fuzzy dump's too") {
    const std::vector<std::vector<std::string>> changes{{"i", R"({"_id":3})"}, {"i", R"({"_id":4})"}, {"d", R"({"_id":1})"}};
    CHECK(Case{{R"({"_id":1})", R"({"_id":2})", R"({"_id":4})"}, changes, DocumentOrder::insertion}.result() == R"({"_id":2} {"_id":3} {"_id":4})");
    CHECK(Case{{R"({"_id":1})", R"({"_id":2})", R"({"_id":4})"}, changes, DocumentOrder::any}.result() == R"({"_id":2} {"_id":4} {"_id":3})");
}

TEST_CASE("numbers of other types name the same document") {
    CHECK(Case{{R"({"_id":1})"}, {{"u", R"({"_id":{"$numberDouble":"1.0"}})", R"({"$v":2,"diff":{"i":{"a":1}}})"}}}.result() == R"({"_id":1,"a":1})");
    CHECK(Case{{R"({"_id":{"a":1,"b":2}})"}, {{"d", R"({"_id":{"b":2,"a":1}})"}}}.result() == R"({"_id":{"a":1,"b":2}})");
}

TEST_CASE("random changes give what a map gives, also when hashes collide") {
    std::mt19937 random(20261122);
    const auto below = [&](unsigned limit) { return static_cast<int>(random() % limit); };
    const auto document = [](int id, int value) { return R"({"_id":)" + std::to_string(id) + R"(,"n":)" + std::to_string(value) + "}"; };
    for (int round = 0; round < 60; ++round) {
        Case test{{}, {}, DocumentOrder::any, round % 2 == 0 ? 64u : 3u};
        std::map<int, std::string> expected;
        const auto ids = static_cast<unsigned>(1 + below(40));
        for (int id = 0; id < static_cast<int>(ids); ++id)
            if (below(2) == 0) test.documents.push_back(expected[id] = document(id, -1));
        for (int i = below(120); i > 0; --i) {
            const int id = below(ids);
            const std::string key = R"({"_id":)" + std::to_string(id) + "}";
            switch (below(4)) {
            case 0:
                test.changes.push_back({"i", document(id, i)});
                expected[id] = document(id, i);
                break;
            case 1:
                test.changes.push_back({"d", key});
                expected.erase(id);
                break;
            default:
                test.changes.push_back({"u", key, R"({"$v":2,"diff":{"u":{"n":)" + std::to_string(i) + "}}}"});
                if (expected.contains(id)) expected[id] = document(id, i);
            }
        }
        std::multiset<std::string> wanted, got;
        for (const auto& [id, bytes] : expected) wanted.insert(bytes);
        std::string result = test.result();
        for (std::size_t space = 0; !result.empty(); result.erase(0, space == std::string::npos ? space : space + 1)) {
            space = result.find(' ');
            got.insert(result.substr(0, space));
        }
        CHECK(got == wanted);
    }
}

// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <map>
#include <oplog/bson/json.hpp>
#include <oplog/bson/json_parser.hpp>
#include <oplog/restore/apply_collection.hpp>
#include <random>
#include <set>
#include <sstream>

using namespace oplog;
using namespace oplog::test;

namespace {

/// A collection's documents and changes, all as JSON. A change begins with its kind: "i", "u" (o2, o), "upsert" (o2, o) or "d".
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
            const auto kind = change[0] == "i"        ? ChangeKind::insertion
                              : change[0] == "u"      ? ChangeKind::update
                              : change[0] == "upsert" ? ChangeKind::upsert
                                                      : ChangeKind::removal;
            log.append(list, kind, bson::Document(first), second.empty() ? bson::Document() : bson::Document(second));
        }
        log.seal();
        std::string text;
        const auto write = [&](std::string_view bytes) {
            text += (text.empty() ? "" : " ") + to_json(bson::Document(bytes), JsonMode::relaxed);
        };
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
               {{"i", R"({"_id":9})"},
                {"u", R"({"_id":2})", R"({"$v":2,"diff":{"i":{"a":1}}})"},
                {"d", R"({"_id":3})"},
                {"i", R"({"_id":4})"}}}
              .result() == R"({"_id":1} {"_id":2,"a":1} {"_id":9} {"_id":4})");
}

TEST_CASE("a collection's changes can be applied once more, those whose hashes collide too") {
    const TempDirectory directory;
    ChangeLog log(directory.path(), 1);
    ChangeList list;
    for (int id = 0; id < 9; ++id) log.append(list, ChangeKind::insertion, of_bytes(Bson().int32("_id", id).bytes()), {});
    log.seal();
    for (int round = 0; round < 2; ++round) {
        std::size_t count = 0;
        CollectionChanges(log, list).finish([&](std::string_view) { ++count; });
        CHECK(count == 9);
    }
}

TEST_CASE("what the dump has seen already changes nothing") {
    CHECK(
        Case{
            {R"({"_id":1,"a":2})"},
            {{"i", R"({"_id":1})"}, {"u", R"({"_id":1})", R"({"_id":1,"a":1})"}, {"u", R"({"_id":1})", R"({"$v":2,"diff":{"u":{"a":2}}})"}}}
            .result() == R"({"_id":1,"a":2})");
    CHECK(Case{{R"({"_id":2})"}, {{"d", R"({"_id":1})"}, {"u", R"({"_id":3})", R"({"_id":3,"a":1})"}}}.result() == R"({"_id":2})");
}

TEST_CASE("a document that was removed and came again stands where it came again, and once") {
    CHECK(Case{{R"({"_id":1})", R"({"_id":2})", R"({"_id":1,"a":1})"},
               {{"d", R"({"_id":1})"}, {"i", R"({"_id":3})"}, {"i", R"({"_id":1,"a":1})"}}}
              .result() == R"({"_id":2} {"_id":3} {"_id":1,"a":1})");
    CHECK(Case{{R"({"_id":1})"}, {{"i", R"({"_id":1})"}, {"d", R"({"_id":1})"}}}.result().empty());
}

TEST_CASE("a capped collection keeps the order of insertions, the fuzzy dump's too") {
    const std::vector<std::vector<std::string>> changes{{"i", R"({"_id":3})"}, {"i", R"({"_id":4})"}, {"d", R"({"_id":1})"}};
    CHECK(Case{{R"({"_id":1})", R"({"_id":2})", R"({"_id":4})"}, changes, DocumentOrder::insertion}.result() ==
          R"({"_id":2} {"_id":3} {"_id":4})");
    CHECK(Case{{R"({"_id":1})", R"({"_id":2})", R"({"_id":4})"}, changes, DocumentOrder::any}.result() ==
          R"({"_id":2} {"_id":4} {"_id":3})");
}

TEST_CASE("what a capped collection gave up, and nobody logged that, stands where it came again") {
    const std::vector<std::vector<std::string>> changes{{"i", R"({"_id":3})"},
                                                        {"i", R"({"_id":1,"a":2})"},
                                                        {"u", R"({"_id":1})", R"({"$v":1,"$set":{"a":3}})"},
                                                        {"i", R"({"_id":4})"},
                                                        {"i", R"({"_id":3,"a":4})"}};
    const std::string right = R"({"_id":2} {"_id":1,"a":3} {"_id":4} {"_id":3,"a":4})";
    for (const std::vector<std::string>& dumped :
         std::vector<std::vector<std::string>>{{R"({"_id":1})", R"({"_id":2})"},
                                               {R"({"_id":1})", R"({"_id":2})", R"({"_id":3})"},
                                               {R"({"_id":2})", R"({"_id":3})", R"({"_id":1,"a":2})"},
                                               {R"({"_id":1})", R"({"_id":2})", R"({"_id":3})", R"({"_id":1,"a":3})"}})
        CHECK(Case{dumped, changes, DocumentOrder::insertion}.result() == right);
}

TEST_CASE("numbers of other types name the same document") {
    CHECK(Case{{R"({"_id":1})"}, {{"u", R"({"_id":{"$numberDouble":"1.0"}})", R"({"$v":2,"diff":{"i":{"a":1}}})"}}}.result() ==
          R"({"_id":1,"a":1})");
    CHECK(Case{{R"({"_id":{"a":1,"b":2}})"}, {{"d", R"({"_id":{"b":2,"a":1}})"}}}.result() == R"({"_id":{"a":1,"b":2}})");
}

TEST_CASE("an upsert updates the document that is there, and makes one where there is none") {
    const std::string key = R"({"_id":1})", set = R"({"$v":1,"$set":{"a":1}})", diff = R"({"$v":2,"diff":{"u":{"a":2},"i":{"b":3}}})";
    CHECK(Case{{R"({"_id":1,"z":0})"}, {{"upsert", key, set}}}.result() == R"({"_id":1,"z":0,"a":1})");
    CHECK(Case{{R"({"_id":2})"}, {{"upsert", key, set}, {"i", R"({"_id":3})"}}}.result() == R"({"_id":2} {"_id":1,"a":1} {"_id":3})");
    CHECK(Case{{}, {{"upsert", key, diff}}}.result() == R"({"_id":1,"a":2,"b":3})");
    CHECK(Case{{}, {{"upsert", R"({"k":7,"_id":1})", R"({"x":1,"_id":1})"}}}.result() == R"({"_id":1,"x":1})");
    CHECK(Case{{}, {{"u", key, set}, {"upsert", key, diff}, {"u", key, set}}}.result() == R"({"_id":1,"a":1,"b":3})");
    CHECK(Case{{}, {{"upsert", key, set}, {"d", key}}}.result().empty());
    CHECK(Case{{R"({"_id":1,"z":0})"}, {{"d", key}, {"u", key, diff}, {"upsert", key, set}}}.result() == R"({"_id":1,"a":1})");
    CHECK(Case{{}, {{"upsert", key, set}, {"i", R"({"_id":1,"c":1})"}}}.result() == R"({"_id":1,"c":1})");
    CHECK(Case{{}, {{"i", R"({"_id":1,"c":1})"}, {"upsert", key, set}}}.result() == R"({"_id":1,"c":1,"a":1})");
}

TEST_CASE("what an upsert made stands among what was inserted, where it was made") {
    const std::vector<std::vector<std::string>> changes{{"i", R"({"_id":3})"},
                                                        {"upsert", R"({"_id":4})", R"({"$set":{"a":1}})"},
                                                        {"upsert", R"({"_id":1})", R"({"$set":{"a":1}})"},
                                                        {"i", R"({"_id":5})"}};
    const std::string right = R"({"_id":1,"a":1} {"_id":2} {"_id":3} {"_id":4,"a":1} {"_id":5})";
    const std::vector<std::string> old{R"({"_id":1})", R"({"_id":2})", R"({"_id":3})", R"({"_id":4,"a":1})", R"({"_id":5})"};
    for (std::size_t seen = 2; seen <= old.size(); ++seen)
        CHECK(Case{{old.begin(), old.begin() + static_cast<std::ptrdiff_t>(seen)}, changes, DocumentOrder::insertion}.result() == right);
}

TEST_CASE("an update that cannot be applied to its document is refused by the document's name") {
    const Case test{{R"({"_id":1,"a":[]})"}, {{"u", R"({"_id":1})", R"({"$set":{"a.2000000":1}})"}}};
    CHECK(message_of<DataError>([&] { test.result(); }) ==
          R"(the document of {"_id":{"$numberInt":"1"}}: an update makes an array impossibly long)");
}

namespace {

std::vector<std::string> words(const std::string& text) {
    std::istringstream in(text);
    return {std::istream_iterator<std::string>(in), {}};
}

/// A collection as a server has it: its documents in the order of their insertions, each as JSON but for its `_id`.
struct Model {
    std::vector<std::pair<int, std::map<std::string, int>>> documents;

    auto find(int id) {
        return std::ranges::find(documents, id, [](const auto& each) { return each.first; });
    }
    std::map<std::string, int>& made(int id) {
        if (const auto found = find(id); found != documents.end()) return found->second;
        return documents.emplace_back(id, std::map<std::string, int>{}).second;
    }
    static std::string text(const std::pair<int, std::map<std::string, int>>& document) {
        std::string text = R"({"_id":)" + std::to_string(document.first);
        for (const auto& [name, value] : document.second) text += ",\"" + name + "\":" + std::to_string(value);
        return text + "}";
    }
};

} // namespace

TEST_CASE("whatever a dump has seen of insertions, updates, upserts and removals, it comes right") {
    std::mt19937 random(20261126);
    const auto below = [&](std::size_t limit) { return static_cast<int>(random() % limit); };
    for (int round = 0; round < 400; ++round) {
        const bool ordered = round % 2 == 0; // what is ordered is capped, and nothing is removed from it
        Case test{{}, {}, ordered ? DocumentOrder::insertion : DocumentOrder::any, round % 3 == 0 ? 3u : 64u};
        Model model;
        const int ids = 1 + below(12);
        for (int id = 0; id < ids; ++id)
            if (below(2) == 0) model.made(id) = {{"a", -1}};
        std::set<int> seen; // by the dump, which reads on while the collection changes
        const auto dump_next = [&] {
            const auto next = std::ranges::find_if(model.documents, [&](const auto& each) { return !seen.contains(each.first); });
            if (next == model.documents.end()) return false;
            test.documents.push_back(Model::text(*next));
            seen.insert(next->first);
            return true;
        };
        for (int i = below(40); i > 0; --i) {
            for (int reads = below(3); reads > 0; --reads) dump_next();
            const int id = below(static_cast<std::size_t>(ids));
            const std::string key = R"({"_id":)" + std::to_string(id) + "}", name(1, static_cast<char>('a' + below(3)));
            const bool exists = model.find(id) != model.documents.end();
            const std::string set = R"({"$v":1,"$set":{")" + name + "\":" + std::to_string(i) + "}}";
            switch (below(4)) {
            case 0:
                if (exists) break;
                model.made(id) = {{name, i}};
                test.changes.push_back({"i", Model::text(*model.find(id))});
                break;
            case 1:
                if (!exists || ordered) break;
                model.documents.erase(model.find(id));
                seen.erase(id); // if it comes again, the dump may see both
                test.changes.push_back({"d", key});
                break;
            case 2:
                model.made(id)[name] = i;
                test.changes.push_back({"upsert", key, set});
                break;
            default:
                if (!exists) break;
                model.made(id)[name] = i;
                test.changes.push_back({"u", key, set});
            }
        }
        while (dump_next()) {
        }
        Model result;
        for (const std::string& text : words(test.result())) {
            const std::string bytes = parse_json(text);
            const int id = static_cast<int>(bson::Document(bytes).find("_id")->integer());
            REQUIRE(result.find(id) == result.documents.end());
            for (const bson::Element& field : bson::Document(bytes))
                if (field.key() != "_id") result.made(id)[std::string(field.key())] = static_cast<int>(field.integer());
        }
        if (!ordered) std::ranges::sort(model.documents);
        if (!ordered) std::ranges::sort(result.documents);
        CHECK(result.documents == model.documents);
    }
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

// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <oplog/json_parser.hpp>

using namespace oplog;
using namespace oplog::test;

namespace {

std::string canonical(const std::string& json) {
    return to_json(bson::Document(parse_json(json)));
}
std::string error(const std::string& json) {
    return message_of<DataError>([&] { parse_json(json); });
}

} // namespace

TEST_CASE("what to_json writes comes back byte for byte") {
    int documents = 0;
    for (const auto& file : std::filesystem::recursive_directory_iterator(OPLOG_TEST_DATA)) {
        if (file.path().extension() != ".bson" || file.path().filename() == "types.bson") continue;
        DocumentReader in(file.path().string());
        for (const bson::Document& document : in) {
            CHECK(parse_json(to_json(document)) == document.bytes());
            ++documents;
        }
    }
    CHECK(documents > 1000);
}

TEST_CASE("every type comes back as the JSON that it was") {
    DocumentReader in(std::string(OPLOG_TEST_DATA) + "/types/types.bson"); // decimals and NaNs have several forms in bytes
    int documents = 0;
    for (const bson::Document& document : in) {
        const std::string json = to_json(document);
        CHECK(canonical(json) == json);
        ++documents;
    }
    CHECK(documents == 8);
}

TEST_CASE("plain JSON numbers become the smallest type that holds them, and dates may be relaxed") {
    CHECK(canonical(R"( { "a" : 1 , "b" : 2147483648, "c": -1.5, "d": 1e3, "e": 99999999999999999999 } )") ==
          R"({"a":{"$numberInt":"1"},"b":{"$numberLong":"2147483648"},"c":{"$numberDouble":"-1.5"},"d":{"$numberDouble":"1000.0"},"e":{"$numberDouble":"1E+20"}})");
    CHECK(canonical(R"({"d":{"$date":"2021-01-12T03:29:55.248Z"},"e":{"$date":"2021-01-12T04:29:55+01:00"},"f":{"$date":-1}})") ==
          R"({"d":{"$date":{"$numberLong":"1610422195248"}},"e":{"$date":{"$numberLong":"1610422195000"}},"f":{"$date":{"$numberLong":"-1"}}})");
}

TEST_CASE("escapes are understood") {
    CHECK(bson::Document(parse_json(R"({"\u0061":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"})")).begin()->string() == "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80");
    CHECK(bson::Document(parse_json(R"({"a":"\u0000"})")).begin()->string() == std::string_view("\0", 1));
}

TEST_CASE("names that stand for no type are fields like any other") {
    CHECK(canonical(R"({"a":{"$regex":"x","$options":"i"},"b":{"$ref":"c","$id":1},"c":{"$type":"string"},"d":{"$gt":{}},"e":{"$binary":"AA==","$type":"00"}})") ==
          R"({"a":{"$regex":"x","$options":"i"},"b":{"$ref":"c","$id":{"$numberInt":"1"}},"c":{"$type":"string"},"d":{"$gt":{}},"e":{"$binary":"AA==","$type":"00"}})");
}

TEST_CASE("what is no Extended JSON is an error with its place") {
    CHECK(error("") == "JSON: byte 0: '{' expected");
    CHECK(error("[]") == "JSON: byte 0: '{' expected");
    CHECK(error(R"({"a":1)") == "JSON: byte 6: '}' expected");
    CHECK(error(R"({"a":1} x)") == "JSON: byte 8: something follows the document");
    CHECK(error(R"({"a":nul})") == "JSON: byte 5: no JSON value");
    CHECK(error(R"({"a":"b)") == "JSON: byte 7: a string does not end");
    CHECK(error("{\"a\":\"\n\"}") == "JSON: byte 7: a control character in a string");
    CHECK(error("{\"a\":\"\xff\"}") == "JSON: byte 8: a string is not UTF-8");
    CHECK(error(R"({"a":"\ud800"})") == "JSON: byte 13: a string is not UTF-8");
    CHECK(error(R"({"a\u0000b":1})") == "JSON: byte 11: a field name holds a zero byte");
    CHECK(error(R"({"a":{"$oid":"12"}})") == "JSON: byte 17: an ObjectId is not 24 hexadecimal digits");
    CHECK(error(R"({"a":{"$numberInt":"2147483648"}})") == "JSON: byte 31: '2147483648' is not a number of its type");
    CHECK(error(R"({"a":{"$numberInt":"1","b":2}})") == "JSON: byte 22: more than its type in a $numberInt");
    CHECK(error(R"({"a":{"$timestamp":{"t":4294967296,"i":1}}})") == "JSON: byte 24: no number of its type");
    CHECK(error(R"({"a":{"$date":"yesterday"}})") == "JSON: byte 25: 'yesterday' is no date");
    CHECK(error(R"({"a":{"$binary":{"base64":"?","subType":"00"}}})") == "JSON: byte 29: binary data is not base64");
    std::string deep;
    for (int i = 0; i < 5000; ++i) deep += R"({"a":)";
    CHECK(error(deep).ends_with("nested too deeply"));
}

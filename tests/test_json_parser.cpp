// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <clocale>

#include <doctest/doctest.h>
#include <oplog/bson/json_parser.hpp>

using namespace oplog;
using namespace oplog::test;

namespace {

std::string canonical(const std::string& json) { return to_json(of_bytes(parse_json(json))); }
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
    CHECK(
        canonical(R"( { "a" : 1 , "b" : 2147483648, "c": -1.5, "d": 1e3, "e": 99999999999999999999 } )") ==
        R"({"a":{"$numberInt":"1"},"b":{"$numberLong":"2147483648"},"c":{"$numberDouble":"-1.5"},"d":{"$numberDouble":"1000.0"},"e":{"$numberDouble":"1E+20"}})");
    CHECK(
        canonical(R"({"d":{"$date":"2021-01-12T03:29:55.248Z"},"e":{"$date":"2021-01-12T04:29:55+01:00"},"f":{"$date":-1}})") ==
        R"({"d":{"$date":{"$numberLong":"1610422195248"}},"e":{"$date":{"$numberLong":"1610422195000"}},"f":{"$date":{"$numberLong":"-1"}}})");
}

TEST_CASE("numbers are JSON's, and those of a type hold nothing else") {
    const auto refused = [](const std::string& value) {
        INFO(value);
        CHECK(error(R"({"a":)" + value + "}").starts_with("JSON: byte "));
    };
    for (const char* number : {"01",   "-01",  "+1",    "1.",    ".5",  "-.5", "-",   "--1",      "1e",        "1e+",
                               "1.e5", "0x10", "1_000", "1e999", "inf", "nan", "NaN", "Infinity", "-Infinity", "1 2"})
        refused(number);
    for (const char* type : {"$numberInt", "$numberLong", "$numberDouble", "$numberDecimal"})
        for (const char* text : {"", " 1", "1 ", "1x", "0x10", "--1", "1\\u0000", "one", "1,5"})
            refused(std::string("{\"") + type + "\":\"" + text + "\"}");
    for (const char* type : {"$numberInt", "$numberLong"})
        for (const char* text : {"1.0", "1e3", "01", "+1", "9223372036854775808", "-9223372036854775809"})
            refused(std::string("{\"") + type + "\":\"" + text + "\"}");
    for (const char* text : {"inf", "-inf", "nan", "INF", "infinity", "+Infinity", "1e999"})
        refused(std::string(R"({"$numberDouble":")") + text + "\"}");
    for (const char* value : {R"({"$numberInt":1})",
                              R"({"$numberLong":1})",
                              R"({"$numberDouble":1.5})",
                              R"({"$numberDecimal":1})",
                              R"({"$timestamp":{"t":-1,"i":1}})",
                              R"({"$timestamp":{"t":1.5,"i":1}})",
                              R"({"$timestamp":{"t":01,"i":1}})",
                              R"({"$timestamp":{"t":1}})",
                              R"({"$timestamp":{"t":"1","i":1}})",
                              R"({"$timestamp":{"t":1,"i":1,"x":1}})",
                              R"({"$date":9223372036854775808})",
                              R"({"$date":1.5})",
                              R"({"$date":{"$numberLong":"x"}})",
                              R"({"$date":{"$numberLong":"9223372036854775808"}})",
                              R"({"$date":{"$numberLong":"1","x":1}})",
                              R"({"$minKey":2})",
                              R"({"$maxKey":01})",
                              R"({"$undefined":false})",
                              R"({"$oid":"0123456789abcdef0123456z"})",
                              R"({"$oid":"0123456789abcdef012345678"})",
                              R"({"$oid":"0x23456789abcdef01234567"})",
                              R"({"$binary":{"base64":"AAE","subType":"00"}})",
                              R"({"$binary":{"base64":"A===","subType":"00"}})",
                              R"({"$binary":{"base64":"AA==","subType":"100"}})",
                              R"({"$binary":{"base64":"AA==","subType":""}})",
                              R"({"$binary":{"base64":"AA==","subType":"0x"}})",
                              R"({"$binary":{"base64":"AA=="}})",
                              R"({"$uuid":"0123456789abcdef0123456789abcdef"})",
                              R"({"$uuid":"01234567-89ab-cdef-0123-456789abcdeg"})",
                              R"({"$uuid":"01234567--89ab-cdef-0123-456789abcde"})",
                              R"({"$regularExpression":{"pattern":"a"}})",
                              R"({"$regularExpression":{"pattern":"a\u0000","options":""}})",
                              R"({"$regularExpression":"a"})"})
        refused(value);
    CHECK(
        canonical(
            R"({"a":-0,"b":0.5,"c":1E+20,"d":-1e-2,"e":{"$uuid":"01234567-89AB-cdef-0123-456789abcdef"},"f":{"$numberDouble":"1E+20"}})") ==
        R"({"a":{"$numberInt":"0"},"b":{"$numberDouble":"0.5"},"c":{"$numberDouble":"1E+20"},"d":{"$numberDouble":"-0.01"},)"
        R"("e":{"$binary":{"base64":"ASNFZ4mrze8BI0VniavN7w==","subType":"04"}},"f":{"$numberDouble":"1E+20"}})");
}

TEST_CASE("dates are ISO 8601 of a day that there is, in every locale") {
    const auto date = [](const std::string& text) {
        const std::string json = canonical(R"({"d":{"$date":")" + text + "\"}}"); // {"d":{"$date":{"$numberLong":"0"}}}
        return std::stoll(json.substr(30));
    };
    for (const char* locale : {"C", "de_DE.UTF-8", "fr_FR.UTF-8"}) {
        std::setlocale(LC_ALL, locale);
        CHECK(date("2021-01-12T03:29:55.5Z") == 1610422195500);
        CHECK(canonical(R"({"a":1.5,"b":{"$numberDouble":"1.5"},"c":{"$numberDecimal":"1.5"}})") ==
              R"({"a":{"$numberDouble":"1.5"},"b":{"$numberDouble":"1.5"},"c":{"$numberDecimal":"1.5"}})");
    }
    std::setlocale(LC_ALL, "C");
    CHECK(date("1970-01-01T00:00:00Z") == 0);
    CHECK(date("1969-12-31T23:59:59.999Z") == -1);
    CHECK(date("2024-02-29T00:00:00.0019+0530") == 1709145000001);
    CHECK(date("9999-12-31T23:59:59.999-00:30") == 253402302599999);
    for (const char* text : {"2021-99-99T99:99:99Z",
                             "2021-01-12T03:29:nanZ",
                             "2021-01-12T03:29:infZ",
                             "2021-01-12T03:29:0x10Z",
                             "2021--1--2T-3:29:55Z",
                             "2021-02-29T00:00:00Z",
                             "2021-00-01T00:00:00Z",
                             "2021-01-00T00:00:00Z",
                             "2021-04-31T00:00:00Z",
                             "2021-01-12T24:00:00Z",
                             "2021-01-12T03:60:00Z",
                             "2021-01-12T03:29:60Z",
                             "2021-01-12T03:29:5Z",
                             "2021-1-12T03:29:55Z",
                             "12021-01-12T03:29:55Z",
                             "2021-01-12T03:29:55",
                             "2021-01-12T03:29:55.Z",
                             "2021-01-12T03:29:55.-5Z",
                             "2021-01-12T03:29:55,5Z",
                             "2021-01-12T03:29:55ZZ",
                             "2021-01-12T03:29:55+",
                             "2021-01-12T03:29:55+1",
                             "2021-01-12T03:29:55+24:00",
                             "2021-01-12T03:29:55+01:60",
                             "2021-01-12T03:29:55+-1:00",
                             "2021-01-12t03:29:55Z",
                             " 2021-01-12T03:29:55Z",
                             "2021-01-12T03:29:55Z ",
                             "2021-01-12",
                             "",
                             "1610422195"}) {
        INFO(text);
        CHECK(error(R"({"d":{"$date":")" + std::string(text) + "\"}}").ends_with("'" + std::string(text) + "' is no date"));
    }
}

TEST_CASE("the BSON stays within a bound") {
    CHECK(parse_json(R"({"a":[1,2,3]})", 64).size() == 34);
    CHECK(message_of<DataError>([] { parse_json(R"({"a":[1,2,3]})", 24); }) == "JSON: byte 9: more than 24 bytes as BSON");
}

TEST_CASE("escapes are understood") {
    CHECK(of_bytes(parse_json(R"({"\u0061":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"})")).begin()->string() ==
          "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80");
    CHECK(of_bytes(parse_json(R"({"a":"\u0000"})")).begin()->string() == std::string_view("\0", 1));
}

TEST_CASE("names that stand for no type are fields like any other") {
    CHECK(
        canonical(
            R"({"a":{"$regex":"x","$options":"i"},"b":{"$ref":"c","$id":1},"c":{"$type":"string"},"d":{"$gt":{}},"e":{"$binary":"AA==","$type":"00"}})") ==
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
    for (const char* half :
         {R"(\udc00)", R"(\ud800\ud800)", R"(\ud800x)", R"(\ud800\n)", R"(\ude00\ud83d)", R"(\ud83)", R"(\u-123)", R"(\u 123)"})
        CHECK_FALSE(error(std::string(R"({"a":")") + half + "\"}").empty());
    CHECK(error(std::string("{\"a\":1}\0", 8)) == "JSON: byte 7: something follows the document");
    CHECK(error("\xef\xbb\xbf{}") == "JSON: byte 0: '{' expected");
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

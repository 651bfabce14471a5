// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <oplog/bson/id_key.hpp>
#include <oplog/bson/json_parser.hpp>

using namespace oplog;

namespace {

std::string key(const std::string& value) {
    const std::string document = parse_json(R"({"_id":)" + value + "}");
    return id_key(bson::Document(document));
}

} // namespace

TEST_CASE("numbers of all types are one _id when their values are equal") {
    for (const char* one : {R"({"$numberLong":"1"})", R"({"$numberDouble":"1.0"})", R"({"$numberDecimal":"1"})",
                            R"({"$numberDecimal":"1.000"})", R"({"$numberDecimal":"10E-1"})"})
        CHECK(key(one) == key(R"({"$numberInt":"1"})"));
    CHECK(key(R"({"$numberDouble":"0.5"})") == key(R"({"$numberDecimal":"0.5"})"));
    CHECK(key(R"({"$numberDouble":"1e300"})") != key(R"({"$numberDecimal":"1e300"})")); // the double is a little more
    CHECK(key(R"({"$numberDouble":"0.1"})") != key(R"({"$numberDecimal":"0.1"})"));
    CHECK(key(R"({"$numberDouble":"9007199254740992"})") == key(R"({"$numberLong":"9007199254740992"})"));
    CHECK(key(R"({"$numberDouble":"9007199254740992"})") != key(R"({"$numberLong":"9007199254740993"})"));
    CHECK(key(R"({"$numberLong":"-9223372036854775808"})") == key(R"({"$numberDouble":"-9223372036854775808"})"));
    CHECK(key(R"({"$numberDecimal":"1E+6"})") == key("1000000"));
    CHECK(key("-1") != key("1"));
}

TEST_CASE("zero, infinity and NaN are one each, whatever their type and sign") {
    CHECK(key(R"({"$numberDouble":"-0.0"})") == key("0"));
    CHECK(key(R"({"$numberDecimal":"-0E+3"})") == key("0"));
    CHECK(key(R"({"$numberDouble":"NaN"})") == key(R"({"$numberDecimal":"NaN"})"));
    CHECK(key(R"({"$numberDouble":"Infinity"})") == key(R"({"$numberDecimal":"Infinity"})"));
    CHECK(key(R"({"$numberDouble":"-Infinity"})") != key(R"({"$numberDouble":"Infinity"})"));
    CHECK(key(R"({"$numberDouble":"5e-324"})") != key("0"));
}

TEST_CASE("an embedded document is compared field by field, in order, by name and value") {
    CHECK(key(R"({"a":1,"b":2})") != key(R"({"b":2,"a":1})"));
    CHECK(key(R"({"a":1})") == key(R"({"a":{"$numberDouble":"1.0"}})"));
    CHECK(key(R"({"a":1})") != key(R"({"b":1})"));
    CHECK(key(R"({"a":{}})") != key(R"({"a":[]})"));
    CHECK(key(R"({"a":[1,2]})") == key(R"({"a":[1,{"$numberLong":"2"}]})"));
    CHECK(key(R"({"a":{"b":1},"c":2})") != key(R"({"a":{"b":1,"c":2}})"));
    CHECK(key(R"({"a":"x","b":"y"})") != key(R"({"a":"xb","y":""})"));
}

TEST_CASE("values of different kinds are different, but for strings and symbols") {
    const std::vector<std::string> values{"1",
                                          "true",
                                          "false",
                                          "null",
                                          R"("1")",
                                          R"({})",
                                          R"({"$oid":"000000000000000000000001"})",
                                          R"({"$date":{"$numberLong":"1"}})",
                                          R"({"$timestamp":{"t":0,"i":1}})",
                                          R"({"$binary":{"base64":"MQ==","subType":"00"}})",
                                          R"({"$binary":{"base64":"MQ==","subType":"05"}})",
                                          R"({"$minKey":1})",
                                          R"({"$maxKey":1})",
                                          R"({"$code":"1"})"};
    for (std::size_t i = 0; i < values.size(); ++i)
        for (std::size_t j = 0; j < values.size(); ++j)
            CHECK_MESSAGE((key(values[i]) == key(values[j])) == (i == j), values[i] << " and " << values[j]);
    CHECK(key(R"({"$symbol":"a"})") == key(R"("a")"));
    CHECK(key(R"("a")") != key(R"("A")"));
}

TEST_CASE("a document without an _id has that of null") {
    const std::string document = parse_json(R"({"a":1})");
    CHECK(id_key(bson::Document(document)) == key("null"));
}

TEST_CASE("same_id compares two values in place") {
    const std::string document = parse_json(R"({"a":1,"b":{"$numberDouble":"1.0"},"c":"1"})");
    auto at = bson::Document(document).begin();
    const bson::Element a = *at, b = *++at, c = *++at;
    CHECK(same_id(a, b));
    CHECK_FALSE(same_id(a, c));
}

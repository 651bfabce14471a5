// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <oplog/bson/json_parser.hpp>
#include <oplog/bson/order.hpp>

#include <string>
#include <vector>

using namespace oplog;

namespace {

std::weak_ordering compared(const std::string& a, const std::string& b) {
    const std::string x = parse_json("{\"v\":" + a + "}"), y = parse_json("{\"v\":" + b + "}");
    return bson::compare(*bson::Document(x).begin(), *bson::Document(y).begin());
}
std::string decimal(const std::string& text) { return "{\"$numberDecimal\":\"" + text + "\"}"; }

} // namespace

TEST_CASE("values of all types are in the server's order") {
    const std::vector<std::string> rising = {R"({"$minKey":1})",
                                             R"(null)",
                                             decimal("NaN"),
                                             decimal("-Infinity"),
                                             decimal("-1E+400"),
                                             R"({"$numberDouble":"-1e300"})",
                                             R"({"$numberLong":"-9223372036854775808"})",
                                             "-1.5",
                                             "-1",
                                             decimal("-0.1"),
                                             "0",
                                             decimal("1E-6000"),
                                             decimal("0.1"),
                                             "0.1",
                                             R"({"$numberInt":"1"})",
                                             "1.5",
                                             decimal("2"),
                                             R"({"$numberLong":"9007199254740992"})",
                                             R"({"$numberLong":"9007199254740993"})",
                                             decimal("9007199254740993.5"),
                                             R"({"$numberLong":"9223372036854775807"})",
                                             R"({"$numberDouble":"9223372036854775808"})",
                                             decimal("1E+400"),
                                             decimal("Infinity"),
                                             R"("")",
                                             R"("a")",
                                             R"("a\u0000")",
                                             R"("aa")",
                                             R"("é")",
                                             R"({})",
                                             R"({"a":1})",
                                             R"({"a":1,"b":1})",
                                             R"({"a":2})",
                                             R"({"b":1})",
                                             R"({"a":"x"})",
                                             R"([])",
                                             R"([1])",
                                             R"([1,2])",
                                             R"([2])",
                                             R"({"$binary":{"base64":"","subType":"00"}})",
                                             R"({"$binary":{"base64":"YQ==","subType":"00"}})",
                                             R"({"$binary":{"base64":"YQ==","subType":"05"}})",
                                             R"({"$binary":{"base64":"YWE=","subType":"00"}})",
                                             R"({"$oid":"507f1f77bcf86cd799439011"})",
                                             R"({"$oid":"507f1f77bcf86cd799439012"})",
                                             "false",
                                             "true",
                                             R"({"$date":{"$numberLong":"-5"}})",
                                             R"({"$date":{"$numberLong":"5"}})",
                                             R"({"$timestamp":{"t":1,"i":2}})",
                                             R"({"$timestamp":{"t":4000000000,"i":1}})",
                                             R"({"$regularExpression":{"pattern":"a","options":""}})",
                                             R"({"$regularExpression":{"pattern":"a","options":"i"}})",
                                             R"({"$regularExpression":{"pattern":"b","options":""}})",
                                             R"({"$code":"a"})",
                                             R"({"$code":"b"})",
                                             R"({"$code":"a","$scope":{}})",
                                             R"({"$code":"a","$scope":{"x":1}})",
                                             R"({"$code":"a","$scope":{"y":0}})",
                                             R"({"$code":"b","$scope":{}})",
                                             R"({"$maxKey":1})"};
    for (std::size_t i = 0; i < rising.size(); ++i)
        for (std::size_t j = 0; j < rising.size(); ++j) {
            CAPTURE(rising[i]);
            CAPTURE(rising[j]);
            CHECK(compared(rising[i], rising[j]) == (i <=> j));
        }
}

TEST_CASE("numbers of all types are equal where their values are") {
    for (const std::string& one : {std::string(R"({"$numberInt":"1"})"), std::string(R"({"$numberLong":"1"})"), std::string("1.0"),
                                   decimal("1"), decimal("1.000"), decimal("0.1E+1")})
        for (const std::string& other : {std::string(R"({"$numberInt":"1"})"), decimal("1.0")}) CHECK(compared(one, other) == 0);
    CHECK(compared("0.5", decimal("0.5")) == 0);
    CHECK(compared("-0.0", decimal("0E+10")) == 0);
    CHECK(compared(R"({"$numberDouble":"NaN"})", decimal("NaN")) == 0);
    CHECK(compared(R"({"$numberDouble":"Infinity"})", decimal("Infinity")) == 0);
    CHECK(compared(R"({"$numberLong":"-9223372036854775808"})", R"({"$numberDouble":"-9223372036854775808"})") == 0);
    CHECK(compared(R"("a")", R"({"$symbol":"a"})") == 0);
}

// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <oplog/diff.hpp>
#include <oplog/json.hpp>
#include <oplog/json_parser.hpp>

using namespace oplog;
using namespace oplog::test;

namespace {

/// What becomes of a document, as relaxed JSON.
std::string updated(const std::string& document, const std::string& o) {
    const std::string before = parse_json(document), update = parse_json(o);
    return to_json(bson::Document(apply_update(bson::Document(before), bson::Document(update))), JsonMode::relaxed);
}
/// A $v: 2 diff; applied twice, as a fuzzy dump makes it happen, it must give the same.
std::string diffed(const std::string& document, const std::string& diff) {
    const std::string o = R"({"$v":2,"diff":)" + diff + "}";
    const std::string once = updated(document, o);
    CHECK(updated(once, o) == once);
    return once;
}

} // namespace

TEST_CASE("a diff removes fields, replaces them in place, and appends what is new") {
    CHECK(diffed(R"({"a":1,"b":2,"c":3})", R"({"d":{"a":false,"c":false,"x":false}})") == R"({"b":2})");
    CHECK(diffed(R"({"a":1,"b":2,"c":3})", R"({"u":{"b":9}})") == R"({"a":1,"b":9,"c":3})");
    CHECK(diffed(R"({"a":1})", R"({"u":{"z":9,"y":8}})") == R"({"a":1,"z":9,"y":8})");
    CHECK(diffed(R"({"a":1,"b":2,"c":3})", R"({"i":{"b":9,"new":8}})") == R"({"a":1,"c":3,"b":9,"new":8})");
}

TEST_CASE("updated fields that are missing come before inserted ones, each in the diff's order") {
    CHECK(diffed(R"({"a":1})", R"({"u":{"u2":1,"u1":2},"i":{"i2":3,"i1":4}})") == R"({"a":1,"u2":1,"u1":2,"i2":3,"i1":4})");
    CHECK(diffed(R"({"_id":1,"x":{"y":1}})", R"({"d":{"x":false},"u":{"_q":1},"i":{"k":{"n":1}}})") == R"({"_id":1,"_q":1,"k":{"n":1}})");
}

TEST_CASE("a diff goes into embedded documents where there are some") {
    CHECK(diffed(R"({"o":{"a":0,"b":0,"c":0},"p":0})", R"({"so":{"d":{"a":false},"u":{"c":2},"i":{"b":1}}})") == R"({"o":{"c":2,"b":1},"p":0})");
    CHECK(diffed(R"({"o":{"o":{"a":0}}})", R"({"so":{"so":{"u":{"a":1}}}})") == R"({"o":{"o":{"a":1}}})");
    CHECK(diffed(R"({"x":1})", R"({"so":{"so":{"u":{"a":1}}}})") == R"({"x":1})");
    CHECK(diffed(R"({"x":1,"o":"text","y":2})", R"({"so":{"so":{"u":{"a":1}}}})") == R"({"x":1,"o":null,"y":2})");
    CHECK(diffed(R"({"o":{"p":1,"o":"text","q":2}})", R"({"so":{"so":{"u":{"a":1}}}})") == R"({"o":{"p":1,"o":null,"q":2}})");
    CHECK(diffed(R"({"o":[1]})", R"({"so":{"u":{"a":1}}})") == R"({"o":null})");
    CHECK(diffed(R"({"":{"a":1}})", R"({"s":{"u":{"a":2}}})") == R"({"":{"a":2}})");
}

TEST_CASE("an array's elements change by position, and it is cut or padded to its length") {
    CHECK(diffed(R"({"a":[9,9,9,9]})", R"({"sa":{"a":true,"u1":1,"u4":2}})") == R"({"a":[9,1,9,9,2]})");
    CHECK(diffed(R"({"a":[9,9,9,9]})", R"({"sa":{"a":true,"l":3,"u1":1}})") == R"({"a":[9,1,9]})");
    CHECK(diffed(R"({"a":[0]})", R"({"sa":{"a":true,"u3":1}})") == R"({"a":[0,null,null,1]})");
    CHECK(diffed(R"({"a":[0]})", R"({"sa":{"a":true,"l":3}})") == R"({"a":[0,null,null]})");
    CHECK(diffed(R"({"a":[1,2]})", R"({"sa":{"a":true,"l":0}})") == R"({"a":[]})");
    CHECK(diffed(R"({"a":[0,1,2,3,4,5,6,7,8,9,10]})", R"({"sa":{"a":true,"u9":"x","u10":"y","u11":"z"}})") == R"({"a":[0,1,2,3,4,5,6,7,8,"x","y","z"]})");
}

TEST_CASE("what an array holds at a position changes in place, and is null where it is not what the diff expects") {
    const std::string diff = R"({"d":{"x":false,"y":false},"u":{"u":999},"sa":{"a":true,"s1":{"u":{"a":1}},"s2":{"u":{"b":2}},"s3":{"u":{"c":3}},"u4":{"x":1}}})";
    CHECK(diffed(R"({"u":1,"x":1,"a":[null,{"a":0},{"b":0},{"c":0}],"y":1})", diff) == R"({"u":999,"a":[null,{"a":1},{"b":2},{"c":3},{"x":1}]})");
    CHECK(diffed(R"({"a":[0,0,0,0,{"x":2}],"u":1})", diff) == R"({"a":[0,null,null,null,{"x":1}],"u":999})");
    CHECK(diffed(R"({"a":[],"u":1})", diff) == R"({"a":[null,null,null,null,{"x":1}],"u":999})");
    CHECK(diffed(R"({"a":[0,{},{},{},4,5,6],"u":1})", diff) == R"({"a":[0,{"a":1},{"b":2},{"c":3},{"x":1},5,6],"u":999})");
    CHECK(diffed(R"({"p":1,"a":{"foo":1},"q":1})", diff) == R"({"p":1,"a":null,"q":1,"u":999})");
    CHECK(diffed(R"({"a":[[1,2],[3]]})", R"({"sa":{"a":true,"s0":{"a":true,"l":1},"s1":{"a":true,"u1":4}}})") == R"({"a":[[1],[3,4]]})");
}

TEST_CASE("a binary value is overwritten from an offset on, and keeps its subtype") {
    const auto column = [](const std::string& base64) { return R"({"b":{"$binary":{"base64":")" + base64 + R"(","subType":"07"}}})"; };
    const auto change = [](int offset, const std::string& base64) {
        return R"({"b":{"b":{"o":)" + std::to_string(offset) + R"(,"d":{"$binary":{"base64":")" + base64 + R"(","subType":"00"}}}}})";
    };
    const std::string append = change(3, "ZGVm"), shrink = change(1, "eA==");       // def, x
    CHECK(diffed(column("YWJj"), append) == column("YWJjZGVm"));                    // abc: abcdef
    CHECK(diffed(column("YWJj"), change(2, "ZGVm")) == column("YWJkZWY="));         // abdef
    CHECK(diffed(column("YWJjZGVm"), shrink) == column("YXg="));                    // ax
    CHECK(diffed(column("YXg="), append) == column("YXg="));                        // it has seen the later one
    CHECK(diffed(R"({"x":1})", append) == R"({"x":1})");
}

TEST_CASE("fields keep their types and bytes") {
    const std::string document = parse_json(R"({"_id":1,"d":{"$numberDouble":"NaN"},"n":{"$numberLong":"5"},"t":{"$timestamp":{"t":1,"i":2}}})");
    const std::string o = parse_json(R"({"$v":2,"diff":{"u":{"n":{"$numberDecimal":"1.50"}}}})");
    CHECK(to_json(bson::Document(apply_update(bson::Document(document), bson::Document(o)))) ==
          R"({"_id":{"$numberInt":"1"},"d":{"$numberDouble":"NaN"},"n":{"$numberDecimal":"1.50"},"t":{"$timestamp":{"t":1,"i":2}}})");
}

TEST_CASE("a replacement is the whole new document, with the old _id if it has none") {
    CHECK(updated(R"({"_id":1,"a":1})", R"({"_id":1,"b":2})") == R"({"_id":1,"b":2})");
    CHECK(updated(R"({"_id":1,"a":1})", R"({"b":2})") == R"({"_id":1,"b":2})");
    CHECK(updated(R"({"_id":1,"a":1})", R"({})") == R"({"_id":1})");
    CHECK(updated(R"({"_id":1,"a":1})", R"({"_id":1,"$set":2})") == R"({"_id":1,"$set":2})");
}

TEST_CASE("$set and $unset follow dotted paths") {
    const auto set = [](const std::string& document, const std::string& fields) { return updated(document, R"({"$v":1,"$set":)" + fields + "}"); };
    const auto unset = [](const std::string& document, const std::string& path) { return updated(document, R"({"$v":1,"$unset":{")" + path + R"(":true}})"); };
    CHECK(set(R"({"a":1,"b":2})", R"({"a":9,"c":3})") == R"({"a":9,"b":2,"c":3})");
    CHECK(set(R"({"a":{"b":1,"c":2}})", R"({"a.b":9,"a.d":4})") == R"({"a":{"b":9,"c":2,"d":4}})");
    CHECK(set(R"({"x":1})", R"({"a.b.c":1,"a.b.d":2})") == R"({"x":1,"a":{"b":{"c":1,"d":2}}})");
    CHECK(set(R"({"a":[1,2,3]})", R"({"a.1":9})") == R"({"a":[1,9,3]})");
    CHECK(set(R"({"a":[1]})", R"({"a.3":9})") == R"({"a":[1,null,null,9]})");
    CHECK(set(R"({"a":[{"b":1}]})", R"({"a.0.b":9,"a.1.b":8})") == R"({"a":[{"b":9},{"b":8}]})");
    CHECK(set(R"({"a":{"0":1}})", R"({"a.0":9})") == R"({"a":{"0":9}})");
    CHECK(set(R"({"x":1})", R"({"a.0":9})") == R"({"x":1,"a":{"0":9}})");
    CHECK(set(R"({"a":1})", R"({"a.b":9})") == R"({"a":1})");
    CHECK(set(R"({"a":null})", R"({"a.b":9})") == R"({"a":null})");
    CHECK(set(R"({"a":[1]})", R"({"a.x":9})") == R"({"a":[1]})");
    CHECK(unset(R"({"a":1,"b":2})", "a") == R"({"b":2})");
    CHECK(unset(R"({"a":{"b":1,"c":2}})", "a.b") == R"({"a":{"c":2}})");
    CHECK(unset(R"({"a":{"b":1}})", "a.b") == R"({"a":{}})");
    CHECK(unset(R"({"a":[1,2,3]})", "a.1") == R"({"a":[1,null,3]})");
    CHECK(unset(R"({"a":[1]})", "a.5") == R"({"a":[1]})");
    CHECK(unset(R"({"a":1})", "b.c") == R"({"a":1})");
    CHECK(updated(R"({"a":1,"b":2})", R"({"$set":{"a":3},"$unset":{"b":1}})") == R"({"a":3})");
}

TEST_CASE("updates that nobody knows are errors") {
    const auto error = [](const std::string& o) { return message_of<DataError>([&] { updated(R"({"a":1})", o); }); };
    CHECK(error(R"({"$v":3,"diff":{}})") == "an update of the unknown version $v: 3");
    CHECK(error(R"({"$v":2,"$set":{}})") == "an update of the unknown version $v: 2");
    CHECK(error(R"({"$inc":{"a":1}})") == "an update with the unknown operator $inc");
    CHECK(error(R"({"$v":2,"diff":{"q":{}}})") == "a diff has the unknown section 'q'");
    CHECK(error(R"({"$v":2,"diff":{"u":{"a":1},"i":{"a":2}}})") == "a diff names field 'a' twice");
    CHECK(message_of<DataError>([] { updated(R"({"a":[1]})", R"({"$v":2,"diff":{"sa":{"a":true,"q1":1}}})"); }) == "a diff has the unknown array change 'q1'");
    CHECK(message_of<DataError>([] { updated(R"({"a":[1]})", R"({"$v":2,"diff":{"sa":{"a":true,"l":2000000000}}})"); }) == "a diff makes an array impossibly long");
}

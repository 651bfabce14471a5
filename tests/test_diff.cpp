// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <oplog/bson/json.hpp>
#include <oplog/bson/json_parser.hpp>
#include <oplog/bson/update.hpp>
#include <oplog/entry/operation.hpp>

using namespace oplog;
using namespace oplog::test;

namespace {

/// What becomes of a document, as relaxed JSON.
std::string updated(const std::string& document, const std::string& o) {
    const std::string before = parse_json(document), update = parse_json(o);
    return to_json(of_bytes(apply_update(bson::Document(before), bson::Document(update))), JsonMode::relaxed);
}
/// A $v: 2 diff; applied twice, as a fuzzy dump makes it happen, it must give the same.
std::string diffed(const std::string& document, const std::string& diff) {
    const std::string o = R"({"$v":2,"diff":)" + diff + "}";
    std::string once = updated(document, o);
    CHECK(updated(once, o) == once);
    return once;
}

/// Why an update of the document with `_id` 1 is refused by its entry alone; empty if it is not.
std::string refusal(const std::string& o, const std::string& o2 = R"({"_id":1})") {
    const std::string update = parse_json(o), key = parse_json(o2);
    try {
        check_update(bson::Document(update), bson::Document(key));
    } catch (const DataError& error) {
        return error.what();
    }
    return {};
}
std::string diff_refusal(const std::string& diff) { return refusal(R"({"$v":2,"diff":)" + diff + "}"); }
std::string set_refusal(const std::string& fields) { return refusal(R"({"$v":1,"$set":)" + fields + "}"); }

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
    CHECK(diffed(R"({"o":{"a":0,"b":0,"c":0},"p":0})", R"({"so":{"d":{"a":false},"u":{"c":2},"i":{"b":1}}})") ==
          R"({"o":{"c":2,"b":1},"p":0})");
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
    CHECK(diffed(R"({"a":[0,1,2,3,4,5,6,7,8,9,10]})", R"({"sa":{"a":true,"u9":"x","u10":"y","u11":"z"}})") ==
          R"({"a":[0,1,2,3,4,5,6,7,8,"x","y","z"]})");
}

TEST_CASE("what an array holds at a position changes in place, and is null where it is not what the diff expects") {
    const std::string diff =
        R"({"d":{"x":false,"y":false},"u":{"u":999},"sa":{"a":true,"s1":{"u":{"a":1}},"s2":{"u":{"b":2}},"s3":{"u":{"c":3}},"u4":{"x":1}}})";
    CHECK(diffed(R"({"u":1,"x":1,"a":[null,{"a":0},{"b":0},{"c":0}],"y":1})", diff) ==
          R"({"u":999,"a":[null,{"a":1},{"b":2},{"c":3},{"x":1}]})");
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
    const std::string append = change(3, "ZGVm"), shrink = change(1, "eA=="); // def, x
    CHECK(diffed(column("YWJj"), append) == column("YWJjZGVm"));              // abc: abcdef
    CHECK(diffed(column("YWJj"), change(2, "ZGVm")) == column("YWJkZWY="));   // abdef
    CHECK(diffed(column("YWJjZGVm"), shrink) == column("YXg="));              // ax
    CHECK(diffed(column("YXg="), append) == column("YXg="));                  // it has seen the later one
    CHECK(diffed(R"({"x":1})", append) == R"({"x":1})");
}

TEST_CASE("fields keep their types and bytes") {
    const std::string document =
        parse_json(R"({"_id":1,"d":{"$numberDouble":"NaN"},"n":{"$numberLong":"5"},"t":{"$timestamp":{"t":1,"i":2}}})");
    const std::string o = parse_json(R"({"$v":2,"diff":{"u":{"n":{"$numberDecimal":"1.50"}}}})");
    CHECK(to_json(of_bytes(apply_update(bson::Document(document), bson::Document(o)))) ==
          R"({"_id":{"$numberInt":"1"},"d":{"$numberDouble":"NaN"},"n":{"$numberDecimal":"1.50"},"t":{"$timestamp":{"t":1,"i":2}}})");
}

TEST_CASE("a replacement is the whole new document, with the old _id if it has none") {
    CHECK(updated(R"({"_id":1,"a":1})", R"({"_id":1,"b":2})") == R"({"_id":1,"b":2})");
    CHECK(updated(R"({"_id":1,"a":1})", R"({"b":2})") == R"({"_id":1,"b":2})");
    CHECK(updated(R"({"_id":1,"a":1})", R"({})") == R"({"_id":1})");
    CHECK(updated(R"({"_id":1,"a":1})", R"({"_id":1,"$set":2})") == R"({"_id":1,"$set":2})");
}

TEST_CASE("$set and $unset follow dotted paths") {
    const auto set = [](const std::string& document, const std::string& fields) {
        return updated(document, R"({"$v":1,"$set":)" + fields + "}");
    };
    const auto unset = [](const std::string& document, const std::string& path) {
        return updated(document, R"({"$v":1,"$unset":{")" + path + R"(":true}})");
    };
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
    CHECK(message_of<DataError>([] { updated(R"({"a":[1]})", R"({"$v":2,"diff":{"sa":{"a":true,"q1":1}}})"); }) ==
          "a diff has the unknown array change 'q1'");
    CHECK(message_of<DataError>([] { updated(R"({"a":[1]})", R"({"$v":2,"diff":{"sa":{"a":true,"l":2000000000}}})"); }) ==
          "a diff makes an array impossibly long");
}

TEST_CASE("an _id at the top of it makes an update a replacement, wherever it stands, and stands first in the document") {
    CHECK(updated(R"({"_id":1,"x":0})", R"({"$v":2,"diff":{"u":{"x":2}},"_id":1})") == R"({"_id":1,"$v":2,"diff":{"u":{"x":2}}})");
    CHECK(updated(R"({"_id":1,"x":0})", R"({"$set":{"x":9},"_id":1})") == R"({"_id":1,"$set":{"x":9}})");
    CHECK(updated(R"({"_id":1,"x":0})", R"({"$v":3,"_id":1})") == R"({"_id":1,"$v":3})");
    CHECK(updated(R"({"_id":1,"x":0})", R"({"x":1,"_id":1,"y":2})") == R"({"_id":1,"x":1,"y":2})");
    CHECK(updated(R"({"_id":1,"x":0})", R"({"x":1,"_id":1.0})") == R"({"_id":1.0,"x":1})");
    CHECK(updated(R"({"x":0,"_id":1})", R"({"$v":2,"diff":{"u":{"x":1}}})") == R"({"_id":1,"x":1})");
    CHECK(updated(R"({"x":1,"_id":1})", R"({"$v":2,"diff":{"u":{"x":1}}})") == R"({"x":1,"_id":1})");
    CHECK(updated(R"({"_id":1,"a":1})", R"({"$v":2,"diff":{"d":{"_id":false,"a":false}}})") == R"({"_id":1})");
    CHECK(message_of<DataError>([] { updated(R"({"_id":1})", R"({"_id":2})"); }) == "an update that changes the _id of its document");
}

TEST_CASE("an upsert makes of its o2's _id what an update makes of a document") {
    const auto made = [](const std::string& o) {
        const std::string o2 = parse_json(R"({"key":5,"_id":1})"), update = parse_json(o);
        return to_json(of_bytes(apply_upsert(bson::Document(o2), bson::Document(update))), JsonMode::relaxed);
    };
    CHECK(made(R"({"x":1,"_id":1,"y":2})") == R"({"_id":1,"x":1,"y":2})");
    CHECK(made(R"({"$v":1,"$set":{"z":1,"a.b":1,"a.0":1},"$unset":{"q":true}})") == R"({"_id":1,"a":{"0":1,"b":1},"z":1})");
    CHECK(made(R"({"$v":2,"diff":{"d":{"q":false},"u":{"z":1,"y":1},"i":{"a":{"0":1}},"sm":{"u":{"x":1}}}})") ==
          R"({"_id":1,"z":1,"y":1,"a":{"0":1}})");
}

TEST_CASE("an update is an upsert if it says so, or if a client put it into an applyOps that does not say no") {
    const auto upserts = [](const std::string& more, const std::string& around) {
        const std::string operation = R"({"op":"u","ns":"shop.a","o2":{"_id":1},"o":{"_id":1})" + more + "}";
        const std::string text = around.empty() ? operation : R"({"op":"c","o":{"applyOps":[)" + operation + "]" + around + "}";
        const std::string bytes = parse_json(text);
        const bson::Document entry(bytes);
        return is_upsert(Operation(around.empty() ? entry : entry.find("o")->document().find("applyOps")->array().begin()->document()),
                         entry);
    };
    CHECK_FALSE(upserts("", ""));
    CHECK_FALSE(upserts(R"(,"b":false)", ""));
    CHECK(upserts(R"(,"b":true)", ""));
    CHECK(upserts("", "}"));
    CHECK(upserts("", R"(,"alwaysUpsert":true})"));
    CHECK_FALSE(upserts("", R"(,"alwaysUpsert":false})"));
    CHECK(upserts(R"(,"b":true)", R"(,"alwaysUpsert":false})"));
    CHECK_FALSE(upserts("", R"(},"txnNumber":1)"));
    CHECK(message_of<DataError>([&] { upserts(R"(,"b":1)", ""); }) == "field 'b' is an int32, not a boolean");
}

TEST_CASE("new fields come in the order of the server that logged them, or, where a client composed the update, in a server's") {
    const auto set = [](const std::string& document, const std::string& fields) {
        return updated(document, R"({"$v":1,"$set":)" + fields + "}");
    };
    CHECK(set(R"({"z":0})", R"({"b":1,"a":1,"c.y":1,"c-":1,"c.x":1})") == R"({"z":0,"a":1,"b":1,"c":{"x":1,"y":1},"c-":1})");
    CHECK(set("{}", R"({"010":1,"10":1,"1a":2,"2":1,"9":1})") == R"({"010":1,"10":1,"1a":2,"2":1,"9":1})"); // 4.4
    CHECK(set("{}", R"({"010":1,"2":1,"9":1,"10":1,"1a":2})") == R"({"010":1,"2":1,"9":1,"10":1,"1a":2})"); // 5.0
    CHECK(set("{}", R"({"9":1,"1a":2,"10":1,"010":1,"2":1})") == R"({"010":1,"10":1,"1a":2,"2":1,"9":1})"); // neither
    CHECK(set(R"({"b":{"y":0}})", R"({"b.x":1,"a":1,"b.w":2})") == R"({"b":{"y":0,"w":2,"x":1},"a":1})");
    std::string backwards, expected;
    for (int i = 100; i < 140; ++i) {
        const std::string name = "f" + std::to_string(i);
        backwards.insert(0, "\"" + name + R"(.x":1,")" + name + R"(.a":1)" + (i == 100 ? "" : ","));
        expected += (i == 100 ? "\"" : ",\"") + name + R"(":{"a":1,"x":1})";
    }
    CHECK(set("{}", "{" + backwards + "}") == "{" + expected + "}");
}

TEST_CASE("positions in arrays may have zeros before them, and what is no position leads nowhere") {
    const auto set = [](const std::string& document, const std::string& fields) {
        return updated(document, R"({"$v":1,"$set":)" + fields + "}");
    };
    CHECK(set(R"({"a":[1,2,3]})", R"({"a.01":9})") == R"({"a":[1,9,3]})");
    CHECK(set(R"({"a":[1]})", R"({"a.003":9})") == R"({"a":[1,null,null,9]})");
    CHECK(set(R"({"a":{"1":0}})", R"({"a.01":9})") == R"({"a":{"1":0,"01":9}})");
    CHECK(set(R"({"a":[1,2]})", R"({"a.+1":9,"a.-1":9,"a.0x1":9,"a.4294967297":9,"a.18446744073709551617":9,"b":1})") ==
          R"({"a":[1,2],"b":1})");
    CHECK(set(R"({"a":[1]})", R"({"a.3.0.c":9})") == R"({"a":[1,null,null,{"0":{"c":9}}]})");
    CHECK(set(R"({"a":[1]})", R"({"a.0.b.c":9})") == R"({"a":[1]})");
    CHECK(set(R"({"a":[]})", R"({"a.10.x":1,"a.9.y":1})") == R"({"a":[null,null,null,null,null,null,null,null,null,null,{"x":1}]})");
    CHECK(set(R"({"a":[]})", R"({"a.9.y":1,"a.10.x":1})") == R"({"a":[null,null,null,null,null,null,null,null,null,{"y":1},{"x":1}]})");
    CHECK(updated(R"({"a":[1,2]})", R"({"$v":1,"$unset":{"a.01":true,"a.5":true}})") == R"({"a":[1,null]})");
    CHECK(updated(R"({"a":[0,1]})", R"({"$v":2,"diff":{"sa":{"a":true,"u01":7}}})") == R"({"a":[0,7]})");
    CHECK(message_of<DataError>([&] { set(R"({"a":[1,2]})", R"({"a.1600000":9})"); }) == "an update makes an array impossibly long");
    CHECK(message_of<DataError>([&] { set(R"({"a":[1,2]})", R"({"a.01":9,"a.1":9})"); }) ==
          "an update names one position of an array twice, also as '1'");
}

TEST_CASE("of two fields of one name $set and $unset mean the first") {
    const std::string twice = bson::Builder().int32("a", 1).int32("a", 2).finish();
    const auto result = [&](const std::string& o) {
        const std::string update = parse_json(o);
        return to_json(of_bytes(apply_update(bson::Document(twice), bson::Document(update))), JsonMode::relaxed);
    };
    CHECK(result(R"({"$v":1,"$set":{"a":9}})") == R"({"a":9,"a":2})");
    CHECK(result(R"({"$v":1,"$unset":{"a":true}})") == R"({"a":2})");
    CHECK(result(R"({"$v":2,"diff":{"u":{"a":9}}})") == R"({"a":9,"a":9})");
}

TEST_CASE("an update is checked by its entry alone") {
    CHECK(refusal(R"({"_id":1,"$v":7})").empty());
    CHECK(refusal(R"({"a":1,"_id":1.0})").empty());
    CHECK(refusal(R"({"$set":{"a":1},"$unset":{"b":1,"c.0":1}})").empty());
    CHECK(refusal(R"({"$v":1})").empty());
    CHECK(refusal(R"({"$v":{"$numberLong":"2"},"diff":{"u":{"a":1}}})").empty());
    CHECK(refusal(R"({"_id":1})", R"({"a":1})") == "an update without the _id of its document");
    CHECK(refusal(R"({"_id":2,"a":1})") == "an update that changes the _id of its document");
    CHECK(refusal(R"({"^id":1,"a":1})") == "an update with neither the _id of a whole document nor a $v");
    CHECK(refusal("{}") == "an update with neither the _id of a whole document nor a $v");
    CHECK(refusal(R"({"%v":2,"diff":{"u":{"a":1}}})") == "an update with neither the _id of a whole document nor a $v");
    CHECK(refusal(R"({"$w":2,"diff":{"u":{"a":1}}})") == "an update with the unknown operator $w");
    CHECK(refusal(R"({"a":3,"$v":1})") == "an update with the unknown operator a");
    CHECK(refusal(R"({"$v":"2","diff":{"u":{"a":1}}})") == "field '$v' is a string, not a number");
    CHECK(refusal(R"({"$v":3,"diff":{"u":{"a":1}}})") == "an update of the unknown version $v: 3");
    CHECK(refusal(R"({"$v":2,"dhff":{"u":{"a":1}}})") == "an update of the unknown version $v: 2");
    CHECK(refusal(R"({"$v":2,"diff":[1]})") == "field 'diff' is an array, not a document");
}

TEST_CASE("a diff is checked down to its innermost level, whatever the document") {
    CHECK(
        diff_refusal(
            R"({"d":{"a":false},"u":{"b":1},"i":{"c":1},"b":{"e":{"o":0,"d":{"$binary":{"base64":"","subType":"00"}}}},"sf":{"a":true,"l":3,"u0":1,"s2":{"u":{"x":1}}},"s":{"u":{"x":1}}})")
            .empty());
    CHECK(diff_refusal("{}") == "a diff is empty");
    CHECK(diff_refusal(R"({"sa":{"sb":{}}})") == "a diff is empty");
    CHECK(diff_refusal(R"({"":{}})") == "a diff has the unknown section ''");
    CHECK(diff_refusal(R"({"ux":{"a":1}})") == "a diff has the unknown section 'ux'");
    CHECK(diff_refusal(R"({"sa":{"a":true,"s0":{"q":{"x":1}}}})") == "a diff has the unknown section 'q'");
    CHECK(diff_refusal(R"({"i":{"a":1},"u":{"b":1}})") == "a diff has the section 'u' out of its place");
    CHECK(diff_refusal(R"({"u":{"a":1},"u":{"b":1}})") == "a diff has the section 'u' out of its place");
    CHECK(diff_refusal(R"({"sa":{"u":{"x":1}},"u":{"b":1}})") == "a diff has the section 'u' out of its place");
    CHECK(diff_refusal(R"({"u":[1]})") == "field 'u' is an array, not a document");
    CHECK(diff_refusal(R"({"sa":1})") == "field 'sa' is an int32, not a document");
    CHECK(diff_refusal(R"({"d":{"a":false},"sa":{"u":{"x":1}}})") == "a diff names field 'a' twice");
    CHECK(diff_refusal(R"({"sa":{"u":{"x":1,"x":2}}})") == "a diff names field 'x' twice");
    CHECK(diff_refusal(R"({"u":{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1,"10":1,"11":1,"12":1,"13":1,"7":1}})") ==
          "a diff names field '7' twice");
    CHECK(diff_refusal(R"({"a":true,"u1":1})") == "a diff has the unknown section 'a'");
    CHECK(diff_refusal(R"({"sa":{"a":false,"u1":1}})") == "an array's diff does not begin with 'a: true'");
    CHECK(diff_refusal(R"({"sa":{"a":1,"u1":1}})") == "an array's diff does not begin with 'a: true'");
    CHECK(diff_refusal(R"({"sa":{"a":true,"l":{"$numberLong":"2"}}})") == "a diff gives an array a length that is no int32");
    CHECK(diff_refusal(R"({"sa":{"a":true,"l":-1}})") == "a diff gives an array a negative length");
    CHECK(diff_refusal(R"({"sa":{"a":true,"u1":2,"l":2}})") == "a diff has the unknown array change 'l'");
    CHECK(diff_refusal(R"({"sa":{"a":true,"u":2}})") == "a diff has the unknown array change 'u'");
    CHECK(diff_refusal(R"({"sa":{"a":true,"u+1":2}})") == "a diff has the unknown array change 'u+1'");
    CHECK(diff_refusal(R"({"sa":{"a":true,"i1":2}})") == "a diff has the unknown array change 'i1'");
    CHECK(diff_refusal(R"({"sa":{"a":true,"u3":2,"u1":2}})") == "a diff has the array change 'u1' out of its place");
    CHECK(diff_refusal(R"({"sa":{"a":true,"u1":2,"s01":{"u":{"x":1}}}})") == "a diff has the array change 's01' out of its place");
    CHECK(diff_refusal(R"({"sa":{"a":true,"l":1,"u1":2}})") == "a diff has the array change 'u1' beyond the array's new length");
    CHECK(diff_refusal(R"({"sa":{"a":true,"s1":2}})") == "field 's1' is an int32, not a document");
    CHECK(diff_refusal(R"({"b":{"a":{"o":0}}})") == "a diff has a malformed binary change");
    CHECK(diff_refusal(R"({"b":{"a":{"o":-1,"d":{"$binary":{"base64":"","subType":"00"}}}}})") == "a diff has a malformed binary change");
    CHECK(diff_refusal(R"({"u":{"_id":1,"a":1}})").empty());
    CHECK(diff_refusal(R"({"u":{"_id":2}})") == "an update that changes the _id of its document");
    CHECK(diff_refusal(R"({"s_id":{"u":{"x":1}}})") == "an update that changes the _id of its document");
    bson::Builder deep;
    deep.int32("$v", 2).begin_document("diff");
    for (std::size_t i = 0; i < bson::max_depth; ++i) deep.begin_document("sa");
    deep.begin_document("u").end();
    for (std::size_t i = 0; i <= bson::max_depth; ++i) deep.end();
    const std::string o = deep.finish(), o2 = parse_json(R"({"_id":1})");
    CHECK(message_of<DataError>([&] { check_update(bson::Document(o), bson::Document(o2)); }) == "a diff is nested too deeply");
}

TEST_CASE("paths are checked as the server checks them") {
    CHECK(set_refusal(R"({"a":1,"b.c":1,"b.d":1,"ab":1,"$x":1,"a$":1})").empty());
    CHECK(set_refusal(R"({"":1})") == "an update's path has an empty part: ''");
    CHECK(set_refusal(R"({"a.":1})") == "an update's path has an empty part: 'a.'");
    CHECK(set_refusal(R"({".a":1})") == "an update's path has an empty part: '.a'");
    CHECK(set_refusal(R"({"a..b":1})") == "an update's path has an empty part: 'a..b'");
    CHECK(set_refusal(R"({"a.$":1})") == "an update's path has no fixed position: 'a.$'");
    CHECK(set_refusal(R"({"a.$[].b":1})") == "an update's path has no fixed position: 'a.$[].b'");
    CHECK(set_refusal(R"({"a":1,"a.b":1})") == "an update changes a field twice: 'a.b'");
    CHECK(set_refusal(R"({"a.b":1,"a":1})") == "an update changes a field twice: 'a'");
    CHECK(set_refusal(R"({"a":1,"a":1})") == "an update changes a field twice: 'a'");
    CHECK(set_refusal(R"({"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1,"10":1,"11":1,"a.b":1,"a-":1,"a":1})") ==
          "an update changes a field twice: 'a.b'");
    CHECK(refusal(R"({"$v":1,"$set":{"a.b":1},"$unset":{"a":true}})") == "an update changes a field twice: 'a'");
    CHECK(refusal(R"({"$v":1,"$set":1})") == "field '$set' is an int32, not a document");
    CHECK(refusal(R"({"$v":1,"$inc":{"a":1}})") == "an update with the unknown operator $inc");
    CHECK(set_refusal(R"({"_id":1,"a":1})").empty());
    CHECK(set_refusal(R"({"_id.x":1,"a":1})").empty()); // leads nowhere
    CHECK(set_refusal(R"({"_id":2})") == "an update that changes the _id of its document");
    CHECK(refusal(R"({"$v":1,"$set":{"_id.x":2}})", R"({"_id":{"x":1}})") == "an update that changes the _id of its document");
    std::string path = "a";
    for (int i = 0; i < 1000; ++i) path += ".a";
    CHECK(set_refusal(R"({")" + path + R"(":1})") == "an update's path is too long");
}

TEST_CASE("an update fits where all that it goes into is there") {
    const auto fits = [](const char* document, const char* o) {
        const std::string before = parse_json(document), update = parse_json(o);
        return update_fits(bson::Document(before), bson::Document(update));
    };
    const char* const document = R"({"_id":1,"a":[{"x":1},5,{"x":2}],"b":{"c":{"d":1}},"n":1})";
    CHECK(fits(document, R"({"$v":2,"diff":{"sa":{"a":true,"s0":{"u":{"x":3}},"s2":{"u":{"x":3}}},"sb":{"sc":{"i":{"e":1}}}}})"));
    CHECK_FALSE(fits(document, R"({"$v":2,"diff":{"sa":{"a":true,"s0":{"u":{"x":3}},"s1":{"u":{"x":3}}}}})"));
    CHECK_FALSE(fits(document, R"({"$v":2,"diff":{"sa":{"a":true,"s3":{"u":{"x":3}}}}})"));
    CHECK_FALSE(fits(document, R"({"$v":2,"diff":{"sa":{"u":{"x":3}}}})"));
    CHECK_FALSE(fits(document, R"({"$v":2,"diff":{"sb":{"sc":{"u":{"d":2}}},"sn":{"u":{"x":1}}}})"));
    CHECK_FALSE(fits(document, R"({"$v":2,"diff":{"sb":{"sz":{"u":{"d":2}}}}})"));
    CHECK(fits(document, R"({"$v":1,"$set":{"a.0.x":2,"a.2.y":1,"b.c.d":1,"b.z.q":1,"new.x":1},"$unset":{"b.c.e":true}})"));
    CHECK_FALSE(fits(document, R"({"$v":1,"$set":{"a.0.x":2,"a.1.y":1}})"));
    CHECK_FALSE(fits(document, R"({"$v":1,"$set":{"a.x":2}})"));
    CHECK_FALSE(fits(document, R"({"$v":1,"$set":{"b.c.d.e":1}})"));
    CHECK(fits(document, R"({"x":1})"));
}

TEST_CASE("a field whose name has dots is no path") {
    const std::string nested = parse_json(R"({"_id":1,"a":{"b":{"x":1}}})"), dotted = parse_json(R"({"_id":1,"a.b":{"x":1}})");
    const std::string update = parse_json(R"({"$v":2,"diff":{"sa.b":{"u":{"x":2}}}})");
    CHECK_FALSE(update_fits(bson::Document(nested), bson::Document(update)));
    CHECK(update_fits(bson::Document(dotted), bson::Document(update)));
    CHECK(apply_update(bson::Document(dotted), bson::Document(update)) == parse_json(R"({"_id":1,"a.b":{"x":2}})"));
}

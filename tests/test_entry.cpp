// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

std::string refusal(const std::string& bytes) {
    return message_of<DataError>([&] { EntryView{bson::Document(bytes)}; });
}

} // namespace

TEST_CASE("an entry's fields are found in any order, among unknown ones") {
    const std::string uuid = little_endian(16, 4) + "\4" + "0123456789abcdef";
    const std::string bytes = Bson()
                                  .document("lsid", Bson().timestamp("ts", {9, 9})) // no entry's ts
                                  .string("op", "xi")
                                  .raw(0x05, "ui", uuid)
                                  .string("future", "?")
                                  .string("ns", "a.b")
                                  .document("o", Bson().int32("_id", 1))
                                  .document("o2", Bson().int32("_id", 2))
                                  .date("wall", 1500)
                                  .timestamp("ts", {5, 6})
                                  .int64("t", 7)
                                  .bytes();
    const EntryView e{bson::Document(bytes)};
    CHECK(e.ts() == Timestamp{5, 6});
    CHECK(e.optime() == OpTime{{5, 6}, 7});
    CHECK(e.op() == "xi");
    CHECK(e.ns() == "a.b");
    CHECK(e.ui() == "0123456789abcdef");
    CHECK(e.o().find("_id")->integer() == 1);
    CHECK(e.o2()->find("_id")->integer() == 2);
    CHECK(e.wall() == bson::Date(std::chrono::milliseconds(1500)));
    CHECK(e.bytes() == bytes);
    CHECK(e.size() == bytes.size());
}

TEST_CASE("an entry needs no more than ts") {
    const std::string bytes = Bson().timestamp("ts", {5, 6}).bytes();
    const EntryView e{bson::Document(bytes)};
    CHECK(e.optime() == OpTime{{5, 6}, -1});
    CHECK(e.op() == "");
    CHECK(e.ns() == "");
    CHECK(e.ui() == "");
    CHECK(!e.o2());
    CHECK(!e.wall());
    CHECK(message_of<DataError>([&] { static_cast<void>(e.o()); }) == "entry 5:6: the entry has no 'o'");
}

TEST_CASE("a document without a timestamp ts is no entry") {
    CHECK(refusal(Bson().bytes()) == "no field 'ts': not an oplog entry");
    CHECK(refusal(Bson().timestamp("tsx", {1, 1}).timestamp("t", {1, 1}).bytes()) == "no field 'ts': not an oplog entry");
    CHECK(refusal(Bson().date("ts", 1).bytes()) == "field 'ts' is a date, not a timestamp");
    CHECK(refusal(Bson().int64("ts", 1).bytes()) == "field 'ts' is an int64, not a timestamp");
    CHECK(refusal(Bson().int32("ts", 1).timestamp("ts", {1, 1}).bytes()) == "field 'ts' is an int32, not a timestamp");
    CHECK(refusal(Bson().raw(0x11, "ts", "1234567").bytes()) == "timestamp runs past the end of its document");
}

TEST_CASE("an entry that owns its bytes outlives what it was copied from") {
    std::string bytes = entry({5, 6});
    const Entry kept{EntryView(bson::Document(bytes))};
    bytes.assign(bytes.size(), 'x');
    CHECK(kept.view().ts() == Timestamp{5, 6});
    CHECK(kept.bytes() == entry({5, 6}));
    CHECK_THROWS_AS(Entry(Bson().bytes()), DataError);
    CHECK_THROWS_AS(Entry(std::string("\5\0\0", 3)), DataError);
}

TEST_CASE("a failure names the entry's place, or its timestamp where there is none") {
    const std::string bytes = entry({5, 6});
    const Position where{"f.bson", 10, 2};
    CHECK(message_of<DataError>([&] { EntryView(bson::Document(bytes)).fail(Fault::bad_value, "why"); }) == "entry 5:6: why");
    CHECK(message_of<FormatError>([&] { EntryView(bson::Document(bytes), &where).fail(Fault::bad_value, "why"); }) ==
          "f.bson: offset 10: document 2: why");
}

TEST_CASE("a field of another type fails with the entry's place") {
    const Position where{"f.bson", 10, 2};
    const std::string bytes = Bson()
                                  .timestamp("ts", {5, 6})
                                  .int32("op", 1)
                                  .int32("ns", 1)
                                  .int32("o", 1)
                                  .int32("o2", 1)
                                  .string("wall", "x")
                                  .string("t", "x")
                                  .bytes();
    const EntryView e{bson::Document(bytes), &where};
    const auto failure = [](auto read) { return message_of<FormatError>([&] { static_cast<void>(read()); }); };
    const std::string place = "f.bson: offset 10: document 2: ";
    CHECK(failure([&] { return e.op(); }) == place + "field 'op' is an int32, not a string");
    CHECK(failure([&] { return e.is_command(); }) == place + "field 'op' is an int32, not a string");
    CHECK(failure([&] { return e.ns(); }) == place + "field 'ns' is an int32, not a string");
    CHECK(failure([&] { return e.o(); }) == place + "field 'o' is an int32, not a document");
    CHECK(failure([&] { return e.o2(); }) == place + "field 'o2' is an int32, not a document");
    CHECK(failure([&] { return e.wall(); }) == place + "field 'wall' is a string, not a date");
    CHECK(failure([&] { return e.optime(); }) == place + "field 't' is a string, not a number");
    CHECK(message_of<DataError>([&] { static_cast<void>(EntryView{e.document()}.op()); }) ==
          "entry 5:6: field 'op' is an int32, not a string");
}

TEST_CASE("a field that lies behind a damaged one fails with the entry's place") {
    const Position where{"f.bson", 10, 2};
    const std::string bytes = Bson().timestamp("ts", {5, 6}).raw(0x02, "x", little_endian(5000, 4) + "x").string("op", "i").bytes();
    const EntryView e{bson::Document(bytes), &where};
    const std::string message = "f.bson: offset 10: document 2: string runs past the end of its document";
    CHECK(message_of<FormatError>([&] { static_cast<void>(e.op()); }) == message);
    CHECK(message_of<FormatError>([&] { static_cast<void>(e.ui()); }) == message);
}

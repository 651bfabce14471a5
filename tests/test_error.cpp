// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <oplog/oplog.hpp>

#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

using namespace oplog;
using namespace oplog::test;

namespace {

/// The kind of error that work() throws.
template <class Work>
Fault fault_of(Work work) {
    try {
        work();
    } catch (const DataError& error) {
        return error.fault();
    }
    FAIL("nothing was thrown");
    return {};
}

Fault fault_of_bson(const std::string& bytes) {
    return fault_of([&] { bson::validate(bson::Document(bytes)); });
}

Fault fault_of_entry(const std::string& json) {
    const std::string bytes = parse_json(json);
    return fault_of([&] { static_cast<void>(meaning_of(Operation(bson::Document(bytes)))); });
}

} // namespace

TEST_CASE("a format error says file, offset, document and reason") {
    const FormatError error({"inc3.bson", 1976, 12}, Fault::gap, "reason");
    CHECK(std::string(error.what()) == "inc3.bson: offset 1976: document 12: reason");
    CHECK(error.where().file == "inc3.bson");
    CHECK(error.where().offset == 1976);
    CHECK(error.where().document == 12);
    CHECK(error.reason() == "reason");
    CHECK(error.fault() == Fault::gap);
}

TEST_CASE("an error of something that has a name keeps its kind and its hint") {
    const DataError error = DataError(Fault::corrupt_compression, "why", "unpack it").within("a.gz");
    CHECK(std::string(error.what()) == "a.gz: why");
    CHECK(error.fault() == Fault::corrupt_compression);
    CHECK(error.hint() == "unpack it");
}

TEST_CASE("errors tell what is wrong with bytes") {
    CHECK(fault_of_bson(Bson().raw(0x10, "a", "\1\2\3").bytes()) == Fault::truncated);
    CHECK(fault_of_bson(Bson().raw(0x02, "a", little_endian(0, 4)).bytes()) == Fault::bad_length);
    CHECK(fault_of_bson(Bson().raw(0x42, "a", "").bytes()) == Fault::bad_type);
    CHECK(fault_of_bson(Bson().raw(0x02, "a", little_endian(2, 4) + "xy").bytes()) == Fault::malformed);
    CHECK(fault_of_bson(Bson().string("a", "\xFF").bytes()) == Fault::not_utf8);
    CHECK(fault_of_bson(Bson().raw(0x08, "a", "\2").bytes()) == Fault::bad_value);
    CHECK(fault_of([] { parse_json("{"); }) == Fault::bad_json);
    CHECK(fault_of([] { parse_json(std::string(2000, '[')); }) == Fault::bad_json);
    const std::string number = Bson().int32("a", 1).bytes();
    CHECK(fault_of([&] { static_cast<void>(bson::Document(number).find("a")->string()); }) == Fault::wrong_type);
}

TEST_CASE("errors tell what is wrong with an entry") {
    CHECK(fault_of_entry(R"({"op":"i","ns":"a.b"})") == Fault::missing_field);
    CHECK(fault_of_entry(R"({"op":"i","ns":"a.b","o":{"_id":1},"z":1})") == Fault::bad_value);
    CHECK(fault_of_entry(R"({"op":"u","ns":"a.b","o":{"$v":9},"o2":{"_id":1}})") == Fault::not_supported);
    CHECK(fault_of_entry(R"({"op":"u","ns":"a.b","o":{"_id":2},"o2":{"_id":1}})") == Fault::inconsistent);
    CHECK(fault_of([] {
              const std::string bytes = parse_json(R"({"a":1})");
              static_cast<void>(EntryView(bson::Document(bytes)));
          }) == Fault::not_oplog);
}

TEST_CASE("a look into an entry fails with the entry's place") {
    const std::string bytes =
        parse_json(R"({"ts":{"$timestamp":{"t":5,"i":6}},"op":"c","ns":"a.$cmd","o":{"applyOps":[{"op":"i","o":1}]}})");
    const Position where{"f.bson", 10, 2};
    const EntryView entry(bson::Document(bytes), &where);
    const std::string expected = "f.bson: offset 10: document 2: field 'o' is an int32, not a document";
    CHECK(message_of<FormatError>([&] { for_each_operation(entry, [](const Operation&) {}); }) == expected);
    CHECK(message_of<FormatError>([&] { entry.with_place([&] { return entry.document().find("o.applyOps.0.o")->document(); }); }) ==
          expected);
    CHECK(entry.with_place([] { return 7; }) == 7);
}

TEST_CASE("every error of the library has one base") {
    static_assert(std::is_base_of_v<Error, ArgumentError>);
    static_assert(std::is_base_of_v<Error, DataError>);
    static_assert(std::is_base_of_v<DataError, FormatError>);
    static_assert(!std::is_base_of_v<DataError, ArgumentError>);
    CHECK_THROWS_AS(throw FormatError({}, Fault::empty, "x"), Error);
}

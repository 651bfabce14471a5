// SPDX-License-Identifier: Apache-2.0
#include "operations.hpp"

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

TEST_CASE("a builder writes the bytes that BSON wants") {
    const std::string bytes = bson::Builder()
                                  .string("s", "text")
                                  .int32("i", -1)
                                  .int64("l", 1LL << 40)
                                  .timestamp("ts", {100, 7})
                                  .date("d", 1000)
                                  .document("o", of_bytes(Bson().int32("_id", 1).bytes()))
                                  .array("a", of_bytes(Bson().int32("0", 1).bytes()))
                                  .finish();
    CHECK(bytes == Bson()
                       .string("s", "text")
                       .int32("i", -1)
                       .int64("l", 1LL << 40)
                       .timestamp("ts", {100, 7})
                       .date("d", 1000)
                       .document("o", Bson().int32("_id", 1))
                       .array("a", Bson().int32("0", 1))
                       .bytes());
    CHECK(bson::Builder().finish() == bson::Document().bytes());
}

TEST_CASE("all that a builder writes is valid BSON") {
    bson::Builder builder;
    builder.real("r", 0.5).boolean("t", true).boolean("f", false).null("n").binary("b", 4, "0123456789abcdef").string("", "");
    builder.begin_document("o").begin_array("a").int32("0", 1).end().end().begin_document("e").end();
    const std::string bytes = builder.finish();
    bson::validate(bson::Document(bytes));
    CHECK(
        json(bytes) ==
        R"({"r":0.5,"t":true,"f":false,"n":null,"b":{"$binary":{"base64":"MDEyMzQ1Njc4OWFiY2RlZg==","subType":"04"}},"":"","o":{"a":[1]},"e":{}})");
}

TEST_CASE("elements are taken over as they are, under another name too") {
    const std::string bytes = read_file(std::string(OPLOG_TEST_DATA) + "/types/types.bson");
    std::size_t elements = 0;
    for (const bson::Document document : BasicReader<MemorySource, bson::Document>(MemorySource(bytes), "types", Check::full)) {
        bson::Builder copy;
        for (const bson::Element& element : document) copy.append(element);
        CHECK(copy.finish() == document.bytes());
        for (const bson::Element& element : document) {
            ++elements;
            const std::string other = bson::Builder().append("other", element).finish();
            const bson::Document renamed(other);
            CHECK(renamed.begin()->key() == "other");
            CHECK(renamed.begin()->type() == element.type());
            CHECK(renamed.begin()->value() == element.value());
        }
    }
    CHECK(elements > 50);
}

TEST_CASE("a builder refuses what is no document") {
    CHECK(message_of<ArgumentError>([] { bson::Builder().end(); }) == "Builder::end() without a begin");
    CHECK(message_of<ArgumentError>([] { static_cast<void>(bson::Builder().begin_document("o").finish()); }) ==
          "Builder::finish() inside a nested document");
    CHECK(message_of<ArgumentError>([] { bson::Builder().int32(std::string_view("a\0b", 3), 1); }) ==
          "a field name cannot hold a zero byte");
}

TEST_CASE("a builder can be used again once it has finished") {
    bson::Builder builder;
    const std::string first = builder.int32("a", 1).finish();
    CHECK(builder.int32("a", 1).finish() == first);
}

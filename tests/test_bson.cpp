// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

std::string refusal(const std::string& bytes) {
    return message_of<DataError>([&] {
        for (const bson::Element& element : bson::Document(bytes)) static_cast<void>(element);
    });
}

} // namespace

TEST_CASE("a document's frame is checked") {
    CHECK_NOTHROW(of_bytes(Bson().bytes()));
    CHECK(bson::Document().empty());
    CHECK(bson::Document().size() == 5);
    for (const std::string& bytes : {std::string(), std::string("\5\0\0", 3), std::string("\4\0\0\0", 4), std::string("\5\0\0\0\1", 5),
                                     std::string("\6\0\0\0\0", 5), std::string("\5\0\0\0\0\0", 6)})
        CHECK_THROWS_AS(bson::Document{bytes}, DataError);
}

TEST_CASE("elements come in their order with name, type and value") {
    const std::string bytes = Bson().int32("a", -1).string("", "x").int32("a", 2).bytes();
    const bson::Document document(bytes);
    std::string keys;
    for (const bson::Element& element : document) keys += "[" + std::string(element.key()) + "]";
    CHECK(keys == "[a][][a]");
    CHECK(document.find("a")->integer() == -1); // the first of that name
    CHECK(document.find("")->string() == "x");
    CHECK(!document.find("b"));
    CHECK(document.find("a")->bytes() == bytes.substr(4, 7));
}

TEST_CASE("every type has its size") {
    const std::string bytes = Bson()
                                  .raw(0x01, "double", little_endian(0x3FF8000000000000, 8))
                                  .string("string", std::string_view("a\0b", 3))
                                  .document("document", Bson().int32("x", 1))
                                  .array("array", Bson().int32("0", 1))
                                  .raw(0x05, "binary", little_endian(3, 4) + std::string("\0abc", 4))
                                  .raw(0x05, "empty", little_endian(0, 4) + std::string(1, '\0'))
                                  .raw(0x06, "undefined", "")
                                  .raw(0x07, "id", "abcdefghijkl")
                                  .raw(0x08, "boolean", "\1")
                                  .date("date", -1)
                                  .raw(0x0A, "null", "")
                                  .raw(0x0B, "regex", std::string("a.*\0ix\0", 7))
                                  .raw(0x0C, "pointer", little_endian(2, 4) + std::string("c\0", 2) + "abcdefghijkl")
                                  .raw(0x0D, "code", little_endian(2, 4) + std::string("f\0", 2))
                                  .raw(0x0E, "symbol", little_endian(2, 4) + std::string("s\0", 2))
                                  .raw(0x0F, "scoped", little_endian(15, 4) + little_endian(2, 4) + std::string("f\0", 2) + Bson().bytes())
                                  .int32("int32", 1)
                                  .timestamp("ts", {5, 6})
                                  .int64("int64", -1)
                                  .raw(0x13, "decimal", std::string(16, '\0'))
                                  .raw(0xFF, "min", "")
                                  .raw(0x7F, "max", "")
                                  .int32("last", 99)
                                  .bytes();
    const bson::Document document(bytes);
    CHECK(document.find("last")->integer() == 99);
    CHECK(document.find("double")->integer() == 1);
    CHECK(document.find("document")->document().find("x")->integer() == 1);
    CHECK(document.find("array")->array().find("0")->integer() == 1);
    CHECK(document.find("ts")->timestamp() == Timestamp{5, 6});
    CHECK(document.find("date")->date().time_since_epoch().count() == -1);
    CHECK(document.find("boolean")->boolean());
    CHECK(document.find("boolean")->truthy());
    CHECK(document.find("int64")->truthy());
    CHECK(!document.find("null")->truthy());
    for (const auto& [number, truthy] : {std::pair(0.5, true), std::pair(0.0, false), std::pair(-0.0, false), std::pair(1e300, true)}) {
        const bson::Value flag = bson::Builder().real("flag", number).finish();
        CHECK(flag.view().find("flag")->truthy() == truthy);
    }
    CHECK(document.find("min")->is(bson::Type::min_key));
    CHECK_NOTHROW(bson::validate(document));
}

TEST_CASE("a value of another type is an error that names the field") {
    const std::string bytes = Bson().int32("a", 1).string("s", "x").raw(0x01, "nan", little_endian(0x7FF8000000000000, 8)).bytes();
    const bson::Document document(bytes);
    CHECK(message_of<DataError>([&] { static_cast<void>(document.find("a")->timestamp()); }) == "field 'a' is an int32, not a timestamp");
    CHECK(message_of<DataError>([&] { static_cast<void>(document.find("s")->document()); }) == "field 's' is a string, not a document");
    CHECK(message_of<DataError>([&] { static_cast<void>(document.find("s")->integer()); }) == "field 's' is a string, not a number");
    CHECK(message_of<DataError>([&] { static_cast<void>(document.find("nan")->integer()); }) == "field 'nan' is no whole number");
}

TEST_CASE("values that run past their document are found, not followed") {
    CHECK(refusal(Bson().raw(0x10, "a", "\1\2\3").bytes()) == "int32 runs past the end of its document");
    CHECK(refusal(Bson().raw(0x02, "a", little_endian(100, 4) + std::string("x\0", 2)).bytes()) ==
          "string runs past the end of its document");
    CHECK(refusal(Bson().raw(0x02, "a", little_endian(0, 4)).bytes()) == "string has the impossible length 0");
    CHECK(refusal(Bson().raw(0x02, "a", little_endian(0xFFFFFFFF, 4)).bytes()) == "string runs past the end of its document");
    CHECK(refusal(Bson().raw(0x02, "a", "\1").bytes()) == "string runs past the end of its document");
    CHECK(refusal(Bson().raw(0x03, "a", little_endian(4, 4)).bytes()) == "document has the impossible length 4");
    CHECK(refusal(Bson().raw(0x03, "a", little_endian(0x7FFFFFFF, 4)).bytes()) == "document runs past the end of its document");
    CHECK(refusal(Bson().raw(0x05, "a", little_endian(0xFFFFFFFF, 4) + "\1").bytes()) == "binary runs past the end of its document");
    CHECK(refusal(Bson().raw(0x0F, "a", little_endian(13, 4)).bytes()) == "code with scope has the impossible length 13");
    CHECK(refusal(Bson().raw(0x0C, "a", little_endian(0xFFFFFFF0, 4)).bytes()) == "DBPointer runs past the end of its document");
    CHECK(refusal(Bson().raw(0x0B, "a", "abc").bytes()) == "regular expression runs past the end of its document");
    CHECK(refusal(Bson().raw(0x42, "a", "").bytes()) == "unknown BSON type 0x42");
    CHECK(refusal(Bson().raw(0x00, "a", "").bytes()) == "unknown BSON type 0x00");
    CHECK(refusal(little_endian(7, 4) + "\x0A" + "a" + '\0') == "a field name runs past the end of its document");
}

TEST_CASE("no single changed byte leads outside the document") {
    const std::string good =
        Bson().string("s", "x").document("d", Bson().array("a", Bson().int32("0", 1))).raw(0x0B, "r", std::string("a\0b\0", 4)).bytes();
    for (std::size_t i = 4; i + 1 < good.size(); ++i)
        for (int value = 0; value < 256; ++value) {
            // In an allocation of exactly its size, so that a sanitizer sees a step beyond.
            const std::vector<char> copy = [&] {
                std::vector<char> c(good.begin(), good.end());
                c[i] = static_cast<char>(value);
                return c;
            }();
            const bson::Document document(std::string_view(copy.data(), copy.size()));
            static_cast<void>(message_of<DataError>([&] { static_cast<void>(document.find("nothing")); }));
            static_cast<void>(message_of<DataError>([&] { bson::validate(document); }));
        }
}

TEST_CASE("every type of value comes out as it went in") {
    const bson::Value value = bson::Builder()
                                  .real("r", 1.5)
                                  .binary("b", {3, "xyz"})
                                  .object_id("id", "123456789012")
                                  .decimal128("d", {1, 0x3040000000000000})
                                  .regex("x", {"^a", "im"})
                                  .date("t", bson::Date(std::chrono::milliseconds(1500)))
                                  .finish();
    const bson::Document document = value.view();
    CHECK(document.find("r")->real() == 1.5);
    CHECK(document.find("b")->binary().subtype == 3);
    CHECK(document.find("b")->binary().data == "xyz");
    CHECK(document.find("b")->binary_data() == "xyz");
    CHECK(document.find("r")->binary_data().empty());
    CHECK(document.find("id")->object_id() == "123456789012");
    CHECK(document.find("d")->decimal128() == bson::Decimal128{1, 0x3040000000000000});
    CHECK(document.find("x")->regex().pattern == "^a");
    CHECK(document.find("x")->regex().options == "im");
    CHECK(document.find("t")->date() == bson::Date(std::chrono::milliseconds(1500)));
    CHECK(to_json(document) ==
          R"({"r":{"$numberDouble":"1.5"},"b":{"$binary":{"base64":"eHl6","subType":"03"}},"id":{"$oid":"313233343536373839303132"},)"
          R"("d":{"$numberDecimal":"1"},"x":{"$regularExpression":{"pattern":"^a","options":"im"}},"t":{"$date":{"$numberLong":"1500"}}})");
    CHECK(to_json(*document.find("d")) == R"({"$numberDecimal":"1"})");
    CHECK(to_json(*document.find("x"), JsonMode::relaxed) == R"({"$regularExpression":{"pattern":"^a","options":"im"}})");
    const auto refusal_of = [&](auto get) { return message_of<DataError>([&] { static_cast<void>(get(*document.find("x"))); }); };
    CHECK(refusal_of([](const bson::Element& e) { return e.real(); }) == "field 'x' is a regular expression, not a double");
    CHECK(refusal_of([](const bson::Element& e) { return e.binary(); }) == "field 'x' is a regular expression, not a binary");
    CHECK(refusal_of([](const bson::Element& e) { return e.object_id(); }) == "field 'x' is a regular expression, not an ObjectId");
    CHECK(refusal_of([](const bson::Element& e) { return e.decimal128(); }) == "field 'x' is a regular expression, not a decimal128");
}

TEST_CASE("a name with dots is found as it is, else as a path") {
    const bson::Value value = bson::Builder()
                                  .begin_document("o")
                                  .int32("_id", 1)
                                  .begin_array("items")
                                  .begin_document("0")
                                  .int32("n", 2)
                                  .end()
                                  .end()
                                  .end()
                                  .begin_document("a")
                                  .int32("b", 3)
                                  .end()
                                  .int32("a.b", 4)
                                  .begin_document("c.d")
                                  .int32("e.f", 5)
                                  .end()
                                  .begin_document("g")
                                  .int32("h", 6)
                                  .end()
                                  .begin_document("g")
                                  .int32("i", 7)
                                  .end()
                                  .finish();
    const bson::Document document = value.view();
    CHECK(document.find("o._id")->integer() == 1);
    CHECK(document.find("o.items.0.n")->integer() == 2);
    CHECK(document.find("a.b")->integer() == 4);
    CHECK(document.field("a.b")->integer() == 4);
    for (const char* path : {"o._id", "c.d.e.f", "g.i"}) CHECK_FALSE(document.field(path));
    CHECK(document.find("c.d.e.f")->integer() == 5);
    CHECK(document.find("g.i")->integer() == 7);
    for (const char* missing : {"o.x", "o._id.x", "x.y", "o.", ".o", ".", "o.items.1.n", "a.b.c"}) CHECK_FALSE(document.find(missing));
}

TEST_CASE("a value owns its document") {
    bson::Value value;
    CHECK(value.view().empty());
    {
        const std::string bytes = Bson().int32("a", 1).bytes();
        value = bson::Value(bson::Document(bytes));
        CHECK(value == bson::Value(bytes));
    }
    CHECK(value.view().find("a")->integer() == 1);
    CHECK(value.size() == value.bytes().size());
    const std::string copy = value;
    CHECK(copy == value.bytes());
    const std::string taken = std::move(value).bytes();
    CHECK(taken == copy);
    CHECK_THROWS_AS(bson::Value(std::string("xyz")), DataError);
}

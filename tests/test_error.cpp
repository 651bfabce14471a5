// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <oplog/error.hpp>

#include <type_traits>

using namespace oplog;

TEST_CASE("a format error says file, offset, document and reason") {
    const FormatError error({"inc3.bson", 1976, 12}, "reason");
    CHECK(std::string(error.what()) == "inc3.bson: offset 1976: document 12: reason");
    CHECK(error.where().file == "inc3.bson");
    CHECK(error.where().offset == 1976);
    CHECK(error.where().document == 12);
    CHECK(error.reason() == "reason");
}

TEST_CASE("every error of the library has one base") {
    static_assert(std::is_base_of_v<Error, ArgumentError>);
    static_assert(std::is_base_of_v<Error, DataError>);
    static_assert(std::is_base_of_v<DataError, FormatError>);
    static_assert(!std::is_base_of_v<DataError, ArgumentError>);
    CHECK_THROWS_AS(throw FormatError({}, "x"), Error);
}

// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <oplog/bson/libbson.hpp>

using namespace oplog;
using namespace oplog::test;

TEST_CASE("libbson reads a document where it is") {
    const std::string bytes = Bson().int32("a", 7).string("s", "x").bytes();
    const bson_t view = bson::to_libbson(bson::Document(bytes));
    CHECK(static_cast<const void*>(::bson_get_data(&view)) == bytes.data());
    bson_iter_t at;
    REQUIRE(::bson_iter_init_find(&at, &view, "a"));
    CHECK(::bson_iter_int32(&at) == 7);
}

TEST_CASE("a document of libbson is read where it is") {
    for (const std::size_t length : {3u, 3000u}) { // libbson keeps short ones in the bson_t itself
        bson_t made = BSON_INITIALIZER;
        BSON_APPEND_UTF8(&made, "s", std::string(length, 'x').c_str());
        const bson::Document view = bson::from_libbson(made);
        CHECK(static_cast<const void*>(view.data()) == ::bson_get_data(&made));
        CHECK(view.find("s")->string().size() == length);
        CHECK(bson::to_libbson(view).len == made.len);
        ::bson_destroy(&made);
    }
}

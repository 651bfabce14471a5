// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>

#include <bson/bson.h>

/// Bridges to libbson, for programs that use it or libmongoc. Nothing is copied.
namespace oplog::inline v0_1::bson {

/// A bson_t that shows the bytes of a document. It is read-only, valid as long as the bytes are, and must not be
/// destroyed. Throws DataError for a document whose frame libbson rejects.
inline bson_t to_libbson(const Document& document) {
    bson_t view;
    if (!::bson_init_static(&view, reinterpret_cast<const std::uint8_t*>(document.data()), document.size()))
        throw DataError(Fault::malformed, "a document that libbson does not take");
    return view;
}

/// A view of the bytes of a bson_t, valid as long as that is neither changed nor destroyed. Throws DataError for a
/// wrong frame.
inline Document from_libbson(const bson_t& document OPLOG_LIFETIMEBOUND) {
    return Document(std::string_view(reinterpret_cast<const char*>(::bson_get_data(&document)), document.len));
}
inline Document from_libbson(bson_t&&) = delete;

} // namespace oplog::bson

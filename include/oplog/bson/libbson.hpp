// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>

#include <bson/bson.h>

/// Bridges to libbson, for programs that use it or libmongoc. Nothing is copied.
namespace oplog::inline v0_1::bson {

/// A bson_t that shows the document's bytes: read-only, valid as long as they are, and not to be destroyed.
/// Throws DataError for a document that libbson does not take, by its frame.
inline bson_t to_libbson(const Document& document) {
    bson_t view;
    if (!::bson_init_static(&view, reinterpret_cast<const std::uint8_t*>(document.data()), document.size()))
        throw DataError(Fault::malformed, "a document that libbson does not take");
    return view;
}

/// The bytes of a bson_t as a document: valid as long as it is neither changed nor destroyed. Throws DataError for a wrong frame.
inline Document from_libbson(const bson_t& document OPLOG_LIFETIMEBOUND) {
    return Document(std::string_view(reinterpret_cast<const char*>(::bson_get_data(&document)), document.len));
}
inline Document from_libbson(bson_t&&) = delete;

} // namespace oplog::bson

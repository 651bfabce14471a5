// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What needs only the standard library: plain files, and all that works on entries.

#include "bson.hpp"
#include "builder.hpp"
#include "catalog.hpp"
#include "entry.hpp"
#include "error.hpp"
#include "filter.hpp"
#include "glob.hpp"
#include "io.hpp"
#include "json.hpp"
#include "merge.hpp"
#include "operation.hpp"
#include "range.hpp"
#include "range_in_parts.hpp"
#include "reader.hpp"
#include "reencoding.hpp"
#include "slice.hpp"
#include "split.hpp"
#include "stage.hpp"
#include "stats.hpp"
#include "time_series.hpp"
#include "timestamp.hpp"
#include "transaction.hpp"
#include "validate.hpp"
#include "verify.hpp"
#include "version.hpp"
#include "writer.hpp"

namespace oplog {

/// Entries of a plain, uncompressed oplog.
using PlainReader = BasicReader<FileSource>;
using PlainWriter = BasicWriter<FileSink>;

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What needs only the standard library: read, cut and merge plain files.

#include "bson.hpp"
#include "entry.hpp"
#include "error.hpp"
#include "io.hpp"
#include "merge.hpp"
#include "range.hpp"
#include "reader.hpp"
#include "slice.hpp"
#include "split.hpp"
#include "timestamp.hpp"
#include "validate.hpp"
#include "version.hpp"
#include "writer.hpp"

namespace oplog {

/// Entries of a plain, uncompressed oplog.
using PlainReader = BasicReader<FileSource>;
using PlainWriter = BasicWriter<FileSink>;

} // namespace oplog

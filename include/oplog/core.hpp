// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Everything that needs only the standard library: reading and writing plain files, and all that works on entries.

#include <oplog/bson/builder.hpp>
#include <oplog/bson/document.hpp>
#include <oplog/bson/json.hpp>
#include <oplog/bson/validate.hpp>
#include <oplog/entry/entry.hpp>
#include <oplog/entry/filter.hpp>
#include <oplog/entry/glob.hpp>
#include <oplog/entry/operation.hpp>
#include <oplog/entry/reencoding.hpp>
#include <oplog/entry/transaction.hpp>
#include <oplog/error.hpp>
#include <oplog/io/file.hpp>
#include <oplog/io/reader.hpp>
#include <oplog/io/writer.hpp>
#include <oplog/restore/catalog.hpp>
#include <oplog/restore/stage.hpp>
#include <oplog/restore/time_series.hpp>
#include <oplog/restore/verify.hpp>
#include <oplog/stream/checked_reader.hpp>
#include <oplog/stream/committed_operations.hpp>
#include <oplog/stream/filter_view.hpp>
#include <oplog/stream/merge.hpp>
#include <oplog/stream/range.hpp>
#include <oplog/stream/range_in_parts.hpp>
#include <oplog/stream/readings.hpp>
#include <oplog/stream/sifted_reader.hpp>
#include <oplog/stream/slice.hpp>
#include <oplog/stream/split.hpp>
#include <oplog/stream/stats.hpp>
#include <oplog/timestamp.hpp>
#include <oplog/version.hpp>

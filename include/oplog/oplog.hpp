// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The whole library.

#include <oplog/bson/hashed.hpp>
#include <oplog/bson/id_key.hpp>
#include <oplog/bson/json_parser.hpp>
#include <oplog/bson/order.hpp>
#include <oplog/bson/touched_fields.hpp>
#include <oplog/bson/update.hpp>
#include <oplog/core.hpp>
#include <oplog/entry/id_sieve.hpp>
#include <oplog/io/archive.hpp>
#include <oplog/io/files.hpp>
#include <oplog/restore/apply.hpp>
#include <oplog/restore/apply_collection.hpp>
#include <oplog/restore/chain.hpp>
#include <oplog/restore/change_log.hpp>
#include <oplog/restore/changed_paths.hpp>
#include <oplog/restore/collection_metadata.hpp>
#include <oplog/restore/coordinators.hpp>
#include <oplog/restore/decisions.hpp>
#include <oplog/restore/document_comparison.hpp>
#include <oplog/restore/dump.hpp>
#include <oplog/restore/dump_diff.hpp>
#include <oplog/restore/gather.hpp>
#include <oplog/restore/history.hpp>
#include <oplog/restore/sharding.hpp>
#include <oplog/restore/take_back.hpp>
#include <oplog/stream/heavy_hitters.hpp>
#include <oplog/stream/hot_spots.hpp>
#include <oplog/stream/late_reader.hpp>

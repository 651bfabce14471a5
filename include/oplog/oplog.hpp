// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The whole library.

#include "apply.hpp"
#include "apply_collection.hpp"
#include "chain.hpp"
#include "change_log.hpp"
#include "compare.hpp"
#include "compress.hpp"
#include "core.hpp"
#include "diff.hpp"
#include "dump.hpp"
#include "json_parser.hpp"

// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <oplog/bson/json_parser.hpp> // this path goes with 0.2

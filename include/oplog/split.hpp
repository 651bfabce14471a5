// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <oplog/stream/split.hpp> // this path goes with 0.2

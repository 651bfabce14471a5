// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The whole library.

#include "compress.hpp"
#include "core.hpp"
#include "glob.hpp"
#include "json.hpp"

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The version of the library and of the tools. The build reads it from here.
#define OPLOG_VERSION_MAJOR 0
#define OPLOG_VERSION_MINOR 1
#define OPLOG_VERSION_PATCH 0
#define OPLOG_VERSION "0.1.0"

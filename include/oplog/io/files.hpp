// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/io/compress.hpp>
#include <oplog/io/reader.hpp>
#include <oplog/io/writer.hpp>

namespace oplog::inline v0_1 {

/// What a user means by a file: plain or compressed, told by its content.
using InputSource = DecompressingSource<FileSource>;
/// A file, compressed if its name or the caller asks for it.
using OutputSink = CompressingSink<FileSink>;

/// Entries of an oplog: a file, "-", a directory; plain, zstd or gzip.
using Reader = BasicReader<InputSource>;
/// Documents of any BSON file, opened the same way.
using DocumentReader = BasicReader<InputSource, bson::Document>;
/// Writes entries or documents: `Writer out{"slice.bson.zst"}`.
using Writer = BasicWriter<OutputSink>;

} // namespace oplog

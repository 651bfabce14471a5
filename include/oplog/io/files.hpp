// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/io/archive.hpp>
#include <oplog/io/compress.hpp>
#include <oplog/io/reader.hpp>
#include <oplog/io/writer.hpp>

namespace oplog::inline v0_1 {

/// Reads a file as a user means it: plain or compressed, recognised by its content.
using InputSource = DecompressingSource<FileSource>;
/// Writes a file, compressed if its name or the caller asks for it.
using OutputSink = CompressingSink<FileSink>;

/// Reads the entries of an oplog from a file, "-", a directory or an archive of mongodump; plain, zstd or gzip.
using Reader = BasicReader<OplogSource<InputSource>>;
/// Reads the documents of any BSON file, opened in the same way.
using DocumentReader = BasicReader<InputSource, bson::Document>;
/// Writes entries or documents: `Writer out{"slice.bson.zst"}`.
using Writer = BasicWriter<OutputSink>;
/// Reads an archive from a file or a pipe, compressed or not.
using ArchiveReader = BasicArchiveReader<InputSource>;
using ArchiveWriter = BasicArchiveWriter<Writer>;

} // namespace oplog

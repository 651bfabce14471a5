// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "spool.hpp"
#include "undo.hpp"

#include <oplog/bson/json.hpp>
#include <oplog/io/archive.hpp>
#include <oplog/restore/dump.hpp>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <string>

/// Archives of mongodump where a dump or an oplog is wanted.
namespace oplog::tools {

/// Whether a file, compressed or not, begins as an archive does.
inline bool is_archive(const std::string& path) {
    constexpr std::size_t size = sizeof oplog::detail::archive_magic;
    char beginning[size];
    try {
        InputSource source(path);
        for (std::size_t has = 0, got = 0; has < size; has += got)
            if ((got = source.read(beginning + has, size - has)) == 0) return false;
    } catch (const Error&) {
        return false; // whoever reads it tells what is wrong
    }
    return std::memcmp(beginning, &oplog::detail::archive_magic, size) == 0;
}

/// A dump that is an archive, unpacked into a temporary directory, which is gone when this is.
class UnpackedArchive {
  public:
    /// Throws DataError and std::system_error.
    explicit UnpackedArchive(const std::string& archive) : path_(scratch_directory() + "/oplog-archive-XXXXXX") {
        {
            const oplog::detail::SignalsHeld until_watched;
            if (!::mkdtemp(path_.data())) oplog::detail::throw_errno(path_);
            undo_.watch(path_);
        }
        try {
            unpack(ArchiveReader(InputSource(archive), archive));
        } catch (...) {
            remove();
            throw;
        }
    }
    UnpackedArchive(const UnpackedArchive&) = delete;
    ~UnpackedArchive() { remove(); }

    const std::string& path() const noexcept { return path_; }

  private:
    void remove() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    /// Where mongodump would have put a file of a collection.
    std::string file(const std::string& database, const std::string& collection, const char* extension) const {
        if (database.empty() && collection == "oplog") return path_ + "/oplog" + extension;
        if (database.empty() || database.find_first_of("/\\. \"$") != database.npos)
            throw DataError(Fault::bad_value, "'" + database + "' is no database's name");
        std::filesystem::create_directory(path_ + "/" + database);
        return path_ + "/" + database + "/" + dump_file_name(collection) + extension;
    }
    static void write(const std::string& path, const std::string& text) {
        FileSink sink(path, IfExists::refuse, Content::text);
        sink.write(text.data(), text.size());
        sink.close();
    }
    void unpack(ArchiveReader archive) const {
        const ArchivePrelude& prelude = archive.prelude();
        bson::Builder versions;
        const bson::Value version =
            versions.string("ServerVersion", prelude.server_version).string("ToolVersion", prelude.tool_version).finish();
        write(path_ + "/prelude.json", to_json(version.view()));
        std::set<std::string> views; // which end like the others, and have no documents
        for (const ArchiveCollection& collection : prelude.collections) {
            if (!collection.metadata.empty()) write(file(collection.database, collection.name, ".metadata.json"), collection.metadata);
            if (collection.is_view()) views.insert(file(collection.database, collection.name, ".bson"));
        }
        std::map<std::string, Writer> open; // as many as were dumped at a time
        while (archive.next()) {
            const auto& item = archive.current();
            const std::string path = file(item.database, item.collection, ".bson");
            if (!item.document && views.contains(path) && !open.contains(path)) continue;
            const auto at = open.try_emplace(path, path).first;
            if (item.document) {
                at->second.write(*item.document);
            } else {
                at->second.close();
                open.erase(at);
            }
        }
    }

    std::string path_;
    UndoOnSignal<undo_input_on_signal> undo_;
};

/// Writes the oplog in an archive into a file. Throws DataError unless there is exactly one.
inline void unpack_oplog(const std::string& archive, const std::string& name, Spool& out) {
    ArchiveReader reader(InputSource(archive), name);
    bool found = false;
    while (reader.next()) {
        const auto& item = reader.current();
        const bool is_oplog =
            item.database.empty() ? item.collection == "oplog" : item.database == "local" && item.collection == "oplog.rs";
        if (!is_oplog) continue;
        if (item.document) out.write(item.document->bytes().data(), item.document->size());
        if (!item.document && std::exchange(found, true)) throw DataError(Fault::ambiguous, name + ": an archive with two oplogs");
    }
    if (!found) throw DataError(Fault::not_oplog, name + ": an archive without an oplog");
}

} // namespace oplog::tools

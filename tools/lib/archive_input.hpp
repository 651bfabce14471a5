// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "spool.hpp"
#include "undo.hpp"

#include <oplog/bson/json.hpp>
#include <oplog/io/archive.hpp>
#include <oplog/restore/dump.hpp>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
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

/// Dumps that are archives, unpacked into a temporary directory, which is gone when this is. There must be only one at a time.
class UnpackedArchives {
  public:
    UnpackedArchives() = default;
    UnpackedArchives(const UnpackedArchives&) = delete;
    ~UnpackedArchives() {
        std::error_code ignored;
        if (!directory_.empty()) std::filesystem::remove_all(directory_, ignored);
    }

    /// The directory that a dump is, or is unpacked into: what is neither a directory nor missing is taken for an archive.
    /// Throws DataError and std::system_error.
    std::string directory(const std::string& dump) {
        std::error_code unknown;
        if (dump != "-" && (!std::filesystem::exists(dump, unknown) || std::filesystem::is_directory(dump, unknown))) return dump;
        if (directory_.empty()) {
            std::string made = scratch_directory() + "/oplog-archive-XXXXXX";
            const oplog::detail::SignalsHeld until_watched;
            if (!::mkdtemp(made.data())) oplog::detail::throw_errno(made);
            directory_ = made;
            undo_.watch(directory_);
        }
        std::string path = directory_ + "/" + std::to_string(++count_) + ".dump"; // no such path is how another begins
        std::filesystem::create_directory(path);
        unpack(dump, path);
        show_as(path, dump);
        return path;
    }

  private:
    /// Where mongodump would have put a file of a collection.
    static std::string file(const std::string& path, const std::string& database, const std::string& collection, const char* extension) {
        if (database.empty() && collection == "oplog") return path + "/oplog" + extension;
        if (database.empty() || database.find_first_of("/\\. \"$") != database.npos)
            throw DataError(Fault::bad_value, "'" + database + "' is no database's name");
        std::filesystem::create_directory(path + "/" + database);
        return path + "/" + database + "/" + dump_file_name(collection) + extension;
    }
    static void write(const std::string& path, const std::string& text) {
        FileSink sink(path, IfExists::refuse, Content::text);
        sink.write(text.data(), text.size());
        sink.close();
    }
    static void unpack(const std::string& name, const std::string& directory) {
        ArchiveReader archive(InputSource(name), name);
        const ArchivePrelude& prelude = archive.prelude();
        bson::Builder versions;
        const bson::Value version =
            versions.string("ServerVersion", prelude.server_version).string("ToolVersion", prelude.tool_version).finish();
        write(directory + "/prelude.json", to_json(version.view()));
        const auto file_of = [&](const auto&... which) {
            try {
                return file(directory, which...);
            } catch (const DataError& error) {
                throw error.within(name);
            }
        };
        std::set<std::string> views; // which end like the others, and have no documents
        for (const ArchiveCollection& collection : prelude.collections) {
            if (!collection.metadata.empty()) write(file_of(collection.database, collection.name, ".metadata.json"), collection.metadata);
            if (collection.is_view()) views.insert(file_of(collection.database, collection.name, ".bson"));
        }
        std::map<std::string, Writer> open; // as many as were dumped at a time
        while (archive.next()) {
            const auto& item = archive.current();
            const std::string path = file_of(item.database, item.collection, ".bson");
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

    std::string directory_; ///< With a directory for each archive; empty if there is none.
    unsigned count_ = 0;
    UndoOnSignal<undo_input_on_signal> undo_;
};

/// Writes the oplog in an archive into a file. Throws DataError unless there is exactly one.
inline void unpack_oplog(const std::string& archive, const std::string& name, Spool& out) {
    OplogSource<InputSource> in(archive);
    const auto buffer = std::make_unique_for_overwrite<char[]>(1 << 20);
    try {
        while (const std::size_t got = in.read(buffer.get(), 1 << 20)) out.write(buffer.get(), got);
    } catch (const DataError& error) {
        throw error.within(name);
    }
}

} // namespace oplog::tools

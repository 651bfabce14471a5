// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/builder.hpp>
#include <oplog/bson/hex.hpp>
#include <oplog/bson/json.hpp>
#include <oplog/bson/json_parser.hpp>
#include <oplog/entry/operation.hpp>
#include <oplog/io/files.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <linux/fs.h>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

namespace detail {

inline std::array<std::uint8_t, 20> sha1(std::string_view text) {
    std::string message(text);
    message += static_cast<char>(0x80);
    message.resize((message.size() + 8 + 63) / 64 * 64 - 8);
    for (int shift = 56; shift >= 0; shift -= 8) message += static_cast<char>(std::uint64_t{text.size()} * 8 >> shift);
    std::array<std::uint32_t, 5> state{0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    for (std::size_t block = 0; block < message.size(); block += 64) {
        std::array<std::uint32_t, 80> w{};
        for (std::size_t i = 0; i < 16; ++i)
            for (std::size_t j = 0; j < 4; ++j) w[i] = w[i] << 8 | static_cast<std::uint8_t>(message[block + i * 4 + j]);
        for (std::size_t i = 16; i < 80; ++i) w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        auto [a, b, c, d, e] = state;
        for (std::size_t i = 0; i < 80; ++i) {
            const std::uint32_t f = i < 20   ? ((b & c) | (~b & d)) + 0x5A827999
                                    : i < 40 ? (b ^ c ^ d) + 0x6ED9EBA1
                                    : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC
                                             : (b ^ c ^ d) + 0xCA62C1D6;
            const std::uint32_t next = std::rotl(a, 5) + f + e + w[i];
            e = d;
            d = c;
            c = std::rotl(b, 30);
            b = a;
            a = next;
        }
        state = {state[0] + a, state[1] + b, state[2] + c, state[3] + d, state[4] + e};
    }
    std::array<std::uint8_t, 20> digest{};
    for (std::size_t i = 0; i < 20; ++i) digest[i] = static_cast<std::uint8_t>(state[i / 4] >> (24 - 8 * (i % 4)));
    return digest;
}

inline std::string base64_url(const std::array<std::uint8_t, 20>& bytes) {
    static constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::string text;
    for (std::size_t bit = 0; bit < 160; bit += 6) {
        const std::uint32_t pair = bytes[bit / 8] << 8 | (bit / 8 + 1 < bytes.size() ? bytes[bit / 8 + 1] : 0);
        text += alphabet[pair >> (10 - bit % 8) & 63];
    }
    return text;
}

} // namespace detail

/// The name that mongodump gives to the files of a collection, without ".bson" and ".metadata.json": the collection's
/// name, escaped as in the query of a URL. If that has more than 238 bytes, it is cut and a hash is added.
inline std::string dump_file_name(std::string_view collection) {
    std::string name;
    for (const char c : collection) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                           std::string_view("-_.~").find(c) != std::string_view::npos;
        if (plain) {
            name += c;
        } else if (c == ' ') {
            name += '+';
        } else {
            name += '%';
            for (const int nibble : {(c >> 4) & 15, c & 15}) name += "0123456789ABCDEF"[nibble];
        }
    }
    if (name.size() > 238) name = name.substr(0, 208) + "%24" + detail::base64_url(detail::sha1(collection));
    return name;
}

/// Whether a file's name (without extensions) may be that of a long name, which holds only a hash of the collection's
/// name.
inline bool is_hashed_name(std::string_view file_name) { return file_name.size() == 238 && file_name.find("%24") != file_name.npos; }

/// The collection whose files have this name (without extensions). None for a long name, and for a name that is not
/// correctly escaped.
inline std::optional<std::string> dump_collection_name(std::string_view file_name) {
    if (is_hashed_name(file_name)) return std::nullopt;
    std::string name;
    for (std::size_t i = 0; i < file_name.size(); ++i) {
        const char c = file_name[i];
        std::uint8_t byte = 0;
        if (c == '+') {
            name += ' ';
        } else if (c != '%') {
            name += c;
        } else if (const std::string_view hex = file_name.substr(i + 1, 2);
                   hex.size() == 2 && std::from_chars(hex.data(), hex.data() + 2, byte, 16).ptr == hex.data() + 2) {
            name += static_cast<char>(byte);
            i += 2;
        } else {
            return std::nullopt;
        }
    }
    return name;
}

/// Reads all of a file, decompressed. Throws DataError with the file's name for more than 64 MiB. The metadata of a
/// collection has at most 16 MiB on a server, and about three times that as JSON.
inline std::string read_whole(const std::string& path) {
    constexpr std::size_t limit = 64 << 20, step = 1 << 16;
    InputSource source(path);
    std::string bytes;
    try {
        for (std::size_t got = step; got > 0;) {
            const std::size_t size = bytes.size();
            if (size > limit) throw DataError(Fault::too_large, "more than 64 MiB");
            bytes.resize(size + step);
            got = source.read(&bytes[size], step);
            bytes.resize(size + got);
        }
    } catch (const DataError& error) {
        throw error.within(path);
    }
    return bytes;
}

/// The metadata that mongodump writes beside the documents of a collection.
struct Metadata {
    bson::Value options;              ///< The empty document if there are none.
    std::vector<bson::Value> indexes; ///< As listIndexes returns them.
    std::string uuid;                 ///< 32 hexadecimal digits; empty if unknown.
    std::string collection;           ///< Its name, unescaped.
    std::string type;                 ///< "collection", "view" or "timeseries"; empty in old dumps.

    /// Whether this is a view. Old versions wrote no type. A view that was dumped as a collection has no viewOn.
    bool is_view() const { return options.view().find("viewOn").has_value(); }
    /// Whether this is a time series.
    bool is_timeseries() const noexcept { return type == "timeseries"; }
    /// The 16 bytes of the UUID; empty if unknown.
    std::string uuid_bytes() const { return bson::from_hex(uuid); }

    /// Parses the text of a metadata file. An empty file, which old versions wrote, gives empty metadata. Throws
    /// DataError.
    static Metadata parse(std::string_view json) {
        Metadata metadata;
        if (json.empty()) return metadata;
        const std::string bytes = parse_json(json, 32 << 20); // twice as much as a server's catalog can hold of a collection
        check_keys(bson::Document(bytes), "the metadata has");
        for (const bson::Element& element : bson::Document(bytes)) {
            const std::string_view key = element.key();
            if (key == "options") {
                check_options(element.document());
                metadata.options = bson::Value(element.document());
            } else if (key == "indexes") {
                if (element.is(bson::Type::null)) continue;
                for (const bson::Element& index : element.array()) {
                    check_keys(index.document(), "an index has");
                    if (!is_index(index.document()))
                        throw DataError(Fault::missing_field, "an index has no name or no key: " + to_json(index.document()));
                    metadata.indexes.emplace_back(index.document());
                }
            } else if (key == "uuid") {
                metadata.uuid = element.string();
                if (!metadata.uuid.empty() && metadata.uuid_bytes().size() != 16)
                    throw DataError(Fault::bad_value, "uuid '" + metadata.uuid + "' is not 32 hexadecimal digits");
            } else if (key == "collectionName") {
                metadata.collection = element.string();
            } else if (key == "type") {
                metadata.type = element.string();
                if (metadata.type != "collection" && metadata.type != "view" && metadata.type != "timeseries" && !metadata.type.empty())
                    throw DataError(Fault::not_supported, "type '" + metadata.type + "' is none of collection, view and timeseries");
            } else { // who passed over a misspelt one would restore a collection without its options or indexes
                throw DataError(Fault::not_supported, "the metadata has the unknown key '" + std::string(key) + "'");
            }
        }
        return metadata;
    }

    /// The text of the file, as mongodump writes it.
    std::string json() const {
        bson::Builder out;
        if (!options.view().empty()) out.document("options", options);
        out.begin_array("indexes");
        for (std::size_t i = 0; i < indexes.size(); ++i) out.document(std::to_string(i), indexes[i]);
        out.end();
        if (!uuid.empty()) out.string("uuid", uuid);
        out.string("collectionName", collection);
        if (!type.empty()) out.string("type", type);
        const bson::Value document = out.finish();
        return to_json(document.view());
    }

  private:
    /// Refuses a key that occurs twice, because nobody can say which value holds.
    static void check_keys(const bson::Document& document, const std::string& what) {
        std::set<std::string_view> keys;
        for (const bson::Element& element : document)
            if (!keys.insert(element.key()).second)
                throw DataError(Fault::ambiguous, what + " the key '" + std::string(element.key()) + "' twice");
    }
    /// Checks the types of options that are read here or when entries are applied.
    static void check_options(const bson::Document& options) {
        check_keys(options, "the options have");
        const auto check = [](const bson::Document& document, std::string_view key, bson::Type wanted) {
            if (const auto found = document.find(key); found && !found->is(wanted))
                throw DataError(Fault::wrong_type, "the option " + std::string(key) + " has a wrong type");
        };
        for (const char* key : {"timeseries", "collation", "validator", "idIndex"}) check(options, key, bson::Type::document);
        check(options, "viewOn", bson::Type::string);
        check(options, "pipeline", bson::Type::array);
        if (const auto series = options.find("timeseries"))
            for (const char* key : {"timeField", "metaField", "granularity"}) check(series->document(), key, bson::Type::string);
    }
    static bool is_index(const bson::Document& spec) {
        const auto name = spec.find("name"), key = spec.find("key");
        return name && name->is(bson::Type::string) && key && key->is(bson::Type::document);
    }
};

/// Throws DataError for a file whose compression is not the one that its name says. mongorestore relies on the name.
inline void require_named_compression(const std::string& path) {
    struct Beginning {
        FileSource file;
        std::size_t read(char* buffer, std::size_t size) { return file.read(buffer, std::min<std::size_t>(size, 16)); }
    };
    const Compression is = DecompressingSource<Beginning>(Beginning{FileSource(path)}).method();
    const bool named = path.ends_with(".gz");
    if (is == (named ? Compression::gzip : Compression::none)) return;
    throw DataError(Fault::inconsistent, path +
                                             (is == Compression::none   ? ": not compressed"
                                              : is == Compression::gzip ? ": compressed by gzip"
                                                                        : ": compressed by zstd") +
                                             ", which is not what its name says and mongorestore goes by");
}

/// Reads a metadata file. Throws DataError with the file's name.
inline Metadata read_metadata_file(const std::string& path, bool may_be_empty = true) {
    const std::string json = read_whole(path);
    if (json.empty() && !may_be_empty) throw DataError(Fault::truncated, path + ": empty");
    try {
        return Metadata::parse(json);
    } catch (const DataError& error) {
        throw error.within(path);
    }
}

/// A collection or view in a dump. For a time series `name` is the name of the series, and the file with the documents
/// is that of its buckets.
struct DumpCollection {
    std::string database;
    std::string name;
    std::string data;     ///< The path of the .bson[.gz]; empty for a view, or if there is none.
    std::string metadata; ///< The path of the .metadata.json[.gz]; empty if there is none.
    bool is_old = true;   ///< Whether the mongodump may be one that wrote empty metadata, and no prelude.

    /// The namespace that users know.
    std::string ns() const { return database + "." + name; }
    /// Reads the metadata. Throws DataError for a collection that is incomplete (mongodump writes two files for each
    /// collection, and only the metadata for a view), and for a file whose compression is not the one that its name
    /// says.
    Metadata read_metadata() const {
        if (metadata.empty()) fail_missing(missing_metadata(), "options and indexes");
        for (const std::string& file : {metadata, data})
            if (!file.empty()) require_named_compression(file);
        Metadata result = read_metadata_file(metadata, is_old);
        result.collection = name;
        if (result.is_view() && !data.empty())
            throw DataError(Fault::inconsistent, data + ": documents of " + ns() + ", which is a view by " + metadata);
        const bool of_buckets =
            std::filesystem::path(data).filename().string().starts_with(buckets_prefix) && !name.starts_with(buckets_prefix);
        if ((data.empty() && !result.is_view()) || (of_buckets && !result.is_timeseries()))
            fail_missing(beside(metadata, (result.is_timeseries() ? std::string(buckets_prefix) : "") + name, ".bson"), "documents");
        return result;
    }
    /// Throws the DataError that says that `other` has the same UUID.
    [[noreturn]] void fail_same_uuid(std::string_view other) const {
        throw DataError(Fault::ambiguous,
                        metadata + ": has the UUID of " + logical_namespace(other) +
                            ", and no two collections have one: was one renamed while the dump was made, or are these two dumps?");
    }
    /// The path at which its metadata is missing.
    std::string missing_metadata() const {
        return beside(data, name.starts_with(buckets_prefix) ? name.substr(buckets_prefix.size()) : name, ".metadata.json");
    }

  private:
    static std::string beside(const std::string& file, const std::string& collection, const char* extension) {
        return detail::parent_directory(file) + "/" + dump_file_name(collection) + extension + (file.ends_with(".gz") ? ".gz" : "");
    }
    [[noreturn]] void fail_missing(const std::string& file, const char* what) const {
        throw DataError(Fault::incomplete, file + ": missing, and with it the " + what + " of " + ns() +
                                               ": the dump is not whole (--exclude-ns leaves the collection out)");
    }
};

/// A directory that mongodump wrote, plain or with --gzip. This class reads only the names in it, the metadata of
/// collections with long names, and whether there are documents where metadata is missing.
class Dump {
  public:
    /// Lists the directory. Throws std::system_error, and DataError for files whose collection is unknown, for two
    /// files that serve the same purpose, for links to directories, and for anything that is not a regular file where
    /// one must be.
    explicit Dump(std::string path) : path_(std::move(path)) {
        for (const auto& entry : list(path_)) {
            const std::string name = entry.path().filename().string();
            if (is_directory(entry) && is_database_name(name))
                read_database(name);
            else if (!is_directory(entry) && (name == "oplog.bson" || name == "oplog.bson.gz" || name == "oplog.bson.zst"))
                take_only(oplog_, entry.path().string());
            else if (!is_directory(entry) && (name == "prelude.json" || name == "prelude.json.gz"))
                take_only(prelude_, entry.path().string());
            else if (!is_directory(entry) && name == "step.json") // oplog-backup's record of the dump
                others_.push_back(entry.path().string());
            else
                pass_over(entry);
        }
        if (prelude_) require_named_compression(*prelude_);
        std::ranges::sort(collections_, {}, &DumpCollection::ns);
        std::ranges::sort(others_);
        std::ranges::sort(warnings_);
        if (const DumpCollection* slice = find("local.oplog.rs"); slice && oplog_) fail_both(*oplog_, slice->data, "two oplogs");
        if (!plain_.empty() && !gzip_.empty())
            fail_both(gzip_, plain_, "mongorestore reads either compressed files, with --gzip, or plain ones, and passes over the others");
        for (DumpCollection& collection : collections_) {
            collection.is_old = !prelude_;
            remember({collection.data, collection.metadata});
        }
        remember({oplog_.value_or("")});
    }

    /// Throws DataError if a file has changed since it was listed, for example because a new dump was started in the
    /// same directory. Throws std::system_error if a file is gone.
    void require_unchanged() const {
        for (const auto& [file, state] : states_)
            if (FileState::of(file) != state)
                throw DataError(Fault::changed, file + ": has changed meanwhile; start again when nothing writes there");
    }

    const std::string& path() const noexcept { return path_; }
    /// The collections, in the order of their namespaces.
    const std::vector<DumpCollection>& collections() const noexcept { return collections_; }
    /// The collection with that namespace, or null. A time series has its own namespace ("shop.ts"), not that of its
    /// buckets.
    const DumpCollection* find(std::string_view ns) const {
        const auto at = std::ranges::lower_bound(collections_, ns, {}, &DumpCollection::ns);
        return at == collections_.end() || at->ns() != ns ? nullptr : &*at;
    }
    /// The path of the oplog; none if there is none.
    const std::optional<std::string>& oplog() const noexcept { return oplog_; }
    /// The path of prelude.json, which says where the dump came from; none if there is none.
    const std::optional<std::string>& prelude() const noexcept { return prelude_; }
    /// The version of the server that the dump is of, as {6, 0, 5}; none if there is no prelude.json that says so. Throws
    /// DataError.
    std::optional<std::array<int, 3>> server_version() const {
        if (!prelude_) return std::nullopt;
        const std::string json = read_whole(*prelude_);
        const auto parsed = [&] {
            try {
                return parse_json(json);
            } catch (const DataError& error) {
                throw error.within(*prelude_);
            }
        };
        const std::string prelude = parsed();
        const auto text = bson::Document(prelude).find("ServerVersion");
        std::array<int, 3> version{};
        const bool is_version = text && text->is(bson::Type::string) &&
                                std::sscanf(std::string(text->string()).c_str(), "%d.%d.%d", &version[0], &version[1], &version[2]) == 3;
        return is_version ? std::optional(version) : std::nullopt;
    }
    /// The source's feature compatibility version, as {6, 0}; none if the dump does not have it in a form that can be read.
    std::optional<std::array<int, 2>> compatibility_version() const {
        const DumpCollection* const versions = find("admin.system.version");
        if (!versions || versions->data.empty()) return std::nullopt;
        try {
            for (DocumentReader documents(versions->data, Check::structure); documents.next();) {
                const auto id = documents.current().find("_id"), version = documents.current().find("version");
                std::array<int, 2> parts{};
                if (id && id->is(bson::Type::string) && id->string() == "featureCompatibilityVersion" && version &&
                    version->is(bson::Type::string) &&
                    std::sscanf(std::string(version->string()).c_str(), "%d.%d", &parts[0], &parts[1]) == 2)
                    return parts;
            }
        } catch (const DataError&) { // it may be left out of what is wanted
        }
        return std::nullopt;
    }
    /// Files and directories that mongodump does not write.
    const std::vector<std::string>& others() const noexcept { return others_; }
    /// Collections without both metadata and documents. mongodump leaves such files of a collection that is dropped or
    /// renamed as the dump begins. They are not among the others.
    const std::vector<DumpCollection>& dropped() const noexcept { return dropped_; }
    /// What is ignored and why: sentences that begin with the path.
    const std::vector<std::string>& warnings() const noexcept { return warnings_; }
    /// Whether the dump was written with --gzip. mongorestore must be told that.
    bool gzip() const noexcept { return !gzip_.empty(); }
    /// A file's path relative to the dump's directory.
    std::string relative(const std::string& file) const { return std::filesystem::path(file).lexically_relative(path_).string(); }

  private:
    struct Files {
        std::string data, metadata;
        const std::string& any() const { return data.empty() ? metadata : data; }
    };

    /// The content of a directory in the order of names.
    static std::vector<std::filesystem::directory_entry> list(const std::string& directory) {
        std::error_code error;
        std::vector<std::filesystem::directory_entry> entries;
        for (std::filesystem::directory_iterator at(directory, error); !error && at != std::filesystem::directory_iterator();
             at.increment(error))
            entries.push_back(*at);
        if (error) throw std::system_error(error, directory);
        std::ranges::sort(entries);
        return entries;
    }
    /// Whether an entry is a directory. Refuses a link to a directory, which may lead anywhere, also back here.
    static bool is_directory(const std::filesystem::directory_entry& entry) {
        std::error_code unknown; // the entry is a link to nothing, or one that cannot be followed
        const bool directory = entry.is_directory(unknown);
        if (directory && entry.is_symlink())
            throw DataError(Fault::not_supported, entry.path().string() + ": a link to a directory, which no dump has");
        return directory;
    }
    /// Whether mongorestore accepts this as the name of a database. It stops at any other name.
    static bool is_database_name(std::string_view name) { return why_on_no_server({name, {}}).empty(); }
    [[noreturn]] static void fail_both(const std::string& one, const std::string& other, const std::string& reason) {
        throw DataError(Fault::ambiguous, one + " and " + other + ": " + reason);
    }
    static void take_only(std::optional<std::string>& place, const std::string& file) {
        require_regular_file(file);
        if (place) fail_both(*place, file, "which of them is of this dump?");
        place = file;
    }
    void remember(std::initializer_list<std::string> files) {
        for (const std::string& file : files)
            if (!file.empty()) states_.emplace_back(file, FileState::of(file));
    }
    void pass_over(const std::filesystem::directory_entry& entry) {
        const std::string path = entry.path().string();
        others_.push_back(path);
        warnings_.push_back(path + ": belongs to no dump, and is passed over");
    }

    void read_database(const std::string& database) {
        std::map<std::string, Files> files; // by their names without extensions
        for (const auto& entry : list((std::filesystem::path(path_) / database).string())) {
            const std::string path = entry.path().string();
            std::string name = entry.path().filename().string();
            const bool gzip = name.ends_with(".gz");
            if (gzip) name.resize(name.size() - 3);
            const auto cut = [&](std::string_view extension) {
                const bool has = !is_directory(entry) && name.size() > extension.size() && name.ends_with(extension);
                if (has) name.resize(name.size() - extension.size());
                return has;
            };
            if (name == "prelude.json") continue; // it only tells where a dump of one database came from
            const bool is_metadata = cut(".metadata.json");
            if (!is_metadata && !cut(".bson")) {
                if (cut(".bson.zst") || cut(".metadata.json.zst"))
                    throw DataError(Fault::not_supported,
                                    path + ": compressed by zstd, which mongorestore does not read: unpack it first (zstd -d --rm)");
                pass_over(entry);
                continue;
            }
            require_regular_file(path);
            std::string& place = is_metadata ? files[name].metadata : files[name].data;
            if (!place.empty()) fail_both(place, path, "which of them is of this dump?");
            place = path;
            (gzip ? gzip_ : plain_) = path;
        }
        std::map<std::string, Files> named, unnamed;
        for (const auto& [file, paths] : files) {
            auto name = dump_collection_name(file);
            if (!name && !is_hashed_name(file))
                throw DataError(Fault::bad_value, paths.any() + ": no collection's name, escaped as mongodump does it");
            if (!name && !paths.metadata.empty()) name = read_metadata_file(paths.metadata).collection;
            if (name && dump_file_name(std::string(buckets_prefix) + *name) == file) name.reset(); // a copy; see DumpWriter::close()
            if (!name) {
                unnamed[file] = paths;
                continue;
            }
            if (const std::string_view why = why_on_no_server({database, *name}); !why.empty() && database != "local")
                throw DataError(Fault::bad_value, paths.any() + ": " + std::string(why) + ", and no mongorestore takes this one");
            if (name->empty()) throw DataError(Fault::incomplete, paths.metadata + ": no collectionName says which collection this is");
            const auto [at, is_first] = named.emplace(*name, paths);
            if (!is_first) fail_both(at->second.any(), paths.any(), "both are of " + database + "." + *name);
        }
        // Buckets belong to the collection whose metadata stands beside them under its own name.
        for (auto at = named.begin(); at != named.end(); ++at) {
            if (!at->second.data.empty()) continue;
            const std::string buckets = std::string(buckets_prefix) + at->first;
            if (const auto found = named.find(buckets); found != named.end() && found->second.metadata.empty()) {
                at->second.data = found->second.data;
                named.erase(found);
            } else if (const auto hashed = unnamed.find(dump_file_name(buckets)); hashed != unnamed.end()) {
                at->second.data = hashed->second.data;
                unnamed.erase(hashed);
            }
        }
        if (!unnamed.empty())
            throw DataError(Fault::incomplete, unnamed.begin()->second.data + ": no metadata says which collection this is");
        for (const auto& [name, paths] : named) {
            DumpCollection collection{database, name, paths.data, paths.metadata};
            if (!paths.metadata.empty() || DocumentReader(paths.data).next()) {
                collections_.push_back(std::move(collection));
                continue;
            }
            warnings_.push_back(collection.missing_metadata() + ": missing, and " + paths.data + " has no documents: " + collection.ns() +
                                " is taken for dropped");
            dropped_.push_back(std::move(collection));
        }
    }

    std::string path_;
    std::vector<DumpCollection> collections_;
    std::vector<DumpCollection> dropped_;
    std::vector<std::string> others_;
    std::vector<std::string> warnings_;
    std::optional<std::string> oplog_;
    std::optional<std::string> prelude_;
    std::vector<std::pair<std::string, FileState>> states_; ///< The states of the files when they were listed.
    std::string plain_, gzip_; ///< A file of a collection that is not compressed, and one that is; empty if there is none.
};

/// How a file of a dump gets into a new one. A hard link shares the file, so that whoever writes into one of the two in
/// place writes into both. mongodump does that when it dumps into the same directory again.
enum class TakeOver {
    link, ///< A reflink if the file system can make one, else a hard link, else a copy.
    copy, ///< A reflink or a copy: the new dump depends on nothing.
};

/// Writes a dump directory that appears complete at close(), or not at all. Files are made in a temporary directory
/// beside it and written to disk. Several threads may write different files.
class DumpWriter {
  public:
    /// Whether a directory holds only collections, an oplog and a prelude, so that nobody would miss anything. The
    /// names of databases can be anything.
    static bool is_dump(const std::string& path) {
        const Dump dump(path);
        return dump.others().empty() && (dump.oplog() || dump.prelude() || !dump.collections().empty());
    }
    /// The options of a new dump.
    struct Options {
        IfExists if_exists = IfExists::refuse;
        TakeOver take_over = TakeOver::link;
        bool gzip = false;                 ///< Compress collections, metadata and oplog, as mongodump --gzip does.
        std::vector<std::string> inputs{}; ///< Files and directories that the new dump must not be, contain, or lie in.
        bool (*may_replace)(const std::string& path) = is_dump; ///< Whether a directory that is not empty may be replaced.
        const char* replaces = "a dump";                        ///< What may_replace() looks for.
    };

    /// Prepares to write to `path`. Throws ArgumentError for an impossible place, and std::system_error (EEXIST) for
    /// one that is taken. Only an empty directory and what Options::may_replace() allows is ever replaced.
    DumpWriter(const std::string& path, Options options) : options_(std::move(options)) {
        namespace fs = std::filesystem;
        fs::path target = fs::weakly_canonical(path);
        if (!target.has_filename()) target = target.parent_path();
        path_ = target.string();
        refuse_inputs(path);
        if (fs::exists(fs::symlink_status(target))) {
            if (options_.if_exists == IfExists::refuse) detail::throw_errno(path, EEXIST);
            if (!fs::is_directory(target)) throw ArgumentError(path + " is no directory: not replaced");
            if (!fs::is_empty(target) && !options_.may_replace(path_))
                throw ArgumentError(path + " holds other things than " + options_.replaces + ": not replaced");
        }
        temporary_ = detail::make_hidden_directory(path_, path);
    }
    DumpWriter(DumpWriter&& other) noexcept
        : options_(std::move(other.options_)), path_(std::move(other.path_)), temporary_(std::exchange(other.temporary_, {})) {}
    DumpWriter& operator=(DumpWriter&&) = delete;
    ~DumpWriter() {
        std::error_code ignored;
        if (!temporary_.empty()) std::filesystem::remove_all(temporary_, ignored);
    }

    /// The final path.
    const std::string& path() const noexcept { return path_; }
    /// The path until close(), which a signal would leave behind.
    const std::string& temporary() const noexcept { return temporary_; }
    /// Whether the new dump is compressed.
    bool gzip() const noexcept { return options_.gzip; }

    /// Opens the file for a collection's documents. Close it before close() is called here. For a time series,
    /// `collection` is the name of its buckets.
    Writer open_data(std::string_view database, std::string_view collection) { return open(data_name(database, collection)); }
    /// The path of a collection's documents, relative to the dump. Throws DataError for a name that would lead out of
    /// it.
    std::string data_name(std::string_view database, std::string_view collection) const { return file_name(database, collection, ".bson"); }
    /// The path of a collection's metadata, relative to the dump. Throws DataError for a name that would lead out of
    /// it.
    std::string metadata_name(std::string_view database, std::string_view collection) const {
        return file_name(database, collection, ".metadata.json");
    }
    /// Opens the dump's oplog. With --gzip mongodump compresses it, too, but gives it the plain name.
    Writer open_oplog() { return open("oplog.bson"); }
    /// Opens any file of the dump, compressed if the dump is.
    Writer open(std::string_view relative) { return Writer(place(relative), IfExists::refuse, compression()); }

    /// Writes the metadata of `metadata.collection`.
    void write_metadata(std::string_view database, const Metadata& metadata) {
        write_text(metadata_name(database, metadata.collection), metadata.json());
    }
    /// Writes a whole file, compressed if the dump is.
    void write_text(std::string_view relative, std::string_view text) {
        OutputSink sink(place(relative), IfExists::refuse, compression(), Content::text);
        sink.write(text.data(), text.size());
        sink.close();
    }
    /// Takes over a file of another dump, unchanged.
    void take(const std::string& source, std::string_view relative) {
        const std::string target = place(relative);
        if (reflink(source, target)) return;
        if (options_.take_over == TakeOver::link && ::linkat(AT_FDCWD, source.c_str(), AT_FDCWD, target.c_str(), AT_SYMLINK_FOLLOW) == 0)
            return;
        FileSource in(source);
        FileSink out(target, IfExists::refuse, Content::text);
        const auto buffer = std::make_unique_for_overwrite<char[]>(1 << 20);
        while (const std::size_t got = in.read(buffer.get(), 1 << 20)) out.write(buffer.get(), got);
        out.close();
    }
    /// Takes over all of a dump except its oplog. The other dump must be compressed as this one is.
    void take(const Dump& dump) {
        for (const DumpCollection& collection : dump.collections())
            for (const std::string& file : {collection.data, collection.metadata})
                if (!file.empty()) take(file, dump.relative(file));
        if (dump.prelude()) take(*dump.prelude(), dump.relative(*dump.prelude()));
    }

    /// Moves the directory to its final path and writes that to disk, or throws and restores the previous state. On a
    /// file system that cannot swap names, a directory that is replaced is missing for a moment.
    ///
    /// Where the file with the buckets of a time series has a long name, a copy of the metadata is put beside it under
    /// the same name: mongorestore looks there for the name of the collection, and cannot restore without it what
    /// mongodump has written.
    void close() {
        namespace fs = std::filesystem;
        std::vector<fs::path> directories; // of databases, in one dump or in several below each other
        for (const auto& entry : fs::recursive_directory_iterator(temporary_))
            if (entry.is_directory()) directories.push_back(entry.path());
        for (const fs::path& directory : directories) copy_metadata_of_long_series(directory);
        for (const auto& entry : fs::recursive_directory_iterator(temporary_)) sync(entry.path().string());
        sync(temporary_);
        const bool replaces = options_.if_exists == IfExists::replace && fs::exists(fs::symlink_status(path_));
        {
            const detail::SignalsHeld all_or_nothing;
            if (!replaces)
                detail::take_name_as_directory(temporary_, path_);
            else
                detail::swap_names(temporary_, path_); // from here on the temporary directory is the old one
            detail::sync_name(path_, [&] {
                try {
                    if (!replaces)
                        detail::take_name_as_directory(path_, temporary_);
                    else
                        detail::swap_names(temporary_, path_);
                    return true;
                } catch (const std::system_error&) {
                    return false;
                }
            });
        }
        // Nothing may fail any more, not even for want of memory.
        std::error_code error;
        try {
            if (replaces) fs::remove_all(temporary_, error);
        } catch (const std::bad_alloc&) {
            error = std::make_error_code(std::errc::not_enough_memory);
        }
        if (error) left_behind_.swap(temporary_);
        temporary_.clear();
    }
    /// The path at which the replaced dump remains, in whole or in part, because it could not be removed; or empty.
    const std::string& left_behind() const noexcept { return left_behind_; }

  private:
    static void copy_metadata_of_long_series(const std::filesystem::path& directory) {
        const auto with_extension = [&](const std::string& extension) {
            std::vector<std::pair<std::string, std::string>> found; // names without and with it
            for (const auto& entry : std::filesystem::directory_iterator(directory)) {
                const std::string name = entry.path().filename().string();
                for (const std::string& end : {extension, extension + ".gz"})
                    if (name.ends_with(end)) found.emplace_back(name.substr(0, name.size() - end.size()), name);
            }
            return found;
        };
        std::set<std::string> buckets;
        for (const auto& [stem, name] : with_extension(".bson"))
            if (is_hashed_name(stem) && stem.starts_with(buckets_prefix)) buckets.insert(stem);
        if (buckets.empty()) return;
        for (const auto& [stem, name] : with_extension(".metadata.json")) {
            const std::string collection =
                dump_collection_name(stem).value_or(is_hashed_name(stem) ? read_metadata_file((directory / name).string()).collection : "");
            const std::string of_buckets = dump_file_name(std::string(buckets_prefix) + collection);
            if (!buckets.contains(of_buckets)) continue;
            std::filesystem::copy_file(directory / name, directory / (of_buckets + name.substr(stem.size())));
        }
    }
    std::optional<CompressionOptions> compression() const {
        return CompressionOptions{options_.gzip ? Compression::gzip : Compression::none, {}};
    }

    /// A file's path in the dump. A name from an oplog must not lead out of the dump's directory.
    std::string file_name(std::string_view database, std::string_view collection, std::string_view extension) const {
        if (database.empty() || database == "." || database == ".." || database.find('/') != database.npos ||
            database.find('\0') != database.npos)
            throw DataError(Fault::bad_value, "impossible database name '" + std::string(database) + "'");
        return std::string(database) + "/" + dump_file_name(collection) + std::string(extension) + (options_.gzip ? ".gz" : "");
    }
    /// The path to write a file to. Creates its directory. Throws RenameError for a file that is there: the names of
    /// collections in the source differ.
    std::string place(std::string_view relative) const {
        const std::filesystem::path file = std::filesystem::path(temporary_) / relative;
        if (std::filesystem::exists(std::filesystem::symlink_status(file)))
            throw RenameError(std::string(relative) + ": two collections would have this file");
        std::filesystem::create_directories(file.parent_path());
        return file.string();
    }

    void refuse_inputs(const std::string& named) const {
        namespace fs = std::filesystem;
        const auto within = [](const fs::path& inner, const fs::path& outer) {
            return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
        };
        for (const std::string& input : options_.inputs) {
            std::error_code no_file; // stdin or a pipe
            const fs::path reads = fs::weakly_canonical(input, no_file);
            if (input == "-" || no_file) continue;
            if (reads == fs::path(path_)) throw ArgumentError("the output " + named + " is an input");
            if (within(path_, reads)) throw ArgumentError("the output " + named + " lies in the input " + input);
            if (within(reads, path_)) throw ArgumentError("the output " + named + " holds the input " + input);
        }
    }

    static bool reflink(const std::string& source, const std::string& target) {
        const detail::Descriptor in(::open(source.c_str(), O_RDONLY | O_CLOEXEC));
        if (!in.is_open()) detail::throw_errno(source);
        const detail::Descriptor out(::open(target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
        if (!out.is_open()) detail::throw_errno(target);
        if (::ioctl(out.get(), FICLONE, in.get()) == 0) return true;
        ::unlink(target.c_str());
        return false;
    }
    static void sync(const std::string& path) {
        const detail::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        if (!file.is_open()) detail::throw_errno(path);
        if (::fsync(file.get()) != 0 && errno != EINVAL) detail::throw_errno(path);
    }

    Options options_;
    std::string path_;
    std::string temporary_; ///< Empty once the directory is at its final path.
    std::string left_behind_;
};

} // namespace oplog

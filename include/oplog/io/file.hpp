// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/error.hpp>
#include <oplog/io/posix.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <concepts>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace oplog::inline v0_1 {

/// A place where bytes come from. read() fills up to `size` bytes and returns how many; 0 is the end.
template <class S>
concept ByteSource = requires(S source, char* buffer, std::size_t size) {
    { source.read(buffer, size) } -> std::same_as<std::size_t>;
};

/// A place where bytes go. close() makes them permanent and throws if that fails. A sink that is destroyed without
/// close() must make sure that nobody takes its incomplete output for complete.
template <class S>
concept ByteSink = requires(S sink, const char* data, std::size_t size) {
    sink.write(data, size);
    sink.close();
};

/// The end of a stream whose writer gave up. It is an impossible document length, so that the reader of a pipe, who
/// sees only an end of file, fails too.
constexpr std::string_view failure_mark{"\xff\xff\xff\xff", 4};

/// Reads a file, a pipe or stdin ("-") from its beginning with read(2). A file that shrinks meanwhile gives a short
/// read, never a signal.
class FileSource {
  public:
    /// Opens `path`; "-" is stdin. Throws std::system_error, also for a directory.
    explicit FileSource(const std::string& path) : name_(path) {
        file_ = detail::Descriptor(path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        struct stat info {};
        if (!file_.is_open() || ::fstat(file_.get(), &info) != 0) detail::throw_errno(path);
        if (S_ISDIR(info.st_mode)) detail::throw_errno(path, EISDIR);
        if (S_ISREG(info.st_mode)) ::posix_fadvise(file_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    }

    /// Fills up to `size` bytes and returns how many; 0 is the end. Throws std::system_error.
    std::size_t read(char* buffer, std::size_t size) {
        for (;;) {
            const ::ssize_t got = ::read(file_.get(), buffer, size);
            if (got >= 0) return static_cast<std::size_t>(got);
            if (!detail::is_to_be_repeated(file_.get(), POLLIN)) detail::throw_errno(name_);
        }
    }

  private:
    std::string name_;
    detail::Descriptor file_;
};

/// Reads bytes in memory, which must outlive the source.
class MemorySource {
  public:
    /// Reads `bytes`.
    explicit MemorySource(std::string_view bytes) noexcept : rest_(bytes) {}

    std::size_t read(char* buffer, std::size_t size) noexcept {
        const std::size_t count = rest_.copy(buffer, size);
        rest_.remove_prefix(count);
        return count;
    }

  private:
    std::string_view rest_;
};

/// What to do if the file exists already.
enum class IfExists { refuse, replace };

/// The content of a sink. A stream of BSON that breaks off ends in failure_mark; a text just breaks off.
enum class Content { bson, text };

/// Writes a file that appears complete or not at all, or a stream.
///
/// A regular file gets its name at close(), after its bytes have been written to disk. If the sink is destroyed without
/// close(), or close() throws, the new file never existed, and the file that it was to replace is unchanged. "-"
/// (stdout) and existing files that are not regular (a FIFO, a device) are streams. A stream cannot be taken back, so a
/// stream of BSON that is destroyed without close() ends in failure_mark.
class FileSink {
  public:
    /// Opens `path`; "-" is stdout. Throws std::system_error: with EEXIST if the file exists and may not be replaced.
    explicit FileSink(std::string path, IfExists if_exists = IfExists::refuse, Content content = Content::bson)
        : path_(std::move(path)), if_exists_(if_exists), content_(content) {
        struct stat info {};
        if (path_ == "-") {
            file_ = detail::Descriptor(STDOUT_FILENO);
            is_stream_ = true;
        } else if (::stat(path_.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
            file_ = detail::Descriptor(::open(path_.c_str(), O_WRONLY | O_CLOEXEC));
            if (!file_.is_open()) detail::throw_errno(path_);
            is_stream_ = true;
        } else if (if_exists_ == IfExists::refuse && ::faccessat(AT_FDCWD, path_.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
            detail::throw_errno(path_, EEXIST);
        } else {
            // Replace the target of a link, not the link itself: it may be /dev/stdout.
            std::error_code dangling;
            if (const auto target = std::filesystem::canonical(path_, dangling); !dangling) path_ = target.string();
            open_unnamed();
        }
    }
    FileSink(FileSink&&) = default;
    FileSink& operator=(FileSink&&) = delete;

    ~FileSink() {
        if (!file_.is_open()) return;
        if (!is_stream_) {
            if (!temporary_.empty()) ::unlink(temporary_.c_str());
            return;
        }
        if (content_ == Content::text) return;
        try {
            detail::write_all(file_.get(), failure_mark.data(), failure_mark.size(), path_);
        } catch (const std::system_error&) { // the reader is gone, so there is nobody left to warn
        }
    }

    /// Writes bytes. Throws std::system_error.
    void write(const char* data, std::size_t size) {
        detail::write_all(file_.get(), data, size, path_ == "-" ? "stdout" : path_);
        if (is_stream_) return;
        // Starts the disk early, so that close() need not wait for all of it; what goes wrong there fsync says.
        written_ += size;
        if (written_ - started_ < 4 << 20) return;
        ::sync_file_range(file_.get(), static_cast<off_t>(started_), static_cast<off_t>(written_ - started_), SYNC_FILE_RANGE_WRITE);
        started_ = written_;
    }

    /// Writes the file to disk and gives it its name, or ends the stream. Throws std::system_error, or FileError if the new
    /// file is there but might not survive a power failure.
    void close() {
        if (!is_stream_) {
            if (::fsync(file_.get()) != 0) detail::throw_errno(path_);
            publish();
            file_ = {}; // everything is on disk, whatever closing it says
            return;
        }
        if (path_ == "-") { // others close stdout, but a full disk may show only here
            const detail::Descriptor copy(::dup(file_.get()));
            file_ = {};
            if (!copy.is_open()) detail::throw_errno("stdout");
            return;
        }
        if (!file_.close()) detail::throw_errno(path_);
    }

    /// The descriptor of a stream; -1 for a regular file.
    int stream() const noexcept { return is_stream_ ? file_.get() : -1; }
    /// The name that a signal would leave behind, or empty. It exists until close() on file systems without unnamed
    /// files.
    const std::string& temporary() const noexcept { return temporary_; }

  private:
    void open_unnamed() {
        const std::string directory = detail::parent_directory(path_);
        // A file without a name vanishes by itself, however this process ends.
        file_ = detail::Descriptor(::open(directory.c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666));
        if (file_.is_open()) return;
        if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) detail::throw_errno(path_);
        do { // a killed process may have left the name behind
            temporary_ = detail::hidden_name(path_);
            file_ = detail::Descriptor(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
        } while (!file_.is_open() && errno == EEXIST);
        if (!file_.is_open()) detail::throw_errno(path_);
    }

    /// Gives the file its name and writes that name to disk, or throws and restores the previous state. Where the file
    /// system can swap names, the old file is kept until then. Where it cannot and that write fails, the error says so.
    void publish() {
        const detail::SignalsHeld all_or_nothing;
        std::string name = path_; // copied now, because memory may run out later
        if (if_exists_ == IfExists::refuse) {
            if (temporary_.empty())
                link_as(path_);
            else
                detail::take_name(temporary_, path_);
            temporary_ = std::move(name); // the destructor removes it if what follows fails
            detail::sync_directory(detail::parent_directory(path_));
            temporary_.clear();
            return;
        }
        if (temporary_.empty()) {
            std::string hidden = detail::hidden_name(path_);
            ::unlink(hidden.c_str());
            link_as(hidden);
            temporary_ = std::move(hidden);
        }
        const bool swapped = detail::rename_as(temporary_, path_, RENAME_EXCHANGE);
        const bool is_new = !swapped && errno == ENOENT;
        if (!swapped && ::rename(temporary_.c_str(), path_.c_str()) != 0) detail::throw_errno(path_);
        if (!swapped) temporary_ = is_new ? std::move(name) : std::string();
        detail::sync_name(path_, [&] { return is_new || (swapped && detail::rename_as(temporary_, path_, RENAME_EXCHANGE)); });
        if (swapped && ::unlink(temporary_.c_str()) != 0) {
            const int error = errno;
            detail::rename_as(temporary_, path_, RENAME_EXCHANGE);
            detail::throw_errno(temporary_, error);
        }
        temporary_.clear();
    }
    void link_as(const std::string& name) const {
        const std::string unnamed = "/proc/self/fd/" + std::to_string(file_.get());
        const int result = temporary_.empty() ? ::linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW)
                                              : ::link(temporary_.c_str(), name.c_str());
        if (result != 0) detail::throw_errno(path_);
    }

    std::string path_;
    IfExists if_exists_;
    Content content_;
    detail::Descriptor file_;
    std::string temporary_; ///< See temporary().
    bool is_stream_ = false;
    std::uint64_t written_ = 0, started_ = 0; ///< How much was written, and how much of it is on its way to the disk.
};

/// Appends to a string, which must outlive the sink.
class MemorySink {
  public:
    /// Appends to `bytes`.
    explicit MemorySink(std::string& bytes) noexcept : bytes_(&bytes) {}

    void write(const char* data, std::size_t size) { bytes_->append(data, size); }
    void close() noexcept {}

  private:
    std::string* bytes_;
};

/// Requires a regular file or a link to one: opening a FIFO would wait for its writer, and a device has no end. Use
/// this for what was found in a directory; a FIFO that the user names is intended. Throws DataError for other kinds of
/// files, and std::system_error if the file is missing.
inline void require_regular_file(const std::string& path) {
    std::error_code error;
    const std::filesystem::file_type type = std::filesystem::status(path, error).type();
    if (type == std::filesystem::file_type::regular) return;
    if (type == std::filesystem::file_type::not_found) detail::throw_errno(path, ENOENT);
    if (error) throw std::system_error(error, path);
    throw DataError(Fault::not_supported, path + ": neither a regular file nor a link to one");
}

/// Identifies a file and its state: two are equal unless the file was replaced or written to in between.
struct FileState {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = 0;
    std::int64_t modified = 0; ///< Nanoseconds since 1970.

    /// The state of the file at `path`. Throws std::system_error if the file is missing.
    static FileState of(const std::string& path) {
        struct ::stat found {};
        if (::stat(path.c_str(), &found) != 0) detail::throw_errno(path);
        return {found.st_dev, found.st_ino, found.st_size, std::int64_t{found.st_mtim.tv_sec} * 1'000'000'000 + found.st_mtim.tv_nsec};
    }
    friend bool operator==(const FileState&, const FileState&) = default;
};

/// Returns the file that `path` stands for: `path` itself, or for a directory the oplog in it. That is oplog.bson of a
/// full backup or local/oplog.rs.bson of an increment, each also with .gz or .zst. Throws FileError for a directory
/// without an oplog, DataError for a directory with two oplogs or with an oplog that is not a regular file, and
/// std::system_error for a directory that cannot be searched.
inline std::string resolve_input(const std::string& path) {
    std::error_code ignored;
    if (path == "-" || !std::filesystem::is_directory(path, ignored)) return path;
    std::string found;
    for (const char* oplog : {"oplog.bson", "local/oplog.rs.bson"})
        for (const char* suffix : {"", ".gz", ".zst"}) {
            const std::string candidate = (std::filesystem::path(path) / (std::string(oplog) + suffix)).string();
            std::error_code error; // a link whose target is missing counts as found
            if (std::filesystem::exists(std::filesystem::symlink_status(candidate, error))) {
                require_regular_file(candidate);
                if (!found.empty())
                    throw DataError(Fault::ambiguous,
                                    found + " and " + candidate + ": two oplogs in one directory: name the file that is meant");
                found = candidate;
            } else if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory) {
                throw std::system_error(error, candidate);
            }
        }
    if (found.empty()) throw FileError(path + ": neither oplog.bson nor local/oplog.rs.bson in this directory");
    return found;
}

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/error.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
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

namespace detail {

/// Throws std::system_error about `what`, which is mostly a path.
[[noreturn]] inline void throw_errno(const std::string& what, int error = errno) {
    throw std::system_error(error, std::generic_category(), what);
}

/// A file descriptor that closes itself, unless it is stdin, stdout or stderr.
class Descriptor {
  public:
    Descriptor() noexcept = default;
    explicit Descriptor(int fd) noexcept : fd_(fd) {}
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Descriptor() {
        if (fd_ > STDERR_FILENO) ::close(fd_);
    }
    int get() const noexcept { return fd_; }
    bool is_open() const noexcept { return fd_ >= 0; }
    /// Closes the descriptor and returns whether that succeeded.
    bool close() noexcept {
        const int fd = std::exchange(fd_, -1);
        return fd < 0 || ::close(fd) == 0;
    }

  private:
    int fd_ = -1;
};

/// Whether a failed call must be repeated: a signal interrupted it, or somebody made the descriptor non-blocking. In
/// the second case this waits until the descriptor is ready.
inline bool is_to_be_repeated(int fd, short events) {
    if (errno == EINTR) return true;
    if (errno != EAGAIN) return false;
    ::pollfd ready{fd, events, 0};
    return ::poll(&ready, 1, -1) > 0 || errno == EINTR;
}

/// Writes all bytes. Throws std::system_error about `name`.
inline void write_all(int fd, const char* data, std::size_t size, const std::string& name) {
    while (size > 0) {
        const ::ssize_t written = ::write(fd, data, size);
        if (written < 0) {
            if (is_to_be_repeated(fd, POLLOUT)) continue;
            throw_errno(name);
        }
        data += written;
        size -= static_cast<std::size_t>(written);
    }
}

/// Writes the names in a directory to disk. Throws std::system_error.
inline void sync_directory(const std::string& path) {
    const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.is_open() && errno == EACCES) return ::sync(); // a directory may be writable but not readable
    if (!directory.is_open()) throw_errno(path);
    // Some file systems cannot sync a directory and report EINVAL. Nothing more can be done there.
    if (::fsync(directory.get()) != 0 && errno != EINVAL) throw_errno(path);
}

inline std::string parent_directory(const std::string& path) {
    const std::string parent = std::filesystem::path(path).parent_path().string();
    return parent.empty() ? "." : parent;
}

/// Blocks all signals to this thread, and to the threads that it starts, while this object exists.
class SignalsHeld {
  public:
    SignalsHeld() noexcept {
        ::sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    SignalsHeld(const SignalsHeld&) = delete;
    ~SignalsHeld() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  private:
    ::sigset_t before_;
};

/// A name for `path` until it is complete. A killed process may have left a file of that name behind.
inline std::string hidden_name(const std::string& path) {
    static std::atomic<unsigned> count{0};
    const std::size_t name = path.rfind('/') + 1; // libstdc++'s replace_filename() crashes when memory runs out
    return path.substr(0, name) + "." + path.substr(name, 200) + "." + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".tmp";
}

/// Makes a directory that stands for `path` until it is complete, and returns its name. Throws std::system_error about
/// `named`.
inline std::string make_hidden_directory(const std::string& path, const std::string& named) {
    for (;;) {
        std::string hidden = hidden_name(path);
        if (::mkdir(hidden.c_str(), 0777) == 0) return hidden;
        if (errno != EEXIST) throw_errno(named);
    }
}

/// Opens a temporary file in `directory` that vanishes by itself. Throws std::system_error.
inline Descriptor unnamed_file(const std::string& directory) {
    Descriptor file(::open(directory.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
    if (file.is_open()) return file;
    const SignalsHeld never_left; // some file systems have no unnamed files
    std::string path = directory + "/.oplog-XXXXXX";
    file = Descriptor(::mkostemp(path.data(), O_CLOEXEC));
    if (!file.is_open()) throw_errno(path);
    ::unlink(path.c_str());
    return file;
}

/// Calls renameat2 and returns whether it succeeded.
inline bool rename_as(const std::string& from, const std::string& to, unsigned flags) noexcept {
    return ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) == 0;
}
/// Whether a call failed because the file system does not support its flags.
inline bool flags_are_unknown() noexcept { return errno == EINVAL || errno == ENOSYS; }

/// Renames a file to a name that must be free. Throws std::system_error.
inline void take_name(const std::string& from, const std::string& to) {
    if (rename_as(from, to, RENAME_NOREPLACE)) return;
    if (!flags_are_unknown() || ::link(from.c_str(), to.c_str()) != 0) throw_errno(to);
    ::unlink(from.c_str());
}
/// The same for a directory. An empty directory may stand in its place.
inline void take_name_as_directory(const std::string& from, const std::string& to) {
    if (!rename_as(from, to, RENAME_NOREPLACE) && (!flags_are_unknown() || ::rename(from.c_str(), to.c_str()) != 0)) throw_errno(to);
}

/// Swaps two names. If it throws std::system_error, nothing has changed. On a file system that cannot swap names, `to`
/// is called `from` + ".old" for a moment, and keeps that name if the process is killed then, so signals should be
/// blocked.
inline void swap_names(const std::string& from, const std::string& to) {
    if (rename_as(from, to, RENAME_EXCHANGE)) return;
    const std::string aside = from + ".old";
    if (!flags_are_unknown() || ::rename(to.c_str(), aside.c_str()) != 0) throw_errno(to);
    bool renamed = ::rename(from.c_str(), to.c_str()) == 0;
    if (renamed && ::rename(aside.c_str(), from.c_str()) == 0) return;
    const int error = errno;
    if (renamed) ::rename(to.c_str(), from.c_str());
    ::rename(aside.c_str(), to.c_str());
    throw_errno(to, error);
}

/// Writes a new name to disk. If that fails it calls undo(), which returns whether it could take the name back. Throws
/// FileError if it could not.
template <class Undo>
void sync_name(const std::string& path, Undo undo) {
    try {
        sync_directory(parent_directory(path));
    } catch (const std::exception& error) {
        if (undo()) throw;
        throw FileError(path + " is there, new and whole, but perhaps not after a power failure: " + error.what());
    }
}

} // namespace detail

} // namespace oplog

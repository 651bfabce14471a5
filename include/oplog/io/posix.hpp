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

[[noreturn]] inline void throw_errno(const std::string& what, int error = errno) {
    throw std::system_error(error, std::generic_category(), what);
}

/// A file descriptor that closes itself, but for the standard ones.
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
    /// Closes it and says whether that worked.
    bool close() noexcept {
        const int fd = std::exchange(fd_, -1);
        return fd < 0 || ::close(fd) == 0;
    }

  private:
    int fd_ = -1;
};

/// Whether a failed call is to be made again: a signal came, or somebody has made the descriptor a non-blocking one, and
/// now it is ready.
inline bool is_to_be_repeated(int fd, short events) {
    if (errno == EINTR) return true;
    if (errno != EAGAIN) return false;
    ::pollfd ready{fd, events, 0};
    return ::poll(&ready, 1, -1) > 0 || errno == EINTR;
}

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

/// Writes a directory's entries to disk.
inline void sync_directory(const std::string& path) {
    const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.is_open() && errno == EACCES) return ::sync(); // it may be written to and not read
    if (!directory.is_open()) throw_errno(path);
    // Some file systems cannot sync a directory and say EINVAL; there is nothing more to be done there.
    if (::fsync(directory.get()) != 0 && errno != EINVAL) throw_errno(path);
}

inline std::string parent_directory(const std::string& path) {
    const std::string parent = std::filesystem::path(path).parent_path().string();
    return parent.empty() ? "." : parent;
}

/// Signals to this thread, and to those that it starts, wait for as long as it lives.
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

/// What `path` may be called until it is whole. A killed process may have left the name behind.
inline std::string hidden_name(const std::string& path) {
    static std::atomic<unsigned> count{0};
    std::filesystem::path hidden(path);
    hidden.replace_filename("." + hidden.filename().string().substr(0, 200) + "." + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".tmp");
    return hidden.string();
}

/// Makes a directory that `path` may be called until it is whole. Throws std::system_error about `named`.
inline std::string make_hidden_directory(const std::string& path, const std::string& named) {
    for (;;) {
        std::string hidden = hidden_name(path);
        if (::mkdir(hidden.c_str(), 0777) == 0) return hidden;
        if (errno != EEXIST) throw_errno(named);
    }
}

/// A temporary file in `directory` that vanishes by itself. Throws std::system_error.
inline Descriptor unnamed_file(const std::string& directory) {
    Descriptor file(::open(directory.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
    if (file.is_open()) return file;
    const SignalsHeld never_left; // not every file system has files without a name
    std::string path = directory + "/.oplog-XXXXXX";
    file = Descriptor(::mkostemp(path.data(), O_CLOEXEC));
    if (!file.is_open()) throw_errno(path);
    ::unlink(path.c_str());
    return file;
}

/// Whether renameat2 worked.
inline bool rename_as(const std::string& from, const std::string& to, unsigned flags) noexcept {
    return ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) == 0;
}
/// Whether it failed since the file system does not know the flags.
inline bool flags_are_unknown() noexcept { return errno == EINVAL || errno == ENOSYS; }

/// Gives a file a name that nobody has. Throws std::system_error.
inline void take_name(const std::string& from, const std::string& to) {
    if (rename_as(from, to, RENAME_NOREPLACE)) return;
    if (!flags_are_unknown() || ::link(from.c_str(), to.c_str()) != 0) throw_errno(to);
    ::unlink(from.c_str());
}
/// The same for a directory; an empty one may be in its place.
inline void take_name_as_directory(const std::string& from, const std::string& to) {
    if (!rename_as(from, to, RENAME_NOREPLACE) && (!flags_are_unknown() || ::rename(from.c_str(), to.c_str()) != 0)) throw_errno(to);
}

/// Swaps two names, or throws std::system_error and has not. Where the file system cannot, `to` is called `from` + ".old" for a
/// moment, and stays so if the process is killed just then: hold signals.
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

/// Writes a name that was just given to disk; where that fails calls undo(), which says whether it could take it back.
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

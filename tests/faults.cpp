// SPDX-License-Identifier: Apache-2.0
// To be preloaded: one call of many goes wrong. FAULT=KIND:N names which, the Nth of its kind:
//   memory:N  an allocation fails          thread:N  this thread and all later ones cannot be started
//   io:N      a call on files fails (EIO)  kill:N, term:N  the process gets SIGKILL or SIGTERM just before a call on files
//   move:N    just before a call on files, what $FAULT_FROM names is renamed to $FAULT_TO
// With FAULT_IN=NAME only in programs of that name. With FAULT_COUNTS=FILE the numbers of allocations, calls on files and threads are written there at the end.
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}

namespace {

enum class Kind { none, memory, io, kill, term, move, thread };

Kind kind = Kind::none;
unsigned long which = 0;
std::atomic<unsigned long> allocations{0}, calls{0}, threads{0};
std::atomic<bool> ready{false};

__attribute__((constructor)) void begin() {
    const char* const fault = std::getenv("FAULT");
    const char* const colon = fault ? std::strchr(fault, ':') : nullptr;
    const char* const program = std::getenv("FAULT_IN");
    if (program && std::string_view(program) != ::program_invocation_short_name) return; // nothing is counted here
    if (colon) {
        const std::string_view name(fault, static_cast<std::size_t>(colon - fault));
        constexpr std::string_view names[] = {"", "memory", "io", "kill", "term", "move", "thread"};
        for (int i = 1; i < 7; ++i)
            if (names[i] == name) kind = static_cast<Kind>(i);
        which = std::strtoul(colon + 1, nullptr, 10);
    }
    ready = true;
}
__attribute__((destructor)) void end() {
    ready = false;
    const char* const path = std::getenv("FAULT_COUNTS");
    std::FILE* const file = path ? std::fopen(path, "w") : nullptr;
    if (!file) return;
    std::fprintf(file, "%lu %lu %lu\n", allocations.load(), calls.load(), threads.load());
    std::fclose(file);
}

template <class Function>
Function* next(const char* name) {
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}
bool no_memory() {
    if (!ready || ++allocations != which || kind != Kind::memory) return false;
    errno = ENOMEM;
    return true;
}
/// Counts a call on files. Returns true if the call is to fail; a call that cleans up never is.
bool strikes(bool may_fail = true) {
    if (!ready || ++calls != which) return false;
    if (kind == Kind::kill) ::kill(::getpid(), SIGKILL);
    if (kind == Kind::term) ::kill(::getpid(), SIGTERM);
    if (kind == Kind::move) next<int(const char*, const char*)>("rename")(std::getenv("FAULT_FROM"), std::getenv("FAULT_TO"));
    if (kind != Kind::io || !may_fail) return false;
    errno = EIO;
    return true;
}
mode_t mode_of(int flags, std::va_list arguments) { return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0; }

} // namespace

extern "C" {

void* malloc(std::size_t size) { return no_memory() ? nullptr : __libc_malloc(size); }
void* calloc(std::size_t count, std::size_t size) { return no_memory() ? nullptr : __libc_calloc(count, size); }
void* realloc(void* old, std::size_t size) { return no_memory() ? nullptr : __libc_realloc(old, size); }
void* aligned_alloc(std::size_t alignment, std::size_t size) { return no_memory() ? nullptr : __libc_memalign(alignment, size); }

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
    if (ready && ++threads >= which && kind == Kind::thread) return EAGAIN;
    return next<int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create")(thread, attributes, start, argument);
}

int open(const char* path, int flags, ...) {
    std::va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return strikes() ? -1 : next<int(const char*, int, ...)>("open")(path, flags, mode);
}
int openat(int directory, const char* path, int flags, ...) {
    std::va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return strikes() ? -1 : next<int(int, const char*, int, ...)>("openat")(directory, path, flags, mode);
}
int open64(const char* path, int flags, ...) __attribute__((alias("open")));
int __open_2(const char* path, int flags) { return open(path, flags); } // which FORTIFY calls instead
int openat64(int directory, const char* path, int flags, ...) __attribute__((alias("openat")));

ssize_t read(int fd, void* data, std::size_t size) {
    return strikes() ? -1 : next<ssize_t(int, void*, std::size_t)>("read")(fd, data, size);
}
ssize_t pread(int fd, void* data, std::size_t size, off_t offset) {
    return strikes() ? -1 : next<ssize_t(int, void*, std::size_t, off_t)>("pread")(fd, data, size, offset);
}
ssize_t pread64(int fd, void* data, std::size_t size, off_t offset) __attribute__((alias("pread")));
struct dirent* readdir(DIR* directory) {
    return strikes() ? nullptr : next<struct dirent*(DIR*)>("readdir")(directory);
}
struct dirent64* readdir64(DIR* directory) {
    return strikes() ? nullptr : next<struct dirent64*(DIR*)>("readdir64")(directory);
}
ssize_t write(int fd, const void* data, std::size_t size) {
    return strikes(fd != STDERR_FILENO) ? -1 : next<ssize_t(int, const void*, std::size_t)>("write")(fd, data, size);
}
int fsync(int fd) { return strikes() ? -1 : next<int(int)>("fsync")(fd); }
int close(int fd) { // it is closed even so
    const bool fails = strikes();
    const int result = next<int(int)>("close")(fd);
    if (fails) errno = EIO;
    return fails ? -1 : result;
}
int mkdir(const char* path, mode_t mode) noexcept { return strikes() ? -1 : next<int(const char*, mode_t)>("mkdir")(path, mode); }
int link(const char* from, const char* to) noexcept { return strikes() ? -1 : next<int(const char*, const char*)>("link")(from, to); }
int linkat(int from_directory, const char* from, int to_directory, const char* to, int flags) noexcept {
    return strikes() ? -1 : next<int(int, const char*, int, const char*, int)>("linkat")(from_directory, from, to_directory, to, flags);
}
int rename(const char* from, const char* to) noexcept { return strikes() ? -1 : next<int(const char*, const char*)>("rename")(from, to); }
int renameat2(int from_directory, const char* from, int to_directory, const char* to, unsigned flags) noexcept {
    return strikes() ? -1
                     : next<int(int, const char*, int, const char*, unsigned)>("renameat2")(from_directory, from, to_directory, to, flags);
}
int unlink(const char* path) noexcept {
    strikes(false);
    return next<int(const char*)>("unlink")(path);
}
int unlinkat(int directory, const char* path, int flags) noexcept {
    strikes(false);
    return next<int(int, const char*, int)>("unlinkat")(directory, path, flags);
}
int rmdir(const char* path) noexcept {
    strikes(false);
    return next<int(const char*)>("rmdir")(path);
}
int fstat(int fd, struct stat* info) noexcept { return strikes() ? -1 : next<int(int, struct stat*)>("fstat")(fd, info); }
int stat(const char* path, struct stat* info) noexcept { return strikes() ? -1 : next<int(const char*, struct stat*)>("stat")(path, info); }
int lstat(const char* path, struct stat* info) noexcept {
    return strikes() ? -1 : next<int(const char*, struct stat*)>("lstat")(path, info);
}
}

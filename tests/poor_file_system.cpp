// SPDX-License-Identifier: Apache-2.0
// To be preloaded: gives the system calls of a file system without unnamed files, as on vfat and NFS. It also lacks
// what $FILE_SYSTEM_LACKS names: "links", or "renames" that replace nothing.
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

namespace {

bool lacks(const char* what) {
    const char* const lacking = std::getenv("FILE_SYSTEM_LACKS");
    return lacking != nullptr && std::strcmp(lacking, what) == 0;
}
int refuse(int error) {
    errno = error;
    return -1;
}
template <class Function>
Function* next(const char* name) {
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}
int open_named(int directory, const char* path, int flags, mode_t mode) {
    if ((flags & O_TMPFILE) == O_TMPFILE) return refuse(EOPNOTSUPP);
    return next<int(int, const char*, int, ...)>("openat")(directory, path, flags, mode);
}
mode_t mode_of(int flags, std::va_list arguments) { return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0; }

} // namespace

extern "C" {

int open(const char* path, int flags, ...) {
    std::va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_named(AT_FDCWD, path, flags, mode);
}
int openat(int directory, const char* path, int flags, ...) {
    std::va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_named(directory, path, flags, mode);
}
int open64(const char* path, int flags, ...) __attribute__((alias("open")));
int __open_2(const char* path, int flags) { return open(path, flags); } // which FORTIFY calls instead
int openat64(int directory, const char* path, int flags, ...) __attribute__((alias("openat")));

int link(const char* from, const char* to) noexcept {
    return lacks("links") ? refuse(EPERM) : next<int(const char*, const char*)>("link")(from, to);
}
int linkat(int from_directory, const char* from, int to_directory, const char* to, int flags) noexcept {
    return lacks("links") ? refuse(EPERM)
                          : next<int(int, const char*, int, const char*, int)>("linkat")(from_directory, from, to_directory, to, flags);
}
int renameat2(int from_directory, const char* from, int to_directory, const char* to, unsigned flags) noexcept {
    if (flags != 0 && lacks("renames")) return refuse(EINVAL);
    return next<int(int, const char*, int, const char*, unsigned)>("renameat2")(from_directory, from, to_directory, to, flags);
}
}

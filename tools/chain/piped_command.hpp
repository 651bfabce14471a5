// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Reads what another program writes.

#include <oplog/io/file.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <string>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace oplog::tools {

/// A program whose stdout becomes this one's stdin, and whose stderr may be another. It ends with this one, at the latest.
class PipedCommand {
  public:
    /// Starts `command`, a program and its arguments, with `words` as its stderr. Throws std::system_error. If there is no such
    /// program, wait() returns 127.
    PipedCommand(const std::vector<std::string>& command, int words) : program_(command.front()) {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) oplog::detail::throw_errno(program_);
        const oplog::detail::Descriptor out(ends[0]), in(ends[1]);
        std::vector<char*> arguments;
        for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
        arguments.push_back(nullptr);
        const ::pid_t parent = ::getpid();
        child_ = ::fork();
        if (child_ < 0) oplog::detail::throw_errno(program_);
        if (child_ == 0) { // until exec only what a signal handler may do
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::getppid() == parent && ::dup2(in.get(), STDOUT_FILENO) >= 0 && ::dup2(words, STDERR_FILENO) >= 0)
                ::execvp(arguments[0], arguments.data());
            ::_exit(127);
        }
        if (::dup2(out.get(), STDIN_FILENO) < 0) oplog::detail::throw_errno(program_);
    }
    PipedCommand(const PipedCommand&) = delete;
    PipedCommand& operator=(const PipedCommand&) = delete;
    ~PipedCommand() {
        if (child_ < 0) return;
        ::kill(child_, SIGKILL);
        while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }

    /// Waits for its end, and returns its exit code: 128 + N if signal N ended it. Throws std::system_error.
    int wait() {
        int status = 0;
        while (::waitpid(child_, &status, 0) < 0)
            if (errno != EINTR) oplog::detail::throw_errno(program_);
        child_ = -1;
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }

  private:
    std::string program_;
    ::pid_t child_ = -1;
};

/// Stdin, if that is a pipe from mongodump, which writes 4 kB at a time. To wake up for each would cost more than to copy it, so that
/// a pipe in which there was little is left to fill for a moment.
class PipeSource {
  public:
    PipeSource() : in_("-") { ::fcntl(STDIN_FILENO, F_SETPIPE_SZ, 1 << 20); } // if it is a pipe

    std::size_t read(char* buffer, std::size_t size) {
        if (had_little_) std::this_thread::sleep_for(std::chrono::microseconds(500));
        const std::size_t got = in_.read(buffer, size);
        had_little_ = got > 0 && got < std::min<std::size_t>(size, 64 << 10);
        return got;
    }

  private:
    FileSource in_;
    bool had_little_ = false;
};

} // namespace oplog::tools

// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: on every given file as it is, then on mutations of them. The same seed gives
// the same inputs. When the target dies, the input that killed it is in <program>.crash, and running that file
// reproduces it.
#include "fuzz.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

// NOLINTBEGIN(bugprone-reserved-identifier): the names that sanitizers look for
extern "C" const char* __asan_default_options() { return "abort_on_error=1:handle_abort=0"; }
extern "C" const char* __ubsan_default_options() { return "abort_on_error=1:print_stacktrace=1"; }
// NOLINTEND(bugprone-reserved-identifier)

namespace {

std::string crash_file;
std::string input;

extern "C" void keep_input(int signal) {
    const int fd = ::open(crash_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (::write(fd, input.data(), input.size()) == static_cast<::ssize_t>(input.size()))
        static_cast<void>(!::write(STDERR_FILENO, "the input was kept\n", 19));
    ::signal(signal, SIG_DFL);
    ::raise(signal);
}

void run(std::string bytes) {
    input = std::move(bytes);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

/// Makes a few small changes, of kinds that break framed binary formats.
std::string mutated(const std::vector<std::string>& corpus, std::mt19937_64& random) {
    static constexpr std::array<std::int32_t, 10> lengths{0,  1, 4, 5, -1, 0x7FFFFFFF, INT32_MIN, 16 << 20, (16 << 20) + (16 << 10) + 1,
                                                          255};
    const auto below = [&](std::size_t limit) { return limit == 0 ? 0 : static_cast<std::size_t>(random() % limit); };
    std::string bytes = corpus[below(corpus.size())];
    // Mostly from its beginning, where documents begin.
    if (bytes.size() > 4096) bytes = bytes.substr(below(2) * below(bytes.size() - 4096), 4096);
    for (auto changes = below(8) + 1; changes > 0; --changes) {
        const std::size_t at = below(bytes.size());
        switch (below(8)) {
        case 0:
            if (!bytes.empty()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
            break;
        case 1:
            if (!bytes.empty()) bytes[at] = static_cast<char>(random());
            break;
        case 2: bytes.insert(at, below(16) + 1, static_cast<char>(random())); break;
        case 3: bytes.erase(at, below(16) + 1); break;
        case 4: bytes.resize(at); break;
        case 5:
            if (bytes.size() - at >= 4) std::memcpy(&bytes[at], &lengths[below(lengths.size())], 4);
            break;
        case 6: bytes.insert(at, bytes.substr(below(bytes.size()), below(200))); break;
        default: {
            const std::string& other = corpus[below(corpus.size())];
            bytes.insert(at, other.substr(below(other.size()), below(400)));
        }
        }
    }
    return bytes;
}

} // namespace

int main(int argc, char** argv) try {
    double seconds = 0;
    std::uint64_t seed = 1;
    std::vector<std::string> corpus{""};
    const auto add = [&](const std::filesystem::path& path) {
        std::ifstream file(path, std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    };
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        if (argument == "--seconds" && i + 1 < argc)
            seconds = std::stod(argv[++i]);
        else if (argument == "--seed" && i + 1 < argc)
            seed = std::stoull(argv[++i]);
        else if (!std::filesystem::is_directory(argument))
            add(argument);
        else
            for (const auto& entry : std::filesystem::recursive_directory_iterator(argument))
                if (entry.is_regular_file()) add(entry.path());
    }
    std::sort(corpus.begin(), corpus.end()); // directories come in no order

    crash_file = std::filesystem::path(argv[0]).filename().string() + ".crash";
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(signal, keep_input);

    for (const std::string& bytes : corpus) run(bytes);
    std::mt19937_64 random(seed);
    std::uint64_t runs = 0;
    using Clock = std::chrono::steady_clock;
    for (const auto end = Clock::now() + std::chrono::duration<double>(seconds); Clock::now() < end; ++runs) run(mutated(corpus, random));
    std::printf("%zu inputs, %llu mutations from seed %llu\n", corpus.size(), static_cast<unsigned long long>(runs),
                static_cast<unsigned long long>(seed));
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    std::abort();
}

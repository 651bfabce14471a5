// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/entry/entry.hpp>
#include <oplog/io/file.hpp>
#include <oplog/io/reader.hpp>
#include <oplog/stream/range.hpp>

#include <algorithm>
#include <cstdint>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace oplog::inline v0_1 {

namespace detail {

/// Reads the bytes of a file from one offset up to another, or up to its end.
class PartSource {
  public:
    PartSource(int fd, std::string path, std::uint64_t from, std::uint64_t to, std::function<void(std::size_t)> on_read = {})
        : fd_(fd), path_(std::move(path)), at_(from), to_(to), on_read_(std::move(on_read)) {}

    std::size_t read(char* buffer, std::size_t size) {
        const ::ssize_t got = ::pread(fd_, buffer, std::min<std::uint64_t>(size, to_ - at_), static_cast<::off_t>(at_));
        if (got < 0) throw_errno(path_);
        at_ += static_cast<std::uint64_t>(got);
        if (on_read_) on_read_(static_cast<std::size_t>(got));
        return static_cast<std::size_t>(got);
    }

  private:
    int fd_;
    std::string path_; ///< For error messages.
    std::uint64_t at_;
    std::uint64_t to_;
    std::function<void(std::size_t)> on_read_;
};

/// Where an entry seems to begin in the first half of `bytes`. This is a guess, because what looks like an entry may lie
/// inside another one.
inline std::optional<std::size_t> guess_entry(std::string_view bytes) {
    constexpr int in_a_row = 4; // so many entries must follow each other there
    const std::size_t size = bytes.size();
    const auto seems_entry = [&](std::size_t at) -> std::size_t {
        if (size - at < bson::min_document_size) return 0;
        const auto length = bson::load<std::uint32_t>(&bytes[at]);
        if (length < bson::min_document_size || length > size - at || bytes[at + length - 1] != 0) return 0;
        try {
            static_cast<void>(EntryView(bson::Document::trusted(&bytes[at])));
        } catch (const DataError&) {
            return 0;
        }
        return length;
    };
    for (std::size_t start = 0; start < size / 2; ++start) {
        std::size_t at = start;
        int found = 0;
        for (std::size_t length = 0; found < in_a_row && (length = seems_entry(at)) > 0; ++found) at += length;
        if (found == in_a_row) return start;
    }
    return std::nullopt;
}

/// Where an entry of a file seems to begin soon after `offset`: in the first half of so many bytes.
inline std::optional<std::uint64_t> guess_entry(int fd, const std::string& path, std::uint64_t offset, std::size_t window = 1 << 20) {
    const auto bytes = std::make_unique_for_overwrite<char[]>(window);
    const auto found = guess_entry({bytes.get(), PartSource(fd, path, offset, offset + window).read(bytes.get(), window)});
    return found ? std::optional(offset + *found) : std::nullopt;
}

} // namespace detail

/// Determines the range of a large regular file with several threads, each of which reads a part. Returns none if that
/// is not possible (no such file, compressed, out of order, bad data, no idle core). Then read the file from beginning
/// to end, which reports what is wrong in the right words. `on_read` is called on the calling thread with the number of
/// bytes read.
///
/// A part begins where guess_entry() guesses an entry. The guess is proved if the part before it, which ends at that
/// byte, ends with a whole entry. The first part begins at the beginning of the file.
inline std::optional<Range> range_in_parts(const std::string& path, const std::function<void(std::size_t)>& on_read = {}) {
    constexpr std::uint64_t least_part = 16 << 20;
    constexpr unsigned most_parts = 8;
    const detail::Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info {};
    if (!file.is_open() || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
    const auto size = static_cast<std::uint64_t>(info.st_size);
    const auto parts = std::min<std::uint64_t>({size / least_part, std::thread::hardware_concurrency(), most_parts});
    if (parts < 2) return std::nullopt;

    std::vector<std::uint64_t> edges{0};
    for (std::uint64_t i = 1; i < parts; ++i) {
        const auto edge = detail::guess_entry(file.get(), path, size / parts * i);
        if (!edge) return std::nullopt;
        edges.push_back(*edge);
    }
    edges.push_back(size);
    std::vector<std::optional<Range>> ranges(parts);
    const auto read_part = [&](std::size_t i, const std::function<void(std::size_t)>& heard) {
        try {
            ranges[i] = range(BasicReader<detail::PartSource>(detail::PartSource(file.get(), path, edges[i], edges[i + 1], heard), path));
        } catch (const std::exception&) { // reading the file in the ordinary way will report it
        }
    };
    try {
        std::vector<std::jthread> threads;
        for (std::size_t i = 1; i < parts; ++i) threads.emplace_back(read_part, i, std::function<void(std::size_t)>{});
        read_part(0, [&](std::size_t bytes) {
            if (on_read) on_read(bytes * parts);
        });
    } catch (const std::exception&) { // no thread can be started
        return std::nullopt;
    }
    Range whole;
    for (std::size_t i = 0; i < parts; ++i) {
        const auto& part = ranges[i];
        const bool proved = part && part->bytes == edges[i + 1] - edges[i];
        if (!proved || part->disorder || (i > 0 && part->first <= whole.last)) return std::nullopt;
        if (i == 0) whole.first = part->first;
        whole.last = part->last;
        whole.entries += part->entries;
        whole.bytes += part->bytes;
    }
    return whole;
}

} // namespace oplog

// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <doctest/doctest.h>
#include <functional>
#include <thread>

using namespace oplog;
using namespace oplog::test;

namespace {

std::string read_all(FileSource source, std::size_t step = 3) {
    std::string bytes;
    std::vector<char> buffer(step);
    while (const std::size_t got = source.read(buffer.data(), step)) bytes.append(buffer.data(), got);
    return bytes;
}

std::errc refusal(const std::function<void()>& work) {
    try {
        work();
    } catch (const std::system_error& error) {
        return static_cast<std::errc>(error.code().value());
    }
    return {};
}

} // namespace

TEST_CASE("a file is read from its beginning to its end") {
    const TempDirectory directory;
    write_file(directory / "a", "0123456789");
    CHECK(read_all(FileSource(directory / "a")) == "0123456789");
    write_file(directory / "a", "");
    CHECK(read_all(FileSource(directory / "a")) == "");
}

TEST_CASE("what cannot be opened is the system's error, with the name") {
    const TempDirectory directory;
    CHECK(refusal([&] { FileSource(directory / "none"); }) == std::errc::no_such_file_or_directory);
    CHECK(refusal([&] { FileSource{directory.path()}; }) == std::errc::is_a_directory);
    CHECK(message_of<std::system_error>([&] { FileSource(directory / "none"); }) == (directory / "none") + ": No such file or directory");
}

TEST_CASE("memory is a source and a sink") {
    static_assert(ByteSource<MemorySource> && ByteSource<FileSource>);
    static_assert(ByteSink<MemorySink> && ByteSink<FileSink>);
    MemorySource source("abcde");
    char buffer[3];
    CHECK(source.read(buffer, 3) == 3);
    CHECK(std::string(buffer, 3) == "abc");
    CHECK(source.read(buffer, 3) == 2);
    CHECK(source.read(buffer, 3) == 0);
    std::string bytes;
    MemorySink sink(bytes);
    sink.write("abc", 3);
    sink.write("d", 1);
    CHECK(bytes == "abcd");
}

TEST_CASE("a file appears at close, whole, and not before") {
    const TempDirectory directory;
    {
        FileSink sink(directory / "a");
        sink.write("abc", 3);
        CHECK(!std::filesystem::exists(directory / "a"));
        sink.write("def", 3);
        sink.close();
    }
    CHECK(read_file(directory / "a") == "abcdef");
    CHECK(directory.files() == 1);
}

TEST_CASE("a file sink destroyed without close leaves nothing") {
    const TempDirectory directory;
    {
        FileSink sink(directory / "a");
        sink.write("abc", 3);
    }
    CHECK(directory.files() == 0);
    write_file(directory / "a", "old");
    {
        FileSink sink(directory / "a", IfExists::replace);
        sink.write("abc", 3);
    }
    CHECK(directory.files() == 1);
    CHECK(read_file(directory / "a") == "old");
}

TEST_CASE("a file that exists is refused unless it may be replaced") {
    const TempDirectory directory;
    write_file(directory / "a", "old");
    CHECK(refusal([&] { FileSink(directory / "a"); }) == std::errc::file_exists);
    FileSink sink(directory / "a", IfExists::replace);
    sink.write("new", 3);
    CHECK(read_file(directory / "a") == "old");
    sink.close();
    CHECK(read_file(directory / "a") == "new");
    CHECK(directory.files() == 1);
}

TEST_CASE("a name taken while the file was written is not overwritten") {
    const TempDirectory directory;
    {
        FileSink sink(directory / "a");
        sink.write("mine", 4);
        write_file(directory / "a", "theirs");
        CHECK(refusal([&] { sink.close(); }) == std::errc::file_exists);
    }
    CHECK(read_file(directory / "a") == "theirs");
    CHECK(directory.files() == 1);
}

TEST_CASE("a dangling link is a name that is taken") {
    const TempDirectory directory;
    std::filesystem::create_symlink("nowhere", directory / "a");
    CHECK(refusal([&] { FileSink(directory / "a"); }) == std::errc::file_exists);
    CHECK(directory.files() == 1);
}

TEST_CASE("what a link stands for is replaced, not the link") {
    const TempDirectory directory;
    write_file(directory / "a", "old");
    std::filesystem::create_symlink("a", directory / "link");
    FileSink sink(directory / "link", IfExists::replace);
    sink.write("new", 3);
    sink.close();
    CHECK(std::filesystem::is_symlink(directory / "link"));
    CHECK(read_file(directory / "a") == "new");
    CHECK(directory.files() == 2);
}

TEST_CASE("an output in no directory, or over one, is the system's error") {
    const TempDirectory directory;
    CHECK(refusal([&] { FileSink(directory / "none/a"); }) == std::errc::no_such_file_or_directory);
    CHECK(refusal([&] { FileSink{directory.path()}; }) == std::errc::is_a_directory);
    CHECK(refusal([&] { FileSink(directory.path(), IfExists::replace); }) == std::errc::is_a_directory);
}

TEST_CASE("a full device is an error at the write") {
    FileSink sink("/dev/full");
    CHECK(refusal([&] { sink.write("abc", 3); }) == std::errc::no_space_on_device);
}

TEST_CASE("a stream of BSON that is given up ends in the failure mark, one of text just ends") {
    const TempDirectory directory;
    const std::string fifo = directory / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    const auto through_fifo = [&](Content content, bool close) {
        const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
        {
            FileSink sink(fifo, IfExists::refuse, content);
            sink.write("abc", 3);
            if (close) sink.close();
        }
        char buffer[16];
        const ::ssize_t got = ::read(reader, buffer, sizeof buffer);
        ::close(reader);
        return std::string(buffer, got > 0 ? static_cast<std::size_t>(got) : 0);
    };
    CHECK(through_fifo(Content::bson, false) == "abc\xff\xff\xff\xff");
    CHECK(through_fifo(Content::bson, true) == "abc");
    CHECK(through_fifo(Content::text, false) == "abc");
}

TEST_CASE("a directory stands for the oplog in it") {
    const TempDirectory directory;
    std::filesystem::create_directories(directory / "full");
    std::filesystem::create_directories(directory / "inc/local");
    CHECK(message_of<Error>([&] { resolve_input(directory / "full"); }) ==
          (directory / "full") + ": neither oplog.bson nor local/oplog.rs.bson in this directory");
    write_file(directory / "inc/local/oplog.rs.bson.gz", "");
    CHECK(resolve_input(directory / "inc") == directory / "inc/local/oplog.rs.bson.gz");
    for (const char* const other : {"inc/local/oplog.rs.bson", "inc/oplog.bson.zst", "inc/oplog.bson"}) {
        write_file(directory / other, "");
        CHECK(message_of<DataError>([&] {
                  resolve_input((directory / "inc") + "/");
              }).ends_with(": two oplogs in one directory: name the file that is meant"));
        std::filesystem::remove(directory / "inc/local/oplog.rs.bson.gz");
        CHECK(resolve_input(directory / "inc") == directory / other);
        std::filesystem::remove(directory / other);
        write_file(directory / "inc/local/oplog.rs.bson.gz", "");
    }
    CHECK(resolve_input(directory / "none") == directory / "none");
    CHECK(resolve_input("-") == "-");
}

TEST_CASE("a dangling link is not passed over for another oplog") {
    const TempDirectory directory;
    std::filesystem::create_directories(directory / "d/local");
    write_file(directory / "d/local/oplog.rs.bson", "");
    std::filesystem::create_symlink("nowhere", directory / "d/oplog.bson");
    CHECK_THROWS_AS(resolve_input(directory / "d"), std::system_error);
}

TEST_CASE("pipes that do not block are waited for") {
    const TempDirectory directory;
    const std::string fifo = directory / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
    const int writer = ::open(fifo.c_str(), O_WRONLY | O_NONBLOCK);
    const std::string bytes(1 << 20, 'x'); // more than a pipe holds
    std::thread other([&] {
        detail::write_all(writer, bytes.data(), bytes.size(), fifo);
        ::close(writer);
    });
    CHECK(read_all(FileSource("/proc/self/fd/" + std::to_string(reader)), 1000) == bytes);
    other.join();
    ::close(reader);
}

TEST_CASE("a signal amid a wait for a pipe does not end it") {
    errno = EINTR;
    CHECK(detail::is_to_be_repeated(-1, POLLIN));
    errno = EIO;
    CHECK_FALSE(detail::is_to_be_repeated(-1, POLLIN));
}

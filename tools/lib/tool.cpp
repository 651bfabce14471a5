// SPDX-License-Identifier: Apache-2.0
#include "tool.hpp"

#include <oplog/entry/operation.hpp>
#include <oplog/stream/range_in_parts.hpp>
#include <oplog/version.hpp>

#define CXXOPTS_VECTOR_DELIMITER '\0' // a comma in a file name must not separate anything
#define CXXOPTS_NO_REGEX true // std::regex is a quarter of a tool and a third of its compile time, and refuses values with a line end
#include <cxxopts.hpp>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <set>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <utility>

namespace oplog::tools {
namespace {

/// Directories that messages do not name, each with what they name instead.
std::vector<std::pair<std::string, std::string>> shown_as;

/// The descriptor of a BSON stream that is not complete yet, or -1.
std::atomic<int> open_stream{-1};

/// The name that an output has until it is complete, if it has one.
char temporary_output[PATH_MAX];

void undo_all() {
    for (const auto& each : {undo_on_signal.load(), undo_input_on_signal.load()})
        if (each) each();
}

/// Tells the reader of a half-written pipe about the failure, because a signal unwinds nothing.
extern "C" void on_signal(int signal) {
    undo_all();
    if (const int stream = open_stream; stream >= 0) {
        ::pollfd room{stream, POLLOUT, 0};
        const auto write_mark = [&] { static_cast<void>(!::write(room.fd, failure_mark.data(), failure_mark.size())); };
        if (::poll(&room, 1, 0) != 0) {
            write_mark();
        } else if (::_Fork() == 0) { // the pipe is full: a child waits for its reader, so that nobody waits for this process
            room.fd = ::dup2(stream, STDOUT_FILENO);
            open_stream = STDOUT_FILENO; // another signal may come
            ::close(STDIN_FILENO);
            ::close_range(STDOUT_FILENO + 1, ~0u, 0); // locks, and pipes that someone reads to their end
            ::poll(&room, 1, -1);
            write_mark();
            ::_exit(0);
        }
    }
    ::signal(signal, SIG_DFL);
    ::raise(signal);
}

/// Ends the tool, like any other failure, for an exception that nobody catches: for example when memory runs out where
/// nothing may be thrown, or before there is a Tool.
[[noreturn]] void on_terminate() noexcept {
    undo_all();
    if (const int stream = open_stream; stream >= 0) static_cast<void>(!::write(stream, failure_mark.data(), failure_mark.size()));
    say(::program_invocation_short_name);
    try {
        if (const auto reason = std::current_exception()) std::rethrow_exception(reason);
        say(": ended by itself\n");
    } catch (const std::bad_alloc&) {
        say(": out of memory\n");
    } catch (const std::exception& error) {
        say(": ");
        say(error.what());
        say("\n");
    }
    ::_exit(failed);
}

[[gnu::constructor(101)]] void terminate_by_itself() { std::set_terminate(on_terminate); } // before anything allocates

/// Checks a bound in local time: throws ArgumentError for a time zone that the C library does not know, because it
/// would silently use UTC.
void check_time_zone(std::string_view time) {
    const bool is_local = time.size() >= 10 && time[4] == '-' && time.find_first_of("TtZz+") == time.npos;
    if (!is_local) return;
    const char* const value = std::getenv("TZ");
    std::string_view zone = value ? value : "";
    if (zone.starts_with(':')) zone.remove_prefix(1);
    if (zone.empty() || zone == "UTC" || zone == "GMT") return;
    // The POSIX form, as in CET-1CEST or <+03>-3: a name and its distance from UTC.
    constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const std::size_t name = zone.front() == '<' ? zone.find('>') + 1 : std::min(zone.find_first_not_of(letters), zone.size());
    std::string_view offset = zone.substr(name);
    if (offset.starts_with('+') || offset.starts_with('-')) offset.remove_prefix(1);
    if (name >= 3 && !offset.empty() && offset.front() >= '0' && offset.front() <= '9') return;
    const char* const directory = std::getenv("TZDIR");
    const std::string file =
        (zone.front() == '/' ? "" : std::string(directory ? directory : "/usr/share/zoneinfo") + '/') + std::string(zone);
    std::error_code unknown;
    if (!std::filesystem::is_regular_file(file, unknown))
        throw ArgumentError("the time zone of $TZ is unknown: '" + std::string(zone) + "'");
}

/// Throws std::system_error for an input that cannot be opened.
void require_readable(const std::string& path) {
    if (path != "-" && ::access(path.c_str(), R_OK) != 0) oplog::detail::throw_errno(path);
}

/// The whole second that is so long before `end`.
TimeSpan before(Timestamp end, const std::string& duration) {
    const std::uint32_t seconds = parse_duration(duration);
    const std::uint32_t then = end.seconds > seconds ? end.seconds - seconds : 0;
    return {{then, 0}, {then, Timestamp::max().ordinal}};
}

/// Looks at the raw arguments, because they may not parse.
std::optional<std::string_view> named_output(int argc, char** argv) {
    for (int i = 1; i < argc; ++i)
        for (const std::string_view option : {"--output", "-o"}) {
            std::string_view argument = argv[i];
            if (!argument.starts_with(option)) continue;
            argument.remove_prefix(option.size());
            if (argument.empty()) return i + 1 < argc ? argv[i + 1] : "";
            return argument.substr(argument.front() == '=' ? 1 : 0);
        }
    return std::nullopt;
}

/// Marks the failure in a pipe or socket on stdout. A file that stdout was redirected to may be an input, and is
/// left alone.
void mark_pipe() {
    struct stat info {};
    if (::fstat(STDOUT_FILENO, &info) != 0 || !(S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode))) return;
    try {
        print(failure_mark);
    } catch (const std::system_error&) { // nobody is left to be warned
    }
}

/// The file to read for an input. It may be missing, which is reported when it is opened.
std::string oplog_in(const std::string& file) {
    try {
        return resolve_input(file);
    } catch (const Error&) {
        return file;
    } catch (const std::system_error&) {
        return file;
    }
}

bool is_terminal(const std::string& output) {
    if (output == "-") return ::isatty(STDOUT_FILENO) != 0;
    struct stat info {};
    if (::stat(output.c_str(), &info) != 0 || !S_ISCHR(info.st_mode)) return false;
    const oplog::detail::Descriptor device(::open(output.c_str(), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    return device.is_open() && ::isatty(device.get());
}

/// Occupies the numbers of closed standard streams. A file that gets such a number would receive the diagnostics.
void keep_standard_streams_closed() {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        if (::fcntl(fd, F_GETFD) < 0) static_cast<void>(::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY));
}

void raise_file_limit() {
    ::rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max; // slices of one time, and a cluster's members, are open together
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// How many letters must be added, removed, changed or swapped to make `word` of what was typed; 1 if it is cut off.
std::size_t distance(std::string_view typed, std::string_view word) {
    if (typed.size() > 1 && word.starts_with(typed)) return 1;
    std::vector<std::vector<std::size_t>> steps(typed.size() + 1, std::vector<std::size_t>(word.size() + 1));
    for (std::size_t i = 0; i <= typed.size(); ++i)
        for (std::size_t j = 0; j <= word.size(); ++j) {
            if (i == 0 || j == 0) {
                steps[i][j] = i + j;
                continue;
            }
            steps[i][j] = std::min({steps[i - 1][j] + 1, steps[i][j - 1] + 1, steps[i - 1][j - 1] + (typed[i - 1] != word[j - 1])});
            if (i > 1 && j > 1 && typed[i - 1] == word[j - 2] && typed[i - 2] == word[j - 1])
                steps[i][j] = std::min(steps[i][j], steps[i - 2][j - 2] + 1);
        }
    return steps.back().back();
}

/// How wide help may be.
std::size_t help_width() {
    const char* const columns = std::getenv("COLUMNS");
    ::winsize terminal{};
    int width = columns ? std::atoi(columns) : 0;
    if (width < 40 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &terminal) == 0) width = terminal.ws_col;
    return width < 40 ? 80 : static_cast<std::size_t>(width);
}

} // namespace

std::string filled(std::string_view text) {
    const std::size_t width = help_width();
    std::string out;
    std::size_t column = 0, hang = 0; // where the line ends that is being filled, and where its next one begins
    bool is_open = false;             // whether lines go on with it
    bool is_begun = false;            // whether it has a word where it is filled
    const auto close = [&] {
        if (std::exchange(is_open, false)) out += '\n';
    };
    const auto fill = [&](std::string_view words) {
        while (!words.empty()) {
            const std::string_view word = words.substr(0, words.find(' '));
            words.remove_prefix(std::min(words.size(), word.size() + 1));
            if (word.empty()) continue;
            const auto size = static_cast<std::size_t>(std::ranges::count_if(word, [](char byte) { return (byte & 0xC0) != 0x80; }));
            if (is_begun && column + 1 + size > width) {
                out += '\n' + std::string(hang, ' ');
                column = hang;
            } else if (is_begun) {
                out += ' ';
                ++column;
            }
            out += word;
            column += size;
            is_begun = true;
        }
    };
    while (!text.empty() && !text.starts_with("Example:")) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        const std::size_t indent = line.find_first_not_of(' ');
        if (indent == line.npos) {
            close();
            out += '\n';
            continue;
        }
        const std::size_t gap = line.find("  ", indent), about = gap == line.npos ? gap : line.find_first_not_of(' ', gap);
        constexpr std::string_view usage = "Usage:";
        if (!is_open || indent != hang || line.starts_with(usage)) {
            close();
            is_open = (about != line.npos || indent == 0) && !line.starts_with(usage);
            hang = about != line.npos && about < width / 2 ? about : line.starts_with(usage) ? usage.size() + 1 : indent;
            column = about != line.npos ? about : indent;
            out += line.substr(0, column);
            is_begun = column > hang; // a long word, and what it means below
            if (is_begun) {
                hang = std::min(column, indent + 8);
                column = width;
            }
            fill(line.substr(about != line.npos ? about : indent));
            if (!is_open) out += '\n';
        } else {
            fill(line.substr(indent));
        }
    }
    close();
    return out + std::string(text);
}

std::string nearest(std::string_view typed, const std::vector<std::string>& words) {
    std::pair<std::size_t, std::string> best{typed.size() / 3 + 1, ""}; // what differs more is no slip
    for (const std::string& word : words) best = std::min(best, {distance(typed, word), word});
    return best.second;
}

std::string escaped(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const auto lead = static_cast<unsigned char>(text.front());
        const std::size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
        const std::string_view character = text.substr(0, size);
        // C1 controls (U+0080 to 9F) move cursors, too.
        const bool control =
            lead < 0x20 || lead == 0x7F || (lead == 0xC2 && character.size() == 2 && static_cast<unsigned char>(character[1]) < 0xA0);
        if (!control && bson::is_utf8(character)) {
            out += character;
            text.remove_prefix(character.size());
        } else {
            out += fmt::format("\\x{:02x}", lead);
            text.remove_prefix(1);
        }
    }
    return out;
}

std::string json_quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : bson::is_utf8(text) ? std::string(text) : escaped(text)) {
        if (c == '"' || c == '\\')
            out += {'\\', c};
        else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        else if (out.back() == '\xC2' && static_cast<unsigned char>(c) < 0xA0) // of two bytes, U+0080 to 9F, which move cursors
            out.replace(out.size() - 1, 1, fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c))));
        else
            out += c;
    }
    return out + '"';
}

std::string json_moment(Timestamp ts) { return fmt::format(R"("ts":"{}","time":"{}")", to_string(ts), to_utc_string(ts)); }
std::string json_span(Timestamp first, Timestamp last) {
    return fmt::format(R"("first":"{}","last":"{}","firstTime":"{}","lastTime":"{}")", to_string(first), to_string(last),
                       to_utc_string(first), to_utc_string(last));
}
std::string json_span(const Range& range) { return range.empty() ? R"("first":null,"last":null)" : json_span(range.first, range.last); }

std::string grouped(std::uint64_t number) {
    std::string text = std::to_string(number);
    for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
    return text;
}

std::string human_size(double bytes) {
    static constexpr const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    std::size_t unit = 0;
    while (bytes >= 999.5 && unit + 1 < std::size(units)) {
        bytes /= 1000;
        ++unit;
    }
    return fmt::format("{:.{}f} {}", bytes, unit == 0 || bytes >= 99.5 ? 0 : 1, units[unit]);
}

std::string about(double seconds) {
    const auto whole = static_cast<std::uint64_t>(std::min(seconds, 1e12));
    const std::uint64_t minutes = whole / 60, hours = minutes / 60, days = hours / 24;
    if (days > 3650) return "over 10 years";
    if (days >= 10) return fmt::format("{} days", days);
    if (days > 0) return fmt::format("{} d {} h", days, hours % 24);
    if (hours > 0) return fmt::format("{} h {} min", hours, minutes % 60);
    if (minutes > 0) return fmt::format("{} min {} s", minutes, whole % 60);
    return fmt::format("{} s", whole);
}

void show_as(const std::string& path, const std::string& name) { shown_as.emplace_back(path, name); }

void say(std::string_view text) { static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size())); }

void Progress::start(std::string tool, std::uint64_t total) {
    tool_ = std::move(tool);
    total_ = total;
    started_ = next_ = Clock::now() + std::chrono::seconds(1);
    started_ -= std::chrono::seconds(1);
}

void Progress::add(std::uint64_t bytes) {
    done_ += bytes;
    if (tool_.empty() || Clock::now() < next_) return;
    next_ = Clock::now() + std::chrono::milliseconds(500);
    const double seconds = std::chrono::duration<double>(Clock::now() - started_).count();
    const double rate = static_cast<double>(done_) / seconds;
    std::string line = fmt::format("{}: {}", tool_, human_size(static_cast<double>(done_)));
    if (total_ > 0)
        line += fmt::format(" of {}, {:.0f} s left", human_size(static_cast<double>(total_)),
                            static_cast<double>(total_ > done_ ? total_ - done_ : 0) / rate);
    say(fmt::format("{}{}, {}/s{}", terminal_ ? "\r\033[K" : "", line, human_size(rate), terminal_ ? "" : "\n"));
    shown_ = true;
}

void Progress::stop() {
    if (shown_ && terminal_) say("\r\033[K");
    shown_ = false;
    tool_.clear();
}

std::string reason_of(const std::exception& error) {
    const auto* const of_files = dynamic_cast<const std::filesystem::filesystem_error*>(&error);
    if (!of_files || of_files->path1().empty()) return error.what();
    const std::string to = of_files->path2().empty() ? "" : " to " + of_files->path2().string();
    return of_files->path1().string() + to + ": " + of_files->code().message();
}

void print(std::string_view text) { oplog::detail::write_all(STDOUT_FILENO, text.data(), text.size(), "stdout"); }

std::string scratch_directory(const std::optional<std::string>& output) {
    if (output && *output != "-") return oplog::detail::parent_directory(*output);
    const char* const wanted = std::getenv("TMPDIR");
    std::string path = wanted && *wanted != '\0' ? wanted : "/tmp";
    struct stat info {};
    const int failed = ::stat(path.c_str(), &info) != 0 ? errno : S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
    if (failed != 0) throw std::system_error(failed, std::generic_category(), "the directory for temporary files, " + escaped(path));
    return path;
}

template <class T>
std::shared_ptr<cxxopts::Value> takes(const std::string& unless_given) {
    auto value = cxxopts::value<T>();
    return unless_given.empty() ? value : value->default_value(unless_given);
}

struct Tool::CommandLine {
    cxxopts::Options options;
    cxxopts::ParseResult parsed;
};

Tool::Tool(std::string name, std::string synopsis, std::string about, std::string example)
    : name_(std::move(name)), synopsis_(std::move(synopsis)), example_(std::move(example)),
      line_(std::make_unique<CommandLine>(CommandLine{cxxopts::Options(name_, std::move(about)), {}})) {
    // clang-format off
    add_options("Common")
        ("q,quiet", "no warnings")
        ("v,verbose", "say more")
        ("progress", "show progress even if stderr is no terminal")
        ("no-progress", "show none")
        ("files0-from", "read also the files that FILE names, each name ended by a NUL", takes(), "FILE")
        ("h,help", "show this help")
        ("version", "show the version");
    // clang-format on
    add_options("hidden")("inputs", "", takes<std::vector<std::string>>());
}
Tool::~Tool() = default;

const Tool::OptionAdder& Tool::OptionAdder::operator()(const std::string& names, const std::string& about,
                                                       const std::shared_ptr<cxxopts::Value>& value, const std::string& placeholder) const {
    tool_->line_->options.add_option(group_, {names, about, value ? value : cxxopts::value<bool>(), placeholder});
    return *this;
}

void Tool::add_bounds() {
    // clang-format off
    add_options("Bounds")
        ("from", "entries at T or later", takes(), "T")
        ("after", "entries after T", takes(), "T")
        ("to", "entries at T or earlier", takes(), "T")
        ("before", "entries before T", takes(), "T")
        ("last", "entries of the last 15m, 2h, 1d", takes(), "SPAN");
    // clang-format on
}

void Tool::add_output(const std::string& what) {
    // clang-format off
    add_options("Output")
        ("o,output", "write to FILE instead of " + what, takes(), "FILE")
        ("f,force", "replace FILE if it exists")
        ("compress", "zstd[:LEVEL], gzip[:LEVEL] or none, whatever FILE is called", takes(), "METHOD");
    // clang-format on
}

int Tool::run(int argc, char** argv, const std::function<void()>& work) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP})
        if (::signal(signal, on_signal) == SIG_IGN) ::signal(signal, SIG_IGN); // respects nohup and the like
    for (const int signal : {SIGPIPE, SIGXFSZ}) ::signal(signal, SIG_IGN);     // these become EPIPE and EFBIG, so that files are cleaned up
    keep_standard_streams_closed();
    raise_file_limit();
    try {
        parse(argc, argv);
        if (has("help")) {
            print(help());
            return fine;
        }
        if (has("version")) {
            print(name_ + " " OPLOG_VERSION "\n");
            return fine;
        }
        read_names();
        work();
        progress.stop();
    } catch (const std::exception& error) {
        progress.stop();
        if (done_ && dynamic_cast<const std::bad_alloc*>(&error)) return exit_code_;
        report(error);
        if (!unnamed_output_.empty() && !opened_ && named_output(argc, argv).value_or(unnamed_output_) == "-") mark_pipe();
    }
    return exit_code_;
}

bool Tool::has(const std::string& option) const {
    if (line_->parsed.count(option) == 0) return false;
    try {
        return line_->parsed[option].as<bool>();
    } catch (const std::bad_cast&) { // it is not a flag
        return true;
    }
}

template <class T>
T Tool::value(const std::string& option) const {
    return line_->parsed[option].as<T>();
}

std::vector<std::string> Tool::list(const std::string& option) const {
    return has(option) ? split_list(option, value(option)) : std::vector<std::string>{};
}

std::vector<std::string> Tool::split_list(const std::string& option, const std::string& text) {
    std::vector<std::string> items;
    for (std::size_t at = 0; at <= text.size(); at += items.back().size() + 1) {
        items.push_back(text.substr(at, text.find(',', at) - at));
        if (items.back().empty()) throw ArgumentError("--" + option + " has an empty item: '" + text + "'");
    }
    return items;
}

std::vector<std::string> Tool::operations() const {
    std::vector<std::string> kinds = list("op");
    for (const std::string& kind : kinds)
        if (!is_operation_kind(kind))
            throw ArgumentError("--op has an unknown kind of operation: '" + kind +
                                "'; known are i, u, d, c, n and those that servers use among themselves");
    return kinds;
}

std::vector<std::string> Tool::inputs() const {
    if (inputs_.empty() && has("files0-from")) throw ArgumentError(value("files0-from") + " names no file");
    if (inputs_.empty() && ::isatty(STDIN_FILENO)) throw ArgumentError("no FILE named, and stdin is a terminal");
    if (std::ranges::count(inputs_, "-") > 1) throw ArgumentError("stdin can be read only once");
    return inputs_.empty() ? std::vector<std::string>{"-"} : inputs_;
}

std::vector<std::string> Tool::read() const {
    std::vector<std::string> files = inputs_;
    if (line_->parsed.count("full") > 0) files.push_back(value("full"));
    return files.empty() ? inputs() : files;
}

std::vector<std::string> Tool::inputs_in_turn() const {
    std::vector<std::string> files = inputs();
    for (const std::string& file : files) require_readable(resolve_input(file));
    show_progress();
    return files;
}

void Tool::show_progress(std::uint64_t total) const {
    if (has("no-progress") || (!has("progress") && !::isatty(STDERR_FILENO))) return;
    progress.start(name_, total);
}

void Tool::show_progress() const {
    std::uint64_t total = 0;
    for (const std::string& file : inputs()) {
        std::error_code unknown;
        const auto size = std::filesystem::file_size(resolve_input(file), unknown);
        if (unknown) {
            total = 0;
            break;
        }
        total += size;
    }
    show_progress(total);
}

TimeSpan Tool::time(const std::string& option, std::optional<Timestamp> end) const { return time_of(value(option), end); }

TimeSpan Tool::time_of(const std::string& text, std::optional<Timestamp> end) const {
    if (text.starts_with('-')) return before(end ? *end : this->end(), text.substr(1));
    check_time_zone(text);
    return parse_time(text);
}

Bounds Tool::bounds() const {
    Bounds bounds;
    if (has("from")) bounds.from = time("from").first;
    if (has("after")) bounds.after = time("after").last;
    if (has("to")) bounds.to = time("to").last;
    if (has("before")) bounds.before = time("before").first;
    if (has("last")) {
        if (bounds.from || bounds.after) throw ArgumentError("--last, --from and --after exclude each other");
        bounds.from = before(end(), value("last")).first;
    }
    const bool empty = (bounds.before == Timestamp::min()) || (bounds.after == Timestamp::max()) ||
                       (bounds.from && bounds.too_late(*bounds.from)) || (bounds.to && bounds.too_early(*bounds.to)) ||
                       (bounds.after && bounds.before && bounds.after->packed() + 1 >= bounds.before->packed());
    if (empty) throw ArgumentError("the bounds exclude everything");
    return bounds;
}

std::optional<CompressionOptions> Tool::compression() const {
    return has("compress") ? std::optional(parse_compression(value("compress"))) : std::nullopt;
}

Output Tool::open_output(Content content, const std::string& option) { return open_output(content, option, read()); }

Output Tool::open_output(Content content, const std::string& option, const std::vector<std::string>& read) {
    const std::string path = optional(option).value_or("-");
    const bool binary = content == Content::bson || compression().value_or(compression_for(path)).method != Compression::none;
    if (binary && is_terminal(path))
        throw ArgumentError(fmt::format("{} is not written to a terminal; name a file with -o, or pipe it on",
                                        content == Content::bson ? "BSON" : "compressed text"));
    refuse_overlap(path, read);
    const oplog::detail::SignalsHeld until_named;
    Output output(path, if_exists(), compression(), content);
    opened_ = true;
    const FileSink& file = output.sink().inner();
    if (content == Content::bson) open_stream = file.stream();
    if (const std::string& name = file.temporary(); !name.empty() && name.size() < sizeof temporary_output) {
        name.copy(temporary_output, name.size());
        undo_on_signal = [] { ::unlink(temporary_output); };
    }
    return output;
}

void Tool::finish(Output& output) {
    output.close();
    open_stream = -1;
    undo_on_signal = nullptr;
    done();
}

void Tool::refuse_overlap(const std::string& output, const std::vector<std::string>& read) {
    namespace fs = std::filesystem;
    std::error_code error;
    const std::string writes = output == "-" ? "/dev/stdout" : output;
    const fs::path target =
        fs::weakly_canonical(fs::absolute(writes, error), error); // of what is not there, a relative path would stay one
    const auto within = [](const fs::path& inner, const fs::path& outer) {
        return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
    };
    for (const std::string& file : read) {
        const std::string reads = file == "-" ? "/dev/stdin" : oplog_in(file);
        if (fs::equivalent(writes, reads, error) && fs::is_regular_file(writes, error))
            throw ArgumentError("the output " + output + " is an input");
        if (file == "-" || output == "-") continue;
        const fs::path input = fs::weakly_canonical(file, error);
        if (fs::is_directory(input, error) && within(target, input))
            throw ArgumentError("the output " + output + " lies in the input " + file);
    }
}

void Tool::warn(std::string_view text) const {
    if (!has("quiet")) diagnose("warning: " + std::string(text));
}

void Tool::say(std::string_view text) const {
    if (!has("quiet")) diagnose(text);
}

void Tool::note(std::string_view text) const {
    if (has("verbose")) diagnose(text);
}

void Tool::hint(std::string_view text) const { tools::say(fmt::format("hint: {}\n", escaped(text))); }

/// The last entry of all inputs, which are read for it.
Timestamp Tool::end() const {
    if (end_) return *end_;
    for (const std::string& file : read()) {
        const std::string path = resolve_input(file);
        std::error_code unknown;
        require_readable(path);
        if (!std::filesystem::is_regular_file(path, unknown))
            throw ArgumentError("what counts back from the last entry takes files, which can be read twice; " + file + " is none");
        const auto in_parts = range_in_parts(path);
        const Range range = in_parts ? *in_parts : oplog::range(Reader(path));
        if (!range.empty() && (!end_ || range.last > *end_)) end_ = range.last;
    }
    if (!end_) throw ArgumentError("what counts back from the last entry takes files with entries");
    return *end_;
}

/// Parses the command line with each value as an argument of its own: -o OUT for -oOUT, where cxxopts would take nothing
/// but letters and digits.
void Tool::parse(int argc, char** argv) {
    std::set<std::string> with_value;
    for (const std::string& group : line_->options.groups())
        for (const auto& option : line_->options.group_help(group).options)
            if (!option.is_boolean) {
                with_value.insert(option.s);
                with_value.insert(option.l.begin(), option.l.end());
            }
    int i = std::min(argc, 1);
    std::vector<std::string> words(argv, argv + i);
    for (; i < argc && std::string_view(argv[i]) != "--"; ++i) {
        const std::string word = argv[i];
        std::size_t end = word.npos; // of the name, where it takes a value
        if (word.starts_with("--") && with_value.contains(word.substr(2))) end = word.size();
        if (word.starts_with('-'))
            for (std::size_t letter = 1; end == word.npos && letter < word.size() && std::isalnum(static_cast<unsigned char>(word[letter]));
                 ++letter)
                if (with_value.contains(word.substr(letter, 1))) end = letter + 1;
        words.push_back(word.substr(0, end));
        if (end < word.size()) words.push_back(word.substr(end));
        if (end == word.size() && i + 1 < argc) words.emplace_back(argv[++i]);
    }
    words.insert(words.end(), argv + i, argv + argc);
    std::vector<const char*> pointers;
    pointers.reserve(words.size());
    for (const std::string& word : words) pointers.push_back(word.c_str());
    line_->options.parse_positional({"inputs"});
    line_->parsed = line_->options.parse(static_cast<int>(words.size()), pointers.data());
}

/// Of thousands of files the names are longer than a command line may be.
void Tool::read_names() {
    if (has("inputs")) inputs_ = value<std::vector<std::string>>("inputs");
    if (!has("files0-from")) return;
    const std::string list = value("files0-from");
    FileSource file(list);
    std::string names;
    char buffer[1 << 16];
    while (const std::size_t got = file.read(buffer, sizeof buffer)) names.append(buffer, got);
    if (!names.empty() && names.back() != '\0') throw ArgumentError(list + " does not end with a NUL, as each name in it must");
    for (std::size_t at = 0; at < names.size(); at += inputs_.back().size() + 1) {
        inputs_.emplace_back(names.c_str() + at);
        if (inputs_.back().empty()) throw ArgumentError(list + " has an empty name");
    }
}

std::string Tool::help() const {
    std::vector<std::string> groups;
    for (const std::string& group : line_->options.groups())
        if (group != "hidden") groups.push_back(group);
    cxxopts::Options options = line_->options;
    options.set_width(help_width());
    options.custom_help(synopsis_).positional_help("");
    std::string text = options.help(groups);
    if (text.find(" T ") != text.npos)
        text += "\nT is <seconds>[:<ordinal>], 2026-11-22T14:06:59Z, local 2026-11-22[ 14:06[:59]], or -2h: so long before the last "
                "entry. What it leaves open is meant whole.\n";
    if (text.find("Exit codes") == text.npos) text += "\nExit codes: 0 fine, 1 the data is bad, 2 anything else.\n";
    return filled(text + "\nExample:\n" + example_);
}

/// Names the option that is nearest to one that does not exist, if any is near.
void Tool::suggest(const std::string& message) const {
    const std::size_t begin = message.find_first_of("-abcdefghijklmnopqrstuvwxyz", std::string_view("Option ").size());
    const std::string typed = message.substr(begin, message.find_first_not_of("-abcdefghijklmnopqrstuvwxyz", begin) - begin);
    std::vector<std::string> names;
    for (const std::string& group : line_->options.groups())
        for (const auto& option : line_->options.group_help(group).options)
            if (group != "hidden") names.insert(names.end(), option.l.begin(), option.l.end());
    if (const std::string name = nearest(typed, names); !name.empty()) tools::say(fmt::format("hint: did you mean --{}?\n", name));
}

void Tool::diagnose(std::string_view text) const {
    std::string shown(text);
    for (const auto& [path, name] : shown_as)
        for (std::size_t at = 0; (at = shown.find(path, at)) != shown.npos;) {
            const bool inside = shown.c_str()[at + path.size()] == '/';
            const std::string instead = inside ? name + ": " : name;
            shown.replace(at, path.size() + inside, instead);
            at += instead.size();
        }
    tools::say(fmt::format("{}: {}\n", name_, escaped(shown)));
}

void Tool::report(const std::exception& error) {
    const auto* os = dynamic_cast<const std::system_error*>(&error);
    if (os && os->code() == std::errc::broken_pipe) { // the reader has seen enough: end as other tools do
        ::signal(SIGPIPE, SIG_DFL);
        ::raise(SIGPIPE);
    }
    diagnose(dynamic_cast<const std::bad_alloc*>(&error) ? "out of memory" : reason_of(error));
    const bool usage = dynamic_cast<const ArgumentError*>(&error) || dynamic_cast<const cxxopts::exceptions::exception*>(&error);
    if (dynamic_cast<const cxxopts::exceptions::no_such_option*>(&error)) suggest(error.what());
    if (usage) tools::say(fmt::format("hint: {} --help\n", name_));
    if (const auto* data = dynamic_cast<const DataError*>(&error); data && !data->hint().empty()) hint(data->hint());
    if (os && os->code() == std::errc::file_exists) tools::say("hint: --force replaces it\n");
    exit_code_ = std::max(exit_code_, dynamic_cast<const DataError*>(&error) ? Exit::bad_data : Exit::failed);
}

#define OPLOG_OPTION_TYPE(T)                                                                                                               \
    template std::shared_ptr<cxxopts::Value> takes<T>(const std::string&);                                                                 \
    template T Tool::value<T>(const std::string&) const
OPLOG_OPTION_TYPE(std::string);
OPLOG_OPTION_TYPE(std::vector<std::string>);
OPLOG_OPTION_TYPE(int);
OPLOG_OPTION_TYPE(std::uint32_t);
OPLOG_OPTION_TYPE(std::uint64_t);
#undef OPLOG_OPTION_TYPE

} // namespace oplog::tools

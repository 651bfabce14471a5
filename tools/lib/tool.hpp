// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the tools share: options, inputs, outputs, diagnostics, exit codes.

#include <oplog/io/files.hpp>
#include <oplog/stream/range.hpp>
#include <oplog/timestamp.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

// Compiling the option parser takes longer than compiling a small tool, so only tool.cpp does.
namespace cxxopts {
class Value;
}

namespace oplog::tools {

/// The exit codes.
enum Exit { fine = 0, bad_data = 1, failed = 2 };

/// Makes text from files and file names safe for a terminal: one line, with controls and invalid UTF-8 as \xNN.
std::string escaped(std::string_view text);

/// Returns text as a JSON string. Bytes that are not UTF-8 are shown as \\xNN.
std::string json_quoted(std::string_view text);

/// The first field of what --json prints. The number rises when a field goes or means something else, not when one is added.
inline constexpr std::string_view json_format = "\"format\":1";
/// The fields for a moment.
std::string json_moment(Timestamp ts);
/// The fields for the time between two moments, both of which are in it.
std::string json_span(Timestamp first, Timestamp last);
std::string json_span(const Range& range);

/// Numbers for people to read: "1,234,567".
std::string grouped(std::uint64_t number);

/// Bytes for people to read: "1.5 GB".
std::string human_size(double bytes);

/// Help for people: its lines are filled up to as many columns as $COLUMNS says, or the terminal has that is stdout, or 80. What
/// explains a word on its left stays in its own column. From the line "Example:" on nothing changes.
std::string filled(std::string_view text);

/// Which of `words` is so near to what was typed that it may be meant; none may be.
std::string nearest(std::string_view typed, const std::vector<std::string>& words);

/// A duration for people, in at most two units: "3 h 20 min".
std::string about(double seconds);

/// Writes text to stderr. If nobody can be told (it is closed, a disk is full), the exit code must do.
void say(std::string_view text);
/// From here on, what is in the directory `path` is called what it is of `name` in messages.
void show_as(const std::string& path, const std::string& name);

/// Shows on stderr, about once a second, how much of the input has been read.
class Progress {
  public:
    void start(std::string tool, std::uint64_t total);
    void add(std::uint64_t bytes);
    void stop();

  private:
    using Clock = std::chrono::steady_clock;
    std::string tool_; ///< Empty if progress is not to be shown.
    std::uint64_t total_ = 0;
    std::uint64_t done_ = 0;
    bool shown_ = false;
    bool terminal_ = ::isatty(STDERR_FILENO) != 0;
    Clock::time_point started_;
    Clock::time_point next_;
};

inline Progress progress;

/// A file whose bytes count as progress.
class CountedSource : public FileSource {
  public:
    using FileSource::FileSource;
    std::size_t read(char* buffer, std::size_t size) {
        const std::size_t got = FileSource::read(buffer, size);
        progress.add(got);
        return got;
    }
};

using Input = BasicReader<OplogSource<DecompressingSource<CountedSource>>>;
using DocumentInput = BasicReader<OplogSource<DecompressingSource<CountedSource>>, bson::Document>;
using Output = Writer;

/// What else a signal must undo, of the output and of an input, or null. The functions may only make calls that are allowed in
/// a signal handler.
inline std::atomic<void (*)()> undo_on_signal{nullptr}, undo_input_on_signal{nullptr};

/// What an error says. std::filesystem's have words of each standard library's own; here they are as the others: the file, and why.
std::string reason_of(const std::exception& error);

/// Writes text to stdout. Throws std::system_error.
void print(std::string_view text);

/// The directory for temporary files: that of an output, which has the space; else $TMPDIR, or /tmp. Throws std::system_error.
std::string scratch_directory(const std::optional<std::string>& output = {});

/// What an option takes: T is std::string, an integer, or a std::vector<std::string> for one that may be repeated. `unless_given`
/// is what it is where it is not given.
template <class T = std::string>
std::shared_ptr<cxxopts::Value> takes(const std::string& unless_given = {});

/// A parsed command line, and the services that tools need.
class Tool {
  public:
    /// `synopsis` comes without the tool's name. `about` and `example` are what --help shows.
    Tool(std::string name, std::string synopsis, std::string about, std::string example);
    ~Tool();

    /// Adds options, each by a call to what this returns.
    class OptionAdder {
      public:
        OptionAdder(Tool& tool, std::string group) : tool_(&tool), group_(std::move(group)) {}
        /// A flag; or, of `value`, an option that --help shows with `placeholder`. `names` is "o,output" or "output".
        const OptionAdder& operator()(const std::string& names, const std::string& about, const std::shared_ptr<cxxopts::Value>& value = {},
                                      const std::string& placeholder = {}) const;

      private:
        Tool* tool_;
        std::string group_;
    };
    OptionAdder add_options(std::string group = {}) { return {*this, std::move(group)}; }
    void add_bounds();
    void add_output(const std::string& what = "stdout");

    /// Declares that the tool writes BSON to stdout if there is no -o or, if not `by_default`, for -o -. Whatever such
    /// a tool fails of, the reader of a pipe must not take nothing for an empty stream.
    void streams_bson(bool by_default = true) { unnamed_output_ = by_default ? "-" : "none"; }

    /// Parses the command line, does the work, and turns errors into a message and an exit code.
    int run(int argc, char** argv, const std::function<void()>& work);

    /// Whether an option is given or, for a flag, whether it is on: --force=false is off.
    bool has(const std::string& option) const;
    /// The value of an option, of the type that it takes.
    template <class T = std::string>
    T value(const std::string& option) const;
    template <class T = std::string>
    std::optional<T> optional(const std::string& option) const {
        return has(option) ? std::optional(value<T>(option)) : std::nullopt;
    }

    /// The value of an option as a list, split at commas; empty if the option is not given. Throws ArgumentError.
    std::vector<std::string> list(const std::string& option) const;
    static std::vector<std::string> split_list(const std::string& option, const std::string& text);

    /// The kinds of operations that --op lists; empty if it is not given. Throws ArgumentError.
    std::vector<std::string> operations() const;

    /// Whether inputs are named, as arguments or in a file.
    bool has_inputs() const { return has("inputs") || has("files0-from"); }
    /// The inputs that are named; stdin if there are none. Throws ArgumentError.
    std::vector<std::string> inputs() const;
    /// The inputs, all of which exist, to be opened one after the other. Reading them is shown as progress.
    std::vector<std::string> inputs_in_turn() const;
    /// From here on, shows what is read as progress; `total` is the number of bytes, 0 if unknown.
    void show_progress(std::uint64_t total) const;
    void show_progress() const;

    /// The time that an option gives. One that begins with - counts back from `end`, as in -2h; that is, if it is none,
    /// the last entry of the inputs. Throws ArgumentError.
    TimeSpan time(const std::string& option, std::optional<Timestamp> end = {}) const;
    /// Likewise, of a time in a list.
    TimeSpan time_of(const std::string& text, std::optional<Timestamp> end = {}) const;
    Bounds bounds() const;

    std::optional<CompressionOptions> compression() const;
    IfExists if_exists() const { return has("force") ? IfExists::replace : IfExists::refuse; }

    /// Opens the output that an option names for BSON or text; it is none of the files that are read. Close it with finish().
    Output open_output(Content content = Content::bson, const std::string& option = "output");
    Output open_output(Content content, const std::string& option, const std::vector<std::string>& read);
    void finish(Output& output);
    /// Tells that the output is complete. From here on, memory that runs out keeps only words back.
    void done() { done_ = true; }

    /// Throws ArgumentError for an output that is an input or lies in one, because it would destroy its own source.
    void refuse_overlap(const std::string& output) const { refuse_overlap(output, read()); }
    static void refuse_overlap(const std::string& output, const std::vector<std::string>& read);

    /// Tells the user something that matters, and continues.
    void warn(std::string_view text) const;
    /// Tells the user what has been done.
    void say(std::string_view text) const;
    void note(std::string_view text) const;
    /// Tells the user what to do about the previous message.
    void hint(std::string_view text) const;
    /// Reports bad data without stopping. The exit code will tell.
    void complain(const std::exception& error) { report(error); }
    /// Sets the exit code for what the work found.
    void fail(Exit code) { exit_code_ = std::max(exit_code_, code); }
    bool failed() const { return exit_code_ != fine; }

  private:
    struct CommandLine; // the option parser's

    /// What is read: the inputs, and the full dump.
    std::vector<std::string> read() const;
    Timestamp end() const;
    void parse(int argc, char** argv);
    void read_names();
    std::string help() const;
    void suggest(const std::string& message) const;
    void diagnose(std::string_view text) const;
    void report(const std::exception& error);

    std::string name_;
    std::string synopsis_;
    std::string example_;
    std::unique_ptr<CommandLine> line_;
    std::vector<std::string> inputs_;
    Exit exit_code_ = fine;
    std::string_view unnamed_output_;      ///< Where the tool writes BSON if no output is named; empty if it writes none.
    bool done_ = false;                    ///< Whether the output is complete.
    bool opened_ = false;                  ///< Whether an output is open, which reports a failure itself.
    mutable std::optional<Timestamp> end_; ///< The last entry of the inputs, once it has been asked for.
};

} // namespace oplog::tools

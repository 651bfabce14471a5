// SPDX-License-Identifier: Apache-2.0
#include "tool.hpp"

#include <oplog/split.hpp>

#include <map>

using namespace oplog;
using namespace oplog::tools;

namespace fs = std::filesystem;

namespace {

/// A number followed by one of the units, as in "1h" or "256M". Throws ArgumentError.
std::uint64_t with_unit(const std::string& option, const std::string& text, const std::map<std::string_view, std::uint64_t>& units) {
    std::string_view rest = text;
    const auto number = oplog::detail::take_number(rest);
    const auto unit = units.find(rest);
    if (!number || *number == 0 || unit == units.end() || *number > std::numeric_limits<std::uint64_t>::max() / unit->second) {
        std::string names;
        for (const auto& [name, _] : units) names += (name.empty() ? "" : " ") + std::string(name);
        throw ArgumentError(fmt::format("--{} '{}' is not a number above 0{}{}", option, text, names.empty() ? "" : " with one of the units", names));
    }
    return *number * unit->second;
}

SplitPoints split_points(const Tool& tool) {
    SplitPoints points;
    if (tool.has("every")) {
        const std::uint64_t seconds = with_unit("every", tool.value("every"), {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}});
        if (seconds > Timestamp::max().seconds) throw ArgumentError("--every is longer than any oplog");
        points.every = static_cast<std::uint32_t>(seconds);
    }
    if (tool.has("size"))
        points.size = with_unit("size", tool.value("size"), {{"", 1}, {"k", 1u << 10}, {"K", 1u << 10}, {"M", 1u << 20}, {"G", 1u << 30}});
    if (tool.has("entries")) points.entries = with_unit("entries", tool.value("entries"), {{"", 1}});
    if (tool.has("at"))
        for (const std::string& times : tool.value<std::vector<std::string>>("at"))
            for (const std::string& time : tool.split_list("at", times)) points.at.push_back(parse_time(time).first);
    if (!points.every && !points.size && !points.entries && points.at.empty())
        throw ArgumentError("say where to cut: --every, --size, --entries or --at");
    return points;
}

/// Pieces on their way into a directory: in a hidden one inside it until all are whole.
class Pieces {
  public:
    Pieces(const Tool& tool, const std::string& directory) : tool_(tool), directory_(directory) {
        made_ = ::mkdir(directory.c_str(), 0777) == 0;
        if (!made_ && errno != EEXIST) oplog::detail::throw_errno(directory);
        std::string hidden = (directory_ / ".oplog-split-XXXXXX").string();
        if (!::mkdtemp(hidden.data())) oplog::detail::throw_errno(directory);
        hidden_ = hidden;
        current_ = this;
        undo_on_signal = [] { current_->undo(); };
    }
    Pieces(const Pieces&) = delete;
    ~Pieces() {
        undo_on_signal = nullptr;
        undo();
    }

    Output begin(CompressionOptions compression) const { return Output(hidden(names_.size()), IfExists::refuse, compression); }
    void end(Output& piece, std::string name) {
        piece.close();
        names_.push_back(std::move(name));
        whole_ = names_.size();
    }

    /// Gives the pieces their names. Yields their paths.
    std::vector<std::string> publish() {
        std::vector<std::string> paths;
        for (const std::string& name : names_) {
            paths.push_back((directory_ / name).string());
            tool_.refuse_overlap(paths.back());
            const fs::file_status there = fs::symlink_status(paths.back());
            if (fs::is_directory(there)) oplog::detail::throw_errno(paths.back(), EISDIR);
            if (tool_.if_exists() == IfExists::refuse && fs::exists(there)) oplog::detail::throw_errno(paths.back(), EEXIST);
        }
        const SignalsHeld all_or_none;
        const bool made = std::exchange(made_, false);
        for (std::size_t i = 0; i < paths.size(); ++i) fs::rename(hidden(i), paths[i]);
        oplog::detail::sync_directory(directory_.string());
        if (made) oplog::detail::sync_directory(fs::canonical(directory_).parent_path().string());
        return paths;
    }

  private:
    std::string hidden(std::size_t number) const { return (hidden_ / std::to_string(number)).string(); }

    /// Takes away what is not published. A signal handler may call this: it allocates nothing.
    void undo() const noexcept {
        if (const int directory = ::open(hidden_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); directory >= 0) {
            char name[24];
            for (std::size_t i = 0; i <= whole_; ++i) { // one more: a piece may just have got its name
                *std::to_chars(name, std::end(name) - 1, i).ptr = '\0';
                ::unlinkat(directory, name, 0);
            }
            ::close(directory);
        }
        ::rmdir(hidden_.c_str());
        if (made_) ::rmdir(directory_.c_str());
    }

    /// Signals wait for as long as it lives.
    struct SignalsHeld {
        SignalsHeld() {
            ::sigset_t all;
            ::sigfillset(&all);
            ::pthread_sigmask(SIG_SETMASK, &all, &before);
        }
        SignalsHeld(const SignalsHeld&) = delete;
        ~SignalsHeld() { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); }
        ::sigset_t before;
    };

    const Tool& tool_;
    fs::path directory_;
    fs::path hidden_;
    std::vector<std::string> names_;
    std::atomic<std::size_t> whole_ = 0; ///< pieces in the hidden directory
    bool made_ = false;                  ///< the directory is new, and to be removed unless pieces appear
    static inline const Pieces* current_ = nullptr;
};

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-split", "--every 1h|--size 256M|--entries N|--at T,... -o DIR [FILE...]",
              "Cuts an oplog into consecutive files DIR/<first>-<last>.bson and prints their paths, a line each. Put together,\n"
              "they are the input byte for byte. They appear all together at the end, or not at all.",
              "  oplog-split --every 1h -o pieces oplog.bson\n");
    tool.add_options()("every", "cut at each multiple of this time: 30s, 15m, 1h, 1d", cxxopts::value<std::string>(), "TIME")(
        "size", "pieces of at most this size (k, M, G: 1024 each), before compression", cxxopts::value<std::string>(), "SIZE")(
        "entries", "pieces of N entries", cxxopts::value<std::string>(), "N")(
        "at", "cut before the first entry at or after each T; may be repeated", cxxopts::value<std::vector<std::string>>(), "T,...");
    tool.add_options()("o,output", "the directory for the pieces; made if missing", cxxopts::value<std::string>(), "DIR")(
        "f,force", "replace pieces that exist")("compress", "zstd[:LEVEL] or gzip[:LEVEL]", cxxopts::value<std::string>(), "METHOD");
    return tool.run(argc, argv, [&] {
        if (!tool.has("output")) throw ArgumentError("say where the pieces go: -o DIR");
        Splitter splitter(split_points(tool));
        const auto compression = tool.compression().value_or(CompressionOptions{});
        const std::string suffix = compression.method == Compression::zstd ? ".bson.zst" : compression.method == Compression::gzip ? ".bson.gz" : ".bson";
        const std::vector<std::string> inputs = tool.inputs_in_turn();
        tool.refuse_overlap(tool.value("output"));
        Pieces pieces(tool, tool.value("output"));

        std::optional<Output> piece;
        Timestamp first, last;
        const auto end_piece = [&] {
            if (piece) pieces.end(*piece, piece_name(first, last) + suffix);
            piece.reset();
        };
        for (const std::string& file : inputs)
            for (const EntryView entry : Input(file)) {
                if (splitter.begins_piece(entry)) {
                    end_piece();
                    piece.emplace(pieces.begin(compression));
                    first = entry.ts();
                }
                piece->write(entry);
                last = entry.ts();
            }
        end_piece();
        for (const std::string& path : pieces.publish()) print(path + "\n");
    });
}

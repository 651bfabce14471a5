// SPDX-License-Identifier: Apache-2.0
#include "lib/undo.hpp"

#include <oplog/stream/split.hpp>

#include <cerrno>
#include <filesystem>
#include <map>

using namespace oplog;
using namespace oplog::tools;

namespace fs = std::filesystem;

namespace {

/// Parses a number followed by one of the units, as in "1h" or "256M". Throws ArgumentError.
std::uint64_t with_unit(const std::string& option, const std::string& text, const std::map<std::string_view, std::uint64_t>& units) {
    std::string_view rest = text;
    const auto number = oplog::detail::take_number(rest);
    const auto unit = units.find(rest);
    if (!number || *number == 0 || unit == units.end() || *number > std::numeric_limits<std::uint64_t>::max() / unit->second) {
        std::string names;
        for (const auto& [name, _] : units) names += (name.empty() ? "" : " ") + std::string(name);
        throw ArgumentError(
            fmt::format("--{} '{}' is not a number above 0{}{}", option, text, names.empty() ? "" : " with one of the units", names));
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
        for (const std::string& times : tool.value<std::vector<std::string>>("at")) {
            if (oplog::detail::timestamp_literal(times)) // it may have a comma in it
                points.at.push_back(tool.time_of(times).first);
            else
                for (const std::string& time : tool.split_list("at", times)) points.at.push_back(tool.time_of(time).first);
        }
    if (!points.every && !points.size && !points.entries && points.at.empty())
        throw ArgumentError("say where to cut: --every, --size, --entries or --at");
    return points;
}

/// Collects the pieces of a directory. Until all are complete they are in a hidden directory, which becomes the
/// directory or, if that exists, lies inside it.
class Pieces {
  public:
    Pieces(Tool& tool, const std::string& directory) : tool_(tool), directory_(directory) {
        const oplog::detail::SignalsHeld until_watched;
        final_ = directory_.has_filename() ? directory_ : directory_.parent_path();
        is_new_ = !fs::exists(fs::symlink_status(final_));
        hidden_ = oplog::detail::make_hidden_directory(is_new_ ? final_ : final_ / "oplog-split", directory);
        undo_.watch(hidden_.native());
    }
    Pieces(const Pieces&) = delete;
    ~Pieces() { remove_hidden(); }

    Output begin(CompressionOptions compression) const { return Output(hidden(names_.size()), IfExists::refuse, compression); }
    void end(Output& piece, std::string name) {
        piece.close();
        names_.push_back(std::move(name));
    }

    /// Gives all pieces their names or, when it throws, none, and prints their paths.
    void publish() {
        std::vector<std::string> paths;
        std::vector<bool> replaces;
        std::string list;
        for (const std::string& name : names_) {
            paths.push_back((directory_ / name).string());
            tool_.refuse_overlap(paths.back());
            const fs::file_status there = fs::symlink_status(paths.back());
            if (fs::is_directory(there)) oplog::detail::throw_errno(paths.back(), EISDIR);
            replaces.push_back(fs::exists(there));
            if (tool_.if_exists() == IfExists::refuse && replaces.back()) oplog::detail::throw_errno(paths.back(), EEXIST);
            list += paths.back() + "\n";
        }
        const std::string left = hidden_.string();
        if (is_new_)
            publish_directory();
        else
            publish_into(paths, replaces);
        tool_.done();
        const bool is_removed = remove_hidden();
        print(list);
        if (!is_removed) tool_.warn("what was replaced could not be removed: " + left);
    }

  private:
    std::string hidden(std::size_t number) const { return (hidden_ / std::to_string(number)).string(); }

    void publish_directory() {
        for (std::size_t i = 0; i < names_.size(); ++i) oplog::detail::take_name(hidden(i), (hidden_ / names_[i]).string());
        oplog::detail::sync_directory(hidden_.string());
        const oplog::detail::SignalsHeld all_or_none;
        oplog::detail::take_name_as_directory(hidden_.string(), final_.string());
        oplog::detail::sync_name(final_.string(), [&] { return oplog::detail::rename_as(final_.string(), hidden_.string(), 0); });
        hidden_.clear();
    }

    /// A file that is replaced swaps places with its piece, and is removed at the end.
    void publish_into(const std::vector<std::string>& paths, const std::vector<bool>& replaces) {
        {
            const oplog::detail::SignalsHeld all_or_none;
            std::size_t named = 0;
            try {
                for (; named < paths.size(); ++named)
                    if (replaces[named])
                        oplog::detail::swap_names(hidden(named), paths[named]);
                    else
                        oplog::detail::take_name(hidden(named), paths[named]);
                oplog::detail::sync_directory(directory_.string());
            } catch (const std::exception& error) {
                const std::string failure = error.what();
                take_back(paths, replaces, named, failure);
                throw;
            }
        }
    }
    /// Throws if a piece cannot be taken back.
    void take_back(const std::vector<std::string>& paths, const std::vector<bool>& replaces, std::size_t named,
                   const std::string& failure) {
        std::string stay;
        while (named-- > 0) try {
                if (replaces[named])
                    oplog::detail::swap_names(hidden(named), paths[named]);
                else
                    oplog::detail::take_name(paths[named], hidden(named));
            } catch (const std::system_error&) {
                stay += " " + paths[named];
            }
        if (!stay.empty()) throw FileError(failure + "; and these stay, new and whole:" + stay);
    }

    bool remove_hidden() noexcept {
        std::error_code error;
        try {
            if (!hidden_.empty()) fs::remove_all(hidden_, error);
        } catch (const std::bad_alloc&) {
            error = std::make_error_code(std::errc::not_enough_memory);
        }
        hidden_.clear();
        return !error;
    }

    Tool& tool_;
    UndoOnSignal<undo_on_signal> undo_;
    fs::path directory_; ///< The directory as it was named.
    fs::path final_;     ///< The same without a slash at the end.
    fs::path hidden_;
    std::vector<std::string> names_;
    bool is_new_ = false; ///< Whether the directory is new.
};

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-split", "--every 1h|--size 256M|--entries N|--at T,... -o DIR [FILE...]",
              "Cuts an oplog into consecutive files DIR/<first>-<last>.bson and prints their paths, a line each. Put together,\n"
              "they are the input byte for byte. They appear at the end, all or none; a new directory appears with them.",
              "  oplog-split --every 1h -o pieces oplog.bson\n");
    // clang-format off
    tool.add_options()
        ("every", "cut at each multiple of this time: 30s, 15m, 1h, 1d", takes(), "TIME")
        ("size", "pieces of at most this size (k, M, G: 1024 each), before compression", takes(), "SIZE")
        ("entries", "pieces of N entries", takes(), "N")
        ("at", "cut before the first entry at or after each T; may be repeated", takes<std::vector<std::string>>(), "T,...");
    // clang-format on
    // clang-format off
    tool.add_options()
        ("o,output", "the directory for the pieces; made if missing", takes(), "DIR")
        ("f,force", "replace pieces that exist")
        ("compress", "zstd[:LEVEL] or gzip[:LEVEL]", takes(), "METHOD");
    // clang-format on
    return tool.run(argc, argv, [&] {
        if (!tool.has("output")) throw ArgumentError("say where the pieces go: -o DIR");
        Splitter splitter(split_points(tool));
        const auto compression = tool.compression().value_or(CompressionOptions{});
        const std::string suffix = compression.method == Compression::zstd   ? ".bson.zst"
                                   : compression.method == Compression::gzip ? ".bson.gz"
                                                                             : ".bson";
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
        pieces.publish();
    });
}

// SPDX-License-Identifier: Apache-2.0
#include "lib/tool.hpp"

#include <oplog/bson/json.hpp>
#include <oplog/entry/filter.hpp>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <malloc.h>
#include <mutex>
#include <thread>

using namespace oplog;
using namespace oplog::tools;

namespace {

/// Selects the documents to print. A condition on a field that a document lacks is not met.
struct Wanted {
    struct Pattern {
        explicit Pattern(const std::string& pattern) : text(pattern), glob(pattern) {}
        bool matches(bool it_does) const {
            if (it_does) matched = true;
            return it_does;
        }
        std::string text;
        Glob glob;
        mutable std::atomic<bool> matched = false; ///< Whether anything matched, in any thread.
    };
    Bounds bounds;
    std::deque<Pattern> namespaces; ///< Empty: all.
    std::vector<std::string> ops;   ///< Empty: all.

    bool operator()(const bson::Document& document) const {
        if (!bounds.everything()) {
            const auto ts = document.find("ts");
            if (!ts || !ts->is(bson::Type::timestamp) || !bounds.contains(ts->timestamp())) return false;
        }
        if (namespaces.empty() && ops.empty()) return true;
        bool wanted = false;
        try {
            for_each_operation(document, [&](const Operation& operation) { wanted |= fits(operation); });
        } catch (const DataError&) {
            bson::validate<bson::Text::any>(document); // it is not an oplog entry, or it is damaged
        }
        return wanted;
    }

  private:
    bool fits(const Operation& operation) const { return !operation.op.empty() && namespace_fits(operation) && op_fits(operation); }
    bool op_fits(const Operation& operation) const { return ops.empty() || std::ranges::find(ops, operation.op) != ops.end(); }
    bool namespace_fits(const Operation& operation) const {
        if (namespaces.empty()) return true;
        std::vector<std::string> names = oplog::namespaces(operation);
        if (!operation.ns.empty()) names.emplace_back(operation.ns);
        // Asks every pattern, because each notes whether it matched anything.
        return std::ranges::count_if(namespaces, [&](const Pattern& pattern) {
                   return pattern.matches(std::ranges::any_of(names, [&](const std::string& name) { return pattern.glob.matches(name); }) ||
                                          (operation.command() == "dropDatabase" && pattern.glob.may_match_in(operation.database())));
               }) > 0;
    }
};

/// Consecutive documents of a file, and their text.
struct Batch {
    DocumentInput::Block block;
    JsonBuffer text;
    std::exception_ptr error;  ///< The fault after the text.
    std::uint64_t strange = 0; ///< The number of documents with text that is not UTF-8.
    Position first_strange;

    /// Whether the documents are huge: up to 16 MB, and many times that as text.
    bool is_huge() const { return block.documents().size() > 2 << 20; }

    void print(const Wanted& wanted) {
        Position where = block.where();
        try {
            for (std::string_view rest = block.documents(); !rest.empty();) {
                const bson::Document document = bson::Document::trusted(rest.data());
                if (wanted(document)) {
                    const std::uint64_t replaced = text.replaced();
                    text.append(document);
                    text.append("\n");
                    if (text.replaced() != replaced && ++strange == 1) first_strange = where;
                }
                rest.remove_prefix(document.size());
                where.offset += document.size();
                ++where.document;
            }
        } catch (const DataError& reason) {
            error = std::make_exception_ptr(FormatError(where, reason));
        } catch (...) {
            error = std::current_exception();
        }
    }
};

/// Prints on all cores. Each thread reads a batch, prints it, and waits for its turn to write. What a core has read is
/// in its cache when it prints.
class Printer {
  public:
    Printer(std::vector<std::string> inputs, const Wanted& wanted, JsonMode mode, JsonLayout layout, Output& out)
        : inputs_(std::move(inputs)), wanted_(wanted), mode_(mode), layout_(layout), out_(out) {}

    /// Throws the first error. Everything before the fault has been written.
    void run(const Tool& tool) {
        std::vector<std::jthread> threads;
        work_or_fail([&] { // a small file is not worth a thread
            try {
                while (threads.size() + 1 < std::clamp(std::thread::hardware_concurrency(), 1u, 4u))
                    threads.emplace_back([this] { work_or_fail([] {}); });
            } catch (const std::exception&) { // fewer threads can do it too
            }
        });
        threads.clear();
        if (strange_ > 0)
            tool.warn(
                fmt::format("text that is not UTF-8 in {} document{}, its bytes shown as U+FFFD; the first: {}: offset {}: document {}",
                            strange_, strange_ == 1 ? "" : "s", first_strange_.file, first_strange_.offset, first_strange_.document));
        if (failure_) std::rethrow_exception(failure_);
    }

  private:
    /// Runs work, and on an exception stops the other threads, which must not wait for a turn that does not come.
    template <class WhenMore>
    void work_or_fail(WhenMore when_more) {
        try {
            work(when_more);
        } catch (...) {
            const std::lock_guard lock(writing_);
            fail();
        }
    }
    /// Stops with the exception that is being handled.
    void fail() {
        if (!failure_) failure_ = std::current_exception();
        failed_ = true;
        is_written_.notify_all();
    }
    /// Does the work of one thread. Calls when_more() once, at the fourth batch.
    template <class WhenMore>
    void work(WhenMore when_more) {
        Batch batch = empty();
        for (;;) {
            std::unique_lock reading(reading_);
            if (!read(batch)) return;
            const std::uint64_t turn = read_++;
            if (turn == 3) when_more();
            if (!batch.is_huge()) reading.unlock(); // huge documents are processed one at a time, because of their memory
            batch.print(wanted_);
            write(batch, turn);
            if (batch.is_huge()) batch = empty();
        }
    }
    Batch empty() const { return {{}, JsonBuffer(mode_, layout_), {}, 0, {}}; }
    bool ended() const { return input_ == inputs_.size() || failed_; }
    /// Reads a batch. Returns false if there is nothing more.
    bool read(Batch& batch) {
        batch.text.clear();
        batch.strange = 0;
        try {
            for (; !ended(); ++input_) {
                if (!in_) in_.emplace(inputs_[input_]);
                if (in_->next(batch.block)) return true;
                in_.reset();
            }
            return false;
        } catch (...) {
            batch.error = std::current_exception();
            input_ = inputs_.size();
            return true;
        }
    }
    void write(const Batch& batch, std::uint64_t turn) {
        std::unique_lock lock(writing_);
        is_written_.wait(lock, [&] { return written_ == turn || failure_; });
        if (failure_) return;
        try {
            if (strange_ == 0) first_strange_ = batch.first_strange;
            strange_ += batch.strange;
            out_.sink().write(batch.text.text().data(), batch.text.size()); // a writer's buffers are not needed here
            if (batch.error) std::rethrow_exception(batch.error);
        } catch (...) {
            fail();
        }
        ++written_;
        is_written_.notify_all();
    }

    std::vector<std::string> inputs_;
    const Wanted& wanted_;
    JsonMode mode_;
    JsonLayout layout_;
    Output& out_;

    std::mutex reading_;
    std::size_t input_ = 0; ///< The input that is being read.
    std::optional<DocumentInput> in_;
    std::uint64_t read_ = 0; ///< Batches.
    std::atomic<bool> failed_ = false;

    std::mutex writing_;
    std::condition_variable is_written_;
    std::uint64_t written_ = 0; ///< Batches.
    std::exception_ptr failure_;
    std::uint64_t strange_ = 0; ///< The number of documents with text that is not UTF-8.
    Position first_strange_;
};

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-cat", "[BOUNDS] [FILE...]",
              "Documents as JSON, one a line: canonical Extended JSON v2, as bsondump prints it. Any BSON file will do, an\n"
              "oplog or not, in order or not.",
              "  oplog-cat --ns 'shop.*' --op d --from 2021-01-12T03:29:00Z oplog.bson\n");
    // clang-format off
    tool.add_options()
        ("relaxed", "relaxed Extended JSON: plain numbers, ISO dates")
        ("pretty", "a line a field, indented")
        ("ns", "only entries on collections that match GLOB, in transactions too; may be repeated", takes<std::vector<std::string>>(), "GLOB")
        ("op", "only these operations, as in i,u,d,c", takes(), "LIST");
    // clang-format on
    tool.add_bounds();
    tool.add_output();
    return tool.run(argc, argv, [&] {
        Wanted wanted;
        wanted.bounds = tool.bounds();
        wanted.ops = tool.operations();
        if (tool.has("ns"))
            for (const std::string& glob : tool.value<std::vector<std::string>>("ns")) wanted.namespaces.emplace_back(glob);
        std::vector<std::string> inputs = tool.inputs_in_turn();
        ::mallopt(M_MMAP_THRESHOLD, 128 << 10); // fixes the threshold, so that the memory of a huge document goes back to the system
        Output out = tool.open_output(Content::text);
        Printer(std::move(inputs), wanted, tool.has("relaxed") ? JsonMode::relaxed : JsonMode::canonical,
                tool.has("pretty") ? JsonLayout::pretty : JsonLayout::line, out)
            .run(tool);
        tool.finish(out);
        for (const Wanted::Pattern& pattern : wanted.namespaces)
            if (!pattern.matched) tool.warn("--ns " + pattern.text + ": no collection matches");
    });
}

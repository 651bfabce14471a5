// SPDX-License-Identifier: Apache-2.0
#include "tool.hpp"

#include <oplog/filter.hpp>
#include <oplog/json.hpp>

#include <condition_variable>
#include <mutex>
#include <thread>

using namespace oplog;
using namespace oplog::tools;

namespace {

/// Which documents to print. What a document does not have does not match.
struct Wanted {
    Bounds bounds;
    std::vector<Glob> namespaces; ///< none: all
    std::vector<std::string> ops; ///< none: all

    bool operator()(const bson::Document& document) const {
        if (!bounds.everything()) {
            const auto ts = document.find("ts");
            if (!ts || !ts->is(bson::Type::timestamp) || !bounds.contains(ts->timestamp())) return false;
        }
        if (namespaces.empty() && ops.empty()) return true;
        bool wanted = false;
        try {
            for_each_operation(document, [&](const Operation& operation) { wanted = wanted || (op_fits(operation) && namespace_fits(operation)); });
        } catch (const DataError&) { // not an oplog entry
        }
        return wanted;
    }

  private:
    bool op_fits(const Operation& operation) const { return ops.empty() || std::ranges::find(ops, operation.op) != ops.end(); }
    bool namespace_fits(const Operation& operation) const {
        if (namespaces.empty()) return true;
        std::vector<std::string> names = oplog::namespaces(operation);
        names.emplace_back(operation.ns);
        return std::ranges::any_of(namespaces, [&](const Glob& glob) {
            return std::ranges::any_of(names, [&](const std::string& name) { return glob.matches(name); }) ||
                   (operation.command() == "dropDatabase" && glob.may_match_in(split_namespace(operation.ns).database));
        });
    }
};

/// Documents that lie one after the other in a file, and their text.
struct Batch {
    static constexpr std::size_t size = 1 << 20;

    std::string documents;
    Position where; ///< of the first
    JsonBuffer text;
    std::exception_ptr error; ///< what is wrong after the text
    bool printed = false;

    void print(const Wanted& wanted) {
        try {
            for (std::string_view rest = documents; !rest.empty();) {
                const bson::Document document = bson::Document::trusted(rest.data());
                if (wanted(document)) {
                    text.append(document);
                    text.append("\n");
                }
                rest.remove_prefix(document.size());
                where.offset += document.size();
                ++where.document;
            }
        } catch (const DataError& reason) {
            error = std::make_exception_ptr(FormatError(where, reason.what()));
        } catch (...) {
            error = std::current_exception();
        }
    }
};

/// Prints batches on all cores, and writes them in their order.
class Printer {
  public:
    Printer(const Wanted& wanted, JsonMode mode, JsonLayout layout, Output& out)
        : wanted_(wanted), mode_(mode), layout_(layout), out_(out), batches_(cores() + 3) { // some wait, so that no core does
        for (Batch& batch : batches_) batch.text = JsonBuffer(mode, layout);
    }

    void print(DocumentInput& in) {
        for (;;) {
            try {
                if (!in.next()) break;
            } catch (const DataError&) { // what comes before is good, and is printed
                finish();
                throw;
            }
            Batch& batch = filling();
            if (batch.documents.empty()) batch.where = in.where();
            batch.documents += in.current().bytes();
            if (batch.documents.size() >= Batch::size) hand_over();
        }
        hand_over();
    }
    /// Writes what is left. Throws the first error.
    void finish() {
        hand_over();
        while (written_ < filled_) write_oldest();
    }

  private:
    static unsigned cores() { return std::clamp(std::thread::hardware_concurrency(), 1u, 4u); }
    Batch& filling() { return batches_[filled_ % batches_.size()]; }

    void hand_over() {
        Batch& batch = filling();
        // The only batch of a small file is not worth a thread.
        if (threads_.empty() && batch.documents.size() < Batch::size) {
            batch.print(wanted_);
            batch.printed = true;
        } else if (threads_.empty()) {
            printing_ = filled_;
            for (unsigned i = 0; i < cores(); ++i) threads_.emplace_back([this](const std::stop_token& stop) { print_batches(stop); });
        }
        {
            const std::lock_guard lock(mutex_);
            ++filled_;
        }
        is_filled_.notify_one();
        under_way_ += batch.documents.size();
        // Documents of 16 MB, many times that as text, go one by one.
        while (filled_ - written_ == batches_.size() || under_way_ > batches_.size() * Batch::size) write_oldest();
    }
    void print_batches(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        while (is_filled_.wait(lock, stop, [this] { return printing_ < filled_; })) {
            Batch& batch = batches_[printing_++ % batches_.size()];
            lock.unlock();
            batch.print(wanted_);
            lock.lock();
            batch.printed = true;
            is_printed_.notify_one();
        }
    }
    void write_oldest() {
        Batch& batch = batches_[written_ % batches_.size()];
        {
            std::unique_lock lock(mutex_);
            is_printed_.wait(lock, [&] { return batch.printed; });
        }
        out_.write(batch.text.text());
        if (batch.error) std::rethrow_exception(batch.error);
        under_way_ -= batch.documents.size();
        batch.documents.clear();
        batch.text.clear();
        if (batch.documents.capacity() > 4 * Batch::size) {
            batch.documents = {};
            batch.text = JsonBuffer(mode_, layout_);
        }
        batch.printed = false;
        ++written_;
    }

    const Wanted& wanted_;
    JsonMode mode_;
    JsonLayout layout_;
    Output& out_;
    std::vector<Batch> batches_;                          ///< a ring
    std::size_t filled_ = 0, printing_ = 0, written_ = 0; ///< how many so far; the first two are guarded
    std::size_t under_way_ = 0;                           ///< bytes of the documents handed over and not written
    std::mutex mutex_;
    std::condition_variable_any is_filled_, is_printed_;
    std::vector<std::jthread> threads_; ///< the last member: they end first
};

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-cat", "[BOUNDS] [FILE...]",
              "Documents as JSON, one a line: canonical Extended JSON v2, as bsondump prints it. Any BSON file will do, an\n"
              "oplog or not, in order or not.",
              "  oplog-cat --ns 'shop.*' --op d --from 2021-01-12T03:29:00Z oplog.bson\n");
    tool.add_options()("relaxed", "relaxed Extended JSON: plain numbers, ISO dates")("pretty", "a line a field, indented")(
        "ns", "only entries on collections that match GLOB, in transactions too; may be repeated", cxxopts::value<std::vector<std::string>>(), "GLOB")(
        "op", "only these operations, as in i,u,d,c", cxxopts::value<std::string>(), "LIST");
    tool.add_bounds();
    tool.add_output();
    return tool.run(argc, argv, [&] {
        Wanted wanted{tool.bounds(), {}, tool.list("op")};
        if (tool.has("ns"))
            for (const std::string& glob : tool.value<std::vector<std::string>>("ns")) wanted.namespaces.emplace_back(glob);
        std::vector<DocumentInput> inputs = tool.open_inputs<DocumentInput>();
        Output out = tool.open_output(Content::text);
        Printer printer(wanted, tool.has("relaxed") ? JsonMode::relaxed : JsonMode::canonical,
                        tool.has("pretty") ? JsonLayout::pretty : JsonLayout::line, out);
        for (DocumentInput& in : inputs) printer.print(in);
        printer.finish();
        tool.finish(out);
    });
}

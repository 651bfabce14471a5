// SPDX-License-Identifier: Apache-2.0
#include "tool.hpp"

#include <oplog/filter.hpp>
#include <oplog/json.hpp>

#include <deque>
#include <future>
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
        }
    }
};

/// Prints batches side by side, and writes them in their order.
class Printer {
  public:
    Printer(const Wanted& wanted, JsonMode mode, JsonLayout layout, Output& out) : wanted_(wanted), out_(out) {
        // One is read while the others are printed.
        for (unsigned i = 0; i <= std::clamp(std::thread::hardware_concurrency(), 1u, 4u); ++i) spare_.emplace_back().text = JsonBuffer(mode, layout);
    }

    void print(DocumentInput& in) {
        Batch batch = take();
        try {
            for (const bson::Document document : in) {
                if (batch.documents.empty()) batch.where = in.where();
                batch.documents += document.bytes();
                if (batch.documents.size() < Batch::size) continue;
                start(std::move(batch));
                batch = take();
            }
        } catch (const DataError&) { // what comes before is good, and is printed
            start(std::move(batch));
            finish();
            throw;
        }
        start(std::move(batch));
    }
    /// Writes what is under way. Throws the first error.
    void finish() {
        while (!running_.empty()) finish_oldest();
    }

  private:
    Batch take() {
        if (spare_.empty()) finish_oldest();
        Batch batch = std::move(spare_.back());
        spare_.pop_back();
        return batch;
    }
    void start(Batch batch) {
        // The only batch of a small file is not worth a thread.
        const auto how = running_.empty() && batch.documents.size() < Batch::size ? std::launch::deferred : std::launch::async;
        running_.push_back(std::async(how, [this](Batch work) {
            work.print(wanted_);
            return work;
        }, std::move(batch)));
    }
    void finish_oldest() {
        Batch batch = running_.front().get();
        running_.pop_front();
        out_.write(batch.text.text());
        if (batch.error) std::rethrow_exception(batch.error);
        batch.documents.clear();
        batch.text.clear();
        spare_.push_back(std::move(batch));
    }

    const Wanted& wanted_;
    Output& out_;
    std::vector<Batch> spare_;
    std::deque<std::future<Batch>> running_;
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

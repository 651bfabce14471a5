// SPDX-License-Identifier: Apache-2.0
#include "tool.hpp"

using namespace oplog;
using namespace oplog::tools;

namespace {

/// Which documents to print. What a document does not have does not match.
struct Selection {
    Bounds bounds;
    std::vector<std::string> namespaces; ///< globs; none: all
    std::vector<std::string> ops;        ///< none: all

    bool everything() const { return bounds.everything() && namespaces.empty() && ops.empty(); }

    bool wants(const bson::Document& document) const {
        if (!bounds.everything()) {
            const auto ts = document.find("ts");
            if (!ts || !ts->is(bson::Type::timestamp) || !bounds.contains(ts->timestamp())) return false;
        }
        return (namespaces.empty() && ops.empty()) || wants_operation(document);
    }

  private:
    /// Whether this operation is one of those wanted, or, being an applyOps, has one in it.
    bool wants_operation(const bson::Document& operation) const {
        const auto text = [&](const char* key) -> std::string_view {
            const auto found = operation.find(key);
            return found && found->is(bson::Type::string) ? found->string() : std::string_view{};
        };
        const std::string_view ns = text("ns");
        const bool ns_fits = namespaces.empty() || std::ranges::any_of(namespaces, [&](const auto& glob) { return glob_matches(glob, ns); });
        const bool op_fits = ops.empty() || std::ranges::find(ops, text("op")) != ops.end();
        if (ns_fits && op_fits) return true;
        const auto o = operation.find("o");
        const auto inner = o && o->is(bson::Type::document) ? o->document().find("applyOps") : std::nullopt;
        if (!inner || !inner->is(bson::Type::array)) return false;
        return std::ranges::any_of(inner->array(), [&](const bson::Element& e) { return e.is(bson::Type::document) && wants_operation(e.document()); });
    }
};

} // namespace

int main(int argc, char** argv) {
    Tool tool("oplog-cat", "[BOUNDS] [FILE...]",
              "Documents as JSON, one a line: canonical Extended JSON v2, as bsondump prints it. Any BSON file will do, an\n"
              "oplog or not, in order or not.",
              "  oplog-cat --ns 'shop.*' --op d --from 2021-01-12T03:29:00Z oplog.bson\n");
    tool.add_options()("relaxed", "relaxed Extended JSON: plain numbers, ISO dates")("pretty", "a line a field, indented")(
        "ns", "only entries on namespaces like GLOB, in transactions too; repeatable", cxxopts::value<std::vector<std::string>>(), "GLOB")(
        "op", "only these operations: a list of i, u, d, c, n", cxxopts::value<std::string>(), "LIST");
    tool.add_bounds();
    tool.add_output();
    return tool.run(argc, argv, [&] {
        Selection selection{tool.bounds(), tool.optional<std::vector<std::string>>("ns").value_or(std::vector<std::string>{}), tool.list("op")};
        std::vector<DocumentInput> inputs = tool.open_inputs<DocumentInput>();
        Output out = tool.open_output(Content::text);
        JsonBuffer json(tool.has("relaxed") ? JsonMode::relaxed : JsonMode::canonical,
                        tool.has("pretty") ? JsonLayout::pretty : JsonLayout::line);
        const auto flush = [&] {
            out.write(json.text());
            json.clear();
        };
        const auto print_all = [&](DocumentInput& in) {
            for (const bson::Document document : in) {
                try {
                    if (!selection.everything() && !selection.wants(document)) continue;
                    json.append(document);
                } catch (const DataError& error) {
                    throw FormatError(in.where(), error.what());
                }
                json.append("\n");
                if (json.size() >= 64 << 10) flush();
            }
        };
        try {
            for (DocumentInput& in : inputs) print_all(in);
        } catch (const DataError&) {
            flush(); // what comes before the bad document is good
            throw;
        }
        flush();
        tool.finish(out);
    });
}

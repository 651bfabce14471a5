// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Pages of HTML that are whole in one file: tables that every browser shows, the same data as JSON, and a script that draws it.

#include "tool.hpp"

#include <oplog/version.hpp>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace oplog::tools::html {

/// The page with marks for what is filled in; made of the files in tools/html.
extern const std::string_view page_template;

/// Characters, and what stands for them.
using Replacements = std::initializer_list<std::pair<std::string_view, std::string_view>>;
inline std::string replaced(std::string_view text, Replacements with) {
    std::string out;
    while (!text.empty()) {
        const auto found = std::ranges::find_if(with, [&](const auto& one) { return text.starts_with(one.first); });
        out += found == with.end() ? text.substr(0, 1) : found->second;
        text.remove_prefix(found == with.end() ? 1 : found->first.size());
    }
    return out;
}

/// Text for an element or an attribute: whatever it is, it is shown and does nothing. What turns the direction of text is
/// shown too, since a name could hide behind it.
inline std::string encoded(std::string_view text) {
    return replaced(escaped(text), {{"&", "&amp;"},
                                    {"<", "&lt;"},
                                    {">", "&gt;"},
                                    {"\"", "&quot;"},
                                    {"'", "&#39;"},
                                    {"\u200E", "\\u200e"},
                                    {"\u200F", "\\u200f"},
                                    {"\u202A", "\\u202a"},
                                    {"\u202B", "\\u202b"},
                                    {"\u202C", "\\u202c"},
                                    {"\u202D", "\\u202d"},
                                    {"\u202E", "\\u202e"},
                                    {"\u2066", "\\u2066"},
                                    {"\u2067", "\\u2067"},
                                    {"\u2068", "\\u2068"},
                                    {"\u2069", "\\u2069"}});
}

/// The same where times may stand, which are elements of their own: none is broken over two lines.
inline std::string with_times(std::string_view text) {
    constexpr std::string_view form = "0000-00-00T00:00:00Z";
    std::string out = encoded(text);
    for (std::size_t at = 0; at + form.size() <= out.size(); ++at) {
        const auto is_form = [](char c, char wanted) { return wanted == '0' ? c >= '0' && c <= '9' : c == wanted; };
        if (!std::equal(form.begin(), form.end(), out.begin() + static_cast<std::ptrdiff_t>(at),
                        [&](char wanted, char c) { return is_form(c, wanted); }))
            continue;
        out.insert(at + form.size(), "</time>");
        out.insert(at, "<time>");
        at += form.size() + std::string_view("<time></time>").size() - 1;
    }
    return out;
}

/// JSON for a script element: the same JSON without any character that could end it.
inline std::string in_script(std::string_view json) {
    return replaced(json, {{"<", "\\u003c"}, {">", "\\u003e"}, {"&", "\\u0026"}, {"\u2028", "\\u2028"}, {"\u2029", "\\u2029"}});
}

/// `json` is shown in the tables of `body` already, and drawn in its elements of class chart.
inline std::string page(std::string_view title, std::string_view body, std::string_view json) {
    std::string out;
    std::string_view rest = page_template;
    for (const auto& [mark, text] : {std::pair<std::string_view, std::string>("<!--title-->", encoded(title)),
                                     {"<!--body-->", std::string(body)},
                                     {"<!--data-->", in_script(json)}}) {
        const std::size_t at = rest.find(mark);
        out += rest.substr(0, at);
        out += text;
        rest.remove_prefix(at + mark.size());
    }
    return out += rest;
}

/// A table. Cells are text; those of a column of shares are numbers from 0 to 1, which are shown as bars.
class Table {
  public:
    enum class Kind { text, time, number, code, share };
    struct Column {
        std::string name;
        Kind kind = Kind::text;
    };

    Table(std::string_view caption, std::vector<Column> columns) : columns_(std::move(columns)) {
        text_ =
            fmt::format("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{0}\"><table><caption>{0}</caption><thead><tr>",
                        encoded(caption));
        for (const Column& column : columns_)
            text_ += fmt::format("<th scope=\"col\"{}>{}</th>", kind(column),
                                 column.kind == Kind::share ? "<span class=\"unseen\">" + encoded(column.name) + "</span>"
                                                            : encoded(column.name));
        text_ += "</tr></thead><tbody>\n";
    }
    void row(const std::vector<std::string>& cells) {
        ++rows_;
        text_ += "<tr>";
        for (std::size_t i = 0; i < columns_.size() && i < cells.size(); ++i) {
            const Column& column = columns_[i];
            const char* const tag = i == 0 ? "th scope=\"row\"" : "td";
            text_ +=
                fmt::format("<{}{}>{}</{:.2}>", tag, kind(column), column.kind == Kind::share ? bar(cells[i]) : with_times(cells[i]), tag);
        }
        text_ += "</tr>\n";
    }
    std::size_t rows() const { return rows_; }
    std::string text() const { return text_ + "</tbody></table></div>\n"; }

    static std::string share(std::uint64_t part, std::uint64_t of) {
        return fmt::format("{:.4f}", of == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(of));
    }

  private:
    static const char* kind(const Column& column) {
        switch (column.kind) {
        case Kind::number: return " class=\"number\"";
        case Kind::code: return " class=\"code\"";
        case Kind::time: return " class=\"time\"";
        case Kind::share: return " class=\"share\"";
        case Kind::text: break;
        }
        return "";
    }
    static std::string bar(std::string_view share) {
        return fmt::format(
            "<svg viewBox=\"0 0 1 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect width=\"{}\" height=\"1\"/></svg>", share);
    }

    std::vector<Column> columns_;
    std::string text_;
    std::size_t rows_ = 0;
};

/// What matters most, large: a name, a value and perhaps more about it, each.
inline std::string tiles(const std::vector<std::array<std::string, 3>>& facts) {
    std::string text = "<dl class=\"tiles\">";
    for (const auto& [name, value, more] : facts)
        text += fmt::format("<div><dt>{}</dt><dd>{}{}</dd></div>", encoded(name), with_times(value),
                            more.empty() ? "" : "<small>" + with_times(more) + "</small>");
    return text + "</dl>\n";
}

inline std::string paragraph(std::string_view text, std::string_view of = "") {
    return fmt::format("<p{}>{}</p>\n", of.empty() ? "" : fmt::format(" class=\"{}\"", of), with_times(text));
}
/// A part of the page; `content` is HTML.
inline std::string section(std::string_view id, std::string_view title, const std::string& content) {
    return fmt::format("<section id=\"{0}\" aria-labelledby=\"{0}-title\"><h2 id=\"{0}-title\">{1}</h2>\n{2}</section>\n", id,
                       encoded(title), content);
}
/// Something that is open only when it is wanted; `content` is HTML.
inline std::string details(std::string_view summary, const std::string& content) {
    return fmt::format("<details><summary>{}</summary>\n{}</details>\n", encoded(summary), content);
}
/// Where the script draws; of `kinds` it knows.
inline std::string charts(std::initializer_list<std::string_view> kinds) {
    std::string text = "<div class=\"charts\">";
    for (const std::string_view kind : kinds) text += fmt::format("<div class=\"chart\" data-chart=\"{}\"></div>", kind);
    return text + "</div><noscript><p class=\"note\">The charts take JavaScript. The tables have the same numbers.</p></noscript>\n";
}
inline std::string header(std::string_view title, std::string_view lead) {
    return fmt::format("<header><h1>{}</h1>\n{}</header>\n<main>\n", encoded(title), paragraph(lead, "lead"));
}
/// Links to sections, by their ids.
inline std::string contents(const std::vector<std::pair<std::string_view, std::string_view>>& sections) {
    std::string text = "<nav aria-label=\"Contents\"><ul>";
    for (const auto& [id, title] : sections) text += fmt::format("<li><a href=\"#{}\">{}</a></li>", id, encoded(title));
    return text + "</ul></nav>\n";
}
inline std::string footer(std::string_view tool) {
    return fmt::format("</main>\n<footer><p>Made by {} {}. All times are UTC. 1 kB is 1,000 bytes.</p></footer>\n", tool, OPLOG_VERSION);
}

} // namespace oplog::tools::html

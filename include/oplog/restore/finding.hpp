// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/error.hpp>
#include <oplog/timestamp.hpp>

#include <functional>
#include <optional>
#include <string>

namespace oplog::inline v0_1 {

/// Something that was found out about a chain.
struct Finding {
    enum class Severity {
        note,    ///< worth knowing: staging sees to it
        warning, ///< something is left out, or cannot be known
        error,   ///< a restore cannot be right
    };
    Severity severity = Severity::note;
    std::optional<Position> where;
    std::optional<Timestamp> ts;
    std::string text; ///< a sentence
    Fault fault = Fault::incomplete; ///< of an error
    bool of_replay = false; ///< a note that staging does not see to: replay changes something, and oplog-apply does not
};

/// "FILE: offset N: document K: TIMESTAMP: TEXT", as far as it is known.
inline std::string to_string(const Finding& finding) {
    const std::string text = (finding.ts ? to_string(*finding.ts) + ": " : "") + finding.text;
    return finding.where ? to_string(*finding.where) + ": " + text : text;
}

/// Who is told of findings; may be empty.
using Report = std::function<void(Finding)>;

} // namespace oplog

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
    /// How bad a finding is.
    enum class Severity {
        note,    ///< Worth knowing; staging takes care of it.
        warning, ///< Something is left out, or cannot be known.
        error,   ///< A restore cannot be right.
    };
    Severity severity = Severity::note;
    std::optional<Position> where;   ///< The place in the chain; none if unknown.
    std::optional<Timestamp> ts;     ///< The timestamp of the entry; none if there is none.
    std::string text;                ///< A sentence.
    Fault fault = Fault::incomplete; ///< The kind of an error.
    bool of_replay = false;          ///< A note that staging does not take care of: a replay changes something, and oplog-apply does not.
};

/// "FILE: offset N: document K: TIMESTAMP: TEXT", without the parts that are unknown.
inline std::string to_string(const Finding& finding) {
    const std::string text = (finding.ts ? to_string(*finding.ts) + ": " : "") + finding.text;
    return finding.where ? to_string(*finding.where) + ": " + text : text;
}

/// Called with findings; may be empty.
using Report = std::function<void(Finding)>;

} // namespace oplog

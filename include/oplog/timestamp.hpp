// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/error.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <compare>
#include <cstdint>
#include <ctime>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace oplog::inline v0_1 {

/// A BSON timestamp, which is the server's logical clock: seconds since 1970 and an ordinal within that second.
/// Ordinals have gaps. The text form is `<seconds>:<ordinal>`, which mongorestore takes as `--oplogLimit`.
struct Timestamp {
    std::uint32_t seconds = 0; ///< Since 1970 UTC.
    std::uint32_t ordinal = 0; ///< Orders what has the same second.

    /// The earliest timestamp, 0:0.
    static constexpr Timestamp min() { return {}; }
    /// The latest timestamp.
    static constexpr Timestamp max() { return {std::numeric_limits<std::uint32_t>::max(), std::numeric_limits<std::uint32_t>::max()}; }
    /// From the 64 bits that BSON stores: the seconds are the high half.
    static constexpr Timestamp from_packed(std::uint64_t bits) {
        return {static_cast<std::uint32_t>(bits >> 32), static_cast<std::uint32_t>(bits)};
    }
    /// The 64 bits that BSON stores: the seconds are the high half.
    constexpr std::uint64_t packed() const { return std::uint64_t{seconds} << 32 | ordinal; }

    friend constexpr bool operator==(Timestamp a, Timestamp b) { return a.packed() == b.packed(); }
    friend constexpr auto operator<=>(Timestamp a, Timestamp b) { return a.packed() <=> b.packed(); }
};

/// "1610422195:1"
inline std::string to_string(Timestamp ts) { return std::to_string(ts.seconds) + ":" + std::to_string(ts.ordinal); }

/// A position in a replica set's history: a timestamp and the election term in which it was written (-1: no term).
struct OpTime {
    Timestamp ts;
    std::int64_t term = -1;

    friend constexpr bool operator==(const OpTime&, const OpTime&) = default;
};

/// "1610422195:1 term 3"
inline std::string to_string(const OpTime& at) { return to_string(at.ts) + " term " + std::to_string(at.term); }

/// "2021-01-12T03:29:55Z", for people to read.
inline std::string to_utc_string(Timestamp ts) {
    const std::time_t time = ts.seconds;
    std::tm tm{};
    ::gmtime_r(&time, &tm);
    char text[32];
    return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm)};
}

/// The span that a written time stands for. What the text leaves open is meant whole: "1610422195" is that second with
/// every ordinal in it, "2021-01-12" is the whole day, and "1610422195:1" is that timestamp alone.
struct TimeSpan {
    Timestamp first;
    Timestamp last; ///< Inclusive.
};

namespace detail {

/// Reads digits off the front of `text`: all there are, or exactly `width` of them.
inline std::optional<std::uint64_t> take_number(std::string_view& text, std::size_t width = 0) {
    std::size_t digits = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9' && (width == 0 || digits < width)) ++digits;
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value);
    if (digits == 0 || (width != 0 && digits != width) || error != std::errc{}) return std::nullopt;
    text.remove_prefix(digits);
    return value;
}

inline bool take_char(std::string_view& text, std::string_view any_of) {
    if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
    text.remove_prefix(1);
    return true;
}

/// Matches a time as shells and Extended JSON write it, with blanks anywhere, and returns what stands for each `#`
/// (digits) and `*` (all up to a quote) of the form.
inline std::optional<std::array<std::string_view, 2>> match_literal(std::string_view text, std::string_view form) {
    std::array<std::string_view, 2> parts;
    auto next = parts.begin();
    const auto skip_blanks = [&] { text.remove_prefix(std::min(text.find_first_not_of(' '), text.size())); };
    for (const char c : form) {
        skip_blanks();
        if (c == '#' || c == '*') {
            const std::size_t length = std::min(c == '#' ? text.find_first_not_of("0123456789") : text.find('"'), text.size());
            if (length == 0) return std::nullopt;
            *next++ = text.substr(0, length);
            text.remove_prefix(length);
        } else if (!take_char(text, {&c, 1})) {
            return std::nullopt;
        }
    }
    skip_blanks();
    return text.empty() ? std::optional(parts) : std::nullopt;
}

/// The seconds and the ordinal in a timestamp as shells and Extended JSON write it.
inline std::optional<std::array<std::string_view, 2>> timestamp_literal(std::string_view text) {
    for (const std::string_view form : {"Timestamp(#,#)", "Timestamp({t:#,i:#})", R"({"$timestamp":{"t":#,"i":#}})"})
        if (const auto parts = match_literal(text, form)) return parts;
    for (const std::string_view form : {"Timestamp({i:#,t:#})", R"({"$timestamp":{"i":#,"t":#}})"})
        if (const auto parts = match_literal(text, form)) return {{(*parts)[1], (*parts)[0]}};
    return std::nullopt;
}

/// The time in a date as shells and Extended JSON write it. What shells also take, without a T or an offset, is UTC there
/// and local time here, and is none.
inline std::optional<std::string> date_literal(std::string_view text) {
    for (const std::string_view form : {R"({"$date":"*"})", R"(ISODate("*"))"})
        if (const auto parts = match_literal(text, form); parts && parts->front().find('T') != std::string_view::npos)
            return std::string(parts->front());
    if (const auto parts = match_literal(text, R"({"$date":{"$numberLong":"#"}})")) {
        const std::string_view milliseconds = parts->front();
        return milliseconds.size() > 3 ? std::string(milliseconds.substr(0, milliseconds.size() - 3)) : "0";
    }
    return std::nullopt;
}

/// Converts a wall-clock time in the process's time zone to seconds since 1970. Throws ArgumentError for a time that a
/// clock change skips or repeats. The exception is a time at which a whole day begins: the result is then the day's
/// first moment.
inline std::time_t local_seconds(std::tm wall, std::string_view text, bool whole_day) {
    const std::time_t as_utc = ::timegm(&wall);
    const auto local = [](std::time_t time) {
        std::tm tm{};
        ::localtime_r(&time, &tm);
        return tm;
    };
    // A nearby clock change shows in the offsets of the day before and the day after. One of the two offsets is right.
    const std::time_t before = as_utc - local(as_utc - 86400).tm_gmtoff;
    const std::time_t after = as_utc - local(as_utc + 86400).tm_gmtoff;
    const auto as_written = [&](std::time_t time) { return time + local(time).tm_gmtoff == as_utc; };
    if (whole_day) return as_written(after) && !as_written(before) ? after : before;
    if (before != after && as_written(before) && as_written(after))
        throw ArgumentError("time '" + std::string(text) +
                            "' occurs twice at a clock change; write it with an offset, as in 2026-10-25T02:30:00+01:00");
    if (as_written(before)) return before;
    if (as_written(after)) return after;
    throw ArgumentError("time '" + std::string(text) + "' is skipped by a clock change");
}

} // namespace detail

/// Parses `<seconds>[:<ordinal>]`, RFC 3339 (`2026-11-22T14:06:59Z`, with any offset), local time (`YYYY-MM-DD[
/// HH:MM[:SS]]` in the time zone of the C library), or a timestamp or a date as shells and Extended JSON write it. A
/// fraction of a second stands for the whole second, because an oplog's clock counts those. Throws ArgumentError.
inline TimeSpan parse_time(std::string_view text) {
    constexpr std::uint64_t limit = std::numeric_limits<std::uint32_t>::max();
    const auto bad = [&](const char* why) -> ArgumentError { return ArgumentError("time '" + std::string(text) + "' " + why); };
    constexpr const char* forms = "is neither <seconds>[:<ordinal>] nor 2026-11-22T14:06:59Z nor 2026-11-22[ 14:06[:59]]";
    if (auto literal = detail::timestamp_literal(text)) {
        std::uint32_t numbers[2];
        for (int i : {0, 1}) {
            const auto number = detail::take_number((*literal)[i]);
            if (!number || *number > limit) throw bad("is out of range: a timestamp's numbers end at 4294967295");
            numbers[i] = static_cast<std::uint32_t>(*number);
        }
        const Timestamp ts{numbers[0], numbers[1]};
        return {ts, ts};
    }
    if (const auto date = detail::date_literal(text)) return parse_time(*date);
    std::string_view rest = text;
    const auto number = detail::take_number(rest);
    if (!number) throw bad(forms);

    if (rest.empty() || rest.front() == ':') {
        if (*number > limit) throw bad("is out of range: a timestamp's seconds end at 4294967295");
        const auto seconds = static_cast<std::uint32_t>(*number);
        if (rest.empty()) return {{seconds, 0}, {seconds, static_cast<std::uint32_t>(limit)}};
        rest.remove_prefix(1);
        const auto ordinal = detail::take_number(rest);
        if (!ordinal || !rest.empty()) throw bad(forms);
        if (*ordinal > limit) throw bad("is out of range: a timestamp's ordinal ends at 4294967295");
        const Timestamp ts{seconds, static_cast<std::uint32_t>(*ordinal)};
        return {ts, ts};
    }

    std::tm tm{};
    std::int64_t length = 86400; // the span that the text leaves open, in seconds
    std::string_view date = text;
    const auto year = detail::take_number(date, 4);
    const bool dashed = year && detail::take_char(date, "-");
    const auto month = dashed ? detail::take_number(date, 2) : std::nullopt;
    const auto day = month && detail::take_char(date, "-") ? detail::take_number(date, 2) : std::nullopt;
    if (!day) throw bad(forms);
    const bool leap = (*year % 4 == 0 && *year % 100 != 0) || *year % 400 == 0;
    constexpr std::uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (*month < 1 || *month > 12 || *day < 1 || *day > days[*month - 1] + (leap && *month == 2 ? 1u : 0u))
        throw bad("is no date of the calendar");
    tm.tm_year = static_cast<int>(*year) - 1900;
    tm.tm_mon = static_cast<int>(*month) - 1;
    tm.tm_mday = static_cast<int>(*day);

    bool rfc3339 = false;
    if (!date.empty()) {
        rfc3339 = date.front() == 'T' || date.front() == 't';
        if (!detail::take_char(date, "Tt ")) throw bad(forms);
        const auto hour = detail::take_number(date, 2);
        const auto minute = hour && detail::take_char(date, ":") ? detail::take_number(date, 2) : std::nullopt;
        if (!minute) throw bad(forms);
        std::optional<std::uint64_t> second = 0;
        length = 60;
        if (detail::take_char(date, ":")) {
            second = detail::take_number(date, 2);
            if (!second) throw bad(forms);
            length = 1;
        }
        if (*hour > 23 || *minute > 59 || *second > 59) throw bad("is no time of day");
        if (length == 1 && detail::take_char(date, ".")) {
            const std::size_t digits = std::min(date.find_first_not_of("0123456789"), date.size());
            if (digits == 0) throw bad(forms);
            date.remove_prefix(digits);
        }
        tm.tm_hour = static_cast<int>(*hour);
        tm.tm_min = static_cast<int>(*minute);
        tm.tm_sec = static_cast<int>(*second);
    }

    std::int64_t start = 0;
    if (date.empty()) {
        if (rfc3339) throw bad("has no offset; end it with Z or +HH:MM, or put a space instead of the T for local time");
        const bool whole_day = length == 86400;
        start = detail::local_seconds(tm, text, whole_day);
        if (whole_day) { // the day of a clock change has 23 or 25 hours
            tm.tm_mday += 1;
            length = detail::local_seconds(tm, text, true) - start;
        }
    } else {
        std::int64_t offset = 0;
        const bool minus = date.front() == '-';
        if (!detail::take_char(date, "Zz")) {
            if (!detail::take_char(date, "+-")) throw bad(forms);
            const auto hours = detail::take_number(date, 2);
            detail::take_char(date, ":"); // which mongodump leaves out
            const auto minutes = hours ? detail::take_number(date, 2) : std::nullopt;
            if (!minutes || *hours > 23 || *minutes > 59) throw bad("has an offset that is not ±HH:MM");
            offset = static_cast<std::int64_t>(*hours * 3600 + *minutes * 60) * (minus ? -1 : 1);
        }
        if (!date.empty()) throw bad(forms);
        start = ::timegm(&tm) - offset;
    }
    const std::int64_t last = start + length - 1;
    if (start < 0 || last > static_cast<std::int64_t>(limit)) throw bad("is out of range: timestamps run from 1970 to 2106");
    return {{static_cast<std::uint32_t>(start), 0}, {static_cast<std::uint32_t>(last), static_cast<std::uint32_t>(limit)}};
}

/// Parses a duration: a number, which may have a fraction, and s, m, h, d or w, as in "15m" or "1.5h". Returns seconds.
/// Throws ArgumentError, also for what is not whole seconds: an oplog's clock counts no less.
inline std::uint32_t parse_duration(std::string_view text) {
    constexpr std::pair<char, std::uint32_t> units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
    std::string_view rest = text;
    const auto whole = detail::take_number(rest);
    double number = static_cast<double>(whole.value_or(0));
    bool valid = whole.has_value();
    if (valid && detail::take_char(rest, ".")) {
        valid = !rest.empty() && rest.front() >= '0' && rest.front() <= '9';
        for (double place = 0.1; !rest.empty() && rest.front() >= '0' && rest.front() <= '9'; place /= 10, rest.remove_prefix(1))
            number += place * (rest.front() - '0');
    }
    const auto unit = std::ranges::find(units, rest.empty() ? '\0' : rest.front(), &std::pair<char, std::uint32_t>::first);
    if (!valid || rest.size() != 1 || unit == std::end(units))
        throw ArgumentError("duration '" + std::string(text) + "' is not a number with s, m, h, d or w, as in 15m or 1.5h");
    number *= unit->second;
    if (std::abs(number - std::round(number)) > 1e-6) // 0.1m are 6 seconds
        throw ArgumentError("duration '" + std::string(text) + "' is not whole seconds, which is what an oplog's clock counts");
    if (number > std::numeric_limits<std::uint32_t>::max()) throw ArgumentError("duration '" + std::string(text) + "' is too long");
    return static_cast<std::uint32_t>(std::round(number));
}

/// Parses `<seconds>:<ordinal>` and no other form. Throws ArgumentError.
inline Timestamp parse_timestamp(std::string_view text) {
    if (text.find(':') == std::string_view::npos || text.find_first_not_of("0123456789:") != std::string_view::npos)
        throw ArgumentError("timestamp '" + std::string(text) + "' is not <seconds>:<ordinal>");
    return parse_time(text).first;
}

/// Selects timestamps. A bound that is not set does not limit. Use it as in `{.after = a, .to = b}`.
struct Bounds {
    std::optional<Timestamp> from = {};   ///< ts >= from
    std::optional<Timestamp> after = {};  ///< ts > after
    std::optional<Timestamp> to = {};     ///< ts <= to
    std::optional<Timestamp> before = {}; ///< ts < before

    /// Whether a lower bound excludes `ts`.
    constexpr bool too_early(Timestamp ts) const { return (from && ts < *from) || (after && ts <= *after); }
    /// Whether an upper bound excludes `ts`.
    constexpr bool too_late(Timestamp ts) const { return (to && ts > *to) || (before && ts >= *before); }
    /// Whether `ts` is within all bounds.
    constexpr bool contains(Timestamp ts) const { return !too_early(ts) && !too_late(ts); }
    /// Whether no bound is set.
    constexpr bool everything() const { return !from && !after && !to && !before; }
};

} // namespace oplog

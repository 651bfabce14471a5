// SPDX-License-Identifier: Apache-2.0
#include "support.hpp"

#include <cstdlib>
#include <doctest/doctest.h>

using namespace oplog;
using namespace oplog::test;

namespace {

constexpr std::uint32_t most = 0xFFFFFFFF;

/// The process's time zone for as long as it lives.
class Zone {
  public:
    explicit Zone(const char* name) {
        if (const char* old = std::getenv("TZ")) old_ = old;
        ::setenv("TZ", name, 1);
        ::tzset();
    }
    Zone(const Zone&) = delete;
    ~Zone() {
        if (old_)
            ::setenv("TZ", old_->c_str(), 1);
        else
            ::unsetenv("TZ");
        ::tzset();
    }

  private:
    std::optional<std::string> old_;
};

std::string refusal(const char* text) {
    return message_of<ArgumentError>([&] { static_cast<void>(parse_time(text)); });
}

void means(const char* text, Timestamp first, Timestamp last) {
    CAPTURE(text);
    const TimeSpan span = parse_time(text);
    CHECK(to_string(span.first) == to_string(first));
    CHECK(to_string(span.last) == to_string(last));
}

} // namespace

TEST_CASE("timestamps order by seconds, then by ordinal, both unsigned") {
    CHECK(Timestamp{1, 2} < Timestamp{2, 1});
    CHECK(Timestamp{1, 1} < Timestamp{1, 2});
    CHECK(Timestamp{0x7FFFFFFF, 0} < Timestamp{0x80000000, 0});
    CHECK(Timestamp{1, 0x7FFFFFFF} < Timestamp{1, 0x80000000});
    CHECK(Timestamp::min() == Timestamp{});
    CHECK(Timestamp::max() == Timestamp{most, most});
    CHECK(Timestamp::from_packed(Timestamp{5, 7}.packed()) == Timestamp{5, 7});
}

TEST_CASE("timestamps are written as mongorestore takes them, and for people in UTC") {
    CHECK(to_string(Timestamp{1610422195, 1}) == "1610422195:1");
    CHECK(to_string(Timestamp::max()) == "4294967295:4294967295");
    CHECK(to_utc_string({1610422195, 7}) == "2021-01-12T03:29:55Z");
    CHECK(to_utc_string(Timestamp::max()) == "2106-02-07T06:28:15Z");
    CHECK(to_string(OpTime{{5, 6}, 3}) == "5:6 term 3");
}

TEST_CASE("seconds mean the whole second, seconds and ordinal one timestamp") {
    means("1610422195", {1610422195, 0}, {1610422195, most});
    means("1610422195:7", {1610422195, 7}, {1610422195, 7});
    means("0", {0, 0}, {0, most});
    means("4294967295:4294967295", Timestamp::max(), Timestamp::max());
    means("007:0", {7, 0}, {7, 0});
}

TEST_CASE("RFC 3339 times mean their second or minute, with any offset") {
    means("2021-01-12T03:29:55Z", {1610422195, 0}, {1610422195, most});
    means("2021-01-12t03:29:55z", {1610422195, 0}, {1610422195, most});
    means("2021-01-12T04:29:55+01:00", {1610422195, 0}, {1610422195, most});
    means("2021-01-11T21:59:55-05:30", {1610422195, 0}, {1610422195, most});
    means("2021-01-12T03:29:55-00:00", {1610422195, 0}, {1610422195, most});
    means("2021-01-12 03:29:55Z", {1610422195, 0}, {1610422195, most});
    means("2021-01-12T03:29Z", {1610422140, 0}, {1610422199, most});
    means("1970-01-01T00:00:00Z", {0, 0}, {0, most});
    means("2106-02-07T06:28:15Z", {most, 0}, {most, most});
    means("2024-02-29T00:00:00Z", {1709164800, 0}, {1709164800, most});
    means("2000-02-29T00:00:00Z", {951782400, 0}, {951782400, most});
}

TEST_CASE("local times mean a day, a minute or a second of the process's zone") {
    const Zone berlin("Europe/Berlin");
    means("2021-01-12", {1610406000, 0}, {1610406000 + 86399, most});
    means("2021-01-12 04:29", {1610422140, 0}, {1610422199, most});
    means("2021-01-12 04:29:55", {1610422195, 0}, {1610422195, most});
    means("2021-07-12 04:29:55", {1626056995, 0}, {1626056995, most});
    means("2026-03-29", {1774738800, 0}, {1774738800 + 23 * 3600 - 1, most});
    means("2026-10-25", {1792879200, 0}, {1792879200 + 25 * 3600 - 1, most});
}

TEST_CASE("an hour that a clock change repeats asks for an offset") {
    const Zone berlin("Europe/Berlin");
    CHECK(refusal("2026-10-25 02:30") ==
          "time '2026-10-25 02:30' occurs twice at a clock change; write it with an offset, as in 2026-10-25T02:30:00+01:00");
    CHECK(refusal("2026-10-25 02:00:00") != "");
    CHECK(refusal("2026-10-25 02:59:59") != "");
    means("2026-10-25 01:59:59", {1792886399, 0}, {1792886399, most});
    means("2026-10-25 03:00:00", {1792893600, 0}, {1792893600, most});
    means("2026-10-25T02:30:00+01:00", {1792891800, 0}, {1792891800, most});
    means("2026-10-25T02:30:00+02:00", {1792888200, 0}, {1792888200, most});
}

TEST_CASE("an hour that a clock change skips is refused") {
    const Zone berlin("Europe/Berlin");
    CHECK(refusal("2026-03-29 02:30") == "time '2026-03-29 02:30' is skipped by a clock change");
    CHECK(refusal("2026-03-29 02:00") != "");
    means("2026-03-29 01:59", {1774745940, 0}, {1774745999, most});
    means("2026-03-29 03:00", {1774746000, 0}, {1774746059, most});
}

TEST_CASE("clock changes that are no summer time are seen, too") {
    {
        const Zone moscow("Europe/Moscow"); // +04:00 became +03:00 for good
        CHECK(refusal("2014-10-26 01:30") != "");
        means("2014-10-26 00:30", {1414269000, 0}, {1414269059, most});
    }
    {
        const Zone apia("Pacific/Apia"); // went without a day
        CHECK(refusal("2011-12-30 10:00") == "time '2011-12-30 10:00' is skipped by a clock change");
    }
}

TEST_CASE("an offset may be written as mongodump does") {
    for (const char* const text : {"2026-11-22T15:06:59.709+0100", "2026-11-22T14:06:59.709+0000", "2026-11-22T10:36:59-0330"})
        means(text, {1795356419, 0}, {1795356419, most});
}

TEST_CASE("a day begins at its first moment, also where the clock changes at midnight") {
    {
        const Zone sao_paulo("America/Sao_Paulo"); // 2018-11-04 begins at 01:00
        means("2018-11-04", {1541300400, 0}, {1541300400 + 23 * 3600 - 1, most});
    }
    {
        const Zone havana("America/Havana"); // 2018-11-04 has 00:30 twice
        means("2018-11-04", {1541304000, 0}, {1541304000 + 25 * 3600 - 1, most});
    }
}

TEST_CASE("what is no time is refused with the reason") {
    const std::string forms = "is neither <seconds>[:<ordinal>] nor 2026-11-22T14:06:59Z nor 2026-11-22[ 14:06[:59]]";
    // clang-format off
    for (const char* text : {"", "x", "-1", "+1", " 1", "1 ", "1:", ":1", "1:2:3", "1:-1", "1:x", "1.5", "0x10", "2026-", "2026-11", "2026-11-",
                             "2026-11-2", "2026-1-22", "26-11-22", "2026-11-22T", "2026-11-22T14", "2026-11-22T14:6Z", "2026-11-22X14:06Z",
                             "2026-11-22T14:06:Z", "2026-11-22T14:06:59Zx", "2026-11-22T14:06:59ZZ", "2026-11-22T14:06:59 Z", "2026-11-22Z",
                             "2026-11-22T14:06:59.Z", "2026-11-22T14:06.5Z", "Timestamp(1)", "Timestamp(1,2", "Timestamp(1,2)x", "Timestamp(1,-2)",
                             "{\"$timestamp\":{\"t\":1}}", "{\"$timestamp\":{\"t\":1,\"t\":2}}"}) {
        // clang-format on
        CAPTURE(text);
        CHECK(refusal(text) == "time '" + std::string(text) + "' " + forms);
    }
    CHECK(refusal("4294967296") == "time '4294967296' is out of range: a timestamp's seconds end at 4294967295");
    CHECK(refusal("1:4294967296") == "time '1:4294967296' is out of range: a timestamp's ordinal ends at 4294967295");
    CHECK(refusal("18446744073709551617") != "");
    for (const char* text : {"2026-13-01", "2026-00-01", "2026-02-29", "1900-02-29", "2026-04-31", "2026-01-00"})
        CHECK(refusal(text) == "time '" + std::string(text) + "' is no date of the calendar");
    for (const char* text : {"2026-11-22T24:00:00Z", "2026-11-22T14:60:00Z", "2026-11-22T14:06:60Z"})
        CHECK(refusal(text) == "time '" + std::string(text) + "' is no time of day");
    CHECK(refusal("2026-11-22T14:06:59") ==
          "time '2026-11-22T14:06:59' has no offset; end it with Z or +HH:MM, or put a space instead of the T for local time");
    for (const char* text :
         {"2026-11-22T14:06:59+1:00", "2026-11-22T14:06:59+010", "2026-11-22T14:06:59+24:00", "2026-11-22T14:06:59+01:60"})
        CHECK(refusal(text) == "time '" + std::string(text) + "' has an offset that is not ±HH:MM");
    for (const char* text : {"1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "2106-02-07T06:28:16Z", "9999-12-31T23:59:59Z"})
        CHECK(refusal(text) == "time '" + std::string(text) + "' is out of range: timestamps run from 1970 to 2106");
}

TEST_CASE("what shells, JSON and logs print is understood") {
    for (const char* text : {"Timestamp(1610422195, 1)", "Timestamp({ t: 1610422195, i: 1 })", R"({"$timestamp":{"t":1610422195,"i":1}})",
                             R"( { "$timestamp" : { "t" : 1610422195 , "i" : 1 } } )", "Timestamp({i:1,t:1610422195})",
                             R"({"$timestamp":{"i":1,"t":1610422195}})"})
        means(text, {1610422195, 1}, {1610422195, 1});
    for (const char* text :
         {"Timestamp(4294967296, 1)", "Timestamp(1, 99999999999999999999)", R"({"$date":{"$numberLong":"4294967296000"}})"})
        CHECK(refusal(text).find("out of range") != std::string::npos);
    for (const char* text : {R"({"$date":"2021-01-12T03:29:55.248Z"})", R"(ISODate("2021-01-12T03:29:55.248Z"))",
                             R"({ "$date" : { "$numberLong" : "1610422195248" } })"})
        means(text, {1610422195, 0}, {1610422195, most});
    means(R"({"$date":{"$numberLong":"999"}})", {0, 0}, {0, most});
    for (const char* text : {R"(ISODate(""))", R"(ISODate("2021-01-12"))", R"({"$date":{"$numberLong":"-1000"}})",
                             R"({"$date":{"$date":"2021-01-12"}})", "Timestamp(1)"})
        CHECK(refusal(text).find("is neither") != std::string::npos);
    means("2021-01-12T03:29:55.248Z", {1610422195, 0}, {1610422195, most});
    means("2021-01-12T03:29:55.248123+00:00", {1610422195, 0}, {1610422195, most});
}

TEST_CASE("a duration is a number and a unit") {
    CHECK(parse_duration("90s") == 90);
    CHECK(parse_duration("15m") == 900);
    CHECK(parse_duration("2h") == 7200);
    CHECK(parse_duration("1.5h") == 5400);
    CHECK(parse_duration("0.1m") == 6);
    CHECK(parse_duration("1d") == 86400);
    CHECK(parse_duration("2w") == 1209600);
    for (const char* text : {"", "5", "m", "-5m", "5 m", "5mm", "1.m", ".5h", "1e3s", "99999999w", "5y", "0.9s", "0.33m"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(static_cast<void>(parse_duration(text)), ArgumentError);
    }
}

TEST_CASE("a timestamp parses in its own form only") {
    CHECK(parse_timestamp("1610422195:1") == Timestamp{1610422195, 1});
    for (const char* text : {"", ":", "1", "1:", ":1", "1:2:3", "1:2 ", "2026-11-22T14:06:59Z"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(static_cast<void>(parse_timestamp(text)), ArgumentError);
    }
}

TEST_CASE("bounds hold their edges as their names say") {
    const Timestamp at{100, 5}, earlier{100, 4}, later{100, 6};
    CHECK(Bounds{}.everything());
    CHECK(Bounds{}.contains(Timestamp::min()));
    CHECK(Bounds{}.contains(Timestamp::max()));

    CHECK(!Bounds{.from = at}.contains(earlier));
    CHECK(Bounds{.from = at}.contains(at));
    CHECK(!Bounds{.after = at}.contains(at));
    CHECK(Bounds{.after = at}.contains(later));
    CHECK(Bounds{.to = at}.contains(at));
    CHECK(!Bounds{.to = at}.contains(later));
    CHECK(Bounds{.before = at}.contains(earlier));
    CHECK(!Bounds{.before = at}.contains(at));

    const Bounds both{.from = earlier, .after = at};
    CHECK(!both.contains(at));
    CHECK(both.contains(later));
    CHECK(Bounds{.from = at}.too_early(earlier));
    CHECK(!Bounds{.from = at}.too_late(later));
    CHECK(Bounds{.to = at}.too_late(later));
    CHECK(!Bounds{.to = at}.everything());
}

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The configuration of oplog-backup and oplog-restore, and the logins that follow from it.

#include "../lib/member_name.hpp"
#include "../lib/tool.hpp"

#include <oplog/bson/parse_number.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <utility>
#include <vector>

namespace oplog::tools {

/// A configuration that cannot be used: a key, a value or a file that it names.
class ConfigError : public Error {
  public:
    using Error::Error;
};

/// How to log in: a connection string without a password, so that a process list may show it, and the password.
struct Login {
    std::string uri;
    std::string password;
};

namespace detail {

inline std::string percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        unsigned byte = 0;
        const char* const digits = text.data() + i + 1;
        if (text[i] == '%' && i + 2 < text.size() && std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
            out += static_cast<char>(byte);
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

inline std::string lower(std::string text) {
    std::ranges::transform(text, text.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return text;
}

inline std::string_view trimmed(std::string_view text) {
    constexpr std::string_view space = " \t\r\n";
    const std::size_t first = text.find_first_not_of(space);
    return first == text.npos ? std::string_view{} : text.substr(first, text.find_last_not_of(space) - first + 1);
}

} // namespace detail

/// A MongoDB connection string, split into its parts.
class ConnectionString {
  public:
    /// Throws Error for text that is not a connection string. The message never contains the text, which may contain a
    /// password.
    explicit ConnectionString(std::string_view text) {
        const std::size_t scheme_end = text.find("://");
        scheme_ = text.substr(0, scheme_end);
        if (scheme_end == text.npos || (scheme_ != "mongodb" && scheme_ != "mongodb+srv"))
            throw ConfigError("a connection string begins with mongodb:// or mongodb+srv://");
        text.remove_prefix(scheme_end + 3);
        const std::size_t question = text.find('?');
        std::string_view options = question == text.npos ? std::string_view{} : text.substr(question + 1);
        text = text.substr(0, question);
        if (const std::size_t at = text.rfind('@'); at != text.npos) {
            const std::string_view login = text.substr(0, at);
            const std::size_t colon = login.find(':');
            user = detail::percent_decoded(login.substr(0, colon));
            if (colon != login.npos) password = detail::percent_decoded(login.substr(colon + 1));
            text.remove_prefix(at + 1);
        }
        const std::size_t slash = text.find('/');
        hosts_ = text.substr(0, slash);
        if (hosts_.empty()) throw ConfigError("a connection string without a host");
        while (!options.empty()) {
            const std::string_view option = options.substr(0, options.find('&'));
            options.remove_prefix(std::min(options.size(), option.size() + 1));
            const std::size_t equals = option.find('=');
            if (equals == option.npos) throw ConfigError("a connection string's option without a value");
            options_.emplace_back(option.substr(0, equals), option.substr(equals + 1));
        }
        if (slash != text.npos) database = text.substr(slash + 1);
    }

    void set(std::string_view key, std::string_view value) {
        std::erase_if(options_, [&](const auto& option) { return detail::lower(option.first) == detail::lower(std::string(key)); });
        options_.emplace_back(key, value);
    }
    void set_default(std::string_view key, std::string_view value) {
        const auto same = [&](const auto& option) { return detail::lower(option.first) == detail::lower(std::string(key)); };
        if (std::ranges::none_of(options_, same)) options_.emplace_back(key, value);
    }

    /// Another server that is logged in to in the same way: HOSTS, or SET/HOSTS for a replica set.
    void lead_to(std::string_view server) {
        if (scheme_ == "mongodb+srv") set_default("tls", "true"); // as the scheme has it
        scheme_ = "mongodb";
        std::erase_if(options_, [](const auto& option) {
            const std::string name = detail::lower(option.first);
            return name == "directconnection" || name == "replicaset" || name.starts_with("srv");
        });
        const std::size_t slash = server.find('/');
        hosts_ = slash == server.npos ? server : server.substr(slash + 1);
        if (slash != server.npos)
            set("replicaSet", server.substr(0, slash));
        else
            set("directConnection", "true");
    }

    /// The connection string without the password.
    std::string without_password() const { return with_login(detail::percent_encoded(user)); }
    std::string with_password() const {
        return with_login(detail::percent_encoded(user) + (password.empty() ? "" : ":" + detail::percent_encoded(password)));
    }
    std::string user;
    std::string password;
    std::string database; ///< The database in the path. It is not in without_password(), because then only this database would be dumped.

  private:
    std::string with_login(const std::string& login) const {
        std::string text = scheme_ + "://" + login + (login.empty() ? "" : "@") + hosts_ + "/";
        char before = '?';
        for (const auto& [key, value] : options_) {
            text += before + key + "=" + value;
            before = '&';
        }
        return text;
    }

    std::string scheme_;
    std::string hosts_;
    std::vector<std::pair<std::string, std::string>> options_;
};

/// A checked config.ini.
class BackupConfig {
  public:
    /// What to do about a file that contains a password and that others can read.
    enum class Readable { refuse, allow };

    /// Reads `path`. Throws std::system_error, and an Error that names the line.
    BackupConfig(const std::string& path, Readable readable) : path_(path), readable_(readable) {
        std::ifstream file(path);
        if (!file) oplog::detail::throw_errno(path);
        bool in_section = false;
        for (std::string text; std::getline(file, text);) {
            ++line_;
            if (line_ == 1 && text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
            const std::string_view line = detail::trimmed(text);
            if (line.empty() || line.front() == '#' || line.front() == ';') continue;
            if (line.front() == '[') {
                if (line != "[default]") fail("section " + escaped(line) + ": there is only [default]");
                in_section = true;
                continue;
            }
            if (line.find('\0') != line.npos) fail("has a NUL, as no text has");
            const std::size_t equals = line.find_first_of("=:");
            if (equals == line.npos) fail("neither a key with a value nor a comment");
            if (!in_section) fail("before the section [default]");
            set(detail::lower(std::string(detail::trimmed(line.substr(0, equals)))), std::string(detail::trimmed(line.substr(equals + 1))));
        }
        if (file.bad()) oplog::detail::throw_errno(path);
        check();
    }

    std::string mongo_home;
    std::string dbbak_dir;
    std::string log_file;
    std::string lang;
    std::string on_gap = "stop";
    std::string compress = "none";
    std::string full_method = "auto"; ///< mongodump: with --oplog; slice: without it, and with a copy of the oplog.
    std::vector<std::string> extra_dump_args;
    bool compact = false;     ///< Whether increments of an hour that is over are joined after each one.
    bool cluster = false;     ///< Whether the source is the config servers of a sharded cluster, all of which is to be backed up.
    std::string metrics_file; ///< For Prometheus; empty if not wanted.
    std::string on_event;     ///< A command for sh, to be run after each step.
    std::string copy_command; ///< Another, which copies what is new elsewhere.
    std::optional<std::uint32_t> keep_chains, keep_days, keep_weekly;
    std::uint32_t interval = 3 * 3600; ///< Seconds between increments.
    std::string interval_text;         ///< The interval in the user's words.
    std::uint32_t increments = 0;      ///< The number of increments in a cycle.
    bool whole_day = true;             ///< Whether a cycle is as many increments as fit into a day.

    static constexpr std::uint32_t day = 86400;

    /// How to log in to the source.
    Login source() const {
        return login(source_uri(), given("uri") ? "uri" : "db_host", value("db_user"), password("db_pwd", "db_pwd_file"));
    }

    /// How to log in to a member of the cluster, whose server is HOSTS, or SET/HOSTS; the source if it is neither.
    Login member(const std::string& name, const std::string& server) const {
        if (server.empty()) return source();
        if (given("member_uri")) return login(member_uri(name, server), "member_uri", value("db_user"), password("db_pwd", "db_pwd_file"));
        ConnectionString uri = source_uri();
        uri.lead_to(server);
        return login(std::move(uri), "the shards", value("db_user"), password("db_pwd", "db_pwd_file"));
    }

    /// How to log in to the server to restore to, which is given as a connection string or HOST:PORT.
    Login target(const std::string& text) const {
        const bool is_uri = text.find("://") != text.npos;
        ConnectionString uri(is_uri ? text : "mongodb://" + text);
        if (!is_uri) uri.set("directConnection", "true");
        return login(std::move(uri), "the target", value("restore_user"), password("", "restore_pwd_file"));
    }

  private:
    ConnectionString source_uri() const {
        if (given("uri")) return parsed_uri();
        // "name/host,host" is a replica set, as for mongodump's --host. A host by itself means just that host.
        const std::string host = given("db_host") ? value("db_host") : "127.0.0.1";
        const std::size_t slash = host.find('/');
        std::string hosts;
        for (std::string_view rest = std::string_view(host).substr(slash == host.npos ? 0 : slash + 1); !rest.empty();) {
            const std::string_view one = rest.substr(0, rest.find(','));
            rest.remove_prefix(std::min(rest.size(), one.size() + 1));
            const auto colons = std::ranges::count(one, ':');
            const bool bare_ipv6 = colons > 1 && one.front() != '[';
            const bool has_port = colons == 1 || (!bare_ipv6 && one.find("]:") != one.npos);
            hosts += (hosts.empty() ? "" : ",") + (bare_ipv6 ? "[" + std::string(one) + "]" : std::string(one)) +
                     (has_port ? "" : ":" + (given("db_port") ? value("db_port") : "27017"));
        }
        ConnectionString uri("mongodb://" + hosts);
        if (slash != host.npos)
            uri.set("replicaSet", host.substr(0, slash));
        else if (hosts.find(',') == hosts.npos)
            uri.set("directConnection", "true");
        return uri;
    }

    /// The pattern with its names filled in.
    ConnectionString member_uri(const std::string& name, const std::string& server) const {
        const std::size_t slash = server.find('/');
        const std::map<std::string_view, std::string> names = {{"{member}", name},
                                                               {"{set}", slash == server.npos ? "" : server.substr(0, slash)},
                                                               {"{hosts}", slash == server.npos ? server : server.substr(slash + 1)}};
        std::string text = value("member_uri");
        for (const auto& [from, to] : names)
            for (std::size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size()) text.replace(at, from.size(), to);
        try {
            return ConnectionString(text);
        } catch (const Error& error) {
            fail("member_uri", std::string("is wrong: ") + error.what());
        }
    }

    struct Value {
        std::string text;
        unsigned line;
    };

    [[noreturn]] void fail(const std::string& why) const { fail_at(line_, why); }
    [[noreturn]] void fail_at(unsigned line, const std::string& why) const {
        throw ConfigError(fmt::format("{}: line {}: {}", path_, line, why));
    }
    [[noreturn]] void fail(const std::string& key, const std::string& why) const {
        const auto found = values_.find(key);
        if (found == values_.end()) throw ConfigError(fmt::format("{}: {} {}", path_, key, why));
        fail_at(found->second.line, key + " " + why);
    }

    bool given(const std::string& key) const { return !value(key).empty(); }
    std::string value(const std::string& key) const {
        const auto found = values_.find(key);
        return found == values_.end() ? "" : found->second.text;
    }

    void set(const std::string& key, const std::string& text) {
        static const std::set<std::string> keys = {
            "db_host",         "db_port",      "db_user",      "db_pwd",           "db_authdb",  "time_interval",
            "mongo_home",      "dbbak_dir",    "uri",          "db_pwd_file",      "increments", "compress",
            "keep_chains",     "on_gap",       "restore_user", "restore_pwd_file", "log_file",   "lang",
            "extra_dump_args", "full_method",  "cluster",      "member_uri",       "keep_days",  "keep_weekly",
            "on_event",        "metrics_file", "copy_command", "compact"};
        if (!keys.contains(key)) fail("unknown key '" + escaped(key) + "'");
        const auto [at, is_new] = values_.emplace(key, Value{text, line_});
        if (!is_new) fail(fmt::format("{} again; it is on line {} already", key, at->second.line));
    }

    void check() {
        mongo_home = value("mongo_home");
        dbbak_dir = value("dbbak_dir");
        if (dbbak_dir.empty()) fail("dbbak_dir", "is missing: the directory for the backups");
        while (dbbak_dir.size() > 1 && dbbak_dir.back() == '/') dbbak_dir.pop_back();
        if (dbbak_dir.front() != '/') fail("dbbak_dir", "is not an absolute path");
        log_file = given("log_file") ? value("log_file") : dbbak_dir + "/dbbak.log";

        lang = given("lang") ? value("lang") : language_of_locale();
        if (lang != "en" && lang != "zh") fail("lang", "is neither en nor zh");
        if (given("on_gap")) on_gap = value("on_gap");
        if (on_gap != "stop" && on_gap != "full") fail("on_gap", "is neither stop nor full");
        if (given("full_method")) full_method = value("full_method");
        if (full_method != "auto" && full_method != "mongodump" && full_method != "slice")
            fail("full_method", "is none of auto, mongodump and slice");
        for (const auto& [key, is] : {std::pair("cluster", &cluster), std::pair("compact", &compact)}) {
            if (given(key) && value(key) != "yes" && value(key) != "no") fail(key, "is neither yes nor no");
            *is = value(key) == "yes";
        }
        if (cluster && full_method == "mongodump")
            fail("full_method", "is mongodump, which config servers and resharded shards do not allow: slice is what a cluster needs");
        if (cluster) full_method = "slice";
        if (given("compress")) compress = value("compress");
        try {
            parse_compression(compress);
        } catch (const ArgumentError& error) {
            fail("compress", std::string("is wrong: ") + error.what());
        }
        if (given("db_port") && !number("db_port", 1, 65535)) fail("db_port", "is no port");
        for (const auto& [key, limit] :
             {std::pair("keep_chains", &keep_chains), std::pair("keep_days", &keep_days), std::pair("keep_weekly", &keep_weekly)}) {
            if (!given(key)) continue;
            *limit = number(key, 1, 1000000);
            if (!*limit) fail(key, "is not a number of 1 or more");
        }
        on_event = value("on_event");
        copy_command = value("copy_command");
        metrics_file = value("metrics_file");
        if (given("metrics_file") && metrics_file.front() != '/') fail("metrics_file", "is not an absolute path");
        check_interval();
        check_extra_arguments();
        check_login();
    }

    std::optional<std::uint32_t> number(const std::string& key, std::uint32_t least, std::uint32_t most) const {
        const std::string text = value(key);
        std::string_view rest = text;
        const auto number = oplog::detail::take_number(rest);
        if (!number || !rest.empty() || *number < least || *number > most) return std::nullopt;
        return static_cast<std::uint32_t>(*number);
    }

    void check_interval() {
        const std::string text = given("time_interval") ? value("time_interval") : "3";
        const std::size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
        const std::string unit(detail::trimmed(text.substr(digits)));
        static const std::map<std::string, std::pair<unsigned, std::pair<const char*, const char*>>> units = {
            {"", {3600, {"hour", "小时"}}},
            {"h", {3600, {"hour", "小时"}}},
            {"m", {60, {"minute", "分钟"}}},
            {"s", {1, {"second", "秒"}}},
            {"d", {day, {"day", "天"}}}};
        const auto known = units.find(unit);
        const std::string count = text.substr(0, digits);
        const auto amount = oplog::detail::parse_number<double>(count);
        constexpr const char* why = "is not a number of hours (3, 0.5) nor a time such as 30m, from a second to a month";
        if (known == units.end() || !amount) fail("time_interval", why);
        const double seconds = *amount * known->second.first;
        if (!(seconds >= 1 && seconds <= 31.0 * day)) fail("time_interval", why);
        interval = static_cast<std::uint32_t>(std::lround(seconds));
        const auto& names = known->second.second;
        interval_text = lang == "zh" ? count + names.second : count + " " + std::string(names.first) + (*amount == 1 ? "" : "s");

        whole_day = !given("increments");
        if (whole_day) {
            increments = (day - 1) / interval; // the increment at 24 h belongs to the next cycle
        } else {
            const auto wanted = number("increments", 0, 1000000);
            if (!wanted) fail("increments", "is not a number");
            increments = *wanted;
        }
    }

    void check_extra_arguments() {
        // This system itself decides where to log in, what to dump, and where to.
        // clang-format off
        static const std::set<std::string> reserved = {"--uri", "--host", "--port", "--username", "--password", "--authenticationDatabase", "--config",
            "--out", "--archive", "--gzip", "--db", "--collection", "--query", "--queryFile", "--oplog", "-h", "-u", "-p", "-o", "-d", "-c", "-q"};
        static const std::set<std::string> partial = {"--excludeCollection", "--excludeCollectionsWithPrefix", "--dumpDbUsersAndRoles", "--viewsAsCollections",
            "--repair", "--version", "--help"};
        // clang-format on
        std::string_view rest = detail::trimmed(values_.contains("extra_dump_args") ? std::string_view(values_.at("extra_dump_args").text)
                                                                                    : std::string_view{});
        while (!rest.empty()) {
            const std::string argument(rest.substr(0, rest.find_first_of(" \t")));
            rest = detail::trimmed(rest.substr(argument.size()));
            const bool is_long = argument.starts_with("--");
            const std::string option = is_long ? argument.substr(0, argument.find('=')) : argument.substr(0, 2);
            if (reserved.contains(option))
                fail("extra_dump_args", "holds " + escaped(option) + ", which is not for it to say"); // not its value, which may be secret
            if (partial.contains(option))
                fail("extra_dump_args", "holds " + escaped(argument) + ", which cannot go with the oplog: a chain is of a whole server");
            extra_dump_args.push_back(argument);
        }
    }

    void check_login() {
        if (given("uri"))
            for (const char* key : {"db_host", "db_port"})
                if (given(key)) fail(key, "says again what uri says");
        if (given("db_pwd") && given("db_pwd_file")) fail("db_pwd_file", "says again what db_pwd says");
        if (given("member_uri")) {
            const std::string pattern = value("member_uri");
            if (!cluster) fail("member_uri", "goes with cluster = yes");
            if (pattern.find("{member}") == pattern.npos && pattern.find("{hosts}") == pattern.npos)
                fail("member_uri", "has neither {hosts} nor {member}: it would be one server for all members");
            if (!member_uri("m", "s/h").password.empty()) refuse_readable(path_, "member_uri");
        }
        const bool in_uri = given("uri") && !parsed_uri().password.empty();
        if (given("db_pwd") || in_uri) refuse_readable(path_, given("db_pwd") ? "db_pwd" : "uri");
        static_cast<void>(source());
    }
    ConnectionString parsed_uri() const {
        try {
            return ConnectionString(value("uri"));
        } catch (const Error& error) {
            fail("uri", std::string("is wrong: ") + error.what());
        }
    }

    /// Throws for a password that others can read.
    void refuse_readable(const std::string& file, const std::string& key) const {
        struct stat info {};
        if (::stat(file.c_str(), &info) != 0) oplog::detail::throw_errno(file);
        if (readable_ == Readable::refuse && (info.st_mode & (S_IRGRP | S_IROTH)) != 0)
            fail(key, "is a password, and others can read " + file + "; chmod 600 it, or give --insecure-config");
    }

    /// The value of `key`, or the first line of the file that `file_key` names.
    std::string password(const std::string& key, const std::string& file_key) const {
        if (!key.empty() && given(key)) return value(key);
        if (!given(file_key)) return "";
        const std::string path = value(file_key);
        std::ifstream file(path);
        std::string line;
        if (!file) oplog::detail::throw_errno(path);
        refuse_readable(path, file_key);
        if (!std::getline(file, line)) fail(file_key, "names a file without a first line");
        if (line.ends_with('\r')) line.pop_back();
        return line;
    }

    Login login(ConnectionString uri, const std::string& key, const std::string& user, const std::string& password) const {
        if (uri.user.empty() && !user.empty()) {
            if (password.empty()) throw ConfigError(path_ + ": " + escaped(user) + " has no password");
            uri.user = user;
            uri.password = password;
            // A database in the path may only say where the user is defined, while db_authdb says so outright. But
            // db_authdb is for the source.
            if (given("db_authdb") && (key != "the target" || uri.database.empty())) uri.set_default("authSource", value("db_authdb"));
            if (!values_.contains("db_authdb")) uri.set_default("authSource", uri.database.empty() ? "admin" : uri.database);
        } else if (uri.user.empty() && !password.empty()) {
            throw ConfigError(path_ + ": there is a password, and no user for " + key);
        } else if (uri.password.empty() && uri.user == user) {
            uri.password = password;
        }
        if (!uri.database.empty()) uri.set_default("authSource", uri.database);
        if (!bson::is_utf8(uri.password)) throw ConfigError(path_ + ": the password is not valid UTF-8");
        uri.set_default("serverSelectionTimeoutMS", "10000");
        return {uri.without_password(), uri.password};
    }

    static std::string language_of_locale() {
        for (const char* variable : {"LC_ALL", "LC_MESSAGES", "LANG"})
            if (const char* locale = std::getenv(variable); locale && *locale)
                return std::string_view(locale).starts_with("zh") ? "zh" : "en";
        return "en";
    }

    std::string path_;
    Readable readable_;
    unsigned line_ = 0;
    std::map<std::string, Value> values_;
};

} // namespace oplog::tools

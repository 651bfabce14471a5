// SPDX-License-Identifier: Apache-2.0

// bench-generate BYTES SEED...: writes an oplog of about BYTES bytes to stdout, strictly ordered and the same at each
// run. It multiplies the entries of the SEED files with fresh timestamps, ids, sessions and, for inserts and updates,
// fields.

#include <oplog/core.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace oplog;

namespace {

/// SplitMix64, which gives the same numbers with every standard library.
class Random {
  public:
    std::uint64_t operator()() {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    std::uint64_t below(std::uint64_t limit) { return (*this)() % limit; }
    template <class T>
    const T& one_of(const std::vector<T>& values) {
        return values[below(values.size())];
    }

  private:
    std::uint64_t state_ = 0;
};

/// Builds a document, element by element.
class Builder {
  public:
    template <class T>
    Builder& number(bson::Type type, std::string_view key, T value) {
        return raw(type, key, {reinterpret_cast<const char*>(&value), sizeof value});
    }
    Builder& string(std::string_view key, std::string_view value) {
        const auto length = static_cast<std::uint32_t>(value.size() + 1);
        raw(bson::Type::string, key, {reinterpret_cast<const char*>(&length), sizeof length});
        bytes_.append(value).push_back('\0');
        return *this;
    }
    Builder& document(std::string_view key, std::string_view bytes, bson::Type type = bson::Type::document) {
        return raw(type, key, bytes);
    }
    Builder& raw(bson::Type type, std::string_view key, std::string_view value) {
        bytes_.push_back(static_cast<char>(type));
        bytes_.append(key).push_back('\0');
        bytes_.append(value);
        return *this;
    }
    Builder& copy(const bson::Element& element) {
        bytes_.append(element.bytes());
        return *this;
    }
    std::string done() {
        bytes_.push_back('\0');
        const auto size = static_cast<std::uint32_t>(bytes_.size());
        bytes_.replace(0, sizeof size, reinterpret_cast<const char*>(&size), sizeof size);
        return std::move(bytes_);
    }

  private:
    std::string bytes_ = std::string(4, '\0');
};

class Generator {
  public:
    explicit Generator(const std::vector<std::string>& seeds) {
        for (const std::string& seed : seeds)
            for (const EntryView entry : PlainReader(seed)) {
                std::string kind(entry.op());
                if (kind == "c" && entry.document().find("lsid")) {
                    if (!entry.o().find("applyOps")) continue; // a commit or abort
                    kind = "transaction";
                }
                templates_[kind].emplace_back(entry.bytes());
            }
        for (const char* kind : {"i", "u", "d", "transaction"})
            if (templates_[kind].empty()) throw Error(std::string("no entry of the kind ") + kind + " in the seeds");
        templates_["n"].push_back(noop());
    }

    std::string next() {
        if (run_ == 0) { // as insertMany and updateMany do: like entries come in runs, and those of a transaction are its chain
            run_ = 1 + random_.below(16);
            const std::uint64_t dice = random_.below(1000);
            kind_ = dice < 450                              ? "i"
                    : dice < 850                            ? "u"
                    : dice < 930                            ? "d"
                    : dice < 990                            ? "transaction"
                    : dice < 998 || templates_["c"].empty() ? "n"
                                                            : "c";
            if (kind_ == "transaction") run_ = random_.below(4) == 0 ? 2 + random_.below(3) : 1;
            template_ = &random_.one_of(templates_[kind_]);
            session_ = random_.below(32);
            ++transaction_;
            previous_ = {};
            count_ = 0;
        }
        --run_;
        if (++now_.ordinal > 2000) now_ = {now_.seconds + 1, 1};
        // There are few enough ids that updates find their documents, and some documents often.
        id_ = static_cast<std::int32_t>(kind_ == "i" ? random_.below(1'000'000) : random_.below(1 + random_.below(1'000'000)));
        return entry(bson::Document(*template_));
    }

  private:
    static std::string noop() {
        return Builder()
            .string("op", "n")
            .string("ns", "")
            .document("o", Builder().string("msg", "periodic noop").done())
            .number(bson::Type::timestamp, "ts", std::int64_t{0})
            .number(bson::Type::int64, "t", std::int64_t{1})
            .number(bson::Type::int64, "v", std::int64_t{2})
            .number(bson::Type::date, "wall", std::int64_t{0})
            .done();
    }

    std::string entry(const bson::Document& from) {
        Builder out;
        for (const bson::Element& element : from) {
            const std::string_view key = element.key();
            if (key == "ts")
                out.number(element.type(), key, now_.packed());
            else if (key == "wall")
                out.number(element.type(), key, std::int64_t{now_.seconds} * 1000 + now_.ordinal / 2);
            else if (key == "txnNumber")
                out.number(bson::Type::int64, key, transaction_);
            else if (key == "lsid")
                out.document(key, of_session(element.document()));
            else if ((key == "o2" && element.is(bson::Type::document)) || (key == "o" && kind_ == "d"))
                out.document(key, with_id(element.document()).done());
            else if (key == "o" && kind_ == "i")
                out.document(key, inserted(element.document()));
            else if (key == "o" && kind_ == "u")
                out.document(key, updated(element.document()));
            else if (key == "o" && kind_ == "transaction")
                out.document(key, link_of_chain(element.document()));
            else if (key == "prevOpTime" && kind_ == "transaction")
                out.document(key, Builder()
                                      .number(bson::Type::timestamp, "ts", previous_.packed())
                                      .number(bson::Type::int64, "t", std::int64_t{previous_ == Timestamp{} ? -1 : 1})
                                      .done());
            else
                out.copy(element);
        }
        previous_ = now_;
        return out.done();
    }

    /// The lsid of the session: one of 32, which differ in the first byte of the UUID.
    std::string of_session(const bson::Document& lsid) {
        Builder out;
        for (const bson::Element& element : lsid) {
            std::string value(element.value());
            if (element.key() == "id") value[5] = static_cast<char>(session_);
            out.raw(element.type(), element.key(), value);
        }
        return out.done();
    }

    /// The command of a transaction that has more entries to come, or had some before.
    std::string link_of_chain(const bson::Document& command) {
        Builder out;
        for (const bson::Element& element : command) {
            if (element.key() != "applyOps") continue; // partialTxn and count are set anew
            out.copy(element);
            for (const bson::Element& ignored : element.array()) count_ += !ignored.bytes().empty();
            if (run_ > 0)
                out.number(bson::Type::boolean, "partialTxn", char{1});
            else if (previous_ != Timestamp{})
                out.number(bson::Type::int64, "count", count_);
        }
        return out.done();
    }

    /// Begins the document with an _id of its own, if it has one.
    Builder with_id(const bson::Document& from) {
        Builder out;
        for (const bson::Element& element : from) {
            if (element.key() == "_id" && element.is(bson::Type::object_id)) {
                std::string id(element.value());
                const std::uint64_t fresh = random_();
                id.replace(0, 8, reinterpret_cast<const char*>(&fresh), 8);
                out.raw(element.type(), "_id", id);
            } else if (element.key() == "_id" && element.is(bson::Type::int32)) {
                out.number(element.type(), "_id", id_);
            } else {
                out.copy(element);
            }
        }
        return out;
    }

    std::string inserted(const bson::Document& from) {
        Builder out = with_id(from);
        add_fields(out, 2 + random_.below(14));
        // A few are large, as real ones: 1 in 1,000 has 20 kB, 1 in 50,000 has 1 MB.
        const std::uint64_t dice = random_.below(50000);
        if (dice == 0)
            out.string("body", words(150000));
        else if (dice < 50)
            out.string("body", words(3000));
        return out.done();
    }

    std::string updated(const bson::Document& from) {
        const auto diff = from.find("diff");
        if (!diff) return with_id(from).done();
        if (diff->document().find("i")) return std::string(from.bytes());
        Builder inserts;
        add_fields(inserts, random_.below(10));
        Builder changes;
        bool inserted = false; // before the fields that have a nested diff, as servers write it
        const auto insert = [&] {
            if (!std::exchange(inserted, true)) changes.document("i", inserts.done());
        };
        for (const bson::Element& element : diff->document()) {
            if (element.key() != "d" && element.key() != "u") insert();
            changes.copy(element);
        }
        insert();
        Builder out;
        for (const bson::Element& element : from) {
            if (element.key() == "diff")
                out.document("diff", changes.done());
            else
                out.copy(element);
        }
        return out.done();
    }

    void add_fields(Builder& out, std::uint64_t count) {
        for (; count > 0; --count) {
            const std::string key = one_word() + "_" + std::to_string(count);
            switch (random_.below(9)) {
            case 0: out.string(key, words(1 + random_.below(4))); break;
            case 1: out.string(key, words(10 + random_.below(30))); break;
            case 2: out.number(bson::Type::int32, key, static_cast<std::int32_t>(random_())); break;
            case 3: out.number(bson::Type::int64, key, static_cast<std::int64_t>(random_() >> 20)); break;
            case 4: out.number(bson::Type::double_, key, static_cast<double>(random_.below(10'000'000)) / 100); break;
            case 5: out.number(bson::Type::date, key, std::int64_t{now_.seconds} * 1000); break;
            case 6: out.number(bson::Type::boolean, key, static_cast<char>(random_.below(2))); break;
            case 7:
                out.document(key, Builder()
                                      .string("street", words(2))
                                      .string("city", one_word())
                                      .number(bson::Type::int32, "zip", static_cast<std::int32_t>(random_.below(100000)))
                                      .done());
                break;
            default: {
                Builder array;
                for (std::uint64_t i = 0, size = random_.below(8); i < size; ++i) array.string(std::to_string(i), one_word());
                out.document(key, array.done(), bson::Type::array);
            }
            }
        }
    }

    std::string one_word() {
        static constexpr std::array list{"order",  "price",   "customer", "naïve", "invoice", "shipped", "Zürich", "warehouse",
                                         "status", "pending", "quantity", "東京",  "express", "refund",  "email",  "total"};
        return list[random_.below(list.size())];
    }
    std::string words(std::uint64_t count) {
        static constexpr std::array ends{" ", " ", " ", " ", ", ", ". ", "\n", "\" "};
        std::string text;
        for (; count > 0; --count) text.append(one_word()).append(ends[random_.below(ends.size())]);
        return text;
    }

    Random random_;
    std::map<std::string, std::vector<std::string>, std::less<>> templates_;
    std::uint64_t run_ = 0; ///< The entries left of the run.
    std::string kind_;
    const std::string* template_ = nullptr;
    std::uint64_t session_ = 0;
    std::int64_t transaction_ = 0;
    std::int64_t count_ = 0; ///< The operations of the transaction.
    std::int32_t id_ = 0;    ///< The _id of the entry's document, where ids are integers.
    Timestamp previous_;     ///< The previous entry of the same run, or 0:0.
    Timestamp now_{1'700'000'000, 0};
};

} // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fputs("usage: bench-generate BYTES SEED... >FILE\n", stderr);
        return 2;
    }
    try {
        const std::uint64_t wanted = std::strtoull(argv[1], nullptr, 10);
        Generator generator(std::vector<std::string>(argv + 2, argv + argc));
        PlainWriter out("-");
        while (out.bytes() < wanted) out.write(generator.next());
        out.close();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench-generate: %s\n", error.what());
        return 1;
    }
}

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>
#include <oplog/io/file.hpp>
#include <oplog/timestamp.hpp>

#include <array>
#include <charconv>
#include <concepts>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

namespace oplog::inline v0_1 {

/// The supported methods of compression.
enum class Compression { none, gzip, zstd };

/// How to compress. Without a level, the library's default applies.
struct CompressionOptions {
    Compression method = Compression::none;
    std::optional<int> level;
};

/// Parses "none", "zstd[:LEVEL]" or "gzip[:LEVEL]"; gzip of level 0 packs nothing. Throws ArgumentError.
inline CompressionOptions parse_compression(std::string_view text) {
    const auto bad = [&](const std::string& why) { return ArgumentError("compression '" + std::string(text) + "' " + why); };
    const std::string_view method = text.substr(0, text.find(':'));
    CompressionOptions options;
    int least = 1, most = 0;
    if (method == "zstd") {
        options.method = Compression::zstd;
        most = ::ZSTD_maxCLevel();
    } else if (method == "gzip") {
        options.method = Compression::gzip;
        least = 0, most = 9;
    } else if (text != "none") {
        throw bad("is none of zstd[:LEVEL], gzip[:LEVEL], none");
    }
    if (method.size() == text.size()) return options;
    const std::string_view digits = text.substr(method.size() + 1);
    int level = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), level);
    if (error != std::errc{} || end != digits.data() + digits.size() || level < least || level > most)
        throw bad("has a level that is not between " + std::to_string(least) + " and " + std::to_string(most));
    options.level = level;
    return options;
}

/// The compression that a file name asks for: zstd for .zst, gzip for .gz, else none.
inline CompressionOptions compression_for(std::string_view name) {
    if (name.ends_with(".zst")) return {Compression::zstd, {}};
    if (name.ends_with(".gz")) return {Compression::gzip, {}};
    return {};
}

/// A source that decompresses another source if that begins like zstd or gzip, and passes on anything else unchanged.
/// Many frames or members form one stream. These faults throw DataError: a stream that is cut inside a frame or member,
/// bytes after the last one that begin none, and a failed checksum.
template <ByteSource Source>
class DecompressingSource {
  public:
    /// Reads from `source`.
    explicit DecompressingSource(Source source) : source_(std::move(source)), input_(std::make_unique_for_overwrite<char[]>(input_size)) {}
    /// Opens a file.
    explicit DecompressingSource(const std::string& path) requires std::constructible_from<Source, const std::string&>
        : DecompressingSource(Source(path)) {}

    /// Fills up to `size` bytes of the decompressed stream and returns how many; 0 is the end. Throws DataError.
    std::size_t read(char* buffer, std::size_t size) {
        switch (method()) {
        case Compression::zstd: return read_zstd(buffer, size);
        case Compression::gzip: return read_gzip(buffer, size);
        default: break;
        }
        if (at_ == filled_) return source_.read(buffer, size);
        const std::size_t count = std::min(size, filled_ - at_);
        std::memcpy(buffer, &input_[at_], count);
        at_ += count;
        return count;
    }

    /// The method of compression, determined by the first bytes.
    Compression method() {
        if (!method_) recognise();
        return *method_;
    }

  private:
    static constexpr std::size_t input_size = 128 << 10;
    static constexpr std::string_view zstd_magic{"\x28\xb5\x2f\xfd", 4};
    static constexpr std::string_view gzip_magic{"\x1f\x8b\x08", 3};

    struct ZstdDeleter {
        void operator()(ZSTD_DCtx* context) const noexcept { ::ZSTD_freeDCtx(context); }
    };
    struct GzipDeleter {
        void operator()(z_stream* stream) const noexcept {
            ::inflateEnd(stream);
            delete stream;
        }
    };

    void peek(std::size_t wanted) {
        while (filled_ < wanted) { // reads as much as there is, because later reads into whole pages are faster
            const std::size_t got = source_.read(&input_[filled_], input_size - filled_);
            if (got == 0) break;
            filled_ += got;
        }
    }

    /// A document can begin like gzip: a document of 559903 bytes begins with 1f 8b 08 00. In gzip the next bytes are
    /// the time of the file (0, or long after 1970) and then 0, 2 or 4. In a document they are a type and the letters
    /// of a name.
    bool is_gzip() {
        const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(input_[i]); };
        if (byte(3) != 0) return true;
        peek(10);
        if (filled_ < 10) return true;
        const auto time = bson::load<std::uint32_t>(&input_[4]);
        return (time == 0 || time >= 1u << 24) && byte(8) <= 4;
    }

    [[noreturn]] static void fail_zstd(std::size_t result) {
        if (::ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge)
            throw DataError(Fault::not_supported, "the zstd stream needs a window of over 128 MiB: decompress it with zstd -dc --long=31");
        throw DataError(Fault::corrupt_compression, std::string("corrupt zstd stream: ") + ::ZSTD_getErrorName(result));
    }

    /// Determines the method by the first four bytes. A document is never shorter than five bytes, so waiting for four
    /// loses none.
    void recognise() {
        peek(4);
        const std::string_view start(&input_[0], filled_);
        // A skippable frame (0x184D2A50 to 5F) may come before the first frame with content.
        const bool skippable = filled_ >= 4 && (bson::load<std::uint32_t>(start.data()) & 0xFFFFFFF0u) == 0x184D2A50u;
        if (start.starts_with(zstd_magic) || skippable) {
            method_ = Compression::zstd;
            zstd_.reset(::ZSTD_createDCtx());
            if (!zstd_) throw std::bad_alloc();
        } else if (start.starts_with(gzip_magic) && (filled_ < 4 || is_gzip())) {
            method_ = Compression::gzip;
            gzip_.reset(new z_stream{});
            if (::inflateInit2(gzip_.get(), 15 + 16) != Z_OK) throw std::bad_alloc();
        } else {
            method_ = Compression::none;
        }
    }

    /// Refuses zero bytes after the end. Tapes and block devices pad what they hold with them, and they begin neither a
    /// frame nor a member.
    void refuse_padding() const {
        if (!in_frame_ && input_[at_] == 0)
            throw DataError(Fault::malformed, "zero bytes follow the end of the compressed stream: the file is padded",
                            "unpack it with gzip -dc or zstd -dc, and see that its end is there");
    }

    bool refill() {
        if (at_ < filled_) return true;
        at_ = 0;
        filled_ = source_.read(&input_[0], input_size);
        return filled_ > 0;
    }

    std::size_t read_zstd(char* buffer, std::size_t size) {
        ZSTD_outBuffer out{buffer, size, 0};
        while (out.pos == 0) {
            // A frame may have more output to give although its input is used up.
            const bool more = refill();
            if (!more && !in_frame_) return 0;
            if (more) refuse_padding();
            ZSTD_inBuffer in{&input_[0], filled_, at_};
            const std::size_t result = ::ZSTD_decompressStream(zstd_.get(), &out, &in);
            if (::ZSTD_isError(result)) fail_zstd(result);
            if (!more && out.pos == 0) throw DataError(Fault::truncated, "the zstd stream ends inside a frame");
            at_ = in.pos;
            in_frame_ = result != 0;
        }
        return out.pos;
    }

    std::size_t read_gzip(char* buffer, std::size_t size) {
        z_stream& stream = *gzip_;
        stream.next_out = reinterpret_cast<Bytef*>(buffer);
        stream.avail_out = static_cast<uInt>(size);
        while (stream.avail_out == size) {
            if (!refill()) {
                if (in_frame_) throw DataError(Fault::truncated, "the gzip stream ends inside a member");
                return 0;
            }
            refuse_padding();
            in_frame_ = true;
            stream.next_in = reinterpret_cast<Bytef*>(&input_[at_]);
            stream.avail_in = static_cast<uInt>(filled_ - at_);
            const int result = ::inflate(&stream, Z_NO_FLUSH);
            at_ = filled_ - stream.avail_in;
            if (result == Z_STREAM_END) {
                in_frame_ = false;
                ::inflateReset(&stream);
            } else if (result != Z_OK && result != Z_BUF_ERROR) {
                throw DataError(Fault::corrupt_compression, std::string("corrupt gzip stream: ") + (stream.msg ? stream.msg : "error"));
            }
        }
        return size - stream.avail_out;
    }

    Source source_;
    std::optional<Compression> method_;
    std::unique_ptr<char[]> input_;
    std::size_t at_ = 0;
    std::size_t filled_ = 0;
    bool in_frame_ = false; ///< The input must not end here.
    std::unique_ptr<ZSTD_DCtx, ZstdDeleter> zstd_;
    std::unique_ptr<z_stream, GzipDeleter> gzip_;
};

/// A sink that compresses and writes to another sink. Frames and members carry checksums.
template <ByteSink Sink>
class CompressingSink {
  public:
    /// Compresses into `sink`.
    CompressingSink(Sink sink, const CompressionOptions& options) : sink_(std::move(sink)), method_(options.method) {
        if (method_ == Compression::zstd) {
            zstd_.reset(::ZSTD_createCCtx());
            if (!zstd_) throw std::bad_alloc();
            ::ZSTD_CCtx_setParameter(zstd_.get(), ZSTD_c_checksumFlag, 1);
            ::ZSTD_CCtx_setParameter(zstd_.get(), ZSTD_c_compressionLevel, options.level.value_or(ZSTD_CLEVEL_DEFAULT));
        } else if (method_ == Compression::gzip) {
            gzip_.reset(new z_stream{});
            if (::deflateInit2(gzip_.get(), options.level.value_or(Z_DEFAULT_COMPRESSION), Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) !=
                Z_OK)
                throw std::bad_alloc();
        }
        if (method_ != Compression::none) output_ = std::make_unique_for_overwrite<char[]>(output_size);
    }
    /// Opens `path`. Compresses as `options` say or, without options, as the name asks for.
    explicit CompressingSink(const std::string& path, IfExists if_exists = IfExists::refuse, std::optional<CompressionOptions> options = {},
                             Content content = Content::bson) requires std::constructible_from<Sink, const std::string&, IfExists, Content>
        : CompressingSink(Sink(path, if_exists, content), options.value_or(compression_for(path))) {}

    /// Compresses and writes bytes.
    void write(const char* data, std::size_t size) {
        if (method_ == Compression::none)
            sink_.write(data, size);
        else
            compress(data, size, false);
    }
    /// Ends the compressed stream and closes the sink.
    void close() {
        if (method_ != Compression::none) compress(nullptr, 0, true);
        sink_.close();
    }

    /// The sink that gets the compressed bytes.
    Sink& inner() noexcept { return sink_; }

  private:
    static constexpr std::size_t output_size = 128 << 10;

    struct ZstdDeleter {
        void operator()(ZSTD_CCtx* context) const noexcept { ::ZSTD_freeCCtx(context); }
    };
    struct GzipDeleter {
        void operator()(z_stream* stream) const noexcept {
            ::deflateEnd(stream);
            delete stream;
        }
    };

    void compress(const char* data, std::size_t size, bool end) {
        if (method_ == Compression::zstd) {
            ZSTD_inBuffer in{data, size, 0};
            for (bool done = false; !done;) {
                ZSTD_outBuffer out{output_.get(), output_size, 0};
                const std::size_t left = ::ZSTD_compressStream2(zstd_.get(), &out, &in, end ? ZSTD_e_end : ZSTD_e_continue);
                if (::ZSTD_isError(left)) throw FileError(std::string("zstd: ") + ::ZSTD_getErrorName(left));
                if (out.pos > 0) sink_.write(output_.get(), out.pos);
                done = end ? left == 0 : in.pos == in.size;
            }
        } else {
            gzip_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data));
            gzip_->avail_in = static_cast<uInt>(size);
            for (bool done = false; !done;) {
                gzip_->next_out = reinterpret_cast<Bytef*>(output_.get());
                gzip_->avail_out = output_size;
                const int result = ::deflate(gzip_.get(), end ? Z_FINISH : Z_NO_FLUSH);
                if (gzip_->avail_out < output_size) sink_.write(output_.get(), output_size - gzip_->avail_out);
                done = end ? result == Z_STREAM_END : gzip_->avail_out > 0;
            }
        }
    }

    Sink sink_;
    Compression method_;
    std::unique_ptr<char[]> output_;
    std::unique_ptr<ZSTD_CCtx, ZstdDeleter> zstd_;
    std::unique_ptr<z_stream, GzipDeleter> gzip_;
};

} // namespace oplog

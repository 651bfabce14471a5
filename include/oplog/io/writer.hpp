// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <oplog/bson/document.hpp>
#include <oplog/entry/entry.hpp>
#include <oplog/io/file.hpp>

#include <array>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>

namespace oplog::inline v0_1 {

/// Writes documents to a sink. close() makes the output permanent and throws if that fails. A writer that is destroyed
/// without close() passes what it got to the sink and abandons the sink, which leaves no file under the final name (see
/// FileSink).
///
/// Output goes through four buffers. From the first full buffer on, a thread of the writer empties them, so that
/// compressing and writing to disk overlap with the caller's work. An error of the sink is thrown by the next write()
/// or close(), and by each close() from then on: what failed once is never completed.
template <ByteSink Sink>
class BasicWriter {
  public:
    /// Writes to `sink`.
    explicit BasicWriter(Sink sink) : state_(std::make_unique<State>(std::move(sink))) {}
    /// Opens a file, or stdout for "-"; further arguments are those of the sink's constructor.
    template <class... Options>
    explicit BasicWriter(const std::string& path,
                         Options&&... options) requires std::constructible_from<Sink, const std::string&, Options...>
        : BasicWriter(Sink(path, std::forward<Options>(options)...)) {}

    BasicWriter(BasicWriter&&) noexcept = default;
    BasicWriter& operator=(BasicWriter&&) = delete;

    ~BasicWriter() {
        if (!state_) return; // this writer was moved from
        if (state_->closed) return;
        try {
            state_->flush(); // writes whole documents only, before the sink marks the failure
        } catch (...) {      // the sink is destroyed unclosed in any case
        }
    }

    /// Writes an entry.
    void write(const EntryView& entry) { write(entry.bytes()); }
    /// Writes a document.
    void write(const bson::Document& document) { write(document.bytes()); }
    /// Writes one or more whole documents. Throws std::logic_error after close().
    void write(std::string_view documents) {
        if (documents.empty()) return; // its data() may be null
        State& state = *state_;
        if (state.closed) throw std::logic_error("a write after close()");
        state.bytes += documents.size();
        // More bytes than all buffers hold would have to wait for the sink anyway, so they are not copied.
        if (documents.size() >= buffers * buffer_size && state.is_idle())
            return state.keeping_error([&] { state.sink.write(documents.data(), documents.size()); });
        Buffer* buffer = &state.ring[state.filling];
        while (documents.size() > buffer_size - buffer->size) {
            const std::size_t part = documents.copy(buffer->data.get() + buffer->size, buffer_size - buffer->size);
            buffer->size += part;
            documents.remove_prefix(part);
            state.hand_over();
            buffer = &state.ring[state.filling];
        }
        std::memcpy(buffer->data.get() + buffer->size, documents.data(), documents.size());
        buffer->size += documents.size();
    }

    /// The number of bytes written so far, before compression.
    std::uint64_t bytes() const noexcept { return state_->bytes; }

    /// Completes the output. Throws what the sink throws; then there is no file.
    void close() {
        state_->flush();
        state_->keeping_error([&] { state_->sink.close(); });
        state_->closed = true;
    }

    /// The sink, for example to ask for its descriptor.
    Sink& sink() noexcept { return state_->sink; }

  private:
    static constexpr std::size_t buffer_size = 256 << 10;
    static constexpr std::size_t buffers = 4;

    struct Buffer {
        std::unique_ptr<char[]> data = std::make_unique_for_overwrite<char[]>(buffer_size);
        std::size_t size = 0;
    };

    /// Allocated apart, because the thread refers to it and a writer can be moved.
    struct State {
        explicit State(Sink s) : sink(std::move(s)) {}

        ~State() { stop(); }

        /// Whether everything written has reached the sink.
        bool is_idle() {
            if (ring[filling].size > 0) return false;
            const std::lock_guard lock(mutex);
            return pending == 0 && !error;
        }

        /// Passes the full buffer to the thread and waits for an empty one.
        void hand_over() {
            std::unique_lock lock(mutex);
            rethrow();
            if (!thread.joinable() && !start()) {
                Buffer& full = ring[filling];
                return keeping_error([&] { sink.write(full.data.get(), std::exchange(full.size, 0)); });
            }
            ++pending;
            filling = (filling + 1) % buffers;
            changed.notify_all();
            changed.wait(lock, [this] { return pending < buffers || error; });
            rethrow();
        }

        /// Starts a thread that takes no signals, because those are for the program. Returns false if there can be no
        /// thread; then the writer works without.
        bool start() {
            const detail::SignalsHeld not_there;
            try {
                thread = std::thread([this] { empty_buffers(); });
                return true;
            } catch (const std::exception&) {
                return false;
            }
        }

        /// Passes everything to the sink and ends the thread.
        void flush() {
            stop();
            rethrow();
            Buffer& last = ring[filling];
            if (last.size > 0) keeping_error([&] { sink.write(last.data.get(), std::exchange(last.size, 0)); });
        }

        /// Calls use(), which uses the sink while the thread does not.
        template <class Use>
        void keeping_error(Use use) {
            try {
                use();
            } catch (...) {
                error = std::current_exception();
                throw;
            }
        }

        void stop() {
            if (!thread.joinable()) return;
            {
                const std::lock_guard lock(mutex);
                stopping = true;
                changed.notify_all();
            }
            thread.join();
            stopping = false;
        }

        void rethrow() const {
            if (error) std::rethrow_exception(error);
        }

        void empty_buffers() {
            std::unique_lock lock(mutex);
            for (;;) {
                changed.wait(lock, [this] { return pending > 0 || stopping; });
                if (pending == 0) return;
                Buffer& buffer = ring[emptying];
                lock.unlock();
                std::exception_ptr failure;
                try {
                    sink.write(buffer.data.get(), std::exchange(buffer.size, 0));
                } catch (...) {
                    failure = std::current_exception();
                }
                lock.lock();
                emptying = (emptying + 1) % buffers;
                --pending;
                if (failure) {
                    error = failure;
                    changed.notify_all();
                    return;
                }
                changed.notify_all();
            }
        }

        Sink sink;
        std::array<Buffer, buffers> ring;
        std::size_t filling = 0;  ///< The caller's buffer.
        std::size_t emptying = 0; ///< The thread's next buffer.
        std::size_t pending = 0;  ///< The number of full buffers, from `emptying` on.
        std::uint64_t bytes = 0;
        bool stopping = false;
        bool closed = false;
        std::exception_ptr error;
        std::mutex mutex;
        std::condition_variable changed;
        std::thread thread;
    };

    std::unique_ptr<State> state_;
};

/// Writes entries or documents to a file, uncompressed.
using PlainWriter = BasicWriter<FileSink>;

} // namespace oplog

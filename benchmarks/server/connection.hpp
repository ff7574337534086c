// One HTTP/2 connection of the server of canned answers: frames, flow control, messages, and when each is answered.
// Sources: RFC 9113 (frames, flow control), RFC 7541 (literals without indexing), gRPC over HTTP/2.

#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iostream>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using std::size_t;
using std::string;

enum FrameType : uint8_t { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE };
constexpr uint8_t ACK = 0x1, END_STREAM = 0x1, END_HEADERS = 0x4, PADDED = 0x8;
constexpr uint32_t RECEIVE_WINDOW = 16 << 20;  // of a connection and of a stream, so that uploads do not wait
constexpr uint32_t FRAME_LIMIT = 4 << 20;      // what servers on gRPC's C core take
constexpr size_t PREFACE = 24;                 // "PRI * HTTP/2.0 ...", skipped

// :status 200 from the static table, content-type by its static name; grpc-status 0 as a new name, never indexed.
const string RESPONSE_HEADERS("\x88\x0f\x10\x10" "application/grpc", 20);
const string TRAILERS("\x00\x0b" "grpc-status" "\x01" "0", 15);

[[noreturn]] void fail(const string& what) {
    std::cerr << what << ": " << std::strerror(errno) << std::endl;
    std::exit(1);
}

uint64_t now_ns() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return uint64_t(time.tv_sec) * 1000000000 + uint64_t(time.tv_nsec);
}

uint32_t number(const uint8_t* bytes) {
    return uint32_t(bytes[0]) << 24 | uint32_t(bytes[1]) << 16 | uint32_t(bytes[2]) << 8 | bytes[3];
}

string big_endian(uint32_t value) {
    return {char(value >> 24), char(value >> 16), char(value >> 8), char(value)};
}

struct Port {
    enum Shape { UNARY, SERVER_STREAM, DUPLEX } shape;
    string answer, output;
    uint32_t messages;
    uint64_t interval_ns, delay_ns;

    // One response message with its five bytes of gRPC prefix.
    string message(uint32_t inputs) const {
        const size_t size = answer.size() + (output.empty() ? 0 : inputs * output.size());
        string made = string(1, '\0') + big_endian(uint32_t(size)) + answer;
        made.reserve(5 + size);
        for (uint32_t i = 0; !output.empty() && i < inputs; i++) made += output;
        return made;
    }
};

// Cuts what a stream receives into messages and counts the fields 4 of each, without keeping a byte of it.
class Messages {
  public:
    explicit Messages(bool counting) : counting_(counting) {}

    template <typename Done>
    void feed(const uint8_t* bytes, size_t size, Done done) {
        const uint8_t* end = bytes + size;
        while (bytes != end) {
            if (prefixed_ < sizeof prefix_) {
                prefix_[prefixed_++] = *bytes++;
                if (prefixed_ < sizeof prefix_) continue;
                left_ = number(prefix_ + 1);
                fields_ = 0;
                skip(counting_ ? 0 : left_);
            } else if (state_ == SKIP) {
                const uint64_t step = std::min({uint64_t(end - bytes), skip_, uint64_t(left_)});
                bytes += step;
                left_ -= uint32_t(step);
                skip(skip_ - step);
            } else {
                left_--;
                varint_ |= uint64_t(*bytes & 0x7f) << shift_;
                shift_ += 7;
                if (!(*bytes++ & 0x80)) field(varint_);
            }
            if (left_ == 0) {
                prefixed_ = 0;
                done(fields_);
            }
        }
    }

  private:
    void field(uint64_t value) {
        const State was = state_;
        skip(0);
        if (was == LENGTH) return skip(value);
        if (was == VALUE) return;
        switch (value & 7) {
            case 0: state_ = VALUE; break;
            case 1: return skip(8);
            case 5: return skip(4);
            default:
                state_ = LENGTH;
                fields_ += value >> 3 == 4;
        }
    }

    void skip(uint64_t bytes) {
        skip_ = bytes;
        state_ = bytes ? SKIP : KEY;
        varint_ = 0;
        shift_ = 0;
    }

    enum State { KEY, LENGTH, VALUE, SKIP };
    bool counting_;
    uint8_t prefix_[5];
    size_t prefixed_ = 0;
    uint32_t left_ = 0, fields_ = 0;
    uint64_t skip_ = 0, varint_ = 0;
    unsigned shift_ = 0;
    State state_ = KEY;
};

struct Stream {
    Stream(uint32_t id, int64_t window, bool counting) : id(id), window(window), messages(counting) {}
    uint32_t id;
    int64_t window;  // what the client still takes
    Messages messages;
    string pending;  // messages that flow control holds back, from `sent` on
    size_t sent = 0;
    uint32_t inputs = 0;     // of a unary call's request
    uint32_t remaining = 0;  // messages of a server stream
    uint32_t delayed = 0;    // answers on their way
    uint32_t received = 0;   // bytes since the last WINDOW_UPDATE
    bool answering = false, half_closed = false, blocked = false;
};

struct Due {
    uint64_t connection;
    uint32_t stream, inputs;
    bool tick;
};
using Timetable = std::multimap<uint64_t, Due>;

class Connection {
  public:
    Connection(int fd, uint64_t serial, const Port& port, Timetable& timetable)
        : fd(fd), serial(serial), port_(port), timetable_(timetable) {
        string settings = string("\0\4", 2) + big_endian(RECEIVE_WINDOW) + string("\0\5", 2) + big_endian(FRAME_LIMIT);
        frame(SETTINGS, 0, 0, settings.data(), settings.size());
        grant(0, RECEIVE_WINDOW - 65535);
    }
    ~Connection() { close(fd); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // Takes received bytes; false when they are no HTTP/2.
    bool feed(const uint8_t* bytes, size_t size) {
        const uint8_t* end = bytes + size;
        while (bytes != end) {
            if (preface_left_) {
                const size_t step = std::min(preface_left_, size_t(end - bytes));
                preface_left_ -= step;
                bytes += step;
                continue;
            }
            if (header_size_ < sizeof header_) {
                header_[header_size_++] = *bytes++;
                if (header_size_ < sizeof header_) continue;
                left_ = number(header_) >> 8;
                if (left_ > FRAME_LIMIT) return false;
                padding_ = 0;
                padded_ = header_[3] == DATA && header_[4] & PADDED;
                control_.clear();
                if (header_[3] == DATA) count_received(left_);
            } else {
                const size_t step = std::min(size_t(left_), size_t(end - bytes));
                payload(bytes, step);
                bytes += step;
                left_ -= uint32_t(step);
            }
            if (left_ == 0) {
                header_size_ = 0;
                frame_ended();
            }
        }
        return true;
    }

    void due(const Due& due, uint64_t when) {
        Stream* stream = find(due.stream);
        if (!stream) return;
        stream->delayed--;
        if (due.tick) tick(*stream, when);
        else answer(*stream, due.inputs);
        pump(*stream);
    }

    // Writes what the socket takes; false when the connection is gone.
    bool flush() {
        while (out_sent_ < out_.size()) {
            const ssize_t wrote = send(fd, out_.data() + out_sent_, out_.size() - out_sent_, MSG_NOSIGNAL);
            if (wrote < 0) return errno == EAGAIN || errno == EINTR;
            out_sent_ += size_t(wrote);
        }
        out_.clear();
        out_sent_ = 0;
        return true;
    }

    bool flushed() const { return out_.empty(); }

    const int fd;
    const uint64_t serial;
    bool awaits_room = false;

  private:
    uint32_t stream_id() const { return number(header_ + 5) & 0x7fffffff; }

    Stream* find(uint32_t id) {
        const auto found = streams_.find(id);
        return found == streams_.end() ? nullptr : &found->second;
    }

    void payload(const uint8_t* bytes, size_t size) {
        const uint8_t type = header_[3];
        if (type == SETTINGS || type == PING || type == WINDOW_UPDATE) control_.append(bytes, bytes + size);
        Stream* stream = find(stream_id());
        if (type != DATA || !stream || !size) return;
        size_t left = left_;  // of the frame, these bytes included
        if (padded_) {
            padded_ = false;
            padding_ = *bytes++;
            size--;
            left--;
        }
        const size_t data = left > padding_ ? std::min(size, left - padding_) : 0;
        stream->messages.feed(bytes, data, [&](uint32_t inputs) {
            stream->inputs = inputs;
            if (port_.shape == Port::DUPLEX) answer_later(*stream, inputs);
        });
    }

    void frame_ended() {
        const uint8_t flags = header_[4];
        const uint32_t id = stream_id();
        const uint8_t* control = reinterpret_cast<const uint8_t*>(control_.data());
        switch (header_[3]) {
            case HEADERS:
                streams_.try_emplace(id, id, initial_window_, !port_.output.empty());
                [[fallthrough]];
            case DATA:
                if (Stream* stream = find(id)) {
                    if (flags & END_STREAM) half_close(*stream);
                    pump(*stream);
                }
                break;
            case RST_STREAM: streams_.erase(id); break;
            case PING:
                if (!(flags & ACK)) frame(PING, ACK, 0, control_.data(), control_.size());
                break;
            case SETTINGS:
                if (!(flags & ACK)) settings(control);
                break;
            case WINDOW_UPDATE:
                if (control_.size() == 4) window_update(id, number(control) & 0x7fffffff);
                break;
            default: break;  // GOAWAY: the client opens no more streams and closes when it has its answers
        }
    }

    void settings(const uint8_t* control) {
        for (size_t at = 0; at + 6 <= control_.size(); at += 6) {
            const uint32_t value = number(control + at + 2);
            const int name = control[at] << 8 | control[at + 1];
            if (name == 5) max_frame_ = value;
            if (name != 4) continue;
            for (auto& [id, stream] : streams_) {
                stream.window += int64_t(value) - initial_window_;
                block(stream);
            }
            initial_window_ = value;
        }
        frame(SETTINGS, ACK, 0, "", 0);
        unblock();
    }

    void window_update(uint32_t id, uint32_t more) {
        if (id == 0) {
            window_ += more;
            unblock();
        } else if (Stream* stream = find(id)) {
            stream->window += more;
            pump(*stream);
        }
    }

    void block(Stream& stream) {
        if (!stream.blocked) blocked_.push_back(stream.id);
        stream.blocked = true;
    }

    void unblock() {
        std::vector<uint32_t> blocked;
        blocked.swap(blocked_);
        for (uint32_t id : blocked) {
            if (Stream* stream = find(id)) {
                stream->blocked = false;
                pump(*stream);
            }
        }
    }

    void count_received(uint32_t size) {
        received_ += size;
        if (received_ >= RECEIVE_WINDOW / 2) {
            grant(0, received_);
            received_ = 0;
        }
        Stream* stream = find(stream_id());
        if (!stream) return;
        stream->received += size;
        if (stream->received >= RECEIVE_WINDOW / 2) {
            grant(stream->id, stream->received);
            stream->received = 0;
        }
    }

    void half_close(Stream& stream) {
        stream.half_closed = true;
        if (port_.shape == Port::UNARY) answer_later(stream, stream.inputs);
        if (port_.shape != Port::SERVER_STREAM) return;
        stream.remaining = port_.messages;
        if (!port_.interval_ns) return;
        stream.delayed++;
        const uint64_t phase = port_.interval_ns * (stream.id / 2 * 618 % 1000) / 1000;  // calls are not in step
        timetable_.emplace(now_ns() + phase, Due{serial, stream.id, 1, true});
    }

    void answer_later(Stream& stream, uint32_t inputs) {
        if (port_.delay_ns == 0) return answer(stream, inputs);
        stream.delayed++;
        timetable_.emplace(now_ns() + port_.delay_ns, Due{serial, stream.id, inputs, false});
    }

    void answer(Stream& stream, uint32_t inputs) { stream.pending += port_.message(inputs); }

    void tick(Stream& stream, uint64_t when) {
        answer(stream, 1);
        if (--stream.remaining == 0) return;
        stream.delayed++;
        timetable_.emplace(when + port_.interval_ns, Due{serial, stream.id, 1, true});
    }

    // Sends what flow control lets through; ends the stream after its last answer, and forgets it.
    void pump(Stream& stream) {
        while (stream.sent < stream.pending.size() || (stream.remaining && !port_.interval_ns)) {
            if (stream.sent == stream.pending.size()) {
                stream.pending = port_.message(1);
                stream.sent = 0;
                stream.remaining--;
            }
            if (!stream.answering) frame(HEADERS, END_HEADERS, stream.id, RESPONSE_HEADERS.data(), RESPONSE_HEADERS.size());
            stream.answering = true;
            const int64_t most = std::min({int64_t(stream.pending.size() - stream.sent), stream.window, window_, max_frame_});
            if (most <= 0) return block(stream);
            frame(DATA, 0, stream.id, stream.pending.data() + stream.sent, size_t(most));
            stream.sent += size_t(most);
            stream.window -= most;
            window_ -= most;
        }
        stream.pending.clear();
        stream.sent = 0;
        if (!stream.half_closed || stream.delayed || stream.remaining) return;
        frame(HEADERS, END_HEADERS | END_STREAM, stream.id, TRAILERS.data(), TRAILERS.size());
        streams_.erase(stream.id);
    }

    void grant(uint32_t id, uint32_t more) { frame(WINDOW_UPDATE, 0, id, big_endian(more).data(), 4); }

    void frame(FrameType type, uint8_t flags, uint32_t id, const char* bytes, size_t size) {
        const char header[9] = {char(size >> 16), char(size >> 8), char(size), char(type), char(flags),
                                char(id >> 24),   char(id >> 16),  char(id >> 8), char(id)};
        out_.append(header, sizeof header).append(bytes, size);
    }

    const Port& port_;
    Timetable& timetable_;
    std::unordered_map<uint32_t, Stream> streams_;
    std::vector<uint32_t> blocked_;
    string out_, control_;
    size_t out_sent_ = 0, preface_left_ = PREFACE, header_size_ = 0;
    uint8_t header_[9];
    uint32_t left_ = 0, received_ = 0;
    size_t padding_ = 0;
    bool padded_ = false;
    int64_t window_ = 65535, initial_window_ = 65535, max_frame_ = 16384;
};

}  // namespace

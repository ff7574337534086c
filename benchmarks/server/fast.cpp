// A gRPC server of canned answers that is never what a benchmark waits for: HTTP/2 by hand over epoll, one thread.
//
//     fast CONFIG        prints the ports as one line of JSON; ends on SIGTERM, and when its standard input ends
//
// Each behaviour has a port of its own, so that no request's path has to be known: request headers are skipped unread.
// A line of CONFIG: NAME SHAPE ANSWER OUTPUT MESSAGES INTERVAL_MS DELAY_MS
//     SHAPE        unary, server_stream or duplex
//     ANSWER       file with the bytes of a response message
//     OUTPUT       file whose bytes follow ANSWER once for each field 4 ("inputs") of the request message; - for none
//     MESSAGES     of a server stream, all at once, or one each INTERVAL_MS, streams out of step with each other
//     DELAY_MS     before each answer; requests do not wait for each other's

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>

#include "connection.hpp"

namespace {

constexpr size_t READ_SIZE = 256 << 10;

class Server {
  public:
    explicit Server(const string& config) : epoll_(epoll_create1(0)), timer_(timerfd_create(CLOCK_MONOTONIC, 0)) {
        watch(timer_, EPOLLIN);
        epoll_event input{EPOLLIN, {}};
        input.data.fd = STDIN_FILENO;
        epoll_ctl(epoll_, EPOLL_CTL_ADD, STDIN_FILENO, &input);  // fails on a file or /dev/null: then SIGTERM ends it
        std::ifstream lines(config);
        if (!lines) fail(config);
        string ports;
        for (string line; std::getline(lines, line);) ports += (ports.empty() ? "" : ", ") + open_port(line);
        std::cout << "{" << ports << "}" << std::endl;
    }

    [[noreturn]] void run() {
        epoll_event events[256];
        for (;;) {
            const int ready = epoll_wait(epoll_, events, 256, -1);
            for (int i = 0; i < ready; i++) handle(events[i].data.fd, events[i].events);
            if (!timetable_.empty()) arm();
        }
    }

  private:
    static string contents(const string& path) {
        if (path == "-") return "";
        std::ifstream file(path, std::ios::binary);
        if (!file) fail(path);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    string open_port(const string& line) {
        std::istringstream words(line);
        string name, shape, answer, output;
        auto port = std::make_unique<Port>();
        words >> name >> shape >> answer >> output >> port->messages >> port->interval_ns >> port->delay_ns;
        const char* shapes[] = {"unary", "server_stream", "duplex"};
        const auto found = std::find(std::begin(shapes), std::end(shapes), shape);
        if (!words || found == std::end(shapes)) fail("a malformed line: " + line);
        port->shape = Port::Shape(found - shapes);
        port->answer = contents(answer);
        port->output = contents(output);
        port->interval_ns *= 1000000;
        port->delay_ns *= 1000000;

        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        socklen_t size = sizeof address;
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        sockaddr* where = reinterpret_cast<sockaddr*>(&address);
        if (bind(fd, where, size) || listen(fd, 1024) || getsockname(fd, where, &size)) fail("a port");
        watch(fd, EPOLLIN);
        ports_[fd] = std::move(port);
        return "\"" + name + "\": " + std::to_string(ntohs(address.sin_port));
    }

    void watch(int fd, uint32_t what, int how = EPOLL_CTL_ADD) {
        epoll_event event{what, {}};
        event.data.fd = fd;
        if (epoll_ctl(epoll_, how, fd, &event)) fail("epoll");
    }

    void handle(int fd, uint32_t what) {
        if (fd == STDIN_FILENO) {
            if (read(fd, buffer_.data(), buffer_.size()) <= 0) std::exit(0);
        } else if (fd == timer_) {
            ring();
        } else if (const auto port = ports_.find(fd); port != ports_.end()) {
            accept_from(fd, *port->second);
        } else if (const auto found = connections_.find(fd); found != connections_.end()) {
            Connection& connection = *found->second;
            bool good = true;
            if (what & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                const ssize_t size = recv(fd, buffer_.data(), buffer_.size(), 0);
                good = size > 0 ? connection.feed(buffer_.data(), size_t(size)) : size < 0 && errno == EAGAIN;
            }
            settle(connection, good);
        }
    }

    void settle(Connection& connection, bool good) {
        if (!good || !connection.flush()) {
            serials_.erase(connection.serial);
            connections_.erase(connection.fd);
        } else if (connection.awaits_room == connection.flushed()) {
            connection.awaits_room = !connection.flushed();
            watch(connection.fd, connection.awaits_room ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
        }
    }

    void accept_from(int listener, const Port& port) {
        const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;  // it has gone already
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(fd, EPOLLIN);
        auto connection = std::make_unique<Connection>(fd, ++serial_, port, timetable_);
        serials_[serial_] = connection.get();
        settle(*(connections_[fd] = std::move(connection)), true);
    }

    void ring() {
        uint64_t times;
        if (read(timer_, &times, sizeof times) < 0) return;
        armed_ = 0;
        const uint64_t now = now_ns();
        std::map<uint64_t, Connection*> touched;
        while (!timetable_.empty() && timetable_.begin()->first <= now) {
            const auto [when, due] = *timetable_.begin();
            timetable_.erase(timetable_.begin());
            const auto found = serials_.find(due.connection);
            if (found == serials_.end()) continue;
            found->second->due(due, when);
            touched[due.connection] = found->second;
        }
        for (auto& [serial, connection] : touched) settle(*connection, true);
    }

    void arm() {
        const uint64_t first = timetable_.begin()->first;
        if (armed_ && armed_ <= first) return;
        armed_ = first;
        const itimerspec when{{0, 0}, {time_t(first / 1000000000), long(first % 1000000000)}};
        timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
    }

    int epoll_, timer_;
    uint64_t serial_ = 0, armed_ = 0;
    Timetable timetable_;
    std::unordered_map<int, std::unique_ptr<Port>> ports_;
    std::unordered_map<int, std::unique_ptr<Connection>> connections_;
    std::unordered_map<uint64_t, Connection*> serials_;
    std::vector<uint8_t> buffer_ = std::vector<uint8_t>(READ_SIZE);
};

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) {
        std::cerr << "usage: fast CONFIG" << std::endl;
        return 2;
    }
    Server(arguments[1]).run();
}

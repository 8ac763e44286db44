// A line is its event and its fields in spdlog's pattern: `event key=value` as text, or one JSON object. Values are
// quoted where they could be taken for something else, so no text from outside can begin a line or a field of its own.
// Whoever logs only puts the line into spdlog's queue; a thread of its own writes to standard error and may block there
// for as long as nobody reads. When the queue is full the oldest line is dropped, and the next line that is written is
// preceded by one that counts those before it.

#include "common/base/log.h"

#include <google/protobuf/stubs/logging.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "common/base/json_text.h"
#include "common/base/shown_text.h"

namespace toolwire::log {
namespace {

spdlog::level::level_enum ToSpdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// Lines that may wait while nobody reads: some 2 MB as lines are, and a burst of a few thousand logins.
constexpr size_t kWaitingLinesMax = 4096;
// A peer's text in one field; what is above it is cut off.
constexpr size_t kFieldBytesMax = 512;
constexpr Duration kEndWait = std::chrono::seconds(1);  // For the lines that wait when the process ends or crashes.
constexpr std::array kCrashes = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

void AppendValue(const Field& field, Format format, std::string* line) {
  if (const auto* number = std::get_if<int64_t>(&field.value)) {
    line->append(std::to_string(*number));
  } else if (const auto* flag = std::get_if<bool>(&field.value)) {
    line->append(*flag ? "true" : "false");
  } else if (const auto* real = std::get_if<double>(&field.value)) {
    line->append(std::isfinite(*real) ? fmt::format("{:.3f}", *real) : "null");
  } else {
    std::string_view text = std::get<std::string_view>(field.value);
    std::string cut;
    if (text.size() > kFieldBytesMax) {
      size_t end = kFieldBytesMax;
      while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // Between two characters.
      cut.assign(text.substr(0, end)).append("...");
      text = cut;
    }
    const bool plain = format == Format::kText && !text.empty() && text.find_first_of(" \"\\=") == std::string_view::npos;
    if (IsShownAsItIs(text)) {
      if (plain) {
        line->append(text);
      } else {
        json::AppendQuoted(text, line);
      }
    } else if (json::IsUtf8(text)) {
      // Nor may an agent's text move a terminal's cursor, or turn what stands behind it.
      std::string quoted;
      json::AppendQuoted(text, &quoted);
      line->append(ShownJson(quoted, /*one_line=*/true));
    } else {
      line->append("\"(not UTF-8)\"");
    }
  }
}

std::string LineOf(Format format, std::string_view event, Fields fields) {
  std::string line;
  if (format == Format::kJson) {
    line.append("\"event\":");
    json::AppendQuoted(event, &line);
    for (const Field& field : fields) {
      line.push_back(',');
      json::AppendQuoted(field.key, &line);
      line.push_back(':');
      AppendValue(field, format, &line);
    }
  } else {
    line.append(event);
    for (const Field& field : fields) {
      line.push_back(' ');
      line.append(field.key);
      line.push_back('=');
      AppendValue(field, format, &line);
    }
  }
  return line;
}

struct Logger {
  Format format = Format::kText;
  std::shared_ptr<spdlog::logger> out;
  std::shared_ptr<spdlog::details::thread_pool> queue;  // None before Init.
  std::atomic<uint64_t> begun{0};                       // Lines that were put into the queue, or are about to be.
  std::atomic<uint64_t> ended{0};                       // Those of them that were written or dropped.
  std::atomic<uint64_t> unwritable{0};                  // Lines that standard error did not take.
};

Logger& TheLogger();

// Standard error without stdio, whose lock would be held for as long as a write blocks.
class StandardError final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    Logger& logger = TheLogger();
    if (const uint64_t dropped = LinesDropped(); dropped != reported_) {
      const std::string line = LineOf(logger.format, "log lines dropped", {{"lines", dropped - reported_}});
      if (Put({"toolwire", spdlog::level::warn, line})) reported_ = dropped;
    }
    if (!Put(message)) logger.unwritable.fetch_add(1);
    if (logger.queue) logger.ended.store(++taken_ + logger.queue->overrun_counter());
  }
  void flush_() override {}

 private:
  bool Put(const spdlog::details::log_msg& message) {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    for (size_t done = 0; done < line.size();) {
      const ssize_t n = write(STDERR_FILENO, line.data() + done, line.size() - done);
      if (n >= 0) {
        done += static_cast<size_t>(n);
      } else if (errno == EAGAIN) {  // Another process has made it non-blocking.
        pollfd room{STDERR_FILENO, POLLOUT, 0};
        poll(&room, 1, -1);
      } else if (errno != EINTR) {
        return false;
      }
    }
    return true;
  }

  uint64_t taken_ = 0;     // Lines out of the queue.
  uint64_t reported_ = 0;  // Of the dropped lines.
};

Logger& TheLogger() {
  // Leaked: threads of libraries may log while the process exits, and the thread that writes may block for ever.
  static Logger* const logger = [] {
    auto* made = new Logger;
    made->out = std::make_shared<spdlog::logger>("toolwire", std::make_shared<StandardError>());
    made->out->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %-7l %v", spdlog::pattern_time_type::utc);
    return made;
  }();
  return *logger;
}

void StartThread(Logger* logger) {
  logger->queue = std::make_shared<spdlog::details::thread_pool>(kWaitingLinesMax, 1, [] {
    // Signals are for threads that wait for them.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
  });
  logger->out = std::make_shared<spdlog::async_logger>("toolwire", logger->out->sinks().front(), logger->queue,
                                                       spdlog::async_overflow_policy::overrun_oldest);
}

struct sigaction& FormerAction(int signal) {
  static std::array<struct sigaction, kCrashes.size()> actions;
  return actions[std::find(kCrashes.begin(), kCrashes.end(), signal) - kCrashes.begin()];
}

// A crash lets the other thread write what was said before it; then what would have happened happens.
void OnCrash(int signal) {
  Flush(kEndWait);
  sigaction(signal, &FormerAction(signal), nullptr);
  raise(signal);  // Comes when this returns: one that another process has sent would not come again by itself.
}

void WriteBeforeTheEnd() {
  std::atexit([] { Flush(kEndWait); });
  struct sigaction action {};
  action.sa_handler = OnCrash;
  for (const int signal : kCrashes) sigaction(signal, &action, &FormerAction(signal));
  signal(SIGPIPE, SIG_IGN);  // A reader of the log that goes takes nothing with it.
}

}  // namespace

void Init(Format format, Level level) {
  Logger& logger = TheLogger();
  logger.format = format;
  StartThread(&logger);
  WriteBeforeTheEnd();
  logger.out->set_level(ToSpdlog(level));
  if (format == Format::kJson) {
    logger.out->set_pattern("{\"time\":\"%Y-%m-%dT%H:%M:%S.%eZ\",\"level\":\"%l\",%v}", spdlog::pattern_time_type::utc);
  }
  // It would write lines of its own form, one for each string that is not UTF-8. These are answered with an error,
  // which the sender sees.
  google::protobuf::SetLogHandler([](google::protobuf::LogLevel, const char*, int, const std::string& message) {
    Debug("protobuf says", {{"message", message}});
  });
}

bool Enabled(Level level) { return TheLogger().out->should_log(ToSpdlog(level)); }

void Write(Level level, std::string_view event, Fields fields) {
  Logger& logger = TheLogger();
  if (!logger.out->should_log(ToSpdlog(level))) return;
  const std::string line = LineOf(logger.format, event, fields);
  if (logger.queue) logger.begun.fetch_add(1);
  logger.out->log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

uint64_t LinesDropped() {
  const Logger& logger = TheLogger();
  return logger.unwritable.load() + (logger.queue ? logger.queue->overrun_counter() : 0);
}

// Also called by the handler of a crash: no lock, nothing but atomics and a sleep.
bool Flush(Duration limit) {
  const Logger& logger = TheLogger();
  const uint64_t begun = logger.begun.load();
  constexpr timespec kMillisecond{0, 1'000'000};
  const MonoTime until = std::chrono::steady_clock::now() + limit;
  while (logger.ended.load() < begun) {
    if (std::chrono::steady_clock::now() >= until) return false;
    nanosleep(&kMillisecond, nullptr);
  }
  return true;
}

}  // namespace toolwire::log

// A line is its event and its fields in spdlog's pattern: `event key=value` as text, or one JSON object. Values are
// quoted where they could be taken for something else, so no text from outside can begin a line or a field of its own.

#include "common/base/log.h"

#include <google/protobuf/stubs/logging.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "absl/strings/ascii.h"
#include "common/base/json_text.h"

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

struct Logger {
  Format format = Format::kText;
  std::shared_ptr<spdlog::logger> out;
};

Logger& TheLogger() {
  // Leaked: threads of libraries may log while the process exits.
  static Logger* const logger = [] {
    auto* made = new Logger;
    made->out = std::make_shared<spdlog::logger>("toolwire", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->out->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %-7l %v", spdlog::pattern_time_type::utc);
    return made;
  }();
  return *logger;
}

void AppendValue(const Field& field, Format format, std::string* line) {
  if (const auto* number = std::get_if<int64_t>(&field.value)) {
    line->append(std::to_string(*number));
  } else if (const auto* flag = std::get_if<bool>(&field.value)) {
    line->append(*flag ? "true" : "false");
  } else if (const auto* real = std::get_if<double>(&field.value)) {
    line->append(std::isfinite(*real) ? fmt::format("{:.3f}", *real) : "null");
  } else {
    const std::string_view text = std::get<std::string_view>(field.value);
    const auto needs_quotes = [](char c) {
      return absl::ascii_iscntrl(c) || c == ' ' || c == '"' || c == '\\' || c == '=';
    };
    const bool plain = format == Format::kText && !text.empty() && std::none_of(text.begin(), text.end(), needs_quotes);
    // Quoting also keeps an agent's text from forging a line of its own.
    if (plain && json::IsUtf8(text)) {
      line->append(text);
    } else if (json::IsUtf8(text)) {
      json::AppendQuoted(text, line);
    } else {
      line->append("\"(not UTF-8)\"");
    }
  }
}

}  // namespace

void Init(Format format, Level level) {
  Logger& logger = TheLogger();
  logger.format = format;
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
  std::string line;
  if (logger.format == Format::kJson) {
    line.append("\"event\":");
    json::AppendQuoted(event, &line);
    for (const Field& field : fields) {
      line.push_back(',');
      json::AppendQuoted(field.key, &line);
      line.push_back(':');
      AppendValue(field, logger.format, &line);
    }
  } else {
    line.append(event);
    for (const Field& field : fields) {
      line.push_back(' ');
      line.append(field.key);
      line.push_back('=');
      AppendValue(field, logger.format, &line);
    }
  }
  logger.out->log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace toolwire::log

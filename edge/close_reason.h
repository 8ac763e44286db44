// Every way in which the edge's own code closes a WebSocket: the code, the text on the wire, and what helps the agent.
// websocketpp also closes by itself: with 1002 if the agent broke the WebSocket protocol, with 1009 after a frame over
// the limit.
#ifndef TOOLWIRE_EDGE_CLOSE_REASON_H_
#define TOOLWIRE_EDGE_CLOSE_REASON_H_

#include <cstdint>

namespace toolwire {

// The WebSocket close codes of wire.proto.
enum class CloseCode : uint16_t {
  kNormal = 1000,
  kGoingAway = 1001,
  kBadUtf8 = 1007,
  kPolicy = 1008,
  kTooBig = 1009,
  kInternal = 1011,
  kTryLater = 1013,
  kReplaced = 4001,
  kNoHeartbeat = 4002,
  kByOperator = 4003,
};

struct CloseReason {
  CloseCode code = CloseCode::kNormal;
  const char* text = "";
};

namespace close_reason {

// Other credentials are needed.
inline constexpr CloseReason kMissingCredentials{CloseCode::kPolicy, "Missing credentials"};
inline constexpr CloseReason kInvalidCredentials{CloseCode::kPolicy, "Invalid credentials"};
inline constexpr CloseReason kCredentialsRevoked{CloseCode::kPolicy, "Credentials revoked"};

// The same login may succeed later: wait, as wire.proto says.
inline constexpr CloseReason kTooManyFailedLogins{CloseCode::kTryLater, "Too many failed logins"};
inline constexpr CloseReason kTooManyLogins{CloseCode::kTryLater, "Too many logins at once"};
inline constexpr CloseReason kNoProxyHeader{CloseCode::kTryLater, "PROXY header missing"};
inline constexpr CloseReason kEdgeFull{CloseCode::kTryLater, "Edge is full"};
inline constexpr CloseReason kStoreUnavailable{CloseCode::kTryLater, "Credential store unavailable"};
inline constexpr CloseReason kRegistryUnavailable{CloseCode::kTryLater, "Registry unavailable"};
inline constexpr CloseReason kLoginTimedOut{CloseCode::kTryLater, "Login timed out"};
inline constexpr CloseReason kInternalError{CloseCode::kInternal, "Internal error"};

// The agent broke a rule and must be mended.
inline constexpr CloseReason kTooMuchBeforeLogin{CloseCode::kPolicy, "Too much before login"};
inline constexpr CloseReason kTooManyBadFrames{CloseCode::kPolicy, "Too many bad frames"};
inline constexpr CloseReason kTooManyStrays{CloseCode::kPolicy, "Too many unmatched answers"};
inline constexpr CloseReason kNotReading{CloseCode::kPolicy, "Not reading"};
inline constexpr CloseReason kInvalidUtf8{CloseCode::kBadUtf8, "Invalid UTF-8"};
inline constexpr CloseReason kResultTooLarge{CloseCode::kTooBig, "Result too large"};

// Nothing is wrong with the agent, whose computer may have slept: it dials again.
inline constexpr CloseReason kNoHeartbeat{CloseCode::kNoHeartbeat, "Heartbeat timeout"};

// Nothing is wrong with the agent: it dials again, unless its user started the newer connection on purpose.
inline constexpr CloseReason kReplaced{CloseCode::kReplaced, "Replaced by a newer connection"};
inline constexpr CloseReason kByOperator{CloseCode::kByOperator, "Disconnected by an operator"};
inline constexpr CloseReason kShuttingDown{CloseCode::kGoingAway, "Server shutting down"};

}  // namespace close_reason
}  // namespace toolwire

#endif  // TOOLWIRE_EDGE_CLOSE_REASON_H_

#include "common/store/store.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/base/json_text.h"
#include "common/base/log.h"

namespace toolwire {
namespace {

constexpr std::string_view kHashPrefix = "sha256:";
constexpr size_t kDigestBytes = 32;
using Digest = std::array<unsigned char, kDigestBytes>;

// Without its hash or its randomness the process cannot tell friend from foe; there is no lesser way to go on.
[[noreturn]] void DieOfCrypto(std::string_view what) {
  log::Error("libcrypto failed", {{"operation", what}});
  std::abort();
}

Digest Sha256(std::string_view text) {
  // Fetched once: looking an algorithm up costs more than hashing a secret. Never freed, as threads may still hash
  // while the process exits.
  static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  Digest digest;
  if (sha256 == nullptr || EVP_Digest(text.data(), text.size(), digest.data(), nullptr, sha256, nullptr) != 1) {
    DieOfCrypto("SHA-256");
  }
  return digest;
}

std::string Hex(const unsigned char* bytes, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * size);
  for (size_t i = 0; i < size; ++i) {
    hex.push_back(kDigits[bytes[i] >> 4]);
    hex.push_back(kDigits[bytes[i] & 15]);
  }
  return hex;
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The digest in the last 64 characters of `stored`. False if they are not hex digits.
bool DecodeDigest(std::string_view stored, Digest* digest) {
  std::array<char, 2 * kDigestBytes> hex{};
  const size_t size = stored.size() < hex.size() ? stored.size() : hex.size();
  std::memcpy(hex.data(), stored.data() + (stored.size() - size), size);
  bool good = size == hex.size();
  for (size_t i = 0; i < kDigestBytes; ++i) {
    const int high = HexValue(hex[2 * i]);
    const int low = HexValue(hex[2 * i + 1]);
    good &= high >= 0 && low >= 0;
    (*digest)[i] = static_cast<unsigned char>(((high & 15) << 4) | (low & 15));
  }
  return good;
}

// The length of the UTF-8 character at the start of `text`, or 0 if there is none (RFC 3629's table).
size_t Utf8CharBytes(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](size_t i) { return i < text.size() && (at(i) & 0xC0) == 0x80; };
  const unsigned char lead = at(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4 || !continues(1)) return 0;
  if (lead < 0xE0) return 2;
  const unsigned char second = at(1);
  if (lead < 0xF0) {
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;
    return continues(2) ? 3 : 0;
  }
  if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
  return continues(2) && continues(3) ? 4 : 0;
}

bool IsSafeText(std::string_view text) { return text.find('\0') == std::string_view::npos && json::IsUtf8(text); }

// As much of `text` as takes `quoted_bytes_max` bytes in a JSON string, with '?' for NUL and for what is not UTF-8.
std::string SafePrefix(std::string_view text, size_t quoted_bytes_max) {
  std::string prefix;
  size_t quoted_bytes = 0;
  while (!text.empty()) {
    const size_t length = Utf8CharBytes(text);
    const unsigned char c = static_cast<unsigned char>(text[0]);
    const bool bad = length == 0 || c == 0;
    // The longest escape is \u0001.
    const size_t cost = bad ? 1 : c < 0x20 || c == 0x7F ? 6 : c == '"' || c == '\\' || c == '/' ? 2 : length;
    if (quoted_bytes + cost > quoted_bytes_max) break;
    quoted_bytes += cost;
    if (bad) {
      prefix.push_back('?');
    } else {
      prefix.append(text.substr(0, length));
    }
    text.remove_prefix(bad ? 1 : length);
  }
  return prefix;
}

// PostgreSQL keeps numbers of jsonb in its numeric type: 131,072 digits before the point and 16,383 after it. This
// stays well inside, whatever the number's form.
bool NumberFits(std::string_view number) {
  constexpr size_t kNumberBytesMax = 4096;
  constexpr size_t kExponentDigitsMax = 4;
  if (number.size() > kNumberBytesMax) return false;
  const size_t e = number.find_first_of("eE");
  if (e == std::string_view::npos) return true;
  std::string_view exponent = number.substr(e + 1);
  while (!exponent.empty() && (exponent[0] == '+' || exponent[0] == '-' || exponent[0] == '0')) {
    exponent.remove_prefix(1);
  }
  return exponent.size() <= kExponentDigitsMax;
}

// The UTF-16 unit of a `\uXXXX` escape at `text[at]`, or -1 if something else is there.
int EscapedUnit(std::string_view text, size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int unit = 0;
  for (size_t i = at + 2; i < at + 6; ++i) unit = unit * 16 + HexValue(text[i]);
  return unit;
}

// Skips the string that begins with the quote at `text[*at]`. False if it has an escape that jsonb refuses.
bool SkipStorableString(std::string_view text, size_t* at) {
  for (size_t i = *at + 1; i < text.size();) {
    if (text[i] == '"') {
      *at = i + 1;
      return true;
    }
    if (text[i] != '\\') {
      ++i;
      continue;
    }
    const int unit = EscapedUnit(text, i);
    if (unit < 0) {
      i += 2;
      continue;
    }
    if (unit == 0 || (unit >= 0xDC00 && unit <= 0xDFFF)) return false;
    i += 6;
    if (unit >= 0xD800 && unit <= 0xDBFF) {
      const int low = EscapedUnit(text, i);
      if (low < 0xDC00 || low > 0xDFFF) return false;
      i += 6;
    }
  }
  return false;
}

// Whether jsonb takes `text`.
bool IsStorable(std::string_view text) {
  // PostgreSQL's parser recurses and has a stack of 2 MB by default.
  constexpr int kDepthMax = 1024;
  json::Kind kind;
  if (json::Validate(text, kDepthMax, &kind) != json::Error::kNone) return false;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"') {
      if (!SkipStorableString(text, &i)) return false;
    } else if (c == '-' || (c >= '0' && c <= '9')) {
      const size_t end = std::min(text.find_first_not_of("0123456789+-.eE", i), text.size());
      if (!NumberFits(text.substr(i, end - i))) return false;
      i = end;
    } else {
      ++i;
    }
  }
  return true;
}

}  // namespace

std::string HashSecret(const std::string& secret) {
  const Digest digest = Sha256(secret);
  return std::string(kHashPrefix) + Hex(digest.data(), digest.size());
}

std::string MakeSecret() {
  std::array<unsigned char, 32> bytes;
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) DieOfCrypto("random bytes");
  return Hex(bytes.data(), bytes.size());
}

std::string MakeRevokedSecret() { return std::string(kRevokedPrefix) + MakeSecret(); }

bool SecretMatches(const std::string& presented, const std::string& stored) {
  // Digests are compared, so the comparison has one length; and both forms of `stored` take both ways, so the time
  // does not tell which form a user has.
  const Digest of_presented = Sha256(presented);
  const Digest of_stored = Sha256(stored);
  Digest decoded;
  const bool decodes = DecodeDigest(stored, &decoded);
  const bool hashed = stored.compare(0, kHashPrefix.size(), kHashPrefix) == 0;
  const bool revoked = stored.compare(0, kRevokedPrefix.size(), kRevokedPrefix) == 0;
  const bool well_formed = !hashed || (decodes && stored.size() == kHashPrefix.size() + 2 * kDigestBytes);
  const Digest& expected = hashed ? decoded : of_stored;
  const bool equal = CRYPTO_memcmp(of_presented.data(), expected.data(), kDigestBytes) == 0;
  return equal & well_formed & !revoked & !presented.empty() & !stored.empty();
}

absl::Status CheckNewCredential(const Store::NewCredential& credential) {
  if (credential.user_id.empty()) return absl::InvalidArgumentError("the user id is empty");
  if (!IsSafeText(credential.user_id)) return absl::InvalidArgumentError("the user id is not UTF-8 text");
  const std::string& platform = credential.platform;
  if (platform != "win32" && platform != "linux" && platform != "darwin") {
    return absl::InvalidArgumentError(
        absl::StrCat("the platform of user \"", credential.user_id, "\" is not win32, linux or darwin"));
  }
  return CheckNewSecret(credential.user_id, credential.stored_secret);
}

absl::Status CheckNewSecret(const std::string& user_id, const std::string& stored_secret) {
  if (stored_secret.empty() || !IsSafeText(stored_secret)) {
    return absl::InvalidArgumentError(absl::StrCat("the secret of user \"", user_id, "\" is empty or not UTF-8 text"));
  }
  if (stored_secret.compare(0, kRevokedPrefix.size(), kRevokedPrefix) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the secret of user \"", user_id, "\" begins like one that was revoked"));
  }
  return absl::OkStatus();
}

absl::Status NoCredentialError(const std::string& user_id) {
  return absl::NotFoundError(absl::StrCat("user \"", user_id, "\" has no credential, or it was revoked"));
}

bool ReadInt(std::string_view text, int64_t* number) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), *number);
  return read.ec == std::errc() && read.ptr == text.data() + text.size();
}

absl::StatusOr<AuditCursor> ReadAuditCursor(const std::string& text) {
  AuditCursor cursor;
  const size_t colon = text.find(':');
  if (colon == std::string::npos || colon + 1 == text.size() || !IsSafeText(text) ||
      !ReadInt(std::string_view(text).substr(0, colon), &cursor.time)) {
    return absl::InvalidArgumentError("the cursor is not one of the audit log");
  }
  cursor.id = text.substr(colon + 1);
  return cursor;
}

const char* StatusWord(AgentStatus status) {
  switch (status) {
    case AgentStatus::kPending:
      return "pending";
    case AgentStatus::kConnected:
      return "connected";
    case AgentStatus::kDisconnected:
      return "disconnected";
  }
  return "pending";
}

std::string AuditMarkedJson(std::string_view json, size_t prefix_bytes, std::string_view reason) {
  std::string marked = absl::StrCat("{\"toolwire_truncated\":true,\"bytes\":", json.size(), ",\"prefix\":");
  json::AppendQuoted(SafePrefix(json, prefix_bytes), &marked);
  marked.append(",\"reason\":");
  json::AppendQuoted(reason, &marked);
  marked.push_back('}');
  return marked;
}

std::string AuditSafeJson(const std::string& json, size_t cap_bytes) {
  if (json.empty()) return json;
  if (json.size() > cap_bytes) return AuditMarkedJson(json, cap_bytes / 2, "too large");
  if (!IsStorable(json)) return AuditMarkedJson(json, cap_bytes / 2, "not storable");
  return json;
}

std::string AuditSafeText(const std::string& text, size_t cap_bytes) {
  const bool fits = text.size() <= cap_bytes;
  if (fits && IsSafeText(text)) return text;
  std::string safe;
  std::string_view rest = text;
  const size_t safe_bytes_max = fits ? text.size() : cap_bytes / 2;
  while (!rest.empty()) {
    const size_t length = rest[0] == '\0' ? 0 : Utf8CharBytes(rest);
    if (safe.size() + std::max<size_t>(length, 1) > safe_bytes_max) break;
    if (length == 0) {
      safe.push_back('?');
    } else {
      safe.append(rest.substr(0, length));
    }
    rest.remove_prefix(std::max<size_t>(length, 1));
  }
  if (!fits) absl::StrAppend(&safe, " [cut: ", text.size(), " bytes]");
  return safe;
}

AuditRow AuditSafeRow(const AuditRow& row, size_t cap_bytes) {
  AuditRow safe;
  safe.user_id = AuditSafeText(row.user_id, cap_bytes);
  safe.request_id = AuditSafeText(row.request_id, cap_bytes);
  safe.tool = AuditSafeText(row.tool, cap_bytes);
  safe.params_json = AuditSafeJson(row.params_json, cap_bytes);
  safe.result_json = AuditSafeJson(row.result_json, cap_bytes);
  safe.success = row.success;
  safe.error = AuditSafeText(row.error, cap_bytes);
  safe.execution_time_ms = row.execution_time_ms;
  safe.created_at_ms = row.created_at_ms;
  safe.call_id = AuditSafeText(row.call_id, cap_bytes);
  return safe;
}

}  // namespace toolwire

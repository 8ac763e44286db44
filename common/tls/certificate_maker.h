// Makes keys and certificates: a private CA, and what it signs for the processes of a cluster.
#ifndef TOOLWIRE_COMMON_TLS_CERTIFICATE_MAKER_H_
#define TOOLWIRE_COMMON_TLS_CERTIFICATE_MAKER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace toolwire {

// The names in the certificates of links by which an edge and a control know each other, whatever their addresses are.
// No public CA signs names that end in `.internal`.
inline constexpr char kEdgeRoleName[] = "edge.toolwire.internal";
inline constexpr char kControlRoleName[] = "control.toolwire.internal";

// PEM. The key is not encrypted.
struct CertificateAndKey {
  std::string certificate;
  std::string key;
};

struct CertificateRequest {
  std::string common_name;         // For people; no program compares it. May be empty.
  std::vector<std::string> names;  // Subject alternative names: DNS names, or IP addresses. Empty: none.
  bool is_server = true;           // May be shown by who listens, and
  bool is_client = false;          // by who dials.
  int64_t not_before = 0;          // Unix time in seconds,
  int64_t not_after = 0;           // inclusive.
};

// Until when the first certificate of a PEM text is valid, Unix time in seconds. INVALID_ARGUMENT if there is none.
absl::StatusOr<int64_t> ExpiryOf(const std::string& certificate);
// The alternative names of the first certificate of a PEM text that are DNS names or IP addresses.
absl::StatusOr<std::vector<std::string>> AlternativeNamesOf(const std::string& certificate);

// ECDSA over P-256, SHA-256, random serial numbers of 159 bits. INVALID_ARGUMENT if `request` has a name that is no DNS
// name or IP address, or INTERNAL.
absl::StatusOr<CertificateAndKey> MakeCa(const std::string& common_name, int64_t not_before, int64_t not_after);
// `ca`: as of MakeCa. INVALID_ARGUMENT also if it is no CA's.
absl::StatusOr<CertificateAndKey> MakeCertificate(const CertificateAndKey& ca, const CertificateRequest& request);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_TLS_CERTIFICATE_MAKER_H_

#include "common/tls/certificate_name.h"

#include <arpa/inet.h>

#include "common/tls/openssl_pointers.h"

namespace toolwire {

bool IsIpAddress(const std::string& name) {
  in6_addr ignored{};
  return inet_pton(AF_INET, name.c_str(), &ignored) == 1 || inet_pton(AF_INET6, name.c_str(), &ignored) == 1;
}

std::string WithoutFinalDot(const std::string& name) {
  return name.size() > 1 && name.back() == '.' ? name.substr(0, name.size() - 1) : name;
}

bool HasAlternativeName(std::string_view certificate, const std::string& dialled) {
  const std::string name = WithoutFinalDot(dialled);
  if (name.empty()) return false;
  const OpensslPtr<X509> parsed = ReadCertificate(ReadFrom(certificate).get());
  constexpr unsigned kRules = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;
  const bool found =
      parsed && (IsIpAddress(name) ? X509_check_ip_asc(parsed.get(), name.c_str(), 0) == 1
                                   : X509_check_host(parsed.get(), name.data(), name.size(), kRules, nullptr) == 1);
  ERR_clear_error();
  return found;
}

}  // namespace toolwire

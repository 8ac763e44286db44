// Whom a certificate is for.
#ifndef TOOLWIRE_COMMON_TLS_CERTIFICATE_NAME_H_
#define TOOLWIRE_COMMON_TLS_CERTIFICATE_NAME_H_

#include <string>
#include <string_view>

namespace toolwire {

// Whether `name` is an IP address, and not a DNS name.
bool IsIpAddress(const std::string& name);

// A DNS name as certificates and SNI have it: without the dot at its end by which a resolver knows that it is complete,
// as in `redis.ns.svc.cluster.local.`.
std::string WithoutFinalDot(const std::string& name);

// Whether the first certificate of a PEM text has `name`, a DNS name or an IP address, among its alternative names. Its
// common name does not count. For libraries that check names by other rules; TlsStream checks them by itself.
bool HasAlternativeName(std::string_view certificate, const std::string& name);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_TLS_CERTIFICATE_NAME_H_

// One request on one connection, which the server closes. Each step is an asynchronous operation that is run to its end
// or to the one deadline of all. With TLS the certificate is read and judged; unless the request asks for a trusted
// one, it is sent in any case.

#include "cli/doctor/doctor_http.h"

#include <asio.hpp>
#include <asio/ssl.hpp>
#include <functional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/host_port.h"
#include "common/link/dial_any.h"
#include "common/tls/certificate_name.h"

namespace toolwire {
namespace {

using asio::ip::tcp;

constexpr size_t kReplyBytesMax = 64u << 10;

// A connection whose operations are waited for one after another, up to one deadline for all.
class Connection {
 public:
  explicit Connection(Duration timeout) : deadline_(std::chrono::steady_clock::now() + timeout) {}

  asio::error_code Connect(const EdgeUrl& url, const std::string& ca_file) {
    tcp::resolver::results_type found;
    const asio::error_code unknown = Await([&](const Done& done) {
      resolver_.async_resolve(url.host, url.port, [&found, done](const asio::error_code& ec, const auto& endpoints) {
        found = endpoints;
        done(ec);
      });
    });
    if (unknown) return unknown;
    const asio::error_code failed = Await([&](const Done& done) {
      dial_.Start({found.begin(), found.end()}, [this, done](const asio::error_code& ec, tcp::socket* connected) {
        if (!ec) stream_.next_layer() = std::move(*connected);
        done(ec);
      });
    });
    if (failed || !url.tls) return failed;
    tls_ = true;
    asio::error_code ignored;
    if (ca_file.empty()) {
      context_.set_default_verify_paths(ignored);
    } else {
      asio::error_code wrong;
      context_.load_verify_file(ca_file, wrong);
      if (wrong) return wrong;
    }
    if (!IsIpAddress(url.host)) SSL_set_tlsext_host_name(stream_.native_handle(), url.host.c_str());
    stream_.set_verify_mode(asio::ssl::verify_peer, ignored);
    // A certificate that is not trusted is reported; who asks decides.
    stream_.set_verify_callback(
        [this, verify = asio::ssl::host_name_verification(url.host)](bool trusted, asio::ssl::verify_context& context) {
          const int error = X509_STORE_CTX_get_error(context.native_handle());
          if (!trusted) {
            if (trouble_.empty()) trouble_ = X509_verify_cert_error_string(error);
          } else if (!verify(trusted, context) && trouble_.empty()) {
            trouble_ = "it is for another host name";
          }
          return true;
        },
        ignored);
    return Await([&](const Done& done) { stream_.async_handshake(asio::ssl::stream_base::client, done); });
  }

  asio::error_code Write(const std::string& text) {
    return Await([&](const Done& done) {
      const auto handler = [done](const asio::error_code& ec, size_t) { done(ec); };
      if (tls_) {
        asio::async_write(stream_, asio::buffer(text), handler);
      } else {
        asio::async_write(stream_.next_layer(), asio::buffer(text), handler);
      }
    });
  }

  // Until the other side closes.
  asio::error_code ReadAll(std::string* text) {
    auto buffer = asio::dynamic_buffer(*text, kReplyBytesMax);
    asio::error_code error = Await([&](const Done& done) {
      const auto handler = [done](const asio::error_code& ec, size_t) { done(ec); };
      if (tls_) {
        asio::async_read(stream_, buffer, handler);
      } else {
        asio::async_read(stream_.next_layer(), buffer, handler);
      }
    });
    // Many servers close without TLS's goodbye.
    if (error == asio::error::eof || error == asio::ssl::error::stream_truncated) error = {};
    return error;
  }

  const std::string& trouble() const { return trouble_; }

  void DescribeCertificate(HttpReply* reply) {
    if (!tls_) return;
    reply->certificate_trouble = trouble_;
    X509* const certificate = SSL_get_peer_certificate(stream_.native_handle());
    if (certificate == nullptr) return;
    int days = 0, seconds = 0;
    ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate));
    reply->certificate_days_left = seconds < 0 ? days - 1 : days;
    X509_free(certificate);
  }

 private:
  using Done = std::function<void(const asio::error_code&)>;

  asio::error_code Await(const std::function<void(const Done&)>& start) {
    bool done = false;
    asio::error_code result;
    start([&](const asio::error_code& ec) {
      done = true;
      result = ec;
    });
    io_.restart();
    io_.run_until(deadline_);
    if (done) return result;
    // The operation holds on to what is on this stack: let it end first.
    asio::error_code ignored;
    resolver_.cancel();
    dial_.Cancel();
    stream_.next_layer().close(ignored);
    io_.restart();
    io_.run();
    return asio::error::timed_out;
  }

  const MonoTime deadline_;
  asio::io_context io_{1};
  tcp::resolver resolver_{io_};
  DialAny dial_{io_};
  asio::ssl::context context_{asio::ssl::context::tls_client};
  asio::ssl::stream<tcp::socket> stream_{io_, context_};
  bool tls_ = false;
  std::string trouble_;
};

absl::Status StatusOf(const asio::error_code& error) {
  if (error == asio::error::timed_out) return absl::DeadlineExceededError("no answer in time");
  if (error == asio::error::connection_refused) return absl::UnavailableError("nothing listens there");
  return absl::InternalError(error.message());
}

}  // namespace

std::string EdgeUrl::Address() const { return JoinHostPort(host, port); }

absl::StatusOr<EdgeUrl> ParseEdgeUrl(const std::string& url) {
  const auto invalid = absl::InvalidArgumentError("not a URL such as ws://host:8082");
  EdgeUrl parsed;
  const size_t colon = url.find("://");
  const absl::string_view scheme = absl::string_view(url).substr(0, colon);
  if (colon == std::string::npos || (scheme != "ws" && scheme != "wss" && scheme != "http" && scheme != "https")) {
    return invalid;
  }
  parsed.tls = scheme == "wss" || scheme == "https";
  parsed.port = parsed.tls ? "443" : "80";
  absl::string_view rest = absl::string_view(url).substr(colon + 3);
  rest = rest.substr(0, rest.find_first_of("/?#"));
  if (absl::StrContains(rest, "@")) return absl::InvalidArgumentError("credentials do not belong into the URL");
  auto at = ParseHostPort(std::string_view(rest.data(), rest.size()));
  if (!at.ok()) return absl::InvalidArgumentError(absl::StrCat(invalid.message(), ": ", at.status().message()));
  if (at->port == 0) return absl::InvalidArgumentError(absl::StrCat(invalid.message(), ": its port is 0"));
  parsed.host = std::move(at->host);
  if (at->port) parsed.port = std::to_string(*at->port);
  return parsed;
}

absl::StatusOr<HttpReply> HttpAsk(const EdgeUrl& url, const HttpRequest& request, const std::string& ca_file,
                                  Duration timeout) {
  Connection connection(timeout);
  if (const auto error = connection.Connect(url, ca_file)) return StatusOf(error);
  if (request.trusted_only && !connection.trouble().empty()) {
    return absl::PermissionDeniedError(absl::StrCat("its certificate is not trusted: ", connection.trouble()));
  }
  // HTTP/1.0: the end of the answer is the end of the connection.
  const std::string length = request.body.empty() ? "" : absl::StrCat("Content-Length: ", request.body.size(), "\r\n");
  if (const auto error =
          connection.Write(absl::StrCat(request.method, " ", request.path, " HTTP/1.0\r\nHost: ", url.Address(), "\r\n",
                                        request.headers, length, "\r\n", request.body))) {
    return StatusOf(error);
  }
  std::string text;
  if (const auto error = connection.ReadAll(&text)) return StatusOf(error);
  const size_t head_end = text.find("\r\n\r\n");
  HttpReply reply;
  if (!absl::StartsWith(text, "HTTP/1.") || head_end == std::string::npos ||
      !absl::SimpleAtoi(text.substr(0, head_end).substr(9, 3), &reply.status)) {
    return absl::InternalError("what answers does not speak HTTP");
  }
  reply.body = text.substr(head_end + 4);
  connection.DescribeCertificate(&reply);
  return reply;
}

absl::StatusOr<HttpReply> HttpGet(const EdgeUrl& url, const std::string& path, const std::string& ca_file,
                                  Duration timeout) {
  HttpRequest request;
  request.path = path;
  return HttpAsk(url, request, ca_file, timeout);
}

}  // namespace toolwire

// An HTTP request on its way in, as the agents' port and the Prometheus port read it.
#ifndef TOOLWIRE_COMMON_PROCESS_INCOMING_REQUEST_H_
#define TOOLWIRE_COMMON_PROCESS_INCOMING_REQUEST_H_

#include <cstddef>
#include <websocketpp/http/request.hpp>

#include "common/base/request_head.h"

namespace toolwire {

// websocketpp's parser with the rules of RFC 9112 that it does not know: those of RequestHead; the version is
// HTTP/1.0 or HTTP/1.1; a request of HTTP/1.1 names its host, an older one need not; lengths are numbers and do not differ. A target
// in absolute form is read as the path and query in it.
class IncomingRequest : public websocketpp::http::parser::request {
 public:
  // How many of the bytes were the request's. Throws websocketpp::http::exception if it is none that is answered.
  size_t consume(const char* bytes, size_t size);

 protected:
  const RequestHead& head() const { return head_; }

 private:
  void CheckHead();

  RequestHead head_;
  bool checked_ = false;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_PROCESS_INCOMING_REQUEST_H_

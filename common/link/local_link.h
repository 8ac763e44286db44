// A link within one process: a frame is received by the thread that sends it, before Send returns.
#ifndef TOOLWIRE_COMMON_LINK_LOCAL_LINK_H_
#define TOOLWIRE_COMMON_LINK_LOCAL_LINK_H_

#include <functional>
#include <utility>

#include "common/link/relay_port.h"

namespace toolwire {

class LocalToEdge final : public ToEdge {
 public:
  explicit LocalToEdge(std::function<void(v1::ControlFrame&&)> receive) : receive_(std::move(receive)) {}
  bool Send(v1::ControlFrame&& frame) override {
    receive_(std::move(frame));
    return true;
  }

 private:
  const std::function<void(v1::ControlFrame&&)> receive_;
};

class LocalToControl final : public ToControl {
 public:
  explicit LocalToControl(std::function<void(v1::EdgeFrame&&)> receive) : receive_(std::move(receive)) {}
  void Send(v1::EdgeFrame&& frame) override { receive_(std::move(frame)); }

 private:
  const std::function<void(v1::EdgeFrame&&)> receive_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_LINK_LOCAL_LINK_H_

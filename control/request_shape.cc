// Reads the tags of a message, and of the calls in it, and skips what is behind them. A message inside that is no
// protobuf is skipped as a whole: the parser will find it, and what follows counts as well.
#include "control/request_shape.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {
namespace {

using google::protobuf::internal::WireFormatLite;

// A call has at most ten fields, a future one may have more. Unknown ones take some 40 bytes of memory each.
constexpr size_t kFieldsMax = 64, kFieldsOfCallMax = 16;

class Walker {
 public:
  Walker(google::protobuf::io::ZeroCopyInputStream* message, const RequestBounds& bounds)
      : in_(message), bounds_(bounds) {}

  void Dispatch() {
    Fields([this](int number, WireFormatLite::WireType type) {
      if (number == v1::DispatchRequest::kCancelsFieldNumber) return Cancels(type);
      ++fields_;
      if (number != v1::DispatchRequest::kCallsFieldNumber || !IsMessage(type)) return Skip(type);
      if (++calls_ > bounds_.calls_max) return End(Shape::kManyCalls);
      return Message([this] { OneOfDispatch(); });
    });
  }
  void Call() {
    calls_ = 1;
    Request();
  }
  void Watch() {
    Fields([this](int number, WireFormatLite::WireType type) {
      if (number != v1::WatchAgentsRequest::kUserIdsFieldNumber) {
        ++fields_;
      } else if (++users_ > bounds_.users_max) {
        return End(Shape::kManyUsers);
      }
      return Skip(type);
    });
  }

  void Follow() {
    Fields([this](int number, WireFormatLite::WireType type) {
      const bool add = number == v1::FollowRequest::kAddFieldNumber;
      if (!add && number != v1::FollowRequest::kRemoveFieldNumber) {
        ++fields_;
      } else if (++(add ? users_ : removed_) > bounds_.users_max) {
        return End(Shape::kManyUsers);
      }
      return Skip(type);
    });
  }

  bool has_params() const { return params_ > 0; }
  Shape shape() const {
    if (ended_) return shape_;
    return fields_ > kFieldsMax + kFieldsOfCallMax * calls_ ? Shape::kManyFields : shape_;
  }

 private:
  static bool IsMessage(WireFormatLite::WireType type) { return type == WireFormatLite::WIRETYPE_LENGTH_DELIMITED; }

  // Calls `field` with each field until it returns false or the message, or the part of it, ends.
  template <typename Field>
  void Fields(Field&& field) {
    while (!ended_) {
      const uint32_t tag = in_.ReadTag();
      if (tag == 0 || !field(WireFormatLite::GetTagFieldNumber(tag), WireFormatLite::GetTagWireType(tag))) return;
      if (fields_ > kFieldsMax + kFieldsOfCallMax * bounds_.calls_max) End(Shape::kManyFields);
    }
  }

  void OneOfDispatch() {
    params_ = 0;
    Fields([this](int number, WireFormatLite::WireType type) {
      ++fields_;
      if (number != v1::DispatchCall::kCallFieldNumber || !IsMessage(type)) return Skip(type);
      return Message([this] { Request(); });
    });
    if (params_ <= bounds_.hand_form_bytes_max) all_params_ += params_;
    if (all_params_ > bounds_.message_params_bytes_max()) End(Shape::kManyParams);
  }

  void Request() {
    Fields([this](int number, WireFormatLite::WireType type) {
      ++fields_;
      const bool params = number == v1::CallToolRequest::kParamsFieldNumber;
      if (!IsMessage(type) || (!params && number != v1::CallToolRequest::kTimeoutFieldNumber)) return Skip(type);
      uint32_t length = 0;
      if (!in_.ReadVarint32(&length)) return false;
      if (!params) fields_ += length / 2;  // It has two, or ones that are unknown.
      params_ += params ? length : 0;
      if (params_ > bounds_.hand_form_bytes_max) shape_ = Shape::kLargeParams;
      return in_.Skip(static_cast<int>(length));
    });
  }

  bool Cancels(WireFormatLite::WireType type) {
    uint64_t id = 0;
    if (!IsMessage(type)) return ++cancels_ > bounds_.cancels_max ? End(Shape::kManyCancels) : Skip(type);
    return Message([&] {
      while (in_.BytesUntilLimit() > 0 && in_.ReadVarint64(&id)) {
        if (++cancels_ > bounds_.cancels_max) return void(End(Shape::kManyCancels));
      }
    });
  }

  template <typename Read>
  bool Message(Read&& read) {
    uint32_t length = 0;
    if (!in_.ReadVarint32(&length)) return false;
    const auto limit = in_.PushLimit(static_cast<int>(length));
    read();
    const int left = in_.BytesUntilLimit();
    const bool whole = !ended_ && (left <= 0 || in_.Skip(left));
    in_.PopLimit(limit);
    return whole;
  }

  bool Skip(WireFormatLite::WireType type) {
    uint64_t value = 0;
    uint32_t length = 0;
    switch (type) {
      case WireFormatLite::WIRETYPE_VARINT:
        return in_.ReadVarint64(&value);
      case WireFormatLite::WIRETYPE_FIXED64:
        return in_.Skip(8);
      case WireFormatLite::WIRETYPE_FIXED32:
        return in_.Skip(4);
      case WireFormatLite::WIRETYPE_LENGTH_DELIMITED:
        return in_.ReadVarint32(&length) && in_.Skip(static_cast<int>(length));
      default:
        return End(Shape::kManyFields);  // A group, which none of these messages has, and may hold anything.
    }
  }

  bool End(Shape shape) {
    ended_ = true;
    shape_ = shape;
    return false;
  }

  google::protobuf::io::CodedInputStream in_;
  const RequestBounds& bounds_;
  Shape shape_ = Shape::kFine;
  bool ended_ = false;
  size_t calls_ = 0, cancels_ = 0, users_ = 0, removed_ = 0, fields_ = 0;
  size_t params_ = 0;      // Bytes, of one call.
  size_t all_params_ = 0;  // Of the calls that are parsed.
};

}  // namespace

Shape ShapeOfCall(google::protobuf::io::ZeroCopyInputStream* message, const RequestBounds& bounds) {
  Walker walker(message, bounds);
  walker.Call();
  return walker.shape();
}

bool HasParams(google::protobuf::io::ZeroCopyInputStream* message, const RequestBounds& bounds) {
  Walker walker(message, bounds);
  walker.Call();
  return walker.has_params();
}

Shape ShapeOfDispatch(google::protobuf::io::ZeroCopyInputStream* message, const RequestBounds& bounds) {
  Walker walker(message, bounds);
  walker.Dispatch();
  return walker.shape();
}

Shape ShapeOfWatch(google::protobuf::io::ZeroCopyInputStream* message, const RequestBounds& bounds) {
  Walker walker(message, bounds);
  walker.Watch();
  return walker.shape();
}

Shape ShapeOfFollow(google::protobuf::io::ZeroCopyInputStream* message, const RequestBounds& bounds) {
  Walker walker(message, bounds);
  walker.Follow();
  return walker.shape();
}

}  // namespace toolwire

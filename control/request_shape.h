// What a caller's message holds, before it is parsed: repeated fields cost a caller two bytes each, and control a
// hundred times that once they are objects.
#ifndef TOOLWIRE_CONTROL_REQUEST_SHAPE_H_
#define TOOLWIRE_CONTROL_REQUEST_SHAPE_H_

#include <google/protobuf/io/zero_copy_stream.h>

#include <algorithm>
#include <cstddef>

namespace toolwire {

// What one message may hold.
struct RequestBounds {
  size_t calls_max = 0;
  size_t cancels_max = 0;
  size_t users_max = 0;            // Of WatchAgentsRequest; of FollowRequest in each field.
  size_t hand_form_bytes_max = 0;  // `params` of one call; of all together four times as much.

  // They take a thread some 12 ms. Those of a call that is refused for them are not parsed, and do not count.
  size_t message_params_bytes_max() const { return 4 * hand_form_bytes_max; }
  // A message that is not larger cannot be past any of them, and needs no look.
  size_t plain_bytes_max() const { return std::min({2 * calls_max, cancels_max, 2 * users_max, hand_form_bytes_max}); }
};

enum class Shape {
  kFine,         // Or no protobuf message at all, which the parser finds.
  kLargeParams,  // A call's `params` are too large; the rest of the message is fine.
  kManyCalls,
  kManyCancels,
  kManyParams,
  kManyUsers,
  kManyFields,  // Repeated or unknown fields far beyond what such a message has.
};

// Walks the tags of a message, in nanoseconds each and without memory.
Shape ShapeOfCall(google::protobuf::io::ZeroCopyInputStream* message, const RequestBounds& bounds);
Shape ShapeOfDispatch(google::protobuf::io::ZeroCopyInputStream* message, const RequestBounds& bounds);
// Whether the call has `params`, the form for use by hand.
bool HasParams(google::protobuf::io::ZeroCopyInputStream* message, const RequestBounds& bounds);
Shape ShapeOfWatch(google::protobuf::io::ZeroCopyInputStream* message, const RequestBounds& bounds);
Shape ShapeOfFollow(google::protobuf::io::ZeroCopyInputStream* message, const RequestBounds& bounds);

}  // namespace toolwire

#endif  // TOOLWIRE_CONTROL_REQUEST_SHAPE_H_

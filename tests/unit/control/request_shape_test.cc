#include "control/request_shape.h"

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <gtest/gtest.h>

#include <string>

#include "toolwire/v1/dispatch.pb.h"

namespace toolwire {
namespace {

const RequestBounds kBounds{10, 20, 30, 1000};

using Look = Shape (*)(google::protobuf::io::ZeroCopyInputStream*, const RequestBounds&);
Shape ShapeOf(Look look, const std::string& bytes) {
  google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()), 7);  // In pieces.
  return look(&stream, kBounds);
}
Shape Dispatch(const std::string& bytes) { return ShapeOf(ShapeOfDispatch, bytes); }
Shape Dispatch(const v1::DispatchRequest& request) { return Dispatch(request.SerializeAsString()); }

std::string Times(int count, const std::string& text) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}
std::string FieldOfAnyLength(int number, const std::string& bytes) {
  std::string field(1, static_cast<char>(number << 3 | 2));
  for (size_t length = bytes.size();; length >>= 7) {
    field += static_cast<char>((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
    if (length <= 0x7f) return field + bytes;
  }
}
const std::string kEmptyCall = FieldOfAnyLength(1, "");
const std::string kUnknown("\x78\x01", 2);  // Field 15.

TEST(RequestShapeTest, CallsOfAMessageAreCountedBeforeTheyAreParsed) {
  EXPECT_EQ(Dispatch(Times(10, kEmptyCall)), Shape::kFine);
  EXPECT_EQ(Dispatch(Times(11, kEmptyCall)), Shape::kManyCalls);
}

TEST(RequestShapeTest, CancelsAreCountedPackedOrNot) {
  v1::DispatchRequest request;
  for (int i = 0; i < 20; ++i) request.add_cancels(uint64_t{1} << (3 * i));
  EXPECT_EQ(Dispatch(request), Shape::kFine);
  request.add_cancels(0);
  EXPECT_EQ(Dispatch(request), Shape::kManyCancels);
  EXPECT_EQ(Dispatch(Times(20, "\x10\x05")), Shape::kFine);
  EXPECT_EQ(Dispatch(Times(21, "\x10\x05")), Shape::kManyCancels);
}

TEST(RequestShapeTest, UsersThatAreWatchedAreCounted) {
  EXPECT_EQ(ShapeOf(ShapeOfWatch, Times(30, FieldOfAnyLength(1, ""))), Shape::kFine);
  EXPECT_EQ(ShapeOf(ShapeOfWatch, Times(31, FieldOfAnyLength(1, ""))), Shape::kManyUsers);
  for (const int field : {1, 2}) {
    EXPECT_EQ(ShapeOf(ShapeOfFollow, Times(30, FieldOfAnyLength(field, ""))), Shape::kFine);
    EXPECT_EQ(ShapeOf(ShapeOfFollow, Times(31, FieldOfAnyLength(field, ""))), Shape::kManyUsers);
  }
  EXPECT_EQ(ShapeOf(ShapeOfFollow, Times(30, FieldOfAnyLength(1, "") + FieldOfAnyLength(2, ""))), Shape::kFine);
}

TEST(RequestShapeTest, ParamsOfOneCallAreMeasuredOverAllTheirParts) {
  const auto call = [](const std::string& fields) { return FieldOfAnyLength(1, FieldOfAnyLength(2, fields)); };
  const std::string half = FieldOfAnyLength(4, std::string(500, 'x'));
  EXPECT_EQ(Dispatch(call(half + half) + call(half)), Shape::kFine);
  EXPECT_EQ(Dispatch(call(half + half + FieldOfAnyLength(4, "x")) + call(half)), Shape::kLargeParams);
  EXPECT_EQ(Dispatch(call(half + half + FieldOfAnyLength(4, "x")) + Times(10, kEmptyCall)), Shape::kManyCalls)
      << "the worst counts";
  EXPECT_EQ(ShapeOf(ShapeOfCall, half + half), Shape::kFine);
  EXPECT_EQ(ShapeOf(ShapeOfCall, half + half + FieldOfAnyLength(4, "x")), Shape::kLargeParams);
  EXPECT_EQ(ShapeOf(ShapeOfCall, FieldOfAnyLength(3, std::string(5000, 'x'))), Shape::kFine)
      << "params_json is measured elsewhere";
}

TEST(RequestShapeTest, ParamsAreMeasuredOverAllCallsThatAreParsed) {
  const auto call = [](size_t params) {
    return FieldOfAnyLength(1, FieldOfAnyLength(2, FieldOfAnyLength(4, std::string(params, 'x'))));
  };
  EXPECT_EQ(Dispatch(Times(4, call(1000))), Shape::kFine);
  EXPECT_EQ(Dispatch(Times(4, call(1000)) + call(1)), Shape::kManyParams);
  EXPECT_EQ(Dispatch(call(5000) + call(1000)), Shape::kLargeParams) << "those are refused by themselves";
}

TEST(RequestShapeTest, RepeatedAndUnknownFieldsAreFew) {
  EXPECT_EQ(ShapeOf(ShapeOfCall, Times(80, kUnknown)), Shape::kFine);
  EXPECT_EQ(ShapeOf(ShapeOfCall, Times(81, kUnknown)), Shape::kManyFields);
  EXPECT_EQ(ShapeOf(ShapeOfWatch, Times(65, kUnknown)), Shape::kManyFields);
  EXPECT_EQ(Dispatch(Times(65, kUnknown)), Shape::kManyFields);
  EXPECT_EQ(Dispatch(FieldOfAnyLength(1, Times(100, kUnknown))), Shape::kManyFields);
  EXPECT_EQ(Dispatch(FieldOfAnyLength(1, FieldOfAnyLength(2, Times(100, kUnknown)))), Shape::kManyFields);
  EXPECT_EQ(ShapeOf(ShapeOfCall, FieldOfAnyLength(6, Times(100, kUnknown))), Shape::kManyFields) << "in the timeout";
  EXPECT_EQ(ShapeOf(ShapeOfCall, "\x7b\x7c"), Shape::kManyFields) << "a group";
}

TEST(RequestShapeTest, WhatFollowsACallThatCannotBeReadCountsAsWell) {
  EXPECT_EQ(Dispatch(FieldOfAnyLength(1, "\x0a\x7f") + Times(9, kEmptyCall)), Shape::kFine);
  EXPECT_EQ(Dispatch(FieldOfAnyLength(1, "\x0a\x7f") + Times(10, kEmptyCall)), Shape::kManyCalls);
  EXPECT_EQ(Dispatch(FieldOfAnyLength(1, FieldOfAnyLength(2, std::string(1, '\0'))) + Times(10, kEmptyCall)),
            Shape::kManyCalls);
  EXPECT_EQ(Dispatch("\x0a\x7f"), Shape::kFine) << "the parser finds it";
}

TEST(RequestShapeTest, SmallMessageNeedsNoLook) {
  EXPECT_EQ(kBounds.plain_bytes_max(), 20u);
  EXPECT_EQ((RequestBounds{10, 20, 30, 5}).plain_bytes_max(), 5u);
}

}  // namespace
}  // namespace toolwire

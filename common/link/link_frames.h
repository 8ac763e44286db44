// What frames are made of: the items that a link says one by one while it cannot say a frame whole.
#ifndef TOOLWIRE_COMMON_LINK_LINK_FRAMES_H_
#define TOOLWIRE_COMMON_LINK_LINK_FRAMES_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/link/record_sender.h"
#include "toolwire/v1/relay.pb.h"

namespace toolwire {

uint64_t PayerOf(std::string_view user_id);

// Each call is an item, its call id the ref, its user the payer; it expires with its time-out, counted from `now`. All
// else is words.
std::vector<LinkItem> ItemsOf(v1::ControlFrame&& frame, MonoTime now);

// Each answer is an item, its call id the ref, its session the payer; each stray one of its user. All else is words.
std::vector<LinkItem> ItemsOf(v1::EdgeFrame&& frame);

}  // namespace toolwire

#endif  // TOOLWIRE_COMMON_LINK_LINK_FRAMES_H_

#include "common/wire/names.h"

#include "common/base/json_text.h"
#include "common/base/shown_text.h"

namespace toolwire {

static_assert(kNameBytesMax == 256, "a sentence below has the number");

const char* CheckRequestId(std::string_view request_id) {
  if (request_id.size() > kNameBytesMax) return "is longer than 256 bytes";
  if (!json::IsUtf8(request_id)) return "is not UTF-8 text";
  return nullptr;
}

const char* CheckToolName(std::string_view tool) {
  if (tool.empty()) return "must not be empty";
  return CheckRequestId(tool);
}

const char* CheckUserId(std::string_view user_id) {
  if (const char* problem = CheckToolName(user_id)) return problem;
  return IsShownAsItIs(user_id) ? nullptr : "must not contain control characters";
}

const char* CheckServerId(std::string_view server_id) { return CheckUserId(server_id); }

void CutName(std::string* name) {
  if (!json::IsUtf8(*name)) return name->clear();
  if (name->size() <= kNameBytesMax) return;
  size_t size = kNameBytesMax;
  while (size > 0 && (static_cast<unsigned char>((*name)[size]) & 0xC0) == 0x80) --size;
  name->resize(size);
}

}  // namespace toolwire

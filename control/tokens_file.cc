#include "control/tokens_file.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/log.h"
#include "common/base/sha256.h"

namespace toolwire {
namespace {

// Tells one content or error from every other one.
std::string NameOf(const absl::StatusOr<std::string>& content) {
  if (!content.ok()) return absl::StrCat("error: ", content.status().message());
  const Sha256Digest digest = Sha256(*content);
  return std::string(digest.begin(), digest.end());
}

}  // namespace

TokensFile::Reader TokensFile::TokensOf(CallerAuth& auth) {
  return {"tokens",
          "tokens taken",
          "token file not taken, the tokens before stay",
          kTokensFileBytesMax,
          [&auth](std::string_view content) { return auth.Take(content); },
          [&auth] { return auth.tokens(); },
          &auth.counters().not_taken};
}

TokensFile::Reader TokensFile::KeysOf(JwtAuth& auth) {
  const auto take = [&auth](std::string_view content) {
    std::vector<std::string> skipped;
    absl::Status taken = auth.Take(content, &skipped);
    if (!skipped.empty()) log::Info("some keys are not used", {{"why", absl::StrJoin(skipped, "; ")}});
    return taken;
  };
  return {"keys",
          "keys taken",
          "JWKS file not taken, the keys before stay",
          kJwksBytesMax,
          take,
          [&auth] { return auth.keys(); },
          &auth.counters().not_taken};
}

absl::Status TokensFile::Take(std::string_view content) {
  absl::Status taken = reader_.take(content);
  if (taken.ok()) log::Info(reader_.taken, {{"file", file_.path()}, {reader_.what, reader_.count()}});
  return taken;
}

absl::Status TokensFile::Load() {
  const absl::StatusOr<std::string> content = file_.Read();
  if (!content.ok()) return content.status();
  seen_ = NameOf(content);
  const absl::Status taken = Take(*content);
  if (taken.ok()) return taken;
  return absl::InvalidArgumentError(absl::StrCat(file_.path(), ": ", taken.message()));
}

bool TokensFile::Look(bool now) {
  if (!changed_ && !file_.MayHaveChanged()) return false;
  const absl::StatusOr<std::string> content = file_.Read();
  const std::string name = NameOf(content);
  if (name == seen_) {
    changed_.reset();
    return false;
  }
  if (!now && changed_ != name) {
    changed_ = name;
    return false;
  }
  changed_.reset();
  seen_ = name;
  if (!content.ok()) reader_.not_taken->Add();
  const absl::Status taken = content.ok() ? Take(*content) : content.status();
  if (taken.ok()) return true;
  log::Error(reader_.refused, {{"file", file_.path()}, {"problem", std::string(taken.message())}});
  return false;
}

}  // namespace toolwire

// All files are read together, and compared by a digest with those that are in use: whoever replaces a certificate and
// its key replaces two files, between whose writes they do not fit, and a chain or a CA's file that is being written
// may end between two certificates. So a change counts at the second look that finds the same. What was not taken is
// tried again at each look, and is logged and counted once for each reason.
#include "common/tls/tls_files.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/sha256.h"
#include "common/tls/tls_context.h"

namespace toolwire {
namespace {

constexpr int64_t kDaySeconds = 86400;
// Lines that warn of the expiry begin so long before it, and come once a day.
constexpr int64_t kWarnBefore = 7 * kDaySeconds;

std::string DigestOf(const std::vector<std::string>& contents) {
  std::string all;
  for (const std::string& one : contents) {
    const Sha256Digest digest = Sha256(one);
    all.append(digest.begin(), digest.end());
  }
  return all;
}

void Wipe(std::vector<std::string>* contents) {
  for (std::string& one : *contents) OPENSSL_cleanse(one.data(), one.size());
}

}  // namespace

void TlsCounters::Failed(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::kNone:
      return;
    case TlsFailure::kNotTls:
      return not_tls.Add();
    case TlsFailure::kEnded:
      return ended.Add();
    case TlsFailure::kProtocol:
      return protocol.Add();
    case TlsFailure::kPeerRefuses:
      return peer_refuses.Add();
    case TlsFailure::kPeerCertificate:
      return peer_certificate.Add();
    case TlsFailure::kTooMuch:
      return too_much.Add();
  }
}

TlsFiles::TlsFiles(TlsOptions options, const Clock& clock) : options_(std::move(options)), clock_(clock) {
  for (const std::string* path :
       {&options_.certificate_file, &options_.key_file, &options_.ca_file, &options_.ticket_keys_file}) {
    if (!path->empty()) files_.emplace_back(*path);
  }
  if (options_.side == TlsOptions::Side::kServer && options_.ticket_keys_file.empty()) {
    own_ticket_keys_.resize(1);
    RAND_priv_bytes(own_ticket_keys_[0].data(), static_cast<int>(own_ticket_keys_[0].size()));
  }
}

absl::StatusOr<std::unique_ptr<TlsFiles>> TlsFiles::Load(TlsOptions options, const Clock& clock) {
  std::unique_ptr<TlsFiles> files(new TlsFiles(std::move(options), clock));
  auto contents = files->Read();
  if (!contents.ok()) return contents.status();
  auto context = files->Build(*contents);
  files->digest_ = DigestOf(*contents);
  Wipe(&*contents);
  if (!context.ok()) return context.status();
  MutexLock lock(files->mu_);
  files->current_ = *std::move(context);
  lock.Unlock();
  return files;
}

std::shared_ptr<const TlsContext> TlsFiles::Current() const {
  MutexLock lock(mu_);
  return current_;
}

absl::StatusOr<std::vector<std::string>> TlsFiles::Read() {
  std::vector<std::string> contents;
  for (WatchedFile& file : files_) {
    auto content = file.Read();
    if (!content.ok()) {
      Wipe(&contents);
      return content.status();
    }
    contents.push_back(*std::move(content));
  }
  return contents;
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsFiles::Build(const std::vector<std::string>& contents) const {
  TlsContents named;
  auto next = contents.begin();
  if (!options_.certificate_file.empty()) named.certificate = *next++;
  if (!options_.key_file.empty()) named.key = *next++;
  if (!options_.ca_file.empty()) named.ca = *next++;
  if (!options_.ticket_keys_file.empty()) named.ticket_keys = *next++;
  return MakeTlsContext(options_, named, own_ticket_keys_, clock_.WallMs() / 1000);
}

void TlsFiles::Look(bool now) {
  WarnOfExpiry();
  const bool may_differ =
      std::any_of(files_.begin(), files_.end(), [](const WatchedFile& file) { return file.MayHaveChanged(); });
  if (!now && !may_differ && bad_looks_ == 0 && changed_.empty()) return;
  auto contents = Read();
  if (!contents.ok()) return NotTaken(std::string(contents.status().message()), now);
  const std::string digest = DigestOf(*contents);
  if (digest == digest_) {
    Wipe(&*contents);
    return Settled();
  }
  if (!now && digest != changed_) {
    changed_ = digest;
    return Wipe(&*contents);
  }
  auto made = Build(*contents);
  Wipe(&*contents);
  if (!made.ok()) return NotTaken(std::string(made.status().message()), /*at_once=*/true);
  Settled();
  digest_ = digest;
  warned_at_.reset();
  counters_.reloads.Add();
  log::Info("TLS files were read again", {{"port", options_.port}, {"serial", (*made)->serial}});
  MutexLock lock(mu_);
  current_ = *std::move(made);
}

void TlsFiles::Settled() {
  changed_.clear();
  bad_looks_ = 0;
  bad_reason_.clear();
}

void TlsFiles::NotTaken(const std::string& reason, bool at_once) {
  ++bad_looks_;
  if ((bad_looks_ == 1 && !at_once) || reason == bad_reason_) return;
  bad_reason_ = reason;
  counters_.reloads_failed.Add();
  log::Error("TLS files were not taken, the old ones stay", {{"port", options_.port}, {"why", reason}});
}

void TlsFiles::WarnOfExpiry() {
  const auto expires_at = Current()->expires_at;
  const int64_t now = clock_.WallMs() / 1000;
  if (!expires_at || *expires_at - now > kWarnBefore) return;
  if (warned_at_ && now - *warned_at_ < kDaySeconds) return;
  warned_at_ = now;
  const bool expired = *expires_at < now;
  log::Write(expired ? log::Level::kError : log::Level::kWarn,
             expired ? "TLS certificate has expired" : "TLS certificate expires soon",
             {{"port", options_.port}, {"seconds_left", *expires_at - now}});
}

void TlsFiles::AddSamples(std::vector<Sample>* out) const {
  const size_t first = out->size();
  counters_.AddSamples(out);
  if (const auto expires_at = Current()->expires_at) {
    AddGauge(
        out, "toolwire_tls_certificate_expiry_seconds",
        "Seconds until the first certificate of the chain in use expires, or the last of the CAs in use; less than 0: "
        "it has.",
        static_cast<double>(*expires_at) - static_cast<double>(clock_.WallMs()) / 1000);
  }
  for (size_t i = first; i < out->size(); ++i) (*out)[i].labels.emplace_back("port", options_.port);
}

}  // namespace toolwire

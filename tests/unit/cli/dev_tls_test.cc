#include "cli/dev_tls.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/tls/certificate_maker.h"
#include "common/tls/tls_files.h"
#include "control/tokens.h"
#include "tests/fakes/temp_dir.h"

namespace toolwire {
namespace {

constexpr int64_t kYear = 365 * 86400;

class DevTlsTest : public ::testing::Test {
 protected:
  static std::string Content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static mode_t ModeOf(const std::string& path) {
    struct stat found {};
    EXPECT_EQ(stat(path.c_str(), &found), 0) << path;
    return found.st_mode & 07777;
  }
  DevTls Prepare(int64_t years_later = 0, const std::string& listen_host = "127.0.0.1", bool wants_token = true) {
    auto made = PrepareDevTls(data_dir_, listen_host, wants_token, now_ + years_later * kYear);
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *std::move(made) : DevTls();
  }

  const TempDir directory_;
  const std::string data_dir_ = directory_.File("not/there/yet");
  const int64_t now_ = SystemClock().WallMs() / 1000;
};

TEST_F(DevTlsTest, FilesAreForThisUserAlone) {
  const DevTls tls = Prepare();
  EXPECT_EQ(ModeOf(data_dir_), 0700u);
  EXPECT_EQ(ModeOf(data_dir_ + "/tls"), 0700u);
  for (const std::string& file : {tls.key_file, tls.tokens_file, tls.token_file, data_dir_ + "/tls/ca.key"}) {
    EXPECT_EQ(ModeOf(file), 0600u) << file;
  }
}

TEST_F(DevTlsTest, CertificateAndTokenAreOfTheFormsThatServersTake) {
  const DevTls tls = Prepare();
  TlsOptions options;
  options.port = "test";
  options.certificate_file = tls.certificate_file;
  options.key_file = tls.key_file;
  EXPECT_TRUE(TlsFiles::Load(options, SystemClock()).ok());
  const std::string token = Content(tls.token_file);
  ASSERT_EQ(token.back(), '\n');
  const auto lines = ParseTokens(Content(tls.tokens_file));
  ASSERT_TRUE(lines.ok()) << lines.status();
  ASSERT_EQ(lines->size(), 1u);
  EXPECT_EQ(lines->front().digest, Sha256(token.substr(0, token.size() - 1)));
  EXPECT_EQ(lines->front().scopes, static_cast<unsigned>(Scope::kAdmin));
}

TEST_F(DevTlsTest, CaAndTokenStayAndTheCertificateIsNewEachTime) {
  const DevTls first = Prepare();
  const std::string ca = Content(first.ca_file), token = Content(first.token_file);
  const std::string tokens = Content(first.tokens_file), certificate = Content(first.certificate_file);
  const DevTls second = Prepare(5);
  EXPECT_EQ(Content(second.ca_file), ca);
  EXPECT_EQ(Content(second.token_file), token);
  EXPECT_EQ(Content(second.tokens_file), tokens);
  EXPECT_NE(Content(second.certificate_file), certificate);
  EXPECT_EQ(*ExpiryOf(Content(second.certificate_file)), now_ + 6 * kYear);
}

TEST_F(DevTlsTest, CaIsMadeAnewBeforeItEndsEarlierThanItsCertificates) {
  const std::string ca = Content(Prepare().ca_file);
  EXPECT_EQ(*ExpiryOf(ca), now_ + 10 * kYear);
  EXPECT_EQ(Content(Prepare(9).ca_file), ca);
  const DevTls next = Prepare(10);
  EXPECT_NE(Content(next.ca_file), ca);
  EXPECT_EQ(*ExpiryOf(Content(next.ca_file)), now_ + 20 * kYear);
}

TEST_F(DevTlsTest, LostTokenIsReplacedAndOtherLinesStay) {
  const DevTls tls = Prepare();
  std::ofstream(tls.tokens_file) << "shop sha256:" << std::string(64, 'a') << " call";  // Its end is missing, too.
  ASSERT_EQ(unlink(tls.token_file.c_str()), 0);
  Prepare();
  const auto lines = ParseTokens(Content(tls.tokens_file));
  ASSERT_TRUE(lines.ok()) << lines.status();
  ASSERT_EQ(lines->size(), 2u);
  EXPECT_EQ(lines->front().name, "shop");
  EXPECT_EQ(lines->back().name, "dev");
}

TEST_F(DevTlsTest, NoTokenIsMadeIfNoneIsWanted) {
  const DevTls tls = Prepare(0, "127.0.0.1", false);
  EXPECT_EQ(tls.tokens_file, "");
  EXPECT_EQ(tls.token_file, "");
  EXPECT_EQ(Content(data_dir_ + "/tls/tokens"), "");
  EXPECT_EQ(ExplainDevTls(tls, 1, 2).find("token"), std::string::npos);
}

TEST_F(DevTlsTest, HostIsOneUnderWhichItCanBeDialled) {
  for (const char* host : {"127.0.0.1", "0.0.0.0", "::", "localhost"}) EXPECT_EQ(Prepare(0, host).host, "localhost");
  EXPECT_EQ(Prepare(0, "10.1.2.3").host, "10.1.2.3");
  EXPECT_EQ(Prepare(0, "fe80::1%eth0").host, "fe80::1");
  const std::string text = ExplainDevTls(Prepare(0, "::1"), 8082, 50051);
  for (const std::string& part :
       {std::string("--url wss://[::1]:8082 --ca "), std::string("call --address [::1]:50051 --ca "),
        absl::StrCat(" --token-file ", data_dir_, "/tls/token "),
        absl::StrCat("TOKEN=$(cat ", data_dir_, "/tls/token) grpcurl -cacert ", data_dir_, "/tls/ca.crt ")}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in " << text;
  }
  EXPECT_EQ(text.find("Bearer $(cat"), std::string::npos) << "a token is no argument";
}

TEST_F(DevTlsTest, WhatCannotBeReadOrMadeIsNamed) {
  std::ofstream(Prepare().ca_file) << "not a certificate";
  auto made = PrepareDevTls(data_dir_, "127.0.0.1", true, now_);
  EXPECT_EQ(made.status().message(), absl::StrCat(data_dir_, "/tls/ca.crt: no certificate in PEM form"));
  std::ofstream(directory_.File("file")) << "";
  made = PrepareDevTls(directory_.File("file"), "127.0.0.1", true, now_);
  EXPECT_NE(made.status().message().find(absl::StrCat("cannot make ", directory_.File("file"))), std::string::npos);
}

}  // namespace
}  // namespace toolwire

#include "common/tls/tls_files.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "common/tls/openssl_pointers.h"
#include "tests/unit/tls/tls_fixture.h"

namespace toolwire {
namespace {

namespace fs = std::filesystem;

// Wall time that a test sets.
class WallClock final : public Clock {
 public:
  explicit WallClock(int64_t seconds) : seconds_(seconds) {}
  MonoTime Now() const override { return MonoTime(std::chrono::seconds(seconds_)); }
  int64_t WallMs() const override { return seconds_ * 1000; }
  void Advance(int64_t seconds) { seconds_ += seconds; }

 private:
  int64_t seconds_;
};

class TlsFilesTest : public TlsFixture {
 protected:
  void Load() {
    auto loaded = TlsFiles::Load(ServerOptions(), wall_);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    files_ = *std::move(loaded);
  }
  // At what is there and stays so.
  void LookTwice() {
    files_->Look();
    files_->Look();
  }
  std::string Serial() const { return files_->Current()->serial; }
  uint64_t Bad() const { return files_->counters().reloads_failed.value(); }
  double ExpirySeconds() const {
    std::vector<Sample> samples;
    files_->AddSamples(&samples);
    for (const Sample& one : samples) {
      if (one.name == "toolwire_tls_certificate_expiry_seconds") return one.value;
    }
    ADD_FAILURE() << "no such sample";
    return 0;
  }

  WallClock wall_{Now()};
  std::unique_ptr<TlsFiles> files_;
};

TEST_F(TlsFilesTest, PairThatFitsIsLoaded) {
  WritePair(Make({"localhost"}));
  Load();
  EXPECT_FALSE(Serial().empty());
  EXPECT_NEAR(ExpirySeconds(), 100.0 * kHour, 5);
}

TEST_F(TlsFilesTest, WrongFilesAreNamedAtTheStart) {
  const CertificateAndKey good = Make({"localhost"});
  const auto why = [&](const std::string& certificate, const std::string& key) {
    WritePair({certificate, key});
    return WhyNot(ServerOptions(), wall_);
  };
  EXPECT_NE(WhyNot(ServerOptions(), wall_).find("cannot read " + File("server.crt")), std::string::npos);
  EXPECT_NE(why("", good.key).find("server.crt: has no certificate"), std::string::npos);
  EXPECT_NE(why("junk", good.key).find("server.crt: has no certificate"), std::string::npos);
  EXPECT_NE(why(good.certificate.substr(0, 300), good.key).find("server.crt: a certificate that cannot be parsed"),
            std::string::npos);
  EXPECT_NE(why(good.certificate, "junk").find("server.key: not a private key"), std::string::npos);
  EXPECT_NE(why(good.certificate, Make({"other"}).key).find("server.key: is not the key"), std::string::npos);
  EXPECT_NE(why(Make({"a"}, -2 * kHour, -kHour).certificate, good.key).find("is not the key"), std::string::npos);
}

TEST_F(TlsFilesTest, CertificateOutsideItsTimeIsRefusedAtTheStart) {
  WritePair(Make({"localhost"}, -2 * kHour, -kHour));
  EXPECT_NE(WhyNot(ServerOptions(), wall_).find("has expired at 20"), std::string::npos);
  WritePair(Make({"localhost"}, kHour, 2 * kHour));
  EXPECT_NE(WhyNot(ServerOptions(), wall_).find("is not valid before 20"), std::string::npos);
}

TEST_F(TlsFilesTest, EncryptedKeyIsAnErrorAndNobodyIsAskedForAPassphrase) {
  const CertificateAndKey good = Make({"localhost"});
  WritePair({good.certificate, Encrypted(good.key)});
  EXPECT_NE(WhyNot(ServerOptions(), wall_).find("server.key: the key is encrypted"), std::string::npos);
}

// Nobody encrypts certificates; but OpenSSL would ask for their passphrase, too, and the process would wait for it.
TEST_F(TlsFilesTest, EncryptedCertificateIsAnErrorToo) {
  const CertificateAndKey good = Make({"localhost"});
  const auto encrypted = [](std::string text) {
    const std::string begin = "-----BEGIN CERTIFICATE-----\n";
    return text.insert(text.find(begin) + begin.size(),
                       "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\n");
  };
  WritePair({encrypted(good.certificate), good.key});
  EXPECT_NE(WhyNot(ServerOptions(), wall_).find("server.crt: a certificate is encrypted"), std::string::npos);
  Write("ca", encrypted(ca_.certificate));
  EXPECT_NE(WhyNot(ClientOptions(), wall_).find("ca: a certificate is encrypted"), std::string::npos);
}

TEST_F(TlsFilesTest, ChangedPairIsTakenAndConnectionsKeepTheOldOne) {
  WritePair(Make({"localhost"}));
  Load();
  const auto before = files_->Current();
  WritePair(Make({"localhost"}));
  LookTwice();
  EXPECT_NE(Serial(), before->serial);
  EXPECT_EQ(files_->counters().reloads.value(), 1u);
  files_->Look();
  EXPECT_EQ(files_->counters().reloads.value(), 1u) << "nothing has changed since";
  EXPECT_NE(before->ssl.get(), files_->Current()->ssl.get());
}

TEST_F(TlsFilesTest, BadPairLeavesTheOldOneAndIsCountedOnce) {
  WritePair(Make({"localhost"}));
  Load();
  const std::string serial = Serial();
  Write("server.crt", Make({"localhost"}).certificate);
  files_->Look();
  EXPECT_EQ(Bad(), 0u) << "perhaps the key is on its way";
  files_->Look();
  EXPECT_EQ(Bad(), 1u);
  files_->Look();
  EXPECT_EQ(Bad(), 1u);
  EXPECT_EQ(Serial(), serial);
  fs::remove(File("server.key"));
  files_->Look();
  EXPECT_EQ(Bad(), 2u) << "another reason";
  EXPECT_EQ(Serial(), serial);
}

TEST_F(TlsFilesTest, PairIsTakenOnceItsSecondHalfIsThere) {
  WritePair(Make({"localhost"}));
  Load();
  const std::string serial = Serial();
  const CertificateAndKey next = Make({"localhost"});
  Write("server.crt", next.certificate);
  files_->Look();
  Write("server.key", next.key);
  LookTwice();
  EXPECT_NE(Serial(), serial);
  EXPECT_EQ(Bad(), 0u);
}

TEST_F(TlsFilesTest, ChainThatIsBeingWrittenIsNotTakenForAWholeOne) {
  WritePair(Make({"localhost"}));
  Load();
  const auto chain_of = [this] {
    STACK_OF(X509)* chain = nullptr;
    SSL_CTX_get0_chain_certs(files_->Current()->ssl.get(), &chain);
    return sk_X509_num(chain);
  };
  const CertificateAndKey next = Make({"localhost"});
  WritePair(next);
  files_->Look();
  Write("server.crt", next.certificate + Make({"intermediate"}).certificate);
  files_->Look();
  EXPECT_EQ(files_->counters().reloads.value(), 0u) << "perhaps there is more to come";
  files_->Look();
  EXPECT_EQ(files_->counters().reloads.value(), 1u);
  EXPECT_EQ(chain_of(), 1);
  WritePair(Make({"localhost"}));
  files_->Look(/*now=*/true);
  EXPECT_EQ(files_->counters().reloads.value(), 2u) << "somebody says that it is there";
  EXPECT_EQ(Bad(), 0u);
}

TEST_F(TlsFilesTest, BadPairIsReportedAtOnceToWhoAsksForALook) {
  WritePair(Make({"localhost"}));
  Load();
  Write("server.key", "junk");
  files_->Look(/*now=*/true);
  EXPECT_EQ(Bad(), 1u);
}

TEST_F(TlsFilesTest, OldPairThatComesBackIsNoReload) {
  const CertificateAndKey first = Make({"localhost"});
  WritePair(first);
  Load();
  Write("server.key", "junk");
  files_->Look();
  WritePair(first);
  files_->Look();
  files_->Look();
  EXPECT_EQ(Bad(), 0u);
  EXPECT_EQ(files_->counters().reloads.value(), 0u);
}

TEST_F(TlsFilesTest, DirectoryThatIsSwappedByALinkIsANewPair) {
  fs::create_directory(File("first"));
  fs::create_directory(File("second"));
  WritePair(Make({"localhost"}), "first/server");
  WritePair(Make({"localhost"}), "second/server");
  fs::create_symlink("first", File("..data"));
  fs::create_symlink("..data/server.crt", File("server.crt"));
  fs::create_symlink("..data/server.key", File("server.key"));
  Load();
  const std::string serial = Serial();
  fs::create_symlink("second", File("..data_tmp"));
  fs::rename(File("..data_tmp"), File("..data"));
  LookTwice();
  EXPECT_NE(Serial(), serial);
}

TEST_F(TlsFilesTest, CertificateThatIsNotValidYetIsTakenWhenItIs) {
  WritePair(Make({"localhost"}));
  Load();
  const std::string serial = Serial();
  WritePair(Make({"localhost"}, kHour, 200 * kHour));
  files_->Look();
  files_->Look();
  EXPECT_EQ(Serial(), serial);
  EXPECT_EQ(Bad(), 1u);
  wall_.Advance(2 * kHour);
  files_->Look();
  EXPECT_NE(Serial(), serial) << "without another change of the files";
}

TEST_F(TlsFilesTest, ExpiredCertificateIsNotTakenAndTheExpiredOneInUseStays) {
  WritePair(Make({"localhost"}, -kHour, kHour));
  Load();
  const std::string serial = Serial();
  wall_.Advance(2 * kHour);
  EXPECT_LT(ExpirySeconds(), 0);
  files_->Look();
  WritePair(Make({"localhost"}, -kHour, kHour));
  files_->Look(/*now=*/true);
  EXPECT_EQ(Serial(), serial);
  EXPECT_EQ(Bad(), 1u);
}

TEST_F(TlsFilesTest, LastOfTheCasToExpireCountsIfItIsBeforeTheCertificate) {
  const auto ca = [](int64_t hours) { return MakeCa("a CA", Now() - kHour, Now() + hours * kHour)->certificate; };
  const auto load = [this](const std::string& authorities) {
    WritePair(Make({"localhost"}));
    Write("ca", authorities);
    TlsOptions options = ServerOptions();
    options.ca_file = File("ca");
    files_ = *TlsFiles::Load(options, wall_);
    return ExpirySeconds();
  };
  EXPECT_NEAR(load(ca(3)), 3.0 * kHour, 5);
  EXPECT_NEAR(load(ca(3) + ca(50)), 50.0 * kHour, 5) << "the old one and the new one";
  EXPECT_NEAR(load(ca(500)), 100.0 * kHour, 5);
}

TEST_F(TlsFilesTest, FirstOfTheChainToExpireCounts) {
  const CertificateAndKey leaf = Make({"localhost"});
  WritePair({leaf.certificate + Make({"intermediate"}, -kHour, 3 * kHour).certificate, leaf.key});
  Load();
  EXPECT_NEAR(ExpirySeconds(), 3.0 * kHour, 5);
}

TEST_F(TlsFilesTest, CaFileMustHaveCertificates) {
  Write("ca", "junk");
  EXPECT_NE(WhyNot(ClientOptions()).find("/ca: has no certificate"), std::string::npos);
  Write("ca", ca_.certificate + NewCa().certificate);
  EXPECT_EQ(WhyNot(ClientOptions()), "");
}

TEST_F(TlsFilesTest, TicketKeysHaveEightyBytesEachAndThereAreEightAtMost) {
  WritePair(Make({"localhost"}));
  TlsOptions options = ServerOptions();
  options.ticket_keys_file = File("tickets");
  for (const size_t size : {0u, 79u, 81u, 9u * 80}) {
    Write("tickets", std::string(size, 'x'));
    EXPECT_NE(WhyNot(options).find("session ticket keys have 80 bytes each"), std::string::npos) << size;
  }
  for (const size_t size : {80u, 8u * 80}) {
    Write("tickets", std::string(size, 'x'));
    EXPECT_EQ(WhyNot(options), "") << size;
  }
}

TEST_F(TlsFilesTest, SamplesAreLabelledWithThePort) {
  WritePair(Make({"localhost"}));
  Load();
  files_->counters().Failed(TlsFailure::kPeerRefuses);
  std::vector<Sample> samples;
  files_->AddSamples(&samples);
  int refused = 0;
  for (const Sample& one : samples) {
    EXPECT_EQ(one.labels.back(), (std::pair<std::string, std::string>("port", "test"))) << one.name;
    refused += one.labels.front().second == "peer_refuses" && one.value == 1;
  }
  EXPECT_EQ(refused, 1);
}

}  // namespace
}  // namespace toolwire

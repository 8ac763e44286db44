// A CA of the test's own, and certificates of it as files.
#ifndef TOOLWIRE_TESTS_UNIT_TLS_TLS_FIXTURE_H_
#define TOOLWIRE_TESTS_UNIT_TLS_TLS_FIXTURE_H_

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/tls/certificate_maker.h"
#include "common/tls/openssl_pointers.h"
#include "common/tls/tls_files.h"
#include "tests/fakes/temp_dir.h"

namespace toolwire {

class TlsFixture : public ::testing::Test {
 protected:
  static constexpr int64_t kHour = 3600;

  TlsFixture() { Write("ca", ca_.certificate); }

  static CertificateAndKey NewCa() { return *MakeCa("test CA", Now() - kHour, Now() + 1000 * kHour); }
  // By the machine's clock, as OpenSSL looks at it.
  static int64_t Now() { return SystemClock().WallMs() / 1000; }

  CertificateAndKey Make(const std::vector<std::string>& names, int64_t from = -kHour, int64_t until = 100 * kHour) {
    CertificateRequest request;
    request.common_name = "test";
    request.names = names;
    request.is_client = true;
    request.not_before = Now() + from;
    request.not_after = Now() + until;
    return *MakeCertificate(ca_, request);
  }
  std::string File(const std::string& name) const { return directory_.File(name); }
  void Write(const std::string& name, const std::string& content) { std::ofstream(File(name)) << content; }
  void WritePair(const CertificateAndKey& pair, const std::string& name = "server") {
    Write(name + ".crt", pair.certificate);
    Write(name + ".key", pair.key);
  }

  // The same key behind a passphrase.
  static std::string Encrypted(const std::string& key) {
    const OpensslPtr<EVP_PKEY> parsed = ReadPrivateKey(ReadFrom(key).get());
    const OpensslPtr<BIO> text(BIO_new(BIO_s_mem()));
    char passphrase[] = "secret";
    EXPECT_EQ(
        PEM_write_bio_PKCS8PrivateKey(text.get(), parsed.get(), EVP_aes_256_cbc(), nullptr, 0, nullptr, passphrase), 1);
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(text.get(), &bytes);
    return {bytes, static_cast<size_t>(size)};
  }

  TlsOptions ServerOptions() const {
    TlsOptions options;
    options.port = "test";
    options.certificate_file = File("server.crt");
    options.key_file = File("server.key");
    return options;
  }
  TlsOptions ClientOptions() const {
    TlsOptions options;
    options.port = "test";
    options.side = TlsOptions::Side::kClient;
    options.ca_file = File("ca");
    return options;
  }
  // The message of a Load that fails; empty if it does not.
  std::string WhyNot(const TlsOptions& options, const Clock& clock = SystemClock()) {
    const auto files = TlsFiles::Load(options, clock);
    return files.ok() ? "" : std::string(files.status().message());
  }

  const TempDir directory_;
  const CertificateAndKey ca_ = NewCa();
  const SystemClock clock_;
};

}  // namespace toolwire

#endif  // TOOLWIRE_TESTS_UNIT_TLS_TLS_FIXTURE_H_

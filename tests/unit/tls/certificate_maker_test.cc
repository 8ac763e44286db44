#include "common/tls/certificate_maker.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>

#include <string>
#include <vector>

#include "common/tls/openssl_pointers.h"
#include "tests/unit/tls/tls_fixture.h"

namespace toolwire {
namespace {

class CertificateMakerTest : public TlsFixture {
 protected:
  static OpensslPtr<X509> Parse(const std::string& pem) {
    return OpensslPtr<X509>(PEM_read_bio_X509(ReadFrom(pem).get(), nullptr, nullptr, nullptr));
  }
  static OpensslPtr<EVP_PKEY> ParseMadeKey(const std::string& pem) {
    return OpensslPtr<EVP_PKEY>(PEM_read_bio_PrivateKey(ReadFrom(pem).get(), nullptr, nullptr, nullptr));
  }
  // OpenSSL's verdict on `pem` for a purpose, if it trusts only `ca`.
  static int Verify(const std::string& ca, const std::string& pem, int purpose) {
    const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store(X509_STORE_new(), X509_STORE_free);
    const std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)> look(X509_STORE_CTX_new(),
                                                                               X509_STORE_CTX_free);
    const OpensslPtr<X509> trusted = Parse(ca), certificate = Parse(pem);
    X509_STORE_add_cert(store.get(), trusted.get());
    X509_STORE_CTX_init(look.get(), store.get(), certificate.get(), nullptr);
    X509_STORE_CTX_set_purpose(look.get(), purpose);
    X509_verify_cert(look.get());
    return X509_STORE_CTX_get_error(look.get());
  }
};

TEST_F(CertificateMakerTest, CertificateIsVerifiedByItsCaAndByNoOther) {
  const CertificateAndKey made = Make({"localhost"});
  EXPECT_EQ(Verify(ca_.certificate, made.certificate, X509_PURPOSE_SSL_SERVER), X509_V_OK);
  EXPECT_EQ(Verify(NewCa().certificate, made.certificate, X509_PURPOSE_SSL_SERVER),
            X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY)
      << "a CA of the same name";
}

TEST_F(CertificateMakerTest, KeysAreEcdsaOfP256AndBelongToTheirCertificate) {
  const CertificateAndKey made = Make({"localhost"});
  const auto key = ParseMadeKey(made.key);
  ASSERT_TRUE(key);
  char group[64] = "";
  size_t size = 0;
  EXPECT_EQ(EVP_PKEY_get_group_name(key.get(), group, sizeof group, &size), 1);
  EXPECT_STREQ(group, "prime256v1");
  EXPECT_EQ(X509_check_private_key(Parse(made.certificate).get(), key.get()), 1);
  EXPECT_NE(made.key, ca_.key);
}

TEST_F(CertificateMakerTest, NamesAreAlternativeNamesAndTheCommonNameCountsForNothing) {
  const auto made = Parse(Make({"edge.example.com", "*.pods.local", "10.1.2.3", "fd00::1"}).certificate);
  const auto names_host = [&](const char* name) {
    return X509_check_host(made.get(), name, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr) == 1;
  };
  EXPECT_TRUE(names_host("edge.example.com"));
  EXPECT_TRUE(names_host("a.pods.local"));
  EXPECT_FALSE(names_host("test"));
  EXPECT_EQ(X509_check_ip_asc(made.get(), "10.1.2.3", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(made.get(), "fd00::1", 0), 1);
  EXPECT_EQ(X509_check_ip_asc(made.get(), "10.1.2.4", 0), 0);
}

TEST_F(CertificateMakerTest, TextThatIsNoNameIsRefused) {
  for (const char* name : {"", "a b", "a,DNS:b", "a\nb", "email:copy", ".a", "a..b", "*", "*.", "a/b", "ü"}) {
    CertificateRequest request;
    request.names = {name};
    const auto made = MakeCertificate(ca_, request);
    EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST_F(CertificateMakerTest, UsagesAreThoseAskedFor) {
  CertificateRequest request;
  request.not_before = Now() - kHour;
  request.not_after = Now() + kHour;
  const CertificateAndKey server = *MakeCertificate(ca_, request);
  EXPECT_EQ(Verify(ca_.certificate, server.certificate, X509_PURPOSE_SSL_SERVER), X509_V_OK);
  EXPECT_EQ(Verify(ca_.certificate, server.certificate, X509_PURPOSE_SSL_CLIENT), X509_V_ERR_INVALID_PURPOSE);
  request.is_server = false;
  request.is_client = true;
  const CertificateAndKey client = *MakeCertificate(ca_, request);
  EXPECT_EQ(Verify(ca_.certificate, client.certificate, X509_PURPOSE_SSL_SERVER), X509_V_ERR_INVALID_PURPOSE);
  EXPECT_EQ(Verify(ca_.certificate, client.certificate, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
}

TEST_F(CertificateMakerTest, TimesAreThoseAskedFor) {
  EXPECT_EQ(Verify(ca_.certificate, Make({"a"}, -2 * kHour, -kHour).certificate, X509_PURPOSE_SSL_SERVER),
            X509_V_ERR_CERT_HAS_EXPIRED);
  EXPECT_EQ(Verify(ca_.certificate, Make({"a"}, kHour, 2 * kHour).certificate, X509_PURPOSE_SSL_SERVER),
            X509_V_ERR_CERT_NOT_YET_VALID);
}

TEST_F(CertificateMakerTest, ExpiryIsReadBack) {
  EXPECT_EQ(*ExpiryOf(MakeCa("test", 1'000'000'000, 1'234'567'890)->certificate), 1'234'567'890);
  EXPECT_EQ(*ExpiryOf(MakeCa("test", 1'000'000'000, 4'102'444'800)->certificate), 4'102'444'800) << "past 2049";
  EXPECT_EQ(ExpiryOf("junk").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ExpiryOf("").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CertificateMakerTest, AlternativeNamesAreReadBack) {
  const std::vector<std::string> names = {"localhost", "*.example.com", "10.0.0.7", "::1", "fd00::7"};
  EXPECT_EQ(*AlternativeNamesOf(Make(names).certificate), names);
  EXPECT_TRUE(AlternativeNamesOf(ca_.certificate)->empty());
  EXPECT_EQ(AlternativeNamesOf("junk").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CertificateMakerTest, OnlyACaSigns) {
  const CertificateAndKey leaf = Make({"localhost"});
  EXPECT_EQ(MakeCertificate(leaf, {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeCertificate({ca_.certificate, leaf.key}, {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeCertificate({"", ""}, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CertificateMakerTest, EncryptedKeyOfACaIsNamedAndNobodyIsAskedForAPassphrase) {
  const auto made = MakeCertificate({ca_.certificate, Encrypted(ca_.key)}, {});
  EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(std::string(made.status().message()).find("is encrypted"), std::string::npos) << made.status();
}

TEST_F(CertificateMakerTest, SerialNumbersDiffer) {
  const auto one = Parse(Make({"a"}).certificate), other = Parse(Make({"a"}).certificate);
  EXPECT_NE(ASN1_INTEGER_cmp(X509_get0_serialNumber(one.get()), X509_get0_serialNumber(other.get())), 0);
}

}  // namespace
}  // namespace toolwire

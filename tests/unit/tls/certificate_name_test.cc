#include "common/tls/certificate_name.h"

#include <gtest/gtest.h>

#include "tests/unit/tls/tls_fixture.h"

namespace toolwire {
namespace {

using CertificateNameTest = TlsFixture;

TEST_F(CertificateNameTest, AlternativeNamesCountAndTheCommonNameDoesNot) {
  const std::string certificate = Make({"control.test", "*.pods.test", "10.0.0.7", "::1"}).certificate;
  for (const char* name :
       {"control.test", "CONTROL.test", "control.test.", "a.pods.test", "10.0.0.7", "::1", "0:0:0:0:0:0:0:1"}) {
    EXPECT_TRUE(HasAlternativeName(certificate, name)) << name;
  }
  for (const char* name :
       {"test", "", ".", "control.test..", "pods.test", "a.b.pods.test", "10.0.0.8", "::2", "other.test"}) {
    EXPECT_FALSE(HasAlternativeName(certificate, name)) << name;
  }
  EXPECT_FALSE(HasAlternativeName(Make({}).certificate, "test")) << "it has a common name alone";
  EXPECT_FALSE(HasAlternativeName("junk", "control.test"));
}

}  // namespace
}  // namespace toolwire

#include "cli/control_target.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "common/base/flags.h"

namespace toolwire {
namespace {

class ControlTargetTest : public ::testing::Test {
 protected:
  ControlTargetTest() { ForgetEnvironment(); }
  ~ControlTargetTest() override { ForgetEnvironment(); }
  static void ForgetEnvironment() {
    for (const char* name : {"TOOLWIRE_ADDRESS", "TOOLWIRE_TOKEN_FILE", "TOOLWIRE_PLAIN_TOKEN", "TOOLWIRE_TLS",
                             "TOOLWIRE_CA", "TOOLWIRE_CERT", "TOOLWIRE_KEY", "TOOLWIRE_TLS_SERVER_NAME"}) {
      unsetenv(name);
    }
  }
  // What the command line says; empty if all is right.
  std::string Parse(std::vector<const char*> arguments) {
    target_ = ControlTarget();
    flags::CommandLine line("test", "test");
    AddControlTargetFlags(line.app(), &target_);
    arguments.insert(arguments.begin(), "test");
    const auto ending = line.Parse(static_cast<int>(arguments.size()), arguments.data());
    return ending ? ending->err : "";
  }
  bool TlsOf(const std::vector<const char*>& arguments) {
    EXPECT_EQ(Parse(arguments), "");
    return target_.tls.on();
  }

  ControlTarget target_;
};

TEST_F(ControlTargetTest, TlsIsThereIfItIsNamedOrImplied) {
  EXPECT_FALSE(TlsOf({}));
  EXPECT_TRUE(TlsOf({"--tls"}));
  EXPECT_TRUE(TlsOf({"--ca", "ca.crt"}));
  EXPECT_TRUE(TlsOf({"--cert", "a.crt", "--key", "a.key"}));
  EXPECT_TRUE(TlsOf({"--tls-server-name", "control.test"}));
  EXPECT_FALSE(TlsOf({"--no-tls", "--ca", "ca.crt"}));
}

TEST_F(ControlTargetTest, EnvironmentSaysTheSameAndFlagsCountMore) {
  setenv("TOOLWIRE_TLS", "1", 1);
  EXPECT_TRUE(TlsOf({}));
  EXPECT_FALSE(TlsOf({"--no-tls"}));
  setenv("TOOLWIRE_TLS", "false", 1);
  setenv("TOOLWIRE_CA", "ca.crt", 1);
  EXPECT_FALSE(TlsOf({}));
  EXPECT_TRUE(TlsOf({"--tls"}));
  EXPECT_EQ(target_.tls.ca_file, "ca.crt");
  setenv("TOOLWIRE_TLS", "", 1);
  EXPECT_TRUE(TlsOf({}));
  setenv("TOOLWIRE_TLS", "perhaps", 1);
  EXPECT_NE(Parse({}).find("perhaps is neither true nor false"), std::string::npos);
}

TEST_F(ControlTargetTest, NameIsTheHostOfTheAddressOrTheOneThatIsGiven) {
  const auto name_at = [this](const std::string& address) {
    target_.address = address;
    const auto name = ServerNameOf(target_);
    return name.ok() ? *name : std::string(name.status().message());
  };
  EXPECT_EQ(name_at("control.test:50051"), "control.test");
  EXPECT_EQ(name_at("[::1]:50051"), "::1");
  EXPECT_EQ(name_at("dns:///control.test:50051"), "control.test");
  EXPECT_EQ(name_at("ipv4:10.0.0.7:50051"), "10.0.0.7");
  for (const char* address : {"unix:/run/control.sock", "dns://8.8.8.8/control.test:50051", "xds:///control", ":1"}) {
    EXPECT_NE(name_at(address).find("--tls-server-name"), std::string::npos) << address;
  }
  target_.tls.server_name = "other.test";
  EXPECT_EQ(name_at("unix:/run/control.sock"), "other.test");
}

TEST_F(ControlTargetTest, TokenLeavesThisMachineByTlsAloneUnlessSomebodySaysThatItMay) {
  const auto may_leave = [this](const std::string& address) {
    target_.address = address;
    return CheckTokenMayLeave(target_).ok();
  };
  for (const char* address : {"127.0.0.1:1", "127.8.9.1:1", "localhost:1", "[::1]:1", "[::ffff:127.0.0.1]:1",
                              "dns:///localhost:1", "unix:/run/control.sock"}) {
    EXPECT_TRUE(may_leave(address)) << address;
  }
  for (const char* address : {"control.test:1", "10.0.0.7:1", "128.0.0.1:1", "[::2]:1", "localhost.test:1",
                              "127.0.0.1.test:1", "dns://8.8.8.8/localhost:1", "", "xds:///localhost"}) {
    EXPECT_FALSE(may_leave(address)) << address;
  }
  target_.plain_token = true;
  EXPECT_TRUE(may_leave("control.test:1"));
  target_.plain_token = false;
  target_.tls.wanted = true;
  EXPECT_TRUE(may_leave("control.test:1"));
}

TEST_F(ControlTargetTest, RefusalOfTheOtherSideSaysWhatToDo) {
  const auto why = [this](const std::string& error) {
    return ExplainTlsFailure(target_.tls, TlsFailure::kPeerRefuses, error);
  };
  EXPECT_NE(why("tlsv13 alert certificate required").find("give --cert and --key"), std::string::npos);
  EXPECT_NE(why("sslv3 alert handshake failure").find("give --cert and --key"), std::string::npos);
  EXPECT_NE(why("tlsv1 alert no application protocol").find("not that of agents"), std::string::npos);
  EXPECT_EQ(why("tlsv1 alert internal error"), "tlsv1 alert internal error");
  target_.tls.certificate_file = "me.crt";
  EXPECT_EQ(why("tlsv1 alert unknown ca"), "it does not know the CA of me.crt");
  EXPECT_NE(why("sslv3 alert certificate expired").find("does not take the certificate in me.crt"), std::string::npos);
  EXPECT_EQ(why("sslv3 alert handshake failure"), "sslv3 alert handshake failure");
}

TEST_F(ControlTargetTest, OtherFailuresSayWhatWasSeen) {
  const auto why = [this](TlsFailure failure, const std::string& error) {
    return ExplainTlsFailure(target_.tls, failure, error);
  };
  EXPECT_NE(why(TlsFailure::kNotTls, "x").find("does not speak TLS"), std::string::npos);
  EXPECT_EQ(why(TlsFailure::kEnded, "closed"), "no TLS: closed");
  EXPECT_NE(why(TlsFailure::kPeerCertificate, "the server's certificate does not name a").find("--tls-server-name"),
            std::string::npos);
  EXPECT_EQ(why(TlsFailure::kPeerCertificate, "the server's certificate has expired"),
            "the server's certificate has expired");
  EXPECT_EQ(why(TlsFailure::kProtocol, "unsupported protocol"), "unsupported protocol");
}

}  // namespace
}  // namespace toolwire

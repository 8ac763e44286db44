#include "common/store/pg_url.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "tests/support/command_line.h"

namespace toolwire {
namespace {

using Server = PgProtection::Server;

class PgUrlTest : public ::testing::Test {
 protected:
  // Whatever the environment of the test run holds; and no files of its user.
  void SetUp() override {
    for (const char* name : {"PGSSLMODE", "PGSSLROOTCERT", "PGHOST", "PGHOSTADDR", "PGSERVICE", "PGREQUIRESSL"})
      unsetenv(name);
    std::string directory = ::testing::TempDir() + "pg_url_XXXXXX";
    ASSERT_NE(mkdtemp(directory.data()), nullptr);
    directory_ = directory;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = directory_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
    return path;
  }
  PgProtection Of(const std::string& url) {
    const auto settings = ReadPgUrl(url);
    EXPECT_TRUE(settings.ok()) << url << settings.status();
    return settings.ok() ? ProtectionOf(*settings) : PgProtection();
  }
  std::string Risks(const std::string& url) { return RisksOf(Of(url)); }

  std::string directory_;
};

TEST_F(PgUrlTest, ModesWithoutChecksAreRisksAndVerifyFullIsNone) {
  const EnvironmentVariable home("HOME", directory_.c_str());
  const std::string at = "postgresql://user:hunter2@db.example/x?sslmode=";
  EXPECT_EQ(Risks(at + "disable"), "sslmode=disable: nothing is encrypted");
  EXPECT_EQ(Risks(at + "allow"), "sslmode=allow: any server is taken for this one, also one without encryption");
  EXPECT_EQ(Risks(at + "prefer"),
            "sslmode=prefer, which is libpq's default: any server is taken for this one, also one without encryption");
  EXPECT_EQ(Risks("postgresql://user:hunter2@db.example/x"), Risks(at + "prefer"));
  EXPECT_EQ(Risks(at + "require"), "sslmode=require without a CA: encrypted, but any server is taken for this one");
  EXPECT_EQ(Risks(at + "verify-ca"), "sslmode=verify-ca: any certificate of the CA is taken, whatever it names");
  EXPECT_EQ(Risks(at + "verify-full"), "");
  EXPECT_TRUE(Of(at + "verify-full").encrypts);
  EXPECT_FALSE(Of(at + "allow").encrypts);
}

TEST_F(PgUrlTest, RequireChecksTheCaIfItsFileIsThere) {
  const EnvironmentVariable home("HOME", directory_.c_str());
  const std::string url = "postgresql://db.example/x?sslmode=require";
  const std::string file = directory_ + "/ca.crt";
  EXPECT_EQ(Of(url + "&sslrootcert=" + file).server, Server::kAnybody) << "libpq checks nothing then";
  Write("ca.crt", "a certificate");
  EXPECT_EQ(Of(url + "&sslrootcert=" + file).server, Server::kAuthority);
  EXPECT_EQ(Of("postgresql://db.example/x?sslmode=prefer&sslrootcert=" + file).server, Server::kAnybody)
      << "after a wrong certificate it goes on without TLS";
  EXPECT_EQ(Of(url).server, Server::kAnybody);
  Write(".postgresql/root.crt", "a certificate");
  EXPECT_EQ(Of(url).server, Server::kAuthority);
}

TEST_F(PgUrlTest, EnvironmentCountsForWhatTheUrlLeavesOpen) {
  const EnvironmentVariable mode("PGSSLMODE", "verify-full");
  EXPECT_EQ(Of("postgresql://db.example/x").server, Server::kNamedInUrl);
  EXPECT_EQ(Of("postgresql://db.example/x?sslmode=disable").sslmode, "disable");
  const EnvironmentVariable host("PGHOST", "db.example");
  EXPECT_FALSE(Of("postgresql:///x").on_this_machine);
}

TEST_F(PgUrlTest, OnThisMachineAreSocketsAndTheLoopback) {
  for (const char* url :
       {"postgresql:///x", "postgresql:///x?host=/run/postgresql", "postgresql://%2Frun%2Fpostgresql/x",
        "host=@abstract dbname=x", "postgresql://127.0.0.1/x", "postgresql://[::1]:5433/x", "postgresql://localhost/x",
        "postgresql://localhost,127.0.0.2/x", "host=db.example hostaddr=127.0.0.1"}) {
    EXPECT_TRUE(Of(url).on_this_machine) << url;
    EXPECT_EQ(Risks(url), "") << url;
  }
  for (const char* url : {"postgresql://10.0.0.5/x", "postgresql://db.example/x", "postgresql://localhost,10.0.0.5/x",
                          "host=localhost hostaddr=10.0.0.5"}) {
    EXPECT_FALSE(Of(url).on_this_machine) << url;
    EXPECT_NE(Risks(url), "") << url;
  }
}

TEST_F(PgUrlTest, UnknownModeIsRefusedAndNotRepeated) {
  const absl::Status status = ReadPgUrl("postgresql://db.example/x?sslmode=hunter2").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message(),
            "DATABASE_URL: sslmode is none of disable, allow, prefer, require, verify-ca, verify-full");
}

TEST_F(PgUrlTest, EncryptedKeyNeedsItsPassphraseInTheUrl) {
  const std::string url = "postgresql://db.example/x?sslkey=";
  for (const char* text : {"-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
                           "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n"}) {
    const std::string file = Write("client.key", text);
    const absl::Status status = ReadPgUrl(url + file).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_TRUE(absl::StrContains(status.message(), file + ": the key is encrypted")) << status;
    EXPECT_TRUE(ReadPgUrl(url + file + "&sslpassword=hunter2").ok());
  }
  EXPECT_TRUE(ReadPgUrl(url + Write("client.key", "-----BEGIN PRIVATE KEY-----\n")).ok());
  EXPECT_TRUE(ReadPgUrl(url + directory_ + "/none.key").ok()) << "libpq says so when it connects";
}

TEST_F(PgUrlTest, ParametersOfOtherLibrariesArePassedOver) {
  std::vector<std::string> passed_over;
  const auto settings = ReadPgUrl(
      "postgresql://user:x@db.example/x?schema=public&pgbouncer=true&sslmode=require&connection_limit=5&pool_timeout=0",
      &passed_over);
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->at("sslmode"), "require");
  EXPECT_EQ(settings->at("dbname"), "x");
  EXPECT_EQ(passed_over, (std::vector<std::string>{"schema", "pgbouncer", "connection_limit", "pool_timeout"}));
  EXPECT_EQ(ReadPgUrl("postgres://db.example/x?pgbouncer=true")->at("host"), "db.example");
  EXPECT_EQ(ReadPgUrl("postgres://db.example/x?application_name=y&ssl=true")->at("application_name"), "y");
}

TEST_F(PgUrlTest, WhatNobodyKnowsIsRefusedByItsNameAndWithoutItsValue) {
  const auto message = [](const char* url) { return std::string(ReadPgUrl(url).status().message()); };
  EXPECT_EQ(message("postgresql://db.example/x?no_such=hunter2"), "DATABASE_URL: libpq knows no parameter no_such");
  EXPECT_EQ(message("postgresql://db.example/x?schema=tools"),
            "DATABASE_URL: schema: tables are where the user's search_path says; ALTER ROLE ... SET search_path, and "
            "leave it out");
  EXPECT_EQ(message("postgresql+asyncpg://db.example/x"),
            "DATABASE_URL: it begins with postgresql+asyncpg:// in place of postgresql://");
  EXPECT_EQ(message("jdbc:postgresql://db.example/x"),
            "DATABASE_URL: it begins with jdbc:postgresql:// in place of postgresql://");
  // A password with a question mark in it is no parameter.
  EXPECT_EQ(message("postgresql://user:pass?hunter2=x@db.example/x").find("hunter2"), std::string::npos);
}

TEST_F(PgUrlTest, ValueThatLibpqFindsWrongOnlyWhenItDialsIsRefusedByItsName) {
  const auto message = [](const char* tail) {
    return std::string(ReadPgUrl(std::string("postgresql://user:hunter2@db.example/x") + tail).status().message());
  };
  EXPECT_EQ(message("?connect_timeout=5s"), "DATABASE_URL: connect_timeout is not a whole number");
  EXPECT_EQ(message("?keepalives=yes"), "DATABASE_URL: keepalives is not a whole number");
  EXPECT_EQ(message("?tcp_user_timeout=1e3"), "DATABASE_URL: tcp_user_timeout is not a whole number");
  EXPECT_EQ(message("?channel_binding=on"), "DATABASE_URL: channel_binding is none of disable, prefer, require");
  EXPECT_EQ(message("?target_session_attrs=master"),
            "DATABASE_URL: target_session_attrs is none of any, read-write, read-only, primary, standby, "
            "prefer-standby");
  EXPECT_EQ(message("?hostaddr=db.example"), "DATABASE_URL: hostaddr is no IP address");
  EXPECT_EQ(message("\npostgresql://other"), "DATABASE_URL: dbname has a control character in it");
  EXPECT_EQ(message("%0a"), "DATABASE_URL: dbname has a control character in it");
  EXPECT_EQ(message("?connect_timeout=5&keepalives=1&target_session_attrs=read-write&channel_binding=prefer"
                    "&hostaddr=10.0.0.1,fd00::1"),
            "");
  EXPECT_TRUE(ReadPgUrl("postgresql://user:a%0ab@db.example/x").ok()) << "a password may have any character in it";
}

// host, hostaddr and port of each host, as text.
std::vector<std::string> HostsOf(const std::string& url) {
  std::vector<std::string> hosts;
  for (const PgSettings& one : PgHosts(*ReadPgUrl(url))) {
    std::string& text = hosts.emplace_back();
    for (const char* key : {"host", "hostaddr", "port"}) {
      const auto found = one.find(key);
      text += (found == one.end() ? "" : found->second) + " ";
    }
    EXPECT_EQ(one.at("user"), "u");
  }
  return hosts;
}

TEST_F(PgUrlTest, HostsAreThoseOfItsListsInTheirOrder) {
  using Hosts = std::vector<std::string>;
  EXPECT_EQ(HostsOf("postgresql://u@a.example:5433/x"), Hosts({"a.example  5433 "}));
  EXPECT_EQ(HostsOf("postgresql://u@a.example,b.example/x"), Hosts({"a.example   ", "b.example   "}));
  EXPECT_EQ(HostsOf("host=a,b port=5433 user=u"), Hosts({"a  5433 ", "b  5433 "}));
  EXPECT_EQ(HostsOf("postgresql://u@a:5433,b,[::1]:5434/x"), Hosts({"a  5433 ", "b   ", "::1  5434 "}));
  EXPECT_EQ(HostsOf("host=a,b hostaddr=10.0.0.1,10.0.0.2 user=u"), Hosts({"a 10.0.0.1  ", "b 10.0.0.2  "}));
  EXPECT_EQ(HostsOf("hostaddr=10.0.0.1,10.0.0.2 user=u"), Hosts({" 10.0.0.1  ", " 10.0.0.2  "}));
  EXPECT_EQ(HostsOf("host=/run/a,/run/b user=u"), Hosts({"/run/a   ", "/run/b   "}));
  EXPECT_EQ(HostsOf("dbname=x user=u"), Hosts({"   "})) << "libpq knows where";
  EXPECT_EQ(HostsOf("host=a,b,c port=1,2 user=u"), Hosts({"a,b,c  1,2 "})) << "libpq says what is wrong";
}

TEST_F(PgUrlTest, HostsAreTriedInAnyOrderOnlyWhereTheUrlSaysWhichIsWanted) {
  const std::string url = "postgresql://a:1,b:2,c:3/x";
  for (const char* wanted : {"read-write", "primary"}) {
    EXPECT_TRUE(PgHostsInAnyOrder(*ReadPgUrl(url + "?target_session_attrs=" + wanted))) << wanted;
  }
  for (const char* wanted : {"", "?target_session_attrs=any", "?target_session_attrs=prefer-standby"}) {
    EXPECT_FALSE(PgHostsInAnyOrder(*ReadPgUrl(url + wanted))) << wanted;
  }
}

TEST_F(PgUrlTest, AddressIsForPeople) {
  EXPECT_EQ(PgAddress(*ReadPgUrl("postgresql://user:hunter2@db.example:5433/x")), "db.example:5433/x");
  EXPECT_EQ(PgAddress(*ReadPgUrl("postgresql:///")), "localhost:5432/");
}

}  // namespace
}  // namespace toolwire

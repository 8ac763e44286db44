#include "cli/doctor/doctor_judge.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "cli/doctor/doctor_http.h"

namespace toolwire {
namespace {

using Level = Finding::Level;

RedisInspection GoodRedis() {
  RedisInspection redis;
  redis.address = "10.0.0.5:6379";
  redis.server.emplace();
  redis.server->version = "7.0.15";
  redis.server->memory_bytes = 10u << 20;
  redis.server->eviction_policy = "noeviction";
  redis.edges = {{"edge-1", "10.0.0.6:50052", "a"}, {"edge-2", "10.0.0.7:50052", "b"}};
  return redis;
}

PgInspection GoodPostgres() {
  PgInspection database;
  database.address = "10.0.0.5:5432/toolwire";
  database.role = "toolwire";
  database.version = "15.14";
  database.version_number = 150014;
  database.encoding = "UTF8";
  database.connections = 10;
  database.connections_max = 100;
  database.credentials_table = database.audit_table = database.our_columns = database.call_index = true;
  database.owns_audit_table = true;
  database.tls = "TLSv1.3";
  database.protection = {PgProtection::Server::kNamedInUrl, true, false, "verify-full"};
  return database;
}

// The findings of one kind of check, which must be one.
Finding Only(const Findings& findings, const std::string& check) {
  Finding found;
  int count = 0;
  for (const Finding& one : findings) {
    if (one.check != check) continue;
    found = one;
    ++count;
  }
  EXPECT_EQ(count, 1) << check;
  return found;
}

TEST(DoctorJudgeTest, EveryTroubleSaysWhatToDo) {
  RedisInspection redis = GoodRedis();
  redis.server->memory_bytes_max = 1u << 30;
  redis.server->eviction_policy = "allkeys-lru";
  redis.clock.skew_ms = 5000;
  redis.silent_edges = {"edge-3"};
  PgInspection database = GoodPostgres();
  database.read_only = true;
  database.missing_columns = {"agent_credentials.status"};
  Findings findings = JudgeRedis(redis);
  for (const Finding& one : JudgePostgres(database)) findings.push_back(one);
  int troubles = 0;
  for (const Finding& one : findings) {
    const bool trouble = one.level == Level::kWarn || one.level == Level::kFail;
    troubles += trouble ? 1 : 0;
    EXPECT_EQ(trouble, !one.advice.empty()) << one.check << ": " << one.message;
  }
  EXPECT_EQ(troubles, 5);
}

TEST(DoctorJudgeTest, AClockCountsAsWrongOnlyWhenItIsForCertain) {
  EXPECT_EQ(JudgeClock("c", "Redis", {0, 1}).level, Level::kOk);
  EXPECT_EQ(JudgeClock("c", "Redis", {1000, 0}).level, Level::kOk);
  EXPECT_EQ(JudgeClock("c", "Redis", {1001, 0}).level, Level::kWarn);
  EXPECT_EQ(JudgeClock("c", "Redis", {-1001, 0}).level, Level::kWarn);
  EXPECT_EQ(JudgeClock("c", "Redis", {1500, 600}).level, Level::kOk) << "asking took too long to know";
  EXPECT_EQ(JudgeClock("c", "Redis", {2500, 0}).message, "Redis's clock is 2.5 s ahead of this machine's");
  EXPECT_EQ(JudgeClock("c", "Redis", {-2500, 0}).message, "Redis's clock is 2.5 s behind this machine's");
}

TEST(DoctorJudgeTest, AClockIsReadInTheMiddleOfAsking) {
  const ClockReading clock = ReadClock(10'000'000, 8'000'000, 8'400'000);
  EXPECT_EQ(clock.skew_ms, 1800);
  EXPECT_EQ(clock.uncertainty_ms, 200);
  EXPECT_EQ(ReadClock(1'000'000, 3'000'000, 3'000'000).skew_ms, -2000);
}

TEST(DoctorJudgeTest, GoodServersAreGood) {
  for (const Finding& one : JudgeRedis(GoodRedis())) EXPECT_EQ(one.level, Level::kOk) << one.message;
  for (const Finding& one : JudgePostgres(GoodPostgres())) EXPECT_EQ(one.level, Level::kOk) << one.message;
}

TEST(DoctorJudgeTest, RedisMustTakeWritesAndKeepThem) {
  RedisInspection redis = GoodRedis();
  redis.server->replica = true;
  EXPECT_EQ(Only(JudgeRedis(redis), "redis").level, Level::kFail);
  redis = GoodRedis();
  redis.server->cluster = true;
  EXPECT_EQ(Only(JudgeRedis(redis), "redis").level, Level::kFail);
  redis = GoodRedis();
  redis.server->version = "4.0.9";
  EXPECT_EQ(Only(JudgeRedis(redis), "redis").level, Level::kFail);
  redis = GoodRedis();
  redis.server->eviction_policy = "allkeys-lru";
  EXPECT_EQ(Only(JudgeRedis(redis), "redis memory").level, Level::kOk) << "without a limit nothing is evicted";
  redis.server->memory_bytes_max = 1u << 30;
  EXPECT_EQ(Only(JudgeRedis(redis), "redis memory").level, Level::kWarn);
  redis.server->eviction_policy = "noeviction";
  EXPECT_EQ(Only(JudgeRedis(redis), "redis memory").level, Level::kOk);
  redis.server->memory_bytes = 1000u << 20;
  EXPECT_EQ(Only(JudgeRedis(redis), "redis memory").level, Level::kWarn) << "nearly full";
}

TEST(DoctorJudgeTest, WhatRedisRefusesIsSaidInItsWords) {
  RedisInspection redis = GoodRedis();
  redis.refusals = {"a script that writes: NOREPLICAS Not enough good replicas to write."};
  const Finding finding = Only(JudgeRedis(redis), "redis rights");
  EXPECT_EQ(finding.level, Level::kFail);
  EXPECT_NE(finding.message.find("refuses a script that writes: NOREPLICAS"), std::string::npos) << finding.message;
}

TEST(DoctorJudgeTest, ALoginThatMayNotAskIsNoTrouble) {
  RedisInspection redis = GoodRedis();
  redis.server.reset();
  for (const Finding& one : JudgeRedis(redis)) EXPECT_EQ(one.level, Level::kOk) << one.message;
}

TEST(DoctorJudgeTest, ThereMustBeAnEdge) {
  RedisInspection redis = GoodRedis();
  EXPECT_EQ(Only(JudgeRedis(redis), "edges").message, "announced in Redis: edge-1, edge-2");
  redis.edges.clear();
  EXPECT_EQ(Only(JudgeRedis(redis), "edges").level, Level::kFail);
}

TEST(DoctorJudgeTest, TablesThatLackSomethingAreToldWithWhoMayMendThem) {
  const auto judged = [](const PgInspection& database) { return Only(JudgePostgres(database), "postgres tables"); };
  EXPECT_EQ(judged(GoodPostgres()).level, Level::kOk);
  PgInspection database = GoodPostgres();
  database.credentials_table = false;
  database.problems = {"there is no table agent_credentials: run toolwire migrate"};
  EXPECT_EQ(judged(database).level, Level::kFail);
  EXPECT_TRUE(absl::StrContains(judged(database).advice, "the owner of the tables"));
  database.may_create_tables = true;
  EXPECT_EQ(judged(database).level, Level::kFail) << "servers make nothing";
  EXPECT_TRUE(absl::StrContains(judged(database).advice, "run toolwire migrate"));
  database = GoodPostgres();
  database.call_index = false;
  EXPECT_EQ(judged(database).level, Level::kWarn) << "rows are written, and told apart otherwise";
  database = GoodPostgres();
  database.our_columns = false;
  EXPECT_EQ(judged(database).level, Level::kFail);
  database = GoodPostgres();
  database.problems = {"tool_execution_logs.tenant must have a value, and Toolwire knows none"};
  EXPECT_EQ(judged(database).level, Level::kFail);
  EXPECT_TRUE(absl::StrContains(judged(database).message, "tool_execution_logs.tenant"));
  database = GoodPostgres();
  database.warnings = {"tool_execution_logs.tool_name takes 64 characters"};
  EXPECT_EQ(judged(database).level, Level::kWarn);
  database = GoodPostgres();
  database.missing_privileges = {"INSERT on tool_execution_logs"};
  const Finding finding = Only(JudgePostgres(database), "postgres tables");
  EXPECT_EQ(finding.level, Level::kFail);
  EXPECT_TRUE(absl::StrContains(finding.message, "toolwire lacks INSERT on tool_execution_logs"));
}

TEST(DoctorJudgeTest, PostgresMustBeEncryptedAndItsCertificateChecked) {
  using Server = PgProtection::Server;
  PgInspection database = GoodPostgres();
  const auto judged = [&](const PgProtection& protection, const std::string& tls) {
    database.protection = protection;
    database.tls = tls;
    return Only(JudgePostgres(database), "postgres tls");
  };
  EXPECT_EQ(judged({Server::kNamedInUrl, true, false, "verify-full"}, "TLSv1.3").message,
            "encrypted by TLSv1.3; the certificate is of the CA and names the host of DATABASE_URL");
  EXPECT_EQ(judged({Server::kNamedInUrl, true, false, "verify-full"}, "").level, Level::kOk) << "through a pooler";
  EXPECT_EQ(judged({Server::kAuthority, true, false, "verify-ca"}, "TLSv1.3").level, Level::kWarn);
  EXPECT_EQ(judged({Server::kAnybody, true, false, "require"}, "TLSv1.3").level, Level::kWarn);
  const Finding by_chance = judged({Server::kAnybody, false, false, "prefer"}, "TLSv1.3");
  EXPECT_EQ(by_chance.level, Level::kWarn);
  EXPECT_TRUE(absl::StrContains(by_chance.advice, "sslmode=verify-full")) << by_chance.advice;
  EXPECT_TRUE(absl::StrContains(judged({Server::kAnybody, false, false, "prefer"}, "").message, "not encrypted"));
  const Finding near = judged({Server::kAnybody, false, true, "prefer"}, "");
  EXPECT_EQ(near.level, Level::kOk);
  EXPECT_EQ(near.message, "not encrypted, and does not leave this machine (sslmode=prefer)");
}

TEST(DoctorJudgeTest, EachReasonForNoPostgresHasItsOwnAdvice) {
  const auto advice = [](const std::string& why) {
    const Finding finding = JudgePostgresError(absl::UnavailableError(why));
    EXPECT_EQ(finding.level, Level::kFail);
    EXPECT_EQ(finding.message, why);
    return finding.advice;
  };
  EXPECT_TRUE(absl::StrContains(advice("SSL error: certificate verify failed"), "sslrootcert"));
  EXPECT_TRUE(absl::StrContains(advice("server certificate for \"a\" does not match host name \"b\""), "names"));
  EXPECT_TRUE(absl::StrContains(advice("server does not support SSL, but SSL was required"), "ssl = on"));
  EXPECT_TRUE(absl::StrContains(advice("FATAL:  connection requires a valid client certificate"), "sslcert"));
  EXPECT_TRUE(absl::StrContains(advice("FATAL:  no pg_hba.conf entry for host, no encryption"), "sslmode=verify-full"));
  EXPECT_TRUE(absl::StrContains(advice("Connection refused"), "start PostgreSQL"));
  EXPECT_EQ(JudgePostgresError(absl::InvalidArgumentError("DATABASE_URL is none")).advice, "correct DATABASE_URL");
}

TEST(DoctorJudgeTest, AnEdgeTellsItsHealth) {
  const auto judge = [](int status, const std::string& body) { return JudgeEdgeHealth("host:8082", status, body); };
  EXPECT_EQ(judge(200, R"({"status":"healthy","serverId":"edge-1","connections":7})").message,
            "edge-1 at host:8082 is healthy, agents connected: 7");
  const Finding degraded =
      judge(200, R"({"status":"degraded","serverId":"edge-1","registry":"away","store":"connected"})");
  EXPECT_EQ(degraded.level, Level::kWarn);
  EXPECT_TRUE(absl::StrContains(degraded.message, "unavailable to it: Redis"));
  EXPECT_EQ(judge(503, R"({"status":"draining","serverId":"edge-1"})").level, Level::kWarn);
  for (const char* strange : {"", "<html>", "[]", "null", R"({"status":7})"}) {
    EXPECT_EQ(judge(404, strange).level, Level::kFail) << strange;
  }
}

TEST(DoctorJudgeTest, LimitsOfTheMachine) {
  EXPECT_EQ(JudgeOpenFiles(1024, 1048576).level, Level::kOk);
  EXPECT_EQ(JudgeOpenFiles(1024, 1024).level, Level::kWarn);
  EXPECT_TRUE(absl::StrContains(JudgeOpenFiles(1024, 1024).message, "768 agents"));
  EXPECT_EQ(JudgeFreeSpace("/data", 2u << 30, 1u << 30).level, Level::kOk);
  EXPECT_EQ(JudgeFreeSpace("/data", 500u << 20, 1u << 30).level, Level::kWarn);
  EXPECT_EQ(JudgeFreeSpace("/data", 10u << 20, 1u << 30).level, Level::kFail);
}

TEST(DoctorJudgeTest, CertificatesEnd) {
  EXPECT_EQ(JudgeCertificate("host", 90, "").level, Level::kOk);
  EXPECT_EQ(JudgeCertificate("host", 13, "").level, Level::kWarn);
  EXPECT_EQ(JudgeCertificate("host", -1, "").level, Level::kFail);
  EXPECT_EQ(JudgeCertificate("host", 90, "self-signed certificate").level, Level::kFail);
}

TEST(DoctorJudgeTest, UrlsOfEdges) {
  const auto url = ParseEdgeUrl("wss://agents.example.com/path?x=1");
  ASSERT_TRUE(url.ok());
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->Address(), "agents.example.com:443");
  EXPECT_EQ(ParseEdgeUrl("ws://[::1]:8082")->Address(), "[::1]:8082");
  EXPECT_EQ(ParseEdgeUrl("ws://host:8082?x")->Address(), "host:8082");
  EXPECT_EQ(ParseEdgeUrl("http://host")->Address(), "host:80");
  for (const char* bad : {"", "host:8082", "ftp://host", "ws://", "ws://:80", "ws://host:", "ws://host:0",
                          "ws://host:x", "ws://[::1", "ws://[::1]8082", "ws://user:hunter2@host"}) {
    const auto refused = ParseEdgeUrl(bad);
    EXPECT_FALSE(refused.ok()) << bad;
    EXPECT_FALSE(absl::StrContains(refused.status().message(), "hunter2"));
  }
}

}  // namespace
}  // namespace toolwire

// What every store keeps of audit rows: their JSON and text, their calls, their lists by user and time.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "common/base/json_text.h"
#include "common/store/store.h"
#include "tests/contract/store_contract_fixture.h"

namespace toolwire {
namespace {

TEST_P(StoreContract, AuditRowReadsBackAsItWasWritten) {
  const AuditRow row = Row("user", "req_1");
  const AuditRow back = StoredForm(row);
  EXPECT_EQ(back.user_id, row.user_id);
  EXPECT_EQ(back.request_id, row.request_id);
  EXPECT_EQ(back.tool, row.tool);
  EXPECT_PRED2(GetParam().is_same_json, back.params_json, row.params_json);
  EXPECT_PRED2(GetParam().is_same_json, back.result_json, row.result_json);
  EXPECT_TRUE(back.success);
  EXPECT_EQ(back.error, "");
  EXPECT_EQ(back.execution_time_ms, 12);
  EXPECT_EQ(back.created_at_ms, row.created_at_ms);
}

TEST_P(StoreContract, FailedCallKeepsItsReasonAndHasNoResult) {
  AuditRow row = Row("user", "req_1");
  row.success = false;
  row.result_json.clear();
  row.error = "AGENT_NOT_CONNECTED: no agent \xE2\x80\x9Cuser\xE2\x80\x9D";
  row.execution_time_ms.reset();
  const AuditRow back = StoredForm(row);
  EXPECT_FALSE(back.success);
  EXPECT_EQ(back.result_json, "");
  EXPECT_EQ(back.error, row.error);
  EXPECT_FALSE(back.execution_time_ms.has_value());
}

TEST_P(StoreContract, AuditRowsAreListedNewestFirstAndByUser) {
  ASSERT_TRUE(store_->AppendAudit({Row("a", "1"), Row("b", "2"), Row("a", "3")}).ok());
  AuditRow late = Row("a", "4");
  late.created_at_ms = 1;  // The order is that of the calls' ends; a row may be written long after.
  ASSERT_TRUE(store_->AppendAudit({late}).ok());
  ASSERT_TRUE(store_->AppendAudit({}).ok());
  EXPECT_EQ(RequestIds(store_->ListAudit({"", 10})), (std::vector<std::string>{"3", "2", "1", "4"}));
  EXPECT_EQ(RequestIds(store_->ListAudit({"", 2})), (std::vector<std::string>{"3", "2"}));
  EXPECT_EQ(RequestIds(store_->ListAudit({"a", 2})), (std::vector<std::string>{"3", "1"}));
  EXPECT_EQ(RequestIds(store_->ListAudit({"b", 2})), (std::vector<std::string>{"2"}));
  EXPECT_TRUE(RequestIds(store_->ListAudit({"nobody", 2})).empty());
  EXPECT_TRUE(RequestIds(store_->ListAudit({"", 0})).empty());
  EXPECT_TRUE(RequestIds(store_->ListAudit({"a", -1})).empty());
}

TEST_P(StoreContract, SameRequestIdMayHaveSeveralRows) {
  ASSERT_TRUE(store_->AppendAudit({Row("a", "same"), Row("a", "same")}).ok());
  EXPECT_EQ(RequestIds(store_->ListAudit({"a", 10})).size(), 2u);
}

TEST_P(StoreContract, CallIdReadsBack) {
  EXPECT_EQ(StoredForm(RowOfCall("0123456789abcdef-00000001", "1")).call_id, "0123456789abcdef-00000001");
  EXPECT_EQ(StoredForm(Row("a", "2")).call_id, "");
}

TEST_P(StoreContract, CallerReadsBack) {
  AuditRow row = RowOfCall("c1", "1");
  row.caller = "shop-1.eu";
  EXPECT_EQ(StoredForm(row).caller, "shop-1.eu");
  EXPECT_EQ(StoredForm(RowOfCall("c2", "2")).caller, "");
}

TEST_P(StoreContract, AuditRowsAreListedByThePrefixOfTheirUsers) {
  ASSERT_TRUE(store_
                  ->AppendAudit({Row("a", "1"), Row("a_b", "2"), Row("A_", "3"), Row("a_", "4"), Row("ba_", "5"),
                                 Row("a%", "6"), Row("\xC3\xA4x", "7")})
                  .ok());
  const auto listed = [&](const std::string& prefix) {
    AuditQuery query{"", 10};
    query.user_prefix = prefix;
    return RequestIds(store_->ListAudit(query));
  };
  EXPECT_EQ(listed("a_"), (std::vector<std::string>{"4", "2"}));
  EXPECT_EQ(listed("a%"), (std::vector<std::string>{"6"}));
  EXPECT_EQ(listed("\xC3\xA4"), (std::vector<std::string>{"7"}));
  EXPECT_EQ(listed("c"), (std::vector<std::string>{}));
  EXPECT_EQ(listed("").size(), 7u);
}

TEST_P(StoreContract, FirstRowOfACallIsKeptAndLaterOnesArePassedOverInOneBatchAndAcrossBatches) {
  ASSERT_TRUE(store_->AppendAudit({RowOfCall("c1", "1"), RowOfCall("c1", "1 again"), RowOfCall("c2", "2")}).ok());
  ASSERT_TRUE(store_->AppendAudit({RowOfCall("c2", "2 again"), RowOfCall("c3", "3"), RowOfCall("c1", "no")}).ok());
  ASSERT_TRUE(store_->AppendAudit({RowOfCall("c3", "3 again")}).ok());
  EXPECT_EQ(RequestIds(store_->ListAudit({"", 10})), (std::vector<std::string>{"3", "2", "1"}));
}

// Stores may write many rows in another way than few.
TEST_P(StoreContract, LargeBatchReadsBackRowForRowAndPassesOverWhatIsThere) {
  const std::vector<std::string> texts = {"plain",
                                          "tab\there",
                                          "line\nbreak",
                                          "back\\slash \\N \\.",
                                          "quote\"'",
                                          "\xE2\x80\x9C\xF0\x9F\x98\x80",
                                          "\r\v\f\b",
                                          "{a,b}",
                                          " "};
  std::vector<AuditRow> rows;
  for (int i = 0; i < 100; ++i) {
    AuditRow row = RowOfCall("call-" + std::to_string(i), "req " + texts[static_cast<size_t>(i) % texts.size()]);
    row.user_id = texts[static_cast<size_t>(i + 1) % texts.size()];
    row.tool = texts[static_cast<size_t>(i + 2) % texts.size()];
    row.params_json = i % 3 == 0 ? "" : R"({"path":"C:\\new\\table","n":123456789012345678901234567890})";
    row.result_json = i % 4 == 0 ? "" : R"(["\t\n\"",null])";
    row.success = i % 2 == 0;
    row.error = row.success ? "" : texts[static_cast<size_t>(i + 3) % texts.size()];
    row.execution_time_ms.reset();
    if (i % 5 != 0) row.execution_time_ms = i;
    row.created_at_ms = 1'700'000'000'000 + i;
    row.caller = i % 2 == 0 ? "" : texts[static_cast<size_t>(i) % texts.size()];
    rows.push_back(row);
  }
  ASSERT_TRUE(store_->AppendAudit(rows).ok());
  const auto check = [&] {
    const auto listed = store_->ListAudit({"", 1000});
    ASSERT_TRUE(listed.ok()) << listed.status();
    ASSERT_EQ(listed->size(), rows.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      const AuditRow& row = rows[i];
      const AuditRow& back = (*listed)[rows.size() - 1 - i];
      EXPECT_EQ(back.call_id, row.call_id);
      EXPECT_EQ(back.caller, row.caller);
      EXPECT_EQ(back.user_id, row.user_id);
      EXPECT_EQ(back.request_id, row.request_id);
      EXPECT_EQ(back.tool, row.tool);
      EXPECT_EQ(nlohmann::json::parse(back.params_json.empty() ? "0" : back.params_json),
                nlohmann::json::parse(row.params_json.empty() ? "0" : row.params_json));
      EXPECT_EQ(back.result_json.empty(), row.result_json.empty());
      EXPECT_EQ(back.success, row.success);
      EXPECT_EQ(back.error, row.error);
      EXPECT_EQ(back.execution_time_ms, row.execution_time_ms);
      EXPECT_EQ(back.created_at_ms, row.created_at_ms);
    }
  };
  check();
  // The same again with new ones among them, as after a commit whose answer was lost.
  std::vector<AuditRow> again(rows.begin(), rows.begin() + 50);
  for (AuditRow& row : again) row.tool = "another";
  for (int i = 100; i < 110; ++i) {
    AuditRow row = RowOfCall("call-" + std::to_string(i), "new");
    row.created_at_ms = 1'700'000'000'000 + i;
    row.params_json = R"({"n":1})";
    again.push_back(row);
    rows.push_back(row);
  }
  again.push_back(again.back());
  ASSERT_TRUE(store_->AppendAudit(again).ok());
  check();
}

TEST_P(StoreContract, RowsWithoutACallIdAreAllKept) {
  ASSERT_TRUE(store_->AppendAudit({Row("a", "1"), Row("a", "2"), RowOfCall("c1", "3")}).ok());
  ASSERT_TRUE(store_->AppendAudit({Row("a", "4")}).ok());
  EXPECT_EQ(RequestIds(store_->ListAudit({"", 10})), (std::vector<std::string>{"4", "3", "2", "1"}));
}

TEST_P(StoreContract, JsonAtTheCapIsKeptAndOneByteMoreIsMarked) {
  AuditRow row = Row("user", "req_1");
  row.params_json = "{\"t\":\"" + std::string(kCapBytes - 8, 'x') + "\"}";
  row.result_json = "\"" + std::string(kCapBytes - 1, 'y') + "\"";
  ASSERT_EQ(row.params_json.size(), kCapBytes);
  ASSERT_EQ(row.result_json.size(), kCapBytes + 1);
  const AuditRow back = StoredForm(row);
  EXPECT_PRED2(GetParam().is_same_json, back.params_json, row.params_json);
  EXPECT_LE(back.result_json.size(), kCapBytes);
  const auto marked = nlohmann::json::parse(back.result_json);
  EXPECT_EQ(marked["toolwire_truncated"], true);
  EXPECT_EQ(marked["bytes"], kCapBytes + 1);
  EXPECT_EQ(marked["reason"], "too large");
  const std::string prefix = marked["prefix"];
  EXPECT_EQ(prefix, row.result_json.substr(0, prefix.size()));
  EXPECT_GE(prefix.size(), kCapBytes / 2 - 2);
}

TEST_P(StoreContract, JsonThatDatabasesRefuseIsMarkedAndTheRowIsKept) {
  const std::vector<std::string> refused = {
      R"({"t":"a\u0000b"})",
      R"({"a\u0000":1})",
      R"(["\uD800"])",
      R"(["\uD800\u0041"])",
      R"(["\uD800\n"])",
      R"(["\uDC00\uD800"])",
      R"({"n":1e10000})",
      R"([-1E-099999])",
      "[" + std::string(4097, '1') + "]",
      "{\"t\":",
      "not json",
      "{} {}",
      "[\"\xFF\"]",
      "\xFF\xFE",
      std::string("[\"\0\"]", 5),
      std::string(1025, '[') + std::string(1025, ']'),
  };
  for (const std::string& json : refused) {
    AuditRow row = Row("user", "req_1");
    row.params_json = json;
    row.result_json = json;
    const AuditRow back = StoredForm(row);
    EXPECT_EQ(back.params_json, back.result_json);
    ASSERT_TRUE(nlohmann::json::accept(back.params_json)) << back.params_json;
    const auto marked = nlohmann::json::parse(back.params_json);
    EXPECT_EQ(marked["toolwire_truncated"], true) << json;
    EXPECT_EQ(marked["bytes"], json.size());
    EXPECT_EQ(marked["reason"], "not storable");
    EXPECT_EQ(marked["prefix"].get<std::string>().find('\0'), std::string::npos);
  }
}

// PostgreSQL writes 1e9999 out: a small text would become a large one.
TEST_P(StoreContract, NumbersCountAsLongAsTheyAreWrittenOut) {
  const auto numbers = [](const std::string& number, int count) {
    std::string json = "[";
    for (int i = 1; i < count; ++i) json += number + ",";
    return json + number + "]";
  };
  for (const char* number : {"1e9999", "1E+4096", "1e-9999", "-1.5e-4096"}) {
    AuditRow row = Row("user", "req_1");
    row.params_json = row.result_json = numbers(number, 1);
    const AuditRow back = StoredForm(row);
    EXPECT_EQ(nlohmann::json::parse(back.params_json)["reason"], "not storable") << number;
    EXPECT_EQ(back.result_json, back.params_json);
  }
  for (const char* number : {"1e4000", "1e-4000"}) {
    AuditRow row = Row("user", "req_1");
    row.params_json = row.result_json = numbers(number, 3);
    const AuditRow back = StoredForm(row);
    EXPECT_EQ(nlohmann::json::parse(back.params_json)["reason"], "too large") << number;
    EXPECT_EQ(back.result_json, back.params_json);
    row.params_json = numbers(number, 2);
    EXPECT_EQ(StoredForm(row).params_json.find("toolwire_truncated"), std::string::npos);
  }
  AuditRow row = Row("user", "req_1");
  row.params_json = numbers("1", kCapBytes / 2 - 1);
  EXPECT_EQ(StoredForm(row).params_json.find("toolwire_truncated"), std::string::npos);
}

TEST_P(StoreContract, JsonThatOnlyLooksOddIsKept) {
  const std::vector<std::string> kept = {
      R"({"t":"a\\u0000b"})",
      R"(["\\\\u0000", "\\uD800"])",
      R"(["\uD83D\uDE00"])",
      R"(["\ud83d\ude00\u0001\/"])",
      R"( {"b":1, "a":12345678901234567890123456789, "b":1.50e+0400} )",
      R"(["1e99999", "-"])",
      "[" + std::string(4096, '1') + "]",
      std::string(1024, '[') + std::string(1024, ']'),
      "null",
      "\"\"",
      "0",
      "[\"\xF0\x9F\x98\x80\"]",
  };
  for (const std::string& json : kept) {
    AuditRow row = Row("user", "req_1");
    row.params_json = json;
    EXPECT_PRED2(GetParam().is_same_json, StoredForm(row).params_json, row.params_json);
  }
}

TEST_P(StoreContract, MarkedJsonIsCutBetweenCharacters) {
  for (size_t shift = 0; shift < 4; ++shift) {
    AuditRow row = Row("user", "req_1");
    row.result_json = "\"" + std::string(shift, 'x');
    while (row.result_json.size() <= kCapBytes) row.result_json += "\xF0\x9F\x98\x80\\\"";
    row.result_json += "\"";
    const AuditRow back = StoredForm(row);
    EXPECT_LE(back.result_json.size(), kCapBytes);
    ASSERT_TRUE(json::IsUtf8(back.result_json));
    const std::string prefix = nlohmann::json::parse(back.result_json)["prefix"];
    EXPECT_EQ(prefix, row.result_json.substr(0, prefix.size()));
    EXPECT_GT(prefix.size(), kCapBytes / 4);
  }
}

TEST_P(StoreContract, TextThatDatabasesRefuseIsMadeSafe) {
  AuditRow row = Row("user", std::string("r\0q", 3));
  row.tool = "to\xFFol";
  row.error = "bad \xE2\x82 text \xE2\x82\xAC";
  AuditRow back = StoredForm(row);
  EXPECT_EQ(back.request_id, "r?q");
  EXPECT_EQ(back.tool, "to?ol");
  EXPECT_EQ(back.error, "bad ?? text \xE2\x82\xAC");

  row.error = std::string(kCapBytes, 'e');
  EXPECT_EQ(StoredForm(row).error, row.error);
  row.error += 'e';
  back = StoredForm(row);
  EXPECT_EQ(back.error, std::string(kCapBytes / 2, 'e') + " [cut: " + std::to_string(kCapBytes + 1) + " bytes]");
}

TEST_P(StoreContract, RowsOfConcurrentWritersAreAllThereInTheirOwnOrder) {
  constexpr int kWriters = 4, kBatches = 10, kRows = 5;
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      const std::string user = "user_" + std::to_string(w);
      for (int b = 0; b < kBatches; ++b) {
        std::vector<AuditRow> rows;
        for (int r = 0; r < kRows; ++r) rows.push_back(Row(user, std::to_string(b * kRows + r)));
        EXPECT_TRUE(store_->AppendAudit(rows).ok());
        EXPECT_TRUE(store_->CheckCredentials({{user, kSecretA}}).ok());
        EXPECT_TRUE(store_->UpdateStatus({{user, AgentStatus::kConnected, b}}).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(RequestIds(store_->ListAudit({"", 1000})).size(), size_t{kWriters * kBatches * kRows});
  for (int w = 0; w < kWriters; ++w) {
    const auto ids = RequestIds(store_->ListAudit({"user_" + std::to_string(w), 1000}));
    ASSERT_EQ(ids.size(), size_t{kBatches * kRows});
    for (int i = 0; i < kBatches * kRows; ++i) EXPECT_EQ(ids[i], std::to_string(kBatches * kRows - 1 - i));
  }
}

// --- the audit log by user and time ----------------------------------------------------------------------------------

AuditRow RowAt(const std::string& user_id, const std::string& request_id, int64_t at_ms) {
  AuditRow row = Row(user_id, request_id);
  row.created_at_ms = at_ms;
  return row;
}

TEST_P(StoreContract, AuditRowsAreFoundByUserAndTime) {
  ASSERT_TRUE(store_
                  ->AppendAudit({RowAt("a", "1", 1000), RowAt("b", "2", 1001), RowAt("a", "3", 1001),
                                 RowAt("a", "4", 1002), RowAt("b", "5", 2000)})
                  .ok());
  const auto ids = [&](AuditQuery query) { return RequestIds(store_->ListAudit(query)); };
  using Ids = std::vector<std::string>;
  EXPECT_EQ(ids({"", 10, 1001, 1002}), (Ids{"3", "2"})) << "from is in, until is out";
  EXPECT_EQ(ids({"", 10, 1001}), (Ids{"5", "4", "3", "2"}));
  EXPECT_EQ(ids({"", 10, {}, 1001}), (Ids{"1"}));
  EXPECT_EQ(ids({"a", 10, 1001, 3000}), (Ids{"4", "3"}));
  EXPECT_EQ(ids({"a", 1, {}, 1002}), (Ids{"3"}));
  EXPECT_EQ(ids({"", 10, 1002, 1001}), Ids{});
  constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(ids({"b", 10, std::numeric_limits<int64_t>::min(), kEnd}), (Ids{"5", "2"}));
}

// Pages through with rows coming in between: newer ones, and a late one among those not seen yet.
TEST_P(StoreContract, PagesOfAuditRowsNeitherRepeatNorSkipWhileRowsAreAdded) {
  using Ids = std::vector<std::string>;
  ASSERT_TRUE(store_
                  ->AppendAudit({RowAt("a", "1", 1000), RowAt("a", "2", 1000), RowAt("b", "3", 1000),
                                 RowAt("a", "4", 1000), RowAt("a", "5", 1005)})
                  .ok());
  AuditQuery all{"", 2}, of_user{"a", 2};
  all.until_ms = of_user.until_ms = 3000;
  auto page = store_->ListAudit(all);
  EXPECT_EQ(RequestIds(page), (Ids{"5", "4"}));
  all.after = of_user.after = page->back().cursor;
  ASSERT_TRUE(store_->AppendAudit({RowAt("a", "newer", 2000), RowAt("a", "late", 500)}).ok());
  page = store_->ListAudit(all);
  EXPECT_EQ(RequestIds(page), (Ids{"3", "2"}));
  EXPECT_EQ(RequestIds(store_->ListAudit(of_user)), (Ids{"2", "1"}));
  all.after = page->front().cursor;
  EXPECT_EQ(RequestIds(store_->ListAudit(all)), (Ids{"2", "1"})) << "any row may be the last of a page";
  all.after = page->back().cursor;
  EXPECT_EQ(RequestIds(store_->ListAudit(all)), (Ids{"1", "late"}));
  all.from_ms = 600;
  EXPECT_EQ(RequestIds(store_->ListAudit(all)), Ids{"1"});
}

TEST_P(StoreContract, CursorThatIsNoneIsInvalid) {
  ASSERT_TRUE(store_->AppendAudit({Row("a", "1")}).ok());
  for (const char* cursor : {"x", ":", "1", "1:", ":1", "1:x", "x:1", "' OR 1=1"}) {
    AuditQuery query;
    query.after = cursor;
    EXPECT_EQ(store_->ListAudit(query).status().code(), absl::StatusCode::kInvalidArgument) << cursor;
  }
}

}  // namespace
}  // namespace toolwire

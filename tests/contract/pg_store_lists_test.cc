// Lists of tables whose rows have no cap: how much the server makes of them, and how much it sends.
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/contract/pg_store_fixture.h"
#include "tests/support/postgres_server.h"

namespace toolwire {
namespace {

class PgStoreListsTest : public PgStoreTest {};

bool IsMarked(const std::string& json) {
  const auto parsed = nlohmann::json::parse(json, nullptr, false);
  return parsed.is_object() && parsed.value("toolwire_truncated", false);
}

// 12 MB that are kept as 140 kB: the server learns their length only by making them.
TEST_F(PgStoreListsTest, RowsThatTakeTooLongToMakeTextOfAreListedAsCut) {
  ASSERT_TRUE(OpenNew()->AppendAudit({Row("ours", "c1")}).ok());
  Sql("INSERT INTO tool_execution_logs (user_id, request_id, tool_name, params, result, success)"
      " SELECT 'u', 'large', 't', jsonb_build_object('t', repeat('x', 12000000)), '1', true"
      " FROM generate_series(1, 50)");
  options_.statement_timeout = std::chrono::seconds(1);
  const auto rows = Open()->ListAudit({"", 60});
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 51u);
  for (const ListedAuditRow& row : *rows) {
    EXPECT_EQ(IsMarked(row.params_json), row.request_id == "large");
    EXPECT_LE(row.params_json.size(), kAuditJsonBytesMax);
  }
  EXPECT_EQ(rows->front().result_json, "1");
  EXPECT_EQ(rows->back().params_json, R"({"path": "/tmp/x"})");
}

TEST_F(PgStoreListsTest, RowsLargerThanAPageAreCutWhateverWasAllowedToBeWritten) {
  OpenNew().reset();
  auto store = OpenPgStore(options_, 16u << 20);
  ASSERT_TRUE(store.ok()) << store.status();
  AuditRow large = Row("large", "c1"), whole = Row("whole", "c2");
  large.params_json = "\"" + std::string(kListedJsonBytesMax - 1, 'x') + "\"";
  large.error = std::string(kListedTextBytesMax + 1, 'e');
  whole.params_json = "\"" + std::string(kListedJsonBytesMax - 2, 'x') + "\"";
  whole.error = std::string(kListedTextBytesMax, 'e');
  ASSERT_TRUE((*store)->AppendAudit({large, whole}).ok());
  EXPECT_EQ(One("SELECT length(params::text) FROM tool_execution_logs WHERE call_id = 'c1'"),
            std::to_string(large.params_json.size()));
  const auto rows = (*store)->ListAudit({"", 10});
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[0].params_json, whole.params_json);
  EXPECT_EQ((*rows)[0].error, whole.error);
  EXPECT_TRUE(IsMarked((*rows)[1].params_json));
  EXPECT_EQ(nlohmann::json::parse((*rows)[1].params_json)["bytes"], large.params_json.size());
  EXPECT_NE((*rows)[1].error.find("[cut: 131073 bytes]"), std::string::npos);
}

}  // namespace
}  // namespace toolwire

// What callers cost a control: their tokens, and their requests until they are calls. A part of micro_bench.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/sha256.h"
#include "control/call_request.h"
#include "control/caller_auth.h"
#include "tests/bench/micro_load.h"
#include "tests/support/jwt_maker.h"

namespace toolwire {
namespace {

// A file of so many tokens, and the header that shows the last of them.
std::string FileOfTokens(int64_t count, std::string* bearer) {
  std::string file;
  for (int64_t i = 0; i < count; ++i) {
    const std::string text = MakeToken();
    *bearer = "Bearer " + text;
    Token token;
    token.name = "caller_" + std::to_string(i);
    token.digest = Sha256(text);
    token.scopes = static_cast<unsigned>(Scope::kCall);
    token.users = {UserBound::Kind::kPrefix, "user_"};
    token.expires_ms = 4102444800000;
    file += TokenLine(token) + "\n";
  }
  return file;
}

// What a unary call, and the first message of a stream, pays for its token.
void AdmitCallerOf(benchmark::State& state) {
  const SystemClock clock;
  CallerAuth auth(clock);
  std::string bearer;
  if (!auth.Take(FileOfTokens(state.range(0), &bearer)).ok()) state.SkipWithError("tokens");
  for (auto _ : state) {
    const auto admission = auth.Admit({bearer}, Scope::kCall);
    if (admission.caller == nullptr) state.SkipWithError("refused");
  }
}
BENCHMARK(AdmitCallerOf)->Arg(1)->Arg(1000);

// The rules of an issuer, and an hour's token of it.
JwtOptions OptionsOfIssuer() {
  JwtOptions options;
  options.rules.issuer = kIssuer;
  options.rules.audience = kAudience;
  return options;
}
CallerAuth& AuthOfIssuer(const Clock& clock, const IssuerKey& key, std::optional<CallerAuth>* auth) {
  auth->emplace(clock, OptionsOfIssuer());
  std::vector<std::string> skipped;
  static_cast<void>((*auth)->jwt().Take(JwksOf(key), &skipped));
  return **auth;
}
IssuerKey KeyOfIssuer(bool rsa) { return rsa ? IssuerKey::Rsa("key") : IssuerKey::Ec("key"); }

// What a unary call pays for a JSON Web Token that is known, of the usual size and with so many bytes more.
void AdmitCallerOfKnownJwt(benchmark::State& state) {
  const SystemClock clock;
  const IssuerKey key = KeyOfIssuer(false);
  std::optional<CallerAuth> made;
  CallerAuth& auth = AuthOfIssuer(clock, key, &made);
  nlohmann::json claims = GoodClaims(clock.WallMs());
  if (state.range(0) > 0) claims["groups"] = std::string(static_cast<size_t>(state.range(0)), 'g');
  const std::string bearer = "Bearer " + key.Token(claims);
  for (auto _ : state) {
    const auto admission = auth.Admit({bearer}, Scope::kCall);
    if (admission.caller == nullptr) state.SkipWithError("refused");
  }
}
BENCHMARK(AdmitCallerOfKnownJwt)->ArgName("more")->Arg(0)->Arg(11'500);

// What the first call with a token pays.
void AdmitCallerOfNewJwt(benchmark::State& state) {
  const SystemClock clock;
  const IssuerKey key = KeyOfIssuer(state.range(0) != 0);
  std::optional<CallerAuth> made;
  AuthOfIssuer(clock, key, &made);
  std::vector<std::string> bearers;
  nlohmann::json claims = GoodClaims(clock.WallMs());
  for (int i = 0; i < 20'000; ++i) {
    claims["jti"] = i;
    bearers.push_back("Bearer " + key.Token(claims));
    if (state.range(0) != 0 && i == 2'000) break;  // Signing takes 700 us.
  }
  size_t next = 0;
  for (auto _ : state) {
    if (next == bearers.size()) {
      state.PauseTiming();
      AuthOfIssuer(clock, key, &made);
      next = 0;
      state.ResumeTiming();
    }
    const auto admission = made->Admit({bearers[next++]}, Scope::kCall);
    if (admission.caller == nullptr) state.SkipWithError("refused");
  }
}
BENCHMARK(AdmitCallerOfNewJwt)->ArgName("rsa")->Arg(0)->Arg(1);

// What one that is not good costs: of an unknown key, with a signature that is not its key's, and past the limit.
void RefuseJwt(benchmark::State& state) {
  const SystemClock clock;
  const IssuerKey key = KeyOfIssuer(false);
  JwtOptions options = OptionsOfIssuer();
  options.failures_per_second_max = state.range(0) == 2 ? 1 : 0;
  CallerAuth auth(clock, options);
  std::vector<std::string> skipped;
  if (!auth.jwt().Take(JwksOf(key), &skipped).ok()) state.SkipWithError("keys");
  const std::string bearer =
      "Bearer " + IssuerKey::Ec(state.range(0) == 0 ? "unknown" : "key").Token(GoodClaims(clock.WallMs()));
  for (auto _ : state) {
    const auto admission = auth.Admit({bearer}, Scope::kCall, "ipv4:192.0.2.1:4000");
    if (admission.caller != nullptr) state.SkipWithError("admitted");
  }
}
BENCHMARK(RefuseJwt)->ArgName("kind")->Arg(0)->Arg(1)->Arg(2);

// What each call on a stream pays: a request that is read without a token, with one of the file, and with a JWT.
void ReadCallRequest(benchmark::State& state) {
  const SystemClock clock;
  CallerAuth auth(clock);
  CallRequests requests(clock, auth, ControlOptions());
  std::string bearer;
  std::shared_ptr<Caller> from;
  std::optional<CallerAuth> of_issuer;
  if (state.range(0) == 1) {
    if (!auth.Take(FileOfTokens(1000, &bearer)).ok()) state.SkipWithError("tokens");
    from = auth.Admit({bearer}, Scope::kCall).caller;
  } else if (state.range(0) == 2) {
    const IssuerKey key = KeyOfIssuer(false);
    nlohmann::json claims = GoodClaims(clock.WallMs());
    claims["sub"] = "user_123456";
    from = AuthOfIssuer(clock, key, &of_issuer).Admit({"Bearer " + key.Token(claims)}, Scope::kCall).caller;
  }
  const std::string params = JsonOfSize(kUsualBytes);
  for (auto _ : state) {
    v1::CallToolRequest request;
    request.set_user_id("user_123456");
    request.set_tool(std::string(kTool));
    request.set_request_id(std::string(kRequestId));
    request.set_params_json(params);
    Call call;
    call.SetFrom(from);
    if (requests.Read(std::move(request), std::nullopt, &call)) state.SkipWithError("refused");
    benchmark::DoNotOptimize(call);
  }
}
BENCHMARK(ReadCallRequest)->ArgName("token")->Arg(0)->Arg(1)->Arg(2);

}  // namespace
}  // namespace toolwire

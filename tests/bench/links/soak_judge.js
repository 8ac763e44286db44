// What a soak has shown: each call as its caller saw it, held against what the agents saw. All times are milliseconds of
// the one steady clock of this machine.

// How late a call may come to an agent: a control begins to count when it has the whole call, and the last step, from
// the edge's kernel to the agent's process, is no link. Both are longer while a process of the soak does not look: the
// caller's as it sends, the agent's as it receives.
export const TOLERANCE_MS = 300;
const CALLERS_BYTES_PER_MS = 20_000;
const CERTAIN = ['AGENT_LOST', 'EDGE_UNAVAILABLE'];

const SENDING_MS = 300;
const RECEIVING_MS = 50;
// How long a process with these lags did not look in this time.
const unseen = (lags, from, to) => lags.filter(({at, ms}) => at >= from && at - ms <= to).reduce((sum, {ms}) => sum + ms, 0);

export const KINDS = {
  lost: 'no outcome',
  doubled: 'run twice, or told two outcomes',
  notSentButSeen: 'told NOT_SENT, and the agent saw it',
  runAfterDeadline: 'came to the agent after its deadline',
  sentThoughAnswered: 'told SENT without the answer, though the agent had answered in time',
};

// `callers` and `agents` are the reports of their processes. `graceMs`: how long before its deadline an answer must have
// left the agent so that only a fault of the product can make it late. `excused(call)`: an outage beyond the contract.
export function judge({callers, agents, graceMs, excused = () => false}) {
  const calls = callers.flatMap((one) => one.calls.map((call) => ({...call, lags: one.lags})));
  const repeated = new Set(callers.flatMap((one) => one.repeated));
  const seen = new Map();
  for (const {calls: some, lags} of agents) {
    for (const {requestId, seenAt, answeredAt} of some) {
      const unseenMs = unseen(lags, seenAt - RECEIVING_MS, seenAt + RECEIVING_MS);
      seen.set(requestId, [...(seen.get(requestId) ?? []), {seenAt, answeredAt, unseenMs}]);
    }
  }

  const found = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, []]));
  const outcomes = {};
  let excusedCalls = 0;
  for (const {lags, ...call} of calls) {
    const {outcome, begunAt, deadlineAt, paramsBytes} = call;
    const runs = seen.get(call.requestId) ?? [];
    const told = !outcome ? 'none' : outcome.reason ? `${outcome.reason} ${outcome.delivery ?? ''}` : outcome.success ? 'answered' : 'failed by the tool';
    outcomes[told] = (outcomes[told] ?? 0) + 1;
    const note = (kind) => found[kind].push({...call, runs});
    if (!outcome || outcome.reason === 'STREAM_ENDED') note('lost');
    if (runs.length > 1 || repeated.has(call.requestId)) note('doubled');
    if (outcome?.delivery === 'NOT_SENT' && runs.length > 0) note('notSentButSeen');
    const latest = deadlineAt + TOLERANCE_MS + paramsBytes / CALLERS_BYTES_PER_MS + unseen(lags, begunAt, begunAt + SENDING_MS);
    if (runs.some(({seenAt, unseenMs}) => seenAt - unseenMs > latest)) note('runAfterDeadline');
    if (outcome?.delivery === 'SENT' && outcome.reason !== 'CALLER_CANCELLED') {
      // What is told before the deadline needs no time for the answer to come.
      const inTime = CERTAIN.includes(outcome.reason) ? Math.min(outcome.at, deadlineAt) : deadlineAt - graceMs;
      if (!runs.some(({answeredAt}) => answeredAt < inTime)) continue;
      if (excused(call)) ++excusedCalls;
      else note('sentThoughAnswered');
    }
  }
  return {calls: calls.length, outcomes, found, excusedCalls};
}

// Connections of a link that are cut again and again while calls run, and what became of those.
import {setTimeout as sleep} from 'node:timers/promises';
import {randomOf} from './storm.js';
import {until} from './until.js';

const padding = (bytes) => 'x'.repeat(bytes);

// Cuts `cuts` times, each after fewer than `afterBytesMax` bytes; the next cut waits until more than `openingBytes` have
// passed to control. Returns what a link may not do, by kind and how often, and what to repeat it by.
export async function callsOverCuts(tw, {cuts, afterBytesMax, openingBytes}) {
  const seed = Number(process.env.TOOLWIRE_SEED ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`TOOLWIRE_SEED=${seed}`);
  const random = randomOf(seed);
  const agent = await tw.agent('user_1', {answer: ({params}) => ({success: true, result: padding(params.result)})});
  const stream = tw.caller().dispatch();
  const made = [];
  let stopped = false;
  const bytes = () => Math.floor(random() < 0.9 ? 300 : 500_000 * random());
  const calling = (async () => {
    for (let i = 0; !stopped; ++i) {
      const requestId = `call_${i}`;
      const params = {result: bytes(), padding: padding(bytes())};
      made.push({requestId, outcome: stream.call('user_1', 'echo', params, {requestId, timeoutMs: 60_000})});
      await sleep(5);
    }
  })();
  for (let cut = 0; cut < cuts; ++cut) {
    const [way, by] = [random() < 0.5 ? 'toEdge' : 'toControl', random() < 0.5 ? 'fin' : 'rst'];
    const count = (what) => tw.gate.events.filter(({event}) => event === what).length;
    const [known, dialled] = [count('cut'), count('connected')];
    await tw.gate.tell({command: 'cut', way, by, after: Math.floor(afterBytesMax * random())});
    await until('it is cut', () => count('cut') > known + 1);
    await until('it goes on', () =>
      count('connected') > dialled && [...tw.gate.connections].at(-1)?.ways.toControl.passed > openingBytes);
  }
  stopped = true;
  await calling;
  const wrong = {};
  for (const {requestId, outcome} of made) {
    const {code, reason, delivery} = await outcome;
    const runs = agent.calls.filter((call) => call.requestId === requestId).length;
    if (runs <= 1 && (code === 0 || (delivery === 'NOT_SENT' && runs === 0))) continue;
    const kind = `${reason} ${delivery}, ${runs} runs`;
    wrong[kind] = (wrong[kind] ?? 0) + 1;
  }
  return {wrong, what: `of ${made.length} calls; seed ${seed}`};
}

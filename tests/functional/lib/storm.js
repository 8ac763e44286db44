// Random numbers and schedules of faults that a seed repeats.

// Numbers from 0 up to 1 (mulberry32).
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
export const newSeed = () => Math.floor(Math.random() * 2 ** 31);

const WAYS = ['toEdge', 'toControl', 'both'];
export const STORM = {
  pauseMs: [100, 1500],             // Between the end of one fault and the beginning of the next.
  cuts: 4, stalls: 2, throttles: 2, delays: 1, refusals: 1, blackHoles: 1,  // How often, against each other.
  cutAfterBytesMax: 2 << 20,
  stallMs: [20, 1200],
  refuseMs: [20, 500],
  blackHoleMs: [20, 800],
  throttleMs: [200, 3000], bytesPerSecond: [8e6, 100e6],
  delayMs: [1, 40], delayedMs: [200, 3000],
};

// The commands of a gate over `seconds`, each with the millisecond at which it is due: by `seed` and `options` alone.
export function planOf(seed, seconds, options = {}) {
  const o = {...STORM, ...options};
  const random = randomOf(seed);
  const between = ([low, high]) => Math.round(low + (high - low) * random());
  const oneOf = (some) => some[Math.floor(random() * some.length)];
  const faults = {
    // A small number half of the time, so that hellos and single records are cut, too.
    cuts: () => [{
      command: 'cut', way: oneOf(['toEdge', 'toControl']), by: oneOf(['fin', 'rst']),
      after: Math.floor((random() < 0.5 ? 600 : o.cutAfterBytesMax) * random()), pick: random(), next: random() < 0.3,
    }, 0],
    stalls: () => lasting({command: 'stall', way: oneOf(WAYS)}, between(o.stallMs)),
    refusals: () => lasting({command: 'refuse'}, between(o.refuseMs), cutFirst()),
    blackHoles: () => lasting({command: 'blackHole'}, between(o.blackHoleMs), cutFirst()),
    throttles: () => lasting({command: 'throttle', way: oneOf(WAYS), bytesPerSecond: between(o.bytesPerSecond)}, between(o.throttleMs)),
    delays: () => lasting({command: 'delay', way: oneOf(WAYS), delayMs: between(o.delayMs), jitterMs: between(o.delayMs)}, between(o.delayedMs)),
  };
  const lasting = (command, ms, first) => [{...command, ms}, ms, first];
  // What only new connections feel needs some.
  const cutFirst = () => ({command: 'cut', by: oneOf(['fin', 'rst']), pick: random()});
  const kinds = Object.keys(faults).flatMap((kind) => Array(o[kind]).fill(kind));
  const plan = [];
  for (let at = between(o.pauseMs); at < 1000 * seconds;) {
    const [command, ms, first] = faults[oneOf(kinds)]();
    plan.push({at, ...command});
    if (first) plan.push({at, ...first});
    at += ms + between(o.pauseMs);
  }
  return plan;
}

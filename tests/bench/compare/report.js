// The tables: what was measured, and Toolwire's figures as ratios beside its budgets.
const median = (values) => {
  const sorted = values.filter((value) => value !== undefined && value !== null).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2;
};
const sum = (...values) => values.reduce((total, value) => total + (value ?? 0), 0);

// The figures of one run. Undefined: does not apply, or not measured.
function figures(result) {
  const at = (concurrency) => result.rounds.filter((round) => round.concurrency === concurrency);
  const cpu = (who) => median(at(64).map((round) => round.cpu_us_per_call[who]));
  const rates = at(64).map((round) => round.calls_per_s);
  const idle = result.idle_cpu_percent ?? {};
  return {
    p50AtOne: median(at(1).map((round) => round.p50_ms)),
    rate: median(rates),
    rateRange: [Math.min(...rates), Math.max(...rates)],
    p50: median(at(64).map((round) => round.p50_ms)),
    p99: median(at(64).map((round) => round.p99_ms)),
    cpu: cpu('servers'),
    cpuRedis: cpu('redis'),
    cpuPostgres: cpu('postgres'),
    cpuWithRedis: sum(cpu('servers'), cpu('redis')),
    cpuAll: sum(cpu('servers'), cpu('redis'), cpu('postgres')),
    cpuAgents: cpu('agents'),
    auditLagMs: median(at(64).map((round) => round.audit_lag_ms)),
    cpuCallers: median(at(64).map((round) => round.caller_cpu_us_per_call)),
    rssKb: result.idle_cpu_percent && result.rss_bytes_per_agent / 1000,
    connectS: result.idle_cpu_percent && result.connect_ms / 1000,
    refused: result.refused,
    idleCpu: idle.servers,
    idleCpuRedis: idle.redis,
    idleCpuPostgres: idle.postgres,
  };
}

// How a round gives a figure, for those that are measured in every round.
const OF_ROUND = {
  p50AtOne: {concurrency: 1, of: ({p50_ms}) => p50_ms},
  rate: {concurrency: 64, of: ({calls_per_s}) => calls_per_s},
  cpu: {concurrency: 64, of: ({cpu_us_per_call: cpu}) => cpu.servers},
  cpuWithRedis: {concurrency: 64, of: ({cpu_us_per_call: cpu}) => sum(cpu.servers, cpu.redis)},
  cpuAll: {concurrency: 64, of: ({cpu_us_per_call: cpu}) => sum(cpu.servers, cpu.redis, cpu.postgres)},
};

// A figure of one system by that of another. If it was measured in rounds: the median of the rounds' ratios, as a round
// of both meets the machine in the same mood.
function ratio(figure, own, other) {
  if (!own || !other) return undefined;
  const [ofOwn, ofOther] = [figures(own)[figure], figures(other)[figure]];
  if (!(ofOther > 0)) return undefined;
  if (!OF_ROUND[figure]) return ofOwn / ofOther;
  const {concurrency, of} = OF_ROUND[figure];
  const values = ({rounds}) => rounds.filter((round) => round.concurrency === concurrency).map(of);
  const others = values(other);
  return median(values(own).map((value, round) => value / others[round]));
}

function number(value, digits = 0) {
  if (value === undefined) return '–';
  return value.toLocaleString('en-US', {minimumFractionDigits: digits, maximumFractionDigits: digits});
}

// Rows as a Markdown table that also reads well as it is: the first column to the left, the others to the right.
function markdown(rows) {
  const widths = rows[0].map((_, column) => Math.max(3, ...rows.map((row) => row[column].length)));
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const padded = rows.map((row) =>
    line(row.map((cell, column) => (column ? cell.padStart(widths[column]) : cell.padEnd(widths[column])))));
  const rule = line(widths.map((width, column) => (column ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width))));
  return [padded[0], rule, ...padded.slice(1)];
}

export function tables(results) {
  const all = results.map((result) => ({name: `${number(result.agents)} ${result.title}`, ...figures(result)}));
  const calls = all.map((one) => [
    one.name, number(one.p50AtOne, 2), number(one.rate), one.rateRange.map((value) => number(value)).join('–'),
    number(one.p50, 1), number(one.p99, 1), number(one.cpu, 1), number(one.cpuRedis, 1), number(one.cpuPostgres, 1),
    number(one.cpuAgents, 1), number(one.cpuCallers, 1), number(one.auditLagMs),
  ]);
  const idle = all.filter(({rssKb}) => rssKb !== undefined).map((one) => [
    one.name, number(one.rssKb, 1), number(one.connectS, 1), number(one.refused), number(one.idleCpu, 1),
    number(one.idleCpuRedis, 1), number(one.idleCpuPostgres, 1),
  ]);
  return [
    ...markdown([[
      'agents, system', '1 caller: p50 ms', '64 callers: calls/s', 'range', 'p50 ms', 'p99 ms', 'CPU µs/call: servers',
      '+ Redis', '+ PostgreSQL', '(agents)', '(callers)', 'audit behind by ms',
    ], ...calls]),
    '',
    ...markdown([[
      'idle agents', 'RSS kB per agent', 'connected in s', 'refused', 'CPU %: servers', '+ Redis', '+ PostgreSQL',
    ], ...idle]),
    '',
    'CPU per call: at 64 callers, until the last audit row is written, which is so long after the last answer as the last',
    'column says. CPU when idle: per cent of one core. Logins, heartbeats every 30 s and an audit row for each call:',
    'Toolwire and the Node.js server; NATS has none of the three.',
  ];
}

// `figure` of Toolwire, against NATS's and the seed's. `holds` says it of `budget`, from Toolwire's and the ratio to NATS.
const COMPARED = [
  {title: '1 caller, p50 (ms)', figure: 'p50AtOne', digits: 2, budget: '≤ 1.0 × NATS', holds: (_, nats) => nats <= 1},
  {title: '64 callers, calls/s', figure: 'rate', digits: 0, budget: '≥ 1.5 × NATS', holds: (_, nats) => nats >= 1.5},
  {title: 'CPU µs/call: servers', figure: 'cpu', digits: 1},
  {title: '… with Redis', figure: 'cpuWithRedis', digits: 1, budget: '≤ 1.0 × NATS', holds: (_, nats) => nats <= 1},
  {title: '… and PostgreSQL', figure: 'cpuAll', digits: 1, budget: '≤ 1.0 × NATS', holds: (_, nats) => nats <= 1},
  {title: 'RSS per idle agent (kB)', figure: 'rssKb', digits: 1, budget: '≤ 6 kB', holds: (own) => own <= 6},
  {title: 'connected in (s)', figure: 'connectS', digits: 1, budget: '10,000 in ≤ 5 s', holds: (own) => own <= 5},
  {title: 'idle CPU, servers (%)', figure: 'idleCpu', digits: 1, budget: '10,000: < 5 %', holds: (own) => own < 5},
  {title: 'logins refused', figure: 'refused', digits: 0, budget: 'none', holds: (own) => own === 0},
];

// A budget for 10,000 agents is not judged by fewer.
const applies = (budget, agents) => !budget.startsWith('10,000') || agents >= 10_000;

export function budgets(results) {
  const counts = [...new Set(results.map((result) => result.agents))];
  const find = (system, agents) => results.find((result) => result.system === system && result.agents === agents);
  // `own` beside the others, and beside its budgets: those about NATS are judged by one server and, where it was
  // measured, by two.
  const table = (title, own, others, compared) => {
    const [nats, pair] = others;
    const judge = (holds, figure, budget) => {
      const verdict = (other) => (holds(figures(own)[figure], ratio(figure, own, other)) ? 'met' : 'MISSED');
      return budget.includes('NATS') && pair ? `one: ${verdict(nats)}, two: ${verdict(pair)}` : verdict(nats);
    };
    const rows = compared.map(({title: name, figure, digits, budget, holds}) => {
      const applicable = budget && applies(budget, own.agents) && (!budget.includes('NATS') || ratio(figure, own, nats));
      const ratios = others.map((other) => number(ratio(figure, own, other), 2));
      const verdict = applicable ? judge(holds, figure, budget) : '';
      return [name, number(figures(own)[figure], digits), ...ratios, budget ?? '', verdict];
    });
    return markdown([[`${number(own.agents)} agents`, ...title, 'budget', ''], ...rows]);
  };
  const lines = [];
  for (const agents of counts) {
    const [own, split, dev] = ['toolwire', 'toolwire-split', 'toolwire-dev'].map((name) => find(name, agents));
    const [nats, pair] = [find('nats', agents), find('nats-pair', agents)];
    if (own) {
      const others = [nats, pair, find('seed', agents)];
      lines.push(...table(['Toolwire', '/ NATS', '/ NATS, 2 servers', '/ seed'], own, others, COMPARED), '');
    }
    // Two processes, without a database beside them that NATS does not have either.
    if (split && nats) {
      lines.push(...table(['Toolwire, SQLite', '/ NATS', '/ NATS, 2 servers'], split, [nats, pair], COMPARED.slice(0, 3)), '');
    }
    // One process beside one process.
    if (dev && nats) lines.push(...table(['Toolwire dev', '/ NATS'], dev, [nats], COMPARED.slice(0, 3)), '');
  }
  const [few, many] = [Math.min(...counts), Math.max(...counts)];
  const [ofFew, ofMany] = [find('toolwire', few), find('toolwire', many)];
  if (many >= 10 * few && ofFew && ofMany) {
    const same = {p50AtOne: '1 caller, p50', rate: '64 callers, calls/s', cpuWithRedis: 'CPU/call with Redis'};
    lines.push(...markdown([
      [`Toolwire: ${number(many)} agents / ${number(few)}`, 'ratio', 'budget (10,000 / 100)', ''],
      ...Object.entries(same).map(([figure, title]) => {
        const change = figures(ofMany)[figure] / figures(ofFew)[figure];
        const worse = figure === 'rate' ? 1 / change : change;
        return [title, number(change, 2), 'within 10 %', worse <= 1.1 ? 'met' : 'MISSED'];
      }),
    ]));
  }
  return lines;
}

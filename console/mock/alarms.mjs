// Made-up alarms and rules for the stand-in: those of a machine and of the vehicles that raise some, and what a back-test finds.
// Nothing here is computed by a rule.

const OPEN = ['critical', 'high', 'medium', 'low'];
const FOUND = 12;

const both = (zh, en) => ({ zh, en });

const text = (id, when) => `[[rule]]
id = "${id}"
version = 1
profile = "vehicle"
when = '${when}'
`;

function rule(id, priority, title, when, more = {}) {
  return {
    id,
    version: 1,
    profile: 'vehicle',
    assets: '*',
    priority,
    title,
    advice: both('安排检查', 'Have it looked at'),
    rationale: both('不应如此', 'It should not be so'),
    source: 'a stand-in',
    explanation: both('{soc}', '{soc} left'),
    enabled: true,
    when,
    on_delay_secs: 60,
    off_delay_secs: 0,
    latched: false,
    place: `rules/made-up.toml:${id.length}`,
    text: text(id, when),
    open: 0,
    ...more,
  };
}

const RULES = [
  rule('charge-empty', 'low', both('电量低', 'State of charge is low'), 'vehicle_soc < 10', {
    clear: 'vehicle_soc > 15',
  }),
  rule('insulation-low', 'critical', both('绝缘电阻过低', 'Insulation is too low'), 'vehicle_insulation < 40', {
    latched: true,
  }),
  rule('never-on', 'medium', both('已停用', 'Not in use yet'), 'vehicle_speed > 100', { enabled: false }),
];

/** Each a consequence of the one before, the first one of a door that is open. */
const CHAIN = [
  ['spindle-held', 'medium', both('主轴停转', 'The spindle is held')],
  ['part-late', 'low', both('工件延误', 'The part is late')],
];

function alarm(asset, id, priority, title, nowMs) {
  return {
    asset,
    rule: id,
    state: 'unacknowledged',
    active: true,
    priority,
    title,
    explanation: both('如此', 'so it is'),
    version: 1,
    values: [],
    raised: new Date(nowMs - 600_000).toISOString(),
    changed: new Date(nowMs - 600_000).toISOString(),
    times: 1,
    chattering: false,
    stale: false,
  };
}

function target(name, kind, more) {
  const nothing = { reason: null, last_success: null, last_error: null, last_error_at: null };
  return { name, kind, state: 'ready', waiting_about: 0, told: 0, given_up: 0, failures: 0, ...nothing, ...more };
}

/** Those who are told: one that takes all, one that is down, and one that is configured wrongly. */
export function targets(nowMs) {
  const ago = (secs) => new Date(nowMs - secs * 1_000).toISOString();
  const refused = { last_error: 'web hook: connection refused', last_error_at: ago(40) };
  return [
    target('shift', 'smtp', { told: 1_204, last_success: ago(90) }),
    target('manager', 'webhook', {
      state: 'retrying',
      waiting_about: 17,
      told: 3,
      last_success: ago(4_000),
      given_up: 1,
      failures: 9,
      ...refused,
    }),
    target('bus', 'mqtt', { state: 'failed', reason: 'password_file: cannot read `mqtt-password.txt`' }),
  ];
}

export class Alarms {
  constructor(plant, fleet, nowMs) {
    const machine = plant.machines[1]?.asset;
    const servo = both('伺服过热', 'Servo is too hot');
    const door = both('门未关', 'The door is open');
    const ofMachine = machine
      ? [
          alarm(machine, 'condition:servo:4711', 'high', servo, nowMs),
          alarm(machine, 'door', 'low', door, nowMs),
          ...CHAIN.map(([id, priority, title], i) => ({
            ...alarm(machine, id, priority, title, nowMs),
            consequence_of: i === 0 ? { rule: 'door', title: door } : { rule: CHAIN[i - 1][0], title: CHAIN[i - 1][2] },
          })),
        ]
      : [];
    const ofVehicles = fleet.rows.flatMap(({ asset, alarms, priority }) =>
      Array.from({ length: alarms }, (_, i) => {
        const { id, title } = RULES[i % 2];
        const one = alarm(asset, i < 2 ? id : `${id}-${i}`, i === 0 ? priority : 'low', title, nowMs);
        return i < 2 ? one : { ...one, consequence_of: { rule: RULES[i - 2].id, title: RULES[i - 2].title } };
      }),
    );
    this.all = [...ofMachine, ...ofVehicles].sort((a, b) => OPEN.indexOf(a.priority) - OPEN.indexOf(b.priority));
  }

  told(query) {
    const [asset, rule, state] = ['asset', 'rule', 'state'].map((name) => query.get(name));
    const is = (wanted, got) => (wanted.endsWith('*') ? got.startsWith(wanted.slice(0, -1)) : got === wanted);
    const found = this.all.filter(
      (one) =>
        (state === null || ['open', 'all', one.state].includes(state)) &&
        (asset === null || is(asset, one.asset)) &&
        (rule === null || one.rule === rule),
    );
    const open = Object.fromEntries(OPEN.map((priority) => [priority, 0]));
    for (const { priority } of this.all) open[priority] += 1;
    const assets = {};
    for (const { asset, priority } of found) {
      assets[asset] = { alarms: (assets[asset]?.alarms ?? 0) + 1, priority: assets[asset]?.priority ?? priority };
    }
    return {
      revision: 1,
      alarms: found.slice(0, Number(query.get('limit') ?? 500)),
      total: found.length,
      states: { unacknowledged: this.all.length },
      open,
      ...(query.get('by') === 'asset' ? { assets } : {}),
    };
  }

  rules(nowMs) {
    const rules = RULES.map((one) => ({ ...one, open: this.all.filter(({ rule }) => rule === one.id).length }));
    return { rules, mistakes: [], late: 0, looked_at: new Date(nowMs).toISOString() };
  }

  /** What a rule, or a text, would have raised; a text whose `when` has no comparison is a mistake. */
  backtest({ rule, text, from, to }, fleet) {
    const [fromMs, toMs] = [Date.parse(from), Date.parse(to)];
    const bucketSecs = toMs - fromMs > 2 * 86_400_000 ? 86_400 : 3_600;
    const line = text?.split('\n').findIndex((one) => one.startsWith('when')) ?? 0;
    const isWrong = text !== undefined && !/when = '.*[<>]/.test(text);
    const id = rule ?? /id = "([^"]*)"/.exec(text)?.[1] ?? 'text';
    const counts = Array.from({ length: Math.ceil((toMs - fromMs) / bucketSecs / 1000) }, () => 0);
    const alarms = (isWrong ? [] : fleet.rows.slice(0, FOUND)).map(({ asset }, i) => {
      const raisedMs = toMs - ((i + 1) * (toMs - fromMs)) / (2 * FOUND);
      counts[Math.floor((raisedMs - fromMs) / bucketSecs / 1000)] += 1;
      const explanation = both('剩余 9 %', '9 % left');
      const [raised, returned] = [raisedMs, raisedMs + 300_000].map((ms) => new Date(ms).toISOString());
      return { rule: id, asset, priority: 'low', raised, explanation, ...(i > 0 ? { returned } : {}) };
    });
    const heard = fleet.rows.length;
    const figures = {
      rule: id,
      version: 1,
      alarms: alarms.length,
      active: 1,
      assets: alarms.length,
      assets_heard: heard,
      asset_days: heard,
      alarms_per_1000_asset_days: (alarms.length * 1_000) / heard,
    };
    const problem = { rule: id, line: line + 1, problem: 'when: expected a condition, got a number' };
    return {
      from,
      to,
      problems: isWrong ? [problem] : [],
      figures: isWrong ? [] : [figures],
      alarms,
      total: alarms.length,
      bucket_secs: bucketSecs,
      counts: isWrong ? {} : { [id]: counts },
      covered: { assets: heard, assets_in_all: heard },
      cost: { rows: isWrong ? 0 : heard * 1_000, rules_cpu_secs: 0.1, reading_cpu_secs: 0.2 },
      elapsed_ms: 321,
    };
  }
}

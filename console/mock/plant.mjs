// A dozen simulated machine tools for the console's end-to-end test: seeded, with a past of 24 hours and a lively
// present. It imitates what the server would say, not how a machine works; `crates/sim` does that.

const POINTS_MAX = 40_000;

/** A seeded generator of numbers in [0, 1). */
function mulberry32(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const signal = (id, meaning, kind, unit = null, description = null) => ({
  id,
  meaning: `mtconnect:${meaning}`,
  kind,
  unit,
  description,
});

function modernSignals(axes) {
  const path = 'Controller/Path[P1]';
  return [
    signal('avail', 'AVAILABILITY', 'text'),
    signal('estop', 'EMERGENCY_STOP', 'text', null, 'Controller'),
    signal('mode', 'CONTROLLER_MODE', 'text', null, path),
    signal('execution', 'EXECUTION', 'text', null, path),
    signal('program', 'PROGRAM', 'text', null, path),
    signal('block', 'BLOCK', 'text', null, path),
    signal('line', 'LINE_NUMBER', 'integer', null, path),
    signal('parts', 'PART_COUNT.ALL', 'integer', null, path),
    signal('tool', 'TOOL_NUMBER', 'text', null, path),
    signal('Fact', 'PATH_FEEDRATE.ACTUAL', 'number', 'mm/s', path),
    signal('Fovr', 'PATH_FEEDRATE_OVERRIDE.PROGRAMMED', 'number', '%', path),
    ...axes.flatMap((axis) => [
      signal(`${axis}act`, 'POSITION.ACTUAL', 'number', 'mm', `Axes/Linear[${axis}]`),
      signal(`${axis}load`, 'LOAD', 'number', '%', `Axes/Linear[${axis}]`),
      signal(`${axis}servo`, 'ACTUATOR', 'condition', null, `Axes/Linear[${axis}]`),
    ]),
    signal('Srpm', 'ROTARY_VELOCITY.ACTUAL', 'number', '/min', 'Axes/Rotary[S1]'),
    signal('Sload', 'LOAD', 'number', '%', 'Axes/Rotary[S1]'),
    signal('Stemp', 'TEMPERATURE', 'number', 'Cel', 'Axes/Rotary[S1]'),
    signal('Scond', 'TEMPERATURE', 'condition', null, 'Axes/Rotary[S1]'),
    signal('system', 'SYSTEM', 'condition', null, 'Controller'),
    signal('logic', 'LOGIC_PROGRAM', 'condition', null, 'Controller'),
    signal('coolant', 'LEVEL', 'condition', null, 'Systems/Coolant'),
  ];
}

/** As old model files have it: SPINDLE_SPEED, PART_COUNT without sub-type, no emergency stop. */
function legacySignals() {
  return [
    signal('avail', 'AVAILABILITY', 'text'),
    signal('mode', 'CONTROLLER_MODE', 'text', null, 'Controller'),
    signal('execution', 'EXECUTION', 'text', null, 'Controller'),
    signal('program', 'PROGRAM', 'text', null, 'Controller'),
    signal('parts', 'PART_COUNT', 'integer', null, 'Controller'),
    signal('Srpm', 'SPINDLE_SPEED', 'number', '/min', 'Axes/Spindle[S1]'),
    signal('Sload', 'LOAD', 'number', '%', 'Axes/Spindle[S1]'),
    signal('Fact', 'PATH_FEEDRATE', 'number', 'mm/s', 'Controller'),
    signal('system', 'SYSTEM', 'condition', null, 'Controller'),
  ];
}

export const profiles = [
  { id: 'lathe', shape: 'changes', signals: modernSignals(['X', 'Z']) },
  { id: 'mill3', shape: 'changes', signals: modernSignals(['X', 'Y', 'Z']) },
  { id: 'mill5', shape: 'changes', signals: modernSignals(['X', 'Y', 'Z', 'A', 'C']) },
  { id: 'legacy_lathe', shape: 'changes', signals: legacySignals() },
];

const FLEET = [
  ['lathe-01', 'lathe'],
  ['lathe-02', 'lathe'],
  ['lathe-03', 'lathe'],
  ['lathe-04', 'legacy_lathe'],
  ['mill-01', 'mill3'],
  ['mill-02', 'mill3'],
  ['mill-03', 'mill3'],
  ['mill-04', 'mill3'],
  ['five-axis-01', 'mill5'],
  ['five-axis-02', 'mill5'],
  ['五轴-03', 'mill5'],
  ['OKUMA.MULTUS-U3000.123456', 'mill5'],
];

/** From each execution the next ones, with their weight, and how long it lasts in seconds. */
const NEXT = {
  ACTIVE: {
    lastsSecs: [240, 1500],
    to: [
      ['PROGRAM_COMPLETED', 6],
      ['FEED_HOLD', 2],
      ['OPTIONAL_STOP', 1],
      ['INTERRUPTED', 1],
    ],
  },
  PROGRAM_COMPLETED: {
    lastsSecs: [20, 200],
    to: [
      ['READY', 5],
      ['ACTIVE', 4],
    ],
  },
  READY: {
    lastsSecs: [60, 900],
    to: [
      ['ACTIVE', 6],
      ['STOPPED', 1],
    ],
  },
  FEED_HOLD: { lastsSecs: [15, 240], to: [['ACTIVE', 1]] },
  OPTIONAL_STOP: { lastsSecs: [30, 300], to: [['ACTIVE', 1]] },
  INTERRUPTED: {
    lastsSecs: [60, 700],
    to: [
      ['ACTIVE', 2],
      ['READY', 1],
    ],
  },
  STOPPED: { lastsSecs: [60, 1200], to: [['READY', 1]] },
};

const CONDITIONS = [
  ['Scond', 'WARNING', '2041', 'Spindle temperature above 65 °C', 'HIGH'],
  ['coolant', 'WARNING', '1007', '冷却液液位低', 'LOW'],
  ['logic', 'FAULT', '700012', 'Door interlock open', null],
  ['system', 'FAULT', '401', 'SERVO ALARM: X AXIS VRDY OFF', null],
];

export class Plant {
  constructor({ seed, nowMs, pace, machines, historyMs }) {
    this.random = mulberry32(seed);
    this.pace = pace;
    this.historyMs = historyMs;
    this.changes = [];
    this.machines = Array.from({ length: machines }, (_, i) => {
      const [name, profile] = FLEET[i % FLEET.length];
      const round = Math.floor(i / FLEET.length);
      return this.#make(round === 0 ? name : `${name}-${round + 1}`, profile, i, nowMs);
    });
  }

  #make(name, profileId, index, nowMs) {
    const profile = profiles.find((candidate) => candidate.id === profileId);
    const machine = {
      asset: `machine/${name}`,
      profile,
      series: new Map(profile.signals.map(({ id }) => [id, []])),
      current: new Map(),
      active: new Map(),
      execution: 'READY',
      nextMs: 0,
      parts: Math.floor(this.random() * 40),
      offline: index === 6,
      tool: 1 + (index % 8),
      program: ['O1234 (SHAFT D42)', 'O0815', 'HOUSING-OP20.MPF', 'IMPELLER_R7', '法兰盘-2工序.NC'][index % 5],
    };
    this.#live(machine, nowMs - this.historyMs, nowMs - (machine.offline ? 47 * 60_000 : 0));
    // What the past left running ends soon, each machine at its own moment.
    machine.nextMs = Math.min(machine.nextMs, nowMs + 3000 + this.random() * 40_000);
    if (machine.offline) {
      for (const { id, kind } of profile.signals) {
        if (kind === 'condition') this.#condition(machine, id, 'UNAVAILABLE', null, null, null, nowMs - 47 * 60_000);
        else this.#say(machine, id, null, nowMs - 47 * 60_000);
      }
    }
    if (index === 2 || index === 8) this.#condition(machine, ...CONDITIONS[index === 2 ? 3 : 0], nowMs - 9 * 60_000);
    if (index === 2) this.#condition(machine, ...CONDITIONS[2], nowMs - 8 * 60_000);
    if (index === 4) this.#condition(machine, ...CONDITIONS[1], nowMs - 4 * 60_000);
    return machine;
  }

  /** The past, in coarse steps. */
  #live(machine, fromMs, toMs) {
    this.#say(machine, 'avail', 'AVAILABLE', fromMs);
    this.#say(machine, 'estop', 'ARMED', fromMs);
    this.#say(machine, 'mode', 'AUTOMATIC', fromMs);
    this.#say(machine, 'program', machine.program, fromMs);
    for (const { id, kind } of machine.profile.signals) {
      if (kind === 'condition') this.#condition(machine, id, 'NORMAL', null, null, null, fromMs);
    }
    for (let time = fromMs; time < toMs; time += 20_000 + this.random() * 10_000) this.#step(machine, time, 1);
  }

  /** The present: what happens in one tick. Returns the observations. */
  tick(nowMs) {
    this.changes = [];
    for (const machine of this.machines) if (!machine.offline) this.#step(machine, nowMs, this.pace);
    return this.changes;
  }

  #step(machine, timeMs, pace) {
    if (timeMs >= machine.nextMs) this.#turn(machine, timeMs, pace);
    const cutting = machine.execution === 'ACTIVE';
    const wave = Math.sin(timeMs / 47_000) * Math.sin(timeMs / 11_000);
    const noise = (this.random() - 0.5) * 8;
    const load = cutting ? Math.max(2, 52 + 34 * wave + noise) : 0;
    const speed = cutting ? 2400 + Math.round(wave * 8) * 100 + Math.round(noise) : 0;
    this.#say(machine, 'Sload', Math.round(load * 10) / 10, timeMs);
    this.#say(machine, 'Srpm', speed, timeMs);
    this.#say(machine, 'Fact', cutting ? Math.round((18 + 9 * wave) * 100) / 100 : 0, timeMs);
    this.#say(machine, 'Stemp', Math.round((34 + load / 5) * 10) / 10, timeMs);
    this.#say(machine, 'Xact', Math.round(wave * 180_000) / 1000, timeMs);
    this.#say(machine, 'Zact', Math.round(Math.cos(timeMs / 31_000) * 240_000) / 1000, timeMs);
    this.#say(machine, 'Xload', cutting ? Math.round(20 + 12 * wave) : 0, timeMs);
    if (cutting) this.#say(machine, 'line', Math.floor(timeMs / 1700) % 900, timeMs);
    if (cutting) this.#say(machine, 'block', `N${Math.floor(timeMs / 1700) % 900} G1 X${wave.toFixed(3)} F0.2`, timeMs);
  }

  #turn(machine, timeMs, pace) {
    const choices = NEXT[machine.execution].to;
    let dice = this.random() * choices.reduce((sum, [, weight]) => sum + weight, 0);
    const [next] = choices.find(([, weight]) => (dice -= weight) < 0) ?? choices[0];
    const [least, most] = NEXT[next].lastsSecs;
    machine.execution = next;
    machine.nextMs = timeMs + ((least + this.random() * (most - least)) * 1000) / pace;
    this.#say(machine, 'execution', next, timeMs);
    if (next === 'PROGRAM_COMPLETED') this.#say(machine, 'parts', ++machine.parts, timeMs);
    if (next === 'ACTIVE') this.#say(machine, 'tool', String((machine.tool = 1 + ((machine.tool + 2) % 12))), timeMs);
    if (next === 'INTERRUPTED') {
      const [id, level, code, message, qualifier] = CONDITIONS[Math.floor(this.random() * CONDITIONS.length)];
      this.#condition(machine, id, level, code, message, qualifier, timeMs);
      machine.clearing = id;
    } else if (machine.clearing) {
      this.#condition(machine, machine.clearing, 'NORMAL', null, null, null, timeMs);
      machine.clearing = null;
    }
  }

  #say(machine, id, value, timeMs) {
    const series = machine.series.get(id);
    if (!series || series.at(-1)?.[1] === value) return;
    series.push([timeMs, value]);
    if (series.length > POINTS_MAX) series.splice(0, POINTS_MAX / 10);
    const numeric = typeof value === 'number';
    this.#publish(machine, id, timeMs, {
      quality: value === null ? 'unavailable' : 'good',
      value: numeric ? value : null,
      text: numeric ? null : value,
    });
  }

  #condition(machine, id, level, code, message, qualifier, timeMs) {
    const series = machine.series.get(id);
    if (!series) return;
    series.push([timeMs, level === 'UNAVAILABLE' ? null : level, code, message]);
    const condition = { level, native_code: code, native_severity: null, qualifier, message };
    const quality = level === 'UNAVAILABLE' ? 'unavailable' : 'good';
    const observation = this.#publish(machine, id, timeMs, { quality, value: null, text: level, condition });
    const active = machine.active.get(id) ?? new Map();
    if (level === 'WARNING' || level === 'FAULT') active.set(code, observation);
    else active.clear();
    machine.active.set(id, active);
  }

  #publish(machine, id, timeMs, said) {
    const time = new Date(timeMs).toISOString();
    const observation = { asset: machine.asset, signal: id, time, received: time, sequence: 0, ...said };
    machine.current.set(id, observation);
    this.changes.push(observation);
    return observation;
  }

  currentOf(machine) {
    return [...machine.current.entries()].flatMap(([id, latest]) => {
      const active = [...(machine.active.get(id)?.values() ?? [])];
      return active.length > 0 ? active : [latest];
    });
  }

  history(machine, id, fromMs, toMs, pointsMax) {
    const { kind, unit } = machine.profile.signals.find((candidate) => candidate.id === id);
    const all = machine.series.get(id);
    const first = all.findLastIndex(([time]) => time < fromMs);
    const inside = all.filter(([time]) => time >= fromMs && time <= toMs);
    const points = first >= 0 ? [[fromMs, ...all[first].slice(1)], ...inside] : inside;
    const step = Math.max(1, Math.ceil(points.length / pointsMax));
    const kept = kind === 'number' ? points.filter((_, i) => i % step === 0) : points;
    const times = kept.map(([time]) => time);
    const said = kept.map(([, value]) => value);
    if (kind === 'number' || kind === 'integer') return { signal: id, kind, unit, times, values: said };
    if (kind !== 'condition') return { signal: id, kind, unit, times, texts: said };
    const [codes, messages] = [2, 3].map((place) => kept.map((point) => point[place] ?? null));
    return { signal: id, kind, unit, times, texts: said, codes, messages };
  }
}

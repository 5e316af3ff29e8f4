// A made-up fleet for the stand-in: vehicles around cities, that drive, charge and fall silent, from a seed. Answers the
// routes about vehicles. What it says is not checked against the standard; the server's tests do that.

const OFFLINE_SECS = 600;
const PRIORITIES = ['low', 'medium', 'high', 'critical'];
const STATES = ['driving', 'charging', 'parked', 'off', 'offline', 'never'];
/** Longitude, latitude, share of the fleet. */
const CITIES = [
  [121.47, 31.23, 14],
  [113.26, 23.13, 13],
  [114.06, 22.54, 11],
  [116.4, 39.9, 11],
  [120.16, 30.27, 7],
  [104.07, 30.66, 7],
  [114.3, 30.59, 5],
  [106.55, 29.56, 5],
  [108.94, 34.34, 5],
  [118.8, 32.06, 5],
  [113.62, 34.75, 4],
  [112.94, 28.23, 4],
  [117.23, 31.82, 4],
  [117.2, 39.12, 3],
  [120.38, 36.07, 3],
  [123.43, 41.8, 2],
  [126.63, 45.75, 1],
  [102.83, 24.88, 2],
  [87.62, 43.82, 1],
  [110.35, 20.02, 2],
  [91.11, 29.65, 0.2],
];
const SHARES = CITIES.reduce((sum, [, , share]) => sum + share, 0);
const PACKS = [48, 48, 48, 48];

/** What a vehicle answers to a question for parameters. */
const ANSWER = {
  parameters: [
    { number: 2, id: 'report_period', value: { raw: 30, value: 30, unit: 's' } },
    { number: 7, id: 'hardware_version', value: { text: 'H1.20' } },
    { number: 8, id: 'firmware_version', value: { text: 'F2.41' } },
  ],
};

const SIGNALS = [
  ['report_edition', 'integer', null, '版本 Edition'],
  ['vehicle_state', 'integer', null, '车辆状态 Vehicle state'],
  ['vehicle_charging', 'integer', null, '充电状态 Charging state'],
  ['vehicle_mode', 'integer', null, '运行模式 Running mode'],
  ['vehicle_speed', 'integer', 'km/h', '车速 Speed'],
  ['vehicle_odometer', 'integer', 'km', '累计里程 Odometer'],
  ['vehicle_voltage', 'integer', 'V', '总电压 Total voltage'],
  ['vehicle_current', 'integer', 'A', '总电流 Total current'],
  ['vehicle_soc', 'integer', '%', 'SOC State of charge'],
  ['vehicle_dc_dc', 'integer', null, 'DC/DC状态 DC-DC state'],
  ['vehicle_insulation', 'integer', 'kOhm', '绝缘电阻 Insulation resistance'],
  ['motor_speed', 'vector', '/min', '驱动电机转速 Motor speed'],
  ['motor_temperature', 'vector', 'Cel', '驱动电机温度 Motor temperature'],
  ['position_longitude', 'integer', 'deg', '经度 Longitude'],
  ['position_latitude', 'integer', 'deg', '纬度 Latitude'],
  ['alarm_level', 'integer', null, '最高报警等级 Highest alarm level'],
  ['alarm_flags', 'integer', null, '通用报警标志 General alarm flags'],
  ['alarm_battery_faults', 'vector', null, '可充电储能装置故障代码列表 Fault codes of the battery'],
  ['alarm_flag_bit', 'vector', null, '通用报警标志位 Bit of the flag'],
  ['alarm_flag_level', 'vector', null, '报警等级 Its level'],
  ['pack_number', 'vector', null, '可充电储能子系统号 Subsystem number'],
  ['cell_voltage', 'vector', 'V', '单体电池电压 Cell voltages'],
  ['cell_voltage_count', 'vector', null, '单体电池电压个数 Cell voltages, how many'],
  ['probe_pack_number', 'vector', null, '可充电储能子系统号 Subsystem number'],
  ['cell_temperature', 'vector', 'Cel', '各温度探针检测到的温度值 Probe temperatures'],
  ['cell_temperature_count', 'vector', null, '各温度探针检测到的温度值个数 Probe temperatures, how many'],
];

export const vehicleProfile = {
  id: 'vehicle',
  shape: 'frames',
  signals: SIGNALS.map(([id, kind, unit, description]) => ({
    id,
    meaning: `gbt32960:${id.replace('_', '.')}`,
    kind,
    unit,
    description,
  })),
};

function randomOf(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function made(place, random, nowMs) {
  const bell = () => random() + random() + random() - 1.5;
  const dice = random();
  const state = dice < 0.31 ? 0 : dice < 0.5 ? 1 : dice < 0.62 ? 2 : dice < 0.86 ? 3 : dice < 0.99 ? 4 : 5;
  let share = random() * SHARES;
  const [longitude, latitude] = CITIES.find(([, , of]) => (share -= of) <= 0) ?? CITIES[0];
  const wide = random() < 0.12 ? 3 : 0.28;
  const alarm = random();
  const level = alarm < 0.9 ? 0 : alarm < 0.97 ? 1 : alarm < 0.995 ? 2 : alarm < 0.99975 ? 3 : 4;
  const never = state === 5;
  const edition = random() < 0.35 ? 2025 : 2016;
  const speed = state === 0 ? Math.round(50 + 700 * random()) / 10 : 0;
  const silentMs = state === 4 ? OFFLINE_SECS * 1000 + 40 * 86_400_000 * random() ** 6 : 30_000 * random();
  const heardMs = nowMs - silentMs;
  return {
    place,
    asset: '',
    vin: `LTMTEST${String(place).padStart(10, '0')}`,
    edition: never ? null : edition,
    state: STATES[state],
    soc: never ? null : Math.round(5 + 95 * random() ** 0.7),
    speed: never ? null : speed,
    odometer: never ? null : Math.round(1_800_000 * random() ** 1.5) / 10,
    voltage: never ? null : Math.round(3400 + 500 * random()) / 10,
    current: never ? null : Math.round((state === 1 ? -600 : state === 0 ? 800 : 5) * random() * 10) / 10,
    level: never ? null : edition === 2016 ? Math.min(3, level) : level,
    alarms: never ? 0 : level,
    priority: never || level === 0 ? null : PRIORITIES[level - 1],
    heardMs: never ? null : heardMs,
    position: never ? null : [longitude + wide * bell(), latitude + wide * 0.8 * bell()],
    session: state === 4 ? 'lost' : 'login',
    sessionMs: state === 4 ? heardMs : nowMs - 86_400_000 * random(),
  };
}

/** The key of a row by a sort word. */
const KEYS = {
  state: ({ state }) => STATES.indexOf(state),
  heard: ({ heardMs }) => heardMs,
  alarms: ({ alarms, priority }) => (priority === null ? null : PRIORITIES.indexOf(priority) * 100 + alarms),
};

export class Fleet {
  constructor({ vehicles, seed, nowMs }) {
    const random = randomOf(seed);
    this.rows = Array.from({ length: vehicles }, (_, place) => made(place, random, nowMs));
    for (const row of this.rows) row.asset = `vehicle/${row.vin}`;
    this.byAsset = new Map(this.rows.map((row) => [row.asset, row]));
    this.orders = [];
  }

  find(asset) {
    return this.byAsset.get(asset);
  }

  /** As the server tells it: those that report have reported a moment ago. */
  told(row, nowMs) {
    const { heardMs, sessionMs, ...rest } = row;
    const fresh = heardMs === null || row.state === 'offline' ? heardMs : nowMs - ((nowMs + row.place * 997) % 10_000);
    const time = fresh === null ? null : new Date(fresh).toISOString();
    const position = row.position?.map((degrees) => Math.round(degrees * 1e6) / 1e6) ?? null;
    const shifted = position && [position[0] + 0.0055, position[1] - 0.0021];
    return {
      ...rest,
      heard: time,
      time,
      position,
      position_gcj02: shifted,
      session_time: new Date(sessionMs).toISOString(),
    };
  }

  wanted(query) {
    const states = query.getAll('state');
    const levels = query.getAll('level').map(Number);
    const priorities = query.getAll('priority');
    const search = (query.get('search') ?? '').toUpperCase();
    return this.rows.filter(
      ({ state, level, priority, vin }) =>
        (states.length === 0 || states.includes(state)) &&
        (levels.length === 0 || levels.includes(level)) &&
        (priorities.length === 0 || priorities.includes(priority)) &&
        vin.includes(search),
    );
  }

  summary(nowMs) {
    const states = Object.fromEntries(STATES.map((state) => [state, 0]));
    const levels = [0, 0, 0, 0, 0];
    const priorities = Object.fromEntries(PRIORITIES.map((priority) => [priority, 0]));
    let [unknown, open] = [0, 0];
    for (const { state, level, alarms, priority } of this.rows) {
      if (priority !== null) priorities[priority] += 1;
      open += alarms;
      states[state] += 1;
      if (level === null) unknown += 1;
      else levels[level] += 1;
    }
    const offline = this.rows.filter(({ state }) => state === 'offline').sort((a, b) => a.heardMs - b.heardMs);
    return {
      now: new Date(nowMs).toISOString(),
      vehicles: this.rows.length,
      offline_secs: OFFLINE_SECS,
      states,
      levels,
      level_unknown: unknown,
      open,
      priorities,
      offline_longest: offline.slice(0, 10).map((row) => this.told(row, nowMs)),
    };
  }

  page(query, nowMs) {
    const [offset, limit] = [Number(query.get('offset') ?? 0), Number(query.get('limit') ?? 100)];
    const places = query.getAll('place').map(Number);
    const now = new Date(nowMs).toISOString();
    if (places.length > 0) {
      const vehicles = places.flatMap((place) => this.rows[place] ?? []).map((row) => this.told(row, nowMs));
      return { now, total: vehicles.length, offset: 0, vehicles };
    }
    const sort = query.get('sort') ?? 'vin';
    const sign = query.get('order') === 'descending' ? -1 : 1;
    const key = KEYS[sort] ?? ((row) => row[sort]);
    const sorted = this.wanted(query).sort((a, b) => {
      const [one, other] = [key(a), key(b)];
      if (one === other) return a.place - b.place;
      if (one === null || other === null) return one === null ? 1 : -1;
      return one < other ? -sign : sign;
    });
    const vehicles = sorted.slice(offset, offset + limit).map((row) => this.told(row, nowMs));
    return { now, total: sorted.length, offset, vehicles };
  }

  positions(query, nowMs) {
    const rows = this.wanted(query).filter(({ position }) => position !== null);
    return {
      now: new Date(nowMs).toISOString(),
      total: rows.length,
      states: STATES,
      place: rows.map(({ place }) => place),
      longitude: rows.map(({ position }) => Math.round(position[0] * 1e5)),
      latitude: rows.map(({ position }) => Math.round(position[1] * 1e5)),
      state: rows.map(({ state }) => STATES.indexOf(state)),
      level: rows.map(({ level }) => level ?? 0),
    };
  }

  /** Values of one vehicle; two of its cells are worse than the others. */
  current(asset, nowMs) {
    const row = this.find(asset);
    if (!row || row.heardMs === null) return [];
    const { time } = this.told(row, nowMs);
    const noise = randomOf(row.place + Math.floor(nowMs / 10_000));
    const own = randomOf(row.place);
    const bad = Math.floor(own() * 192);
    const cells = Array.from({ length: 192 }, (_, i) => {
      const base = 3.642 + (own() - 0.5) * 0.012 + (noise() - 0.5) * 0.003;
      return Math.round((base - (i === bad ? 0.071 : i === (bad + 77) % 192 ? 0.034 : 0)) * 1000) / 1000;
    });
    const probes = Array.from({ length: 32 }, (_, i) => Math.round(31 + 3 * own() + (i === 9 ? 7 : 0)));
    const flags = row.level === 0 ? 0 : row.level === 4 ? 2 ** 23 + 2 ** 1 + 2 ** 10 : 2 ** 10 + 2 ** 11;
    const bits = row.edition === 2025 && flags > 0 ? [10, ...(row.level === 4 ? [23, 1] : [11])] : [];
    const values = {
      report_edition: row.edition,
      vehicle_state: row.state === 'off' ? 2 : 1,
      vehicle_charging: row.state === 'charging' ? 1 : 3,
      vehicle_mode: 1,
      vehicle_speed: row.speed,
      vehicle_odometer: row.odometer,
      vehicle_voltage: row.voltage,
      vehicle_current: row.current,
      vehicle_soc: row.soc,
      vehicle_dc_dc: 1,
      motor_speed: [row.speed * 83],
      motor_temperature: [54],
      position_longitude: row.position[0],
      position_latitude: row.position[1],
      alarm_level: row.level,
      alarm_flags: flags,
      alarm_battery_faults: row.level >= 2 ? [0x00120abc, 0x0012ff01] : [],
      alarm_flag_bit: bits,
      alarm_flag_level: bits.map((bit) => (bit === 23 ? 4 : Math.max(1, row.level - 1))),
      pack_number: PACKS.map((_, i) => i + 1),
      cell_voltage: cells,
      cell_voltage_count: PACKS,
      probe_pack_number: PACKS.map((_, i) => i + 1),
      cell_temperature: probes,
      cell_temperature_count: PACKS.map(() => 8),
    };
    const said = Object.entries(values).map(([signal, value]) => ({
      asset,
      signal,
      time,
      received: time,
      sequence: 0,
      quality: 'good',
      value: Array.isArray(value) ? null : value,
      text: null,
      ...(Array.isArray(value) ? { vector: value } : {}),
    }));
    const insulation = { ...said[0], signal: 'vehicle_insulation', quality: 'invalid', value: null };
    return [...said, insulation];
  }

  history(asset, signal, fromMs, toMs, pointsMax) {
    const known = vehicleProfile.signals.find(({ id }) => id === signal);
    const row = this.find(asset);
    if (!known || !row) return null;
    const count = Math.min(pointsMax, 600);
    const times = Array.from({ length: count }, (_, i) => Math.round(fromMs + ((toMs - fromMs) * i) / count));
    const wave = (time, minutes) => Math.sin((time / 60_000 / minutes) * 2 * Math.PI + row.place);
    const of = {
      vehicle_speed: (time) => Math.max(0, 45 + 40 * wave(time, 17) + 12 * wave(time, 3.1)),
      vehicle_soc: (time) => Math.round(62 + 30 * wave(time, 300)),
      vehicle_voltage: (time) => 372 + 12 * wave(time, 300) + 2 * wave(time, 5),
      vehicle_current: (time) => 40 + 90 * wave(time, 4.3) * wave(time, 17),
    }[signal];
    const shown = times.filter((time) => time < (row.heardMs ?? 0) || row.state !== 'offline');
    const values = shown.map((time) => (of ? Math.round(of(time) * 10) / 10 : 1));
    return { signal, kind: known.kind, unit: known.unit, times: shown, values };
  }

  frames(vin, query, nowMs) {
    const toMs = Math.min(nowMs, Date.parse(query.get('to')));
    const limit = Number(query.get('limit') ?? 20);
    const named = [...vin].map((letter) => letter.charCodeAt(0).toString(16)).join('');
    const frames = Array.from({ length: limit }, (_, i) => {
      const timeMs = Math.floor(toMs / 10_000) * 10_000 - (i + 1) * 10_000;
      const bytes = `232302fe${named}0100141a0b1a0e1e3201010301020e0001e240000d0027100032020001`;
      const time = new Date(timeMs).toISOString();
      const dump = [
        '    0  23 23                                 start, edition 2016',
        '    2  02                                    command: realtime report',
        '    3  fe                                    response: command',
        `    4  ${named.slice(0, 24).replace(/(..)/g, '$1 ').trim()}   VIN: ${vin}`,
        '   21  01                                    encryption: none',
        `   24  1a 0b 1a 0e 1e 32                     time: ${time}`,
        '   30  01                                    Whole vehicle 整车数据',
        '   31  01                                      Vehicle state: 1 (on)',
        '   32  03                                      Charging state: 3 (not charging)',
        '   34  02 0e                                   Speed: 52.6 km/h',
        '   36  00 01 e2 40                             Odometer: 12345.6 km',
      ].join('\n');
      return { time, received: time, bytes, dump };
    });
    return { frames, truncated: true };
  }

  /** Orders go their way in a few seconds: waiting, sent, answered. */
  ordersOf(asset, nowMs) {
    for (const order of this.orders) {
      const ageMs = nowMs - Date.parse(order.created);
      if (order.state === 'waiting' && ageMs > 1_500) Object.assign(order, { state: 'sent' });
      if (order.state === 'sent' && ageMs > 4_000) {
        const answer = order.request.command === 'query_parameters' ? ANSWER : {};
        Object.assign(order, { state: 'answered', answer, changed: new Date(nowMs).toISOString() });
      }
    }
    return { orders: this.orders.filter((order) => order.asset === asset) };
  }

  place(request, nowMs) {
    const now = new Date(nowMs).toISOString();
    const { asset, expires_secs: expiresSecs, ...said } = request;
    const expires = new Date(nowMs + expiresSecs * 1000).toISOString();
    const order = { id: String(this.orders.length + 1), asset, request: said, state: 'waiting', expires };
    this.orders.unshift({ ...order, created: now, changed: now, answer: null, reason: null });
    return this.orders[0];
  }
}

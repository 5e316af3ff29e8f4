// A stand-in for `tongmai serve`, for the end-to-end test and for work on the console without a Rust tool chain: it
// speaks the HTTP contract over the simulated plant and serves dist/. Node's standard library only.
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Alarms, targets } from './alarms.mjs';
import { Fleet, vehicleProfile } from './fleet.mjs';
import { Plant, profiles } from './plant.mjs';

const DIST = fileURLToPath(new URL('../dist/', import.meta.url));
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const TICK_MS = 500;
const HISTORY_MS = 24 * 3600 * 1000;
const BODY_BYTES_MAX = 65_536;

function gatewayOf(machine, index, startedMs) {
  const waiting = machine.offline;
  const observations = 120_000 + index * 7_321;
  return {
    name: machine.asset.slice('machine/'.length),
    kind: index % 4 === 1 ? 'mtconnect-agent' : 'mtconnect-shdr',
    source: index % 4 === 1 ? `http://127.0.0.1:${5000 + index}` : `127.0.0.1:${40001 + index}`,
    state: waiting ? 'waiting' : 'connected',
    reason: waiting ? 'connection refused (os error 111); next attempt in 30 s' : null,
    since: new Date(startedMs - (waiting ? 47 : 180) * 60_000).toISOString(),
    assets: [machine.asset],
    bytes: observations * 31,
    messages: Math.round(observations / 3),
    observations,
    accepted: observations - 12 * index,
    duplicates: 12 * index,
    connections: waiting ? 7 : 1,
    last_received: new Date(startedMs - (waiting ? 47 * 60_000 : 800)).toISOString(),
    rejected: index === 3 ? { 'unknown data item': 214, 'invalid UTF-8': 3 } : {},
  };
}

const REJECTIONS = [
  ['unknown data item', 'data item `coolantTemp2` is in no model', '2026-11-21T08:00:01.5Z|coolantTemp2|31.5'],
  ['invalid UTF-8', 'byte 31: expected a continuation byte, got 0x28', '2026-11-21T07:58:12Z|program|SHAFT \\xc3\\x28'],
  ['unknown data item', 'data item `<b>x</b>` is in no model', '2026-11-21T07:55:40Z|<b>x</b>|1'],
];

/** What each route answers; null where the asset is not known. */
function routes(plant, fleet, alarms, nowMs) {
  return {
    '/health': () => ({ status: 'ok', version: '0.1.0' }),
    '/api/v1/profiles': () => ({ profiles: fleet.rows.length > 0 ? [...profiles, vehicleProfile] : profiles }),
    '/api/v1/assets': () => ({ assets: plant.machines.map(({ asset, profile }) => ({ asset, profile: profile.id })) }),
    '/api/v1/gateways': () => ({ gateways: plant.machines.map((machine, i) => gatewayOf(machine, i, nowMs())) }),
    '/api/v1/current': (query) => ({
      now: new Date(nowMs()).toISOString(),
      observations: query.has('asset')
        ? fleet.current(query.get('asset'), nowMs())
        : plant.machines.flatMap((machine) => plant.currentOf(machine)),
    }),
    '/api/v1/fleet': () => fleet.summary(nowMs()),
    '/api/v1/fleet/vehicles': (query) => fleet.page(query, nowMs()),
    '/api/v1/fleet/positions': (query) => fleet.positions(query, nowMs()),
    '/api/v1/alarms': (query) => alarms.told(query),
    '/api/v1/alarms/records': () => ({ records: [] }),
    '/api/v1/notify': () => ({ targets: targets(nowMs()) }),
    '/api/v1/rules': () => alarms.rules(nowMs()),
    '/api/v1/orders': (query) => fleet.ordersOf(query.get('asset'), nowMs()),
    '/api/v1/history': (query) => {
      const asset = query.get('asset');
      const machine = plant.machines.find((one) => one.asset === asset);
      const vehicle = fleet.find(asset);
      if (!machine && !vehicle) return null;
      const [from, to] = [query.get('from'), query.get('to')];
      const pointsMax = Number(query.get('points_max') ?? 2000);
      const series = query
        .getAll('signal')
        .map((id) =>
          machine
            ? plant.history(machine, id, Date.parse(from), Date.parse(to), pointsMax)
            : fleet.history(asset, id, Date.parse(from), Date.parse(to), pointsMax),
        );
      return { asset, from, to, series };
    },
    '/api/v1/rejections': (query) => {
      const time = new Date(nowMs()).toISOString();
      const kept = query.get('gateway') === 'lathe-04' ? REJECTIONS : [];
      return { rejections: kept.map(([reason, detail, text]) => ({ time, reason, detail, text })) };
    },
  };
}

/** Starts the stand-in; resolves to its address and a way to end it. */
export async function startMock({
  port = 0,
  seed = 7,
  pace = 25,
  nowMs = Date.now,
  machines = 12,
  vehicles = 400,
  historyMs = HISTORY_MS,
} = {}) {
  const startedMs = nowMs();
  const plant = new Plant({ seed, nowMs: startedMs, pace, machines, historyMs });
  const fleet = new Fleet({ vehicles, seed, nowMs: startedMs });
  const streams = new Set();
  let muted = false;
  const timer = setInterval(() => {
    const observations = plant.tick(nowMs());
    if (muted) return;
    const event = `event: changes\ndata: ${JSON.stringify({ observations })}\n\n`;
    for (const stream of streams) stream.write(event);
  }, TICK_MS);

  const alarms = new Alarms(plant, fleet, startedMs);
  const api = routes(plant, fleet, alarms, nowMs);
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://mock');
    if (url.pathname === '/api/v1/changes') return openStream(request, response, streams);
    if (url.pathname === '/api/v1/sql') return answerSql(request, response, plant);
    if (url.pathname === '/api/v1/orders' && request.method === 'POST') {
      return readBody(request, (body) => sendJson(response, 202, fleet.place(JSON.parse(body), nowMs())));
    }
    if (url.pathname === '/api/v1/rules/backtest') {
      return readBody(request, (body) => sendJson(response, 200, alarms.backtest(JSON.parse(body), fleet)));
    }
    // Nothing ever changes: whoever has the answer waits for a while.
    if (url.pathname === '/api/v1/alarms' && url.searchParams.has('after')) {
      const answer = () => sendJson(response, 200, alarms.told(url.searchParams));
      return void setTimeout(answer, Number(url.searchParams.get('wait_secs')) * 1_000);
    }
    const frames = /^\/api\/v1\/vehicles\/([^/]+)\/frames$/.exec(url.pathname);
    if (frames) return sendJson(response, 200, fleet.frames(frames[1], url.searchParams, nowMs()));
    const route = api[url.pathname];
    if (!route && url.pathname.startsWith('/api/')) return sendError(response, 404, 'not_found', 'no such route');
    if (!route) return sendFile(response, url.pathname);
    const answer = route(url.searchParams);
    if (answer === null) return sendError(response, 404, 'unknown_asset', 'no such asset');
    return sendJson(response, 200, answer);
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  /** Keeps changes from the streams, as if their clients were too slow; then tells them that they missed some. */
  const mute = () => (muted = true);
  const resync = () => {
    muted = false;
    for (const stream of streams) stream.write('event: resync\ndata: {}\n\n');
  };
  const stop = () => {
    clearInterval(timer);
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, mute, resync, stop };
}

function openStream(request, response, streams) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(': open\n\n');
  streams.add(response);
  request.on('close', () => streams.delete(response));
}

/** No SQL engine here: one fixed table for SELECT, an error for the rest. */
function answerSql(request, response, plant) {
  readBody(request, (body) => {
    const { query } = JSON.parse(body);
    if (!/^\s*select\b/i.test(query)) {
      return sendError(response, 400, 'invalid_query', `only queries are allowed, got "${query.slice(0, 40)}"`);
    }
    const columns = ['asset', 'signal', 'time', 'value', 'text'].map((name) => ({ name, type: 'Utf8' }));
    const rows = plant.machines.flatMap((machine) =>
      plant.currentOf(machine).map((said) => columns.map(({ name }) => said[name])),
    );
    return sendJson(response, 200, { columns, rows: rows.slice(0, 100), truncated: true, elapsed_ms: 12.3 });
  });
}

function readBody(request, use) {
  let body = '';
  request.on('data', (part) => {
    body += part;
    if (body.length > BODY_BYTES_MAX) request.destroy();
  });
  request.on('end', () => use(body));
}

function sendJson(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function sendError(response, status, code, message) {
  sendJson(response, status, { code, message });
}

function sendFile(response, path) {
  const wanted = join(DIST, normalize(path));
  const file = extname(wanted) !== '' && existsSync(wanted) ? wanted : join(DIST, 'index.html');
  response.writeHead(200, {
    'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
    // As strict as the server, so that the end-to-end test notices what a browser would refuse there.
    'content-security-policy': "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
  });
  createReadStream(file)
    .on('error', () => response.end('run `npm run build` first'))
    .pipe(response);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await startMock({ port: 7878 });
  process.stdout.write(`stand-in for tongmai serve on ${url}\n`);
}

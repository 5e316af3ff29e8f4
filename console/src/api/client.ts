// The only place that calls the server: one typed function per route. Keeps nothing and knows no page.
import type { Asset, Current, Gateway, History, Profile, Rejection, Series, SqlAnswer } from './types';

/** How long a request may take before it counts as failed. */
const REQUEST_MS_MAX = 15_000;
/** Signals that one request for history may name. */
const SIGNALS_PER_REQUEST = 32;

/** What the server said against a request, or why it could not be asked (`code` is then `unreachable`). */
export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

export async function request<T>(path: string, init: RequestInit = {}, timeoutMs = REQUEST_MS_MAX): Promise<T> {
  const limit = AbortSignal.timeout(timeoutMs);
  const signal = init.signal ? AbortSignal.any([init.signal, limit]) : limit;
  let response: Response;
  try {
    response = await fetch(path, { ...init, signal, headers: { accept: 'application/json', ...init.headers } });
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new ApiError('unreachable', String(cause), 0);
  }
  const body: unknown = await response.json().catch(() => null);
  if (response.ok && body !== null) return body as T;
  const said = (body ?? {}) as { code?: string; message?: string };
  throw new ApiError(said.code ?? 'unexpected', said.message ?? `HTTP ${response.status}`, response.status);
}

export function query(parameters: [string, string][]): string {
  const text = new URLSearchParams(parameters).toString();
  return text === '' ? '' : `?${text}`;
}

export async function fetchProfiles(): Promise<Profile[]> {
  return (await request<{ profiles: Profile[] }>('/api/v1/profiles')).profiles;
}

/** Only the machines: a fleet may have a hundred thousand vehicles, which no page wants all of. */
const MACHINES: [string, string] = ['kind', 'machine'];

export async function fetchAssets(): Promise<Asset[]> {
  return (await request<{ assets: Asset[] }>(`/api/v1/assets${query([MACHINES])}`)).assets;
}

/** The gateways double as the console's pulse, so they may be asked with a shorter patience. */
export async function fetchGateways(timeoutMs = REQUEST_MS_MAX): Promise<Gateway[]> {
  return (await request<{ gateways: Gateway[] }>('/api/v1/gateways', {}, timeoutMs)).gateways;
}

/** The latest values of all machines, page by page. */
export async function fetchCurrent(): Promise<Current> {
  let page = await request<Current>(`/api/v1/current${query([MACHINES])}`);
  let observations = page.observations;
  while (page.next !== undefined) {
    page = await request<Current>(`/api/v1/current${query([MACHINES, ['after', page.next]])}`);
    observations = observations.concat(page.observations);
  }
  return { now: page.now, observations };
}

/** The latest values of one asset. */
export async function fetchCurrentOf(asset: string): Promise<Current> {
  return request<Current>(`/api/v1/current${query([['asset', asset]])}`);
}

export interface HistoryQuery {
  asset: string;
  signals: string[];
  fromMs: number;
  toMs: number;
  pointsMax: number;
}

/** The series of all wanted signals, in as many requests as the server's bound asks for. */
export async function fetchHistory(wanted: HistoryQuery, abort?: AbortSignal): Promise<Series[]> {
  const parts: Promise<History>[] = [];
  for (let start = 0; start < wanted.signals.length; start += SIGNALS_PER_REQUEST) {
    const signals = wanted.signals.slice(start, start + SIGNALS_PER_REQUEST);
    parts.push(fetchHistoryPart({ ...wanted, signals }, abort));
  }
  return (await Promise.all(parts)).flatMap((part) => part.series);
}

function fetchHistoryPart(wanted: HistoryQuery, abort?: AbortSignal): Promise<History> {
  const parameters: [string, string][] = [
    ['asset', wanted.asset],
    ...wanted.signals.map((signal): [string, string] => ['signal', signal]),
    ['from', new Date(wanted.fromMs).toISOString()],
    ['to', new Date(wanted.toMs).toISOString()],
    ['points_max', String(wanted.pointsMax)],
  ];
  return request<History>(`/api/v1/history${query(parameters)}`, abort ? { signal: abort } : {});
}

export async function fetchRejections(gateway: string): Promise<Rejection[]> {
  return (await request<{ rejections: Rejection[] }>(`/api/v1/rejections${query([['gateway', gateway]])}`)).rejections;
}

export function askSql(text: string, rowsMax: number, timeoutSecs: number): Promise<SqlAnswer> {
  const body = JSON.stringify({ query: text, rows_max: rowsMax, timeout_secs: timeoutSecs });
  const init = { method: 'POST', body, headers: { 'content-type': 'application/json' } };
  return request<SqlAnswer>('/api/v1/sql', init, timeoutSecs * 1000 + REQUEST_MS_MAX);
}

// The routes about vehicles, and their shapes as they are on the wire. Keeps nothing and knows no page.
import type { ToldCell } from '../fleet/cells';
import type { Priority } from './alarms';
import { askSql, query, request } from './client';

export const VEHICLE_STATES = ['driving', 'charging', 'parked', 'off', 'offline', 'never'] as const;
export type VehicleState = (typeof VEHICLE_STATES)[number];
/** Levels of alarms: none, 1 to 3, and 4 for a thermal event. */
export const ALARM_LEVELS = [0, 1, 2, 3, 4] as const;

/** A vehicle with its last values. What is abnormal, invalid or was never told is null. */
export interface VehicleRow {
  place: number;
  asset: string;
  vin: string;
  edition: number | null;
  state: VehicleState;
  soc: number | null;
  speed: number | null;
  odometer: number | null;
  voltage: number | null;
  current: number | null;
  level: number | null;
  /** Alarms of rules that want somebody, and the most urgent of their priorities. */
  alarms: number;
  priority: Priority | null;
  heard: string | null;
  time: string | null;
  /** Longitude and latitude, WGS-84. */
  position: [number, number] | null;
  position_gcj02: [number, number] | null;
  session: 'login' | 'logout' | 'lost' | null;
  session_time: string | null;
}

export interface FleetSummary {
  now: string;
  vehicles: number;
  offline_secs: number;
  states: Record<VehicleState, number>;
  levels: number[];
  level_unknown: number;
  /** Alarms of rules that want somebody. */
  open: number;
  /** Vehicles by the most urgent of these. */
  priorities: Record<Priority, number>;
  offline_longest: VehicleRow[];
}

export interface VehiclePage {
  now: string;
  total: number;
  offset: number;
  vehicles: VehicleRow[];
}

export const VEHICLE_SORTS = [
  'vin',
  'edition',
  'state',
  'soc',
  'speed',
  'odometer',
  'voltage',
  'current',
  'level',
  'heard',
  'alarms',
] as const;
export type VehicleSort = (typeof VEHICLE_SORTS)[number];

/** Which vehicles are wanted: those that meet all of it. */
export interface VehicleFilter {
  state: VehicleState | null;
  level: number | null;
  /** The most urgent of its alarms that want somebody. */
  priority: Priority | null;
  search: string;
}

export const NO_FILTER: VehicleFilter = { state: null, level: null, priority: null, search: '' };

export interface VehicleOrder {
  sort: VehicleSort;
  order: 'ascending' | 'descending';
}

/** Where vehicles are: one array for each thing that is told, in hundred thousandths of a degree. */
export interface FleetPositions {
  now: string;
  total: number;
  states: VehicleState[];
  place: number[];
  longitude: number[];
  latitude: number[];
  state: number[];
  level: number[];
}

/** A report as the frame that it was. */
export interface RawFrame {
  time: string;
  received: string;
  /** The bytes, hexadecimal. */
  bytes: string;
  /** What they mean, line by line. */
  dump: string;
}

export interface Frames {
  frames: RawFrame[];
  truncated: boolean;
}

export type OrderCommand = 'query_parameters' | 'set_parameters' | 'control';
export type OrderState = 'waiting' | 'sent' | 'answered' | 'failed' | 'expired';

/** What is asked of a vehicle. */
export interface OrderSaid {
  command: OrderCommand;
  /** What is asked for, or what is to be set. */
  parameters?: string[] | Record<string, number | string>;
  control?: { kind: string; arguments?: Record<string, number | string> };
}

export interface OrderRequest extends OrderSaid {
  asset: string;
  expires_secs: number;
}

/** A parameter as a vehicle answered it. */
export interface AnsweredParameter {
  id: string;
  value: { value?: number; text?: string; unit?: string; quality?: string; bytes?: string };
}

export interface Order {
  id: string;
  asset: string;
  request: OrderSaid;
  state: OrderState;
  created: string;
  changed: string;
  /** Until when it may be sent. */
  expires: string;
  answer: { parameters?: AnsweredParameter[] } | null;
  reason: string | null;
}

function filterParameters({ state, level, priority, search }: VehicleFilter): [string, string][] {
  const parameters: [string, string][] = [];
  if (state !== null) parameters.push(['state', state]);
  if (level !== null) parameters.push(['level', String(level)]);
  if (priority !== null) parameters.push(['priority', priority]);
  if (search.trim() !== '') parameters.push(['search', search.trim()]);
  return parameters;
}

const abortable = (abort?: AbortSignal): RequestInit => (abort ? { signal: abort } : {});

export function fetchFleet(): Promise<FleetSummary> {
  return request<FleetSummary>('/api/v1/fleet');
}

export function fetchVehicles(
  filter: VehicleFilter,
  { sort, order }: VehicleOrder,
  { offset, limit }: { offset: number; limit: number },
  abort?: AbortSignal,
): Promise<VehiclePage> {
  const page: [string, string][] = [
    ['sort', sort],
    ['order', order],
    ['offset', String(offset)],
    ['limit', String(limit)],
  ];
  return request(`/api/v1/fleet/vehicles${query([...filterParameters(filter), ...page])}`, abortable(abort));
}

/** The vehicles that the positions name by their places. */
export async function fetchPlaces(places: number[], abort?: AbortSignal): Promise<VehicleRow[]> {
  const wanted = query(places.map((place): [string, string] => ['place', String(place)]));
  return (await request<VehiclePage>(`/api/v1/fleet/vehicles${wanted}`, abortable(abort))).vehicles;
}

/** The vehicle with this VIN, if there is one. */
export async function fetchVehicle(vin: string): Promise<VehicleRow | null> {
  const filter = { ...NO_FILTER, search: vin };
  const page = await fetchVehicles(filter, { sort: 'vin', order: 'ascending' }, { offset: 0, limit: 10 });
  return page.vehicles.find((vehicle) => vehicle.vin === vin) ?? null;
}

export function fetchPositions(filter: VehicleFilter, abort?: AbortSignal): Promise<FleetPositions> {
  return request(`/api/v1/fleet/positions${query(filterParameters(filter))}`, abortable(abort));
}

export function fetchFrames(vin: string, fromMs: number, toMs: number, limit: number): Promise<Frames> {
  const wanted = query([
    ['from', new Date(fromMs).toISOString()],
    ['to', new Date(toMs).toISOString()],
    ['limit', String(limit)],
  ]);
  return request(`/api/v1/vehicles/${encodeURIComponent(vin)}/frames${wanted}`);
}

export async function fetchOrders(asset: string, limit: number): Promise<Order[]> {
  const wanted = query([
    ['asset', asset],
    ['limit', String(limit)],
  ]);
  return (await request<{ orders: Order[] }>(`/api/v1/orders${wanted}`)).orders;
}

export function placeOrder(order: OrderRequest): Promise<Order> {
  const headers = { 'content-type': 'application/json' };
  return request<Order>('/api/v1/orders', { method: 'POST', body: JSON.stringify(order), headers });
}

/** Reports of one moment come in about together; a pack's other cells may have been told with the report before. */
const TOGETHER = '2 minutes';
const CELLS_MAX = 20_000;

/** The last voltage of each cell that a vehicle told until `time` and shortly before, by pack and number. */
export async function fetchCells(asset: string, time: string): Promise<ToldCell[]> {
  const vectors = 'cell_voltage, cell_voltage_count, pack_number, pack_first_cell';
  const { rows } = await askSql(
    `SELECT pack, number, value FROM (
       SELECT cell['group'] AS pack, cell['index'] AS number, cell['value'] AS value,
         row_number() OVER (PARTITION BY cell['group'], cell['index'] ORDER BY time DESC, sequence DESC) AS age
       FROM (SELECT time, sequence, unnest(grouped(${vectors})) AS cell FROM vehicle
         WHERE asset = '${asset.replaceAll("'", "''")}' AND time <= '${time}' AND time > TIMESTAMP '${time}' - INTERVAL '${TOGETHER}'))
     WHERE age = 1 ORDER BY pack, number`,
    CELLS_MAX,
    10,
  );
  return rows as unknown as ToldCell[];
}

// What can be ordered from a vehicle by GB/T 32960, and the request that says it. Pure.
import type { Order, OrderCommand, OrderRequest, OrderSaid } from '../api/fleet';

/** A parameter of commands 80 and 81, by its id in the pack `vehicle`. */
export interface Parameter {
  id: string;
  zh: string;
  en: string;
  unit?: string;
  kind: 'number' | 'text';
  /** Can be asked for, and not set. */
  readOnly?: true;
  /** The bounds of a number, by the edition. */
  bounds?: Record<number, readonly [number, number]>;
}

const both = (low: number, high: number) => ({ 2016: [low, high], 2025: [low, high] }) as const;

export const PARAMETERS: readonly Parameter[] = [
  {
    id: 'storage_period',
    zh: '车载终端本地存储时间周期',
    en: 'Local storage period',
    unit: 'ms',
    kind: 'number',
    bounds: both(0, 60_000),
  },
  {
    id: 'report_period',
    zh: '正常时信息上报时间周期',
    en: 'Report period',
    unit: 's',
    kind: 'number',
    bounds: { 2016: [1, 600], 2025: [1, 30] },
  },
  {
    id: 'alarm_report_period',
    zh: '出现报警时信息上报时间周期',
    en: 'Report period with an alarm',
    kind: 'number',
    bounds: { 2016: [0, 60_000], 2025: [0, 1] },
  },
  { id: 'host', zh: '远程服务与管理平台域名', en: 'Host name of the platform', kind: 'text' },
  { id: 'port', zh: '远程服务与管理平台端口', en: 'Port of the platform', kind: 'number', bounds: both(0, 65_531) },
  { id: 'hardware_version', zh: '硬件版本', en: 'Hardware version', kind: 'text', readOnly: true },
  { id: 'firmware_version', zh: '固件版本', en: 'Firmware version', kind: 'text', readOnly: true },
  {
    id: 'heartbeat_period',
    zh: '车载终端心跳发送周期',
    en: 'Heartbeat period',
    unit: 's',
    kind: 'number',
    bounds: both(1, 240),
  },
  {
    id: 'terminal_timeout',
    zh: '终端应答超时时间',
    en: 'Time-out of the terminal',
    unit: 's',
    kind: 'number',
    bounds: both(1, 600),
  },
  {
    id: 'platform_timeout',
    zh: '平台应答超时时间',
    en: 'Time-out of the platform',
    unit: 's',
    kind: 'number',
    bounds: both(1, 600),
  },
  {
    id: 'login_pause',
    zh: '连续三次登入失败后到下一次登入的间隔时间',
    en: 'Pause after three failed logins',
    unit: 'min',
    kind: 'number',
    bounds: both(1, 240),
  },
  { id: 'public_host', zh: '公共平台域名', en: 'Host name of the public platform', kind: 'text' },
  { id: 'public_port', zh: '公共平台端口', en: 'Port of the public platform', kind: 'number', bounds: both(0, 65_531) },
  { id: 'sampling', zh: '是否处于抽样监测中', en: 'Under sampling', kind: 'number', bounds: both(1, 2) },
];

export const CONTROLS = [
  'reset',
  'power_off',
  'factory_reset',
  'disconnect',
  'alarm',
  'start_sampling_link',
  'upgrade',
] as const;
export type ControlKind = (typeof CONTROLS)[number];

/** What a form says. */
export interface Draft {
  command: OrderCommand;
  /** What is asked for. */
  asked: string[];
  /** What is to be set, as it was typed. */
  set: Record<string, string>;
  control: ControlKind;
  level: number;
  text: string;
  expiresSecs: number;
}

/** Why a parameter cannot be set to what was typed; null where it can. */
export function problemOf(
  parameter: Parameter,
  typed: string,
  edition: number | null,
): [number, number] | 'empty' | null {
  const text = typed.trim();
  if (text === '') return 'empty';
  if (parameter.kind === 'text') return null;
  const [low, high] = parameter.bounds?.[edition ?? 2016] ?? [0, 65_531];
  const value = Number(text);
  return Number.isInteger(value) && value >= low && value <= high ? null : [low, high];
}

/** The request for an order; null where the draft does not say one yet. */
export function requestOf(draft: Draft, asset: string, edition: number | null): OrderRequest | null {
  const order = { asset, command: draft.command, expires_secs: draft.expiresSecs };
  if (draft.command === 'query_parameters') {
    return draft.asked.length === 0 ? null : { ...order, parameters: [...draft.asked] };
  }
  if (draft.command === 'control') {
    const given = argumentsOf(draft);
    return { ...order, control: { kind: draft.control, ...(given ? { arguments: given } : {}) } };
  }
  const settable = PARAMETERS.filter(({ id, readOnly }) => !readOnly && id in draft.set);
  if (settable.length === 0) return null;
  if (settable.some((parameter) => problemOf(parameter, draft.set[parameter.id] ?? '', edition) !== null)) return null;
  const values = settable.map(({ id, kind }) => {
    const text = (draft.set[id] ?? '').trim();
    return [id, kind === 'number' ? Number(text) : text] as const;
  });
  return { ...order, parameters: Object.fromEntries(values) };
}

function argumentsOf({ control, level, text }: Draft): Record<string, number | string> | null {
  if (control === 'alarm') return { level, text };
  return control === 'upgrade' ? { text } : null;
}

/** One thing that an order says: a parameter or a control, and its value if it has one. */
export interface Said {
  id: string;
  value: string;
}

export function saidOf({ parameters, control }: OrderSaid): Said[] {
  if (control) {
    const values = Object.values(control.arguments ?? {}).filter((value) => value !== '');
    return [{ id: control.kind, value: values.join(' · ') }];
  }
  if (Array.isArray(parameters)) return parameters.map((id) => ({ id, value: '' }));
  return Object.entries(parameters ?? {}).map(([id, value]) => ({ id, value: String(value) }));
}

/** What the vehicle answered; nothing where it only said yes. */
export function answeredOf(answer: Order['answer']): Said[] {
  return (answer?.parameters ?? []).map(({ id, value }) => {
    const told = value.value ?? value.text ?? value.quality ?? value.bytes ?? '';
    return { id, value: [told, value.unit].filter((part) => part !== undefined && part !== '').join(' ') };
  });
}

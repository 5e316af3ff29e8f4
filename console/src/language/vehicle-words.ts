// The words of GB/T 32960 that are numbers on the wire, and of our own states of vehicles. The English ones of alarms are
// those of the pack `vehicle`, which a test compares.
import { m } from '../paraglide/messages';
import type { Locale } from '../format/format';
import type { OrderCommand, OrderState, VehicleRow, VehicleState } from '../api/fleet';
import type { Signal } from '../api/types';

const STATES: Record<VehicleState, () => string> = {
  driving: m.vehicle_driving,
  charging: m.vehicle_charging,
  parked: m.vehicle_parked,
  off: m.vehicle_off,
  offline: m.vehicle_offline,
  never: m.vehicle_never,
};

const LEVELS = [m.alarm_level_0, m.alarm_level_1, m.alarm_level_2, m.alarm_level_3, m.alarm_level_4];

const SESSIONS: Record<NonNullable<VehicleRow['session']>, () => string> = {
  login: m.session_login,
  logout: m.session_logout,
  lost: m.session_lost,
};

const ORDER_STATES: Record<OrderState, () => string> = {
  waiting: m.order_waiting,
  sent: m.order_sent,
  answered: m.order_answered,
  failed: m.order_failed,
  expired: m.order_expired,
};

const COMMANDS: Record<OrderCommand, () => string> = {
  query_parameters: m.order_query,
  set_parameters: m.order_set,
  control: m.order_control,
};

export const vehicleStateWord = (state: VehicleState): string => STATES[state]();
export const sessionWord = (session: NonNullable<VehicleRow['session']>): string => SESSIONS[session]();
export const orderStateWord = (state: OrderState): string => ORDER_STATES[state]?.() ?? state;
export const commandWord = (command: OrderCommand): string => COMMANDS[command]?.() ?? command;

export function alarmLevelWord(level: number | null): string {
  return level === null ? m.unknown() : (LEVELS[level]?.() ?? String(level));
}

type Words = readonly [en: string, zh: string];

/** The general alarm flags of both editions, by their bits. */
export const ALARM_FLAGS: readonly Words[] = [
  ['temperature difference', '温度差异'],
  ['battery hot', '电池高温'],
  ['pack over-voltage', '车载储能装置过压'],
  ['pack under-voltage', '车载储能装置欠压'],
  ['SOC low', 'SOC 低'],
  ['cell over-voltage', '单体电池过压'],
  ['cell under-voltage', '单体电池欠压'],
  ['SOC high', 'SOC 过高'],
  ['SOC jump', 'SOC 跳变'],
  ['pack mismatch', '可充电储能系统不匹配'],
  ['poor cell consistency', '电池单体一致性差'],
  ['insulation', '绝缘'],
  ['DC-DC temperature', 'DC-DC 温度'],
  ['brake system', '制动系统'],
  ['DC-DC state', 'DC-DC 状态'],
  ['motor controller temperature', '驱动电机控制器温度'],
  ['high-voltage interlock', '高压互锁状态'],
  ['motor temperature', '驱动电机温度'],
  ['overcharge', '车载储能装置过充'],
  ['motor overspeed', '驱动电机超速'],
  ['motor over-current', '驱动电机过流'],
  ['supercapacitor hot', '超级电容过温'],
  ['supercapacitor over-voltage', '超级电容过压'],
  ['thermal event', '热事件'],
  ['hydrogen leak', '氢气泄漏'],
  ['hydrogen pressure', '氢气压力'],
  ['hydrogen temperature', '氢气温度'],
  ['stack hot', '燃料电池电堆超温'],
];

export function alarmFlagWord(bit: number, locale: Locale): string {
  const words = ALARM_FLAGS[bit];
  if (!words) return m.alarm_bit({ bit });
  return locale === 'zh' ? words[1] : words[0].charAt(0).toUpperCase() + words[0].slice(1);
}

const ON_OFF: Record<number, Words> = { 1: ['on', '工作'], 2: ['off', '断开'] };

/** What single values of signals stand for, by the id of the signal. */
const VALUES: Record<string, Record<number, Words>> = {
  vehicle_state: { 1: ['on', '启动'], 2: ['off', '熄火'], 3: ['other', '其他'] },
  vehicle_charging: {
    1: ['parked charging', '停车充电'],
    2: ['driving charging', '行驶充电'],
    3: ['not charging', '未充电'],
    4: ['charged', '充电完成'],
  },
  vehicle_mode: { 1: ['electric', '纯电'], 2: ['hybrid', '混动'], 3: ['fuel', '燃油'] },
  vehicle_dc_dc: ON_OFF,
  fuel_cell_dc_dc: ON_OFF,
  engine_state: { 1: ['on', '启动'], 2: ['off', '关闭'] },
  position_coordinate_system: { 1: ['WGS-84', 'WGS-84'], 2: ['GCJ-02', 'GCJ-02'], 3: ['other', '其他'] },
};

/** The word that a value of a signal stands for, if there is one. */
export function valueWord(signal: string, value: number, locale: Locale): string | null {
  const words = VALUES[signal]?.[value];
  return words ? words[locale === 'zh' ? 1 : 0] : null;
}

/** Both names of a signal: the pack has them as `车速 Speed`, and no Chinese one has a space. */
export function signalNames(signal: Signal): { en: string; zh: string } {
  const text = signal.description ?? '';
  const space = text.indexOf(' ');
  return space < 0
    ? { en: text || signal.id, zh: text || signal.id }
    : { zh: text.slice(0, space), en: text.slice(space + 1) };
}

export function signalName(signal: Signal, locale: Locale): string {
  return signalNames(signal)[locale];
}

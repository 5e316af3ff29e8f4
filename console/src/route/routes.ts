// Addresses and the pages they name. Pure; knows no browser.

export type Route =
  | { page: 'board' }
  | { page: 'machine'; asset: string }
  | { page: 'fleet' }
  | { page: 'vehicle'; vin: string }
  | { page: 'alarms'; asset: string | null; rule: string | null }
  | { page: 'rules' }
  | { page: 'rule'; rule: string }
  | { page: 'connections' }
  | { page: 'ask' }
  | { page: 'unknown'; path: string };

export function parseRoute(path: string, search = ''): Route {
  const [first = '', second, ...more] = path.split('/').filter((part) => part !== '');
  if (first === '') return { page: 'board' };
  if (['machines', 'vehicles', 'rules'].includes(first) && second !== undefined && more.length === 0) {
    try {
      const name = decodeURIComponent(second);
      if (first === 'rules') return { page: 'rule', rule: name };
      return first === 'machines' ? { page: 'machine', asset: name } : { page: 'vehicle', vin: name };
    } catch {
      return { page: 'unknown', path };
    }
  }
  if (first === 'alarms' && second === undefined) {
    const wanted = new URLSearchParams(search);
    return { page: 'alarms', asset: wanted.get('asset'), rule: wanted.get('rule') };
  }
  const alone = ['fleet', 'rules', 'connections', 'ask'] as const;
  const page = alone.find((page) => page === first);
  if (second === undefined && page !== undefined) return { page };
  return { page: 'unknown', path };
}

export function machinePath(asset: string): string {
  return `/machines/${encodeURIComponent(asset)}`;
}

export function rulePath(rule: string): string {
  return `/rules/${encodeURIComponent(rule)}`;
}

/** The list of alarms, of an asset or by a rule. */
export function alarmsPath(wanted: { asset?: string; rule?: string } = {}): string {
  const search = new URLSearchParams(wanted).toString();
  return `/alarms${search === '' ? '' : `?${search}`}`;
}

export function vehiclePath(vin: string): string {
  return `/vehicles/${encodeURIComponent(vin)}`;
}

// Addresses and the pages they name. Pure; knows no browser.

export type Route =
  | { page: 'board' }
  | { page: 'machine'; asset: string }
  | { page: 'fleet' }
  | { page: 'vehicle'; vin: string }
  | { page: 'alarms' }
  | { page: 'connections' }
  | { page: 'ask' }
  | { page: 'unknown'; path: string };

export function parseRoute(path: string): Route {
  const [first = '', second, ...more] = path.split('/').filter((part) => part !== '');
  if (first === '') return { page: 'board' };
  if ((first === 'machines' || first === 'vehicles') && second !== undefined && more.length === 0) {
    try {
      const name = decodeURIComponent(second);
      return first === 'machines' ? { page: 'machine', asset: name } : { page: 'vehicle', vin: name };
    } catch {
      return { page: 'unknown', path };
    }
  }
  const alone = ['fleet', 'alarms', 'connections', 'ask'] as const;
  const page = alone.find((page) => page === first);
  if (second === undefined && page !== undefined) return { page };
  return { page: 'unknown', path };
}

export function machinePath(asset: string): string {
  return `/machines/${encodeURIComponent(asset)}`;
}

export function vehiclePath(vin: string): string {
  return `/vehicles/${encodeURIComponent(vin)}`;
}

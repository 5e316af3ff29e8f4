// Addresses and the pages they name. Pure; knows no browser.

export type Route =
  | { page: 'board' }
  | { page: 'machine'; asset: string }
  | { page: 'connections' }
  | { page: 'ask' }
  | { page: 'unknown'; path: string };

export function parseRoute(path: string): Route {
  const [first = '', second, ...more] = path.split('/').filter((part) => part !== '');
  if (first === '') return { page: 'board' };
  if (first === 'machines' && second !== undefined && more.length === 0) {
    try {
      return { page: 'machine', asset: decodeURIComponent(second) };
    } catch {
      return { page: 'unknown', path };
    }
  }
  if (second === undefined && (first === 'connections' || first === 'ask')) return { page: first };
  return { page: 'unknown', path };
}

export function machinePath(asset: string): string {
  return `/machines/${encodeURIComponent(asset)}`;
}

// Which page the address names. Links are ordinary links; this only keeps them from loading the document again.
import { parseRoute, type Route } from './routes';

class Router {
  route = $state.raw<Route>(parseRoute(location.pathname, location.search));

  start(): () => void {
    const read = () => (this.route = parseRoute(location.pathname, location.search));
    const click = (event: MouseEvent) => this.#follow(event);
    addEventListener('popstate', read);
    document.addEventListener('click', click);
    return () => {
      removeEventListener('popstate', read);
      document.removeEventListener('click', click);
    };
  }

  #follow(event: MouseEvent): void {
    const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!plain || event.defaultPrevented || !link || link.target || link.hasAttribute('download')) return;
    if (link.origin !== location.origin || link.pathname.startsWith('/api/')) return;
    event.preventDefault();
    const isOther = link.pathname !== location.pathname || link.search !== location.search;
    if (isOther) history.pushState(null, '', link.href);
    this.route = parseRoute(link.pathname, link.search);
    scrollTo(0, 0);
  }
}

export const router = new Router();

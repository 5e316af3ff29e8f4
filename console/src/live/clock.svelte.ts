// The time of the server, second by second. Everything that shows an age or "now" reads this one clock.

const TICK_MS = 1000;

class Clock {
  /** Now by the server's clock, in ms since 1970: ages do not depend on how the screen's clock is set. */
  nowMs = $state(Date.now());
  #skewMs = 0;

  start(): () => void {
    const timer = setInterval(() => (this.nowMs = Date.now() + this.#skewMs), TICK_MS);
    return () => clearInterval(timer);
  }

  /** Takes over the server's idea of now. Below two seconds it is the network that differs. */
  set(serverNow: string): void {
    const skewMs = Date.parse(serverNow) - Date.now();
    this.#skewMs = Math.abs(skewMs) < 2000 ? 0 : skewMs;
    this.nowMs = Date.now() + this.#skewMs;
  }
}

export const clock = new Clock();

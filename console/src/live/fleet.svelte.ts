// The counts of the fleet, asked for again and again while somebody looks. Knows no page.
import { fetchFleet, type FleetSummary } from '../api/fleet';
import { clock } from './clock.svelte';

const SUMMARY_MS = 2_000;

/** Calls `ask` at once and again `everyMs` after each answer, until the returned function is called. */
export function again(ask: () => Promise<unknown>, everyMs: number): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  const turn = async () => {
    // What nobody sees need not be fresh.
    if (!document.hidden) await ask().catch(() => undefined);
    if (!ended) timer = setTimeout(() => void turn(), everyMs);
  };
  void turn();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

class FleetCounts {
  summary = $state.raw<FleetSummary | null>(null);
  error = $state<string | null>(null);

  follow(): () => void {
    return again(() => this.#ask(), SUMMARY_MS);
  }

  async #ask(): Promise<void> {
    try {
      this.summary = await fetchFleet();
      clock.set(this.summary.now);
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
  }
}

export const fleetCounts = new FleetCounts();

// The past of one machine or vehicle over the chosen window, kept up to date by its changes. Fetches; knows no page.
import { fetchHistory } from '../api/client';
import type { Series } from '../api/types';
import { clock } from './clock.svelte';
import { plant } from './plant.svelte';
import { appendObservation } from './window';

/** Points of a series that the server is asked for; more could not be told apart on a screen. */
const POINTS_MAX = 1_500;
/** Points of a series after live appending, at which the window is fetched (and thinned) again. */
const POINTS_KEPT_MAX = 12_000;

export interface Span {
  fromMs: number;
  toMs: number;
}

export class MachineHistory {
  /** Grows when the series change; they are not reactive themselves. */
  revision = $state(0);
  error = $state<string | null>(null);
  loading = $state(false);
  #series = new Map<string, Series>();
  #abort: AbortController | null = null;
  #reload: (() => void) | null = null;

  constructor(private readonly machine: { readonly asset: string }) {}

  series(signal: string): Series | undefined {
    return this.#series.get(signal);
  }

  async load(signals: string[], span: Span): Promise<void> {
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    this.loading = true;
    const wanted = { asset: this.machine.asset, signals, ...span, pointsMax: POINTS_MAX };
    this.#reload = () => void this.load(signals, { fromMs: span.fromMs, toMs: clock.nowMs });
    try {
      const all = await fetchHistory(wanted, abort.signal);
      if (abort.signal.aborted) return;
      this.#series = new Map(all.map((series) => [series.signal, series]));
      this.error = null;
      this.revision += 1;
    } catch (error) {
      if (!abort.signal.aborted) this.error = error instanceof Error ? error.message : String(error);
    } finally {
      if (this.#abort === abort) this.loading = false;
    }
  }

  /** Appends what comes in from now on, until the returned function is called. */
  follow(): () => void {
    return plant.listen(this.machine.asset, (observations) => {
      let full = false;
      for (const observation of observations) {
        const series = this.#series.get(observation.signal);
        if (!series) continue;
        appendObservation(series, observation);
        full ||= series.times.length > POINTS_KEPT_MAX;
      }
      this.revision += 1;
      if (full) this.#reload?.();
    });
  }

  stop(): void {
    this.#abort?.abort();
  }
}

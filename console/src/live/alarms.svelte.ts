// The alarms that want somebody, told as soon as they change. Knows no page.
import { fetchAlarms, type Alarms } from '../api/alarms';

const RETRY_MS = 3_000;

/** The alarms in some states, for as long as somebody follows them. */
export class AlarmList {
  told = $state.raw<Alarms | null>(null);
  error = $state<string | null>(null);

  follow(state: string): () => void {
    const abort = new AbortController();
    void this.#run(state, abort.signal);
    return () => abort.abort();
  }

  async #run(state: string, abort: AbortSignal): Promise<void> {
    let after: number | null = null;
    while (!abort.aborted) {
      try {
        const told: Alarms = await fetchAlarms(state, after, abort);
        if (abort.aborted) return;
        after = told.revision;
        this.told = told;
        this.error = null;
      } catch (error) {
        if (abort.aborted) return;
        after = null;
        this.error = error instanceof Error ? error.message : String(error);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }
}

export const openAlarms = new AlarmList();

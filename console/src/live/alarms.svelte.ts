// The alarms that want somebody, told as soon as they change. Knows no page.
import { fetchAlarms, type AlarmFilter, type Alarms } from '../api/alarms';

const RETRY_MS = 3_000;
/** Between two answers: where alarms come in all the time, nobody reads each change. */
const PAUSE_MS = 1_000;

/** The alarms that a filter admits, for as long as somebody follows them. */
export class AlarmList {
  told = $state.raw<Alarms | null>(null);
  error = $state<string | null>(null);

  follow(filter: AlarmFilter): () => void {
    const abort = new AbortController();
    void this.#run(filter, abort.signal);
    return () => abort.abort();
  }

  async #run(filter: AlarmFilter, abort: AbortSignal): Promise<void> {
    let after: number | null = null;
    while (!abort.aborted) {
      try {
        const told: Alarms = await fetchAlarms(filter, after, abort);
        if (abort.aborted) return;
        after = told.revision;
        this.told = told;
        this.error = null;
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      } catch (error) {
        if (abort.aborted) return;
        after = null;
        this.error = error instanceof Error ? error.message : String(error);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }
}

/** How many there are in each state: the bar of every page shows it. */
export const openAlarms = new AlarmList();

// Who is told of alarms, asked for again and again while somebody looks. Knows no page.
import { fetchTargets, type Target } from '../api/notify';
import { again } from './fleet.svelte';

const TARGETS_MS = 5_000;

export class TargetList {
  /** `null` until the server has told. */
  told = $state.raw<Target[] | null>(null);
  error = $state<string | null>(null);

  follow(): () => void {
    return again(() => this.#ask(), TARGETS_MS);
  }

  async #ask(): Promise<void> {
    try {
      this.told = await fetchTargets();
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
  }
}

// The stream of what machines say (server-sent events), reopened for as long as it is wanted. Knows no value of any machine.
import type { Observation } from './types';

const REOPEN_MS_MIN = 1_000;
const REOPEN_MS_MAX = 15_000;

export interface StreamEvents {
  /** The stream stands; whatever came before may have been missed. */
  opened(): void;
  changes(observations: Observation[]): void;
  /** The server dropped something on the way to us: fetch everything again. */
  resync(): void;
  lost(): void;
}

export class ChangeStream {
  #source: EventSource | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reopenMs = REOPEN_MS_MIN;

  constructor(private readonly events: StreamEvents) {}

  open(): void {
    this.close();
    const source = new EventSource('/api/v1/changes?kind=machine');
    this.#source = source;
    source.onopen = () => {
      this.#reopenMs = REOPEN_MS_MIN;
      this.events.opened();
    };
    source.addEventListener('changes', (event: MessageEvent<string>) => {
      this.events.changes((JSON.parse(event.data) as { observations: Observation[] }).observations);
    });
    source.addEventListener('resync', () => this.events.resync());
    // The browser's own retry gives up for good on some errors; ours does not.
    source.onerror = () => {
      this.close();
      this.events.lost();
      this.#timer = setTimeout(() => this.open(), this.#reopenMs);
      this.#reopenMs = Math.min(this.#reopenMs * 2, REOPEN_MS_MAX);
    };
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }
}

// What is asked for again and again while somebody looks. Knows neither what that is nor any page.

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

/** What was told last, and why nothing newer was. */
export class Asked<T> {
  readonly #fetch: () => Promise<T>;
  readonly #everyMs: number;
  /** `null` until something was told. */
  told = $state.raw<T | null>(null);
  error = $state<string | null>(null);

  constructor(fetch: () => Promise<T>, everyMs: number) {
    this.#fetch = fetch;
    this.#everyMs = everyMs;
  }

  follow(): () => void {
    return again(() => this.#ask(), this.#everyMs);
  }

  async #ask(): Promise<void> {
    try {
      this.told = await this.#fetch();
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
  }
}

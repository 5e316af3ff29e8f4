// The rules as they are now, asked for again and again while somebody looks. Knows no page.
import { fetchRules, type Rules } from '../api/rules';
import { again } from './fleet.svelte';

const RULES_MS = 5_000;

class RuleList {
  told = $state.raw<Rules | null>(null);
  error = $state<string | null>(null);

  follow(): () => void {
    return again(() => this.#ask(), RULES_MS);
  }

  async #ask(): Promise<void> {
    try {
      this.told = await fetchRules();
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
  }
}

export const ruleList = new RuleList();

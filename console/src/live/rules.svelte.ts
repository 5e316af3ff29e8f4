// The rules as they are now. Knows no page.
import { fetchRules } from '../api/rules';
import { Asked } from './asked.svelte';

const RULES_MS = 5_000;

export const ruleList = new Asked(fetchRules, RULES_MS);

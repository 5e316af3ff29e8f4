// Who is told of alarms, and how that goes now. Knows no page.
import { fetchTargets } from '../api/notify';
import { Asked } from './asked.svelte';

const TARGETS_MS = 5_000;

export const targetList = new Asked(fetchTargets, TARGETS_MS);

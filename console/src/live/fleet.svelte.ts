// The counts of the fleet, as they are now. Knows no page.
import { fetchFleet } from '../api/fleet';
import { Asked } from './asked.svelte';
import { clock } from './clock.svelte';

const SUMMARY_MS = 2_000;

export const fleetCounts = new Asked(async () => {
  const summary = await fetchFleet();
  clock.set(summary.now);
  return summary;
}, SUMMARY_MS);

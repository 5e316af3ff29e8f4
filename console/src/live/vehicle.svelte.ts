// One vehicle as it is now: its line in the table of the fleet, and the latest value of each of its signals.
import { fetchCurrentOf, fetchProfiles } from '../api/client';
import { fetchVehicle, type VehicleRow } from '../api/fleet';
import type { Signal } from '../api/types';
import { again } from './fleet.svelte';
import { VEHICLE_PROFILE } from './plant.svelte';
import { snapshotValues, type AssetValues } from './values';

const VALUES_MS = 2_000;

export class VehicleNow {
  readonly asset: string;
  row = $state.raw<VehicleRow | null>(null);
  signals = $state.raw<Signal[]>([]);
  values = $state.raw<AssetValues>(new Map());
  loaded = $state(false);
  error = $state<string | null>(null);

  constructor(readonly vin: string) {
    this.asset = `vehicle/${vin}`;
  }

  follow(): () => void {
    return again(() => this.#ask(), VALUES_MS);
  }

  /** The last value of a signal, if it is a good number. */
  number(signal: string): number | null {
    const latest = this.values.get(signal)?.latest;
    return latest?.quality === 'good' ? latest.value : null;
  }

  vector(signal: string): (number | null)[] | undefined {
    return this.values.get(signal)?.latest.vector;
  }

  async #ask(): Promise<void> {
    try {
      if (this.signals.length === 0) {
        const profiles = await fetchProfiles();
        this.signals = profiles.find(({ id }) => id === VEHICLE_PROFILE)?.signals ?? [];
      }
      const [row, current] = await Promise.all([fetchVehicle(this.vin), fetchCurrentOf(this.asset)]);
      this.row = row;
      this.values = snapshotValues(current.observations).get(this.asset) ?? new Map();
      this.loaded = true;
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
  }
}

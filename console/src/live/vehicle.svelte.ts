// One vehicle as it is now: its line in the table of the fleet, and the latest value of each of its signals.
import { fetchCurrentOf, fetchProfiles } from '../api/client';
import { fetchCells, fetchVehicle, type VehicleRow } from '../api/fleet';
import type { Signal } from '../api/types';
import { listsOf, type CellLists } from '../fleet/cells';
import { again } from './asked.svelte';
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
  /** All cells of a vehicle whose newest report may tell only some of them. */
  #joined = $state.raw<CellLists | null>(null);
  /** The report that was the newest when they were put together. */
  #joinedOf = '';

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

  /** The voltages of all cells. */
  cells(): CellLists {
    if (this.#joined) return this.#joined;
    return {
      values: this.vector('cell_voltage') ?? [],
      counts: this.vector('cell_voltage_count'),
      packs: this.vector('pack_number'),
      firsts: this.#isOf2016() ? this.vector('pack_first_cell') : undefined,
    };
  }

  /** Only reports of 2016 tell where they begin; one of 2025 has all cells. */
  #isOf2016(): boolean {
    return this.number('report_edition') === 2016;
  }

  async #join(): Promise<void> {
    const newest = this.values.get('cell_voltage')?.latest;
    if (!newest?.vector || !this.#isOf2016() || !this.vector('pack_first_cell')) {
      this.#joined = null;
      return;
    }
    const report = `${newest.time} ${newest.sequence}`;
    if (this.#joined && this.#joinedOf === report) return;
    this.#joined = listsOf(await fetchCells(this.asset, newest.time));
    this.#joinedOf = report;
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
      await this.#join();
      this.error = null;
    } catch (error) {
      this.error = error instanceof Error ? error.message : String(error);
    }
  }
}

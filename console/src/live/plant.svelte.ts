// The living picture: every machine with its current values, fed by the stream of changes and re-synchronised
// whenever something may have been missed. Knows no page and no language.
import { fetchAssets, fetchCurrent, fetchGateways, fetchProfiles } from '../api/client';
import { ChangeStream } from '../api/stream';
import type { Gateway, Observation, Profile } from '../api/types';
import { findRoles, type Roles } from '../machine/roles';
import { sourceOf, viewMachine, type MachineView } from '../machine/state';
import { clock } from './clock.svelte';
import { applyObservation, compareTimes, snapshotValues, type AssetValues } from './values';

/** Changes are shown at most this often: faster than anyone reads, slow enough for 500 machines. */
const FLUSH_MS = 200;
/** How often the gateways are asked; it is also the pulse by which a silent server is noticed. */
const PULSE_MS = 5_000;
/** Missed pulses after which the connection counts as lost. */
const PULSES_MISSED_MAX = 2;
/** Changes that may wait for a flush; beyond it a fresh snapshot is cheaper. */
const PENDING_MAX = 50_000;
const RESYNC_RETRY_MS = 2_000;
/** An asset that is not in the inventory makes it read again, but not more often than this. */
const INVENTORY_MS_MIN = 10_000;

/** What reports of GB/T 32960 are kept as. */
export const VEHICLE_PROFILE = 'vehicle';

export type LinkState = 'connecting' | 'live' | 'lost';
export type ChangeListener = (observations: Observation[]) => void;

export class Machine {
  readonly roles: Roles;
  values: AssetValues = new Map();
  view = $state.raw<MachineView>() as MachineView;
  /** Grows with every change of `values`, which is not reactive itself. */
  revision = $state(0);
  lastHeard = $state.raw<string | null>(null);

  constructor(
    readonly asset: string,
    readonly profile: Profile,
  ) {
    this.roles = findRoles(profile);
    this.view = viewMachine(this.roles, this.values, null);
  }

  /** The identifier behind the kind: what people call it. */
  get name(): string {
    return this.asset.slice(this.asset.indexOf('/') + 1);
  }

  replace(values: AssetValues): void {
    this.values = values;
    this.lastHeard = null;
    for (const { latest } of values.values()) this.#heard(latest);
  }

  take(observation: Observation): void {
    if (applyObservation(this.values, observation)) this.#heard(observation);
  }

  refresh(gateways: Gateway[]): void {
    this.view = viewMachine(this.roles, this.values, sourceOf(this.asset, gateways));
    this.revision += 1;
  }

  #heard(observation: Observation): void {
    if (this.lastHeard === null || compareTimes(observation.time, this.lastHeard) > 0) {
      this.lastHeard = observation.time;
    }
  }
}

class Plant {
  link = $state<LinkState>('connecting');
  /** Since when the picture has not moved; null while it is live. */
  lostSinceMs = $state<number | null>(null);
  machines = $state.raw<Machine[]>([]);
  gateways = $state.raw<Gateway[]>([]);
  #knowsVehicles = $state(false);
  /** Whether vehicles report, or could: then there is a fleet to look at. */
  hasVehicles = $derived(this.#knowsVehicles || this.gateways.some(({ kind }) => kind === 'gbt32960'));
  /** Whether a first complete picture has been seen. */
  loaded = $state(false);

  #byAsset = new Map<string, Machine>();
  #pending: Observation[] = [];
  #flushTimer: ReturnType<typeof setTimeout> | undefined;
  #syncTimer: ReturnType<typeof setTimeout> | undefined;
  #syncing = false;
  #syncAgain = false;
  #pulsesMissed = 0;
  #inventoryMs = 0;
  #listeners = new Map<string, Set<ChangeListener>>();
  #stream = new ChangeStream({
    opened: () => void this.#sync(),
    resync: () => void this.#sync(),
    changes: (observations) => this.#receive(observations),
    lost: () => this.#lose(),
  });

  start(): () => void {
    this.#stream.open();
    void this.#beat();
    const pulse = setInterval(() => void this.#beat(), PULSE_MS);
    return () => {
      clearInterval(pulse);
      clearTimeout(this.#syncTimer);
      clearTimeout(this.#flushTimer);
      this.#stream.close();
    };
  }

  machine(asset: string): Machine | undefined {
    return this.machines.find((machine) => machine.asset === asset);
  }

  /** Calls `listener` with every batch of changes of one asset, after they were taken in. */
  listen(asset: string, listener: ChangeListener): () => void {
    const listeners = this.#listeners.get(asset) ?? new Set();
    this.#listeners.set(asset, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  async #beat(): Promise<void> {
    try {
      this.gateways = await fetchGateways(PULSE_MS);
      const missed = this.#pulsesMissed;
      this.#pulsesMissed = 0;
      // A stream that went silent with the network does not know it: open a new one, which synchronises.
      if (missed >= PULSES_MISSED_MAX) this.#stream.open();
      for (const machine of this.machines) {
        const source = sourceOf(machine.asset, this.gateways);
        if (machine.view.stale !== (source !== null && !source.connected)) machine.refresh(this.gateways);
      }
    } catch {
      this.#pulsesMissed += 1;
      if (this.#pulsesMissed >= PULSES_MISSED_MAX) this.#lose();
    }
  }

  #lose(): void {
    if (this.link === 'lost') return;
    this.link = 'lost';
    this.lostSinceMs = clock.nowMs;
  }

  /** A complete picture. The stream is open before, so that no change falls between the two. */
  async #sync(): Promise<void> {
    if (this.#syncing) {
      this.#syncAgain = true;
      return;
    }
    this.#syncing = true;
    this.#pending = [];
    clearTimeout(this.#syncTimer);
    try {
      await this.#readInventory();
      const current = await fetchCurrent();
      clock.set(current.now);
      const values = snapshotValues(current.observations);
      for (const machine of this.machines) {
        machine.replace(values.get(machine.asset) ?? new Map());
        machine.refresh(this.gateways);
      }
      this.link = 'live';
      this.lostSinceMs = null;
      this.loaded = true;
      this.#scheduleFlush();
    } catch {
      this.#lose();
      this.#syncTimer = setTimeout(() => void this.#sync(), RESYNC_RETRY_MS);
    } finally {
      this.#syncing = false;
    }
    if (this.#syncAgain) {
      this.#syncAgain = false;
      void this.#sync();
    }
  }

  async #readInventory(): Promise<void> {
    this.#inventoryMs = Date.now();
    const [assets, profiles, gateways] = await Promise.all([fetchAssets(), fetchProfiles(), fetchGateways()]);
    this.gateways = gateways;
    this.#knowsVehicles = profiles.some(({ id }) => id === VEHICLE_PROFILE);
    const byId = new Map(profiles.map((profile) => [profile.id, profile]));
    // An asset whose model changed is listed with each of its profiles: the last one speaks.
    const latest = new Map(assets.map((asset) => [asset.asset, asset]));
    const machines = [...latest.values()].flatMap(({ asset, profile: id }) => {
      const profile = byId.get(id);
      if (!profile || !asset.startsWith('machine/')) return [];
      const known = this.#byAsset.get(asset);
      const same = known && known.profile.signals.length === profile.signals.length && known.profile.id === id;
      return [same ? known : new Machine(asset, profile)];
    });
    this.#byAsset = new Map(machines.map((machine) => [machine.asset, machine]));
    const known = this.machines;
    const changed = machines.length !== known.length || machines.some((machine, i) => machine !== known[i]);
    if (changed) this.machines = machines;
  }

  #receive(observations: Observation[]): void {
    if (this.#pending.length + observations.length > PENDING_MAX) {
      this.#pending = [];
      void this.#sync();
      return;
    }
    for (const observation of observations) this.#pending.push(observation);
    if (!this.#syncing) this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    this.#flushTimer ??= setTimeout(() => {
      if (document.hidden) this.#flush();
      else requestAnimationFrame(() => this.#flush());
    }, FLUSH_MS);
  }

  #flush(): void {
    this.#flushTimer = undefined;
    if (this.#syncing) return;
    const byAsset = Map.groupBy(this.#pending, (observation) => observation.asset);
    this.#pending = [];
    for (const [asset, observations] of byAsset) {
      const machine = this.#byAsset.get(asset);
      if (!machine) {
        this.#meetStranger(asset);
        continue;
      }
      for (const observation of observations) machine.take(observation);
      machine.refresh(this.gateways);
      this.#listeners.get(asset)?.forEach((listener) => listener(observations));
    }
  }

  #meetStranger(asset: string): void {
    const isMachine = asset.startsWith('machine/');
    if (isMachine && Date.now() - this.#inventoryMs > INVENTORY_MS_MIN) void this.#sync();
  }
}

export const plant = new Plant();

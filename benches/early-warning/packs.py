#!/usr/bin/env python3
"""Battery packs whose physics is not ours, for early warning: made by PyBaMM, sent as frames of GB/T 32960-2016.

    pip install pybamm numpy
    packs.py library                         # solves the cells, about 25 minutes on one core; kept in ~/.cache/tongmai-packs
    packs.py list                            # the vehicles, a line of JSON each
    packs.py labels > labels.jsonl           # {"asset", "from", "to", "label"}: from when on which fault is there
    packs.py frames LTMPK000100000001        # its reports, a frame in hexadecimal digits a line, for `tongmai decode gbt32960 FILE`
    packs.py stream --seed 2 | target/release/early-warning RULES.toml > alarms.jsonl      # all reports, for the rules alone
    packs.py score --alarms alarms.jsonl --seed 2                                           # what of it was found, and how soon
    packs.py send --to 127.0.0.1:32960 --sets short-1000,healthy   # log in, reissue all reports, wait for the answers

`--ah 5` has packs of single cells of 5 Ah, as in light vehicles, in place of 50 Ah. All comes from `--seed`: 8 records of usage of 14 days, each with 96 healthy cells and 16 others, solved once; 22 vehicles of each, or more that
are healthy. Every 30 s a report has voltages of 96 cells in whole mV, 24 temperatures in whole degrees, current in 0.1 A and the state of charge in
whole per cent, with noise of the sensors, offsets that drift and gaps. One vehicle in two says nothing while it stands. Vehicles of one usage
share their cells, each in an order of its own: to count them as independent would be wrong.

The frames are put together here, from the tables of the standard, so that they are a second opinion on how they are read.
"""
import argparse, asyncio, datetime, json, os, pathlib, sys

import numpy as np

import cells as solver

CHINA = datetime.timezone(datetime.timedelta(hours=8))
BEGIN = datetime.datetime(2026, 3, 2, tzinfo=CHINA)
DAYS, USAGES, HEALTHY_CELLS, SERIES, PROBES = 14, 8, 96, 96, 24
STEP, DAY = solver.STEP_SECS, 86400
IN_FLIGHT_MAX = 64

# Of each usage: cells besides the healthy ones, and vehicles besides the healthy ones. `short-1000` is a short of 1 kOhm, `joint` a loose
# connection, `module` eight cells that were replaced, `fuller` a cell that balancing has to bleed alone, `offset` a channel that reads low.
SPECIAL_CELLS = [("short-1000", 4), ("short-100", 2), ("short-30", 2), ("weak", 1), ("resistive", 1), ("joint", 1), ("module", 4), ("fuller", 1)]
VEHICLES = [
    ("short-1000", 4), ("short-100", 2), ("short-30", 2), ("joint", 1), ("insulation", 1),
    ("weak", 1), ("resistive", 1), ("module", 1), ("fuller", 1), ("offset", 1),
]  # fmt: skip
FAULTS = {"short-1000", "short-100", "short-30", "joint", "insulation"}


def make_library(usage, seed, parallel):
    """Solves all cells of one record of usage."""
    rng = np.random.default_rng([seed, usage])
    record = solver.Usage(DAYS, parallel, rng)
    kinds = ["healthy"] * HEALTHY_CELLS + [kind for kind, number in SPECIAL_CELLS for _ in range(number)]
    drawn = solver.draw_cells(len(kinds), record, usage % 3 > 0, rng)
    for at, kind in enumerate(kinds):
        if kind.startswith("short-"):
            ohm = int(kind[6:])
            drawn["short"][at] = 1 / ohm
            drawn["onset"][at] = DAY * {1000: rng.uniform(3, 10), 100: rng.uniform(4, 9), 30: rng.uniform(9.5, 11.5)}[ohm]
        elif kind == "weak":
            drawn["capacity"][at] *= 0.92
            drawn["soc"][at] = 1 - (1 - drawn["soc"][at]) / 0.92
        elif kind == "resistive":
            drawn["ohm"][at] *= 1.6
        elif kind == "joint":
            drawn["joint"][at] = 15e-3
            drawn["onset"][at] = DAY * rng.uniform(4, 9)
        elif kind == "module":  # replaced: newer, and fuller than the others
            drawn["capacity"][at] *= 1.06
            drawn["soc"][at] = 1 - (1 - drawn["soc"][at]) / 1.06 + 0.012
            drawn["ohm"][at] *= 0.85
        elif kind == "fuller":  # alone, so that it is bled alone
            drawn["soc"][at] += 0.015
    bleed = solver.balance(drawn, record, HEALTHY_CELLS)
    volts, celsius, ends = solver.solve(record, drawn, bleed, rng)
    return {
        "volts": np.round(volts * 1e4).astype(np.uint16), "celsius": np.round(celsius * 100).astype(np.int16),
        "current": record.current, "state": record.state, "soc": record.soc, "kinds": np.array(kinds),
        "onset": drawn["onset"], "ends": ends, "bleed": bleed, "capacity_ah": record.capacity_ah,
    }  # fmt: skip


def load(arguments, usage):
    with np.load(arguments.library / f"{arguments.ah}ah-{arguments.seed}-{usage}.npz") as kept:
        return {name: kept[name] for name in kept.files}


def vehicles(seed, healthy):
    """All vehicles, `healthy` healthy ones of each usage: what they are, and the seed of what is drawn for them."""
    for usage in range(USAGES):
        number = 0
        for kind, count in [*VEHICLES, ("healthy", healthy)]:
            for which in range(count):
                number += 1
                yield {"vin": f"LTMPK{usage:04d}{number:08d}", "set": kind, "usage": usage, "which": which, "seed": [seed, usage, 1, number]}


def place_cells(vehicle, library, rng):
    """Which cell of the library is where in the pack, where the special one is, and since which second."""
    healthy = np.arange(HEALTHY_CELLS)
    placed = np.concatenate([rng.permutation(healthy), rng.choice(healthy, SERIES - HEALTHY_CELLS)])
    placed = rng.permutation(placed)
    where, onset = int(rng.integers(SERIES)), None
    special = np.flatnonzero(library["kinds"] == vehicle["set"]) if vehicle["set"] != "healthy" else []
    if vehicle["set"] == "module":
        where = where // 8 * 8
        placed[where : where + 8] = np.resize(special, 8)
    elif len(special):
        placed[where] = special[vehicle["which"]]
        onset = library["onset"][special[vehicle["which"]]]
    if vehicle["set"] == "insulation":
        onset = DAY * rng.uniform(3, 7)
    return placed, where, onset if onset is not None and onset < 1e8 else None


def insulation_kilohm(times, onset, rng):
    """Some MOhm that follow the damp of the air; with a fault, half as much each day, down to some 100 kOhm."""
    damp = 1 + 0.25 * np.sin(2 * np.pi * (times / DAY + rng.uniform())) * rng.uniform(0.3, 1)
    healthy = rng.uniform(3000, 9000) * damp * (1 + 0.03 * rng.standard_normal(len(times)))
    left = 1.0 if onset is None else np.maximum(0.5 ** np.maximum(0, (times - onset) / DAY), 0.04)
    return np.clip(healthy * left, 50, 60000)


def assemble(vehicle, library):
    """What the vehicle reports: one row per report, and what is wrong with it since when."""
    rng = np.random.default_rng(vehicle["seed"])
    placed, where, onset = place_cells(vehicle, library, rng)
    times = np.arange(DAYS * DAY // STEP) * STEP
    state = library["state"][: len(times)]
    silent = bool(rng.random() < 0.5)
    said = ~((state == solver.OFF) & silent)
    for _ in range(rng.poisson(0.5 * DAYS)):
        begin, length = rng.uniform(0, DAYS * DAY), 60 * np.exp(rng.uniform(np.log(3), np.log(240)))
        said &= ~((times >= begin) & (times < begin + length))
    said &= times < library["ends"][placed].min()  # a vehicle with an empty cell goes nowhere
    rows = np.flatnonzero(said)
    times, state = times[rows], state[rows]
    days = times / DAY
    drift = np.cumsum(0.05e-3 * rng.standard_normal((DAYS + 1, SERIES)), axis=0)
    offset = 1e-3 * rng.standard_normal(SERIES)
    slope = np.zeros(SERIES)
    if vehicle["set"] == "offset":
        offset[where], slope[where] = -0.012, -0.15e-3
    fraction = (days - np.floor(days))[:, None]
    whole = days.astype(int)
    drifting = drift[whole] * (1 - fraction) + drift[whole + 1] * fraction
    volts = library["volts"][placed][:, rows].T / 1e4 + offset + slope * days[:, None] + drifting
    volts += 1e-3 * rng.standard_normal(volts.shape)
    celsius = library["celsius"][placed][:, rows].T.reshape(len(rows), PROBES, -1).mean(axis=2) / 100
    celsius += 0.3 * rng.standard_normal(celsius.shape)
    current = library["current"][rows] + 0.003 * library["capacity_ah"] * rng.standard_normal(len(rows)) * (state != solver.OFF)
    believed = library["soc"][rows] + 0.015 * np.interp(days, np.arange(DAYS + 1), rng.standard_normal(DAYS + 1))
    return {
        "times": times, "state": state, "volts": np.round(volts * 1000) / 1000, "celsius": np.round(celsius),
        "current": np.round(current, 1), "soc": np.round(np.clip(believed, 0, 1) * 100),
        "insulation": np.round(insulation_kilohm(times, onset if vehicle["set"] == "insulation" else None, rng)),
        "cell": where + 1, "onset": onset if vehicle["set"] in FAULTS else None, "silent": silent,
    }  # fmt: skip


def big_endian(values, size):
    """Whole numbers as columns of bytes."""
    whole = np.asarray(values).astype(np.int64)
    return np.stack([(whole >> (8 * shift)) & 0xFF for shift in reversed(range(size))], axis=-1).reshape(len(whole), -1).astype(np.uint8)


def frames(vin, reports):
    """Reissued reports (command 03) as rows of bytes: blocks 01 vehicle, 08 cell voltages, 09 temperatures."""
    number = len(reports["times"])
    alike = lambda *octets: np.tile(np.array(octets, dtype=np.uint8), (number, 1))
    at = [(BEGIN + datetime.timedelta(seconds=int(one))).timetuple() for one in reports["times"]]
    clock = np.array([[one.tm_year - 2000, one.tm_mon, one.tm_mday, one.tm_hour, one.tm_min, one.tm_sec] for one in at], dtype=np.uint8)
    state = reports["state"]
    total = big_endian(np.round(reports["volts"].sum(axis=1) * 10), 2)
    amps = big_endian(np.round((reports["current"] + 1000) * 10), 2)
    body = [
        clock, alike(0x01),
        big_endian(np.choose(state, [2, 1, 3, 3]), 1), big_endian(np.choose(state, [3, 3, 1, 4]), 1), alike(1),
        big_endian(np.where(state == solver.DRIVING, np.clip(300 + reports["current"] * 5, 0, 1200), 0), 2),
        alike(0, 0, 0, 0), total, amps, big_endian(reports["soc"], 1),
        big_endian(np.where(state == solver.OFF, 2, 1), 1), big_endian(np.where(state == solver.DRIVING, 14, 15), 1),
        big_endian(reports["insulation"], 2), alike(0, 0),
        alike(0x08, 1, 1), total, amps, alike(0, SERIES, 0, 1, SERIES), big_endian(np.round(reports["volts"] * 1000), 2),
        alike(0x09, 1, 1, 0, PROBES), big_endian(reports["celsius"] + 40, 1),
    ]  # fmt: skip
    body = np.concatenate(body, axis=1)
    head = alike(0x03, 0xFE, *vin.encode(), 0x01, *body.shape[1].to_bytes(2, "big"))
    checked = np.concatenate([head, body], axis=1)
    return np.concatenate([alike(0x23, 0x23), checked, np.bitwise_xor.reduce(checked, axis=1)[:, None]], axis=1)


def session_frame(command, vin, at, rest):
    """A login (01) or logout (04)."""
    body = bytes([at.year - 2000, at.month, at.day, at.hour, at.minute, at.second]) + b"\x00\x01" + rest
    checked = bytes([command, 0xFE]) + vin.encode() + b"\x01" + len(body).to_bytes(2, "big") + body
    return b"##" + checked + bytes([int(np.bitwise_xor.reduce(np.frombuffer(checked, dtype=np.uint8)))])


async def answer(reader):
    """The response flag of the next frame."""
    head = await reader.readexactly(24)
    await reader.readexactly(int.from_bytes(head[22:24], "big") + 1)
    return head[3]


async def send_vehicle(host, port, vehicle, reports):
    """Login, all reports with at most `IN_FLIGHT_MAX` unanswered, logout; how many were accepted."""
    reader, writer = await asyncio.open_connection(host, port)
    at = BEGIN + datetime.timedelta(seconds=int(reports["times"][0]))
    writer.write(session_frame(0x01, vehicle["vin"], at, b"8986" + vehicle["vin"][-16:].encode() + b"\x01\x00"))
    if await answer(reader) != 1:
        raise SystemExit(f"login of {vehicle['vin']} was refused")
    accepted, waiting = 0, 0
    for row in frames(vehicle["vin"], reports):
        if waiting == IN_FLIGHT_MAX:
            accepted += await answer(reader) == 1
            waiting -= 1
        writer.write(row.tobytes())
        await writer.drain()
        waiting += 1
    for _ in range(waiting):
        accepted += await answer(reader) == 1
    writer.write(session_frame(0x04, vehicle["vin"], BEGIN + datetime.timedelta(seconds=int(reports["times"][-1])), b""))
    await answer(reader)
    writer.close()
    return accepted


async def send(arguments, chosen):
    host, port = arguments.to.rsplit(":", 1)
    turn = asyncio.Semaphore(arguments.connections)

    async def one(vehicle):
        async with turn:
            reports = assemble(vehicle, load(arguments, vehicle["usage"]))
            accepted = await send_vehicle(host, int(port), vehicle, reports)
            print(json.dumps({"vin": vehicle["vin"], "set": vehicle["set"], "reports": len(reports["times"]), "accepted": accepted}), flush=True)
            return accepted == len(reports["times"])

    if not all(await asyncio.gather(*(one(vehicle) for vehicle in chosen))):
        raise SystemExit("not all reports were accepted")


SPREAD_VOLTS = 0.1


def first_spread(reports, begin):
    """When an alarm at a spread of 100 mV would be raised after `begin`, in seconds."""
    is_wide = np.ptp(reports["volts"], axis=1) > SPREAD_VOLTS
    at = reports["times"][is_wide & (reports["times"] >= begin)]
    return int(at[0]) if len(at) else None


def charges(library, begin, end):
    """How many charges began after `begin` until `end`."""
    state = library["state"]
    begins = np.flatnonzero((state[1:] == solver.CHARGING) & (state[:-1] != solver.CHARGING)) * STEP
    return int(((begins > begin) & (begins <= end)).sum())


def score(arguments, chosen):
    """Which shorts were found, and what was said of others."""
    alarms, leaks = {}, arguments.rules.split(",")
    for line in open(arguments.alarms):
        one = json.loads(line)
        at = (datetime.datetime.fromisoformat(one["time"].replace("Z", "+00:00")) - BEGIN).total_seconds()
        alarms.setdefault(one["asset"], []).append((at, one["rule"]))
    of_set, wrong, days = {}, {}, {}
    for vehicle in chosen:
        library = load(arguments, vehicle["usage"])
        reports = assemble(vehicle, library)
        said = sorted(alarms.get(f"vehicle/{vehicle['vin']}", []))
        onset = reports["onset"] if vehicle["set"].startswith("short") else None
        early = [rule for at, rule in said if rule in leaks and (onset is None or at < onset)]
        wrong.setdefault(vehicle["set"], []).extend(early)
        others = [rule for at, rule in said if rule not in leaks]
        days[vehicle["set"]] = days.get(vehicle["set"], 0) + DAYS
        if arguments.verbose and (early or others):
            print(vehicle["vin"], vehicle["set"], "wrong:", early, "others:", others)
        if onset is None:
            continue
        found = [(at, rule) for at, rule in said if rule in leaks and at >= onset]
        spread = first_spread(reports, onset)
        at = found[0][0] if found else None
        took = charges(library, onset, at if at is not None else DAYS * DAY)
        of_set.setdefault(vehicle["set"], []).append((onset, at, spread, took))
        if arguments.verbose:
            hours = lambda time: None if time is None else round((time - onset) / 3600, 1)
            print(vehicle["vin"], vehicle["set"], "silent" if reports["silent"] else "", "found", hours(at), found[:1], "spread", hours(spread), "charges", took)
    for name, rows in sorted(of_set.items()):
        found = sorted(round(float(at - onset) / 3600, 1) for onset, at, _, _ in rows if at is not None)
        first = sum(at is not None and took <= 1 for _, at, _, took in rows)
        second = sum(at is not None and took <= 2 for _, at, _, took in rows)
        sooner = sum(at is not None and (spread is None or at < spread) for _, at, spread, _ in rows)
        never = sum(spread is None for _, _, spread, _ in rows)
        print(f"{name}: {len(found)} of {len(rows)} found, {first} by the first charge after it began, {second} by the second; hours:", found)
        print(f"    {sooner} before a spread of 100 mV, which {never} never show")
    for name, rules in wrong.items():
        print(f"{name}: {days[name]} vehicle-days, wrong alarms about leaks: {len(rules)} {sorted(set(rules))}")


def label(vehicle, reports):
    """From when to when it is faulty."""
    at = lambda seconds: (BEGIN + datetime.timedelta(seconds=int(seconds))).isoformat()
    one = {"asset": f"vehicle/{vehicle['vin']}", "from": at(reports["onset"]), "to": at(DAYS * DAY), "label": vehicle["set"]}
    return one if vehicle["set"] == "insulation" else one | {"label": f"{one['label']} of cell {reports['cell']}"}


def solve_library(arguments):
    """Solves what is not there yet; a file appears when it is whole."""
    os.makedirs(arguments.library, exist_ok=True)
    for usage in range(USAGES):
        path = arguments.library / f"{arguments.ah}ah-{arguments.seed}-{usage}.npz"
        if path.exists():
            continue
        with open(path.with_suffix(".part"), "wb") as part:
            np.savez_compressed(part, **make_library(usage, arguments.seed, arguments.ah // 5))
        os.replace(part.name, path)
        print(path, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["library", "list", "labels", "frames", "stream", "score", "send"])
    parser.add_argument("vin", nargs="*", help="only these vehicles")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ah", type=int, choices=[5, 50], default=50, help="capacity of the units in series")
    parser.add_argument("--library", type=pathlib.Path, default=pathlib.Path.home() / ".cache/tongmai-packs/library")
    parser.add_argument("--healthy", type=int, default=7, help=f"healthy vehicles of each of the {USAGES} records of usage")
    parser.add_argument("--sets", help="only vehicles of these sets, with commas between")
    parser.add_argument("--to", help="HOST:PORT of the platform")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--usages", help="only these records of usage, with commas between")
    parser.add_argument("--alarms", help="what the rules have raised, for score")
    parser.add_argument("--rules", default="cell-leaks,cell-falls,cell-leaks-parked", help="the rules about leaks that count, for score")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_intermixed_args()
    if arguments.command == "library":
        return solve_library(arguments)
    if arguments.command == "send" and not arguments.to:
        parser.error("send wants --to HOST:PORT")
    sets = arguments.sets and arguments.sets.split(",")
    usages = arguments.usages and [int(one) for one in arguments.usages.split(",")]
    wanted = lambda one: (
        (not sets or one["set"] in sets) and (not arguments.vin or one["vin"] in arguments.vin) and (not usages or one["usage"] in usages)
    )
    chosen = [one for one in vehicles(arguments.seed, arguments.healthy) if wanted(one)]
    if arguments.command == "send":
        return asyncio.run(send(arguments, chosen))
    if arguments.command == "score":
        if not arguments.alarms:
            parser.error("score wants --alarms FILE")
        return score(arguments, chosen)
    for vehicle in chosen:
        if arguments.command == "list":
            print(json.dumps(vehicle))
        elif arguments.command == "stream":
            sys.stdout.buffer.write(frames(vehicle["vin"], assemble(vehicle, load(arguments, vehicle["usage"]))).tobytes())
        elif arguments.command == "frames":
            for row in frames(vehicle["vin"], assemble(vehicle, load(arguments, vehicle["usage"]))):
                print(bytes(row).hex())
        elif vehicle["set"] in FAULTS:
            print(json.dumps(label(vehicle, assemble(vehicle, load(arguments, vehicle["usage"])))))


if __name__ == "__main__":
    main()

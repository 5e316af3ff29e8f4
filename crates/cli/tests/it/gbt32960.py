"""A second opinion on GB/T 32960: made-up frames, read by rtm_con and by `tongmai decode`, value by value.

usage: gbt32960.py TONGMAI COUNT SEED
Prints a line of JSON for each kind of disagreement: {"edition", "field", "times", "ours", "theirs"}.
The frames are put together here, byte by byte, from the tables of the standard.
"""
import collections, datetime, json, random, re, subprocess, sys

from rtm_con import con_to_pyobj, msg

# Per block: (field, bytes, greatest raw value); lists as (field, bytes of their count, items at most, fields).
SPECIAL = {1: (0xFE, 0xFF), 2: (0xFFFE, 0xFFFF), 4: (0xFFFFFFFE, 0xFFFFFFFF)}
VEHICLE = [("state", 1, (1, 3)), ("charging", 1, (1, 4)), ("mode", 1, (1, 3)), ("speed", 2, 2200), ("odometer", 4, 9999999),
           ("voltage", 2, 10000), ("current", 2, 20000), ("soc", 1, 100), ("dc_dc", 1, (1, 2)), ("gear", 1, None), ("insulation", 2, 60000)]
PEDALS = [("accelerator", 1, 100), ("brake", 1, 101)]
MOTOR = [("number", 1, (1, 253)), ("state", 1, (1, 4)), ("controller_temperature", 1, 250), ("speed", 2, 65531)]
BLOCKS = {
    2016: {
        1: VEHICLE + PEDALS,
        2: [("motors", 1, 3, MOTOR + [("torque", 2, 65531), ("temperature", 1, 250), ("controller_voltage", 2, 60000), ("controller_current", 2, 20000)])],
        4: [("state", 1, (1, 2)), ("speed", 2, 60000), ("consumption", 2, 60000)],
        6: [(f"{kind}_{end}{part}", size, most) for kind, where in (("voltage", "cell"), ("temperature", "probe")) for end in ("max", "min")
            for part, size, most in (("_subsystem", 1, 250), (f"_{where}", 1, 250), ("", 2 if kind == "voltage" else 1, 15000 if kind == "voltage" else 250))],
        8: [("packs", 1, 2, [("number", 1, (1, 250)), ("voltage", 2, 10000), ("current", 2, 20000), ("cells", 2, 65531), ("first", 2, 65531), ("voltages", 1, 30, 2, 60000)])],
        9: [("packs", 1, 2, [("number", 1, (1, 250)), ("temperatures", 2, 30, 1, 250)])],
    },
    2025: {
        1: VEHICLE,
        2: [("motors", 1, 3, MOTOR + [("torque", 4, 400000), ("temperature", 1, 250)])],
        4: [("speed", 2, 60000)],
        7: [("packs", 1, 2, [("number", 1, (1, 50)), ("voltage", 2, 60000), ("current", 2, 60000), ("voltages", 2, 30, 2, 60000)])],
        8: [("packs", 1, 2, [("number", 1, (1, 50)), ("temperatures", 2, 30, 1, 250)])],
    },
}


def number(size, most, rng):
    if most is None:  # a gear: one of those that both know, and the two flags
        return rng.choice([0, 1, 6, 13, 14, 15]) | rng.choice([0, 0x10, 0x20])
    low, high = most if isinstance(most, tuple) else (0, most)
    return rng.choice(SPECIAL[size]) if rng.random() < 0.05 else rng.randint(low, high)


def build(fields, rng):
    """Bytes of `fields`."""
    out = b""
    for field in fields:
        if len(field) == 3:
            out += number(field[1], field[2], rng).to_bytes(field[1], "big")
        elif len(field) == 4:
            count = rng.randint(1, field[2])
            out += count.to_bytes(field[1], "big") + b"".join(build(field[3], rng) for _ in range(count))
        else:
            count = rng.randint(1, field[2])
            out += count.to_bytes(field[1], "big") + b"".join(number(field[3], field[4], rng).to_bytes(field[3], "big") for _ in range(count))
    return out


def frame(edition, rng):
    body = bytes([rng.randint(16, 40), rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23), rng.randint(0, 59), rng.randint(0, 59)])
    for kind in sorted(rng.sample(sorted(BLOCKS[edition]), rng.randint(1, 4))):
        body += bytes([kind]) + build(BLOCKS[edition][kind], rng)
    if edition == 2025:  # they want a signature
        body += b"\xff\x01" + b"\x00\x20" + rng.randbytes(32) + b"\x00\x20" + rng.randbytes(32)
    head = bytes([rng.choice([2, 3]), 0xFE]) + b"LTMTEST0000000001" + b"\x01" + len(body).to_bytes(2, "big")
    check = 0
    for byte in head + body:
        check ^= byte
    start = b"##" if edition == 2016 else b"$$"
    return start + head + body + bytes([check])


def theirs(value):
    """All values of rtm_con in their order: numbers, and words for what is none."""
    if isinstance(value, dict):
        return [one for part in value.values() for one in theirs(part)]
    if isinstance(value, (list, tuple)):
        return [one for part in value for one in theirs(part)]
    text = str(value)
    for word in ("invalid", "abnormal"):
        if word in text:
            return [word]
    found = re.match(r"-?\d+(\.\d+)?(e[+-]?\d+)?(?=$| )", text)
    return [float(found[0]) if found else text]


def ours(path, value):
    """All of our values in the order of the frame, each with its field."""
    if isinstance(value, list):
        return [one for part in value for one in ours(path, part)]
    if "raw" in value and isinstance(value["raw"], list):
        physical, bad = value.get("value", value["raw"]), value.get("quality", {})
        return [(path, bad.get(str(place), one)) for place, one in enumerate(physical)]
    if "raw" in value:
        return [(path, value.get("quality", value.get("meaning", value.get("value"))))]
    # The tables give an order, JSON objects do not: the place in the frame does.
    return [one for name, part in sorted(value.items(), key=lambda item: place_of(item[1])) for one in ours(f"{path}.{name}", part)]


def place_of(value):
    while isinstance(value, list):
        value = value[0] if value else {}
    return value["at"] if "at" in value else min((place_of(part) for part in value.values()), default=0)


def same(mine, other):
    if isinstance(mine, list):  # words for single values: theirs are others
        return isinstance(other, str)
    if isinstance(mine, str) or isinstance(other, str):
        return isinstance(other, str) and mine in other.lower()
    return abs(mine - other) <= 1e-6


def main():
    tongmai, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    frames = [(edition, frame(edition, rng)) for _ in range(count) for edition in (2016, 2025)]
    text = "\n".join(data.hex() for _, data in frames)
    told = subprocess.run([tongmai, "decode", "gbt32960", "-"], input=text, text=True, capture_output=True, check=True)
    decoded = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(decoded) == len(frames), (len(decoded), len(frames))
    found, compared = collections.OrderedDict(), 0
    for (edition, data), mine in zip(frames, decoded):
        other = con_to_pyobj(msg.parse(data))
        assert mine["edition"] == edition and mine["data_bytes"] == len(data) - 25
        when = other["payload"]["timestamp"].astimezone().timestamp()
        assert datetime.datetime.fromisoformat(mine["data"]["time"].replace("Z", "+00:00")).timestamp() == when, mine["data"]["time"]
        our_blocks = [block for block in mine["data"]["blocks"] if block["id"] != "signature"]
        their_blocks = other["payload"]["data_list"]
        assert len(our_blocks) == len(their_blocks), (our_blocks, their_blocks)
        for block, their_block in zip(our_blocks, their_blocks):
            values, their_values = ours(block["id"], block["fields"]), theirs(their_block["data_content"])
            if block["id"] == "vehicle":
                values, their_values = without_gear(values, their_values, edition)
            assert len(values) == len(their_values), (edition, block["id"], values, their_values)
            for (path, value), their_value in zip(values, their_values):
                compared += 1
                if not same(value, their_value):
                    kind = found.setdefault((edition, path), {"edition": edition, "field": path, "times": 0, "ours": value, "theirs": their_value})
                    kind["times"] += 1
    for kind in found.values():
        print(json.dumps(kind))
    print(json.dumps({"compared": compared}))


def without_gear(values, their_values, edition):
    """They take a gear apart into its bits."""
    place = [path for path, _ in values].index("vehicle.gear")
    parts = 4 if edition == 2025 else 3
    return values[:place] + values[place + 1:], their_values[:place] + their_values[place + parts:]


main()

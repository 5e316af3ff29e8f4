#!/usr/bin/env python3
"""From the last byte of a report to the alarm that anybody can see: how long that takes while a fleet reports.

    python3 benches/alarms/latency.py --tongmai target/release/tongmai --vehicles 2000 --period 2 --trials 300

Starts a server with the rules that ship, and a simulated fleet in another process. A vehicle of its own then reports that a probe is at 60 °C, which
`temperature-rises-fast` and others tell of at once, and waits until the alarm is in an answer of `GET /api/v1/alarms`, which it asks for as the
console does: the answer comes when something has changed. Each trial is a vehicle that was not heard of before. Frames are put together here.
"""
import argparse, datetime, functools, json, pathlib, socket, subprocess, tempfile, time, urllib.request

CONFIG = """[[gateways]]
kind = "gbt32960"
name = "fleet"
listen = "127.0.0.1:{reports}"
"""
CHINA = datetime.timezone(datetime.timedelta(hours=8))


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def frame(command, vin, body):
    checked = bytes([command, 0xFE]) + vin.encode() + b"\x01" + len(body).to_bytes(2, "big") + body
    return b"##" + checked + bytes([functools.reduce(lambda a, b: a ^ b, checked)])


def clock():
    now = datetime.datetime.now(CHINA)
    return bytes([now.year - 2000, now.month, now.day, now.hour, now.minute, now.second])


def report(vin, celsius):
    """Blocks 01 vehicle and 09 temperatures of the edition of 2016."""
    vehicle = bytes([1, 1, 3, 1]) + (0).to_bytes(2, "big") + (0).to_bytes(4, "big") + (3800).to_bytes(2, "big") + (10000).to_bytes(2, "big")
    vehicle += bytes([50, 1, 15]) + (5000).to_bytes(2, "big") + bytes([0, 0])
    temperatures = bytes([9, 1, 1, 0, 4, 65, 65, 65, celsius + 40])
    return frame(2, vin, clock() + vehicle + temperatures)


def answered(connection, want):
    head = b""
    while len(head) < 24:
        head += connection.recv(24 - len(head))
    rest = int.from_bytes(head[22:24], "big") + 1
    while rest:
        rest -= len(connection.recv(rest))
    assert head[2] == want and head[3] == 1, head


def asked(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def trial(base, port, number):
    vin = f"LTMLAT{number:011d}"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(frame(1, vin, clock() + b"\x00\x01" + b"89860000000000000000" + b"\x01\x00"))
        answered(connection, 1)
        connection.sendall(report(vin, 25))
        answered(connection, 2)
        time.sleep(1.05)  # reports have whole seconds
        query = f"{base}/api/v1/alarms?asset=vehicle/{vin}&state=all"
        revision = asked(query)["revision"]
        connection.sendall(report(vin, 60))
        begin = time.perf_counter()
        while True:
            told = asked(f"{query}&after={revision}&wait_secs=10")
            if told["alarms"]:
                return time.perf_counter() - begin, sorted(alarm["rule"] for alarm in told["alarms"])
            revision = told["revision"]
            assert time.perf_counter() - begin < 60, "no alarm came"


def wait_for(base):
    for _ in range(300):
        try:
            return asked(f"{base}/api/v1/rules")
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server does not answer")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tongmai", required=True)
    parser.add_argument("--vehicles", type=int, default=2000)
    parser.add_argument("--period", type=int, default=2, help="seconds between reports of each of them")
    parser.add_argument("--trials", type=int, default=300)
    arguments = parser.parse_args()
    http, reports = free_port(), free_port()
    base = f"http://127.0.0.1:{http}"
    with tempfile.TemporaryDirectory(prefix="tongmai-latency-") as folder:
        config = pathlib.Path(folder) / "tongmai.toml"
        config.write_text(CONFIG.format(reports=reports))
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        listen = ["--listen", f"127.0.0.1:{http}"]
        server = subprocess.Popen([arguments.tongmai, "serve", "--data", f"{folder}/data", "--config", str(config), *listen], **quiet)
        fleet = None
        try:
            wait_for(base)
            fleet = subprocess.Popen(
                [arguments.tongmai, "sim", "vehicles", "--count", str(arguments.vehicles), "--to", f"127.0.0.1:{reports}", "--period", str(arguments.period)],
                **quiet,
            )
            time.sleep(15)
            found = [trial(base, reports, number) for number in range(arguments.trials)]
        finally:
            for process in filter(None, [fleet, server]):
                process.terminate()
                process.wait()
    taken = sorted(one for one, _ in found)
    at = lambda share: 1000 * taken[min(len(taken) - 1, int(share * len(taken)))]
    print(f"{arguments.trials} alarms while {arguments.vehicles} vehicles report every {arguments.period} s:", found[0][1])
    print(f"visible after {at(0.5):.0f} ms (median), {at(0.9):.0f} ms (90 %), {at(0.99):.0f} ms (99 %), {at(1):.0f} ms (at most)")


if __name__ == "__main__":
    main()

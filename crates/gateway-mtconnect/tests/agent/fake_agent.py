"""An MTConnect agent for tests, with the troubles that real ones make. Standard library only.

    fake_agent.py SEED      prints its port, then obeys the lines on its standard input, answering each with one line

    add N                   N further observations                     -> ok LAST_NUMBER
    restart [same]          a new life: empty buffer, new instance id (or the same one)
    set KEY VALUE           see SETTINGS
    render REQUEST          the path of a document                     -> ok BASE64
    counts                  how often each request was made            -> ok JSON

    asset ID [lost]         a changed asset; lost: its document cannot be had -> ok LAST_SEQUENCE

Every observation that `add` makes carries its own number in its value, counted over all lives of the agent, so that a
reader can be checked to the last one.
"""

import base64
import json
import random
import sys
import threading
import time
from collections import Counter, deque
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

SETTINGS = {
    "version": "2.0",  # of the documents
    "buffer": "1000",  # observations that the buffer holds
    "stream": "sized",  # sized, open (parts without length), refused (an error), ignored (one plain document)
    "boundary": "a8e12eced4fb871ac096a99bf9728425",
    "cut": "0",  # probability that a stream breaks off somewhere within a part
    "chunk": "0",  # most bytes sent at once, 0 for all
    "silent": "0",  # 1: streams send nothing at all, not even a heartbeat
    "bad": "0",  # the sequence whose observation is rendered as no XML
    "repeat": "5",  # so many observations in succession bear one time
    "extra": "0",  # 1: the second device has one data item more
    "ghost": "0",  # 1: the second device speaks of a data item that is not in its model
    "reversed": "0",  # 1: within a component the newest observation comes first
    "picky": "0",  # 1: asking for the next sequence is out of range, as some agents have it
}

EPOCH = datetime(2026, 1, 5, 8, 0, 0, tzinfo=timezone.utc)
ITEMS = {  # id -> (component, category, attributes in the device model)
    "x": ("Linear", "SAMPLE", 'type="POSITION" subType="ACTUAL" units="MILLIMETER"'),
    "load": ("Linear", "SAMPLE", 'type="LOAD" units="PERCENT" representation="TIME_SERIES" sampleRate="100"'),
    "place": ("Path", "SAMPLE", 'type="PATH_POSITION" subType="ACTUAL" units="MILLIMETER_3D"'),
    "prog": ("Path", "EVENT", 'type="PROGRAM"'),
    "vars": ("Path", "EVENT", 'type="VARIABLE" representation="DATA_SET"'),
    "offs": ("Path", "EVENT", 'type="WORK_OFFSET" representation="TABLE"'),
    "sys": ("Path", "CONDITION", 'type="SYSTEM"'),
    "changed": ("Path", "EVENT", 'type="ASSET_CHANGED"'),
    "more": ("Path", "EVENT", 'type="BLOCK"'),
    "ghost": ("Path", "EVENT", None),
}
SINCE_1_5 = ("vars", "offs")


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


class Agent:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lock = threading.Condition()
        self.settings = dict(SETTINGS)
        self.requests = Counter()
        self.lives = 0
        self.now = EPOCH
        self.made = 0
        self.assets = set()
        self.restart(same=False)

    def restart(self, same):
        with self.lock:
            self.lives += 0 if same else 1
            self.instance = 1000 + self.lives
            self.buffer = deque()
            self.latest = {}
            self.next = 1
            self.now += timedelta(seconds=2)
            self.streams_of = self.instance, time.monotonic()
            for device in (1, 2):
                for item in self.items(device):
                    self.push(device, item, None)
            self.lock.notify_all()

    def version(self):
        return tuple(int(word) for word in self.settings["version"].split("."))

    def items(self, device):
        for item in ITEMS:
            if item == "more" and (device == 1 or self.settings["extra"] == "0"):
                continue
            if item == "ghost" and (device == 1 or self.settings["ghost"] == "0"):
                continue
            if item in SINCE_1_5 and self.version() < (1, 5):
                continue
            yield item

    def push(self, device, item, value):
        entry = (self.next, device, item, self.now, value)
        self.buffer.append(entry)
        while len(self.buffer) > int(self.settings["buffer"]):
            self.buffer.popleft()
        self.latest[device, item] = entry
        self.next += 1

    def add(self, count):
        with self.lock:
            for _ in range(count):
                self.made += 1
                if self.made % int(self.settings["repeat"]) == 0:
                    self.now += timedelta(milliseconds=self.random.choice([1, 10, 1500]))
                device = self.random.choice((1, 2))
                items = [item for item in self.items(device) if item != "changed"]
                self.push(device, self.random.choice(items), self.made)
            self.lock.notify_all()
            return self.made

    def change_asset(self, name, is_lost):
        with self.lock:
            self.assets.discard(name)
            if not is_lost:
                self.assets.add(name)
            self.push(1, "changed", name)
            self.lock.notify_all()
            return self.next - 1

    def first(self):
        return self.buffer[0][0] if self.buffer else self.next

    def header(self, following):
        newer = "" if self.version() < (1, 7) else f' deviceModelChangeTime="{stamp(EPOCH)}"'
        return (
            f'<Header creationTime="{stamp(self.now)}" sender="test" instanceId="{self.instance}" '
            f'version="{self.settings["version"]}" bufferSize="{self.settings["buffer"]}" '
            f'nextSequence="{following}" firstSequence="{self.first()}" lastSequence="{self.next - 1}"{newer}/>'
        )

    def root(self, kind, body):
        urn = f"urn:mtconnect.org:MTConnect{kind}:{self.settings['version']}"
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<MTConnect{kind} xmlns="{urn}">{body}</MTConnect{kind}>\n'

    def header_of_others(self, kind):
        newer = "" if self.version() < (1, 7) else f' deviceModelChangeTime="{stamp(EPOCH)}"'
        assets = ' assetBufferSize="1024" assetCount="0"' if kind == "Devices" else ""
        newer = newer if kind == "Devices" or self.version() >= (2, 6) else ""
        return (
            f'<Header creationTime="{stamp(self.now)}" sender="test" instanceId="{self.instance}" '
            f'version="{self.settings["version"]}" bufferSize="{self.settings["buffer"]}"{assets}{newer}/>'
        )

    def error(self, code, text):
        said = f'<Error errorCode="{code}">{escape(text)}</Error>'
        if self.version() >= (2, 6):
            name = "".join(word.title() for word in code.split("_"))
            parameter = '<QueryParameter name="from"><Value>0</Value></QueryParameter>' if code == "OUT_OF_RANGE" else ""
            said = f"<{name}>{parameter}<URI>/sample</URI><ErrorMessage>{escape(text)}</ErrorMessage></{name}>"
        return self.root("Error", f'{self.header_of_others("Error")}<Errors>{said}</Errors>')

    def asset(self, name):
        tool = (
            f'<CuttingTool assetId="{name}" timestamp="{stamp(self.now)}" serialNumber="1" toolId="10" deviceUuid="test-1">'
            "<CuttingToolLifeCycle><CutterStatus><Status>NEW</Status></CutterStatus></CuttingToolLifeCycle></CuttingTool>"
        )
        newer = "" if self.version() < (1, 7) else f' deviceModelChangeTime="{stamp(EPOCH)}"'
        header = (
            f'<Header creationTime="{stamp(self.now)}" sender="test" instanceId="{self.instance}" '
            f'version="{self.settings["version"]}" assetBufferSize="1024" assetCount="{len(self.assets)}"{newer}/>'
        )
        return self.root("Assets", f"{header}<Assets>{tool}</Assets>")

    def probe(self):
        devices = ""
        for device in (1, 2):
            parts = {}
            for item in self.items(device):
                component, category, attributes = ITEMS[item]
                if attributes is None:
                    continue
                data_item = f'<DataItem id="d{device}_{item}" name="{item}" category="{category}" {attributes}/>'
                parts.setdefault(component, []).append(data_item)
            data_items = {name: f'<DataItems>{"".join(items)}</DataItems>' for name, items in parts.items()}
            devices += (
                f'<Device id="d{device}" uuid="test-{device}" name="mill-{device}"><Components>'
                f'<Axes id="d{device}_axes" name="base"><Components><Linear id="d{device}_lx" name="X">{data_items["Linear"]}'
                f"</Linear></Components></Axes>"
                f'<Controller id="d{device}_c" name="controller"><Components><Path id="d{device}_p" name="path">'
                f'{data_items["Path"]}</Path></Components></Controller></Components></Device>'
            )
        return self.root("Devices", f'{self.header_of_others("Devices")}<Devices>{devices}</Devices>')

    def observation(self, entry):
        sequence, device, item, moment, value = entry
        common = f'dataItemId="d{device}_{item}" name="{item}" sequence="{sequence}" timestamp="{stamp(moment)}"'
        if str(sequence) == self.settings["bad"]:
            return f"<Block {common}>N1</Oops>"
        if item == "sys":
            if value is None:
                return f'<Unavailable {common} type="SYSTEM"/>'
            level = ("Normal", "Warning", "Fault")[value % 3]
            native = f'nativeCode="{value}" nativeSeverity="{value % 7}" qualifier="HIGH"'
            native += "" if self.version() < (2, 3) or level == "Normal" else f' conditionId="{value}"'
            return f'<{level} {common} type="SYSTEM" {native}>Spindle &lt;{value}&gt; zu heiß 主轴过热</{level}>'
        text = "UNAVAILABLE" if value is None else None
        if item == "x":
            return f'<Position {common} subType="ACTUAL">{text or value}</Position>'
        if item == "load":
            count = 0 if value is None else 3
            return f'<LoadTimeSeries {common} sampleCount="{count}" sampleRate="100">{text or f"{value} 1.5 -2e-3"}</LoadTimeSeries>'
        if item == "place":
            return f'<PathPosition {common} subType="ACTUAL">{text or f"{value} 0.5 -7"}</PathPosition>'
        if item == "prog":
            return f"<Program {common}>{text or f'O{value} &amp; co'}</Program>"
        if item == "changed":
            return f'<AssetChanged {common} assetType="CuttingTool">{text or value}</AssetChanged>'
        if item == "ghost":
            return f"<Block {common}>{text or 'boo'}</Block>"
        if item == "more":
            return f"<Block {common}>{text or f'N{value} G1'}</Block>"
        if item == "vars":
            entries = "" if value is None else f'<Entry key="v{value}">{value}</Entry><Entry key="gone" removed="true"/>'
            return f'<VariableDataSet {common} count="{0 if value is None else 2}">{text or entries}</VariableDataSet>'
        cells = "" if value is None else f'<Entry key="G54"><Cell key="X">{value}</Cell><Cell key="N">n</Cell></Entry>'
        return f'<WorkOffsetTable {common} count="{0 if value is None else 1}">{text or cells}</WorkOffsetTable>'

    def streams(self, entries, following):
        devices = {}
        for entry in entries:
            component, category, _ = ITEMS[entry[2]]
            devices.setdefault(entry[1], {}).setdefault(component, {}).setdefault(category, []).append(entry)
        body = ""
        for device, components in sorted(devices.items()):
            body += f'<DeviceStream name="mill-{device}" uuid="test-{device}">'
            for component, categories in components.items():
                suffix = "lx" if component == "Linear" else "p"
                body += f'<ComponentStream component="{component}" componentId="d{device}_{suffix}">'
                for category, tag in (("SAMPLE", "Samples"), ("EVENT", "Events"), ("CONDITION", "Condition")):
                    if category in categories:
                        step = -1 if self.settings["reversed"] == "1" else 1
                        said = "".join(self.observation(entry) for entry in categories[category][::step])
                        body += f"<{tag}>{said}</{tag}>"
                body += "</ComponentStream>"
            body += "</DeviceStream>"
        return self.root("Streams", f"{self.header(following)}<Streams>{body}</Streams>")

    def current(self):
        return self.streams(sorted(self.latest.values()), self.next)

    def out_of_range(self, start):
        last = self.next - (1 if self.settings["picky"] == "1" else 0)
        return not self.first() <= start <= last

    def sample(self, start, count, device=None):
        entries = [entry for entry in self.buffer if entry[0] >= start and device in (None, entry[1])][:count]
        following = entries[-1][0] + 1 if len(entries) == count else self.next
        return self.streams(entries, following), following, bool(entries)


AGENT = None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, text, status=200):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urlsplit(self.path)
        words = [unquote(word) for word in url.path.split("/") if word]
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        request = words[-1] if words else "probe"
        device = None
        if len(words) == 2 and words[0] != "asset":
            device = {"mill-1": 1, "mill-2": 2, "test-1": 1, "test-2": 2}.get(words[0])
            if device is None:
                return self.answer(AGENT.error("NO_DEVICE", f"Could not find the device '{words[0]}'"), 404)
        try:
            self.serve(request, query, device)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def serve(self, request, query, device):
        with AGENT.lock:
            AGENT.requests[request + ("+interval" if "interval" in query else "")] += 1
            if request in ("probe", "current"):
                return self.answer(getattr(AGENT, request)())
            if device is None and self.path.startswith("/asset/") and request in AGENT.assets:
                return self.answer(AGENT.asset(request))
            if self.path.startswith("/asset/"):
                return self.answer(AGENT.error("ASSET_NOT_FOUND", f"no asset '{request}'"), 404)
            if request != "sample":
                return self.answer(AGENT.error("UNSUPPORTED", f"Unsupported request '{request}'"), 404)
            start, count = int(query.get("from", AGENT.first())), int(query.get("count", 100))
            if AGENT.out_of_range(start):
                return self.answer(AGENT.error("OUT_OF_RANGE", f"'from' must be in the buffer, got {start}"), 404)
            kind = AGENT.settings["stream"]
            if "interval" not in query or kind == "ignored":
                return self.answer(AGENT.sample(start, count, device)[0])
            if kind == "refused":
                return self.answer(AGENT.error("INVALID_REQUEST", "interval is not supported"), 400)
        self.stream(start, count, int(query["interval"]) / 1000, int(query["heartbeat"]) / 1000, device)

    def stream(self, start, count, interval, heartbeat, device):
        agent, life = AGENT, AGENT.streams_of
        boundary = agent.settings["boundary"]
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace;boundary={boundary}")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        delimiter = "--" + boundary.strip('"')
        beat = time.monotonic()
        while True:
            with agent.lock:
                if agent.settings["silent"] == "1":
                    agent.lock.wait(60)
                    continue
                if agent.streams_of != life:
                    break
                if agent.first() > start:
                    document = agent.error("OUT_OF_RANGE", f"client fell behind, {start} is gone")
                    ended, some = True, True
                else:
                    document, following, some = agent.sample(start, count, device)
                    ended = False
                if not some and time.monotonic() - beat < heartbeat:
                    agent.lock.wait(heartbeat / 4)
                    continue
                cut = agent.random.random() < float(agent.settings["cut"])
                part = self.part(delimiter, document)
                if cut:
                    part = part[: agent.random.randrange(len(part))]
            self.send(part)
            if cut or ended:
                break
            start, beat = following, time.monotonic()
            time.sleep(interval)
        self.close_connection = True

    def part(self, delimiter, document):
        body = document.encode()
        length = f"Content-length: {len(body)}\r\n" if AGENT.settings["stream"] == "sized" else ""
        return f"{delimiter}\r\nContent-type: text/xml\r\n{length}\r\n".encode() + body + b"\r\n"

    def send(self, data):
        most = int(AGENT.settings["chunk"]) or len(data) or 1
        for start in range(0, len(data), most):
            piece = data[start : start + most]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()


def obey(line):
    words = line.split()
    if words[0] == "add":
        return AGENT.add(int(words[1]))
    if words[0] == "asset":
        return AGENT.change_asset(words[1], "lost" in words)
    if words[0] == "restart":
        AGENT.restart(same="same" in words)
        return AGENT.instance
    if words[0] == "set":
        with AGENT.lock:
            assert words[1] in AGENT.settings, words[1]
            AGENT.settings[words[1]] = words[2]
            AGENT.lock.notify_all()
        return words[2]
    if words[0] == "counts":
        return json.dumps(AGENT.requests)
    if words[0] == "render":
        with AGENT.lock:
            documents = {
                "probe": AGENT.probe,
                "current": AGENT.current,
                # The schemas do not allow UNAVAILABLE for time series, of which a life begins: leave these out.
                "sample": lambda: AGENT.sample(30, 1_000_000)[0],
                "asset": lambda: AGENT.asset("T1"),
                "error": lambda: AGENT.error("OUT_OF_RANGE", "for the schema"),
            }
            return base64.b64encode(documents[words[1]]().encode()).decode()
    raise ValueError(line)


def main():
    global AGENT
    AGENT = Agent(int(sys.argv[1]))
    ThreadingHTTPServer.daemon_threads = True
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for line in sys.stdin:
        print("ok", obey(line), flush=True)


if __name__ == "__main__":
    main()

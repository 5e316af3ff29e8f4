"""The agent of the PyPI package `mtconnect` 0.3.3 (Apache-2.0), a peer that is not ours, behind HTTP.

    pypi_agent.py SEED      prints its port, then obeys the lines on its standard input: add N -> ok LAST_NUMBER

The package makes the documents and keeps the buffer; it has no server of its own. Its headers tell neither first nor
next sequence and its times have a resolution of one second. Two of its mistakes are mended here, for else it could
not be read at all: it needs `Element.getchildren`, which Python 3.9 took away, and it leaves out the observation `from`.
Ends with status 77 where the package is not installed.
"""

import random
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

sys.modules["_elementtree"] = None  # the one in C cannot be mended
from xml.etree import ElementTree  # noqa: E402

ElementTree.Element.getchildren = lambda element: list(element)

try:
    from mtconnect import MTConnect
except ImportError:
    sys.exit(77)

MODEL = """<Devices><Device id="d1" name="mill" uuid="pypi-1"><Description manufacturer="none">A mill</Description>
<DataItems><DataItem id="avail" name="avail" category="EVENT" type="AVAILABILITY"/></DataItems><Components>
<Controller id="c" name="controller"><DataItems>
<DataItem id="prog" name="prog" category="EVENT" type="PROGRAM"/>
<DataItem id="x" name="x" category="SAMPLE" type="LOAD" units="PERCENT"/>
<DataItem id="sys" name="sys" category="CONDITION" type="SYSTEM"/></DataItems></Controller></Components></Device></Devices>"""

LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    agent = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urlsplit(self.path)
        query = {key: int(values[0]) for key, values in parse_qs(url.query).items()}
        with LOCK:
            if url.path == "/probe":
                response = self.agent.probe()
            elif url.path == "/current":
                response = self.agent.current()
            else:
                start = query.get("from", self.agent.buffer.first_sequence)
                response = self.agent.sample(start=start - 1, count=query.get("count", 100))
        body = response.get_xml().encode()
        self.send_response(response.get_status())
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    choose = random.Random(int(sys.argv[1]))
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as model:
        model.write(MODEL)
        model.flush()
        Handler.agent = MTConnect(model.name, "http://127.0.0.1")
    ThreadingHTTPServer.daemon_threads = True
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = 0
    for line in sys.stdin:
        with LOCK:
            for _ in range(int(line.split()[1])):
                made += 1
                item = choose.choice(["prog", "x"])
                Handler.agent.push_data(item, made if item == "x" else f"O{made}")
            Handler.agent.push_data("sys", choose.choice(["NORMAL", "WARNING", "FAULT"]))
        print("ok", made, flush=True)


if __name__ == "__main__":
    main()

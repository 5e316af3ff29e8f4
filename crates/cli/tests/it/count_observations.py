"""Counts what a recorded SHDR log says of each data item, without Tongmai. Usage: count_observations.py DEVICES LOG

Prints `signal,observations` as CSV, ordered by signal. A telling of an asset that repeats an earlier one (same time,
same asset, same document) counts once: adapters tell all assets anew after each connection.
"""

import collections
import sys
import xml.etree.ElementTree as ElementTree

devices, log = sys.argv[1:]
FIELDS = {"CONDITION": 5, "MESSAGE": 2, "TIME_SERIES": 3}
items = {}
for element in ElementTree.parse(devices).iter():
    if element.tag.split("}")[-1] == "DataItem":
        get = element.get
        kind = get("category") if get("category") == "CONDITION" else get("representation") or get("type")
        signal = (get("name") or get("id"), FIELDS.get(kind, 1))
        items.update({key: signal for key in (get("id"), get("name")) if key})

counts = collections.Counter()
assets = set()


def line(text, rest=None):
    """Counts one line; `rest` is what its value of several lines holds."""
    time, *fields = text.split("|")
    if fields[0].startswith("@"):
        signal = "asset_changed" if fields[0] in ("@ASSET@", "@UPDATE_ASSET@") else "asset_removed"
        assets.add((signal, time, tuple(fields[1:]), rest))
    while fields and not fields[0].startswith("@"):
        signal, width = items.get(fields[0], (None, 1))
        if signal and len(fields) > 1:
            counts[signal] += 1
        fields = fields[1 + width :]


marker = head = None
content = []
with open(log, encoding="utf-8") as lines:
    for text in lines:
        text = text.rstrip("\r\n")
        if marker:
            if text == marker:
                line(head, "\n".join(content))
                marker, content = None, []
            else:
                content.append(text)
        elif "--multiline--" in text:
            at = text.index("--multiline--")
            head, marker = text[:at], text[at:]
        elif not text.startswith("*"):
            line(text)

counts.update(signal for signal, *_ in assets)
print("signal,observations")
for signal in sorted(counts):
    print(f"{signal},{counts[signal]}")

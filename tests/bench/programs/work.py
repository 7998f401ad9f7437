"""Dictionaries, objects, strings, JSON and a sort. Argument: how much."""

import json
import re
import sys


class Node:
    def __init__(self, key, value):
        self.key, self.value, self.children = key, value, []


n = int(sys.argv[1])
nodes = {}
for i in range(n):
    key = f"node{i * 7919 % 50021}"
    node = nodes.get(key)
    if node is None:
        node = nodes[key] = Node(key, [])
    node.value.append((i, str(i) * (i % 5)))
    node.children.append(Node(i, {"parent": key, "index": i}))
text = json.dumps([{"key": key, "values": node.value} for key, node in nodes.items()])
again = json.loads(text)
words = re.findall(r'"node(\d+)"', text)
grouped = {}
for entry in again:
    grouped.setdefault(len(entry["values"]), []).append(entry["key"].upper())
for key in list(nodes)[::2]:
    del nodes[key]
joined = ",".join(sorted(words, key=lambda word: word[::-1]))
print(len(text), len(words), len(nodes), sorted((k, len(v)) for k, v in grouped.items()), joined[:40], len(joined))

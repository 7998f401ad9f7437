# What Python programs do: JSON, regular expressions, a database, threads.
import hashlib
import json
import re
import sqlite3
import threading

document = {f"key {i}": [i, str(i) * 3, {"share": i / 7}] for i in range(12000)}
text = json.dumps(document)
assert json.loads(text) == document
print(len(text), len(re.findall(r'"(key \d+5)": \[(\d+)', text)))

database = sqlite3.connect(":memory:")
database.execute("create table things(number integer primary key, name text, bytes blob)")
database.executemany("insert into things values(?, ?, ?)", ((i, f"thing {i}", bytes(i % 300)) for i in range(12000)))
database.execute("create index by_name on things(name)")
print(database.execute("select count(*), sum(length(bytes)) from things where name like 'thing 1%'").fetchone())

digests = [""] * 8


def work(number):
    digest = hashlib.sha256()
    for _ in range(400):
        digest.update(b"".join(bytes([i % 256]) * (i % 97 + 1) for i in range(number + 60)))
    digests[number] = digest.hexdigest()


for generation in range(3):
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(*digests)

"""A web server with threads, and eight clients of it on the loopback, who compare what they get with what they asked for."""

import hashlib
import http.client
import http.server
import json
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        numbers = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps([{"number": n, "text": str(n) * (n % 50)} for n in numbers]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64


def ask(port, client, digests):
    digest, connection = hashlib.sha256(), None
    for request in range(100):
        if request % 10 == 0:
            connection = http.client.HTTPConnection("127.0.0.1", port)
        numbers = list(range(client * request, client * request + 20 * (request % 30)))
        connection.request("POST", "/", json.dumps(numbers))
        body = connection.getresponse().read()
        assert [entry["number"] for entry in json.loads(body)] == numbers
        digest.update(body)
    digests[client] = digest.hexdigest()


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
digests = [None] * 8
clients = [threading.Thread(target=ask, args=(server.server_port, client, digests)) for client in range(8)]
for client in clients:
    client.start()
for client in clients:
    client.join()
server.shutdown()
print("\n".join(digests))

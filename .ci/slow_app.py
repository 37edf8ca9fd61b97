"""A threaded app: GET /<seconds> works as long as that (0.05 s otherwise); GET /peak tells the most it worked on at once.

Prints its port. Like most threaded servers it does not notice a client that leaves.
"""

import http.server
import threading
import time

lock = threading.Lock()
working = peak = 0


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global working, peak
        if self.path == "/peak":
            return self.answer(str(peak))
        with lock:
            working += 1
            peak = max(peak, working)
        try:
            time.sleep(float(self.path[1:]))
        except ValueError:
            time.sleep(0.05)
        with lock:
            working -= 1
        self.answer("Hello World!\n")

    def answer(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
print(server.server_address[1], flush=True)
server.serve_forever()

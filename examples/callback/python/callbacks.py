"""Callbacks for a test suite in Python: a server that the addon `callback` asks, and the lock of the options.

It needs the standard library alone: copy it.

    with CallbackServer(lambda path, told: {"respond_status_code": 504}) as server:
        with lock(forward, {"callback": {"callback_request_url": server.url("/request"), "filter": "~u /sync"}}):
            ...  # now every /sync fails with 504
"""

import contextlib
import http.client
import http.server
import json
import threading

CONTROLLER = "http://mitm.code"
PATIENCE = 30


def ask(address, method, target, token="", body=None):
    """Sends a request, to a server or with a whole URL to a forward listener: status, and the body as JSON or as a text."""
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(method, target, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
    finally:
        connection.close()
    try:
        return response.status, json.loads(text)
    except ValueError:
        return response.status, text


@contextlib.contextmanager
def lock(forward, options):
    """Sets options, each by the name of its addon, through a forward listener; afterwards they are what they were before."""
    status, answer = ask(forward, "POST", f"{CONTROLLER}/options/lock", body={"options": options})
    assert status == 200, f"no lock: {status} {answer}"
    try:
        yield
    finally:
        status, text = ask(forward, "POST", f"{CONTROLLER}/options/unlock", body={"reset_id": answer["reset_id"]})
        assert status == 200, f"not unlocked: {status} {text}"


class CallbackServer:
    """Answers each callback with what `answer(path, told)` gives; `{}` changes nothing.

    Each is answered in a thread of its own: one that waits holds up its flow alone.
    """

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps(answer(self.path, told)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False

    def url(self, path):
        """A URL of it, for `callback_request_url` and `callback_response_url`."""
        return "http://{}:{}{}".format(*self.server.server_address, path)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

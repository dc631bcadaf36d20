"""A suite as it would be written for a client of Matrix; the client is a few requests here, and the server the sample origin."""

import collections
import concurrent.futures
import os
import pathlib
import queue
import subprocess
import threading

import pytest

from callbacks import PATIENCE, CallbackServer, ask, lock

HERE = pathlib.Path(__file__).resolve().parent
BUILT = HERE.parents[2] / "target" / "debug"
UPLOAD = "/_matrix/client/v3/keys/upload"
WHOAMI = "/_matrix/client/v3/account/whoami"

Stage = collections.namedtuple("Stage", "hs1 forward token")


def start(*command):
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def address(url):
    host, port = url.strip().rsplit("/", 1)[-1].rsplit(":", 1)
    return host, int(port)


@pytest.fixture(scope="module")
def stage():
    """A server, the proxy before it, and a client that is logged in: one for all tests, as they clean up behind them."""
    origin = start(BUILT / "sample-origin", "0")
    upstream = origin.stdout.readline().split()[-1]
    tollgate = os.environ.get("TOLLGATE_BIN", BUILT / "tollgate")
    config = HERE.parent / "suite.toml"
    proxy = start(tollgate, "run", "--config", config, "--set", f'listener.hs1.upstream="{upstream}"')
    try:
        addresses = {}
        for line in iter(proxy.stdout.readline, "ready\n"):
            assert line, "the proxy did not start: is plugins/callback.wasm built?"
            name, url = line.split()
            addresses[name] = address(url)
        user = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": "any"}
        status, login = ask(addresses["hs1"], "POST", "/_matrix/client/v3/login", body=user)
        assert status == 200, login
        yield Stage(addresses["hs1"], addresses["forward"], login["access_token"])
    finally:
        for program in (proxy, origin):
            program.kill()
            program.wait()


def test_a_sync_is_held_while_others_go_on(stage):
    arrived, release = queue.Queue(), threading.Event()

    def answer(_path, told):
        arrived.put(told)
        release.wait(PATIENCE)
        return {}

    with CallbackServer(answer) as server, concurrent.futures.ThreadPoolExecutor() as pool:
        options = {"callback_response_url": server.url("/response"), "filter": "~u /sync ~m GET"}
        with lock(stage.forward, {"callback": options}):
            sync = pool.submit(ask, stage.hs1, "GET", "/_matrix/client/v3/sync?timeout=0", stage.token)
            try:
                told = arrived.get(timeout=PATIENCE)
                assert (told["method"], told["access_token"], told["response_code"]) == ("GET", stage.token, 200)
                assert ask(stage.hs1, "GET", WHOAMI, stage.token)[0] == 200
                assert not sync.done()
            finally:
                release.set()
            assert sync.result(PATIENCE) == (200, told["response_body"])


def test_two_failed_key_uploads_are_tried_again(stage):
    calls = []

    def answer(_path, told):
        calls.append(told)
        return {"respond_status_code": 504, "respond_body": {"error": "on purpose"}} if len(calls) <= 2 else {}

    keys = {"one_time_keys": {"signed_curve25519:A": {"key": "a"}}}
    with CallbackServer(answer) as server:
        options = {"callback_request_url": server.url("/request"), "filter": "~u /keys/upload ~m POST"}
        with lock(stage.forward, {"callback": options}):
            attempts = [ask(stage.hs1, "POST", UPLOAD, stage.token, keys) for _ in range(3)]
    assert [status for status, _ in attempts] == [504, 504, 200]
    assert [call["request_body"] for call in calls] == [keys] * 3
    # The server has seen the third alone.
    assert attempts[2][1] == {"one_time_key_counts": {"signed_curve25519": 1}}


def test_errors_need_no_server(stage):
    options = {"send_error": {"count": 2, "status": 504}, "filter": "~u whoami"}
    with lock(stage.forward, {"callback": options}):
        assert [ask(stage.hs1, "GET", WHOAMI, stage.token)[0] for _ in range(3)] == [504, 504, 200]


def test_what_a_lock_did_ends_with_it(stage):
    with CallbackServer(lambda _path, _told: {"respond_status_code": 418}) as server:
        options = {"callback": {"callback_request_url": server.url("/request")}}
        with pytest.raises(RuntimeError):
            with lock(stage.forward, options):
                assert ask(stage.hs1, "GET", WHOAMI, stage.token)[0] == 418
                raise RuntimeError("a test that fails")
        assert ask(stage.hs1, "GET", WHOAMI, stage.token)[0] == 200
        with lock(stage.forward, options):
            pass

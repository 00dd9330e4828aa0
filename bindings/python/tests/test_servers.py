"""Real servers, with several workers: a change that another process made is in force for the next request."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from sample import KEY, document, record

import bpos

WORKERS = 2
FAILURE_S = 120  # only a test that fails waits as long
HOST = "YourStore.brotherpos.ca"

GUNICORN = ["gunicorn", "--no-control-socket", "--workers", str(WORKERS), "--bind", "fd://{fd}"]
SERVERS = {
    "gunicorn": [*GUNICORN, "workers:wsgi"],
    "gunicorn --preload": [*GUNICORN, "--preload", "workers:wsgi"],
    "uvicorn": ["uvicorn", "--workers", str(WORKERS), "--fd", "{fd}", "--ws", "none", "workers:asgi"],
}


class Server:
    """A server that runs an application of workers.py, and the gate at which that holds its requests."""

    def __init__(self, port: int, gate: socket.socket, log: Path) -> None:
        self.port, self.gate, self.log = port, gate, log

    def ask_every_worker(self) -> list[int]:
        """Asks each worker once, one after another while those before it are held, and gives the statuses."""
        asked: list[tuple[HTTPConnection, socket.socket, int]] = []
        for _ in range(WORKERS):
            connection = HTTPConnection("127.0.0.1", self.port, timeout=FAILURE_S)
            headers = {"Host": HOST, "X-API-Key": KEY, "Connection": "close"}
            connection.request("GET", "/api/v1/products", headers=headers)
            asked.append((connection, *self._held()))
        assert len({pid for _, _, pid in asked}) == WORKERS
        statuses = []
        for connection, held, _ in asked:
            held.close()
            statuses.append(connection.getresponse().status)
            connection.close()
        return statuses

    def _held(self) -> tuple[socket.socket, int]:
        try:
            held, _ = self.gate.accept()
        except TimeoutError:
            raise AssertionError(f"no worker answers: {self.log.read_text()[-4000:]}") from None
        held.settimeout(FAILURE_S)
        with held.makefile() as said:
            return held, int(said.readline())


@contextlib.contextmanager
def served(command: list[str], registry: Path, log: Path) -> Iterator[Server]:
    with contextlib.ExitStack() as stack:
        listener, gate = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        gate.settimeout(FAILURE_S)
        environment = {"BPOS_TEST_REGISTRY": str(registry), "BPOS_TEST_GATE": str(gate.getsockname()[1])}
        process = subprocess.Popen(
            [sys.executable, "-m", *(word.format(fd=listener.fileno()) for word in command)],
            cwd=Path(__file__).parent,
            env={**os.environ, **environment},
            pass_fds=[listener.fileno()],
            stdout=stack.enter_context(log.open("wb")),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield Server(listener.getsockname()[1], gate, log)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # the workers too
            process.wait()


@pytest.mark.parametrize("server", SERVERS)
def test_the_next_request_to_every_worker_knows_what_another_process_changed(
    server: str, file: Path, tmp_path: Path
) -> None:
    file.write_text(document(record(rate_limit=2)))
    log = tmp_path / "log"
    with bpos.Registry.open(file) as registry, served(SERVERS[server], file, log) as workers:
        assert workers.ask_every_worker() == [200] * WORKERS
        registry.disable("key_1")
        assert workers.ask_every_worker() == [401] * WORKERS
        registry.enable("key_1")
        assert workers.ask_every_worker() == [200] * WORKERS
        # Each worker counts on its own: together they admit as many times the limit, as the documentation says.
        assert workers.ask_every_worker() == [429] * WORKERS

        registry.revoke("key_1")
        assert workers.ask_every_worker() == [401] * WORKERS
        sound = file.read_bytes()
        file.write_text("{")
        assert workers.ask_every_worker() == [401] * WORKERS
        file.write_bytes(sound)
    assert log.read_text().count("not reloaded, the keys in force stay: ") == WORKERS


def test_over_http_2_the_authority_names_the_store(file: Path, tmp_path: Path) -> None:
    command = ["hypercorn", "--bind", "fd://{fd}", "workers:without_a_gate"]
    client = httpx.Client(http1=False, http2=True, timeout=FAILURE_S)
    with served(command, file, tmp_path / "log") as server, client:

        def ask(authority: str) -> tuple[str, int, str]:
            target = f"http://127.0.0.1:{server.port}/api/v1/products"
            answer = client.get(target, headers={"Host": authority, "X-API-Key": KEY})
            return answer.http_version, answer.status_code, answer.text

        assert ask(HOST) == ("HTTP/2", 200, "yourstore")
        assert ask(f"{HOST}.:443") == ("HTTP/2", 200, "yourstore")
        assert ask("otherstore.brotherpos.ca")[1] == ask("brotherpos.ca")[1] == 401

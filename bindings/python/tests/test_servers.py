"""Real servers, with several workers: they count together, and what another process changed is in force in all of them."""

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
from sample import COMMAND, EXPORT_KEY, KEY, document, record

import bpos

WORKERS = 4
THREADS = 2  # of each worker that has several
FAILURE_S = 120  # only a test that fails waits as long
HOST = "YourStore.brotherpos.ca"

GUNICORN = ["gunicorn", "--no-control-socket", "--workers", str(WORKERS), "--bind", "fd://{fd}"]
# A worker takes no more connections than it has threads, so that each thread of each is asked.
THREADED = ["--worker-class", "gthread", "--threads", str(THREADS), "--worker-connections", str(THREADS)]
SERVERS = {
    "gunicorn": [*GUNICORN, "workers:wsgi"],
    "gunicorn gthread": [*GUNICORN, *THREADED, "workers:wsgi"],
    "gunicorn --preload": [*GUNICORN, "--preload", "workers:wsgi"],
    "uvicorn": ["uvicorn", "--workers", str(WORKERS), "--fd", "{fd}", "--ws", "none", "workers:asgi"],
}


class Server:
    """A server that runs an application of workers.py, and the gate at which that holds its requests."""

    def __init__(self, port: int, gate: socket.socket, log: Path, threads: int) -> None:
        self.port, self.gate, self.log, self.threads = port, gate, log, threads

    def ask_every_worker(self, key: str = KEY) -> list[int]:
        """Asks each thread of each worker once, all at the same time, and gives the statuses."""
        asked: list[tuple[HTTPConnection, socket.socket, int]] = []
        for _ in range(WORKERS * self.threads):
            connection = HTTPConnection("127.0.0.1", self.port, timeout=FAILURE_S)
            headers = {"Host": HOST, "X-API-Key": key, "Connection": "close"}
            connection.request("GET", "/api/v1/products", headers=headers)
            asked.append((connection, *self._held()))
        assert len({pid for _, _, pid in asked}) == WORKERS
        for _, held, _ in asked:
            held.close()
        statuses = []
        for connection, _, _ in asked:
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
def served(command: list[str], registry: Path, log: Path, *, shared: bool = True) -> Iterator[Server]:
    with contextlib.ExitStack() as stack:
        listener, gate = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
        gate.settimeout(FAILURE_S)
        environment = {"BPOS_TEST_REGISTRY": str(registry), "BPOS_TEST_GATE": str(gate.getsockname()[1])}
        environment["BPOS_TEST_SHARED"] = "yes" if shared else "no"
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
            threads = THREADS if "--threads" in command else 1
            yield Server(listener.getsockname()[1], gate, log, threads)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # the workers too
            process.wait()


def command(file: Path, *words: str) -> str:
    """What `bpos key` says."""
    ran = subprocess.run([COMMAND, "key", words[0], "--registry", file, *words[1:]], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.mark.parametrize("server", SERVERS)
def test_workers_count_together_and_know_at_once_what_the_command_changed(
    server: str, file: Path, tmp_path: Path
) -> None:
    file.write_text(document(record(rate_limit=60), record(EXPORT_KEY, id="key_2", rate_limit=1000)))
    with served(SERVERS[server], file, tmp_path / "log") as workers:
        each = WORKERS * workers.threads
        statuses = [status for _ in range(400 // each) for status in workers.ask_every_worker()]
        assert (statuses.count(200), statuses.count(429), len(statuses)) == (60, 340, 400)

        assert workers.ask_every_worker(EXPORT_KEY) == [200] * each
        command(file, "revoke", "key_2")
        assert workers.ask_every_worker(EXPORT_KEY) == [401] * each

        new = command(file, "create", "--name=New", "--store=yourstore", "--scope=products:read")
        assert workers.ask_every_worker(new) == [200] * each

    # Other workers go on counting where those have stopped.
    with served(SERVERS[server], file, tmp_path / "log") as workers:
        assert workers.ask_every_worker() == [429] * each


@pytest.mark.parametrize("server", SERVERS)
def test_workers_that_share_nothing_count_apart_and_the_middleware_reads_what_another_process_changed(
    server: str, file: Path, tmp_path: Path
) -> None:
    threads = THREADS if "--threads" in SERVERS[server] else 1
    file.write_text(document(record(rate_limit=2 * threads)))
    log, each = tmp_path / "log", WORKERS * threads
    with bpos.Registry.open(file) as registry, served(SERVERS[server], file, log, shared=False) as workers:
        assert workers.ask_every_worker() == [200] * each
        registry.disable("key_1")
        assert workers.ask_every_worker() == [401] * each
        registry.enable("key_1")
        assert workers.ask_every_worker() == [200] * each
        # Together they admit as many times the limit, as the documentation says.
        assert workers.ask_every_worker() == [429] * each

        registry.revoke("key_1")
        assert workers.ask_every_worker() == [401] * each
        sound = file.read_bytes()
        file.write_text("{")
        assert workers.ask_every_worker() == [401] * each
        file.write_bytes(sound)
    # Once in each worker; two threads that find it at the same time may both say so.
    assert WORKERS <= log.read_text().count("not reloaded, the keys in force stay: ") <= each


def test_over_http_2_the_authority_names_the_store(file: Path, tmp_path: Path) -> None:
    hypercorn = ["hypercorn", "--bind", "fd://{fd}", "workers:without_a_gate"]
    client = httpx.Client(http1=False, http2=True, timeout=FAILURE_S)
    with served(hypercorn, file, tmp_path / "log") as server, client:

        def ask(authority: str) -> tuple[str, int, str]:
            target = f"http://127.0.0.1:{server.port}/api/v1/products"
            answer = client.get(target, headers={"Host": authority, "X-API-Key": KEY})
            return answer.http_version, answer.status_code, answer.text

        assert ask(HOST) == ("HTTP/2", 200, "yourstore")
        assert ask(f"{HOST}.:443") == ("HTTP/2", 200, "yourstore")
        assert ask("otherstore.brotherpos.ca")[1] == ask("brotherpos.ca")[1] == 401

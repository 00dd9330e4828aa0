#!/usr/bin/env python3
"""PHP-FPM behind nginx, as docs/other-languages.md sets them up: `python3 fpm.py FPM LIBRARIES COMMAND PAGE`.

FPM is the program, LIBRARIES the folder of `make lib`, COMMAND the `bpos` command, and PAGE the folder with the files that the
page shows. Only root can start a pool of www-data's. The page's paths are put below a folder of this run, and nginx listens on
a socket there; all else is as the page says.
"""

import fcntl
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PHP_FPM = sys.argv[1]
LIBRARIES, COMMAND, PAGE = (Path(argument).resolve() for argument in sys.argv[2:5])
TARGET = "/api/v1/products"
PATIENCE_S = 60

# A worker that is asked to says who it is, and keeps its request until the test lets go of the lock: so many requests at
# once are as many workers.
GATE = """<?php
if (isset($_SERVER['HTTP_GATE'])) {
    file_put_contents('%(arrived)s', getmypid() . "\\n");
    flock(fopen('%(lock)s', 'r'), LOCK_SH);
}
"""
FPM = """[global]
pid = %(site)s/fpm.pid
error_log = %(site)s/fpm.log
include = %(site)s/etc/php/8.2/fpm/pool.d/*.conf
"""
NGINX = """user www-data;
pid %(site)s/nginx.pid;
error_log %(site)s/nginx.log;
events {}
http {
    access_log off;
    client_body_temp_path %(site)s/tmp1; proxy_temp_path %(site)s/tmp2; fastcgi_temp_path %(site)s/tmp3;
    uwsgi_temp_path %(site)s/tmp4; scgi_temp_path %(site)s/tmp5;
    include %(site)s/etc/nginx/sites-enabled/*;
}
"""


class Deployment:
    """What the page sets up, in a folder of its own."""

    def __init__(self):
        self.site = Path(tempfile.mkdtemp())
        self.site.chmod(0o755)
        self.registry = self.site / "var/lib/bpos/keys.json"
        self.environment = {
            **os.environ,
            "PATH": f"{self.site}/prefix/bin:{os.environ['PATH']}:/usr/sbin",
            "PKG_CONFIG_PATH": f"{self.site}/prefix/lib/pkgconfig",
            "LD_LIBRARY_PATH": f"{self.site}/prefix/lib",
            "PHP_INI_SCAN_DIR": f":{self.site}/etc/php/8.2/fpm/conf.d",
        }
        for name in ("BPOS_REGISTRY", "STORE"):
            self.environment.pop(name, None)

    def install(self):
        """Runs the page's install.sh, under the umask of a careful root, where a system's folders are as they should be."""
        os.umask(0o022)
        for folder in ("srv", "run/php", "var/lib", "etc/php/8.2/fpm/conf.d", "etc/php/8.2/fpm/pool.d",
                       "etc/nginx/sites-enabled"):
            (self.site / folder).mkdir(parents=True)
        prefix = {**self.environment, "PREFIX": f"{self.site}/prefix"}
        self.run(ROOT / "packaging/install.sh", "install", LIBRARIES, COMMAND, environment=prefix)
        os.umask(0o077)
        source = self.site / "source"
        (source / "fpm").mkdir(parents=True)
        for name in ("Bpos.php", "server.php", "keep.c"):
            shutil.copyfile(ROOT / "examples/php" / name, source / name)
        for path in (PAGE / "fpm").iterdir():
            text = re.sub(r"(?<![\w/])/(srv|var|etc|run)/", rf"{self.site}/\1/", path.read_text(encoding="utf-8"))
            text = text.replace("listen 80;", f"listen unix:{self.site}/nginx.sock;")
            (source / "fpm" / path.name).write_text(text, encoding="utf-8")
        self.run("sh", "fpm/install.sh", folder=source)
        os.umask(0o022)

    def start(self):
        names = {"site": self.site, "arrived": self.site / "arrived", "lock": self.site / "lock"}
        for name, text in (("gate.php", GATE), ("fpm.conf", FPM), ("nginx.conf", NGINX)):
            (self.site / name).write_text(text % names, encoding="utf-8")
        os.mkfifo(names["arrived"])
        names["arrived"].chmod(0o666)
        self.arrived = os.open(names["arrived"], os.O_RDWR)
        names["lock"].touch()
        self.lock = os.open(names["lock"], os.O_RDWR)
        gate = f"auto_append_file={self.site}/gate.php"
        # Both go to the background once they listen.
        self.run(PHP_FPM, "--daemonize", "-y", self.site / "fpm.conf", "-d", gate)
        self.run("nginx", "-e", self.site / "nginx.log", "-c", self.site / "nginx.conf")

    def stop(self):
        for name in ("nginx.pid", "fpm.pid"):
            path = self.site / name
            if path.exists():
                end(int(path.read_text()))
        shutil.rmtree(self.site)

    def workers(self):
        pool = (self.site / "etc/php/8.2/fpm/pool.d/shop.conf").read_text(encoding="utf-8")
        return int(re.search(r"^pm\.max_children = (\d+)$", pool, re.MULTILINE)[1])

    def run(self, *command, environment=None, folder=None):
        ran = subprocess.run(
            [str(part) for part in command], env=environment or self.environment, cwd=folder, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE_S, check=False,
        )
        if ran.returncode != 0:
            raise AssertionError(f"{command} ends with {ran.returncode}: {ran.stdout}")
        return ran.stdout

    def bpos(self, *arguments):
        """A command on the registry, run as the page says."""
        registry = f"BPOS_REGISTRY={self.registry}"
        return self.run("runuser", "-u", "www-data", "--", "env", registry, "bpos", *arguments)

    def key(self, *arguments):
        """A new key, and its id."""
        spec = ("--name", "A", "--store", "yourstore", "--scope", "products:read", *arguments)
        said = self.bpos("key", "create", "--json", *spec)
        made = json.loads(re.search(r"^{.*}$", said, re.MULTILINE)[0])
        return made["key"], made["record"]["id"]

    def curl(self, *arguments, target=TARGET):
        command = ["curl", "--silent", "--path-as-is", "--unix-socket", f"{self.site}/nginx.sock", "--write-out",
                   "\n%{http_code}", *arguments, f"http://api.example.com{target}"]
        return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, env=self.environment)

    def ask(self, *headers, target=TARGET):
        """The status and the body of the answer."""
        arguments = [part for header in headers for part in ("--header", header)]
        body, _, status = self.curl(*arguments, target=target).communicate(timeout=PATIENCE_S)[0].rpartition("\n")
        return int(status), body

    def ask_every_worker(self, key):
        """The statuses of as many requests as there are workers, each from another worker."""
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        try:
            count, pids = self.workers(), set()
            asked = [self.curl("--header", f"X-API-Key: {key}", "--header", "Gate: 1") for _ in range(count)]
            while len(pids) < count:
                if not select.select([self.arrived], [], [], PATIENCE_S)[0]:
                    raise AssertionError(f"only the workers {pids} answer: {self.log()}")
                pids.update(os.read(self.arrived, 4096).split())
        finally:
            fcntl.flock(self.lock, fcntl.LOCK_UN)
        return [int(curl.communicate(timeout=PATIENCE_S)[0].rpartition("\n")[2]) for curl in asked]

    def ask_often(self, key, count):
        """The statuses of so many requests, many of them at the same time."""
        curl = self.curl("--header", f"X-API-Key: {key}", "--parallel", "--parallel-max", "16", "--output", "/dev/null",
                         target=f"{TARGET}?[1-{count}]")
        statuses = [int(status) for status in curl.communicate(timeout=PATIENCE_S)[0].split()]
        if len(statuses) != count:
            raise AssertionError(f"{len(statuses)} answers to {count} requests")
        return statuses

    def restart_workers(self):
        """Ends every worker, for which PHP-FPM starts another."""
        master = int((self.site / "fpm.pid").read_text())
        for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split():
            end(int(pid))

    def log(self):
        return (self.site / "nginx.log").read_text(encoding="utf-8")


def end(pid):
    """Ends a server of ours, and waits until it has gone."""
    handle = os.pidfd_open(pid)
    signal.pidfd_send_signal(handle, signal.SIGTERM)
    select.select([handle], [], [], PATIENCE_S)
    os.close(handle)


site = Deployment()


def setUpModule():
    unittest.addModuleCleanup(site.stop)
    site.install()
    site.start()


class FpmTest(unittest.TestCase):
    def test_an_allowed_request_comes_through_with_its_target_as_it_was_received(self):
        key, _ = site.key()
        status, body = site.ask(f"X-API-Key: {key}", target=f"{TARGET}?q=%41")
        self.assertEqual((status, json.loads(body)["target"]), (200, f"{TARGET}?q=%41"), site.log())
        self.assertEqual(site.ask(f"X-API-Key: {key}", target="/api/v1/%70roducts")[0], 403)
        self.assertEqual(site.ask(f"X-API-Key: {key}", target="/api/v1/../v1/products")[0], 403)
        self.assertEqual(site.ask(f"X-API-Key: {key}", target=f"{TARGET}?k={key}")[0], 401)

    def test_a_denied_request_has_the_body_of_the_library(self):
        for header, code in (("X-API-Key: bpos_0123456789abcdef", "invalid_key"), ("X-Other: 1", "missing_key")):
            status, body = site.ask(header)
            self.assertEqual((status, json.loads(body)["code"]), (401, code))

    def test_several_keys_are_none(self):
        key, _ = site.key()
        mine, other = f"X-API-Key: {key}", "X-API-Key: bpos_0123456789abcdef"
        for headers in ((mine, other), (other, mine), (mine, "X-API-Key: a"), ("x-api-key: a", mine)):
            status, body = site.ask(*headers)
            self.assertEqual((status, json.loads(body).get("code")), (401, "invalid_key"), headers)

    def test_a_key_that_is_revoked_is_denied_at_the_next_request_of_every_worker(self):
        key, key_id = site.key()
        workers = site.workers()
        self.assertGreater(workers, 1)
        self.assertEqual(site.ask_every_worker(key), [200] * workers, site.log())
        site.bpos("key", "revoke", key_id)
        self.assertEqual(site.ask_every_worker(key), [401] * workers)

    def test_a_new_key_is_known_to_every_worker_at_once(self):
        workers = site.workers()
        self.assertEqual(site.ask_every_worker(site.key()[0]), [200] * workers)
        self.assertEqual(site.ask_every_worker(site.key()[0]), [200] * workers)

    def test_the_workers_count_together(self):
        key, _ = site.key("--rate-limit", "60")
        workers = site.workers()
        self.assertEqual(site.ask_every_worker(key), [200] * workers)
        self.assertEqual(site.ask_often(key, 400 - workers).count(200), 60 - workers)
        self.assertEqual(site.ask_every_worker(key), [429] * workers)

    def test_counts_outlive_the_workers(self):
        key, _ = site.key("--rate-limit", "2")
        self.assertEqual(site.ask(f"X-API-Key: {key}")[0], 200)
        site.restart_workers()
        self.assertEqual([site.ask(f"X-API-Key: {key}")[0] for _ in range(2)], [200, 429])

    def test_the_registry_is_that_of_the_pool_and_root_has_to_run_as_its_user(self):
        before = site.registry.stat()
        self.assertEqual((before.st_uid != 0, before.st_mode & 0o777), (True, 0o600))
        with self.assertRaisesRegex(AssertionError, "ends with 3"):
            site.run("bpos", "key", "create", "--name", "A", "--store", "yourstore", "--scope", "products:read",
                     environment={**site.environment, "BPOS_REGISTRY": str(site.registry)})
        self.assertEqual(site.registry.stat().st_uid, before.st_uid)

    def test_the_log_has_reasons_and_no_key(self):
        key, key_id = site.key()
        site.ask(f"X-API-Key: {key}")
        self.assertIn(f"200 allowed {key_id}", site.log())
        self.assertNotIn(key, site.log())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[5:])

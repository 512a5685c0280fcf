#!/usr/bin/env python3
"""Shows whether Firefox ESR takes staples; run by hand, for Firefox is too large for tests/run.

    tests/judges/firefox.py ROOT.pem BUNDLE.pem...

Serves each bundle (certificate, chain and key, for the name `site`) with HAProxy on 127.0.0.1, with
BUNDLE.pem.ocsp beside it as staple where that exists, visits it with a fresh profile that trusts
ROOT.pem, and prints `loads` or Firefox' error. Needs firefox-esr, certutil (libnss3-tools) and haproxy
(or HAPROXY=path). Firefox is driven by marionette, its remote protocol, without a window.
A page whose staple is wrong is refused, must-staple or not: that is why such a staple is worse than
none. A bundle without staple has to load, or the judge judges something else."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

DEADLINE = 60
PREFERENCES = {
    "security.ssl.enable_ocsp_stapling": True,
    # With 0, the default of later versions, a staple of a wrong signer or age counts as none.
    "security.OCSP.enabled": 1,
    "network.dns.localDomains": "site",
    "app.update.auto": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "browser.shell.checkDefaultBrowser": False,
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def connect(port):
    end = time.monotonic() + DEADLINE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


class Marionette:
    """`LENGTH:JSON`, both ways; a command is [0, id, name, parameters]."""

    def __init__(self, port):
        self.stream = connect(port).makefile("rwb")
        self.read()
        self.number = 0

    def read(self):
        length = b""
        while (octet := self.stream.read(1)) != b":":
            length += octet
        return json.loads(self.stream.read(int(length)))

    def command(self, name, parameters):
        self.number += 1
        message = json.dumps([0, self.number, name, parameters]).encode()
        self.stream.write(b"%d:%s" % (len(message), message))
        self.stream.flush()
        _, _, error, result = self.read()
        return error, result


@contextlib.contextmanager
def running(command, **more):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def verdict(root, bundle, folder):
    port, control = free_port(), free_port()
    shutil.copy(bundle, folder / "bundle.pem")
    staple = pathlib.Path(f"{bundle}.ocsp")
    if staple.exists():
        shutil.copy(staple, folder / "bundle.pem.ocsp")
    (folder / "haproxy.cfg").write_text(
        "defaults\n mode http\n timeout client 9s\n timeout server 9s\n timeout connect 9s\n"
        f"frontend site\n bind 127.0.0.1:{port} ssl crt {folder}/bundle.pem\n http-request return status 200\n"
    )
    profile = folder / "profile"
    profile.mkdir()
    preferences = {**PREFERENCES, "marionette.port": control}
    lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in preferences.items()]
    (profile / "user.js").write_text("".join(lines))
    database = ["certutil", "-d", f"sql:{profile}"]
    subprocess.run([*database, "-N", "--empty-password"], check=True)
    subprocess.run([*database, "-A", "-n", "root", "-t", "C,,", "-i", root], check=True)
    haproxy = [os.environ.get("HAPROXY", "haproxy"), "-db", "-f", folder / "haproxy.cfg"]
    firefox = ["firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", profile]
    with running(haproxy), running(firefox, env={**os.environ, "HOME": str(folder)}):
        connect(port).close()
        browser = Marionette(control)
        browser.command("WebDriver:NewSession", {"capabilities": {"alwaysMatch": {"pageLoadStrategy": "eager"}}})
        error, _ = browser.command("WebDriver:Navigate", {"url": f"https://site:{port}/"})
        if error is None:
            return "loads"
        script = {"script": "return document.documentElement.textContent", "args": []}
        _, page = browser.command("WebDriver:ExecuteScript", script)
        words = str((page or {}).get("value", "")).split()
        codes = [word for word in words if word.startswith(("SEC_ERROR", "MOZILLA_PKIX", "SSL_ERROR"))]
        return f"refused: {' '.join(codes) or error['message'].split('&')[0]}"


if len(sys.argv) < 3:
    sys.exit(__doc__)
for path in sys.argv[2:]:
    with tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as work:
        print(path, verdict(sys.argv[1], path, pathlib.Path(work)))

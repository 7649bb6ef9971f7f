"""The command `review`: the gallery in a web browser."""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import uvicorn

from lora_lab import config
from lora_lab.cli.look import sweep_folder
from lora_lab.errors import ConfigError, LoraLabError
from lora_lab.review.web.app import create_app
from lora_lab.review.web.gallery import Options
from lora_lab.review.web.security import is_loopback

HIGHEST_PORT = 65535
EVERYWHERE = ("0.0.0.0", "::")


def review(given: argparse.Namespace) -> int:
    """Serve the gallery until Ctrl-C."""
    results = Path(given.results or config.settings()["results"].default)
    only = ""
    if given.sweep:
        # A sweep's folder that is a link keeps its name and its place.
        folder = Path(os.path.abspath(sweep_folder(Path(given.sweep), given.results).path))
        results, only = folder.parent, folder.name
    elif given.results and not results.is_dir():
        raise ConfigError(f"there is no folder {results}: give the sweep's folder, or --results FOLDER")
    if not only and not results.is_dir():
        print(f"there is no folder {results} yet: the first sweep makes it", file=sys.stderr)
    token = "" if is_loopback(given.host) and not given.allow_host else secrets.token_urlsafe(24)
    listener = _listen(given.host, given.port)
    there = addresses(given.host, listener.getsockname()[1], token)
    reachable = there[0].partition("?")[0] if token else ""
    allowed = tuple(given.allow_host)
    app = create_app(results, Options(only, given.host, token, allowed=allowed, reachable=reachable))
    if given.json:
        print(json.dumps({"addresses": there, "pid": os.getpid()}), flush=True)
    else:
        _say(there, given.host, bool(token))
    threading.Thread(target=app.state.gallery.read_ahead, daemon=True).start()
    if not given.no_browser:
        threading.Timer(0.3, webbrowser.open, [there[0]]).start()
    quiet = uvicorn.Config(app, log_level="warning", server_header=False, access_log=False, ws="none")
    with suppress(KeyboardInterrupt):
        uvicorn.Server(quiet).run(sockets=[listener])
    return 0


def _say(there: Sequence[str], host: str, asks_for_token: bool) -> None:
    """The addresses in words, and for a phone as a QR code."""
    print(f"the gallery is at {there[0]} (Ctrl-C ends it)", flush=True)
    for other in there[1:]:
        print(f"               or {other}", flush=True)
    if asks_for_token:
        print("anybody who has this address can see the results and score them", flush=True)
    if host in EVERYWHERE and sys.stdout.isatty():
        import segno

        segno.make(there[0], micro=False).terminal(compact=True)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= HIGHEST_PORT:
        raise ConfigError(f"--port must lie from 0 to {HIGHEST_PORT}, got {port}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"--host {host} is no address of this machine: {error.strerror}") from error
    family, kind, protocol, _, where = found[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(where)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _no_port(host, port, error) from error
    return listener


def _no_port(host: str, port: int, error: OSError) -> LoraLabError:
    import errno

    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"port {port} is taken, perhaps by another `lora-lab review`: end that, or give another --port"
        )
    return ConfigError(f"cannot listen on {host}, port {port}: {error.strerror or error}")


def addresses(host: str, port: int, token: str) -> list[str]:
    """What to open; for an address that means "all of this machine's", those that others can reach.

    Args:
        host: What the gallery listens on.
        port: Its port.
        token: What a browser has to bring, or ''.
    """
    hosts = [host]
    if host in EVERYWHERE:
        hosts = _own_addresses(socket.AF_INET) or _own_addresses(socket.AF_INET6) or [socket.gethostname()]
    names = [f"[{name}]" if ":" in name else name for name in hosts]
    return [f"http://{name}:{port}/" + (f"?token={token}" if token else "") for name in names]


def _own_addresses(family: socket.AddressFamily) -> list[str]:
    """Addresses of this machine's network cards, without those that only it knows, home networks first."""
    found = []
    for cards in psutil.net_if_addrs().values():
        for card in cards:
            if card.family == family:
                address = ipaddress.ip_address(card.address.partition("%")[0])
                if not (address.is_loopback or address.is_link_local):
                    found.append(address)
    return [str(item) for item in sorted(found, key=lambda item: (not item.is_private, str(item)))]

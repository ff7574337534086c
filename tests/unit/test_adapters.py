"""What the adapters for other libraries say where their library is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

ADAPTERS = {"langchain": ("langchain_core", "langchain"), "llama_index": ("llama_index", "llama-index")}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_missing_library_is_named_with_its_extra(adapter: str) -> None:
    library, extra = ADAPTERS[adapter]
    script = f"import sys; sys.modules[{library!r}] = None; import headrace.integrations.{adapter}"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    last = run.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: headrace.integrations.{adapter} needs {library.replace('_', '-')}")
    assert f"[{extra}]'" in last

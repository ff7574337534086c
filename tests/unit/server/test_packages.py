"""Packages that models need: a missing one is named."""

from __future__ import annotations

import pytest

from headrace.server import packages
from headrace.server.loading import card_of, find
from headrace.server.model import ModelError
from headrace.server.models import BUILT_IN
from headrace.server.packages import needed


def test_a_missing_package_is_named() -> None:
    with pytest.raises(ModelError, match="pip install no_such_module") as caught:
        needed("no_such_module")
    assert caught.value.code == 21350


def test_a_present_module_is_given() -> None:
    assert needed("json.decoder").JSONDecoder


def test_a_missing_part_of_the_local_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packages.PACKAGES, "no_such_module", ("no-such-package", "ocr"))
    message = r"no-such-package is not .* comes with the extra 'ocr': pip install '\.\[ocr\]'"
    with pytest.raises(ModelError, match=message):
        needed("no_such_module.part")
    with pytest.raises(ModelError, match=message):
        packages.check(["json", "no_such_module"])
    assert not packages.installed(["json", "no_such_module"])


def test_every_package_of_a_card_is_in_the_table() -> None:
    named = {name for target in BUILT_IN.values() for name in card_of(find(target)).packages}
    assert named == set(packages.PACKAGES)

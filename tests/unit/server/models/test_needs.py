"""A package that is missing is named."""

from __future__ import annotations

import pytest

from headrace.server.model import ModelError
from headrace.server.models._needs import needed


def test_a_missing_package_is_named() -> None:
    with pytest.raises(ModelError, match="pip install no-such-package") as caught:
        needed("no_such_module", "no-such-package")
    assert caught.value.code == 21350


def test_a_present_module_is_given() -> None:
    assert needed("json.decoder", "json").JSONDecoder


def test_a_missing_part_of_the_local_extra_is_named() -> None:
    with pytest.raises(
        ModelError, match=r"no-such-package is not .* comes with the extra 'ocr': pip install '\.\[ocr\]'"
    ):
        needed("no_such_module", "no-such-package", "ocr")

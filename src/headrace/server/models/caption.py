"""Captions: what five models see, put into one fixed form of sentence."""

from __future__ import annotations

from headrace.server import model
from headrace.server.model import Answer, Card, Item
from headrace.server.models import classifier, detector, faces, nanodet, ocr
from headrace.server.models._facts import Observer
from headrace.server.models._images import picture

PARTS = (
    classifier.Classifier.card,
    nanodet.NanoDetector.card,
    detector.Detector.card,
    faces.FaceDetector.card,
    ocr.Ocr.card,
)


class Caption:
    """Say in a sentence what a picture shows: its subject, objects, people, and the text in it."""

    card: Card = Card(
        id="facts-to-caption",
        task="image-to-text",
        title="Caption from facts",
        description="Says in a sentence what other models see in a picture; a pipeline, no captioning network.",
        input_fields=("image",),
        output_fields=("text",),
        licence="those of its parts",
        provenance=f"built of {', '.join(card.id for card in PARTS)}; the sentence follows a fixed form",
        size_bytes=sum(card.size_bytes for card in PARTS),
        weak_at="actions, places, relations between things: it only lists what its parts know by name",
        sample="headrace predict --local --model_id facts-to-caption samples/photos/coffee.jpg",
        weights=(faces.WEIGHTS,),
        packages=("rapidocr",),
    )
    accepts: tuple[str, ...] = ()

    def load(self) -> None:
        """Load the parts."""
        self._observer = Observer()

    def predict(self, item: Item) -> Answer:
        """Describe one picture."""
        return model.text(self._observer.look(picture(item)).sentence())

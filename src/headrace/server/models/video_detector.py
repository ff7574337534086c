"""Objects in videos: a detector of pictures on frames at equal distances."""

from __future__ import annotations

from headrace.server import model
from headrace.server.model import Answer, Card, Item, ModelError
from headrace.server.models._boxes import SIDE
from headrace.server.models._media import frames
from headrace.server.models.detector import DEFAULT_SCORE, Detector
from headrace.server.models.nanodet import DEFAULT_SCORE as NANODET_SCORE
from headrace.server.models.nanodet import NanoDetector
from headrace.v2 import resources_pb2 as pb

DEFAULT_STEP_MS = 1000
_INVALID_ARGUMENT = 31104


class VideoDetector:
    """Find everyday objects in a video: a frame a second, or one every `sample_ms` milliseconds.

    `data.frames`: each with its number in the sample (`index`), its time in ms (the middle of its span),
    its regions, and as concepts the best of each name among them.
    `output_config`: `sample_ms` (100..60000), and `min_value`, `max_concepts`, `select_concepts` as for pictures,
    for each frame. Videos last 10 minutes at most; at most 1200 frames are looked at.
    """

    card: Card = Card(
        id="yolov3-tiny-video",
        task="visual-detector",
        title="YOLOv3-tiny on videos, COCO objects",
        description="Finds objects of 80 everyday kinds in frames of a video and says where and when they are.",
        input_fields=("video",),
        output_fields=("frames",),
        licence=Detector.card.licence,
        provenance=Detector.card.provenance,
        size_bytes=Detector.card.size_bytes,
        weak_at=f"{Detector.card.weak_at}; frames are looked at one by one, objects are not followed",
        sample="headrace predict --local --model_id yolov3-tiny-video samples/videos/photos.mp4",
    )
    accepts: tuple[str, ...] = ()
    concurrency = 2
    default_score = DEFAULT_SCORE

    def load(self) -> None:
        """Open the network."""
        from headrace.server.models.detector import yolo

        self._find = yolo().find

    def predict(self, item: Item) -> Answer:
        """Find the objects in one video."""
        if item.video is None:
            raise ModelError(_INVALID_ARGUMENT, "the input holds no video")
        answers: list[pb.Frame] = []
        step_ms = item.config.sample_ms or DEFAULT_STEP_MS
        for number, time_ms, image in frames(item.video, step_ms, 2 * SIDE, item.cancelled):
            boxes = self._find(image, item.config.min_value or self.default_score)
            info = pb.FrameInfo(index=len(answers), time=time_ms, number=number)
            answers.append(pb.Frame(frame_info=info, data=_with_names(model.regions(boxes, item.config).data)))
        return Answer(pb.Data(frames=answers))


class NanoDetVideoDetector(VideoDetector):
    """Find everyday objects in a video with NanoDet-g; otherwise as yolov3-tiny-video."""

    card: Card = Card(
        id="nanodet-g-video",
        task="visual-detector",
        title="NanoDet-g on videos, COCO objects",
        description=VideoDetector.card.description,
        input_fields=("video",),
        output_fields=("frames",),
        licence=NanoDetector.card.licence,
        provenance=NanoDetector.card.provenance,
        size_bytes=NanoDetector.card.size_bytes,
        weak_at=f"{NanoDetector.card.weak_at}; frames are looked at one by one, objects are not followed",
        sample="headrace predict --local --model_id nanodet-g-video samples/videos/photos.mp4",
    )
    default_score = NANODET_SCORE

    def load(self) -> None:
        """Open the network."""
        from headrace.server.models.nanodet import nanodet

        self._find = nanodet().find


def _with_names(data: pb.Data) -> pb.Data:
    """Add the best value of each name among the regions, as concepts of the whole frame."""
    best: dict[str, pb.Concept] = {}
    for concept in (concept for region in data.regions for concept in region.data.concepts):
        if concept.name not in best or concept.value > best[concept.name].value:
            best[concept.name] = concept
    data.concepts.extend(sorted(best.values(), key=lambda concept: -concept.value))
    return data

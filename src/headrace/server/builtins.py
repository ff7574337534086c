"""The built-in models: their ids and where their classes are; nothing is imported before it is asked for."""

from __future__ import annotations

_MODELS = "headrace.server.models"

#: id -> class. Of models that take the same kind of input, the first is that kind's default; echo is never one
#: where another model is served.
BUILTINS = {
    "efficientnet-lite0": f"{_MODELS}.classifier:Classifier",
    "yolov3-tiny": f"{_MODELS}.detector:Detector",
    "smollm2-135m-instruct": f"{_MODELS}.llm:LanguageModel",
    "vader-sentiment": f"{_MODELS}.text_classifier:Sentiment",
    "echo": f"{_MODELS}.echo:Echo",
}

#: Short names for them, by what they do.
ALIASES = {
    "classifier": "efficientnet-lite0",
    "detector": "yolov3-tiny",
    "llm": "smollm2-135m-instruct",
    "sentiment": "vader-sentiment",
}

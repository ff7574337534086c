"""The built-in models, one file each; a module imports its heavy packages when its model is loaded, not before."""

import os

# Before anything imports onnxruntime: no version may send telemetry.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

#: Model id -> class, as the registry takes it. The first that takes a kind of input is that kind's default, if its
#: weights are there or may be fetched by a first use.
BUILT_IN = {
    "efficientnet-lite0": "headrace.server.models.classifier:Classifier",
    "qwen2.5-coder-1.5b": "headrace.server.models.llm:Qwen",
    "smollm2-135m-instruct": "headrace.server.models.llm:LanguageModel",
    "nanodet-g": "headrace.server.models.nanodet:NanoDetector",
    "yolov3-tiny": "headrace.server.models.detector:Detector",
    "mtcnn-faces": "headrace.server.models.faces:FaceDetector",
    "u2netp": "headrace.server.models.salient:SalientObject",
    "selfie-segmentation": "headrace.server.models.segmenter:Segmenter",
    "efficientnet-lite0-embedding": "headrace.server.models.embedder:ImageEmbedder",
    "vader-sentiment": "headrace.server.models.text_classifier:Sentiment",
    "language-lid176": "headrace.server.models.language:Language",
    "minilm-l6-v2": "headrace.server.models.text_embedder:TextEmbedder",
    "pp-ocrv6": "headrace.server.models.ocr:Ocr",
    "facts-to-caption": "headrace.server.models.caption:Caption",
    "acnet-upscaler": "headrace.server.models.upscaler:Upscaler",
    "nanodet-g-video": "headrace.server.models.video_detector:NanoDetVideoDetector",
    "yolov3-tiny-video": "headrace.server.models.video_detector:VideoDetector",
    "facts-to-answer": "headrace.server.models.answerer:Answerer",
    "llm-classify": "headrace.server.models.llm_classifier:PromptClassifier",
    "shapes-to-image": "headrace.server.models.shapes:ShapesToImage",
    "hibari-tts": "headrace.server.models.text_to_speech:TextToSpeech",
    "whisper-tiny-en": "headrace.server.models.speech_to_text:SpeechToText",
    "whisper-base": "headrace.server.models.speech_to_text:MultilingualSpeechToText",
    "echo": "headrace.server.models.echo:Echo",
}

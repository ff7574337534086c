"""LangChain's own suite for chat models and embeddings, run by `test_langchain_standard.py` in a process of its own.

The address of a server with the models is in `STANDARD_BASE_URL`.
"""

# ruff: noqa: RUF012
from __future__ import annotations

import os
from typing import Any

import httpx
import pytest
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from headrace.integrations.langchain import ChatHeadrace, HeadraceEmbeddings

SERVER = {"base_url": os.environ["STANDARD_BASE_URL"]}


@pytest.fixture(autouse=True)
def downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the suite's pictures, sounds and documents without a network; our parrot looks at none."""
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "headrace")
    monkeypatch.setattr(
        httpx, "get", lambda url, **_: httpx.Response(200, content=b"made up", request=httpx.Request("GET", url))
    )


class Tools:
    """What a model that speaks OpenAI's API can do."""

    chat_model_class = ChatHeadrace
    chat_model_params = {**SERVER, "model": "parrot"}
    supports_image_inputs = True
    supports_image_urls = True
    supports_pdf_inputs = True
    supports_audio_inputs = True
    supports_image_tool_message = True
    supports_pdf_tool_message = True
    supports_anthropic_inputs = False  # an image block of Anthropic's in a tool's result is not OpenAI's
    supports_json_mode = True
    supports_model_override = True
    model_override_value = "parrot-2"


class TestParrotUnit(Tools, ChatModelUnitTests):
    """The unit tests."""


class TestParrot(Tools, ChatModelIntegrationTests):
    """The integration tests, with tools by functions."""


class TestParrotJsonSchema(Tools, ChatModelIntegrationTests):
    """The same with structured output by a schema."""

    structured_output_kwargs = {"method": "json_schema"}


class Words:
    """What a model with a prompt can do."""

    chat_model_class = ChatHeadrace
    chat_model_params = {**SERVER, "model": "talker"}
    has_tool_calling = False
    has_structured_output = False


class TestWordsUnit(Words, ChatModelUnitTests):
    """The unit tests."""


class TestWords(Words, ChatModelIntegrationTests):
    """The integration tests."""

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {"temperature": 0, "max_tokens": 100, "rate_limiter": InMemoryRateLimiter(requests_per_second=1000)}


class Vectors:
    """A model that embeds."""

    embeddings_class = HeadraceEmbeddings
    embedding_model_params = {**SERVER, "model": "lengths"}


class TestVectorsUnit(Vectors, EmbeddingsUnitTests):
    """The unit tests."""


class TestVectors(Vectors, EmbeddingsIntegrationTests):
    """The integration tests."""


class TestParrotVectors(EmbeddingsIntegrationTests):
    """The integration tests with a model that speaks OpenAI's API."""

    embeddings_class = HeadraceEmbeddings
    embedding_model_params = {**SERVER, "model": "parrot"}

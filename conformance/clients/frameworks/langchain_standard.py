"""LangChain's own standard tests of chat models and embeddings, for three SDKs, each before a provider of another dialect.

The provider's model does what it is asked (`providers/obedient.py`).
"""

import os
from importlib.metadata import version

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_google_genai import ChatGoogleGenerativeAI, GoogleGenerativeAIEmbeddings
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

URL, KEY = os.environ["WEIR_ACROSS_URL"], os.environ["WEIR_KEY"]


class Chat(ChatModelIntegrationTests):
    """What all have in common."""

    @property
    def has_tool_choice(self):
        return True

    @property
    def supports_image_inputs(self):
        return False


class TestOpenAIBeforeAnthropic(Chat):
    chat_model_class = ChatOpenAI

    @property
    def chat_model_params(self):
        return {"model": "claude-sonnet-4-5", "base_url": URL + "/v1", "api_key": KEY, "stream_usage": True, "max_retries": 0}

    @property
    def supports_json_mode(self):
        return True

    @property
    def model_override_value(self):
        return "gemini-2.5-flash"


class TestOpenAIBeforeGemini(TestOpenAIBeforeAnthropic):
    @property
    def chat_model_params(self):
        return {**super().chat_model_params, "model": "lax-gemini-2.5-flash"}

    @property
    def model_override_value(self):
        return "claude-sonnet-4-5"


class TestAnthropicBeforeOpenAI(Chat):
    chat_model_class = ChatAnthropic

    @property
    def chat_model_params(self):
        return {"model": "gpt-4.1", "base_url": URL, "api_key": KEY, "max_retries": 0}


class TestAnthropicBeforeBedrock(TestAnthropicBeforeOpenAI):
    @property
    def chat_model_params(self):
        return {**super().chat_model_params, "model": "anthropic.claude-sonnet-4-5"}


class TestGoogleBeforeOpenAI(Chat):
    chat_model_class = ChatGoogleGenerativeAI

    @property
    def chat_model_params(self):
        return {"model": "gpt-4.1", "base_url": URL, "api_key": KEY, "max_retries": 0}

    @property
    def supports_json_mode(self):
        return True


class TestGoogleBeforeCohere(TestGoogleBeforeOpenAI):
    @property
    def chat_model_params(self):
        return {**super().chat_model_params, "model": "command-a"}


class TestOpenAIEmbeddingsBeforeGemini(EmbeddingsIntegrationTests):
    embeddings_class = OpenAIEmbeddings

    @property
    def embedding_model_params(self):
        # Tokens of OpenAI's mean nothing to another's model: texts are sent.
        said = {"base_url": URL + "/v1", "api_key": KEY, "max_retries": 0, "check_embedding_ctx_length": False}
        return {"model": "vectors-of-gemini", **said}


class TestOpenAIEmbeddingsBeforeCohere(TestOpenAIEmbeddingsBeforeGemini):
    @property
    def embedding_model_params(self):
        return {**super().embedding_model_params, "model": "vectors-of-cohere"}


class TestGoogleEmbeddingsBeforeOpenAI(EmbeddingsIntegrationTests):
    embeddings_class = GoogleGenerativeAIEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": "models/vectors-of-openai", "google_api_key": KEY, "base_url": URL}


class Counted:
    """Says at the end what ran, in the words of the other checks."""

    def pytest_terminal_summary(self, terminalreporter):
        said = {name: len(terminalreporter.stats.get(name, [])) for name in ("passed", "failed", "error")}
        print(f"\n{said['passed']} passed, {said['failed'] + said['error']} failed")


if __name__ == "__main__":
    print(f"langchain-tests {version('langchain-tests')}: chat models and embeddings")
    # LangChain keeps clients for longer than one test, so all share a loop. No place for caches of its own.
    loops = [word for scope in ("test", "fixture") for word in ("-o", f"asyncio_default_{scope}_loop_scope=session")]
    options = ["-q", "--no-header", "--no-summary", "--tb=short", "-p", "no:cacheprovider", "--asyncio-mode=auto"]
    raise SystemExit(pytest.main([*options, *loops, __file__], plugins=[Counted()]))

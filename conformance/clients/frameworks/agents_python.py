"""Frameworks for Python, each before providers of other dialects than it speaks: plain, streamed, with a tool and its result, and in
a form where the framework has such a thing. The provider's model does what it is asked (`providers/obedient.py`).
"""

import asyncio
import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from checks import check, run  # noqa: E402

URL, KEY = os.environ["WEIR_ACROSS_URL"], os.environ["WEIR_KEY"]
# Settings that frameworks read from the environment alone, and what keeps them from calling home.
os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "true", "ANTHROPIC_BASE_URL": URL}
logging.disable(logging.WARNING)

import anthropic  # noqa: E402
import litellm  # noqa: E402
import pydantic  # noqa: E402
from autogen_agentchat.agents import AssistantAgent  # noqa: E402
from autogen_core.models import ModelFamily  # noqa: E402
from autogen_ext.models.anthropic import AnthropicChatCompletionClient  # noqa: E402
from autogen_ext.models.openai import OpenAIChatCompletionClient  # noqa: E402
from langchain_anthropic import ChatAnthropic  # noqa: E402
from langchain_google_genai import ChatGoogleGenerativeAI  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402
from langgraph.prebuilt import create_react_agent  # noqa: E402
from llama_index.core.agent.workflow import FunctionAgent  # noqa: E402
from llama_index.core.llms import ChatMessage  # noqa: E402
from llama_index.embeddings.openai import OpenAIEmbedding  # noqa: E402
from llama_index.llms.anthropic import Anthropic as LlamaAnthropic  # noqa: E402
from llama_index.llms.google_genai import GoogleGenAI as LlamaGoogle  # noqa: E402
from llama_index.llms.openai_like import OpenAILike  # noqa: E402
from pydantic_ai import Agent  # noqa: E402
from pydantic_ai.models.anthropic import AnthropicModel  # noqa: E402
from pydantic_ai.models.google import GoogleModel  # noqa: E402
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel  # noqa: E402
from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: E402
from pydantic_ai.providers.google import GoogleProvider  # noqa: E402
from pydantic_ai.providers.openai import OpenAIProvider  # noqa: E402

GPT, CLAUDE, GEMINI, NOVA, COMMAND = "gpt-4.1", "claude-sonnet-4-5", "gemini-2.5-flash", "anthropic.claude-sonnet-4-5", "command-a"


def weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"It rains in {city}."


class Person(pydantic.BaseModel):
    name: str
    age: int


def each(cases):
    """A check for each of these, with its name."""

    def add(function):
        for name, *arguments in cases:

            def one(arguments=arguments):
                result = function(*arguments)
                return asyncio.run(result) if asyncio.iscoroutine(result) else result

            one.__name__ = f"{function.__name__} {name}"
            check(one)

    return add


def pydantic_models():
    openai = OpenAIProvider(base_url=URL + "/v1", api_key=KEY)
    yield "OpenAI's chats, by Anthropic", OpenAIChatModel(CLAUDE, provider=openai)
    yield "OpenAI's chats, by Gemini", OpenAIChatModel(GEMINI, provider=openai)
    yield "OpenAI's responses, by Bedrock", OpenAIResponsesModel(NOVA, provider=openai)
    yield "OpenAI's responses, by Cohere", OpenAIResponsesModel(COMMAND, provider=openai)
    for name, asked in [("OpenAI", GPT), ("Gemini", GEMINI)]:
        client = anthropic.AsyncAnthropic(base_url=URL, api_key=KEY)
        yield f"Anthropic's, by {name}", AnthropicModel(asked, provider=AnthropicProvider(anthropic_client=client))
    yield "Google's, by OpenAI", GoogleModel(GPT, provider=GoogleProvider(base_url=URL, api_key=KEY))
    yield "Google's, by Anthropic", GoogleModel(CLAUDE, provider=GoogleProvider(base_url=URL, api_key=KEY))


@each(pydantic_models())
async def pydantic_ai_speaks(model):
    agent = Agent(model, instructions="Be brief.", tools=[weather])
    reply = await agent.run("How is it in 'Paris'?")
    # To Google's models it gives results as fields.
    assert reply.output.startswith("It says: ") and "It rains in Paris." in reply.output, reply
    assert reply.usage.input_tokens > 0 and reply.usage.output_tokens > 0, reply.usage
    async with agent.run_stream("How is it in 'Oslo'?") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 1 and "It rains in Oslo." in "".join(pieces), pieces
    filled = await Agent(model, output_type=Person).run("Who is 'Ann', 41?")
    assert filled.output == Person(name="Ann", age=41), filled


def langchain_models():
    openai = {"base_url": URL + "/v1", "api_key": KEY}
    yield "OpenAI's, by Anthropic", ChatOpenAI(model=CLAUDE, **openai)
    yield "OpenAI's responses, by Gemini", ChatOpenAI(model=GEMINI, use_responses_api=True, **openai)
    yield "Anthropic's, by Cohere", ChatAnthropic(model=COMMAND, base_url=URL, api_key=KEY)
    yield "Google's, by Bedrock", ChatGoogleGenerativeAI(model=NOVA, base_url=URL, api_key=KEY)


@each(langchain_models())
async def langgraph_speaks(model):
    agent = create_react_agent(model, tools=[weather], prompt="Be brief.")
    turn = {"messages": [("user", "How is it in 'Paris'?")]}
    state = await agent.ainvoke(turn)
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai"], state
    assert state["messages"][-1].text == "It says: It rains in Paris.", state
    said = [part async for part, _ in agent.astream(turn, stream_mode="messages") if part.type == "AIMessageChunk"]
    text = "".join(part.text for part in said)
    assert len(said) > 3 and text == "It says: It rains in Paris.", text


def llama_models():
    like = {"api_base": URL + "/v1", "api_key": KEY, "is_chat_model": True, "is_function_calling_model": True}
    yield "OpenAI's, by Gemini", OpenAILike(model="lax-" + GEMINI, **like)
    yield "OpenAI's, by Bedrock", OpenAILike(model=NOVA, **like)
    # It knows names of its own maker's models alone.
    yield "Anthropic's, by Bedrock", LlamaAnthropic(model=NOVA + "-20250929-v1:0", base_url=URL, api_key=KEY)
    google = {"http_options": {"base_url": URL}, "api_key": KEY, "context_window": 100_000, "max_tokens": 1000}
    yield "Google's, by Anthropic", LlamaGoogle(model=CLAUDE, **google)


@each(llama_models())
def llamaindex_speaks(model):
    turns = [ChatMessage(role="system", content="Be brief."), ChatMessage(role="user", content="What is a weir?")]
    assert model.chat(turns).message.content == "It says: What is a weir?"
    pieces = [piece.delta or "" for piece in model.stream_chat(turns)]
    assert len(pieces) > 1 and "".join(pieces) == "It says: What is a weir?", pieces

    async def act():
        return await FunctionAgent(tools=[weather], llm=model).run("How is it in 'Paris'?")

    reply = asyncio.run(act())
    assert str(reply) == "It says: It rains in Paris.", reply


@check
def llamaindex_embeds_by_Cohere():
    said = {"api_base": URL + "/v1", "api_key": KEY, "model_name": "vectors-of-cohere"}
    vectors = OpenAIEmbedding(**said).get_text_embedding_batch(["one", "three"])
    assert vectors == [[0.03, 0.25, -0.5], [0.05, 0.25, -0.5]], vectors


def autogen_models():
    about = {"vision": True, "function_calling": True, "json_output": True, "structured_output": True}
    about["family"] = ModelFamily.UNKNOWN
    said = {"api_key": KEY, "model_info": about}
    yield "OpenAI's, by Anthropic", OpenAIChatCompletionClient(model=CLAUDE, base_url=URL + "/v1", **said)
    yield "Anthropic's, by OpenAI", AnthropicChatCompletionClient(model=GPT, base_url=URL, **said)


@each(autogen_models())
async def autogen_speaks(model):
    for stream in (False, True):
        agent = AssistantAgent(
            "helper", model_client=model, tools=[weather], model_client_stream=stream, reflect_on_tool_use=True
        )
        result = await agent.run(task="How is it in 'Paris'?")
        assert result.messages[-1].content == "It says: It rains in Paris.", result


LITELLM = [
    ("OpenAI's, by Anthropic", f"openai/{CLAUDE}", URL + "/v1"),
    ("OpenAI's, by Cohere", f"openai/{COMMAND}", URL + "/v1"),
    ("Anthropic's, by OpenAI", f"anthropic/{GPT}", URL),
    ("Anthropic's, by Gemini", f"anthropic/{GEMINI}", URL),
]


@each(LITELLM)
def litellm_speaks(model, base):
    said = {"model": model, "api_base": base, "api_key": KEY, "max_retries": 0}
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a weir?"}]
    reply = litellm.completion(messages=turns, **said)
    assert reply.choices[0].message.content == "It says: What is a weir?", reply
    assert reply.usage.prompt_tokens > 0 and reply.usage.completion_tokens > 0, reply.usage
    pieces = [chunk.choices[0].delta.content or "" for chunk in litellm.completion(messages=turns, stream=True, **said)]
    assert len(pieces) > 2 and "".join(pieces) == "It says: What is a weir?", pieces
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "weather", "description": "Tells it", "parameters": parameters}}]
    asked = [{"role": "user", "content": "How is it in 'Paris'?"}]
    message = litellm.completion(messages=asked, tools=tools, **said).choices[0].message
    [call] = message.tool_calls
    assert (call.function.name, call.function.arguments.replace(" ", "")) == ("weather", '{"city":"Paris"}'), call
    result = {"role": "tool", "tool_call_id": call.id, "content": weather("Paris")}
    reply = litellm.completion(messages=[*asked, message, result], tools=tools, **said)
    assert reply.choices[0].message.content == "It says: It rains in Paris.", reply


NAMES = ["pydantic-ai-slim", "langgraph", "llama-index-core", "autogen-agentchat", "litellm"]
run("frameworks for Python: " + ", ".join(f"{name} {version(name)}" for name in NAMES))

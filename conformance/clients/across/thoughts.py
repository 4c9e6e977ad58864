"""Thoughts and their signatures come back to their provider with the next turn, through SDKs of other dialects.

What an SDK returned goes back as it is, as applications do; providers refuse a thought without its signature.
"""

import sys

import anthropic_messages
import bedrock_converse
import google_genai
import openai_chat
from google.genai import types
from table import MODELS, SCENARIOS

ASKED, AGAIN = "What is a weir?", "And then?"
NAME = "thoughts and signatures, kept for the next turn"


def by_openai(ask, stream):
    user = lambda text: {"role": "user", "content": text}
    more = {"max_tokens": 4000, "reasoning_effort": "low"}
    create = openai_chat.client.chat.completions.create
    message = create(model=ask("thought"), messages=[user(ASKED)], **more).choices[0].message
    said = {"model": ask("thought-again"), "messages": [user(ASKED), message, user(AGAIN)], **more}
    if stream:
        return "".join(chunk.choices[0].delta.content or "" for chunk in create(**said, stream=True))
    return create(**said).choices[0].message.content


def by_anthropic(ask, stream):
    user = lambda text: {"role": "user", "content": text}
    more = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    client = anthropic_messages.client
    with client.messages.stream(model=ask("thought"), messages=[user(ASKED)], **more) as events:
        content = events.get_final_message().content
    turns = [user(ASKED), {"role": "assistant", "content": content}, user(AGAIN)]
    said = {"model": ask("thought-again"), "messages": turns, **more}
    if not stream:
        return client.messages.create(**said).content[0].text
    with client.messages.stream(**said) as events:
        return events.get_final_text()


def by_google(ask, stream):
    user = lambda text: types.Content(role="user", parts=[types.Part(text=text)])
    config = google_genai.config({"max_tokens": 4000, "thinks": True})
    models = google_genai.client.models
    reply = models.generate_content(model=ask("thought"), contents=[user(ASKED)], config=config)
    turns = [user(ASKED), reply.candidates[0].content, user(AGAIN)]
    said = {"model": ask("thought-again"), "contents": turns, "config": config}
    if stream:
        return "".join(chunk.text or "" for chunk in models.generate_content_stream(**said))
    return models.generate_content(**said).text


def by_bedrock(ask, stream):
    user = lambda text: {"role": "user", "content": [{"text": text}]}
    more = {
        "inferenceConfig": {"maxTokens": 4000},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    }
    client = bedrock_converse.client
    reply = client.converse(modelId=ask("thought"), messages=[user(ASKED)], **more)
    turns = [user(ASKED), reply["output"]["message"], user(AGAIN)]
    said = {"modelId": ask("thought-again"), "messages": turns, **more}
    if stream:
        return bedrock_converse.streamed(client.converse_stream(**said)["stream"])["text"]
    return client.converse(**said)["output"]["message"]["content"][0]["text"]


# Each SDK, and the providers of other dialects that sign thoughts.
CASES = [
    (by_openai, ("anthropic", "gemini", "bedrock")),
    (by_anthropic, ("gemini", "bedrock")),
    (by_google, ("anthropic", "bedrock")),
    (by_bedrock, ("anthropic", "gemini")),
]

if __name__ == "__main__":
    print(NAME)
    passed = failed = 0
    for speak, dialects in CASES:
        for dialect in dialects:
            wrong = []
            for stream in (False, True):
                try:
                    got = speak(lambda name, dialect=dialect: f"{MODELS[dialect]}@{name}", stream)
                    want = SCENARIOS["thought-again"]["answer"]["text"]
                    wrong += [] if got == want else [f"said {got!r}"]
                except Exception as error:
                    wrong.append(repr(error))
            print(f"  {'FAIL' if wrong else 'PASS'}  {speak.__name__}, from {dialect} {' '.join(wrong)}".rstrip())
            passed, failed = passed + (not wrong), failed + bool(wrong)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)

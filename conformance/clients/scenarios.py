"""What clients ask and what providers answer, once for all SDKs and all providers: `python3 scenarios.py` prints it as JSON.

A scenario's `ask` is what the client says and what must arrive at the provider; its `answer` is what the provider says and what
must arrive at the client. `error` is a status that the provider answers with, and `breaks` is how its answer ends too early.
A model's name ends in `@` and the scenario's.
"""

import json

# The models asked, by their provider's dialect. What some take depends on the name.
MODELS = {
    "openai": "gpt-4.1",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
    "bedrock": "anthropic.claude-sonnet-4-5",
    "cohere": "command-a",
}

# A picture of one pixel.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

TOOLS = {
    "weather": {
        "description": "Tells the weather of a place",
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
    "send_mail": {
        "description": "Sends a mail",
        "schema": {
            "type": "object",
            "properties": {"to": {"type": "string"}, "body": {"type": "string"}},
            "required": ["to", "body"],
            "additionalProperties": False,
        },
    },
}

FORM = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

ODD = 'Grüße, 世界 👩‍👩‍👧! "quoted" \\ back\nand \t on: </script> \u2028 {"a": [1]} data: [DONE]\n\n'


def turn(role, *parts):
    return {"role": role, "parts": list(parts)}


def call(id, name, **arguments):
    return {"id": id, "name": name, "arguments": arguments}


def said(text="", calls=(), finish="stop", reasoning="", usage=(20, 10, 0), signature=""):
    """An answer. Its usage is tokens of the prompt, of the answer, and those of the prompt that a cache had."""
    return {
        "text": text,
        "calls": list(calls),
        "finish": finish,
        "reasoning": reasoning,
        "signature": signature,
        "usage": {"input": usage[0], "output": usage[1], "cached": usage[2]},
    }


PARIS, BERLIN = call("call_1", "weather", city="Paris", days=2), call("call_2", "weather", city="Zürich \"a\"\n", days=-7)
MAIL = call("call_3", "send_mail", to="ann@example.com", body="It rains.")
ASKED = turn("user", "What is a weir?")
THOUGHT = "They ask about rivers.\nSo:"
TALK = [turn("user", "Hello"), turn("assistant", "Hello yourself."), ASKED]

SCENARIOS = {
    "words": {"ask": {"turns": [ASKED]}, "answer": said("A weir is a low dam across a river.")},
    "talk": {
        "ask": {"system": "Be kind.\nBe brief.", "turns": TALK},
        "answer": said("A low dam.", usage=(31, 4, 0)),
    },
    "odd-words": {"ask": {"system": ODD, "turns": [turn("user", ODD)]}, "answer": said(ODD)},
    "long-words": {"ask": {"turns": [turn("user", "x" * 70_000)]}, "answer": said("word and " * 2000)},
    "silence": {"ask": {"turns": [ASKED]}, "answer": said("", usage=(5, 0, 0))},
    "settings": {
        "ask": {"turns": [ASKED], "max_tokens": 321, "temperature": 0.25, "stop": ["END", "Stop here"]},
        "answer": said("A low dam."),
    },
    "top-p": {"ask": {"turns": [ASKED], "top_p": 0.75}, "answer": said("A low dam.")},
    "cut": {"ask": {"turns": [ASKED], "max_tokens": 3}, "answer": said("A weir is", finish="length")},
    "filtered": {"ask": {"turns": [ASKED]}, "answer": said("I would", finish="filter")},
    "cached": {"ask": {"turns": [ASKED]}, "answer": said("A low dam.", usage=(120, 4, 90))},
    "picture": {
        "ask": {"turns": [turn("user", "What is this?", {"image": PIXEL})]},
        "answer": said("One pixel."),
    },
    "pictures": {
        "ask": {
            "turns": [
                turn("user", {"image": PIXEL}, {"image": PIXEL}, "Which is larger?"),
                turn("assistant", "Neither."),
                ASKED,
            ]
        },
        "answer": said("A low dam."),
    },
    "call": {
        "ask": {"turns": [turn("user", "And Paris?")], "tools": ["weather"]},
        "answer": said(calls=[PARIS], finish="calls"),
    },
    "words-and-call": {
        "ask": {"turns": [turn("user", "And Paris?")], "tools": ["weather"]},
        "answer": said("Let me look.", calls=[PARIS], finish="calls"),
    },
    "parallel-calls": {
        "ask": {"turns": [turn("user", "All of it")], "tools": ["weather", "send_mail"]},
        "answer": said(calls=[PARIS, BERLIN, MAIL], finish="calls"),
    },
    "must-call": {
        "ask": {"turns": [turn("user", "And Paris?")], "tools": ["weather"], "choice": "any"},
        "answer": said(calls=[PARIS], finish="calls"),
    },
    "must-call-one": {
        "ask": {"turns": [turn("user", "Write it")], "tools": ["weather", "send_mail"], "choice": "send_mail"},
        "answer": said(calls=[MAIL], finish="calls"),
        # It offers that tool alone where its API has no word for one of them.
        "arrives": {"cohere": {"tools": ["send_mail"], "choice": "any"}},
    },
    "result": {
        "ask": {
            "turns": [
                turn("user", "And Paris?"),
                turn("assistant", {"call": PARIS}),
                turn("tool", {"result": "call_1", "text": "It rains."}),
            ],
            "tools": ["weather"],
        },
        "answer": said("Take an umbrella."),
    },
    "parallel-results": {
        "ask": {
            "system": "Be brief.",
            "turns": [
                turn("user", "Both?"),
                turn("assistant", "Let me look.", {"call": PARIS}, {"call": BERLIN}),
                turn("tool", {"result": "call_1", "text": "It rains."}, {"result": "call_2", "text": '{"sun": true}'}),
                turn("assistant", "Rain there, sun here."),
                turn("user", "Write that"),
            ],
            "tools": ["weather", "send_mail"],
        },
        "answer": said(calls=[MAIL], finish="calls"),
    },
    "form": {
        "ask": {"turns": [turn("user", "Who is Ann?")], "form": ["age", "name"]},
        "answer": said('{"name": "Ann", "age": 41}'),
    },
    "thought": {
        "ask": {"turns": [ASKED], "max_tokens": 4000, "thinks": True},
        "answer": said("A low dam.", reasoning=THOUGHT, signature="c2lnbmVk", usage=(20, 30, 0)),
    },
    # Asked by thoughts.py alone, with what a client got for `thought`.
    "thought-again": {
        "ask": {
            "turns": [ASKED, turn("assistant", {"thought": THOUGHT, "signature": "c2lnbmVk"}, "A low dam."), turn("user", "And then?")],
            "max_tokens": 4000,
            "thinks": True,
        },
        "answer": said("It raises the water."),
        "alone": True,
    },
    **{
        f"error-{status}": {"ask": {"turns": [ASKED]}, "error": status, "tells": tells}
        for status, tells in {
            400: [400, "upstream-rejected"],
            401: [502, "upstream-unauthorized"],
            403: [502, "upstream-unauthorized"],
            404: [404, "upstream-rejected"],
            429: [429, "upstream-rate-limited"],
            500: [502, "upstream-error"],
            503: [502, "upstream-error"],
            529: [502, "upstream-error"],
        }.items()
    },
    "error-after-200": {"ask": {"turns": [ASKED]}, "answer": said("A weir is a low dam"), "breaks": "error"},
    "cut-off": {"ask": {"turns": [ASKED]}, "answer": said("A weir is a low dam"), "breaks": "cut"},
}


if __name__ == "__main__":
    print(json.dumps({"models": MODELS, "tools": TOOLS, "form": FORM, "scenarios": SCENARIOS}))

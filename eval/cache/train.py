#!/usr/bin/env python3
"""Trains the judge of the semantic cache: engine/stage/src/cache/verify/net.txt.

    python3 eval/cache/expand.py
    target/release/weir-eval --cache-features eval/cache/training/pairs.tsv > TABLE     (what the judge sees of each pair)
    python3 eval/cache/train.py TABLE                                       (needs eval/cache/requirements.txt)

Sees no held-out pair. The thresholds are those at which networks trained on other groups of questions hold this share of the training
set's near misses for the same, those left out that differ in something that must agree.
"""

import sys
from pathlib import Path

import numpy
from sklearn.model_selection import GroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

OUT = Path(__file__).resolve().parents[2] / "engine/stage/src/cache/verify/net.txt"
HIDDEN, SEEDS, FOLDS = 32, 4, 6
# Features are cut here, as in net.rs.
MOST = 4.0
# How often pairs written by hand count.
HAND = 3
BALANCED, STRICT = 0.010, 0.001


def main():
    rows = [line.split("\t") for line in Path(sys.argv[1]).read_text("utf-8").splitlines()]
    names, rows = rows[0][4:], rows[1:]
    groups = numpy.array([row[0].split("/")[1] for row in rows])
    hand = numpy.array([row[0].startswith("hand/") for row in rows])
    same = numpy.array([row[2] == "1" for row in rows])
    must = numpy.array([row[3] != "" for row in rows])  # what the code says they differ in
    features = numpy.minimum(numpy.array([[float(value) for value in row[4:]] for row in rows]), MOST)

    sums = numpy.zeros(len(rows))
    for train, test in GroupKFold(FOLDS).split(features, same, groups):
        for seed in range(SEEDS):
            sums[test] += fitted(features[train], same[train], hand[train], seed)(features[test]) / SEEDS
    sums[must] = -numpy.inf
    misses = numpy.sort(sums[~same])[::-1]
    thresholds = {}
    for name, share in (("balanced", BALANCED), ("strict", STRICT)):
        thresholds[name] = misses[int(share * len(misses))]
        print(f"{name}: {numpy.mean(sums[same] > thresholds[name]):.3f} of unseen groups' paraphrases at {share}")

    lines = ["# Made by eval/cache/train.py.", "features " + " ".join(names)]
    lines += [f"{name} {value:.4f}" for name, value in thresholds.items()]
    for seed in range(SEEDS):
        model = fitted(features, same, hand, seed)
        lines.append("net")
        lines += [f"hidden {row(bias, weights)}" for bias, weights in zip(model.bias, model.weights.T)]
        lines.append(f"out {row(model.out_bias, model.out)}")
    OUT.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(rows)} pairs, {OUT.stat().st_size} bytes")


def row(bias, weights):
    return " ".join(f"{value:.4g}" for value in (bias, *weights))


class fitted:
    """A network trained on these pairs; its scaler is part of its weights."""

    def __init__(self, features, same, hand, seed):
        often = numpy.repeat(numpy.arange(len(same)), numpy.where(hand, HAND, 1))
        scaler = StandardScaler().fit(features[often])
        net = MLPClassifier((HIDDEN,), alpha=3.0, max_iter=60, learning_rate_init=0.003, random_state=seed)
        net.fit(scaler.transform(features[often]), same[often])
        self.weights = net.coefs_[0] / scaler.scale_[:, None]
        self.bias = net.intercepts_[0] - scaler.mean_ @ self.weights
        self.out, self.out_bias = net.coefs_[1][:, 0], net.intercepts_[1][0]

    def __call__(self, features):
        return numpy.maximum(features @ self.weights + self.bias, 0) @ self.out + self.out_bias


if __name__ == "__main__":
    import warnings

    warnings.filterwarnings("ignore", "Stochastic Optimizer")
    main()

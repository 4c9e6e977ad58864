#!/usr/bin/env python3
"""Expands the questions and templates of a folder into pairs: pairs.tsv beside them.

    python3 eval/cache/expand.py            writes heldout/pairs.tsv and training/pairs.tsv
    python3 eval/cache/expand.py --check    says whether they are as written, and whether training text is in the held-out set

A line: origin (hand, made), group, kind, 1 where one answer serves both, the two questions. Chance is seeded: the same files give
the same pairs. Exit: 0 good, 1 not.
"""

import itertools
import random
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Pairs of each sort that a template gives at most.
HELDOUT_EACH, TRAINING_EACH = 19, 60
# Two texts that share more of their words than this, names and numbers aside, are near duplicates.
NEAR = 0.9


def natural(path, dense):
    """Pairs of questions written by hand. `dense`: a near miss is paired with each wording, not with the first alone."""
    for number, block in enumerate(blocks(path)):
        same = [line[2:] for line in block if line[:2] in ("= ", "~ ")]
        group = f"q{number}"
        for one, other in itertools.combinations(same, 2):
            yield "hand", group, "reworded", 1, one, other
        for line in block:
            if line.startswith("! "):
                kind, text = line[2:].split(": ", 1)
                for one in same if dense else same[:1]:
                    yield "hand", group, kind, 0, one, text


def blocks(path):
    lines = [line.rstrip() for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    for full, block in itertools.groupby(lines, bool):
        if full:
            yield list(block)


def templates(path, each):
    """Pairs that the templates of a file give."""
    for block in blocks(path):
        group = block[0].removeprefix("template ")
        slots, same, misses = {}, [], []
        for line in block[1:]:
            if line[:2] in ("= ", "~ "):
                same.append(line[2:])
            elif line.startswith("! "):
                misses.append(tuple(line[2:].split(": ", 1)))
            else:
                name, values = line.split(" = ", 1)
                slots[name] = values.split(" | ")
        chance = random.Random(f"{path.parent.name}/{group}")
        seen = set()
        for label, forms in ((1, None), (0, misses)):
            for attempt in range(40 * each):
                if sum(1 for key in seen if key[0] == label) >= each:
                    break
                fill = {}
                for name, values in slots.items():
                    fill[name], fill[name + "2"] = chance.sample(values, 2)
                if label:
                    one, other = chance.sample(same, 2)
                    kind = "noise" if group.startswith("polite") and len(one) + len(other) > 110 else "reworded"
                else:
                    kind, other = misses[attempt % len(misses)]
                    one = nearest(other, same) if attempt % 4 else chance.choice(same)
                pair = (label, filled(one, fill), filled(other, fill))
                if pair not in seen and (label, pair[2], pair[1]) not in seen and pair[1] != pair[2]:
                    seen.add(pair)
                    yield "made", group, kind, label, pair[1], pair[2]


def nearest(text, forms):
    """The form with the most words in common, so that near misses are near."""
    words = set(text.split())
    return max(forms, key=lambda form: len(words & set(form.split())) / len(words | set(form.split())))


def filled(form, fill):
    text = re.sub(r"\{(\w+)\}", lambda slot: fill[slot[1]], form)
    return text[0].upper() + text[1:] if form[0] == "{" and not re.match(r"\{[fc]", form) and text[0].islower() else text


def bag(text):
    return frozenset(re.findall(r"\w+", text.lower()))


def overlap(training, heldout):
    """Training texts that are held-out texts or nearly so."""
    texts = {text for row in heldout for text in row[4:]}
    bags = [(bag(text), text) for text in texts]
    by_word = {}
    for place, (words, _) in enumerate(bags):
        for word in words:
            by_word.setdefault(word, set()).add(place)
    found = []
    for text in sorted({text for row in training for text in row[4:]}):
        words = bag(text)
        for place in set().union(*(by_word.get(word, set()) for word in words)) if words else ():
            other, whole = bags[place]
            if len(words & other) > NEAR * len(words | other):
                found.append((text, whole))
                break
    return found


def rows(folder, each, dense):
    pairs = list(natural(folder / "natural.txt", dense)) + list(templates(folder / "templates.txt", each))
    return pairs


def main():
    heldout = rows(HERE / "heldout", HELDOUT_EACH, dense=False)
    training = rows(HERE / "training", TRAINING_EACH, dense=True)
    doubled = {text for text, _ in overlap(training, heldout)}
    for text, whole in overlap(training, heldout):
        print(f"left out of training: {text!r} (held out: {whole!r})", file=sys.stderr)
    training = [row for row in training if row[4] not in doubled and row[5] not in doubled]
    good = True
    for name, pairs in (("heldout", heldout), ("training", training)):
        path = HERE / name / "pairs.tsv"
        text = "".join("\t".join(map(str, row)) + "\n" for row in pairs)
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text("utf-8") != text:
                print(f"{path.name} of {name} is not what expand.py writes", file=sys.stderr)
                good = False
        else:
            path.write_text(text, "utf-8")
        same = sum(row[3] for row in pairs)
        hand = sum(row[0] == "hand" for row in pairs)
        print(f"{name}: {len(pairs)} pairs, {same} the same, {len(pairs) - same} not, {hand} written by hand")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()

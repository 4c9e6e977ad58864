#!/usr/bin/env python3
"""The directions in which the embedding model's word vectors differ most: engine/stage/src/cache/verify/projection.bin.

    python3 eval/cache/projection.py         (needs eval/cache/requirements.txt, and the models of `make setup`)

The mean of all token vectors of the training questions (384 numbers in f32), then 64 directions of 384 bytes each, their principal
components. A word is kept as 64 bytes instead of 384 numbers.
"""

import os
from pathlib import Path

import numpy
import onnxruntime
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
OUT = HERE.parents[1] / "engine/stage/src/cache/verify/projection.bin"
DIRECTIONS = 64


def main():
    cache = Path(os.environ.get("WEIR_CACHE") or Path.home() / ".cache" / "weir") / "models/all-minilm-l6-v2"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(cache / "model.onnx"), options)
    wanted = {one.name for one in session.get_inputs()}
    tokenizer = Tokenizer.from_file(str(cache / "tokenizer.json"))
    tokenizer.no_padding()
    rows = (line.split("\t") for line in (HERE / "training/pairs.tsv").read_text("utf-8").splitlines())
    vectors = []
    for text in sorted({text for row in rows for text in row[4:]}):
        ids = numpy.array([tokenizer.encode(text).ids])
        inputs = {"input_ids": ids, "attention_mask": numpy.ones_like(ids), "token_type_ids": numpy.zeros_like(ids)}
        (output, *_) = session.run(None, {name: value for name, value in inputs.items() if name in wanted})
        tokens = output[0][1:-1]
        vectors.append(tokens / numpy.linalg.norm(tokens, axis=1, keepdims=True))
    vectors = numpy.concatenate(vectors)
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    values, directions = numpy.linalg.eigh(centred.T @ centred)
    order = numpy.argsort(values)[::-1][:DIRECTIONS]
    kept = directions[:, order].T
    kept *= numpy.sign(kept[numpy.arange(DIRECTIONS), numpy.abs(kept).argmax(axis=1)])[:, None]
    bytes_ = numpy.round(kept / numpy.abs(kept).max() * 127).astype(numpy.int8)
    OUT.write_bytes(mean.astype("<f4").tobytes() + bytes_.tobytes())
    print(f"{len(vectors)} tokens; {values[order].sum() / values.sum():.3f} of their variance kept; {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()

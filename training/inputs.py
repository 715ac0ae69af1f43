"""``python -m training.inputs CONFIG [--set KEY=VALUE …]``: are weights, tokenizer and data there, before a run begins?

Says where each comes from, in a line; exit 2 and a sentence when one is missing or does not fit the model.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from evidence import config_file
from evidence.spec import RunSpec, SpecError, resolve, typed
from training.errors import REFUSED, Refusal


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.inputs", description="Look for what a run needs.")
    parser.add_argument("config", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    options = parser.parse_args(arguments)
    try:
        pairs = (setting.partition("=") for setting in options.settings)
        overrides = {key: typed(key, value) for key, _, value in pairs}
        spec, _ = resolve(config_file.load(options.config)[0], overrides)
        for line in look(spec):
            print(line, flush=True)
    except (Refusal, SpecError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return REFUSED
    return 0


def look(spec: RunSpec) -> list[str]:
    """Where weights, tokenizer and data come from. Raises Refusal."""
    from training import batches, rows, tokenizer, weight_sources, weights

    folder = weights.find(spec)
    found = rows.read(spec.data)
    texts = (batches.prompt_text(row.prompt, spec.data.template) + row.answer for row in found.train)
    ids = tokenizer.load(spec, texts, folder)
    name = weight_sources.name_of(spec.weights)
    return [
        f"weights: {name}" + (f", in {folder}" if folder else ", drawn from the seed"),
        f"tokenizer: {ids.kind}, {ids.vocab_size:,} ids, sha256 {ids.sha256}",
        f"data: {len(found.train):,} training rows and {len(found.held_out):,} held out, from {spec.data.train_path}",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Capitals as a `jsonl` suite: a task that the smallest models can do.

  tests/quality/capitals.py FOLDER
  understudy eval jsonl --data FOLDER --model smollm2-135m --max-tokens 32 --out capitals.jsonl
"""

import json
import pathlib
import sys

QUESTIONS = {
    "plain": "What is the capital of {}?",
    "name": "Name the capital city of {}.",
    "travel": "I travel to {} next week. Which city is its capital?",
    "fill": "Complete the sentence: The capital of {} is",
}


def main(folder):
    table = pathlib.Path(__file__).with_name("capitals.tsv").read_text(encoding="utf-8").splitlines()
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "capitals.jsonl", "w", encoding="utf-8") as out:
        for country, capital in (line.split("\t") for line in table):
            for name, question in QUESTIONS.items():
                row = {"id": f"{country}/{name}", "prompt": question.format(country), "match": "contains"}
                out.write(json.dumps(row | {"expected": capital.split("|")}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Makes <model>.json: logits and greedy continuations of a float32 reference, for each GGUF model.

    pip install -r requirements.txt
    npm install --ignore-scripts node-llama-cpp@3.22.1 @node-llama-cpp/linux-x64@3.22.1   (in a folder of its own)
    NODE_PATH_LLAMA=<that folder> python make_vectors.py [model ...]

The tensors of the file are dequantized to float32 and put into the transformers implementation of the architecture
(eager attention, float32 throughout, activations never quantized). README.md describes the format.
"""

import random
import sys
import time

import gguf
import json

from common import (
    HERE, MODELS, llama_tokenize, load_reference, made_with, metadata, model_path, render_chat, sha256_of, vectors_for,
    write_json,
)

# Gemma's base model carries no chat template, but its vocabulary has the turn tokens.
GEMMA_TURNS = (
    "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else 'user' }}\n{{ m.content }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def long_text(characters, seed):
    """A deterministic, varied report: sentences, figures, lists, code and tables that refer back to each other."""
    rng = random.Random(seed)
    people = ["Amara", "Björn", "Chiyo", "Dmitri", "Esperanza", "Farid", "Greta", "Hassan", "Ingrid", "José"]
    places = ["the north dock", "Kraków", "the glasshouse", "bay 12", "São Paulo", "the old mill", "the archive"]
    things = ["pump", "ledger", "telescope", "grain sample", "relay", "loom", "seismograph", "kiln", "turbine"]
    verbs = ["inspected", "repaired", "misplaced", "photographed", "weighed", "sold", "painted", "dismantled"]
    moods = ["without complaint", "in heavy rain", "for the third time", "by candlelight", "against all advice"]
    parts, size, n = [], 0, 0
    while size < characters:
        n += 1
        who, where, thing, verb = rng.choice(people), rng.choice(places), rng.choice(things), rng.choice(verbs)
        kind = rng.randrange(7)
        if kind <= 2:
            text = f"{who} {verb} the {thing} at {where} {rng.choice(moods)}, and noted a reading of {rng.uniform(0, 99):.2f}. "
        elif kind == 3:
            text = f"\n\n## Day {n}\n\n- {thing}: {rng.randrange(2000)} kg\n- keeper: {who}\n- state: *{rng.choice(moods)}*\n\n"
        elif kind == 4:
            text = f"\n```python\ndef check_{thing.replace(' ', '_')}_{n}(value):\n    return value * {rng.randrange(2, 50)} > {rng.randrange(500)}\n```\n"
        elif kind == 5:
            text = f"\"Who {verb} my {thing}?\" asked {who}. \"It was in {where} only {rng.randrange(2, 60)} minutes ago!\" "
        else:
            text = f"\n| {who} | {thing} | {rng.randrange(100)} % |\n"
        parts.append(text)
        size += len(text)
    return "".join(parts) + "\n\nIn summary, the keeper of the last item was"


def prompt_text(prompt, template):
    """The text of a prompt, and whether the text of control tokens in it stands for them."""
    if "messages" in prompt:
        return render_chat(template, prompt["messages"], True), True
    if "generate" in prompt:
        return long_text(**prompt["generate"]), False
    return prompt["text"], False


def main():
    prompts = json.loads((HERE / "prompts.json").read_text(encoding="utf-8"))
    for name in sys.argv[1:] or MODELS:
        start = time.time()
        path = model_path(name)
        meta = metadata(gguf.GGUFReader(path))
        texts = [prompt_text(p, meta.get("tokenizer.chat_template", GEMMA_TURNS)) for p in prompts]
        _, ids = llama_tokenize(path, texts)
        if meta["tokenizer.ggml.add_bos_token"]:
            ids = [[meta["tokenizer.ggml.bos_token_id"]] + i for i in ids]
        print(name, {p["name"]: len(i) for p, i in zip(prompts, ids)}, flush=True)
        model = load_reference(path)
        out = []
        for prompt, (text, _), i in zip(prompts, texts, ids):
            steps = 8 if prompt["name"] == "long" else 24
            out.append({"name": prompt["name"], "text": text, "ids": i} | vectors_for(model, i, steps))
        write_json(
            HERE / f"{name}.json",
            {"model": name, "file_sha256": sha256_of(path), "made_with": made_with(), "prompts": out},
        )
        print(f"  {time.time() - start:.0f} s", flush=True)
        del model


if __name__ == "__main__":
    main()

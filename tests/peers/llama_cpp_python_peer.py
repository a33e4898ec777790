#!/usr/bin/env python3
"""llama.cpp through the llama-cpp-python package: one line of JSON like candle-peer prints.

llama_cpp_python_peer.py FILE [PROMPT_TOKENS] [GEN_TOKENS] [DEPTH] [THREADS]

It calls the C API directly, as llama-bench does: no sampling, logits of the last token only. Decode starts after
DEPTH tokens, by default after the prompt. The context holds exactly what the run needs, in the library's defaults.
"""

import json
import os
import sys
import time

import llama_cpp as api

UBATCH = 512


def main():
    file = sys.argv[1]
    numbers = [int(text) for text in sys.argv[2:6]]
    prompt, gen = (numbers + [512, 64][len(numbers):])[:2]
    depth = numbers[2] if len(numbers) > 2 else prompt
    threads = numbers[3] if len(numbers) > 3 else os.cpu_count()

    silent = api.llama_log_callback(lambda _level, _text, _data: None)
    api.llama_log_set(silent, None)
    api.llama_backend_init()
    model = api.llama_model_load_from_file(file.encode(), api.llama_model_default_params())
    if not model:
        sys.exit(f"cannot load {file}")
    params = api.llama_context_default_params()
    params.n_ctx = max(prompt, depth + gen)
    params.n_batch = params.n_ubatch = UBATCH
    params.n_threads = params.n_threads_batch = threads
    context = api.llama_init_from_model(model, params)
    if not context:
        sys.exit("cannot make a context")

    vocabulary = api.llama_vocab_n_tokens(api.llama_model_get_vocab(model))
    ids = [(1000 + index * 37 % 5000) % vocabulary for index in range(max(prompt, depth, 1))]

    def start_with(count):
        """Seconds that `count` tokens take from an empty cache."""
        api.llama_memory_clear(api.llama_get_memory(context), True)
        started = time.perf_counter()
        for at in range(0, count, UBATCH):
            feed(context, ids[at:min(at + UBATCH, count)])
        return time.perf_counter() - started

    start_with(prompt)  # touches every page of the file and of the buffers
    prefill = start_with(prompt)
    start_with(depth)
    started = time.perf_counter()
    for step in range(gen):
        feed(context, [ids[step % len(ids)]])
    decode = time.perf_counter() - started
    print(json.dumps({
        "engine": "llama-cpp-python", "version": api.__version__,
        "prefill_tok_s": round(prompt / prefill, 2), "decode_tok_s": round(gen / decode, 2),
    }))


def feed(context, ids):
    tokens = (api.llama_token * len(ids))(*ids)
    if api.llama_decode(context, api.llama_batch_get_one(tokens, len(ids))) != 0:
        sys.exit("llama_decode failed")
    api.llama_synchronize(context)


if __name__ == "__main__":
    main()

"""Makes tiny-qwen3.gguf, a random Qwen3 model small enough to commit, and its vectors tiny-qwen3.json,
tokenizer-tiny-qwen3.json and chat-tiny-qwen3.json. Set up as for make_vectors.py.

The tensors mix F32, F16, Q8_0, Q5_0, Q4_1 and Q4_0; the reference is computed from the dequantized tensors.
head_dim * heads differs from the hidden size, and the norms of q and k have weights other than one.
"""

import json

import gguf
import numpy as np
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from common import HERE, llama_tokenize, load_reference, made_with, metadata, sha256_of, vectors_for, write_json
from make_tokenizer_vectors import CONTROL, NORMAL, QWEN2_SPLIT, UNUSED, chats, load_cases, upstream
from make_vectors import long_text, prompt_text

NAME = "tiny-qwen3"
VOCAB, MERGES, HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FFN = 512, 240, 64, 3, 4, 2, 32, 128
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
T = gguf.GGMLQuantizationType
# The type of each weight, by layer.
TYPES = {
    "attn_q": [T.F16, T.Q8_0, T.Q5_0],
    "attn_k": [T.F32, T.Q4_1, T.Q8_0],
    "attn_v": [T.Q8_0, T.F16, T.Q4_0],
    "attn_output": [T.Q5_0, T.Q4_0, T.F32],
    "ffn_gate": [T.Q4_0, T.Q5_0, T.Q4_1],
    "ffn_up": [T.Q4_1, T.F32, T.Q4_0],
    "ffn_down": [T.Q8_0, T.Q4_1, T.F16],
}


def train_bpe(prompts):
    """256 byte tokens and MERGES merges, learned from the texts of prompts.json."""
    text = [prompt_text(p, CHATML)[0] for p in prompts if p["name"] != "chat"] + [long_text(20000, 11)]
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator(
        text,
        trainers.BpeTrainer(
            vocab_size=len(alphabet) + MERGES, initial_alphabet=alphabet, special_tokens=[], show_progress=False
        ),
    )
    model = json.loads(tok.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    assert len(tokens) == 256 + MERGES == 256 + len(merges), (len(tokens), len(merges))
    return tokens, merges


def main():
    prompts = json.loads((HERE / "prompts.json").read_text(encoding="utf-8"))
    path = HERE / f"{NAME}.gguf"
    tokens, merges = train_bpe(prompts)
    first = len(tokens)
    tokens += SPECIALS
    types = [NORMAL] * first + [CONTROL] * len(SPECIALS)
    while len(tokens) < VOCAB:
        tokens.append(f"[PAD{len(tokens)}]")
        types.append(UNUSED)

    w = gguf.GGUFWriter(path, "qwen3")
    w.add_name("Understudy tiny random Qwen3")
    w.add_license("apache-2.0")
    w.add_context_length(4096)
    w.add_embedding_length(HIDDEN)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(FFN)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_key_length(HEAD_DIM)
    w.add_value_length(HEAD_DIM)
    w.add_rope_freq_base(10000.0)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges(merges)
    w.add_bos_token_id(first)
    w.add_pad_token_id(first)
    w.add_eos_token_id(first + SPECIALS.index("<|im_end|>"))
    w.add_add_bos_token(False)
    w.add_chat_template(CHATML)

    rng = np.random.default_rng(20240607)

    def add(name, data, kind):
        data = data.astype(np.float32)
        w.add_tensor(name, gguf.quants.quantize(data, kind), raw_dtype=kind)

    def matrix(name, rows, cols, kind, gain=1.0):
        add(name, rng.standard_normal((rows, cols)) * gain / np.sqrt(cols), kind)

    def norm(name, size, low, high):
        add(name, rng.uniform(low, high, size), T.F32)

    add("token_embd.weight", rng.standard_normal((VOCAB, HIDDEN)), T.Q8_0)
    for i in range(LAYERS):
        kind = lambda part: TYPES[part][i]
        norm(f"blk.{i}.attn_norm.weight", HIDDEN, 0.6, 1.4)
        matrix(f"blk.{i}.attn_q.weight", HEADS * HEAD_DIM, HIDDEN, kind("attn_q"))
        matrix(f"blk.{i}.attn_k.weight", KV_HEADS * HEAD_DIM, HIDDEN, kind("attn_k"))
        matrix(f"blk.{i}.attn_v.weight", KV_HEADS * HEAD_DIM, HIDDEN, kind("attn_v"))
        matrix(f"blk.{i}.attn_output.weight", HIDDEN, HEADS * HEAD_DIM, kind("attn_output"))
        norm(f"blk.{i}.attn_q_norm.weight", HEAD_DIM, 0.5, 2.0)
        norm(f"blk.{i}.attn_k_norm.weight", HEAD_DIM, 0.5, 2.0)
        norm(f"blk.{i}.ffn_norm.weight", HIDDEN, 0.6, 1.4)
        matrix(f"blk.{i}.ffn_gate.weight", FFN, HIDDEN, kind("ffn_gate"))
        matrix(f"blk.{i}.ffn_up.weight", FFN, HIDDEN, kind("ffn_up"))
        matrix(f"blk.{i}.ffn_down.weight", HIDDEN, FFN, kind("ffn_down"), 2.0)
    norm("output_norm.weight", HIDDEN, 0.6, 1.4)
    matrix("output.weight", VOCAB, HIDDEN, T.F16, 3.0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    print(f"{path.name}: {path.stat().st_size} bytes")

    reader = gguf.GGUFReader(path)
    meta = metadata(reader)
    model = load_reference(path)
    texts = [prompt_text(p, CHATML) for p in prompts]
    version, ids = llama_tokenize(path, texts)
    out = []
    for prompt, (text, _), i in zip(prompts, texts, ids):
        steps = 8 if prompt["name"] == "long" else 24
        out.append({"name": prompt["name"], "text": text, "ids": i} | vectors_for(model, i, steps))
    write_json(
        HERE / f"{NAME}.json", {"model": NAME, "file_sha256": sha256_of(path), "made_with": made_with(), "prompts": out}
    )

    cases = load_cases()
    _, ids = llama_tokenize(path, cases)
    plain, parsing = upstream(reader)
    both = [
        {"text": text, "ids": got, "special": special}
        for (text, special), got in zip(cases, ids)
        if got == (parsing if special else plain)(text)
    ]
    print(f"{len(both)} of {len(cases)} tokenizer cases agree")
    write_json(
        HERE / f"tokenizer-{NAME}.json",
        {
            "model": NAME,
            "made_with": {"llama_cpp": version},
            "bos_id": meta["tokenizer.ggml.bos_token_id"],
            "eos_id": meta["tokenizer.ggml.eos_token_id"],
            "add_bos": meta["tokenizer.ggml.add_bos_token"],
            "notes": "Cases on which llama.cpp and the upstream definition of Qwen2's tokenizer agree.",
            "cases": both,
        },
    )
    chats(NAME, meta)


if __name__ == "__main__":
    main()

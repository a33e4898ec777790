"""Shared by the scripts in this folder: where the models are, and a float32 reference model from a GGUF file."""

import hashlib
import json
import os
import random
import subprocess
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers

HERE = Path(__file__).resolve().parent
MODELS_DIR = Path(os.environ.get("UNDERSTUDY_MODELS", Path.home() / ".local/share/understudy/models"))

MODELS = {
    "smollm2-135m": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "qwen2.5-coder-0.5b": "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    "qwen2.5-coder-1.5b": "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    "gemma-3-270m": "gemma-3-270m-q4_k_m.gguf",
}


def model_path(name):
    return MODELS_DIR / name / MODELS[name]


def sha256_of(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def made_with():
    return {
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
        "gguf": "0.19.0",
        "dtype": "float32",
    }


def round6(x):
    """Six significant digits, as a plain Python number."""
    return float(f"{float(x):.6g}")


def write_json(path, value):
    path = Path(path)
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{path.name}: {path.stat().st_size} bytes", flush=True)


def metadata(reader):
    """Every key of a GGUF file but the long arrays of the vocabulary."""
    big = {"tokenizer.ggml.tokens", "tokenizer.ggml.scores", "tokenizer.ggml.token_type", "tokenizer.ggml.merges"}
    return {k: f.contents() for k, f in reader.fields.items() if k not in big}


def llama_tokenize(path, cases):
    """Token ids of [(text, special), ...] by llama.cpp's tokenizer. Returns (version, ids)."""
    stdin = json.dumps([{"text": text, "special": special} for text, special in cases])
    done = subprocess.run(
        ["node", str(HERE / "llama_tokenize.mjs"), str(path)], input=stdin, capture_output=True, text=True, check=True
    )
    out = json.loads(done.stdout)
    return out["version"], out["ids"]


def chat_environment():
    """The environment that transformers sets up for chat templates."""
    from datetime import datetime

    import jinja2
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda fmt: datetime.now().strftime(fmt)
    return env


def render_chat(template, messages, add_generation_prompt, meta_tokens=None, tools=None):
    """Renders a chat template."""
    return chat_environment().from_string(template).render(
        messages=messages,
        add_generation_prompt=add_generation_prompt,
        **({"tools": tools} if tools else {}),
        **(meta_tokens or {}),
    )


# --- the reference model -------------------------------------------------------------------------------------------

_LAYER_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
# What GGUF calls the norm before the feed-forward block, and gemma's norms after the blocks.
_NORMS = {
    "gemma3": {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
    None: {"ffn_norm": "post_attention_layernorm"},
}


def hf_name(gguf_name, arch):
    if gguf_name in _TOP_NAMES:
        return _TOP_NAMES[gguf_name]
    _, layer, part, kind = gguf_name.split(".")
    names = _LAYER_NAMES | _NORMS.get(arch, _NORMS[None])
    return f"model.layers.{layer}.{names[part]}.{kind}"


def hf_config(reader):
    """The transformers configuration that the metadata of a GGUF file describes."""
    meta = metadata(reader)
    arch = meta["general.architecture"]
    get = lambda key, default=None: meta.get(f"{arch}.{key}", default)
    tensors = {t.name: t for t in reader.tensors}
    heads = get("attention.head_count")
    common = dict(
        vocab_size=int(tensors["token_embd.weight"].shape[1]),
        hidden_size=get("embedding_length"),
        intermediate_size=get("feed_forward_length"),
        num_hidden_layers=get("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=get("attention.head_count_kv"),
        max_position_embeddings=get("context_length"),
        rms_norm_eps=get("attention.layer_norm_rms_epsilon"),
        tie_word_embeddings="output.weight" not in tensors,
        attn_implementation="eager",
    )
    head_dim = get("attention.key_length", get("embedding_length") // heads)
    theta = get("rope.freq_base")
    rope = {"rope_type": "default", "rope_theta": theta}
    if arch == "llama":
        config = transformers.LlamaConfig(head_dim=head_dim, rope_parameters=rope, **common)
        return config, transformers.LlamaForCausalLM
    if arch == "qwen2":
        config = transformers.Qwen2Config(rope_parameters=rope, **common)
        return config, transformers.Qwen2ForCausalLM
    if arch == "qwen3":
        config = transformers.Qwen3Config(head_dim=head_dim, rope_parameters=rope, **common)
        return config, transformers.Qwen3ForCausalLM
    if arch == "gemma3":
        # Neither the local rope base nor the pattern (every sixth layer is global) is in the file's metadata.
        config = transformers.Gemma3TextConfig(
            head_dim=head_dim,
            query_pre_attn_scalar=head_dim,
            sliding_window=get("attention.sliding_window"),
            layer_types=[
                "full_attention" if (i + 1) % 6 == 0 else "sliding_attention" for i in range(common["num_hidden_layers"])
            ],
            rope_parameters={
                "full_attention": rope,
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
            **common,
        )
        return config, transformers.Gemma3ForCausalLM
    raise SystemExit(f"no reference for architecture {arch}")


def load_reference(path):
    """A transformers model in float32 that holds the dequantized tensors of a GGUF file."""
    reader = gguf.GGUFReader(path)
    config, cls = hf_config(reader)
    arch = metadata(reader)["general.architecture"]
    torch.manual_seed(0)
    model = cls(config).eval()
    assert config._attn_implementation == "eager" and model.dtype == torch.float32
    params = dict(model.named_parameters())
    left = set(params)
    with torch.no_grad():
        for t in reader.tensors:
            if t.name == "rope_freqs.weight":
                raise SystemExit("rope_freqs are not handled")
            w = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32, copy=False)
            w = w.reshape(tuple(int(d) for d in reversed(t.shape)))
            if arch == "llama" and t.name.endswith((".attn_q.weight", ".attn_k.weight")):
                # The converter interleaves the two rotary halves of each head; put them back.
                heads = config.num_attention_heads if ".attn_q." in t.name else config.num_key_value_heads
                w = w.reshape(heads, w.shape[0] // heads // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)
            if arch == "gemma3" and t.name.endswith("norm.weight"):
                w = w - np.float32(1)  # stored as 1 + w; transformers adds the 1 itself
            name = hf_name(t.name, arch)
            params[name].copy_(torch.tensor(w))
            left.discard(name)
    assert not left, f"tensors missing in {path}: {sorted(left)}"
    return model


# --- the vectors ---------------------------------------------------------------------------------------------------


def probe_ids(vocab_size):
    """32 fixed vocabulary ids."""
    return sorted(random.Random(20240607).sample(range(vocab_size), 32))


def check_positions(n):
    """About eight positions spread over a prompt of n tokens, the first and the last among them."""
    return sorted({round(i * (n - 1) / 7) for i in range(8)})


@torch.no_grad()
def vectors_for(model, ids, greedy_steps):
    """The `checks`, `greedy*` fields for one prompt, with a self-check of the cached decoding."""
    probes = probe_ids(model.config.vocab_size)
    positions = check_positions(len(ids))
    x = torch.tensor([ids])
    out = model(x, use_cache=True, logits_to_keep=torch.tensor(positions))
    checks = []
    for p, row in zip(positions, out.logits[0]):
        top = torch.topk(row, 5)
        checks.append(
            {
                "pos": p,
                "top5": [[int(i), round6(v)] for v, i in zip(top.values, top.indices)],
                "probe": [[i, round6(row[i])] for i in probes],
                "min": round6(row.min()),
                "max": round6(row.max()),
            }
        )
    greedy, gaps, ranges, rows = [], [], [], []
    row, cache = out.logits[0, -1], out.past_key_values
    for _ in range(greedy_steps):
        rows.append(row)
        top = torch.topk(row, 2)
        greedy.append(int(top.indices[0]))
        gaps.append(round6(top.values[0] - top.values[1]))
        ranges.append(round6(row.max() - row.min()))
        out = model(torch.tensor([[greedy[-1]]]), past_key_values=cache, use_cache=True)
        row, cache = out.logits[0, -1], out.past_key_values
    # The same logits from one pass without a cache.
    again = model(torch.tensor([ids + greedy[:-1]]), use_cache=False, logits_to_keep=greedy_steps).logits[0]
    worst = max(float((a - b).abs().max()) for a, b in zip(again, rows))
    assert worst < 5e-3, f"cached and uncached decoding differ by {worst}"
    print(f"  {len(ids)} tokens, cached vs uncached {worst:.1e}", flush=True)
    return {"checks": checks, "greedy": greedy, "greedy_gap": gaps, "greedy_range": ranges}

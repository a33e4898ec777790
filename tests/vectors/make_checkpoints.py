"""Makes checkpoints/: tiny random models as model hubs store them, each with logits and token ids by transformers and
tokenizers. Set up as for make_vectors.py.

Between them they have F32, F16 and BF16 weights, one file and shards, GPTQ and AWQ, settings as older and as newer
versions of transformers write them, and the four families. All norms and biases differ from their usual start.
"""

import json
import shutil

import safetensors.torch
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from common import HERE, made_with, vectors_for, write_json
from make_tokenizer_vectors import QWEN2_SPLIT

OUT = HERE / "checkpoints"
HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN = 32, 2, 1, 16, 64
TEXTS = [
    "Once upon a time the keeper counted forty-one steps.",
    "fn main() { println!(\"{}\", 1 + 22); }\n\n\tlet café = 'naïve';  // e\u0301 is not é",
    "日本語 and 🚀 tokens, twice: tokens tokens <|im_end|> end<end_of_turn>",
]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def corpus():
    return [text for text in TEXTS for _ in range(3)] + ["the then there tokens token steps main let counted " * 4]


def byte_level(specials, normalizer, begin=None):
    """As Qwen's and Llama 3's: bytes in GPT-2's alphabet, and a few merges."""
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizer
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tok.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator(
        corpus(), trainers.BpeTrainer(vocab_size=256 + 24, initial_alphabet=alphabet, show_progress=False)
    )
    tok.add_special_tokens(specials)
    if begin:
        tok.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(
                    single=f"{begin} $A", pair=f"{begin} $A {begin} $B", special_tokens=[(begin, tok.token_to_id(begin))]
                ),
            ]
        )
    return tok


def byte_fallback():
    """As Gemma's: pieces with U+2581 for a space, and bytes for what they do not spell."""
    trained = Tokenizer(models.BPE())
    trained.train_from_iterator(
        [text.replace(" ", "\u2581") for text in corpus() if text.isascii()],
        trainers.BpeTrainer(vocab_size=84, show_progress=False),
    )
    model = json.loads(trained.to_str())["model"]
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    pieces += sorted(model["vocab"], key=model["vocab"].get)
    vocab = {piece: at for at, piece in enumerate(pieces)}
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]]
    tok = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.normalizer = normalizers.Replace(" ", "\u2581")
    tok.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tok.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tok.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"])
    tok.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 2)]
    )
    return tok


def randomize(model, dtype):
    """Weights that the type holds, as float32."""
    generator = torch.Generator().manual_seed(20240607)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim == 2:
                gain = 1.0 if "embed" in name else value.shape[1] ** -0.5 * (3.0 if "lm_head" in name else 1.5)
                new = torch.randn(value.shape, generator=generator) * gain
            elif name.endswith("bias"):
                new = torch.randn(value.shape, generator=generator) * 0.3
            else:
                new = torch.rand(value.shape, generator=generator) * 0.8 - (0.4 if "Gemma" in type(model).__name__ else -0.6)
            value.copy_(new.to(dtype).float())
    return model.eval()


def rounded(weight, group, symmetric):
    """4-bit numbers, zero points and scales of a weight, for each output and group of inputs."""
    outputs, inputs = weight.shape
    groups = weight.reshape(outputs, inputs // group, group)
    if symmetric:
        scales = (groups.abs().amax(-1) / 7.5).half()
        zeros = torch.full_like(scales, 8)
    else:
        low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
        scales = ((high - low) / 15).half()
        zeros = (-low / scales.float()).round().clamp(1, 15)
    scales, zeros = scales.float(), zeros.float()
    quants = (groups / scales[..., None] + zeros[..., None]).round().clamp(0, 15)
    exact = ((quants - zeros[..., None]) * scales[..., None]).reshape(outputs, inputs)
    return quants.reshape(outputs, inputs).int(), zeros.int(), scales.half(), exact


def packed(numbers, order=range(8)):
    """Eight numbers of the last dimension in a word, the first of `order` lowest."""
    eights = numbers.reshape(*numbers.shape[:-1], -1, 8).long()
    words = sum(eights[..., at] << (4 * nibble) for nibble, at in enumerate(order))
    return (words - ((words >> 31) << 32)).int()


def four_bit(model, method, group):
    """Tensors of a quantized checkpoint; the model then holds exactly what they mean."""
    tensors = {}
    for name, value in model.state_dict().items():
        if not name.startswith("model.layers.") or value.ndim != 2:
            tensors[name] = value.half()
            continue
        base = name.removesuffix(".weight")
        symmetric = method == "gptq" and ".layers.0." in name
        quants, zeros, scales, exact = rounded(value, group, symmetric)
        value.copy_(exact)
        if method == "gptq":
            tensors[f"{base}.qweight"] = packed(quants).T
            tensors[f"{base}.qzeros"] = packed(zeros.T - 1)
            tensors[f"{base}.g_idx"] = (torch.arange(value.shape[1]) // group).int()
        else:
            order = [0, 2, 4, 6, 1, 3, 5, 7]
            tensors[f"{base}.qweight"] = packed(quants.T, order)
            tensors[f"{base}.qzeros"] = packed(zeros.T, order)
        tensors[f"{base}.scales"] = scales.T
    return {name: value.contiguous().clone() for name, value in tensors.items()}


def write(name, model, dtype, tok, tokenizer_config, older=None, shards=None, quantized=None):
    """A checkpoint and its vectors. `older` replaces `rope_parameters`, `quantized` is (settings, method)."""
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = json.loads(model.config.to_json_string())
    if older:
        config.pop("rope_parameters")
        config |= older
    if quantized:
        config["quantization_config"] = quantized[0]
        tensors = four_bit(model, quantized[1], quantized[0]["group_size"])
    else:
        tied = model.config.tie_word_embeddings
        tensors = {k: v.to(dtype).clone() for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")}
    if shards:
        names = sorted(tensors)
        files = [f"model-{at + 1:05}-of-{shards:05}.safetensors" for at in range(shards)]
        places = {tensor: files[at * shards // len(names)] for at, tensor in enumerate(names)}
        for file in files:
            part = {k: v for k, v in tensors.items() if places[k] == file}
            safetensors.torch.save_file(part, folder / file, metadata={"format": "pt"})
        write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})
    else:
        safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", config)
    tok.save(str(folder / "tokenizer.json"), pretty=False)
    write_json(folder / "tokenizer_config.json", tokenizer_config)

    encoded = [tok.encode(text).ids for text in TEXTS]
    write_json(
        OUT / f"{name}.json",
        {
            "model": name,
            "made_with": made_with(),
            "tokens": [{"text": text, "ids": ids} for text, ids in zip(TEXTS, encoded)],
            "prompts": [
                {"name": f"text{at}", "text": text, "ids": ids} | vectors_for(model, ids, 12)
                for at, (text, ids) in enumerate(zip(TEXTS, encoded))
            ],
        },
    )


def common(vocab, layers=2, **more):
    return dict(
        vocab_size=vocab,
        hidden_size=HIDDEN,
        intermediate_size=FFN,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=256,
        rms_norm_eps=1e-6,
        attn_implementation="eager",
        **more,
    )


@torch.no_grad()
def main():
    chatml = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    qwen = byte_level(chatml, normalizers.NFC())
    qwen_config = {"add_bos_token": False, "bos_token": None, "eos_token": "<|im_end|>", "chat_template": CHATML}
    llama = byte_level(["<|begin_of_text|>", "<|eot_id|>"], None, "<|begin_of_text|>")
    llama_config = {"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|eot_id|>"}}
    gemma = byte_fallback()
    # Rows of the embedding that no token has.
    qwen_vocab, llama_vocab, gemma_vocab = 288, 288, (gemma.get_vocab_size() + 7) // 8 * 8

    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    def llama_model(**more):
        config = transformers.LlamaConfig(
            head_dim=HEAD_DIM,
            rope_parameters=scaling | {"rope_theta": 500.0},
            **common(llama_vocab, **more),
        )
        return transformers.LlamaForCausalLM(config)

    older = {"rope_theta": 500.0, "rope_scaling": scaling}
    model = randomize(llama_model(tie_word_embeddings=False), torch.float16)
    write("tiny-llama", model, torch.float16, llama, llama_config, older=older, shards=2)

    def qwen2_model():
        config = transformers.Qwen2Config(
            rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
            **common(qwen_vocab, tie_word_embeddings=True),
        )
        return transformers.Qwen2ForCausalLM(config)

    write("tiny-qwen2", randomize(qwen2_model(), torch.bfloat16), torch.bfloat16, qwen, qwen_config)

    config = transformers.Qwen3Config(
        head_dim=24,
        rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0},
        **common(qwen_vocab, tie_word_embeddings=False),
    )
    model = randomize(transformers.Qwen3ForCausalLM(config), torch.float32)
    write("tiny-qwen3", model, torch.float32, qwen, qwen_config)

    kinds = ["full_attention" if (layer + 1) % 6 == 0 else "sliding_attention" for layer in range(7)]
    config = transformers.Gemma3TextConfig(
        head_dim=HEAD_DIM,
        query_pre_attn_scalar=HEAD_DIM,
        sliding_window=8,
        layer_types=kinds,
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 50000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
        **common(gemma_vocab, layers=7, tie_word_embeddings=True),
    )
    model = randomize(transformers.Gemma3ForCausalLM(config), torch.bfloat16)
    write("tiny-gemma3", model, torch.bfloat16, gemma, {"bos_token": "<bos>", "eos_token": "<eos>", "add_bos_token": True})

    gptq = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "sym": False}
    model = randomize(qwen2_model(), torch.float16)
    write("tiny-qwen2-gptq", model, torch.float16, qwen, qwen_config, quantized=(gptq, "gptq"))

    awq = {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}
    model = randomize(llama_model(tie_word_embeddings=True), torch.float16)
    write("tiny-llama-awq", model, torch.float16, llama, llama_config, older=older, quantized=(awq, "awq"))


if __name__ == "__main__":
    main()

"""Makes minilm.json: token ids and sentence embeddings of all-MiniLM-L6-v2 (float32, mean over the tokens, then L2
normalised). Needs all-minilm-l6-v2/{config.json,model.safetensors,tokenizer.json} in the models folder."""

import safetensors.torch
import torch
import transformers
from tokenizers import Tokenizer

from common import HERE, MODELS_DIR, made_with, round6, sha256_of, write_json

SENTENCES = [
    "How many singers are older than thirty?",
    "Count the vocalists whose age exceeds 30.",
    "The kiln at the old mill cracked during the frost.",
    "fn main() { println!(\"{}\", 1 + 2); }",
    "Ångström café, naïve résumé: ÜBER-große Maße — 3.14 €!",
    "日本語と中文 mixed with English, and an emoji 🚀 that the vocabulary lacks.",
    "a",
    "Supervision trees restart a failed worker without taking the whole system down; a restart that happens too often "
    "within a window of time is escalated to the parent, which then decides whether to restart a larger part of the "
    "tree or to give up, and an operator reading the log afterwards should be able to see which of these happened and "
    "why, in order, with the time of each attempt.",
]


@torch.no_grad()
def main():
    folder = MODELS_DIR / "all-minilm-l6-v2"
    config = transformers.BertConfig.from_json_file(folder / "config.json")
    config._attn_implementation = "eager"
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    result = model.load_state_dict({k.removeprefix("bert."): v.float() for k, v in weights.items()}, strict=False)
    assert not result.missing_keys, result
    print("not used:", result.unexpected_keys)
    tok = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tok.no_padding()
    tok.no_truncation()
    out = []
    for text in SENTENCES:
        ids = tok.encode(text).ids
        hidden = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        vector = torch.nn.functional.normalize(hidden.mean(0), dim=0)
        out.append({"text": text, "ids": ids, "embedding": [round6(v) for v in vector]})
    write_json(
        HERE / "minilm.json",
        {
            "model": "all-minilm-l6-v2",
            "file_sha256": sha256_of(folder / "model.safetensors"),
            "made_with": made_with(),
            "pooling": "mean, L2 normalised",
            "sentences": out,
        },
    )


if __name__ == "__main__":
    main()

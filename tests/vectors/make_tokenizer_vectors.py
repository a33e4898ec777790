"""Makes tokenizer-<model>.json and chat-<model>.json for the GGUF models. Set up as for make_vectors.py.

Two references that share no code tokenize every case of tokenizer_cases.json:
 1. llama.cpp's tokenizer, on the GGUF file itself (llama_tokenize.mjs);
 2. the upstream definition of the tokenizer: for byte-level BPE the normalizer and pre-tokenizer that the model's
    authors published, run by the `tokenizers` library; for gemma the `sentencepiece` library.
A case goes into `cases` when both agree. Otherwise it goes, with both answers, into `disputed`, which is there to be
read and not to be tested against.
"""

import json
import re
import sys
import unicodedata

import gguf
import jinja2
import jinja2.meta
import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as spm
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from common import HERE, MODELS, chat_environment, llama_tokenize, metadata, model_path, render_chat, write_json

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def load_cases():
    """[(text, special)] from tokenizer_cases.json; a bare string does not parse control tokens."""
    out = []
    for case in json.loads((HERE / "tokenizer_cases.json").read_text(encoding="utf-8")):
        if isinstance(case, str):
            case = {"text": case}
        text = case["repeat"] * case["times"] if "repeat" in case else case["text"]
        out.append((text, case.get("special", False)))
    return out


def byte_level(vocab, merges, pre):
    """The upstream tokenizer of SmolLM2 and of Qwen2, without its added tokens."""
    tok = Tokenizer(models.BPE(vocab, merges))
    if pre == "smollm":
        tok.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    elif pre == "qwen2":
        tok.normalizer = normalizers.NFC()
        tok.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    else:
        raise SystemExit(f"no upstream definition for pre-tokenizer {pre}")
    return lambda text: tok.encode(text, add_special_tokens=False).ids


def sentence_piece(tokens, scores, types):
    """A sentencepiece model with the pieces of the file: no normalization, no dummy prefix, byte fallback."""
    model = spm.ModelProto()
    kinds = {NORMAL: 1, UNKNOWN: 2, CONTROL: 3, USER_DEFINED: 4, UNUSED: 5, BYTE: 6}
    for i, (token, score, kind) in enumerate(zip(tokens, scores, types)):
        kind = UNKNOWN if token == "<unk>" else kind
        piece = token.replace(" ", "\u2581")
        model.pieces.append(spm.ModelProto.SentencePiece(piece=piece, score=score, type=kinds[kind]))
    model.trainer_spec.model_type = spm.TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.vocab_size = len(tokens)
    model.trainer_spec.unk_id = tokens.index("<unk>")
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = True
    sp = sentencepiece.SentencePieceProcessor()
    sp.LoadFromSerializedProto(model.SerializeToString())
    return lambda text: sp.EncodeAsIds(text)


def with_added_tokens(encode, added):
    """Cuts `added` tokens out of the text before the rest is encoded, the leftmost and then the longest first."""
    if not added:
        return encode
    pattern = re.compile("|".join(re.escape(t) for t in sorted(added, key=len, reverse=True)))

    def run(text):
        ids, at = [], 0
        for m in pattern.finditer(text):
            ids += encode(text[at : m.start()]) if m.start() > at else []
            ids.append(added[m.group()])
            at = m.end()
        return ids + (encode(text[at:]) if at < len(text) else [])

    return run


def upstream(reader):
    """(encode without control tokens, encode with them) by the upstream definition."""
    field = lambda key: reader.fields[f"tokenizer.ggml.{key}"].contents()
    tokens, types, kind = field("tokens"), field("token_type"), field("model")
    of = lambda *wanted: {t: i for i, (t, k) in enumerate(zip(tokens, types)) if k in wanted}
    if kind == "gpt2":
        merges = [tuple(m.split(" ")) for m in field("merges")]
        encode = byte_level({t: i for i, t in enumerate(tokens)}, merges, field("pre"))
        return with_added_tokens(encode, of(USER_DEFINED)), with_added_tokens(encode, of(CONTROL, USER_DEFINED))
    encode = sentence_piece(tokens, field("scores"), types)  # cuts out user-defined pieces itself
    return encode, with_added_tokens(encode, of(CONTROL))


# What a third reading, transformers' own conversion of the GGUF tokenizer, makes of the agreed cases.
THIRD_READING = {
    "smollm2-135m": " transformers' conversion of GGUF tokenizers knows no `smollm` pre-tokenizer and so leaves digits "
    "other than 0-9 together (one case); upstream separates them.",
    "gemma-3-270m": " transformers' conversion of GGUF tokenizers splits 130 spaces into runs of 16 by merges, where "
    "llama.cpp and sentencepiece take the longest user-defined run (31) first.",
}

CHATS = {
    "user": [("user", "What is the capital of Mongolia?")],
    "system_user": [("system", "You are terse."), ("user", "Name three rivers.")],
    "multi_turn": [
        ("user", "Hi!"),
        ("assistant", "Hello. How can I help?"),
        ("user", "Write a haiku about rain."),
        ("assistant", "Soft drums on tin roofs\nthe gutter learns an old song\nworms come out to dance"),
        ("user", "Another."),
    ],
    "system_multi_turn": [
        ("system", "Answer in SQL only.\nNo comments."),
        ("user", "How many singers?"),
        ("assistant", "SELECT COUNT(*) FROM singer;"),
        ("user", "Older than 30?"),
    ],
    "unicode": [("system", "Отвечай кратко. 简短回答。"), ("user", "Ça va? 👩‍💻 ¿Qué tal? سلام")],
    "quotes": [("user", "Say \"hi\" and 'bye' \\ back`tick` <b>&amp;</b> {{ not a template }} {% nor this %}")],
    "whitespace": [("user", "\n  leading and trailing  \n\n"), ("assistant", " ok \n"), ("user", "tab\there ")],
    "empty_content": [("system", ""), ("user", "")],
    "control_text": [("user", "Print <|im_end|> literally.")],
}


def tool(name, description, parameters):
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": {k: v for k, v in function.items() if v != ""}}


WEATHER = tool(
    "get_weather",
    "The weather of a city, <now> & \"here\".",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city"],
    },
)
CLOCK = tool("clock.now", "", {"type": "object", "properties": {}})


def call(id, name, arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


# Tools, and turns as `apply_chat_template` of transformers takes them.
TOOL_CHATS = {
    "tools": ([WEATHER, CLOCK], [{"role": "user", "content": "Is it raining in Ulm?"}]),
    "tools_system": (
        [WEATHER],
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it raining in Ulm?"}],
    ),
    "called": (
        [WEATHER, CLOCK],
        [
            {"role": "user", "content": "Weather in Ulm and Köln?"},
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [
                    call("c1", "get_weather", {"city": "Ulm", "days": 2}),
                    call("c2", "get_weather", {"city": "Köln"}),
                ],
            },
            {"role": "tool", "content": "{\"sky\": \"grey\"}", "tool_call_id": "c1"},
            {"role": "tool", "content": "sun", "tool_call_id": "c2"},
            {"role": "user", "content": "And the time?"},
            {"role": "assistant", "content": "", "tool_calls": [call("c3", "clock.now", {})]},
            {"role": "tool", "content": "12:00", "tool_call_id": "c3"},
        ],
    ),
    "called_without_tools": (
        [],
        [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "", "tool_calls": [call("c1", "get_weather", {"city": "Ulm"})]},
            {"role": "tool", "content": "sun", "tool_call_id": "c1"},
        ],
    ),
}


def in_words(tools, messages):
    """What we do for a template that does not know tools: written anew from the description in docs/grpc.md."""
    out = []
    for i, message in enumerate(messages):
        if message["role"] == "tool":
            text = "<tool_response>\n" + message["content"] + "\n</tool_response>"
            if i and messages[i - 1]["role"] == "tool":
                out[-1]["content"] += "\n" + text
            else:
                out.append({"role": "user", "content": text})
            continue
        parts = [message["content"]] if message["content"] else []
        for made in message.get("tool_calls", []):
            parts.append("<tool_call>\n" + json.dumps(made["function"], ensure_ascii=False) + "\n</tool_call>")
        out.append({"role": message["role"], "content": "\n".join(parts)})
    if tools:
        listed = "".join("\n" + json.dumps(tool, ensure_ascii=False) for tool in tools)
        told = (
            "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function "
            f"signatures within <tools></tools> XML tags:\n<tools>{listed}\n</tools>\n\nFor each function call, return a json "
            "object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
            '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
        )
        if out[0]["role"] == "system":
            out[0]["content"] += "\n\n" + told
        else:
            out.insert(0, {"role": "system", "content": told})
    return out


def tool_chats(template):
    """Cases with tools: by jinja2 here, and by transformers itself where the template knows tools."""
    from transformers.utils.chat_template_utils import render_jinja_template

    knows_tools = "tools" in jinja2.meta.find_undeclared_variables(chat_environment().parse(template))
    for name, (tools, messages) in TOOL_CHATS.items():
        for add in (True, False):
            if knows_tools:
                text = render_chat(template, messages, add, tools=tools)
                theirs = render_jinja_template(
                    [messages], tools=tools or None, chat_template=template, add_generation_prompt=add
                )[0][0]
                assert text == theirs, (name, text, theirs)
            else:
                text = render_chat(template, in_words(tools, messages), add)
            case = {"name": name, "messages": messages, "add_generation_prompt": add, "text": text}
            yield case | ({"tools": tools} if tools else {})


def chats(model, meta):
    template = meta.get("tokenizer.chat_template")
    if template is None:
        print(f"{model}: no chat template")
        return
    cases = []
    for name, turns in CHATS.items():
        for add in (True, False):
            messages = [{"role": r, "content": c} for r, c in turns]
            text = render_chat(template, messages, add)
            cases.append({"name": name, "messages": messages, "add_generation_prompt": add, "text": text})
    cases.extend(tool_chats(template))
    write_json(HERE / f"chat-{model}.json", {"model": model, "made_with": {"jinja2": jinja2.__version__}, "cases": cases})


def main():
    cases = load_cases()
    for model in sys.argv[1:] or MODELS:
        path = model_path(model)
        reader = gguf.GGUFReader(path)
        meta = metadata(reader)
        version, ids = llama_tokenize(path, cases)
        plain, parsing = upstream(reader)
        agreed, disputed = [], []
        for (text, special), got in zip(cases, ids):
            want = (parsing if special else plain)(text)
            if got == want:
                agreed.append({"text": text, "ids": got, "special": special})
                continue
            case = {"text": text, "special": special, "llama_cpp": got, "upstream": want}
            if unicodedata.normalize("NFC", text) != text:
                case["reason"] = "upstream applies NFC first; llama.cpp does not"
            elif "</s>" in text:
                case["reason"] = "llama.cpp takes an ordinary token spelled </s> for a control token; upstream does not"
            elif "\u2581" in text:
                case["reason"] = "a literal U+2581 is a space to sentencepiece, so that runs of it join; not to llama.cpp"
            disputed.append(case)
            print(f"  disputed: {json.dumps(text)[:80]}\n    llama.cpp {got[:40]}\n    upstream  {want[:40]}")
        write_json(
            HERE / f"tokenizer-{model}.json",
            {
                "model": model,
                "made_with": {
                    "llama_cpp": version,
                    "tokenizers": tokenizers.__version__,
                    "sentencepiece": sentencepiece.__version__,
                },
                "bos_id": meta["tokenizer.ggml.bos_token_id"],
                "eos_id": meta["tokenizer.ggml.eos_token_id"],
                "add_bos": meta["tokenizer.ggml.add_bos_token"],
                "notes": f"{len(agreed)} cases on which llama.cpp and the upstream definition agree. `disputed` holds "
                f"{len(disputed)} on which they do not: not to be tested against."
                + THIRD_READING.get(model, ""),
                "cases": agreed,
                "disputed": disputed,
            },
        )
        chats(model, meta)


if __name__ == "__main__":
    main()

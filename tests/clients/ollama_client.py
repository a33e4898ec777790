"""The Python client of Ollama against a node: each function is one promise."""

import json
import os
import time
import urllib.request

import ollama

HTTP, MODEL = os.environ["NODE_HTTP"], os.environ["MODEL"]
HI = [{"role": "user", "content": "Say hello."}]
PLACE = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}

client = ollama.Client(host=HTTP)


def becomes_idle():
    until = time.monotonic() + 10
    while True:
        with urllib.request.urlopen(f"{HTTP}/understudy/status", timeout=10) as answer:
            if not json.load(answer)["requests"]["running"]:
                return
        assert time.monotonic() < until, "a request goes on that nobody waits for"
        time.sleep(0.02)


def chat():
    options = {"num_predict": 12, "seed": 3, "temperature": 0.5, "num_ctx": 2048}
    whole = client.chat(model=MODEL, messages=HI, options=options, keep_alive="5m")
    assert whole.done and whole.done_reason in ("stop", "length") and whole.eval_count > 0
    parts = list(client.chat(model=MODEL, messages=HI, options=options, stream=True))
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert [part.done for part in parts].count(True) == 1 and parts[-1].done


def generate():
    whole = client.generate(model=MODEL, prompt="Say hello.", system="Be short.", options={"num_predict": 8})
    assert whole.done and isinstance(whole.response, str)
    assert client.generate(model=MODEL).done_reason == "load"


def structured():
    said = client.chat(model=MODEL, messages=HI, format=PLACE, options={"num_predict": 100})
    assert json.loads(said.message.content)["city"] in ("Paris", "Rome")
    said = client.generate(model=MODEL, prompt="Say hello.", format="json", options={"num_predict": 100})
    assert isinstance(json.loads(said.response), dict)


def tools():
    def weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: Its name.
        """
        return city

    said = client.chat(model=MODEL, messages=HI, tools=[weather], options={"num_predict": 24})
    # Whether it calls is the model's choice; what it calls is not.
    assert all(call.function.name == "weather" for call in said.message.tool_calls or [])
    called = {"function": {"name": "weather", "arguments": {"city": "Paris"}}}
    after = HI + [
        {"role": "assistant", "content": "", "tool_calls": [called]},
        {"role": "tool", "content": "22 degrees", "tool_name": "weather"},
    ]
    assert client.chat(model=MODEL, messages=after, options={"num_predict": 8}).done


def models():
    names = [model.model for model in client.list().models]
    assert "smollm2-135m" in names or MODEL in names, names
    assert client.show(MODEL).modelinfo["general.context_length"] > 0
    assert MODEL in [model.model for model in client.ps().models]
    vectors = client.embed(model=MODEL, input=["a cat", "a dog"]).embeddings
    assert len(vectors) == 2 and abs(sum(x * x for x in vectors[0]) - 1) < 1e-3


def errors():
    for asked, status, word in (
        (dict(model="nobody"), 404, "nobody"),
        (dict(model=MODEL, options={"mirostat": 1}), 400, "mirostat"),
        (dict(model=MODEL, think=True), 400, "think"),
    ):
        try:
            client.chat(messages=HI, **asked)
            raise AssertionError(f"{asked} was answered")
        except ollama.ResponseError as error:
            assert error.status_code == status and word in error.error, error


def cancellation():
    parts = client.chat(model=MODEL, messages=HI, stream=True, options={"num_predict": 4000}, format={"type": "string", "minLength": 2000, "maxLength": 2000})
    next(parts)
    parts.close()
    becomes_idle()


for promise in (chat, generate, structured, tools, models, errors, cancellation):
    promise()
    print("ok", promise.__name__)

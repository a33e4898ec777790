"""The official Python client of OpenAI against a node: each function is one promise."""

import asyncio
import json
import os
import time
import urllib.request

import openai

HTTP, MODEL = os.environ["NODE_HTTP"], os.environ["MODEL"]
HI = [{"role": "user", "content": "Say hello."}]
# An answer that goes on for long unless something ends it.
ENDLESS = {"understudy": {"constraint": {"regex": "[a-z ]{2000}"}}}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

client = openai.OpenAI(base_url=f"{HTTP}/v1", api_key="none", max_retries=0)


def running():
    with urllib.request.urlopen(f"{HTTP}/understudy/status", timeout=10) as answer:
        return json.load(answer)["requests"]["running"]


def becomes_idle():
    until = time.monotonic() + 10
    while running():
        assert time.monotonic() < until, "a request goes on that nobody waits for"
        time.sleep(0.02)


def check_person(text):
    person = json.loads(text)
    # JSON Schema calls 10.0 an integer.
    is_whole = isinstance(person.get("age"), (int, float)) and person["age"] == int(person["age"])
    assert set(person) == {"name", "age"} and is_whole and 0 <= person["age"] <= 99, person


def models():
    names = {model.id for model in client.models.list()}
    assert "understudy/auto" in names and "understudy/cascade" in names, names
    assert client.models.retrieve("understudy/auto").owned_by == "understudy"


def chat():
    answer = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=16, seed=7, temperature=0.8, user="u")
    assert answer.choices[0].message.role == "assistant" and answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.usage.prompt_tokens_details.cached_tokens >= 0
    assert answer.understudy["policy"] == "direct" and answer.understudy["model"]
    again = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=16, seed=7, temperature=0.8)
    assert again.choices[0].message.content == answer.choices[0].message.content
    assert answer._request_id


def streaming():
    whole = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=16)
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=HI, max_tokens=16, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content, (text, whole)
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [
        whole.choices[0].finish_reason
    ]


def policies():
    extension = {"understudy": {"policy": "cascade:threshold=1", "explain": True}}
    answer = client.chat.completions.create(
        model="understudy/auto", messages=HI, max_tokens=8, extra_body=extension
    )
    kinds = [decision["kind"] for decision in answer.understudy["ledger"]["decisions"]]
    assert answer.understudy["policy"] == "cascade" and "escalate" in kinds, answer.understudy
    chunks = client.chat.completions.create(
        model="understudy/auto", messages=HI, max_tokens=8, stream=True, extra_body=extension
    )
    events, text = [], ""
    for chunk in chunks:
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        events += [chunk.understudy] if getattr(chunk, "understudy", None) else []
    assert [event["type"] for event in events][0] == "started" and events[-1]["type"] == "finished"
    assert events[-1]["text"] == text == answer.choices[0].message.content


def choices_and_tokens():
    answer = client.chat.completions.create(
        model=MODEL, messages=HI, max_tokens=6, n=3, temperature=1.0, seed=1, logprobs=True, top_logprobs=2
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    for choice in answer.choices:
        tokens = choice.logprobs.content
        assert tokens and all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)
        assert b"".join(bytes(token.bytes) for token in tokens).decode(errors="replace").startswith(
            choice.message.content.rstrip("\ufffd")
        )
    assert len({choice.message.content for choice in answer.choices}) > 1, "each draws for itself"
    first = client.chat.completions.create(
        model=MODEL, messages=HI, max_tokens=1, logprobs=True, top_logprobs=1, logit_bias={"65": 100}
    )
    other = client.chat.completions.create(
        model=MODEL, messages=HI, max_tokens=1, logprobs=True, top_logprobs=1, logit_bias={"66": 100}
    )
    assert first.choices[0].logprobs.content[0].bytes != other.choices[0].logprobs.content[0].bytes


def structured():
    form = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}}
    answer = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=200, response_format=form)
    check_person(answer.choices[0].message.content)
    with client.chat.completions.stream(model=MODEL, messages=HI, max_tokens=200, response_format=form) as stream:
        check_person(stream.get_final_completion().choices[0].message.content)
    answer = client.chat.completions.create(
        model=MODEL, messages=HI, max_tokens=200, response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(answer.choices[0].message.content), dict)
    word = client.chat.completions.create(
        model=MODEL, messages=HI, extra_body={"understudy": {"constraint": {"choice": ["yes", "no"]}}}
    )
    assert word.choices[0].message.content in ("yes", "no")


def check_call(call):
    assert call.type == "function" and call.function.name == "weather" and call.id
    arguments = json.loads(call.function.arguments)
    assert arguments["city"] in ("Paris", "Rome") and 1 <= arguments["days"] <= 7, arguments


def tools():
    asked = dict(model=MODEL, messages=HI, tools=[WEATHER], max_tokens=300)
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        answer = client.chat.completions.create(**asked, tool_choice=choice, parallel_tool_calls=False)
        (call,) = answer.choices[0].message.tool_calls
        check_call(call)
        assert answer.choices[0].finish_reason == "tool_calls" and not answer.choices[0].message.content
    with client.chat.completions.stream(**asked, tool_choice="required", parallel_tool_calls=False) as stream:
        final = stream.get_final_completion().choices[0]
    check_call(final.message.tool_calls[0])
    said = [{"role": "tool", "tool_call_id": call.id, "content": "22 degrees"}]
    after = client.chat.completions.create(
        model=MODEL, messages=HI + [answer.choices[0].message] + said, tools=[WEATHER], tool_choice="none", max_tokens=8
    )
    assert not after.choices[0].message.tool_calls


def completions():
    answer = client.completions.create(model=MODEL, prompt="Say hello.", max_tokens=8)
    text = "".join(
        chunk.choices[0].text
        for chunk in client.completions.create(model=MODEL, prompt="Say hello.", max_tokens=8, stream=True)
    )
    assert answer.choices[0].text == text


def embeddings():
    # The client asks for base64 and unpacks it.
    packed = client.embeddings.create(model=MODEL, input=["a cat", "a dog"])
    plain = client.embeddings.create(model=MODEL, input="a dog", encoding_format="float")
    assert all(abs(a - b) < 1e-6 for a, b in zip(packed.data[1].embedding, plain.data[0].embedding))
    assert abs(sum(x * x for x in plain.data[0].embedding) - 1) < 1e-3 and plain.usage.prompt_tokens > 0


def responses():
    first = client.responses.create(model=MODEL, input="Say hello.", instructions="Be short.", max_output_tokens=16)
    assert first.status in ("completed", "incomplete") and first.output_text == first.output[0].content[0].text
    second = client.responses.create(
        model=MODEL, input="Again.", previous_response_id=first.id, max_output_tokens=16, stream=True
    )
    events = list(second)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created" and events[-1].type in ("response.completed", "response.incomplete")
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert deltas == events[-1].response.output_text
    assert client.responses.retrieve(first.id).output_text == first.output_text
    client.responses.delete(first.id)
    try:
        client.responses.retrieve(first.id)
        raise AssertionError("it was deleted")
    except openai.NotFoundError:
        pass
    tool = {"type": "function", **WEATHER["function"]}
    called = client.responses.create(
        model=MODEL, input="Weather?", tools=[tool], tool_choice="required", parallel_tool_calls=False,
        max_output_tokens=300,
    )
    call = called.output[0]
    assert call.type == "function_call" and json.loads(call.arguments)["city"] in ("Paris", "Rome")
    client.responses.create(
        model=MODEL, previous_response_id=called.id, max_output_tokens=8, tools=[tool], tool_choice="none",
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "22 degrees"}],
    )
    form = {"format": {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}}
    check_person(client.responses.create(model=MODEL, input="Who?", text=form, max_output_tokens=200).output_text)
    begun = client.responses.create(model=MODEL, input="Story!", background=True, extra_body=ENDLESS, max_output_tokens=4000)
    assert begun.status == "in_progress"
    assert client.responses.cancel(begun.id).status == "cancelled"
    becomes_idle()


def errors():
    def refused(kind, **asked):
        try:
            client.chat.completions.create(**{"model": MODEL, "messages": HI, "max_tokens": 4, **asked})
        except kind as error:
            return error
        raise AssertionError(f"{asked} was answered")

    assert refused(openai.NotFoundError, model="nobody").code == "model_not_found"
    assert refused(openai.BadRequestError, extra_body={"reasoning": 1}).param == "reasoning"
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]
    assert refused(openai.BadRequestError, messages=image).param == "messages[0].content[0].type"
    long = [{"role": "user", "content": "word " * 20000}]
    assert refused(openai.BadRequestError, messages=long).code == "context_length_exceeded"
    huge = [{"role": "user", "content": "x" * (5 << 20)}]
    assert refused(openai.APIStatusError, messages=huge).status_code == 413
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    assert refused(openai.BadRequestError, response_format=schema).code == "CONSTRAINT_INVALID"
    becomes_idle()


def overload():
    asked = dict(model=MODEL, messages=HI, stream=True, max_tokens=4000, extra_body=ENDLESS)
    streams = [client.chat.completions.create(**asked) for _ in range(4)]
    try:
        client.chat.completions.create(**asked)
        raise AssertionError("a full node took one more")
    except openai.RateLimitError as error:
        assert int(error.response.headers["retry-after"]) >= 1
    for stream in streams:
        stream.close()
    becomes_idle()


def cancellation():
    stream = client.chat.completions.create(
        model=MODEL, messages=HI, stream=True, max_tokens=4000, extra_body=ENDLESS
    )
    next(iter(stream))
    assert running() == 1
    stream.close()
    becomes_idle()

    async def whole():
        patient = openai.AsyncOpenAI(base_url=f"{HTTP}/v1", api_key="none", max_retries=0)
        task = asyncio.create_task(
            patient.chat.completions.create(model=MODEL, messages=HI, max_tokens=4000, extra_body=ENDLESS)
        )
        await asyncio.sleep(0.3)
        task.cancel()

    asyncio.run(whole())
    becomes_idle()
    deadline = {"understudy": {**ENDLESS["understudy"], "deadline_ms": 300}}
    answer = client.chat.completions.create(model=MODEL, messages=HI, max_tokens=4000, extra_body=deadline)
    assert answer.choices[0].finish_reason == "length" and answer.understudy["finish_reason"] == "deadline"


for promise in (
    models, chat, streaming, policies, choices_and_tokens, structured, tools, completions, embeddings, responses,
    errors, overload, cancellation,
):
    promise()
    print("ok", promise.__name__)

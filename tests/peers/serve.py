#!/usr/bin/env python3
"""Several streams at once, Understudy's node beside llama-server: alternated pairs, median ratio, 95 % interval.

Both servers are started once and hold the same file; while one is asked the other is idle. Each pair has prompts
of its own, the same for both, as chat messages, greedy. `rate` is all tokens over the whole time, `steady` the
tokens while all streams decode.

  serve.py --ours target/release/understudy --peer "LLAMA_SERVER -np 8" --model qwen2.5-coder-0.5b=FILE
"""

import argparse
import contextlib
import http.client
import json
import os
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from compare import FOREIGN_LIMIT, InputError, RunError, cpu_seconds, find_models, foreign_share, median_interval, note

METRICS = ("rate", "steady", "itl_p50_ms", "itl_p99_ms", "first_p50_ms")
WORDS = ("river house paper stone music table horse bread glass cloud train garden window bridge market letter forest "
         "island doctor farmer village kitchen mountain lantern").split()


def prompts(pair, streams):
    """Texts that even small models do not end early. Only their first words are alike: no cache helps much."""
    places = (WORDS[(5 * pair + 7 * index + 3) % len(WORDS)] for index in range(streams))
    return [f"Write a very long story, in many chapters, about a {WORDS[(pair * streams + index) % len(WORDS)]} and a {place} "
            f"in the year {1000 + 97 * pair + index}. Tell every chapter in detail and do not stop before the tenth."
            for index, place in enumerate(places)]


@contextlib.contextmanager
def running(command, is_ready):
    """A server as long as the block lasts; yields what `is_ready` made of its standard output."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield is_ready(process)
    finally:
        process.terminate()
        process.wait(timeout=60)


def node_address(process):
    for line in process.stdout:
        if line.startswith("ready "):
            return dict(word.split("=", 1) for word in line.split()[1:])["grpc"]
    raise RunError(f"the node ended with {process.wait()} and without a ready line")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ours(binary, address, model, texts, tokens):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(texts) + "\n")
        file.flush()
        command = [binary, "bench", "serve", "--json", "--server", address, "--model", model, "--prompts", file.name,
                   "--gen-tokens", str(tokens), "--long-prompt", "0", "--shared-prefix", "0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise RunError(done.stderr.strip())
    found = json.loads(done.stdout)
    if found["steady_tok_s"] is None:
        raise RunError("our streams never decoded all together")
    return {"rate": found["tok_s"], "steady": found["steady_tok_s"], "itl_p50_ms": found["itl_ms"]["p50"],
            "itl_p99_ms": found["itl_ms"]["p99"], "first_p50_ms": found["first_ms"]["p50"]}


def stream(port, text, tokens, out):
    """One answer of llama-server: when it was asked, and when each token came."""
    try:
        body = json.dumps({"messages": [{"role": "user", "content": text}], "max_tokens": tokens, "temperature": 0,
                           "stream": True})
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        asked, times = time.monotonic(), []
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise RunError(f"llama-server: {answer.status} {answer.read(300)!r}")
        for line in answer:
            # Parsed no further than needed: this program shares the processor with the server.
            if b'"content":"' in line:
                times.append(time.monotonic())
        out.append((asked, times))
    except (OSError, http.client.HTTPException, RunError) as error:
        out.append(error)


def theirs(port, texts, tokens):
    out = []
    threads = [threading.Thread(target=stream, args=(port, text, tokens, out)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in out:
        if isinstance(error, Exception):
            raise RunError(str(error))
    return figures(out)


def figures(streams):
    """The same figures that `bench serve` prints, of (asked, times of tokens) per stream."""
    if any(len(times) < 2 for _, times in streams):
        raise RunError("a stream has fewer than two tokens")
    begun, ended = min(asked for asked, _ in streams), max(times[-1] for _, times in streams)
    all_run, first_end = max(times[0] for _, times in streams), min(times[-1] for _, times in streams)
    if first_end <= all_run:
        raise RunError("the peer's streams never decoded all together")
    steady = sum(all_run < at <= first_end for _, times in streams for at in times)
    gaps = sorted((b - a) * 1e3 for _, times in streams for a, b in zip(times, times[1:]))
    return {
        "rate": sum(len(times) for _, times in streams) / (ended - begun),
        "steady": steady / (first_end - all_run),
        "itl_p50_ms": statistics.median_low(gaps),
        "itl_p99_ms": gaps[-(-99 * len(gaps) // 100) - 1],
        "first_p50_ms": statistics.median_low((times[0] - asked) * 1e3 for asked, times in streams),
    }


def compare(args, name, file):
    port = free_port()
    node = [args.ours, "serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    peer = shlex.split(args.peer) + ["-m", str(file), "--port", str(port), "--host", "127.0.0.1", "-t", str(args.threads)]
    pairs = []
    with running(node, node_address) as address, running(peer, lambda _: wait_for(port)):
        for pair in range(args.pairs + 1):
            texts = prompts(pair, args.streams)
            a = ours(args.ours, address, name, texts, args.gen_tokens)
            b = theirs(port, texts, args.gen_tokens)
            if pair:  # the first warms both up
                pairs.append((a, b))
                note(f"pair {pair} of {args.pairs}: {a['rate']:.1f} / {b['rate']:.1f}, "
                     f"steady {a['steady']:.1f} / {b['steady']:.1f} tok/s")
    return pairs


def wait_for(port):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise RunError("llama-server is not ready after 120 s")


def table(args, name, pairs):
    text = [f"{name}: {args.streams} streams of {args.gen_tokens} tokens, {args.threads} threads, {len(pairs)} pairs; "
            "medians, and the median ratio of the pairs with its 95 % bootstrap interval.", "",
            "| | ours | llama-server | ratio |", "|---|---|---|---|"]
    for metric in METRICS:
        mine, peers = ([run[metric] for run in side] for side in zip(*pairs))
        ratio, low, high = median_interval([a / b for a, b in zip(mine, peers)])
        text.append(f"| {metric} | {statistics.median(mine):.1f} | {statistics.median(peers):.1f} | "
                    f"{ratio:.2f} [{low:.2f}, {high:.2f}] |")
    return "\n".join(text)


def self_test():
    even = [(0.0, [1.0 + 0.1 * step for step in range(11)]), (0.0, [1.05 + 0.1 * step for step in range(11)])]
    found = figures(even)
    assert abs(found["rate"] - 22 / 2.05) < 1e-6 and abs(found["steady"] - 20 / 0.95) < 1.2, found
    assert abs(found["itl_p50_ms"] - 100) < 1e-6 and abs(found["first_p50_ms"] - 1000) < 1e-6, found
    late = figures([(0.0, [1.0, 1.1, 1.2, 2.2]), (0.0, [1.0, 1.1, 1.2, 1.3])])
    assert abs(late["itl_p99_ms"] - 1000) < 1e-6, late
    assert len({text for pair in range(9) for text in prompts(pair, 8)}) == 72, "no two prompts are alike"
    try:
        raise AssertionError(figures([(0.0, [1.0])]))
    except RunError:
        pass
    print("self-test passed")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", help="the binary `understudy`")
    parser.add_argument("--peer", help="llama-server with its flags, such as `LLAMA_SERVER -np 8 -c 8192`")
    parser.add_argument("--model", metavar="NAME=FILE", help="ours by name, so on its default path; the peer's by file")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--gen-tokens", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true", help="one JSON object with every sample, instead of the table")
    parser.add_argument("--self-test", action="store_true", help="check the figures; starts no server")
    args = parser.parse_args()
    if args.self_test:
        return self_test()
    try:
        if not (args.ours and args.peer and args.model):
            raise InputError("--ours, --peer and --model are needed")
        [(name, file)] = find_models(None, [args.model])
        before = cpu_seconds()
        pairs = compare(args, name, file)
    except (InputError, RunError) as error:
        note(f"error: {error}")
        return 2 if isinstance(error, InputError) else 1
    if args.json:
        print(json.dumps({"model": name, "streams": args.streams, "pairs": pairs}))
    else:
        print(table(args, name, pairs))
    foreign = foreign_share(before, cpu_seconds())
    if foreign is not None and foreign > FOREIGN_LIMIT:
        note(f"not fit to publish: other processes used {foreign:.0%} of the machine")
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Speed of Understudy beside other engines: alternated pairs, median ratio, 95 % bootstrap interval.

An engine is KIND[:LABEL]=COMMAND. The harness appends the arguments that KIND needs to COMMAND, or puts
them where COMMAND has a lone {}. README.md beside this file lists the kinds and where each peer comes from.

  compare.py --ours understudy=target/release/understudy --peer candle=candle-peer --models FOLDER
"""

import argparse
import json
import os
import random
import resource
import shlex
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

LADDER = ["smollm2-135m", "gemma-3-270m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"]
METRICS = ("prefill", "decode")
RESAMPLES = 10_000
# Peers spin at their barriers: one busy neighbour on two cores has cost them nine tenths of their speed.
FOREIGN_LIMIT = 0.05


class InputError(Exception):
    """The command line asks for something that cannot be measured; exit code 2."""


class RunError(Exception):
    """An engine failed, ran out of time or printed something else than its format."""


# --- what to run -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """One measurement: `prompt` tokens prefilled from an empty cache; `gen` decoded after `depth` tokens."""

    prompt: int
    gen: int
    depth: int
    threads: int


def understudy(model, work):
    return [["bench", "engine", "--json", "--model", model, "--prompt-tokens", work.prompt,
             "--gen-tokens", work.gen, "--depth", work.depth, "--threads", work.threads, "--repeat", 1]]


def speed(model, work):
    if work.depth != work.prompt:
        raise InputError("kind speed decodes right after its prompt: --depth must equal --prompt-tokens")
    return [[model, work.prompt, work.gen, 1]]


def positional(model, work):
    return [[model, work.prompt, work.gen, work.depth, work.threads]]


def llama_bench(model, work):
    # Two runs, because `-d` would also move the prefill behind `depth` tokens.
    shared = ["-m", model, "-t", work.threads, "-r", 1, "-o", "json"]
    return [shared + ["-p", work.prompt, "-n", 0], shared + ["-p", 0, "-n", work.gen, "-d", work.depth]]


def ik_bench(model, work):
    # ik_llama.cpp has `-gp depth,gen` instead of `-d`; it times the decode alone. Its own warm-up is one token, so
    # the first repetition is the warm-up here, and `read_speeds` takes the last.
    return [["-m", model, "-t", work.threads, "-r", 2, "-o", "json",
             "-p", work.prompt, "-n", 0, "-gp", f"{work.depth},{work.gen}"]]


KINDS = {
    "understudy": understudy,
    "speed": speed,
    "candle": positional,
    "llama-cpp-python": positional,
    "llama-bench": llama_bench,
    "ik-bench": ik_bench,
}


@dataclass
class Engine:
    kind: str
    label: str
    words: list = field(repr=False)

    @classmethod
    def parse(cls, text):
        name, equals, command = text.partition("=")
        kind, _, label = name.partition(":")
        words = shlex.split(command)
        if not equals or not words or kind not in KINDS:
            raise InputError(f"engine {text!r} is not KIND[:LABEL]=COMMAND with KIND one of {', '.join(KINDS)}")
        return cls(kind, label or kind, words)

    def commands(self, model, work):
        for arguments in KINDS[self.kind](str(model), work):
            arguments = [str(argument) for argument in arguments]
            at = self.words.index("{}") if "{}" in self.words else len(self.words)
            yield self.words[:at] + arguments + self.words[at + 1:]

    def measure(self, model, work, timeout):
        """Tokens per second of both metrics from one run, and the share of the machine that others used meanwhile."""
        found, before = {}, cpu_seconds()
        for command in self.commands(model, work):
            found.update(read_speeds(execute(command, work.threads, timeout)))
        for metric in METRICS:
            if not found.get(metric, 0) > 0:
                raise RunError(f"{self.label} reported no {metric} speed")
        return found | {"foreign": foreign_share(before, cpu_seconds())}


def execute(command, threads, timeout):
    # Engines without a thread flag (candle: rayon) read these.
    env = os.environ | {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    shown = shlex.join(command)
    try:
        done = subprocess.run(command, env=env, timeout=timeout, capture_output=True, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        raise RunError(f"more than {timeout} s: {shown}") from None
    except OSError as error:
        raise RunError(f"{error}: {shown}") from None
    if done.returncode != 0:
        raise RunError(f"exit code {done.returncode}: {shown}\n{done.stderr[-1500:].strip()}")
    return done.stdout


def read_speeds(output):
    """Tokens per second in one engine's output: our contract's object, or llama-bench's array of tests."""
    value = first_json(output)
    try:
        if isinstance(value, dict):
            return {metric: float(value[f"{metric}_tok_s"]) for metric in METRICS}
        # A decode behind a filled cache also carries `n_prompt`, so `n_gen` decides.
        return {"decode" if test["n_gen"] > 0 else "prefill": float(test["samples_ts"][-1]) for test in value}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise RunError(f"unexpected JSON ({error!r}): {output[:300]!r}") from None


def first_json(output):
    """The first JSON value that starts a line; some engines print notices before it."""
    at = 0
    for line in output.splitlines(keepends=True):
        if line[0] in "[{":
            try:
                return json.JSONDecoder().raw_decode(output, at)[0]
            except ValueError:
                pass
        at += len(line)
    raise RunError(f"no JSON in the output: {output[:300]!r}")


def cpu_seconds():
    """(wall clock, CPU time of the whole machine, CPU time of the engines so far), in seconds; None off Linux."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = ticks
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic(), busy, children.ru_utime + children.ru_stime


def foreign_share(before, after):
    """Share of all cores, 0 to 1, that went to other processes or to the hypervisor; None where unknown."""
    if before is None or after is None:
        return None
    wall, busy, engines = (b - a for a, b in zip(before, after))
    return max(0.0, (busy - engines) / (wall * os.cpu_count()))


# --- statistics --------------------------------------------------------------------------------------------


def median_interval(values, level=0.95, resamples=RESAMPLES, seed=1):
    """Median of `values` and its percentile-bootstrap interval (Efron and Tibshirani 1993, chapter 13)."""
    rng = random.Random(seed)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(resamples))
    tail = (1 - level) / 2
    low = medians[int(tail * resamples)]
    high = medians[min(resamples - 1, int((1 - tail) * resamples))]
    return statistics.median(values), low, high


def summarize(model, peer, pairs):
    """One row: `pairs` is a list of (ours, theirs), each with tokens per second by metric."""
    foreign = [run["foreign"] for pair in pairs for run in pair if run.get("foreign") is not None]
    row = {"model": model, "peer": peer, "pairs": len(pairs), "foreign_cpu_max": max(foreign, default=None)}
    for metric in METRICS:
        ours, theirs = ([run[metric] for run in side] for side in zip(*pairs))
        ratio, low, high = median_interval([a / b for a, b in zip(ours, theirs)])
        row[metric] = {
            "ours_tok_s": statistics.median(ours), "peer_tok_s": statistics.median(theirs),
            "ratio": ratio, "low": low, "high": high, "ours": ours, "peer": theirs,
        }
    return row


# --- the comparison ----------------------------------------------------------------------------------------


def compare(ours, peers, models, work, pairs, timeout):
    """Rows and failures. Runs are strictly alternated: ours, peer, ours, peer; each pair is adjacent in time."""
    rows, failures = [], []
    for name, file in models:
        runs = {peer.label: [] for peer in peers}
        broken = set()
        for index in range(pairs):
            for peer in peers:
                if peer.label in broken:
                    continue
                try:
                    a, b = (engine.measure(file, work, timeout) for engine in (ours, peer))
                except RunError as error:
                    # The error names the command, since either side of the pair may have failed.
                    broken.add(peer.label)
                    failures.append({"model": name, "peer": peer.label, "pair": index + 1, "error": str(error)})
                    note(f"{name}: {peer.label}: {error}")
                    continue
                runs[peer.label].append((a, b))
                ratios = ", ".join(f"{metric} {a[metric]:.1f} / {b[metric]:.1f}" for metric in METRICS)
                note(f"{name}: pair {index + 1} of {pairs}, {ours.label} / {peer.label}: {ratios}")
        rows += [summarize(name, label, measured) for label, measured in runs.items() if measured]
    return rows, failures


def table(ours, work, rows):
    text = [
        f"Tokens/s, {ours.label} / peer, medians; median ratio of the pairs with its 95 % bootstrap interval. "
        f"Prefill of {work.prompt} tokens, decode of {work.gen} after {work.depth}, {work.threads} threads.",
        "",
        "| model | peer | pairs | prefill | ratio | decode | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["model"], row["peer"], str(row["pairs"])]
        for metric in METRICS:
            cell = row[metric]
            cells.append(f"{cell['ours_tok_s']:.1f} / {cell['peer_tok_s']:.1f}")
            cells.append(f"{cell['ratio']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]")
        text.append("| " + " | ".join(cells) + " |")
    worst = max((row["foreign_cpu_max"] or 0 for row in rows), default=0)
    if worst > FOREIGN_LIMIT:
        text += ["", f"Not fit to publish: other processes used up to {worst:.0%} of the machine during a run."]
    return "\n".join(text)


def note(text):
    print(text, file=sys.stderr, flush=True)


def find_models(folder, named):
    """(name, file) of every model: `named` holds NAME=FILE or, with a folder, NAME for FOLDER/NAME/*.gguf."""
    models = []
    for text in named or LADDER:
        name, equals, file = text.partition("=")
        files = [Path(file)] if equals else sorted(Path(folder or ".").joinpath(name).glob("*.gguf"))
        if len(files) != 1 or not files[0].is_file():
            raise InputError(f"model {text!r}: not one GGUF file; give NAME=FILE, or --models with FOLDER/NAME/*.gguf")
        models.append((name, files[0]))
    return models


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", metavar="ENGINE", help="KIND[:LABEL]=COMMAND")
    parser.add_argument("--peer", metavar="ENGINE", action="append", default=[], help="KIND[:LABEL]=COMMAND, repeatable")
    parser.add_argument("--models", metavar="FOLDER", help="folder with NAME/*.gguf, as `understudy pull` leaves it")
    parser.add_argument("--model", metavar="NAME[=FILE]", action="append", help=f"repeatable; default: {', '.join(LADDER)}")
    parser.add_argument("--pairs", type=int, default=9, help="default 9; fewer than 6 give no honest interval")
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--gen-tokens", type=int, default=128)
    parser.add_argument("--depth", type=int, help="tokens in the cache when decode starts; default: --prompt-tokens")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one run of one engine")
    parser.add_argument("--allow-busy", action="store_true", help="run although other processes use the machine")
    parser.add_argument("--json", action="store_true", help="one JSON object with every sample, instead of the table")
    parser.add_argument("--self-test", action="store_true", help="check the statistics and the parsers; runs no engine")
    return parser.parse_args()


def main():
    args = arguments()
    if args.self_test:
        return self_test()
    try:
        if not args.ours or not args.peer:
            raise InputError("--ours and at least one --peer are needed")
        ours, peers = Engine.parse(args.ours), [Engine.parse(text) for text in args.peer]
        if len({peer.label for peer in peers}) < len(peers):
            raise InputError("two peers share a label; give each its own: KIND:LABEL=COMMAND")
        depth = args.prompt_tokens if args.depth is None else args.depth
        work = Work(args.prompt_tokens, args.gen_tokens, depth, args.threads)
        if min(work.prompt, work.gen, work.threads, args.pairs) < 1 or work.depth < 0:
            raise InputError("tokens, threads and pairs start at 1, depth at 0")
        models = find_models(args.models, args.model)
        for engine in [ours, *peers]:
            list(engine.commands("FILE", work))
    except InputError as error:
        note(f"error: {error}")
        return 2
    before = cpu_seconds()
    time.sleep(2)
    foreign = foreign_share(before, cpu_seconds())
    if foreign is not None and foreign > FOREIGN_LIMIT and not args.allow_busy:
        note(f"error: other processes use {foreign:.0%} of the machine; wait, or --allow-busy for a smoke test")
        return 3
    rows, failures = compare(ours, peers, models, work, args.pairs, args.timeout)
    if args.json:
        engines = {engine.label: shlex.join(engine.words) for engine in [ours, *peers]}
        print(json.dumps({"ours": ours.label, "engines": engines, "work": vars(work), "foreign_cpu_at_start": foreign,
                          "rows": rows, "failures": failures}))
    else:
        print(table(ours, work, rows))
    return 1 if failures else 0


# --- self-test ---------------------------------------------------------------------------------------------


def self_test():
    rng = random.Random(7)
    assert median_interval([2.0] * 5) == (2.0, 2.0, 2.0), "equal ratios leave no doubt"
    assert median_interval([3.0]) == (3.0, 3.0, 3.0)
    median, low, high = median_interval([1.0, 1.1, 1.2, 1.3, 9.0])
    assert median == 1.2 and (low, high) == (1.0, 9.0), "one outlier widens the interval, not the median"
    few, many = ([rng.gauss(1, 0.1) for _ in range(count)] for count in (9, 400))
    widths = [high - low for _, low, high in map(median_interval, (few, many))]
    assert widths[1] < widths[0] / 3, f"more pairs narrow the interval: {widths}"
    narrow, wide = (median_interval(few, level=level) for level in (0.5, 0.95))
    assert wide[1] < narrow[1] <= narrow[0] <= narrow[2] < wide[2], "a higher level widens it"
    assert median_interval(few) == median_interval(few), "the same pairs give the same interval"

    trials, covered = 300, 0
    for _ in range(trials):
        _, low, high = median_interval([rng.lognormvariate(0, 0.05) for _ in range(15)], resamples=400)
        covered += low <= 1.0 <= high
    assert 0.90 <= covered / trials <= 0.99, f"a 95 % interval covers the truth: {covered} of {trials}"

    # Ratios are taken pair by pair: a machine that slows down for both leaves them alone.
    drift = [({"prefill": 20.0 / slow, "decode": 6.0 / slow}, {"prefill": 10.0 / slow, "decode": 8.0 / slow})
             for slow in (1, 2, 4, 8)]
    row = summarize("m", "p", drift)
    assert (row["prefill"]["ratio"], row["decode"]["ratio"]) == (2.0, 0.75), row
    assert row["prefill"]["low"] == row["prefill"]["high"] == 2.0

    assert foreign_share((0, 10.0, 1.0), (4, 10.0 + 4 * os.cpu_count(), 1.0)) == 1.0
    assert foreign_share((0, 10.0, 1.0), (4, 12.0, 3.0)) == 0.0, "the engine's own CPU time is not foreign"
    busy = [({"prefill": 1, "decode": 1, "foreign": 0.5}, {"prefill": 1, "decode": 1, "foreign": 0.01})]
    label = Engine("candle", "ours", ["x"])
    assert "up to 50% of the machine" in table(label, Work(1, 1, 1, 1), [summarize("m", "p", busy)])
    assert "Not fit" not in table(label, Work(1, 1, 1, 1), [row])

    ours = '{"engine": "understudy", "load_ms": 1.0, "prefill_tok_s": 10.5, "streams": 1, "decode_tok_s": 2.25}\n'
    assert read_speeds(ours) == {"prefill": 10.5, "decode": 2.25}
    tests = [{"n_prompt": 512, "n_gen": 0, "samples_ts": [1.0, 7.5]}, {"n_prompt": 64, "n_gen": 8, "samples_ts": [3.0]}]
    assert read_speeds("notice\n" + json.dumps(tests, indent=2) + "\n") == {"prefill": 7.5, "decode": 3.0}
    for wrong in ("", "no JSON here", '{"prefill_tok_s": 1}', '[{"n_gen": 1}]', "[3]", '{"prefill_tok_s": null}',
                  '[{"n_gen": 1, "samples_ts": []}]'):
        try:
            raise AssertionError(f"accepted {wrong!r}: {read_speeds(wrong)}")
        except RunError:
            pass

    work = Work(512, 128, 0, 2)
    assert list(Engine.parse("candle=env A=1 peer {} tail").commands("f", work)) == \
        [["env", "A=1", "peer", "f", "512", "128", "0", "2", "tail"]]
    prefill, decode = Engine.parse("llama-bench:new=b -fa 1").commands("f", Work(512, 128, 64, 2))
    assert prefill[:3] == ["b", "-fa", "1"] and prefill[-4:] == ["-p", "512", "-n", "0"]
    assert decode[-6:] == ["-p", "0", "-n", "128", "-d", "64"]
    for wrong in ("candle", "nobody=x", "candle="):
        try:
            raise AssertionError(f"accepted {Engine.parse(wrong)}")
        except InputError:
            pass

    script = "import sys; print('{\"prefill_tok_s\": 4, \"decode_tok_s\": %s}' % sys.argv[3])"
    good = Engine.parse(f"candle:good={sys.executable} -c {shlex.quote(script)}")
    bad = Engine.parse(f"candle:bad={sys.executable} -c 'import sys; sys.exit(\"broken\")'")
    rows, failures = compare(good, [bad, good], [("m", "file")], work, pairs=2, timeout=60)
    assert [(row["peer"], row["pairs"], row["decode"]["ratio"]) for row in rows] == [("good", 2, 1.0)], rows
    assert len(failures) == 1 and "broken" in failures[0]["error"], "a broken peer fails once, the others go on"
    print("self-test passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())

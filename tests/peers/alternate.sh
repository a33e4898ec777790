#!/usr/bin/env bash
# Alternated runs of Understudy's engine and plain candle on the same files; JSON lines.
# usage: alternate.sh UNDERSTUDY_SPEED CANDLE_PEER MODELS_FOLDER [PAIRS] [PROMPT] [GEN]
set -euo pipefail
ours=$1 candle=$2 models=$3 pairs=${4:-5} prompt=${5:-512} gen=${6:-64}
for model in smollm2-135m gemma-3-270m qwen2.5-coder-0.5b qwen2.5-coder-1.5b; do
    for _ in $(seq "$pairs"); do
        for engine in "$ours" "$candle"; do
            printf '{"model": "%s", "run": %s}\n' "$model" "$("$engine" "$models/$model"/*.gguf "$prompt" "$gen")"
        done
    done
done

#!/usr/bin/env bash
# Makes the bundles of this folder anew, each from a real run on this machine's CPU: about twenty minutes on two cores.
#
#   submission_runs/make_bundles.sh [NAME…]      (default: all of them; commit first, so that the evidence names a commit)
#
# What is replaced is removed first. Runs and the signing key lie in a folder of their own, MAKE_HOME; whoever keeps it
# signs with the same key again. The key's public half goes to trusted_keys.json: the repository's word for whose it is.
set -euo pipefail
cd "$(dirname "$0")/.."
assay=$PWD/.venv/bin/assay
export ASSAY_HOME=${MAKE_HOME:-$(mktemp -d)} ASSAY_DEMO=0 ASSAY_PORT=${MAKE_PORT:-8177}
[ -z "$(git status --porcelain -- evidence training assay backend)" ] || { echo "make_bundles: commit your changes first" >&2; exit 2; }
names=${*:-demo_reasoning_v1 resumed_v1 lora_v1 sharded_v1 failed_v1 m37_v1}

run() { ls -d "$ASSAY_HOME"/runs/* 2>/dev/null | tail -1; }
steps() { grep -c '"kind":"step"' "$1/events.jsonl" 2>/dev/null || true; }
say() { echo; echo "make_bundles: $*"; }

seal() { # the newest run, as $1
  if [ "$1" = m37_v1 ] && [ -e submission_runs/m37_v1 ] && [ ! -e submission_runs/m37_v1/rehearsal/rehearsal.json ]; then
    echo "make_bundles: submission_runs/m37_v1 is no rehearsal any more, and is left alone" >&2
    exit 2
  fi
  rm -rf "submission_runs/$1"
  "$assay" seal "$(run)" --name "$1" --key assay
}

replay() { # a drawn segment of $1, and vouch for the result
  "$assay" replay "$1"
  "$assay" sign "$1" --replay --key assay
}

demo_reasoning_v1() { # the shipped demo, launched by a server, which issues the nonce and countersigns the rows
  "$assay" up >"$ASSAY_HOME/server.log" 2>&1 &
  local server=$!
  trap 'kill $server 2>/dev/null || true' RETURN
  until curl --silent --fail "http://127.0.0.1:$ASSAY_PORT/health" >/dev/null; do kill -0 $server; sleep 0.2; done
  "$assay" launch demo_reasoning --set device=cpu --name demo_reasoning_v1
  seal demo_reasoning_v1
  replay demo_reasoning_v1
}

resumed_v1() { # preempted in the middle by SIGTERM, then resumed from the state that it saved
  "$assay" train smoke_tiny --device cpu --name resumed_v1 --steps 600 --set checkpoints.every_steps=200 --set checkpoints.keep=2 &
  local process=$!
  until grep -qs '"name": "resumed_v1"' "$(run)/spec.json" && [ "$(steps "$(run)")" -ge 300 ]; do
    kill -0 $process
    sleep 0.1
  done
  kill -TERM $process
  wait $process || true
  "$assay" train --resume "$(run)"
  seal resumed_v1
  replay resumed_v1
}

lora_v1() { # adapters on the weights of a run before, exported as a Hugging Face folder
  "$assay" train smoke_tiny --device cpu --name base_of_lora --steps 200
  rm -rf data/base_of_lora  # a path that is the same on every machine: it is part of what was asked
  "$assay" export-weights "$(run)" --to data/base_of_lora
  "$assay" train smoke_tiny --device cpu --name lora_v1 --steps 100 --set weights.source=folder \
    --set weights.path=data/base_of_lora --set lora.rank=4 --set lora.targets=all --set checkpoints.every_steps=50
  seal lora_v1
  replay lora_v1
}

sharded_v1() { # eight virtual devices: weights and optimizer state split over all of them
  XLA_FLAGS=--xla_force_host_platform_device_count=8 "$assay" train smoke_tiny --device cpu --name sharded_v1 \
    --set plan.layout=fsdp --set checkpoints.every_steps=20
  seal sharded_v1
  replay sharded_v1
}

failed_v1() { # learning rate and weight decay far too high: the loss stops being a number, and the run says so
  ! "$assay" train smoke_tiny --device cpu --name failed_v1 --steps 200 --set optimizer.learning_rate=10 \
    --set optimizer.warmup_steps=0 --set optimizer.weight_decay=0.99 --set checkpoints.every_steps=10
  seal failed_v1
}

m37_v1() { # the submission's rehearsal: its notebook's own cells on this CPU, after the TPU's compiler saw its step
  local topology
  for topology in v5e-8 v3-8; do
    "$assay" preflight submission_tpu --topology "$topology"
  done
  rm -rf "$ASSAY_HOME/session" && mkdir -p "$ASSAY_HOME/session/came_back"
  "$assay" notebook --rehearse submission_tpu --name m37_v1 --out "$ASSAY_HOME/session/rehearsal.ipynb"
  (cd "$ASSAY_HOME/session" && env -u PYTHONPATH -u XLA_FLAGS PATH="${assay%/*}:$PATH" \
    "${assay%/*}/jupyter-execute" rehearsal.ipynb --output executed)
  tar -xzf "$ASSAY_HOME/session/assay_run.tar.gz" -C "$ASSAY_HOME/session/came_back"
  local run_id
  run_id=$(sed -n 's/.*"run_id": "\(.*\)".*/\1/p' "$ASSAY_HOME/session/came_back/run/spec.json")
  mkdir -p "$ASSAY_HOME/runs" && mv "$ASSAY_HOME/session/came_back/run" "$ASSAY_HOME/runs/$run_id"
  seal m37_v1
  replay m37_v1
}

mkdir -p "$ASSAY_HOME"
[ -e "$ASSAY_HOME/keys/assay.pem" ] || "$assay" key new --name assay
[ $# -gt 0 ] || rm -f submission_runs/trusted_keys.json
"$assay" key trust "$ASSAY_HOME/keys/assay.pub" --name assay --into submission_runs/trusted_keys.json

for name in $names; do
  say "$name"
  "$name"
  "$assay" verify "$name"
done
say "done; the runs and the key are in $ASSAY_HOME"

#!/bin/sh
# Proves or refutes PRIMAL on the GPU of this machine: seven items, each under its own time limit, with a log and one line of verdict.
# After a failure it goes on. It needs a POSIX shell with awk and timeout; python3, ptxas, compute-sanitizer and ncu only where they are.
set -u
here=$(cd "$(dirname "$0")" && pwd)
LC_ALL=C
export LC_ALL PRIMAL_KERNELS="$here/kernels"

usage() {
    cat <<'END'
usage: run.sh [--small] [--items 1,2,...] [--out FOLDER] [SECONDS]
  SECONDS   in all, divided among the items (default 540; 3600 with --small)
  --small   a tiny model and short texts; chosen by itself on an emulated GPU
  --items   only these: 1 machine, 2 verify, 3 sanitizer, 4 speed, 5 peer, 6 kernels, 7 summary
  --out     logs, figures.tsv, verdicts.tsv, summary.json, summary.md (default: results beside this file)
exit code: 0 no item failed, 1 one did, 2 nothing could run
END
}

fail() {
    printf 'run.sh: %s\n' "$1" >&2
    exit 2
}

small='' items=1,2,3,4,5,6,7 out="$here/results" seconds=''
while [ $# -gt 0 ]; do
    case $1 in
    --small) small=1 ;;
    --items | --out)
        [ $# -gt 1 ] || fail "$1: expected a value, found none
  hint: run.sh --help"
        case $1 in --items) items=$2 ;; --out) out=$2 ;; esac
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) seconds=$1 ;;
    esac
    shift
done
case $items in *[!1-7,]* | '') fail "--items: expected numbers from 1 to 7 with commas between them, found '$items'
  hint: --items 1,2,7" ;; esac
case $seconds in *[!0-9]*) fail "SECONDS: expected a whole number, found '$seconds'
  hint: run.sh 540, or run.sh --help" ;; esac
command -v timeout >/dev/null && command -v awk >/dev/null || fail "this machine: expected awk and timeout, found one of them missing
  hint: install coreutils and mawk, or busybox"

# Without a GPU nothing else makes sense; the program says what is missing.
primal="$here/primal-host"
machine=$("$primal" verify machine --device cuda 2>&1) || fail "no GPU can be used: $machine"
fact() { printf '%s\n' "$machine" | sed -n "s/^$1: //p"; }
device=$(fact device) arch=$(fact architecture)
case $device in *emulator*) small=1 ;; esac
if [ -n "$small" ]; then total=${seconds:-3600}; else total=${seconds:-540}; fi
[ "$total" -ge 54 ] || fail "SECONDS: expected 54 or more, found $total
  hint: 540 is enough for all items on a recent card"

mkdir -p "$out" && : >"$out/figures.tsv" && : >"$out/verdicts.tsv" ||
    fail "--out: expected a folder that can be written, found $out
  hint: --out \$HOME/results"
out=$(cd "$out" && pwd)
# What is only needed until the end; whatever else lies in that folder is not ours.
work=$(mktemp -d "$out/work.XXXXXX") || fail "--out: expected a folder that can be written, found $out"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

now() { date +%s; }
tool() { command -v "$1" 2>/dev/null || for folder in /usr/local/cuda/bin /usr/local/cuda/compute-sanitizer /opt/nvidia/nsight-compute/*; do
    [ -x "$folder/$1" ] && printf '%s\n' "$folder/$1" && break
done; }
figure() { printf '%s\t%s\n' "$1" "$2" >>"$out/figures.tsv"; }
note() { notes="${notes:+$notes; }$1"; }

# Runs a command, its output in the item's log, until the item's time is over.
within() {
    left=$((deadline - $(now)))
    if [ "$left" -le 0 ]; then
        printf '\n$ %s\nout of time\n' "$*" >>"$log"
        return 124
    fi
    printf '\n$ %s\n' "$*" >>"$log"
    timeout -k 5 "$left" "$@" >>"$log" 2>&1
}

# The same where it must succeed: else the item fails, and the note says of what.
must() {
    what=$1
    shift
    within "$@" && return
    code=$?
    verdict=failed
    case $code in
    124 | 137 | 143) note "$what: out of time" ;;
    *) note "$what: exit code $code, $(grep -v '^ *hint:' "$log" | tail -n 1 | cut -c 1-160)" ;;
    esac
    return 1
}

# item NUMBER NAME SHARE: SHARE of 540 parts of the time; the function NAME sets `verdict` and adds to `notes`.
item() {
    case ",$items," in *",$1,"*) ;; *) return ;; esac
    limit=$((total * $3 / 540)) began=$(now)
    deadline=$((began + limit)) log="$out/$1-$2.log" verdict=passed notes=''
    : >"$log"
    "item_$2"
    took=$(($(now) - began))
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$verdict" "$took" "$limit" "$notes" >>"$out/verdicts.tsv"
    printf '%s %-9s %s, %s of %s s: %s\n' "$1" "$2" "$verdict" "$took" "$limit" "$notes"
}

# The newest PTX that the card's architecture can run: its own, if it is there.
ptx_of() {
    for file in "$here"/kernels/*.ptx; do
        number=${file##*sm_}
        printf '%s %s\n' "${number%.ptx}" "$file"
    done | sort -n | awk -v own="${1#sm_}" '$1 <= own { file = $2 } END { print file }'
}

item_machine() {
    printf '%s\n' "$machine" >>"$log"
    note "$device, $arch, driver $(fact driver), kernels $(basename "$(fact kernels)") in $(fact 'seconds to load the kernels') s"
    for name in device architecture multiprocessors memory driver kernels 'seconds to load the kernels'; do figure "$name" "$(fact "$name")"; done
    [ -z "$(tool nvidia-smi)" ] || within nvidia-smi || note "nvidia-smi fails"
    ptxas=$(tool ptxas) ptx=$(ptx_of "$arch")
    [ -n "$ptxas" ] || { note "no ptxas"; return; }
    must ptxas "$ptxas" -v "-arch=$arch" -o "$work/kernels.cubin" "$ptx" || return
    figure ptxas "$("$ptxas" --version | sed -n 's/.*release \([^,]*\).*/\1/p')"
    if grep -q '^ptxas warning' "$log"; then
        verdict=failed
        note "$(grep '^ptxas warning' "$log" | head -n 1)"
    else
        note "ptxas takes $(basename "$ptx") without a warning"
    fi
}

item_verify() {
    must 'votes and flips' env CUDA_LAUNCH_BLOCKING=1 "$primal" verify votes --device cuda
    must 'training, text and speech' "$primal" verify steps --device cuda
    must 'ops' "$primal" verify ops --device cuda ${small:+--small}
    note "$(grep -c '^passed ' "$log") checks passed, $(grep -c '^FAILED ' "$log") failed"
    sed -n 's/^FAILED //p' "$log" | cut -c 1-160 | head -n 3 | while read -r line; do printf '    %s\n' "$line"; done
}

item_sanitizer() {
    sanitizer=$(tool compute-sanitizer)
    [ -n "$sanitizer" ] || { verdict=absent; note "tool absent: compute-sanitizer"; return; }
    ran=0
    for check in memcheck racecheck synccheck initcheck; do
        # On virtual machines the tools are often there and refuse: then one op already fails to run.
        one="$work/$check.txt"
        left=$((deadline - $(now)))
        [ "$left" -gt 0 ] || { verdict=failed; note "$check: out of time"; continue; }
        timeout -k 5 "$left" "$sanitizer" --tool $check "$primal" verify ops --op add --device cuda >"$one" 2>&1
        cat "$one" >>"$log"
        if ! grep -q 'SUMMARY' "$one" || ! grep -q '^passed ops' "$one"; then
            note "$check refuses: $(grep '=====' "$one" | tail -n 1 | cut -c 1-100)"
            continue
        fi
        ran=$((ran + 1))
        # An allocation for each span; initcheck must see for itself what nobody wrote.
        case $check in initcheck) debug=bare ;; *) debug=1 ;; esac
        set -- env PRIMAL_CUDA_DEBUG=$debug "$sanitizer" --tool $check --error-exitcode 99 "$primal"
        must "$check, training" "$@" train --config gpt-nano --batch 2 --seq-len 64 --steps 2 --device cuda --out "$work/$check" &&
            must "$check, speech" "$@" tts --text "$sentence" --output "$work/$check.wav" --device cuda && note "$check finds nothing"
    done
    [ "$ran" -gt 0 ] || verdict=absent
}

# Writes the most of the card's memory that was in use so far, in MiB, by what nvidia-smi says.
watch_memory() {
    most=0
    while :; do
        used=$("$smi" --query-gpu=memory.used --format=csv,noheader,nounits --id=0 2>/dev/null)
        [ "${used:-0}" -gt "$most" ] 2>/dev/null && most=$used && printf '%s\n' "$most" >"$work/memory"
        sleep 1
    done
}

# configure on|off: the model's configuration, with or without recomputation; sets `config`, and the MiB `planned` for it.
configure() {
    config="$work/$model-recompute-$1.toml"
    awk -v value="$1" '{ print } /^\[train\]/ { printf "recompute = \"%s\"\n", value }' "$here/configs/$model.toml" >"$config"
    planned=$("$primal" plan --config "$config" --batch "$batch" --seq-len "$seq_len" --device cuda --json | sed -n 's/.*"total_bytes":\([0-9]*\).*/\1/p')
    planned=$((planned / 1048576))
    free=$(fact memory | sed -n 's/.*, \([0-9]*\) MiB free/\1/p')
    [ "$planned" -le "$free" ]
}

item_speed() {
    smi=$(tool nvidia-smi)
    before=0
    [ -z "$smi" ] || before=$("$smi" --query-gpu=memory.used --format=csv,noheader,nounits --id=0)
    for recompute in off on; do
        prefix="speed.recompute_$recompute" run="$work/$recompute"
        configure $recompute || { note "recompute $recompute: $planned MiB do not fit into $free"; continue; }
        figure "$prefix.planned_mib" "$planned"
        set -- --config "$config" --batch "$batch" --seq-len "$seq_len" --device cuda
        echo 0 >"$work/memory"
        [ -z "$smi" ] || { watch_memory & watcher=$!; }
        must "train, recompute $recompute" "$primal" train "$@" --steps 9 --out "$run"
        [ -z "$smi" ] || kill "$watcher"
        rate=$(sed -n 's/.*"step":\([0-9]*\),.*"tokens_per_second":\([0-9.]*\).*/\1 \2/p' "$run/metrics.jsonl" 2>/dev/null |
            awk '$1 >= 3 { print $2 }' | sort -n | awk '{ x[NR] = $1 } END { if (NR) printf "%.1f", x[int((NR + 1) / 2)] }')
        [ -n "$rate" ] || continue
        figure "$prefix.tokens_per_second" "$rate"
        note "recompute $recompute: $(printf '%.0f' "$rate") tokens/s"
        if [ -n "$smi" ]; then
            figure "$prefix.peak_mib" $(($(cat "$work/memory") - before))
            note "$(($(cat "$work/memory") - before)) MiB of $planned planned"
        fi
    done
    checkpoint=$(ls "$work"/*/checkpoints/step-00000009.safetensors 2>/dev/null | head -n 1)
    [ -n "$checkpoint" ] || { verdict=failed; note "no checkpoint to generate from"; return; }
    must generate "$primal" generate --checkpoint "$checkpoint" --max-tokens "$new_tokens" --device cuda --json || return
    rate=$(sed -n 's/.*"tokens_per_second":\([0-9.]*\).*/\1/p' "$log" | awk '{ rate = $1 } END { printf "%.1f", rate }')
    figure generate.tokens_per_second "$rate"
    note "generate: $(printf '%.0f' "$rate") tokens/s"
}

item_peer() {
    python=$(command -v python3)
    [ -n "$python" ] && "$python" -c 'import torch; assert torch.cuda.is_available()' 2>>"$log" ||
        { verdict=absent; note "tool absent: python3 with PyTorch that sees the GPU"; return; }
    must peer.py env PYTHONUNBUFFERED=1 "$python" "$here/peer.py" --batch "$batch" --seq-len "$seq_len" --seconds $((deadline - $(now) - 3))
    sed -n 's/^figure \(.*\)/\1/p' "$log" | tr ' ' '\t' >>"$out/figures.tsv"
    sed -n 's/^figure peer\.\([a-z]*\)\.tokens_per_second \([0-9]*\).*/\1: \2 tokens\/s/p' "$log" >"$work/peer"
    while read -r line; do note "$line"; done <"$work/peer"
}

# The kernels of one step: what three steps take and one does not, halved. Both end with the same validation and sample.
item_kernels() {
    configure off || configure on
    set -- train --config "$config" --batch "$batch" --seq-len "$seq_len" --device cuda
    for steps in 1 3; do
        must "events, $steps steps" env PRIMAL_CUDA_PROFILE="$work/steps-$steps.tsv" \
            "$primal" "$@" --steps $steps --out "$work/profile-$steps" || return
    done
    awk -F '\t' 'NR == FNR { n[$1] = $2; ms[$1] = $3; next } $2 > n[$1] { printf "%s\t%d\t%.4f\t%.4f\n", $1, ($2 - n[$1]) / 2, ($3 - ms[$1]) / 2, $4 }' \
        "$work/steps-1.tsv" "$work/steps-3.tsv" | sort -t "$(printf '\t')" -k 3,3 -n -r >"$out/kernels.tsv"
    note "events: $(awk -F '\t' '{ n += $2; ms += $3 } END { printf "%d launches, %.1f ms a step", n, ms }' "$out/kernels.tsv")"
    ncu=$(tool ncu)
    [ -n "$ncu" ] || { verdict=absent; note "tool absent: ncu"; return; }
    names=$(head -n 10 "$out/kernels.tsv" | cut -f 1 | tr '\n' '|')
    set -- "$ncu" --csv --page raw --log-file "$out/ncu.csv" --kernel-name "regex:^(${names%|})\$" --filter-mode per-launch-config \
        --launch-count 1 --clock-control none --section SpeedOfLight --section ComputeWorkloadAnalysis --section MemoryWorkloadAnalysis \
        --section MemoryWorkloadAnalysis_Tables --section LaunchStats --section Occupancy "$primal" "$@"
    must ncu "$@" --steps 1 --out "$work/ncu"
    if ! grep -q '^"[0-9]' "$out/ncu.csv" 2>/dev/null; then
        verdict=absent
        note "ncu reads no counters: $(grep -h '==ERROR==' "$out/ncu.csv" "$log" | head -n 1 | cut -c 1-120)"
    fi
}

item_summary() {
    awk -v format=json -f "$here/summary.awk" "$here/predictions.tsv" "$here/step-before.tsv" "$here/step-now.tsv" "$out/verdicts.tsv" "$out/figures.tsv" "$out/kernels.tsv" "$out/ncu.csv" \
        >"$out/summary.json" 2>>"$log" || verdict=failed
    awk -v format=markdown -f "$here/summary.awk" "$here/predictions.tsv" "$here/step-before.tsv" "$here/step-now.tsv" "$out/verdicts.tsv" "$out/figures.tsv" "$out/kernels.tsv" "$out/ncu.csv" \
        >"$out/summary.md" 2>>"$log" || verdict=failed
    note "$out/summary.md"
}

if [ -n "$small" ]; then
    model=gpt-nano batch=2 seq_len=64 new_tokens=8 sentence='Oh my ghost.'
else
    model=gpt-0.1b batch=64 seq_len=512 new_tokens=200 sentence='The ghost in the machine is singing.'
fi
figure model "$model" && figure batch "$batch" && figure seq_len "$seq_len" && figure version "$(cat "$here/VERSION")" && figure date "$(date -u +%Y-%m-%d)"
: >"$out/kernels.tsv" && : >"$out/ncu.csv"

item 1 machine 15
item 2 verify 150
item 3 sanitizer 100
item 4 speed 110
item 5 peer 80
item 6 kernels 75
item 7 summary 10
awk -F '\t' '{ n[$3]++ } END { printf "%d items ran: %d passed, %d failed; %d absent, neither passed nor failed\n", n["passed"] + n["failed"], n["passed"], n["failed"], n["absent"]; exit n["failed"] > 0 }' "$out/verdicts.tsv"

# Shared by scripts/load and scripts/bench-overhead: cores, and processes that end with the script.
# Source it after scripts/common.sh; it is not a command.

has taskset || fail "taskset is missing." "Install util-linux; these scripts need Linux."
[ -r /proc/self/status ] || fail "there is no /proc." "These scripts need Linux."

lab=target/release/lopper-lab
lopper=target/release/lopper
model=${LOPPER_SCORER_MODEL:-models/SmolLM2-135M-Instruct.Q8_0.gguf}
[ -f "$model" ] || scripts/fetch-model

# The proxy gets the last core that this shell may use, alone; the stub and the clients get the others.
mapfile -t cores < <(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' | while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done)
[ ${#cores[@]} -ge 2 ] || fail "there is one core only." "A proxy and its load need a core each; use a machine with two or more."
proxy_core=${cores[-1]}
load_cores=$(IFS=,; echo "${cores[*]:0:${#cores[@]}-1}")

scratch=$(mktemp -d)
started=()
# Ends the processes that were started, by their ids, and waits for them.
end_all() {
    [ ${#started[@]} -eq 0 ] || kill "${started[@]}" 2>/dev/null || true
    wait || true
    rm -rf "$scratch"
}
trap end_all EXIT

# start NAME CORES COMMAND...: runs the command in the background on these cores; its output goes to NAME.out and
# NAME.err, its id to `pid`.
start() {
    local name=$1 on=$2
    shift 2
    taskset -c "$on" "$@" >"$scratch/$name.out" 2>"$scratch/$name.err" &
    pid=$!
    started+=("$pid")
}

# listening NAME: waits until it listens, and prints its URL.
listening() {
    local tries url
    for ((tries = 0; tries < 1200; tries++)); do
        url=$(sed -n 's/^listening on //p' "$scratch/$1.out")
        [ -z "$url" ] || { echo "$url" && return; }
        kill -0 "${started[-1]}" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$scratch/$1.err" >&2
    fail "$1 does not listen; above is what it said."
}

# start_lopper UPSTREAM CORES: starts Lopper with its defaults in front of it; sets `lopper_url` and `lopper_pid`.
start_lopper() {
    LOPPER_SCORER_MODEL=$model LOPPER_ADMIN_LISTEN=off \
        start lopper "$2" "$lopper" serve --listen 127.0.0.1:0 --upstream "$1/v1"
    lopper_pid=$pid
    lopper_url=$(listening lopper)
}

# measure COMMAND...: runs `lopper-lab load` on its cores.
measure() {
    taskset -c "$load_cores" "$lab" load "$@"
}

# about_machine: describes the machine.
about_machine() {
    local name
    name=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
    echo "Measured on ${name:-this machine}, ${#cores[@]} cores, load average $(cut -d' ' -f1-3 /proc/loadavg) before; $("$lopper" --version)." \
        "A proxy runs on core $proxy_core alone, the stub and the clients on ${load_cores//,/, }."
}

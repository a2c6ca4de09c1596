# What every script here shares: strictness, the repository's root as the working directory, headings, errors.
# Source it; it is not a command.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# heading TEXT: what happens next, with the time since this script began.
heading() {
    printf '\n== %s  [%d:%02d]\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)) >&2
}

# say TEXT: one line about the step that runs.
say() {
    printf '   %s\n' "$*" >&2
}

# fail TEXT...: ends the script; one line for each argument: what is wrong, then what to do.
fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    [ $# -eq 0 ] || printf '       %s\n' "$@" >&2
    exit 1
}

# has COMMAND: whether the command can be run.
has() {
    command -v "$1" >/dev/null 2>&1
}

# require_chromium: sees to it that there is a browser for the dashboard; installs it where it may.
require_chromium() {
    [ -z "${CHROMIUM:-}" ] && ! has chromium && ! has google-chrome || return 0
    if has apt-get && [ "$(id -u)" -eq 0 ]; then
        say "installing chromium"
        apt-get update -q >&2 || say "the package lists could not be refreshed; trying with those that are here"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core >&2 ||
            fail "apt-get could not install chromium." "Install it by hand, or set CHROMIUM to a browser like it."
    else
        fail "chromium is missing." "Install it (Debian: sudo apt-get install -y chromium), or set CHROMIUM to a browser like it."
    fi
}

# The profile that is built, and the command that comes of it. Tests use `ci`: what is shipped takes longer to build.
profile=${PROFILE:-release}
lopper=target/$profile/lopper

# cargo built by rustup may not be on the path of a fresh shell yet.
if ! has cargo && [ -x "$HOME/.cargo/bin/cargo" ]; then
    PATH="$HOME/.cargo/bin:$PATH"
fi

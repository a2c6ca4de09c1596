"""Runs coding assistants against a scripted upstream, directly and through Lopper, and compares what arrived.

Run by scripts/test-clients, which installs the clients. A client starts each time from a fresh copy of the same small
repository, at the same path, with a fresh home, and with no way out but the loopback.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import play
from compare import Findings, compare
from upstream import Upstream

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Where each file of the small repository comes from.
FILES = {
    play.EDITED: "tests/fixtures/inventory.py",
    play.OTHER: "src/pipeline/block.rs",
    play.THIRD: "src/syntax/splitter.rs",
    "warehouse/ledger.py": "tests/fixtures/reference/ledger.py",
}
# A long file is read; the edit has to apply. Shorter ones would show nothing.
LINES_AT_LEAST = 300
ENDS_WITHIN = 570  # seconds, for one command of a client; scoring runs on the CPU
KEY = "sk-none"
PROBLEMS_SHOWN = 20


@dataclass
class World:
    """Where one run of a client happens."""

    cache: Path
    repo: Path
    home: Path
    base_url: str

    def package(self, name, path):
        return str(self.cache / name / path)


@dataclass
class Client:
    """`commands`: from a World to the arguments and the standard input of one or more processes, one after the other.
    `pruned`, `whole`: see compare(). `heard`: from the output to the words of the assistant in it. `package`: what it
    is installed as, where that is not its name."""

    name: str
    play: object
    commands: object
    pruned: set
    whole: set
    heard: object = staticmethod(lambda output: output)
    package: str = ""


def sdk_python(world):
    program = [world.package("openai-python", "bin/python"), str(HERE / "sdk.py")]
    yield ["env", f"OPENAI_BASE_URL={world.base_url}", *program, str(world.repo)], ""


def sdk_node(world):
    asked = json.dumps({name: getattr(play, name) for name in ("EDITED", "OLD", "NEW", "WHY", "THEN")})
    program = ["node", str(HERE / "sdk.mjs"), world.package("openai-node", "")]
    yield ["env", f"OPENAI_BASE_URL={world.base_url}", *program, str(world.repo), asked], ""


def aider(world):
    yield [
        *(world.package("aider", "bin/aider"), "--model", "openai/gpt-4o", "--openai-api-base", world.base_url),
        *("--file", play.EDITED, "--read", play.OTHER, "--yes-always", "--no-check-update", "--analytics-disable"),
        *("--no-show-release-notes", "--no-show-model-warnings", "--no-pretty", "--no-fancy-input", "--no-gitignore"),
    ], f"{play.WHY}\n{play.THEN}\n"


def codex_with(model, built_in=False):
    """`built_in`: with the provider that Codex has, and the base URL alone; it tries a WebSocket first."""

    def commands(world):
        settings = world.home / ".codex/config.toml"
        settings.parent.mkdir()
        example = (ROOT / "examples/codex/config.toml").read_text()
        if built_in:
            example = 'model = "gpt-5.5"\nopenai_base_url = "http://127.0.0.1:8787/v1"\n'
        settings.write_text(pointed(example, world).replace('model = "gpt-5.5"', f'model = "{model}"'))
        start = ["env", f"CODEX_API_KEY={KEY}", world.package("codex", "node_modules/.bin/codex"), "exec"]
        flags = ["--dangerously-bypass-approvals-and-sandbox", "--json"]
        yield [*start, *flags, play.WHY], ""
        yield [*start, "resume", "--last", *flags, play.THEN], ""

    return commands


def opencode(world):
    example = (ROOT / "examples/opencode/opencode.json").read_text()
    settings = world.home / ".config/opencode/opencode.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(pointed(example, world))
    start = [world.package("opencode", "node_modules/.bin/opencode"), "run", "--auto", "--format", "json"]
    yield [*start, "--model", "lopper/gpt-4o", play.WHY], ""
    yield [*start, "--continue", "--file", play.THIRD, "--", play.THEN], ""


def pointed(example, world):
    """The settings of an example, with the address of this run."""
    address = "http://127.0.0.1:8787/v1"
    assert address in example, "the example names no address"
    return example.replace(address, world.base_url)


def events(read):
    """Reads JSON lines; `read` gives an event's text."""

    def heard(output):
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return "\n".join(text for line in lines if (text := read(line)))

    return heard


def of_codex(event):
    item = event.get("item", {})
    return item.get("text") if event["type"] == "item.completed" and item.get("type") == "agent_message" else None


def of_opencode(event):
    return event["part"]["text"] if event["type"] == "text" else None


def clients(repo):
    ranges = {"call_search", "call_range", "call_edit", "call_diff", "call_again"}
    sdk = {"pruned": {play.EDITED, "call_other"}, "whole": {"call_edit", "call_again"}}
    codex = {"pruned": {"call_read", "call_other", "call_numbered"}, "whole": ranges}
    codex |= {"heard": events(of_codex), "package": "codex"}
    return [
        Client("openai-python", play.sdk(), sdk_python, **sdk),
        Client("openai-node", play.sdk(), sdk_node, **sdk),
        Client("aider", play.aider(), aider, pruned={play.OTHER}, whole=set()),
        Client("codex", play.codex(code_mode=False), codex_with("gpt-5.5"), **codex),
        Client("codex-built-in", play.codex(code_mode=False), codex_with("gpt-5.5", built_in=True), **codex),
        Client("codex-code-mode", play.codex(code_mode=True), codex_with("gpt-6-sol"), **codex),
        Client(
            "opencode",
            play.opencode(repo),
            opencode,
            pruned={"call_read", "call_other", play.THIRD},
            whole=ranges | {"call_cat"},
            heard=events(of_opencode),
        ),
    ]


# --- one run


def fresh(world):
    for folder in (world.repo, world.home):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for path, source in FILES.items():
        text = (ROOT / source).read_text()
        if play.EDITED == path or path in (play.OTHER, play.THIRD):
            assert text.count("\n") >= LINES_AT_LEAST, f"{source} has become too short for this test; name another"
        (world.repo / path).parent.mkdir(parents=True, exist_ok=True)
        (world.repo / path).write_text(text)
    (world.repo / "README.md").write_text("# Warehouse\n\nStock keeping for a small mail-order warehouse.\n")
    assert (world.repo / play.EDITED).read_text().count(play.OLD) == 1, "the edit would not apply"
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "A warehouse"]):
        subprocess.run(["git", *command], cwd=world.repo, env=environment(world), check=True)


def environment(world, upstream=None):
    """Nothing of this machine's settings; the same dates for the same commits; no way out but the loopback."""
    way_out = f"http://127.0.0.1:{upstream.server_port}" if upstream else "http://127.0.0.1:9"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(world.home),
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENAI_API_KEY": KEY,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in PERSON.items()},
        **{name: way_out for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")},
        **{name: "127.0.0.1,localhost" for name in ("NO_PROXY", "no_proxy")},
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "npm_config_offline": "true",
        "npm_config_update_notifier": "false",
    }


PERSON = {"NAME": "A. Person", "EMAIL": "person@example.com", "DATE": "2026-01-02T03:04:05Z"}


@dataclass
class Run:
    """What one run of a client left behind."""

    requests: list
    heard: str
    said: list
    edited: bool
    wrong: list
    outside: list

    @property
    def intact(self):
        # Clients wrap no lines here, but they do trim them.
        return all(text.strip() in self.heard for text in self.said if text != play.SIDE)


def run(client, world, upstream, folder):
    fresh(world)
    shutil.rmtree(folder, ignore_errors=True)
    upstream.begin(client.play, folder)
    wrong, output = [], ""
    for arguments, given in client.commands(world):
        try:
            done = subprocess.run(
                arguments,
                cwd=world.repo,
                env=environment(world, upstream),
                input=given,
                capture_output=True,
                text=True,
                timeout=ENDS_WITHIN,
            )
        except subprocess.TimeoutExpired as late:
            wrong.append(f"still running after {ENDS_WITHIN} s: {str(late.stderr)[-1500:]}")
            break
        (folder / "output.txt").open("a").write(f"{done.stdout}\n--- stderr\n{done.stderr}\n")
        output += done.stdout
        if done.returncode:
            wrong.append(f"exit code {done.returncode}: {(done.stderr or done.stdout)[-1500:]}")
            break
    wrong += upstream.failures
    edited = play.NEW in (world.repo / play.EDITED).read_text()
    if not edited:
        wrong.append("the edit was not applied")
    for path in FILES:
        if "[lopper:" in (world.repo / path).read_text().replace((ROOT / FILES[path]).read_text(), ""):
            wrong.append(f"a marker was written into {path}")
    result = Run(upstream.seen, client.heard(output), upstream.said, edited, wrong, upstream.outside)
    if not result.intact:
        wrong.append("an answer did not arrive whole")
    return result


@contextlib.contextmanager
def lopper(command, model, upstream, work):
    """`lopper serve` in front of the upstream; gives its base URL.

    One for all clients, so that what they have in common is scored once."""
    # What is left out must not depend on how fast this machine is.
    settings = {"PATH": os.environ["PATH"], "HOME": str(work), "LOPPER_SCORER_DEADLINE_MS": "3600000"}
    arguments = ["serve", "--listen", "127.0.0.1:0", "--upstream", upstream.url, "--model", str(model.resolve())]
    log, pipe = work / "lopper.log", subprocess.PIPE
    with log.open("w") as stderr:
        options = {"env": settings, "cwd": work, "stdout": pipe, "stderr": stderr, "text": True}
        process = subprocess.Popen([str(command.resolve()), *arguments], **options)
        try:
            address = next((line.split()[-1] for line in process.stdout if "listening on http://" in line), None)
            if not address:
                raise SystemExit(f"lopper ended before it listened:\n{log.read_text()[-2000:]}")
            yield f"{address}/v1"
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()


# --- the report


def tokens(requests):
    """About as many tokens as the bodies have, at four characters each."""
    return sum(len(request.body.decode()) for request in requests) // 4


def version(client, cache):
    return (cache / (client.package or client.name) / "version").read_text().strip()


COLUMNS = "client version requests direct through saved edit stream elsewhere history".split()


def row(client, cache, direct, through, findings):
    before, after = tokens(direct.requests), tokens(through.requests)
    return [
        client.name,
        version(client, cache),
        len(through.requests),
        before,
        after,
        f"{100 * (before - after) / max(before, 1):.0f} %",
        "applied" if direct.edited and through.edited else "NOT",
        "intact" if direct.intact and through.intact else "NOT",
        findings.changed_elsewhere,
        findings.history_bytes_changed,
    ]


def table(rows):
    rows = [COLUMNS, *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[at]) for row in rows) for at in range(len(COLUMNS))]
    for line in rows:
        print("   " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def save(folder, target, world):
    """A recording without this machine's paths."""
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.*"):
        old.unlink()
    port = re.compile(r"127\.0\.0\.1:\d+")
    for file in sorted(file for file in folder.iterdir() if file.suffix in (".head", ".body")):
        text = file.read_text().replace(str(world.repo), "/home/me/shop")
        text = text.replace(str(world.home), "/home/me").replace(str(ROOT), "/home/me/lopper")
        (target / file.name).write_text(port.sub("127.0.0.1:8787", text))


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("clients", nargs="*", help="names; none: all")
    arguments.add_argument("--cache", type=Path, required=True, help="folder of the installed clients")
    arguments.add_argument("--lopper", type=Path, required=True, help="the lopper command")
    arguments.add_argument("--model", type=Path, required=True, help="the GGUF model that scores")
    arguments.add_argument("--work", type=Path, help="folder for what the runs leave; else it goes on success")
    arguments.add_argument("--save", type=Path, metavar="FOLDER", help="keep what the clients sent directly")
    arguments.add_argument("--direct-only", action="store_true", help="leave Lopper out")
    arguments = arguments.parse_args()
    # A folder of its own: two of these programs may run at the same time.
    cache = arguments.cache.resolve()
    work = Path(arguments.work or tempfile.mkdtemp(prefix="lopper-clients-")).resolve()
    every = clients(work / "shop")
    unknown = set(arguments.clients) - {client.name for client in every}
    if unknown:
        raise SystemExit(f"no such client: {', '.join(sorted(unknown))}; there are {[client.name for client in every]}")
    chosen = [client for client in every if not arguments.clients or client.name in arguments.clients]
    upstream = Upstream(models=("gpt-4o", "gpt-5.5")).serve_in_background()
    world = World(cache, work / "shop", work / "home", upstream.url)
    work.mkdir(parents=True, exist_ok=True)
    rows, failed = [], False
    with contextlib.ExitStack() as stack:
        base_url = None
        if not arguments.direct_only:
            base_url = stack.enter_context(lopper(arguments.lopper, arguments.model, upstream, work))
        for client in chosen:
            result, wrong = examine(client, world, base_url, upstream, work, arguments.save)
            rows.append(result)
            print(f"   {client.name}: {f'{len(wrong)} problems' if wrong else 'as it should be'}", flush=True)
            for text in wrong[:PROBLEMS_SHOWN]:
                print(f"      {text}")
            failed |= bool(wrong)
    print()
    table(rows)
    print("   direct, through: tokens of all requests, a token being four characters; elsewhere: what else changed;")
    print("   history: bytes of earlier turns that changed")
    if failed or arguments.work:
        print(f"   what was sent is in {work}")
    else:
        shutil.rmtree(work)
    sys.exit(failed)


def examine(client, world, base_url, upstream, work, keep):
    """The client's line of the table, and what is wrong. Without a `base_url`, Lopper is left out."""
    direct = run(client, world, upstream, work / client.name / "direct")
    wrong = [f"directly: {text}" for text in direct.wrong]
    if keep:
        save(work / client.name / "direct", keep / client.name, world)
    through, findings = direct, Findings()
    if base_url and not wrong:
        through = run(client, replace(world, base_url=base_url), upstream, work / client.name / "through")
        findings = compare(direct.requests, through.requests, client.pruned, client.whole)
        wrong = [f"through Lopper: {text}" for text in through.wrong] + findings.wrong
    return row(client, world.cache, direct, through, findings), wrong


if __name__ == "__main__":
    main()

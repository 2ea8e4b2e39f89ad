"""What `deploy/` holds fits the project: commands exist, requirements are locked, nothing runs as root."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from ripresa import Config

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def instructions():
    """The Dockerfile's, a line each."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [line.split(None, 1) for line in text.splitlines() if line.strip()]


def test_the_image_does_not_run_as_root_and_drains_when_it_is_stopped():
    last_stage = instructions()[[word for word, _ in instructions()].index("FROM", 2) :]
    told = dict(last_stage)
    user, group = told["USER"].split(":")
    assert int(user) >= 1000
    assert int(group) >= 1000
    assert told["STOPSIGNAL"] == "SIGTERM"
    assert "pip" not in " ".join(rest for word, rest in last_stage if word == "RUN"), "what is kept installs nothing"


def test_what_is_copied_is_there_and_is_not_ignored():
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source in kept, f"{source} is ignored"


def test_requirements_are_locked_for_all_that_an_engine_may_need():
    locked = (ROOT / "requirements" / "deploy.txt").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in ("container", "kubernetes", "postgres", "celery"):
        for wanted in extras[extra]:
            name = re.split(r"[\[><=]", wanted)[0]
            line = rf"^{re.escape(name.replace('_', '-'))}(\[\w+\])?=="
            assert re.search(line, locked, re.MULTILINE | re.IGNORECASE), name
    versions = re.findall(r"^[\w.\[\]-]+==", locked, re.MULTILINE)
    assert len(versions) > 20
    assert locked.count("--hash=sha256:") >= len(versions)


def test_the_compose_file_has_no_default_password_and_opens_nothing():
    text = (DEPLOY / "compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    assert {"postgres", "rabbitmq", "redis", "engine", "celery"} <= services.keys()
    for name, service in services.items():
        assert "ports" not in service, name
        assert "privileged" not in service, name
        assert service["restart"] == "unless-stopped", name
        image = service["image"]
        assert image == "ripresa" or re.search(r":\d+$", image), f"{name}: {image} has no version"
    for variable in re.findall(r"\$\{(\w*PASSWORD\w*)([^}]*)\}", text):
        assert variable[1].startswith(":?"), f"{variable[0]} must be given"
    for name in ("engine", "celery"):
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["read_only"] is True


@pytest.mark.parametrize("service", ["engine", "celery"])
def test_what_the_compose_file_starts_is_there(service):
    told = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"][service]
    command = [*told.get("entrypoint", ["ripresa"]), *told["command"]]
    program = [str(Path(sys.executable).with_name(command[0])), *command[1:], "--help"]
    given = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"][service]["environment"]
    env = {**os.environ, **{name: re.sub(r"\$\{[^}]*\}", "secret", value) for name, value in given.items()}}
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False, env=env)
    assert done.returncode == 0, done.stderr


def test_the_unit_drains_and_gives_time_for_it(tmp_path):
    unit = (DEPLOY / "ripresa-worker@.service").read_text()
    told = configparser.ConfigParser(strict=False, interpolation=None)
    told.optionxform = str
    told.read_string(unit)
    service = told["Service"]
    assert service["ExecStart"] == "/opt/ripresa/bin/ripresa worker"
    assert service["KillSignal"] == "SIGTERM"
    assert int(service["TimeoutStopSec"]) > Config().drain_s
    assert service["NoNewPrivileges"] == "yes"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("CI"), reason="there is no systemd to ask"
)
def test_the_unit_is_one_that_systemd_takes(tmp_path):
    unit = (DEPLOY / "ripresa-worker@.service").read_text()
    (tmp_path / "ripresa-worker@shop.service").write_text(unit.replace("/opt/ripresa/bin/ripresa", "/bin/true"))
    verify = ["systemd-analyze", "verify", str(tmp_path / "ripresa-worker@shop.service")]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ripresa-worker" not in done.stderr, done.stderr

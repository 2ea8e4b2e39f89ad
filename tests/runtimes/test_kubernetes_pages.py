"""What the page and the example on Kubernetes show can be read by what reads it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from ripresa.cli.main import main
from ripresa.engine.definitions import file_definition
from ripresa.runtimes.job_settings import JobSettings
from ripresa.runtimes.kubernetes.policy import KubernetesPolicy

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "kubernetes"


def test_the_settings_on_the_page_are_all_there_are():
    page = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    block = re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1]
    told = tomllib.loads(block)["runtimes"]["kubernetes"]
    JobSettings.read({"runtimes": {"kubernetes": told}}, ROOT)
    assert set(told) == {field.name for field in fields(KubernetesPolicy)}


def test_what_is_said_to_be_left_out_is_the_default():
    told = KubernetesPolicy()
    assert (told.start_within, told.patience, told.keep) == (600, 300, 7 * 86_400)
    assert (told.pull, told.user, told.read_only, told.output_image) == ("missing", "65534:65534", False, None)


def test_the_example_is_valid():
    definition = file_definition(EXAMPLE / "daily.yaml")
    assert definition.name == "daily_sales"
    assert JobSettings.from_file(EXAMPLE / "ripresa.toml").kubernetes.namespace == "pipelines"
    kubernetes_validate.validate(yaml.safe_load((EXAMPLE / "role.yaml").read_text()), "1.37", strict=True)


def test_the_example_is_explained(monkeypatch, capsys):
    monkeypatch.chdir(EXAMPLE)
    monkeypatch.setattr("sys.argv", ["ripresa", "explain", "daily.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (None, 0)
    told = capsys.readouterr().out
    assert "lakehouse/box:1.0 on Kubernetes" in told
    assert "secret:shop-db#password for extract, as DB_PASSWORD" in told

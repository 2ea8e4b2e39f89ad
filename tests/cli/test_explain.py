"""`ripresa explain`: fields of the contract, and what a file comes to, for people and for programs."""

import json

import pytest

WORKFLOW = """
workflow:
  name: daily
  version: "2.1"
  schedule: {cron: "30 2 * * *", timezone: Europe/Paris}
  defaults: {timeout: 1h}
  jobs:
    - job:
        name: extract
        image: lake/extract:1
        secrets: {DB_PASSWORD: "secret:sales/db#password"}
        retry: {max_attempts: 9, delay: 5m, exponential_backoff: true, max_delay: 30m, jitter: full}
    - python: {name: score, call: "pkg.mod:score"}
      depends_on: [extract]
    - signal: {name: approval, timeout: 2d}
      depends_on: [score]
"""


@pytest.fixture
def daily(shop):
    (shop.folder / "daily.yaml").write_text(WORKFLOW)
    return shop


def test_a_field_is_explained_in_every_format(shop):
    yaml = pytest.importorskip("yaml")
    done = shop("explain", "workflow.jobs.job.retry.max_delay")
    assert done.stdout.startswith("workflow.jobs.job.retry.max_delay   duration\n")
    assert "No wait is longer." in done.stdout
    assert "default  1h" in done.stdout
    told = shop.json("explain", "workflow.jobs.job.retry.max_delay")
    assert (told["type"], told["default"], told["required"]) == ("duration", "1h", False)
    assert yaml.safe_load(shop("explain", "max_delay", "-o", "yaml").stdout)["says"] == told["says"]


def test_a_prefix_lists_its_fields_and_nothing_shows_the_top(shop):
    listed = shop("explain", "workflow.schedule").stdout
    assert "day_match" in listed
    assert "skip | queue | allow" not in listed
    assert "One of skip, queue, allow, cancel_running." in " ".join(listed.split())
    assert "workflow" in shop("explain").stdout


def test_a_near_miss_is_usage_and_told_what_was_meant(shop):
    done = shop("explain", "workflow.jobs.job.retri", code=2)
    assert done.stderr == (
        'error: workflow.jobs.job.retri: there is no such field; did you mean "workflow.jobs.job.retry"?\n'
    )


def test_a_file_is_told_as_text_without_colours_in_a_pipe(daily):
    done = daily("explain", "daily.yaml", "--now", "2026-03-27T12:00+01:00")
    text = " ".join(done.stdout.split())
    assert "\x1b" not in done.stdout
    assert all(line == line.rstrip() for line in done.stdout.splitlines())
    assert done.stdout.startswith("daily 2.1   daily.yaml, version ")
    assert "at 02:30 every day, by the clock of Europe/Paris" in text
    assert "1. extract 2. score 3. approval" in text
    assert "9 in all; waits of 5m, 10m, 20m, 30m × 5, 3h5m together; full jitter draws each evenly" in text
    assert "Sun 2026-03-29 03:00 +0200" in text
    assert "its time does not exist that day" in text
    assert "secret:sales/db#password for extract, as DB_PASSWORD" in text
    assert "when extract has succeeded" in text


def test_a_file_is_told_as_data_that_does_not_change(daily):
    first, second = (daily("explain", "daily.yaml", "--now", "2026-03-27", "-o", "json").stdout for _ in range(2))
    assert first == second
    told = json.loads(first)
    assert (told["kind"], told["name"], told["label"], told["file"]) == ("workflow", "daily", "2.1", "daily.yaml")
    assert told["layers"] == [["extract"], ["score"], ["approval"]]
    assert told["jobs"][0]["attempts"]["waits_s"] == [300, 600, 1200, 1800, 1800, 1800, 1800, 1800]
    assert len(told["schedule"]["starts"]) == 5
    assert {one["target"] for one in told["targets"]} >= {"airflow", "stepfunctions"}


def test_a_target_is_told_by_itself_the_worst_first(daily):
    text = daily("explain", "daily.yaml", "--target", "airflow").stdout
    lines = text.splitlines()
    assert "airflow: refused" in lines
    fits = [line.split()[0] for line in lines if line.startswith(("refused", "approximate", "emulated", "exact"))]
    assert fits == sorted(fits, key=["refused", "approximate", "emulated", "exact"].index)
    assert "workflow.jobs[2].signal" in text
    (one,) = daily.json("explain", "daily.yaml", "--target", "argo")["targets"]
    assert one["target"] == "argo"
    assert 'did you mean "airflow"?' in daily("explain", "daily.yaml", "--target", "arflow", code=2).stderr


def test_one_job_can_be_asked_for(daily):
    assert daily("explain", "daily.yaml", "--job", "extract").stdout.startswith("extract   job   lake/extract:1")
    assert daily.json("explain", "daily.yaml", "--job", "score")["starts"] == "when extract has succeeded"
    assert 'did you mean "extract"?' in daily("explain", "daily.yaml", "--job", "extrac", code=2).stderr


def test_where_there_is_only_ascii_it_is_written_in_ascii(daily):
    told = daily("explain", "daily.yaml", "--now", "2026-03-27", PYTHONIOENCODING="ascii").stdout
    assert told.isascii()
    assert "03-27 02:30 -> 03-28 02:30" in told
    assert "30m x 5" in told


def test_yaml_and_json_hold_the_same(daily):
    yaml = pytest.importorskip("yaml")
    asked = ("explain", "daily.yaml", "--now", "2026-03-27")
    assert yaml.safe_load(daily(*asked, "-o", "yaml").stdout) == daily.json(*asked)


def test_options_that_do_not_fit_are_usage(daily):
    assert "go with a file" in daily("explain", "workflow", "--target", "argo", code=2).stderr
    assert "give one of them" in daily("explain", "daily.yaml", "--target", "argo", "--job", "score", code=2).stderr


def test_what_cannot_be_told_is_said_kindly(daily):
    assert "daily.yml: No such file" in daily("explain", "daily.yml", code=2).stderr
    assert "only definition files can be explained" in daily("explain", "shop.py", code=2).stderr
    assert "--now soon: write 2026-03-28" in daily("explain", "daily.yaml", "--now", "soon", code=2).stderr
    (daily.folder / "broken.yaml").write_text("job:\n  name: a\n  imgae: b\n")
    assert 'did you mean "image"?' in daily("explain", "broken.yaml", code=2).stderr


def test_on_a_terminal_it_is_coloured_and_wrapped(daily):
    terminal = daily.terminal("explain", "daily.yaml", "--now", "2026-03-27", columns=70)
    assert terminal.wait() == 0
    assert "\x1b[1m" in terminal.raw
    assert max(map(len, terminal.text.splitlines())) <= 70
    assert "3h5m together" in " ".join(terminal.text.split())


def test_fields_are_completed_a_level_at_a_time(shop):
    done = shop(
        _RIPRESA_COMPLETE="complete_bash", COMP_WORDS="ripresa explain workflow.sch", COMP_CWORD="2",
    )  # fmt: skip
    assert done.stdout.split() == ["workflow.schedule"]


def test_targets_are_completed(shop):
    done = shop(_RIPRESA_COMPLETE="complete_bash", COMP_WORDS="ripresa explain x.yaml --target a", COMP_CWORD="4")
    assert done.stdout.split() == ["airflow", "argo"]


def test_files_are_completed_beside_fields(daily):
    done = daily(_RIPRESA_COMPLETE="complete_bash", COMP_WORDS="ripresa explain da", COMP_CWORD="2")
    assert done.stdout.split() == ["daily.yaml"]

"""Definition files are read from their folder, and from nowhere else."""

import os

import pytest

from ripresa.contracts.errors import SpecInvalid
from ripresa.engine.definition_files import definition_files, load_file, read_regular, reader_below

WORKFLOW = "workflow:\n  name: w\n  jobs:\n    - job: {from: jobs/a.yaml}\n"
JOB = "job: {name: a, image: b:1}\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "flow" / "jobs").mkdir(parents=True)
    (tmp_path / "flow" / "workflow.yaml").write_text(WORKFLOW)
    (tmp_path / "flow" / "jobs" / "a.yaml").write_text(JOB)
    (tmp_path / "secret.yaml").write_text(JOB)
    return tmp_path


def test_a_folder_stands_for_its_workflow(folder):
    loaded = load_file(folder / "flow")
    assert loaded.spec.jobs[0].name == "a"
    assert loaded.files == (str(folder / "flow" / "workflow.yaml"), "jobs/a.yaml")
    with pytest.raises(FileNotFoundError):
        load_file(folder)


def test_a_link_within_the_folder_is_followed_and_one_out_of_it_is_not(folder):
    jobs = folder / "flow" / "jobs"
    (jobs / "real.yaml").write_text(JOB)
    (jobs / "a.yaml").unlink()
    (jobs / "a.yaml").symlink_to("real.yaml")
    assert load_file(folder / "flow").spec.jobs[0].name == "a"
    for target in (folder / "secret.yaml", "../../secret.yaml"):
        (jobs / "a.yaml").unlink()
        (jobs / "a.yaml").symlink_to(target)
        with pytest.raises(SpecInvalid, match="leads out"):
            load_file(folder / "flow")
    for file in jobs.iterdir():
        file.unlink()
    jobs.rmdir()
    jobs.symlink_to(folder)
    (folder / "a.yaml").write_text(JOB)
    with pytest.raises(SpecInvalid, match="leads out"):
        load_file(folder / "flow")


@pytest.mark.parametrize("name", ["../secret.yaml", "/etc/hostname", "jobs/../../secret.yaml"])
def test_a_reader_itself_never_leaves_its_folder(folder, name):
    with pytest.raises((ValueError, OSError)):
        reader_below(folder / "flow")(name)


def test_what_is_no_regular_file_is_not_read(folder):
    os.mkfifo(folder / "pipe.yaml")
    with pytest.raises(ValueError, match="no regular file"):
        read_regular(folder / "pipe.yaml")
    with pytest.raises((ValueError, OSError)):
        read_regular(folder)


def test_all_definition_files_are_found_in_order_and_hidden_ones_are_not(folder):
    (folder / ".git").mkdir()
    (folder / ".git" / "x.yaml").write_text(JOB)
    (folder / "notes.txt").write_text("")
    found = [str(one.relative_to(folder)) for one in definition_files(folder)]
    assert found == ["secret.yaml", "flow/workflow.yaml", "flow/jobs/a.yaml"]

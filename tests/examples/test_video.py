"""The video example: parts in processes of their own, some of which may fail, and a person in between."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pydicom", reason="the extra `examples` is not installed")

import video
from PIL import Image
from video import ENOUGH, PARTS, Job, Part, Release, contact_sheet, publish_clip, split, transcode

from ripresa import App, RunFailed, RunStatus

PROGRAM = Path(video.__file__)


async def it_waits(run):
    while (await run.refresh()).status is RunStatus.RUNNING:  # noqa: ASYNC110 - a status has no event
        await asyncio.sleep(0.02)


def test_the_program_makes_a_clip_and_a_sheet_of_all_parts_but_the_damaged_one(tmp_path):
    command = [sys.executable, PROGRAM, "--dir", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("25 frames, released by Ada\n  missing: frame 17 is damaged: ")
    with Image.open(tmp_path / "video" / "heart.gif") as clip:
        assert (clip.n_frames, clip.size) == (23, video.SIZE)  # two of the frames are as the ones before them


async def test_nothing_is_joined_before_a_person_releases_it(tmp_path):
    async with App("memory://", [publish_clip]) as app:
        run = await app.start(publish_clip, Job(out=tmp_path))
        await it_waits(run)
        before = sorted(path.name for path in tmp_path.iterdir())
        await app.signal(run, "release", Release(by="Grace"))
        film = await run.result()

    assert before == ["frames", "parts", "preview.png"]
    assert (film.frames, film.missing, film.released_by) == (30, [], "Grace")


def test_a_part_is_the_same_whenever_it_is_done_again(tmp_path):
    part = split.function(Job(out=tmp_path))[2]
    first = [path.read_bytes() for path in transcode.function(part)]
    (tmp_path / "parts" / "2" / "left over.png").write_bytes(b"by an attempt that was cut off")
    paths = transcode.function(part)

    assert [path.read_bytes() for path in paths] == first
    assert sorted(paths[0].parent.iterdir()) == paths


async def test_fewer_parts_than_are_enough_fail_the_run(tmp_path, monkeypatch):
    def broken(job: Job) -> list[Part]:
        parts = split.function(job)
        for part in parts[: PARTS - ENOUGH + 1]:
            part.frames[0].write_bytes(b"no picture")
        return parts

    monkeypatch.setattr(video, "split", video.step(broken, name="split"))
    async with App("memory://", [publish_clip]) as app:
        run = await app.start(publish_clip, Job(out=tmp_path))
        with pytest.raises(RunFailed, match=r"frame 0[05] is damaged"):
            await run.result()


def test_the_sheet_has_a_row_for_each_part(tmp_path):
    part = transcode.function(Part(number=0, out=tmp_path, frames=split.function(Job(out=tmp_path))[0].frames))
    whole, gap = contact_sheet([part, part], []), contact_sheet([part, None], ["lost"])

    assert whole.size == gap.size
    assert whole.tobytes() != gap.tobytes()

"""A clip, in parts: split it, work on each part in a process of its own, ask a person, join what there is.

    split ──┬── transcode 0 ──┬── preview ── "release"? ── join
            ├── …             │
            └── transcode 5 ──┘        at most 3 at a time; 5 of 6 are enough

Each part is a step: it is recorded when it is done, and a crash costs the parts at work, no more.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps, UnidentifiedImageError
from pydantic import BaseModel
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from ripresa import App, Failure, Terminal, map_, step, wait_for_signal, workflow

CLIP = "examples_ybr_color.dcm"
"""Thirty frames of a heart that beats, as pydicom ships them: a real ultrasound clip."""
PARTS, AT_ONCE, ENOUGH = 6, 3, 5
SECTOR = (70, 14, 250, 216)
"""Where the heart is in a frame: the rest is the machine's own writing."""
SIZE = (360, 404)


class Job(BaseModel):
    """What is wanted: where to work, and which frame to cut short by hand (None: the clip as it is)."""

    out: Path
    damaged: int | None = None


class Part(BaseModel):
    """Some frames in a row, as files."""

    number: int
    out: Path
    frames: list[Path]


class Release(BaseModel):
    """A person's word that the clip may go out."""

    by: str


class Film(BaseModel):
    """What came of it."""

    clip: Path
    sheet: Path
    frames: int
    missing: list[str]
    released_by: str


# --- steps ----------------------------------------------------------------------------------------


@step
def split(job: Job) -> list[Part]:
    """The clip's frames as JPEG files, in parts."""
    found = get_testdata_file(CLIP, download=False)
    if found is None:
        raise Terminal(f"pydicom has no {CLIP}")
    clip = dcmread(str(found))
    frames = list(generate_frames(clip.PixelData, number_of_frames=clip.NumberOfFrames))
    folder = fresh(job.out / "frames")
    paths = []
    for number, data in enumerate(frames):
        paths.append(folder / f"{number:02}.jpg")
        paths[-1].write_bytes(data[: len(data) // 3] if number == job.damaged else data)
    each = len(paths) // PARTS
    return [
        Part(number=number, out=job.out, frames=paths[number * each : (number + 1) * each]) for number in range(PARTS)
    ]


@step(runtime="process", timeout="2m")
def transcode(part: Part) -> list[Path]:
    """Each frame cut out, freed of speckle, enlarged and tinted.  Raises Terminal for one that is no picture."""
    folder = fresh(part.out / "parts" / f"{part.number}")
    made = []
    for path in part.frames:
        try:
            with Image.open(path) as frame:
                sector = frame.convert("L").crop(SECTOR)
        except (OSError, UnidentifiedImageError) as error:
            raise Terminal(f"frame {path.stem} is damaged: {error}") from None
        smooth = sector.filter(ImageFilter.MedianFilter(3)).resize(SIZE, Image.Resampling.LANCZOS)
        sharp = ImageEnhance.Brightness(smooth.filter(ImageFilter.UnsharpMask(3, 120))).enhance(1.5)
        made.append(folder / f"{path.stem}.png")
        ImageOps.colorize(sharp, "#05060a", "#ffe9c9", mid="#b5483a").save(made[-1])
    return made


@step
def preview(parts: list[list[Path]], out: Path) -> Path:
    """The first frame of each part, in a row: what the person is asked about."""
    firsts = [Image.open(part[0]).resize((180, 202)) for part in parts]
    strip = Image.new("RGB", (180 * len(firsts), 202))
    for place, first in enumerate(firsts):
        strip.paste(first, (180 * place, 0))
    strip.save(out / "preview.png")
    return out / "preview.png"


@step
def join(parts: list[list[Path] | None], missing: list[str], release: Release, out: Path) -> Film:
    """The frames as one clip, and on a sheet, where a part that is missing leaves a gap."""
    frames = [Image.open(path) for part in parts for path in part or ()]
    clip, sheet = out / "heart.gif", out / "sheet.png"
    frames[0].save(clip, save_all=True, append_images=frames[1:], duration=33, loop=0)
    contact_sheet(parts, missing).save(sheet)
    return Film(clip=clip, sheet=sheet, frames=len(frames), missing=missing, released_by=release.by)


def contact_sheet(parts: list[list[Path] | None], missing: list[str]) -> Image.Image:
    """A row for each part."""
    wide, tall, gap, left = 150, 168, 8, 92
    most = max(len(part or ()) for part in parts)
    size = (left + most * (wide + gap), gap + len(parts) * (tall + gap))
    sheet = Image.new("RGB", size, "#0d0f14")
    pen, reasons = ImageDraw.Draw(sheet), iter(missing)
    for row, part in enumerate(parts):
        y = gap + row * (tall + gap)
        pen.text((gap * 2, y + tall // 2 - 8), f"part {row}", fill="#9aa3b2", font_size=16)
        if part is None:
            pen.rectangle((left, y, size[0] - gap, y + tall), outline="#5b3a3a", width=2)
            pen.text((left + 16, y + tall // 2 - 8), next(reasons), fill="#ef8d8d", font_size=16)
        for column, path in enumerate(part or ()):
            sheet.paste(Image.open(path).resize((wide, tall)), (left + column * (wide + gap), y))
    return sheet


def fresh(folder: Path) -> Path:
    """The folder, empty: a step that was cut off is done again, from its beginning."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


# --- the workflow ---------------------------------------------------------------------------------


@workflow
async def publish_clip(job: Job) -> Film:
    """From a clip to a better one, if a person agrees within a week."""
    parts = split(job)
    results = await map_(transcode, parts, max_parallel=AT_ONCE, min_success=ENOUGH)
    done = [None if isinstance(one, Failure) else one for one in results]
    missing = [one.message for one in results if isinstance(one, Failure)]
    preview([one for one in done if one is not None], job.out)
    release = await wait_for_signal("release", Release, timeout="7d")
    return join(done, missing, release, job.out)


async def main() -> None:
    """Publish the clip, one frame of which is damaged, and release it ourselves."""
    parser = argparse.ArgumentParser(description="Split a clip, transcode its parts, join them.")
    parser.add_argument("--dir", type=Path, default=Path(".ripresa"), help="where to work (.ripresa)")
    out = parser.parse_args().dir.resolve() / "video"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    async with App(f"sqlite:///{out / 'runs.db'}", workflows=[publish_clip]) as app:
        run = await app.start(publish_clip, Job(out=out, damaged=17), id="heart")
        await app.signal(run, "release", Release(by="Ada"))
        film = await run.result()
    print(f"{film.frames} frames, released by {film.released_by}")
    for reason in film.missing:
        print(f"  missing: {reason}")
    for path in (film.clip, film.sheet):
        print(f"  {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    asyncio.run(main())

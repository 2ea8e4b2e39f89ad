"""Addresses: no file says where it was made.

A lock that carries a download address ties everybody to one mirror; a path of somebody's machine is wrong on every
other.  This script reads every text file that git knows, or would take, and reports

- in locks, settings and build files: any web address or `file:` reference, and any pip option that leads to one;
- in every file: the folder of this checkout, this machine's name, and anything below this user's home.

It asks the machine it runs on for those names, so that none of them is written here.
"""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LOCKS_AND_SETTINGS = re.compile(
    r"(^|/)(requirements/.*|.*-lock\.(json|ya?ml)|.*\.(toml|cfg|ini|lock)|mkdocs\.yml|package\.json|Makefile|\.npmrc"
    r"|Dockerfile.*|\.ci/.*|tools/[^.]*)$"
)
ADDRESS = re.compile(
    r"(https?|ftp|git\+\w+)://(?!localhost|127\.0\.0\.1|\[::1\])|\bfile:/|--(extra-)?index-url\s|--find-links\s"
)
HOST_NAME_LENGTH_MIN = 8  # a shorter one may be a word


def machine_words(root: Path) -> dict[str, str]:
    """Strings that only this machine would write, and what each of them is."""
    words = {f"{root}": "the folder of this checkout", f"{Path.home()}/": "a path below somebody's home"}
    if len(host := socket.gethostname()) >= HOST_NAME_LENGTH_MIN:
        words[host] = "the name of this machine"
    return words


def check(path: str, text: str, words: dict[str, str]) -> Iterator[str]:
    """Every line of a file that says where it was made."""
    settings = LOCKS_AND_SETTINGS.search(path)
    for number, line in enumerate(text.splitlines(), start=1):
        if settings and (found := ADDRESS.search(line)):
            yield f"{path}:{number}: an address, {found[0]!r}, where none may be"
        for word, what in words.items():
            if word in line:
                yield f"{path}:{number}: {what}, {word!r}"


def files(root: Path) -> Iterator[Path]:
    """What git tracks, or would add."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    for name in sorted(set(listing.stdout.decode().split("\0")) - {""}):
        if (root / name).is_file():
            yield root / name


def main() -> int:
    """Check the repository that this script is in; 1 if anything was found."""
    root = Path(__file__).resolve().parents[1]
    words = machine_words(root)
    problems: list[str] = []
    count = 0
    for file in files(root):
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture, or the like
        count += 1
        problems += check(str(file.relative_to(root)), text, words)
    for problem in problems:
        print(problem)
    print(f"addresses: {count} files, {len(problems)} findings")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

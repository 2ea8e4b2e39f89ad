"""Families: the graphs of real scientific workflows, by the rules of their generators; see tests/data/graphs/README.md.

A graph is a mapping of jobs to the jobs that they wait for, in an order in which these come first.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data" / "graphs"
POPULATIONS = 7


@dataclass(frozen=True)
class Recorded:
    """A graph, how many milliseconds its jobs take, and what WfCommons counts of it: start, end and their edges too."""

    name: str
    parents: dict[str, tuple[str, ...]]
    takes_ms: dict[str, int]
    order: int
    size: int

    def counted(self):
        """Nodes and edges, counted as there."""
        inner = sum(map(len, self.parents.values()))
        roots = sum(not ups for ups in self.parents.values())
        leaves = len(self.parents.keys() - {up for ups in self.parents.values() for up in ups})
        return len(self.parents) + 2, inner + roots + leaves

    def critical_path_ms(self):
        """The longest way through the graph: no run can be shorter."""
        ends = {}
        for job, ups in self.parents.items():
            ends[job] = self.takes_ms[job] + max((ends[up] for up in ups), default=0)
        return max(ends.values())


def genome(chromosomes, individuals):
    """1000genome: each chromosome's individuals are merged; with the sifted, that is compared by population."""
    graph = {}
    merged = []
    for number in range(chromosomes):
        parts = [f"individuals_{number}_{part}" for part in range(individuals)]
        graph |= dict.fromkeys(parts, ())
        merged.append((f"individuals_merge_{number}", f"sifting_{number}"))
        graph |= {merged[-1][0]: tuple(parts), merged[-1][1]: ()}
    for number, ups in enumerate(merged):
        for population in range(POPULATIONS):
            graph |= {f"{kind}_{number}_{population}": ups for kind in ("mutation_overlap", "frequency")}
    return graph


def montage(images):
    """Montage: a mosaic of the sky in three colours, from images all of which overlap."""
    graph, mosaics = {}, []
    for colour in ("blue", "red", "infrared"):
        projected = [f"mProject_{colour}_{number}" for number in range(images)]
        graph |= dict.fromkeys(projected, ())
        fits = {f"mDiffFit_{colour}_{a}_{b}": (projected[a], projected[b]) for a, b in combinations(range(images), 2)}
        graph |= fits
        graph[f"mConcatFit_{colour}"] = tuple(fits)
        graph[f"mBgModel_{colour}"] = (f"mConcatFit_{colour}",)
        corrected = {f"mBackground_{colour}_{n}": (one, f"mBgModel_{colour}") for n, one in enumerate(projected)}
        graph |= corrected
        graph[f"mImgtbl_{colour}"] = tuple(corrected)
        graph[f"mAdd_{colour}"] = (*corrected, f"mImgtbl_{colour}")
        graph[f"mViewer_{colour}"] = (f"mAdd_{colour}",)
        mosaics.append(f"mAdd_{colour}")
    return {**graph, "mViewer": tuple(mosaics)}


def cycles(points, crops, sets):
    """Cycles: crops at points of a grid, for so many sets of parameters, with more fertiliser and without."""
    graph = {}
    for crop in range(crops):
        summaries = []
        for point in range(points):
            at = f"{crop}_{point}"
            for number in range(sets):
                one = f"{at}_{number}"
                graph[f"baseline_cycles_{one}"] = ()
                graph[f"cycles_{one}"] = (f"baseline_cycles_{one}",)
                graph[f"fertilizer_increase_cycles_{one}"] = (f"baseline_cycles_{one}",)
                graph[f"parser_{one}"] = (f"cycles_{one}", f"fertilizer_increase_cycles_{one}")
            graph[f"output_summary_{at}"] = tuple(f"cycles_{at}_{number}" for number in range(sets))
            graph[f"fertilizer_summary_{at}"] = tuple(f"parser_{at}_{number}" for number in range(sets))
            summaries.append(f"output_summary_{at}")
        graph[f"plots_{crop}"] = tuple(summaries)
    return graph


def epigenomics(chains):
    """Epigenomics: each lane is split, its parts go through four jobs and are merged; the lanes are merged."""
    graph = {}
    for lane, count in enumerate(chains):
        graph[f"fastqSplit_{lane}"] = ()
        for number in range(count):
            before = f"fastqSplit_{lane}"
            for kind in ("filterContams", "sol2sanger", "fast2bfq", "map"):
                graph[f"{kind}_{lane}_{number}"] = (before,)
                before = f"{kind}_{lane}_{number}"
        graph[f"mapMerge_{lane}"] = tuple(f"map_{lane}_{number}" for number in range(count))
    graph["mapMerge"] = tuple(f"mapMerge_{lane}" for lane in range(len(chains)))
    return {**graph, "chr21": ("mapMerge",), "pileup": ("chr21",)}


def seismology(stations):
    """Seismology: each pair of signals by itself, then all together."""
    pairs = tuple(f"sG1IterDecon_{number}" for number in range(stations))
    return {**dict.fromkeys(pairs, ()), "wrapper_siftSTFByMisfit": pairs}


def blast(parts):
    """BLAST: split, search in the parts, and put the findings and the messages together."""
    found = tuple(f"blastall_{number}" for number in range(parts))
    return {"split_fasta": (), **dict.fromkeys(found, ("split_fasta",)), "cat_blast": found, "cat": found}


def bwa(parts):
    """BWA: as BLAST, after the index has been built too."""
    found = tuple(f"bwa_{number}" for number in range(parts))
    first = {"fastq_reduce": (), "bwa_index": ()}
    return {**first, **dict.fromkeys(found, tuple(first)), "cat_bwa": found, "cat": found}


def _timed(name, parents, order, size):
    dice = random.Random(name)
    typical = {
        kind: dice.choice((200, 2_000, 20_000, 200_000)) for kind in Counter(job.split("_")[0] for job in parents)
    }
    takes = {job: round(typical[job.split("_")[0]] * dice.uniform(0.5, 1.5)) for job in parents}
    return Recorded(name, parents, takes, order, size)


def _recorded(file, order, size):
    rows = [json.loads(line) for line in (DATA / file).read_text("utf-8").splitlines()]
    parents = {row["name"]: tuple(row["parents"]) for row in rows}
    return Recorded(
        "1000genome-2ch-100k", parents, {row["name"]: round(row["seconds"] * 1000) for row in rows}, order, size
    )


GRAPHS = {
    one.name: one
    for one in (
        _recorded("1000genome-2ch-100k.jsonl", 54, 126),
        _timed("montage-2mass-005d", montage(4), 60, 130),
        _timed("cycles-1l-1c-9p", cycles(1, 1, 16), 69, 115),
        _timed("epigenomics-hep-1seq-50k", epigenomics([17]), 75, 90),
        _timed("bwa-small", bwa(100), 106, 404),
        _timed("epigenomics-hep-2seq-100k", epigenomics([14, 14]), 121, 147),
        _timed("blast-medium", blast(300), 305, 903),
        _timed("montage-dss-10d", montage(16), 474, 1336),
        _timed("1000genome-22ch-250k", genome(22, 25), 904, 2046),
        _timed("bwa-large", bwa(1000), 1006, 4004),
        _timed("seismology-1100p", seismology(1100), 1103, 2201),
        _timed("epigenomics-ilmn-6seq-50k", epigenomics([70] * 6), 1697, 2115),
        _timed("montage-dss-15d", montage(36), 2124, 6226),
        _timed("cycles-10l-1c-12p", cycles(10, 1, 54), 2183, 3801),
    )
}

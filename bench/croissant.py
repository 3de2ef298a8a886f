"""Croissant metadata (mlcommons.org/croissant/1.1) of a generated task's exported data.

The data are a pure function of the task, its version and a seed, so whoever exports them again gets the same file: the
checksum that stands here. Real data are not ours to describe.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from .errors import UsageError
from .experiments import registry, runs
from .experiments.data_facts import TaskData, task_data
from .experiments.notation import Spec

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
CREATOR = "The seqbench authors"
PUBLISHED = "2026-11-24"
"""When the release of the generators was: `date-released` of CITATION.cff."""
TYPES = {"f": "sc:Float", "i": "sc:Integer", "u": "sc:Integer", "b": "sc:Boolean", "U": "sc:Text"}
"""Kind of a NumPy type -> Croissant's."""
MEANINGS = {
    "x": "what a network sees: {shape}",
    "y": "what is asked for: {shape}",
    "source": "the source, padded with zeros: {shape}",
    "read": "the steps at which an answer is read: {shape}",
    "mask": "true where the answer is scored: {shape}",
    "symbols": "what an id stands for: {shape}",
    "group": "to which set of scored positions an answer belongs: {shape}",
}
SETS = {"symbols": "the symbols of the vocabulary, in the order of their ids"}
"""Record sets beside those of the splits."""
TERMS = (
    "arrayShape citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes "
    "isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
    "samplingRate separator source subField transform"
)
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in TERMS.split()},
}
"""The context that the specification recommends."""


def metadata_of_export(spec: Spec, seed: int, file: Path) -> dict[str, Any]:
    """The metadata of the `.npz` file that `export_task` has written of a task and a seed, as JSON-LD.

    One record set for each split, one field for each array, whose first dimension counts the examples. `url` is the
    file itself: who makes it public writes its address there. Raises UsageError for a task that is not generated.
    """
    facts = require_generated(spec.name)
    task = runs.make_task(spec)
    label = runs.label(Spec(spec.name, task.options()), type(task), type(task).variant)
    content = file.read_bytes()
    with np.load(file) as archive:
        arrays = {name: (archive[name].dtype, archive[name].shape) for name in archive.files}
    splits = dict.fromkeys(name.partition("_")[0] for name in arrays)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": f"seqbench {label}, seed {seed}",
        "description": (
            f"{facts.line} Source of the task: {facts.source}. {facts.split} Preprocessing: {facts.preprocessing}. "
            f"Made by: seqbench export '{label}' --seed {seed}. Arrays of a NumPy archive, to be read with numpy.load."
        ),
        "license": f"https://spdx.org/licenses/{facts.collection.spdx}.html",
        "url": file.name,
        "creator": {"@type": "sc:Organization", "name": CREATOR},
        "datePublished": PUBLISHED,
        "version": f"{facts.version}.0.0",
        "isLiveDataset": False,
        "keywords": ["sequence modelling", "synthetic", spec.name],
        "citeAs": f"{CREATOR}: seqbench, a benchmark and reproducibility suite for sequence architectures",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": file.name,
                "name": file.name,
                "contentUrl": file.name,
                "contentSize": f"{len(content)} B",
                "encodingFormat": "application/zip",
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": split,
                "name": split,
                "description": SETS.get(split, f"the examples of the {split} split"),
                "field": [
                    _field(name, *array, file.name) for name, array in arrays.items() if name.partition("_")[0] == split
                ],
            }
            for split in splits
        ],
    }


def _field(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], file: str) -> dict[str, Any]:
    """The field of an array (N, …): an array of one example's shape, or a value where that has no dimension."""
    split, _, part = name.partition("_")
    part = part or split
    one, counted = shape[1:], "symbols" if part == "symbols" else "examples"
    written = " x ".join(map(str, one)) or ("one text" if dtype.kind == "U" else "one number")
    return {
        "@type": "cr:Field",
        "@id": f"{split}/{part}",
        "name": f"{split}/{part}",
        "description": f"{MEANINGS[part].format(shape=written)}, {dtype.name}; {shape[0]} {counted}",
        "dataType": TYPES[dtype.kind],
        **({"isArray": True, "arrayShape": ",".join(map(str, one))} if one else {}),
        "source": {"fileObject": {"@id": file}, "extract": {"column": name}},
    }


def require_generated(name: str) -> TaskData:
    """The facts of a generated task. Raises UsageError, which names those that there are, for any other task."""
    found = {one.task: one for one in task_data() if one.generated}
    if name not in found:
        why = "are not ours to describe" if name in registry.listing("task") else "have no description"
        raise UsageError(f"--croissant: the data of {name} {why}; it is for generated tasks: {', '.join(found)}")
    return found[name]

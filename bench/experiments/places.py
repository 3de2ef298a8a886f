"""Where experiments lie: in a folder that the user names, or in the installed package."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError, nearest
from .registry import ROOT


def experiment_folder(named: str | Path) -> Path:
    """The folder of an experiment: as named, or `results/NAME` of the suite itself where no such folder is here.

    Its experiment.yaml may be named as well. Raises UsageError with the nearest known experiment.
    """
    folder = Path(named)
    if folder.name == "experiment.yaml":
        folder = folder.parent
    if (folder / "experiment.yaml").is_file():
        return folder
    own = ROOT / folder
    if not folder.is_absolute() and (own / "experiment.yaml").is_file():
        return own
    if folder.is_dir():
        raise UsageError(
            f"{folder}: no experiment.yaml there; name a folder that has one, such as results/quick "
            "(bench/experiments/config.py explains what to write in one of your own)"
        )
    known = [f"results/{own.name}" for own in own_folders()]
    raise UsageError(f"{folder}: no such experiment; {nearest(str(folder), known)}")


def own_folders() -> list[Path]:
    """The folders of the suite's own experiments, by name."""
    return sorted(file.parent for file in own_results().glob("*/experiment.yaml"))


def own_results() -> Path:
    """Where the suite's own experiments lie."""
    return ROOT / "results"

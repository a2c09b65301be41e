"""`regulars demo`: the main job on real input, from an empty directory to books that balance."""

from cli.demo.job import DemoFailed, DemoResult, play
from cli.demo.purchases import DatasetMissing

__all__ = ["DatasetMissing", "DemoFailed", "DemoResult", "play"]

"""A chain of passes, written for someone who has to decide."""

from builders.compress.report.write import write_report

__all__ = ["write_report"]

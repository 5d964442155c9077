"""What a release on trial must reach, and what it missed."""

from __future__ import annotations

from math import inf

from pydantic import Field

from loadtest.objective import Verdict
from loadtest.release.probe import Probe
from loadtest.release.window import Window
from loadtest.toml_settings import TomlSettings


class ReleaseObjective(TomlSettings):
    """Limits of every window.

    Attributes:
        p99_ms: at most, on the server's clock, from the router on.
        error_share: of the requests, at most; a wrong request is no error.
        degraded_share: of the rows, answered without the user state, at most.
        ndcg_loss: NDCG@10 that the candidate may lose against the current release, on held-out
            users who are asked under the load of the window; only a loss beyond the noise counts.
        minimum_count: requests to the candidate without which a window is not judged.
    """

    p99_ms: float = Field(default=25.0, gt=0)
    error_share: float = Field(default=0.001, ge=0, le=1)
    degraded_share: float = Field(default=0.01, ge=0, le=1)
    ndcg_loss: float = Field(default=0.005, ge=0, le=1)
    minimum_count: int = Field(default=1000, ge=100)


def judge(objective: ReleaseObjective, window: Window, probe: Probe | None) -> list[Verdict]:
    """Every condition.

    Before a window has ``minimum_count`` requests, what is missed is what further ones, were they
    all good, could not make good again; so a release that fails everything ends at once.
    """
    requests = max(window.requests, objective.minimum_count)
    slow, p99 = window.slower(objective.p99_ms), window.p99_ms
    found = [
        _share("error share", objective.error_share, window.failures, window.requests, requests),
        Verdict(
            "p99 ms",
            f"<= {objective.p99_ms:g}",
            "beyond the last bucket" if p99 == inf else f"{p99:.3g}",
            f"{slow:,.0f} of {window.requests:,} were slower" if slow > 0.01 * requests else "",
        ),
        _share(
            "degraded share",
            objective.degraded_share,
            window.degraded,
            window.rows,
            max(window.rows, objective.minimum_count),
        ),
    ]
    return found if probe is None else [*found, _quality(objective, probe)]


def enough(objective: ReleaseObjective, window: Window) -> bool:
    """Whether a window can be judged."""
    return window.requests >= objective.minimum_count


def _share(name: str, wanted: float, bad: int, of: int, at_least: int) -> Verdict:
    missed = f"{bad:,} of {of:,}" if bad > wanted * at_least else ""
    return Verdict(name, f"<= {wanted:g}", f"{bad / max(of, 1):.4g}", missed)


def _quality(objective: ReleaseObjective, probe: Probe) -> Verdict:
    lost = probe.loss > objective.ndcg_loss and probe.loss > probe.noise
    reason = f"by {probe.loss - objective.ndcg_loss:.3g}; noise {probe.noise:.3g}"
    return Verdict(
        "NDCG@10 lost",
        f"<= {objective.ndcg_loss:g}",
        f"{probe.loss:.4f} ({probe.current:.4f} to {probe.candidate:.4f}, {probe.users} users)",
        reason if lost else "",
    )

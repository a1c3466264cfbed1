"""The self-metrics at one instant."""

from __future__ import annotations

from collections import Counter, defaultdict

from prometheus_client import CollectorRegistry


class Totals:
    """
    Every self-metric, read in one turn of the event loop: the parts change theirs in one turn too,
    so that what is read together fits together.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._samples: defaultdict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for family in registry.collect():
            for sample in family.samples:
                self._samples[sample.name].append((sample.labels, sample.value))

    def of(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over the series that have these labels."""
        return sum(value for has, value in self._samples[name] if labels.items() <= has.items())

    def known(self, name: str) -> float | None:
        """Return the value of a metric that is absent while there is none."""
        return self.of(name) if self._samples[name] else None

    def by(self, name: str, *labels: str) -> dict[str, float]:
        """Return a metric by the values of some labels, largest first."""
        found: Counter[str] = Counter()
        for has, value in self._samples[name]:
            found[", ".join(has[label] for label in labels)] += value  # type: ignore[assignment]
        return dict(found.most_common())

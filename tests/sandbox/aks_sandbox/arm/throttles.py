"""The documented throttles, as token buckets. The numbers are aks-facts' table: AKS's documentation of its own limits,
and Resource Manager's, which are per principal, subscription and region.

Witness: Microsoft's pages on AKS's and on Resource Manager's throttling: sizes and rates.
No witness: that a bucket refills steadily.
"""

from __future__ import annotations

from dataclasses import dataclass

from .world import Clock


@dataclass
class Limit:
    """A bucket of `size`, refilled by `per_second`; `per` says for what: pool, cluster, subscription, group."""

    size: float
    per_second: float
    per: str


AKS = {
    "PutAgentPool": Limit(20, 1 / 60, "path"),
    "PutManagedCluster": Limit(20, 1 / 60, "path"),
    "GetManagedCluster": Limit(60, 1, "path"),
    "GetOperationStatus": Limit(200, 2, "subscription"),
    "ListManagedClusters": Limit(500, 1, "subscription"),
    "ListManagedClustersByResourceGroup": Limit(60, 1, "subscription"),
    "Other": Limit(60, 1, "subscription"),
}
GATEWAY = {
    "read": Limit(250, 25, "principal"),
    "write": Limit(200, 10, "principal"),
    "delete": Limit(200, 10, "principal"),
}


class Throttles:
    """All buckets, filled when first asked."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, ...], tuple[float, float]] = {}

    def clear(self) -> None:
        """Fill every bucket."""
        self._buckets.clear()

    def gateway(self, method: str, principal: str, subscription: str, region: str) -> float:
        """Take one of Resource Manager's. Returns 0, or the seconds until there is one."""
        kind = {"GET": "read", "HEAD": "read", "DELETE": "delete"}.get(method, "write")
        return self._take(GATEWAY[kind], ("arm", kind, principal, subscription, region))

    def aks(self, name: str, subscription: str, region: str, path: str) -> float:
        """Take one of AKS's bucket `name`. Returns 0, or the seconds until there is one."""
        limit = AKS[name]
        what = path.lower() if limit.per == "path" else subscription
        return self._take(limit, ("aks", name, what, region))

    def _take(self, limit: Limit, key: tuple[str, ...]) -> float:
        now = self._clock.seconds()
        level, at = self._buckets.get(key, (limit.size, now))
        level = min(limit.size, level + (now - at) * limit.per_second)
        if level >= 1:
            self._buckets[key] = (level - 1, now)
            return 0.0
        self._buckets[key] = (level, now)
        return (1 - level) / limit.per_second

"""Whose turn it is: which queue comes first, and how many of the next starts each one gets."""

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter

from django_jobs.definitions.outcomes import Claim


class Turns:
    """One for each who asks, or two who ask in turn would each always see the same queue first.

    Without weights another queue comes first each time. With weights starts are dealt out in proportion, smoothly: of
    5 to 1 it is never 50 in a row and then 10. What is `strict` stays in its order.
    """

    def __init__(self, weights: Mapping[str, int], *, strict: bool = False) -> None:
        self._weights, self._strict = weights, strict
        self._waited = dict.fromkeys(weights, 0)
        self._turn = 0

    def next(self, queue_names: Sequence[str], count: int) -> tuple[list[str], list[int]]:
        """Return the queues in their order, and how many of the next `count` starts each gets first.

        No numbers: the first may have all. What a queue cannot fill, the others take, in their order.
        """
        if self._strict or not queue_names:
            return list(queue_names), []
        self._turn += 1
        first = self._turn % len(queue_names)
        names = [*queue_names[first:], *queue_names[:first]]
        return names, self._deal(names, count) if self._weights else []

    @property
    def most(self) -> int | None:
        """How many may be dealt out at a time, for they are taken in blocks, queue by queue. None: any number."""
        return 2 * sum(self._weights.values()) or None

    def mixed(self, claims: list[Claim]) -> list[Claim]:
        """Return what was claimed queue by queue in the order of the turns."""
        if not self._weights:
            return claims
        seen: Counter[str] = Counter()
        places = []
        for claim in claims:
            seen[claim.queue_name] += 1
            places.append(seen[claim.queue_name] / self._weights[claim.queue_name])
        return [claim for _, claim in sorted(zip(places, claims, strict=True), key=itemgetter(0))]

    def _deal(self, queue_names: Sequence[str], count: int) -> list[int]:
        weights = {name: self._weights[name] for name in queue_names}
        total = sum(weights.values())
        rounds, rest = divmod(count, total)
        shares = {name: rounds * weight for name, weight in weights.items()}
        for _ in range(rest):
            for name, weight in weights.items():
                self._waited[name] += weight
            longest = max(weights, key=self._waited.__getitem__)
            self._waited[longest] -= total
            shares[longest] += 1
        return list(shares.values())

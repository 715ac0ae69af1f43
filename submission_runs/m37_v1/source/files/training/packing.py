"""Which rows share a sequence: first-fit, so the same lengths always give the same sequences."""

from __future__ import annotations

from collections.abc import Sequence


def first_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices of ``lengths``, in order, each put into the first sequence that has room for it.

    Every length is at most ``capacity``. A tree over the sequences holds the most room below each node, so a row takes
    logarithmic time however many sequences there are.
    """
    leaves = 1
    while leaves < len(lengths):
        leaves *= 2
    room = [capacity] * (2 * leaves)
    sequences: list[list[int]] = []
    for index, length in enumerate(lengths):
        node = 1
        while node < leaves:
            node = 2 * node if room[2 * node] >= length else 2 * node + 1
        place = node - leaves
        if place == len(sequences):
            sequences.append([])
        sequences[place].append(index)
        room[node] -= length
        while node > 1:
            node //= 2
            room[node] = max(room[2 * node], room[2 * node + 1])
    return sequences

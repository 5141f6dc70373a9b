"""The memory of requests under way."""

from __future__ import annotations

import pytest

from serving.modelserver.protocol.budget import Budget, Share
from serving.modelserver.status import StatusError


def test_requests_share_a_budget_of_eight_of_the_largest() -> None:
    budget = Budget(100)
    first, second = Share(budget), Share(budget)
    first.take(300)
    first.take(400)

    with pytest.raises(StatusError, match="UNAVAILABLE: The requests under way take all memory"):
        second.take(101)
    second.take(100)
    with pytest.raises(StatusError, match="UNAVAILABLE"):
        second.take(1)

    first.give_back()
    second.take(700)
    second.give_back()
    second.give_back()
    first.take(800)


def test_a_request_that_no_budget_has_room_for_is_wrong() -> None:
    share = Share(Budget(100))
    share.take(1)

    with pytest.raises(StatusError, match=r"INVALID_ARGUMENT: The request has too many values: .* 801 bytes, more than 800"):
        share.take(800)
    share.take(799)

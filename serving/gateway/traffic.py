"""The division of the traffic between stable version and canary, by the state of the rollout."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from serving.gateway.logs import log
from serving.rollout import CANARY, STABLE, RolloutState
from serving.rollout.state import MENDED

_SHARES = 10_000


class Traffic:
    """Follows the file with the rollout's state.

    Args:
      path: the file; None without a rollout.
    """

    def __init__(self, path: str | None) -> None:
        self._path = Path(path) if path else None
        self._problem = ""
        self.is_known = path is None
        """Whether the state has been read; until then, nobody knows who is to answer."""
        self.state = RolloutState()
        self.read()

    def read(self) -> None:
        """Reads the state again. A state that cannot be read changes nothing, and is logged once."""
        if self._path is None:
            return
        try:
            state = RolloutState.from_json(self._path.read_bytes())
        except FileNotFoundError:
            state = RolloutState()
        except (OSError, ValueError) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                kept = "the previous one stays" if self.is_known else "nothing is answered until it can"
                log(
                    logging.ERROR,
                    f"the rollout's state cannot be read: {kept}",
                    path=str(self._path),
                    seen=self._problem,
                    fix=MENDED,
                )
            return
        self._problem, self.is_known = "", True
        if state.placement != self.state.placement:
            log(
                logging.INFO,
                "the rollout has changed",
                stable=state.stable,
                canary=state.canary,
                traffic=state.traffic,
                shadow=state.shadow,
            )
        self.state = state

    def choose(self, key: str) -> str:
        """The role that answers, STABLE or CANARY.

        Args:
          key: decides the role: the same key gets the same one for as long as the canary's share does not shrink.
        """
        if self.state.canary is None:
            return STABLE
        digest = hashlib.blake2b(key.encode(errors="replace"), digest_size=8).digest()
        return CANARY if int.from_bytes(digest, "big") % _SHARES < self.state.traffic * (_SHARES // 100) else STABLE

    def named(self, version: str, newest: int | None) -> str | None:
        """The role of a version, STABLE or CANARY, by its number or the role itself; None where no version has it.

        Args:
          version: the number or the role.
          newest: the version that serves without a rollout, if it is known.
        """
        state = self.state
        roles = {STABLE: STABLE}
        if (stable := state.stable or newest) is not None:
            roles[str(stable)] = STABLE
        if state.canary is not None:
            roles |= dict.fromkeys((state.stage(state.canary).value, str(state.canary)), CANARY)
        return roles.get(version)

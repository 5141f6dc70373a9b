"""Loading and unloading, with servables that need no TensorFlow."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event, Lock, Thread

import pytest

from serving.modelserver.models.manager import Manager, Retries, State, VersionStatus
from serving.modelserver.status import StatusError, unavailable
from tests.fakes.waiting import PATIENCE, wait_until


class Servable:
    """Something that is open until it is closed."""

    def __init__(self, number: int) -> None:
        self.number, self.is_open = number, True

    def close(self) -> None:
        assert self.is_open
        self.is_open = False


class World:
    """A manager whose loading can be held up or made to fail, by version."""

    def __init__(self, folder: Path, retries: Retries) -> None:
        self.folder = folder
        self.changes: list[VersionStatus] = []
        self.fails: dict[int, Exception] = {}
        self.holds: dict[int, Event] = {}
        self.loaded: list[Servable] = []
        self._lock = Lock()
        self.manager: Manager[Servable] = Manager(self._load, retries=retries, observer=self.changes.append)

    def want(self, *numbers: int) -> None:
        for number in numbers:
            (self.folder / str(number)).mkdir(exist_ok=True)
        self.manager.want("m", {number: self.folder / str(number) for number in numbers})

    def wait(self, **states: State) -> None:
        """Waits until versions have states: v1=State.AVAILABLE."""
        wanted = {int(name[1:]): state for name, state in states.items()}
        wait_until(lambda: {number: change.state for number, change in self.manager.versions("m").items()} == wanted)

    def attempts(self, number: int) -> int:
        return sum(change.version == number and change.error is not None for change in self.changes)

    def _load(self, name: str, number: int, path: Path) -> Servable:
        if number in self.holds:
            assert self.holds[number].wait(PATIENCE)
        if number in self.fails:
            raise self.fails[number]
        with self._lock:
            self.loaded.append(Servable(number))
        return self.loaded[-1]


@pytest.fixture
def world(tmp_path: Path):
    worlds = []

    def make(number: int = 0, seconds: float = 0.0) -> World:
        worlds.append(World(tmp_path, Retries(number, seconds)))
        return worlds[-1]

    yield make
    for each in worlds:
        for hold in each.holds.values():
            hold.set()
        each.manager.stop()
        assert not any(servable.is_open for servable in each.loaded)


def test_the_highest_version_that_is_available_answers(world) -> None:
    here = world()
    here.want(1, 2)
    here.wait(v1=State.AVAILABLE, v2=State.AVAILABLE)

    with here.manager.use("m") as newest, here.manager.use("m", 1) as first:
        assert (newest.number, first.number) == (2, 1)


def test_the_old_version_answers_until_the_new_one_does(world) -> None:
    here = world()
    here.want(1)
    here.wait(v1=State.AVAILABLE)
    here.holds[2] = Event()
    here.want(2)
    here.wait(v1=State.AVAILABLE, v2=State.LOADING)
    with here.manager.use("m") as servable:
        assert servable.number == 1

    here.holds[2].set()
    here.wait(v1=State.END, v2=State.AVAILABLE)

    order = [(change.version, change.state) for change in here.changes]
    assert order.index((2, State.AVAILABLE)) < order.index((1, State.UNLOADING))


def test_a_version_that_is_used_is_closed_when_its_last_user_is_done(world) -> None:
    here = world()
    here.want(1)
    here.wait(v1=State.AVAILABLE)
    with here.manager.use("m") as first, here.manager.use("m"):
        here.want(2)
        here.wait(v1=State.UNLOADING, v2=State.AVAILABLE)
        assert first.is_open
    here.wait(v1=State.END, v2=State.AVAILABLE)

    assert not first.is_open


def test_a_version_that_fails_leaves_the_old_one_in_place(world) -> None:
    here = world()
    here.want(1)
    here.wait(v1=State.AVAILABLE)
    here.fails[2] = unavailable("no memory")
    here.want(2)
    here.wait(v1=State.AVAILABLE, v2=State.END)

    assert str(here.manager.versions("m")[2].error) == "UNAVAILABLE: no memory"
    here.want(3)
    here.wait(v1=State.END, v2=State.END, v3=State.AVAILABLE)


def test_a_version_that_fails_is_tried_as_often_as_it_is_told(world) -> None:
    here = world(2, 0.01)
    here.fails[1] = unavailable("not yet")
    here.want(1)
    here.wait(v1=State.END)

    assert here.attempts(1) == 3


def test_a_retry_may_succeed(world) -> None:
    here = world(100, 0.01)
    here.fails[1] = unavailable("not yet")
    here.want(1)
    wait_until(lambda: here.attempts(1) > 1)
    del here.fails[1]
    here.wait(v1=State.AVAILABLE)

    assert here.manager.versions("m")[1].error is None


def test_a_version_that_failed_is_tried_again_when_its_folder_has_changed(world) -> None:
    here = world()
    here.fails[1] = unavailable("half copied")
    here.want(1)
    here.wait(v1=State.END)
    del here.fails[1]
    here.want(1)
    here.wait(v1=State.END)

    (here.folder / "1" / "file").touch()
    here.want(1)

    here.wait(v1=State.AVAILABLE)


def test_a_version_that_is_not_wanted_any_more_is_not_tried_again(world) -> None:
    here = world(100, 0.01)
    here.fails[1] = unavailable("never")
    here.want(1)
    wait_until(lambda: here.attempts(1) > 0)
    here.want()
    here.wait(v1=State.END)
    attempts = here.attempts(1)
    time.sleep(0.05)

    assert here.attempts(1) <= attempts + 1


def test_a_version_that_comes_back_is_loaded_again(world) -> None:
    here = world()
    here.want(1)
    here.wait(v1=State.AVAILABLE)
    here.want(2)
    here.wait(v1=State.END, v2=State.AVAILABLE)
    here.want(1, 2)
    here.wait(v1=State.AVAILABLE, v2=State.AVAILABLE)
    here.want(1)
    here.wait(v1=State.AVAILABLE, v2=State.END)


def test_a_version_that_comes_back_while_it_is_unloaded_is_loaded_again(world) -> None:
    here = world()
    here.want(1, 2)
    here.wait(v1=State.AVAILABLE, v2=State.AVAILABLE)
    with here.manager.use("m", 1):
        here.want(2)
        here.wait(v1=State.UNLOADING, v2=State.AVAILABLE)
        here.want(1, 2)
    here.wait(v1=State.AVAILABLE, v2=State.AVAILABLE)


def test_a_model_without_versions_is_unloaded(world) -> None:
    here = world()
    here.want(1)
    here.wait(v1=State.AVAILABLE)
    here.want()
    here.wait(v1=State.END)

    with pytest.raises(StatusError, match=r"Servable not found for request: Latest\(m\)"), here.manager.use("m"):
        pass


def test_what_is_not_there_is_told(world) -> None:
    here = world()

    with pytest.raises(StatusError) as failed, here.manager.use("m", 7):
        pass

    assert str(failed.value) == "NOT_FOUND: Servable not found for request: Specific(m, 7)"
    assert here.manager.versions("m") == {}


def test_waiting_ends_when_every_model_answers_or_one_never_will(world) -> None:
    here = world()
    here.holds[1] = Event()
    here.want(1)
    waiter = Thread(target=here.manager.wait_until_available, args=(["m"],))
    waiter.start()
    here.holds[1].set()
    waiter.join(PATIENCE)
    assert not waiter.is_alive()

    here.fails[5] = unavailable("broken")
    here.manager.want("n", {5: here.folder})
    with pytest.raises(StatusError, match="name: n version: 5} due to error: UNAVAILABLE: broken"):
        here.manager.wait_until_available(["m", "n"])


def test_waiting_can_be_given_up(world) -> None:
    world().manager.wait_until_available(["m"], stop=lambda: True)


def test_stopping_waits_for_those_who_are_at_it(world) -> None:
    here = world()
    here.want(1)
    here.wait(v1=State.AVAILABLE)
    with here.manager.use("m") as servable:
        stopper = Thread(target=here.manager.stop)
        stopper.start()
        stopper.join(0.1)
        assert stopper.is_alive()
        assert servable.is_open
    stopper.join(PATIENCE)

    assert not stopper.is_alive()
    assert not servable.is_open


def test_nobody_is_left_without_a_version_while_they_change(world) -> None:
    here = world()
    here.want(1)
    here.wait(v1=State.AVAILABLE)
    stop, seen = Event(), set()

    def ask() -> None:
        while not stop.is_set():
            with here.manager.use("m") as servable:
                assert servable.is_open
                seen.add(servable.number)
                time.sleep(0.0001)
                assert servable.is_open

    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            ask()
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=guarded) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(2, 30):
        here.want(number)
        wait_until(lambda: number in seen or failures, f"an answer of version {number}")  # noqa: B023 - called at once
    stop.set()
    for thread in threads:
        thread.join()

    assert not failures

"""Effects: what happens once over all runs."""

from __future__ import annotations

import pytest

from ripresa.contracts.errors import EngineFenced
from ripresa.ports.effects import Effect
from ripresa.ports.store import Store
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import (
    LEASE,
    A,
    B,
    Engine,
    T,
    change,
    new_run,
)


def effect(run: str = A, *, id: str = "key:order-7", output: str | None = None, at: int = T) -> Effect:
    """An effect of this run's step `charge`."""
    return Effect(id, run, f"{run}:charge", -7, at, output)


class Effects(Promises):
    """What holds of effects."""

    async def test_an_effect_is_the_first_ones_to_do(self, engine: Engine) -> None:
        store, lease = engine.store, engine.lease
        await engine.commit(runs=[new_run(A), new_run(B)])
        assert await store.effect("key:order-7") is None
        assert await store.claim_effect(lease, effect(A)) == effect(A)
        assert await store.claim_effect(lease, effect(B, at=T + 1)) == effect(A)
        assert await store.claim_effect(lease, effect(A, at=T + 2)) == effect(A)
        assert await store.claim_effect(lease, effect(B, id="key:order-8")) == effect(B, id="key:order-8")

    async def test_what_has_happened_stays(self, engine: Engine) -> None:
        store, lease = engine.store, engine.lease
        done = effect(A, output='"paid"', at=T + 5)
        await engine.commit(runs=[new_run(A), new_run(B)])
        await store.claim_effect(lease, effect(A))
        await engine.commit(effects=[done], changes=[change(A, "succeeded")])
        assert await store.claim_effect(lease, effect(B)) == done
        await engine.commit(given_up=[(done.id, done.holder)])
        assert await store.effect(done.id) == done

    async def test_what_is_given_up_is_free(self, engine: Engine) -> None:
        store, lease = engine.store, engine.lease
        await engine.commit(runs=[new_run(A), new_run(B)])
        await store.claim_effect(lease, effect(A))
        await engine.commit(given_up=[("key:order-7", f"{B}:charge")])
        assert await store.effect("key:order-7") == effect(A)
        await engine.commit(given_up=[("key:order-7", f"{A}:charge"), ("key:unknown", "x")])
        assert await store.claim_effect(lease, effect(B)) == effect(B)

    @pytest.mark.parametrize("status", ["failed", "cancelled", "succeeded"])
    async def test_what_an_ended_run_left_under_way_is_free(self, engine: Engine, status: str) -> None:
        await engine.commit(runs=[new_run(A), new_run(B)])
        await engine.store.claim_effect(engine.lease, effect(A))
        await engine.commit(changes=[change(A, status)])
        assert await engine.store.claim_effect(engine.lease, effect(B)) == effect(B)

    async def test_who_no_longer_owns_claims_nothing(self, engine: Engine, other: Store) -> None:
        await engine.commit(runs=[new_run(A)])
        second = await Engine.start(other, at=T + LEASE)
        await other.adopt(second.lease, now=T + LEASE)
        with pytest.raises(EngineFenced):
            await engine.store.claim_effect(engine.lease, effect(A))
        assert await other.effect("key:order-7") is None

    async def test_effects_of_refused_runs_are_left_out(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A)])
        await engine.commit(runs=[new_run(A)], effects=[effect(A, output="1")])
        assert await engine.store.effect("key:order-7") is None

"""Every mode against the model: random files, templates, corrections, retries, reverts and other people's edits.

``MODEL_SECONDS`` makes it a search: other examples each time, for so long a mode (``make models``).
"""

import os
import random
import time

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from deploy.local.stack import Stack
from tests.models.machine import Imports
from tests.models.noise import Noise
from tests.models.world import World
from tests.oracle import Oracle

SECONDS = float(os.environ.get("MODEL_SECONDS", "0"))
pytestmark = [pytest.mark.servers, pytest.mark.timeout(SECONDS + 300)]
EXAMPLES = 3
SEARCHED_AT_A_TIME = 10
LIMITS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=16,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    # What fails is told as it is: each attempt to make it smaller takes seconds.
    phases=[Phase.generate],
)


@pytest.mark.parametrize("mode", ["append", "upsert", "update", "sync"])
def test_a_mode_is_what_the_model_says(mode: str, stack: Stack, oracle: Oracle, noise: Noise) -> None:
    machine = type(f"{mode}Imports", (Imports,), {"mode": mode, "opened": lambda _: World(stack, oracle, noise)})
    if not SECONDS:
        run_state_machine_as_test(machine, settings=LIMITS)
        return
    limits = settings(LIMITS, max_examples=SEARCHED_AT_A_TIME, derandomize=False)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        chosen = int(os.environ.get("MODEL_SEED") or random.SystemRandom().randrange(2**32))
        try:
            run_state_machine_as_test(seed(chosen)(machine), settings=limits)
        except BaseException as error:
            error.add_note(f"MODEL_SEED={chosen} finds it again")
            raise

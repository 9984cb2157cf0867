"""Changes of what earlier releases have stored, in the order in which they are made.

``python -m deploy.provision`` makes those that are missing; ``python -m deploy.migrations`` shows them and makes one
``--again``. Each is a module with a docstring that says what it changes and a function ``migrate``, which

* may be interrupted anywhere and called again, and run twice side by side: it looks for what is left to do;
* works in small steps, and notes after each how far it is, so that the next attempt goes on there;
* leaves everything readable and writable for the release before, whose processes are still at work meanwhile.

A migration that has been released is never changed.
"""

from collections.abc import Sequence

from deploy.migrations import m0001_system_times, m0002_expiry_with_the_run
from deploy.migrations.runner import Migration

MIGRATIONS: Sequence[Migration] = (
    Migration("0001_system_times", m0001_system_times.migrate),
    Migration("0002_expiry_with_the_run", m0002_expiry_with_the_run.migrate),
)

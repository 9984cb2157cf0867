"""Changes of what earlier releases have stored, in the order in which they are made.

``python -m deploy.provision`` makes those that are missing; ``python -m deploy.migrations`` shows them and makes one
``--again``, or with ``--finish`` those that wait until no process of the release before is left. Each is a module with
a docstring that says what it changes and a function ``migrate``, which

* may be interrupted anywhere and called again, and run twice side by side: it looks for what is left to do;
* works in small steps, and notes after each how far it is, so that the next attempt goes on there;
* leaves everything readable and writable for the release before, whose processes are still at work meanwhile.

The last holds for those that wait only as far as another process of this release is concerned.

A migration that has been released is never changed.
"""

from collections.abc import Sequence

from deploy.migrations import (
    m0001_system_times,
    m0002_expiry_with_the_run,
    m0003_target_keys,
    m0004_old_unique_indexes,
    m0005_marked_payloads,
    m0006_index_of_keys,
)
from deploy.migrations.runner import Migration

MIGRATIONS: Sequence[Migration] = (
    Migration("0001_system_times", m0001_system_times.migrate),
    Migration("0002_expiry_with_the_run", m0002_expiry_with_the_run.migrate),
    Migration("0003_target_keys", m0003_target_keys.migrate),
    Migration("0004_old_unique_indexes", m0004_old_unique_indexes.migrate, waits=True),
    Migration("0005_marked_payloads", m0005_marked_payloads.migrate, waits=True),
    Migration("0006_index_of_keys", m0006_index_of_keys.migrate, waits=True),
)

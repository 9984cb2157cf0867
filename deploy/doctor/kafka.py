"""The broker and its topics, as ``libs.contracts.topics`` declares them."""

from collections.abc import Iterator, Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.doctor.findings import Finding, good, problem, warning
from deploy.kafka_acls import NoAuthorizerError, open_acls
from deploy.kafka_rights import missing_rights
from libs.contracts.errors import TransientError
from libs.contracts.topics import TOPICS, Topic
from libs.messaging.broker import MAX_MESSAGE_BYTES
from libs.messaging.connection import KafkaSettings, open_admin
from libs.messaging.topics import Topics

PROVISION = "run `python -m deploy.provision`"
BROKER_OPTIONS = ("auto.create.topics.enable", "min.insync.replicas", "message.max.bytes")


async def look_at_kafka(
    settings: KafkaSettings, topics: Sequence[Topic] = TOPICS, service: str | None = None
) -> list[Finding]:
    """Everything about Kafka; one finding where it cannot be reached.

    Args:
        settings: where it is, and how a service logs in.
        topics: as they are declared.
        service: whose rights the user has to have; none are looked for without.
    """
    try:
        examined = await Topics(settings, tuple(topics)).examine()
        async with open_admin(settings) as admin:
            brokers = (await admin.describe_cluster())["brokers"]
            options = await _broker_options(admin, brokers[0]["node_id"]) if brokers else {}
            kept = await _retention(admin, [topic for topic in topics if topic.name not in examined.missing])
    except TransientError as error:
        return [
            problem(
                "kafka",
                str(error),
                "look whether the broker runs and ROWDOCK_KAFKA and ROWDOCK_KAFKA_… say where it is and how to log in",
            )
        ]
    return [
        good("kafka", f"{len(brokers)} brokers answer at {settings.kafka}"),
        *_topics(topics, examined.missing, examined.shortfalls, kept),
        *_options(options, len(brokers)),
        await _rights(settings, service),
    ]


async def _rights(settings: KafkaSettings, service: str | None) -> Finding:
    subject, give = "rights at Kafka", "run `python -m deploy.provision --acls`"
    user = settings.kafka_username or "ANONYMOUS"
    try:
        async with open_acls(settings) as acls:
            have = await acls.of_user(user)
    except NoAuthorizerError:
        return warning(
            subject,
            "Kafka asks nobody what they may do: whoever is let in may read and write everything",
            f"give the brokers an authorizer and each service a user of its own, then {give}",
        )
    except TransientError:
        return warning(subject, "this user may not look there", "run the doctor as the gateway's user")
    if service is None:
        return good(subject, "Kafka has an authorizer; say --service to hold the user's rights against it")
    if not have:
        return warning(
            subject,
            f"no ACL names {user}: what it may do is not its own, such as a super user's",
            f"let the service log in as a user of its own; {give}",
        )
    if missing := missing_rights(service, have):
        return problem(
            subject,
            f"{user} lacks what {service} does: {'; '.join(map(str, missing[:5]))}"
            + (f"; {len(missing) - 5} more" if len(missing) > 5 else ""),
            give,
        )
    return good(subject, f"{user} may do what {service} does")


def _topics(
    topics: Sequence[Topic], missing: Sequence[str], shortfalls: Sequence[str], kept: Mapping[str, int]
) -> Iterator[Finding]:
    found = [
        *(problem("topics", f"{name} is not there", PROVISION) for name in missing),
        *(warning("topics", text.partition(";")[0], text.partition("; ")[2] or PROVISION) for text in shortfalls),
    ]
    for topic in topics:
        milliseconds = kept.get(topic.name, topic.retention_ms)
        if 0 <= milliseconds < topic.retention_ms:
            found.append(
                warning(
                    "topics",
                    f"{topic.name} keeps messages for {milliseconds} ms, {topic.retention_ms} are declared",
                    f"set it: kafka-configs.sh --alter --topic {topic.name} "
                    f"--add-config retention.ms={topic.retention_ms}",
                )
            )
    yield from found or [good("topics", f"all {len(topics)} are there as they are declared")]


def _options(options: Mapping[str, str], brokers: int) -> Iterator[Finding]:
    if not options:
        yield warning(
            "broker settings",
            "this user may not read them",
            "allow it to describe the cluster's configuration, or look yourself: auto.create.topics.enable=false",
        )
        return
    found = list[Finding]()
    if options.get("auto.create.topics.enable") == "true":
        found.append(
            warning(
                "broker settings",
                "auto.create.topics.enable is on: a misspelt topic comes into being, with one partition",
                "set auto.create.topics.enable=false and restart the brokers",
            )
        )
    if brokers > 1 and int(options.get("min.insync.replicas", "2")) < 2:
        found.append(
            warning(
                "broker settings",
                "min.insync.replicas is 1: a message may be confirmed that only one broker has",
                "set min.insync.replicas=2 with three replicas; what is lost is found again in MongoDB, only later",
            )
        )
    if int(options.get("message.max.bytes", MAX_MESSAGE_BYTES)) < MAX_MESSAGE_BYTES:
        found.append(
            problem(
                "broker settings",
                f"message.max.bytes is {options['message.max.bytes']}, below the {MAX_MESSAGE_BYTES} that are sent",
                f"set message.max.bytes to {MAX_MESSAGE_BYTES} or more",
            )
        )
    yield from found or [good("broker settings", "as they should be")]


async def _broker_options(admin: AIOKafkaAdminClient, node: int) -> dict[str, str]:
    resource = ConfigResource(ConfigResourceType.BROKER, str(node), dict.fromkeys(BROKER_OPTIONS, ""))
    answers = await admin.describe_configs([resource])
    return {entry[0]: str(entry[1]) for answer in answers for found in answer.resources for entry in found[4]}


async def _retention(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> dict[str, int]:
    """How long a topic keeps messages, in milliseconds, by its name."""
    kept: dict[str, int] = {}
    for topic in topics:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, {"retention.ms": ""})
        for answer in await admin.describe_configs([resource]):
            for found in answer.resources:
                for entry in found[4]:
                    kept[topic.name] = int(entry[1])
    return kept

"""A service that imports without HTTP: it sends rows, and waits until it is told what became of them.

    pip install 'rowdock-client[kafka]'
    python kafka_service.py --kafka localhost:9092 --organization ID --template ID --producer ID --key private.pem

Prints a line for each event, and exits with 1 where the rows were not imported.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from uuid import uuid4

from rowdock_client.kafka import ImportRequests, RunEvents, Signer
from rowdock_client.messages import RequestAccepted, RequestRejected, RunStatusChanged

ROWS = [{"sku": "A1", "name": "Anvil"}, {"sku": "A2", "name": "Bellows"}]
ENDED = {"completed", "failed", "cancelled"}


async def import_rows(arguments: argparse.Namespace) -> bool:
    """Ask for the import, and follow it to its end; whether it was completed."""
    signer = Signer(arguments.producer, arguments.key.read_text()) if arguments.producer else None
    request_id = str(uuid4())
    async with (
        RunEvents(arguments.kafka, f"example-{request_id}") as events,
        ImportRequests(arguments.kafka, signer) as requests,
    ):
        await requests.ask(arguments.organization, template_id=arguments.template, rows=ROWS, request_id=request_id)
        async for event in events:
            if event.request_id != request_id:
                continue
            match event:
                case RequestRejected():
                    problems = "; ".join(f"{each.location}: {each.message}" for each in event.problems)
                    print(f"rejected: {problems or event.message}")
                    return False
                case RequestAccepted():
                    print(f"accepted: run {event.run_id}")
                case RunStatusChanged():
                    print(f"{event.status}: {event.counts.written if event.counts else 0} written")
                    if event.status in ENDED:
                        return event.status == "completed"
    return False


def main() -> None:
    """Read the command line, and import."""
    parser = argparse.ArgumentParser(description="Imports two rows by Kafka.")
    parser.add_argument("--kafka", required=True, metavar="HOST:PORT")
    parser.add_argument("--organization", required=True, metavar="ID")
    parser.add_argument("--template", required=True, metavar="ID")
    parser.add_argument("--producer", metavar="ID", help="none where the broker's ACLs say who may ask")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the producer's private key, as PEM")
    sys.exit(0 if asyncio.run(import_rows(parser.parse_args())) else 1)


if __name__ == "__main__":
    main()

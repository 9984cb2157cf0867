"""The two clients: ``Rowdock`` waits, ``AsyncRowdock`` awaits. Both have the same methods.

What a method asks is defined once, in ``calls`` or ``flows``; here is only how a call is sent, and a flow played.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
    closing,
    contextmanager,
)
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, overload

import httpx
from httpx_sse import EventSource
from tenacity import AsyncRetrying, Retrying, retry_if_exception

from rowdock_client import calls, flows
from rowdock_client.calls import Call
from rowdock_client.errors import RowdockError
from rowdock_client.events import Following, RunEvent
from rowdock_client.exchange import (
    DEFAULT_TIMEOUT,
    Retries,
    pause_before_next,
    refuse,
    request_of,
    result_of,
    unreachable,
    worth_another,
)
from rowdock_client.flows import Flow, Follow, Pause, Step

T = TypeVar("T")
E = TypeVar("E")
P = ParamSpec("P")
E_co = TypeVar("E_co", covariant=True)


class Page(Protocol[E_co]):
    """A page of a list."""

    @property
    def data(self) -> Sequence[E_co]:
        """Its entries."""
        ...

    @property
    def next_after(self) -> str | int | None:
        """Where the next page begins; ``None`` where there is none."""
        ...


class _Defined(Generic[P, T]):
    """A method whose calls are defined elsewhere."""

    def __init__(self, define: Callable[P, T]) -> None:
        self._define = define
        self.__doc__ = define.__doc__
        self.__wrapped__ = define


class _Method(_Defined[P, Call[T] | Flow[T]]):
    """A method of ``Rowdock`` that returns the result."""

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: "Rowdock", owner: type) -> Callable[P, T]: ...
    def __get__(self, client: "Rowdock | None", owner: type) -> Self | Callable[P, T]:
        if client is None:
            return self
        return lambda *args, **kwargs: client.do(self._define(*args, **kwargs))


class _Listing(_Defined[P, Call[Page[E]]]):
    """A method of ``Rowdock`` that goes through the entries of all pages."""

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: "Rowdock", owner: type) -> Callable[P, Iterator[E]]: ...
    def __get__(self, client: "Rowdock | None", owner: type) -> Self | Callable[P, Iterator[E]]:
        if client is None:
            return self
        return lambda *args, **kwargs: client.entries(self._define(*args, **kwargs))


class _Download(_Defined[P, Call[bytes]]):
    """A method of ``Rowdock`` whose result is a stream of bytes."""

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: "Rowdock", owner: type) -> Callable[P, AbstractContextManager[Iterator[bytes]]]: ...
    def __get__(
        self, client: "Rowdock | None", owner: type
    ) -> Self | Callable[P, AbstractContextManager[Iterator[bytes]]]:
        if client is None:
            return self
        return lambda *args, **kwargs: client.streaming(self._define(*args, **kwargs))


class _AsyncMethod(_Defined[P, Call[T] | Flow[T]]):
    """A method of ``AsyncRowdock`` whose result is awaited."""

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: "AsyncRowdock", owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: "AsyncRowdock | None", owner: type) -> Self | Callable[P, Awaitable[T]]:
        if client is None:
            return self
        return lambda *args, **kwargs: client.do(self._define(*args, **kwargs))


class _AsyncListing(_Defined[P, Call[Page[E]]]):
    """A method of ``AsyncRowdock`` that goes through the entries of all pages."""

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: "AsyncRowdock", owner: type) -> Callable[P, AsyncIterator[E]]: ...
    def __get__(self, client: "AsyncRowdock | None", owner: type) -> Self | Callable[P, AsyncIterator[E]]:
        if client is None:
            return self
        return lambda *args, **kwargs: client.entries(self._define(*args, **kwargs))


class _AsyncDownload(_Defined[P, Call[bytes]]):
    """A method of ``AsyncRowdock`` whose result is a stream of bytes."""

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(
        self, client: "AsyncRowdock", owner: type
    ) -> Callable[P, AbstractAsyncContextManager[AsyncIterator[bytes]]]: ...
    def __get__(
        self, client: "AsyncRowdock | None", owner: type
    ) -> Self | Callable[P, AbstractAsyncContextManager[AsyncIterator[bytes]]]:
        if client is None:
            return self
        return lambda *args, **kwargs: client.streaming(self._define(*args, **kwargs))


class Rowdock:
    """A gateway, with the API key of one organization; as a context manager it closes itself.

    Every method raises a ``RowdockError``: ``RefusedError`` where the gateway refuses, ``NotReachableError`` where it
    is not there, ``UnexpectedAnswerError`` where something else answers. Calls that may be made again without doing
    anything twice are, as ``retries`` says. Threads may share a client.

    Args:
        url: address of the gateway.
        api_key: ``sk_live_…``.
        timeout: of single requests, in seconds or as httpx has it.
        retries: how often and how long.
        transport: of httpx, in the place of connections to ``url``.

    Attributes:
        http: the client of httpx, for whatever has no method here.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout: float | httpx.Timeout = DEFAULT_TIMEOUT,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.retries = retries or Retries()
        self.http = httpx.Client(
            base_url=self.url, headers=_headers(api_key), timeout=timeout, transport=transport, follow_redirects=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.http.close()

    # Pages of lists, as one goes through them.
    templates = _Listing(calls.list_templates)
    runs = _Listing(calls.list_runs)
    rows = _Listing(calls.list_rows)
    records = _Listing(calls.list_records)
    rejected = _Listing(calls.list_rejected)
    deleted = _Listing(calls.list_deleted)
    tenants = _Listing(calls.list_tenants)

    list_templates = _Method(calls.list_templates)
    get_template = _Method(calls.get_template)
    create_template = _Method(calls.create_template)
    replace_template = _Method(calls.replace_template)
    delete_template = _Method(calls.delete_template)
    copy_template = _Method(calls.copy_template)
    upload_file = _Method(calls.upload_file)
    dry_run = _Method(calls.dry_run)
    preview_file = _Method(calls.preview_file)
    list_runs = _Method(calls.list_runs)
    get_run = _Method(calls.get_run)
    request_preview = _Method(calls.request_preview)
    get_preview = _Method(calls.get_preview)
    execute_run = _Method(calls.execute_run)
    cancel_run = _Method(calls.cancel_run)
    revert_run = _Method(calls.revert_run)
    list_deleted = _Method(calls.list_deleted)
    list_rows = _Method(calls.list_rows)
    list_records = _Method(calls.list_records)
    list_rejected = _Method(calls.list_rejected)
    get_rejected = _Method(calls.get_rejected)
    correct_rejected = _Method(calls.correct_rejected)
    retry_rejected = _Method(calls.retry_rejected)
    discard_rejected = _Method(calls.discard_rejected)
    retry_all_rejected = _Method(calls.retry_all_rejected)
    correct_all_rejected = _Method(calls.correct_all_rejected)
    get_bulk_correction = _Method(calls.get_bulk_correction)
    upload_corrections = _Method(calls.upload_corrections)
    list_tenants = _Method(calls.list_tenants)
    get_status = _Method(calls.get_status)

    follow_run = _Download(calls.follow_run)
    download_rows = _Download(calls.download_rows)
    download_records = _Download(calls.download_records)
    download_rejected = _Download(calls.download_rejected)

    # Several requests: these wait for what they have asked for.
    wait_for_run = _Method(flows.wait_for_run)
    settle_run = _Method(flows.settle_run)
    check_file = _Method(flows.check_file)
    write_run = _Method(flows.write_run)
    import_file = _Method(flows.import_file)
    preview_run = _Method(flows.preview_run)
    correct_rows = _Method(flows.correct_rows)
    revert = _Method(flows.revert)
    cancel = _Method(flows.cancel)

    def do(self, asked: Call[T] | Flow[T]) -> T:
        """The result of a call or of a flow, one of this package's or of your own."""
        return self._send(asked) if isinstance(asked, Call) else self._play(asked)

    def entries(self, call: Call[Page[E]]) -> Iterator[E]:
        """The entries of a list from the page of ``call`` on, each page asked for when it is needed."""
        while True:
            page = self._send(call)
            yield from page.data
            if page.next_after is None:
                return
            call = replace(call, query={**call.query, "after": page.next_after})

    def events(self, run_id: str) -> Generator[RunEvent]:
        """What a run tells, until its end; where the stream breaks off, it is taken up again."""
        following = Following(run_id)
        while not following.ended:
            failure: RowdockError | None = None
            try:
                answer = self._retrying(call := following.call(), lambda: self._opened(call))
                with closing(answer):
                    if answer.status_code == HTTPStatus.NO_CONTENT:
                        return
                    for told in EventSource(answer).iter_sse():
                        if (event := following.heard(told)) is not None:
                            yield event
            except httpx.TransportError as error:
                failure = unreachable(self.url, error)
            except RowdockError as error:
                failure = error
            if not following.ended:
                time.sleep(following.pause(failure))

    @contextmanager
    def streaming(self, call: Call[bytes]) -> Generator[Iterator[bytes]]:
        """The bytes of an answer as they come; what is refused is refused before the first."""
        answer = self._retrying(call, lambda: self._opened(call))
        try:
            yield self._pieces(answer)
        finally:
            answer.close()

    def _send(self, call: Call[T]) -> T:
        return self._retrying(call, lambda: self._sent_once(call))

    def _retrying(self, call: Call[Any], attempt: Callable[[], T]) -> T:
        retrying = Retrying(
            retry=retry_if_exception(lambda failure: worth_another(call, failure)),
            stop=self.retries.stop(),
            wait=pause_before_next,
            reraise=True,
        )
        return retrying(attempt)

    def _sent_once(self, call: Call[T]) -> T:
        file = None if call.file is None else call.file.opened()
        try:
            answer = self.http.send(request_of(self.http, call, file))
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        finally:
            if call.file is not None and file is not None:
                call.file.close(file)
        return result_of(call, answer)

    def _opened(self, call: Call[bytes]) -> httpx.Response:
        try:
            answer = self.http.send(request_of(self.http, call, None), stream=True)
            if not answer.is_success:
                answer.read()
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        refuse(answer)
        return answer

    def _pieces(self, answer: httpx.Response) -> Iterator[bytes]:
        try:
            yield from answer.iter_bytes()
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error

    def _followed(self, run_id: str, hear: Callable[[RunEvent], bool]) -> bool:
        try:
            with closing(self.events(run_id)) as events:
                return any(hear(event) for event in events)
        except RowdockError:
            return False  # Whoever follows looks at the run instead, and hears what is wrong then.

    def _play(self, flow: Generator[Step, Any, T]) -> T:
        try:
            step = next(flow)
            while True:
                match step:
                    case Pause(seconds):
                        time.sleep(seconds)
                        step = next(flow)
                    case Follow(run_id, hear):
                        step = flow.send(self._followed(run_id, hear))
                    case Call():
                        step = flow.send(self._send(step))
        except StopIteration as end:
            return end.value
        finally:
            flow.close()


class AsyncRowdock:
    """``Rowdock`` whose methods are awaited, for one event loop.

    Lists are gone through with ``async for``, downloads opened with ``async with``. Files on disk are read in pieces
    of 64 KiB on the loop.

    Args:
        url: address of the gateway.
        api_key: ``sk_live_…``.
        timeout: of single requests, in seconds or as httpx has it.
        retries: how often and how long.
        transport: of httpx, in the place of connections to ``url``.

    Attributes:
        http: the client of httpx, for whatever has no method here.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout: float | httpx.Timeout = DEFAULT_TIMEOUT,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.retries = retries or Retries()
        self.http = httpx.AsyncClient(
            base_url=self.url, headers=_headers(api_key), timeout=timeout, transport=transport, follow_redirects=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self.http.aclose()

    # Pages of lists, as one goes through them.
    templates = _AsyncListing(calls.list_templates)
    runs = _AsyncListing(calls.list_runs)
    rows = _AsyncListing(calls.list_rows)
    records = _AsyncListing(calls.list_records)
    rejected = _AsyncListing(calls.list_rejected)
    deleted = _AsyncListing(calls.list_deleted)
    tenants = _AsyncListing(calls.list_tenants)

    list_templates = _AsyncMethod(calls.list_templates)
    get_template = _AsyncMethod(calls.get_template)
    create_template = _AsyncMethod(calls.create_template)
    replace_template = _AsyncMethod(calls.replace_template)
    delete_template = _AsyncMethod(calls.delete_template)
    copy_template = _AsyncMethod(calls.copy_template)
    upload_file = _AsyncMethod(calls.upload_file)
    dry_run = _AsyncMethod(calls.dry_run)
    preview_file = _AsyncMethod(calls.preview_file)
    list_runs = _AsyncMethod(calls.list_runs)
    get_run = _AsyncMethod(calls.get_run)
    request_preview = _AsyncMethod(calls.request_preview)
    get_preview = _AsyncMethod(calls.get_preview)
    execute_run = _AsyncMethod(calls.execute_run)
    cancel_run = _AsyncMethod(calls.cancel_run)
    revert_run = _AsyncMethod(calls.revert_run)
    list_deleted = _AsyncMethod(calls.list_deleted)
    list_rows = _AsyncMethod(calls.list_rows)
    list_records = _AsyncMethod(calls.list_records)
    list_rejected = _AsyncMethod(calls.list_rejected)
    get_rejected = _AsyncMethod(calls.get_rejected)
    correct_rejected = _AsyncMethod(calls.correct_rejected)
    retry_rejected = _AsyncMethod(calls.retry_rejected)
    discard_rejected = _AsyncMethod(calls.discard_rejected)
    retry_all_rejected = _AsyncMethod(calls.retry_all_rejected)
    correct_all_rejected = _AsyncMethod(calls.correct_all_rejected)
    get_bulk_correction = _AsyncMethod(calls.get_bulk_correction)
    upload_corrections = _AsyncMethod(calls.upload_corrections)
    list_tenants = _AsyncMethod(calls.list_tenants)
    get_status = _AsyncMethod(calls.get_status)

    follow_run = _AsyncDownload(calls.follow_run)
    download_rows = _AsyncDownload(calls.download_rows)
    download_records = _AsyncDownload(calls.download_records)
    download_rejected = _AsyncDownload(calls.download_rejected)

    # Several requests: these wait for what they have asked for.
    wait_for_run = _AsyncMethod(flows.wait_for_run)
    settle_run = _AsyncMethod(flows.settle_run)
    check_file = _AsyncMethod(flows.check_file)
    write_run = _AsyncMethod(flows.write_run)
    import_file = _AsyncMethod(flows.import_file)
    preview_run = _AsyncMethod(flows.preview_run)
    correct_rows = _AsyncMethod(flows.correct_rows)
    revert = _AsyncMethod(flows.revert)
    cancel = _AsyncMethod(flows.cancel)

    async def do(self, asked: Call[T] | Flow[T]) -> T:
        """The result of a call or of a flow, one of this package's or of your own."""
        return await (self._send(asked) if isinstance(asked, Call) else self._play(asked))

    async def entries(self, call: Call[Page[E]]) -> AsyncIterator[E]:
        """The entries of a list from the page of ``call`` on, each page asked for when it is needed."""
        while True:
            page = await self._send(call)
            for entry in page.data:
                yield entry
            if page.next_after is None:
                return
            call = replace(call, query={**call.query, "after": page.next_after})

    async def events(self, run_id: str) -> AsyncGenerator[RunEvent]:
        """What a run tells, until its end; where the stream breaks off, it is taken up again."""
        following = Following(run_id)
        while not following.ended:
            failure: RowdockError | None = None
            try:
                answer = await self._retrying(call := following.call(), lambda: self._opened(call))
                async with aclosing(answer):
                    if answer.status_code == HTTPStatus.NO_CONTENT:
                        return
                    async for told in EventSource(answer).aiter_sse():
                        if (event := following.heard(told)) is not None:
                            yield event
            except httpx.TransportError as error:
                failure = unreachable(self.url, error)
            except RowdockError as error:
                failure = error
            if not following.ended:
                await asyncio.sleep(following.pause(failure))

    @asynccontextmanager
    async def streaming(self, call: Call[bytes]) -> AsyncGenerator[AsyncIterator[bytes]]:
        """The bytes of an answer as they come; what is refused is refused before the first."""
        answer = await self._retrying(call, lambda: self._opened(call))
        try:
            yield self._pieces(answer)
        finally:
            await answer.aclose()

    async def _send(self, call: Call[T]) -> T:
        return await self._retrying(call, lambda: self._sent_once(call))

    async def _retrying(self, call: Call[Any], attempt: Callable[[], Awaitable[T]]) -> T:
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda failure: worth_another(call, failure)),
            stop=self.retries.stop(),
            wait=pause_before_next,
            reraise=True,
        )

        async def once() -> T:  # tenacity awaits coroutine functions only
            return await attempt()

        return await retrying(once)

    async def _sent_once(self, call: Call[T]) -> T:
        file = None if call.file is None else call.file.opened()
        try:
            answer = await self.http.send(request_of(self.http, call, file))
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        finally:
            if call.file is not None and file is not None:
                call.file.close(file)
        return result_of(call, answer)

    async def _opened(self, call: Call[bytes]) -> httpx.Response:
        try:
            answer = await self.http.send(request_of(self.http, call, None), stream=True)
            if not answer.is_success:
                await answer.aread()
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        refuse(answer)
        return answer

    async def _pieces(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for piece in answer.aiter_bytes():
                yield piece
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error

    async def _followed(self, run_id: str, hear: Callable[[RunEvent], bool]) -> bool:
        try:
            async with aclosing(self.events(run_id)) as events:
                async for event in events:
                    if hear(event):
                        return True
        except RowdockError:
            pass  # Whoever follows looks at the run instead, and hears what is wrong then.
        return False

    async def _play(self, flow: Generator[Step, Any, T]) -> T:
        try:
            step = next(flow)
            while True:
                match step:
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                        step = next(flow)
                    case Follow(run_id, hear):
                        step = flow.send(await self._followed(run_id, hear))
                    case Call():
                        step = flow.send(await self._send(step))
        except StopIteration as end:
            return end.value
        finally:
            flow.close()


def _headers(api_key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}", "User-Agent": "rowdock-client"}

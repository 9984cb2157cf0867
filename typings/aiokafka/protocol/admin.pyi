from typing import Any

from aiokafka.protocol.api import Request

class CreateAclsResponse:
    creation_responses: list[tuple[int, str | None]]

class DeleteAclsResponse:
    filter_responses: list[tuple[int, str | None, list[tuple[Any, ...]]]]

class DescribeAclsResponse:
    error_code: int
    error_message: str | None
    resources: list[tuple[int, str, int, list[tuple[str, str, int, int]]]]

class _AclsRequest:
    def __init__(
        self,
        resource_type: int,
        resource_name: str | None,
        resource_pattern_type_filter: int,
        principal: str | None,
        host: str | None,
        operation: int,
        permission_type: int,
    ) -> None: ...

class CreateAclsRequest(_AclsRequest, Request[CreateAclsResponse]): ...
class DeleteAclsRequest(_AclsRequest, Request[DeleteAclsResponse]): ...
class DescribeAclsRequest(_AclsRequest, Request[DescribeAclsResponse]): ...

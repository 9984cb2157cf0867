from typing import Generic, TypeVar

AnswerT_co = TypeVar("AnswerT_co", covariant=True)

class Request(Generic[AnswerT_co]): ...

"""What a file format is, and what it may use: all that the format of a third party imports of Rowdock.

``FileFormat`` says what there is to write; ``RowCollector`` does what all readers have in common; ``ReaderLimits`` are
to be kept. ``services.parser.formats.api.conformance`` has the tests that every format passes.
"""

from libs.contracts.errors import FileRefusedError
from libs.contracts.plan import ParsePlan, RowIssue
from libs.contracts.templates import SourceFormat, Template
from services.parser.formats.api.batches import ParsedBatch
from services.parser.formats.api.collector import Problem, RowCollector
from services.parser.formats.api.encoding import Encoding, EncodingDetector, open_decoder
from services.parser.formats.api.file_format import (
    FileFacts,
    FileFormat,
    Layout,
    PlanSettings,
    Reader,
    Sampler,
    column_keys,
)
from services.parser.formats.api.headers import column_names, numbered_names
from services.parser.formats.api.limits import MIB, ReaderLimits
from services.parser.formats.api.preamble import Preamble
from services.parser.formats.api.sampling import Sample, TextSample

__all__ = [
    "MIB",
    "Encoding",
    "EncodingDetector",
    "FileFacts",
    "FileFormat",
    "FileRefusedError",
    "Layout",
    "ParsePlan",
    "ParsedBatch",
    "PlanSettings",
    "Preamble",
    "Problem",
    "Reader",
    "ReaderLimits",
    "RowCollector",
    "RowIssue",
    "Sample",
    "Sampler",
    "SourceFormat",
    "Template",
    "TextSample",
    "column_keys",
    "column_names",
    "numbered_names",
    "open_decoder",
]

"""The format ``csv``."""

from libs.contracts.plan import ParsePlan
from libs.contracts.templates import Template
from services.parser.formats.api.file_format import FileFacts, Layout
from services.parser.formats.api.limits import ReaderLimits
from services.parser.formats.api.sampling import TextSample
from services.parser.formats.csv.dialect import SAMPLE_BYTES, detect_layout
from services.parser.formats.csv.reader import CsvReader


class CsvSampler:
    """Finds out encoding, delimiter and columns."""

    def __init__(self, template: Template, file: FileFacts, limits: ReaderLimits) -> None:
        self._template = template
        self._limits = limits
        self._start = TextSample(file, template.source.encoding, SAMPLE_BYTES)

    def feed(self, data: bytes) -> bool:
        """See ``file_format.Sampler``."""
        return self._start.feed(data)

    def layout(self) -> Layout:
        """See ``file_format.Sampler``."""
        sample = self._start.sample()
        return detect_layout(
            sample.data, self._template, sample.encoding, whole_file=sample.whole_file, limits=self._limits
        )


class CsvFormat:
    """Values separated by a delimiter, RFC 4180 and what people make of it."""

    def sampler(self, template: Template, file: FileFacts, limits: ReaderLimits) -> CsvSampler:
        """See ``file_format.FileFormat``."""
        return CsvSampler(template, file, limits)

    def reader(self, plan: ParsePlan, limits: ReaderLimits) -> CsvReader:
        """See ``file_format.FileFormat``."""
        return CsvReader(plan, limits)

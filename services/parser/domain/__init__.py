"""The CSV reader: pure, no IO. Bytes of a file in, batches of string columns and row issues out.

In the order of use:

1. ``encoding.EncodingDetector(template.source.encoding)``: ``feed(chunk)`` the file's chunks from its
   start until it answers an ``Encoding``, else ``close()``. An ASCII file is read to its end.
2. ``dialect.detect_plan(sample, template, encoding, whole_file=…, batch_rows=…, batch_bytes=…, limits=…)``
   with the first ``dialect.SAMPLE_BYTES`` bytes: the ``ParsePlan`` to freeze on the run.
3. ``csv_reader.CsvReader(plan, limits)``: ``feed(data)`` and ``close()`` answer ``batches.ParsedBatch``es.
4. ``batches.digest(batch)``: SHA-256 of a batch's content, to compare a repeated parse with.

``limits.ReaderLimits`` bounds all of it. What is wrong with the file as a whole raises
``FileRefusedError``; what is wrong with a row becomes a ``RowIssue`` of its batch.
"""

"""Office files, PDF and HTML through markitdown and openpyxl, in a child process with limits.

These files come from outside and their parsers are large: a child that crashes, runs away or eats memory
costs one problem in the report, never the run. Parent and child speak JSON lines over pipes.
"""

from __future__ import annotations

import io
import json
import os
import resource
import select
import subprocess
import sys
import time
import zipfile
from types import TracebackType
from typing import Any

from assistant.ingestion.sources import SourceFile

TIME_LIMIT_S = 60.0
_START_LIMIT_S = 120.0
_MEMORY_LIMIT = 6 << 30  # address space, of which the libraries themselves reserve a good part
_UNPACKED_LIMIT = 200_000_000
_MAX_ROWS = 100_000
_MAX_COLUMNS = 100
_MAX_CHARS = 20_000_000
_ZIPPED = (".docx", ".xlsx")


class ConversionError(Exception):
    """One file cannot be converted; the message says why and what to do."""


def check_archive(source: SourceFile) -> None:
    """Refuse an Office file that is no archive or unpacks to far more than a document needs.

    Python's zipfile never unpacks more of a member than its header declares, so the declared size is a bound.
    Raises: ConversionError.
    """
    kind = source.suffix[1:].upper()
    try:
        with zipfile.ZipFile(io.BytesIO(source.content)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as error:
        raise ConversionError(f"is not a {kind} file or is damaged; save it again as {kind}") from error
    if unpacked > _UNPACKED_LIMIT:
        raise ConversionError(
            f"unpacks to {unpacked // 1_000_000} MB, the limit is {_UNPACKED_LIMIT // 1_000_000} MB; "
            "remove pictures, or split it"
        )


class Converter:
    """Converts files one after another in a child process that is started on the first and kept."""

    def __init__(self, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._time_limit_s = time_limit_s
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Converter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child; may be called twice."""
        child, self._child = self._child, None
        if child:
            child.kill()
            child.communicate()

    def to_markdown(self, source: SourceFile) -> str:
        """A DOCX, PDF or HTML file as Markdown.

        Raises: ConversionError.
        """
        result = self._convert(source)
        if not isinstance(result, str):
            raise ConversionError("cannot be converted")
        return result

    def to_sheets(self, source: SourceFile) -> list[tuple[str, list[list[str]]]]:
        """The sheets of an XLSX file: name and rows of cells, each row with its place kept.

        Raises: ConversionError.
        """
        result = self._convert(source)
        if not isinstance(result, list):
            raise ConversionError("cannot be converted")
        return [(name, rows) for name, rows in result]

    def _convert(self, source: SourceFile) -> object:
        if source.suffix in _ZIPPED:
            check_archive(source)
        if source.suffix == ".pdf" and b"%PDF-" not in source.content[:1024]:
            raise ConversionError("is not a PDF file or is damaged; export it again as PDF")
        child = self._child or self._start()
        assert child.stdin  # noqa: S101 - asked for when it was started
        try:
            head = json.dumps({"suffix": source.suffix, "size": len(source.content)})
            child.stdin.write(head.encode() + b"\n" + source.content)
            child.stdin.flush()
            reply = self._read_line(child, self._time_limit_s)
        except BrokenPipeError:
            reply = b""
        except TimeoutError:
            self.close()
            raise ConversionError(
                f"took longer than {self._time_limit_s:g} s to read; split it, or save it as text"
            ) from None
        if not reply:
            self.close()
            raise ConversionError("makes its reader crash or run out of memory; save it again, or as text")
        answer: dict[str, Any] = json.loads(reply)
        if "error" in answer:
            raise ConversionError(answer["error"])
        return answer["result"]

    def _start(self) -> subprocess.Popen[bytes]:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "assistant.ingestion.conversion"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        try:
            ready = self._read_line(self._child, _START_LIMIT_S)
        except TimeoutError:
            ready = b""
        if not ready:
            self.close()
            raise ConversionError("cannot be read: its converter does not start; install the project again")
        return self._child

    @staticmethod
    def _read_line(child: subprocess.Popen[bytes], limit_s: float) -> bytes:
        """One line of the child's output, b"" if it has ended. Raises: TimeoutError."""
        assert child.stdout  # noqa: S101
        handle = child.stdout.fileno()
        deadline = time.monotonic() + limit_s
        pieces: list[bytes] = []
        while not (pieces and pieces[-1].endswith(b"\n")):
            if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            piece = os.read(handle, 1 << 20)
            if not piece:
                return b""
            pieces.append(piece)
        return b"".join(pieces)


# --- the child ---------------------------------------------------------------------------------------------


def _serve() -> None:
    """Read files from stdin and write their text to stdout until stdin ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
    out.write(b"ready\n")
    out.flush()
    while head := sys.stdin.buffer.readline():
        request = json.loads(head)
        content = sys.stdin.buffer.read(request["size"])
        try:
            if request["suffix"] == ".xlsx":
                result: object = _read_sheets(content)
            else:
                result = _read_document(content, request["suffix"])
            answer = {"result": result}
        except ConversionError as error:
            answer = {"error": str(error)}
        except RecursionError:
            answer = {"error": "is nested too deeply to be read; simplify it, or save it as text"}
        except MemoryError:
            answer = {"error": "needs too much memory to be read; split it"}
        except Exception as error:  # whatever a parser throws at hostile bytes is one line in the report
            kind = request["suffix"][1:].upper()
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            answer = {"error": f"is not a {kind} file or is damaged ({reason}); save it again as {kind}"}
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()


def _read_document(content: bytes, suffix: str) -> str:
    from markitdown import StreamInfo
    from markitdown.converters import DocxConverter, HtmlConverter, PdfConverter

    # each by its ending: MarkItDown itself tries one after another and would take a broken PDF for plain text
    converter = {".docx": DocxConverter, ".pdf": PdfConverter}.get(suffix, HtmlConverter)()
    info = StreamInfo(extension=suffix, charset="utf-8")
    text = str(converter.convert(io.BytesIO(content), info).markdown)
    if len(text) > _MAX_CHARS:
        raise ConversionError("holds more text than can be read; split it")
    return text


def _read_sheets(content: bytes) -> list[tuple[str, list[list[str]]]]:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    sheets = []
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # a declared size may be wrong
        rows: list[list[str]] = []
        blank = 0
        for cells in sheet.iter_rows(max_col=_MAX_COLUMNS, values_only=True):
            row = [_cell(value) for value in cells]
            while row and not row[-1]:
                row.pop()
            blank = 0 if row else blank + 1
            if blank > 1000:
                break
            rows.append(row)
            if len(rows) > _MAX_ROWS:
                raise ConversionError(f"has more than {_MAX_ROWS} rows; split it")
        while rows and not rows[-1]:
            rows.pop()
        sheets.append((sheet.title, rows))
    return sheets


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


if __name__ == "__main__":
    _serve()

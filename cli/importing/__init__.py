"""Reading orders, refunds and points out of files of any layout and handing them to members and points.

A mapping (`cli/mappings/*.toml`) says as data how a row becomes an order; the reader streams rows; the sender
posts batches; what cannot be taken in goes to a rejects file with its line and reason.
"""

from cli.importing.importer import ImportPlan, Outcome, import_file
from cli.importing.mapping import Mapping, MappingError, load_mapping
from cli.importing.reader import FileUnreadable, holds_documents
from cli.importing.sender import ImportAborted

__all__ = [
    "FileUnreadable",
    "ImportAborted",
    "ImportPlan",
    "Mapping",
    "MappingError",
    "Outcome",
    "holds_documents",
    "import_file",
    "load_mapping",
]

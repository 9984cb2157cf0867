"""How the importers of organizations look."""

from datetime import datetime

from libs.contracts.branding import Branding
from libs.storage.documents.state_document import StateDocument


class BrandingDocument(StateDocument):
    """One of each organization that has changed something; its ``_id`` is the organization's.

    Attributes:
        version: rises with every change; release 0.1 stored none.
        settings: only what was changed is stored, the rest is the default of the release that reads it.
    """

    version: int = 0
    settings: Branding = Branding()
    created_at: datetime
    updated_at: datetime

    class Settings:
        name = "branding"

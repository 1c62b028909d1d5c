"""What every section of the configuration is made of. The sections themselves: `config.py`."""

from pydantic import BaseModel, ConfigDict

MIB = 1024 * 1024
HOUR_MS = 3_600_000


class Section(BaseModel):
    """A section of the file: it never changes, and knows no option but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

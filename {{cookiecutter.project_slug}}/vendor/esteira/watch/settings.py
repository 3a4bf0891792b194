"""watch.yaml: which batch is watched, and how sure an alarm must be."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from esteira.line.files import read_yaml
from esteira.line.params import Section, parse

PATH = "watch.yaml"


class Settings(Section):
    """An alarm stands where `needed` of the last `window` batches say so."""

    batch: str | None = None  # a file that DVC keeps or imports; None: that of drift_check
    needed: int = Field(2, ge=1)
    window: int = Field(3, ge=1, le=20)

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if self.needed > self.window:
            raise ValueError(f"needed: {self.needed} of window: {self.window} can never be")
        return self


def load() -> Settings:
    """Read watch.yaml; its defaults where there is none. Raises UserError."""
    return parse(read_yaml(PATH) if Path(PATH).is_file() else {}, Settings, PATH)

"""card.yaml: what the squad says of the model, which no number can."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from esteira.line.files import read_yaml
from esteira.line.params import parse

PATH = "card.yaml"
NOT_SAID = "not said yet"


class Said(BaseModel):
    """The whole of card.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    owner: str = ""
    intended_use: str = ""
    not_for: str = ""
    limits: list[str] = []
    ethics: str = ""

    def lines(self) -> list[tuple[str, str]]:
        """Return title and text of each part, in the order of the card."""
        texts = {
            "Owner": self.owner,
            "Intended use": self.intended_use,
            "Not for": self.not_for,
            "Known limits": " ".join(self.limits),
            "Whom errors harm": self.ethics,
        }
        return [(title, " ".join(text.split()) or NOT_SAID) for title, text in texts.items()]


def read(path: str | Path = PATH) -> Said:
    """Read card.yaml; where there is none, nothing is said. Raises UserError for a broken one."""
    return parse(read_yaml(path), Said, str(path)) if Path(path).is_file() else Said()

"""The base of all sections of the configuration."""

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

MANY = 10_000_000
"""More tokens than any batch or row has."""
LARGEST = 10**15
"""The largest whole number of any key: sums of such numbers still fit the database."""


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, numbers are finite, and docstrings become help texts."""

    model_config = ConfigDict(
        extra="forbid", use_attribute_docstrings=True, str_strip_whitespace=True, allow_inf_nan=False
    )

    @field_validator("*")
    @classmethod
    def _fits(cls, value: Any) -> Any:
        if value == "":
            raise ValueError('is "", but must not be empty')
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"is {value:g}, but must be at most {LARGEST:g}")
        return value

"""How texts may be cut: what a user chooses, and what is fitted of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from mmseq.config.paths import YamlPath
from mmseq.config.section import Section


class BytesConfig(Section):
    kind: Literal["bytes"]


class CharactersConfig(Section):
    kind: Literal["characters"]
    min_count: PositiveInt = Field(1, description="rarer characters of the training split count as unknown")


class WordsConfig(Section):
    kind: Literal["words"]
    min_count: PositiveInt = Field(2, description="rarer words of the training split count as unknown")
    size: PositiveInt = Field(20_000, description="the most frequent words that are known")
    lower: bool = Field(True, description="upper and lower case are alike")


class BpeConfig(Section):
    kind: Literal["bpe"]
    size: int = Field(8_000, ge=300, description="pieces that are learned from the training split")
    file: YamlPath | None = Field(
        None, description="a tokenizer.json to take instead of learning one; null: learn one"
    )

    @model_validator(mode="after")
    def _learn_or_take(self) -> BpeConfig:
        if self.file is not None and self.size != type(self).model_fields["size"].default:
            raise ValueError("size does nothing beside file, which has its own; leave one of them out")
        return self


TokensConfig = Annotated[
    BytesConfig | CharactersConfig | WordsConfig | BpeConfig, Field(discriminator="kind")
]


class TokensSpec(BaseModel):
    """How texts are cut, as it was fitted on the training split.

    Attributes:
        kind: as configured.
        vocabulary: known characters or words, the most frequent first; token i is entry i - 1.
        lower: words are compared in lower case.
        model: the `tokenizers` package's own description, of a byte-pair encoding.
        whole: it is somebody else's, which takes whole texts; one that was learned here takes pieces.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["bytes", "characters", "words", "bpe"]
    vocabulary: list[str] = []
    lower: bool = False
    model: str = ""
    whole: bool = False

    @model_validator(mode="after")
    def _each_once(self) -> TokensSpec:
        if len(set(self.vocabulary)) < len(self.vocabulary):
            raise ValueError("vocabulary: each entry stands once")
        if self.kind == "characters" and any(len(entry) != 1 for entry in self.vocabulary):
            raise ValueError("vocabulary: each entry is one character")
        return self

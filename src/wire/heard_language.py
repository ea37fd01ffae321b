"""The language of a text, in the form that OpenAI uses both over HTTP and over the WebSocket."""

from pydantic import BaseModel, Field


class HeardLanguage(BaseModel):
    """A language that was heard."""

    code: str = Field(description="ISO 639-1.", examples=["en"])

"""What the crawler takes and gives. Client and service both import it."""

from pydantic import BaseModel


class WebPage(BaseModel):
    url: str


class Answer(BaseModel):
    answer: str

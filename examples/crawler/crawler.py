"""Downloads a page and keeps it as Markdown: the service."""

import hashlib
import io
import os
import pathlib
import re
import tempfile

import flamepy
import markitdown
import requests
from api import Answer, WebPage

headers = {"User-Agent": "flame-crawler/1.0"}

output = pathlib.Path(os.environ.get("CRAWLER_OUTPUT", "pages"))

ins = flamepy.FlameInstance()


@ins.entrypoint
def crawler(wp: WebPage) -> Answer:
    text = requests.get(wp.url, headers=headers).text

    md = markitdown.MarkItDown()
    stream = io.BytesIO(text.encode("utf-8"))
    result = md.convert(stream).text_content

    save(wp.url, result)

    return Answer(answer=f"Crawled {wp.url}")


def save(url: str, markdown: str) -> None:
    """Writes the file whole or not at all, under a name made of the URL: a task that runs twice does no harm."""
    output.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", url.split("://")[-1]).strip("-")[:80]
    name += "-" + hashlib.sha256(url.encode()).hexdigest()[:8]
    with tempfile.NamedTemporaryFile("w", dir=output, delete=False, encoding="utf-8") as file:
        file.write(markdown)
    os.replace(file.name, output / f"{name}.md")


if __name__ == "__main__":
    ins.run()

"""Crawls the pages that are named: client.py URL URL …"""

import asyncio
import sys

import flamepy
from api import Answer, WebPage


async def main(urls: list) -> None:
    crawler = await flamepy.create_session("crawler-app")

    tasks = []
    for url in urls:
        tasks.append(crawler.invoke(WebPage(url=url)))

    for answer in await asyncio.gather(*tasks):
        print(Answer.model_validate_json(answer).answer)

    await crawler.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))

"""Sends one file with tuspy: `python tuspy_client.py '{"endpoint": ..., "headers": {...}, "file": ...,
"metadata": {...}, "chunk": 1048576}'`. Prints {"progress": bytes}, then {"done": url} or {"failed": text}."""

import json
import sys

from tusclient import client


def say(line):
    print(json.dumps(line), flush=True)


def main():
    wanted = json.loads(sys.argv[1])
    tus = client.TusClient(wanted["endpoint"], headers=wanted["headers"])
    try:
        uploader = tus.uploader(
            wanted["file"],
            chunk_size=wanted["chunk"],
            metadata=wanted["metadata"],
            retries=60,
            retry_delay=0.1,
            upload_checksum=wanted.get("checksum", False),
        )
        size = uploader.get_file_size()
        while uploader.offset < size:
            uploader.upload_chunk()
            say({"progress": uploader.offset})
    except Exception as error:  # whatever the library raises is the finding
        say({"failed": f"{type(error).__name__}: {error}"})
        return 1
    say({"done": uploader.url})
    return 0


if __name__ == "__main__":
    sys.exit(main())

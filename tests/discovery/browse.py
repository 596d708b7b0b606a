"""Browses the local network with python-zeroconf, which shares no code with Avahi or with the server:
`python browse.py OWN-ADDRESS SECONDS`. Prints the first service it can resolve as one line of JSON, or ends with 1."""

import json
import queue
import sys
import time

from zeroconf import ServiceBrowser, ServiceStateChange, Zeroconf

KIND = "_photosync._tcp.local."


def main():
    own_address, seconds = sys.argv[1], float(sys.argv[2])
    end = time.monotonic() + seconds
    found = queue.Queue()

    def on_change(zeroconf, service_type, name, state_change):
        if state_change is ServiceStateChange.Added:
            found.put(name)

    # The one interface, by its address: the library would look for a default route otherwise.
    network = Zeroconf(interfaces=[own_address])
    try:
        browser = ServiceBrowser(network, KIND, handlers=[on_change])
        name = found.get(timeout=seconds)
        left_ms = max(1, int((end - time.monotonic()) * 1000))
        info = network.get_service_info(KIND, name, timeout=left_ms)
        browser.cancel()
    except queue.Empty:
        print(f"nothing of {KIND} was seen in {seconds} s", file=sys.stderr)
        return 1
    finally:
        network.close()
    if info is None:
        print(f"{name} was seen and could not be resolved in {seconds} s", file=sys.stderr)
        return 1
    text = {
        key.decode(): None if value is None else value.decode() for key, value in info.properties.items()
    }
    seen = {
        "name": info.name.removesuffix("." + KIND),
        "port": info.port,
        "addresses": sorted(info.parsed_addresses()),
        "text": text,
    }
    print(json.dumps(seen, ensure_ascii=False, sort_keys=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a bug report needs to say."""

from __future__ import annotations

import platform
import re
import ssl

import trio

from nodeagent import __version__
from tests.nodeagent.cli.conftest import Cli


def test_one_line_for_each_part(cli: Cli) -> None:
    done = cli("version")

    assert done.code == 0
    assert done.out.splitlines() == [
        f"nodeagent {__version__}",
        f"Python {platform.python_version()}",
        f"trio {trio.__version__}",
        ssl.OPENSSL_VERSION,
    ]
    assert re.match(r"OpenSSL \d", ssl.OPENSSL_VERSION)

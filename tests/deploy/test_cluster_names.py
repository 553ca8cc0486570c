"""What the DaemonSet says of names, asked of a real DNS server with the search list of its pods."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.manifests import Manifest, the

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not (shutil.which("dnsmasq") and shutil.which("ip")),
        reason="needs dnsmasq and ip: apt-get install dnsmasq-base iproute2",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a network of its own"),
]

RECORDS = {
    "users.default.svc.cluster.local": "10.0.0.1",
    "users.shop.svc.cluster.local": "10.0.0.2",
    "example.org": "10.0.0.3",
    "www.example.org": "10.0.0.4",
}
EXPECTED = {
    "users": ["10.0.0.1"],
    "users.shop": ["10.0.0.2"],
    "users.shop.svc": ["10.0.0.2"],
    "users.shop.svc.cluster.local": ["10.0.0.2"],
    "example.org": ["10.0.0.3"],
    "www.example.org": ["10.0.0.4"],
    "orders": None,
}

# A network and a /etc/resolv.conf of its own; all processes in it end with the last command.
STAGE = """
set -e
ip link set lo up
mount --bind "$1" /etc/resolv.conf
dnsmasq --conf-file=/dev/null --no-hosts --no-resolv --address=/#/ --user=root --pid-file="$1.pid" $2
exec "$3" -c "$4"
"""

ASK = """
import json, trio
from namer.dns.answers import Found, Lifetimes, Nothing
from namer.dns.resolver import Resolver
from namer.dns.settings import Overrides

async def answers(names):
    resolver = Resolver(Overrides(), Lifetimes())
    found = {}
    for name in names:
        answer = await resolver.addresses(name)
        assert isinstance(answer, Found | Nothing), answer
        found[name] = getattr(answer, "records", None)
    print(json.dumps(found))

trio.run(answers, %r)
"""


def resolv_conf(namespace: str, dns_config: Manifest) -> str:
    """What the kubelet writes for dnsPolicy ClusterFirst: its own search list, then that of dnsConfig."""
    searches = [
        f"{namespace}.svc.cluster.local",
        "svc.cluster.local",
        "cluster.local",
        *dns_config["searches"],
    ]
    options = [f"{option['name']}:{option['value']}" for option in dns_config["options"]]
    return f"nameserver 127.0.0.1\nsearch {' '.join(searches)}\noptions {' '.join(options)}\n"


def test_names_reach_what_the_readme_says(tmp_path: Path) -> None:
    daemon_set = the("DaemonSet")
    settings = tmp_path / "resolv.conf"
    dns_config = daemon_set["spec"]["template"]["spec"]["dnsConfig"]
    settings.write_text(resolv_conf(daemon_set["metadata"]["namespace"], dns_config))
    records = " ".join(f"--host-record={name},{address}" for name, address in RECORDS.items())

    stage = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", STAGE, "stage"]
    inside = [str(settings), records, sys.executable, ASK % [*EXPECTED]]
    done = subprocess.run([*stage, *inside], capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == EXPECTED

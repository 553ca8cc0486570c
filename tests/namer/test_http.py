from collections.abc import Callable

import pytest

from namer import http
from namer.addr import AddrBound
from namer.namer import Bound
from namer.nametree import NEG, Leaf
from namer.path import Path


@pytest.mark.parametrize(
    ("rewrite", "path", "to"),
    [
        (http.any_method, "/GET/foo/bar", "/foo/bar"),
        (http.any_method, "/A.B/foo", None),
        (http.any_method, "/get/foo", None),
        (http.any_method, "/", None),
        (http.any_method_pfx, "/pfx/GET/foo", "/pfx/foo"),
        (http.any_method_pfx, "/pfx/A.B/foo", None),
        (http.any_method_pfx, "/GET", None),
        (http.any_host, "/a.b:80/foo", "/foo"),
        (http.any_host, "/a%b/foo", None),
        (http.any_host_pfx, "/pfx/a.b/foo", "/pfx/foo"),
        (http.any_host_pfx, "/pfx/a%b/foo", None),
        (http.subdomain_of, "/a.b/foo.a.b/bar", "/foo/bar"),
        (http.subdomain_of, "/a.b/foo.bar.a.b", "/foo.bar"),
        (http.subdomain_of, "/a.b/a.b", None),
        (http.subdomain_of, "/a.b/.a.b", None),
        (http.subdomain_of, "/a.b/foo.x.b", None),
        (http.subdomain_of, "/a.b", None),
        (http.subdomain_of_pfx, "/a.b/pfx/foo.a.b/bar", "/pfx/foo/bar"),
        (http.subdomain_of_pfx, "/a.b/pfx/foo_x.a.b/bar", "/pfx/foo_x/bar"),
        (http.subdomain_of_pfx, "/a.b/pfx/foo-x.a.b/bar", "/pfx/foo-x/bar"),
        (http.subdomain_of_pfx, "/a.b/pfx/foo.a.b:9090/bar", "/pfx/foo/bar"),
        (http.subdomain_of_pfx, "/a.b/pfx/foo", None),
        (http.domain_to_path, "/foo.buoyant.io/bar", "/io/buoyant/foo/bar"),
        (http.domain_to_path, "/foo.buoyant.io./bar", "/io/buoyant/foo/bar"),
        (http.domain_to_path, "/foo..io", None),
        (http.domain_to_path, "/..", None),
        (http.domain_to_path, "/", None),
        (http.domain_to_path_pfx, "/pfx/foo.buoyant.io/bar", "/pfx/io/buoyant/foo/bar"),
        (http.domain_to_path_pfx, "/pfx", None),
    ],
)
def test_names_of_requests_taken_apart(rewrite: Callable[[Path], Path | None], path: str, to: str | None) -> None:
    assert rewrite(Path.parse(path)) == (Path.parse(to) if to else None)


def test_a_status_is_bound_and_served_by_nobody() -> None:
    namer = http.StatusNamer(Path.parse("/$/io.buoyant.http.status"))

    state = namer.lookup(Path.parse("/418/a")).value

    assert isinstance(state, Leaf)
    assert isinstance(state.value, Bound)
    assert state.value.id == Path.parse("/$/io.buoyant.http.status/418")
    assert state.value.residual == Path.parse("/a")
    assert state.value.addr.value == AddrBound(())


@pytest.mark.parametrize("name", ["/", "/foo", "/99", "/101", "/600", "/4180"])
def test_what_is_no_status(name: str) -> None:
    assert http.StatusNamer(Path()).lookup(Path.parse(name)).value == NEG

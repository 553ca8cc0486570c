"""Where a request wants to go: targets, Host, CONNECT."""

from __future__ import annotations

from tests.conformance.rules import CHUNKED, HOST, Arrives, Refused, get, message

HOSTS = (
    b"web,web", b"web, web", b"web,evil", b"u@web", b"u:p@web", b"web@evil", b"web/x", b"/web", b"web#x", b"we b",
    b"web\tx",
    b"web:", b"web:0", b"web:99999", b"web:65536", b"web:a", b"web:-1", b"web:+80", b"web:80:80", b"web:8 0",
    b"web:80a", b":80", b"..", b".",
    b"../../etc/passwd", b"..\\..\\etc", b"a" * 64, b"a" * 300, b".".join([b"a" * 60] * 5), b"[::1%25eth0]",
    b"[fe80::1%eth0]", b"[::1", b"::1]", b"::1",
    b"[::1]x", b"[]", b"[::g]", b"[v1.x]", b"web|x", b"web=>x", b"web=>/y", b"*", b"$", b"/$/inet/127.0.0.1/80",
    b"/#/x", b"web&x", b"0.5*web", b"web~",
    b"web%2fx", b"web%00", b"w%65b", b"web;", b"web;x=>/y", b"web;=", b"web;a=b=c", b"w\xc3\xa9b", b"\xff", b"web?x",
    b"web\\x", b".web", b"web..", b"we..b",
    b"'web'", b'"web"', b"<web>", b"{web}", b"web!", b"http://web", b"http://web/", b"web`id`", b"web$(id)", b"(web)",
    b"web^", b"web+x",
)  # fmt: skip
TARGETS = (
    b"ftp://web/", b"file:///etc/passwd", b"gopher://web/", b"https://web/", b"HTTPS://web/", b"ws://web/",
    b"data:,x", b"javascript:x", b"about:blank",
    b"http://", b"http:///x", b"http://:80/", b"http://?x", b"http:web", b"http:/web", b"http:", b"web", b"web/x",
    b"web:80", b"*", b"*x", b"?x", b".", b"..",
    b"http://u:p@web/", b"http://u@web/", b"http://web@evil/", b"http://@web/", b"http://web:99999/", b"http://web:/",
    b"http://web:0/", b"http://web:x/",
    b"http://web,evil/", b"http://w%65b/", b"http://[::1/", b"http://[::1%25lo]/", b"http://web;/", b"http://.web/",
    b"http://we_b../", b"http ://web/",
    b"//", b"http//web/", b"://web/", b"view-source:http://web/", b"xhttp://web/", b"http:\\\\web/", b"http://web|x/",
)  # fmt: skip
DIRTY_TARGETS = (
    b"/a#b", b"/#", b"#", b"http://web/#f", b"/a\\b", b"\\", b"/..\\..\\x", b"/a\xffb", b"/\xc3\xa9", b"/\x80",
    b"/a\x7f", b"/a\x01", b"/a\x1b[31m", b"/a\x00", b"/a\tb",
    b"/a%00b", b"/?x=%00", b"http://web/%00", b"/\xef\xbc\x8f", b"/a\x0bb", b"/\xa0",
)  # fmt: skip
TUNNELS = (
    b"web", b"web:", b"web:0", b"web:99999", b"web:1/x", b"/x", b"/", b"*", b"http://web:1/", b"http://web:1", b"*:1",
    b":1", b"u@web:1", b"web:1:2",
    b"web:+1", b"web:a", b"[::1:1", b"[::1]", b"web,evil:1", b"../x:1", b"web:1?x", b"web:1;x", b"web:1@x", b"$:1",
    b"/$/inet/127.0.0.1:80", b"//web:1",
)  # fmt: skip


def _passes(target: bytes, path: bytes, host: bytes = b"Host: evil") -> tuple[bytes, bytes]:
    return get(host, target=target), get(HOST, target=path)


TARGETING: tuple[Refused | Arrives, ...] = (
    Refused(
        "S32-no-host", "RFC 9112, 3.2", "no Host in HTTP/1.1, in any form of target", 400,
        (get(), get(b"X: y"), get(target=b"http://web/"), get(b"Hos: web"), get(b"Host_: web"), get(b"X-Host: web"),
        message(b"OPTIONS * HTTP/1.1"),
         message(b"CONNECT web:80 HTTP/1.1"), message(b"GET / HTTP/1.0"), get(b"X: \xff")),
    ),
    Refused(
        "S32-two-hosts", "RFC 9112, 3.2", "two Host fields, also of one value, also beside a full URL", 400,
        (get(HOST, HOST), get(HOST, b"Host: evil"), get(HOST, b"hOST: web"), get(HOST, b"X: \xff", HOST),
        get(HOST, b"Host:"), get(b"Host:", HOST),
         get(HOST, HOST, target=b"http://web/"), get(HOST, b"Host: evil", target=b"http://web/"),
         message(b"GET / HTTP/1.0", HOST, HOST),
         message(b"CONNECT web:80 HTTP/1.1", HOST, HOST), get(HOST, b"X: y", b"HOST: web")),
    ),
    Refused(
        "S32-S43-S44-host-grammar", "RFC 9110, 4.2; RFC 3986, 3.2.2",
        "a Host that is not a name or address with maybe a port: lists, user"
        " information, paths, dtab syntax, zones, long labels", 400,
        [get(b"Host: " + value) for value in HOSTS],
    ),
    Refused(
        "S32-empty-host", "RFC 9112, 3.2", "an empty Host beside a path", 400,
        (get(b"Host:"), get(b"Host: \t "), get(b"Host:", b"X: \xff"), message(b"OPTIONS * HTTP/1.1", b"Host:")),
        stays=True,
    ),
    Refused(
        "S32-host-with-controls", "RFC 9110, 5.5", "control characters in Host", 400,
        [get(b"Host: web" + bytes([byte])) for byte in b"\x00\x01\x07\x08\x0b\x0c\x1b\x1f\x7f"],
    ),
    Refused(
        "S33-host-bad-beside-url", "RFC 9112, 3.2", "a full URL beside a Host that is no host", 400,
        [get(b"Host: " + value, target=b"http://web/") for value in (b"a b", b"u@web", b"web/x", b"web:0", b"web,x")],
    ),
    Refused(
        "S34-target", "RFC 9110, 4.2; RFC 9112, 3.2",
        "a target that is neither a path nor an http URL, or its authority is none", 400,
        [get(HOST, target=target) for target in TARGETS if target != b"//"],
    ),
    Refused(
        "S41-bytes-in-targets", "RFC 9112, 3.2; RFC 3986, 2",
        "fragment, backslash, controls, raw bytes above 127, `%00` in a target", 400,
        [get(HOST, target=target) for target in DIRTY_TARGETS],
    ),
    Refused(
        "S38-connect-target", "RFC 9112, 3.2.3", "CONNECT to anything but HOST:PORT", 400,
        [message(b"CONNECT " + target + b" HTTP/1.1", HOST) for target in TUNNELS],
    ),
    Refused(
        "S38-connect-with-body", "RFC 9110, 9.3.6", "CONNECT with a body", 400,
        (
            message(b"CONNECT web:1 HTTP/1.1", HOST, CHUNKED, body=b"0\r\n\r\n"),
            message(b"CONNECT web:1 HTTP/1.1", HOST, b"Content-Length: 5", body=b"hello"),
            message(b"CONNECT web:1 HTTP/1.1", HOST, CHUNKED, b"Content-Length: 5"),
            message(b"CONNECT web:1 HTTP/1.1", HOST, b"Content-Length: x"),
        ),
    ),
    Arrives(
        "S33-url-beats-host", "RFC 9112, 3.2.2", "a full URL whose authority differs from Host",
        "the URL's authority wins, and becomes Host",
        dict((
            _passes(b"http://web/x", b"/x"), _passes(b"HTTP://web/x", b"/x"), _passes(b"http://web", b"/"),
            _passes(b"http://web?x", b"/?x"),
            _passes(b"http://web//x", b"//x"), _passes(b"http://web/http://evil/", b"/http://evil/"),
            _passes(b"http://web/@evil", b"/@evil"),
            _passes(b"http://web/x?y=http://z", b"/x?y=http://z"), _passes(b"hTTp://web/", b"/", b"Host:"),
        )),
    ),
    Arrives(
        "S42-paths", "RFC 3986, 6.2", "paths that some would change: `..`, `//`, `;`, `%2F`",
        "the path passes to the byte",
        {
            sent: sent
            for path in (
                b"/a/%2e%2e/x%2Fy;z", b"//web/x", b"//", b"/../x", b"/./x", b"/a/../../x", b"/admin;x", b"/%2Fadmin",
                b"/a%5cb", b"/a%0d%0aX:%20y", b"/%", b"/%zz", b"/a?b?c",
                b"/?", b"/a:80", b"/@", b"/a|b", b"/^`{}<>\"", b"/%252e", b"/*", b"/HTTP/1.1",
            )
            for sent in (get(HOST, target=path),)
        },
    ),
    Arrives(
        "S43-host-spelling", "RFC 9110, 4.2.3",
        "a host in upper case, with a final dot, with the default port, a subset asked for", "is the same service",
        {
            get(b"Host: WEB."): get(b"Host: WEB."), get(b"Host: Web"): get(b"Host: Web"),
            get(b"Host: web:80"): get(b"Host: web:80"),
            get(b"Host: \t web \t"): get(HOST), get(b"hOsT:web"): get(HOST),
            get(b"Host: evil", target=b"http://WEB.:80/"): get(b"Host: WEB.:80"),
        },
    ),
    Arrives(
        "S40-options-of-all", "RFC 9112, 3.2.4", "`OPTIONS *`, and OPTIONS of a URL without path",
        "passes as `OPTIONS *`",
        {
            message(b"OPTIONS * HTTP/1.1", HOST): message(b"OPTIONS * HTTP/1.1", HOST),
            message(b"OPTIONS http://web HTTP/1.1", b"Host: x"): message(b"OPTIONS * HTTP/1.1", HOST),
            message(b"OPTIONS http://web/ HTTP/1.1", b"Host: x"): message(b"OPTIONS / HTTP/1.1", HOST),
        },
    ),
)  # fmt: skip
